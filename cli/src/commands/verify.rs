//! `verify`: the verdict on a release in the store, or on one downloaded file, offline.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bonded_model::detached::Files;
use bonded_model::digest::DigestError;
use bonded_model::evidence::Subject;
use bonded_model::limits::{DETACHED_BYTES_MAX, EVIDENCE_BYTES_MAX};
use bonded_model::statement::Statement;
use bonded_model::vsa::Summary;
use bonded_model::{ArtifactPath, Digest, DocumentKind, MediaType, ReleaseName, media_type, vsa};
use bonded_store::{AttachRequest, NewDocument, Snapshot, Store, attach, disk};
use bonded_verify::{FileExpectation, FileQuestion, Policy, SummaryRequest, Verdict, verify_file};

use super::{Context, Outcome, holder, lease_from};
use crate::args::{ReportForm, VerifyArgs};
use crate::error::CliError;
use crate::judge::{self, Judge};
use crate::output::{self, Format};
use crate::roots::verifier;
use crate::{describe, page, progress, report, sarif};

/// Who speaks in a summary. A summary is an unsigned record until somebody signs it.
const VERIFIER_ID: &str = concat!("https://bonded.invalid/verifier/v", env!("CARGO_PKG_VERSION"));

/// Files up to this size are also kept in memory, for keys that sign messages instead of digests.
const MESSAGE_BYTES_MAX: u64 = EVIDENCE_BYTES_MAX;

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<Outcome, CliError> {
    match &args.bundle {
        Some(bundle) => on_file(context, args, bundle),
        None => on_release(context, args),
    }
}

fn print(context: &Context, args: &VerifyArgs, verdict: &Verdict) -> Result<Outcome, CliError> {
    match (args.report, context.format) {
        (Some(ReportForm::Sarif), _) => output::data_json(&sarif::log(verdict))?,
        (Some(ReportForm::Html), _) => output::data(&page::page(verdict))?,
        (None, Format::Text) => output::data(&describe::verdict(verdict))?,
        (None, Format::Json) => {
            output::data_bytes(&verdict.to_json())?;
            output::data("\n")?;
        }
    }
    Ok(if verdict.is_pass() { Outcome::Done } else { Outcome::VerdictFail })
}

fn on_release(context: &Context, args: &VerifyArgs) -> Result<Outcome, CliError> {
    let name: ReleaseName = args.target.parse().map_err(|source| {
        CliError::usage(format!("cannot verify {:?}", args.target))
            .because(source)
            .hint("for a downloaded file, give its bundle: bonded verify FILE --bundle FILE --policy FILE")
    })?;
    let judge = Judge::load(&context.config, &args.judge)?;
    let store = context.open_store()?;
    let lease = lease_from(&store, "verify", u64::MAX)?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let verdict = judge.verdict(&snapshot, &name)?;
    drop(lease);
    let outcome = print(context, args, &verdict)?;
    if !args.no_record {
        record(context, args, &store, &snapshot, &verdict)?;
    }
    Ok(outcome)
}

/// Attaches the verdict's summary, unless one that says the same is there already.
fn record(
    context: &Context,
    args: &VerifyArgs,
    store: &Store,
    snapshot: &Snapshot,
    verdict: &Verdict,
) -> Result<(), CliError> {
    let Some((name, _)) = verdict.release() else { return Ok(()) };
    let resource_uri = format!("pkg:generic/{}@{}", name.project, name.version);
    let request = SummaryRequest {
        resource_uri: &resource_uri,
        policy_uri: None,
        verifier_id: VERIFIER_ID,
        program: judge::PROGRAM,
    };
    let statement = verdict.to_summary(&request);
    let papers = snapshot.papers(name).map_err(report::store_error)?;
    let known = papers.map(|papers| papers.summaries).unwrap_or_default();
    if known.iter().any(|summary| says_the_same(summary, &statement)) {
        return Ok(());
    }
    let bytes = statement.to_bytes();
    let document = NewDocument {
        bytes: &bytes,
        kind: DocumentKind::Statement,
        media_type: MediaType::known(media_type::IN_TOTO),
        title: None,
        predicate_type: Some(vsa::SUMMARY_V1),
    };
    let request = AttachRequest {
        release: name,
        subject: &Subject::Release,
        documents: &[document],
        holder: &holder(&format!("verify {name}"))?,
        wait: context.wait(&args.wait),
    };
    attach(store, &request, &mut progress::say_waiting).map_err(|source| {
        report::store_error(source)
            .hint("the verdict above stands; --no-record leaves the summary away")
    })?;
    Ok(())
}

/// Whether a recorded summary differs from this one in nothing but the time.
fn says_the_same(bytes: &[u8], statement: &Statement) -> bool {
    let summary = |statement: &Statement| {
        let parsed = Summary::parse(statement).ok()?; // an unreadable record says something else
        Some(Summary { time_verified: None, ..parsed })
    };
    let recorded = Statement::parse(bytes).ok(); // as above
    recorded.is_some_and(|recorded| {
        recorded.subjects == statement.subjects && summary(&recorded) == summary(statement)
    })
}

fn on_file(context: &Context, args: &VerifyArgs, bundle: &Path) -> Result<Outcome, CliError> {
    let bundle = papers(args, bundle)?;
    let subject = FileSubject::read(&args.target)?;
    let question = FileQuestion {
        path: subject.path.as_ref(),
        digests: &subject.digests,
        size: subject.size,
        bytes: subject.bytes.as_deref(),
        bundle: &bundle,
        version: args.release_version.as_ref(),
        release_path: args.release_path.as_ref(),
    };
    let verdict = match (&args.identity, &args.issuer, &args.key) {
        (Some(san), Some(issuer), _) => {
            ask(context, args, &FileExpectation::Identity { san, issuer }, &question)?
        }
        (_, _, Some(key)) => {
            let parsed = judge::read_key(key)?;
            ask(context, args, &FileExpectation::Key(&parsed), &question)?
        }
        _ => {
            let file = args.judge.policy.as_ref().ok_or_else(|| {
                CliError::usage("nothing says who may have signed")
                    .hint("give --policy FILE, or --identity SAN --issuer URL, or --key PEM")
            })?;
            let policy = judge::read_policy(file)?;
            say_unasked(&policy);
            ask(context, args, &FileExpectation::Policy(&policy), &question)?
        }
    };
    print(context, args, &verdict)
}

/// The bundle, or a signature with the files that lie beside it.
fn papers(args: &VerifyArgs, bundle: &Path) -> Result<Vec<u8>, CliError> {
    let bundle = judge::read(bundle, EVIDENCE_BYTES_MAX, "bundle")?;
    let beside = |file: &Option<PathBuf>, what| -> Result<Vec<Cow<'static, [u8]>>, CliError> {
        let read = file.iter().map(|file| judge::read(file, DETACHED_BYTES_MAX, what));
        read.map(|bytes| Ok(Cow::Owned(bytes?))).collect()
    };
    let certificates = beside(&args.certificate, "certificate")?;
    let entries = beside(&args.log_entry, "log entry")?;
    if certificates.is_empty() && entries.is_empty() {
        return Ok(bundle);
    }
    Ok(Files { signature: Cow::Owned(bundle), certificates, entries }.to_bytes())
}

/// A pass of a file must not be taken for one of all that the policy says.
fn say_unasked(policy: &Policy) {
    let parts = policy.unasked_of_files();
    if !parts.is_empty() {
        let parts = parts.join(", ");
        output::say(&format!("of a file alone the policy does not ask: {parts}"));
    }
}

fn ask(
    context: &Context,
    args: &VerifyArgs,
    expectation: &FileExpectation<'_>,
    question: &FileQuestion<'_>,
) -> Result<Verdict, CliError> {
    let verifier = verifier(&context.config, &args.judge.trusted_roots)?;
    Ok(verify_file(&verifier, expectation, question, judge::as_of(&args.judge)?))
}

/// The downloaded file: read once, hashed with both algorithms that evidence may name.
struct FileSubject {
    path: Option<ArtifactPath>,
    digests: Vec<Digest>,
    size: Option<u64>,
    bytes: Option<Vec<u8>>,
}

impl FileSubject {
    fn read(target: &str) -> Result<Self, CliError> {
        if target.starts_with("sha256:") {
            let digest: Digest = target.parse().map_err(|source: DigestError| {
                CliError::usage(format!("cannot verify {target:?}"))
                    .because(source)
                    .hint("sha256: and 64 lower-case hex digits")
            })?;
            return Ok(Self { path: None, digests: vec![digest], size: None, bytes: None });
        }
        let file = Path::new(target);
        let hashed = disk::hash_file(file, MESSAGE_BYTES_MAX)
            .map_err(|source| report::unreadable("file", file, source))?;
        let name = file.file_name().and_then(|name| name.to_str());
        Ok(Self {
            path: name.and_then(|name| name.parse().ok()), // for display only; the digest decides
            digests: vec![hashed.sha256, hashed.sha512],
            size: Some(hashed.size),
            bytes: hashed.bytes,
        })
    }
}
