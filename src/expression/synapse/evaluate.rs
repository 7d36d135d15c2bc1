//! Answers an expression. Nothing means null; an error is a reason for the log.

use std::sync::Arc;

use super::functions;
use super::parse::{Node, Query, XmlVariable};
use super::path::Steps;
use super::surroundings::Surroundings;
use super::value::{self, Value, shown};
use crate::expression::xpath::XPath;
use crate::message::json::{self, Json, JsonLimits};
use crate::message::properties;
use crate::message::xml::{Namespaces, XmlLimits, XmlTree};

pub(super) type Answer = Result<Option<Value>, String>;

pub(super) fn evaluate(node: &Node, surroundings: &mut dyn Surroundings) -> Answer {
    match node {
        Node::Null => Ok(None),
        Node::Text(text) => Ok(Some(Value::Text(text.clone()))),
        Node::Boolean(value) => Ok(Some(Value::Boolean(*value))),
        Node::Number(number) => Ok(Some(number.clone())),
        Node::Array(items) => array(items, surroundings),
        Node::Calculation { first, rest } => {
            let mut result = evaluate(first, surroundings)?;
            for (operation, operand) in rest {
                let operand = evaluate(operand, surroundings)?;
                result = Some(value::calculate(result.as_ref(), *operation, operand.as_ref())?);
            }
            Ok(result)
        }
        Node::Comparison { first, rest } => {
            let mut result = evaluate(first, surroundings)?;
            for (comparison, operand) in rest {
                let operand = evaluate(operand, surroundings)?;
                result = Some(value::compare(result.as_ref(), *comparison, operand.as_ref())?);
            }
            Ok(result)
        }
        Node::Logic { operands, and } => logic(operands, and, surroundings),
        Node::Condition(parts) => {
            let [condition, yes, no] = parts.as_ref();
            let condition = evaluate(condition, surroundings)?;
            match condition
                .as_ref()
                .map(|condition| (condition.as_boolean(), condition))
            {
                Some((Some(true), _)) => evaluate(yes, surroundings),
                Some((Some(false), _)) => evaluate(no, surroundings),
                Some((None, other)) => Err(format!(
                    "the condition is {}, neither true nor false",
                    shown(other)
                )),
                None => Err("the condition is null".to_owned()),
            }
        }
        Node::Payload(steps) => payload(steps, surroundings),
        Node::Variable { name, steps } => variable(name, steps, surroundings),
        Node::Header(name) => given(surroundings.header(name), "header", name),
        Node::Config(name) => given(surroundings.config(name), "configurable value", name),
        Node::Query(name) => given(surroundings.query_parameter(name), "query parameter", name),
        Node::PathParameter(name) => given(surroundings.path_parameter(name), "path parameter", name),
        Node::FunctionParameter(name) => {
            given(surroundings.function_parameter(name), "template parameter", name)
        }
        Node::Property { place, name } => given(surroundings.property(*place, name), "property", name),
        Node::Call {
            function,
            arguments,
            steps,
        } => {
            let result = functions::call(*function, arguments, surroundings)?;
            if steps.is_none() {
                return Ok(result);
            }
            let path = steps.build(surroundings)?;
            match result {
                Some(Value::Json(json)) => steps.find(&json, path.as_ref()),
                _ => Err("this is neither an object nor an array".to_owned()),
            }
        }
        Node::Registry {
            path,
            property,
            steps,
        } => registry(path, property.as_deref(), steps, surroundings),
        Node::XPath { query, namespaces } => xpath(query, namespaces, surroundings),
    }
}

fn array(items: &[Node], surroundings: &mut dyn Surroundings) -> Answer {
    let mut array = Vec::with_capacity(items.len());
    for item in items {
        array.push(match evaluate(item, surroundings)? {
            None => return Err("a list cannot hold null".to_owned()),
            Some(Value::Json(json)) => json,
            Some(number) if number.is_number() => {
                match json::parse(number.text().as_bytes(), &JsonLimits::default()) {
                    Ok(number) => number,
                    Err(_) => Json::String(number.text()),
                }
            }
            Some(Value::Boolean(value)) => Json::Bool(value),
            Some(other) => Json::String(other.text()),
        });
    }
    Ok(Some(Value::Json(Json::Array(array))))
}

/// All operands are evaluated, whatever the first ones say; they group to the right.
fn logic(operands: &[Node], and: &[bool], surroundings: &mut dyn Surroundings) -> Answer {
    let mut values = Vec::with_capacity(operands.len());
    for operand in operands {
        let value = evaluate(operand, surroundings)?;
        values.push(match value.as_ref().map(|value| (value.as_boolean(), value)) {
            Some((Some(value), _)) => value,
            Some((None, other)) => return Err(format!("{} is neither true nor false", shown(other))),
            None => return Err("one side is null".to_owned()),
        });
    }
    let mut result = values.pop().unwrap_or(false);
    for (value, and) in values.into_iter().zip(and).rev() {
        result = if *and { value && result } else { value || result };
    }
    Ok(Some(Value::Boolean(result)))
}

fn payload(steps: &Steps, surroundings: &mut dyn Surroundings) -> Answer {
    if steps.is_none() && surroundings.payload_is_xml() {
        // SynapseExpression asks xpath('$body') here.
        let body = XPath::compile("$body", &Namespaces::new()).map_err(|error| error.message)?;
        return surroundings.xpath(&body).map(|answer| Some(Value::Nodes(answer)));
    }
    let path = steps.build(surroundings)?;
    steps.find(surroundings.payload_json()?, path.as_ref())
}

fn variable(name: &str, steps: &Steps, surroundings: &mut dyn Surroundings) -> Answer {
    let Some(variable) = surroundings.variable(name) else {
        return Err(format!("there is no variable `{name}`"));
    };
    if steps.is_none() {
        return Ok(Value::of_property(variable));
    }
    let path = steps.build(surroundings)?;
    match variable {
        properties::Value::Json(json) => steps.find(&json, path.as_ref()),
        properties::Value::Xml(_) => Err(format!("the variable `{name}` is XML; use xpath('…', '{name}')")),
        other => steps.find(&json_of_text(&other.to_text()), path.as_ref()),
    }
}

fn registry(
    path: &Node,
    property: Option<&Node>,
    steps: &Steps,
    surroundings: &mut dyn Surroundings,
) -> Answer {
    let key = text_of(path, surroundings, "the path of a resource")?;
    if let Some(property) = property {
        let property = text_of(property, surroundings, "the name of a property")?;
        return match surroundings.registry_property(&key, &property) {
            Some(value) => Ok(Some(Value::Text(value))),
            None => Err(format!("the resource `{key}` has no property `{property}`")),
        };
    }
    let Some(resource) = surroundings.registry(&key) else {
        return Err(format!("there is no resource `{key}`"));
    };
    if steps.is_none() {
        return Ok(Some(Value::Text(resource)));
    }
    let built = steps.build(surroundings)?;
    steps.find(&json_of_text(&resource), built.as_ref())
}

fn xpath(query: &Query, namespaces: &Namespaces, surroundings: &mut dyn Surroundings) -> Answer {
    let answer = match query {
        Query::Fixed { xpath, on: None } => surroundings.xpath(xpath)?,
        Query::Fixed { xpath, on: Some(on) } => xpath_on(xpath, on, surroundings)?,
        Query::Made { text, variable } => {
            let text = text_of(text, surroundings, "an XPath")?;
            let variable = match variable {
                Some(variable) => Some(text_of(variable, surroundings, "the name of a variable")?),
                None => None,
            };
            let compile = |text: &str| {
                XPath::compile(text, namespaces)
                    .map_err(|error| format!("`{text}` is no XPath: {}", error.message))
            };
            match variable
                .as_deref()
                .map(|variable| (variable.split_once('.'), variable))
            {
                None => surroundings.xpath(&compile(&text)?)?,
                Some((Some((name, field)), _)) => {
                    let on = XmlVariable {
                        name: name.to_owned(),
                        field: field.to_owned(),
                    };
                    xpath_on(&compile(&text)?, &on, surroundings)?
                }
                Some((None, name)) => surroundings.xpath(&compile(&format!("$var:{name}{text}"))?)?,
            }
        }
    };
    Ok(Some(Value::Nodes(answer)))
}

/// An XPath on XML in a field of a variable, such as the payload of a kept response.
fn xpath_on(
    xpath: &XPath,
    on: &XmlVariable,
    surroundings: &mut dyn Surroundings,
) -> Result<super::XPathAnswer, String> {
    let XmlVariable { name, field } = on;
    let held = match surroundings.variable(name) {
        Some(properties::Value::Json(json)) => json.get(field).and_then(Json::as_str).map(str::to_owned),
        Some(_) => return Err(format!("the variable `{name}` has no fields")),
        None => return Err(format!("there is no variable `{name}`")),
    };
    let Some(text) = held else {
        return Err(format!("the variable `{name}` has no XML in `{field}`"));
    };
    let tree = XmlTree::parse_str(&text, &XmlLimits::default())
        .map_err(|_| format!("`{field}` of the variable `{name}` is not XML"))?;
    let Some(element) = tree.document_element() else {
        return Err(format!("`{field}` of the variable `{name}` is not XML"));
    };
    surroundings.xpath_on(xpath, &Arc::new(tree), element)
}

pub(super) fn text_of(
    node: &Node,
    surroundings: &mut dyn Surroundings,
    what: &str,
) -> Result<String, String> {
    match evaluate(node, surroundings)? {
        Some(value) => match value.as_string() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("{} is not {what}", shown(&value))),
        },
        None => Err(format!("null is not {what}")),
    }
}

fn given(value: Option<String>, what: &str, name: &str) -> Answer {
    match value {
        Some(text) => Ok(Some(Value::of_text(text))),
        None => Err(format!("there is no {what} `{name}`")),
    }
}

fn json_of_text(text: &str) -> Json {
    let limits = JsonLimits {
        size: usize::MAX,
        ..JsonLimits::default()
    };
    json::parse(text.as_bytes(), &limits).unwrap_or_else(|_| Json::String(text.to_owned()))
}
