//! `<property>`: sets or removes a value that travels with the message.

use super::http_header;
use super::pattern::Pattern;
use super::typed::{self, Origin, Type};
use crate::expression::{Dynamic, Expression};
use crate::flow::{AtOnce, Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::payload::PayloadLimits;
use crate::message::properties::{Scope, Value};
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape, Support};
use crate::text::Diagnostic;
use async_trait::async_trait;
use std::sync::Arc;

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
    fn at_once(&self) -> Option<&dyn AtOnce> {
        let waits = self.name.waits()
            || matches!(&self.action, Action::SetFrom { expression, .. } if expression.waits());
        (!waits).then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if let Dynamic::Expression(name) = &self.name {
            exchange.load_for(name).await?;
        }
        if let Action::SetFrom { expression, .. } = &self.action {
            exchange.load_for(expression).await?;
        }
        self.apply(exchange)
    }
}

impl AtOnce for Property {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        if let (Dynamic::Literal(name), Scope::Default, Action::SetTo(Some(value))) =
            (&self.name, self.scope, &self.action)
        {
            // What most of them do, without a copy of the name.
            exchange.properties.set(Arc::clone(name), value.clone());
            return Ok(Flow::Continue);
        }
        let name = exchange.dynamic_at_once(&self.name)?;
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
                let value = computed(exchange, expression, *kind, part.as_ref())?;
                put(exchange, self.scope, &name, value)?;
            }
        }
        Ok(Flow::Continue)
    }
}

fn computed(
    exchange: &mut Exchange,
    expression: &Expression,
    kind: Option<Type>,
    part: Option<&(Pattern, usize)>,
) -> Result<Option<Value>, Fault> {
    let text = exchange.text_at_once(expression)?;
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

pub(super) fn put(
    exchange: &mut Exchange,
    scope: Scope,
    name: &str,
    value: Option<Value>,
) -> Result<(), Fault> {
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

pub(super) fn remove(exchange: &mut Exchange, scope: Scope, name: &str) {
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

#[cfg(test)]
mod tests {
    use crate::flow::Exchange;
    use crate::mediators::trial::{ALL, outcome, told};

    const JSON: &str = "POST /\nContent-Type: application/json\n\n{\"n\": \"12.0\", \"bad\": \"a\\r\\nb: c\", \"name\": \"ÿ\"}";

    fn run(config: &str) -> Exchange {
        let (outcome, exchange) = ALL.run(config, JSON);
        outcome.expect("no fault");
        exchange
    }

    fn check(config: &str, expected: Option<&str>) {
        assert_eq!(run(config).properties.text("a").as_deref(), expected, "{config}");
    }

    #[test]
    fn an_expression_that_selects_nothing_leaves_the_default_scope_as_it_was() {
        // Axis2MessageContext.setProperty
        check(
            r#"<property name="a" value="old"/><property name="a" expression="$ctx:none"/>"#,
            Some("old"),
        );
        check(r#"<property name="a" expression="$ctx:none"/>"#, None);
    }

    #[test]
    fn an_expression_that_selects_nothing_empties_a_header_and_removes_elsewhere() {
        let exchange = run(
            r#"<property name="X-A" value="old" scope="transport"/><property name="X-A" expression="$ctx:none" scope="transport"/>
               <property name="b" value="old" scope="axis2"/><property name="b" expression="$ctx:none" scope="axis2"/>
               <property name="c" value="old" scope="operation"/><property name="c" expression="$ctx:none" scope="operation"/>"#,
        );
        assert_eq!(exchange.message.header("x-a"), Some(""));
        assert_eq!(exchange.properties.axis2("b"), None);
        assert_eq!(exchange.properties.operation.get("c"), None);
    }

    #[test]
    fn nothing_is_no_number_but_is_false() {
        let config = r#"<property name="a" type="INTEGER" expression="$ctx:none"/>"#;
        assert!(
            outcome(config, JSON).starts_with("fault 0 `$ctx:none` selects nothing"),
            "{}",
            outcome(config, JSON)
        );
        check(
            r#"<property name="a" type="BOOLEAN" expression="$ctx:none"/>"#,
            Some("false"),
        );
    }

    #[test]
    fn a_constant_is_converted_at_load_and_an_expression_when_the_message_is_there() {
        assert_eq!(
            told(r#"<property name="a" type="INTEGER" value="1.0"/>"#),
            "E0203 `1.0` is not a whole number of 32 bits"
        );
        check(
            r#"<property name="a" type="INTEGER" expression="json-eval($.n)"/>"#,
            Some("12"),
        );
        assert!(
            outcome(
                r#"<property name="a" type="LONG" expression="json-eval($.n)"/>"#,
                JSON
            )
            .starts_with("fault 0 `12.0`")
        );
        check(r#"<property name="a" type="DOUBLE" value="3"/>"#, Some("3.0"));
    }

    #[test]
    fn of_value_element_and_expression_the_first_counts() {
        check(
            r#"<property name="a" value="v" expression="'e'"><x/></property>"#,
            Some("v"),
        );
        check(
            r#"<property name="a" expression="'e'"><x xmlns=""/></property>"#,
            Some("<x/>"),
        );
        // The default namespace of the configuration holds inside, as in Synapse.
        check(
            r#"<property name="a"><x/></property>"#,
            Some(r#"<x xmlns="http://ws.apache.org/ns/synapse"/>"#),
        );
    }

    #[test]
    fn a_pattern_has_to_match_the_whole_text() {
        // PropertyMediator.getMatchedValue
        check(r#"<property name="a" value="abc" pattern="b"/>"#, Some(""));
        check(
            r#"<property name="a" value="abc" pattern=".(b)." group="1"/>"#,
            Some("b"),
        );
        check(
            r#"<property name="a" value="abc" pattern=".b." group="1"/>"#,
            Some(""),
        );
        check(
            r#"<property name="a" value="old"/><property name="a" value="ac" pattern="a(b)?c" group="1"/>"#,
            Some("old"),
        );
        check(
            r#"<property name="a" value="5" type="LONG" pattern="x"/>"#,
            Some("5"),
        );
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        for (config, expected) in [
            (r#"<property name="a"/>"#, "E0210 this property has no value"),
            (
                r#"<property name="" value="x"/>"#,
                "E0203 a property needs a name",
            ),
            (
                r#"<property name="a" value="x" group="1"/>"#,
                "E0210 `group` needs a `pattern` beside it",
            ),
            (
                r#"<property name="a" value="x" scope="system"/>"#,
                "E0505 the scope `system` cannot be written",
            ),
            (
                r#"<property name="a" value="x" scope="registry"/>"#,
                "E0505 the scope `registry` cannot be written",
            ),
            (
                r#"<property name="a" value="x" scope="env"/>"#,
                "E0203 `env` is not what `scope` takes",
            ),
            (
                r#"<property name="HTTP_SC" value="twohundred" scope="axis2"/>"#,
                "W0211 this is not an HTTP status",
            ),
            (r#"<property name="a" scope="system" action="remove"/>"#, ""),
            (r#"<property name="a" value="x" scope="trace"/>"#, ""),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }

    #[test]
    fn a_header_value_cannot_break_out_of_its_line() {
        for expression in ["json-eval($.bad)", "json-eval($.name)"] {
            let config = format!(r#"<property name="X-A" scope="transport" expression="{expression}"/>"#);
            let (outcome, exchange) = ALL.run(&config, JSON);
            assert!(outcome.is_err());
            assert_eq!(exchange.message.header("x-a"), None);
        }
        let config = r#"<property name="messageType" scope="axis2" expression="json-eval($.bad)"/>"#;
        assert!(ALL.run(config, JSON).0.is_err());
    }

    #[test]
    fn removing_transport_headers_removes_every_header() {
        let exchange = run(r#"<property name="TRANSPORT_HEADERS" action="remove" scope="axis2"/>"#);
        assert!(exchange.message.headers.is_empty());
    }

    #[test]
    fn a_name_can_be_computed() {
        check(r#"<property name="{concat('a', '')}" value="v"/>"#, Some("v"));
        check(
            r#"<property name="a" value="v"/><property name="{string('a')}" action="remove"/>"#,
            None,
        );
    }

    #[test]
    fn malformed_json_of_a_message_is_nothing() {
        check(r#"<property name="a" type="JSON" expression="'{'"/>"#, None);
        check(
            r#"<property name="a" type="JSON" expression="'[1, 2]'"/>"#,
            Some("[1,2]"),
        );
    }

    #[test]
    fn a_body_stays_unread_when_nobody_asks_for_it() {
        let exchange = run(r#"<property name="a" expression="$trp:Content-Type"/>"#);
        assert!(!exchange.message.payload.is_loaded());
        assert_eq!(exchange.properties.text("a").as_deref(), Some("application/json"));
    }
}
