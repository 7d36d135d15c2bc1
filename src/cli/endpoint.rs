//! `myelin endpoint`: how the endpoints of a running gateway are, and the switch of each.

use super::log::escaped;
use super::management::{Gateway, Management, failed};
use super::{Exit, Streams};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::str::FromStr;

const PATH: &str = "/management/endpoints";

/// A reason is cut here in the table; `--json` has it whole.
const WIDEST_REASON: usize = 60;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    gateway: Gateway,
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
    let management = match Management::new(&arguments.gateway, PATH) {
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
    fn a_state_is_taken_in_any_case() {
        assert_eq!("Suspended".parse(), Ok(State("SUSPENDED".to_owned())));
        assert!(State::from_str("sleepy").is_err());
    }
}
