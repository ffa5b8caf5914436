//! `attest`: signs statements about artifacts with a local key, and attaches them as referrers.

mod vsa;

use std::path::Path;

use bonded_model::evidence::Subject;
use bonded_model::limits::EVIDENCE_BYTES_MAX;
use bonded_model::sbom::{SbomFormat, SbomView};
use bonded_model::slsa::{PROVENANCE_V1, normalise_repository};
use bonded_model::statement::{Statement, Subject as StatementSubject};
use bonded_model::{
    Artifact, ArtifactPath, DocumentKind, MediaType, Release, ReleaseName, json, media_type,
};
use bonded_store::{AttachRequest, NewDocument, attach};
use serde_json::{Value, json};

use super::{Context, Outcome, holder};
use crate::args::{AttestKind, AttestProvenanceArgs, AttestSbomArgs, AttestTarget};
use crate::error::CliError;
use crate::output::{self, Format};
use crate::signing::SigningKey;
use crate::{judge, progress, report};

/// Predicate type of an SPDX document in a statement (in-toto/attestation, predicates/spdx.md).
const PREDICATE_SPDX: &str = "https://spdx.dev/Document";
/// Predicate type of a CycloneDX document in a statement (predicates/cyclonedx.md).
const PREDICATE_CYCLONEDX: &str = "https://cyclonedx.org/bom";

pub(super) fn run(context: &Context, kind: &AttestKind) -> Result<Outcome, CliError> {
    match kind {
        AttestKind::Provenance(args) => {
            let predicate = provenance(args)?;
            attest(context, &args.target, PROVENANCE_V1, &|_| Ok(predicate.clone()))
        }
        AttestKind::Sbom(args) => sbom(context, args),
        AttestKind::Vsa(args) => vsa::run(context, args),
    }
}

/// What a local build can truthfully say of itself. Times are left out: nobody watched the build.
fn provenance(args: &AttestProvenanceArgs) -> Result<Value, CliError> {
    let repository = normalise_repository(&args.source);
    if !repository.contains("://") {
        return Err(CliError::usage(format!("source {:?} is no URL", args.source))
            .hint("for example --source https://github.com/OWNER/REPOSITORY"));
    }
    if !args.source_ref.starts_with("refs/") {
        return Err(CliError::usage(format!("source ref {:?} is not a full ref", args.source_ref))
            .hint(format!("for example --source-ref refs/tags/{}", args.source_ref)));
    }
    let uri = format!("git+{repository}@{}", args.source_ref);
    let source = match &args.commit {
        Some(commit) if is_commit(commit) => {
            json!({ "uri": uri, "digest": { "gitCommit": commit } })
        }
        Some(commit) => {
            return Err(CliError::usage(format!(
                "commit {commit:?} is not 40 or 64 lower-case hex digits"
            )));
        }
        None => json!({ "uri": uri }),
    };
    Ok(json!({
        "buildDefinition": {
            "buildType": args.build_type,
            "externalParameters": { "source": source },
            "resolvedDependencies": [source],
        },
        "runDetails": { "builder": { "id": args.builder_id } },
    }))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn sbom(context: &Context, args: &AttestSbomArgs) -> Result<Outcome, CliError> {
    let (view, document) = read_sbom(&args.sbom)?;
    let predicate_type = match view.format {
        SbomFormat::Spdx => PREDICATE_SPDX,
        SbomFormat::CycloneDx => PREDICATE_CYCLONEDX,
    };
    let file = args.sbom.display();
    attest(context, &args.target, predicate_type, &|artifacts| match artifacts
        .iter()
        .find(|artifact| !view.names(&[artifact.file.digest]))
    {
        None => Ok(document.clone()),
        Some(artifact) => Err(CliError::usage(format!(
            "SBOM {file} does not name {} of {}",
            artifact.file.digest, artifact.path
        ))
        .hint("attest only artifacts that the SBOM describes: RELEASE/PATH")),
    })
}

fn read_sbom(file: &Path) -> Result<(SbomView, Value), CliError> {
    let bytes = judge::read(file, EVIDENCE_BYTES_MAX, "SBOM")?;
    let refuse = || {
        CliError::usage(format!("{} is no SBOM that can be attested", file.display()))
            .hint("name a document in SPDX 2 or CycloneDX, as JSON")
    };
    let view = SbomView::parse(&bytes).map_err(|source| refuse().because(source))?;
    let document = json::parse(&bytes, EVIDENCE_BYTES_MAX).map_err(|source| {
        refuse()
            .because(source)
            .hint("a statement's predicate is JSON; convert tag-value documents first")
    })?;
    Ok((view, document))
}

/// Signs one statement about the named artifacts and attaches it to them.
fn attest(
    context: &Context,
    target: &AttestTarget,
    predicate_type: &'static str,
    predicate: &dyn Fn(&[Artifact]) -> Result<Value, CliError>,
) -> Result<Outcome, CliError> {
    let key = read_key(&target.key)?;
    let (name, path) = parse_target(&target.target)?;
    let store = context.open_store()?;
    let snapshot = store.snapshot().map_err(report::store_error)?;
    let release = snapshot.release(&name).map_err(report::store_error)?;
    let (subject, artifacts) = select(&release, path)?;
    let subjects = artifacts.iter().map(|a| StatementSubject::new(a.path.as_str(), a.file.digest));
    let statement = Statement::new(subjects.collect(), predicate_type, &predicate(&artifacts)?);
    let bundle = key
        .sign_statement(&statement)
        .map_err(|source| CliError::environment("cannot sign the statement").because(source))?;
    let document = NewDocument {
        bytes: &bundle,
        kind: DocumentKind::Bundle,
        media_type: MediaType::known(media_type::SIGSTORE_BUNDLE),
        title: None,
        predicate_type: Some(predicate_type),
    };
    let request = AttachRequest {
        release: &name,
        subject: &subject,
        documents: &[document],
        holder: &holder(&format!("attest {name}"))?,
        wait: context.wait(&target.wait),
    };
    let attached =
        attach(&store, &request, &mut progress::say_waiting).map_err(report::store_error)?;
    let digest = bonded_model::Digest::sha256_of(&bundle);
    match context.format {
        Format::Text => output::data_line(&format!(
            "attached {digest} to {}, signed by {}",
            target.target,
            key.public_digest()
        ))?,
        Format::Json => output::data_json(&json!({
            "document": digest, "predicateType": predicate_type, "subject": subject,
            "release": name, "signer": key.public_digest(), "epoch": attached,
        }))?,
    }
    Ok(Outcome::Done)
}

fn read_key(file: &Path) -> Result<SigningKey, CliError> {
    let pem = judge::read(file, bonded_model::limits::POLICY_BYTES_MAX, "private key")?;
    SigningKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|source| {
        CliError::usage(format!("{} cannot be used to sign", file.display()))
            .because(source)
            .hint("make one with: bonded keygen --out FILE")
    })
}

/// `PROJECT@VERSION` or `PROJECT@VERSION/PATH`; versions have no slash.
fn parse_target(text: &str) -> Result<(ReleaseName, Option<ArtifactPath>), CliError> {
    let (name, path) = match text.split_once('/') {
        Some((name, path)) => (name, Some(path)),
        None => (text, None),
    };
    let refuse = || CliError::usage(format!("{text:?} names no release"));
    let name =
        name.parse().map_err(|source: bonded_model::name::NameError| refuse().because(source))?;
    let path = path.map(str::parse).transpose();
    Ok((name, path.map_err(|source: bonded_model::name::NameError| refuse().because(source))?))
}

fn select(
    release: &Release,
    path: Option<ArtifactPath>,
) -> Result<(Subject, Vec<Artifact>), CliError> {
    let Some(path) = path else { return Ok((Subject::Release, release.artifacts().to_vec())) };
    match release.artifact(&path) {
        Some(artifact) => Ok((Subject::Artifact(path), vec![artifact.clone()])),
        None => Err(CliError::usage(format!("release {} has no artifact {path}", release.name()))
            .hint(format!("bonded show {}", release.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(source: &str, source_ref: &str, commit: Option<&str>) -> AttestProvenanceArgs {
        AttestProvenanceArgs {
            target: AttestTarget {
                target: "demo@1".into(),
                key: "k".into(),
                wait: crate::args::WaitArgs { seconds: None },
            },
            builder_id: "https://example.com/builder".into(),
            build_type: "https://example.com/build".into(),
            source: source.into(),
            source_ref: source_ref.into(),
            commit: commit.map(str::to_owned),
        }
    }

    #[test]
    fn provenance_names_the_source_where_verifiers_look() {
        let commit = "a".repeat(40);
        let made =
            provenance(&args("https://github.com/o/r.git", "refs/tags/v1", Some(&commit))).unwrap();
        let source = &made["buildDefinition"]["externalParameters"]["source"];
        assert_eq!(source["uri"], "git+https://github.com/o/r@refs/tags/v1");
        assert_eq!(source["digest"]["gitCommit"], commit);
    }

    #[test]
    fn must_reject() {
        for (source, reference, commit) in [
            ("github.com/o/r", "refs/tags/v1", None),
            ("https://github.com/o/r", "v1", None),
            ("https://github.com/o/r", "refs/tags/v1", Some("abc")),
            (
                "https://github.com/o/r",
                "refs/tags/v1",
                Some("ABCDEF0123456789ABCDEF0123456789ABCDEF01"),
            ),
        ] {
            assert!(provenance(&args(source, reference, commit)).is_err(), "{source} {reference}");
        }
        for target in ["demo", "demo@", "demo@1/", "demo@1/../x", "@1/x"] {
            assert!(parse_target(target).is_err(), "{target}");
        }
    }
}
