//! Delivery: from the message of an exchange to a request to a backend, and from the backend's answer back.

use super::answered::{answer, failed, refuse_soap_fault};
use super::credentials::{self, Credentials, NotSent, Signer};
use super::outgoing::{add_addressing, manner, outgoing};
use super::{
    AllowList, Answer, Endpoint, Exchange, Fault, Flow, Origin, Outcome, Retry, SequenceId, allow, fault,
    grpc, straight,
};
use crate::message::addressing::By;
use crate::message::media_type::{Charset, Form};
use crate::message::payload::Payload;
use crate::message::soap::{Envelope, SoapVersion};
use crate::wire::client::{ClientRequest, Gate, SendErrorKind, Watch};
use crate::wire::straight::NotAnswered;
use crate::wire::url::Url;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How a leaf endpoint wants messages sent. The default is what `<send/>` without an endpoint does.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Takes the place of the message's own method.
    pub method: Option<Method>,
    pub format: Option<Format>,
    pub charset: Option<Charset>,
    pub http2: bool,
    pub addressing: Option<AddressingVersion>,
    /// `REST_URL_POSTFIX` is not appended.
    pub bare: bool,
    /// What proves to the backend who is asking.
    pub credentials: Option<Arc<dyn Credentials>>,
    pub chosen: Chosen,
}

impl Delivery {
    /// Whether it leaves method, media type and headers of a message as they are, and asks nothing of it.
    pub fn is_plain(&self) -> bool {
        let Delivery {
            method,
            format,
            charset,
            http2,
            addressing,
            bare: _,
            credentials,
            chosen,
        } = self;
        method.is_none()
            && format.is_none()
            && charset.is_none()
            && !http2
            && addressing.is_none()
            && credentials.is_none()
            && matches!(chosen, Chosen::ByAuthor)
    }
}

/// Who chose the host that a message goes to.
#[derive(Debug, Clone, Default)]
pub enum Chosen {
    #[default]
    ByAuthor,
    /// Something in the message did, within this list or the gateway's; without either it goes anywhere but to addresses that nobody means.
    ByMessage(Option<Arc<AllowList>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Soap11,
    Soap12,
    Pox,
    Get,
    Rest,
}

/// WS-Addressing, as `enableAddressing` asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressingVersion {
    Final,
    Submission,
}

/// How long to wait for an answer, and what to do without one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    pub response: Option<Duration>,
    /// `responseAction` `discard`: no fault sequence hears of it.
    pub discard: bool,
    /// Of a connection; the global default where absent.
    pub connect: Option<Duration>,
}

/// Sends through an endpoint, or to the message's own `To`. What every step that sends uses.
pub async fn through(exchange: &mut Exchange, endpoint: Option<&Arc<dyn Endpoint>>) -> Result<Answer, Fault> {
    exchange.before_backend().await?;
    let answer = match endpoint {
        Some(endpoint) => {
            let fixed = endpoint.fixed(Some(&exchange.catalog), &exchange.worker.runtime);
            if let Some(fixed) = fixed
                && let Some(response) = straight::call(exchange, fixed).await
            {
                return Ok(straight::taken(exchange, response));
            }
            deliver_to(exchange, endpoint).await
        }
        None => match find_target(exchange).await {
            // Boxed, as everything rare on this way: room for it would be made and moved for every message.
            Ok(url) => {
                let delivery = Delivery {
                    chosen: Chosen::ByMessage(None),
                    ..Delivery::default()
                };
                let patience = Patience::default();
                Box::pin(deliver(exchange, url, &delivery, patience)).await
            }
            Err(fault) => Err(fault),
        },
    };
    if let Err(fault) = &answer
        && fault.number() == Some(fault::code::TIMED_OUT)
    {
        // Nobody sends it again from here on, and Synapse's fault sequences see an empty envelope after a timeout.
        exchange.message.payload = Payload::xml(Envelope::empty(SoapVersion::Soap11));
    }
    // It was about this attempt, whether anybody has asked for it or not.
    exchange.tried = None;
    answer
}

/// Delivers through an endpoint. A group that is sent to one way goes on to its next child all the same, while nobody waits.
pub async fn deliver_to(exchange: &mut Exchange, endpoint: &Arc<dyn Endpoint>) -> Result<Answer, Fault> {
    let one_way = endpoint.chooses() && exchange.is_one_way() && !exchange.request.websocket;
    // That there is nobody to send to is told at once.
    if !one_way || endpoint.ready(exchange).is_err() {
        return endpoint.deliver(exchange).await;
    }
    Box::pin(run_errand(exchange, Arc::clone(endpoint))).await
}

async fn run_errand(exchange: &mut Exchange, endpoint: Arc<dyn Endpoint>) -> Result<Answer, Fault> {
    // The client may be gone before the backend has all of it.
    let limits = &exchange.catalog.limits;
    if let Err(error) = exchange.message.payload.keep(limits).await {
        return Err(exchange.not_parsed(error));
    }
    let Some(mut copy) = exchange.copy() else {
        return endpoint.deliver(exchange).await;
    };
    copy.errand = true;
    exchange.worker.errands.begin(async move {
        match endpoint.deliver(&mut copy).await {
            // Read to its end, so that the connection can be used again.
            Ok(mut answer) => drop(answer.payload.load(&copy.catalog.limits).await),
            Err(fault) => {
                tracing::warn!(served_by = %copy.served_by, endpoint = endpoint.name(), error_code = %fault.code, reason = %fault.reason,
                    detail = fault.detail.as_deref(), "A one-way message was not delivered.");
            }
        }
    });
    Ok(nothing_yet())
}

/// What a step gets that sends one way: an empty 202.
fn nothing_yet() -> Answer {
    Answer {
        status: StatusCode::ACCEPTED,
        reason: None,
        headers: HeaderMap::new(),
        payload: Payload::empty(),
        tunnel: None,
    }
}

/// What `<send>` does: the message leaves, and its answer turns to the out side, or to the sequence `receive`. Without an endpoint an answer goes
/// back to the client, and a request to its `To`.
pub async fn send(
    exchange: &mut Exchange,
    endpoint: Option<&Arc<dyn Endpoint>>,
    receive: Option<SequenceId>,
) -> Outcome {
    if endpoint.is_none() && exchange.is_response() {
        exchange.message.addressing.to = None;
        return Ok(Flow::Respond);
    }
    let answer = through(exchange, endpoint).await?;
    if exchange.properties.is_true("OUT_ONLY") {
        return Ok(Flow::Drop);
    }
    exchange.take(answer);
    exchange.message.response = true;
    exchange.receive = receive;
    Ok(Flow::Turn)
}

/// The message's `To` as an address, after a look into a SOAP message whose `To` no step has set.
pub async fn find_target(exchange: &mut Exchange) -> Result<Url, Fault> {
    if !exchange.message.addressing.has_target() {
        Box::pin(exchange.read_addressing()).await?;
    }
    target(exchange)
}

/// The message's `To` as an address.
pub fn target(exchange: &Exchange) -> Result<Url, Fault> {
    let Some(to) = exchange.message.addressing.to.as_deref() else {
        return Err(Fault::mediation(
            "there is no address to send to: the message has no `To`",
        ));
    };
    let refused = |reason: &str| {
        Err(Fault::new(0, Origin::Client, format!("nothing is sent to `{to}`: {reason}")).status(403))
    };
    match exchange.message.addressing.to_by {
        By::Sender if !exchange.worker.runtime.sends_where_senders_say => refused(
            "the message itself names it, in its WS-Addressing header; ws-addressing-to = \"send\" in [endpoints] allows that",
        ),
        By::SenderForAnswers => refused("it is where the message's sender wants its answer"),
        _ => Url::parse(to).map_err(|invalid| {
            Fault::mediation(format!("the message cannot be sent to its `To`: {invalid}"))
        }),
    }
}

/// Sends the exchange's message and waits for the head of the answer. With `OUT_ONLY` it waits for nothing, and the answer is an empty 202.
pub async fn deliver(
    exchange: &mut Exchange,
    address: Url,
    delivery: &Delivery,
    patience: Patience,
) -> Result<Answer, Fault> {
    deliver_watched(exchange, address, delivery, patience, None).await
}

/// The same for somebody who wants to know when the answer is whole.
pub async fn deliver_watched(
    exchange: &mut Exchange,
    address: Url,
    delivery: &Delivery,
    patience: Patience,
    watch: Option<Box<dyn Watch>>,
) -> Result<Answer, Fault> {
    let gate = gate(exchange, &address, &delivery.chosen)?;
    if address.origin.scheme.is_websocket() {
        return Box::pin(super::websocket::open(
            exchange, address, delivery, patience, watch, gate,
        ))
        .await;
    }
    let method = method(exchange, delivery)?;
    let rest = is_rest(exchange, &method, delivery.format);
    let mut url = address;
    let grpc = delivery.format.is_none() && grpc::is_grpc(&exchange.message.headers);
    if let Some(method) = grpc.then(|| called(exchange, &url, delivery)).flatten() {
        url = replace_path(url, &method)?;
    } else if !delivery.bare && (rest || delivery.format == Some(Format::Rest)) {
        url = with_suffix(exchange, url)?;
    }
    if delivery.format == Some(Format::Get) {
        url = Box::pin(with_fields(exchange, url)).await?;
    }
    if let Some(version) = delivery.addressing {
        Box::pin(add_addressing(exchange, version, &url)).await?;
    }
    let signer = match &delivery.credentials {
        Some(credentials) => Some(credentials.of(exchange).await?),
        None => None,
    };
    if let Some(signer) = &signer
        && let Some(limits) = signer.keep(&exchange.worker, &url)
    {
        exchange.message.payload.make_replayable(limits);
    }
    let out_only = exchange.is_one_way();
    let mut outgoing = outgoing(exchange, &method, delivery, out_only).await?;
    let request_type = exchange.message.arrived_as.clone();
    let timeouts = exchange.worker.runtime.timeouts;
    let left = time_left(exchange)?;
    let within = |wait: Duration| Some(left.map_or(wait, |left| wait.min(left)));
    let idempotent = method.is_idempotent();
    let mut response = patience.response.unwrap_or(timeouts.response);
    if grpc {
        let left = grpc::time_left(exchange)?;
        grpc::prepare(&mut outgoing.headers, left);
        if patience.response.is_none() && left.is_some() {
            // The client has said how long it waits.
            response = grpc::UNLIMITED;
        }
    }
    let (fresh, known) = match exchange.tried.take().map(|tried| *tried) {
        Some(NotAnswered::Failed(error)) => (false, Some(error)),
        Some(NotAnswered::Stale) => (true, None),
        Some(NotAnswered::NotSent) | None => (false, None),
    };
    let request = ClientRequest {
        headers: outgoing.headers,
        body: outgoing.body,
        http2: delivery.http2 || grpc,
        body_gap: grpc.then_some(grpc::UNLIMITED),
        connect_timeout: within(patience.connect.unwrap_or(timeouts.connect)),
        response_timeout: within(response),
        watch,
        gate,
        manner: manner(exchange),
        fresh,
        ..ClientRequest::new(method, url.clone())
    };
    if out_only {
        if let Some(kept) = outgoing.kept {
            exchange.message.payload = kept;
        }
        send_and_forget(exchange, signer, request, url);
        return Ok(nothing_yet());
    }
    let worker = Rc::clone(&exchange.worker);
    let end = exchange.deadline.map(|deadline| deadline.end);
    let sending = async {
        if let Some(error) = known {
            return Err(NotSent::Failed(error));
        }
        match &signer {
            None => worker.client.send(request).await.map_err(NotSent::Failed),
            Some(signer) => Box::pin(credentials::send(&worker, &**signer, request, end)).await,
        }
    };
    let sent = match exchange.request.deadline.filter(|_| grpc) {
        None => sending.await,
        Some(deadline) => match timeout_at(deadline, sending).await {
            Ok(sent) => sent,
            Err(_) => return Err(grpc::over()),
        },
    };
    match sent {
        Ok(response) => {
            let answer = answer(response, request_type, outgoing.rest);
            if exchange.properties.is_true("FORCE_ERROR_ON_SOAP_FAULT") {
                return Box::pin(refuse_soap_fault(exchange, answer)).await;
            }
            Ok(answer)
        }
        Err(not_sent) => {
            let again = outgoing.kept.is_some().then_some(idempotent);
            if let Some(kept) = outgoing.kept {
                exchange.message.payload = kept;
            }
            let at = format!("{}{}", url.origin, url.path_and_query.path());
            Err(match not_sent {
                NotSent::Failed(error) if is_all_over(exchange, left, &error.kind, patience) => all_over(),
                NotSent::Failed(error) => failed(exchange, error, &at, patience, again),
                NotSent::Unsigned(fault) if again.is_none() => fault.retry(Retry::No),
                NotSent::Unsigned(fault) => fault,
            })
        }
    }
}

/// Which addresses the host may have. A host that the list does not allow is a fault before anything is asked of the network.
pub(super) fn gate(
    exchange: &Exchange,
    address: &Url,
    chosen: &Chosen,
) -> Result<Option<Arc<dyn Gate>>, Fault> {
    let Chosen::ByMessage(own) = chosen else {
        return Ok(None);
    };
    match own.as_ref().or(exchange.catalog.allow.as_ref()) {
        Some(list) => list.admit(&address.origin).map(Some).map_err(not_allowed),
        None => Ok(Some(allow::unlisted())),
    }
}

/// 305403, and 403 for the client.
pub fn not_allowed(reason: String) -> Fault {
    let reason = format!("the message may not go where it asks for: {reason}");
    Fault::client(fault::code::NOT_ALLOWED, reason).status(403)
}

/// What is left of the time for all attempts together.
pub fn time_left(exchange: &Exchange) -> Result<Option<Duration>, Fault> {
    let Some(deadline) = exchange.deadline else {
        return Ok(None);
    };
    let left = deadline.end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(all_over());
    }
    Ok(Some(left))
}

/// Nobody who was not asked, or had next to no time for it, is to blame.
pub fn all_over() -> Fault {
    let reason = "the time for all attempts together is over";
    Fault::new(fault::code::TIMED_OUT, Origin::Gateway, reason)
}

/// Was this the end of all attempts rather than of this one, which had but a rest of the time?
pub fn is_all_over(
    exchange: &Exchange,
    left: Option<Duration>,
    error: &SendErrorKind,
    own: Patience,
) -> bool {
    let (Some(deadline), Some(left)) = (exchange.deadline, left) else {
        return false;
    };
    let timeouts = exchange.worker.runtime.timeouts;
    let own = match error {
        SendErrorKind::Timeout => own.response.unwrap_or(timeouts.response),
        SendErrorKind::ConnectTimeout => own.connect.unwrap_or(timeouts.connect),
        _ => return false,
    };
    left < own && deadline.is_mostly_over(left)
}

// The request line

pub fn method(exchange: &Exchange, delivery: &Delivery) -> Result<Method, Fault> {
    match delivery.format {
        Some(Format::Soap11 | Format::Soap12) => return Ok(Method::POST),
        Some(Format::Get) => return Ok(Method::GET),
        _ => {}
    }
    if let Some(method) = &delivery.method {
        return Ok(method.clone());
    }
    if exchange.properties.axis2_follows("HTTP_METHOD") {
        return Ok(exchange.request.method.clone());
    }
    match exchange.properties.axis2("HTTP_METHOD") {
        // After a call the message is a backend's answer, which has no method of its own.
        None => Ok(Method::POST),
        Some(value) => {
            let text = value.to_text();
            let method = text.trim().to_ascii_uppercase();
            method
                .parse()
                .map_err(|_| Fault::mediation(format!("`{text}` (HTTP_METHOD) is no HTTP method")))
        }
    }
}

/// Is the message one that belongs to a resource, rather than to a SOAP service (`Axis2FlexibleMEPClient.isRequestRest`)?
pub(super) fn is_rest(exchange: &Exchange, method: &Method, format: Option<Format>) -> bool {
    if matches!(format, Some(Format::Soap11 | Format::Soap12)) {
        return false;
    }
    let posted = match exchange.properties.axis2_follows("HTTP_METHOD") {
        true => exchange.request.method == Method::POST,
        false => match exchange.properties.axis2("HTTP_METHOD") {
            Some(own) => &*own.to_text() == "POST",
            None => *method == Method::POST,
        },
    };
    if !posted {
        return true;
    }
    match exchange.message_type().as_deref().map(Form::of) {
        Some(Form::Soap12) => false,
        Some(Form::Soap11) => exchange.message.addressing.soap_action.is_none(),
        _ => true,
    }
}

/// The `/service/method` of a gRPC call, for an address that names a host alone and a path that no step has changed.
fn called(exchange: &Exchange, url: &Url, delivery: &Delivery) -> Option<String> {
    let own = !delivery.bare
        && exchange
            .properties
            .axis2_values()
            .get("REST_URL_POSTFIX")
            .is_some();
    if own || url.path_and_query != "/" {
        return None;
    }
    grpc::method(exchange.request.path()).map(str::to_owned)
}

/// The address with `REST_URL_POSTFIX`: one slash between them, none in front of a query.
pub(super) fn with_suffix(exchange: &Exchange, url: Url) -> Result<Url, Fault> {
    match exchange.properties.axis2_words("REST_URL_POSTFIX") {
        Some(suffix) => suffixed(url, &suffix),
        None => Ok(url),
    }
}

/// An address with what is to stand behind its path.
pub fn suffixed(url: Url, suffix: &str) -> Result<Url, Fault> {
    if suffix.is_empty() {
        return Ok(url);
    }
    let joined = join(url.path_and_query.as_str(), suffix);
    replace_path(url, &joined)
}

/// An address, or its path, and what comes behind it.
pub fn join(address: &str, suffix: &str) -> String {
    let suffix_is_query = suffix.starts_with('?');
    match (address.ends_with('/'), suffix.starts_with('/')) {
        (false, false) if !suffix_is_query => [address, "/", suffix].concat(),
        (true, true) => [address, &suffix[1..]].concat(),
        (true, false) if suffix_is_query => [&address[..address.len() - 1], suffix].concat(),
        _ => [address, suffix].concat(),
    }
}

fn replace_path(url: Url, path: &str) -> Result<Url, Fault> {
    let path = path.split_once('#').map_or(path, |(before, _)| before);
    let path = if path.starts_with('/') {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("/{path}"))
    };
    match PathAndQuery::try_from(&*path) {
        Ok(path_and_query) => Ok(Url {
            path_and_query,
            ..url
        }),
        Err(_) => Err(Fault::mediation(format!(
            "`{}{path}` is not an address that can be called",
            url.origin
        ))),
    }
}

/// `format="get"`: the operation becomes a path segment, its children the query.
async fn with_fields(exchange: &mut Exchange, url: Url) -> Result<Url, Fault> {
    let envelope = exchange.envelope().await?;
    let Some(operation) = envelope.first_child() else {
        return Ok(url);
    };
    let tree = envelope.tree();
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields: Vec<String> = tree
        .child_elements(operation)
        .map(|field| {
            format!(
                "{}={}",
                escape(tree.local_name(field)),
                escape(&tree.string_value(field))
            )
        })
        .collect();
    let path = join(url.path_and_query.path(), tree.local_name(operation));
    let queries: Vec<&str> = url
        .path_and_query
        .query()
        .into_iter()
        .chain(fields.iter().map(String::as_str))
        .collect();
    let separator = if queries.is_empty() { "" } else { "?" };
    replace_path(url.clone(), &format!("{path}{separator}{}", queries.join("&")))
}

/// One way: the answer is read and thrown away, a failure is logged.
fn send_and_forget(
    exchange: &Exchange,
    signer: Option<Box<dyn Signer>>,
    mut request: ClientRequest,
    url: Url,
) {
    // Nobody waits for what comes of it but the endpoint's state.
    let watch: Option<Rc<dyn Watch>> = request.watch.take().map(Rc::from);
    request.watch = credentials::shared(&watch);
    let worker = Rc::clone(&exchange.worker);
    let served_by = Arc::clone(&exchange.served_by);
    let errands = Rc::clone(&exchange.worker);
    errands.errands.begin(async move {
        let sent = match &signer {
            None => worker.client.send(request).await.map_err(NotSent::Failed),
            Some(signer) => credentials::send(&worker, &**signer, request, None).await,
        };
        match sent {
            Ok(response) => {
                if let Some(watch) = watch {
                    watch.answered();
                }
                // Read to its end, so that the connection can be used again.
                drop(response.body.collect(MOST_THROWN_AWAY).await);
            }
            Err(NotSent::Failed(error)) => {
                if let Some(watch) = watch.filter(|_| !matches!(error.kind, SendErrorKind::ClientBody(_))) {
                    watch.broken(error.code(), &format!("{} ({url})", error.message));
                }
                tracing::warn!(%served_by, %url, %error, error_code = error.code(), "A one-way message was not delivered.");
            }
            Err(NotSent::Unsigned(fault)) => {
                tracing::warn!(%served_by, %url, %fault, "A one-way message was not delivered.");
            }
        }
    });
}

pub(super) const MOST_THROWN_AWAY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Catalog;
    use crate::flow::testing::{Scripted, ScriptedBackend, Seen, body_text, broken_upload, exchange, wait};
    use crate::message::addressing;
    use crate::message::body::{ByteStream, StreamErrorKind};
    use crate::message::encoding::Encoding;
    use crate::message::media_type::MediaType;
    use crate::message::properties::Value;
    use crate::wire::client::{Manner, Reached};

    struct Sent {
        exchange: Exchange,
        outcome: Result<Answer, Fault>,
        seen: Vec<Seen>,
    }

    fn send(request: &str, axis2: &[(&str, &str)], delivery: &Delivery, answer: Scripted) -> Sent {
        let backend = ScriptedBackend::new([answer]);
        let mut exchange = exchange(request, Catalog::default(), backend.clone());
        for (name, value) in axis2 {
            match *name {
                "messageType" => exchange.set_message_type(value),
                name => exchange.properties.set_axis2(name, Value::text(value)),
            }
        }
        let url = Url::parse("http://backend/a").unwrap();
        let outcome = wait(deliver(&mut exchange, url, delivery, Patience::default()));
        Sent {
            seen: backend.seen(),
            exchange,
            outcome,
        }
    }

    fn sent(request: &str, axis2: &[(&str, &str)], delivery: Delivery) -> Seen {
        let sent = send(request, axis2, &delivery, Scripted::parse("200"));
        sent.outcome.unwrap();
        sent.seen.into_iter().next().unwrap()
    }

    fn formatted(format: Format) -> Delivery {
        Delivery {
            format: Some(format),
            ..Delivery::default()
        }
    }

    fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
        seen.headers.get(name).map(|value| value.to_str().unwrap())
    }

    const JSON: &str = "POST /\ncontent-type: application/json\n\n{\"a\": 1}";
    const SOAP11: &str = "POST /\ncontent-type: text/xml; charset=UTF-8\nsoapaction: \"urn:do\"\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><m>1</m></e:Body></e:Envelope>";

    #[test]
    fn a_suffix_is_joined_with_one_slash() {
        // Axis2FlexibleMEPClient.send
        for (address, suffix, joined) in [
            ("http://h/a", "b", "http://h/a/b"),
            ("http://h/a", "/b", "http://h/a/b"),
            ("http://h/a/", "/b", "http://h/a/b"),
            ("http://h/a/", "b", "http://h/a/b"),
            ("http://h/a/", "?q=1", "http://h/a?q=1"),
            ("http://h/a", "?q=1", "http://h/a?q=1"),
        ] {
            assert_eq!(join(address, suffix), joined);
        }
        let url = |path: &str| sent("GET /", &[("REST_URL_POSTFIX", path)], Delivery::default()).url;
        assert_eq!(url("/b?c=d"), "http://backend/a/b?c=d");
        assert_eq!(url(""), "http://backend/a");
        let bare = Delivery {
            bare: true,
            ..Delivery::default()
        };
        assert_eq!(
            sent("GET /", &[("REST_URL_POSTFIX", "/b")], bare).url,
            "http://backend/a"
        );
    }

    #[test]
    fn a_soap_message_gets_no_suffix() {
        let suffix = [("REST_URL_POSTFIX", "/b")];
        assert_eq!(sent(SOAP11, &suffix, Delivery::default()).url, "http://backend/a");
        assert_eq!(
            sent(
                &SOAP11.replace("soapaction", "x-action"),
                &suffix,
                Delivery::default()
            )
            .url,
            "http://backend/a/b"
        );
        assert_eq!(
            sent(JSON, &suffix, formatted(Format::Soap12)).url,
            "http://backend/a"
        );
        assert_eq!(
            sent(SOAP11, &suffix, formatted(Format::Rest)).url,
            "http://backend/a/b"
        );
    }

    #[test]
    fn headers_go_on_except_those_of_one_hop() {
        let seen = sent(
            "GET /\nhost: gateway\nx-a: 1\nx-a: 2\ndate: now\nserver: s\nuser-agent: u\nauthorization: secret",
            &[],
            Delivery::default(),
        );
        assert_eq!(seen.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(
            (header(&seen, "user-agent"), header(&seen, "authorization")),
            (Some("u"), Some("secret"))
        );
        assert_eq!(
            (
                header(&seen, "host"),
                header(&seen, "date"),
                header(&seen, "server")
            ),
            (None, None, None)
        );
        let seen = sent(
            "GET /\nhost: gateway",
            &[("REQUEST_HOST_HEADER", "inner:81")],
            Delivery::default(),
        );
        assert_eq!(header(&seen, "host"), Some("inner:81"));
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_a_fault() {
        let sent = send(
            "GET /",
            &[("REQUEST_HOST_HEADER", "a\r\nb: c")],
            &Delivery::default(),
            Scripted::parse("200"),
        );
        assert!(sent.outcome.is_err() && sent.seen.is_empty());
        let sent = send(
            &JSON.replace('1', "2"),
            &[("ContentType", "a\r\nb: c")],
            &Delivery::default(),
            Scripted::parse("200"),
        );
        assert!(sent.outcome.is_err() && sent.seen.is_empty());
        let sent = send(
            "GET /",
            &[("HTTP_METHOD", "GET / HTTP/1.1\r\n")],
            &Delivery::default(),
            Scripted::parse("200"),
        );
        assert!(sent.outcome.is_err() && sent.seen.is_empty());
    }

    #[test]
    fn a_body_nobody_touched_goes_as_it_came() {
        let request =
            "POST /\ncontent-type: application/json; charset=utf-8\ncontent-encoding: gzip\n\nnot even gzip";
        let seen = sent(request, &[], Delivery::default());
        assert_eq!(seen.body, "not even gzip");
        assert_eq!(
            header(&seen, "content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(header(&seen, "content-encoding"), Some("gzip"));
    }

    #[test]
    fn another_message_type_writes_the_body_anew() {
        let seen = sent(JSON, &[("messageType", "application/xml")], Delivery::default());
        assert_eq!(seen.body, "<jsonObject><a>1</a></jsonObject>");
        assert_eq!(header(&seen, "content-type"), Some("application/xml"));
        let axis2 = [
            ("messageType", "application/xml"),
            ("CHARACTER_SET_ENCODING", "ISO-8859-1"),
        ];
        let seen = sent(&JSON.replace("1", "\"ö\""), &axis2, Delivery::default());
        assert_eq!(
            header(&seen, "content-type"),
            Some("application/xml; charset=ISO-8859-1")
        );
        assert!(seen.body.windows(1).any(|byte| byte == [0xF6]), "{:?}", seen.body);
        let seen = sent(
            JSON,
            &[("ContentType", "application/vnd.mine")],
            Delivery::default(),
        );
        assert_eq!(
            (header(&seen, "content-type"), &*seen.body),
            (Some("application/vnd.mine"), &b"{\"a\": 1}"[..])
        );
    }

    #[test]
    fn formats_write_soap_and_plain_xml() {
        let seen = sent(&JSON.replace("POST", "PUT"), &[], formatted(Format::Soap11));
        assert_eq!(seen.method, Method::POST);
        assert_eq!(header(&seen, "content-type"), Some("text/xml; charset=UTF-8"));
        assert_eq!(header(&seen, "soapaction"), Some("\"\""));
        assert!(
            String::from_utf8_lossy(&seen.body).contains("<soapenv:Body><jsonObject>"),
            "{:?}",
            seen.body
        );
        let seen = sent(SOAP11, &[], formatted(Format::Soap12));
        assert_eq!(
            header(&seen, "content-type"),
            Some("application/soap+xml; charset=UTF-8; action=\"urn:do\"")
        );
        assert_eq!(header(&seen, "soapaction"), None);
        assert!(
            String::from_utf8_lossy(&seen.body).contains("http://www.w3.org/2003/05/soap-envelope"),
            "{:?}",
            seen.body
        );
        let seen = sent(SOAP11, &[], formatted(Format::Soap11));
        assert_eq!(
            (header(&seen, "soapaction"), seen.body.starts_with(b"<e:Envelope")),
            (Some("\"urn:do\""), true)
        );
        let seen = sent(SOAP11, &[], formatted(Format::Pox));
        assert_eq!(
            (header(&seen, "content-type"), &*seen.body),
            (Some("application/xml; charset=UTF-8"), &b"<m>1</m>"[..])
        );
    }

    #[test]
    fn format_get_makes_a_query_of_the_body() {
        let request = "POST /\ncontent-type: application/xml\n\n<getQuote><symbol>A &amp; B</symbol><n>2</n></getQuote>";
        let seen = sent(request, &[], formatted(Format::Get));
        assert_eq!((seen.method, seen.body.len()), (Method::GET, 0));
        assert_eq!(seen.url, "http://backend/a/getQuote?symbol=A%20%26%20B&n=2");
    }

    #[test]
    fn some_methods_and_properties_send_no_body() {
        let body_of =
            |request: &str, axis2: &[(&str, &str)]| sent(request, axis2, Delivery::default()).body.len();
        assert_eq!(body_of("GET /\n\nx", &[]), 0);
        assert_eq!(body_of("DELETE /\n\nx", &[]), 1);
        assert_eq!(body_of("DELETE /\n\nx", &[("NO_ENTITY_BODY", "true")]), 0);
        assert_eq!(body_of("POST /\n\nx", &[("NO_ENTITY_BODY", "true")]), 0);
        assert_eq!(body_of("POST /", &[]), 0);
    }

    #[test]
    fn an_answer_takes_its_type_from_the_request_when_it_has_none() {
        let sent = send(JSON, &[], &Delivery::default(), Scripted::parse("200\n\n{}"));
        assert_eq!(sent.outcome.unwrap().payload.form(), Form::Json);
        let sent = send(
            JSON,
            &[],
            &Delivery::default(),
            Scripted::parse("200\ncontent-type: text/plain\n\n{}"),
        );
        assert_eq!(sent.outcome.unwrap().payload.form(), Form::Text);
    }

    #[test]
    fn failures_have_synapses_base_codes_and_say_what_may_be_sent_again() {
        for (kind, reached, code, state, retry) in [
            (
                SendErrorKind::Connect,
                Reached::NothingSent,
                101_503,
                "0",
                Retry::Safe,
            ),
            (
                SendErrorKind::ConnectTimeout,
                Reached::NothingSent,
                101_508,
                "0",
                Retry::Safe,
            ),
            (
                SendErrorKind::Closed,
                Reached::Unknown,
                101_505,
                "3",
                Retry::Idempotent,
            ),
            (
                SendErrorKind::Protocol,
                Reached::Sent,
                101_506,
                "4",
                Retry::Idempotent,
            ),
            (
                SendErrorKind::Receive,
                Reached::Sent,
                101_501,
                "4",
                Retry::Idempotent,
            ),
        ] {
            let sent = send("GET /", &[], &Delivery::default(), Scripted::fails(kind, reached));
            let fault = sent.outcome.err().unwrap();
            assert_eq!(
                (fault.number(), fault.origin, fault.retry),
                (Some(code), Origin::Backend, retry)
            );
            assert_eq!(
                sent.exchange
                    .properties
                    .text("PROTOCOL_STATE_ON_FAILURE")
                    .as_deref(),
                Some(state)
            );
        }
        // A stream that has begun to flow cannot be sent again, unless it is kept while it flows.
        for (kept, retry) in [(false, Retry::No), (true, Retry::Safe)] {
            let refused = Scripted::fails(SendErrorKind::Connect, Reached::NothingSent);
            let mut exchange = exchange("POST /\n\nx", Catalog::default(), ScriptedBackend::new([refused]));
            let pieces = futures_util::stream::iter([Ok(http_body::Frame::data(bytes::Bytes::from("x")))]);
            let body = ByteStream::new(http_body_util::StreamBody::new(pieces));
            exchange.message.payload = Payload::stream(None, Encoding::Identity, body);
            if kept {
                exchange.message.payload.make_replayable(Default::default());
            }
            let url = Url::parse("http://backend/a").unwrap();
            let sent = wait(deliver(
                &mut exchange,
                url,
                &Delivery::default(),
                Patience::default(),
            ));
            assert_eq!(sent.err().unwrap().retry, retry);
        }
    }

    #[test]
    fn a_client_that_breaks_off_is_to_blame_itself() {
        for (kind, status) in [
            (StreamErrorKind::Closed, 400),
            (StreamErrorKind::TimedOut, 408),
            (StreamErrorKind::TooLarge, 413),
        ] {
            let backend = ScriptedBackend::answering("200");
            let mut exchange = exchange(JSON, Catalog::default(), backend.clone());
            exchange.message.payload = Payload::stream(
                Some(MediaType::parse("application/json")),
                Encoding::Identity,
                broken_upload(kind),
            );
            let url = Url::parse("http://backend/a").unwrap();
            let fault = wait(deliver(
                &mut exchange,
                url,
                &Delivery::default(),
                Patience::default(),
            ))
            .err()
            .unwrap();
            assert_eq!(
                (fault.origin, fault.status, fault.retry),
                (Origin::Client, Some(status), Retry::No)
            );
            assert_eq!(exchange.properties.get("PROTOCOL_STATE_ON_FAILURE"), None);
        }
    }

    #[test]
    fn discard_concerns_timeouts_alone() {
        let fail = |answer: Scripted| {
            let mut exchange = exchange("GET /", Catalog::default(), ScriptedBackend::new([answer]));
            let url = Url::parse("http://backend/a").unwrap();
            let patience = Patience {
                response: Some(Duration::from_millis(100)),
                discard: true,
                ..Patience::default()
            };
            wait(deliver(&mut exchange, url, &Delivery::default(), patience))
                .err()
                .unwrap()
        };
        let fault = fail(Scripted::Silent);
        assert_eq!(
            (fault.number(), fault.unhandled, fault.status),
            (Some(101_504), true, Some(504))
        );
        let fault = fail(Scripted::fails(SendErrorKind::Connect, Reached::NothingSent));
        assert_eq!(
            (fault.number(), fault.unhandled, fault.status),
            (Some(101_503), false, None)
        );
    }

    #[test]
    fn a_soap_fault_in_the_answer_is_a_fault_when_asked_for() {
        let answer = "500\ncontent-type: text/xml\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><e:Fault><faultcode>e:Server</faultcode><faultstring>no stock</faultstring></e:Fault></e:Body></e:Envelope>";
        let fault_of = |forced: bool| {
            let backend = ScriptedBackend::answering(answer);
            let mut exchange = exchange(SOAP11, Catalog::default(), backend);
            if forced {
                exchange
                    .properties
                    .set("FORCE_ERROR_ON_SOAP_FAULT", Value::text("true"));
            }
            let url = Url::parse("http://backend/a").unwrap();
            wait(deliver(
                &mut exchange,
                url,
                &Delivery::default(),
                Patience::default(),
            ))
            .err()
        };
        let fault = fault_of(true).unwrap();
        assert_eq!((fault.number(), &*fault.reason), (Some(500_000), "no stock"));
        assert!(fault_of(false).is_none());
    }

    #[test]
    fn addressing_is_written_into_the_envelope() {
        let delivery = Delivery {
            addressing: Some(AddressingVersion::Final),
            ..formatted(Format::Soap11)
        };
        let seen = sent(SOAP11, &[], delivery);
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(body.contains("<wsa:To>http://backend/a</wsa:To>"), "{body}");
        assert!(
            body.contains("<wsa:Action>urn:do</wsa:Action>") && body.contains("<wsa:MessageID>urn:uuid:"),
            "{body}"
        );
    }

    #[test]
    fn addressing_headers_that_were_read_stay_behind_unless_they_are_preserved() {
        const WSA: &str = "POST /\ncontent-type: text/xml\nsoapaction: \"urn:do\"\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
            xmlns:w=\"http://www.w3.org/2005/08/addressing\"><e:Header><w:To>http://here/</w:To><o xmlns=\"urn:o\">1</o></e:Header><e:Body><m>1</m></e:Body></e:Envelope>";
        let sent = |look: bool, preserve: &[&str]| {
            let backend = ScriptedBackend::answering("200");
            let mut exchange = exchange(WSA, Catalog::default(), backend.clone());
            if look {
                wait(exchange.envelope()).expect("it can be read");
            }
            for name in preserve {
                exchange.properties.set(*name, Value::text("true"));
            }
            let url = Url::parse("http://backend/a").unwrap();
            let delivery = Delivery::default();
            wait(deliver(&mut exchange, url, &delivery, Patience::default())).expect("an answer");
            String::from_utf8_lossy(&backend.only().body).into_owned()
        };
        let passed = sent(false, &[]);
        assert!(passed.contains("<w:To>http://here/</w:To>"), "{passed}");
        let looked_into = sent(true, &[]);
        assert!(
            !looked_into.contains("w:To") && looked_into.contains("<o xmlns=\"urn:o\">1</o>"),
            "{looked_into}"
        );
        for name in ["PRESERVE_WS_ADDRESSING", "preserveProcessedHeaders"] {
            assert_eq!(sent(true, &[name]), passed);
        }
    }

    #[test]
    fn some_backends_are_spoken_to_otherwise() {
        let manner = |axis2: &[(&str, &str)]| sent(JSON, axis2, Delivery::default()).manner;
        let close = Manner {
            close: true,
            ..Manner::default()
        };
        let absolute = Manner {
            absolute: true,
            ..Manner::default()
        };
        assert_eq!(manner(&[("NO_KEEPALIVE", "false")]), Manner::default());
        assert_eq!(manner(&[("NO_KEEPALIVE", "true")]), close);
        let http10 = Manner {
            http10: true,
            ..Manner::default()
        };
        assert_eq!(manner(&[("FORCE_HTTP_1.0", "true")]), http10);
        assert_eq!(manner(&[("POST_TO_URI", "true")]), absolute);
        assert_eq!(manner(&[("FULL_URI", "true")]), absolute);
    }

    #[test]
    fn without_chunking_the_length_is_known() {
        let backend = ScriptedBackend::answering("200");
        let mut exchange = exchange(JSON, Catalog::default(), backend.clone());
        let pieces = futures_util::stream::iter(
            ["ab", "cd"].map(|piece| Ok(http_body::Frame::data(bytes::Bytes::from(piece)))),
        );
        let body = ByteStream::new(http_body_util::StreamBody::new(pieces));
        exchange.message.payload = Payload::stream(
            Some(MediaType::parse("application/json")),
            Encoding::Identity,
            body,
        );
        exchange
            .properties
            .set_axis2("DISABLE_CHUNKING", Value::text("true"));
        let url = Url::parse("http://backend/a").unwrap();
        wait(deliver(
            &mut exchange,
            url,
            &Delivery::default(),
            Patience::default(),
        ))
        .unwrap();
        assert!(backend.only().sized);
        assert_eq!(backend.only().body, "abcd");
        // What was kept serves another attempt.
        assert_eq!(body_text(&mut exchange), "");
    }

    /// A SOAP message with WS-Addressing headers, an expression over it before it is sent to its `To`, and what came of that.
    fn addressed(blocks: &str, allowed: bool, before: impl FnOnce(&mut Exchange)) -> Result<String, String> {
        let request = SOAP11.replace(
            "<e:Body>",
            &format!(
                "<e:Header xmlns:w=\"{}\">{blocks}</e:Header><e:Body>",
                addressing::FINAL
            ),
        );
        let backend = ScriptedBackend::answering("200");
        let mut exchange = exchange(&request, Catalog::default(), backend.clone());
        let timeouts = exchange.worker.runtime.timeouts;
        let runtime = crate::flow::Runtime::new(crate::flow::runtime::Clock::System, 7, timeouts);
        exchange.worker = Rc::new(crate::flow::Worker {
            errands: Default::default(),
            client: backend.clone(),
            runtime: Arc::new(runtime.sending_where_senders_say(allowed)),
            scripts: Rc::clone(&exchange.worker.scripts),
        });
        before(&mut exchange);
        match wait(through(&mut exchange, None)) {
            Ok(_) => {
                let seen = backend.only();
                let body = String::from_utf8_lossy(&seen.body).into_owned();
                assert!(body.contains("<e:Body><m>1</m></e:Body>"), "{body}");
                Ok(seen.url)
            }
            Err(fault) => Err(format!("{:?} {}", fault.status, fault.reason)),
        }
    }

    #[test]
    fn a_message_goes_where_its_own_header_says_only_if_that_is_allowed() {
        let to = "<w:To>http://inner/a</w:To>";
        assert_eq!(addressed(to, true, |_| ()), Ok("http://inner/a".to_owned()));
        let refused = addressed(to, false, |_| ()).expect_err("it is refused");
        assert!(
            refused.starts_with("Some(403) nothing is sent to `http://inner/a`"),
            "{refused}"
        );
        let own = |exchange: &mut Exchange| {
            exchange
                .message
                .addressing
                .set(addressing::Field::To, Some("http://own/".into()));
        };
        assert_eq!(addressed(to, false, own), Ok("http://own/".to_owned()));
        assert!(
            addressed("", true, |_| ())
                .is_err_and(|reason| reason.contains("cannot be sent to its `To`: `/`"))
        );
    }

    #[test]
    fn nothing_is_sent_where_a_sender_wants_its_answer() {
        let reply = "<w:ReplyTo><w:Address>http://inner/</w:Address></w:ReplyTo>";
        let turned = |exchange: &mut Exchange| {
            wait(exchange.read_addressing()).expect("it can be read");
            exchange.message.addressing.turn_to_sender(true);
        };
        let refused = addressed(reply, true, turned).expect_err("it is refused");
        assert!(
            refused.contains("it is where the message's sender wants its answer"),
            "{refused}"
        );
    }

    #[test]
    fn whoever_asks_for_an_address_hears_what_the_message_says() {
        let text = |request: &str, expression: &str| {
            let mut exchange = exchange(request, Catalog::default(), ScriptedBackend::answering("200"));
            let placed = crate::text::Placed::verbatim(
                expression,
                crate::text::Span::new(crate::text::FileId(0), 0..0),
            );
            let (expression, _) =
                crate::expression::Expression::compile(&placed, &Default::default()).expect("an expression");
            let said = wait(exchange.text(&expression))
                .expect("it has a value")
                .unwrap_or_default();
            (said, exchange.message.payload.is_loaded())
        };
        let soap = SOAP11.replace(
            "<e:Body>",
            &format!("<e:Header xmlns:w=\"{}\"><w:To>http://inner/a</w:To><w:Action>urn:b</w:Action></e:Header><e:Body>", addressing::FINAL),
        );
        assert_eq!(
            text(&soap, "get-property('To')"),
            ("http://inner/a".to_owned(), true)
        );
        assert_eq!(
            text(&soap, "concat(get-property(\"Action\"), '!')"),
            ("urn:b!".to_owned(), true)
        );
        // Nobody parses a body for other properties, nor one that is no SOAP.
        assert_eq!(text(&soap, "get-property('x')"), (String::new(), false));
        assert_eq!(text(JSON, "get-property('To')"), ("/".to_owned(), false));
        // A body that is not what it says is heard of by whoever needs the body.
        assert_eq!(text(&soap.replace("</e:Body>", ""), "get-property('To')").0, "/");
    }
}
