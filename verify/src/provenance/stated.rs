//! What a provenance says of its run must be what the certificate says of it: whoever may write the one
//! cannot choose the other (Fulcio, oid-info.md; SLSA threats, (E)).

use bonded_model::slsa::{Provenance, Stated};

use super::differs;
use crate::finding::Fault;
use crate::identity::{Claim, GITHUB_ISSUER, Holder};

/// Builders of GitHub whose name says where they ran.
const RUNNER: &str = "https://github.com/actions/runner/";

/// The claim that certifies a fact.
fn claim_of(stated: Stated) -> Claim {
    match stated {
        Stated::RepositoryId => Claim::SourceRepositoryId,
        Stated::RepositoryOwnerId => Claim::SourceRepositoryOwnerId,
        Stated::Event => Claim::BuildTrigger,
        Stated::RunnerEnvironment => Claim::RunnerEnvironment,
        Stated::Workflow => Claim::BuildConfigUri,
    }
}

/// Every fact that is stated and certified must be the same. A certificate of another issuer than GitHub
/// may mean other things by its claims; those are compared where a policy asks for them.
pub(super) fn faults(holder: &Holder, provenance: &Provenance) -> Vec<Fault> {
    if holder.issuer != GITHUB_ISSUER {
        return Vec::new();
    }
    let claim = |stated| holder.claims.get(&claim_of(stated)).map(String::as_str);
    let stated = provenance.stated.iter();
    let mut faults: Vec<_> =
        stated.filter_map(|(fact, value)| differs(claim(*fact), value)).collect();
    if let Some(environment) = provenance.builder_id.strip_prefix(RUNNER) {
        let certified = claim(Stated::RunnerEnvironment).unwrap_or("no runner environment");
        faults.extend(differs(Some(certified), environment));
    }
    faults.dedup();
    faults
}
