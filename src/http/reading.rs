//! Reading bodies and queries: bounded, and strictly.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::error::ApiError;

/// KiB by which the room of a body grows at least.
const ROOM_KIB_MIN: usize = 16;

/// A body in memory, and the room that it takes among all bodies.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most the allowed size. A longer one is refused as soon as that is known: by its
/// announced length, or when the limit is passed. It takes room as its bytes come in, so that a
/// client that announces much and sends nothing keeps nobody else out.
pub(super) async fn body(app: &App, headers: &HeaderMap, body: Body) -> Result<Read, ApiError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not taken: send the body as it is";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ApiError::new(status, "encoding_unsupported", detail));
    }
    encoded(app, headers, body).await
}

/// The same for a body that may be compressed: as it comes.
pub(super) async fn encoded(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Read, ApiError> {
    let max = app.limits.body_bytes_max;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(ApiError::body_too_large());
    }
    let mut read = Read { bytes: Bytes::new(), room: None };
    let mut joined = Vec::new();
    loop {
        let frame = tokio::time::timeout(app.limits.body_stall_max, body.frame()).await;
        let frame = match frame.map_err(|_| ApiError::timeout())? {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                return Err(ApiError::bad_request("body_unreadable", "the body ended early"));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = read.bytes.len() + joined.len() + data.len();
        if length > max {
            return Err(ApiError::body_too_large());
        }
        read.make_room(app, length)?;
        if read.bytes.is_empty() && joined.is_empty() {
            read.bytes = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut read.bytes));
            joined.extend_from_slice(&data);
        }
    }
    if !joined.is_empty() {
        read.bytes = joined.into();
    }
    Ok(read)
}

impl Read {
    /// Takes room for a body that has become this long.
    fn make_room(&mut self, app: &App, length: usize) -> Result<(), ApiError> {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (length / 1_024 + 1).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let kib = u32::try_from(missing.max(ROOM_KIB_MIN)).unwrap_or(u32::MAX);
        let more = Arc::clone(&app.bodies).try_acquire_many_owned(kib);
        let more = more.map_err(|_| ApiError::busy())?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }
}

/// Reads a small JSON body.
pub(super) async fn json<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    json: Body,
) -> Result<T, ApiError> {
    parse_json(&body(app, headers, json).await?.bytes)
}

/// Reads JSON of a form of our own.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|_| {
        let detail = "the body is not the JSON object that this call takes";
        ApiError::bad_request("json_invalid", detail)
    })
}

/// The longest name that something of a ledger is kept under.
const NAME_BYTES_MAX: usize = 64;

/// Refuses what cannot be the name of `what`: it stands in a URL as it is.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let right = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
    if right && ![".", ".."].contains(&name) {
        return Ok(());
    }
    let detail = format!("a {what}'s name has 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`");
    Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "name_invalid", &detail))
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
