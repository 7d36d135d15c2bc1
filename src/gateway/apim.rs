//! The part of a `deployment.toml` that API Manager writes: token issuers, backend JWT, gateway environments.

use super::backend_jwt::{BackendJwtSettings, encoding, signing};
use super::environments;
use super::settings_place::Place;
use super::settings_reading::Reading;
use super::tokens::{IssuerSettings, keys_from};
use crate::flow::backend_jwt::{Encoding, Rules};
use crate::flow::token::{Algorithm, Kind};
use crate::text::FileId;
use http::HeaderName;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What is read here, by its full key.
const KEYS: &[&str] = &[
    "apim.jwt.enable",
    "apim.jwt.header",
    "apim.jwt.encoding",
    "apim.jwt.signing_algorithm",
    "apim.jwt.claim_dialect",
    "apim.jwt.convert_dialect",
    "apim.jwt.enable_user_claims",
    "apim.jwt.use_kid_property",
    "apim.jwt.gateway_generator.excluded_claims",
    "apim.jwt.issuer.name",
    "apim.jwt.issuer.jwks.url",
    "apim.jwt.issuer.scopes_claim",
    "apim.oauth_config.auth_header",
    "apim.oauth_config.enable_outbound_auth_header",
    "apim.cors.enable",
    "apim.cors.allow_origins",
    "apim.cors.allow_methods",
    "apim.cors.allow_headers",
    "apim.cors.allow_credentials",
    "apim.gateway.environment.name",
    "apim.gateway.environment.type",
    "apim.gateway.environment.http_endpoint",
    "apim.gateway.environment.https_endpoint",
];

/// Takes up what has a counterpart, and gives the keys that were of use.
pub(super) fn read<'i>(
    file: FileId,
    table: &DeTable<'i>,
    reading: &mut Reading<'_>,
) -> &'static [&'static str] {
    let Some(apim) = within(table, "apim") else {
        return &[];
    };
    if let Some(jwt) = within(apim, "jwt") {
        backend_jwt(file, jwt, reading);
        let list = jwt.get("issuer").and_then(|list| list.get_ref().as_array());
        for entry in list.into_iter().flat_map(|list| list.iter()) {
            if let Some(entry) = entry.get_ref().as_table() {
                let issuer = issuer(file, entry, within(apim, "oauth_config"), reading);
                reading.issuers.extend(issuer);
            }
        }
    }
    let list = within(apim, "gateway").and_then(|gateway| gateway.get("environment")?.get_ref().as_array());
    for entry in list.into_iter().flat_map(|list| list.iter()) {
        if let Some(entry) = entry.get_ref().as_table() {
            reading.environments.push(environments::read(entry));
        }
    }
    if let Some(cors) = within(apim, "cors") {
        self::cors(file, cors, reading);
    }
    KEYS
}

/// It holds for every API here, and not for those alone that have the product's handler.
fn cors(file: FileId, table: &DeTable<'_>, reading: &mut Reading<'_>) {
    if is_on(table, "enable") == Some(false) {
        return;
    }
    for (name, key) in [
        ("allow_origins", "origins"),
        ("allow_methods", "methods"),
        ("allow_headers", "headers"),
        ("allow_credentials", "credentials"),
    ] {
        if let Some(value) = table.get(name) {
            let mut cors = reading.cors.clone();
            let mut place = Place::new(file, name, value, &mut reading.mistakes);
            if place.read(|text| cors.set(key, text)).is_some() {
                reading.cors = cors;
            }
        }
    }
}

fn within<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a DeTable<'i>> {
    table.get(name)?.get_ref().as_table()
}

fn text<'a>(table: &'a DeTable<'_>, name: &str) -> Option<&'a str> {
    table.get(name)?.get_ref().as_str()
}

/// Switches stand with and without quotes.
fn is_on(table: &DeTable<'_>, name: &str) -> Option<bool> {
    match table.get(name)?.get_ref() {
        DeValue::Boolean(value) => Some(*value),
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn backend_jwt(file: FileId, jwt: &DeTable<'_>, reading: &mut Reading<'_>) {
    let mut rules = Rules {
        encoding: Encoding::Base64,
        ..Rules::default()
    };
    if let Some(header) = text(jwt, "header").and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
        rules.header = header;
    }
    let mistakes = &mut reading.mistakes;
    let mut read = |name: &str, take: &mut dyn FnMut(&str) -> Result<(), String>| {
        if let Some(value) = jwt.get(name) {
            Place::new(file, name, value, mistakes)
                .read(take)
                .unwrap_or_default();
        }
    };
    read("encoding", &mut |text| {
        encoding(text).map(|encoding| rules.encoding = encoding)
    });
    read("signing_algorithm", &mut |text| {
        signing(text).map(|algorithm| rules.algorithm = algorithm)
    });
    if let Some(dialect) = text(jwt, "claim_dialect") {
        rules.dialect = dialect.to_owned();
    }
    rules.convert_dialect = is_on(jwt, "convert_dialect").unwrap_or(false);
    rules.user_claims = is_on(jwt, "enable_user_claims").unwrap_or(false);
    rules.key_id = is_on(jwt, "use_kid_property").unwrap_or(true);
    let excluded = within(jwt, "gateway_generator")
        .and_then(|generator| generator.get("excluded_claims")?.get_ref().as_array());
    let excluded = excluded.into_iter().flat_map(|list| list.iter());
    rules.excluded = excluded
        .filter_map(|claim| claim.get_ref().as_str().map(str::to_owned))
        .collect();
    reading.backend_jwt = Some(BackendJwtSettings {
        enabled: is_on(jwt, "enable").unwrap_or(false),
        rules,
        keys: Vec::new(),
    });
}

fn issuer(
    file: FileId,
    entry: &DeTable<'_>,
    oauth: Option<&DeTable<'_>>,
    reading: &mut Reading<'_>,
) -> Option<IssuerSettings> {
    let name = text(entry, "name")?.to_owned();
    // A certificate is an alias in a Java truststore there, and cannot be had.
    let url = within(entry, "jwks")?.get("url")?;
    let keys =
        Place::new(file, "url", url, &mut reading.mistakes).read(|url| keys_from(url, Path::new("")))?;
    let mut issuer = IssuerSettings::new(Kind::AccessToken, name, keys, vec![Algorithm::RS256]);
    if let Some(claim) = text(entry, "scopes_claim") {
        issuer.scope_claim = claim.to_owned();
    }
    if let Some(oauth) = oauth {
        issuer.keep = is_on(oauth, "enable_outbound_auth_header").unwrap_or(false);
        let header = text(oauth, "auth_header").and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        issuer.header = header.unwrap_or(issuer.header);
    }
    Some(issuer)
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Layer, Settings, load};
    use super::super::tokens::KeysFrom;
    use super::*;

    fn loaded(project: &str, own: &str) -> (Settings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deployment")).unwrap();
        std::fs::write(folder.path().join("deployment/deployment.toml"), project).unwrap();
        std::fs::write(folder.path().join("myelin.toml"), own).unwrap();
        let loaded = load(folder.path(), Layer::default(), None, &Default::default());
        let told = loaded.mistakes.iter();
        let told = told.map(|mistake| format!("{} {}", mistake.code, mistake.message));
        (loaded.settings, told.collect())
    }

    #[test]
    fn issuers_of_the_product_are_taken_over() {
        let (settings, told) = loaded(
            "[apim.oauth_config]\nauth_header = \"X-Auth\"\nenable_outbound_auth_header = true\n[[apim.jwt.issuer]]\nname = \"https://a\"\n\
             scopes_claim = \"scp\"\n[apim.jwt.issuer.jwks]\nurl = \"https://a/jwks\"\n",
            "",
        );
        assert_eq!(told, Vec::<String>::new());
        let issuer = &settings.issuers[0];
        assert_eq!(
            (issuer.issuer.as_str(), issuer.scope_claim.as_str()),
            ("https://a", "scp")
        );
        assert_eq!((issuer.header.as_str(), issuer.keep), ("x-auth", true));
        assert!(matches!(issuer.keys, KeysFrom::Url(_)));
        assert_eq!(issuer.algorithms, [Algorithm::RS256]);
        assert!(settings.tokens.taken && !settings.tokens.required);
    }

    #[test]
    fn the_backend_jwt_keeps_the_products_encoding_and_takes_its_key_from_our_own_file() {
        let project = "[apim.jwt]\nenable = true\nheader = \"X-Who\"\nclaim_dialect = \"urn:c\"\nsigning_algorithm = \"SHA256withRSA\"\n";
        let (settings, told) = loaded(project, "[backend-jwt]\nkey = \"k.pem\"\n");
        assert_eq!(told, Vec::<String>::new());
        let jwt = settings.backend_jwt.unwrap();
        assert_eq!(
            (jwt.rules.header.as_str(), jwt.rules.encoding),
            ("x-who", Encoding::Base64)
        );
        assert_eq!((jwt.rules.dialect.as_str(), jwt.keys.len()), ("urn:c", 1));
        assert_eq!(loaded("[apim.jwt]\nheader = \"X-Who\"\n", "").0.backend_jwt, None);
        let (_, told) = loaded("[apim.jwt]\nencoding = \"base32\"\n", "");
        assert_eq!(told, ["E0110 the value of `encoding` does not fit"]);
    }

    #[test]
    fn environments_are_read_and_prefer_production() {
        let (settings, told) = loaded(
            "[[apim.gateway.environment]]\nname = \"Default\"\ntype = \"hybrid\"\nhttp_endpoint = \"http://h:${http.nio.port}\"\n\
             [[apim.gateway.environment]]\nname = \"Live\"\ntype = \"production\"\nhttps_endpoint = \"https://live\"\n",
            "",
        );
        assert_eq!(told, Vec::<String>::new());
        let ports = environments::Ports { http: 1, https: None };
        assert_eq!(
            environments::public_url(&settings.environments, ports).as_deref(),
            Some("https://live")
        );
    }
}
