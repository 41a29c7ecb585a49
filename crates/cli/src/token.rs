//! `vtox token`: API keys, tokens, and the keys that sign tokens.

mod keygen;
mod list;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use vtox_auth::{ApiKey, ApiKeyRecord, Expected, Issue, Keyring, Role, Store, TAKES_EFFECT, is_token_id};
use vtox_protocol::VehicleId;
use vtox_service_kit::clock;
use vtox_service_kit::config::{Auth, Settings};

use crate::connect::connect;
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Redis of the cluster.
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an API key, or with --jwt a signed token. It is shown this once.
    Issue(New),
    /// Show the API keys, without their secrets, and the ids of revoked tokens.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Refuse an API key from now on, or with --jwt a token.
    Revoke {
        /// Id of the key, as `list` shows it, or of the token (its claim jti).
        id: String,
        /// The id is that of a token.
        #[arg(long)]
        jwt: bool,
        /// The token is of another issuer, whose ids may be any text.
        #[arg(long, requires = "jwt")]
        other_issuer: bool,
    },
    /// Write a new key that signs tokens into a directory, for the setting auth.keys_dir.
    Keygen(keygen::Arguments),
}

#[derive(Args)]
struct New {
    /// vehicle, viewer, operator or admin.
    #[arg(long)]
    role: Role,
    /// The only vehicle it may be used for; a vehicle needs one.
    #[arg(long, value_name = "ID", required_if_eq("role", "vehicle"))]
    vehicle: Option<VehicleId>,
    /// Whose it is, for people; the subject of a token.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// How long it is good for, such as 90d, 12h, 30m or 45s. An API key without it is good for ever, a token for
    /// auth.token_lifetime_s.
    #[arg(long, value_name = "TIME")]
    expires: Option<Lifetime>,
    /// Make a token, signed with the key in auth.keys_dir, instead of an API key.
    #[arg(long)]
    jwt: bool,
    /// Directory of the keys, instead of auth.keys_dir.
    #[arg(long, value_name = "DIR", requires = "jwt")]
    keys: Option<PathBuf>,
}

/// A time in s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lifetime(u64);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
        let lifetime = units.iter().find_map(|(unit, s)| {
            let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
            number.checked_mul(*s).filter(|s| (1..=100 * 366 * 86_400).contains(s))
        });
        lifetime.map(Self).ok_or_else(|| format!("{text:?} is no time; write it as 90d, 12h, 30m or 45s"))
    }
}

/// Does what is asked. `settings` are read only where they are needed: a key can be made before there are any.
pub async fn run(
    arguments: Arguments,
    settings: impl Fn() -> anyhow::Result<Settings>,
) -> anyhow::Result<ExitCode> {
    let redis = arguments.redis.as_deref();
    match arguments.action {
        Action::Issue(new) if new.jwt => token(&new, &settings()?.auth)?,
        Action::Issue(new) => api_key(&new, &store(redis, &settings()?).await?).await?,
        Action::List { json } => list::show(&store(redis, &settings()?).await?, json).await?,
        Action::Revoke { id, jwt: true, other_issuer } => {
            revoke_token(&id, other_issuer, &store(redis, &settings()?).await?).await?;
        }
        Action::Revoke { id, .. } => revoke(&id, &store(redis, &settings()?).await?).await?,
        Action::Keygen(arguments) => keygen::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn store(redis: Option<&str>, settings: &Settings) -> anyhow::Result<Store> {
    Ok(Store::new(connect(redis, settings).await?))
}

fn now_s() -> u64 {
    clock::epoch_ms() / 1_000
}

/// Until when, for people.
fn day_and_time(epoch_s: u64) -> String {
    vtox_protocol::timestamp::iso8601(epoch_s.saturating_mul(1_000)).chars().take(19).collect()
}

async fn api_key(new: &New, store: &Store) -> anyhow::Result<()> {
    let key = ApiKey::generate().context("the system gives no random bytes")?;
    let expires = new.expires.map(|Lifetime(s)| now_s() + s);
    let record = ApiKeyRecord::of(&key, new.role, new.vehicle.clone(), &new.label, now_s(), expires)
        .context("a key of role vehicle needs --vehicle ID")?;
    store.add_key(key.id(), &record).await?;
    // Who has the key may use it at once.
    tokio::time::sleep(TAKES_EFFECT).await;
    outln!("{}", key.reveal());
    let until = expires.map_or_else(|| "for ever".to_owned(), |at| format!("until {} UTC", day_and_time(at)));
    eprintln!(
        "API key {} of role {}, good {until}. It is not shown again; take it back by `vtox token revoke {}`.",
        key.id(),
        new.role,
        key.id()
    );
    Ok(())
}

fn token(new: &New, auth: &Auth) -> anyhow::Result<()> {
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let keys = new.keys.clone().or_else(|| set(&auth.keys_dir).map(PathBuf::from));
    let keys = keys.context(
        "there is no key to sign with; set auth.keys_dir, or give --keys DIR: that of `vtox up --mode production` is \
         secrets/token-keys in its data directory, another is made by `vtox token keygen DIR`",
    )?;
    let subject = set(&new.label).or_else(|| new.vehicle.as_ref().map(ToString::to_string));
    let issue = Issue {
        subject: subject.context("a token needs a subject; give --label TEXT")?,
        role: new.role,
        vehicle: new.vehicle.clone(),
        lifetime_s: new.expires.map_or(auth.token_lifetime_s, |Lifetime(s)| s),
        local_user: false,
    };
    let expected = Expected { audience: auth.audience.clone(), issuer: set(&auth.issuer) };
    let kid = set(&auth.signing_kid);
    let keyring = Keyring::read(&keys, kid.as_deref())?;
    let issued = keyring.sign(kid.as_deref(), &expected, &issue, now_s())?;
    outln!("{}", issued.token);
    eprintln!(
        "Token {} of role {}, good until {} UTC. It is not shown again; take it back by `vtox token revoke --jwt {}`.",
        issued.id,
        new.role,
        day_and_time(now_s() + issued.lifetime_s),
        issued.id
    );
    Ok(())
}

async fn revoke(id: &str, store: &Store) -> anyhow::Result<()> {
    // Somebody may have only the key itself at hand.
    let key = ApiKey::parse(id);
    let id = key.as_ref().map_or(id, ApiKey::id);
    let Some(record) = store.load().await?.keys.remove(id) else {
        bail!(
            "there is no API key {id:?}; `vtox token list` shows them. For a token (its claim jti) add --jwt"
        );
    };
    refuse(id, record.expires, store).await?;
    outln!("API key {id} is refused from now on");
    Ok(())
}

async fn revoke_token(id: &str, other_issuer: bool, store: &Store) -> anyhow::Result<()> {
    if !other_issuer && !is_token_id(id) {
        bail!(
            "{id:?} is no id of a token that vtox makes, such as 1b4e28ba-2fa1-4d2b-883f-0016d3cca427 (its claim jti, which \
             `vtox token issue --jwt` shows); for one of another issuer add --other-issuer"
        );
    }
    refuse(id, None, store).await?;
    outln!(
        "a token of id {id} is refused from now on; tokens are kept nowhere, so whether there is one is not known"
    );
    Ok(())
}

async fn refuse(id: &str, until: Option<u64>, store: &Store) -> anyhow::Result<()> {
    store.revoke(id, until).await?;
    store.forget_expired(now_s()).await?;
    tokio::time::sleep(TAKES_EFFECT).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        assert_eq!("90d".parse(), Ok(Lifetime(7_776_000)));
        assert_eq!("45s".parse(), Ok(Lifetime(45)));
        for text in ["", "d", "90", "-1d", "0h", "1w", "99999999999999999999s", "9999999999d"] {
            assert!(text.parse::<Lifetime>().unwrap_err().contains("write it as 90d"), "{text}");
        }
    }
}
