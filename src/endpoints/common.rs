//! What all leaf endpoints share: the tables of their attributes and children, and how an address is read.

use crate::flow::AllowList;
use crate::message::properties::Scope;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support};
use crate::text::{Diagnostic, Placed, Span};
use crate::wire::url::Url;
use crate::wire::verify::Verify;
use std::sync::Arc;

// The tables

const NO_STATISTICS: &str = "every endpoint is counted here, and traced on demand";

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

/// Ours, not Synapse's.
pub const TLS: Child = Child::optional(
    "tls",
    &[
        Attr::optional("ca", Shape::Text, "A PEM file of who is trusted, instead of the machine's own roots; the backend's own certificate may be among them."),
        Attr::optional("cert", Shape::Text, "A PEM file of the client certificate, with its chain."),
        Attr::optional("key", Shape::Text, "The PEM file of its key."),
        Attr::optional("server-name", Shape::Text, "The name that the backend is asked for and must prove, where that is not the host of the address."),
        Attr::optional("pin", Shape::Text, "The public keys that the backend may have: `sha256/` and the hash in base64, one or several."),
        Attr::optional("verify", Shape::Choice(Verify::NAMES), "What is looked at: all (`true`, `Strict`, `Default`), all but the names of this machine (`DefaultAndLocalhost`), all but the name (`AllowAll`), nothing (`false`).")
            .default("true"),
    ],
    Children::NONE,
    "Whom the endpoint trusts, and as whom it comes. File names are relative to the served folder; a file that changes is read again.",
);

/// Ours, not Synapse's.
pub const PROXY: Child = Child::optional(
    "proxy",
    &[
        Attr::required(
            "url",
            Shape::Text,
            "`http://[user:password@]host:port`; empty for no proxy, whatever the default is.",
        ),
        Attr::optional(
            "no-proxy",
            Shape::Text,
            "Hosts that are called directly: names, `.domain`, `*`, with commas between.",
        ),
    ],
    Children::NONE,
    "The proxy on the way to the backend.",
);

// Addresses

/// `allow`, for endpoints whose address follows from the message. `None` where it is wrong, `Some(None)` where it is absent.
pub fn allow_list(element: &Element, planner: &mut Planner<'_>) -> Option<Option<Arc<AllowList>>> {
    let Some(attribute) = element.attribute("allow") else {
        return Some(None);
    };
    let text = resolved(&attribute.value, planner)?;
    match AllowList::parse(&text) {
        Ok(list) => Some(Some(Arc::new(list))),
        Err(mistakes) => {
            mistakes.into_iter().for_each(|mistake| planner.tell(mistake));
            None
        }
    }
}

/// Checks an address that is known at load.
pub fn address(text: &str, span: Span, planner: &mut Planner<'_>) -> Option<Url> {
    if !is_spoken(text) {
        refuse_scheme(text, span, planner);
        return None;
    }
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(invalid) => {
            let mut mistake = Diagnostic::error("E0305", span, invalid.to_string());
            if invalid.has_user() {
                mistake = mistake.help(
                    "a name and a password stand in `<authentication><basicAuth>`, where no log shows them",
                );
            }
            planner.tell(mistake);
            None
        }
    }
}

/// Whether an address is of a kind that is spoken here.
pub fn is_spoken(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

/// Whether something can be fetched from an address.
pub fn is_http(text: &str) -> bool {
    is_spoken(text) && !text.to_ascii_lowercase().starts_with("ws")
}

/// Whether a text could be the beginning of such an address.
pub fn begins_spoken(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SCHEMES
        .iter()
        .any(|known| format!("{known}://").starts_with(&text))
}

const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// Tells what to do about an address that nobody here can call.
pub fn refuse_scheme(text: &str, span: Span, planner: &mut Planner<'_>) {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let scheme = scheme.to_ascii_lowercase();
    // What looks like a scheme may be a host, and a port behind it.
    let has_scheme = !scheme.is_empty()
        && !rest.starts_with(|first: char| first.is_ascii_digit())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    if !has_scheme {
        let mistake = Diagnostic::error(
            "E0305",
            span,
            format!("`{text}` is not an address that can be called"),
        );
        planner.tell(mistake.help("an address begins with http:// or https://, or ws:// or wss://"));
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
        _ => "only http://, https://, ws:// and wss:// are sent to",
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
