//! `<variable>`: sets or removes a typed value that expressions read as `${vars.name}`.

use super::typed::{self, Origin, Type};
use crate::expression::Expression;
use crate::flow::{AtOnce, Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::json::Json;
use crate::message::payload::PayloadLimits;
use crate::message::properties::Value;
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "variable",
    summary: "Sets or removes a variable.",
    notes: "Variables have types, live beside the properties and follow the message into the response. They are read as `${vars.name}` \
        or `$var:name`.\n\n\
        Without a `type`, an expression keeps the type of its own. With BOOLEAN, INTEGER, LONG, DOUBLE or JSON the result of an \
        expression has to be of that type already: the text \"5\" is no INTEGER. An expression that selects nothing leaves the variable \
        as it was, or is a fault if a type is asked for.",
    differences: "A number fits every numeric type here (a whole number where DOUBLE is asked for, for instance); Synapse is stricter \
        with some of them.",
    attributes: &[
        Attr::required("name", Shape::Text, "Its name."),
        Attr::optional("value", Shape::Text, "A constant. Converted to `type` at load."),
        Attr::optional(
            "expression",
            Shape::Expression,
            "Gives the value, when there is no `value`.",
        ),
        Attr::optional(
            "type",
            Shape::Choice(TYPES),
            "What the value is. Without it, a constant is a STRING.",
        ),
        Attr::optional(
            "action",
            Shape::Choice(&["set", "remove"]),
            "Whether to set or to remove it.",
        )
        .default("set"),
    ],
    children: Children::NONE,
    build,
    examples: &[Example::new(
        "Keep a number and a piece of the body",
        r#"<variable name="limit" type="INTEGER" value="10"/>
<variable name="first" type="JSON" expression="json-eval($.items[0])"/>
<variable name="draft" action="remove"/>"#,
        "POST /\nContent-Type: application/json\n\n{\"items\": [{\"id\": 1}, {\"id\": 2}]}",
        "continues\nvariable limit = 10\nvariable first = {\"id\":1}\nvariable draft is not there",
    )],
};

const TYPES: &[&str] = &["STRING", "BOOLEAN", "INTEGER", "LONG", "DOUBLE", "JSON", "XML"];

struct Variable {
    name: Arc<str>,
    action: Action,
}

enum Action {
    Remove,
    SetTo(Value),
    SetFrom(Expression, Option<Type>),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let name = element.attribute("name")?;
    if name.value.text.is_empty() {
        planner.mistake("E0203", name.value.span, "a variable needs a name");
        return None;
    }
    let kind = element.get("type").and_then(Type::named);
    let remove = element
        .get("action")
        .is_some_and(|action| action.trim().eq_ignore_ascii_case("remove"));
    let action = if remove {
        Action::Remove
    } else if let Some(value) = element.attribute("value") {
        let text = planner.resolved(&value.value)?;
        let limits = PayloadLimits::default();
        match typed::read(&text, kind.unwrap_or(Type::Text), Origin::Constant, &limits) {
            Ok(value) => Action::SetTo(value),
            Err(reason) => {
                planner.mistake("E0203", value.value.span, reason);
                return None;
            }
        }
    } else if element.has("expression") {
        Action::SetFrom(planner.expression_in(element, "expression")?, kind)
    } else {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this variable has no value")
                .help("give it a `value` or an `expression`, or say action=\"remove\""),
        );
        return None;
    };
    Some(Box::new(Variable {
        name: Arc::from(name.value.text.as_str()),
        action,
    }))
}

#[async_trait(?Send)]
impl Mediator for Variable {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        let waits = matches!(&self.action, Action::SetFrom(expression, _) if expression.waits());
        (!waits).then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if let Action::SetFrom(expression, _) = &self.action {
            exchange.load_for(expression).await?;
        }
        self.apply(exchange)
    }
}

impl AtOnce for Variable {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        let value = match &self.action {
            Action::Remove => {
                exchange.properties.variables.remove(&self.name);
                return Ok(Flow::Continue);
            }
            Action::SetTo(value) => Some(value.clone()),
            Action::SetFrom(expression, kind) => computed(exchange, expression, *kind)?,
        };
        // Axis2MessageContext.setVariable ignores null: the old value stays.
        if let Some(value) = value {
            exchange.properties.variables.set(Arc::clone(&self.name), value);
        }
        Ok(Flow::Continue)
    }
}

/// `Utils.getResolvedValue`: text and XML are made from the expression's text, other types are only checked.
fn computed(
    exchange: &mut Exchange,
    expression: &Expression,
    kind: Option<Type>,
) -> Result<Option<Value>, Fault> {
    let kind = match kind {
        None => return exchange.value_at_once(expression),
        Some(Type::Text) => return Ok(exchange.text_at_once(expression)?.map(Value::text)),
        Some(Type::Xml) => {
            let Some(text) = exchange.text_at_once(expression)? else {
                return Ok(None);
            };
            let read = typed::read(&text, Type::Xml, Origin::Expression, &exchange.catalog.limits);
            return read.map(Some).map_err(Fault::mediation);
        }
        Some(kind) => kind,
    };
    let value = exchange.value_at_once(expression)?;
    match value.and_then(|value| fitted(value, kind)) {
        Some(value) => Ok(Some(value)),
        None => Err(Fault::mediation(format!(
            "Expression '{}' result does not match the expected data type '{}'",
            expression.source(),
            name_of(kind)
        ))),
    }
}

/// The value as that type, if it is of that sort.
fn fitted(value: Value, kind: Type) -> Option<Value> {
    match (kind, &value) {
        (Type::Boolean, Value::Boolean(_)) => Some(value),
        (Type::Boolean, Value::Json(json)) => json.as_bool().map(Value::Boolean),
        (Type::Json, Value::Json(json)) => match &**json {
            // Utils.convertJsonPrimitive has no case for JSON and gives the text.
            Json::Object(_) | Json::Array(_) | Json::Null => Some(value),
            _ => Some(Value::text(value.to_text())),
        },
        (Type::Integer, _) => number(&value).map(|number| Value::Integer(number as i32)),
        (Type::Long, _) => match whole(&value) {
            Some(whole) => Some(Value::Long(whole)),
            None => number(&value).map(|number| Value::Long(number as i64)),
        },
        (Type::Double, _) => number(&value).map(Value::Double),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Short(number) => Some(f64::from(*number)),
        Value::Integer(number) => Some(f64::from(*number)),
        Value::Long(number) => Some(*number as f64),
        Value::Float(number) => Some(f64::from(*number)),
        Value::Double(number) => Some(*number),
        Value::Json(json) => json.as_f64(),
        Value::Text(_) | Value::Boolean(_) | Value::Xml(_) => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Short(_) | Value::Integer(_) | Value::Long(_) => value.as_integer(),
        Value::Json(json) => json.as_i64(),
        _ => None,
    }
}

fn name_of(kind: Type) -> &'static str {
    match kind {
        Type::Text => "STRING",
        Type::Boolean => "BOOLEAN",
        Type::Short => "SHORT",
        Type::Integer => "INTEGER",
        Type::Long => "LONG",
        Type::Float => "FLOAT",
        Type::Double => "DOUBLE",
        Type::Json => "JSON",
        Type::Xml => "XML",
    }
}

#[cfg(test)]
mod tests {
    use crate::mediators::trial::{ALL, outcome, told};
    use crate::message::properties::Value;

    const JSON: &str = "POST /\nContent-Type: application/json\n\n{\"n\": 7, \"t\": \"7\", \"b\": true, \"o\": {\"a\": [1]}, \"x\": \"<x/>\"}";

    fn check(config: &str, expected: Option<Value>) {
        let (outcome, exchange) = ALL.run(config, JSON);
        outcome.expect("no fault");
        assert_eq!(
            exchange.properties.variables.get("v"),
            expected.as_ref(),
            "{config}"
        );
    }

    #[test]
    fn the_result_of_an_expression_has_to_be_of_the_type_already() {
        // v2 Utils.convertExpressionResult
        check(
            r#"<variable name="v" type="INTEGER" expression="json-eval($.n)"/>"#,
            Some(Value::Integer(7)),
        );
        check(
            r#"<variable name="v" type="LONG" expression="json-eval($.n)"/>"#,
            Some(Value::Long(7)),
        );
        check(
            r#"<variable name="v" type="DOUBLE" expression="json-eval($.n)"/>"#,
            Some(Value::Double(7.0)),
        );
        check(
            r#"<variable name="v" type="BOOLEAN" expression="json-eval($.b)"/>"#,
            Some(Value::Boolean(true)),
        );
        check(
            r#"<variable name="v" type="STRING" expression="json-eval($.n)"/>"#,
            Some(Value::text("7")),
        );
        for (kind, expression) in [
            ("INTEGER", "json-eval($.t)"),
            ("BOOLEAN", "json-eval($.t)"),
            ("JSON", "$trp:Content-Type"),
            ("INTEGER", "$ctx:none"),
        ] {
            let config = format!(r#"<variable name="v" type="{kind}" expression="{expression}"/>"#);
            assert_eq!(
                outcome(&config, JSON),
                format!(
                    "fault 0 Expression '{expression}' result does not match the expected data type '{kind}'"
                )
            );
        }
    }

    #[test]
    fn xml_is_read_from_the_text() {
        let (_, exchange) = ALL.run(
            r#"<variable name="v" type="XML" expression="json-eval($.x)"/>"#,
            JSON,
        );
        let value = exchange.properties.variables.get("v");
        assert!(matches!(value, Some(Value::Xml(_))), "{value:?}");
        assert!(
            outcome(
                r#"<variable name="v" type="XML" expression="json-eval($.t)"/>"#,
                JSON
            )
            .starts_with("fault 0 `7` is not XML")
        );
    }

    #[test]
    fn an_expression_that_selects_nothing_leaves_the_variable_as_it_was() {
        check(
            r#"<variable name="v" value="old"/><variable name="v" expression="$ctx:none"/>"#,
            Some(Value::text("old")),
        );
        check(
            r#"<variable name="v" value="old"/><variable name="v" action="remove"/>"#,
            None,
        );
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        assert_eq!(
            told(r#"<variable name="v"/>"#),
            "E0210 this variable has no value"
        );
        assert_eq!(
            told(r#"<variable name="v" type="INTEGER" value="x"/>"#),
            "E0203 `x` is not a whole number of 32 bits"
        );
        assert_eq!(
            told(r#"<variable name="v" type="OM" value="x"/>"#),
            "E0203 `OM` is not what `type` takes"
        );
    }
}
