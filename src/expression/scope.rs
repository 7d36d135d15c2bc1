//! What an expression may ask: the message, its properties, and the world around the gateway.

use super::json_path::JsonPath;
use super::xpath::{Focus, Host, HostValue, XPath, XPathError, XPathValue};
use super::{ExpressionError, PathOf, dates, functions};
use crate::message::Message;
use crate::message::addressing::Field;
use crate::message::json::convert::ConversionSettings;
use crate::message::json::{self, Json};
use crate::message::media_type::Form;
use crate::message::payload::{BuildContext, PayloadLimits};
use crate::message::properties::{Properties, Scope as Place, Value};
use crate::message::xml::{NodeId, XmlTree};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// The message and what goes along with it. The payload must have been loaded for expressions that need it.
pub struct Scope<'a> {
    pub message: &'a mut Message,
    pub properties: &'a Properties,
    pub world: &'a dyn World,
}

/// What expressions read of the world beside the message.
pub trait World {
    /// A local entry or registry resource.
    fn entry(&self, key: &str) -> Option<Value>;
    fn config(&self, name: &str) -> Option<&str>;
    fn environment(&self, name: &str) -> Option<&str>;
    fn file(&self, name: &str) -> Option<&str>;
    /// This machine's name.
    fn server_host(&self) -> &str;
    /// The address that the client called.
    fn server_address(&self) -> IpAddr;
    /// Milliseconds since 1970.
    fn now_millis(&self) -> i64;
    fn new_message_id(&self) -> String;
    fn limits(&self) -> &PayloadLimits;
    fn conversion(&self) -> &ConversionSettings;
    /// What payloads are built and converted by.
    fn build_context(&self) -> BuildContext<'_> {
        BuildContext {
            limits: self.limits(),
            conversion: self.conversion(),
        }
    }
    /// The query of the client's request, undecoded.
    fn query(&self) -> Option<&str>;
}

impl Scope<'_> {
    /// Evaluates an XPath with the envelope as its document; the value may borrow from the envelope.
    pub(super) fn xpath<T>(
        &mut self,
        xpath: &XPath,
        then: impl FnOnce(XPathValue<'_>) -> T,
    ) -> Result<T, ExpressionError> {
        self.ask(xpath, |focus, host| xpath.evaluate(focus, host).map(then))
    }

    /// The string value of an XPath. Many are nothing but `$ctx:name`, and need no evaluation.
    pub(super) fn xpath_text(&mut self, xpath: &XPath) -> Result<Option<String>, ExpressionError> {
        if let Some((prefix, name)) = xpath.plain_variable() {
            match self.host().variable(prefix, name) {
                Ok(HostValue::Nothing) => return Ok(None),
                Ok(HostValue::Text(text)) => return Ok(Some(text)),
                _ => {}
            }
        }
        self.xpath(xpath, |value| value.synapse_text())
    }

    /// Whether an XPath holds, which may need fewer nodes than its value.
    pub(super) fn xpath_holds(&mut self, xpath: &XPath) -> Result<bool, ExpressionError> {
        self.ask(xpath, |focus, host| xpath.holds(focus, host))
    }

    /// Evaluates an XPath on XML that is not the payload.
    pub(super) fn xpath_elsewhere<T>(
        &mut self,
        xpath: &XPath,
        tree: &XmlTree,
        context: NodeId,
        then: impl FnOnce(XPathValue<'_>) -> T,
    ) -> Result<T, ExpressionError> {
        let mut host = self.host();
        xpath
            .evaluate(&Focus::on(tree, context), &mut host)
            .map(then)
            .map_err(|error| ExpressionError::Failed(error.message))
    }

    fn host(&mut self) -> MessageHost<'_> {
        MessageHost {
            message: self.message,
            properties: self.properties,
            world: self.world,
        }
    }

    fn ask<T>(
        &mut self,
        xpath: &XPath,
        question: impl FnOnce(&Focus<'_>, &mut dyn Host) -> Result<T, XPathError>,
    ) -> Result<T, ExpressionError> {
        let failed = |error: XPathError| ExpressionError::Failed(error.message);
        if !xpath.needs_tree() {
            let mut host = self.host();
            return question(&Focus::nowhere(), &mut host).map_err(failed);
        }
        let context = self.world.build_context();
        let envelope = self
            .message
            .payload
            .shared_envelope(&context)
            .map_err(ExpressionError::Payload)?;
        self.message.read_addressing();
        let focus = Focus {
            tree: Some(&envelope.tree),
            context: envelope.root(),
            body: Some(envelope.body()),
            header: envelope.header(),
        };
        let mut host = MessageHost {
            message: self.message,
            properties: self.properties,
            world: self.world,
        };
        question(&focus, &mut host).map_err(failed)
    }

    pub(super) fn json_text(
        &mut self,
        path: &JsonPath,
        of: &PathOf,
    ) -> Result<Option<String>, ExpressionError> {
        if let PathOf::Body { whole: true } = of {
            let context = self.world.build_context();
            let text = self
                .message
                .payload
                .json_text(&context)
                .map_err(ExpressionError::Payload)?;
            return Ok(Some(text.into_owned()));
        }
        self.with_json(of, |json| Ok(Some(path.synapse_text(json))))
            .map(|found| found.or_else(|| Some(String::new())))
    }

    pub(super) fn json_value(
        &mut self,
        path: &JsonPath,
        of: &PathOf,
    ) -> Result<Option<Value>, ExpressionError> {
        self.with_json(of, |json| path.find(json).map(|found| found.into_json()))
            .map(|found| found.map(|json| Value::Json(Arc::new(json))))
    }

    /// Asks a JSON document a question whose answer may be nothing.
    fn with_json<T>(
        &mut self,
        of: &PathOf,
        question: impl FnOnce(&Json) -> Result<Option<T>, super::json_path::FindError>,
    ) -> Result<Option<T>, ExpressionError> {
        let failed = |error: super::json_path::FindError| ExpressionError::Failed(error.message);
        let held = match of {
            PathOf::Body { .. } => {
                let context = self.world.build_context();
                let json = self
                    .message
                    .payload
                    .json(&context)
                    .map_err(ExpressionError::Payload)?;
                return question(json).map_err(failed);
            }
            PathOf::Property(name) => self.properties.get(name).map(Cow::into_owned),
            PathOf::Axis2(name) => self.properties.axis2(name).map(Cow::into_owned),
            PathOf::Variable(name) => self.properties.variables.get(name).cloned(),
            PathOf::Header(name) => self.message.header(name).map(Value::text),
        };
        match held {
            None => Ok(None),
            Some(Value::Json(json)) => question(&json).map_err(failed),
            Some(other) => {
                let text = other.to_text();
                match json::parse(text.as_bytes(), &self.world.limits().json) {
                    Ok(json) => question(&json).map_err(failed),
                    Err(_) => question(&Json::String(text.into_owned())).map_err(failed),
                }
            }
        }
    }
}

/// What XPath asks beside the tree.
struct MessageHost<'a> {
    message: &'a Message,
    properties: &'a Properties,
    world: &'a dyn World,
}

impl Host for MessageHost<'_> {
    fn variable(&mut self, prefix: &str, name: &str) -> Result<HostValue, String> {
        Ok(match prefix {
            "ctx" => given(self.properties.get(name).as_deref()),
            "axis2" => given(axis2(self.message, self.properties, name).as_ref()),
            "trp" => self
                .message
                .header(name)
                .map_or(HostValue::Nothing, |value| HostValue::Text(value.to_owned())),
            "func" => given(self.parameter(name)?),
            "var" => given(self.properties.variables.get(name)),
            "operation" => given(self.properties.operation.get(name)),
            "sys" => HostValue::Text(self.world.environment(name).unwrap_or("").to_owned()),
            "url" => HostValue::Text(self.url_parameter(name)),
            // `$p:k` reads the key of a map property; the maps of this gateway are JSON objects.
            other => match self.properties.get(other).as_deref() {
                Some(Value::Json(json)) => match json.get(name) {
                    Some(Json::String(text)) => HostValue::Text(text.clone()),
                    Some(other) => HostValue::Text(other.to_string()),
                    None => HostValue::Nothing,
                },
                _ => HostValue::Nothing,
            },
        })
    }

    fn call(&mut self, _prefix: &str, name: &str, arguments: &[XPathValue<'_>]) -> Result<HostValue, String> {
        let text = |at: usize| {
            arguments
                .get(at)
                .map_or(String::new(), |argument| argument.as_text().into_owned())
        };
        match name {
            "get-property" if arguments.len() == 1 => self.property(&text(0), None),
            "get-property" => match Place::named(&text(0)) {
                // Axis2-client is not a scope of this function: Synapse takes the words for a name and a date pattern.
                Some(place) if place != Place::Axis2Client => self.scoped(place, &text(1)),
                _ => self.property(&text(0), Some(&text(1))),
            },
            "vault-lookup" => Ok(HostValue::Text(
                self.world
                    .environment(&functions::secret_variable(&text(0)))
                    .unwrap_or("")
                    .to_owned(),
            )),
            _ => functions::call(name, &(0..arguments.len()).map(text).collect::<Vec<_>>())
                .map(HostValue::Text),
        }
    }
}

impl MessageHost<'_> {
    /// `get-property('name')` (`SynapseXPathFunctionContext.GetPropertyFunction`): special names, then the default scope, then a local
    /// entry of that name.
    fn property(&self, name: &str, pattern: Option<&str>) -> Result<HostValue, String> {
        let addressing = &self.message.addressing;
        if let Some(field) = Field::named(name) {
            return Ok(HostValue::Text(addressing.get(field).unwrap_or("").to_owned()));
        }
        let special = match name {
            "MessageID" => Some(match &addressing.message_id {
                Some(id) => id.to_string(),
                None => self.world.new_message_id(),
            }),
            "FAULT" => Some(
                if self
                    .message
                    .payload
                    .built_envelope()
                    .is_some_and(|envelope| envelope.is_fault())
                {
                    "TRUE"
                } else {
                    "FALSE"
                }
                .to_owned(),
            ),
            "MESSAGE_FORMAT" => Some(
                match self.message.payload.form() {
                    Form::Soap11 => "soap11",
                    Form::Soap12 => "soap12",
                    _ => "pox",
                }
                .to_owned(),
            ),
            "SYSTEM_DATE" => {
                let pattern = pattern.unwrap_or("yyyy-MM-dd'T'HH:mm:ss.SSSXXX");
                Some(dates::format(self.world.now_millis(), pattern)?)
            }
            "SYSTEM_TIME" => Some(self.world.now_millis().to_string()),
            "SERVER_HOST" => Some(self.world.server_host().to_owned()),
            "SERVER_IP" => Some(self.world.server_address().to_string()),
            // Synapse's only operation is `mediate`; those of a published WSDL are found by the SOAPAction.
            "OperationName" => Some(
                addressing
                    .soap_action
                    .as_deref()
                    .and_then(|action| action.rsplit([':', '/', '#']).next())
                    .filter(|name| !name.is_empty())
                    .unwrap_or("mediate")
                    .to_owned(),
            ),
            "OperationNamespace" => Some(String::new()),
            _ => None,
        };
        if let Some(text) = special {
            return Ok(HostValue::Text(text));
        }
        Ok(match self.properties.get(name) {
            Some(value) => given(Some(&value)),
            None => given(self.world.entry(name).as_ref()),
        })
    }

    fn scoped(&self, place: Place, name: &str) -> Result<HostValue, String> {
        Ok(match place {
            Place::Default => given(self.properties.get(name).as_deref()),
            Place::Axis2 => given(axis2(self.message, self.properties, name).as_ref()),
            Place::Transport => self
                .message
                .header(name)
                .map_or(HostValue::Nothing, |value| HostValue::Text(value.to_owned())),
            Place::Operation => given(self.properties.operation.get(name)),
            Place::Function => given(self.parameter(name)?),
            Place::System | Place::Environment => {
                HostValue::Text(self.world.environment(name).unwrap_or("").to_owned())
            }
            Place::File => HostValue::Text(self.world.file(name).unwrap_or("").to_owned()),
            Place::Registry => given(self.world.entry(name).as_ref()),
            Place::Axis2Client | Place::Trace | Place::Analytics => HostValue::Nothing,
        })
    }

    fn parameter(&self, name: &str) -> Result<Option<&Value>, String> {
        self.properties
            .parameter(name)
            .map_err(|_| format!("`$func:{name}` is read outside any template"))
    }

    /// A query parameter of `To` (its name in any case), "" when absent.
    fn url_parameter(&self, name: &str) -> String {
        let to = self
            .message
            .addressing
            .to
            .as_deref()
            .and_then(|to| to.split_once('?'))
            .map(|(_, query)| query);
        let query = to.or_else(|| self.world.query()).unwrap_or("");
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| functions::url_decode(value))
            .unwrap_or_default()
    }
}

/// An axis2 property. `messageType` and `ContentType` follow from what arrived until somebody sets them.
pub(super) fn axis2(message: &Message, properties: &Properties, name: &str) -> Option<Value> {
    if let Some(value) = properties.axis2(name) {
        return Some(value.into_owned());
    }
    match name {
        "messageType" => {
            let arrived = message.arrived_as.as_deref()?;
            Some(Value::text(arrived.split(';').next().unwrap_or("").trim()))
        }
        "ContentType" => message.arrived_as.as_deref().map(Value::text),
        _ => None,
    }
}

fn given(value: Option<&Value>) -> HostValue {
    match value {
        None => HostValue::Nothing,
        Some(Value::Boolean(value)) => HostValue::Boolean(*value),
        Some(Value::Xml(fragment)) => HostValue::Nodes(Arc::clone(&fragment.tree), fragment.nodes.clone()),
        Some(value @ (Value::Short(_) | Value::Integer(_) | Value::Long(_))) => {
            HostValue::Integer(value.as_integer().unwrap_or(0))
        }
        Some(Value::Float(value)) => HostValue::Number(f64::from(*value)),
        Some(Value::Double(value)) => HostValue::Number(*value),
        Some(other) => HostValue::Text(other.to_text().into_owned()),
    }
}
