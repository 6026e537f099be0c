//! Every route, on one page.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::error::ApiError;
use super::{App, audit, context, ledgers, openapi, proofs, records, tokens};

/// A request that takes longer is given up. What it had queued is still committed.
const REQUEST_SECONDS_MAX: u64 = 60;

/// The server's routes over its state.
pub fn router(app: App) -> Router {
    let timeout = Duration::from_secs(REQUEST_SECONDS_MAX);
    Router::new()
        .route("/v1/ledgers", post(ledgers::create).get(ledgers::list))
        .route("/v1/ledgers/{ledger}", get(ledgers::get))
        .route("/v1/ledgers/{ledger}/records", post(records::append))
        .route("/v1/ledgers/{ledger}/records/{id}", get(records::get))
        .route("/v1/ledgers/{ledger}/records/{id}/proof", get(proofs::inclusion))
        .route("/v1/ledgers/{ledger}/proof/consistency", get(proofs::consistency))
        .route("/v1/ledgers/{ledger}/sessions/{id}", get(records::session))
        .route("/v1/tokens", post(tokens::create).get(tokens::list))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/tlog/{ledger}/checkpoint", get(audit::checkpoint))
        .route("/tlog/{ledger}/checkpoints", get(audit::checkpoints))
        .route("/tlog/{ledger}/log.vkey", get(audit::key))
        .route("/tlog/{ledger}/archive.json", get(audit::meta))
        .route("/tlog/{ledger}/tile/{*path}", get(audit::tile))
        .route("/tlog/{ledger}/content/{*path}", get(audit::content))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(openapi::serve))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal("a handler panicked").into_response()
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout))
        .layer(middleware::from_fn_with_state(app.clone(), context::context))
        .with_state(app)
}

/// The process is alive.
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The server takes records: no ledger has stopped writing.
async fn readyz(State(app): State<App>) -> Result<Response, ApiError> {
    if app.ledgers.any_halted() {
        let detail = "a ledger has stopped writing: restart the server to open it again";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_halted", detail));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
