//! Runs the examples of the mediators and endpoints: what they say is what happens. It stands here because it needs both of them.

mod tables;

use super::configs::Configs;
use super::folder::{Collected, Origin, XmlFile};
use super::layout::Layout;
use super::load::{self, KINDS, LoadOptions};
use super::resources::Resources;
use super::walk::Stamp;
use crate::flow::testing::{ScriptedBackend, Seen, exchange, wait};
use crate::flow::{Catalog, Exchange, Flow, Outcome, SequenceId};
use crate::message::format::{Body, Target};
use crate::message::media_type::Form;
use crate::message::payload::Payload;
use crate::plan::{Element, Example, element};
use crate::text::{Mistakes, Sources, render};
use http::HeaderMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[test]
fn every_example_of_a_mediator_gives_what_it_says() {
    let mut wrong = Vec::new();
    for kind in KINDS.mediators {
        for example in kind.examples {
            if let Err(difference) = check(example) {
                wrong.push(format!("<{}> {}:\n{difference}", kind.element, example.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_example_of_an_endpoint_gives_what_it_says() {
    let mut wrong = Vec::new();
    for kind in KINDS.endpoints {
        for example in kind.examples {
            if let Err(difference) = check(example) {
                wrong.push(format!("<{}> {}:\n{difference}", kind.element, example.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn call_template_passes_values_as_synapse_does() {
    let beside = r#"<template name="t">
    <parameter name="a"/>
    <parameter name="b" defaultValue="dry"/>
    <parameter name="c" isMandatory="true" defaultValue="never used"/>
    <sequence>
        <property name="a" expression="$func:a"/>
        <property name="b" expression="get-property('func', 'b')"/>
        <property name="c" expression="$func:c"/>
        <property name="other" expression="$func:other"/>
    </sequence>
</template>"#;
    let given = "POST /\nContent-Type: application/xml\n\n<m><x><y/></x><x/></m>";
    for (parameters, then) in [
        (
            r#"<with-param name="c" value="1"/><with-param name="other" value="1"/>"#,
            "continues\nproperty a is not there\nproperty b = dry\nproperty c = 1\nproperty other is not there",
        ),
        // An element is passed as it is, the first one of several; an expression that gives nothing hides the default.
        (
            r#"<with-param name="a" value="{//x}"/><with-param name="b" value="{$ctx:none}"/><with-param name="c" value="{{count(//x)}}"/>"#,
            "continues\nproperty a = <x><y/></x>\nproperty b is not there\nproperty c = 2.0",
        ),
        // What stands in double braces sees the parameters.
        (
            r#"<with-param name="a" value="A"/><with-param name="c" value="{{concat($func:a, '!')}}"/>"#,
            "continues\nproperty c = A!",
        ),
        // TemplateContext.setupParams does not ask for the default of a mandatory parameter.
        (
            "",
            "fails 500101 Neither a value nor default value is provided for mandatory parameter: c in seq-template t",
        ),
    ] {
        let config: &'static str = format!("<call-template target=\"t\">{parameters}</call-template>").leak();
        check(&Example::new("call-template", config, given, then).beside(beside)).expect(parameters);
    }
}

#[test]
fn sequences_that_call_each_other_without_end_are_a_fault() {
    let example = Example::new(
        "a circle",
        r#"<sequence key="a"/>"#,
        "GET /",
        "fails 0 sequences call each other more than 64 deep (…",
    )
    .beside(
        r#"<sequence name="a"><call-template target="b"/></sequence>
<template name="b"><sequence><sequence key="a"/></sequence></template>"#,
    );
    check(&example).expect("a fault");
}

fn check(example: &Example) -> Result<(), String> {
    let (catalog, sequence) = planned(example)?;
    let backend = if example.backend.is_empty() {
        ScriptedBackend::new([])
    } else {
        ScriptedBackend::answering(example.backend)
    };
    let mut exchange = exchange(example.given, Catalog::default(), Rc::clone(&backend));
    exchange.catalog = catalog;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let outcome = tracing::subscriber::with_default(subscriber, || wait(exchange.run(sequence)));
    let mut happened = Happened {
        outcome: said(&outcome),
        log: lines
            .0
            .lock()
            .expect("no test panics with it")
            .clone()
            .into_iter(),
        seen: backend.seen().into_iter(),
        request: None,
        exchange,
    };
    let mut actual: Vec<String> = example
        .then
        .lines()
        .map(|line| {
            let actual = without_declaration(line, happened.as_line(line));
            if matches(line, &actual) {
                line.to_owned()
            } else {
                actual
            }
        })
        .collect();
    actual.extend(happened.rest());
    let expected: Vec<&str> = example.then.lines().collect();
    if actual == expected {
        return Ok(());
    }
    Err(format!(
        "expected\n  {}\ngot\n  {}",
        expected.join("\n  "),
        actual.join("\n  ")
    ))
}

/// What came of a run, told in the words of the line that asks.
struct Happened {
    outcome: String,
    log: std::vec::IntoIter<String>,
    seen: std::vec::IntoIter<Seen>,
    /// The request that the last `backend METHOD URL` was about.
    request: Option<Seen>,
    exchange: Exchange,
}

impl Happened {
    fn as_line(&mut self, line: &str) -> String {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let name = rest.split_once(" = ").map_or(rest, |(name, _)| name);
        let name = name.strip_suffix(" is not there").unwrap_or(name);
        let value = |value: Option<String>| match value {
            Some(value) => format!("{word} {name} = {value}"),
            None => format!("{word} {name} is not there"),
        };
        let properties = &self.exchange.properties;
        match word {
            "continues" | "responds" | "turns" | "drops" | "fails" => self.outcome.clone(),
            "property" => value(properties.text(name)),
            "axis2" => value(properties.axis2_text(name)),
            "operation" => value(
                properties
                    .operation
                    .get(name)
                    .map(|value| value.to_text().into_owned()),
            ),
            "variable" => value(
                properties
                    .variables
                    .get(name)
                    .map(|value| value.to_text().into_owned()),
            ),
            "header" => value(in_headers(&self.exchange.message.headers, name)),
            "to" => format!(
                "to {}",
                self.exchange.message.addressing.to.as_deref().unwrap_or("")
            ),
            "action" => format!(
                "action {}",
                self.exchange.message.addressing.action.as_deref().unwrap_or("")
            ),
            "log" => self
                .log
                .next()
                .unwrap_or_else(|| "nothing more in the log".to_owned()),
            "body" => format!("body {}", written(&mut self.exchange)),
            "backend" => self.as_backend_line(rest),
            _ => format!("(no such word: {word})"),
        }
    }

    fn as_backend_line(&mut self, rest: &str) -> String {
        let (word, about) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = about.split_once(" = ").map_or(about, |(name, _)| name);
        let name = name.strip_suffix(" is not there").unwrap_or(name);
        match (word, &self.request) {
            ("header", Some(request)) => match in_headers(&request.headers, name) {
                Some(value) => format!("backend header {name} = {value}"),
                None => format!("backend header {name} is not there"),
            },
            ("body", Some(request)) => format!("backend body {}", String::from_utf8_lossy(&request.body)),
            _ => {
                self.request = self.seen.next();
                match &self.request {
                    Some(request) => format!("backend {} {}", request.method, request.url),
                    None => "nothing more at the backend".to_owned(),
                }
            }
        }
    }

    /// Requests and lines of the log that the example does not mention.
    fn rest(self) -> impl Iterator<Item = String> {
        let requests = self
            .seen
            .map(|request| format!("backend {} {}", request.method, request.url));
        requests.chain(self.log)
    }
}

fn in_headers(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Ok(Flow::Continue) => "continues".to_owned(),
        Ok(Flow::Respond) => "responds".to_owned(),
        Ok(Flow::Turn) => "turns".to_owned(),
        Ok(Flow::Drop) => "drops".to_owned(),
        Err(fault) => format!("fails {fault}"),
    }
}

/// An XML declaration is left out where the example leaves it out.
fn without_declaration(line: &str, actual: String) -> String {
    match actual.split_once(" <?xml ") {
        Some((word, rest)) if !line.contains("<?xml") => {
            let document = rest.split_once("?>").map_or(rest, |(_, document)| document);
            format!("{word} {}", document.trim_start())
        }
        _ => actual,
    }
}

/// `…` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|last| last.is_empty() || text.ends_with(last))
}

/// The log of `<log>`: `LEVEL message`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        if event.metadata().target() == "myelin::log" {
            let mut message = Message(String::new());
            event.record(&mut message);
            let line = format!("log {} {}", event.metadata().level(), message.0);
            self.0.lock().expect("no test panics with it").push(line);
        }
    }
}

fn text_of(example: &Example) -> String {
    let config = if example.config.trim_start().starts_with("<endpoint") {
        format!("<send>{}</send>", example.config)
    } else {
        example.config.to_owned()
    };
    format!(
        "<definitions xmlns=\"http://ws.apache.org/ns/synapse\" xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:m0=\"http://services.samples\" xmlns:ns=\"urn:ns\">\n{}\n<sequence name=\"main\">\n{config}\n</sequence>\n\
         </definitions>",
        example.beside
    )
}

fn parsed(example: &Example) -> Element {
    let text = text_of(example);
    let file = Sources::default().add("example.xml", text.as_str());
    element::parse(file, &text).unwrap_or_else(|mistake| panic!("{}: {}", example.title, mistake.message))
}

/// The example as a deployment of its own, read as a folder is.
fn planned(example: &Example) -> Result<(Arc<Catalog>, SequenceId), String> {
    let mut sources = Sources::default();
    let file = sources.add("example.xml", text_of(example));
    let mut resources = Resources::default();
    // Where the certificates lie that examples of `<tls>` name.
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/certificates");
    resources.add_root(certificates, false);
    let collected = Collected {
        definitions: Vec::new(),
        layout: Layout::Plain,
        sources,
        xml: vec![XmlFile {
            file,
            origin: Origin::Folder,
            root: "definitions".to_owned(),
            namespaced: true,
        }],
        resources,
        configs: Configs::default(),
        mistakes: Mistakes::default(),
        stamp: Stamp::default(),
    };
    let loaded = load::build(collected, &LoadOptions::default());
    let Some(deployment) = loaded.deployment else {
        return Err(render::human(&loaded.mistakes, &loaded.sources, false));
    };
    let catalog = Arc::clone(&deployment.catalog);
    let sequence = catalog.sequence_names.get("main").copied();
    Ok((catalog, sequence.ok_or("the example was not planned")?))
}

/// What goes out, by the `messageType`.
fn written(exchange: &mut Exchange) -> String {
    if let Err(fault) = wait(exchange.load()) {
        return format!("(cannot be read: {fault})");
    }
    let form = match exchange.message_type() {
        Some(essence) => Form::of(&essence),
        None => exchange.message.payload.form(),
    };
    let payload = std::mem::replace(&mut exchange.message.payload, Payload::empty());
    let copy = payload.try_clone();
    exchange.message.payload = payload;
    let context = exchange.catalog.build_context();
    match copy.map(|copy| copy.write(&Target::of(form), &context)) {
        Some(Ok(written)) => match written.body {
            Body::Empty => String::new(),
            Body::Bytes { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
            Body::Stream(_) => "(a stream)".to_owned(),
        },
        Some(Err(error)) => format!("(cannot be written: {error})"),
        None => "(a stream)".to_owned(),
    }
}
