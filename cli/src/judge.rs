//! Reaching verdicts: loads policies and the trust root, gathers evidence, asks `verify`.
//!
//! A verdict that was reached before is not reached again: this is the only place that reads and writes kept
//! ones. They lie in the store's facts, with the mark of a key that lies outside of it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bonded_model::limits::POLICY_BYTES_MAX;
use bonded_model::{Digest, Project, Release, ReleaseName, Timestamp};
use bonded_store::{Gathered, Snapshot, disk};
use bonded_verify::{
    CacheKey, CacheQuestion, Policy, PublicKey, Verdict, Verified, Verifier, verify_release,
    verify_summary,
};

use crate::args::JudgeArgs;
use crate::clock;
use crate::config::Config;
use crate::error::CliError;
use crate::roots::verifier;
use crate::{describe, output, report, state};

/// This build of the program.
pub(crate) const PROGRAM: &str = env!("BONDED_BUILD");

/// All that verdicts depend on besides the evidence.
#[derive(Debug)]
pub(crate) struct Judge {
    verifier: Verifier,
    policies: Policies,
    now: Timestamp,
    /// The mark of verdicts that are kept; none where none are.
    cache: Option<CacheKey>,
}

/// Which policy is in force for which project.
#[derive(Debug)]
enum Policies {
    /// One from the command line, for every project.
    One(Box<Policy>),
    /// The configured ones, each read when it is first asked for; a project without one is denied.
    PerProject(BTreeMap<Project, (PathBuf, OnceCell<Policy>)>),
}

/// What became of several releases.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Those that may leave.
    pub(crate) admitted: Vec<Verified<Release>>,
    /// How many may not; each was named on stderr with the reason.
    pub(crate) refused: usize,
    /// What kept a verdict from being reached at all, besides a missing policy.
    pub(crate) errors: Vec<CliError>,
}

/// What is asked of one release.
struct Asked<'a> {
    policy: &'a Policy,
    /// Which kept verdict would answer it; none where none is looked for.
    question: Option<(&'a CacheKey, CacheQuestion<'a>)>,
    /// What the files of the release were seen to be, where the policy asks for it: the question pins it.
    content: Option<Digest>,
}

/// Why one release stays here.
enum Stays {
    /// The verdict is a fail, or there is no policy to reach one under.
    Refused(String),
    /// No decision could be reached.
    Undecided(CliError),
}

impl Judge {
    /// Loads what the command line and the configuration name.
    pub(crate) fn load(config: &Config, args: &JudgeArgs) -> Result<Self, CliError> {
        let policies = match &args.policy {
            Some(file) => Policies::One(Box::new(read_policy(file)?)),
            None => {
                let unread = |(project, file): (&Project, &PathBuf)| {
                    (project.clone(), (file.clone(), OnceCell::new()))
                };
                Policies::PerProject(config.policies.iter().map(unread).collect())
            }
        };
        Ok(Self {
            verifier: verifier(config, &args.trusted_roots)?,
            policies,
            now: as_of(args)?,
            // Who names a time wants to know what is found then; and a signature library looks at this
            // machine's clock too.
            cache: if args.no_cache || args.at.is_some() { None } else { state::cache_key(config) },
        })
    }

    /// The policy in force for a project.
    pub(crate) fn policy(&self, project: &Project) -> Result<&Policy, CliError> {
        let policies = match &self.policies {
            Policies::One(policy) => return Ok(policy),
            Policies::PerProject(policies) => policies,
        };
        let Some((file, cell)) = policies.get(project) else { return Err(no_policy(project)) };
        match cell.get() {
            Some(policy) => Ok(policy),
            None => {
                let policy = read_policy(file)?;
                Ok(cell.get_or_init(|| policy))
            }
        }
    }

    /// The verdict on one release.
    pub(crate) fn verdict(
        &self,
        snapshot: &Snapshot,
        name: &ReleaseName,
    ) -> Result<Verdict, CliError> {
        let asked = self.asked(snapshot, name)?;
        match self.kept(snapshot, &asked) {
            Some(verdict) => Ok(verdict),
            None => Ok(self.reach(snapshot, &asked, &gather(snapshot, name)?)),
        }
    }

    /// The verdict that decides whether a release may leave, and, where none of its signed summaries stands for
    /// it, what they are worth. A summary is enough if the policy names whose count; the evidence is gathered
    /// once, and not at all where a verdict that passes is kept.
    fn decide(
        &self,
        snapshot: &Snapshot,
        name: &ReleaseName,
    ) -> Result<(Verdict, Option<Verdict>), CliError> {
        if !self.policy(&name.project)?.accepts_summaries() {
            return Ok((self.verdict(snapshot, name)?, None));
        }
        let asked = self.asked(snapshot, name)?;
        let mut kept = self.kept(snapshot, &asked);
        if let Some(pass) = kept.take_if(|kept| kept.is_pass()) {
            return Ok((pass, None));
        }
        let gathered = gather(snapshot, name)?;
        let evidence = &gathered.evidence;
        let summarised = verify_summary(&self.verifier, asked.policy, evidence, self.now, PROGRAM);
        if summarised.is_pass() {
            say_summary(name, &summarised);
            return Ok((summarised, None));
        }
        let verdict = kept.unwrap_or_else(|| self.reach(snapshot, &asked, &gathered));
        Ok((verdict, Some(summarised)))
    }

    fn asked<'a>(
        &'a self,
        snapshot: &Snapshot,
        name: &'a ReleaseName,
    ) -> Result<Asked<'a>, CliError> {
        let policy = self.policy(&name.project)?;
        let nothing_kept = Asked { policy, question: None, content: None };
        let Some(key) = &self.cache else { return Ok(nothing_kept) };
        let Some((papers, content)) = papers(snapshot, name, policy) else {
            return Ok(nothing_kept);
        };
        let (of, trust_root) = (policy.digest(), self.verifier.trust_root_digest());
        let question =
            CacheQuestion { program: PROGRAM, release: name, papers, policy: of, trust_root };
        Ok(Asked { policy, question: Some((key, question)), content })
    }

    fn kept(&self, snapshot: &Snapshot, asked: &Asked<'_>) -> Option<Verdict> {
        let (key, question) = asked.question.as_ref()?;
        let bytes = snapshot.facts().kept(&question.slot())?;
        Verdict::from_cache(&bytes, question, key, self.now)
    }

    /// Reaches a verdict, and keeps it.
    fn reach(&self, snapshot: &Snapshot, asked: &Asked<'_>, gathered: &Gathered) -> Verdict {
        let verdict = verify_release(&self.verifier, asked.policy, &gathered.evidence, self.now);
        // It rests on what was gathered, which may have been another look than the one that is pinned.
        let is_pinned = asked.content.is_none_or(|content| content == gathered.content());
        if let Some((key, question)) = &asked.question
            && gathered.is_certain
            && is_pinned
            && let Some(bytes) = verdict.to_cache(question, key)
        {
            snapshot.facts().keep(&question.slot(), &bytes);
        }
        verdict
    }

    /// Verdicts on several releases: the ones that pass may leave, the others are named on stderr
    /// and keep nobody else here.
    pub(crate) fn admit(&self, snapshot: &Snapshot, names: &[ReleaseName]) -> Judged {
        let mut judged = Judged { admitted: Vec::new(), refused: 0, errors: Vec::new() };
        for name in names {
            match self.admit_one(snapshot, name) {
                Ok(verified) => judged.admitted.push(verified),
                Err(stays) => {
                    judged.refused += 1;
                    match stays {
                        Stays::Refused(why) => output::say(&format!("{name} stays here: {why}")),
                        Stays::Undecided(error) => {
                            output::say(&format!("{name} stays here: no verdict could be reached"));
                            judged.errors.push(error);
                        }
                    }
                }
            }
        }
        judged
    }

    fn admit_one(
        &self,
        snapshot: &Snapshot,
        name: &ReleaseName,
    ) -> Result<Verified<Release>, Stays> {
        let has_policy = match &self.policies {
            Policies::One(_) => true,
            Policies::PerProject(policies) => policies.contains_key(&name.project),
        };
        if !has_policy {
            return Err(Stays::Refused(format!("\n{}", no_policy(&name.project))));
        }
        let release =
            snapshot.release(name).map_err(|e| Stays::Undecided(report::store_error(e)))?;
        let (verdict, unheard) = self.decide(snapshot, name).map_err(Stays::Undecided)?;
        verdict.admit(release).map_err(|verdict| {
            let fails = describe::fails(&verdict);
            let why = unheard.map(|unheard| {
                format!("\nno summary stands for it\n{}", describe::fails(&unheard))
            });
            Stays::Refused(format!("its verdict is a fail\n{fails}{}", why.unwrap_or_default()))
        })
    }
}

/// Names the summary that opens the door.
fn say_summary(name: &ReleaseName, verdict: &Verdict) {
    let accepted = verdict.artifacts().iter().flat_map(|artifact| &artifact.accepted).next();
    if let Some(accepted) = accepted {
        output::say(&format!("{name} is taken on the summary {}", accepted.document));
    }
}

fn gather(snapshot: &Snapshot, name: &ReleaseName) -> Result<Gathered, CliError> {
    snapshot.gather(name).map_err(report::store_error)
}

/// What stands for the evidence of a release, and for what its files are where the policy asks for that.
fn papers(
    snapshot: &Snapshot,
    name: &ReleaseName,
    policy: &Policy,
) -> Option<(Digest, Option<Digest>)> {
    // What is wrong is told by whoever reads the evidence.
    let papers = snapshot.papers(name).ok().flatten()?;
    if !policy.looks_at_content() {
        return Some((papers.digest, None));
    }
    let content = snapshot.content(name).ok()?; // as above
    Some((papers.with_content(content), Some(content)))
}

fn no_policy(project: &Project) -> CliError {
    CliError::usage(format!("project {project} has no policy, so nothing of it may leave")).hint(
        format!(
            "give --policy FILE, or write [projects.{project}] with policy = \"FILE\" into bonded.toml; \
             bonded policy init PROJECT@VERSION proposes one"
        ),
    )
}

/// The moment that verdicts speak of.
pub(crate) fn as_of(args: &JudgeArgs) -> Result<Timestamp, CliError> {
    match args.at {
        Some(at) => Ok(at),
        None => clock::now(),
    }
}

/// Reads a policy file that is to be applied.
pub(crate) fn read_policy(file: &Path) -> Result<Policy, CliError> {
    let refuse = || {
        CliError::usage(format!("cannot use policy {}", file.display()))
            .hint(format!("bonded policy check {}", file.display()))
    };
    parse_policy(file, &refuse)
}

/// Reads a policy file, and the base beside it where it has one.
pub(crate) fn parse_policy(file: &Path, refuse: &dyn Fn() -> CliError) -> Result<Policy, CliError> {
    let text = read_text(file, refuse)?;
    let parsed = match Policy::base_of(&text).map_err(|source| refuse().because(source))? {
        None => Policy::parse(&text),
        Some(name) => {
            let beside = file.with_file_name(&name);
            let base = disk::read_file(&beside, POLICY_BYTES_MAX).map_err(|source| {
                CliError::usage(format!(
                    "cannot read {}, the base of policy {}",
                    beside.display(),
                    file.display()
                ))
                .because(source)
                .hint(format!("put {name} beside it, or take the line with base out of it"))
            })?;
            let base = String::from_utf8(base).map_err(|source| refuse().because(source))?;
            Policy::parse_over(&text, &base)
        }
    };
    parsed.map_err(|source| refuse().because(source))
}

fn read_text(file: &Path, refuse: &dyn Fn() -> CliError) -> Result<String, CliError> {
    let bytes = read(file, POLICY_BYTES_MAX, "policy")?;
    String::from_utf8(bytes).map_err(|source| refuse().because(source))
}

/// Reads a public key.
pub(crate) fn read_key(file: &Path) -> Result<PublicKey, CliError> {
    let pem = read(file, POLICY_BYTES_MAX, "public key")?;
    PublicKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|source| {
        CliError::usage(format!("{} is no public key", file.display()))
            .because(source)
            .hint("name the .pub file that bonded keygen wrote, or another public key in PEM")
    })
}

/// Reads an ordinary file that the command line names.
pub(crate) fn read(file: &Path, limit: u64, what: &str) -> Result<Vec<u8>, CliError> {
    disk::read_file(file, limit).map_err(|source| report::unreadable(what, file, source))
}
