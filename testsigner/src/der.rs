//! DER as it is written (X.690): just enough to make certificates and timestamp tokens, right ones and
//! wrong ones. Nothing is read back here.

use bonded_model::Timestamp;

pub(crate) const SET: u8 = 0x31;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One value with its tag and length.
pub(crate) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = length.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let mut out = vec![tag];
    match length.as_slice() {
        [] => out.push(0),
        [one] if *one < 0x80 => out.push(*one),
        long => {
            out.push(0x80 | u8::try_from(long.len()).expect("a length has few bytes"));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(items: &[Vec<u8>]) -> Vec<u8> {
    tagged(SEQUENCE, &items.concat())
}

/// A set; DER wants its members in the order of their encodings.
pub(crate) fn set(mut items: Vec<Vec<u8>>) -> Vec<u8> {
    items.sort();
    tagged(SET, &items.concat())
}

/// A context-specific tag around whole values.
pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0xa0 | number, content)
}

/// A context-specific tag in the place of a primitive value's own.
pub(crate) fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0x80 | number, content)
}

pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u32> = dotted.split('.').map(|arc| arc.parse().expect("an arc")).collect();
    let [first, second, rest @ ..] = arcs.as_slice() else {
        unreachable!("an object identifier has two arcs or more")
    };
    let mut content = base128(first * 40 + second);
    content.extend(rest.iter().flat_map(|arc| base128(*arc)));
    tagged(6, &content)
}

fn base128(mut arc: u32) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(arc & 0x7f).expect("seven bits");
        out.push(if out.is_empty() { low } else { low | 0x80 });
        arc >>= 7;
        if arc == 0 {
            break;
        }
    }
    out.reverse();
    out
}

/// A non-negative integer from big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    tagged(2, &content)
}

pub(crate) fn small(value: u8) -> Vec<u8> {
    unsigned(&[value])
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tagged(1, &[if value { 0xff } else { 0 }])
}

pub(crate) fn null() -> Vec<u8> {
    tagged(5, &[])
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(4, bytes)
}

pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(3, &[&[0], bytes].concat())
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tagged(12, text.as_bytes())
}

/// A time as certificates hold it: two digits for the year until 2049.
pub(crate) fn time(at: Timestamp) -> Vec<u8> {
    let digits = digits(at);
    match digits.strip_prefix("20") {
        Some(short) if short < "50" => tagged(UTC_TIME, short.as_bytes()),
        _ => tagged(GENERALIZED_TIME, digits.as_bytes()),
    }
}

pub(crate) fn generalized_time(at: Timestamp) -> Vec<u8> {
    tagged(GENERALIZED_TIME, digits(at).as_bytes())
}

/// `YYYYMMDDHHMMSSZ`.
fn digits(at: Timestamp) -> String {
    at.to_string().chars().filter(char::is_ascii_alphanumeric).filter(|c| *c != 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_minimal() {
        let table: [(Vec<u8>, &[u8]); 9] = [
            (octets(&[]), &[4, 0]),
            (octets(&[7; 3]), &[4, 3, 7, 7, 7]),
            (small(0), &[2, 1, 0]),
            (small(127), &[2, 1, 127]),
            (small(128), &[2, 2, 0, 128]),
            (unsigned(&[0, 0, 1, 0]), &[2, 2, 1, 0]),
            (oid("1.3.6.1.4.1.57264.1.8"), &[6, 10, 43, 6, 1, 4, 1, 131, 191, 48, 1, 8]),
            (set(vec![small(2), small(1)]), &[0x31, 6, 2, 1, 1, 2, 1, 2]),
            (bits(&[5]), &[3, 2, 0, 5]),
        ];
        for (found, expected) in table {
            assert_eq!(found, expected);
        }
        for (length, head) in
            [(127, vec![4, 127]), (128, vec![4, 129, 128]), (256, vec![4, 130, 1, 0])]
        {
            assert!(octets(&vec![0; length]).starts_with(&head), "{length}");
        }
    }

    #[test]
    fn years_have_two_digits_until_2049() {
        let at = |text: &str| time(text.parse().unwrap());
        assert_eq!(at("2049-12-31T23:59:59Z"), tagged(UTC_TIME, b"491231235959Z"));
        assert_eq!(at("2050-01-01T00:00:00Z"), tagged(GENERALIZED_TIME, b"20500101000000Z"));
    }
}
