//! What a script is sent of an exchange: nothing that its text cannot ask for.

use crate::flow::runtime::Clock;
use crate::flow::{Exchange, Fault};
use crate::message::json;
use crate::message::media_type;
use crate::message::properties::{Value, Values};
use crate::message::soap::SoapVersion;
use crate::script::js::{Addressing, Asked, Bag, Datum, Flags, Form, Given, Request, Which};

pub async fn take(exchange: &mut Exchange, asks: &Asked, arguments: Vec<Datum>) -> Result<Given, Fault> {
    let mut bodies = Vec::new();
    for form in &asks.bodies {
        bodies.push((*form, body(exchange, *form).await?));
    }
    let addressing = match asks.addressing {
        true => {
            exchange.read_addressing().await?;
            Some(addressing(exchange))
        }
        false => None,
    };
    let properties = &exchange.properties;
    let runtime = &exchange.worker.runtime;
    let now = match runtime.clock {
        Clock::System => None,
        Clock::Fixed(_) => Some(runtime.clock.millis()),
    };
    Ok(Given {
        default: bag(
            &asks.default,
            || properties.default_names(),
            |name| properties.get(name).map(|value| datum(&value)),
        ),
        axis2: bag(
            &asks.axis2,
            || names(properties.axis2_values()),
            |name| properties.axis2(name).map(|value| datum(&value)),
        ),
        axis2_client: values(&asks.axis2_client, &properties.axis2_client),
        operation: values(&asks.operation, &properties.operation),
        variables: values(&asks.variables, &properties.variables),
        transport: headers(exchange, &asks.transport),
        entries: bag(
            &asks.entries,
            || exchange.catalog.entries.keys().cloned().collect(),
            |name| exchange.catalog.entries.get(name).map(datum),
        ),
        bodies,
        request: asks.request.then(|| Request {
            method: exchange.request.method.to_string(),
            path: exchange.request.path().to_owned(),
            query: exchange.request.query().map(str::to_owned),
        }),
        addressing,
        flags: flags(exchange),
        arguments,
        now,
        seed: runtime.random_seed(),
    })
}

fn bag(which: &Which, all: impl FnOnce() -> Vec<String>, look: impl Fn(&str) -> Option<Datum>) -> Bag {
    let with_value = |name: String| {
        let value = look(&name);
        (name, value)
    };
    if which.all {
        Bag::everything(all().into_iter().map(with_value).collect())
    } else {
        Bag {
            all: false,
            list: which.names.iter().cloned().map(with_value).collect(),
        }
    }
}

fn values(which: &Which, values: &Values) -> Bag {
    bag(which, || names(values), |name| values.get(name).map(datum))
}

fn names(values: &Values) -> Vec<String> {
    values.iter().map(|(name, _)| name.to_owned()).collect()
}

fn headers(exchange: &Exchange, which: &Which) -> Bag {
    let headers = &exchange.message.headers;
    bag(
        which,
        || headers.keys().map(|name| name.as_str().to_owned()).collect(),
        |name| {
            let value = headers.get(name)?;
            Some(Datum::Text(
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ))
        },
    )
}

async fn body(exchange: &mut Exchange, form: Form) -> Result<Option<String>, Fault> {
    exchange.load().await?;
    if exchange.message.payload.is_empty() {
        return Ok(None);
    }
    let is_json = exchange.message.payload.is_json();
    match form {
        Form::Json | Form::Text if is_json => {
            exchange.json().await?;
            let context = exchange.catalog.build_context();
            let text = exchange
                .message
                .payload
                .json_text(&context)
                .map(|text| text.into_owned());
            text.map(Some).map_err(|error| exchange.not_parsed(error))
        }
        Form::Json => Ok(None),
        Form::Text if exchange.message.payload.form() == media_type::Form::Text => {
            let text = exchange
                .message
                .payload
                .raw_text()
                .map(|text| text.map(|text| text.into_owned()));
            match text.map_err(|error| exchange.not_parsed(error))? {
                Some(text) => Ok(Some(text)),
                None => Ok(exchange.envelope().await?.text()),
            }
        }
        Form::Text | Form::Envelope => {
            let envelope = exchange.envelope().await?;
            Ok(Some(envelope.tree().to_text(envelope.root())))
        }
        Form::Xml => {
            let envelope = exchange.envelope().await?;
            Ok(envelope.first_child().map(|first| envelope.tree().to_text(first)))
        }
    }
}

fn addressing(exchange: &Exchange) -> Addressing {
    let known = &exchange.message.addressing;
    let text = |value: &Option<std::sync::Arc<str>>| value.as_deref().map(str::to_owned);
    Addressing {
        to: text(&known.to),
        from: text(&known.from),
        reply_to: text(&known.reply_to),
        fault_to: text(&known.fault_to),
        relates_to: text(&known.relates_to),
        action: text(&known.action),
        soap_action: text(&known.soap_action),
        message_id: text(&known.message_id),
    }
}

fn flags(exchange: &Exchange) -> Flags {
    let properties = &exchange.properties;
    let soap = exchange
        .message
        .payload
        .built_envelope()
        .map(|envelope| envelope.version());
    let message_type = exchange.message_type();
    let essence = message_type
        .as_deref()
        .map(|text| text.split(';').next().unwrap_or("").trim());
    Flags {
        response: exchange.message.response,
        fault: properties.is_true("FAULT_RESPONSE"),
        pox: essence == Some("application/xml"),
        get: exchange.request.method == http::Method::GET,
        mtom: properties.axis2_is_true("enableMTOM"),
        swa: properties.axis2_is_true("enableSwA"),
        soap11: soap.map_or(essence != Some("application/soap+xml"), |version| {
            version == SoapVersion::Soap11
        }),
    }
}

pub fn datum(value: &Value) -> Datum {
    match value {
        Value::Text(text) => Datum::Text(text.to_string()),
        Value::Boolean(value) => Datum::Boolean(*value),
        Value::Short(value) => Datum::Integer(i64::from(*value)),
        Value::Integer(value) => Datum::Integer(i64::from(*value)),
        Value::Long(value) => Datum::Integer(*value),
        Value::Float(value) if value.is_finite() => Datum::Number(f64::from(*value)),
        Value::Double(value) if value.is_finite() => Datum::Number(*value),
        Value::Float(_) | Value::Double(_) => Datum::Text(value.to_text().into_owned()),
        Value::Json(json) => Datum::Json(json::text(json)),
        Value::Xml(fragment) => match fragment.element() {
            Some(_) => Datum::Xml(fragment.text()),
            None => Datum::Text(fragment.text()),
        },
    }
}
