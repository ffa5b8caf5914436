//! The `Range` header of a GET request (RFC 9110, section 14.2).
//!
//! One range of bytes is honoured, also as a suffix (`-5`) and open-ended (`5-`). Several ranges are
//! answered with the whole content, as the RFC allows: no client of release files needs
//! `multipart/byteranges`. So is what does not parse. A range that runs backwards is refused with
//! 416, which the RFC allows too and OCI clients expect.

/// What part of the content a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it.
    Whole,
    /// The bytes from `first` to `last`, both included, inside the content.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// No byte of the content.
    Unsatisfiable,
}

/// Selects from content of `size` bytes what the header's value asks for.
pub(crate) fn select(value: &str, size: u64) -> Selection {
    let Some(spec) = single_spec(value) else {
        return Selection::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Selection::Whole;
    };
    match (number(first), number(last)) {
        (Number::Absent, Number::Value(length)) => suffix(length, size),
        (Number::Value(first), Number::Absent) => part(first, u64::MAX, size),
        (Number::Value(first), Number::Value(last)) => part(first, last, size),
        _ => Selection::Whole,
    }
}

/// The one range of the list; `None` for another unit, for several, or for none.
fn single_spec(value: &str) -> Option<&str> {
    let (unit, list) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = list.split(',').map(|spec| spec.trim_matches([' ', '\t']));
    let mut specs = specs.by_ref().filter(|spec| !spec.is_empty());
    let first = specs.next()?;
    if specs.next().is_some() { None } else { Some(first) }
}

enum Number {
    Absent,
    Value(u64),
    Malformed,
}

/// Digits only; a number beyond 64 bits is as good as the largest one.
fn number(text: &str) -> Number {
    if text.is_empty() {
        Number::Absent
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Number::Value(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Malformed
    }
}

fn part(first: u64, last: u64, size: u64) -> Selection {
    if first > last || first >= size {
        Selection::Unsatisfiable
    } else {
        Selection::Part { first, last: last.min(size - 1) }
    }
}

/// The last `length` bytes. Of empty content that is all of it, which no `Content-Range` can say.
fn suffix(length: u64, size: u64) -> Selection {
    if length == 0 {
        Selection::Unsatisfiable
    } else if size == 0 {
        Selection::Whole
    } else {
        Selection::Part { first: size.saturating_sub(length), last: size - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(value: &str, size: u64, expected: Selection) {
        assert_eq!(select(value, size), expected, "{value:?} of {size}");
    }

    fn part_of(first: u64, last: u64) -> Selection {
        Selection::Part { first, last }
    }

    #[test]
    fn one_range_is_honoured() {
        for (value, expected) in [
            ("bytes=0-0", part_of(0, 0)),
            ("bytes=0-9", part_of(0, 9)),
            ("bytes=3-5", part_of(3, 5)),
            ("bytes=3-", part_of(3, 9)),
            ("bytes=-3", part_of(7, 9)),
            ("bytes=-10", part_of(0, 9)),
            ("bytes=-11", part_of(0, 9)),
            ("bytes=9-9", part_of(9, 9)),
            ("bytes=5-99999999999999999999999", part_of(5, 9)),
            ("bytes=-99999999999999999999999", part_of(0, 9)),
            ("BYTES=1-2", part_of(1, 2)),
            ("bytes= 1-2 ,, ", part_of(1, 2)),
            ("bytes=007-008", part_of(7, 8)),
        ] {
            check(value, 10, expected);
        }
    }

    #[test]
    fn what_no_byte_satisfies_is_refused() {
        for (value, size) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=99999999999999999999999-", 10),
            ("bytes=5-4", 10),
            ("bytes=500-0", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=0-0", 0),
            ("bytes=-0", 0),
        ] {
            check(value, size, Selection::Unsatisfiable);
        }
    }

    #[test]
    fn what_is_not_understood_is_answered_with_all() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=--2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes=1 -2",
            "bytes=1- 2",
            "bytes 1-2",
            "bytes =1-2",
            " bytes=1-2",
            "lines=1-2",
            "bytes=0-1,3-4",
            "bytes=0-1,x",
            "bytes=\u{661}-\u{662}",
        ] {
            check(value, 10, Selection::Whole);
        }
        check("bytes=-5", 0, Selection::Whole);
    }

    proptest! {
        #[test]
        fn a_part_is_what_a_slice_would_be(
            content in proptest::collection::vec(any::<u8>(), 0..50),
            first in 0_usize..60,
            length in 0_usize..60,
        ) {
            let last = first + length;
            let size = u64::try_from(content.len()).unwrap();
            let expected = content.get(first..content.len().min(last + 1)).filter(|s| !s.is_empty());
            match select(&format!("bytes={first}-{last}"), size) {
                Selection::Part { first, last } => {
                    let (first, last) = (usize::try_from(first).unwrap(), usize::try_from(last).unwrap());
                    prop_assert_eq!(content.get(first..=last), expected);
                }
                Selection::Unsatisfiable => prop_assert_eq!(None, expected),
                Selection::Whole => prop_assert!(false, "a well-formed range was ignored"),
            }
        }

        #[test]
        fn no_text_selects_outside_the_content(value in "(bytes=)?[0-9, -]{0,25}", size in any::<u64>()) {
            if let Selection::Part { first, last } = select(&value, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
