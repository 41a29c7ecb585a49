//! Why a gateway cannot be talked to, and what to do about it.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;
use rustls::CertificateError as Refused;
use rustls::Error as Tls;

use super::trust::is_of_a_ca;

/// What went wrong with the gateway at `url`, as an error that says what to do.
pub fn advised(url: &str, error: anyhow::Error) -> anyhow::Error {
    if let Some(tls) = tls_error(&error).cloned() {
        let what = what_to_do(&tls);
        return anyhow::Error::new(tls).context(format!("{url} cannot be trusted; {what}"));
    }
    let connected = error.downcast_ref::<legacy::Error>().is_some_and(|error| !error.is_connect())
        || error.is::<tokio_tungstenite::tungstenite::Error>();
    error.context(if connected && !url.starts_with("https:") {
        format!(
            "{url} gives no answer in plain HTTP; where it speaks HTTPS, give --gateway https://HOST:PORT, or set \
             gateway.tls_certificate as it does"
        )
    } else {
        format!("no gateway answers at {url}; start a cluster with `vtox up` or give --gateway URL")
    })
}

/// Whether trying again cannot help: its certificate is none for us.
pub fn is_final(error: &anyhow::Error) -> bool {
    // A certificate of this machine's settings may just be renewed.
    matches!(error.downcast_ref(), Some(Tls::InvalidCertificate(why)) if *why != Refused::ApplicationVerificationFailure)
}

fn what_to_do(error: &Tls) -> &'static str {
    match error {
        Tls::InvalidCertificate(Refused::NotValidForName | Refused::NotValidForNameContext { .. }) => {
            "name it in --gateway as its certificate does, or give it a certificate with this name"
        }
        Tls::InvalidCertificate(
            Refused::Expired
            | Refused::ExpiredContext { .. }
            | Refused::NotValidYet
            | Refused::NotValidYetContext { .. },
        ) => "renew its certificate, or set this machine's clock",
        Tls::InvalidCertificate(Refused::ApplicationVerificationFailure) => {
            "it shows another certificate than gateway.tls_certificate; set this as the gateway's settings do"
        }
        Tls::InvalidCertificate(Refused::UnknownIssuer | Refused::BadSignature) => CA_FILE,
        error if is_of_a_ca(error) => CA_FILE,
        Tls::InvalidMessage(_) => "where it speaks plain HTTP, begin --gateway with http://",
        _ => "look at its certificate and its log",
    }
}

const CA_FILE: &str = "give --ca-file FILE with the certificate of the CA that signed its own, or with its own where that \
    is self-signed";

/// An error of TLS among the causes.
fn tls_error(error: &anyhow::Error) -> Option<&Tls> {
    error.chain().find_map(within)
}

/// `io::Error` does not name what it wraps as its source.
fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Tls> {
    error.downcast_ref().or_else(|| within(error.downcast_ref::<io::Error>()?.get_ref()?))
}
