//! One request through its in side, its out side, its faults, to its answer.

use super::begin::{Begun, Sides, begin};
use super::route::{ApiFacts, Client, Place};
use super::{admission, answer, straight};
use crate::deployment::{Deployment, EndpointRef, api};
use crate::flow::backend_jwt::Called;
use crate::flow::fault::code;
use crate::flow::{Exchange, Fault, Flow, Origin, Outcome, Sequence, Worker, delivery};
use crate::message::media_type::is_grpc;
use crate::message::properties::Value;
use crate::wire::{Incoming, Reply};
use http::{HeaderValue, Method, header};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
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
        let declined = match straight::pass(&deployment, &self.worker, &incoming).await {
            Ok(reply) => return reply,
            Err(declined) => declined,
        };
        let content_type = declined.content_type.as_ref();
        let grpc = content_type.is_some_and(|value| is_grpc(value.as_bytes()));
        let mut visit = None;
        let begun = begin(&deployment, &self.worker, incoming, grpc, declined, &mut visit);
        let mut reply = match begun {
            Continue(begun) => {
                let request = Rc::clone(&begun.exchange.request);
                let exchange = run(deployment, begun, Arc::clone(&self.counters));
                self.attend(Box::pin(exchange), &request.accepted).await
            }
            Break(reply) => reply,
        };
        if let Some(visit) = visit {
            visit.dress(&mut reply);
        }
        if grpc { answer::to_grpc(reply) } else { reply }
    }

    /// Follows an exchange to its answer, or until its client may have a 202.
    async fn attend(
        &self,
        mut exchange: Pin<Box<impl Future<Output = Reply> + 'static>>,
        accepted: &Cell<bool>,
    ) -> Reply {
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
                break;
            };
            // A panic in it has been counted and logged.
            drop(task.await);
        }
        self.worker.errands.finish().await;
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

/// From what serves a request to its answer.
async fn run(deployment: Arc<Deployment>, mut begun: Box<Begun>, counters: Arc<Counters>) -> Reply {
    if begun.door.is_some()
        && let Some(refused) = Box::pin(refused(&deployment, &mut begun)).await
    {
        return refused;
    }
    let Begun {
        exchange,
        sides,
        client,
        bad_query,
        ..
    } = &mut *begun;
    let mediation = guarded(pin!(mediate(exchange, sides, *bad_query))).await;
    let verdict = match mediation {
        Ok(verdict) => verdict,
        Err(panic) => Box::pin(after_panic(panic, exchange, sides, &counters)).await,
    };
    reply(verdict, exchange, sides, *client, &counters).await
}

/// What a caller hears whose token does not let it in.
async fn refused(deployment: &Deployment, begun: &mut Begun) -> Option<Reply> {
    let door = begun.door?;
    let exchange = &mut begun.exchange;
    let admitted = admission::admit(
        exchange.caller.as_deref(),
        door.guard(deployment)?,
        door.resource(deployment),
        called(&begun.facts.place),
        &mut exchange.message.headers,
        &exchange.worker.runtime,
    );
    let refusal = admitted.await.err()?;
    tracing::debug!(served_by = %exchange.served_by, code = refusal.code(), reason = %refusal, "A caller was not let in.");
    Some(admission::refused(&refusal, begun.client))
}

/// What a token for the backend says is called.
fn called(place: &Place) -> Called<'_> {
    match place {
        Place::Api(ApiFacts { api, .. }) => Called {
            name: &api.name,
            context: &api.context,
            version: api::version_text(api.version.as_ref()),
        },
        Place::Proxy { name, .. } => Called {
            name,
            context: "/services",
            version: "",
        },
        Place::Main => Called {
            name: "main",
            context: "/",
            version: "",
        },
    }
}

/// From the request to what the client gets, or does not.
async fn mediate(exchange: &mut Exchange, sides: &Sides, bad_query: bool) -> Verdict {
    let mut outcome = if bad_query {
        // Decoding happens before the resource's own fault sequence is in place.
        exchange.properties.set_axis2("HTTP_SC", Value::Integer(400));
        let handlers = exchange
            .catalog
            .fault
            .map(|fault| exchange.catalog.sequence(fault));
        let fault = Fault::client(code::BAD_QUERY, "the query of the request cannot be decoded").status(400);
        Box::pin(faulted(exchange, fault, handlers.into_iter().collect())).await
    } else {
        request_side(exchange, sides).await
    };
    // A response has its fault sequences anew.
    let mut asked = bad_query;
    for _ in 0..MOST_TURNS {
        outcome = match outcome {
            Ok(Flow::Turn) => {
                asked = false;
                response_side(exchange, sides).await
            }
            Err(fault) if fault.unhandled || asked => return Verdict::Fault(fault),
            Err(fault) => {
                asked = true;
                let handlers = sides.handlers(exchange);
                Box::pin(faulted(exchange, fault, handlers)).await
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

async fn request_side(exchange: &mut Exchange, sides: &Sides) -> Outcome {
    match exchange.pre_mediate().await? {
        Flow::Continue => {}
        flow => return Ok(flow),
    }
    if let Some(turned) = max_forwards(exchange, sides) {
        return Ok(turned);
    }
    if let Some(inward) = &sides.inward {
        match inward.run(exchange).await? {
            Flow::Continue => {}
            flow => return Ok(flow),
        }
    }
    match &sides.endpoint {
        // Boxed, as everything rare on this way: room for it would be made and moved for every message.
        Some(endpoint) => Box::pin(deliver(exchange, endpoint)).await,
        None => Ok(Flow::Continue),
    }
}

/// A declared OPTIONS counts `Max-Forwards` down, and is answered here at 0.
fn max_forwards(exchange: &mut Exchange, sides: &Sides) -> Option<Flow> {
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
            if let Some(allow) = sides
                .methods
                .and_then(|methods| HeaderValue::from_str(&methods.allow()).ok())
            {
                exchange.message.headers.insert(header::ALLOW, allow);
            }
            Some(Flow::Respond)
        }
    }
}

/// Through the endpoint of a proxy's target, as `<send>` does.
async fn deliver(exchange: &mut Exchange, endpoint: &EndpointRef) -> Outcome {
    let endpoint = endpoint.of(&exchange.catalog);
    match delivery::send(exchange, Some(&endpoint), None).await {
        // The endpoint's own `onError` hears of it first.
        Err(mut fault) => match fault.handler.take() {
            Some(handler) if !fault.unhandled => exchange.handle(fault, handler).await,
            _ => Err(fault),
        },
        outcome => outcome,
    }
}

async fn response_side(exchange: &mut Exchange, sides: &Sides) -> Outcome {
    exchange.message.response = true;
    exchange.depth = 0;
    // What failed before has been dealt with by sending something else.
    exchange.fault = None;
    match exchange.pre_mediate().await? {
        Flow::Continue => {}
        flow => return Ok(flow),
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
            Ok(flow) => {
                exchange.settle(flow);
                return Ok(flow);
            }
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
    let handled = guarded(pin!(faulted(exchange, fault.clone(), handlers))).await;
    match handled {
        Ok(Ok(Flow::Respond)) => Verdict::Respond,
        // What the fault sequence sent would need an out side of its own; the client hears of the error instead.
        _ => Verdict::Fault(fault),
    }
}

async fn reply(
    verdict: Verdict,
    exchange: &mut Exchange,
    sides: &Sides,
    client: Client,
    counters: &Counters,
) -> Reply {
    if let (Verdict::Respond, Some(passed)) = (&verdict, exchange.passed.take()) {
        return straight::reply(*passed, exchange.message.arrived_as.as_deref());
    }
    let fault = match verdict {
        Verdict::Respond => match Box::pin(answer::respond(exchange, client)).await {
            Ok(reply) => return reply,
            Err(fault) if exchange.fault.is_some() => fault,
            // Only here does it show that the message cannot be read or written: the fault sequences hear of it too.
            Err(fault) => {
                let handlers = sides.handlers(exchange);
                match Box::pin(faulted(exchange, fault.clone(), handlers)).await {
                    Ok(Flow::Respond) => match Box::pin(answer::respond(exchange, client)).await {
                        Ok(reply) => return reply,
                        Err(second) => second,
                    },
                    Ok(_) => fault,
                    Err(second) => second,
                }
            }
        },
        Verdict::Quiet if exchange.properties.axis2_is_true("NIO-ACK-Requested") => {
            return answer::acknowledge(exchange);
        }
        Verdict::Quiet => return answer::accepted(),
        Verdict::Fault(fault) => fault,
    };
    counters.unanswered.fetch_add(1, Ordering::Relaxed);
    let reply = answer::of_fault(&fault, exchange, client);
    if fault.at.is_none() && exchange.fault.is_none() {
        log_fault(exchange, &fault);
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
async fn guarded<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{self, LoadOptions};
    use crate::flow::testing::{Scripted, ScriptedBackend, broken_upload, wait, worker};
    use crate::flow::{Catalog, Mediator, Step};
    use crate::message::body::{ByteStream, StreamErrorKind};
    use crate::text::{FileId, Span};
    use crate::wire::Scheme;
    use crate::wire::client::{Reached, SendErrorKind};
    use async_trait::async_trait;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, Version};

    fn deploy(artifacts: &str) -> Arc<Deployment> {
        let folder = tempfile::tempdir().expect("a folder");
        let xml = format!("<definitions xmlns=\"http://ws.apache.org/ns/synapse\">{artifacts}</definitions>");
        std::fs::write(folder.path().join("a.xml"), xml).expect("a file");
        let loaded = deployment::load(&[folder.path().to_path_buf()], &LoadOptions::default());
        let mistakes: Vec<&String> = loaded.mistakes.iter().map(|mistake| &mistake.message).collect();
        loaded.deployment.unwrap_or_else(|| panic!("{mistakes:?}"))
    }

    /// `POST /path`, headers, an empty line, a body.
    fn incoming(request: &str) -> Incoming {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, target) = lines
            .next()
            .and_then(|line| line.split_once(' '))
            .expect("METHOD /path");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("gateway:8290"));
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let address = "127.0.0.1:8290".parse().expect("an address");
        Incoming {
            method: method.parse().expect("a method"),
            target: target.parse().expect("a target"),
            version: Version::HTTP_11,
            scheme: Scheme::Http,
            remote: address,
            local: address,
            headers,
            body: ByteStream::from(Bytes::copy_from_slice(body.as_bytes())),
            websocket: false,
        }
    }

    struct Answered {
        close: bool,
        status: u16,
        reason: Option<String>,
        headers: HeaderMap,
        body: String,
    }

    fn ask_with(deployment: Arc<Deployment>, incoming: Incoming, backend: Rc<ScriptedBackend>) -> Answered {
        let server = Server::new(worker(backend), Arc::default());
        wait(async {
            let reply = server.serve(deployment, incoming).await;
            let close = reply.close;
            let (body, _) = reply.body.collect(1 << 20).await.expect("a body");
            server.finish().await;
            Answered {
                close,
                status: reply.status.as_u16(),
                reason: reply.reason,
                headers: reply.headers,
                body: String::from_utf8_lossy(&body).into_owned(),
            }
        })
    }

    fn ask(artifacts: &str, request: &str, backend: &str) -> Answered {
        ask_with(
            deploy(artifacts),
            incoming(request),
            ScriptedBackend::answering(backend),
        )
    }

    fn check(artifacts: &str, request: &str, backend: &str, expected: &str) {
        let answered = ask(artifacts, request, backend);
        assert_eq!(
            format!("{} {}", answered.status, answered.body),
            expected,
            "{request} to {artifacts}"
        );
    }

    fn api(inward: &str, rest: &str) -> String {
        format!(
            r#"<api name="A" context="/a"><resource methods="GET POST OPTIONS"><inSequence>{inward}</inSequence>{rest}</resource></api>"#
        )
    }

    const SEND: &str = r#"<send><endpoint><address uri="http://backend/x"/></endpoint></send>"#;
    const CALL: &str = r#"<call><endpoint><address uri="http://backend/x"/></endpoint></call>"#;
    const FAIL: &str = r#"<throwError type="OWN" errorMessage="no"/>"#;
    const SAY: &str = r#"<payloadFactory media-type="text"><format>said</format></payloadFactory><respond/>"#;

    #[test]
    fn what_is_not_answered_gets_202_without_a_body_or_headers() {
        for steps in ["", "<drop/>", r#"<property name="RESPONSE" value="true"/>"#] {
            let answered = ask(
                &api(steps, ""),
                "POST /a\ncontent-type: text/plain\nx-own: 1\n\nhello",
                "200",
            );
            assert_eq!(
                (answered.status, &*answered.body, answered.headers.len()),
                (202, "", 0),
                "{steps}"
            );
        }
        check(
            r#"<api name="A" context="/a"><resource/></api>"#,
            "POST /a\n\nhello",
            "200",
            "202 ",
        );
    }

    #[test]
    fn a_response_that_is_dropped_or_left_gets_202_too() {
        for out in ["<drop/>", r#"<property name="x" value="1"/>"#] {
            check(
                &api(SEND, &format!("<outSequence>{out}</outSequence>")),
                "GET /a",
                "200\n\nanswer",
                "202 ",
            );
        }
    }

    #[test]
    fn a_response_goes_through_the_out_side_or_back_as_it_is() {
        check(
            &api(SEND, ""),
            "GET /a",
            "404\ncontent-type: text/plain\n\ngone",
            "404 gone",
        );
        check(
            &api(SEND, "<outSequence><send/></outSequence>"),
            "GET /a",
            "200\ncontent-type: text/plain\n\nanswer",
            "200 answer",
        );
        check(
            &api(SEND, &format!("<outSequence>{SAY}</outSequence>")),
            "GET /a",
            "200\n\nanswer",
            "200 said",
        );
        check(
            &api(&format!("{CALL}<respond/>"), "<outSequence><drop/></outSequence>"),
            "GET /a",
            "201\ncontent-type: text/plain\n\nmade",
            "201 made",
        );
    }

    #[test]
    fn receive_takes_the_place_of_the_out_side() {
        let artifacts = format!(
            r#"{}<sequence name="taken">{SAY}</sequence>"#,
            api(
                r#"<send receive="taken"><endpoint><address uri="http://backend/x"/></endpoint></send>"#,
                "<outSequence><drop/></outSequence>"
            )
        );
        check(&artifacts, "GET /a", "200\n\nanswer", "200 said");
    }

    #[test]
    fn an_out_side_that_sends_gets_another_response() {
        let out = format!(
            r#"<outSequence><filter source="$ctx:twice" regex="yes"><then><send/></then>
               <else><property name="twice" value="yes"/>{SEND}</else></filter></outSequence>"#
        );
        let backend = ScriptedBackend::new([
            Scripted::parse("200\ncontent-type: text/plain\n\none"),
            Scripted::parse("200\ncontent-type: text/plain\n\ntwo"),
        ]);
        let answered = ask_with(deploy(&api(SEND, &out)), incoming("GET /a"), Rc::clone(&backend));
        assert_eq!(
            (answered.status, &*answered.body, backend.seen().len()),
            (200, "two", 2)
        );
    }

    #[test]
    fn main_sees_requests_and_responses() {
        let main = format!(
            r#"<sequence name="main"><in>{SEND}</in><out><property name="X-Out" value="1" scope="transport"/><send/></out></sequence>"#
        );
        let answered = ask(&main, "GET /else", "200\ncontent-type: text/plain\n\nanswer");
        assert_eq!(
            (
                answered.status,
                &*answered.body,
                answered.headers.contains_key("x-out")
            ),
            (200, "answer", true)
        );
        check("", "GET /else", "200", "404 There is nothing here.\n");
    }

    #[test]
    fn pre_mediate_runs_for_requests_and_for_responses() {
        let pre = |steps: &str| {
            format!(
                r#"{}<sequence name="pre-mediate">{steps}</sequence>"#,
                api(SEND, "")
            )
        };
        let seen = pre(
            r#"<in><property name="seen" value="in"/></in><out><property name="X-Pre" expression="$ctx:seen" scope="transport"/></out>"#,
        );
        let answered = ask(&seen, "GET /a", "200\n\nanswer");
        assert_eq!(
            answered.headers.get("x-pre").map(HeaderValue::as_bytes),
            Some(&b"in"[..])
        );
        check(&pre("<drop/>"), "GET /a", "200\n\nanswer", "202 ");
    }

    #[test]
    fn a_body_that_was_made_survives_whoever_wants_it_whole() {
        for name in ["HTTP_ETAG", "DISABLE_CHUNKING", "FORCE_HTTP_1.0"] {
            let set = format!(r#"<property name="{name}" value="true" scope="axis2"/>"#);
            check(
                &api(&format!("{set}{SAY}"), ""),
                "POST /a\n\nhello",
                "200",
                "200 said",
            );
        }
        let made = r#"<payloadFactory media-type="text"><format>said</format></payloadFactory>"#;
        let accepted = r#"<property name="FORCE_SC_ACCEPTED" value="true" scope="axis2"/>"#;
        let whole = r#"<property name="DISABLE_CHUNKING" value="true" scope="axis2"/>"#;
        for set in [accepted, whole] {
            let backend = ScriptedBackend::answering("200");
            let artifacts = api(&format!("{made}{set}{SEND}"), "");
            ask_with(
                deploy(&artifacts),
                incoming("POST /a\n\nhello"),
                Rc::clone(&backend),
            );
            assert_eq!(backend.only().body, "said", "{set}");
        }
    }

    #[test]
    fn an_answer_may_end_its_connection_but_not_because_a_request_to_a_backend_did() {
        let closes = |steps: &str, more: &str, backend: Scripted| {
            let artifacts = api(steps, more);
            ask_with(
                deploy(&artifacts),
                incoming("POST /a\n\nx"),
                ScriptedBackend::new([backend]),
            )
            .close
        };
        let answer = || Scripted::parse("200\n\nanswer");
        let set = r#"<property name="NO_KEEPALIVE" value="true" scope="axis2"/>"#;
        assert!(closes(&format!("{set}{SAY}"), "", answer()));
        assert!(!closes(SAY, "", answer()));
        assert!(!closes(&format!("{set}{CALL}<respond/>"), "", answer()));
        assert!(closes(&format!("{CALL}{set}<respond/>"), "", answer()));
        let failed = Scripted::Fails(crate::wire::client::SendError {
            kind: SendErrorKind::Closed,
            message: "gone".to_owned(),
            reached: Reached::Unknown,
        });
        let fault = format!("<faultSequence>{SAY}</faultSequence>");
        assert!(!closes(&format!("{set}{CALL}<respond/>"), &fault, failed));
    }

    #[test]
    fn pre_mediate_sees_the_answers_of_calls_before_the_flow_goes_on() {
        let with = |call: &str, then: &str| {
            format!(
                r#"{}<sequence name="pre-mediate"><filter source="$axis2:HTTP_SC" regex="201"><then>{then}</then></filter></sequence>"#,
                api(&format!("{call}<respond/>"), "")
            )
        };
        let mark = r#"<in><property name="X-Pre" value="request" scope="transport"/></in><out><drop/></out>"#;
        let answered = ask(&with(CALL, mark), "GET /a", "201\n\nanswer");
        assert_eq!(
            answered.headers.get("x-pre").map(HeaderValue::as_bytes),
            Some(&b"request"[..])
        );
        check(&with(CALL, "<drop/>"), "GET /a", "201\n\nanswer", "202 ");
        check(&with(CALL, SAY), "GET /a", "201\n\nanswer", "201 said");
        // Its fault is the flow's: the innermost handler hears of it.
        let inner = format!(
            r#"<sequence name="asks" onError="says">{CALL}</sequence><sequence name="says">{SAY}</sequence>"#
        );
        let artifacts = format!("{}{inner}", with(r#"<sequence key="asks"/>"#, FAIL));
        check(&artifacts, "GET /a", "201\n\nanswer", "201 said");
        // Blocking calls have no answer that arrives by itself.
        let blocking = CALL.replace("<call>", r#"<call blocking="true">"#);
        check(
            &with(&blocking, "<drop/>"),
            "GET /a",
            "201\n\nanswer",
            "201 answer",
        );
    }

    #[test]
    fn a_fault_goes_to_the_resources_sequence_then_to_fault() {
        let own = format!("<faultSequence>{SAY}</faultSequence>");
        let fault = r#"<sequence name="fault"><payloadFactory media-type="text"><format>common</format></payloadFactory><respond/></sequence>"#;
        check(&api(FAIL, &own), "GET /a", "200", "200 said");
        check(
            &format!("{}{fault}", api(FAIL, &own)),
            "GET /a",
            "200",
            "200 said",
        );
        check(
            &format!("{}{fault}", api(FAIL, "")),
            "GET /a",
            "200",
            "200 common",
        );
        check(
            &format!(
                "{}{fault}",
                api(FAIL, &format!("<faultSequence>{FAIL}</faultSequence>"))
            ),
            "GET /a",
            "200",
            "200 common",
        );
    }

    #[test]
    fn a_fault_in_the_out_side_goes_to_the_resources_sequence_again() {
        let rest = format!("<outSequence>{FAIL}</outSequence><faultSequence>{SAY}</faultSequence>");
        check(&api(SEND, &rest), "GET /a", "200\n\nanswer", "200 said");
        let rest = format!("<outSequence>{FAIL}</outSequence><faultSequence>{SEND}</faultSequence>");
        // The fault sequence sends, its response fails again: it does not go round for ever.
        check(
            &api(SEND, &rest),
            "GET /a",
            "200\n\nanswer",
            "500 The message could not be processed.\n",
        );
    }

    #[test]
    fn an_onerror_that_fails_leaves_the_fault_to_the_resources_sequence() {
        let artifacts = format!(
            r#"{}<sequence name="steps" onError="broken">{FAIL}</sequence><sequence name="broken">{FAIL}</sequence>"#,
            api(
                r#"<sequence key="steps"/>"#,
                &format!("<faultSequence>{SAY}</faultSequence>")
            )
        );
        check(&artifacts, "GET /a", "200", "200 said");
    }

    #[test]
    fn a_fault_that_nobody_answers_gets_its_status() {
        check(
            &api(FAIL, ""),
            "GET /a",
            "200",
            "500 The message could not be processed.\n",
        );
        check(
            &api(
                FAIL,
                "<faultSequence><property name=\"seen\" value=\"1\"/></faultSequence>",
            ),
            "GET /a",
            "200",
            "500 The message could not be processed.\n",
        );
        // Whoever says `drop` has had the last word, as in Synapse.
        check(
            &api(FAIL, "<faultSequence><drop/></faultSequence>"),
            "GET /a",
            "200",
            "202 ",
        );
        // Nobody declares `fault` here.
        check(
            &api(FAIL, "<faultSequence><sequence key=\"fault\"/></faultSequence>"),
            "GET /a",
            "200",
            "500 The message could not be processed.\n",
        );
        for (kind, status) in [
            (SendErrorKind::Connect, 502),
            (SendErrorKind::ConnectTimeout, 504),
            (SendErrorKind::Timeout, 504),
            (SendErrorKind::Closed, 502),
            (SendErrorKind::Protocol, 502),
        ] {
            let backend = ScriptedBackend::new([Scripted::fails(kind.clone(), Reached::Unknown)]);
            let answered = ask_with(deploy(&api(SEND, "")), incoming("GET /a"), backend);
            assert_eq!(answered.status, status, "{kind:?}");
            assert!(!answered.body.contains("backend/x"), "{}", answered.body);
        }
    }

    #[test]
    fn an_unanswered_fault_speaks_the_clients_language() {
        let answered = ask(
            &api(FAIL, ""),
            "POST /a\ncontent-type: application/json\n\n{}",
            "200",
        );
        assert_eq!(
            answered.body,
            r#"{"error":{"status":500,"message":"The message could not be processed."}}"#
        );
        let answered = ask(&api(FAIL, ""), "POST /a\ncontent-type: text/xml\n\n<a/>", "200");
        assert!(
            answered.body.contains("Fault") && answered.body.contains("schemas.xmlsoap.org/soap/envelope"),
            "{}",
            answered.body
        );
    }

    #[test]
    fn a_fault_sequence_may_answer_with_a_status_alone() {
        let ack = r#"<faultSequence><property name="HTTP_SC" value="503" scope="axis2"/><property name="X-Why" value="full" scope="transport"/>
            <property name="NIO-ACK-Requested" value="true" scope="axis2"/></faultSequence>"#;
        let answered = ask(
            &api(FAIL, ack),
            "POST /a\ncontent-type: text/plain\n\nhello",
            "200",
        );
        assert_eq!((answered.status, &*answered.body), (503, ""));
        assert!(answered.headers.contains_key("x-why") && !answered.headers.contains_key("content-type"));
    }

    #[test]
    fn what_the_client_sent_wrong_is_its_own_fault() {
        let reads = api(r#"<property name="x" expression="//a"/><respond/>"#, "");
        let answered = ask(&reads, "POST /a\ncontent-type: application/xml\n\n<a", "200");
        assert_eq!(answered.status, 400);
        let mut request = incoming("POST /a\ncontent-type: application/xml");
        request.body = broken_upload(StreamErrorKind::TimedOut);
        assert_eq!(
            ask_with(deploy(&reads), request, ScriptedBackend::answering("200")).status,
            408
        );
        check(
            &api("<respond/>", ""),
            "GET /a/%zz",
            "200",
            "400 The path of the request is not valid.\n",
        );
        let fault = r#"<sequence name="fault"><property name="X-Code" expression="$ctx:ERROR_CODE" scope="transport"/><respond/></sequence>"#;
        let answered = ask(&format!("{}{fault}", api("<drop/>", "")), "GET /a?x=%", "200");
        assert_eq!(
            (
                answered.status,
                answered.headers.get("x-code").map(HeaderValue::as_bytes)
            ),
            (400, Some(&b"400"[..]))
        );
    }

    #[test]
    fn a_panic_ends_only_its_own_exchange() {
        struct Panics;
        #[async_trait(?Send)]
        impl Mediator for Panics {
            async fn mediate(&self, _: &mut Exchange) -> Outcome {
                panic!("on purpose")
            }
        }
        let span = Span::new(FileId(0), 0..0);
        let step = Step {
            element: "panic",
            span,
            mediator: Box::new(Panics),
        };
        let main = Arc::new(Sequence {
            named: true,
            ..Sequence::branch("main", vec![step])
        });
        let catalog = Catalog {
            sequences: vec![main],
            ..Catalog::default()
        };
        let handlers = deployment::Handlers {
            main: Some(crate::flow::SequenceId(0)),
            ..Default::default()
        };
        let deployment = Arc::new(Deployment::new(catalog, Vec::new(), Vec::new(), handlers, 1));
        let answered = ask_with(deployment, incoming("GET /x"), ScriptedBackend::answering("200"));
        assert_eq!(
            (answered.status, &*answered.body),
            (500, "The message could not be processed.\n")
        );
    }

    #[test]
    fn headers_of_a_request_stay_behind_when_it_is_turned_round() {
        let answered = ask(
            &api("<respond/>", ""),
            "POST /a\ncontent-type: text/plain\naccept: */*\ncookie: a=b\nauthorization: x\nx-own: 1\nx-own: 2\n\nhello",
            "200",
        );
        let names: Vec<String> = answered
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        assert_eq!(
            names,
            [r#"content-type="text/plain""#, r#"x-own="1""#, r#"x-own="2""#]
        );
        assert_eq!((answered.status, &*answered.body), (200, "hello"));
    }

    #[test]
    fn status_and_reason_follow_synapses_rules() {
        let set = |properties: &str| api(&format!("{CALL}{properties}<respond/>"), "");
        let property =
            |name: &str, value: &str| format!(r#"<property name="{name}" value="{value}" scope="axis2"/>"#);
        let answered = ask(&set(""), "GET /a", "200 Fine\n\nx");
        assert_eq!((answered.status, answered.reason.as_deref()), (200, Some("Fine")));
        let answered = ask(&set(&property("HTTP_SC", "418")), "GET /a", "200 Fine\n\nx");
        assert_eq!((answered.status, answered.reason), (418, None));
        let answered = ask(&set(&property("HTTP_SC_DESC", "Own")), "GET /a", "200\n\nx");
        assert_eq!(answered.reason.as_deref(), Some("Own"));
        assert_eq!(
            ask(&set(&property("HTTP_SC", "wrong")), "GET /a", "200\n\nx").status,
            200
        );
        assert_eq!(
            ask(&set(&property("HTTP_SC", "99999")), "GET /a", "200\n\nx").status,
            200
        );
    }

    #[test]
    fn a_get_answers_without_a_body_until_the_mark_is_removed() {
        check(&api("<respond/>", ""), "GET /a?x=1", "200", "200 ");
        check(&api(SAY, ""), "GET /a", "200", "200 said");
    }

    #[test]
    fn a_soap_client_gets_its_own_envelope_back() {
        let proxy = r#"<proxy name="P"><target><endpoint><address uri="http://backend/x"/></endpoint></target></proxy>"#;
        let soap11 = "POST /services/P\ncontent-type: text/xml\nsoapaction: \"urn:a\"\n\n\
            <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><a/></e:Body></e:Envelope>";
        let soap12 = "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body><b/></e:Body></e:Envelope>";
        let answered = ask(
            proxy,
            soap11,
            &format!("200\ncontent-type: application/soap+xml\n\n{soap12}"),
        );
        assert!(
            answered
                .body
                .contains("http://schemas.xmlsoap.org/soap/envelope/")
                && answered.body.contains("<b/>"),
            "{}",
            answered.body
        );
        assert_eq!(
            answered.headers.get("content-type").map(HeaderValue::as_bytes),
            Some(&b"text/xml; charset=UTF-8"[..])
        );
        let answered = ask(proxy, soap11, "200\ncontent-type: application/json\n\n{\"c\":1}");
        assert!(
            answered.body.contains("Envelope") && answered.body.contains("<c>1</c>"),
            "{}",
            answered.body
        );
    }

    #[test]
    fn attachments_go_back_as_they_came() {
        let proxy = r#"<proxy name="P"><target><endpoint><address uri="http://backend/x"/></endpoint></target></proxy>"#;
        let body = "--b\nContent-Type: application/xop+xml; type=\"text/xml\"\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\">\
            <e:Body><a/></e:Body></e:Envelope>\n--b\nContent-ID: <1>\n\nbytes\n--b--\n";
        for kind in ["application/xop+xml\"; start-info=\"text/xml", "text/xml"] {
            let content_type = format!("multipart/related; boundary=\"b\"; type=\"{kind}\"");
            let request =
                format!("POST /services/P\ncontent-type: {content_type}\nsoapaction: \"urn:a\"\n\n{body}");
            let answered = ask(
                proxy,
                &request,
                &format!("200\ncontent-type: {content_type}\n\n{body}"),
            );
            assert_eq!(
                (
                    answered.headers.get("content-type").map(HeaderValue::as_bytes),
                    &*answered.body
                ),
                (Some(content_type.as_bytes()), body)
            );
        }
    }

    #[test]
    fn a_client_that_only_wants_its_202_does_not_wait() {
        let accepted = format!(r#"<property name="FORCE_SC_ACCEPTED" value="true" scope="axis2"/>{SEND}"#);
        let backend = ScriptedBackend::new([Scripted::Silent]);
        let request = incoming("POST /a\ncontent-type: text/plain\n\nhello");
        let answered = ask_with(deploy(&api(&accepted, "")), request, Rc::clone(&backend));
        assert_eq!((answered.status, &*answered.body), (202, ""));
        assert_eq!(backend.only().body, "hello");
    }

    #[test]
    fn options_counts_max_forwards_down() {
        let artifacts = api(
            r#"<property name="X-Left" expression="$trp:Max-Forwards" scope="transport"/><respond/>"#,
            "",
        );
        let answered = ask(&artifacts, "OPTIONS /a\nmax-forwards: 3", "200");
        assert_eq!(
            answered.headers.get("x-left").map(HeaderValue::as_bytes),
            Some(&b"2"[..])
        );
        let answered = ask(&artifacts, "OPTIONS /a\nmax-forwards: 0", "200");
        assert_eq!(
            (
                answered.status,
                answered.headers.get("allow").map(HeaderValue::as_bytes)
            ),
            (200, Some(&b"GET, POST"[..]))
        );
    }

    #[test]
    fn pages_of_other_origins_call_what_lets_them() {
        let handler = r#"<handlers><handler class="org.wso2.carbon.apimgt.gateway.handlers.security.CORSRequestHandler">
            <property name="allowedOrigins" value="https://app.example"/><property name="allowedMethods" value=""/></handler></handlers>"#;
        let artifacts = format!(
            r#"<api name="A" context="/a"><resource methods="GET POST"><inSequence>{SEND}</inSequence></resource>{handler}</api>
            <api name="B" context="/b"><resource methods="GET"><inSequence>{SEND}</inSequence></resource></api>"#
        );
        let check = |request: &str, backend: &str, expected: &str| {
            let answered = ask(&artifacts, request, backend);
            let header = |name: &str| {
                let value = answered.headers.get(name);
                value
                    .map_or("-", |value| value.to_str().expect("text"))
                    .to_owned()
            };
            assert_eq!(
                format!(
                    "{} {} {}",
                    answered.status,
                    header("access-control-allow-origin"),
                    header("access-control-allow-methods")
                ),
                expected,
                "{request}"
            );
        };
        let backend = "200\naccess-control-allow-origin: http://its-own";
        check(
            "GET /a\norigin: https://app.example",
            backend,
            "200 https://app.example -",
        );
        check("GET /a\norigin: https://other.example", backend, "200 - -");
        check("GET /a", backend, "200 - -");
        check(
            "DELETE /a\norigin: https://app.example",
            backend,
            "405 https://app.example -",
        );
        check(
            "OPTIONS /a\norigin: https://app.example",
            backend,
            "200 https://app.example GET, PUT, POST, DELETE, PATCH, OPTIONS",
        );
        check("OPTIONS /a\norigin: https://other.example", backend, "403 - -");
        check("OPTIONS /a", backend, "200 - -");
        // Without rules of its own an API stays out of it.
        check(
            "GET /b\norigin: https://app.example",
            backend,
            "200 http://its-own -",
        );
        check("OPTIONS /b\norigin: https://other.example", backend, "200 - -");
    }

    #[test]
    fn the_handlers_answer_where_an_api_has_no_resource() {
        let api = r#"<api name="A" context="/a"><resource methods="GET" uri-template="/x"><inSequence><respond/></inSequence></resource></api>"#;
        check(api, "GET /a/y", "200", "404 ");
        let answered = ask(api, "POST /a/x", "200");
        assert_eq!(
            (
                answered.status,
                answered.headers.get("allow").map(HeaderValue::as_bytes)
            ),
            (405, Some(&b"GET"[..]))
        );
        let handlers = format!(
            r#"{api}<sequence name="_resource_mismatch_handler_"><property name="HTTP_SC" value="404" scope="axis2"/>{SAY}</sequence>
               <sequence name="_method_not_allowed_handler_"><property name="HTTP_SC" value="405" scope="axis2"/>{SAY}</sequence>"#
        );
        check(&handlers, "GET /a/y", "200", "404 said");
        check(&handlers, "POST /a/x", "200", "405 said");
    }
}
