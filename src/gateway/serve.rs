//! One request: where it goes, its in side, its out side, its faults, and its answer.

use super::answer;
use super::route::{ApiFacts, Client, Facts, Place, Speech, has_bad_escape};
use super::{target, wsdl};
use crate::deployment::routes::{Asked, Route};
use crate::deployment::{Deployment, EndpointRef, SequenceRef, api, proxy};
use crate::flow::exchange::Request;
use crate::flow::fault::code;
use crate::flow::{Exchange, Fault, Flow, Origin, Outcome, Sequence, Worker, delivery};
use crate::message::Message;
use crate::message::encoding::Encoding;
use crate::message::media_type::{Form, MediaType};
use crate::message::payload::Payload;
use crate::message::properties::{Properties, Value};
use crate::wire::{Incoming, Reply};
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, StatusCode};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use tokio::task::JoinHandle;

/// How often a message may turn: an out side that sends again gets another response, and so on.
const MOST_TURNS: usize = 32;

/// What happened since the start, for health.
#[derive(Debug, Default)]
pub struct Counters {
    pub panics: AtomicU64,
    /// Faults that no fault sequence answered.
    pub unanswered: AtomicU64,
}

/// One thread's serving.
pub struct Server {
    pub worker: Rc<Worker>,
    pub counters: Arc<Counters>,
    /// Exchanges whose client has its 202 already.
    behind: RefCell<Vec<JoinHandle<()>>>,
}

impl Server {
    pub fn new(worker: Rc<Worker>, counters: Arc<Counters>) -> Server {
        Server {
            worker,
            counters,
            behind: RefCell::default(),
        }
    }

    /// Takes one deployment and keeps it to the answer.
    pub async fn serve(&self, deployment: Arc<Deployment>, incoming: Incoming) -> Reply {
        let accepted = Rc::new(Cell::new(false));
        let counters = Arc::clone(&self.counters);
        let exchange = exchange(
            deployment,
            Rc::clone(&self.worker),
            incoming,
            Rc::clone(&accepted),
            counters,
        );
        let mut exchange = Box::pin(exchange);
        let reply = poll_fn(|context| match exchange.as_mut().poll(context) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending if accepted.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match reply.await {
            Some(reply) => reply,
            None => {
                let mut behind = self.behind.borrow_mut();
                behind.retain(|task| !task.is_finished());
                behind.push(tokio::task::spawn_local(async move { drop(exchange.await) }));
                answer::accepted()
            }
        }
    }

    /// Waits for what goes on behind answered clients.
    pub async fn finish(&self) {
        loop {
            let Some(task) = self.behind.borrow_mut().pop() else {
                return;
            };
            // A panic in it has been counted and logged.
            drop(task.await);
        }
    }
}

/// What the request is answered with, before or after mediation.
enum Verdict {
    /// The message goes to the client.
    Respond,
    /// Nothing was sent, and nothing will be.
    Quiet,
    Fault(Fault),
}

/// The sequences of what serves the request.
struct Sides {
    inward: Option<Arc<Sequence>>,
    /// Where the message goes when the in side ends without having sent it.
    endpoint: Option<EndpointRef>,
    outward: Option<Arc<Sequence>>,
    fault: Option<Arc<Sequence>>,
    /// A proxy's fault sequence stands in the place of `fault`, an API's in front of it.
    proxy: bool,
}

async fn exchange(
    deployment: Arc<Deployment>,
    worker: Rc<Worker>,
    incoming: Incoming,
    accepted: Rc<Cell<bool>>,
    counters: Arc<Counters>,
) -> Reply {
    let Incoming {
        method,
        target: asked_target,
        scheme,
        remote,
        local,
        headers,
        body,
        ..
    } = incoming;
    let has_body = body.exact_length() != Some(0);
    let media_type = header_text(&headers, header::CONTENT_TYPE).map(MediaType::parse);
    let client = client(&headers, media_type.as_ref(), has_body);
    let clean = match target::clean(asked_target.as_str()) {
        Ok(clean) => clean,
        Err(reason) => {
            tracing::debug!(
                reason,
                target = asked_target.as_str(),
                "A request with a bad path."
            );
            return answer::plain(
                StatusCode::BAD_REQUEST,
                "The path of the request is not valid.",
                client,
            );
        }
    };
    let request = Rc::new(Request {
        method,
        target: Arc::from(&*clean),
        scheme: scheme.as_str(),
        host: Arc::from(header_text(&headers, header::HOST).unwrap_or("")),
        remote,
        local,
    });
    if &*request.target == "*" {
        return answer::options("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS");
    }
    let route = deployment.routes.find(
        &deployment.apis,
        &deployment.proxies,
        &Asked {
            method: &request.method,
            target: &request.target,
            host: &request.host,
            https: request.scheme == "https",
            content_type: header_text(&headers, header::CONTENT_TYPE),
            user_agent: header_text(&headers, header::USER_AGENT),
            has_body,
        },
    );
    let handlers = &deployment.handlers;
    let catalog = &deployment.catalog;
    let named = |id: Option<crate::flow::SequenceId>| id.map(|id| catalog.sequence(id));
    let (place, sides, served_by) = match route {
        Route::Resource(matched) => {
            let api = &deployment.apis[matched.api];
            let resource = &api.resources[matched.resource];
            let place = Place::Api(ApiFacts::new(
                api,
                matched.below,
                Some((resource, matched.variables)),
            ));
            (
                place,
                Sides::of_resource(resource, &deployment),
                Arc::clone(&resource.label),
            )
        }
        Route::Options { allow, .. } => return answer::options(&allow),
        Route::NoResource { api, below } => {
            let Some(handler) = named(handlers.resource_mismatch) else {
                return answer::bare(StatusCode::NOT_FOUND);
            };
            let api = &deployment.apis[api];
            (
                Place::Api(ApiFacts::new(api, below, None)),
                Sides::of_handler(handler),
                Arc::clone(&api.name),
            )
        }
        Route::NotAllowed { api, below, allow } => {
            let Some(handler) = named(handlers.method_not_allowed) else {
                return answer::not_allowed(&allow);
            };
            let api = &deployment.apis[api];
            (
                Place::Api(ApiFacts::new(api, below, None)),
                Sides::of_handler(handler),
                Arc::clone(&api.name),
            )
        }
        Route::Refused { .. } => return answer::bare(StatusCode::BAD_REQUEST),
        Route::Broken { reason } => {
            let text = format!("Not served, because its configuration has a mistake: {reason}");
            return answer::plain(StatusCode::SERVICE_UNAVAILABLE, &text, client);
        }
        Route::Proxy { proxy, below } => {
            let proxy = &deployment.proxies[proxy];
            if let Some(reply) = wsdl::answer(proxy, &request) {
                return reply;
            }
            let place = Place::Proxy {
                name: Arc::clone(&proxy.name),
                below,
            };
            (
                place,
                Sides::of_proxy(proxy, &deployment),
                Arc::clone(&proxy.label),
            )
        }
        Route::Elsewhere => match named(handlers.main) {
            Some(main) => (Place::Main, Sides::of_main(main), Arc::from("main")),
            None => return answer::plain(StatusCode::NOT_FOUND, "There is nothing here.", client),
        },
    };
    let bad_query = matches!(place, Place::Api(_)) && request.query().is_some_and(has_bad_escape);
    let payload = match (has_body, request.query()) {
        (true, _) => {
            let encoding =
                header_text(&headers, header::CONTENT_ENCODING).map_or(Encoding::Identity, Encoding::parse);
            let mut payload = Payload::stream(media_type.clone(), encoding, body);
            payload.set_rest(
                client.speech == Speech::Rest
                    || (client.speech == Speech::Soap11 && !headers.contains_key("soapaction")),
            );
            payload
        }
        (false, Some(query)) if matches!(request.method, Method::GET | Method::DELETE) => {
            Payload::query(query)
        }
        (false, _) => Payload::empty(),
    };
    let mut message = Message::new(headers, payload);
    message.addressing.to = Some(Arc::clone(&request.target));
    message.addressing.soap_action = soap_action(&message.headers, media_type.as_ref());
    let mut properties = Properties::default();
    properties.know(Rc::new(Facts {
        request: Rc::clone(&request),
        client,
        has_body,
        typed: media_type.is_some(),
        place,
    }));
    let mut exchange = Exchange {
        message,
        properties,
        request,
        catalog: Arc::clone(&deployment.catalog),
        worker,
        served_by,
        depth: 0,
        receive: None,
        fault: None,
        reason: None,
        accepted,
    };
    let mediation = guarded(Box::pin(mediate(&mut exchange, &deployment, &sides, bad_query))).await;
    let verdict = match mediation {
        Ok(verdict) => verdict,
        Err(panic) => after_panic(panic, &mut exchange, &sides, &counters).await,
    };
    reply(verdict, exchange, &sides, client, &counters).await
}

impl Sides {
    fn of_resource(resource: &api::Resource, deployment: &Deployment) -> Sides {
        let of = |side: &Option<SequenceRef>| side.as_ref().map(|side| side.of(&deployment.catalog));
        Sides {
            inward: of(&resource.in_sequence),
            endpoint: None,
            outward: of(&resource.out_sequence),
            fault: of(&resource.fault_sequence),
            proxy: false,
        }
    }

    fn of_proxy(proxy: &proxy::Proxy, deployment: &Deployment) -> Sides {
        let of = |side: &Option<SequenceRef>| side.as_ref().map(|side| side.of(&deployment.catalog));
        Sides {
            inward: of(&proxy.in_sequence),
            endpoint: proxy.endpoint.clone(),
            outward: of(&proxy.out_sequence),
            fault: of(&proxy.fault_sequence),
            proxy: true,
        }
    }

    /// `main` sees both directions; `<in>` and `<out>` tell them apart.
    fn of_main(main: Arc<Sequence>) -> Sides {
        Sides {
            inward: Some(Arc::clone(&main)),
            endpoint: None,
            outward: Some(main),
            fault: None,
            proxy: false,
        }
    }

    fn of_handler(handler: Arc<Sequence>) -> Sides {
        Sides {
            inward: Some(handler),
            endpoint: None,
            outward: None,
            fault: None,
            proxy: false,
        }
    }

    /// Who is asked about a fault, one after the other: the next when the one before fails itself.
    fn handlers(&self, exchange: &Exchange) -> Vec<Arc<Sequence>> {
        let common = exchange
            .catalog
            .fault
            .map(|fault| exchange.catalog.sequence(fault));
        match (&self.fault, self.proxy) {
            (Some(own), true) => vec![Arc::clone(own)],
            (own, _) => own.iter().cloned().chain(common).collect(),
        }
    }
}

/// From the request to what the client gets, or does not.
async fn mediate(
    exchange: &mut Exchange,
    deployment: &Deployment,
    sides: &Sides,
    bad_query: bool,
) -> Verdict {
    let mut outcome = if bad_query {
        // Decoding happens before the resource's own fault sequence is in place.
        exchange.properties.set_axis2("HTTP_SC", Value::Integer(400));
        let handlers = exchange
            .catalog
            .fault
            .map(|fault| exchange.catalog.sequence(fault));
        let fault = Fault::client(code::BAD_QUERY, "the query of the request cannot be decoded").status(400);
        faulted(exchange, fault, handlers.into_iter().collect()).await
    } else {
        request_side(exchange, deployment, sides).await
    };
    // A response has its fault sequences anew.
    let mut asked = bad_query;
    for _ in 0..MOST_TURNS {
        outcome = match outcome {
            Ok(Flow::Turn) => {
                asked = false;
                response_side(exchange, deployment, sides).await
            }
            Err(fault) if fault.unhandled || asked => return Verdict::Fault(fault),
            Err(fault) => {
                asked = true;
                let handlers = sides.handlers(exchange);
                faulted(exchange, fault, handlers).await
            }
            Ok(Flow::Respond) => return Verdict::Respond,
            Ok(Flow::Continue | Flow::Drop) => {
                let answered = exchange.properties.axis2_is_true("NIO-ACK-Requested");
                return match exchange.fault.take().filter(|_| !answered) {
                    Some(fault) => Verdict::Fault(fault),
                    None => Verdict::Quiet,
                };
            }
        };
    }
    Verdict::Fault(Fault::mediation(format!(
        "the message turned more than {MOST_TURNS} times"
    )))
}

async fn request_side(exchange: &mut Exchange, deployment: &Deployment, sides: &Sides) -> Outcome {
    if let Some(pre_mediate) = deployment.handlers.pre_mediate {
        match exchange.run(pre_mediate).await? {
            Flow::Continue => {}
            flow => return Ok(flow),
        }
    }
    if let Some(turned) = max_forwards(exchange) {
        return Ok(turned);
    }
    if let Some(inward) = &sides.inward {
        match inward.run(exchange).await? {
            Flow::Continue => {}
            flow => return Ok(flow),
        }
    }
    match &sides.endpoint {
        Some(endpoint) => deliver(exchange, endpoint).await,
        None => Ok(Flow::Continue),
    }
}

/// A declared OPTIONS counts `Max-Forwards` down, and is answered here at 0.
fn max_forwards(exchange: &mut Exchange) -> Option<Flow> {
    if exchange.request.method != Method::OPTIONS {
        return None;
    }
    let left: u32 = exchange.message.header("max-forwards")?.trim().parse().ok()?;
    match left.checked_sub(1) {
        Some(left) => {
            exchange.message.headers.insert(header::MAX_FORWARDS, left.into());
            None
        }
        None => {
            exchange.message.headers.clear();
            exchange
                .message
                .headers
                .insert(header::ALLOW, HeaderValue::from_static("OPTIONS"));
            Some(Flow::Respond)
        }
    }
}

/// Through the endpoint of a proxy's target, as `<send>` does.
async fn deliver(exchange: &mut Exchange, endpoint: &EndpointRef) -> Outcome {
    exchange.before_backend().await?;
    let endpoint = endpoint.of(&exchange.catalog);
    delivery::send(exchange, Some(&*endpoint), None).await
}

async fn response_side(exchange: &mut Exchange, deployment: &Deployment, sides: &Sides) -> Outcome {
    exchange.message.response = true;
    exchange.depth = 0;
    // What failed before has been dealt with by sending something else.
    exchange.fault = None;
    if let Some(pre_mediate) = deployment.handlers.pre_mediate {
        match exchange.run(pre_mediate).await? {
            Flow::Continue => {}
            flow => return Ok(flow),
        }
    }
    let receive = exchange
        .receive
        .take()
        .map(|receive| exchange.catalog.sequence(receive));
    match receive.as_ref().or(sides.outward.as_ref()) {
        Some(outward) => outward.run(exchange).await,
        None => Ok(Flow::Respond),
    }
}

/// Gives a fault to the handlers. What they leave undone stays undone; the fault is then the answer.
async fn faulted(exchange: &mut Exchange, fault: Fault, handlers: Vec<Arc<Sequence>>) -> Outcome {
    let mut fault = fault;
    if fault.at.is_none() {
        log_fault(exchange, &fault);
    }
    exchange.note_for_handler(&fault);
    for handler in handlers {
        exchange.depth = 0;
        match handler.run(exchange).await {
            Ok(Flow::Continue) => return Ok(Flow::Drop),
            Ok(flow) => return Ok(flow),
            Err(next) => {
                fault = next;
                exchange.note_for_handler(&fault);
            }
        }
    }
    Err(fault)
}

async fn after_panic(panic: String, exchange: &mut Exchange, sides: &Sides, counters: &Counters) -> Verdict {
    counters.panics.fetch_add(1, Ordering::Relaxed);
    tracing::error!(served_by = %exchange.served_by, panic, "A step panicked. This is a mistake in Myelin; please report it.");
    let fault = Fault::new(code::MEDIATION, Origin::Gateway, "an internal error").status(500);
    let handlers = sides.handlers(exchange);
    let handled = guarded(Box::pin(faulted(exchange, fault.clone(), handlers))).await;
    match handled {
        Ok(Ok(Flow::Respond)) => Verdict::Respond,
        // What the fault sequence sent would need an out side of its own; the client hears of the error instead.
        _ => Verdict::Fault(fault),
    }
}

async fn reply(
    verdict: Verdict,
    exchange: Exchange,
    sides: &Sides,
    client: Client,
    counters: &Counters,
) -> Reply {
    let mut exchange = exchange;
    let fault = match verdict {
        Verdict::Respond => match Box::pin(answer::respond(&mut exchange, client)).await {
            Ok(reply) => return reply,
            Err(fault) if exchange.fault.is_some() => fault,
            // Only here does it show that the message cannot be read or written: the fault sequences hear of it too.
            Err(fault) => {
                let handlers = sides.handlers(&exchange);
                match Box::pin(faulted(&mut exchange, fault.clone(), handlers)).await {
                    Ok(Flow::Respond) => match Box::pin(answer::respond(&mut exchange, client)).await {
                        Ok(reply) => return reply,
                        Err(second) => second,
                    },
                    Ok(_) => fault,
                    Err(second) => second,
                }
            }
        },
        Verdict::Quiet if exchange.properties.axis2_is_true("NIO-ACK-Requested") => {
            return answer::acknowledge(&mut exchange);
        }
        Verdict::Quiet => return answer::accepted(),
        Verdict::Fault(fault) => fault,
    };
    counters.unanswered.fetch_add(1, Ordering::Relaxed);
    let reply = answer::of_fault(&fault, &exchange, client);
    if fault.at.is_none() && exchange.fault.is_none() {
        log_fault(&exchange, &fault);
    }
    tracing::debug!(served_by = %exchange.served_by, status = reply.status.as_u16(), "No fault sequence answered.");
    reply
}

/// A fault that no step is to blame for. Those that have a place were logged there.
fn log_fault(exchange: &Exchange, fault: &Fault) {
    tracing::warn!(
        served_by = %exchange.served_by,
        error_code = %fault.code,
        reason = %fault.reason,
        status = answer::status_of(fault).as_u16(),
        "An exchange failed."
    );
}

/// A panic ends only its own exchange: it comes back as its message.
async fn guarded<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Poll::Ready(Err(text.unwrap_or_else(|| "a panic without a message".to_owned())))
            }
        },
    )
    .await
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn client(headers: &HeaderMap, media_type: Option<&MediaType>, has_body: bool) -> Client {
    let speech = match media_type {
        Some(media_type) if has_body => match media_type.form() {
            Form::Soap11 => Speech::Soap11,
            Form::Soap12 => Speech::Soap12,
            // SOAP with attachments names its root part's type.
            Form::Multipart => match media_type.parameter("type") {
                Some("text/xml") => Speech::Soap11,
                Some("application/soap+xml" | "application/xop+xml") => Speech::Soap12,
                _ => Speech::Rest,
            },
            _ => Speech::Rest,
        },
        _ => Speech::Rest,
    };
    let json = media_type.is_some_and(|media_type| media_type.form() == Form::Json)
        || header_text(headers, header::ACCEPT).is_some_and(|accept| accept.contains("json"));
    Client { speech, json }
}

/// SOAP 1.1 says its action in a header, SOAP 1.2 in the media type.
fn soap_action(headers: &HeaderMap, media_type: Option<&MediaType>) -> Option<Arc<str>> {
    let header = headers.get("soapaction").and_then(|value| value.to_str().ok());
    let action = header
        .map(|action| action.trim().trim_matches('"'))
        .or_else(|| media_type?.action.as_deref())?;
    (!action.is_empty()).then(|| Arc::from(action))
}
