//! What the fuzz targets share: the laws that every input must keep, and valid inputs to start from.
//!
//! The test suite of the main crate includes both files, so that they cannot rot.

pub mod laws;
pub mod seeds;
