//! `myelin script`: what the scripts of a running gateway have spent.

use super::log::escaped;
use super::management::{Gateway, Management, columns, failed};
use super::{Exit, Streams};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use std::io::Write;

const PATH: &str = "/management/scripts";

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Subcommand)]
enum Action {
    /// Lists what ran scripts: calls, those answered from memory, faults, kills, processor time; and their workers
    #[command(visible_alias = "list")]
    Ls {
        /// As the management tells it
        #[arg(long)]
        json: bool,
    },
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    let answer =
        Management::new(&arguments.gateway, PATH).and_then(|management| management.ask(Method::GET, None));
    match (answer, &arguments.action) {
        (Ok(answer), Action::Ls { json: true }) => writeln!(streams.out, "{answer:#}").ok(),
        (Ok(answer), Action::Ls { json: false }) => write!(streams.out, "{}", table(&answer)).ok(),
        (Err(reason), _) => return failed(&reason, streams),
    };
    Exit::Success
}

fn table(answer: &Value) -> String {
    let titles = [
        "WHERE",
        "CALLS",
        "REMEMBERED",
        "FAULTS",
        "KILLS",
        "REFUSED",
        "PROCESSOR",
        "MOST",
        "LONGEST",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for script in list(answer, "list") {
        let time = |name: &str| format!("{:.1} ms", script[name].as_f64().unwrap_or(0.0));
        let mut row = vec![escaped(script["name"].as_str().unwrap_or(""))];
        row.extend(
            ["calls", "remembered", "faults", "kills", "refused"].map(|name| script[name].to_string()),
        );
        row.extend(["processorMs", "longestProcessorMs", "longestMs"].map(time));
        rows.push(row);
    }
    let limits = &answer["limits"];
    let mebibytes = |bytes: &Value| bytes.as_u64().map(|bytes| format!("{} MiB", bytes >> 20));
    let memory = mebibytes(&limits["memory"]).map_or_else(String::new, |memory| format!(" and {memory}"));
    let mut out = columns(&rows);
    out.push_str(&format!(
        "\n{} running, {} waiting; a script may take {} ms{memory}\n",
        answer["running"], answer["waiting"], limits["deadlineMs"]
    ));
    for worker in list(answer, "workers") {
        out.push_str(&format!(
            "worker {}: {}, at most {} so far\n",
            worker["process"],
            mebibytes(&worker["memory"]).unwrap_or_default(),
            mebibytes(&worker["peak"]).unwrap_or_default()
        ));
    }
    out
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_says_who_spent_what() {
        let answer = json!({
            "list": [{"name": "api Shop GET /\u{1b}", "calls": 12, "remembered": 5, "faults": 1, "kills": 0, "refused": 0, "processorMs": 3.21, "longestProcessorMs": 1.0, "longestMs": 20.04}],
            "limits": {"isolation": "process", "deadlineMs": 1000, "memory": 268_435_456, "workersPerCore": 2},
            "running": 1, "waiting": 0, "workers": [{"process": 7, "memory": 16_777_216, "peak": 33_554_432}],
        });
        let expected = "\
WHERE                 CALLS  REMEMBERED  FAULTS  KILLS  REFUSED  PROCESSOR  MOST    LONGEST
api Shop GET /\\u{1b}  12     5           1       0      0        3.2 ms     1.0 ms  20.0 ms

1 running, 0 waiting; a script may take 1000 ms and 256 MiB
worker 7: 16 MiB, at most 32 MiB so far
";
        assert_eq!(table(&answer), expected);
    }
}
