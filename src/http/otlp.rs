//! `/v1/traces`, `/v1/logs` and `/v1/metrics`, also below `/v1/ledgers/{ledger}/otlp`: OTLP over HTTP.
//!
//! A post is answered when it is durable, and becomes records later ([`crate::intake`]). Answers and errors
//! have the form of the request, as the specification of OTLP demands: an exporter understands no other.
//! What may be taken later is answered with a status on which exporters send the same again.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::{reading, stated};
use crate::access::Grant;
use crate::capture::otlp::{Encoding, Signal, answer};
use crate::intake::{self, Origin, PostError, Taken};
use crate::ledger::Ledger;

/// Bytes of a post after it was decompressed.
pub(super) const INFLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a post waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(20);
/// What is said of metrics. They are taken, so that no exporter calls that a failure.
pub(super) const METRICS: &str =
    "metrics are not kept: they tell nothing of why something was done";

/// Spans, for the token's ledger.
pub(super) async fn traces(State(app): State<App>, request: Request) -> Response {
    post(&app, None, Some(Signal::Traces), request).await
}

/// Log records, for the token's ledger.
pub(super) async fn logs(State(app): State<App>, request: Request) -> Response {
    post(&app, None, Some(Signal::Logs), request).await
}

/// Metrics, which are not kept.
pub(super) async fn metrics(State(app): State<App>, request: Request) -> Response {
    post(&app, None, None, request).await
}

/// Spans, for a ledger.
pub(super) async fn traces_of(
    State(app): State<App>,
    Path(ledger): Path<String>,
    request: Request,
) -> Response {
    post(&app, Some(ledger), Some(Signal::Traces), request).await
}

/// Log records, for a ledger.
pub(super) async fn logs_of(
    State(app): State<App>,
    Path(ledger): Path<String>,
    request: Request,
) -> Response {
    post(&app, Some(ledger), Some(Signal::Logs), request).await
}

/// Metrics, for a ledger.
pub(super) async fn metrics_of(
    State(app): State<App>,
    Path(ledger): Path<String>,
    request: Request,
) -> Response {
    post(&app, Some(ledger), None, request).await
}

/// The form of an answer, where it is not a problem in JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form(Encoding);

impl Form {
    /// The form that a request has, if it is one of OTLP.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self(Encoding::Protobuf))
        } else if essence.eq_ignore_ascii_case("application/json") {
            Some(Self(Encoding::Json))
        } else {
            None
        }
    }

    pub(super) const fn media(self) -> &'static str {
        match self.0 {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }

    /// The body of an error: `google.rpc.Status`.
    pub(super) fn of_error(self, error: &ApiError) -> Vec<u8> {
        answer::status(self.0, grpc_code(error.status), &error.detail)
    }
}

/// The code of gRPC for a status. What may succeed later is UNAVAILABLE, on which exporters try again.
pub(super) const fn grpc_code(status: StatusCode) -> u32 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        429 | 500.. => 14,
        _ => 3,
    }
}

async fn post(
    app: &App,
    ledger: Option<String>,
    signal: Option<Signal>,
    request: Request,
) -> Response {
    let form = Form::of(request.headers());
    match take(app, ledger, signal, form, request).await {
        Ok((form, body)) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static(form.media()))], body).into_response()
        }
        Err(error) => {
            let mut response = error.for_exporter().into_response();
            response.extensions_mut().insert(form.unwrap_or(Form(Encoding::Json)));
            response
        }
    }
}

async fn take(
    app: &App,
    ledger: Option<String>,
    signal: Option<Signal>,
    form: Option<Form>,
    request: Request,
) -> Result<(Form, Vec<u8>), ApiError> {
    let (mut head, body) = request.into_parts();
    let Caller(grant) = Caller::from_request_parts(&mut head, app).await?;
    let ledger = stated::ledger(app, &grant, ledger).await?;
    let form = form.ok_or_else(|| {
        let detail = "send application/x-protobuf or application/json";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail)
    })?;
    let compression = Compression::of(&head.headers)?;
    let origin = origin(&grant, &head.headers)?;
    let read = reading::encoded(app, &head.headers, body).await?;
    let Some(signal) = signal else {
        return Ok((form, answer::accepted(Signal::Traces, form.0, 0, METRICS)));
    };
    let turn = turn(app).await?;
    let post = Post { ledger, origin, signal, encoding: form.0 };
    let app = app.clone();
    let outcome = blocking(move || {
        let bytes = match compression {
            Compression::None => read.bytes.clone(),
            Compression::Gzip => inflate(&read.bytes)?.into(),
        };
        let outcome = post.take(&app, &bytes);
        drop((read, turn));
        outcome
    });
    let taken = outcome.await?;
    let reason = taken.reason.unwrap_or_default();
    Ok((form, answer::accepted(signal, form.0, taken.rejected, reason)))
}

/// A post whose sender may make it.
pub(super) struct Post {
    pub(super) ledger: Ledger,
    pub(super) origin: Origin,
    pub(super) signal: Signal,
    pub(super) encoding: Encoding,
}

impl Post {
    /// Takes it, durably. Waits for the disk.
    pub(super) fn take(self, app: &App, bytes: &[u8]) -> Result<Taken, ApiError> {
        let Self { ledger, origin, signal, encoding } = self;
        let intake = app.intakes.of(&ledger).map_err(|error| {
            let cause = super::error::with_causes(&error);
            ApiError::telemetry_unwritable(cause)
        })?;
        Ok(intake.post(origin, signal, encoding, bytes)?)
    }
}

impl From<PostError> for ApiError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Unreadable(why) if why == intake::DecodeError::TooMany => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Self::new(status, "too_many_items", &why.to_string())
            }
            PostError::Unreadable(why) => Self::bad_request("telemetry_invalid", &why.to_string()),
            PostError::TooLong => Self::body_too_large(),
            PostError::Busy => Self::busy(),
            PostError::Failed(source) => {
                Self::telemetry_unwritable(super::error::with_causes(&source))
            }
        }
    }
}

/// Who posts, with what the headers say of it.
pub(super) fn origin(grant: &Grant, headers: &HeaderMap) -> Result<Origin, ApiError> {
    Ok(Origin {
        token: grant.id.clone(),
        kinds: grant.kinds.clone(),
        producers: grant.producers.clone(),
        sender: stated::sender(grant, headers)?,
    })
}

/// Waits for the right to work on a post.
pub(super) async fn turn(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let turn = Arc::clone(&app.posts).acquire_owned();
    match tokio::time::timeout(TURN_MAX, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(ApiError::busy()),
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
}

impl Compression {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::None) };
        let name = value.to_str().unwrap_or("").trim().to_ascii_lowercase();
        match name.as_str() {
            "identity" | "" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => {
                let detail = "of the ways to compress a body only gzip is taken";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Err(ApiError::new(status, "encoding_unsupported", detail))
            }
        }
    }
}

/// A body as it was before it was compressed, if it was not too long.
fn inflate(bytes: &Bytes) -> Result<Vec<u8>, ApiError> {
    let most = u64::try_from(INFLATED_BYTES_MAX).unwrap_or(u64::MAX);
    let mut inflated = Vec::new();
    let mut reader = MultiGzDecoder::new(&**bytes).take(most.saturating_add(1));
    reader.read_to_end(&mut inflated).map_err(|_| {
        ApiError::bad_request("body_unreadable", "the body is not what gzip makes of one")
    })?;
    if inflated.len() > INFLATED_BYTES_MAX {
        return Err(ApiError::body_too_large());
    }
    Ok(inflated)
}
