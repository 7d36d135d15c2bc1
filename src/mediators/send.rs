//! `<send>`: the message leaves, and its answer goes through the out side.

use crate::expression::{Dynamic, Expression};
use crate::flow::{Endpoint, Exchange, Fault, Mediator, Outcome, Plain, SequenceId, delivery};
use crate::message::media_type::Form;
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use async_trait::async_trait;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "send",
    summary: "Sends the message to an endpoint; the answer goes through the out side.",
    notes: "With an endpoint the message is sent through it, also when it is itself an answer. Without one an answer goes back to the client, \
        and a request is sent to its `To`. Nothing after `send` runs, in this list or around it.\n\n\
        Properties of the default scope and variables go on into the answer; headers, axis2 properties and the body are the backend's. \
        The answer runs through the out sequence, or the sequence that `receive` names. A status of 4xx or 5xx is an answer like any other. \
        The property `RESPONSE` set to `true` makes the message an answer, as fault sequences do before `send`.\n\n\
        With the property `OUT_ONLY` nobody waits for an answer, and the client gets 202.\n\n\
        A SOAP message may name its own target in its WS-Addressing header. `get-property('To')` reads it, and so can a `filter` or a \
        `switch`; it is not sent there, unless `ws-addressing-to = \"send\"` stands in `[endpoints]` of `myelin.toml`: whoever may send \
        messages could make the gateway call any host. Never is anything sent to its `ReplyTo` or `FaultTo`.",
    differences: "A `receive` sequence that is written out is looked up at load. Synapse sends a message without an endpoint where its WS-Addressing \
        header says.",
    attributes: &[
        Attr::optional("receive", Shape::DynamicSequence, "The sequence that gets the answer instead of the out sequence."),
        Attr::optional("buildmessage", Shape::Boolean, "Reads the whole message before it is sent, and fails if it is not what it says.")
            .default("false"),
    ],
    children: Children::of(&[Child::endpoint("Where to. A `key`, or the endpoint itself.")]),
    build,
    examples: &[
        Example::new(
            "Pass a request on",
            r#"<send><endpoint><address uri="http://backend/orders"/></endpoint></send>"#,
            "POST /orders\nContent-Type: text/plain\n\nhello",
            "turns\nbackend POST http://backend/orders\nbackend body hello\naxis2 HTTP_SC = 201\nbody made",
        )
        .backend("201\ncontent-type: text/plain\n\nmade"),
        Example::new(
            "Give the answer to a sequence of its own",
            r#"<send receive="answered" buildmessage="true"><endpoint key="orders"/></send>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": 7}",
            "turns\nbackend POST http://backend/orders\nbackend body {\"id\": 7}",
        )
        .beside(
            r#"<sequence name="answered"><respond/></sequence><endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#,
        )
        .backend("200"),
        Example::new(
            "A message that says itself where it wants to go",
            "<send/>",
            "POST /\nContent-Type: text/xml\nSOAPAction: \"urn:getQuote\"\n\n\
             <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header>\
             <a:To xmlns:a=\"http://www.w3.org/2005/08/addressing\">http://inner/</a:To></e:Header><e:Body/></e:Envelope>",
            "fails 0 nothing is sent to `http://inner/`: the message itself names it, in its WS-Addressing header; \
             ws-addressing-to = \"send\" in [endpoints] allows that",
        ),
        Example::new(
            "One way",
            r#"<property name="OUT_ONLY" value="true"/><send><endpoint><address uri="http://backend/events"/></endpoint></send>"#,
            "POST /events\nContent-Type: text/plain\n\nx",
            "drops",
        ),
    ],
};

struct Send {
    endpoint: Option<Arc<dyn Endpoint>>,
    receive: Option<Receive>,
    build_message: bool,
}

enum Receive {
    Named(SequenceId),
    Computed(Expression),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let endpoint = build_endpoint(element, planner);
    let receive = match element.attribute("receive") {
        None => Some(None),
        Some(key) => match planner.dynamic(&key.value.clone(), element) {
            Some(Dynamic::Expression(expression)) => Some(Some(Receive::Computed(expression))),
            Some(Dynamic::Literal(_)) => {
                let id = planner.sequence_key(&key.value.clone());
                id.map(|id| Some(Receive::Named(id)))
            }
            None => None,
        },
    };
    Some(Box::new(Send {
        endpoint: endpoint?,
        receive: receive?,
        build_message: element.is_true("buildmessage"),
    }))
}

/// The endpoint inside a step: `Some(None)` when there is none, `None` when what is there is wrong.
pub fn build_endpoint(element: &Element, planner: &mut Planner<'_>) -> Option<Option<Arc<dyn Endpoint>>> {
    match element.child("endpoint") {
        None => Some(None),
        Some(inner) => planner.endpoint(inner).map(Some),
    }
}

#[async_trait(?Send)]
impl Mediator for Send {
    fn plain(&self) -> Option<Plain<'_>> {
        let as_it_is = self.receive.is_none() && !self.build_message;
        as_it_is.then_some(Plain::Sends(self.endpoint.as_ref()))
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if self.build_message {
            build_whole(exchange).await?;
        }
        let receive = match &self.receive {
            None => None,
            Some(Receive::Named(id)) => Some(*id),
            Some(Receive::Computed(expression)) => Some(find(exchange, expression).await?),
        };
        delivery::send(exchange, self.endpoint.as_ref(), receive).await
    }
}

/// Reads the message as what it says it is.
pub async fn build_whole(exchange: &mut Exchange) -> Result<(), Fault> {
    exchange.load().await?;
    match exchange.message.payload.form() {
        Form::Json => exchange.json().await.map(drop),
        Form::Binary | Form::Text | Form::Multipart => Ok(()),
        _ => exchange.envelope().await.map(drop),
    }
}

async fn find(exchange: &mut Exchange, expression: &Expression) -> Result<SequenceId, Fault> {
    let name = exchange.text(expression).await?.unwrap_or_default();
    exchange
        .catalog
        .sequence_names
        .get(name.trim())
        .copied()
        .ok_or_else(|| {
            let reason = format!(
                "there is no sequence `{}` (from `{}`)",
                name.escape_debug(),
                expression.source()
            );
            Fault::mediation(reason)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Flow;
    use crate::flow::testing::{Scripted, ScriptedBackend, body_text, exchange, wait};
    use crate::plan::{Kinds, testing};
    use crate::wire::client::{Reached, SendErrorKind};

    const KINDS: Kinds = Kinds {
        mediators: crate::mediators::ALL,
        endpoints: &[&testing::STAND_IN],
    };

    fn run(steps: &str, beside: &str, request: &str, answer: Scripted) -> (Outcome, Exchange) {
        let planned = testing::steps(KINDS, steps, beside);
        assert_eq!(planned.told(), Vec::<String>::new());
        let mut exchange = exchange(request, planned.catalog, ScriptedBackend::new([answer]));
        let outcome = wait(planned.what.run(&mut exchange));
        (outcome, exchange)
    }

    const TO_BACKEND: &str = r#"<send><endpoint><address uri="http://backend/"/></endpoint></send>"#;

    #[test]
    fn properties_and_variables_go_on_into_the_answer_and_the_rest_does_not() {
        let steps = format!(
            r#"<property name="kept" value="1"/><variable name="kept" value="2"/>
               <property name="lost" value="3" scope="axis2"/><property name="X-Lost" value="4" scope="transport"/>{TO_BACKEND}"#
        );
        let (outcome, mut exchange) = run(
            &steps,
            "",
            "GET /",
            Scripted::parse("404 Gone Fishing\nx-new: 5\n\nno"),
        );
        assert_eq!(outcome.unwrap(), Flow::Turn);
        assert!(exchange.message.response);
        assert_eq!(exchange.properties.text("kept").as_deref(), Some("1"));
        assert!(exchange.properties.variables.get("kept").is_some());
        assert_eq!(exchange.properties.axis2_text("lost"), None);
        assert_eq!(exchange.message.header("x-lost"), None);
        assert_eq!(exchange.message.header("x-new"), Some("5"));
        assert_eq!(exchange.properties.axis2_text("HTTP_SC").as_deref(), Some("404"));
        assert_eq!(
            exchange.reason.as_ref().map(|(_, reason)| reason.as_str()),
            Some("Gone Fishing")
        );
        assert_eq!(body_text(&mut exchange), "no");
    }

    #[test]
    fn an_answer_without_an_endpoint_goes_to_the_client() {
        let planned = testing::steps(KINDS, "<send/>", "");
        let mut exchange = exchange("GET /", planned.catalog, ScriptedBackend::new([]));
        exchange.message.response = true;
        assert_eq!(wait(planned.what.run(&mut exchange)).unwrap(), Flow::Respond);
    }

    #[test]
    fn the_property_response_says_what_the_message_is() {
        for (value, response, expected) in [("true", false, Flow::Respond), ("false", true, Flow::Turn)] {
            let steps = format!("<property name=\"RESPONSE\" value=\"{value}\"/><send/>");
            let planned = testing::steps(KINDS, &steps, "");
            let backend = ScriptedBackend::new([Scripted::parse("204")]);
            let mut exchange = exchange("GET http://backend/x", planned.catalog, backend);
            exchange.message.response = response;
            assert_eq!(
                wait(planned.what.run(&mut exchange)).unwrap(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_request_without_an_endpoint_goes_to_its_to() {
        let (outcome, exchange) = run("<send/>", "", "GET http://backend/x", Scripted::parse("204"));
        assert_eq!(outcome.unwrap(), Flow::Turn);
        assert_eq!(exchange.properties.axis2_text("HTTP_SC").as_deref(), Some("204"));
    }

    #[test]
    fn the_endpoints_own_on_error_hears_of_a_failure_first() {
        let steps = r#"<sequence name="s" onError="outer"><send><endpoint onError="own"><address uri="http://backend/"/></endpoint></send></sequence>"#;
        let beside = r#"<sequence name="own"><property name="who" expression="concat('own ', $ctx:ERROR_CODE)"/><respond/></sequence>
                        <sequence name="outer"><property name="who" value="outer"/><respond/></sequence>"#;
        let refused = Scripted::fails(SendErrorKind::Connect, Reached::NothingSent);
        let (outcome, exchange) = run(steps, beside, "POST /\ncontent-type: text/plain\n\nx", refused);
        assert_eq!(outcome.unwrap(), Flow::Respond);
        assert_eq!(exchange.properties.text("who").as_deref(), Some("own 101503"));
        assert_eq!(
            exchange.properties.text("PROTOCOL_STATE_ON_FAILURE").as_deref(),
            Some("0")
        );
    }

    #[test]
    fn an_on_error_that_fails_itself_leaves_the_rest_to_the_next() {
        let steps = r#"<sequence name="s" onError="outer"><send><endpoint onError="own"><address uri="http://backend/"/></endpoint></send></sequence>"#;
        let beside = r#"<sequence name="own"><throwError type="7"/></sequence>
                        <sequence name="outer"><respond/></sequence>"#;
        let refused = Scripted::fails(SendErrorKind::Closed, Reached::Unknown);
        let (outcome, exchange) = run(steps, beside, "GET /", refused);
        assert_eq!(outcome.unwrap(), Flow::Respond);
        assert_eq!(exchange.properties.text("ERROR_CODE").as_deref(), Some("7"));
    }

    #[test]
    fn a_message_that_is_not_what_it_says_is_not_sent_when_it_must_be_built() {
        let steps = TO_BACKEND.replace("<send>", r#"<send buildmessage="true">"#);
        let request = "POST /\ncontent-type: application/json\n\n{oops";
        let (outcome, _) = run(&steps, "", request, Scripted::parse("200"));
        assert_eq!(outcome.unwrap_err().number(), Some(601_000));
        let (outcome, _) = run(TO_BACKEND, "", request, Scripted::parse("200"));
        assert_eq!(outcome.unwrap(), Flow::Turn);
    }

    #[test]
    fn a_receiving_sequence_can_be_computed() {
        let steps =
            r#"<send receive="{$trp:x-next}"><endpoint><address uri="http://backend/"/></endpoint></send>"#;
        let beside = r#"<sequence name="first"/><sequence name="second"/>"#;
        let (outcome, exchange) = run(steps, beside, "GET /\nx-next: second", Scripted::parse("200"));
        assert_eq!(
            (outcome.unwrap(), exchange.receive),
            (Flow::Turn, Some(SequenceId(1)))
        );
        let (outcome, _) = run(steps, beside, "GET /\nx-next: third", Scripted::parse("200"));
        assert!(
            outcome
                .unwrap_err()
                .reason
                .contains("there is no sequence `third`")
        );
    }
}
