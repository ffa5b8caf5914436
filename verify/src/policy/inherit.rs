//! Inheritance: a project's policy over a base that it narrows and never widens.
//!
//! The text of the project replaces whole tables of the base's, and entries of lists of tables by their
//! name. How it came to be does not matter for what may stand there: the result is resolved like any
//! policy, and every part of it is then held against the base's, in `narrow`.

use super::written::Written;

/// The base's text with the project's tables in place of its own.
pub(super) fn merged(project: Written, base: Written) -> Written {
    Written {
        version: project.version,
        name: project.name,
        base: None,
        signer: by_name(project.signer, base.signer, |signer| &signer.name),
        builder: by_name(project.builder, base.builder, |builder| &builder.id),
        unsigned: by_name(project.unsigned, base.unsigned, |unsigned| &unsigned.digest),
        verifier: by_name(project.verifier, base.verifier, |verifier| &verifier.id),
        source: project.source.or(base.source),
        npm: project.npm.or(base.npm),
        layout: project.layout.or(base.layout),
        provenance: project.provenance.or(base.provenance),
        sbom: project.sbom.or(base.sbom),
        checksums: project.checksums.or(base.checksums),
        release: project.release.or(base.release),
        scope: by_name(project.scope, base.scope, |scope| &scope.name),
        require: by_name(project.require, base.require, |requirement| &requirement.name),
        expression: by_name(project.expression, base.expression, |expression| &expression.name),
        exception: project.exception.into_iter().chain(base.exception).collect(),
    }
}

/// What only the project has comes first; the order of the base's stays, with the project's in place of
/// those of the same name.
fn by_name<T>(project: Vec<T>, base: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let known = |one: &T| base.iter().any(|base| name(base) == name(one));
    let (mut replaced, mut merged): (Vec<T>, Vec<T>) = project.into_iter().partition(known);
    for base in base {
        match replaced.iter().position(|one| name(one) == name(&base)) {
            Some(at) => merged.push(replaced.remove(at)),
            None => merged.push(base),
        }
    }
    // The same name twice in the project is refused when the result is resolved.
    merged.extend(replaced);
    merged
}
