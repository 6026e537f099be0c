//! `/tlog/{ledger}`: the log as an auditor fetches it (C2SP tlog-tiles, and the archive's own files).

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::proofs::text;
use super::records::json;
use crate::access::Action;
use crate::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, push_checkpoint};
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
        from: 0,
        ledger: ledger.meta().ledger.to_string(),
        origin: ledger.meta().origin.to_string(),
        size,
        software: app.ledgers.settings().software.clone(),
        to: size,
    };
    json(StatusCode::OK, &body)
}

/// The checkpoints of all batches, in order.
pub(super) async fn checkpoints(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Audit).await?;
    blocking(move || {
        let mut bytes = Vec::new();
        for batch in ledger.view().batches(0..u64::MAX) {
            push_checkpoint(&mut bytes, &batch?.checkpoint);
        }
        Ok(octets(bytes))
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
    let bytes = blocking(move || Ok(ledger.view().file(path)?)).await?;
    let mut response = octets(bytes.ok_or_else(unknown)?);
    match path {
        // Content can be erased; everything else never changes.
        TilePath::Content { .. } => cache(&mut response, "no-store"),
        TilePath::Hash { .. } | TilePath::Entries { .. } => {
            cache(&mut response, "private, max-age=31536000, immutable");
        }
    }
    Ok(response)
}

fn octets(bytes: Vec<u8>) -> Response {
    let octets = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, octets)], bytes).into_response()
}

fn cache(response: &mut Response, value: &'static str) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
}
