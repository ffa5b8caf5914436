//! The library behind the seam: every type of the `sigstore` family that verifies stays in here.
//!
//! The library reads the machine's clock: to refuse log entries from the future, and to leave out
//! authorities, logs and their checkpoint keys whose time in the trust root has not started. Every
//! authenticated time is compared with the caller's `now` again; what else the clock changes is in
//! `docs/adr/0004-sigstore-verify-behind-our-own-trait.md`.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::dsse::Envelope;
use bonded_model::statement::Statement;
use bonded_model::{Algorithm, Digest, Timestamp};
use sigstore_crypto::{CertificateInfo, FulcioCiClaims, KeyAlgorithm};
use sigstore_types::bundle::MessageDigest;
use sigstore_types::{
    Artifact, ArtifactDigest, Bundle, HashAlgorithm, SignatureBytes, SignatureContent,
};
use sigstore_verify::{
    CertificateError, Error, Policy, PublicKeyVerificationPolicy, TransparencyLogError,
    VerificationPolicy, VerificationResult,
};

use super::strict::{self, Proofs, Vouchers, Witnesses};
use super::{Against, Content, Material, SignatureVerifier, SignedDocument, SignedFile, Wire};
use crate::code::Code;
use crate::finding::Fault;
use crate::identity::{Claim, GITHUB_ISSUER, Holder, Signed, Signer};
use crate::key::PublicKey;
use crate::trust::{TrustRoot, TrustRootError};

/// The library's verifier under one trust root.
pub(super) struct Library {
    inner: sigstore_verify::Verifier,
    witnesses: Witnesses,
}

impl Library {
    pub(super) fn new(root: &TrustRoot) -> Result<Self, TrustRootError> {
        let verifier = |root| {
            sigstore_verify::Verifier::new(root)
                .map_err(|error| TrustRootError::Unusable(error.into()))
        };
        // What cannot be read is refused before what has no time left is left out.
        verifier(root.inner())?;
        let (root, witnesses) = strict::prepare(root.inner());
        let inner = verifier(&root)?;
        Ok(Self { inner, witnesses })
    }

    /// When those whom the trust root names begin to be believed.
    pub(super) fn beginnings(&self) -> &[Timestamp] {
        &self.witnesses.beginnings
    }
}

impl SignatureVerifier for Library {
    fn verify(&self, document: &SignedDocument, against: &Against<'_>) -> Result<Signed, Fault> {
        let digests = document.message.as_deref().map(|message| [Digest::sha256_of(message)]);
        let file = digests.as_ref().map(|digests| {
            let bytes = document.message.as_deref();
            SignedFile { digests, bytes }
        });
        let against = &Against { key: against.key, file: file.or(against.file) };
        match (&document.wire, document.material()) {
            (Wire::Envelope(envelope), _) => verify_envelope(envelope, wanted_key(against)?),
            (Wire::Bundle(bundle), Material::Certificate) => {
                let policy = VerificationPolicy::any_identity();
                let result = self.ask(document, bundle, &policy, against)?;
                let certificate = bundle.signing_certificate();
                let none = || Fault::new(Code::SigCertificate, "a certificate", "none");
                strict::check_certificate(certificate.ok_or_else(none)?)?;
                let signer = Signer::Certificate(holder(&result)?);
                self.signed(document, bundle, signer, &result)
            }
            (Wire::Bundle(bundle), Material::Key { .. }) => {
                self.verify_with_key(document, bundle, wanted_key(against)?, against)
            }
        }
    }

    fn knows(&self, document: &SignedDocument) -> bool {
        let Wire::Bundle(bundle) = &document.wire else { return false };
        match bundle.signing_certificate() {
            Some(certificate) => self.witnesses.knows_issuer_of(certificate),
            None => self.witnesses.knows_log_of(bundle),
        }
    }
}

impl Library {
    fn verify_with_key(
        &self,
        document: &SignedDocument,
        bundle: &Bundle,
        key: &PublicKey,
        against: &Against<'_>,
    ) -> Result<Signed, Fault> {
        let material = &bundle.verification_material;
        let logged = !material.tlog_entries.is_empty();
        let stamped = !material.timestamp_verification_data.rfc3161_timestamps.is_empty();
        if !logged && !stamped {
            // The library demands a log entry or a timestamp, which a managed key need not have.
            return verify_bare(bundle, key, against);
        }
        let policy = PublicKeyVerificationPolicy::new(key.der().clone());
        let policy = if logged { policy } else { policy.skip_tlog_unsafe() };
        let result = self.ask(document, bundle, &policy, against)?;
        self.signed(document, bundle, Signer::Key(key.digest()), &result)
    }

    /// What is on record of a signature that holds: only what somebody signed.
    fn signed(
        &self,
        document: &SignedDocument,
        bundle: &Bundle,
        signer: Signer,
        result: &VerificationResult,
    ) -> Result<Signed, Fault> {
        let times = times_of(result)?;
        let proofs = match document.rests_on_promises() {
            true => Proofs::OrPromise,
            false => Proofs::Demanded,
        };
        let Vouchers { logs, clocks } = self.witnesses.vouchers(bundle, &times, proofs)?;
        Ok(Signed { signer, times, logs, clocks, root: None })
    }

    /// What the library says, or what is found out beyond it.
    fn fault_of(&self, bundle: &Bundle, error: &Error) -> Fault {
        let explained = match (error, &bundle.content) {
            (Error::Timestamp(_), SignatureContent::DsseEnvelope(envelope)) => {
                self.witnesses.stamp_fault(bundle, &envelope.signature.sig)
            }
            (Error::Timestamp(_), SignatureContent::MessageSignature(message)) => {
                self.witnesses.stamp_fault(bundle, &message.signature)
            }
            (Error::Certificate(CertificateError::ChainInvalid(_)), _) => {
                self.witnesses.issuer_fault(bundle)
            }
            _ => None,
        };
        explained.unwrap_or_else(|| fault_of(error))
    }

    /// Asks with a digest where the scheme allows it, and with the bytes where it needs them.
    fn ask(
        &self,
        document: &SignedDocument,
        bundle: &Bundle,
        policy: &dyn Policy,
        against: &Against<'_>,
    ) -> Result<VerificationResult, Fault> {
        let file = match &document.content {
            Content::Statement(statement) if document.message.is_none() => {
                let subject = a_subject(statement)?;
                let outcome = self.inner.verify(subject, bundle, policy);
                return outcome.map_err(|error| self.fault_of(bundle, &error));
            }
            Content::Statement(_) | Content::File => wanted_file(against)?,
        };
        let algorithm = declared_algorithm(bundle);
        let by_digest = file.digests.iter().filter_map(artifact_digest);
        let asked = by_digest
            .filter(|digest| digest.algorithm() == algorithm)
            .map(|digest| self.inner.verify(digest, bundle, policy))
            .next();
        match (asked, file.bytes) {
            (Some(Err(Error::UnsupportedArtifact(_))) | None, Some(bytes)) => {
                let bytes = matching(bytes, file.digests)?;
                let outcome = self.inner.verify(bytes, bundle, policy);
                outcome.map_err(|error| self.fault_of(bundle, &error))
            }
            (Some(outcome), _) => outcome.map_err(|error| self.fault_of(bundle, &error)),
            (None, None) => Err(needs(&format!("a {algorithm} digest of the file, or the file"))),
        }
    }
}

/// Verifies each signature of a bare envelope; one by the key is enough (DSSE protocol.md).
fn verify_envelope(envelope: &Envelope, key: &PublicKey) -> Result<Signed, Fault> {
    let pae = envelope.pae();
    let mut outcomes = envelope.signatures.iter().map(|signature| {
        let signature = SignatureBytes::from_bytes(&signature.bytes);
        verify_pae(key, &pae, &signature)
    });
    match outcomes.find(Result::is_ok).or_else(|| outcomes.next()) {
        Some(Ok(())) => Ok(unlogged(key)),
        Some(Err(fault)) => Err(fault),
        None => Err(Fault::new(Code::SigInvalid, "a signature by the key", "none by it")),
    }
}

/// How many signatures of a bare envelope none of those keys made.
pub(super) fn strays(envelope: &Envelope, keys: &[&PublicKey]) -> usize {
    let pae = envelope.pae();
    let is_stray = |bytes: &[u8]| {
        let signature = SignatureBytes::from_bytes(bytes);
        keys.iter().all(|key| verify_pae(key, &pae, &signature).is_err())
    };
    envelope.signatures.iter().filter(|signature| is_stray(&signature.bytes)).count()
}

fn verify_bare(bundle: &Bundle, key: &PublicKey, against: &Against<'_>) -> Result<Signed, Fault> {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            verify_pae(key, &envelope.pae(), &envelope.signature.sig)?;
        }
        SignatureContent::MessageSignature(message) => {
            let file = wanted_file(against)?;
            if let Some(declared) = &message.message_digest {
                check_declared(declared, &file)?;
            }
            verify_file(key, declared_algorithm(bundle), &message.signature, &file)?;
        }
        _ => return Err(Fault::new(Code::SigUnsupported, "an envelope or a signature", "other")),
    }
    Ok(unlogged(key))
}

fn verify_pae(key: &PublicKey, pae: &[u8], signature: &SignatureBytes) -> Result<(), Fault> {
    let scheme = algorithm_of(key)?.default_signing_scheme();
    sigstore_crypto::verify_signature(key.der(), pae, signature, scheme)
        .map_err(|error| crypto_fault(&error))
}

fn verify_file(
    key: &PublicKey,
    declared: HashAlgorithm,
    signature: &SignatureBytes,
    file: &SignedFile<'_>,
) -> Result<(), Fault> {
    let scheme = algorithm_of(key)?
        .resolve_signing_scheme(declared)
        .map_err(|error| crypto_fault(&error))?;
    let digest = file.digests.iter().filter_map(artifact_digest);
    let digest = scheme.hash_algorithm().and_then(|a| { digest }.find(|d| d.algorithm() == a));
    let outcome = match (digest, file.bytes) {
        (Some(digest), _) => sigstore_crypto::verify_signature_prehashed(
            key.der(),
            digest.as_bytes(),
            signature,
            scheme,
        ),
        (None, Some(bytes)) => {
            let bytes = matching(bytes, file.digests)?;
            sigstore_crypto::verify_signature(key.der(), bytes, signature, scheme)
        }
        (None, None) => return Err(needs(&format!("the file itself, for {}", scheme.name()))),
    };
    outcome.map_err(|error| crypto_fault(&error))
}

fn unlogged(key: &PublicKey) -> Signed {
    let signer = Signer::Key(key.digest());
    let (logs, clocks) = (BTreeSet::new(), BTreeSet::new());
    Signed { signer, times: Vec::new(), logs, clocks, root: None }
}

fn algorithm_of(key: &PublicKey) -> Result<KeyAlgorithm, Fault> {
    KeyAlgorithm::from_spki(key.der()).map_err(|error| crypto_fault(&error))
}

fn wanted_key<'a>(against: &Against<'a>) -> Result<&'a PublicKey, Fault> {
    against.key.ok_or_else(|| Fault::new(Code::SigKey, "a trusted public key", "none"))
}

fn wanted_file<'a>(against: &Against<'a>) -> Result<SignedFile<'a>, Fault> {
    against.file.ok_or_else(|| needs("the file that was signed"))
}

fn needs(what: &str) -> Fault {
    Fault::new(Code::SigUnsupported, what, "not given")
}

/// The bytes, if they are those that the digests name.
fn matching<'a>(bytes: &'a [u8], digests: &[Digest]) -> Result<&'a [u8], Fault> {
    let found = Digest::sha256_of(bytes);
    match digests.iter().find(|digest| digest.algorithm() == Algorithm::Sha256) {
        Some(expected) if *expected == found => Ok(bytes),
        Some(expected) => {
            Err(Fault::new(Code::SigSubject, expected.to_string(), found.to_string()))
        }
        None => Err(needs("the sha256 digest of the file")),
    }
}

/// The digest that a message signature declares is unsigned, and still has to be the file's, as far as it
/// is known here.
fn check_declared(declared: &MessageDigest, file: &SignedFile<'_>) -> Result<(), Fault> {
    let by = |algorithm| {
        let mine = file.digests.iter().find(|digest| digest.algorithm() == algorithm);
        mine.map(|digest| digest.as_bytes().to_vec())
    };
    let mine = match declared.algorithm {
        HashAlgorithm::Sha2256 => by(Algorithm::Sha256),
        HashAlgorithm::Sha2512 => by(Algorithm::Sha512),
        _ => file.bytes.map(|bytes| sigstore_crypto::sha384(bytes).as_bytes().to_vec()),
    };
    let whole = declared.digest.as_bytes().len() == declared.algorithm.digest_size();
    match mine {
        None if whole => Ok(()), // the signature itself decides
        Some(mine) if mine == declared.digest.as_bytes() => Ok(()),
        _ => Err(Fault::new(
            Code::SigSubject,
            format!("the {} digest of the file", declared.algorithm),
            declared.digest.to_string(),
        )),
    }
}

fn declared_algorithm(bundle: &Bundle) -> HashAlgorithm {
    match &bundle.content {
        SignatureContent::MessageSignature(message) => {
            message.message_digest.as_ref().map_or(HashAlgorithm::Sha2256, |d| d.algorithm)
        }
        _ => HashAlgorithm::Sha2256,
    }
}

/// A digest from the statement's own subjects: the library insists on one, the caller matches all.
fn a_subject(statement: &Statement) -> Result<Artifact<'static>, Fault> {
    let mut digests = statement.subjects.iter().flat_map(|subject| {
        [Algorithm::Sha256, Algorithm::Sha512].into_iter().filter_map(|a| subject.digest.digest(a))
    });
    let digest = digests.find_map(|digest| artifact_digest(&digest));
    digest
        .map(Artifact::from_digest)
        .ok_or_else(|| Fault::new(Code::StmtDigest, "a sha256 or sha512 digest", "none"))
}

fn artifact_digest(digest: &Digest) -> Option<ArtifactDigest> {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha2256,
        Algorithm::Sha512 => HashAlgorithm::Sha2512,
        Algorithm::Blake3 => return None,
    };
    ArtifactDigest::new(algorithm, digest.as_bytes()).ok() // lengths are right by type
}

fn holder(result: &VerificationResult) -> Result<Holder, Fault> {
    let complete = result.certificate_verified() && result.sct_verified() && result.tlog_verified();
    let certificate = result.certificate().filter(|_| complete);
    let Some(certificate) = certificate else {
        return Err(Fault::new(Code::SigCertificate, "a verified certificate", "none"));
    };
    holder_of(certificate)
}

fn holder_of(certificate: &CertificateInfo) -> Result<Holder, Fault> {
    let missing = |what: &str| Fault::new(Code::SigCertificate, what, "none");
    let identity = match &certificate.identity {
        Some(identity) => identity.as_str().to_owned(),
        None => return Err(missing("an identity in the certificate")),
    };
    let issuer =
        certificate.issuer.clone().ok_or_else(|| missing("an issuer in the certificate"))?;
    let claims = claims_of(&certificate.ci_claims, &issuer);
    Ok(Holder { issuer, identity, claims })
}

/// Claims by name; the deprecated ones of GitHub stand in where the newer are absent.
fn claims_of(claims: &FulcioCiClaims, issuer: &str) -> BTreeMap<Claim, String> {
    let old = &claims.deprecated_github;
    let repository = old.workflow_repository.as_ref().map(|r| format!("https://github.com/{r}"));
    let github = issuer == GITHUB_ISSUER;
    let or =
        |new: &Option<String>, old: Option<String>| new.clone().or_else(|| old.filter(|_| github));
    let pairs = [
        (Claim::BuildSignerUri, claims.build_signer_uri.clone()),
        (Claim::BuildSignerDigest, claims.build_signer_digest.clone()),
        (Claim::RunnerEnvironment, claims.runner_environment.clone()),
        (Claim::SourceRepository, or(&claims.source_repository_uri, repository)),
        (
            Claim::SourceRepositoryDigest,
            or(&claims.source_repository_digest, old.workflow_sha.clone()),
        ),
        (Claim::SourceRepositoryRef, or(&claims.source_repository_ref, old.workflow_ref.clone())),
        (Claim::SourceRepositoryId, claims.source_repository_identifier.clone()),
        (Claim::SourceRepositoryOwner, claims.source_repository_owner_uri.clone()),
        (Claim::SourceRepositoryOwnerId, claims.source_repository_owner_identifier.clone()),
        (Claim::BuildConfigUri, claims.build_config_uri.clone()),
        (Claim::BuildConfigDigest, claims.build_config_digest.clone()),
        (Claim::BuildTrigger, or(&claims.build_trigger, old.workflow_trigger.clone())),
        (Claim::SourceRepositoryVisibility, claims.source_repository_visibility_at_signing.clone()),
        (Claim::DeploymentEnvironment, claims.deployment_environment.clone()),
    ];
    pairs.into_iter().filter_map(|(claim, value)| Some((claim, value?))).collect()
}

/// Authenticated times in whole seconds.
fn times_of(result: &VerificationResult) -> Result<Vec<Timestamp>, Fault> {
    let seconds = result.verified_timestamps().iter().map(|time| time.as_second());
    let era = |error| Fault::of_error(Code::SigTime, "a time of this era", &error);
    seconds.map(|seconds| Timestamp::from_unix_seconds(seconds).map_err(era)).collect()
}

/// What is told where the machine's clock decides. The library's message has that clock in it, and a verdict must
/// have none but its own.
const FROM_THE_FUTURE: &str = "a log time from the future of the machine's clock";

/// Whether a fault would be none on a machine whose clock is ahead of this one's.
pub(crate) fn is_by_clock(fault: &Fault) -> bool {
    fault.code == Code::SigTime && fault.seen == FROM_THE_FUTURE
}

fn fault_of(error: &Error) -> Fault {
    use sigstore_verify::bundle::error::Error as Structure;
    if let Error::TransparencyLog(TransparencyLogError::IntegratedTime(why)) = error
        && why.contains("is in the future")
    {
        return Fault::new(Code::SigTime, "a log time that has come", FROM_THE_FUTURE);
    }
    let (code, expected) = match error {
        Error::Crypto(error) => return crypto_fault(error),
        Error::SignatureInvalid(_) => (Code::SigInvalid, "a signature that verifies"),
        // The log entry is compared after the signature, which was then over this very content.
        Error::ArtifactMismatch(why) if why.contains("hashedrekord entry") => {
            (Code::SigLog, "a log entry of this content")
        }
        Error::ArtifactMismatch(_) => (Code::SigSubject, "a signature over this file"),
        Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) => {
            (Code::SigTime, "a log time inside the certificate's validity")
        }
        Error::TransparencyLog(_) => (Code::SigLog, "log entries that verify"),
        Error::Timestamp(_) => (Code::SigTime, "a trusted signing time"),
        Error::Bundle(
            Structure::MissingInclusionPromise(_)
            | Structure::MissingInclusionProof(_)
            | Structure::MissingSigningTimeEvidence
            | Structure::MissingCheckpoint
            | Structure::LogIndexOutOfRange { .. }
            | Structure::CheckpointRootMismatch,
        ) => (Code::SigLog, "log entries that verify"),
        Error::UnsupportedArtifact(_) | Error::UnsupportedBundle(_) => {
            (Code::SigUnsupported, "a kind of signature that can be verified")
        }
        Error::Certificate(_)
        | Error::InvalidTrustRoot(_)
        | Error::TrustRoot(_)
        | Error::TrustedCertificate(_)
        | Error::IdentityMismatch { .. }
        | Error::IssuerMismatch { .. } => (Code::SigCertificate, "a trusted certificate"),
        _ => (Code::SigMalformed, "a well-formed bundle"),
    };
    Fault::new(code, expected, error.to_string())
}

fn crypto_fault(error: &sigstore_crypto::Error) -> Fault {
    let (code, expected) = match error {
        sigstore_crypto::Error::Verification(_) => (Code::SigInvalid, "a signature that verifies"),
        _ => (Code::SigUnsupported, "a key and scheme that can be verified"),
    };
    Fault::new(code, expected, error.to_string())
}

#[cfg(test)]
mod tests {
    use bonded_testsigner::{Content as Signable, Defect, Log, Request, World};
    use serde_json::Value;

    use super::*;

    const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"https://example.com/t","subject":[{"digest":{"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},"name":"a"}]}"#;

    fn request<'a>(logs: &'a [Log], timestamps: usize) -> Request<'a> {
        let content = Signable::Statement(STATEMENT);
        Request { logs, timestamps, content, ..Request::default() }
    }

    fn ask(root: &[u8], bundle: &[u8]) -> Signed {
        let library = Library::new(&TrustRoot::parse(root).unwrap()).unwrap();
        let document = SignedDocument::parse(bundle).unwrap();
        library.verify(&document, &Against::default()).unwrap()
    }

    #[test]
    fn bytes_are_believed_by_their_digest_only() {
        let (mine, other) = (Digest::sha256_of(b"a"), Digest::sha256_of(b"b"));
        let check = |digests: &[Digest], expected: Result<&[u8], Code>| {
            assert_eq!(matching(b"a", digests).map_err(|fault| fault.code), expected);
        };
        check(&[mine], Ok(b"a"));
        check(&[other], Err(Code::SigSubject));
        check(&[], Err(Code::SigUnsupported));
    }

    #[test]
    fn each_log_and_each_authority_counts_once() {
        let world = World::new();
        let root = world.trusted_root();
        type Row = (&'static [Log], usize, Option<Defect>, (usize, usize));
        let table: [Row; 8] = [
            (&[Log::V1], 0, None, (1, 0)),
            (&[Log::V1], 1, None, (1, 1)),
            (&[Log::V1, Log::V1Other], 2, None, (2, 2)),
            (&[Log::V1, Log::V2], 1, None, (2, 1)),
            (&[Log::V1, Log::V1Intoto], 0, None, (1, 0)),
            (&[Log::V1], 0, Some(Defect::EntryTwice), (1, 0)),
            (&[Log::V2], 1, Some(Defect::EntryTwice), (1, 1)),
            (&[Log::V2], 1, Some(Defect::StampTwice), (1, 1)),
        ];
        for (logs, timestamps, defect, expected) in table {
            let draft = world.keyless(&request(logs, timestamps));
            let draft = defect.map_or(draft, |defect| draft.with(defect));
            let signed = ask(&root, &draft.to_json());
            let found = (signed.logs.len(), signed.clocks.len());
            assert_eq!(found, expected, "{logs:?} {timestamps} {defect:?}");
        }
    }

    /// A log that a trust root names twice is one log, and so is an authority.
    #[test]
    fn a_second_name_is_no_second_witness() {
        let world = World::new();
        let mut root: Value = serde_json::from_slice(&world.trusted_root()).unwrap();
        let bundle = world.keyless(&request(&[Log::V2], 1)).with(Defect::EntryTwice).to_json();
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        let entries = &mut bundle["verificationMaterial"]["tlogEntries"];
        let first = entries[0]["logId"]["keyId"].clone();
        // The same beginning, which is all that a checkpoint tells of its key.
        let second: String = format!("{}AAAA=", first.as_str().unwrap().get(..39).unwrap());
        entries[1]["logId"]["keyId"] = second.clone().into();
        let logs = root["tlogs"].as_array_mut().unwrap();
        let own = logs.iter().find(|log| log["logId"]["keyId"] == first).unwrap();
        let mut again = own.clone();
        again["logId"]["keyId"] = second.into();
        logs.push(again);
        let authorities = root["timestampAuthorities"].as_array_mut().unwrap();
        authorities.push(authorities[0].clone());
        let signed = ask(root.to_string().as_bytes(), bundle.to_string().as_bytes());
        assert_eq!((signed.logs.len(), signed.clocks.len()), (1, 1));
    }

    /// What is on record is what was signed: no time but those that somebody vouches for.
    #[test]
    fn times_without_promise_are_not_on_record() {
        let world = World::new();
        let root = world.trusted_root();
        let draft = world.keyless(&request(&[Log::V1], 1)).with(Defect::NoPromise);
        let mut bundle: Value = serde_json::from_slice(&draft.to_json()).unwrap();
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
        entry["integratedTime"] = "1748779300".into();
        let signed = ask(&root, bundle.to_string().as_bytes());
        assert_eq!(signed.times, [Request::default().signed_at]);
    }
}
