//! `data`: the structured part of a record, with a type for each kind (SPEC 2.6).
//!
//! It is sealed in the tree and can never be erased. So it holds names, ids, numbers and closed
//! choices; the words of people and models are content. It holds no floating-point number, and no
//! digest of content: without a salt, that would let anyone test guesses about erased content.
//!
//! A member is required where every honest producer that is part of the agent's runtime knows it.
//! What real captures lack is optional, though it makes a record say more:
//!
//! - `call_id`: older conventions and tools that users run themselves have none; causes link calls;
//! - `catalog_id` and `definition_digest` of a call: most runtimes keep no catalog of tools;
//! - `description_digest` and `input_schema_digest` of a tool: not every tool has a description or a
//!   schema, and the digest of the whole definition covers both;
//! - `credential_id`: the program that calls an API often cannot see the credential's own id;
//! - `child_delegation` and `task_id` of a handoff: within one process there is no second grant;
//! - `documents` and `record_ids`: a search may find nothing, and a store may give out no ids;
//! - `version` and `digest` of a policy: many policies have neither.

mod control;
mod identity;
mod model;
mod policy;
mod remark;
mod system;
mod tool;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

pub use control::{
    Approver, AuthorizationDecision, DecidedBy, Decision, DecisionMode, HumanApproval, RiskTier,
    Verdict,
};
pub use identity::{
    Auth, AuthMethod, Credential, DelegationGrant, DelegationRevoke, EndReason, LifetimeBasis,
    SessionEnd, SessionStart,
};
pub use model::{
    Document, Memory, MemoryOp, Model, ModelOutput, Prompt, PromptOrigin, PromptRole, Retrieval,
    ToolCall, Trust, Usage,
};
pub use policy::{CatalogRule, Policy, PolicyMode};
pub use remark::{
    Actor, Annotation, AppEvent, CaseNote, Context, Correction, ErrorReport, Heartbeat, Target,
};
pub use system::{
    CaptureGap, ConfigChange, Erasure, FlagRaised, Gap, Genesis, HoldState, IngestRefusal,
    KeyRotation, KeyState, LegalHold, LogAccess, LogExport, ProducerKey, Reach, RetentionPurge,
};
pub use tool::{
    ApiCall, Crud, Effect, Handoff, HandoffMode, Phase, Protocol, Resource, Review, Status,
    ToolAnnotations, ToolCatalogSnapshot, ToolDefinition, ToolInvocation, ToolResult, Url,
};

use super::check::Check;
use super::fault::{At, Faults};
use super::kind::Kind;

/// Joins each kind to the type of its data.
macro_rules! data {
    ($($kind:ident: $type:ident,)+) => {
        /// The data of a record, and thereby its kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Data {
            $(#[doc = concat!("The data of [`Kind::", stringify!($kind), "`].")] $kind($type),)+
        }

        impl Data {
            /// The kind that this is the data of.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// Reads the data of `kind`; no data at all is the same as `{}`.
            pub(super) fn parse(kind: Kind, raw: Option<&RawValue>) -> serde_json::Result<Self> {
                let text = raw.map_or("{}", RawValue::get);
                match kind {
                    $(Kind::$kind => serde_json::from_str(text).map(Self::$kind),)+
                }
            }

            /// The same, to find out where it fails.
            pub(super) fn locate(
                kind: Kind,
                raw: Option<&RawValue>,
            ) -> Result<(), serde_path_to_error::Error<serde_json::Error>> {
                let text = raw.map_or("{}", RawValue::get);
                let from = &mut serde_json::Deserializer::from_str(text);
                match kind {
                    $(Kind::$kind => {
                        serde_path_to_error::deserialize::<_, $type>(from).map(drop)
                    })+
                }
            }

            /// The JSON Schema of the data of `kind`.
            pub(super) fn schema(
                kind: Kind,
                generator: &mut schemars::SchemaGenerator,
            ) -> schemars::Schema {
                match kind {
                    $(Kind::$kind => generator.subschema_for::<$type>(),)+
                }
            }
        }

        impl Serialize for Data {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(data) => Serialize::serialize(data, serializer),)+
                }
            }
        }

        impl Check for Data {
            fn is_absent(&self) -> bool {
                match self {
                    $(Self::$kind(data) => data.is_absent(),)+
                }
            }

            fn check(&self, at: At<'_>, faults: &mut Faults) {
                match self {
                    $(Self::$kind(data) => data.check(at, faults),)+
                }
                if let Self::ApiCall(call) = self {
                    call.check_call(at, faults);
                }
            }
        }

        $(impl From<$type> for Data {
            fn from(data: $type) -> Self {
                Self::$kind(data)
            }
        })+
    };
}

data! {
    SessionStart: SessionStart,
    SessionEnd: SessionEnd,
    DelegationGrant: DelegationGrant,
    DelegationRevoke: DelegationRevoke,
    ToolCatalogSnapshot: ToolCatalogSnapshot,
    Prompt: Prompt,
    ModelOutput: ModelOutput,
    ToolInvocation: ToolInvocation,
    ToolResult: ToolResult,
    ApiCall: ApiCall,
    AuthorizationDecision: AuthorizationDecision,
    HumanApproval: HumanApproval,
    Retrieval: Retrieval,
    Memory: Memory,
    Handoff: Handoff,
    Error: ErrorReport,
    AppEvent: AppEvent,
    Heartbeat: Heartbeat,
    Correction: Correction,
    Annotation: Annotation,
    CaseNote: CaseNote,
    CaptureGap: CaptureGap,
    IngestRefusal: IngestRefusal,
    Flag: FlagRaised,
    LogAccess: LogAccess,
    LogExport: LogExport,
    Erasure: Erasure,
    RetentionPurge: RetentionPurge,
    LegalHold: LegalHold,
    KeyRotation: KeyRotation,
    ConfigChange: ConfigChange,
    ProducerKey: ProducerKey,
    Genesis: Genesis,
}
