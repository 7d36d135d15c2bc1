//! One file each: the endpoints, and `ALL`.

mod address;
mod common;
mod default;
mod http;
mod key;
mod key_expression;
pub mod uri_template;

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[&key::KIND, &key_expression::KIND, &address::KIND, &http::KIND, &default::KIND];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::{ScriptedBackend, Scripted, Seen, exchange, wait};
    use crate::plan::{Example, Kinds, testing};

    pub const KINDS: Kinds = Kinds { mediators: &[], endpoints: ALL };

    /// What keys may name in examples.
    const BESIDE: &str = r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#;

    #[test]
    fn every_example_does_what_it_says() {
        for kind in ALL {
            assert!(!kind.examples.is_empty(), "`{}` has no example", kind.element);
            for example in kind.examples {
                let (outcome, seen) = run(example);
                for line in example.then.lines() {
                    assert!(
                        holds(line, &outcome, seen.first()),
                        "{}, {}: `{line}` is expected, but it {outcome}, and the backend saw {seen:#?}",
                        kind.element,
                        example.title
                    );
                }
            }
        }
    }

    fn run(example: &Example) -> (String, Vec<Seen>) {
        let planned = testing::endpoint(KINDS, example.config, BESIDE);
        assert_eq!(planned.told(), Vec::<String>::new(), "{}", example.title);
        let endpoint = planned.what.expect("nothing was told");
        let answers = (!example.backend.is_empty()).then(|| Scripted::parse(example.backend));
        let backend = ScriptedBackend::new(answers);
        let mut exchange = exchange(example.given, planned.catalog, backend.clone());
        let outcome = match wait(endpoint.deliver(&mut exchange)) {
            Ok(answer) => format!("answers {}", answer.status.as_u16()),
            Err(fault) => format!("fails {} {}", fault.code, fault.reason),
        };
        (outcome, backend.seen())
    }

    fn holds(line: &str, outcome: &str, seen: Option<&Seen>) -> bool {
        let Some(rest) = line.strip_prefix("backend ") else { return line == outcome };
        let Some(seen) = seen else { return false };
        if let Some(body) = rest.strip_prefix("body ") {
            return seen.body == body;
        }
        match rest.strip_prefix("header ").and_then(|header| header.split_once(" = ")) {
            Some((name, value)) => seen.headers.get(name).is_some_and(|found| found == value),
            None => rest == format!("{} {}", seen.method, seen.url),
        }
    }

    /// An attribute whose effect no example shows is one that nobody has seen work.
    #[test]
    fn the_examples_use_every_attribute_that_has_an_effect() {
        for kind in ALL {
            for attribute in kind.attributes {
                let used = kind.examples.iter().any(|example| example.config.contains(&format!("{}=", attribute.name)));
                let has_effect = attribute.support == crate::plan::Support::Full;
                assert!(used || !has_effect, "no example of `{}` uses `{}`", kind.element, attribute.name);
            }
        }
    }
}
