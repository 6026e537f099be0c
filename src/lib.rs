//! An append-only, tamper-evident provenance log for AI agents.
//!
//! A record travels one way. It is checked, given the next place in the log, chained, signed and
//! stored, and only then acknowledged:
//!
//! ```text
//! agent ─▶ http ─▶ record ─▶ ledger ─▶ store ─fsync▶ receipt
//!                  Draft→Event  │ sequence, flag, link, hash, root, sign, commit
//!                               └ canon · proof · seal
//! exporter, proxy ─▶ http ─▶ intake ─fsync▶ 200;  intake ─ a trace is over ▶ capture ─▶ record ─▶ ledger
//! investigator ─▶ http ─▶ search (which) + ledger view (what)     search ◀─ follows ─ store
//! watch ─ follows ─▶ ledger: what it finds becomes records   ─▶ webhooks
//! auditor ─▶ cli ─▶ verify      (bytes only: no store, no network, no clock)
//! ```
//!
//! # Rooms
//!
//! Each module below is a room. It may import the rooms that its row names, and no others;
//! `tests/it/tidy.rs` reads this table and fails when a file disagrees with it. A crate in the last
//! column is named in that room alone.
//!
//! | room   | purpose | may import | owns |
//! |--------|---------|------------|------|
//! | canon  | one value, one byte string, one digest | - | blake3 sha2 hmac serde_json_canonicalizer |
//! | record | what a record is: kinds, fields, identities, limits; Draft → Event → Entry | canon | caseless |
//! | secrets | finds secrets in content, by rules as data | canon | regex aho_corasick |
//! | capture | foreign formats to Drafts: token claims, OpenTelemetry, audit-log events | canon record | opentelemetry_proto prost |
//! | spool  | a bounded queue on disk: what was taken is durable until it is settled | files | - |
//! | intake | telemetry waits here, durably, until it can be told as records | canon record capture files spool store ledger | - |
//! | proof  | chain links, tree roots, inclusion and consistency: digests in, digests out | canon | - |
//! | seal   | keys, signed notes, checkpoints, cosignatures | canon proof | ed25519_dalek |
//! | verify | what an auditor checks, from bytes alone; findings | canon record proof seal | rayon |
//! | files  | small files that are replaced as a whole, durably | - | - |
//! | store  | durable append-only bytes | canon record proof seal files | sled zstd quick_cache |
//! | ledger | the one writer, the rules and flags it applies, and the view that readers share | canon record secrets proof seal files store | jsonschema |
//! | search | an index derived from the store, rebuilt at will; the query language | canon record store | tantivy |
//! | watch  | follows a ledger: what is missing, what looks wrong, and who is told | canon record files store ledger | ureq |
//! | access | who may do what: tokens and roles; tokens of others | canon files | jsonwebtoken |
//! | http   | the JSON API, tiles, tokens and limits over HTTP | canon record proof seal files ledger search watch access capture intake | axum axum_server tonic tower tower_http csv |
//! | proxy  | stands between an agent and what it calls, and tells what passes: MCP, model APIs | canon record capture files spool | hyper hyper_rustls |
//! | cli    | commands, configuration, wiring, progress and tables | canon record proof seal verify files store ledger search access capture proxy http | clap anyhow indicatif toml ureq comfy_table termtree anstyle |

pub mod access;
pub mod canon;
pub mod capture;
pub mod cli;
pub mod files;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod proof;
pub mod proxy;
pub mod record;
pub mod seal;
pub mod search;
pub mod secrets;
pub mod spool;
pub mod store;
pub mod verify;
pub mod watch;
