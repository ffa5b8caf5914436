//! The further expectations of `[provenance]`: as written, as checked, and told in sentences.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::PolicyError;
use super::rule::Template;
use super::written::WrittenProvenance;
use crate::pattern::Pattern;
use crate::provenance::{Dependency, Expect, VersionRange};

/// A value of an input. GitHub hands inputs on as texts; flags and numbers are written as such.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum WrittenScalar {
    Flag(bool),
    Number(i64),
    Text(String),
}

/// A dependency by the pattern of its URI, or with digests beside it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum WrittenDependency {
    Uri(String),
    Pinned(WrittenPinned),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPinned {
    uri: String,
    digest: BTreeMap<String, String>,
}

/// Takes the further expectations out of the table and checks them.
pub(super) fn resolve(place: &str, written: &mut WrittenProvenance) -> Result<Expect, PolicyError> {
    let dependencies = written.dependencies.take();
    let dependencies =
        dependencies.map(|all| all.into_iter().map(|one| dependency(place, one)).collect());
    Ok(Expect {
        versioned_tag: written
            .versioned_tag
            .take()
            .map(|text| versioned_tag(place, text))
            .transpose()?,
        source_id: written.source_id.take(),
        source_owner_id: written.source_owner_id.take(),
        inputs: std::mem::take(&mut written.inputs)
            .into_iter()
            .map(|(name, value)| (name, value.into_text()))
            .collect(),
        parameter_values: std::mem::take(&mut written.parameter_values),
        dependencies: dependencies.transpose()?,
    })
}

/// A range that a version is filled into is checked when it is.
fn versioned_tag(place: &str, text: String) -> Result<Template, PolicyError> {
    let template = Template(text);
    match template.fill(None) {
        Some(found) if VersionRange::parse(&found).is_none() => {
            let expected = "a semantic version such as v1, v1.2 or v1.2.3";
            Err(value(place, "versioned_tag", found, expected))
        }
        _ => Ok(template),
    }
}

fn dependency(place: &str, written: WrittenDependency) -> Result<Dependency, PolicyError> {
    let (uri, digest) = match written {
        WrittenDependency::Uri(uri) => (uri, BTreeMap::new()),
        WrittenDependency::Pinned(pinned) => (pinned.uri, pinned.digest),
    };
    match Pattern::glob(&uri) {
        Ok(pattern) if !uri.is_empty() => Ok(Dependency { uri: pattern, digest }),
        _ => Err(value(place, "dependencies", uri, "a pattern of a URI")),
    }
}

fn value(place: &str, key: &'static str, found: String, expected: &str) -> PolicyError {
    PolicyError::Value { place: place.to_owned(), key, found, expected: expected.to_owned() }
}

impl WrittenScalar {
    fn into_text(self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl Expect {
    /// One line for each expectation that is stated.
    pub(super) fn explain(&self) -> Vec<String> {
        let id = |what: &str, id: &Option<String>| {
            id.as_ref().map(|id| format!("  from the {what} with the number {id}"))
        };
        let ids =
            [id("repository", &self.source_id), id("owner", &self.source_owner_id)].into_iter();
        let inputs = self
            .inputs
            .iter()
            .map(|(name, value)| format!("  started with the input {name} = {value}"));
        let values = self.parameter_values.iter();
        let values = values.map(|(name, value)| format!("  with the parameter {name} = {value}"));
        let dependencies = self.dependencies.iter().map(|all| {
            let all: Vec<_> = all.iter().map(|dependency| dependency.uri.as_str()).collect();
            match all.as_slice() {
                [] => "  with no dependencies beside its source".to_owned(),
                all => format!("  with no dependencies beside its source but {}", all.join(" or ")),
            }
        });
        ids.flatten().chain(inputs).chain(values).chain(dependencies).collect()
    }
}
