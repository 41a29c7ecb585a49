//! From the settings to who may call.

use std::path::PathBuf;
use std::sync::Arc;

use vtox_auth::{Authenticator, Expected, Options};
use vtox_service_kit::config::{Auth, Gateway, Settings};
use vtox_service_kit::{Service, certificate};

use crate::door::headers;

/// Whether a gateway could work with these settings: production needs keys, keys must be safe, and the certificate and the origins must be such.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    settings.auth.check(settings.mode)?;
    drop(headers::cors(&settings.gateway)?);
    options(&settings.auth).keyring()?;
    let Gateway { tls_certificate, tls_key, .. } = &settings.gateway;
    if !tls_certificate.is_empty() {
        certificate::read(tls_certificate, tls_key)?;
    }
    Ok(())
}

/// Reads keys and credentials.
pub async fn open(service: &Service) -> anyhow::Result<Arc<Authenticator>> {
    Ok(Authenticator::open(options(&service.settings.auth), service.redis.control.clone()).await?)
}

fn options(settings: &Auth) -> Options {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Options {
        keys_dir: named(&settings.keys_dir).map(PathBuf::from),
        signing_kid: named(&settings.signing_kid),
        expected: Expected { audience: settings.audience.clone(), issuer: named(&settings.issuer) },
        token_lifetime_s: settings.token_lifetime_s,
    }
}
