//! A filter that tells for certain that a run of the index does not have a key.

/// Bits for each key: one key in about a hundred that is not there passes all the same.
const BITS_PER_KEY: usize = 10;
/// Bits that each key sets, all in one line, so that asking costs one cache miss.
const PROBES: u32 = 6;
const LINE_BYTES: usize = 64;

/// A Bloom filter in lines of 64 bytes, over keys that are themselves digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    bytes: Vec<u8>,
}

impl Filter {
    /// The filter of `count` keys.
    pub(super) fn of(keys: impl Iterator<Item = u64>, count: usize) -> Self {
        let lines = (count * BITS_PER_KEY).div_ceil(8 * LINE_BYTES);
        let mut filter = Self { bytes: vec![0; lines * LINE_BYTES] };
        for key in keys {
            let Some(start) = filter.line(key) else { continue };
            for (byte, bit) in probes(key) {
                if let Some(place) = filter.bytes.get_mut(start + byte) {
                    *place |= bit;
                }
            }
        }
        filter
    }

    /// Takes back what [`Self::as_bytes`] gave.
    pub(super) const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The filter as it is stored.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the run may have the key. `false` is certain.
    pub(super) fn may_contain(&self, key: u64) -> bool {
        let Some(start) = self.line(key) else { return false };
        probes(key).all(|(byte, bit)| {
            self.bytes.get(start + byte).is_some_and(|present| present & bit == bit)
        })
    }

    /// Where the key's line starts. A filter of no keys has no lines.
    fn line(&self, key: u64) -> Option<usize> {
        let lines = u64::try_from(self.bytes.len() / LINE_BYTES).ok()?;
        let line = spread(key).checked_rem(lines)?;
        usize::try_from(line).ok().map(|line| line * LINE_BYTES)
    }
}

/// Mixes a key, because the keys of one space are seqs and not digests (the finaliser of `MurmurHash3`).
const fn spread(key: u64) -> u64 {
    let key = (key ^ (key >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let key = (key ^ (key >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ (key >> 33)
}

/// The bits of a key within its line, as byte and mask.
fn probes(key: u64) -> impl Iterator<Item = (usize, u8)> {
    let bits = spread(key.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |probe| {
        let bit = (bits >> (9 * probe)) & 511;
        let byte = usize::try_from(bit / 8).unwrap_or(0);
        (byte, 1u8 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_few_others_pass() {
        for stride in [1, 7, 0x1000_0000] {
            let keys = 20_000u64;
            let filter = Filter::of((0..keys).map(|key| key * stride), 20_000);
            assert!((0..keys).all(|key| filter.may_contain(key * stride)));
            let passed = (keys..4 * keys).filter(|key| filter.may_contain(key * stride)).count();
            assert!(passed < 60_000 / 40, "{passed} of 60,000 passed");
        }
    }

    #[test]
    fn a_filter_without_keys_has_nothing() {
        assert!(!Filter::of(std::iter::empty(), 0).may_contain(7));
    }
}
