//! What must pass: every version of bundles, every kind of log entry, every kind of certificate and key.

use bonded_testsigner::{
    Authority, BundleVersion, Content, Extensions, Key, KeyKind, Log, Request, envelope,
};

use crate::{FILE, Stage, passes, statement};

#[test]
fn every_version_with_every_log_passes() {
    let stage = Stage::new();
    let statement = statement();
    let logs: [(&[Log], usize); 7] = [
        (&[Log::V1], 0),
        (&[Log::V1], 2),
        (&[Log::V1Intoto], 0),
        (&[Log::V1, Log::V1Other], 0),
        (&[Log::V2], 1),
        (&[Log::V2, Log::V2Other], 2),
        (&[Log::V1, Log::V2], 1),
    ];
    for media_type in BundleVersion::ALL {
        for (logs, timestamps) in logs {
            for content in [Content::Statement(&statement), Content::File(FILE)] {
                let promised = logs.contains(&Log::V1) || logs.contains(&Log::V1Intoto);
                let of_statements = logs.contains(&Log::V1Intoto);
                if media_type == BundleVersion::V01 && !promised
                    || of_statements && matches!(content, Content::File(_))
                {
                    continue;
                }
                let request =
                    Request { media_type, logs, timestamps, content, ..Request::default() };
                let bundle = stage.world.keyless(&request).to_json();
                passes(&stage.keyless(&bundle, request.identity), &format!("{request:?}"));
            }
        }
    }
}

#[test]
fn every_certificate_passes() {
    let stage = Stage::new();
    let statement = statement();
    for authority in [Authority::Intermediate, Authority::Root] {
        for extensions in [Extensions::Both, Extensions::Old, Extensions::New] {
            for key in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa3072] {
                for identity in ["https://example.com/workflow@refs/tags/v1", "alice@example.com"] {
                    let content = Content::Statement(&statement);
                    let request = Request {
                        identity,
                        authority,
                        extensions,
                        key,
                        content,
                        ..Request::default()
                    };
                    let bundle = stage.world.keyless(&request).to_json();
                    passes(&stage.keyless(&bundle, identity), &format!("{request:?}"));
                }
            }
        }
    }
}

#[test]
fn every_managed_key_passes() {
    let stage = Stage::new();
    let statement = statement();
    let kinds =
        [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa3072, KeyKind::Rsa4096];
    for kind in kinds {
        let key = Key::new(kind, "managed");
        let bare = envelope(&[&key], bonded_model::media_type::IN_TOTO, &statement);
        passes(&stage.managed(&bare, &key), &format!("bare {kind:?}"));
        let logs: [(&[Log], usize); 4] =
            [(&[], 0), (&[], 1), (&[Log::V1], 0), (&[Log::V1Intoto], 1)];
        for (logs, timestamps) in logs {
            let content = Content::Statement(&statement);
            let request = Request { logs, timestamps, content, ..Request::default() };
            let bundle = stage.world.managed(&key, &request).to_json();
            passes(&stage.managed(&bundle, &key), &format!("{kind:?} {request:?}"));
        }
        let content = Content::File(FILE);
        let request = Request { logs: &[], content, ..Request::default() };
        let bundle = stage.world.managed(&key, &request).to_json();
        passes(&stage.managed(&bundle, &key), &format!("{kind:?} {request:?}"));
    }
}
