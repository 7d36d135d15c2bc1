//! `<propertyGroup>`: several properties at once.

use super::property;
use crate::flow::{AtOnce, Exchange, Mediator, Outcome, Sequence, Step};
use crate::plan::{Child, Children, Element, Example, MediatorKind, Planner};
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "propertyGroup",
    summary: "Sets or removes several properties, one after the other.",
    notes: "Each `property` inside is the mediator of that name.",
    differences: "",
    attributes: &[],
    children: Children::of(&[Child::required(
        "property",
        property::ATTRIBUTES,
        property::CHILDREN,
        "A property; see there.",
    )
    .many()]),
    build,
    examples: &[Example::new(
        "Set two properties",
        r#"<propertyGroup>
    <property name="OUT_ONLY" value="true"/>
    <property name="FORCE_SC_ACCEPTED" value="true" scope="axis2"/>
</propertyGroup>"#,
        "GET /",
        "continues\nproperty OUT_ONLY = true\naxis2 FORCE_SC_ACCEPTED = true",
    )],
};

struct PropertyGroup {
    properties: Sequence,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    // Steps, so that a fault is said to have happened at its own property.
    let steps: Vec<Step> = element
        .all("property")
        .filter_map(|inner| {
            let mediator = property::build(inner, planner)?;
            Some(Step {
                element: "property",
                span: inner.span,
                mediator: Box::new(mediator),
            })
        })
        .collect();
    let properties = Sequence::branch(Arc::clone(&planner.owner), steps);
    Some(Box::new(PropertyGroup { properties }))
}

#[async_trait(?Send)]
impl Mediator for PropertyGroup {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        self.properties.is_at_once().then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        self.properties.run(exchange).await
    }
}

impl AtOnce for PropertyGroup {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        self.properties.apply(exchange)
    }
}
