//! The bundle as text, and what may be odd about it.

use serde_json::{Map, Value};

use crate::defect::Defect;

/// The members that hold base64.
const BASE64: [&str; 12] = [
    "canonicalizedBody",
    "digest",
    "hashes",
    "keyId",
    "payload",
    "rawBytes",
    "rootHash",
    "sig",
    "signature",
    "signedEntryTimestamp",
    "signedTimestamp",
    "hint",
];

pub(super) fn write(mut bundle: Value, defect: Option<Defect>) -> Vec<u8> {
    let respell: Option<fn(&str) -> String> = match defect {
        Some(Defect::Base64UrlSafe) => Some(|text| text.replace('+', "-").replace('/', "_")),
        Some(Defect::Base64Unpadded) => Some(|text| text.trim_end_matches('=').to_owned()),
        Some(Defect::Base64Wrapped) => Some(wrap),
        _ => None,
    };
    if let (Some(respell), Some(object)) = (respell, bundle.as_object_mut()) {
        respell_all(object, respell);
    }
    let text = bundle.to_string();
    let text = match defect {
        Some(Defect::KeyTwice) => twice(&text),
        Some(Defect::TrailingBytes) => text + "x",
        Some(Defect::ByteOrderMark) => format!("\u{feff}{text}"),
        _ => text,
    };
    text.into_bytes()
}

fn wrap(text: &str) -> String {
    let mut lines = String::new();
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines
}

fn respell_all(object: &mut Map<String, Value>, respell: fn(&str) -> String) {
    for (key, value) in object {
        respell_value(key, value, respell);
    }
}

fn respell_value(key: &str, value: &mut Value, respell: fn(&str) -> String) {
    match value {
        Value::String(text) if BASE64.contains(&key) => *text = respell(text),
        Value::Array(items) => items.iter_mut().for_each(|item| respell_value(key, item, respell)),
        Value::Object(object) => respell_all(object, respell),
        _ => {}
    }
}

/// A second value before the first place that has one.
fn twice(text: &str) -> String {
    let key = if text.contains("\"payload\":") { "\"payload\":" } else { "\"signature\":" };
    text.replacen(key, &format!("{key}\"AAAA\",{key}"), 1)
}
