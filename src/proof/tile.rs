//! One tile: up to 256 hashes of one level of the tree, and the nodes above them.

use crate::canon::TreeHash;

/// How many levels of the tree one tile spans (C2SP tlog-tiles).
pub const TILE_HEIGHT: u8 = 8;
/// How many hashes a full tile has in its bottom row, and a full bundle entries.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// [`TILE_WIDTH`], for counting things in memory.
pub(super) const WIDTH: usize = 1 << TILE_HEIGHT;
/// The bottom row, and one row for each level that the tile spans.
const ROWS: usize = 9;

/// The bytes are not between 1 and 256 hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tile is 1 to 256 hashes of 32 bytes, not {bytes} bytes")]
pub struct BadTile {
    /// How many bytes there were.
    pub bytes: usize,
}

/// The tile already has 256 hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tile is full")]
pub struct TileFull;

/// A tile with its inner nodes: up to 256 hashes, and above them every node that they complete.
///
/// Only complete subtrees have a node, so nothing in a tile changes as the tree grows. A partial tile
/// has no root: it is never hashed upward (C2SP tlog-tiles).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tile {
    rows: [Vec<TreeHash>; ROWS],
}

impl Tile {
    /// A tile without hashes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one hash on the right of the bottom row. After an error nothing has changed.
    pub fn push(&mut self, hash: TreeHash) -> Result<(), TileFull> {
        if self.is_full() {
            return Err(TileFull);
        }
        self.grow(hash);
        Ok(())
    }

    /// [`Self::push`] for a caller who knows that the tile is not full.
    pub(super) fn grow(&mut self, mut hash: TreeHash) {
        for row in &mut self.rows {
            row.push(hash);
            let (pairs, alone) = row.as_chunks::<2>();
            let (Some([left, right]), []) = (pairs.last(), alone) else { break };
            hash = TreeHash::node(left, right);
        }
    }

    /// How many hashes the bottom row has: 0 to 256.
    pub fn len(&self) -> usize {
        self.hashes().len()
    }

    /// Whether the tile has no hashes.
    pub fn is_empty(&self) -> bool {
        self.hashes().is_empty()
    }

    /// Whether the tile has all of its 256 hashes.
    pub fn is_full(&self) -> bool {
        self.len() >= WIDTH
    }

    /// The bottom row, from the left.
    pub fn hashes(&self) -> &[TreeHash] {
        let [bottom, ..] = &self.rows;
        bottom
    }

    /// The root of the complete subtree over `2^height` hashes of the bottom row, the `index`th of its
    /// kind from the left. None when the tile doesn't hold all of it.
    pub fn node(&self, height: u8, index: u64) -> Option<TreeHash> {
        let row = self.rows.get(usize::from(height))?;
        row.get(usize::try_from(index).ok()?).copied()
    }

    /// The root of the tile, which is a hash of the tile above. None until the tile is full.
    pub fn root(&self) -> Option<TreeHash> {
        self.node(TILE_HEIGHT, 0)
    }

    /// Reads a tile as it is served: the hashes of the bottom row, one after the other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadTile> {
        let (hashes, rest) = bytes.as_chunks::<{ TreeHash::LEN }>();
        if hashes.is_empty() || hashes.len() > WIDTH || !rest.is_empty() {
            return Err(BadTile { bytes: bytes.len() });
        }
        let mut tile = Self::new();
        for hash in hashes {
            tile.grow(TreeHash::from_bytes(*hash));
        }
        Ok(tile)
    }

    /// The tile as it is served: 32 bytes for each hash of the bottom row.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes().iter().flat_map(|hash| *hash.as_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> TreeHash {
        TreeHash::leaf(&number.to_be_bytes())
    }

    #[test]
    fn only_what_is_complete_has_a_node() {
        let mut tile = Tile::new();
        for number in 0..5 {
            tile.push(hash(number)).unwrap();
        }
        let left = TreeHash::node(&hash(0), &hash(1));
        let right = TreeHash::node(&hash(2), &hash(3));
        assert_eq!(tile.node(0, 4), Some(hash(4)));
        assert_eq!(tile.node(1, 1), Some(right));
        assert_eq!(tile.node(2, 0), Some(TreeHash::node(&left, &right)));
        for (height, index) in [(0, 5), (1, 2), (2, 1), (3, 0), (8, 0), (9, 0), (255, u64::MAX)] {
            assert_eq!(tile.node(height, index), None, "{height} {index}");
        }
    }

    #[test]
    fn a_tile_is_full_at_256_hashes_and_stays_as_it_is() {
        let mut tile = Tile::new();
        for number in 0..TILE_WIDTH {
            assert!(!tile.is_full() && tile.root().is_none());
            tile.push(hash(number)).unwrap();
        }
        let full = tile.clone();
        assert!(full.root().is_some());
        assert_eq!(tile.push(hash(256)), Err(TileFull));
        assert_eq!(tile, full);
    }

    #[test]
    fn bytes_are_the_bottom_row() {
        let mut tile = Tile::new();
        for number in 0..TILE_WIDTH {
            tile.push(hash(number)).unwrap();
            let bytes = tile.to_bytes();
            assert_eq!(bytes.len(), 32 * tile.len());
            assert_eq!(Tile::from_bytes(&bytes), Ok(tile.clone()));
        }
        for bytes in [0, 31, 33, 257 * 32] {
            assert_eq!(Tile::from_bytes(&vec![0; bytes]), Err(BadTile { bytes }));
        }
    }
}
