//! Detached signatures from end to end: taken in beside a file, shown, verified, mirrored and served as they came.

use bonded_model::detached::Files;
use bonded_testsigner::{Content, Request, World as Signer};

use crate::serve::Served;
use crate::world::{World, codes, tree};

const FILE: &[u8] = b"a tool";

/// A policy that asks for a signature over each file, and the trust root of its signer.
fn policy(signer: &Signer, world: &World, lines: &str) {
    let Request { issuer, identity, .. } = Request::default();
    world.write("root.json", signer.trusted_root());
    world.write(
        "policy.toml",
        format!(
            "version = 1\nname = \"p\"\n[[signer]]\nname = \"a\"\nissuer = \"{issuer}\"\n\
             identity = \"{identity}\"\n{lines}\n[provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n\
             [[require]]\nname = \"signed\"\npredicate = \"https://sigstore.dev/cosign/sign/v1\"\n\
             of = \"artifacts\"\nsigners = [\"a\"]\n"
        ),
    );
}

fn signed(signer: &Signer) -> Files<'static> {
    signer.keyless(&Request { content: Content::File(FILE), ..Request::default() }).to_files()
}

fn write(world: &World, directory: &str, files: &Files<'_>) {
    world.write(&format!("{directory}/bin/tool"), FILE);
    world.write(&format!("{directory}/bin/tool.sig"), &files.signature);
    world.write(&format!("{directory}/bin/tool.cert"), &files.certificates[0]);
}

const JUDGE: &str = "--policy policy.toml --trusted-root root.json";

#[test]
fn a_signature_with_certificate_and_entry_goes_all_the_way() {
    let (world, signer) = (World::with_store(), Signer::new());
    policy(&signer, &world, "legacy = [\"cosign-files\"]");
    let files = signed(&signer);
    write(&world, "in", &files);
    let said = world.ok("ingest --release demo@v1.0.0 in");
    assert!(said.contains("bin/tool.sig") && said.contains("certificate"), "{said}");

    let verdict = world.json(&format!("verify demo@v1.0.0 {JUDGE} --no-record"), 1);
    assert_eq!(codes(&verdict, "fail"), ["SIG-LOG"], "{verdict:#}");
    let told = verdict["findings"].to_string();
    assert!(told.contains("FILE.rekor.json"), "{told}");

    world.write("later/bin/tool.rekor.json", &files.entries[0]);
    world.ok("ingest --release demo@v1.0.0 later");
    let verdict = world.json(&format!("verify demo@v1.0.0 {JUDGE} --no-record"), 0);
    assert_eq!(verdict["artifacts"].as_array().unwrap().len(), 1, "{verdict:#}");
    let shown = world.json("show demo@v1.0.0", 0).to_string();
    for kind in ["signature", "certificate", "log-entry"] {
        assert!(shown.contains(&format!("\"kind\":\"{kind}\"")), "{kind}: {shown}");
    }

    let to = format!("--to file://{}", world.path("mirror").display());
    world.ok(&format!("mirror apply {JUDGE} {to}"));
    let mirrored = tree(&world.path("mirror"));
    let served = format!("serve --listen 127.0.0.1:0 {JUDGE}");
    let served = Served::start(&world, &served.split(' ').collect::<Vec<_>>());
    let pieces = [
        ("tool", FILE),
        ("tool.sig", &files.signature),
        ("tool.cert", &files.certificates[0]),
        ("tool.rekor.json", &files.entries[0]),
    ];
    for (name, bytes) in pieces {
        assert_eq!(mirrored[&format!("demo/release/v1.0.0/bin/{name}")], bytes, "{name}");
        let (head, body) = served.ask(&format!("GET /release/v1.0.0/bin/{name} HTTP/1.1"));
        assert!(head.starts_with("http/1.1 200"), "{name}: {head}");
        assert_eq!(body, bytes, "{name}");
    }
}

#[test]
fn one_file_is_verified_with_what_lies_beside_it() {
    let (world, signer) = (World::with_store(), Signer::new());
    policy(&signer, &world, "legacy = [\"cosign-files\"]");
    let files = signed(&signer);
    write(&world, "in", &files);
    world.write("in/bin/tool.rekor.json", &files.entries[0]);
    let ask = |target: &str, beside: &str, code| {
        let line = format!("verify {target} --bundle in/bin/tool.sig {beside} {JUDGE}");
        codes(&world.json(&line, code), "fail")
    };
    let certificate = "--certificate in/bin/tool.cert";
    let both = format!("{certificate} --log-entry in/bin/tool.rekor.json");
    assert!(ask("in/bin/tool", &both, 0).is_empty());
    assert_eq!(ask("in/bin/tool.cert", &both, 1), ["SIG-INVALID"]);
    assert_eq!(ask("in/bin/tool", certificate, 1), ["SIG-LOG"]);
    assert_eq!(ask("in/bin/tool", "--log-entry in/bin/tool.rekor.json", 1), ["SIG-KEY"]);
    let swapped = "--certificate in/bin/tool.rekor.json --log-entry in/bin/tool.cert";
    assert_eq!(ask("in/bin/tool", swapped, 1), ["SIG-MALFORMED"]);
    let line = format!("verify in/bin/tool {both} {JUDGE}");
    world.run(&line).must(2).says(&["--bundle"]);
    policy(&signer, &world, "");
    assert_eq!(ask("in/bin/tool", &both, 1), ["SIG-LEGACY"]);
}
