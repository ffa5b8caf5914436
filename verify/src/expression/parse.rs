//! From text to nodes: the one place that knows the crate `cel`.

use cel::common::ast::operators as operator;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use cel::parser::Parser;
use serde_json::Value;

use super::{DEPTH_MAX, ExpressionError, Function, Loop, NODE_COUNT_MAX, Node, SOURCE_BYTES_MAX};

/// Rules of the grammar that the parser may be inside of at once, each of which takes stack. An operand
/// passes through eight of them.
const PARSER_DEPTH_MAX: u16 = 48;

/// Brackets and signs that a text may open before it closes one, checked before the parser runs: each takes
/// some 90 KiB of stack in a build for tests.
const OPEN_COUNT_MAX: usize = 10;

const FUNCTIONS: [(&str, Function, usize); 19] = [
    (operator::LOGICAL_AND, Function::And, 2),
    (operator::LOGICAL_OR, Function::Or, 2),
    (operator::LOGICAL_NOT, Function::Not, 1),
    (operator::NOT_STRICTLY_FALSE, Function::NotStrictlyFalse, 1),
    (operator::EQUALS, Function::Equal, 2),
    (operator::NOT_EQUALS, Function::NotEqual, 2),
    (operator::LESS, Function::Less, 2),
    (operator::LESS_EQUALS, Function::LessOrEqual, 2),
    (operator::GREATER, Function::Greater, 2),
    (operator::GREATER_EQUALS, Function::GreaterOrEqual, 2),
    (operator::IN, Function::In, 2),
    (operator::INDEX, Function::Index, 2),
    (operator::ADD, Function::Add, 2),
    (operator::SUBSTRACT, Function::Subtract, 2),
    (operator::NEGATE, Function::Negate, 1),
    ("size", Function::Size, 1),
    ("startsWith", Function::StartsWith, 2),
    ("endsWith", Function::EndsWith, 2),
    ("contains", Function::Contains, 2),
];

/// Words and signs of a text. Parts of the parser recurse over a chain of operators however flat it is.
const TOKEN_COUNT_MAX: usize = 512;

pub(super) fn parse(text: &str, variables: &[&str]) -> Result<Node, ExpressionError> {
    if text.len() > SOURCE_BYTES_MAX {
        return Err(ExpressionError::TooLong { bytes: text.len() });
    }
    if opens(text) > OPEN_COUNT_MAX || tokens(text) > TOKEN_COUNT_MAX {
        return Err(ExpressionError::TooComplex);
    }
    let parser = Parser::new().max_recursion_depth(PARSER_DEPTH_MAX).error_recovery_limit(1);
    let parsed = parser.parse(text).map_err(|errors| {
        let message = errors.to_string().lines().next().unwrap_or_default().to_owned();
        ExpressionError::Syntax { message }
    })?;
    let mut reader = Reader { nodes: 0, known: variables, bound: Vec::new() };
    reader.node(&parsed, 0)
}

/// The most brackets and signs that are open at once. What opens in quotes counts too: that is more strict.
/// What closes there closes nothing, and where it is not plain what stands in quotes nothing closes.
fn opens(text: &str) -> usize {
    let plain = quotes_are_plain(text);
    let (mut open, mut signs, mut most) = (0_usize, 0_usize, 0_usize);
    let mut quote = None;
    for character in text.chars() {
        quote = quote_after(quote, character);
        match character {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' if plain && quote.is_none() => open = open.saturating_sub(1),
            _ => {}
        }
        match character {
            '!' | '-' | '?' => signs += 1,
            character if character.is_whitespace() => {}
            _ => signs = 0,
        }
        most = most.max(open + signs);
    }
    most.max(text.matches('?').count())
}

/// Whether every quote ends at the next sign of its kind: there are no escapes, no texts in three quotes or
/// over several lines, no comments, and none is left open.
fn quotes_are_plain(text: &str) -> bool {
    if ["\\", "\'\'\'", "\"\"\""].iter().any(|odd| text.contains(odd)) {
        return false;
    }
    let (mut quote, mut before) = (None, ' ');
    for character in text.chars() {
        let comment = quote.is_none() && before == '/' && character == '/';
        if comment || (quote.is_some() && matches!(character, '\n' | '\r')) {
            return false;
        }
        quote = quote_after(quote, character);
        before = character;
    }
    quote.is_none()
}

/// The quote that is open after a sign.
fn quote_after(quote: Option<char>, character: char) -> Option<char> {
    match (quote, character) {
        (None, '\'' | '"') => Some(character),
        (Some(open), _) if open == character => None,
        _ => quote,
    }
}

/// At least as many as the parser will find: a text in quotes counts with all that is in it.
fn tokens(text: &str) -> usize {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut before = false;
    let mut count = 0;
    for character in text.chars().filter(|character| !character.is_control()) {
        let word = is_word(character);
        count += usize::from(!(word && before) && character != ' ');
        before = word;
    }
    count
}

struct Reader<'a> {
    nodes: usize,
    known: &'a [&'a str],
    /// Variables of the loops around a node.
    bound: Vec<String>,
}

impl Reader<'_> {
    fn node(&mut self, from: &IdedExpr, depth: usize) -> Result<Node, ExpressionError> {
        self.nodes += 1;
        if self.nodes > NODE_COUNT_MAX || depth > DEPTH_MAX {
            return Err(ExpressionError::TooComplex);
        }
        let below = depth + 1;
        match &from.expr {
            Expr::Literal(value) => literal(value).map(Node::Literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select, below),
            Expr::Call(call) => self.call(call, below),
            Expr::List(list) if list.optional_indices.is_empty() => {
                let elements = list.elements.iter().map(|element| self.node(element, below));
                Ok(Node::List(elements.collect::<Result<_, _>>()?))
            }
            Expr::Comprehension(loops) => self.comprehension(loops, below),
            Expr::List(_) => Err(not_offered("optional elements")),
            Expr::Map(_) => Err(not_offered("a map in braces")),
            Expr::Struct(_) => Err(not_offered("a message in braces")),
            Expr::Unspecified => Err(not_offered("an empty part")),
        }
    }

    fn variable(&self, name: &str) -> Result<Node, ExpressionError> {
        if self.bound.iter().any(|bound| bound == name) || self.known.contains(&name) {
            return Ok(Node::Variable(name.to_owned()));
        }
        Err(ExpressionError::Variable { name: name.to_owned(), known: self.known.join(", ") })
    }

    fn select(&mut self, select: &SelectExpr, depth: usize) -> Result<Node, ExpressionError> {
        let of = Box::new(self.node(&select.operand, depth)?);
        let name = select.field.clone();
        Ok(if select.test { Node::Has { of, name } } else { Node::Field { of, name } })
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Result<Node, ExpressionError> {
        let target = call.target.as_deref().into_iter();
        let parts: Vec<Node> = target
            .chain(&call.args)
            .map(|part| self.node(part, depth))
            .collect::<Result<_, _>>()?;
        if call.func_name == operator::CONDITIONAL {
            let parts: Result<[Node; 3], _> = parts.try_into();
            return parts
                .map(|parts| Node::If(Box::new(parts)))
                .map_err(|_other_count| not_offered("an odd condition"));
        }
        let mut functions = FUNCTIONS.iter();
        match functions.find(|(name, _, count)| *name == call.func_name && *count == parts.len()) {
            Some((_, function, _)) => Ok(Node::Call(*function, parts)),
            None => Err(not_offered(&format!("the function {}", call.func_name))),
        }
    }

    fn comprehension(
        &mut self,
        from: &ComprehensionExpr,
        depth: usize,
    ) -> Result<Node, ExpressionError> {
        if from.iter_var2.is_some() {
            return Err(not_offered("a macro with two variables"));
        }
        let range = self.node(&from.iter_range, depth)?;
        let start = self.node(&from.accu_init, depth)?;
        self.bound.push(from.accu_var.clone());
        let result = self.node(&from.result, depth)?;
        self.bound.push(from.iter_var.clone());
        let go_on = self.node(&from.loop_cond, depth)?;
        let step = self.node(&from.loop_step, depth)?;
        self.bound.truncate(self.bound.len().saturating_sub(2));
        let (item, accumulator) = (from.iter_var.clone(), from.accu_var.clone());
        Ok(Node::Loop(Box::new(Loop { range, item, accumulator, start, go_on, step, result })))
    }
}

fn literal(value: &LiteralValue) -> Result<Value, ExpressionError> {
    match value {
        LiteralValue::Boolean(value) => Ok((*value.inner()).into()),
        LiteralValue::Int(value) => Ok((*value.inner()).into()),
        LiteralValue::String(value) => Ok(value.inner().into()),
        LiteralValue::Null => Ok(Value::Null),
        LiteralValue::UInt(_) => Err(not_offered("an unsigned number")),
        LiteralValue::Double(_) => Err(not_offered("a number with a fraction")),
        LiteralValue::Bytes(_) => Err(not_offered("bytes")),
    }
}

fn not_offered(what: &str) -> ExpressionError {
    ExpressionError::NotOffered { what: what.to_owned() }
}
