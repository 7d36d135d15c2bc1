//! `mc.soap`: what a mock of a SOAP service needs. The answer is of the version of SOAP that the request is of.

use super::engine::with_run;
use super::members::{argument, body, text, write_body, xml_text};
use super::protocol::{Change, Datum, Field, Form, Scope};
use crate::message::soap::{Envelope, FaultCode, SoapFault, SoapVersion};
use crate::message::xml::{XmlLimits, XmlTree};
use boa_engine::error::JsNativeError;
use boa_engine::{Context, JsResult, JsString, JsValue};

/// The name of the first element in the body, else the last part of the SOAPAction.
pub fn operation(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    if let Some(tree) = first_element()?
        && let Some(root) = tree.document_element()
    {
        return Ok(JsString::from(tree.local_name(root)).into());
    }
    let action = with_run(|run| match &mut run.given.addressing {
        Some(addressing) => addressing.field(Field::SoapAction).clone(),
        None => {
            run.needs_all = true;
            None
        }
    })?;
    let name = action.as_deref().and_then(last_part);
    Ok(name.map_or_else(JsValue::null, |name| JsString::from(name).into()))
}

/// `urn:quotes#getQuote`, `http://example.com/quotes/getQuote`, `urn:getQuote`
fn last_part(action: &str) -> Option<&str> {
    let action = action.trim().trim_matches('"').trim_end_matches('/');
    action
        .rsplit(['/', '#', ':'])
        .next()
        .filter(|name| !name.is_empty())
}

/// The text of the first element of that name in the body, whatever its namespace.
pub fn value(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    let found = first_element()?.and_then(|tree| {
        let root = tree.document_element()?;
        let element = std::iter::once(root)
            .chain(tree.descendants(root))
            .find(|node| tree.local_name(*node) == name)?;
        Some(tree.string_value(element).trim().to_owned())
    });
    Ok(found.map_or_else(JsValue::null, |text| JsString::from(text.as_str()).into()))
}

pub fn answer(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let xml = xml_text("mc.soap.answer", &argument(arguments, 0), context)?;
    let version = version()?;
    let namespace = version.namespace();
    let tree = parsed(&xml)?;
    let element = tree
        .document_element()
        .map_or_else(String::new, |root| tree.to_text(root));
    let envelope = format!(
        "<soapenv:Envelope xmlns:soapenv=\"{namespace}\"><soapenv:Body>{element}</soapenv:Body></soapenv:Envelope>"
    );
    say("CONTENT_TYPE", media_type(version))?;
    write_body(Form::Envelope, envelope, Change::Envelope)
}

pub fn fault(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (code, reason) = (text(arguments, 0, context)?, text(arguments, 1, context)?);
    let (version, code) = (version()?, code_named(&code)?);
    let fault = SoapFault {
        code: Some(code),
        reason,
        ..SoapFault::default()
    };
    let mut envelope = Envelope::of_fault(version, &fault);
    let detail = argument(arguments, 2);
    if !detail.is_null_or_undefined()
        && let Some(place) = envelope.add_fault_detail()
    {
        let inside = match xml_text("mc.soap.fault", &detail, context) {
            Ok(xml) => Some(parsed(&xml)?),
            Err(_) => None,
        };
        match inside
            .as_ref()
            .and_then(|tree| Some((tree, tree.document_element()?)))
        {
            Some((tree, root)) => {
                let copy = envelope.tree.import(tree, root);
                envelope.tree.append(place, copy);
            }
            None => {
                let words = detail.to_string(context)?.to_std_string_lossy();
                envelope.tree.set_value(place, &words);
            }
        }
    }
    // As the HTTP bindings of both versions have it.
    let status = match (version, code) {
        (SoapVersion::Soap12, FaultCode::Sender) => "400",
        _ => "500",
    };
    say("CONTENT_TYPE", media_type(version))?;
    say("HTTP_SC", status)?;
    let text = envelope.tree().to_text(envelope.root());
    write_body(Form::Envelope, text, Change::Envelope)
}

fn code_named(name: &str) -> JsResult<FaultCode> {
    match name.rsplit(':').next().unwrap_or("") {
        "Client" | "Sender" => Ok(FaultCode::Sender),
        "Server" | "Receiver" => Ok(FaultCode::Receiver),
        "VersionMismatch" => Ok(FaultCode::VersionMismatch),
        "MustUnderstand" => Ok(FaultCode::MustUnderstand),
        _ => {
            let message = format!("mc.soap.fault: `{name}` is no code: write Client or Server");
            Err(JsNativeError::range().with_message(message).into())
        }
    }
}

fn version() -> JsResult<SoapVersion> {
    with_run(|run| match run.given.flags.soap11 {
        true => SoapVersion::Soap11,
        false => SoapVersion::Soap12,
    })
}

fn media_type(version: SoapVersion) -> &'static str {
    match version {
        SoapVersion::Soap11 => "text/xml",
        SoapVersion::Soap12 => "application/soap+xml",
    }
}

fn first_element() -> JsResult<Option<XmlTree>> {
    body(Form::Xml)?.map(|text| parsed(&text)).transpose()
}

fn parsed(text: &str) -> JsResult<XmlTree> {
    XmlTree::parse_str(text, &XmlLimits::default())
        .map_err(|error| JsNativeError::syntax().with_message(error.message).into())
}

/// Sets a property that `<prototype>` and the steps of API Manager look at.
fn say(name: &str, value: &str) -> JsResult<()> {
    with_run(|run| {
        let value = Some(Datum::Text(value.to_owned()));
        run.given.bag(Scope::Default).set(name, value.clone());
        run.changes
            .push(Change::Set(Scope::Default, name.to_owned(), value));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_an_action_names_the_operation() {
        for (action, name) in [
            ("urn:getQuote", Some("getQuote")),
            ("\"http://example.com/quotes/getQuote\"", Some("getQuote")),
            ("urn:quotes#getQuote", Some("getQuote")),
            ("getQuote", Some("getQuote")),
            ("\"\"", None),
        ] {
            assert_eq!(last_part(action), name, "{action}");
        }
    }
}
