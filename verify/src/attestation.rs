//! Attestations: signed documents as the rules see them, with everything known about each that does
//! not depend on an artifact. One document is verified once, however many artifacts it covers.

use bonded_model::detached::Files;
use bonded_model::predicate::Predicate;
use bonded_model::sbom::SbomView;
use bonded_model::statement::Statement;
use bonded_model::vsa::Summary;
use bonded_model::{Digest, Timestamp, Version};

use crate::code::Code;
use crate::finding::Fault;
use crate::identity::{Signed, Signer, SignerRule, Who, recognise};
use crate::key::PublicKey;
use crate::legacy::Lack;
use crate::moment::Moment;
use crate::policy::{DemandsAt, Pinned, Policy};
use crate::provenance::{self, Assessed, Vouched};
use crate::sbom;
use crate::signature::{
    Against, Content, Material, Refused, SignedDocument, SignedFile, Verifier, is_by_clock,
    statement_of,
};
use crate::verdict::SignedBy;
use crate::vsa;

/// One signed line of a document.
#[derive(Debug)]
pub(crate) struct Attestation {
    /// What it is for, as far as its type tells.
    pub(crate) purpose: Purpose,
    /// What it says it is about. To be believed only if `faults` is empty; until then it only
    /// decides whom the faults are reported to.
    pub(crate) statement: Option<Statement>,
    /// What stands against it, whatever artifact it is held against.
    pub(crate) faults: Vec<Fault>,
    /// The signers of the policy that made it.
    pub(crate) signers: Vec<SignedBy>,
    /// What stands against signatures beside those that hold. It is for the record: they take nothing away.
    pub(crate) asides: Vec<Fault>,
}

/// Who made a document, or else what stands against each who says so.
struct Recognised {
    signers: Vec<SignedBy>,
    faults: Vec<Fault>,
    /// What stands against others where somebody is recognised.
    asides: Vec<Fault>,
}

/// What an attestation is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// SLSA provenance, with what the rules made of it under each of the policy's demands; with nothing
    /// if its signature does not hold or its predicate cannot be read.
    Provenance(Vec<Assessed>),
    /// A wrapped SBOM, if its document can be read.
    Sbom(Option<SbomView>),
    /// A verification summary, if it is authentic and can be read, or as much of it can that it says FAILED.
    Summary(Option<Box<Summary>>),
    /// A signature over a file.
    File,
    /// A statement of any other type: for requirements, npm and expressions.
    Other,
    /// Nothing legible.
    Unreadable,
}

/// What attestations are assessed under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) verifier: &'a Verifier,
    pub(crate) policy: &'a Policy,
    pub(crate) version: Option<&'a Version>,
    pub(crate) now: &'a Moment,
}

impl<'a> Frame<'a> {
    /// The library leaves out what the trust root names for a later time by the machine's clock, which is
    /// to be that of the verdict: the verdict may change when such a time comes.
    pub(crate) fn new(
        verifier: &'a Verifier,
        policy: &'a Policy,
        version: Option<&'a Version>,
        now: &'a Moment,
    ) -> Self {
        verifier.beginnings().iter().for_each(|time| now.note(*time));
        Self { verifier, policy, version, now }
    }
}

impl Attestation {
    /// Reads and assesses one line, with the file that it is about if it is a message signature.
    pub(crate) fn assess(frame: &Frame<'_>, bytes: &[u8], file: Option<SignedFile<'_>>) -> Self {
        let document = match SignedDocument::parse(bytes) {
            Ok(document) => document,
            Err(refused) => {
                return match pinned(frame.policy, bytes, &refused) {
                    Some(pinned) => Self::pinned(frame, refused, pinned),
                    None => Self::refused(refused.claimed, refused.fault, file),
                };
            }
        };
        Self::signed(frame, document, file)
    }

    /// Reads and assesses a signature in a file of its own, with what lies beside it.
    pub(crate) fn assess_files(
        frame: &Frame<'_>,
        files: &Files<'_>,
        file: Option<SignedFile<'_>>,
    ) -> Self {
        match SignedDocument::of_files(files) {
            Ok(document) => Self::signed(frame, document, file),
            Err(refused) => Self::refused(refused.claimed, refused.fault, file),
        }
    }

    /// A signature over a file that was refused unread.
    pub(crate) fn refused_file(fault: Fault, file: Option<SignedFile<'_>>) -> Self {
        Self::refused(Some(Content::File), fault, file)
    }

    fn signed(frame: &Frame<'_>, document: SignedDocument, file: Option<SignedFile<'_>>) -> Self {
        let rules = &frame.policy.signers;
        let lacks = document.lacks().to_vec();
        let excused = |lack: &Lack| rules.iter().any(|rule| rule.legacy.contains(&lack.form));
        // What no signer may lack need not be looked at any further.
        if let Some(lack) = lacks.iter().find(|lack| !excused(lack)) {
            return Self::refused(Some(document.into_content()), lack.fault.clone(), file);
        }
        document.claimed_times().for_each(|time| claimed(frame.now, time));
        match authenticate(frame.verifier, &document, rules, file) {
            Err(fault) => {
                // The machine's clock refused it, which may stand before `now` as well.
                if is_by_clock(&fault) {
                    frame.now.hold();
                }
                Self::refused(Some(document.into_content()), fault, file)
            }
            Ok(signed) => {
                let mut recognised = recognised(&signed, &lacks, rules, frame.now);
                recognised.asides.extend(stray_fault(&document, rules));
                match document.into_content() {
                    Content::Statement(statement) => {
                        Self::authentic(frame, statement, &signed, recognised)
                    }
                    Content::File => Self::of_file(file, recognised),
                }
            }
        }
    }

    /// A signature over a file, with what it says of it.
    fn of_file(file: Option<SignedFile<'_>>, recognised: Recognised) -> Self {
        let Recognised { signers, faults, asides } = recognised;
        let statement = file.as_ref().and_then(statement_of);
        Self { purpose: Purpose::File, statement, faults, signers, asides }
    }

    fn authentic(
        frame: &Frame<'_>,
        statement: Statement,
        signed: &[Signed],
        recognised: Recognised,
    ) -> Self {
        let Recognised { signers, mut faults, asides } = recognised;
        let mut purpose = Purpose::of(&statement);
        match &mut purpose {
            Purpose::Provenance(assessed) => {
                let vouched = Vouched::Signed {
                    holder: signed.iter().find_map(Signed::holder),
                    signers: &signers,
                };
                match provenance::assess(frame, &statement, &vouched) {
                    Ok(under_each) => *assessed = under_each,
                    Err(fault) => faults.push(fault),
                }
            }
            Purpose::Sbom(view) => match sbom::read_predicate(&statement) {
                Ok(read) => *view = Some(read),
                Err(fault) => faults.push(fault),
            },
            Purpose::Summary(read) => match Summary::parse(&statement) {
                Ok(summary) => {
                    faults.extend(summary.failed().then(|| failed_fault(&statement)));
                    *read = Some(Box::new(summary));
                }
                Err(error) => {
                    let expected = expected_predicate(&statement);
                    faults.push(Fault::of_error(Code::StmtPredicate, expected, &error));
                    *read = Summary::failure(&statement).map(Box::new);
                    faults.extend(read.is_some().then(|| failed_fault(&statement)));
                }
            },
            Purpose::Other => faults.extend(predicate_fault(&statement)),
            Purpose::File | Purpose::Unreadable => {}
        }
        Self { purpose, statement: Some(statement), faults, signers, asides }
    }

    /// Whether its signature holds and a signer of the policy made it, so that it says what it says, be it
    /// that something failed.
    pub(crate) fn is_said(&self) -> bool {
        let said = |fault: &Fault| matches!(fault.code, Code::StmtFailed | Code::StmtPredicate);
        self.faults.iter().all(said)
    }

    /// What the rules made of a provenance under those demands.
    pub(crate) fn assessed(&self, under: DemandsAt) -> Option<&Assessed> {
        match &self.purpose {
            Purpose::Provenance(assessed) => assessed.get(under),
            Purpose::Sbom(_)
            | Purpose::Summary(_)
            | Purpose::File
            | Purpose::Other
            | Purpose::Unreadable => None,
        }
    }

    /// What stands against it under those demands, whatever artifact it is held against.
    pub(crate) fn faults_under(&self, under: DemandsAt) -> Vec<Fault> {
        let of_rules = self.assessed(under).map_or(&[][..], |assessed| &assessed.faults);
        [&self.faults, of_rules].concat()
    }

    /// Its signers who speak for the builder under those demands. Whoever else signed it counts for
    /// nothing where provenance is asked for.
    pub(crate) fn speakers_under(&self, under: DemandsAt) -> Vec<SignedBy> {
        let speakers = self.assessed(under).map(|assessed| &assessed.speakers);
        let speaks = |signer: &&SignedBy| speakers.is_some_and(|s| s.contains(&signer.name));
        self.signers.iter().filter(speaks).cloned().collect()
    }

    /// Its signers under those demands: of a provenance those who speak for its builder come first.
    pub(crate) fn signers_under(&self, under: DemandsAt) -> Vec<SignedBy> {
        let mut signers = self.signers.clone();
        if let Some(assessed) = self.assessed(under) {
            signers.sort_by_key(|signer| !assessed.speakers.contains(&signer.name));
        }
        signers
    }

    /// The level of the builder of a provenance that nothing stands against.
    pub(crate) fn level_under(&self, under: DemandsAt) -> Option<u8> {
        let assessed = self.assessed(under)?;
        let holds = self.faults.is_empty() && assessed.faults.is_empty();
        assessed.level.filter(|_| holds)
    }

    /// A provenance without a signature whose checksum the policy names. Anything else stays unsigned.
    fn pinned(frame: &Frame<'_>, refused: Refused, pinned: &Pinned) -> Self {
        let statement = match refused.claimed {
            Some(Content::Statement(statement))
                if provenance::is_type(&statement.predicate_type) =>
            {
                statement
            }
            claimed => return Self::refused(claimed, refused.fault, None),
        };
        let assessed = provenance::assess(frame, &statement, &Vouched::Pinned(pinned));
        let (assessed, faults) = match assessed {
            Ok(under_each) if under_each.iter().all(|one| one.level.is_some()) => {
                (under_each, Vec::new())
            }
            // Of another builder than the policy says: then the checksum vouches for nothing.
            Ok(under_each) => (under_each, vec![refused.fault]),
            Err(fault) => (Vec::new(), vec![refused.fault, fault]),
        };
        let purpose = Purpose::Provenance(assessed);
        let (signers, asides) = (Vec::new(), Vec::new());
        Self { purpose, statement: Some(statement), faults, signers, asides }
    }

    fn refused(claimed: Option<Content>, fault: Fault, file: Option<SignedFile<'_>>) -> Self {
        let (signers, faults, asides) = (Vec::new(), vec![fault], Vec::new());
        let (purpose, statement) = match claimed {
            Some(Content::Statement(statement)) => (Purpose::of(&statement), Some(statement)),
            Some(Content::File) => {
                return Self::of_file(file, Recognised { signers, faults, asides });
            }
            None => (Purpose::Unreadable, None),
        };
        Self { purpose, statement, faults, signers, asides }
    }
}

/// The library refuses log entries from the future of the machine's clock, and tells that time.
fn claimed(now: &Moment, time: Timestamp) {
    if !now.has_reached(time) {
        now.hold();
    }
}

/// What stands against a predicate of a type that has a reader, whatever a policy asks of it.
fn predicate_fault(statement: &Statement) -> Option<Fault> {
    match Predicate::parse(statement) {
        Err(error) => {
            let expected = expected_predicate(statement);
            Some(Fault::of_error(Code::StmtPredicate, expected, &error))
        }
        Ok(Some(predicate)) if predicate.says_failed() => Some(failed_fault(statement)),
        Ok(_) => None,
    }
}

fn expected_predicate(statement: &Statement) -> String {
    format!("a predicate of type {}", statement.predicate_type)
}

fn failed_fault(statement: &Statement) -> Fault {
    Fault::new(Code::StmtFailed, expected_predicate(statement), "one that says FAILED")
}

/// What the policy says of a document that was refused for want of a signature, by its checksum.
fn pinned<'p>(policy: &'p Policy, bytes: &[u8], refused: &Refused) -> Option<&'p Pinned> {
    if refused.fault.code != Code::SigUnsigned || policy.unsigned.is_empty() {
        return None;
    }
    let digest = Digest::sha256_of(bytes);
    policy.unsigned.iter().find(|pinned| pinned.digest == digest)
}

impl Purpose {
    fn of(statement: &Statement) -> Self {
        if provenance::is_type(&statement.predicate_type) {
            Self::Provenance(Vec::new())
        } else if sbom::is_type(&statement.predicate_type) {
            Self::Sbom(None)
        } else if vsa::is_type(&statement.predicate_type) {
            Self::Summary(None)
        } else {
            Self::Other
        }
    }
}

/// The signers who made any of the signatures, or else what stands against each.
fn recognised(all: &[Signed], lacks: &[Lack], rules: &[SignerRule], now: &Moment) -> Recognised {
    let (mut signers, mut faults, mut asides) = (Vec::new(), Vec::new(), Vec::new());
    for signed in all {
        match recognise(signed, lacks, rules, now) {
            Ok(rules) => signers.extend(rules.into_iter().map(|rule| signed.by(rule))),
            Err(against) => {
                // What another trust root makes of the same signature is no second signature.
                asides.extend(against.iter().filter(|_| signed.is_by_key_alone()).cloned());
                faults.extend(against);
            }
        }
    }
    // A key that is trusted no more takes nothing away from the others.
    match signers.is_empty() {
        true => Recognised { signers, faults, asides: Vec::new() },
        false => Recognised { signers, faults: Vec::new(), asides },
    }
}

/// Signatures beside those that hold, which no key of the policy made: by somebody else, or of something else.
fn stray_fault(document: &SignedDocument, rules: &[SignerRule]) -> Option<Fault> {
    let (strays, count) = document.strays(&keys(rules))?;
    let seen = format!("{strays} of {count} signatures by another key, or over something else");
    (strays > 0).then(|| Fault::new(Code::SigKey, expected_keys(rules), seen))
}

/// Verifies the signatures: by certificate for whoever holds it, by key with each key of the signers. An
/// envelope can be signed by several of them.
pub(crate) fn authenticate(
    verifier: &Verifier,
    document: &SignedDocument,
    rules: &[SignerRule],
    file: Option<SignedFile<'_>>,
) -> Result<Vec<Signed>, Fault> {
    let hint = match document.material() {
        Material::Certificate => {
            let against = Against { key: None, file };
            return verifier.verify(document, &against);
        }
        Material::Key { hint } => hint,
    };
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for key in keys(rules) {
        match verifier.verify(document, &Against { key: Some(key), file }) {
            Ok(signed) => all.extend(signed),
            Err(fault) => faults.push((key, fault)),
        }
    }
    if !all.is_empty() {
        return Ok(all);
    }
    if let Some(at) = faults.iter().position(|(_, fault)| is_by_clock(fault)) {
        return Err(faults.swap_remove(at).1);
    }
    // The hint is unsigned: it chooses which fault to tell, never which key to believe.
    let hinted = faults.iter().position(|(key, _)| hint.as_deref() == Some(hint_of(key).as_str()));
    let only = (faults.len() == 1 && hint.is_none_or(|hint| !names_a_key(&hint))).then_some(0);
    match hinted.or(only).map(|at| faults.swap_remove(at)) {
        Some((_, fault)) => Err(fault),
        None => Err(Fault::new(Code::SigKey, expected_keys(rules), "a signature by another key")),
    }
}

fn keys(rules: &[SignerRule]) -> Vec<&PublicKey> {
    let mut keys: Vec<&PublicKey> = Vec::new();
    for rule in rules {
        if let Who::Key(rule) = &rule.who
            && !keys.contains(&&rule.key)
        {
            keys.push(&rule.key);
        }
    }
    keys
}

fn expected_keys(rules: &[SignerRule]) -> String {
    let digests: Vec<_> = keys(rules).iter().map(|key| key.digest().to_string()).collect();
    if digests.is_empty() { "a key, but none is trusted".to_owned() } else { digests.join(" or ") }
}

/// The usual hint: base64 of the SHA-256 of the key.
fn hint_of(key: &PublicKey) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(key.digest().as_bytes())
}

fn names_a_key(hint: &str) -> bool {
    const HINT_CHARACTERS: usize = 44;
    hint.len() == HINT_CHARACTERS && hint.ends_with('=')
}

impl Signed {
    /// The certificate's holder, if the signature was made by one.
    pub(crate) fn holder(&self) -> Option<&crate::identity::Holder> {
        match &self.signer {
            Signer::Certificate(holder) => Some(holder),
            Signer::Key(_) => None,
        }
    }
}
