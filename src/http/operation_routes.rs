//! The routes for whoever operates the server: another page of [`super::routes`]. They need no token.

use axum::http::StatusCode;
use axum::routing::get;

use super::describe::anything;
use super::route::{Answer, Media, NOTHING, Route, ok};
use super::{health, openapi};

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/healthz",
        handler: || get(health::alive),
        id: "isAlive",
        summary: "Says that the process is alive.",
        answers: &[Answer { status: StatusCode::NO_CONTENT, what: "It is.", media: &[] }],
        ..NOTHING
    },
    Route {
        path: "/readyz",
        handler: || get(health::ready),
        id: "isReady",
        summary: "Says that no ledger has stopped writing.",
        answers: &[Answer { status: StatusCode::NO_CONTENT, what: "None has.", media: &[] }],
        codes: &["ledger_halted"],
        ..NOTHING
    },
    Route {
        path: "/openapi.json",
        handler: || get(openapi::serve),
        id: "getDescription",
        summary: "This document.",
        answers: &[ok(&[Media { name: "application/json", schema: anything, example: None }])],
        ..NOTHING
    },
];
