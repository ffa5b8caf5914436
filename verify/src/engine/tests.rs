//! Rules on whole releases, beyond the pairs that each finding code has.

use bonded_model::evidence::Subject as AttachedTo;
use bonded_model::json::to_canonical;
use bonded_model::media_type::IN_TOTO;
use bonded_model::statement::{DigestSet, Statement, Subject};
use bonded_model::vsa::{Summary, SummaryResult};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::facts::digests_of;
use crate::finding::Severity::{Fail, Note};
use crate::summary::SummaryRequest;
use crate::testing::{BUILDER, Case, FILE, Key, PATH, provenance, spdx, statement};
use crate::trust::TrustRoot;
use bonded_model::Digest;
use bonded_model::DocumentKind::{self, Bundle, Envelope, Spdx};

const OTHER: &[u8] = b"other";

fn check(case: Case, expected: &[(Severity, Code)]) -> Verdict {
    let verdict = case.verdict();
    let found: Vec<_> = verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&verdict.to_json()));
    verdict
}

fn signed(statement: &Statement) -> Vec<u8> {
    Key::from_seed(1).bundle(&statement.to_bytes())
}

fn two_files() -> Case {
    let mut case = Case::bare();
    case.files.push(("bin/b", OTHER.to_vec()));
    case
}

fn to(path: &str) -> AttachedTo {
    AttachedTo::Artifact(path.parse().unwrap())
}

#[test]
fn a_pass_names_level_document_and_signer() {
    let verdict = check(Case::good(), &[]);
    assert!(verdict.is_pass());
    let [artifact] = verdict.artifacts() else { panic!("one artifact") };
    assert_eq!((artifact.level, artifact.accepted.len()), (Some(3), 1));
    let signer = artifact.accepted[0].signer.as_ref().unwrap();
    assert_eq!((signer.name.as_str(), signer.signed_at), ("key", None));
    assert_eq!(signer.identity, Key::from_seed(1).digest().to_string());
}

#[test]
fn the_signer_on_record_is_the_one_that_speaks_for_the_builder() {
    let mut case = Case::good();
    let pem = Key::from_seed(1).public_pem();
    let second = format!("[[signer]]\nname = \"also\"\npublic_key = '''\n{pem}'''\n[[builder]]");
    case.edit("[[builder]]", &second);
    case.edit("[\"key\"]", "[\"also\"]");
    let verdict = check(case, &[]);
    assert_eq!(verdict.artifacts()[0].accepted[0].signer.as_ref().unwrap().name, "also");
}

#[test]
fn one_accepted_candidate_satisfies_and_the_others_are_notes() {
    let mut case = Case::good();
    case.attach(Bundle, b"{}");
    case.attach(Bundle, &Key::from_seed(2).bundle(&provenance(FILE, |_| {}).to_bytes()));
    let verdict = case.verdict();
    assert!(verdict.is_pass());
    assert!(verdict.findings().iter().all(|finding| finding.severity == Note));
    assert_eq!(verdict.findings().len(), 2);
    assert_eq!(verdict.artifacts()[0].accepted.len(), 1);
}

#[test]
fn without_an_accepted_candidate_all_that_was_found_counts() {
    let mut case = Case::bare();
    case.attach(Bundle, b"{}");
    case.attach(Bundle, &signed(&provenance(OTHER, |_| {})));
    let verdict = case.verdict();
    let codes: std::collections::BTreeSet<_> =
        verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
    assert_eq!(codes, [(Fail, Code::SigMalformed), (Fail, Code::ProvSubject)].into());
}

#[test]
fn one_statement_covers_many_files_wherever_it_is_attached() {
    let subjects = [FILE, OTHER].map(|file| Subject::new("x", Digest::sha256_of(file)));
    let mut both = provenance(FILE, |_| {});
    both.subjects = subjects.to_vec();
    for subject in [AttachedTo::Release, to(PATH), to("bin/b")] {
        let mut case = two_files();
        case.add(Bundle, &signed(&both), None, subject);
        check(case, &[]);
    }
    let lines = [provenance(FILE, |_| {}), provenance(OTHER, |_| {})].map(|s| signed(&s));
    for subject in [AttachedTo::Release, to(PATH), to("bin/b")] {
        let mut case = two_files();
        case.add(Bundle, &lines.join(&b'\n'), None, subject);
        check(case, &[]);
    }
}

const IMAGE: &str = "images/registry.example/a/v1";
const INDEX: &[u8] = b"the index of an image";
const PLATFORM: &[u8] = b"the manifest of one of its platforms";

/// One image with a document attached to it.
fn image(kind: DocumentKind, bytes: &[u8]) -> Case {
    let mut case = Case::bare();
    case.files.clear();
    case.images = vec![("registry.example/a:v1", INDEX.to_vec())];
    case.add(kind, bytes, None, to(IMAGE));
    case
}

#[test]
fn provenance_of_an_image_names_its_own_manifest_or_index() {
    let of = |bytes| signed(&provenance(bytes, |_| {}));
    let verdict = check(image(Bundle, &of(INDEX)), &[]);
    assert!(verdict.is_pass());
    assert_eq!(verdict.artifacts()[0].digest, Digest::sha256_of(INDEX));
    for other in [OTHER, PLATFORM] {
        check(image(Bundle, &of(other)), &[(Fail, Code::ProvSubject)]);
    }
}

#[test]
fn a_statement_about_one_platform_is_none_about_the_image() {
    let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
    case.documents.clear();
    case.attach_to_release(Bundle, &signed(&provenance(PLATFORM, |_| {})));
    check(case, &[(Severity::Warn, Code::RelUnmatched), (Fail, Code::ProvMissing)]);
}

#[test]
fn one_statement_covers_an_image_under_each_of_its_tags() {
    let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
    case.images.push(("registry.example/a:latest", INDEX.to_vec()));
    assert_eq!(check(case, &[]).artifacts().len(), 2);
    let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
    case.images.push(("registry.example/a:next", OTHER.to_vec()));
    check(case, &[(Fail, Code::ProvMissing)]);
}

#[test]
fn policies_list_images_by_their_paths() {
    for (listed, expected) in [
        (IMAGE, &[][..]),
        ("images/registry.example/a/{version}", &[]),
        ("registry.example/a:v1", &[(Fail, Code::RelExtra), (Fail, Code::RelMissing)]),
    ] {
        let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
        case.edit("#sbom", &format!("[release]\nartifacts = [\"{listed}\"]"));
        let found: std::collections::BTreeSet<_> =
            case.verdict().findings().iter().map(|f| (f.severity, f.code)).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{listed}");
    }
}

#[test]
fn no_checksum_is_demanded_of_an_image_and_a_wrong_one_fails() {
    let of_list = |digest: Digest| {
        let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
        case.edit("#sbom", "[checksums]\nrule = \"require\"");
        let list = format!("{}  {IMAGE}\n", digest.hex());
        let title = Some("SHA256SUMS");
        case.add(DocumentKind::Checksums, list.as_bytes(), title, AttachedTo::Release);
        case
    };
    let mut without = of_list(Digest::sha256_of(INDEX));
    without.documents.pop();
    check(without, &[]);
    check(of_list(Digest::sha256_of(INDEX)), &[]);
    check(of_list(Digest::sha256_of(OTHER)), &[(Fail, Code::SumMismatch)]);
}

#[test]
fn an_attested_sbom_is_bound_to_an_image_by_its_subject() {
    const PREDICATE: &str = "https://spdx.dev/Document/v2.3";
    let attested = |subject| Some(signed(&statement(subject, PREDICATE, &spdx(OTHER))));
    let plain = |named| spdx(named).to_string().into_bytes();
    for (attested, plain, expected) in [
        (attested(INDEX), None, &[][..]),
        (attested(PLATFORM), None, &[(Fail, Code::SbomSubject)]),
        (None, Some(plain(INDEX)), &[]),
        (None, Some(plain(OTHER)), &[(Fail, Code::SbomSubject)]),
        (None, None, &[(Fail, Code::SbomMissing)]),
    ] {
        let mut case = image(Bundle, &signed(&provenance(INDEX, |_| {})));
        case.edit("rule = \"off\"\n#sbom", "rule = \"require\"\n");
        for (kind, bytes) in [(Bundle, attested), (Spdx, plain)] {
            bytes.into_iter().for_each(|bytes| case.add(kind, &bytes, None, to(IMAGE)));
        }
        check(case, expected);
    }
}

/// Two attestations were swapped, and each vouched for the other's file from its wrong place.
/// A document that covers nothing of what it is attached to counts for no file.
#[test]
fn swapped_attestations_fail() {
    let mut case = two_files();
    case.add(Bundle, &signed(&provenance(OTHER, |_| {})), None, to(PATH));
    case.add(Bundle, &signed(&provenance(FILE, |_| {})), None, to("bin/b"));
    check(case, &[(Fail, Code::ProvSubject), (Fail, Code::ProvSubject)]);
}

/// A line about no artifact of the release went without a word when the document was attached to a
/// file that another of its lines covers. It is reported.
#[test]
fn a_line_about_nothing_is_reported() {
    let lines = [provenance(FILE, |_| {}), provenance(OTHER, |_| {})].map(|s| signed(&s));
    for subject in [AttachedTo::Release, to(PATH)] {
        let mut case = Case::bare();
        case.add(Bundle, &lines.join(&b'\n'), None, subject);
        check(case, &[(Severity::Warn, Code::RelUnmatched)]);
    }
}

/// One small file of unsigned lines beside each of many artifacts made a finding for each line and
/// artifact. The lines that differ are told up to a limit, and the rest is counted.
#[test]
fn findings_stay_few_however_many_lines_a_document_has() {
    use bonded_model::limits::{LIKE_FINDING_COUNT_MAX, LINE_COUNT_MAX};
    const PATHS: [&str; 4] = ["c/1", "c/2", "c/3", "c/4"];
    let line = |at: usize| provenance(&at.to_le_bytes(), |_| {}).to_bytes();
    let lines: Vec<_> = (0..LINE_COUNT_MAX).map(line).collect();
    let lines = lines.join(&b'\n');
    let mut case = Case::bare();
    case.files = PATHS.map(|path| (path, FILE.to_vec())).to_vec();
    PATHS
        .iter()
        .for_each(|path| case.add(bonded_model::DocumentKind::Statement, &lines, None, to(path)));
    let verdict = case.verdict();
    assert!(!verdict.is_pass());
    let of = |code| verdict.findings().iter().filter(|f| f.code == code).collect::<Vec<_>>();
    assert_eq!(of(Code::SigUnsigned).len(), PATHS.len());
    let subjects = of(Code::ProvSubject);
    assert_eq!(subjects.len(), PATHS.len() * LIKE_FINDING_COUNT_MAX);
    let more = format!(", and {} more like it", LINE_COUNT_MAX - LIKE_FINDING_COUNT_MAX);
    assert_eq!(subjects.iter().filter(|f| f.seen.ends_with(&more)).count(), PATHS.len());
}

/// Each subject was compared with each artifact that any subject names, on unsigned input. They are
/// looked up, so that the most that limits allow takes moments.
#[test]
fn many_subjects_over_many_artifacts_are_looked_up() {
    use bonded_model::limits::SUBJECT_COUNT_MAX;
    let bytes: Vec<_> = (0..SUBJECT_COUNT_MAX).map(|at| at.to_le_bytes()).collect();
    let mut all = provenance(FILE, |_| {});
    all.subjects = bytes.iter().map(|b| Subject::new("x", Digest::sha256_of(b))).collect();
    let line = all.to_bytes();
    let mut case = Case::bare();
    let paths: Vec<&'static str> =
        (0..bytes.len()).map(|at| &*Box::leak(format!("f/{at}").into_boxed_str())).collect();
    case.files = paths.into_iter().zip(bytes.iter().map(|b| b.to_vec())).collect();
    let lines = [line.as_slice(); 8].join(&b'\n');
    case.add(bonded_model::DocumentKind::Statement, &lines, None, AttachedTo::Release);
    let evidence = case.evidence();
    let inventory = Inventory::new(&evidence.release);
    for (at, artifact) in evidence.release.artifacts().iter().enumerate().step_by(100) {
        let content = inventory.content_of(at).unwrap();
        assert_eq!(inventory.covered_by(&all)[&content], all.matches(&digests_of(artifact)));
    }
    let verdict = case.verdict();
    assert_eq!(verdict.findings().len(), SUBJECT_COUNT_MAX);
    assert!(verdict.findings().iter().all(|finding| finding.code == Code::SigUnsigned));
}

#[test]
fn a_digest_set_that_contradicts_itself_fails() {
    let mut both = provenance(FILE, |_| {});
    let first = Subject::new("x", Digest::sha256_of(FILE));
    let split = DigestSet::of(&[Digest::sha256_of(FILE), Digest::sha512_of(OTHER)]);
    both.subjects = vec![first, Subject { name: "y".into(), digest: split, source_refs: vec![] }];
    let mut case = Case::bare();
    case.attach(Bundle, &signed(&both));
    let mut evidence = case.evidence();
    let mut artifact = evidence.release.artifacts()[0].clone();
    artifact.sha512 = Some(Digest::sha512_of(FILE));
    let (name, index) = (evidence.release.name().clone(), evidence.release.index().clone());
    evidence.release = bonded_model::Release::from_stored(name, index, vec![artifact]).unwrap();
    let policy = Policy::parse(&case.policy).unwrap();
    let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
    let verdict = verify_release(&verifier, &policy, &evidence, case.now);
    assert_eq!(verdict.findings()[0].code, Code::ProvSubject);
    assert!(!verdict.is_pass());
}

#[test]
fn a_bare_envelope_verifies_against_managed_keys_only() {
    let payload = provenance(FILE, |_| {}).to_bytes();
    let envelope = Key::from_seed(1).envelope(IN_TOTO, &payload);
    let attach = |bytes: &[u8]| {
        let mut case = Case::bare();
        case.attach(Envelope, bytes);
        case
    };
    check(attach(&envelope.to_bytes()), &[]);
    let mut several = envelope.clone();
    several.signatures.insert(0, bonded_model::dsse::Signature { key_id: None, bytes: vec![1] });
    let verdict = check(attach(&several.to_bytes()), &[(Note, Code::SigKey)]);
    let told = &verdict.findings()[0];
    assert_eq!(told.document, Some(Digest::sha256_of(&several.to_bytes())));
    assert!(told.seen.starts_with("1 of 2 signatures"), "{}", told.seen);
    several.signatures.truncate(1);
    check(attach(&several.to_bytes()), &[(Fail, Code::SigInvalid)]);
    let mut case = Case::certified(crate::testing::workflow());
    case.documents.clear();
    case.double = None;
    case.attach(Envelope, &envelope.to_bytes());
    check(case, &[(Fail, Code::SigKey)]);
}

#[test]
fn a_document_for_the_release_that_cannot_be_read_denies() {
    let mut case = Case::good();
    case.attach_to_release(Bundle, b"not even JSON");
    let verdict = check(case, &[(Fail, Code::SigMalformed)]);
    assert_eq!(verdict.findings()[0].path, None);
}

#[test]
fn a_wrapped_sbom_is_bound_three_ways() {
    let kind = "https://spdx.dev/Document";
    let case_with = |statement: &Statement| {
        let mut case = Case::good();
        case.edit("rule = \"off\"\n#sbom", "signers = [\"key\"]");
        case.attach(Bundle, &signed(statement));
        case
    };
    check(case_with(&statement(FILE, kind, &spdx(FILE))), &[]);
    let subject = (Fail, Code::SbomSubject);
    check(case_with(&statement(FILE, kind, &spdx(OTHER))), &[subject]);
    check(case_with(&statement(OTHER, kind, &spdx(FILE))), &[subject]);
    let cyclonedx = "https://cyclonedx.org/bom";
    check(case_with(&statement(FILE, cyclonedx, &spdx(FILE))), &[(Fail, Code::SbomMalformed)]);
}

#[test]
fn an_sbom_does_not_pass_for_provenance() {
    let mut case = Case::bare();
    case.attach(Bundle, &signed(&statement(FILE, "https://spdx.dev/Document", &spdx(FILE))));
    check(case, &[(Fail, Code::ProvMissing)]);
}

#[test]
fn an_sbom_of_the_release_may_name_every_file() {
    let mut case = two_files();
    case.edit("level = 3\nsource", "rule = \"off\"\nsource");
    case.edit("rule = \"off\"\n#sbom", "rule = \"require\"");
    let mut sbom = spdx(FILE);
    case.attach_to_release(Spdx, sbom.to_string().as_bytes());
    check(case, &[(Fail, Code::SbomMissing)]);
    let mut case = two_files();
    case.edit("level = 3\nsource", "rule = \"off\"\nsource");
    case.edit("rule = \"off\"\n#sbom", "rule = \"require\"");
    let other = spdx(OTHER)["files"][0].clone();
    sbom["files"].as_array_mut().unwrap().push(other);
    case.attach_to_release(Spdx, sbom.to_string().as_bytes());
    check(case, &[]);
}

#[test]
fn a_checksum_list_may_name_evidence_and_stand_in_a_directory() {
    let title = "bin/a.intoto.jsonl";
    let bundle = signed(&provenance(FILE, |_| {}));
    for (line, expected) in [
        (format!("{}  a", Digest::sha256_of(FILE).hex()), None),
        (format!("{}  ./a", Digest::sha256_of(FILE).hex()), None),
        (format!("{}  bin/a", Digest::sha256_of(FILE).hex()), None),
        (format!("{}  a", Digest::sha256_of(OTHER).hex()), Some(Code::SumMismatch)),
        (format!("{}  a.intoto.jsonl", Digest::sha256_of(&bundle).hex()), None),
        (format!("{}  a.intoto.jsonl", Digest::sha256_of(OTHER).hex()), Some(Code::SumMismatch)),
        (format!("{}  ../a", Digest::sha256_of(FILE).hex()), Some(Code::SumStray)),
    ] {
        let mut case = Case::bare();
        case.add(Bundle, &bundle, Some(title), to(PATH));
        let kind = bonded_model::DocumentKind::Checksums;
        case.add(kind, line.as_bytes(), Some("bin/SHA256SUMS"), AttachedTo::Release);
        let verdict = case.verdict();
        let found = verdict.findings().first().map(|finding| finding.code);
        assert_eq!(found, expected, "{line}");
    }
}

/// Of two documents with one title the last in the order of the evidence was compared.
#[test]
fn a_line_about_two_documents_of_one_title_agrees_with_either() {
    let contents: [&[u8]; 2] = [b"{ }", b"{  }"];
    for list in [contents[0], contents[1], b"{}"] {
        for order in [[0, 1], [1, 0]] {
            let mut case = Case::good();
            for at in order {
                case.add(Spdx, contents[at], Some("sbom.json"), AttachedTo::Release);
            }
            let kind = bonded_model::DocumentKind::Checksums;
            let line = format!("{}  sbom.json\n", Digest::sha256_of(list).hex());
            case.add(kind, line.as_bytes(), Some("SHA256SUMS"), AttachedTo::Release);
            let verdict = case.verdict();
            let wrong = verdict.findings().iter().any(|f| f.code == Code::SumMismatch);
            assert_eq!(wrong, !contents.contains(&list), "{order:?}");
        }
    }
}

/// Each line of a SHA-512 list that named a document hashed the whole document again: lines times
/// size. A document is hashed once, so that this takes a moment and not hours.
#[test]
fn a_long_list_hashes_a_document_once() {
    let document = vec![b' '; 4 * 1024 * 1024];
    let mut case = Case::good();
    case.add(Spdx, &document, Some("sbom.json"), AttachedTo::Release);
    let line = |bytes| format!("{}  sbom.json\n", Digest::sha512_of(bytes).hex());
    let mut list = line(&document).repeat(2_000);
    let kind = bonded_model::DocumentKind::Checksums;
    case.add(kind, list.as_bytes(), Some("SHA512SUMS"), AttachedTo::Release);
    list.push_str(&line(OTHER));
    case.add(kind, list.as_bytes(), Some("more/SHA512SUMS"), AttachedTo::Release);
    let verdict = case.verdict();
    let codes: std::collections::BTreeSet<_> = verdict.findings().iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::SbomMalformed, Code::SumMismatch].into());
}

#[test]
fn a_sidecar_is_held_against_its_file_whatever_name_it_writes() {
    for name in ["build/elsewhere", "bin/b"] {
        let mut case = two_files();
        case.edit("[provenance]\n", "[provenance]\nrule = \"off\"\n");
        let line = format!("{}  {name}", Digest::sha256_of(OTHER).hex());
        let kind = bonded_model::DocumentKind::Checksums;
        case.add(kind, line.as_bytes(), Some("bin/a.sha256"), to(PATH));
        check(case, &[(Fail, Code::SumMismatch)]);
    }
}

#[test]
fn materials_at_another_ref_fail() {
    let material = |uri: &str| {
        let mut case = Case::bare();
        let uri = uri.to_owned();
        let change = move |predicate: &mut serde_json::Value| {
            predicate["buildDefinition"]["resolvedDependencies"] = json!([{ "uri": uri }]);
        };
        case.attach(Bundle, &signed(&provenance(FILE, change)));
        case
    };
    check(material("git+https://github.com/o/r@refs/heads/main"), &[(Fail, Code::ProvRef)]);
    check(material("git+https://github.com/o/r@refs/tags/v1"), &[]);
    check(material("git+https://github.com/o/r"), &[]);
    check(material("git+https://github.com/o/other@refs/heads/main"), &[]);
}

/// A commit was compared only where it stood beside the trigger, and only for one issuer: GitHub's
/// own build type and delegators write it among the materials. It is now compared wherever the
/// certified repository stands at the certified ref.
#[test]
fn the_certified_source_is_compared_wherever_it_stands() {
    use crate::identity::{Claim, Signer};
    const COMMIT: &str = "8f70009fde0c94ade6ce2a054b94718c819126ec";
    const FORGED: &str = "0000009fde0c94ade6ce2a054b94718c819126ec";
    let source = |reference: &str, name: &str, commit: &str| json!({"uri": format!("git+{}@{reference}", crate::testing::SOURCE), "digest": {name: commit}});
    let tag = crate::testing::TAG;
    let workflow = json!({"workflow": {"repository": crate::testing::SOURCE, "ref": tag}});
    let with = |issuer: &str, parameters: &serde_json::Value, materials: serde_json::Value| {
        let mut signed = crate::testing::workflow();
        if let Signer::Certificate(holder) = &mut signed.signer {
            holder.claims.insert(Claim::SourceRepositoryDigest, COMMIT.to_owned());
            holder.issuer = issuer.to_owned();
        }
        let mut case = Case::certified(signed);
        case.edit(
            "issuer = \"https://token.actions.githubusercontent.com\"",
            &format!("issuer = \"{issuer}\""),
        );
        case.edit(&format!("source = \"{}\"", crate::testing::SOURCE), "source = \"any\"");
        case.edit("tag = \"{version}\"", "ref = \"any\"");
        case.documents.clear();
        let statement = provenance(FILE, |predicate| {
            predicate["buildDefinition"]["externalParameters"] = parameters.clone();
            predicate["buildDefinition"]["resolvedDependencies"] = materials;
        });
        case.attach(Bundle, &crate::testing::certified(&statement));
        case
    };
    let fails = |count| vec![(Fail, Code::ProvClaims); count];
    for issuer in ["https://token.actions.githubusercontent.com", "https://token.example.com/o"] {
        for name in ["gitCommit", "sha1"] {
            for parameters in [&workflow, &json!({})] {
                let judge = |materials| with(issuer, parameters, materials);
                check(judge(json!([source(tag, name, COMMIT)])), &[]);
                check(judge(json!([source(tag, name, FORGED)])), &fails(1));
                let both = json!([source(tag, name, COMMIT), source(tag, name, FORGED)]);
                check(judge(both), &fails(1));
            }
            let trigger = |commit| json!({"source": source(tag, name, commit)});
            check(with(issuer, &trigger(COMMIT), json!([])), &[]);
            check(with(issuer, &trigger(FORGED), json!([])), &fails(1));
        }
        // Another repository's commit is its own affair.
        let other = json!([{"uri": "git+https://github.com/o/other", "digest": {"sha1": FORGED}}]);
        check(with(issuer, &workflow, other.clone()), &[]);
        let verdict = check(with(issuer, &json!({}), other), &fails(1));
        assert!(verdict.findings()[0].seen.contains("names no source"));
        check(with(issuer, &json!({}), json!([source("refs/heads/x", "sha1", COMMIT)])), &fails(1));
        let fork = json!({"workflow": {"repository": "https://github.com/f/r", "ref": tag}});
        check(with(issuer, &fork, json!([])), &fails(1));
        let untagged =
            json!({"workflow": {"repository": crate::testing::SOURCE, "ref": "refs/heads/x"}});
        check(with(issuer, &untagged, json!([])), &fails(1));
    }
}

#[test]
fn a_provenance_without_source_fails_where_one_is_wanted() {
    let mut case = Case::bare();
    let change = |predicate: &mut serde_json::Value| {
        predicate["buildDefinition"]["externalParameters"] = json!({});
    };
    case.attach(Bundle, &signed(&provenance(FILE, change)));
    check(case, &[(Fail, Code::ProvSource), (Fail, Code::ProvRef)]);
}

#[test]
fn rules_can_warn_or_be_off() {
    for (rule, expected) in [("warn", vec![(Severity::Warn, Code::ProvMissing)]), ("off", vec![])] {
        let mut case = Case::bare();
        case.edit("[provenance]\n", &format!("[provenance]\nrule = \"{rule}\"\n"));
        assert!(check(case, &expected).is_pass());
    }
}

#[test]
fn only_a_pass_about_the_very_release_is_admitted() {
    let other = two_files().evidence().release;
    let release = Case::good().evidence().release;
    assert!(Case::good().verdict().admit(release.clone()).is_ok());
    assert!(Case::good().verdict().admit(other).is_err());
    let failed = Case::bare().verdict().admit(release).unwrap_err();
    assert!(!failed.is_pass());
}

/// A release that was read back with artifacts that its index does not list was admitted by the
/// index's digest alone. The verdict must have looked at each of them.
#[test]
fn artifacts_that_no_verdict_looked_at_are_not_admitted() {
    use bonded_model::Release;
    let release = Case::good().evidence().release;
    let of = |files: Vec<(&'static str, Vec<u8>)>| {
        let artifacts = Case { files, ..Case::good() }.evidence().release.artifacts().to_vec();
        let (name, index) = (release.name().clone(), release.index().clone());
        Case::good().verdict().admit(Release::from_stored(name, index, artifacts).unwrap())
    };
    assert!(of(vec![(PATH, FILE.to_vec())]).is_ok());
    assert!(of(vec![(PATH, OTHER.to_vec())]).is_err());
    assert!(of(vec![("bin/b", FILE.to_vec())]).is_err());
    assert!(of(vec![(PATH, FILE.to_vec()), ("bin/b", FILE.to_vec())]).is_err());
}

/// Any workflow that a pattern matches could write another builder's id into its predicate. A signer
/// who is given by a pattern now speaks for the builder that it is itself, and for no other.
#[test]
fn a_pattern_speaks_only_for_the_builder_that_it_is() {
    let with = |identity: &str, rule: &str| {
        let mut signed = crate::testing::workflow();
        if let crate::identity::Signer::Certificate(holder) = &mut signed.signer {
            holder.identity = identity.to_owned();
        }
        let mut case = Case::certified(signed);
        case.edit(&format!("identity = \"{BUILDER}\""), rule);
        case
    };
    let other = "https://example.com/other";
    for rule in
        ["identity_glob = \"https://example.com/*\"", "identity_regex = 'https://example.+'"]
    {
        assert!(check(with(BUILDER, rule), &[]).is_pass());
        let verdict = check(with(other, rule), &[(Fail, Code::ProvSigner)]);
        assert_eq!(verdict.findings()[0].seen, other);
    }
    check(with(other, &format!("identity = \"{other}\"")), &[]);
}

#[test]
fn a_summary_names_release_files_inputs_and_level() {
    let request = SummaryRequest {
        resource_uri: "https://example.com/demo",
        policy_uri: None,
        verifier_id: "https://example.com/bonded",
        program: "bonded",
    };
    let verdict = Case::good().verdict();
    let made = Statement::parse(&verdict.to_summary(&request).to_bytes()).unwrap();
    let summary = Summary::parse(&made).unwrap();
    assert_eq!(made.subjects[0].digest, DigestSet::of(&[verdict.subject_digest()]));
    assert_eq!(made.subjects[1], Subject::new(PATH, Digest::sha256_of(FILE)));
    assert_eq!(summary.verified_levels, ["SLSA_BUILD_LEVEL_3"]);
    assert_eq!(summary.verification_result, SummaryResult::Passed);
    assert_eq!(summary.policy.digest, DigestSet::of(&[verdict.policy_digest()]));
    assert_eq!(summary.input_attestations.len(), 1 + 3);
    assert_eq!(summary.time_verified, Some(verdict.now()));
    let failed = Summary::parse(&Case::bare().verdict().to_summary(&request)).unwrap();
    assert_eq!(failed.verified_levels, ["FAILED"]);
    assert_eq!(failed.verification_result, SummaryResult::Failed);
}

#[test]
fn the_json_is_canonical_and_carries_its_grounds() {
    let verdict = Case::bare().verdict();
    let value: serde_json::Value = serde_json::from_slice(&verdict.to_json()).unwrap();
    assert_eq!(to_canonical(&value), verdict.to_json());
    assert_eq!(value["result"], "fail");
    assert_eq!(value["release"]["name"], "demo@v1");
    assert_eq!(value["findings"][0]["code"], "PROV-MISSING");
    assert_eq!(value["findings"][0]["clause"], Code::ProvMissing.clause());
    assert_eq!(value["trustRoot"], TrustRoot::public_good().digest().to_string());
    assert!(!value["policy"].is_null() && !value["evidence"].is_null() && !value["now"].is_null());
}

/// A release with accepted, refused, misplaced and unreadable documents of every kind.
fn motley() -> Case {
    let mut case = two_files();
    case.edit("rule = \"off\"\n#sbom", "rule = \"warn\"");
    for (seed, file) in [(1, FILE), (1, OTHER), (2, FILE), (3, OTHER)] {
        let bundle = Key::from_seed(seed).bundle(&provenance(file, |_| {}).to_bytes());
        case.add(Bundle, &bundle, None, AttachedTo::Release);
        case.add(Bundle, &bundle, None, to(PATH));
    }
    case.attach(Bundle, b"{}");
    case.attach_to_release(Bundle, b"[]");
    case.attach_to_release(Spdx, spdx(OTHER).to_string().as_bytes());
    let sums = format!("{}  bin/b\n{}  bin/c\n", Digest::sha256_of(FILE).hex(), BUILDER.len());
    let kind = bonded_model::DocumentKind::Checksums;
    for bytes in [b"{ }", b"{}\n"] {
        case.add(Bundle, bytes, Some("same.json"), AttachedTo::Release);
    }
    let same = format!("{}  same.json\n", Digest::sha512_of(b"{ }").hex());
    case.add(kind, same.as_bytes(), Some("SHA512SUMS"), AttachedTo::Release);
    case.add(kind, sums.as_bytes(), Some("SHA256SUMS"), AttachedTo::Release);
    case
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_and_any_number_of_threads_give_the_same_bytes(
        order in Just((0..motley().documents.len()).collect::<Vec<_>>()).prop_shuffle(),
        threads in prop_oneof![Just(1_usize), Just(2), Just(8)],
    ) {
        let expected = motley().verdict().to_json();
        let mut case = motley();
        case.documents = order.iter().map(|at| case.documents[*at].clone()).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| case.verdict().to_json());
        prop_assert_eq!(String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
    }
}

mod conditions;
mod dependencies;
mod lines;
mod npm;
mod papers;
mod scopes;
