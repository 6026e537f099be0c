//! Every route, on one page: what it does, and what it is described as. The router and the API's
//! description are both made from this table, so that neither can say more than the other.

use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};

use super::describe::{posted_records, taken, text};
use super::export::Format;
use super::ledgers::LedgerBody;
use super::proofs::{ConsistencyBody, ProofBody};
use super::records::{List, RecordBody, SessionBody};
use super::route::{
    ADMIN, AUDITOR, Answer, INVESTIGATOR, Media, NOTHING, OCTETS, OVERSEERS, Of, Parameter,
    READERS, RECEIPTS, ROWS, Route, TEXT, WALK, asked, json, number, ok, one_of, words,
};
use super::saved::{Search, SearchBody};
use super::search::{FoundBody, IndexBody, SessionsBody};
use super::tokens::TokenBody;
use super::trace::{EffectsBody, WhyBody};
use super::{
    audit, catalog_routes, erasure_routes, export, identity_routes, ledgers, operation_routes,
    otlp_routes, overseeing, proofs, records, rules_routes, saved, search, tokens, trace,
    webhook_routes, workos_routes,
};
use crate::ledger::archive::ArchiveMeta;

/// Every route.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    let pages = [
        ROUTES,
        identity_routes::ROUTES,
        rules_routes::ROUTES,
        catalog_routes::ROUTES,
        webhook_routes::ROUTES,
        erasure_routes::ROUTES,
        otlp_routes::ROUTES,
        workos_routes::ROUTES,
        operation_routes::ROUTES,
    ];
    pages.into_iter().flatten()
}

/// The routes of this page.
const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ledgers",
        handler: || get(ledgers::list),
        id: "listLedgers",
        summary: "Lists the ledgers of the token.",
        roles: &["writer", "investigator", "auditor", "admin"],
        answers: &[ok(&[json::<List<LedgerBody>>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers",
        handler: || post(ledgers::create),
        id: "createLedger",
        summary: "Makes a ledger with a key of its own.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<ledgers::NewLedger>,
            example: Some("new_ledger"),
        }],
        answers: &[Answer {
            status: StatusCode::CREATED,
            what: "The ledger.",
            media: &[json::<LedgerBody>(None)],
        }],
        codes: &["name_invalid", "ledger_exists"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}",
        handler: || get(ledgers::get),
        id: "getLedger",
        summary: "Shows a ledger: its key, its size, its newest checkpoint.",
        roles: &["writer", "investigator", "auditor", "admin"],
        answers: &[ok(&[json::<LedgerBody>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/records",
        handler: || post(records::append),
        id: "appendRecords",
        summary: "Appends one record, an array of records, or NDJSON: all of them or none. The \
                  answer comes when they are on disk, under a signed checkpoint.",
        roles: &["writer"],
        query: &[Parameter {
            name: "include",
            what: "Adds an inclusion proof to each receipt.",
            of: Of::OneOf(&["proof"]),
        }],
        body: &[
            Media { name: "application/json", schema: posted_records, example: Some("record") },
            Media { name: "application/x-ndjson", schema: text, example: Some("ndjson") },
        ],
        answers: &[
            Answer {
                status: StatusCode::CREATED,
                what: "The receipt of the one record, or a list of receipts.",
                media: RECEIPTS,
            },
            Answer {
                status: StatusCode::OK,
                what: "Every record was in the log before: the receipts that its sender got.",
                media: RECEIPTS,
            },
        ],
        codes: &["no_records", "too_many_records", "busy", "ledger_halted", "RECORD"],
    },
    Route {
        path: "/v1/ledgers/{ledger}/records",
        handler: || get(search::search),
        id: "searchRecords",
        summary: "Finds records, page by page: at most 1,000 to a page.",
        roles: INVESTIGATOR,
        query: asked![
            Parameter {
                name: "order",
                what: "By seq: the newest first (the default), or the oldest first.",
                of: Of::OneOf(&["desc", "asc"]),
            },
            words(
                "facets",
                "What to count, with commas between: user, session, agent, tool, kind, flag."
            ),
            Parameter {
                name: "histogram",
                what: "Counts when the records were received.",
                of: Of::Bool,
            },
        ],
        answers: &[ok(&[json::<FoundBody>(None)])],
        codes: &["busy", "index_behind", "index_unavailable"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/sessions",
        handler: || get(search::sessions),
        id: "listSessions",
        summary: "Lists the sessions of the records that match, page by page: at most 100 to a page.",
        roles: INVESTIGATOR,
        query: asked![],
        answers: &[ok(&[json::<SessionsBody>(None)])],
        codes: &["busy", "index_behind", "index_unavailable"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/index",
        handler: || get(search::index),
        id: "getIndex",
        summary: "Says how far the index is that searches use.",
        roles: INVESTIGATOR,
        answers: &[ok(&[json::<IndexBody>(None)])],
        codes: &["index_unavailable"],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/ledgers/{ledger}/reindex",
        handler: || post(search::reindex),
        id: "rebuildIndex",
        summary: "Builds the index again, beside the one in use. Does nothing if one is being built.",
        roles: ADMIN,
        answers: &[Answer {
            status: StatusCode::ACCEPTED,
            what: "It is being built.",
            media: &[json::<IndexBody>(None)],
        }],
        codes: &["index_unavailable"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/records/{id}",
        handler: || get(records::get),
        id: "getRecord",
        summary: "Shows one record: its entry, its content, its flags and its receipt.",
        roles: INVESTIGATOR,
        answers: &[ok(&[json::<RecordBody>(None)])],
        codes: &["record_unknown", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/records/{id}/why",
        handler: || get(trace::why),
        id: "explainRecord",
        summary: "Walks from a record back to all that led to it: prompts, grants, and every untrusted \
                  input that could have influenced it.",
        roles: INVESTIGATOR,
        query: WALK,
        answers: &[ok(&[json::<WhyBody>(None)])],
        codes: &["record_unknown", "busy"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/records/{id}/effects",
        handler: || get(trace::effects),
        id: "followRecord",
        summary: "Walks from a record forward to all that came of it, in other sessions too: over \
                  handoffs, memories, and the same document seen elsewhere.",
        roles: INVESTIGATOR,
        query: WALK,
        answers: &[ok(&[json::<EffectsBody>(None)])],
        codes: &["record_unknown", "busy"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/records/{id}/proof",
        handler: || get(proofs::inclusion),
        id: "proveRecord",
        summary: "Proves that a record is in the log, against the newest checkpoint.",
        roles: READERS,
        query: &[Parameter {
            name: "format",
            what: "C2SP tlog-proof (the default), or JSON.",
            of: Of::OneOf(&["tlog-proof", "json"]),
        }],
        answers: &[ok(&[
            Media { name: "text/plain", schema: text, example: None },
            json::<ProofBody>(None),
        ])],
        codes: &["record_unknown"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/proof/consistency",
        handler: || get(proofs::consistency),
        id: "proveConsistency",
        summary: "Proves that the log only grew from one size to another (RFC 6962 §2.1.2).",
        roles: READERS,
        query: &[
            number("from", true, "The earlier size, from 1."),
            number("to", false, "The later size; the newest if left out."),
        ],
        answers: &[ok(&[json::<ConsistencyBody>(None)])],
        codes: &["size_unknown"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/sessions/{id}",
        handler: || get(records::session),
        id: "getSession",
        summary: "Shows a session's records in the order of the ledger, page by page.",
        roles: INVESTIGATOR,
        query: &[
            number("after", false, "Where the page begins: `after` of the page before."),
            number(
                "limit",
                false,
                "Records of a page, 1 to 1,000, by default 100. A page of large records ends \
                 earlier.",
            ),
        ],
        answers: &[ok(&[json::<SessionBody>(None)])],
        codes: &["session_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/export",
        handler: || get(export::export),
        id: "exportRecords",
        summary: "Exports records in ascending seq, as many as there are. Every row names its leaf and \
                  the checkpoint of the export.",
        roles: INVESTIGATOR,
        query: &[
            one_of(
                "format",
                Format::NAMES,
                "NDJSON with entries byte for byte (the default), CSV, or OCSF events as NDJSON.",
            ),
            one_of(
                "content",
                &["kept", "withheld"],
                "Whether content is in it; `kept` if left out.",
            ),
            words("q", "Which records; all if left out."),
            words("since", "Only records received at this time or later."),
            words("until", "Only records received before this time."),
            number("after", false, "Where to go on: the seq of the last row that is there."),
        ],
        answers: &[ok(ROWS)],
        codes: &["busy", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/accesses",
        handler: || get(overseeing::list),
        id: "listAccesses",
        summary: "Shows the records that say who read the ledger or took a copy, newest first. A page \
                  may be empty where reading is rare; the list ends where there is no `after`.",
        roles: OVERSEERS,
        query: &[
            number("after", false, "Where the page begins: `after` of the page before."),
            number("limit", false, "Records of a page, 1 to 1,000, by default 100."),
        ],
        answers: &[ok(&[json::<List<RecordBody>>(None)])],
        codes: &["reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/searches",
        handler: || get(saved::list),
        id: "listSearches",
        summary: "Lists the saved searches of a ledger.",
        roles: OVERSEERS,
        answers: &[ok(&[json::<List<SearchBody>>(None)])],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/searches/{name}",
        handler: || get(saved::get),
        id: "getSearch",
        summary: "Shows a saved search.",
        roles: OVERSEERS,
        answers: &[ok(&[json::<SearchBody>(None)])],
        codes: &["search_unknown"],
        ..NOTHING
    },
    Route {
        method: "put",
        path: "/v1/ledgers/{ledger}/searches/{name}",
        handler: || put(saved::put),
        id: "saveSearch",
        summary: "Saves a search under a name, in place of the one that had it.",
        roles: OVERSEERS,
        body: &[Media {
            name: "application/json",
            schema: taken::<Search>,
            example: Some("search"),
        }],
        answers: &[
            Answer {
                status: StatusCode::CREATED,
                what: "The saved search.",
                media: &[json::<SearchBody>(None)],
            },
            Answer {
                status: StatusCode::OK,
                what: "The saved search, in place of another one.",
                media: &[json::<SearchBody>(None)],
            },
        ],
        codes: &["name_invalid", "query_invalid", "too_many_searches", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        method: "delete",
        path: "/v1/ledgers/{ledger}/searches/{name}",
        handler: || delete(saved::remove),
        id: "removeSearch",
        summary: "Removes a saved search.",
        roles: OVERSEERS,
        answers: &[Answer { status: StatusCode::NO_CONTENT, what: "It is gone.", media: &[] }],
        codes: &["search_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/ledgers/{ledger}/searches/{name}/poll",
        handler: || get(saved::poll),
        id: "pollSearch",
        summary: "Gives the next records that a saved search finds, as rows of an export. The header \
                  `whence-after` says after which seq to go on, `whence-complete` whether these were \
                  all that there are.",
        roles: INVESTIGATOR,
        query: &[
            number("after", false, "Where to go on: `whence-after` of the poll before."),
            number("limit", false, "Rows at most, 1 to 10,000, by default 1,000."),
            one_of(
                "content",
                &["kept", "withheld"],
                "Whether content is in it; `kept` if left out.",
            ),
        ],
        answers: &[ok(ROWS)],
        codes: &["search_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/v1/tokens",
        handler: || get(tokens::list),
        id: "listTokens",
        summary: "Lists all tokens, without their secrets.",
        roles: ADMIN,
        answers: &[ok(&[json::<List<TokenBody>>(None)])],
        ..NOTHING
    },
    Route {
        method: "post",
        path: "/v1/tokens",
        handler: || post(tokens::create),
        id: "createToken",
        summary: "Makes a token. Its secret is in the answer, and never shown again.",
        roles: ADMIN,
        body: &[Media {
            name: "application/json",
            schema: taken::<tokens::NewToken>,
            example: Some("new_token"),
        }],
        answers: &[Answer {
            status: StatusCode::CREATED,
            what: "The token with its secret.",
            media: &[json::<TokenBody>(None)],
        }],
        codes: &["token_unusable"],
        ..NOTHING
    },
    Route {
        method: "delete",
        path: "/v1/tokens/{id}",
        handler: || delete(tokens::revoke),
        id: "revokeToken",
        summary: "Takes a token back.",
        roles: ADMIN,
        answers: &[Answer { status: StatusCode::NO_CONTENT, what: "It is gone.", media: &[] }],
        codes: &["token_unknown"],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/checkpoint",
        handler: || get(audit::checkpoint),
        id: "getCheckpoint",
        summary: "The newest checkpoint (C2SP tlog-checkpoint).",
        roles: READERS,
        answers: &[ok(TEXT)],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/checkpoints",
        handler: || get(audit::checkpoints),
        id: "getCheckpoints",
        summary: "The checkpoints of the batches, in order, each after its length and a line feed.",
        roles: AUDITOR,
        query: &[
            number("from", false, "The first entry whose batch is wanted; 0 if left out."),
            number("limit", false, "How many checkpoints at most; all if left out."),
        ],
        answers: &[ok(OCTETS)],
        codes: &["busy"],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/log.vkey",
        handler: || get(audit::key),
        id: "getVerifierKey",
        summary: "The ledger's verifier key (C2SP signed-note).",
        roles: READERS,
        answers: &[ok(TEXT)],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/archive.json",
        handler: || get(audit::meta),
        id: "getArchiveMeta",
        summary: "What an archive of the log as it is would be of.",
        roles: AUDITOR,
        answers: &[ok(&[json::<ArchiveMeta>(None)])],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/tile/{*path}",
        handler: || get(audit::tile),
        id: "getTile",
        summary: "A tile of hashes, or a bundle of entries below `entries/` (C2SP tlog-tiles). The \
                  path has slashes.",
        roles: AUDITOR,
        answers: &[ok(OCTETS)],
        codes: &["tile_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
    Route {
        path: "/tlog/{ledger}/content/{*path}",
        handler: || get(audit::content),
        id: "getContent",
        summary: "The content of a bundle of entries. The path has slashes.",
        roles: AUDITOR,
        answers: &[ok(OCTETS)],
        codes: &["tile_unknown", "busy", "reading_unlogged"],
        ..NOTHING
    },
];
