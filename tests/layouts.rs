//! in-toto layouts, from files beside a release to a mirror: in a build with the cargo feature `in-toto`. A build
//! without it refuses a policy that asks for one.

use bonded_testsigner::{Key, KeyKind};

use crate::world::World;

/// The policy of the world, with owners of a layout.
fn policy(world: &World) -> String {
    let owner = key("owner").public_pem();
    let signer =
        format!("[[signer]]\nname = \"owner\"\npublic_key = '''\n{owner}'''\n\n[[builder]]");
    let asked = "[layout]\nsigners = [\"owner\"]\npaths = [\"bin/**\"]\n";
    world.policy().replacen("[[builder]]", &signer, 1) + "\n" + asked
}

fn key(who: &str) -> Key {
    Key::new(KeyKind::Ed25519, who)
}

#[cfg(not(feature = "in-toto"))]
#[test]
fn a_build_without_layouts_says_so() {
    let world = World::with_store();
    world.release("v1.0.0");
    world.write("policy.toml", policy(&world));
    for line in ["verify demo@v1.0.0", "policy explain demo@v1.0.0", "mirror plan --to file:///out"]
    {
        let run = world.run(&format!("{line} --policy policy.toml")).must(2);
        run.says(&["[layout]", "build it with the cargo feature in-toto"]);
    }
}

#[cfg(feature = "in-toto")]
mod followed {
    use std::fmt::Write as _;

    use bonded_model::Digest;
    use serde_json::{Value, json};

    use super::{Key, World, key, policy};
    use crate::world::{codes, tree};

    /// When the layout ends: after whatever time the machine that runs this is in.
    const END: &str = "2999-01-01T00:00:00Z";

    const TOOL: &[u8] = b"tool v1.0.0\n";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// A key as a layout has it: the bare bytes, which are the end of its description.
    fn written(key: &Key) -> Value {
        let (_, bare) = key.spki().split_last_chunk::<32>().unwrap();
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(bare)}})
    }

    /// Keys of objects are sorted, and nothing here needs to be escaped: that is the canonical form.
    fn canonical(value: &Value) -> Vec<u8> {
        let text = value.to_string();
        assert!(!text.contains('\\'), "{text}");
        text.into_bytes()
    }

    fn id(who: &str) -> String {
        Digest::sha256_of(&canonical(&written(&key(who)))).hex()
    }

    fn signed(value: &Value, who: &str) -> Vec<u8> {
        let signature = hex(&key(who).sign(&canonical(value)));
        let signatures = json!([{"keyid": id(who), "sig": signature}]);
        json!({"signed": value, "signatures": signatures}).to_string().into_bytes()
    }

    fn step(name: &str, who: &str, materials: &Value, products: &Value) -> Value {
        json!({
            "_type": "step", "name": name, "threshold": 1, "pubkeys": [id(who)], "expected_command": [],
            "expected_materials": materials, "expected_products": products,
        })
    }

    fn link(name: &str, materials: &Value, products: &Value) -> Value {
        json!({
            "_type": "link", "name": name, "materials": materials, "products": products,
            "byproducts": {}, "environment": {}, "command": [],
        })
    }

    /// A release of one tool and a note beside it, whose source one person wrote and another built.
    struct Followed {
        layout: Value,
        build: Value,
        owner: &'static str,
        builder: &'static str,
    }

    impl Followed {
        fn good() -> Self {
            let source = json!({"tool.c": {"sha256": Digest::sha256_of(b"source").hex()}});
            let made = json!({"tool": {"sha256": Digest::sha256_of(TOOL).hex()}});
            let given =
                json!([["MATCH", "*", "WITH", "PRODUCTS", "FROM", "write"], ["DISALLOW", "*"]]);
            let steps = [
                step(
                    "write",
                    "writer",
                    &json!([["DISALLOW", "*"]]),
                    &json!([["CREATE", "tool.c"]]),
                ),
                step("build", "builder", &given, &json!([["CREATE", "tool"], ["DISALLOW", "*"]])),
            ];
            let keys = ["writer", "builder"].map(|who| (id(who), written(&key(who))));
            let layout = json!({
                "_type": "layout", "expires": END, "readme": "", "inspect": [], "steps": steps,
                "keys": serde_json::Map::from_iter(keys),
            });
            Self {
                layout,
                build: link("build", &source, &made),
                owner: "owner",
                builder: "builder",
            }
        }

        /// The same, ingested as `demo@v1.0.0` and attested, beside a policy that asks for the layout.
        fn into_world(self) -> World {
            let world = World::with_store();
            world.ok("keygen --out key");
            world.write("policy.toml", policy(&world));
            world.write("in/bin/tool", TOOL);
            world.write("in/note", "nobody built this");
            let write = link("write", &json!({}), &self.build["materials"]);
            let named =
                |step: &str, who: &str| format!("in/{step}.{}.link", id(who).get(..8).unwrap());
            world.write("in/root.layout", signed(&self.layout, self.owner));
            world.write(&named("write", "writer"), signed(&write, "writer"));
            world.write(&named("build", self.builder), signed(&self.build, self.builder));
            let told = world.ok("ingest --release demo@v1.0.0 in");
            assert_eq!(told.matches("in-toto layout or link").count(), 3, "{told}");
            world.attest("v1.0.0");
            world
        }
    }

    fn mirror(world: &World) -> String {
        format!("mirror apply --policy policy.toml --to file://{}", world.path("out").display())
    }

    #[test]
    fn a_release_that_follows_its_layout_leaves() {
        let world = Followed::good().into_world();
        let verdict = world.json("verify demo@v1.0.0 --policy policy.toml", 0);
        let artifacts = verdict["artifacts"].as_array().unwrap();
        let by_layout = |artifact: &Value| {
            let accepted = artifact["accepted"].as_array().unwrap();
            let by = accepted.iter().filter(|accepted| accepted["role"] == "layout");
            by.map(|accepted| accepted["signer"]["name"].clone()).collect::<Vec<_>>()
        };
        let told: Vec<_> =
            artifacts.iter().map(|a| (a["path"].as_str().unwrap(), by_layout(a))).collect();
        assert_eq!(told, [("bin/tool", vec!["owner".into()]), ("note", vec![])]);
        let told = world.ok("policy explain demo@v1.0.0 --policy policy.toml");
        assert!(told.contains("an in-toto layout signed by owner"), "{told}");
        world.ok(&mirror(&world));
        assert_eq!(tree(&world.path("out"))["demo/release/v1.0.0/bin/tool"], TOOL);
    }

    /// A verdict that was kept is not believed any more once the layout has ended.
    #[test]
    fn a_layout_ends_in_the_middle_of_the_night() {
        let world = Followed::good().into_world();
        let at = |time: &str, code| {
            let line = format!("verify demo@v1.0.0 --policy policy.toml --at {time}");
            codes(&world.json(&line, code), "fail")
        };
        assert!(at(END, 0).is_empty());
        assert_eq!(at("2999-01-01T00:00:01Z", 1), ["LAYOUT-EXPIRED"]);
        assert!(at("2998-12-31T23:59:59Z", 0).is_empty());
    }

    #[test]
    fn a_release_that_does_not_stays_here() {
        let check = |change: fn(&mut Followed), expected: &[&str]| {
            let mut followed = Followed::good();
            change(&mut followed);
            let world = followed.into_world();
            let verdict = world.json("verify demo@v1.0.0 --policy policy.toml", 1);
            assert_eq!(codes(&verdict, "fail"), expected);
            let run = world.run(&mirror(&world)).must(1);
            run.says(&["demo@v1.0.0 stays here"]).says(expected);
            assert!(!world.path("out/demo/release").exists(), "{expected:?}");
        };
        check(|followed| followed.owner = "stranger", &["LAYOUT-SIGNER"]);
        check(|followed| followed.builder = "writer", &["LAYOUT-LINK", "LAYOUT-STEP"]);
        check(
            |f| f.build["products"]["extra"] = f.build["products"]["tool"].clone(),
            &["LAYOUT-RULE"],
        );
        let other = |f: &mut Followed| {
            f.build["products"]["tool"]["sha256"] = Digest::sha256_of(b"other").hex().into();
        };
        check(other, &["LAYOUT-PRODUCT"]);
        let inspected = |f: &mut Followed| {
            f.layout["inspect"] = json!([{
                "_type": "inspection", "name": "unpack", "run": ["touch", "out/demo/release"],
                "expected_materials": [], "expected_products": [],
            }]);
        };
        check(inspected, &["LAYOUT-UNSUPPORTED"]);
    }
}
