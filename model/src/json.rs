//! Strict JSON in, canonical JSON out.
//!
//! In: the size is checked before anything is read, then depth, duplicate keys and trailing bytes,
//! then the typed parse. Two readings of one document (CVE-2026-44309 and its kin) start with a
//! parser that lets the last of two equal keys win; this one refuses both.
//!
//! Out: compact, keys sorted, so that equal values have equal bytes and so equal digests.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::de::Read;
use serde_json::value::RawValue;

use crate::limits::JSON_DEPTH_MAX;

/// How keys begin that mean something to the parser: it takes an object with such a key alone for the JSON in
/// the text beside it, at a depth that begins again, whoever wrote it.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// How many keys of an object are compared one by one.
const FIRST_KEYS: usize = 64;

/// Why a JSON document was refused before its meaning was looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Longer than the limit for this kind of document.
    #[error("document has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit from [`crate::limits`].
        limit: u64,
    },
    /// No bytes at all.
    #[error("document is empty")]
    Empty,
    /// Not JSON, cut short, nested too deep, a key twice, a key that the parser reserves, or followed by more bytes.
    #[error("document is not strict JSON")]
    Syntax(#[source] serde_json::Error),
    /// JSON, but not of the expected shape.
    #[error("document does not have the expected shape")]
    Shape(#[source] serde_json::Error),
}

/// Parses one JSON document strictly.
///
/// # Errors
/// [`JsonError`], at the first thing that is wrong. Costs two passes over the bytes.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, JsonError> {
    check(bytes, limit)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text).map_err(JsonError::Shape),
        // What is no text did not pass the check, and the parser says where.
        Err(_) => serde_json::from_slice(bytes).map_err(JsonError::Shape),
    }
}

/// Parses a part of a document that came out of [`parse`]: what is checked of the whole holds for its parts.
///
/// # Errors
/// [`JsonError::Shape`] if it has not the expected one.
pub fn parse_part<T: DeserializeOwned>(part: &RawValue) -> Result<T, JsonError> {
    serde_json::from_str(part.get()).map_err(JsonError::Shape)
}

/// Checks size, syntax, depth, keys and the end of one JSON document, and keeps nothing.
///
/// # Errors
/// As [`parse`], without `Shape`.
pub fn check(bytes: &[u8], limit: u64) -> Result<(), JsonError> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > limit {
        return Err(JsonError::TooLarge { bytes: length, limit });
    }
    if bytes.is_empty() {
        return Err(JsonError::Empty);
    }
    // Text is looked at once as a whole; only for what is none does the parser say where it ends.
    match std::str::from_utf8(bytes) {
        Ok(text) => walk(serde_json::Deserializer::from_str(text)),
        Err(_) => walk(serde_json::Deserializer::from_slice(bytes)),
    }
}

fn walk<'de, R: Read<'de>>(mut reader: serde_json::Deserializer<R>) -> Result<(), JsonError> {
    Strict { depth_left: JSON_DEPTH_MAX }.deserialize(&mut reader).map_err(JsonError::Syntax)?;
    reader.end().map_err(JsonError::Syntax)
}

/// The canonical bytes of a value: compact JSON, keys in byte order, no trailing newline.
///
/// # Panics
/// Never for the types of this workspace: none has a non-text key or a failing serializer.
pub fn to_canonical<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let tree = serde_json::to_value(value).expect("own types always serialize");
    serde_json::to_vec(&tree).expect("a JSON tree always serializes")
}

/// Reads a key without copying it, unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The keys of one object: the first ones are compared one by one, which costs less than any order, the others
/// stand in order, so that many cost little more than few.
#[derive(Default)]
struct Seen<'de> {
    first: Vec<Cow<'de, str>>,
    others: BTreeSet<Cow<'de, str>>,
}

impl<'de> Seen<'de> {
    fn has(&self, key: &str) -> bool {
        let among_first = self.first.iter().any(|seen| seen == key);
        among_first || !self.others.is_empty() && self.others.contains(key)
    }

    fn insert(&mut self, key: Cow<'de, str>) {
        if self.first.len() < FIRST_KEYS {
            self.first.push(key);
        } else {
            self.others.insert(key);
        }
    }
}

/// Walks a document without building it.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = Seen::default();
        while let Some(key) = entries.next_key_seed(Key)? {
            if seen.has(&key) {
                return Err(serde::de::Error::custom(format_args!("key {key:?} stands twice")));
            }
            if key.starts_with(RESERVED_PREFIX) {
                return Err(serde::de::Error::custom(format_args!("key {key:?} is reserved")));
            }
            seen.insert(key);
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn must_reject() {
        let deep = "[".repeat(JSON_DEPTH_MAX + 1) + &"]".repeat(JSON_DEPTH_MAX + 1);
        let table: [(&str, &str); 14] = [
            (r#"{"a":1,"a":2}"#, "stands twice"),
            (r#"{"a":{"b":1,"\u0062":2}}"#, "stands twice"),
            (r#"{"a":1} x"#, "trailing characters"),
            (r#"{"a":1}{"a":1}"#, "trailing characters"),
            (r#"{"a":1"#, "EOF"),
            (r#"{"a":NaN}"#, "expected value"),
            ("\u{feff}{}", "expected value"),
            (r#"{"a":01}"#, "invalid number"),
            (r#"{"a":1e999}"#, "number out of range"),
            (r#"{"a":"\ud800"}"#, "unexpected end of hex escape"),
            (r#"{"$serde_json::private::RawValue":"[1]"}"#, "is reserved"),
            (r#"{"a":[{"\u0024serde_json::private::RawValue":"[1]"}]}"#, "is reserved"),
            (r#"{"$serde_json::private::Number":"1"}"#, "is reserved"),
            (&deep, "nested deeper"),
        ];
        for (text, reason) in table {
            let error = check(text.as_bytes(), 1 << 20).expect_err(text);
            let JsonError::Syntax(source) = error else { panic!("{text}: {error}") };
            assert!(source.to_string().contains(reason), "{text}: {source}");
        }
    }

    #[test]
    fn size_and_emptiness_come_before_reading() {
        assert!(matches!(check(b"[1,2]", 4), Err(JsonError::TooLarge { bytes: 5, limit: 4 })));
        assert!(matches!(check(b"", 4), Err(JsonError::Empty)));
        assert!(matches!(parse::<Vec<u8>>(b"{}", 4), Err(JsonError::Shape(_))));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        for (bytes, place) in [
            (b"{\"a\":\"\xff\"}".as_slice(), "line 1 column 7"),
            (b"{\"\xc3\":1}", "line 1 column 3"),
            (b"[1,\n\xf0]", "line 2 column 1"),
        ] {
            let Err(JsonError::Syntax(source)) = check(bytes, 1 << 20) else {
                panic!("{bytes:?} was read")
            };
            assert!(source.to_string().contains(place), "{source}");
        }
    }

    #[test]
    fn each_of_many_keys_stands_once() {
        for count in [1, FIRST_KEYS - 1, FIRST_KEYS, FIRST_KEYS + 1, 3 * FIRST_KEYS] {
            let keys: Vec<_> = (0..count).map(|n| format!("\"k{n}\":0")).collect();
            assert!(check(format!("{{{}}}", keys.join(",")).as_bytes(), 1 << 20).is_ok());
            for again in 0..count {
                let text = format!("{{{},\"\\u006b{again}\":0}}", keys.join(","));
                assert!(matches!(check(text.as_bytes(), 1 << 20), Err(JsonError::Syntax(_))));
            }
        }
    }

    /// Without the check a parser for trees takes the text for JSON, whose keys and depth nobody has looked at.
    #[test]
    fn no_object_is_read_as_what_stands_in_its_text() {
        let text = r#"{"$serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#;
        assert!(serde_json::from_str::<Value>(text).is_ok_and(|read| read["a"] == 2));
        assert!(matches!(parse::<Value>(text.as_bytes(), 1 << 20), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn depth_at_the_limit_is_read() {
        let text = "[".repeat(JSON_DEPTH_MAX) + &"]".repeat(JSON_DEPTH_MAX);
        assert!(check(text.as_bytes(), 1 << 20).is_ok());
    }

    #[test]
    fn canonical_form_sorts_keys() {
        let value: Value = parse(br#"{ "b": [1, {"z":0,"y":1}], "a": null }"#, 100).unwrap();
        assert_eq!(to_canonical(&value), br#"{"a":null,"b":[1,{"y":1,"z":0}]}"#);
    }
}
