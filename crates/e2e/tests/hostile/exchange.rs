//! Bytes to a socket, and what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// An answer.
pub struct Answer {
    /// 0: the connection was closed without one.
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
    /// The other end has closed.
    pub closed: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(400).collect();
        write!(f, "{}\n{body}", self.head)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// The first answer to these bytes. The gateway may answer, and close, before it has read them all.
pub fn exchange(address: &str, bytes: &[u8]) -> Answer {
    let stream = TcpStream::connect(address).expect("a gateway");
    stream.set_read_timeout(Some(Duration::from_millis(250))).expect("a socket");
    let mut writing = stream.try_clone().expect("a socket");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || drop(writing.write_all(&bytes)));
    let answer = read(stream);
    writer.join().expect("a writer");
    answer
}

fn read(mut stream: TcpStream) -> Answer {
    let until = Instant::now() + Duration::from_secs(30);
    let (mut got, mut closed, mut piece) = (Vec::new(), false, [0; 16 << 10]);
    let mut whole = None;
    while whole.is_none() && !closed {
        assert!(Instant::now() < until, "no answer; so far {:?}", String::from_utf8_lossy(&got));
        let read = stream.read(&mut piece);
        closed = ended(&read);
        got.extend_from_slice(&piece[..read.unwrap_or(0)]);
        whole = parsed(&got);
    }
    let (status, head, body) = whole.unwrap_or_default();
    let mut answer = Answer { status, head, body, closed };
    if answer.header("connection") == Some("close") {
        answer.closed |= ended(&stream.read(&mut piece));
    }
    answer
}

/// Whether a read says that the other end has closed; a reset is as good.
fn ended(read: &std::io::Result<usize>) -> bool {
    match read {
        Ok(count) => *count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Status, head and body, once all are there.
fn parsed(bytes: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head, body: Vec::new(), closed: false };
    let length: usize = answer.header("content-length").map_or(0, |l| l.parse().expect("a length"));
    answer.body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some((status, answer.head, answer.body))
}
