//! Canonical JSON as classic in-toto metadata is signed over (in-toto specification, section 4.1: the canonical
//! JSON of OLPC): keys sorted, no whitespace, no numbers but integers, and in strings only `"` and `\` escaped.
//!
//! It is made from what stands in the document, so that a member that no reader knows is signed too.

use serde_json::Value;

/// The value has a number that is no integer, which has no canonical form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number is no integer, so the document has no canonical form")]
pub(super) struct NotCanonical;

pub(super) fn canonical(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

/// The depth of the value was checked when it was read.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend(number.to_string().as_bytes());
        }
        Value::Number(_) => return Err(NotCanonical),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            out.push(b'{');
            for (at, (key, member)) in members.into_iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                write_text(key, out);
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        out.extend(matches!(byte, b'"' | b'\\').then_some(b'\\'));
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_one_form() {
        for (text, expected) in [
            (r#"{"b": [1, -2, true], "a": null}"#, r#"{"a":null,"b":[1,-2,true]}"#),
            (
                r#"{"é": {}, "z": "", "B": 18446744073709551615}"#,
                r#"{"B":18446744073709551615,"z":"","é":{}}"#,
            ),
            // Only these two are escaped: a line break stands as it is.
            (r#""a\"b\\n\n\t\u0001""#, "\"a\\\"b\\\\n\n\t\u{1}\""),
            ("[]", "[]"),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&value), Ok(expected.as_bytes().to_vec()), "{text}");
        }
    }

    #[test]
    fn must_reject() {
        for text in ["1.5", "[1e3]", r#"{"a":-0.0}"#, "18446744073709551616"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&value), Err(NotCanonical), "{text}");
        }
    }

    /// Texts that differ never have the same form, whatever stands in them.
    #[test]
    fn no_two_texts_are_signed_alike() {
        let texts = ["\\n", "\n", "\\\n", "n", "\\", "\\\\", "\"", "\\\"", "\\\\n"];
        let forms: std::collections::BTreeSet<_> =
            texts.iter().map(|text| canonical(&Value::from(*text)).unwrap()).collect();
        assert_eq!(forms.len(), texts.len());
    }
}
