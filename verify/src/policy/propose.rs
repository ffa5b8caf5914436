//! A first policy, proposed from what a release shows. Only identities whose signatures hold are
//! proposed; who deserves trust, and for which level, stays for a person to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bonded_model::slsa::{Provenance, SourceRole};
use bonded_model::{DocumentKind, Evidence, ReleaseName, Timestamp};

use crate::facts::lines_of;
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
    for document in &evidence.documents {
        match document.kind {
            DocumentKind::Bundle | DocumentKind::Envelope => {
                let lines = lines_of(&document.bytes);
                lines.into_iter().for_each(|line| shown.look(verifier, line, keys, now));
            }
            DocumentKind::Spdx | DocumentKind::CycloneDx => shown.has_sbom = true,
            DocumentKind::Statement | DocumentKind::Checksums => {}
        }
    }
    shown.write(evidence)
}

impl Shown {
    fn look(&mut self, verifier: &Verifier, line: &[u8], keys: &[PublicKey], now: Timestamp) {
        match verified(verifier, line, keys, now) {
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
                    "# {} signed documents were left out: they do not verify by certificate or by a given key, or are no provenance.\n",
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

    /// A source and a ref are proposed only where the evidence agrees on one.
    fn source_lines(&self, name: &ReleaseName) -> String {
        let repositories: BTreeSet<_> = self.sources.iter().map(|(source, _)| source).collect();
        let references: BTreeSet<_> = self.sources.iter().map(|(_, at)| at.as_deref()).collect();
        let mut text = match repositories.iter().collect::<Vec<_>>().as_slice() {
            [one] => format!("source = {}\n", quoted(one)),
            _ => "# source = \"…\"  # the evidence does not agree on one\n".to_owned(),
        };
        let references: Vec<_> = references.into_iter().collect();
        text.push_str(&match references.as_slice() {
            [Some(one)] => reference_line(one, name.version.as_str()),
            _ => "# tag = \"{version}\"  # the evidence does not agree on a ref\n".to_owned(),
        });
        text
    }
}

fn who_lines(proposed: &Proposed) -> String {
    match proposed {
        Proposed::Certificate { identity, issuer } => {
            format!("issuer = {}\nidentity = {}\n", quoted(issuer), quoted(identity))
        }
        Proposed::Key(pem) => format!("public_key = \"\"\"\n{pem}\"\"\"\n"),
    }
}

/// Who signed a line, if the signature holds, and the provenance that it is.
fn verified(
    verifier: &Verifier,
    line: &[u8],
    keys: &[PublicKey],
    now: Timestamp,
) -> Option<(Proposed, Provenance)> {
    let document = SignedDocument::parse(line).ok()?; // counted as left out
    let candidates = std::iter::once(None).chain(keys.iter().map(Some));
    let signed = candidates.into_iter().find_map(|key| {
        let against = Against { key, file: None };
        let signed = verifier.verify(&document, &against).ok()?; // counted as left out
        Some((proposed(signed.signer, key)?, signed.times))
    });
    let (signer, times) = signed?;
    let Content::Statement(statement) = document.content() else { return None };
    let provenance = Provenance::parse(statement).ok()?; // counted as left out
    times.iter().all(|time| *time <= now).then_some((signer, provenance))
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

/// A TOML basic string: JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    String::from_utf8(bonded_model::json::to_canonical(text)).expect("JSON is UTF-8")
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String never fails");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use crate::testing::{BUILDER, Case, Key, SOURCE, workflow};
    use crate::trust::TrustRoot;

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
            let policy = Policy::parse(&text).unwrap();
            assert!(
                !crate::verify_release(&verifier, &policy, &case.evidence(), case.now).is_pass()
            );
        }
    }
}
