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
