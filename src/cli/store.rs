//! `myelin store`: what the scripts of a running gateway keep, and how it is forgotten.

use super::log::escaped;
use super::management::{Gateway, Management, columns, failed};
use super::{Exit, Streams};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use std::io::Write;

const PATH: &str = "/management/stores";

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the APIs whose scripts keep something, and how much
    #[command(visible_alias = "list")]
    Ls {
        /// As the management tells it
        #[arg(long)]
        json: bool,
    },
    /// Forgets what the scripts of these APIs keep, or those of all
    Clear {
        #[arg(value_name = "API")]
        names: Vec<String>,
    },
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    let management = match Management::new(&arguments.gateway, PATH) {
        Ok(management) => management,
        Err(reason) => return failed(&reason, streams),
    };
    match &arguments.action {
        Action::Ls { json } => match management.ask(Method::GET, None) {
            Ok(list) => show(&list, *json, streams),
            Err(reason) => failed(&reason, streams),
        },
        Action::Clear { names } if names.is_empty() => {
            management.order(&["*".to_owned()], "cleared", streams)
        }
        Action::Clear { names } => management.order(names, "cleared", streams),
    }
}

fn show(answer: &Value, json: bool, streams: &mut Streams) -> Exit {
    let list = answer["list"].as_array().map_or(&[][..], Vec::as_slice);
    if json {
        writeln!(streams.out, "{answer:#}").ok();
    } else if list.is_empty() {
        writeln!(streams.err, "no script keeps anything").ok();
    } else {
        let titles = ["API", "KEYS", "BYTES"].map(str::to_owned).to_vec();
        let rows = list.iter().map(|store| {
            let name = escaped(store["name"].as_str().unwrap_or(""));
            vec![name, store["keys"].to_string(), store["bytes"].to_string()]
        });
        let rows: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
        write!(streams.out, "{}", columns(&rows)).ok();
    }
    Exit::Success
}
