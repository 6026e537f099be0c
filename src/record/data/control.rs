//! Data of decisions: by a policy, by a person.

use crate::record::text::{Any, Digest, ExternalId, Name};

use super::tool::Effect;
use crate::record::identity::UserType;

names! {
    /// What a policy decided.
    Verdict {
        Allow = "allow",
        Deny = "deny",
        RequireApproval = "require_approval",
        Modify = "modify",
    }
}

names! {
    /// What a person decided.
    Decision {
        Approved = "approved",
        Rejected = "rejected",
        Modified = "modified",
        Timeout = "timeout",
    }
}

names! {
    /// How the decision came about.
    DecisionMode {
        /// The person was asked this time.
        Explicit = "explicit",
        /// The person had said so before.
        Remembered = "remembered",
        /// A policy answered for the person.
        Policy = "policy",
    }
}

names! {
    /// How much is at stake.
    RiskTier {
        Low = "low",
        Medium = "medium",
        High = "high",
        Critical = "critical",
    }
}

object! {
    /// The policy that was asked.
    DecidedBy {
        /// A digest of the policy.
        digest: Option<Digest>,
        /// The policy.
        id: ExternalId,
        /// Its version.
        version: Option<Name>,
    }
}

object! {
    /// Data of `authorization_decision`. What it decides on is a cause `about`; its reasons are
    /// content.
    AuthorizationDecision {
        /// The verdict.
        decision: Verdict,
        /// The effect that was asked for.
        effect: Option<Effect>,
        /// Whether the verdict was carried out.
        enforced: Option<bool>,
        /// What the caller has to do besides.
        #[serde(default)]
        obligations: Any<Name>,
        /// The policy.
        policy: DecidedBy,
        /// The task that was asked for.
        task_id: Option<ExternalId>,
        /// The user that the policy looked at.
        user_id: Option<ExternalId>,
    }
}

object! {
    /// The person who decided.
    Approver {
        /// Their id at the issuer.
        id: ExternalId,
        /// Who vouches for the id.
        issuer: Option<ExternalId>,
        /// A name for people.
        name: Option<Name>,
    }
}

object! {
    /// Data of `human_approval`. What was decided on is a cause `about`; what the person saw, and
    /// what they said, are content.
    HumanApproval {
        /// The person who decided.
        approver: Approver,
        /// What decided in the end.
        decided_by_type: Option<UserType>,
        /// The decision.
        decision: Decision,
        /// How it came about.
        mode: DecisionMode,
        /// What had proposed it.
        proposed_by_type: Option<UserType>,
        /// How much was at stake.
        risk_tier: Option<RiskTier>,
    }
}
