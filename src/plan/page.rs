//! The page of an element, in Markdown: written from the table that checks it, so it cannot say anything else.

use super::kind::{ArtifactKind, Attr, Child, Children, EndpointKind, Example, MediatorKind, Support};
use crate::script::e4x;
use crate::script::js::members;

/// A page about more than one element.
pub struct Topic {
    pub name: &'static str,
    pub title: &'static str,
    pub summary: &'static str,
    text: fn() -> String,
}

pub const TOPICS: &[Topic] = &[
    Topic {
        name: "states",
        title: "States of endpoints",
        summary: "When an endpoint is taken out of use, and what brings it back.",
        text: || include_str!("states.md").to_owned(),
    },
    Topic {
        name: "mock",
        title: "Mocks from OpenAPI definitions",
        summary: "OpenAPI definitions as APIs: who answers, what a client can ask for, what is checked.",
        text: || include_str!("definitions.md").to_owned(),
    },
    Topic {
        name: "mc",
        title: "What scripts are given",
        summary: "Everything that a script can ask of `mc`, and what else there is.",
        text: script_members,
    },
];

/// All pages in one: `sequences/REFERENCE.md`.
pub fn reference(
    artifacts: &[&ArtifactKind],
    mediators: &[&MediatorKind],
    endpoints: &[&EndpointKind],
) -> String {
    let mut page = String::from(
        "# Reference\n\n\
         Every element that runs here: its attributes, what stands inside, what differs from Apache Synapse, and examples that are run \
         as tests. All elements are in the namespace `http://ws.apache.org/ns/synapse`, and all take the attribute `description`, for \
         notes.\n\n\
         `myelin explain ELEMENT` prints one of these pages. This file is written from the code: `UPDATE=1 cargo test reference`.\n",
    );
    let artifacts = artifacts.iter().map(|kind| (kind.summary, artifact(kind)));
    let mediators = mediators.iter().map(|kind| (kind.summary, mediator(kind)));
    let endpoints = endpoints.iter().map(|kind| (kind.summary, endpoint(kind)));
    let chapters: [(&str, Vec<(&str, String)>); 3] = [
        ("Artifacts", artifacts.collect()),
        ("Mediators", mediators.collect()),
        ("Endpoints", endpoints.collect()),
    ];
    for (title, pages) in chapters {
        page.push_str(&format!("\n# {title}\n\n"));
        for (summary, text) in &pages {
            let element = text.lines().next().unwrap_or("").trim_start_matches("# ");
            page.push_str(&format!("* {element}: {summary}\n"));
        }
        for (_, text) in &pages {
            page.push('\n');
            page.push_str(&lowered(text));
        }
    }
    for each in TOPICS {
        page.push('\n');
        page.push_str(&topic(each));
    }
    page
}

/// The same page with its headings one level lower. What stands in fences is left alone.
fn lowered(page: &str) -> String {
    let mut fenced = false;
    let mut out = String::with_capacity(page.len() + 32);
    for line in page.lines() {
        fenced ^= line.starts_with("```");
        if line.starts_with('#') && !fenced {
            out.push('#');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

pub fn topic(topic: &Topic) -> String {
    format!("# {}\n\n{}", topic.title, (topic.text)())
}

pub fn mediator(kind: &MediatorKind) -> String {
    let mut page = head(&format!("<{}>", kind.element), kind.summary, kind.notes);
    table(&mut page, kind.attributes, &kind.children);
    differences(&mut page, kind.differences);
    examples(&mut page, kind.examples);
    page
}

pub fn endpoint(kind: &EndpointKind) -> String {
    let title = if kind.by_attribute {
        format!("<endpoint {}=\"…\">", kind.element)
    } else {
        format!("<endpoint><{}>", kind.element)
    };
    let mut page = head(&title, kind.summary, kind.notes);
    let inside = kind.children.elements;
    if inside.iter().any(|child| child.element == "suspendOnFailure") {
        page.push_str("\nWhen it is taken out of use, and what brings it back: [states of endpoints](#states-of-endpoints), `myelin explain states`.\n");
    }
    table(&mut page, kind.attributes, &kind.children);
    differences(&mut page, kind.differences);
    examples(&mut page, kind.examples);
    page
}

pub fn artifact(kind: &ArtifactKind) -> String {
    let mut page = head(&format!("<{}>", kind.element), kind.summary, kind.notes);
    table(&mut page, kind.attributes, &kind.children);
    differences(&mut page, kind.differences);
    for example in kind.examples {
        page.push_str(&format!("\n```xml\n{}\n```\n", example.trim()));
    }
    page
}

fn head(title: &str, summary: &str, notes: &str) -> String {
    let mut page = format!("# `{title}`\n\n{summary}\n");
    if !notes.is_empty() {
        page.push_str(&format!("\n{notes}\n"));
    }
    page
}

fn table(page: &mut String, attributes: &[Attr], children: &Children) {
    if !attributes.is_empty() {
        page.push_str("\n## Attributes\n\n");
        attributes_list(page, attributes, "");
    }
    if !children.elements.is_empty()
        || children.steps
        || children.text
        || children.any
        || children.foreign.is_some()
    {
        page.push_str("\n## Inside\n\n");
        inside(page, children, 0, &mut Vec::new());
    }
}

fn attributes_list(page: &mut String, attributes: &[Attr], indent: &str) {
    for attribute in attributes {
        let required = if attribute.required { ", required" } else { "" };
        page.push_str(&format!("{indent}* `{}`", attribute.name));
        match attribute.support {
            Support::Full => {
                page.push_str(&format!(
                    " ({}{required}): {}",
                    attribute.shape.words(),
                    attribute.about
                ));
                if let Some(default) = attribute.default {
                    page.push_str(&format!(" Default: `{default}`."));
                }
            }
            other => page.push_str(&support(other)),
        }
        page.push('\n');
    }
}

/// Tables may refer to themselves: a child is shown with its own children once.
fn inside(page: &mut String, children: &Children, depth: usize, seen: &mut Vec<*const Child>) {
    let indent = "  ".repeat(depth);
    let (fresh, known): (Vec<_>, Vec<_>) = children
        .elements
        .iter()
        .partition(|child| !seen.contains(&std::ptr::from_ref(*child)));
    seen.extend(fresh.iter().map(|child| std::ptr::from_ref(*child)));
    for child in fresh {
        page.push_str(&format!("{indent}* `<{}>`{}", child.element, standing(child)));
        match child.support {
            Support::Full => page.push_str(&format!(": {}", child.about)),
            other => page.push_str(&support(other)),
        }
        page.push('\n');
        attributes_list(page, child.attributes, &format!("{indent}  "));
        if !child.endpoint {
            inside(page, &child.children, depth + 1, seen);
        }
    }
    if !known.is_empty() {
        let names: Vec<String> = known
            .iter()
            .map(|child| format!("`<{}>`", child.element))
            .collect();
        page.push_str(&format!("{indent}* {} as above\n", names.join(", ")));
    }
    if let Some(foreign) = children.foreign {
        page.push_str(&format!("{indent}* {foreign}\n"));
    }
    let else_inside = match (children.steps, children.any, children.text) {
        (true, ..) => "mediators",
        (_, true, _) if children.elements.is_empty() => "any content",
        (_, _, true) => "text",
        _ => return,
    };
    page.push_str(&format!("{indent}* {else_inside}\n"));
}

fn standing(child: &Child) -> &'static str {
    match (child.required, child.many) {
        (true, true) => " (one or more)",
        (true, false) => " (required)",
        (false, true) => " (any number)",
        (false, false) => "",
    }
}

fn support(support: Support) -> String {
    match support {
        Support::Full => String::new(),
        Support::Ignored(why) => format!(": accepted and ignored: {why}"),
        Support::NotYet(what) => format!(": not in effect yet: {what}"),
        Support::Refused(advice) => format!(": not supported: {advice}"),
    }
}

fn differences(page: &mut String, text: &str) {
    if !text.is_empty() {
        page.push_str(&format!("\n## Differences from Synapse\n\n{text}\n"));
    }
}

fn examples(page: &mut String, examples: &[Example]) {
    for example in examples {
        page.push_str(&format!(
            "\n## {}\n\n```xml\n{}\n```\n",
            example.title,
            example.config.trim()
        ));
        let mut block = |title: &str, text: &str| {
            if !text.trim().is_empty() {
                page.push_str(&format!("\n{title}\n\n```\n{}\n```\n", text.trim()));
            }
        };
        block("With", example.beside);
        block("Given", example.given);
        block("When the backend answers", example.backend);
        block("Then", example.then);
    }
}

/// The members of `mc`, from the table that binds them.
fn script_members() -> String {
    let mut page = String::from(
        "A `<script>` in JavaScript gets these. The last line of each example is true for the message\n\n```\n",
    );
    page.push_str(members::EXAMPLE);
    page.push_str("\n```\n");
    for member in members::MEMBERS {
        let call = match member.is_value() {
            true => String::new(),
            false => format!("({})", member.arguments),
        };
        page.push_str(&format!(
            "\n* `{}{call}`: {}\n\n  ```js\n  {}\n  ```\n",
            member.name,
            member.about,
            member.example.replace('\n', "\n  ")
        ));
    }
    page.push_str("\nXML can be written and read in the syntax of E4X (ECMA-357), whatever the script's language is called:\n");
    for form in e4x::FORMS {
        page.push_str(&format!(
            "\n* `{}`: {}\n\n  ```js\n  {}\n  ```\n",
            form.written,
            form.about,
            form.example.replace('\n', "\n  ")
        ));
    }
    page.push_str("\nNot given, and what to use instead:\n\n");
    for (name, advice) in members::REFUSED {
        page.push_str(&format!("* `mc.{name}`: {advice}\n"));
    }
    for (name, advice) in members::JAVA {
        page.push_str(&format!("* `{name}`: {advice}\n"));
    }
    page.push_str(
        "* `eval`, `Function`: a script runs what is written in it\n* `setTimeout`: `sleepFor` makes the answer come later\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::super::kind::{Attr, Children, Shape};
    use super::*;

    #[test]
    fn a_page_shows_the_whole_table() {
        const KIND: ArtifactKind = ArtifactKind {
            element: "localEntry",
            summary: "A named constant.",
            notes: "It is trimmed.",
            differences: "None.",
            attributes: &[
                Attr::required("key", Shape::Text, "Its name."),
                Attr::optional("on", Shape::Boolean, "Whether.").default("true"),
                Attr::ignored("trace", "tracing is by request here"),
            ],
            children: Children::of(&[Child::optional("part", &[], Children::STEPS, "One of them.").many()])
                .or_text(),
            examples: &["<localEntry key=\"a\">b</localEntry>"],
        };
        assert_eq!(
            artifact(&KIND),
            "# `<localEntry>`\n\nA named constant.\n\nIt is trimmed.\n\n## Attributes\n\n\
             * `key` (text, required): Its name.\n\
             * `on` (`true` or `false`): Whether. Default: `true`.\n\
             * `trace`: accepted and ignored: tracing is by request here\n\
             \n## Inside\n\n* `<part>` (any number): One of them.\n  * mediators\n* text\n\
             \n## Differences from Synapse\n\nNone.\n\
             \n```xml\n<localEntry key=\"a\">b</localEntry>\n```\n"
        );
    }
}
