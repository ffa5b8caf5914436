//! Sources that a provenance names, in the one form in which they are compared.
//!
//! ```text
//! git+https://GitHub.com/o/r.git@refs/tags/v1 ─┐
//! https://github.com/o/r#refs/tags/v1 ─────────┼─▶ https://github.com/o/r  and  refs/tags/v1
//! git@github.com:o/r.git  beside  refs/tags/v1 ┘
//! ```

use crate::statement::DigestSet;

/// One source that a provenance names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The role it plays.
    pub role: SourceRole,
    /// The URI as written, with its `@ref` if it has one.
    pub uri: String,
    /// The ref, where it was written beside the URI and not in it.
    pub reference: Option<String>,
    /// The digest set as written (`sha1`, `gitCommit`, …).
    pub digest: DigestSet,
}

/// Where in the predicate a source was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRole {
    /// The configuration that the build was started from (v0.1 the material that the recipe is defined
    /// in, v0.2 `configSource`, v1 external parameters `source`, `workflow` or `buildConfigSource`):
    /// what the builder vouches for.
    Trigger,
    /// A material or resolved dependency.
    Material,
}

impl Source {
    /// The repository as [`normalise_repository`] writes it, and the ref.
    ///
    /// `git+https://github.com/o/r@refs/tags/v1` gives `https://github.com/o/r` and `refs/tags/v1`.
    pub fn repository_and_ref(&self) -> (String, Option<&str>) {
        if let Some(reference) = &self.reference {
            return (normalise_repository(&self.uri), Some(reference));
        }
        let (uri, reference) = split_ref(&self.uri);
        (normalise_repository(uri), reference)
    }
}

/// A repository URI in the one form that is compared: without `git+`, trailing slash, `.git` and the
/// default port, scheme and host in lower case. The spellings of SSH become `https`: a host has one
/// repository under a path, however it is fetched. The path keeps its case, since hosts differ in that.
pub fn normalise_repository(uri: &str) -> String {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let uri = uri.strip_suffix('/').unwrap_or(uri);
    let uri = uri.strip_suffix(".git").unwrap_or(uri);
    if let Some((host, path)) = of_scp(uri) {
        return format!("https://{}/{path}", host.to_ascii_lowercase());
    }
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let slash = if path.is_empty() { "" } else { "/" };
    let (scheme, authority) =
        default_authority(&scheme.to_ascii_lowercase(), &authority.to_ascii_lowercase());
    format!("{scheme}://{authority}{slash}{path}")
}

/// Scheme and authority without the port that the scheme has anyway; SSH as the user `git` is `https`.
fn default_authority(scheme: &str, authority: &str) -> (String, String) {
    let (default_port, as_git) = match scheme {
        "https" => (":443", None),
        "ssh" => (":22", authority.strip_prefix("git@")),
        _ => ("\0", None),
    };
    let authority = as_git.unwrap_or(authority);
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    let scheme = if as_git.is_some() { "https" } else { scheme };
    (scheme.to_owned(), authority.to_owned())
}

/// Host and path of `git@host:path`, the short form of SSH that is no URI.
fn of_scp(text: &str) -> Option<(&str, &str)> {
    let (host, path) = text.strip_prefix("git@")?.split_once(':')?;
    let is_host = !host.is_empty() && !host.contains('/');
    (is_host && !path.is_empty() && !path.starts_with('/')).then_some((host, path))
}

/// Splits `@ref` or `#ref` off the path part of a URI: at the first of either, since a ref may hold
/// further ones and the path of a repository holds none. An `@` in the authority is none.
fn split_ref(uri: &str) -> (&str, Option<&str>) {
    let scp = |uri: &str| of_scp(uri).map(|(host, _)| "git@".len() + host.len());
    let authority_at = uri.find("://").map_or(0, |at| at + 3);
    let path_at = scp(uri).or_else(|| {
        let rest = uri.get(authority_at..)?;
        Some(authority_at + rest.find('/')?)
    });
    let path = path_at.and_then(|at| uri.get(at..));
    match path.and_then(|path| path.split_once(['@', '#'])) {
        Some((_, reference)) => {
            let end = uri.len() - reference.len() - 1;
            (uri.get(..end).unwrap_or(uri), Some(reference).filter(|text| !text.is_empty()))
        }
        None => (uri, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, reference: Option<&str>) -> Source {
        let (uri, reference) = (uri.to_owned(), reference.map(str::to_owned));
        Source { role: SourceRole::Trigger, uri, reference, digest: DigestSet::default() }
    }

    #[test]
    fn repositories_in_one_form() {
        for uri in [
            "https://github.com/o/R",
            "git+https://GitHub.com/o/R",
            "HTTPS://github.com:443/o/R.git",
            "https://github.com/o/R.git/",
            "https://github.com/o/R/",
            "ssh://git@github.com/o/R.git",
            "git+ssh://git@GitHub.com:22/o/R",
            "git@github.com:o/R.git",
        ] {
            assert_eq!(normalise_repository(uri), "https://github.com/o/R", "{uri}");
        }
    }

    #[test]
    fn what_differs_stays_different() {
        for uri in [
            "https://github.com/o/r",
            "https://github.com/O/R",
            "http://github.com/o/R",
            "git://github.com/o/R",
            "https://user@github.com/o/R",
            "ssh://root@github.com/o/R",
            "ssh://github.com/o/R",
            "https://github.com:8443/o/R",
            "https://github.com:22/o/R",
            "https://github.com/o/R/../S",
            "https://github.com/o//R",
            "https://github.com/o/R//",
            "https://github.com.evil.example/o/R",
            "git@github.com:/o/R",
            "git@evil/github.com:o/R",
            "root@github.com:o/R",
            "github.com/o/R",
            "",
        ] {
            assert_ne!(normalise_repository(uri), "https://github.com/o/R", "{uri}");
        }
    }

    #[test]
    fn a_ref_may_hold_what_ends_a_repository() {
        let (repository, tag) = ("https://github.com/o/r", "refs/tags/pkg@1.2.3");
        for (uri, expected) in [
            ("git+https://github.com/o/r@refs/tags/pkg@1.2.3", (repository, Some(tag))),
            ("https://github.com/o/r#refs/tags/pkg@1.2.3", (repository, Some(tag))),
            ("https://github.com/o/r.git#refs/heads/a", (repository, Some("refs/heads/a"))),
            ("https://github.com/o/r@a#b", (repository, Some("a#b"))),
            ("git@github.com:o/r.git@a", (repository, Some("a"))),
            ("ssh://git@github.com/o/r#a", (repository, Some("a"))),
            ("https://user@github.com/o/r@a", ("https://user@github.com/o/r", Some("a"))),
            ("git+https://github.com/o/r@", (repository, None)),
            ("git+https://github.com/o/r#", (repository, None)),
            ("git+https://github.com/o/r", (repository, None)),
            ("https://user@host", ("https://user@host", None)),
            ("@", ("@", None)),
        ] {
            let source = source(uri, None);
            let (repository, reference) = source.repository_and_ref();
            assert_eq!((repository.as_str(), reference), expected, "{uri}");
        }
    }

    #[test]
    fn beside_each_other_neither_part_can_pass_for_a_piece_of_the_other() {
        let tag = "refs/tags/pkg@1";
        let apart = source("https://github.com/o/r", Some(tag));
        assert_eq!(apart.repository_and_ref(), ("https://github.com/o/r".into(), Some(tag)));
        let glued = "https://github.com/o/r@refs/tags/v1";
        assert_eq!(source(glued, Some(tag)).repository_and_ref(), (glued.into(), Some(tag)));
    }
}
