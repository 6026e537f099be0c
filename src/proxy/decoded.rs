//! The copy of a body as it was before it was compressed.

use std::io::Write;

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;

/// Bytes that are unpacked at a time. They become a thousand times as many at most.
const PIECE_BYTES: usize = 4 * 1024;

/// Unpacks what passes, piece by piece.
#[derive(Debug)]
pub(super) enum Decoder {
    /// It is not packed.
    Plain,
    /// gzip.
    Gzip(MultiGzDecoder<Vec<u8>>),
    /// zlib, which HTTP calls deflate.
    Deflate(ZlibDecoder<Vec<u8>>),
    /// It cannot be read, or not any more.
    Unreadable,
}

impl Decoder {
    /// What a body with these headers needs.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut codings = headers.get_all(CONTENT_ENCODING).into_iter();
        match (codings.next().map(|coding| coding.as_bytes().to_ascii_lowercase()), codings.next())
        {
            (None, _) => Self::Plain,
            (Some(coding), None) => match coding.as_slice() {
                b"identity" | b"" => Self::Plain,
                b"gzip" | b"x-gzip" => Self::Gzip(MultiGzDecoder::new(Vec::new())),
                b"deflate" => Self::Deflate(ZlibDecoder::new(Vec::new())),
                _ => Self::Unreadable,
            },
            (Some(_), Some(_)) => Self::Unreadable,
        }
    }

    /// Reads on, and gives what that was. Says whether it could be read.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> bool {
        if matches!(self, Self::Plain) {
            each(bytes);
            return true;
        }
        for piece in bytes.chunks(PIECE_BYTES) {
            let written = match self {
                Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
                Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
                Self::Plain | Self::Unreadable => return false,
            };
            let plain = match self {
                Self::Gzip(decoder) => std::mem::take(decoder.get_mut()),
                Self::Deflate(decoder) => std::mem::take(decoder.get_mut()),
                Self::Plain | Self::Unreadable => Vec::new(),
            };
            if !plain.is_empty() {
                each(&plain);
            }
            if written.is_err() {
                *self = Self::Unreadable;
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn packed_bodies_are_read_as_they_come_and_others_are_not() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: one\n\n").unwrap();
        encoder.flush().unwrap();
        let first = encoder.get_ref().len();
        encoder.write_all(b"data: two\n\n").unwrap();
        let packed = encoder.finish().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let (mut decoder, mut read) = (Decoder::of(&headers), Vec::new());
        assert!(decoder.feed(&packed[..first], &mut |bytes| read.extend_from_slice(bytes)));
        assert_eq!(read, b"data: one\n\n", "at once");
        assert!(decoder.feed(&packed[first..], &mut |bytes| read.extend_from_slice(bytes)));
        assert_eq!(read, b"data: one\n\ndata: two\n\n");
        assert!(!Decoder::of(&headers).feed(b"this is not packed", &mut |_| ()));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(!Decoder::of(&headers).feed(b"x", &mut |_| ()));
    }
}
