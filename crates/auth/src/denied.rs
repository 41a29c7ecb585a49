//! Why somebody was not let in.

/// Why a credential or a log-in is refused. The texts are for whoever asks: they help an honest client and tell a forger
/// nothing beyond what any refusal tells. What names a reason other than "not valid" is only said of genuine
/// credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential came.
    #[error("a token is needed; send it as Authorization: Bearer TOKEN (`vtox token issue` makes one)")]
    MissingToken,
    /// Malformed, unknown, forged or without something it must have.
    #[error("the token is not valid; use one from `vtox token issue` or from logging in")]
    InvalidToken,
    /// Its time is over.
    #[error("the token has expired; get a new one")]
    ExpiredToken,
    /// Its time has not come.
    #[error("the token is not valid yet; look at the clocks of both machines")]
    EarlyToken,
    /// It was taken back, or the person it was made for was removed or changed.
    #[error("the token was revoked; get a new one")]
    RevokedToken,
    /// It was made for another system.
    #[error("the token is for another audience; get one for this system (setting auth.audience)")]
    WrongAudience,
    /// It comes from another issuer than the one that is trusted.
    #[error("the token is from another issuer; get one from the issuer in the setting auth.issuer")]
    WrongIssuer,
    /// User name or password is wrong; which of them is not said.
    #[error("user name or password is wrong")]
    WrongPassword,
    /// Too many log-ins at once.
    #[error("too many log-ins at the same time; try again in a second")]
    Busy,
    /// There is no key to sign a token with.
    #[error(
        "logging in needs a key to sign with; make one by `vtox token keygen DIR` and set auth.keys_dir to DIR"
    )]
    NoSigningKey,
}

impl Denied {
    /// Stable code for clients.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::EarlyToken => "early_token",
            Self::RevokedToken => "revoked_token",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongPassword => "wrong_password",
            Self::Busy => "busy",
            Self::NoSigningKey => "no_signing_key",
        }
    }
}
