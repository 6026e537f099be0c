//! `/audit_logs/events`: audit-log events of applications, in the shape and at the path that clients of
//! `WorkOS` send them.
//!
//! An answer has what such clients read, and our receipt beside it. So has a refusal: it is a problem
//! like any other whose `message` says again what its `detail` says.
//!
//! An event that is sent with a key is one record, however often it is sent: its id follows from the
//! token and the key. Unlike there, that holds for ever.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::records::{ReceiptBody, admit, json};
use super::{reading, refusals, stated};
use crate::access::Grant;
use crate::canon;
use crate::canon::digest::sha256;
use crate::capture::workos;
use crate::ledger::{Ledger, Receipt};
use crate::record::{Draft, Event, RecordId};

/// The end of every path of this page.
pub(super) const PATH: &str = "/audit_logs/events";

/// The header that makes several requests one.
const KEY: &str = "idempotency-key";
/// The longest key.
const KEY_BYTES_MAX: usize = 255;

/// That an event is in the ledger.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditLogAnswer")]
pub(super) struct AnswerBody {
    /// The id of the record that the event became.
    id: String,
    /// Its receipt.
    receipt: ReceiptBody,
    /// Always `true`.
    #[schemars(extend("const" = true))]
    success: bool,
}

/// Seals an event in the ledger of the token.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = stated::ledger(&app, &grant, None).await?;
    take(&app, &ledger, &grant, &headers, body).await
}

/// Seals an event.
pub(super) async fn create_in(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = stated::ledger(&app, &grant, Some(ledger)).await?;
    take(&app, &ledger, &grant, &headers, body).await
}

async fn take(
    app: &App,
    ledger: &Ledger,
    grant: &Grant,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let read = reading::body(app, headers, body).await?;
    let id = id(grant, headers)?;
    let sender = stated::sender(grant, headers)?;
    let draft = workos::draft(&read.bytes, &sender).map_err(|error| {
        // What cannot be read breaks no rule of the ledger.
        of_form(ApiError { refused: None, ..error.into() })
    })?;
    let draft = Draft { id, ..draft };
    match seal(ledger, grant, draft.clone()).await {
        Ok(receipt) => {
            let id = receipt.id.clone();
            let receipt = ReceiptBody::new(receipt, None);
            json(StatusCode::OK, &AnswerBody { id, receipt, success: true })
        }
        Err(error) => {
            let draft =
                canon::to_bytes(&draft).map_err(|error| ApiError::internal(with_causes(&error)))?;
            let error = refusals::tell(app, ledger, grant, error, |_| Some(draft)).await;
            Err(of_form(located(error)))
        }
    }
}

async fn seal(ledger: &Ledger, grant: &Grant, draft: Draft) -> Result<Receipt, ApiError> {
    let record = admit(ledger, grant, Event::try_from(draft)?)?;
    let mut receipts = ledger.submit(vec![record]).await?;
    receipts.pop().ok_or_else(|| ApiError::internal("a record has no receipt"))
}

/// The same error, in the terms of the body.
fn located(mut error: ApiError) -> ApiError {
    for field in &mut error.errors {
        // What the ledger finds is told of the one record of a list.
        let pointer = field.pointer.strip_prefix("/0").unwrap_or(&field.pointer);
        if let Some(advice) = workos::advice(pointer) {
            advice.clone_into(&mut field.message);
        }
        field.pointer = workos::located(pointer);
    }
    if let Some(first) = error.errors.first() {
        first.message.clone_into(&mut error.detail);
    }
    error
}

/// A fault of form, with the status and the code by which clients know it from what a rule refuses.
fn of_form(error: ApiError) -> ApiError {
    let of_form = error.refused.is_none() && error.status == StatusCode::UNPROCESSABLE_ENTITY;
    if !of_form {
        return error;
    }
    let code = "event_invalid".to_owned();
    ApiError { status: StatusCode::BAD_REQUEST, code, ..error }
}

/// The id of the record: from the key, if there is one.
fn id(grant: &Grant, headers: &HeaderMap) -> Result<Option<RecordId>, ApiError> {
    let Some(key) = headers.get(KEY) else { return Ok(None) };
    let key = key.as_bytes();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let detail = "the header `Idempotency-Key` has 1 to 255 bytes";
        return Err(ApiError::bad_request("key_invalid", detail));
    }
    let digest = HEXLOWER.encode(&sha256(&[grant.id.as_bytes(), b"\n", key]));
    let id = format!("app-{}", digest.get(..32).unwrap_or(&digest));
    Ok(id.parse().ok())
}
