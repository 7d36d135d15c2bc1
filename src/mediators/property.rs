//! `<property>`: sets or removes a value that travels with the message.

use super::http_header;
use super::pattern::Pattern;
use super::typed::{self, Origin, Type};
use crate::expression::{Dynamic, Expression};
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::payload::PayloadLimits;
use crate::message::properties::{Scope, Value};
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape, Support};
use crate::text::Diagnostic;
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "property",
    summary: "Sets or removes a property of the message, of its transport, or of the exchange.",
    notes: "Of `value`, an XML element inside and `expression`, the first one present counts.\n\n\
        An expression that selects nothing leaves a property of the default scope as it was, sets an HTTP header to the empty text, and \
        removes a property of the other scopes. With a `type` other than STRING, OM and BOOLEAN it is a fault.\n\n\
        `pattern` is applied to text alone and has to match all of it; then the property is the `group`, otherwise it is empty.\n\n\
        Setting `messageType` in scope `axis2` sets `ContentType` and the Content-Type header too. `TRANSPORT_HEADERS` in scope `axis2` \
        stands for all HTTP headers: removing it removes them.",
    differences: "A header value with line ends or other characters that a header cannot carry is a fault (Synapse writes it as it is). \
        A JSON constant that is malformed is told at load. The scopes `system` and `registry` cannot be written: there is no JVM, and the \
        gateway never writes into your folders; Synapse's own rule that removing from them does nothing holds.",
    attributes: ATTRIBUTES,
    children: CHILDREN,
    build: |element, planner| build(element, planner).map(|property| Box::new(property) as Box<dyn Mediator>),
    examples: &[
        Example::new(
            "Keep a value of the request for later",
            r#"<property name="customer" expression="//m0:customer/@id"/>
<property name="attempts" value="3" type="INTEGER"/>"#,
            "POST /orders\nContent-Type: application/xml\n\n<m0:order xmlns:m0=\"http://services.samples\"><m0:customer id=\"c7\"/></m0:order>",
            "continues\nproperty customer = c7\nproperty attempts = 3",
        ),
        Example::new(
            "Set an HTTP header, and remove another",
            r#"<property name="X-Tenant" value="blue" scope="transport"/>
<property name="Authorization" action="remove" scope="transport"/>"#,
            "GET /orders\nAuthorization: Basic abc",
            "continues\nheader X-Tenant = blue\nheader Authorization is not there",
        ),
        Example::new(
            "Take a part of a text",
            r#"<property name="host" expression="json-eval($.url)" pattern="https?://([^/]+)/.*" group="1"/>"#,
            "POST /links\nContent-Type: application/json\n\n{\"url\": \"http://shop.example/basket\"}",
            "continues\nproperty host = shop.example",
        ),
        Example::new(
            "Keep XML that stands in the configuration, under a name that is computed",
            r#"<property name="{json-eval($.kind)}" type="OM"><limit unit="EUR" xmlns="">100</limit></property>"#,
            "POST /limits\nContent-Type: application/json\n\n{\"kind\": \"credit\"}",
            "continues\nproperty credit = <limit unit=\"EUR\">100</limit>",
        ),
        Example::new(
            "Choose how the body is written, and the status",
            r#"<property name="messageType" value="application/json" scope="axis2"/>
<property name="HTTP_SC" value="201" scope="axis2" type="INTEGER"/>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order/>",
            "continues\naxis2 ContentType = application/json\naxis2 HTTP_SC = 201\nheader Content-Type = application/json",
        ),
    ],
};

const SCOPES: &[&str] = &[
    "default",
    "axis2",
    "axis2-client",
    "transport",
    "operation",
    "registry",
    "system",
    "trace",
    "analytics",
];

const TYPES: &[&str] = &[
    "STRING", "BOOLEAN", "INTEGER", "LONG", "SHORT", "FLOAT", "DOUBLE", "OM", "JSON",
];

pub(super) const ATTRIBUTES: &[Attr] = &[
    Attr::required("name", Shape::Dynamic, "Its name."),
    Attr::optional("value", Shape::Text, "A constant. Converted to `type` at load."),
    Attr::optional(
        "expression",
        Shape::Expression,
        "Gives the value. Its text is converted to `type` when the message is there.",
    ),
    Attr::optional("type", Shape::Choice(TYPES), "What the text is converted to. OM is XML.").default("STRING"),
    Attr::optional(
        "scope",
        Shape::Choice(SCOPES),
        "Where it lives. `default` follows the message into the response, `axis2` ends with this message, `transport` are the HTTP \
         headers, `operation` is shared by request and response. `trace` and `analytics` have no effect.",
    )
    .default("default"),
    Attr::optional("action", Shape::Choice(&["set", "remove"]), "Whether to set or to remove it.").default("set"),
    Attr::optional("pattern", Shape::Regex, "Has to match the whole text; see `group`."),
    Attr::optional("group", Shape::Integer, "The group of `pattern` that becomes the value.").default("0"),
    Attr::ignored("metadata", "Only Synapse's unit-test framework writes it."),
];

pub(super) const CHILDREN: Children = Children::ANY;

/// What a change of these scopes comes to here.
const NO_TRACE: Support = Support::Ignored("there is no such collector here: the property goes nowhere");

pub(super) struct Property {
    name: Dynamic,
    scope: Scope,
    action: Action,
}

enum Action {
    Remove,
    SetTo(Option<Value>),
    SetFrom {
        expression: Expression,
        kind: Option<Type>,
        part: Option<(Pattern, usize)>,
    },
}

pub(super) fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Property> {
    let name = element.attribute("name")?;
    if name.value.text.is_empty() {
        planner.mistake("E0203", name.value.span, "a property needs a name");
        return None;
    }
    let name = planner.dynamic(&name.value, element)?;
    let scope = scope(element, planner)?;
    let action = if element
        .get("action")
        .is_some_and(|action| action.trim().eq_ignore_ascii_case("remove"))
    {
        Action::Remove
    } else {
        set(element, planner)?
    };
    match (scope, &action) {
        (Scope::System | Scope::Registry, Action::SetTo(_) | Action::SetFrom { .. }) => {
            let what = element.attribute("scope")?;
            let (word, advice) = match scope {
                Scope::System => (
                    "system",
                    "use scope `default`, or an environment variable that is set outside",
                ),
                _ => (
                    "registry",
                    "use scope `default`, or call a service that keeps the value",
                ),
            };
            planner.compat.met(
                format!("property@scope={word}"),
                Support::Refused(advice),
                what.name_span,
            );
            planner.tell(
                Diagnostic::error(
                    "E0505",
                    what.value.span,
                    format!("the scope `{word}` cannot be written"),
                )
                .help(advice),
            );
            return None;
        }
        (Scope::Axis2, Action::SetTo(Some(value))) => check_status(&name, value, element, planner),
        _ => {}
    }
    Some(Property { name, scope, action })
}

fn scope(element: &Element, planner: &mut Planner<'_>) -> Option<Scope> {
    let Some(attribute) = element.attribute("scope") else {
        return Some(Scope::Default);
    };
    let word = planner.resolved(&attribute.value)?.trim().to_ascii_lowercase();
    let scope = Scope::named(&word)?;
    if matches!(scope, Scope::Trace | Scope::Analytics) {
        planner
            .compat
            .met(format!("property@scope={word}"), NO_TRACE, attribute.name_span);
    }
    Some(scope)
}

fn set(element: &Element, planner: &mut Planner<'_>) -> Option<Action> {
    let kind = element.get("type").and_then(Type::named);
    let part = part(element, planner)?;
    if let Some(value) = element.attribute("value") {
        let text = planner.resolved(&value.value)?;
        let limits = PayloadLimits::default();
        let value = match typed::read(&text, kind.unwrap_or(Type::Text), Origin::Constant, &limits) {
            Ok(value) => value,
            Err(reason) => {
                planner.mistake("E0203", value.value.span, reason);
                return None;
            }
        };
        return match (value, part) {
            (Value::Text(text), Some((pattern, group))) => {
                Some(Action::SetTo(pattern.part(&text, group).ok()?.map(Value::text)))
            }
            (value, _) => Some(Action::SetTo(Some(value))),
        };
    }
    if let Some(inner) = element.elements().next() {
        return Some(Action::SetTo(Some(Value::Xml(typed::literal(inner, planner)?))));
    }
    if !element.has("expression") {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this property has no value").help(
                "give it a `value`, an `expression` or an XML element inside, or say action=\"remove\"",
            ),
        );
        return None;
    }
    Some(Action::SetFrom {
        expression: planner.expression_in(element, "expression")?,
        kind,
        part,
    })
}

/// `pattern` and `group`; the outer `None` is a mistake.
fn part(element: &Element, planner: &mut Planner<'_>) -> Option<Option<(Pattern, usize)>> {
    let group = element.attribute("group");
    let Some(pattern) = element.attribute("pattern") else {
        if let Some(group) = group {
            planner.mistake("E0210", group.name_span, "`group` needs a `pattern` beside it");
            return None;
        }
        return Some(None);
    };
    let number = match group {
        None => 0,
        Some(group) => match usize::try_from(planner.integer(element, "group", 0)) {
            Ok(number) => number,
            Err(_) => {
                planner.mistake("E0203", group.value.span, "a group is counted from 0");
                return None;
            }
        },
    };
    let pattern = Pattern::compile(&pattern.value.clone(), planner)?;
    Some(Some((pattern, number)))
}

/// Synapse logs a bad status per message and answers as if none were set; the author can be told now.
fn check_status(name: &Dynamic, value: &Value, element: &Element, planner: &mut Planner<'_>) {
    let Dynamic::Literal(name) = name else { return };
    let is_status = value
        .as_integer()
        .is_some_and(|status| (100..=999).contains(&status));
    if &**name == "HTTP_SC"
        && !is_status
        && let Some(value) = element.attribute("value")
    {
        planner.tell(
            Diagnostic::warning("W0211", value.value.span, "this is not an HTTP status")
                .label("without effect")
                .help("a status is a number from 100 to 999"),
        );
    }
}

#[async_trait(?Send)]
impl Mediator for Property {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let name = exchange.dynamic(&self.name).await?;
        if name.is_empty() {
            tracing::warn!(served_by = %exchange.served_by, "The name of a property is empty.");
        }
        match &self.action {
            Action::Remove => remove(exchange, self.scope, &name),
            Action::SetTo(value) => put(exchange, self.scope, &name, value.clone())?,
            Action::SetFrom {
                expression,
                kind,
                part,
            } => {
                let value = computed(exchange, expression, *kind, part.as_ref()).await?;
                put(exchange, self.scope, &name, value)?;
            }
        }
        Ok(Flow::Continue)
    }
}

async fn computed(
    exchange: &mut Exchange,
    expression: &Expression,
    kind: Option<Type>,
    part: Option<&(Pattern, usize)>,
) -> Result<Option<Value>, Fault> {
    let text = exchange.text(expression).await?;
    let value = match (text, kind) {
        (None, None | Some(Type::Text | Type::Xml)) => None,
        (None, Some(Type::Boolean)) => Some(Value::Boolean(false)),
        (None, Some(kind)) => {
            return Err(Fault::mediation(format!(
                "`{}` selects nothing, and a property should be {}",
                expression.source(),
                kind.words()
            )));
        }
        (Some(text), None) => Some(Value::text(text)),
        // Malformed JSON is nothing (`PropertyMediator.buildJSONElement`).
        (Some(text), Some(Type::Json)) => {
            let read = typed::read(&text, Type::Json, Origin::Expression, &exchange.catalog.limits);
            if let Err(reason) = &read {
                tracing::warn!(served_by = %exchange.served_by, reason, "A property of type JSON stays as it was.");
            }
            read.ok()
        }
        (Some(text), Some(kind)) => Some(
            typed::read(&text, kind, Origin::Expression, &exchange.catalog.limits).map_err(|reason| {
                Fault::mediation(format!("{reason} (the value of `{}`)", expression.source()))
            })?,
        ),
    };
    match (value, part) {
        (Some(Value::Text(text)), Some((pattern, group))) => {
            Ok(pattern.part(&text, *group)?.map(Value::text))
        }
        (value, _) => Ok(value),
    }
}

fn put(exchange: &mut Exchange, scope: Scope, name: &str, value: Option<Value>) -> Result<(), Fault> {
    match (scope, value) {
        // Axis2MessageContext.setProperty returns at once for null: the old value stays.
        (Scope::Default, None) => {}
        (Scope::Default, Some(value)) => exchange.properties.set(name, value),
        (Scope::Transport, value) => {
            let text = value.as_ref().map(Value::to_text).unwrap_or_default();
            http_header::set(&mut exchange.message.headers, name, &text)?;
        }
        (Scope::Axis2, value) => put_axis2(exchange, name, value)?,
        (Scope::Axis2Client, Some(value)) => exchange.properties.axis2_client.set(name, value),
        (Scope::Operation, Some(value)) => exchange.properties.operation.set(name, value),
        (Scope::Axis2Client | Scope::Operation, None) => remove(exchange, scope, name),
        (Scope::Trace | Scope::Analytics, _) => {}
        // Refused at load, or no scope of this mediator.
        (Scope::System | Scope::Registry | Scope::Environment | Scope::File | Scope::Function, _) => {}
    }
    Ok(())
}

/// The names of the axis2 scope that stand for more than themselves (`MediatorPropertyUtils.handleSpecialProperties`).
fn put_axis2(exchange: &mut Exchange, name: &str, value: Option<Value>) -> Result<(), Fault> {
    match (name, value) {
        ("messageType", Some(value)) => {
            let media_type = value.to_text().into_owned();
            http_header::set(&mut exchange.message.headers, "Content-Type", &media_type)?;
            exchange.set_message_type(&media_type);
        }
        ("messageType", None) => {
            exchange.properties.remove_axis2("messageType");
            exchange.properties.remove_axis2("ContentType");
            exchange.message.headers.remove(http::header::CONTENT_TYPE);
        }
        // Synapse takes the map of headers away and leaves something that is no map.
        ("TRANSPORT_HEADERS", _) => exchange.message.headers.clear(),
        (name, Some(value)) => exchange.properties.set_axis2(name, value),
        (name, None) => exchange.properties.remove_axis2(name),
    }
    Ok(())
}

fn remove(exchange: &mut Exchange, scope: Scope, name: &str) {
    match scope {
        Scope::Default => exchange.properties.remove(name),
        Scope::Axis2 if name == "TRANSPORT_HEADERS" => exchange.message.headers.clear(),
        Scope::Axis2 => exchange.properties.remove_axis2(name),
        Scope::Axis2Client => exchange.properties.axis2_client.remove(name),
        Scope::Transport => http_header::remove(&mut exchange.message.headers, name),
        Scope::Operation => exchange.properties.operation.remove(name),
        // PropertyMediator has no branch for these.
        Scope::System
        | Scope::Registry
        | Scope::Trace
        | Scope::Analytics
        | Scope::Environment
        | Scope::File
        | Scope::Function => {}
    }
}
