//! Settings: a flag beats the environment, which beats `myelin.toml`, which beats a project's `deployment.toml`, which beats the default.

use super::backend_jwt::BackendJwtSettings;
use super::backend_settings::BackendSettings;
use super::deployment_toml;
use super::endpoint_settings::EndpointSettings;
use super::environments::Environment;
use super::mock_settings::MockSettings;
use super::script_settings::{ScriptSettings, Where};
use super::settings_reading::Reading;
use super::tokens::{IssuerSettings, KeysFrom};
use crate::deployment::LoadOptions;
use crate::deployment::cors::Cors;
use crate::deployment::folder::{self, ReadOptions};
use crate::deployment::guard::TokenRules;
use crate::deployment::openapi;
use crate::flow::AllowList;
use crate::flow::runtime::Timeouts;
use crate::message::json::convert::ConversionSettings;
use crate::message::payload::PayloadLimits;
use crate::text::{Diagnostic, Mistakes, Severity, Sources};
use crate::wire::limits::parse_duration;
use crate::wire::{ClientLimits, ServerLimits};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Made at the start where nobody says one.
    pub admin_token: Option<Secret>,
    /// Names by which the management may be called, beside those of this machine.
    pub admin_hosts: Vec<String>,
    pub tls: Option<TlsSettings>,
    pub watch: bool,
    pub watch_poll: bool,
    pub env_file: Option<PathBuf>,
    /// A filter such as `info` or `warn,myelin=debug`.
    pub log: String,
    pub log_format: LogFormat,
    /// Serve what is whole when some artifacts are broken.
    pub lenient: bool,
    /// Threads that serve; by default one a core.
    pub workers: usize,
    pub server: ServerLimits,
    pub client: ClientLimits,
    pub payload: PayloadLimits,
    pub conversion: ConversionSettings,
    /// How long an endpoint without a timeout of its own may take; `deployment.toml` says so.
    pub global_timeout: Option<Duration>,
    /// What holds where an endpoint says nothing of its own.
    pub endpoints: EndpointSettings,
    /// Where scripts run.
    pub script: ScriptSettings,
    /// Which definitions are mocks, and what may be asked of them.
    pub mock: MockSettings,
    /// Which pages of other origins may call APIs.
    pub cors: Cors,
    /// Where messages may go that say themselves where.
    pub allow: Option<Arc<AllowList>>,
    /// Whose tokens are taken.
    pub issuers: Vec<IssuerSettings>,
    /// Who has to present one.
    pub tokens: TokenRules,
    pub backends: BackendSettings,
    /// Backends get a token of ours.
    pub backend_jwt: Option<BackendJwtSettings>,
    pub environments: Vec<Environment>,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    pub listen: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// What one place says about the settings; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    pub listen: Option<SocketAddr>,
    pub listen_tls: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub admin_token: Option<Secret>,
    pub admin_hosts: Option<Vec<String>>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub watch: Option<bool>,
    pub watch_poll: Option<bool>,
    pub env_file: Option<PathBuf>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
    pub lenient: Option<bool>,
    pub grace: Option<Duration>,
    pub workers: Option<usize>,
    pub script_isolation: Option<Where>,
}

/// Settings, what is wrong with them, and the files they came from.
#[derive(Debug)]
pub struct LoadedSettings {
    pub settings: Settings,
    pub mistakes: Mistakes,
    pub sources: Sources,
    pub files: Vec<PathBuf>,
}

/// The values of one table of limits, by key; what comes later replaces what was there.
/// Reads the settings for the folder `root`. `flags` are the command line's and its environment's; of `environment` only the limits are
/// read. `file` is read instead of `myelin.toml`.
pub fn load(
    root: &Path,
    flags: Layer,
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> LoadedSettings {
    let mut sources = Sources::default();
    let mut mistakes = Mistakes::default();
    let mut files = Vec::new();
    let own = match file {
        Some(file) => Some(file.to_path_buf()),
        None => [root.join("myelin.toml"), PathBuf::from("myelin.toml")]
            .into_iter()
            .find(|path| path.is_file()),
    };
    let mut texts = Vec::new();
    for path in [own, folder::deployment_toml(root)] {
        let Some(path) = path else {
            texts.push(None);
            continue;
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
                texts.push(Some((sources.add(name, text.as_str()), text)));
            }
            Err(error) => {
                mistakes.push(
                    Diagnostic::new(
                        Severity::Error,
                        "E0100",
                        format!("the settings cannot be read: {error}"),
                    )
                    .in_file(path.to_string_lossy()),
                );
                texts.push(None);
            }
        }
        files.push(path);
    }
    let beside = files
        .first()
        .and_then(|path: &PathBuf| path.parent())
        .unwrap_or(root);
    let mut reading = Reading {
        mistakes,
        ..Reading::default()
    };
    let project_file = folder::deployment_toml(root);
    let beside_project = project_file.as_deref().and_then(Path::parent).unwrap_or(root);
    let project = texts[1].as_ref().map_or(Layer::default(), |(file, text)| {
        deployment_toml::read(*file, text, beside_project, &mut reading)
    });
    let own = texts[0].as_ref().map_or(Layer::default(), |(file, text)| {
        reading.own_file(*file, text, beside)
    });
    reading.environment(environment);
    let layer = flags.or(own);
    if layer.listen_tls.is_some() && layer.tls_cert.is_none() && layer.tls_key.is_none() {
        reading.tell(
            None,
            "E0110",
            "`listen-tls` needs `tls-cert` and `tls-key`".to_owned(),
        );
    }
    let settings = reading.settings(layer.or(project));
    LoadedSettings {
        settings,
        mistakes: reading.mistakes.sorted(),
        sources,
        files,
    }
}

/// Settings without any file: what the flags and the environment say.
pub fn bare(flags: Layer, environment: &BTreeMap<String, String>) -> LoadedSettings {
    let mut reading = Reading::default();
    reading.environment(environment);
    let settings = reading.settings(flags);
    LoadedSettings {
        settings,
        mistakes: reading.mistakes.sorted(),
        sources: Sources::default(),
        files: Vec::new(),
    }
}

impl Settings {
    /// How a folder is loaded with these settings.
    pub fn load_options(&self, environment: BTreeMap<String, String>) -> LoadOptions {
        LoadOptions {
            read: ReadOptions {
                environment,
                env_file: self.env_file.clone(),
                ..ReadOptions::default()
            },
            lenient: self.lenient,
            conversion: self.conversion.clone(),
            limits: self.payload.clone(),
            allow: self.allow.clone(),
            tokens: self.tokens.clone(),
            cors: self.cors.clone(),
            definitions: openapi::Rules {
                mocks: self.mock.definitions,
                ..openapi::Rules::default()
            },
            ..LoadOptions::default()
        }
    }

    /// Files of keys, which are read anew when they change.
    pub fn key_files(&self) -> Vec<PathBuf> {
        let file = |issuer: &IssuerSettings| match &issuer.keys {
            KeysFrom::Jwks(path) | KeysFrom::Certificate(path) => Some(path.clone()),
            KeysFrom::Url(_) => None,
        };
        let mut files: Vec<PathBuf> = self.issuers.iter().filter_map(file).collect();
        files.extend(self.backend_jwt.iter().flat_map(|settings| settings.keys.clone()));
        files
    }

    /// What an endpoint that says nothing waits for.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.client.connect,
            response: self.global_timeout.unwrap_or(self.client.response_headers),
        }
    }
}

impl Layer {
    /// What is said here, and where nothing is, what is said there.
    pub fn or(self, other: Layer) -> Layer {
        Layer {
            listen: self.listen.or(other.listen),
            listen_tls: self.listen_tls.or(other.listen_tls),
            admin: self.admin.or(other.admin),
            admin_token: self.admin_token.or(other.admin_token),
            admin_hosts: self.admin_hosts.or(other.admin_hosts),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            watch: self.watch.or(other.watch),
            watch_poll: self.watch_poll.or(other.watch_poll),
            env_file: self.env_file.or(other.env_file),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            lenient: self.lenient.or(other.lenient),
            grace: self.grace.or(other.grace),
            workers: self.workers.or(other.workers),
            script_isolation: self.script_isolation.or(other.script_isolation),
        }
    }
}

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<LogFormat, String> {
        match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err("this is `human` or `json`".to_owned()),
        }
    }
}

/// `127.0.0.1:8290`, `[::1]:8290`, `localhost:8290`, or a port on every address: `:8290`, `8290`.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let address = match host {
        "" | "*" => Some(Ipv4Addr::UNSPECIFIED),
        "localhost" => Some(Ipv4Addr::LOCALHOST),
        _ => None,
    };
    match (address, port.parse::<u16>()) {
        (Some(address), Ok(port)) => Ok(SocketAddr::from((address, port))),
        _ => Err("this is an address and a port, such as 127.0.0.1:8290".to_owned()),
    }
}

/// Names with commas between.
pub fn parse_names(text: &str) -> Result<Vec<String>, String> {
    Ok(names(text.split(',')))
}

pub(super) fn names<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let words = words.into_iter().map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// The secret itself, or `file:` and the file that holds it.
pub fn parse_secret(text: &str) -> Result<Secret, String> {
    secret_beside(text, Path::new(""))
}

pub(super) fn secret_beside(text: &str, folder: &Path) -> Result<Secret, String> {
    let secret = match text.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(folder.join(path))
            .map_err(|error| format!("the file cannot be read: {error}"))?,
        None => text.to_owned(),
    };
    let secret = secret.trim();
    // It is sent in a header.
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token is made of letters, digits and signs, without spaces".to_owned());
    }
    Ok(Secret(secret.to_owned()))
}

/// `30s`, `500ms`, `5m`, `1h`.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "this is a duration, such as 30s, 500ms or 5m".to_owned())
}

pub fn read_workers(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=1024).contains(count))
        .ok_or_else(|| "this is a number of threads, from 1 to 1024".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::render::one_plain;

    fn loaded(own: &str, flags: Layer, environment: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("myelin.toml"), own).unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let loaded = load(folder.path(), flags, None, &environment);
        let told = loaded
            .mistakes
            .iter()
            .map(|mistake| one_plain(mistake, &loaded.sources))
            .collect();
        (loaded.settings, told)
    }

    fn check_told(own: &str, expected: &[&str]) {
        let (_, told) = loaded(own, Layer::default(), &[]);
        assert_eq!(told, expected);
    }

    #[test]
    fn defaults_are_those_of_the_micro_integrator() {
        let (settings, told) = loaded("", Layer::default(), &[]);
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8290");
        assert_eq!(settings.admin.to_string(), "127.0.0.1:9164");
        assert!(settings.watch && !settings.lenient && settings.tls.is_none());
        assert_eq!(settings.server, ServerLimits::default());
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let own = "listen = \":1\"\nadmin = \"localhost:2\"\nwatch = false\nworkers = 3\ngrace = \"5s\"\n";
        let flags = Layer {
            listen: Some(parse_address("127.0.0.1:7").unwrap()),
            ..Layer::default()
        };
        let (settings, told) = loaded(own, flags, &[]);
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7");
        assert_eq!(settings.admin.to_string(), "127.0.0.1:2");
        assert_eq!((settings.watch, settings.workers), (false, 3));
        assert_eq!(settings.server.shutdown_grace, Duration::from_secs(5));
    }

    #[test]
    fn every_limit_is_a_setting_and_the_environment_beats_the_file() {
        let own = "[limits.server]\nbody-gap = \"10s\"\nheader-count = 50\nunderscore-headers = \"pass\"\n\
                   [limits.client]\nconnect = 500\n[limits.xml]\ntext = \"1MiB\"\n[limits.json]\ndepth = 9\n\
                   [limits.payload]\ntree = \"3MiB\"\n";
        let environment = [
            ("MYELIN_LIMITS_SERVER_BODY_GAP", "11s"),
            ("MYELIN_LIMITS_SERVER_HTTP2", "false"),
            ("MYELIN_LIMITS_SERVER_CONNECTIONS", "12"),
            ("MYELIN_LIMITS_XML_DEPTH", "7"),
            ("MYELIN_PORT", "tcp://10.0.0.1:80"),
        ];
        let (settings, told) = loaded(own, Layer::default(), &environment);
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(settings.server.body_gap, Duration::from_secs(11));
        assert_eq!(
            (settings.server.header_count, settings.server.connections),
            (50, 12)
        );
        assert!(!settings.server.http2);
        assert_eq!(settings.client.connect, Duration::from_millis(500));
        let payload = settings.payload;
        assert_eq!(
            (payload.xml.text, payload.xml.depth, payload.json.depth),
            (1 << 20, 7, 9)
        );
        assert_eq!(payload.tree, 3 << 20);
    }

    #[test]
    fn a_proxy_for_all_is_a_setting() {
        let own = "[proxy]\nurl = \"http://anna:s3cret@proxy.intern:3128\"\nno-proxy = \".corp\"\n";
        let (settings, told) = loaded(own, Layer::default(), &[]);
        assert_eq!(told, Vec::<String>::new());
        let proxy = settings.backends.proxy.unwrap();
        assert_eq!(format!("{:?}", proxy.proxy), "Some(Proxy(***@proxy.intern:3128))");
        assert_eq!(proxy.exceptions, ".corp");
        let (_, told) = loaded("[proxy]\nurl = \"socks://p\"\nuser = 1\n", Layer::default(), &[]);
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn what_endpoints_do_without_a_word_of_their_own_is_a_setting() {
        let own = "[endpoints]\nsuspend-duration = \"5s\"\nprogression-factor = 1.5\nmaximum-duration = 60_000\nqueue = 3\n";
        let environment = [
            ("MYELIN_ENDPOINTS_QUEUE", "4"),
            ("MYELIN_ENDPOINTS_DEADLINE", "20s"),
            ("MYELIN_ENDPOINTS_PORT", "tcp://10.0.0.1:80"),
        ];
        let (settings, told) = loaded(own, Layer::default(), &environment);
        assert_eq!(told, Vec::<String>::new());
        let endpoints = settings.endpoints;
        assert_eq!(endpoints.suspend_duration, Some(Duration::from_secs(5)));
        assert_eq!(endpoints.progression_factor, Some(1.5));
        assert_eq!(endpoints.maximum_duration, Some(Duration::from_secs(60)));
        assert_eq!(endpoints.queue, Some(4));
        assert_eq!(endpoints.deadline, Some(Duration::from_secs(20)));
        let (_, told) = loaded(
            "[endpoints]\nsuspend-duraton = 1\nin-flight = 0\n",
            Layer::default(),
            &[("MYELIN_ENDPOINTS_DEADLINE", "soon")],
        );
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(
            told.iter()
                .any(|told| told.contains("did you mean `suspend-duration`?"))
        );
    }

    #[test]
    fn switches_and_lists_stand_in_the_file_as_toml_has_them() {
        let (settings, told) = loaded(
            "[mock]\nmishaps = false\n[cors]\norigins = [\"https://a.example\", \"https://b.example\"]\ncredentials = true\n",
            Layer::default(),
            &[
                ("MYELIN_CORS_MAX_AGE", "60"),
                ("MYELIN_PROXY_URL", "http://proxy:3128"),
            ],
        );
        assert_eq!(told, Vec::<String>::new());
        assert!(!settings.mock.mishaps);
        let mut expected = Cors::default();
        for (key, value) in [
            ("origins", "https://a.example, https://b.example"),
            ("credentials", "true"),
            ("max-age", "60"),
        ] {
            expected.set(key, value).unwrap();
        }
        assert_eq!(settings.cors, expected);
        assert!(settings.backends.proxy.is_some_and(|proxy| proxy.proxy.is_some()));
        let (_, told) = loaded(
            "[cors]\norigins = \"*\"\ncredentials = true\nmax-age = 1.5\norigin = \"*\"\n",
            Layer::default(),
            &[],
        );
        assert_eq!(told.len(), 3, "{told:#?}");
    }

    #[test]
    fn the_allow_list_of_the_gateway_is_a_setting() {
        let (settings, told) = loaded(
            "[endpoints]\nallow = \"https://*.example.com, 10.0.0.0/8\"\n",
            Layer::default(),
            &[],
        );
        assert_eq!(told, Vec::<String>::new());
        let allow = settings.allow.as_ref().map(|list| list.to_string());
        assert_eq!(allow.as_deref(), Some("https://*.example.com 10.0.0.0/8"));
        assert!(settings.load_options(BTreeMap::new()).allow.is_some());
        let (settings, _) = loaded("", Layer::default(), &[("MYELIN_ENDPOINTS_ALLOW", "http://a")]);
        assert!(settings.allow.is_some());
        let (_, told) = loaded(
            "[endpoints]\nallow = \"http://a ftp://b\"\n",
            Layer::default(),
            &[("MYELIN_ENDPOINTS_ALLOW", "gopher://h")],
        );
        assert!(
            told[0].contains("`gopher://h` allows nothing")
                || told[1].contains("`gopher://h` allows nothing"),
            "{told:#?}"
        );
        assert!(
            told.iter().any(|told| told.contains("myelin.toml:2:19")),
            "{told:#?}"
        );
    }

    #[test]
    fn the_admin_token_may_stand_in_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), "s3cret-of-mine\n").unwrap();
        std::fs::write(
            folder.path().join("myelin.toml"),
            "admin-token = \"file:t\"\nadmin-hosts = [\"a.example\", \"b\"]\n",
        )
        .unwrap();
        let loaded = load(folder.path(), Layer::default(), None, &BTreeMap::new());
        assert_eq!(loaded.mistakes.errors(), 0, "{:?}", loaded.mistakes);
        let token = loaded.settings.admin_token.clone().unwrap();
        assert_eq!(token.expose(), "s3cret-of-mine");
        assert!(!format!("{:?}", loaded.settings).contains("s3cret"));
        assert_eq!(loaded.settings.admin_hosts, ["a.example", "b"]);
        check_told(
            "admin-token = \"\"\n",
            &[
                "error[E0110]: the value of `admin-token` does not fit\n   ┌─ myelin.toml:1:15\n 1 │ admin-token = \"\"\n   │               ^^ \
               a token is made of letters, digits and signs, without spaces\n",
            ],
        );
    }

    #[test]
    fn mistakes_are_shown_where_they_stand() {
        check_told(
            "lisen = 1\n",
            &[
                "error[E0109]: there is no setting `lisen`\n   ┌─ myelin.toml:1:1\n 1 │ lisen = 1\n   │ ^^^^^ unknown\n   \
               = help: did you mean `listen`?\n",
            ],
        );
        check_told(
            "[limits.server]\nbody-gab = \"1s\"\n",
            &[
                "error[E0109]: there is no setting `body-gab`\n   ┌─ myelin.toml:2:1\n 2 │ body-gab = \"1s\"\n   │ ^^^^^^^^ unknown\n   \
               = help: did you mean `body-gap`?\n",
            ],
        );
        let (_, told) = loaded(
            "listen = \"here\"\nwatch = 1\n[limits.server]\nbody-gap = \"soon\"\n[limits.client]\nconnect = true\n[limit]\n",
            Layer::default(),
            &[("MYELIN_LIMITS_SERVER_BODY_GAB", "1")],
        );
        let places: Vec<&str> = told
            .iter()
            .filter_map(|text| Some(text.split_once("myelin.toml:")?.1.split_once('\n')?.0))
            .collect();
        assert_eq!(places, ["1:10", "2:9", "4:12", "6:11", "7:2"]);
        assert_eq!(told.len(), 6, "{told:#?}");
    }

    #[test]
    fn a_broken_file_and_half_a_certificate_are_told() {
        let (_, told) = loaded("listen = \nadmin = \"x\"", Layer::default(), &[]);
        assert!(
            told[0].contains("this is not TOML") && told[0].contains("myelin.toml:1:"),
            "{told:?}"
        );
        let (_, told) = loaded("tls-cert = \"a.pem\"", Layer::default(), &[]);
        assert!(told[0].contains("`tls-cert` needs `tls-key`"));
        let (settings, told) = loaded(
            "tls-cert = \"a.pem\"\ntls-key = \"/b.pem\"",
            Layer::default(),
            &[],
        );
        assert_eq!(told, Vec::<String>::new());
        let tls = settings.tls.unwrap();
        assert_eq!(tls.listen.port(), 8253);
        assert!(tls.certificate.is_absolute() && tls.certificate.ends_with("a.pem"));
    }

    #[test]
    fn addresses_are_read_in_their_usual_spellings() {
        for (text, expected) in [
            ("8290", "0.0.0.0:8290"),
            (":0", "0.0.0.0:0"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::1]:2", "[::1]:2"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), expected);
        }
        assert!(parse_address("example.com:80").is_err());
        assert!(parse_address("127.0.0.1").is_err());
    }
}
