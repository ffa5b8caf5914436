//! Policies as texts: what is accepted, and what is refused with which error.

use super::*;
use crate::testing::{Case, Key};

fn documented() -> String {
    let text = include_str!("../../../docs/policy.md");
    let (_, rest) = text.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn parse(from: &str, to: &str) -> Result<Policy, PolicyError> {
    let text = documented();
    assert!(text.contains(from), "{from}");
    Policy::parse(&text.replacen(from, to, 1))
}

#[test]
fn the_documented_example_is_a_policy() {
    let policy = Policy::parse(&documented()).unwrap();
    assert_eq!(policy.name(), "example");
    assert_eq!(policy.digest(), Digest::sha256_of(documented().as_bytes()));
    assert_eq!((policy.signers.len(), policy.builders.len()), (4, 3));
    assert!(documented().contains(Key::from_seed(1).public_pem().lines().nth(1).unwrap()));
}

#[test]
fn what_is_left_out_denies() {
    let policy = Policy::parse(&Case::bare().policy.replace("rule = \"off\"\n", "")).unwrap();
    assert_eq!(policy.demands.provenance.demand, Demand::Require);
    assert_eq!(policy.demands.sbom.demand, Demand::Require);
    assert_eq!(policy.demands.checksums, Demand::Off);
    let without = "version = 1\nname = \"a\"\n";
    assert!(matches!(Policy::parse(without), Err(PolicyError::Unclear { .. })));
    let without_level = "version = 1\nname = \"a\"\n[provenance]\n";
    assert!(matches!(Policy::parse(without_level), Err(PolicyError::Level { found: 0, .. })));
}

#[test]
fn any_source_and_any_ref_have_to_be_said() {
    let any = parse("tag = \"{version}\"", "ref = \"any\"").unwrap().demands.provenance;
    assert!(any.reference.is_none() && any.source.is_some());
    let source = "source = \"https://github.com/slsa-framework/example-package\"";
    let any = parse(source, "source = \"any\"").unwrap().demands.provenance;
    assert!(any.reference.is_some() && any.source.is_none());
    for named in ["tag", "branch"] {
        let text = format!("{named} = \"any\"");
        let named = parse("tag = \"{version}\"", &text).unwrap().demands.provenance.reference;
        assert!(named.unwrap().as_str().ends_with("/any"), "{text}");
    }
    let off = "version = 1\nname = \"a\"\n[provenance]\nrule = \"off\"\n";
    assert!(Policy::parse(off).unwrap().demands.provenance.source.is_none());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let table = [
        ("[provenance]\n", "[provenance]\nsorce = \"x\"\n", "source"),
        ("[sbom]\n", "[sbom]\nformat = [\"spdx\"]\n", "formats"),
        ("[checksums]\n", "[checksums]\nrules = \"warn\"\n", "rule"),
        ("[release]\n", "[release]\nartefacts = []\n", "artifacts"),
        ("level = 1\n", "level = 1\nsigner = []\n", "signers"),
        ("log = ", "loq = ", "log"),
        ("runner-environment", "runner-enviroment", "runner-environment"),
        ("[sbom]\n", "[sboms]\n[sbom]\n", "sbom"),
    ];
    for (from, to, nearest) in table {
        match parse(from, to) {
            Err(PolicyError::Toml(error)) => {
                assert_eq!(error.hint.as_deref(), Some(nearest), "{to}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn must_reject_shapes() {
    let toml = [
        ("version = 1\n", ""),
        ("name = \"example\"\n", ""),
        ("version = 1\n", "version = 1\nversion = 1\n"),
        ("rule = \"require\"", "rule = \"maybe\""),
        ("log = \"if-present\"", "log = \"never\""),
        ("formats = [\"spdx\"", "formats = [\"swid\""),
        ("level = 3", "level = \"3\""),
        ("level = 3", "level = 300"),
        ("level = 3", "level = -1"),
        ("valid_from = \"2026-01-01T00:00:00Z\"", "valid_from = \"2026-01-01\""),
        ("[release]", "[[release]]"),
    ];
    for (from, to) in toml {
        assert!(matches!(parse(from, to), Err(PolicyError::Toml(_))), "{to}");
    }
    let long = " ".repeat(usize::try_from(POLICY_BYTES_MAX).unwrap() + 1);
    assert!(matches!(Policy::parse(&long), Err(PolicyError::TooLarge { .. })));
    assert!(matches!(parse("version = 1", "version = 2"), Err(PolicyError::Version { found: 2 })));
    assert!(matches!(
        parse("tag = \"{version}\"", "tag = \"a\"\nbranch = \"b\""),
        Err(PolicyError::Reference { .. })
    ));
    for none in ["tag = \"\"", "ref = \"\"", ""] {
        let found = parse("tag = \"{version}\"", none);
        assert!(matches!(found, Err(PolicyError::Reference { .. })), "{none}");
    }
    let source = "source = \"https://github.com/slsa-framework/example-package\"\n";
    for none in ["source = \"\"\n", ""] {
        assert!(matches!(parse(source, none), Err(PolicyError::Source { .. })), "{none}");
        let warns = documented().replacen("rule = \"require\"", "rule = \"warn\"", 1);
        let found = Policy::parse(&warns.replacen(source, none, 1));
        assert!(matches!(found, Err(PolicyError::Source { .. })), "{none}");
    }
    let artifacts = ["../x", "/x", "", "a//b"];
    for path in artifacts {
        let found = parse("\"LICENSE\"", &format!("\"{path}\""));
        assert!(matches!(found, Err(PolicyError::Artifact { .. })), "{path}");
    }
}

#[test]
fn must_reject_levels_and_names() {
    for level in ["0", "4"] {
        let found = parse("level = 3", &format!("level = {level}"));
        assert!(matches!(found, Err(PolicyError::Level { .. })), "{level}");
    }
    let names = [
        ("name = \"our people\"", "name = \"release key\""),
        ("name = \"our people\"", "name = \"\""),
        ("name = \"example\"", "name = \"\""),
        ("id = \"https://example.com/workshop\"", "id = \"\""),
    ];
    for (from, to) in names {
        assert!(matches!(parse(from, to), Err(PolicyError::Name { .. })), "{to}");
    }
    let lists = [
        ("signers = [\"slsa-generic\"]", "signers = []"),
        ("formats = [\"spdx\", \"cyclonedx\"]", "formats = []"),
        ("signers = [\"release key\", \"our people\"]", "signers = []"),
        ("artifacts = [\"example-{version}.tar.gz\", \"LICENSE\"]", "artifacts = []"),
    ];
    for (from, to) in lists {
        assert!(matches!(parse(from, to), Err(PolicyError::EmptyList { .. })), "{to}");
    }
    match parse("signers = [\"slsa-generic\"]", "signers = [\"slsa-generik\"]") {
        Err(PolicyError::UnknownSigner { nearest, .. }) => {
            assert_eq!(nearest.as_deref(), Some("slsa-generic"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn must_reject_signers() {
    let issuer = "issuer = \"https://accounts.example.com\"\n";
    let regex = "identity_regex = '(alice|bob)@example\\.com'\n";
    let from = "valid_from = \"2026-01-01T00:00:00Z\"\n";
    let unclear = [
        (issuer, ""),
        (issuer, "issuer = \"\"\n"),
        (regex, ""),
        (regex, "identity = \"\"\n"),
        (regex, "identity = \"a\"\nidentity_glob = \"*\"\n"),
        (regex, "identity = \"a\"\nlog = \"require\"\n"),
        (regex, "identity = \"a\"\npublic_key = \"\"\n"),
        (from, "identity = \"a\"\n"),
        (from, "claims = {}\n"),
        (from, "valid_from = \"2027-01-01T00:00:00Z\"\n"),
    ];
    for (from, to) in unclear {
        assert!(matches!(parse(from, to), Err(PolicyError::Signer { .. })), "{to}");
    }
    for pattern in ["(", "a)|(?:b", "a{1000}{1000}"] {
        let found = parse(regex, &format!("identity_regex = '{pattern}'\n"));
        assert!(matches!(found, Err(PolicyError::Pattern { .. })), "{pattern}");
    }
    let found = parse("MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyE");
    assert!(matches!(found, Err(PolicyError::Key { .. })));
}

fn scoped(scope: &str) -> Result<Policy, PolicyError> {
    let mut case = Case::bare();
    case.edit("#sbom", scope);
    Policy::parse(&case.policy)
}

#[test]
fn a_scope_takes_from_the_top_level_what_it_leaves_out() {
    let policy =
        scoped("[[scope]]\nname = \"a\"\npaths = [\"x\"]\nchecksums = { rule = \"warn\" }");
    let policy = policy.unwrap();
    let demands: Vec<_> = policy.all_demands().collect();
    assert_eq!((demands[1].provenance.level, demands[1].sbom.demand), (3, Demand::Off));
    assert_eq!((demands[0].checksums, demands[1].checksums), (Demand::Off, Demand::Warn));
}

/// What has to be pinned beside the papers: too little, and a pass is kept that is none any more.
#[test]
fn content_is_looked_at_wherever_the_policy_names_it() {
    let scope = "[[scope]]\nname = \"a\"\nchecksums = { rule = \"warn\" }\n";
    let require =
        "[[require]]\nname = \"r\"\npredicate = [\"p\"]\nof = \"artifacts\"\nsigners = [\"key\"]\n";
    let expression =
        |cel| format!("[[expression]]\nname = \"e\"\nof = \"artifacts\"\ncel = '{cel}'\n");
    let (kinds, paths) = ("kinds = [\"elf\"]", "paths = [\"x\"]");
    let platforms = "platforms = [\"linux/amd64\"]";
    let table = [
        (String::new(), false),
        (format!("{scope}{paths}"), false),
        (format!("{scope}{paths}\n{kinds}"), true),
        (format!("{scope}{platforms}"), true),
        (format!("{require}{paths}"), false),
        (format!("{require}{kinds}"), true),
        (format!("[release]\n{platforms}"), true),
        ("[release]\nartifacts = [\"x\"]".to_owned(), false),
        (expression("statements.size() > 0"), false),
        (expression("artifact.size > 0"), true),
        (format!("{}{kinds}", expression("statements.size() > 0")), true),
    ];
    for (text, expected) in table {
        assert_eq!(scoped(&text).unwrap().looks_at_content(), expected, "{text}");
    }
}

#[test]
fn must_reject_scopes() {
    let scope = |rest: &str| scoped(&format!("[[scope]]\nname = \"a\"\n{rest}"));
    assert!(matches!(scope(""), Err(PolicyError::Unclear { .. })));
    let empty = ["paths = []", "kinds = []", "platforms = []"];
    for rest in empty {
        assert!(matches!(scope(rest), Err(PolicyError::EmptyList { .. })), "{rest}");
    }
    let values = [
        "paths = [\"\"]",
        "paths = [\"/bin\"]",
        "paths = [\"a-{version}\"]",
        "kinds = [\"ELF\"]",
        "kinds = [\"program\"]",
        "paths = [\"x\"]\nsbom = { quorum = 0 }",
        "paths = [\"x\"]\nsbom = { quorum = 65 }",
        "paths = [\"x\"]\nsbom = { max_age = \"1 month\" }",
    ];
    for rest in values {
        assert!(matches!(scope(rest), Err(PolicyError::Value { .. })), "{rest}");
    }
    let toml = ["path = [\"x\"]", "paths = \"x\"", "paths = [\"x\"]\nsbom = { quorum = -1 }"];
    for rest in toml {
        assert!(matches!(scope(rest), Err(PolicyError::Toml(_))), "{rest}");
    }
    match scope("paths = [\"x\"]\nprovenance = { level = 1, ref = \"any\" }") {
        Err(PolicyError::Source { place }) => assert_eq!(place, "scope \"a\""),
        other => panic!("{other:?}"),
    }
    let one = "[[scope]]\nname = \"a\"\npaths = [\"x\"]\n";
    assert!(matches!(scoped(&one.repeat(2)), Err(PolicyError::Name { what: "scope", .. })));
    let many: String = (0..65).map(|at| one.replace("\"a\"", &format!("\"{at}\""))).collect();
    assert!(matches!(scoped(&many), Err(PolicyError::TooMany { .. })));
}

#[test]
fn there_are_only_so_many_signers_builders_and_unsigned_documents() {
    let tables: [fn(usize) -> String; 3] = [
        |at| format!("[[signer]]\nname = \"{at}\"\nissuer = \"i\"\nidentity = \"{at}\"\n"),
        |at| format!("[[builder]]\nid = \"{at}\"\nsigners = [\"key\"]\nlevel = 1\n"),
        |at| {
            let digest = bonded_model::Digest::sha256_of(&at.to_le_bytes());
            format!(
                "[[unsigned]]\ndigest = \"{digest}\"\nreason = \"r\"\nbuilder = \"b\"\nlevel = 1\n"
            )
        },
    ];
    for table in tables {
        let with = |count| scoped(&(0..count).map(table).collect::<String>());
        assert!(with(200).is_ok());
        let found = with(257);
        assert!(matches!(found, Err(PolicyError::TooMany { limit: 256, .. })), "{found:?}");
    }
}

#[test]
fn must_reject_release_tables() {
    for unclear in ["", "allowed = [\"x\"]"] {
        let found = scoped(&format!("[release]\n{unclear}"));
        assert!(matches!(found, Err(PolicyError::Unclear { .. })), "{unclear}");
    }
    for platform in ["linux", "linux/", "a/b/c/d", ""] {
        let found = scoped(&format!("[release]\nplatforms = [\"{platform}\"]"));
        assert!(matches!(found, Err(PolicyError::Value { .. })), "{platform}");
    }
    let empty = ["artifacts = []", "platforms = []", "artifacts = [\"x\"]\nallowed = []"];
    for empty in empty {
        let found = scoped(&format!("[release]\n{empty}"));
        assert!(matches!(found, Err(PolicyError::EmptyList { .. })), "{empty}");
    }
}

#[test]
fn must_reject_requirements() {
    let require = |rest: &str| scoped(&format!("[[require]]\nname = \"a\"\n{rest}"));
    let good = "predicate = \"t\"\nof = \"release\"\nsigners = [\"key\"]\n";
    assert!(require(good).is_ok());
    let toml = [
        (good, ""),
        ("of = \"release\"\n", ""),
        ("\"release\"", "\"documents\""),
        ("signers = [\"key\"]\n", ""),
        ("predicate = \"t\"\n", ""),
        ("predicate = \"t\"", "predicate = 7"),
        ("predicate = \"t\"", "predicate = \"t\"\nlevel = 3"),
    ];
    for (from, to) in toml {
        let found = require(&good.replacen(from, to, 1));
        assert!(matches!(found, Err(PolicyError::Toml(_))), "{to}");
    }
    for (from, to) in [("signers = [\"key\"]", "signers = []"), ("\"t\"", "[]")] {
        let found = require(&good.replacen(from, to, 1));
        assert!(matches!(found, Err(PolicyError::EmptyList { .. })), "{to}");
    }
    for to in ["\"\"", "[\"t\", \"\"]", "\"t\"\npaths = [\"x\"]", "\"t\"\nkinds = [\"elf\"]"] {
        let found = require(&good.replacen("\"t\"", to, 1));
        assert!(matches!(found, Err(PolicyError::Unclear { .. })), "{to}");
    }
    let stranger = require(&good.replace("\"key\"", "\"keys\""));
    assert!(matches!(stranger, Err(PolicyError::UnknownSigner { .. })));
    let twice = scoped(&format!("[[require]]\nname = \"a\"\n{good}").repeat(2));
    assert!(matches!(twice, Err(PolicyError::Name { what: "requirement", .. })));
}

#[test]
fn must_reject_expressions() {
    let expression = |rest: &str| scoped(&format!("[[expression]]\nname = \"a\"\n{rest}"));
    assert!(expression("of = \"release\"\ncel = \"now > 0\"").is_ok());
    for cel in ["", "1 +", "artifact.size > 0", "provenance.level > 0", "now.matches('a')", "x"] {
        let found = expression(&format!("of = \"release\"\ncel = \"{cel}\""));
        assert!(matches!(found, Err(PolicyError::Expression { .. })), "{cel} {found:?}");
    }
    for toml in ["of = \"release\"", "cel = \"true\"", "of = \"artifacts\"\ncel = true"] {
        assert!(matches!(expression(toml), Err(PolicyError::Toml(_))), "{toml}");
    }
    let unclear = expression("of = \"release\"\npaths = [\"a\"]\ncel = \"true\"");
    assert!(matches!(unclear, Err(PolicyError::Unclear { .. })));
    let message = expression("of = \"release\"\nmessage = \" \"\ncel = \"true\"");
    assert!(matches!(message, Err(PolicyError::Value { key: "message", .. })));
}

#[test]
fn must_reject_exceptions() {
    let exception =
        |code: &str, rest: &str| scoped(&format!("[[exception]]\ncode = \"{code}\"\n{rest}"));
    let good = "until = \"2026-01-01T00:00:00Z\"\nreason = \"r\"";
    let require =
        "[[require]]\nname = \"n\"\npredicate = \"t\"\nof = \"release\"\nsigners = [\"key\"]\n";
    let expression = "[[expression]]\nname = \"n\"\nof = \"release\"\ncel = \"true\"\n";
    let rules = &format!("{require}{expression}");
    // A name that is no rule's would hold as soon as somebody adds a rule of that name.
    for (code, others) in [("REQ-MISSING", expression), ("EXPR-FALSE", require)] {
        for (name, others) in [("n", others), ("m", rules.as_str()), ("n", "")] {
            let found = exception(code, &format!("name = \"{name}\"\n{good}\n{others}"));
            assert!(matches!(found, Err(PolicyError::Value { key: "name", .. })), "{code} {name}");
        }
    }
    for code in crate::Code::ALL {
        let named = if code.is_of_named_rule() { "name = \"n\"\n" } else { "" };
        let found = exception(code.as_str(), &format!("{named}{good}\n{rules}"));
        let refused = matches!(found, Err(PolicyError::Value { key: "code", .. }));
        assert_eq!(found.is_ok(), code.may_be_excepted(), "{code}");
        assert_eq!(refused, !code.may_be_excepted(), "{code}");
        let genuine =
            ["SIG-", "ID-", "STMT-"].iter().any(|family| code.as_str().starts_with(family));
        assert!(!(genuine && code.may_be_excepted()), "{code}");
    }
    for code in ["PROV-*", "prov-missing", "PROV", ""] {
        assert!(
            matches!(exception(code, good), Err(PolicyError::Value { key: "code", .. })),
            "{code}"
        );
    }
    let toml = [
        "",
        "reason = \"r\"",
        "until = \"2026-01-01T00:00:00Z\"",
        "until = \"never\"\nreason = \"r\"",
    ];
    for rest in toml {
        assert!(matches!(exception("REL-EXTRA", rest), Err(PolicyError::Toml(_))), "{rest}");
    }
    for reason in [String::new(), "  ".to_owned(), "x".repeat(241)] {
        let rest = good.replace("\"r\"", &format!("\"{reason}\""));
        assert!(matches!(
            exception("REL-EXTRA", &rest),
            Err(PolicyError::Value { key: "reason", .. })
        ));
    }
    for list in ["paths = []", "versions = []"] {
        let found = exception("REL-EXTRA", &format!("{good}\n{list}"));
        assert!(matches!(found, Err(PolicyError::EmptyList { .. })), "{list}");
    }
}

#[test]
fn what_is_not_asked_of_a_file_alone_is_told() {
    let found = |text: &str| {
        let mut case = Case::bare();
        case.edit("#sbom", text);
        Policy::parse(&case.policy).unwrap().unasked_of_files()
    };
    assert_eq!(found(""), Vec::<String>::new());
    let all = "[checksums]\nrule = \"warn\"\n[npm]\npackage = \"a\"\nsigners = [\"key\"]\n\
        [release]\nartifacts = [\"a\"]\n\
        [[require]]\nname = \"r\"\npredicate = \"t\"\nof = \"release\"\nsigners = [\"key\"]\n\
        [[expression]]\nname = \"e\"\nof = \"release\"\ncel = \"true\"\n\
        [[exception]]\ncode = \"REL-EXTRA\"\nuntil = \"2026-01-01T00:00:00Z\"\nreason = \"r\"\n\
        [[scope]]\nname = \"s\"\npaths = [\"x\"]\nsbom = { rule = \"warn\" }\n\
        provenance = { rule = \"warn\", level = 1, source = \"any\", ref = \"any\", quorum = 2 }";
    let expected = [
        "quorum and max_age of a [provenance] that is not required",
        "[sbom]",
        "[checksums]",
        "[npm]",
        "[release]",
        "requirement \"r\"",
        "expression \"e\"",
        "exceptions",
    ];
    assert_eq!(found(all), expected);
}

#[test]
fn the_documentation_lists_what_may_be_excepted() {
    let text = include_str!("../../../docs/policy.md");
    let (_, list) = text.split_once("these can: ").unwrap();
    let (list, _) = list.split_once(".\nA single file").unwrap();
    let listed: Vec<_> =
        list.split([',', '\n', ' ', '`']).filter(|word| !word.is_empty()).collect();
    let codes = crate::Code::ALL.iter().filter(|code| code.may_be_excepted());
    assert_eq!(listed, codes.map(|code| code.as_str()).collect::<Vec<_>>());
}

mod narrow;
mod ready;
