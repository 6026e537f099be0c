//! The API's description, made from the table of routes and the types that the API is made of.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::describe::{Schemas, anything, example, octets, problem};
use super::error::{ApiError, codes};
use super::records::json as answer;
use super::route::{Media, Of, Parameter, Route};
use super::routes;

/// What every request can be refused with.
const EVERYWHERE: [&str; 3] = ["request_invalid", "timeout", "internal"];
/// What a request with a body can be refused with.
const WITH_BODY: [&str; 5] =
    ["json_invalid", "body_unreadable", "body_too_large", "encoding_unsupported", "busy"];

/// The `OpenAPI` 3.1 document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        let path = route.path.replace("{*", "{");
        let operation = operation(route, &mut schemas);
        paths.entry(path).or_default().insert(route.method.to_owned(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "whence",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:7117" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.collected(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// Serves the document.
pub(super) async fn serve() -> Result<Response, ApiError> {
    answer(StatusCode::OK, &document())
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut parameters = path_parameters(route.path);
    parameters.extend(route.query.iter().map(query_parameter));
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for answer in route.answers {
        let mut response = json!({ "description": answer.what });
        if !answer.media.is_empty() {
            put(&mut response, "content", content(answer.media, schemas));
        }
        responses.insert(answer.status.as_str().to_owned(), response);
    }
    for (status, codes) in refusals(route) {
        let mut described = refusal(status, &codes, schemas);
        if route.answers.iter().any(|answer| answer.media.iter().any(is_otlp)) {
            // Exporters get their errors in the form of their requests.
            put(&mut described, "content", content(STATUS, schemas));
        }
        responses.insert(status.to_string(), described);
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if route.roles.is_empty() {
        put(&mut operation, "security", json!([]));
    } else {
        let needs = format!("Needs the role {}.", route.roles.join(" or "));
        put(&mut operation, "description", Value::String(needs));
    }
    if !route.body.is_empty() {
        let body = json!({ "required": true, "content": content(route.body, schemas) });
        put(&mut operation, "requestBody", body);
    }
    operation
}

/// `google.rpc.Status`, in both forms.
const STATUS: &[Media] = &[
    Media { name: PROTOBUF, schema: octets, example: None },
    Media { name: "application/json", schema: anything, example: None },
];
const PROTOBUF: &str = "application/x-protobuf";

fn is_otlp(media: &Media) -> bool {
    media.name == PROTOBUF
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn content(media: &[Media], schemas: &mut Schemas) -> Value {
    let forms = media.iter().map(|form| {
        let mut described = json!({ "schema": (form.schema)(schemas) });
        if let Some(name) = form.example {
            put(&mut described, "example", example(name));
        }
        (form.name.to_owned(), described)
    });
    Value::Object(forms.collect())
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters = names.map(|name| {
        json!({
            "name": name.trim_start_matches('*'),
            "in": "path",
            "required": true,
            "schema": { "type": "string" },
        })
    });
    parameters.collect()
}

fn query_parameter(parameter: &Parameter) -> Value {
    let (required, schema) = match parameter.of {
        Of::Number { required } => (required, json!({ "type": "integer", "minimum": 0 })),
        Of::Text => (false, json!({ "type": "string" })),
        Of::NeededText => (true, json!({ "type": "string" })),
        Of::Bool => (false, json!({ "type": "boolean" })),
        Of::OneOf(values) => (false, json!({ "type": "string", "enum": values })),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.what,
        "required": required,
        "schema": schema,
    })
}

/// The codes that a route can refuse with, by their status.
fn refusals(route: &Route) -> BTreeMap<u16, Vec<&'static str>> {
    let mut named = EVERYWHERE.to_vec();
    if !route.roles.is_empty() {
        named.extend(["token_invalid", "role_missing"]);
    }
    if route.path.contains("{ledger}") {
        named.extend(["ledger_unknown", "ledger_unreadable"]);
    }
    if !route.query.is_empty() {
        named.push("query_invalid");
    }
    if !route.body.is_empty() {
        named.extend(WITH_BODY);
    }
    if route.body.len() > 1 {
        named.push("media_type_unsupported");
    }
    named.extend(route.codes);
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in codes() {
        let of_records = code.of_records && named.contains(&"RECORD");
        if named.contains(&code.name) || of_records {
            by_status.entry(code.status.as_u16()).or_default().push(code.name);
        }
    }
    by_status
}

fn refusal(status: u16, names: &[&str], schemas: &mut Schemas) -> Value {
    let mut headers = json!({});
    if matches!(status, 429 | 503) {
        let what = "After how many seconds to send the same request again.";
        let seconds = json!({ "description": what, "schema": { "type": "integer" } });
        put(&mut headers, "Retry-After", seconds);
    }
    let example = json!({
        "type": "about:blank",
        "title": StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()),
        "status": status,
        "detail": "what is wrong, in a sentence",
        "code": names.first(),
        "errors": [],
        "request_id": "0d6e4f0a-7c8e-4b59-9a51-2f3cf1d1f9b2",
    });
    json!({
        "description": format!("`{}`", names.join("`, `")),
        "headers": headers,
        "content": {
            "application/problem+json": { "schema": problem(schemas), "example": example },
        },
    })
}
