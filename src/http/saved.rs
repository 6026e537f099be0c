//! `/v1/ledgers/{ledger}/searches`: searches that have a name, and that somebody polls.
//!
//! A poll is a page of the export of what the search finds, after the seq that the poll before came to.
//! A SIEM that keeps that number gets every record once, in the order of the ledger.
//!
//! The searches of a ledger stand in a small file in its folder, which is replaced as a whole. That one was
//! saved or removed, and by whom, is in the ledger first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::App;
use super::accesses::{Access, Operation, write_change};
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::export::{Content, Export, Format, Rows, beyond, source};
use super::reading::{self, Params};
use super::records::{List, json as answer};
use super::{search, streaming};
use crate::access::Action;
use crate::ledger::Ledger;
use crate::{canon, files};

/// What a change of them is called in the ledger.
const SETTING: &str = "saved_search";
/// Searches that a ledger may have.
const SEARCHES_MAX: usize = 256;
/// The longest query of a search.
const QUERY_BYTES_MAX: usize = 4_096;
/// Rows that a poll gives at most, and unless it says otherwise.
const ROWS_MAX: u64 = 10_000;
const ROWS: u64 = 1_000;
/// After which seq the next poll goes on.
const AFTER: HeaderName = HeaderName::from_static("whence-after");
/// Whether the poll gave all that there was.
const COMPLETE: HeaderName = HeaderName::from_static("whence-complete");

/// The files of saved searches. One of them is changed at a time.
#[derive(Debug, Default)]
pub(super) struct SavedSearches(Mutex<()>);

/// A file as a whole: the searches of a ledger, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    searches: BTreeMap<String, Search>,
}

/// What is looked for, and how it is given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SearchToSave")]
pub(super) struct Search {
    /// The format of the rows.
    #[serde(default)]
    format: Format,
    /// The query; every record if it is empty.
    #[serde(default)]
    q: String,
}

/// A saved search.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SavedSearch")]
pub(super) struct SearchBody {
    /// Always `saved_search`.
    #[schemars(extend("const" = "saved_search"))]
    object: &'static str,
    /// Its name.
    name: String,
    /// The query; every record if it is empty.
    q: String,
    /// The format of the rows.
    format: Format,
}

impl SearchBody {
    fn new(name: String, Search { format, q }: Search) -> Self {
        Self { object: "saved_search", name, q, format }
    }
}

/// A ledger and the name of a search in a path.
type Named = Path<(String, String)>;

/// Saves a search under a name, in place of the one that had it.
pub(super) async fn put(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let wanted: Search = reading::json(&app, &headers, body).await?;
    reading::check_name("search", &name)?;
    if wanted.q.len() > QUERY_BYTES_MAX {
        return Err(ApiError::bad_request("query_invalid", "the query exceeds 4,096 bytes"));
    }
    search::asked(&app, &wanted.q)?;
    let there = load(&app, &ledger).await?;
    if there.len() >= SEARCHES_MAX && !there.contains_key(&name) {
        let detail = "the ledger has 256 saved searches: remove one first";
        return Err(ApiError::new(StatusCode::CONFLICT, "too_many_searches", detail));
    }
    let saved = json!({ "name": name, "saved": wanted });
    write_change(&app, &ledger, &grant, SETTING, saved).await?;
    let (made, kept) = (name.clone(), wanted.clone());
    let before = change(&app, &ledger, move |searches| searches.insert(made, kept)).await?;
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    answer(status, &SearchBody::new(name, wanted))
}

/// All saved searches of a ledger, by name.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let searches = load(&app, &ledger).await?;
    let bodies = searches.into_iter().map(|(name, search)| SearchBody::new(name, search));
    answer(StatusCode::OK, &List::new(bodies.collect(), None))
}

/// One saved search.
pub(super) async fn get(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let search = load(&app, &ledger).await?.remove(&name).ok_or_else(unknown)?;
    answer(StatusCode::OK, &SearchBody::new(name, search))
}

/// Removes a saved search.
pub(super) async fn remove(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    if !load(&app, &ledger).await?.contains_key(&name) {
        return Err(unknown());
    }
    let removed = json!({ "name": name, "removed": true });
    write_change(&app, &ledger, &grant, SETTING, removed).await?;
    change(&app, &ledger, move |searches| searches.remove(&name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Where a poll goes on, and how much it gives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    after: Option<u64>,
    limit: Option<u64>,
    #[serde(default)]
    content: Content,
}

/// The next rows of a saved search.
pub(super) async fn poll(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
    Params(Wanted { after, limit, content }): Params<Wanted>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let Search { format, q } = load(&app, &ledger).await?.remove(&name).ok_or_else(unknown)?;
    let limit = limit.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    let turn = streaming::turn(&app).await?;
    let query = search::asked(&app, &q)?;
    let (view, bytes_max) = (ledger.view(), app.limits.page_bytes_max);
    let source = source(&app, &ledger, query, beyond(after, 0..view.size())).await?;
    let made = blocking(move || {
        let rows = Rows::new(view, source, content == Content::Kept, limit);
        Export::new(rows, format).page(bytes_max)
    });
    let (bytes, rows) = made.await?;
    // That there is nothing new shows nothing, and would make an idle ledger grow for ever.
    if rows.count > 0 {
        let query = format!("{name}: {q}");
        let access =
            Access { operation: Operation::Poll, records: rows.count, query: Some(&query) };
        app.accesses.note(&ledger, &grant, access)?;
    }
    let mut response = streaming::whole(turn, StatusCode::OK, format.media(), bytes);
    if let Some(after) = rows.cursor() {
        response.headers_mut().insert(AFTER, HeaderValue::from(after));
    }
    let complete = if rows.complete() { "true" } else { "false" };
    response.headers_mut().insert(COMPLETE, HeaderValue::from_static(complete));
    Ok(response)
}

fn unknown() -> ApiError {
    ApiError::not_found("search_unknown", "the ledger has no saved search of this name")
}

fn path(app: &App, ledger: &Ledger) -> PathBuf {
    app.ledgers.settings().folder(&ledger.meta().ledger).join("searches.json")
}

async fn load(app: &App, ledger: &Ledger) -> Result<BTreeMap<String, Search>, ApiError> {
    let path = path(app, ledger);
    blocking(move || read(&path)).await
}

/// Changes the searches of a ledger. The file says so on return.
async fn change<T: Send + 'static>(
    app: &App,
    ledger: &Ledger,
    edit: impl FnOnce(&mut BTreeMap<String, Search>) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let (path, saved) = (path(app, ledger), Arc::clone(&app.saved));
    blocking(move || {
        let _changing = saved.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Kept { searches: read(&path)? };
        let outcome = edit(&mut kept.searches);
        let failed = |error: &dyn std::error::Error| ApiError::internal(with_causes(error));
        let bytes = canon::sorted_to_bytes(&kept).map_err(|error| failed(&error))?;
        let written = files::replace(&path, &bytes).and_then(|()| files::sync_parent(&path));
        written.map_err(|error| failed(&error))?;
        Ok(outcome)
    })
    .await
}

/// The searches in a file. If there is none, there are no searches yet; a damaged one is not taken for
/// that.
fn read(path: &std::path::Path) -> Result<BTreeMap<String, Search>, ApiError> {
    let damaged = |why: &dyn std::fmt::Display| {
        ApiError::internal(format!("cannot read {}: {why}", path.display()))
    };
    let bytes = files::read_if_there(path).map_err(|error| damaged(&error))?;
    let Some(bytes) = bytes else { return Ok(BTreeMap::new()) };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
    Ok(kept.searches)
}
