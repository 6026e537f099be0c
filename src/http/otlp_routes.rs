//! The routes of OTLP over HTTP: another page of [`super::routes`].

use axum::routing::post;

use super::describe::{anything, octets};
use super::otlp;
use super::route::{Media, NOTHING, Route, ok};

const BODY: &[Media] = &[
    Media { name: "application/x-protobuf", schema: octets, example: Some("otlp_protobuf") },
    Media { name: "application/json", schema: anything, example: Some("otlp_json") },
];
const ANSWER: &[Media] = &[
    Media { name: "application/x-protobuf", schema: octets, example: None },
    Media { name: "application/json", schema: anything, example: None },
];
const CODES: &[&str] =
    &["ledger_unknown", "telemetry_invalid", "telemetry_unwritable", "too_many_items"];

/// What all of them have in common.
const POST: Route = Route {
    method: "post",
    roles: &["writer"],
    body: BODY,
    answers: &[ok(ANSWER)],
    codes: CODES,
    ..NOTHING
};

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/traces",
        handler: || post(otlp::traces),
        id: "exportTraces",
        summary: "Takes spans (OTLP) for the token's only ledger, or for `main`. They become records \
                  when their trace is over.",
        ..POST
    },
    Route {
        path: "/v1/logs",
        handler: || post(otlp::logs),
        id: "exportLogs",
        summary: "Takes log records (OTLP) for the token's only ledger, or for `main`.",
        ..POST
    },
    Route {
        path: "/v1/metrics",
        handler: || post(otlp::metrics),
        id: "exportMetrics",
        summary: "Takes metrics (OTLP) and keeps none, so that no exporter fails.",
        ..POST
    },
    Route {
        path: "/v1/ledgers/{ledger}/otlp/v1/traces",
        handler: || post(otlp::traces_of),
        id: "exportTracesTo",
        summary: "Takes spans (OTLP) for a ledger. They become records when their trace is over.",
        ..POST
    },
    Route {
        path: "/v1/ledgers/{ledger}/otlp/v1/logs",
        handler: || post(otlp::logs_of),
        id: "exportLogsTo",
        summary: "Takes log records (OTLP) for a ledger.",
        ..POST
    },
    Route {
        path: "/v1/ledgers/{ledger}/otlp/v1/metrics",
        handler: || post(otlp::metrics_of),
        id: "exportMetricsTo",
        summary: "Takes metrics (OTLP) and keeps none, so that no exporter fails.",
        ..POST
    },
];
