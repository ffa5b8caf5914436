//! For each finding code one minimal case that produces exactly it and one that just avoids it.

use std::collections::BTreeSet;

use bonded_model::evidence::Subject as AttachedTo;
use bonded_model::limits::{DOCUMENT_COUNT_MAX, LINE_COUNT_MAX};
use bonded_model::media_type::IN_TOTO;
use bonded_model::predicate::link::LINK_V0_3;
use bonded_model::predicate::npm::NPM_PUBLISH_V0_1;
use bonded_model::predicate::test_result::TEST_RESULT_V0_1;
use bonded_model::slsa::PROVENANCE_V1;
use bonded_model::statement::Subject;
use bonded_model::vsa::SUMMARY_V1;
use bonded_model::{ContentKind, Digest, DocumentKind};
use serde_json::{Value, json};

use crate::code::Code;
use crate::finding::{Fault, Severity};
use crate::identity::{Claim, Signed, Signer};
use crate::testing::{
    BUILDER, Case, Double, FILE, Key, PATH, SOURCE, certified, cosign_payload, provenance, spdx,
    statement, time, workflow,
};

/// How a case is made from whether the code is to be produced.
pub(crate) type Make = fn(bool) -> Case;

fn signed(payload: &[u8]) -> Case {
    let mut case = Case::bare();
    case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(payload));
    case
}

fn attached(bytes: &[u8]) -> Case {
    let mut case = Case::bare();
    case.attach(DocumentKind::Bundle, bytes);
    case
}

fn good_line() -> Vec<u8> {
    Key::from_seed(1).bundle(&provenance(FILE, |_| {}).to_bytes())
}

fn with_policy(produce: bool, from: &str, bad: &str, good: &str) -> Case {
    let mut case = Case::good();
    case.edit(from, if produce { bad } else { good });
    case
}

fn with_sbom(rule: &str, sbom: &[u8]) -> Case {
    let mut case = Case::good();
    case.edit("rule = \"off\"\n#sbom", rule);
    case.attach(DocumentKind::Spdx, sbom);
    case
}

fn with_checksums(title: &str, text: &str) -> Case {
    let mut case = Case::good();
    let kind = DocumentKind::Checksums;
    case.add(kind, text.as_bytes(), Some(title), AttachedTo::Release);
    case
}

const SPDX_TYPE: &str = "https://spdx.dev/Document/v2.3";

fn attest_spdx(case: &mut Case, seed: u8) {
    let statement = statement(FILE, SPDX_TYPE, &spdx(FILE)).to_bytes();
    case.attach(DocumentKind::Bundle, &Key::from_seed(seed).bundle(&statement));
}

/// Two files of the same bytes for two platforms, under a policy that lists these.
fn with_platforms(listed: &str) -> Case {
    let mut case = Case::good();
    case.edit("#sbom", &format!("[release]\nplatforms = [{listed}]"));
    case.files.push(("bin/b", FILE.to_vec()));
    case.looks.insert(PATH, (ContentKind::Elf, Some("linux/amd64")));
    case.looks.insert("bin/b", (ContentKind::Elf, Some("linux/arm64")));
    case
}

/// A statement beside a provenance that suffices.
fn with_statement(kind: &str, predicate: &serde_json::Value) -> Case {
    let mut case = Case::good();
    let payload = statement(FILE, kind, predicate).to_bytes();
    case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&payload));
    case
}

fn holder(change: impl FnOnce(&mut crate::identity::Holder)) -> Signed {
    let mut signed = workflow();
    if let Signer::Certificate(holder) = &mut signed.signer {
        change(holder);
    }
    signed
}

fn signature_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::SigLimit, |produce| {
            let count = LINE_COUNT_MAX + usize::from(produce);
            attached(&vec![good_line(); count].join(&b'\n'))
        }),
        (Code::SigMalformed, |produce| {
            attached(&if produce { b"{}".to_vec() } else { good_line() })
        }),
        (Code::SigUnsupported, |produce| {
            let kind = if produce { "application/json" } else { IN_TOTO };
            let payload = provenance(FILE, |_| {}).to_bytes();
            attached(&Key::from_seed(1).envelope(kind, &payload).to_bytes())
        }),
        (Code::SigUnsigned, |produce| {
            let payload = provenance(FILE, |_| {}).to_bytes();
            attached(&if produce { payload } else { good_line() })
        }),
        (Code::SigInvalid, |produce| {
            let key = Key::from_seed(1);
            let mut envelope = key.envelope(IN_TOTO, &provenance(FILE, |_| {}).to_bytes());
            envelope.signatures[0].bytes[0] ^= u8::from(produce);
            attached(&bonded_model::bundle::with_managed_key(&envelope, &key.digest()))
        }),
        (Code::SigSubject, |produce| {
            let mut case = Case::good();
            let declared = Digest::sha256_of(if produce { b"other" } else { FILE });
            let bundle = Key::from_seed(1).file_bundle(FILE, &declared);
            case.attach(DocumentKind::Bundle, &bundle);
            case
        }),
        (Code::SigCertificate, |produce| {
            let mut case = Case::certified(workflow());
            if produce {
                let why = Fault::new(Code::SigCertificate, "a trusted certificate", "another");
                case.double = Some(Double(Err(why)));
            }
            case
        }),
        (Code::SigLog, |p| with_policy(p, "#key", "log = \"require\"", "log = \"if-present\"")),
        (Code::SigTime, |produce| {
            let mut case = Case::certified(workflow());
            let signing = time("2026-01-01T00:00:00Z").unix_seconds() - i64::from(produce);
            case.now = bonded_model::Timestamp::from_unix_seconds(signing).unwrap();
            case
        }),
        (Code::SigKey, |produce| {
            let key = Key::from_seed(if produce { 2 } else { 1 });
            attached(&key.bundle(&provenance(FILE, |_| {}).to_bytes()))
        }),
    ]
}

/// What counts only where the policy names it.
fn named_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::SigLegacy, |produce| {
            let mut case = Case::good();
            let layer = Key::from_seed(1).cosign_layer(&cosign_payload(FILE));
            case.attach(DocumentKind::Bundle, &layer);
            case.edit("#key", if produce { "" } else { "legacy = [\"cosign-signature\"]" });
            let table = "[[require]]\nname = \"signed\"\nof = \"artifacts\"\nsigners = [\"key\"]";
            let kind = "predicate = \"https://sigstore.dev/cosign/sign/v1\"";
            case.edit("#sbom", &format!("{table}\n{kind}\n"));
            case
        }),
        (Code::SigRoot, |produce| {
            let mut case = Case::certified(workflow());
            case.edit("#key", if produce { "root = \"other\"" } else { "root = \"double\"" });
            case
        }),
    ]
}

fn identity_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::IdIssuer, |produce| {
            let add = if produce { "/" } else { "" };
            Case::certified(holder(|holder| holder.issuer += add))
        }),
        (Code::IdSubject, |produce| {
            let add = if produce { "@refs/heads/x" } else { "" };
            Case::certified(holder(|holder| holder.identity += add))
        }),
        (Code::IdClaim, |produce| {
            let runner = if produce { "self-hosted" } else { "github-hosted" };
            let mut case = Case::certified(holder(|holder| {
                holder.claims.insert(Claim::RunnerEnvironment, runner.to_owned());
            }));
            case.edit("#key", "claims = { runner-environment = \"github-hosted\" }");
            case
        }),
        (Code::IdValidity, |p| {
            let until = |text| format!("valid_until = \"{text}\"");
            let (bad, good) = (until("2026-06-01T00:00:00Z"), until("2026-06-01T00:00:01Z"));
            with_policy(p, "#key", &bad, &good)
        }),
        (Code::StmtMalformed, |produce| {
            let payload = provenance(FILE, |_| {}).to_bytes();
            signed(&if produce { b"{}".to_vec() } else { payload })
        }),
        (Code::StmtDigest, |produce| {
            let text = String::from_utf8(provenance(FILE, |_| {}).to_bytes()).unwrap();
            signed(text.replace("sha256", if produce { "sha1" } else { "sha256" }).as_bytes())
        }),
        (Code::StmtPredicate, |produce| {
            let name = if produce { json!(7) } else { json!("build") };
            with_statement(LINK_V0_3, &json!({"name": name}))
        }),
        (Code::StmtFailed, |produce| {
            let result = if produce { "FAILED" } else { "PASSED" };
            with_statement(TEST_RESULT_V0_1, &json!({"result": result, "configuration": []}))
        }),
        (Code::StmtUnused, |produce| {
            let mut case = Case::good();
            let kind = if produce { "https://example.com/t" } else { PROVENANCE_V1 };
            let predicate = provenance(FILE, |_| {}).predicate;
            let predicate = serde_json::from_str(predicate.get()).unwrap();
            let payload = statement(FILE, kind, &predicate).to_bytes();
            case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&payload));
            case
        }),
    ]
}

fn provenance_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::ProvMissing, |produce| if produce { Case::bare() } else { Case::good() }),
        (Code::ProvPredicate, |produce| {
            let kind = format!("{PROVENANCE_V1}{}", if produce { ".0" } else { "" });
            let predicate = provenance(FILE, |_| {}).predicate;
            let predicate = serde_json::from_str(predicate.get()).unwrap();
            signed(&statement(FILE, &kind, &predicate).to_bytes())
        }),
        (Code::ProvMalformed, |produce| {
            let change = |predicate: &mut serde_json::Value| {
                if produce {
                    predicate["runDetails"] = json!({});
                }
            };
            signed(&provenance(FILE, change).to_bytes())
        }),
        (Code::ProvSubject, |produce| {
            let file = if produce { b"other" } else { FILE };
            signed(&provenance(file, |_| {}).to_bytes())
        }),
        (Code::ProvBuilder, |p| {
            let id = |id: &str| format!("id = \"{id}\"");
            with_policy(p, &id(BUILDER), &id("https://example.com/other"), &id(BUILDER))
        }),
        (Code::ProvSigner, |produce| {
            let mut case = Case::good();
            let other = Key::from_seed(2).public_pem();
            let second =
                format!("[[signer]]\nname = \"second\"\npublic_key = '''\n{other}'''\n[[builder]]");
            case.edit("[[builder]]", &second);
            let signers = if produce { "[\"second\"]" } else { "[\"second\", \"key\"]" };
            case.edit("[\"key\"]", signers);
            case
        }),
    ]
}

fn expectation_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::ProvLevel, |p| with_policy(p, "level = 3", "level = 2", "level = 3")),
        (Code::ProvSource, |p| {
            let source = |at: &str| format!("source = \"{at}\"");
            let (other, same) = (format!("{SOURCE}2"), format!("git+{SOURCE}.git"));
            with_policy(p, &source(SOURCE), &source(&other), &source(&same))
        }),
        (Code::ProvRef, |p| {
            with_policy(
                p,
                "tag = \"{version}\"",
                "branch = \"v1\"",
                "ref = \"refs/tags/{version}\"",
            )
        }),
        (Code::ProvClaims, |produce| {
            let claim = format!("{SOURCE}{}", if produce { "2" } else { "" });
            Case::certified(holder(|holder| {
                holder.claims.insert(Claim::SourceRepository, claim);
            }))
        }),
        (Code::ProvBuildType, |p| {
            let types = |at: &str| format!("build_types = [\"https://example.com/build/{at}\"]");
            with_policy(p, "#provenance", &types("v2"), &types("v1"))
        }),
        (Code::ProvParameter, |p| {
            with_policy(p, "#provenance", "parameters = []", "parameters = [\"source\"]")
        }),
        (Code::ProvQuorum, |produce| {
            let mut case = Case::good().with_second_key();
            case.edit("#provenance", "quorum = 2");
            let seed = if produce { 1 } else { 2 };
            let second = provenance(FILE, |predicate| predicate["runDetails"]["x"] = json!(1));
            case.attach(DocumentKind::Bundle, &Key::from_seed(seed).bundle(&second.to_bytes()));
            case
        }),
        (Code::ProvAge, |produce| {
            let mut case = Case::certified(workflow());
            let age = if produce { "150d" } else { "151d" };
            case.edit("#provenance", &format!("max_age = \"{age}\""));
            case
        }),
    ]
}

const VERIFIER: &str = "https://example.com/verifier";
const RESOURCE: &str = "pkg:generic/demo@v1#bin/a";

/// A file without provenance, with the summary of a verifier that speaks with a key of its own.
fn with_summary(keys: &str, seed: u8, file: &[u8], change: impl FnOnce(&mut Value)) -> Case {
    let mut case = Case::bare().with_second_key();
    case.edit("[\"key\", \"second\"]", "[\"key\"]");
    let resource = "resource = \"pkg:generic/{project}@{version}#{path}\"";
    let verifier = format!("[[verifier]]\nid = \"{VERIFIER}\"\nsigners = [\"second\"]\n{resource}");
    case.edit("#sbom", &format!("{verifier}\n{keys}\n#sbom"));
    let mut predicate = json!({
        "verifier": {"id": VERIFIER}, "timeVerified": "2026-05-31T00:00:00Z",
        "resourceUri": RESOURCE, "policy": {"uri": "p", "digest": {"sha256": "0".repeat(64)}},
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
    });
    change(&mut predicate);
    let payload = statement(file, SUMMARY_V1, &predicate).to_bytes();
    case.attach(DocumentKind::Bundle, &Key::from_seed(seed).bundle(&payload));
    case
}

/// A release without provenance under a policy that asks for none, and perhaps with a summary of all that was
/// held when it was made, and with documents that came later.
fn with_release_summary(later: Option<&[&[u8]]>) -> Case {
    let mut case = Case::good().with_second_key();
    let resource = "release = \"pkg:generic/{project}@{version}\"\nmax_age = \"1d\"";
    let verifier = format!("[[verifier]]\nid = \"{VERIFIER}\"\nsigners = [\"second\"]\nlevel = 3");
    case.edit("#sbom", &format!("{verifier}\n{resource}\n"));
    if let Some(later) = later {
        case.summarise(VERIFIER, "pkg:generic/demo@v1", 2);
        later.iter().for_each(|document| case.attach(DocumentKind::Bundle, document));
    }
    case.from_summary = true;
    case
}

fn summary_cases() -> Vec<(Code, Make)> {
    const THREE: &str = "level = 3";
    vec![
        (Code::VsaMissing, |p| with_release_summary(if p { None } else { Some(&[]) })),
        (Code::VsaInput, |p| with_release_summary(Some(if p { &[b"later"] } else { &[] }))),
        (Code::VsaVerifier, |p| {
            let id = format!("{VERIFIER}{}", if p { "/" } else { "" });
            with_summary(THREE, 2, FILE, |summary| summary["verifier"]["id"] = json!(id))
        }),
        (Code::VsaSigner, |p| with_summary(THREE, if p { 1 } else { 2 }, FILE, |_| {})),
        (Code::VsaSubject, |p| with_summary(THREE, 2, if p { b"other" } else { FILE }, |_| {})),
        (Code::VsaResource, |p| {
            let resource = format!("{RESOURCE}{}", if p { "b" } else { "" });
            with_summary(THREE, 2, FILE, |summary| summary["resourceUri"] = json!(resource))
        }),
        (Code::VsaPolicy, |p| {
            let policy = if p { "1" } else { "0" }.repeat(64);
            let keys = format!("{THREE}\npolicies = [\"sha256:{policy}\"]");
            with_summary(&keys, 2, FILE, |_| {})
        }),
        (Code::VsaLevel, |p| with_summary(if p { "level = 2" } else { THREE }, 2, FILE, |_| {})),
        (Code::VsaAge, |p| {
            let age = if p { "23h" } else { "24h" };
            with_summary(&format!("{THREE}\nmax_age = \"{age}\""), 2, FILE, |_| {})
        }),
    ]
}

/// A build that names its commit, and perhaps what is said of it with the second key.
fn with_source(
    keys: &str,
    commit: Option<&str>,
    said: Option<(u8, &str)>,
    change: impl FnOnce(&mut Value),
) -> Case {
    let built = |predicate: &mut Value| {
        if let Some(commit) = commit {
            let source = &mut predicate["buildDefinition"]["externalParameters"]["source"];
            source["digest"] = json!({"gitCommit": commit});
        }
    };
    let mut case = signed(&provenance(FILE, built).to_bytes()).with_second_key();
    case.edit("[\"key\", \"second\"]", "[\"key\"]");
    let verifiers =
        format!("verifiers = [{{ id = \"{VERIFIER}\", signers = [\"second\"], level = 3 }}]");
    case.edit("#sbom", &format!("[source]\n{verifiers}\n{keys}\n"));
    if let Some((seed, named)) = said {
        let mut predicate = json!({
            "verifier": {"id": VERIFIER}, "timeVerified": "2026-05-31T00:00:00Z",
            "resourceUri": format!("git+{SOURCE}.git"), "policy": {},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_SOURCE_LEVEL_3"],
        });
        change(&mut predicate);
        let made = statement(FILE, SUMMARY_V1, &predicate).to_bytes();
        let subject = json!([{"digest": {"gitCommit": named}, "annotations": {"sourceRefs": ["refs/heads/main"]}}]);
        let mut made: Value = serde_json::from_slice(&made).unwrap();
        made["subject"] = subject;
        case.attach_to_release(
            DocumentKind::Bundle,
            &Key::from_seed(seed).bundle(made.to_string().as_bytes()),
        );
    }
    case
}

fn source_cases() -> Vec<(Code, Make)> {
    const KEYS: &str = "level = 2\nbranch = \"main\"";
    const COMMIT: &str = "0123456789012345678901234567890123456789";
    const SAID: Option<(u8, &str)> = Some((2, COMMIT));
    vec![
        (Code::SrcMissing, |p| with_source(KEYS, Some(COMMIT), SAID.filter(|_| !p), |_| {})),
        (Code::SrcCommit, |p| {
            let commit = Some(COMMIT).filter(|_| !p);
            with_source(KEYS, commit, commit.map(|commit| (2, commit)), |_| {})
        }),
        (Code::SrcVerifier, |p| {
            let id = format!("{VERIFIER}{}", if p { "/" } else { "" });
            with_source(KEYS, Some(COMMIT), SAID, |summary| summary["verifier"]["id"] = json!(id))
        }),
        (Code::SrcSigner, |p| {
            with_source(KEYS, Some(COMMIT), Some((if p { 1 } else { 2 }, COMMIT)), |_| {})
        }),
        (Code::SrcRepository, |p| {
            let uri = format!("{SOURCE}{}", if p { "2" } else { "" });
            with_source(KEYS, Some(COMMIT), SAID, |summary| summary["resourceUri"] = json!(uri))
        }),
        (Code::SrcRef, |p| {
            let keys = if p { KEYS.replace("main", "mai") } else { KEYS.to_owned() };
            with_source(&keys, Some(COMMIT), SAID, |_| {})
        }),
        (Code::SrcLevel, |p| {
            let level = format!("level = {}\nbranch = \"main\"", if p { 4 } else { 3 });
            with_source(&level, Some(COMMIT), SAID, |_| {})
        }),
        (Code::SrcAge, |p| {
            let age = format!("{KEYS}\nmax_age = \"{}\"", if p { "23h" } else { "24h" });
            with_source(&age, Some(COMMIT), SAID, |_| {})
        }),
    ]
}

const PACKAGE: &str = "pkg:npm/%40s/p@v1";

/// A package with its provenance and what the registry says of it.
fn with_npm(publish: &[u8], signer: u8, name: &str, keys: &str) -> Case {
    let mut case = Case::bare().with_second_key();
    let named = |file: &[u8], subject: &str, mut made: bonded_model::statement::Statement| {
        made.subjects = vec![Subject::new(subject, Digest::sha256_of(file))];
        made.to_bytes()
    };
    let built = named(FILE, name, provenance(FILE, |_| {}));
    case.attach(DocumentKind::Bundle, &Key::from_seed(1).bundle(&built));
    if !publish.is_empty() {
        let registry = "https://registry.npmjs.org";
        let predicate = json!({"name": "@s/p", "version": "v1", "registry": registry});
        let published = named(publish, PACKAGE, statement(FILE, NPM_PUBLISH_V0_1, &predicate));
        case.attach(DocumentKind::Bundle, &Key::from_seed(signer).bundle(&published));
    }
    let rule = format!("[npm]\nsigners = [\"second\"]\n{keys}\n#sbom");
    case.edit("#sbom", &rule);
    case
}

fn npm_cases() -> Vec<(Code, Make)> {
    const NAME: &str = "package = \"@s/p\"";
    vec![
        (Code::NpmMissing, |p| with_npm(if p { b"" } else { FILE }, 2, PACKAGE, NAME)),
        (Code::NpmPackage, |p| {
            let version = if p { "version = \"v2\"" } else { "version = \"v1\"" };
            with_npm(FILE, 2, PACKAGE, &format!("{NAME}\n{version}"))
        }),
        (Code::NpmSigner, |p| with_npm(FILE, if p { 1 } else { 2 }, PACKAGE, NAME)),
        (Code::NpmSubject, |p| with_npm(if p { b"other" } else { FILE }, 2, PACKAGE, NAME)),
        (Code::NpmPair, |p| with_npm(FILE, 2, if p { "pkg:npm/%40s/q@v1" } else { PACKAGE }, NAME)),
    ]
}

fn input_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::ProvInput, |produce| {
            let value = if produce { "debug" } else { "release" };
            let change = |predicate: &mut serde_json::Value| {
                let parameters = &mut predicate["buildDefinition"]["externalParameters"];
                parameters["inputs"] = json!({"flavour": value});
            };
            let mut case = signed(&provenance(FILE, change).to_bytes());
            case.edit("#provenance", "inputs = { flavour = \"release\" }");
            case
        }),
        (Code::ProvValue, |p| {
            let value = |tag: &str| {
                format!("parameter_values = {{ source = {{ uri = \"git+{SOURCE}@{tag}\" }} }}")
            };
            with_policy(p, "#provenance", &value("refs/tags/v2"), &value("refs/tags/v1"))
        }),
        (Code::ProvDependency, |produce| {
            let listed = if produce { "" } else { "\"pkg:oci/bash@*\"" };
            let change = |predicate: &mut serde_json::Value| {
                predicate["buildDefinition"]["resolvedDependencies"] =
                    json!([{"uri": "pkg:oci/bash@1"}]);
            };
            let mut case = signed(&provenance(FILE, change).to_bytes());
            case.edit("#provenance", &format!("dependencies = [{listed}]"));
            case
        }),
    ]
}

fn sbom_cases() -> Vec<(Code, Make)> {
    const REQUIRE: &str = "rule = \"require\"\n";
    vec![
        (Code::SbomMissing, |produce| {
            let mut case = Case::good();
            case.edit("rule = \"off\"\n#sbom", REQUIRE);
            if !produce {
                let sbom = spdx(FILE).to_string();
                case.attach_to_release(DocumentKind::Spdx, sbom.as_bytes());
            }
            case
        }),
        (Code::SbomMalformed, |produce| {
            let sbom = if produce { json!({}) } else { spdx(FILE) };
            with_sbom(REQUIRE, sbom.to_string().as_bytes())
        }),
        (Code::SbomFormat, |produce| {
            let format = if produce { "cyclonedx" } else { "spdx" };
            let rule = format!("formats = [\"{format}\"]\n");
            with_sbom(&rule, spdx(FILE).to_string().as_bytes())
        }),
        (Code::SbomSubject, |produce| {
            let file = if produce { b"other" } else { FILE };
            with_sbom(REQUIRE, spdx(file).to_string().as_bytes())
        }),
        (Code::SbomSigner, |produce| {
            let mut case = Case::good();
            case.edit("rule = \"off\"\n#sbom", "signers = [\"key\"]\n");
            match produce {
                true => case.attach(DocumentKind::Spdx, spdx(FILE).to_string().as_bytes()),
                false => attest_spdx(&mut case, 1),
            }
            case
        }),
        (Code::SbomQuorum, |produce| {
            let mut case = Case::good().with_second_key();
            case.edit("rule = \"off\"\n#sbom", "quorum = 2\n");
            attest_spdx(&mut case, 1);
            if produce {
                case.attach(DocumentKind::Spdx, spdx(FILE).to_string().as_bytes());
            } else {
                attest_spdx(&mut case, 2);
            }
            case
        }),
        (Code::SbomAge, |produce| {
            let mut case = Case::certified(workflow());
            let age = if produce { "150d" } else { "151d" };
            case.edit("rule = \"off\"\n#sbom", &format!("max_age = \"{age}\"\n"));
            let attested = statement(FILE, SPDX_TYPE, &spdx(FILE));
            case.attach(DocumentKind::Bundle, &certified(&attested));
            case
        }),
    ]
}

fn checksum_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::SumMissing, |produce| {
            let rule = if produce { "require" } else { "off" };
            let mut case = Case::good();
            case.edit("#sbom", &format!("[checksums]\nrule = \"{rule}\""));
            case
        }),
        (Code::SumMismatch, |produce| {
            let digest = Digest::sha256_of(if produce { b"other" } else { FILE });
            with_checksums("SHA256SUMS", &format!("{}  {PATH}\n", digest.hex()))
        }),
        (Code::SumMalformed, |produce| {
            let cut = usize::from(produce);
            let hex = Digest::sha256_of(FILE).hex();
            with_checksums("bin/a.sha256", hex.get(cut..).unwrap())
        }),
        (Code::SumUnknown, |produce| match produce {
            true => with_checksums("bin/a.sha512", &Digest::sha512_of(FILE).hex()),
            false => with_checksums("bin/a.sha256", &Digest::sha256_of(FILE).hex()),
        }),
        (Code::SumStray, |produce| {
            let path = if produce { "bin/b" } else { PATH };
            with_checksums("SHA256SUMS", &format!("{}  {path}\n", Digest::sha256_of(FILE).hex()))
        }),
    ]
}

const TESTED: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// A case with a requirement, and with what may have been said about some file by some key.
fn with_requirement(keys: &str, signed: &[(u8, &[u8])]) -> Case {
    let mut case = Case::good().with_second_key();
    let rule =
        format!("[[require]]\nname = \"tests\"\npredicate = \"{TESTED}\"\nof = \"artifacts\"\n");
    case.edit("#sbom", &format!("{rule}{keys}"));
    for (seed, file) in signed {
        let tested = statement(file, TESTED, &json!({"result": "PASSED", "configuration": []}));
        case.attach(DocumentKind::Bundle, &Key::from_seed(*seed).bundle(&tested.to_bytes()));
    }
    case
}

fn requirement_cases() -> Vec<(Code, Make)> {
    const ONE: &str = "signers = [\"second\"]";
    vec![
        (Code::ReqMissing, |produce| {
            with_requirement(ONE, if produce { &[] } else { &[(2, FILE)] })
        }),
        (Code::ReqSubject, |produce| {
            with_requirement(ONE, &[(2, if produce { b"other" } else { FILE })])
        }),
        (Code::ReqSigner, |produce| with_requirement(ONE, &[(if produce { 1 } else { 2 }, FILE)])),
        (Code::ReqQuorum, |produce| {
            let rule = "signers = [\"key\", \"second\"]\nquorum = 2";
            let signed: &[(u8, &[u8])] = &[(1, FILE), (2, FILE)];
            with_requirement(rule, if produce { &signed[..1] } else { signed })
        }),
        (Code::ReqAge, |produce| {
            let mut case = Case::certified(workflow());
            let age = if produce { "150d" } else { "151d" };
            let rule = format!(
                "[[require]]\nname = \"tests\"\npredicate = [\"{TESTED}\"]\nof = \"artifacts\"\n\
                 signers = [\"key\"]\nmax_age = \"{age}\""
            );
            case.edit("#sbom", &rule);
            let tested = statement(FILE, TESTED, &json!({"result": "PASSED", "configuration": []}));
            case.attach(DocumentKind::Bundle, &certified(&tested));
            case
        }),
    ]
}

/// A build without the cargo feature follows no layouts.
fn layout_cases() -> Vec<(Code, Make)> {
    #[cfg(feature = "in-toto")]
    return crate::layout::cases::all();
    #[cfg(not(feature = "in-toto"))]
    Vec::new()
}

fn expression_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::ExprFalse, |p| {
            with_expression(if p { "artifact.size == 4" } else { "artifact.size == 5" })
        }),
        (Code::ExprError, |p| {
            with_expression(if p { "artifact.size" } else { "artifact.size > 0" })
        }),
        (Code::ExprBudget, |p| {
            let nested = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(X, ";
            let depth = if p { 5 } else { 2 };
            let loops: String =
                (0..depth).map(|at| nested.replace('X', &format!("x{at}"))).collect();
            with_expression(&format!("{loops}true{}", ")".repeat(depth)))
        }),
    ]
}

fn with_expression(cel: &str) -> Case {
    let mut case = Case::good();
    let expression = format!("[[expression]]\nname = \"e\"\nof = \"artifacts\"\ncel = '{cel}'");
    case.edit("#sbom", &expression);
    case
}

fn release_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::RelMissing, |p| {
            let set = |paths: &str| format!("[release]\nartifacts = [{paths}]");
            with_policy(p, "#sbom", &set("\"bin/a\", \"bin/b-{version}\""), &set("\"bin/a\""))
        }),
        (Code::RelExtra, |produce| {
            let mut case = Case::good();
            case.edit("#sbom", "[release]\nartifacts = [\"bin/a\"]");
            // The same bytes under a second name are covered by the same provenance.
            case.files.extend(produce.then(|| ("bin/b", FILE.to_vec())));
            case
        }),
        (Code::RelPlatformMissing, |produce| {
            let more = if produce { ", \"darwin/arm64\"" } else { "" };
            with_platforms(&format!("\"linux/amd64\", \"linux/arm64\"{more}"))
        }),
        (Code::RelPlatformExtra, |produce| {
            let more = if produce { "" } else { ", \"linux/arm64\"" };
            with_platforms(&format!("\"linux/amd64\"{more}"))
        }),
        (Code::RelUnknown, |produce| {
            let mut case = Case::good();
            case.edit("#sbom", "[[scope]]\nname = \"programs\"\nkinds = [\"elf\"]");
            if !produce {
                case.looks.insert(PATH, (ContentKind::Text, None));
            }
            case
        }),
        (Code::RelUnmatched, |produce| {
            let mut case = Case::good();
            let file = if produce { b"other" } else { FILE };
            let payload = provenance(file, |_| {}).to_bytes();
            case.attach_to_release(DocumentKind::Bundle, &Key::from_seed(1).bundle(&payload));
            case
        }),
        (Code::RelLimit, |produce| {
            let mut case = Case::good();
            case.edit("[provenance]\n", "[provenance]\nrule = \"off\"\n");
            let document = case.documents[0].clone();
            case.documents = vec![document; DOCUMENT_COUNT_MAX + usize::from(produce)];
            case
        }),
    ]
}

fn cases() -> Vec<(Code, Make)> {
    let groups = [
        signature_cases(),
        named_cases(),
        identity_cases(),
        provenance_cases(),
        expectation_cases(),
        input_cases(),
        summary_cases(),
        source_cases(),
        npm_cases(),
        sbom_cases(),
        checksum_cases(),
        requirement_cases(),
        layout_cases(),
        expression_cases(),
        release_cases(),
    ];
    groups.into_iter().flatten().collect()
}

#[test]
fn every_code_has_its_pair() {
    let with_cases: Vec<_> = cases().into_iter().map(|(code, _)| code).collect();
    let made = |code: &&Code| cfg!(feature = "in-toto") || !code.as_str().starts_with("LAYOUT-");
    let expected: Vec<_> = Code::ALL.iter().filter(made).copied().collect();
    assert_eq!(with_cases, expected);
}

#[test]
fn every_code_is_produced_alone_and_just_avoided() {
    for (code, make) in cases() {
        let found = |produce| -> BTreeSet<Code> {
            make(produce).verdict().findings().iter().map(|finding| finding.code).collect()
        };
        assert_eq!(found(true), BTreeSet::from([code]), "{code} produced");
        assert!(!found(false).contains(&code), "{code} avoided");
    }
}

/// Codes that name something that is merely odd, or superfluous.
#[test]
fn a_code_fails_the_verdict_unless_it_is_harmless() {
    let harmless = [
        Code::StmtPredicate,
        Code::StmtFailed,
        Code::StmtUnused,
        Code::SumStray,
        Code::RelUnmatched,
        Code::SigSubject,
        Code::LayoutLink,
        Code::LayoutCommand,
    ];
    for (code, make) in cases() {
        let verdict = make(true).verdict();
        assert_eq!(verdict.is_pass(), harmless.contains(&code), "{code}");
        let weights: BTreeSet<_> = verdict.findings().iter().map(|f| f.severity).collect();
        assert_eq!(weights.contains(&Severity::Fail), !harmless.contains(&code), "{code}");
    }
}

#[test]
fn a_nonsense_certificate_is_refused_by_the_library() {
    let mut case = Case::certified(workflow());
    case.double = None;
    let verdict = case.verdict();
    let codes: Vec<_> = verdict.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::SigCertificate]);
}
