//! Reads the command line, runs the command, turns failure into an exit code.

fn main() {}
