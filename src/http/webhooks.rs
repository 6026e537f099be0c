//! `/v1/ledgers/{ledger}/webhooks`: who is told of flags and gaps.
//!
//! That one was made, changed or removed, and by whom, is in the ledger first. Neither its secret nor the
//! path of its URL is: a path often is a secret too.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::App;
use super::accesses::write_change;
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading;
use super::records::{List, json as answer};
use crate::access::Action;
use crate::ledger::Ledger;
use crate::record::{Severity, Timestamp};
use crate::watch::{HookError, Shown, Wanted, Watcher};

/// What a change of them is called in the ledger.
const SETTING: &str = "webhook";

/// A webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub(super) struct WebhookBody {
    /// Always `webhook`.
    #[schemars(extend("const" = "webhook"))]
    object: &'static str,
    /// Its name.
    name: String,
    /// Where messages go.
    url: String,
    /// The flags and gaps that are told of; all if it is empty.
    flags: Vec<String>,
    /// How bad a flag or a gap has to be at least.
    min_severity: Option<Severity>,
    /// The record that was delivered last.
    last_delivered_seq: Option<u64>,
    /// All records before this one are delivered, or need not be.
    next_seq: u64,
    /// Since when no delivery succeeds.
    failing_since: Option<Timestamp>,
    /// The status of the receiver's last answer.
    last_status: Option<u16>,
    /// The secret that messages are signed with. Shown when the webhook is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl WebhookBody {
    fn new(name: String, shown: Shown, secret: Option<String>) -> Self {
        let Shown { wanted, last_delivered_seq, next_seq, failing_since, last_status } = shown;
        let Wanted { url, flags, min_severity } = wanted;
        Self {
            object: "webhook",
            name,
            url,
            flags,
            min_severity,
            last_delivered_seq,
            next_seq,
            failing_since,
            last_status,
            secret,
        }
    }
}

/// A ledger and the name of a webhook in a path.
type Named = Path<(String, String)>;

/// Makes a webhook, or changes one.
pub(super) async fn put(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let wanted: Wanted = reading::json(&app, &headers, body).await?;
    reading::check_name("webhook", &name)?;
    wanted.check()?;
    let watcher = watcher(&app, &ledger)?;
    watcher.hooks().has_room(&name)?;
    let change = json!({
        "name": name,
        "origin": wanted.origin(),
        "flags": wanted.flags,
        "min_severity": wanted.min_severity,
    });
    write_change(&app, &ledger, &grant, SETTING, change).await?;
    let named = name.clone();
    let changed = blocking(move || Ok(watcher.hooks().put(&named, wanted)?)).await?;
    let status = if changed.secret.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    answer(status, &WebhookBody::new(name, changed.shown, changed.secret))
}

/// All webhooks of a ledger, by name.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let hooks = watcher(&app, &ledger)?.hooks().list()?;
    let bodies = hooks.into_iter().map(|(name, shown)| WebhookBody::new(name, shown, None));
    answer(StatusCode::OK, &List::new(bodies.collect(), None))
}

/// One webhook.
pub(super) async fn get(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let shown = watcher(&app, &ledger)?.hooks().list()?.remove(&name).ok_or_else(unknown)?;
    answer(StatusCode::OK, &WebhookBody::new(name, shown, None))
}

/// Removes a webhook.
pub(super) async fn remove(
    State(app): State<App>,
    Caller(grant): Caller,
    Path((ledger, name)): Named,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Administer).await?;
    let watcher = watcher(&app, &ledger)?;
    if !watcher.hooks().list()?.contains_key(&name) {
        return Err(unknown());
    }
    let removed = json!({ "name": name, "removed": true });
    write_change(&app, &ledger, &grant, SETTING, removed).await?;
    blocking(move || Ok(watcher.hooks().remove(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn watcher(app: &App, ledger: &Ledger) -> Result<Arc<Watcher>, ApiError> {
    app.watchers.of(ledger).ok_or_else(|| ApiError::internal("the ledger is not watched"))
}

fn unknown() -> ApiError {
    ApiError::not_found("webhook_unknown", "the ledger has no webhook of this name")
}

impl From<HookError> for ApiError {
    fn from(error: HookError) -> Self {
        let detail = error.to_string();
        match error {
            HookError::Invalid(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "webhook_invalid", &detail)
            }
            HookError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_webhooks", &detail),
            HookError::File(_) => Self::internal(with_causes(&error)),
        }
    }
}
