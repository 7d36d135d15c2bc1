//! `<recipientlist>`: a copy to each of several.

use super::around::{self, Properties};
use super::leaf::{Leaf, LeafKind};
use super::{group, member};
use crate::expression::Dynamic;
use crate::flow::health::NotReady;
use crate::flow::{Answer, Endpoint, Exchange, Fault, Origin, Retry, SequenceId, fault};
use crate::plan::{Attr, Child, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::wire::url::Url;
use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub const KIND: EndpointKind = EndpointKind {
    element: "recipientlist",
    by_attribute: false,
    summary: "Sends a copy of the message to each of its children.",
    notes: r#"All children that are ready get the message at the same time, each with a copy of its own; the body is read whole for that. The first
answer that comes goes on, as that of any endpoint; the others are read and let go. Only when all children fail is there a fault: 303000.

`<endpoints value="{expression}"/>` in place of children gives a list of addresses with commas between, computed for each message.
`<member>` children take the place of host and port in the message's `To`."#,
    differences: r#"In Synapse every answer goes through the out side by itself, to be joined by `aggregate`, and those behind the first are lost
without it. `aggregate` comes in a later release; until then it is the first answer here. `max-cache` is not needed: addresses have no objects of
their own."#,
    attributes: &[Attr::optional("name", Shape::Text, "What logs say. The name of `<endpoint>` where it is absent.")],
    children: Children::of(&[
        group::CHILDREN,
        member::MEMBER,
        Child::optional(
            "endpoints",
            &[
                Attr::required("value", Shape::Dynamic, "Addresses with commas between."),
                Attr::ignored("max-cache", "nothing is kept for an address that would have to be bounded"),
            ],
            Children::NONE,
            "Addresses that are computed for each message.",
        ),
    ]),
    build,
    examples: &[
        Example::new(
            "A copy to each of two",
            r#"<endpoint><recipientlist name="both"><endpoint key="orders"/><endpoint><address uri="http://backend/audit"/></endpoint></recipientlist></endpoint>"#,
            "POST /\n\nseven",
            "turns\nbackend POST http://backend/orders\nbackend body seven\nbackend POST http://backend/audit",
        )
        .backend("200")
        .beside(super::key::ORDERS),
        Example::new(
            "To addresses that a header lists",
            r#"<endpoint><recipientlist><endpoints value="{get-property('transport', 'x-to')}" max-cache="20"/></recipientlist></endpoint>"#,
            "GET /\nx-to: http://backend/a",
            "turns\nbackend GET http://backend/a",
        )
        .backend("200"),
        Example::new(
            "To the same path of another host",
            r#"<endpoint><recipientlist><member hostName="backend" httpPort="81" httpsPort="444"/></recipientlist></endpoint>"#,
            "GET http://shop/a",
            "turns\nbackend GET http://backend:81/a",
        )
        .backend("200"),
    ],
};

struct RecipientList {
    name: Arc<str>,
    on_error: Option<SequenceId>,
    properties: Properties,
    recipients: Recipients,
}

enum Recipients {
    Fixed(Vec<Arc<dyn Endpoint>>),
    Computed { addresses: Dynamic, leaf: Arc<Leaf> },
}

/// One of a list of addresses.
struct Recipient {
    leaf: Arc<Leaf>,
    url: Url,
}

/// An address in a list is left alone for so long after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// More copies of one message are not made.
const MOST: usize = 100;

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let before = planner.mistakes.errors();
    around::check(endpoint, element, &[], planner);
    let name = planner.endpoint_name(endpoint, &element.name);
    let name = element.get("name").map_or(name, |own| Arc::from(own.trim()));
    let on_error = endpoint
        .attribute("onError")
        .and_then(|key| planner.sequence_key(&key.value.clone()));
    let properties = Properties::plan(endpoint, planner);
    let mut children: Vec<_> = element
        .all("endpoint")
        .map(|child| planner.endpoint(child))
        .collect();
    children.extend(
        element
            .all("member")
            .map(|member| member::build(endpoint, member, planner)),
    );
    let recipients = match element.child("endpoints") {
        Some(list) if !children.is_empty() => {
            planner.mistake(
                "E0204",
                list.span,
                "a list of addresses and children do not go together",
            );
            return None;
        }
        Some(list) => {
            let addresses = planner.dynamic_in(list, "value")?;
            let leaf = Leaf::of_member(endpoint, list, PAUSE, planner);
            let text = list.get("value").unwrap_or("");
            Recipients::Computed {
                addresses,
                leaf: Arc::new(leaf.at(text, true, planner)),
            }
        }
        None if children.is_empty() => {
            planner.mistake(
                "E0208",
                element.span,
                "a `<recipientlist>` needs somebody to send to",
            );
            return None;
        }
        None => Recipients::Fixed(children.into_iter().collect::<Option<_>>()?),
    };
    (planner.mistakes.errors() == before).then(|| {
        Arc::new(RecipientList {
            name,
            on_error,
            properties,
            recipients,
        }) as Arc<dyn Endpoint>
    })
}

impl RecipientList {
    async fn recipients(&self, exchange: &mut Exchange) -> Result<Vec<Arc<dyn Endpoint>>, Fault> {
        let (addresses, leaf) = match &self.recipients {
            Recipients::Fixed(children) => return Ok(children.clone()),
            Recipients::Computed { addresses, leaf } => (addresses, leaf),
        };
        let text = exchange.dynamic(addresses).await?.into_owned();
        let mut seen = HashSet::new();
        let mut recipients: Vec<Arc<dyn Endpoint>> = Vec::new();
        for address in text
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
        {
            if !seen.insert(address) {
                continue;
            }
            if recipients.len() == MOST {
                return Err(Fault::mediation(format!(
                    "there are more than {MOST} addresses to send to"
                )));
            }
            let url = Url::parse(address).map_err(|invalid| Fault::mediation(invalid.to_string()))?;
            recipients.push(Arc::new(Recipient {
                leaf: Arc::clone(leaf),
                url,
            }));
        }
        Ok(recipients)
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.properties.set(exchange).await?;
        let mut ready = self.recipients(exchange).await?;
        let mut soonest = None;
        ready.retain(|child| match child.ready(exchange) {
            Ok(()) => true,
            Err(refused) => {
                soonest = group::sooner(soonest, refused.retry_after);
                false
            }
        });
        if let [only] = ready.as_slice() {
            return only.deliver(exchange).await;
        }
        let kept = exchange.message.payload.keep(&exchange.catalog.limits).await;
        kept.map_err(|error| exchange.not_parsed(error))?;
        let (answers, mut answered) = mpsc::unbounded_channel();
        for child in ready {
            let Some(mut copy) = exchange.copy() else {
                return Err(Fault::mediation("the message cannot be copied"));
            };
            let answers = answers.clone();
            tokio::task::spawn_local(async move {
                let answer = child.deliver(&mut copy).await;
                if let Err(fault) = &answer {
                    let served_by = &*copy.served_by;
                    tracing::warn!(served_by, recipient = child.name(), error_code = %fault.code, reason = %fault.reason, "A recipient did not get its copy.");
                }
                // Nobody listens any more when another one has answered.
                answers.send(answer).ok();
            });
        }
        drop(answers);
        let mut last = None;
        while let Some(answer) = answered.recv().await {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => last = Some(fault),
            }
        }
        let reason = format!(
            "Recipientlist endpoint : {} - no ready child endpoints",
            self.name
        );
        let none = Fault::new(fault::code::NONE_READY, Origin::Gateway, reason).retry_after(soonest);
        Err(match last {
            None => none.retry(Retry::Safe),
            Some(last) => none.detail(format!("the last child failed: {} {}", last.code, last.reason)),
        })
    }
}

#[async_trait(?Send)]
impl Endpoint for RecipientList {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let sent = self.send(exchange).await;
        sent.map_err(|mut fault| {
            fault.handler = fault.handler.or(self.on_error);
            fault
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        let Recipients::Fixed(children) = &self.recipients else {
            return Ok(());
        };
        let mut refused = Ok(());
        for child in children {
            refused = child.ready(exchange);
            if refused.is_ok() {
                break;
            }
        }
        refused
    }

    fn alters(&self) -> bool {
        self.properties.change_headers()
    }
}

impl LeafKind for Recipient {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.send(exchange, self.url.clone()).await
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        self.leaf.health(exchange).ready_at(&self.url.origin)
    }
}
