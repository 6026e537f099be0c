//! `/v1/ledgers/{ledger}/policy`: what of a request is refused, and what every record is checked for.
//!
//! A policy is changed as a whole, by a record of the ledger that has it sealed in it: every later flag
//! and refusal can be explained from the log.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::App;
use super::accesses::write_first;
use super::caller::Caller;
use super::error::ApiError;
use super::reading;
use super::records::json;
use crate::access::Action;
use crate::ledger::{Ledger, PolicyChange};
use crate::record::data::{ConfigChange, Policy};
use crate::record::{Code, Draft, Event, Invalid, Timestamp};
use crate::watch::DETECTIONS;

/// What a change of the policy is called in the ledger.
const SETTING: &str = "policy";

/// The policy in force.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PolicyInForce")]
pub(super) struct PolicyBody {
    /// Always `policy`.
    #[schemars(extend("const" = "policy"))]
    object: &'static str,
    /// The policy.
    policy: Policy,
    /// The record that put it in force; nothing if it is the one that every ledger begins with.
    record: Option<String>,
    /// Where that record stands.
    seq: Option<u64>,
    /// When it was received.
    since: Option<Timestamp>,
    /// Who asked for it.
    actor: Option<String>,
}

impl PolicyBody {
    fn of(ledger: &Ledger) -> Result<Self, ApiError> {
        let Some(change) = ledger.policy_change()? else {
            let policy = Policy::default();
            let object = "policy";
            return Ok(Self { object, policy, record: None, seq: None, since: None, actor: None });
        };
        let PolicyChange { policy, id, seq, received_at, actor } = change;
        Ok(Self {
            object: "policy",
            policy,
            record: Some(id.to_string()),
            seq: Some(seq),
            since: Some(received_at),
            actor: Some(actor.to_string()),
        })
    }
}

/// The policy in force.
pub(super) async fn get(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::SeeSettings).await?;
    answer(ledger).await
}

/// Puts a policy in force. One that is in force already changes nothing.
pub(super) async fn put(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let policy: Policy = reading::json(&app, &headers, body).await?;
    let now = app.clock.now();
    let actor = grant.id.as_str().into();
    let change = ConfigChange { actor, policy: Some(policy.clone()), setting: SETTING.into() };
    check(&policy, &change, now)?;
    if *ledger.policy() != policy {
        write_first(&ledger, change, None, now).await?;
    }
    answer(ledger).await
}

async fn answer(ledger: Ledger) -> Result<Response, ApiError> {
    let body = super::app::blocking(move || PolicyBody::of(&ledger)).await?;
    json(StatusCode::OK, &body)
}

/// Refuses a policy that says nothing, or could not be sealed.
fn check(policy: &Policy, change: &ConfigChange, now: Timestamp) -> Result<(), ApiError> {
    let wrong = |pointer: String, message| Invalid::one(pointer, Code::FieldInvalid, message);
    for (place, id) in policy.detections_off.iter().enumerate() {
        if !DETECTIONS.iter().any(|detection| detection.id == id.as_str()) {
            let message = "there is no detection of this name: DETECTIONS.md has the names";
            return Err(wrong(format!("/detections_off/{place}"), message).into());
        }
    }
    if policy.retention_days == Some(0) {
        let message = "give at least one day, or leave it out to keep content for ever";
        return Err(wrong("/retention_days".to_owned(), message).into());
    }
    if let Err(mut invalid) = Event::by_server(Draft::new(change.clone(), now)) {
        for error in &mut invalid.errors {
            error.pointer = error.pointer.replacen("/data/policy", "", 1);
        }
        return Err(invalid.into());
    }
    Ok(())
}
