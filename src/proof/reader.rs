//! Proofs and roots of any size the tree ever had, from its tiles (RFC 6962 §2.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canon::TreeHash;

use super::tile::{TILE_HEIGHT, Tile};
use super::tree::join;

/// Where the tiles of a tree are.
pub trait TileReader {
    /// Why a tile could not be had.
    type Error: std::error::Error + 'static;

    /// The tile at `level` and `index`, as it is or was at any size at least as large as the one
    /// asked about: a full tile may stand in for a partial one.
    fn tile(&self, level: u8, index: u64) -> Result<Arc<Tile>, Self::Error>;
}

/// Why a root or a proof could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// A tile could not be read.
    #[error("a tile of the tree could not be read")]
    Read(#[source] E),
    /// A tile has fewer hashes than a tree of this size has.
    #[error("tile {index} of level {level} has too few hashes for this tree size")]
    Short {
        /// The tile's level.
        level: u8,
        /// The tile's place in its level.
        index: u64,
    },
    /// The tree of this size has no such leaf, or was never of the earlier size.
    #[error("{place} lies outside a tree of size {size}")]
    OutOfRange {
        /// The leaf, or the earlier size.
        place: u64,
        /// The tree's size.
        size: u64,
    },
    /// The size is not a multiple of 256.
    #[error("a tree of size {size} does not end with a full tile")]
    NotTiled {
        /// The tree's size.
        size: u64,
    },
}

/// The root over the first `size` leaves.
pub fn root_at<R>(reader: &R, size: u64) -> Result<TreeHash, ReadError<R::Error>>
where
    R: TileReader + ?Sized,
{
    Tiles::new(reader).range(0, size)
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: the sibling of the leaf
/// first, a child of the root last (RFC 6962 §2.1.1).
///
/// Each tile is read once.
pub fn inclusion<R>(reader: &R, index: u64, size: u64) -> Result<Vec<TreeHash>, ReadError<R::Error>>
where
    R: TileReader + ?Sized,
{
    if index >= size {
        return Err(ReadError::OutOfRange { place: index, size });
    }
    let mut tiles = Tiles::new(reader);
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + left_size(end - start);
        if index < middle {
            proof.push(tiles.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tiles.range(start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `from` leaves is the beginning of the tree of the first `to`
/// (RFC 6962 §2.1.2). Empty when the two are one, and when `from` is 0, which begins every tree.
///
/// Each tile is read once.
pub fn consistency<R>(reader: &R, from: u64, to: u64) -> Result<Vec<TreeHash>, ReadError<R::Error>>
where
    R: TileReader + ?Sized,
{
    if from > to {
        return Err(ReadError::OutOfRange { place: from, size: to });
    }
    let mut proof = Vec::new();
    if from == 0 {
        return Ok(proof);
    }
    let mut tiles = Tiles::new(reader);
    let (mut start, mut end) = (0, to);
    while from != end {
        let middle = start + left_size(end - start);
        if from <= middle {
            proof.push(tiles.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tiles.range(start, middle)?);
            start = middle;
        }
    }
    // A subtree that starts at 0 is the whole earlier tree, whose root the verifier has.
    if start > 0 {
        proof.push(tiles.range(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// How many of `leaves` (at least two) the left subtree takes: the largest power of two below.
fn left_size(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The tiles read so far for one proof.
struct Tiles<'a, R: ?Sized> {
    reader: &'a R,
    read: BTreeMap<(u8, u64), Arc<Tile>>,
}

impl<'a, R: TileReader + ?Sized> Tiles<'a, R> {
    const fn new(reader: &'a R) -> Self {
        Self { reader, read: BTreeMap::new() }
    }

    /// The root over the leaves from `start` to `end`, where `start` is as RFC 6962 splits a tree: a
    /// multiple of a power of two that is not smaller than the range.
    ///
    /// The range is taken apart into complete subtrees, so that nothing is read of what lies after
    /// `end`, however long the tiles have become since.
    fn range(&mut self, start: u64, mut end: u64) -> Result<TreeHash, ReadError<R::Error>> {
        let mut root = None;
        let mut leaves = end - start;
        while leaves > 0 {
            let size = 1 << leaves.trailing_zeros();
            leaves -= size;
            end -= size;
            let left = self.subtree(size.ilog2(), end / size)?;
            root = Some(join(&left, root.as_ref()));
        }
        Ok(root.unwrap_or_else(TreeHash::empty))
    }

    /// The root of the complete subtree over `2^height` leaves, the `index`th of its kind.
    fn subtree(&mut self, height: u32, index: u64) -> Result<TreeHash, ReadError<R::Error>> {
        let tile_height = u32::from(TILE_HEIGHT);
        let (level, inner) = (height / tile_height, height % tile_height);
        let (level, inner) = (byte(level), byte(inner));
        let per_tile = 1 << (TILE_HEIGHT - inner);
        let tile_index = index / per_tile;
        let tile = self.tile(level, tile_index)?;
        let short = ReadError::Short { level, index: tile_index };
        tile.node(inner, index % per_tile).ok_or(short)
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<Arc<Tile>, ReadError<R::Error>> {
        if let Some(tile) = self.read.get(&(level, index)) {
            return Ok(Arc::clone(tile));
        }
        let tile = self.reader.tile(level, index).map_err(ReadError::Read)?;
        self.read.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }
}

/// A level or a height: below 64, since a tree has fewer than 2^64 leaves.
fn byte(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::{LazyLock, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::proof::{Tree, tile_width, verify_consistency, verify_inclusion};

    /// Enough to have a partial tile on three levels.
    const SIZE: u64 = 66_200;

    fn leaf(index: u64) -> TreeHash {
        let mut bytes = [0x5a; 32];
        bytes[..8].copy_from_slice(&index.to_be_bytes());
        TreeHash::from_bytes(bytes)
    }

    /// A tree and every tile that it ever completed.
    struct Log {
        tree: Tree,
        full: BTreeMap<(u8, u64), Arc<Tile>>,
    }

    static LOG: LazyLock<Log> = LazyLock::new(|| {
        let (mut tree, mut completed) = (Tree::new(), Vec::new());
        for index in 0..SIZE {
            tree.append(leaf(index), &mut completed);
        }
        let full = completed.into_iter().map(|done| ((done.level, done.index), done.tile));
        Log { tree, full: full.collect() }
    });

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("no such tile, or it was read before")]
    struct Missing;

    /// Reads the tiles of the log, and no tile twice.
    #[derive(Default)]
    struct Once(RefCell<Vec<(u8, u64)>>);

    impl TileReader for Once {
        type Error = Missing;

        fn tile(&self, level: u8, index: u64) -> Result<Arc<Tile>, Missing> {
            if self.0.borrow().contains(&(level, index)) {
                return Err(Missing);
            }
            self.0.borrow_mut().push((level, index));
            let tile = LOG.tree.edge_at(level, index).or_else(|| LOG.full.get(&(level, index)));
            tile.map(Arc::clone).ok_or(Missing)
        }
    }

    /// `MTH(D[start:end])`, as RFC 6962 §2.1 writes it down, but remembered.
    fn mth(start: u64, end: u64) -> TreeHash {
        static KNOWN: LazyLock<Mutex<BTreeMap<(u64, u64), TreeHash>>> =
            LazyLock::new(Mutex::default);
        match end - start {
            0 => return TreeHash::empty(),
            1 => return leaf(start),
            _ => {}
        }
        let known = KNOWN.lock().unwrap().get(&(start, end)).copied();
        known.unwrap_or_else(|| {
            let middle = start + split(end - start);
            let hash = TreeHash::node(&mth(start, middle), &mth(middle, end));
            KNOWN.lock().unwrap().insert((start, end), hash);
            hash
        })
    }

    fn split(leaves: u64) -> u64 {
        let mut power = 1;
        while power * 2 < leaves {
            power *= 2;
        }
        power
    }

    /// `PATH(m, D[start:end])` (RFC 6962 §2.1.1).
    fn path(m: u64, start: u64, end: u64) -> Vec<TreeHash> {
        if end - start <= 1 {
            return Vec::new();
        }
        let k = split(end - start);
        let (mut proof, last) = if m < k {
            (path(m, start, start + k), mth(start + k, end))
        } else {
            (path(m - k, start + k, end), mth(start, start + k))
        };
        proof.push(last);
        proof
    }

    /// `SUBPROOF(m, D[start:end], b)` (RFC 6962 §2.1.2).
    fn subproof(m: u64, start: u64, end: u64, b: bool) -> Vec<TreeHash> {
        if m == end - start {
            return if b { Vec::new() } else { vec![mth(start, end)] };
        }
        let k = split(end - start);
        let (mut proof, last) = if m <= k {
            (subproof(m, start, start + k, b), mth(start + k, end))
        } else {
            (subproof(m - k, start + k, end, false), mth(start, start + k))
        };
        proof.push(last);
        proof
    }

    /// Sizes of every magnitude, and around where tiles begin.
    fn size() -> impl Strategy<Value = u64> {
        prop_oneof![1..20u64, 250..520u64, 65_270..66_060u64, 1..=SIZE]
    }

    proptest! {
        #[test]
        fn a_root_from_tiles_is_the_root_from_scratch(size in size()) {
            prop_assert_eq!(root_at(&Once::default(), size).unwrap(), mth(0, size));
        }

        #[test]
        fn an_inclusion_proof_from_tiles_holds_for_its_leaf_alone(
            size in size(), index in 0..SIZE, other in 0..SIZE, other_size in size(),
        ) {
            let (index, other) = (index % size, other % size);
            let proof = inclusion(&Once::default(), index, size).unwrap();
            prop_assert_eq!(&proof, &path(index, 0, size));

            let root = mth(0, size);
            prop_assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root), Ok(()));
            if other != index {
                prop_assert!(verify_inclusion(&leaf(other), index, size, &proof, &root).is_err());
                prop_assert!(verify_inclusion(&leaf(index), other, size, &proof, &root).is_err());
            }
            if other_size != size {
                let root = mth(0, other_size);
                let verified = verify_inclusion(&leaf(index), index, other_size, &proof, &root);
                prop_assert!(verified.is_err());
                prop_assert!(
                    verify_inclusion(&leaf(index), index, size, &proof, &root).is_err()
                );
            }
        }

        #[test]
        fn a_consistency_proof_from_tiles_holds_for_its_sizes_alone(
            a in size(), b in size(), other in size(),
        ) {
            let (from, to) = (a.min(b), a.max(b));
            let proof = consistency(&Once::default(), from, to).unwrap();
            prop_assert_eq!(&proof, &subproof(from, 0, to, true));

            let verify = |from, to| {
                verify_consistency(from, &mth(0, from), to, &mth(0, to), &proof)
            };
            prop_assert_eq!(verify(from, to), Ok(()));
            if from != to && other != from {
                prop_assert!(verify(other, to).is_err());
            }
            if from != to && other != to {
                prop_assert!(verify(from, other).is_err());
            }
            let forged = verify_consistency(from, &mth(0, from), to, &leaf(0), &proof);
            prop_assert!(forged.is_err() || to == 1);
        }

        #[test]
        fn an_edge_read_back_from_full_tiles_goes_on_as_before(size in size()) {
            let tiled = size - size % 256;
            let mut tree = Tree::from_full_tiles(tiled, &Once::default()).unwrap();
            prop_assert_eq!(tree.root(), mth(0, tiled));
            let mut completed = Vec::new();
            for index in tiled..size {
                tree.append(leaf(index), &mut completed);
            }
            prop_assert!(completed.is_empty());
            prop_assert_eq!((tree.size(), tree.root()), (size, mth(0, size)));
        }
    }

    #[test]
    fn the_root_is_right_after_every_append() {
        let (mut tree, mut completed) = (Tree::new(), Vec::new());
        for size in 0..=SIZE {
            if size < 1_100 || size > 65_500 && size % 61 == 0 || size.is_power_of_two() {
                assert_eq!(tree.root(), mth(0, size), "{size}");
            }
            if size % 7_919 == 0 {
                // A copy, as readers have one, is not changed by what follows.
                let copy = tree.clone();
                tree.append(leaf(size), &mut completed);
                assert_eq!((copy.size(), copy.root()), (size, mth(0, size)));
            } else {
                tree.append(leaf(size), &mut completed);
            }
        }
        for done in completed {
            assert_eq!(tile_width(SIZE, done.level, done.index), Some(256));
            let width = 1 << (8 * (u32::from(done.level) + 1));
            assert_eq!(done.tile.root(), Some(mth(done.index * width, (done.index + 1) * width)),);
        }
        for level in 0..4 {
            let index = SIZE >> (8 * (level + 1));
            let width = tree.edge_at(level, index).map_or(0, |tile| tile.len());
            assert_eq!(
                u16::try_from(width).ok().filter(|width| *width > 0),
                tile_width(SIZE + 1, level, index)
            );
        }
    }

    #[test]
    fn a_tree_rebuilt_is_the_same_tree() {
        for tiled in [0, 256, 512, 65_280, 65_536, 65_792] {
            let (mut tree, mut completed) = (Tree::new(), Vec::new());
            for index in 0..tiled {
                tree.append(leaf(index), &mut completed);
            }
            assert_eq!(Tree::from_full_tiles(tiled, &Once::default()).unwrap(), tree);
        }
    }

    #[test]
    fn what_a_tree_does_not_have_is_refused() {
        let log = Once::default();
        assert!(matches!(inclusion(&log, 5, 5), Err(ReadError::OutOfRange { place: 5, size: 5 })));
        assert!(matches!(consistency(&log, 6, 5), Err(ReadError::OutOfRange { .. })));
        assert!(matches!(root_at(&log, SIZE + 1), Err(ReadError::Short { level: 0, .. })));
        assert!(matches!(root_at(&log, 2 * SIZE), Err(ReadError::Read(Missing))));
        assert!(matches!(Tree::from_full_tiles(300, &log), Err(ReadError::NotTiled { size: 300 })));
        assert_eq!(root_at(&log, 0).unwrap(), TreeHash::empty());
        assert_eq!(consistency(&log, 0, 5).unwrap(), []);
    }
}
