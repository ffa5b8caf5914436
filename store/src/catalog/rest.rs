//! The rest of a descriptor: what it has beside digest and size. Few different ones stand in a catalog,
//! so they are kept once, with the bytes that pages hold.
//!
//! ```text
//! {"annotations":{…},"artifactType":"…","mediaType":"…","platform":{…}}      canonical JSON
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bonded_model::descriptor::Annotations;
use bonded_model::{Descriptor, Digest, MediaType, Platform, json};
use serde::{Deserialize, Serialize};

use super::CatalogError;

/// Type, platform and annotations of one entry. Real ones have some 150 bytes; a full page of the
/// longest has 2 MiB.
pub(super) const REST_BYTES_MAX: usize = 8 * 1024;

/// How many different ones are remembered before all are forgotten and it begins anew.
const REMEMBERED_COUNT_MAX: usize = 1024;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    media_type: MediaType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

/// Everything in a descriptor but digest and size.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    json: Box<[u8]>,
    fields: Fields,
}

impl Rest {
    /// What is left of a descriptor without digest and size.
    pub(super) fn of(descriptor: &Descriptor) -> Result<Self, CatalogError> {
        let fields = Fields {
            media_type: descriptor.media_type.clone(),
            artifact_type: descriptor.artifact_type.clone(),
            platform: descriptor.platform.clone(),
            annotations: descriptor.annotations.clone(),
        };
        let json = json::to_canonical(&fields).into_boxed_slice();
        if json.len() > REST_BYTES_MAX {
            return Err(CatalogError::RestTooLarge { bytes: json.len() });
        }
        Ok(Self { json, fields })
    }

    /// Whether this is what is left of a descriptor.
    pub(super) fn is_of(&self, descriptor: &Descriptor) -> bool {
        let Fields { media_type, artifact_type, platform, annotations } = &self.fields;
        *media_type == descriptor.media_type
            && *artifact_type == descriptor.artifact_type
            && *platform == descriptor.platform
            && *annotations == descriptor.annotations
    }

    /// That it is not too long. Types alone never are.
    pub(super) fn check_length(descriptor: &Descriptor) -> Result<(), CatalogError> {
        match descriptor.platform.is_none() && descriptor.annotations.is_empty() {
            true => Ok(()),
            false => Self::of(descriptor).map(drop),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, CatalogError> {
        if bytes.len() > REST_BYTES_MAX {
            return Err(CatalogError::RestTooLarge { bytes: bytes.len() });
        }
        let limit = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fields: Fields = json::parse(bytes, limit).map_err(CatalogError::Rest)?;
        if json::to_canonical(&fields) != bytes {
            return Err(CatalogError::RestForm);
        }
        Ok(Self { json: bytes.into(), fields })
    }

    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn to_descriptor(&self, digest: [u8; 32], size: u64) -> Descriptor {
        Descriptor {
            media_type: self.fields.media_type.clone(),
            digest: Digest::from_sha256(digest),
            size,
            artifact_type: self.fields.artifact_type.clone(),
            platform: self.fields.platform.clone(),
            annotations: self.fields.annotations.clone(),
        }
    }
}

/// Those that were read or made before, by their bytes.
#[derive(Debug, Default)]
pub(super) struct Rests {
    known: Mutex<HashMap<Box<[u8]>, Arc<Rest>>>,
}

impl Rests {
    /// The one with these bytes, checked and parsed if it is new.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Arc<Rest>, CatalogError> {
        // The map is whole between any two calls, so a panic elsewhere leaves it usable.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = known.get(bytes) {
            return Ok(rest.clone());
        }
        let rest = Arc::new(Rest::parse(bytes)?);
        if known.len() >= REMEMBERED_COUNT_MAX {
            known.clear();
        }
        known.insert(bytes.into(), rest.clone());
        Ok(rest)
    }
}
