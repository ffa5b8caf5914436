//! For tests: a layout of two steps with its links, from which one thing at a time is changed.

use bonded_model::{Digest, DocumentKind};
use serde_json::{Value, json};

use super::canonical::canonical;
use super::keys::layout_key;
use crate::key::PublicKey;
use crate::testing::{Case, FILE, Key};

/// Whose key has which seed.
pub(crate) const OWNER: u8 = 5;
pub(crate) const SECOND_OWNER: u8 = 6;
pub(crate) const WRITER: u8 = 7;
pub(crate) const BUILDER: u8 = 8;
pub(crate) const SECOND_BUILDER: u8 = 9;
pub(crate) const STRANGER: u8 = 10;

/// A layout and links as JSON, each with the seeds of the keys that sign it.
pub(crate) struct World {
    pub(crate) layout: (Value, Vec<u8>),
    pub(crate) links: Vec<(Value, Vec<u8>)>,
    /// Further documents as they are.
    pub(crate) others: Vec<Vec<u8>>,
    pub(crate) case: Case,
}

/// A key as layouts have it.
pub(crate) fn key(seed: u8) -> Value {
    serde_json::to_value(in_toto_key(seed)).unwrap()
}

pub(crate) fn key_id(seed: u8) -> String {
    key(seed)["keyid"].as_str().unwrap().to_owned()
}

fn in_toto_key(seed: u8) -> in_toto::crypto::PublicKey {
    layout_key(&PublicKey::from_pem(&Key::from_seed(seed).public_pem()).unwrap()).unwrap()
}

/// A metablock signed by some, each by the name of its key.
pub(crate) fn signed(value: &Value, seeds: &[u8]) -> Vec<u8> {
    let signature = |seed: &u8| (key_id(*seed), Key::from_seed(*seed));
    signed_as(value, &seeds.iter().map(signature).collect::<Vec<_>>())
}

/// The same under any names of keys.
pub(crate) fn signed_as(value: &Value, keys: &[(String, Key)]) -> Vec<u8> {
    let message = canonical(value).unwrap();
    let signatures: Vec<_> = keys
        .iter()
        .map(|(id, key)| json!({"keyid": id, "sig": hex(&key.sign(&message))}))
        .collect();
    json!({"signed": value, "signatures": signatures}).to_string().into_bytes()
}

/// The same in an envelope.
pub(crate) fn enveloped(value: &Value, seeds: &[u8]) -> bonded_model::dsse::Envelope {
    let payload = serde_json::to_vec_pretty(value).unwrap();
    let payload_type = bonded_model::media_type::IN_TOTO.to_owned();
    let mut envelope =
        bonded_model::dsse::Envelope { payload, payload_type, signatures: Vec::new() };
    let message = envelope.pae();
    let signature = |seed: &u8| bonded_model::dsse::Signature {
        key_id: Some(key_id(*seed)),
        bytes: Key::from_seed(*seed).sign(&message),
    };
    envelope.signatures = seeds.iter().map(signature).collect();
    envelope
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hashes(bytes: &[u8]) -> Value {
    json!({"sha256": Digest::sha256_of(bytes).hex()})
}

pub(crate) fn link(step: &str, materials: &Value, products: &Value) -> Value {
    json!({
        "_type": "link", "name": step, "materials": materials, "products": products,
        "byproducts": {"return-value": 0, "stdout": "a\\n\n", "stderr": ""},
        "environment": {}, "command": ["cc", "src.c"],
    })
}

fn step(name: &str, keys: &[u8], materials: &Value, products: &Value) -> Value {
    json!({
        "_type": "step", "name": name, "threshold": 1,
        "expected_materials": materials, "expected_products": products,
        "pubkeys": keys.iter().map(|seed| key_id(*seed)).collect::<Vec<_>>(),
        "expected_command": [],
    })
}

impl World {
    /// A release that follows its layout.
    pub(crate) fn good() -> Self {
        let keys: serde_json::Map<_, _> = [WRITER, BUILDER, SECOND_BUILDER]
            .map(|seed| (key_id(seed), key(seed)))
            .into_iter()
            .collect();
        let source = json!([["CREATE", "src.c"], ["DISALLOW", "*"]]);
        let given =
            json!([["MATCH", "src.c", "WITH", "PRODUCTS", "FROM", "write"], ["DISALLOW", "*"]]);
        let made = json!([["CREATE", "out/*"], ["ALLOW", "src.c"], ["DISALLOW", "*"]]);
        let layout = json!({
            "_type": "layout", "expires": "2027-01-01T00:00:00Z", "readme": "two\nlines", "keys": keys,
            "steps": [
                step("write", &[WRITER], &json!([["DISALLOW", "*"]]), &source),
                step("build", &[BUILDER, SECOND_BUILDER], &given, &made),
            ],
            "inspect": [],
        });
        let source = json!({"src.c": hashes(b"source")});
        let made = json!({"src.c": hashes(b"source"), "out/a": hashes(FILE)});
        let mut case = Case::good();
        for (name, seed) in [("owner", OWNER), ("second owner", SECOND_OWNER)] {
            let pem = Key::from_seed(seed).public_pem();
            let signer = format!(
                "[[signer]]\nname = \"{name}\"\npublic_key = '''\n{pem}'''\n#{name}\n[[builder]]"
            );
            case.edit("[[builder]]", &signer);
        }
        case.edit("#sbom", "[layout]\nsigners = [\"owner\"]\n#layout\n#sbom");
        Self {
            layout: (layout, vec![OWNER]),
            links: vec![
                (link("write", &json!({}), &source), vec![WRITER]),
                (link("build", &source, &made), vec![BUILDER]),
            ],
            others: Vec::new(),
            case,
        }
    }

    pub(crate) fn write_step(&mut self) -> &mut Value {
        &mut self.layout.0["steps"][0]
    }

    pub(crate) fn build_step(&mut self) -> &mut Value {
        &mut self.layout.0["steps"][1]
    }

    pub(crate) fn build_link(&mut self) -> &mut Value {
        &mut self.links[1].0
    }

    /// The bytes of the layout and of the links.
    pub(crate) fn documents(&self) -> Vec<Vec<u8>> {
        let all = std::iter::once(&self.layout).chain(&self.links);
        all.map(|(value, seeds)| signed(value, seeds)).chain(self.others.iter().cloned()).collect()
    }

    /// The case with all documents attached to the release.
    pub(crate) fn into_case(self) -> Case {
        let documents = self.documents();
        let mut case = self.case;
        for bytes in documents {
            case.attach_to_release(DocumentKind::Metablock, &bytes);
        }
        case
    }
}
