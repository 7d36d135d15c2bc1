//! The only room that knows HTTP on the wire: serving clients, calling backends, TLS, and every limit on the way.
//!
//! Everything here lives in one thread: a worker has its own listener, its own service and its own backend
//! connections (`listen::spawn_workers`, `listen::serve`, `client::Client`). Nothing is shared on the way of a request.

mod alarm;
mod answer_head;
mod cause;
mod chunked;
pub mod client;
mod connect;
mod connection;
mod frame_meter;
mod head;
mod hop;
mod http1;
mod http2;
pub mod limits;
pub mod listen;
pub mod names;
mod patient;
mod pool;
pub mod profile;
mod requests;
mod rooms;
mod sending;
mod serve;
mod serve_http1;
mod serve_http2;
pub mod server;
pub mod straight;
pub mod tls;
mod upload;
pub mod url;
pub mod verify;
pub mod websocket;

pub use client::{Client, ClientRequest, ClientResponse, Gate, Reached, SendError, SendErrorKind};
pub use limits::{ClientLimits, ServerLimits, WebSocketLimits};
pub use profile::{Profile, Proxy, Route};
pub use server::{Incoming, Reply, Scheme, Service};
pub use url::{Origin, Url};
pub use websocket::Tunnel;
