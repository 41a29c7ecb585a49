//! `healthcheck`: asks the service that runs here whether it is ready, for images without a shell or curl.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, Stream};

use crate::config::Settings;
use crate::own_certificate::trusting_only;

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
            // The certificate is for the name others use, not for this address.
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
