//! The kinds of records: a closed set.

names! {
    /// What a record tells (SPEC 2.6). What each kind needs is in [`Kind::rules`].
    Kind {
        /// A user signed in, and a session began.
        SessionStart = "session_start",
        /// A session ended.
        SessionEnd = "session_end",
        /// A user let an agent act for them.
        DelegationGrant = "delegation_grant",
        /// A grant was taken back.
        DelegationRevoke = "delegation_revoke",
        /// The tools that a server offered, at a moment.
        ToolCatalogSnapshot = "tool_catalog_snapshot",
        /// What the model was asked.
        Prompt = "prompt",
        /// What the model answered.
        ModelOutput = "model_output",
        /// A tool was asked for.
        ToolInvocation = "tool_invocation",
        /// What the tool gave back.
        ToolResult = "tool_result",
        /// A call to a system outside the agent.
        ApiCall = "api_call",
        /// A policy was asked, and decided.
        AuthorizationDecision = "authorization_decision",
        /// A person was asked, and decided.
        HumanApproval = "human_approval",
        /// Documents were fetched into the context.
        Retrieval = "retrieval",
        /// A lasting memory was read or written.
        Memory = "memory",
        /// One agent gave work to another.
        Handoff = "handoff",
        /// Something failed.
        Error = "error",
        /// An application event from an audit log of the usual shape.
        AppEvent = "app_event",
        /// A producer is alive, and has sent so much.
        Heartbeat = "heartbeat",
        /// A record was wrong; this one says what is right.
        Correction = "correction",
        /// A remark on a record.
        Annotation = "annotation",
        /// A remark in an investigation.
        CaseNote = "case_note",
        /// Something that should be in the log is not. Written by the server.
        CaptureGap = "capture_gap",
        /// A record was refused. Written by the server.
        IngestRefusal = "ingest_refusal",
        /// Something should not have happened. Written by the server.
        Flag = "flag",
        /// Somebody read the log. Written by the server.
        LogAccess = "log_access",
        /// Somebody took a copy of the log. Written by the server.
        LogExport = "log_export",
        /// Content was erased. Written by the server.
        Erasure = "erasure",
        /// Content went because its time was over. Written by the server.
        RetentionPurge = "retention_purge",
        /// Erasing was forbidden, or allowed again. Written by the server.
        LegalHold = "legal_hold",
        /// The log's signing key changed. Written by the server.
        KeyRotation = "key_rotation",
        /// A setting of the log changed. Written by the server.
        ConfigChange = "config_change",
        /// The key of a producer was registered, or taken back. Written by the server.
        ProducerKey = "producer_key",
        /// The first record of a ledger. Written by the server.
        Genesis = "genesis",
    }
}
