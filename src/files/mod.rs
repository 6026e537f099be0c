//! Small files that are replaced as a whole, durably.
//!
//! A reader finds the old file or the new one at any moment, also after a crash, and never a half of one.
//!
//! What this room does not do: it knows nothing of what is in the files. The database and its head file
//! are the store's.

mod replace;

pub use replace::{read_if_there, replace, sync_folder, sync_parent};
