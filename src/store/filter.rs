//! A filter that tells for certain that a run of the index does not have a key.

/// Bits for each key: one key in some 2,500 that is not there passes all the same.
///
/// Each new record asks every run for its id, and a key that passes costs the writer a read: at 100
/// million records, in 1,526 runs, less than one read for each. All filters stay in memory and take
/// 2.5 MB for each million keys: one key for a record's id, and one for each session and each cause
/// that a run has.
const BITS_PER_KEY: usize = 20;
/// Bits that each key sets, all in one line, so that asking costs one cache miss.
const PROBES: u32 = 7;
const LINE_BYTES: usize = 64;

/// A Bloom filter in lines of 64 bytes, over keys that are themselves digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    bytes: Vec<u8>,
}

impl Filter {
    /// The filter of these keys, which are all different.
    pub(super) fn of(keys: &[u64]) -> Self {
        let lines = (keys.len() * BITS_PER_KEY).div_ceil(8 * LINE_BYTES);
        let mut filter = Self { bytes: vec![0; lines * LINE_BYTES] };
        for key in keys {
            let Some(start) = filter.line(*key) else { continue };
            for (byte, bit) in probes(*key) {
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
            let keys: Vec<_> = (0..65_536u64).map(|key| key * stride).collect();
            let filter = Filter::of(&keys);
            assert!(keys.iter().all(|key| filter.may_contain(*key)));
            let others = (65_536..1_065_536u64).map(|key| key * stride);
            let passed = others.filter(|key| filter.may_contain(*key)).count();
            assert!(passed < 500, "{passed} of 1,000,000 passed");
        }
    }

    #[test]
    fn a_filter_without_keys_has_nothing() {
        assert!(!Filter::of(&[]).may_contain(7));
    }
}
