//! House rules as code.
fn main() {}
