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
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::App;
use super::accesses::write_first;
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading;
use super::records::{List, json as answer};
use crate::access::{Action, Grant};
use crate::ledger::Ledger;
use crate::record::data::ConfigChange;
use crate::record::{Severity, Timestamp};
use crate::watch::{HookError, Shown, Wanted, Watcher};

/// The longest name of a webhook.
const NAME_BYTES_MAX: usize = 64;

/// A webhook to be made or changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookToKeep {
    /// Where messages go: http or https.
    url: String,
    /// The flags and gaps that are told of, by name; all if left out.
    #[serde(default)]
    flags: Vec<String>,
    /// How bad a flag or a gap has to be at least.
    min_severity: Option<Severity>,
}

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
    let read = reading::body(&app, &headers, body).await?;
    let WebhookToKeep { url, flags, min_severity } = reading::json(&read)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let right = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    if !right || [".", ".."].contains(&&*name) {
        let detail = "a webhook's name has 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", detail));
    }
    let wanted = Wanted { url, flags, min_severity };
    wanted.check()?;
    let watcher = watcher(&app, &ledger)?;
    watcher.hooks().has_room(&name)?;
    let change = json!({
        "name": name,
        "origin": wanted.origin(),
        "flags": wanted.flags,
        "min_severity": wanted.min_severity,
    });
    tell(&app, &ledger, &grant, change).await?;
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
    tell(&app, &ledger, &grant, json!({ "name": name, "removed": true })).await?;
    blocking(move || Ok(watcher.hooks().remove(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn watcher(app: &App, ledger: &Ledger) -> Result<Arc<Watcher>, ApiError> {
    app.watchers.of(ledger).ok_or_else(|| ApiError::internal("the ledger is not watched"))
}

fn unknown() -> ApiError {
    ApiError::not_found("webhook_unknown", "the ledger has no webhook of this name")
}

/// Tells the ledger what somebody does to its webhooks, before it is done.
async fn tell(
    app: &App,
    ledger: &Ledger,
    grant: &Grant,
    change: serde_json::Value,
) -> Result<(), ApiError> {
    let setting = "webhook".into();
    let data = ConfigChange { actor: grant.id.as_str().into(), policy: None, setting };
    write_first(ledger, data, Some(("change", change)), app.clock.now()).await
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
