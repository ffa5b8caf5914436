//! Layouts and links that somebody meddled with: each with the codes that fail the verdict.

use std::collections::BTreeSet;

use in_toto::crypto::PublicKey as InToto;
use in_toto::models::{Metablock as Theirs, MetadataWrapper};
use serde_json::{Value, json};

use super::metablock::{Kind, Metablock, MetablockError, is_shortest};
use super::world::{
    BUILDER, OWNER, SECOND_BUILDER, SECOND_OWNER, STRANGER, WRITER, World, hashes, key, key_id,
    link, signed, signed_as,
};
use crate::code::Code;
use crate::finding::Severity;
use crate::testing::{Case, FILE, Key};
use crate::verdict::Role;

pub(super) fn fails(case: Case) -> Vec<Code> {
    let verdict = case.verdict();
    let failing = verdict.findings().iter().filter(|finding| finding.severity == Severity::Fail);
    let codes: BTreeSet<_> = failing.map(|finding| finding.code).collect();
    assert_eq!(verdict.is_pass(), codes.is_empty());
    codes.into_iter().collect()
}

pub(super) fn check(what: &str, change: impl FnOnce(&mut World), expected: &[Code]) {
    let mut world = World::good();
    change(&mut world);
    assert_eq!(fails(world.into_case()), expected, "{what}");
}

#[test]
fn a_release_that_follows_its_layout_passes() {
    let world = World::good();
    let layout = bonded_model::Digest::sha256_of(&world.documents()[0]);
    let verdict = world.into_case().verdict();
    assert!(verdict.is_pass() && verdict.findings().is_empty(), "{:?}", verdict.findings());
    let accepted = &verdict.artifacts()[0].accepted;
    let by_layout = accepted.iter().find(|accepted| accepted.role == Role::Layout).unwrap();
    assert_eq!(by_layout.document, layout);
    assert_eq!(by_layout.signer.as_ref().unwrap().name, "owner");
}

#[test]
fn layouts_by_others_than_the_owners_are_refused() {
    let signer = [Code::LayoutSigner];
    check("a stranger", |w| w.layout.1 = vec![STRANGER], &signer);
    check("a functionary", |w| w.layout.1 = vec![BUILDER], &signer);
    check("nobody", |w| w.layout.1 = vec![], &signer);
    check("a signer who is no owner", |w| w.layout.1 = vec![SECOND_OWNER], &signer);
    check("an owner among others", |w| w.layout.1 = vec![STRANGER, OWNER], &[]);
    let two = "signers = [\"owner\", \"second owner\"]";
    check("one of two", |w| w.case.edit("signers = [\"owner\"]", two), &signer);
    check(
        "one of two, twice",
        |w| {
            w.case.edit("signers = [\"owner\"]", two);
            w.layout.1 = vec![OWNER, OWNER];
        },
        &signer,
    );
    check(
        "two of two",
        |w| {
            w.case.edit("signers = [\"owner\"]", two);
            w.layout.1 = vec![OWNER, SECOND_OWNER];
        },
        &[],
    );
    check(
        "one of two, which is enough",
        |w| w.case.edit("signers = [\"owner\"]", &format!("{two}\nquorum = 1")),
        &[],
    );
    check(
        "one key under two names",
        |w| {
            let pem = Key::from_seed(OWNER).public_pem();
            let alias =
                format!("[[signer]]\nname = \"alias\"\npublic_key = '''\n{pem}'''\n[[builder]]");
            w.case.edit("[[builder]]", &alias);
            w.case.edit("signers = [\"owner\"]", "signers = [\"owner\", \"alias\"]");
        },
        &signer,
    );
    check(
        "a key that has ended",
        |w| w.case.edit("#owner", "valid_until = \"2026-06-01T00:00:00Z\""),
        &[Code::IdValidity, Code::LayoutSigner],
    );
    check(
        "a key whose signatures have to stand in a log",
        |w| w.case.edit("#owner", "log = \"require\""),
        &[Code::SigLog, Code::LayoutSigner],
    );
}

/// The names of keys beside signatures are signed by nobody.
#[test]
fn the_name_of_a_key_proves_nothing() {
    let named = |name: u8, seed: u8| (key_id(name), Key::from_seed(seed));
    let with = |layout: (u8, u8), build: (u8, u8)| {
        let world = World::good();
        let mut documents = world.documents();
        documents[0] = signed_as(&world.layout.0, &[named(layout.0, layout.1)]);
        documents[2] = signed_as(&world.links[1].0, &[named(build.0, build.1)]);
        let mut case = world.case;
        for bytes in documents {
            case.attach_to_release(bonded_model::DocumentKind::Metablock, &bytes);
        }
        fails(case)
    };
    assert_eq!(with((OWNER, OWNER), (BUILDER, BUILDER)), []);
    // A signature is tried with the keys of its name alone.
    assert_eq!(with((STRANGER, OWNER), (BUILDER, BUILDER)), [Code::LayoutSigner]);
    assert_eq!(with((OWNER, STRANGER), (BUILDER, BUILDER)), [Code::LayoutSigner]);
    assert_eq!(with((OWNER, OWNER), (BUILDER, STRANGER)), [Code::LayoutStep, Code::LayoutLink]);
    assert_eq!(with((OWNER, OWNER), (STRANGER, BUILDER)), [Code::LayoutStep, Code::LayoutLink]);
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let changed = |at: usize, from: &str, to: &str| {
        let world = World::good();
        let mut documents = world.documents();
        let text = String::from_utf8(documents[at].clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        documents[at] = text.replacen(from, to, 1).into_bytes();
        let mut case = world.case;
        for bytes in documents {
            case.attach_to_release(bonded_model::DocumentKind::Metablock, &bytes);
        }
        fails(case)
    };
    for (from, to) in [
        ("2027-01-01", "2028-01-01"),
        ("\"threshold\":1", "\"threshold\":2"),
        ("\"DISALLOW\"", "\"ALLOW\""),
        ("two\\nlines", "two lines"),
        // What no reader knows is signed as well.
        ("\"readme\"", "\"x\":1,\"readme\""),
    ] {
        assert_eq!(changed(0, from, to), [Code::LayoutSigner], "{from}");
    }
    for (from, to) in
        [("\"src.c\"", "\"src.d\""), ("\"stdout\"", "\"x\":\"\",\"stdout\""), ("cc", "ld")]
    {
        assert_eq!(changed(2, from, to), [Code::LayoutStep, Code::LayoutLink], "{from}");
    }
    // Whitespace is not signed.
    assert_eq!(changed(0, "\"readme\"", " \n\"readme\""), []);
}

#[test]
fn a_layout_ends_with_its_last_second() {
    let until = |text: &str| {
        let text = text.to_owned();
        move |w: &mut World| w.layout.0["expires"] = json!(text)
    };
    check("this second", until("2026-06-01T00:00:00Z"), &[]);
    check("another zone", until("2026-06-01T02:00:00+02:00"), &[]);
    check("a second ago", until("2026-05-31T23:59:59Z"), &[Code::LayoutExpired]);
    check("long ago", until("1970-01-01T00:00:00Z"), &[Code::LayoutExpired]);
    let unreadable = [Code::LayoutMalformed];
    check("never", until("never"), &unreadable);
    check("no time", |w| drop(w.layout.0.as_object_mut().unwrap().remove("expires")), &unreadable);
}

#[test]
fn steps_need_enough_functionaries() {
    let few = [Code::LayoutStep];
    let of_nobody = [Code::LayoutStep, Code::LayoutLink];
    check("no link", |w| drop(w.links.pop()), &few);
    check("by a stranger", |w| w.links[1].1 = vec![STRANGER], &of_nobody);
    check("by the owner", |w| w.links[1].1 = vec![OWNER], &of_nobody);
    check("unsigned", |w| w.links[1].1 = vec![], &of_nobody);
    // The layout knows this key, but not for this step.
    check("by one who does another step", |w| w.links[1].1 = vec![WRITER], &of_nobody);
    check("a link of another step", |w| w.build_link()["name"] = json!("write"), &of_nobody);
    check("a link of no step", |w| w.build_link()["name"] = json!("other"), &of_nobody);
    let two = |w: &mut World| w.build_step()["threshold"] = json!(2);
    check("one of two", two, &few);
    check(
        "one functionary, twice",
        |w| {
            two(w);
            let mut again = w.build_link().clone();
            again["byproducts"] = json!({"return-value": 1});
            w.links.push((again, vec![BUILDER]));
        },
        &few,
    );
    check(
        "one functionary, twice in one link",
        |w| {
            two(w);
            w.links[1].1 = vec![BUILDER, BUILDER];
        },
        &few,
    );
    check(
        "two in one link",
        |w| {
            two(w);
            w.links[1].1 = vec![BUILDER, SECOND_BUILDER];
        },
        &[],
    );
    check(
        "more than may do it",
        |w| {
            w.build_step()["threshold"] = json!(3);
            w.links[1].1 = vec![BUILDER, SECOND_BUILDER];
        },
        &few,
    );
    check("as many as there are numbers", |w| w.build_step()["threshold"] = json!(u32::MAX), &few);
}

/// Two names for one key are one functionary.
#[test]
fn one_key_under_two_names_counts_once() {
    let mut alias = key(BUILDER);
    alias["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
    alias.as_object_mut().unwrap().remove("keyid");
    let read: InToto = serde_json::from_value(alias.clone()).unwrap();
    let id = serde_json::to_value(read.key_id()).unwrap().as_str().unwrap().to_owned();
    assert_ne!(id, key_id(BUILDER));
    let mut world = World::good();
    world.layout.0["keys"][&id] = alias;
    world.build_step()["pubkeys"] = json!([key_id(BUILDER), id]);
    world.build_step()["threshold"] = json!(2);
    let build = world.links.pop().unwrap().0;
    let twice = [(key_id(BUILDER), Key::from_seed(BUILDER)), (id, Key::from_seed(BUILDER))];
    world.others.push(signed_as(&build, &twice));
    assert_eq!(fails(world.into_case()), [Code::LayoutStep]);
}

/// A key that calls itself by another name than the layout does is no key of anybody.
#[test]
fn a_key_with_two_names_is_no_key() {
    check(
        "another name inside",
        |w| {
            w.layout.0["keys"][key_id(BUILDER)] = key(STRANGER);
            let build = w.links.pop().unwrap().0;
            w.others.push(signed_as(&build, &[(key_id(BUILDER), Key::from_seed(STRANGER))]));
        },
        &[Code::LayoutUnsupported, Code::LayoutStep, Code::LayoutLink],
    );
}

#[test]
fn links_of_one_step_agree() {
    let second = |change: fn(&mut Value)| {
        move |w: &mut World| {
            let mut second = w.build_link().clone();
            change(&mut second);
            w.links.push((second, vec![SECOND_BUILDER]));
        }
    };
    check("the same", second(|_| {}), &[]);
    check("another command", second(|link| link["command"] = json!(["ld"])), &[]);
    let other = [Code::LayoutDisagree];
    check("another product", second(|link| link["products"]["out/a"] = hashes(b"other")), &other);
    check("a product more", second(|link| link["products"]["out/b"] = hashes(b"b")), &other);
    check("another material", second(|link| link["materials"] = json!({})), &other);
    check(
        "a digest more",
        second(|link| link["products"]["out/a"]["sha512"] = json!("00".repeat(64))),
        &other,
    );
}

#[test]
fn files_obey_the_rules_of_their_step() {
    let broken = [Code::LayoutRule];
    check("a product more", |w| w.build_link()["products"]["x"] = hashes(b"x"), &broken);
    check("a material more", |w| w.build_link()["materials"]["x"] = hashes(b"x"), &broken);
    check("another source", |w| w.build_link()["materials"]["src.c"] = hashes(b"evil"), &broken);
    check(
        "a source by another name",
        |w| w.build_link()["materials"]["src.d"] = hashes(b"source"),
        &broken,
    );
    // Then it is created in the step, which the rule does not allow for anything else than out.
    check("no source", |w| w.build_link()["materials"] = json!({}), &[]);
    check(
        "a product that was there before",
        |w| {
            w.links[0].0["products"]["out/a"] = hashes(FILE);
            w.write_step()["expected_products"] = json!([]);
            w.build_link()["materials"]["out/a"] = hashes(FILE);
            w.build_step()["expected_materials"] =
                json!([["MATCH", "*", "WITH", "PRODUCTS", "FROM", "write"]]);
        },
        &broken,
    );
    check(
        "a requirement",
        |w| w.build_step()["expected_products"] = json!([["REQUIRE", "out/a"]]),
        &[],
    );
    check(
        "no such file",
        |w| w.build_step()["expected_products"] = json!([["REQUIRE", "out/b"]]),
        &broken,
    );
    check(
        "all forbidden",
        |w| w.build_step()["expected_products"] = json!([["DISALLOW", "*"]]),
        &broken,
    );
    check("no rules", |w| w.build_step()["expected_products"] = json!([]), &[]);
}

/// By a rule that compares with a step that there is not, the specification takes no file and is content.
#[test]
fn layouts_without_a_clear_meaning_are_refused() {
    let malformed = [Code::LayoutMalformed];
    check("no steps", |w| w.layout.0["steps"] = json!([]), &malformed);
    check("a threshold of nothing", |w| w.build_step()["threshold"] = json!(0), &malformed);
    check("a step twice", |w| w.build_step()["name"] = json!("write"), &malformed);
    check(
        "a rule from nowhere",
        |w| {
            w.build_step()["expected_materials"] =
                json!([["MATCH", "*", "WITH", "PRODUCTS", "FROM", "x"]])
        },
        &malformed,
    );
    let unsupported = [Code::LayoutUnsupported];
    for rule in [
        json!(["ALLOW", "[^a]"]),
        json!(["ALLOW", "a\\*"]),
        json!(["ALLOW", "[a"]),
        json!(["REQUIRE", "out/*"]),
        json!(["MATCH", "*", "IN", "a/../b", "WITH", "PRODUCTS", "FROM", "write"]),
        json!(["MATCH", "*", "IN", "/", "WITH", "PRODUCTS", "FROM", "write"]),
        json!(["MATCH", "*", "IN", "{a}", "WITH", "PRODUCTS", "FROM", "write"]),
        json!(["DISALLOW", "{name}/*"]),
        json!(["MATCH", "*", "IN", "./a", "WITH", "PRODUCTS", "FROM", "write"]),
        json!(["MATCH", "*", "WITH", "PRODUCTS", "IN", "a//b", "FROM", "write"]),
    ] {
        let text = rule.to_string();
        check(&text, |w| w.build_step()["expected_products"] = json!([rule]), &unsupported);
    }
    let unreadable = [Code::LayoutMalformed];
    for rule in [
        json!(["FORGIVE", "a"]),
        json!(["allow", "a"]),
        json!(["ALLOW"]),
        json!(["ALLOW", "a", "b"]),
        json!(["MATCH", "a", "WITH", "PRODUCTS"]),
        json!(["MATCH", "a", "WITH", "BYPRODUCTS", "FROM", "write"]),
        json!([]),
        json!("ALLOW a"),
        json!({"ALLOW": "a"}),
    ] {
        let text = rule.to_string();
        check(&text, |w| w.build_step()["expected_products"] = json!([rule]), &unreadable);
    }
}

/// A verdict runs no commands and follows no layouts within layouts.
#[test]
fn inspections_and_sublayouts_are_refused() {
    let inspection = json!({
        "_type": "inspection", "name": "i", "run": ["touch", "/tmp/pwned"],
        "expected_materials": [], "expected_products": [],
    });
    check(
        "an inspection",
        |w| w.layout.0["inspect"] = json!([inspection]),
        &[Code::LayoutUnsupported],
    );
    let mut world = World::good();
    world.links.pop();
    let mut sub = world.layout.0.clone();
    sub["readme"] = json!("sub");
    world.others.push(signed(&sub, &[BUILDER]));
    let expected = [Code::LayoutSigner, Code::LayoutUnsupported, Code::LayoutStep];
    assert_eq!(fails(world.into_case()), expected);
}

/// What cannot be used is no harm where others are enough, and is told where they are not.
#[test]
fn keys_that_cannot_be_used_do_no_step() {
    let weak = bonded_testsigner::Key::new(bonded_testsigner::KeyKind::Rsa2048, "").public_pem();
    let rsa = json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": weak}});
    let with = |w: &mut World| {
        w.layout.0["keys"][key_id(STRANGER)] = rsa;
        w.build_step()["pubkeys"] = json!([key_id(STRANGER), key_id(BUILDER)]);
    };
    check("one that can", with.clone(), &[]);
    let none = |w: &mut World| {
        with(w);
        w.links.pop();
    };
    check("none that can", none, &[Code::LayoutUnsupported, Code::LayoutStep]);
}

#[test]
fn what_is_released_is_what_the_last_step_made() {
    let product = [Code::LayoutProduct];
    check("other bytes", |w| w.build_link()["products"]["out/a"] = hashes(b"other"), &product);
    check(
        "nothing",
        |w| w.build_link()["products"] = json!({"src.c": hashes(b"source")}),
        &product,
    );
    check(
        "what the first step made",
        |w| {
            w.links[0].0["products"]["out/a"] = hashes(FILE);
            w.write_step()["expected_products"] = json!([]);
            w.build_link()["products"] = json!({"src.c": hashes(b"source")});
        },
        &product,
    );
    check(
        "under another name",
        |w| {
            let made = w.build_link()["products"].as_object_mut().unwrap();
            let hashes = made.remove("out/a").unwrap();
            made.insert("out/z".to_owned(), hashes);
        },
        &[],
    );
    let scope = "[[scope]]\nname = \"d\"\npaths = [\"doc/*\"]\nprovenance = { rule = \"off\" }";
    let with_file = |w: &mut World, keys: &str| {
        w.case.files.push(("doc/readme", b"text".to_vec()));
        w.case.edit("#layout", &format!("{keys}\n{scope}"));
    };
    check("a file that nobody made", |w| with_file(w, ""), &product);
    check("a file that the layout is not about", |w| with_file(w, "paths = [\"bin/**\"]"), &[]);
}

#[test]
fn one_layout_that_holds_is_enough_and_the_policy_can_name_it() {
    let older = |w: &mut World| {
        let mut lax = w.layout.0.clone();
        lax["expires"] = json!("2026-01-01T00:00:00Z");
        w.others.push(signed(&lax, &[OWNER]));
    };
    check("an older one beside it", older, &[]);
    check(
        "a foreign one beside it",
        |w| w.others.push(signed(&w.layout.0.clone(), &[STRANGER])),
        &[],
    );
    let mut world = World::good();
    let pinned = bonded_model::Digest::sha256_of(&world.documents()[0]);
    world.case.edit("#layout", &format!("digest = \"{pinned}\""));
    let mut lax = world.layout.0.clone();
    lax["steps"][1]["expected_products"] = json!([]);
    world.others.push(signed(&lax, &[OWNER]));
    world.build_link()["products"]["extra"] = hashes(b"x");
    assert_eq!(fails(world.into_case()), [Code::LayoutDigest, Code::LayoutRule]);
}

#[test]
fn the_rule_weighs_what_the_policy_says() {
    let mut world = World::good();
    world.case.edit("#layout", "rule = \"warn\"");
    world.layout.1 = vec![STRANGER];
    let verdict = world.into_case().verdict();
    let found: Vec<_> = verdict.findings().iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(found, [(Code::LayoutSigner, Severity::Warn)]);
    let mut world = World::good();
    world.case.edit("#layout", "rule = \"off\"");
    world.layout.1 = vec![STRANGER];
    let verdict = world.into_case().verdict();
    assert!(verdict.is_pass());
    let found: BTreeSet<_> = verdict.findings().iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(found, [(Code::StmtUnused, Severity::Note)].into());
}

#[test]
fn the_order_of_documents_changes_nothing() {
    let mut world = World::good();
    world.links.push((link("build", &json!({}), &json!({})), vec![STRANGER]));
    let mut case = world.into_case();
    let mut turned = World::good();
    turned.links.push((link("build", &json!({}), &json!({})), vec![STRANGER]));
    let mut turned = turned.into_case();
    turned.documents.reverse();
    case.documents.extend(case.documents.clone());
    assert_eq!(case.verdict().findings(), turned.verdict().findings());
}

#[test]
fn must_reject() {
    let good = String::from_utf8(World::good().documents()[1].clone()).unwrap();
    Metablock::parse(good.as_bytes()).unwrap().link().unwrap();
    let shape = |bytes: &[u8]| matches!(Metablock::parse(bytes), Err(MetablockError::Json(_)));
    for cut in 0..good.len() {
        assert!(shape(&good.as_bytes()[..cut]), "{cut}");
    }
    for text in [
        "{}",
        "[]",
        "null",
        "{\"signed\":{\"_type\":\"link\"}}",
        "{\"signatures\":[]}",
        &good.replacen("\"signed\"", "\"x\":1,\"signed\"", 1),
        &good.replacen("\"name\"", "\"name\":\"write\",\"name\"", 1),
        &good.replacen("\"signatures\"", "\"signatures\":[],\"signatures\"", 1),
        &format!("{good}{{}}"),
        &format!("\u{feff}{good}"),
    ] {
        assert!(shape(text.as_bytes()), "{text}");
    }
    let of = |signed: &str| format!("{{\"signed\":{signed},\"signatures\":[]}}");
    for (signed, expected) in [
        ("{\"_type\":\"statement\"}", "type"),
        ("{\"_type\":1}", "signed"),
        ("{}", "signed"),
        ("{\"_type\":\"link\"}", "signed"),
        ("{\"_type\":\"link\",\"name\":1}", "signed"),
        ("{\"_type\":\"link\",\"name\":\"build\"}", "signed"),
        ("{\"_type\":\"layout\"}", "signed"),
    ] {
        let text = of(signed);
        let read = Metablock::parse(text.as_bytes()).and_then(|block| match block.kind {
            Kind::Layout => block.plan().map(drop),
            Kind::Link { .. } => block.link().map(drop),
        });
        let found = match read.unwrap_err() {
            MetablockError::Type { .. } => "type",
            MetablockError::Signed { .. } => "signed",
            other => panic!("{signed}: {other:?}"),
        };
        assert_eq!(found, expected, "{signed}");
    }
}

#[test]
fn links_name_files_in_one_way_and_with_sha256() {
    let parse = |path: &str, hashes: Value| {
        let link = link("build", &json!({}), &json!({path: hashes}));
        Metablock::parse(&signed(&link, &[])).and_then(|block| block.link())
    };
    for path in ["./a", "a//b", "a/./b", "a/../b", "a/", "", "/", "..//a", "/../a"] {
        assert!(matches!(parse(path, hashes(b"")), Err(MetablockError::Path { .. })), "{path}");
        assert!(!is_shortest(path), "{path}");
    }
    for path in ["a", "a/b", "../a", "../../a", "/a", ".a", "a..", "a/.b"] {
        assert!(parse(path, hashes(b"")).is_ok(), "{path}");
    }
    for hashes in [json!({}), json!({"sha512": "00".repeat(64)}), json!({"sha256": "00"})] {
        assert!(
            matches!(parse("a", hashes.clone()), Err(MetablockError::Digest { .. })),
            "{hashes}"
        );
    }
    for hashes in
        [json!({"sha1": "00"}), json!({"sha256": "0"}), json!({"sha256": "ZZ"}), json!("")]
    {
        assert!(
            matches!(parse("a", hashes.clone()), Err(MetablockError::Signed { .. })),
            "{hashes}"
        );
    }
}

/// The other implementation agrees on what is signed, where it knows every member.
#[test]
fn signatures_hold_in_the_crate_too() {
    let world = World::good();
    for (bytes, seed) in world.documents().iter().zip([OWNER, WRITER, BUILDER]) {
        let theirs: Theirs = serde_json::from_slice(bytes).unwrap();
        let key: InToto = serde_json::from_value(key(seed)).unwrap();
        let is_layout = matches!(theirs.metadata, MetadataWrapper::Layout(_));
        assert_eq!(is_layout, seed == OWNER);
        // A backslash before an n is a line break to the crate.
        let plain = !String::from_utf8_lossy(bytes).contains("\\\\n");
        assert_eq!(theirs.verify(1, [&key]).is_ok(), plain, "{seed}");
    }
}
