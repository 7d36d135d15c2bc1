//! `<endpoint template="…"/>`: an endpoint made from a template.

use super::common;
use crate::flow::Endpoint;
use crate::plan::planner::EndpointTemplate;
use crate::plan::{
    Attr, Attribute, Child, Children, Content, Element, EndpointKind, Example, Planner, Shape,
};
use crate::text::{Diagnostic, Placed, suggest};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "template",
    by_attribute: true,
    summary: "An endpoint made from a template.",
    notes: r#"The template is an artifact of its own: `<template name="…"><parameter name="…"/>…<endpoint>…</endpoint></template>`. Every attribute and
every text in it that is `$` and the name of a parameter, and nothing else, is replaced by what stands here. `$name` and `$uri` are the attributes
of those names and need not be declared. Two endpoints made from one template have a state each."#,
    differences: r#"`name` and `uri` may be left out where the template does not ask for them. A parameter that the template uses and nobody gives is told at
load; Synapse leaves the `$name` as it stands. The template is looked up at load."#,
    attributes: &[
        Attr::required("template", Shape::Text, "The name of the template."),
        Attr::optional(
            "name",
            Shape::Text,
            "What other artifacts refer to, and `$name` in the template.",
        ),
        Attr::optional("uri", Shape::Text, "`$uri` in the template."),
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(&[PARAMETER]),
    build,
    examples: &[
        Example::new(
            "One template, many addresses",
            r#"<endpoint template="impatient" name="orders" uri="http://backend/orders"><parameter name="wait" value="500"/></endpoint>"#,
            "GET /",
            "turns\nbackend GET http://backend/orders",
        )
        .backend("200")
        .beside(
            r#"<template name="impatient"><parameter name="wait"/>
  <endpoint name="$name"><address uri="$uri"><timeout><duration>$wait</duration><responseAction>fault</responseAction></timeout></address></endpoint>
</template>"#,
        ),
    ],
};

const PARAMETER: Child = Child::optional(
    "parameter",
    &[
        Attr::required("name", Shape::Text, "The parameter's name."),
        Attr::required(
            "value",
            Shape::Text,
            "What stands in the template in place of `$NAME`.",
        ),
    ],
    Children::NONE,
    "A value for a parameter.",
)
.many();

fn build(endpoint: &Element, _: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let key = endpoint.attribute("template")?.value.trimmed();
    let name = planner.resolved(&key)?;
    let Some(template) = planner.endpoint_templates.get(name.trim()).map(Rc::clone) else {
        unknown(&name, &key, planner);
        return None;
    };
    let given = given(endpoint, &template, planner);
    if planner.expanding.contains(&template.name) {
        planner.mistake(
            "E0407",
            key.span,
            format!(
                "the endpoint template `{}` refers to itself, by way of others or at once",
                template.name
            ),
        );
        return None;
    }
    let before = planner.mistakes.errors();
    let mut filling = Filling {
        template: &template,
        given,
        endpoint,
        planner,
    };
    let filled = filling.fill(&template.endpoint);
    if planner.mistakes.errors() > before {
        return None;
    }
    let made = named(filled, endpoint);
    planner.expanding.push(template.name.clone());
    let planned = planner.endpoint(&made);
    planner.expanding.pop();
    planned
}

fn unknown(name: &str, key: &Placed, planner: &mut Planner<'_>) {
    let mut known: Vec<&str> = planner.endpoint_templates.keys().map(String::as_str).collect();
    known.sort_unstable();
    let help = match planner.names.templates.contains_key(name) {
        true => Some("there is a sequence template of this name; `call-template` runs it".to_owned()),
        false => suggest::did_you_mean(name, known.iter().copied()),
    };
    let mistake = Diagnostic::error(
        "E0401",
        key.span,
        format!("there is no endpoint template `{name}`"),
    );
    planner.tell(mistake.maybe_help(help));
}

/// The values that stand on the endpoint, by parameter.
fn given(
    endpoint: &Element,
    template: &EndpointTemplate,
    planner: &mut Planner<'_>,
) -> HashMap<String, Placed> {
    let mut given = HashMap::new();
    for name in ["name", "uri"] {
        if let Some(attribute) = endpoint.attribute(name) {
            given.insert(name.to_owned(), attribute.value.clone());
        }
    }
    for parameter in endpoint.all("parameter") {
        let (Some(name), Some(value)) = (parameter.attribute("name"), parameter.attribute("value")) else {
            continue;
        };
        let text = name.value.text.trim();
        if !template.parameters.iter().any(|known| known == text) {
            let names = template.parameters.iter().map(String::as_str);
            let message = format!(
                "the endpoint template `{}` has no parameter `{text}`",
                template.name
            );
            let help = suggest::did_you_mean(text, names);
            planner.tell(Diagnostic::warning("W0210", name.value.span, message).maybe_help(help));
            continue;
        }
        if given.insert(text.to_owned(), value.value.clone()).is_some() {
            planner.mistake(
                "E0403",
                name.value.span,
                format!("the parameter `{text}` is given twice"),
            );
        }
    }
    given
}

/// The endpoint that was made is the one that was asked for: its name and its place.
fn named(mut made: Element, asked: &Element) -> Element {
    made.span = asked.span;
    if let Some(name) = asked.attributes.iter().find(|attribute| attribute.name == "name") {
        made.attributes.retain(|attribute| attribute.name != "name");
        made.attributes.push(name.clone());
    }
    made
}

struct Filling<'a, 'p> {
    template: &'a EndpointTemplate,
    given: HashMap<String, Placed>,
    endpoint: &'a Element,
    planner: &'a mut Planner<'p>,
}

impl Filling<'_, '_> {
    fn fill(&mut self, element: &Element) -> Element {
        let attributes = element.attributes.iter().map(|attribute| Attribute {
            value: self.value(&attribute.value),
            read: Cell::new(false),
            ..attribute.clone()
        });
        let attributes = attributes.collect();
        let content = element.content.iter().map(|content| match content {
            Content::Element(inner) => Content::Element(self.fill(inner)),
            Content::Text { text, cdata } => Content::Text {
                text: self.value(text),
                cdata: *cdata,
            },
        });
        let content = content.collect();
        Element {
            attributes,
            content,
            ..element.clone()
        }
    }

    /// What stands in the place of a text. `$SYSTEM:X` and the like are no parameters.
    fn value(&mut self, text: &Placed) -> Placed {
        let Some(name) = text.text.trim().strip_prefix('$') else {
            return text.clone();
        };
        if let Some(value) = self.given.get(name) {
            return value.clone();
        }
        let implicit = matches!(name, "name" | "uri");
        if !implicit && !self.template.parameters.iter().any(|known| known == name) {
            return text.clone();
        }
        let what = match implicit {
            true => format!("attribute `{name}`"),
            false => format!("parameter `{name}`"),
        };
        let message = format!("the endpoint template `{}` needs the {what}", self.template.name);
        let mistake = Diagnostic::error("E0202", self.endpoint.span, message);
        self.planner.tell(mistake.also(text.span, "it stands here"));
        text.clone()
    }
}
