//! Expressions of a policy, in the Common Expression Language (CEL, google/cel-spec, doc/langdef.md).
//!
//! The crate `cel` parses the text and expands its macros; nothing of it leaves `parse`. What it made is
//! turned into nodes of our own, of a part of the language that needs neither clock nor randomness nor
//! regular expressions, and run over JSON values by an evaluator that counts every step and every byte that
//! it looks at or makes. So an expression has one outcome, on any machine and any number of threads, and a
//! hostile document can make it end early, but not make it run long.

mod evaluate;
mod parse;

use std::collections::BTreeMap;

use serde_json::Value;

/// Characters of one expression. A screen full has some 2,000.
const SOURCE_BYTES_MAX: usize = 4096;

/// Nodes of one expression after its macros are expanded.
const NODE_COUNT_MAX: usize = 1024;

/// Nesting of nodes. The parser and the evaluator recurse.
const DEPTH_MAX: usize = 64;

/// Steps of one evaluation: a node costs one, and so do so many bytes of a value that is compared, searched
/// or made. It takes some milliseconds to use them up. A caller with many to ask gives each less.
pub(crate) const STEP_COUNT_MAX: usize = 200_000;

/// Bytes of values that one step looks at.
const STEP_BYTES: usize = 16;

/// An expression that can be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression {
    text: String,
    root: Node,
}

/// Why a text is no expression that can be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("expression has {bytes} bytes, the limit is {SOURCE_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error(
        "expression has more than {NODE_COUNT_MAX} parts, or is nested deeper than {DEPTH_MAX}"
    )]
    TooComplex,
    #[error("expression cannot be parsed: {message}")]
    Syntax { message: String },
    #[error("expression uses {what}, which is not offered here")]
    NotOffered { what: String },
    #[error("expression names the variable {name:?}, and there are: {known}")]
    Variable { name: String, known: String },
}

/// Why an evaluation has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It took more steps than there are.
    Budget,
    /// A part of it has no value, or one of the wrong kind.
    Error(String),
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Literal(Value),
    Variable(String),
    Field { of: Box<Node>, name: String },
    Has { of: Box<Node>, name: String },
    List(Vec<Node>),
    If(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
    Loop(Box<Loop>),
}

/// What a macro over a list or map is expanded to.
#[derive(Clone, Debug, PartialEq)]
struct Loop {
    range: Node,
    item: String,
    accumulator: String,
    start: Node,
    go_on: Node,
    step: Node,
    result: Node,
}

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    And,
    Or,
    Not,
    NotStrictlyFalse,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Index,
    Add,
    Subtract,
    Negate,
    Size,
    StartsWith,
    EndsWith,
    Contains,
}

impl Expression {
    /// Reads an expression that may use these variables.
    pub(crate) fn parse(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        let root = parse::parse(text, variables)?;
        Ok(Self { text: text.to_owned(), root })
    }

    /// As the policy's author wrote it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a variable of that name stands anywhere in it.
    pub(crate) fn names(&self, variable: &str) -> bool {
        self.root.names(variable)
    }

    /// Whether it is true of these values, in so many steps.
    pub(crate) fn is_true(
        &self,
        variables: &BTreeMap<&str, &Value>,
        step_count: usize,
    ) -> Result<bool, Stop> {
        match evaluate::run(&self.root, variables, step_count)?.as_ref() {
            Value::Bool(outcome) => Ok(*outcome),
            other => Err(Stop::Error(format!("its value is {}", evaluate::kind(other)))),
        }
    }
}

impl Node {
    fn names(&self, variable: &str) -> bool {
        let any = |nodes: &[Self]| nodes.iter().any(|node| node.names(variable));
        match self {
            Self::Literal(_) => false,
            Self::Variable(name) => name == variable,
            Self::Field { of, .. } | Self::Has { of, .. } => of.names(variable),
            Self::List(nodes) | Self::Call(_, nodes) => any(nodes),
            Self::If(nodes) => any(&nodes[..]),
            Self::Loop(it) => [&it.range, &it.start, &it.go_on, &it.step, &it.result]
                .into_iter()
                .any(|node| node.names(variable)),
        }
    }
}

#[cfg(test)]
mod tests;
