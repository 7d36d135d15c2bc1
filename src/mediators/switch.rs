//! `<switch>`: one branch of several, by the text of an expression.

use super::pattern::Pattern;
use crate::expression::Expression;
use crate::flow::{AtOnce, Exchange, Fault, Flow, Mediator, Outcome, Sequence};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "switch",
    summary: "Runs the first `case` whose regular expression matches the whole text of `source`, or else `default`.",
    notes: "A `regex` has to match the whole text: `gold` does not match `goldfish`; write `gold.*` for that. When nothing matches and \
        there is no `default`, the message goes on. A source that selects nothing goes to `default`.",
    differences: "",
    attributes: &[Attr::required("source", Shape::Expression, "What is looked at.")],
    children: Children::of(&[
        Child::optional(
            "case",
            &[Attr::required(
                "regex",
                Shape::Regex,
                "Has to match the whole text.",
            )],
            Children::STEPS,
            "Steps for one sort of text.",
        )
        .many(),
        Child::optional(
            "default",
            &[Attr::ignored("trace", "There is no per-branch tracing.")],
            Children::STEPS,
            "Steps for every other text. Of several, the first counts.",
        )
        .many(),
    ]),
    build,
    examples: &[Example::new(
        "Choose a lane",
        r#"<switch source="json-eval($.tier)">
    <case regex="gold|silver"><property name="lane" value="fast"/></case>
    <case regex="tin"><property name="lane" value="slow"/></case>
    <default><drop/></default>
</switch>"#,
        "POST /orders\nContent-Type: application/json\n\n{\"tier\": \"silver\"}",
        "continues\nproperty lane = fast",
    )],
};

struct Switch {
    source: Expression,
    cases: Vec<(Pattern, Sequence)>,
    default: Option<Sequence>,
    /// Neither the source nor a branch ever waits.
    at_once: bool,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let source = planner.expression_in(element, "source");
    let mut cases = Vec::new();
    for case in element.all("case") {
        let regex = case.attribute("regex")?.value.clone();
        let pattern = Pattern::compile(&regex, planner);
        let steps = planner.sequence(case);
        if let Some(pattern) = pattern {
            cases.push((pattern, steps));
        }
    }
    let mut defaults = element.all("default");
    let first = defaults.next();
    for other in defaults {
        let mut mistake = Diagnostic::warning("W0210", other.span, "this `<default>` never runs");
        if let Some(first) = first {
            mistake = mistake.also(first.span, "the first one counts");
        }
        planner.tell(mistake);
    }
    let default = first.map(|default| planner.sequence(default));
    let source = source?;
    let mut branches = cases.iter().map(|(_, steps)| steps).chain(&default);
    Some(Box::new(Switch {
        at_once: !source.waits() && branches.all(Sequence::is_at_once),
        source,
        cases,
        default,
    }))
}

#[async_trait(?Send)]
impl Mediator for Switch {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        self.at_once.then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        exchange.load_for(&self.source).await?;
        match self.branch(exchange)? {
            Some(steps) => steps.run(exchange).await,
            None => Ok(Flow::Continue),
        }
    }
}

impl AtOnce for Switch {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        match self.branch(exchange)? {
            Some(steps) => steps.apply(exchange),
            None => Ok(Flow::Continue),
        }
    }
}

impl Switch {
    fn branch(&self, exchange: &mut Exchange) -> Result<Option<&Sequence>, Fault> {
        if let Some(text) = exchange.text_at_once(&self.source)? {
            for (pattern, steps) in &self.cases {
                if pattern.matches(&text)? {
                    return Ok(Some(steps));
                }
            }
        }
        Ok(self.default.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::mediators::trial::{outcome, told};

    fn check(cases: &str, expected: &str) {
        let config = format!(r#"<switch source="$trp:X-Tier">{cases}</switch>"#);
        assert_eq!(outcome(&config, "GET /\nX-Tier: goldfish"), expected, "{cases}");
    }

    #[test]
    fn the_first_case_that_matches_the_whole_text_runs() {
        check(
            r#"<case regex="gold"><drop/></case><case regex="gold.*"><respond/></case><case regex=".*"><drop/></case>"#,
            "Respond",
        );
    }

    #[test]
    fn what_matches_nothing_goes_to_the_default_or_on() {
        check(
            r#"<case regex="gold"><drop/></case><default><respond/></default>"#,
            "Respond",
        );
        check(r#"<case regex="gold"><drop/></case>"#, "continues");
        check("<default><respond/></default>", "Respond");
    }

    #[test]
    fn a_source_that_selects_nothing_matches_no_case() {
        // SwitchMediator asks the default first when the source is null.
        let config = r#"<switch source="$ctx:none"><case regex=".*"><drop/></case></switch>"#;
        assert_eq!(outcome(config, "GET /"), "continues");
        let config = r#"<switch source="$ctx:none"><case regex=".*"><drop/></case><default><respond/></default></switch>"#;
        assert_eq!(outcome(config, "GET /"), "Respond");
    }

    #[test]
    fn only_the_first_default_counts() {
        let config =
            r#"<switch source="$ctx:a"><default><respond/></default><default><drop/></default></switch>"#;
        assert_eq!(outcome(config, "GET /"), "Respond");
        assert_eq!(told(config), "W0210 this `<default>` never runs");
    }
}
