//! Conditional requests: `If-Match`, `If-None-Match`, `If-Range` (RFC 9110, section 13).
//!
//! The entity tag of all content is its digest, `"sha256:<hex>"`, and strong. There are no
//! modification times here, so conditions on dates are ignored (`If-Modified-Since`,
//! `If-Unmodified-Since`) or do not hold (`If-Range`), as sections 13.1.3 to 13.1.5 ask.

use bonded_model::Digest;

/// The entity tag of content, with its quotes.
pub(crate) fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-Match` lets the request pass: `*`, or a list with this tag, strongly compared. A
/// list that does not parse lets nothing pass.
pub(crate) fn if_match(value: &str, digest: &Digest) -> bool {
    lists(value, |tag| !tag.weak && tag.opaque == digest.to_string())
}

/// Whether `If-None-Match` names what the client would get: `*`, or a list with this tag, weakly
/// compared. A list that does not parse names nothing, so the client gets its bytes.
pub(crate) fn if_none_match(value: &str, digest: &Digest) -> bool {
    lists(value, |tag| tag.opaque == digest.to_string())
}

/// Whether `If-Range` lets a range be honoured: exactly this tag, strong.
pub(crate) fn if_range(value: &str, digest: &Digest) -> bool {
    value.trim_matches([' ', '\t']) == entity_tag(digest)
}

struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

fn lists(value: &str, wanted: impl Fn(&Tag<'_>) -> bool) -> bool {
    if value.trim_matches([' ', '\t']) == "*" {
        return true;
    }
    parse_list(value).is_some_and(|tags| tags.iter().any(wanted))
}

/// All tags of a list, or nothing if a part of it is no tag: commas may stand inside the quotes.
fn parse_list(value: &str) -> Option<Vec<Tag<'_>>> {
    let mut tags = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(Tag { weak, opaque });
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> (Digest, String) {
        let digest = Digest::sha256_of(b"x");
        (digest, entity_tag(&digest))
    }

    #[test]
    fn lists_and_stars_match() {
        let (digest, tag) = tag();
        for value in [
            "*".to_owned(),
            " * ".to_owned(),
            tag.clone(),
            format!("\"a\", {tag}"),
            format!("\"a,b\",{tag} , W/\"c\""),
            format!(",, {tag},"),
        ] {
            assert!(if_match(&value, &digest), "{value:?}");
            assert!(if_none_match(&value, &digest), "{value:?}");
        }
    }

    #[test]
    fn weak_tags_are_enough_for_not_modified_only() {
        let (digest, tag) = tag();
        let weak = format!("W/{tag}");
        assert!(if_none_match(&weak, &digest));
        assert!(!if_match(&weak, &digest));
        assert!(!if_range(&weak, &digest));
        assert!(if_range(&tag, &digest));
    }

    #[test]
    fn must_not_match() {
        let (digest, tag) = tag();
        let bare = tag.trim_matches('"').to_owned();
        for value in [
            String::new(),
            ",".to_owned(),
            bare.clone(),
            "\"sha256:\"".to_owned(),
            format!("\"{bare}"),
            format!("{bare}\""),
            format!("w/{tag}"),
            format!("W/ {tag}"),
            format!("{tag} x"),
            format!("{tag}{tag}"),
            format!("*, {tag}"),
            format!("{tag}, *"),
            tag.to_uppercase(),
            "\"other\"".to_owned(),
        ] {
            assert!(!if_match(&value, &digest), "{value:?}");
            assert!(!if_none_match(&value, &digest), "{value:?}");
            assert!(!if_range(&value, &digest), "{value:?}");
        }
        assert!(!if_range("Wed, 21 Oct 2026 07:28:00 GMT", &digest));
        assert!(!if_range("*", &digest));
        assert!(!if_range(&format!("{tag}, {tag}"), &digest));
    }
}
