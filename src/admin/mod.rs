//! What operators ask and do: is it alive, is it ready, how are its endpoints. On a listener of its own, apart from traffic.

mod management;
mod scripts;
pub mod token;

use self::management::{Access, Managed};
use self::token::Keeper;
use crate::gateway::settings::Settings;
use crate::gateway::{Health, Shared};
use crate::message::body::ByteStream;
use crate::wire::limits::ServerLimits;
use crate::wire::listen::{self, Door};
use crate::wire::{Incoming, Reply, Service};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// The management as it was opened.
pub struct Open {
    /// Where it listens, for port 0.
    pub address: SocketAddr,
    made: Option<(String, PathBuf)>,
}

/// Answers at the address of the settings until the process ends.
pub fn start(settings: &Settings, gateway: Arc<Shared>) -> Result<Open, String> {
    let address = settings.admin;
    let failed = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let mut sockets = listen::bind(address, 1).map_err(failed)?;
    let socket = sockets
        .pop()
        .ok_or_else(|| format!("cannot listen on {address}"))?;
    let local = socket.local_addr().map_err(failed)?;
    gateway.admin_is_at(local);
    let made = match settings.admin_token {
        Some(_) => None,
        None => make_token(local.port()),
    };
    let token = match (&settings.admin_token, &made) {
        (Some(said), _) => Some(said.expose()),
        (None, made) => made.as_ref().map(|(token, _)| token.as_str()),
    };
    let access = Arc::new(Access {
        keeper: Keeper::new(token),
        hosts: settings.admin_hosts.clone(),
    });
    let limits = ServerLimits {
        connections: 200,
        in_flight: 100,
        ..ServerLimits::default()
    };
    let door = Door::new(limits, 1);
    let socket = Mutex::new(Some(socket));
    listen::spawn_workers(1, None, move |_| {
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        serve(
            socket,
            Arc::clone(&door),
            Arc::clone(&gateway),
            Arc::clone(&access),
        )
    })
    .map_err(failed)?;
    Ok(Open { address: local, made })
}

impl Open {
    /// The token that was made for this run is of no more use.
    pub fn forget_token(&self) {
        if let Some((token, path)) = &self.made {
            token::forget(token, path);
        }
    }
}

/// A token for this run, where the commands of this user find it. Traffic is served without one too.
fn make_token(port: u16) -> Option<(String, PathBuf)> {
    let path = token::place(port);
    let made = token::make().and_then(|token| token::keep(&token, &path).map(|()| token));
    match made {
        Ok(token) => Some((token, path)),
        Err(error) => {
            tracing::warn!(
                %error,
                "Nobody can manage endpoints: the token of this run cannot be kept. Set `admin-token`."
            );
            None
        }
    }
}

async fn serve(socket: Option<TcpListener>, door: Arc<Door>, gateway: Arc<Shared>, access: Arc<Access>) {
    let Some(socket) = socket else { return };
    let service = Rc::new(Admin { gateway, access });
    if let Err(error) = listen::serve(socket, None, listen::Worker::new(&door), service).await {
        tracing::error!(%error, "The management listener cannot be used.");
    }
}

struct Admin {
    gateway: Arc<Shared>,
    access: Arc<Access>,
}

impl Service for Admin {
    async fn serve(&self, incoming: Incoming) -> Reply {
        let path = incoming.target.path();
        if path == "/management" || path.starts_with("/management/") {
            let runtime = &self.gateway.runtime;
            let managed = Managed {
                registry: &runtime.health,
                stores: &runtime.stores,
                meters: &runtime.meters,
            };
            return management::answer(incoming, &self.access, &managed).await;
        }
        answer(&incoming.method, path, &self.gateway.health())
    }
}

fn answer(method: &Method, path: &str, health: &Health) -> Reply {
    if !matches!(
        path,
        "/healthz" | "/livez" | "/liveness" | "/readyz" | "/readiness"
    ) {
        return Reply::text(
            StatusCode::NOT_FOUND,
            "There are /healthz, /livez, /readyz and /management.\n",
        );
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut reply = Reply::new(StatusCode::METHOD_NOT_ALLOWED);
        reply
            .headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    let mut reply = match path {
        "/livez" | "/liveness" => Reply::text(StatusCode::OK, "alive\n"),
        "/readyz" | "/readiness" if health.draining => {
            Reply::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
        "/readyz" | "/readiness" => Reply::text(StatusCode::OK, "ready\n"),
        _ => report(health),
    };
    reply
        .headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if *method == Method::HEAD {
        reply.body = ByteStream::empty();
    }
    reply
}

/// A refused reload is told here and is no reason to restart anything: the last good deployment serves.
fn report(health: &Health) -> Reply {
    let reload = &health.reload;
    let status = match (health.draining, reload.refused.is_empty()) {
        (true, _) => "draining",
        (false, true) => "ok",
        (false, false) => "stale",
    };
    let since = reload
        .last_success
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs());
    let refused: Vec<Value> = reload
        .refused
        .iter()
        .map(|mistake| json!({ "code": mistake.code, "message": mistake.message, "help": mistake.help }))
        .collect();
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "generation": health.generation,
        "reload": { "last_success": since, "failures": reload.failures, "refused": refused },
        "connections": health.connections,
        "panics": health.panics,
        "unanswered_faults": health.unanswered_faults,
    });
    let mut reply = Reply::new(StatusCode::OK);
    reply
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.body = ByteStream::from(Bytes::from(format!("{body}\n")));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::reload::StatusNow;
    use crate::text::{Diagnostic, Severity};

    fn health() -> Health {
        Health {
            draining: false,
            generation: 3,
            reload: StatusNow {
                generation: 3,
                failures: 1,
                ..StatusNow::default()
            },
            connections: 2,
            panics: 0,
            unanswered_faults: 0,
        }
    }

    fn get(path: &str, health: &Health) -> (u16, String) {
        let reply = answer(&Method::GET, path, health);
        let status = reply.status.as_u16();
        let (body, _) = crate::flow::testing::wait(reply.body.collect(1 << 16)).expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn a_gateway_that_drains_is_alive_and_not_ready() {
        let draining = Health {
            draining: true,
            ..health()
        };
        assert_eq!(get("/livez", &draining).0, 200);
        assert_eq!(get("/readyz", &draining).0, 503);
        assert_eq!(get("/readyz", &health()).0, 200);
        assert_eq!(get("/", &health()).0, 404);
    }

    #[test]
    fn a_refused_reload_is_told_with_its_reason() {
        let mut health = health();
        assert!(get("/healthz", &health).1.contains(r#""status":"ok""#));
        health.reload.refused.push(Diagnostic::new(
            Severity::Error,
            "E0205",
            "there is no mediator `<lgo>`",
        ));
        let (status, body) = get("/healthz", &health);
        assert_eq!(status, 200);
        assert!(
            body.contains(r#""status":"stale""#) && body.contains("<lgo>"),
            "{body}"
        );
    }
}
