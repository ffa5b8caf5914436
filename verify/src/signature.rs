//! Signed documents and the seam behind which signatures are verified.
//!
//! A document is read once: limits first, then strict JSON, then the library's parser, then the
//! statement inside. Whether its signature holds is asked once, without any artifact: the caller
//! matches the statement's subjects. Only a message signature is asked about with a file.
//!
//! A signature by certificate needs a transparency-log entry, and every entry needs an inclusion proof and
//! a checkpoint, whatever version the document claims to have. Its version is unsigned, so it must not
//! decide what has to be proved. A document that lacks some of it in a way for which there is a legacy form
//! is verified all the same, and says so: what it lacks stands against it unless its signer names the form.

mod cosign;
mod files;
mod library;
mod shape;
mod strict;

use std::borrow::Cow;

use bonded_model::detached::{self, Files};
use bonded_model::dsse::Envelope;
use bonded_model::media_type::IN_TOTO;
use bonded_model::statement::{Statement, StatementError, Subject};
use bonded_model::{Algorithm, Digest, Timestamp};
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Bundle, MediaType, SignatureContent};

use crate::code::Code;
use crate::finding::Fault;
use crate::identity::Signed;
use crate::key::PublicKey;
use crate::legacy::{Lack, Legacy};
use crate::roots::{self, Voucher};
use crate::trust::{TrustRoot, TrustRootError};
use cosign::Opened;
pub(crate) use library::is_by_clock;
use shape::{Form, Profile, Shape};

/// Decides whether signatures hold. A wrapper around the library is one; tests have another that
/// injects faults.
pub(crate) trait SignatureVerifier: Send + Sync {
    /// Verifies the signature of a document, with a key if it was made with a managed one, and over
    /// a file if it is a message signature.
    fn verify(&self, document: &SignedDocument, against: &Against<'_>) -> Result<Signed, Fault>;

    /// Whether it knows somebody who is said to vouch for a document, so that its word on it says more than
    /// that of others.
    fn knows(&self, document: &SignedDocument) -> bool;
}

/// What a signature is verified against.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Against<'a> {
    pub(crate) key: Option<&'a PublicKey>,
    pub(crate) file: Option<SignedFile<'a>>,
}

/// The file that a message signature is said to cover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedFile<'a> {
    pub(crate) digests: &'a [Digest],
    /// Schemes without a prehash, such as Ed25519, need the file itself.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// Verifies signatures under one trust root, or several side by side; made once and shared.
pub struct Verifier {
    /// The digest of all trust roots.
    root: Digest,
    /// When what the trust roots name begins to be believed.
    beginnings: Vec<Timestamp>,
    roots: Vec<Rooted>,
}

/// What verifies under one of the trust roots.
struct Rooted {
    voucher: Voucher,
    signatures: Box<dyn SignatureVerifier>,
}

impl Verifier {
    /// A verifier under that trust root.
    ///
    /// # Errors
    /// [`TrustRootError::Unusable`] if a key or certificate in it cannot be used.
    pub fn new(root: TrustRoot) -> Result<Self, TrustRootError> {
        Self::of_roots(vec![root])
    }

    /// A verifier under several trust roots. Where there are more than one, each signer of a policy says which
    /// one has to vouch for it. Their order does not matter.
    ///
    /// # Errors
    /// [`TrustRootError::Unusable`] if a key or certificate in one cannot be used,
    /// [`TrustRootError::Count`] and [`TrustRootError::Twice`] if they cannot stand side by side.
    pub fn of_roots(roots: Vec<TrustRoot>) -> Result<Self, TrustRootError> {
        let roots = roots::ordered(roots)?;
        let (root, is_only) = (roots::digest_of(&roots), roots.len() == 1);
        let mut beginnings = Vec::new();
        let mut rooted = Vec::new();
        for root in &roots {
            let signatures = library::Library::new(root)?;
            beginnings.extend_from_slice(signatures.beginnings());
            let name = root.name().map(str::to_owned);
            let voucher = Voucher { name, digest: root.digest(), is_only };
            rooted.push(Rooted { voucher, signatures: Box::new(signatures) });
        }
        Ok(Self { root, beginnings, roots: rooted })
    }

    /// The digest of its trust root; of several, that of their names and digests (`docs/policy.md`, Trust
    /// roots).
    pub fn trust_root_digest(&self) -> Digest {
        self.root
    }

    pub(crate) fn beginnings(&self) -> &[Timestamp] {
        &self.beginnings
    }

    /// The signature under each trust root that it holds under; if under none, what the one has against it
    /// that knows somebody who vouches for it. What needs no trust root holds once.
    pub(crate) fn verify(
        &self,
        document: &SignedDocument,
        against: &Against<'_>,
    ) -> Result<Vec<Signed>, Fault> {
        let (mut held, mut faults) = (Vec::new(), Vec::new());
        for rooted in &self.roots {
            match rooted.signatures.verify(document, against) {
                Ok(signed) if signed.is_by_key_alone() => return Ok(vec![signed]),
                Ok(signed) => held.push(Signed { root: Some(rooted.voucher.clone()), ..signed }),
                Err(fault) => faults.push((rooted, fault)),
            }
        }
        if !held.is_empty() {
            return Ok(held);
        }
        let knowing = faults.iter().position(|(rooted, _)| rooted.signatures.knows(document));
        let (_, fault) = faults.swap_remove(knowing.unwrap_or_default());
        Err(fault)
    }

    #[cfg(test)]
    pub(crate) fn of_double(signatures: Box<dyn SignatureVerifier>) -> Self {
        let root = Digest::sha256_of(b"double");
        let voucher = Voucher { name: Some("double".to_owned()), digest: root, is_only: true };
        Self { root, beginnings: Vec::new(), roots: vec![Rooted { voucher, signatures }] }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A document that says to be signed, well-formed and within limits; nothing in it is proved.
#[derive(Debug)]
pub(crate) struct SignedDocument {
    wire: Wire,
    content: Content,
    /// Each form that it is of has to be named.
    lacks: Vec<Lack>,
    /// What the signature is over, where that is neither an envelope nor a file that stands elsewhere.
    message: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Wire {
    Bundle(Box<Bundle>),
    Envelope(Envelope),
}

/// What a signature is over.
#[derive(Debug)]
pub(crate) enum Content {
    Statement(Statement),
    /// A file that stands elsewhere.
    File,
}

/// How a document says that its signature can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    Certificate,
    Key { hint: Option<String> },
}

/// Why a document was refused while reading, with what it claims to be a signature of if that much is
/// legible. The claim only decides whom the fault is reported to.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) claimed: Option<Content>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, claimed: None }
    }
}

impl SignedDocument {
    /// Reads one bundle, envelope or bare statement; which one is told by its content.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if detached::signature(bytes).is_some() {
            let signature = Cow::Borrowed(bytes);
            return Self::of_files(&Files { signature, certificates: vec![], entries: vec![] });
        }
        let shape = Shape::parse(bytes)?;
        let mut wire = match shape.form {
            Form::Statement => return Err(unsigned(bytes)),
            Form::Layer => return Self::parse_layer(bytes),
            Form::Blob => return Self::parse_blob(bytes),
            Form::Files => return Self::parse_files(bytes),
            Form::Envelope => Wire::Envelope(parse_envelope(bytes)?),
            Form::Bundle => {
                let bundle = parse_bundle(bytes);
                // The library reads checkpoints while it reads the bundle; say which of them it was.
                let bundle = bundle.map_err(|fault| shape.checkpoint_fault().unwrap_or(fault))?;
                Wire::Bundle(Box::new(bundle))
            }
        };
        let content = wire.content()?;
        let lacks = match shape.profile() {
            Profile::Kept => Vec::new(),
            Profile::PromiseOnly(fault) => {
                wire.rest_on_promises();
                vec![Lack { form: Legacy::PromiseOnly, fault }]
            }
            Profile::Broken(fault) => return Err(Refused { fault, claimed: Some(content) }),
        };
        Ok(Self { wire, content, lacks, message: None })
    }

    /// Reads a signature with the files beside it.
    fn parse_files(bytes: &[u8]) -> Result<Self, Refused> {
        let files = Files::parse(bytes).map_err(|error| {
            Fault::of_error(Code::SigMalformed, "a signature with the files beside it", &error)
        })?;
        Self::of_files(&files)
    }

    /// Reads a signature that stands in a file, with what lies beside it, as the bundle that they could have been. By
    /// certificate that is a form of its own, and if there is only a promise another one besides.
    pub(crate) fn of_files(files: &Files<'_>) -> Result<Self, Refused> {
        let of_a_file = |fault| Refused { fault, claimed: Some(Content::File) };
        let bundle = files::bundle(files).map_err(of_a_file)?;
        let mut read = Self::parse(&bundle).map_err(|refused| of_a_file(refused.fault))?;
        if !files.certificates.is_empty() {
            let lack =
                Lack::of(Legacy::CosignFiles, "a certificate in a file beside the signature");
            read.lacks.insert(0, lack);
        }
        Ok(read)
    }

    /// Reads a bundle of cosign's own, as the Sigstore bundle that it could have been.
    fn parse_blob(bytes: &[u8]) -> Result<Self, Refused> {
        let mut read = Self::parse(&cosign::open_blob(bytes)?)?;
        read.lacks = vec![Lack::of(Legacy::CosignBundle, "a bundle of cosign's own")];
        Ok(read)
    }

    /// Reads a layer of one of cosign's manifests, as the bundle that it could have been.
    fn parse_layer(bytes: &[u8]) -> Result<Self, Refused> {
        let Opened { bundle, form, payload } = cosign::open(bytes)?;
        let (content, message) = match payload {
            None => (None, None),
            Some(payload) => {
                (Some(Content::Statement(cosign::statement(&payload)?)), Some(payload))
            }
        };
        let lacks = vec![Lack::of(form, "a layer with annotations")];
        match Self::parse(&bundle) {
            Ok(read) => Ok(Self {
                wire: read.wire,
                content: content.unwrap_or(read.content),
                lacks,
                message,
            }),
            // What was signed says more of what it is about than that it is some file.
            Err(Refused { fault, claimed }) => Err(Refused { fault, claimed: content.or(claimed) }),
        }
    }

    /// What it lacks of the strict profile.
    pub(crate) fn lacks(&self) -> &[Lack] {
        &self.lacks
    }

    /// Whether a form that it is of goes without proof that a log holds the entry.
    fn rests_on_promises(&self) -> bool {
        self.lacks.iter().any(|lack| lack.form != Legacy::CosignFiles)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn into_content(self) -> Content {
        self.content
    }

    /// The times that log entries claim to have been made at, proved or not.
    pub(crate) fn claimed_times(&self) -> impl Iterator<Item = Timestamp> {
        let entries = match &self.wire {
            Wire::Bundle(bundle) => bundle.verification_material.tlog_entries.as_slice(),
            Wire::Envelope(_) => &[],
        };
        let times = entries.iter().filter_map(|entry| entry.integrated_time);
        // What lies outside the years is refused elsewhere.
        times.filter_map(|time| Timestamp::from_unix_seconds(time.as_second()).ok())
    }

    /// How many of several signatures none of those keys made, and how many there are. A bundle has one.
    pub(crate) fn strays(&self, keys: &[&PublicKey]) -> Option<(usize, usize)> {
        match &self.wire {
            Wire::Envelope(envelope) if envelope.signatures.len() > 1 => {
                Some((library::strays(envelope, keys), envelope.signatures.len()))
            }
            Wire::Envelope(_) | Wire::Bundle(_) => None,
        }
    }

    pub(crate) fn material(&self) -> Material {
        match &self.wire {
            Wire::Envelope(_) => Material::Key { hint: None },
            Wire::Bundle(bundle) => match &bundle.verification_material.content {
                VerificationMaterialContent::PublicKey(key) => {
                    Material::Key { hint: Some(key.hint.clone()) }
                }
                _ => Material::Certificate,
            },
        }
    }
}

/// What a signature over a file says of it: as much as the statement that cosign signs today.
pub(crate) fn statement_of(file: &SignedFile<'_>) -> Option<Statement> {
    let digest = file.digests.iter().find(|digest| digest.algorithm() == Algorithm::Sha256)?;
    let subject = Subject::new(String::new(), *digest);
    Some(Statement::new(vec![subject], cosign::SIGN_V1, &serde_json::json!({})))
}

impl Wire {
    /// Takes away the proofs without checkpoint, which prove nothing, and lets the library know the bundle as
    /// one of the version that needs no proof: it verifies every promise then, and the proofs that are left.
    fn rest_on_promises(&mut self) {
        let Self::Bundle(bundle) = self else { return };
        bundle.media_type = MediaType::Bundle0_1;
        for entry in &mut bundle.verification_material.tlog_entries {
            entry.inclusion_proof.take_if(|proof| proof.checkpoint.is_empty());
        }
    }

    fn content(&self) -> Result<Content, Refused> {
        match self {
            Self::Envelope(envelope) => statement(&envelope.payload_type, &envelope.payload),
            Self::Bundle(bundle) => match &bundle.content {
                SignatureContent::DsseEnvelope(envelope) => {
                    statement(&envelope.payload_type, envelope.payload.as_bytes())
                }
                SignatureContent::MessageSignature(_) => Ok(Content::File),
                _ => Err(unsupported("a DSSE envelope or a message signature", "another").into()),
            },
        }
    }
}

fn statement(payload_type: &str, payload: &[u8]) -> Result<Content, Refused> {
    if payload_type != IN_TOTO {
        return Err(unsupported(IN_TOTO, payload_type).into());
    }
    let statement = Statement::parse(payload).map_err(|error| statement_fault(&error))?;
    let strong = |subject: &Subject| {
        [Algorithm::Sha256, Algorithm::Sha512].iter().any(|a| subject.digest.digest(*a).is_some())
    };
    // A commit is what a summary of a source is about; git hashes it in ways of its own.
    let commit = |subject: &Subject| {
        crate::vsa::is_type(&statement.predicate_type) && subject.digest.get("gitCommit").is_some()
    };
    if statement.subjects.iter().any(|subject| strong(subject) || commit(subject)) {
        return Ok(Content::Statement(statement));
    }
    let names: Vec<_> =
        statement.subjects.iter().flat_map(|s| s.digest.iter().map(|(name, _)| name)).collect();
    Err(Fault::new(Code::StmtDigest, "a sha256 or sha512 digest", names.join(", ")).into())
}

fn statement_fault(error: &StatementError) -> Fault {
    Fault::of_error(Code::StmtMalformed, "an in-toto statement v1 or v0.1", error)
}

fn unsupported(expected: &str, seen: &str) -> Fault {
    Fault::new(Code::SigUnsupported, expected, seen)
}

fn unsigned(bytes: &[u8]) -> Refused {
    let fault =
        Fault::new(Code::SigUnsigned, "a signed statement", "a statement without signature");
    match Statement::parse(bytes) {
        Ok(statement) => Refused { fault, claimed: Some(Content::Statement(statement)) },
        Err(error) => statement_fault(&error).into(),
    }
}

fn parse_envelope(bytes: &[u8]) -> Result<Envelope, Fault> {
    Envelope::parse(bytes)
        .map_err(|error| Fault::of_error(Code::SigMalformed, "a DSSE envelope", &error))
}

fn parse_bundle(bytes: &[u8]) -> Result<Bundle, Fault> {
    const EXPECTED: &str = "a Sigstore bundle";
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::of_error(Code::SigMalformed, EXPECTED, &error))?;
    Bundle::from_json(text).map_err(|error| Fault::of_error(Code::SigMalformed, EXPECTED, &error))
}
