//! Flags: what should not have happened, sealed with the record that tells it.

names! {
    /// A finding about a record, made before it was sealed (SPEC 2.7). Sorted by name.
    Flag {
        /// An outside observer saw the agent act, and no grant is known under which it did.
        DelegationMissing = "delegation_missing",
        /// An outside observer saw an API call that no tool invocation explains.
        OrphanApiCall = "orphan_api_call",
        /// An outside observer saw a tool invocation that nothing in the log explains.
        OrphanToolInvocation = "orphan_tool_invocation",
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
            Self::DelegationMissing | Self::OrphanApiCall | Self::OrphanToolInvocation => {
                Severity::High
            }
        }
    }
}
