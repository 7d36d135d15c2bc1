//! An expression as it is kept: parsed, checked, its names resolved to namespaces.

use super::functions::{Function, Returns};

/// Chains of operators of one precedence are lists, so that depth of this tree is bounded by the nesting limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Literal(Box<str>),
    Number(f64),
    Variable(Variable),
    Negate(Box<Expression>),
    /// Operators of one precedence, from left to right.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
    Union(Vec<Expression>),
    Call(Function, Vec<Expression>),
    HostCall {
        prefix: Box<str>,
        name: Box<str>,
        arguments: Vec<Expression>,
    },
    Path(Path),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Variable {
    Body,
    Header,
    Environment,
    Host { prefix: Box<str>, name: Box<str> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub start: Start,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Start {
    /// The context node.
    Here,
    /// The document of the context node.
    Root,
    /// The nodes of an expression, those that the predicates let through.
    From(Box<Expression>, Vec<Predicate>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub axis: Axis,
    pub test: Test,
    pub predicates: Vec<Predicate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Ancestor,
    AncestorOrSelf,
    Attribute,
    Child,
    Descendant,
    DescendantOrSelf,
    Following,
    FollowingSibling,
    Namespace,
    Parent,
    Preceding,
    PrecedingSibling,
    Itself,
    /// `//@name`: the attributes of a node and of all elements in it.
    AttributeBelow,
}

impl Axis {
    pub const ALL: &[(&str, Axis)] = &[
        ("ancestor", Axis::Ancestor),
        ("ancestor-or-self", Axis::AncestorOrSelf),
        ("attribute", Axis::Attribute),
        ("child", Axis::Child),
        ("descendant", Axis::Descendant),
        ("descendant-or-self", Axis::DescendantOrSelf),
        ("following", Axis::Following),
        ("following-sibling", Axis::FollowingSibling),
        ("namespace", Axis::Namespace),
        ("parent", Axis::Parent),
        ("preceding", Axis::Preceding),
        ("preceding-sibling", Axis::PrecedingSibling),
        ("self", Axis::Itself),
    ];

    /// Axes that count positions backwards through the document.
    pub fn is_reverse(self) -> bool {
        matches!(
            self,
            Axis::Ancestor | Axis::AncestorOrSelf | Axis::Preceding | Axis::PrecedingSibling
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// `node()`
    Node,
    Text,
    Comment,
    /// `processing-instruction()`, or with a target by its number in `XPath::names`.
    Instruction(Option<usize>),
    /// `*`
    AnyName,
    /// A name, by its number in `XPath::names`.
    Name(usize),
}

/// A name that is looked for: its namespace, and its local name unless any will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedName {
    pub namespace: Box<str>,
    pub local: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicate {
    /// `[3]`, `[position() = 3]`
    At(usize),
    /// `[last()]`
    Last,
    /// Anything else.
    Holds { condition: Expression, positional: bool },
}

impl Predicate {
    pub fn new(condition: Expression) -> Predicate {
        let whole =
            |number: f64| (number >= 1.0 && number.fract() == 0.0 && number < 1e9).then_some(number as usize);
        let position = Expression::Call(Function::Position, Vec::new());
        match &condition {
            Expression::Number(number) => {
                if let Some(number) = whole(*number) {
                    return Predicate::At(number);
                }
            }
            Expression::Call(Function::Last, _) => return Predicate::Last,
            Expression::Chain(left, rest) => {
                if let [(Operator::Equal, right)] = &rest[..] {
                    match (&**left, right) {
                        (Expression::Number(number), other) | (other, Expression::Number(number))
                            if *other == position =>
                        {
                            if let Some(number) = whole(*number) {
                                return Predicate::At(number);
                            }
                        }
                        (Expression::Call(Function::Last, _), other)
                        | (other, Expression::Call(Function::Last, _))
                            if *other == position =>
                        {
                            return Predicate::Last;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        let positional =
            matches!(condition.returns(), Returns::Number | Returns::Unknown) || condition.asks_position();
        Predicate::Holds {
            condition,
            positional,
        }
    }

    /// Whether it depends on where a node stands among the others.
    pub fn is_positional(&self) -> bool {
        !matches!(
            self,
            Predicate::Holds {
                positional: false,
                ..
            }
        )
    }
}

impl Expression {
    pub fn returns(&self) -> Returns {
        match self {
            Expression::Literal(_) => Returns::Text,
            Expression::Number(_) | Expression::Negate(_) => Returns::Number,
            Expression::Variable(Variable::Host { .. }) | Expression::HostCall { .. } => Returns::Unknown,
            Expression::Variable(_) | Expression::Union(_) | Expression::Path(_) => Returns::Nodes,
            Expression::Chain(_, rest) => match rest.first() {
                Some((operator, _)) if operator.is_arithmetic() => Returns::Number,
                _ => Returns::Boolean,
            },
            Expression::Call(function, _) => function.entry().returns,
        }
    }

    /// Whether `position()` or `last()` of the context around it is asked for.
    fn asks_position(&self) -> bool {
        match self {
            Expression::Call(Function::Position | Function::Last, _) => true,
            Expression::Literal(_) | Expression::Number(_) | Expression::Variable(_) => false,
            Expression::Negate(inner) => inner.asks_position(),
            Expression::Chain(first, rest) => {
                first.asks_position() || rest.iter().any(|(_, other)| other.asks_position())
            }
            Expression::Union(parts) | Expression::Call(_, parts) => {
                parts.iter().any(Expression::asks_position)
            }
            Expression::HostCall { arguments, .. } => arguments.iter().any(Expression::asks_position),
            Expression::Path(path) => match &path.start {
                Start::From(start, _) => start.asks_position(),
                Start::Here | Start::Root => false,
            },
        }
    }

    /// Whether the answer depends on the payload. `inside` says that the context is a node of something else, as in a
    /// predicate on a property that holds XML.
    pub fn needs_tree(&self, inside: bool) -> bool {
        match self {
            Expression::Literal(_) | Expression::Number(_) | Expression::Variable(Variable::Host { .. }) => {
                false
            }
            Expression::Variable(_) => true,
            Expression::Negate(inner) => inner.needs_tree(inside),
            Expression::Chain(first, rest) => {
                first.needs_tree(inside) || rest.iter().any(|(_, other)| other.needs_tree(inside))
            }
            Expression::Union(parts) => parts.iter().any(|part| part.needs_tree(inside)),
            Expression::HostCall { arguments, .. } => {
                arguments.iter().any(|argument| argument.needs_tree(inside))
            }
            Expression::Call(function, arguments) => {
                let asks_context = function.asks_context(arguments.len());
                (asks_context && !inside) || arguments.iter().any(|argument| argument.needs_tree(inside))
            }
            Expression::Path(path) => {
                let start = match &path.start {
                    Start::Here | Start::Root => !inside,
                    Start::From(start, predicates) => start.needs_tree(inside) || need_tree(predicates),
                };
                start || path.steps.iter().any(|step| need_tree(&step.predicates))
            }
        }
    }
}

fn need_tree(predicates: &[Predicate]) -> bool {
    predicates.iter().any(|predicate| match predicate {
        Predicate::Holds { condition, .. } => condition.needs_tree(true),
        Predicate::At(_) | Predicate::Last => false,
    })
}

impl Operator {
    pub fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo
        )
    }
}

impl Path {
    /// Puts a step at the end, in the shortest form that means the same.
    pub fn push(&mut self, step: Step) {
        if step.axis == Axis::Itself && step.test == Test::Node && step.predicates.is_empty() {
            return;
        }
        // `//name` is short for `/descendant-or-self::node()/child::name`, which would gather every node on the way.
        let below = Step {
            axis: Axis::DescendantOrSelf,
            test: Test::Node,
            predicates: Vec::new(),
        };
        let shorter = match step.axis {
            Axis::Child => Some(Axis::Descendant),
            Axis::Attribute => Some(Axis::AttributeBelow),
            _ => None,
        };
        if let Some(shorter) = shorter
            && self.steps.last() == Some(&below)
            && !step.predicates.iter().any(Predicate::is_positional)
        {
            self.steps.pop();
            self.steps.push(Step {
                axis: shorter,
                ..step
            });
            return;
        }
        self.steps.push(step);
    }
}
