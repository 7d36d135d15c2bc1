//! Whose tokens are taken: the tables of the settings, and the keys they lead to, fetched in the background.

use super::settings_place::Place;
use crate::flow::token::keys::{KeySet, Keys};
use crate::flow::token::{Algorithm, Issuer, Kind, Tokens};
use crate::text::{Diagnostic, FileId, Mistakes, Span, suggest};
use crate::wire::client::{Client, ClientRequest};
use crate::wire::limits::ClientLimits;
use crate::wire::tls::ClientTls;
use crate::wire::url::Url;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// One `[[token]]` or `[[api-key]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    pub kind: Kind,
    pub issuer: String,
    pub keys: KeysFrom,
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub key_type_claim: String,
    pub scope_claim: String,
    pub scopes: Vec<String>,
    pub skew: Duration,
    pub header: HeaderName,
    pub keep: bool,
    /// Trusted beside the machine's roots when keys are fetched.
    pub roots: Option<PathBuf>,
    pub refresh: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub enum KeysFrom {
    Url(Url),
    Jwks(PathBuf),
    Certificate(PathBuf),
}

/// Each key of the table, and what it is for.
const KEYS: &[&str] = &[
    "issuer",
    "jwks",
    "certificate",
    "audience",
    "algorithms",
    "key-type-claim",
    "scope-claim",
    "scopes",
    "skew",
    "header",
    "keep-header",
    "ca",
    "refresh",
];

/// Secrets are left out: whoever can check a token with one can make tokens with it too.
const ALGORITHMS: &[&str] = &[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

const LARGEST_JWKS: usize = 1024 * 1024;
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// After an attempt that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

impl IssuerSettings {
    pub fn new(kind: Kind, issuer: String, keys: KeysFrom, algorithms: Vec<Algorithm>) -> IssuerSettings {
        IssuerSettings {
            kind,
            issuer,
            keys,
            audience: Vec::new(),
            algorithms,
            key_type_claim: "keytype".to_owned(),
            scope_claim: "scope".to_owned(),
            scopes: Vec::new(),
            skew: Duration::from_secs(60),
            header: match kind {
                Kind::AccessToken => header::AUTHORIZATION,
                Kind::ApiKey => HeaderName::from_static("apikey"),
            },
            keep: false,
            roots: None,
            refresh: Duration::from_secs(600),
        }
    }
}

/// Reads `[[token]]` or `[[api-key]]`.
pub(super) fn read(
    kind: Kind,
    file: FileId,
    value: &Spanned<DeValue<'_>>,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> Vec<IssuerSettings> {
    let name = match kind {
        Kind::AccessToken => "token",
        Kind::ApiKey => "api-key",
    };
    let tables = value.get_ref().as_array();
    let Some(tables) = tables.filter(|list| list.iter().all(|table| table.get_ref().is_table())) else {
        let span = Span::new(file, value.span());
        mistakes.push(Diagnostic::error(
            "E0110",
            span,
            format!("write `[[{name}]]`: there may be several"),
        ));
        return Vec::new();
    };
    tables
        .iter()
        .filter_map(|table| read_one(kind, file, table, folder, mistakes))
        .collect()
}

fn read_one(
    kind: Kind,
    file: FileId,
    table: &Spanned<DeValue<'_>>,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> Option<IssuerSettings> {
    let before = mistakes.errors();
    let mut issuer = None;
    let (mut jwks, mut certificate) = (None, None);
    let mut settings = IssuerSettings::new(kind, String::new(), KeysFrom::Jwks(PathBuf::new()), Vec::new());
    for (key, value) in table.get_ref().as_table()? {
        let mut place = Place::new(file, key.get_ref(), value, mistakes);
        match key.get_ref().as_ref() {
            "issuer" => issuer = place.text().map(str::to_owned),
            "jwks" => jwks = place.read(|text| keys_from(text, folder)),
            "certificate" => certificate = place.text().map(|path| KeysFrom::Certificate(folder.join(path))),
            "audience" => settings.audience = place.texts(),
            "algorithms" => {
                settings.algorithms = place
                    .texts()
                    .iter()
                    .filter_map(|name| place.take(algorithm(name)))
                    .collect();
            }
            "key-type-claim" => settings.key_type_claim = place.text()?.to_owned(),
            "scope-claim" => settings.scope_claim = place.text()?.to_owned(),
            "scopes" => settings.scopes = place.texts(),
            "skew" => settings.skew = place.read(skew)?,
            "header" => settings.header = place.read(read_header)?,
            "keep-header" => settings.keep = place.boolean()?,
            "ca" => settings.roots = place.text().map(|path| folder.join(path)),
            "refresh" => settings.refresh = place.read(refresh)?,
            unknown => {
                let span = Span::new(file, key.span());
                let mistake = Diagnostic::error("E0109", span, format!("there is no setting `{unknown}`"));
                let help = suggest::did_you_mean(unknown, KEYS.iter().copied());
                let help = help.unwrap_or_else(|| format!("the settings here are {}", KEYS.join(", ")));
                mistakes.push(mistake.label("unknown").help(help));
            }
        }
    }
    let mut missing = |what: &str| {
        let span = Span::new(file, table.span());
        mistakes.push(Diagnostic::error(
            "E0110",
            span,
            format!("this issuer needs {what}"),
        ));
    };
    match issuer {
        Some(issuer) => settings.issuer = issuer,
        None => missing("`issuer`: what `iss` is in its tokens, to the letter"),
    }
    match (jwks, certificate) {
        (Some(keys), None) | (None, Some(keys)) => settings.keys = keys,
        _ => missing("either `jwks` (an address or a file) or `certificate` (a file)"),
    }
    if settings.algorithms.is_empty() {
        missing("`algorithms`, such as [\"RS256\"]: they are never taken from a token");
    }
    (mistakes.errors() == before).then_some(settings)
}

pub(super) fn algorithm(name: &str) -> Result<Algorithm, String> {
    if !ALGORITHMS.contains(&name) {
        let help = suggest::did_you_mean(name, ALGORITHMS.iter().copied()).unwrap_or_default();
        return Err(
            format!("`{name}` is not one of {}; {help}", ALGORITHMS.join(", "))
                .trim_end_matches("; ")
                .to_owned(),
        );
    }
    Algorithm::from_str(name).map_err(|error| error.to_string())
}

/// An address or a file.
pub(super) fn keys_from(text: &str, folder: &Path) -> Result<KeysFrom, String> {
    if !text.contains("://") {
        return Ok(KeysFrom::Jwks(folder.join(text)));
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let host = text.split("://").nth(1).unwrap_or("");
    let host = host.split(['/', '?']).next().unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let near = name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if !text.to_ascii_lowercase().starts_with("https://") && !near {
        return Err("keys that come over plain http could be anybody's: use https, or a file".to_owned());
    }
    Ok(KeysFrom::Url(url))
}

fn skew(text: &str) -> Result<Duration, String> {
    let skew = super::settings::read_duration(text)?;
    (skew <= Duration::from_secs(3600))
        .then_some(skew)
        .ok_or_else(|| "clocks that differ by more than an hour should be set".to_owned())
}

fn refresh(text: &str) -> Result<Duration, String> {
    let refresh = super::settings::read_duration(text)?;
    (refresh >= Duration::from_secs(1))
        .then_some(refresh)
        .ok_or_else(|| "this is a duration of a second or more".to_owned())
}

fn read_header(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "this is the name of a header".to_owned())
}

/// What the settings have become: the issuers for those who check tokens, and the keys for those who look after them.
pub struct Opened {
    pub tokens: Tokens,
    pub keepers: Keepers,
}

/// Keys that change while the gateway runs.
#[derive(Debug, Default)]
pub struct Keepers {
    files: Vec<(Arc<Keys>, KeysFrom)>,
    remote: Vec<(Arc<Keys>, Url, Option<PathBuf>, Duration)>,
}

/// Reads the files of keys. A file that cannot be read refuses the start.
pub fn open(settings: &[IssuerSettings]) -> Result<Opened, String> {
    let mut tokens = Tokens::default();
    let mut keepers = Keepers::default();
    for settings in settings {
        let keys = match &settings.keys {
            KeysFrom::Url(url) => {
                let keys = Keys::remote();
                keepers.remote.push((
                    Arc::clone(&keys),
                    url.clone(),
                    settings.roots.clone(),
                    settings.refresh,
                ));
                keys
            }
            file => {
                let keys = Keys::of(read_file(file)?);
                keepers.files.push((Arc::clone(&keys), file.clone()));
                keys
            }
        };
        tokens.issuers.push(Issuer {
            name: Arc::from(settings.issuer.as_str()),
            kind: settings.kind,
            header: settings.header.clone(),
            audience: settings.audience.clone(),
            algorithms: settings.algorithms.clone(),
            keys,
            key_type_claim: settings.key_type_claim.clone(),
            scope_claim: settings.scope_claim.clone(),
            scopes: settings.scopes.clone(),
            skew: settings.skew,
            keep: settings.keep,
        });
    }
    Ok(Opened { tokens, keepers })
}

fn read_file(from: &KeysFrom) -> Result<KeySet, String> {
    type Read = fn(&[u8]) -> Result<KeySet, String>;
    let (path, read) = match from {
        KeysFrom::Jwks(path) => (path, KeySet::of_jwks as Read),
        KeysFrom::Certificate(path) => (path, KeySet::of_pem as Read),
        KeysFrom::Url(_) => return Err("this is no file".to_owned()),
    };
    let told = |reason: String| format!("{}: {reason}", path.display());
    let text = std::fs::read(path).map_err(|error| told(error.to_string()))?;
    read(&text).map_err(told)
}

impl Keepers {
    /// Reads changed files anew. What cannot be read stays as it was.
    pub fn reload(&self) -> Result<(), String> {
        let mut failed = Ok(());
        for (keys, file) in &self.files {
            match read_file(file) {
                Ok(set) => keys.replace(set),
                Err(reason) => failed = Err(reason),
            }
        }
        failed
    }

    /// A thread of its own for what is fetched, if anything is.
    pub fn start(&self, limits: &ClientLimits) -> Result<(), String> {
        if self.remote.is_empty() {
            return Ok(());
        }
        let mut sources = Vec::new();
        for (keys, url, roots, refresh) in &self.remote {
            let tls = ClientTls::new(roots.as_deref()).map_err(|error| error.to_string())?;
            sources.push((Arc::clone(keys), url.clone(), tls, *refresh));
        }
        let limits = limits.clone();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "Keys of tokens cannot be fetched."),
            };
            let local = tokio::task::LocalSet::new();
            let tasks = sources.into_iter().map(|(keys, url, tls, refresh)| {
                let client = Client::new(limits.clone(), tls);
                async move { look_after(&keys, &url, &client, refresh).await }
            });
            local.block_on(&runtime, async { futures_util::future::join_all(tasks).await });
        };
        std::thread::Builder::new()
            .name("token-keys".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|error| format!("threads cannot be started: {error}"))
    }
}

/// Fetches keys at once, when their time has come, and when a token names one that is not there.
async fn look_after(keys: &Keys, url: &Url, client: &Client, refresh: Duration) {
    loop {
        keys.begin();
        let fetched = tokio::time::timeout(FETCH_WITHIN, fetch(url, client)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let pause = if fetched.is_ok() { refresh } else { AGAIN_AFTER };
        if let Err(reason) = &fetched {
            tracing::warn!(%url, reason, "The keys of an issuer cannot be fetched; those that are there stay.");
        }
        keys.end(fetched.ok());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = keys.asked() => {}
        }
    }
}

async fn fetch(url: &Url, client: &Client) -> Result<KeySet, String> {
    let mut request = ClientRequest::new(Method::GET, url.clone());
    request
        .headers
        .insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    if answer.status != StatusCode::OK {
        return Err(format!("it answered {}", answer.status));
    }
    let (body, _) = answer
        .body
        .collect(LARGEST_JWKS)
        .await
        .map_err(|error| error.message)?;
    KeySet::of_jwks(&body)
}
