//! Ownership tokens: `term:incarnation:nonce`. They are compared whole; what they are made of only informs.

/// A token for a run of a worker.
pub fn make(term: &str, incarnation: &str, nonce: &str) -> String {
    format!("{term}:{incarnation}:{nonce}")
}

/// The run of the worker a token was made for.
pub fn incarnation_of(token: &str) -> Option<&str> {
    token.split(':').nth(1)
}

/// The beginning of the nonce: what tells the grants of a lane apart in results.
pub fn grant_of(token: &str) -> &str {
    let nonce = token.rsplit(':').next().unwrap_or_default();
    nonce.get(..8).unwrap_or(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_parts() {
        let token = make("7", "run-1", "0123456789abcdef");
        assert_eq!(token, "7:run-1:0123456789abcdef");
        assert_eq!((incarnation_of(&token), grant_of(&token)), (Some("run-1"), "01234567"));
        assert_eq!((incarnation_of(""), grant_of("")), (None, ""));
    }
}
