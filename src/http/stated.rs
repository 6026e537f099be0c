//! What the sender of a request says of what it sends, apart from the body: defaults for formats that
//! need not say it themselves.
//!
//! `whence-user`, `whence-session` and `whence-agent` are headers, so that an exporter or an emitter can
//! be told of them by its settings alone. The producer and the ledger come from the token. Nothing here
//! is checked: that happens when what is made of it becomes an event.

use axum::http::{HeaderMap, StatusCode};

use super::error::ApiError;
use crate::access::{Grant, Scope};
use crate::capture::otlp::Sender;
use crate::record::identity::UserType;
use crate::record::text::ExternalId;
use crate::record::{Agent, Session, User};

/// The ledger of a token that is for several.
const LEDGER: &str = "main";

/// The ledger of a request whose path names none: the token's only one, or `main`.
pub(super) fn ledger(grant: &Grant) -> String {
    let only = match &grant.ledgers {
        Scope::Ledgers(names) if names.len() == 1 => names.first(),
        Scope::Ledgers(_) | Scope::All => None,
    };
    only.map_or(LEDGER, String::as_str).to_owned()
}

/// The sender of a request.
///
/// The producer is the token's only one, or the token's name: each program has a token of its own.
pub(super) fn sender(grant: &Grant, headers: &HeaderMap) -> Result<Sender, ApiError> {
    let producers = grant.producers.as_ref().filter(|producers| producers.len() == 1);
    let producer = producers.and_then(|producers| producers.first()).unwrap_or(&grant.name);
    let user = header(headers, "whence-user")?;
    let session = header(headers, "whence-session")?;
    let agent = header(headers, "whence-agent")?;
    Ok(Sender {
        producer: producer.as_str().into(),
        user: user.map(|id| User {
            id,
            issuer: None,
            owner: None,
            pseudonym: None,
            subject: None,
            trigger: None,
            r#type: UserType::Human,
        }),
        session: session.map(|id| Session { id, login_session_id: None, turn_id: None }),
        agent: agent.map(|id| Agent {
            charter_digest: None,
            id,
            instance_id: None,
            name: None,
            operator: None,
            version: None,
        }),
    })
}

/// A header that names something.
fn header(headers: &HeaderMap, name: &str) -> Result<Option<ExternalId>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        let detail = format!("the header `{name}` is not UTF-8");
        ApiError::new(StatusCode::BAD_REQUEST, "request_invalid", &detail)
    })?;
    Ok(Some(text.into()))
}
