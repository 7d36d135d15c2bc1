//! `<script language="rhai">`: runs in place, with a limit on everything.

use super::Target;
use super::changes::put_body;
use crate::flow::{Exchange, Fault, Flow, Mediator, Origin, Outcome, fault};
use crate::message::json::Json;
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::plan::Planner;
use crate::script::{Given, Name, Script};
use crate::text::Placed;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// It holds up the other requests of its core.
const TIME: Duration = Duration::from_millis(50);

struct Rhai {
    script: Script,
    target: Target,
}

pub fn build(
    text: &Placed,
    function: Option<&Placed>,
    target: Target,
    planner: &mut Planner<'_>,
) -> Option<Box<dyn Mediator>> {
    let script = match function {
        Some(function) => Script::compile_function(text, &function.text, TIME),
        None => Script::compile(text, TIME),
    };
    match script {
        Ok(script) => Some(Box::new(Rhai { script, target })),
        Err(mistake) => {
            planner.tell(*mistake);
            None
        }
    }
}

#[async_trait(?Send)]
impl Mediator for Rhai {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let answer = self.run(exchange).await?;
        match (&self.target, answer) {
            (Target::Flow, Json::Bool(false)) => return Ok(Flow::Drop),
            (Target::Flow | Target::Body, body @ (Json::Object(_) | Json::Array(_))) => {
                put_body(exchange, Payload::of_json(body))?;
            }
            (Target::Body, Json::String(text)) => put_body(exchange, Payload::text(text))?,
            (Target::Body, Json::Null) | (Target::Flow | Target::Nothing, _) => {}
            (Target::Body, body) => put_body(exchange, Payload::of_json(body))?,
            (Target::Variable(name), Json::Null) => exchange.properties.variables.remove(name),
            (Target::Variable(name), value) => {
                let value = match value {
                    Json::String(text) => Value::text(text),
                    Json::Bool(value) => Value::Boolean(value),
                    other => Value::Json(Arc::new(other)),
                };
                exchange.properties.variables.set(name.as_str(), value);
            }
        }
        Ok(Flow::Continue)
    }
}

impl Rhai {
    async fn run(&self, exchange: &mut Exchange) -> Result<Json, Fault> {
        let payload = match self.script.reads(Name::Payload) {
            true => Some(exchange.shared_json().await?),
            false => None,
        };
        let given = Given {
            headers: std::mem::take(&mut exchange.message.headers),
            properties: std::mem::take(&mut exchange.properties),
            method: exchange.request.method.clone(),
            target: Arc::clone(&exchange.request.target),
            payload,
            token: None,
        };
        let (given, answer) = self.script.run(given);
        exchange.message.headers = given.headers;
        exchange.properties = given.properties;
        answer.map_err(|failure| {
            let place = exchange.place(failure.at);
            let words = "The script engine returned an error executing the inlined rhai script";
            let reason = format!("{words}: {} (at {place})", failure.reason);
            Fault::new(fault::code::MEDIATION, Origin::Script, reason)
        })
    }
}
