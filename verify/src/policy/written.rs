//! The policy as written: one type for each table, every unknown key refused.

use std::collections::BTreeMap;

use bonded_model::Timestamp;
use bonded_model::sbom::SbomFormat;
use serde::Deserialize;

use super::expect::{WrittenDependency, WrittenScalar};
use super::require::Of;
use super::rule::Demand;
use crate::identity::{Claim, LogRule};
use crate::legacy::Legacy;
use crate::provenance::Wanted;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) base: Option<String>,
    #[serde(default)]
    pub(super) signer: Vec<WrittenSigner>,
    #[serde(default)]
    pub(super) builder: Vec<WrittenBuilder>,
    pub(super) provenance: Option<WrittenProvenance>,
    pub(super) sbom: Option<WrittenSbom>,
    pub(super) checksums: Option<WrittenChecksums>,
    pub(super) release: Option<WrittenRelease>,
    #[serde(default)]
    pub(super) scope: Vec<WrittenScope>,
    #[serde(default)]
    pub(super) unsigned: Vec<WrittenUnsigned>,
    #[serde(default)]
    pub(super) verifier: Vec<WrittenVerifier>,
    pub(super) source: Option<WrittenSource>,
    pub(super) npm: Option<WrittenNpm>,
    pub(super) layout: Option<WrittenLayout>,
    #[serde(default)]
    pub(super) require: Vec<WrittenRequirement>,
    #[serde(default)]
    pub(super) expression: Vec<WrittenExpression>,
    #[serde(default)]
    pub(super) exception: Vec<WrittenException>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenExpression {
    pub(super) name: String,
    pub(super) cel: String,
    pub(super) of: Of,
    pub(super) paths: Option<Vec<String>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) platforms: Option<Vec<String>>,
    pub(super) rule: Option<Demand>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRequirement {
    pub(super) name: String,
    pub(super) predicate: OneOrMore,
    pub(super) of: Of,
    pub(super) paths: Option<Vec<String>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) platforms: Option<Vec<String>>,
    pub(super) signers: Vec<String>,
    pub(super) rule: Option<Demand>,
    pub(super) quorum: Option<usize>,
    pub(super) max_age: Option<String>,
}

/// A text, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenException {
    pub(super) code: String,
    pub(super) name: Option<String>,
    pub(super) paths: Option<Vec<String>>,
    pub(super) versions: Option<Vec<String>>,
    pub(super) until: Timestamp,
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenScope {
    pub(super) name: String,
    pub(super) paths: Option<Vec<String>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) platforms: Option<Vec<String>>,
    pub(super) provenance: Option<WrittenProvenance>,
    pub(super) sbom: Option<WrittenSbom>,
    pub(super) checksums: Option<WrittenChecksums>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSigner {
    pub(super) name: String,
    pub(super) issuer: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) identity_glob: Option<String>,
    pub(super) identity_regex: Option<String>,
    pub(super) claims: Option<WrittenClaims>,
    pub(super) public_key: Option<String>,
    pub(super) valid_from: Option<Timestamp>,
    pub(super) valid_until: Option<Timestamp>,
    pub(super) log: Option<LogRule>,
    pub(super) logs: Option<usize>,
    pub(super) timestamps: Option<usize>,
    pub(super) legacy: Option<Vec<Legacy>>,
    pub(super) root: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WrittenClaims {
    build_signer_uri: Option<String>,
    build_signer_digest: Option<String>,
    runner_environment: Option<String>,
    source_repository: Option<String>,
    source_repository_digest: Option<String>,
    source_repository_ref: Option<String>,
    source_repository_id: Option<String>,
    source_repository_owner: Option<String>,
    source_repository_owner_id: Option<String>,
    build_config_uri: Option<String>,
    build_config_digest: Option<String>,
    build_trigger: Option<String>,
    source_repository_visibility: Option<String>,
    deployment_environment: Option<String>,
}

impl WrittenClaims {
    pub(super) fn into_map(self) -> BTreeMap<Claim, String> {
        let pairs = [
            (Claim::BuildSignerUri, self.build_signer_uri),
            (Claim::BuildSignerDigest, self.build_signer_digest),
            (Claim::RunnerEnvironment, self.runner_environment),
            (Claim::SourceRepository, self.source_repository),
            (Claim::SourceRepositoryDigest, self.source_repository_digest),
            (Claim::SourceRepositoryRef, self.source_repository_ref),
            (Claim::SourceRepositoryId, self.source_repository_id),
            (Claim::SourceRepositoryOwner, self.source_repository_owner),
            (Claim::SourceRepositoryOwnerId, self.source_repository_owner_id),
            (Claim::BuildConfigUri, self.build_config_uri),
            (Claim::BuildConfigDigest, self.build_config_digest),
            (Claim::BuildTrigger, self.build_trigger),
            (Claim::SourceRepositoryVisibility, self.source_repository_visibility),
            (Claim::DeploymentEnvironment, self.deployment_environment),
        ];
        pairs.into_iter().filter_map(|(claim, value)| Some((claim, value?))).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBuilder {
    pub(super) id: String,
    pub(super) signers: Vec<String>,
    pub(super) level: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenVerifier {
    pub(super) id: String,
    pub(super) signers: Vec<String>,
    pub(super) level: u8,
    pub(super) resource: Option<String>,
    pub(super) release: Option<String>,
    pub(super) policies: Option<Vec<String>>,
    pub(super) max_age: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSource {
    pub(super) rule: Option<Demand>,
    pub(super) level: u8,
    pub(super) tag: Option<String>,
    pub(super) branch: Option<String>,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) verifiers: Vec<WrittenSourceVerifier>,
    pub(super) max_age: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSourceVerifier {
    pub(super) id: String,
    pub(super) signers: Vec<String>,
    pub(super) level: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenNpm {
    pub(super) rule: Option<Demand>,
    pub(super) package: String,
    pub(super) version: Option<String>,
    pub(super) registry: Option<String>,
    pub(super) signers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenLayout {
    pub(super) rule: Option<Demand>,
    pub(super) signers: Vec<String>,
    pub(super) quorum: Option<usize>,
    pub(super) digest: Option<String>,
    pub(super) paths: Option<Vec<String>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) platforms: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenUnsigned {
    pub(super) digest: String,
    pub(super) reason: String,
    pub(super) builder: String,
    pub(super) level: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenProvenance {
    pub(super) rule: Option<Demand>,
    pub(super) level: Option<u8>,
    pub(super) source: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) branch: Option<String>,
    #[serde(rename = "ref")]
    pub(super) reference: Option<String>,
    pub(super) build_types: Option<Vec<String>>,
    pub(super) parameters: Option<Vec<String>>,
    pub(super) versioned_tag: Option<String>,
    pub(super) source_id: Option<String>,
    pub(super) source_owner_id: Option<String>,
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, WrittenScalar>,
    #[serde(default)]
    pub(super) parameter_values: BTreeMap<String, Wanted>,
    pub(super) dependencies: Option<Vec<WrittenDependency>>,
    pub(super) quorum: Option<usize>,
    pub(super) max_age: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSbom {
    pub(super) rule: Option<Demand>,
    pub(super) formats: Option<Vec<SbomFormat>>,
    pub(super) signers: Option<Vec<String>>,
    pub(super) quorum: Option<usize>,
    pub(super) max_age: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenChecksums {
    pub(super) rule: Demand,
}

/// Digests already bind every artifact, so the absence of a further list is no hole.
impl Default for WrittenChecksums {
    fn default() -> Self {
        Self { rule: Demand::Off }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRelease {
    pub(super) artifacts: Option<Vec<String>>,
    pub(super) allowed: Option<Vec<String>>,
    pub(super) platforms: Option<Vec<String>>,
}
