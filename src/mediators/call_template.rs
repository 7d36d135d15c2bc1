//! `<call-template>`: a sequence with parameters.

use crate::expression::Expression;
use crate::flow::catalog::{Parameter, Template};
use crate::flow::{Exchange, Fault, Flow, Mediator, Origin, Outcome, SequenceId, TemplateId, fault};
use crate::message::properties::{Fragment, Value, Values};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "call-template",
    summary: "Runs a sequence template with parameters.",
    notes: "Inside the template a parameter is read as `$func:name`, `get-property('func', 'name')` or \
        `${params.functionParams.name}`. A value in braces is evaluated before the call; an XPath that selects an element passes the \
        element, the first one if there are several. A value in double braces is evaluated when the template starts, and can read \
        parameters that stand in front of it.\n\n\
        A parameter that the template calls mandatory and that is not passed is a fault with the code 500101. A parameter that the \
        template does not declare is not visible inside.",
    differences: "An expression in double braces is evaluated once, when the template starts. Synapse passes the expression itself and \
        evaluates it at each use.",
    attributes: &[
        Attr::required("target", Shape::Template, "The name of the template."),
        Attr::optional(
            "onError",
            Shape::Sequence,
            "Runs when a step of the template fails.",
        ),
    ],
    children: Children::of(&[Child::optional(
        "with-param",
        &[
            Attr::required("name", Shape::Text, "The parameter."),
            Attr::required(
                "value",
                Shape::Text,
                "Text, `{expression}`, or `{{expression}}` to have it evaluated inside.",
            ),
        ],
        Children::NONE,
        "One parameter.",
    )
    .many()]),
    build,
    examples: &[
        Example::new(
            "One piece of work with two values",
            r#"<call-template target="greet">
    <with-param name="whom" value="{json-eval($.name)}"/>
    <with-param name="how" value="Hello"/>
</call-template>"#,
            "POST /\nContent-Type: application/json\n\n{\"name\": \"Ada\"}",
            "continues\nproperty greeting = Hello, Ada!",
        )
        .beside(
            r#"<template name="greet">
    <parameter name="whom" isMandatory="true"/>
    <parameter name="how" defaultValue="Hi"/>
    <sequence><property name="greeting" expression="concat($func:how, ', ', $func:whom, '!')"/></sequence>
</template>"#,
        ),
        Example::new(
            "A mandatory parameter that is missing, and a handler for it",
            r#"<call-template target="greet" onError="apologise"/>"#,
            "GET /",
            "responds\nproperty ERROR_CODE = 500101",
        )
        .beside(
            r#"<template name="greet"><parameter name="whom" isMandatory="true"/><sequence/></template>
<sequence name="apologise"><respond/></sequence>"#,
        ),
    ],
};

struct CallTemplate {
    target: TemplateId,
    passed: Vec<(Arc<str>, Passed)>,
    on_error: Option<SequenceId>,
}

enum Passed {
    Text(Value),
    /// `{…}`
    Before(Expression),
    /// `{{…}}`
    Inside(Expression),
}

/// Names that tell a connector's template to put its answer somewhere else (`InvokeMediator.prepareForMediation`).
const CONNECTORS_OWN: &[&str] = &["responseVariable", "overwriteBody"];

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let target = planner.template_key(&element.attribute("target")?.value.clone());
    let on_error = match element.attribute("onError") {
        Some(handler) if !handler.value.text.is_empty() => {
            Some(planner.sequence_key(&handler.value.clone())?)
        }
        _ => None,
    };
    let mut passed = Vec::new();
    for parameter in element.all("with-param") {
        let name = parameter.attribute("name")?;
        if name.value.text.is_empty() {
            planner.mistake("E0203", name.value.span, "a parameter needs a name");
        }
        if CONNECTORS_OWN.contains(&name.value.text.as_str()) {
            planner.tell(
                Diagnostic::error(
                    "E0505",
                    name.value.span,
                    format!("the parameter `{}` belongs to connectors", name.value.text),
                )
                .help("keep the body in a variable with `enrich` or `variable` before the call"),
            );
        }
        if let Some(value) = value(parameter, planner) {
            passed.push((Arc::from(name.value.text.as_str()), value));
        }
    }
    Some(Box::new(CallTemplate {
        target: target?,
        passed,
        on_error,
    }))
}

fn value(parameter: &Element, planner: &mut Planner<'_>) -> Option<Passed> {
    let value = parameter.attribute("value")?.value.clone();
    let trimmed = value.trimmed();
    let text = trimmed.text.as_str();
    let braces = |open: &str, close: &str| {
        text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    };
    if braces("{{", "}}") {
        let inner = trimmed.slice(2..text.len() - 2);
        return planner.expression(&inner, parameter).map(Passed::Inside);
    }
    if braces("{", "}") {
        let inner = trimmed.slice(1..text.len() - 1);
        return planner.expression(&inner, parameter).map(Passed::Before);
    }
    let text = planner.resolved(&value)?;
    Some(Passed::Text(Value::text(text)))
}

#[async_trait(?Send)]
impl Mediator for CallTemplate {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let template = exchange.catalog.template(self.target);
        let outcome = match self.enter(exchange, &template).await {
            Ok(()) => template.sequence.run(exchange).await,
            Err(fault) => Err(fault),
        };
        let outcome = match (outcome, self.on_error) {
            // The handler still sees the parameters: Synapse leaves them on its stack when a template fails.
            (Err(fault), Some(handler)) if !fault.unhandled => exchange.handle(fault, handler).await,
            (outcome, _) => outcome,
        };
        if matches!(outcome, Ok(Flow::Continue)) {
            exchange.properties.leave_template();
        }
        outcome
    }
}

impl CallTemplate {
    /// Evaluates what is passed and makes it visible (`TemplateContext.setupParams`).
    async fn enter(&self, exchange: &mut Exchange, template: &Template) -> Result<(), Fault> {
        let mut values = Values::default();
        for parameter in &template.parameters {
            match self.passed(&parameter.name) {
                None if parameter.mandatory => return Err(missing(parameter, template)),
                None => {
                    if let Some(default) = &parameter.default {
                        values.set(Arc::clone(&parameter.name), Value::Text(Arc::clone(default)));
                    }
                }
                Some(Passed::Text(value)) => values.set(Arc::clone(&parameter.name), value.clone()),
                Some(Passed::Before(expression)) => {
                    if let Some(value) = first(exchange, expression).await? {
                        values.set(Arc::clone(&parameter.name), value);
                    }
                }
                Some(Passed::Inside(_)) => {}
            }
        }
        exchange.properties.enter_template(values.clone());
        for parameter in &template.parameters {
            if let Some(Passed::Inside(expression)) = self.passed(&parameter.name)
                && let Some(value) = first(exchange, expression).await?
            {
                values.set(Arc::clone(&parameter.name), value);
                exchange.properties.leave_template();
                exchange.properties.enter_template(values.clone());
            }
        }
        Ok(())
    }

    /// What is passed under that name; the last one of several.
    fn passed(&self, name: &str) -> Option<&Passed> {
        self.passed
            .iter()
            .rev()
            .find(|(known, _)| &**known == name)
            .map(|(_, value)| value)
    }
}

/// The value of an expression: of several nodes the first, of texts and attributes the text.
async fn first(exchange: &mut Exchange, expression: &Expression) -> Result<Option<Value>, Fault> {
    if expression.xpath().is_none() {
        return Ok(exchange.text(expression).await?.map(Value::text));
    }
    Ok(exchange.value(expression).await?.and_then(|value| match value {
        Value::Xml(fragment) => {
            let node = fragment.nodes.first().copied()?;
            if fragment.tree.is_element(node) {
                Some(Value::Xml(Fragment {
                    tree: fragment.tree,
                    nodes: vec![node],
                }))
            } else {
                Some(Value::text(fragment.tree.string_value(node)))
            }
        }
        value => Some(value),
    }))
}

fn missing(parameter: &Parameter, template: &Template) -> Fault {
    Fault::new(
        fault::code::TEMPLATE_PARAMETER,
        Origin::Author,
        format!(
            "Neither a value nor default value is provided for mandatory parameter: {} in seq-template {}",
            parameter.name, template.name
        ),
    )
}
