//! The router: every route of the table, and what surrounds all of them.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::error::ApiError;
use super::{App, context, grpc, routes};

/// A request that takes longer is given up. What it had queued is still committed.
const REQUEST_SECONDS_MAX: u64 = 60;

/// The server's routes over its state.
pub fn router(app: App) -> Router {
    let timeout = Duration::from_secs(REQUEST_SECONDS_MAX);
    let routes = routes::all()
        .fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    routes
        .merge(grpc::routes())
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal("a handler panicked").into_response()
        }))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout))
        .layer(middleware::from_fn_with_state(app.clone(), context::context))
        .with_state(app)
}
