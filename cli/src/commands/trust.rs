//! `trust update`, `show`: trusted roots from TUF repositories. The only verb that fetches trust, and it
//! changes nothing but what is stored for the user.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bonded_model::{Digest, Timestamp};
use bonded_store::disk::Exclusive;
use bonded_verify::{Change, TrustRoot, Verifier};
use serde_json::json;
use sigstore_tuf::Error;

use super::{Context, Outcome};
use crate::args::{TrustUpdateArgs, TrustVerb};
use crate::error::{CliError, ErrorKind};
use crate::judge::read;
use crate::output::{self, Format};
use crate::roots::{GivenRoot, kept, kept_error};
use crate::trust::client::{self, Metadata, ROOT_BYTES_MAX, Start, UpdateError};
use crate::trust::kept::{Kept, Record, Standing, Taken, Which};
use crate::trust::repository::{Address, Name, TargetPath};
use crate::{clock, runtime};

/// What a repository calls its trusted root, if nobody says otherwise.
const TARGET: &str = "trusted_root.json";

pub(super) fn run(context: &Context, verb: &TrustVerb) -> Result<Outcome, CliError> {
    match verb {
        TrustVerb::Update(args) => update(context, args),
        TrustVerb::Show { root: Some(root) } => show_root(context, root),
        TrustVerb::Show { root: None } => show(context),
    }
}

/// Where an update starts.
struct Beginning {
    address: Address,
    root: Vec<u8>,
    /// What is kept if all goes well.
    record: Record,
}

fn update(context: &Context, args: &TrustUpdateArgs) -> Result<Outcome, CliError> {
    let kept = kept(&context.config).map_err(kept_error)?;
    let held = kept.lock(context.wait(&args.wait)).map_err(kept_error)?;
    let earlier = kept.read(&args.name).map_err(kept_error)?;
    let now = clock::now()?;
    let Beginning { address, root, mut record } = beginning(args, earlier.clone(), now)?;
    let refuse = |error, keeps| update_error(&args.name, &address, error, keeps);
    let repository = address.open().map_err(|source| {
        refuse(UpdateError::Unreachable { asked: "anything".to_owned(), source }, Keeps::Nothing)
    })?;
    let start = Start { root: &root, kept: &record.metadata, target: &record.target };
    let ended = runtime::block_on(async { Ok(client::update(repository, start, now).await) })?;
    let update = Update { name: &args.name, kept: &kept, held: &held, now };
    let keeps = update.keep_metadata(earlier, &root, &ended.metadata)?;
    let bytes = ended.target.map_err(|error| refuse(error, keeps))?;
    record.metadata = ended.metadata;
    record.checked = now;
    update.take(context.format, &bytes, record, keeps)
}

/// What stays of an update that comes to nothing.
#[derive(Clone, Copy)]
enum Keeps {
    Nothing,
    Metadata,
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "what is stored is as it was",
            Self::Metadata => {
                "the newer TUF metadata are kept, all else that is stored is as it was"
            }
        })
    }
}

/// What the command line says, else what was known, else what the program knows.
fn beginning(
    args: &TrustUpdateArgs,
    earlier: Option<Record>,
    now: Timestamp,
) -> Result<Beginning, CliError> {
    let name = &args.name;
    let known = name.instance();
    let given =
        args.root.as_deref().map(|file| read(file, ROOT_BYTES_MAX, "TUF root")).transpose()?;
    let unknown = |what: &str| {
        CliError::usage(format!("{what} of the repository {name} is not known"))
            .hint("give --repository URL and --root FILE, a root.json of it that you trust; they are remembered")
    };
    let last = earlier.as_ref().map(|record| record.repository.clone());
    let address = match (&args.repository, last.as_deref().or(known.map(|known| known.tuf_url()))) {
        (Some(address), _) => address.clone(),
        (None, Some(text)) => {
            text.parse().map_err(|source| unknown("the address").because(source))?
        }
        (None, None) => return Err(unknown("the address")),
    };
    let mut record = earlier.unwrap_or_else(|| Record::new(String::new(), target(), now));
    // What the program knows by this name is nobody else's, from the first update on.
    let own = known.map(|known| known.tuf_root().to_vec());
    let own = own.or_else(|| record.root.clone().map(String::into_bytes));
    let root = match (given, own) {
        (Some(given), Some(own)) if given != own => {
            return Err(CliError::usage(format!("the repository {name} starts from another root"))
                .hint("call the repository of the new root otherwise, or leave --root away"));
        }
        (Some(given), _) => given,
        (None, Some(own)) => own,
        (None, None) => return Err(unknown("the root")),
    };
    if known.is_none_or(|known| known.tuf_root() != root) {
        let text = String::from_utf8(root.clone()).map_err(|source| {
            CliError::usage("the TUF root is not UTF-8").because(source).hint("name a root.json")
        })?;
        record.root = Some(text);
    }
    record.repository = address.to_string();
    if let Some(target) = &args.target {
        record.target = target.clone();
    }
    Ok(Beginning { address, root, record })
}

/// What is fetched if nobody says otherwise.
fn target() -> TargetPath {
    TARGET.parse().expect("it is the path of a target")
}

/// An update that has its answer.
struct Update<'a> {
    name: &'a Name,
    kept: &'a Kept,
    held: &'a Exclusive,
    now: Timestamp,
}

impl Update<'_> {
    /// Keeps what was verified on the way, whatever comes of the rest: those of a former root may have lost
    /// their keys, and keep the rest away. Where the repository is and what it calls its target are as they
    /// were. Somebody who gave a root, and got nothing for it, gives one again; the root to start from is known
    /// without being kept.
    fn keep_metadata(
        &self,
        earlier: Option<Record>,
        root: &[u8],
        metadata: &Metadata,
    ) -> Result<Keeps, CliError> {
        if earlier.is_none() && metadata.values().all(|text| text.as_bytes() == root) {
            return Ok(Keeps::Nothing);
        }
        let known = self.name.instance();
        let new = || Some(Record::new(known?.tuf_url().to_owned(), target(), self.now));
        match earlier.or_else(new) {
            Some(mut record) if record.metadata != *metadata => {
                record.metadata = metadata.clone();
                self.kept.keep_record(self.held, self.name, &record).map_err(kept_error)?;
                Ok(Keeps::Metadata)
            }
            _ => Ok(Keeps::Nothing),
        }
    }

    /// Looks whether the target is of use, keeps it, and tells what it changes.
    fn take(
        &self,
        format: Format,
        bytes: &[u8],
        mut record: Record,
        keeps: Keeps,
    ) -> Result<Outcome, CliError> {
        let refuse = || {
            CliError::new(
                ErrorKind::Remote,
                format!(
                    "{} of {} is no trusted root that can be used",
                    record.target, record.repository
                ),
            )
            .hint(format!("name another one with --target PATH; {keeps}"))
        };
        let root = TrustRoot::parse(bytes).map_err(|source| refuse().because(source))?;
        Verifier::of_roots(vec![root.clone()]).map_err(|source| refuse().because(source))?;
        // Kept first, it mends a damaged one of the same bytes.
        let digest = self.kept.keep_root(self.held, bytes).map_err(kept_error)?;
        let earlier = self.earlier(&record);
        let before = record.current().or_else(|| earlier.as_ref().map(TrustRoot::digest));
        let outcome = match record.current() {
            None => "first",
            Some(current) if current == digest => "unchanged",
            Some(_) => "changed",
        };
        if outcome != "unchanged" {
            record.taken.push(Taken { digest, at: self.now });
        }
        self.kept.keep_record(self.held, self.name, &record).map_err(kept_error)?;
        let told = Told {
            name: self.name,
            digest,
            earlier: before,
            outcome,
            is_compared: earlier.is_some(),
            changes: earlier.map(|earlier| root.changes_since(&earlier)).unwrap_or_default(),
            record: &record,
        };
        told.print(format)
    }

    /// What is in force without this update, if it can be read: the one that is stored, else the one in the
    /// program.
    fn earlier(&self, record: &Record) -> Option<TrustRoot> {
        let Some(current) = record.current() else {
            return TrustRoot::embedded(self.name.as_str());
        };
        // One that is lost, or of a form from another time, is no reason to go without a new one.
        let bytes = self.kept.read_root(&Which::Exactly(current)).ok()?; // told as not compared
        TrustRoot::parse(&bytes).ok() // likewise
    }
}

/// What an update did.
struct Told<'a> {
    name: &'a Name,
    digest: Digest,
    earlier: Option<Digest>,
    outcome: &'static str,
    /// Whether the earlier one could be read.
    is_compared: bool,
    changes: Vec<Change>,
    record: &'a Record,
}

impl Told<'_> {
    fn print(&self, format: Format) -> Result<Outcome, CliError> {
        match format {
            Format::Json => output::data_json(&self.json())?,
            Format::Text => {
                output::data(&self.text())?;
                self.say_how_to_use();
            }
        }
        Ok(Outcome::Done)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "changes": self.changes, "compared": self.is_compared, "digest": self.digest, "earlier": self.earlier,
            "metadata": standings(self.record), "name": self.name.as_str(), "outcome": self.outcome,
            "repository": self.record.repository, "target": self.record.target,
        })
    }

    fn text(&self) -> String {
        let Self { name, digest, earlier, record, .. } = self;
        let mut lines = vec![format!("{name}: {} from {}", record.target, record.repository)];
        lines.push(match earlier {
            Some(earlier) if earlier == digest => format!("  {digest}, as before"),
            Some(earlier) => format!("  {earlier} -> {digest}"),
            None => format!("  {digest}, the first one"),
        });
        for change in &self.changes {
            lines.push(match change {
                Change::Added(member) => format!("  added    {member}"),
                Change::Removed(member) => format!("  removed  {member}"),
                Change::Changed { before, after } => {
                    format!("  changed  {before}\n      now  {after}")
                }
            });
        }
        if earlier.is_some_and(|earlier| earlier != *digest) {
            match (self.is_compared, self.changes.is_empty()) {
                (false, _) => lines.push("  the earlier one cannot be read, so nobody can say what changes".to_owned()),
                (true, true) => lines.push("  names the same authorities, logs and keys as before; what else changed is not shown".to_owned()),
                (true, false) => {}
            }
        }
        lines.extend(standings_text(record));
        lines.join("\n") + "\n"
    }

    fn say_how_to_use(&self) {
        output::say(&format!(
            "no verdict uses it unless you name it: --trusted-root stored:{}, or pinned to these bytes \
             --trusted-root stored:{digest}, also in trusted_roots of bonded.toml; a signer in a policy pins \
             it with root = \"{digest}\"",
            self.name,
            digest = self.digest,
        ));
    }
}

fn standings(record: &Record) -> BTreeMap<&'static str, Standing> {
    record.standings().into_iter().collect()
}

fn standings_text(record: &Record) -> impl Iterator<Item = String> {
    record.standings().into_iter().map(|(role, Standing { version, expires })| {
        format!("  {role:9} version {version}, good until {expires}")
    })
}

/// Whose matter it is, and what to do.
fn update_error(name: &Name, address: &Address, error: UpdateError, keeps: Keeps) -> CliError {
    let (kind, hint) = match &error {
        UpdateError::Start(_) => (
            ErrorKind::Usage,
            "--root FILE: a root.json of this repository that you have from somewhere you trust".to_owned(),
        ),
        UpdateError::Kept { .. } => (
            ErrorKind::Environment,
            "call the repository otherwise: it has become another one, or what is kept was changed by hand; if a newer version of this program was used here, use that one".to_owned(),
        ),
        UpdateError::NoTarget { .. } => (ErrorKind::Usage, format!("--target PATH names another; {keeps}")),
        UpdateError::Unreachable { .. } | UpdateError::Slow { .. } => {
            (ErrorKind::Remote, format!("run it again later; {keeps}"))
        }
        UpdateError::Refused { source: Error::Expired { .. }, .. } => (
            ErrorKind::Remote,
            format!("see whether this machine's clock is right; if it is, the repository is not looked after, or somebody holds back its news; {keeps}"),
        ),
        UpdateError::Refused { .. } => (
            ErrorKind::Remote,
            format!("ask those who run the repository, by another way than this one; {keeps}"),
        ),
    };
    CliError::new(kind, format!("cannot update the trusted root {name} from {address}"))
        .because(error)
        .hint(hint)
}

fn show(context: &Context) -> Result<Outcome, CliError> {
    let embedded = ["public-good", "staging"].map(|name| (name, TrustRoot::embedded(name)));
    let embedded: Vec<_> =
        embedded.into_iter().filter_map(|(name, root)| Some((name, root?.digest()))).collect();
    let stored = match kept(&context.config) {
        Ok(kept) => kept.read_all().map_err(kept_error)?,
        // Nothing can be stored where there is no place for it.
        Err(_no_place) => Vec::new(),
    };
    match context.format {
        Format::Json => output::data_json(&json!({
            "embedded": embedded.iter().map(|(name, digest)| json!({"digest": digest, "name": name})).collect::<Vec<_>>(),
            "stored": stored.iter().map(|(name, record)| stored_json(name, record)).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let now = clock::now()?;
            for (name, digest) in embedded {
                output::data_line(&format!("{name:24} {digest}  in the program"))?;
            }
            stored
                .iter()
                .try_for_each(|(name, record)| output::data(&stored_text(name, record, now)))?;
        }
    }
    Ok(Outcome::Done)
}

fn stored_json(name: &Name, record: &Record) -> serde_json::Value {
    json!({
        "checked": record.checked, "digest": record.current(), "metadata": standings(record),
        "name": name.as_str(), "repository": record.repository, "taken": record.taken,
        "target": record.target,
    })
}

fn stored_text(name: &Name, record: &Record, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if record.taken.is_empty() {
        lines.push(format!("{name}: no trusted root was taken yet"));
    }
    for (place, taken) in record.taken.iter().rev().enumerate() {
        let what = if place == 0 { format!("stored:{name}") } else { "  before".to_owned() };
        lines.push(format!("{what:24} {}  taken {}", taken.digest, taken.at));
    }
    lines.push(format!("  {} of {}, checked {}", record.target, record.repository, record.checked));
    let over = record.standings().into_iter().filter(|(_, standing)| standing.expires <= now);
    let over: Vec<_> =
        over.map(|(role, standing)| format!("{role} at {}", standing.expires)).collect();
    lines.extend(standings_text(record));
    if !over.is_empty() {
        lines.push(format!("  expired: {}; bonded trust update {name}", over.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn show_root(context: &Context, text: &str) -> Result<Outcome, CliError> {
    let root = GivenRoot::parse(text, Path::new("")).open(&context.config)?;
    let members = root.members();
    match context.format {
        Format::Json => output::data_json(&json!({
            "digest": root.digest(), "members": members, "name": root.name(),
        }))?,
        Format::Text => {
            output::data_line(&root.digest().to_string())?;
            members.iter().try_for_each(|member| output::data_line(&member.to_string()))?;
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a repository that the program knows a new TUF root is kept though nothing was ever taken from it,
    /// and of others nothing.
    #[test]
    fn metadata_of_a_first_update_that_failed() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::below(directory.path());
        let held = kept.lock(std::time::Duration::ZERO).unwrap();
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let metadata = Metadata::from([("root_history/99.root.json".to_owned(), "{}".to_owned())]);
        for (name, metadata, is_kept) in [
            ("corp", &metadata, false),
            ("public-good", &Metadata::new(), false),
            ("public-good", &metadata, true),
        ] {
            let name: Name = name.parse().unwrap();
            let update = Update { name: &name, kept: &kept, held: &held, now };
            // What an update started from is not what it came to.
            let started = metadata.values().next().map_or("", String::as_str).as_bytes();
            let keeps = update.keep_metadata(None, started, metadata).unwrap();
            assert!(matches!(keeps, Keeps::Nothing), "{name}");
            let keeps = update.keep_metadata(None, b"an older root", metadata).unwrap();
            assert_eq!(matches!(keeps, Keeps::Metadata), is_kept, "{name}");
            let record = kept.read(&name).unwrap();
            assert_eq!(record.as_ref().map(|record| &record.metadata), is_kept.then_some(metadata));
            let Some(record) = record else { continue };
            assert_eq!((record.root.as_deref(), record.current()), (None, None));
            assert!(
                stored_text(&name, &record, now)
                    .starts_with("public-good: no trusted root was taken yet\n")
            );
            assert!(update.earlier(&record).is_some());
        }
    }

    #[test]
    fn what_has_expired_is_told() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut record = Record::new(
            "https://x".to_owned(),
            TARGET.parse().unwrap(),
            time("2030-01-01T00:00:00Z"),
        );
        let metadata =
            json!({"signed": {"expires": "2030-02-01T00:00:00Z", "version": 7}, "signatures": []});
        record.metadata.insert("timestamp.json".to_owned(), metadata.to_string());
        for digest in [Digest::sha256_of(b"one"), Digest::sha256_of(b"two")] {
            record.taken.push(Taken { digest, at: time("2029-01-01T00:00:00Z") });
        }
        let name: Name = "corp".parse().unwrap();
        let text = stored_text(&name, &record, time("2030-01-31T23:59:59Z"));
        let newest = Digest::sha256_of(b"two");
        assert!(
            text.starts_with(&format!("stored:corp              {newest}  taken 2029-01-01")),
            "{text}"
        );
        assert!(text.contains("\n  before"), "{text}");
        assert!(
            text.contains("  timestamp version 7, good until 2030-02-01T00:00:00Z\n"),
            "{text}"
        );
        assert!(!text.contains("expired"), "{text}");
        let text = stored_text(&name, &record, time("2030-02-01T00:00:00Z"));
        assert!(
            text.contains(
                "  expired: timestamp at 2030-02-01T00:00:00Z; bonded trust update corp\n"
            ),
            "{text}"
        );
    }
}
