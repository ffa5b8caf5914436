//! Work on several threads whose failures do not depend on who was fastest.
//!
//! Of several things that are wrong, the same one is told each time: people compare what they see, and a
//! test that fails once in a while says nothing. It knows nothing of what the work is.

use rayon::prelude::*;

use crate::error::StoreError;

/// All results, in the order of what they were made from; or, of several failures, the first in that
/// order. All of the work is done, whether some of it fails or not.
pub(crate) fn in_order<T: Send>(
    results: impl IndexedParallelIterator<Item = Result<T, StoreError>>,
) -> Result<Vec<T>, StoreError> {
    results.collect::<Vec<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bonded_model::Digest;

    #[test]
    fn of_two_failures_the_first_in_order_counts() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let second_failed = AtomicBool::new(false);
        let work = |bytes: &&[u8]| -> Result<(), StoreError> {
            match *bytes {
                b"first" => {
                    while !second_failed.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                }
                _ => second_failed.store(true, Ordering::Release),
            }
            let (digest, path) = (Digest::sha256_of(bytes), PathBuf::new());
            Err(StoreError::MissingBlob { digest, path })
        };
        let both = [&b"first"[..], b"second"];
        let error = pool.install(|| in_order(both.par_iter().map(work))).unwrap_err();
        let StoreError::MissingBlob { digest, .. } = error else { panic!("{error:?}") };
        assert_eq!(digest, Digest::sha256_of(b"first"));
    }

    #[test]
    fn results_stand_in_the_order_of_what_they_were_made_from() {
        assert_eq!(
            in_order((0..100).into_par_iter().map(Ok)).unwrap(),
            (0..100).collect::<Vec<_>>()
        );
    }
}
