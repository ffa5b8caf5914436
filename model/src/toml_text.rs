//! Strict TOML for files that people write: unknown keys are refused, with the nearest known one.

use serde::de::DeserializeOwned;

/// What is wrong with a TOML file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}{}", hint_text(hint.as_deref()))]
pub struct TomlError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// One line of what is wrong.
    pub message: String,
    /// The nearest known key, where a key is unknown.
    pub hint: Option<String>,
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"))
}

/// Parses a TOML document into a type that denies unknown fields.
///
/// # Errors
/// [`TomlError`] with the place and, for an unknown key, the nearest known one.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        TomlError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            hint: nearest_key(&message),
            message,
        }
    })
}

/// Serde writes ``unknown field `a`, expected one of `b`, `c` ``: the first name is the culprit.
fn nearest_key(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    nearest(unknown, names).map(str::to_owned)
}

/// The candidate that looks most like `text`, if any looks like it at all.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|name| (strsim::damerau_levenshtein(text, name), name));
    scored.min().filter(|(distance, name)| *distance <= name.len().max(3) / 2).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "identity")]
        _identity: Option<String>,
        #[serde(rename = "issuer")]
        _issuer: Option<String>,
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = parse::<Sample>("issuer = 'x'\nidentiy = 'y'\n").unwrap_err();
        assert_eq!((error.line, error.column, error.hint.as_deref()), (2, 1, Some("identity")));
        assert!(error.to_string().ends_with("did you mean `identity`?"), "{error}");
    }

    #[test]
    fn a_key_like_no_other_gets_no_hint() {
        assert_eq!(parse::<Sample>("zzzzzzzz = 1").unwrap_err().hint, None);
    }

    #[test]
    fn syntax_and_types_name_their_place() {
        assert_eq!(parse::<Sample>("issuer = \n").unwrap_err().line, 1);
        assert_eq!(parse::<Sample>("\n\nissuer = 7\n").unwrap_err().line, 3);
        assert!(parse::<Sample>("issuer = 'a'\nissuer = 'b'").is_err());
    }
}
