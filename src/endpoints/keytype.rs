//! `<keytype>`: production or sandbox, by the caller's token.

use super::around::{self, Properties};
use super::key;
use crate::flow::health::{Health, NotReady};
use crate::flow::token::{Demand, KeyType, Refusal, code};
use crate::flow::{Answer, Endpoint, Exchange, Fault, RetryRule, SequenceId, delivery};
use crate::plan::{Attr, Child, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "keytype",
    by_attribute: false,
    summary: "Sends production callers to one endpoint and sandbox callers to another.",
    notes: "Which of the two a caller is says the claim `keytype` of the token (or another claim: `key-type-claim` of `[[token]]` in `myelin.toml`). \
        Without the claim, or without a token where none is demanded, it is production. Whatever else the claim says is sandbox. A step may decide \
        beforehand by setting the property `AM_KEY_TYPE`. A token that is presented and not valid is answered with 401. A caller whose side is \
        missing gets 403 and API Manager's number 900901; `sandbox-fallback` lets sandbox callers go to production instead. Each side holds one \
        `<endpoint>` of any kind; its state, its failures and its `onError` are its own.",
    differences: "It is not in Synapse. API Manager writes a `<filter source=\"$ctx:AM_KEY_TYPE\" regex=\"PRODUCTION\">` instead, which works here too.",
    attributes: &[
        Attr::optional(
            "sandbox-fallback",
            Shape::Choice(&["production", "none"]),
            "Where sandbox callers go when there is no `<sandbox>`.",
        )
        .default("none"),
    ],
    children: Children::of(&[
        Child::optional("production", &[], SIDE, "The endpoint of production callers."),
        Child::optional("sandbox", &[], SIDE, "The endpoint of sandbox callers."),
    ]),
    build,
    examples: &[
        Example::new(
            "Without a token it is production",
            r#"<endpoint name="Orders"><keytype><production><endpoint><http uri-template="http://backend/orders"/></endpoint></production><sandbox><endpoint key="orders"/></sandbox></keytype></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(key::ORDERS),
        Example::new(
            "One endpoint for both",
            r#"<endpoint><keytype sandbox-fallback="production"><production><endpoint key="orders"/></production></keytype></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(key::ORDERS),
        Example::new(
            "A side that is not there",
            r#"<endpoint><keytype><sandbox><endpoint key="orders"/></sandbox></keytype></endpoint>"#,
            "GET /",
            "fails 900901 this is a production token, and the API has no production endpoint",
        )
        .beside(key::ORDERS),
    ],
};

const SIDE: Children = Children::of(&[Child::endpoint("Where they are sent to.")]);

struct KeyTypeEndpoint {
    name: Arc<str>,
    on_error: Option<SequenceId>,
    properties: Properties,
    production: Option<Arc<dyn Endpoint>>,
    sandbox: Option<Arc<dyn Endpoint>>,
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let before = planner.mistakes.errors();
    around::check(endpoint, element, &[], planner);
    let on_error = endpoint
        .attribute("onError")
        .and_then(|key| planner.sequence_key(&key.value.clone()));
    let properties = Properties::plan(endpoint, planner);
    let production = side(element, "production", planner);
    let mut sandbox = side(element, "sandbox", planner);
    if element.child("production").is_none() && element.child("sandbox").is_none() {
        let mistake = Diagnostic::error(
            "E0208",
            element.span,
            "`<keytype>` needs a `<production>` or a `<sandbox>` inside",
        );
        planner.tell(mistake);
    }
    let falls_back = planner
        .text(element, "sandbox-fallback")
        .is_some_and(|fallback| fallback.trim().eq_ignore_ascii_case("production"));
    if falls_back && element.child("sandbox").is_none() {
        sandbox.clone_from(&production);
    }
    let name = endpoint.get("name").map_or("keytype", str::trim);
    (planner.mistakes.errors() == before).then(|| {
        Arc::new(KeyTypeEndpoint {
            name: Arc::from(name),
            on_error,
            properties,
            production,
            sandbox,
        }) as Arc<dyn Endpoint>
    })
}

fn side(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let side = element.child(name)?;
    let mut inner = side.all("endpoint");
    match inner.next() {
        Some(first) => planner.endpoint(first),
        None => {
            planner.mistake(
                "E0208",
                side.span,
                format!("`<{name}>` needs an `<endpoint>` inside"),
            );
            None
        }
    }
}

impl KeyTypeEndpoint {
    fn of(&self, key_type: KeyType) -> Option<&Arc<dyn Endpoint>> {
        match key_type {
            KeyType::Production => self.production.as_ref(),
            KeyType::Sandbox => self.sandbox.as_ref(),
        }
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.properties.set(exchange).await?;
        look_at_token(exchange).await?;
        let key_type = exchange.key_type();
        let Some(chosen) = self.of(key_type) else {
            let (own, number) = (key_type.name().to_ascii_lowercase(), code::INVALID);
            let reason = format!("this is a {own} token, and the API has no {own} endpoint");
            return Err(Fault::client(number, reason).status(403));
        };
        delivery::deliver_to(exchange, chosen).await
    }

    fn chosen(&self, exchange: &Exchange) -> Option<&Arc<dyn Endpoint>> {
        self.of(exchange.key_type())
    }
}

#[async_trait(?Send)]
impl Endpoint for KeyTypeEndpoint {
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
        self.chosen(exchange)
            .map_or(Ok(()), |chosen| chosen.ready(exchange))
    }

    fn alters(&self) -> bool {
        let mut sides = self.production.iter().chain(&self.sandbox);
        self.properties.change_headers() || sides.any(|side| side.alters())
    }

    fn retry_rule(&self, exchange: &Exchange) -> RetryRule {
        self.chosen(exchange)
            .map_or(RetryRule::Any, |chosen| chosen.retry_rule(exchange))
    }

    fn health(&self, exchange: &Exchange) -> Option<Arc<Health>> {
        self.chosen(exchange)?.health(exchange)
    }
}

/// Where no token was demanded, one that is presented decides all the same, and so must be good. It is not the backend's.
async fn look_at_token(exchange: &mut Exchange) -> Result<(), Fault> {
    let decided = exchange.properties.default_values().get("AM_KEY_TYPE").is_some();
    let Some(caller) = exchange.caller.clone().filter(|_| !decided) else {
        return Ok(());
    };
    match caller.demand(Demand::ANY).await {
        Ok(_) => {}
        Err(Refusal::Missing) => return Ok(()),
        Err(refusal) => return Err(refusal.fault()),
    }
    for name in caller.headers_to_remove() {
        exchange.message.headers.remove(name);
    }
    Ok(())
}
