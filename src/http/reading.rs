//! Reading bodies and queries: bounded, and strictly.

use axum::body::Body;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::error::ApiError;

/// A body in memory, and the room that it takes among all bodies.
pub(super) struct Read {
    pub(super) bytes: axum::body::Bytes,
    _room: OwnedSemaphorePermit,
}

/// Reads a body of at most the allowed size. A longer one is refused as soon as that is known: by its
/// announced length, or when the limit is passed.
pub(super) async fn body(app: &App, headers: &HeaderMap, body: Body) -> Result<Read, ApiError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not taken: send the body as it is";
        let status = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ApiError::new(status, "encoding_unsupported", detail));
    }
    let max = app.limits.body_bytes_max;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(ApiError::body_too_large());
    }
    let kib = u32::try_from(announced.unwrap_or(max) / 1_024 + 1).unwrap_or(u32::MAX);
    let room = std::sync::Arc::clone(&app.bodies).try_acquire_many_owned(kib);
    let room = room.map_err(|_| ApiError::busy())?;
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(Read { bytes: body.to_bytes(), _room: room }),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::body_too_large()),
        Err(_) => Err(ApiError::bad_request("body_unreadable", "the body ended early")),
    }
}

/// Reads a small JSON body.
pub(super) fn json<T: DeserializeOwned>(read: &Read) -> Result<T, ApiError> {
    serde_json::from_slice(&read.bytes).map_err(|_| {
        let detail = "the body is not the JSON object that this call takes";
        ApiError::bad_request("json_invalid", detail)
    })
}

/// A query string whose every name and value is understood, or the request is refused.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|_| {
            let detail = "the query has a name or a value that this call does not take";
            ApiError::bad_request("query_invalid", detail)
        })
    }
}
