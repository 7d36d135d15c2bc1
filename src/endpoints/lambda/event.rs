//! The event: what a function is given of a message, in one of four shapes.

use crate::flow::delivery::{self, Delivery};
use crate::flow::outgoing;
use crate::flow::{Exchange, Fault};
use crate::message::json::{self, Json, Object};
use crate::message::media_type::{Charset, Form, MediaType};
use crate::message::payload::Payload;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Wso2,
    /// Amazon API Gateway, REST APIs ("proxy integration").
    ApiGatewayV1,
    /// Amazon API Gateway, HTTP APIs, and function URLs.
    ApiGatewayV2,
    Body,
}

/// Whether the body is written in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encode {
    /// When it is no text.
    Auto,
    Always,
    Never,
}

pub struct Event {
    pub bytes: Vec<u8>,
    /// The payload as it was, for another attempt.
    pub kept: Option<Payload>,
    pub idempotent: bool,
}

/// Turns the message into an event.
pub async fn event(
    exchange: &mut Exchange,
    shape: Shape,
    encode: Encode,
    delivery: &Delivery,
) -> Result<Event, Fault> {
    let catalog = std::sync::Arc::clone(&exchange.catalog);
    if let Err(error) = exchange.message.payload.keep(&catalog.limits).await {
        return Err(exchange.not_parsed(error));
    }
    let kept = exchange.message.payload.try_clone();
    let host = exchange.message.headers.get(HOST).cloned();
    let method = delivery::method(exchange, delivery)?;
    let idempotent = method.is_idempotent();
    let is_json = shape == Shape::Body && encode != Encode::Always && has_json(exchange);
    if is_json && !exchange.message.payload.is_empty() {
        let bytes = json::text(exchange.json().await?).into_bytes();
        return Ok(Event {
            bytes,
            kept,
            idempotent,
        });
    }
    let outgoing = outgoing::outgoing(exchange, &method, delivery, false).await?;
    let collected = outgoing.body.collect(catalog.limits.body).await;
    let (bytes, _) = collected.map_err(|error| exchange.not_parsed(error.into()))?;
    let mut headers = outgoing.headers;
    if let Some(host) = host {
        headers.entry(HOST).or_insert(host);
    }
    headers.remove(CONTENT_LENGTH);
    if !bytes.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    strip_hop_by_hop(&mut headers);
    let body = Body::of(bytes, &headers, encode)?;
    let about = About {
        exchange,
        method: method.as_str(),
        headers: &headers,
        path: exchange.request.path(),
        template: exchange.properties.text("rest.url.pattern"),
    };
    let event = match shape {
        Shape::Wso2 => about.wso2(body),
        Shape::ApiGatewayV1 => about.version_1(body),
        Shape::ApiGatewayV2 => about.version_2(body),
        Shape::Body if body.bytes_were_none => Json::Object(Object::new()),
        Shape::Body => Json::from(body.text),
    };
    let mut bytes = Vec::new();
    json::write(&event, &mut bytes);
    Ok(Event {
        bytes,
        kept,
        idempotent,
    })
}

/// It is JSON, or can be written as JSON.
fn has_json(exchange: &Exchange) -> bool {
    let form = exchange.message.payload.form();
    form.is_soap() || matches!(form, Form::Json | Form::Xml | Form::UrlEncoded)
}

struct Body {
    text: String,
    base64: bool,
    bytes_were_none: bool,
}

impl Body {
    fn of(bytes: Bytes, headers: &HeaderMap, encode: Encode) -> Result<Body, Fault> {
        let text = match encode {
            Encode::Always => None,
            Encode::Auto if !headers.contains_key(CONTENT_ENCODING) => as_text(&bytes, headers),
            Encode::Auto => None,
            Encode::Never => Some(as_utf8(&bytes).ok_or_else(|| {
                Fault::mediation(
                    "the body is no text that can stand in an event, and `content-encode` is `off`",
                )
            })?),
        };
        Ok(Body {
            base64: text.is_none(),
            bytes_were_none: bytes.is_empty(),
            text: text.unwrap_or_else(|| STANDARD.encode(&bytes)),
        })
    }

    fn or_null(self) -> Json {
        if self.bytes_were_none {
            Json::Null
        } else {
            Json::from(self.text)
        }
    }
}

fn as_utf8(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// A body whose Content-Type says that it is text, and that is.
fn as_text(bytes: &[u8], headers: &HeaderMap) -> Option<String> {
    if bytes.is_empty() {
        return Some(String::new());
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return as_utf8(bytes);
    };
    let media_type = MediaType::parse(content_type.to_str().ok()?);
    let essence = media_type.essence.as_str();
    let is_text = match media_type.form() {
        Form::Json | Form::Xml | Form::Soap11 | Form::Soap12 | Form::Text | Form::UrlEncoded => true,
        Form::Binary | Form::Multipart => false,
        Form::Unknown => essence.starts_with("text/") || essence.ends_with("javascript"),
    };
    match media_type.charset.as_deref() {
        _ if !is_text => None,
        None => as_utf8(bytes),
        Some(name) => {
            let text = Charset::named(name)?.decode(bytes).ok()?;
            Some(text.into_owned())
        }
    }
}

/// A function is another hop.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    for name in super::HOP_BY_HOP {
        headers.remove(*name);
    }
}

/// What events tell of a message beside its body.
struct About<'a> {
    exchange: &'a Exchange,
    method: &'a str,
    headers: &'a HeaderMap,
    path: &'a str,
    /// Of the resource.
    template: Option<String>,
}

impl About<'_> {
    /// API Manager's, since 4.1.
    fn wso2(&self, body: Body) -> Json {
        let is_base64 = body.base64 && !body.bytes_were_none;
        let text = if body.bytes_were_none {
            "{}".to_owned()
        } else {
            body.text
        };
        object([
            ("headers", map(self.named_headers())),
            ("pathParameters", map(self.properties("uri.var."))),
            ("queryStringParameters", map(self.properties("query.param."))),
            ("httpMethod", Json::from(self.method)),
            ("path", Json::from(self.template.as_deref().unwrap_or(self.path))),
            ("body", Json::from(text)),
            ("isBase64Encoded", Json::from(is_base64)),
        ])
    }

    fn version_1(&self, body: Body) -> Json {
        let query = self.query();
        let identity = object([
            ("sourceIp", Json::from(self.source_ip())),
            ("userAgent", or_null(self.user_agent())),
        ]);
        let template = self.template.as_deref().unwrap_or("/{proxy+}");
        let millis = self.exchange.worker.runtime.clock.millis();
        let domain = self.domain();
        let context = object([
            ("resourcePath", Json::from(template)),
            ("httpMethod", Json::from(self.method)),
            ("requestTime", Json::from(common_log_time(millis))),
            ("path", Json::from(self.path)),
            ("stage", Json::from("$default")),
            ("domainPrefix", Json::from(domain.split('.').next().unwrap_or(""))),
            ("requestTimeEpoch", Json::from(millis)),
            ("requestId", Json::from(self.request_id())),
            ("identity", identity),
            ("domainName", Json::from(domain)),
            ("apiId", or_null(self.api().as_deref())),
        ]);
        let is_base64 = body.base64 && !body.bytes_were_none;
        object([
            ("version", Json::from("1.0")),
            ("resource", Json::from(template)),
            ("path", Json::from(self.path)),
            ("httpMethod", Json::from(self.method)),
            ("headers", map(self.named_headers())),
            ("multiValueHeaders", map_of_lists(self.named_headers())),
            ("queryStringParameters", map_or_null(query.clone())),
            ("multiValueQueryStringParameters", map_of_lists_or_null(query)),
            ("pathParameters", map_or_null(self.properties("uri.var."))),
            ("stageVariables", Json::Null),
            ("requestContext", context),
            ("body", body.or_null()),
            ("isBase64Encoded", Json::from(is_base64)),
        ])
    }

    fn version_2(&self, body: Body) -> Json {
        let route = match &self.template {
            Some(template) => format!("{} {template}", self.method),
            None => "$default".to_owned(),
        };
        let millis = self.exchange.worker.runtime.clock.millis();
        let domain = self.domain();
        let http = object([
            ("method", Json::from(self.method)),
            ("path", Json::from(self.path)),
            ("sourceIp", Json::from(self.source_ip())),
            ("userAgent", Json::from(self.user_agent().unwrap_or(""))),
        ]);
        let context = object([
            ("apiId", or_null(self.api().as_deref())),
            ("domainName", Json::from(domain)),
            ("domainPrefix", Json::from(domain.split('.').next().unwrap_or(""))),
            ("http", http),
            ("requestId", Json::from(self.request_id())),
            ("routeKey", Json::from(route.as_str())),
            ("stage", Json::from("$default")),
            ("time", Json::from(common_log_time(millis))),
            ("timeEpoch", Json::from(millis)),
        ]);
        let cookies: Vec<Json> = self
            .headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
            .map(|cookie| Json::from(String::from_utf8_lossy(cookie.trim_ascii())))
            .collect();
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| **name != COOKIE)
            .map(|(name, value)| (name.as_str().to_owned(), lossy(value)));
        let query = joined(self.query());
        let path_parameters = self.properties("uri.var.");
        let is_base64 = body.base64 && !body.bytes_were_none;
        let mut event = Object::new();
        let mut put = |name: &str, value: Json| {
            event.insert(name.to_owned(), value);
        };
        put("version", Json::from("2.0"));
        put("routeKey", Json::from(route));
        put("rawPath", Json::from(self.path));
        put(
            "rawQueryString",
            Json::from(self.exchange.request.query().unwrap_or("")),
        );
        if !cookies.is_empty() {
            put("cookies", Json::Array(cookies));
        }
        put("headers", map(joined(headers.collect())));
        if !query.is_empty() {
            put("queryStringParameters", map(query));
        }
        put("requestContext", context);
        if !path_parameters.is_empty() {
            put("pathParameters", map(path_parameters));
        }
        if !body.bytes_were_none {
            put("body", Json::from(body.text));
        }
        put("isBase64Encoded", Json::from(is_base64));
        Json::Object(event)
    }

    /// Under names as clients commonly write them.
    fn named_headers(&self) -> Vec<(String, String)> {
        self.headers
            .iter()
            .map(|(name, value)| (in_capitals(name.as_str()), lossy(value)))
            .collect()
    }

    /// The properties whose names begin so, without that beginning.
    fn properties(&self, prefix: &str) -> Vec<(String, String)> {
        let properties = &self.exchange.properties;
        let mut names = properties.default_names();
        names.sort_unstable();
        names
            .iter()
            .filter_map(|name| {
                let value = properties.get(name)?.to_text().into_owned();
                Some((name.strip_prefix(prefix)?.to_owned(), value))
            })
            .collect()
    }

    /// The query of the client's request, decoded; what a step set as `query.param.…` takes the place of what came.
    fn query(&self) -> Vec<(String, String)> {
        let set: Vec<(String, String)> = self
            .exchange
            .properties
            .default_values()
            .iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("query.param.")?;
                Some((name.to_owned(), value.to_text().into_owned()))
            })
            .collect();
        let pieces = self.exchange.request.query().unwrap_or("").split('&');
        let mut query: Vec<(String, String)> = pieces
            .filter(|piece| !piece.is_empty())
            .map(|piece| {
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                (decoded(name), decoded(value))
            })
            .filter(|(name, _)| !set.iter().any(|(known, _)| known == name))
            .collect();
        query.extend(set);
        query
    }

    fn source_ip(&self) -> String {
        self.exchange.request.remote.ip().to_canonical().to_string()
    }

    fn user_agent(&self) -> Option<&str> {
        self.headers.get(http::header::USER_AGENT)?.to_str().ok()
    }

    fn domain(&self) -> &str {
        let host = self.exchange.request.host();
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        }
    }

    fn request_id(&self) -> String {
        let id = self.exchange.worker.runtime.message_id();
        id.strip_prefix("urn:uuid:").unwrap_or(&id).to_owned()
    }

    fn api(&self) -> Option<String> {
        self.exchange.properties.text("SYNAPSE_REST_API")
    }
}

/// `09/Apr/2015:12:34:56 +0000`
fn common_log_time(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis).map_or(String::new(), |time| {
        time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
    })
}

/// `x-request-id` as `X-Request-Id`.
fn in_capitals(name: &str) -> String {
    let mut after_dash = true;
    name.chars()
        .map(|letter| {
            let first = std::mem::replace(&mut after_dash, letter == '-');
            if first {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        })
        .collect()
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Json::Object(members.collect())
}

fn or_null(text: Option<&str>) -> Json {
    text.map_or(Json::Null, Json::from)
}

/// Of equal names the last one counts.
fn map(pairs: Vec<(String, String)>) -> Json {
    Json::Object(
        pairs
            .into_iter()
            .map(|(name, value)| (name, Json::from(value)))
            .collect(),
    )
}

fn map_or_null(pairs: Vec<(String, String)>) -> Json {
    if pairs.is_empty() { Json::Null } else { map(pairs) }
}

fn map_of_lists(pairs: Vec<(String, String)>) -> Json {
    let mut lists = Object::new();
    for (name, value) in pairs {
        let list = lists.entry(name).or_insert_with(|| Json::Array(Vec::new()));
        if let Json::Array(list) = list {
            list.push(Json::from(value));
        }
    }
    Json::Object(lists)
}

fn map_of_lists_or_null(pairs: Vec<(String, String)>) -> Json {
    if pairs.is_empty() {
        Json::Null
    } else {
        map_of_lists(pairs)
    }
}

/// Values of equal names with commas between.
fn joined(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => joined.push((name, value)),
        }
    }
    joined
}
