//! Evaluation, with every step counted.
//!
//! `&&` and `||` take errors as the language says: an operand that decides does so whatever becomes of the
//! other. Maps are iterated over by their keys, in order. Running out of steps is no error that could be
//! taken so: it ends the evaluation.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Function, Loop, Node, STEP_BYTES, Stop};

type Outcome<'a> = Result<Cow<'a, Value>, Stop>;

pub(super) fn run<'a>(
    root: &'a Node,
    variables: &'a BTreeMap<&str, &Value>,
    step_count: usize,
) -> Outcome<'a> {
    let mut run = Run { left: step_count, variables, bound: Vec::new() };
    run.value(root)
}

struct Run<'a> {
    left: usize,
    variables: &'a BTreeMap<&'a str, &'a Value>,
    /// Variables of loops, the innermost last. That of an accumulator may stand for an error.
    bound: Vec<(&'a str, Outcome<'a>)>,
}

impl<'a> Run<'a> {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(steps).ok_or(Stop::Budget)?;
        Ok(())
    }

    /// Pays for looking at all of a value, or for making it anew.
    fn pay_for(&mut self, value: &Value) -> Result<(), Stop> {
        match value {
            Value::String(text) => self.spend(1 + text.len() / STEP_BYTES),
            Value::Array(elements) => {
                self.spend(1)?;
                elements.iter().try_for_each(|element| self.pay_for(element))
            }
            Value::Object(members) => {
                self.spend(1)?;
                members.iter().try_for_each(|(name, member)| {
                    self.spend(1 + name.len() / STEP_BYTES)?;
                    self.pay_for(member)
                })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.spend(1),
        }
    }

    fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        self.spend(1)?;
        match node {
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Variable(name) => self.variable(name),
            Node::Field { of, name } => {
                let of = self.value(of)?;
                self.member(of, name)?.ok_or_else(|| Stop::Error(format!("there is no {name:?}")))
            }
            Node::Has { of, name } => {
                let of = self.value(of)?;
                Ok(Cow::Owned(self.member(of, name)?.is_some().into()))
            }
            Node::List(elements) => {
                let values = elements.iter().map(|element| {
                    let value = self.value(element)?;
                    self.pay_for(&value)?;
                    Ok(value.into_owned())
                });
                Ok(Cow::Owned(Value::Array(values.collect::<Result<_, Stop>>()?)))
            }
            Node::If(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                let condition = self.value(condition)?;
                self.value(if truth(&condition)? { then } else { otherwise })
            }
            Node::Call(function, parts) => self.call(*function, parts),
            Node::Loop(iteration) => self.iterate(iteration),
        }
    }

    fn variable(&mut self, name: &str) -> Outcome<'a> {
        if let Some(at) = self.bound.iter().rposition(|(bound, _)| *bound == name) {
            let held = self.bound.get(at).map(|(_, held)| held.clone());
            if let Some(Ok(Cow::Owned(value))) = &held {
                self.pay_for(value)?;
            }
            return held.unwrap_or_else(|| Err(unknown(name)));
        }
        self.variables.get(name).map(|value| Cow::Borrowed(*value)).ok_or_else(|| unknown(name))
    }

    fn member(&mut self, of: Cow<'a, Value>, name: &str) -> Result<Option<Cow<'a, Value>>, Stop> {
        let wrong = |of: &Value| Stop::Error(format!("{} has no {name:?}", kind(of)));
        match of {
            Cow::Borrowed(Value::Object(members)) => Ok(members.get(name).map(Cow::Borrowed)),
            Cow::Owned(Value::Object(mut members)) => Ok(members.remove(name).map(Cow::Owned)),
            other => Err(wrong(&other)),
        }
    }

    fn call(&mut self, function: Function, parts: &'a [Node]) -> Outcome<'a> {
        let (Some(first), second) = (parts.first(), parts.get(1)) else {
            return Err(Stop::Error("a function without operands".to_owned()));
        };
        match (function, second) {
            (Function::And, Some(second)) => self.decide(first, second, false),
            (Function::Or, Some(second)) => self.decide(first, second, true),
            (Function::NotStrictlyFalse, _) => match self.value(first) {
                Err(Stop::Budget) => Err(Stop::Budget),
                outcome => Ok(owned(!matches!(outcome.as_deref(), Ok(Value::Bool(false))))),
            },
            (_, None) => {
                let value = self.value(first)?;
                if value.is_string() {
                    self.pay_for(&value)?;
                }
                one(function, &value)
            }
            (_, Some(second)) => {
                let (first, second) = (self.value(first)?, self.value(second)?);
                self.two(function, first, second)
            }
        }
    }

    /// `||` is decided by true and `&&` by false, on whichever side.
    fn decide(&mut self, first: &'a Node, second: &'a Node, deciding: bool) -> Outcome<'a> {
        let first = self.truth_of(first)?;
        if first == Ok(deciding) {
            return Ok(owned(deciding));
        }
        let second = self.truth_of(second)?;
        if second == Ok(deciding) {
            return Ok(owned(deciding));
        }
        first.and(second).map(owned).map_err(Stop::Error)
    }

    /// The outer error ends the evaluation; the inner one may be outvoted.
    fn truth_of(&mut self, node: &'a Node) -> Result<Result<bool, String>, Stop> {
        match self.value(node).and_then(|value| truth(&value)) {
            Ok(value) => Ok(Ok(value)),
            Err(Stop::Error(error)) => Ok(Err(error)),
            Err(Stop::Budget) => Err(Stop::Budget),
        }
    }

    fn two(
        &mut self,
        function: Function,
        first: Cow<'a, Value>,
        second: Cow<'a, Value>,
    ) -> Outcome<'a> {
        self.pay_for(&second)?;
        if !matches!(function, Function::Index | Function::In) {
            self.pay_for(&first)?;
        }
        let ordered = |outcome: fn(std::cmp::Ordering) -> bool| {
            order(&first, &second).map(|order| owned(outcome(order)))
        };
        match function {
            Function::Equal => Ok(owned(first == second)),
            Function::NotEqual => Ok(owned(first != second)),
            Function::Less => ordered(std::cmp::Ordering::is_lt),
            Function::LessOrEqual => ordered(std::cmp::Ordering::is_le),
            Function::Greater => ordered(std::cmp::Ordering::is_gt),
            Function::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
            Function::In => contained(&first, &second),
            Function::Index => self.index(first, &second),
            Function::Add => add(first, second),
            Function::Subtract => number(&first)?
                .checked_sub(number(&second)?)
                .map(|value| Cow::Owned(value.into()))
                .ok_or_else(|| Stop::Error("a number that is too large".to_owned())),
            Function::StartsWith => Ok(owned(text(&first)?.starts_with(text(&second)?))),
            Function::EndsWith => Ok(owned(text(&first)?.ends_with(text(&second)?))),
            Function::Contains => Ok(owned(text(&first)?.contains(text(&second)?))),
            Function::And
            | Function::Or
            | Function::Not
            | Function::NotStrictlyFalse
            | Function::Negate
            | Function::Size => Err(wrong("two operands", &second)),
        }
    }

    fn index(&mut self, of: Cow<'a, Value>, at: &Value) -> Outcome<'a> {
        let missing = || Stop::Error(format!("there is no element {at}"));
        if let Value::String(name) = at {
            return self.member(of, name)?.ok_or_else(missing);
        }
        let at = usize::try_from(number(at)?).map_err(|_negative| missing())?;
        match of {
            Cow::Borrowed(Value::Array(elements)) => elements.get(at).map(Cow::Borrowed),
            Cow::Owned(Value::Array(elements)) => elements.into_iter().nth(at).map(Cow::Owned),
            other => return Err(wrong("a list", &other)),
        }
        .ok_or_else(missing)
    }

    /// What a loop runs over, paid for.
    fn items(&mut self, range: Cow<'a, Value>) -> Result<Vec<Cow<'a, Value>>, Stop> {
        match range {
            Cow::Borrowed(Value::Array(elements)) => {
                self.spend(elements.len())?;
                Ok(elements.iter().map(Cow::Borrowed).collect())
            }
            Cow::Owned(Value::Array(elements)) => {
                self.spend(elements.len())?;
                Ok(elements.into_iter().map(Cow::Owned).collect())
            }
            other => match other.as_ref() {
                Value::Object(members) => {
                    // Names are made anew, and may be as long as a document.
                    members.keys().try_for_each(|name| self.spend(1 + name.len() / STEP_BYTES))?;
                    let names: BTreeSet<&String> = members.keys().collect();
                    Ok(names.into_iter().map(|name| Cow::Owned(name.clone().into())).collect())
                }
                other => Err(wrong("a list or a map", other)),
            },
        }
    }

    fn iterate(&mut self, iteration: &'a Loop) -> Outcome<'a> {
        let range = self.value(&iteration.range)?;
        let items = self.items(range)?;
        let start = self.value(&iteration.start);
        let depth = self.bound.len();
        self.bound.push((&iteration.accumulator, not_out(start)?));
        for item in items {
            self.bound.push((&iteration.item, Ok(item)));
            let goes_on = self.value(&iteration.go_on).and_then(|value| truth(&value))?;
            let next = if goes_on { Some(not_out(self.value(&iteration.step))?) } else { None };
            self.bound.truncate(depth + 1);
            let Some(next) = next else { break };
            self.bound.truncate(depth);
            self.bound.push((&iteration.accumulator, next));
        }
        let result = self.value(&iteration.result);
        self.bound.truncate(depth);
        result
    }
}

/// An error is a value of an accumulator; the end of the budget is none.
fn not_out(outcome: Outcome<'_>) -> Result<Outcome<'_>, Stop> {
    match outcome {
        Err(Stop::Budget) => Err(Stop::Budget),
        outcome => Ok(outcome),
    }
}

fn one<'a>(function: Function, value: &Value) -> Outcome<'a> {
    match function {
        Function::Not => Ok(owned(!truth(value)?)),
        Function::Negate => number(value)?
            .checked_neg()
            .map(|value| Cow::Owned(value.into()))
            .ok_or_else(|| Stop::Error("a number that is too large".to_owned())),
        Function::Size => {
            let size = match value {
                Value::String(text) => text.chars().count(),
                Value::Array(elements) => elements.len(),
                Value::Object(members) => members.len(),
                other => return Err(wrong("a text, a list or a map", other)),
            };
            Ok(Cow::Owned(size.into()))
        }
        Function::And
        | Function::Or
        | Function::NotStrictlyFalse
        | Function::Equal
        | Function::NotEqual
        | Function::Less
        | Function::LessOrEqual
        | Function::Greater
        | Function::GreaterOrEqual
        | Function::In
        | Function::Index
        | Function::Add
        | Function::Subtract
        | Function::StartsWith
        | Function::EndsWith
        | Function::Contains => Err(Stop::Error("a function of two operands with one".to_owned())),
    }
}

fn contained<'a>(first: &Value, second: &Value) -> Outcome<'a> {
    match second {
        Value::Array(elements) => Ok(owned(elements.contains(first))),
        Value::Object(members) => Ok(owned(members.contains_key(text(first)?))),
        other => Err(wrong("a list or a map", other)),
    }
}

fn add<'a>(first: Cow<'a, Value>, second: Cow<'a, Value>) -> Outcome<'a> {
    match (first.into_owned(), second.into_owned()) {
        (Value::String(first), Value::String(second)) => Ok(Cow::Owned((first + &second).into())),
        (Value::Array(mut first), Value::Array(second)) => {
            first.extend(second);
            Ok(Cow::Owned(Value::Array(first)))
        }
        (first, second) => number(&first)?
            .checked_add(number(&second)?)
            .map(|value| Cow::Owned(value.into()))
            .ok_or_else(|| Stop::Error("a number that is too large".to_owned())),
    }
}

fn order(first: &Value, second: &Value) -> Result<std::cmp::Ordering, Stop> {
    match (first, second) {
        (Value::String(first), Value::String(second)) => Ok(first.cmp(second)),
        _ => Ok(number(first)?.cmp(&number(second)?)),
    }
}

fn truth(value: &Value) -> Result<bool, Stop> {
    value.as_bool().ok_or_else(|| wrong("true or false", value))
}

fn number(value: &Value) -> Result<i64, Stop> {
    value.as_i64().ok_or_else(|| wrong("a whole number", value))
}

fn text(value: &Value) -> Result<&str, Stop> {
    value.as_str().ok_or_else(|| wrong("a text", value))
}

fn owned<'a>(value: bool) -> Cow<'a, Value> {
    Cow::Owned(value.into())
}

fn unknown(name: &str) -> Stop {
    Stop::Error(format!("there is no variable {name:?}"))
}

fn wrong(expected: &str, found: &Value) -> Stop {
    Stop::Error(format!("{expected} is needed, and there is {}", kind(found)))
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
