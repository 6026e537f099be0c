//! The rows of an export: which records, and their bytes, a few at a time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::canon::{EntryHash, TreeHash};
use crate::http::error::ApiError;
use crate::http::streaming::PIECE_BYTES;
use crate::ledger::{StoredPart, View};
use crate::record::{Entry, Timestamp};
use crate::search::{Index, Order, Query, Request};

/// Records that are read from the store at once.
const RUN_MAX: u64 = 128;

/// Hits that are asked for at once. Each time all of them are counted.
const HITS: usize = 50_000;

/// Where an export's records come from: their seqs, in ascending order.
pub(in crate::http) trait Hits: fmt::Debug + Send {
    /// The next few. None at the end.
    fn next_seqs(&mut self) -> Result<Vec<u64>, ApiError>;
}

/// Every record.
#[derive(Debug)]
struct WholeLog(Range<u64>);

impl Hits for WholeLog {
    fn next_seqs(&mut self) -> Result<Vec<u64>, ApiError> {
        let end = self.0.start.saturating_add(RUN_MAX).min(self.0.end);
        let seqs = self.0.start..end;
        self.0.start = end;
        Ok(seqs.collect())
    }
}

/// Which records are exported.
#[derive(Debug)]
pub(in crate::http) struct Source {
    hits: Box<dyn Hits>,
    /// What is looked at: every record of it that is wanted is among the hits.
    pub(in crate::http) seqs: Range<u64>,
}

impl Source {
    /// All records in `seqs`.
    pub(in crate::http) fn whole(seqs: Range<u64>) -> Self {
        Self { hits: Box::new(WholeLog(seqs.clone())), seqs }
    }

    /// The records in `seqs` that a query wants. The index knows all of them.
    pub(in crate::http) fn found(index: Arc<Index>, query: Query, seqs: Range<u64>) -> Self {
        let hits = Found { index, query, seqs: seqs.clone() };
        Self { hits: Box::new(hits), seqs }
    }
}

/// The records that a query wants.
#[derive(Debug)]
struct Found {
    index: Arc<Index>,
    query: Query,
    seqs: Range<u64>,
}

impl Hits for Found {
    fn next_seqs(&mut self) -> Result<Vec<u64>, ApiError> {
        let request = Request {
            order: Order::Ascending,
            after: self.seqs.start.checked_sub(1),
            ..Request::new(&self.query, self.seqs.end, HITS)
        };
        let seqs = self.index.search(&request)?.seqs;
        self.seqs.start = seqs.last().map_or(self.seqs.end, |last| last + 1);
        Ok(seqs)
    }
}

/// The records that were received from `since` on and before `until`. A ledger's times never go back.
pub(super) fn between(
    view: &View,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Range<u64>, ApiError> {
    let place = |time: Timestamp| {
        let (mut low, mut high) = (0, view.size());
        while low < high {
            let middle = low + (high - low) / 2;
            let bytes = view.entry(middle)?.ok_or_else(damaged)?;
            if Entry::parse(&bytes).map_err(|_| damaged())?.received_at < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok::<_, ApiError>(low)
    };
    let start = since.map_or(Ok(0), place)?;
    let end = until.map_or(Ok(view.size()), place)?;
    Ok(start..end.max(start))
}

/// What of a range comes after the row that the client has.
pub(in crate::http) fn beyond(after: Option<u64>, seqs: Range<u64>) -> Range<u64> {
    let start = after.map_or(0, |seq| seq.saturating_add(1)).max(seqs.start);
    start..seqs.end.max(start)
}

/// The one checkpoint that an export rests on.
#[derive(Clone, Debug)]
pub(in crate::http) struct Checkpoint {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: TreeHash,
    /// The signed note.
    pub(super) note: String,
}

impl Checkpoint {
    pub(super) fn of(view: &View) -> Self {
        let signed = view.checkpoint();
        let checkpoint = signed.checkpoint();
        Self {
            origin: checkpoint.origin().to_string(),
            size: checkpoint.size(),
            root: checkpoint.root(),
            note: signed.note().to_string(),
        }
    }
}

/// One record of an export.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The entry's bytes, as they were hashed.
    pub(super) text: &'a str,
    pub(super) entry: &'a Entry<'a>,
    pub(super) entry_hash: EntryHash,
    pub(super) leaf_hash: TreeHash,
    /// The content in the entry's order; none if it is withheld.
    pub(super) parts: Option<&'a [StoredPart]>,
}

/// Reads the records of an export one run after the other.
#[derive(Debug)]
pub(in crate::http) struct Rows {
    pub(super) view: View,
    source: Source,
    content: bool,
    /// Hits that were not read yet.
    waiting: VecDeque<u64>,
    /// How many more rows are wanted.
    left: u64,
    /// Whether the hits have ended.
    ended: bool,
    /// How many rows there were.
    pub(in crate::http) count: u64,
    /// The seq of the last one.
    last: Option<u64>,
}

impl Rows {
    /// The records of a source, as far as there are in the view, at most `limit`.
    pub(in crate::http) fn new(view: View, source: Source, content: bool, limit: u64) -> Self {
        let waiting = VecDeque::new();
        Self { view, source, content, waiting, left: limit, ended: false, count: 0, last: None }
    }

    /// Wants no more.
    pub(super) const fn stop(&mut self) {
        self.left = 0;
    }

    /// Whether every wanted record was given out.
    pub(in crate::http) const fn complete(&self) -> bool {
        self.ended
    }

    /// After which seq to go on: that of the last row, or, when all were given out, that of the last
    /// record that was looked at.
    pub(in crate::http) fn cursor(&self) -> Option<u64> {
        if self.ended { self.source.seqs.end.checked_sub(1) } else { self.last }
            .or_else(|| self.source.seqs.start.checked_sub(1))
    }

    /// Gives the records of the next run to `write`: about as many as fill a piece. Says whether there
    /// may be more.
    pub(super) fn run(
        &mut self,
        mut write: impl FnMut(&Row<'_>) -> Result<(), ApiError>,
    ) -> Result<bool, ApiError> {
        if self.waiting.is_empty() && !self.ended {
            self.waiting = self.source.hits.next_seqs()?.into();
            self.ended = self.waiting.is_empty();
        }
        let Some(run) = self.next_run() else { return Ok(false) };
        let entries = self.view.entries(run.clone())?;
        let mut parsed = Vec::new();
        let (mut end, mut length) = (run.start, 0);
        for (seq, bytes) in &entries {
            if length >= PIECE_BYTES {
                break;
            }
            let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
            let entry = Entry::parse(bytes).map_err(|_| damaged())?;
            let sizes = entry.content.iter().map(|part| usize::try_from(part.bytes));
            length += bytes.len() + sizes.sum::<Result<usize, _>>().unwrap_or(usize::MAX);
            parsed.push((text, entry));
            end = seq + 1;
        }
        // Every hit is a record of the view.
        if end == run.start {
            return Err(damaged());
        }
        let contents: BTreeMap<_, _> = if self.content {
            self.view.contents(run.start..end)?.into_iter().collect()
        } else {
            BTreeMap::new()
        };
        for (text, entry) in &parsed {
            let parts = contents.get(&entry.seq).map_or(&[][..], Vec::as_slice);
            let row = Row {
                text,
                entry,
                entry_hash: EntryHash::of(text.as_bytes()),
                leaf_hash: TreeHash::leaf(text.as_bytes()),
                parts: self.content.then_some(parts),
            };
            write(&row)?;
            self.waiting.pop_front();
            self.count += 1;
            self.left -= 1;
            self.last = Some(entry.seq);
        }
        Ok(true)
    }

    /// The next hits that follow one another in the log.
    fn next_run(&self) -> Option<Range<u64>> {
        let first = self.waiting.front().copied().filter(|_| self.left > 0)?;
        let expected = first..first.saturating_add(self.left.min(RUN_MAX));
        let run = self.waiting.iter().zip(expected).take_while(|(seq, next)| *seq == next);
        let length = u64::try_from(run.count()).unwrap_or(1);
        Some(first..first + length)
    }
}

/// A stored record is not what the ledger wrote.
pub(super) fn damaged() -> ApiError {
    ApiError::internal("a stored record cannot be read")
}
