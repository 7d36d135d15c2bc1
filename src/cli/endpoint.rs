//! `myelin endpoint`: how the endpoints of a running gateway are, and the switch of each.

use super::log::escaped;
use super::{Exit, Streams};
use crate::admin::token;
use crate::gateway::settings::{Secret, parse_address, parse_secret};
use crate::message::body::ByteStream;
use crate::wire::tls::ClientTls;
use crate::wire::{Client, ClientLimits, ClientRequest, Url};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

const PATH: &str = "/management/endpoints";

/// An answer is not longer.
const LONGEST: usize = 64 << 20;

/// A reason is cut here in the table; `--json` has it whole.
const WIDEST_REASON: usize = 60;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Where the gateway is managed
    #[arg(long, global = true, value_name = "ADDR", value_parser = parse_address, default_value = "127.0.0.1:9164",
          env = "MYELIN_ADMIN", hide_env_values = true)]
    admin: SocketAddr,
    /// What opens the management, or file: and the file that holds it [default: what a gateway of this user on this machine made]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = parse_secret, env = "MYELIN_ADMIN_TOKEN",
          hide_env_values = true)]
    token: Option<Secret>,
}

#[derive(Subcommand)]
enum Action {
    /// Lists endpoints: state, why, when it is tried again, requests on their way
    #[command(visible_alias = "list")]
    Ls {
        /// As the management tells it
        #[arg(long)]
        json: bool,
        /// Only those that are active, timeout, suspended or off
        #[arg(long, value_name = "STATE", value_parser = State::from_str)]
        state: Option<State>,
    },
    /// Takes endpoints out of use until they are switched on
    Off {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Makes endpoints active at once, whatever they were
    On {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Lets the next request try endpoints that are suspended, without waiting for their time
    Retry {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

/// The name of a state, in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State(String);

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        let name = text.to_ascii_uppercase();
        match name.as_str() {
            "ACTIVE" | "TIMEOUT" | "SUSPENDED" | "OFF" => Ok(State(name)),
            _ => Err("a state is active, timeout, suspended or off".to_owned()),
        }
    }
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    let management = match Management::new(arguments) {
        Ok(management) => management,
        Err(reason) => return failed(&reason, streams),
    };
    match &arguments.action {
        Action::Ls { json, state } => match management.ask(Method::GET, None) {
            Ok(list) => show(list, *json, state.as_ref(), streams),
            Err(reason) => failed(&reason, streams),
        },
        Action::Off { names } => management.order(names, "inactive", streams),
        Action::On { names } => management.order(names, "active", streams),
        Action::Retry { names } => management.order(names, "retry", streams),
    }
}

fn failed(reason: &str, streams: &mut Streams) -> Exit {
    writeln!(streams.err, "{}", escaped(reason)).ok();
    Exit::Findings
}

// Asking

struct Management {
    address: SocketAddr,
    authorization: HeaderValue,
}

impl Management {
    fn new(arguments: &Arguments) -> Result<Management, String> {
        let address = reachable(arguments.admin);
        let token = match &arguments.token {
            Some(token) => token.expose().to_owned(),
            None if !address.ip().is_loopback() => {
                return Err(format!("{address} is not this machine: --token is needed"));
            }
            None => {
                let path = token::place(address.port());
                token::kept(&path).map_err(|error| {
                    format!(
                        "no gateway of this user has left a token for {address} at {} ({error}); --admin says where it is, --token what opens it",
                        path.display()
                    )
                })?
            }
        };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token cannot be sent in a header".to_owned())?;
        authorization.set_sensitive(true);
        Ok(Management {
            address,
            authorization,
        })
    }

    /// Gives each of them the order; goes on after one that fails.
    fn order(&self, names: &[String], status: &str, streams: &mut Streams) -> Exit {
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

    fn ask(&self, method: Method, order: Option<&Value>) -> Result<Value, String> {
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
        let url = Url::parse(&format!("http://{address}{PATH}")).map_err(|error| error.to_string())?;
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

// Showing

fn show(mut answer: Value, json: bool, state: Option<&State>, streams: &mut Streams) -> Exit {
    let mut list = match answer["list"].take() {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    if let Some(State(state)) = state {
        // One that is active itself may have addresses that are not.
        let is = |endpoint: &Value| endpoint["state"] == state.as_str();
        list.retain(|endpoint| is(endpoint) || authorities(endpoint).iter().any(is));
    }
    if json {
        writeln!(streams.out, "{:#}", json!({ "count": list.len(), "list": list })).ok();
        return Exit::Success;
    }
    if list.is_empty() {
        let what = match state {
            Some(State(state)) => format!("no endpoint is {state}"),
            None => "there are no endpoints".to_owned(),
        };
        writeln!(streams.err, "{what}").ok();
        return Exit::Success;
    }
    write!(streams.out, "{}", table(&list, streams.colour_out)).ok();
    Exit::Success
}

const TITLES: [&str; 7] = ["NAME", "TYPE", "STATE", "WHY", "NEXT TRY", "IN FLIGHT", "ADDRESS"];
const STATE: usize = 2;

fn table(list: &[Value], colour: bool) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    for endpoint in list {
        rows.push(row(endpoint, &text(endpoint, "name")));
        for authority in authorities(endpoint) {
            let mut row = row(authority, "  one of its addresses");
            row[1].clear();
            rows.push(row);
        }
    }
    let widths: [usize; TITLES.len()] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let shade = match (colour, at, column) {
                (true, 0, _) => "1",
                (true, _, STATE) => shade(cell),
                _ => "",
            };
            if shade.is_empty() {
                line.push_str(cell);
            } else {
                line.push_str(&format!("\x1b[{shade}m{cell}\x1b[0m"));
            }
            line.push_str(&padding);
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn shade(state: &str) -> &'static str {
    match state {
        "ACTIVE" => "32",
        "TIMEOUT" => "33",
        "SUSPENDED" => "31",
        _ => "35",
    }
}

fn row(endpoint: &Value, name: &str) -> [String; TITLES.len()] {
    [
        name.to_owned(),
        text(endpoint, "type"),
        text(endpoint, "state"),
        why(endpoint),
        next_try(endpoint),
        in_flight(endpoint),
        text(endpoint, "address"),
    ]
}

fn why(endpoint: &Value) -> String {
    match (endpoint["code"].as_i64(), endpoint["state"].as_str()) {
        (Some(code), _) => {
            let reason = text(endpoint, "reason");
            let mut why = format!("{code} {}", without_address(&reason, &text(endpoint, "address")));
            if why.chars().count() > WIDEST_REASON {
                why = why.chars().take(WIDEST_REASON - 1).collect();
                why.push('…');
            }
            why
        }
        (None, Some("OFF")) => "an operator".to_owned(),
        _ => "-".to_owned(),
    }
}

/// A reason without the address, which has a column of its own.
fn without_address(reason: &str, address: &str) -> String {
    let reason = match reason.rsplit_once(" (http") {
        Some((reason, _)) => reason,
        None => reason,
    };
    let host = reason.split(" to ").skip(1).find_map(|rest| {
        let host = rest.split([' ', ',']).next()?.trim_end_matches(':');
        (host.contains("://") && address.starts_with(host)).then_some(host)
    });
    match host {
        Some(host) => reason.replacen(&format!(" to {host}"), "", 1),
        None => reason.to_owned(),
    }
}

fn next_try(endpoint: &Value) -> String {
    let state = endpoint["state"].as_str().unwrap_or("");
    if !matches!(state, "TIMEOUT" | "SUSPENDED") {
        return "-".to_owned();
    }
    let time = match endpoint["retryAfterMs"].as_u64() {
        Some(millis) => format!("in {}", duration(millis)),
        None if endpoint["isReady"] == false => "now, by a request on its way".to_owned(),
        None => "with the next request".to_owned(),
    };
    match endpoint["attemptsLeft"].as_u64() {
        Some(1) if state == "TIMEOUT" => format!("{time}, 1 attempt left"),
        Some(left) if state == "TIMEOUT" => format!("{time}, {left} attempts left"),
        _ => time,
    }
}

/// `12.3 s`, `4 min 5 s`, `2 h 0 min`
fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn in_flight(endpoint: &Value) -> String {
    let count = |name: &str| endpoint[name].as_u64().unwrap_or(0);
    match (count("inFlight"), count("waiting")) {
        (in_flight, 0) => in_flight.to_string(),
        (in_flight, waiting) => format!("{in_flight} + {waiting} waiting"),
    }
}

fn authorities(endpoint: &Value) -> &[Value] {
    endpoint["authorities"].as_array().map_or(&[], Vec::as_slice)
}

/// Without anything that a terminal obeys: names and reasons come from files and backends.
fn text(endpoint: &Value, name: &str) -> String {
    escaped(endpoint[name].as_str().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, state: &str, more: Value) -> Value {
        let mut endpoint = json!({
            "name": name, "type": "http", "state": state, "address": "http://h/", "code": null, "reason": null,
            "attemptsLeft": 0, "retryAfterMs": null, "isReady": true, "inFlight": 0, "waiting": 0, "authorities": [],
        });
        for (key, value) in more.as_object().unwrap() {
            endpoint[key] = value.clone();
        }
        endpoint
    }

    #[test]
    fn the_table_says_why_and_when() {
        let list = [
            endpoint("a", "ACTIVE", json!({ "inFlight": 3, "waiting": 2 })),
            endpoint(
                "slow\u{1b}[2J",
                "TIMEOUT",
                json!({ "code": 101_504, "reason": "no answer", "attemptsLeft": 2 }),
            ),
            endpoint(
                "down",
                "SUSPENDED",
                json!({
                    "code": 101_503, "reason": "refused", "retryAfterMs": 12_345,
                    "authorities": [endpoint("down http://b", "SUSPENDED", json!({ "address": "http://b", "isReady": false }))],
                }),
            ),
            endpoint("switched", "OFF", json!({})),
        ];
        let expected = "\
NAME                    TYPE  STATE      WHY               NEXT TRY                                IN FLIGHT      ADDRESS
a                       http  ACTIVE     -                 -                                       3 + 2 waiting  http://h/
slow\\u{1b}[2J           http  TIMEOUT    101504 no answer  with the next request, 2 attempts left  0              http://h/
down                    http  SUSPENDED  101503 refused    in 12.3 s                               0              http://h/
  one of its addresses        SUSPENDED  -                 now, by a request on its way            0              http://b
switched                http  OFF        an operator       -                                       0              http://h/
";
        assert_eq!(table(&list, false), expected);
        assert!(table(&list, true).contains("\x1b[31mSUSPENDED\x1b[0m"));
    }

    #[test]
    fn an_address_is_told_once() {
        for (reason, expected) in [
            (
                "cannot connect to http://h:1: Connection refused (http://h:1/a)",
                "cannot connect: Connection refused",
            ),
            ("no answer to http://h:1 in 30 s", "no answer in 30 s"),
            (
                "cannot connect to http://other: no such host (http://other/a)",
                "cannot connect to http://other: no such host",
            ),
            ("came to nothing", "came to nothing"),
        ] {
            assert_eq!(without_address(reason, "http://h:1/a"), expected);
        }
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (millis, expected) in [
            (50, "0.0 s"),
            (12_399, "12.3 s"),
            (245_000, "4 min 5 s"),
            (7_200_000, "2 h 0 min"),
        ] {
            assert_eq!(duration(millis), expected);
        }
    }

    #[test]
    fn a_state_is_taken_in_any_case_and_an_address_to_listen_on_is_called_here() {
        assert_eq!("Suspended".parse(), Ok(State("SUSPENDED".to_owned())));
        assert!(State::from_str("sleepy").is_err());
        let called = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(called("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(called("[::]:1"), "[::1]:1");
        assert_eq!(called("10.0.0.1:1"), "10.0.0.1:1");
    }
}
