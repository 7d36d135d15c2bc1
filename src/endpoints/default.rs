//! `<default>`: wherever the message's `To` says.

use super::common;
use super::leaf::{self, Leaf, LeafKind};
use crate::flow::delivery::Chosen;
use crate::flow::{Answer, Endpoint, Exchange, Fault, delivery};
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::Diagnostic;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "default",
    by_attribute: false,
    summary: "Sends to the message's own `To`.",
    notes: r#"A `To` that stands only in the WS-Addressing header of a SOAP message is no destination, as for `<send/>`.
A step in front sets `To`, most often `<header name="To" expression="…"/>`. What comes behind the API's context in the client's request
(axis2 `REST_URL_POSTFIX`) is appended, as for `address`; remove the property where `To` says everything. Properties and formats are those of `address`.

Where `To` is made of what a client sent, `allow` says where it may lead, in the words of `dynamic`; without it the list of the whole gateway holds
(`[endpoints] allow = "…"` in `myelin.toml`). Without either it may lead anywhere, as in Synapse, but for link-local addresses, where clouds keep their
credentials. What is refused is fault 305403, and 403 for the client. The same holds for `<send/>` and `<call/>` without an endpoint, and for addresses whose
host is made of properties."#,
    differences: "Synapse knows no `allow`, and goes to link-local addresses too. A message whose `To` is no address of http or https is a fault that says so. Otherwise as `address`.",
    attributes: &[
        Attr::optional(
            "allow",
            Shape::Text,
            "Where it may go, such as `https://*.example.com`, entries with spaces or commas between.",
        ),
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
            "As XML without an envelope, in the character set the backend reads",
            r#"<endpoint><default format="pox" encoding="ISO-8859-1"/></endpoint>"#,
            "POST http://backend/a\ncontent-type: application/json\n\n{\"name\": \"Zoë\"}",
            "turns\nbackend POST http://backend/a\nbackend header content-type = application/xml; charset=ISO-8859-1",
        )
        .backend("202"),
        Example::new(
            "With WS-Addressing, and two seconds at the most",
            r#"<endpoint><default format="soap11"><enableAddressing version="final"/><timeout><duration>2000</duration><responseAction>fault</responseAction></timeout></default></endpoint>"#,
            "POST http://backend/a\ncontent-type: application/xml\n\n<a/>",
            "turns\nbackend POST http://backend/a",
        )
        .backend("202"),
        Example::new(
            "Within one domain, whoever asks",
            r#"<endpoint><default allow="https://*.example.com"/></endpoint>"#,
            "GET http://169.254.169.254/latest",
            "fails 305403 the message may not go where it asks for: `http://169.254.169.254` is not on the list of what is allowed",
        ),
        Example::new(
            "Without an address",
            "<endpoint><default/></endpoint>",
            "POST /a\n\nx",
            "fails 0 the message cannot be sent to its `To`: `/a` is not an address that can be called: it has no scheme such as http://",
        ),
    ],
};

#[derive(Debug)]
struct DefaultEndpoint {
    leaf: Leaf,
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let allow = common::allow_list(element, planner);
    let mut leaf = leaf?.at("the message's To", true, planner);
    let allow = allow?;
    if allow.is_none() && planner.allow.is_none() {
        let note = Diagnostic::note("N0301", element.span, "the message may go anywhere from here");
        planner.tell(note.help(
            "if a client can choose `To`, say with `allow=\"https://*.example.com …\"` where it may lead",
        ));
    }
    leaf.delivery.chosen = Chosen::ByMessage(allow);
    Some(Arc::new(DefaultEndpoint { leaf }))
}

impl LeafKind for DefaultEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        let url = delivery::find_target(exchange).await?;
        self.leaf.send(exchange, url).await
    }
}
