//! `/records/{id}/why` and `/effects`: walks over causes, page by page.
//!
//! A page carries the size of the log that the walk saw, in the cursor to the next one. Each page walks
//! again over the log of that size, which gives the same records in the same order, and so the pages
//! fit together while the log grows.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::accesses::{Access, Operation};
use super::app::{Limits, blocking};
use super::caller::Caller;
use super::error::ApiError;
use super::reading::Params;
use super::records::{List, record_unknown, to_bytes};
use super::{search, streaming};
use crate::access::{Action, Grant};
use crate::ledger::trace::{self, Bounds, Edge, Links, LinksError, Role, SessionReached, Step};
use crate::ledger::{Raised, View};
use crate::record::{Entry, Flag, Kind, Timestamp};
use crate::search::Index;

/// Which page of which walk is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    depth: Option<u64>,
    limit: Option<usize>,
}

/// A record of a walk. What it says in full is fetched by its id.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WalkedRecord")]
struct NodeBody {
    /// The record's id.
    id: String,
    /// Its place in the ledger.
    seq: u64,
    /// Its kind.
    kind: Kind,
    /// When it happened, as the sender says.
    occurred_at: Timestamp,
    /// When the server took it.
    received_at: Timestamp,
    /// The accountable user.
    user: Option<String>,
    /// The session.
    session: Option<String>,
    /// The agent that acted.
    agent: Option<String>,
    /// What the ledger noticed.
    flags: Vec<Flag>,
    /// What was raised about it later.
    raised: Vec<Raised>,
    /// What it is, in one line.
    title: String,
    /// The fewest steps in which it is reached.
    depth: u64,
    /// What it is to the one who asks.
    role: Role,
    /// How it was reached, and from which record; empty for the one that was asked for.
    edges: Vec<Edge>,
}

impl NodeBody {
    fn new(view: &View, step: Step, size: u64) -> Result<Self, ApiError> {
        let bytes = view.entry(step.seq)?.ok_or_else(record_unknown)?;
        let entry = Entry::parse(&bytes)
            .map_err(|_| ApiError::internal("a stored record cannot be read"))?;
        Ok(Self {
            id: step.id.to_string(),
            seq: step.seq,
            kind: step.kind,
            occurred_at: entry.occurred_at,
            received_at: entry.received_at,
            user: entry.user.as_ref().map(|user| user.id.to_string()),
            session: entry.session.as_ref().map(|session| session.id.to_string()),
            agent: entry.agent.as_ref().map(|agent| agent.id.to_string()),
            title: trace::title(view, &entry)?,
            flags: entry.flags,
            raised: view.raised(step.seq, size)?,
            depth: step.depth,
            role: step.role,
            edges: step.edges,
        })
    }

    /// About how many bytes it takes.
    fn length(&self) -> usize {
        const FIXED: usize = 512;
        const EDGE: usize = 48;
        FIXED + self.title.len() + self.edges.len() * EDGE
    }
}

/// What led to a record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Why")]
pub(super) struct WhyBody {
    /// Always `why`.
    #[schemars(extend("const" = "why"))]
    object: &'static str,
    /// The record's id.
    id: String,
    /// Its place in the ledger.
    seq: u64,
    /// The size of the log that was walked.
    size: u64,
    /// The answer in a sentence.
    summary: String,
    /// Whether a bound ended the walk, so that something is missing.
    truncated: bool,
    /// The record and all that led to it, the newest first.
    nodes: List<NodeBody>,
}

/// How much came of a record.
#[derive(Debug, Serialize, JsonSchema)]
struct EffectsTotals {
    /// Records of the walk, the first included.
    records: usize,
    /// Sessions that they are of.
    sessions: usize,
    /// Users that they are of.
    users: u64,
    /// API calls among them, the first record not counted.
    api_calls: u64,
}

/// What came of a record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Effects")]
pub(super) struct EffectsBody {
    /// Always `effects`.
    #[schemars(extend("const" = "effects"))]
    object: &'static str,
    /// The record's id.
    id: String,
    /// Its place in the ledger.
    seq: u64,
    /// The size of the log that was walked.
    size: u64,
    /// The answer in a sentence.
    summary: String,
    /// Whether a bound ended the walk, so that something is missing.
    truncated: bool,
    /// Of the whole walk, whatever the page.
    totals: EffectsTotals,
    /// The sessions that the walk touched, each with its API calls. On the first page only.
    sessions: Option<Vec<SessionReached>>,
    /// The record and all that came of it, the nearest first.
    nodes: List<NodeBody>,
}

/// Where a page begins: so many records into the walk over the log of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    size: u64,
    place: usize,
}

impl Cursor {
    fn text(self) -> String {
        format!("{}-{}", self.size, self.place)
    }
}

impl FromStr for Cursor {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let parsed = text.split_once('-').and_then(|(size, place)| {
            Some(Self { size: size.parse().ok()?, place: place.parse().ok()? })
        });
        // Only what was given out is taken back: no sign, no leading zero.
        parsed.filter(|cursor| cursor.text() == text).ok_or_else(cursor_unknown)
    }
}

fn cursor_unknown() -> ApiError {
    ApiError::bad_request("query_invalid", "`after` is not the cursor of an earlier page")
}

/// What a walk needs to know, besides the log.
struct Wanted {
    seq: u64,
    from: Cursor,
    limit: usize,
    bounds: Bounds,
}

impl Wanted {
    /// The first page is of the log as far as the index knows it.
    fn new(view: &View, known: &Indexed, page: &Page, limits: &Limits) -> Result<Self, ApiError> {
        let seq = known.seq;
        let from = match &page.after {
            Some(after) => after.parse()?,
            None => Cursor { size: known.index.through().min(view.size()), place: 0 },
        };
        if from.size > view.size() || from.size <= seq {
            return Err(cursor_unknown());
        }
        let bounds = Bounds {
            depth_max: page.depth.unwrap_or(u64::MAX),
            nodes_max: limits.walk_max,
            size: from.size,
        };
        Ok(Self { seq, from, limit: page.limit.unwrap_or(100).clamp(1, limits.page_max), bounds })
    }

    /// The records of the page: at most so many, and not many more bytes than allowed, but at least
    /// one.
    fn page(
        &self,
        view: &View,
        steps: Vec<Step>,
        bytes_max: usize,
    ) -> Result<List<NodeBody>, ApiError> {
        let all = steps.len();
        let (mut nodes, mut length) = (Vec::new(), 0);
        for step in steps.into_iter().skip(self.from.place).take(self.limit) {
            let node = NodeBody::new(view, step, self.from.size)?;
            length += node.length();
            nodes.push(node);
            if length >= bytes_max {
                break;
            }
        }
        let place = self.from.place.saturating_add(nodes.len());
        let after = (place < all).then(|| Cursor { place, ..self.from }.text());
        Ok(List::new(nodes, after))
    }
}

/// What led to a record.
pub(super) async fn why(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let (operation, asked) = (Operation::Why, id.clone());
    walked(app, grant, &ledger, (operation, asked), move |view, index, limits| {
        let wanted = Wanted::new(view, index, &page, limits)?;
        let why = trace::why(view, wanted.seq, wanted.bounds, index)?;
        let body = WhyBody {
            object: "why",
            seq: wanted.seq,
            size: wanted.from.size,
            summary: why.summary,
            truncated: why.truncated,
            nodes: wanted.page(view, why.steps, limits.page_bytes_max)?,
            id,
        };
        Ok((to_bytes(&body)?, body.nodes.len()))
    })
    .await
}

/// What came of a record.
pub(super) async fn effects(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let (operation, asked) = (Operation::Effects, id.clone());
    walked(app, grant, &ledger, (operation, asked), move |view, index, limits| {
        let wanted = Wanted::new(view, index, &page, limits)?;
        let effects = trace::effects(view, wanted.seq, wanted.bounds, index)?;
        let totals = EffectsTotals {
            records: effects.steps.len(),
            sessions: effects.sessions.len(),
            users: effects.users,
            api_calls: effects.api_calls(),
        };
        let body = EffectsBody {
            object: "effects",
            seq: wanted.seq,
            size: wanted.from.size,
            summary: effects.summary,
            truncated: effects.truncated,
            totals,
            sessions: (wanted.from.place == 0).then_some(effects.sessions),
            nodes: wanted.page(view, effects.steps, limits.page_bytes_max)?,
            id,
        };
        Ok((to_bytes(&body)?, body.nodes.len()))
    })
    .await
}

/// Makes an answer in its turn, where it holds up nobody else, and notes who asked for what.
async fn walked(
    app: App,
    grant: Arc<Grant>,
    ledger: &str,
    asked: (Operation, String),
    answer: impl FnOnce(&View, &Indexed, &Limits) -> Result<(Vec<u8>, u64), ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, ledger, Action::Investigate).await?;
    let index = app.index(&ledger)?;
    let (operation, query) = asked;
    let (view, id) = (ledger.view(), query.clone());
    let seq = blocking(move || view.seq_of(&id)?.ok_or_else(record_unknown)).await?;
    search::wait_for(&app, &index, Some(seq)).await?;
    let turn = streaming::turn(&app).await?;
    let (view, limits) = (ledger.view(), app.limits);
    let answer = move || answer(&view, &Indexed { index, seq }, &limits);
    let (bytes, records) = blocking(answer).await?;
    let access = Access { operation, records, query: Some(&query) };
    app.accesses.note(&ledger, &grant, access)?;
    Ok(streaming::whole(turn, StatusCode::OK, "application/json", bytes))
}

/// What the index knows of records that belong together.
struct Indexed {
    index: Arc<Index>,
    /// The record that is asked about, which the index has.
    seq: u64,
}

impl Links for Indexed {
    fn same_documents(
        &self,
        seq: u64,
        seqs: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, LinksError> {
        Ok(self.index.same_documents(seq, seqs, limit)?)
    }

    fn grant(&self, delegation: &str, below: u64) -> Result<Option<u64>, LinksError> {
        Ok(self.index.grant(delegation, below)?)
    }
}
