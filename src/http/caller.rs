//! Who sends a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use super::App;
use super::error::ApiError;
use crate::access::Grant;

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 256;

/// The bearer of a live token. A handler that takes one is closed to everybody else.
pub(super) struct Caller(pub(super) Arc<Grant>);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) =
            value.and_then(|value| value.split_once(' ')).ok_or_else(ApiError::unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > TOKEN_BYTES_MAX {
            return Err(ApiError::unauthorized());
        }
        let grant = app.tokens.authenticate(token, app.now_unix());
        grant.map(Self).ok_or_else(ApiError::unauthorized)
    }
}
