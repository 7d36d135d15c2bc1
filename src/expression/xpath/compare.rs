//! `=`, `!=`, `<` and their kin (XPath 1.0, 3.4): of lists of nodes, some node has to satisfy the comparison.

use std::collections::HashSet;

use super::evaluate::{Evaluation, Outcome, Value};
use super::plan::Operator;
use super::value::{NodeSet, text_to_number};

impl<'e> Evaluation<'e, '_> {
    pub(super) fn compare(&mut self, operator: Operator, left: Value<'e>, right: Value<'e>) -> Outcome<bool> {
        match (left, right) {
            // As in Jaxen, on which Synapse stands: null compares with nothing.
            (Value::Nothing, _) | (_, Value::Nothing) => Ok(false),
            (Value::Nodes(left), Value::Nodes(right)) => self.compare_nodes(operator, &left, &right),
            (Value::Nodes(nodes), other) => self.compare_nodes_with(operator, &nodes, other),
            (other, Value::Nodes(nodes)) => self.compare_nodes_with(mirrored(operator), &nodes, other),
            (left, right) => match operator {
                Operator::Equal => Ok(equal(&left, &right)),
                Operator::Unequal => Ok(!equal(&left, &right)),
                _ => Ok(ordered(operator, left.as_number(), right.as_number())),
            },
        }
    }

    fn compare_nodes_with(&mut self, operator: Operator, nodes: &NodeSet, other: Value<'e>) -> Outcome<bool> {
        match (operator, other) {
            (Operator::Equal, Value::Boolean(other)) => Ok(nodes.is_empty() != other),
            (Operator::Unequal, Value::Boolean(other)) => Ok(nodes.is_empty() == other),
            (_, Value::Boolean(other)) => Ok(ordered(
                operator,
                f64::from(u8::from(!nodes.is_empty())),
                f64::from(u8::from(other)),
            )),
            (Operator::Equal | Operator::Unequal, Value::Text(other)) => {
                for &node in nodes {
                    if (self.text_of(node)? == other) == (operator == Operator::Equal) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (_, other) => {
                let other = other.as_number();
                for &node in nodes {
                    let number = text_to_number(&self.text_of(node)?);
                    let holds = match operator {
                        Operator::Equal => number == other,
                        Operator::Unequal => number != other,
                        _ => ordered(operator, number, other),
                    };
                    if holds {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Never looks at all pairs: a set finds equals, and only extremes matter for order.
    fn compare_nodes(&mut self, operator: Operator, left: &NodeSet, right: &NodeSet) -> Outcome<bool> {
        if left.is_empty() || right.is_empty() {
            return Ok(false);
        }
        match operator {
            Operator::Equal => {
                let (small, large) = if left.len() <= right.len() {
                    (left, right)
                } else {
                    (right, left)
                };
                let mut texts = HashSet::with_capacity(small.len());
                for &node in small {
                    texts.insert(self.text_of(node)?);
                }
                for &node in large {
                    if texts.contains(&self.text_of(node)?) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Operator::Unequal => {
                // All the same, on both sides, is the only way to have no pair that differs.
                let first = self.text_of(left[0])?;
                for &node in right.iter().chain(left) {
                    if self.text_of(node)? != first {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                let (left, right) = (self.extremes(left)?, self.extremes(right)?);
                let (Some((left_least, left_most)), Some((right_least, right_most))) = (left, right) else {
                    return Ok(false);
                };
                Ok(match operator {
                    Operator::Less | Operator::LessOrEqual => ordered(operator, left_least, right_most),
                    _ => ordered(operator, left_most, right_least),
                })
            }
        }
    }

    fn extremes(&mut self, nodes: &NodeSet) -> Outcome<Option<(f64, f64)>> {
        let mut extremes: Option<(f64, f64)> = None;
        for &node in nodes {
            let number = text_to_number(&self.text_of(node)?);
            if !number.is_nan() {
                let (least, most) = extremes.unwrap_or((number, number));
                extremes = Some((least.min(number), most.max(number)));
            }
        }
        Ok(extremes)
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Boolean(_), _) | (_, Value::Boolean(_)) => left.as_boolean() == right.as_boolean(),
        (Value::Text(left), Value::Text(right)) => left == right,
        _ => left.as_number() == right.as_number(),
    }
}

fn ordered(operator: Operator, left: f64, right: f64) -> bool {
    match operator {
        Operator::Less => left < right,
        Operator::LessOrEqual => left <= right,
        Operator::Greater => left > right,
        Operator::GreaterOrEqual => left >= right,
        _ => false,
    }
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        other => other,
    }
}
