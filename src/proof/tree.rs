//! The right edge of a growing tree.

use std::mem;
use std::sync::Arc;

use crate::canon::TreeHash;

use super::path::tile_width;
use super::reader::{ReadError, TileReader};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};

/// A tile that has just become full, and will never change again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The tile's level, 0 at the leaves.
    pub level: u8,
    /// The tile's place in its level.
    pub index: u64,
    /// The tile.
    pub tile: Arc<Tile>,
}

/// A tree of which only the right edge is kept: one partial tile for each level.
///
/// That is all that appending and the root need. Memory is at most 16 KiB a level, so 64 KiB up to
/// 2^32 leaves; an append costs two hashes on average. A clone shares its tiles with the original,
/// and the first append to either copies what it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    edges: Vec<Arc<Tile>>,
}

impl Tree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge back from the full tiles that earlier appends completed.
    ///
    /// `size` must be a multiple of 256: the leaves after it are in no full tile, and the caller
    /// appends them anew. The hashes of an edge are the roots of the full tiles below it, which are
    /// believed as they are read: compare [`Self::root`] with a signed one.
    pub fn from_full_tiles<R>(size: u64, reader: &R) -> Result<Self, ReadError<R::Error>>
    where
        R: TileReader + ?Sized,
    {
        if !size.is_multiple_of(TILE_WIDTH) {
            return Err(ReadError::NotTiled { size });
        }
        let mut tree = Self { size, edges: Vec::new() };
        let (mut level, mut full) = (0u8, size / TILE_WIDTH);
        while full > 0 {
            if level == 0 {
                tree.edges.push(Arc::default());
            }
            let mut edge = Tile::new();
            for index in full - full % TILE_WIDTH..full {
                let tile = reader.tile(level, index).map_err(ReadError::Read)?;
                edge.grow(tile.root().ok_or(ReadError::Short { level, index })?);
            }
            tree.edges.push(Arc::new(edge));
            level += 1;
            full /= TILE_WIDTH;
        }
        Ok(tree)
    }

    /// Adds one leaf, and every tile that it makes full to `completed`, lowest level first.
    pub fn append(&mut self, leaf: TreeHash, completed: &mut Vec<Completed>) {
        self.size += 1;
        let mut hash = leaf;
        let mut index = self.size - 1;
        for level in 0u8.. {
            let place = usize::from(level);
            if self.edges.len() <= place {
                self.edges.push(Arc::default());
            }
            let Some(edge) = self.edges.get_mut(place) else { return };
            let tile = Arc::make_mut(edge);
            tile.grow(hash);
            let Some(root) = tile.root() else { return };

            index /= TILE_WIDTH;
            completed.push(Completed { level, index, tile: mem::take(edge) });
            hash = root;
        }
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves (RFC 6962 §2.1): [`TreeHash::empty`] when there are none.
    pub fn root(&self) -> TreeHash {
        let mut root = None;
        for edge in &self.edges {
            for height in 0..TILE_HEIGHT {
                let count = edge.len() >> height;
                if count % 2 == 1 {
                    let index = u64::try_from(count - 1).unwrap_or(u64::MAX);
                    root = edge.node(height, index).map(|left| join(&left, root.as_ref()));
                }
            }
        }
        root.unwrap_or_else(TreeHash::empty)
    }

    /// The partial tile of a level. None when it has no hashes: such a tile doesn't exist.
    pub fn edge(&self, level: u8) -> Option<&Arc<Tile>> {
        self.edges.get(usize::from(level)).filter(|tile| !tile.is_empty())
    }

    /// The tile at `level` and `index`, if it is the partial one at the edge.
    pub fn edge_at(&self, level: u8, index: u64) -> Option<&Arc<Tile>> {
        let width = tile_width(self.size, level, index)?;
        self.edge(level).filter(|_| u64::from(width) < TILE_WIDTH)
    }
}

/// A complete subtree, and what follows on its right, if anything.
pub(super) fn join(left: &TreeHash, right: Option<&TreeHash>) -> TreeHash {
    right.map_or(*left, |right| TreeHash::node(left, right))
}
