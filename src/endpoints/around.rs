//! What stands around the kind of an endpoint: its attributes, and the properties that are set each time it is sent to.

use super::common::{ENDPOINT, PROPERTY};
use crate::expression::Expression;
use crate::flow::{Exchange, Fault};
use crate::message::properties::{Scope, Value};
use crate::plan::{Children, Element, Planner, table};
use crate::text::{Diagnostic, suggest};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// The properties of an endpoint, in their order.
#[derive(Debug, Default)]
pub struct Properties(Vec<Property>);

#[derive(Debug)]
struct Property {
    name: String,
    scope: Scope,
    value: PropertyValue,
}

#[derive(Debug)]
enum PropertyValue {
    Text(Arc<str>),
    Computed(Expression),
}

impl Properties {
    pub fn plan(endpoint: &Element, planner: &mut Planner<'_>) -> Properties {
        let properties = endpoint.all("property");
        Properties(
            properties
                .filter_map(|property| plan_property(property, planner))
                .collect(),
        )
    }

    pub async fn set(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        for property in &self.0 {
            let value = match &property.value {
                PropertyValue::Text(text) => Some(Value::Text(Arc::clone(text))),
                PropertyValue::Computed(expression) => exchange.text(expression).await?.map(Value::text),
            };
            if let Some(value) = value {
                set(exchange, property.scope, &property.name, value)?;
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn change_headers(&self) -> bool {
        let headers = |property: &Property| {
            property.scope == Scope::Transport
                || property.scope == Scope::Axis2 && property.name == "messageType"
        };
        self.0.iter().any(headers)
    }

    /// The value of a property that is known at load.
    pub fn constant(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|property| property.name == name)
            .and_then(|property| match &property.value {
                PropertyValue::Text(text) => Some(&**text),
                PropertyValue::Computed(_) => None,
            })
    }
}

/// Holds `<endpoint>` against its table. `beside` are the elements that may stand beside its kind.
pub fn check(endpoint: &Element, kind: &Element, beside: &[&str], planner: &mut Planner<'_>) {
    table::check_attributes(endpoint, ENDPOINT, planner);
    for child in endpoint.elements() {
        if child.span == kind.span
            || child.is_synapse()
                && (matches!(child.name.as_str(), "property" | "description")
                    || beside.contains(&child.name.as_str()))
        {
            continue;
        }
        let names = [kind.name.as_str(), "property", "description"];
        let message = format!(
            "`<endpoint>` has no `<{}>` beside its `<{}>`",
            child.name, kind.name
        );
        let help = suggest::did_you_mean(&child.name, names)
            .or_else(|| Some(format!("it belongs inside `<{}>`, or nowhere", kind.name)));
        planner.tell(Diagnostic::error("E0204", child.span, message).maybe_help(help));
    }
}

fn plan_property(element: &Element, planner: &mut Planner<'_>) -> Option<Property> {
    if !table::check(element, PROPERTY, &Children::NONE, planner) {
        return None;
    }
    let name = planner.text(element, "name")?;
    let scope = planner
        .text(element, "scope")
        .and_then(|scope| Scope::named(&scope))
        .unwrap_or(Scope::Default);
    let value = match planner.text(element, "value") {
        Some(text) => PropertyValue::Text(Arc::from(text)),
        None if element.has("expression") => {
            PropertyValue::Computed(planner.expression_in(element, "expression")?)
        }
        None => {
            let message = "this property has neither `value` nor `expression`";
            planner.mistake("E0202", element.span, message);
            return None;
        }
    };
    Some(Property { name, scope, value })
}

fn set(exchange: &mut Exchange, scope: Scope, name: &str, value: Value) -> Result<(), Fault> {
    match scope {
        Scope::Axis2 if name == "messageType" => exchange.set_message_type(&value.to_text()),
        Scope::Axis2 => exchange.properties.set_axis2(name, value),
        Scope::Axis2Client => exchange.properties.axis2_client.set(name, value),
        Scope::Operation => exchange.properties.operation.set(name, value),
        Scope::Transport => {
            let text = value.to_text();
            let header = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(HeaderValue::from_str(&text).ok());
            let Some((header, value)) = header else {
                return Err(Fault::mediation(format!(
                    "`{name}: {}` cannot be sent as a header",
                    text.escape_debug()
                )));
            };
            exchange.message.headers.insert(header, value);
        }
        _ => exchange.properties.set(name, value),
    }
    Ok(())
}
