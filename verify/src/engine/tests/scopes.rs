//! Scopes, quorum and age over whole releases.

use std::collections::BTreeSet;

use bonded_model::ContentKind;
use bonded_model::DocumentKind::Bundle;
use bonded_model::evidence::Subject as AttachedTo;

use super::{OTHER, check, signed, to, two_files};
use crate::code::Code;
use crate::finding::Severity::Fail;
use crate::policy::Policy;
use crate::testing::{BUILDER, Case, FILE, Key, PATH, provenance, spdx, statement};

/// Two files of which only the first has provenance, under a policy with a scope.
fn scoped(scope: &str) -> Case {
    let mut case = two_files();
    case.add(Bundle, &signed(&provenance(FILE, |_| {})), None, to(PATH));
    case.edit("#sbom", &format!("{scope}\n#sbom"));
    case
}

const OFF: &str = "provenance = { rule = \"off\" }";

#[test]
fn the_first_scope_that_selects_counts_and_the_others_keep_the_top_level() {
    let scope = |name: &str, paths: &str, tables: &str| {
        format!("[[scope]]\nname = \"{name}\"\npaths = [{paths}]\n{tables}\n")
    };
    let missing = [(Fail, Code::ProvMissing)];
    let quorum = (Fail, Code::ProvQuorum);
    let strict = format!(
        "provenance = {{ level = 3, source = \"{}\", tag = \"{{version}}\", quorum = 2 }}",
        crate::testing::SOURCE
    );
    let table = [
        (scope("b", "\"bin/b\"", OFF), vec![]),
        (scope("b", "\"**/b\"", OFF), vec![]),
        (scope("b", "\"*\"", OFF), missing.to_vec()),
        (scope("b", "\"bin/bb\", \"b\", \"in/b\", \"bin/B\"", OFF), missing.to_vec()),
        (scope("b", "\"bin/b\"", ""), missing.to_vec()),
        (scope("b", "\"bin/b\"", "sbom = { rule = \"off\" }"), missing.to_vec()),
        (scope("a", "\"bin/b\"", "") + &scope("b", "\"bin/*\"", OFF), missing.to_vec()),
        (scope("a", "\"bin/b\"", OFF) + &scope("b", "\"bin/*\"", ""), vec![]),
        (scope("a", "\"bin/b\"", OFF) + &scope("b", "\"bin/a\"", &strict), vec![quorum]),
    ];
    for (scopes, expected) in table {
        check(scoped(&scopes), &expected);
    }
}

#[test]
fn a_level_is_that_of_the_scope_that_accepted() {
    let scope = format!(
        "[[scope]]\nname = \"a\"\npaths = [\"bin/a\"]\nprovenance = {{ level = 3, source = \"{0}2\", tag = \"{{version}}\" }}\n\
         [[scope]]\nname = \"b\"\npaths = [\"bin/b\"]\n{OFF}\n",
        crate::testing::SOURCE
    );
    let verdict = check(scoped(&scope), &[(Fail, Code::ProvSource)]);
    assert!(verdict.artifacts().iter().all(|artifact| artifact.level.is_none()));
}

#[test]
fn kinds_and_platforms_select_what_somebody_saw() {
    let elf = "[[scope]]\nname = \"x\"\nkinds = [\"text\"]\nplatforms = [\"linux/**\"]\n";
    let case = |look: Option<(ContentKind, Option<&'static str>)>| {
        let mut case = scoped(&format!("{elf}{OFF}"));
        case.looks.insert(PATH, (ContentKind::Elf, None));
        look.map(|look| case.looks.insert("bin/b", look));
        case
    };
    check(case(Some((ContentKind::Text, Some("linux/arm/v7")))), &[]);
    let missing = [(Fail, Code::ProvMissing)];
    check(case(Some((ContentKind::Text, Some("windows/386")))), &missing);
    check(case(Some((ContentKind::Text, None))), &missing);
    check(case(Some((ContentKind::Elf, Some("linux/amd64")))), &missing);
    check(case(None), &[(Fail, Code::RelUnknown)]);
}

#[test]
fn an_image_has_a_kind_of_its_own() {
    let of = |kind: &str| {
        let mut case = Case::bare();
        case.files.clear();
        case.images = vec![("registry.example/a:v1", b"index".to_vec())];
        case.edit("#sbom", &format!("[[scope]]\nname = \"i\"\nkinds = [\"{kind}\"]\n{OFF}"));
        case
    };
    check(of("image"), &[]);
    check(of("oci-index"), &[(Fail, Code::ProvMissing)]);
}

#[test]
fn a_document_that_cannot_be_read_weighs_as_much_as_any_scope_lets_it() {
    let mut case = scoped(
        "[[scope]]\nname = \"b\"\npaths = [\"bin/b\"]\nprovenance = { rule = \"warn\", level = 1, source = \"any\", ref = \"any\" }\n",
    );
    case.edit("[provenance]\n", "[provenance]\nrule = \"off\"\n");
    case.attach_to_release(Bundle, b"[]");
    let verdict = case.verdict();
    assert!(verdict.is_pass());
    let found: BTreeSet<_> = verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
    use crate::finding::Severity::Warn;
    assert_eq!(found, [(Warn, Code::ProvMissing), (Warn, Code::SigMalformed)].into());
}

#[test]
fn a_release_may_have_what_is_allowed_beside_what_is_expected() {
    let with = |rule: &str| {
        let mut case = scoped(&format!("[[scope]]\nname = \"b\"\npaths = [\"bin/b\"]\n{OFF}"));
        case.edit("#sbom", &format!("[release]\n{rule}\n"));
        case
    };
    check(with("artifacts = [\"bin/a\"]\nallowed = [\"bin/*\"]"), &[]);
    check(
        with("artifacts = [\"bin/a\"]\nallowed = [\"*\", \"doc/**\"]"),
        &[(Fail, Code::RelExtra)],
    );
    let missing = with("artifacts = [\"bin/c\"]\nallowed = [\"**\"]");
    check(missing, &[(Fail, Code::RelMissing)]);
}

#[test]
fn platforms_are_neither_missing_nor_extra_and_nobody_guesses() {
    let with = |looks: [Option<(ContentKind, Option<&'static str>)>; 2]| {
        let mut case = scoped(&format!("[[scope]]\nname = \"b\"\npaths = [\"bin/b\"]\n{OFF}"));
        case.edit("#sbom", "[release]\nplatforms = [\"linux/amd64\"]\n");
        for (path, look) in [PATH, "bin/b"].into_iter().zip(looks) {
            look.map(|look| case.looks.insert(path, look));
        }
        case
    };
    let amd = Some((ContentKind::Elf, Some("linux/amd64")));
    let text = Some((ContentKind::Text, None));
    check(with([amd, text]), &[]);
    check(with([amd, amd]), &[]);
    check(with([text, text]), &[(Fail, Code::RelPlatformMissing)]);
    check(with([amd, None]), &[(Fail, Code::RelUnknown)]);
    let arm = Some((ContentKind::Elf, Some("linux/amd64/v2")));
    check(with([amd, arm]), &[(Fail, Code::RelPlatformExtra)]);
}

/// The same signer, or the same key under two names, counts once; so does one signature that lies there
/// twice.
#[test]
fn a_quorum_counts_signers_and_not_documents() {
    let with = |documents: &[(u8, u8)], edit: &dyn Fn(&mut Case)| {
        let mut case = Case::bare().with_second_key();
        case.edit("#provenance", "quorum = 2");
        edit(&mut case);
        for (seed, number) in documents {
            let statement = provenance(FILE, |p| {
                p["runDetails"]["metadata"] = serde_json::json!({"n": number})
            });
            let bundle = Key::from_seed(*seed).bundle(&statement.to_bytes());
            case.attach(Bundle, &bundle);
            case.add(Bundle, &bundle, None, AttachedTo::Release);
        }
        case
    };
    let nothing = |_: &mut Case| {};
    let few = [(Fail, Code::ProvQuorum)];
    let verdict = check(with(&[(1, 0), (2, 0)], &nothing), &[]);
    assert_eq!(verdict.artifacts()[0].accepted.len(), 2);
    let verdict = check(with(&[(1, 0)], &nothing), &few);
    assert!(verdict.artifacts()[0].accepted.is_empty() && verdict.artifacts()[0].level.is_none());
    check(with(&[(1, 0), (1, 1)], &nothing), &few);
    check(with(&[(2, 0), (2, 1), (2, 2)], &nothing), &few);
    // A third name for the first key is no third signer, and no second one.
    let alias = |case: &mut Case| {
        let pem = Key::from_seed(1).public_pem();
        let signer =
            format!("[[signer]]\nname = \"alias\"\npublic_key = '''\n{pem}'''\n[[builder]]");
        case.edit("[[builder]]", &signer);
        case.edit("\"second\"]", "\"second\", \"alias\"]");
    };
    check(with(&[(1, 0), (1, 1)], &alias), &few);
    check(with(&[(1, 0), (2, 1)], &alias), &[]);
    // A signer who does not speak for the builder counts for nothing.
    let mute = |case: &mut Case| case.edit("[\"key\", \"second\"]", "[\"key\"]");
    check(with(&[(1, 0), (2, 1)], &mute), &[(Fail, Code::ProvQuorum), (Fail, Code::ProvSigner)]);
}

/// Two holders whom one pattern names are one signer: whoever controls the pattern could be many.
#[test]
fn a_pattern_counts_once() {
    let mut case = Case::certified(crate::testing::workflow());
    case.edit(&format!("identity = \"{BUILDER}\""), "identity_glob = \"https://example.com/*\"");
    case.edit("#provenance", "quorum = 2");
    check(case, &[(Fail, Code::ProvQuorum)]);
}

#[test]
fn an_unsigned_sbom_is_nobodys_and_of_no_age() {
    let with = |rule: &str, attested: &[u8]| {
        let mut case = Case::good().with_second_key();
        case.edit("rule = \"off\"\n#sbom", rule);
        case.attach(bonded_model::DocumentKind::Spdx, spdx(FILE).to_string().as_bytes());
        for seed in attested {
            let sbom = statement(FILE, "https://spdx.dev/Document", &spdx(FILE));
            case.attach(Bundle, &Key::from_seed(*seed).bundle(&sbom.to_bytes()));
        }
        case
    };
    check(with("quorum = 2", &[]), &[(Fail, Code::SbomQuorum)]);
    check(with("quorum = 2", &[1]), &[(Fail, Code::SbomQuorum)]);
    check(with("quorum = 2", &[1, 2]), &[]);
    let old = (Fail, Code::SbomAge);
    // A managed key without a log or timestamp vouches for no time.
    check(with("max_age = \"52w\"", &[1]), &[old, old]);
}

/// A new timestamp can be added to an old signature by key, so the age of one is not known.
#[test]
fn a_signature_by_key_is_never_young() {
    use crate::identity::Signer;
    let with = |signed: crate::identity::Signed, case: Case| {
        let mut case = Case { double: Some(crate::testing::Double(Ok(signed))), ..case };
        case.now = crate::testing::time("2026-01-01T00:00:01Z");
        case.edit("#provenance", "max_age = \"1d\"");
        case
    };
    let workflow = crate::testing::workflow;
    check(with(workflow(), Case::certified(workflow())), &[]);
    let by_key =
        crate::identity::Signed { signer: Signer::Key(Key::from_seed(1).digest()), ..workflow() };
    let case = with(by_key, Case::good());
    let notes = Policy::parse(&case.policy).unwrap().check(None);
    assert!(notes.iter().any(|n| n.text.starts_with("[provenance] has max_age, but only keys")));
    let verdict = check(case, &[(Fail, Code::ProvAge)]);
    assert!(verdict.findings()[0].seen.starts_with("signed by a key"));
}

#[test]
fn a_single_file_is_held_against_the_scope_of_its_path_and_never_guessed() {
    use crate::{FileExpectation, FileQuestion, TrustRoot, Verifier, verify_file};
    let mut case = Case::bare();
    case.edit("#sbom", &format!("[[scope]]\nname = \"d\"\npaths = [\"doc/*\"]\n{OFF}"));
    let policy = Policy::parse(&case.policy).unwrap();
    let bundle = signed(&provenance(FILE, |p| {
        p["runDetails"]["builder"]["id"] = serde_json::json!("https://example.com/other");
    }));
    let ask = |release_path: Option<&str>| {
        let path = release_path.map(|path| path.parse().unwrap());
        let digests = [bonded_model::Digest::sha256_of(FILE)];
        let version = "v1".parse().unwrap();
        let question = FileQuestion {
            path: path.as_ref(),
            digests: &digests,
            size: None,
            bytes: None,
            bundle: &bundle,
            version: Some(&version),
            release_path: path.as_ref(),
        };
        let verifier = Verifier::new(TrustRoot::public_good()).unwrap();
        let verdict =
            verify_file(&verifier, &FileExpectation::Policy(&policy), &question, case.now);
        let codes: Vec<_> = verdict.findings().iter().map(|f| f.code).collect();
        (verdict.is_pass(), codes)
    };
    assert_eq!(ask(None), (false, vec![Code::RelUnknown]));
    assert_eq!(ask(Some("bin/a")), (false, vec![Code::ProvBuilder]));
    assert_eq!(ask(Some("doc/a")), (true, vec![Code::ProvBuilder]));
}

#[test]
fn scopes_do_not_change_with_threads_or_order() {
    let scopes = format!(
        "[[scope]]\nname = \"b\"\npaths = [\"bin/b\"]\n{OFF}\n[[scope]]\nname = \"a\"\npaths = [\"**\"]\n"
    );
    let make = || {
        let mut case = scoped(&scopes);
        case.add(Bundle, &signed(&provenance(OTHER, |_| {})), None, AttachedTo::Release);
        case
    };
    let expected = make().verdict().to_json();
    for threads in [1, 2, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut case = make();
        case.documents.reverse();
        assert_eq!(pool.install(|| case.verdict().to_json()), expected);
    }
}
