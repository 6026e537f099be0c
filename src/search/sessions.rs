//! The sessions of the records that match.

use std::collections::BTreeMap;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader, TantivyError};

/// A session, and the newest of its records that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHit {
    /// The session's id.
    pub id: String,
    /// The record's seq.
    pub seq: u64,
}

/// For each session, the highest seq of its records that match.
pub(super) struct NewestOfSessions {
    /// Only records below this count.
    pub(super) below: u64,
}

impl Collector for NewestOfSessions {
    type Fruit = BTreeMap<String, u64>;
    type Child = Segment;

    fn for_segment(&self, _: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<Segment> {
        let columns = reader.fast_fields();
        let session = columns.str("session")?;
        let newest = vec![
            0;
            session.as_ref().map_or(0, |column| column
                .ords()
                .max_value()
                .saturating_add(1)
                .try_into()
                .unwrap_or(0))
        ];
        Ok(Segment { below: self.below, seq: columns.u64("seq")?, session, newest })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        segments: Vec<Result<Vec<(String, u64)>, TantivyError>>,
    ) -> tantivy::Result<BTreeMap<String, u64>> {
        let mut all = BTreeMap::new();
        for segment in segments {
            for (session, seq) in segment? {
                let newest = all.entry(session).or_insert(seq);
                *newest = seq.max(*newest);
            }
        }
        Ok(all)
    }
}

pub(super) struct Segment {
    below: u64,
    seq: Column<u64>,
    session: Option<StrColumn>,
    /// By the ordinal of the session: one more than the highest seq, or 0.
    newest: Vec<u64>,
}

impl SegmentCollector for Segment {
    type Fruit = Result<Vec<(String, u64)>, TantivyError>;

    fn collect(&mut self, doc: DocId, _: Score) {
        let Some(session) = &self.session else { return };
        let Some(seq) = self.seq.first(doc).filter(|seq| *seq < self.below) else { return };
        let ord = session.ords().first(doc).and_then(|ord| usize::try_from(ord).ok());
        if let Some(newest) = ord.and_then(|ord| self.newest.get_mut(ord)) {
            *newest = (seq + 1).max(*newest);
        }
    }

    fn harvest(self) -> Self::Fruit {
        let Some(session) = &self.session else { return Ok(Vec::new()) };
        let mut named = Vec::new();
        let mut id = String::new();
        for (ord, newest) in (0..).zip(self.newest) {
            let Some(seq) = u64::checked_sub(newest, 1) else { continue };
            id.clear();
            session.ord_to_str(ord, &mut id)?;
            named.push((id.clone(), seq));
        }
        Ok(named)
    }
}
