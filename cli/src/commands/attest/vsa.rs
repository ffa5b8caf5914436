//! `attest vsa`: reaches the verdict, and signs what it says of the release or of each artifact as a
//! verification summary. A verdict that fails is signed by nobody here, and none of another time than now.

use bonded_model::evidence::Subject;
use bonded_model::statement::Statement;
use bonded_model::{Digest, DocumentKind, MediaType, ReleaseName, media_type, vsa};
use bonded_store::{AttachEachRequest, NewDocument, attach_each};
use bonded_verify::{Policy, ResourceTemplate, SummaryRequest, Unheard, Verdict};
use serde_json::{Value, json};

use super::super::{Context, Outcome, holder, lease_from};
use crate::args::AttestVsaArgs;
use crate::error::CliError;
use crate::judge::{Judge, PROGRAM};
use crate::output::{self, Format};
use crate::{describe, progress, report};

/// The resource of a release, if nothing else is said (purl-spec, types, generic).
const RELEASE_URI: &str = "pkg:generic/{project}@{version}";
/// The resource of an artifact of it (purl-spec, subpath).
const ARTIFACT_URI: &str = "pkg:generic/{project}@{version}#{path}";

pub(super) fn run(context: &Context, args: &AttestVsaArgs) -> Result<Outcome, CliError> {
    let template = template(args)?;
    if args.verifier_id.is_empty() {
        return Err(CliError::usage("the id of the verifier is empty")
            .hint("for example --verifier-id https://example.com/verifier"));
    }
    if args.judge.at.is_some() {
        return Err(CliError::usage("a summary says when it was verified, and that is now")
            .hint("leave --at away"));
    }
    let key = super::read_key(&args.key)?;
    let name: ReleaseName = args.release.parse().map_err(|source| {
        CliError::usage(format!("{:?} names no release", args.release)).because(source)
    })?;
    let judge = Judge::load(&context.config, &args.judge)?;
    let store = context.open_store()?;
    let lease = lease_from(&store, "attest vsa", u64::MAX)?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let verdict = judge.verdict(&snapshot, &name)?;
    drop(lease);
    if !verdict.is_pass() {
        let fails = describe::fails(&verdict);
        output::say(&format!("nothing is signed: the verdict on {name} is a fail\n{fails}"));
        return Ok(Outcome::VerdictFail);
    }
    let made = summaries(args, &template, &name, &verdict)?;
    say_unheard(args, judge.policy(&name.project)?, &name, &made);
    let mut bundles = Vec::new();
    for made in made {
        let bundle = key
            .sign_statement(&made.statement)
            .map_err(|source| CliError::environment("cannot sign the summary").because(source))?;
        bundles.push((made, bundle));
    }
    let documents: Vec<_> =
        bundles.iter().map(|(made, bundle)| (made.subject.clone(), document(bundle))).collect();
    let request = AttachEachRequest {
        release: &name,
        documents: &documents,
        holder: &holder(&format!("attest vsa {name}"))?,
        wait: context.wait(&args.wait),
    };
    let epoch =
        attach_each(&store, &request, &mut progress::say_waiting).map_err(report::store_error)?;
    let (release, signer) = (&name, key.public_digest());
    print(context.format, &Attached { release, signer, epoch, bundles: &bundles })?;
    Ok(Outcome::Done)
}

/// What was signed and attached.
struct Attached<'a> {
    release: &'a ReleaseName,
    signer: Digest,
    epoch: u64,
    bundles: &'a [(Made, Vec<u8>)],
}

fn print(format: Format, attached: &Attached<'_>) -> Result<(), CliError> {
    let Attached { release, signer, epoch, bundles } = attached;
    let mut told = bundles.iter().map(|(made, bundle)| (made, Digest::sha256_of(bundle)));
    match format {
        Format::Text => told.try_for_each(|(made, digest)| {
            let uri = &made.resource_uri;
            output::data_line(&format!("attached {digest}, a summary of {uri}, signed by {signer}"))
        }),
        Format::Json => {
            let told: Vec<Value> = told.map(|(made, digest)| made.told(digest)).collect();
            output::data_json(&json!({
                "release": release, "signer": signer, "epoch": epoch, "summaries": told,
            }))
        }
    }
}

/// Tells where the policy of the verdict would not hear its own summary. It may be meant for others.
fn say_unheard(args: &AttestVsaArgs, policy: &Policy, name: &ReleaseName, made: &[Made]) {
    let id = &args.verifier_id;
    let unheard = made.iter().find_map(|made| {
        let path = match &made.subject {
            Subject::Release => None,
            Subject::Artifact(path) => Some(path),
        };
        Some((made, policy.unheard(id, &made.resource_uri, name, path)?))
    });
    let why = match unheard {
        None => return,
        Some((_, Unheard::Verifier)) => format!("it names no [[verifier]] with the id {id:?}"),
        Some((made, Unheard::Resource { wanted })) => {
            let kind = if args.per_artifact { "resource" } else { "release" };
            let wanted = wanted.map_or_else(|| "nothing".to_owned(), |uri| format!("{uri:?}"));
            format!("as {kind} of this verifier it expects {wanted}, not {:?}", made.resource_uri)
        }
    };
    output::say(&format!("a summary that opens nothing under policy {:?}: {why}", policy.name()));
}

/// A summary that is to be signed.
struct Made {
    subject: Subject,
    resource_uri: String,
    statement: Statement,
}

impl Made {
    fn told(&self, digest: Digest) -> Value {
        json!({ "document": digest, "resourceUri": self.resource_uri, "subject": self.subject })
    }
}

/// The template of the resources, which names a path where and only where there is one.
fn template(args: &AttestVsaArgs) -> Result<ResourceTemplate, CliError> {
    let default = if args.per_artifact { ARTIFACT_URI } else { RELEASE_URI };
    let template = ResourceTemplate::new(args.resource_uri.as_deref().unwrap_or(default));
    if template.names_path() == args.per_artifact {
        return Ok(template);
    }
    let (what, hint) = match args.per_artifact {
        true => ("does not name {path}, so every artifact would have it", ARTIFACT_URI),
        false => ("names {path}, and a release has none", RELEASE_URI),
    };
    let text = args.resource_uri.as_deref().unwrap_or_default();
    Err(CliError::usage(format!("resource URI {text:?} {what}"))
        .hint(format!("for example --resource-uri '{hint}'")))
}

fn summaries(
    args: &AttestVsaArgs,
    template: &ResourceTemplate,
    name: &ReleaseName,
    verdict: &Verdict,
) -> Result<Vec<Made>, CliError> {
    let make = |path, subject, statement: &dyn Fn(&SummaryRequest<'_>) -> Statement| {
        let resource_uri = template
            .uri(name, path)
            .ok_or_else(|| CliError::usage("the resource URI asks for a path that is not known"))?;
        let request = SummaryRequest {
            resource_uri: &resource_uri,
            policy_uri: args.policy_uri.as_deref(),
            verifier_id: &args.verifier_id,
            program: PROGRAM,
        };
        let statement = statement(&request);
        Ok(Made { subject, resource_uri, statement })
    };
    if !args.per_artifact {
        return Ok(vec![make(None, Subject::Release, &|request| verdict.to_summary(request))?]);
    }
    let named = verdict.artifacts().iter().filter_map(|a| Some((a.path.as_ref()?, a)));
    let made = named.map(|(path, artifact)| {
        make(Some(path), Subject::Artifact(path.clone()), &|request| {
            verdict.to_artifact_summary(artifact, request)
        })
    });
    made.collect()
}

fn document(bundle: &[u8]) -> NewDocument<'_> {
    NewDocument {
        bytes: bundle,
        kind: DocumentKind::Bundle,
        media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
        title: None,
        predicate_type: Some(vsa::SUMMARY_V1),
    }
}
