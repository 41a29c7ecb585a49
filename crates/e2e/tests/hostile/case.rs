//! A request of the corpus.

/// A message that is accepted.
pub const GOOD: &[u8] = br#"{"sensor_data":{"data":[{"Ia":1.0},{"Ia":2.0}],"sampling_rate":1000}}"#;
/// Where a vehicle sends.
pub const MESSAGE: &str = "/api/v1/diagnosis-stream/vehicles/V/data";
/// Where many messages are sent.
pub const BATCH: &str = "/api/v1/messages";

/// How a request must be answered.
pub enum Expected {
    /// With this status and code.
    Refused(u16, &'static str),
    /// With 200.
    Accepted,
    /// With 200, and for each item of the batch its code, or its status where it has none.
    Items(&'static [&'static str]),
    /// By the HTTP parser itself, before there is a request: with one of these statuses (0: none), and the connection is closed.
    Unparsed(&'static [u16]),
}

/// A request.
pub struct Case {
    pub what: &'static str,
    method: &'static str,
    pub target: String,
    /// Complete lines.
    headers: String,
    body: Vec<u8>,
    /// The body has no Content-Length by itself.
    framed: bool,
    pub expected: Expected,
}

impl Case {
    /// A POST of JSON to a path.
    pub fn post(what: &'static str, target: &str, body: impl AsRef<[u8]>, expected: Expected) -> Self {
        let (target, headers) = (target.to_owned(), "content-type: application/json\r\n".to_owned());
        Self { what, method: "POST", target, headers, body: body.as_ref().to_vec(), framed: false, expected }
    }

    /// A single message in JSON.
    pub fn message(what: &'static str, body: impl AsRef<[u8]>, expected: Expected) -> Self {
        Self::post(what, MESSAGE, body, expected)
    }

    /// The same in another content type.
    pub fn kind(mut self, kind: &str) -> Self {
        self.headers = format!("content-type: {kind}\r\n");
        self
    }

    /// With these header lines instead.
    pub fn headers(mut self, lines: impl Into<String>) -> Self {
        self.headers = lines.into();
        self
    }

    /// With these header lines, which say how the body is framed, instead.
    pub fn framed(mut self, lines: impl Into<String>) -> Self {
        self.headers = lines.into();
        self.framed = true;
        self
    }

    /// With another method.
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { method, target, headers, body, .. } = self;
        let length = if self.framed { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let mut bytes =
            format!("{method} {target} HTTP/1.1\r\nhost: x\r\n{headers}{length}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// `sensor_data` in a message.
pub fn sensor(data: &str) -> Vec<u8> {
    format!("{{\"sensor_data\":{data}}}").into_bytes()
}

/// A line of a batch.
pub fn line(vehicle: &str, data: &str) -> String {
    format!("{{\"vehicle_id\":\"{vehicle}\",\"sensor_data\":{data}}}")
}

/// `sensor_data` that is accepted.
pub const SIGNALS: &str = r#"{"data":[{"Ia":1.0}],"sampling_rate":1000}"#;
