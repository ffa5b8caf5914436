//! A moment in time, in whole seconds, as RFC 3339 text. There is no `now` here: callers pass it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z, between the years -9999 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// The text is no RFC 3339 time, or the number lies outside the years that have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct TimestampError {
    /// The text as given.
    pub text: String,
}

impl Timestamp {
    /// From seconds since 1970; fractions do not exist here.
    ///
    /// # Errors
    /// [`TimestampError`] outside the years -9999 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimestampError> {
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => Ok(Self(time)),
            Err(_out_of_range) => Err(TimestampError { text: seconds.to_string() }),
        }
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let parsed = text.parse::<jiff::Timestamp>();
        match parsed {
            Ok(time) => Self::from_unix_seconds(time.as_second()),
            Err(_no_time) => Err(TimestampError { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_seconds_agree() {
        let time: Timestamp = "2026-01-31T12:00:00.75+02:00".parse().unwrap();
        assert_eq!(time.unix_seconds(), 1_769_853_600);
        assert_eq!(time.to_string(), "2026-01-31T10:00:00Z");
        assert_eq!(Timestamp::from_unix_seconds(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn must_reject() {
        for text in ["", "yesterday", "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-31T12:00:00"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
        }
        assert!(Timestamp::from_unix_seconds(i64::MAX).is_err());
    }
}
