use super::*;

use bonded_testsigner::TufRepository;
use serde_json::json;
use sigstore_tuf::transport::FetchFuture;

const TARGET: &str = "trusted_root.json";

/// Files in memory; a name may stand for something longer than anybody wants.
struct Served(BTreeMap<String, Vec<u8>>);

impl Served {
    fn answer(&self, name: &str, max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(bytes) = self.0.get(name) else { return Ok(None) };
        if bytes.len() as u64 > max_length {
            return Err(Error::transport("too long"));
        }
        Ok(Some(bytes.clone()))
    }
}

impl Repository for Served {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let answer = self.answer(name, max_length);
        Box::pin(async move { answer })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let answer = self.answer(&format!("targets/{path}"), max_length);
        Box::pin(async move { answer })
    }
}

fn now() -> Timestamp {
    "2030-06-01T00:00:00Z".parse().unwrap()
}

fn repository() -> TufRepository {
    TufRepository::new(TARGET, b"one")
}

/// An update from files that may be anything.
fn fetch_files(root: &[u8], kept: &Metadata, files: BTreeMap<String, Vec<u8>>) -> Ended {
    let target = TARGET.parse().unwrap();
    let start = Start { root, kept, target: &target };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(update(Box::new(Served(files)), start, now()))
}

/// An update of somebody who begins with the first root of [`repository`].
fn fetch(kept: &Metadata, repository: &TufRepository) -> Ended {
    fetch_files(&self::repository().root_file(), kept, repository.files())
}

fn kept(repository: &TufRepository) -> Metadata {
    let ended = fetch(&Metadata::new(), repository);
    ended.target.unwrap();
    ended.metadata
}

#[track_caller]
fn text(error: &UpdateError) -> String {
    crate::report::chain(error)
}

/// Somebody with these metadata refuses the repository, at this file and for this reason, and keeps what it had.
#[track_caller]
fn refused(kept: &Metadata, repository: &TufRepository, at: &str, why: &str) {
    let ended = fetch(kept, repository);
    let error = ended.target.unwrap_err();
    match &error {
        UpdateError::Refused { asked, .. } => assert!(asked.ends_with(at), "{}", text(&error)),
        other => panic!("{}", text(other)),
    }
    assert!(text(&error).contains(why), "{}", text(&error));
    let lower = |metadata: &Metadata| -> Vec<_> {
        LOWER.map(|name| metadata.get(name).cloned()).into_iter().collect()
    };
    assert_eq!(lower(&ended.metadata), lower(kept));
}

fn versions(kept: &Metadata) -> Vec<(&'static str, u64)> {
    let version =
        |text: &str| serde_json::from_str::<Value>(text).unwrap()["signed"]["version"].as_u64();
    in_force(kept).map(|(role, text)| (role, version(text).unwrap())).collect()
}

#[test]
fn a_good_repository_gives_its_target() {
    let mut repository = repository();
    let ended = fetch(&Metadata::new(), &repository);
    assert_eq!(ended.target.unwrap(), b"one");
    let all = ["root", "timestamp", "snapshot", "targets"];
    assert_eq!(versions(&ended.metadata), all.map(|role| (role, 1)));
    // Nothing new is fine as well.
    let again = fetch(&ended.metadata, &repository);
    assert_eq!(again.target.unwrap(), b"one");
    assert_eq!(versions(&again.metadata), all.map(|role| (role, 1)));
    repository.rotate_root(&["root 4", "root 5", "root 3"]);
    repository.publish(TARGET, b"two");
    repository.rotate_root(&["root 4", "root 5"]);
    let ended = fetch(&ended.metadata, &repository);
    assert_eq!(ended.target.unwrap(), b"two");
    assert_eq!(
        versions(&ended.metadata),
        [("root", 3), ("timestamp", 2), ("snapshot", 2), ("targets", 2)]
    );
    assert_eq!(ended.metadata.len(), 6);
    // Whoever begins with a later root needs no earlier one.
    let late = fetch_files(&repository.root_file(), &Metadata::new(), repository.files());
    assert_eq!(late.target.unwrap(), b"two");
}

#[test]
fn no_version_goes_back() {
    let mut newer = repository();
    newer.publish(TARGET, b"two");
    let floor = kept(&newer);
    refused(
        &floor,
        &repository(),
        "timestamp.json",
        "rollback detected for timestamp: trusted version 2",
    );
    let mut mixed = newer.clone();
    (mixed.timestamp.version, mixed.snapshot.version) = (3, 1);
    refused(&floor, &mixed, "timestamp.json", "rollback detected for snapshot");
    let mut mixed = newer.clone();
    (mixed.timestamp.version, mixed.snapshot.version, mixed.targets.version) = (3, 3, 1);
    refused(&floor, &mixed, "3.snapshot.json", "rollback detected for targets.json");
    let mut mixed = newer;
    (mixed.timestamp.version, mixed.snapshot.version) = (3, 3);
    mixed.edit = |role, signed| {
        if role == "snapshot" {
            signed["meta"] = json!({"other.json": {"version": 9}});
        }
    };
    refused(&floor, &mixed, "3.snapshot.json", "removes targets.json");
}

/// What has expired in the meantime still says which versions there were.
#[test]
fn an_expired_floor_holds() {
    let mut newer = repository();
    newer.publish(TARGET, b"two");
    let root = repository().root_file();
    let target = TARGET.parse().unwrap();
    let empty = Metadata::new();
    newer.timestamp.expires = "2030-01-01T00:00:00Z".to_owned();
    let early: Timestamp = "2029-01-01T00:00:00Z".parse().unwrap();
    let start = Start { root: &root, kept: &empty, target: &target };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let floor = runtime.block_on(update(Box::new(Served(newer.files())), start, early));
    floor.target.unwrap();
    refused(&floor.metadata, &repository(), "timestamp.json", "rollback detected for timestamp");
    refused(&floor.metadata, &newer, "timestamp.json", "timestamp metadata expired at 2030-01-01");
}

#[test]
fn nothing_that_has_expired_is_believed() {
    // At the second itself they are worth nothing any more.
    let past = || "2030-06-01T00:00:00Z".to_owned();
    let mut last = repository();
    last.timestamp.expires = "2030-06-01T00:00:01Z".to_owned();
    fetch(&Metadata::new(), &last).target.unwrap();
    let none = Metadata::new();
    let expired = |edit: fn(&mut TufRepository, String), at: &str, why: &str| {
        let mut repository = repository();
        edit(&mut repository, past());
        refused(&none, &repository, at, why);
    };
    expired(
        |tuf, past| tuf.timestamp.expires = past,
        "timestamp.json",
        "timestamp metadata expired",
    );
    expired(
        |tuf, past| tuf.snapshot.expires = past,
        "1.snapshot.json",
        "snapshot metadata expired",
    );
    expired(|tuf, past| tuf.targets.expires = past, "1.targets.json", "targets metadata expired");
    let mut repository = repository();
    repository.rotate_root(&["root 4", "root 5"]);
    repository.root.expires = past();
    refused(&none, &repository, "2.root.json", "root metadata expired");
}

#[test]
fn signatures_count_by_key_and_by_who_may_sign() {
    let none = Metadata::new();
    let signed_by = |signers: &[&str], why: &str| {
        let mut repository = repository();
        repository.timestamp.keys = ["a", "b"].map(str::to_owned).to_vec();
        repository.timestamp.threshold = 2;
        repository.timestamp.signers = signers.iter().map(|&label| label.to_owned()).collect();
        let root = repository.root_file();
        let error = fetch_files(&root, &none, repository.files()).target.unwrap_err();
        assert!(matches!(&error, UpdateError::Refused { asked, .. } if asked == "timestamp.json"));
        assert!(text(&error).contains(why), "{signers:?}: {}", text(&error));
    };
    signed_by(&[], "not met for role timestamp: 0/2");
    signed_by(&["a"], "not met for role timestamp: 1/2");
    signed_by(&["a", "stranger", "other"], "not met for role timestamp: 1/2");
    signed_by(&["ec targets", "root 2"], "not met for role timestamp: 0/2");
    signed_by(&["a", "a"], "duplicate signature key id a");
    let mut forged = repository();
    forged.aliases = BTreeMap::from([("online".to_owned(), "stranger".to_owned())]);
    let root = repository().root_file();
    let error = fetch_files(&root, &none, forged.files()).target.unwrap_err();
    assert!(text(&error).contains("not met for role timestamp: 0/1"), "{}", text(&error));
}

#[test]
fn one_key_under_two_names_is_one() {
    let mut repository = repository();
    repository.timestamp.keys = ["a", "b"].map(str::to_owned).to_vec();
    repository.timestamp.signers = repository.timestamp.keys.clone();
    repository.timestamp.threshold = 2;
    repository.aliases = BTreeMap::from([("b".to_owned(), "a".to_owned())]);
    let root = repository.root_file();
    let error = fetch_files(&root, &Metadata::new(), repository.files()).target.unwrap_err();
    assert!(matches!(error, UpdateError::Start(_)), "{}", text(&error));
    assert!(text(&error).contains("are one key"), "{}", text(&error));
    let mut rotated = self::repository();
    rotated.rotate_root(&["root 4", "root 5"]);
    rotated.aliases = BTreeMap::from([("root 5".to_owned(), "root 4".to_owned())]);
    refused(&Metadata::new(), &rotated, "2.root.json", "are one key");
}

#[test]
fn a_root_follows_from_the_one_before() {
    let none = Metadata::new();
    let rotated = |edit: fn(&mut TufRepository), at: &str, why: &str| {
        let mut repository = repository();
        repository.rotate_root(&["root 4", "root 5"]);
        edit(&mut repository);
        refused(&none, &repository, at, why);
    };
    let own = |tuf: &mut TufRepository| tuf.root.signers = tuf.root.keys.clone();
    rotated(own, "2.root.json", "not met for role root: 0/2");
    let former =
        |tuf: &mut TufRepository| tuf.root.signers.retain(|label| !tuf.root.keys.contains(label));
    rotated(former, "2.root.json", "not met for role root: 0/2");
    let skipping = |tuf: &mut TufRepository| {
        tuf.edit = |role, signed| {
            if role == "root" {
                signed["version"] = json!(3);
            }
        }
    };
    rotated(skipping, "2.root.json", "must increment by one");
    let none_needed = |tuf: &mut TufRepository| tuf.root.threshold = 0;
    rotated(none_needed, "2.root.json", "threshold 0");
}

/// Those who had the keys before cannot hide that they have them no more.
#[test]
fn a_new_root_is_kept_even_if_nothing_else_can_be_had() {
    let mut repository = repository();
    let floor = kept(&repository);
    repository.rotate_root(&["root 4", "root 5"]);
    let mut files = repository.files();
    files.remove("timestamp.json");
    let ended = fetch_files(&self::repository().root_file(), &floor, files);
    let error = ended.target.unwrap_err();
    assert!(matches!(&error, UpdateError::Unreachable { asked, .. } if asked == "timestamp.json"));
    assert_eq!(versions(&ended.metadata)[0], ("root", 2));
    assert_eq!(versions(&fetch(&ended.metadata, &self::repository()).metadata)[0], ("root", 2));
}

#[test]
fn kept_roots_follow_from_the_start() {
    let mut repository = repository();
    repository.rotate_root(&["root 4", "root 5"]);
    let floor = kept(&repository);
    let mut other = self::repository();
    other.root.keys = ["x", "y"].map(str::to_owned).to_vec();
    other.root.signers = other.root.keys.clone();
    let error = fetch_files(&other.root_file(), &floor, repository.files()).target.unwrap_err();
    assert!(matches!(error, UpdateError::Kept { kept: 2, reached: 1 }), "{}", text(&error));
    for bad in [
        b"".as_slice(),
        b"{}",
        b"{\"signed\":{},\"signed\":{}}",
        &repository.files()["timestamp.json"],
    ] {
        let error = fetch_files(bad, &Metadata::new(), repository.files()).target.unwrap_err();
        assert!(matches!(error, UpdateError::Start(_)), "{}", text(&error));
    }
}

/// Programs of two versions share what is kept, and the older one starts further back.
#[test]
fn an_earlier_start_leads_to_what_is_kept() {
    let mut repository = repository();
    let first = repository.root_file();
    repository.rotate_root(&["root 4", "root 5"]);
    let second = repository.root_file();
    repository.rotate_root(&["root 6", "root 7"]);
    let late = fetch_files(&second, &Metadata::new(), repository.files());
    late.target.unwrap();
    let mut floor = late.metadata;
    floor.retain(|name, _| name != "root_history/2.root.json");
    let ended = fetch_files(&first, &floor, repository.files());
    assert_eq!(ended.target.unwrap(), b"one");
    assert_eq!(versions(&ended.metadata)[0], ("root", 3));
    let refuses = |files: BTreeMap<String, Vec<u8>>, reached: u64| {
        let ended = fetch_files(&first, &floor, files);
        let error = ended.target.unwrap_err();
        let seen =
            matches!(error, UpdateError::Kept { kept: 3, reached: found } if found == reached);
        assert!(seen, "{}", text(&error));
        assert_eq!(ended.metadata, floor);
    };
    let mut files = repository.files();
    files.remove("2.root.json");
    refuses(files, 1);
    let mut files = repository.files();
    files.remove("3.root.json");
    refuses(files, 2);
    let mut other = repository.clone();
    other.root.expires = "2089-01-01T00:00:00Z".to_owned();
    refuses(other.files(), 3);
}

#[test]
fn a_file_is_what_the_one_above_says() {
    let none = Metadata::new();
    let swapped = |name: &str, at: &str, change: &dyn Fn(&mut Vec<u8>), why: &str| {
        let mut files = repository().files();
        let file = files.iter_mut().find(|(path, _)| path.ends_with(name)).unwrap();
        change(file.1);
        let error = fetch_files(&repository().root_file(), &none, files).target.unwrap_err();
        assert!(
            matches!(&error, UpdateError::Refused { asked, .. } if asked.ends_with(at)),
            "{error:?}"
        );
        assert!(text(&error).contains(why), "{name}: {}", text(&error));
    };
    let longer = |bytes: &mut Vec<u8>| bytes.push(b' ');
    let other = |bytes: &mut Vec<u8>| {
        *bytes = String::from_utf8_lossy(bytes).replace('1', "2").into_bytes()
    };
    swapped("snapshot.json", "snapshot.json", &longer, "snapshot.json: length");
    swapped("snapshot.json", "snapshot.json", &other, "snapshot.json: sha256 mismatch");
    swapped("targets.json", "targets.json", &longer, "targets.json: length");
    swapped("targets.json", "targets.json", &other, "targets.json: sha256 mismatch");
    swapped(TARGET, TARGET, &|bytes| *bytes = b"eno".to_vec(), "sha256 mismatch");
    swapped(TARGET, TARGET, &|bytes| *bytes = b"o".to_vec(), "length 1 != pinned 3");
    swapped("timestamp.json", "timestamp.json", &|bytes| bytes.truncate(40), "no strict JSON");
    let twice = |bytes: &mut Vec<u8>| {
        *bytes = String::from_utf8_lossy(bytes)
            .replacen("\"version\"", "\"version\":9,\"version\"", 1)
            .into_bytes();
    };
    swapped("timestamp.json", "timestamp.json", &twice, "no strict JSON");
    let versions = |role: &'static str, at: &str, why: &str| {
        let mut repository = repository();
        repository.edit = match role {
            "snapshot" => |role, signed| {
                if role == "snapshot" {
                    signed["version"] = json!(7)
                }
            },
            _ => |role, signed| {
                if role == "targets" {
                    signed["version"] = json!(7)
                }
            },
        };
        refused(&Metadata::new(), &repository, at, why);
    };
    versions("snapshot", "snapshot.json", "snapshot version 7 does not match");
    versions("targets", "targets.json", "targets.json version 7 does not match");
}

#[test]
fn a_target_is_of_bounded_length_and_has_a_strong_hash() {
    let none = Metadata::new();
    let edited = |edit: fn(&str, &mut Value), at: &str, why: &str| {
        let repository = TufRepository { edit, ..repository() };
        refused(&none, &repository, at, why);
    };
    edited(
        |role, signed| {
            if role == "targets" {
                signed["targets"][TARGET]["length"] = json!(1_048_577)
            }
        },
        "1.targets.json",
        "exceeds configured max 1048576",
    );
    edited(
        |role, signed| {
            if role == "targets" {
                signed["targets"][TARGET]["hashes"] = json!({})
            }
        },
        "1.targets.json",
        "no hash to locate",
    );
    edited(
        |role, signed| {
            if role == "targets" {
                signed["targets"][TARGET]["hashes"] = json!({"sha256": "../../../../etc/x"});
            }
        },
        TARGET,
        "is no path of a target",
    );
    let mut files = repository().files();
    files.insert("timestamp.json".to_owned(), vec![b' '; 16 * 1024 + 1]);
    let error = fetch_files(&repository().root_file(), &none, files).target.unwrap_err();
    assert!(matches!(&error, UpdateError::Unreachable { asked, .. } if asked == "timestamp.json"));
}

#[test]
fn a_target_that_nobody_names_is_told() {
    let repository = TufRepository::new("other.json", b"one");
    let error = fetch_files(&repository.root_file(), &Metadata::new(), repository.files());
    let error = error.target.unwrap_err();
    assert!(matches!(error, UpdateError::NoTarget { .. }), "{}", text(&error));
}

#[test]
fn there_are_not_more_roots_than_anybody_makes() {
    let mut repository = repository();
    for _ in 0..NEW_ROOTS_MAX {
        repository.rotate_root(&["root 2", "root 3"]);
    }
    let error = fetch(&Metadata::new(), &repository).target.unwrap_err();
    assert!(text(&error).contains("exceeded 64 root rotations"), "{}", text(&error));
}

/// A role below the targets may speak for what it was given, and for nothing else.
#[test]
fn a_delegation_speaks_for_its_paths() {
    let mut repository = TufRepository::new("other.json", b"one");
    repository.edit = |role, signed| match role {
        "snapshot" => signed["meta"]["../other.json"] = json!({"version": 1}),
        "targets" => {
            signed["delegations"] = json!({
                "keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}},
                "roles": [{
                    "name": "../other", "keyids": ["k"], "threshold": 1, "terminating": false,
                    "paths": ["*.json"],
                }],
            });
        }
        _ => {}
    };
    let error = fetch_files(&repository.root_file(), &Metadata::new(), repository.files());
    let error = error.target.unwrap_err();
    // The name leads nowhere: it is one file in one directory, which is not there.
    assert!(
        matches!(&error, UpdateError::Unreachable { asked, .. } if asked == "1...%2Fother.json"),
        "{error:?}"
    );
}

/// Says nothing, ever.
struct Silent;

impl Repository for Silent {
    fn fetch_metadata<'a>(&'a self, _name: &'a str, _max_length: u64) -> FetchFuture<'a> {
        Box::pin(std::future::pending())
    }

    fn fetch_target<'a>(&'a self, _path: &'a str, _max_length: u64) -> FetchFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn an_update_ends_in_time() {
    let root = repository().root_file();
    let floor = kept(&repository());
    let target = TARGET.parse().unwrap();
    let start = Start { root: &root, kept: &floor, target: &target };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(update_within(0, Box::new(Silent), start, now()));
    let error = ended.target.unwrap_err();
    let seen = matches!(&error, UpdateError::Slow { asked, seconds: 0 } if asked == "2.root.json");
    assert!(seen, "{}", text(&error));
    assert_eq!(versions(&ended.metadata), versions(&floor));
}
