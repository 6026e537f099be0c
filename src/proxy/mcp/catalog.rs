//! `tools/list`: the pages of a list, put together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::message::{MESSAGE_BYTES_MAX, member, value};

/// Lists of which a page is still to come.
const OPEN_MAX: usize = 256;
/// Bytes of one list. The log takes no more in one part of a record (SPEC 2.3).
const LIST_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Sessions of the transport whose server has said that its tools changed.
const CHANGED_MAX: usize = 1_024;

/// Lists that are being fetched. The first page stands under no cursor.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    /// The pages that there are, by the cursor of the one that is missing.
    open: BTreeMap<(Option<String>, String), Vec<String>>,
    /// Where it was said that the list has changed, and nobody has looked since.
    changed: BTreeSet<Option<String>>,
}

impl Catalogs {
    /// Takes a page, asked for with this cursor. Gives the tools of the whole list, as they are written, if
    /// it was the last one; an error if the list is too long, or its beginning is not known.
    pub(super) fn page(
        &mut self,
        transport: Option<&str>,
        (cursor, result): (Option<&str>, Option<&RawValue>),
    ) -> Result<Option<String>, ()> {
        let transport = transport.map(str::to_owned);
        self.changed.remove(&transport);
        let mut pages = match cursor {
            None => Vec::new(),
            Some(cursor) => self.open.remove(&(transport.clone(), cursor.to_owned())).ok_or(())?,
        };
        let result = result.ok_or(())?;
        let tools = member(Some(result), "tools").map_or("[]", RawValue::get).trim();
        let tools = tools.strip_prefix('[').and_then(|tools| tools.strip_suffix(']')).ok_or(())?;
        if !tools.trim().is_empty() {
            pages.push(tools.to_owned());
        }
        if pages.iter().map(String::len).sum::<usize>() > LIST_BYTES_MAX {
            return Err(());
        }
        let next = value(member(Some(result), "nextCursor"));
        match next.as_str() {
            Some(next) => {
                if self.open.len() >= OPEN_MAX {
                    self.open.pop_first();
                }
                self.open.insert((transport, next.to_owned()), pages);
                Ok(None)
            }
            None => Ok(Some(format!("[{}]", pages.join(",")))),
        }
    }

    /// The list has changed. Says whether that is news.
    pub(super) fn change(&mut self, transport: Option<&str>) -> bool {
        if self.changed.len() >= CHANGED_MAX {
            self.changed.pop_first();
        }
        self.changed.insert(transport.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        catalogs: &mut Catalogs,
        cursor: Option<&str>,
        result: &str,
    ) -> Result<Option<String>, ()> {
        let result: Box<RawValue> = serde_json::from_str(result).unwrap();
        catalogs.page(None, (cursor, Some(&result)))
    }

    #[test]
    fn the_pages_of_a_list_are_one_catalog() {
        let mut catalogs = Catalogs::default();
        let one = page(&mut catalogs, None, r#"{"tools":[{"name":"a"}],"nextCursor":"2"}"#);
        assert_eq!(one, Ok(None));
        let two = page(&mut catalogs, Some("2"), r#"{"tools":[],"nextCursor":"3"}"#);
        assert_eq!(two, Ok(None));
        let three = page(&mut catalogs, Some("3"), r#"{"tools":[ {"name":"b"} ]}"#);
        assert_eq!(three.unwrap().unwrap(), r#"[{"name":"a"}, {"name":"b"} ]"#);
        assert_eq!(page(&mut catalogs, Some("3"), r#"{"tools":[]}"#), Err(()), "no beginning");
        assert_eq!(page(&mut catalogs, None, r#"{"tools":[]}"#), Ok(Some("[]".to_owned())));
        assert_eq!(page(&mut catalogs, None, r#"{"tools":5}"#), Err(()));
    }

    #[test]
    fn that_a_list_has_changed_is_told_once_until_somebody_looks() {
        let mut catalogs = Catalogs::default();
        assert!(catalogs.change(None));
        assert!(!catalogs.change(None));
        assert!(catalogs.change(Some("other")));
        drop(page(&mut catalogs, None, r#"{"tools":[]}"#));
        assert!(catalogs.change(None));
    }
}
