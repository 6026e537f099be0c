//! `/v1/ledgers`: which ledgers there are.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading;
use super::records::{List, json};
use crate::access::Action;
use crate::ledger::Ledger;
use crate::record::LedgerName;

/// A ledger, and how large it is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ledger")]
pub(super) struct LedgerBody {
    /// Always `ledger`.
    #[schemars(extend("const" = "ledger"))]
    object: &'static str,
    /// Its name.
    name: String,
    /// Whether it takes records.
    status: Status,
    /// What it has come to, unless it is unavailable.
    #[serde(flatten)]
    state: Option<LedgerState>,
}

/// Whether a ledger takes records.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LedgerStatus")]
enum Status {
    /// It takes records.
    Open,
    /// It has stopped writing, and takes records again when the server was restarted. It proves what it
    /// has, but shows no records, because it could not log who read them.
    Halted,
    /// It cannot be opened. The server's log says why.
    Unavailable,
}

/// What a ledger has come to.
#[derive(Debug, Serialize, JsonSchema)]
struct LedgerState {
    /// The origin of its checkpoints.
    origin: String,
    /// The verifier key of its checkpoints (C2SP signed-note).
    key: String,
    /// The number of its entries.
    size: u64,
    /// Its newest checkpoint.
    checkpoint: String,
}

impl LedgerBody {
    fn of(ledger: &Ledger) -> Self {
        let view = ledger.view();
        let status = if ledger.is_halted() { Status::Halted } else { Status::Open };
        let state = LedgerState {
            origin: ledger.meta().origin.to_string(),
            key: ledger.key().to_string(),
            size: view.size(),
            checkpoint: view.checkpoint().note().to_string(),
        };
        let name = ledger.meta().ledger.to_string();
        Self { object: "ledger", name, status, state: Some(state) }
    }

    fn unavailable(name: &LedgerName) -> Self {
        let name = name.to_string();
        Self { object: "ledger", name, status: Status::Unavailable, state: None }
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
    // Who may make no ledger at all does not get to send a body.
    if !grant.permits_somewhere(Action::Administer) {
        return Err(ApiError::forbidden());
    }
    let new: NewLedger = reading::json(&app, &headers, body).await?;
    if !grant.permits(Action::Administer, &new.name) {
        return Err(ApiError::forbidden());
    }
    let name: LedgerName = new.name.parse().map_err(|_| {
        let detail =
            "a ledger's name has 1 to 63 of a-z, 0-9 and -, and starts with a letter or digit";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail)
    })?;
    let ledger = blocking(move || {
        let ledger = app.ledgers.create(&name)?;
        app.watchers.of(&ledger);
        Ok(ledger)
    });
    let ledger = ledger.await?;
    json(StatusCode::CREATED, &LedgerBody::of(&ledger))
}

/// The ledgers of the token.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
) -> Result<Response, ApiError> {
    let bodies = blocking(move || {
        let names = app.ledgers.names()?.into_iter().filter(|name| grant.ledgers.covers(name));
        let bodies = names.map(|name| match app.ledgers.get(&name) {
            Ok(ledger) => {
                // It is searched when somebody asks for that, and watched from now on.
                app.watchers.of(&ledger);
                LedgerBody::of(&ledger)
            }
            // The others are there all the same.
            Err(error) => {
                tracing::error!(ledger = %name, error = with_causes(&error), "cannot be opened");
                LedgerBody::unavailable(&name)
            }
        });
        Ok(bodies.collect())
    });
    let bodies: Vec<LedgerBody> = bodies.await?;
    json(StatusCode::OK, &List::new(bodies, None))
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
