//! Stands between an agent and what it calls, and tells what passes: MCP servers and model APIs.
//!
//! ```text
//! agent ◀──── every byte, at once ────▶ MCP server, model API
//!                    │ a bounded copy
//!                    ▼
//!              reads messages ─▶ spans ─▶ outlet ─▶ spool on disk ─▶ the log (OTLP)
//! ```
//!
//! What passes is not changed and does not wait for being understood: what is read is a copy. What cannot
//! be read or is too large passes all the same, and is told as not captured. With enforcement alone a call
//! waits, for the log's yes.
//!
//! What is told goes to disk first and from there to the log, in the background ([`Outlet`]), so that a
//! log that is down holds up nobody and loses nothing that the disk has room for.
//!
//! What this room does not do: it makes no records. It is an exporter like any other, and the log's own
//! reading of telemetry puts its spans together with those of others. Start with [`outlet`].

mod client;
mod decoded;
mod error;
mod forward;
pub mod gateway;
mod machine;

pub mod mcp;
mod outlet;
mod sse;
mod trace;
mod who;

pub use client::Log;
pub use error::Error;
pub use machine::{Ids, Machine};
pub use outlet::{Options, Outlet, Teller};
pub use who::Who;
