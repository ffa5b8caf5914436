//! A TUF repository in memory (TUF specification 1.0.34), with keys that come from labels.
//!
//! ```text
//! N.root.json for every N, timestamp.json, N.snapshot.json, N.targets.json
//! targets/<sha256>.<name>
//! ```
//!
//! What a file says of the next one is computed from its bytes, so that each file can be wrong alone: a hook
//! edits what a role signs, and who signs need not be who may.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::key::{Key, KeyKind};

/// A role, who may sign for it, and who does. Keys have labels; one that begins with `ec` is ECDSA on P-256,
/// others are Ed25519. The label is the key's id.
#[derive(Clone, Debug)]
pub struct TufRole {
    /// The version of its metadata.
    pub version: u64,
    /// When they expire, as RFC 3339.
    pub expires: String,
    /// Who may sign.
    pub keys: Vec<String>,
    /// Who signs.
    pub signers: Vec<String>,
    /// How many have to.
    pub threshold: u64,
}

impl TufRole {
    fn new(keys: &[&str], threshold: u64) -> Self {
        let keys: Vec<_> = keys.iter().map(|&label| label.to_owned()).collect();
        let expires = "2090-01-01T00:00:00Z".to_owned();
        Self { version: 1, expires, signers: keys.clone(), keys, threshold }
    }
}

/// The repository; all fields may be changed before its files are made.
#[derive(Clone, Debug)]
pub struct TufRepository {
    /// Whom all others have their keys from.
    pub root: TufRole,
    /// Names the snapshot.
    pub timestamp: TufRole,
    /// Names the targets metadata.
    pub snapshot: TufRole,
    /// Names the targets.
    pub targets: TufRole,
    /// The targets by path.
    pub contents: BTreeMap<String, Vec<u8>>,
    /// Keys that are other labels' keys: label by label.
    pub aliases: BTreeMap<String, String>,
    /// Edits what a role signs; its name is the first argument.
    pub edit: fn(&str, &mut Value),
    /// Roots that were.
    pub earlier: BTreeMap<u64, Vec<u8>>,
}

impl TufRepository {
    /// With two of three keys for the root, one for everything else, and one target.
    pub fn new(path: &str, content: &[u8]) -> Self {
        Self {
            root: TufRole::new(&["ec root 1", "root 2", "root 3"], 2),
            timestamp: TufRole::new(&["online"], 1),
            snapshot: TufRole::new(&["online"], 1),
            targets: TufRole::new(&["ec targets"], 1),
            contents: BTreeMap::from([(path.to_owned(), content.to_vec())]),
            aliases: BTreeMap::new(),
            edit: |_, _| {},
            earlier: BTreeMap::new(),
        }
    }

    /// The next versions of everything below the root, with this target.
    pub fn publish(&mut self, path: &str, content: &[u8]) {
        self.contents.insert(path.to_owned(), content.to_vec());
        for role in [&mut self.timestamp, &mut self.snapshot, &mut self.targets] {
            role.version += 1;
        }
    }

    /// The next root, with these keys; the former ones sign it as well.
    pub fn rotate_root(&mut self, keys: &[&str]) {
        self.earlier.insert(self.root.version, self.root_file());
        self.root.version += 1;
        self.root.keys = keys.iter().map(|&label| label.to_owned()).collect();
        let former = std::mem::replace(&mut self.root.signers, self.root.keys.clone());
        self.root.signers.extend(former);
        self.root.signers.sort();
        self.root.signers.dedup();
    }

    /// The newest root.
    pub fn root_file(&self) -> Vec<u8> {
        let mut keys = serde_json::Map::new();
        let mut roles = serde_json::Map::new();
        for (name, role) in self.roles() {
            for label in &role.keys {
                keys.insert(label.clone(), self.public(label));
            }
            roles
                .insert(name.to_owned(), json!({"keyids": role.keys, "threshold": role.threshold}));
        }
        self.file(
            "root",
            &self.root,
            json!({"consistent_snapshot": true, "keys": keys, "roles": roles}),
        )
    }

    /// Every file by its name.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let roots = self.earlier.iter().map(|(version, bytes)| (*version, bytes.clone()));
        for (version, bytes) in roots.chain([(self.root.version, self.root_file())]) {
            files.insert(format!("{version}.root.json"), bytes);
        }
        let mut targets = serde_json::Map::new();
        for (path, content) in &self.contents {
            let hash = hex(&crate::sha256(content));
            targets
                .insert(path.clone(), json!({"hashes": {"sha256": hash}, "length": content.len()}));
            files.insert(format!("targets/{hash}.{path}"), content.clone());
        }
        let targets = self.file("targets", &self.targets, json!({"targets": targets}));
        let meta = json!({"meta": {"targets.json": pin(&self.targets, &targets)}});
        let snapshot = self.file("snapshot", &self.snapshot, meta);
        let meta = json!({"meta": {"snapshot.json": pin(&self.snapshot, &snapshot)}});
        let timestamp = self.file("timestamp", &self.timestamp, meta);
        files.insert(format!("{}.targets.json", self.targets.version), targets);
        files.insert(format!("{}.snapshot.json", self.snapshot.version), snapshot);
        files.insert("timestamp.json".to_owned(), timestamp);
        files
    }

    fn roles(&self) -> [(&'static str, &TufRole); 4] {
        [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ]
    }

    fn key(&self, label: &str) -> Key {
        let label = self.aliases.get(label).map_or(label, String::as_str);
        let kind = if label.starts_with("ec") { KeyKind::P256 } else { KeyKind::Ed25519 };
        Key::new(kind, label)
    }

    fn public(&self, label: &str) -> Value {
        let key = self.key(label);
        let (kind, scheme, public) = match key.algorithm() {
            KeyKind::P256 => ("ecdsa", "ecdsa-sha2-nistp256", key.public_pem()),
            _ => ("ed25519", "ed25519", hex(key.raw_public())),
        };
        json!({"keytype": kind, "keyval": {"public": public}, "scheme": scheme})
    }

    /// A role's file: `body` with what every role says, edited, then signed.
    fn file(&self, name: &str, role: &TufRole, mut body: Value) -> Vec<u8> {
        body["_type"] = json!(name);
        body["spec_version"] = json!("1.0.31");
        body["version"] = json!(role.version);
        body["expires"] = json!(role.expires);
        (self.edit)(name, &mut body);
        let mut message = String::new();
        canonical(&body, &mut message);
        let sign = |label: &String| json!({"keyid": label, "sig": hex(&self.key(label).sign(message.as_bytes()))});
        let signatures: Vec<_> = role.signers.iter().map(sign).collect();
        json!({"signatures": signatures, "signed": body}).to_string().into_bytes()
    }
}

fn pin(role: &TufRole, bytes: &[u8]) -> Value {
    let hash = hex(&crate::sha256(bytes));
    json!({"hashes": {"sha256": hash}, "length": bytes.len(), "version": role.version})
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Canonical JSON as TUF signs it (TUF specification 1.0.34, section 4.1): only `"` and `\` are escaped.
fn canonical(value: &Value, out: &mut String) {
    let text = |text: &str, out: &mut String| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        out.push_str(&format!("\"{escaped}\""));
    };
    match value {
        Value::String(string) => text(string, out),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().map(canonical_text).collect();
            out.push_str(&format!("[{}]", texts.join(",")));
        }
        Value::Object(map) => {
            out.push('{');
            for (place, (key, value)) in
                map.iter().collect::<BTreeMap<_, _>>().into_iter().enumerate()
            {
                if place > 0 {
                    out.push(',');
                }
                text(key, out);
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn canonical_text(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    text
}
