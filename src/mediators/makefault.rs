//! `<makefault>`: makes the message a fault, SOAP or plain XML.

use crate::expression::Expression;
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::payload::Payload;
use crate::message::properties::{Fragment, Value};
use crate::message::soap::{Envelope, FaultCode, SoapFault, SoapVersion};
use crate::message::xml::{NodeId, XmlLimits, XmlTree};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "makefault",
    summary: "Makes the message a fault.",
    notes: "Without `version`, a code of SOAP 1.2 makes a fault of the kind that the message is: SOAP 1.1, SOAP 1.2 or, for a message that \
        came without SOAP, plain XML. The code is written as that version writes it.\n\n\
        It neither stops the flow nor sends anything: `respond` or `send` come after it.\n\n\
        SOAP headers of the message stay with the fault. The message's address becomes its FaultTo, else its ReplyTo. A fault in plain XML is \
        `<Exception>` with the detail, or else the reason, as its text.\n\n\
        Unless `HTTP_SC` says otherwise, a fault goes to the client with status 500.",
    differences: "In SOAP 1.2 a code that an expression gives and that SOAP does not know becomes the subcode of a Receiver.",
    attributes: &[
        Attr::optional(
            "version",
            Shape::Choice(&["soap11", "soap12", "pox"]),
            "What kind of fault.",
        )
        .default("soap11"),
        Attr::optional(
            "response",
            Shape::Boolean,
            "`true` makes the message a response that goes to its ReplyTo.",
        )
        .default("false"),
    ],
    children: Children::of(&[
        Child::optional(
            "code",
            VALUE,
            Children::NONE,
            "One of SOAP's own codes with a prefix, or an expression for its name.",
        ),
        Child::optional("reason", VALUE, Children::NONE, "Why."),
        Child::optional(
            "node",
            &[],
            Children::TEXT,
            "The URI of the node that failed. Not in SOAP 1.1.",
        ),
        Child::optional(
            "role",
            &[],
            Children::TEXT,
            "The URI of its role (`faultactor` in SOAP 1.1).",
        ),
        Child::optional(
            "detail",
            &[Attr::optional(
                "expression",
                Shape::Expression,
                "Gives the detail: nodes, or a text.",
            )],
            Children::ANY,
            "Text or XML with more about it.",
        ),
    ]),
    build,
    examples: &[
        Example::new(
            "Refuse in SOAP 1.1",
            r#"<makefault version="soap11">
  <code value="soapenv:Client"/>
  <reason expression="//reason"/>
  <role>urn:shop</role>
  <detail><hint xmlns="">try later</hint></detail>
</makefault>"#,
            "POST /orders\nContent-Type: text/xml\n\n<order><reason>sold out</reason></order>",
            "continues\nbody <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><soapenv:Fault>\
             <faultcode>soapenv:Client</faultcode><faultstring>sold out</faultstring><faultactor>urn:shop</faultactor>\
             <detail><hint>try later</hint></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>",
        ),
        Example::new(
            "Answer JSON with a SOAP 1.2 fault, as JSON",
            r#"<makefault version="soap12" response="true">
  <code expression="'Receiver'"/>
  <reason value="The warehouse does not answer"/>
  <node>urn:gateway</node>
  <detail expression="json-eval($.id)"/>
</makefault>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": \"o7\"}",
            "continues\nbody {\"Fault\":{\"Code\":{\"Value\":\"soapenv:Receiver\"},\"Reason\":{\"Text\":{\"@lang\":\"en\",\
             \"$\":\"The warehouse does not answer\"}},\"Node\":\"urn:gateway\",\"Detail\":\"o7\"}}",
        ),
        Example::new(
            "Say it in plain XML",
            r#"<makefault version="pox"><reason value="sold out"/></makefault>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order/>",
            "continues\naxis2 HTTP_SC = 500\nbody <Exception>sold out</Exception>",
        ),
    ],
};

const VALUE: &[Attr] = &[
    Attr::optional("value", Shape::Text, "A constant."),
    Attr::optional("expression", Shape::Expression, "Gives it."),
];

struct MakeFault {
    kind: Kind,
    response: bool,
    detail: Option<Detail>,
}

enum Kind {
    Soap(Box<Soap>),
    Plain { reason: Option<Said> },
}

struct Soap {
    /// None is that of the message.
    version: Option<SoapVersion>,
    code: Code,
    reason: Said,
    node: Option<String>,
    role: Option<String>,
}

enum Code {
    /// With the prefix that its author writes for SOAP, where the version is known.
    Own(FaultCode, Option<String>),
    Expression(Expression),
}

enum Said {
    Constant(String),
    Expression(Expression),
}

enum Detail {
    Text(String),
    Elements(Fragment),
    Expression(Expression),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let version = match element
        .get("version")
        .unwrap_or("soap11")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "soap11" => Some(SoapVersion::Soap11),
        "soap12" => Some(SoapVersion::Soap12),
        _ => None,
    };
    let detail = detail(element, planner);
    let kind = match version {
        Some(version) => soap(version, element, planner),
        None => plain(element, planner),
    };
    let (kind, detail) = (kind?, detail?);
    Some(Box::new(MakeFault {
        kind,
        response: element.is_true("response"),
        detail,
    }))
}

fn soap(mut version: SoapVersion, element: &Element, planner: &mut Planner<'_>) -> Option<Kind> {
    let (Some(code), Some(reason)) = (element.child("code"), element.child("reason")) else {
        planner.tell(
            Diagnostic::error(
                "E0208",
                element.span,
                "a SOAP fault needs a `<code>` and a `<reason>`",
            )
            .help("only <makefault version=\"pox\"> does without"),
        );
        return None;
    };
    // Apache's own examples; WSO2's Synapse refuses them.
    let as_the_message = !element.has("version")
        && code.attribute("value").is_some_and(|value| {
            let prefix = value.value.text.trim().split_once(':').map(|(prefix, _)| prefix);
            prefix.and_then(|prefix| code.namespaces.get(prefix)) == Some(SoapVersion::Soap12.namespace())
        });
    if as_the_message {
        version = SoapVersion::Soap12;
    }
    let code = match code.attribute("value") {
        Some(value) => {
            let written = value.value.text.trim().split_once(':');
            let prefix = written.map(|(prefix, _)| prefix.to_owned());
            let prefix = prefix.filter(|_| !as_the_message);
            own_code(version, code, planner).map(|code| Code::Own(code, prefix))
        }
        None => planner_value(code, planner).map(|said| match said {
            Said::Expression(expression) => Code::Expression(expression),
            Said::Constant(_) => Code::Own(FaultCode::Receiver, None),
        }),
    };
    let reason = planner_value(reason, planner);
    let text = |name: &str| {
        element
            .child(name)
            .and_then(Element::trimmed_text)
            .map(|text| text.text)
    };
    let node = text("node");
    if version == SoapVersion::Soap11
        && let Some(node) = element.child("node").filter(|_| node.is_some())
    {
        planner.tell(
            Diagnostic::warning("W0212", node.span, "a SOAP 1.1 fault has no node").label("without effect"),
        );
    }
    Some(Kind::Soap(Box::new(Soap {
        version: (!as_the_message).then_some(version),
        code: code?,
        reason: reason?,
        node,
        role: text("role"),
    })))
}

fn plain(element: &Element, planner: &mut Planner<'_>) -> Option<Kind> {
    match element.child("reason") {
        Some(reason) => planner_value(reason, planner).map(|reason| Kind::Plain { reason: Some(reason) }),
        None => Some(Kind::Plain { reason: None }),
    }
}

/// `value`, or else `expression`.
fn planner_value(element: &Element, planner: &mut Planner<'_>) -> Option<Said> {
    if element.has("value") {
        return planner.text(element, "value").map(Said::Constant);
    }
    if element.has("expression") {
        return planner.expression_in(element, "expression").map(Said::Expression);
    }
    planner.tell(
        Diagnostic::error(
            "E0210",
            element.span,
            format!("`<{}>` says nothing", element.name),
        )
        .help("give it a `value` or an `expression`"),
    );
    None
}

/// A qualified name that has to be one of the version's own codes.
fn own_code(version: SoapVersion, element: &Element, planner: &mut Planner<'_>) -> Option<FaultCode> {
    let value = element.attribute("value")?.value.clone();
    let (prefix, local) = value
        .text
        .trim()
        .split_once(':')
        .unwrap_or(("", value.text.trim()));
    let namespace = element.namespaces.get(prefix).filter(|_| !prefix.is_empty());
    let found = namespace
        .filter(|&namespace| namespace == version.namespace())
        .and_then(|_| FaultCode::named(version, local));
    if found.is_some() {
        return found;
    }
    let codes = match version {
        SoapVersion::Soap11 => "VersionMismatch, MustUnderstand, Client, Server",
        SoapVersion::Soap12 => "VersionMismatch, MustUnderstand, DataEncodingUnknown, Sender, Receiver",
    };
    let label = match namespace {
        None if prefix.is_empty() => "it needs a prefix".to_owned(),
        None => format!("the prefix `{prefix}` is not declared"),
        Some(namespace) if namespace != version.namespace() => format!("`{prefix}` stands for {namespace}"),
        Some(_) => "SOAP does not know it".to_owned(),
    };
    planner.tell(
        Diagnostic::error(
            "E0213",
            value.span,
            "this is no fault code of this version of SOAP",
        )
        .label(label)
        .help(format!(
            "it is one of {codes} in the namespace {}",
            version.namespace()
        )),
    );
    None
}

/// The outer None is a mistake.
#[expect(
    clippy::option_option,
    reason = "the outer one is a mistake, the inner one an absence"
)]
fn detail(element: &Element, planner: &mut Planner<'_>) -> Option<Option<Detail>> {
    let Some(detail) = element.child("detail") else {
        return Some(None);
    };
    if detail.has("expression") {
        return planner
            .expression_in(detail, "expression")
            .map(|expression| Some(Detail::Expression(expression)));
    }
    if detail.elements().next().is_none() {
        return Some(Some(Detail::Text(detail.text().text)));
    }
    let source = planner.sources.text(detail.inner);
    match XmlTree::parse_fragment(source, &detail.namespaces, &XmlLimits::default()) {
        Ok(tree) => {
            let nodes = tree.child_elements(tree.document()).collect();
            Some(Some(Detail::Elements(Fragment {
                tree: tree.into(),
                nodes,
            })))
        }
        Err(error) => {
            planner.mistake(
                "E0101",
                detail.span,
                format!("this cannot be kept as XML: {}", error.message),
            );
            None
        }
    }
}

#[async_trait(?Send)]
impl Mediator for MakeFault {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        match &self.kind {
            Kind::Soap(soap) => {
                let Soap {
                    version,
                    code,
                    reason,
                    node,
                    role,
                } = &**soap;
                let version = match version {
                    Some(version) => *version,
                    None if !exchange.message.payload.form().is_soap() => {
                        self.make_plain(Some(reason), exchange).await?;
                        return Ok(self.marked(exchange));
                    }
                    None => exchange.envelope().await?.version(),
                };
                let mut fault = SoapFault {
                    node: node.clone(),
                    role: role.clone(),
                    ..SoapFault::default()
                };
                match code {
                    Code::Own(code, prefix) => {
                        fault.code = Some(*code);
                        fault.prefix.clone_from(prefix);
                    }
                    Code::Expression(expression) => {
                        let text = exchange.text(expression).await?.unwrap_or_default();
                        let local = text.rsplit_once(':').map_or(text.as_str(), |(_, local)| local);
                        fault.code = FaultCode::named(version, local.trim());
                        fault.own_code = Some(text);
                    }
                }
                fault.reason = said(reason, exchange).await?;
                self.make(version, &fault, exchange).await?;
            }
            Kind::Plain { reason } => self.make_plain(reason.as_ref(), exchange).await?,
        }
        Ok(self.marked(exchange))
    }
}

async fn said(said: &Said, exchange: &mut Exchange) -> Result<String, Fault> {
    match said {
        Said::Constant(text) => Ok(text.clone()),
        Said::Expression(expression) => Ok(exchange.text(expression).await?.unwrap_or_default()),
    }
}

impl MakeFault {
    fn marked(&self, exchange: &mut Exchange) -> Flow {
        if self.response {
            exchange.message.response = true;
            exchange.message.addressing.turn_to_sender(false);
        }
        Flow::Continue
    }

    async fn make(
        &self,
        version: SoapVersion,
        fault: &SoapFault,
        exchange: &mut Exchange,
    ) -> Result<(), Fault> {
        let mut envelope = Envelope::of_fault(version, fault);
        if let Some(detail) = &self.detail {
            let value = match detail {
                Detail::Text(text) => Some(Value::text(text)),
                Detail::Elements(fragment) => Some(Value::Xml(fragment.clone())),
                Detail::Expression(expression) if expression.xpath().is_some() => {
                    exchange.value(expression).await?
                }
                Detail::Expression(expression) => exchange.text(expression).await?.map(Value::text),
            };
            if let Some(place) = envelope.add_fault_detail() {
                fill(&mut envelope.tree, place, value.as_ref());
            }
        }
        if exchange.message.payload.may_have_headers() {
            let old = exchange.envelope().await?;
            if let Some(header) = old.header() {
                let place = envelope.ensure_header();
                for block in old.tree.child_elements(header) {
                    let copy = envelope.tree.import(&old.tree, block);
                    envelope.tree.append(place, copy);
                }
            }
        }
        let rest = exchange.message.payload.is_rest();
        exchange.message.payload = Payload::xml(envelope);
        exchange.message.payload.set_rest(rest);
        let addressing = &mut exchange.message.addressing;
        addressing.turn_to_sender(true);
        if let Some(id) = &addressing.message_id {
            addressing.relates_to = Some(id.clone());
        }
        Ok(())
    }

    /// `<Exception>` in place of the body's first child.
    async fn make_plain(&self, reason: Option<&Said>, exchange: &mut Exchange) -> Result<(), Fault> {
        let text = match (&self.detail, reason) {
            (Some(Detail::Text(text)), _) => text.clone(),
            (Some(Detail::Expression(expression)), _) => exchange.text(expression).await?.unwrap_or_default(),
            (Some(Detail::Elements(_)) | None, Some(reason)) => said(reason, exchange).await?,
            (Some(Detail::Elements(_)) | None, None) => String::new(),
        };
        let envelope = exchange.envelope_mut().await?;
        if let Some(child) = envelope.first_child() {
            envelope.tree.detach(child);
        }
        let body = envelope.body();
        let exception = envelope.tree.create_element("", "", "Exception");
        envelope.tree.set_value(exception, &text);
        envelope.tree.append(body, exception);
        // Synapse flags the message as a fault, which the transport turns into this status where none is set.
        if exchange.properties.axis2("HTTP_SC").is_none() {
            exchange.properties.set_axis2("HTTP_SC", Value::Integer(500));
        }
        Ok(())
    }
}

/// Nodes as they are, anything else as text.
fn fill(tree: &mut XmlTree, place: NodeId, value: Option<&Value>) {
    match value {
        Some(Value::Xml(fragment)) => {
            for node in &fragment.nodes {
                let copy = tree.import(&fragment.tree, *node);
                tree.append(place, copy);
            }
        }
        Some(other) => tree.set_value(place, &other.to_text()),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, written};
    use super::*;

    const PLAIN: Trial<'_> = Trial {
        kinds: &[&KIND],
        entries: &[],
        properties: &[],
    };
    const SOAP11: &str = "xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'";
    const SOAP12: &str = "xmlns:s='http://www.w3.org/2003/05/soap-envelope'";

    fn check(config: &str, request: &str, part: &str) {
        let body = PLAIN.body(config, request);
        assert!(body.contains(part), "{body}");
    }

    #[test]
    fn codes_are_held_against_their_version() {
        for (attributes, code, right) in [
            (SOAP11, "s:Server", true),
            (SOAP11, "s:Client", true),
            (SOAP11, "s:Receiver", false),
            (SOAP11, "Server", false),
            (SOAP11, "t:Server", false),
            (SOAP12, "s:Server", false),
            (SOAP12, "s:Receiver", true),
            (&*format!("version='soap12' {SOAP12}"), "s:Receiver", true),
            (&*format!("version='soap12' {SOAP12}"), "s:Server", false),
            (&*format!("version='soap12' {SOAP11}"), "s:Receiver", false),
            ("version='pox'", "anything", true),
        ] {
            let config =
                format!("<makefault {attributes}><code value='{code}'/><reason value='r'/></makefault>");
            assert_eq!(PLAIN.plan(&config).is_ok(), right, "{config}");
        }
    }

    #[test]
    fn a_soap_fault_needs_a_code_and_a_reason() {
        for config in [
            "<makefault/>",
            "<makefault><reason value='r'/></makefault>",
            "<makefault><code expression='1'/></makefault>",
            "<makefault><code/><reason value='r'/></makefault>",
            "<makefault version='soap13'><code expression='1'/><reason value='r'/></makefault>",
        ] {
            assert!(PLAIN.plan(config).is_err(), "{config}");
        }
        assert!(PLAIN.plan("<makefault version='pox'/>").is_ok());
    }

    #[test]
    fn a_code_of_soap_12_without_a_version_makes_the_message_s_own_kind_of_fault() {
        let config = format!("<makefault {SOAP12}><code value='s:Sender'/><reason value='r'/></makefault>");
        let soap = |media: &str, namespace: &str| {
            format!(
                "POST /\nContent-Type: {media}\n\n<s:Envelope xmlns:s='{namespace}'><s:Body><a/></s:Body></s:Envelope>"
            )
        };
        check(
            &config,
            &soap("text/xml\nSOAPAction: urn:a", SoapVersion::Soap11.namespace()),
            "<faultcode>soapenv:Client</faultcode>",
        );
        check(
            &config,
            &soap("application/soap+xml", SoapVersion::Soap12.namespace()),
            "<soapenv:Value>soapenv:Sender</soapenv:Value>",
        );
        check(
            &config,
            "POST /\nContent-Type: application/xml\n\n<a/>",
            "<Exception>r</Exception>",
        );
    }

    #[test]
    fn the_code_has_the_prefix_that_its_author_wrote() {
        let fault = |version: &str, declared: &str, code: &str| {
            format!(
                "<makefault version='{version}' {declared}><code value='{code}'/><reason value='r'/></makefault>"
            )
        };
        let request = "POST /\nContent-Type: text/xml\n\n<a/>";
        check(
            &fault("soap11", SOAP11, "s:Server"),
            request,
            "<faultcode xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">s:Server</faultcode>",
        );
        check(
            &fault("soap12", SOAP12, "s:Sender"),
            "POST /\nContent-Type: application/soap+xml\n\n<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body/></e:Envelope>",
            "<soapenv:Value xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">s:Sender</soapenv:Value>",
        );
        check(
            &fault("soap11", &SOAP11.replace(":s=", ":soapenv="), "soapenv:Server"),
            request,
            "<faultcode>soapenv:Server</faultcode>",
        );
    }

    #[test]
    fn the_detail_is_text_or_nodes() {
        let soap = |detail: &str| {
            format!("<makefault {SOAP11}><code value='s:Server'/><reason value='r'/>{detail}</makefault>")
        };
        let request = "POST /\nContent-Type: text/xml\n\n<a><b>1</b><b>2</b></a>";
        check(
            &soap("<detail>a &lt; b</detail>"),
            request,
            "<detail>a &lt; b</detail>",
        );
        check(
            &soap("<detail expression='//b'/>"),
            request,
            "<detail><b>1</b><b>2</b></detail>",
        );
        check(
            &soap("<detail expression='string(//b)'/>"),
            request,
            "<detail>1</detail>",
        );
        check(
            &soap("<detail><x xmlns=''/><y xmlns=''/></detail>"),
            request,
            "<detail><x/><y/></detail>",
        );
        check(&soap(""), request, "</faultstring></soapenv:Fault>");
    }

    #[test]
    fn soap_headers_stay() {
        let config = format!(
            "<makefault version='soap12' {SOAP12}><code value='s:Sender'/><reason value='r'/></makefault>"
        );
        let request = format!(
            "POST /\nContent-Type: text/xml\n\n<s:Envelope {SOAP11}><s:Header><h/></s:Header><s:Body/></s:Envelope>"
        );
        check(
            &config,
            &request,
            "<h/></soapenv:Header><soapenv:Body><soapenv:Fault>",
        );
    }

    #[test]
    fn a_code_of_an_expression_is_one_of_soaps_or_ones_own() {
        let fault = |expression: &str| {
            format!("<makefault><code expression=\"{expression}\"/><reason value='r'/></makefault>")
        };
        let request = "POST /\nContent-Type: text/xml\n\n<a/>";
        check(
            &fault("'Client'"),
            request,
            "<faultcode>soapenv:Client</faultcode>",
        );
        check(
            &fault("'x:Server'"),
            request,
            "<faultcode>soapenv:Server</faultcode>",
        );
        check(&fault("'OUT'"), request, "<faultcode>OUT</faultcode>");
    }

    #[test]
    fn a_plain_fault_prefers_its_detail() {
        let request = "POST /\nContent-Type: application/json\n\n{\"a\":1}";
        let config = "<makefault version='pox'><reason value='r'/><detail>d</detail></makefault>";
        assert_eq!(PLAIN.body(config, request), r#"{"Exception":"d"}"#);
        assert_eq!(
            PLAIN.body("<makefault version='pox'/>", request),
            r#"{"Exception":null}"#
        );
    }

    #[test]
    fn a_response_goes_back() {
        let config = "<makefault response='true' version='pox'><reason value='r'/></makefault>";
        let (outcome, mut exchange) = PLAIN.run(config, "POST /\nContent-Type: application/xml\n\n<a/>");
        assert!(matches!(outcome, Ok(Flow::Continue)) && exchange.message.response);
        assert_eq!(exchange.message.addressing.to, None);
        assert_eq!(written(&mut exchange), "<Exception>r</Exception>");
    }
}
