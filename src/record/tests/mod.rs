//! The laws of records, tested on records of every kind that are made from the types' own schemas.

mod hostile;
mod laws;
mod limits;
mod records;
mod rules;
mod signed;
