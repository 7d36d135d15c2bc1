//! `myelin run`: serves a folder until it is told to stop.

use super::{Exit, Streams, log, summary};
use crate::deployment::folder::ReadOptions;
use crate::deployment::{self, Counts};
use crate::gateway::settings::{
    self, Layer, LoadedSettings, LogFormat, parse_address, read_duration, read_workers,
};
use clap::Args;
use clap::builder::BoolishValueParser;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The flags, each with its environment variable. What is not said here may be said in `myelin.toml`, under the same name.
#[derive(Args, Default)]
pub struct Arguments {
    /// The folder to serve, or an archive (.car); the current folder by default
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Where clients call [default: 0.0.0.0:8290]
    #[arg(long, value_name = "ADDR", value_parser = parse_address, env = "MYELIN_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,
    /// Where clients call over TLS [default: 0.0.0.0:8253 when there is a certificate]
    #[arg(long, value_name = "ADDR", value_parser = parse_address, env = "MYELIN_LISTEN_TLS", hide_env_values = true)]
    listen_tls: Option<SocketAddr>,
    /// Certificates in PEM, the server's first
    #[arg(long, value_name = "FILE", env = "MYELIN_TLS_CERT", hide_env_values = true)]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", env = "MYELIN_TLS_KEY", hide_env_values = true)]
    tls_key: Option<PathBuf>,
    /// Where health is asked for [default: 127.0.0.1:9164]
    #[arg(long, value_name = "ADDR", value_parser = parse_address, env = "MYELIN_ADMIN", hide_env_values = true)]
    admin: Option<SocketAddr>,
    /// Take up changed files while running [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new(), env = "MYELIN_WATCH", hide_env_values = true)]
    watch: Option<bool>,
    /// Leave changed files until SIGHUP
    #[arg(long, overrides_with = "watch")]
    no_watch: bool,
    /// Look for changes every second instead of waiting for events
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new(), env = "MYELIN_WATCH_POLL", hide_env_values = true)]
    watch_poll: Option<bool>,
    /// Variables for $SYSTEM: and ${configs.}, one NAME=value a line; the environment wins [default: DIR/.env]
    #[arg(long, value_name = "FILE", env = "MYELIN_ENV_FILE", hide_env_values = true)]
    env_file: Option<PathBuf>,
    /// Serve what is whole and answer 503 for the rest, instead of refusing to start
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new(), env = "MYELIN_LENIENT", hide_env_values = true)]
    lenient: Option<bool>,
    /// What to log: a level, or levels by part, such as warn,myelin::wire=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "MYELIN_LOG", hide_env_values = true)]
    log: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT", value_parser = LogFormat::from_str, env = "MYELIN_LOG_FORMAT", hide_env_values = true)]
    log_format: Option<LogFormat>,
    /// How long requests may go on after SIGTERM [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = read_duration, env = "MYELIN_GRACE", hide_env_values = true)]
    grace: Option<Duration>,
    /// Threads that serve [default: one a core]
    #[arg(long, value_name = "N", value_parser = read_workers, env = "MYELIN_WORKERS", hide_env_values = true)]
    workers: Option<usize>,
    /// Settings [default: DIR/myelin.toml, then ./myelin.toml]
    #[arg(long, value_name = "FILE", env = "MYELIN_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl Arguments {
    fn layer(&self) -> Layer {
        Layer {
            listen: self.listen,
            listen_tls: self.listen_tls,
            admin: self.admin,
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            watch: if self.no_watch { Some(false) } else { self.watch },
            watch_poll: self.watch_poll,
            env_file: self.env_file.clone(),
            log: self.log.clone(),
            log_format: self.log_format,
            lenient: self.lenient,
            grace: self.grace,
            workers: self.workers,
        }
    }
}

pub fn run(arguments: Arguments, streams: &mut Streams) -> Exit {
    let root = arguments.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let environment = ReadOptions::from_environment().environment;
    let LoadedSettings {
        settings,
        mistakes,
        sources,
        files,
    } = settings::load(
        &root,
        arguments.layer(),
        arguments.config.as_deref(),
        &environment,
    );
    streams.tell(&mistakes, &sources);
    if mistakes.errors() > 0 {
        writeln!(streams.err, "not started: {} in the settings", summary(&mistakes)).ok();
        return Exit::Refused;
    }
    if let Err(reason) = log::start(&settings.log, settings.log_format) {
        writeln!(streams.err, "not started: {reason}").ok();
        return Exit::Refused;
    }
    let options = settings.load_options(environment);
    let loaded = deployment::load(std::slice::from_ref(&root), &options);
    streams.tell(&loaded.mistakes, &loaded.sources);
    if loaded.deployment.is_none() {
        writeln!(
            streams.err,
            "not started: {}; --lenient serves what is whole",
            summary(&loaded.mistakes)
        )
        .ok();
        return Exit::Refused;
    }
    drop(files);
    writeln!(streams.err, "not started: there is no gateway in this build").ok();
    Exit::Refused
}

/// `2 APIs, 1 proxy and 14 sequences`
pub fn artifacts(counts: Counts) -> String {
    let parts: Vec<String> = [
        (counts.apis, "API", "APIs"),
        (counts.proxies, "proxy", "proxies"),
        (counts.sequences, "sequence", "sequences"),
        (counts.endpoints, "endpoint", "endpoints"),
        (counts.templates, "template", "templates"),
        (counts.local_entries, "local entry", "local entries"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
    .collect();
    match parts.as_slice() {
        [] => "no artifacts".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
