//! `/v1/ledgers/{ledger}/records?q=` and what else the index answers: which records, which sessions,
//! and how far the index is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::accesses::{Access, Operation};
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, ProblemField, with_causes};
use super::reading::Params;
use super::records::{List, json, to_bytes};
use super::streaming;
use crate::access::Action;
use crate::ledger::View;
use crate::record::{Entry, Flag, Kind, Timestamp};
use crate::search::query::{self, QueryError};
use crate::search::{self, Facet, Found, FoundSessions, Highlighter, Index, Order, Query, Request};

/// Values of a facet that an answer names.
const FACET_VALUES: usize = 20;
/// Sessions of a page at most: each is counted on its own.
const SESSIONS_MAX: usize = 100;

/// What is asked, in the query string.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    q: Option<String>,
    user: Option<String>,
    session: Option<String>,
    agent: Option<String>,
    tool: Option<String>,
    kind: Option<String>,
    flag: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
    order: Option<Direction>,
    wait_for: Option<u64>,
    facets: Option<String>,
    histogram: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Asc,
    Desc,
}

impl Ask {
    /// The query that all parameters together mean.
    pub(super) fn query(&self, now: Timestamp) -> Result<Query, ApiError> {
        let mut parts = Vec::new();
        if let Some(text) = &self.q {
            parts.push(query::parse(text, now).map_err(|error| refused("q", &error))?);
        }
        for (name, value) in self.named() {
            let Some(value) = value else { continue };
            let part = query::parse(&format!("{name}:{}", quoted(value)), now);
            parts.push(part.map_err(|error| refused(name, &error))?);
        }
        parts.retain(|part| *part != Query::All);
        Ok(match parts.len() {
            0 | 1 => parts.pop().unwrap_or(Query::All),
            _ => Query::And(parts),
        })
    }

    /// What was asked, for the record of it in the ledger.
    fn logged(&self) -> String {
        let named = self.named().into_iter();
        let named = named.filter_map(|(name, value)| Some(format!("{name}:{}", quoted(value?))));
        self.q.clone().into_iter().chain(named).collect::<Vec<_>>().join(" ")
    }

    /// The parameters that are a condition each.
    fn named(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("user", self.user.as_deref()),
            ("session", self.session.as_deref()),
            ("agent", self.agent.as_deref()),
            ("tool", self.tool.as_deref()),
            ("kind", self.kind.as_deref()),
            ("flag", self.flag.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }

    fn facets(&self) -> Result<Vec<Facet>, ApiError> {
        let names = self.facets.iter().flat_map(|names| names.split(','));
        let facet = |name: &str| Facet::ALL.into_iter().find(|facet| facet.as_str() == name);
        let facets = names.filter(|name| !name.is_empty()).map(|name| {
            facet(name).ok_or_else(|| {
                let known = Facet::ALL.map(Facet::as_str).join(", ");
                ApiError::bad_request("query_invalid", &format!("`facets` takes any of {known}"))
            })
        });
        facets.collect()
    }
}

/// A value as it is written in a query, whatever is in it.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The query that a text means; none if it wants every record.
pub(super) fn asked(app: &App, text: &str) -> Result<Option<Query>, ApiError> {
    let query = query::parse(text, app.clock.now()).map_err(|error| refused("q", &error))?;
    Ok((query != Query::All).then_some(query))
}

/// A query that cannot be understood, and where.
fn refused(parameter: &str, error: &QueryError) -> ApiError {
    let message = error.to_string();
    let detail = format!("`{parameter}` cannot be understood: {message}");
    let mut refused = ApiError::bad_request("query_invalid", &detail);
    let pointer = format!("/{parameter}");
    refused.errors.push(ProblemField { pointer, code: "query_invalid".to_owned(), message });
    refused
}

impl From<search::Error> for ApiError {
    fn from(error: search::Error) -> Self {
        match error {
            search::Error::Unanswerable(why) => Self::bad_request("query_invalid", why),
            search::Error::Index(_) | search::Error::Doubtful | search::Error::Io { .. } => {
                Self { cause: Some(with_causes(&error)), ..Self::index_unavailable() }
            }
            search::Error::Store(_) | search::Error::Entry { .. } => {
                Self::internal(with_causes(&error))
            }
        }
    }
}

/// Records that match, and what is known of all of them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchPage")]
pub(super) struct FoundBody {
    /// The page.
    #[serde(flatten)]
    list: List<Hit>,
    /// Exactly how many records match, on all pages.
    total: u64,
    /// The number of records that were looked at: the first so many of the ledger.
    indexed_through: u64,
    /// How many of the records have each value, the most frequent values first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facets: BTreeMap<&'static str, FacetBody>,
    /// When the records were received.
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramBody>,
}

/// The values of a field.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Facet")]
struct FacetBody {
    /// The most frequent ones.
    values: Vec<FacetValue>,
    /// How many there are, named here or not.
    distinct: usize,
}

/// A value, and how many of the records have it.
#[derive(Debug, Serialize, JsonSchema)]
struct FacetValue {
    /// The value.
    value: String,
    /// The records.
    count: u64,
}

/// Records by the time at which they were received.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Histogram")]
struct HistogramBody {
    /// How wide a bar is.
    width_seconds: i64,
    /// The bars that have records.
    bars: Vec<BarBody>,
}

/// A bar.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Bar")]
struct BarBody {
    /// When it begins.
    from: Timestamp,
    /// The records.
    count: u64,
}

/// A record that matches. All of it is at `records/{id}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchHit")]
struct Hit {
    /// Always `hit`.
    #[schemars(extend("const" = "hit"))]
    object: &'static str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// What the ledger noticed.
    flags: Vec<Flag>,
    /// Where the words of the query stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<SnippetBody>,
}

/// A piece of a record's text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Snippet")]
struct SnippetBody {
    /// Where the text stands, as queries name it.
    path: String,
    /// The piece, as what stands between and in the words of the query, in order.
    pieces: Vec<Piece>,
    /// Whether text was left out before the piece.
    cut_before: bool,
    /// Whether text was left out after it.
    cut_after: bool,
}

/// A part of a snippet.
#[derive(Debug, Serialize, JsonSchema)]
struct Piece {
    /// The text.
    text: String,
    /// Whether it is a word of the query.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hit: bool,
}

/// Searches a ledger.
pub(super) async fn search(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(ask): Params<Ask>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let query = ask.query(app.clock.now())?;
    let facets = ask.facets()?;
    let index = app.index(&ledger)?;
    wait_for(&app, &index, ask.wait_for).await?;
    let turn = streaming::turn(&app).await?;
    let logged = ask.logged();
    let (limits, of) = (app.limits, ledger.clone());
    let made = blocking(move || {
        let view = of.view();
        let request = Request {
            query: &query,
            below: view.size(),
            order: match ask.order {
                Some(Direction::Asc) => Order::Ascending,
                Some(Direction::Desc) | None => Order::Descending,
            },
            after: ask.after,
            limit: ask.limit.unwrap_or(50).clamp(1, limits.page_max),
            facets: &facets,
            facet_values: FACET_VALUES,
            histogram: ask.histogram.unwrap_or(false),
        };
        let body = found(&view, &request, index.search(&request)?)?;
        Ok((to_bytes(&body)?, body.list.len()))
    });
    let (bytes, records) = made.await?;
    let access = Access { operation: Operation::Search, records, query: Some(&logged) };
    app.accesses.note(&ledger, &grant, access)?;
    Ok(streaming::whole(turn, StatusCode::OK, "application/json", bytes))
}

/// Waits until the index has a record, if that was asked. Whoever waits holds up nobody who does not:
/// it has no turn yet to make an answer.
pub(super) async fn wait_for(
    app: &App,
    index: &Arc<Index>,
    seq: Option<u64>,
) -> Result<(), ApiError> {
    let Some(seq) = seq else { return Ok(()) };
    let waiting = Arc::clone(&app.index_waits).try_acquire_owned();
    let waiting = waiting.map_err(|_| ApiError::busy())?;
    let (index, patience) = (Arc::clone(index), app.limits.index_wait_max);
    let reached = blocking(move || {
        let reached = index.wait_for(seq, patience);
        drop(waiting);
        Ok(reached)
    });
    if reached.await? {
        return Ok(());
    }
    let detail = "the index does not have the record that was to be waited for: ask again later";
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "index_behind", detail);
    Err(ApiError { retry_after_seconds: Some(5), ..error })
}

fn found(view: &View, request: &Request<'_>, found: Found) -> Result<FoundBody, ApiError> {
    let highlighter = Highlighter::new(request.query);
    let hits = found.seqs.iter().map(|seq| hit(view, *seq, &highlighter));
    let hits = hits.collect::<Result<Vec<_>, _>>()?;
    let last = found.seqs.last().filter(|_| found.seqs.len() == request.limit);
    let facets = found.facets.into_iter().map(|counts| {
        let values = counts.values.into_iter().map(|(value, count)| FacetValue { value, count });
        (counts.facet.as_str(), FacetBody { values: values.collect(), distinct: counts.distinct })
    });
    let histogram = found.histogram.map(|histogram| HistogramBody {
        width_seconds: histogram.width / 1_000_000_000,
        bars: histogram
            .bars
            .into_iter()
            .map(|(from, count)| BarBody { from: moment(from), count })
            .collect(),
    });
    Ok(FoundBody {
        list: List::new(hits, last.map(ToString::to_string)),
        total: found.total,
        indexed_through: found.through,
        facets: facets.collect(),
        histogram,
    })
}

fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(nanos)).unwrap_or(Timestamp::EPOCH)
}

fn hit(view: &View, seq: u64, highlighter: &Highlighter) -> Result<Hit, ApiError> {
    let damaged = || ApiError::internal("a stored record cannot be read");
    let bytes = view.entry(seq)?.ok_or_else(damaged)?;
    let entry = Entry::parse(&bytes).map_err(|_| damaged())?;
    let snippet = if highlighter.is_empty() {
        None
    } else {
        highlighter.snippet(&bytes, &view.content(seq)?)?
    };
    Ok(Hit {
        object: "hit",
        id: entry.id.to_string(),
        seq,
        kind: entry.kind,
        occurred_at: entry.occurred_at,
        received_at: entry.received_at,
        user: entry.user.as_ref().map(|user| user.id.to_string()),
        session: entry.session.as_ref().map(|session| session.id.to_string()),
        agent: entry.agent.as_ref().map(|agent| agent.id.to_string()),
        flags: entry.flags,
        snippet: snippet.map(snippet_body),
    })
}

fn snippet_body(snippet: search::Snippet) -> SnippetBody {
    let text = |from: usize, to: usize| snippet.text.get(from..to).unwrap_or("").to_owned();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for highlight in &snippet.highlights {
        if highlight.start > at {
            pieces.push(Piece { text: text(at, highlight.start), hit: false });
        }
        pieces.push(Piece { text: text(highlight.start, highlight.end), hit: true });
        at = highlight.end;
    }
    if at < snippet.text.len() {
        pieces.push(Piece { text: text(at, snippet.text.len()), hit: false });
    }
    let (cut_before, cut_after) = snippet.cut;
    SnippetBody { path: snippet.path, pieces, cut_before, cut_after }
}

/// Sessions, the one with the newest record that matches first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionList")]
pub(super) struct SessionsBody {
    /// The page.
    #[serde(flatten)]
    list: List<SessionSummary>,
    /// How many sessions have a record that matches, on all pages.
    total: u64,
    /// The number of records that were looked at: the first so many of the ledger.
    indexed_through: u64,
}

/// A session in a list. Its counts are of all its records, whether they match or not.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionSummary {
    /// Always `session_summary`.
    #[schemars(extend("const" = "session_summary"))]
    object: &'static str,
    /// The session's id.
    id: String,
    /// Its users; one, if all is in order.
    users: Vec<String>,
    /// Its agents.
    agents: Vec<String>,
    /// The number of its records.
    records: u64,
    /// Its records by kind.
    kinds: BTreeMap<String, u64>,
    /// Its records by what the ledger noticed in them.
    flags: BTreeMap<String, u64>,
    /// When its first record was received.
    started_at: Timestamp,
    /// When its last record was received.
    last_activity_at: Timestamp,
    /// Its newest record that matches.
    newest_match: u64,
}

/// Lists the sessions of the records that match.
pub(super) async fn sessions(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(ask): Params<Ask>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let query = ask.query(app.clock.now())?;
    let index = app.index(&ledger)?;
    wait_for(&app, &index, ask.wait_for).await?;
    let turn = streaming::turn(&app).await?;
    let logged = ask.logged();
    let of = ledger.clone();
    let made = blocking(move || {
        let below = of.view().size();
        let limit = ask.limit.unwrap_or(50).clamp(1, SESSIONS_MAX);
        let FoundSessions { hits, total, through } =
            index.sessions(&query, below, ask.after, limit)?;
        let after = hits.last().filter(|_| hits.len() == limit).map(|hit| hit.seq.to_string());
        let summaries = hits.into_iter().map(|hit| summary(&index, below, hit));
        let list = List::new(summaries.collect::<Result<Vec<_>, ApiError>>()?, after);
        let sessions = list.len();
        let body = SessionsBody { list, total, indexed_through: through };
        Ok((to_bytes(&body)?, sessions))
    });
    let (bytes, records) = made.await?;
    let access = Access { operation: Operation::Sessions, records, query: Some(&logged) };
    app.accesses.note(&ledger, &grant, access)?;
    Ok(streaming::whole(turn, StatusCode::OK, "application/json", bytes))
}

fn summary(index: &Index, below: u64, hit: search::SessionHit) -> Result<SessionSummary, ApiError> {
    let of_session = query::Match::Is(hit.id.clone());
    let query = Query::Field(query::Field::Session, of_session);
    let facets = [Facet::User, Facet::Agent, Facet::Kind, Facet::Flag];
    let request = Request { facets: &facets, facet_values: 100, ..Request::new(&query, below, 0) };
    let found = index.search(&request)?;
    let mut counts = found.facets.into_iter().map(|counts| counts.values);
    let mut next = || counts.next().unwrap_or_default();
    let names = |values: Vec<(String, u64)>| values.into_iter().map(|(name, _)| name).collect();
    let (users, agents, kinds, flags) = (next(), next(), next(), next());
    let (first, last) = found.received.unwrap_or_default();
    Ok(SessionSummary {
        object: "session_summary",
        id: hit.id,
        users: names(users),
        agents: names(agents),
        records: found.total,
        kinds: kinds.into_iter().collect(),
        flags: flags.into_iter().collect(),
        started_at: moment(first),
        last_activity_at: moment(last),
        newest_match: hit.seq,
    })
}

/// How far the index of a ledger is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "IndexStatus")]
pub(super) struct IndexBody {
    /// Always `index`.
    #[schemars(extend("const" = "index"))]
    object: &'static str,
    /// The number of records that a search finds: the first so many of the ledger.
    indexed_through: u64,
    /// The number of records of the ledger.
    size: u64,
    /// How many records are in the index that is being built to take this one's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilding_through: Option<u64>,
}

/// Says how far the index is.
pub(super) async fn index(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let size = ledger.view().size();
    json(StatusCode::OK, &index_body(app.index(&ledger)?.as_ref(), size))
}

/// Builds the index again, beside the one in use.
pub(super) async fn reindex(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let size = ledger.view().size();
    let index = app.index(&ledger)?;
    let building = Arc::clone(&index);
    blocking(move || Ok(building.rebuild()?)).await?;
    json(StatusCode::ACCEPTED, &index_body(&index, size))
}

fn index_body(index: &Index, size: u64) -> IndexBody {
    let (indexed_through, rebuilding_through) = (index.through(), index.rebuilding());
    IndexBody { object: "index", indexed_through, size, rebuilding_through }
}
