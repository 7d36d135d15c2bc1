//! `myelin explain ELEMENT`: the page of an element, from the table that also checks and builds it. `myelin explain CODE`: what
//! a mistake means. `myelin explain TOPIC`: what concerns more than one element.

use super::{Exit, Streams};
use crate::plan::page;
use crate::text::codes::{self, Code};
use clap::Args;
use std::io::Write;

#[derive(Args)]
pub struct Arguments {
    /// The name of an element, such as `filter`, a topic (`states`), or the code of a mistake, such as `E0401`; all of them if none is given
    #[arg(value_name = "ELEMENT|TOPIC|CODE")]
    element: Option<String>,
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    let pages = pages();
    let Some(element) = &arguments.element else {
        for (title, summary, _) in &pages {
            writeln!(streams.out, "{title:20} {summary}").ok();
        }
        for Code { code, meaning, .. } in codes::ALL {
            writeln!(streams.out, "{code:20} {meaning}").ok();
        }
        return Exit::Success;
    };
    let element = element.trim_start_matches('<').trim_end_matches(['>', '/']);
    if let Some(Code { code, meaning, cure }) = codes::find(element) {
        writeln!(streams.out, "# {code}\n\n{meaning}\n\n{cure}").ok();
        return Exit::Success;
    }
    let found: Vec<String> = pages
        .iter()
        .filter(|(title, ..)| title.split(' ').next() == Some(element) || title == element)
        .map(|(.., page)| page())
        .collect();
    if found.is_empty() {
        return unknown(element, pages.iter().map(|(title, ..)| title.as_str()), streams);
    }
    write!(streams.out, "{}", found.join("\n")).ok();
    Exit::Success
}

type Page = (String, &'static str, Box<dyn Fn() -> String>);

/// Title, summary and text of every page.
fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for kind in crate::deployment::ARTIFACTS.iter().copied() {
        pages.push((
            kind.element.to_owned(),
            kind.summary,
            Box::new(|| page::artifact(kind)),
        ));
    }
    for kind in crate::mediators::ALL.iter().copied() {
        pages.push((
            kind.element.to_owned(),
            kind.summary,
            Box::new(|| page::mediator(kind)),
        ));
    }
    for kind in crate::endpoints::ALL.iter().copied() {
        pages.push((
            format!("{} endpoint", kind.element),
            kind.summary,
            Box::new(|| page::endpoint(kind)),
        ));
    }
    for topic in page::TOPICS {
        pages.push((
            topic.name.to_owned(),
            topic.summary,
            Box::new(|| page::topic(topic)),
        ));
    }
    pages
}

fn unknown<'a>(element: &str, names: impl Iterator<Item = &'a str>, streams: &mut Streams) -> Exit {
    use crate::plan::later;
    let later = [later::MEDIATORS, later::ENDPOINTS, later::ARTIFACTS]
        .into_iter()
        .find_map(|table| later::advice(table, element));
    match later {
        Some(advice) => writeln!(streams.err, "`<{element}>` is not supported: {advice}").ok(),
        None => {
            let names: Vec<&str> = names.filter_map(|name| name.split(' ').next()).collect();
            let help = crate::text::suggest::did_you_mean(element, names)
                .unwrap_or_else(|| "`myelin explain` lists them all".to_owned());
            writeln!(streams.err, "there is no element `<{element}>`; {help}").ok()
        }
    };
    Exit::Findings
}
