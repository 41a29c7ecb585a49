//! Who may do what: API keys of vehicles, tokens and passwords of people, roles, revocation. Owns the Redis keys
//! `vtox:auth:*`.
//!
//! [`Authenticator::authenticate`] asks nobody: keys, people and what was revoked are in memory and follow Redis within a
//! second, and the keys that sign and verify tokens are read from a directory that is watched. What a credential looks
//! like is in [`parse_credential`], what it is worth in [`Principal`].

mod api_key;
mod authenticator;
mod backend;
mod claims;
mod credential;
mod denied;
mod keys;
mod password;
mod people;
mod principal;
mod snapshot;
mod store;

pub use api_key::{ApiKey, ApiKeyRecord};
pub use authenticator::{Authenticator, OpenError, Options, TAKES_EFFECT};
pub use claims::{Claims, Expected, Issue, Issued, is_token_id, verify};
pub use credential::{Credential, Token, parse_credential};
pub use denied::Denied;
pub use keys::{Algorithm, KeyError, Keyring, generate};
pub use password::{InvalidPassword, hash_password};
pub use people::{InvalidUserName, User, UserName};
pub use principal::{Principal, Role};
pub use snapshot::Snapshot;
pub use store::{Store, StoreError};
