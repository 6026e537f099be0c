//! The query language: what can be asked, and how it is written.
//!
//! One language for the API, the command line and the console. It is parsed into a [`Query`], which
//! says exactly what is meant, and whoever evaluates it sees nothing of the text.

mod ast;

pub use ast::{Field, Match, Number, NumberField, Query, Span, Words};
