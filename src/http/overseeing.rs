//! `/v1/ledgers/{ledger}/accesses`: who read the ledger, for those who oversee it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::App;
use super::accesses::{Access, Operation};
use super::app::{Limits, blocking};
use super::caller::Caller;
use super::error::ApiError;
use super::reading::Params;
use super::records::{List, RecordBody, json, record_body};
use crate::access::Action;
use crate::ledger::View;
use crate::record::{Entry, Kind};

/// Entries that one page looks at. Where reading is rare a page may have found nothing yet.
const LOOK_MAX: u64 = 16_384;
/// Entries that are read at once.
const STEP: u64 = 256;

/// One page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

/// The records that say who read the ledger or took a copy, newest first.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let limit = page.limit.unwrap_or(100).clamp(1, app.limits.page_max);
    let (view, limits) = (ledger.view(), app.limits);
    let body = blocking(move || newest(&view, page.after, limit, &limits)).await?;
    let access = Access { operation: Operation::Accesses, records: body.len(), query: None };
    app.accesses.note(&ledger, &grant, access)?;
    json(StatusCode::OK, &body)
}

fn newest(
    view: &View,
    below: Option<u64>,
    limit: usize,
    limits: &Limits,
) -> Result<List<RecordBody>, ApiError> {
    let mut end = below.unwrap_or(u64::MAX).min(view.size());
    let last = end.saturating_sub(LOOK_MAX);
    let (mut found, mut length) = (Vec::new(), 0);
    while end > last {
        let start = end.saturating_sub(STEP).max(last);
        for (seq, bytes) in view.entries(start..end)?.into_iter().rev() {
            if !tells(&bytes) {
                continue;
            }
            let record = record_body(view, seq)?;
            length += record.length();
            found.push(record);
            if found.len() >= limit || length >= limits.page_bytes_max {
                return Ok(List::new(found, Some(seq.to_string())));
            }
        }
        end = start;
    }
    Ok(List::new(found, (last > 0).then(|| last.to_string())))
}

/// Whether an entry tells who read.
fn tells(entry: &[u8]) -> bool {
    const KIND: &[u8] = b"\"kind\":\"log_";
    entry.windows(KIND.len()).any(|bytes| bytes == KIND)
        && Entry::parse(entry)
            .is_ok_and(|entry| matches!(entry.kind, Kind::LogAccess | Kind::LogExport))
}
