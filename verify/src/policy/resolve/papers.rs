//! Requirements, expressions and exceptions.

use bonded_model::toml_text;

use super::super::condition::{Condition, OF_ARTIFACT, OF_RELEASE};
use super::super::error::PolicyError;
use super::super::exception::Exception;
use super::super::require::{Of, Requirement};
use super::super::rule::{NpmRule, Template};
use super::super::written::{WrittenException, WrittenExpression, WrittenNpm, WrittenRequirement};
use super::scopes::{glob, selector, within};
use super::{known_signers, not_empty, rules, unique};
use crate::code::Code;
use crate::expression::Expression;
use crate::identity::SignerRule;
use crate::pattern::Pattern;

/// Requirements in one policy. Each artifact is held against every one of them.
const REQUIREMENT_COUNT_MAX: usize = 64;

/// Expressions in one policy. Each is evaluated for every artifact.
const CONDITION_COUNT_MAX: usize = 32;

/// Exceptions in one policy. More of them are no exceptions.
const EXCEPTION_COUNT_MAX: usize = 256;

/// A reason is told with each finding that it excepts.
const REASON_CHARACTERS_MAX: usize = 240;

pub(super) fn requirements(
    written: Vec<WrittenRequirement>,
    signers: &[SignerRule],
) -> Result<Vec<Requirement>, PolicyError> {
    within("[[require]]", written.len(), REQUIREMENT_COUNT_MAX)?;
    unique("requirement", written.iter().map(|requirement| requirement.name.as_str()))?;
    written.into_iter().map(|written| requirement(written, signers)).collect()
}

fn requirement(
    written: WrittenRequirement,
    signers: &[SignerRule],
) -> Result<Requirement, PolicyError> {
    let place = format!("requirement {:?}", written.name);
    let selector = selector(&place, written.paths, written.kinds, written.platforms)?;
    if written.of == Of::Release && !selector.is_open() {
        let reason = "paths, kinds and platforms choose artifacts, and it is of the release";
        return Err(PolicyError::Unclear { place, reason });
    }
    let predicates = not_empty(&place, "predicate", written.predicate.into_list())?;
    if predicates.contains("") {
        let reason = "its predicate is empty";
        return Err(PolicyError::Unclear { place, reason });
    }
    Ok(Requirement {
        predicates,
        of: written.of,
        selector,
        signers: known_signers(&place, written.signers, signers)?,
        demand: written.rule.unwrap_or_default(),
        count: rules::count(&place, written.quorum, written.max_age.as_deref())?,
        name: written.name,
    })
}

/// Where npm packages are published, if nothing else is said.
const NPM_REGISTRY: &str = "https://registry.npmjs.org";

pub(super) fn npm(written: WrittenNpm, signers: &[SignerRule]) -> Result<NpmRule, PolicyError> {
    let (version, registry) = (written.version, written.registry);
    let rule = NpmRule {
        demand: written.rule.unwrap_or_default(),
        package: written.package,
        version: Template(version.unwrap_or_else(|| Template::VERSION.to_owned())),
        registry: registry.unwrap_or_else(|| NPM_REGISTRY.to_owned()),
        signers: known_signers("[npm]", written.signers, signers)?,
    };
    if [rule.package.as_str(), rule.version.as_str(), &rule.registry].contains(&"") {
        let reason = "its package, version or registry is empty";
        return Err(PolicyError::Unclear { place: "[npm]".to_owned(), reason });
    }
    Ok(rule)
}

/// An expression of the release chooses no artifacts.
pub(super) fn conditions(written: Vec<WrittenExpression>) -> Result<Vec<Condition>, PolicyError> {
    within("[[expression]]", written.len(), CONDITION_COUNT_MAX)?;
    unique("expression", written.iter().map(|expression| expression.name.as_str()))?;
    written.into_iter().map(condition).collect()
}

fn condition(written: WrittenExpression) -> Result<Condition, PolicyError> {
    let place = format!("expression {:?}", written.name);
    let selector = selector(&place, written.paths, written.kinds, written.platforms)?;
    let variables: &[&str] = match written.of {
        Of::Artifacts => &OF_ARTIFACT,
        Of::Release => &OF_RELEASE,
    };
    if written.of == Of::Release && !selector.is_open() {
        let reason = "paths, kinds and platforms choose artifacts, and it is of the release";
        return Err(PolicyError::Unclear { place, reason });
    }
    if let Some(message) = &written.message
        && (message.trim().is_empty() || message.chars().count() > REASON_CHARACTERS_MAX)
    {
        let expected = format!("a message of at most {REASON_CHARACTERS_MAX} characters");
        let found = message.clone();
        return Err(PolicyError::Value { place, key: "message", found, expected });
    }
    let expression = Expression::parse(&written.cel, variables)
        .map_err(|source| PolicyError::Expression { place, source: Box::new(source) })?;
    Ok(Condition {
        expression,
        of: written.of,
        selector,
        demand: written.rule.unwrap_or_default(),
        message: written.message,
        name: written.name,
    })
}

pub(super) fn exceptions(
    written: Vec<WrittenException>,
    requirements: &[Requirement],
    conditions: &[Condition],
) -> Result<Vec<Exception>, PolicyError> {
    within("[[exception]]", written.len(), EXCEPTION_COUNT_MAX)?;
    let exceptions: Vec<_> = written.into_iter().map(exception).collect::<Result<_, _>>()?;
    let of_expressions: Vec<&str> = conditions.iter().map(|c| c.name.as_str()).collect();
    let of_requirements: Vec<&str> = requirements.iter().map(|r| r.name.as_str()).collect();
    for exception in &exceptions {
        let known = match exception.code {
            Code::ExprFalse | Code::ExprError | Code::ExprBudget => &of_expressions,
            _ => &of_requirements,
        };
        named(exception, known)?;
    }
    Ok(exceptions)
}

/// An exception from a rule that is not there would begin to hold when somebody adds one of that name.
fn named(exception: &Exception, known: &[&str]) -> Result<(), PolicyError> {
    let Some(name) = exception.name.as_deref().filter(|name| !known.contains(name)) else {
        return Ok(());
    };
    let nearest = toml_text::nearest(name, known.iter().copied());
    let expected = match nearest {
        Some(nearest) => format!("the name of a rule; did you mean {nearest:?}?"),
        None => "the name of a requirement or expression of this policy".to_owned(),
    };
    let place = format!("exception for {:?}", exception.code.as_str());
    Err(PolicyError::Value { place, key: "name", found: name.to_owned(), expected })
}

fn exception(written: WrittenException) -> Result<Exception, PolicyError> {
    let place = format!("exception for {:?}", written.code);
    let code = excepted(&place, &written.code)?;
    if code.is_of_named_rule() != written.name.as_ref().is_some_and(|name| !name.is_empty()) {
        let reason =
            "it needs the name of a requirement or expression for its codes, and for no others";
        return Err(PolicyError::Unclear { place, reason });
    }
    let reason = written.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON_CHARACTERS_MAX {
        let expected = format!("a reason of at most {REASON_CHARACTERS_MAX} characters");
        return Err(PolicyError::Value { place, key: "reason", found: reason, expected });
    }
    let selector = selector(&place, written.paths, None, None)?;
    Ok(Exception {
        code,
        name: written.name,
        paths: selector.paths,
        versions: versions(&place, written.versions)?,
        until: written.until,
        reason,
    })
}

fn excepted(place: &str, text: &str) -> Result<Code, PolicyError> {
    let known = Code::ALL.iter().find(|code| code.as_str() == text);
    let expected = match known {
        Some(code) if code.may_be_excepted() => return Ok(*code),
        Some(_) => {
            "a code that may be excepted: whether a signature is genuine is no matter of date"
        }
        None => {
            let codes = Code::ALL.iter().map(|code| code.as_str());
            toml_text::nearest(text, codes).unwrap_or("a code of docs/findings.md")
        }
    };
    Err(PolicyError::Value {
        place: place.to_owned(),
        key: "code",
        found: text.to_owned(),
        expected: expected.to_owned(),
    })
}

fn versions(place: &str, written: Option<Vec<String>>) -> Result<Vec<Pattern>, PolicyError> {
    let Some(written) = written else { return Ok(Vec::new()) };
    let texts = not_empty(place, "versions", written)?;
    texts.into_iter().map(|text| glob(place, "versions", text)).collect()
}
