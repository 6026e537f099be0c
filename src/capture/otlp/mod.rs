//! OpenTelemetry to records.
//!
//! [`Item`]s are spans and log records, apart from the wire format. [`assemble()`] makes records of
//! those that belong together: the user's prompt, what the model answered, the tools it asked for,
//! what they gave back, and the API calls that came of it. Causes come from the content of messages
//! and the ids of tool calls, never from span parentage alone.

pub mod answer;
mod assemble;
mod coding;
mod decode;
mod decode_json;
mod decode_protobuf;
mod draft;
pub mod encode;
mod history;
mod item;
mod known;
pub mod mapping;
mod mcp;
mod messages;
mod network;
mod plan;
mod read;
mod tell;
mod trace;
mod wire;

pub use assemble::{assemble, covers, is_loose, sessions};
pub use decode::{DecodeError, Decoded, Encoding, Signal, decode};
pub use item::{Attributes, Group, Item, Log, Scope, Sender, Span, SpanEvent, SpanId, SpanKind};
pub use item::{TraceId, What};
pub use known::Known;

#[cfg(test)]
mod tests;
