//! What all leaf endpoints share: their name, properties, timeout, formats, and what becomes of a failure.

use crate::expression::{Dynamic, Expression};
use crate::flow::delivery::{AddressingVersion, Delivery, Format, Patience, deliver};
use crate::flow::{Answer, Exchange, Fault, SequenceId};
use crate::message::media_type::Charset;
use crate::message::properties::{Scope, Value};
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support, table};
use crate::text::{Diagnostic, Placed, Span, suggest};
use crate::wire::url::Url;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

// The tables

const NO_STATISTICS: &str = "every endpoint is counted here, and traced on demand";
const LATER: Support = Support::NotYet(
    "endpoint states come in a later release; until then every message is sent, whatever became of the last one",
);

/// The attributes of `<endpoint>` itself, around a leaf.
pub const ENDPOINT: &[Attr] = &[
    Attr::optional(
        "name",
        Shape::Text,
        "What other artifacts refer to, and what logs say.",
    ),
    Attr::optional(
        "onError",
        Shape::Sequence,
        "The sequence that runs when a message could not be delivered, before all other fault sequences.",
    ),
    Attr::ignored("statistics", NO_STATISTICS),
    Attr::ignored("trace", NO_STATISTICS),
];

/// `<property>` of an endpoint.
pub const PROPERTY: &[Attr] = &[
    Attr::required("name", Shape::Text, "The property's name."),
    Attr::optional("value", Shape::Text, "Its value."),
    Attr::optional(
        "expression",
        Shape::Expression,
        "Its value, computed each time a message is sent.",
    ),
    Attr::optional("scope", Shape::Choice(Scope::NAMES), "Where it is set.").default("default"),
    Attr::ignored("type", "properties of endpoints are text"),
];

pub const FORMAT: Attr = Attr::optional(
    "format",
    Shape::Choice(&["soap11", "soap12", "pox", "get", "rest"]),
    "How the message is written. Without it the message keeps its form.",
);
pub const OPTIMIZE: Attr = Attr::not_yet(
    "optimize",
    "attachments travel as they came; MTOM and SwA are not written anew",
);
pub const ENCODING: Attr = Attr::optional(
    "encoding",
    Shape::Text,
    "The character set in which a rewritten body is sent.",
)
.default("UTF-8");
pub const STATISTICS: Attr = Attr::ignored("statistics", NO_STATISTICS);
pub const TRACE: Attr = Attr::ignored("trace", NO_STATISTICS);

pub const TIMEOUT: Child = Child::optional(
    "timeout",
    &[],
    Children::of(&[
        Child::optional(
            "duration",
            &[],
            Children::TEXT,
            "How long to wait for the answer, in milliseconds; a number, or `{expression}`.",
        ),
        Child::optional(
            "responseAction",
            &[],
            Children::TEXT,
            "What happens then: `fault` runs the fault sequences, `discard` answers the client with 504 and runs none.",
        ),
        Child::optional(
            "action",
            &[],
            Children::TEXT,
            "A misspelling of `responseAction`.",
        )
        .support(Support::Ignored(
            "Synapse does not read it; `responseAction` is meant",
        )),
    ]),
    "How long to wait, and what then.",
);
pub const ENABLE_ADDRESSING: Child = Child::optional(
    "enableAddressing",
    &[
        Attr::optional(
            "version",
            Shape::Choice(&["final", "submission"]),
            "Which WS-Addressing.",
        )
        .default("final"),
        Attr::not_yet("separateListener", "answers come on the same connection"),
    ],
    Children::NONE,
    "Writes `To`, `Action` and `MessageID` of WS-Addressing into the SOAP header.",
);
pub const ENABLE_SECURITY: Child =
    Child::optional("enableSec", &[], Children::ANY, "WS-Security.").support(Support::Refused(
        "there is no WS-Security here, and sending without it would be wrong; use TLS to the backend",
    ));
pub const ENABLE_RELIABLE: Child = Child::optional("enableRM", &[], Children::ANY, "WS-ReliableMessaging.")
    .support(Support::Refused("there is no WS-ReliableMessaging here"));
pub const SUSPEND_ON_FAILURE: Child = Child::optional(
    "suspendOnFailure",
    &[],
    Children::ANY,
    "When the endpoint is taken out of use, and for how long.",
)
.support(LATER);
pub const MARK_FOR_SUSPENSION: Child = Child::optional(
    "markForSuspension",
    &[],
    Children::ANY,
    "How many failures are borne before.",
)
.support(LATER);
pub const RETRY_CONFIG: Child = Child::optional(
    "retryConfig",
    &[],
    Children::ANY,
    "Which failures a group may send again.",
)
.support(LATER);
pub const SUSPEND_DURATION: Child = Child::optional(
    "suspendDurationOnFailure",
    &[],
    Children::ANY,
    "The old spelling of `suspendOnFailure`, in seconds.",
)
.support(LATER);

// The types

/// A leaf endpoint without its address.
#[derive(Debug)]
pub struct Leaf {
    pub name: Arc<str>,
    on_error: Option<SequenceId>,
    properties: Vec<Property>,
    timeout: Option<Dynamic>,
    discard: bool,
    pub delivery: Delivery,
}

#[derive(Debug)]
struct Property {
    name: String,
    scope: Scope,
    value: PropertyValue,
}

#[derive(Debug)]
enum PropertyValue {
    Text(Arc<str>),
    Computed(Expression),
}

impl Leaf {
    /// Reads `<endpoint>` and the leaf inside it.
    pub fn plan(endpoint: &Element, leaf: &Element, planner: &mut Planner<'_>) -> Option<Leaf> {
        let before = planner.mistakes.errors();
        let name = match endpoint.get("name") {
            Some(name) => Arc::from(name.trim()),
            None => Arc::from(format!("{} endpoint in {}", leaf.name, planner.owner)),
        };
        check_endpoint(endpoint, leaf, planner);
        let on_error = endpoint
            .attribute("onError")
            .and_then(|key| planner.sequence_key(&key.value.clone()));
        let properties = endpoint
            .all("property")
            .filter_map(|property| plan_property(property, planner))
            .collect();
        let (timeout, discard) = plan_timeout(leaf, planner);
        let delivery = plan_delivery(leaf, planner);
        let sound = planner.mistakes.errors() == before;
        sound.then_some(Leaf {
            name,
            on_error,
            properties,
            timeout,
            discard,
            delivery,
        })
    }

    /// Sets the endpoint's properties. Before the address is computed: it may be made of them.
    pub async fn prepare(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        for property in &self.properties {
            let value = match &property.value {
                PropertyValue::Text(text) => Some(Value::Text(Arc::clone(text))),
                PropertyValue::Computed(expression) => exchange.text(expression).await?.map(Value::text),
            };
            if let Some(value) = value {
                set(exchange, property.scope, &property.name, value)?;
            }
        }
        Ok(())
    }

    pub async fn send(&self, exchange: &mut Exchange, url: Url) -> Result<Answer, Fault> {
        let patience = Patience {
            response: self.response_timeout(exchange).await?,
            discard: self.discard,
        };
        deliver(exchange, url, &self.delivery, patience).await
    }

    /// A failure of this endpoint goes to its own `onError` sequence first.
    pub fn blame(&self, mut fault: Fault) -> Fault {
        if fault.handler.is_none() {
            fault.handler = self.on_error;
        }
        fault
    }

    async fn response_timeout(&self, exchange: &mut Exchange) -> Result<Option<Duration>, Fault> {
        let Some(timeout) = &self.timeout else {
            return Ok(None);
        };
        let text = exchange.dynamic(timeout).await?;
        match text.trim().parse::<f64>() {
            Ok(millis) if millis >= 1.0 => Ok(Some(Duration::from_millis(millis as u64))),
            // Zero and less is how Synapse spells "none of its own".
            Ok(_) => Ok(None),
            Err(_) => {
                let endpoint = &*self.name;
                tracing::warn!(
                    endpoint,
                    value = &*text,
                    "The timeout is not a number of milliseconds; the default one holds."
                );
                Ok(None)
            }
        }
    }
}

// Planning

fn check_endpoint(endpoint: &Element, leaf: &Element, planner: &mut Planner<'_>) {
    table::check_attributes(endpoint, ENDPOINT, planner);
    for child in endpoint.elements() {
        if child.span == leaf.span
            || child.is_synapse() && matches!(child.name.as_str(), "property" | "description")
        {
            continue;
        }
        let names = [leaf.name.as_str(), "property", "description"];
        let message = format!(
            "`<endpoint>` has no `<{}>` beside its `<{}>`",
            child.name, leaf.name
        );
        let help = suggest::did_you_mean(&child.name, names)
            .or_else(|| Some(format!("it belongs inside `<{}>`, or nowhere", leaf.name)));
        planner.tell(Diagnostic::error("E0204", child.span, message).maybe_help(help));
    }
}

fn plan_property(element: &Element, planner: &mut Planner<'_>) -> Option<Property> {
    if !table::check(element, PROPERTY, &Children::NONE, planner) {
        return None;
    }
    let name = planner.text(element, "name")?;
    let scope = planner
        .text(element, "scope")
        .and_then(|scope| Scope::named(&scope))
        .unwrap_or(Scope::Default);
    let value = match planner.text(element, "value") {
        Some(text) => PropertyValue::Text(Arc::from(text)),
        None if element.has("expression") => {
            PropertyValue::Computed(planner.expression_in(element, "expression")?)
        }
        None => {
            let message = "this property has neither `value` nor `expression`";
            planner.mistake("E0202", element.span, message);
            return None;
        }
    };
    Some(Property { name, scope, value })
}

fn plan_timeout(leaf: &Element, planner: &mut Planner<'_>) -> (Option<Dynamic>, bool) {
    let Some(timeout) = leaf.child("timeout") else {
        return (None, false);
    };
    let duration = timeout.child("duration").and_then(|element| {
        let text = element.trimmed_text()?;
        let duration = planner.dynamic(&text, element)?;
        match &duration {
            Dynamic::Literal(number) if number.trim().parse::<i64>().is_err() => {
                let mistake = Diagnostic::error(
                    "E0203",
                    text.span,
                    format!("`{number}` is not a number of milliseconds"),
                );
                planner.tell(mistake.help("write `30000` for thirty seconds, or an expression in braces"));
                None
            }
            _ => Some(duration),
        }
    });
    let action = timeout.child("responseAction").and_then(Element::trimmed_text);
    let discard = action.is_some_and(|action| match action.text.to_ascii_lowercase().as_str() {
        "discard" => true,
        "fault" => false,
        _ => {
            let mistake = Diagnostic::error(
                "E0203",
                action.span,
                format!("`{}` is no response action", action.text),
            );
            planner.tell(mistake.help("it is `fault` or `discard`"));
            false
        }
    });
    (duration, discard)
}

fn plan_delivery(leaf: &Element, planner: &mut Planner<'_>) -> Delivery {
    let format = planner.text(leaf, "format").and_then(|format| {
        Some(match format.trim().to_ascii_lowercase().as_str() {
            "soap11" => Format::Soap11,
            "soap12" => Format::Soap12,
            "pox" => Format::Pox,
            "get" => Format::Get,
            "rest" => Format::Rest,
            _ => return None,
        })
    });
    let charset = planner.text(leaf, "encoding").and_then(|name| {
        let charset = Charset::named(&name);
        if charset.is_none() {
            let span = leaf
                .attribute("encoding")
                .map_or(leaf.span, |attribute| attribute.value.span);
            let mistake = Diagnostic::error(
                "E0203",
                span,
                format!("the character set `{name}` is not known here"),
            );
            planner.tell(mistake.help("UTF-8, UTF-16, ISO-8859-1 and US-ASCII are"));
        }
        charset
    });
    let addressing = leaf.child("enableAddressing").map(|element| {
        match element
            .get("version")
            .map(|version| version.trim().eq_ignore_ascii_case("submission"))
        {
            Some(true) => AddressingVersion::Submission,
            _ => AddressingVersion::Final,
        }
    });
    Delivery {
        format,
        charset,
        addressing,
        ..Delivery::default()
    }
}

/// Checks an address that is known at load.
pub fn address(text: &str, span: Span, planner: &mut Planner<'_>) -> Option<Url> {
    if !is_http(text) {
        refuse_scheme(text, span, planner);
        return None;
    }
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(invalid) => {
            planner.tell(Diagnostic::error("E0305", span, invalid.to_string()));
            None
        }
    }
}

pub fn is_http(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

/// Tells what to do about an address that is none of HTTP.
pub fn refuse_scheme(text: &str, span: Span, planner: &mut Planner<'_>) {
    let scheme = text.split(':').next().unwrap_or("").to_ascii_lowercase();
    let has_scheme = text.contains(':')
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    if !has_scheme {
        let mistake = Diagnostic::error(
            "E0305",
            span,
            format!("`{text}` is not an address that can be called"),
        );
        planner.tell(mistake.help("an address begins with http:// or https://"));
        return;
    }
    let advice = match scheme.as_str() {
        "jms" => "there is no JMS here; message stores on NATS or RabbitMQ come in a later release",
        "rabbitmq" => "RabbitMQ comes with message stores in a later release",
        "local" => {
            "there is no local transport here; call the proxy over HTTP, or put what it does into a sequence"
        }
        "vfs" | "file" => "there are no file transports here",
        "mailto" => "there is no mail transport here; call a service that sends mail",
        "ws" | "wss" => "WebSocket endpoints come in a later release",
        _ => "only http:// and https:// are sent to",
    };
    planner.tell(
        Diagnostic::error(
            "E0507",
            span,
            format!("there is no transport for `{scheme}:` addresses"),
        )
        .help(advice),
    );
}

/// The text after `$SYSTEM:` and the like are resolved, with its places where it is what stands in the file.
pub fn resolved(value: &Placed, planner: &mut Planner<'_>) -> Option<Placed> {
    let text = planner.resolved(value)?;
    Some(if text == value.text {
        value.clone()
    } else {
        Placed::verbatim(text, value.span)
    })
}

fn set(exchange: &mut Exchange, scope: Scope, name: &str, value: Value) -> Result<(), Fault> {
    match scope {
        Scope::Axis2 if name == "messageType" => exchange.set_message_type(&value.to_text()),
        Scope::Axis2 => exchange.properties.set_axis2(name, value),
        Scope::Axis2Client => exchange.properties.axis2_client.set(name, value),
        Scope::Operation => exchange.properties.operation.set(name, value),
        Scope::Transport => {
            let text = value.to_text();
            let header = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(HeaderValue::from_str(&text).ok());
            let Some((header, value)) = header else {
                return Err(Fault::mediation(format!(
                    "`{name}: {}` cannot be sent as a header",
                    text.escape_debug()
                )));
            };
            exchange.message.headers.insert(header, value);
        }
        _ => exchange.properties.set(name, value),
    }
    Ok(())
}
