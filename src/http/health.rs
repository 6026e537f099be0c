//! Whether the server is there, and of use.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;

/// The process is alive.
pub(super) async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The server takes records: no ledger has stopped writing.
pub(super) async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    if app.ledgers.any_halted() {
        let detail = "a ledger has stopped writing: restart the server to open it again";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_halted", detail));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
