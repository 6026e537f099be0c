//! The limits of a record, each with its place in SPEC 2. Lengths are UTF-8 bytes.

/// The longest sealed entry (SPEC 2.1): what a tlog-tiles entry bundle can hold.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// The longest record id (SPEC 2.3).
pub const RECORD_ID_BYTES_MAX: usize = 128;
/// The longest ledger name (SPEC 2.1).
pub const LEDGER_NAME_BYTES_MAX: usize = 63;
/// The longest id that another system gave out: a user, session, agent or delegation (SPEC 2.4).
pub const EXTERNAL_ID_BYTES_MAX: usize = 256;
/// The longest short name: a tool, a model, a version (SPEC 2.3).
pub const NAME_BYTES_MAX: usize = 128;
/// The longest line of plain text in `data` (SPEC 2.3).
pub const LINE_BYTES_MAX: usize = 500;
/// The longest URL (SPEC 2.6).
pub const URL_BYTES_MAX: usize = 2_048;
/// The most causes of one record (SPEC 2.5).
pub const CAUSES_MAX: usize = 256;
/// The most elements of a list in `data` (SPEC 2.3).
pub const LIST_MAX: usize = 256;
/// The most labels (SPEC 2.3).
pub const LABELS_MAX: usize = 50;
/// The longest label key (SPEC 2.3).
pub const LABEL_KEY_BYTES_MAX: usize = 40;
/// The longest label value (SPEC 2.3).
pub const LABEL_VALUE_BYTES_MAX: usize = 500;
/// The most content parts (SPEC 2.3).
pub const CONTENT_PARTS_MAX: usize = 32;
/// The longest name of a content part (SPEC 2.3).
pub const CONTENT_NAME_BYTES_MAX: usize = 40;
/// The longest content part in its canonical form (SPEC 2.3).
pub const CONTENT_PART_BYTES_MAX: usize = 1 << 20;
/// The most errors that one refusal lists (SPEC 2.2).
pub const ERRORS_MAX: usize = 32;
/// The first year that a time may lie in (SPEC 2.3).
pub const YEAR_MIN: i32 = 1970;
/// The last year that a time may lie in (SPEC 2.3).
pub const YEAR_MAX: i32 = 9999;
