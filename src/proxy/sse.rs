//! Server-sent events, read from the pieces in which they come.

/// Takes the data of events.
pub(super) trait Sink {
    /// A piece of an event's data.
    fn data(&mut self, bytes: &[u8]);
    /// The event is complete.
    fn dispatch(&mut self);
}

/// A reader of an event stream. It holds nothing of it but the beginning of a line.
#[derive(Debug, Default)]
pub(super) struct Sse {
    /// The beginning of the present line, as long as that may still become `data:`.
    start: Vec<u8>,
    line: Line,
    /// Whether the line before ended with a carriage return, whose line feed is still to come.
    after_return: bool,
    /// Whether the event has a line of data already.
    some: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// Not known yet.
    #[default]
    Unknown,
    /// Data, of which a leading space is not a part.
    Space,
    /// Data.
    Data,
    /// Something else.
    Other,
}

const NAME: &[u8] = b"data:";

impl Sse {
    /// Reads on.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.piece(line, sink);
            bytes = rest;
            if let Some(byte) = bytes.first() {
                self.after_return = *byte == b'\r';
                bytes = bytes.get(1..).unwrap_or_default();
                self.end_line(sink);
            }
        }
    }

    fn piece(&mut self, mut piece: &[u8], sink: &mut impl Sink) {
        while self.line == Line::Unknown {
            let Some((byte, rest)) = piece.split_first() else { return };
            self.start.push(*byte);
            piece = rest;
            if !NAME.starts_with(&self.start) {
                self.line = Line::Other;
            } else if self.start.len() == NAME.len() {
                self.line = Line::Space;
                if std::mem::replace(&mut self.some, true) {
                    sink.data(b"\n");
                }
            }
        }
        if self.line == Line::Space && !piece.is_empty() {
            self.line = Line::Data;
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
        }
        if self.line == Line::Data {
            sink.data(piece);
        }
    }

    fn end_line(&mut self, sink: &mut impl Sink) {
        let blank = self.line == Line::Unknown && self.start.is_empty();
        // `data` without a colon is an empty line of data, which nobody here has a use for.
        self.start.clear();
        self.line = Line::Unknown;
        if blank && std::mem::take(&mut self.some) {
            sink.dispatch();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Events(Vec<String>, Vec<u8>);

    impl Sink for Events {
        fn data(&mut self, bytes: &[u8]) {
            self.1.extend_from_slice(bytes);
        }

        fn dispatch(&mut self) {
            self.0.push(String::from_utf8(std::mem::take(&mut self.1)).unwrap());
        }
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "event: message\nid: 1\ndata: {\"a\":\"data: x\"}\n\n: ping\n\ndata:two\r\ndata:  lines\r\n\r\n\
                    datum: no\rdata: three\r\rdata: [DONE]\n\ndata: unfinished";
        let expected = ["{\"a\":\"data: x\"}", "two\n lines", "three", "[DONE]"];
        for size in 1..=text.len() {
            let (mut sse, mut events) = (Sse::default(), Events::default());
            for piece in text.as_bytes().chunks(size) {
                sse.feed(piece, &mut events);
            }
            assert_eq!(events.0, expected, "in pieces of {size}");
        }
    }
}
