//! From a request to what serves it: its route, the message that is made of it, and the sequences of both sides; or the answer of one that needs no mediation.

use super::route::{ApiFacts, Client, Facts, Place, Speech, has_bad_escape};
use super::straight::Declined;
use super::{admission, answer, published, target, wsdl};
use crate::deployment::cors::Visit;
use crate::deployment::guard::Guard;
use crate::deployment::routes::{Asked, Route};
use crate::deployment::{Deployment, EndpointRef, SequenceRef, api, proxy};
use crate::flow::exchange::Takers;
use crate::flow::outgoing::SOAP_ACTION;
use crate::flow::request::Request;
use crate::flow::token::{Caller, Headers};
use crate::flow::{Catalog, Deadline, Exchange, Sequence, Worker, grpc};
use crate::message::Message;
use crate::message::encoding::Encoding;
use crate::message::media_type::{Form, MediaType};
use crate::message::payload::Payload;
use crate::message::properties::{Known, Properties};
use crate::wire::{Incoming, Reply};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;
use std::sync::Arc;

/// A request that has found what serves it. On the heap from the beginning, as nothing of its size should be moved, and no future be made larger by it.
pub(super) struct Begun {
    pub exchange: Exchange,
    pub sides: Sides,
    pub client: Client,
    pub facts: Rc<Facts>,
    /// Whose callers are looked at first.
    pub door: Option<Door>,
    pub bad_query: bool,
}

/// What demands a token.
#[derive(Clone, Copy)]
pub(super) enum Door {
    Resource { api: usize, resource: usize },
    Other,
}

impl Door {
    pub fn guard(self, deployment: &Deployment) -> Option<&Guard> {
        match self {
            Door::Resource { api, .. } => deployment.apis[api].guard.as_ref(),
            Door::Other => Some(&Guard::ANY),
        }
    }

    pub fn resource(self, deployment: &Deployment) -> Option<&api::Resource> {
        match self {
            Door::Resource { api, resource } => Some(&deployment.apis[api].resources[resource]),
            Door::Other => None,
        }
    }
}

/// The sequences of what serves the request.
pub(super) struct Sides {
    pub inward: Option<Arc<Sequence>>,
    /// Where the message goes when the in side ends without having sent it.
    pub endpoint: Option<EndpointRef>,
    pub outward: Option<Arc<Sequence>>,
    fault: Option<Arc<Sequence>>,
    /// A proxy's fault sequence stands in the place of `fault`, an API's in front of it.
    proxy: bool,
    /// Of a resource.
    pub methods: Option<api::Methods>,
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
            methods: Some(resource.methods),
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
            methods: None,
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
            methods: None,
        }
    }

    fn of_handler(handler: Arc<Sequence>) -> Sides {
        Sides {
            inward: Some(handler),
            endpoint: None,
            outward: None,
            fault: None,
            proxy: false,
            methods: None,
        }
    }

    /// Who is asked about a fault, one after the other: the next when the one before fails itself.
    pub fn handlers(&self, exchange: &Exchange) -> Vec<Arc<Sequence>> {
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

/// Finds what serves a request. The answer, where that needs no mediation.
pub(super) fn begin(
    deployment: &Deployment,
    worker: &Rc<Worker>,
    incoming: Incoming,
    grpc: bool,
    declined: Declined,
    visit: &mut Option<Box<Visit>>,
) -> ControlFlow<Reply, Box<Begun>> {
    let Incoming {
        method,
        target: asked_target,
        scheme,
        remote,
        local,
        mut headers,
        body,
        websocket,
        ..
    } = incoming;
    let has_body = body.exact_length() != Some(0);
    let content_type = declined
        .content_type
        .as_ref()
        .and_then(|value| value.to_str().ok());
    let media_type = content_type.map(MediaType::parse);
    let looked_at = LookedAt::of(&headers);
    let client = client(looked_at.accept, media_type.as_ref(), has_body, grpc);
    let cleaned = match declined.target {
        Some(target) => Ok(target),
        None => target::clean(asked_target.as_str()).map(|clean| Arc::from(&*clean)),
    };
    let target = match cleaned {
        Ok(target) => target,
        Err(reason) => {
            tracing::debug!(
                reason,
                target = asked_target.as_str(),
                "A request with a bad path."
            );
            return Break(answer::plain(
                StatusCode::BAD_REQUEST,
                "The path of the request is not valid.",
                client,
            ));
        }
    };
    let deadline = if client.grpc {
        grpc::deadline(&headers)
    } else {
        Ok(None)
    };
    let Ok(deadline) = deadline else {
        return Break(answer::plain(
            StatusCode::BAD_REQUEST,
            "The grpc-timeout is not valid.",
            client,
        ));
    };
    let host = looked_at.host.cloned();
    let soap_action = soap_action(looked_at.soap_action, media_type.as_ref());
    let has_action = looked_at.soap_action.is_some();
    let mut request = Request::new(method, target, scheme.as_str(), host, (remote, local));
    request.deadline = deadline;
    request.websocket = websocket;
    let request = Rc::new(request);
    if &*request.target == "*" {
        return Break(answer::options("GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS"));
    }
    if let Some(reply) = admission::jwks(&request, &worker.runtime) {
        return Break(reply);
    }
    if let Some(reply) = published::answer(deployment, &request, worker.runtime.public_url.as_deref()) {
        return Break(reply);
    }
    if let Some(signer) = &worker.runtime.signer {
        signer.strip(&mut headers);
    }
    let route = declined.route.unwrap_or_else(|| {
        deployment.routes.find(
            &deployment.apis,
            &deployment.proxies,
            &Asked {
                method: &request.method,
                target: &request.target,
                https: request.scheme == "https",
                headers: &headers,
                has_body,
            },
        )
    });
    let cors = route.api().and_then(|api| {
        deployment.apis[api]
            .cors
            .as_ref()?
            .visit(&request.method, &headers)
    });
    let stranger = cors.as_ref().is_some_and(Visit::is_strange);
    *visit = cors.map(Box::new);
    let handlers = &deployment.handlers;
    let catalog = &deployment.catalog;
    let named = |id: Option<crate::flow::SequenceId>| id.map(|id| catalog.sequence(id));
    let mut door = None;
    let (place, sides, served_by) = match route {
        Route::Resource(matched) => {
            let api = &deployment.apis[matched.api];
            let resource = &api.resources[matched.resource];
            door = api.guard.is_some().then_some(Door::Resource {
                api: matched.api,
                resource: matched.resource,
            });
            let place = Place::Api(ApiFacts::new(
                api,
                matched.below,
                Some((matched.resource, matched.variables)),
            ));
            (
                place,
                Sides::of_resource(resource, deployment),
                Arc::clone(&resource.label),
            )
        }
        Route::Options { .. } if stranger => return Break(answer::bare(StatusCode::FORBIDDEN)),
        Route::Options { allow, .. } => return Break(answer::options(&allow)),
        Route::NoResource { api, below } => {
            let Some(handler) = named(handlers.resource_mismatch) else {
                return Break(answer::bare(StatusCode::NOT_FOUND));
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
                return Break(answer::not_allowed(&allow));
            };
            let api = &deployment.apis[api];
            (
                Place::Api(ApiFacts::new(api, below, None)),
                Sides::of_handler(handler),
                Arc::clone(&api.name),
            )
        }
        Route::Refused { .. } => return Break(answer::bare(StatusCode::BAD_REQUEST)),
        Route::Blocked { api } => {
            let api = &deployment.apis[api];
            tracing::debug!(api = %api.name, "A request to an API that is blocked.");
            return Break(admission::blocked(header_text(&headers, header::ACCEPT), client));
        }
        Route::Broken { reason } => {
            let text = format!("Not served, because its configuration has a mistake: {reason}");
            return Break(answer::plain(StatusCode::SERVICE_UNAVAILABLE, &text, client));
        }
        Route::Proxy { proxy, below } => {
            let proxy = &deployment.proxies[proxy];
            door = deployment.tokens.demand(&[&*proxy.name]).then_some(Door::Other);
            if let Some(reply) = wsdl::answer(proxy, &request, worker.runtime.public_url.as_deref()) {
                return Break(reply);
            }
            let place = Place::Proxy {
                name: Arc::clone(&proxy.name),
                below,
            };
            (
                place,
                Sides::of_proxy(proxy, deployment),
                Arc::clone(&proxy.label),
            )
        }
        Route::Elsewhere => match named(handlers.main) {
            Some(main) => {
                door = deployment.tokens.demand(&["main"]).then_some(Door::Other);
                (Place::Main, Sides::of_main(main), Arc::from("main"))
            }
            None => {
                return Break(answer::plain(
                    StatusCode::NOT_FOUND,
                    "There is nothing here.",
                    client,
                ));
            }
        },
    };
    let guard = door.and_then(|door| door.guard(deployment));
    let names = guard.map_or_else(Headers::default, |guard| guard.headers.clone());
    let caller = Caller::of(&headers, names, &worker.runtime).map(Rc::new);
    let bad_query = matches!(place, Place::Api(_)) && request.query().is_some_and(has_bad_escape);
    let payload = match (has_body, request.query()) {
        (true, _) => {
            let encoding =
                header_text(&headers, header::CONTENT_ENCODING).map_or(Encoding::Identity, Encoding::parse);
            let body = match client.grpc {
                true => grpc::request(body, catalog.limits.grpc_message),
                false => body,
            };
            let mut payload = Payload::stream(media_type.clone(), encoding, body);
            payload.set_of_client();
            payload
                .set_rest(client.speech == Speech::Rest || (client.speech == Speech::Soap11 && !has_action));
            payload
        }
        (false, Some(query)) if matches!(request.method, Method::GET | Method::DELETE) => {
            Payload::query(query)
        }
        (false, _) => Payload::empty(),
    };
    let mut message = Message::arrived(headers, payload, content_type.map(Arc::from));
    message.addressing.to = Some(Arc::clone(&request.target));
    message.addressing.soap_action = soap_action;
    let facts = Rc::new(Facts {
        request: Rc::clone(&request),
        client,
        has_body,
        typed: media_type.is_some(),
        place,
        caller: caller.clone(),
    });
    let mut properties = Properties::default();
    properties.know(Rc::clone(&facts) as Rc<dyn Known>);
    let deadline = worker.runtime.total.map(Deadline::within);
    let takers = takers(&request, client, &sides, catalog);
    Continue(Box::new(Begun {
        exchange: Exchange {
            message,
            properties,
            request,
            catalog: Arc::clone(&deployment.catalog),
            worker: Rc::clone(worker),
            served_by,
            depth: 0,
            receive: None,
            fault: None,
            reason: None,
            deadline,
            errand: false,
            caller,
            tunnel: None,
            tried: declined.tried,
            takers,
            passed: None,
        },
        sides,
        client,
        facts,
        door,
        bad_query,
    }))
}

/// A client that speaks SOAP or gRPC is answered in its own words; `pre-mediate` sees what comes back.
fn takers(request: &Request, client: Client, sides: &Sides, catalog: &Catalog) -> Takers {
    let as_it_is = client.speech == Speech::Rest && !client.grpc && request.method != Method::HEAD;
    Takers {
        client: as_it_is && catalog.pre_mediate.is_none(),
        out_side: sides
            .outward
            .as_ref()
            .is_none_or(|outward| outward.only_answers()),
    }
}

pub(super) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What is looked at in every request, found in one walk: most have few headers.
#[derive(Default)]
struct LookedAt<'a> {
    host: Option<&'a HeaderValue>,
    accept: Option<&'a HeaderValue>,
    soap_action: Option<&'a HeaderValue>,
}

impl LookedAt<'_> {
    fn of(headers: &HeaderMap) -> LookedAt<'_> {
        let mut found = LookedAt::default();
        for (name, value) in headers {
            let slot = if *name == header::HOST {
                &mut found.host
            } else if *name == header::ACCEPT {
                &mut found.accept
            } else if *name == SOAP_ACTION {
                &mut found.soap_action
            } else {
                continue;
            };
            // The first of several counts.
            slot.get_or_insert(value);
        }
        found
    }
}

fn client(
    accept: Option<&HeaderValue>,
    media_type: Option<&MediaType>,
    has_body: bool,
    grpc: bool,
) -> Client {
    let speech = match media_type {
        Some(media_type) if has_body => match media_type.form() {
            Form::Soap11 => Speech::Soap11,
            Form::Soap12 => Speech::Soap12,
            // SOAP with attachments names its root part's type.
            Form::Multipart => match media_type.parameter("type") {
                Some("text/xml") => Speech::Soap11,
                Some("application/soap+xml") => Speech::Soap12,
                // MTOM names it behind another one.
                Some("application/xop+xml") => match media_type.parameter("start-info") {
                    Some(info) if info.starts_with("application/soap+xml") => Speech::Soap12,
                    _ => Speech::Soap11,
                },
                _ => Speech::Rest,
            },
            _ => Speech::Rest,
        },
        _ => Speech::Rest,
    };
    let json = media_type.is_some_and(|media_type| media_type.form() == Form::Json)
        || accept
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("json"));
    Client { speech, json, grpc }
}

/// SOAP 1.1 says its action in a header, SOAP 1.2 in the media type.
fn soap_action(header: Option<&HeaderValue>, media_type: Option<&MediaType>) -> Option<Arc<str>> {
    let action = header
        .and_then(|value| value.to_str().ok())
        .map(|action| action.trim().trim_matches('"'))
        .or_else(|| media_type?.action.as_deref())?;
    (!action.is_empty()).then(|| Arc::from(action))
}
