//! A map of bounded size, which forgets what was used least recently.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values by name, at most `MAX` of them. What is forgotten depends on the order of use alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recent<V, const MAX: usize> {
    by_name: BTreeMap<String, (u64, V)>,
    by_use: BTreeMap<u64, String>,
    uses: u64,
}

impl<V, const MAX: usize> Default for Recent<V, MAX> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }
}

impl<V, const MAX: usize> Recent<V, MAX> {
    /// The value of a name, if it is still known. This is no use of it.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.by_name.get(name).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.by_name.get_mut(name).map(|(_, value)| value)
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.by_name.iter().map(|(name, (_, value))| (name.as_str(), value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl<V: Default, const MAX: usize> Recent<V, MAX> {
    /// The value of a name, made now if it is not known. This is a use of it.
    pub(super) fn entry(&mut self, name: &str) -> &mut V {
        let now = self.uses;
        self.uses += 1;
        if let Some((used, _)) = self.by_name.get_mut(name) {
            self.by_use.remove(used);
            *used = now;
        } else if self.by_name.len() >= MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_name.remove(&oldest);
        }
        self.by_use.insert(now, name.to_owned());
        let (_, value) = self.by_name.entry(name.to_owned()).or_insert_with(|| (now, V::default()));
        value
    }
}

/// It is written as a list of names and values, the least recently used first.
impl<V: Serialize, const MAX: usize> Serialize for Recent<V, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.by_use.values();
        serializer.collect_seq(values.filter_map(|name| Some((name, self.get(name)?))))
    }
}

impl<'de, V: Deserialize<'de> + Default, const MAX: usize> Deserialize<'de> for Recent<V, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<(String, V)>::deserialize(deserializer)?;
        let mut recent = Self::default();
        for (name, value) in list {
            *recent.entry(&name) = value;
        }
        Ok(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_forgotten_also_after_it_was_written_and_read() {
        let mut recent = Recent::<u64, 3>::default();
        for name in ["a", "b", "c", "a"] {
            *recent.entry(name) += 1;
        }
        let mut text = Vec::new();
        serde_json::to_writer(&mut text, &recent).unwrap();
        let mut read: Recent<u64, 3> = serde_json::from_slice(&text).unwrap();
        for recent in [&mut recent, &mut read] {
            *recent.entry("d") += 1;
            assert_eq!(recent.iter().collect::<Vec<_>>(), [("a", &2), ("c", &1), ("d", &1)]);
        }
    }
}
