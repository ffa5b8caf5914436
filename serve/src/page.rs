//! The pages that people read: plain HTML, no script, every text escaped, relative links only, so
//! that they work at any prefix. Knows nothing of HTTP beyond its own content security policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonded_model::evidence::Subject;
use bonded_model::inventory::{ListedDocument, newest_first, total_bytes};
use bonded_model::{Artifact, ArtifactPath, Digest, Project, Version};
use bonded_verify::{AcceptedDocument, Role};

use crate::address::encode;
use crate::view::{ProjectView, ReleaseView, Tree};

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8886}\
code,pre{font-size:.85rem;overflow-wrap:anywhere;white-space:pre-wrap}\
pre{margin:.3rem 0;padding:.5rem;background:#8881}\
footer{margin-top:2rem;font-size:.85rem}";

/// The policy under which a browser shows these pages: nothing but the one style above.
pub(crate) fn content_security_policy() -> String {
    let style = STANDARD.encode(Digest::sha256_of(STYLE.as_bytes()).as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// The page of all projects.
pub(crate) fn projects(tree: &Tree) -> String {
    let mut body = String::from("<h1>Releases</h1>\n<ul>\n");
    for (project, view) in &tree.projects {
        let count = view.releases.len();
        let project = escape(project.as_str());
        add(&mut body, format_args!("<li><a href=\"./{project}/\">{project}</a> ({count})</li>\n"));
    }
    if tree.projects.is_empty() {
        body.push_str("<li>none: no release in this store has a passing verdict</li>\n");
    }
    body.push_str("</ul>\n<p>As JSON: <a href=\"./releases.json\">releases.json</a></p>\n");
    document("Releases", &body)
}

/// The page of one project.
pub(crate) fn project(project: &Project, view: &ProjectView) -> String {
    let mut body = format!(
        "<h1>{}</h1>\n<table>\n<tr><th>Release</th><th>Files</th><th>Size</th><th>Digest</th></tr>\n",
        escape(project.as_str())
    );
    let mut releases: Vec<(&Version, &ReleaseView)> = view.releases.iter().collect();
    releases.sort_by(|(a, _), (b, _)| newest_first(a, b));
    for (version, release) in releases {
        let release = release.release();
        add(
            &mut body,
            format_args!(
                "<tr><td><a href=\"./release/{}/\">{}</a></td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
                href(version.as_str()),
                escape(version.as_str()),
                release.artifacts().len(),
                size(total_bytes(release)),
                release.digest()
            ),
        );
    }
    body.push_str("</table>\n<h2>Markers</h2>\n<ul>\n");
    for (name, version) in &view.markers {
        let (name, version) = (escape(name), escape(version.as_str()));
        add(&mut body, format_args!("<li><a href=\"./{name}.txt\">{name}</a>: {version}</li>\n"));
    }
    body.push_str("</ul>\n<p>As JSON: <a href=\"./releases.json\">releases.json</a></p>\n");
    document(project.as_str(), &body)
}

/// The page of one release.
pub(crate) fn release(view: &ReleaseView) -> String {
    let name = view.release().name();
    let title = format!("{} {}", name.project, name.version);
    let papers = Papers::of(view);
    let mut body = format!("<h1>{}</h1>\n{}", escape(&title), grounds(view));
    body.push_str("<h2>Files</h2>\n<table>\n<tr><th>File</th><th>Size</th>");
    body.push_str("<th>SHA-256, evidence, how to check</th></tr>\n");
    for artifact in view.release().artifacts() {
        body.push_str(&file_row(&papers, &name.version, artifact));
    }
    body.push_str("</table>\n<h2>Evidence about the release as a whole</h2>\n<ul>\n");
    for listed in papers.about.get(&Subject::Release).into_iter().flatten() {
        add(&mut body, format_args!("<li>{}</li>\n", document_link(listed)));
    }
    body.push_str("</ul>\n<p>As JSON: <a href=\"./.bonded/release.json\">release.json</a>, ");
    body.push_str("<a href=\"./.bonded/evidence.json\">evidence.json</a></p>\n");
    document(&title, &body)
}

/// The documents of a release as its page asks for them: a release may have thousands of both.
struct Papers<'a> {
    about: BTreeMap<&'a Subject, Vec<&'a ListedDocument>>,
    /// The signed documents on which each artifact passed.
    accepted: BTreeMap<&'a ArtifactPath, Vec<&'a ListedDocument>>,
    /// Of those, the ones that a reader can check a single file with.
    checks: BTreeMap<&'a ArtifactPath, Vec<&'a ListedDocument>>,
}

impl<'a> Papers<'a> {
    fn of(view: &'a ReleaseView) -> Self {
        let mut about: BTreeMap<&Subject, Vec<&ListedDocument>> = BTreeMap::new();
        let mut by_digest = BTreeMap::new();
        for listed in view.documents() {
            by_digest.entry(listed.digest).or_insert(listed);
            for subject in &listed.subjects {
                about.entry(subject).or_default().push(listed);
            }
        }
        let by_path = |wanted: fn(&AcceptedDocument) -> bool| {
            let verdicts = view.verified().verdict().artifacts().iter();
            let of_artifact = verdicts.filter_map(|verdict| {
                let wanted = verdict.accepted.iter().filter(|accepted| wanted(accepted));
                let digests: BTreeSet<Digest> = wanted.map(|accepted| accepted.document).collect();
                let listed = digests.iter().filter_map(|digest| by_digest.get(digest).copied());
                Some((verdict.path.as_ref()?, listed.collect()))
            });
            of_artifact.collect()
        };
        let accepted = by_path(|accepted| accepted.signer.is_some());
        let checks = by_path(is_check);
        Self { about, accepted, checks }
    }
}

/// Whether a document passes the check of a single file: that asks for signed provenance, which
/// another accepted document, such as a signed SBOM, is not.
fn is_check(accepted: &AcceptedDocument) -> bool {
    accepted.signer.is_some() && accepted.role == Role::Provenance
}

/// What the release is and what was decided about it.
fn grounds(view: &ReleaseView) -> String {
    let (admission, verdict) = (view.admission(), view.verified().verdict());
    format!(
        "<p>{} files, {}. Release digest <code>{}</code>.</p>\n\
         <p>Verified at {} under the policy <code>{}</code> with the trust root <code>{}</code>.</p>\n",
        view.release().artifacts().len(),
        size(total_bytes(view.release())),
        view.release().digest(),
        verdict.now(),
        admission.policy,
        admission.trust_root
    )
}

fn file_row(papers: &Papers<'_>, version: &Version, artifact: &Artifact) -> String {
    let about = papers.about.get(&Subject::Artifact(artifact.path.clone()));
    let accepted = papers.accepted.get(&artifact.path);
    let papers_of_file: BTreeMap<&str, &ListedDocument> =
        about.into_iter().chain(accepted).flatten().map(|d| (d.path.as_str(), *d)).collect();
    let links: Vec<String> = papers_of_file.values().map(|d| document_link(d)).collect();
    let links = if links.is_empty() { String::new() } else { format!("<br>{}", links.join(", ")) };
    let platform = artifact.platform.as_ref().map_or_else(String::new, |platform| {
        format!("<br>{}", escape(&format!("{}/{}", platform.os, platform.architecture)))
    });
    format!(
        "<tr><td><a href=\"./{}\">{}</a>{platform}</td><td>{}</td><td><code>{}</code>{links}\
         <details><summary>check a download</summary><pre>{}</pre></details></td></tr>\n",
        href(artifact.path.as_str()),
        escape(artifact.path.as_str()),
        size(artifact.file.size),
        artifact.file.digest,
        escape(&commands(papers, version, artifact).join("\n"))
    )
}

/// The commands that check a downloaded file, run where file and evidence were put side by side.
/// The policy is the reader's own, so it is a placeholder; its digest stands at the top of the page.
fn commands(papers: &Papers<'_>, version: &Version, artifact: &Artifact) -> Vec<String> {
    let file = format!("./{}", artifact.path.file_name());
    let line = format!("{}  {file}", artifact.file.digest.hex());
    let mut commands = vec![format!("echo {} | sha256sum --check", shell(&line))];
    for bundle in papers.checks.get(&artifact.path).into_iter().flatten() {
        let bundle = bundle.path.rsplit_once('/').map_or(bundle.path.as_str(), |(_, name)| name);
        commands.push(format!(
            "bonded verify {} --bundle {} --policy POLICY.toml --release-version {}",
            shell(&file),
            shell(&format!("./{bundle}")),
            shell(version.as_str())
        ));
    }
    commands
}

fn document_link(listed: &ListedDocument) -> String {
    format!("<a href=\"./{}\">{}</a>", href(&listed.path), escape(&listed.path))
}

fn document(title: &str, body: &str) -> String {
    let footer = concat!("Served by bonded ", env!("CARGO_PKG_VERSION"));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}<footer>{footer}: only releases with a \
         passing verdict are shown.</footer>\n</body>\n</html>\n",
        escape(title)
    )
}

fn add(body: &mut String, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text).expect("writing to a string does not fail");
}

/// A path as the value of an attribute: an `&` is legal in a path and would start an entity here.
fn href(path: &str) -> String {
    escape(&encode(path))
}

/// Makes text safe as content of an element and of a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Makes text one word of a POSIX shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/+@:=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Bytes, in the largest binary unit with one decimal.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use bonded_verify::SignedBy;

    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(
            escape("<script>alert(\"x\")</script> & 'y'"),
            "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;"
        );
    }

    #[test]
    fn an_ampersand_in_a_link_starts_no_entity() {
        assert_eq!(href("a&copy \"x\""), "a&amp;copy%20%22x%22");
    }

    #[test]
    fn only_signed_provenance_passes_the_check_of_a_file() {
        // A signed SBOM had a command of its own, which failed on a good file.
        let signer = || {
            let (name, identity) = ("workshop".to_owned(), "key".to_owned());
            Some(SignedBy { name, identity, signed_at: None })
        };
        for (role, signer, expected) in [
            (Role::Provenance, signer(), true),
            (Role::Provenance, None, false),
            (Role::Sbom, signer(), false),
            (Role::Signature, signer(), false),
            (Role::Checksum, signer(), false),
        ] {
            let document = Digest::sha256_of(b"document");
            assert_eq!(is_check(&AcceptedDocument { document, role, signer }), expected);
        }
    }

    #[test]
    fn a_name_is_one_word_of_a_shell() {
        for (text, expected) in [
            ("./kubectl", "./kubectl"),
            ("./a b", "'./a b'"),
            ("./$(reboot)", "'./$(reboot)'"),
            ("./it's", "'./it'\\''s'"),
            ("./a;b", "'./a;b'"),
            ("./`x`", "'./`x`'"),
            ("", "''"),
        ] {
            assert_eq!(shell(text), expected);
        }
    }

    #[test]
    fn sizes_are_cut_not_rounded_up() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (3 << 20, "3.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn the_policy_names_the_one_style() {
        let policy = content_security_policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe"));
        assert!(document("t", "").contains(&format!("<style>{STYLE}</style>")));
    }
}
