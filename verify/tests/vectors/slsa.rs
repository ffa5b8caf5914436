//! Real provenance of further builders, and what has to be refused among it.

use bonded_model::slsa::Provenance;
use bonded_model::statement::Statement;
use bonded_model::vsa::Summary;

use super::*;

/// A policy for builders that other identities speak for.
fn delegated(id: &str, signer: &str, source: &str, further: &str) -> String {
    let text = policy_text(&[signer], source, further);
    text.replace(&format!("[[builder]]\nid = \"{signer}\""), &format!("[[builder]]\nid = \"{id}\""))
}

fn with(text: &str, keys: &str) -> Policy {
    Policy::parse(&text.replace("[sbom]", &format!("{keys}\n[sbom]"))).unwrap()
}

/// The verdict on one file and one document of a folder, both by name.
fn judge(folder: &Path, policy: &Policy, file: &str, document: &str) -> Verdict {
    let bytes = read(&folder.join(file)).unwrap();
    let bundle = read(&folder.join(document)).unwrap();
    let digests = [Digest::sha256_of(&bytes), Digest::sha512_of(&bytes)];
    let question = FileQuestion {
        path: None,
        digests: &digests,
        size: None,
        bytes: None,
        bundle: &bundle,
        version: None,
        release_path: None,
    };
    verify_file(&public_good(), &FileExpectation::Policy(policy), &question, now())
}

fn fails(verdict: &Verdict) -> Vec<Code> {
    codes(verdict, Severity::Fail)
}

/// The documents of one folder by trigger, each with its suffix.
const CONTAINER_BASED: [(&str, [&str; 4]); 2] = [
    ("v1.8.0", [".intoto.jsonl", ".intoto.build.slsa", ".intoto.jsonl", ".intoto.build.slsa"]),
    ("v2.1.0", [".intoto.build.slsa"; 4]),
];

#[test]
fn container_based_builds() {
    let Some(folder) = vectors("slsa/gha_container-based") else { return };
    for (version, suffixes) in CONTAINER_BASED {
        let folder = folder.join(version);
        let id = format!(
            "{GENERATOR}/.github/workflows/builder_container-based_slsa3.yml@refs/tags/{version}"
        );
        let any = policy_text(&[&id], EXAMPLE, ANY);
        let tag = policy_text(&[&id], EXAMPLE, "versioned_tag = \"v14.2\"");
        for (trigger, suffix) in TRIGGERS.iter().zip(suffixes) {
            let file = format!("binary-linux-amd64-{trigger}");
            let judge = |policy: &Policy| judge(&folder, policy, &file, &format!("{file}{suffix}"));
            check(&judge(&with(&any, "")), &[], 0);
            let expected: &[Code] = if *trigger == "push-v14.2" { &[] } else { &[Code::ProvRef] };
            assert_eq!(fails(&judge(&with(&tag, ""))), expected, "{version} {trigger}");
        }
        let file = "binary-linux-amd64-push-v14";
        let judge = |keys: &str| {
            judge(&folder, &with(&any, keys), file, &format!("{file}.intoto.build.slsa"))
        };
        let names = "parameters = [\"source\", \"builderImage\", \"configPath\", \"buildConfig\"]";
        let path =
            "parameter_values = { configPath = \".github/configs-docker/config-tag-v14.toml\" }";
        let image = "dependencies = [\"git+https://github.com/slsa-framework/slsa-github-generator@*\", \"git+https://github.com/slsa-framework/slsa-github-generator@refs/tags/*\"]";
        let ids = "source_id = \"486325809\"\nsource_owner_id = \"80431187\"";
        for keys in [names, path, image, ids] {
            check(&judge(keys), &[], 0);
        }
        check(&judge("parameters = [\"source\", \"configPath\"]"), &[Code::ProvParameter; 2], 0);
        check(&judge("parameter_values = { configPath = \"x\" }"), &[Code::ProvValue], 0);
        check(&judge("dependencies = []"), &[Code::ProvDependency], 0);
        check(&judge("source_id = \"486325808\""), &[Code::ProvSource], 0);
    }
}

const TRUSTED_WORKFLOW: &str = "https://github.com/slsa-framework/example-trw/.github/workflows/builder_high-perms_slsa3.yml@refs/tags";

#[test]
fn delegated_builds() {
    let Some(folder) = vectors("slsa/gha_delegator") else { return };
    let delegator = format!("{GENERATOR}/.github/workflows/delegator_generic_slsa3.yml");
    for (version, reference) in [("v1.9.0", "refs/heads/main"), ("v2.1.0", "refs/tags/v2.1.0")] {
        let folder = folder.join(version);
        let id = format!("{TRUSTED_WORKFLOW}/{version}");
        let signer = format!("{delegator}@{reference}");
        let any = with(&delegated(&id, &signer, EXAMPLE, ANY), "");
        let tag = with(&delegated(&id, &signer, EXAMPLE, "tag = \"v14.2\""), "");
        for trigger in TRIGGERS {
            let file = format!("binary-linux-amd64-{trigger}");
            let judge =
                |policy: &Policy| judge(&folder, policy, &file, &format!("{file}.build.slsa"));
            check(&judge(&any), &[], 0);
            let expected: &[Code] = if trigger == "push-v14.2" { &[] } else { &[Code::ProvRef] };
            assert_eq!(fails(&judge(&tag)), expected, "{version} {trigger}");
        }
        let file = "binary-linux-amd64-push-v14.2";
        let judge = |policy: &Policy| judge(&folder, policy, file, &format!("{file}.build.slsa"));
        let inputs = "inputs = { content = \"hello\", rekor-log-public = false }";
        check(&judge(&with(&delegated(&id, &signer, EXAMPLE, ANY), inputs)), &[], 0);
        let other = "inputs = { content = \"world\" }";
        check(&judge(&with(&delegated(&id, &signer, EXAMPLE, ANY), other)), &[Code::ProvInput], 0);
        // A policy that asks the delegator for a release tag refuses what was signed from a branch.
        let released = format!("{delegator}@refs/tags/{version}");
        let verdict = judge(&with(&delegated(&id, &released, EXAMPLE, ANY), ""));
        let expected: &[Code] = if version == "v1.9.0" { &[Code::IdSubject] } else { &[] };
        assert_eq!(fails(&verdict), expected, "{version}");
        // The trusted workflow is not the builder that signs.
        let verdict = judge(&with(&policy_text(&[&signer], EXAMPLE, ANY), ""));
        check(&verdict, &[Code::ProvBuilder], 0);
    }
}

#[test]
fn a_summary_about_something_that_is_no_hash() {
    let Some(folder) = vectors("slsa/vsa/gce/v1") else { return };
    let envelope = read(&folder.join("gke-gce-pre.bcid-vsa.jsonl")).unwrap();
    let pem = String::from_utf8(read(&folder.join("vsa_signing_public_key.pem")).unwrap()).unwrap();
    let key = PublicKey::from_pem(&pem).unwrap();
    let digests = [Digest::sha256_of(b"any")];
    let question = FileQuestion {
        path: None,
        digests: &digests,
        size: None,
        bytes: None,
        bundle: &envelope,
        version: None,
        release_path: None,
    };
    let verdict = verify_file(&public_good(), &FileExpectation::Key(&key), &question, now());
    check(&verdict, &[Code::StmtDigest], 0);
    let envelope = bonded_model::dsse::Envelope::parse(&envelope).unwrap();
    let statement = Statement::parse(&envelope.payload).unwrap();
    let summary = Summary::parse(&statement).unwrap();
    assert_eq!(summary.verified_levels, ["BCID_L1", "SLSA_BUILD_LEVEL_2"]);
}

/// 461 subjects, none of whose bytes are at hand: the release is made of their digests.
fn stage(statement: &Statement, bytes: &[u8]) -> Evidence {
    let artifacts = statement.subjects.iter().enumerate().map(|(at, subject)| {
        let mut file = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), b"");
        file.digest = subject.digest.digest(bonded_model::Algorithm::Sha256).unwrap();
        Artifact::of_file(format!("file-{at}").parse().unwrap(), file, None, None).0
    });
    let name = "kubernetes@v1.23.0-alpha.4".parse().unwrap();
    let (release, _) = Release::new(name, artifacts.collect()).unwrap();
    let document = Document {
        digest: Digest::sha256_of(bytes),
        bytes: Arc::from(bytes),
        kind: DocumentKind::Statement,
        media_type: MediaType::known(media_type::IN_TOTO),
        title: None,
        subject: Subject::Release,
    };
    Evidence { release, documents: vec![document] }
}

#[test]
fn the_unsigned_stage_provenance_of_kubernetes() {
    let Some(folder) = vectors("kubernetes") else { return };
    let bytes = read(&folder.join("k8s-1.23.0-alpha.4-provenance.json")).unwrap();
    let statement = Statement::parse(&bytes).unwrap();
    let provenance = Provenance::parse(&statement).unwrap();
    assert_eq!(statement.subjects.len(), 461);
    assert_eq!(provenance.builder_id, "pkg:github/puerco/release@provenance");
    let digest = Digest::sha256_of(&bytes);
    let text = |digest: &Digest, builder: &str, level: u8, further: &str| {
        format!(
            "version = 1\nname = \"stage\"\n[[unsigned]]\ndigest = \"{digest}\"\nreason = \"a pre-release of 2021\"\n\
             builder = \"{builder}\"\nlevel = 1\n[provenance]\nlevel = {level}\n\
             source = \"https://github.com/kubernetes/kubernetes\"\n{further}\n[sbom]\nrule = \"off\"\n"
        )
    };
    let judge = |text: &str, bytes: &[u8]| {
        let policy = Policy::parse(text).unwrap();
        let verdict = verify_release(&public_good(), &policy, &stage(&statement, bytes), now());
        let mut fails = fails(&verdict);
        fails.sort();
        fails.dedup();
        fails
    };
    let mine = "pkg:github/puerco/release@provenance";
    let arguments = "parameters = [\"--branch=\", \"--build-version=\", \"--type=\"]";
    assert_eq!(judge(&text(&digest, mine, 1, ANY), &bytes), []);
    assert_eq!(judge(&text(&digest, mine, 1, &format!("{ANY}\n{arguments}")), &bytes), []);
    let other = Digest::sha256_of(b"other");
    assert_eq!(judge(&text(&other, mine, 1, ANY), &bytes), [Code::SigUnsigned]);
    let other_builder = [Code::SigUnsigned, Code::ProvBuilder];
    assert_eq!(judge(&text(&digest, "krel", 1, ANY), &bytes), other_builder);
    assert_eq!(judge(&text(&digest, mine, 2, ANY), &bytes), [Code::ProvLevel]);
    assert_eq!(judge(&text(&digest, mine, 1, "branch = \"master\""), &bytes), [Code::ProvRef]);
    let none = format!("{ANY}\nparameters = []");
    assert_eq!(judge(&text(&digest, mine, 1, &none), &bytes), [Code::ProvParameter]);
    let mut spaced = bytes.clone();
    spaced.push(b'\n');
    assert_eq!(judge(&text(&digest, mine, 1, ANY), &spaced), [Code::SigUnsigned]);
}

/// The public key of npm's registry: a policy states it, the program holds none.
const NPM_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i\n6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==\n-----END PUBLIC KEY-----\n";

/// A policy for one npm package, its workflow or builder, and the registry.
fn npm_policy(id: &str, signer: &str, source: &str, package: &str) -> String {
    let text = delegated(id, signer, source, ANY);
    let registry = format!("[[signer]]\nname = \"registry\"\npublic_key = '''\n{NPM_KEY}'''\n");
    let npm = format!("[npm]\npackage = \"{package}\"\nsigners = [\"registry\"]\n");
    text.replace("[provenance]", &format!("{registry}{npm}[provenance]"))
}

/// The verdict on a package with what the registry answers for it.
fn judge_package(folder: &Path, policy: &str, name: &str, version: &str) -> Verdict {
    let file = read(&folder.join(format!("{name}.tgz"))).unwrap();
    let list = read(&folder.join(format!("{name}.tgz.json"))).unwrap();
    let path = "package.tgz";
    let descriptor = Descriptor::of(MediaType::known(media_type::OCTET_STREAM), &file);
    let sha512 = Some(Digest::sha512_of(&file));
    let (artifact, _) = Artifact::of_file(path.parse().unwrap(), descriptor, sha512, None);
    let release = format!("npm@{version}").parse().unwrap();
    let (release, _) = Release::new(release, vec![artifact]).unwrap();
    let document = Document {
        digest: Digest::sha256_of(&list),
        bytes: Arc::from(list.as_slice()),
        kind: DocumentKind::Bundle,
        media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
        title: None,
        subject: Subject::Artifact(path.parse().unwrap()),
    };
    let evidence = Evidence { release, documents: vec![document] };
    verify_release(&public_good(), &Policy::parse(policy).unwrap(), &evidence, now())
}

#[test]
fn npm_packages_have_pairs() {
    let Some(folder) = vectors("slsa/npm/gha") else { return };
    let source = "https://github.com/ramonpetgrave64/gundam-visor";
    let workflow = format!("{source}/.github/workflows/npm-publish.yml@refs/tags/v1.0.1");
    let id = "https://github.com/actions/runner/github-hosted";
    let good = npm_policy(id, &workflow, source, "gundam-visor");
    let name = "gundam-visor-cli-v1-tag";
    let judge = |policy: &str, suffix: &str, version: &str| {
        judge_package(&folder, policy, &format!("{name}{suffix}"), version)
    };
    check(&judge(&good, "", "1.0.1"), &[], 0);
    let verdict = judge(&good, "-invalidsigprov", "1.0.1");
    let found = fails(&verdict);
    assert!(found.iter().any(|code| code.as_str().starts_with("SIG-")), "{found:?}");
    assert!(found.contains(&Code::NpmPair), "{found:?}");
    let found = fails(&judge(&good, "-invalidsigpub", "1.0.1"));
    assert!(found.iter().all(|code| code.as_str().starts_with("SIG-")), "{found:?}");
    assert!(!found.is_empty());
    check(&judge(&good, "", "1.0.2"), &[Code::NpmPackage], 0);
    let other = good.replace("package = \"gundam-visor\"", "package = \"zaku-visor\"");
    check(&judge(&other, "", "1.0.1"), &[Code::NpmPackage], 0);
    let elsewhere = good.replace("[npm]\n", "[npm]\nregistry = \"https://npm.example.com\"\n");
    check(&judge(&elsewhere, "", "1.0.1"), &[Code::NpmPackage], 0);
    let fork = npm_policy(id, &workflow, "https://github.com/fork/gundam-visor", "gundam-visor");
    check(&judge(&fork, "", "1.0.1"), &[Code::ProvSource, Code::NpmPair], 0);
}

/// The log entries of this package, of 2023, have a promise and a proof but no checkpoint: under a policy
/// that names such entries they suffice, and under no other.
#[test]
fn an_older_npm_package_has_no_checkpoint() {
    let Some(folder) = vectors("slsa/npm/gha") else { return };
    let id = format!("{GENERATOR}/.github/workflows/builder_nodejs_slsa3.yml@refs/tags/v1.6.0");
    let signer = format!(
        "{GENERATOR}/.github/workflows/delegator_lowperms-generic_slsa3.yml@refs/tags/v1.6.0"
    );
    let source = "https://github.com/laurentsimon/provenance-npm-test";
    let policy = npm_policy(&id, &signer, source, "@laurentsimon/provenance-npm-test");
    let judge = |policy: &str, suffix: &str, version: &str| {
        judge_package(&folder, policy, &format!("provenance-npm-test-ossf{suffix}"), version)
    };
    for suffix in ["", "-invalidsigprov", "-invalidsigpub"] {
        let verdict = judge(&policy, suffix, "1.0.5");
        assert!(fails(&verdict).contains(&Code::SigLog), "{suffix}: {:?}", fails(&verdict));
        assert!(!verdict.is_pass());
    }
    let named = "legacy = [\"promise-only\"]\n";
    let of_builder = format!("name = \"s0\"\n{named}");
    let for_one = policy.replace("name = \"s0\"\n", &of_builder);
    let for_both =
        for_one.replace("name = \"registry\"\n", &format!("name = \"registry\"\n{named}"));
    check(&judge(&for_both, "", "1.0.5"), &[], 0);
    check(&judge(&for_both, "", "1.0.6"), &[Code::NpmPackage], 0);
    let other = for_both.replace("provenance-npm-test\"", "another-test\"");
    assert!(!judge(&other, "", "1.0.5").is_pass());
    for suffix in ["-invalidsigprov", "-invalidsigpub"] {
        let found = fails(&judge(&for_both, suffix, "1.0.5"));
        assert!(found.iter().any(|code| code.as_str().starts_with("SIG-")), "{suffix}: {found:?}");
    }
    // The registry's own signature is promised as well.
    let found = fails(&judge(&for_one, "", "1.0.5"));
    assert!(found.contains(&Code::SigLog), "{found:?}");
}
