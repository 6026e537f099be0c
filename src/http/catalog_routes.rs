//! The routes of catalogs: another page of [`super::routes`].

use axum::routing::get;

use super::catalogs::{self, CatalogBody, DiffBody};
use super::records::List;
use super::route::{INVESTIGATOR, NOTHING, Route, json, needed, number, ok};

/// The routes of this page.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ledgers/{ledger}/catalogs",
        handler: || get(catalogs::list),
        id: "listCatalogs",
        summary: "Lists the snapshots of a server's catalogs, the newest first.",
        roles: INVESTIGATOR,
        query: &[
            needed("server", "The server that offers the tools."),
            number("after", false, "Where the page begins: `after` of the page before."),
            number("limit", false, "Snapshots of a page, 1 to 200, by default 50."),
        ],
        answers: &[ok(&[json::<List<CatalogBody>>(None)])],
        codes: &["query_invalid", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/catalogs/diff",
        handler: || get(catalogs::diff),
        id: "diffCatalogs",
        summary: "Compares two snapshots of a server's catalogs by what is sealed of their tools.",
        roles: INVESTIGATOR,
        query: &[
            needed("from", "The id of the record that is compared."),
            needed("to", "The id of the record that it is compared with."),
        ],
        answers: &[ok(&[json::<DiffBody>(None)])],
        codes: &[
            "query_invalid",
            "record_unknown",
            "catalog_unknown",
            "servers_differ",
            "reading_unlogged",
        ],
        ..NOTHING
    },
];
