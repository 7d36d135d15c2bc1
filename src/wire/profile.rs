//! How connections to a backend are made where its endpoint says so: which certificates count, whose identity is shown, which proxy is in between.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::tls::Tls;
use super::url::Origin;

/// Two requests share connections only where their profiles are equal. What a profile leaves open is the client's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub tls: Option<Arc<Tls>>,
    pub route: Option<Route>,
}

/// The way to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Whatever the default is.
    Direct,
    Proxy(Arc<Proxy>),
}

/// An HTTP proxy: asked to CONNECT for what is encrypted, given whole addresses for what is not.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub host: String,
    pub port: u16,
    credentials: Option<HeaderValue>,
    exceptions: Vec<String>,
}

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`, or `host:port`.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => {
                return Err(format!("proxies are spoken to over http, not over `{scheme}`"));
            }
            None => text,
        };
        let rest = rest.trim_end_matches('/');
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let origin = Origin::new(super::server::Scheme::Http, authority)
            .ok_or_else(|| "its host or port is not valid".to_owned())?;
        let proxy = Proxy {
            port: origin.port,
            host: origin.host,
            credentials: None,
            exceptions: Vec::new(),
        };
        let Some(user) = user else {
            return Ok(proxy);
        };
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        Ok(proxy.with_credentials(&decoded(name), &decoded(password)))
    }

    pub fn with_credentials(self, user: &str, password: &str) -> Proxy {
        let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let credentials = HeaderValue::try_from(text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Proxy { credentials, ..self }
    }

    /// Names that are called without it: `*`, `host`, `.domain`, `*.domain`, `10.*`, separated by commas, bars or spaces.
    pub fn except(mut self, text: &str) -> Proxy {
        let names = text.split([',', '|', ' ', ';']).map(str::trim);
        let names = names.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase);
        self.exceptions.extend(names);
        self
    }

    /// Is this host called by way of the proxy?
    pub fn serves(&self, host: &str) -> bool {
        !self.exceptions.iter().any(|pattern| matches(pattern, host))
    }

    pub(super) fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    if pattern == "*" || pattern == host {
        return true;
    }
    if let Some(domain) = pattern.strip_prefix("*.").or_else(|| pattern.strip_prefix('.')) {
        return host == domain
            || host
                .strip_suffix(domain)
                .is_some_and(|front| front.ends_with('.'));
    }
    match pattern.split_once('*') {
        Some((front, back)) => {
            host.len() >= front.len() + back.len() && host.starts_with(front) && host.ends_with(back)
        }
        // `NO_PROXY` names a domain with all that is below it.
        None => {
            pattern.parse::<IpAddr>().is_err()
                && host
                    .strip_suffix(pattern)
                    .is_some_and(|front| front.ends_with('.'))
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.credentials.is_some() { "***@" } else { "" };
        write!(f, "Proxy({user}{}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_user_and_shown_without() {
        let proxy = Proxy::parse("http://anna:p%40ss:x@proxy.example:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert_eq!(proxy.credentials().unwrap(), "Basic YW5uYTpwQHNzOng=");
        assert_eq!(format!("{proxy:?}"), "Proxy(***@proxy.example:3128)");
        assert_eq!(Proxy::parse("proxy:80").unwrap().port, 80);
        assert!(Proxy::parse("socks5://proxy").is_err());
        assert!(Proxy::parse("http://").is_err());
    }

    #[test]
    fn exceptions_are_names_domains_and_stars() {
        let proxy = Proxy::parse("p:1")
            .unwrap()
            .except("localhost|127.*,*.intern, .corp example.org 10.0.0.1");
        for direct in [
            "localhost",
            "127.0.0.1",
            "a.intern",
            "intern",
            "x.y.corp",
            "example.org",
            "www.example.org",
            "10.0.0.1",
        ] {
            assert!(!proxy.serves(direct), "{direct}");
        }
        for proxied in ["notexample.org", "128.0.0.1", "xcorp", "110.0.0.1"] {
            assert!(proxy.serves(proxied), "{proxied}");
        }
    }
}
