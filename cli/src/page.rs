//! A verdict as one page of HTML: no script, no second file, nothing fetched.
//!
//! Findings quote hostile documents, so every text goes through [`Text`], which leaves no markup in it.

use std::fmt::{self, Display, Formatter, Write as _};

use bonded_verify::{ArtifactVerdict, Finding, Severity, Verdict};

/// Nothing is loaded and nothing runs, whatever a browser makes of the page (CSP level 3).
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f23; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.pass { color: #116329; } .fail { color: #a40e26; } .warn { color: #7d4e00; } .note { color: #57606a; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de; }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; } td:first-child { min-width: 14rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dd { margin: 0; }
article { border-left: 4px solid; padding: .1rem 1rem; margin: 1rem 0; } article > * { color: #1b1f23; } article h3 { font-size: 1rem; margin: .4rem 0; }
</style>
"#;

/// The page of a verdict.
pub(crate) fn page(verdict: &Verdict) -> String {
    let (class, word) = if verdict.is_pass() { ("pass", "PASS") } else { ("fail", "FAIL") };
    let about = match verdict.release() {
        Some((name, _)) => name.to_string(),
        None => "file".to_owned(),
    };
    let about = Text(&about);
    let mut page = format!("{HEAD}<title>{word} {about}</title>\n</head>\n<body>\n");
    page += &format!("<h1><span class=\"{class}\">{word}</span> {about}</h1>\n");
    page += &grounds(verdict);
    page += &artifacts(verdict.artifacts());
    let kinds = [
        (Severity::Fail, "fail", "What made it fail"),
        (Severity::Warn, "warn", "Warnings"),
        (Severity::Note, "note", "Notes"),
    ];
    for (severity, class, title) in kinds {
        let of_kind = |finding: &&Finding| finding.severity == severity;
        let found: String =
            verdict.findings().iter().filter(of_kind).map(|f| finding(f, class)).collect();
        if !found.is_empty() {
            page += &format!("<h2>{title}</h2>\n{found}");
        }
    }
    page + "</body>\n</html>\n"
}

fn grounds(verdict: &Verdict) -> String {
    let subject = if verdict.release().is_some() { "Release" } else { "File" };
    definitions(&[
        (subject, &verdict.subject_digest()),
        ("Policy", &verdict.policy_digest()),
        ("Trust root", &verdict.trust_root_digest()),
        ("Evidence", &verdict.evidence_digest()),
        ("As of", &verdict.now()),
    ])
}

fn artifacts(artifacts: &[ArtifactVerdict]) -> String {
    let mut rows = String::new();
    for artifact in artifacts {
        let path = artifact.path.as_ref().map_or("(file)", |path| path.as_str());
        let level = artifact.level.map_or_else(|| "none".to_owned(), |level| level.to_string());
        let accepted = artifact.accepted.iter().map(|accepted| {
            let document = accepted.document.short();
            let by = accepted.signer.as_ref().map_or_else(String::new, |signer| {
                format!(" by {} (<code>{}</code>)", Text(&signer.name), Text(&signer.identity))
            });
            format!("{} <code>{}</code>{by}", accepted.role.name(), Text(&document))
        });
        let accepted: Vec<_> = accepted.collect();
        rows += &format!(
            "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{level}</td><td>{}</td></tr>\n",
            Text(path),
            Text(&artifact.digest.to_string()),
            accepted.join("<br>")
        );
    }
    format!(
        "<h2>Artifacts</h2>\n<table>\n<tr><th>Path</th><th>Digest</th><th>SLSA build level</th>\
         <th>Accepted</th></tr>\n{rows}</table>\n"
    )
}

fn finding(finding: &Finding, class: &str) -> String {
    let of = finding.path.as_ref().map_or("the release", |path| path.as_str());
    let code = finding.code;
    let mut rows: Vec<(&str, &dyn Display)> =
        vec![("Expected", &finding.expected), ("Seen", &finding.seen)];
    let document = finding.document.map(|digest| digest.to_string());
    if let Some(document) = &document {
        rows.push(("Document", document));
    }
    let (clause, remedy) = (code.clause(), code.remedy());
    rows.extend([("Clause", &clause as &dyn Display), ("Remedy", &remedy)]);
    format!(
        "<article class=\"{class}\">\n<h3>{code} <code>{}</code></h3>\n<p>{}</p>\n{}</article>\n",
        Text(of),
        Text(code.meaning()),
        definitions(&rows)
    )
}

fn definitions(rows: &[(&str, &dyn Display)]) -> String {
    let row = |(name, value): &(&str, &dyn Display)| {
        format!("<dt>{name}</dt><dd><code>{}</code></dd>\n", Text(&value.to_string()))
    };
    format!("<dl>\n{}</dl>\n", rows.iter().map(row).collect::<String>())
}

/// A text that stands between tags (HTML, "Escaping a string").
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_markup() {
        let text = Text("<img src=x onerror='a()'>&\"").to_string();
        assert_eq!(text, "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn the_page_asks_for_nothing() {
        assert!(!HEAD.contains("http://") && !HEAD.contains("https://") && !HEAD.contains("src="));
    }
}
