//! What a plan gives no right to: plans that were saved, markers that wait, and what no verdict looked at.

use bonded_mirror::{
    Class, Desired, MarkerOutcome, MirrorError, Plan, PlanError, Side, apply, observe, plan, status,
};
use bonded_model::manifest::Manifest;
use bonded_model::{Descriptor, Digest, MediaType, Release, media_type};
use bonded_store::Snapshot;
use bonded_verify::Verified;

use crate::memory::{Cloud, Survive};
use crate::verified::image::Image;
use crate::verified::{RELEASE, World, small_release};
use crate::world::{desired, mirrored, planned};

const TEXT: &str = "text/plain";

#[tokio::test]
async fn a_required_destination_that_is_missing_holds_the_markers_back() {
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a"), cloud.destination("b")];
    let ledger = cloud.ledger(Survive::Appended);
    let seen = [observe(&destinations[0], &desired.projects()).await.unwrap()];
    let partial = plan(&desired, &destinations, &seen, &ledger.known());
    assert!(!partial.is_empty());
    let report = apply(&partial, &desired, &destinations, &ledger, &()).await.unwrap();
    assert!(report.failed());
    let withheld = MarkerOutcome::Withheld { moved: 0, waiting_for: vec!["b".into()] };
    assert_eq!(report.destinations[0].markers, withheld);
    assert!(!cloud.tree("a").contains_key("demo/stable.txt"));
    assert!(cloud.tree("a").contains_key("demo/releases.json"));
    assert!(!mirrored(&desired, &destinations, &ledger).await.failed());
    assert_eq!(cloud.tree("a"), cloud.tree("b"));
    assert_eq!(cloud.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_saved_plan_gives_no_rights() {
    let world = World::new();
    let full = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a")];
    let ledger = cloud.ledger(Survive::Appended);
    let saved = planned(&full, &destinations, &ledger).await;
    let text = String::from_utf8(saved.to_json()).unwrap();
    let digest = world.verified(RELEASE).1.get().digest().to_string();
    let other = Digest::sha256_of(b"other").to_string();
    let readme = Digest::sha256_of(b"# demo\n").to_string();
    let readme_step = saved.destinations[0]
        .steps
        .iter()
        .position(|step| step.class == Class::Barrier && step.key.ends_with("README.md"));
    let mut unread = saved.clone();
    unread.destinations[0].steps.remove(readme_step.unwrap());
    let unread = String::from_utf8(unread.to_json()).unwrap();
    type Expect = fn(&PlanError) -> bool;
    let cases: [(String, Expect); 7] = [
        (text.replace(&digest, &other), |e| matches!(e, PlanError::NotVerified { .. })),
        (text.replace(&readme, &other), |e| matches!(e, PlanError::Stale { .. })),
        (text.replace("v1.2.3/README.md", "v1.2.3/evil"), |e| matches!(e, PlanError::Stale { .. })),
        (
            text.replace(
                "README.md\",\"releases\":[\"demo@v1.2.3\"]",
                "README.md\",\"releases\":[]",
            ),
            |e| matches!(e, PlanError::Stale { .. }),
        ),
        (text.replace("demo/releases.json", "demo/other.json"), |e| {
            matches!(e, PlanError::Stale { .. })
        }),
        (text.replace("memory://a", "memory://x"), |e| matches!(e, PlanError::Destination { .. })),
        (unread, |e| matches!(e, PlanError::Unread { .. })),
    ];
    for (at, (text, expect)) in cases.into_iter().enumerate() {
        let forged = Plan::parse(text.as_bytes()).unwrap();
        let refused = apply(&forged, &full, &destinations, &ledger, &()).await.unwrap_err();
        assert!(matches!(&refused, MirrorError::Plan(e) if expect(e)), "case {at}: {refused}");
        assert_eq!(cloud.writes(), 0, "case {at}");
    }
    let again = Plan::parse(text.as_bytes()).unwrap();
    assert_eq!((again.digest(), &again), (saved.digest(), &saved));
    assert!(!apply(&again, &full, &destinations, &ledger, &()).await.unwrap().failed());
    // The same plan once more finds everything done and writes nothing.
    let writes = cloud.writes();
    let report = apply(&again, &full, &destinations, &ledger, &()).await.unwrap();
    assert!(!report.failed(), "{report:#?}");
    assert_eq!((cloud.writes(), report.source_bytes), (writes, 0));
}

#[test]
fn plans_with_unknown_fields_or_another_version_are_refused() {
    let empty = r#"{"destinations":[],"releases":{},"version":1}"#;
    assert!(Plan::parse(empty.as_bytes()).is_ok());
    for text in [
        "",
        "[]",
        r#"{"destinations":[],"releases":{},"version":1,"more":1}"#,
        r#"{"destinations":[],"releases":{}}"#,
        r#"{"destinations":[],"releases":{},"version":1}x"#,
        r#"{"destinations":[],"releases":{"demo":"sha256:00"},"version":1}"#,
    ] {
        assert!(matches!(Plan::parse(text.as_bytes()), Err(PlanError::Json(_))), "{text}");
    }
    let newer = empty.replace("1}", "2}");
    assert!(matches!(Plan::parse(newer.as_bytes()), Err(PlanError::Version { found: 2 })));
}

#[test]
fn evidence_or_bytes_that_no_verdict_looked_at_are_refused() {
    // One such release kept all others here as well.
    let check = |snapshot: &Snapshot, verified: &[Verified<Release>], others: &[&str]| {
        let (desired, refused) = Desired::new(snapshot, verified);
        let named: Vec<String> = desired.releases().keys().map(ToString::to_string).collect();
        assert_eq!(named, others);
        let left = desired.objects().find(|it| it.releases.contains(&RELEASE.parse().unwrap()));
        assert_eq!(left, None, "nothing of a refused release is left");
        let [(name, error)] = <[_; 1]>::try_from(refused).unwrap();
        assert_eq!(name.to_string(), RELEASE);
        assert_eq!(error.side(), Side::Source);
        error
    };
    let world = World::new();
    world.ingest("demo@v2.0.0", &[("good", b"good\n".to_vec())]);
    let both = [world.verified(RELEASE).1, world.verified("demo@v2.0.0").1];
    world.attach_note(RELEASE);
    let error = check(&world.store.snapshot().unwrap(), &both, &["demo@v2.0.0"]);
    assert!(matches!(error, MirrorError::EvidenceChanged { .. }), "{error}");
    let [verified, _] = both;
    let other = World::empty();
    other.ingest(RELEASE, &[("only", b"one".to_vec())]);
    let error = check(&other.store.snapshot().unwrap(), std::slice::from_ref(&verified), &[]);
    assert!(matches!(error, MirrorError::ReleaseChanged { .. }), "{error}");
    let error = check(&World::empty().store.snapshot().unwrap(), &[verified], &[]);
    assert!(matches!(error, MirrorError::Store { .. }), "{error}");
}

#[tokio::test]
async fn a_saved_plan_does_not_list_what_went_or_changed_since() {
    // What the journal knew as read back had no step, and was listed without another look.
    let readme = "demo/release/v1.2.3/README.md";
    for (there, complete) in
        [(None, false), (Some(&b"# demO\n"[..]), false), (Some(b"# demo\n"), true)]
    {
        let world = World::new();
        let desired = desired(&world, &[RELEASE]);
        let cloud = Cloud::default();
        let destinations = [cloud.destination("a")];
        let ledger = cloud.ledger(Survive::Appended);
        assert!(!mirrored(&desired, &destinations, &ledger).await.failed());
        cloud.remove("a", "demo/releases.json");
        cloud.remove("a", "demo/release/v1.2.3/.bonded/evidence.json");
        let saved = planned(&desired, &destinations, &ledger).await;
        let steps = &saved.destinations[0].steps;
        assert!(steps.iter().all(|step| step.key != readme), "{saved:#?}");

        cloud.remove("a", readme);
        if let Some(bytes) = there {
            cloud.insert("a", readme, bytes);
        }
        let report = apply(&saved, &desired, &destinations, &ledger, &()).await.unwrap();
        let listed = cloud.tree("a").contains_key("demo/releases.json");
        assert_eq!((listed, report.failed()), (complete, !complete), "{report:#?}");
        for (_, failure) in report.failures() {
            let as_expected = match there {
                None => matches!(failure.error, MirrorError::Lost { .. }),
                Some(_) => matches!(failure.error, MirrorError::Differs { .. }),
            };
            assert!(as_expected && failure.key == readme, "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_saved_plan_cannot_make_markers_wait_for_less() {
    // The plan's own word on who is required was taken, so that an edited plan, or one with a
    // destination less, moved markers that had to wait.
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    let destinations = [cloud.destination("a"), cloud.destination("b")];
    let ledger = cloud.ledger(Survive::Appended);
    let saved = planned(&desired, &destinations, &ledger).await;
    let change = |change: fn(&mut Plan)| {
        let mut plan = saved.clone();
        change(&mut plan);
        plan
    };
    type Expect = fn(&PlanError) -> bool;
    let cases: [(Plan, Expect); 4] = [
        (
            change(|plan| plan.destinations[1].required = false),
            |e| matches!(e, PlanError::Required { name, planned: false } if name == "b"),
        ),
        (
            change(|plan| plan.destinations.truncate(1)),
            |e| matches!(e, PlanError::LeftOut { name } if name == "b"),
        ),
        (
            change(|plan| plan.destinations.clear()),
            |e| matches!(e, PlanError::LeftOut { name } if name == "a"),
        ),
        (
            change(|plan| plan.destinations[1] = plan.destinations[0].clone()),
            |e| matches!(e, PlanError::Twice { name } if name == "a"),
        ),
    ];
    for (at, (plan, expect)) in cases.into_iter().enumerate() {
        let refused = apply(&plan, &desired, &destinations, &ledger, &()).await.unwrap_err();
        assert!(matches!(&refused, MirrorError::Plan(e) if expect(e)), "case {at}: {refused}");
        assert_eq!(cloud.writes(), 0, "case {at}");
    }
    let [a, b] = destinations;
    let refused = apply(&saved, &desired, &[a, b.watched()], &ledger, &()).await.unwrap_err();
    let watched = |e: &PlanError| matches!(e, PlanError::Watched { name } if name == "b");
    assert!(matches!(&refused, MirrorError::Plan(e) if watched(e)), "{refused}");
    assert_eq!(cloud.writes(), 0);
}

#[tokio::test]
async fn markers_wait_for_a_required_destination_that_is_only_looked_at() {
    // A run for one destination moved its markers although another required one lacked the release.
    let world = World::new();
    let desired = desired(&world, &[RELEASE]);
    let cloud = Cloud::default();
    let (eu, us) = (cloud.destination("eu"), cloud.destination("us"));
    let ledger = cloud.ledger(Survive::Appended);
    let only_eu = [eu.clone(), us.clone().watched()];
    let report = mirrored(&desired, &only_eu, &ledger).await;
    assert!(!report.failed(), "{report:#?}");
    assert_eq!(
        (report.destinations[0].complete.len(), report.destinations[1].complete.len()),
        (1, 0)
    );
    let withheld = MarkerOutcome::Withheld { moved: 0, waiting_for: vec!["us".into()] };
    assert_eq!(report.destinations[0].markers, withheld);
    assert!(cloud.tree("eu").contains_key("demo/releases.json"));
    assert!(!cloud.tree("eu").contains_key("demo/stable.txt"));
    assert!(cloud.tree("us").is_empty(), "nothing is written where one only looks");
    assert_eq!(cloud.violations(), Vec::<String>::new());

    assert!(!mirrored(&desired, &[eu.clone().watched(), us], &ledger).await.failed());
    assert!(cloud.tree("us").contains_key("demo/stable.txt"));
    let report = mirrored(&desired, &only_eu, &ledger).await;
    assert!(matches!(report.destinations[0].markers, MarkerOutcome::Moved(_)), "{report:#?}");
    assert!(cloud.tree("eu") == cloud.tree("us"));
    assert_eq!(cloud.violations(), Vec::<String>::new());

    // How it stands is told of each destination alike.
    let looked = status(&desired, &[cloud.destination("new").watched()], &ledger.known()).await;
    let contents = looked[0].contents.as_ref().unwrap();
    assert!(contents.releases.values().all(|release| !release.listed && release.missing > 0));
}

/// Markers moved to a release of which the same run had just found an object altered, since every
/// required destination listed it. What is found broken now counts for less than a list.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_does_not_move_to_what_this_run_found_altered() {
    let world = World::new();
    let cloud = Cloud::default();
    let ledger = cloud.ledger(Survive::Appended);
    let both = || [cloud.destination("a"), cloud.destination("b")];
    assert!(!mirrored(&desired(&world, &[RELEASE]), &both(), &ledger).await.failed());
    world.ingest("demo@v2.0.0", &small_release());
    let desired = desired(&world, &[RELEASE, "demo@v2.0.0"]);
    let only_a = [cloud.destination("a"), cloud.destination("b").watched()];
    mirrored(&desired, &only_a, &ledger).await;
    assert_eq!(&cloud.tree("a")["demo/stable.txt"][..], b"v1.2.3", "b does not have it yet");

    cloud.insert("a", "demo/release/v2.0.0/README.md", b"# demO\n");
    let report = mirrored(&desired, &both(), &ledger).await;
    assert!(matches!(report.destinations[0].failures[0].error, MirrorError::Differs { .. }));
    assert!(!report.destinations[1].failed(), "{report:#?}");
    for name in ["a", "b"] {
        assert_eq!(&cloud.tree(name)["demo/stable.txt"][..], b"v1.2.3", "{name}");
    }
}

/// What an import brought about a file or an image of a release was never judged.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_verdict_looked_at_stays_here() {
    let world = World::new();
    let release = world.store.snapshot().unwrap().release(&RELEASE.parse().unwrap()).unwrap();
    let subject = release.artifacts()[0].manifest.clone();
    let mut without_layers = Manifest::artifact(TEXT.parse().unwrap(), Descriptor::empty());
    without_layers.layers.clear();
    without_layers.subject = Some(subject.clone());
    without_layers.annotations.insert("text".into(), "<script>".into());
    let without_layers = without_layers.to_bytes();
    let top = Descriptor::of(MediaType::known(media_type::OCI_MANIFEST), &without_layers);
    let strangers = [
        Image { blobs: [(top.digest, without_layers)].into(), top },
        Image::referrer(&subject, TEXT, b"a stranger's"),
        Image::multi("an index"),
    ];
    for stranger in &strangers {
        world.hold_referrer(&subject.digest, stranger);
    }
    let desired = desired(&world, &[RELEASE]);
    let digests: Vec<_> = desired.objects().map(|object| object.digest).collect();
    for stranger in &strangers {
        assert!(!digests.contains(&stranger.top.digest), "{stranger:?}");
    }
    let evidence = world.store.snapshot().unwrap().evidence_referrers(release.name()).unwrap();
    assert!(!evidence.is_empty());
    assert!(evidence.iter().all(|referrer| digests.contains(&referrer.digest)));
}
