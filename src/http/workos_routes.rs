//! The routes of audit-log events: another page of [`super::routes`].
//!
//! Some clients can be told of a host and no more, so that the path that they know is there as well.

use axum::routing::post;

use super::describe::taken;
use super::route::{Media, NOTHING, Route, json, ok};
use super::workos::{self, AnswerBody};
use crate::capture::workos::Request;

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/audit_logs/events",
        id: "createAuditLogEventAsWorkOS",
        summary: "The same as below `/v1`, for clients that can be told of a host and no path.",
        ..EVENTS
    },
    EVENTS,
    Route {
        path: "/v1/ledgers/{ledger}/audit_logs/events",
        handler: || post(workos::create_in),
        id: "createAuditLogEventIn",
        summary: "Seals an audit-log event of an application, in a ledger.",
        ..EVENTS
    },
];

const EVENTS: Route = Route {
    method: "post",
    path: "/v1/audit_logs/events",
    handler: || post(workos::create),
    id: "createAuditLogEvent",
    summary: "Seals an audit-log event of an application, in the token's only ledger, or in `main`.",
    roles: &["writer"],
    body: &[Media {
        name: "application/json",
        schema: taken::<Request>,
        example: Some("audit_log_event"),
    }],
    answers: &[ok(&[json::<AnswerBody>(None)])],
    codes: &[
        "busy",
        "event_invalid",
        "key_invalid",
        "ledger_halted",
        "ledger_unknown",
        "ledger_unreadable",
        "RECORD",
    ],
    ..NOTHING
};
