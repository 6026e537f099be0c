//! Producers: which numbers of their own count are missing, and whether they are still there.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each detection looks at a few kinds of records, and passes over all others, new ones too"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::detections::{MISSED_INTERVALS, REORDER_SECONDS, millis_of};
use super::finding::{About, Finding, gap_data};
use super::recent::Recent;
use super::{Millis, timestamp};
use crate::canon::lookup_key;
use crate::record::data::{CaptureGap, Gap};
use crate::record::{Data, Entry};

/// Producers that are known at a time.
const PRODUCERS_MAX: usize = 4_096;
/// Holes of one producer's count that may be open. The first one is told at once when there are more.
const HOLES_MAX: usize = 64;

/// What is known of producers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Producers(Recent<Producer, PRODUCERS_MAX>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    /// The highest number that was seen or told of.
    high: Option<u64>,
    /// Numbers below it that are missing, by the first of each run.
    holes: BTreeMap<u64, Hole>,
    /// The last heartbeat, unless it is known that no further one came in time.
    beat: Option<Beat>,
    /// When the last record came.
    last: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hole {
    last: u64,
    since: Millis,
    /// The record that showed it.
    about: About,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Beat {
    interval: Millis,
    about: About,
}

impl Producers {
    /// Takes a record of a producer. Finds what there is no room to wait for.
    pub(super) fn fold(&mut self, entry: &Entry<'_>, at: Millis) -> Vec<Finding> {
        let Some(source) = &entry.source else { return Vec::new() };
        let beat = match &*entry.data {
            Data::Heartbeat(beat) => Some(beat),
            _ => None,
        };
        // Producers that neither count nor send heartbeats take no place.
        if source.producer_seq.is_none() && beat.is_none() && self.0.get(&source.producer).is_none()
        {
            return Vec::new();
        }
        let producer = self.0.entry(&source.producer);
        producer.last = at;
        let about = || About { session: None, user: None, ..About::of(entry) };
        if let Some(number) = source.producer_seq {
            producer.count(number, true, at, about);
        }
        if let Some(beat) = beat {
            if let Some(last) = beat.last_seq {
                producer.count(last, false, at, about);
            }
            let interval = i64::try_from(beat.interval_ms).unwrap_or(i64::MAX / 8);
            // An interval of nothing says that no further heartbeat follows.
            producer.beat = (interval > 0).then(|| Beat { interval, about: about() });
        }
        let mut found = Vec::new();
        while producer.holes.len() > HOLES_MAX
            && let Some((first, hole)) = producer.holes.pop_first()
        {
            found.push(missing(&source.producer, first, &hole, at));
        }
        found
    }

    /// What was told is told.
    pub(super) fn told(&mut self, gap: &CaptureGap, about: Option<u64>) {
        let Some(producer) = gap.producer.as_ref().and_then(|name| self.0.get_mut(name)) else {
            return;
        };
        match (gap.gap, gap.first, gap.last) {
            (Gap::ProducerSeqMissing, Some(first), Some(last)) => producer.fill(first, last),
            (Gap::HeartbeatMissed, _, _) => {
                producer.beat.take_if(|beat| Some(beat.about.seq) == about);
            }
            _ => {}
        }
    }

    /// What did not come in time. Nobody could send before `from`.
    pub(super) fn due(&self, now: Millis, from: Millis) -> Vec<Finding> {
        let mut found = Vec::new();
        for (name, producer) in self.0.iter() {
            for (first, hole) in &producer.holes {
                if hole.since.max(from).saturating_add(millis_of(REORDER_SECONDS)) <= now {
                    found.push(missing(name, *first, hole, now));
                }
            }
            let Some(Beat { interval, about }) = &producer.beat else { continue };
            let intervals = i64::try_from(MISSED_INTERVALS).unwrap_or(1);
            let patience = interval.saturating_mul(intervals);
            if producer.last.max(from).saturating_add(patience) <= now {
                let data = CaptureGap {
                    producer: Some(name.into()),
                    since: Some(timestamp(producer.last)),
                    ..gap_data(Gap::HeartbeatMissed)
                };
                let what = format!("heartbeat.{}", about.seq);
                found.push(Finding::gap(data, about.clone(), &what, now));
            }
        }
        found
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Producer {
    /// A number was given out; it came itself, or it is only told of.
    fn count(&mut self, number: u64, came: bool, at: Millis, about: impl Fn() -> About) {
        let next = self.high.map_or(number, |high| high.saturating_add(1));
        // A number that is only told of is missing itself.
        let end = if came { number } else { number.saturating_add(1) };
        if self.high.is_some() && next < end {
            self.holes.insert(next, Hole { last: end - 1, since: at, about: about() });
        } else if came && self.high.is_some_and(|high| number <= high) {
            self.fill(number, number);
        }
        self.high = self.high.max(Some(number));
    }

    /// These numbers are missing no more.
    fn fill(&mut self, first: u64, last: u64) {
        let touched = self.holes.range(..=last).filter(|(_, hole)| hole.last >= first);
        let touched: Vec<u64> = touched.map(|(start, _)| *start).collect();
        for start in touched {
            let Some(hole) = self.holes.remove(&start) else { continue };
            if start < first {
                let left = Hole { last: first - 1, ..hole.clone() };
                self.holes.insert(start, left);
            }
            if hole.last > last {
                self.holes.insert(last + 1, hole);
            }
        }
    }
}

fn missing(producer: &str, first: u64, hole: &Hole, at: Millis) -> Finding {
    let data = CaptureGap {
        count: (hole.last - first).checked_add(1),
        first: Some(first),
        last: Some(hole.last),
        producer: Some(producer.into()),
        since: Some(timestamp(hole.since)),
        ..gap_data(Gap::ProducerSeqMissing)
    };
    let what = format!("{:016x}.{first}-{}", lookup_key(producer.as_bytes()), hole.last);
    Finding::gap(data, hole.about.clone(), &what, at)
}
