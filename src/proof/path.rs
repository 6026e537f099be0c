//! The names of tiles and bundles (C2SP tlog-tiles, SPEC 5.2).

use std::fmt;
use std::str::FromStr;

use super::tile::{TILE_HEIGHT, TILE_WIDTH};

/// Numbers are written in groups of three digits.
const GROUP: u64 = 1000;
/// The highest level that the format can name.
const LEVEL_MAX: u8 = 63;
/// The longest path: an entry bundle with seven groups of digits and a width.
const PATH_BYTES_MAX: usize = 64;
/// The width of a full tile, in the type of the field.
const FULL: u16 = 1 << TILE_HEIGHT;

/// The text names no tile, or names it in another way than the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile or a bundle")]
pub struct BadPath;

/// The place of a tile or a bundle, relative to the log's prefix or the archive's root.
///
/// `width` is 1 to 256, where 256 is a full tile, whose path doesn't show it. The text form is unique:
/// what parses is written back the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TilePath {
    /// `tile/<level>/<index>[.p/<width>]`: hashes of the tree.
    Hash {
        /// The tile's level, 0 at the leaves, at most 63.
        level: u8,
        /// The tile's place in its level.
        index: u64,
        /// How many hashes it has.
        width: u16,
    },
    /// `tile/entries/<index>[.p/<width>]`: the entries under a tile of level 0.
    Entries {
        /// The bundle's place.
        index: u64,
        /// How many entries it has.
        width: u16,
    },
    /// `content/<index>[.p/<width>]`: what is left of those entries' content (archives only).
    Content {
        /// The bundle's place.
        index: u64,
        /// How many entries' content it has.
        width: u16,
    },
}

/// How many hashes the tile at `level` and `index` has in a tree of `size` leaves: 256 when it is
/// full, less at the right edge, none when the tree has no such tile.
///
/// Bundles have the widths of level 0.
pub fn tile_width(size: u64, level: u8, index: u64) -> Option<u16> {
    let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
    let before = index.checked_mul(TILE_WIDTH)?;
    let width = hashes.checked_sub(before)?.min(TILE_WIDTH);
    u16::try_from(width).ok().filter(|width| *width > 0)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Hash { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
            Self::Content { index, width } => {
                f.write_str("content/")?;
                (index, width)
            }
        };
        write_groups(f, index / GROUP)?;
        write!(f, "{:03}", index % GROUP)?;
        if width == FULL { Ok(()) } else { write!(f, ".p/{width}") }
    }
}

/// Writes all groups of digits but the last.
fn write_groups(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    if index == 0 {
        return Ok(());
    }
    write_groups(f, index / GROUP)?;
    write!(f, "x{:03}/", index % GROUP)
}

impl FromStr for TilePath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if text.len() > PATH_BYTES_MAX {
            return Err(BadPath);
        }
        let path = parse(text).ok_or(BadPath)?;
        // The parser above is lenient where this comparison is not: leading zeros, signs, groups.
        if path.to_string() == text { Ok(path) } else { Err(BadPath) }
    }
}

fn parse(text: &str) -> Option<TilePath> {
    if let Some(rest) = text.strip_prefix("content/") {
        let (index, width) = parse_place(rest)?;
        return Some(TilePath::Content { index, width });
    }
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = parse_place(rest)?;
    if kind == "entries" {
        return Some(TilePath::Entries { index, width });
    }
    let level = kind.parse().ok().filter(|level| *level <= LEVEL_MAX)?;
    Some(TilePath::Hash { level, index, width })
}

fn parse_place(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => {
            let width = width.parse().ok()?;
            (groups, (1..FULL).contains(&width).then_some(width)?)
        }
        None => (text, FULL),
    };
    let mut index = 0u64;
    for group in groups.split('/') {
        let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(GROUP)?.checked_add(digits)?;
    }
    Some((index, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = TilePath> {
        let index = (any::<u64>(), 0u32..64).prop_map(|(index, shift)| index >> shift);
        (0..3u8, 0..=LEVEL_MAX, index, 1..=FULL).prop_map(
            |(kind, level, index, width)| match kind {
                0 => TilePath::Hash { level, index, width },
                1 => TilePath::Entries { index, width },
                _ => TilePath::Content { index, width },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(path in path()) {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn a_changed_path_is_refused_or_another_path(
            path in path(),
            at: prop::sample::Index,
            with in "[-+0-9a-fx./p ]{0,2}",
        ) {
            let text = path.to_string();
            let at = at.index(text.len());
            let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
            if let Ok(other) = changed.parse::<TilePath>() {
                prop_assert_eq!(other.to_string(), changed);
            }
        }

        #[test]
        fn widths_of_a_level_add_up(size in 0u64..200_000, level in 0u8..4) {
            let widths = (0..).map_while(|index| tile_width(size, level, index)).map(u64::from);
            prop_assert_eq!(widths.sum::<u64>(), size >> (8 * level));
        }
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_that_the_format_says() {
        assert_eq!(tile_width(70_000, 0, 272), Some(256));
        assert_eq!(tile_width(70_000, 0, 273), Some(112));
        assert_eq!(tile_width(70_000, 0, 274), None);
        assert_eq!(tile_width(70_000, 1, 0), Some(256));
        assert_eq!(tile_width(70_000, 1, 1), Some(17));
        assert_eq!(tile_width(70_000, 2, 0), Some(1));
        assert_eq!(tile_width(70_000, 3, 0), None);
        assert_eq!(tile_width(u64::MAX, 7, 0), Some(255));
        assert_eq!(tile_width(u64::MAX, 255, u64::MAX), None);
    }
}
