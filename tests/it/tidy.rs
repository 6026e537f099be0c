//! Checks the shape of the source itself: who imports whom, and how long files are.
//!
//! The rules are data: the table of rooms in `src/lib.rs`. To change the architecture, change the
//! table, in a commit that says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code that one file may have, its unit tests not counted.
const FILE_LINES_MAX: usize = 500;

struct Room {
    imports: BTreeSet<String>,
    owns: BTreeSet<String>,
}

#[test]
fn every_room_imports_only_what_its_row_allows() {
    let rooms = rooms();
    let mut faults = Vec::new();

    for (file, room) in source_files(&rooms) {
        let Some(Room { imports, owns }) = rooms.get(&room) else {
            faults.push(format!("{}: `{room}` has no row in src/lib.rs", file.display()));
            continue;
        };
        for (number, line) in code_lines(&file) {
            for name in paths_after(&line, "crate::") {
                if name != room && rooms.contains_key(&name) && !imports.contains(&name) {
                    faults.push(format!("{}:{number}: {room} imports {name}", file.display()));
                }
            }
            for other in rooms.iter().filter(|(name, _)| **name != room) {
                for owned in &other.1.owns {
                    if !owns.contains(owned) && names_crate(&line, owned) {
                        faults.push(format!(
                            "{}:{number}: {owned} belongs to {}",
                            file.display(),
                            other.0
                        ));
                    }
                }
            }
            if line.contains("super::super") {
                faults.push(format!("{}:{number}: write `crate::`", file.display()));
            }
        }
    }

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn imports_go_one_way() {
    let rooms = rooms();
    let mut settled = BTreeSet::new();
    while settled.len() < rooms.len() {
        let next: Vec<_> = rooms
            .iter()
            .filter(|(name, room)| !settled.contains(*name) && room.imports.is_subset(&settled))
            .map(|(name, _)| name.clone())
            .collect();
        assert!(!next.is_empty(), "the table has a cycle; these rooms are free of it: {settled:?}");
        settled.extend(next);
    }
}

#[test]
fn files_stay_short() {
    for (file, _) in source_files(&rooms()) {
        let lines = code_lines(&file).count();
        assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines of code", file.display());
    }
}

/// Reads the table in `src/lib.rs`.
fn rooms() -> BTreeMap<String, Room> {
    let words = |cell: &str| {
        let words = cell.split_whitespace().filter(|word| *word != "-");
        words.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let text = fs::read_to_string("src/lib.rs").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! |"));
    let rooms: BTreeMap<_, _> = rows
        .skip(2)
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[0].to_owned(), Room { imports: words(cells[2]), owns: words(cells[3]) })
        })
        .collect();
    assert!(rooms.len() > 5, "the table in src/lib.rs was not found");
    rooms
}

/// Every source file in a room, with the room's name.
fn source_files(rooms: &BTreeMap<String, Room>) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut dirs = vec![PathBuf::from("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix("src").unwrap();
                let room = inside.iter().next().unwrap().to_str().unwrap();
                if inside.components().count() > 1 {
                    files.push((path.clone(), room.to_owned()));
                } else {
                    assert!(["lib.rs", "main.rs"].contains(&room), "{room} is not in a room");
                }
            }
        }
    }
    assert!(files.len() >= rooms.len());
    files
}

/// The lines of a file that are code: no comments, and nothing from the unit tests on.
fn code_lines(file: &Path) -> impl Iterator<Item = (usize, String)> + use<> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned();
    let lines: Vec<_> = code.lines().map(str::trim).map(str::to_owned).collect();
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
}

/// Whether a line has a path that begins with a crate; a module of another crate may be named alike.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(&format!("{name}::")).any(|(at, _)| {
        !line[..at]
            .ends_with(|before: char| before == ':' || before == '_' || before.is_alphanumeric())
            || line[..at].ends_with(" ::")
    })
}

/// The first names after `prefix`, in `crate::a::b` and in `crate::{a::b, c}` alike.
fn paths_after(line: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split(prefix).skip(1) {
        let list =
            rest.strip_prefix('{').map_or_else(|| vec![rest], |all| all.split(',').collect());
        for path in list {
            let path = path.trim();
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
            names.push(path[..end.unwrap_or(path.len())].to_owned());
        }
    }
    names
}
