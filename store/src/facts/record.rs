//! Records: what is known about one blob, as bytes.
//!
//! ```text
//! 0   check     16  BLAKE3 of the blob's SHA-256 and of all that follows here, cut
//! 16  blake3    32
//! 48  kind       1  the code of a kind, 0 where nobody looked
//! 49  length     1  of the next field, 0 where no platform is known
//! 50  platform   n  `os/architecture` or `os/architecture/variant`, as UTF-8
//!     sha512    64, or nothing where nobody asked
//!     sniffer    1  the version of the sniffer that said kind and platform, or nothing where nobody looked
//! ```
//!
//! What another version said of kind and platform is not believed, older or newer: it counts as if nobody
//! had looked. Digests are the same whoever computed them.
//!
//! What others keep has the same check before bytes that mean nothing here.
//!
//! Engines do not check what they read, so each record checks itself: key and value together, since
//! an engine may also hand out the right bytes for the wrong key.

use bonded_model::{Digest, Platform};

use crate::sniff::{self, ContentKind};

const CHECK_BYTES: usize = 16;

/// What is kept by one key is no longer than this. A verdict on a release of 500 artifacts has some 400 KB.
pub(super) const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is known about a blob beyond its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFacts {
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
    /// SHA-512 of its bytes, where somebody asked for it.
    pub sha512: Option<Digest>,
    /// What it is, where somebody looked.
    pub kind: Option<ContentKind>,
    /// What it runs on, where its bytes say so.
    pub platform: Option<Platform>,
}

impl BlobFacts {
    /// These facts, with what was known before and is not known here. The bytes are the same, so
    /// nothing that was known can have changed.
    pub(super) fn or_known(self, held: Option<Self>) -> Self {
        let Some(held) = held else { return self };
        let (kind, platform) = match self.kind {
            Some(_) => (self.kind, self.platform),
            None => (held.kind, held.platform),
        };
        Self { blake3: self.blake3, sha512: self.sha512.or(held.sha512), kind, platform }
    }
}

pub(super) fn encode(blob: &Digest, facts: &BlobFacts) -> Vec<u8> {
    let platform = facts.platform.as_ref().map(Platform::to_string).unwrap_or_default();
    // A platform too long for its length was not sniffed here; it is looked for again.
    let (length, platform) = match u8::try_from(platform.len()) {
        Ok(length) => (length, platform.as_bytes()),
        Err(_too_long) => (0, &[][..]),
    };
    let kind = facts.kind.map_or(0, ContentKind::code);
    let sha512 = facts.sha512.as_ref().map_or(&[][..], Digest::as_bytes);
    let sniffer: &[u8] = if kind == 0 { &[] } else { &[sniff::VERSION] };
    let body = [facts.blake3.as_bytes(), &[kind, length], platform, sha512, sniffer].concat();
    [&check(blob, &body)[..], &body].concat()
}

/// What follows the platform: a SHA-512 or none, and the version of a sniffer or none.
fn split_rest(rest: &[u8]) -> Option<(Option<Digest>, Option<u8>)> {
    match rest.split_first_chunk::<64>() {
        Some((sha512, rest)) => Some((Some(Digest::from_sha512(*sha512)), only_byte(rest)?)),
        None => Some((None, only_byte(rest)?)),
    }
}

fn only_byte(bytes: &[u8]) -> Option<Option<u8>> {
    match bytes {
        [] => Some(None),
        [byte] => Some(Some(*byte)),
        _ => None,
    }
}

fn parse_platform(bytes: &[u8]) -> Option<Platform> {
    std::str::from_utf8(bytes).ok()?.parse().ok() // text that is none never passed the check as ours
}

/// `None` if the record fails its check, or is none.
pub(super) fn decode(blob: &Digest, record: &[u8]) -> Option<BlobFacts> {
    let (found, body) = record.split_first_chunk::<CHECK_BYTES>()?;
    if *found != check(blob, body) {
        return None;
    }
    let (blake3, rest) = body.split_first_chunk::<32>()?;
    let ([kind, length], rest) = rest.split_first_chunk::<2>()?;
    let (platform, rest) = rest.split_at_checked(usize::from(*length))?;
    let (sha512, sniffer) = split_rest(rest)?;
    let blake3 = Digest::from_blake3(*blake3);
    if *kind == 0 && sniffer.is_some() {
        return None; // a sniffer that looked has said something
    }
    if sniffer != Some(sniff::VERSION) {
        return Some(BlobFacts { blake3, sha512, kind: None, platform: None });
    }
    let platform = match platform {
        [] => None,
        bytes => Some(parse_platform(bytes)?),
    };
    Some(BlobFacts { blake3, sha512, kind: ContentKind::from_code(*kind), platform })
}

/// What somebody keeps, with a check of key and bytes.
pub(super) fn encode_kept(key: &Digest, bytes: &[u8]) -> Vec<u8> {
    [&check(key, bytes)[..], bytes].concat()
}

/// `None` if the record fails its check, or is none.
pub(super) fn decode_kept(key: &Digest, record: &[u8]) -> Option<Vec<u8>> {
    let (found, bytes) = record.split_first_chunk::<CHECK_BYTES>()?;
    let is_ours = bytes.len() <= KEPT_BYTES_MAX && *found == check(key, bytes);
    is_ours.then(|| bytes.to_vec())
}

fn check(blob: &Digest, body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = blake3::Hasher::new();
    hash.update(blob.as_bytes()).update(body);
    let mut check = [0; CHECK_BYTES];
    hash.finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(facts: BlobFacts) {
        let blob = Digest::sha256_of(b"a");
        let record = encode(&blob, &facts);
        assert_eq!(decode(&blob, &record), Some(facts));
        assert_eq!(decode(&Digest::sha256_of(b"b"), &record), None);
        for length in 0..record.len() {
            assert_eq!(decode(&blob, &record[..length]), None, "cut to {length}");
        }
        for at in 0..record.len() {
            let mut flipped = record.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&blob, &flipped), None, "flipped at {at}");
        }
    }

    #[test]
    fn records_come_back_whole_or_not_at_all() {
        let bare = BlobFacts {
            blake3: Digest::from_blake3([7; 32]),
            sha512: None,
            kind: None,
            platform: None,
        };
        check_round_trip(bare.clone());
        check_round_trip(BlobFacts { kind: Some(ContentKind::Unknown), ..bare.clone() });
        for platform in ["linux/amd64", "linux/arm/v7", "windows/386"] {
            check_round_trip(BlobFacts {
                sha512: Some(Digest::sha512_of(b"a")),
                kind: Some(ContentKind::Elf),
                platform: Some(platform.parse().unwrap()),
                ..bare.clone()
            });
        }
    }

    #[test]
    fn what_others_keep_comes_back_whole_or_not_at_all() {
        let (key, other) = (Digest::sha256_of(b"a"), Digest::sha256_of(b"b"));
        for bytes in [b"".as_slice(), b"some bytes"] {
            let record = encode_kept(&key, bytes);
            assert_eq!(decode_kept(&key, &record).as_deref(), Some(bytes));
            assert_eq!((decode_kept(&other, &record), decode(&key, &record)), (None, None));
            for at in 0..record.len() {
                let mut flipped = record.clone();
                flipped[at] ^= 1;
                assert_eq!(decode_kept(&key, &flipped), None, "flipped at {at}");
                assert_eq!(decode_kept(&key, &record[..at]), None, "cut to {at}");
            }
        }
        let long = encode_kept(&key, &vec![0; KEPT_BYTES_MAX + 1]);
        assert_eq!(decode_kept(&key, &long), None);
    }

    #[test]
    fn what_another_sniffer_said_counts_as_not_looked_at() {
        let blob = Digest::sha256_of(b"a");
        for sha512 in [None, Some(Digest::sha512_of(b"a"))] {
            let facts = BlobFacts {
                blake3: Digest::from_blake3([7; 32]),
                sha512,
                kind: Some(ContentKind::Elf),
                platform: Some("linux/amd64".parse().unwrap()),
            };
            let record = encode(&blob, &facts);
            let (ours, body) = record[CHECK_BYTES..].split_last().unwrap();
            assert_eq!(*ours, sniff::VERSION);
            let decode_body =
                |body: &[u8]| decode(&blob, &[&check(&blob, body)[..], body].concat());
            let unseen = BlobFacts { kind: None, platform: None, ..facts };
            assert_eq!(decode_body(body), Some(unseen.clone()), "without a version");
            for other in [ours - 1, ours + 1] {
                let body = [body, &[other]].concat();
                assert_eq!(decode_body(&body), Some(unseen.clone()), "version {other}");
            }
            let unlikely = [&body[..32], &[0, 0], &[*ours]].concat();
            assert_eq!(decode_body(&unlikely), None, "a sniffer that said nothing");
        }
    }

    #[test]
    fn a_record_with_more_behind_it_is_none() {
        let blob = Digest::sha256_of(b"a");
        for body in [&[0; 34 + 63][..], &[0; 34 + 65], &[0; 33], &[0; 34 + 128]] {
            let record = [&check(&blob, body)[..], body].concat();
            assert_eq!(decode(&blob, &record), None, "{}", body.len());
        }
        let mut promised = [0; 34];
        promised[33] = 9;
        assert_eq!(decode(&blob, &[&check(&blob, &promised)[..], &promised].concat()), None);
    }

    #[test]
    fn what_is_known_stays_known() {
        let linux: Option<Platform> = Some("linux/amd64".parse().unwrap());
        let known = BlobFacts {
            blake3: Digest::from_blake3([7; 32]),
            sha512: Some(Digest::sha512_of(b"a")),
            kind: Some(ContentKind::Elf),
            platform: linux,
        };
        let bare = BlobFacts { sha512: None, kind: None, platform: None, ..known.clone() };
        assert_eq!(bare.clone().or_known(Some(known.clone())), known);
        assert_eq!(known.clone().or_known(Some(bare.clone())), known);
        assert_eq!(bare.clone().or_known(None), bare);
        let other = BlobFacts { kind: Some(ContentKind::Text), ..bare };
        let merged = other.or_known(Some(known));
        assert_eq!((merged.kind, merged.platform), (Some(ContentKind::Text), None));
    }
}
