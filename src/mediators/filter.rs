//! `<filter>`: one branch or the other, by a test on the message.

use super::pattern::Pattern;
use crate::expression::Expression;
use crate::flow::{AtOnce, Exchange, Fault, Flow, Mediator, Outcome, Sequence, SequenceId};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "filter",
    summary: "Runs `then` when the condition holds, `else` when it does not.",
    notes: "The condition is either `xpath`, or `source` with `regex`.\n\n\
        An XPath holds by XPath's own rules: any node that is selected counts, even `<x>false</x>`. `json-eval(…)` and `${…}` hold only \
        when their text is `true`. `regex` has to match the whole text of `source`; a source that selects nothing does not match.\n\n\
        Without a `then`, the steps directly inside are the branch, and there can be no `else`. Without an `else` the message goes on.",
    differences: "",
    attributes: &[
        Attr::optional(
            "xpath",
            Shape::Expression,
            "The condition. With it, `source` and `regex` have no effect.",
        ),
        Attr::optional("source", Shape::Expression, "What `regex` looks at."),
        Attr::optional("regex", Shape::Regex, "Has to match the whole text of `source`."),
    ],
    children: Children::of(BRANCHES).or_steps(),
    build,
    examples: &[
        Example::new(
            "Let only gold customers through",
            r#"<filter xpath="//tier = 'gold'">
    <then/>
    <else><drop/></else>
</filter>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order><tier>tin</tier></order>",
            "drops",
        ),
        Example::new(
            "Look at the whole of a value",
            r#"<filter source="json-eval($.version)" regex="1\..*">
    <property name="old" value="yes"/>
</filter>"#,
            "POST /\nContent-Type: application/json\n\n{\"version\": \"1.4\"}",
            "continues\nproperty old = yes",
        ),
        Example::new(
            "Branches that are sequences of their own",
            r#"<filter xpath="json-eval($.urgent)">
    <then sequence="fast"/>
    <else sequence="slow"/>
</filter>"#,
            "POST /\nContent-Type: application/json\n\n{\"urgent\": true}",
            "continues\nproperty lane = fast",
        )
        .beside(
            r#"<sequence name="fast"><property name="lane" value="fast"/></sequence>
<sequence name="slow"><property name="lane" value="slow"/></sequence>"#,
        ),
    ],
};

const BRANCH: &[Attr] = &[Attr::optional(
    "sequence",
    Shape::Sequence,
    "Runs this sequence in place of the steps inside.",
)];

const BRANCHES: &[Child] = &[
    Child::optional("then", BRANCH, Children::STEPS, "Runs when the condition holds."),
    Child::optional("else", BRANCH, Children::STEPS, "Runs when it does not hold."),
];

struct Filter {
    condition: Condition,
    then: Branch,
    otherwise: Branch,
    /// Neither the condition nor a branch ever waits.
    at_once: bool,
}

enum Condition {
    Holds(Expression),
    Matches { source: Expression, pattern: Pattern },
}

enum Branch {
    Nothing,
    Steps(Sequence),
    Named(SequenceId),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let condition = condition(element, planner);
    let (then, otherwise) = match element.child("then") {
        Some(then) => {
            for stray in element.elements().filter(|inner| !is_branch(inner)) {
                planner.tell(
                    Diagnostic::warning("W0210", stray.span, format!("`<{}>` never runs", stray.name))
                        .also(then.span, "beside a `<then>`, only the steps inside count"),
                );
            }
            let otherwise = match element.child("else") {
                Some(otherwise) => branch(otherwise, planner),
                None => Some(Branch::Nothing),
            };
            (branch(then, planner), otherwise)
        }
        None => {
            if let Some(otherwise) = element.child("else") {
                planner.tell(
                    Diagnostic::error("E0210", otherwise.span, "an `<else>` needs a `<then>` beside it")
                        .help("put the steps of this filter into a `<then>`"),
                );
            }
            let steps = planner.steps_beside(element, BRANCHES);
            let steps = Sequence::branch(planner.owner.clone(), steps);
            (Some(Branch::Steps(steps)), Some(Branch::Nothing))
        }
    };
    let (condition, then, otherwise) = (condition?, then?, otherwise?);
    Some(Box::new(Filter {
        at_once: !condition.expression().waits() && then.is_at_once() && otherwise.is_at_once(),
        condition,
        then,
        otherwise,
    }))
}

fn is_branch(element: &Element) -> bool {
    element.is_synapse() && matches!(element.name.as_str(), "then" | "else" | "description")
}

fn condition(element: &Element, planner: &mut Planner<'_>) -> Option<Condition> {
    if element.has("xpath") {
        for name in ["source", "regex"] {
            if let Some(unused) = element.attribute(name) {
                planner.tell(Diagnostic::warning(
                    "W0210",
                    unused.name_span,
                    format!("`{name}` has no effect beside `xpath`"),
                ));
            }
        }
        return planner.expression_in(element, "xpath").map(Condition::Holds);
    }
    let (Some(_), Some(regex)) = (element.attribute("source"), element.attribute("regex")) else {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this filter has no condition")
                .help("give it an `xpath`, or a `source` with a `regex`"),
        );
        return None;
    };
    if regex.value.text.trim().is_empty() {
        planner.mistake(
            "E0203",
            regex.value.span,
            "an empty regular expression matches nothing",
        );
        return None;
    }
    let source = planner.expression_in(element, "source");
    let pattern = Pattern::compile(&regex.value.clone(), planner);
    Some(Condition::Matches {
        source: source?,
        pattern: pattern?,
    })
}

fn branch(element: &Element, planner: &mut Planner<'_>) -> Option<Branch> {
    let Some(key) = element.attribute("sequence") else {
        return Some(Branch::Steps(planner.sequence(element)));
    };
    if let Some(inner) = element.elements().next() {
        planner.tell(
            Diagnostic::warning("W0210", inner.span, format!("`<{}>` never runs", inner.name)).also(
                key.name_span,
                "the sequence that is named here runs in place of the steps",
            ),
        );
    }
    planner.sequence_key(&key.value.clone()).map(Branch::Named)
}

#[async_trait(?Send)]
impl Mediator for Filter {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        self.at_once.then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        exchange.load_for(self.condition.expression()).await?;
        match self.branch(exchange)? {
            Branch::Nothing => Ok(Flow::Continue),
            Branch::Steps(steps) => steps.run(exchange).await,
            Branch::Named(sequence) => exchange.run(*sequence).await,
        }
    }
}

impl AtOnce for Filter {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        match self.branch(exchange)? {
            Branch::Nothing => Ok(Flow::Continue),
            Branch::Steps(steps) => steps.apply(exchange),
            Branch::Named(_) => unreachable!("a named sequence may wait"),
        }
    }
}

impl Filter {
    fn branch(&self, exchange: &mut Exchange) -> Result<&Branch, Fault> {
        let holds = self.condition.holds(exchange)?;
        Ok(if holds { &self.then } else { &self.otherwise })
    }
}

impl Branch {
    fn is_at_once(&self) -> bool {
        match self {
            Branch::Nothing => true,
            Branch::Steps(steps) => steps.is_at_once(),
            Branch::Named(_) => false,
        }
    }
}

impl Condition {
    fn expression(&self) -> &Expression {
        match self {
            Condition::Holds(expression) => expression,
            Condition::Matches { source, .. } => source,
        }
    }

    fn holds(&self, exchange: &mut Exchange) -> Result<bool, Fault> {
        match self {
            Condition::Holds(expression) => exchange.holds_at_once(expression),
            Condition::Matches { source, pattern } => match exchange.text_at_once(source)? {
                Some(text) => pattern.matches(&text),
                None => Ok(false),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::mediators::trial::{outcome, told};

    const XML: &str = "POST /\nContent-Type: application/xml\n\n<m><x>false</x></m>";
    const JSON: &str = "POST /\nContent-Type: application/json\n\n{\"x\": \"false\", \"yes\": \"true\", \"text\": \"goldfish\"}";

    fn check(condition: &str, request: &str, holds: bool) {
        let config = format!("<filter {condition}><then><drop/></then></filter>");
        let expected = if holds { "Drop" } else { "continues" };
        assert_eq!(outcome(&config, request), expected, "{condition}");
    }

    #[test]
    fn an_xpath_holds_when_it_selects_something() {
        check(r#"xpath="//x""#, XML, true);
        check(r#"xpath="//y""#, XML, false);
        check(r#"xpath="//x = 'true'""#, XML, false);
    }

    #[test]
    fn a_json_path_holds_only_when_its_text_is_true() {
        // FilterMediator.test
        check(r#"xpath="json-eval($.x)""#, JSON, false);
        check(r#"xpath="json-eval($.yes)""#, JSON, true);
        check(r#"xpath="json-eval($.none)""#, JSON, false);
    }

    #[test]
    fn a_regular_expression_has_to_match_the_whole_text() {
        check(r#"source="json-eval($.text)" regex="gold""#, JSON, false);
        check(r#"source="json-eval($.text)" regex="gold.*""#, JSON, true);
        check(r#"source="json-eval($.text)" regex="(?i)GOLDFISH""#, JSON, true);
        check(r#"source="$ctx:none" regex=".*""#, JSON, false);
    }

    #[test]
    fn a_condition_wins_over_a_source() {
        let condition = r#"xpath="false()" source="json-eval($.text)" regex=".*""#;
        check(condition, JSON, false);
        assert_eq!(
            told(&format!("<filter {condition}><drop/></filter>")),
            "W0210 `source` has no effect beside `xpath`\nW0210 `regex` has no effect beside `xpath`"
        );
    }

    #[test]
    fn steps_directly_inside_are_the_branch() {
        assert_eq!(
            outcome(r#"<filter xpath="true()"><drop/></filter>"#, JSON),
            "Drop"
        );
        assert_eq!(
            outcome(r#"<filter xpath="false()"><drop/></filter>"#, JSON),
            "continues"
        );
    }

    #[test]
    fn a_catastrophic_regular_expression_is_a_fault() {
        let long = "a".repeat(40);
        let request = format!("POST /\nContent-Type: application/json\n\n{{\"x\": \"{long}!\"}}");
        let config = r#"<filter source="json-eval($.x)" regex="(?:(a+)+\1)+b"><drop/></filter>"#;
        assert!(outcome(config, &request).starts_with("fault 0 the regular expression was given up"));
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        for (config, expected) in [
            ("<filter><drop/></filter>", "E0210 this filter has no condition"),
            (
                r#"<filter source="$ctx:a"><drop/></filter>"#,
                "E0210 this filter has no condition",
            ),
            (
                r#"<filter xpath="true()"><drop/><else/></filter>"#,
                "E0210 an `<else>` needs a `<then>` beside it",
            ),
            (
                r#"<filter xpath="true()"><then/><drop/></filter>"#,
                "W0210 `<drop>` never runs",
            ),
            (
                r#"<filter xpath="true()"><then sequence="nowhere"/></filter>"#,
                "E0401 there is no sequence `nowhere`",
            ),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }
}
