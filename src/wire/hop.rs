//! Headers that belong to one connection and must not cross the gateway.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};
use smallvec::SmallVec;

/// Removes what the sender of a message nominated in `Connection`, then the standard ones. To be called on what a
/// peer sent, before anything is added: a nomination must never reach a header of our own.
pub(super) fn strip_received(headers: &mut HeaderMap) {
    let nominated: SmallVec<[HeaderName; 4]> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // What nearly every nomination says goes anyway.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH && *name != TE)
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    strip_standard(headers);
}

/// Removes the standard hop-by-hop headers. `TE: trailers` stays, as it says that trailers are welcome.
pub(super) fn strip_standard(headers: &mut HeaderMap) {
    // Most messages have none or one, and looking each up by its hash costs more than one walk over what is there.
    let present = headers.keys().filter(|name| is_standard(name));
    let present: SmallVec<[HeaderName; 4]> = present.cloned().collect();
    let trailers = present.contains(&TE) && wishes_trailers(headers);
    for name in present {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether `TE` says that trailers are welcome.
pub(super) fn wishes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

pub(super) fn is_standard(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
            | "te"
    )
}

/// Removes what must not come in a trailer: framing, routing, authentication.
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_standard(trailers);
    for name in [
        CONTENT_LENGTH,
        HOST,
        TE,
        TRAILER,
        http::header::AUTHORIZATION,
        http::header::COOKIE,
        http::header::SET_COOKIE,
        http::header::CONTENT_TYPE,
        http::header::CONTENT_ENCODING,
        http::header::CONTENT_RANGE,
        http::header::CACHE_CONTROL,
        http::header::EXPECT,
        http::header::RANGE,
        http::header::MAX_FORWARDS,
    ] {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn nominated_headers_go_but_never_those_that_frame_or_route() {
        let mut received = headers(&[
            (
                "connection",
                "Authorization, X-Forwarded-For, host, content-length",
            ),
            ("authorization", "secret"),
            ("x-forwarded-for", "1.2.3.4"),
            ("host", "h"),
            ("content-length", "3"),
        ]);
        strip_received(&mut received);
        assert_eq!(names(&received), ["host", "content-length"]);
    }

    #[test]
    fn only_the_wish_for_trailers_is_left_of_te() {
        let mut received = headers(&[
            ("te", "gzip, Trailers;q=0"),
            ("te", "trailers"),
            ("connection", "TE"),
        ]);
        strip_received(&mut received);
        assert_eq!(received[TE], "trailers");
        let mut other = headers(&[
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("accept", "*/*"),
        ]);
        strip_received(&mut other);
        assert_eq!(names(&other), ["accept"]);
    }

    #[test]
    fn trailers_cannot_carry_what_heads_decide() {
        let mut trailers = headers(&[
            ("host", "h"),
            ("authorization", "a"),
            ("transfer-encoding", "x"),
            ("sum", "1"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["sum"]);
    }
}
