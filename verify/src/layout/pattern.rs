//! Patterns of artifact rules: shell wildcards as the reference implementation of in-toto reads them.
//!
//! `*` stands for any text, `/` included, `?` for one character, `[…]` for one of a set and `[!…]` for one
//! outside of it. What implementations are known to read in different ways is refused: `[^…]`, which is a set
//! with `^` to some and the rest of it to others (CVE-2021-41087 and GHSA-pmwq-pjrm-6p5r are of that kind), a
//! backslash, sets that do not end or have a `-` at an end, and braces, where some put the value of a parameter.

/// What is left of the steps that matching may take.
#[derive(Debug)]
pub(super) struct Budget(pub(super) u64);

/// Matching took more steps than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn spend(&mut self) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(1).ok_or(Exhausted)?;
        Ok(())
    }
}

/// A pattern that every reader understands in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
    Set { outside: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// `None` for what is read in different ways.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), text.chars());
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => set(&mut rest)?,
                '\\' | '{' | '}' => return None,
                literal => Part::Literal(literal),
            });
        }
        Some(Self { text: text.to_owned(), parts })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one text alone.
    pub(super) fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Goes back to the last `*` only, so the steps are at most the product of both lengths.
    pub(super) fn matches(&self, text: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        let (mut at, mut rest) = (0, text.chars());
        let mut retry = None;
        loop {
            budget.spend()?;
            let mut next = rest.clone();
            match (self.parts.get(at), next.next()) {
                (Some(Part::Any), _) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                (Some(part), Some(character)) if part.takes(character) => {
                    at += 1;
                    rest = next;
                    continue;
                }
                (None, None) => return Ok(true),
                _ => {}
            }
            // The last star takes one character more.
            let Some((after, mut from)) = retry.take() else { return Ok(false) };
            if from.next().is_none() {
                return Ok(false);
            }
            retry = Some((after, from.clone()));
            (at, rest) = (after, from);
        }
    }
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Literal(literal) => *literal == character,
            Self::Set { outside, ranges } => {
                *outside != ranges.iter().any(|(low, high)| (*low..=*high).contains(&character))
            }
        }
    }
}

/// Whether a text has a place for a parameter, which some readers fill in and others take as it stands.
pub(super) fn has_parameter(text: &str) -> bool {
    text.contains(['{', '}'])
}

/// What follows `[`.
fn set(rest: &mut std::str::Chars<'_>) -> Option<Part> {
    let outside = rest.clone().next() == Some('!');
    if outside {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Part::Set { outside, ranges }),
            ']' | '-' | '[' | '\\' | '{' | '}' => return None,
            '^' if ranges.is_empty() => return None,
            low => low,
        };
        if rest.clone().next() != Some('-') {
            ranges.push((low, low));
            continue;
        }
        rest.next();
        match rest.next()? {
            ']' | '-' | '[' | '\\' | '{' | '}' => return None,
            high if high < low => return None,
            high => ranges.push((low, high)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let found = Glob::parse(pattern).unwrap().matches(text, &mut Budget(10_000));
        assert_eq!(found, Ok(expected), "{pattern:?} {text:?}");
    }

    #[test]
    fn patterns_are_read_as_the_reference_reads_them() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a/b/c"),
            ("a*c", "a/b/c"),
            ("*.tar.gz", "x.tar.tar.gz"),
            ("a?c", "a/c"),
            ("[ab]x", "bx"),
            ("[!ab]x", "cx"),
            ("[a-c1]x", "1x"),
            ("[a^]", "^"),
            ("a**b", "ab"),
            ("é?", "éü"),
            ("a]", "a]"),
            ("", ""),
        ] {
            check(pattern, text, true);
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("foo", "foo.py"),
            ("foo", "./foo"),
            ("Foo", "foo"),
            ("?", ""),
            ("?", "ab"),
            ("[ab]x", "cx"),
            ("[!ab]x", "ax"),
            ("*a", "ab"),
            ("a*b*c", "acb"),
            ("[!a]", ""),
        ] {
            check(pattern, text, false);
        }
    }

    #[test]
    fn what_is_read_in_different_ways_is_refused() {
        for text in [
            "[^a]", "[", "[a", "[]", "[]a]", "[!]", "[-a]", "[a-]", "[z-a]", "a\\*", "[a\\]",
            "[[a]", "{a}", "a}", "{a,b}/*", "[{]",
        ] {
            assert_eq!(Glob::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_slow_pattern_stops() {
        let glob = Glob::parse(&format!("*{}b", "a".repeat(100))).unwrap();
        let text = "a".repeat(5_000);
        assert_eq!(glob.matches(&text, &mut Budget(100_000)), Err(Exhausted));
        assert_eq!(glob.matches(&text, &mut Budget(u64::MAX)), Ok(false));
    }
}
