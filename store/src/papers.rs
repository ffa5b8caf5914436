//! Papers: what a verdict on a release would look at, told from the catalog and without reading it.
//!
//! ```text
//! digest = SHA-256 of canonical JSON: ["papers", version of the sniffer, release index, [referrers]]
//! ```
//!
//! The index pins the manifests of all artifacts, and these the files; a referrer pins its document. What else
//! is in evidence is computed from those bytes, by this program; but kind and platform of a large file are told
//! from bytes that nobody checks, and whoever lets something depend on them adds [`Snapshot::content`]. Summaries of
//! earlier verdicts are left out as they are of evidence: an unsigned one is recognised here as there, by its
//! bytes, and those alone are read. Nothing here says that what is pinned is still held undamaged.

use bonded_model::descriptor::ANNOTATION_PREDICATE_TYPE;
use bonded_model::json::to_canonical;
use bonded_model::limits::{EVIDENCE_BYTES_MAX, MANIFEST_BYTES_MAX};
use bonded_model::manifest::Manifest;
use bonded_model::media_type::IN_TOTO;
use bonded_model::vsa::SUMMARY_V1;
use bonded_model::{Descriptor, Digest, ReleaseName};
use rayon::prelude::*;

use crate::catalog::Key;
use crate::error::StoreError;
use crate::recognise;
use crate::snapshot::Snapshot;
use crate::sniff;

/// What stands for the evidence of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Papers {
    /// Changes whenever the evidence does that this version of the program gathers.
    pub digest: Digest,
    /// The bytes of the unsigned summaries of earlier verdicts, which are no evidence.
    pub summaries: Vec<Vec<u8>>,
}

impl Papers {
    /// Stands for the evidence, and for what its files were seen to be.
    pub fn with_content(&self, content: Digest) -> Digest {
        Digest::sha256_of(&to_canonical(&("papers and content", self.digest, content)))
    }
}

impl Snapshot {
    /// What stands for the evidence of a release; `None` where there is no such release. Costs a scan of its
    /// referrers' names, and reads unsigned statements alone.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog or such a statement cannot be read.
    pub fn papers(&self, name: &ReleaseName) -> Result<Option<Papers>, StoreError> {
        let Some(release) = self.catalog().get(&Key::release(name))? else { return Ok(None) };
        let referrers = self.evidence_referrers(name)?;
        let told = referrers.into_par_iter().map(|referrer| {
            let is_statement =
                referrer.artifact_type.as_ref().is_some_and(|t| t.as_str() == IN_TOTO);
            let summary = if is_statement { self.summary(&referrer)? } else { None };
            Ok((referrer.digest, summary))
        });
        let told = told.collect::<Result<Vec<_>, StoreError>>()?;
        let evidence = told.iter().filter(|(_, summary)| summary.is_none());
        let evidence: Vec<Digest> = evidence.map(|(referrer, _)| *referrer).collect();
        let pinned = ("papers", sniff::VERSION, release.digest, evidence);
        Ok(Some(Papers {
            digest: Digest::sha256_of(&to_canonical(&pinned)),
            summaries: told.into_iter().filter_map(|(_, summary)| summary).collect(),
        }))
    }

    /// The bytes of a referrer that is an unsigned summary.
    fn summary(&self, referrer: &Descriptor) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.read(referrer, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::parse(&bytes)
            .map_err(|source| StoreError::Manifest { digest: referrer.digest, source })?;
        let hint = manifest.annotations.get(ANNOTATION_PREDICATE_TYPE);
        let [document] = manifest.layers.as_slice() else { return Ok(None) };
        if hint.map(String::as_str) != Some(SUMMARY_V1) || document.media_type.as_str() != IN_TOTO {
            return Ok(None);
        }
        let bytes = self.read(document, EVIDENCE_BYTES_MAX)?;
        let is_summary = recognise::predicate_type(&bytes).as_deref() == Some(SUMMARY_V1);
        Ok(is_summary.then_some(bytes))
    }
}
