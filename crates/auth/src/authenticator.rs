//! Decides who asks.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vtox_connection::ConnectionManager;

use crate::claims::{Expected, Issue, Issued, verify};
use crate::keys::Fingerprint;
use crate::password::Checker;
use crate::store::{Store, StoreError};
use crate::{Credential, Denied, KeyError, Keyring, Principal, Snapshot, parse_credential};

/// Time within which every gateway knows what changed in Redis.
pub const TAKES_EFFECT: Duration = Duration::from_secs(1);
/// How often Redis is asked for changes: half of that.
const STORE_POLL: Duration = Duration::from_millis(500);
/// How often the directory of keys is looked at.
const KEYS_POLL: Duration = Duration::from_secs(2);

/// How credentials are checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the keys for tokens; none: there are no tokens, only API keys.
    pub keys_dir: Option<PathBuf>,
    /// Key that signs; none: the newest that can.
    pub signing_kid: Option<String>,
    /// For whom tokens must be, and by whom.
    pub expected: Expected,
    /// How long a token from logging in is good for, s.
    pub token_lifetime_s: u64,
}

impl Options {
    /// Reads the keys: what must be right before anything else starts.
    ///
    /// # Errors
    /// What is wrong with them, and how to mend it.
    pub fn keyring(&self) -> Result<Keyring, KeyError> {
        match &self.keys_dir {
            Some(directory) => Keyring::read(directory, self.signing_kid.as_deref()),
            None => Ok(Keyring::default()),
        }
    }
}

/// Why an [`Authenticator`] cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The keys cannot be used: a matter of settings.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The credentials cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks credentials, in memory.
pub struct Authenticator {
    options: Options,
    store: Store,
    snapshot: RwLock<Snapshot>,
    keyring: RwLock<Arc<Keyring>>,
    passwords: Checker,
}

impl Authenticator {
    /// Reads keys and credentials. Redis must answer: without what was revoked nobody could be let in safely.
    ///
    /// # Errors
    /// When the keys cannot be used, or Redis does not answer.
    pub async fn open(options: Options, connection: ConnectionManager) -> Result<Arc<Self>, OpenError> {
        let keyring = options.keyring()?;
        let store = Store::new(connection);
        let snapshot = store.load().await?;
        Ok(Arc::new(Self {
            options,
            store,
            snapshot: RwLock::new(snapshot),
            keyring: RwLock::new(Arc::new(keyring)),
            passwords: Checker::new(),
        }))
    }

    /// Keeps credentials and keys up to date until `stop`. While Redis does not answer, and while the keys cannot be
    /// used, the last ones stay.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let (mut store, mut keys) = (interval(STORE_POLL), interval(KEYS_POLL));
        store.set_missed_tick_behavior(MissedTickBehavior::Delay);
        keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fingerprint = Fingerprint::default();
        let mut answered = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = store.tick() => {
                    let refreshed = self.refresh().await;
                    match &refreshed {
                        Err(error) if answered => tracing::warn!(
                            %error,
                            "credentials cannot be refreshed; changes take effect when Redis answers again"
                        ),
                        Ok(()) if !answered => tracing::info!("credentials are up to date again"),
                        _ => {}
                    }
                    answered = refreshed.is_ok();
                }
                _ = keys.tick() => self.refresh_keys(&mut fingerprint).await,
            }
        }
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let epoch = self.snapshot().epoch;
        if let Some(changes) = self.store.changes(epoch).await? {
            changes.apply(&mut self.snapshot.write().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    async fn refresh_keys(&self, last: &mut Fingerprint) {
        let Some(directory) = self.options.keys_dir.clone() else { return };
        let options = self.options.clone();
        let known = last.clone();
        let read = move || {
            let now = Fingerprint::of(&directory);
            (now != known).then(|| (now, options.keyring()))
        };
        let Ok(Some((fingerprint, keyring))) = tokio::task::spawn_blocking(read).await else { return };
        *last = fingerprint;
        match keyring {
            Ok(keyring) => {
                tracing::info!(kids = ?keyring.kids().collect::<Vec<_>>(), "keys for tokens");
                *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
            }
            Err(error) => tracing::error!(%error, "the keys for tokens cannot be used; the last ones stay"),
        }
    }

    /// Who shows a credential at `now_s`, epoch s; without the `Bearer` before it. Asks nobody: takes a microsecond for
    /// an API key and some ten for a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn authenticate(&self, credential: &str, now_s: u64) -> Result<Principal, Denied> {
        match parse_credential(credential)? {
            Credential::ApiKey(key) => self.snapshot().holder(&key, now_s),
            Credential::Token(token) => {
                let claims = verify(&self.keyring(), &token, &self.options.expected, now_s)?;
                self.snapshot().admits(&claims)?;
                Ok(claims.principal(&token.kid))
            }
        }
    }

    /// A token for a person who knows their password, made at `now_s`, epoch s.
    ///
    /// # Errors
    /// [`Denied::WrongPassword`], [`Denied::Busy`] or [`Denied::NoSigningKey`].
    pub async fn log_in(&self, name: &str, password: &str, now_s: u64) -> Result<Issued, Denied> {
        let user = self.snapshot().users.get(name).cloned();
        let phc = user.as_ref().map(|user| user.password.as_str());
        let right = self.passwords.check(password, phc).await?;
        let user = user.filter(|_| right).ok_or(Denied::WrongPassword)?;
        let issue = Issue {
            subject: name.to_owned(),
            role: user.role,
            vehicle: None,
            lifetime_s: self.options.token_lifetime_s,
            local_user: true,
        };
        self.keyring().sign(self.options.signing_kid.as_deref(), &self.options.expected, &issue, now_s)
    }

    fn snapshot(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keyring(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Authenticator {
    /// Without what it knows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("options", &self.options).finish_non_exhaustive()
    }
}
