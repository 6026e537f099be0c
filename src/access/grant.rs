//! What a token may do.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canon::SecretDigest;

/// What the bearer of a token is, on the ledgers of the token.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An agent runtime: appends records, and gets proofs of what it appended.
    Writer,
    /// Reads records, sessions and content.
    Investigator,
    /// Reads entries, tiles and proofs, and the content that it verifies.
    Auditor,
    /// Makes ledgers and tokens. Reads nothing but who read what.
    Admin,
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Append records.
    Append,
    /// Read checkpoints and proofs: no entries, no content.
    Prove,
    /// Read entries, tiles and content as an auditor does.
    Audit,
    /// Read records and sessions.
    Investigate,
    /// See who read a ledger, and keep its saved searches.
    Oversee,
    /// See the policy, and the keys that producers sign with.
    SeeSettings,
    /// Make ledgers and tokens.
    Administer,
}

impl Role {
    /// Whether the role suffices for an action.
    pub const fn permits(self, action: Action) -> bool {
        match action {
            Action::Append => matches!(self, Self::Writer),
            Action::Prove => matches!(self, Self::Writer | Self::Investigator | Self::Auditor),
            Action::Audit => matches!(self, Self::Auditor),
            Action::Investigate => matches!(self, Self::Investigator),
            Action::Oversee => matches!(self, Self::Investigator | Self::Admin),
            Action::SeeSettings => matches!(self, Self::Investigator | Self::Auditor | Self::Admin),
            Action::Administer => matches!(self, Self::Admin),
        }
    }
}

/// The ledgers on which a token is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every ledger, also those still to be made.
    All,
    /// These ledgers, by name.
    Ledgers(BTreeSet<String>),
}

impl Scope {
    /// Whether a ledger is in the scope.
    pub fn covers(&self, ledger: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ledgers(names) => names.contains(ledger),
        }
    }
}

/// What the server keeps of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// How the token is named where it is listed or revoked. Not secret.
    pub id: String,
    /// What the token is for, in somebody's words.
    pub name: String,
    /// Its roles.
    pub roles: BTreeSet<Role>,
    /// The ledgers they hold on.
    pub ledgers: Scope,
    /// The kinds of records that it may append, by their names; all without a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<String>>,
    /// The producers whose records it may append; all without a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producers: Option<BTreeSet<String>>,
    /// When it was made, in seconds since 1970 in UTC.
    pub created_at_unix: u64,
    /// When it ends, in seconds since 1970 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_unix: Option<u64>,
    /// The digest of the token.
    pub digest: SecretDigest,
}

impl Grant {
    /// Whether the token may do this on a ledger.
    pub fn permits(&self, action: Action, ledger: &str) -> bool {
        self.ledgers.covers(ledger) && self.roles.iter().any(|role| role.permits(action))
    }

    /// Whether the token may do this on the server as a whole.
    pub fn permits_everywhere(&self, action: Action) -> bool {
        self.ledgers == Scope::All && self.roles.iter().any(|role| role.permits(action))
    }

    /// Whether there could be a ledger on which the token may do this.
    pub fn permits_somewhere(&self, action: Action) -> bool {
        self.roles.iter().any(|role| role.permits(action))
    }

    /// Whether it may append records of this kind.
    pub fn covers_kind(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    /// Whether it may append records of this producer.
    pub fn covers_producer(&self, producer: &str) -> bool {
        self.producers.as_ref().is_none_or(|producers| producers.contains(producer))
    }

    /// Whether the token is still good.
    pub fn is_live(&self, now_unix: u64) -> bool {
        self.expires_at_unix.is_none_or(|end| now_unix < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, ledgers: Scope) -> Grant {
        Grant {
            id: "t".to_owned(),
            name: String::new(),
            roles: BTreeSet::from([role]),
            ledgers,
            kinds: None,
            producers: None,
            created_at_unix: 0,
            expires_at_unix: Some(10),
            digest: SecretDigest::of(b"t"),
        }
    }

    #[test]
    fn a_role_permits_its_own_actions_and_no_others() {
        use Action::{Administer, Append, Audit, Investigate, Oversee, Prove, SeeSettings};
        for (role, permitted) in [
            (Role::Writer, [Append, Prove].as_slice()),
            (Role::Investigator, &[Prove, Investigate, Oversee, SeeSettings]),
            (Role::Auditor, &[Prove, Audit, SeeSettings]),
            (Role::Admin, &[Oversee, SeeSettings, Administer]),
        ] {
            for action in [Append, Prove, Audit, Investigate, Oversee, SeeSettings, Administer] {
                assert_eq!(
                    role.permits(action),
                    permitted.contains(&action),
                    "{role:?} {action:?}"
                );
            }
        }
    }

    #[test]
    fn a_token_is_good_on_its_ledgers_only_and_not_for_ever() {
        let one = Scope::Ledgers(BTreeSet::from(["a".to_owned()]));
        let admin = grant(Role::Admin, one);
        assert!(admin.permits(Action::Administer, "a"));
        assert!(!admin.permits(Action::Administer, "b"));
        assert!(!admin.permits_everywhere(Action::Administer));
        assert!(admin.permits_somewhere(Action::Administer));
        assert!(!admin.permits_somewhere(Action::Append));
        assert!(grant(Role::Admin, Scope::All).permits_everywhere(Action::Administer));
        assert!(admin.is_live(9) && !admin.is_live(10));
    }
}
