//! `mirror plan`, `apply`, `status`: verified releases to directories and buckets.

use std::path::Path;

use bonded_mirror::{
    ApplyReport, Contents, Desired, Destination, DestinationReport, DestinationStatus, Known,
    Ledger, MarkerOutcome, MirrorError, Observed, Plan, ReleaseStatus,
};
use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::{Project, ReleaseName};
use bonded_store::{Lease, Store, disk};
use serde_json::{Value, json};

use super::{Context, Outcome, reading_lease};
use crate::args::{MirrorApplyArgs, MirrorPlanArgs, MirrorTargets, MirrorVerb};
use crate::error::{CliError, ErrorKind};
use crate::judge::Judge;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::{judge, report, runtime};

pub(super) fn run(context: &Context, verb: &MirrorVerb) -> Result<Outcome, CliError> {
    match verb {
        MirrorVerb::Plan(args) => plan(context, args),
        MirrorVerb::Apply(args) => apply(context, args),
        MirrorVerb::Status(targets) => status(context, targets),
    }
}

/// What may leave, and where it goes.
struct Scene {
    store: Store,
    desired: Desired,
    destinations: Vec<Destination>,
    /// Releases that were asked for and may not leave.
    refused: usize,
    /// What kept verdicts from being reached.
    errors: Vec<CliError>,
    /// Keeps what is mirrored from being collected meanwhile.
    _lease: Option<Lease>,
}

impl Scene {
    fn set(context: &Context, targets: &MirrorTargets) -> Result<Self, CliError> {
        let destinations = destinations(context, &targets.to)?;
        let judge = Judge::load(&context.config, &targets.judge)?;
        let store = context.open_store()?;
        let lease = reading_lease(&store, "mirror")?;
        let snapshot = store.snapshot().map_err(report::store_error)?;
        let names: Vec<ReleaseName> = match targets.releases.as_slice() {
            [] => snapshot.releases().map_err(report::store_error)?,
            named => named.to_vec(),
        };
        let judged = judge.admit(&snapshot, &names);
        let (desired, refused) = Desired::new(&snapshot, &judged.admitted);
        let mut errors = judged.errors;
        errors.extend(refused.into_iter().map(|(_, error)| report::mirror_error(error)));
        Ok(Self { store, desired, destinations, refused: judged.refused, errors, _lease: lease })
    }

    /// What each destination has; one that cannot be listed is reported, and stands in the plan
    /// without steps.
    async fn observe(&self) -> (Vec<Observed>, Vec<MirrorError>) {
        let projects = self.desired.projects();
        let (mut observed, mut errors) = (Vec::new(), Vec::new());
        for destination in &self.destinations {
            match bonded_mirror::observe(destination, &projects).await {
                Ok(found) => observed.push(found),
                Err(error) => errors.push(error),
            }
        }
        (observed, errors)
    }

    /// How the verb ends where the mirroring itself went well.
    fn end(self) -> Result<Outcome, CliError> {
        let mut errors = self.errors.into_iter();
        let Some(first) = errors.next() else {
            return Ok(if self.refused == 0 { Outcome::Done } else { Outcome::VerdictFail });
        };
        errors.for_each(|error| output::say(&error.to_string()));
        Err(first)
    }

    /// What earlier runs are known to have done; a run under way is not disturbed.
    fn known(&self) -> Result<Known, CliError> {
        let records =
            self.store.journal_records(bonded_mirror::JOURNAL).map_err(report::store_error)?;
        Ok(Known::of(&records))
    }
}

/// The destinations to write to, and the other required ones, which are only looked at: markers
/// wait for them too.
fn destinations(context: &Context, named: &[String]) -> Result<Vec<Destination>, CliError> {
    let names = if named.is_empty() { context.config.destination_names() } else { named.to_vec() };
    if names.is_empty() {
        return Err(CliError::usage("there is no destination to mirror to").hint(
            "--to file:///DIR, --to s3://BUCKET/PREFIX, or [destinations.NAME] in bonded.toml",
        ));
    }
    let open = |name: &String| {
        let config = context.config.destination(name)?;
        Destination::open(&config).map_err(report::mirror_error)
    };
    let mut destinations: Vec<Destination> = names.iter().map(open).collect::<Result<_, _>>()?;
    for name in context.config.destination_names() {
        let other = context.config.destination(&name)?;
        let is_target = destinations.iter().any(|one| one.name() == name || one.url() == other.url);
        if other.required && !is_target {
            destinations.push(open(&name)?.watched());
        }
    }
    Ok(destinations)
}

fn plan(context: &Context, args: &MirrorPlanArgs) -> Result<Outcome, CliError> {
    let scene = Scene::set(context, &args.targets)?;
    let known = scene.known()?;
    let (observed, errors) = runtime::block_on(async { Ok(scene.observe().await) })?;
    let plan = bonded_mirror::plan(&scene.desired, &scene.destinations, &observed, &known);
    print_plan(context, &plan)?;
    if let Some(out) = &args.out {
        save(out, &plan)?;
    }
    fail_on(errors)?;
    scene.end()
}

fn save(out: &Path, plan: &Plan) -> Result<(), CliError> {
    disk::write_file_new(out, &plan.to_json()).map_err(|source| {
        CliError::environment(format!("cannot save plan {}", out.display()))
            .because(source)
            .hint("an existing file is never overwritten; choose another name")
    })
}

fn print_plan(context: &Context, plan: &Plan) -> Result<(), CliError> {
    if context.format == Format::Json {
        output::data_bytes(&plan.to_json())?;
        return output::data("\n");
    }
    output::data_line(&format!("plan {}", plan.digest()))?;
    for destination in &plan.destinations {
        let (name, steps) = (&destination.name, &destination.steps);
        let state = match (destination.observed, steps.len()) {
            (false, _) => "could not be listed".to_owned(),
            (true, 0) => "nothing to do".to_owned(),
            (true, count) => format!("{count} steps"),
        };
        output::data_line(&format!("{name}: {state}"))?;
        steps.iter().try_for_each(|step| output::data_line(&format!("  {step}")))?;
    }
    Ok(())
}

fn apply(context: &Context, args: &MirrorApplyArgs) -> Result<Outcome, CliError> {
    let scene = Scene::set(context, &args.targets)?;
    let saved = args.plan.as_deref().map(read_plan).transpose()?;
    if args.dry_run {
        let plan = match saved {
            Some(plan) => plan,
            None => {
                let (plan, errors) = fresh_plan(&scene)?;
                print_plan(context, &plan)?;
                fail_on(errors)?;
                return scene.end();
            }
        };
        print_plan(context, &plan)?;
        return scene.end();
    }
    let ledger = Ledger::open(&scene.store).map_err(report::mirror_error)?;
    let (plan, errors) = match saved {
        Some(plan) => (plan, Vec::new()),
        None => fresh_plan(&scene)?,
    };
    let progress = Progress::new("mirror");
    let done = runtime::block_on(async {
        bonded_mirror::apply(&plan, &scene.desired, &scene.destinations, &ledger, &progress)
            .await
            .map_err(report::mirror_error)
    })?;
    drop(progress);
    print_report(context, &done)?;
    fail_on_report(done, errors)?;
    scene.end()
}

fn fresh_plan(scene: &Scene) -> Result<(Plan, Vec<MirrorError>), CliError> {
    let known = scene.known()?;
    let (observed, errors) = runtime::block_on(async { Ok(scene.observe().await) })?;
    Ok((bonded_mirror::plan(&scene.desired, &scene.destinations, &observed, &known), errors))
}

fn read_plan(file: &Path) -> Result<Plan, CliError> {
    let bytes = judge::read(file, EVIDENCE_BYTES_MAX, "plan")?;
    Plan::parse(&bytes).map_err(|source| {
        CliError::usage(format!("{} is no plan that can be applied", file.display()))
            .because(source)
            .hint("save one with: bonded mirror plan --out FILE")
    })
}

fn print_report(context: &Context, report: &ApplyReport) -> Result<(), CliError> {
    if context.format == Format::Json {
        let written: u64 = report.destinations.iter().map(|d| d.counts.written_bytes).sum();
        return output::data_json(&json!({
            "plan": report.plan, "sourceBytes": report.source_bytes, "bytesWritten": written,
            "destinations": report.destinations.iter().map(report_json).collect::<Vec<_>>(),
        }));
    }
    for destination in &report.destinations {
        let counts = &destination.counts;
        output::data_line(&format!(
            "{}: {} written ({}), {} read back ({}), {} releases complete, markers {}",
            destination.name,
            counts.written,
            output::human_bytes(counts.written_bytes),
            counts.verified,
            output::human_bytes(counts.verified_bytes),
            destination.complete.len(),
            markers(&destination.markers),
        ))?;
    }
    Ok(())
}

fn report_json(destination: &DestinationReport) -> Value {
    let counts = &destination.counts;
    json!({
        "name": destination.name, "url": destination.url, "observed": destination.observed,
        "written": counts.written, "writtenBytes": counts.written_bytes,
        "verified": counts.verified, "verifiedBytes": counts.verified_bytes,
        "replaced": counts.replaced, "foundDone": counts.found_done, "skipped": counts.skipped,
        "complete": destination.complete, "markers": markers_json(&destination.markers),
        "failures": destination.failures.iter().map(|failure| json!({
            "key": failure.key, "class": failure.class, "releases": failure.releases,
            "error": report::chain(&failure.error),
        })).collect::<Vec<_>>(),
    })
}

fn markers_json(outcome: &MarkerOutcome) -> Value {
    let (moved, waiting_for) = match outcome {
        MarkerOutcome::Unchanged => (0, [].as_slice()),
        MarkerOutcome::Moved(count) => (*count, [].as_slice()),
        MarkerOutcome::Withheld { moved, waiting_for } => (*moved, waiting_for.as_slice()),
    };
    json!({ "moved": moved, "waitingFor": waiting_for })
}

fn markers(outcome: &MarkerOutcome) -> String {
    match outcome {
        MarkerOutcome::Unchanged => "unchanged".into(),
        MarkerOutcome::Moved(count) => format!("moved ({count} files)"),
        MarkerOutcome::Withheld { moved: 0, waiting_for } => {
            format!("withheld until {} has everything", waiting_for.join(", "))
        }
        MarkerOutcome::Withheld { moved, waiting_for } => {
            let waiting_for = waiting_for.join(", ");
            format!("moved ({moved} files), others withheld until {waiting_for} has everything")
        }
    }
}

/// Names every failure on stderr; what was skipped without a failure of its own is one as well.
fn fail_on_report(done: ApplyReport, observe_errors: Vec<MirrorError>) -> Result<(), CliError> {
    let failed = done.failed();
    let is_remote = done.destinations.iter().any(|one| !one.url.starts_with("file://"));
    let failures = done.destinations.into_iter().flat_map(|destination| destination.failures);
    let errors: Vec<MirrorError> =
        observe_errors.into_iter().chain(failures.map(|failure| failure.error)).collect();
    fail_on(errors)?;
    if failed {
        let kind = if is_remote { ErrorKind::Remote } else { ErrorKind::Environment };
        return Err(CliError::new(kind, "not every destination has everything")
            .hint("bonded mirror status says what is missing; bonded mirror apply goes on where this run stopped"));
    }
    Ok(())
}

/// Names every error on stderr; a remote one decides the exit code before others.
fn fail_on(errors: Vec<MirrorError>) -> Result<(), CliError> {
    let mut told: Vec<CliError> = errors.into_iter().map(report::mirror_error).collect();
    let last = told.iter().position(|error| error.kind == ErrorKind::Remote);
    let last = last.unwrap_or(told.len().saturating_sub(1));
    if told.is_empty() {
        return Ok(());
    }
    let deciding = told.remove(last);
    told.iter().for_each(|error| output::say(&error.to_string()));
    Err(deciding)
}

fn status(context: &Context, targets: &MirrorTargets) -> Result<Outcome, CliError> {
    let scene = Scene::set(context, targets)?;
    let known = scene.known()?;
    let asked: Vec<Destination> =
        scene.destinations.iter().filter(|one| !one.is_watched()).cloned().collect();
    let states = runtime::block_on(async {
        Ok(bonded_mirror::status(&scene.desired, &asked, &known).await)
    })?;
    if context.format == Format::Json {
        output::data_json(
            &json!({ "destinations": states.iter().map(status_json).collect::<Vec<_>>() }),
        )?;
    } else {
        states.iter().try_for_each(print_status)?;
    }
    let errors = states.into_iter().filter_map(|state| state.contents.err());
    fail_on(errors.collect())?;
    scene.end()
}

fn print_status(state: &DestinationStatus) -> Result<(), CliError> {
    let role = if state.required { "required" } else { "optional" };
    output::data_line(&format!("{} ({}, {role})", state.name, state.url))?;
    let contents = match &state.contents {
        Ok(contents) => contents,
        Err(error) => {
            return output::data_line(&format!("  cannot tell: {}", report::chain(error)));
        }
    };
    for (name, release) in &contents.releases {
        output::data_line(&format!("  {name}: {}", release_state(release)))?;
    }
    marker_lines(contents).iter().try_for_each(|line| output::data_line(line))
}

fn release_state(release: &ReleaseStatus) -> String {
    if release.is_complete() {
        return format!("complete, {} objects", release.objects);
    }
    let ReleaseStatus { objects, missing, unverified, conflicts, listed } = release;
    let listed = if *listed { "listed" } else { "not listed" };
    format!(
        "{missing} of {objects} objects missing, {unverified} not read back, {conflicts} conflicts, {listed}"
    )
}

fn marker_lines(contents: &Contents) -> Vec<String> {
    let line =
        |project: &Project, name: &str, text: String| format!("  {project}/{name}.txt: {text}");
    let lines = contents.markers.iter().map(|marker| {
        let text = match &marker.points_to {
            Some(version) if *version == marker.expected => version.to_string(),
            Some(version) => format!("{version}, would be {}", marker.expected),
            None => format!("not there, would be {}", marker.expected),
        };
        line(&marker.project, &marker.name, text)
    });
    lines.collect()
}

fn status_json(state: &DestinationStatus) -> Value {
    let contents = match &state.contents {
        Err(error) => json!({ "error": report::chain(error) }),
        Ok(contents) => json!({
            "releases": contents.releases.iter().map(|(name, r)| (name.to_string(), json!({
                "objects": r.objects, "missing": r.missing, "unverified": r.unverified,
                "conflicts": r.conflicts, "listed": r.listed, "complete": r.is_complete(),
            }))).collect::<serde_json::Map<_, _>>(),
            "markers": contents.markers.iter().map(|marker| json!({
                "project": marker.project, "name": marker.name,
                "pointsTo": marker.points_to, "expected": marker.expected,
            })).collect::<Vec<_>>(),
        }),
    };
    json!({ "name": state.name, "url": state.url, "required": state.required, "contents": contents })
}
