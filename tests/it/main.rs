//! One binary of integration tests: a module a theme.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect has to fail"
)]

mod backend_security;
mod bleed;
mod body_integrity;
mod bombs;
mod cli;
mod descriptions;
mod e4x;
mod endpoints;
mod floors;
mod garbled;
mod gateway;
mod generated;
mod groups;
mod grpc;
mod handwritten;
mod injection;
mod json_suite;
mod lambda;
mod management;
mod mistakes;
mod mock;
mod no_client_trouble;
mod pace;
mod payload_attacks;
mod prototypes;
mod readme;
mod reference;
mod reload_under_load;
mod remembered;
mod scripts;
mod ssrf;
mod stopping;
mod stories;
mod straight;
mod talk;
mod tokens;
mod websocket;
mod wire_backends;
mod wire_desync;
mod wire_http2;
mod wire_kit;
mod wire_limits;
mod wire_names;
mod wire_serving;
mod xml_conformance;
mod xpath_oracle;
