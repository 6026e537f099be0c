//! The walk over a record's members that finds everything beyond its limits.

use super::fault::{At, Code, Faults};
use crate::canon::json::INTEGER_MAX;

/// Something in a record that has limits beyond its type.
pub(super) trait Check {
    /// Whether this has no value, so that it is left out of the written form.
    fn is_absent(&self) -> bool {
        false
    }

    /// Notes every limit that this breaks.
    fn check(&self, _at: At<'_>, _faults: &mut Faults) {}
}

impl Check for bool {}

impl Check for u16 {}

impl Check for u64 {
    fn check(&self, at: At<'_>, faults: &mut Faults) {
        if *self > INTEGER_MAX {
            faults.add(at, Code::FieldInvalid, format!("give an integer up to {INTEGER_MAX}"));
        }
    }
}

impl<T: Check> Check for &T {
    fn is_absent(&self) -> bool {
        (*self).is_absent()
    }

    fn check(&self, at: At<'_>, faults: &mut Faults) {
        (*self).check(at, faults);
    }
}

impl<T: Check> Check for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn check(&self, at: At<'_>, faults: &mut Faults) {
        let Some(value) = self else { return };
        if value.is_absent() {
            // `{}` and nothing would be two forms of one record.
            faults.add(at, Code::FieldInvalid, "an empty object says nothing; leave it out");
        }
        value.check(at, faults);
    }
}
