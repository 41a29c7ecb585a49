//! `healthcheck`: asks the service that runs here whether it is ready, for images without a shell or curl.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, Stream,
};

use crate::config::Settings;

/// Longest time for each step.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest answer that is read, bytes.
const MOST: u64 = 64 << 10;

/// Asks at `port`, over TLS where the service has a certificate, and says what it answered unless it is ready.
pub fn run(settings: &Settings, port: u16, tls: Option<(String, String)>) -> ExitCode {
    match ask(&settings.host, port, tls.map(|(certificate, _)| certificate)) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            eprintln!("not ready: {}", answer.rsplit("\r\n").next().unwrap_or_default());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("not ready: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ask(host: &str, port: u16, certificate: Option<String>) -> anyhow::Result<String> {
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let mut addresses = (host, port).to_socket_addrs().with_context(|| format!("{host} is no address"))?;
    let address = addresses.next().with_context(|| format!("{host} has no address"))?;
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("nothing answers on {address}"))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    match certificate {
        None => exchange(&mut socket),
        Some(certificate) => {
            let config = trusting_only(&certificate)?;
            let name = ServerName::IpAddress(address.ip().into());
            let mut session = ClientConnection::new(Arc::new(config), name)?;
            exchange(&mut Stream::new(&mut session, &mut socket))
        }
    }
    .with_context(|| format!("{address} does not answer"))
}

fn exchange(stream: &mut (impl Read + Write)) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.take(MOST).read_to_end(&mut answer) {
        // Some close without TLS' farewell; what came is what was said.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        Ok(_) | Err(_) => {}
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The certificate is for the name others use, not for this address: it must be the very one in the file.
fn trusting_only(certificate: &str) -> anyhow::Result<ClientConfig> {
    let own = CertificateDer::from_pem_file(certificate)
        .with_context(|| format!("gateway.tls_certificate {certificate} cannot be read"))?;
    let provider = Arc::new(ring::default_provider());
    let only = Arc::new(Only { own, provider: provider.clone() });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(only)
        .with_no_client_auth())
}

#[derive(Debug)]
struct Only {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
