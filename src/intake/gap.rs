//! What an exporter says it could not send.

use crate::capture::otlp::{Item, Log, What};
use crate::record::data::{CaptureGap, Gap};
use crate::record::text::ExternalId;
use crate::record::{Draft, Timestamp};

use super::post::Origin;

/// The name of a log record by which an exporter says that items are missing.
const EVENT: &str = "whence.capture_gap";

/// The log record, if the item says that others are missing.
pub(super) fn told_by(item: &Item) -> Option<&Log> {
    match &item.what {
        What::Log(log) if log.event_name == EVENT => Some(log),
        What::Log(_) | What::Span(_) => None,
    }
}

/// The record of it. Its id follows from who says what, so that it is written once.
pub(super) fn draft(log: &Log, item: &Item, origin: &Origin) -> Draft {
    let number = |name: &str| {
        let value = log.attributes.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let time = |nanos: u64| Timestamp::from_unix_nanos(i128::from(nanos)).ok();
    let since_ns = number("since_unix_nano");
    // Nobody says of another's producer that something of it is missing.
    let may_name = |producer: &ExternalId| {
        origin.producers.as_ref().is_none_or(|names| names.contains(producer.as_str()))
    };
    let named = item.resource.get("service.name").and_then(|name| name.as_str());
    let producer = named.and_then(ExternalId::checked).filter(may_name);
    let producer = producer.unwrap_or_else(|| origin.sender.producer.clone());
    let until_ns = number("until_unix_nano").unwrap_or(log.time_ns);
    let data = CaptureGap {
        count: number("count"),
        first: None,
        gap: Gap::TraceIncomplete,
        last: None,
        producer: Some(producer),
        since: since_ns.and_then(time),
    };
    let id = format!("gap.capture.{}.{}.{until_ns}", origin.token, since_ns.unwrap_or(0));
    let at = time(until_ns).unwrap_or(Timestamp::EPOCH);
    Draft { id: id.parse().ok(), ..Draft::new(data, at) }
}
