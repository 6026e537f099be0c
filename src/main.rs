//! The `whence` command.

fn main() {}
