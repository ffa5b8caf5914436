//! Bundles: a signature, whom it is of, and who vouches for it, in JSON (sigstore protobuf-specs,
//! `sigstore_bundle.proto`). Each step looks whether the one defect is its own.

mod leaf;
mod text;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::Timestamp;
use bonded_model::dsse::pae;
use serde_json::{Value, json};

use crate::defect::Defect;
use crate::key::{Key, KeyKind};
use crate::log::{Facts, Kind, Lie, Log as Rekor, Verifier, body, flip, put};
use crate::request::{BundleVersion, Content, Log, Request};
use crate::tsa::StampLie;
use crate::world::World;

const HOUR: i64 = 3600;

/// With what a bundle is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signer<'a> {
    Certificate,
    Key(&'a Key),
}

/// A bundle that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    world: &'a World,
    signer: Signer<'a>,
    request: Request<'a>,
    defect: Option<Defect>,
    body: Option<&'a [u8]>,
}

/// What was signed, as far as others vouch for it.
struct Signed {
    signature: Vec<u8>,
    verifier: Verifier,
    material: Value,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(world: &'a World, signer: Signer<'a>, request: Request<'a>) -> Self {
        Self { world, signer, request, defect: None, body: None }
    }

    /// The same with a defect, in place of the one that it may have had.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// The same with log entries that say nothing but these bytes, which the logs hold and vouch for.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Makes the bundle.
    pub fn to_json(&self) -> Vec<u8> {
        let signed = self.sign();
        let mut material = signed.material.clone();
        let entries = self.entries(&signed);
        if !entries.is_empty() {
            put(&mut material, "tlogEntries", json!(entries));
        }
        let stamps = self.stamps(&signed.signature);
        if !stamps.is_empty() {
            let stamps = json!({"rfc3161Timestamps": stamps});
            put(&mut material, "timestampVerificationData", stamps);
        }
        let mut bundle = json!({
            "mediaType": self.media_type().as_str(),
            "verificationMaterial": material,
        });
        let (name, content) = self.content(&signed.signature);
        put(&mut bundle, name, content);
        text::write(bundle, self.defect)
    }

    /// What it was asked to sign.
    pub(crate) fn content_of_request(&self) -> Content<'a> {
        self.request.content
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn media_type(&self) -> BundleVersion {
        match self.defect {
            Some(Defect::Downgraded) => BundleVersion::V01,
            _ => self.request.media_type,
        }
    }

    fn at(&self, seconds: i64) -> Timestamp {
        let at = self.request.signed_at.unix_seconds() + seconds;
        Timestamp::from_unix_seconds(at).expect("a time near another one")
    }

    fn message(&self) -> Vec<u8> {
        match self.request.content {
            Content::File(bytes) => bytes.to_vec(),
            Content::Statement(_) | Content::Payload { .. } => self
                .request
                .content
                .payload()
                .map(|(kind, bytes)| pae(kind, bytes))
                .unwrap_or_default(),
        }
    }

    fn sign(&self) -> Signed {
        let own;
        let key = match self.signer {
            Signer::Key(key) => key,
            Signer::Certificate => {
                own = Key::new(self.request.key, "leaf");
                &own
            }
        };
        let (verifier, material) = match self.signer {
            Signer::Key(key) => {
                let hint = match self.defect {
                    Some(Defect::HintOfAnotherKey) => Key::new(KeyKind::Ed25519, "other").hint(),
                    _ => key.hint(),
                };
                let verifier = Verifier::Key { spki: key.spki().to_vec(), details: key.details() };
                (verifier, json!({"publicKey": {"hint": hint}}))
            }
            Signer::Certificate => self.certificate(key),
        };
        let message = self.message();
        let mut signature = match self.defect {
            Some(Defect::SignedByAnotherKey) => {
                Key::new(key.algorithm(), "another leaf").sign(&message)
            }
            _ => key.sign(&message),
        };
        if self.has(Defect::SignatureForged) {
            flip(&mut signature);
        }
        Signed { signature, verifier, material }
    }

    fn certificate(&self, key: &Key) -> (Verifier, Value) {
        let chain = leaf::chain(self.world, &self.request, key, self.defect);
        let leaf = chain.first().cloned().unwrap_or_default();
        let entry = |der: &Vec<u8>| json!({"rawBytes": STANDARD.encode(der)});
        let is_third =
            matches!(self.media_type(), BundleVersion::V03 | BundleVersion::V03Parameter);
        let material = match is_third && !self.has(Defect::ChainInThird) {
            true => json!({"certificate": entry(&leaf)}),
            false => {
                let chain: Vec<_> = chain.iter().map(entry).collect();
                json!({"x509CertificateChain": {"certificates": chain}})
            }
        };
        (Verifier::Certificate(leaf), material)
    }

    fn content(&self, signature: &[u8]) -> (&'static str, Value) {
        let Some((kind, payload)) = self.request.content.payload() else {
            let (algorithm, digest) = self.declared();
            return (
                "messageSignature",
                json!({
                    "messageDigest": {"algorithm": algorithm, "digest": STANDARD.encode(digest)},
                    "signature": STANDARD.encode(signature),
                }),
            );
        };
        let mut payload = payload.to_vec();
        match self.defect {
            Some(Defect::PayloadChanged) => flip_inside(&mut payload),
            Some(Defect::PayloadSpaced) => payload.push(b' '),
            _ => {}
        }
        let kind = match self.defect {
            Some(Defect::PayloadTypeChanged) => "application/vnd.example+json",
            _ => kind,
        };
        let mut signatures = vec![json!({"sig": STANDARD.encode(signature)})];
        if self.has(Defect::SecondSignature) {
            let mut second = signature.to_vec();
            flip(&mut second);
            signatures.push(json!({"sig": STANDARD.encode(second)}));
        }
        let envelope = json!({
            "payload": STANDARD.encode(payload), "payloadType": kind, "signatures": signatures,
        });
        ("dsseEnvelope", envelope)
    }

    /// The digest that goes with the key's scheme, or that the log needs.
    fn declared(&self) -> (&'static str, Vec<u8>) {
        let other: &[u8] = b"another file";
        let message = self.message();
        let file = if self.has(Defect::DigestOfAnotherFile) { other } else { &message };
        let by_p384 = matches!(self.signer, Signer::Key(key) if key.algorithm() == KeyKind::P384);
        if by_p384 {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, file);
            return ("SHA2_384", digest.as_ref().to_vec());
        }
        ("SHA2_256", crate::sha256(file).to_vec())
    }

    fn entries(&self, signed: &Signed) -> Vec<Value> {
        let count = self.request.logs.len();
        let mut entries = Vec::new();
        for (at, log) in self.request.logs.iter().enumerate() {
            let defect = self.defect.filter(|_| at + 1 == count);
            let entry = self.entry(*log, signed, defect);
            entries.extend((defect == Some(Defect::EntryTwice)).then(|| entry.clone()));
            entries.push(entry);
        }
        entries
    }

    fn entry(&self, log: Log, signed: &Signed, defect: Option<Defect>) -> Value {
        let rekor = self.rekor(log, defect);
        let kind = self.kind(log);
        let facts = || body(kind, &self.facts(signed, defect));
        let body = self.body.map_or_else(facts, <[u8]>::to_vec);
        let at = if defect == Some(Defect::IntegratedLate) { HOUR } else { 0 };
        let mut entry = rekor.entry(kind, &body, self.at(at), lies(defect));
        if let (Log::V1Promise, Some(entry)) = (log, entry.as_object_mut()) {
            entry.remove("inclusionProof");
        }
        if defect == Some(Defect::IdOfAnotherLog) {
            let other = self.rekor(log, Some(Defect::RetiredLog));
            put(&mut entry, "logId", json!({"keyId": STANDARD.encode(other.id())}));
        }
        entry
    }

    fn rekor(&self, log: Log, defect: Option<Defect>) -> &'a Rekor {
        let (standing, other) = match log {
            Log::V1 | Log::V1Intoto | Log::V1Promise => (&self.world.first, false),
            Log::V1Other => (&self.world.first, true),
            Log::V2 | Log::V2Dsse => (&self.world.second, false),
            Log::V2Other => (&self.world.second, true),
        };
        match defect {
            Some(Defect::UnknownLog) => &standing.unknown,
            Some(Defect::RetiredLog) => &standing.retired,
            _ if other => &standing.other,
            _ => &standing.trusted,
        }
    }

    fn kind(&self, log: Log) -> Kind {
        let file = matches!(self.request.content, Content::File(_));
        match log {
            Log::V1 | Log::V1Other | Log::V1Promise if file => Kind::Hashed,
            Log::V1 | Log::V1Other | Log::V1Promise => Kind::Dsse,
            Log::V1Intoto => Kind::Intoto,
            Log::V2 | Log::V2Other => Kind::HashedSecond,
            Log::V2Dsse => Kind::DsseSecond,
        }
    }

    fn facts(&self, signed: &Signed, defect: Option<Defect>) -> Facts {
        let message = self.message();
        let (kind, payload) = self.request.content.payload().unwrap_or_default();
        let mut facts = Facts {
            verifier: signed.verifier.clone(),
            signature: signed.signature.clone(),
            signed: crate::sha256(&message),
            payload_type: kind.to_owned(),
            payload: crate::sha256(payload),
        };
        match defect {
            Some(Defect::EntryOfAnotherSignature) => facts.signature = self.another_signature(),
            Some(Defect::EntryOfAnotherArtifact) => {
                facts.signed = crate::sha256(b"another message");
                facts.payload = crate::sha256(b"another payload");
            }
            Some(Defect::EntryOfAnotherSigner) => facts.verifier = self.another_verifier(),
            Some(Defect::EntryOfAnotherCertificate) => {
                let mut other = *self;
                other.request.identity = "https://example.com/another";
                other.defect = None;
                facts.verifier = other.certificate(&Key::new(self.request.key, "leaf")).0;
            }
            _ => {}
        }
        facts
    }

    fn another_signature(&self) -> Vec<u8> {
        match self.signer {
            Signer::Key(key) => key.sign(b"another message"),
            Signer::Certificate => Key::new(self.request.key, "leaf").sign(&self.message()),
        }
    }

    /// Of the same holder, with another key.
    fn another_verifier(&self) -> Verifier {
        match self.signer {
            Signer::Key(key) => {
                let other = Key::new(KeyKind::P256, "another leaf");
                Verifier::Key { spki: other.spki().to_vec(), details: key.details() }
            }
            Signer::Certificate => {
                let key = Key::new(self.request.key, "another leaf");
                self.certificate(&key).0
            }
        }
    }

    fn stamps(&self, signature: &[u8]) -> Vec<Value> {
        let count = self.request.timestamps;
        let mut stamps = Vec::new();
        for at in 0..count {
            let defect = self.defect.filter(|_| at + 1 == count);
            let stamp = self.stamp(at, signature, defect);
            let stamp = json!({"signedTimestamp": STANDARD.encode(stamp)});
            stamps.extend((defect == Some(Defect::StampTwice)).then(|| stamp.clone()));
            stamps.push(stamp);
        }
        stamps
    }

    fn stamp(&self, at: usize, signature: &[u8], defect: Option<Defect>) -> Vec<u8> {
        let world = self.world;
        let authority = match defect {
            Some(Defect::StampOfUnknownAuthority) => &world.stamps.unknown,
            Some(Defect::StampOfRetiredAuthority) => &world.stamps.retired,
            Some(Defect::StampOfLapsedAuthority) => &world.stamps_lapsed,
            Some(Defect::StampBelowLapsedRoot) => &world.stamps_below_lapsed,
            Some(Defect::StampWithoutUsage) => &world.stamps_without_usage,
            _ if at == 0 => &world.stamps.trusted,
            _ => &world.stamps.other,
        };
        let (seconds, lie) = match defect {
            Some(Defect::StampLate) => (HOUR, None),
            Some(Defect::StampEarly) => (-HOUR, None),
            Some(Defect::StampForged) => (0, Some(StampLie::Forged)),
            Some(Defect::StampOfOtherContent) => (0, Some(StampLie::OtherContent)),
            _ => (0, None),
        };
        let over = match defect {
            Some(Defect::StampOfAnotherSignature) => b"another signature",
            _ => signature,
        };
        authority.stamp(over, self.at(seconds), lie)
    }
}

fn lies(defect: Option<Defect>) -> &'static [Lie] {
    match defect {
        Some(Defect::PromiseForged) => &[Lie::PromiseForged],
        Some(Defect::PromiseOfAnotherTime) => &[Lie::PromiseOfAnotherTime],
        Some(Defect::NoPromise) => &[Lie::NoPromise],
        Some(Defect::PromiseOfNoTime) => &[Lie::PromiseOfNoTime],
        Some(Defect::PromiseOfSecond) => &[Lie::PromiseOfSecond],
        Some(Defect::NoProof | Defect::Downgraded) => &[Lie::NoProof],
        Some(Defect::NoCheckpoint) => &[Lie::NoCheckpoint],
        Some(Defect::ProofOfAnotherLeaf) => &[Lie::OtherLeaf],
        Some(Defect::ProofHashWrong) => &[Lie::OtherHash],
        Some(Defect::ProofOfAnotherSize) => &[Lie::OtherTreeSize],
        Some(Defect::CheckpointForged) => &[Lie::CheckpointForged],
        Some(Defect::CheckpointOfAnotherTree) => &[Lie::CheckpointOfAnotherTree],
        Some(Defect::CheckpointOfAnotherSize) => &[Lie::CheckpointOfAnotherSize],
        Some(Defect::CheckpointOfAnotherOrigin) => &[Lie::CheckpointOfAnotherOrigin],
        _ => &[],
    }
}

/// Changes a digit of a digest or letter of a name: the payload stays JSON.
fn flip_inside(payload: &mut [u8]) {
    let letter = payload.iter_mut().rev().find(|byte| byte.is_ascii_lowercase());
    letter.into_iter().for_each(|byte| *byte = if *byte == b'a' { b'b' } else { b'a' });
}

/// A bare DSSE envelope, without bundle, signed by those keys in that order.
pub fn envelope(keys: &[&Key], payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let message = pae(payload_type, payload);
    let signatures = keys.iter().map(|key| json!({"sig": STANDARD.encode(key.sign(&message))}));
    let signatures: Vec<_> = signatures.collect();
    let payload = STANDARD.encode(payload);
    let envelope =
        json!({"payload": payload, "payloadType": payload_type, "signatures": signatures});
    envelope.to_string().into_bytes()
}
