//! Artifact rules: what the materials and products of a step may be (in-toto specification, section 4.3.3).
//!
//! Each rule takes files out of a queue, like rules of a firewall; what is left at the end is allowed, so a
//! careful list ends in `DISALLOW *`. The crate `in-toto` has these rules too, but its `MATCH` takes files
//! that its pattern does not match, so they are held here.

use std::collections::{BTreeMap, BTreeSet};

use bonded_model::Digest;
use in_toto::models::rule::{Artifact, ArtifactRule};
use in_toto::models::step::Step;

use super::metablock::{Artifacts, Link, is_shortest};
use super::pattern::{Budget, Exhausted, Glob, has_parameter};

/// A rule of which it is clear what it means.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    glob: Glob,
    action: Action<'a>,
}

#[derive(Debug)]
enum Action<'a> {
    Create,
    Delete,
    Modify,
    Allow,
    Require,
    Disallow,
    Match { within: Prefix, with: &'a Artifact, there: Prefix, from: &'a str },
}

/// A directory with `/` at its end, or nothing.
#[derive(Debug)]
struct Prefix(String);

impl Prefix {
    /// `None` for what is no path in its shortest form: the root among them, which is no directory of a build.
    fn parse(text: Option<&String>) -> Option<Self> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Some(Self(String::new()));
        };
        let path = text.strip_suffix('/').unwrap_or(text);
        (is_shortest(path) && !has_parameter(path)).then(|| Self(format!("{path}/")))
    }
}

/// The rules of one step.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) materials: Vec<Rule<'a>>,
    pub(super) products: Vec<Rule<'a>>,
}

impl<'a> Rules<'a> {
    /// The rules of a step.
    ///
    /// # Errors
    /// The first rule of which it is not clear what it means, as text.
    pub(super) fn parse(step: &'a Step) -> Result<Self, String> {
        let all = |rules: &'a [ArtifactRule]| {
            rules.iter().map(Rule::parse).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            materials: all(&step.expected_materials)?,
            products: all(&step.expected_products)?,
        })
    }
}

impl<'a> Rule<'a> {
    fn parse(written: &'a ArtifactRule) -> Result<Self, String> {
        let pattern = written.pattern().value();
        let unclear = || format!("the rule {}", told(written));
        let glob = Glob::parse(pattern).ok_or_else(unclear)?;
        let action = match written {
            ArtifactRule::Create(_) => Action::Create,
            ArtifactRule::Delete(_) => Action::Delete,
            ArtifactRule::Modify(_) => Action::Modify,
            ArtifactRule::Allow(_) => Action::Allow,
            // Some take it for the name of one file, others for a pattern.
            ArtifactRule::Require(_) if glob.is_literal() => Action::Require,
            ArtifactRule::Require(_) => return Err(unclear()),
            ArtifactRule::Disallow(_) => Action::Disallow,
            ArtifactRule::Match { in_src, with, in_dst, from, .. } => {
                let prefix = |text: &Option<String>| Prefix::parse(text.as_ref());
                let (within, there) = prefix(in_src).zip(prefix(in_dst)).ok_or_else(unclear)?;
                Action::Match { within, with, there, from }
            }
        };
        Ok(Self { glob, action })
    }

    /// The step whose link it compares with.
    pub(super) fn from(&self) -> Option<&'a str> {
        match &self.action {
            Action::Match { from, .. } => Some(from),
            _ => None,
        }
    }

    fn told(&self) -> String {
        let word = match &self.action {
            Action::Create => "CREATE",
            Action::Delete => "DELETE",
            Action::Modify => "MODIFY",
            Action::Allow => "ALLOW",
            Action::Require => "REQUIRE",
            Action::Disallow => "DISALLOW",
            Action::Match { .. } => "MATCH",
        };
        format!("{word} {}", self.glob.as_str())
    }
}

fn told(rule: &ArtifactRule) -> String {
    // A rule that was read from JSON can be written as JSON.
    serde_json::to_string(rule).unwrap_or_default()
}

/// A rule that files break.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Breach {
    /// The rule, in words.
    pub(super) rule: String,
    /// The files.
    pub(super) paths: Vec<String>,
}

/// The links of all steps, by the step's name.
pub(super) type Links<'a> = BTreeMap<&'a str, &'a Link>;

/// Holds the materials and the products of a step to its rules.
pub(super) fn breaches(
    rules: &Rules<'_>,
    link: &Link,
    links: &Links<'_>,
    budget: &mut Budget,
) -> Result<Vec<Breach>, Exhausted> {
    let mut breaches = Vec::new();
    let both = [
        ("materials", &rules.materials, &link.materials),
        ("products", &rules.products, &link.products),
    ];
    for (what, rules, held) in both {
        let mut queue: BTreeSet<&str> = held.keys().map(String::as_str).collect();
        for rule in rules {
            let seen = Seen { link, held, links };
            match seen.apply(rule, &queue, budget)? {
                Outcome::Taken(taken) => queue.retain(|path| !taken.contains(path)),
                Outcome::Broken(paths) => {
                    let paths = paths.into_iter().map(str::to_owned).collect();
                    breaches
                        .push(Breach { rule: format!("{} among the {what}", rule.told()), paths });
                    break;
                }
            }
        }
    }
    Ok(breaches)
}

enum Outcome<'a> {
    Taken(BTreeSet<&'a str>),
    Broken(Vec<&'a str>),
}

/// What one rule looks at.
struct Seen<'a, 'l> {
    link: &'a Link,
    /// Its materials or its products.
    held: &'a Artifacts,
    links: &'a Links<'l>,
}

impl<'a> Seen<'a, '_> {
    fn apply(
        &self,
        rule: &Rule<'_>,
        queue: &BTreeSet<&'a str>,
        budget: &mut Budget,
    ) -> Result<Outcome<'a>, Exhausted> {
        if let Action::Match { within, with, there, from } = &rule.action {
            let wanted = Wanted { glob: &rule.glob, within, with, there, from };
            return Ok(Outcome::Taken(self.matched(&wanted, queue, budget)?));
        }
        let mut filtered = BTreeSet::new();
        for path in queue {
            if rule.glob.matches(path, budget)? {
                filtered.insert(*path);
            }
        }
        let before = |path: &str| self.link.materials.get(path);
        let after = |path: &str| self.link.products.get(path);
        match rule.action {
            Action::Create => {
                filtered.retain(|path| before(path).is_none() && after(path).is_some())
            }
            Action::Delete => {
                filtered.retain(|path| before(path).is_some() && after(path).is_none())
            }
            Action::Modify => filtered.retain(|path| {
                before(path).zip(after(path)).is_some_and(|(before, after)| !before.agree(after))
            }),
            Action::Require if filtered.is_empty() => return Ok(Outcome::Broken(Vec::new())),
            Action::Require => filtered.clear(),
            Action::Disallow if !filtered.is_empty() => {
                return Ok(Outcome::Broken(filtered.into_iter().collect()));
            }
            Action::Disallow | Action::Allow | Action::Match { .. } => {}
        }
        Ok(Outcome::Taken(filtered))
    }

    /// The files that another step had under the same name, with the same digests.
    fn matched(
        &self,
        wanted: &Wanted<'_>,
        queue: &BTreeSet<&'a str>,
        budget: &mut Budget,
    ) -> Result<BTreeSet<&'a str>, Exhausted> {
        let mut taken = BTreeSet::new();
        let Some(from) = self.links.get(wanted.from) else { return Ok(taken) };
        let others = match wanted.with {
            Artifact::Materials => &from.materials,
            Artifact::Products => &from.products,
        };
        for path in queue {
            let Some(name) = path.strip_prefix(wanted.within.0.as_str()) else { continue };
            if !wanted.glob.matches(name, budget)? {
                continue;
            }
            let other = others.get(&format!("{}{name}", wanted.there.0));
            if self.held.get(*path).zip(other).is_some_and(|(one, other)| one.agree(other)) {
                taken.insert(*path);
            }
        }
        Ok(taken)
    }
}

/// What a `MATCH` compares.
struct Wanted<'a> {
    glob: &'a Glob,
    within: &'a Prefix,
    with: &'a Artifact,
    there: &'a Prefix,
    from: &'a str,
}

/// The products of a link by their SHA-256, with every SHA-512 that it has for them.
pub(super) fn by_digest(products: &Artifacts) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for hashes in products.values() {
        found.entry(hashes.sha256).or_default().extend(hashes.sha512);
    }
    found
}
