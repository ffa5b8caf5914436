//! How a run tells what it is doing. Calls come from several places at once and must not block.

/// Hears how far a run has come, over all destinations together.
pub trait Progress: Sync {
    /// There are this many steps and bytes to be written and read back.
    fn planned(&self, steps: usize, bytes: u64);

    /// Bytes were written to a destination or read back from it.
    fn advanced(&self, bytes: u64);
}

/// Silence.
impl Progress for () {
    fn planned(&self, _steps: usize, _bytes: u64) {}

    fn advanced(&self, _bytes: u64) {}
}
