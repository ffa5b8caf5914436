//! Expressions: what is true, what is refused, and what ends for want of steps.

use serde_json::json;

use super::*;

fn variables() -> BTreeMap<&'static str, Value> {
    let many: Vec<Value> =
        (0..2_000).map(|at| json!({"name": format!("n{at}"), "at": at})).collect();
    BTreeMap::from([
        ("artifact", json!({"path": "bin/a", "size": 5, "kind": "elf", "platform": null})),
        ("list", json!([1, 2, 3])),
        ("words", json!(["a", "b"])),
        ("map", json!({"b": 2, "a": "x"})),
        ("many", Value::Array(many)),
        ("long", json!("x".repeat(100_000))),
        ("named_at_length", json!({"x".repeat(100_000): 1})),
        ("now", json!(1_000)),
    ])
}

fn borrowed<'a>(variables: &'a BTreeMap<&'static str, Value>) -> BTreeMap<&'static str, &'a Value> {
    variables.iter().map(|(name, value)| (*name, value)).collect()
}

fn parse(text: &str) -> Result<Expression, ExpressionError> {
    let variables = variables();
    Expression::parse(text, &variables.keys().copied().collect::<Vec<_>>())
}

fn ask(text: &str) -> Result<bool, Stop> {
    parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .is_true(&borrowed(&variables()), STEP_COUNT_MAX)
}

#[test]
fn what_is_true_and_what_is_not() {
    let yes = [
        "true",
        "artifact.path.startsWith('bin/') && artifact.size < 10",
        "artifact.path.endsWith('a') || artifact.nothing == 1",
        "has(artifact.kind) && !has(artifact.none)",
        "artifact.platform == null",
        "artifact['kind'] == \"elf\"",
        "list.all(x, x > 0)",
        "list.exists(x, x == 3)",
        "list.exists_one(x, x == 3)",
        "list.filter(x, x > 1) == [2, 3]",
        "list.map(x, x + 1) == [2, 3, 4]",
        "size(list) == 3 && list.size() == 3 && size('é') == 1",
        "2 in list && 'a' in map && !('c' in map)",
        "list[0] == 1 && words[1] + 'c' == 'bc'",
        "now - 500 >= 500 && -now < 0",
        "artifact.size > 3 ? true : artifact.nothing",
        "map.all(k, k in ['a', 'b'])",
        "list.all(x, list.exists(y, y == x))",
        "[].all(x, false)",
    ];
    for text in yes {
        assert_eq!(ask(text), Ok(true), "{text}");
    }
    let no = [
        "false",
        "list.all(x, x > 1)",
        "artifact.path == 'BIN/A'",
        "[].exists(x, true)",
        "list == [1, 2]",
        "list.exists_one(x, x > 1)",
        "artifact.nothing == 1 && false",
    ];
    for text in no {
        assert_eq!(ask(text), Ok(false), "{text}");
    }
}

#[test]
fn an_error_decides_nothing_but_may_be_outvoted() {
    let errors = [
        "artifact.nothing == 1",
        "artifact.nothing",
        "artifact.path",
        "list",
        "1",
        "null",
        "artifact.path.none.none == 1",
        "list[3] == 1",
        "list[-1] == 1",
        "map['c'] == 1",
        "'a' < 1",
        "1 + 'a' == 1",
        "9223372036854775807 + 1 == 0",
        "-9223372036854775807 - 2 == 0",
        "5.startsWith('a')",
        "size(5) == 1",
        "artifact.size && true",
        "list.all(x, x.y == 1)",
        "map.exists(k, map[k] > 5)",
        "artifact.size.all(x, true)",
        "1 in 5",
        "!5",
    ];
    for text in errors {
        match parse(text) {
            Ok(expression) => {
                let found = expression.is_true(&borrowed(&variables()), STEP_COUNT_MAX);
                assert!(matches!(found, Err(Stop::Error(_))), "{text} {found:?}");
            }
            Err(error) => {
                assert!(matches!(error, ExpressionError::Syntax { .. }), "{text} {error}")
            }
        }
    }
    assert_eq!(ask("list.exists(x, x.y == 1 || x == 2)"), Ok(true));
    assert_eq!(ask("list.exists(x, x == 3 || artifact.nothing == x)"), Ok(true));
}

#[test]
fn must_reject() {
    let syntax =
        ["", "   ", "a b", "1 +", "(", ")", "'", "true;", "x ==", "list.all(", "// only", "\u{0}"];
    for text in syntax {
        let found = parse(text);
        assert!(matches!(found, Err(ExpressionError::Syntax { .. })), "{text:?} {found:?}");
    }
    let not_offered = [
        "artifact.path.matches('a*')",
        "timestamp('2026-01-01T00:00:00Z') == now",
        "duration('1s') == now",
        "now()",
        "string(1) == '1'",
        "{'a': 1} == map",
        "a.b.C{x: 1} == 1",
        "1.5 < 2.5",
        "1u == 1u",
        "b'a' == b'a'",
        "2 * 3 == 6",
        "6 / 0 == 1",
        "6 % 4 == 2",
        "size(1, 2) == 1",
        "bytes('a') == 1",
        "dyn(1) == 1",
        "type(1) == 1",
    ];
    for text in not_offered {
        let found = parse(text);
        assert!(matches!(found, Err(ExpressionError::NotOffered { .. })), "{text} {found:?}");
    }
    for text in
        ["nothing", "artifacts.path == 'a'", "list.all(x, y)", "list.all(x, true) && x == 1"]
    {
        let found = parse(text);
        assert!(matches!(found, Err(ExpressionError::Variable { .. })), "{text} {found:?}");
    }
}

#[test]
fn what_is_long_or_deep_is_refused_before_it_costs_anything() {
    let long = format!("'{}' == ''", "x".repeat(SOURCE_BYTES_MAX));
    assert!(matches!(parse(&long), Err(ExpressionError::TooLong { .. })));
    let deep = [
        format!("{}true{}", "(".repeat(500), ")".repeat(500)),
        format!("{}1{} == 1", "[".repeat(500), "]".repeat(500)),
        format!("{}true", "!".repeat(2_000)),
        format!("{}1 == 1", "-".repeat(2_000)),
        format!("{}1 == 1", "- ".repeat(2_000)),
        // What closes in quotes, in any way to write them, or in a comment closes nothing.
        format!("{}true", "(((((((((')))))))))'==".repeat(40)),
        format!("{}true", "(((((((((\")))))))))\"==".repeat(40)),
        format!("{}true", "((((((((('\\')))))))))'==".repeat(40)),
        format!("{}true", "(((((((((r'\\'==')))))))))'==".repeat(40)),
        format!("{}true", "(((((((((''')))))))))'''==".repeat(40)),
        format!("{}true", "((((((((( // )))))))))\n".repeat(40)),
        format!("{}true", "((((((((( // '\n')))))))))'==".repeat(40)),
        "true ? ".repeat(250) + "true" + &" : true".repeat(250),
        "list.all(x, ".repeat(200) + "true" + &")".repeat(200),
        "true && ".repeat(500) + "true",
        "artifact".to_owned() + &".a".repeat(1_500),
        "list".to_owned() + &"[0]".repeat(1_000),
        "1".to_owned() + &"+1".repeat(2_000),
    ];
    for text in deep {
        let found = parse(&text);
        let start = text.get(..40).unwrap();
        assert!(matches!(found, Err(ExpressionError::TooComplex)), "{start} {found:?}");
    }
    for flat in ["('a)' == 'a)') && ".repeat(15), "(\"it's\" == 'http://a') || ".repeat(12)] {
        assert!(parse(&format!("{flat}true")).is_ok(), "{flat}");
    }
    // As much as is let through to the parser; threads of tests have two MiB of stack.
    let most = [
        "true && ".repeat(169) + "true",
        "true || ".repeat(169) + "true",
        "artifact".to_owned() + &".a".repeat(255),
        "list".to_owned() + &"[0]".repeat(170),
        "1".to_owned() + &"+1".repeat(255),
        "1".to_owned() + &"==1".repeat(170),
        "(".repeat(10) + "true" + &")".repeat(10),
        "[".repeat(10) + "1" + &"]".repeat(10),
        "!".repeat(9) + "true",
        "- ".repeat(9) + "1",
        "true?".repeat(9) + "true" + &":true".repeat(9),
        "list.all(x,".repeat(10) + "true" + &")".repeat(10),
        "[1,".repeat(9) + &"1 + ".repeat(120) + "1" + &"]".repeat(9),
    ];
    for text in most {
        match parse(&text) {
            Ok(expression) => drop(expression.is_true(&borrowed(&variables()), STEP_COUNT_MAX)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Nested loops over what a document holds take as many steps as they take, and no more than there are.
#[test]
fn a_run_ends_when_its_steps_are_used_up() {
    let slow = [
        "many.all(x, many.all(y, x.name != y.name || x.at == y.at))",
        "many.map(x, x).size() == 2000",
        "many.all(x, long != x.name)",
        "many.all(x, !long.contains(x.name))",
        "list.all(a, list.all(b, many.all(c, many.exists(d, d == c))))",
        "many.all(x, many == many)",
        "many.all(x, size(long) == 100000)",
        "many.all(x, named_at_length.all(name, true))",
        "[long, long, long].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).size() == 3 && many.all(x, many.all(y, true))",
    ];
    for text in slow {
        assert_eq!(ask(text), Err(Stop::Budget), "{text}");
    }
    // Running out is no error that the other side could outvote.
    assert_eq!(ask("many.all(x, many == many) || true"), Err(Stop::Budget));
    assert_eq!(ask("true || many.all(x, many == many)"), Ok(true));
    assert_eq!(ask("many.exists(x, many.all(y, many == many) || true)"), Err(Stop::Budget));
    assert_eq!(ask("many.all(x, x.at >= 0) && many.exists(x, x.name == 'n1999')"), Ok(true));
}

#[test]
fn fewer_steps_may_be_given() {
    let asked = |steps| {
        let variables = variables();
        parse("list.all(x, x > 0)").unwrap().is_true(&borrowed(&variables), steps)
    };
    assert_eq!(asked(0), Err(Stop::Budget));
    assert_eq!(asked(10), Err(Stop::Budget));
    assert_eq!(asked(100), Ok(true));
}
