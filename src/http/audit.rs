//! `/tlog/{ledger}`: the log as an auditor fetches it (C2SP tlog-tiles, and the archive's own files).

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::App;
use super::accesses::{Access, Operation};
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::proofs::text;
use super::reading::Params;
use super::records::json;
use super::streaming;
use crate::access::Action;
use crate::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, ArchivedContent, push_checkpoint};
use crate::proof::TilePath;

/// The newest checkpoint.
pub(super) async fn checkpoint(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Prove).await?;
    let mut response = text(ledger.view().checkpoint().note().to_string());
    cache(&mut response, "no-cache");
    Ok(response)
}

/// The ledger's verifier key.
pub(super) async fn key(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Prove).await?;
    Ok(text(format!("{}\n", ledger.key())))
}

/// What an archive of the log as it is would be of.
pub(super) async fn meta(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Audit).await?;
    let size = ledger.view().size();
    let body = ArchiveMeta {
        archive: ARCHIVE_VERSION,
        content: ArchivedContent::Kept,
        from: 0,
        ledger: ledger.meta().ledger.to_string(),
        origin: ledger.meta().origin.to_string(),
        size,
        software: app.ledgers.settings().software.clone(),
        to: size,
    };
    json(StatusCode::OK, &body)
}

/// Which checkpoints are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The first entry whose batch is wanted.
    #[serde(default)]
    from: u64,
    /// How many checkpoints at most.
    limit: Option<u64>,
}

/// The checkpoints of the batches that begin at `from` or later, in order.
pub(super) async fn checkpoints(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(Part { from, limit }): Params<Part>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Audit).await?;
    let turn = streaming::turn(&app).await?;
    let view = ledger.view();
    let (mut next, mut left) = (from, limit.unwrap_or(u64::MAX));
    streaming::pieces(turn, OCTETS, move || {
        let mut piece = Vec::new();
        for batch in view.batches(next..u64::MAX) {
            if left == 0 || piece.len() >= streaming::PIECE_BYTES {
                break;
            }
            let batch = batch?;
            push_checkpoint(&mut piece, &batch.checkpoint);
            next = batch.seqs().end;
            left -= 1;
        }
        Ok((!piece.is_empty()).then_some(piece))
    })
    .await
}

/// A tile of hashes or a bundle of entries.
pub(super) async fn tile(
    app: State<App>,
    caller: Caller,
    Path((ledger, path)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    file(app, caller, ledger, format!("tile/{path}")).await
}

/// The content of a bundle of entries.
pub(super) async fn content(
    app: State<App>,
    caller: Caller,
    Path((ledger, path)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    file(app, caller, ledger, format!("content/{path}")).await
}

async fn file(
    State(app): State<App>,
    Caller(grant): Caller,
    ledger: String,
    path: String,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Audit).await?;
    let unknown = || ApiError::not_found("tile_unknown", "the log has no such tile or bundle");
    let path: TilePath = path.parse().map_err(|_| unknown())?;
    let turn = streaming::turn(&app).await?;
    let view = ledger.view();
    let mut response = match path {
        TilePath::Hash { .. } => {
            let bytes = blocking(move || Ok(view.file(path)?)).await?;
            streaming::whole(turn, StatusCode::OK, OCTETS, bytes.ok_or_else(unknown)?)
        }
        TilePath::Entries { .. } | TilePath::Content { .. } => {
            let mut seqs = view.bundle_seqs(path).ok_or_else(unknown)?;
            let content = matches!(path, TilePath::Content { .. });
            let operation = if content { Operation::Content } else { Operation::Entries };
            let access = Access { operation, records: seqs.end - seqs.start, query: None };
            app.accesses.note(&ledger, &grant, access)?;
            let next = move || Ok(view.bundle_piece(path, &mut seqs, streaming::PIECE_BYTES)?);
            streaming::pieces(turn, OCTETS, next).await?
        }
    };
    match path {
        // Content can be erased; everything else never changes.
        TilePath::Content { .. } => cache(&mut response, "no-store"),
        TilePath::Hash { .. } | TilePath::Entries { .. } => {
            cache(&mut response, "private, max-age=31536000, immutable");
        }
    }
    Ok(response)
}

const OCTETS: &str = "application/octet-stream";

fn cache(response: &mut Response, value: &'static str) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
}
