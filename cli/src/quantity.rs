//! Quantities as people write them: `90s`, `12h`, `7d`; `4096`, `64KiB`, `200MiB`, `1GiB`.

use std::fmt;
use std::str::FromStr;

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    /// How long it is.
    pub(crate) seconds: u64,
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// How many there are, at least one.
    pub(crate) count: u64,
}

/// The text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub(crate) struct QuantityError {
    text: String,
    expected: &'static str,
}

const AGES: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl FromStr for Age {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let expected = "a time such as 0s, 30m, 12h or 7d";
        let seconds = parse(text, &AGES);
        seconds
            .map(|seconds| Self { seconds })
            .ok_or_else(|| QuantityError { text: text.to_owned(), expected })
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.seconds)
    }
}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let expected = "a number of bytes such as 4096, 64KiB, 200MiB or 1GiB, and more than none";
        let count = parse(text, &SIZES).filter(|count| *count > 0);
        count
            .map(|count| Self { count })
            .ok_or_else(|| QuantityError { text: text.to_owned(), expected })
    }
}

/// Digits and one of the units, with nothing between them.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let legal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    legal.then(|| digits.parse::<u64>().ok()?.checked_mul(*factor)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, expected) in
            [("0s", 0), ("90s", 90), ("2m", 120), ("12h", 43_200), ("7d", 604_800)]
        {
            assert_eq!(text.parse(), Ok(Age { seconds: expected }));
        }
        for (text, expected) in
            [("1", 1), ("4KiB", 4096), ("200MiB", 209_715_200), ("1GiB", 1 << 30)]
        {
            assert_eq!(text.parse(), Ok(Bytes { count: expected }));
        }
    }

    #[test]
    fn must_reject() {
        for text in [
            "",
            "s",
            "7",
            "7 d",
            "-1d",
            "+1d",
            "1.5h",
            "7w",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
        for text in ["", "0", "MiB", "1MB", "1 MiB", "-1", "0x10", "99999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
