//! Data of what goes into a model and comes out of it.

use crate::record::text::{Any, ExternalId, Name, OneOrMore};

names! {
    /// Whose voice a prompt has.
    PromptRole {
        User = "user",
        System = "system",
        Developer = "developer",
    }
}

names! {
    /// Where a prompt came from.
    PromptOrigin {
        Human = "human",
        Schedule = "schedule",
        Agent = "agent",
    }
}

names! {
    /// Whether what was retrieved is under the operator's control.
    Trust {
        Internal = "internal",
        External = "external",
    }
}

names! {
    /// What was done to a memory.
    MemoryOp {
        Create = "create",
        Search = "search",
        Update = "update",
        Upsert = "upsert",
        Delete = "delete",
        CreateStore = "create_store",
        DeleteStore = "delete_store",
    }
}

impl MemoryOp {
    /// Whether this changes what will be remembered.
    pub const fn is_write(self) -> bool {
        match self {
            Self::Search => false,
            Self::Create
            | Self::Update
            | Self::Upsert
            | Self::Delete
            | Self::CreateStore
            | Self::DeleteStore => true,
        }
    }
}

object! {
    /// Data of `prompt`. The words are content.
    Prompt {
        /// Where it was typed: a chat, an email, an API.
        channel: Option<Name>,
        /// Where it came from.
        origin: Option<PromptOrigin>,
        /// Whose voice it has.
        role: PromptRole,
    }
}

object! {
    /// The model that answered.
    Model {
        /// Who serves it.
        provider: Name,
        /// The model that was asked for.
        requested: Name,
        /// The provider's id of the answer.
        response_id: Option<ExternalId>,
        /// The model that answered.
        served: Option<Name>,
    }
}

object! {
    /// A tool that the model asked for. The arguments are content.
    ToolCall {
        /// The call's id.
        id: ExternalId,
        /// The tool.
        name: Name,
    }
}

object! {
    /// How many tokens it took.
    Usage {
        /// Input tokens read from a cache.
        cached_input_tokens: Option<u64>,
        /// Input tokens in all.
        input_tokens: Option<u64>,
        /// Output tokens in all.
        output_tokens: Option<u64>,
        /// Output tokens spent on reasoning.
        reasoning_tokens: Option<u64>,
    }
}

object! {
    /// Data of `model_output`. The words are content.
    ModelOutput {
        /// Why the model stopped.
        finish_reasons: OneOrMore<Name>,
        /// The model.
        model: Model,
        /// The tools that it asked for.
        #[serde(default)]
        tool_calls: Any<ToolCall>,
        /// How many tokens it took.
        usage: Option<Usage>,
    }
}

object! {
    /// A document that was found. Its text is content.
    Document {
        /// Its id at the source.
        id: ExternalId,
        /// Its version there.
        version: Option<Name>,
    }
}

object! {
    /// Data of `retrieval`. The query and the documents' texts are content.
    Retrieval {
        /// What was found.
        #[serde(default)]
        documents: Any<Document>,
        /// Where it was looked for.
        source: ExternalId,
        /// How many documents were asked for.
        top_k: Option<u64>,
        /// Whether the source is under the operator's control.
        trust: Option<Trust>,
    }
}

object! {
    /// Data of `memory`. What was remembered is content.
    Memory {
        /// What was done.
        op: MemoryOp,
        /// The memories' ids in the store.
        #[serde(default)]
        record_ids: Any<ExternalId>,
        /// The store.
        store: ExternalId,
    }
}
