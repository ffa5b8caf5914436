//! Labels of levels and properties (SLSA v1.2, verification_summary.md, "SlsaResult"; verified-properties.md).
//!
//! ```text
//! SLSA_BUILD_LEVEL_3  SLSA_SOURCE_LEVEL_UNEVALUATED  SLSA_BUILD_REPRODUCED  FAILED  anything else
//! ```

/// Properties that SLSA v1.2 defines. Whoever makes up others must not let them begin with `SLSA_`.
const PROPERTIES: [&str; 2] = ["SLSA_BUILD_REPRODUCED", "SLSA_SOURCE_TWO_PARTY_REVIEWED"];

const RESERVED: &str = "SLSA_";

/// What one label says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Label {
    /// A level of a track; `BUILD` and `SOURCE` are the ones of SLSA v1.2, and v0.2 has one without a name.
    Level {
        /// The name of the track.
        track: String,
        /// The level; `None` where nothing is claimed of it.
        level: Option<u8>,
    },
    /// A property that SLSA defines.
    Property(String),
    /// The verification failed.
    Failed,
    /// A label of the verifier's own.
    Custom(String),
}

impl Label {
    /// Reads a label; `None` for one that takes a name that is SLSA's to give.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "FAILED" {
            return Some(Self::Failed);
        }
        if PROPERTIES.contains(&text) {
            return Some(Self::Property(text.to_owned()));
        }
        let Some(rest) = text.strip_prefix(RESERVED) else {
            return Some(Self::Custom(text.to_owned()));
        };
        let (track, level) = match rest.strip_prefix("LEVEL_") {
            Some(level) => ("", level),
            None => rest.rsplit_once("_LEVEL_").filter(|(track, _)| !track.is_empty())?,
        };
        let is_name = track.split('_').all(|word| {
            (!word.is_empty() || track.is_empty()) && word.bytes().all(|b| b.is_ascii_uppercase())
        });
        let level = match level.as_bytes() {
            b"UNEVALUATED" => None,
            [digit @ b'0'..=b'9'] => Some(digit - b'0'),
            _ => return None,
        };
        is_name.then(|| Self::Level { track: track.to_owned(), level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_label() {
        let level = |track: &str, level| Label::Level { track: track.to_owned(), level };
        for (text, expected) in [
            ("SLSA_BUILD_LEVEL_3", level("BUILD", Some(3))),
            ("SLSA_SOURCE_LEVEL_0", level("SOURCE", Some(0))),
            ("SLSA_BUILD_ENV_LEVEL_1", level("BUILD_ENV", Some(1))),
            ("SLSA_BUILD_LEVEL_UNEVALUATED", level("BUILD", None)),
            ("SLSA_LEVEL_4", level("", Some(4))),
            ("SLSA_BUILD_REPRODUCED", Label::Property("SLSA_BUILD_REPRODUCED".into())),
            ("FAILED", Label::Failed),
            ("BCID_L1", Label::Custom("BCID_L1".into())),
            ("slsa_build_level_3", Label::Custom("slsa_build_level_3".into())),
        ] {
            assert_eq!(Label::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_begins_like_slsa_is_slsas_to_name() {
        for text in [
            "SLSA_",
            "SLSA_GOOD",
            "SLSA_BUILD_REPRODUCED_TWICE",
            "SLSA_BUILD_LEVEL_",
            "SLSA_BUILD_LEVEL_33",
            "SLSA_BUILD_LEVEL_3 ",
            "SLSA_BUILD_LEVEL_x",
            "SLSA_build_LEVEL_3",
            "SLSA__LEVEL_3",
            "SLSA_BUILD__ENV_LEVEL_3",
        ] {
            assert_eq!(Label::parse(text), None, "{text}");
        }
    }
}
