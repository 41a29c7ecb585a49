//! Who a task belongs to, for `consistent_hash`.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use vtox_protocol::VehicleId;
use vtox_protocol::task::MAX_AFFINITY_BYTES;

const SESSION_HEADER: &str = "x-session-id";
const SESSION_COOKIE: &str = "vtox_session";

/// The key: the session of header or cookie, else the vehicle, else the source address. Hashed, since it goes into a header and
/// is nobody else's business.
pub fn key(headers: &HeaderMap, vehicle: Option<&VehicleId>, peer: Option<SocketAddr>) -> Option<String> {
    let text = headers
        .get(SESSION_HEADER)
        .and_then(|value| value.to_str().ok())
        .or_else(|| cookie(headers))
        .filter(|session| !session.is_empty() && session.len() <= MAX_AFFINITY_BYTES)
        .map(|session| format!("session {session}"))
        .or_else(|| vehicle.map(|id| format!("vehicle {id}")))
        .or_else(|| peer.map(|address| format!("source {}", address.ip())))?;
    Some(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_counts_before_the_vehicle_and_that_before_the_address() {
        let vehicle = VehicleId::new("V1").unwrap();
        let peer: SocketAddr = "10.0.0.1:4000".parse().unwrap();
        let mut headers = HeaderMap::new();
        let by_address = key(&headers, None, Some(peer));
        assert_eq!(by_address, key(&headers, None, Some("10.0.0.1:5000".parse().unwrap())));
        let by_vehicle = key(&headers, Some(&vehicle), Some(peer));
        headers.insert("cookie", "a=b; vtox_session=s1".parse().unwrap());
        let by_cookie = key(&headers, Some(&vehicle), Some(peer));
        headers.insert("x-session-id", "s2".parse().unwrap());
        let by_header = key(&headers, Some(&vehicle), Some(peer));
        let keys = [&by_address, &by_vehicle, &by_cookie, &by_header];
        assert!(keys.iter().all(|k| k.is_some()));
        assert!((0..4).all(|i| (0..i).all(|j| keys[i] != keys[j])));
        headers.remove("cookie");
        headers.insert("x-session-id", "s1".parse().unwrap());
        assert_eq!(key(&headers, None, None), by_cookie, "the same session by header and cookie");
    }
}
