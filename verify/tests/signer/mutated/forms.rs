//! Changes of legacy forms, each before a signer who names the form: cosign's layers with their annotations and what
//! stands in those, cosign's own bundles, promises without proof, bare envelopes and bare signatures.

use bonded_model::Digest;
use bonded_model::cosign;
use bonded_model::media_type::IN_TOTO;
use bonded_testsigner::{Content, Key, KeyKind, Log, Request, envelope, image_payload};
use bonded_verify::{FileExpectation, Policy};
use serde_json::Value;

use super::{mutants, survivors};
use crate::{FILE, Stage, statement};

fn policy(form: &str) -> Policy {
    let Request { identity, issuer, .. } = Request::default();
    Policy::parse(&format!(
        "version = 1\nname = \"legacy\"\n[[signer]]\nname = \"a\"\nissuer = \"{issuer}\"\n\
         identity = \"{identity}\"\nlegacy = [\"{form}\"]\n\
         [provenance]\nrule = \"off\"\n[sbom]\nrule = \"off\"\n"
    ))
    .unwrap()
}

/// Every change of one field, and of what is JSON in an annotation.
fn changes(document: &[u8]) -> Vec<(String, Vec<u8>)> {
    let value: Value = serde_json::from_slice(document).unwrap();
    let mut changed = mutants(&value);
    for key in [cosign::BUNDLE, cosign::TIMESTAMP] {
        let Some(text) = value["annotations"][key].as_str() else { continue };
        for (what, inner) in mutants(&serde_json::from_str(text).unwrap()) {
            let mut value = value.clone();
            value["annotations"][key] = inner.to_string().into();
            changed.push((format!("{what} in {key}"), value));
        }
    }
    changed.into_iter().map(|(what, value)| (what, value.to_string().into_bytes())).collect()
}

/// What is harmless in bundles. A timestamp stands beside a promise that says the same, and of an envelope the
/// annotation for a signature is empty. In the middle of a token is a certificate that nobody looks at.
fn is_harmless(change: &str) -> bool {
    let at = |key| change.contains(key) && !change.contains(" in ");
    let gone = change.starts_with("drop") || change.starts_with("empty");
    let inside = change.starts_with("middle") && change.contains(cosign::TIMESTAMP);
    super::is_harmless(change) || inside || gone && (at(cosign::TIMESTAMP) || at(cosign::SIGNATURE))
}

#[test]
fn layers_and_bundles_of_cosign_and_promises() {
    let stage = Stage::new();
    let (statement, payload) = (statement(), image_payload(&Digest::sha256_of(FILE)));
    let asked = |content, timestamps| {
        let request =
            Request { content, timestamps, logs: &[Log::V1Promise], ..Request::default() };
        stage.world.keyless(&request)
    };
    let paper = Content::Statement(&statement);
    let rows = [
        ("cosign-attestation", asked(paper, 1).to_cosign_layer().to_bytes()),
        ("cosign-signature", asked(Content::File(&payload), 0).to_cosign_layer().to_bytes()),
        ("cosign-bundle", asked(Content::File(FILE), 0).to_cosign_bundle()),
        ("promise-only", asked(paper, 0).to_json()),
        ("promise-only", asked(Content::File(FILE), 0).to_json()),
    ];
    let mut odd = Vec::new();
    for (form, document) in rows {
        let policy = policy(form);
        let changes = changes(&document);
        assert!(changes.len() > 50, "{form} {}", changes.len());
        let ask = |bundle: &[u8]| stage.ask(&FileExpectation::Policy(&policy), bundle);
        let found = survivors(&document, changes, ask);
        // An annotation with a signature is none only where an envelope holds its own.
        let is_paper = form == "cosign-attestation";
        let found = found.into_iter().filter(|change| {
            !is_harmless(change) || change.contains(cosign::SIGNATURE) && !is_paper
        });
        odd.extend(found.map(|change| format!("{form} {change}")));
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

/// An envelope may say of a signature whose it is, and is not believed.
#[test]
fn bare_envelopes_and_signatures() {
    let stage = Stage::new();
    let statement = statement();
    let key = Key::new(KeyKind::P256, "managed");
    let bare = envelope(&[&key], IN_TOTO, &statement);
    let found = survivors(&bare, changes(&bare), |bundle| stage.managed(bundle, &key));
    let odd = found.into_iter().filter(|change| !is_harmless(change));
    assert_eq!(odd.collect::<Vec<_>>(), [""; 0]);
    let request = Request { content: Content::File(FILE), logs: &[], ..Request::default() };
    let layer = stage.world.managed(&key, &request).to_cosign_layer();
    let text = &layer.annotations[cosign::SIGNATURE];
    let letters = (0..text.len()).map(|at| {
        let mut text = text.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        (format!("letter {at}"), text)
    });
    let ask = |bundle: &[u8]| stage.managed(bundle, &key);
    assert_eq!(survivors(text.as_bytes(), letters.collect(), ask), [""; 0]);
}
