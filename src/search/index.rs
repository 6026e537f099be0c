//! The index of a ledger, and what can be asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tantivy::collector::Collector;
use tantivy::query::{BooleanQuery, Query as Lookup, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{TantivyError, Term};

use super::compile::Compiler;
use super::document::Indexed;
use super::follower::{Current, Follower};
use super::gather::{Facet, Gather, Gathered, Order};
use super::query::{Field, Match, Query};
use super::sessions::{NewestOfSessions, SessionHit};
use super::writer::{io_error, remove};
use super::{Error, Secrets};
use crate::store::Committed;

/// Bars that a histogram has at most.
const BARS_MAX: i64 = 60;
/// Widths that a bar can have, in seconds: each a whole number of the one before.
const WIDTHS: [i64; 13] = [
    1,
    5,
    15,
    60,
    5 * 60,
    15 * 60,
    3_600,
    6 * 3_600,
    86_400,
    7 * 86_400,
    28 * 86_400,
    364 * 86_400,
    3_640 * 86_400,
];
const NANOS: i64 = 1_000_000_000;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Which records.
    pub query: &'a Query,
    /// The number of published records: nothing from this seq on is found.
    pub below: u64,
    /// In which order they are listed.
    pub order: Order,
    /// The last seq of the page before.
    pub after: Option<u64>,
    /// Records of the page.
    pub limit: usize,
    /// What is counted.
    pub facets: &'a [Facet],
    /// Values of a facet that are named, the most frequent first.
    pub facet_values: usize,
    /// Whether the times at which they were received are counted.
    pub histogram: bool,
}

impl<'a> Request<'a> {
    /// A page of the newest records, and nothing counted but their number.
    pub const fn new(query: &'a Query, below: u64, limit: usize) -> Self {
        let (order, after) = (Order::Descending, None);
        let (facets, facet_values, histogram) = ([].as_slice(), 0, false);
        Self { query, below, order, after, limit, facets, facet_values, histogram }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The records of the page.
    pub seqs: Vec<u64>,
    /// Exactly how many records there are on all pages.
    pub total: u64,
    /// What was to be counted.
    pub facets: Vec<FacetCounts>,
    /// When they were received, the first bar first, bars without records left out.
    pub histogram: Option<Histogram>,
    /// The first and the last moment at which one was received, in nanoseconds since 1970; known
    /// where something was counted.
    pub received: Option<(i64, i64)>,
    /// The number of records that the index knows: those from this seq on were not looked at.
    pub through: u64,
}

/// The sessions of the records that match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundSessions {
    /// The sessions of the page.
    pub hits: Vec<SessionHit>,
    /// Exactly how many there are on all pages.
    pub total: u64,
    /// The number of records that the index knows, as in [`Found::through`].
    pub through: u64,
}

/// How many records have each value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    /// The field.
    pub facet: Facet,
    /// Values and their records, the most frequent first.
    pub values: Vec<(String, u64)>,
    /// How many values there are, named or not.
    pub distinct: usize,
}

/// Records by the time at which they were received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How wide a bar is, in nanoseconds.
    pub width: i64,
    /// Where each bar begins, in nanoseconds since 1970, and its records.
    pub bars: Vec<(i64, u64)>,
}

/// The index of one ledger. It follows the log by itself.
pub struct Index {
    log: Arc<dyn Committed>,
    /// Holds a numbered folder for each index: the one in use, and one that is being built.
    folder: PathBuf,
    secrets: Secrets,
    slot: Mutex<Slot>,
}

struct Slot {
    serving: Arc<Follower>,
    building: Option<Arc<Follower>>,
    number: u64,
    closed: bool,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index in this folder, or begins one there, and follows the log from now on.
    pub fn open(log: Arc<dyn Committed>, folder: PathBuf, secrets: Secrets) -> Result<Self, Error> {
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        // The lowest number is the one that was in use; others were not finished.
        let mut numbers = numbered(&folder)?;
        let number = numbers.next().unwrap_or(0);
        for unfinished in numbers {
            remove(&folder.join(unfinished.to_string()))?;
        }
        let place = folder.join(number.to_string());
        let serving = Follower::start(Arc::clone(&log), place, Arc::clone(&secrets));
        let serving = Arc::new(serving.map_err(io_error(&folder))?);
        let slot = Mutex::new(Slot { serving, building: None, number, closed: false });
        Ok(Self { log, folder, secrets, slot })
    }

    /// The number of records, from the first on, that a search finds.
    pub fn through(&self) -> u64 {
        self.lock().serving.through()
    }

    /// The number of records in the index that is being built to take this one's place.
    pub fn rebuilding(&self) -> Option<u64> {
        self.lock().building.as_ref().map(|building| building.through())
    }

    /// Waits until a search finds the record at `seq`. Says whether it does.
    pub fn wait_for(&self, seq: u64, patience: Duration) -> bool {
        let serving = Arc::clone(&self.lock().serving);
        if serving.wait_for(seq, patience) {
            return true;
        }
        // If another one has taken its place meanwhile, it was stopped before it had the record.
        let successor = Arc::clone(&self.lock().serving);
        !Arc::ptr_eq(&serving, &successor) && successor.wait_for(seq, patience)
    }

    /// Builds the index again beside the one in use, which takes its place once it has caught up.
    /// Says whether that was begun: one at a time is built.
    pub fn rebuild(self: &Arc<Self>) -> Result<bool, Error> {
        let mut slot = self.lock();
        if slot.building.is_some() || slot.closed {
            return Ok(false);
        }
        let number = slot.number + 1;
        let place = self.folder.join(number.to_string());
        remove(&place)?;
        let building =
            Follower::start(Arc::clone(&self.log), place.clone(), Arc::clone(&self.secrets));
        let building = Arc::new(building.map_err(io_error(&place))?);
        slot.building = Some(Arc::clone(&building));
        drop(slot);
        let index = Arc::clone(self);
        let replacing = std::thread::Builder::new()
            .name("reindex".to_owned())
            .spawn(move || index.replace(&building, number));
        replacing.map(|_| true).map_err(io_error(&place))
    }

    /// Lets a new index take the place of the old one when it has all that the old one has.
    fn replace(&self, building: &Arc<Follower>, number: u64) {
        loop {
            let (through, closed) = {
                let slot = self.lock();
                (slot.serving.through(), slot.closed)
            };
            if closed {
                return;
            }
            let target = through.saturating_sub(1);
            if building.wait_for(target, Duration::from_secs(1)) || through == 0 {
                break;
            }
        }
        let old = {
            let mut slot = self.lock();
            if slot.closed {
                return;
            }
            slot.building = None;
            slot.number = number;
            std::mem::replace(&mut slot.serving, Arc::clone(building))
        };
        old.stop();
        if let Err(error) = remove(old.folder()) {
            tracing::warn!(%error, "an old index could not be removed");
        }
        tracing::info!(folder = %building.folder().display(), "a new index is in use");
    }

    /// Stops following. The index is whole on disk afterwards, as far as it had come.
    pub fn close(&self) {
        let (serving, building) = {
            let mut slot = self.lock();
            slot.closed = true;
            (Arc::clone(&slot.serving), slot.building.take())
        };
        serving.stop();
        if let Some(building) = building {
            building.stop();
        }
    }

    /// Searches.
    pub fn search(&self, request: &Request<'_>) -> Result<Found, Error> {
        let Some(current) = self.current() else { return Ok(Found::default()) };
        let lookup = self.compile(&current, request.query, request.below)?;
        let mut gather = Gather {
            below: request.below,
            order: request.order,
            after: request.after,
            limit: request.limit,
            facets: request.facets.to_vec(),
            timed: request.histogram || !request.facets.is_empty(),
            bars: None,
        };
        let found = self.look(&current, &lookup, &gather)?;
        let Gathered { total, seqs, facets, received, .. } = found;
        let received = received.map(|span| (*span.start(), *span.end()));
        let histogram = match received.filter(|_| request.histogram) {
            None => request.histogram.then(Histogram::default),
            Some((first, last)) => {
                let (start, width) = bars(first, last);
                gather.bars = Some((start, width));
                (gather.limit, gather.facets) = (0, Vec::new());
                let counted = self.look(&current, &lookup, &gather)?.bars;
                let bars = counted.into_iter().map(|(bar, count)| (start + bar * width, count));
                Some(Histogram { width, bars: bars.collect() })
            }
        };
        let facets = request
            .facets
            .iter()
            .map(|facet| most_frequent(*facet, facets.get(facet), request.facet_values));
        let through = current.through.min(request.below);
        Ok(Found { seqs, total, facets: facets.collect(), histogram, received, through })
    }

    /// The sessions of the records that match, the one with the newest such record first: those whose
    /// newest one is below `after`. Says how many sessions there are on all pages.
    pub fn sessions(
        &self,
        query: &Query,
        below: u64,
        after: Option<u64>,
        limit: usize,
    ) -> Result<FoundSessions, Error> {
        let Some(current) = self.current() else { return Ok(FoundSessions::default()) };
        let lookup = self.compile(&current, query, below)?;
        let newest = self.look(&current, &lookup, &NewestOfSessions { below })?;
        let total = u64::try_from(newest.len()).unwrap_or(u64::MAX);
        let mut hits: Vec<_> = newest
            .into_iter()
            .filter(|(_, seq)| after.is_none_or(|after| *seq < after))
            .map(|(id, seq)| SessionHit { id, seq })
            .collect();
        hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.seq));
        hits.truncate(limit);
        Ok(FoundSessions { hits, total, through: current.through.min(below) })
    }

    /// Other records among `seqs` into which the same documents came as into the one at `seq`, in
    /// order, at most `limit`.
    pub fn same_documents(
        &self,
        seq: u64,
        seqs: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, Error> {
        let Some(current) = self.current() else { return Ok(Vec::new()) };
        let reader = self.log.reader();
        let Some(bytes) = reader.entry(seq)? else { return Ok(Vec::new()) };
        let entry: Indexed = serde_json::from_slice(&bytes).map_err(|_| Error::Entry { seq })?;
        let keys = entry.documents(&current.secret, &reader.content(seq)?);
        let place = current.fields.document;
        let lookups = keys.into_iter().map(|key| {
            let term = Term::from_field_u64(place, key);
            let lookup: Box<dyn Lookup> = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
            lookup
        });
        let lookups: Vec<_> = lookups.collect();
        if lookups.is_empty() {
            return Ok(Vec::new());
        }
        let gather = Gather {
            below: seqs.end,
            order: Order::Ascending,
            after: seqs.start.checked_sub(1),
            limit: limit.saturating_add(1),
            facets: Vec::new(),
            timed: false,
            bars: None,
        };
        let mut seqs = self.look(&current, &BooleanQuery::union(lookups), &gather)?.seqs;
        seqs.retain(|other| *other != seq);
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// The newest grant with this id below `below`.
    pub fn grant(&self, delegation: &str, below: u64) -> Result<Option<u64>, Error> {
        let kind = Match::Is("delegation_grant".to_owned());
        let query = Query::And(vec![
            Query::Field(Field::Delegation, Match::Is(delegation.to_owned())),
            Query::Field(Field::Kind, kind),
        ]);
        Ok(self.search(&Request::new(&query, below, 1))?.seqs.first().copied())
    }

    fn compile(
        &self,
        current: &Current,
        query: &Query,
        below: u64,
    ) -> Result<Box<dyn Lookup>, Error> {
        let size = current.through.min(below);
        Compiler { fields: &current.fields, reader: self.log.reader(), size }.compile(query)
    }

    /// Gathers what a lookup finds. An index whose files were changed under it can fail in any way: then
    /// it is looked over, and built again if it is not whole.
    fn look<C: Collector>(
        &self,
        current: &Current,
        lookup: &dyn Lookup,
        collector: &C,
    ) -> Result<C::Fruit, Error> {
        let search = || current.searcher.search(lookup, collector);
        let found = catch_unwind(AssertUnwindSafe(search))
            .unwrap_or_else(|_| Err(TantivyError::InternalError("a search panicked".to_owned())));
        found.map_err(|error| {
            let error = Error::from(error);
            if matches!(error, Error::Index(_)) {
                self.lock().serving.doubt();
            }
            error
        })
    }

    fn current(&self) -> Option<Current> {
        self.lock().serving.current()
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the first bar begins and how wide a bar is, so that there are enough bars and not too many.
fn bars(first: i64, last: i64) -> (i64, i64) {
    let fits = |width: &i64| (last - first) / (width * NANOS) < BARS_MAX;
    let width = WIDTHS.into_iter().find(fits).unwrap_or(i64::MAX / NANOS) * NANOS;
    (first - first.rem_euclid(width), width)
}

fn most_frequent(
    facet: Facet,
    counts: Option<&BTreeMap<String, u64>>,
    limit: usize,
) -> FacetCounts {
    let mut values: Vec<_> =
        counts.into_iter().flatten().map(|(value, count)| (value.clone(), *count)).collect();
    let distinct = values.len();
    values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    values.truncate(limit);
    FacetCounts { facet, values, distinct }
}

/// The numbers of the folders in a folder, in order.
fn numbered(folder: &Path) -> Result<impl Iterator<Item = u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let name = entry.map_err(io_error(folder))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers.into_iter())
}
