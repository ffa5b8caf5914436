//! For each finding code of layouts one minimal case that produces exactly it and one that just avoids it.

use bonded_model::Digest;
use serde_json::json;

use super::metablock::KEY_COUNT_MAX;
use super::world::{BUILDER, SECOND_BUILDER, STRANGER, World, hashes, key, signed};
use crate::cases::Make;
use crate::code::Code;
use crate::testing::Case;

fn with_layout(produce: bool, change: impl FnOnce(&mut World)) -> Case {
    let mut world = World::good();
    if produce {
        change(&mut world);
    }
    world.into_case()
}

pub(crate) fn all() -> Vec<(Code, Make)> {
    let mut cases = document_cases();
    cases.extend(step_cases());
    cases
}

fn document_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::LayoutMissing, |produce| match produce {
            true => World::good().case,
            false => World::good().into_case(),
        }),
        // A link by one who may make it; of a stranger's nothing is read.
        (Code::LayoutMalformed, |produce| {
            let mut world = World::good();
            let nonsense = json!({"_type": "link", "name": "build", "products": 1});
            let seed = if produce { BUILDER } else { STRANGER };
            world.others.push(signed(&nonsense, &[seed]));
            world.into_case()
        }),
        (Code::LayoutLimit, |produce| {
            let mut world = World::good();
            let mut one = key(STRANGER);
            one.as_object_mut().unwrap().remove("keyid");
            let keys = world.layout.0["keys"].as_object_mut().unwrap();
            let count = KEY_COUNT_MAX + usize::from(produce);
            keys.extend((keys.len()..count).map(|at| (at.to_string(), one.clone())));
            world.into_case()
        }),
        (Code::LayoutDigest, |produce| {
            let mut world = World::good();
            let good = Digest::sha256_of(&world.documents()[0]);
            let digest = if produce { Digest::sha256_of(b"") } else { good };
            world.case.edit("#layout", &format!("digest = \"{digest}\""));
            world.into_case()
        }),
        (Code::LayoutSigner, |p| with_layout(p, |world| world.layout.1 = vec![STRANGER])),
        (Code::LayoutExpired, |produce| {
            let mut world = World::good();
            let end = if produce { "2026-05-31T23:59:59Z" } else { "2026-06-01T00:00:00Z" };
            world.layout.0["expires"] = json!(end);
            world.into_case()
        }),
        (Code::LayoutUnsupported, |p| {
            with_layout(p, |world| {
                world.layout.0["inspect"] = json!([{
                    "_type": "inspection", "name": "unpack", "run": ["true"],
                    "expected_materials": [], "expected_products": [],
                }]);
            })
        }),
    ]
}

fn step_cases() -> Vec<(Code, Make)> {
    vec![
        (Code::LayoutStep, |produce| {
            let mut world = World::good();
            world.build_step()["threshold"] = json!(2);
            let second = world.build_link().clone();
            world.links.extend((!produce).then_some((second, vec![SECOND_BUILDER])));
            world.into_case()
        }),
        (Code::LayoutLink, |produce| {
            let mut world = World::good();
            let signer = if produce { STRANGER } else { SECOND_BUILDER };
            let second = world.build_link().clone();
            world.links.push((second, vec![signer]));
            world.into_case()
        }),
        (Code::LayoutDisagree, |produce| {
            let mut world = World::good();
            let mut second = world.build_link().clone();
            if produce {
                second["products"]["out/a"] = hashes(b"other");
            }
            world.links.push((second, vec![SECOND_BUILDER]));
            world.into_case()
        }),
        (Code::LayoutCommand, |produce| {
            let mut world = World::good();
            let last = if produce { "other.c" } else { "src.c" };
            world.build_step()["expected_command"] = json!(["cc", last]);
            world.into_case()
        }),
        (Code::LayoutRule, |p| {
            with_layout(p, |world| world.build_link()["products"]["extra"] = hashes(b"extra"))
        }),
        (Code::LayoutProduct, |p| {
            with_layout(p, |world| world.build_link()["products"]["out/a"] = hashes(b"other"))
        }),
    ]
}
