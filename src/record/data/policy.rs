//! The policy of a ledger: what of a request is refused, and what every record is checked for.

use crate::record::text::{Any, Name};

use super::tool::Effect;

names! {
    /// What becomes of a request that breaks a rule.
    PolicyMode {
        /// It is refused, as long as it can still be stopped.
        Strict = "strict",
        /// It is sealed, with the flags that say so.
        Observe = "observe",
    }
}

names! {
    /// Which tools have to be in an approved catalog.
    CatalogRule {
        /// Those of servers of which a catalog was approved.
        Known = "known",
        /// Every tool.
        Required = "required",
    }
}

object! {
    /// The rules that a ledger can choose. They are sealed with the change that puts them in force, so
    /// that every later flag and refusal can be explained from the log.
    Policy {
        /// The effects for which a person's approval is needed; none if left out.
        #[serde(default)]
        approvals: Any<Effect>,
        /// Which tools have to be in an approved catalog; `known` if left out.
        catalog: Option<CatalogRule>,
        /// Whether content that was not captured in full is a fault.
        content_required: Option<bool>,
        /// The detections that are off, by their ids.
        #[serde(default)]
        detections_off: Any<Name>,
        /// Whether a grant with the lifetime basis `grant` lasts beyond its session.
        grants_outlive_sessions: Option<bool>,
        /// What becomes of a request that breaks a rule.
        mode: PolicyMode,
        /// Whether secrets in content are replaced before they are sealed: yes if left out.
        redact_secrets: Option<bool>,
        /// After how many days content is erased; never if left out.
        retention_days: Option<u64>,
    }
}

impl Default for Policy {
    /// What is in force where nobody has chosen: strict, and nothing else.
    fn default() -> Self {
        Self {
            approvals: Any::default(),
            catalog: None,
            content_required: None,
            detections_off: Any::default(),
            grants_outlive_sessions: None,
            mode: PolicyMode::Strict,
            redact_secrets: None,
            retention_days: None,
        }
    }
}

impl Policy {
    /// Whether a request that breaks a rule is refused.
    pub fn is_strict(&self) -> bool {
        self.mode == PolicyMode::Strict
    }

    /// Whether secrets are replaced before they are sealed.
    pub fn redacts_secrets(&self) -> bool {
        self.redact_secrets != Some(false)
    }
}
