//! The command line: one file a command.

mod check;
mod endpoint;
mod explain;
mod log;
mod management;
mod mock;
mod run;
mod script;
mod script_worker;
mod signals;
mod store;

use crate::text::{Mistakes, Severity, Sources, render};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// What a command came to. The numbers are other programs' business: they stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// `check` found something; what was asked for could not be done.
    Findings = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The configuration is refused at start.
    Refused = 78,
    Interrupted = 130,
}

/// Where results go, and where talk goes.
pub struct Streams {
    pub out: Box<dyn Write>,
    pub err: Box<dyn Write>,
    pub colour_out: bool,
    pub colour_err: bool,
}

#[derive(Parser)]
#[command(
    name = "myelin",
    version,
    about = "Mediates messages as Apache Synapse XML says, and serves them over HTTP.",
    after_help = "Without a command, `myelin [DIR]` runs; `myelin -t [DIR]` checks.\n\
                  Exit codes: 0 success, 1 findings, 2 usage, 78 configuration refused, 130 interrupted.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a folder (the default)
    Run(Box<run::Arguments>),
    /// Tells what is wrong with a folder, or with single files
    #[command(visible_alias = "validate")]
    Check(check::Arguments),
    /// Shows how endpoints are, and switches them off and on
    Endpoint(endpoint::Arguments),
    /// Serves an OpenAPI definition from its examples, or writes it as an API with scripts
    Mock(mock::Arguments),
    /// Prints the page of an element, or what the code of a mistake means
    Explain(explain::Arguments),
    /// Shows what scripts have spent
    Script(script::Arguments),
    /// Shows what scripts keep between requests, and forgets it
    Store(store::Arguments),
    /// Runs scripts for the gateway that has started it
    #[command(hide = true)]
    ScriptWorker(script_worker::Arguments),
}

pub fn main() -> ExitCode {
    let mut streams = Streams {
        colour_out: log::wants_colour(&std::io::stdout()),
        colour_err: log::wants_colour(&std::io::stderr()),
        out: Box::new(std::io::stdout()),
        err: Box::new(std::io::stderr()),
    };
    let exit = start(std::env::args_os().collect(), &mut streams);
    // Whoever has stopped reading wants no more.
    streams.out.flush().ok();
    ExitCode::from(exit as u8)
}

fn start(mut arguments: Vec<OsString>, streams: &mut Streams) -> Exit {
    // As `nginx -t`.
    if arguments.get(1).is_some_and(|first| first == "-t") {
        arguments[1] = "check".into();
    }
    let arguments = match CommandLine::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let (stream, colour) = if is_asked_for {
                (&mut streams.out, streams.colour_out)
            } else {
                (&mut streams.err, streams.colour_err)
            };
            let text = error.render();
            if colour {
                write!(stream, "{}", text.ansi()).ok();
            } else {
                write!(stream, "{text}").ok();
            }
            return if is_asked_for { Exit::Success } else { Exit::Usage };
        }
    };
    match arguments.command {
        Some(Command::Run(arguments)) => run::run(*arguments, streams),
        Some(Command::Check(arguments)) => check::run(arguments, streams),
        Some(Command::Endpoint(arguments)) => endpoint::run(&arguments, streams),
        Some(Command::Mock(arguments)) => mock::run(&arguments, streams),
        Some(Command::Explain(arguments)) => explain::run(&arguments, streams),
        Some(Command::Script(arguments)) => script::run(&arguments, streams),
        Some(Command::Store(arguments)) => store::run(&arguments, streams),
        Some(Command::ScriptWorker(arguments)) => script_worker::run(&arguments, streams),
        None => run::run(arguments.run, streams),
    }
}

impl Streams {
    fn tell(&mut self, mistakes: &Mistakes, sources: &Sources) {
        write!(self.err, "{}", render::human(mistakes, sources, self.colour_err)).ok();
    }
}

/// `2 errors and 1 warning`
fn summary(mistakes: &Mistakes) -> String {
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    };
    let notes = mistakes
        .iter()
        .filter(|mistake| mistake.severity == Severity::Note)
        .count();
    let parts: Vec<String> = [
        (mistakes.errors(), "error"),
        (mistakes.warnings(), "warning"),
        (notes, "note"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| count(number, word))
    .collect();
    match parts.as_slice() {
        [] => "no mistakes".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
