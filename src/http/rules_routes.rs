//! The routes of the ledger's rules: another page of [`super::routes`].

use axum::http::StatusCode;
use axum::routing::{get, post, put};

use super::describe::{posted_record, taken};
use super::policy::{self, PolicyBody};
use super::preflight::{self, DecisionBody};
use super::route::{ADMIN, Answer, Media, NOTHING, Route, SETTINGS, json, ok};
use crate::record::data::Policy;

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ledgers/{ledger}/policy",
        handler: || get(policy::get),
        id: "getPolicy",
        summary: "Shows the policy in force, and the record that put it in force.",
        roles: SETTINGS,
        answers: &[ok(&[json::<PolicyBody>(None)])],
        ..NOTHING
    },
    Route {
        method: "put",
        path: "/v1/ledgers/{ledger}/policy",
        handler: || put(policy::put),
        id: "putPolicy",
        summary: "Puts a policy in force, as a whole, by a record of the ledger.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<Policy>,
            example: Some("policy"),
        }],
        answers: &[ok(&[json::<PolicyBody>(None)])],
        codes: &["field_invalid", "field_too_long", "too_many", "reading_unlogged", "busy"],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/preflight",
        handler: || post(preflight::decide),
        id: "preflight",
        summary: "Asks whether an action may be taken, before it is: seals the request, or refuses it.",
        roles: &["writer"],
        body: &[Media { name: "application/json", schema: posted_record, example: Some("record") }],
        answers: &[
            Answer {
                status: StatusCode::CREATED,
                what: "It may be taken, and the request is in the ledger.",
                media: &[json::<DecisionBody>(None)],
            },
            Answer {
                status: StatusCode::OK,
                what: "The same was asked before: the decision from then.",
                media: &[json::<DecisionBody>(None)],
            },
        ],
        codes: &["busy", "ledger_halted", "RECORD"],
        ..NOTHING
    },
];
