//! The command line of bonded.
fn main() {}
