//! What the sender of a request says of what it sends, apart from the body: defaults for formats that
//! need not say it themselves.
//!
//! They are headers, so that an exporter or an emitter can be told of them by its settings alone. The
//! producer and the ledger come from the token.

use axum::http::{HeaderMap, HeaderName};

use super::App;
use super::error::ApiError;
use crate::access::{Action, Grant, Scope};
use crate::capture::otlp::Sender;
use crate::ledger::Ledger;
use crate::record::identity::UserType;
use crate::record::text::ExternalId;
use crate::record::{Agent, Session, User};

/// The ledger of a request that names none, if its token is for several.
const MAIN: &str = "main";

/// The user of what names none.
const USER: HeaderName = HeaderName::from_static("whence-user");
/// What that user is: `human` if it is left out.
const USER_TYPE: HeaderName = HeaderName::from_static("whence-user-type");
/// The session of what names none.
const SESSION: HeaderName = HeaderName::from_static("whence-session");
/// The agent of what names none.
const AGENT: HeaderName = HeaderName::from_static("whence-agent");

/// The ledger that is posted to: the one of the path, the token's only one, or [`MAIN`].
pub(super) async fn ledger(
    app: &App,
    grant: &Grant,
    named: Option<String>,
) -> Result<Ledger, ApiError> {
    let only = match &grant.ledgers {
        Scope::Ledgers(all) if all.len() == 1 => all.first().cloned(),
        Scope::Ledgers(_) | Scope::All => None,
    };
    let name = named.or(only).unwrap_or_else(|| MAIN.to_owned());
    app.ledger(grant, &name, Action::Append).await
}

/// The sender of a request, with what its headers say.
pub(super) fn sender(grant: &Grant, headers: &HeaderMap) -> Result<Sender, ApiError> {
    let user = match stated(headers, &USER)? {
        None => None,
        Some(id) => {
            let kind = match headers.get(USER_TYPE) {
                None => Some(UserType::Human),
                Some(text) => text.to_str().ok().and_then(UserType::named),
            };
            let r#type = kind.ok_or_else(|| wrong(&USER_TYPE))?;
            let (issuer, owner, pseudonym, subject, trigger) = (None, None, None, None, None);
            Some(User { id, issuer, owner, pseudonym, subject, trigger, r#type })
        }
    };
    let named = stated(headers, &SESSION)?;
    if named.as_ref().is_some_and(|id| matches!(id.as_str(), "." | "..")) {
        return Err(wrong(&SESSION));
    }
    let session = named.map(|id| Session { id, login_session_id: None, turn_id: None });
    let agent = stated(headers, &AGENT)?.map(|id| Agent {
        charter_digest: None,
        id,
        instance_id: None,
        name: None,
        operator: None,
        version: None,
    });
    Ok(Sender { producer: producer(grant), user, session, agent })
}

/// The name under which a token's records stand, where what is sent names none: the only one that it may
/// use, or the token's own.
fn producer(grant: &Grant) -> ExternalId {
    let only = grant.producers.as_ref().filter(|names| names.len() == 1);
    let only = only.and_then(|names| names.first());
    let names = [only.map(String::as_str), Some(&grant.name), Some(&grant.id)];
    let usable = names.into_iter().flatten().find_map(ExternalId::checked);
    usable.unwrap_or_else(|| "unknown".into())
}

/// What a header states. Exporters send what they are told to as it is, in UTF-8.
fn stated(headers: &HeaderMap, name: &HeaderName) -> Result<Option<ExternalId>, ApiError> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok().and_then(ExternalId::checked);
    text.map(Some).ok_or_else(|| wrong(name))
}

fn wrong(name: &HeaderName) -> ApiError {
    let detail = format!("the header {name} has a value that cannot stand in a record");
    ApiError::bad_request("request_invalid", &detail)
}
