//! `deployment.toml` of a Micro Integrator project: what has a counterpart here is taken over, the rest is accepted and named once.

use super::apim;
use super::backend_settings::{ProxySettings, pem};
use super::settings::Layer;
use super::settings_place::text_value;
use super::settings_reading::Reading;
use super::settings_table::SettingsTable;
use crate::text::suggest::did_you_mean;
use crate::text::{Diagnostic, FileId, Span};
use crate::wire::Proxy;
use crate::wire::tls::{IdentityFiles, TlsOptions};
use crate::wire::verify::Verify;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Sections without a counterpart here, or whose counterpart comes from elsewhere.
const IGNORED: &[&str] = &[
    "user_store",
    "datasource",
    "tasks",
    "task_handling",
    "encryption",
    "phase_order",
    "dashboard_config",
    "icp_config",
    "service_catalog",
    "analytics",
    "keystore",
    "truststore",
    "management_api",
    "internal_apis",
    "prometheus_api",
    "opentelemetry",
    "secrets",
    "secret",
    "system",
    "external_vault",
    "synapse_handlers",
    "message_builders",
    "message_formatters",
    "custom_message_builders",
    "custom_message_formatters",
    "blocking",
    "file_user_store",
    "cluster_config",
    "clustering",
    "monitoring",
    "config",
    "database",
    "default_axis2_handler",
    "admin_console",
    "transaction_counter",
    "token_store",
    "jndi",
    "catalina",
    "passthru_properties",
    "thread_pool_config",
];

/// What the Micro Integrator adds to its ports when nothing is said.
const DEFAULT_OFFSET: u16 = 10;

/// Names below `[mediation] synapse.` and `[synapse_properties] synapse.`, and the key of `[endpoints]` that each of them is here.
const SUSPENSION: &[(&str, &str)] = &[
    ("global_endpoint_suspend_duration", "suspend-duration"),
    ("global_endpoint_suspend_progression_factor", "progression-factor"),
    ("global_endpoint_suspend_maximum_duration", "maximum-duration"),
];

/// Names below `[mediation] synapse.`, and the property of synapse.properties that each of them sets.
const SWITCHES: &[(&str, &str)] = &[
    (
        "json_out_auto_array",
        "synapse.commons.json.output.jsonoutAutoArray",
    ),
    (
        "enable_auto_primitive",
        "synapse.commons.json.output.autoPrimitive",
    ),
    (
        "disable_auto_primitive_regex",
        "synapse.commons.json.output.disableAutoPrimitive.regex",
    ),
    (
        "preserve_namespace_on_xml_to_json",
        "synapse.commons.json.preserve.namespace",
    ),
    (
        "enable_namespace_declaration",
        "synapse.commons.json.output.enableNSDeclarations",
    ),
    ("enable_xml_nil", "synapse.commons.enableXmlNilReadWrite"),
    (
        "enable_xml_null_for_empty_element",
        "synapse.commons.enableXmlNullForEmptyElement",
    ),
    (
        "json_out_xml_multiple_pi",
        "synapse.commons.json.output.xmloutMultiplePI",
    ),
    ("build_valid_nc_name", "synapse.commons.json.buildValidNCNames"),
];

pub(super) fn read(file: FileId, text: &str, folder: &Path, reading: &mut Reading<'_>) -> Layer {
    let mut toml = Toml {
        file,
        used: Vec::new(),
        values: Vec::new(),
        entry: 0,
    };
    let mut own = Reading::default();
    let table = own.parse(file, text);
    reading.mistakes.extend(own.mistakes);
    toml.flatten("", &table);

    let layer = toml.addresses();
    toml.limits(reading);
    toml.mediation(reading);
    toml.backends(folder, reading);
    let used = apim::read(file, &table, reading);
    toml.used.extend(used.iter().map(|key| (*key).to_owned()));
    toml.suspension(reading);
    toml.cors(reading);
    toml.tell_the_rest(reading);
    layer
}

/// Every value by its full key, `transport.http.listener.port`.
struct Toml {
    file: FileId,
    values: Vec<Value>,
    entry: usize,
    used: Vec<String>,
}

struct Value {
    key: String,
    text: String,
    span: Span,
    /// Which table of a list of tables it stands in; they are counted through.
    entry: usize,
}

impl Toml {
    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            self.value(key, name.span(), value);
        }
    }

    fn value(&mut self, key: String, place: std::ops::Range<usize>, value: &Spanned<DeValue<'_>>) {
        let text = match value.get_ref() {
            DeValue::Table(table) => {
                self.flatten(&format!("{key}."), table);
                return;
            }
            DeValue::Array(list) => {
                for entry in list.iter() {
                    self.entry += usize::from(entry.get_ref().is_table());
                    self.value(key.clone(), place.clone(), entry);
                }
                return;
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string().replace('_', ""),
            DeValue::Boolean(value) => value.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        self.values.push(Value {
            key,
            text,
            entry: self.entry,
            span: Span::new(self.file, place),
        });
    }

    fn get(&mut self, key: &str) -> Option<&str> {
        self.used.push(key.to_owned());
        self.values
            .iter()
            .find(|value| value.key == key)
            .map(|value| value.text.trim())
    }

    /// Numbers and switches stand with and without quotes.
    fn parsed<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    fn addresses(&mut self) -> Layer {
        let offset: Option<u16> = self.parsed("server.offset");
        let port: Option<u16> = self.parsed("transport.http.listener.port");
        let secured: Option<u16> = self.parsed("transport.http.listener.secured_port");
        let bind: Option<IpAddr> = self.parsed("transport.http.listener.bind_address");
        let hot: Option<bool> = self.parsed("server.hot_deployment");
        let address = |port: Option<u16>, default: u16| {
            (port.is_some() || offset.is_some() || bind.is_some()).then(|| {
                let port = port
                    .unwrap_or(default)
                    .saturating_add(offset.unwrap_or(DEFAULT_OFFSET));
                SocketAddr::from((bind.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port))
            })
        };
        Layer {
            listen: address(port, 8280),
            listen_tls: address(secured, 8243),
            watch: hot,
            ..Layer::default()
        }
    }

    fn limits(&mut self, reading: &mut Reading<'_>) {
        let mut set =
            |table: &str, key: &str, text: &str| reading.limit(table, key, text_value(text), None, None);
        if let Some(timeout) = self.parsed::<u64>("transport.http.socket_timeout") {
            let timeout = format!("{timeout}ms");
            for (table, key) in [
                ("server", "body-gap"),
                ("client", "response-headers"),
                ("client", "body-gap"),
            ] {
                set(table, key, &timeout);
            }
        }
        if let Some(timeout) = self.parsed::<u64>("transport.http.connection_timeout") {
            set("client", "connect", &format!("{timeout}ms"));
        }
        let is_checked = self.parsed::<bool>("transport.http.enable_message_size_validation");
        let largest = self.parsed::<u64>("transport.http.max_message_size_bytes");
        if let (Some(true), Some(largest)) = (is_checked, largest) {
            set("server", "streamed-body", &largest.to_string());
        }
    }

    fn mediation(&mut self, reading: &mut Reading<'_>) {
        let timeout = self
            .parsed::<u64>("mediation.synapse.global_timeout_interval")
            .or_else(|| self.parsed("synapse_properties.synapse.global_timeout_interval"));
        reading.global_timeout = timeout.map(Duration::from_millis);
        for index in 0..self.values.len() {
            let value = &self.values[index];
            let raw = value.key.strip_prefix("synapse_properties.").or_else(|| {
                let short = value.key.strip_prefix("mediation.synapse.")?;
                SWITCHES
                    .iter()
                    .find(|(known, _)| *known == short)
                    .map(|(_, raw)| *raw)
            });
            let Some(raw) = raw else {
                continue;
            };
            match reading.conversion.set(raw, &value.text) {
                Ok(true) => self.used.push(value.key.clone()),
                Ok(false) => {}
                Err(reason) => {
                    self.used.push(value.key.clone());
                    reading.mistakes.push(
                        Diagnostic::error(
                            "E0110",
                            value.span,
                            format!("the value of `{}` does not fit", value.key),
                        )
                        .label(reason),
                    );
                }
            }
        }
        self.used.extend(
            SWITCHES
                .iter()
                .map(|(short, _)| format!("mediation.synapse.{short}")),
        );
    }

    /// `synapse.rest.CORSConfig` of synapse.properties.
    fn cors(&mut self, reading: &mut Reading<'_>) {
        let full = |name: &str| format!("synapse_properties.synapse.rest.CORSConfig.{name}");
        if self.parsed::<bool>(&full("enabled")) != Some(true) {
            return;
        }
        for (name, key) in [
            ("Access-Control-Allow-Origin", "origins"),
            ("Access-Control-Allow-Headers", "headers"),
        ] {
            let full = full(name);
            let Some(text) = self.get(&full).map(str::to_owned) else {
                continue;
            };
            if let Err(reason) = reading.cors.set(key, &text) {
                let message = format!("the value of `{full}` does not fit");
                let mistake = Diagnostic::error("E0110", self.span(&full), message);
                reading.mistakes.push(mistake.label(reason));
            }
        }
    }

    /// How long endpoints are suspended that do not say so themselves.
    fn suspension(&mut self, reading: &mut Reading<'_>) {
        for (name, key) in SUSPENSION {
            for section in ["mediation", "synapse_properties"] {
                let full = format!("{section}.synapse.{name}");
                let Some(text) = self.get(&full).map(str::to_owned) else {
                    continue;
                };
                // -1 is how Synapse spells its own default.
                if text.starts_with('-') {
                    continue;
                }
                if let Err(reason) = reading.endpoints.set(key, &text) {
                    let message = format!("the value of `{full}` does not fit");
                    if let Some(value) = self.values.iter().find(|value| value.key == full) {
                        let mistake = Diagnostic::error("E0110", value.span, message).label(reason);
                        reading.mistakes.push(mistake);
                    }
                }
            }
        }
    }

    /// What holds for backends whose endpoints say nothing else.
    fn backends(&mut self, folder: &Path, reading: &mut Reading<'_>) {
        let bad = |key: &str, span: Span, reason: String| {
            let message = format!("the value of `{key}` does not fit");
            Diagnostic::error("E0110", span, message).label(reason)
        };
        let key = "transport.passthru_https.sender.parameters.HostnameVerifier";
        if let Some(name) = self.get(key).map(str::to_owned) {
            let span = self.span(key);
            match name.parse::<Verify>() {
                Ok(verify) => {
                    reading.backends.verify = verify;
                    if let Some(danger) = verify.danger() {
                        let message = format!("anybody can pass for the backends of this gateway: {danger}");
                        let help = "`Strict` looks at everything; `<tls>` of an endpoint says what holds for it alone";
                        let warning = Diagnostic::warning("W0505", span, message);
                        reading.mistakes.push(warning.help(help));
                    }
                }
                Err(()) => {
                    let names = "it is Strict, Default, DefaultAndLocalhost or AllowAll".to_owned();
                    reading.mistakes.push(bad(key, span, names));
                }
            }
        }
        let parameter = |name: &str| format!("transport.passthru_http.sender.parameters.http.{name}");
        let port = self.parsed::<u16>(&parameter("proxyPort")).unwrap_or(80);
        let exceptions = self.get(&parameter("nonProxyHosts")).unwrap_or("").to_owned();
        if let Some(host) = self.get(&parameter("proxyHost")).map(str::to_owned) {
            match Proxy::parse(&format!("http://{host}:{port}")) {
                Ok(proxy) => {
                    reading.backends.proxy = Some(ProxySettings {
                        proxy: Some(proxy),
                        exceptions,
                    });
                }
                Err(reason) => {
                    let key = parameter("proxyHost");
                    reading.mistakes.push(bad(&key, self.span(&key), reason));
                }
            }
        }
        self.profiles(folder, reading);
    }

    /// `[[keystore.ssl_profile.custom]]`: TLS for some servers. The values of one profile stand together.
    fn profiles(&mut self, folder: &Path, reading: &mut Reading<'_>) {
        const PREFIX: &str = "keystore.ssl_profile.custom.";
        let mut profiles: Vec<Vec<usize>> = Vec::new();
        for (at, value) in self.values.iter().enumerate() {
            if !value.key.starts_with(PREFIX) {
                continue;
            }
            match profiles.last_mut() {
                Some(profile) if self.values[profile[0]].entry == value.entry => profile.push(at),
                _ => profiles.push(vec![at]),
            }
        }
        for profile in profiles {
            let mut options = TlsOptions::default();
            let get = |name: &str| {
                let mut found = profile.iter().map(|at| &self.values[*at]);
                found.find(|value| value.key[PREFIX.len()..] == *name)
            };
            let mut usable = true;
            for store in ["keystore", "truststore"] {
                let Some(location) = get(&format!("{store}.location")) else {
                    continue;
                };
                let kind = get(&format!("{store}.type")).map(|kind| kind.text.as_str());
                match pem(&location.text, kind, folder) {
                    Ok(path) if store == "keystore" => {
                        options.identity = Some(IdentityFiles {
                            certificate: path.clone(),
                            key: path,
                        });
                    }
                    Ok(path) => options.authority = Some(path),
                    Err(advice) => {
                        usable = false;
                        let message = format!(
                            "`{}` is a key store of Java's, which cannot be read here",
                            location.text
                        );
                        let warning = Diagnostic::warning("W0107", location.span, message);
                        reading.mistakes.push(warning.help(advice));
                    }
                }
            }
            let servers = profile.iter().map(|at| &self.values[*at]);
            for servers in servers.filter(|value| value.key[PREFIX.len()..] == *"servers") {
                for server in servers.text.split(',').map(str::trim).filter(|_| usable) {
                    let entry = (server.to_ascii_lowercase(), options.clone());
                    reading.backends.servers.push(entry);
                }
            }
            let keys: Vec<String> = profile.iter().map(|at| self.values[*at].key.clone()).collect();
            self.used.extend(keys);
        }
    }

    fn span(&self, key: &str) -> Span {
        let mut values = self.values.iter();
        let value = values.find(|value| value.key == key);
        value.map_or(Span::new(self.file, 0..0), |value| value.span)
    }

    /// One note for all that has no effect; a warning for what looks like a slip of the hand.
    fn tell_the_rest(&self, reading: &mut Reading<'_>) {
        let mut ignored: Vec<String> = Vec::new();
        let mut first = None;
        for value in &self.values {
            if self.used.contains(&value.key) {
                continue;
            }
            let section = value.key.split('.').next().unwrap_or_default();
            if !IGNORED.contains(&section)
                && let Some(help) = did_you_mean(&value.key, self.used.iter().map(String::as_str))
            {
                reading.mistakes.push(
                    Diagnostic::warning("W0107", value.span, format!("`{}` has no effect", value.key))
                        .label("unknown")
                        .help(help),
                );
                continue;
            }
            let name = if IGNORED.contains(&section) {
                section
            } else {
                &value.key
            };
            if !ignored.iter().any(|known| known == name) {
                ignored.push(name.to_owned());
            }
            first = first.or(Some(value.span));
        }
        if let Some(first) = first {
            reading.mistakes.push(
                Diagnostic::note(
                    "N0103",
                    first,
                    "some settings have no counterpart here and are ignored",
                )
                .with_note(ignored.join(", ")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Settings, load};
    use super::*;
    use crate::deployment::cors::Cors;

    fn loaded(text: &str) -> (Settings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deployment")).unwrap();
        std::fs::write(folder.path().join("deployment/deployment.toml"), text).unwrap();
        let loaded = load(folder.path(), Layer::default(), None, &Default::default());
        assert_eq!(loaded.mistakes.errors(), 0, "{:?}", loaded.mistakes);
        let told = loaded
            .mistakes
            .iter()
            .map(|mistake| {
                format!(
                    "{} {} {:?} {:?}",
                    mistake.code, mistake.message, mistake.help, mistake.notes
                )
            })
            .collect();
        (loaded.settings, told)
    }

    #[test]
    fn ports_have_the_offset_added_that_the_product_adds() {
        let port = |text: &str| loaded(text).0.listen.to_string();
        assert_eq!(port(""), "0.0.0.0:8290");
        assert_eq!(port("[server]\noffset = \"0\""), "0.0.0.0:8280");
        assert_eq!(port("[server]\noffset = 12"), "0.0.0.0:8292");
        assert_eq!(
            port("[transport.http]\nlistener.port = 9000\nlistener.bind_address = \"127.0.0.1\""),
            "127.0.0.1:9010"
        );
    }

    #[test]
    fn pages_of_other_origins_are_let_in_by_the_micro_integrators_words_and_by_api_managers() {
        let cors = |settings: &[(&str, &str)]| {
            let mut cors = Cors::default();
            for (key, value) in settings {
                cors.set(key, value).unwrap();
            }
            cors
        };
        let (settings, told) = loaded(
            "[synapse_properties]\n'synapse.rest.CORSConfig.enabled' = true\n'synapse.rest.CORSConfig.Access-Control-Allow-Origin' = \"https://a.example\"\n\
             'synapse.rest.CORSConfig.Access-Control-Allow-Headers' = \"Authorization, Content-Type\"\n",
        );
        assert_eq!(told, Vec::<String>::new());
        let expected = [
            ("origins", "https://a.example"),
            ("headers", "Authorization, Content-Type"),
        ];
        assert_eq!(settings.cors, cors(&expected));
        let (settings, told) = loaded(
            "[apim.cors]\nallow_origins = [\"https://a.example\", \"https://b.example\"]\nallow_methods = [\"GET\"]\nallow_credentials = true\n",
        );
        assert_eq!(told, Vec::<String>::new());
        let expected = [
            ("origins", "https://a.example https://b.example"),
            ("methods", "GET"),
            ("credentials", "true"),
        ];
        assert_eq!(settings.cors, cors(&expected));
        let (settings, _) = loaded("[apim.cors]\nenable = false\nallow_origins = \"*\"\n");
        assert_eq!(settings.cors, Cors::default());
    }

    #[test]
    fn timeouts_and_switches_are_taken_over() {
        let (settings, told) = loaded(
            "[transport.http]\nsocket_timeout = 180000\nconnection_timeout = \"90000\"\nenable_message_size_validation = true\n\
             max_message_size_bytes = 1024\n[mediation]\nsynapse.enable_auto_primitive = false\n\
             synapse.global_timeout_interval = \"120000\"\n[synapse_properties]\n\
             'synapse.commons.json.output.disableAutoPrimitive.regex' = \"^-?0.*\"\n[server]\nhot_deployment = false\n",
        );
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(settings.client.response_headers, Duration::from_secs(180));
        assert_eq!(settings.server.body_gap, Duration::from_secs(180));
        assert_eq!(settings.client.connect, Duration::from_secs(90));
        assert_eq!(settings.server.streamed_body, 1024);
        assert_eq!(settings.global_timeout, Some(Duration::from_secs(120)));
        assert!(!settings.conversion.auto_primitive);
        assert!(settings.conversion.auto_array);
        assert!(settings.conversion.keep_text.is_some());
        assert!(!settings.watch);
    }

    #[test]
    fn suspensions_of_endpoints_are_taken_over() {
        let (settings, told) = loaded(
            "[mediation]\nsynapse.global_endpoint_suspend_duration = 5000\nsynapse.global_endpoint_suspend_progression_factor = \"1.5\"\n\
             [synapse_properties]\n'synapse.global_endpoint_suspend_maximum_duration' = \"-1\"\n",
        );
        assert_eq!(told, Vec::<String>::new());
        let endpoints = settings.endpoints;
        assert_eq!(endpoints.suspend_duration, Some(Duration::from_secs(5)));
        assert_eq!(endpoints.progression_factor, Some(1.5));
        assert_eq!(endpoints.maximum_duration, None);
    }

    #[test]
    fn how_backends_are_reached_is_taken_over() {
        let (settings, told) = loaded(
            "[transport.passthru_https.sender.parameters]\nHostnameVerifier = \"AllowAll\"\n[transport.passthru_http.sender.parameters]\n\
             'http.proxyHost' = \"proxy.intern\"\n'http.proxyPort' = 3128\n'http.nonProxyHosts' = \"localhost|*.corp\"\n\
             [[keystore.ssl_profile.custom]]\nservers = [\"a.example:443\", \"B.example:8443\"]\ntruststore.location = \"a.pem\"\nkeystore.location = \"me.pem\"\n\
             [[keystore.ssl_profile.custom]]\nservers = \"*\"\ntruststore.location = \"b.pem\"\n\
             [[keystore.ssl_profile.custom]]\nservers = \"c:443\"\nkeystore.location = \"c.jks\"\nkeystore.type = \"JKS\"\n",
        );
        let codes: Vec<&str> = told.iter().map(|told| &told[..5]).collect();
        assert_eq!(codes, ["W0505", "W0107"], "{told:?}");
        assert!(
            told[1].contains("keytool -importkeystore -srckeystore c.jks"),
            "{told:?}"
        );
        let backends = settings.backends;
        assert_eq!(backends.verify, Verify::AnyName);
        let proxy = backends.proxy.unwrap();
        assert_eq!(format!("{:?}", proxy.proxy), "Some(Proxy(proxy.intern:3128))");
        assert_eq!(proxy.exceptions, "localhost|*.corp");
        let servers: Vec<String> = backends
            .servers
            .iter()
            .map(|(server, options)| {
                let name =
                    |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
                let identity = options
                    .identity
                    .as_ref()
                    .map(|identity| name(&identity.certificate));
                format!("{server} {:?} {identity:?}", options.authority.as_ref().map(name))
            })
            .collect();
        assert_eq!(
            servers,
            [
                r#"a.example:443 Some("a.pem") Some("me.pem")"#,
                r#"b.example:8443 Some("a.pem") Some("me.pem")"#,
                r#"* Some("b.pem") None"#,
            ]
        );
    }

    #[test]
    fn what_has_no_counterpart_is_named_once_and_a_slip_is_told() {
        let (_, told) = loaded(
            "[server]\nhostname = \"localhost\"\n[user_store]\ntype = \"x\"\nother = 1\n[[datasource]]\nid = \"a\"\n\
             [transport.http]\nsocket_timeuot = 5\n",
        );
        assert_eq!(
            told,
            [
                "N0103 some settings have no counterpart here and are ignored None [\"datasource, server.hostname, user_store\"]",
                "W0107 `transport.http.socket_timeuot` has no effect Some(\"did you mean `transport.http.socket_timeout`?\") []",
            ]
        );
    }
}
