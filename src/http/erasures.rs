//! `/v1/ledgers/{ledger}/erasures` and `/holds`: content that goes, and content that has to stay.
//!
//! What an erasure takes are the words, never a record or its place. It is done, and a record says so,
//! when the call is answered; a caller who goes away does not stop it half way.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::App;
use super::accesses::{Access, Operation};
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::reading::{self, Params};
use super::records::{List, json};
use crate::access::{Action, Grant};
use crate::ledger::{EraseError, Erased, Hold, Ledger, Order, Receipt};
use crate::record::data::{LegalHold, Reach};
use crate::record::text::Line;
use crate::record::{Code, Entry, Invalid, Kind, RecordId, Timestamp};

/// Content to be erased.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewErasure {
    /// What it reaches: a record, a session or a user.
    reach: Reach,
    /// Why.
    reason: Line,
    /// The right by which it is asked for.
    authority: Line,
}

/// Content to be held.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    /// What it reaches: a record, a session, a user, or all.
    reach: Reach,
    /// Why.
    reason: Line,
}

/// The end of a hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// Why.
    reason: Line,
}

/// What was erased by a call.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErasedBody {
    /// Always `erased`.
    #[schemars(extend("const" = "erased"))]
    object: &'static str,
    /// How many records had content that went.
    records: u64,
    /// How many parts of content went.
    parts: u64,
    /// The receipts of the records that say so.
    receipts: Vec<Receipt>,
}

/// A record of content that went.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErasureBody {
    /// Always `erasure`.
    #[schemars(extend("const" = "erasure"))]
    object: &'static str,
    /// The id of the record that says so.
    id: String,
    /// Its place.
    seq: u64,
    /// Its kind: `erasure` if somebody asked for it, `retention_purge` if its time was over.
    kind: Kind,
    /// When it went.
    received_at: Timestamp,
    /// Who asked for what, why and by what right; or what was over.
    #[schemars(schema_with = "super::describe::object")]
    data: Value,
    /// The records of which it went, or the first ones of many.
    about: Vec<RecordId>,
}

/// A legal hold.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hold")]
pub(super) struct HoldBody {
    /// Always `legal_hold`.
    #[schemars(extend("const" = "legal_hold"))]
    object: &'static str,
    /// The hold, and who placed or released it.
    #[serde(flatten)]
    hold: LegalHold,
    /// The place of the record that placed it.
    seq: u64,
    /// When it was placed.
    placed_at: Timestamp,
}

impl HoldBody {
    fn new(Hold { hold, seq, placed_at }: Hold) -> Self {
        Self { object: "legal_hold", hold, seq, placed_at }
    }
}

/// A page of erasures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<u64>,
    limit: Option<usize>,
}

/// Erases the content of a record, of a session or of a user.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let NewErasure { reach, reason, authority } = reading::json(&app, &headers, body).await?;
    let (order, now) = (order(&grant, reach, reason), app.clock.now());
    let erased = to_the_end(async move { ledger.erase(order, authority, now).await }).await?;
    let Erased { receipts, parts, records } = erased.map_err(refused)?;
    json(StatusCode::CREATED, &ErasedBody { object: "erased", records, parts, receipts })
}

/// What was erased, and why: the newest first.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let limit = page.limit.unwrap_or(100).clamp(1, app.limits.page_max);
    let below = page.after.unwrap_or(u64::MAX);
    let reading = ledger.clone();
    let found = blocking(move || Ok(reading.erasures(below, limit)?)).await?;
    note(&app, &ledger, &grant, Operation::Erasures, found.len())?;
    let last = found.last().filter(|_| found.len() == limit).map(|(seq, _)| seq.to_string());
    let bodies = found.iter().map(|(_, bytes)| erasure_body(bytes));
    json(StatusCode::OK, &List::new(bodies.collect::<Result<Vec<_>, _>>()?, last))
}

/// Places a hold: what it reaches cannot be erased until it is released.
pub(super) async fn hold(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let NewHold { reach, reason } = reading::json(&app, &headers, body).await?;
    let (order, now) = (order(&grant, reach, reason), app.clock.now());
    let placed = to_the_end(async move { ledger.place_hold(order, now).await }).await?;
    let hold = placed.map_err(refused)?;
    json(StatusCode::CREATED, &HoldBody::new(hold))
}

/// The holds in force.
pub(super) async fn holds(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Oversee).await?;
    let reading = ledger.clone();
    let holds = blocking(move || Ok(reading.holds()?)).await?;
    note(&app, &ledger, &grant, Operation::Holds, holds.len())?;
    json(StatusCode::OK, &List::new(holds.into_iter().map(HoldBody::new).collect(), None))
}

/// Ends a hold.
pub(super) async fn release(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let Release { reason } = reading::json(&app, &headers, body).await?;
    let (actor, now) = (grant.id.as_str().into(), app.clock.now());
    let released =
        to_the_end(async move { ledger.release_hold(&id, actor, reason, now).await }).await?;
    let hold = released.map_err(refused)?;
    json(StatusCode::OK, &HoldBody::new(hold))
}

/// Notes who reads what was erased or is held: it names sessions, users and the reasons.
fn note(
    app: &App,
    ledger: &Ledger,
    grant: &Grant,
    operation: Operation,
    shown: usize,
) -> Result<(), ApiError> {
    let records = u64::try_from(shown).unwrap_or(u64::MAX);
    app.accesses.note(ledger, grant, Access { operation, records, query: None })
}

/// Does this whether or not the caller stays. Erasures and holds take turns until they are in the log:
/// one that was dropped half way would let the other in before.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.map_err(|_| ApiError::internal("a task panicked"))
}

fn order(grant: &Grant, reach: Reach, reason: Line) -> Order {
    Order { actor: grant.id.as_str().into(), reach, reason }
}

fn erasure_body(bytes: &[u8]) -> Result<ErasureBody, ApiError> {
    let damaged = || ApiError::internal("a stored record cannot be read");
    let entry = Entry::parse(bytes).map_err(|_| damaged())?;
    Ok(ErasureBody {
        object: "erasure",
        id: entry.id.to_string(),
        seq: entry.seq,
        kind: entry.kind,
        received_at: entry.received_at,
        about: entry.causes.into_iter().map(|cause| cause.id.into_owned()).collect(),
        data: serde_json::to_value(entry.data.as_ref()).map_err(|_| damaged())?,
    })
}

fn refused(error: EraseError) -> ApiError {
    let detail = error.to_string();
    match error {
        EraseError::Reach => Invalid::one("/reach", Code::FieldInvalid, detail).into(),
        EraseError::UnknownRecord => ApiError::not_found("record_unknown", &detail),
        EraseError::UnknownSession => ApiError::not_found("session_unknown", &detail),
        EraseError::UnknownHold => ApiError::not_found("hold_unknown", &detail),
        EraseError::Held { .. } => ApiError::new(StatusCode::CONFLICT, "held", &detail),
        EraseError::Invalid(mut invalid) => {
            for error in &mut invalid.errors {
                error.pointer = error.pointer.replacen("/data", "", 1);
            }
            invalid.into()
        }
        EraseError::Submit(error) => error.into(),
        EraseError::Read(error) => error.into(),
    }
}
