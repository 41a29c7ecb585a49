//! Who may call what. The whole table is here; a path that is not in it is for admins alone.

use axum::http::Method;
use vtox_auth::{Principal, Role};
use vtox_protocol::VehicleId;

/// Who may call a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a token.
    Anyone,
    /// The simulator: anyone outside production, nobody in it.
    Simulator,
    /// A vehicle for itself, or an operator for any; one that is bound to a vehicle for that one.
    Sender,
    /// A vehicle about itself, or a viewer about any; one that is bound to a vehicle about that one.
    Reader,
    /// Whoever has at least this role.
    Role(Role),
}

/// Who may call `method` on a path as it is written in the routes; none where the table does not have it.
pub fn listed(method: &Method, path: &str) -> Option<Access> {
    use Access::{Anyone, Reader, Sender, Simulator};
    const VIEWER: Access = Access::Role(Role::Viewer);
    const OPERATOR: Access = Access::Role(Role::Operator);
    const ADMIN: Access = Access::Role(Role::Admin);
    let method = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let path = path.strip_prefix("/api/v1/diagnosis-stream").unwrap_or(path);
    Some(match (method, path) {
        ("GET", "/" | "/health" | "/ready" | "/metrics" | "/openapi.json" | "/docs/errors") => Anyone,
        ("GET", path) if path == "/docs" || path.starts_with("/docs/") => Anyone,
        ("POST", "/auth/token") => Anyone,

        ("POST", "/vehicles/{vehicle_id}/data" | "/api/v1/messages") | ("GET", "/ws/datasource") => Sender,
        ("POST", "/simulator/vehicles/{vehicle_id}/data") => Simulator,

        (
            "GET",
            "/vehicles/{vehicle_id}/health"
            | "/vehicles/{vehicle_id}/diagnosis-history"
            | "/api/v1/vehicles/{vehicle_id}/motor",
        ) => Reader,
        ("PUT" | "DELETE", "/api/v1/vehicles/{vehicle_id}/motor") => OPERATOR,
        ("GET", "/api/v1/motors/models" | "/api/v1/motors/models/{model}" | "/api/v1/motors/bearings") => {
            VIEWER
        }
        ("PUT" | "DELETE", "/api/v1/motors/models/{model}") => ADMIN,

        ("GET", "/api/v1/vehicles" | "/api/v1/results" | "/ws/frontend") => VIEWER,
        ("GET", "/alerts/critical" | "/system/performance" | "/system/status") => VIEWER,
        ("GET", "/fault-types" | "/fleet/overview" | "/bridge/status" | "/api/v1/cluster/status") => VIEWER,
        ("POST", "/api/v1/cluster/tasks") => VIEWER,
        ("POST", path) if path.starts_with("/diagnosis/") => VIEWER,
        ("GET", "/api/v1/cluster/strategy") => VIEWER,
        ("PUT", "/api/v1/cluster/strategy") => OPERATOR,

        ("POST", "/initialize" | "/start" | "/system/stop" | "/system/scale" | "/bridge/control") => OPERATOR,
        ("POST", "/api/v1/cluster/start" | "/api/v1/cluster/stop") => OPERATOR,
        _ => return None,
    })
}

/// The methods that a path takes; none where the table does not have it.
pub fn methods(path: &str) -> Vec<Method> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    known.into_iter().filter(|method| listed(method, path).is_some()).collect()
}

impl Access {
    /// Who may call `method` on a path.
    pub fn to(method: &Method, path: &str) -> Self {
        listed(method, path).unwrap_or(Self::Role(Role::Admin))
    }

    /// Whether no token is needed.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Anyone | Self::Simulator)
    }

    /// Whether a principal may, for `vehicle` where the path names one.
    pub fn allows(self, principal: &Principal, vehicle: Option<&VehicleId>) -> bool {
        let own = |least: Role| match &principal.vehicle {
            Some(bound) => {
                let able = principal.role == Role::Vehicle || principal.role >= least;
                // Where the path names none the handler compares what the body names.
                able && vehicle.is_none_or(|named| named == bound)
            }
            None => principal.role >= least,
        };
        match self {
            Self::Anyone | Self::Simulator => true,
            Self::Sender => own(Role::Operator),
            Self::Reader => own(Role::Viewer),
            Self::Role(least) => principal.vehicle.is_none() && principal.role >= least,
        }
    }

    /// In words, for the documentation.
    pub fn describe(self) -> String {
        match self {
            Self::Anyone => "Anyone; no token is needed.".to_owned(),
            Self::Simulator => {
                "Anyone, without a token, in development and testing; closed in production.".to_owned()
            }
            Self::Sender => "A vehicle's key for its own vehicle, or role `operator`.".to_owned(),
            Self::Reader => "A vehicle's key for its own vehicle, or role `viewer`.".to_owned(),
            Self::Role(role) => format!("Role `{}` or above.", role.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_of_a_bound_key_counts() {
        let [own, other] = ["a", "b"].map(|id| VehicleId::new(id).unwrap());
        let bound = |role| Principal { role, vehicle: Some(own.clone()), ..Principal::anonymous() };
        for (role, sends, reads) in [
            (Role::Vehicle, true, true),
            (Role::Viewer, false, true),
            (Role::Operator, true, true),
            (Role::Admin, true, true),
        ] {
            for (access, may) in [(Access::Sender, sends), (Access::Reader, reads)] {
                for named in [Some(&own), None] {
                    assert_eq!(access.allows(&bound(role), named), may, "{role} {access:?} {named:?}");
                }
                assert!(!access.allows(&bound(role), Some(&other)), "{role} {access:?}");
            }
            assert!(!Access::Role(Role::Viewer).allows(&bound(role), Some(&own)), "{role}");
        }
    }
}
