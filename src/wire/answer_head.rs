//! The head of a backend's answer over HTTP/1: what it says of its body and of its connection.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;

use super::chunked::Chunk;
use super::hop;
use super::http1::Answer;
use super::sending::Broken;

const MOST_HEADERS: usize = 100;

/// What an answer's head says of its body: RFC 9112 6.3.
pub(super) fn framing(response: &Response<()>, notes: &Notes, is_head: bool) -> Result<Answer, Broken> {
    let (status, headers) = (response.status(), response.headers());
    if is_head
        || matches!(
            status,
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
    {
        return Ok(Answer::Whole);
    }
    if !notes.involved {
        return Ok(match notes.length {
            Some(0) => Answer::Whole,
            Some(length) => Answer::Length(length),
            None => Answer::UntilClosed,
        });
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if response.version() == Version::HTTP_10 {
            return Err(Broken::Invalid("HTTP/1.0 knows no Transfer-Encoding".to_owned()));
        }
        let last = listed(headers, &TRANSFER_ENCODING).last();
        return Ok(match last {
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Answer::Chunked {
                chunk: Chunk::Size,
                extra: 0,
            },
            _ => Answer::UntilClosed,
        });
    }
    let mut length = None;
    for told in listed(headers, &CONTENT_LENGTH) {
        let number = digits(told).filter(|number| length.is_none_or(|length| length == *number));
        length = Some(number.ok_or_else(|| Broken::Invalid("the Content-Length is not valid".to_owned()))?);
    }
    Ok(match length {
        Some(0) => Answer::Whole,
        Some(length) => Answer::Length(length),
        None if headers.contains_key(CONTENT_LENGTH) => {
            return Err(Broken::Invalid("the Content-Length is not valid".to_owned()));
        }
        None => Answer::UntilClosed,
    })
}

/// The members of a header that is a list.
pub(super) fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

fn digits(text: &[u8]) -> Option<u64> {
    let plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// Whether the backend keeps the connection after this answer.
pub(super) fn keeps(response: &Response<()>, notes: &Notes) -> bool {
    if notes.closes {
        return false;
    }
    let mut asked = notes.keeps;
    let headers = Some(response.headers()).filter(|_| notes.involved);
    for token in headers
        .into_iter()
        .flat_map(|headers| listed(headers, &CONNECTION))
    {
        if token.eq_ignore_ascii_case(b"close") {
            return false;
        }
        asked |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    asked || response.version() == Version::HTTP_11
}

/// What a head says of its connection and of its length, noted while it is read: most say it plainly, and nothing has to be looked up again.
#[derive(Default)]
pub(super) struct Notes {
    length: Option<u64>,
    /// `Connection` said `close` and nothing else, or `keep-alive`. Nobody else needs to know.
    closes: bool,
    keeps: bool,
    /// There is more than that: a coding, an odd or repeated length, or another header that is about the connection.
    pub involved: bool,
}

impl Notes {
    /// Takes note of a header. Whether the head keeps it.
    fn take(&mut self, name: &HeaderName, value: &[u8]) -> bool {
        if *name == CONTENT_LENGTH {
            match (self.length, digits(value)) {
                (None, length @ Some(_)) => self.length = length,
                _ => self.involved = true,
            }
        } else if *name == CONNECTION && value.eq_ignore_ascii_case(b"keep-alive") {
            self.keeps = true;
            return false;
        } else if *name == CONNECTION && value.eq_ignore_ascii_case(b"close") {
            self.closes = true;
            return false;
        } else if hop::is_standard(name) {
            self.involved = true;
        }
        true
    }
}

/// Takes a head off what was read, if it is whole.
pub(super) fn parse(read: &mut BytesMut) -> Result<Option<(Response<()>, Notes)>, Broken> {
    let invalid = |error: &dyn std::fmt::Display| Broken::Invalid(error.to_string());
    let mut places: SmallVec<[(Range<usize>, Range<usize>); 24]> = SmallVec::new();
    let mut response = Response::new(());
    let length = {
        let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            read,
            &mut slots,
        );
        let length = match outcome {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(invalid(&error)),
        };
        let status = parsed.code.unwrap_or_default();
        *response.status_mut() = StatusCode::from_u16(status).map_err(|error| invalid(&error))?;
        if parsed.version == Some(0) {
            *response.version_mut() = Version::HTTP_10;
        }
        let reason = parsed.reason.unwrap_or_default();
        if Some(reason) != response.status().canonical_reason()
            && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
        {
            response.extensions_mut().insert(reason);
        }
        let start = read.as_ptr() as usize;
        let place = |part: &[u8]| {
            let at = (part.as_ptr() as usize).wrapping_sub(start);
            at..at.wrapping_add(part.len())
        };
        let headers = parsed.headers.iter();
        places.extend(headers.map(|header| (place(header.name.as_bytes()), place(header.value))));
        length
    };
    let head = read.split_to(length).freeze();
    let headers = response.headers_mut();
    headers.reserve(places.len());
    let mut notes = Notes::default();
    for (name, value) in places {
        let name = HeaderName::from_bytes(&head[name]).map_err(|error| invalid(&error))?;
        if !notes.take(&name, &head[value.clone()]) {
            continue;
        }
        // An empty slice may stand anywhere.
        let value = match value.is_empty() {
            true => Bytes::new(),
            false => head.slice(value),
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|error| invalid(&error))?;
        headers.append(name, value);
    }
    Ok(Some((response, notes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Option<(Response<()>, Bytes)> {
        let mut read = BytesMut::from(text);
        let (response, _) = parse(&mut read).unwrap()?;
        Some((response, read.freeze()))
    }

    #[test]
    fn a_head_is_taken_and_what_is_behind_it_stays() {
        let text = "HTTP/1.1 200 Fine\r\nA: 1\r\nEmpty:\r\na:  2 \r\n\r\nbody";
        for end in 0..text.len() - 4 {
            assert!(head(&text[..end]).is_none(), "{end}");
        }
        let (response, rest) = head(text).unwrap();
        let headers: Vec<_> = response.headers().iter().collect();
        assert_eq!(
            format!("{headers:?}"),
            r#"[("a", "1"), ("a", "2"), ("empty", "")]"#
        );
        let reason = response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!((reason.as_bytes(), &rest[..]), (&b"Fine"[..], &b"body"[..]));
    }

    #[test]
    fn a_backend_keeps_its_connection_unless_it_says_otherwise() {
        for (head_text, kept) in [
            ("HTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", false),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n",
                false,
            ),
            ("HTTP/1.0 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", true),
        ] {
            let mut read = BytesMut::from(&*format!("{head_text}\r\n"));
            let (response, notes) = parse(&mut read).unwrap().unwrap();
            assert_eq!(keeps(&response, &notes), kept, "{head_text}");
        }
    }

    #[test]
    fn what_is_noted_while_reading_is_what_looking_it_up_would_say() {
        let (one, two) = ("Content-Length: 5\r\n", "content-length: 6\r\n");
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (lines, plain) in [
            (String::new(), true),
            (one.to_owned(), true),
            ("Content-Length: 0\r\n".to_owned(), true),
            ("Content-Length: 005\r\n".to_owned(), true),
            ("Content-Length: 5, 5\r\n".to_owned(), false),
            ("Content-Length: +5\r\n".to_owned(), false),
            ("Content-Length:\r\n".to_owned(), false),
            ("Content-Length: 99999999999999999999\r\n".to_owned(), false),
            ([one, one].concat(), false),
            ([one, two].concat(), false),
            (chunked.to_owned(), false),
            ([one, chunked].concat(), false),
            ("Keep-Alive: timeout=5\r\n".to_owned(), false),
            ("Connection: keep-alive\r\n".to_owned(), true),
            ("Connection: X-Hop\r\nX-Hop: 1\r\n".to_owned(), false),
        ] {
            let mut read = BytesMut::from(&*format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
            let (response, notes) = parse(&mut read).unwrap().unwrap();
            assert_eq!(!notes.involved, plain, "{lines}");
            let looked_up = Notes {
                involved: true,
                ..Notes::default()
            };
            let told = |notes| format!("{:?}", framing(&response, notes, false));
            assert_eq!(told(&notes), told(&looked_up), "{lines}");
        }
    }
}
