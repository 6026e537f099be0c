//! Records to post: chains of prompt, model output, tool invocation and API call, in sessions of users.
//!
//! Every record has the same number of bytes, so that a request needs no new head. The text is made once,
//! in many variants; a record that is posted is a copy of a variant with its numbers filled in, which
//! costs no allocation.

#[path = "words.rs"]
mod words;

use words::{Chance, WORDS};

/// Bytes of one record, with its newline: 1.2 KiB.
pub(crate) const RECORD_BYTES: usize = 1_229;
/// Records of a chain: each but the first names the one before as its cause.
const CHAIN_RECORDS: u64 = 4;
/// Records of a session.
const SESSION_RECORDS: u64 = 128;
/// Sessions of a user, one after the other.
const USER_SESSIONS: u64 = 5;
/// Texts of each kind of record.
const VARIANTS: u64 = 1_024;
/// Digits of a number that is filled in.
const DIGITS: usize = 8;

/// Where a record stands among all that are posted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Tells the records of this run from those of others.
    pub(crate) run: u64,
    /// The connection, or whoever else posts its records in order.
    pub(crate) lane: u64,
    /// The record's number in its lane, from 0.
    pub(crate) number: u64,
}

/// A value that is filled in, and where: its digits end here.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// The run, which stands in every id.
    Run,
    /// The lane.
    Lane,
    /// The record's own number.
    Number,
    /// The number of its cause.
    Cause,
    /// The number of its session.
    Session,
    /// The number of its user.
    User,
}

impl Slot {
    const ALL: [(&'static str, Self); 6] = [
        ("<<runrun>", Self::Run),
        ("<<lane>>>", Self::Lane),
        ("<<number>", Self::Number),
        ("<<cause>>", Self::Cause),
        ("<session>", Self::Session),
        ("<<user>>>", Self::User),
    ];

    fn value(self, place: Place) -> u64 {
        match self {
            Self::Run => place.run,
            Self::Lane => place.lane,
            Self::Number => place.number,
            Self::Cause => place.number.saturating_sub(1),
            Self::Session => place.number / SESSION_RECORDS,
            Self::User => place.lane * 16 + place.number / SESSION_RECORDS / USER_SESSIONS % 16,
        }
    }
}

/// One record without its numbers.
#[derive(Debug)]
struct Variant {
    bytes: Vec<u8>,
    slots: Vec<(usize, Slot)>,
}

/// The texts of all records.
#[derive(Debug)]
pub(crate) struct Records(Vec<Variant>);

impl Records {
    /// Makes every variant of every kind.
    pub(crate) fn new() -> Self {
        let variants = (0..VARIANTS * CHAIN_RECORDS).map(|number| {
            Variant::new(number % CHAIN_RECORDS, &mut Chance(number.wrapping_mul(0x9e37_79b9) | 1))
        });
        Self(variants.collect())
    }

    /// Writes the record at this place, and a newline.
    pub(crate) fn append(&self, to: &mut Vec<u8>, place: Place) {
        // A prime step, so that neighbours differ between lanes and between rounds.
        let chain = place.number / CHAIN_RECORDS + place.lane * 131 + place.run;
        let variant = chain % VARIANTS * CHAIN_RECORDS + place.number % CHAIN_RECORDS;
        let variant = &self.0[usize::try_from(variant).unwrap()];
        let start = to.len();
        to.extend_from_slice(&variant.bytes);
        for (at, slot) in &variant.slots {
            write_digits(&mut to[start + at..start + at + DIGITS], slot.value(place));
        }
    }
}

impl Variant {
    fn new(step: u64, chance: &mut Chance) -> Self {
        let (kind, data, content) = match step {
            0 => (
                "prompt",
                r#"{"channel":"chat","role":"user"}"#.to_owned(),
                r#"{"text":"@"}"#.to_owned(),
            ),
            1 => (
                "model_output",
                format!(
                    r#"{{"finish_reasons":["tool_calls"],"model":{{"provider":"example","requested":"large-{}"}}}}"#,
                    chance.below(9)
                ),
                r#"{"text":"@"}"#.to_owned(),
            ),
            2 => (
                "tool_invocation",
                r#"{"call_id":"call-<<number>","effect":"external","tool":"send_money"}"#
                    .to_owned(),
                format!(
                    r#"{{"arguments":{{"amount":{},"currency":"EUR","memo":"@","to":"DE0212030000{:08}51"}}}}"#,
                    chance.below(1_000_000),
                    chance.below(100_000_000)
                ),
            ),
            _ => (
                "api_call",
                format!(
                    r#"{{"method":"POST","status_code":{},"url":"https://bank.example/v2/transfers"}}"#,
                    if chance.below(20) == 0 { 409 } else { 201 }
                ),
                format!(
                    r#"{{"request_body":{{"amount":{},"memo":"@"}},"response_body":{{"id":"tr-{:08}","status":"booked"}}}}"#,
                    chance.below(1_000_000),
                    chance.below(100_000_000)
                ),
            ),
        };
        let causes = if step == 0 {
            String::new()
        } else {
            r#""causes":[{"id":"r-<<runrun>-<<lane>>>-<<cause>>","rel":"triggered_by"}],"#
                .to_owned()
        };
        let second = 10 + chance.below(50);
        let record = format!(
            r#"{{"agent":{{"id":"invoice-agent","version":"1.4.{}"}},{causes}"content":{content},"data":{data},"delegation":"grant-<<user>>>","id":"r-<<runrun>-<<lane>>>-<<number>","kind":"{kind}","labels":{{"env":"prod"}},"occurred_at":"2026-11-24T09:{second}:{second}.{}Z","session":{{"id":"s-<<runrun>-<<lane>>>-<session>"}},"source":{{"observed_by":"agent_process","producer":"runtime-<<lane>>>","producer_seq":1<<number>}},"user":{{"id":"user-<<user>>>@example.com","type":"human"}}}}"#,
            chance.below(9),
            100 + chance.below(900),
        );
        Self::filled(&record, chance)
    }

    /// Puts text in the place of `@` of the content, as long as makes the record as long as all are, and finds
    /// the slots.
    fn filled(record: &str, chance: &mut Chance) -> Self {
        let slots_shorter = Slot::ALL
            .iter()
            .map(|(name, _)| record.matches(name).count() * (name.len() - DIGITS))
            .sum::<usize>();
        let room = RECORD_BYTES - 1 - (record.len() - 1 - slots_shorter);
        let mut record = record.replacen('@', &text(chance, room), 1);
        let mut slots = Vec::new();
        while let Some((at, name, slot)) = Slot::ALL
            .iter()
            .filter_map(|(name, slot)| Some((record.find(name)?, *name, *slot)))
            .min_by_key(|(at, _, _)| *at)
        {
            record.replace_range(at..at + name.len(), &"0".repeat(DIGITS));
            slots.push((at, slot));
        }
        record.push('\n');
        assert_eq!(record.len(), RECORD_BYTES);
        Self { bytes: record.into_bytes(), slots }
    }
}

/// The last digits of a number, with leading zeros.
fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap();
        number /= 10;
    }
}

/// Sentences of this many bytes.
fn text(chance: &mut Chance, bytes: usize) -> String {
    let words: Vec<_> = WORDS.split_whitespace().collect();
    let mut text = String::new();
    let mut left = 0;
    while text.len() < bytes {
        // Common words stand first in the list, and are used more often.
        let bound = chance.below(u64::try_from(words.len()).unwrap()) + 1;
        let word = words[usize::try_from(chance.below(bound)).unwrap()];
        if left == 0 {
            left = 5 + chance.below(15);
            text.push_str(&word[..1].to_uppercase());
            text.push_str(&word[1..]);
        } else {
            text.push_str(word);
        }
        left -= 1;
        text.push_str(if left == 0 { ". " } else { " " });
    }
    text.truncate(bytes);
    text
}
