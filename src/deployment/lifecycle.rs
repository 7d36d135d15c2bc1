//! The state that an API is in, from its first draft to its end, and what it may have in it.

use super::api::Api;
use crate::flow::Step;
use crate::plan::{Attr, Element, Planner, Shape};
use crate::text::{Diagnostic, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Prototyped,
    Published,
    Blocked,
    Deprecated,
    Retired,
}

pub const STATE: Attr = Attr::optional(
    "state",
    Shape::Choice(WORDS),
    "where it stands on the way from draft to end: see above",
);

const WORDS: &[&str] = &[
    "CREATED",
    "PROTOTYPED",
    "PRE-RELEASED",
    "PUBLISHED",
    "BLOCKED",
    "DEPRECATED",
    "RETIRED",
];

impl State {
    pub fn of(element: &Element) -> Option<State> {
        State::named(element.get("state")?)
    }

    pub fn named(word: &str) -> Option<State> {
        Some(match word.trim().to_ascii_uppercase().as_str() {
            "CREATED" => State::Created,
            "PROTOTYPED" | "PRE-RELEASED" => State::Prototyped,
            "PUBLISHED" => State::Published,
            "BLOCKED" => State::Blocked,
            "DEPRECATED" => State::Deprecated,
            "RETIRED" => State::Retired,
            _ => return None,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            State::Created => "CREATED",
            State::Prototyped => "PROTOTYPED",
            State::Published => "PUBLISHED",
            State::Blocked => "BLOCKED",
            State::Deprecated => "DEPRECATED",
            State::Retired => "RETIRED",
        }
    }

    /// Whether it needs real backends: its callers rely on it.
    pub fn is_for_good(self) -> bool {
        matches!(self, State::Published | State::Deprecated)
    }
}

impl Api {
    pub fn is_blocked(&self) -> bool {
        self.state == Some(State::Blocked)
    }

    /// As if it were not there.
    pub fn is_retired(&self) -> bool {
        self.state == Some(State::Retired)
    }

    /// Callers need no token, unless the API itself says so.
    pub fn is_prototyped(&self) -> bool {
        self.state == Some(State::Prototyped)
    }
}

/// Refuses the prototypes of an API that needs real backends.
pub fn check(state: Option<State>, element: &Element, prototypes: &[Span], planner: &mut Planner<'_>) {
    let Some(state) = state.filter(|state| state.is_for_good()) else {
        return;
    };
    let at = element
        .attribute("state")
        .map_or(element.span, |attribute| attribute.value.span);
    for prototype in prototypes {
        planner.tell(
            Diagnostic::error(
                "E0224",
                *prototype,
                format!("an API that is {} has no prototypes", state.word()),
            )
            .also(at, "its state")
            .help(
                "put `<inSequence><send>` with the real backend's endpoint in its place, or make the state PROTOTYPED",
            ),
        );
    }
}

/// Steps that APIs of any state may use.
pub fn shared_steps(element: &Element, planner: &mut Planner<'_>) -> Vec<Step> {
    let before = planner.prototypes.len();
    let steps = planner.steps(element);
    for prototype in planner.prototypes.split_off(before) {
        planner.tell(
            Diagnostic::error(
                "E0204",
                prototype,
                "a `<prototype>` stands in the API that it answers for, not in what several may share",
            )
            .help("put it into the resource; what several share can be a file that `key` names"),
        );
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::{api, tests::plan};
    use super::*;

    fn check(state: &str, inside: &str, expected: Option<State>, told: &str) {
        let xml = format!(
            "<api name=\"A\" context=\"/a\"{state}>\n<resource methods=\"GET\">{inside}</resource></api>"
        );
        let (apis, mistakes) = plan(&xml, "api", api::build);
        assert_eq!(mistakes, told, "{xml}");
        assert_eq!(apis[0].state, expected, "{xml}");
    }

    const MOCK: &str = "<prototype>mc.setPayloadXML('<!-- -->');</prototype>";

    #[test]
    fn prototypes_are_for_apis_that_nobody_relies_on() {
        let mock = MOCK.replace("<!-- -->", "&lt;a/>");
        check("", &mock, None, "");
        for (word, state) in [
            ("CREATED", State::Created),
            ("PROTOTYPED", State::Prototyped),
            ("Pre-Released", State::Prototyped),
            ("BLOCKED", State::Blocked),
            ("RETIRED", State::Retired),
        ] {
            check(&format!(" state=\"{word}\""), &mock, Some(state), "");
        }
        for (word, state) in [("PUBLISHED", State::Published), ("deprecated", State::Deprecated)] {
            check(
                &format!(" state=\"{word}\""),
                &mock,
                Some(state),
                &format!(
                    "E0224 a.xml:2:26 an API that is {} has no prototypes",
                    state.word()
                ),
            );
            check(&format!(" state=\"{word}\""), "<inSequence/>", Some(state), "");
        }
    }

    #[test]
    fn a_prototype_in_a_sequence_of_the_api_is_refused_as_well() {
        check(
            " state=\"PUBLISHED\"",
            "<inSequence><prototype/></inSequence>",
            Some(State::Published),
            "E0224 a.xml:2:38 an API that is PUBLISHED has no prototypes",
        );
    }

    #[test]
    fn a_prototype_is_not_shared() {
        let build = |element: &Element, planner: &mut Planner<'_>| {
            let name = element.get("name")?.to_owned();
            Some(super::super::sequence::build(element, &name, planner))
        };
        for (name, told) in [
            ("main", ""),
            (
                "s",
                "E0204 a.xml:1:61 a `<prototype>` stands in the API that it answers for, not in what several may share",
            ),
        ] {
            let xml = format!("<sequence name=\"{name}\"><prototype/></sequence>");
            assert_eq!(plan(&xml, "sequence", build).1, told);
        }
    }

    #[test]
    fn a_state_that_nobody_knows_is_refused() {
        check(
            " state=\"PROTOTYPE\"",
            "<inSequence/>",
            None,
            "E0203 a.xml:1:75 `PROTOTYPE` is not what `state` takes",
        );
    }

    #[test]
    fn a_resource_has_one_way_in() {
        check(
            "",
            "<inSequence/><prototype/>",
            None,
            "E0210 a.xml:2:39 a resource has an inSequence or a prototype, not both",
        );
    }
}
