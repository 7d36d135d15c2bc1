//! For tests: plans steps as they stand in a sequence and sends a message through them.

use crate::flow::testing::{ScriptedBackend, exchange, wait};
use crate::flow::{Catalog, Exchange, Flow, Outcome, Sequence};
use crate::message::format::{Body, Target};
use crate::message::media_type::Form;
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::plan::planner::{Kinds, Lookup, Unset};
use crate::plan::{MediatorKind, Planner, element};
use crate::text::{Sources, render};

struct Entries<'a>(&'a [(&'a str, &'a str)]);

impl Lookup for Entries<'_> {
    fn resource(&self, key: &str, _: &str) -> Option<(String, String)> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
    }

    fn resource_names(&self) -> Vec<String> {
        self.0.iter().map(|(key, _)| (*key).to_owned()).collect()
    }

    fn resolve(&self, _: &str) -> Result<Option<String>, Unset> {
        Ok(None)
    }
}

pub struct Trial<'a> {
    pub kinds: &'static [&'static MediatorKind],
    /// Local entries and resources, by key.
    pub entries: &'a [(&'a str, &'a str)],
    pub properties: &'a [(&'a str, Value)],
}

impl Trial<'_> {
    /// The steps, or the mistakes in them, a line each.
    pub fn plan(&self, config: &str) -> Result<(Sequence, Catalog), String> {
        let mut sources = Sources::default();
        let text = format!("<sequence xmlns=\"{}\">{config}</sequence>", element::SYNAPSE);
        let file = sources.add("test.xml", text.clone());
        let root = element::parse(file, &text).expect("the test is XML");
        let lookup = Entries(self.entries);
        let mut planner = Planner::new(
            Kinds {
                mediators: self.kinds,
                endpoints: &[],
            },
            &lookup,
            sources,
        );
        for (key, text) in self.entries {
            planner
                .entries
                .insert((*key).to_owned(), crate::plan::planner::entry_value(text));
        }
        let steps = planner.steps(&root);
        if planner.mistakes.errors() > 0 {
            let lines = planner
                .mistakes
                .iter()
                .map(|mistake| render::one_plain(mistake, &planner.sources));
            return Err(lines.collect::<Vec<_>>().join("\n"));
        }
        let catalog = Catalog {
            entries: planner.entries,
            sources: planner.sources,
            ..Catalog::default()
        };
        Ok((Sequence::branch("test", steps), catalog))
    }

    pub fn run(&self, config: &str, request: &str) -> (Outcome, Exchange) {
        let (sequence, catalog) = self.plan(config).expect("no mistakes");
        let mut exchange = exchange(request, catalog, ScriptedBackend::new([]));
        for (name, value) in self.properties {
            exchange.properties.set(*name, value.clone());
        }
        let outcome = wait(sequence.run(&mut exchange));
        (outcome, exchange)
    }

    /// What the body is written as afterwards, by its `messageType`; or the fault.
    pub fn body(&self, config: &str, request: &str) -> String {
        match self.run(config, request) {
            (Ok(Flow::Continue), mut exchange) => written(&mut exchange),
            (Ok(flow), _) => format!("{flow:?}"),
            (Err(fault), _) => format!("fault {fault}"),
        }
    }
}

pub fn written(exchange: &mut Exchange) -> String {
    wait(exchange.load()).expect("it can be read");
    let form = exchange
        .message_type()
        .map_or(Form::Unknown, |essence| Form::of(&essence));
    let payload = std::mem::replace(&mut exchange.message.payload, Payload::empty());
    let context = exchange.catalog.build_context();
    match payload
        .write(&Target::of(form), &context)
        .map(|written| written.body)
    {
        Ok(Body::Empty) => String::new(),
        Ok(Body::Bytes { bytes, .. }) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Body::Stream(_)) => "a stream".to_owned(),
        Err(error) => format!("error {error}"),
    }
}

/// All kinds, nothing beside them.
pub const ALL: Trial<'_> = Trial {
    kinds: super::ALL,
    entries: &[],
    properties: &[],
};

/// What is told about steps at load, a line each: `E0203 message`.
pub fn told(config: &str) -> String {
    let mut sources = Sources::default();
    let text = format!("<sequence xmlns=\"{}\">{config}</sequence>", element::SYNAPSE);
    let file = sources.add("test.xml", text.clone());
    let root = element::parse(file, &text).expect("the test is XML");
    let lookup = Entries(&[]);
    let kinds = Kinds {
        mediators: super::ALL,
        endpoints: &[],
    };
    let mut planner = Planner::new(kinds, &lookup, sources);
    planner.steps(&root);
    let lines: Vec<String> = planner
        .mistakes
        .iter()
        .map(|mistake| format!("{} {}", mistake.code, mistake.message))
        .collect();
    lines.join("\n")
}

/// Runs steps and says what came of it: `continues`, another flow, or the fault.
pub fn outcome(config: &str, request: &str) -> String {
    match ALL.run(config, request).0 {
        Ok(Flow::Continue) => "continues".to_owned(),
        Ok(flow) => format!("{flow:?}"),
        Err(fault) => format!("fault {fault}"),
    }
}
