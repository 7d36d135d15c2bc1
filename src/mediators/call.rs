//! `<call>`: the message goes to an endpoint, and the flow goes on with the answer.

use super::enrich::{self, Action, Source, Target as Place};
use super::send::build_endpoint;
use crate::expression::Dynamic;
use crate::flow::{Answer, Code, Endpoint, Exchange, Fault, Flow, Mediator, Outcome, Plain, delivery, fault};
use crate::message::payload::Payload;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::XmlTree;
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "call",
    summary: "Sends the message to an endpoint and goes on with the answer.",
    notes: "The answer takes the place of the message: its body, headers and axis2 properties. Properties of the default scope and variables stay. \
        What is needed of the request's headers must be kept in properties first. Without an endpoint the message goes to its `To`. A status of \
        4xx or 5xx is an answer like any other; look at axis2 `HTTP_SC`.\n\n\
        With `blocking=\"true\"` two things differ, as in Synapse: the request's headers and axis2 properties stay (unless the property \
        `BLOCKING_SENDER_PRESERVE_REQ_HEADERS` is `false`; what describes the body is always the answer's), and a status other than 2xx is fault \
        401002, unless axis2 `NON_ERROR_HTTP_STATUS_CODES` lists it. Whatever fails is 401002, and `BASE_ERROR_CODE` says more.\n\n\
        `source` makes the body that is sent. `target` keeps the answer's body in a property or variable, and puts the original body, \
        its type and the headers back.\n\n\
        A sequence `pre-mediate` sees the answer before the flow goes on, unless the call is blocking; the message is still the request that \
        `<in>` is for.\n\n\
        With the property `OUT_ONLY` a copy is sent, nobody waits, and the flow goes on with the message as it is.",
    differences: "No thread waits in either form. The body that answers a blocking call is there though the request was a GET without one; in \
        Synapse `NO_ENTITY_BODY` has to be removed first. With `OUT_ONLY`, a blocking call does not wait for the status.",
    attributes: &[
        Attr::optional("blocking", Shape::Boolean, "Keeps the request's headers, and makes a fault of an error status.").default("false"),
        Attr::ignored("initAxis2ClientOptions", "there is no Axis2 client here"),
        Attr::ignored("axis2xml", "there is no Axis2 client here"),
        Attr::ignored("repository", "there is no Axis2 client here"),
    ],
    children: Children::of(&[
        Child::endpoint("Where to. A `key`, or the endpoint itself."),
        Child::optional(
            "source",
            &[
                Attr::optional(
                    "type",
                    Shape::Choice(&["custom", "body", "property", "inline"]),
                    "What becomes the body: an expression's result, the body as it is, a property, or what stands inside.",
                )
                .default("custom"),
                Attr::optional("contentType", Shape::Text, "The media type of that body, and so how it is written."),
            ],
            Children::ANY,
            "The body to send: an expression, the name of a property, or XML or JSON with `${…}` in it.",
        ),
        Child::optional(
            "target",
            &[Attr::optional(
                "type",
                Shape::Choice(&["body", "property", "variable"]),
                "Where the answer's body goes.",
            )
            .default("body")],
            Children::TEXT,
            "The name of the property or variable.",
        ),
    ]),
    build,
    examples: &[
        Example::new(
            "Ask a backend and go on with its answer",
            r#"<property name="kept" value="yes"/>
<call><endpoint><http method="GET" uri-template="http://backend/pets/{uri.var.id}"/><property name="uri.var.id" value="7"/></endpoint></call>"#,
            "POST /pets\nContent-Type: text/plain\nX-Mine: 1\n\nwhich?",
            "continues\nbackend GET http://backend/pets/7\naxis2 HTTP_SC = 404\nproperty kept = yes\nheader x-mine is not there\nbody {\"error\": \"none\"}",
        )
        .backend("404\ncontent-type: application/json\n\n{\"error\": \"none\"}"),
        Example::new(
            "Keep the headers, and fail when the backend does",
            r#"<call blocking="true"><endpoint><address uri="http://backend/orders"/></endpoint></call>"#,
            "POST /orders\nContent-Type: application/json\nX-Mine: 1\n\n{}",
            "fails 401002 Transport error: 503 Error: Service Unavailable\nbackend POST http://backend/orders\naxis2 HTTP_SC = 503\nheader x-mine = 1",
        )
        .backend("503\n\nlater"),
        Example::new(
            "Ask something else beside, and keep the message",
            r#"<call><endpoint><address uri="http://backend/rates"/></endpoint><source type="inline" contentType="application/json">{"currency": "${payload.currency}"}</source><target type="variable">rates</target></call>"#,
            "POST /orders\nContent-Type: application/json\nX-Mine: 1\n\n{\"currency\": \"EUR\"}",
            "continues\nbackend POST http://backend/rates\nbackend body {\"currency\":\"EUR\"}\nvariable rates = {\"USD\":1.1}\nheader x-mine = 1\nbody {\"currency\": \"EUR\"}",
        )
        .backend("200\ncontent-type: application/json\n\n{\"USD\":1.1}"),
    ],
};

struct Call {
    endpoint: Option<Arc<dyn Endpoint>>,
    blocking: bool,
    source: Option<Source>,
    content_type: Option<String>,
    target: Target,
}

enum Target {
    /// The answer is the message.
    Body,
    Property(String),
    Variable(Dynamic),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let endpoint = build_endpoint(element, planner);
    let source = match element.child("source") {
        Some(source) => plan_source(source, planner),
        None => Some(None),
    };
    let content_type = element
        .child("source")
        .and_then(|source| planner.text(source, "contentType"));
    let target = match element.child("target") {
        Some(target) => plan_target(target, planner),
        None => Some(Target::Body),
    };
    Some(Box::new(Call {
        endpoint: endpoint?,
        blocking: element.is_true("blocking"),
        source: source?,
        content_type,
        target: target?,
    }))
}

/// `Some(None)` is the body as it is.
fn plan_source(source: &Element, planner: &mut Planner<'_>) -> Option<Option<Source>> {
    let kind = source.get("type").unwrap_or("custom").trim().to_ascii_lowercase();
    if kind == "body" {
        return Some(None);
    }
    if kind == "inline" {
        return enrich::inline_source(source, planner).map(Some);
    }
    let Some(text) = source.trimmed_text() else {
        let what = if kind == "property" {
            "the name of a property"
        } else {
            "an expression"
        };
        let mistake = Diagnostic::error("E0210", source.span, format!("this source needs {what} inside"));
        planner.tell(mistake);
        return None;
    };
    if kind == "property" {
        return Some(Some(Source::Property(text.text)));
    }
    planner
        .expression(&text, source)
        .map(|expression| Some(Source::Custom(expression)))
}

fn plan_target(target: &Element, planner: &mut Planner<'_>) -> Option<Target> {
    let kind = target.get("type").unwrap_or("body").trim().to_ascii_lowercase();
    if kind == "body" {
        return Some(Target::Body);
    }
    let Some(text) = target.trimmed_text() else {
        planner.tell(Diagnostic::error(
            "E0210",
            target.span,
            format!("this target needs the name of a {kind} inside"),
        ));
        return None;
    };
    if kind == "property" {
        return Some(Target::Property(text.text));
    }
    planner.dynamic(&text, target).map(Target::Variable)
}

/// What comes back when the answer is kept elsewhere.
struct Original {
    payload: Payload,
    headers: HeaderMap,
    arrived_as: Option<Arc<str>>,
    message_type: Option<Value>,
    content_type: Option<Value>,
}

#[async_trait(?Send)]
impl Mediator for Call {
    fn plain(&self) -> Option<Plain<'_>> {
        let as_it_is = !self.blocking
            && self.source.is_none()
            && self.content_type.is_none()
            && matches!(self.target, Target::Body);
        let endpoint = self.endpoint.as_ref().filter(|_| as_it_is);
        endpoint.map(Plain::Calls)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let original = match self.target {
            Target::Body => None,
            // Boxed, as everything rare on this way: room for it would be made and moved for every message.
            _ => Some(Box::new(Box::pin(keep(exchange)).await?)),
        };
        if let Some(source) = &self.source {
            let native = !matches!(source, Source::Custom(path) if !path.is_json_path());
            let put = enrich::put_in(source, true, &Place::Body, Action::Replace, native, exchange);
            Box::pin(put).await?;
            exchange.properties.remove_axis2("NO_ENTITY_BODY");
        }
        if let Some(content_type) = &self.content_type
            && exchange.message_type().as_deref() != Some(content_type)
        {
            exchange.set_message_type(content_type);
        }
        let sent = delivery::through(exchange, self.endpoint.as_ref()).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(fault) if self.blocking => return Err(as_blocking(fault)),
            Err(fault) => return Err(fault),
        };
        if exchange.properties.is_true("OUT_ONLY") {
            if let Some(original) = original {
                original.put_back(exchange);
            }
            return Ok(Flow::Continue);
        }
        if self.blocking {
            take_blocking(exchange, answer)?;
        } else {
            exchange.take(answer);
            match exchange.pre_mediate().await? {
                Flow::Continue => {}
                flow => return Ok(flow),
            }
        }
        if let Some(original) = original {
            Box::pin(self.put_in_target(exchange)).await?;
            original.put_back(exchange);
        }
        Ok(Flow::Continue)
    }
}

impl Call {
    async fn put_in_target(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        match &self.target {
            Target::Body => Ok(()),
            Target::Property(name) => {
                let value = body(exchange).await?;
                exchange.properties.set(name.as_str(), value);
                Ok(())
            }
            Target::Variable(name) => {
                let value = body(exchange).await?;
                let name = exchange.dynamic(name).await?.into_owned();
                exchange.properties.variables.set(name, value);
                Ok(())
            }
        }
    }
}

async fn keep(exchange: &mut Exchange) -> Result<Original, Fault> {
    exchange.load().await?;
    let set = |name: &str, exchange: &Exchange| exchange.properties.axis2_values().get(name).cloned();
    Ok(Original {
        payload: exchange
            .message
            .payload
            .try_clone()
            .unwrap_or_else(Payload::empty),
        headers: exchange.message.headers.clone(),
        arrived_as: exchange.message.arrived_as.clone(),
        message_type: set("messageType", exchange),
        content_type: set("ContentType", exchange),
    })
}

impl Original {
    fn put_back(self, exchange: &mut Exchange) {
        exchange.message.payload = self.payload;
        exchange.message.headers = self.headers;
        exchange.message.arrived_as = self.arrived_as;
        for (name, value) in [
            ("messageType", self.message_type),
            ("ContentType", self.content_type),
        ] {
            match value {
                Some(value) => exchange.properties.set_axis2(name, value),
                None => exchange.properties.remove_axis2(name),
            }
        }
    }
}

/// The body as a value: JSON, the element in the body, or text.
async fn body(exchange: &mut Exchange) -> Result<Value, Fault> {
    exchange.load().await?;
    if exchange.message.payload.is_json() {
        return Ok(Value::Json(Arc::new(exchange.json().await?.clone())));
    }
    let envelope = exchange.envelope().await?;
    if let Some(text) = envelope.text() {
        return Ok(Value::text(text));
    }
    let Some(child) = envelope.first_child() else {
        return Ok(Value::text(""));
    };
    let mut tree = XmlTree::new();
    let copy = tree.import(&envelope.tree, child);
    let document = tree.document();
    tree.append(document, copy);
    Ok(Value::Xml(Fragment::of_element(tree)))
}

/// The answer of a blocking call: the body is the answer's, the headers and axis2 properties stay the request's (`BlockingMsgSender`).
fn take_blocking(exchange: &mut Exchange, answer: Answer) -> Result<(), Fault> {
    let status = answer.status;
    let accepted = status.is_success() || listed(exchange, status.as_u16());
    exchange
        .properties
        .set_axis2("HTTP_SC", Value::Integer(i32::from(status.as_u16())));
    let reason = match &answer.reason {
        Some(reason) => reason.clone(),
        None => status.canonical_reason().unwrap_or("").to_owned(),
    };
    exchange.reason = answer.reason.map(|reason| (status, reason));
    let replies = exchange
        .properties
        .text("BLOCKING_SENDER_PRESERVE_REQ_HEADERS")
        .as_deref()
        == Some("false");
    if replies {
        exchange.message.headers = answer.headers;
    } else {
        // What describes the body goes with the body.
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            match answer.headers.get(&name) {
                Some(value) => exchange.message.headers.insert(name, value.clone()),
                None => exchange.message.headers.remove(name),
            };
        }
    }
    let media_type = exchange
        .message
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if let Some(media_type) = media_type {
        exchange.message.arrived_as = Some(Arc::from(media_type));
    }
    if !answer.payload.is_empty() {
        // It is left from a GET, and the answer would not be passed on.
        exchange.properties.remove_axis2("NO_ENTITY_BODY");
        if exchange.properties.axis2_follows("messageType") {
            // What a request without a body is taken for says nothing of this one.
            exchange.properties.remove_axis2("messageType");
        }
    }
    exchange.message.payload = answer.payload;
    if accepted {
        return Ok(());
    }
    let reason = format!("Transport error: {} Error: {reason}", status.as_u16());
    Err(Fault::backend(fault::code::BLOCKING_SENDER, reason))
}

/// `NON_ERROR_HTTP_STATUS_CODES`: numbers between commas.
fn listed(exchange: &Exchange, status: u16) -> bool {
    let codes = exchange
        .properties
        .axis2_text("NON_ERROR_HTTP_STATUS_CODES")
        .unwrap_or_default();
    codes
        .split([',', ' '])
        .any(|code| code.trim().parse() == Ok(status))
}

/// Axis2's blocking client knows no numbers: whatever failed is the sender's failure.
fn as_blocking(fault: Fault) -> Fault {
    match fault.number() {
        Some(101_000..=101_999) if fault.origin == crate::flow::Origin::Backend => {
            fault.coded(Code::Number(fault::code::BLOCKING_SENDER))
        }
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::{Scripted, ScriptedBackend, Seen, body_text, exchange, wait};
    use crate::plan::{Kinds, testing};
    use crate::wire::client::{Reached, SendErrorKind};

    const KINDS: Kinds = Kinds {
        mediators: crate::mediators::ALL,
        endpoints: &[&testing::STAND_IN],
    };
    const ENDPOINT: &str = r#"<endpoint><address uri="http://backend/"/></endpoint>"#;

    fn run(steps: &str, request: &str, answer: Scripted) -> (Outcome, Exchange, Vec<Seen>) {
        let planned = testing::steps(KINDS, &steps.replace("ENDPOINT", ENDPOINT), "");
        assert_eq!(planned.told(), Vec::<String>::new());
        let backend = ScriptedBackend::new([answer]);
        let mut exchange = exchange(request, planned.catalog, backend.clone());
        let outcome = wait(planned.what.run(&mut exchange));
        (outcome, exchange, backend.seen())
    }

    fn told(steps: &str) -> Vec<String> {
        testing::steps(KINDS, &steps.replace("ENDPOINT", ENDPOINT), "").told()
    }

    const JSON: &str = "POST /\ncontent-type: application/json\nx-mine: 1\n\n{\"a\": 1}";

    #[test]
    fn after_a_call_the_next_one_is_a_post_of_the_answer() {
        let (outcome, _, seen) = run(
            "<call>ENDPOINT</call><call>ENDPOINT</call>",
            "GET /",
            Scripted::parse("200\ncontent-type: text/plain\n\nhi"),
        );
        assert_eq!(outcome.unwrap(), Flow::Continue);
        let requests: Vec<String> = seen
            .iter()
            .map(|seen| format!("{} {}", seen.method, String::from_utf8_lossy(&seen.body)))
            .collect();
        assert_eq!(requests, ["GET ", "POST hi"]);
    }

    #[test]
    fn the_message_stays_a_request() {
        let (_, exchange, _) = run("<call>ENDPOINT</call>", "GET /", Scripted::parse("200"));
        assert!(!exchange.message.response);
    }

    #[test]
    fn one_way_a_copy_is_sent_and_the_message_goes_on() {
        let steps = r#"<property name="OUT_ONLY" value="true"/><call>ENDPOINT</call>"#;
        let (outcome, mut exchange, _) = run(steps, JSON, Scripted::parse("500\n\nno"));
        assert_eq!(outcome.unwrap(), Flow::Continue);
        assert_eq!(exchange.properties.axis2_text("HTTP_SC"), None);
        assert_eq!(body_text(&mut exchange), "{\"a\": 1}");
        assert_eq!(exchange.message.header("x-mine"), Some("1"));
    }

    #[test]
    fn a_blocking_call_keeps_the_headers_and_takes_the_body() {
        let answer = Scripted::parse("200\ncontent-type: text/plain\nx-theirs: 2\n\nhi");
        let (outcome, mut exchange, _) =
            run(r#"<call blocking="true">ENDPOINT</call>"#, JSON, answer.clone());
        assert_eq!(outcome.unwrap(), Flow::Continue);
        assert_eq!(
            (
                exchange.message.header("x-mine"),
                exchange.message.header("x-theirs")
            ),
            (Some("1"), None)
        );
        assert_eq!(exchange.message.header("content-type"), Some("text/plain"));
        assert_eq!(
            exchange.properties.axis2_text("HTTP_METHOD").as_deref(),
            Some("POST")
        );
        assert_eq!(body_text(&mut exchange), "hi");
        let steps = r#"<property name="BLOCKING_SENDER_PRESERVE_REQ_HEADERS" value="false"/><call blocking="true">ENDPOINT</call>"#;
        let (_, exchange, _) = run(steps, JSON, answer);
        assert_eq!(
            (
                exchange.message.header("x-mine"),
                exchange.message.header("x-theirs")
            ),
            (None, Some("2"))
        );
    }

    #[test]
    fn a_blocking_call_fails_with_the_backend_unless_the_status_is_listed() {
        let answer = Scripted::parse("404\ncontent-type: text/plain\n\nnone");
        let (outcome, mut exchange, _) =
            run(r#"<call blocking="true">ENDPOINT</call>"#, JSON, answer.clone());
        let fault = outcome.unwrap_err();
        assert_eq!(
            (fault.number(), &*fault.reason),
            (Some(401_002), "Transport error: 404 Error: Not Found")
        );
        assert_eq!(body_text(&mut exchange), "none");
        let steps = r#"<property name="NON_ERROR_HTTP_STATUS_CODES" value="404,500" scope="axis2"/><call blocking="true">ENDPOINT</call>"#;
        assert_eq!(run(steps, JSON, answer).0.unwrap(), Flow::Continue);
        let refused = Scripted::fails(SendErrorKind::Connect, Reached::NothingSent);
        let (outcome, exchange, _) = run(r#"<call blocking="true">ENDPOINT</call>"#, JSON, refused);
        assert_eq!(outcome.unwrap_err().number(), Some(401_002));
        assert_eq!(
            exchange.properties.text("BASE_ERROR_CODE").as_deref(),
            Some("101503")
        );
    }

    #[test]
    fn a_target_keeps_the_answer_and_puts_the_message_back() {
        let steps = r#"<call>ENDPOINT<source type="custom">json-eval($.a)</source><target type="property">answer</target></call>"#;
        let answer = Scripted::parse("200\ncontent-type: application/xml\n\n<b>2</b>");
        let request = JSON.replace("1}", "{\"c\": 3}}");
        let (outcome, mut exchange, seen) = run(steps, &request, answer);
        assert_eq!(outcome.unwrap(), Flow::Continue);
        assert_eq!(seen[0].body, "{\"c\":3}");
        assert_eq!(exchange.properties.text("answer").as_deref(), Some("<b>2</b>"));
        assert_eq!(exchange.message_type().as_deref(), Some("application/json"));
        assert_eq!(exchange.message.header("x-mine"), Some("1"));
        assert_eq!(body_text(&mut exchange), "{\"a\": {\"c\": 3}}");
    }

    #[test]
    fn a_source_of_another_type_is_written_as_its_content_type_says() {
        let steps = r#"<call>ENDPOINT<source type="inline" contentType="application/xml"><b xmlns="">2</b></source></call>"#;
        let (outcome, _, seen) = run(steps, JSON, Scripted::parse("200"));
        assert_eq!(outcome.unwrap(), Flow::Continue);
        assert_eq!(seen[0].headers["content-type"], "application/xml");
        assert_eq!(seen[0].body, "<b>2</b>");
    }

    #[test]
    fn a_property_can_be_the_source() {
        let steps = r#"<property name="p" type="OM"><b xmlns="">2</b></property><call>ENDPOINT<source type="property" contentType="text/xml">p</source></call>"#;
        let (outcome, _, seen) = run(steps, "GET /", Scripted::parse("200"));
        assert_eq!(outcome.unwrap(), Flow::Continue);
        // The request was a GET, and its method stays.
        assert_eq!((seen[0].method.as_str(), &*seen[0].body), ("GET", &b""[..]));
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(
            told(r#"<call>ENDPOINT<source type="property"/><target type="variable"/></call>"#),
            [
                "E0210 2:61 this source needs the name of a property inside",
                "E0210 2:86 this target needs the name of a variable inside"
            ]
        );
        assert_eq!(
            told("<call>ENDPOINT<target type='nowhere'>x</target></call>").len(),
            1
        );
    }

    #[test]
    fn a_fault_of_the_endpoint_is_the_calls_fault() {
        let (outcome, mut exchange, _) = run("<call>ENDPOINT</call>", JSON, Scripted::Silent);
        let fault = outcome.unwrap_err();
        assert_eq!((fault.number(), &*fault.reason), (Some(101_504), "Send timeout"));
        assert!(fault.at.is_some());
        // After a timeout fault sequences see an empty envelope.
        assert_eq!(
            exchange.properties.text("PROTOCOL_STATE_ON_FAILURE").as_deref(),
            Some("3")
        );
        assert_eq!(body_text(&mut exchange), "");
        let refused = Scripted::fails(SendErrorKind::Connect, Reached::NothingSent);
        let (_, mut exchange, _) = run(
            &format!("<log level=\"full\"/>{}", "<call>ENDPOINT</call>"),
            JSON,
            refused,
        );
        assert_eq!(body_text(&mut exchange), "{\"a\": 1}");
    }
}
