//! The span around a call, as its caller names it.

use crate::capture::otlp::{SpanId, TraceId};

/// The trace and the span that a `traceparent` names (W3C Trace Context).
pub(super) fn traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = text.trim().split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = version.len() == 2 && version != "ff" && parts.next().is_some();
    let some = |id: &str| id.bytes().any(|digit| digit != b'0');
    let (trace, span) = (TraceId::new(trace)?, SpanId::new(span)?);
    (plain && some(&trace) && some(&span)).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(&*traceparent(good).unwrap().1, "b7ad6b7169203331");
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert!(traceparent(bad).is_none(), "{bad}");
        }
    }
}
