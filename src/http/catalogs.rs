//! `/v1/ledgers/{ledger}/catalogs`: which tools a server offered, and what changed between two times.
//!
//! Both are told from what is sealed in the entries alone, so that they stay the same when the definitions
//! themselves, which are content, are erased.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::accesses::{Access, Operation};
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::reading::Params;
use super::records::{List, json, record_unknown};
use crate::access::Action;
use crate::ledger::View;
use crate::record::data::{Review, ToolCatalogSnapshot, ToolDefinition};
use crate::record::text::Digest;
use crate::record::{Data, Entry, Timestamp};

/// Snapshots of a page at most, and unless it says otherwise. An entry of a large catalog is long.
const PAGE_MAX: usize = 200;
const PAGE: usize = 50;

/// Of which server the snapshots are wanted, and which page of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    server: String,
    after: Option<u64>,
    limit: Option<usize>,
}

/// A snapshot of a catalog.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Catalog")]
pub(super) struct CatalogBody {
    /// Always `catalog`.
    #[schemars(extend("const" = "catalog"))]
    object: &'static str,
    /// The id of the record that it is.
    id: String,
    /// The place of the record in the ledger.
    seq: u64,
    /// When the server took the record.
    received_at: Timestamp,
    /// The server that offers the tools.
    server: String,
    /// A digest of all definitions.
    catalog_digest: String,
    /// Whether it was looked through.
    review_status: Option<Review>,
    /// Who looked through it.
    reviewed_by: Option<String>,
    /// From when on it counts.
    effective_from: Option<Timestamp>,
    /// How many tools it has.
    tools: usize,
}

impl CatalogBody {
    fn new(seq: u64, entry: &Entry<'_>, catalog: &ToolCatalogSnapshot) -> Self {
        Self {
            object: "catalog",
            id: entry.id.to_string(),
            seq,
            received_at: entry.received_at,
            server: catalog.server.to_string(),
            catalog_digest: catalog.catalog_digest.to_string(),
            review_status: catalog.review_status,
            reviewed_by: catalog.reviewed_by.as_ref().map(ToString::to_string),
            effective_from: catalog.effective_from,
            tools: catalog.tools.len(),
        }
    }
}

/// The snapshots of a server's catalogs, the newest first.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let (view, server) = (ledger.view(), page.server.clone());
    let body = blocking(move || catalogs(&view, &page)).await?;
    let operation = Operation::Catalogs;
    let access = Access { operation, records: body.len(), query: Some(&server) };
    app.accesses.note(&ledger, &grant, access)?;
    json(StatusCode::OK, &body)
}

fn catalogs(view: &View, page: &Page) -> Result<List<CatalogBody>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let below = page.after.unwrap_or(u64::MAX);
    let found = view.catalogs(&page.server, below, limit + 1)?;
    let mut bodies = Vec::new();
    for (seq, bytes) in found.iter().take(limit) {
        let entry = parse(bytes)?;
        bodies.push(CatalogBody::new(*seq, &entry, snapshot(&entry)?));
    }
    let last = bodies.last().filter(|_| found.len() > limit);
    let after = last.map(|catalog| catalog.seq.to_string());
    Ok(List::new(bodies, after))
}

/// Which two snapshots are compared, by the ids of their records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compared {
    from: String,
    to: String,
}

/// What differs between two snapshots of a server.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CatalogDiff")]
pub(super) struct DiffBody {
    /// Always `catalog_diff`.
    #[schemars(extend("const" = "catalog_diff"))]
    object: &'static str,
    /// The id of the record that is compared.
    from: String,
    /// The id of the record that it is compared with.
    to: String,
    /// The server that offers the tools.
    server: String,
    /// Tools that only `to` has.
    added: Vec<String>,
    /// Tools that only `from` has.
    removed: Vec<String>,
    /// Tools that both have, and that are not the same in both.
    changed: Vec<ChangedTool>,
}

/// A tool that is not the same in two snapshots.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangedTool {
    /// Its name.
    tool: String,
    /// What of it changed.
    what: Vec<Changed>,
}

/// What of a tool changed, by what is sealed of it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Changed {
    /// Its description.
    Description,
    /// The schema of its arguments.
    InputSchema,
    /// The schema of its results.
    OutputSchema,
    /// What it says of itself.
    Annotations,
    /// The system behind it.
    Backend,
    /// The digest of the whole definition. Alone, it is something that has no digest of its own.
    Definition,
}

/// What differs between two snapshots.
pub(super) async fn diff(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(compared): Params<Compared>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let (view, asked) = (ledger.view(), format!("{} {}", compared.from, compared.to));
    let body = blocking(move || difference(&view, compared)).await?;
    let access = Access { operation: Operation::Catalogs, records: 2, query: Some(&asked) };
    app.accesses.note(&ledger, &grant, access)?;
    json(StatusCode::OK, &body)
}

fn difference(view: &View, compared: Compared) -> Result<DiffBody, ApiError> {
    let entry = |id: &str| {
        let seq = view.seq_of(id)?.ok_or_else(record_unknown)?;
        view.entry(seq)?.ok_or_else(record_unknown)
    };
    let (from_bytes, to_bytes) = (entry(&compared.from)?, entry(&compared.to)?);
    let (from_entry, to_entry) = (parse(&from_bytes)?, parse(&to_bytes)?);
    let (from, to) = (snapshot(&from_entry)?, snapshot(&to_entry)?);
    if from.server != to.server {
        let detail = "the two catalogs are of different servers: compare two of the same";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "servers_differ", detail));
    }
    let (before, after) = (tools(from), tools(to));
    let only = |these: &Tools<'_>, those: &Tools<'_>| {
        let names = these.keys().filter(|name| !those.contains_key(*name));
        names.map(|name| (*name).to_owned()).collect()
    };
    let both = before.iter().filter_map(|(name, tool)| Some((name, tool, after.get(name)?)));
    let changed = both.filter_map(|(name, before, after)| {
        let what = changes(before, after);
        (!what.is_empty()).then(|| ChangedTool { tool: (*name).to_owned(), what })
    });
    Ok(DiffBody {
        object: "catalog_diff",
        server: from.server.to_string(),
        added: only(&after, &before),
        removed: only(&before, &after),
        changed: changed.collect(),
        from: compared.from,
        to: compared.to,
    })
}

/// The tools of a snapshot by their names.
type Tools<'a> = BTreeMap<&'a str, &'a ToolDefinition>;

fn tools(catalog: &ToolCatalogSnapshot) -> Tools<'_> {
    catalog.tools.iter().map(|tool| (&*tool.name, tool)).collect()
}

/// What of a tool changed.
fn changes(before: &ToolDefinition, after: &ToolDefinition) -> Vec<Changed> {
    let defined_anew = before.definition_digest != after.definition_digest;
    let digest = |of: for<'a> fn(&'a ToolDefinition) -> &'a Option<Digest>| {
        part(of(before).as_ref(), of(after).as_ref(), defined_anew)
    };
    let (said, says) = (before.annotations.as_ref(), after.annotations.as_ref());
    let all = [
        (Changed::Description, digest(|tool| &tool.description_digest)),
        (Changed::InputSchema, digest(|tool| &tool.input_schema_digest)),
        (Changed::OutputSchema, digest(|tool| &tool.output_schema_digest)),
        (Changed::Annotations, part(said, says, defined_anew)),
        // It is not a part of the definition.
        (Changed::Backend, before.backend != after.backend),
        (Changed::Definition, defined_anew),
    ];
    all.into_iter().filter_map(|(what, changed)| changed.then_some(what)).collect()
}

/// Whether a part of a definition changed. Where only one of two snapshots of the same definition says
/// what a part is, one was told more fully, and that is all.
fn part<T: PartialEq>(before: Option<&T>, after: Option<&T>, defined_anew: bool) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before != after,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => defined_anew,
    }
}

fn parse(bytes: &[u8]) -> Result<Entry<'_>, ApiError> {
    Entry::parse(bytes).map_err(|_| ApiError::internal("a stored record cannot be read"))
}

/// The snapshot that a record is.
fn snapshot<'a>(entry: &'a Entry<'_>) -> Result<&'a ToolCatalogSnapshot, ApiError> {
    let Data::ToolCatalogSnapshot(catalog) = &*entry.data else {
        let detail = "the record is no snapshot of a catalog";
        return Err(ApiError::not_found("catalog_unknown", detail));
    };
    Ok(catalog)
}
