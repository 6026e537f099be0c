//! The tree over the leaves, the tiles above them, and the roots at the sizes of checkpoints.

use std::sync::Arc;

use super::finding::{Code, Finding};
use super::source::{Source, SourceError};
use crate::canon::TreeHash;
use crate::proof::{Completed, Tile, TilePath, Tree, tile_width};

/// Recomputes a tree from its leaves, compares the tiles above the leaves with it, and notes the
/// roots that are asked for.
///
/// An audit runs one over the leaf hashes of the entries. Where a tile of the lowest level holds
/// another leaf hash than the entry has, it is cloned, and from there on a second one runs over what
/// the tiles hold: the signed root tells which of the two was changed.
#[derive(Clone)]
pub(super) struct TreeAudit<'a> {
    source: &'a dyn Source,
    tree: Tree,
    /// The sizes at which the root is wanted, in order, and the roots so far.
    roots: Vec<(u64, Option<TreeHash>)>,
    /// How many of them the tree has reached.
    reached: usize,
    completed: Vec<Completed>,
    findings: Vec<Finding>,
    /// The first place of which there is neither an entry nor a leaf hash.
    lost: Option<u64>,
}

/// What came of a [`TreeAudit`].
pub(super) struct Audited {
    pub(super) root: TreeHash,
    roots: Vec<(u64, Option<TreeHash>)>,
    /// What is wrong with the tiles above the leaves, if these leaves are right.
    pub(super) findings: Vec<Finding>,
    /// The place from which on nothing more can be told, if there is one.
    pub(super) lost: Option<u64>,
}

impl Audited {
    /// The root that the tree had at this size, if it was asked for and reached.
    pub(super) fn root_at(&self, size: u64) -> Option<TreeHash> {
        let place = self.roots.binary_search_by_key(&size, |(size, _)| *size).ok()?;
        self.roots.get(place)?.1
    }
}

impl<'a> TreeAudit<'a> {
    /// An audit that will tell the roots at `sizes`, which may come in any order.
    pub(super) fn new(source: &'a dyn Source, mut sizes: Vec<u64>) -> Self {
        sizes.sort_unstable();
        sizes.dedup();
        let roots = sizes.into_iter().filter(|size| *size > 0).map(|size| (size, None)).collect();
        Self {
            source,
            tree: Tree::new(),
            roots,
            reached: 0,
            completed: Vec::new(),
            findings: Vec::new(),
            lost: None,
        }
    }

    /// Adds a leaf, and compares every tile that it completes. Without it, everything that follows is
    /// lost to the tree.
    pub(super) fn push(&mut self, leaf: Option<TreeHash>) -> Result<(), SourceError> {
        if self.lost.is_some() {
            return Ok(());
        }
        let Some(leaf) = leaf else {
            self.lost = Some(self.tree.size());
            return Ok(());
        };
        self.tree.append(leaf, &mut self.completed);
        if let Some((size, root)) = self.roots.get_mut(self.reached)
            && *size == self.tree.size()
        {
            *root = Some(self.tree.root());
            self.reached += 1;
        }
        while let Some(Completed { level, index, tile }) = self.completed.pop() {
            self.compare(level, index, &tile)?;
        }
        Ok(())
    }

    /// Compares the tiles of the right edge, and gives what came of it all.
    pub(super) fn finish(mut self) -> Result<Audited, SourceError> {
        let size = self.tree.size();
        for level in 1u8.. {
            if self.lost.is_some() || tile_width(size, level, 0).is_none() {
                break;
            }
            let index = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            if let Some(edge) = self.tree.edge(level) {
                let edge = Arc::clone(edge);
                self.compare(level, index, &edge)?;
            }
        }
        let Self { tree, roots, findings, lost, .. } = self;
        Ok(Audited { root: tree.root(), roots, findings, lost })
    }

    fn compare(&mut self, level: u8, index: u64, tile: &Tile) -> Result<(), SourceError> {
        if level == 0 {
            return Ok(());
        }
        let width = u16::try_from(tile.len()).unwrap_or(u16::MAX);
        let path = TilePath::Hash { level, index, width };
        let (code, message) = match self.source.read(path)? {
            Some(stored) if stored == tile.to_bytes() => return Ok(()),
            Some(_) => (Code::TileWrong, format!("{path} is not that of the tiles below it")),
            None => (Code::TileMissing, format!("{path} is not there")),
        };
        self.findings.push(Finding { seq: None, code, message });
        Ok(())
    }
}
