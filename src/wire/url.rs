//! Where a request goes: an origin (scheme, host, port), which connections are kept for, and a path with its query.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

use super::profile::Profile;
use super::server::Scheme;

/// A parsed address. Cloning is cheap, so a fixed address is parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub origin: Arc<Origin>,
    pub path_and_query: PathAndQuery,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub scheme: Scheme,
    /// In lower case, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// What belongs in `Host`.
    pub authority: HeaderValue,
    /// How connections to it are made, where that is not the client's default. Connections are kept for each.
    pub profile: Option<Arc<Profile>>,
}

impl Url {
    /// The same address, called over connections of that profile.
    pub fn with_profile(mut self, profile: &Arc<Profile>) -> Self {
        let known = self.origin.profile.as_ref();
        if !known.is_some_and(|known| Arc::ptr_eq(known, profile)) {
            Arc::make_mut(&mut self.origin).profile = Some(Arc::clone(profile));
        }
        self
    }

    /// Reads `http://host[:port][/path][?query]`, or `https`, `ws`, `wss`. A fragment is dropped, as clients do.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason: &str| InvalidUrl {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("it has no scheme such as http://"))?;
        let scheme = [Scheme::Http, Scheme::Https, Scheme::Ws, Scheme::Wss]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
            .ok_or_else(|| invalid("its scheme is none of http, https, ws and wss"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_start);
        if let Some((_, host)) = authority.rsplit_once('@') {
            return Err(InvalidUrl {
                // Whoever logs it tells no password.
                text: format!("{}://***@{host}{path}", scheme.as_str()),
                reason: HAS_USER.to_owned(),
            });
        }
        let origin =
            Origin::new(scheme, authority).ok_or_else(|| invalid("its host or port is not valid"))?;
        let path_and_query = if path.is_empty() {
            PathAndQuery::from_static("/")
        } else if path.starts_with('?') {
            PathAndQuery::try_from(format!("/{path}")).map_err(|_| invalid("its query is not valid"))?
        } else {
            PathAndQuery::try_from(path).map_err(|_| invalid("its path or query is not valid"))?
        };
        Ok(Self {
            origin: Arc::new(origin),
            path_and_query,
        })
    }
}

impl Origin {
    /// Reads `host[:port]`; user names are refused, as they hide where a request really goes.
    pub fn new(scheme: Scheme, authority: &str) -> Option<Self> {
        let parsed: Authority = authority.parse().ok()?;
        if authority.contains('@') || parsed.host().is_empty() {
            return None;
        }
        let host = parsed
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if host.is_empty() {
            return None;
        }
        let written = match authority.get(parsed.host().len()..)? {
            "" => None,
            port => Some(port.strip_prefix(':')?.parse::<u16>().ok()?),
        };
        let default = scheme.default_port();
        let port = written.unwrap_or(default);
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let authority = if port == default {
            bracketed
        } else {
            format!("{bracketed}:{port}")
        };
        Some(Self {
            scheme,
            host,
            port,
            authority: HeaderValue::try_from(authority).ok()?,
            profile: None,
        })
    }
}

/// The authority follows from the rest, so there is no need to hash it as well; one host seldom has two profiles.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.port.hash(state);
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path_and_query)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.scheme.as_str(),
            self.authority.to_str().unwrap_or(&self.host)
        )
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    pub text: String,
    pub reason: String,
}

const HAS_USER: &str = "there is a user name in it";

impl InvalidUrl {
    pub fn has_user(&self) -> bool {
        self.reason == HAS_USER
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an address that can be called: {}",
            self.text, self.reason
        )
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Url::parse(text) {
            Ok(url) => format!(
                "{} {} {} {}",
                url.origin.host, url.origin.port, url.origin, url.path_and_query
            ),
            Err(invalid) => invalid.reason,
        };
        assert_eq!(shown, expected, "for {text}");
    }

    #[test]
    fn an_address_is_an_origin_and_a_path() {
        check(
            "http://Example.org/a/b?c=d",
            "example.org 80 http://example.org /a/b?c=d",
        );
        check("https://example.org", "example.org 443 https://example.org /");
        check("http://h:8080?x=1#part", "h 8080 http://h:8080 /?x=1");
        check("http://[::1]:81/x", "::1 81 http://[::1]:81 /x");
        check("HTTP://h:80/", "h 80 http://h /");
        check("wss://h/chat", "h 443 wss://h /chat");
    }

    #[test]
    fn what_is_no_address_says_why() {
        check("/only/a/path", "it has no scheme such as http://");
        check("ftp://h/", "its scheme is none of http, https, ws and wss");
        check("http://user@h/", "there is a user name in it");
        check("http://:80/", "its host or port is not valid");
        check("http://h:/", "its host or port is not valid");
        check("http://h:99999/", "its host or port is not valid");
        check("http://h/a b", "its path or query is not valid");
    }
}
