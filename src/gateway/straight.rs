//! The short way of what only passes through: `call` and `respond`, or `send` alone.
//!
//! Where no step, no handler and no setting looks at a message, none is made: the request goes to the backend from where it was read, and the
//! answer to the client. It is the same exchange as the long way's, byte for byte but for the order of headers; whatever is out of the ordinary (a request that does
//! not fit, an endpoint that is not ready, a failure) goes the long way, which is told what came of the short one.

use super::begin::header_text;
use super::route::has_bad_escape;
use super::target;
use crate::deployment::publish::Notation;
use crate::deployment::routes::{Asked, Route};
use crate::deployment::{Deployment, SequenceRef};
use crate::flow::delivery::suffixed;
use crate::flow::{Endpoint, Fixed, Plain, Sequence, Worker, straight};
use crate::message::media_type::{Form, is_grpc};
use crate::wire::straight::NotAnswered;
use crate::wire::{ClientResponse, Incoming, Reply};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use std::sync::Arc;

/// What is known when a request has to go the long way.
#[derive(Default)]
pub struct Declined {
    pub content_type: Option<HeaderValue>,
    /// Its target made safe, if that was done.
    pub target: Option<Arc<str>>,
    /// Where it was routed to, if that was looked up.
    pub route: Option<Route>,
    /// What came of sending it, if that was tried.
    pub tried: Option<Box<NotAnswered>>,
}

/// Answers a request by the short way.
pub async fn pass(deployment: &Deployment, worker: &Worker, incoming: &Incoming) -> Result<Reply, Declined> {
    let runtime = &worker.runtime;
    let looks =
        deployment.catalog.pre_mediate.is_some() || runtime.signer.is_some() || runtime.total.is_some();
    let body = match incoming.body.exact_length() {
        Some(0) => Some(Bytes::new()),
        _ => incoming.body.as_bytes().cloned(),
    };
    let content_type = incoming.headers.get(header::CONTENT_TYPE);
    let declined = Declined {
        content_type: content_type.cloned(),
        ..Declined::default()
    };
    let Some(body) = body.filter(|body| !looks && fits(incoming, body, content_type)) else {
        return Err(declined);
    };
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let Ok(target) = target::clean(incoming.target.as_str()) else {
        return Err(declined);
    };
    let route = deployment.routes.find(
        &deployment.apis,
        &deployment.proxies,
        &Asked {
            method: &incoming.method,
            target: &target,
            https: incoming.scheme.as_str() == "https",
            headers: &incoming.headers,
            has_body: !body.is_empty(),
        },
    );
    let Some(endpoint) = endpoint(deployment, worker, &route, &target) else {
        return Err(Declined {
            target: Some(Arc::from(&*target)),
            route: Some(route),
            ..declined
        });
    };
    let sent = straight::send(worker, &endpoint, &incoming.method, &incoming.headers, &body).await;
    match sent {
        Ok(response) => Ok(reply(response, content_type)),
        Err(not_answered) => Err(Declined {
            target: Some(Arc::from(&*target)),
            route: Some(route),
            tried: Some(Box::new(not_answered)),
            ..declined
        }),
    }
}

/// Whether nothing of the request asks for more than to be passed on. What is SOAP is answered in its own words, and what has parts is put together anew.
fn fits(incoming: &Incoming, body: &Bytes, content_type: Option<&HeaderValue>) -> bool {
    let known = match content_type {
        None => body.is_empty(),
        Some(value) => value.to_str().is_ok_and(|text| {
            let form = Form::of(text);
            !matches!(form, Form::Soap11 | Form::Soap12 | Form::Multipart) && !is_grpc(value.as_bytes())
        }),
    };
    let method = match incoming.method {
        Method::GET => body.is_empty(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => true,
        _ => false,
    };
    known && method && !incoming.websocket
}

/// Where the request goes, if its resource does nothing but ask an endpoint that sends every message alike.
fn endpoint(deployment: &Deployment, worker: &Worker, route: &Route, target: &str) -> Option<Fixed> {
    let Route::Resource(matched) = route else {
        return None;
    };
    let query = target.split_once('?').map(|(_, query)| query);
    if query.is_some_and(|query| has_bad_escape(query) || Notation::asked(query).is_some()) {
        return None;
    }
    let api = &deployment.apis[matched.api];
    if api.guard.is_some() || api.cors.is_some() {
        return None;
    }
    let resource = &api.resources[matched.resource];
    let of = |side: &Option<SequenceRef>| side.as_ref().map(|side| side.of(&deployment.catalog));
    let inward = of(&resource.in_sequence)?;
    let endpoint = asked(&inward, || of(&resource.out_sequence))?;
    let mut fixed = endpoint.fixed(Some(&deployment.catalog), &worker.runtime)?;
    if fixed.suffixed {
        fixed.url = suffixed(fixed.url, &target[matched.below..]).ok()?;
    }
    Some(fixed)
}

/// The endpoint that a flow does nothing but ask.
fn asked(inward: &Sequence, outward: impl FnOnce() -> Option<Arc<Sequence>>) -> Option<&Arc<dyn Endpoint>> {
    let mut steps = inward.steps.iter().map(|step| step.mediator.plain());
    match (steps.next()??, steps.next(), steps.next()) {
        (Plain::Calls(endpoint), Some(Some(Plain::Responds)), _) => Some(endpoint),
        (Plain::Sends(Some(endpoint)), ..) => {
            let ends = outward().is_none_or(|outward| outward.only_answers());
            ends.then_some(endpoint)
        }
        _ => None,
    }
}

/// The backend's answer as the client gets it. One that does not say what it is, is taken for what was asked.
pub fn reply(response: ClientResponse, asked: Option<&str>) -> Reply {
    let ClientResponse {
        status,
        reason,
        mut headers,
        body,
        ..
    } = response;
    if body.exact_length() != Some(0) && !says_once(&headers) {
        let own = header_text(&headers, header::CONTENT_TYPE).or(asked);
        if let Some(own) = own.and_then(|own| HeaderValue::from_str(own).ok()) {
            headers.insert(header::CONTENT_TYPE, own);
        }
    }
    Reply {
        reason,
        headers,
        body,
        ..Reply::new(status)
    }
}

/// Whether the headers have one media type, and one that can be read.
fn says_once(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let first = all.next().is_some_and(|first| first.to_str().is_ok());
    first && all.next().is_none()
}
