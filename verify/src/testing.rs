//! What the tests of this crate are made of: keys from fixed seeds, bundles signed with them, a
//! double of the signature seam, and a case that passes until something in it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::dsse::{Envelope, Signature, pae};
use bonded_model::evidence::Subject as AttachedTo;
use bonded_model::media_type::{IN_TOTO, OCI_INDEX, OCTET_STREAM};
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::{Statement, Subject};
use bonded_model::{
    Artifact, ContentKind, Descriptor, Digest, Document, DocumentKind, Evidence, MediaType,
    Release, Timestamp, bundle, cosign,
};
use serde_json::{Value, json};

use crate::engine::{verify_release, verify_summary};
use crate::finding::Fault;
use crate::identity::{Claim, GITHUB_ISSUER, Holder, Signed, Signer};
use crate::policy::Policy;
use crate::signature::{Against, SignatureVerifier, SignedDocument, Verifier};
use crate::summary::SummaryRequest;
use crate::trust::TrustRoot;
use crate::verdict::Verdict;

pub(crate) const PROGRAM: &str = "bonded";
pub(crate) const BUILDER: &str = "https://example.com/builder";
pub(crate) const SOURCE: &str = "https://github.com/o/r";
pub(crate) const TAG: &str = "refs/tags/v1";

/// An Ed25519 key made from a seed.
pub(crate) struct Key(Ed25519KeyPair);

impl Key {
    pub(crate) fn from_seed(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn spki(&self) -> Vec<u8> {
        const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        [HEAD.as_slice(), self.0.public_key().as_ref()].concat()
    }

    pub(crate) fn public_pem(&self) -> String {
        let body = STANDARD.encode(self.spki());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256_of(&self.spki())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    pub(crate) fn envelope(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let bytes = self.sign(&pae(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: payload.to_vec(),
            signatures: vec![Signature { key_id: None, bytes }],
        }
    }

    /// A bundle with this key around any payload.
    pub(crate) fn bundle(&self, payload: &[u8]) -> Vec<u8> {
        bundle::with_managed_key(&self.envelope(IN_TOTO, payload), &self.digest())
    }

    /// A layer of one of cosign's `.sig` manifests, signed by this key.
    pub(crate) fn cosign_layer(&self, payload: &[u8]) -> Vec<u8> {
        let signature = STANDARD.encode(self.sign(payload));
        let annotations = [(cosign::SIGNATURE.to_owned(), signature)].into();
        cosign::Layer { annotations, content: payload.to_vec() }.to_bytes()
    }

    /// A bundle with this key that signs a file itself.
    pub(crate) fn file_bundle(&self, file: &[u8], declared: &Digest) -> Vec<u8> {
        let signature = STANDARD.encode(self.sign(file));
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": STANDARD.encode(self.digest().as_bytes())}},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(declared.as_bytes())},
                "signature": signature,
            },
        })
        .to_string()
        .into_bytes()
    }
}

/// What cosign signs of an image, or of a file that stands for one.
pub(crate) fn cosign_payload(image: &[u8]) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": "example.com/app"},
            "image": {"docker-manifest-digest": Digest::sha256_of(image).to_string()},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

/// A statement that only a double can hold for signed: a bundle of the right shape by certificate,
/// whose certificate and log entry are nonsense.
pub(crate) fn certified(statement: &Statement) -> Vec<u8> {
    let root = STANDARD.encode([7; 32]);
    let checkpoint = format!("log\n1\n{root}\n\n\u{2014} log {}\n", STANDARD.encode([1; 8]));
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": "AAAA"},
            "tlogEntries": [{
                "logIndex": "0",
                "logId": {"keyId": root},
                "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                "integratedTime": "1",
                "canonicalizedBody": "e30=",
                "inclusionProof": {
                    "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
                    "checkpoint": {"envelope": checkpoint},
                },
            }],
        },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement.to_bytes()),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": "AAAA"}],
        },
    })
    .to_string()
    .into_bytes()
}

/// A provenance v1 of one file.
pub(crate) fn provenance(file: &[u8], change: impl FnOnce(&mut Value)) -> Statement {
    let mut predicate = json!({
        "buildDefinition": {
            "buildType": "https://example.com/build/v1",
            "externalParameters": {"source": {"uri": format!("git+{SOURCE}@{TAG}")}},
        },
        "runDetails": {"builder": {"id": BUILDER}},
    });
    change(&mut predicate);
    statement(file, PROVENANCE_V1, &predicate)
}

pub(crate) fn statement(file: &[u8], predicate_type: &str, predicate: &Value) -> Statement {
    let subject = Subject::new("some name", Digest::sha256_of(file));
    Statement::new(vec![subject], predicate_type, predicate)
}

/// An SPDX document that names one file.
pub(crate) fn spdx(file: &[u8]) -> Value {
    json!({
        "spdxVersion": "SPDX-2.3",
        "files": [{"checksums": [
            {"algorithm": "SHA256", "checksumValue": Digest::sha256_of(file).hex()}
        ]}],
    })
}

/// A verifier of signatures that answers as it is told, whatever it is asked.
#[derive(Clone)]
pub(crate) struct Double(pub(crate) Result<Signed, Fault>);

impl SignatureVerifier for Double {
    fn verify(&self, _: &SignedDocument, _: &Against<'_>) -> Result<Signed, Fault> {
        self.0.clone()
    }

    fn knows(&self, _: &SignedDocument) -> bool {
        true
    }
}

/// What a workflow's certificate would say of the case's provenance.
pub(crate) fn workflow() -> Signed {
    let claims = [(Claim::SourceRepository, SOURCE), (Claim::SourceRepositoryRef, TAG)];
    let holder = Holder {
        issuer: GITHUB_ISSUER.to_owned(),
        identity: BUILDER.to_owned(),
        claims: claims.map(|(claim, value)| (claim, value.to_owned())).into(),
    };
    let signer = Signer::Certificate(holder);
    let logs = [Digest::sha256_of(b"a log")].into();
    let times = vec![time("2026-01-01T00:00:00Z")];
    Signed { signer, times, logs, clocks: BTreeSet::new(), root: None }
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Everything that a verdict on a release is reached from.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) double: Option<Double>,
    pub(crate) policy: String,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// Images by name, each with the bytes of its own manifest or index.
    pub(crate) images: Vec<(&'static str, Vec<u8>)>,
    /// What somebody saw who looked at the files, by path.
    pub(crate) looks: BTreeMap<&'static str, (ContentKind, Option<&'static str>)>,
    pub(crate) documents: Vec<Document>,
    pub(crate) now: Timestamp,
    /// Whether the verdict is reached from the summaries alone.
    pub(crate) from_summary: bool,
}

pub(crate) const FILE: &[u8] = b"hello";
pub(crate) const PATH: &str = "bin/a";

impl Case {
    /// One file with provenance by a managed key; passes without a finding.
    pub(crate) fn good() -> Self {
        let key = Key::from_seed(1);
        let mut case = Self::bare();
        case.attach(DocumentKind::Bundle, &key.bundle(&provenance(FILE, |_| {}).to_bytes()));
        case
    }

    /// The same without any document.
    pub(crate) fn bare() -> Self {
        let policy = format!(
            "version = 1\nname = \"case\"\n\
             [[signer]]\nname = \"key\"\npublic_key = '''\n{}'''\n#key\n\
             [[builder]]\nid = \"{BUILDER}\"\nsigners = [\"key\"]\nlevel = 3\n\
             [provenance]\nlevel = 3\nsource = \"{SOURCE}\"\ntag = \"{{version}}\"\n#provenance\n\
             [sbom]\nrule = \"off\"\n#sbom\n",
            Key::from_seed(1).public_pem()
        );
        let now = time("2026-06-01T00:00:00Z");
        let files = vec![(PATH, FILE.to_vec())];
        Self {
            double: None,
            policy,
            files,
            images: vec![],
            looks: BTreeMap::new(),
            documents: vec![],
            now,
            from_summary: false,
        }
    }

    /// The same by certificate, whose signature a double holds for good.
    pub(crate) fn certified(signed: Signed) -> Self {
        let mut case = Self::bare();
        let key = Key::from_seed(1).public_pem();
        case.edit(
            &format!("public_key = '''\n{key}'''\n"),
            &format!("issuer = \"{GITHUB_ISSUER}\"\nidentity = \"{BUILDER}\"\n"),
        );
        case.attach(DocumentKind::Bundle, &certified(&provenance(FILE, |_| {})));
        case.double = Some(Double(Ok(signed)));
        case
    }

    /// Adds a second key as a signer who may speak for the builder too.
    pub(crate) fn with_second_key(mut self) -> Self {
        let pem = Key::from_seed(2).public_pem();
        let signer =
            format!("[[signer]]\nname = \"second\"\npublic_key = '''\n{pem}'''\n[[builder]]");
        self.edit("[[builder]]", &signer);
        self.edit("[\"key\"]", "[\"key\", \"second\"]");
        self
    }

    /// Replaces a part of the policy's text, which must be there.
    pub(crate) fn edit(&mut self, from: &str, to: &str) {
        assert!(self.policy.contains(from), "{from}");
        self.policy = self.policy.replacen(from, to, 1);
    }

    /// Attaches a document to the file.
    pub(crate) fn attach(&mut self, kind: DocumentKind, bytes: &[u8]) {
        let subject = AttachedTo::Artifact(PATH.parse().unwrap());
        self.add(kind, bytes, None, subject);
    }

    /// Attaches a document to the release.
    pub(crate) fn attach_to_release(&mut self, kind: DocumentKind, bytes: &[u8]) {
        self.add(kind, bytes, None, AttachedTo::Release);
    }

    pub(crate) fn add(
        &mut self,
        kind: DocumentKind,
        bytes: &[u8],
        title: Option<&str>,
        subject: AttachedTo,
    ) {
        self.documents.push(Document {
            digest: Digest::sha256_of(bytes),
            bytes: Arc::from(bytes),
            kind,
            media_type: MediaType::known(OCTET_STREAM),
            title: title.map(|title| title.parse().unwrap()),
            subject,
        });
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let artifacts = self.files.iter().map(|(path, bytes)| {
            let file = Descriptor::of(MediaType::known(OCTET_STREAM), bytes);
            let artifact = Artifact::of_file(path.parse().unwrap(), file, None, None).0;
            let look = self.looks.get(path);
            let platform = look.and_then(|(_, platform)| platform.map(|p| p.parse().unwrap()));
            Artifact { kind: look.map(|(kind, _)| *kind), platform, ..artifact }
        });
        let images = self.images.iter().map(|(name, bytes)| {
            let top = Descriptor::of(MediaType::known(OCI_INDEX), bytes);
            Artifact::of_image(&name.parse().unwrap(), &top).unwrap()
        });
        let artifacts = artifacts.chain(images).collect();
        let (release, _) = Release::new("demo@v1".parse().unwrap(), artifacts).unwrap();
        Evidence { release, documents: self.documents.clone() }
    }

    pub(crate) fn verdict(self) -> Verdict {
        let policy = Policy::parse(&self.policy).unwrap();
        let (evidence, now) = (self.evidence(), self.now);
        let verifier = match self.double {
            Some(double) => Verifier::of_double(Box::new(double)),
            None => Verifier::new(TrustRoot::public_good()).unwrap(),
        };
        match self.from_summary {
            true => verify_summary(&verifier, &policy, &evidence, now, PROGRAM),
            false => verify_release(&verifier, &policy, &evidence, now),
        }
    }

    /// Attaches the signed summary of the verdict on what is there.
    pub(crate) fn summarise(&mut self, verifier_id: &str, resource_uri: &str, seed: u8) {
        let request =
            SummaryRequest { resource_uri, policy_uri: None, verifier_id, program: PROGRAM };
        let made = self.clone().verdict().to_summary(&request);
        self.attach_to_release(
            DocumentKind::Bundle,
            &Key::from_seed(seed).bundle(&made.to_bytes()),
        );
    }
}
