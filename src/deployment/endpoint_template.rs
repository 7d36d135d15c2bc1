//! `<template><endpoint/></template>`: an endpoint with parameters, from which others are made.

use crate::plan::kind::{ArtifactKind, Attr, Child, Children, Shape};
use crate::plan::planner::EndpointTemplate;
use crate::plan::{Element, Planner, table};
use crate::text::Diagnostic;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "template of an endpoint",
    summary: "An endpoint with parameters, from which `<endpoint template=\"…\">` makes others.",
    notes: "An attribute or a text in it that is `$` and a parameter's name, and nothing else, is replaced. `$name` and `$uri` are there without \
        being declared.",
    differences: "",
    attributes: &[Attr::required(
        "name",
        Shape::Text,
        "What `<endpoint template=…>` names.",
    )],
    children: Children::of(&[
        Child::optional(
            "parameter",
            &[
                Attr::required(
                    "name",
                    Shape::Text,
                    "What `$` stands in front of in the endpoint.",
                ),
                Attr::ignored("description", "a note for people"),
            ],
            Children::NONE,
            "A parameter.",
        )
        .many(),
        Child::endpoint("The endpoint."),
    ]),
    examples: &[
        r#"<template xmlns="http://ws.apache.org/ns/synapse" name="impatient"><parameter name="wait"/>
  <endpoint name="$name"><address uri="$uri"><timeout><duration>$wait</duration></timeout></address></endpoint>
</template>"#,
    ],
};

/// Whether a `<template>` is one of an endpoint, and not of a sequence.
pub fn is_one(element: &Element) -> bool {
    element.child("sequence").is_none() && element.child("endpoint").is_some()
}

/// Reads it; what is wrong inside the endpoint shows where one is made from it.
pub fn build(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<EndpointTemplate> {
    if !table::check(element, KIND.attributes, &KIND.children, planner) {
        return None;
    }
    let mut parameters: Vec<String> = Vec::new();
    for parameter in element.all("parameter") {
        let Some(attribute) = parameter.attribute("name") else {
            continue;
        };
        let known = attribute.value.text.trim().to_owned();
        if parameters.contains(&known) {
            planner.tell(Diagnostic::error(
                "E0403",
                attribute.value.span,
                format!("the parameter `{known}` is there already"),
            ));
        }
        parameters.push(known);
    }
    Some(EndpointTemplate {
        name: name.to_owned(),
        parameters,
        endpoint: element.child("endpoint")?.clone(),
    })
}

#[cfg(test)]
mod tests {
    use crate::deployment::load::{LoadOptions, load};
    use crate::plan::element::SYNAPSE;
    use crate::text::Severity;

    /// What is told of an endpoint beside a template with the parameter `wait`.
    fn check(template: &str, endpoint: &str, expected: &[&str]) {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("<definitions xmlns=\"{SYNAPSE}\">\n{template}\n{endpoint}\n</definitions>");
        std::fs::write(folder.path().join("a.xml"), text).expect("a file");
        let loaded = load(&[folder.path().to_path_buf()], &LoadOptions::default());
        let told: Vec<String> = loaded
            .mistakes
            .iter()
            .filter(|mistake| mistake.severity != Severity::Note)
            .map(|mistake| {
                let place = mistake.span.map(|span| loaded.sources.place(span));
                let place = place.map_or(String::new(), |place| format!("{}:{}", place.line, place.column));
                format!("{} {place} {}", mistake.code, mistake.message)
            })
            .collect();
        assert_eq!(told, expected, "for {template} {endpoint}");
    }

    const TEMPLATE: &str = r#"<template name="t"><parameter name="wait"/><endpoint name="$name"><address uri="$uri"><timeout><duration>$wait</duration></timeout></address></endpoint></template>"#;

    #[test]
    fn what_is_missing_or_unknown_is_told_where_it_is_asked_for() {
        check(
            TEMPLATE,
            r#"<endpoint template="t" name="a" uri="http://h/"><parameter name="wait" value="1"/></endpoint>"#,
            &[],
        );
        check(
            TEMPLATE,
            r#"<endpoint template="t" name="a"><parameter name="wiat" value="1"/></endpoint>"#,
            &[
                "E0202 3:2 the endpoint template `t` needs the attribute `uri`",
                "E0202 3:2 the endpoint template `t` needs the parameter `wait`",
                "W0210 3:50 the endpoint template `t` has no parameter `wiat`",
            ],
        );
        check(
            TEMPLATE,
            r#"<endpoint template="tt" name="a" uri="http://h/"/>"#,
            &["E0401 3:21 there is no endpoint template `tt`"],
        );
    }

    #[test]
    fn a_value_that_is_wrong_is_told_where_it_was_written() {
        check(
            TEMPLATE,
            r#"<endpoint template="t" name="a" uri="jms:/q"><parameter name="wait" value="soon"/></endpoint>"#,
            &[
                "E0507 3:38 there is no transport for `jms:` addresses",
                "E0203 3:76 `soon` is not a number of milliseconds",
            ],
        );
    }

    #[test]
    fn only_a_whole_value_is_a_parameter() {
        check(
            &TEMPLATE.replace("$wait", "1$wait"),
            r#"<endpoint template="t" name="a" uri="http://h/"/>"#,
            &["E0203 2:106 `1$wait` is not a number of milliseconds"],
        );
    }

    #[test]
    fn a_template_made_of_itself_is_refused() {
        check(
            r#"<template name="t"><endpoint template="t" name="$name"/></template>"#,
            r#"<endpoint template="t" name="a"/>"#,
            &["E0407 2:40 the endpoint template `t` refers to itself, by way of others or at once"],
        );
    }
}
