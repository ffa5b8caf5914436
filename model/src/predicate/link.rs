//! Links: one step of a supply chain (in-toto/attestation, spec/predicates/link.md, v0.2 and v0.3).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{PredicateError, Resource, of, value};
use crate::statement::{DigestSet, Statement};

/// Predicate type of a link v0.2.
pub const LINK_V0_2: &str = "https://in-toto.io/Link/v0.2";
/// Predicate type of a link v0.3.
pub const LINK_V0_3: &str = "https://in-toto.io/attestation/link/v0.3";

/// What one step used; what it made are the subjects of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the step.
    pub name: String,
    /// The command with its arguments, where it is told.
    pub command: Vec<String>,
    /// Inputs by name.
    pub materials: BTreeMap<String, DigestSet>,
}

#[derive(Deserialize)]
struct Wire<M> {
    name: String,
    command: Option<Command>,
    materials: Option<M>,
}

/// A list, or in v0.2 also one text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    List(Vec<String>),
    Text(String),
}

impl Link {
    pub(super) fn parse(statement: &Statement) -> Result<Self, PredicateError> {
        if statement.predicate_type == LINK_V0_2 {
            let wire: Wire<BTreeMap<String, DigestSet>> = of(statement)?;
            let materials = wire.materials.unwrap_or_default();
            return Ok(Self { name: wire.name, command: words(wire.command), materials });
        }
        let wire: Wire<Vec<Resource>> = of(statement)?;
        let mut names = BTreeSet::new();
        for subject in &statement.subjects {
            if !names.insert(&subject.name) {
                return Err(value("subject.name", &subject.name, "names that differ"));
            }
        }
        let mut materials = BTreeMap::new();
        for material in wire.materials.unwrap_or_default() {
            let name = material.name.unwrap_or_default();
            let usable = !name.is_empty() && material.digest.iter().next().is_some();
            if !usable || materials.insert(name.clone(), material.digest).is_some() {
                return Err(value("materials", name, "names that differ, each with a digest"));
            }
        }
        Ok(Self { name: wire.name, command: words(wire.command), materials })
    }
}

fn words(command: Option<Command>) -> Vec<String> {
    match command {
        Some(Command::List(words)) => words,
        Some(Command::Text(text)) => vec![text],
        None => Vec::new(),
    }
}
