//! `/v1/tokens`: who may use the server.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading;
use super::records::{List, json};
use crate::access::{Action, FileError, Grant, Role, Scope, Token};
use crate::ledger::{Clock, Random};
use crate::record::Kind;

/// A token to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for.
    name: String,
    /// Its roles.
    roles: BTreeSet<Role>,
    /// The ledgers on which they hold; all if left out.
    ledgers: Option<BTreeSet<String>>,
    /// The kinds of records that it may append; all if left out.
    kinds: Option<BTreeSet<Kind>>,
    /// The producers whose records it may append; all if left out.
    producers: Option<BTreeSet<String>>,
    /// After how many seconds it ends; never if left out.
    lifetime_seconds: Option<u64>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(super) struct TokenBody {
    /// Always `token`.
    #[schemars(extend("const" = "token"))]
    object: &'static str,
    /// What to revoke it by.
    id: String,
    /// What it is for.
    name: String,
    /// Its roles.
    roles: BTreeSet<Role>,
    /// The ledgers on which they hold.
    ledgers: Scope,
    /// The kinds of records that it may append, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<BTreeSet<String>>,
    /// The producers whose records it may append, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    producers: Option<BTreeSet<String>>,
    /// When it was made, in seconds since 1970.
    created_at_unix: u64,
    /// When it ends, in seconds since 1970.
    expires_at_unix: Option<u64>,
    /// The secret. Shown when the token is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenBody {
    fn of(grant: &Grant, token: Option<&Token>) -> Self {
        Self {
            object: "token",
            id: grant.id.clone(),
            name: grant.name.clone(),
            roles: grant.roles.clone(),
            ledgers: grant.ledgers.clone(),
            kinds: grant.kinds.clone(),
            producers: grant.producers.clone(),
            created_at_unix: grant.created_at_unix,
            expires_at_unix: grant.expires_at_unix,
            token: token.map(|token| token.reveal().to_owned()),
        }
    }
}

/// The longest name of a token.
const NAME_BYTES_MAX: usize = 100;

/// A new token and what is kept of it: with these roles on these ledgers, as of now.
pub fn new_token(
    name: &str,
    roles: BTreeSet<Role>,
    ledgers: Scope,
    random: &dyn Random,
    clock: &dyn Clock,
) -> std::io::Result<(Token, Grant)> {
    let (mut secret, mut id) = ([0; 32], [0; 8]);
    random.fill(&mut secret)?;
    random.fill(&mut id)?;
    let token = Token::from_random(&secret);
    let grant = Grant {
        id: format!("tok_{}", HEXLOWER.encode(&id)),
        name: name.to_owned(),
        roles,
        ledgers,
        kinds: None,
        producers: None,
        created_at_unix: u64::try_from(clock.now().unix_nanos() / 1_000_000_000).unwrap_or(0),
        expires_at_unix: None,
        digest: token.digest(),
    };
    Ok((token, grant))
}

/// Makes a token.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    permit(&grant)?;
    let new: NewToken = reading::json(&app, &headers, body).await?;
    if new.name.len() > NAME_BYTES_MAX || new.roles.is_empty() {
        let detail = "a token has a name of at most 100 bytes and at least one role";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "token_unusable", detail));
    }
    let ledgers = new.ledgers.map_or(Scope::All, Scope::Ledgers);
    let (token, mut made) =
        new_token(&new.name, new.roles, ledgers, app.random.as_ref(), app.clock.as_ref())
            .map_err(|error| ApiError::internal(error.to_string()))?;
    made.expires_at_unix =
        new.lifetime_seconds.map(|lifetime| made.created_at_unix.saturating_add(lifetime));
    made.kinds = new.kinds.map(|kinds| kinds.iter().map(ToString::to_string).collect());
    made.producers = new.producers;
    let body = TokenBody::of(&made, Some(&token));
    let tokens = Arc::clone(&app.tokens);
    blocking(move || Ok(tokens.add(&token, made)?)).await?;
    json(StatusCode::CREATED, &body)
}

/// All tokens, without their secrets.
pub(super) async fn list(
    State(app): State<App>,
    Caller(grant): Caller,
) -> Result<Response, ApiError> {
    permit(&grant)?;
    let bodies = app.tokens.list().iter().map(|grant| TokenBody::of(grant, None)).collect();
    json(StatusCode::OK, &List::<TokenBody>::new(bodies, None))
}

/// Takes a token back.
pub(super) async fn revoke(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    permit(&grant)?;
    let tokens = Arc::clone(&app.tokens);
    if blocking(move || Ok(tokens.revoke(&id)?)).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(ApiError::not_found("token_unknown", "there is no token with this id"))
    }
}

/// Tokens are for the server as a whole: who makes one for other ledgers could read them.
fn permit(grant: &Grant) -> Result<(), ApiError> {
    if grant.permits_everywhere(Action::Administer) { Ok(()) } else { Err(ApiError::forbidden()) }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        Self::internal(with_causes(&error))
    }
}
