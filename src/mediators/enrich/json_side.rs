//! Enriching a message that is JSON and stays JSON.

use super::inline::Filled;
use super::{Action, Node, Source, Target, nodes_of};
use crate::expression::Expression;
use crate::expression::json_path::JsonPath;
use crate::flow::{Exchange, Fault};
use crate::message::json::convert::xml_to_json;
use crate::message::json::{self, Json};
use crate::message::payload::Payload;
use crate::message::properties::Value;
use std::borrow::Cow;

/// Whether a property makes the message XML (`EnrichMediator.mediate`): an element does, and so does a text node that is no
/// object or list.
pub(super) fn is_xml(value: &Value) -> bool {
    let limits = json::JsonLimits::default();
    matches!(value, Value::Xml(_))
        && nodes_of(value.clone()).iter().any(|node| match node {
            Node::Element(..) => true,
            Node::Text(text) => !matches!(
                json::parse(text.as_bytes(), &limits),
                Ok(Json::Object(_) | Json::Array(_))
            ),
        })
}

pub(super) async fn put(
    source: &Source,
    filled: Option<Filled>,
    keep: bool,
    target: &Target,
    action: Action,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let value = value(source, filled, keep, exchange).await?;
    match target {
        Target::Custom(expression) => {
            let Some(path) = exchange.json_path(expression).await? else {
                return Err(Fault::mediation("Invalid Target object to be enrich."));
            };
            put_at(&path, action, value, exchange).await
        }
        Target::Body => put_in_body(action, value, exchange),
        Target::Property(name) => put_in_property(name, action, value, exchange),
        Target::Key { object, name } => {
            let name = exchange.dynamic(name).await?;
            match exchange.json_path(object).await? {
                Some(object) => rename(&object, &name, &value, exchange).await,
                None => Err(Fault::mediation("Invalid Target object to be enrich.")),
            }
        }
        // An envelope as target is never native.
        Target::Envelope => Err(Fault::mediation("A SOAPEnvelope is expected")),
    }
}

async fn value(
    source: &Source,
    filled: Option<Filled>,
    keep: bool,
    exchange: &mut Exchange,
) -> Result<Json, Fault> {
    let missing = || Fault::mediation("Failed to get the source for Enriching : ");
    match source {
        Source::Custom(expression) => {
            let Some(path) = exchange.json_path(expression).await? else {
                let found = exchange.value(expression).await?.ok_or_else(missing)?;
                return from_value(&found, exchange).ok_or_else(missing);
            };
            let found = find(&path, exchange.json().await?)?;
            if !keep {
                change(exchange, |json| {
                    path.remove(json).map_err(|error| Fault::mediation(error.message))
                })
                .await?;
            }
            Ok(found)
        }
        Source::Body => exchange.json().await.cloned(),
        Source::Property(name) => {
            let value = exchange
                .properties
                .get(name)
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(missing)?;
            from_value(&value, exchange).ok_or_else(missing)
        }
        Source::Inline(_) => {
            let limits = &exchange.catalog.limits.json;
            let json = filled.as_ref().and_then(|filled| filled.json(limits));
            json.ok_or_else(|| Fault::mediation("the inline source is not JSON"))
        }
        Source::Envelope => Err(missing()),
    }
}

fn find(path: &JsonPath, json: &Json) -> Result<Json, Fault> {
    let found = path.find(json).map_err(|error| Fault::mediation(error.message))?;
    found
        .into_json()
        .ok_or_else(|| Fault::mediation(format!("No results for path: {path}")))
}

/// A property as JSON: text that is no JSON is a JSON string.
fn from_value(value: &Value, exchange: &Exchange) -> Option<Json> {
    match value {
        Value::Json(json) => Some(Json::clone(json)),
        Value::Boolean(value) => Some(Json::Bool(*value)),
        Value::Xml(_) => match nodes_of(value.clone()).into_iter().next()? {
            Node::Element(tree, node) => xml_to_json(&tree, node, &exchange.catalog.conversion).ok(),
            Node::Text(text) => Some(from_text(&text, exchange)),
        },
        other => Some(from_text(&other.to_text(), exchange)),
    }
}

fn from_text(text: &str, exchange: &Exchange) -> Json {
    json::parse(text.as_bytes(), &exchange.catalog.limits.json)
        .unwrap_or_else(|_| Json::String(text.to_owned()))
}

/// Changes the JSON of the message.
async fn change<T>(
    exchange: &mut Exchange,
    change: impl FnOnce(&mut Json) -> Result<T, Fault>,
) -> Result<T, Fault> {
    exchange.json().await?;
    let Exchange { message, catalog, .. } = &mut *exchange;
    let context = catalog.build_context();
    match message.payload.json_mut(&context) {
        Ok(json) => change(json),
        Err(error) => Err(exchange.not_parsed(error)),
    }
}

async fn put_at(path: &JsonPath, action: Action, value: Json, exchange: &mut Exchange) -> Result<(), Fault> {
    let served_by = std::sync::Arc::clone(&exchange.served_by);
    change(exchange, |json| {
        let places = path.locations(json).map_err(|error| Fault::mediation(error.message))?;
        if places.is_empty() {
            return Err(Fault::mediation(format!("No results for path: {path}")));
        }
        let done = match action {
            Action::Replace => path.set(json, &value),
            Action::Child => path.insert_child(json, &value),
            Action::Sibling => Ok(0),
        };
        if done.map_err(|error| Fault::mediation(error.message))? == 0 {
            // Target.setEnrichResultToBody logs and goes on.
            tracing::warn!(%served_by, %path, ?action, "Nothing could be put there: JSON knows no siblings, and children only of lists and objects.");
        }
        Ok(())
    })
    .await
}

fn put_in_body(action: Action, value: Json, exchange: &mut Exchange) -> Result<(), Fault> {
    if action != Action::Replace || !(value.is_object() || value.is_array()) {
        tracing::warn!(served_by = %exchange.served_by, ?action, "Only an object or a list can replace a JSON body.");
        return Ok(());
    }
    replace_body(Payload::of_json(value), exchange)
}

pub(super) fn replace_body(body: Payload, exchange: &mut Exchange) -> Result<(), Fault> {
    let Exchange { message, catalog, .. } = &mut *exchange;
    let context = catalog.build_context();
    let replaced = message.payload.replace_body(body, &context);
    replaced.map_err(|error| exchange.not_parsed(error))
}

fn put_in_property(name: &str, action: Action, value: Json, exchange: &mut Exchange) -> Result<(), Fault> {
    match action {
        Action::Replace => exchange.properties.set(name, Value::text(json::text(&value))),
        Action::Child => {
            let held = exchange
                .properties
                .get(name)
                .map(|held| from_text(&held.to_text(), exchange));
            match held {
                Some(Json::Array(mut items)) => {
                    items.push(value);
                    exchange
                        .properties
                        .set(name, Value::text(json::text(&Json::Array(items))));
                }
                _ => {
                    tracing::warn!(served_by = %exchange.served_by, property = name, "A child can only be added to a list.")
                }
            }
        }
        Action::Sibling => {
            tracing::warn!(served_by = %exchange.served_by, property = name, "JSON in a property has no siblings.");
        }
    }
    Ok(())
}

/// Gives the member `name` of every object at the path another name; as in Gson it becomes the last one.
async fn rename(object: &JsonPath, name: &str, new: &Json, exchange: &mut Exchange) -> Result<(), Fault> {
    let new = match new {
        Json::Object(_) | Json::Array(_) | Json::Null => {
            return Err(Fault::mediation(
                "Failed to get the new key name from source for Enriching. Key name must be a string.",
            ));
        }
        Json::String(text) => text.clone(),
        other => json::text(other),
    };
    change(exchange, |json| {
        let places = object
            .locations(json)
            .map_err(|error| Fault::mediation(error.message))?;
        let mut renamed = false;
        let mut rename = |target: &mut Json| {
            if let Json::Object(members) = target
                && let Some(value) = members.shift_remove(name)
            {
                members.insert(new.clone(), value);
                renamed = true;
            }
        };
        for place in places {
            match place.target(json) {
                // A path to a list of objects means each of them.
                Some(Json::Array(items)) => items.iter_mut().for_each(&mut rename),
                Some(target) => rename(target),
                None => {}
            }
        }
        if renamed {
            Ok(())
        } else {
            Err(Fault::mediation(format!("No results for path: {object}.{name}")))
        }
    })
    .await
}

/// The paths for one message.
pub(super) async fn built<'a>(
    paths: &'a [Expression],
    exchange: &mut Exchange,
) -> Result<Vec<Cow<'a, JsonPath>>, Fault> {
    let mut built = Vec::with_capacity(paths.len());
    for path in paths {
        built.extend(exchange.json_path(path).await?);
    }
    Ok(built)
}

pub(super) async fn remove_from_body(
    paths: &[Cow<'_, JsonPath>],
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    if !exchange.message.payload.is_json() {
        tracing::warn!(served_by = %exchange.served_by, "JSONPaths remove nothing from a message that is no JSON.");
        return Ok(());
    }
    if paths.iter().any(|path| path.is_whole()) {
        exchange.load().await?;
        return replace_body(Payload::empty(), exchange);
    }
    change(exchange, |json| remove(paths, json)).await
}

pub(super) fn remove_from_property(
    paths: &[Cow<'_, JsonPath>],
    name: &str,
    exchange: &mut Exchange,
) -> Result<(), Fault> {
    let text = match exchange.properties.get(name).as_deref() {
        Some(value @ (Value::Text(_) | Value::Json(_))) => value.to_text().into_owned(),
        _ => {
            return Err(Fault::mediation(format!(
                "Cannot perform the remove operation. Data type of the property {name} is not string | JSON"
            )));
        }
    };
    let left = if paths.iter().any(|path| path.is_whole()) {
        String::new()
    } else {
        let mut json = json::parse(text.as_bytes(), &exchange.catalog.limits.json)
            .map_err(|error| Fault::mediation(format!("the property `{name}` is not JSON: {error}")))?;
        remove(paths, &mut json)?;
        json::text(&json)
    };
    exchange.properties.set(name, Value::text(left));
    Ok(())
}

/// A path to one place that is not there is a fault; one to many may find none.
fn remove(paths: &[Cow<'_, JsonPath>], json: &mut Json) -> Result<(), Fault> {
    for path in paths {
        let removed = path
            .remove(json)
            .map_err(|error| Fault::mediation(error.message))?;
        if removed == 0 && path.is_definite() {
            return Err(
                Fault::mediation("Error occurred while executing the action : remove")
                    .detail(format!("No results for path: {path}")),
            );
        }
    }
    Ok(())
}
