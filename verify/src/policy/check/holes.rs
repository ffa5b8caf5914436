//! What is allowed beyond what a careful policy would allow.

use super::super::Policy;
use super::super::rule::{Demand, Demands};
use crate::identity::{SignerRule, Who};
use crate::pattern::Pattern;

pub(super) fn texts(policy: &Policy) -> Vec<String> {
    let mut texts: Vec<_> = policy
        .placed_demands()
        .flat_map(|(place, demands)| {
            of_demands(demands).into_iter().map(move |text| format!("{place}{text}"))
        })
        .collect();
    if policy.release.artifacts.is_none() {
        texts.push("[release] lists no artifacts: a missing or extra one passes".to_owned());
    }
    texts.extend(guessed(policy));
    texts.extend(policy.release.allowed.iter().map(|pattern| {
        format!("[release] allows every artifact that matches {:?}", pattern.as_str())
    }));
    if policy.npm.as_ref().is_some_and(|npm| npm.demand != Demand::Require) {
        texts.push("[npm] is not required".to_owned());
    }
    texts.extend(policy.verifiers.iter().flat_map(|verifier| {
        // A summary of a release counts under this very policy alone, and stands in place of nothing in it.
        let instead = verifier.resource.is_some();
        let holes = [
            (
                instead && verifier.policies.is_none(),
                "lists no policies: whatever it verified artifacts by counts",
            ),
            (verifier.max_age.is_none(), "has no max_age: its summaries are good for ever"),
            (
                instead,
                "is believed in place of all of [provenance]: its summaries tell no source, ref, inputs or parameters",
            ),
        ];
        let open = holes.into_iter().filter(|(is_open, _)| *is_open);
        open.map(|(_, what)| format!("verifier {:?} {what}", verifier.id))
    }));
    texts.extend(policy.source.iter().flat_map(|source| {
        let holes = [
            (source.demand != Demand::Require, "[source] is not required"),
            (source.reference.is_none(), "[source] has ref = \"any\": every ref is accepted"),
        ];
        holes.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned())
    }));
    let lax = policy.requirements.iter().filter(|r| r.demand != Demand::Require);
    texts.extend(
        lax.map(|requirement| format!("requirement {:?} is not required", requirement.name)),
    );
    let lax = policy.conditions.iter().filter(|c| c.demand != Demand::Require);
    texts.extend(lax.map(|condition| format!("expression {:?} is not required", condition.name)));
    texts.extend(policy.exceptions.iter().map(|exception| {
        let (code, until) = (exception.code, exception.until);
        format!("{code} only warns until {until}: {}", exception.reason)
    }));
    texts.extend(policy.signers.iter().flat_map(of_signer));
    texts.extend(policy.unsigned.iter().map(|pinned| {
        format!("[[unsigned]] accepts {} by its checksum alone: {}", pinned.digest, pinned.reason)
    }));
    texts
}

/// Whoever made a file decides what its bytes look like: demands that are chosen by it can be dodged, be they
/// weaker than others or stricter.
fn guessed(policy: &Policy) -> Vec<String> {
    let scopes = policy.scopes.iter().map(|scope| ("scope", &scope.name, &scope.selector));
    let requirements = policy.requirements.iter();
    let requirements = requirements.map(|r| ("requirement", &r.name, &r.selector));
    let conditions = policy.conditions.iter().map(|c| ("expression", &c.name, &c.selector));
    let all = scopes.chain(requirements).chain(conditions);
    let guessed = all.filter(|(_, _, of)| !of.kinds.is_empty() || !of.platforms.is_empty());
    guessed
        .map(|(what, name, of)| {
            format!(
                "{what} {name:?} is chosen by what bytes look like, which whoever makes them decides: {}",
                of.told()
            )
        })
        .collect()
}

fn of_demands(demands: &Demands) -> Vec<String> {
    let rule = &demands.provenance;
    let on = rule.demand != Demand::Off;
    let holes = [
        (!on, "[provenance] is off: artifacts need not say how they were built"),
        (rule.demand == Demand::Warn, "[provenance] only warns"),
        (
            on && rule.source.is_none(),
            "[provenance] has source = \"any\": every repository is accepted",
        ),
        (
            on && rule.reference.is_none() && rule.expect.versioned_tag.is_none(),
            "[provenance] has ref = \"any\": every tag and branch is accepted",
        ),
        (on && rule.build_types.is_none(), "[provenance] lists no build_types: any are accepted"),
        (on && rule.parameters.is_none(), "[provenance] lists no parameters: any are accepted"),
        (demands.sbom.demand != Demand::Require, "[sbom] is not required"),
        (
            demands.sbom.demand == Demand::Require && demands.sbom.signers.is_none(),
            "[sbom] names no signers: a document that nobody signed is enough",
        ),
    ];
    holes.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned()).collect()
}

fn of_signer(signer: &SignerRule) -> Vec<String> {
    let name = &signer.name;
    let forms = signer.legacy.iter();
    let forms = forms.map(|form| {
        format!("signer {name:?} accepts {}: legacy = [{:?}]", form.told(), form.name())
    });
    let mut texts: Vec<_> = forms.collect();
    texts.extend(of_who(name, &signer.who));
    texts
}

fn of_who(name: &str, who: &Who) -> Vec<String> {
    match who {
        Who::Certificate { identity, .. } => match identity {
            Pattern::Exact(_) => Vec::new(),
            Pattern::Glob { text, .. } => {
                let wide = text.contains("**");
                let wide = wide.then(|| {
                    format!("signer {name:?} has `**` in its identity, which passes over every `/`")
                });
                given_by_pattern(name).into_iter().chain(wide).collect()
            }
            Pattern::Regex { text, .. } => {
                let bare = has_bare_dot(text).then(|| {
                    format!("signer {name:?} has a bare `.` between letters in its identity_regex, which matches any character")
                });
                given_by_pattern(name).into_iter().chain(bare).collect()
            }
        },
        Who::Key(key) => {
            let open = key.valid_until.is_none();
            open.then(|| format!("signer {name:?} is a key without valid_until"))
                .into_iter()
                .collect()
        }
    }
}

fn given_by_pattern(name: &str) -> Vec<String> {
    vec![format!("signer {name:?} is given by a pattern, not exactly")]
}

/// A dot outside of a class that stands between letters or digits, as in `example.com`.
fn has_bare_dot(regex: &str) -> bool {
    let (mut in_class, mut escaped, mut before) = (false, false, ' ');
    let mut characters = regex.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '.' if !in_class
                && before.is_alphanumeric()
                && characters.peek().is_some_and(|next| next.is_alphanumeric()) =>
            {
                return true;
            }
            _ => {}
        }
        before = character;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_bare_dot;

    #[test]
    fn a_dot_between_letters_is_meant_as_a_dot() {
        for regex in ["a@example.com", "(a|b)@x.y", r"\.a.b"] {
            assert!(has_bare_dot(regex), "{regex}");
        }
        for regex in [r"a@example\.com", "[a.b]", "a.*b", "a.+", ".a", "a."] {
            assert!(!has_bare_dot(regex), "{regex}");
        }
    }
}
