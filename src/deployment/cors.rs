//! Cross-origin calls from browsers (Fetch standard, CORS): `[cors]` of the settings, and API Manager's `CORSRequestHandler`.

use super::guard;
use crate::plan::{Element, Planner};
use crate::text::Diagnostic;
use crate::wire::Reply;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use std::sync::Arc;

/// Which pages may call an API from a browser, and how. By default none: no answer has a header of CORS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    /// Headers that a page may send. Without a word, those that it asks for.
    headers: Option<HeaderValue>,
    /// Without a word, those of the resource.
    methods: Option<HeaderValue>,
    /// Headers of answers that a page may read.
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Origins {
    #[default]
    None,
    Any,
    These(Vec<HeaderValue>),
}

/// What CORS has to say of one request.
#[derive(Debug)]
pub struct Visit {
    rules: Arc<Cors>,
    /// The origin as it is repeated to the browser, if it may call.
    allowed: Option<HeaderValue>,
    stranger: bool,
    /// For an OPTIONS: which headers the page wants to send.
    asks: Option<Option<HeaderValue>>,
}

impl Cors {
    pub const KEYS: &'static [&'static str] = &[
        "origins",
        "headers",
        "methods",
        "expose-headers",
        "credentials",
        "max-age",
    ];

    /// Takes up the value of one of `KEYS`.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let text = text.trim();
        match key {
            "origins" => self.origins = origins(text)?,
            "headers" => self.headers = names(text)?,
            "expose-headers" => self.exposed = names(text)?,
            "methods" => self.methods = methods(text)?,
            "credentials" => {
                self.credentials = text
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| "this is `true` or `false`".to_owned())?;
            }
            "max-age" => {
                let seconds = text.parse();
                self.max_age = Some(seconds.map_err(|_| "this is a number of seconds".to_owned())?);
            }
            _ => return Err(format!("the settings here are {}", Self::KEYS.join(", "))),
        }
        match (&self.origins, self.credentials) {
            (Origins::Any, true) => Err(
                "with credentials each origin has to be named: `*` would let any page act for whoever looks at it".to_owned(),
            ),
            _ => Ok(()),
        }
    }

    pub fn is_on(&self) -> bool {
        self.origins != Origins::None
    }

    /// What the product does for an API that says nothing of its own.
    fn of_the_product() -> Cors {
        Cors {
            origins: Origins::Any,
            headers: Some(HeaderValue::from_static(
                "authorization, Access-Control-Allow-Origin, Content-Type, SOAPAction, apikey, testKey, Internal-Key",
            )),
            methods: Some(HeaderValue::from_static("GET, PUT, POST, DELETE, PATCH, OPTIONS")),
            ..Cors::default()
        }
    }

    /// What a request will be told. `None` where CORS is off.
    pub fn visit(self: &Arc<Cors>, method: &Method, headers: &HeaderMap) -> Option<Visit> {
        if !self.is_on() {
            return None;
        }
        let origin = headers.get(ORIGIN);
        let allowed = match (&self.origins, origin) {
            (_, None) => None,
            (Origins::Any, Some(_)) => Some(HeaderValue::from_static("*")),
            (Origins::These(list), Some(origin)) => list.iter().find(|known| known == origin).cloned(),
            (Origins::None, _) => None,
        };
        Some(Visit {
            rules: Arc::clone(self),
            stranger: origin.is_some() && allowed.is_none(),
            allowed,
            asks: (method == Method::OPTIONS).then(|| headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned()),
        })
    }
}

impl Visit {
    /// A page from elsewhere, which may not call.
    pub fn is_strange(&self) -> bool {
        self.stranger
    }

    /// Puts the headers on an answer; those of a backend that speaks for itself give way, as a browser takes no header twice.
    pub fn dress(self, reply: &mut Reply) {
        let headers = &mut reply.headers;
        for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS] {
            headers.remove(name);
        }
        if self.rules.origins != Origins::Any {
            // Or a cache would give one page the answer of another.
            vary(headers, "Origin");
        }
        let Some(origin) = self.allowed else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.rules.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let rules = &self.rules;
        let mut say = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.entry(name).or_insert(value);
            }
        };
        say(ACCESS_CONTROL_EXPOSE_HEADERS, rules.exposed.clone());
        let Some(asked) = self.asks else {
            return;
        };
        say(ACCESS_CONTROL_MAX_AGE, rules.max_age.map(HeaderValue::from));
        let echoed = rules.headers.is_none() && asked.is_some();
        say(ACCESS_CONTROL_ALLOW_HEADERS, rules.headers.clone().or(asked));
        let methods = rules.methods.clone().or_else(|| headers.get(ALLOW).cloned());
        if let Some(methods) = methods {
            headers.entry(ACCESS_CONTROL_ALLOW_METHODS).or_insert(methods);
        }
        if echoed {
            vary(headers, "Access-Control-Request-Headers");
        }
    }
}

fn vary(headers: &mut HeaderMap, on: &'static str) {
    let said = headers
        .get_all(VARY)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut names = said.flat_map(|value| value.split(',')).map(str::trim);
    if !names.any(|name| name == "*" || name.eq_ignore_ascii_case(on)) {
        headers.append(VARY, HeaderValue::from_static(on));
    }
}

const HANDLER: &str = "security.CORSRequestHandler";

/// What API Manager's handler lets in, if the API has it.
pub fn of_handlers(api: &Element, planner: &mut Planner<'_>) -> Option<Cors> {
    let mut handlers = api.all("handlers").flat_map(|handlers| handlers.all("handler"));
    // The product writes it twice, for endpoints and for scripts, with the same properties.
    let handler = handlers.find(|handler| {
        handler
            .get("class")
            .and_then(|class| class.trim().strip_prefix(guard::PREFIX))
            == Some(HANDLER)
    })?;
    let mut cors = Cors::of_the_product();
    let properties: Vec<&Element> = handler.all("property").collect();
    for property in properties {
        let (Some(name), Some(value)) = (property.get("name"), property.attribute("value")) else {
            continue;
        };
        let key = match name {
            "allowedOrigins" => "origins",
            "allowHeaders" => "headers",
            "allowedMethods" => "methods",
            "allowCredentials" => "credentials",
            _ => continue,
        };
        let value = value.value.trimmed();
        if value.text.is_empty() {
            continue;
        }
        if let Err(reason) = cors.set(key, &value.text) {
            let mistake = Diagnostic::error("E0203", value.span, format!("`{name}` does not fit"));
            planner.tell(mistake.label(reason));
            return None;
        }
    }
    Some(cors)
}

// Reading

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' '])
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn origins(text: &str) -> Result<Origins, String> {
    let mut list = Vec::new();
    for word in words(text) {
        if word == "*" {
            return Ok(Origins::Any);
        }
        // A browser compares byte for byte, and writes neither a path nor a slash.
        let word = word.trim_end_matches('/').to_ascii_lowercase();
        let is_origin = word.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.authority().is_some() && matches!(uri.path(), "" | "/")
        });
        let value = HeaderValue::from_str(&word)
            .ok()
            .filter(|_| is_origin && !word.contains(['*', '?', '@']));
        list.push(value.ok_or_else(|| {
            format!("`{word}` is not an origin: write `https://app.example.com`, with a port where it is not the usual one, or `*` for all")
        })?);
    }
    Ok(match list.is_empty() {
        true => Origins::None,
        false => Origins::These(list),
    })
}

fn joined(words: Vec<&str>) -> Option<HeaderValue> {
    HeaderValue::from_str(&words.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

fn names(text: &str) -> Result<Option<HeaderValue>, String> {
    let names: Vec<&str> = words(text).collect();
    match names
        .iter()
        .find(|name| HeaderName::from_bytes(name.as_bytes()).is_err())
    {
        Some(name) => Err(format!("`{name}` is not the name of a header")),
        None => Ok(joined(names)),
    }
}

fn methods(text: &str) -> Result<Option<HeaderValue>, String> {
    let methods: Vec<&str> = words(text).collect();
    match methods
        .iter()
        .find(|name| Method::from_bytes(name.as_bytes()).is_err())
    {
        Some(name) => Err(format!("`{name}` is not a method")),
        None => Ok(joined(methods)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn cors(settings: &[(&str, &str)]) -> Result<Arc<Cors>, String> {
        let mut cors = Cors::default();
        for (key, value) in settings {
            cors.set(key, value)?;
        }
        Ok(Arc::new(cors))
    }

    /// What the headers of an answer with `Allow: GET` are after a request.
    fn check(settings: &[(&str, &str)], request: &str, expected: &[&str]) {
        let cors = cors(settings).expect("the settings are right");
        let mut lines = request.lines();
        let method = lines.next().unwrap_or("").parse().expect("a method");
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let mut reply = Reply::new(StatusCode::OK);
        reply.headers.insert(ALLOW, HeaderValue::from_static("GET"));
        reply.headers.insert(
            ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("http://the-backends-own"),
        );
        let visit = cors.visit(&method, &headers).expect("it is on");
        visit.dress(&mut reply);
        reply.headers.remove(ALLOW);
        let mut said: Vec<String> = reply
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        said.sort();
        assert_eq!(said, expected, "{settings:?} {request}");
    }

    #[test]
    fn a_page_that_is_named_may_call() {
        let named = &[("origins", "https://a.example, http://b.example:8080/")];
        check(
            named,
            "GET\norigin: https://a.example",
            &["access-control-allow-origin: https://a.example", "vary: Origin"],
        );
        check(
            named,
            "GET\norigin: http://b.example:8080",
            &[
                "access-control-allow-origin: http://b.example:8080",
                "vary: Origin",
            ],
        );
        check(
            &[("origins", "*")],
            "GET\norigin: null",
            &["access-control-allow-origin: *"],
        );
    }

    #[test]
    fn another_page_hears_nothing() {
        for origin in [
            "https://a.example.evil",
            "https://evil-a.example",
            "http://a.example",
            "https://a.example:444",
            "null",
            "https://x.a.example",
            "https://a.example/",
        ] {
            let request = format!("GET\norigin: {origin}");
            check(&[("origins", "https://a.example")], &request, &["vary: Origin"]);
        }
        check(&[("origins", "https://a.example")], "GET", &["vary: Origin"]);
        check(&[("origins", "*")], "GET", &[]);
    }

    #[test]
    fn a_preflight_hears_what_it_may_do() {
        check(
            &[("origins", "*")],
            "OPTIONS\norigin: https://a.example\naccess-control-request-headers: x-a, x-b",
            &[
                "access-control-allow-headers: x-a, x-b",
                "access-control-allow-methods: GET",
                "access-control-allow-origin: *",
                "vary: Access-Control-Request-Headers",
            ],
        );
        check(
            &[
                ("origins", "https://a.example"),
                ("headers", "X-One,X-Two"),
                ("methods", "PUT POST"),
                ("expose-headers", "x-seen"),
                ("credentials", "true"),
                ("max-age", "600"),
            ],
            "OPTIONS\norigin: https://a.example\naccess-control-request-headers: x-a",
            &[
                "access-control-allow-credentials: true",
                "access-control-allow-headers: X-One, X-Two",
                "access-control-allow-methods: PUT, POST",
                "access-control-allow-origin: https://a.example",
                "access-control-expose-headers: x-seen",
                "access-control-max-age: 600",
                "vary: Origin",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (settings, expected) in [
            (
                &[("origins", "example.com")][..],
                "`example.com` is not an origin",
            ),
            (
                &[("origins", "https://a.example/path")],
                "`https://a.example/path` is not an origin",
            ),
            (
                &[("origins", "https://*.example.com")],
                "`https://*.example.com` is not an origin",
            ),
            (
                &[("origins", "*"), ("credentials", "true")],
                "with credentials each origin has to be named",
            ),
            (&[("credentials", "yes")], "this is `true` or `false`"),
            (&[("max-age", "1h")], "this is a number of seconds"),
            (&[("headers", "a:b")], "`a:b` is not the name of a header"),
            (&[("methods", "GET;")], "`GET;` is not a method"),
            (&[("other", "")], "the settings here are origins"),
        ] {
            let told = cors(settings).err().unwrap_or_default();
            assert!(told.starts_with(expected), "{settings:?}: {told}");
        }
        assert!(!Cors::default().is_on());
    }
}
