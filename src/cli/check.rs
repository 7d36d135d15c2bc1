//! `myelin check`: everything that is wrong with a folder, and how much of it is supported.

use super::{Exit, Streams, summary};
use crate::deployment::folder::ReadOptions;
use crate::deployment::{self, Loaded};
use crate::gateway::settings::{self, Layer};
use crate::plan::compat::{Compat, Standing};
use crate::text::{Mistakes, Sources, render};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many places of one element are listed for people.
const PLACES_SHOWN: usize = 3;

#[derive(Args)]
pub struct Arguments {
    /// Folders, archives (.car) or single files; the current folder if none is given
    #[arg(value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// For people, for editors (byte ranges), or for build servers
    #[arg(long, value_enum, default_value_t = Format::Human, env = "MYELIN_FORMAT", hide_env_values = true)]
    format: Format,
    /// Fail on warnings too
    #[arg(long, env = "MYELIN_DENY_WARNINGS", hide_env_values = true)]
    deny_warnings: bool,
    /// List every element and attribute met: supported, ignored, not supported
    #[arg(long, env = "MYELIN_COMPAT", hide_env_values = true)]
    compat: bool,
    /// Succeed when a --lenient start would: what is broken is told, and not counted
    #[arg(long, env = "MYELIN_LENIENT", hide_env_values = true)]
    lenient: bool,
    /// Variables for $SYSTEM: and ${configs.}, one NAME=value a line
    #[arg(long, value_name = "FILE", env = "MYELIN_ENV_FILE", hide_env_values = true)]
    env_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
}

pub fn run(arguments: Arguments, streams: &mut Streams) -> Exit {
    let roots = if arguments.paths.is_empty() {
        vec![PathBuf::from(".")]
    } else {
        arguments.paths.clone()
    };
    let environment = ReadOptions::from_environment().environment;
    let settings = settings::load(
        roots.first().map_or(Path::new("."), PathBuf::as_path),
        Layer {
            env_file: arguments.env_file.clone(),
            lenient: arguments.lenient.then_some(true),
            ..Layer::default()
        },
        None,
        &environment,
    );
    let mut options = settings.settings.load_options(environment);
    options.read.names_as_given = true;
    options.hints = true;
    let mut loaded = deployment::load(&roots, &options);
    if settings.settings.endpoints.suspend_duration.is_some() {
        // Somebody has said how long; nobody relies on Synapse's default.
        loaded.mistakes.drop_code("N0201");
    }
    let errors = settings.mistakes.errors() + loaded.mistakes.errors();
    let warnings = settings.mistakes.warnings() + loaded.mistakes.warnings();
    report(
        &arguments,
        &settings.mistakes,
        &settings.sources,
        &loaded,
        streams,
    );
    let is_refused = settings.mistakes.errors() > 0 || loaded.deployment.is_none();
    let fails = if arguments.lenient { is_refused } else { errors > 0 };
    if fails || (arguments.deny_warnings && warnings > 0) {
        Exit::Findings
    } else {
        Exit::Success
    }
}

fn report(
    arguments: &Arguments,
    settings_mistakes: &Mistakes,
    settings_sources: &Sources,
    loaded: &Loaded,
    streams: &mut Streams,
) {
    let sets = [
        (settings_mistakes, settings_sources),
        (&loaded.mistakes, &loaded.sources),
    ];
    let text = match arguments.format {
        Format::Human => {
            let mut text: String = sets
                .iter()
                .map(|(mistakes, sources)| render::human(mistakes, sources, streams.colour_out))
                .collect();
            if arguments.compat {
                text.push_str(&compat_text(&loaded.compat, &loaded.sources));
            }
            text
        }
        Format::Json => {
            let mistakes: Vec<Value> = sets
                .iter()
                .flat_map(|(mistakes, sources)| match render::json(mistakes, sources) {
                    Value::Array(list) => list,
                    other => vec![other],
                })
                .collect();
            // A list, unless more than the list is wanted.
            let value = if arguments.compat {
                json!({ "mistakes": mistakes, "compat": compat_json(&loaded.compat, &loaded.sources) })
            } else {
                Value::Array(mistakes)
            };
            format!("{value:#}\n")
        }
        Format::Sarif => {
            let mut value = render::sarif(&loaded.mistakes, &loaded.sources);
            if let (Some(results), Value::Array(more)) = (
                value["runs"][0]["results"].as_array_mut(),
                render::sarif(settings_mistakes, settings_sources)["runs"][0]["results"].take(),
            ) {
                results.extend(more);
            }
            format!("{value:#}\n")
        }
    };
    streams.out.write_all(text.as_bytes()).ok();
    let mut all = settings_mistakes.clone();
    // Places of two sets of sources are not comparable; only the numbers are wanted here.
    all.extend(loaded.mistakes.clone());
    let counts = loaded.counts;
    writeln!(
        streams.err,
        "{}: {}",
        loaded.layout.describe(),
        super::run::artifacts(counts)
    )
    .ok();
    writeln!(streams.err, "{}", summary(&all)).ok();
}

fn compat_text(compat: &Compat, sources: &Sources) -> String {
    let mut text = String::new();
    for (standing, title) in STANDINGS {
        let mut rows: Vec<_> = compat
            .rows
            .iter()
            .filter(|(_, row)| row.standing == *standing)
            .collect();
        if rows.is_empty() {
            continue;
        }
        rows.sort_by_key(|(what, row)| (std::cmp::Reverse(row.places.len()), what.as_str()));
        text.push_str(&format!("{title}\n"));
        for (what, row) in rows {
            text.push_str(&format!("  {:>6}  {what}", row.places.len()));
            if *standing == Standing::Supported {
                text.push('\n');
                continue;
            }
            if !row.remark.is_empty() {
                text.push_str(&format!(": {}", row.remark));
            }
            text.push('\n');
            for span in row.places.iter().take(PLACES_SHOWN) {
                text.push_str(&format!("          {}\n", sources.place_text(*span)));
            }
            if row.places.len() > PLACES_SHOWN {
                text.push_str(&format!(
                    "          and {} more\n",
                    row.places.len() - PLACES_SHOWN
                ));
            }
        }
        text.push('\n');
    }
    let (supported, all) = compat.share();
    text.push_str(&format!(
        "{supported} of {all} elements and attributes are supported ({} %)\n",
        percentage(supported, all)
    ));
    text
}

fn compat_json(compat: &Compat, sources: &Sources) -> Value {
    let (supported, all) = compat.share();
    let rows: Vec<Value> = compat
        .rows
        .iter()
        .map(|(what, row)| {
            let places: Vec<String> = row.places.iter().map(|span| sources.place_text(*span)).collect();
            json!({
                "what": what,
                "standing": name(row.standing),
                "remark": row.remark,
                "count": places.len(),
                "places": places,
            })
        })
        .collect();
    json!({ "supported": supported, "all": all, "percentage": percentage(supported, all), "rows": rows })
}

const STANDINGS: &[(Standing, &str)] = &[
    (Standing::NotSupported, "not supported"),
    (Standing::Ignored, "accepted and ignored"),
    (Standing::Supported, "supported"),
];

fn name(standing: Standing) -> &'static str {
    match standing {
        Standing::Supported => "supported",
        Standing::Ignored => "ignored",
        Standing::NotSupported => "not-supported",
    }
}

/// In tenths, and 100 only for all of it.
fn percentage(supported: usize, all: usize) -> f64 {
    if all == 0 {
        return 100.0;
    }
    (supported * 1000 / all) as f64 / 10.0
}
