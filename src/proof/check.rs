//! Checking proofs, with nothing but the proof (RFC 9162 §2.1.3.2 and §2.1.4.2).

use crate::canon::TreeHash;

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree of this size has no such leaf, or the earlier tree is the larger one.
    #[error("{place} lies outside a tree of size {size}")]
    OutOfRange {
        /// The leaf, or the earlier size.
        place: u64,
        /// The tree's size.
        size: u64,
    },
    /// A proof for this place and size has another number of hashes.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The proof leads to another root than the tree's (the later tree's).
    #[error("the proof leads to another root")]
    WrongRoot,
    /// The proof leads to another root than the earlier tree's.
    #[error("the proof leads to another root for the earlier tree")]
    WrongEarlierRoot,
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    proof: &[TreeHash],
    root: &TreeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { place: index, size });
    }
    let mut climb = Climb { place: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step()? {
            Side::Left => TreeHash::node(sibling, &hash),
            Side::Right => TreeHash::node(&hash, sibling),
        };
    }
    climb.finish()?;
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Checks that the tree of `from` leaves with root `from_root` is the beginning of the tree of `to`
/// leaves with root `to_root`.
///
/// The tree without leaves begins every tree: then, and when both sizes are equal, the proof is empty.
pub fn verify_consistency(
    from: u64,
    from_root: &TreeHash,
    to: u64,
    to_root: &TreeHash,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if from > to {
        return Err(ProofError::OutOfRange { place: from, size: to });
    }
    if from == 0 && *from_root != TreeHash::empty() {
        return Err(ProofError::WrongEarlierRoot);
    }
    if from == to && from_root != to_root {
        return Err(ProofError::WrongRoot);
    }
    if from == 0 || from == to {
        return if proof.is_empty() { Ok(()) } else { Err(ProofError::WrongLength) };
    }

    let mut climb = Climb { place: from - 1, last: to - 1 };
    climb.skip_while(|place| place % 2 == 1);
    // A complete earlier tree is itself a subtree of the later one, and the proof starts above it.
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    let (mut earlier, mut later) = (*first, *first);
    for sibling in rest {
        match climb.step()? {
            Side::Left => {
                earlier = TreeHash::node(sibling, &earlier);
                later = TreeHash::node(sibling, &later);
            }
            Side::Right => later = TreeHash::node(&later, sibling),
        }
    }
    climb.finish()?;
    if earlier != *from_root {
        return Err(ProofError::WrongEarlierRoot);
    }
    if later == *to_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// On which side of the path the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a leaf to the root: `fn` and `sn` of RFC 9162.
struct Climb {
    place: u64,
    last: u64,
}

impl Climb {
    /// Goes one hash of the proof up.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::WrongLength);
        }
        let left = self.place % 2 == 1 || self.place == self.last;
        if left {
            // At the ragged right edge a node without a sibling is its own parent.
            self.skip_while(|place| place % 2 == 0 && place != 0);
        }
        self.up();
        Ok(if left { Side::Left } else { Side::Right })
    }

    /// Says whether the root was reached.
    const fn finish(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::WrongLength) }
    }

    fn skip_while(&mut self, more: impl Fn(u64) -> bool) {
        while more(self.place) {
            self.up();
        }
    }

    const fn up(&mut self) {
        self.place >>= 1;
        self.last >>= 1;
    }
}
