//! Chain links, tree roots, inclusion and consistency: digests in, digests out.
//!
//! The tree is RFC 6962's, cut into C2SP tiles of 256 hashes ([`Tile`], [`TilePath`]). [`Tree`] keeps
//! the right edge of a growing tree and hands out each tile as it fills; [`inclusion`],
//! [`consistency`] and [`root_at`] read tiles back through a [`TileReader`] and work for every size
//! the tree ever had; [`verify_inclusion`] and [`verify_consistency`] need nothing but the proof.
//! [`Chain`] follows the links between entries, and [`bundle`] reads and writes runs of entries.
//!
//! What this room does not do: it reads no file, knows no record and no key, and trusts nobody. A
//! proof that verifies says that two digests belong together; that a root is the log's own is for
//! `seal` to say. No proof rests on the chain alone.

pub mod bundle;
mod chain;
mod check;
mod path;
mod reader;
mod tile;
mod tree;

pub use bundle::BundleError;
pub use chain::{BrokenLink, Chain};
pub use check::{ProofError, verify_consistency, verify_inclusion};
pub use path::{BadPath, TilePath, tile_width};
pub use reader::{ReadError, TileReader, consistency, inclusion, root_at};
pub use tile::{BadTile, TILE_HEIGHT, TILE_WIDTH, Tile, TileFull};
pub use tree::{Completed, Tree};
