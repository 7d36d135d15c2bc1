//! `<address>`: a fixed address.

use super::common;
use super::leaf::{self, Leaf, LeafKind};
use crate::flow::{Answer, Endpoint, Exchange, Fault};
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::Diagnostic;
use crate::wire::url::Url;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "address",
    by_attribute: false,
    summary: "Sends to a fixed address.",
    notes: r#"What comes behind the API's context in the client's request (axis2 `REST_URL_POSTFIX`) is appended, with one slash between, unless the
message is SOAP or `format` makes it SOAP. `${name}` in the address stands for a property.

Without `format` the message keeps its form: a body that nobody looked into or changed goes through as the very bytes that came. A status of
4xx or 5xx is an answer like any other. Connection refused is 101503, no answer in time 101504, closed without an answer 101505, no HTTP 101506,
no connection in time 101508.

Which properties have an effect on what is sent (axis2 scope unless said):

| property | effect |
| --- | --- |
| `HTTP_METHOD` | the method; POST when it is absent, as after a call |
| `REST_URL_POSTFIX` | appended to the address |
| `messageType` | how the body is written; also sets the Content-Type |
| `ContentType` | the Content-Type, whatever the body is |
| `CHARACTER_SET_ENCODING` | the character set of the body |
| `setCharacterEncoding` | `false`: no `charset` is added to the Content-Type |
| `NO_ENTITY_BODY` | no body, unless a step made one |
| `REQUEST_HOST_HEADER` | the Host header; without it the address says it |
| `DISABLE_CHUNKING`, `FORCE_HTTP_CONTENT_LENGTH` | the body is read whole and sent with its length |
| `FORCE_HTTP_1.0` | as `DISABLE_CHUNKING` and `NO_KEEPALIVE`, and the request line says HTTP/1.0 |
| `NO_KEEPALIVE` | `Connection: close`, and the connection is not used again |
| `POST_TO_URI`, `FULL_URI` | the request line names the whole address |
| `OUT_ONLY` (default) | sent without waiting for an answer; a group goes on to its next child all the same, and a shutdown waits for it |
| `FORCE_ERROR_ON_SOAP_FAULT` (default) | a SOAP fault in the answer is fault 500000 |
| `PRESERVE_WS_ADDRESSING` (default) | WS-Addressing headers of the message go on. Without it they stay behind once a step has looked into the message; with `enableAddressing` new ones take their place |
| `preserveProcessedHeaders` (default) | the same, without `enableAddressing` |
| `uri.var.*`, `query.param.*` (default) | the variables of `http` endpoints |
| `COPY_CONTENT_LENGTH_FROM_INCOMING` | none: a known length is always told |
| `FORCE_POST_PUT_NOBODY`, `RETRY_ON_SOAPFAULT` | none, here as in Synapse |

After a failure `PROTOCOL_STATE_ON_FAILURE` (default scope) tells how far the request came, from 0 (not sent) to 4 (an answer had begun).
Hop-by-hop headers, `Content-Length`, `Date` and `Server` are never passed on.

gRPC (a Content-Type of `application/grpc`) goes over HTTP/2 by itself: h2c on `http`, by agreement on `https`. An address that names a host alone
gets the call's `/service/method`, whatever the API's context is. Messages flow both ways at once and are never kept unless a step reads the body,
which is binary then; one of more than 4 MiB (`limits.payload.grpc-message`, 0 is no limit) ends the call with RESOURCE_EXHAUSTED.
`grpc-timeout` is the call's deadline, and what is left of it is told to the backend; a client's deadline blames no endpoint. Without it, the endpoint's
timeout counts until the answer's head. From there a stream may live and be silent for as long as both sides want: a backend that says nothing for 310 s
(`limits.client.http2-ping`) is asked by a ping. The gateway's own errors become `grpc-status`: no answer in time 4, not reached or not ready 14, too
large or throttled 8, nothing here 12, 401 and 403 16 and 7, its own mistakes 13; so does an HTTP answer that a step makes, with its text as the
message. A backend that ends without a status is 14; a reset is the status that gRPC gives it.

The addresses of a host are asked for anew when they are older than 5 s (`name-fresh` in `[limits.client]` of `myelin.toml`), and at once when nobody is
reached there; while the resolver fails or takes its time, the last ones are used for 30 s (`name-stale`). Of several addresses IPv6 and IPv4 ones are tried by
turns, the next beside those before it after 250 ms (`next-address`). A connection serves one request after the other for 60 s (`pool-age`), then
a new one is made: a backend that moves is followed under load too.

An address may begin with `ws://` or `wss://`. The client has to ask for a WebSocket, otherwise it gets 426; that is over HTTP/1.1, for RFC 8441 (over
HTTP/2) is not offered. The in side runs, then the backend is asked, with the client's path, query, headers, `Origin` and subprotocols. No extensions are
agreed on: `permessage-deflate` is kept from both sides, so that what they say stays unpacked and can be checked. What the backend refuses is an answer like any other. On 101 the out side runs, and the client is connected unless a step has changed the status (`HTTP_SC`);
headers that steps set are in its 101. From there on frames are checked and passed on as they are (those over 64 KiB in fragments), pings, pongs
and close codes too; no mediator sees them. A side that is gone without a close frame costs the other one 1011 (backend) or 1001 (client), a frame
over 256 KiB or a message over 1 MiB costs both 1009, a slow side holds the other one up and is cut off after 30 s, and a side that is silent for
30 s is pinged and given up after two pings (`[limits.websocket]` in `myelin.toml`: `frame`, `message`, `control-frames`, `ping`, `idle`,
`write-gap`, `close`). Sockets outlive a reload; a shutdown says 1001 to both sides. `limits` of the endpoint count a socket until it is closed; how
it ends never suspends the endpoint. `OUT_ONLY` has no effect."#,
    differences: r#"Timeouts are noticed at once, not within 15 s. `ERROR_CODE` is the base code; Synapse adds the state of the connection to it. Without
`responseAction` a timeout is a fault; Synapse forgets the call and the client hangs. `discard` concerns timeouts alone, and the client gets 504.
A client that breaks off its own upload gets 400 or 408, and no endpoint is blamed. A `${name}` without a value is a fault that names it; Synapse
sends to the address as it is written."#,
    attributes: &[
        Attr::required("uri", Shape::Text, "The address; `${name}` in it stands for a property."),
        common::FORMAT,
        common::OPTIMIZE,
        common::ENCODING,
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(leaf::CHILDREN),
    build,
    examples: &[
        Example::new(
            "A POST goes through as it came",
            r#"<endpoint><address uri="http://backend/orders"/></endpoint>"#,
            "POST /orders\ncontent-type: application/json\nx-request: 7\n\n{\"id\": 7}",
            "turns\nbackend POST http://backend/orders\nbackend header x-request = 7\nbackend header content-type = application/json\nbackend body {\"id\": 7}",
        )
        .backend("200\ncontent-type: text/plain\n\nok"),
        Example::new(
            "JSON becomes a SOAP 1.1 message",
            r#"<endpoint><address uri="http://backend/service" format="soap11" encoding="UTF-8"/></endpoint>"#,
            "PUT /orders\ncontent-type: application/json\n\n{\"id\": 7}",
            "turns\nbackend POST http://backend/service\nbackend header content-type = text/xml; charset=UTF-8\nbackend header soapaction = \"\"",
        )
        .backend("200"),
        Example::new(
            "An impatient endpoint that is given an address by a property",
            r#"<endpoint><address uri="http://${host}/a"><timeout><duration>{number('2000')}</duration><responseAction>fault</responseAction></timeout></address><property name="host" value="backend:81"/></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend:81/a",
        )
        .backend("204"),
        Example::new(
            "Suspended for a second at first, then for longer, after two timeouts or anything else that goes wrong; not too much at once",
            r#"<endpoint name="orders"><address uri="http://backend/a"><suspendOnFailure><errorCodes>101500,101501,101503,101505,101506,101508</errorCodes><initialDuration>1000</initialDuration><progressionFactor>2.0</progressionFactor><maximumDuration>60000</maximumDuration></suspendOnFailure><markForSuspension><errorCodes>101504</errorCodes><retriesBeforeSuspension>2</retriesBeforeSuspension><retryDelay>100</retryDelay></markForSuspension><retryConfig><disabledErrorCodes>101504</disabledErrorCodes></retryConfig><limits inFlight="50" connections="20" queue="100" connectTimeout="500"/></address></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/a",
        )
        .backend("200"),
        Example::new(
            "The old spelling of ten seconds, and the failures after which a group may go on",
            r#"<endpoint><address uri="http://backend/a"><suspendDurationOnFailure>10</suspendDurationOnFailure><retryConfig><enabledErrorCodes>101503 101508</enabledErrorCodes></retryConfig></address></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/a",
        )
        .backend("200"),
        Example::new(
            "With WS-Addressing, and two seconds at the most",
            r#"<endpoint><address uri="http://backend/a" format="soap11"><enableAddressing version="submission"/><timeout><duration>2000</duration><responseAction>fault</responseAction></timeout></address></endpoint>"#,
            "POST /\ncontent-type: application/xml\n\n<a/>",
            "turns\nbackend POST http://backend/a",
        )
        .backend("202"),
    ],
};

#[derive(Debug)]
struct AddressEndpoint {
    leaf: Leaf,
    address: Address,
}

#[derive(Debug)]
enum Address {
    Fixed(Url),
    /// Texts, each with the property that follows it.
    Made {
        pieces: Vec<(String, String)>,
        rest: String,
    },
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let address = plan_address(element, planner);
    let (leaf, address) = (leaf?, address?);
    let (text, many) = match &address {
        Address::Fixed(url) => (url.to_string(), false),
        Address::Made { .. } => (element.get("uri").unwrap_or("").to_owned(), true),
    };
    Some(Arc::new(AddressEndpoint {
        leaf: leaf.at(&text, many, planner),
        address,
    }))
}

fn plan_address(element: &Element, planner: &mut Planner<'_>) -> Option<Address> {
    let value = element.attribute("uri")?.value.trimmed();
    let text = planner.resolved(&value)?;
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find("${") {
        let Some(length) = rest[open..].find('}') else {
            break;
        };
        pieces.push((rest[..open].to_owned(), rest[open + 2..open + length].to_owned()));
        rest = &rest[open + length + 1..];
    }
    let Some((first, _)) = pieces.first() else {
        return common::address(&text, value.span, planner).map(Address::Fixed);
    };
    if !first.is_empty() && !common::is_spoken(first) && !common::begins_spoken(first) {
        common::refuse_scheme(first, value.span, planner);
        return None;
    }
    if let Some((_, name)) = pieces.iter().find(|(_, name)| name.trim().is_empty()) {
        planner.tell(Diagnostic::error(
            "E0305",
            value.span,
            format!("`${{{name}}}` names no property"),
        ));
        return None;
    }
    Some(Address::Made {
        rest: rest.to_owned(),
        pieces,
    })
}

impl LeafKind for AddressEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    fn address(&self) -> Option<&Url> {
        match &self.address {
            Address::Fixed(url) => Some(url),
            Address::Made { .. } => None,
        }
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        let url = match &self.address {
            Address::Fixed(url) => url.clone(),
            Address::Made { pieces, rest } => {
                let mut text = String::new();
                for (before, name) in pieces {
                    let Some(value) = exchange.properties.text(name) else {
                        return Err(Fault::mediation(format!(
                            "the address needs the property `{name}`, which is not set"
                        )));
                    };
                    text.push_str(before);
                    text.push_str(&value);
                }
                text.push_str(rest);
                Url::parse(&text).map_err(|invalid| Fault::mediation(invalid.to_string()))?
            }
        };
        self.leaf.send(exchange, url).await
    }
}
