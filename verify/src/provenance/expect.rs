//! What a policy may expect of a provenance beyond its source, ref, build type and names of parameters:
//! a range of versions, the numbers of repository and owner, inputs, values of parameters, dependencies.
//!
//! Each expectation is off unless the policy states it, and a document that says nothing about what is
//! expected does not meet it.

use std::collections::BTreeMap;

use bonded_model::slsa::{Provenance, Source, Stated};
use bonded_model::statement::DigestSet;
use serde_json::Value;
use serde_json::value::RawValue;

use super::version::VersionRange;
use super::{beside_source, triggers};
use crate::attestation::Frame;
use crate::code::Code;
use crate::finding::Fault;
use crate::identity::{Claim, Holder};
use crate::pattern::Pattern;
use crate::policy::Template;

/// The further expectations of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expect {
    /// A tag of a semantic version, of which some parts may be left open.
    pub(crate) versioned_tag: Option<Template>,
    /// The number of the source repository.
    pub(crate) source_id: Option<String>,
    /// The number of the owner of the source repository.
    pub(crate) source_owner_id: Option<String>,
    /// What the workflow was started with.
    pub(crate) inputs: BTreeMap<String, String>,
    /// Values of external parameters.
    pub(crate) parameter_values: BTreeMap<String, Wanted>,
    /// The only dependencies that a build may have, beside its source.
    pub(crate) dependencies: Option<Vec<Dependency>>,
}

/// A value as a policy writes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Wanted {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<Wanted>),
    /// Members that an object must have; it may have others.
    Members(BTreeMap<String, Wanted>),
}

/// A dependency that a build may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) uri: Pattern,
    /// What the provenance must say of its digests.
    pub(crate) digest: BTreeMap<String, String>,
}

impl Expect {
    /// The key of the first expectation that another states and this one does not.
    pub(crate) fn wider_than(&self, other: &Self) -> Option<&'static str> {
        let members = |mine: bool, key| (!mine).then_some(key);
        let stated =
            |other: &Option<String>, mine: &Option<String>| other.is_none() || mine == other;
        let tag = other.versioned_tag.is_none() || self.versioned_tag == other.versioned_tag;
        let inputs = other.inputs.iter().all(|(name, value)| self.inputs.get(name) == Some(value));
        let mut values = other.parameter_values.iter();
        let values = values.all(|(name, value)| self.parameter_values.get(name) == Some(value));
        let dependencies = other.dependencies.as_ref().is_none_or(|theirs| {
            let mine = self.dependencies.as_ref();
            mine.is_some_and(|mine| mine.iter().all(|one| theirs.contains(one)))
        });
        [
            members(tag, "versioned_tag"),
            members(stated(&other.source_id, &self.source_id), "source_id"),
            members(stated(&other.source_owner_id, &self.source_owner_id), "source_owner_id"),
            members(inputs, "inputs"),
            members(values, "parameter_values"),
            members(dependencies, "dependencies"),
        ]
        .into_iter()
        .flatten()
        .next()
    }

    /// What stands against a provenance; none of the expectations stops another.
    pub(crate) fn faults(
        &self,
        frame: &Frame<'_>,
        holder: Option<&Holder>,
        provenance: &Provenance,
    ) -> Vec<Fault> {
        let ids = [
            (&self.source_id, Claim::SourceRepositoryId, Stated::RepositoryId),
            (&self.source_owner_id, Claim::SourceRepositoryOwnerId, Stated::RepositoryOwnerId),
        ];
        let ids = ids.into_iter().filter_map(|(wanted, claim, stated)| {
            id_fault(wanted.as_deref()?, claim, stated, holder, provenance)
        });
        let tag = self.versioned_tag.as_ref();
        let mut faults: Vec<_> = ids.collect();
        faults.extend(tag.into_iter().flat_map(|tag| tag_faults(tag, frame, provenance)));
        faults.extend(
            self.inputs
                .iter()
                .filter_map(|(name, value)| input_fault(name, value, &provenance.inputs)),
        );
        faults.extend(self.parameter_values.iter().filter_map(|(name, wanted)| {
            value_fault(name, wanted, provenance.external_parameters.get(name).map(AsRef::as_ref))
        }));
        let allowed = self.dependencies.as_deref();
        faults.extend(allowed.into_iter().flat_map(|all| dependency_faults(all, provenance)));
        faults
    }
}

/// The tag that started the build must be in the range, and be a tag.
fn tag_faults(tag: &Template, frame: &Frame<'_>, provenance: &Provenance) -> Vec<Fault> {
    const PREFIX: &str = "refs/tags/";
    let Some(text) = tag.fill(frame.version) else {
        let seen = "no version was given to fill it in";
        return vec![Fault::new(Code::ProvRef, tag.as_str(), seen)];
    };
    let expected = format!("{PREFIX}{text}, or a version under it");
    let Some(range) = VersionRange::parse(&text) else {
        return vec![Fault::new(Code::ProvRef, "a semantic version such as v1.2", text)];
    };
    let seen: Vec<_> = triggers(&provenance.sources)
        .map(|source| source.repository_and_ref().1.unwrap_or("no ref").to_owned())
        .collect();
    if seen.is_empty() {
        return vec![Fault::new(Code::ProvRef, expected, "no source")];
    }
    let in_range =
        |reference: &str| reference.strip_prefix(PREFIX).is_some_and(|tag| range.holds(tag));
    let wrong = seen.into_iter().filter(|reference| !in_range(reference));
    wrong.map(|reference| Fault::new(Code::ProvRef, &expected, reference)).collect()
}

/// A certificate's claim is believed before what the provenance says; a holder without the claim is not
/// known to be the wanted one.
fn id_fault(
    wanted: &str,
    claim: Claim,
    stated: Stated,
    holder: Option<&Holder>,
    provenance: &Provenance,
) -> Option<Fault> {
    let seen: Vec<_> = match holder {
        Some(holder) => holder.claims.get(&claim).map(String::as_str).into_iter().collect(),
        None => {
            let all = provenance.stated.iter().filter(|(fact, _)| *fact == stated);
            all.map(|(_, value)| value.as_str()).collect()
        }
    };
    let holds = !seen.is_empty() && seen.iter().all(|seen| *seen == wanted);
    let text = |value: &str| format!("{} = {value}", claim.name());
    let shown = if seen.is_empty() { "(none)".to_owned() } else { seen.join(", ") };
    (!holds).then(|| Fault::new(Code::ProvSource, text(wanted), text(&shown)))
}

/// One place must name the input, and every place that names it must give it the value.
fn input_fault(
    name: &str,
    wanted: &str,
    inputs: &[BTreeMap<String, Box<RawValue>>],
) -> Option<Fault> {
    let seen: Vec<_> =
        inputs.iter().filter_map(|inputs| inputs.get(name)).map(|raw| scalar(raw)).collect();
    if !seen.is_empty() && seen.iter().all(|seen| seen == wanted) {
        return None;
    }
    let wrong = seen.iter().find(|seen| *seen != wanted);
    let seen = wrong.map_or_else(|| "no such input".to_owned(), |seen| format!("{name} = {seen}"));
    Some(Fault::new(Code::ProvInput, format!("{name} = {wanted}"), seen))
}

/// A text without its quotes, and everything else as it is written: inputs are texts on GitHub, and what
/// delegated builds make of them are flags and numbers too.
fn scalar(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_no_text| raw.get().to_owned())
}

fn value_fault(name: &str, wanted: &Wanted, raw: Option<&RawValue>) -> Option<Fault> {
    let Some(raw) = raw else {
        return Some(Fault::new(Code::ProvValue, name, "no such parameter"));
    };
    let value = serde_json::from_str::<Value>(raw.get());
    if value.is_ok_and(|value| wanted.meets(&value)) {
        return None;
    }
    let expected = format!("{name} = {wanted}");
    Some(Fault::new(Code::ProvValue, expected, format!("{name} = {}", raw.get())))
}

impl Wanted {
    fn meets(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Flag(wanted), Value::Bool(seen)) => wanted == seen,
            (Self::Number(wanted), Value::Number(seen)) => seen.as_i64() == Some(*wanted),
            (Self::Text(wanted), Value::String(seen)) => wanted == seen,
            (Self::List(wanted), Value::Array(seen)) => {
                wanted.len() == seen.len() && wanted.iter().zip(seen).all(|(w, s)| w.meets(s))
            }
            (Self::Members(wanted), Value::Object(seen)) => {
                wanted.iter().all(|(name, w)| seen.get(name).is_some_and(|s| w.meets(s)))
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(values) => {
                f.write_str("[")?;
                for value in values {
                    write!(f, "{separator}{value}")?;
                    separator = ", ";
                }
                f.write_str("]")
            }
            Self::Members(members) => {
                f.write_str("{")?;
                for (name, value) in members {
                    write!(f, "{separator}{name:?}: {value}")?;
                    separator = ", ";
                }
                f.write_str("}")
            }
        }
    }
}

/// Every dependency must be listed, but for what is the source that started the build: source and ref
/// have rules of their own.
fn dependency_faults(allowed: &[Dependency], provenance: &Provenance) -> Vec<Fault> {
    let others = beside_source(&provenance.sources);
    others.filter_map(|material| dependency_fault(allowed, material)).collect()
}

fn dependency_fault(allowed: &[Dependency], material: &Source) -> Option<Fault> {
    let named: Vec<_> = allowed.iter().filter(|d| d.uri.matches(&material.uri)).collect();
    if named.iter().any(|dependency| dependency.agrees(&material.digest)) {
        return None;
    }
    let seen = |digest: &DigestSet| {
        let digests: Vec<_> = digest.iter().map(|(name, hex)| format!("{name}:{hex}")).collect();
        format!("{} {}", material.uri, digests.join(", "))
    };
    let expected = match named.as_slice() {
        [] => {
            let all: Vec<_> = allowed.iter().map(|d| d.uri.as_str()).collect();
            if all.is_empty() { "no dependency".to_owned() } else { all.join(" or ") }
        }
        named => named.iter().map(|d| d.text()).collect::<Vec<_>>().join(" or "),
    };
    Some(Fault::new(Code::ProvDependency, expected, seen(&material.digest)))
}

impl Dependency {
    fn agrees(&self, stated: &DigestSet) -> bool {
        self.digest.iter().all(|(name, text)| stated.get(name) == Some(text))
    }

    fn text(&self) -> String {
        let digests: Vec<_> =
            self.digest.iter().map(|(name, hex)| format!("{name}:{hex}")).collect();
        format!("{} {}", self.uri.as_str(), digests.join(", "))
    }
}
