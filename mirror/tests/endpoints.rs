//! Endpoints that are down, refuse, break, or lack the bucket: the right kind, and the other
//! destination is complete.

use bonded_mirror::{
    Destination, FaultKind, Ledger, Locality, MarkerOutcome, MirrorError, apply, observe, status,
};

use crate::memory::{Cloud, Survive};
use crate::s3;
use crate::verified::{RELEASE, World};
use crate::world::{desired, planned};

async fn check(broken: &Destination, expected: FaultKind) {
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let home = tempfile::tempdir().unwrap();
    let destinations = [s3::directory("disk", home.path()), broken.clone()];
    let ledger = Ledger::open(&world.store).unwrap();

    let error = observe(broken, &desired.projects()).await.unwrap_err();
    let MirrorError::Destination { at, fault } = &error else { panic!("{error}") };
    assert_eq!((fault.kind, at.locality), (expected, Locality::Remote), "{error}: {fault:?}");
    assert!(error.is_remote());
    assert!(error.to_string().contains("broken") && error.to_string().contains("127.0.0.1"));

    let plan = planned(&desired, &destinations, &ledger).await;
    let report = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap();
    assert!(report.failed());
    let [there, here] = report.destinations.as_slice() else { panic!("{report:#?}") };
    assert!(!there.observed && here.failures.is_empty());
    assert_eq!(here.complete.len(), 1);
    let withheld = MarkerOutcome::Withheld { moved: 0, waiting_for: vec!["broken".into()] };
    assert_eq!(here.markers, withheld);
    assert!(home.path().join("demo/release/v1.2.3/README.md").exists());
    assert!(home.path().join("demo/releases.json").exists());
    assert!(!home.path().join("demo/stable.txt").exists());

    let statuses = status(&desired, &destinations, &ledger.known()).await;
    let contents = statuses[0].contents.as_ref().unwrap();
    assert!(contents.releases.values().all(|release| release.is_complete()), "{contents:?}");
    assert!(contents.markers.iter().all(|marker| marker.points_to.is_none()));
    assert!(statuses[1].contents.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_unreachable() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    check(&s3::bucket(&endpoint, "broken", "s3://bucket"), FaultKind::Unreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_forbids_refuses() {
    for status in ["403 Forbidden", "401 Unauthorized"] {
        let server = s3::always(status).await;
        check(&s3::bucket(&server.endpoint, "broken", "s3://bucket"), FaultKind::Refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_breaks_is_a_server_error() {
    for status in ["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"] {
        let server = s3::always(status).await;
        check(&s3::bucket(&server.endpoint, "broken", "s3://bucket"), FaultKind::Server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_does_not_exist_is_named_as_that() {
    let home = tempfile::tempdir().unwrap();
    let server = s3::serve(home.path()).await;
    check(&s3::bucket(&server.endpoint, "broken", "s3://bucket"), FaultKind::NoSuchBucket).await;
}

#[tokio::test]
async fn an_answer_that_is_no_s3_is_not_an_empty_bucket() {
    // The client reads a listing out of any XML; that the list of releases is none gives it away.
    let server = s3::always("200 OK").await;
    let broken = s3::bucket(&server.endpoint, "broken", "s3://bucket");
    let error = observe(&broken, &["demo".parse().unwrap()].into()).await.unwrap_err();
    assert!(matches!(error, MirrorError::Foreign { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_by_a_real_server() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("bucket")).unwrap();
    let server = s3::serve(home.path()).await;
    let anonymous = s3::anonymous(&server.endpoint, "broken", "s3://bucket");
    check(&anonymous, FaultKind::Refused).await;
}

#[tokio::test]
async fn a_destination_that_breaks_in_the_middle_does_not_stop_the_other() {
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("bucket")).unwrap();
    let server = s3::serve(home.path()).await;
    let cloud = Cloud::default();
    let bucket = s3::bucket(&server.endpoint, "broken", "s3://bucket");
    let destinations = [cloud.destination("a"), bucket];
    let ledger = cloud.ledger(Survive::Appended);
    let plan = planned(&desired, &destinations, &ledger).await;
    drop(server); // between the plan and its run
    let report = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap();
    let [a, broken] = report.destinations.as_slice() else { panic!("{report:#?}") };
    assert!(a.failures.is_empty() && a.complete.len() == 1);
    assert!(broken.complete.is_empty() && broken.counts.skipped > 0);
    for failure in &broken.failures {
        let MirrorError::Destination { fault, .. } = &failure.error else { panic!("{failure:?}") };
        assert_eq!(fault.kind, FaultKind::Unreachable);
    }
    assert!(!cloud.tree("a").contains_key("demo/stable.txt"));
}
