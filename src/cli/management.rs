//! How commands speak with the management of a running gateway.

use super::log::escaped;
use super::{Exit, Streams};
use crate::admin::token;
use crate::gateway::settings::{Secret, parse_address, parse_secret};
use crate::message::body::ByteStream;
use crate::wire::tls::ClientTls;
use crate::wire::{Client, ClientLimits, ClientRequest, Url};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// An answer is not longer.
const LONGEST: usize = 64 << 20;

#[derive(Args)]
pub struct Gateway {
    /// Where the gateway is managed
    #[arg(long, global = true, value_name = "ADDR", value_parser = parse_address, default_value = "127.0.0.1:9164",
          env = "MYELIN_ADMIN", hide_env_values = true)]
    admin: SocketAddr,
    /// What opens the management, or file: and the file that holds it [default: what a gateway of this user on this machine made]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = parse_secret, env = "MYELIN_ADMIN_TOKEN",
          hide_env_values = true)]
    token: Option<Secret>,
}

/// A way to one path of a gateway's management.
pub struct Management {
    address: SocketAddr,
    path: &'static str,
    authorization: HeaderValue,
}

impl Management {
    pub fn new(gateway: &Gateway, path: &'static str) -> Result<Management, String> {
        let address = reachable(gateway.admin);
        let token = match &gateway.token {
            Some(token) => token.expose().to_owned(),
            None if !address.ip().is_loopback() => {
                return Err(format!("{address} is not this machine: --token is needed"));
            }
            None => {
                let place = token::place(address.port());
                token::kept(&place).map_err(|error| {
                    format!(
                        "no gateway of this user has left a token for {address} at {} ({error}); --admin says where it is, --token what opens it",
                        place.display()
                    )
                })?
            }
        };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token cannot be sent in a header".to_owned())?;
        authorization.set_sensitive(true);
        Ok(Management {
            address,
            path,
            authorization,
        })
    }

    /// Gives each of them the order; goes on after one that fails.
    pub fn order(&self, names: &[String], status: &str, streams: &mut Streams) -> Exit {
        let mut exit = Exit::Success;
        for name in names {
            match self.ask(Method::POST, Some(&json!({ "name": name, "status": status }))) {
                Ok(answer) => {
                    let message = answer["message"].as_str().unwrap_or("done");
                    writeln!(streams.out, "{}", escaped(message)).ok();
                }
                Err(reason) => exit = failed(&reason, streams),
            }
        }
        exit
    }

    pub fn ask(&self, method: Method, order: Option<&Value>) -> Result<Value, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let asking = self.exchange(method, order);
        let (status, body) = tokio::task::LocalSet::new().block_on(&runtime, asking)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let what = answer["Error"].as_str();
        match (status, what) {
            (StatusCode::OK, _) if answer.is_object() => Ok(answer),
            (StatusCode::UNAUTHORIZED, _) => Err(format!(
                "{} does not take this token; --token or MYELIN_ADMIN_TOKEN says another",
                self.address
            )),
            (_, Some(reason)) => Err(reason.to_owned()),
            (status, None) => Err(format!("{} answered {status}: is it a myelin?", self.address)),
        }
    }

    async fn exchange(&self, method: Method, order: Option<&Value>) -> Result<(StatusCode, Bytes), String> {
        let address = self.address;
        let unreachable = |error: String| format!("no gateway answers at {address}: {error}");
        let url = Url::parse(&format!("http://{address}{}", self.path)).map_err(|error| error.to_string())?;
        let mut request = ClientRequest::new(method, url);
        request.headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(order) = order {
            request
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = ByteStream::from(Bytes::from(order.to_string()));
        }
        request.response_timeout = Some(Duration::from_secs(10));
        let tls = ClientTls::new(None).map_err(|error| error.to_string())?;
        let client = Client::new(ClientLimits::default(), tls);
        let response = client
            .send(request)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let status = response.status;
        let (body, _) = response
            .body
            .collect(LONGEST)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        Ok((status, body))
    }
}

/// An address to listen on, as one to call.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

pub fn failed(reason: &str, streams: &mut Streams) -> Exit {
    writeln!(streams.err, "{}", escaped(reason)).ok();
    Exit::Findings
}

/// Columns under titles, as wide as they need to be.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            line.push_str(&" ".repeat(width(column) - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_called_here() {
        let called = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(called("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(called("[::]:1"), "[::1]:1");
        assert_eq!(called("10.0.0.1:1"), "10.0.0.1:1");
    }
}
