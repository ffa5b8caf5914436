//! Whole runs: to a directory and a bucket at once, again, with conflicts, of images.

use bonded_mirror::{
    Action, Class, Desired, Ledger, MarkerOutcome, MirrorError, Side, apply, observe, status,
};
use bonded_model::{Digest, inventory};

use crate::memory::{Cloud, Survive};
use crate::s3;
use crate::verified::image::Image;
use crate::verified::{RELEASE, World, small_release};
use crate::world::{desired, files, mirrored, planned, violations};

/// Above two parts, so that it travels in three.
const HUGE_BYTES: usize = 17 * 1024 * 1024 + 5;

fn huge() -> Vec<u8> {
    (0..HUGE_BYTES).map(|at| (at % 241).to_le_bytes()[0]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_a_bucket_get_the_same_tree_from_one_read() {
    let world = World::new();
    world.ingest("demo@v2.0.0", &[("huge", huge()), ("bin/same", b"# demo\n".to_vec())]);
    let desired = desired(&world, &[RELEASE, "demo@v2.0.0"]);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("s3/bucket")).unwrap();
    let server = s3::serve(&home.path().join("s3")).await;
    let destinations = [
        s3::directory("disk", &home.path().join("disk")),
        s3::bucket(&server.endpoint, "bucket", "s3://bucket/pub"),
    ];
    let ledger = Ledger::open(&world.store).unwrap();
    let report = mirrored(&desired, &destinations, &ledger).await;
    assert!(!report.failed(), "{report:#?}");

    let disk = files(&home.path().join("disk"));
    let bucket = files(&home.path().join("s3/bucket/pub"));
    assert_eq!(disk.keys().collect::<Vec<_>>(), bucket.keys().collect::<Vec<_>>());
    assert!(disk == bucket);
    assert_eq!(&disk["demo/stable.txt"][..], b"v2.0.0");
    assert_eq!(&disk["demo/latest-1.2.txt"][..], b"v1.2.3");
    assert_eq!(
        disk["demo/release/v1.2.3/bin/linux amd64/<demo> & 'co'"].len(),
        3 * 1024 * 1024 + 17
    );
    assert_eq!(violations(&[("disk".to_owned(), disk)].into()), Vec::<String>::new());

    // Equal content is one object of the source, whatever its names and however many take it.
    let mut unique: Vec<(Digest, u64)> = desired
        .objects()
        .filter(|object| object.class < Class::Barrier)
        .map(|object| (object.digest, object.size))
        .collect();
    unique.sort();
    unique.dedup();
    assert_eq!(report.source_bytes, unique.iter().map(|(_, size)| size).sum::<u64>());
    for one in &report.destinations {
        assert_eq!(one.complete.len(), 2);
        assert_eq!(one.counts.written, one.counts.verified);
        assert!(matches!(one.markers, MarkerOutcome::Moved(_)), "{:?}", one.markers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_does_nothing_and_a_third_reads_back_only_what_changed() {
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let home = tempfile::tempdir().unwrap();
    let destinations = [s3::directory("disk", home.path())];
    let ledger = Ledger::open(&world.store).unwrap();
    assert!(!mirrored(&desired, &destinations, &ledger).await.failed());
    drop(ledger);
    let ledger = Ledger::open(&world.store).unwrap();
    assert!(planned(&desired, &destinations, &ledger).await.is_empty());

    // Somebody writes other bytes of the same length: the etag says that it is not what was read.
    std::fs::write(home.path().join("demo/release/v1.2.3/README.md"), "# demO\n").unwrap();
    let plan = planned(&desired, &destinations, &ledger).await;
    let [step] = plan.destinations[0].steps.as_slice() else { panic!("{plan:#?}") };
    assert_eq!((step.action, step.class), (Action::Verify, Class::Barrier));
    let report = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap();
    let [failure] = report.destinations[0].failures.as_slice() else { panic!("{report:#?}") };
    assert!(matches!(failure.error, MirrorError::Differs { .. }), "{}", failure.error);
}

#[tokio::test]
async fn releases_are_added_to_what_a_destination_lists() {
    let world = World::new();
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a"), cloud.destination("b")];
    let ledger = cloud.ledger(Survive::Appended);
    assert!(!mirrored(&desired(&world, &[RELEASE]), &destinations, &ledger).await.failed());
    world.ingest("demo@v1.3.0-rc.1", &small_release());
    let next = desired(&world, &["demo@v1.3.0-rc.1"]);
    assert!(!mirrored(&next, &destinations, &ledger).await.failed());
    let tree = cloud.tree("a");
    assert_eq!(tree, cloud.tree("b"));
    assert_eq!(&tree["demo/stable.txt"][..], b"v1.2.3");
    assert_eq!(&tree["demo/latest.txt"][..], b"v1.3.0-rc.1");
    assert_eq!(cloud.violations(), Vec::<String>::new());

    // The list is the very one that a server writes for the same releases.
    let verified = [RELEASE, "demo@v1.3.0-rc.1"].map(|release| world.verified(release).1);
    let entries = verified.each_ref().map(|verified| inventory::Entry {
        release: verified.get(),
        admission: inventory::Admission {
            policy: verified.verdict().policy_digest(),
            trust_root: verified.verdict().trust_root_digest(),
            evidence: verified.verdict().evidence_digest(),
        },
    });
    let expected = inventory::releases_json(&"demo".parse().unwrap(), &entries);
    assert_eq!(&tree["demo/releases.json"][..], expected);
}

#[tokio::test]
async fn other_bytes_under_a_published_name_are_refused_and_stay() {
    let key = "demo/release/v1.2.3/README.md";
    for (there, same_size) in [(b"# demO\n".as_slice(), true), (b"# other size\n", false)] {
        let world = World::new();
        world.ingest("demo@v2.0.0", &small_release());
        let desired = desired(&world, &[RELEASE, "demo@v2.0.0"]);
        let cloud = Cloud::default();
        cloud.insert("a", key, there);
        let destinations = [cloud.destination("a"), cloud.destination("b")];
        let ledger = cloud.ledger(Survive::Appended);
        let plan = planned(&desired, &destinations, &ledger).await;
        assert_eq!(plan.conflicts().count(), usize::from(!same_size));
        let report = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap();
        let [failure] = report.destinations[0].failures.as_slice() else { panic!("{report:#?}") };
        let MirrorError::Differs { at, key: named, expected, found } = &failure.error else {
            panic!("{}", failure.error)
        };
        assert_eq!((at.name.as_str(), named.as_str()), ("a", key));
        assert_eq!(*expected, Digest::sha256_of(b"# demo\n"));
        assert_eq!(*found, Digest::sha256_of(there));
        assert!(matches!(failure.error.side(), Side::Destination(_)));

        let (a, b) = (cloud.tree("a"), cloud.tree("b"));
        assert_eq!(&a[key][..], there);
        assert!(!a.contains_key("demo/release/v1.2.3/.bonded/release.json"));
        // The other release and the other destination go on; markers wait for v1.2.3 nowhere.
        assert!(!report.destinations[1].failed());
        assert_eq!(
            (&a["demo/stable.txt"][..], &b["demo/stable.txt"][..]),
            (&b"v2.0.0"[..], &b"v2.0.0"[..])
        );
        assert!(!a.contains_key("demo/stable-1.txt") && !b.contains_key("demo/stable-1.txt"));
        assert_eq!(cloud.violations(), Vec::<String>::new());
        let statuses = status(&desired, &destinations, &ledger.known()).await;
        let conflicts = |at: usize| {
            let contents = statuses[at].contents.as_ref().unwrap();
            contents.releases[&RELEASE.parse().unwrap()].conflicts
        };
        assert_eq!((conflicts(0), conflicts(1)), (usize::from(!same_size), 0));
    }
}

#[tokio::test]
async fn another_release_under_a_published_version_is_refused() {
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a")];
    let ledger = cloud.ledger(Survive::Appended);
    let (first, second) = (World::new(), World::empty());
    second.ingest(RELEASE, &[("only", b"one".to_vec())]);
    assert!(!mirrored(&desired(&first, &[RELEASE]), &destinations, &ledger).await.failed());
    let before = cloud.tree("a");
    let report = mirrored(&desired(&second, &[RELEASE]), &destinations, &ledger).await;
    let other = report.failures().find_map(|(_, failure)| match &failure.error {
        MirrorError::ReleaseDiffers { expected, found, .. } => Some((*expected, *found)),
        _ => None,
    });
    let digest = |world: &World| world.verified(RELEASE).1.get().digest();
    assert_eq!(other, Some((digest(&second), digest(&first))));
    assert_eq!(cloud.tree("a"), before, "nothing was written");
}

#[tokio::test]
async fn a_damaged_source_blob_is_sent_nowhere_and_stops_nothing_else() {
    for (path, bytes) in [("small", b"small\n".to_vec()), ("huge", huge())] {
        let world = World::new();
        world.ingest("demo@v2.0.0", &[(path, bytes.clone())]);
        let desired = desired(&world, &[RELEASE, "demo@v2.0.0"]);
        world.corrupt(&Digest::sha256_of(&bytes));
        let cloud = Cloud::default();
        let destinations = [cloud.destination("a"), cloud.destination("b")];
        let report = mirrored(&desired, &destinations, &cloud.ledger(Survive::Appended)).await;
        for one in &report.destinations {
            let [failure] = one.failures.as_slice() else { panic!("{one:#?}") };
            assert!(matches!(failure.error, MirrorError::Source { .. }), "{}", failure.error);
            assert_eq!(failure.error.side(), Side::Source);
            assert!(one.complete.contains(&RELEASE.parse().unwrap()));
            let tree = cloud.tree(&one.name);
            assert!(!tree.contains_key(&format!("demo/release/v2.0.0/{path}")));
            assert_eq!(&tree["demo/stable.txt"][..], b"v1.2.3");
        }
        assert_eq!(cloud.violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_list_that_is_not_ours_is_not_replaced() {
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    cloud.insert("a", "demo/releases.json", b"{\"mine\":true}");
    let destination = cloud.destination("a");
    let refused = observe(&destination, &desired.projects()).await.unwrap_err();
    assert!(matches!(refused, MirrorError::Foreign { .. }), "{refused}");
}

#[tokio::test]
async fn many_conflicts_in_one_release_do_not_stop_another() {
    // Sixteen objects that were other than expected passed for a broken destination, and nothing
    // else went there. Only requests that the destination fails count now.
    let world = World::empty();
    let names: Vec<String> = (0..17).map(|at| format!("file-{at}")).collect();
    let bytes: Vec<(&str, Vec<u8>)> =
        names.iter().map(|n| (n.as_str(), n.clone().into())).collect();
    world.ingest(RELEASE, &bytes);
    world.ingest("demo@v2.0.0", &[("good", b"good\n".to_vec())]);
    let desired = desired(&world, &[RELEASE, "demo@v2.0.0"]);
    let cloud = Cloud::default();
    for name in &names {
        cloud.insert("a", &format!("demo/release/v1.2.3/{name}"), b"some other size");
    }
    let destinations = [cloud.destination("a")];
    let report = mirrored(&desired, &destinations, &cloud.ledger(Survive::Appended)).await;
    let [one] = report.destinations.as_slice() else { panic!("{report:#?}") };
    assert_eq!(one.failures.len(), 17);
    assert!(one.failures.iter().all(|it| matches!(it.error, MirrorError::Differs { .. })));
    assert_eq!(one.complete, ["demo@v2.0.0".parse().unwrap()].into());
    let withheld = MarkerOutcome::Withheld { moved: 6, waiting_for: vec!["a".into()] };
    assert_eq!(one.markers, withheld);
    let tree = cloud.tree("a");
    assert!(tree.contains_key("demo/release/v2.0.0/good"));
    assert_eq!(&tree["demo/stable.txt"][..], b"v2.0.0");
    assert_eq!(cloud.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_evidence_list_that_is_lost_or_altered_is_written_again() {
    // It was planned only where the list of releases had to change, and so stayed lost.
    let key = "demo/release/v1.2.3/.bonded/evidence.json";
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a")];
    let ledger = cloud.ledger(Survive::Appended);
    assert!(!mirrored(&desired, &destinations, &ledger).await.failed());
    let right = cloud.tree("a");
    let mut same_size = right[key].to_vec();
    same_size[0] = b' ';
    for there in [None, Some(b"{}".to_vec()), Some(same_size)] {
        cloud.remove("a", key);
        if let Some(bytes) = there {
            cloud.insert("a", key, bytes.leak());
        }
        let plan = planned(&desired, &destinations, &ledger).await;
        let [step] = plan.destinations[0].steps.as_slice() else { panic!("{plan:#?}") };
        assert_eq!((step.action, step.class), (Action::Replace, Class::EvidenceList));
        let looked = status(&desired, &destinations, &ledger.known()).await;
        let release = looked[0].contents.as_ref().unwrap().releases[&RELEASE.parse().unwrap()];
        assert!(!release.is_complete() && release.listed, "{release:?}");
        let report = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap();
        assert!(!report.failed(), "{report:#?}");
        assert!(cloud.tree("a") == right);
        assert!(planned(&desired, &destinations, &ledger).await.is_empty());
    }
}

/// The tree of one release of an image has the image's manifest at its path, and all its blobs among the
/// blobs, before the release is listed.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_arrives_whole() {
    let world = World::empty();
    let image = Image::multi("hello");
    world.hold_image("demo@v1.0.0", "example.com/hello:v1", &image);
    let desired = desired(&world, &["demo@v1.0.0"]);
    let home = tempfile::tempdir().unwrap();
    let destinations = [s3::directory("disk", home.path())];
    let ledger = Ledger::open(&world.store).unwrap();
    let steps = planned(&desired, &destinations, &ledger).await;
    let barrier = |key: &str| {
        let steps = &steps.destinations[0].steps;
        let at = |class| steps.iter().position(|one| one.key == key && one.class == class);
        (at(Class::Manifest).or(at(Class::Artifact)).unwrap(), at(Class::Barrier).unwrap())
    };
    let last_put = steps.destinations[0].steps.iter().filter(|one| one.class < Class::Barrier);
    let puts = last_put.count();
    for digest in image.blobs.keys() {
        let (put, read_back) = barrier(&format!("blobs/sha256/{}", digest.hex()));
        assert!(put < puts && puts <= read_back, "{digest}");
    }
    let report = mirrored(&desired, &destinations, &ledger).await;
    assert!(!report.failed(), "{report:#?}");
    let disk = files(home.path());
    for (digest, bytes) in &image.blobs {
        assert_eq!(&disk[&format!("blobs/sha256/{}", digest.hex())][..], bytes);
    }
    let path = "demo/release/v1.0.0/images/example.com/hello/v1";
    assert_eq!(&disk[path][..], image.top_bytes());
    assert_eq!(violations(&[("disk".to_owned(), disk)].into()), Vec::<String>::new());
    assert!(planned(&desired, &destinations, &ledger).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_whole_stays_here() {
    let image = Image::multi("hello");
    for digest in image.blobs.keys().filter(|digest| **digest != image.top.digest) {
        let world = World::empty();
        world.hold_image("demo@v1.0.0", "example.com/hello:v1", &image);
        let (snapshot, verified) = world.verified("demo@v1.0.0");
        world.corrupt(digest);
        let (desired, refused) = Desired::new(&snapshot, &[verified]);
        let home = tempfile::tempdir().unwrap();
        let destinations = [s3::directory("disk", home.path())];
        let ledger = Ledger::open(&world.store).unwrap();
        let report = mirrored(&desired, &destinations, &ledger).await;
        let is_refused = matches!(&refused[..], [(_, MirrorError::Store { .. })]);
        assert!(is_refused || report.failed(), "{digest}");
        assert!(!home.path().join("demo/releases.json").exists(), "{digest}");
    }
}
