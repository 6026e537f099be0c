//! The routes of webhooks: another page of [`super::routes`].

use axum::http::StatusCode;
use axum::routing::{delete, get, put};

use super::describe::taken;
use super::records::List;
use super::route::{ADMIN, Answer, Media, NOTHING, Route, json, ok};
use super::webhooks::{self, WebhookBody};
use crate::watch::Wanted;

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ledgers/{ledger}/webhooks",
        handler: || get(webhooks::list),
        id: "listWebhooks",
        summary: "Lists the webhooks of a ledger, without their secrets.",
        roles: ADMIN,
        answers: &[ok(&[json::<List<WebhookBody>>(None)])],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/webhooks/{name}",
        handler: || get(webhooks::get),
        id: "getWebhook",
        summary: "Shows a webhook, how far it was told, and whether that fails.",
        roles: ADMIN,
        answers: &[ok(&[json::<WebhookBody>(None)])],
        codes: &["webhook_unknown"],
        ..NOTHING
    },
    Route {
        method: "put",
        path: "/v1/ledgers/{ledger}/webhooks/{name}",
        handler: || put(webhooks::put),
        id: "keepWebhook",
        summary: "Makes a webhook, which is told of flags and gaps from now on, or changes one, which \
                  keeps its secret and its place in the log.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<Wanted>,
            example: Some("webhook"),
        }],
        answers: &[
            Answer {
                status: StatusCode::CREATED,
                what: "The webhook with its secret.",
                media: &[json::<WebhookBody>(None)],
            },
            Answer {
                status: StatusCode::OK,
                what: "The webhook, as it was changed.",
                media: &[json::<WebhookBody>(None)],
            },
        ],
        codes: &["name_invalid", "webhook_invalid", "too_many_webhooks", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        method: "delete",
        path: "/v1/ledgers/{ledger}/webhooks/{name}",
        handler: || delete(webhooks::remove),
        id: "removeWebhook",
        summary: "Removes a webhook.",
        roles: ADMIN,
        answers: &[Answer { status: StatusCode::NO_CONTENT, what: "It is gone.", media: &[] }],
        codes: &["webhook_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
];
