//! `<log>`: a line in the log, about the message or of the author's choice.

use super::template::{self, Piece, Template};
use crate::expression::Expression;
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::json;
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::{Diagnostic, Placed};
use async_trait::async_trait;
use std::fmt::Write;
use tracing::Level;

pub static KIND: MediatorKind = MediatorKind {
    element: "log",
    summary: "Writes a line to the log.",
    notes: "What the line says depends on `level`:\n\n\
        * `simple`: `To`, and what there is of `From`, `WSAction`, `SOAPAction`, `ReplyTo`, `MessageID`, `correlation_id`; and `Direction`.\n\
        * `headers`: the SOAP header blocks, as `name : text`.\n\
        * `full`: as `simple`, and the body: JSON as `Payload: …`, anything else as `Envelope: …`. The body is read for it.\n\
        * `custom`: only what stands inside.\n\n\
        The template in `message` comes first; each `property` adds `name = value`. Without `level`, a template is all there is, and \
        without a template the level is `simple`. In the template `${…}` is evaluated, and `\\n` and `\\t` mean line end and tab, as in \
        `separator`.\n\n\
        Lines go to the target `myelin::log` of the gateway's log. Control characters are escaped there, so that one message is one line.",
    differences: "FATAL is written as ERROR: the log knows no level above it.",
    attributes: &[
        Attr::optional(
            "level",
            Shape::Choice(&["simple", "headers", "full", "custom"]),
            "What is written about the message. Without it but with a `message`, only the template is written.",
        )
        .default("simple"),
        Attr::optional(
            "category",
            Shape::Choice(&["INFO", "DEBUG", "TRACE", "WARN", "ERROR", "FATAL"]),
            "How important it is.",
        )
        .default("INFO"),
        Attr::optional("separator", Shape::Text, "Stands between the parts.").default(", "),
        Attr::optional(
            "logMessageID",
            Shape::Boolean,
            "Whether a line without level, or of level `custom`, begins with MessageID and correlation_id.",
        )
        .default("false"),
        Attr::optional(
            "logFullPayload",
            Shape::Boolean,
            "`true` means level `full`, whatever `level` says.",
        )
        .default("false"),
    ],
    children: Children::of(&[
        Child::optional("message", &[], Children::TEXT, "A template of the line."),
        Child::optional(
            "property",
            &[
                Attr::required("name", Shape::Text, "What is written before the value."),
                Attr::optional("value", Shape::Text, "A constant."),
                Attr::optional(
                    "expression",
                    Shape::Expression,
                    "Gives the value, when there is no `value`.",
                ),
                Attr::ignored("scope", "A line of the log has no scope."),
                Attr::ignored("type", "Everything in a line is text."),
            ],
            Children::NONE,
            "Adds `name = value`.",
        )
        .many(),
    ]),
    build,
    examples: &[
        Example::new(
            "Where a message goes",
            "<log/>",
            "POST /services/Quotes\nContent-Type: text/xml\nSOAPAction: urn:getQuote\n\n<x/>",
            "continues\nlog INFO To: /services/Quotes, WSAction: urn:getQuote, SOAPAction: urn:getQuote, MessageID: urn:uuid:…, Direction: request",
        ),
        Example::new(
            "Values of your own",
            r#"<log level="custom" separator=" | " category="WARN">
    <property name="step" value="checked"/>
    <property name="id" expression="json-eval($.id)"/>
</log>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": 7}",
            "continues\nlog WARN step = checked | id = 7",
        ),
        Example::new(
            "A template",
            r#"<log category="ERROR" logMessageID="true"><message>order ${payload.id} failed</message></log>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": 7}",
            "continues\nlog ERROR MessageID: urn:uuid:…, order 7 failed",
        ),
        Example::new(
            "The whole message",
            r#"<log logFullPayload="true"/>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": 7}",
            "continues\nlog INFO To: /orders, MessageID: urn:uuid:…, Direction: request, Payload: {\"id\": 7}",
        ),
    ],
};

struct Log {
    level: What,
    category: Level,
    separator: String,
    message_id: bool,
    template: Template,
    properties: Vec<(String, Shown)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Simple,
    Headers,
    Full,
    /// `custom`, or a template without a level.
    OwnWords,
}

enum Shown {
    Text(String),
    Expression(Expression),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let message = element.child("message");
    let word = |name: &str| element.get(name).map(|word| word.trim().to_ascii_lowercase());
    let level = word("level");
    let level = if element.is_true("logFullPayload") {
        What::Full
    } else {
        match level.as_deref() {
            Some("headers") => What::Headers,
            Some("full") => What::Full,
            Some("custom") => What::OwnWords,
            None if message.is_some() => What::OwnWords,
            _ => What::Simple,
        }
    };
    let category = match word("category").as_deref() {
        Some("trace") => Level::TRACE,
        Some("debug") => Level::DEBUG,
        Some("warn") => Level::WARN,
        Some("error" | "fatal") => Level::ERROR,
        _ => Level::INFO,
    };
    let template = match message {
        Some(message) => template(&message.text(), message, planner),
        None => Some(Template::default()),
    };
    let mut properties = Vec::new();
    for inner in element.all("property") {
        if let Some(shown) = shown(inner, planner) {
            properties.push(shown);
        }
    }
    let separator = planner
        .text(element, "separator")
        .unwrap_or_else(|| ", ".to_owned());
    Some(Box::new(Log {
        level,
        category,
        separator: unescaped(&separator),
        message_id: element.is_true("logMessageID"),
        template: template?,
        properties,
    }))
}

fn shown(element: &Element, planner: &mut Planner<'_>) -> Option<(String, Shown)> {
    let name = element.attribute("name")?;
    if name.value.text.trim().is_empty() {
        planner.mistake("E0203", name.value.span, "a property needs a name");
        return None;
    }
    let shown = if let Some(value) = element.attribute("value") {
        if value.value.text.trim().is_empty() {
            planner.mistake("E0203", value.value.span, "an empty value cannot be logged");
            return None;
        }
        Shown::Text(planner.resolved(&value.value)?)
    } else if element.has("expression") {
        Shown::Expression(planner.expression_in(element, "expression")?)
    } else {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this property has no value")
                .help("give it a `value` or an `expression`"),
        );
        return None;
    };
    Some((name.value.text.clone(), shown))
}

/// Text with `${…}` in it.
fn template(text: &Placed, element: &Element, planner: &mut Planner<'_>) -> Option<Template> {
    let mut template = template::words(text, element, planner)?;
    for piece in &mut template.pieces {
        if let Piece::Text(text) = piece {
            *text = unescaped(text);
        }
    }
    Some(template)
}

/// `\n` and `\t` written as two characters.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

#[async_trait(?Send)]
impl Mediator for Log {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        // What nobody will read is not computed, as in Synapse.
        let wanted = match self.category {
            Level::TRACE => tracing::enabled!(target: "myelin::log", Level::TRACE),
            Level::DEBUG => tracing::enabled!(target: "myelin::log", Level::DEBUG),
            _ => true,
        };
        if !wanted {
            return Ok(Flow::Continue);
        }
        let line = self.line(exchange).await?;
        let served_by = &exchange.served_by;
        match self.category {
            Level::TRACE => tracing::trace!(target: "myelin::log", %served_by, "{line}"),
            Level::DEBUG => tracing::debug!(target: "myelin::log", %served_by, "{line}"),
            Level::INFO => tracing::info!(target: "myelin::log", %served_by, "{line}"),
            Level::WARN => tracing::warn!(target: "myelin::log", %served_by, "{line}"),
            Level::ERROR => tracing::error!(target: "myelin::log", %served_by, "{line}"),
        }
        Ok(Flow::Continue)
    }
}

impl Log {
    /// The shapes are those of `LogMediator`, its separators in odd places included.
    async fn line(&self, exchange: &mut Exchange) -> Result<String, Fault> {
        let mut line = String::new();
        match self.level {
            What::OwnWords => {
                if self.message_id {
                    self.add_ids(exchange, &mut line);
                    line.push_str(&self.separator);
                }
                self.add_template(exchange, &mut line).await?;
            }
            What::Simple | What::Full => {
                self.add_template(exchange, &mut line).await?;
                if !line.is_empty() {
                    line.push_str(&self.separator);
                }
                self.add_addresses(exchange, &mut line);
            }
            What::Headers => {
                self.add_template(exchange, &mut line).await?;
                self.add_header_blocks(exchange, &mut line).await?;
            }
        }
        self.add_properties(exchange, &mut line).await?;
        if self.level == What::Full {
            self.add_body(exchange, &mut line).await?;
        }
        match line.strip_prefix(&self.separator) {
            Some(rest) if !self.separator.is_empty() => Ok(rest.to_owned()),
            _ => Ok(line),
        }
    }

    async fn add_template(&self, exchange: &mut Exchange, line: &mut String) -> Result<(), Fault> {
        for piece in &self.template.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Expression { expression, .. } => {
                    line.push_str(&exchange.text(expression).await?.unwrap_or_default());
                }
                // Not in these words.
                Piece::Argument(..) => {}
            }
        }
        Ok(())
    }

    fn add_ids(&self, exchange: &mut Exchange, line: &mut String) {
        add(line, format_args!("MessageID: {}", message_id(exchange)));
        if let Some(id) = exchange.properties.axis2_text("correlation_id") {
            add(line, format_args!("{}correlation_id: {id}", self.separator));
        }
    }

    fn add_addresses(&self, exchange: &mut Exchange, line: &mut String) {
        let id = message_id(exchange);
        let correlation = exchange.properties.axis2_text("correlation_id");
        let addressing = &exchange.message.addressing;
        let action = addressing.action.as_deref().or(addressing.soap_action.as_deref());
        let direction = if exchange.is_response() {
            "response"
        } else {
            "request"
        };
        add(
            line,
            format_args!("To: {}", addressing.to.as_deref().unwrap_or("")),
        );
        for (name, value) in [
            ("From", addressing.from.as_deref()),
            ("WSAction", action),
            ("SOAPAction", addressing.soap_action.as_deref()),
            ("ReplyTo", addressing.reply_to.as_deref()),
            ("MessageID", Some(id.as_str())),
            ("correlation_id", correlation.as_deref()),
            ("Direction", Some(direction)),
        ] {
            if let Some(value) = value {
                add(line, format_args!("{}{name}: {value}", self.separator));
            }
        }
    }

    async fn add_header_blocks(&self, exchange: &mut Exchange, line: &mut String) -> Result<(), Fault> {
        if let Some(id) = exchange.properties.axis2_text("correlation_id") {
            add(line, format_args!(" correlation_id : {id}"));
        }
        let envelope = exchange.envelope().await?;
        let Some(header) = envelope.header() else {
            return Ok(());
        };
        for block in envelope.tree.child_elements(header) {
            let (name, text) = (envelope.tree.local_name(block), envelope.tree.own_text(block));
            add(line, format_args!("{}{name} : {text}", self.separator));
        }
        Ok(())
    }

    async fn add_properties(&self, exchange: &mut Exchange, line: &mut String) -> Result<(), Fault> {
        for (name, shown) in &self.properties {
            let value = match shown {
                Shown::Text(text) => text.clone(),
                // Java writes null as a word.
                Shown::Expression(expression) => exchange
                    .text(expression)
                    .await?
                    .unwrap_or_else(|| "null".to_owned()),
            };
            add(line, format_args!("{}{name} = {value}", self.separator));
        }
        Ok(())
    }

    async fn add_body(&self, exchange: &mut Exchange, line: &mut String) -> Result<(), Fault> {
        exchange.load().await?;
        if exchange.message.payload.is_json() {
            let raw = exchange.message.payload.raw_text().ok().flatten();
            match raw.map(|text| text.into_owned()) {
                Some(text) => add(line, format_args!("{}Payload: {text}", self.separator)),
                None => {
                    let text = json::text(exchange.json().await?);
                    add(line, format_args!("{}Payload: {text}", self.separator));
                }
            }
            return Ok(());
        }
        let envelope = exchange.envelope().await?;
        let text = envelope.tree.to_text(envelope.root());
        add(
            line,
            format_args!(
                "{}Envelope: <?xml version='1.0' encoding='utf-8'?>{text}",
                self.separator
            ),
        );
        Ok(())
    }
}

/// The message's id; one is made the first time somebody asks.
fn message_id(exchange: &mut Exchange) -> String {
    let runtime = &exchange.worker.runtime;
    exchange
        .message
        .addressing
        .message_id
        .get_or_insert_with(|| runtime.message_id().into())
        .to_string()
}

fn add(line: &mut String, what: std::fmt::Arguments<'_>) {
    line.write_fmt(what).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::wait;
    use crate::mediators::trial::{ALL, told};

    const SOAP: &str = "POST /q\nContent-Type: text/xml\nSOAPAction: \"urn:q\"\n\n\
        <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header><a:user xmlns:a=\"urn:a\">ada</a:user></e:Header><e:Body/></e:Envelope>";

    /// The line, its message id shortened.
    fn check(log: Log, request: &str, expected: &str) {
        let (_, mut exchange) = ALL.run("", request);
        exchange.message.addressing.message_id = Some("urn:uuid:1".into());
        assert_eq!(wait(log.line(&mut exchange)).expect("no fault"), expected);
    }

    fn log(level: What) -> Log {
        Log {
            level,
            category: Level::INFO,
            separator: ", ".to_owned(),
            message_id: false,
            template: Template::default(),
            properties: vec![("a".to_owned(), Shown::Text("b".to_owned()))],
        }
    }

    fn with_text(level: What) -> Log {
        Log {
            template: Template {
                pieces: vec![Piece::Text("hello".to_owned())],
            },
            ..log(level)
        }
    }

    #[test]
    fn lines_have_the_shapes_of_synapse() {
        // LogMediator.getSimpleLogMessage, getHeadersLogMessage, getFullLogMessage, getCustomLogMessage
        let simple =
            "To: /q, WSAction: urn:q, SOAPAction: urn:q, MessageID: urn:uuid:1, Direction: request, a = b";
        check(log(What::Simple), SOAP, simple);
        check(with_text(What::Simple), SOAP, &format!("hello, {simple}"));
        check(log(What::Headers), SOAP, "user : ada, a = b");
        check(with_text(What::Headers), SOAP, "hello, user : ada, a = b");
        check(log(What::OwnWords), SOAP, "a = b");
        check(with_text(What::OwnWords), SOAP, "hello, a = b");
        let ids = Log {
            message_id: true,
            ..with_text(What::OwnWords)
        };
        check(ids, SOAP, "MessageID: urn:uuid:1, hello, a = b");
        check(
            log(What::Full),
            "POST /q\nContent-Type: application/xml\n\n<x/>",
            "To: /q, MessageID: urn:uuid:1, Direction: request, a = b, Envelope: <?xml version='1.0' encoding='utf-8'?>\
             <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><x/></soapenv:Body></soapenv:Envelope>",
        );
        check(
            log(What::Full),
            "POST /q\nContent-Type: application/json\n\n{ \"a\":1 }",
            "To: /q, MessageID: urn:uuid:1, Direction: request, a = b, Payload: { \"a\":1 }",
        );
    }

    #[test]
    fn a_body_is_only_read_for_the_level_full() {
        let (outcome, exchange) = ALL.run("<log/>", "POST /\nContent-Type: application/json\n\n{ no json");
        assert!(outcome.is_ok() && !exchange.message.payload.is_loaded());
        let (outcome, _) = ALL.run(
            r#"<log level="full"/>"#,
            "POST /\nContent-Type: application/xml\n\n<no xml",
        );
        assert_eq!(outcome.expect_err("it is no XML").number(), Some(601_000));
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        for (config, expected) in [
            (r#"<log level="none"/>"#, "E0203 `none` is not what `level` takes"),
            (
                r#"<log category="LOUD"/>"#,
                "E0203 `LOUD` is not what `category` takes",
            ),
            (
                r#"<log><property name="a"/></log>"#,
                "E0210 this property has no value",
            ),
            (
                r#"<log><property name="a" value=" "/></log>"#,
                "E0203 an empty value cannot be logged",
            ),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }
}
