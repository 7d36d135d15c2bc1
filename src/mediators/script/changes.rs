//! What a script has done, done to the exchange. It comes from outside: each change is checked as if a client had sent it.

use super::super::{property, typed};
use crate::flow::{Exchange, Fault};
use crate::message::addressing;
use crate::message::json;
use crate::message::media_type::Form;
use crate::message::payload::{Payload, PayloadLimits};
use crate::message::properties::{self, Value};
use crate::message::soap::Envelope;
use crate::message::xml::XmlTree;
use crate::script::js::{Change, Datum, Field, Flag, Kept, Level, Program, Scope};
use std::sync::Arc;
use std::time::Duration;

/// No script makes its client wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub async fn apply(exchange: &mut Exchange, kept: &Kept, program: &Program) -> Result<(), Fault> {
    let mut wait = Duration::ZERO;
    let limits = exchange.catalog.limits.json;
    let is_checked = kept.checked.get() == Some(limits);
    for change in &kept.reply.changes {
        match change {
            Change::Set(scope, name, value) => set(exchange, *scope, name, value.as_ref())?,
            Change::Json(text) => {
                if !is_checked {
                    json::parse(text.as_bytes(), &limits).map_err(|error| wrong("JSON", &error))?;
                }
                put_body(exchange, Payload::bytes(Form::Json, text.clone()))?;
            }
            Change::Xml(text) => {
                let tree = parsed(exchange, text)?;
                let envelope = if Envelope::is_soap(&tree) {
                    Envelope::from_soap(tree).map_err(|error| exchange.not_parsed(error))?
                } else {
                    Envelope::around(tree)
                };
                put_body(exchange, Payload::xml(envelope))?;
            }
            Change::Envelope(text) => {
                let tree = parsed(exchange, text)?;
                let envelope = Envelope::from_soap(tree).map_err(|error| wrong("envelope", &error))?;
                exchange.message.payload = Payload::xml(envelope);
                exchange.properties.remove_axis2("NO_ENTITY_BODY");
            }
            Change::Text(text) if text.is_empty() => put_body(exchange, Payload::empty())?,
            Change::Text(text) => put_body(exchange, Payload::text(text.as_str()))?,
            Change::Header { must_understand, xml } => add_header(exchange, *must_understand, xml).await?,
            Change::Address(field, value) => address(exchange, *field, value.as_deref().map(Arc::from)),
            Change::Flag(flag, yes) => set_flag(exchange, *flag, *yes),
            Change::Wait(millis) => {
                wait = wait
                    .saturating_add(Duration::from_millis(*millis))
                    .min(LONGEST_WAIT)
            }
            Change::Log { level, text, line } => {
                log(
                    exchange,
                    *level,
                    text,
                    program.span_of(*line, 1).map(|span| exchange.place(span)),
                );
            }
        }
    }
    kept.checked.set(Some(limits));
    if wait > Duration::ZERO {
        // No worker is held meanwhile.
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

fn set(exchange: &mut Exchange, scope: Scope, name: &str, value: Option<&Datum>) -> Result<(), Fault> {
    let value = value
        .map(|datum| self::value(datum, &exchange.catalog.limits))
        .transpose()?;
    let scope = match scope {
        Scope::Default => properties::Scope::Default,
        Scope::Axis2 => properties::Scope::Axis2,
        Scope::Axis2Client => properties::Scope::Axis2Client,
        Scope::Transport => properties::Scope::Transport,
        Scope::Operation => properties::Scope::Operation,
        Scope::Variable => {
            match value {
                Some(value) => exchange.properties.variables.set(name, value),
                None => exchange.properties.variables.remove(name),
            }
            return Ok(());
        }
    };
    match value {
        Some(value) => property::put(exchange, scope, name, Some(value)),
        None => {
            property::remove(exchange, scope, name);
            Ok(())
        }
    }
}

pub fn value(datum: &Datum, limits: &PayloadLimits) -> Result<Value, Fault> {
    Ok(match datum {
        Datum::Text(text) => Value::text(text),
        Datum::Boolean(value) => Value::Boolean(*value),
        Datum::Integer(value) => i32::try_from(*value).map_or(Value::Long(*value), Value::Integer),
        Datum::Number(value) => Value::Double(*value),
        Datum::Json(text) => {
            let json = json::parse(text.as_bytes(), &limits.json).map_err(|error| wrong("JSON", &error))?;
            Value::Json(Arc::new(json))
        }
        Datum::Xml(text) => typed::read(text, typed::Type::Xml, typed::Origin::Constant, limits)
            .map_err(|reason| wrong("XML", &reason))?,
    })
}

/// A new body. The media type stays what it is: it decides how the body is written, as in Synapse.
pub fn put_body(exchange: &mut Exchange, body: Payload) -> Result<(), Fault> {
    let Exchange { message, catalog, .. } = &mut *exchange;
    let context = catalog.build_context();
    let replaced = message.payload.replace_body(body, &context);
    replaced.map_err(|error| exchange.not_parsed(error))?;
    exchange.properties.remove_axis2("NO_ENTITY_BODY");
    Ok(())
}

async fn add_header(exchange: &mut Exchange, must_understand: bool, xml: &str) -> Result<(), Fault> {
    let block = parsed(exchange, xml)?;
    let envelope = exchange.envelope_mut().await?;
    let header = envelope.ensure_header();
    let version = envelope.version();
    if let Some(root) = block.document_element() {
        let tree = &mut envelope.tree;
        let copy = tree.import(&block, root);
        tree.append(header, copy);
        if must_understand {
            let prefix = tree.prefix_for_namespace(header, version.namespace());
            let prefix = prefix.unwrap_or_else(|| "soapenv".to_owned());
            let yes = match version {
                crate::message::soap::SoapVersion::Soap11 => "1",
                crate::message::soap::SoapVersion::Soap12 => "true",
            };
            tree.set_attribute(copy, &prefix, version.namespace(), "mustUnderstand", yes);
        }
    }
    Ok(())
}

fn parsed(exchange: &Exchange, text: &str) -> Result<XmlTree, Fault> {
    XmlTree::parse_str(text, &exchange.catalog.limits.xml).map_err(|error| wrong("XML", &error.message))
}

fn wrong(what: &str, reason: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        crate::flow::fault::code::MEDIATION,
        crate::flow::Origin::Script,
        format!("The script gave {what} that cannot be taken: {reason}"),
    )
}

fn address(exchange: &mut Exchange, field: Field, value: Option<Arc<str>>) {
    let addressing = &mut exchange.message.addressing;
    let field = match field {
        Field::To => addressing::Field::To,
        Field::From => addressing::Field::From,
        Field::ReplyTo => addressing::Field::ReplyTo,
        Field::FaultTo => addressing::Field::FaultTo,
        Field::RelatesTo => addressing::Field::RelatesTo,
        Field::Action => addressing::Field::Action,
        Field::SoapAction => return addressing.soap_action = value,
        Field::MessageId => return addressing.message_id = value,
    };
    addressing.set(field, value);
}

fn set_flag(exchange: &mut Exchange, flag: Flag, yes: bool) {
    let properties = &mut exchange.properties;
    match flag {
        Flag::Response => exchange.message.response = yes,
        Flag::Fault => {
            properties.set("FAULT_RESPONSE", Value::Boolean(yes));
            if yes && properties.axis2("HTTP_SC").is_none() {
                properties.set_axis2("HTTP_SC", Value::Integer(500));
            }
        }
        Flag::Pox if yes => exchange.set_message_type("application/xml"),
        Flag::Get if yes => properties.set_axis2("HTTP_METHOD", Value::text("GET")),
        Flag::Pox | Flag::Get => {}
        Flag::Mtom => properties.set_axis2("enableMTOM", Value::text(yes.to_string())),
        Flag::Swa => properties.set_axis2("enableSwA", Value::text(yes.to_string())),
    }
}

/// Also of a script that failed: its lines lead to the reason.
pub fn log(exchange: &Exchange, level: Level, text: &str, place: Option<String>) {
    let served_by = &*exchange.served_by;
    let place = place.unwrap_or_default();
    match level {
        Level::Debug => tracing::debug!(served_by, place, "{text}"),
        Level::Info => tracing::info!(served_by, place, "{text}"),
        Level::Warn => tracing::warn!(served_by, place, "{text}"),
        Level::Error => tracing::error!(served_by, place, "{text}"),
    }
}
