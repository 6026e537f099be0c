//! The description of the query language is true of it.

use std::fs;

use whence::record::Timestamp;
use whence::search::parse;
use whence::search::query::{DEPTH_MAX, FIELD_NAMES, QUERY_BYTES_MAX, QueryError, TERMS_MAX};

fn description() -> String {
    fs::read_to_string("schema/QUERY.md").unwrap()
}

fn read(text: &str) -> Result<whence::search::Query, QueryError> {
    parse(text, "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap())
}

/// The cells of the rows of a section's table, without the head.
fn table(section: &str) -> Vec<Vec<String>> {
    let text = description();
    let section = text.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let text = description();
    let fenced = text.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.strip_prefix(&format!("{language}\n")))
        .map(str::to_owned)
        .collect()
}

fn code(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

#[test]
fn every_field_is_described_and_takes_the_values_that_are_said() {
    let fields = table("3. Fields");
    let names: Vec<_> = fields.iter().map(|row| code(&row[0])).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let mut known: Vec<_> = FIELD_NAMES.iter().map(|name| (*name).to_owned()).collect();
    known.sort_unstable();
    assert_eq!(sorted, known);

    for (name, row) in names.iter().zip(&fields) {
        let one = name.replace("KEY", "env").replace("PATH", "arguments.to");
        let takes = |value: &str| read(&format!("{one}:{value}"));
        match row[1].as_str() {
            "name" => {
                assert!(takes("*").is_ok() && takes("Ab*").is_ok(), "{name}");
                assert!(takes(">1").is_err(), "{name}");
                let folds = takes("API*") == takes("api*");
                assert_eq!(folds, row[2] == "any", "{name}");
            }
            "number" => assert!(takes("1").is_ok() && takes("1..2").is_ok() && takes("x").is_err()),
            "time" => {
                assert!(takes("2026-11-24").is_ok() && takes("5").is_err(), "{name}");
                assert_eq!(takes("2h").is_ok(), name == "since" || name == "until", "{name}");
            }
            "member" => {
                assert!(takes("Ab").is_ok() && takes(">1").is_ok() && takes(">x").is_err());
            }
            other => panic!("{other} is no kind of value"),
        }
    }
}

#[test]
fn every_example_and_every_form_can_be_asked() {
    let examples = blocks("query").concat();
    let forms: Vec<_> = table("1. Terms").iter().map(|row| code(&row[0])).collect();
    let asked: Vec<_> = examples.lines().chain(forms.iter().map(String::as_str)).collect();
    assert!(asked.len() > 25);
    for text in asked {
        let query = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read(&query.to_string()), Ok(query), "{text}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    for row in table("5. Limits") {
        let limit = match code(&row[2]).as_str() {
            "QUERY_BYTES_MAX" => QUERY_BYTES_MAX,
            "TERMS_MAX" => TERMS_MAX,
            "DEPTH_MAX" => DEPTH_MAX,
            other => panic!("{other} is no limit"),
        };
        assert_eq!(row[1], limit.to_string(), "{}", row[0]);
    }
}

#[test]
fn the_error_reads_as_described() {
    let shown = blocks("text").pop().unwrap();
    let asked = shown.lines().next().unwrap();
    let error = read(asked).unwrap_err();
    assert_eq!(format!("{}\n{error}\n", error.caret(asked)), shown);
}
