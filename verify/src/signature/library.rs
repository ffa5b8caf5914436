//! The library behind the seam: every type of the `sigstore` family that verifies stays in here.
//!
//! The library reads the machine's clock: to refuse log entries from the future, and to leave out
//! authorities, logs and their checkpoint keys whose time in the trust root has not started. Every
//! authenticated time is compared with the caller's `now` again; what else the clock changes is in
//! `docs/adr/0004-sigstore-verify-behind-our-own-trait.md`.

use std::collections::BTreeMap;

use bonded_model::dsse::Envelope;
use bonded_model::statement::Statement;
use bonded_model::{Algorithm, Digest, Timestamp};
use sigstore_crypto::{CertificateInfo, FulcioCiClaims, KeyAlgorithm, SubjectAltName};
use sigstore_types::bundle::MessageDigest;
use sigstore_types::{
    Artifact, ArtifactDigest, Bundle, HashAlgorithm, SignatureBytes, SignatureContent,
};
use sigstore_verify::{
    Error, Policy, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy,
    VerificationResult,
};

use super::{Against, Content, Material, SignatureVerifier, SignedDocument, SignedFile, Wire};
use crate::code::Code;
use crate::finding::Fault;
use crate::identity::{Claim, GITHUB_ISSUER, Holder, Signed, Signer};
use crate::key::PublicKey;
use crate::trust::{TrustRoot, TrustRootError};

/// The library's verifier under one trust root.
pub(super) struct Library {
    inner: sigstore_verify::Verifier,
}

impl Library {
    pub(super) fn new(root: &TrustRoot) -> Result<Self, TrustRootError> {
        let inner = sigstore_verify::Verifier::new(root.inner());
        Ok(Self { inner: inner.map_err(|error| TrustRootError::Unusable(error.into()))? })
    }
}

impl SignatureVerifier for Library {
    fn verify(&self, document: &SignedDocument, against: &Against<'_>) -> Result<Signed, Fault> {
        match (&document.wire, document.material()) {
            (Wire::Envelope(envelope), _) => verify_envelope(envelope, wanted_key(against)?),
            (Wire::Bundle(bundle), Material::Certificate) => {
                let policy = VerificationPolicy::any_identity();
                let result = self.ask(bundle, &document.content, &policy, against)?;
                by_certificate(&result)
            }
            (Wire::Bundle(bundle), Material::Key { .. }) => {
                self.verify_with_key(bundle, &document.content, wanted_key(against)?, against)
            }
        }
    }
}

impl Library {
    fn verify_with_key(
        &self,
        bundle: &Bundle,
        content: &Content,
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
        let result = self.ask(bundle, content, &policy, against)?;
        let times = times_of(seconds_of(&result))?;
        Ok(Signed { signer: Signer::Key(key.digest()), times, logged })
    }

    /// Asks with a digest where the scheme allows it, and with the bytes where it needs them.
    fn ask(
        &self,
        bundle: &Bundle,
        content: &Content,
        policy: &dyn Policy,
        against: &Against<'_>,
    ) -> Result<VerificationResult, Fault> {
        let file = match content {
            Content::Statement(statement) => {
                let subject = a_subject(statement)?;
                return self.inner.verify(subject, bundle, policy).map_err(|e| fault_of(&e));
            }
            Content::File => wanted_file(against)?,
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
                self.inner.verify(bytes, bundle, policy).map_err(|e| fault_of(&e))
            }
            (Some(outcome), _) => outcome.map_err(|e| fault_of(&e)),
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
    Signed { signer: Signer::Key(key.digest()), times: Vec::new(), logged: false }
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
        Some(expected) if *expected != found => {
            Err(Fault::new(Code::SigSubject, expected.to_string(), found.to_string()))
        }
        _ => Ok(bytes),
    }
}

fn check_declared(declared: &MessageDigest, file: &SignedFile<'_>) -> Result<(), Fault> {
    let Some(declared) = declared_digest(declared) else {
        return Ok(()); // a SHA-384 digest: the signature itself decides
    };
    let mine = file.digests.iter().find(|digest| digest.algorithm() == declared.algorithm());
    match mine {
        Some(mine) if *mine != declared => {
            Err(Fault::new(Code::SigSubject, mine.to_string(), declared.to_string()))
        }
        _ => Ok(()),
    }
}

/// The digest that a message signature declares, if it is of an algorithm that is compared here.
fn declared_digest(declared: &MessageDigest) -> Option<Digest> {
    let bytes = declared.digest.as_bytes();
    match declared.algorithm {
        HashAlgorithm::Sha2256 => bytes.try_into().ok().map(Digest::from_sha256), // else no digest
        HashAlgorithm::Sha2512 => bytes.try_into().ok().map(Digest::from_sha512), // else no digest
        _ => None,
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

fn by_certificate(result: &VerificationResult) -> Result<Signed, Fault> {
    let complete = result.certificate_verified() && result.sct_verified() && result.tlog_verified();
    let certificate = result.certificate().filter(|_| complete);
    let Some(certificate) = certificate else {
        return Err(Fault::new(Code::SigCertificate, "a verified certificate", "none"));
    };
    Ok(Signed {
        signer: Signer::Certificate(holder_of(certificate)?),
        times: times_of(seconds_of(result))?,
        logged: true,
    })
}

fn holder_of(certificate: &CertificateInfo) -> Result<Holder, Fault> {
    let missing = |what: &str| Fault::new(Code::SigCertificate, what, "none");
    let identity = match &certificate.identity {
        // An address that reads like a URI must not pass for one.
        Some(SubjectAltName::Email(email)) if email.contains(['/', ':']) => {
            return Err(Fault::new(Code::SigCertificate, "an e-mail address", email));
        }
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
fn times_of(seconds: impl Iterator<Item = i64>) -> Result<Vec<Timestamp>, Fault> {
    seconds
        .map(|seconds| {
            Timestamp::from_unix_seconds(seconds)
                .map_err(|error| Fault::of_error(Code::SigTime, "a time of this era", &error))
        })
        .collect()
}

fn seconds_of(result: &VerificationResult) -> impl Iterator<Item = i64> {
    result.verified_timestamps().iter().map(|time| time.as_second())
}

fn fault_of(error: &Error) -> Fault {
    use sigstore_verify::bundle::error::Error as Structure;
    let (code, expected) = match error {
        Error::Crypto(error) => return crypto_fault(error),
        Error::SignatureInvalid(_) => (Code::SigInvalid, "a signature that verifies"),
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
