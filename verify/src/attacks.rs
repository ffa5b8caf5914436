//! Attacks on statements, identities and provenance that other verifiers have fallen for, one table for
//! each class. Each entry has to be refused with its codes and no others that fail.

mod endless;

use std::collections::BTreeSet;

use bonded_model::media_type::IN_TOTO;
use bonded_model::predicate::npm::NPM_PUBLISH_V0_1;
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::{Statement, Subject};
use bonded_model::vsa::SUMMARY_V1;
use bonded_model::{ArtifactPath, Digest, DocumentKind};
use serde_json::{Value, json};

use crate::code::Code;
use crate::finding::Severity;
use crate::identity::{Claim, Holder, Signer};
use crate::testing::{
    BUILDER, Case, FILE, Key, SOURCE, TAG, certified, provenance, spdx, statement, workflow,
};

/// Refused, and for these reasons.
fn refused(what: &str, case: Case, expected: &[Code]) {
    let verdict = case.verdict();
    let fails = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let found: BTreeSet<Code> = fails.map(|finding| finding.code).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{what}");
    assert!(!verdict.is_pass() && verdict.artifacts()[0].level.is_none(), "{what}");
}

fn attached(bytes: &[u8]) -> Case {
    let mut case = Case::bare();
    case.attach(DocumentKind::Bundle, bytes);
    case
}

fn signed(payload: &[u8]) -> Case {
    attached(&Key::from_seed(1).bundle(payload))
}

fn built(change: impl FnOnce(&mut Value)) -> Case {
    signed(&provenance(FILE, change).to_bytes())
}

fn under(keys: &str, mut case: Case) -> Case {
    case.edit("#provenance", keys);
    case
}

/// A provenance by certificate, with changes to what the certificate and the predicate say.
fn by_holder(certify: impl FnOnce(&mut Holder), change: impl FnOnce(&mut Value)) -> Case {
    let mut signed = workflow();
    if let Signer::Certificate(holder) = &mut signed.signer {
        certify(holder);
    }
    let mut case = Case::certified(signed);
    case.documents.clear();
    case.attach(DocumentKind::Bundle, &certified(&provenance(FILE, change)));
    case
}

fn starting_at(uri: &str) -> Case {
    built(|p| p["buildDefinition"]["externalParameters"]["source"]["uri"] = json!(uri))
}

fn text_of(made: &Statement) -> String {
    String::from_utf8(made.to_bytes()).unwrap()
}

/// What holds no statement, or one of another type, counts for nothing.
#[test]
fn nothing_is_not_taken_for_a_statement() {
    let line = Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes());
    let cut = &line[..line.len() - 1];
    refused("an empty document", attached(b""), &[Code::SigMalformed]);
    refused("blank lines", attached(b"\n\n"), &[Code::SigMalformed]);
    refused("a list of none", attached(br#"{"attestations":[]}"#), &[Code::SigMalformed]);
    refused("a list without bundles", attached(br#"{"attestations":[{}]}"#), &[Code::SigMalformed]);
    let list = |bundle: &[u8]| {
        let bundle = String::from_utf8_lossy(bundle);
        attached(format!(r#" {{ "attestations" : [{{"bundle":{bundle}}}] }} "#).as_bytes())
    };
    assert!(list(&line).verdict().is_pass(), "a list of one");
    refused("a list of nothing", list(b"null"), &[Code::SigMalformed]);
    refused("a list in a list", list(br#"{"attestations":[]}"#), &[Code::SigMalformed]);
    let line_text = String::from_utf8_lossy(&line);
    let mixed = format!(r#"{{"attestations":[{{"bundle":{line_text}}}],"x":1}}"#);
    refused("a list with more beside it", attached(mixed.as_bytes()), &[Code::SigMalformed]);
    refused("a cut document", attached(cut), &[Code::SigMalformed]);
    refused("an empty payload", signed(b""), &[Code::StmtMalformed]);
    refused(
        "no subjects",
        signed(
            text_of(&provenance(FILE, |_| {}))
                .replace("[{\"digest\"", "[],\"x\":[{\"digest\"")
                .as_bytes(),
        ),
        &[Code::StmtMalformed],
    );
    let link = statement(FILE, "https://in-toto.io/attestation/link/v0.3", &json!({"name": "a"}));
    refused("a statement of another type", signed(&link.to_bytes()), &[Code::ProvMissing]);
}

/// A set of no documents, or of documents about others, passes nothing.
#[test]
fn an_empty_set_does_not_pass() {
    refused("no documents", Case::bare(), &[Code::ProvMissing]);
    let mut elsewhere = Case::bare();
    let other = provenance(b"other", |_| {}).to_bytes();
    elsewhere.attach_to_release(DocumentKind::Bundle, &Key::from_seed(1).bundle(&other));
    refused("documents about others", elsewhere, &[Code::ProvMissing]);
    let mut half = Case::good();
    half.files.push(("bin/b", b"unproven".to_vec()));
    let verdict = half.verdict();
    assert!(!verdict.is_pass() && verdict.artifacts()[0].level == Some(3));
    let missing = verdict.findings().iter().find(|finding| finding.code == Code::ProvMissing);
    assert_eq!(missing.unwrap().path.as_ref().map(ArtifactPath::as_str), Some("bin/b"));
}

/// Types are compared whole, at every layer.
#[test]
fn one_type_is_not_taken_for_another() {
    let predicate: Value = serde_json::from_str(provenance(FILE, |_| {}).predicate.get()).unwrap();
    let of = |kind: &str| signed(&statement(FILE, kind, &predicate).to_bytes());
    for near in ["/", ".0", "#", "?", " ", "/v1", "0"] {
        let kind = format!("{PROVENANCE_V1}{near}");
        refused(&kind, of(&kind), &[Code::ProvPredicate]);
    }
    for far in
        ["https://slsa.dev/provenance", "HTTPS://slsa.dev/provenance/v1", "", NPM_PUBLISH_V0_1]
    {
        refused(far, of(far), &[Code::ProvMissing]);
    }
    let sbom = statement(FILE, PROVENANCE_V1, &spdx(FILE));
    refused("an SBOM as provenance", signed(&sbom.to_bytes()), &[Code::ProvMalformed]);
    refused("provenance as an SBOM", of("https://spdx.dev/Document"), &[Code::ProvMissing]);
    let payload = provenance(FILE, |_| {}).to_bytes();
    for payload_type in
        ["text/plain", "application/vnd.in-toto+JSON", "application/vnd.in-toto+json "]
    {
        let envelope = Key::from_seed(1).envelope(payload_type, &payload).to_bytes();
        refused(payload_type, attached(&envelope), &[Code::SigUnsupported]);
    }
    let mut relabelled = Key::from_seed(1).envelope("text/plain", &payload);
    relabelled.payload_type = IN_TOTO.to_owned();
    refused("another type than was signed", attached(&relabelled.to_bytes()), &[Code::SigInvalid]);
    let text = text_of(&provenance(FILE, |_| {}));
    for kind in ["https://in-toto.io/Statement/v2", "https://in-toto.io/Statement/v1/", "link"] {
        let changed = text.replace("https://in-toto.io/Statement/v1", kind);
        refused(kind, signed(changed.as_bytes()), &[Code::StmtMalformed]);
    }
}

/// Only digests match, only strong ones, and none of them may disagree.
#[test]
fn a_subject_is_what_its_digests_say() {
    let (mine, other) = (Digest::sha256_of(FILE).hex(), Digest::sha256_of(b"other").hex());
    let of = |digests: Value| {
        let text = text_of(&provenance(FILE, |_| {}));
        signed(text.replace(&json!({"sha256": mine}).to_string(), &digests.to_string()).as_bytes())
    };
    let long = Digest::sha512_of(FILE).hex();
    refused("the same name", of(json!({"sha256": other})), &[Code::ProvSubject]);
    refused(
        "a weak digest",
        of(json!({"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"})),
        &[Code::StmtDigest],
    );
    refused("a misnamed digest", of(json!({"SHA256": mine})), &[Code::StmtDigest]);
    refused(
        "a long digest under a short name",
        of(json!({"sha256": long})),
        &[Code::StmtMalformed],
    );
    refused(
        "a short digest under a long name",
        of(json!({"sha512": mine})),
        &[Code::StmtMalformed],
    );
    refused(
        "a digest of no algorithm of the file",
        of(json!({"sha512": long})),
        &[Code::ProvSubject],
    );
    refused("upper case", of(json!({"sha256": mine.to_uppercase()})), &[Code::StmtMalformed]);
    // The wanted file among the many of somebody whom the builder does not answer for.
    let mut many = provenance(b"theirs", |_| {});
    many.subjects.extend(provenance(FILE, |_| {}).subjects);
    let mut case = attached(&Key::from_seed(2).bundle(&many.to_bytes()));
    case.edit(
        "[[builder]]",
        &format!(
            "[[signer]]\nname = \"second\"\npublic_key = '''\n{}'''\n[[builder]]",
            Key::from_seed(2).public_pem()
        ),
    );
    refused("one of many by another publisher", case, &[Code::ProvSigner]);
}

/// An identity is matched whole, with its issuer, and a source by what cannot be chosen.
#[test]
fn an_identity_is_not_nearly_another() {
    let identity = |identity: &str| {
        let identity = identity.to_owned();
        by_holder(|holder| holder.identity = identity, |_| {})
    };
    for near in [
        format!("{BUILDER}@refs/heads/x"),
        format!("x{BUILDER}"),
        BUILDER.to_uppercase(),
        format!("{BUILDER}/../builder"),
        format!("{BUILDER}\n"),
        "builder@example.com".to_owned(),
        String::new(),
    ] {
        refused(&near, identity(&near), &[Code::IdSubject]);
    }
    for issuer in
        ["https://token.actions.githubusercontent.com/", "https://accounts.example.com", ""]
    {
        refused(
            issuer,
            by_holder(|holder| holder.issuer = issuer.to_owned(), |_| {}),
            &[Code::IdIssuer],
        );
    }
    for (uri, codes) in [
        (format!("git+https://github.com/o/r2@{TAG}"), [Code::ProvSource]),
        (format!("git+https://github.com/fork/r@{TAG}"), [Code::ProvSource]),
        (format!("git+https://github.com/o/r/../r@{TAG}"), [Code::ProvSource]),
        (format!("git+https://github.com.evil.example/o/r@{TAG}"), [Code::ProvSource]),
        (format!("git+https://evil.example/github.com/o/r@{TAG}"), [Code::ProvSource]),
        (format!("git+http://github.com/o/r@{TAG}"), [Code::ProvSource]),
        (format!("git+{SOURCE}@refs/heads/v1"), [Code::ProvRef]),
        (format!("git+{SOURCE}@refs/tags/v10"), [Code::ProvRef]),
        (format!("git+{SOURCE}@refs/tags/v"), [Code::ProvRef]),
        (format!("git+{SOURCE}@refs/heads/refs/tags/v1"), [Code::ProvRef]),
        (format!("git+{SOURCE}@v1"), [Code::ProvRef]),
        (format!("git+{SOURCE}"), [Code::ProvRef]),
    ] {
        refused(&uri, starting_at(&uri), &codes);
    }
    let renamed = by_holder(
        |holder| {
            holder.claims.insert(Claim::SourceRepositoryId, "8".to_owned());
        },
        |_| {},
    );
    refused("a name that was used again", under("source_id = \"7\"", renamed), &[Code::ProvSource]);
    let glued = by_holder(
        |_| {},
        |p| {
            let parameters = &mut p["buildDefinition"]["externalParameters"];
            parameters["workflow"] = json!({"ref": "refs/tags/v2", "repository": SOURCE});
        },
    );
    refused("two sources", glued, &[Code::ProvRef, Code::ProvClaims]);
}

/// Who built, where and how well is not for the document to say.
#[test]
fn a_builder_is_who_the_signer_speaks_for() {
    let claims =
        |p: &mut Value| p["runDetails"]["builder"]["id"] = json!("https://example.com/better");
    refused("another builder", built(claims), &[Code::ProvBuilder]);
    let mut pattern = Case::certified(workflow());
    pattern.documents.clear();
    let other = "https://example.com/other";
    let named = |p: &mut Value| p["runDetails"]["builder"]["id"] = json!(other);
    pattern.attach(DocumentKind::Bundle, &certified(&provenance(FILE, named)));
    pattern.edit(&format!("identity = \"{BUILDER}\""), "identity_glob = \"https://example.com/*\"");
    pattern.edit(&format!("id = \"{BUILDER}\""), &format!("id = \"{other}\""));
    refused("one of many for another", pattern, &[Code::ProvSigner]);
    let mut level = built(|p| p["runDetails"]["builder"]["slsaLevel"] = json!(4));
    level.edit("level = 3", "level = 2");
    refused("a level that the document claims", level, &[Code::ProvLevel]);
    let hosted = |p: &mut Value| {
        p["buildDefinition"]["internalParameters"] =
            json!({"github": {"runner_environment": "github-hosted"}});
    };
    let own = |holder: &mut Holder| {
        holder.claims.insert(Claim::RunnerEnvironment, "self-hosted".to_owned());
    };
    refused("a runner of one's own", by_holder(own, hosted), &[Code::ProvClaims]);
    let caller = |holder: &mut Holder| {
        holder.identity = format!("{SOURCE}/.github/workflows/release.yml@{TAG}");
    };
    refused("the caller of the builder", by_holder(caller, |_| {}), &[Code::IdSubject]);
}

/// What somebody else chose is on a list or refused.
#[test]
fn parameters_that_nobody_listed_are_refused() {
    let listed = "parameters = [\"source\"]";
    let extra = built(|p| p["buildDefinition"]["externalParameters"]["command"] = json!("sh"));
    refused("an extra parameter", under(listed, extra), &[Code::ProvParameter]);
    let case = built(|p| p["buildDefinition"]["externalParameters"]["Source"] = json!("x"));
    refused("a parameter in another case", under(listed, case), &[Code::ProvParameter]);
    let event = built(|p| {
        p["buildDefinition"]["internalParameters"] =
            json!({"GITHUB_EVENT_PAYLOAD": {"inputs": {"command": "sh"}}});
    });
    refused("an input of the event", under(listed, event), &[Code::ProvParameter]);
    let demanded = under("inputs = { debug = false }", built(|_| {}));
    refused("an input that is not there", demanded, &[Code::ProvInput]);
}

/// Where a policy names no verifier no summary stands in for provenance, whoever signed it and whatever it
/// says.
#[test]
fn a_summary_is_no_provenance() {
    let summary = json!({
        "verifier": {"id": "https://example.com/verifier"}, "resourceUri": "pkg:generic/a",
        "policy": {"uri": "p"}, "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        "timeVerified": "2020-01-01T00:00:00Z",
    });
    let changes: [(&str, Value, Code); 6] = [
        ("resourceUri", json!("pkg:generic/b"), Code::StmtUnused),
        ("verifier", json!({"id": "https://example.com/foreign"}), Code::StmtUnused),
        ("verificationResult", json!("FAILED"), Code::StmtFailed),
        (
            "verifiedLevels",
            json!(["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_2"]),
            Code::StmtPredicate,
        ),
        ("verifiedLevels", json!(["SLSA_OWN"]), Code::StmtPredicate),
        ("timeVerified", json!("2030-01-01T00:00:00Z"), Code::StmtUnused),
    ];
    let codes = |predicate: &Value| -> BTreeSet<Code> {
        let case = signed(&statement(FILE, SUMMARY_V1, predicate).to_bytes());
        let verdict = case.verdict();
        assert!(!verdict.is_pass() && verdict.artifacts()[0].level.is_none());
        verdict.findings().iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes(&summary), BTreeSet::from([Code::ProvMissing, Code::StmtUnused]));
    for (field, value, beside) in changes {
        let mut changed = summary.clone();
        changed[field] = value;
        assert_eq!(codes(&changed), BTreeSet::from([Code::ProvMissing, beside]), "{field}");
    }
}

const VERIFIER: &str = "https://example.com/verifier";

fn summary() -> Value {
    json!({
        "verifier": {"id": VERIFIER}, "resourceUri": "pkg:generic/demo@v1#bin/a",
        "policy": {"uri": "p"}, "verificationResult": "PASSED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_3"], "timeVerified": "2026-05-31T00:00:00Z",
    })
}

/// A verifier with a key of its own, the second, beside the builder's, the first. Both may sign.
fn summarised(by: u8, change: impl FnOnce(&mut Value)) -> Case {
    let mut predicate = summary();
    change(&mut predicate);
    by_verifier(&Key::from_seed(by).bundle(&statement(FILE, SUMMARY_V1, &predicate).to_bytes()))
}

fn by_verifier(bundle: &[u8]) -> Case {
    let mut case = attached(bundle).with_second_key();
    case.edit("[\"key\", \"second\"]", "[\"key\"]");
    let verifier = format!(
        "[[verifier]]\nid = \"{VERIFIER}\"\nsigners = [\"second\"]\nlevel = 3\nmax_age = \"7d\"\n\
         resource = \"pkg:generic/{{project}}@{{version}}#{{path}}\"\n"
    );
    case.edit("#sbom", &verifier);
    case
}

/// A summary stands for provenance only as the word of its verifier about this very artifact.
#[test]
fn a_summary_is_the_word_of_its_verifier_about_this_artifact() {
    let verdict = summarised(2, |_| {}).verdict();
    assert!(verdict.is_pass() && verdict.findings().is_empty(), "{verdict:?}");
    let (artifact, role) = (&verdict.artifacts()[0], verdict.artifacts()[0].accepted[0].role);
    assert_eq!((artifact.level, role), (Some(3), crate::verdict::Role::Summary));
    let set = |field: &'static str, value: Value| summarised(2, |s| s[field] = value);
    let levels = |levels: Value| set("verifiedLevels", levels);
    let foreign = json!({"id": "https://example.com/foreign"});
    let table = [
        ("a foreign verifier by a trusted key", set("verifier", foreign), Code::VsaVerifier),
        ("the verifier by another trusted key", summarised(1, |_| {}), Code::VsaSigner),
        ("the verifier by a stranger", summarised(3, |_| {}), Code::SigKey),
        (
            "the resource of another artifact",
            set("resourceUri", json!("pkg:generic/demo@v1#bin/b")),
            Code::VsaResource,
        ),
        (
            "the resource of another version",
            set("resourceUri", json!("pkg:generic/demo@v2#bin/a")),
            Code::VsaResource,
        ),
        ("no resource", set("resourceUri", json!("")), Code::VsaResource),
        ("a stale one", set("timeVerified", json!("2026-05-24T23:59:59Z")), Code::VsaAge),
        ("one of tomorrow", set("timeVerified", json!("2026-06-01T00:00:01Z")), Code::VsaAge),
        ("a lower level", levels(json!(["SLSA_BUILD_LEVEL_2"])), Code::VsaLevel),
        ("another track", levels(json!(["SLSA_SOURCE_LEVEL_3"])), Code::VsaLevel),
        (
            "a level that nobody evaluated",
            levels(json!(["SLSA_BUILD_LEVEL_UNEVALUATED"])),
            Code::VsaLevel,
        ),
        ("a property", levels(json!(["SLSA_BUILD_REPRODUCED"])), Code::VsaLevel),
        ("a label of their own", levels(json!(["BUILD_LEVEL_3"])), Code::VsaLevel),
        ("the level of v0.2", levels(json!(["SLSA_LEVEL_3"])), Code::VsaLevel),
        ("no level", levels(json!([])), Code::VsaLevel),
        (
            "two levels of a track",
            levels(json!(["SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_2"])),
            Code::StmtPredicate,
        ),
        (
            "a label that is SLSA's to give",
            levels(json!(["SLSA_BUILD_LEVEL_3", "SLSA_OWN"])),
            Code::StmtPredicate,
        ),
        ("passed and failed", levels(json!(["FAILED"])), Code::StmtPredicate),
        ("failed", set("verificationResult", json!("FAILED")), Code::StmtFailed),
        ("no result", set("verificationResult", json!("")), Code::StmtPredicate),
    ];
    for (what, case, code) in table {
        refused(what, case, &[code]);
    }
    let timeless = summarised(2, |s| drop(s.as_object_mut().unwrap().remove("timeVerified")));
    refused("one without a time", timeless, &[Code::VsaAge]);
}

#[test]
fn a_summary_is_signed_and_about_this_file() {
    let of_file = |file: &[u8]| statement(file, SUMMARY_V1, &summary());
    let bundled = |made: &Statement| by_verifier(&Key::from_seed(2).bundle(&made.to_bytes()));
    refused("another subject", bundled(&of_file(b"other")), &[Code::VsaSubject]);
    refused("unsigned", by_verifier(&of_file(FILE).to_bytes()), &[Code::SigUnsigned]);
    let near = statement(FILE, &format!("{SUMMARY_V1}.0"), &summary());
    refused("another type", bundled(&near), &[Code::ProvMissing]);
    let provenance = statement(FILE, PROVENANCE_V1, &summary());
    refused("called provenance", bundled(&provenance), &[Code::ProvMalformed]);
}

/// A summary is enough by itself; beside provenance it adds nothing, and takes away only what its verifier
/// takes away.
#[test]
fn summaries_and_provenance_are_not_counted_together() {
    let beside = |mut case: Case| {
        let good = Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes());
        case.attach(DocumentKind::Bundle, &good);
        case
    };
    let failing = |summary: &mut Value| summary["verificationResult"] = json!("FAILED");
    let verdict = beside(summarised(2, failing)).verdict();
    let codes: Vec<_> = verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
    assert_eq!(codes, [(Severity::Fail, Code::StmtFailed)], "a verifier's FAILED");
    // What else is wrong with it takes nothing away from what it says.
    for (field, wrong) in [
        ("verifiedLevels", json!(["SLSA_OWN"])),
        ("dependencyLevels", json!({"SLSA_BUILD_LEVEL_1": -1})),
        ("inputAttestations", json!([{"uri": "x"}])),
        ("policy", json!(null)),
        ("timeVerified", json!("yesterday")),
    ] {
        let verdict = beside(summarised(2, |s| (failing(s), s[field] = wrong).1)).verdict();
        let codes: Vec<_> = verdict.findings().iter().map(|f| (f.severity, f.code)).collect();
        let expected = [(Severity::Note, Code::StmtPredicate), (Severity::Fail, Code::StmtFailed)];
        assert_eq!(codes, expected, "{field}");
    }
    for seed in [1, 3] {
        let verdict = beside(summarised(seed, failing)).verdict();
        assert!(verdict.is_pass(), "FAILED by somebody else");
    }
    let mut quorum = beside(summarised(2, |_| {}));
    quorum.edit("#provenance", "quorum = 2");
    refused("one of each under a quorum", quorum, &[Code::ProvQuorum]);
    let wrong = attached(b"{}");
    let mut rescued = summarised(2, |_| {});
    rescued.documents.extend(wrong.documents);
    let verdict = rescued.verdict();
    assert!(verdict.is_pass() && verdict.artifacts()[0].level == Some(3));
    let aged = under("max_age = \"1h\"", summarised(2, |_| {}));
    refused("older than provenance may be", aged, &[Code::VsaAge]);
}

/// Of the release, a verifier's FAILED names the index or every artifact; of some of them it says nothing.
#[test]
fn a_release_that_failed_may_be_named_by_its_artifacts() {
    let failing = |files: &[&[u8]], resource: &str| {
        let mut failed = summary();
        failed["verificationResult"] = json!("FAILED");
        failed["resourceUri"] = json!(resource);
        let subjects = files.iter().map(|file| Subject::new("a", Digest::sha256_of(file)));
        let made = Statement::new(subjects.collect(), SUMMARY_V1, &failed).to_bytes();
        let mut case = Case::good().with_second_key();
        case.edit("[\"key\", \"second\"]", "[\"key\"]");
        let verifier = format!(
            "[[verifier]]\nid = \"{VERIFIER}\"\nsigners = [\"second\"]\nlevel = 3\nmax_age = \"7d\"\n\
             release = \"pkg:generic/{{project}}@{{version}}\"\n"
        );
        case.edit("#sbom", &verifier);
        case.files.push(("bin/b", b"other".to_vec()));
        let other = provenance(b"other", |_| {}).to_bytes();
        case.attach_to_release(DocumentKind::Bundle, &Key::from_seed(1).bundle(&other));
        case.attach_to_release(DocumentKind::Bundle, &Key::from_seed(2).bundle(&made));
        let verdict = case.verdict();
        let failed = verdict
            .findings()
            .iter()
            .any(|finding| (finding.severity, finding.code) == (Severity::Fail, Code::StmtFailed));
        assert_eq!(verdict.is_pass(), !failed, "{verdict:?}");
        failed
    };
    let all: [&[u8]; 2] = [FILE, b"other"];
    assert!(failing(&all, "pkg:generic/demo@v1"));
    assert!(!failing(&all, "pkg:generic/demo@v2"));
    assert!(!failing(&all[..1], "pkg:generic/demo@v1"));
}

/// What is proved of one manifest is not proved of another under the same tag.
#[test]
fn an_image_is_the_digest_that_its_tag_has() {
    let image = |proved: &[u8]| {
        let mut case = Case::bare();
        case.files.clear();
        case.images.push(("registry.example.com/a:v1", b"index".to_vec()));
        let bundle = Key::from_seed(1).bundle(&provenance(proved, |_| {}).to_bytes());
        let subject = "images/registry.example.com/a/v1".parse().unwrap();
        case.add(
            DocumentKind::Bundle,
            &bundle,
            None,
            bonded_model::evidence::Subject::Artifact(subject),
        );
        case
    };
    assert!(image(b"index").verdict().is_pass());
    refused("the manifest of a platform", image(b"manifest of a platform"), &[Code::ProvSubject]);
    refused("what the tag had before", image(b"older index"), &[Code::ProvSubject]);
}

/// What was good once is not good for another version, nor for ever where a policy says so.
#[test]
fn an_old_release_is_not_a_new_one() {
    let older = starting_at(&format!("git+{SOURCE}@refs/tags/v0"));
    refused("the provenance of an older version", older, &[Code::ProvRef]);
    let aged = under("max_age = \"30d\"", by_holder(|_| {}, |_| {}));
    refused("a signature of long ago", aged, &[Code::ProvAge]);
    let undated = under("max_age = \"30d\"", built(|_| {}));
    refused("a signature without a time", undated, &[Code::ProvAge]);
}
