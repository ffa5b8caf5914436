//! TUF repositories: which ones are known, where another one may be, and how its files are fetched.
//!
//! ```text
//! <address>/N.root.json, timestamp.json, N.snapshot.json, N.targets.json
//! <address>/targets/<hash>.trusted_root.json
//! ```
//!
//! A file that comes in is strict JSON of a bounded size, or it is refused before the TUF client sees it.
//! Nobody is asked but the host of the address: redirects are errors, and no proxy is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bonded_model::json;
use bonded_store::disk::{self, DiskFault};
use bonded_verify::TrustRoot;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigstore_trust_root::SigstoreInstance;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, HttpRepository, Key, Repository, reqwest};
use url::{Host, Url};

/// How long a connection may take.
const CONNECT_SECONDS_MAX: u64 = 30;
/// How long nothing may come.
const SILENCE_SECONDS_MAX: u64 = 30;
/// How long one file may take.
const FILE_SECONDS_MAX: u64 = 120;
/// No path that anybody publishes a trusted root at is longer.
const PATH_BYTES_MAX: usize = 512;

/// What a repository is called here: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(String);

impl Name {
    /// As text, which can be the name of a file.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The instance of Sigstore that is known by this name.
    pub(crate) fn instance(&self) -> Option<SigstoreInstance> {
        match self.as_str() {
            "public-good" => Some(SigstoreInstance::PublicGood),
            "staging" => Some(SigstoreInstance::Staging),
            "github" => Some(SigstoreInstance::GitHub),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of a repository: lower-case letters, digits and hyphens, at most 64")]
pub(crate) struct NameError {
    text: String,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if TrustRoot::is_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError { text: text.chars().take(80).collect() })
    }
}

/// The path of a target: names with `/` between, of which none leads upwards or elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TargetPath(String);

impl TargetPath {
    /// As the repository writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no path of a target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no path of a target: letters, digits, `-`, `_`, `+` and `.`, and single `/` between names"
)]
pub(crate) struct PathError {
    text: String,
}

impl FromStr for TargetPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let is_name = |name: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
            !matches!(name, "" | "." | "..") && name.bytes().all(known)
        };
        if text.len() <= PATH_BYTES_MAX && text.split('/').all(is_name) {
            return Ok(Self(text.to_owned()));
        }
        Err(PathError { text: text.chars().take(80).collect() })
    }
}

impl<'de> Deserialize<'de> for TargetPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(Url);

/// Why an address is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// No URL at all.
    #[error("{text:?} is no URL")]
    Url {
        /// As given.
        text: String,
        /// What is wrong.
        source: url::ParseError,
    },
    /// One that nothing is fetched from.
    #[error(
        "{text:?} is no address of a repository: https://HOST/PATH or file:///DIRECTORY without anything behind it, or http:// of this machine itself"
    )]
    Form {
        /// As given.
        text: String,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url: Url =
            text.parse().map_err(|source| AddressError::Url { text: text.to_owned(), source })?;
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let is_fetched = match url.scheme() {
            "https" => true,
            "http" => is_here,
            "file" => url.to_file_path().is_ok(),
            _ => false,
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        if is_fetched && is_plain && url.query().is_none() && url.fragment().is_none() {
            return Ok(Self(url));
        }
        // The password of somebody who wrote one is not repeated.
        Err(AddressError::Form {
            text: if is_plain { text.to_owned() } else { "…@…".to_owned() }
        })
    }
}

impl Address {
    /// What fetches from there. Nothing is asked yet.
    ///
    /// # Errors
    /// The client's, if this machine cannot make connections at all.
    pub(crate) fn open(&self) -> Result<Box<dyn Repository>, Error> {
        if let Ok(directory) = self.0.to_file_path() {
            return Ok(Box::new(Directory(directory)));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .read_timeout(Duration::from_secs(SILENCE_SECONDS_MAX))
            .timeout(Duration::from_secs(FILE_SECONDS_MAX))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("bonded/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| Error::transport_with_source("cannot make a client", source))?;
        Ok(Box::new(HttpRepository::new(self.0.as_str())?.with_http_client(client)))
    }
}

/// A repository in a directory.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn read(&self, name: &str, max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        match disk::read_file(&self.0.join(name), max_length) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.fault() == DiskFault::NotFound => Ok(None),
            Err(error) => Err(Error::transport_with_source(format!("cannot read {name}"), error)),
        }
    }
}

impl Repository for Directory {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let read = self.read(name, max_length);
        Box::pin(async move { read })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let read = self.read(&format!("targets/{path}"), max_length);
        Box::pin(async move { read })
    }
}

/// The name of the last file that a repository had, or was asked for in vain.
#[derive(Clone, Debug)]
pub(crate) struct Asked(Arc<Mutex<String>>);

impl Asked {
    /// Nothing was asked for yet.
    pub(crate) fn nothing() -> Self {
        Self(Arc::new(Mutex::new("the root to start from".to_owned())))
    }

    /// The name.
    pub(crate) fn name(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &str) -> String {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *asked, name.to_owned())
    }
}

/// A repository of which nothing passes that another program could read in another way.
pub(crate) struct Guarded {
    /// Who is asked.
    pub(crate) inner: Box<dyn Repository>,
    /// For what.
    pub(crate) asked: Asked,
}

impl Repository for Guarded {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let before = self.asked.set(name);
            check_name(name)?;
            let Some(bytes) = self.inner.fetch_metadata(name, max_length).await? else {
                if name.ends_with(".root.json") {
                    // The end of the chain of roots is no file that something could be wrong with.
                    self.asked.set(&before);
                }
                return Ok(None);
            };
            check_metadata(&bytes, max_length)?;
            Ok(Some(bytes))
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            self.asked.set(path);
            // The hash before its name is what the metadata say, and is not looked at by anybody else.
            let path: TargetPath = path.parse().map_err(|error: PathError| malformed(&error))?;
            self.inner.fetch_target(path.as_str(), max_length).await
        })
    }
}

fn malformed(error: &dyn fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

/// A metadata file lies in one directory; names of roles come with `%2F` for what would lead elsewhere.
fn check_name(name: &str) -> Result<(), Error> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
    if name.len() <= PATH_BYTES_MAX && name.ends_with(".json") && name.bytes().all(known) {
        return Ok(());
    }
    Err(Error::Malformed("a role has a name that no file can have".to_owned()))
}

/// Checks what the client takes as it comes: JSON that can be read in one way, and roles whose keys are
/// different ones, so that nobody is counted twice under two names.
pub(super) fn check_metadata(bytes: &[u8], max_length: u64) -> Result<(), Error> {
    let value: Value = json::check(bytes, max_length)
        .and_then(|()| json::parse(bytes, max_length))
        .map_err(|error| malformed(&format!("no strict JSON: {error}")))?;
    let signed = &value["signed"];
    let roles = signed["roles"].as_object().into_iter().flat_map(serde_json::Map::values);
    let delegated = signed["delegations"]["roles"].as_array().into_iter().flatten();
    // The client would take the keys of the first one for the paths of either.
    let mut names = BTreeSet::new();
    let mut delegates = delegated.clone().filter_map(|role| role["name"].as_str());
    if let Some(name) = delegates.find(|name| !names.insert(*name)) {
        return Err(malformed(&format!("{name:?} is delegated to twice")));
    }
    let all = roles.map(|role| (&signed["keys"], role));
    for (keys, role) in all.chain(delegated.map(|role| (&signed["delegations"]["keys"], role))) {
        check_keys(keys, role)?;
    }
    Ok(())
}

/// Compares what signatures are verified with: a key has more than one text.
fn check_keys(keys: &Value, role: &Value) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for id in role["keyids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let key = Key::deserialize(&keys[id]).ok().and_then(|key| key.verification_key().ok()); // counts for nothing
        let Some(key) = key else { continue };
        if let Some(other) = seen.insert(identity(key.as_bytes()), id).filter(|other| *other != id)
        {
            return Err(Error::Malformed(format!("{id:?} and {other:?} of one role are one key")));
        }
    }
    Ok(())
}

/// What two forms of one key have in common: of a point on a curve its first coordinate, which comes with
/// the second one, or with its sign (SEC 1, section 2.3.3), and of any other key everything.
fn identity(key: &[u8]) -> Vec<u8> {
    let first = match key {
        [2..=7, rest @ ..] if matches!(rest.len(), 32 | 64) => rest.get(..32),
        [2..=7, rest @ ..] if matches!(rest.len(), 48 | 96) => rest.get(..48),
        _ => None,
    };
    first.unwrap_or(key).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bonded_testsigner::{Key, KeyKind};
    use serde_json::json;

    #[test]
    fn an_address_is_a_place_that_is_asked_and_nobody_else() {
        for good in [
            "https://tuf.example.com",
            "https://tuf.example.com:8443/a/b/",
            "http://127.0.0.1:80/x",
            "http://[::1]:80",
            "http://localhost/x",
            "file:///srv/tuf",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "http://tuf.example.com",
            "http://127.0.0.1.example.com",
            "https://user:secret@tuf.example.com",
            "https://tuf.example.com/?a",
            "https://tuf.example.com/#a",
            "ftp://tuf.example.com",
            "file://host/srv",
            "data:text/plain,x",
        ] {
            let error = bad.parse::<Address>().unwrap_err();
            assert!(matches!(error, AddressError::Form { .. }), "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for bad in ["", "tuf.example.com", "/srv/tuf"] {
            assert!(matches!(bad.parse::<Address>(), Err(AddressError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        for good in ["trusted_root.json", "a/b.json", "0a.trusted_root.json", "a+b-c_d"] {
            assert_eq!(good.parse::<TargetPath>().unwrap().as_str(), good);
        }
        let long = "a".repeat(PATH_BYTES_MAX + 1);
        for bad in [
            "", ".", "..", "../x", "a/../b", "a//b", "/a", "a/", "a\\b", "a%2fb", "a?b", "a#b",
            "a:b", "a b", "a\n", "ü", &long,
        ] {
            assert!(bad.parse::<TargetPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_metadata_file_stands_in_one_directory() {
        for good in ["1.root.json", "timestamp.json", "3.a%2Fb.json"] {
            check_name(good).unwrap();
        }
        for bad in ["../timestamp.json", "a/b.json", "a.txt", "http://x/a.json", "", "a?.json"] {
            assert!(matches!(check_name(bad), Err(Error::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn metadata_are_strict_json_in_which_nobody_counts_twice() {
        let check = |text: &str| check_metadata(text.as_bytes(), 10_000);
        for bad in ["", "{", "{} {}", r#"{"signed":1,"signed":2}"#, "\u{feff}{}"] {
            assert!(
                matches!(check(bad), Err(Error::Malformed(text)) if text.contains("strict")),
                "{bad}"
            );
        }
        assert!(check_metadata(b"{\"a\":1}", 4).is_err());
    }

    #[test]
    fn a_role_is_delegated_to_once() {
        let check = |names: [&str; 2]| {
            let roles = names.map(|name| json!({"name": name, "keyids": []}));
            let text = json!({"signed": {"delegations": {"keys": {}, "roles": roles}}}).to_string();
            check_metadata(text.as_bytes(), 10_000)
        };
        check(["a", "b"]).unwrap();
        let error = check(["a", "a"]).unwrap_err();
        assert!(error.to_string().contains("\"a\" is delegated to twice"), "{error}");
    }

    #[test]
    fn a_key_in_two_forms_is_one_key() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let raw_of = |key: &Key| hex(key.spki().last_chunk::<32>().unwrap());
        let [one, other] = ["one", "other"].map(|label| Key::new(KeyKind::Ed25519, label));
        let [point, elsewhere] = ["one", "other"].map(|label| Key::new(KeyKind::P256, label));
        let raw = raw_of(&one);
        let pem = one.public_pem();
        let (head, body) = pem.split_once('\n').unwrap();
        let edwards = |public: &str| json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}});
        let nist = |public: &str| json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public}});
        let root = |one: &Value, other: &Value| {
            let keys = json!({"a": one, "b": other});
            let roles = json!({"root": {"keyids": ["a", "b"], "threshold": 2}});
            json!({"signed": {"keys": keys, "roles": roles}}).to_string()
        };
        let check = |text: &str| check_metadata(text.as_bytes(), 10_000);
        let pair = |one: &str, other: &str| check(&root(&edwards(one), &edwards(other)));
        pair(&raw, &raw_of(&other)).unwrap();
        pair(&pem, &other.public_pem()).unwrap();
        // What is no key verifies nothing, so it cannot count twice.
        pair("00", "00").unwrap();
        check(&root(&nist(&point.public_pem()), &nist(&elsewhere.public_pem()))).unwrap();
        for form in [
            raw.clone(),
            raw.to_uppercase(),
            pem.clone(),
            format!("{head}\nX: y\n\n{body}"),
            format!("{pem}what is behind it"),
            pem.replace('\n', "\r\n"),
        ] {
            let error = pair(&raw, &form).unwrap_err();
            assert!(error.to_string().contains("are one key"), "{form}: {error}");
        }
        // The same point with the sign of its second coordinate in place of it.
        let spki = point.spki();
        let compressed = |sign: u8| {
            let mut spki = spki.to_vec();
            spki.truncate(spki.len() - 32);
            (spki[1], spki[24], spki[26]) = (0x39, 0x22, sign);
            let body = STANDARD.encode(spki);
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        };
        for form in [compressed(2), compressed(3)] {
            check(&root(&nist(&point.public_pem()), &nist(&form))).unwrap_err();
        }
        let delegated = json!({"signed": {"delegations": {
            "keys": {"a": edwards(&raw), "b": edwards(&pem)},
            "roles": [{"keyids": ["a", "b"]}],
        }}});
        check(&delegated.to_string()).unwrap_err();
    }

    #[test]
    fn the_embedded_roots_are_strict() {
        for name in ["public-good", "staging", "github"] {
            let instance = name.parse::<Name>().unwrap().instance().unwrap();
            check_metadata(instance.tuf_root(), 512_000).unwrap();
            assert!(instance.tuf_url().parse::<Address>().is_ok());
        }
        assert!("corp".parse::<Name>().unwrap().instance().is_none());
        for bad in ["", "A", "../x", "a.b", "a/b"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
