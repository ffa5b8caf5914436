//! The rules over one SBOM: legible, of an allowed format, naming the artifact's digest.

use bonded_model::sbom::{SbomFormat, SbomView};
use bonded_model::statement::Statement;

use crate::code::Code;
use crate::finding::Fault;
use crate::policy::SbomRule;

/// Predicate type of an SPDX document; a version may follow after a slash.
const SPDX: &str = "https://spdx.dev/Document";
/// Predicate type of a CycloneDX document; a version may follow after a slash.
const CYCLONEDX: &str = "https://cyclonedx.org/bom";

pub(crate) fn is_type(predicate_type: &str) -> bool {
    format_of_type(predicate_type).is_some()
}

fn format_of_type(predicate_type: &str) -> Option<SbomFormat> {
    let is = |name: &str| {
        let rest = predicate_type.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/v"))
    };
    [(SPDX, SbomFormat::Spdx), (CYCLONEDX, SbomFormat::CycloneDx)]
        .into_iter()
        .find_map(|(name, format)| is(name).then_some(format))
}

pub(crate) fn read(bytes: &[u8]) -> Result<SbomView, Fault> {
    SbomView::parse(bytes)
        .map_err(|error| Fault::of_error(Code::SbomMalformed, "an SPDX or CycloneDX SBOM", &error))
}

/// Reads the SBOM inside a statement; it must be of the format that the predicate type announces.
pub(crate) fn read_predicate(statement: &Statement) -> Result<SbomView, Fault> {
    let view = read(statement.predicate.get().as_bytes())?;
    if format_of_type(&statement.predicate_type) == Some(view.format) {
        return Ok(view);
    }
    let expected = format!("what {} announces", statement.predicate_type);
    Err(Fault::new(Code::SbomMalformed, expected, name(view.format)))
}

/// What stands against the document under the rule, whatever artifact it is held against.
pub(crate) fn format_fault(rule: &SbomRule, view: &SbomView) -> Option<Fault> {
    let allowed: Vec<_> = rule.formats.iter().copied().map(name).collect();
    (!rule.formats.contains(&view.format))
        .then(|| Fault::new(Code::SbomFormat, allowed.join(" or "), name(view.format)))
}

pub(crate) fn name(format: SbomFormat) -> &'static str {
    match format {
        SbomFormat::Spdx => "spdx",
        SbomFormat::CycloneDx => "cyclonedx",
    }
}
