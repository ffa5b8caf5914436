//! Just enough of Rust's grammar to tell code from comments, literals and tests, and to find
//! functions and their ends. Knows no rules.

/// A Rust source with what a rule may look at.
pub(crate) struct Source {
    pub(crate) path: String,
    /// Line for line the code, with everything that is not code blanked out.
    pub(crate) code: Vec<String>,
    /// Whether each line belongs to a test module.
    pub(crate) is_test: Vec<bool>,
}

impl Source {
    /// The number and code of each line that is no test's.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().zip(&self.is_test).enumerate();
        numbered
            .filter(|(_, (_, is_test))| !**is_test)
            .map(|(at, (code, _))| (at + 1, code.as_str()))
    }
}

pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Whether `word` stands in the line with no word character on its outer sides.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line.get(start + word.len()..).and_then(|text| text.chars().next());
        let free = |outer: Option<char>, inner: Option<char>| {
            !(outer.is_some_and(is_word) && inner.is_some_and(is_word))
        };
        free(before, word.chars().next()) && free(after, word.chars().next_back())
    })
}

/// Offsets and names of all `fn` items.
pub(crate) fn functions(text: &str) -> Vec<(usize, String)> {
    let starts = text.match_indices("fn ");
    starts
        .filter(|(start, _)| {
            let before = text.get(..*start).and_then(|text| text.chars().next_back());
            !before.is_some_and(is_word)
        })
        .map(|(start, word)| {
            let rest = text.get(start + word.len()..).unwrap_or_default();
            (start, rest.chars().take_while(|c| is_word(*c)).collect::<String>())
        })
        .filter(|(_, name)| !name.is_empty())
        .collect()
}

/// Offsets of the braces of the item that starts at `start`; `None` if it ends with a semicolon.
pub(crate) fn body(text: &str, start: usize) -> Option<(usize, usize)> {
    let (mut round, mut curly, mut open) = (0_usize, 0_usize, None);
    for (offset, c) in text.get(start..)?.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round = round.saturating_sub(1),
            ';' if round == 0 && curly == 0 => return None,
            '{' => {
                curly += 1;
                open = open.or(Some(start + offset));
            }
            '}' => {
                curly = curly.saturating_sub(1);
                if curly == 0 {
                    return open.map(|open| (open, start + offset));
                }
            }
            _ => {}
        }
    }
    None
}

/// The text with comments, strings and character literals blanked out, line for line.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = not_code(rest, out.chars().next_back());
        let length = if skipped == 0 { c.len_utf8() } else { skipped };
        let (piece, after) = rest.split_at(length);
        if skipped == 0 {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

/// The length of the comment or literal that the text begins with; 0 if it begins with code.
fn not_code(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r');
    if let Some(raw) = raw.filter(|_| !before.is_some_and(is_word)) {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw.chars().nth(hashes) == Some('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let head = rest.len() - raw.len() + hashes + 1;
            let inner = rest.get(head..).unwrap_or_default();
            return inner.find(&end).map_or(rest.len(), |at| head + at + end.len());
        }
    }
    match rest.chars().next() {
        Some('"') => quoted(rest, '"'),
        Some('\'') => {
            let mut inner = rest.chars().skip(1);
            let (first, second) = (inner.next(), inner.next());
            let is_literal = first == Some('\\') || second == Some('\'');
            if is_literal { quoted(rest, '\'') } else { 0 }
        }
        _ => 0,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return offset + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (offset, _) in rest.char_indices() {
        let here = rest.get(offset..).unwrap_or_default();
        if here.starts_with("/*") {
            depth += 1;
        } else if here.starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return offset + 2;
            }
        }
    }
    rest.len()
}

/// Reads a source, with the lines of its `#[cfg(test)]` items marked, and the names of test modules
/// that stand in files of their own.
pub(crate) fn source(path: &str, text: &str) -> (Source, Vec<String>) {
    let code = code_only(text);
    let lines: Vec<String> = code.lines().map(str::to_owned).collect();
    let mut is_test = vec![false; lines.len()];
    let mut modules = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let item = start + attribute.len();
        if let Some((_, close)) = body(&code, item) {
            let range = line_at(&code, start) - 1..line_at(&code, close);
            is_test.get_mut(range).into_iter().flatten().for_each(|line| *line = true);
        } else {
            let rest = code.get(item..).and_then(|rest| rest.split_once("mod ")).map(|(_, r)| r);
            modules.extend(
                rest.and_then(|rest| rest.split(';').next()).map(|name| name.trim().to_owned()),
            );
        }
    }
    (Source { path: path.to_owned(), code: lines, is_test }, modules)
}

#[test]
fn only_code_is_looked_at() {
    let text = "a // b\n\"c\\\"d\" 'e' '\\'' b\"f\" r#\"g\"h\"# /* i /* j */ k */ l <'m> fn_r\"n\"";
    let kept: String = code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(kept, "a b l <'m> fn_r");
    assert_eq!(code_only(text).lines().count(), 2);
}
