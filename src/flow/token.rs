//! The caller's token: who issued it, what it says, and why it is refused. It is looked at when somebody asks, and once an exchange.

mod check;
pub mod keys;
#[cfg(test)]
mod tests;

use self::keys::Keys;
use super::{Fault, Runtime};
use crate::message::json::{Json, Object};
use crate::message::properties::Value;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
pub use jsonwebtoken::Algorithm;
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whose tokens are taken. Empty where the settings name nobody.
#[derive(Debug, Default)]
pub struct Tokens {
    pub issuers: Vec<Issuer>,
}

/// Somebody whose tokens are taken, and what holds for them. Nothing of this is ever read from a token.
#[derive(Debug)]
pub struct Issuer {
    /// What `iss` must be, to the letter.
    pub name: Arc<str>,
    pub kind: Kind,
    /// Where clients put the token.
    pub header: HeaderName,
    /// One of these must be in `aud`; when empty, `aud` is not looked at.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: Arc<Keys>,
    pub key_type_claim: String,
    pub scope_claim: String,
    /// Every token needs all of these.
    pub scopes: Vec<String>,
    /// By how much clocks may differ.
    pub skew: Duration,
    /// The header goes on to the backend.
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    AccessToken,
    ApiKey,
}

/// What a request has to present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub access_token: bool,
    pub api_key: bool,
}

/// What an API says otherwise than the settings: where its clients put their tokens, and whether these go on to the backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pub access_token: Option<HeaderName>,
    pub api_key: Option<HeaderName>,
    pub keep: Option<bool>,
}

/// Which endpoints the token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Production,
    Sandbox,
}

/// What a token says, once it is known to be true.
#[derive(Debug, Clone)]
pub struct Claims {
    pub all: Arc<Object>,
    pub kind: Kind,
    pub key_type: KeyType,
    pub scopes: Arc<[String]>,
    /// In seconds since 1970.
    pub expires: i64,
    /// Of the token as it was sent.
    pub digest: [u8; 32],
}

/// Why a request is not served. The numbers are API Manager's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    /// With the reason, for the log alone.
    Invalid(&'static str),
    Expired,
    /// With the scopes of which one would do.
    Scope(Vec<String>),
    /// The issuer's keys could never be had.
    NoKeys,
}

/// What one request presents.
pub struct Caller {
    runtime: Arc<Runtime>,
    headers: Headers,
    presented: Vec<Presented>,
}

struct Presented {
    /// The issuers that take tokens from this header.
    header: HeaderName,
    kind: Kind,
    token: Result<HeaderValue, Refusal>,
    checked: OnceCell<Result<Claims, Refusal>>,
}

impl Demand {
    pub const ANY: Demand = Demand {
        access_token: true,
        api_key: true,
    };

    fn takes(self, kind: Kind) -> bool {
        match kind {
            Kind::AccessToken => self.access_token,
            Kind::ApiKey => self.api_key,
        }
    }
}

impl Headers {
    fn of<'a>(&'a self, issuer: &'a Issuer) -> &'a HeaderName {
        let own = match issuer.kind {
            Kind::AccessToken => &self.access_token,
            Kind::ApiKey => &self.api_key,
        };
        own.as_ref().unwrap_or(&issuer.header)
    }
}

impl KeyType {
    /// `PRODUCTION` or nothing is production, as in API Manager; everything else is not let near it.
    pub fn named(text: &str) -> KeyType {
        if text.trim().eq_ignore_ascii_case("PRODUCTION") {
            KeyType::Production
        } else {
            KeyType::Sandbox
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            KeyType::Production => "PRODUCTION",
            KeyType::Sandbox => "SANDBOX",
        }
    }
}

impl Claims {
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.all.get(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The first of these claims that there is.
    pub fn first(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.get(name))?;
        match value {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// What `$ctx:NAME` gives: `TOKEN` all claims, `TOKEN.sub` one of them, and what scripts of API Manager read.
    pub fn property(&self, name: &str) -> Option<Value> {
        if let Some(claim) = name.strip_prefix("TOKEN.") {
            return Some(match self.get(claim)? {
                Json::String(text) => Value::text(text),
                Json::Bool(value) => Value::Boolean(*value),
                other => Value::Json(Arc::new(other.clone())),
            });
        }
        match name {
            "TOKEN" => Some(Value::Json(Arc::new(Json::Object((*self.all).clone())))),
            "api.ut.userId" | "api.ut.userName" => self.first(&["sub"]).map(Value::text),
            "api.ut.application.name" => self.application("name").map(Value::text),
            "api.ut.application.id" => self.application("id").map(Value::text),
            "api.ut.consumerKey" => self.first(&["azp", "client_id", "consumerKey"]).map(Value::text),
            _ => None,
        }
    }

    /// `application` of API Manager's own tokens: an object with `id`, `name`, `tier`, `uuid`, `owner`.
    pub fn application(&self, member: &str) -> Option<String> {
        match self.get("application")?.get(member)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub const PROPERTIES: &[&str] = &[
        "TOKEN",
        "api.ut.userId",
        "api.ut.application.name",
        "api.ut.consumerKey",
    ];
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Scope(_) => StatusCode::FORBIDDEN,
            Refusal::NoKeys => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    pub fn code(&self) -> i32 {
        match self {
            Refusal::NoKeys => code::UNCLASSIFIED,
            Refusal::Invalid(_) => code::INVALID,
            Refusal::Missing => code::MISSING,
            Refusal::Expired => code::EXPIRED,
            Refusal::Scope(_) => code::SCOPE,
        }
    }

    pub fn fault(&self) -> Fault {
        Fault::client(self.code(), self.description()).status(self.status().as_u16())
    }

    /// What the client hears. Nothing of why a token is wrong: that helps forgers more than clients.
    pub fn description(&self) -> &'static str {
        match self {
            Refusal::Missing => {
                "The request carries no token. Send one with the header that this API asks for."
            }
            Refusal::Invalid(_) => "The token of the request is not valid for this API.",
            Refusal::Expired => "The token has expired. Ask its issuer for another one.",
            Refusal::Scope(_) => "The token has no scope that allows this resource.",
            Refusal::NoKeys => "Tokens cannot be checked just now. Try again.",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid(reason) => out.write_str(reason),
            other => out.write_str(other.description()),
        }
    }
}

/// API Manager's numbers.
pub mod code {
    pub const UNCLASSIFIED: i32 = 900_900;
    pub const INVALID: i32 = 900_901;
    pub const MISSING: i32 = 900_902;
    pub const EXPIRED: i32 = 900_903;
    pub const SCOPE: i32 = 900_910;

    /// API Manager's title for a number.
    pub fn title(number: i32) -> Option<&'static str> {
        Some(match number {
            UNCLASSIFIED => "Unclassified Authentication Failure",
            INVALID => "Invalid Credentials",
            MISSING => "Missing Credentials",
            EXPIRED => "Access Token Expired",
            SCOPE => "The access token does not allow you to access the requested resource",
            _ => return None,
        })
    }
}

impl Caller {
    /// What the request presents; `None` where the settings take nobody's tokens.
    pub fn of(headers: &HeaderMap, names: Headers, runtime: &Arc<Runtime>) -> Option<Caller> {
        let issuers = &runtime.tokens.issuers;
        if issuers.is_empty() {
            return None;
        }
        let mut presented: Vec<Presented> = Vec::new();
        for issuer in issuers {
            let header = names.of(issuer);
            let known = presented
                .iter()
                .any(|known| known.header == *header && known.kind == issuer.kind);
            if let (false, Some(token)) = (known, token_in(headers, header)) {
                presented.push(Presented {
                    header: header.clone(),
                    kind: issuer.kind,
                    token,
                    checked: OnceCell::new(),
                });
            }
        }
        Some(Caller {
            runtime: Arc::clone(runtime),
            headers: names,
            presented,
        })
    }

    /// The claims of a good token. A key that is not known yet is asked for and waited for.
    pub async fn demand(&self, demand: Demand) -> Result<&Claims, Refusal> {
        let mut refusal = None;
        for presented in self
            .presented
            .iter()
            .filter(|presented| demand.takes(presented.kind))
        {
            match self.check(presented).await {
                Ok(claims) => return Ok(claims),
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
        Err(refusal.unwrap_or(Refusal::Missing))
    }

    /// The claims of a good token, as far as that can be told without waiting.
    pub fn claims(&self) -> Option<&Claims> {
        self.presented.iter().find_map(|presented| {
            if presented.checked.get().is_none() {
                let token = presented.token.as_ref().ok()?;
                let checked = self.judge(presented, token);
                if !matches!(checked, Err(Checking::UnknownKey(_))) {
                    drop(presented.checked.set(checked.map_err(Checking::refusal)));
                }
            }
            presented.checked.get()?.as_ref().ok()
        })
    }

    /// The headers that hold good tokens, and are not meant for the backend.
    pub fn headers_to_remove(&self) -> impl Iterator<Item = &HeaderName> {
        let good = |presented: &&Presented| matches!(presented.checked.get(), Some(Ok(_)));
        let kept = |header: &HeaderName| {
            let mut issuers = self.runtime.tokens.issuers.iter();
            let by_issuer = || issuers.any(|issuer| issuer.keep && self.headers.of(issuer) == header);
            self.headers.keep.unwrap_or_else(by_issuer)
        };
        self.presented
            .iter()
            .filter(good)
            .map(|presented| &presented.header)
            .filter(move |header| !kept(header))
    }

    async fn check<'a>(&'a self, presented: &'a Presented) -> Result<&'a Claims, Refusal> {
        if presented.checked.get().is_none() {
            let checked = match &presented.token {
                Err(refusal) => Err(refusal.clone()),
                Ok(token) => match self.judge(presented, token) {
                    Err(Checking::UnknownKey(keys)) => {
                        keys.ask_and_wait().await;
                        self.judge(presented, token).map_err(Checking::refusal)
                    }
                    judged => judged.map_err(Checking::refusal),
                },
            };
            drop(presented.checked.set(checked));
        }
        let checked = presented.checked.get().expect("it was set above");
        checked.as_ref().map_err(Refusal::clone)
    }

    fn judge(&self, presented: &Presented, token: &HeaderValue) -> Result<Claims, Checking> {
        let parsed = check::parse(token.as_bytes()).map_err(Checking::Refused)?;
        let now = self.runtime.clock.millis().div_euclid(1000);
        let issuer = parsed.claims.get("iss").and_then(Json::as_str);
        let mut refused = Checking::Refused(Refusal::Invalid("its issuer is not one of the settings"));
        for issuer in self.runtime.tokens.issuers.iter().filter(|known| {
            known.kind == presented.kind
                && *self.headers.of(known) == presented.header
                && Some(&*known.name) == issuer
        }) {
            match check::check(&parsed, issuer, now) {
                Ok(claims) => return Ok(claims),
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Caller with {} tokens", self.presented.len())
    }
}

/// What came of a check.
#[derive(Debug)]
pub(crate) enum Checking {
    Refused(Refusal),
    /// A key that may be new: the issuer can be asked.
    UnknownKey(Arc<Keys>),
}

impl Checking {
    fn refusal(self) -> Refusal {
        match self {
            Checking::Refused(refusal) => refusal,
            Checking::UnknownKey(keys) if keys.is_empty() => Refusal::NoKeys,
            Checking::UnknownKey(_) => Refusal::Invalid("its issuer has no such key"),
        }
    }
}

/// `None` when the header holds nothing that is meant to be a token.
fn token_in(headers: &HeaderMap, name: &HeaderName) -> Option<Result<HeaderValue, Refusal>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(Refusal::Invalid("its header stands there twice")));
    }
    let bytes = value.as_bytes();
    let bearer = bytes
        .get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let token = match (bearer, name == header::AUTHORIZATION) {
        (true, _) => bytes[7..].trim_ascii(),
        // Basic and the like are somebody else's.
        (false, true) => return None,
        (false, false) => bytes.trim_ascii(),
    };
    let token = HeaderValue::from_bytes(token);
    Some(token.map_err(|_| Refusal::Invalid("it is no token")))
}
