//! Tokens: asked for once by whoever needs one first, kept until shortly before they expire, renewed when a backend refuses them.

use super::{basic, hidden, key, refused};
use crate::flow::credentials::{Key, Signer};
use crate::flow::{Fault, Worker};
use crate::message::body::ByteStream;
use crate::message::replay::ReplayLimits;
use crate::wire::Profile;
use crate::wire::client::{ClientRequest, ClientResponse};
use crate::wire::url::Url;
use async_trait::async_trait;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    ClientCredentials,
    Password,
    Refresh,
}

#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub connect: Option<Duration>,
    pub response: Option<Duration>,
}

/// What a token is asked for with. Empty where there is none.
pub struct Request {
    pub grant: Grant,
    pub url: String,
    pub client_id: String,
    pub client_secret: String,
    pub username: String,
    pub password: String,
    pub refresh_token: String,
    pub in_payload: bool,
    pub parameters: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub times: Times,
    pub profile: Option<Arc<Profile>>,
}

/// How long a token is kept that does not say how long it holds: as long as Synapse keeps any.
const UNKNOWN: Duration = Duration::from_secs(50 * 60);

/// So long before its end a token is not used any more: it has to arrive, and clocks differ.
const SKEW: Duration = Duration::from_secs(30);

/// Bodies up to this size are sent again with another token.
const MOST_REPEATED: usize = 1 << 20;

/// An answer of a token endpoint.
const LARGEST_ANSWER: usize = 1 << 20;

/// One token, for all threads.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    /// Held by whoever asks for a token just now.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The newest refresh token.
    refresh: Option<String>,
    /// How often somebody has asked, and why the last one got none.
    asked: u64,
    failure: Option<Fault>,
}

#[derive(Clone)]
struct Token {
    text: Arc<str>,
    until: Instant,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self) -> Option<Arc<str>> {
        let state = self.state();
        let token = state.token.as_ref()?;
        (Instant::now() < token.until).then(|| Arc::clone(&token.text))
    }

    async fn token(&self, worker: &Worker, request: &Request) -> Result<Arc<str>, Fault> {
        if let Some(token) = self.good() {
            return Ok(token);
        }
        let asked = self.state().asked;
        let turn = self.asking.lock().await;
        if let Some(token) = self.good() {
            return Ok(token);
        }
        {
            let state = self.state();
            // Whoever was asked meanwhile was asked for all who wait.
            if let (true, Some(failure)) = (state.asked > asked, &state.failure) {
                return Err(failure.clone());
            }
        }
        let refresh = self.state().refresh.clone();
        let got = request.ask(worker, refresh).await;
        let mut state = self.state();
        state.asked += 1;
        drop(turn);
        match got {
            Ok(granted) => {
                state.failure = None;
                if granted.refresh.is_some() {
                    state.refresh = granted.refresh;
                }
                state.token = Some(granted.token.clone());
                Ok(granted.token.text)
            }
            Err(fault) => {
                state.refresh = None;
                state.failure = Some(fault.clone());
                Err(fault)
            }
        }
    }

    fn forget(&self, refused: &str) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|token| *token.text == *refused) {
            state.token = None;
        }
    }
}

struct Granted {
    token: Token,
    refresh: Option<String>,
}

impl Request {
    fn key(&self) -> Key {
        let grant = format!("{:?} {}", self.grant, self.in_payload);
        let mut parts = vec![
            "oauth",
            &grant,
            &self.url,
            &self.client_id,
            &self.client_secret,
            &self.username,
            &self.password,
            &self.refresh_token,
        ];
        for (name, value) in self.parameters.iter().chain(&self.headers) {
            parts.extend([name.as_str(), value.as_str()]);
        }
        key(&parts)
    }

    /// Asks with the newest refresh token first, where there is one, and with everything if that is refused.
    async fn ask(&self, worker: &Worker, refresh: Option<String>) -> Result<Granted, Fault> {
        if let Some(refresh) = refresh
            && let Ok(granted) = self.ask_with(worker, Grant::Refresh, &refresh).await
        {
            return Ok(granted);
        }
        self.ask_with(worker, self.grant, &self.refresh_token).await
    }

    async fn ask_with(&self, worker: &Worker, grant: Grant, refresh: &str) -> Result<Granted, Fault> {
        let mut url = Url::parse(&self.url)
            .map_err(|_| refused("the address of the token endpoint cannot be called"))?;
        let place = format!("{}{}", url.origin, url.path_and_query.path());
        if let Some(profile) = &self.profile {
            url = url.with_profile(profile);
        }
        let mut form: Vec<(&str, &str)> = match grant {
            Grant::ClientCredentials => vec![("grant_type", "client_credentials")],
            Grant::Password => vec![
                ("grant_type", "password"),
                ("username", &self.username),
                ("password", &self.password),
            ],
            Grant::Refresh => vec![("grant_type", "refresh_token"), ("refresh_token", refresh)],
        };
        if self.in_payload && !self.client_id.is_empty() {
            form.push(("client_id", &self.client_id));
            form.push(("client_secret", &self.client_secret));
        }
        form.extend(
            self.parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let mut request = ClientRequest::new(Method::POST, url);
        request.connect_timeout = self.times.connect;
        request.response_timeout = self.times.response;
        request.body_gap = self.times.response;
        request.body = ByteStream::from(bytes::Bytes::from(encoded(&form)));
        request.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        request
            .headers
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !self.in_payload && !self.client_id.is_empty() {
            let header = basic::header(&self.client_id, &self.client_secret)?;
            request.headers.insert(AUTHORIZATION, header);
        }
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| refused("a header for the token endpoint has no name"))?;
            request.headers.insert(name, hidden(value)?);
        }
        let failed = |reason: String| {
            let reason = self.without_secrets(&reason, refresh);
            tracing::warn!(token_endpoint = place, reason, "There is no token for a backend.");
            refused(format!("no token from {place}: {reason}"))
        };
        let response = worker.client.send(request).await;
        let response = response.map_err(|error| failed(error.message))?;
        let status = response.status;
        let body = response.body.collect(LARGEST_ANSWER).await;
        let (body, _) = body.map_err(|error| failed(error.message))?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        let text = |name: &str| answer.as_ref().and_then(|answer| answer.get(name)?.as_str());
        if !status.is_success() {
            let reason: Vec<&str> = ["error", "error_description"]
                .into_iter()
                .filter_map(text)
                .collect();
            let colon = if reason.is_empty() { "" } else { ": " };
            return Err(failed(format!(
                "it answered {}{colon}{}",
                status.as_u16(),
                reason.join(": ")
            )));
        }
        let Some(token) = text("access_token").filter(|token| !token.is_empty()) else {
            return Err(failed(format!(
                "it answered {} without an `access_token`",
                status.as_u16()
            )));
        };
        // Some write the number as text.
        let seconds = answer
            .as_ref()
            .and_then(|answer| match answer.get("expires_in")? {
                Value::String(text) => text.trim().parse().ok(),
                number => number.to_string().parse::<f64>().ok(),
            });
        let lasts = match seconds {
            Some(seconds) if seconds.is_finite() => Duration::from_secs(seconds.clamp(0.0, 1e9) as u64),
            _ => UNKNOWN,
        };
        let lasts = lasts - SKEW.min(lasts / 10);
        Ok(Granted {
            token: Token {
                text: Arc::from(token),
                until: Instant::now() + lasts,
            },
            refresh: text("refresh_token").map(str::to_owned),
        })
    }

    /// What a token endpoint says may repeat what it was told.
    fn without_secrets(&self, reason: &str, refresh: &str) -> String {
        let mut reason: String = reason
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let values = self.parameters.iter().chain(&self.headers);
        let secrets = [&self.client_secret, &self.password, &self.refresh_token]
            .into_iter()
            .chain(values.map(|(_, value)| value))
            .map(String::as_str)
            .chain([refresh]);
        for secret in secrets.filter(|secret| secret.len() > 3) {
            reason = reason.replace(secret, "***");
        }
        let end = reason.char_indices().nth(300).map_or(reason.len(), |(at, _)| at);
        reason.truncate(end);
        reason
    }
}

const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*');

fn encoded(form: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = form
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                utf8_percent_encode(name, FORM),
                utf8_percent_encode(value, FORM)
            )
        })
        .collect();
    pairs.join("&")
}

/// `Authorization: Bearer …`
pub struct Bearer {
    request: Rc<Request>,
    key: Key,
    largest: usize,
    used: RefCell<Option<Arc<str>>>,
}

impl Bearer {
    pub fn new(request: Rc<Request>, largest: usize) -> Bearer {
        Bearer {
            key: request.key(),
            request,
            largest: largest.min(MOST_REPEATED),
            used: RefCell::default(),
        }
    }

    fn slot(&self, worker: &Worker) -> Arc<Slot> {
        worker.runtime.shelf.get(&self.key)
    }
}

#[async_trait(?Send)]
impl Signer for Bearer {
    fn keep(&self, _: &Worker, _: &Url) -> Option<ReplayLimits> {
        Some(ReplayLimits {
            memory: self.largest,
            disk: 0,
        })
    }

    fn repeats(&self) -> bool {
        true
    }

    async fn sign(&self, worker: &Worker, request: &mut ClientRequest) -> Result<(), Fault> {
        let token = self.slot(worker).token(worker, &self.request).await?;
        request
            .headers
            .insert(AUTHORIZATION, hidden(&format!("Bearer {token}"))?);
        self.used.replace(Some(token));
        Ok(())
    }

    fn answered(&self, worker: &Worker, _: &Url, response: &ClientResponse) -> bool {
        if response.status != StatusCode::UNAUTHORIZED {
            return false;
        }
        if let Some(used) = self.used.take() {
            self.slot(worker).forget(&used);
        }
        true
    }
}
