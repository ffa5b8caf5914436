//! Whom a trust root believes, one by one, so that people can see what an update changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bonded_model::{Digest, Timestamp};
use serde::Serialize;
use sigstore_trust_root::trusted_root::{CertChain, CertificateSubject, PublicKey};
use sigstore_trust_root::{TimeRange, TrustedRoot};
use sigstore_types::{HashAlgorithm, LogId};

use super::TrustRoot;

/// What somebody is believed about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberKind {
    /// Who signed: it issues certificates.
    CertificateAuthority,
    /// That certificates are published.
    CertificateLog,
    /// That signatures are published.
    TransparencyLog,
    /// When something was signed.
    TimestampAuthority,
}

impl fmt::Display for MemberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "certificate authority",
            Self::CertificateLog => "certificate log",
            Self::TransparencyLog => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

/// Somebody in a trust root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Member {
    /// What it is believed about.
    pub kind: MemberKind,
    /// The SHA-256 of its public key, or of its certificates one after the other.
    pub key: Digest,
    /// Since when it is believed, if the root says so.
    pub start: Option<Timestamp>,
    /// Until when, if the root says so.
    pub end: Option<Timestamp>,
    /// What the root calls it: a URL, or a name. The host of a log's URL is the origin of its checkpoints;
    /// other names decide nothing.
    pub name: String,
    /// What else the root says of a log: its id, by which entries and certificates name it, and the
    /// algorithms of its key and of its hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Box<LogDetails>>,
}

/// What a trust root says of a log beside its key, as it is written there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogDetails {
    /// `logId.keyId`, in base64.
    pub id: String,
    /// `publicKey.keyDetails`.
    pub key_details: String,
    /// `hashAlgorithm`.
    pub hash_algorithm: String,
}

impl fmt::Display for Member {
    /// On one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, start, end, name, log } = self;
        write!(f, "{kind} {name:?} {key}")?;
        if let Some(LogDetails { id, key_details, hash_algorithm }) = log.as_deref() {
            write!(f, " id {id:?} {key_details:?} {hash_algorithm:?}")?;
        }
        if let Some(start) = start {
            write!(f, " from {start}")?;
        }
        match end {
            Some(end) => write!(f, " to {end}"),
            None => Ok(()),
        }
    }
}

/// How two trust roots differ in somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nobody believed it before.
    Added(Member),
    /// It is believed no more, also about what it said before.
    Removed(Member),
    /// It is called otherwise, or believed at other times, or a log is of another id or algorithm.
    Changed {
        /// As it was.
        before: Member,
        /// As it is.
        after: Member,
    },
}

impl TrustRoot {
    /// Everybody whom it names, in order.
    pub fn members(&self) -> Vec<Member> {
        let TrustedRoot { certificate_authorities, ctlogs, tlogs, timestamp_authorities, .. } =
            self.inner();
        let mut members = Vec::new();
        members.extend(certificate_authorities.iter().map(|authority| {
            let name = name_of(Some(&authority.uri), &authority.subject);
            issuer(
                MemberKind::CertificateAuthority,
                name,
                &authority.cert_chain,
                authority.valid_for,
            )
        }));
        members.extend(ctlogs.iter().map(|log| {
            let details = details(&log.log_id, &log.public_key, log.hash_algorithm);
            keyed(MemberKind::CertificateLog, &log.base_url, &log.public_key, details)
        }));
        members.extend(tlogs.iter().map(|log| {
            let details = details(&log.log_id, &log.public_key, log.hash_algorithm);
            keyed(MemberKind::TransparencyLog, &log.base_url, &log.public_key, details)
        }));
        members.extend(timestamp_authorities.iter().map(|authority| {
            let name = name_of(authority.uri.as_deref(), &authority.subject);
            issuer(MemberKind::TimestampAuthority, name, &authority.cert_chain, authority.valid_for)
        }));
        members.sort();
        members.dedup();
        members
    }

    /// What this root changes in comparison to an earlier one, in order of whom it is about. Each entry
    /// is believed for itself, so one that stands beside another of the same key is told as well.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        let (before, after) = (earlier.members(), self.members());
        let mut gone = by_key(before.iter().filter(|member| !after.contains(member)));
        let mut come = by_key(after.iter().filter(|member| !before.contains(member)));
        let who: BTreeSet<_> = gone.keys().chain(come.keys()).copied().collect();
        let mut changes = Vec::new();
        for who in who {
            let mut gone = gone.remove(&who).unwrap_or_default().into_iter();
            for after in come.remove(&who).unwrap_or_default() {
                changes.push(match gone.next() {
                    Some(before) => Change::Changed { before, after },
                    None => Change::Added(after),
                });
            }
            changes.extend(gone.map(Change::Removed));
        }
        changes
    }
}

/// Members by what they are and by their key, in order.
fn by_key<'a>(
    members: impl Iterator<Item = &'a Member>,
) -> BTreeMap<(MemberKind, Digest), Vec<Member>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for member in members {
        found.entry((member.kind, member.key)).or_default().push(member.clone());
    }
    found
}

fn keyed(kind: MemberKind, url: &str, key: &PublicKey, log: LogDetails) -> Member {
    let digest = Digest::sha256_of(key.raw_bytes.as_bytes());
    Member { log: Some(Box::new(log)), ..member(kind, url.to_owned(), digest, key.valid_for) }
}

fn details(id: &LogId, key: &PublicKey, hash: HashAlgorithm) -> LogDetails {
    LogDetails {
        id: id.key_id.to_string(),
        key_details: key.key_details.to_string(),
        hash_algorithm: hash.to_string(),
    }
}

fn issuer(kind: MemberKind, name: String, chain: &CertChain, window: Option<TimeRange>) -> Member {
    let certificates = chain.certificates.iter().map(|entry| entry.raw_bytes.as_bytes());
    let bytes = certificates.collect::<Vec<_>>().concat();
    member(kind, name, Digest::sha256_of(&bytes), window)
}

fn member(kind: MemberKind, name: String, key: Digest, window: Option<TimeRange>) -> Member {
    let time = |seconds: i64| Timestamp::from_unix_seconds(seconds).ok(); // it says none otherwise
    let start = window.and_then(|window| time(window.start.as_second()));
    let end = window.and_then(|window| time(window.end?.as_second()));
    Member { kind, key, start, end, name, log: None }
}

fn name_of(uri: Option<&str>, subject: &CertificateSubject) -> String {
    let names = [uri, subject.common_name.as_deref(), subject.organization.as_deref()];
    let mut names = names.into_iter().flatten().filter(|name| !name.is_empty());
    names.next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

    fn changed(edit: impl FnOnce(&mut Value)) -> Vec<Change> {
        let mut value: Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        edit(&mut value);
        let root = TrustRoot::parse(value.to_string().as_bytes()).unwrap();
        root.changes_since(&TrustRoot::public_good())
    }

    #[test]
    fn everybody_of_the_public_good_root_is_named() {
        let members = TrustRoot::public_good().members();
        for kind in [
            MemberKind::CertificateAuthority,
            MemberKind::CertificateLog,
            MemberKind::TransparencyLog,
            MemberKind::TimestampAuthority,
        ] {
            let member = members.iter().find(|member| member.kind == kind).unwrap();
            assert!(member.name.contains("sigstore"), "{member}");
            assert!(member.start.is_some(), "{member}");
        }
    }

    /// An entry without an end beside one that has one is what widens trust.
    #[test]
    fn an_entry_beside_one_of_the_same_key_is_told() {
        for (list, kind) in [
            ("certificateAuthorities", MemberKind::CertificateAuthority),
            ("tlogs", MemberKind::TransparencyLog),
        ] {
            let ended = |entry: &mut Value, end: Value| match kind {
                MemberKind::CertificateAuthority => entry["validFor"]["end"] = end,
                _ => entry["publicKey"]["validFor"]["end"] = end,
            };
            let of = |ends: &[Value]| {
                let mut value: Value =
                    serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
                let first = value[list][0].clone();
                let entries = ends.iter().map(|end| {
                    let mut entry = first.clone();
                    ended(&mut entry, end.clone());
                    entry
                });
                value[list] = entries.collect();
                TrustRoot::parse(value.to_string().as_bytes()).unwrap()
            };
            let (end, later) = (json!("2031-01-01T00:00:00Z"), json!("2032-01-01T00:00:00Z"));
            let one = of(std::slice::from_ref(&end));
            for entries in [[end.clone(), Value::Null], [Value::Null, end.clone()]] {
                let two = of(&entries);
                let added = two.changes_since(&one);
                assert!(
                    matches!(added.as_slice(), [Change::Added(new)] if new.kind == kind && new.end.is_none()),
                    "{added:?}"
                );
                let removed = one.changes_since(&two);
                assert!(
                    matches!(removed.as_slice(), [Change::Removed(old)] if old.end.is_none()),
                    "{removed:?}"
                );
            }
            let both = of(&[end, later]).changes_since(&of(&[Value::Null]));
            assert!(
                matches!(both.as_slice(), [Change::Changed { before, .. }, Change::Added(_)] if before.end.is_none()),
                "{both:?}"
            );
        }
    }

    #[test]
    fn what_decides_which_log_an_entry_is_of_is_told() {
        let other = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        for list in ["tlogs", "ctlogs"] {
            let told = changed(|root| root[list][0]["logId"]["keyId"] = other.clone());
            match told.as_slice() {
                [Change::Changed { before, after }] => {
                    assert_ne!(before.log, after.log);
                    assert!(after.to_string().contains(" id \"AAAA"), "{after}");
                }
                told => panic!("{list}: {told:?}"),
            }
        }
    }

    #[test]
    fn changes_say_who_came_went_and_ended() {
        assert_eq!(changed(|_| ()), []);
        let whitespace = format!("{SIGSTORE_PRODUCTION_TRUSTED_ROOT} ");
        let same = TrustRoot::parse(whitespace.as_bytes()).unwrap();
        assert_eq!(same.changes_since(&TrustRoot::public_good()), []);
        let end = json!("2031-01-01T00:00:00Z");
        match changed(|root| root["tlogs"][0]["publicKey"]["validFor"]["end"] = end).as_slice() {
            [Change::Changed { before, after }] => {
                assert_eq!((before.kind, before.end), (MemberKind::TransparencyLog, None));
                assert!(after.to_string().ends_with(" to 2031-01-01T00:00:00Z"), "{after}");
            }
            other => panic!("{other:?}"),
        }
        let gone = changed(|root| drop(root["ctlogs"].as_array_mut().unwrap().remove(0)));
        assert!(
            matches!(gone.as_slice(), [Change::Removed(log)] if log.kind == MemberKind::CertificateLog)
        );
        let other = changed(|root| {
            let staging = sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;
            let staging: Value = serde_json::from_str(staging).unwrap();
            root["certificateAuthorities"] = staging["certificateAuthorities"].clone();
        });
        let authorities =
            |wanted: fn(&Change) -> bool| other.iter().filter(|one| wanted(one)).count();
        assert!(authorities(|change| matches!(change, Change::Added(_))) > 0);
        assert!(authorities(|change| matches!(change, Change::Removed(_))) > 0);
    }
}
