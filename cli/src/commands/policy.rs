//! `policy init`, `check`, `explain`.

use std::path::{Path, PathBuf};

use bonded_model::ReleaseName;
use bonded_store::disk;
use bonded_verify::PublicKey;
use bonded_verify::policy::{NoteWeight, PolicyNote, propose};
use serde_json::json;

use super::{Context, Outcome};
use crate::args::{JudgeArgs, PolicyVerb};
use crate::error::CliError;
use crate::judge::{self, Judge};
use crate::output::{self, Format};
use crate::roots::verifier;
use crate::{clock, report};

pub(super) fn run(context: &Context, verb: &PolicyVerb) -> Result<Outcome, CliError> {
    match verb {
        PolicyVerb::Init { release, out, keys, trusted_roots } => {
            let text = proposal(context, release, keys, trusted_roots)?;
            init(release, out.as_deref(), &text)
        }
        PolicyVerb::Check { file } => check(context, file),
        PolicyVerb::Explain { release, policy } => explain(context, release, policy.as_deref()),
    }
}

/// A policy that the release would pass, of those who verifiably signed something in it.
fn proposal(
    context: &Context,
    name: &ReleaseName,
    keys: &[PathBuf],
    trusted_roots: &[String],
) -> Result<String, CliError> {
    let keys: Vec<PublicKey> =
        keys.iter().map(|file| judge::read_key(file)).collect::<Result<_, _>>()?;
    let verifier = verifier(&context.config, trusted_roots)?;
    let snapshot = context.open_store()?.snapshot().map_err(report::store_error)?;
    let gathered = snapshot.gather(name).map_err(report::store_error)?;
    Ok(propose(&verifier, &gathered.evidence, &keys, clock::now()?))
}

fn init(name: &ReleaseName, out: Option<&Path>, text: &str) -> Result<Outcome, CliError> {
    let Some(out) = out else {
        output::data(text)?;
        return Ok(Outcome::Done);
    };
    disk::write_file_new(out, text.as_bytes()).map_err(|source| {
        CliError::environment(format!("cannot write policy {}", out.display()))
            .because(source)
            .hint("an existing file is never overwritten; choose another name")
    })?;
    output::say(&format!(
        "wrote {0}; read it, then: bonded verify {name} --policy {0}",
        out.display()
    ));
    Ok(Outcome::Done)
}

fn check(context: &Context, file: &Path) -> Result<Outcome, CliError> {
    let refuse = || {
        CliError::usage(format!("policy {} is wrong", file.display()))
            .hint("every key is described in docs/policy.md")
    };
    let parsed = judge::parse_policy(file, &refuse)?;
    let notes = parsed.check(Some(clock::now()?));
    match context.format {
        Format::Text => {
            output::data_line(&format!(
                "policy {} is well-formed  {}",
                parsed.name(),
                parsed.digest()
            ))?;
            notes.iter().try_for_each(|note| {
                output::data_line(&format!("  {}: {}", weight(note.weight), note.text))
            })?;
        }
        Format::Json => {
            let note =
                |note: &PolicyNote| json!({ "weight": weight(note.weight), "text": note.text });
            let told: Vec<_> = notes.iter().map(note).collect();
            output::data_json(
                &json!({ "name": parsed.name(), "digest": parsed.digest(), "notes": told }),
            )?;
        }
    }
    let contradicts = notes.iter().any(|note| note.weight == NoteWeight::Contradiction);
    Ok(if contradicts { Outcome::VerdictFail } else { Outcome::Done })
}

fn weight(weight: NoteWeight) -> &'static str {
    match weight {
        NoteWeight::Contradiction => "contradiction",
        NoteWeight::Hole => "hole",
        NoteWeight::Unused => "unused",
    }
}

fn explain(
    context: &Context,
    name: &ReleaseName,
    file: Option<&Path>,
) -> Result<Outcome, CliError> {
    let args = JudgeArgs {
        policy: file.map(Path::to_path_buf),
        trusted_roots: Vec::new(),
        at: None,
        no_cache: true,
    };
    let judge = Judge::load(&context.config, &args)?;
    let policy = judge.policy(&name.project)?;
    let snapshot = context.open_store()?.snapshot().map_err(report::store_error)?;
    let release = snapshot.release(name).map_err(report::store_error)?;
    let lines = policy.explain(&release);
    match context.format {
        Format::Text => lines.iter().try_for_each(|line| output::data_line(line))?,
        Format::Json => output::data_json(
            &json!({ "release": name, "policy": policy.digest(), "demands": lines }),
        )?,
    }
    Ok(Outcome::Done)
}
