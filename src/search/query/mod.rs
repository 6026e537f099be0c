//! The query language: what can be asked, and how it is written.
//!
//! One language for the API, the command line and the console (`schema/QUERY.md`). It is parsed into a
//! [`Query`], which says exactly what is meant, and whoever evaluates it sees nothing of the text. A
//! query is written back as one text that means the same, whatever moment its relative times were said
//! at. Start with [`parse`].

mod ast;
mod error;
mod fields;
mod lexer;
mod parser;
mod values;
mod write;

pub use ast::{Field, Match, Number, NumberField, Query, Span, Words};
pub use error::QueryError;
pub use fields::FIELD_NAMES;
pub use parser::{DEPTH_MAX, QUERY_BYTES_MAX, TERMS_MAX, parse};
pub use values::PREFIX_CHARACTERS_MIN;

#[cfg(test)]
mod tests;
