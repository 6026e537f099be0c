//! `/v1/ledgers/{ledger}/preflight`: whether an action may be taken, asked before it is.
//!
//! The question is a record whose phase is `requested`. Where it may be taken, that record is sealed;
//! where not, the refusal is. So each decision is in the ledger, and whoever takes no answer for a yes is
//! never wrong: only a 2xx is one.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::caller::Caller;
use super::error::ApiError;
use super::records::{ReceiptBody, admit, json};
use super::{reading, refusals};
use crate::access::{Action, Grant};
use crate::ledger::{Ledger, Receipt};
use crate::record::data::Phase;
use crate::record::{Code, Data, Draft, Event, Invalid};

/// That an action may be taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub(super) struct DecisionBody {
    /// Always `decision`.
    #[schemars(extend("const" = "decision"))]
    object: &'static str,
    /// Always `allow`: what may not be done is answered with an error.
    #[schemars(extend("const" = "allow"))]
    decision: &'static str,
    /// The receipt of the request. Its flags say what a policy that only observes lets pass.
    receipt: ReceiptBody,
}

/// Decides about one action.
pub(super) async fn decide(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Append).await?;
    let read = reading::body(&app, &headers, body).await?;
    match ask(&ledger, &grant, &read.bytes).await {
        Ok(receipt) => {
            let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
            let receipt = ReceiptBody::new(receipt, None);
            json(status, &DecisionBody { object: "decision", decision: "allow", receipt })
        }
        Err(error) => {
            let posted = |_| Some(read.bytes.to_vec());
            Err(refusals::tell(&app, &ledger, &grant, error, posted).await)
        }
    }
}

async fn ask(ledger: &Ledger, grant: &Grant, bytes: &[u8]) -> Result<Receipt, ApiError> {
    let record = admit(ledger, grant, request(bytes)?)?;
    let mut receipts = ledger.submit(vec![record]).await?;
    receipts.pop().ok_or_else(|| ApiError::internal("a record has no receipt"))
}

/// The record that asks: with the phase that says so, which a sender who does not sign may leave out.
fn request(bytes: &[u8]) -> Result<Event, Invalid> {
    let wrong = |pointer, message| Invalid::one(pointer, Code::FieldInvalid, message);
    let mut draft = Draft::parse(bytes)?;
    let phase = if let Data::ToolInvocation(invocation) = &mut draft.data {
        &mut invocation.phase
    } else if let Data::ApiCall(call) = &mut draft.data {
        &mut call.phase
    } else {
        let message = "ask about a tool_invocation or an api_call: nothing else can be stopped";
        return Err(wrong("/kind", message));
    };
    if *phase.get_or_insert(Phase::Requested) != Phase::Requested {
        let message = "what is completed cannot be asked about: append it as a record";
        return Err(wrong("/data/phase", message));
    }
    Event::try_from(draft)
}
