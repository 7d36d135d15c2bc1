//! What a Synapse expression may ask of the message and the world.

use std::sync::Arc;

use super::super::functions::secret_variable;
use super::super::xpath::{XPath, XPathValue};
use super::super::{ExpressionError, Scope};
use crate::message::json::Json;
use crate::message::media_type::Form;
use crate::message::payload::BuildContext;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{NodeId, XmlTree};

/// Which properties `properties.…` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Synapse,
    Axis2,
}

/// What an XPath gave: its text, and its nodes where it selected some.
#[derive(Debug, Clone)]
pub struct XPathAnswer {
    pub text: String,
    pub nodes: Option<Fragment>,
}

pub trait Surroundings {
    /// The payload as JSON; other payloads are converted.
    fn payload_json(&mut self) -> Result<&Json, String>;
    /// Whether a bare `payload` is XML.
    fn payload_is_xml(&self) -> bool;
    fn variable(&mut self, name: &str) -> Option<Value>;
    fn header(&mut self, name: &str) -> Option<String>;
    fn query_parameter(&mut self, name: &str) -> Option<String>;
    fn path_parameter(&mut self, name: &str) -> Option<String>;
    fn function_parameter(&mut self, name: &str) -> Option<String>;
    fn property(&mut self, place: Place, name: &str) -> Option<String>;
    fn config(&mut self, name: &str) -> Option<String>;
    fn xpath(&mut self, xpath: &XPath) -> Result<XPathAnswer, String>;
    /// An XPath on XML that is not the payload.
    fn xpath_on(
        &mut self,
        xpath: &XPath,
        tree: &Arc<XmlTree>,
        element: NodeId,
    ) -> Result<XPathAnswer, String>;
    fn registry(&mut self, path: &str) -> Option<String>;
    fn registry_property(&mut self, path: &str, property: &str) -> Option<String>;
    fn secret(&mut self, alias: &str) -> Option<String>;
    /// Milliseconds since 1970.
    fn now(&self) -> i64;
}

impl Surroundings for Scope<'_> {
    fn payload_json(&mut self) -> Result<&Json, String> {
        if self.message.payload.is_empty() {
            return Err("the payload is empty".to_owned());
        }
        let context = BuildContext {
            limits: self.world.limits(),
            conversion: self.world.conversion(),
        };
        self.message
            .payload
            .json(&context)
            .map_err(|error| error.to_string())
    }

    fn payload_is_xml(&self) -> bool {
        matches!(
            self.message.payload.form(),
            Form::Xml | Form::Soap11 | Form::Soap12
        )
    }

    fn variable(&mut self, name: &str) -> Option<Value> {
        self.properties.variables.get(name).cloned()
    }

    fn header(&mut self, name: &str) -> Option<String> {
        self.message.header(name).map(str::to_owned)
    }

    fn query_parameter(&mut self, name: &str) -> Option<String> {
        self.properties.text(&format!("query.param.{name}"))
    }

    fn path_parameter(&mut self, name: &str) -> Option<String> {
        self.properties.text(&format!("uri.var.{name}"))
    }

    fn function_parameter(&mut self, name: &str) -> Option<String> {
        let parameter = self.properties.parameter(name).ok()?;
        parameter.map(|value| value.to_text().into_owned())
    }

    fn property(&mut self, place: Place, name: &str) -> Option<String> {
        match place {
            Place::Synapse => self.properties.text(name),
            Place::Axis2 => super::super::scope::axis2(self.message, self.properties, name)
                .map(|value| value.to_text().into_owned()),
        }
    }

    fn config(&mut self, name: &str) -> Option<String> {
        self.world.config(name).map(str::to_owned)
    }

    fn xpath(&mut self, xpath: &XPath) -> Result<XPathAnswer, String> {
        Scope::xpath(self, xpath, answer).map_err(reason)
    }

    fn xpath_on(
        &mut self,
        xpath: &XPath,
        tree: &Arc<XmlTree>,
        element: NodeId,
    ) -> Result<XPathAnswer, String> {
        self.xpath_elsewhere(xpath, tree, element, answer).map_err(reason)
    }

    fn registry(&mut self, path: &str) -> Option<String> {
        self.world.entry(path).map(|value| value.to_text().into_owned())
    }

    fn registry_property(&mut self, _path: &str, _property: &str) -> Option<String> {
        // Registry resources are files here, and files have no properties.
        None
    }

    fn secret(&mut self, alias: &str) -> Option<String> {
        self.world.environment(&secret_variable(alias)).map(str::to_owned)
    }

    fn now(&self) -> i64 {
        self.world.now_millis()
    }
}

fn reason(error: ExpressionError) -> String {
    match error {
        ExpressionError::Payload(error) => error.to_string(),
        ExpressionError::Failed(reason) => reason,
    }
}

fn answer(value: XPathValue<'_>) -> XPathAnswer {
    let text = value.synapse_text().unwrap_or_default();
    let nodes = match value {
        XPathValue::Nodes(nodes) if !nodes.is_empty() => {
            let (tree, nodes) = nodes.into_fragment();
            Some(Fragment { tree, nodes })
        }
        _ => None,
    };
    XPathAnswer { text, nodes }
}
