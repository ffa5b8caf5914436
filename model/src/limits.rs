//! Every limit that holds before a parser runs, each with its reason.
//!
//! Sizes are bytes unless the name says otherwise. A limit is a promise to the reader of a hostile
//! file: work and memory stay bounded by these numbers, whatever the file says about itself.

/// A JSON document kept as evidence (bundle, statement, SBOM). The largest public SBOM seen in the
/// field has 38 MiB; anything above this is refused by its length, before it is read.
pub const EVIDENCE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An OCI manifest or index. Registries accept 4 MiB (distribution-spec, "Pushing Manifests").
pub const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A published list of releases, markers or evidence: 64 MiB are about 200,000 releases.
pub const CATALOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A page of a store's catalog. Real ones have 2 to 20 KiB; a page full of the longest entries has 2 MiB.
pub const CATALOG_PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A policy file. Hand-written text; the largest sensible one has a few kilobytes.
pub const POLICY_BYTES_MAX: u64 = 1024 * 1024;

/// A trusted root. The public-good root has 7 KiB.
pub const TRUST_ROOT_BYTES_MAX: u64 = 1024 * 1024;

/// A checksum list such as `SHA256SUMS`: 100,000 lines of 128 bytes and room to spare.
pub const CHECKSUMS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Nesting of JSON arrays and objects. Real documents stay below 20; parsers recurse.
pub const JSON_DEPTH_MAX: usize = 64;

/// Subjects in one in-toto statement. A Kubernetes release names 461; sigstore-go allows 1,024.
pub const SUBJECT_COUNT_MAX: usize = 1024;

/// Digests in one digest set. No producer writes more than 6.
pub const DIGEST_SET_COUNT_MAX: usize = 32;

/// Signatures in one DSSE envelope. Producers write one; several mean several signers.
pub const SIGNATURE_COUNT_MAX: usize = 16;

/// A classic in-toto layout or link. One over the 80,000 files of a kernel's source has 12 MiB.
pub const METABLOCK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file beside a detached signature, or that itself. The most certificates in base64 of PEM have 230 KiB, and an
/// entry with the largest body, proof and checkpoint 100 KiB.
pub const DETACHED_BYTES_MAX: u64 = 512 * 1024;

/// Statements in one JSON-lines attestation file.
pub const LINE_COUNT_MAX: usize = 1024;

/// Transparency-log entries in one bundle; more than this only costs time.
pub const LOG_ENTRY_COUNT_MAX: usize = 16;

/// Hashes in one inclusion proof: a log with 2^63 entries needs 63.
pub const PROOF_HASH_COUNT_MAX: usize = 64;

/// Certificates in the chain of one bundle. Real chains have at most 3.
pub const CERTIFICATE_COUNT_MAX: usize = 8;

/// RFC 3161 timestamps in one bundle; producers write one.
pub const SIGNED_TIMESTAMP_COUNT_MAX: usize = 16;

/// DER in a bundle: a certificate or an RFC 3161 timestamp. Real ones have 1 to 6 KiB. Parsers sort the
/// sets in it, in quadratic time, before any signature is checked.
pub const DER_BYTES_MAX: usize = 16 * 1024;

/// The body of a transparency-log entry. Real ones have 1 to 5 KiB; this one holds the largest
/// certificate twice in base64.
pub const LOG_BODY_BYTES_MAX: usize = 32 * 1024;

/// The promise of a log: one signature, of 512 bytes with the largest key in use.
pub const PROMISE_BYTES_MAX: usize = 1024;

/// The checkpoint of a log: four lines and signatures, each of which costs a verification with a public
/// key. Real ones have below 1 KiB.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;

/// Lines of such a checkpoint: a log with two dozen witnesses.
pub const CHECKPOINT_LINE_COUNT_MAX: usize = 32;

/// Documents of evidence attached to one release: 2,000 artifacts with 8 documents each.
pub const DOCUMENT_COUNT_MAX: usize = 16_000;

/// Documents of evidence of one release in all. A verdict holds them in memory at once; a Kubernetes
/// release with an SBOM for each of its files stays below a quarter of this.
pub const EVIDENCE_TOTAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A value of a hint among a manifest's annotations, which is copied from a document. Predicate types
/// in use have some 50 bytes; a longer one is left out, and the document says it anyway.
pub const HINT_BYTES_MAX: usize = 255;

/// Findings of one code about one artifact in one document that a verdict tells one by one; the last
/// of them says how many more there are. People read a handful; hostile documents make millions.
pub const LIKE_FINDING_COUNT_MAX: usize = 16;

/// Artifacts in one release. Kubernetes has about 460 files; the release index must stay in 4 MiB.
pub const ARTIFACT_COUNT_MAX: usize = 8_000;

/// A path inside a release, whole and per component (the common limit of file systems).
pub const PATH_BYTES_MAX: usize = 1024;
/// One component of a path inside a release.
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;

/// A project name or a version: OCI tags end at 128.
pub const NAME_BYTES_MAX: usize = 128;

/// The name of a repository, host included: registries end at 255 (distribution-spec, "Pulling
/// manifests").
pub const REPOSITORY_BYTES_MAX: usize = 255;

/// A tag (distribution-spec, "Pulling manifests").
pub const TAG_BYTES_MAX: usize = 128;

/// A media type (RFC 6838, section 4.2: 127 characters on each side of the slash).
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;

/// Blobs that one image names, counted as often as it names them: an index of 64 platforms with 128
/// layers each names some 8,000; a hostile one nests indexes of 20,000 entries.
pub const IMAGE_BLOB_COUNT_MAX: usize = 100_000;

/// What one import takes in: blobs, and what lists of referrers name once more. A Kubernetes release with
/// four documents for each of its 460 files has some 5,000 blobs and 4,000 such names, so this is a backup
/// of a hundred of them. Each costs some 700 bytes of memory while the import runs.
pub const LAYOUT_BLOB_COUNT_MAX: usize = 1_000_000;

/// The list of a layout: 250,000 entries of 500 bytes. It is in memory as a whole, as text and then as
/// entries, some 400 MiB in all.
pub const LAYOUT_INDEX_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Entries in that list: a hundred releases with 2,300 each. Every one is read when the layout is, and a
/// commit names them all.
pub const LAYOUT_ENTRY_COUNT_MAX: usize = 250_000;

/// Entries in that list and in the lists under its fallback tags, where an export names every referrer
/// once more.
pub const LAYOUT_REFERRER_COUNT_MAX: usize = 2 * LAYOUT_ENTRY_COUNT_MAX;

/// Digests that the statements of one import name, and places at which it lists what they are about.
pub const NAMED_DIGEST_COUNT_MAX: usize = 2_000_000;

/// Indexes within indexes. A release of multi-platform images has three levels.
pub const MANIFEST_DEPTH_MAX: usize = 8;

/// A file of JSON with a field or two, such as `oci-layout`.
pub const SMALL_JSON_BYTES_MAX: u64 = 4096;

/// Headers in an archive: an entry for each blob of the largest import, or for each of half as many with
/// an extension header. Names are kept in memory while an archive is open, with some 200 bytes each.
pub const ARCHIVE_HEADER_COUNT_MAX: usize = LAYOUT_BLOB_COUNT_MAX + 1024;

/// An extension header of an archive holds names and a few numbers; tar programs write below 2 KiB.
pub const ARCHIVE_EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// Links in an archive that lead from one to the next. Docker writes one.
pub const ARCHIVE_LINK_COUNT_MAX: usize = 8;

/// Depth of a directory tree on the way in; deeper means a loop or a mistake.
pub const DIRECTORY_DEPTH_MAX: usize = 64;
