//! `<endpoint key-expression="…"/>`: an endpoint whose name each message computes.

use super::{common, key};
use crate::expression::Expression;
use crate::flow::{Answer, Endpoint, Exchange, Fault, fault};
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use async_trait::async_trait;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "key-expression",
    by_attribute: true,
    summary: "Sends through the endpoint whose name an expression gives.",
    notes: "The name is computed for each message. One that no endpoint has is fault 305100.",
    differences: "Only endpoints that were loaded with the folder can be named; Synapse asks its registry each time.",
    attributes: &[
        Attr::required("key-expression", Shape::Expression, "The endpoint's name."),
        Attr::optional("name", Shape::Text, "What other artifacts refer to."),
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(&[key::PROPERTIES]),
    build,
    examples: &[
        Example::new(
            "By a header",
            r#"<endpoint key-expression="$trp:x-service" name="by-header"/>"#,
            "GET /\nx-service: orders",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(key::ORDERS),
        Example::new(
            "A name that no endpoint has",
            r#"<endpoint key-expression="'nowhere'"/>"#,
            "GET /",
            "fails 305100 there is no endpoint `nowhere` (key-expression `'nowhere'`)",
        ),
    ],
};

#[derive(Debug)]
struct ComputedEndpoint {
    key: Expression,
}

fn build(endpoint: &Element, _: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let key = planner.expression_in(endpoint, "key-expression")?;
    Some(Arc::new(ComputedEndpoint { key }))
}

#[async_trait(?Send)]
impl Endpoint for ComputedEndpoint {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let name = exchange.text(&self.key).await?.unwrap_or_default();
        let Some(id) = exchange.catalog.endpoint_names.get(name.trim()).copied() else {
            let reason = format!(
                "there is no endpoint `{name}` (key-expression `{}`)",
                self.key.source()
            );
            return Err(Fault::new(
                fault::code::ENDPOINT_NOT_FOUND,
                crate::flow::Origin::Author,
                reason,
            ));
        };
        key::deliver_through(exchange, id, &name).await
    }

    fn name(&self) -> &str {
        self.key.source()
    }

    /// What stands behind the name is known for each message alone.
    fn alters(&self) -> bool {
        true
    }
}
