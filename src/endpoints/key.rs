//! `<endpoint key="…"/>`: an endpoint that stands elsewhere.

use super::common;
use crate::flow::health::{Health, NotReady};
use crate::flow::{
    Answer, Catalog, Endpoint, EndpointId, Exchange, Fault, Fixed, RetryRule, Runtime, delivery,
};
use crate::plan::{Attr, Child, Children, Element, EndpointKind, Example, Planner, Shape, Support};
use async_trait::async_trait;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "key",
    by_attribute: true,
    summary: "Sends through an endpoint that stands elsewhere.",
    notes: "The key names an endpoint of its own file, a local entry or a registry resource that holds one.",
    differences: "The key is resolved at load; Synapse looks it up each time, and an unknown key is fault 305100.",
    attributes: &[
        Attr::required("key", Shape::Endpoint, "The endpoint's name."),
        Attr::optional("name", Shape::Text, "What other artifacts refer to."),
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(&[PROPERTIES]),
    build,
    examples: &[Example::new(
        "Under another name",
        r#"<endpoint key="orders" name="alias"/>"#,
        "GET /",
        "turns\nbackend GET http://backend/orders",
    )
    .backend("200")
    .beside(ORDERS)],
};

/// What the examples name.
pub const ORDERS: &str = r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#;

pub const PROPERTIES: Child = Child::optional(
    "property",
    &[],
    Children::ANY,
    "Properties belong to the endpoint itself.",
)
.many()
.support(Support::Ignored(
    "Synapse reads the properties of the endpoint that the key names",
));

/// How deep endpoints may refer to each other before it is taken for a circle.
const DEEPEST: usize = 64;

#[derive(Debug)]
struct IndirectEndpoint {
    key: Arc<str>,
    id: EndpointId,
}

fn build(endpoint: &Element, _: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let key = endpoint.attribute("key")?.value.trimmed();
    let id = planner.endpoint_key(&key)?;
    Some(Arc::new(IndirectEndpoint {
        key: Arc::from(key.text),
        id,
    }))
}

#[async_trait(?Send)]
impl Endpoint for IndirectEndpoint {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        deliver_through(exchange, self.id, &self.key).await
    }

    fn name(&self) -> &str {
        &self.key
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        exchange.catalog.endpoint(self.id).ready(exchange)
    }

    fn retry_rule(&self, exchange: &Exchange) -> RetryRule {
        exchange.catalog.endpoint(self.id).retry_rule(exchange)
    }

    fn health(&self, exchange: &Exchange) -> Option<Arc<Health>> {
        exchange.catalog.endpoint(self.id).health(exchange)
    }

    fn fixed(&self, catalog: Option<&Catalog>, runtime: &Runtime) -> Option<Fixed> {
        // A name for a name may lead in a circle, so no further one is looked up.
        catalog?.endpoint(self.id).fixed(None, runtime)
    }

    /// What stands behind the name is not known yet when this is asked.
    fn alters(&self) -> bool {
        true
    }
}

/// Sends through a named endpoint, as long as names lead to an end.
pub async fn deliver_through(exchange: &mut Exchange, id: EndpointId, key: &str) -> Result<Answer, Fault> {
    if exchange.depth >= DEEPEST {
        return Err(Fault::mediation(format!(
            "the endpoint `{key}` refers to itself, by way of others or at once"
        )));
    }
    let endpoint = exchange.catalog.endpoint(id);
    exchange.depth += 1;
    let sent = delivery::deliver_to(exchange, &endpoint).await;
    exchange.depth -= 1;
    sent
}

#[cfg(test)]
mod tests {
    use crate::endpoints::ALL;
    use crate::flow::testing::{ScriptedBackend, exchange, wait};
    use crate::plan::{Kinds, testing};

    #[test]
    fn endpoints_that_name_each_other_in_a_circle_are_a_fault() {
        let kinds = Kinds {
            mediators: &[],
            endpoints: ALL,
        };
        let beside = r#"<endpoint name="a" key="b"/><endpoint name="b" key="a"/>"#;
        let planned = testing::endpoint(kinds, r#"<endpoint key="a"/>"#, beside);
        let mut exchange = exchange("GET /", planned.catalog, ScriptedBackend::new([]));
        let fault = wait(planned.what.expect("it is sound").deliver(&mut exchange)).err();
        assert!(fault.is_some_and(|fault| fault.reason.contains("refers to itself")));
        assert_eq!(exchange.depth, 0);
    }
}
