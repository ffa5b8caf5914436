//! The client of the public Sigstore conformance suite, `tests/conformance/sigstore`, on its bundles.

use std::process::Command;

use crate::vectors::bundle_cases;
use crate::world::{Run, root};

/// Runs the client; PATH is for `bash` alone.
fn client(arguments: &[&str]) -> Run {
    let mut command = Command::new(root().join("tests/conformance/sigstore"));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("PROGRAM", env!("CARGO_BIN_EXE_bonded"));
    Run::of(&command.args(arguments).output().expect("bash"))
}

#[test]
fn all_public_bundles_come_out_right_by_the_suites_protocol() {
    let Some(cases) = bundle_cases() else { return };
    for case in &cases {
        let mut arguments = vec!["verify-bundle", "--bundle", &case.bundle];
        match &case.key {
            Some(key) => arguments.extend(["--key", key]),
            None => arguments.extend([
                "--certificate-identity",
                &case.identity,
                "--certificate-oidc-issuer",
                &case.issuer,
            ]),
        }
        arguments.extend(case.trusted_root.iter().flat_map(|root| ["--trusted-root", root]));
        for target in &case.targets {
            let mut arguments = arguments.clone();
            arguments.push(target);
            let run = client(&arguments);
            assert!(case.expected().contains(&run.code), "{} as {target}: {run:?}", case.name);
        }
    }
}

#[test]
fn a_bundle_of_the_public_instance_is_a_stranger_in_staging() {
    let Some(cases) = bundle_cases() else { return };
    let case = cases.iter().find(|case| case.name == "happy-path-v0.3").unwrap();
    let [_, digest] = &case.targets;
    let ask = |more: &[&str]| {
        let mut arguments = vec!["verify-bundle", "--bundle", &case.bundle];
        arguments.extend(["--certificate-identity", &case.identity]);
        arguments.extend(["--certificate-oidc-issuer", &case.issuer, digest]);
        arguments.extend(more);
        client(&arguments)
    };
    ask(&[]).must(0);
    let refused = ask(&["--staging"]).must(1);
    assert!(refused.stdout.contains("SIG-"), "{refused:?}");
}

#[test]
fn what_the_protocol_does_not_know_is_refused() {
    let table: [(&[&str], &str); 6] = [
        (&[], "only verify-bundle"),
        (&["sign-bundle", "--identity-token", "x", "a.txt"], "only verify-bundle"),
        (&["verify-bundle", "--rekor-url", "x", "a.txt"], "unknown option"),
        (&["verify-bundle", "--bundle"], "needs a value"),
        (&["verify-bundle", "--bundle", "b.json"], "neither a file nor a digest"),
        (&["verify-bundle", "a.txt", "b.txt"], "two targets"),
    ];
    for (arguments, says) in table {
        client(arguments).must(2).says(&[says]);
    }
}
