//! What is kept for the user between runs, outside of any store: where that is, and the key that marks kept
//! verdicts. Trusted roots that were fetched are the matter of `trust::kept`.
//!
//! ```text
//! <state>/verdicts.key   32 random bytes, mode 0600
//! ```
//!
//! Whoever can read the key can make up verdicts that this user's program believes, and whoever can write a
//! store cannot, as long as the key is not in it. A file that others can read, or that is no key, is replaced:
//! what was kept before counts for nothing then, and is reached again. Nothing fails for want of a key.

use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bonded_store::disk;
use bonded_verify::CacheKey;

use crate::config::{self, Config};

const KEY_FILE: &str = "verdicts.key";

const KEY_BYTES: usize = 32;

/// The key, which is made at its first use; `None` where there is no place for one.
pub(crate) fn cache_key(config: &Config) -> Option<CacheKey> {
    config.store().ok()?; // without a store nothing is kept
    let state = place(config)?;
    read_key(state).or_else(|| make_key(state)).map(CacheKey::new)
}

/// The directory of what is kept for the user, if there is one. Who names a place inside the store has none:
/// others may read and write there.
pub(crate) fn place(config: &Config) -> Option<&Path> {
    let state = config.state.as_deref()?;
    let Ok(store) = config.store() else { return Some(state) };
    let is_inside = config::absolute(state).ok()?.starts_with(config::absolute(store).ok()?); // no place
    (!is_inside).then_some(state)
}

fn read_key(state: &Path) -> Option<[u8; KEY_BYTES]> {
    let limit = u64::try_from(KEY_BYTES).ok()?; // it has no such limit
    let bytes = disk::read_private_file(&state.join(KEY_FILE), limit).ok()?; // a new one is made
    bytes.try_into().ok() // likewise
}

fn make_key(state: &Path) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).ok()?; // without randomness there is no key
    disk::create_private_dir_all(state).ok()?; // nor without a place
    disk::replace_private_file(&state.join(KEY_FILE), &key).ok()?; // likewise
    Some(key)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at files and change them by hand")]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_is_nobody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");
        let file = state.join(KEY_FILE);
        assert_eq!(read_key(&state), None);
        let key = make_key(&state).unwrap();
        assert_ne!(key, [0; KEY_BYTES]);
        assert_eq!((read_key(&state), mode(&file)), (Some(key), 0o600));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
        for others in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&file, fs::Permissions::from_mode(others)).unwrap();
            assert_eq!(read_key(&state), None, "{others:o}");
        }
        let new = make_key(&state).unwrap();
        assert_ne!(new, key);
        assert_eq!((read_key(&state), mode(&file)), (Some(new), 0o600));
    }

    #[test]
    fn what_is_no_key_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(KEY_FILE);
        for bytes in [b"".as_slice(), &[7; 31], &[7; 33]] {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read_key(directory.path()), None);
            let key = make_key(directory.path());
            assert_eq!(read_key(directory.path()), key);
            assert!(key.is_some());
        }
    }

    #[test]
    fn without_a_place_there_is_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!((read_key(&file), make_key(&file)), (None, None));
        fs::create_dir(directory.path().join(KEY_FILE)).unwrap();
        assert_eq!((read_key(directory.path()), make_key(directory.path())), (None, None));
    }
}
