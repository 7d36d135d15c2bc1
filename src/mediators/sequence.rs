//! `<sequence>`: another sequence in place of this step.

use crate::expression::{Dynamic, Expression};
use crate::flow::{Exchange, Fault, Mediator, Outcome, Sequence, SequenceId};
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::Diagnostic;
use async_trait::async_trait;

pub static KIND: MediatorKind = MediatorKind {
    element: "sequence",
    summary: "Runs a named sequence in place.",
    notes: "The key is the name of a sequence, or the registry key of a file that holds one. A key in braces is computed for each message, \
        and then only finds sequences that have a name in this deployment.\n\n\
        With a `name`, the steps inside are the sequence: they run in place, with an `onError` of their own.",
    differences: "A key that is written out is looked up at load.",
    attributes: &[
        Attr::optional("key", Shape::DynamicSequence, "The sequence to run."),
        Attr::optional(
            "name",
            Shape::Text,
            "Names the steps inside. With it, `key` has no effect.",
        ),
        Attr::optional(
            "onError",
            Shape::Sequence,
            "Runs when a step inside fails. Only together with `name`: a sequence that is called by its key has its own.",
        ),
        Attr::ignored("trace", "There is no per-sequence tracing."),
        Attr::ignored("statistics", "There are no per-sequence statistics."),
    ],
    children: Children::STEPS,
    build,
    examples: &[
        Example::new(
            "Share steps between APIs",
            r#"<sequence key="audit"/>"#,
            "GET /",
            "continues\nproperty audited = yes",
        )
        .beside(r#"<sequence name="audit"><property name="audited" value="yes"/></sequence>"#),
        Example::new(
            "Choose the sequence by the message",
            r#"<sequence key="{json-eval($.kind)}"/>"#,
            "POST /\nContent-Type: application/json\n\n{\"kind\": \"refund\"}",
            "drops",
        )
        .beside(r#"<sequence name="refund"><drop/></sequence>"#),
        Example::new(
            "Handle the faults of a few steps",
            r#"<sequence name="risky" onError="shrug"><throwError/></sequence>"#,
            "GET /",
            "responds\nproperty ERROR_CODE = ANY",
        )
        .beside(r#"<sequence name="shrug"><respond/></sequence>"#),
    ],
};

enum Call {
    Named(SequenceId),
    Computed(Expression),
    Inline(Sequence),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    if let Some(name) = element.attribute("name") {
        if let Some(key) = element.attribute("key") {
            planner.tell(Diagnostic::warning(
                "W0210",
                key.name_span,
                "`key` has no effect beside `name`",
            ));
        }
        let mut sequence = Sequence::branch(name.value.text.as_str(), planner.steps(element));
        if let Some(handler) = element.attribute("onError") {
            sequence.on_error = Some(planner.sequence_key(&handler.value.clone())?);
        }
        return Some(Box::new(Call::Inline(sequence)));
    }
    let Some(key) = element.attribute("key") else {
        planner.tell(
            Diagnostic::error("E0202", element.span, "`<sequence>` needs the attribute `key`")
                .help("name the sequence to run; or give this one a `name` and steps inside"),
        );
        return None;
    };
    if let Some(handler) = element.attribute("onError") {
        planner.tell(
            Diagnostic::error("E0210", handler.name_span, "`onError` cannot stand beside `key`")
                .help("write it where the sequence is defined"),
        );
        return None;
    }
    if let Some(inner) = element.elements().next() {
        planner.tell(
            Diagnostic::warning("W0210", inner.span, format!("`<{}>` never runs", inner.name))
                .also(key.name_span, "the sequence that is named here runs"),
        );
    }
    match planner.dynamic(&key.value.clone(), element)? {
        Dynamic::Expression(expression) => Some(Box::new(Call::Computed(expression))),
        Dynamic::Literal(_) => {
            let id = planner.sequence_key(&key.value.clone())?;
            Some(Box::new(Call::Named(id)))
        }
    }
}

#[async_trait(?Send)]
impl Mediator for Call {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        match self {
            Call::Named(sequence) => exchange.run(*sequence).await,
            Call::Inline(sequence) => sequence.run(exchange).await,
            Call::Computed(expression) => {
                let name = exchange.text(expression).await?.unwrap_or_default();
                let Some(sequence) = exchange.catalog.sequence_names.get(&name).copied() else {
                    return Err(Fault::mediation(format!(
                        "there is no sequence `{}` (from `{}`)",
                        name.escape_debug(),
                        expression.source()
                    )));
                };
                exchange.run(sequence).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::mediators::trial::{outcome, told};

    #[test]
    fn a_computed_key_that_names_nothing_is_a_fault() {
        let config = r#"<sequence key="{concat('no', 'where')}"/>"#;
        assert_eq!(
            outcome(config, "GET /"),
            "fault 0 there is no sequence `nowhere` (from `concat('no', 'where')`)"
        );
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        for (config, expected) in [
            (
                r#"<sequence key="nowhere"/>"#,
                "E0401 there is no sequence `nowhere`",
            ),
            ("<sequence/>", "E0202 `<sequence>` needs the attribute `key`"),
            // SequenceMediatorFactory
            (
                r#"<sequence key="{$ctx:a}" onError="b"/>"#,
                "E0210 `onError` cannot stand beside `key`",
            ),
            (
                r#"<sequence key="{$ctx:a}"><drop/></sequence>"#,
                "W0210 `<drop>` never runs",
            ),
            (
                r#"<sequence name="a" key="b"><drop/></sequence>"#,
                "W0210 `key` has no effect beside `name`",
            ),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }
}
