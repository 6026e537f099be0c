//! What is gathered from the records that match, in one pass: how many there are, the page that was
//! asked for, and what they are about.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::RangeInclusive;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader, TantivyError};

/// In which order records are listed: by seq, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Descending,
    /// The oldest first.
    Ascending,
}

/// Fields whose values can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    /// The accountable user.
    User,
    /// The session.
    Session,
    /// The agent.
    Agent,
    /// The tool.
    Tool,
    /// The kind of record.
    Kind,
    /// A flag; a record may have several.
    Flag,
}

impl Facet {
    /// Every facet.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Session, Self::Agent, Self::Tool, Self::Kind, Self::Flag];

    /// Its name in queries and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Kind => "kind",
            Self::Flag => "flag",
        }
    }
}

/// What to gather.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    /// Only records below this count at all: later ones were not asked about.
    pub(super) below: u64,
    pub(super) order: Order,
    /// The last seq of the page before.
    pub(super) after: Option<u64>,
    /// Records of the page.
    pub(super) limit: usize,
    pub(super) facets: Vec<Facet>,
    /// Whether the first and the last time of receipt are wanted.
    pub(super) timed: bool,
    /// Where the first bar of the histogram begins and how wide a bar is, in nanoseconds.
    pub(super) bars: Option<(i64, i64)>,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) total: u64,
    /// The page, in its order.
    pub(super) seqs: Vec<u64>,
    /// How many records have each value.
    pub(super) facets: BTreeMap<Facet, BTreeMap<String, u64>>,
    /// The first and the last time at which one was received.
    pub(super) received: Option<RangeInclusive<i64>>,
    /// Records of each bar.
    pub(super) bars: BTreeMap<i64, u64>,
}

impl Collector for Gather {
    type Fruit = Gathered;
    type Child = Segment;

    fn for_segment(&self, _: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<Segment> {
        let columns = reader.fast_fields();
        let mut facets = Vec::with_capacity(self.facets.len());
        for facet in &self.facets {
            if let Some(column) = columns.str(facet.as_str())? {
                let counts = vec![0; column.num_terms()];
                facets.push(Counted { facet: *facet, column, counts });
            }
        }
        let received = if self.timed { Some(columns.i64("received")?) } else { None };
        Ok(Segment {
            gather: self.clone(),
            seq: columns.u64("seq")?,
            received,
            facets,
            page: BinaryHeap::new(),
            gathered: Gathered::default(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        segments: Vec<Result<Gathered, TantivyError>>,
    ) -> tantivy::Result<Gathered> {
        let mut all = Gathered::default();
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            all.seqs.extend(segment.seqs);
            for (facet, counts) in segment.facets {
                let sums = all.facets.entry(facet).or_default();
                for (value, count) in counts {
                    *sums.entry(value).or_default() += count;
                }
            }
            for (bar, count) in segment.bars {
                *all.bars.entry(bar).or_default() += count;
            }
            all.received = match (all.received, segment.received) {
                (Some(one), Some(other)) => {
                    Some(*one.start().min(other.start())..=*one.end().max(other.end()))
                }
                (one, other) => one.or(other),
            };
        }
        match self.order {
            Order::Ascending => all.seqs.sort_unstable(),
            Order::Descending => all.seqs.sort_unstable_by_key(|seq| Reverse(*seq)),
        }
        all.seqs.truncate(self.limit);
        Ok(all)
    }
}

/// One segment's part.
pub(super) struct Segment {
    gather: Gather,
    seq: Column<u64>,
    received: Option<Column<i64>>,
    facets: Vec<Counted>,
    /// The page so far: the seq that leaves it first is on top.
    page: BinaryHeap<u64>,
    gathered: Gathered,
}

/// A facet's column, and how often each of its values was seen.
struct Counted {
    facet: Facet,
    column: StrColumn,
    counts: Vec<u64>,
}

impl Segment {
    /// Takes a record into the page, if it belongs there.
    fn list(&mut self, seq: u64) {
        let Gather { after, order, limit, .. } = self.gather;
        // In ascending order the highest seq leaves first; so does, mirrored, the lowest.
        let (key, wanted) = match order {
            Order::Ascending => (seq, after.is_none_or(|after| seq > after)),
            Order::Descending => (u64::MAX - seq, after.is_none_or(|after| seq < after)),
        };
        if !wanted || limit == 0 {
            return;
        }
        if self.page.len() == limit {
            match self.page.peek_mut() {
                Some(mut last) if key < *last => *last = key,
                _ => {}
            }
        } else {
            self.page.push(key);
        }
    }
}

impl SegmentCollector for Segment {
    type Fruit = Result<Gathered, TantivyError>;

    fn collect(&mut self, doc: DocId, _: Score) {
        let Some(seq) = self.seq.first(doc).filter(|seq| *seq < self.gather.below) else { return };
        self.gathered.total += 1;
        self.list(seq);
        for Counted { column, counts, .. } in &mut self.facets {
            for ord in column.ords().values_for_doc(doc) {
                let ord = usize::try_from(ord).unwrap_or(usize::MAX);
                if let Some(count) = counts.get_mut(ord) {
                    *count += 1;
                }
            }
        }
        if let Some(received) = self.received.as_ref().and_then(|column| column.first(doc)) {
            let (first, last) = match self.gathered.received.take() {
                Some(span) => (*span.start().min(&received), *span.end().max(&received)),
                None => (received, received),
            };
            self.gathered.received = Some(first..=last);
            if let Some((start, width)) = self.gather.bars {
                let bar = (received - start).div_euclid(width);
                *self.gathered.bars.entry(bar).or_default() += 1;
            }
        }
    }

    fn harvest(mut self) -> Self::Fruit {
        let order = self.gather.order;
        let seq = |key: u64| if order == Order::Ascending { key } else { u64::MAX - key };
        self.gathered.seqs = self.page.into_iter().map(seq).collect();
        for Counted { facet, column, counts } in self.facets {
            let mut named = BTreeMap::new();
            let mut value = String::new();
            for (ord, count) in (0..).zip(counts).filter(|(_, count)| *count > 0) {
                value.clear();
                column.ord_to_str(ord, &mut value)?;
                *named.entry(value.clone()).or_default() += count;
            }
            self.gathered.facets.insert(facet, named);
        }
        Ok(self.gathered)
    }
}
