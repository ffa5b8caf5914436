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
use crate::identity::{Holder, Signed, Signer};
use crate::key::PublicKey;
use crate::signature::{Against, Content, SignedDocument, Verifier};
use crate::{provenance, sbom};

/// Someone who verifiably signed, as a policy would name them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Proposed {
    /// The holder of a certificate.
    Certificate { identity: String, issuer: String, root: Option<String> },
    /// The holder of one of the keys that the caller has reason to trust, in PEM.
    Key { pem: String, root: Option<String> },
}

/// What verified signatures and the provenance under them show.
#[derive(Default)]
struct Shown {
    /// Who signed, and the builders that they signed for.
    signers: BTreeMap<Proposed, BTreeSet<String>>,
    sources: BTreeSet<(String, Option<String>)>,
    /// Other types of statements, with who signed them and the contents that they cover.
    papers: BTreeMap<String, Paper>,
    /// The signed SBOMs.
    sboms: Paper,
    has_sbom: bool,
    skipped: usize,
}

/// What is signed of one type that is neither provenance nor an SBOM.
#[derive(Default)]
struct Paper {
    signers: BTreeSet<Proposed>,
    covered: BTreeMap<usize, DigestMatch>,
}

impl Paper {
    fn add(&mut self, signer: Proposed, covered: BTreeMap<usize, DigestMatch>) {
        self.signers.insert(signer);
        self.covered.extend(covered);
    }
}

/// A signed line that holds and is about an artifact of the release.
struct Line {
    signer: Proposed,
    means: Means,
    covered: BTreeMap<usize, DigestMatch>,
}

/// What a signed line is.
enum Means {
    Provenance(Box<Provenance>),
    Sbom,
    Paper(String),
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
            // A proposal knows no file to hold it against.
            DocumentKind::Signature => shown.skipped += 1,
            DocumentKind::Statement
            | DocumentKind::Checksums
            | DocumentKind::Metablock
            | DocumentKind::Certificate
            | DocumentKind::LogEntry => {}
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
        let Some(line) = verified(ask, line) else {
            self.skipped += 1;
            return;
        };
        let builders = self.signers.entry(line.signer.clone()).or_default();
        match line.means {
            Means::Provenance(provenance) => {
                builders.insert(provenance.builder_id.clone());
                let triggers = provenance.sources.iter().filter(|s| s.role == SourceRole::Trigger);
                self.sources.extend(triggers.map(|source| {
                    let (repository, reference) = source.repository_and_ref();
                    (repository, reference.map(str::to_owned))
                }));
            }
            Means::Sbom => {
                self.has_sbom = true;
                self.sboms.add(line.signer, line.covered);
            }
            Means::Paper(kind) => {
                self.papers.entry(kind).or_default().add(line.signer, line.covered);
            }
        }
    }

    fn write(&self, evidence: &Evidence) -> String {
        let name = evidence.release.name();
        let mut text = format!("version = 1\nname = {}\n", quoted(name.project.as_str()));
        if self.skipped > 0 {
            push(
                &mut text,
                format_args!(
                    "# {} signed documents were left out: they do not verify by certificate or by a given key, cannot be read, or are about no artifact of the release.\n",
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
        text.push_str(&self.sbom_lines(evidence));
        text.push_str(&artifact_lines(evidence));
        text.push_str(&self.requirement_lines(evidence));
        text
    }

    /// Signers are proposed where they signed an SBOM of every artifact: with them, what nobody signed is
    /// no longer enough.
    fn sbom_lines(&self, evidence: &Evidence) -> String {
        if !self.has_sbom {
            return "\n[sbom]\nrule = \"off\"\n".to_owned();
        }
        match Inventory::new(&evidence.release).all_agree(&self.sboms.covered) {
            true => {
                let signers = self.names_of(&self.sboms.signers).join(", ");
                format!("\n[sbom]\nrule = \"require\"\nsigners = [{signers}]\n")
            }
            false => "\n[sbom]\nrule = \"require\"  # without signers, one that nobody signed is enough\n".to_owned(),
        }
    }

    /// What signers are called in the text, in quotes.
    fn names_of(&self, signers: &BTreeSet<Proposed>) -> Vec<String> {
        let all = self.signers.keys().enumerate();
        let named = all.filter(|(_, signer)| signers.contains(signer));
        named.map(|(at, _)| quoted(&format!("signer-{}", at + 1))).collect()
    }

    /// What was found signed beside provenance and SBOMs is asked of the next release too.
    fn requirement_lines(&self, evidence: &Evidence) -> String {
        let inventory = Inventory::new(&evidence.release);
        let lines = self.papers.iter().map(|(kind, paper)| {
            let signers = self.names_of(&paper.signers);
            let paths = match inventory.all_agree(&paper.covered) {
                true => String::new(),
                false => paths_line(evidence, &inventory, paper),
            };
            format!(
                "\n[[require]]\nname = {0}\npredicate = {0}\nof = \"artifacts\"\n{paths}signers = [{1}]\n",
                quoted(kind),
                signers.join(", ")
            )
        });
        lines.collect()
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
        Proposed::Certificate { identity, issuer, root } => {
            let root = root_line(root.as_deref());
            format!("issuer = {}\nidentity = {}\n{root}", quoted(issuer), quoted(identity))
        }
        Proposed::Key { pem, root } => {
            format!("public_key = \"\"\"\n{pem}\"\"\"\n{}", root_line(root.as_deref()))
        }
    }
}

/// Of several trust roots, the one that vouched.
fn root_line(root: Option<&str>) -> String {
    root.map(|root| format!("root = {}\n", quoted(root))).unwrap_or_default()
}

/// A line whose signature holds, and that is about an artifact.
fn verified(ask: &Ask<'_>, line: &[u8]) -> Option<Line> {
    let document = SignedDocument::parse(line).ok()?; // counted as left out
    if !document.lacks().is_empty() {
        return None; // whether that is enough is not for a proposal to say
    }
    let candidates = std::iter::once(None).chain(ask.keys.iter().map(Some));
    let signed = candidates.into_iter().find_map(|key| {
        let against = Against { key, file: None };
        let signed = ask.verifier.verify(&document, &against).ok()?; // counted as left out
        let signed = signed.into_iter().next()?;
        let times = signed.times.clone();
        Some((proposed(signed, key)?, times))
    });
    let (signer, times) = signed?;
    let Content::Statement(statement) = document.content() else { return None };
    let mut covered = ask.inventory.covered_by(statement);
    covered.retain(|_, matched| *matched == DigestMatch::Agrees);
    if covered.is_empty() || times.iter().any(|time| *time > ask.now) {
        return None;
    }
    let kind = &statement.predicate_type;
    let means = if provenance::is_type(kind) {
        Means::Provenance(Box::new(Provenance::parse(statement).ok()?)) // counted as left out
    } else if sbom::is_type(kind) {
        Means::Sbom
    } else {
        Means::Paper(kind.clone())
    };
    Some(Line { signer, means, covered })
}

fn proposed(signed: Signed, key: Option<&PublicKey>) -> Option<Proposed> {
    let root = signed.root.filter(|root| !root.is_only).map(|root| root.told());
    match signed.signer {
        Signer::Certificate(Holder { identity, issuer, .. }) => {
            Some(Proposed::Certificate { identity, issuer, root })
        }
        Signer::Key(_) => key.map(|key| Proposed::Key { pem: key.to_pem(), root }),
    }
}

fn reference_line(reference: &str, version: &str) -> String {
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return format!("tag = {}\n", quoted(&with_stand_in(tag, version, "{version}")));
    }
    match reference.strip_prefix("refs/heads/") {
        Some(branch) => format!("branch = {}\n", quoted(branch)),
        None => format!("ref = {}\n", quoted(reference)),
    }
}

/// The artifacts that a paper is about, with a star for the version.
fn paths_line(evidence: &Evidence, inventory: &Inventory<'_>, paper: &Paper) -> String {
    let version = evidence.release.name().version.as_str();
    let artifacts = paper.covered.keys().flat_map(|content| inventory.holders_of(*content));
    let paths: BTreeSet<_> = artifacts
        .filter_map(|at| evidence.release.artifacts().get(*at))
        .map(|artifact| quoted(&with_stand_in(artifact.path.as_str(), version, "*")))
        .collect();
    format!("paths = [{}]\n", paths.into_iter().collect::<Vec<_>>().join(", "))
}

fn artifact_lines(evidence: &Evidence) -> String {
    let version = evidence.release.name().version.as_str();
    let paths = evidence.release.artifacts().iter().map(|artifact| {
        let path = with_stand_in(artifact.path.as_str(), version, "{version}");
        format!("    {},\n", quoted(&path))
    });
    format!("\n[release]\nartifacts = [\n{}]\n", paths.collect::<String>())
}

/// The text with something in place of the version, where that stands by itself: what is part of a word or of
/// a longer number, as the 1 of `amd64-v1.1`, is not meant.
fn with_stand_in(text: &str, version: &str, stand_in: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(version) {
        out.push_str(before);
        let is_part = |beside: Option<char>| beside.is_some_and(char::is_alphanumeric);
        let mut following = after.chars();
        let next = following.next();
        let goes_on = next == Some('.') && following.next().is_some_and(|c| c.is_ascii_digit());
        let came_from =
            out.ends_with('.') && out.trim_end_matches('.').ends_with(|c: char| c.is_ascii_digit());
        let alone = !(is_part(out.chars().next_back()) || is_part(next) || goes_on || came_from);
        out.push_str(if alone { stand_in } else { version });
        rest = after;
    }
    out + rest
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
mod tests;
