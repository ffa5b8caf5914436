//! What the tests of this crate sign with.
