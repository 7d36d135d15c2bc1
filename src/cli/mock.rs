//! `myelin mock`: serves an OpenAPI definition without writing anything, or writes it as an API with scripts.

use super::run::{self, Started};
use super::{Exit, Streams, log, summary};
use crate::deployment::api::Mapping;
use crate::deployment::folder::{self, ReadOptions};
use crate::deployment::openapi::calls::{self, Call};
use crate::deployment::openapi::{self, generate};
use crate::deployment::{LoadOptions, Loaded};
use crate::gateway::script_settings::{Where, parse_clock, parse_seed, parse_where};
use crate::gateway::settings::{self, Layer, LoadedSettings, LogFormat, parse_address};
use crate::text::{Mistakes, Sources};
use clap::Args;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Args)]
pub struct Arguments {
    /// An OpenAPI definition (2.0, 3.0, 3.1), in YAML or JSON
    #[arg(value_name = "SPEC")]
    definition: PathBuf,
    /// Where clients call; port 0 takes any that is free [default: 127.0.0.1:8290]
    #[arg(long, value_name = "ADDR", value_parser = parse_address, env = "MYELIN_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,
    /// Write the definition into this folder, as an API and one script for each operation, and serve nothing
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// With --save: write over files that say something else
    #[arg(long, requires = "save")]
    force: bool,
    /// Where chance begins (`Prefer: dynamic=true`, scripts): the same requests get the same answers
    #[arg(long, value_name = "N", value_parser = parse_seed, default_value = "1")]
    seed: u64,
    /// The time at which the clock of scripts stands still, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_clock)]
    clock: Option<i64>,
    /// Leave the definition as it was at the start
    #[arg(long)]
    no_watch: bool,
    /// Take no x-mock-latency, x-mock-fault and Prefer: wait from requests
    #[arg(long)]
    no_mishaps: bool,
    /// Where scripts of the definition run: process or thread [default: process]
    #[arg(long, value_name = "WHERE", value_parser = parse_where, env = "MYELIN_SCRIPT_ISOLATION", hide_env_values = true)]
    script_isolation: Option<Where>,
    /// What to log [default: info]
    #[arg(long, value_name = "FILTER", env = "MYELIN_LOG", hide_env_values = true)]
    log: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT", value_parser = LogFormat::from_str, env = "MYELIN_LOG_FORMAT", hide_env_values = true)]
    log_format: Option<LogFormat>,
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    let definition = &arguments.definition;
    let found = match read(definition, streams) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    if let Some(folder) = &arguments.save {
        return save(found, folder, arguments.force, streams);
    }
    let environment = ReadOptions::from_environment().environment;
    let any = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let layer = Layer {
        listen: Some(arguments.listen.unwrap_or(any(8290))),
        // A gateway may run beside it.
        admin: Some(any(0)),
        watch: Some(!arguments.no_watch),
        log: arguments.log.clone(),
        log_format: arguments.log_format,
        script_isolation: arguments.script_isolation,
        ..Layer::default()
    };
    let LoadedSettings {
        mut settings,
        mistakes,
        sources,
        files,
    } = settings::bare(layer, &environment);
    streams.tell(&mistakes, &sources);
    if mistakes.errors() > 0 {
        return run::refused(&format!("{} in the settings", summary(&mistakes)), streams);
    }
    settings.script.program = Some(PathBuf::from("/proc/self/exe"));
    settings.script.seed = Some(arguments.seed);
    settings.script.clock = arguments.clock;
    settings.mock.mishaps &= !arguments.no_mishaps;
    // Who asks a mock in the making may well be a page in a browser.
    if let Err(reason) = settings.cors.set("origins", "*") {
        return run::refused(&reason, streams);
    }
    if let Err(reason) = log::start(&settings.log, settings.log_format) {
        return run::refused(&reason, streams);
    }
    let options = settings.load_options(environment);
    let options = LoadOptions {
        definitions: openapi::Rules {
            mocks: true,
            all: true,
        },
        ..options
    };
    run::serve(definition, settings, files, options, block, streams)
}

/// The definition, or why there is none, told.
fn read(path: &Path, streams: &mut Streams) -> Result<Read, Exit> {
    let name = path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not in UTF-8".to_owned()));
    let text = match text {
        Ok(text) => text,
        Err(reason) => return Err(run::refused(&format!("{name} cannot be read: {reason}"), streams)),
    };
    let mut sources = Sources::default();
    let file = sources.add(name.as_str(), text.as_str());
    match openapi::find(file, &text) {
        Ok(Some(_)) => Ok(gathered(path)),
        Ok(None) => {
            let reason =
                format!("{name} is no OpenAPI definition: it has neither `openapi` nor `swagger` at its top");
            Err(run::refused(&reason, streams))
        }
        Err(mistake) => {
            let mut mistakes = Mistakes::default();
            mistakes.push(*mistake);
            streams.tell(&mistakes, &sources);
            Err(run::refused(&summary(&mistakes), streams))
        }
    }
}

/// With the files that the definition refers to.
fn gathered(path: &Path) -> Read {
    let options = ReadOptions {
        names_as_given: true,
        ..ReadOptions::default()
    };
    let collected = folder::read(&[path.to_path_buf()], &options);
    Read {
        found: collected.definitions.into_iter().next(),
        mistakes: collected.mistakes,
        sources: collected.sources,
    }
}

struct Read {
    /// Nothing, if somebody has changed the file meanwhile.
    found: Option<openapi::DefinitionFile>,
    mistakes: Mistakes,
    sources: Sources,
}

fn save(read: Read, folder: &Path, force: bool, streams: &mut Streams) -> Exit {
    let mut mistakes = read.mistakes;
    let generated = read.found.map(|found| generate::generate(&found.root));
    let generated = match generated {
        Some(Ok(generated)) if mistakes.errors() == 0 => generated,
        other => {
            let told = other.and_then(Result::err).unwrap_or_default();
            told.into_iter().for_each(|mistake| mistakes.push(mistake));
            streams.tell(&mistakes.sorted(), &read.sources);
            writeln!(streams.err, "nothing was written").ok();
            return Exit::Findings;
        }
    };
    streams.tell(&mistakes.sorted(), &read.sources);
    match generate::save(&generated, folder, force) {
        Ok(written) => {
            for path in &written {
                writeln!(streams.out, "wrote {}", path.display()).ok();
            }
            if written.is_empty() {
                writeln!(streams.out, "everything is there already").ok();
            }
            writeln!(streams.out, "serve it: myelin run {}", folder.display()).ok();
            let differences = generate::DIFFERENCES;
            writeln!(streams.out, "unlike `myelin mock`: {differences}").ok();
            Exit::Success
        }
        Err(reason) => {
            let help = if force { "" } else { "; --force writes over it" };
            writeln!(streams.err, "nothing was written: {reason}{help}").ok();
            Exit::Findings
        }
    }
}

/// What calls of the definition's operations need.
fn first_calls(definition: &Path) -> Vec<Call> {
    let found = gathered(definition).found;
    found.map_or_else(Vec::new, |found| calls::calls(&found))
}

/// So many operations are shown at the start.
const MOST_SHOWN: usize = 12;

fn block(definition: &Path, started: &Started, loaded: &Loaded) -> String {
    let mut lines = vec![format!(
        "myelin {} mocks {} at http://{}",
        env!("CARGO_PKG_VERSION"),
        definition.display(),
        started.http
    )];
    if !loaded.mistakes.is_empty() {
        lines.push(format!("  told    {}", summary(&loaded.mistakes)));
    }
    let first_calls = first_calls(definition);
    let mut shown = Vec::new();
    for api in loaded.deployment.iter().flat_map(|deployment| &deployment.apis) {
        for resource in &api.resources {
            let Mapping::Template(template) = &resource.mapping else {
                continue;
            };
            let method = resource.methods.names().next().unwrap_or("GET");
            let mut first_calls = first_calls.iter();
            let known = first_calls.find(|call| call.method == method && *call.path == **template.source());
            let (target, options) = match known {
                Some(call) => (call.target.clone(), call.options.as_str()),
                None => (run::filled(template.source()), ""),
            };
            let kind = match method {
                "GET" => String::new(),
                "HEAD" => "-I ".to_owned(),
                "POST" if options.contains(" -d ") => String::new(),
                method => format!("-X {method} "),
            };
            let url = run::url(started, &format!("{}{target}", api.context));
            let url = match url.contains(['?', '&']) {
                true => format!("'{url}'"),
                false => url,
            };
            shown.push(format!("curl -i {kind}{url}{options}"));
        }
    }
    let more = shown.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        lines.push(format!(
            "  has     {} operations, {more} more than are shown",
            shown.len()
        ));
    }
    lines.push("  prefer  -H 'Prefer: code=404', example=NAME, dynamic=true or wait=2".to_owned());
    for (index, line) in shown.into_iter().take(MOST_SHOWN).enumerate() {
        let word = if index == 0 { "try" } else { "" };
        lines.push(format!("  {word:<7} {line}"));
    }
    lines.join("\n") + "\n"
}
