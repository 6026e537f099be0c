//! Flags: what should not have happened, sealed with the record that tells it.

use super::fault::Code;

names! {
    /// A finding about a record (SPEC 2.7): sealed with the record, or raised later by a record of its
    /// own. Sorted by name.
    Flag {
        /// It happened after its session had ended, or had to end.
        AfterSessionEnd = "after_session_end",
        /// An agent acted with the token of a user, in place of one of its own.
        AgentUsesUserToken = "agent_uses_user_token",
        /// The policy asks for a person's approval, and none is named.
        ApprovalMissing = "approval_missing",
        /// The approval that is named was given for something else.
        ApprovalNotBound = "approval_not_bound",
        /// The arguments are not as the tool's schema says.
        ArgumentsInvalid = "arguments_invalid",
        /// The grant's credential is for somebody else than who was called.
        AudienceMismatch = "audience_mismatch",
        /// It is said to have happened long before it was told.
        Backdated = "backdated",
        /// More calls than the grant allows.
        CallsExceeded = "calls_exceeded",
        /// The policy asks for all content, and some was not captured.
        ContentIncomplete = "content_incomplete",
        /// Another agent acted than the one that the grant is for.
        DelegateMismatch = "delegate_mismatch",
        /// The grant had ended.
        DelegationExpired = "delegation_expired",
        /// An outside observer saw the agent act, and no grant is known under which it did.
        DelegationMissing = "delegation_missing",
        /// The grant had been taken back.
        DelegationRevoked = "delegation_revoked",
        /// The ledger has no such grant.
        DelegationUnknown = "delegation_unknown",
        /// A grant allows more, or lasts longer, than the one that it is a part of.
        DelegationWidened = "delegation_widened",
        /// The grant does not allow this effect.
        EffectExceeded = "effect_exceeded",
        /// After content that nobody vouches for, the agent did something to the outside that its task
        /// does not name.
        InfluencedByUntrusted = "influenced_by_untrusted",
        /// It was told after its session's end, and happened before.
        Late = "late",
        /// An outside observer saw an API call that no tool invocation explains.
        OrphanApiCall = "orphan_api_call",
        /// An outside observer saw a tool invocation that nothing in the log explains.
        OrphanToolInvocation = "orphan_tool_invocation",
        /// Many records of one producer were refused within a short time.
        RefusalBurst = "refusal_burst",
        /// The grant does not have a scope that was used, or does not approve the tool.
        ScopeExceeded = "scope_exceeded",
        /// A secret stood in the content, and was replaced before it was sealed.
        SecretRedacted = "secret_redacted",
        /// The grant is of another user.
        SubjectMismatch = "subject_mismatch",
        /// The grant is for another task.
        TaskMismatch = "task_mismatch",
        /// The tool is not defined as it was when it was approved.
        ToolDefinitionChanged = "tool_definition_changed",
        /// The agent had never used this tool before.
        ToolFirstUse = "tool_first_use",
        /// The tool is not in the approved catalog.
        ToolNotInCatalog = "tool_not_in_catalog",
    }
}

names! {
    /// How bad it is.
    Severity {
        Info = "info",
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

impl Flag {
    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Late => Severity::Info,
            Self::Backdated | Self::ToolFirstUse => Severity::Low,
            Self::ArgumentsInvalid
            | Self::CallsExceeded
            | Self::ContentIncomplete
            | Self::RefusalBurst
            | Self::SecretRedacted
            | Self::TaskMismatch => Severity::Medium,
            Self::AfterSessionEnd
            | Self::AgentUsesUserToken
            | Self::ApprovalMissing
            | Self::ApprovalNotBound
            | Self::AudienceMismatch
            | Self::DelegateMismatch
            | Self::DelegationExpired
            | Self::DelegationMissing
            | Self::DelegationRevoked
            | Self::DelegationUnknown
            | Self::DelegationWidened
            | Self::EffectExceeded
            | Self::InfluencedByUntrusted
            | Self::OrphanApiCall
            | Self::OrphanToolInvocation
            | Self::ScopeExceeded
            | Self::SubjectMismatch
            | Self::ToolDefinitionChanged
            | Self::ToolNotInCatalog => Severity::High,
        }
    }

    /// The code by which a request that can still be stopped is refused, where the policy is strict.
    /// `None` for what is told of what has happened, and no reason to stop anything.
    pub const fn refusal(self) -> Option<Code> {
        Some(match self {
            Self::AfterSessionEnd => Code::SessionEnded,
            Self::ApprovalMissing => Code::ApprovalMissing,
            Self::ApprovalNotBound => Code::ApprovalNotBound,
            Self::AudienceMismatch => Code::AudienceMismatch,
            Self::CallsExceeded => Code::CallsExceeded,
            Self::ContentIncomplete => Code::ContentIncomplete,
            Self::DelegateMismatch => Code::DelegateMismatch,
            Self::DelegationExpired => Code::DelegationExpired,
            Self::DelegationRevoked => Code::DelegationRevoked,
            Self::DelegationUnknown => Code::DelegationUnknown,
            Self::EffectExceeded => Code::EffectExceeded,
            Self::ScopeExceeded => Code::ScopeExceeded,
            Self::SubjectMismatch => Code::SubjectMismatch,
            Self::TaskMismatch => Code::TaskMismatch,
            Self::ToolDefinitionChanged => Code::ToolDefinitionChanged,
            Self::ToolNotInCatalog => Code::ToolNotInCatalog,
            Self::AgentUsesUserToken
            | Self::ArgumentsInvalid
            | Self::Backdated
            | Self::DelegationMissing
            | Self::DelegationWidened
            | Self::InfluencedByUntrusted
            | Self::Late
            | Self::OrphanApiCall
            | Self::OrphanToolInvocation
            | Self::RefusalBurst
            | Self::SecretRedacted
            | Self::ToolFirstUse => return None,
        })
    }
}
