//! The JSON API, tiles, tokens and limits over HTTP.
//!
//! A handler translates: from bytes to the types of the rooms below, and back. Every error leaves as
//! `application/problem+json` with a stable code ([`error`]); every route stands on one page
//! ([`routes`]). A ledger that the bearer of a token may not see looks in every way like one that
//! does not exist.
//!
//! What this room does not do: it reads no store and builds no proof, it asks the ledger's view; it
//! opens no socket and catches no signal, the caller brings both ([`serve()`]). Bodies, tokens and
//! content never reach the log.

mod accesses;
mod app;
mod audit;
mod caller;
mod catalog_routes;
mod catalogs;
mod connection;
mod context;
mod delegations;
mod describe;
mod erasure_routes;
mod erasures;
mod error;
mod export;
mod grpc;
mod health;
mod identity_routes;
mod indexes;
mod intakes;
mod ledgers;
mod openapi;
mod operation_routes;
mod otlp;
mod otlp_routes;
mod overseeing;
mod policy;
mod preflight;
mod producers;
mod proofs;
mod reading;
mod records;
mod refusals;
mod retention;
mod route;
mod router;
mod routes;
mod rules_routes;
mod saved;
mod search;
mod serve;
mod stated;
mod streaming;
mod tokens;
mod trace;
mod watchers;
mod webhook_routes;
mod webhooks;
mod workos;
mod workos_routes;

pub use crate::intake::{JournalLimits, Times};
pub use app::{App, Limits};
pub use openapi::document;
pub use router::router;
pub use serve::{ServeOptions, Tls, serve};
pub use tokens::new_token;
