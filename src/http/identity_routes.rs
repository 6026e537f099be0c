//! The routes of keys and grants: the second page of [`super::routes`].

use axum::http::StatusCode;
use axum::routing::{get, post};

use super::delegations;
use super::describe::taken;
use super::producers::{self, ProducerKeyBody};
use super::records::List;
use super::route::{ADMIN, Answer, Media, NOTHING, RECEIPTS, Route, SETTINGS, json, ok};

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/delegations",
        handler: || post(delegations::create),
        id: "createDelegation",
        summary: "Seals the grant that the claims of a token are, read by a named profile.",
        roles: &["writer"],
        body: &[Media {
            name: "application/json",
            schema: taken::<delegations::NewDelegation>,
            example: Some("new_delegation"),
        }],
        answers: &[
            Answer {
                status: StatusCode::CREATED,
                what: "The receipt of the grant.",
                media: RECEIPTS,
            },
            Answer {
                status: StatusCode::OK,
                what: "The same claims were sent before: the receipt from then.",
                media: RECEIPTS,
            },
        ],
        codes: &["busy", "ledger_halted", "RECORD"],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/producers",
        handler: || post(producers::create),
        id: "registerProducerKey",
        summary: "Registers a key for a producer, whose records have to be signed from then on.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<producers::NewProducerKey>,
            example: Some("new_producer_key"),
        }],
        answers: &[Answer {
            status: StatusCode::CREATED,
            what: "The key.",
            media: &[json::<ProducerKeyBody>(None)],
        }],
        codes: &["field_invalid", "field_too_long", "key_exists", "busy"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/producers",
        handler: || get(producers::list),
        id: "listProducerKeys",
        summary: "Lists the keys that producers sign their records with.",
        roles: SETTINGS,
        answers: &[ok(&[json::<List<ProducerKeyBody>>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/producers/{key_id}/revoke",
        handler: || post(producers::revoke),
        id: "revokeProducerKey",
        summary: "Takes a producer's key back: nothing that it signs is taken any more.",
        roles: ADMIN,
        answers: &[ok(&[json::<ProducerKeyBody>(None)])],
        codes: &["key_unknown", "busy"],
        ..NOTHING
    },
];
