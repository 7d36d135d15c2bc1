//! From text to a checked expression: unbound prefixes, unknown names and wrong numbers of arguments are found here.

use std::ops::Range;

use super::XPathError;
use super::functions::{FUNCTIONS, HOST_FUNCTIONS, Returns};
use super::lexer::{Token, Word, tokens};
use super::plan::{Axis, Expression, Operator, Path, Predicate, Start, Step, Test, Variable, WantedName};
use crate::message::xml::Namespaces;
use crate::text::suggest::{did_you_mean, nearest};

/// How long an expression may be, and how deep its parentheses and brackets.
pub(super) const LONGEST: usize = 16 << 10;
pub(super) const DEEPEST: usize = 64;

const VARIABLES: &[&str] = &["body", "header", "env"];
const NODE_TYPES: &[&str] = &["comment", "text", "processing-instruction", "node"];
const FUNCTION_NAMESPACES: &[&str] = &[
    "http://www.w3.org/2005/xpath-functions",
    "http://www.w3.org/2005/02/xpath-functions",
];

pub(super) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    namespaces: &'a Namespaces,
    names: Vec<WantedName>,
}

pub(super) fn parse(
    text: &str,
    namespaces: &Namespaces,
) -> Result<(Expression, Vec<WantedName>), XPathError> {
    if text.len() > LONGEST {
        return Err(XPathError::new(
            0..text.len(),
            format!("an expression is not longer than {LONGEST} bytes"),
        ));
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        namespaces,
        names: Vec::new(),
    };
    if parser.word() == Word::End {
        return Err(XPathError::new(0..text.len(), "the expression is empty"));
    }
    let expression = parser.expression()?;
    match parser.word() {
        Word::End => Ok((expression, parser.names)),
        Word::Close | Word::CloseBracket => Err(parser.error("this closes nothing")),
        _ => Err(parser.error("an operator is expected here")),
    }
}

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Result<Expression, XPathError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("an expression is not nested deeper than {DEEPEST}")));
        }
        let expression = self.chain(LEVELS)?;
        self.depth -= 1;
        Ok(expression)
    }

    /// Operators of one precedence and what stands between them; `levels` begins with the weakest.
    fn chain(&mut self, levels: &[&[Operator]]) -> Result<Expression, XPathError> {
        let Some((operators, stronger)) = levels.split_first() else {
            return self.unary();
        };
        let first = self.chain(stronger)?;
        let mut rest = Vec::new();
        while let Word::Operator(operator) = self.word() {
            if !operators.contains(&operator) {
                break;
            }
            self.at += 1;
            rest.push((operator, self.chain(stronger)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expression::Chain(Box::new(first), rest)
        })
    }

    fn unary(&mut self) -> Result<Expression, XPathError> {
        let mut minuses = 0;
        while self.take(Word::Operator(Operator::Subtract)) {
            minuses += 1;
        }
        let operand = self.union()?;
        Ok(match minuses {
            0 => operand,
            odd if odd % 2 == 1 => Expression::Negate(Box::new(operand)),
            _ => Expression::Negate(Box::new(Expression::Negate(Box::new(operand)))),
        })
    }

    fn union(&mut self) -> Result<Expression, XPathError> {
        let start = self.at;
        let first = self.path()?;
        if self.word() != Word::Union {
            return Ok(first);
        }
        self.expect_nodes(&first, start..self.at)?;
        let mut parts = vec![first];
        while self.take(Word::Union) {
            let start = self.at;
            let part = self.path()?;
            self.expect_nodes(&part, start..self.at)?;
            parts.push(part);
        }
        Ok(Expression::Union(parts))
    }

    fn path(&mut self) -> Result<Expression, XPathError> {
        let start = self.at;
        let primary = match self.word() {
            Word::Literal(text) => Some(Expression::Literal(text.into())),
            Word::Number(number) => Some(Expression::Number(number)),
            Word::Variable(prefix, name) => Some(Expression::Variable(self.variable(prefix, name)?)),
            Word::Open => {
                self.at += 1;
                let inner = self.expression()?;
                if self.word() != Word::Close {
                    return Err(self.error("`)` is expected here"));
                }
                Some(inner)
            }
            Word::Name(prefix, name)
                if self.next_word() == Word::Open && !(prefix.is_empty() && NODE_TYPES.contains(&name)) =>
            {
                let call = self.call(prefix, name)?;
                self.at -= 1;
                Some(call)
            }
            _ => None,
        };
        let mut path = Path {
            start: Start::Here,
            steps: Vec::new(),
        };
        if let Some(primary) = primary {
            self.at += 1;
            let end = self.at;
            let predicates = self.predicates()?;
            if predicates.is_empty() && !matches!(self.word(), Word::Slash | Word::DoubleSlash) {
                return Ok(primary);
            }
            if matches!(
                primary.returns(),
                Returns::Number | Returns::Text | Returns::Boolean
            ) {
                let range = self.tokens[start].range.start..self.tokens[end - 1].range.end;
                return Err(XPathError::new(range, "only nodes can have predicates and steps"));
            }
            path.start = Start::From(Box::new(primary), predicates);
        } else if self.take(Word::Slash) {
            path.start = Start::Root;
            if !self.begins_step() {
                return Ok(Expression::Path(path));
            }
            self.step(&mut path)?;
        } else if self.word() == Word::DoubleSlash {
            path.start = Start::Root;
        } else {
            self.step(&mut path)?;
        }
        loop {
            if self.take(Word::DoubleSlash) {
                path.push(Step {
                    axis: Axis::DescendantOrSelf,
                    test: Test::Node,
                    predicates: Vec::new(),
                });
            } else if !self.take(Word::Slash) {
                return Ok(Expression::Path(path));
            }
            self.step(&mut path)?;
        }
    }

    fn begins_step(&self) -> bool {
        matches!(
            self.word(),
            Word::Dot | Word::DoubleDot | Word::At | Word::Name(..) | Word::Wildcard(_)
        )
    }

    fn step(&mut self, path: &mut Path) -> Result<(), XPathError> {
        if self.take(Word::Dot) {
            path.push(Step {
                axis: Axis::Itself,
                test: Test::Node,
                predicates: Vec::new(),
            });
            return Ok(());
        }
        if self.take(Word::DoubleDot) {
            path.push(Step {
                axis: Axis::Parent,
                test: Test::Node,
                predicates: Vec::new(),
            });
            return Ok(());
        }
        let axis = if self.take(Word::At) {
            Axis::Attribute
        } else if let (Word::Name("", name), Word::DoubleColon) = (self.word(), self.next_word()) {
            let Some(&(_, axis)) = Axis::ALL.iter().find(|(known, _)| *known == name) else {
                let error = self.error(format!("there is no axis `{name}`"));
                return Err(error.maybe_help(did_you_mean(name, Axis::ALL.iter().map(|(known, _)| *known))));
            };
            self.at += 2;
            axis
        } else {
            Axis::Child
        };
        let test = self.node_test(axis)?;
        let predicates = self.predicates()?;
        path.push(Step {
            axis,
            test,
            predicates,
        });
        Ok(())
    }

    fn node_test(&mut self, axis: Axis) -> Result<Test, XPathError> {
        let test = match self.word() {
            Word::Wildcard("") => Test::AnyName,
            Word::Wildcard(prefix) => {
                let namespace = self.namespace(prefix)?;
                self.name(namespace, None)
            }
            Word::Name(_, kind) if self.next_word() == Word::Open && !NODE_TYPES.contains(&kind) => {
                let error = self.error(format!("`{kind}()` is not a kind of node"));
                return Err(
                    error.help("a function cannot be a step of a path; it takes the path as its argument")
                );
            }
            Word::Name("", kind) if self.next_word() == Word::Open => {
                self.at += 2;
                let target = match self.word() {
                    Word::Literal(target) if kind == "processing-instruction" => {
                        self.at += 1;
                        Some(self.names.len()).inspect(|_| {
                            self.names.push(WantedName {
                                namespace: "".into(),
                                local: Some(target.into()),
                            });
                        })
                    }
                    _ => None,
                };
                if self.word() != Word::Close {
                    return Err(self.error("`)` is expected here"));
                }
                match kind {
                    "node" => Test::Node,
                    "text" => Test::Text,
                    "comment" => Test::Comment,
                    _ => Test::Instruction(target),
                }
            }
            Word::Name(prefix, local) => {
                // A namespace node has a name without a namespace, whatever prefixes mean here.
                let namespace = if axis == Axis::Namespace && prefix.is_empty() {
                    ""
                } else {
                    self.namespace(prefix)?
                };
                self.name(namespace, Some(local))
            }
            Word::End => return Err(self.error("something is missing at the end")),
            _ => return Err(self.error("a step is expected here: a name, `*`, `@`, `.` or `..`")),
        };
        self.at += 1;
        Ok(test)
    }

    fn name(&mut self, namespace: &str, local: Option<&str>) -> Test {
        let wanted = WantedName {
            namespace: namespace.into(),
            local: local.map(Into::into),
        };
        let known = self.names.iter().position(|name| *name == wanted);
        Test::Name(known.unwrap_or_else(|| {
            self.names.push(wanted);
            self.names.len() - 1
        }))
    }

    /// The default namespace is never used for names without a prefix.
    fn namespace(&self, prefix: &str) -> Result<&'a str, XPathError> {
        if prefix.is_empty() {
            return Ok("");
        }
        self.namespaces.get(prefix).ok_or_else(|| {
            let start = self.tokens[self.at].range.start;
            let error = XPathError::new(
                start..start + prefix.len(),
                format!("the prefix `{prefix}` is not declared"),
            );
            // Any letter is near any other.
            let near = |known: &&str| known.len() > 1 || prefix.len() > 1;
            let known = nearest(
                prefix,
                self.namespaces.iter().map(|(prefix, _)| prefix).filter(near),
            );
            error.help(match known {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("declare it with `xmlns:{prefix}=\"…\"` on this element or one around it"),
            })
        })
    }

    fn predicates(&mut self) -> Result<Vec<Predicate>, XPathError> {
        let mut predicates = Vec::new();
        while self.take(Word::OpenBracket) {
            predicates.push(Predicate::new(self.expression()?));
            if !self.take(Word::CloseBracket) {
                return Err(self.error("`]` is expected here"));
            }
        }
        Ok(predicates)
    }

    fn variable(&self, prefix: &str, name: &str) -> Result<Variable, XPathError> {
        match (prefix, name) {
            ("", "body") => Ok(Variable::Body),
            ("", "header") => Ok(Variable::Header),
            ("", "env") => Ok(Variable::Environment),
            ("", _) => {
                let error = self.error(format!("there is no variable `${name}`"));
                Err(match nearest(name, VARIABLES.iter().copied()) {
                    Some(known) => error.help(format!("did you mean `${known}`?")),
                    None => error.help(format!("a property is written `$ctx:{name}`")),
                })
            }
            (prefix, name) => Ok(Variable::Host {
                prefix: prefix.into(),
                name: name.into(),
            }),
        }
    }

    /// A function and its arguments, up to and with the closing parenthesis.
    fn call(&mut self, prefix: &str, name: &str) -> Result<Expression, XPathError> {
        let place = self.at;
        self.at += 2;
        let mut arguments = Vec::new();
        let mut first = 0..0;
        if self.word() != Word::Close {
            loop {
                let start = self.at;
                arguments.push(self.expression()?);
                if arguments.len() == 1 {
                    first = start..self.at;
                }
                if !self.take(Word::Comma) {
                    break;
                }
            }
        }
        if !self.take(Word::Close) {
            return Err(self.error("`,` or `)` is expected here"));
        }
        let range = self.tokens[place].range.start..self.tokens[self.at - 1].range.end;
        let is_core = prefix.is_empty()
            || prefix == "fn"
            || self
                .namespaces
                .get(prefix)
                .is_some_and(|uri| FUNCTION_NAMESPACES.contains(&uri));
        if is_core && let Some(entry) = FUNCTIONS.iter().find(|entry| entry.name == name) {
            check_count(name, arguments.len(), entry.least, entry.most, range)?;
            if entry.wants_nodes
                && let Some(argument) = arguments.first()
            {
                self.expect_nodes(argument, first)?;
            }
            return Ok(Expression::Call(entry.function, arguments));
        }
        if let Some(&(_, least, most)) = HOST_FUNCTIONS.iter().find(|(known, ..)| *known == name) {
            check_count(name, arguments.len(), least, most, range)?;
            return Ok(Expression::HostCall {
                prefix: prefix.into(),
                name: name.into(),
                arguments,
            });
        }
        let known = FUNCTIONS
            .iter()
            .map(|entry| entry.name)
            .chain(HOST_FUNCTIONS.iter().map(|(name, ..)| *name));
        let written = if prefix.is_empty() {
            name.to_string()
        } else {
            format!("{prefix}:{name}")
        };
        let error = XPathError::new(
            self.tokens[place].range.clone(),
            format!("there is no function `{written}`"),
        );
        Err(error.maybe_help(did_you_mean(name, known)))
    }

    /// The expression of some tokens has to give nodes, as far as that can be known now.
    fn expect_nodes(&self, expression: &Expression, tokens: Range<usize>) -> Result<(), XPathError> {
        if matches!(expression.returns(), Returns::Nodes | Returns::Unknown) {
            return Ok(());
        }
        let range = self.tokens[tokens.start].range.start..self.tokens[tokens.end - 1].range.end;
        Err(XPathError::new(
            range,
            "nodes are expected here, as a path gives them",
        ))
    }

    fn word(&self) -> Word<'a> {
        self.tokens[self.at].word
    }

    fn next_word(&self) -> Word<'a> {
        self.tokens.get(self.at + 1).map_or(Word::End, |token| token.word)
    }

    fn take(&mut self, word: Word<'_>) -> bool {
        let found = self.word() == word;
        if found {
            self.at += 1;
        }
        found
    }

    fn error(&self, message: impl Into<String>) -> XPathError {
        XPathError::new(self.tokens[self.at].range.clone(), message)
    }
}

const LEVELS: &[&[Operator]] = &[
    &[Operator::Or],
    &[Operator::And],
    &[Operator::Equal, Operator::Unequal],
    &[
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
    ],
    &[Operator::Add, Operator::Subtract],
    &[Operator::Multiply, Operator::Divide, Operator::Modulo],
];

fn check_count(
    name: &str,
    given: usize,
    least: usize,
    most: usize,
    range: Range<usize>,
) -> Result<(), XPathError> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let wanted = match (least, most) {
        (0, 0) => "no arguments".to_string(),
        (1, 1) => "one argument".to_string(),
        (least, usize::MAX) => format!("{least} or more arguments"),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    Err(XPathError::new(
        range,
        format!("`{name}` takes {wanted}, here are {given}"),
    ))
}
