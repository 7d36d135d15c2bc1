//! What a Synapse expression may ask of the message and the world.

use std::sync::Arc;

use super::super::functions::secret_variable;
use super::super::xpath::{XPath, XPathValue};
use super::super::{ExpressionError, Scope};
use crate::message::json::Json;
use crate::message::media_type::Form;
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
        let context = self.world.build_context();
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

#[cfg(test)]
mod tests {
    use super::super::Expression;
    use super::*;
    use crate::expression::World;
    use crate::message::Message;
    use crate::message::json::ConversionSettings;
    use crate::message::payload::{Payload, PayloadLimits};
    use crate::message::properties::Properties;
    use crate::message::xml::Namespaces;

    #[derive(Default)]
    struct Nowhere {
        limits: PayloadLimits,
        conversion: ConversionSettings,
    }

    impl World for Nowhere {
        fn entry(&self, key: &str) -> Option<Value> {
            (key == "gov:/limit.json").then(|| Value::text(r#"{"limit":7}"#))
        }
        fn config(&self, name: &str) -> Option<&str> {
            (name == "zone").then_some("eu")
        }
        fn environment(&self, name: &str) -> Option<&str> {
            (name == "MYELIN_SECRET_DB").then_some("secret")
        }
        fn file(&self, _: &str) -> Option<&str> {
            None
        }
        fn server_host(&self) -> &str {
            "localhost"
        }

        fn server_address(&self) -> std::net::IpAddr {
            std::net::Ipv4Addr::LOCALHOST.into()
        }
        fn now_millis(&self) -> i64 {
            1
        }
        fn new_message_id(&self) -> String {
            String::new()
        }
        fn limits(&self) -> &PayloadLimits {
            &self.limits
        }
        fn conversion(&self) -> &ConversionSettings {
            &self.conversion
        }
        fn query(&self) -> Option<&str> {
            None
        }
    }

    fn check(payload: Payload, text: &str, expected: &str) {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-count", http::HeaderValue::from_static("3"));
        let mut message = Message::new(headers, payload);
        let mut properties = Properties::default();
        properties.set("uri.var.id", Value::text("42"));
        properties.set("query.param.q", Value::text("word"));
        properties.variables.set("total", Value::Integer(5));
        let world = Nowhere::default();
        let mut scope = Scope {
            message: &mut message,
            properties: &properties,
            world: &world,
        };
        let expression = Expression::compile(text, &Namespaces::new()).unwrap();
        assert_eq!(expression.evaluate(&mut scope).text(), expected, "{text}");
    }

    fn json() -> Payload {
        Payload::bytes(Form::Json, r#"{"order":{"id":7,"lines":[{"n":1},{"n":2}]}}"#)
    }

    fn xml() -> Payload {
        Payload::bytes(
            Form::Xml,
            "<order><id>7</id><line><n>1</n></line><line><n>2</n></line></order>",
        )
    }

    #[test]
    fn a_message_is_asked_for_what_it_has() {
        check(json(), "payload.order.id + vars.total", "12");
        check(json(), "payload.order.lines[?(@.n > 1)].n", "[2]");
        check(json(), "headers.X-Count + 1", "4");
        check(json(), "params.pathParams.id", "42");
        check(json(), "params.queryParams.q", "word");
        check(json(), "configs.zone", "eu");
        check(json(), "registry('gov:/limit.json').limit", "7");
        check(json(), "wso2-vault('db')", "secret");
        check(json(), "xpath('//id')", "7");
        check(json(), "xpath('$var:total')", "5");
        check(Payload::empty(), "payload.order.id", "");
    }

    #[test]
    fn a_json_path_is_built_of_what_its_braces_say() {
        use crate::text::{FileId, Placed, Span};
        let mut message = Message::new(http::HeaderMap::new(), json());
        let mut properties = Properties::default();
        properties.set("part", Value::text("lines[1]"));
        properties.set("n", Value::Integer(2));
        let world = Nowhere::default();
        let mut scope = Scope {
            message: &mut message,
            properties: &properties,
            world: &world,
        };
        for (text, expected) in [
            ("json-eval($.order.{$ctx:part}.n)", "2"),
            (
                "json-eval($.order.lines[?(@.n == {get-property('n')})])",
                r#"[{"n":2}]"#,
            ),
            ("json-eval($.order.{$ctx:none})", ""),
        ] {
            let placed = Placed::verbatim(text, Span::new(FileId(0), 0..text.len()));
            let (expression, _) =
                crate::expression::Expression::compile(&placed, &Namespaces::new()).unwrap();
            let found = expression.text(&mut scope);
            assert_eq!(found.ok().flatten().unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn xml_is_seen_as_json_and_by_xpath() {
        check(xml(), "payload.order.id", "7");
        check(xml(), "payload.order.line[1].n", "2");
        check(xml(), "xpath('//line[2]/n')", "2");
        check(xml(), "length(payload.order.line)", "2");
    }
}
