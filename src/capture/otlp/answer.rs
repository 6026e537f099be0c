//! What an exporter is answered: the response of a service, and `google.rpc.Status` for errors.
//!
//! Both are two fields of a protocol buffer, in both forms: a number and a text.

use serde_json::json;

use super::{Encoding, Signal};
use crate::canon;

/// The body of an answer that took the post, or a part of it (`partial_success`). Nothing is said where all
/// of it was taken.
pub fn accepted(signal: Signal, encoding: Encoding, rejected: u64, message: &str) -> Vec<u8> {
    let partial = rejected > 0 || !message.is_empty();
    match encoding {
        Encoding::Protobuf if partial => {
            let mut body = Vec::new();
            text(1, &fields(rejected, message), &mut body);
            body
        }
        Encoding::Protobuf => Vec::new(),
        Encoding::Json => {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
            };
            // Integers of 64 bits are texts in this form.
            let said = json!({name: rejected.to_string(), "errorMessage": message});
            let body = if partial { json!({"partialSuccess": said}) } else { json!({}) };
            canon::to_bytes(&body).unwrap_or_default()
        }
    }
}

/// The body of an error: `code` is one of gRPC's.
pub fn status(encoding: Encoding, code: u32, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => fields(u64::from(code), message),
        Encoding::Json => {
            canon::to_bytes(&json!({"code": code, "message": message})).unwrap_or_default()
        }
    }
}

/// A message of a number and a text. What is zero or empty is left out.
fn fields(number: u64, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    if number > 0 {
        varint(1 << 3, &mut body);
        varint(number, &mut body);
    }
    if !message.is_empty() {
        text(2, message.as_bytes(), &mut body);
    }
    body
}

fn text(field: u64, bytes: &[u8], to: &mut Vec<u8>) {
    varint(field << 3 | 2, to);
    varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), to);
    to.extend_from_slice(bytes);
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_exporter_reads_what_was_rejected_and_why() {
        let body = accepted(Signal::Traces, Encoding::Protobuf, 300, "é wrong");
        let read = ExportTraceServiceResponse::decode(&*body).unwrap().partial_success.unwrap();
        assert_eq!((read.rejected_spans, read.error_message.as_str()), (300, "é wrong"));
        let body = accepted(Signal::Logs, Encoding::Protobuf, 0, "noted");
        let read = ExportLogsServiceResponse::decode(&*body).unwrap().partial_success.unwrap();
        assert_eq!((read.rejected_log_records, read.error_message.as_str()), (0, "noted"));
        assert_eq!(accepted(Signal::Traces, Encoding::Protobuf, 0, ""), b"");
        assert_eq!(accepted(Signal::Traces, Encoding::Json, 0, ""), b"{}");
        let body = accepted(Signal::Logs, Encoding::Json, 2, "wrong");
        let read: Value = serde_json::from_slice(&body).unwrap();
        let said = json!({"rejectedLogRecords": "2", "errorMessage": "wrong"});
        assert_eq!(read, json!({"partialSuccess": said}));
        assert_eq!(status(Encoding::Json, 3, "no"), br#"{"code":3,"message":"no"}"#);
        assert_eq!(status(Encoding::Protobuf, 3, "no"), [0x08, 3, 0x12, 2, b'n', b'o']);
    }
}
