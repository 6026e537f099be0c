//! Where a record comes from: who saw it, and how it is joined to traces.

use super::text::{ExternalId, Hex, Name};

names! {
    /// Who saw what the record tells. Later ones stand further away from the agent.
    ObservedBy {
        AgentProcess = "agent_process",
        ToolExecutor = "tool_executor",
        McpGateway = "mcp_gateway",
        LlmGateway = "llm_gateway",
        EgressProxy = "egress_proxy",
        Idp = "idp",
        Imported = "imported",
    }
}

impl ObservedBy {
    /// Whether the observer can see a call without knowing its cause (SPEC 2.5): it stands outside the
    /// agent, or tells from an import what has happened, which is not thrown away for what it lacks.
    pub const fn is_independent(self) -> bool {
        match self {
            Self::McpGateway
            | Self::LlmGateway
            | Self::EgressProxy
            | Self::Idp
            | Self::Imported => true,
            Self::AgentProcess | Self::ToolExecutor => false,
        }
    }

    /// Whether the observer is part of the agent's own runtime, and so knows under which grant the
    /// agent acts (SPEC 2.4).
    pub const fn is_native(self) -> bool {
        match self {
            Self::AgentProcess | Self::ToolExecutor => true,
            Self::McpGateway
            | Self::LlmGateway
            | Self::EgressProxy
            | Self::Idp
            | Self::Imported => false,
        }
    }
}

names! {
    /// How the causes are known.
    LinkConfidence {
        /// The producer stated them.
        Stated = "stated",
        /// They were worked out from something else.
        Inferred = "inferred",
    }
}

names! {
    /// How much of the content the producer captured, and sent.
    Captured {
        /// All of it. This is what saying nothing means.
        Full = "full",
        /// A part of it.
        Truncated = "truncated",
        /// Nothing of it: the producer saw none, or was told to leave it out.
        Absent = "absent",
    }
}

object! {
    /// Who saw the record's facts and sent them.
    Source {
        /// How much of the content was captured.
        captured: Option<Captured>,
        /// The format that the record was translated from.
        format: Option<Name>,
        /// How the causes are known.
        link_confidence: Option<LinkConfidence>,
        /// Who saw it.
        observed_by: ObservedBy,
        /// Which program sent it.
        producer: ExternalId,
        /// The producer's own count, without holes.
        producer_seq: Option<u64>,
    }
}

object! {
    /// A producer's own signature of what it posts (SPEC 2.8).
    ProducerSignature {
        /// The key's name, as it was registered.
        key: ExternalId,
        /// The Ed25519 signature: 64 bytes in hexadecimal digits.
        value: Hex<128>,
    }
}

object! {
    /// The OpenTelemetry span that the record belongs to.
    Trace {
        /// The span around it.
        parent_span_id: Option<Hex<16>>,
        /// The span.
        span_id: Hex<16>,
        /// The trace.
        trace_id: Hex<32>,
    }
}
