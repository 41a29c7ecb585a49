//! Who asks, and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vtox_protocol::VehicleId;

/// What a principal may do; each role may do what the ones before it may, except that a vehicle is bound to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sends its own data and reads its own results.
    Vehicle,
    /// Reads everything.
    Viewer,
    /// Sends for any vehicle, starts and stops, sets motor profiles.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Vehicle, Self::Viewer, Self::Operator, Self::Admin];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vehicle => "vehicle",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| format!("{text:?} is no role; use vehicle, viewer, operator or admin"))
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name for people: of a vehicle, a person or a system.
    pub subject: String,
    /// What it may do.
    pub role: Role,
    /// The only vehicle it may act for; always there for [`Role::Vehicle`].
    pub vehicle: Option<VehicleId>,
    /// Stable id of what it showed, never a secret: `key:ID` for an API key, `user:NAME` for a person who logged in,
    /// `jwt:KID:SUB` for another token. For limits, ownership of message ids, and logs.
    pub credential: String,
}

const ANONYMOUS: &str = "anonymous";

impl Principal {
    /// Who asks where nobody has to say who they are: may do everything.
    pub fn anonymous() -> Self {
        Self {
            subject: ANONYMOUS.to_owned(),
            role: Role::Admin,
            vehicle: None,
            credential: ANONYMOUS.to_owned(),
        }
    }

    /// Whether it showed no credential.
    pub fn is_anonymous(&self) -> bool {
        self.credential == ANONYMOUS
    }

    /// Who it is where what there is is shared; none for who may be anybody.
    pub fn name_for_share(&self) -> Option<String> {
        (!self.is_anonymous()).then(|| self.credential.clone())
    }

    /// Who it is for what it owns, as the ids of its messages: a vehicle stays itself when its key is changed, and so does a
    /// person with each new token. No two kinds of credentials share one: what comes before the first colon is the kind, and
    /// only the last part is chosen by somebody else.
    pub fn identity(&self) -> String {
        match &self.vehicle {
            Some(vehicle) => format!("vehicle:{vehicle}"),
            None => self.credential.clone(),
        }
    }

    /// Whether it may have to do with a vehicle at all; its role says in which way.
    pub fn may_act_for(&self, vehicle: &VehicleId) -> bool {
        match &self.vehicle {
            Some(own) => own == vehicle,
            None => self.role != Role::Vehicle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("{:?}", role.name()));
        }
        assert!("Admin".parse::<Role>().unwrap_err().contains("use vehicle, viewer"));
    }

    #[test]
    fn a_vehicle_acts_for_itself_alone() {
        let (own, other) = (VehicleId::new("a").unwrap(), VehicleId::new("b").unwrap());
        let vehicle = Principal {
            subject: "a".to_owned(),
            role: Role::Vehicle,
            vehicle: Some(own.clone()),
            credential: "key:1".to_owned(),
        };
        assert!(vehicle.may_act_for(&own) && !vehicle.may_act_for(&other));
        assert!(!Principal { vehicle: None, ..vehicle.clone() }.may_act_for(&own), "bound to nothing");
        assert!(!Principal { role: Role::Admin, ..vehicle }.may_act_for(&other), "bound all the same");
        assert!(Principal::anonymous().may_act_for(&own) && Principal::anonymous().is_anonymous());
    }

    #[test]
    fn identities_do_not_depend_on_labels_and_do_not_collide() {
        let of = |subject: &str, vehicle: Option<&str>, credential: &str| {
            let vehicle = vehicle.map(|id| VehicleId::new(id).unwrap());
            let (subject, credential) = (subject.to_owned(), credential.to_owned());
            Principal { subject, role: Role::Operator, vehicle, credential }.identity()
        };
        let all = [
            of("depot", None, "key:1"),
            of("depot", None, "key:2"),
            of("depot", None, "user:depot"),
            of("depot", None, "jwt:first:depot"),
            of("depot", None, "jwt:second:depot"),
            of("vehicle:1", None, "key:3"),
            of("vehicle:1", None, "user:vehicle:1"),
            of("depot", Some("1"), "key:4"),
            of("depot", Some("user:depot"), "key:5"),
            Principal::anonymous().identity(),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
        assert_eq!(of("a", Some("1"), "key:6"), of("b", Some("1"), "jwt:first:b"), "the vehicle itself");
    }
}
