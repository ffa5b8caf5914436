//! Text: scripts, JSON and what OCI makes of it.

use bonded_model::media_type;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ContentKind;

/// What tells documents of OCI from other JSON. Docker's own media types are of the same shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline<'a> {
    schema_version: Option<u64>,
    #[serde(borrow)]
    media_type: Option<std::borrow::Cow<'a, str>>,
    config: Option<IgnoredAny>,
    layers: Option<Vec<IgnoredAny>>,
    manifests: Option<Vec<IgnoredAny>>,
    image_layout_version: Option<IgnoredAny>,
}

pub(super) fn sniff(window: &[u8], is_whole: bool) -> ContentKind {
    let Some(text) = to_text(window, is_whole) else {
        return ContentKind::Unknown;
    };
    if text.starts_with("#!") {
        return ContentKind::Script;
    }
    let begins_like_json = text.trim_start().starts_with(['{', '[']);
    match (begins_like_json, is_whole) {
        (true, true) => json(text).unwrap_or(ContentKind::Text),
        // The beginning is all there is to judge by.
        (true, false) if is_beginning_of_json(text) => ContentKind::Json,
        _ => ContentKind::Text,
    }
}

/// The window as text, if it is UTF-8 without control characters that no text has. A character that
/// the end of the window cuts is left out.
fn to_text(window: &[u8], is_whole: bool) -> Option<&str> {
    let text = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !is_whole => {
            let (whole, _cut) = window.split_at_checked(error.valid_up_to())?;
            std::str::from_utf8(whole).ok()? // it was found to be valid up to here
        }
        Err(_other_bytes) => return None,
    };
    let allowed = ['\t', '\n', '\r', '\u{c}', '\u{1b}'];
    let is_text = text.chars().all(|c| !c.is_control() || allowed.contains(&c));
    is_text.then(|| text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// `None` if the text is no JSON.
fn json(text: &str) -> Option<ContentKind> {
    if let Ok(outline) = serde_json::from_str::<Outline<'_>>(text) {
        return Some(outline.kind());
    }
    // An array, or an object with fields of other types.
    serde_json::from_str::<IgnoredAny>(text).is_ok().then_some(ContentKind::Json)
}

/// An object begins with a key or ends at once; an array with a value.
fn is_beginning_of_json(text: &str) -> bool {
    let text = text.trim_start();
    match text.split_at_checked(1) {
        Some(("{", rest)) => rest.trim_start().starts_with(['"', '}']),
        Some(("[", rest)) => rest.trim_start().starts_with([
            '{', '[', '"', ']', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f',
            'n',
        ]),
        _ => false,
    }
}

impl Outline<'_> {
    fn kind(&self) -> ContentKind {
        if self.schema_version == Some(2) {
            let media_type = self.media_type.as_deref().unwrap_or_default();
            let is = |known: &[&str]| known.contains(&media_type);
            let untold = media_type.is_empty();
            if is(&[media_type::OCI_INDEX, media_type::DOCKER_LIST])
                || untold && self.manifests.is_some()
            {
                return ContentKind::OciIndex;
            }
            if is(&[media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST])
                || untold && self.config.is_some() && self.layers.is_some()
            {
                return ContentKind::OciManifest;
            }
        }
        if self.image_layout_version.is_some() { ContentKind::OciLayout } else { ContentKind::Json }
    }
}
