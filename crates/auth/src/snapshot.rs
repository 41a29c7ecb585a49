//! What Redis says about credentials, in memory.

use std::collections::HashMap;

use crate::api_key::{self, ApiKey, ApiKeyRecord};
use crate::{Claims, Denied, Principal, User};

/// API keys, people and what was revoked, as of one epoch.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Count of changes that are in it; 0 before the first.
    pub epoch: u64,
    /// API keys by id.
    pub keys: HashMap<String, ApiKeyRecord>,
    /// People by name.
    pub users: HashMap<String, User>,
    /// Ids of revoked API keys and tokens, with the epoch s from which they are refused anyway.
    pub revoked: HashMap<String, Option<u64>>,
}

impl Snapshot {
    /// Who shows an API key.
    pub(crate) fn holder(&self, key: &ApiKey, now_s: u64) -> Result<Principal, Denied> {
        api_key::check(key, self.keys.get(key.id()), self.revoked.contains_key(key.id()), now_s)
    }

    /// Whether what a genuine token says still holds.
    pub(crate) fn admits(&self, claims: &Claims) -> Result<(), Denied> {
        let revoked = claims.jti.as_ref().is_some_and(|jti| self.revoked.contains_key(jti));
        let outdated = claims.local_user
            && self.users.get(&claims.sub).is_none_or(|user| {
                user.role != claims.role || claims.iat.is_none_or(|made| made < user.changed as f64)
            });
        if revoked || outdated { Err(Denied::RevokedToken) } else { Ok(()) }
    }
}
