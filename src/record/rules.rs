//! The table of kinds: who may post each, what it needs, and what it may follow from (SPEC 2.5, 2.6).

use super::cause::Rel;
use super::flag::Flag;
use super::kind::Kind;
use super::kind::Kind::{
    Annotation, ApiCall, AppEvent, AuthorizationDecision, CaptureGap, CaseNote, ConfigChange,
    Correction, DelegationGrant, DelegationRevoke, Erasure, Error, Genesis, Handoff, Heartbeat,
    HumanApproval, IngestRefusal, KeyRotation, LegalHold, LogAccess, LogExport, Memory,
    ModelOutput, ProducerKey, Prompt, RetentionPurge, Retrieval, SessionEnd, SessionStart,
    ToolCatalogSnapshot, ToolInvocation, ToolResult,
};
use super::limits::CAUSES_MAX;

/// What one kind of record needs, as far as it can be told from the record alone.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "columns of a table")]
pub struct Rules {
    /// The kind.
    pub kind: Kind,
    /// Whether only the server writes it.
    pub reserved: bool,
    /// Whether it needs a user.
    pub user: bool,
    /// Whether it needs a session.
    pub session: bool,
    /// Whether it needs an agent.
    pub agent: bool,
    /// Whether it needs content, unless the producer says that none was captured.
    pub content: bool,
    /// Whether it needs the grant under which the agent acted; a memory only when it is written.
    /// For an observer who cannot know the grant, its absence is a flag instead of a refusal.
    pub delegation: bool,
    /// What it may follow from.
    pub edges: &'static [Edge],
    /// The flag instead of a refusal when an independent observer cannot name the trigger.
    pub orphan: Option<Flag>,
}

/// One relation that a kind may have.
#[derive(Debug)]
pub struct Edge {
    /// The relation.
    pub rel: Rel,
    /// The kinds that it may lead to.
    pub to: &'static [Kind],
    /// How many it needs.
    pub min: usize,
    /// How many it may have.
    pub max: usize,
}

impl Rules {
    /// The edge of this relation, if the kind has it.
    pub fn edge(&self, rel: Rel) -> Option<&'static Edge> {
        self.edges.iter().find(|edge| edge.rel == rel)
    }
}

/// Whether a record of `kind` may name a record of `cause_kind` as its cause in this relation
/// (SPEC 2.5). The ledger asks this once it knows the cause.
pub fn cause_allowed(kind: Kind, rel: Rel, cause_kind: Kind) -> bool {
    kind.rules().edge(rel).is_some_and(|edge| edge.to.contains(&cause_kind))
}

impl Kind {
    /// Whether a record of this kind brings text into a session that neither the user nor the agent's
    /// operator wrote.
    pub const fn is_untrusted_input(self) -> bool {
        matches!(self, Retrieval | ToolResult | Memory)
    }

    /// The kind's row of the table.
    ///
    /// # Panics
    ///
    /// Never: that every kind has a row is checked when the crate is compiled.
    #[expect(clippy::expect_used, reason = "the table is checked when it is compiled")]
    pub fn rules(self) -> &'static Rules {
        let row = TABLE.binary_search_by(|row| row.kind.cmp(&self));
        row.ok().and_then(|row| TABLE.get(row)).expect("every kind has a row")
    }
}

/// The table has each kind in its place, or this does not compile.
#[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "evaluated by the compiler")]
const _: () = {
    assert!(TABLE.len() == Kind::ALL.len());
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].kind as usize == Kind::ALL[place] as usize);
        place += 1;
    }
};

/// What can be in a model's context.
const CONTEXT: &[Kind] = &[
    Prompt,
    ModelOutput,
    ToolResult,
    Retrieval,
    Memory,
    Handoff,
    Error,
    ApiCall,
    HumanApproval,
    ToolCatalogSnapshot,
    AppEvent,
];
/// What can allow something.
const AUTHORITY: &[Kind] = &[AuthorizationDecision, HumanApproval, DelegationGrant];
/// What an agent does of its own accord.
const ACTING: &[Kind] = &[Prompt, ModelOutput, ToolInvocation, ToolResult, Handoff, SessionStart];

/// May be triggered, at most once.
const fn triggered(to: &'static [Kind]) -> Edge {
    Edge { rel: Rel::TriggeredBy, to, min: 0, max: 1 }
}

/// Must be triggered, exactly once.
const fn needs_trigger(to: &'static [Kind]) -> Edge {
    Edge { rel: Rel::TriggeredBy, to, min: 1, max: 1 }
}

const fn completes(to: &'static [Kind], min: usize) -> Edge {
    Edge { rel: Rel::Completes, to, min, max: 1 }
}

const fn about(to: &'static [Kind], min: usize) -> Edge {
    Edge { rel: Rel::About, to, min, max: CAUSES_MAX }
}

const INFORMED: Edge = Edge { rel: Rel::InformedBy, to: CONTEXT, min: 0, max: CAUSES_MAX };
const AUTHORIZED: Edge = Edge { rel: Rel::AuthorizedBy, to: AUTHORITY, min: 0, max: CAUSES_MAX };
const HANDED: Edge = Edge { rel: Rel::HandedOffFrom, to: &[Handoff], min: 0, max: 1 };
const CORRECTS: Edge = Edge { rel: Rel::Corrects, to: Kind::ALL, min: 1, max: CAUSES_MAX };
const ABOUT_ANY: Edge = about(Kind::ALL, 0);
const ABOUT_SOME: Edge = about(Kind::ALL, 1);
const ANY_CONTEXT: Edge = Edge { rel: Rel::InformedBy, to: Kind::ALL, min: 0, max: CAUSES_MAX };

/// A kind that clients post, in a user's session.
const fn posted(kind: Kind, edges: &'static [Edge]) -> Rules {
    Rules {
        kind,
        reserved: false,
        user: true,
        session: true,
        agent: false,
        content: false,
        delegation: false,
        edges,
        orphan: None,
    }
}

/// The same, done by an agent.
const fn acted(kind: Kind, edges: &'static [Edge]) -> Rules {
    Rules { agent: true, ..posted(kind, edges) }
}

/// The same, under a grant.
const fn delegated(kind: Kind, edges: &'static [Edge]) -> Rules {
    Rules { delegation: true, ..acted(kind, edges) }
}

/// A remark by a user who need not be in a session of an agent.
const fn remark(kind: Kind, edges: &'static [Edge]) -> Rules {
    Rules { session: false, ..posted(kind, edges) }
}

/// A kind that the server writes.
const fn server(kind: Kind, edges: &'static [Edge]) -> Rules {
    Rules { reserved: true, user: false, session: false, ..posted(kind, edges) }
}

/// Every kind, in the order of declaration.
pub const TABLE: &[Rules] = &[
    posted(SessionStart, &[triggered(&[Handoff, AppEvent]), HANDED, AUTHORIZED]),
    posted(
        SessionEnd,
        &[triggered(&[SessionStart, Prompt, Error, AppEvent, DelegationRevoke]), AUTHORIZED],
    ),
    posted(
        DelegationGrant,
        &[triggered(&[SessionStart, Prompt, Handoff, HumanApproval, AppEvent]), AUTHORIZED],
    ),
    posted(
        DelegationRevoke,
        &[
            triggered(&[SessionEnd, Prompt, Error, HumanApproval, AuthorizationDecision, AppEvent]),
            about(&[DelegationGrant], 0),
            AUTHORIZED,
        ],
    ),
    Rules {
        user: false,
        session: false,
        ..posted(
            ToolCatalogSnapshot,
            &[triggered(&[SessionStart, Prompt, Error, AppEvent]), AUTHORIZED],
        )
    },
    Rules {
        content: true,
        ..posted(
            Prompt,
            &[
                triggered(&[
                    SessionStart,
                    ModelOutput,
                    ToolInvocation,
                    ToolResult,
                    Handoff,
                    HumanApproval,
                    AppEvent,
                ]),
                INFORMED,
                AUTHORIZED,
                HANDED,
            ],
        )
    },
    Rules {
        content: true,
        ..acted(
            ModelOutput,
            &[
                needs_trigger(&[Prompt, ToolResult, Handoff, SessionStart]),
                INFORMED,
                AUTHORIZED,
                HANDED,
            ],
        )
    },
    Rules {
        content: true,
        orphan: Some(Flag::OrphanToolInvocation),
        ..delegated(
            ToolInvocation,
            &[
                needs_trigger(&[ModelOutput, Prompt, Handoff]),
                completes(&[ToolInvocation], 0),
                INFORMED,
                AUTHORIZED,
                HANDED,
            ],
        )
    },
    Rules {
        content: true,
        ..delegated(
            ToolResult,
            &[completes(&[ToolInvocation], 1), triggered(&[ApiCall]), INFORMED, AUTHORIZED],
        )
    },
    Rules {
        orphan: Some(Flag::OrphanApiCall),
        ..delegated(
            ApiCall,
            &[needs_trigger(&[ToolInvocation]), completes(&[ApiCall], 0), INFORMED, AUTHORIZED],
        )
    },
    posted(AuthorizationDecision, &[ABOUT_SOME, triggered(ACTING), INFORMED, AUTHORIZED]),
    posted(HumanApproval, &[ABOUT_SOME, triggered(ACTING_OR_DECIDED), INFORMED, AUTHORIZED]),
    acted(Retrieval, &[triggered(ACTING), INFORMED, AUTHORIZED]),
    delegated(Memory, &[triggered(ACTING), INFORMED, AUTHORIZED]),
    delegated(Handoff, &[triggered(ACTING), INFORMED, AUTHORIZED, HANDED]),
    posted(Error, &[ABOUT_SOME, triggered(Kind::ALL), INFORMED]),
    posted(AppEvent, &[triggered(Kind::ALL), ABOUT_ANY, INFORMED, AUTHORIZED]),
    Rules { user: false, session: false, ..posted(Heartbeat, &[]) },
    remark(Correction, &[CORRECTS, ANY_CONTEXT, AUTHORIZED]),
    remark(Annotation, &[ABOUT_SOME, ANY_CONTEXT, AUTHORIZED]),
    remark(CaseNote, &[ABOUT_SOME, ANY_CONTEXT]),
    server(CaptureGap, &[ABOUT_ANY]),
    server(IngestRefusal, &[ABOUT_ANY]),
    server(Kind::Flag, &[ABOUT_SOME]),
    server(LogAccess, &[ABOUT_ANY]),
    server(LogExport, &[]),
    server(Erasure, &[ABOUT_ANY]),
    server(RetentionPurge, &[]),
    server(LegalHold, &[ABOUT_ANY]),
    server(KeyRotation, &[]),
    server(ConfigChange, &[]),
    server(ProducerKey, &[]),
    server(Genesis, &[]),
];

/// What a person can be asked about by the agent or by a policy.
const ACTING_OR_DECIDED: &[Kind] = &[
    Prompt,
    ModelOutput,
    ToolInvocation,
    ToolResult,
    Handoff,
    SessionStart,
    AuthorizationDecision,
];
