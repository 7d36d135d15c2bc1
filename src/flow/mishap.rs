//! What a mock does wrong on purpose, so that its clients can be tried: it answers late, brokenly, or not at all.

use super::{Answer, Exchange, Flow};
use crate::message::body::{ByteStream, StreamError, StreamErrorKind, StreamOrigin};
use crate::message::encoding::Encoding;
use crate::message::json::{self, Json, Object};
use crate::message::media_type::MediaType;
use crate::message::payload::Payload;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use std::time::Duration;

/// Request headers by which a client asks a mock for it; in OpenAPI definitions extensions of the same names.
pub const LATENCY: &str = "x-mock-latency";
pub const FAULT: &str = "x-mock-fault";

/// Nobody waits longer for an answer that comes.
pub const LONGEST: Duration = Duration::from_secs(30);

/// How long a connection is held whose request is never answered.
const NEVER: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mishap {
    pub latency: Option<Duration>,
    pub breakage: Option<Breakage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// The connection ends in the middle of an answer.
    Reset,
    /// The connection ends without an answer.
    Empty,
    /// No answer comes.
    Timeout,
    /// That status, whatever the mock would say.
    Status(StatusCode),
}

/// `200` (milliseconds), `200ms`, `1.5s`; never longer than `LONGEST`.
pub fn latency(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(millis), _) => (millis, 0.001),
        (None, Some(seconds)) => (seconds, 1.0),
        (None, None) => (text, 0.001),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * unit);
    let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| format!("`{text}` is no time: write 200, 200ms or 1.5s"))?;
    Ok(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

/// `reset`, `empty`, `timeout` or a status from 200 to 599.
pub fn breakage(text: &str) -> Result<Breakage, String> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "reset" => return Ok(Breakage::Reset),
        "empty" => return Ok(Breakage::Empty),
        "timeout" => return Ok(Breakage::Timeout),
        _ => {}
    }
    let status = text.parse().ok().filter(|status| (200..=599).contains(status));
    status
        .and_then(|status: u16| StatusCode::from_u16(status).ok())
        .map(Breakage::Status)
        .ok_or_else(|| format!("`{text}` is no fault: write reset, empty, timeout or a status such as 503"))
}

impl Mishap {
    /// What the request asks for, else this, where requests may ask (`mock.mishaps`).
    pub fn asked_by(self, exchange: &Exchange) -> Result<Mishap, String> {
        if !exchange.worker.runtime.mishaps {
            return Ok(self);
        }
        let header = |name: &str| exchange.message.header(name);
        Ok(Mishap {
            latency: header(LATENCY).map(latency).transpose()?.or(self.latency),
            breakage: header(FAULT).map(breakage).transpose()?.or(self.breakage),
        })
    }

    /// Waits, then breaks. `None`: the answer may come. The thread does other work meanwhile.
    pub async fn happen(self, exchange: &mut Exchange) -> Option<Flow> {
        if let Some(latency) = self.latency {
            tokio::time::sleep(latency.min(LONGEST)).await;
        }
        let breakage = self.breakage?;
        if breakage == Breakage::Timeout {
            tokio::time::sleep(NEVER).await;
        }
        exchange.take(match breakage {
            Breakage::Reset => broken(Some(Bytes::from_static(b"{\"this answer\": \"breaks o"))),
            Breakage::Empty | Breakage::Timeout => broken(None),
            Breakage::Status(status) => problem(
                status,
                "The mock was asked to fail",
                "`x-mock-fault` says so.",
                &[],
            ),
        });
        exchange.message.response = true;
        Some(Flow::Respond)
    }
}

/// A body that breaks off behind its first part, or before anything of the answer has been sent.
fn broken(first: Option<Bytes>) -> Answer {
    let error = StreamError::new(
        StreamOrigin::Backend,
        StreamErrorKind::Failed,
        "broken on purpose",
    );
    // The first part must be on its way before the connection ends; where there is none, not even the head may be.
    let pause = stream::once({
        let has_first = first.is_some();
        async move {
            if has_first {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let parts = stream::iter(first.map(|bytes| Ok(Frame::data(bytes))))
        .chain(pause.flat_map(move |()| stream::iter([Err(error.clone())])));
    let body = ByteStream::new(http_body_util::StreamBody::new(parts));
    Answer {
        status: StatusCode::OK,
        reason: None,
        headers: HeaderMap::new(),
        payload: Payload::stream(
            Some(MediaType::parse("application/octet-stream")),
            Encoding::Identity,
            body,
        ),
        tunnel: None,
    }
}

/// An answer that says what is wrong (RFC 9457), with members of its own.
pub fn problem(status: StatusCode, title: &str, detail: &str, more: &[(&str, Json)]) -> Answer {
    let mut members = Object::new();
    members.insert("title".to_owned(), title.into());
    members.insert("status".to_owned(), status.as_u16().into());
    members.insert("detail".to_owned(), detail.into());
    for (name, value) in more {
        members.insert((*name).to_owned(), value.clone());
    }
    let text = json::text(&Json::Object(members));
    made(status, "application/problem+json", Bytes::from(text))
}

/// An answer whose body goes out as it is, under exactly this media type.
pub fn made(status: StatusCode, content_type: &str, body: Bytes) -> Answer {
    let mut headers = HeaderMap::new();
    let media_type = MediaType::parse(content_type);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    Answer {
        status,
        reason: None,
        headers,
        payload: Payload::stream(Some(media_type), Encoding::Identity, ByteStream::from(body)),
        tunnel: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_faults_are_read_as_they_are_written() {
        for (text, millis) in [
            ("200", 200),
            (" 20ms ", 20),
            ("1.5s", 1500),
            ("0", 0),
            ("9999s", 30_000),
        ] {
            assert_eq!(latency(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "-1", "NaN", "1h", "infs"] {
            assert!(latency(text).is_err(), "{text}");
        }
        assert_eq!(breakage("RESET"), Ok(Breakage::Reset));
        assert_eq!(
            breakage("503"),
            Ok(Breakage::Status(StatusCode::SERVICE_UNAVAILABLE))
        );
        for text in ["", "100", "600", "slow"] {
            assert!(breakage(text).is_err(), "{text}");
        }
    }
}
