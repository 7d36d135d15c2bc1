//! The reply: what a function returned, as an answer over HTTP.

use crate::flow::{Answer, Fault, fault};
use crate::message::body::ByteStream;
use crate::message::encoding::Encoding;
use crate::message::json::{self, Json, JsonLimits, Object};
use crate::message::media_type::MediaType;
use crate::message::payload::Payload;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Whether `statusCode`, `headers` and `body` of a reply become those of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// When the reply looks like one that means it.
    Auto,
    Always,
    Never,
}

/// As much as a function can return; it nests no deeper than other JSON may.
const LIMITS: JsonLimits = JsonLimits {
    depth: 128,
    size: 8 << 20,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Makes an answer of what the function returned.
pub fn answer(payload: Vec<u8>, mapping: Mapping) -> Result<Answer, Fault> {
    let bytes = Bytes::from(payload);
    let reply = match mapping {
        Mapping::Never => None,
        // Most replies that mean nothing by it are told by a look for the word.
        Mapping::Auto if memchr::memmem::find(&bytes, b"\"statusCode\"").is_none() => None,
        Mapping::Auto | Mapping::Always => proxy_reply(&bytes),
    };
    match reply {
        Some((status, reply)) => mapped(status, &reply),
        None if mapping == Mapping::Always => {
            Err(malformed("it is no object with a `statusCode` from 200 to 599"))
        }
        None => {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
            Ok(of(StatusCode::OK, headers, bytes))
        }
    }
}

/// An object with a status, and the parts beside it of the right sort.
fn proxy_reply(bytes: &[u8]) -> Option<(StatusCode, Object)> {
    let Ok(Json::Object(reply)) = json::parse(bytes, &LIMITS) else {
        return None;
    };
    let number = match reply.get("statusCode")? {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    let status = number.parse().ok().filter(|number| (200..600).contains(number))?;
    let is =
        |name: &str, fits: fn(&Json) -> bool| reply.get(name).is_none_or(|part| part.is_null() || fits(part));
    let fits = is("headers", Json::is_object)
        && is("multiValueHeaders", Json::is_object)
        && is("cookies", Json::is_array)
        && is("isBase64Encoded", Json::is_boolean);
    Some((StatusCode::from_u16(status).ok().filter(|_| fits)?, reply))
}

fn mapped(status: StatusCode, reply: &Object) -> Result<Answer, Fault> {
    let mut headers = HeaderMap::new();
    if let Some(Json::Object(lists)) = reply.get("multiValueHeaders") {
        for (name, values) in lists {
            let one = std::slice::from_ref(values);
            for value in values.as_array().map_or(one, Vec::as_slice) {
                append(&mut headers, name, value)?;
            }
        }
    }
    if let Some(Json::Object(singles)) = reply.get("headers") {
        for (name, value) in singles {
            let (name, value) = header(name, value)?;
            // What stands in both is meant once.
            if !headers.get_all(&name).iter().any(|known| *known == value) {
                headers.append(name, value);
            }
        }
    }
    if let Some(Json::Array(cookies)) = reply.get("cookies") {
        for cookie in cookies {
            append(&mut headers, SET_COOKIE.as_str(), cookie)?;
        }
    }
    for name in super::HOP_BY_HOP {
        headers.remove(*name);
    }
    // The body tells its own length.
    headers.remove(CONTENT_LENGTH);
    let bytes = body(reply)?;
    if !bytes.is_empty() {
        headers.entry(CONTENT_TYPE).or_insert(JSON);
    }
    Ok(of(status, headers, bytes))
}

fn body(reply: &Object) -> Result<Bytes, Fault> {
    let base64 = reply.get("isBase64Encoded") == Some(&Json::Bool(true));
    match reply.get("body") {
        None | Some(Json::Null) => Ok(Bytes::new()),
        Some(Json::String(text)) if base64 => STANDARD
            .decode(text.as_bytes())
            .map(Bytes::from)
            .map_err(|_| malformed("its body says that it is base64, and is not")),
        Some(Json::String(text)) => Ok(Bytes::from(text.clone())),
        Some(other) => Ok(Bytes::from(json::text(other))),
    }
}

fn append(headers: &mut HeaderMap, name: &str, value: &Json) -> Result<(), Fault> {
    let (name, value) = header(name, value)?;
    headers.append(name, value);
    Ok(())
}

/// A function must not be able to write a second header into the value of one.
fn header(name: &str, value: &Json) -> Result<(HeaderName, HeaderValue), Fault> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        Json::Array(_) | Json::Object(_) => return Err(malformed("a header has a value that is no text")),
        other => json::text(other),
    };
    let known = HeaderName::from_bytes(name.as_bytes()).ok();
    known
        .zip(HeaderValue::from_str(&text).ok())
        .ok_or_else(|| malformed("it has a header that cannot be sent"))
}

fn of(status: StatusCode, headers: HeaderMap, bytes: Bytes) -> Answer {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let payload = if bytes.is_empty() {
        Payload::empty()
    } else {
        let media_type = text(CONTENT_TYPE).map(MediaType::parse);
        let encoding = text(CONTENT_ENCODING).map_or(Encoding::Identity, Encoding::parse);
        Payload::stream(media_type, encoding, ByteStream::from(bytes))
    };
    Answer {
        status,
        reason: None,
        headers,
        payload,
        tunnel: None,
    }
}

fn malformed(what: &str) -> Fault {
    let reason = format!("the function's reply cannot be an answer: {what}");
    Fault::backend(fault::code::RESPONSE_PROCESSING, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::payload::PayloadLimits;

    /// `STATUS name: value|… body`
    fn check(payload: &str, mapping: Mapping, expected: &str) {
        let told = match answer(payload.as_bytes().to_vec(), mapping) {
            Ok(mut answer) => {
                let headers: Vec<String> = answer
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
                    .collect();
                let limits = PayloadLimits::default();
                crate::flow::testing::wait(answer.payload.load(&limits)).expect("it can be read");
                let text = answer.payload.raw_text().ok().flatten().unwrap_or_default();
                format!("{} {} {text}", answer.status.as_u16(), headers.join("|"))
            }
            Err(fault) => fault.to_string(),
        };
        assert_eq!(told, expected, "for {payload}");
    }

    #[test]
    fn a_reply_that_looks_like_an_answer_is_one() {
        check(
            r#"{"statusCode": 201, "headers": {"X-A": "1", "X-N": 7}, "body": "hi"}"#,
            Mapping::Auto,
            "201 x-a: 1|x-n: 7|content-type: application/json hi",
        );
        check(
            r#"{"statusCode": "404", "body": {"no": "such"}}"#,
            Mapping::Auto,
            r#"404 content-type: application/json {"no":"such"}"#,
        );
        check(r#"{"statusCode": 204}"#, Mapping::Auto, "204  ");
        check(
            r#"{"statusCode": 200, "isBase64Encoded": true, "headers": {"content-type": "text/plain"}, "body": "aMO2"}"#,
            Mapping::Always,
            "200 content-type: text/plain hö",
        );
    }

    #[test]
    fn headers_of_many_values_and_cookies_are_all_there() {
        check(
            r#"{"statusCode": 200, "multiValueHeaders": {"X": ["a", "b"], "Y": "c"}, "headers": {"x": "b", "X": "d"}, "cookies": ["a=1", "b=2"]}"#,
            Mapping::Auto,
            "200 x: a|x: b|x: d|y: c|set-cookie: a=1|set-cookie: b=2 ",
        );
    }

    #[test]
    fn other_replies_are_passed_on_as_they_are() {
        for other in [
            r#"{"status": 200}"#,
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": 200, "headers": "none"}"#,
            r#"{"of": {"statusCode": 200}}"#,
            r#""text""#,
            "null",
        ] {
            check(
                other,
                Mapping::Auto,
                &format!("200 content-type: application/json {other}"),
            );
            check(
                other,
                Mapping::Always,
                "101510 the function's reply cannot be an answer: it is no object with a `statusCode` from 200 to 599",
            );
        }
        check(
            r#"{"statusCode": 500}"#,
            Mapping::Never,
            r#"200 content-type: application/json {"statusCode": 500}"#,
        );
    }

    #[test]
    fn a_function_cannot_write_headers_that_are_not_its_to_write() {
        for value in [r"1\r\nset-cookie: a=b", r"1\n2", r"\u0000"] {
            let header = format!(r#"{{"statusCode": 200, "headers": {{"x": "{value}"}}}}"#);
            let reason =
                "101510 the function's reply cannot be an answer: it has a header that cannot be sent";
            check(&header, Mapping::Auto, reason);
            let cookie = format!(r#"{{"statusCode": 200, "cookies": ["{value}"]}}"#);
            check(&cookie, Mapping::Auto, reason);
            let list = format!(r#"{{"statusCode": 200, "multiValueHeaders": {{"x": ["{value}"]}}}}"#);
            check(&list, Mapping::Auto, reason);
        }
        check(
            r#"{"statusCode": 200, "headers": {"content-length": "9", "transfer-encoding": "chunked", "connection": "close"}, "body": "hi"}"#,
            Mapping::Auto,
            "200 content-type: application/json hi",
        );
        check(
            r#"{"statusCode": 200, "isBase64Encoded": true, "body": "?"}"#,
            Mapping::Auto,
            "101510 the function's reply cannot be an answer: its body says that it is base64, and is not",
        );
    }
}
