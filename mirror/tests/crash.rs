//! Kills and failures at every call that changes something, then a second run.

use bonded_mirror::{Desired, Destination, apply};

use crate::memory::{Blow, Cloud, Survive, Tree};
use crate::verified::{Files, RELEASE, World};
use crate::world::{desired, mirrored, planned};

const NEXT: &str = "demo@v1.3.0";

/// What is published before the fuse is lit, what is published then, and how that ends.
struct Story {
    published: Cloud,
    both: Desired,
    end: Tree,
    writes: usize,
    calls: usize,
    _world: World,
}

impl Story {
    /// A release that is everywhere, and another one with these files.
    async fn new(files: Files<'_>) -> Self {
        let world = World::empty();
        world.ingest(RELEASE, &[("same", b"same".to_vec())]);
        world.ingest(NEXT, files);
        let published = Cloud::default();
        let destinations = ["a", "b"].map(|name| published.destination(name));
        let ledger = published.ledger(Survive::Appended);
        let first = desired(&world, &[RELEASE]);
        assert!(!mirrored(&first, &destinations, &ledger).await.failed());
        published.mend();
        let both = desired(&world, &[RELEASE, NEXT]);
        let end = Tree::new();
        let mut story = Self { published, both, end, writes: 0, calls: 0, _world: world };
        let (cloud, destinations) = story.begin();
        let before = cloud.writes();
        let ledger = cloud.ledger(Survive::Appended);
        assert!(!mirrored(&story.both, &destinations, &ledger).await.failed());
        (story.end, story.writes) = (cloud.tree("a"), cloud.writes() - before);
        story.calls = cloud.calls();
        story
    }

    fn begin(&self) -> (Cloud, [Destination; 2]) {
        let cloud = self.published.fork();
        let destinations = ["a", "b"].map(|name| cloud.destination(name));
        (cloud, destinations)
    }

    /// Runs into the k-th call, looks, runs again, and looks again.
    async fn check(&self, k: usize, blow: Blow, survive: Survive) {
        let (cloud, destinations) = self.begin();
        let before = cloud.writes();
        let ledger = cloud.ledger(survive);
        cloud.set_fuse(k, blow);
        let plan = planned(&self.both, &destinations, &ledger).await;
        let ended = apply(&plan, &self.both, &destinations, &ledger, &()).await;
        let clean = ended.is_ok_and(|report| !report.failed());
        assert!(!clean, "k={k} {blow:?}: a failed call must not pass for success");
        cloud.mend();
        assert_eq!(cloud.violations(), Vec::<String>::new(), "k={k} {blow:?}");

        let ledger = cloud.ledger(survive);
        let report = mirrored(&self.both, &destinations, &ledger).await;
        assert!(!report.failed(), "k={k} {blow:?}: {report:#?}");
        assert_eq!(cloud.violations(), Vec::<String>::new(), "k={k} {blow:?}");
        for name in ["a", "b"] {
            assert!(cloud.tree(name) == self.end, "k={k} {blow:?}: {name}");
        }
        // Finished work is not repeated. Only small mutable documents may be replaced once more:
        // an evidence list whose release was not listed yet, and a list that was written for one
        // release less; at two destinations.
        let repeated = (cloud.writes() - before).saturating_sub(self.writes);
        assert!(repeated <= 4, "k={k} {blow:?}: {repeated} writes were repeated");
        assert!(planned(&self.both, &destinations, &ledger).await.is_empty(), "k={k} {blow:?}");
    }
}

fn small() -> Vec<(&'static str, Vec<u8>)> {
    vec![("bin/a", b"a".to_vec()), ("empty", Vec::new()), ("same", b"same".to_vec())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_at_any_call_goes_on_and_ends_the_same() {
    let story = Story::new(&small()).await;
    assert!(story.calls > 60, "{} calls are no test", story.calls);
    for k in 1..=story.calls {
        let survive = if k % 2 == 0 { Survive::Appended } else { Survive::Synced };
        story.check(k, Blow::Kill, survive).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_between_the_parts_of_an_object_goes_on() {
    let story = Story::new(&[("large", vec![7; 9 * 1024 * 1024])]).await;
    // The large object is the last one before everything is read back.
    for k in story.calls / 4..story.calls / 2 {
        story.check(k, Blow::Kill, Survive::Synced).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_once_is_reported_and_made_good_by_the_next_run() {
    let story = Story::new(&small()).await;
    for k in 1..=story.calls {
        story.check(k, Blow::Hiccup, Survive::Appended).await;
    }
}

#[tokio::test]
async fn a_cancelled_run_goes_on() {
    let story = Story::new(&small()).await;
    let (cloud, destinations) = story.begin();
    let ledger = cloud.ledger(Survive::Appended);
    let plan = planned(&story.both, &destinations, &ledger).await;
    for polls in [1_usize, 5, 20, 60] {
        let mut run = Box::pin(apply(&plan, &story.both, &destinations, &ledger, &()));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ended = &mut run => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(run);
        assert_eq!(cloud.violations(), Vec::<String>::new());
    }
    assert!(!mirrored(&story.both, &destinations, &ledger).await.failed());
    assert!(cloud.tree("a") == story.end && cloud.tree("b") == story.end);
}
