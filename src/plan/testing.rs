//! For tests: plans steps and endpoints that stand in a text, without a folder around them.

use super::planner::{Lookup, Unset};
use super::{Attr, Children, Element, EndpointKind, Kinds, Planner, Shape, element};
use crate::flow::delivery::{Delivery, Patience, deliver};
use crate::flow::{Answer, Catalog, Endpoint, EndpointId, Exchange, Fault, Sequence, SequenceId};
use crate::text::{Diagnostic, Mistakes, Severity, Sources};
use crate::wire::url::Url;
use async_trait::async_trait;
use std::sync::Arc;

/// What came of planning.
pub struct Planned<T> {
    pub what: T,
    pub catalog: Catalog,
    pub mistakes: Mistakes,
}

impl<T> Planned<T> {
    /// `E0201 2:7 message` for each mistake, in order; notes are left out.
    pub fn told(&self) -> Vec<String> {
        let told = |diagnostic: &crate::text::Diagnostic| {
            let place = diagnostic.span.map(|span| self.catalog.sources.place(span));
            let place = place.map_or(String::new(), |place| format!("{}:{}", place.line, place.column));
            format!("{} {place} {}", diagnostic.code, diagnostic.message)
        };
        let mistakes = self.mistakes.clone().sorted();
        let told_of = |mistake: &&Diagnostic| mistake.severity != Severity::Note;
        mistakes.iter().filter(told_of).map(told).collect()
    }
}

/// The steps in a text, as they stand inside a sequence, with named sequences and endpoints beside them: `<sequence name=…>`, `<endpoint name=…>`.
pub fn steps(kinds: Kinds, steps: &str, beside: &str) -> Planned<Sequence> {
    plan(kinds, steps, beside, |root, planner| {
        let steps = planner.steps(root);
        Sequence::branch("test", steps)
    })
}

/// The first `<endpoint>` in a text.
pub fn endpoint(kinds: Kinds, endpoint: &str, beside: &str) -> Planned<Option<Arc<dyn Endpoint>>> {
    plan(kinds, endpoint, beside, |root, planner| {
        let endpoint = root.child("endpoint").expect("the text holds an endpoint");
        planner.endpoint(endpoint)
    })
}

fn plan<T>(
    kinds: Kinds,
    text: &str,
    beside: &str,
    what: impl FnOnce(&Element, &mut Planner<'_>) -> T,
) -> Planned<T> {
    let mut sources = Sources::default();
    let [root, beside] = [text, beside].map(|text| read(text, &mut sources));
    let mut planner = Planner::new(kinds, &Nowhere, sources);
    planner.owner = Arc::from("test");
    let endpoints: Vec<&Element> = beside.all("endpoint").collect();
    let sequences: Vec<&Element> = beside.all("sequence").collect();
    for (number, element) in endpoints.iter().enumerate() {
        let name = element.get("name").expect("it has a name").to_owned();
        planner
            .names
            .endpoints
            .insert(name, (EndpointId(number as u32), element.span));
    }
    for (number, element) in sequences.iter().enumerate() {
        let name = element.get("name").expect("it has a name").to_owned();
        planner
            .names
            .sequences
            .insert(name, (SequenceId(number as u32), element.span));
    }
    let mut catalog = Catalog::default();
    for element in endpoints {
        let endpoint = planner.endpoint(element).expect("an endpoint beside is sound");
        catalog.endpoints.push(endpoint);
    }
    for element in sequences {
        let steps = planner.steps(element);
        let name = Arc::from(element.get("name").unwrap_or(""));
        catalog.sequences.push(Arc::new(Sequence {
            name,
            steps,
            on_error: None,
            named: true,
        }));
    }
    let what = what(&root, &mut planner);
    catalog.endpoint_names = planner
        .names
        .endpoints
        .iter()
        .map(|(name, (id, _))| (name.clone(), *id))
        .collect();
    catalog.sequence_names = planner
        .names
        .sequences
        .iter()
        .map(|(name, (id, _))| (name.clone(), *id))
        .collect();
    catalog.sources = planner.sources;
    Planned {
        what,
        catalog,
        mistakes: planner.mistakes,
    }
}

/// The text on line 2 of a file, so that columns are those of the text.
fn read(text: &str, sources: &mut Sources) -> Element {
    let text = format!("<sequence xmlns=\"{}\">\n{text}\n</sequence>", element::SYNAPSE);
    let file = sources.add("test.xml", text.clone());
    element::parse(file, &text).expect("the test's text is well-formed")
}

/// There is nothing outside the text.
struct Nowhere;

impl Lookup for Nowhere {
    fn resource(&self, _: &str, _: &str) -> Option<(String, String)> {
        None
    }

    fn resource_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, _: &str) -> Result<Option<String>, Unset> {
        Ok(None)
    }
}

/// An `<address>` for the tests of mediators, which know no endpoints.
pub static STAND_IN: EndpointKind = EndpointKind {
    element: "address",
    by_attribute: false,
    summary: "Sends to a fixed address.",
    notes: "",
    differences: "",
    attributes: &[Attr::required("uri", Shape::Text, "The address.")],
    children: Children::NONE,
    build: build_stand_in,
    examples: &[],
};

struct StandIn {
    url: Url,
    on_error: Option<SequenceId>,
}

fn build_stand_in(
    endpoint: &Element,
    element: &Element,
    planner: &mut Planner<'_>,
) -> Option<Arc<dyn Endpoint>> {
    let url = Url::parse(element.get("uri")?).expect("the test's address is one");
    let on_error = endpoint
        .attribute("onError")
        .and_then(|key| planner.sequence_key(&key.value.clone()));
    Some(Arc::new(StandIn { url, on_error }))
}

#[async_trait(?Send)]
impl Endpoint for StandIn {
    async fn deliver(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        let sent = deliver(
            exchange,
            self.url.clone(),
            &Delivery::default(),
            Patience::default(),
        )
        .await;
        sent.map_err(|fault| fault.handled_by(self.on_error))
    }

    fn name(&self) -> &str {
        "stand-in"
    }
}
