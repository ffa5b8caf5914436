//! Whom a trust root believes, one by one, so that people can see what an update changes.

use std::collections::BTreeMap;
use std::fmt;

use bonded_model::{Digest, Timestamp};
use serde::Serialize;
use sigstore_trust_root::trusted_root::{CertChain, CertificateSubject, PublicKey};
use sigstore_trust_root::{TimeRange, TrustedRoot};

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
    /// What the root calls it: a URL, or a name. It decides nothing.
    pub name: String,
}

impl fmt::Display for Member {
    /// On one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, start, end, name } = self;
        write!(f, "{kind} {name:?} {key}")?;
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
    /// It is called otherwise, or believed until another time.
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
        members.extend(
            ctlogs
                .iter()
                .map(|log| keyed(MemberKind::CertificateLog, &log.base_url, &log.public_key)),
        );
        members.extend(
            tlogs
                .iter()
                .map(|log| keyed(MemberKind::TransparencyLog, &log.base_url, &log.public_key)),
        );
        members.extend(timestamp_authorities.iter().map(|authority| {
            let name = name_of(authority.uri.as_deref(), &authority.subject);
            issuer(MemberKind::TimestampAuthority, name, &authority.cert_chain, authority.valid_for)
        }));
        members.sort();
        members.dedup();
        members
    }

    /// What this root changes in comparison to an earlier one, in order of whom it is about.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        type Who = (MemberKind, Digest, Option<Timestamp>);
        let by_who = |root: &Self| -> BTreeMap<Who, Member> {
            let members = root.members().into_iter();
            members.map(|member| ((member.kind, member.key, member.start), member)).collect()
        };
        let (mut before, after) = (by_who(earlier), by_who(self));
        let mut changes = BTreeMap::new();
        for (who, after) in after {
            let change = match before.remove(&who) {
                None => Change::Added(after),
                Some(before) if before == after => continue,
                Some(before) => Change::Changed { before, after },
            };
            changes.insert(who, change);
        }
        changes.extend(before.into_iter().map(|(who, member)| (who, Change::Removed(member))));
        changes.into_values().collect()
    }
}

fn keyed(kind: MemberKind, url: &str, key: &PublicKey) -> Member {
    let digest = Digest::sha256_of(key.raw_bytes.as_bytes());
    member(kind, url.to_owned(), digest, key.valid_for)
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
    Member { kind, key, start, end, name }
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
