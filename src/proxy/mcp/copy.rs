//! From the bytes that pass to messages.

use bytes_of::Collector;

use crate::proxy::sse::{Sink, Sse};

/// How messages stand in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One on each line.
    Lines,
    /// The stream is one.
    Whole,
    /// One in each server-sent event.
    Events,
}

/// A message that passed.
#[derive(Debug, PartialEq)]
pub(super) enum Captured {
    /// All of it.
    Whole(Vec<u8>),
    /// What matters most of one that is too large.
    Large(serde_json::Value),
}

/// A copy of what passes in one stream, cut into messages.
#[derive(Debug)]
pub(super) struct Copy {
    framing: Framing,
    sse: Sse,
    messages: Messages,
    /// Whether a part of the message is missing.
    lost: bool,
}

#[derive(Debug, Default)]
struct Messages {
    collector: Collector,
    done: Vec<Captured>,
}

impl Sink for Messages {
    fn data(&mut self, bytes: &[u8]) {
        self.collector.push(bytes);
    }

    fn dispatch(&mut self) {
        self.done.extend(self.collector.take());
    }
}

impl Copy {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, sse: Sse::default(), messages: Messages::default(), lost: false }
    }

    /// Takes what passed, and gives the messages that it completes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Captured> {
        match self.framing {
            Framing::Whole | Framing::Events if self.lost => {}
            Framing::Whole => self.messages.data(bytes),
            Framing::Events => self.sse.feed(bytes, &mut self.messages),
            Framing::Lines => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let end = line.ends_with(b"\n");
                    if !self.lost {
                        self.messages.data(line);
                    }
                    if end {
                        self.messages.dispatch();
                        self.lost = false;
                    }
                }
            }
        }
        std::mem::take(&mut self.messages.done)
    }

    /// A part of what passed is not there. The message that it belonged to is not told, and of a stream
    /// without lines nothing that follows.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.messages.collector = Collector::default();
    }

    /// The stream is over: gives what is left.
    pub(super) fn end(&mut self) -> Vec<Captured> {
        // An event that no blank line ends is none.
        if self.framing != Framing::Events && !self.lost {
            self.messages.dispatch();
        }
        std::mem::take(&mut self.messages.done)
    }
}

mod bytes_of {
    //! One message, as far as it is kept.

    use super::Captured;
    use crate::proxy::mcp::message::MESSAGE_BYTES_MAX;
    use crate::proxy::mcp::skim::Skim;

    #[derive(Debug, Default)]
    pub(super) struct Collector {
        bytes: Vec<u8>,
        skim: Option<Skim>,
    }

    impl Collector {
        pub(super) fn push(&mut self, bytes: &[u8]) {
            if let Some(skim) = &mut self.skim {
                skim.feed(bytes);
            } else if self.bytes.len() + bytes.len() <= MESSAGE_BYTES_MAX {
                self.bytes.extend_from_slice(bytes);
            } else {
                let skim = self.skim.insert(Skim::default());
                skim.feed(&std::mem::take(&mut self.bytes));
                skim.feed(bytes);
            }
        }

        /// The message, if there is anything in it.
        pub(super) fn take(&mut self) -> Option<Captured> {
            let bytes = std::mem::take(&mut self.bytes);
            if let Some(skim) = self.skim.take() {
                return Some(Captured::Large(skim.message()));
            }
            bytes.iter().any(|byte| !byte.is_ascii_whitespace()).then_some(Captured::Whole(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proxy::mcp::message::MESSAGE_BYTES_MAX;

    #[test]
    fn lines_are_messages_and_a_huge_one_leaves_what_matters() {
        let mut copy = Copy::new(Framing::Lines);
        assert!(copy.feed(b"{\"id\"").is_empty());
        let two = copy.feed(b":1}\n\n  \r\n{\"id\":2}\n{\"id\":");
        assert_eq!(
            two,
            [Captured::Whole(b"{\"id\":1}\n".to_vec()), Captured::Whole(b"{\"id\":2}\n".to_vec())]
        );
        let huge = format!("3,\"x\":\"{}\"}}\n", "y".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(copy.feed(huge.as_bytes()), [Captured::Large(json!({ "id": 3 }))]);
        copy.feed(b"{\"half");
        copy.lose();
        let after = copy.feed(b"of it\"}\n{\"id\":4}\n{\"id\":5}");
        assert_eq!(after, [Captured::Whole(b"{\"id\":4}\n".to_vec())]);
        assert_eq!(copy.end(), [Captured::Whole(b"{\"id\":5}".to_vec())]);
    }

    #[test]
    fn a_body_is_one_message_and_an_event_stream_has_many() {
        let mut copy = Copy::new(Framing::Whole);
        assert!(copy.feed(b"{\n").is_empty());
        assert!(copy.feed(b"}").is_empty());
        assert_eq!(copy.end(), [Captured::Whole(b"{\n}".to_vec())]);
        let mut copy = Copy::new(Framing::Events);
        let events = copy.feed(b"id: 1\ndata: \n\nevent: message\ndata: {}\n\ndata: {");
        assert_eq!(events, [Captured::Whole(b"{}".to_vec())]);
        assert!(copy.end().is_empty());
    }
}
