//! `myelin run`: serves a folder until it is told to stop.

use super::signals::Signals;
use super::{Exit, Streams, log, summary};
use crate::admin;
use crate::deployment::api::{Mapping, Version};
use crate::deployment::folder::ReadOptions;
use crate::deployment::uri_template::UrlMapping;
use crate::deployment::{self, Counts, Deployment, LoadOptions, Loaded};
use crate::gateway::Gateway;
use crate::gateway::reload::{Outcome, Reload, Status, Target};
use crate::gateway::script_settings::{Where, parse_where};
use crate::gateway::settings::{
    self, Layer, LoadedSettings, LogFormat, Secret, Settings, parse_address, parse_names, parse_secret,
    read_duration, read_workers,
};
use crate::text::render;
use clap::Args;
use clap::builder::BoolishValueParser;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// An alias, since clap takes a `Vec` for a flag that may be given several times.
type Names = Vec<String>;

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
    /// Where health is asked for, and endpoints are managed [default: 127.0.0.1:9164]
    #[arg(long, value_name = "ADDR", value_parser = parse_address, env = "MYELIN_ADMIN", hide_env_values = true)]
    admin: Option<SocketAddr>,
    /// What opens the management, or file: and the file that holds it [default: one is made for this run]
    #[arg(long, value_name = "TOKEN", value_parser = parse_secret, env = "MYELIN_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<Secret>,
    /// Names by which the management may be called, beside those of this machine
    #[arg(long, value_name = "NAME,…", value_parser = parse_names, env = "MYELIN_ADMIN_HOSTS", hide_env_values = true)]
    admin_hosts: Option<Names>,
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
    /// Where scripts run: process, or thread for those who trust theirs [default: process]
    #[arg(long, value_name = "WHERE", value_parser = parse_where, env = "MYELIN_SCRIPT_ISOLATION", hide_env_values = true)]
    script_isolation: Option<Where>,
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
            admin_token: self.admin_token.clone(),
            admin_hosts: self.admin_hosts.clone(),
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
            script_isolation: self.script_isolation,
        }
    }
}

/// A gateway that serves.
pub struct Started {
    pub http: SocketAddr,
    pub https: Option<SocketAddr>,
    pub admin: SocketAddr,
    /// The address that clients are told.
    pub public: Option<String>,
    pub swap: Box<dyn FnMut(Arc<Deployment>) + Send>,
    pub reload_certificates: Box<dyn FnMut() -> Result<(), String> + Send>,
    /// Takes no new requests and ends those that are there; how many connections had to be cut.
    pub drain: Box<dyn FnOnce() -> usize + Send>,
}

pub fn run(arguments: Arguments, streams: &mut Streams) -> Exit {
    let root = arguments.folder.clone().unwrap_or_else(|| PathBuf::from("."));
    let environment = ReadOptions::from_environment().environment;
    let LoadedSettings {
        mut settings,
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
        let what = format!("{} in the settings", summary(&mistakes));
        return refused(&what, streams);
    }
    // This very program, also when its file has been replaced.
    settings.script.program = Some(PathBuf::from("/proc/self/exe"));
    if let Err(reason) = log::start(&settings.log, settings.log_format) {
        return refused(&reason, streams);
    }
    let options = settings.load_options(environment);
    serve(&root, settings, files, options, run_block, streams)
}

/// Serves until it is told to stop. `block` says what one needs to know at the start.
pub(super) fn serve(
    root: &Path,
    settings: Settings,
    settings_files: Vec<PathBuf>,
    options: LoadOptions,
    block: fn(&Path, &Started, &Loaded) -> String,
    streams: &mut Streams,
) -> Exit {
    let reload = Reload {
        roots: vec![root.to_path_buf()],
        options,
        settings: settings.clone(),
        settings_files,
    };
    let stamp = reload.stamp();
    let loaded = deployment::load(&reload.roots, &reload.options);
    streams.tell(&loaded.mistakes, &loaded.sources);
    let Some(deployment) = loaded.deployment.clone() else {
        // Of one definition nothing is left to be served.
        let advice = if reload.options.definitions.all {
            ""
        } else {
            "; --lenient serves what is whole"
        };
        let what = format!("{}{advice}", summary(&loaded.mistakes));
        return refused(&what, streams);
    };
    let status = Arc::new(Status::default());
    status.succeeded(deployment.generation);
    // Whoever sees it serve may send it a signal at once.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return refused(&format!("signals cannot be received: {error}"), streams),
    };
    let started = match start(&settings, deployment, &status) {
        Ok(started) => started,
        Err(reason) => return refused(&reason, streams),
    };
    write!(streams.out, "{}", block(root, &started, &loaded)).ok();
    streams.out.flush().ok();
    let reporter = Reporter {
        swap: started.swap,
        reload_certificates: started.reload_certificates,
        format: settings.log_format,
        colour: streams.colour_err,
    };
    let watcher = match reload.start(stamp, status, reporter) {
        Ok(watcher) => watcher,
        Err(error) => return refused(&format!("changes cannot be watched: {error}"), streams),
    };
    match signals.wait(watcher.trigger(), started.drain) {
        Ok(exit) => exit,
        Err(error) => refused(&format!("it cannot end as it should: {error}"), streams),
    }
}

pub(super) fn refused(reason: &str, streams: &mut Streams) -> Exit {
    writeln!(streams.err, "not started: {reason}").ok();
    Exit::Refused
}

/// What one needs to know at the start, and the first request to try.
fn run_block(root: &Path, started: &Started, loaded: &Loaded) -> String {
    let mut lines = vec![
        format!(
            "myelin {} serves {} ({})",
            env!("CARGO_PKG_VERSION"),
            root.display(),
            loaded.layout.describe()
        ),
        format!("  http    http://{}", started.http),
    ];
    if let Some(https) = started.https {
        lines.push(format!("  https   https://{https}"));
    }
    if let Some(public) = &started.public {
        lines.push(format!("  public  {public}"));
    }
    lines.push(format!("  health  http://{}/healthz", started.admin));
    lines.push(format!("  has     {}", artifacts(loaded.counts)));
    if !loaded.mistakes.is_empty() {
        lines.push(format!("  told    {}", summary(&loaded.mistakes)));
    }
    if loaded.mistakes.errors() > 0 {
        lines.push("  broken  artifacts with errors answer 503 (--lenient)".to_owned());
    }
    let request = loaded
        .deployment
        .as_ref()
        .and_then(|deployment| first_request(deployment));
    if let Some((options, path)) = request {
        lines.push(format!("  try     curl -i {options}{}", url(started, &path)));
    }
    lines.join("\n") + "\n"
}

/// The address of a path, for a shell.
pub(super) fn url(started: &Started, path: &str) -> String {
    let host = if started.http.ip().is_unspecified() {
        format!("localhost:{}", started.http.port())
    } else {
        started.http.to_string()
    };
    let url = format!("http://{host}{path}");
    // A shell reads more into these than is meant.
    if url.contains(['?', '&', '*', ' ', '\'', '$', '(', ';']) {
        format!("'{}'", url.replace('\'', "'\\''"))
    } else {
        url
    }
}

/// Says on the log what became of a change; mistakes are shown to people as `check` shows them.
struct Reporter {
    swap: Box<dyn FnMut(Arc<Deployment>) + Send>,
    reload_certificates: Box<dyn FnMut() -> Result<(), String> + Send>,
    format: LogFormat,
    colour: bool,
}

impl Target for Reporter {
    fn swap(&mut self, deployment: Arc<Deployment>) {
        (self.swap)(deployment);
    }

    fn reload_certificates(&mut self) -> Result<(), String> {
        (self.reload_certificates)()
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Swapped { loaded, took, change } => {
                let generation = loaded
                    .deployment
                    .as_ref()
                    .map_or(0, |deployment| deployment.generation);
                // `./` in the middle is left out.
                let paths = change.paths.iter();
                let paths = paths.map(|path| path.components().collect::<PathBuf>());
                let paths = paths.map(|path| path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path));
                let changed: Vec<String> = paths.map(|path| path.display().to_string()).collect();
                let changed = changed.join(", ");
                tracing::info!(
                    generation,
                    serving = artifacts(loaded.counts),
                    told = summary(&loaded.mistakes),
                    millis = took.as_millis() as u64,
                    changed,
                    "reloaded"
                );
                if self.format == LogFormat::Human {
                    self.show(loaded);
                }
            }
            Outcome::Kept(loaded) => {
                match self.format {
                    LogFormat::Human => self.show(loaded),
                    LogFormat::Json => {
                        for mistake in loaded.mistakes.iter() {
                            let place = mistake.span.map(|span| loaded.sources.place_text(span));
                            tracing::error!(
                                code = mistake.code,
                                place = place.or_else(|| mistake.file.clone()).unwrap_or_default(),
                                help = mistake.help.as_deref().unwrap_or_default(),
                                "{}",
                                mistake.message
                            );
                        }
                    }
                }
                tracing::error!(
                    told = summary(&loaded.mistakes),
                    "the changed files are not taken up: what was there before goes on serving"
                );
            }
            Outcome::CertificateKept(reason) => {
                tracing::error!(
                    reason,
                    "the certificate cannot be read: the old one goes on serving"
                );
            }
            Outcome::SettingsChanged(file) => {
                tracing::warn!(
                    file = %file.display(),
                    "settings have changed: they take effect at the next start"
                );
            }
        }
    }
}

impl Reporter {
    fn show(&self, loaded: &Loaded) {
        let text = render::human(&loaded.mistakes, &loaded.sources, self.colour);
        std::io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}

fn start(settings: &Settings, deployment: Arc<Deployment>, status: &Arc<Status>) -> Result<Started, String> {
    let gateway = Arc::new(Gateway::start(settings, deployment, Arc::clone(status))?);
    let admin = admin::start(settings, gateway.shared())?;
    let (for_swap, for_certificates, for_drain) =
        (Arc::clone(&gateway), Arc::clone(&gateway), Arc::clone(&gateway));
    Ok(Started {
        http: gateway.http,
        public: gateway.public_url().map(str::to_owned),
        https: gateway.https,
        admin: admin.address,
        swap: Box::new(move |deployment| for_swap.swap(deployment)),
        reload_certificates: Box::new(move || for_certificates.reload_certificates()),
        drain: Box::new(move || {
            let cut = for_drain.drain();
            admin.forget_token();
            cut
        }),
    })
}

/// Options and path of a request that something answers: an API, else a proxy, else `main`.
fn first_request(deployment: &Deployment) -> Option<(String, String)> {
    for api in deployment
        .apis
        .iter()
        .filter(|api| api.broken.is_none() && api.transports.http && !api.is_blocked() && !api.is_retired())
    {
        let served = || api.resources.iter().filter(|resource| resource.transports.http);
        let get = http::Method::GET;
        let Some(resource) = served()
            .find(|resource| resource.methods.accept(&get))
            .or_else(|| served().next())
        else {
            continue;
        };
        let version = match &api.version {
            Some(Version::Url(version)) => format!("/{version}"),
            _ => String::new(),
        };
        let below = match &resource.mapping {
            Mapping::Default => String::new(),
            Mapping::Url(UrlMapping::Exact(path)) => path.to_string(),
            Mapping::Url(UrlMapping::Prefix(segments)) => format!("/{}", segments.join("/")),
            Mapping::Url(UrlMapping::Extension(extension)) => format!("/example{extension}"),
            Mapping::Template(template) => filled(template.source()),
        };
        let path = format!("{}{version}{below}", api.context);
        let path = if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        };
        let options = if resource.methods.accept(&get) {
            String::new()
        } else {
            let method = resource
                .methods
                .names()
                .find(|name| *name != "OPTIONS")
                .unwrap_or("OPTIONS");
            match method {
                "HEAD" => "-I ".to_owned(),
                method => format!("-X {method} "),
            }
        };
        return Some((options, path));
    }
    let proxy = deployment
        .proxies
        .iter()
        .find(|proxy| proxy.broken.is_none() && proxy.started && proxy.transports.http);
    if let Some(proxy) = proxy {
        let query = if proxy.wsdl.is_some() { "?wsdl" } else { "" };
        return Some((String::new(), format!("/services/{}{query}", proxy.name)));
    }
    deployment.handlers.main.map(|_| (String::new(), "/".to_owned()))
}

/// A URI template with an example in the place of each variable; those of the query are left out.
pub(super) fn filled(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let Some((variable, after)) = after.split_once('}') else {
            break;
        };
        match variable.chars().next() {
            Some('?' | '&' | '#') => {}
            Some('/') => path.push_str("/1"),
            _ => path.push('1'),
        }
        rest = after;
    }
    path.push_str(rest);
    path.trim_end_matches('*').to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check_block(files: &[(&str, &str)], expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for (name, inner) in files {
            let text = inner.replacen(' ', " xmlns=\"http://ws.apache.org/ns/synapse\" ", 1);
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let loaded = deployment::load(&[folder.path().to_path_buf()], &Default::default());
        assert!(loaded.deployment.is_some(), "{:?}", loaded.mistakes);
        let started = Started {
            public: None,
            http: "0.0.0.0:8290".parse().unwrap(),
            https: None,
            admin: "127.0.0.1:9164".parse().unwrap(),
            swap: Box::new(|_| {}),
            reload_certificates: Box::new(|| Ok(())),
            drain: Box::new(|| 0),
        };
        let text = run_block(Path::new("orders"), &started, &loaded);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert!(
            text.starts_with("myelin 0.1.0 serves orders (plain folder)\n  http    http://0.0.0.0:8290\n")
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_block_ends_with_a_request_that_is_answered() {
        let api = "<api name='Orders' context='/orders'>\
            <resource methods='POST'><inSequence><respond/></inSequence></resource>\
            <resource methods='GET' uri-template='/{id}/lines?from={from}'><inSequence><respond/></inSequence></resource></api>";
        check_block(
            &[("a.xml", api), ("b.xml", "<sequence name='main'/>")],
            &[
                "  has     1 API and 1 sequence",
                "  try     curl -i 'http://localhost:8290/orders/1/lines?from=1'",
            ],
        );
        check_block(
            &[(
                "a.xml",
                "<api name='A' context='/a'><resource methods='POST'><inSequence><respond/></inSequence></resource></api>",
            )],
            &[
                "  has     1 API",
                "  try     curl -i -X POST http://localhost:8290/a",
            ],
        );
        check_block(
            &[(
                "a.xml",
                "<proxy name='P'><target><inSequence><respond/></inSequence></target></proxy>",
            )],
            &[
                "  has     1 proxy",
                "  try     curl -i http://localhost:8290/services/P",
            ],
        );
        check_block(
            &[("a.xml", "<sequence name='main'/>")],
            &["  has     1 sequence", "  try     curl -i http://localhost:8290/"],
        );
        check_block(&[], &["  has     no artifacts"]);
    }

    #[test]
    fn examples_stand_in_the_place_of_variables() {
        for (template, expected) in [
            ("/{id}", "/1"),
            ("/a/{b}/{+c}*", "/a/1/1"),
            ("/a{?q,r}", "/a"),
            ("/a{/b}", "/a/1"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(filled(template), expected);
        }
    }
}
