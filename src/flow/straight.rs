//! The short way to a backend: for a request that is wholly here and goes on as it came.
//!
//! It is the way of `delivery` without what such a request has no use for. Whatever is out of the ordinary (a body that is to be written, no connection
//! that is kept, a failure) goes the long way, which is told what came of the short one.

use super::answered::answer;
use super::delivery::{Delivery, Patience, deliver_watched, gate, is_rest, method, with_suffix};
use super::health::Place;
use super::outgoing::{has_no_body, manner};
use super::{Answer, Exchange, Fault, Fixed, Worker, grpc};
use crate::message::media_type::Form;
use crate::message::payload::Payload;
use crate::wire::client::{Manner, Watch};
use crate::wire::straight::{NotAnswered, Straight};
use crate::wire::{ClientResponse, Url};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::rc::Rc;

/// Sends a request to an endpoint that sends every message alike, if it is ready and has room. Its state hears of an answer.
pub async fn send(
    worker: &Worker,
    endpoint: &Fixed,
    method: &Method,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<ClientResponse, NotAnswered> {
    let Some(client) = worker.client.straight(&endpoint.url) else {
        return Err(NotAnswered::NotSent);
    };
    let Some((pass, place)) = endpoint.health.enter_now() else {
        return Err(NotAnswered::NotSent);
    };
    let straight = Straight {
        method,
        url: &endpoint.url,
        headers,
        body,
        response: endpoint.response.unwrap_or(worker.runtime.timeouts.response),
        gate: None,
    };
    let sent = client.send_straight(straight, || Box::new(place)).await;
    match &sent {
        Ok(_) => pass.succeeded(),
        Err(_) => pass.passed_on(),
    }
    sent
}

/// Sends a message to an endpoint that sends every message alike, if it is ready and the message can go the short way. What came of it
/// otherwise is noted in the exchange.
pub async fn call(exchange: &mut Exchange, endpoint: Fixed) -> Option<ClientResponse> {
    let delivery = Delivery {
        bare: !endpoint.suffixed,
        ..Delivery::default()
    };
    let Fitting { method, body } = fitting(exchange, &delivery)?;
    let url = match endpoint.suffixed {
        true => with_suffix(exchange, endpoint.url).ok()?,
        false => endpoint.url,
    };
    let (pass, place) = endpoint.health.enter_now()?;
    let worker = Rc::clone(&exchange.worker);
    let straight = Straight {
        method: &method,
        url: &url,
        headers: &exchange.message.headers,
        body: &body,
        response: endpoint.response.unwrap_or(worker.runtime.timeouts.response),
        gate: None,
    };
    let sent = match worker.client.straight(&url) {
        Some(client) => client.send_straight(straight, || Box::new(place)).await,
        None => Err(NotAnswered::NotSent),
    };
    match sent {
        Ok(response) => {
            pass.succeeded();
            Some(response)
        }
        Err(not_answered) => {
            pass.passed_on();
            exchange.tried = Some(Box::new(not_answered));
            None
        }
    }
}

/// The answer to a message that has been sent whole.
pub fn taken(exchange: &mut Exchange, response: ClientResponse) -> Answer {
    let rest = exchange.message.payload.is_rest();
    exchange.message.payload = Payload::empty();
    answer(response, exchange.message.arrived_as.clone(), rest)
}

/// Delivers a message, by the short way if it can go there.
pub async fn deliver(
    exchange: &mut Exchange,
    url: Url,
    delivery: &Delivery,
    patience: Patience,
    place: Place,
) -> Result<Answer, Fault> {
    let mut place = Some(place);
    if let Some(fitting) = fitting(exchange, delivery)
        && let Some(answer) = attempt(exchange, fitting, &url, delivery, patience, &mut place).await
    {
        return Ok(answer);
    }
    let watch = place.map(|place| Box::new(place) as Box<dyn Watch>);
    // Boxed, as room for it would be made and moved for every message.
    Box::pin(deliver_watched(exchange, url, delivery, patience, watch)).await
}

/// Whoever watches the answer is taken where its body is still to come. What came of it otherwise is noted in the exchange.
async fn attempt(
    exchange: &mut Exchange,
    fitting: Fitting,
    url: &Url,
    delivery: &Delivery,
    patience: Patience,
    place: &mut Option<Place>,
) -> Option<Answer> {
    let gate = gate(exchange, url, &delivery.chosen).ok()?;
    let url = match delivery.bare {
        true => url.clone(),
        false => with_suffix(exchange, url.clone()).ok()?,
    };
    let worker = Rc::clone(&exchange.worker);
    let straight = Straight {
        method: &fitting.method,
        url: &url,
        headers: &exchange.message.headers,
        body: &fitting.body,
        response: patience.response.unwrap_or(worker.runtime.timeouts.response),
        gate: gate.as_deref(),
    };
    let watch = || Box::new(place.take().expect("it is asked for once")) as Box<dyn Watch>;
    match worker.client.straight(&url)?.send_straight(straight, watch).await {
        Ok(response) => Some(taken(exchange, response)),
        Err(not_answered) => {
            exchange.tried = Some(Box::new(not_answered));
            None
        }
    }
}

/// A message that can go the short way: how it is sent.
struct Fitting {
    method: Method,
    /// As it came, or nothing.
    body: Bytes,
}

fn fitting(exchange: &Exchange, delivery: &Delivery) -> Option<Fitting> {
    if wants_more(exchange, delivery) {
        return None;
    }
    let method = method(exchange, delivery).ok()?;
    if method == Method::HEAD || !is_rest(exchange, &method, None) {
        return None;
    }
    let body = match has_no_body(exchange, &method, delivery) {
        true => Bytes::new(),
        // What is to be in a character set has to be written.
        false if delivery.charset.is_some() => return None,
        false => body(exchange)?,
    };
    Some(Fitting { method, body })
}

/// The body of a message that goes out as it came, if it is wholly here and nobody has said anything of how it is to be written.
fn body(exchange: &Exchange) -> Option<Bytes> {
    let message = &exchange.message;
    let came_as = message.arrived_as.as_deref()?;
    let is_as_it_came = exchange.properties.axis2_values().is_empty()
        && message.header("content-type") == Some(came_as)
        && !matches!(Form::of(came_as), Form::Soap11 | Form::Soap12 | Form::Multipart);
    is_as_it_came.then(|| message.payload.as_it_came()).flatten()
}

/// Whether anything that the message is, or that the endpoint or a step has said, concerns the way in which it is sent.
fn wants_more(exchange: &Exchange, delivery: &Delivery) -> bool {
    let properties = &exchange.properties;
    let asked = exchange.tried.is_some() || exchange.deadline.is_some() || exchange.request.websocket;
    let written = delivery.format.is_some()
        || delivery.http2
        || delivery.addressing.is_some()
        || delivery.credentials.is_some();
    let said = |name: &str| properties.axis2_values().get(name).is_some();
    let set = |name: &str| properties.default_values().get(name).is_some();
    asked
        || written
        || said("REQUEST_HOST_HEADER")
        || set("OUT_ONLY")
        || set("RESPONSE")
        || set("FORCE_ERROR_ON_SOAP_FAULT")
        || manner(exchange) != Manner::default()
        || grpc::is_grpc(&exchange.message.headers)
}
