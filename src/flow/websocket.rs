//! WebSocket addresses: the client's handshake becomes one with the backend. On 101 the answer carries the tunnel between them.

use super::answered::{answer, failed};
use super::credentials::{self, NotSent};
use super::delivery::{Delivery, Patience, all_over, is_all_over, time_left, with_suffix};
use super::outgoing::headers;
use super::{Answer, Exchange, Fault, fault};
use crate::wire::client::{ClientRequest, Gate, Watch};
use crate::wire::url::Url;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::rc::Rc;
use std::sync::Arc;

/// Asks the backend for a WebSocket, with the client's headers, query and subprotocols. A refusal is an answer like any other.
pub(super) async fn open(
    exchange: &mut Exchange,
    address: Url,
    delivery: &Delivery,
    patience: Patience,
    watch: Option<Box<dyn Watch>>,
    gate: Option<Arc<dyn Gate>>,
) -> Result<Answer, Fault> {
    if !exchange.request.websocket {
        let reason = format!(
            "`{}` is a WebSocket address, and the client does not ask for a WebSocket",
            address.origin
        );
        return Err(Fault::client(fault::code::UPGRADE_REQUIRED, reason).status(426));
    }
    // API managers set it on topics, where it cannot mean that nobody waits for an answer.
    exchange.properties.remove("OUT_ONLY");
    let url = match delivery.bare {
        true => address,
        false => with_suffix(exchange, address)?,
    };
    let mut headers = headers(exchange)?;
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_ENCODING);
    let timeouts = exchange.worker.runtime.timeouts;
    let left = time_left(exchange)?;
    let within = |wait: std::time::Duration| Some(left.map_or(wait, |left| wait.min(left)));
    let request = ClientRequest {
        headers,
        connect_timeout: within(patience.connect.unwrap_or(timeouts.connect)),
        response_timeout: within(patience.response.unwrap_or(timeouts.response)),
        watch,
        gate,
        ..ClientRequest::new(Method::GET, url.clone())
    };
    let signer = match &delivery.credentials {
        Some(credentials) => Some(credentials.of(exchange).await?),
        None => None,
    };
    let worker = Rc::clone(&exchange.worker);
    let sent = match &signer {
        None => worker.client.send(request).await.map_err(NotSent::Failed),
        Some(signer) => {
            let end = exchange.deadline.map(|deadline| deadline.end);
            credentials::send(&worker, &**signer, request, end).await
        }
    };
    match sent {
        Ok(response) => Ok(answer(response, exchange.message.arrived_as.clone(), true)),
        Err(NotSent::Unsigned(fault)) => Err(fault),
        Err(NotSent::Failed(error)) if is_all_over(exchange, left, &error.kind, patience) => Err(all_over()),
        Err(NotSent::Failed(error)) => {
            let at = format!("{}{}", url.origin, url.path_and_query.path());
            Err(failed(exchange, error, &at, patience, Some(true)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Catalog;
    use crate::flow::delivery::deliver;
    use crate::flow::testing::{ScriptedBackend, exchange, wait};

    /// What is asked of the backend, or why nothing is.
    fn check(request: &str, websocket: bool, expected: &str) {
        let backend = ScriptedBackend::answering("403\n\nno");
        let mut exchange = exchange(request, Catalog::default(), backend.clone());
        let own = Rc::get_mut(&mut exchange.request).expect("nobody else has it");
        own.websocket = websocket;
        exchange.properties.set_axis2(
            "REST_URL_POSTFIX",
            crate::message::properties::Value::text("/room?a=b"),
        );
        let url = Url::parse("wss://backend/topics").unwrap();
        let told = match wait(deliver(
            &mut exchange,
            url,
            &Delivery::default(),
            Patience::default(),
        )) {
            Ok(answer) => {
                let seen = backend.only();
                let protocol = seen.headers.get("sec-websocket-protocol");
                format!("{} {} {protocol:?} -> {}", seen.method, seen.url, answer.status)
            }
            Err(fault) => format!("{:?} {}", fault.status, fault.reason),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_handshake_takes_its_path_its_query_and_its_protocols_along() {
        check(
            "GET /chat/room?a=b\nsec-websocket-protocol: soap",
            true,
            "GET wss://backend/topics/room?a=b Some(\"soap\") -> 403 Forbidden",
        );
    }

    #[test]
    fn who_asks_for_no_websocket_gets_none() {
        check(
            "GET /chat/room?a=b",
            false,
            "Some(426) `wss://backend` is a WebSocket address, and the client does not ask for a WebSocket",
        );
    }
}
