//! A store with a verified release in it, for the tests of the crates that publish.
//!
//! Included with `#[path]`, `image` with it; needs aws-lc-rs, base64, the model, store and verify crates, serde_json
//! and tempfile. The signing key comes from a fixed seed, so that digests are the same on each run
//! but for the time that is in none of them.

#![allow(clippy::disallowed_methods, reason = "tests write their input files directly")]
#![allow(dead_code, reason = "each test that includes this file uses a part of it")]

#[path = "image.rs"]
pub(crate) mod image;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::dsse::{Envelope, Signature};
use bonded_model::evidence::Subject;
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::{self, Statement};
use bonded_model::{
    Artifact, Digest, DocumentKind, MediaType, Release, ReleaseName, bundle, media_type,
};
use bonded_store::catalog::Key;
use bonded_store::ingest::{IngestOptions, IngestRequest, ingest};
use bonded_store::{AttachRequest, Holder, NewDocument, Snapshot, Store, attach};
use bonded_verify::{Policy, TrustRoot, Verdict, Verified, Verifier, verify_release};
use serde_json::json;
use tempfile::TempDir;

use image::Image;

/// The release that [`World::new`] holds.
pub(crate) const RELEASE: &str = "demo@v1.2.3";

/// The time of all verdicts here.
pub(crate) const NOW: &str = "2026-01-31T12:00:00Z";

/// The size of the large file.
pub(crate) const LARGE_BYTES: usize = 3 * 1024 * 1024 + 17;

const BUILDER: &str = "https://builder.example/workshop";
const SEED: [u8; 32] = [7; 32];

/// Files by path, as a release is given to [`World::ingest`].
pub(crate) type Files<'a> = &'a [(&'a str, Vec<u8>)];

/// A store in a temporary directory; dropping it removes everything.
pub(crate) struct World {
    /// The store.
    pub(crate) store: Store,
    /// Holds the store in `store` and the ingested files below `input`.
    pub(crate) directory: TempDir,
}

impl World {
    /// A store with [`RELEASE`]: an empty file, a large one with a hostile name's worth of spaces and
    /// signs in its directory, and a small one; provenance for all of them, once with a title beside
    /// the files and once, for the small one, without a title.
    pub(crate) fn new() -> Self {
        let world = Self::empty();
        world.ingest(RELEASE, &small_release());
        world
    }

    /// A store with nothing in it.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::init(&directory.path().join("store")).expect("a new store");
        Self { store, directory }
    }

    /// Takes files in as a release, with signed provenance in `provenance.intoto.jsonl` beside them
    /// and one more document without a title, attached to the first file.
    pub(crate) fn ingest(&self, release: &str, files: Files<'_>) -> Release {
        let name: ReleaseName = release.parse().expect("a release name");
        let input = self.write(&name, files);
        let holder = holder();
        let request = IngestRequest {
            release: &name,
            inputs: &[input],
            images: &[],
            holder: &holder,
            wait: Duration::ZERO,
            options: IngestOptions::default(),
        };
        let report = ingest(&self.store, &request, &()).expect("ingest takes the files");
        let first = files.first().expect("at least one file");
        let subject = Subject::Artifact(first.0.parse().expect("a path"));
        self.attach(&name, &subject, &provenance(&name, std::slice::from_ref(first)));
        report.release
    }

    /// Takes in a release of one image, with signed provenance that names its own manifest or index.
    pub(crate) fn hold_image(&self, release: &str, image_name: &str, image: &Image) -> Release {
        let name: ReleaseName = release.parse().expect("a release name");
        let artifact = Artifact::of_image(&image_name.parse().expect("an image name"), &image.top);
        let artifact = artifact.expect("an image");
        let subject = Subject::Artifact(artifact.path.clone());
        let (release, index) = Release::new(name.clone(), vec![artifact]).expect("a release");
        let wait = Duration::from_secs(10);
        let mut writer = self.store.lock(wait, &holder(), &mut |_| {}).expect("the lock");
        let octets = || MediaType::known(media_type::OCTET_STREAM);
        for bytes in image.blobs.values().chain([&index.to_bytes()]) {
            writer.hold(octets(), bytes).expect("a blob is held");
        }
        writer.insert(Key::release(&name), release.index().clone()).expect("a key");
        writer.commit().expect("a commit");
        let named = [(image_name, image.top_bytes().to_vec())];
        self.attach(&name, &subject, &provenance(&name, &named));
        release
    }

    /// The verdict on a release as the store holds it now, and the snapshot that it is about.
    pub(crate) fn verdict(&self, release: &str) -> (Snapshot, Verdict) {
        let name: ReleaseName = release.parse().expect("a release name");
        let snapshot = self.store.snapshot().expect("a snapshot");
        let evidence = snapshot.evidence(&name).expect("evidence");
        let policy = Policy::parse(&policy_text()).expect("a policy");
        let verifier = Verifier::new(TrustRoot::public_good()).expect("the embedded root");
        let now = NOW.parse().expect("a time");
        (snapshot, verify_release(&verifier, &policy, &evidence, now))
    }

    /// A release that passes, with its proof.
    pub(crate) fn verified(&self, release: &str) -> (Snapshot, Verified<Release>) {
        let (snapshot, verdict) = self.verdict(release);
        let held = snapshot.release(&release.parse().expect("a release name")).expect("a release");
        let verified = verdict.admit(held).unwrap_or_else(|verdict| {
            panic!("the verdict is a fail: {}", String::from_utf8_lossy(&verdict.to_json()))
        });
        (snapshot, verified)
    }

    /// Holds a referrer of a manifest that is evidence of no release, as an import would.
    pub(crate) fn hold_referrer(&self, subject: &Digest, referrer: &Image) {
        let wait = Duration::from_secs(10);
        let mut writer = self.store.lock(wait, &holder(), &mut |_| {}).expect("the lock");
        for bytes in referrer.blobs.values() {
            let held = writer.hold(MediaType::known(media_type::OCTET_STREAM), bytes);
            held.expect("a blob is held");
        }
        let key = Key::referrer(subject, &referrer.top.digest);
        writer.insert(key, referrer.top.clone()).expect("a key");
        writer.commit().expect("a commit");
    }

    /// Where the store keeps a blob.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.store.directory().join("blobs").join("sha256").join(digest.hex())
    }

    /// Flips one bit in the middle of a blob, behind the store's back.
    pub(crate) fn corrupt(&self, digest: &Digest) {
        let path = self.blob(digest);
        let mut bytes = fs::read(&path).expect("the blob is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).expect("the blob can be removed");
        fs::write(&path, bytes).expect("the blob can be written again");
    }

    fn write(&self, name: &ReleaseName, files: Files<'_>) -> PathBuf {
        let input = self.directory.path().join("input").join(name.to_string());
        for (path, bytes) in files {
            let path = input.join(path);
            fs::create_dir_all(path.parent().expect("inside the input")).expect("a directory");
            fs::write(path, bytes).expect("an input file");
        }
        let line = provenance(name, files);
        fs::write(input.join("provenance.intoto.jsonl"), line).expect("an evidence file");
        input
    }

    /// Attaches one more document to the release as a whole: new evidence after a verdict.
    pub(crate) fn attach_note(&self, release: &str) {
        let name = release.parse().expect("a release name");
        let bytes = provenance(&name, &[("elsewhere", b"something else\n".to_vec())]);
        self.attach(&name, &Subject::Release, &bytes);
    }

    fn attach(&self, name: &ReleaseName, subject: &Subject, bytes: &[u8]) {
        let holder = holder();
        let request = AttachRequest {
            release: name,
            subject,
            documents: &[NewDocument {
                bytes,
                kind: DocumentKind::Bundle,
                media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
                title: None,
                predicate_type: Some(PROVENANCE_V1),
            }],
            holder: &holder,
            wait: Duration::ZERO,
        };
        attach(&self.store, &request, &mut |_| {}).expect("attach takes the document");
    }
}

/// The files of [`RELEASE`].
pub(crate) fn small_release() -> Vec<(&'static str, Vec<u8>)> {
    let large = (0..LARGE_BYTES).map(|at| (at % 251).to_le_bytes()[0]).collect();
    vec![
        ("README.md", b"# demo\n".to_vec()),
        ("bin/linux amd64/<demo> & 'co'", large),
        ("empty.txt", Vec::new()),
    ]
}

/// The policy under which the releases here pass.
pub(crate) fn policy_text() -> String {
    let (_, pem, _) = key();
    format!(
        "version = 1\nname = \"workshop\"\n\
         [[signer]]\nname = \"workshop-key\"\npublic_key = '''\n{pem}'''\n\
         [[builder]]\nid = \"{BUILDER}\"\nsigners = [\"workshop-key\"]\nlevel = 2\n\
         [provenance]\nlevel = 2\nsource = \"git+https://source.example/demo\"\ntag = \"{{version}}\"\n\
         [sbom]\nrule = \"off\"\n"
    )
}

/// A bundle with provenance for these files, signed with the key of the policy.
pub(crate) fn provenance(name: &ReleaseName, files: Files<'_>) -> Vec<u8> {
    let subjects = files
        .iter()
        .map(|(path, bytes)| statement::Subject::new(*path, Digest::sha256_of(bytes)))
        .collect();
    let source = format!("git+https://source.example/demo@refs/tags/{}", name.version);
    let statement = Statement::new(
        subjects,
        PROVENANCE_V1,
        &json!({
            "buildDefinition": {
                "buildType": "https://builder.example/type/v1",
                "externalParameters": { "source": { "uri": source } },
            },
            "runDetails": { "builder": { "id": BUILDER } },
        }),
    );
    let (pair, _, digest) = key();
    let mut envelope = Envelope {
        payload_type: media_type::IN_TOTO.to_owned(),
        payload: statement.to_bytes(),
        signatures: Vec::new(),
    };
    let bytes = pair.sign(&envelope.pae()).as_ref().to_vec();
    envelope.signatures.push(Signature { key_id: None, bytes });
    bundle::with_managed_key(&envelope, &digest)
}

/// The key pair, its public key as PEM, and that key's digest.
fn key() -> (Ed25519KeyPair, String, Digest) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a seed of 32 bytes");
    // RFC 8410, section 4: SubjectPublicKeyInfo of an Ed25519 key, up to the key itself.
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&head, pair.public_key().as_ref()].concat();
    let text = STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    (pair, pem, Digest::sha256_of(&der))
}

fn holder() -> Holder {
    Holder { who: "a test".to_owned(), since: NOW.parse().expect("a time") }
}
