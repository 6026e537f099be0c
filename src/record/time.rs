//! Times: read strictly, kept in UTC, written in one form.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

use super::check::Check;
use super::fault::{Code, refuse};
use super::limits::{YEAR_MAX, YEAR_MIN};

/// A moment in UTC, in the years 1970 to 9999, to the nanosecond (SPEC 2.3).
///
/// It is read from RFC 3339 with any offset, and written in UTC with `Z`, the fraction without
/// trailing zeros. Leap seconds are refused: the same moment would have two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

/// The text is no time that a record can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give a time of RFC 3339 such as 2026-11-24T00:06:14.123Z, in the years {YEAR_MIN} to \
     {YEAR_MAX} UTC, with at most 9 digits of a second and no leap second"
)]
pub struct NotTimestamp;

impl Timestamp {
    /// The moment at which 1970 began in UTC.
    pub const EPOCH: Self = Self(OffsetDateTime::UNIX_EPOCH);

    /// The moment so many nanoseconds after 1970 began in UTC.
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, NotTimestamp> {
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .map_err(|_| NotTimestamp)
            .and_then(Self::in_range)
    }

    /// Nanoseconds since 1970 began in UTC.
    pub fn unix_nanos(self) -> i128 {
        self.0.unix_timestamp_nanos()
    }

    /// This time and so much more, as far as times go.
    #[must_use]
    pub fn saturating_add(self, more: Duration) -> Self {
        let more = i128::try_from(more.as_nanos()).unwrap_or(i128::MAX);
        Self::from_unix_nanos(self.unix_nanos().saturating_add(more)).unwrap_or(self)
    }

    fn in_range(time: OffsetDateTime) -> Result<Self, NotTimestamp> {
        if (YEAR_MIN..=YEAR_MAX).contains(&time.year()) {
            Ok(Self(time))
        } else {
            Err(NotTimestamp)
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotTimestamp;

    fn from_str(text: &str) -> Result<Self, NotTimestamp> {
        // `time`'s own parser also takes lower-case letters, other separators and leap seconds.
        parse(text.as_bytes()).ok_or(NotTimestamp).and_then(Self::in_range)
    }
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)` to the last byte.
fn parse(text: &[u8]) -> Option<OffsetDateTime> {
    let (year, text) = number(text, 4, b'-')?;
    let (month, text) = number(text, 2, b'-')?;
    let (day, text) = number(text, 2, b'T')?;
    let (hour, text) = number(text, 2, b':')?;
    let (minute, text) = number(text, 2, b':')?;
    let (second, text) = digits(text, 2)?;
    let (nanos, text) = fraction(text)?;
    let offset = offset(text)?;

    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let time = Time::from_hms_nano(small(hour)?, small(minute)?, small(second)?, nanos).ok()?;
    date.with_time(time).assume_offset(offset).checked_to_offset(UtcOffset::UTC)
}

fn small(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

/// A number of exactly `count` digits, and the text after it.
fn digits(text: &[u8], count: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let value = digits.iter().try_fold(0, |value: u32, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
    })?;
    Some((value, rest))
}

/// The same, followed by `separator`.
fn number(text: &[u8], count: usize, separator: u8) -> Option<(u32, &[u8])> {
    let (value, rest) = digits(text, count)?;
    Some((value, rest.strip_prefix(&[separator])?))
}

/// The fraction of a second in nanoseconds, 0 if there is none.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (value, rest) = digits(text, count)?;
    let scale = (count..9).fold(1, |scale, _| scale * 10);
    Some((value * scale, rest))
}

fn offset(text: &[u8]) -> Option<UtcOffset> {
    let (sign, text) = match text.split_first()? {
        (b'Z', rest) => return rest.is_empty().then_some(UtcOffset::UTC),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, text) = number(text, 2, b':')?;
    let (minutes, rest) = digits(text, 2)?;
    if hours > 23 || minutes > 59 || !rest.is_empty() {
        return None;
    }
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    UtcOffset::from_whole_seconds(sign * seconds).ok()
}

/// A time in its longest form: what stands where.
const LONGEST: [u8; 30] = *b"0000-00-00T00:00:00.000000000Z";
/// Where the fraction of a second begins, with its point.
const FRACTION_AT: usize = 19;

impl Timestamp {
    /// Gives away the one form. Every entry and receipt has times, and writing them by the formatter
    /// took a twentieth of a server's time under load.
    fn with_text<T>(self, to: impl FnOnce(&str) -> T) -> T {
        let (date, time) = (self.0.date(), self.0.time());
        let mut text = LONGEST;
        put(&mut text, 0, 4, date.year().unsigned_abs());
        put(&mut text, 5, 2, u8::from(date.month()).into());
        put(&mut text, 8, 2, date.day().into());
        put(&mut text, 11, 2, time.hour().into());
        put(&mut text, 14, 2, time.minute().into());
        put(&mut text, 17, 2, time.second().into());
        let (mut fraction, mut digits) = (time.nanosecond(), 9);
        put(&mut text, FRACTION_AT + 1, digits, fraction);
        while digits > 0 && fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        let end = if digits == 0 { FRACTION_AT } else { FRACTION_AT + 1 + digits };
        text.iter_mut().skip(end).take(1).for_each(|byte| *byte = b'Z');
        let text = text.get(..=end).and_then(|text| std::str::from_utf8(text).ok());
        to(text.unwrap_or_default())
    }
}

/// Writes the last digits of a number, with leading zeros.
fn put(text: &mut [u8], at: usize, digits: usize, mut number: u32) {
    for byte in text.iter_mut().skip(at).take(digits).rev() {
        *byte = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl Visitor<'_> for Moment {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time of RFC 3339")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse()
                    .map_err(|error: NotTimestamp| refuse(Code::TimeInvalid, &error.to_string()))
            }
        }
        deserializer.deserialize_str(Moment)
    }
}

impl Check for Timestamp {}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_written_as_rfc_3339_says_and_read_back(
            seconds in 0i128..253_402_300_800,
            nanos in prop_oneof![Just(0), Just(123_000_000), 0i128..1_000_000_000],
            zeros in 0u32..10,
        ) {
            let scale = 10i128.pow(zeros);
            let moment = Timestamp::from_unix_nanos(seconds * 1_000_000_000 + nanos / scale * scale);
            let moment = moment.unwrap();
            let text = moment.to_string();
            prop_assert_eq!(&text, &moment.0.format(&Rfc3339).unwrap());
            prop_assert_eq!(text.parse(), Ok(moment));
        }
    }
}
