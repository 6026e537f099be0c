//! What every request gets: an id, a line in the log, and problems for errors, whoever made them.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, Problem, codes};
use super::otlp::Form;
use super::{App, workos};
use crate::canon;

/// The header that carries a request's id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Wraps the handling of every request.
pub(super) async fn context(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(&app, &request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;

    if response.status().is_client_error() || response.status().is_server_error() {
        let error = response.extensions_mut().remove::<ApiError>();
        let error = error.unwrap_or_else(|| of_status(response.status()));
        if let Some(cause) = &error.cause {
            tracing::error!(request_id = %id, %method, path, cause, "a request failed");
        } else {
            tracing::debug!(request_id = %id, %method, path, %error, "refused");
        }
        debug_assert!(codes().any(|code| code.name == error.code), "{} is not listed", error.code);
        let form = response.extensions_mut().remove::<Form>();
        let says_again = path.ends_with(workos::PATH);
        response = problem(error, form, &response, &id, says_again);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The client's id if it is short and plain, or a new one.
fn request_id(app: &App, request: &Request) -> String {
    let plain = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    if let Some(id) = given {
        return id.to_owned();
    }
    let mut bytes = [0; 16];
    match app.random.fill(&mut bytes) {
        Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// The problem for an error that no handler of ours made: by its status alone.
fn of_status(status: StatusCode) -> ApiError {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("path_unknown", "there is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", "this path does not take this method")
        }
        StatusCode::REQUEST_TIMEOUT => return ApiError::timeout(),
        StatusCode::PAYLOAD_TOO_LARGE => return ApiError::body_too_large(),
        status if status.is_server_error() => return ApiError::internal("a handler failed"),
        _ => ("request_invalid", "the request cannot be read"),
    };
    ApiError::new(status, code, detail)
}

/// The answer that says what is wrong: a problem in JSON, unless it has to have another form.
fn problem(
    error: ApiError,
    form: Option<Form>,
    response: &Response,
    request_id: &str,
    says_again: bool,
) -> Response {
    let other = form.map(|form| (form.media(), form.of_error(&error)));
    let problem = Problem {
        message: says_again.then(|| error.detail.clone()),
        kind: "about:blank",
        title: error.status.canonical_reason().unwrap_or("Error").to_owned(),
        status: error.status.as_u16(),
        detail: error.detail,
        code: error.code,
        errors: error.errors,
        refusal: error.refused.and_then(|refused| refused.told),
        request_id: request_id.to_owned(),
    };
    let (media, body) = other.unwrap_or_else(|| {
        let body = canon::sorted_to_bytes(&problem).unwrap_or_default();
        ("application/problem+json", body)
    });
    let mut with_body = (error.status, Body::from(body)).into_response();
    let headers = with_body.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = error.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = response.headers().get(header::ALLOW) {
        headers.insert(header::ALLOW, allow.clone());
    }
    with_body
}
