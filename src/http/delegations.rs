//! `/v1/ledgers/{ledger}/delegations`: grants, from the claims of tokens.
//!
//! Claims come in, never tokens: whoever sends them has checked the token.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::App;
use super::caller::Caller;
use super::error::ApiError;
use super::records::{ReceiptBody, admit, json};
use super::{reading, refusals};
use crate::access::{Action, Grant};
use crate::capture::{Asked, claims};
use crate::ledger::Ledger;
use crate::record::data::LifetimeBasis;
use crate::record::identity::UserType;
use crate::record::source::ObservedBy;
use crate::record::{Code, Event, Invalid};

/// Claims that are a grant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDelegation {
    /// How the claims are read: `rfc8693`, `workos_agent`, `workos_user`, `oidc` or `id_jag`.
    profile: String,
    /// The claims of the token, which was checked before.
    claims: Map<String, Value>,
    /// The session that the grant is for.
    session: String,
    /// What the user is.
    user_type: UserType,
    /// Who answers for an agent that acts for nobody.
    owner: Option<String>,
    /// Whom the token is for, if its claims do not say.
    audience: Option<String>,
    /// What the credential is named by, if its claims have no `jti`.
    credential_id: Option<String>,
    /// The algorithm of its signature.
    alg: Option<String>,
    /// What the grant's lifetime hangs on; the login session if left out.
    basis: Option<LifetimeBasis>,
    /// The program that sends the grant.
    producer: String,
    /// Who saw the claims; the agent's process if left out.
    observed_by: Option<ObservedBy>,
}

/// Seals the grant that claims are.
pub(super) async fn create(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Append).await?;
    let read = reading::body(&app, &headers, body).await?;
    let new: NewDelegation = reading::parse_json(&read.bytes)?;
    match take(&ledger, &grant, new).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let posted = |_| Some(read.bytes.to_vec());
            Err(refusals::tell(&app, &ledger, &grant, error, posted).await)
        }
    }
}

async fn take(ledger: &Ledger, grant: &Grant, new: NewDelegation) -> Result<Response, ApiError> {
    let unread = |pointer: &str, error: claims::ClaimError| {
        ApiError::from(Invalid::one(pointer, Code::FieldInvalid, error.to_string()))
    };
    let asked = Asked {
        profile: new.profile.parse().map_err(|error| unread("/profile", error))?,
        session: new.session,
        user_type: new.user_type,
        owner: new.owner,
        audience: new.audience,
        credential_id: new.credential_id,
        alg: new.alg,
        basis: new.basis.unwrap_or(LifetimeBasis::LoginSession),
        producer: new.producer,
        observed_by: new.observed_by.unwrap_or(ObservedBy::AgentProcess),
    };
    let draft = claims::grant(&asked, &new.claims).map_err(|error| unread("/claims", error))?;
    let record = admit(ledger, grant, Event::try_from(draft)?)?;
    let mut receipts = ledger.submit(vec![record]).await?;
    let receipt = receipts.pop().ok_or_else(|| ApiError::internal("a record has no receipt"))?;
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    json(status, &ReceiptBody::new(receipt, None))
}
