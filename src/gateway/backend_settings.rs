//! How backends are reached whose endpoints say nothing about it: the proxy, and TLS. `[proxy]` of `myelin.toml`, and its counterparts in `deployment.toml`.

use super::settings_table::SettingsTable;
use crate::wire::Proxy;
use crate::wire::tls::{ClientTls, Tls, TlsError, TlsOptions};
use crate::wire::verify::Verify;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
pub struct BackendSettings {
    pub proxy: Option<ProxySettings>,
    pub verify: Verify,
    /// TLS for some servers, `host:port` or `*`.
    pub servers: Vec<(String, TlsOptions)>,
}

#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    pub proxy: Option<Proxy>,
    pub exceptions: String,
}

/// The same, ready for the clients of all threads.
#[derive(Clone)]
pub struct Backends {
    pub tls: ClientTls,
    pub proxy: Option<Arc<Proxy>>,
    pub servers: Arc<[(String, Arc<Tls>)]>,
}

impl SettingsTable for ProxySettings {
    const NAME: &'static str = "proxy";
    const KEYS: &'static [&'static str] = &["url", "no-proxy"];

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "url" => self.proxy = Some(Proxy::parse(text)?),
            _ => self.exceptions = text.to_owned(),
        }
        Ok(())
    }
}

impl BackendSettings {
    pub fn ready(&self) -> Result<Backends, TlsError> {
        if let Some(danger) = self.verify.danger() {
            tracing::warn!("Anybody can pass for the backends of this gateway: {danger}.");
        }
        let proxy = self.proxy.as_ref().and_then(|settings| {
            let proxy = settings.proxy.clone()?;
            Some(Arc::new(proxy.except(&settings.exceptions)))
        });
        let mut servers = Vec::new();
        for (server, options) in &self.servers {
            let options = TlsOptions {
                verify: self.verify,
                ..options.clone()
            };
            servers.push((server.clone(), Arc::new(Tls::load(options)?)));
        }
        Ok(Backends {
            tls: ClientTls::verifying(self.verify)?,
            proxy,
            servers: servers.into(),
        })
    }
}

/// A key store that can be read here. The error is what to do about one that cannot.
pub fn pem(location: &str, kind: Option<&str>, folder: &Path) -> Result<PathBuf, String> {
    let lower = location.to_ascii_lowercase();
    let named = [".pem", ".crt", ".cer", ".key"]
        .iter()
        .any(|end| lower.ends_with(end));
    let java = kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("pem"));
    if named && !java {
        return Ok(folder.join(location));
    }
    let stem = location.rsplit_once('.').map_or(location, |(stem, _)| stem);
    Err(format!(
        "convert it: keytool -importkeystore -srckeystore {location} -destkeystore {stem}.p12 -deststoretype pkcs12 && \
         openssl pkcs12 -in {stem}.p12 -out {stem}.pem -nodes; then name {stem}.pem"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_stores_of_java_are_told_how_to_become_pem() {
        let folder = Path::new("/conf");
        assert_eq!(pem("a.pem", None, folder), Ok(PathBuf::from("/conf/a.pem")));
        assert!(pem("a.pem", Some("JKS"), folder).is_err());
        let advice = pem("keys/client.jks", None, folder).unwrap_err();
        assert!(advice.contains("-srckeystore keys/client.jks") && advice.contains("-out keys/client.pem"));
    }
}
