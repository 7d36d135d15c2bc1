//! `myelin script-worker`: what the gateway starts for its scripts. Not for people.

use super::{Exit, Streams};
use clap::Args;
use std::io::Write;

#[derive(Args)]
pub struct Arguments {
    /// Bytes that scripts may use
    #[arg(long, value_name = "BYTES")]
    memory: u64,
}

pub fn run(arguments: &Arguments, streams: &mut Streams) -> Exit {
    match crate::script::js::serve(arguments.memory) {
        Ok(()) => Exit::Success,
        Err(reason) => {
            writeln!(streams.err, "{reason}").ok();
            Exit::Findings
        }
    }
}
