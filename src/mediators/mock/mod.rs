//! A mock: answers as an OpenAPI definition says, from its examples. Made by `deployment::openapi`; no element of Synapse.

pub mod accept;
pub mod check;
pub mod data;
pub mod prefer;
pub mod template;

use crate::flow::mishap::{self, Mishap, problem};
use crate::flow::{Answer, Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::json::Json;
use crate::message::media_type::{Form, MediaType};
use crate::message::payload::Payload;
use accept::Accept;
use async_trait::async_trait;
use bytes::Bytes;
use check::Check;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use prefer::Preferences;
use std::ops::RangeInclusive;
use template::Template;

/// The name of the step, for logs.
pub const STEP: &str = "mock";

/// One operation.
pub struct Mock {
    /// In the order of the definition.
    pub responses: Vec<Response>,
    /// What a request has to be like.
    pub check: Option<Check>,
    pub mishap: Mishap,
    /// Query parameters that belong to the operation itself, and therefore prefer nothing.
    pub own_query: Vec<String>,
}

pub struct Response {
    pub statuses: Statuses,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub media: Vec<Media>,
}

/// For which statuses a response stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statuses {
    These(RangeInclusive<u16>),
    /// All that no other response has.
    Default,
}

/// The bodies of one media type.
pub struct Media {
    /// As the header says it.
    pub content_type: String,
    pub media_type: MediaType,
    /// In the order of the definition; one without a name stands first.
    pub examples: Vec<Example>,
    /// For when there is no example, or chance is asked for.
    pub sampler: Option<Box<dyn Sampler>>,
}

pub struct Example {
    pub name: Option<String>,
    pub body: Bytes,
    /// It has places for what the request says.
    pub template: Option<Template>,
}

/// Makes a body that fits a schema.
pub trait Sampler: Send + Sync {
    /// Always the same without a seed.
    fn sample(&self, seed: Option<u64>) -> Bytes;
}

#[async_trait(?Send)]
impl Mediator for Mock {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let Some(answer) = self.answer(exchange).await? else {
            // Something has gone wrong on purpose.
            return Ok(Flow::Respond);
        };
        exchange.take(answer);
        exchange.message.addressing.to = None;
        exchange.message.response = true;
        Ok(Flow::Respond)
    }
}

impl Mock {
    /// The answer, which may be one that says why there is no other.
    async fn answer(&self, exchange: &mut Exchange) -> Result<Option<Answer>, Fault> {
        let asked = Preferences::of(exchange, &self.own_query)
            .and_then(|preferences| Ok((preferences, self.mishap.asked_by(exchange)?)));
        let (preferences, mishap) = match asked {
            Ok(asked) => asked,
            Err(detail) => {
                let title = "The preference is not valid";
                return Ok(Some(problem(StatusCode::BAD_REQUEST, title, &detail, &[])));
            }
        };
        let waits = exchange.worker.runtime.mishaps;
        let mishap = Mishap {
            latency: preferences.wait.filter(|_| waits).or(mishap.latency),
            ..mishap
        };
        if mishap.happen(exchange).await.is_some() {
            return Ok(None);
        }
        if let Some(check) = &self.check
            && let Some(refusal) = check.refusal(exchange).await?
        {
            return Ok(Some(refusal));
        }
        let accept = Accept::of(&exchange.message.headers);
        let chance = preferences.dynamic.then(|| exchange.worker.runtime.random_seed());
        let chosen = match self.choose(&preferences, &accept) {
            Ok(chosen) => chosen,
            Err(answer) => return Ok(Some(*answer)),
        };
        let filled = match chosen.template(chance) {
            Some(template) => Some(template.fill(exchange).await?),
            None => None,
        };
        Ok(Some(chosen.answer(chance, filled, preferences.applied(waits))))
    }

    fn choose<'a>(&'a self, preferences: &Preferences, accept: &Accept) -> Result<Chosen<'a>, Box<Answer>> {
        let (status, response) = match preferences.code {
            Some(code) => {
                let response = self.response_for(code).ok_or_else(|| self.no_such_code(code))?;
                (code, response)
            }
            None => {
                let usual = usual(&self.responses, |response| &response.statuses);
                let usual = usual.ok_or_else(nothing_to_say)?;
                (usual.statuses.first(), usual)
            }
        };
        let status = StatusCode::from_u16(status).map_err(|_| nothing_to_say())?;
        let Some(name) = &preferences.example else {
            let all: Vec<&Media> = response.media.iter().collect();
            let body = accept.choose(&all, |media| &media.media_type);
            return match body {
                Some(media) => Ok(Chosen {
                    status,
                    response,
                    body: Some((media, None)),
                }),
                None if all.is_empty() => Ok(Chosen {
                    status,
                    response,
                    body: None,
                }),
                None => Err(not_acceptable(&all)),
            };
        };
        // Asked for by its name alone, an example of another response brings that response's status with it.
        let others = self
            .responses
            .iter()
            .filter(|other| preferences.code.is_none() && !std::ptr::eq(*other, response))
            .filter_map(|other| Some((StatusCode::from_u16(other.statuses.first()).ok()?, other)));
        for (status, response) in std::iter::once((status, response)).chain(others) {
            let named: Vec<(&Media, &Example)> = response
                .media
                .iter()
                .filter_map(|media| Some((media, media.named(name)?)))
                .collect();
            if named.is_empty() {
                continue;
            }
            return match accept.choose(&named, |(media, _)| &media.media_type) {
                Some((media, example)) => Ok(Chosen {
                    status,
                    response,
                    body: Some((media, Some(example))),
                }),
                None => Err(not_acceptable(
                    &named.into_iter().map(|(media, _)| media).collect::<Vec<_>>(),
                )),
            };
        }
        Err(self.no_such_example(name, preferences.code.is_some().then_some(response)))
    }

    /// The response to a status: exactly this one, then the narrowest range, then `default`.
    fn response_for(&self, code: u16) -> Option<&Response> {
        let fits = |response: &&Response| match &response.statuses {
            Statuses::These(range) => range.contains(&code),
            Statuses::Default => true,
        };
        self.responses
            .iter()
            .filter(fits)
            .min_by_key(|response| response.statuses.width())
    }

    fn no_such_code(&self, code: u16) -> Box<Answer> {
        let known: Vec<Json> = self
            .responses
            .iter()
            .map(|response| Json::String(response.statuses.to_string()))
            .collect();
        let detail = format!("The definition has no answer {code} here, and no default.");
        refused(
            StatusCode::NOT_IMPLEMENTED,
            "There is no such answer",
            &detail,
            &[("codes", Json::Array(known))],
        )
    }

    fn no_such_example(&self, name: &str, only: Option<&Response>) -> Box<Answer> {
        let searched = self
            .responses
            .iter()
            .filter(|response| only.is_none_or(|only| std::ptr::eq(only, *response)));
        let mut known: Vec<Json> = Vec::new();
        for example in searched
            .flat_map(|response| &response.media)
            .flat_map(|media| &media.examples)
        {
            let name = example.name.clone().map(Json::String);
            known.extend(name.filter(|name| !known.contains(name)));
        }
        let detail = format!("The definition has no example `{name}` here.");
        refused(
            StatusCode::NOT_IMPLEMENTED,
            "There is no such example",
            &detail,
            &[("examples", Json::Array(known))],
        )
    }
}

/// The response that is sent when nobody wishes for another: the lowest success, else the lowest redirection, else `default` as a success, else what
/// stands first.
pub fn usual<R>(responses: &[R], statuses: impl Fn(&R) -> &Statuses) -> Option<&R> {
    let lowest = |hundred: u16| {
        let of_hundred = |response: &&R| {
            let statuses = statuses(response);
            *statuses != Statuses::Default && statuses.first() / 100 == hundred
        };
        let of_hundred = responses.iter().filter(of_hundred);
        of_hundred.min_by_key(|response| statuses(response).first())
    };
    let default = || {
        responses
            .iter()
            .find(|response| *statuses(response) == Statuses::Default)
    };
    let first = || {
        responses
            .iter()
            .find(|response| statuses(response).first() >= 200)
    };
    lowest(2).or_else(|| lowest(3)).or_else(default).or_else(first)
}

struct Chosen<'a> {
    status: StatusCode,
    response: &'a Response,
    /// Of which media type, and the example that was asked for.
    body: Option<(&'a Media, Option<&'a Example>)>,
}

impl Chosen<'_> {
    fn template(&self, chance: Option<u64>) -> Option<&Template> {
        let (media, example) = self.body?;
        media.example(example, chance)?.template.as_ref()
    }

    /// `filled`: the body, where it depends on the request.
    fn answer(&self, chance: Option<u64>, filled: Option<Bytes>, applied: Option<HeaderValue>) -> Answer {
        let mut answer = match self.body {
            None => Answer {
                status: self.status,
                reason: None,
                headers: HeaderMap::new(),
                payload: Payload::empty(),
                tunnel: None,
            },
            Some((media, example)) => {
                let body = filled.unwrap_or_else(|| media.body(example, chance));
                mishap::made(self.status, &media.content_type, body)
            }
        };
        for (name, value) in &self.response.headers {
            answer.headers.append(name.clone(), value.clone());
        }
        if let Some(applied) = applied {
            answer
                .headers
                .insert(HeaderName::from_static("preference-applied"), applied);
        }
        answer
    }
}

impl Statuses {
    /// The status that stands for them when nobody asks for another.
    pub fn first(&self) -> u16 {
        match self {
            Statuses::These(range) => *range.start(),
            Statuses::Default => 200,
        }
    }

    fn width(&self) -> u16 {
        match self {
            Statuses::These(range) => range.end() - range.start(),
            Statuses::Default => u16::MAX,
        }
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Statuses::These(range) => match range.end() - range.start() {
                0 => write!(out, "{}", range.start()),
                1..=9 => write!(out, "{}X", range.start() / 10),
                _ => write!(out, "{}XX", range.start() / 100),
            },
            Statuses::Default => out.write_str("default"),
        }
    }
}

/// An answer that stands for the one that is not there.
fn refused(status: StatusCode, title: &str, detail: &str, more: &[(&str, Json)]) -> Box<Answer> {
    Box::new(problem(status, title, detail, more))
}

impl Media {
    /// By its name as it is written; in other capitals, if that is clear.
    fn named(&self, name: &str) -> Option<&Example> {
        let is_named = |example: &&Example| example.name.as_deref() == Some(name);
        let is_almost = |example: &&Example| {
            let own = example.name.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.examples.iter().find(is_named).or_else(|| {
            let mut similar = self.examples.iter().filter(is_almost);
            similar.next().filter(|_| similar.next().is_none())
        })
    }

    /// The one that was asked for, else the first, unless chance is to make a body.
    fn example<'e>(&'e self, wanted: Option<&'e Example>, chance: Option<u64>) -> Option<&'e Example> {
        let by_chance = chance.is_some() && self.sampler.is_some();
        wanted.or(self.examples.first().filter(|_| !by_chance))
    }

    fn body(&self, example: Option<&Example>, chance: Option<u64>) -> Bytes {
        match (self.example(example, chance), &self.sampler) {
            (Some(example), _) => example.body.clone(),
            (None, Some(sampler)) => sampler.sample(chance),
            // An empty body would be no JSON.
            (None, None) if self.media_type.form() == Form::Json => Bytes::from_static(b"{}"),
            (None, None) => Bytes::new(),
        }
    }
}

fn not_acceptable(media: &[&Media]) -> Box<Answer> {
    let mut known: Vec<Json> = Vec::new();
    for media in media {
        let name = Json::String(media.content_type.clone());
        if !known.contains(&name) {
            known.push(name);
        }
    }
    refused(
        StatusCode::NOT_ACCEPTABLE,
        "No such media type",
        "The request accepts none of the media types that this answer has.",
        &[("types", Json::Array(known))],
    )
}

fn nothing_to_say() -> Box<Answer> {
    refused(
        StatusCode::NOT_IMPLEMENTED,
        "There is no answer",
        "The definition says nothing of what this operation answers.",
        &[],
    )
}

/// Headers that the wire itself writes.
pub fn is_own_header(name: &HeaderName) -> bool {
    [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::DATE,
    ]
    .contains(name)
}
