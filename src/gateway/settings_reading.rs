//! Reads `myelin.toml` and what the environment says of limits, mistakes told with their place.

use super::backend_jwt::{self, BackendJwtSettings};
use super::backend_settings::BackendSettings;
use super::endpoint_settings::EndpointSettings;
use super::environments::Environment;
use super::mock_settings::MockSettings;
use super::script_settings::ScriptSettings;
use super::settings::{
    Layer, LogFormat, Settings, TlsSettings, parse_address, read_duration, read_workers, secret_beside,
};
use super::settings_place::{
    Limits, Place, check, field_names, from_entries, inside_quotes, read_count, text_value,
};
use super::settings_table;
use super::tokens::{self, IssuerSettings};
use crate::deployment::cors::Cors;
use crate::deployment::guard::TokenRules;
use crate::flow::AllowList;
use crate::flow::token::Kind;
use crate::message::json::convert::ConversionSettings;
use crate::message::payload::PayloadLimits;
use crate::text::{Diagnostic, FileId, Mistakes, Placed, Severity, Span};
use crate::wire::{ClientLimits, ServerLimits, WebSocketLimits};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Top-level keys of `myelin.toml`, each with a flag and a `MYELIN_` variable of the same name; and the tables below them.
const KEYS: &[&str] = &[
    "listen",
    "listen-tls",
    "admin",
    "admin-token",
    "admin-hosts",
    "tls-cert",
    "tls-key",
    "watch",
    "watch-poll",
    "env-file",
    "log",
    "log-format",
    "lenient",
    "grace",
    "workers",
    "limits",
    "endpoints",
    "script",
    "mock",
    "cors",
    "token",
    "api-key",
    "token-required",
    "token-exempt",
    "scopes",
    "proxy",
    "backend-jwt",
];

const ENVIRONMENT_PREFIX: &str = "MYELIN_LIMITS_";

/// Reading in progress: mistakes, and limits as they were given.
#[derive(Default)]
pub(super) struct Reading<'i> {
    pub mistakes: Mistakes,
    pub limits: LimitTables<'i>,
    pub conversion: ConversionSettings,
    pub global_timeout: Option<Duration>,
    pub backends: BackendSettings,
    pub script: ScriptSettings,
    pub mock: MockSettings,
    pub cors: Cors,
    pub endpoints: EndpointSettings,
    pub allow: Option<Arc<AllowList>>,
    pub issuers: Vec<IssuerSettings>,
    pub tokens: TokenRules,
    pub backend_jwt: Option<BackendJwtSettings>,
    pub environments: Vec<Environment>,
}

#[derive(Default)]
pub(super) struct LimitTables<'i> {
    server: Limits<'i>,
    client: Limits<'i>,
    websocket: Limits<'i>,
    payload: PayloadLimits,
}

const LIMIT_TABLES: &[&str] = &["server", "client", "websocket", "payload", "xml", "json"];
const PAYLOAD_LIMITS: &[&str] = &["body", "tree", "form-fields", "grpc-message"];
const XML_LIMITS: &[&str] = &["depth", "attributes", "namespaces", "nodes", "text", "name"];
const JSON_LIMITS: &[&str] = &["depth", "size"];

impl LimitTables<'_> {
    /// The place of a limit that is a plain number.
    fn count(&mut self, table: &str, key: &str) -> Option<&mut usize> {
        let payload = &mut self.payload;
        Some(match (table, key) {
            ("payload", "body") => &mut payload.body,
            ("payload", "tree") => &mut payload.tree,
            ("payload", "form-fields") => &mut payload.form_fields,
            ("payload", "grpc-message") => &mut payload.grpc_message,
            ("xml", "depth") => &mut payload.xml.depth,
            ("xml", "attributes") => &mut payload.xml.attributes,
            ("xml", "namespaces") => &mut payload.xml.namespaces,
            ("xml", "nodes") => &mut payload.xml.nodes,
            ("xml", "text") => &mut payload.xml.text,
            ("xml", "name") => &mut payload.xml.name,
            ("json", "depth") => &mut payload.json.depth,
            ("json", "size") => &mut payload.json.size,
            _ => return None,
        })
    }
}

impl<'i> Reading<'i> {
    pub(super) fn own_file(&mut self, file: FileId, text: &'i str, folder: &Path) -> Layer {
        let mut layer = Layer::default();
        let table = self.parse(file, text);
        for (key, value) in &table {
            let mut place = Place {
                file,
                key: key.get_ref(),
                value,
                mistakes: &mut self.mistakes,
            };
            match key.get_ref().as_ref() {
                "listen" => layer.listen = place.read(parse_address),
                "listen-tls" => layer.listen_tls = place.read(parse_address),
                "admin" => layer.admin = place.read(parse_address),
                "admin-token" => layer.admin_token = place.read(|text| secret_beside(text, folder)),
                "admin-hosts" => layer.admin_hosts = place.words(),
                "tls-cert" => layer.tls_cert = place.text().map(|path| folder.join(path)),
                "tls-key" => layer.tls_key = place.text().map(|path| folder.join(path)),
                "env-file" => layer.env_file = place.text().map(|path| folder.join(path)),
                "watch" => layer.watch = place.boolean(),
                "watch-poll" => layer.watch_poll = place.boolean(),
                "lenient" => layer.lenient = place.boolean(),
                "log" => layer.log = place.text().map(str::to_owned),
                "log-format" => layer.log_format = place.read(LogFormat::from_str),
                "grace" => layer.grace = place.read(read_duration),
                "workers" => layer.workers = place.read(read_workers),
                "limits" => self.limit_tables(file, value),
                "endpoints" => {
                    self.allow_list(file, value);
                    settings_table::read(&mut self.endpoints, &["allow"], file, value, &mut self.mistakes);
                }
                "script" => settings_table::read(&mut self.script, &[], file, value, &mut self.mistakes),
                "mock" => settings_table::read(&mut self.mock, &[], file, value, &mut self.mistakes),
                "cors" => settings_table::read(&mut self.cors, &[], file, value, &mut self.mistakes),
                name @ ("token" | "api-key") => {
                    let kind = if name == "token" {
                        Kind::AccessToken
                    } else {
                        Kind::ApiKey
                    };
                    let read = tokens::read(kind, file, value, folder, &mut self.mistakes);
                    self.issuers.extend(read);
                }
                "token-required" => self.tokens.required = place.boolean().unwrap_or(true),
                "token-exempt" => self.tokens.exempt = place.texts(),
                "scopes" => self.scopes(file, value),
                "proxy" => {
                    let proxy = self.backends.proxy.get_or_insert_default();
                    settings_table::read(proxy, &[], file, value, &mut self.mistakes);
                }
                "backend-jwt" => {
                    let before = self.backend_jwt.take();
                    self.backend_jwt = backend_jwt::read(before, file, value, folder, &mut self.mistakes);
                }
                unknown => self.unknown(Span::new(file, key.span()), unknown, KEYS.iter().copied()),
            }
        }
        layer
    }

    /// `[scopes.Orders]`, and below it `"GET /{id}" = ["orders.read"]`.
    fn scopes(&mut self, file: FileId, value: &Spanned<DeValue<'i>>) {
        let Some(apis) = value.get_ref().as_table() else {
            return self.bad(Span::new(file, value.span()), "`scopes` is a table of APIs");
        };
        for (api, resources) in apis {
            let Some(table) = resources.get_ref().as_table() else {
                let span = Span::new(file, resources.span());
                self.bad(span, "this is a table: resources, and the scopes of each");
                continue;
            };
            for (resource, scopes) in table {
                let mut place = Place::new(file, resource.get_ref(), scopes, &mut self.mistakes);
                let scopes = place.texts();
                let rules = self.tokens.scopes.entry(api.get_ref().to_string()).or_default();
                rules.insert(resource.get_ref().to_string(), scopes);
            }
        }
    }

    pub fn parse(&mut self, file: FileId, text: &'i str) -> DeTable<'i> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            self.mistakes.push(
                Diagnostic::error("E0108", Span::new(file, range), "this is not TOML")
                    .label(error.message().trim().replace('\n', ", ")),
            );
        }
        table.into_inner()
    }

    fn limit_tables(&mut self, file: FileId, value: &Spanned<DeValue<'i>>) {
        let Some(tables) = value.get_ref().as_table() else {
            return self.bad(Span::new(file, value.span()), "`limits` is a table of tables");
        };
        for (name, table) in tables {
            let span = Span::new(file, name.span());
            let name = name.get_ref().as_ref();
            if !LIMIT_TABLES.contains(&name) {
                self.unknown(span, name, LIMIT_TABLES.iter().copied());
                continue;
            }
            let Some(entries) = table.get_ref().as_table() else {
                self.bad(Span::new(file, table.span()), "this is a table");
                continue;
            };
            for (key, value) in entries {
                let place = |range: std::ops::Range<usize>| Some(Span::new(file, range));
                self.limit(
                    name,
                    key.get_ref(),
                    value.clone(),
                    place(key.span()),
                    place(value.span()),
                );
            }
        }
    }

    fn proxy_variable(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let mut proxy = self.backends.proxy.clone().unwrap_or_default();
        let taken = settings_table::take_variable(&mut proxy, name, value)?;
        self.backends.proxy = Some(proxy);
        Some(taken)
    }

    /// `allow` of `[endpoints]`: its mistakes have places within the text.
    fn allow_list(&mut self, file: FileId, endpoints: &Spanned<DeValue<'i>>) {
        let Some(value) = endpoints
            .get_ref()
            .as_table()
            .and_then(|table| table.get("allow"))
        else {
            return;
        };
        let span = Span::new(file, value.span());
        let Some(text) = value.get_ref().as_str() else {
            return self.bad(span, "`allow` is a text in quotes");
        };
        match AllowList::parse(&inside_quotes(text, span)) {
            Ok(list) => self.allow = Some(Arc::new(list)),
            Err(mistakes) => mistakes
                .into_iter()
                .for_each(|mistake| self.mistakes.push(mistake)),
        }
    }

    /// Takes up one limit if its table knows the key and the value fits.
    pub fn limit(
        &mut self,
        table: &str,
        key: &str,
        value: Spanned<DeValue<'i>>,
        key_span: Option<Span>,
        value_span: Option<Span>,
    ) {
        let (known, checked) = match table {
            "server" => (field_names::<ServerLimits>(), check::<ServerLimits>(key, &value)),
            "client" => (field_names::<ClientLimits>(), check::<ClientLimits>(key, &value)),
            "websocket" => (
                field_names::<WebSocketLimits>(),
                check::<WebSocketLimits>(key, &value),
            ),
            "payload" => (PAYLOAD_LIMITS, read_count(&value).map(drop)),
            "xml" => (XML_LIMITS, read_count(&value).map(drop)),
            _ => (JSON_LIMITS, read_count(&value).map(drop)),
        };
        if !known.contains(&key) {
            return match key_span {
                Some(span) => self.unknown(span, key, known.iter().copied()),
                None => self.tell(None, "E0109", format!("there is no limit `{table}.{key}`")),
            };
        }
        if let Err(reason) = checked {
            return self.tell(value_span, "E0110", format!("`{key}`: {reason}"));
        }
        match table {
            "server" => drop(self.limits.server.insert(key.to_owned(), value)),
            "client" => drop(self.limits.client.insert(key.to_owned(), value)),
            "websocket" => drop(self.limits.websocket.insert(key.to_owned(), value)),
            _ => {
                if let (Some(limit), Ok(count)) = (self.limits.count(table, key), read_count(&value)) {
                    *limit = count;
                }
            }
        }
    }

    /// `MYELIN_LIMITS_SERVER_BODY_GAP=10s`. Other variables may be anybody's: Kubernetes makes `MYELIN_PORT` of a service's name.
    pub(super) fn environment(&mut self, environment: &'i BTreeMap<String, String>) {
        for (name, value) in environment {
            if name == "MYELIN_ENDPOINTS_ALLOW" {
                let nowhere = Span::new(FileId(0), 0..0);
                match AllowList::parse(&Placed::verbatim(value.as_str(), nowhere)) {
                    Ok(list) => self.allow = Some(Arc::new(list)),
                    Err(mistakes) => {
                        for mistake in mistakes {
                            self.tell(None, "E0307", format!("`{name}`: {}", mistake.message));
                        }
                    }
                }
                continue;
            }
            let taken = settings_table::take_variable(&mut self.endpoints, name, value)
                .or_else(|| settings_table::take_variable(&mut self.script, name, value))
                .or_else(|| settings_table::take_variable(&mut self.mock, name, value))
                .or_else(|| settings_table::take_variable(&mut self.cors, name, value))
                .or_else(|| self.proxy_variable(name, value));
            if let Some(taken) = taken {
                if let Err(reason) = taken {
                    self.tell(None, "E0110", format!("`{name}`: {reason}"));
                }
                continue;
            }
            let Some((table, key)) = name
                .strip_prefix(ENVIRONMENT_PREFIX)
                .and_then(|rest| rest.split_once('_'))
            else {
                continue;
            };
            let (table, key) = (
                table.to_ascii_lowercase(),
                key.to_ascii_lowercase().replace('_', "-"),
            );
            if !LIMIT_TABLES.contains(&table.as_str()) {
                self.tell(
                    None,
                    "E0109",
                    format!("`{name}`: there is no table of limits `{table}`"),
                );
                continue;
            }
            let value = DeValue::parse(value)
                .ok()
                .filter(|value| value.get_ref().is_integer() || value.get_ref().is_bool())
                .unwrap_or_else(|| text_value(value));
            self.limit(&table, &key, value, None, None);
        }
    }

    pub(super) fn settings(&mut self, layer: Layer) -> Settings {
        let mut server: ServerLimits = from_entries(&self.limits.server);
        if let Some(grace) = layer.grace {
            server.shutdown_grace = grace;
        }
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let tls = match (layer.tls_cert, layer.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsSettings {
                listen: layer.listen_tls.unwrap_or(any(8253)),
                certificate,
                key,
            }),
            (None, None) => None,
            (Some(_), None) => {
                self.tell(None, "E0110", "`tls-cert` needs `tls-key`".to_owned());
                None
            }
            (None, Some(_)) => {
                self.tell(None, "E0110", "`tls-key` needs `tls-cert`".to_owned());
                None
            }
        };
        Settings {
            listen: layer.listen.unwrap_or(any(8290)),
            admin: layer
                .admin
                .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9164))),
            admin_token: layer.admin_token,
            admin_hosts: layer.admin_hosts.unwrap_or_default(),
            tls,
            watch: layer.watch.unwrap_or(true),
            watch_poll: layer.watch_poll.unwrap_or(false),
            env_file: layer.env_file,
            log: layer.log.unwrap_or_else(|| "info".to_owned()),
            log_format: layer.log_format.unwrap_or(LogFormat::Human),
            lenient: layer.lenient.unwrap_or(false),
            workers: layer
                .workers
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
            server,
            client: ClientLimits {
                websocket: from_entries(&self.limits.websocket),
                ..from_entries(&self.limits.client)
            },
            payload: self.limits.payload.clone(),
            conversion: self.conversion.clone(),
            global_timeout: self.global_timeout,
            endpoints: self.endpoints,
            script: ScriptSettings {
                isolation: layer.script_isolation.unwrap_or(self.script.isolation),
                ..self.script.clone()
            },
            mock: self.mock,
            cors: self.cors.clone(),
            allow: self.allow.clone(),
            tokens: TokenRules {
                taken: !self.issuers.is_empty(),
                ..self.tokens.clone()
            },
            issuers: self.issuers.clone(),
            backends: self.backends.clone(),
            backend_jwt: self.backend_jwt.clone().filter(|settings| settings.enabled),
            environments: self.environments.clone(),
        }
    }

    pub(super) fn unknown(&mut self, span: Span, key: &str, known: impl IntoIterator<Item = &'static str>) {
        self.mistakes.push(settings_table::unknown(span, key, known));
    }

    pub(super) fn bad(&mut self, span: Span, message: &str) {
        self.tell(Some(span), "E0110", message.to_owned());
    }

    pub(super) fn tell(&mut self, span: Option<Span>, code: &'static str, message: String) {
        let mut diagnostic = Diagnostic::new(Severity::Error, code, message);
        diagnostic.span = span;
        self.mistakes.push(diagnostic);
    }
}
