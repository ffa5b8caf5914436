//! What strangers do to a release with a layout; limits, each at its edge and one beyond; rules and envelopes in
//! all their forms.

use bonded_model::dsse::Envelope;
use bonded_model::limits::{METABLOCK_BYTES_MAX, SIGNATURE_COUNT_MAX};
use bonded_model::{Digest, DocumentKind};
use serde_json::{Value, json};

use super::keys::names;
use super::metablock::{KEY_COUNT_MAX, Metablock, MetablockError};
use super::rules::by_digest;
use super::steps::{RULE_COUNT_MAX, STEP_COUNT_MAX};
use super::tests::{check, fails};
use super::world::{
    BUILDER, OWNER, SECOND_BUILDER, STRANGER, WRITER, World, enveloped, hashes, key, key_id, link,
    signed, signed_as,
};
use super::{LAYOUT_BYTES_MAX, LAYOUT_COUNT_MAX};
use crate::code::Code;
use crate::key::PublicKey;
use crate::testing::Key;

/// Layouts by somebody that nobody follows, each with an end of its own.
fn others(world: &mut World, count: usize, end: &str, seed: u8) {
    for at in 0..count {
        let mut other = world.layout.0.clone();
        other["expires"] = json!(end);
        other["readme"] = json!(at.to_string());
        other["steps"][1]["pubkeys"] = json!([key_id(STRANGER)]);
        world.others.push(signed(&other, &[seed]));
    }
}

#[test]
fn strangers_push_no_layout_out() {
    let (later, earlier, past) =
        ("2030-01-01T00:00:00Z", "2026-12-31T00:00:00Z", "2026-05-31T00:00:00Z");
    let many = 3 * LAYOUT_COUNT_MAX;
    check("by strangers", |w| others(w, many, later, STRANGER), &[]);
    check("that have expired", |w| others(w, many, past, OWNER), &[]);
    check("that end earlier", |w| others(w, many, earlier, OWNER), &[]);
    check("as many as are looked at", |w| others(w, LAYOUT_COUNT_MAX - 1, later, OWNER), &[]);
    let pushed = [Code::LayoutLimit, Code::LayoutStep, Code::LayoutLink];
    check("one more by the owner", |w| others(w, LAYOUT_COUNT_MAX, later, OWNER), &pushed);
    let pinned = |w: &mut World| {
        let digest = Digest::sha256_of(&w.documents()[0]);
        w.case.edit("#layout", &format!("digest = \"{digest}\""));
        others(w, many, later, OWNER);
    };
    check("beside the one that the policy names", pinned, &[]);
}

/// Nothing that a stranger writes fails a release in which a layout holds.
#[test]
fn documents_of_strangers_are_not_read() {
    let nonsense = json!({"_type": "layout", "steps": 1});
    check("a layout", |w| w.others.push(signed(&nonsense, &[STRANGER])), &[]);
    check("a layout by the owner", |w| w.others.push(signed(&nonsense, &[OWNER])), &[]);
    let nonsense = json!({"_type": "link", "name": "build", "products": 1});
    check("a link", |w| w.others.push(signed(&nonsense, &[STRANGER])), &[]);
    let unreadable = [Code::LayoutMalformed];
    check("a link by one who may", |w| w.others.push(signed(&nonsense, &[BUILDER])), &unreadable);
    check("nothing of in-toto", |w| w.others.push(b"{}".to_vec()), &[]);
    let nobody = b"{\"signed\":{\"_type\":\"link\"},\"signatures\":[]}";
    check("a link without a name by nobody", |w| w.others.push(nobody.to_vec()), &[]);
    let many = vec![BUILDER; SIGNATURE_COUNT_MAX + 1];
    check(
        "a link with too many signatures",
        |w| {
            let link = signed(w.build_link(), &many);
            w.others.push(link);
        },
        &[],
    );
    // What has no canonical form was signed by nobody.
    let fraction = format!(
        "{{\"signed\":{{\"_type\":\"layout\",\"x\":0.5}},\"signatures\":[{{\"keyid\":\"{}\",\"sig\":\"00\"}}]}}",
        key_id(OWNER)
    );
    check("a fraction", |w| w.others.push(fraction.into_bytes()), &[]);
}

#[test]
fn a_key_is_tried_with_its_first_signature_alone() {
    let named = |seed: u8, with: u8| (key_id(seed), Key::from_seed(with));
    let build = |signatures: &[(String, Key)]| {
        let mut world = World::good();
        let link = world.links.pop().unwrap().0;
        world.others.push(signed_as(&link, signatures));
        fails(world.into_case())
    };
    let few = [Code::LayoutStep, Code::LayoutLink];
    assert_eq!(build(&[named(BUILDER, BUILDER), named(BUILDER, STRANGER)]), []);
    assert_eq!(build(&[named(BUILDER, STRANGER), named(BUILDER, BUILDER)]), few);
    assert_eq!(build(&[named(BUILDER, STRANGER), named(SECOND_BUILDER, SECOND_BUILDER)]), []);
    assert_eq!(build(&[named(BUILDER, SECOND_BUILDER), named(SECOND_BUILDER, BUILDER)]), few);
}

#[test]
fn layouts_have_limits() {
    let limit = [Code::LayoutLimit];
    let long = |beyond: usize| {
        move |w: &mut World| {
            let length = signed(&w.layout.0, &w.layout.1).len();
            let readme = format!("two lines{}", " ".repeat(LAYOUT_BYTES_MAX - length + beyond));
            // A line break has two characters in the document.
            w.layout.0["readme"] = json!(format!("{readme} "));
            let length = signed(&w.layout.0, &w.layout.1).len();
            assert_eq!(length, LAYOUT_BYTES_MAX + beyond);
        }
    };
    check("as long as may be", long(0), &[]);
    check("longer", long(1), &limit);
    let keys = |count: usize| {
        move |w: &mut World| {
            let keys = w.layout.0["keys"].as_object_mut().unwrap();
            let mut one = key(STRANGER);
            one.as_object_mut().unwrap().remove("keyid");
            keys.extend((keys.len()..count).map(|at| (at.to_string(), one.clone())));
            assert_eq!(keys.len(), count);
        }
    };
    check("as many keys as may be", keys(KEY_COUNT_MAX), &[]);
    check("a key more", keys(KEY_COUNT_MAX + 1), &limit);
    let rules = |count: usize| {
        move |w: &mut World| {
            let others: usize = 5;
            let mut all = vec![json!(["ALLOW", "nothing"]); count - others - 3];
            all.extend(w.build_step()["expected_products"].as_array().unwrap().iter().cloned());
            w.build_step()["expected_products"] = json!(all);
        }
    };
    check("as many rules as may be", rules(RULE_COUNT_MAX), &[]);
    check("a rule more", rules(RULE_COUNT_MAX + 1), &limit);
    let steps = |count: usize| {
        move |w: &mut World| {
            let mut step = w.write_step().clone();
            step["expected_products"] = json!([]);
            for at in 2..count {
                step["name"] = json!(at.to_string());
                w.layout.0["steps"].as_array_mut().unwrap().insert(0, step.clone());
                w.links.push((link(&at.to_string(), &json!({}), &json!({})), vec![WRITER]));
            }
        }
    };
    check("as many steps as may be", steps(STEP_COUNT_MAX), &[]);
    check("a step more", steps(STEP_COUNT_MAX + 1), &limit);
}

#[test]
fn documents_have_limits() {
    let mut bytes = World::good().documents().remove(1);
    bytes.resize(usize::try_from(METABLOCK_BYTES_MAX).unwrap(), b' ');
    Metablock::parse(&bytes).unwrap();
    bytes.push(b' ');
    assert!(Metablock::parse(&bytes).unwrap_err().is_limit());
    let value = World::good().links[0].0.clone();
    let of = |count: usize| vec![WRITER; count];
    Metablock::parse(&signed(&value, &of(SIGNATURE_COUNT_MAX))).unwrap();
    Metablock::parse(&enveloped(&value, &of(SIGNATURE_COUNT_MAX)).to_bytes()).unwrap();
    for bytes in [
        signed(&value, &of(SIGNATURE_COUNT_MAX + 1)),
        enveloped(&value, &of(SIGNATURE_COUNT_MAX + 1)).to_bytes(),
    ] {
        assert!(Metablock::parse(&bytes).unwrap_err().is_limit());
    }
}

#[test]
fn directories_are_compared_with_one_another() {
    let with = |rule: Value, path: &str, bytes: &[u8]| {
        let mut world = World::good();
        world.write_step()["expected_products"] = json!([]);
        world.links[0].0["products"] = json!({"src/a.c": hashes(b"source"), "a.c": hashes(b"top")});
        world.build_link()["materials"] = json!({path: hashes(bytes)});
        world.build_step()["expected_materials"] = json!([rule, ["DISALLOW", "*"]]);
        fails(world.into_case())
    };
    let both =
        json!(["MATCH", "*.c", "IN", "given", "WITH", "PRODUCTS", "IN", "src", "FROM", "write"]);
    let slashes =
        json!(["MATCH", "*.c", "IN", "given/", "WITH", "PRODUCTS", "IN", "src/", "FROM", "write"]);
    let here = json!(["MATCH", "a.c", "IN", "given", "WITH", "PRODUCTS", "FROM", "write"]);
    let there = json!(["MATCH", "a.c", "WITH", "PRODUCTS", "IN", "src", "FROM", "write"]);
    let materials = json!(["MATCH", "a.c", "WITH", "MATERIALS", "IN", "src", "FROM", "write"]);
    for (rule, path, bytes) in [
        (&both, "given/a.c", "source"),
        (&slashes, "given/a.c", "source"),
        (&here, "given/a.c", "top"),
        (&there, "a.c", "source"),
    ] {
        assert_eq!(with(rule.clone(), path, bytes.as_bytes()), [], "{rule} {path}");
    }
    for (rule, path, bytes) in [
        (&both, "given/a.c", "top"),
        (&both, "given/b.c", "source"),
        (&both, "givena.c", "source"),
        (&both, "a.c", "source"),
        (&both, "src/a.c", "source"),
        (&both, "x/given/a.c", "source"),
        (&here, "given/a.c", "source"),
        (&here, "a.c", "top"),
        (&there, "a.c", "top"),
        (&there, "src/a.c", "source"),
        (&materials, "a.c", "source"),
    ] {
        assert_eq!(with(rule.clone(), path, bytes.as_bytes()), [Code::LayoutRule], "{rule} {path}");
    }
}

/// What a rule took is not there any more for those after it.
#[test]
fn rules_are_applied_in_their_order() {
    let with = |rules: Value| {
        let mut world = World::good();
        world.links[0].0["products"]["old"] = hashes(b"old");
        world.write_step()["expected_products"] = json!([]);
        world.build_step()["expected_materials"] = json!([]);
        world.build_link()["materials"]["old"] = hashes(b"old");
        world.build_link()["materials"]["changed"] = hashes(b"before");
        world.build_link()["products"]["changed"] = hashes(b"after");
        let (materials, products) = (rules["materials"].clone(), rules["products"].clone());
        world.build_step()["expected_materials"] = materials;
        world.build_step()["expected_products"] = products;
        fails(world.into_case())
    };
    let products = |rules: Value| with(json!({"materials": [], "products": rules}));
    let materials = |rules: Value| with(json!({"materials": rules, "products": []}));
    let broken = [Code::LayoutRule];
    let all = json!([["CREATE", "out/*"], ["MODIFY", "*"], ["ALLOW", "src.c"], ["DISALLOW", "*"]]);
    assert_eq!(products(all), []);
    assert_eq!(products(json!([["DISALLOW", "*"], ["ALLOW", "*"]])), broken);
    assert_eq!(products(json!([["ALLOW", "*"], ["DISALLOW", "*"]])), []);
    assert_eq!(products(json!([["REQUIRE", "out/a"], ["CREATE", "out/a"]])), []);
    assert_eq!(products(json!([["CREATE", "out/a"], ["REQUIRE", "out/a"]])), broken);
    // What was neither made nor changed is taken by neither rule.
    assert_eq!(products(json!([["CREATE", "*"], ["MODIFY", "*"], ["DISALLOW", "src.c"]])), broken);
    assert_eq!(products(json!([["MODIFY", "*"], ["DISALLOW", "changed"]])), []);
    assert_eq!(products(json!([["MODIFY", "*"], ["DISALLOW", "out/*"]])), broken);
    assert_eq!(products(json!([["CREATE", "changed"], ["DISALLOW", "changed"]])), broken);
    assert_eq!(materials(json!([["DELETE", "*"], ["DISALLOW", "old"]])), []);
    assert_eq!(materials(json!([["DELETE", "*"], ["DISALLOW", "src.c"]])), broken);
    assert_eq!(materials(json!([["DELETE", "changed"], ["DISALLOW", "changed"]])), broken);
}

/// Of a file with two digests of one kind it is not clear what it is.
#[test]
fn products_keep_every_digest() {
    let mut products = World::good().links[1].0["products"].clone();
    let one = json!({"sha256": Digest::sha256_of(b"x").hex(), "sha512": "00".repeat(64)});
    let other = json!({"sha256": Digest::sha256_of(b"x").hex(), "sha512": "01".repeat(64)});
    (products["a"], products["b"], products["c"]) = (one, other, hashes(b"x"));
    let bytes = signed(&link("build", &json!({}), &products), &[]);
    let found = by_digest(&Metablock::parse(&bytes).unwrap().link().unwrap().products);
    assert_eq!(found[&Digest::sha256_of(b"x")].len(), 2);
    assert_eq!(found[&Digest::sha256_of(crate::testing::FILE)].len(), 0);
}

/// The names are those that securesystemslib 1.6 gives these keys.
#[test]
fn keys_have_the_names_that_other_tools_give_them() {
    use bonded_testsigner::KeyKind::{Ed25519, P256, Rsa3072};
    for (kind, name, count) in [
        (Ed25519, "b373b1b77f7975efc2599db00981de69679299a730919564f9b0300d33a7bc81", 2),
        (P256, "2890c9af8883f17e3ec0ddd7584e7333b73c859b31943a51b11a9e5a76382991", 12),
        (Rsa3072, "0bd94d6175d06f22e2dc842ea653ca9e929a09402e9e58dd4d76b2339f6c82cf", 4),
    ] {
        let pem = bonded_testsigner::Key::new(kind, "").public_pem();
        let found = names(&PublicKey::from_pem(&pem).unwrap());
        assert!(found.contains(name), "{kind:?}: {found:?}");
        assert_eq!(found.len(), count, "{kind:?}: {found:?}");
    }
}

/// A world in envelopes, changed.
fn in_envelopes(change: impl Fn(&mut Vec<Envelope>)) -> Vec<Code> {
    let world = World::good();
    let all = std::iter::once(&world.layout).chain(&world.links);
    let mut envelopes: Vec<_> = all.map(|(value, seeds)| enveloped(value, seeds)).collect();
    change(&mut envelopes);
    let mut case = world.case;
    for envelope in &envelopes {
        case.attach_to_release(DocumentKind::Metablock, &envelope.to_bytes());
    }
    fails(case)
}

#[test]
fn layouts_and_links_come_in_envelopes() {
    assert_eq!(in_envelopes(|_| {}), []);
    let replaced = |envelope: &mut Envelope, from: &str, to: &str| {
        let text = String::from_utf8(envelope.payload.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        envelope.payload = text.replacen(from, to, 1).into_bytes();
    };
    let signer = [Code::LayoutSigner];
    assert_eq!(in_envelopes(|all| replaced(&mut all[0], "2027", "2028")), signer);
    // Every byte is signed here.
    assert_eq!(in_envelopes(|all| replaced(&mut all[0], "\n", " ")), signer);
    let of_nobody = [Code::LayoutStep, Code::LayoutLink];
    assert_eq!(in_envelopes(|all| replaced(&mut all[2], "cc", "ld")), of_nobody);
    assert_eq!(in_envelopes(|all| all[0].signatures[0].key_id = None), signer);
    assert_eq!(in_envelopes(|all| all[0].signatures[0].key_id = Some(key_id(STRANGER))), signer);
    assert_eq!(in_envelopes(|all| all[0].signatures = all[1].signatures.clone()), signer);
    // A signature over the other form is none over this one.
    let classic = |all: &mut Vec<Envelope>| {
        let value = World::good().layout.0;
        let message = super::canonical::canonical(&value).unwrap();
        all[0].signatures[0].bytes = Key::from_seed(OWNER).sign(&message);
    };
    assert_eq!(in_envelopes(classic), signer);
    let both = [Code::LayoutMissing, Code::LayoutMalformed];
    assert_eq!(in_envelopes(|all| all[0].payload_type = "application/json".to_owned()), both);
    assert_eq!(in_envelopes(|all| all[0].payload = b"{}".to_vec()), both);
    assert_eq!(in_envelopes(|all| all[0].payload.truncate(99)), both);
}

#[test]
fn must_reject_envelopes() {
    let mut good = enveloped(&World::good().layout.0, &[OWNER]);
    Metablock::parse(&good.to_bytes()).unwrap().plan().unwrap();
    let twice =
        String::from_utf8(good.payload.clone()).unwrap().replacen('{', "{\"readme\":\"\",", 1);
    for payload in [twice.as_bytes(), b"", b"[]", b"{}", b"{\"_type\":\"layout\"}{}", b"\xff"] {
        good.payload = payload.to_vec();
        let bytes = good.to_bytes();
        let found = Metablock::parse(&bytes);
        assert!(
            matches!(found, Err(MetablockError::Json(_) | MetablockError::Signed { .. })),
            "{found:?}"
        );
    }
    for text in [
        "{\"payload\":\"!\",\"payloadType\":\"\",\"signatures\":[{\"sig\":\"\"}]}",
        "{\"payload\":\"e30=\",\"payloadType\":\"\",\"signatures\":[]}",
    ] {
        let found = Metablock::parse(text.as_bytes());
        assert!(matches!(found, Err(MetablockError::Envelope(_))), "{found:?}");
    }
}
