//! `/v1/ledgers`: which ledgers there are.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::reading;
use super::records::{List, json};
use crate::access::Action;
use crate::ledger::Ledger;
use crate::record::LedgerName;

/// A ledger, and how large it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LedgerBody {
    /// Always `ledger`.
    object: &'static str,
    /// Its name.
    name: String,
    /// The origin of its checkpoints.
    origin: String,
    /// The verifier key of its checkpoints (C2SP signed-note).
    key: String,
    /// The number of its entries.
    size: u64,
    /// Its newest checkpoint.
    checkpoint: String,
    /// Whether it has stopped writing.
    halted: bool,
}

impl LedgerBody {
    fn of(ledger: &Ledger) -> Self {
        let view = ledger.view();
        Self {
            object: "ledger",
            name: ledger.meta().ledger.to_string(),
            origin: ledger.meta().origin.to_string(),
            key: ledger.key().to_string(),
            size: view.size(),
            checkpoint: view.checkpoint().note().to_string(),
            halted: ledger.is_halted(),
        }
    }
}

/// A ledger to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLedger {
    /// Its name: 1 to 63 of `a-z`, `0-9` and `-`.
    name: String,
}

/// Makes a ledger.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let read = reading::body(&app, &headers, body).await?;
    let new: NewLedger = reading::json(&read)?;
    if !grant.permits(Action::Administer, &new.name) {
        return Err(ApiError::forbidden());
    }
    let name: LedgerName = new.name.parse().map_err(|_| {
        let detail =
            "a ledger's name has 1 to 63 of a-z, 0-9 and -, and starts with a letter or digit";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail)
    })?;
    let ledgers = Arc::clone(&app.ledgers);
    let ledger = blocking(move || Ok(ledgers.create(&name)?)).await?;
    json(StatusCode::CREATED, &LedgerBody::of(&ledger))
}

/// The ledgers of the token.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
) -> Result<Response, ApiError> {
    let ledgers = Arc::clone(&app.ledgers);
    let bodies = blocking(move || {
        let names = ledgers.names()?.into_iter().filter(|name| grant.ledgers.covers(name));
        let open = names.map(|name| Ok(LedgerBody::of(&ledgers.get(&name)?)));
        open.collect::<Result<Vec<_>, ApiError>>()
    });
    json(StatusCode::OK, &List::new(bodies.await?, None))
}

/// One ledger. Every role may see it.
pub(super) async fn get(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let action = [Action::Prove, Action::Administer];
    let action = action.into_iter().find(|action| grant.permits(*action, &ledger));
    let ledger = app.ledger(&grant, &ledger, action.unwrap_or(Action::Prove)).await?;
    json(StatusCode::OK, &LedgerBody::of(&ledger))
}
