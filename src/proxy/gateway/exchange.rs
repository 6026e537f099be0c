//! One request to a model's API and its answer, as far as they were kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::HeaderMap;
use serde_json::Value;

use super::parts::Answered;
use super::tell;
use crate::capture::otlp::{SpanId, TraceId};
use crate::proxy::decoded::Decoder;
use crate::proxy::who::Who;

/// Bytes of one body that are kept.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of all bodies that are kept at a time.
const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The API that a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// Chat completions.
    Chat,
    /// Responses.
    Responses,
    /// Messages.
    Messages,
}

impl Api {
    /// The API of a path, if its requests are recorded.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if path.ends_with("/chat/completions") {
            Some(Self::Chat)
        } else if path.ends_with("/responses") {
            Some(Self::Responses)
        } else if path.ends_with("/messages") {
            Some(Self::Messages)
        } else {
            None
        }
    }

    /// Whose API that is.
    pub(super) const fn provider(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "openai",
            Self::Messages => "anthropic",
        }
    }
}

/// What passed.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) api: Api,
    pub(super) who: Who,
    /// The span in which the agent called.
    pub(super) around: Option<(TraceId, SpanId)>,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// The status of the answer, if one came.
    pub(super) status: Option<u16>,
    /// Whether the answer is an event stream.
    pub(super) streamed: bool,
    /// Whether all of the answer has passed.
    pub(super) complete: bool,
    pub(super) request: Kept,
    pub(super) response: Kept,
}

/// Room for the bodies that are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A body, as far as it was kept.
#[derive(Debug)]
pub(super) struct Kept {
    room: Room,
    decoder: Decoder,
    bytes: Vec<u8>,
    /// Whether it was too long, or could not be read.
    lost: bool,
}

impl Kept {
    pub(super) fn new(room: &Room, headers: &HeaderMap) -> Self {
        let decoder = Decoder::of(headers);
        Self { room: room.clone(), decoder, bytes: Vec::new(), lost: false }
    }

    /// These bytes pass.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.lost {
            return;
        }
        let Self { room, decoder, bytes: kept, lost } = self;
        let mut each = |plain: &[u8]| {
            if *lost {
                return;
            }
            let taken = room.0.fetch_add(plain.len(), Ordering::Relaxed) + plain.len();
            if taken > BODIES_BYTES_MAX || kept.len() + plain.len() > BODY_BYTES_MAX {
                room.0.fetch_sub(plain.len(), Ordering::Relaxed);
                *lost = true;
            } else {
                kept.extend_from_slice(plain);
            }
        };
        let readable = decoder.feed(bytes, &mut each);
        if !readable {
            self.lost = true;
        }
        if self.lost {
            self.room.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
            self.bytes = Vec::new();
        }
    }

    /// The body, if it was kept and is JSON.
    pub(super) fn read(&self) -> Option<Value> {
        if self.lost { None } else { serde_json::from_slice(&self.bytes).ok() }
    }

    /// What an answer says, if it was kept.
    pub(super) fn read_answer(&self, streamed: bool, api: Api) -> Option<Answered> {
        if self.lost { None } else { tell::answered(api, streamed, &self.bytes) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
