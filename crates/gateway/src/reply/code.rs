//! Every kind of refusal: its stable name, status, title and fix.

use axum::http::StatusCode;

macro_rules! codes {
    ($($variant:ident $status:ident $name:literal $title:literal $fix:literal;)+) => {
        /// Kind of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($variant),+ }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Stable name; clients and metrics rely on it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// The kind in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What to do.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix),+ }
            }
        }
    };
}

codes! {
    InvalidVehicleId BAD_REQUEST "invalid_vehicle_id" "The vehicle id cannot be one"
        "Use 1 to 128 bytes of UTF-8 without control characters, / and \\, percent-encoded in the path.";
    InvalidJson BAD_REQUEST "invalid_json" "The body is not the JSON that is expected"
        "Send one JSON object as /docs describes it.";
    InvalidBody BAD_REQUEST "invalid_body" "The body could not be read"
        "Send the whole body with its true Content-Length, or chunked.";
    InvalidBlock UNPROCESSABLE_ENTITY "invalid_block" "The signal block holds nothing that can be diagnosed"
        "Send channels under known names with a positive sampling_rate in Hz and finite samples.";
    UndecodableBlock BAD_REQUEST "undecodable_block" "The signal block cannot be decoded"
        "Send rows, columns, CSV or MessagePack as /docs describes them, with the Content-Type of what is sent.";
    InvalidParameter UNPROCESSABLE_ENTITY "invalid_parameter" "A parameter is missing or out of range"
        "See the parameters of this path in /docs.";
    InvalidMetadata UNPROCESSABLE_ENTITY "invalid_metadata" "metadata or location cannot be taken"
        "Send metadata as an object of at most 16 KiB and location as at most 512 bytes.";
    InvalidIdempotencyKey BAD_REQUEST "invalid_idempotency_key" "The Idempotency-Key cannot be one"
        "Use 1 to 255 visible ASCII characters.";
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency_key_reused"
        "Another message was accepted under this Idempotency-Key, or boot id and sequence"
        "Give each message a key of its own; send the same content when sending again.";
    AnotherSender CONFLICT "another_sender" "The message was accepted from another sender"
        "Only the sender of a message may send it again.";
    InvalidMotor UNPROCESSABLE_ENTITY "invalid_motor" "The motor profile cannot be taken"
        "Send the fields of a motor profile as /docs describes them; name the bearing by dimensions or a known designation.";
    UnknownMotorModel UNPROCESSABLE_ENTITY "unknown_motor_model" "There are no defaults for this motor model"
        "PUT them to /api/v1/motors/models/{model} first, or leave model out.";
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "The body is larger than is taken"
        "Send shorter blocks, columns or the binary form; or raise gateway.body_limit_bytes.";
    TooManyItems UNPROCESSABLE_ENTITY "too_many_items" "The batch has more messages than is taken"
        "Divide it; the limit is gateway.batch_items.";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The Content-Type is not taken here"
        "Send one of the content types that /docs lists for this path.";
    UnsupportedEncoding UNSUPPORTED_MEDIA_TYPE "unsupported_encoding" "The body is compressed, which is not taken"
        "Send it without Content-Encoding; MessagePack is the small form.";
    NotAcceptable NOT_ACCEPTABLE "not_acceptable" "No form that Accept allows is offered here"
        "Accept application/json, application/x-ndjson or text/csv.";
    BodyTimeout REQUEST_TIMEOUT "body_timeout" "The body did not arrive in time"
        "Send it faster or in smaller pieces; the limits are gateway.body_timeout_s and gateway.body_least_bytes_per_s.";
    MissingToken UNAUTHORIZED "missing_token" "A token is needed"
        "Send Authorization: Bearer TOKEN, with an API key of vtox token issue or the access_token of POST /auth/token.";
    InvalidToken UNAUTHORIZED "invalid_token" "The token is not valid"
        "Ask for another one: vtox token issue, or POST /auth/token.";
    ExpiredToken UNAUTHORIZED "expired_token" "The token has expired"
        "Ask for another one: vtox token issue, or POST /auth/token.";
    RevokedToken UNAUTHORIZED "revoked_token" "The token was revoked"
        "Ask for another one: vtox token issue, or POST /auth/token.";
    WrongCredentials UNAUTHORIZED "wrong_credentials" "User name or password is wrong"
        "Check both; vtox user add makes a user.";
    LoginUnavailable NOT_FOUND "login_unavailable" "This gateway signs no tokens"
        "Set auth.keys_dir to a directory with a signing key (vtox token keygen DIR).";
    LoginBusy TOO_MANY_REQUESTS "login_busy" "Too many logins at once"
        "Try again in a moment.";
    Forbidden FORBIDDEN "forbidden" "The token does not allow this"
        "Use a token with the role that this path needs, and a vehicle's key for its own vehicle only.";
    ForeignOrigin FORBIDDEN "foreign_origin" "Pages of this origin may not do this"
        "Name the origin in gateway.cors_origins, or open the page from the gateway's own host.";
    SimulatorClosed FORBIDDEN "simulator_closed" "The simulator's path is closed in production"
        "Send to /vehicles/{id}/data with a key.";
    NotFound NOT_FOUND "not_found" "There is no such thing"
        "GET / and /docs list the paths.";
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "This path does not take this method"
        "The Allow header names those it takes.";
    Backlog TOO_MANY_REQUESTS "backlog" "The backlog is at its mark"
        "Send again after Retry-After; more workers shorten it.";
    RateLimited TOO_MANY_REQUESTS "rate_limited" "Too many calls from this vehicle, key, user or address"
        "Send again after Retry-After; the limits are gateway.rate_per_*, gateway.largest_share and, for log-ins, gateway.logins_per_*.";
    Overload SERVICE_UNAVAILABLE "overload" "Too many requests at once"
        "Send again in a moment.";
    Redis SERVICE_UNAVAILABLE "redis" "Redis does not answer, or cannot keep what is promised"
        "Send again in a moment; vtox doctor says what is wrong.";
    RedisRefuses INTERNAL_SERVER_ERROR "redis_refuses" "Redis refuses what the gateway needs, until its operator mends it"
        "Tell the operator: vtox doctor says what is wrong, and the log of the gateway what Redis said.";
    OutcomeUnknown SERVICE_UNAVAILABLE "outcome_unknown" "The message may have been accepted"
        "Send it again under the same Idempotency-Key, or boot_id and sequence: it is accepted once.";
    NotSupervised CONFLICT "not_supervised" "VTOX does not supervise this cluster"
        "Use what runs it: docker compose up --scale worker_bearing=N, or kubectl scale.";
    ClusterStopped CONFLICT "cluster_stopped" "The cluster is stopped"
        "Start it by POST /api/v1/cluster/start.";
    UpgradeRequired UPGRADE_REQUIRED "upgrade_required" "This path speaks WebSocket only"
        "Ask for an upgrade to a WebSocket (RFC 6455).";
    WrongMode CONFLICT "wrong_mode" "The cluster runs in another mode"
        "Stop it and start it in the other mode.";
    NoCoordinator SERVICE_UNAVAILABLE "no_coordinator" "No coordinator answers"
        "Start one; vtox status shows what runs.";
    NoWorker SERVICE_UNAVAILABLE "no_worker" "No worker can take this task"
        "Start a worker for the fault type, or try again in a moment.";
    NoBridge SERVICE_UNAVAILABLE "no_bridge" "No websocket bridge answers"
        "Start one; vtox status shows what runs.";
    Deadline GATEWAY_TIMEOUT "deadline" "The task was not done in time"
        "Allow more time with timeout_ms, or try again when there is less to do.";
    WorkerFailed BAD_GATEWAY "worker_failed" "The workers that tried this task failed"
        "Try again; the logs of the workers say why.";
    Starting SERVICE_UNAVAILABLE "starting" "The gateway is starting"
        "Try again in a moment.";
    Internal INTERNAL_SERVER_ERROR "internal" "The gateway has a fault"
        "Tell the operator the x-request-id; the log has the reason.";
}

impl Code {
    /// When to try again by itself, s.
    pub const fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::Backlog => Some(5),
            Self::RateLimited
            | Self::LoginBusy
            | Self::Overload
            | Self::Redis
            | Self::OutcomeUnknown
            | Self::NoCoordinator
            | Self::NoWorker
            | Self::NoBridge
            | Self::Starting => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_all_say_what_to_do() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.fix().ends_with('.') && !code.title().ends_with('.'), "{}", code.name());
        }
    }
}
