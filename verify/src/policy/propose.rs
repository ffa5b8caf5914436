//! A first policy, proposed from what a release shows. Only identities whose signatures hold are
//! proposed; who deserves trust, and for which level, stays for a person to decide. So does what the
//! evidence does not agree on: it is left commented out, and the text is no policy until then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bonded_model::slsa::{Provenance, SourceRole};
use bonded_model::statement::DigestMatch;
use bonded_model::{DocumentKind, Evidence, ReleaseName, Timestamp};

use super::rule::ANY;
use crate::facts::{Inventory, lines_of};
use crate::identity::{Holder, Signer};
use crate::key::PublicKey;
use crate::signature::{Against, Content, SignedDocument, Verifier};

/// Someone who verifiably signed, as a policy would name them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Proposed {
    /// The holder of a certificate.
    Certificate { identity: String, issuer: String },
    /// The holder of one of the keys that the caller has reason to trust, in PEM.
    Key(String),
}

/// What verified signatures and the provenance under them show.
#[derive(Default)]
struct Shown {
    /// Who signed, and the builders that they signed for.
    signers: BTreeMap<Proposed, BTreeSet<String>>,
    sources: BTreeSet<(String, Option<String>)>,
    has_sbom: bool,
    skipped: usize,
}

/// Proposes a policy text for the project of a release, from the evidence that is held for it.
///
/// Certificates speak for themselves; of managed keys only those in `keys` are proposed, since a
/// bundle does not hold the key that made it.
pub fn propose(
    verifier: &Verifier,
    evidence: &Evidence,
    keys: &[PublicKey],
    now: Timestamp,
) -> String {
    let mut shown = Shown::default();
    let ask = Ask { verifier, inventory: &Inventory::new(&evidence.release), keys, now };
    for document in &evidence.documents {
        match document.kind {
            DocumentKind::Bundle | DocumentKind::Envelope => {
                let lines = lines_of(&document.bytes);
                lines.into_iter().for_each(|line| shown.look(&ask, line));
            }
            DocumentKind::Spdx | DocumentKind::CycloneDx => shown.has_sbom = true,
            DocumentKind::Statement | DocumentKind::Checksums => {}
        }
    }
    shown.write(evidence)
}

/// What a signed line is held against.
struct Ask<'a> {
    verifier: &'a Verifier,
    inventory: &'a Inventory<'a>,
    keys: &'a [PublicKey],
    now: Timestamp,
}

impl Shown {
    fn look(&mut self, ask: &Ask<'_>, line: &[u8]) {
        match verified(ask, line) {
            Some((signer, provenance)) => {
                let builders = self.signers.entry(signer).or_default();
                builders.insert(provenance.builder_id.clone());
                let triggers = provenance.sources.iter().filter(|s| s.role == SourceRole::Trigger);
                self.sources.extend(triggers.map(|source| {
                    let (repository, reference) = source.repository_and_ref();
                    (repository, reference.map(str::to_owned))
                }));
            }
            None => self.skipped += 1,
        }
    }

    fn write(&self, evidence: &Evidence) -> String {
        let name = evidence.release.name();
        let mut text = format!("version = 1\nname = {}\n", quoted(name.project.as_str()));
        if self.skipped > 0 {
            push(
                &mut text,
                format_args!(
                    "# {} signed documents were left out: they do not verify by certificate or by a given key, are no provenance, or are about no artifact of the release.\n",
                    self.skipped
                ),
            );
        }
        let mut builders: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (at, (proposed, ids)) in self.signers.iter().enumerate() {
            let signer = format!("signer-{}", at + 1);
            push(
                &mut text,
                format_args!("\n[[signer]]\nname = {}\n{}", quoted(&signer), who_lines(proposed)),
            );
            ids.iter().for_each(|id| builders.entry(id).or_default().push(quoted(&signer)));
        }
        for (id, signers) in builders {
            push(
                &mut text,
                format_args!(
                    "\n[[builder]]\nid = {}\nsigners = [{}]\nlevel = 1  # raise it to what you trust this builder for\n",
                    quoted(id),
                    signers.join(", ")
                ),
            );
        }
        text.push_str("\n[provenance]\nlevel = 1\n");
        text.push_str(&self.source_lines(name));
        let rule = if self.has_sbom { "require" } else { "off" };
        push(&mut text, format_args!("\n[sbom]\nrule = {}\n", quoted(rule)));
        text.push_str(&artifact_lines(evidence));
        text
    }

    /// A source and a ref are proposed only where the evidence agrees on one. Where it does not, the
    /// text stays without, and does not parse until a person has decided.
    fn source_lines(&self, name: &ReleaseName) -> String {
        let repositories: BTreeSet<_> = self.sources.iter().map(|(source, _)| source).collect();
        let references: BTreeSet<_> = self.sources.iter().map(|(_, at)| at.as_deref()).collect();
        let mut text = match repositories.iter().collect::<Vec<_>>().as_slice() {
            [one] if !one.is_empty() && one.as_str() != ANY => {
                format!("source = {}\n", quoted(one))
            }
            _ => format!("# source = \"…\"  # {UNDECIDED}\n"),
        };
        let references: Vec<_> = references.into_iter().collect();
        text.push_str(&match references.as_slice() {
            [Some(one)] if *one != ANY => reference_line(one, name.version.as_str()),
            _ => format!("# tag = \"{{version}}\"  # {UNDECIDED}\n"),
        });
        text
    }
}

/// Why a line is commented out.
const UNDECIDED: &str =
    "the evidence does not agree on one; decide, since this is no policy without it";

fn who_lines(proposed: &Proposed) -> String {
    match proposed {
        Proposed::Certificate { identity, issuer } => {
            format!("issuer = {}\nidentity = {}\n", quoted(issuer), quoted(identity))
        }
        Proposed::Key(pem) => format!("public_key = \"\"\"\n{pem}\"\"\"\n"),
    }
}

/// Who signed a line, if the signature holds, and the provenance of an artifact that it is.
fn verified(ask: &Ask<'_>, line: &[u8]) -> Option<(Proposed, Provenance)> {
    let document = SignedDocument::parse(line).ok()?; // counted as left out
    let candidates = std::iter::once(None).chain(ask.keys.iter().map(Some));
    let signed = candidates.into_iter().find_map(|key| {
        let against = Against { key, file: None };
        let signed = ask.verifier.verify(&document, &against).ok()?; // counted as left out
        Some((proposed(signed.signer, key)?, signed.times))
    });
    let (signer, times) = signed?;
    let Content::Statement(statement) = document.content() else { return None };
    let covered = ask.inventory.covered_by(statement);
    if !covered.values().any(|matched| *matched == DigestMatch::Agrees) {
        return None;
    }
    let provenance = Provenance::parse(statement).ok()?; // counted as left out
    times.iter().all(|time| *time <= ask.now).then_some((signer, provenance))
}

fn proposed(signer: Signer, key: Option<&PublicKey>) -> Option<Proposed> {
    match signer {
        Signer::Certificate(Holder { identity, issuer, .. }) => {
            Some(Proposed::Certificate { identity, issuer })
        }
        Signer::Key(_) => key.map(|key| Proposed::Key(key.to_pem())),
    }
}

fn reference_line(reference: &str, version: &str) -> String {
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return format!("tag = {}\n", quoted(&tag.replace(version, "{version}")));
    }
    match reference.strip_prefix("refs/heads/") {
        Some(branch) => format!("branch = {}\n", quoted(branch)),
        None => format!("ref = {}\n", quoted(reference)),
    }
}

fn artifact_lines(evidence: &Evidence) -> String {
    let version = evidence.release.name().version.as_str();
    let paths = evidence.release.artifacts().iter().map(|artifact| {
        let path = artifact.path.as_str().replace(version, "{version}");
        format!("    {},\n", quoted(&path))
    });
    format!("\n[release]\nartifacts = [\n{}]\n", paths.collect::<String>())
}

/// A TOML basic string: JSON's escapes are a subset of TOML's, which asks for one more.
fn quoted(text: &str) -> String {
    let text = String::from_utf8(bonded_model::json::to_canonical(text)).expect("JSON is UTF-8");
    text.replace('\u{7f}', "\\u007f")
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String never fails");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BUILDER, Case, FILE, Key, SOURCE, provenance, workflow};
    use crate::trust::TrustRoot;
    use crate::{Policy, PolicyError};

    #[test]
    fn what_is_proposed_is_a_policy_that_the_release_passes() {
        let case = Case::certified(workflow());
        let evidence = case.evidence();
        let verifier = Verifier::of_double(Box::new(case.double.unwrap()));
        let text = propose(&verifier, &evidence, &[], case.now);
        for part in [BUILDER, SOURCE, "tag = \"{version}\"", "\"bin/a\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let policy = Policy::parse(&text).unwrap();
        let verdict = crate::verify_release(&verifier, &policy, &evidence, case.now);
        assert!(verdict.is_pass(), "{verdict:?}");
    }

    #[test]
    fn a_managed_key_is_proposed_only_where_the_caller_gives_it() {
        let case = Case::good();
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let key = |seed| PublicKey::from_pem(&Key::from_seed(seed).public_pem()).unwrap();
        let text = propose(&verifier, &case.evidence(), &[key(2), key(1)], case.now);
        let policy = Policy::parse(&text).unwrap();
        assert!(text.contains(&key(1).to_pem()) && !text.contains(&key(2).to_pem()), "{text}");
        let verdict = crate::verify_release(&verifier, &policy, &case.evidence(), case.now);
        assert!(verdict.is_pass(), "{verdict:?}");
    }

    #[test]
    fn nobody_is_proposed_whose_signature_does_not_hold() {
        for case in [Case::certified(workflow()), Case::good()] {
            let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
            let text = propose(&verifier, &case.evidence(), &[], case.now);
            assert!(!text.contains("[[signer]]") && text.contains("# 1 signed document"), "{text}");
            assert!(matches!(Policy::parse(&text), Err(PolicyError::Source { .. })), "{text}");
        }
    }

    #[test]
    fn what_the_evidence_does_not_agree_on_has_to_be_decided() {
        let key = Key::from_seed(1);
        let public = PublicKey::from_pem(&key.public_pem()).unwrap();
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let with = |uri: &str| {
            let mut case = Case::good();
            let uri = uri.to_owned();
            let other = provenance(FILE, move |predicate| {
                predicate["buildDefinition"]["externalParameters"]["source"]["uri"] = uri.into();
            });
            case.attach(DocumentKind::Bundle, &key.bundle(&other.to_bytes()));
            propose(&verifier, &case.evidence(), std::slice::from_ref(&public), case.now)
        };
        let other = with("git+https://github.com/o/other@refs/tags/v1");
        assert!(matches!(Policy::parse(&other), Err(PolicyError::Source { .. })), "{other}");
        let decided = other.replace("# source = \"…\"", &format!("source = {}", quoted(SOURCE)));
        assert!(Policy::parse(&decided).is_ok(), "{decided}");
        let branch = with(&format!("git+{SOURCE}@refs/heads/main"));
        assert!(matches!(Policy::parse(&branch), Err(PolicyError::Reference { .. })), "{branch}");
        let decided = branch.replace("# tag =", "tag =");
        assert!(Policy::parse(&decided).is_ok(), "{decided}");
    }

    /// Text from a document is never the word that accepts everything.
    #[test]
    fn a_source_called_any_is_not_proposed() {
        let key = Key::from_seed(1);
        let public = PublicKey::from_pem(&key.public_pem()).unwrap();
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let mut case = Case::bare();
        let any = provenance(FILE, |predicate| {
            predicate["buildDefinition"]["externalParameters"]["source"]["uri"] = ANY.into();
        });
        case.attach(DocumentKind::Bundle, &key.bundle(&any.to_bytes()));
        let text = propose(&verifier, &case.evidence(), &[public], case.now);
        assert!(!text.contains("\nsource") && Policy::parse(&text).is_err(), "{text}");
    }

    #[test]
    fn provenance_about_other_files_is_left_out() {
        let key = Key::from_seed(1);
        let public = PublicKey::from_pem(&key.public_pem()).unwrap();
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let mut case = Case::bare();
        let other = key.bundle(&provenance(b"other", |_| {}).to_bytes());
        case.attach(DocumentKind::Bundle, &other);
        let text = propose(&verifier, &case.evidence(), &[public], case.now);
        assert!(!text.contains("[[signer]]") && text.contains("# 1 signed document"), "{text}");
    }

    #[test]
    fn every_text_can_be_quoted() {
        for text in ["a\u{7f}b", "\"\\\n\u{1}", "é\u{2028}"] {
            let policy =
                format!("version = 1\nname = {}\n[provenance]\nrule = \"off\"", quoted(text));
            assert_eq!(Policy::parse(&policy).unwrap().name(), text, "{policy}");
        }
    }
}
