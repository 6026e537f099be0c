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

/// Proofs of trees too large to build: the hashes are made up, and the roots follow from them by the
/// recursive definitions of RFC 6962 §2.1.1 and §2.1.2, which the code above does not use.
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(number: u64) -> TreeHash {
        TreeHash::leaf(&number.to_be_bytes())
    }

    fn split(leaves: u64) -> u64 {
        1 << (leaves - 1).ilog2()
    }

    /// Makes up a proof, and gives the root that it leads to.
    fn inclusion(place: u64, size: u64, proof: &mut Vec<TreeHash>) -> TreeHash {
        if size == 1 {
            return hash(0);
        }
        let left = split(size);
        let inner = if place < left {
            inclusion(place, left, proof)
        } else {
            inclusion(place - left, size - left, proof)
        };
        proof.push(hash(1 + u64::try_from(proof.len()).unwrap()));
        let sibling = proof.last().unwrap();
        if place < left { TreeHash::node(&inner, sibling) } else { TreeHash::node(sibling, &inner) }
    }

    /// Makes up a proof, and gives the two roots that it leads to.
    fn consistency(
        from: u64,
        to: u64,
        whole: bool,
        proof: &mut Vec<TreeHash>,
    ) -> (TreeHash, TreeHash) {
        if from == to {
            if !whole {
                proof.push(hash(0));
            }
            return (hash(0), hash(0));
        }
        let left = split(to);
        let (earlier, later) = if from <= left {
            consistency(from, left, whole, proof)
        } else {
            consistency(from - left, to - left, false, proof)
        };
        proof.push(hash(1 + u64::try_from(proof.len()).unwrap()));
        let sibling = proof.last().unwrap();
        if from <= left {
            (earlier, TreeHash::node(&later, sibling))
        } else {
            (TreeHash::node(sibling, &earlier), TreeHash::node(sibling, &later))
        }
    }

    /// Numbers of every magnitude, and near powers of two more often than chance has them.
    fn number() -> impl Strategy<Value = u64> {
        let near =
            (0..64u32, -2..=2i64).prop_map(|(bits, by)| (1u64 << bits).wrapping_add_signed(by));
        let any = (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift);
        prop_oneof![near, any, Just(u64::MAX)]
    }

    /// The proof as it is, and ways in which it can be wrong.
    fn is_the_only_one(
        proof: &[TreeHash],
        at: prop::sample::Index,
        verify: impl Fn(&[TreeHash]) -> Result<(), ProofError>,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(verify(proof), Ok(()));
        let longer = [proof, &[hash(9)]].concat();
        prop_assert_eq!(verify(&longer), Err(ProofError::WrongLength));
        if let Some((_, shorter)) = proof.split_last() {
            prop_assert!(verify(shorter).is_err());
            let mut changed = proof.to_vec();
            *at.get_mut(&mut changed) = hash(1_000);
            prop_assert!(verify(&changed).is_err());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn an_inclusion_proof_of_any_tree_is_checked(
            size in number(), place in number(), at: prop::sample::Index,
        ) {
            prop_assume!(size > 0);
            let place = place % size;
            let mut proof = Vec::new();
            let root = inclusion(place, size, &mut proof);
            is_the_only_one(&proof, at, |proof| verify_inclusion(&hash(0), place, size, proof, &root))?;

            prop_assert!(verify_inclusion(&hash(1), place, size, &proof, &root).is_err());
            prop_assert!(verify_inclusion(&hash(0), place, size, &proof, &hash(0)).is_err()
                || size == 1);
            for other in [place.wrapping_sub(1), place.wrapping_add(1), place ^ 1, size] {
                if other != place {
                    prop_assert!(verify_inclusion(&hash(0), other, size, &proof, &root).is_err());
                }
            }
        }

        #[test]
        fn a_consistency_proof_of_any_two_trees_is_checked(
            a in number(), b in number(), at: prop::sample::Index,
        ) {
            let (from, to) = (a.min(b), a.max(b));
            prop_assume!(0 < from && from < to);
            let mut proof = Vec::new();
            let (earlier, later) = consistency(from, to, true, &mut proof);
            is_the_only_one(&proof, at, |proof| {
                verify_consistency(from, &earlier, to, &later, proof)
            })?;
            let forged = hash(1_000);
            prop_assert!(verify_consistency(from, &forged, to, &later, &proof).is_err());
            prop_assert_eq!(
                verify_consistency(from, &earlier, to, &forged, &proof),
                Err(ProofError::WrongRoot)
            );
        }

        #[test]
        fn made_up_proofs_fail_without_panic(a in number(), b in number(), length in 1..70usize) {
            let proof = vec![hash(1); length];
            prop_assert!(verify_inclusion(&hash(0), a, b, &proof, &hash(0)).is_err());
            let (one, other) = (hash(0), hash(1));
            prop_assert!(verify_consistency(a, &one, b, &other, &proof).is_err());
        }
    }

    #[test]
    fn equal_trees_and_the_empty_tree_need_an_empty_proof() {
        let (empty, root, other) = (TreeHash::empty(), hash(1), hash(2));
        let verify = verify_consistency;
        assert_eq!(verify(0, &empty, 0, &empty, &[]), Ok(()));
        assert_eq!(verify(0, &empty, 7, &root, &[]), Ok(()));
        assert_eq!(verify(7, &root, 7, &root, &[]), Ok(()));
        assert_eq!(verify(0, &empty, 7, &root, &[root]), Err(ProofError::WrongLength));
        assert_eq!(verify(7, &root, 7, &root, &[root]), Err(ProofError::WrongLength));
        assert_eq!(verify(0, &root, 7, &root, &[]), Err(ProofError::WrongEarlierRoot));
        assert_eq!(verify(7, &root, 7, &other, &[]), Err(ProofError::WrongRoot));
        assert_eq!(verify(6, &root, 7, &other, &[]), Err(ProofError::WrongLength));
        let outside = ProofError::OutOfRange { place: 8, size: 7 };
        assert_eq!(verify(8, &root, 7, &other, &[]), Err(outside));
    }
}
