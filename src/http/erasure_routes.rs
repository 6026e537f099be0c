//! The routes of erasures and holds: another page of [`super::routes`].

use axum::http::StatusCode;
use axum::routing::{get, post};

use super::describe::taken;
use super::erasures::{self, ErasedBody, ErasureBody, HoldBody, NewErasure, NewHold, Release};
use super::records::List;
use super::route::{ADMIN, Answer, Media, NOTHING, OVERSEERS, Route, json, number, ok};

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/erasures",
        handler: || post(erasures::create),
        id: "eraseContent",
        summary: "Erases the content of a record, a session or a user; entries and proofs stay.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<NewErasure>,
            example: Some("new_erasure"),
        }],
        answers: &[Answer {
            status: StatusCode::CREATED,
            what: "How much went, and the receipts of the records that say so.",
            media: &[json::<ErasedBody>(None)],
        }],
        codes: &[
            "field_invalid",
            "field_too_long",
            "held",
            "record_unknown",
            "session_unknown",
            "busy",
        ],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/erasures",
        handler: || get(erasures::list),
        id: "listErasures",
        summary: "Lists what was erased and why, the newest first.",
        roles: OVERSEERS,
        query: &[
            number("limit", false, "Items of a page, by default 100."),
            number("after", false, "Where the page begins: `after` of the page before."),
        ],
        answers: &[ok(&[json::<List<ErasureBody>>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/holds",
        handler: || post(erasures::hold),
        id: "placeHold",
        summary: "Places a legal hold: what it reaches cannot be erased until it is released.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<NewHold>,
            example: Some("new_hold"),
        }],
        answers: &[Answer {
            status: StatusCode::CREATED,
            what: "The hold.",
            media: &[json::<HoldBody>(None)],
        }],
        codes: &["field_invalid", "field_too_long", "record_unknown", "busy"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/holds",
        handler: || get(erasures::holds),
        id: "listHolds",
        summary: "Lists the legal holds in force.",
        roles: OVERSEERS,
        answers: &[ok(&[json::<List<HoldBody>>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/holds/{id}/release",
        handler: || post(erasures::release),
        id: "releaseHold",
        summary: "Releases a legal hold.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<Release>,
            example: Some("release"),
        }],
        answers: &[ok(&[json::<HoldBody>(None)])],
        codes: &["field_invalid", "field_too_long", "hold_unknown", "busy"],
        ..NOTHING
    },
];
