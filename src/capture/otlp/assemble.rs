//! From items that belong together to records.

use std::collections::BTreeSet;

use super::item::{Item, Sender};
use super::known::Known;
use crate::record::Draft;

/// The sessions that items belong to. [`Known`] must have them before [`assemble`] is asked.
pub fn sessions(_items: &[Item], _sender: &Sender) -> BTreeSet<String> {
    BTreeSet::new()
}

/// Makes records of items that belong together, each with an id that depends on the items alone, in
/// an order in which causes come before effects. Records that `known` has already are left out, so
/// items that are given again give nothing; `known` has the new ones afterwards.
pub fn assemble(_items: &[Item], _sender: &Sender, _known: &mut Known) -> Vec<Draft> {
    Vec::new()
}

/// Whether nothing among the items says what it belongs to: calls over the network outside any
/// conversation. They wait for a trace that [`covers`] them.
pub fn is_loose(_items: &[Item]) -> bool {
    false
}

/// Whether the loose items of one trace fell, in the same program, into a tool call of another.
pub fn covers(_trace: &[Item], _loose: &[Item]) -> bool {
    false
}
