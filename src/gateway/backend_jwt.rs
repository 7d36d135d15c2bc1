//! `[backend-jwt]` of the settings: the token that backends get, and the keys that sign it.

use super::settings_place::Place;
use super::tokens::algorithm;
use crate::flow::backend_jwt::{BackendJwt, Encoding, Rules, SigningKeys};
use crate::flow::token::Algorithm;
use crate::text::{Diagnostic, FileId, Mistakes, Span, suggest};
use http::HeaderName;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendJwtSettings {
    pub enabled: bool,
    pub rules: Rules,
    /// The first signs; all are shown.
    pub keys: Vec<PathBuf>,
}

const KEYS: &[&str] = &[
    "enable",
    "header",
    "encoding",
    "algorithm",
    "key",
    "key-id",
    "dialect",
    "issuer",
    "ttl",
    "user-claims",
    "convert-dialect",
    "excluded-claims",
];

/// Reads the table over what another place has said already.
pub(super) fn read(
    before: Option<BackendJwtSettings>,
    file: FileId,
    value: &Spanned<DeValue<'_>>,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> Option<BackendJwtSettings> {
    let Some(table) = value.get_ref().as_table() else {
        let span = Span::new(file, value.span());
        mistakes.push(Diagnostic::error(
            "E0110",
            span,
            "write `[backend-jwt]`: it is a table",
        ));
        return before;
    };
    let mut settings = before.unwrap_or_else(|| BackendJwtSettings {
        enabled: true,
        rules: Rules::default(),
        keys: Vec::new(),
    });
    settings.enabled = true;
    let rules = &mut settings.rules;
    for (key, value) in table {
        let mut place = Place::new(file, key.get_ref(), value, mistakes);
        match key.get_ref().as_ref() {
            "enable" => settings.enabled = place.boolean().unwrap_or(true),
            "header" => rules.header = place.read(header).unwrap_or(rules.header.clone()),
            "encoding" => rules.encoding = place.read(encoding).unwrap_or(rules.encoding),
            "algorithm" => rules.algorithm = place.read(signing).unwrap_or(rules.algorithm),
            "key" => settings.keys = place.texts().iter().map(|path| folder.join(path)).collect(),
            "key-id" => rules.key_id = place.boolean().unwrap_or(true),
            "dialect" => rules.dialect = place.text().map_or(String::new(), str::to_owned),
            "issuer" => rules.issuer = place.text().map_or(String::new(), str::to_owned),
            "ttl" => rules.lifetime = place.read(lifetime).unwrap_or(rules.lifetime),
            "user-claims" => rules.user_claims = place.boolean().unwrap_or(false),
            "convert-dialect" => rules.convert_dialect = place.boolean().unwrap_or(false),
            "excluded-claims" => rules.excluded = place.texts(),
            unknown => {
                let span = Span::new(file, key.span());
                let mistake = Diagnostic::error("E0109", span, format!("there is no setting `{unknown}`"));
                let help = suggest::did_you_mean(unknown, KEYS.iter().copied());
                let help = help.unwrap_or_else(|| format!("the settings here are {}", KEYS.join(", ")));
                mistakes.push(mistake.label("unknown").help(help));
            }
        }
    }
    Some(settings)
}

fn header(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "this is the name of a header".to_owned())
}

pub(super) fn encoding(text: &str) -> Result<Encoding, String> {
    match text.to_ascii_lowercase().as_str() {
        "base64" => Ok(Encoding::Base64),
        "base64url" => Ok(Encoding::Base64Url),
        _ => Err("this is `base64url` or `base64`".to_owned()),
    }
}

/// `RS256`, or as API Manager writes it: `SHA256withRSA`, `NONE`.
pub(super) fn signing(text: &str) -> Result<Option<Algorithm>, String> {
    match text {
        "NONE" => Ok(None),
        "SHA256withRSA" => Ok(Some(Algorithm::RS256)),
        name => algorithm(name).map(Some),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = super::settings::read_duration(text)?;
    (lifetime >= Duration::from_secs(10))
        .then_some(lifetime)
        .ok_or_else(|| "a backend needs ten seconds at the least".to_owned())
}

/// Reads the keys. Without one, or with one that does not fit, the start is refused.
pub fn open(settings: &BackendJwtSettings) -> Result<BackendJwt, String> {
    Ok(BackendJwt::new(settings.rules.clone(), read_keys(settings)?))
}

pub fn read_keys(settings: &BackendJwtSettings) -> Result<SigningKeys, String> {
    let Some(algorithm) = settings.rules.algorithm else {
        return Ok(SigningKeys::default());
    };
    if settings.keys.is_empty() {
        return Err(
            "tokens for backends cannot be signed: `[backend-jwt]` needs `key`, a private key in PEM \
            (Java keystores are not read; `openssl pkcs12` can export it)"
                .to_owned(),
        );
    }
    let mut texts = Vec::new();
    for path in &settings.keys {
        texts.push(std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let named = |reason| format!("{}: {reason}", settings.keys[0].display());
    SigningKeys::of(&texts, algorithm).map_err(named)
}
