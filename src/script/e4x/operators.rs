//! What JavaScript's own operators would do differently with XML: `+` and `+=` of lists, `==` of contents, `typeof`.
//!
//! Both sides have to be such that they can be XML: where one is a string or a number, the operator stays as it is.

use super::{Output, Rewritten};
use crate::script::js::scan::{self, Kind};
use boa_engine::ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_engine::ast::expression::operator::assign::{Assign, AssignOp, AssignTarget};
use boa_engine::ast::expression::operator::binary::{ArithmeticOp, BinaryOp, RelationalOp};
use boa_engine::ast::expression::operator::unary::UnaryOp;
use boa_engine::ast::expression::operator::{Binary, Unary};
use boa_engine::ast::expression::{Call, Expression, Identifier};
use boa_engine::ast::scope::Scope;
use boa_engine::ast::visitor::{VisitWith, Visitor};
use boa_engine::ast::{Position, Script, Spanned};
use boa_engine::interner::Interner;
use boa_engine::parser::Parser;
use std::ops::{ControlFlow, Range};

/// Methods that never give XML.
const PLAIN: &[&str] = &[
    "childIndex",
    "charAt",
    "getMonth",
    "getPayloadText",
    "getTime",
    "hasComplexContent",
    "hasOwnProperty",
    "hasSimpleContent",
    "indexOf",
    "join",
    "lastIndexOf",
    "length",
    "localName",
    "nodeKind",
    "replace",
    "slice",
    "stringify",
    "substr",
    "substring",
    "toFixed",
    "toLowerCase",
    "toString",
    "toUpperCase",
    "toXMLString",
    "trim",
];

/// Takes a text without E4X syntax, and needs the stack of a parser. A text that cannot be parsed comes back as it is.
pub fn rewrite(text: &str) -> Rewritten {
    let plain = || Output::new(text).finish();
    let mut interner = Interner::default();
    let mut parser = Parser::new(boa_engine::Source::from_bytes(text));
    let Ok(script) = parser.parse_script(&Scope::new_global(), &mut interner) else {
        return plain();
    };
    let edits = edits(text, &script, &interner);
    if edits.is_empty() {
        return plain();
    }
    let mut output = Output::new(text);
    for (range, written) in edits {
        if range.start < output.copied {
            return plain();
        }
        output.replace(range, &written);
    }
    let rewritten = output.finish();
    let mut parser = Parser::new(boa_engine::Source::from_bytes(&rewritten.text));
    match parser.parse_script(&Scope::new_global(), &mut Interner::default()) {
        Ok(_) => rewritten,
        Err(_) => plain(),
    }
}

type Edit = (Range<usize>, String);

fn edits(text: &str, script: &Script, interner: &Interner) -> Vec<Edit> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(
            text.match_indices(['\n', '\r', '\u{2028}', '\u{2029}'])
                .filter_map(|(at, end)| {
                    let is_half = end == "\r" && text[at + 1..].starts_with('\n');
                    (!is_half).then_some(at + end.len())
                }),
        )
        .collect();
    let mut operators = Operators {
        text,
        starts,
        interner,
        edits: Vec::new(),
    };
    if operators.visit_script(script).is_break() {
        return Vec::new();
    }
    let mut edits = operators.edits;
    // The outer ones were found first, and open first.
    edits.sort_by_key(|(range, _)| range.start);
    edits
}

struct Operators<'t> {
    text: &'t str,
    /// Where the lines begin.
    starts: Vec<usize>,
    interner: &'t Interner,
    edits: Vec<Edit>,
}

impl<'ast> Visitor<'ast> for Operators<'_> {
    type BreakTy = ();

    fn visit_expression(&mut self, expression: &'ast Expression) -> ControlFlow<()> {
        match expression {
            Expression::Binary(binary) => drop(self.binary(binary)),
            Expression::Unary(unary) if unary.op() == UnaryOp::TypeOf => drop(self.kind(unary)),
            Expression::Assign(assign) if assign.op() == AssignOp::Add => drop(self.addition(assign)),
            _ => {}
        }
        expression.visit_with(self)
    }
}

impl Operators<'_> {
    fn binary(&mut self, binary: &Binary) -> Option<()> {
        let (sign, function) = match binary.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Add) => ("+", "$xml.add("),
            BinaryOp::Relational(RelationalOp::Equal) => ("==", "$xml.equal("),
            BinaryOp::Relational(RelationalOp::NotEqual) => ("!=", "!$xml.equal("),
            _ => return None,
        };
        // An empty list equals `undefined`.
        let (left, right) = match sign {
            "+" => (false, false),
            _ => (self.is_undefined(binary.lhs()), self.is_undefined(binary.rhs())),
        };
        if !(left || self.may_be_xml(binary.lhs())) || !(right || self.may_be_xml(binary.rhs())) {
            return None;
        }
        let start = self.start(binary.lhs())?;
        let sign = self.sign(binary.lhs(), binary.rhs(), sign)?;
        let end = self.end(binary.rhs())?;
        self.edits.push((start..start, function.to_owned()));
        self.edits.push((sign, ",".to_owned()));
        self.edits.push((end..end, ")".to_owned()));
        Some(())
    }

    /// `a += b`: `a` is written twice, so it has to be something that does nothing.
    fn addition(&mut self, assign: &Assign) -> Option<()> {
        let target = match assign.lhs() {
            AssignTarget::Identifier(name) => Expression::Identifier(*name),
            AssignTarget::Access(access) => Expression::PropertyAccess(access.clone()),
            AssignTarget::Pattern(_) => return None,
        };
        if !self.may_be_xml(assign.rhs()) {
            return None;
        }
        let start = self.start(&target)?;
        let sign = self.sign(&target, assign.rhs(), "+=")?;
        let written = self.text[start..sign.start].trim();
        let harmless = !written
            .replace("$xml.name(", "")
            .contains(['(', '+', '-', '=', '`', '\n']);
        if !harmless {
            return None;
        }
        let end = self.end(assign.rhs())?;
        self.edits.push((sign, format!("=$xml.add({written},")));
        self.edits.push((end..end, ")".to_owned()));
        Some(())
    }

    fn kind(&mut self, unary: &Unary) -> Option<()> {
        if !self.may_be_xml(unary.target()) {
            return None;
        }
        let start = self.offset(unary.span().start())?;
        let name = self.start(unary.target())?;
        if self.text.get(start..start + 6) != Some("typeof") {
            return None;
        }
        let end = self.end(unary.target())?;
        if let Expression::Identifier(_) = unary.target() {
            // A name that nobody declared is no mistake here.
            let name = &self.text[name..end];
            let kind = format!("(typeof {name}==\"undefined\"?\"undefined\":$xml.kind({name}))");
            self.edits.push((start..end, kind));
        } else {
            self.edits.push((start..name, "$xml.kind(".to_owned()));
            self.edits.push((end..end, ")".to_owned()));
        }
        Some(())
    }

    fn may_be_xml(&self, expression: &Expression) -> bool {
        match expression {
            Expression::Identifier(name) => {
                !matches!(self.word(name), Some("undefined" | "NaN" | "Infinity"))
            }
            Expression::PropertyAccess(_)
            | Expression::New(_)
            | Expression::TaggedTemplate(_)
            | Expression::Optional(_) => true,
            Expression::Call(call) => !self.is_plain(call),
            Expression::Parenthesized(inner) => self.may_be_xml(inner.expression()),
            Expression::Conditional(choice) => {
                self.may_be_xml(choice.if_true()) || self.may_be_xml(choice.if_false())
            }
            Expression::Assign(assign) => self.may_be_xml(assign.rhs()),
            Expression::Binary(binary) => match binary.op() {
                BinaryOp::Arithmetic(ArithmeticOp::Add) => {
                    self.may_be_xml(binary.lhs()) && self.may_be_xml(binary.rhs())
                }
                BinaryOp::Logical(_) | BinaryOp::Comma => {
                    self.may_be_xml(binary.lhs()) || self.may_be_xml(binary.rhs())
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn is_plain(&self, call: &Call) -> bool {
        let Expression::PropertyAccess(PropertyAccess::Simple(access)) = call.function() else {
            return false;
        };
        let PropertyAccessField::Const(name) = access.field() else {
            return false;
        };
        self.word(name).is_some_and(|name| PLAIN.contains(&name))
    }

    fn is_undefined(&self, expression: &Expression) -> bool {
        matches!(expression, Expression::Identifier(name) if self.word(name) == Some("undefined"))
    }

    fn word(&self, name: &Identifier) -> Option<&str> {
        self.interner.resolve(name.sym()).and_then(|name| name.utf8())
    }

    /// The operator between two operands.
    fn sign(&self, left: &Expression, right: &Expression, sign: &str) -> Option<Range<usize>> {
        let (start, end) = (self.offset(left.span().end())?, self.start(right)?);
        let between = self.text.get(start..end)?;
        let mut found = None;
        for token in scan::tokens(between) {
            match &between[token.at.clone()] {
                // The parser ends an `x[y]` at the `y`.
                "]" if found.is_none() => {}
                word if word == sign && found.is_none() => {
                    found = Some(start + token.at.start..start + token.at.end)
                }
                _ => return None,
            }
        }
        found
    }

    /// Where an operand begins. For a call the parser says where its arguments do.
    fn start(&self, operand: &Expression) -> Option<usize> {
        match operand {
            Expression::Call(call) => self.start(call.function()),
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => self.start(access.target()),
            Expression::TaggedTemplate(template) => self.start(template.tag()),
            Expression::Optional(chain) => self.start(chain.target()),
            Expression::Binary(binary) => self.start(binary.lhs()),
            Expression::Conditional(choice) => self.start(choice.condition()),
            Expression::Assign(assign) => match assign.lhs() {
                AssignTarget::Access(PropertyAccess::Simple(access)) => self.start(access.target()),
                target => self.offset(target.span().start()),
            },
            other => self.offset(other.span().start()),
        }
    }

    /// Where an operand ends, with the bracket that the parser leaves out.
    fn end(&self, operand: &Expression) -> Option<usize> {
        let start = self.start(operand)?;
        let end = self.offset(operand.span().end())?;
        let mut open = 0usize;
        for token in scan::tokens(self.text.get(start..)?) {
            let word = &self.text[start + token.at.start..start + token.at.end];
            let behind = start + token.at.start >= end;
            match word {
                "(" | "[" | "{" => open += 1,
                "]" => open = open.checked_sub(1)?,
                _ if behind => return None,
                ")" | "}" => open = open.checked_sub(1)?,
                _ if token.kind == Kind::OtherText => {
                    open = open.checked_sub(usize::from(word.starts_with('}')))?;
                    open += usize::from(word.ends_with("${"));
                }
                _ => {}
            }
            if start + token.at.end >= end && open == 0 {
                return Some(start + token.at.end);
            }
        }
        None
    }

    fn offset(&self, place: Position) -> Option<usize> {
        let start = *self.starts.get((place.line_number() as usize).checked_sub(1)?)?;
        let rest = &self.text[start..];
        let column = place.column_number() as usize - 1;
        let at = rest
            .char_indices()
            .map(|(at, _)| at)
            .chain([rest.len()])
            .nth(column)?;
        Some(start + at)
    }
}
