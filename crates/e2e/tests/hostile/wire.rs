//! HTTP itself: content types and encodings, lengths that do not agree, heads without measure.

use super::case::Expected::{self, Accepted, Refused, Unparsed};
use super::case::{Case, GOOD};

/// Answered as what cannot be parsed.
const BAD: Expected = Unparsed(&[400]);
/// A body in pieces.
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// gzip of 10 MB of zeros is 10 kB; what it holds does not matter where it is not unpacked.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";

fn chunked(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

pub fn cases() -> Vec<Case> {
    let good = |what, lines: &str, expected| Case::message(what, GOOD, expected).headers(lines);
    let framed =
        |what, body: Vec<u8>, lines: &str, expected| Case::message(what, body, expected).framed(lines);
    let encoding = || Refused(415, "unsupported_encoding");
    let kind = || Refused(415, "unsupported_media_type");
    let length = GOOD.len();
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let smuggled = [
        &b"0\r\n\r\n"[..],
        b"POST /api/v1/diagnosis-stream/vehicles/SMUGGLED/data HTTP/1.1\r\nhost: x\r\n",
        format!("content-length: {length}\r\n\r\n").as_bytes(),
        GOOD,
    ]
    .concat();
    vec![
        good("no content type", "", Accepted),
        good("a content type of curl", "content-type: application/x-www-form-urlencoded\r\n", Accepted),
        good(
            "a content type in capitals, with a parameter",
            "content-type: APPLICATION/JSON; charset=utf-8\r\n",
            Accepted,
        ),
        good("an image", "content-type: image/png\r\n", kind()),
        good("XML", "content-type: application/xml\r\n", kind()),
        good("a content type that is not text", "content-type: \u{ff}\r\n", kind()),
        good("a content type of 20 kB", &format!("content-type: {}\r\n", "x".repeat(20_000)), kind()),
        good(
            "two content types",
            "content-type: application/json\r\ncontent-type: application/msgpack\r\n",
            kind(),
        ),
        Case::message("a gzip bomb", GZIP, encoding())
            .headers("content-type: application/json\r\ncontent-encoding: gzip\r\n"),
        good("deflate", "content-encoding: deflate\r\n", encoding()),
        good("zstd twice", "content-encoding: zstd, zstd\r\n", encoding()),
        good("an encoding nobody knows", "content-encoding: x\r\n", encoding()),
        good(
            "an encoding hidden in a second line",
            "content-encoding: identity\r\ncontent-encoding: gzip\r\n",
            encoding(),
        ),
        good("no encoding, said", "content-encoding: identity\r\n", Accepted),
        // Lengths.
        framed("no length", Vec::new(), "", Refused(400, "invalid_json")),
        framed("a length below 0", GOOD.to_vec(), "content-length: -1\r\n", BAD),
        framed("a length of 2^64", GOOD.to_vec(), "content-length: 18446744073709551616\r\n", BAD),
        framed(
            "a length of 2^63",
            GOOD.to_vec(),
            "content-length: 9223372036854775808\r\n",
            Refused(413, "body_too_large"),
        ),
        framed("a length in hexadecimal", GOOD.to_vec(), "content-length: 0x10\r\n", BAD),
        framed("a length with a sign", GOOD.to_vec(), &format!("content-length: +{length}\r\n"), BAD),
        framed(
            "two lengths",
            GOOD.to_vec(),
            &format!("content-length: {length}\r\ncontent-length: 1\r\n"),
            BAD,
        ),
        framed("two lengths in a line", GOOD.to_vec(), &format!("content-length: {length}, 1\r\n"), BAD),
        framed("too short a length", GOOD.to_vec(), "content-length: 10\r\n", Refused(400, "invalid_json")),
        framed(
            "too great a length",
            GOOD.to_vec(),
            &format!("content-length: {}\r\n", length + 1),
            Refused(408, "body_timeout"),
        ),
        // Pieces.
        framed("a body in pieces", chunked(GOOD), CHUNKED, Accepted),
        framed("a piece that is no number", b"zz\r\n".to_vec(), CHUNKED, Refused(400, "invalid_body")),
        framed(
            "a piece of 2^64 bytes",
            b"fffffffffffffffff\r\n".to_vec(),
            CHUNKED,
            Refused(400, "invalid_body"),
        ),
        framed(
            "a piece shorter than it says",
            b"5\r\n{}\r\n0\r\n\r\n".to_vec(),
            CHUNKED,
            Refused(400, "invalid_body"),
        ),
        framed(
            "an extension of a piece of 1 MB",
            [b"1;", "x".repeat(1 << 20).as_bytes(), b"\r\n{\r\n0\r\n\r\n"].concat(),
            CHUNKED,
            Refused(400, "invalid_body"),
        ),
        framed(
            "trailers of 1 MB",
            [b"1\r\n{\r\n0\r\nx: ", "x".repeat(1 << 20).as_bytes(), b"\r\n\r\n"].concat(),
            CHUNKED,
            Refused(400, "invalid_body"),
        ),
        framed(
            "small pieces, more than is taken",
            b"10\r\n                \r\n".repeat(600_000),
            CHUNKED,
            Refused(413, "body_too_large"),
        ),
        framed("an encoding of the transfer nobody knows", GOOD.to_vec(), "transfer-encoding: gzip\r\n", BAD),
        framed("chunked, but not last", chunked(GOOD), "transfer-encoding: chunked, gzip\r\n", BAD),
        // A length and pieces: the pieces count, the connection ends, and what is behind them is no request.
        framed(
            "a length, then pieces",
            smuggled.clone(),
            &format!("content-length: {}\r\n{CHUNKED}", smuggled.len()),
            Refused(400, "invalid_json"),
        ),
        framed(
            "pieces, then a length",
            smuggled.clone(),
            &format!("{CHUNKED}content-length: {}\r\n", smuggled.len()),
            Refused(400, "invalid_json"),
        ),
        framed("pieces with a blank before the colon", chunked(GOOD), "transfer-encoding : chunked\r\n", BAD),
        framed("pieces in a folded line", chunked(GOOD), "transfer-encoding:\r\n chunked\r\n", BAD),
        // Heads.
        good("200 headers", &many, Unparsed(&[431])),
        good("a header of 100 kB", &format!("x: {}\r\n", "x".repeat(100_000)), Unparsed(&[431])),
        good("a header of 10 MB", &format!("x: {}\r\n", "x".repeat(10_000_000)), Unparsed(&[431, 0])),
        good("a header without a name", ": x\r\n", BAD),
        good("NUL in a header", "x: \0\r\n", BAD),
        Case::message("a request line of 1 MB", GOOD, Unparsed(&[431, 414, 0]))
            .method(Box::leak("G".repeat(1 << 20).into_boxed_str())),
        Case::post("a target of 1 MB", &format!("/{}", "a".repeat(1 << 20)), "", Unparsed(&[431, 414, 0])),
        Case::post("a target with a line feed", "/a\nb", "", BAD),
        Case::post("a target that is no path", "x", "", Refused(404, "not_found")),
        Case::message("a method with a bracket", GOOD, BAD).method("PO(ST"),
        Case::message("no method", GOOD, BAD).method(""),
        Case::message("a method in small letters", GOOD, Refused(405, "method_not_allowed")).method("post"),
        Case::message("another method", "", Refused(405, "method_not_allowed")).method("TRACE"),
        Case::post("a path that is not there", "/api/v1/messages/x", GOOD, Refused(404, "not_found")),
        Case::post(
            "a query that is not UTF-8",
            &format!("{}?location=%ff", super::case::MESSAGE),
            GOOD,
            Accepted,
        ),
        Case::post(
            "a query of 10 kB",
            &format!("{}?location={}", super::case::MESSAGE, "x".repeat(10_000)),
            GOOD,
            Refused(422, "invalid_metadata"),
        ),
    ]
}
