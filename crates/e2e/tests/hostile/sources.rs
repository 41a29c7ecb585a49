//! Frames of a data source.

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::case::{SIGNALS, line};
use super::{Door, PEAK_MIB};

/// A frame, and the code it is answered with; none: it is accepted.
type Frame = (&'static str, Message, Option<&'static str>);

fn frames() -> Vec<Frame> {
    let text = |what, text: String, code| (what, Message::text(text), Some(code));
    let binary = |what, bytes: Vec<u8>| (what, Message::binary(bytes), Some("undecodable_block"));
    let ones = vec!["1"; 3_900_000].join(",");
    vec![
        text("10^5 lists", "[".repeat(100_000), "invalid_json"),
        text("10^5 objects", "{\"a\":".repeat(100_000), "invalid_json"),
        text("a byte-order mark", format!("\u{feff}{}", line("V", SIGNALS)), "invalid_json"),
        text("NUL", "\0".to_owned(), "invalid_json"),
        text("nothing", String::new(), "invalid_json"),
        text("two messages", format!("{0}{0}", line("V", SIGNALS)), "invalid_json"),
        text("the directory above", line("..", SIGNALS), "invalid_vehicle_id"),
        text("right to left", line("a\u{202e}b", SIGNALS), "invalid_vehicle_id"),
        text("a name of 1 MB", line(&"x".repeat(1 << 20), SIGNALS), "invalid_vehicle_id"),
        text(
            "a word of 1 MB",
            line("V", &format!("{{\"data\":[{{\"Ia\":\"{}\"}}]}}", "x".repeat(1 << 20))),
            "undecodable_block",
        ),
        text(
            "4 x 10^6 numbers in two columns",
            line("V", &format!(r#"{{"columns":{{"Ia":[{ones}],"x":[1]}},"sampling_rate":-1}}"#)),
            "invalid_block",
        ),
        binary("a map of 2^32-1", b"\xdf\xff\xff\xff\xff".to_vec()),
        binary("a block of 2^32-1", b"\x82\xaavehicle_id\xa1V\xa5block\xc6\xff\xff\xff\xff".to_vec()),
        binary("10^5 lists, MessagePack", vec![0x91; 100_000]),
        binary("nothing, MessagePack", Vec::new()),
        ("a good one", Message::text(line("V", SIGNALS)), None),
    ]
}

/// Sends them all over one socket; how many they are.
pub async fn run(door: &mut Door) -> usize {
    let url = format!("ws://{}/ws/datasource", door.address);
    let (mut socket, _) = connect_async(&url).await.expect("a WebSocket");
    let frames = frames();
    let count = frames.len();
    for (index, (what, frame, code)) in frames.into_iter().enumerate() {
        socket.send(frame).await.expect("an open socket");
        let ack: Value = loop {
            if let Message::Text(text) = socket.next().await.expect("an open socket").expect("a frame") {
                assert!(text.len() < 2_000, "{what}: an answer of {} bytes", text.len());
                break serde_json::from_str(&text).expect("JSON");
            }
        };
        assert_eq!(ack["first_index"], index, "{what}: {ack}");
        assert_eq!(ack["errors"][0]["code"].as_str(), code, "{what}: {ack}");
        if code.is_none() {
            door.note(&serde_json::json!({"message_id": ack["message_ids"][0]}));
        }
        let peak = door.peak_mib();
        assert!(peak < PEAK_MIB, "{what}: {peak} MiB");
        door.still_works(what).await;
    }
    // What is no frame at all ends the socket and nothing else.
    let ping = [&b"\x89\xfe\xff\xff\0\0\0\0"[..], &[0; 65_535]].concat();
    let bytes: [(&str, &[u8]); 5] = [
        ("a reserved bit", b"\xf1\x80\0\0\0\0"),
        ("no mask", b"\x81\x05hello"),
        ("a frame of 2^64-1 bytes", b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"),
        ("a ping of 64 KiB", &ping),
        ("text that is not UTF-8", b"\x81\x82\0\0\0\0\xff\xff"),
    ];
    for (what, bytes) in bytes {
        raw(door, what, bytes);
        door.still_works(what).await;
    }
    count
}

/// Sends bytes where frames are expected, and waits for the end.
fn raw(door: &Door, what: &str, bytes: &[u8]) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&door.address).expect("a gateway");
    let limit = std::time::Duration::from_secs(5);
    stream.set_read_timeout(Some(limit)).expect("a socket");
    let head = "GET /ws/datasource HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(&[head.as_bytes(), bytes].concat()).expect("a socket");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}: {error}"),
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
}
