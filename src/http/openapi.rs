//! The API's description, made from the types that it is made of.

use axum::response::Response;
use serde_json::Value;

use super::error::ApiError;
use super::records::json;

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    Value::Null
}

/// Serves the document.
pub(super) async fn serve() -> Result<Response, ApiError> {
    json(axum::http::StatusCode::OK, &document())
}
