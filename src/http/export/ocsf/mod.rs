//! Rows as events of the Open Cybersecurity Schema Framework, version 1.9.0-dev (`schema/OCSF.md`).
//!
//! [`event`] has the form of an event, [`mapping`] says which record becomes what. Whatever has no
//! attribute of its own stands under `unmapped`; the sealed entry is `raw_data`, word for word, so that
//! an event says no less than its record, and can be proven.

mod event;
mod mapping;

pub(super) use mapping::row;
