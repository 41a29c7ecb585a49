//! Tokens made by openssl, and forgeries of them. testdata/ed25519.key.pem is the key of RFC 8037.

use std::time::SystemTime;

use jsonwebtoken::{Algorithm as Alg, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Credential, parse_credential};

const ED: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImVkIn0.eyJzdWIiOiJhbGljZSIsInJvbGUiOiJvcGVyYXRvciIsImF1ZCI6InZ0b3giLCJpYXQiOjEwMDAsImV4cCI6MjAwMCwianRpIjoidC0xIn0.68chAsrZkj4V2mbrJ2R26Tnxo9nFJ5im5X562eXnE3Im7XRjApmddTXyUr2jtfDoCQC4FzmhD92Hi3x1ihjJCA";
const RS: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJzdWIiOiJhbGljZSIsInJvbGUiOiJvcGVyYXRvciIsImF1ZCI6InZ0b3giLCJpYXQiOjEwMDAsImV4cCI6MjAwMCwianRpIjoidC0xIn0.duuuW6Bmb4w08RzEImvppQBrbOQeZZBWsHh8J3ueDsuTQgIbJtm9wupvwIs2-622LT6pqeyF6t8pYsJpeIngEtcxOApzAcpaeCQu1H-GuQSo7420E2uxn-VePu-gYp8vMuCqKUBOFBbcJfdlmSSR1-Xbk_IJ0osRqmxY3Gx39YYG9nLVWy3yIkQ2b4t2s84PKJou80nha40XomLpSyAgQoc1XMcGzirUaCM3XaXl6CS0E91zSzkuTFSvKJ8vTukoGFPH8lXCBGeGrnbOQE6T4IHkYzhZ5fPbx9LUOeJk_y5PItratUiuAFtvZ6Zq-cebLWAIxo8nZcgnP6iHkPbpuw";
const HS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImhzIn0.eyJzdWIiOiJhbGljZSIsInJvbGUiOiJvcGVyYXRvciIsImF1ZCI6InZ0b3giLCJpYXQiOjEwMDAsImV4cCI6MjAwMCwianRpIjoidC0xIn0.Q6WxDzaInYnt96HQHEHS6frKTXnrZOt1MGkY6qm_o84";
const SECRET: &[u8] = b"k7Qv2mXw9TzB4nRc8LpJ3hYf6DsG1aUe";
const RSA_PUBLIC: &str = include_str!("../../testdata/rsa.pub.pem");

fn keyring() -> Keyring {
    let mut ring = Keyring::default();
    let at = SystemTime::UNIX_EPOCH;
    ring.add_private("ed", include_str!("../../testdata/ed25519.key.pem"), at).unwrap();
    ring.add_private("rsa", include_str!("../../testdata/rsa.key.pem"), at).unwrap();
    ring.add_secret("hs", SECRET, at).unwrap();
    ring
}

fn expected() -> Expected {
    Expected { audience: "vtox".to_owned(), issuer: None }
}

fn ask_for(expected: &Expected, text: &str, now_s: u64) -> Result<Claims, Denied> {
    match parse_credential(text)? {
        Credential::Token(token) => verify(&keyring(), &token, expected, now_s),
        Credential::ApiKey(_) => panic!("an API key"),
    }
}

fn ask(text: &str, now_s: u64) -> Result<Claims, Denied> {
    ask_for(&expected(), text, now_s)
}

fn good() -> Value {
    json!({"sub": "alice", "role": "operator", "aud": "vtox", "iat": 1000, "exp": 2000})
}

fn with(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// A token with a good signature by the key `ed`.
fn signed(claims: &Value) -> String {
    let ring = keyring();
    let header = Header { kid: Some("ed".to_owned()), ..Header::new(Alg::EdDSA) };
    encode(&header, claims, ring.key("ed").unwrap().signing.as_ref().unwrap()).unwrap()
}

#[test]
fn tokens_of_openssl_are_believed_until_they_expire() {
    for (kid, text) in [("ed", ED), ("rsa", RS), ("hs", HS)] {
        let claims = ask(text, 1_500).unwrap();
        assert_eq!(claims.jti.as_deref(), Some("t-1"));
        let principal = claims.principal(kid);
        assert_eq!((principal.subject.as_str(), principal.role), ("alice", Role::Operator));
        assert_eq!((principal.credential, principal.vehicle), (format!("jwt:{kid}:alice"), None));
        assert!(ask(text, 2_004).is_ok(), "the clocks may differ a little");
        assert_eq!(ask(text, 2_005), Err(Denied::ExpiredToken));
    }
}

#[test]
fn what_the_claims_lack_is_not_made_up() {
    for (changes, answer) in [
        (json!({"aud": "other"}), Denied::WrongAudience),
        (json!({"aud": ["a", "b"]}), Denied::WrongAudience),
        (json!({"aud": null}), Denied::InvalidToken),
        (json!({"aud": 7}), Denied::InvalidToken),
        (json!({"exp": null}), Denied::InvalidToken),
        (json!({"exp": "2000"}), Denied::InvalidToken),
        (json!({"exp": -5}), Denied::InvalidToken),
        (json!({"nbf": 1_506}), Denied::EarlyToken),
        (json!({"nbf": "soon"}), Denied::InvalidToken),
        (json!({"role": null}), Denied::InvalidToken),
        (json!({"role": "root"}), Denied::InvalidToken),
        (json!({"role": "vehicle"}), Denied::InvalidToken),
        (json!({"role": "vehicle", "vehicle_id": "a/b"}), Denied::InvalidToken),
        (json!({"sub": null}), Denied::InvalidToken),
        (json!({"sub": ""}), Denied::InvalidToken),
        (json!({"sub": "a\nb"}), Denied::InvalidToken),
        (json!({"sub": "x".repeat(200)}), Denied::InvalidToken),
    ] {
        assert_eq!(ask(&signed(&with(&changes)), 1_500), Err(answer), "{changes}");
    }
    assert!(ask(&signed(&with(&json!({"aud": ["a", "vtox"], "nbf": 1_505, "exp": 1_600.5}))), 1_500).is_ok());
    let vehicle = ask(&signed(&with(&json!({"role": "vehicle", "vehicle_id": "粤B·1"}))), 1_500).unwrap();
    assert_eq!(vehicle.principal("ed").vehicle, Some(VehicleId::new("粤B·1").unwrap()));
}

#[test]
fn an_issuer_counts_where_one_is_expected() {
    let expected = Expected { issuer: Some("https://id.example".to_owned()), ..expected() };
    let by = |iss: &Value| ask_for(&expected, &signed(&with(&json!({"iss": iss}))), 1_500);
    assert!(by(&json!("https://id.example")).is_ok());
    assert_eq!(by(&json!("https://evil.example")), Err(Denied::WrongIssuer));
    assert_eq!(by(&Value::Null), Err(Denied::InvalidToken));
}

#[test]
fn forgeries_are_refused() {
    let forged = |alg, kid: Option<&str>, key: &EncodingKey| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(alg) };
        encode(&header, &good(), key).unwrap()
    };
    let stranger = crate::api_key::hex(&[7; 32]);
    let stranger = EncodingKey::from_secret(stranger.as_bytes());
    let public_bytes = keyring().key("rsa").unwrap().verifying.try_get_as_bytes().unwrap().to_vec();
    let ring = keyring();
    let ed = ring.key("ed").unwrap().signing.as_ref().unwrap();
    let (claims, none) = (ED.split('.').nth(1).unwrap(), "eyJhbGciOiJub25lIiwia2lkIjoiazEifQ");
    for (name, text) in [
        ("no algorithm", format!("{none}.{claims}.")),
        ("no signature", format!("{}.", ED.rsplit_once('.').unwrap().0)),
        ("another secret", forged(Alg::HS256, Some("hs"), &stranger)),
        ("the public RSA key's text as secret", {
            forged(Alg::HS256, Some("rsa"), &EncodingKey::from_secret(RSA_PUBLIC.as_bytes()))
        }),
        ("the public RSA key's bytes as secret", {
            forged(Alg::HS256, Some("rsa"), &EncodingKey::from_secret(&public_bytes))
        }),
        (
            "the secret under the id of an RSA key",
            forged(Alg::HS256, Some("rsa"), &EncodingKey::from_secret(SECRET)),
        ),
        ("a good key under the id of another", forged(Alg::EdDSA, Some("hs"), ed)),
        ("no key id", forged(Alg::EdDSA, None, ed)),
        ("an unknown key id", forged(Alg::EdDSA, Some("old"), ed)),
        ("a path as key id", forged(Alg::EdDSA, Some("../ed"), ed)),
        ("an empty key id", forged(Alg::EdDSA, Some(""), ed)),
    ] {
        assert_eq!(ask(&text, 1_500), Err(Denied::InvalidToken), "{name}");
    }
    assert!(ask(&forged(Alg::EdDSA, Some("ed"), ed), 1_500).is_ok(), "the forger's tools work");
}

#[test]
fn a_token_is_made_for_who_may_have_one() {
    let issue = |role, vehicle: Option<&str>| Issue {
        subject: "gate".to_owned(),
        role,
        vehicle: vehicle.map(|id| VehicleId::new(id).unwrap()),
        lifetime_s: 60,
        local_user: false,
    };
    let made = keyring().sign(Some("rsa"), &expected(), &issue(Role::Vehicle, Some("a")), 1_000).unwrap();
    let claims = ask(&made.token, 1_059).unwrap();
    assert_eq!(claims.jti, Some(made.id.clone()));
    assert_eq!(claims.principal("rsa").credential, "jwt:rsa:gate");
    assert_eq!(ask(&made.token, 1_065), Err(Denied::ExpiredToken));
    assert!(!format!("{made:?}").contains(&made.token), "a token in a log");
    let unbound = keyring().sign(None, &expected(), &issue(Role::Vehicle, None), 1_000);
    assert_eq!(unbound.unwrap_err(), Denied::InvalidToken);
    let nothing = Keyring::default().sign(None, &expected(), &issue(Role::Viewer, None), 1_000);
    assert_eq!(nothing.unwrap_err(), Denied::NoSigningKey);
}

proptest! {
    #[test]
    fn any_mutation_of_a_token_is_refused(
        text in prop::sample::select(vec![ED, RS, HS]),
        at in any::<prop::sample::Index>(),
        by in prop::char::range('!', '~'),
        cut in any::<bool>(),
    ) {
        let at = at.index(text.len());
        let mut mutated = text.to_owned();
        mutated.replace_range(at..=at, if cut { String::new() } else { by.to_string() }.as_str());
        prop_assume!(mutated != text);
        prop_assert_eq!(ask(&mutated, 1_500), Err(Denied::InvalidToken));
    }

    #[test]
    fn any_signed_claims_have_an_answer(claims in "\\PC{0,40}", exp in any::<f64>(), nbf in any::<i64>()) {
        drop(ask(&signed(&json!(claims)), 1_500));
        drop(ask(&signed(&with(&json!({"exp": exp, "nbf": nbf, "sub": claims}))), 1_500));
    }
}

#[test]
fn ids_of_tokens_have_one_form() {
    let issue = Issue {
        subject: "alice".to_owned(),
        role: Role::Viewer,
        vehicle: None,
        lifetime_s: 60,
        local_user: false,
    };
    let issued = keyring().sign(None, &expected(), &issue, 1_000).unwrap();
    assert!(is_token_id(&issued.id), "{}", issued.id);
    let long = issued.id.to_uppercase();
    for other in
        ["xyz", "", "0123456789abcdef", &long, &issued.id[1..], "00000000-0000-0000-0000-000000000000"]
    {
        assert!(!is_token_id(other), "{other}");
    }
}
