//! A lookup that may be asked about any record, in ascending order.
//!
//! What a query excludes is asked about each record of the rest. The phrase lookup of tantivy 0.27 does
//! not expect that: asked about a record before its first match, or after its last one, it seeks
//! backwards. The default way to ask, which this falls back on, looks first.

use tantivy::query::{EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, Term};

#[derive(Debug)]
pub(super) struct Careful(pub(super) Box<dyn Query>);

impl Clone for Careful {
    fn clone(&self) -> Self {
        Self(self.0.box_clone())
    }
}

impl Query for Careful {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(CarefulWeight(self.0.weight(scoring)?)))
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.0.query_terms(visitor);
    }
}

struct CarefulWeight(Box<dyn Weight>);

impl Weight for CarefulWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(CarefulScorer(self.0.scorer(reader, boost)?)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.0.explain(reader, doc)
    }
}

struct CarefulScorer(Box<dyn Scorer>);

/// `seek_danger` is not passed on: that is what this is for.
impl DocSet for CarefulScorer {
    fn advance(&mut self) -> DocId {
        self.0.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.0.seek(target)
    }

    fn doc(&self) -> DocId {
        self.0.doc()
    }

    fn size_hint(&self) -> u32 {
        self.0.size_hint()
    }
}

impl Scorer for CarefulScorer {
    fn score(&mut self) -> Score {
        self.0.score()
    }
}
