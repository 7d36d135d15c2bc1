//! The head of a request over HTTP/1: where it and the body behind it end, what it says, and whether any reader could take it for something
//! else.
//!
//! Strict where leniency lets two servers disagree about where a request ends (repeated or odd `Transfer-Encoding`, two `Host`, bare
//! line feeds, both framings at once). What passes here is unambiguous.

use std::ops::Range;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use memchr::memchr;
use smallvec::SmallVec;

use super::limits::ServerLimits;
use super::sending::Framing;

/// Why a request is not let in. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
}

impl Refusal {
    pub const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

/// A head that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head, with the empty line that ends it.
    pub length: usize,
    /// Never `UntilClosed`.
    pub framing: Framing,
    pub http10: bool,
    /// The client keeps the connection for another request.
    pub keeps: bool,
    /// It waits to be told that its body is wanted.
    pub expects: bool,
    /// It has headers that belong to the connection.
    pub hops: bool,
    /// `TE` and `Upgrade` are among them.
    pub te: bool,
    pub upgrade: bool,
}

/// What a head says.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub target: PathAndQuery,
    /// The host, where the target names one.
    pub authority: Option<HeaderValue>,
    pub headers: HeaderMap,
}

/// Reads a head line by line as it comes; each line is looked at once.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    line_start: usize,
    searched: usize,
    request_line: Option<RequestLine>,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    body_announced: bool,
    closes: bool,
    keeps: bool,
    expects: bool,
    hops: bool,
    te: bool,
    upgrade: bool,
    /// Where the headers are: names and values.
    fields: SmallVec<[(Place, Place); 12]>,
}

#[derive(Clone, Copy, Debug)]
struct RequestLine {
    http10: bool,
    length: usize,
    method: Place,
    target: Place,
}

/// A part of the head.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn of(start: usize, part: &[u8]) -> Self {
        // No head is as long as that: its limits are far below.
        let fits = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            start: fits(start),
            end: fits(start + part.len()),
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl HeadScanner {
    /// Looks at `bytes`, which begin with the head. `None`: it is not whole yet.
    pub fn advance(&mut self, bytes: &[u8], limits: &ServerLimits) -> Result<Option<Head>, Refusal> {
        while let Some(found) = memchr(b'\n', &bytes[self.searched..]) {
            let line_end = self.searched + found;
            if line_end == self.line_start || bytes[line_end - 1] != b'\r' {
                return Err(bad("a line ends without a carriage return"));
            }
            let start = self.line_start;
            let line = &bytes[start..line_end - 1];
            self.line_start = line_end + 1;
            self.searched = self.line_start;
            match self.request_line {
                // Some clients send an empty line after a body, and RFC 9112 2.2 asks to overlook one.
                None if line.is_empty() && line_end == 1 => (),
                None => self.request_line = Some(read_request_line(line, start, limits)?),
                Some(request_line) if line.is_empty() => return self.finish(request_line, limits).map(Some),
                Some(request_line) => self.header(line, start, request_line, limits)?,
            }
        }
        self.searched = bytes.len();
        let unfinished = &bytes[self.line_start..];
        match self.request_line {
            None if unfinished.len() > limits.request_line + 1 => Err(URI_TOO_LONG),
            // Whatever speaks another protocol is told at once, not after a timeout.
            None if unfinished
                .first()
                .is_some_and(|first| *first != b'\r' && !TOKEN[usize::from(*first)]) =>
            {
                Err(bad("the request does not begin with a method"))
            }
            // One byte more may be half of the line end behind them.
            Some(line) if bytes.len() - line.length > limits.header_bytes + 1 => Err(HEADERS_TOO_LARGE),
            _ => Ok(None),
        }
    }

    fn header(
        &mut self,
        line: &[u8],
        start: usize,
        request: RequestLine,
        limits: &ServerLimits,
    ) -> Result<(), Refusal> {
        if self.fields.len() >= limits.header_count {
            return Err(TOO_MANY_HEADERS);
        }
        if self.line_start - request.length > limits.header_bytes {
            return Err(HEADERS_TOO_LARGE);
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(bad("a header has no colon"));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|byte| TOKEN[usize::from(*byte)]) {
            return Err(bad("a header name is not valid"));
        }
        if !is_field_value(value) {
            return Err(bad("a header value has a control character"));
        }
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => (self.te, self.hops) = (true, true),
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host {
                    return Err(bad("there is more than one Host"));
                }
                self.host = true;
                if !is_authority(value.trim_ascii()) {
                    return Err(bad("the Host is not valid"));
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                if !value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
                    let reason = "the expectation is not known";
                    return Err(Refusal::new(StatusCode::EXPECTATION_FAILED, reason));
                }
                self.expects = true;
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => (self.upgrade, self.hops) = (true, true),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.hops = true;
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.closes |= token.eq_ignore_ascii_case(b"close");
                    self.keeps |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.body_announced {
                    return Err(bad("the length of the body is told more than once"));
                }
                self.body_announced = true;
                self.length =
                    Some(read_length(value.trim_ascii()).ok_or(bad("the Content-Length is not valid"))?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.body_announced {
                    return Err(bad("the length of the body is told more than once"));
                }
                self.body_announced = true;
                if request.http10 {
                    return Err(bad("HTTP/1.0 knows no Transfer-Encoding"));
                }
                if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(bad("the Transfer-Encoding is not chunked"));
                }
                self.chunked = true;
                self.hops = true;
            }
            14..=24 if resembles_framing(name) => {
                return Err(bad("a header name could be taken for one that frames the body"));
            }
            10 | 14 | 16 | 18 | 19 => self.hops |= is_hop(name),
            _ => (),
        }
        let behind = start + colon + 1 + (value.len() - value.trim_ascii_start().len());
        let place = (Place::of(start, name), Place::of(behind, value.trim_ascii()));
        self.fields.push(place);
        Ok(())
    }

    /// What the head says that was found to be whole. `head` are its bytes.
    pub fn request(&self, head: &Bytes) -> Result<Request, Refusal> {
        let unsound = |_| bad("the request line is not valid");
        let line = self.request_line.ok_or(bad("there is no request line"))?;
        let method =
            Method::from_bytes(&head[line.method.range()]).map_err(|_| bad("the method is not valid"))?;
        let target = head.slice(line.target.range());
        let (target, authority) = match target.first() {
            Some(b'/' | b'*') => (PathAndQuery::from_maybe_shared(target).map_err(unsound)?, None),
            _ => {
                let parts = Uri::from_maybe_shared(target).map_err(unsound)?.into_parts();
                // RFC 9112 3.2.2: what the target names wins.
                let authority = parts
                    .authority
                    .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
                let authority = authority.ok_or(bad("the host in the target is not valid"))?;
                let target = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
                (target, Some(authority))
            }
        };
        let room = HeaderMap::try_with_capacity(self.fields.len() + 1);
        let mut headers = room.map_err(|_| TOO_MANY_HEADERS)?;
        for (name, value) in &self.fields {
            let name =
                HeaderName::from_bytes(&head[name.range()]).map_err(|_| bad("a header name is not valid"))?;
            let value = match value.start == value.end {
                // An empty slice may stand anywhere.
                true => Bytes::new(),
                false => head.slice(value.range()),
            };
            let value =
                HeaderValue::from_maybe_shared(value).map_err(|_| bad("a header value is not valid"))?;
            let added = headers.try_append(name, value);
            added.map_err(|_| TOO_MANY_HEADERS)?;
        }
        Ok(Request {
            method,
            target,
            authority,
            headers,
        })
    }

    fn finish(&self, request: RequestLine, limits: &ServerLimits) -> Result<Head, Refusal> {
        if !self.host && !request.http10 {
            return Err(bad("there is no Host"));
        }
        let framing = if self.chunked {
            Framing::Chunked
        } else {
            Framing::Length(self.length.unwrap_or_default())
        };
        if let Framing::Length(length) = framing
            && limits.streamed_body > 0
            && length > limits.streamed_body
        {
            return Err(BODY_TOO_LARGE);
        }
        Ok(Head {
            length: self.line_start,
            framing,
            http10: request.http10,
            keeps: !self.closes && (self.keeps || !request.http10),
            expects: self.expects && !request.http10,
            hops: self.hops,
            te: self.te,
            upgrade: self.upgrade,
        })
    }
}

const URI_TOO_LONG: Refusal = Refusal::new(StatusCode::URI_TOO_LONG, "the request line is too long");
const TOO_MANY_HEADERS: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "there are too many headers",
);
const HEADERS_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the headers are too long",
);
pub(super) const BODY_TOO_LARGE: Refusal =
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");

fn read_request_line(line: &[u8], start: usize, limits: &ServerLimits) -> Result<RequestLine, Refusal> {
    if line.len() > limits.request_line {
        return Err(URI_TOO_LONG);
    }
    let Some(method_end) = memchr(b' ', line) else {
        return Err(bad("the request line is not valid"));
    };
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    if method.is_empty() || !method.iter().all(|byte| TOKEN[usize::from(*byte)]) {
        return Err(bad("the method is not valid"));
    }
    let Some(target_end) = memchr(b' ', rest) else {
        return Err(bad("the request line has no version"));
    };
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    let http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "this version of HTTP is not spoken here",
            ));
        }
        _ => return Err(bad("the version is not valid")),
    };
    if method.len() > 32 || method.iter().any(u8::is_ascii_lowercase) {
        return Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "this method is not known",
        ));
    }
    if let Some(refusal) = refused_method(method) {
        return Err(refusal);
    }
    check_target(method, target)?;
    Ok(RequestLine {
        http10,
        length: line.len() + 2,
        method: Place::of(start, method),
        target: Place::of(start + method_end + 1, target),
    })
}

/// Methods that a gateway never passes on.
pub(super) fn refused_method(method: &[u8]) -> Option<Refusal> {
    matches!(method, b"CONNECT" | b"TRACE").then_some(Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this method is not allowed",
    ))
}

fn check_target(method: &[u8], target: &[u8]) -> Result<(), Refusal> {
    if target == b"*" {
        return if method == b"OPTIONS" {
            Ok(())
        } else {
            Err(bad("the target is not valid"))
        };
    }
    let path = if target.first() == Some(&b'/') {
        target
    } else {
        let after_scheme = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
            .map(|scheme| &target[scheme.len()..])
            .ok_or(bad("the target is not valid"))?;
        let end = after_scheme
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(after_scheme.len());
        if !is_authority(&after_scheme[..end]) {
            return Err(bad("the host in the target is not valid"));
        }
        &after_scheme[end..]
    };
    check_path(path)
}

/// Bytes that no path or query has, and in the path the escapes that mean different things to different readers.
pub(super) fn check_path(path_and_query: &[u8]) -> Result<(), Refusal> {
    if path_and_query
        .iter()
        .any(|byte| !matches!(byte, 0x21..=0x7e) || *byte == b'#')
    {
        return Err(bad("the target has a character that must be escaped"));
    }
    let path = memchr(b'?', path_and_query).map_or(path_and_query, |query| &path_and_query[..query]);
    let mut rest = path;
    while let Some(escape) = memchr(b'%', rest) {
        match &rest[escape + 1..] {
            [b'0', b'0', ..] => return Err(bad("the path has a NUL")),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = &rest[escape + 3..]
            }
            _ => return Err(bad("the path has an escape that is not valid")),
        }
    }
    Ok(())
}

/// Headers of a connection that frame nothing and promise nothing.
fn is_hop(name: &[u8]) -> bool {
    const OTHERS: [&[u8]; 5] = [
        b"keep-alive",
        b"http2-settings",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
    ];
    OTHERS.iter().any(|hop| name.eq_ignore_ascii_case(hop))
}

/// `Transfer--Encoding`, `Content_Length` and their like: readers that fold punctuation take them for the real ones.
fn resembles_framing(name: &[u8]) -> bool {
    if !matches!(name[0], b't' | b'T' | b'c' | b'C') && name[0].is_ascii_alphanumeric() {
        return false;
    }
    let letters = || {
        name.iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
    };
    letters().eq(*b"transferencoding") || letters().eq(*b"contentlength")
}

fn read_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
    )
}

fn is_field_value(value: &[u8]) -> bool {
    // Written without a shortcut so that it is done many bytes at a time.
    value.iter().fold(true, |valid, byte| {
        valid & ((*byte >= 0x20 && *byte != 0x7f) | (*byte == b'\t'))
    })
}

/// `host[:port]` without a user name, a comma or a space.
pub(super) fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', rest @ ..] => match memchr(b']', rest) {
            Some(end) => {
                let inside = &rest[..end];
                let valid = inside.contains(&b':')
                    && inside
                        .iter()
                        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
                if !valid {
                    return false;
                }
                match &rest[end + 1..] {
                    [] => return true,
                    [b':', port @ ..] => return is_port(port),
                    _ => return false,
                }
            }
            None => return false,
        },
        _ => match memchr(b':', authority) {
            Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
            None => (authority, None),
        },
    };
    !host.is_empty() && host.iter().all(|byte| HOST[usize::from(*byte)]) && port.is_none_or(is_port)
}

fn is_port(port: &[u8]) -> bool {
    matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit)
}

pub(super) const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
const HOST: [bool; 256] = table(b"-._~%!$&'()*+;=");

const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hop;

    fn scan(text: &str) -> Result<Option<Head>, (u16, &'static str)> {
        scan_within(text, &ServerLimits::default())
    }

    fn scan_within(text: &str, limits: &ServerLimits) -> Result<Option<Head>, (u16, &'static str)> {
        let whole = HeadScanner::default().advance(text.as_bytes(), limits);
        // Byte by byte the verdict is the same.
        let mut scanner = HeadScanner::default();
        let mut piecewise = Ok(None);
        for end in 1..=text.len() {
            piecewise = scanner.advance(&text.as_bytes()[..end], limits);
            if !matches!(piecewise, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, piecewise, "whole and in pieces for {text:?}");
        whole.map_err(|refusal| (refusal.status.as_u16(), refusal.reason))
    }

    fn accepted(text: &str, framing: Framing) {
        let head = scan(text).map(|head| head.map(|head| (head.length, head.framing)));
        assert_eq!(head, Ok(Some((text.len(), framing))), "for {text:?}");
    }

    fn refused(text: &str, status: u16) {
        match scan(text) {
            Err((refused, _)) => assert_eq!(refused, status, "for {text:?}"),
            other => panic!("{text:?} was let in: {other:?}"),
        }
    }

    #[test]
    fn a_head_with_a_header_of_the_connection_says_so() {
        for (name, value, hops) in [
            ("Connection", "close", true),
            ("KEEP-ALIVE", "1", true),
            ("Proxy-Connection", "1", true),
            ("Transfer-Encoding", "chunked", true),
            ("Upgrade", "x", true),
            ("Proxy-Authenticate", "x", true),
            ("Proxy-Authorization", "x", true),
            ("HTTP2-Settings", "x", true),
            ("tE", "trailers", true),
            ("Accept", "x", false),
            ("Trailer", "x", false),
            ("Cookie", "x", false),
            ("X-Sixteen-Letter", "x", false),
        ] {
            let head = scan(&format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"));
            let head = head.unwrap().unwrap();
            let parsed = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert_eq!((head.hops, hop::is_standard(&parsed)), (hops, hops), "{name}");
            assert_eq!(
                (head.te, head.upgrade),
                (name == "tE", name == "Upgrade"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_plain_request_is_let_in() {
        accepted("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0));
        accepted(
            "POST /a?b=%zz HTTP/1.1\r\nHost: a:80\r\nContent-Length: 12\r\n\r\n",
            Framing::Length(12),
        );
        accepted(
            "POST / HTTP/1.1\r\nHost: [::1]:80\r\ntransfer-encoding: Chunked\r\n\r\n",
            Framing::Chunked,
        );
        accepted("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0));
        accepted(
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n",
            Framing::Length(0),
        );
        accepted("GET / HTTP/1.0\r\n\r\n", Framing::Length(0));
        accepted("\r\nGET / HTTP/1.0\r\n\r\n", Framing::Length(0));
        accepted(
            "PROPFIND /%2f/.. HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n",
            Framing::Length(0),
        );
    }

    #[test]
    fn half_a_head_waits_for_the_rest() {
        assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(scan("GE"), Ok(None));
    }

    #[test]
    fn a_body_has_exactly_one_length() {
        let post = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5_0\r\n",
            "Content-Length: \r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "Transfer-Encoding: chunk\u{e9}d\r\n",
            " Transfer-Encoding: chunked\r\n",
            "Transfer--Encoding: chunked\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Content-_Length: 5\r\n",
        ] {
            refused(&post(headers), 400);
        }
        refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    }

    #[test]
    fn there_is_one_host_and_it_is_one() {
        let get = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n");
        for host in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nhost: b\r\n",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a,b\r\n",
            "Host: u@a\r\n",
            "Host: a:\r\n",
            "Host: a:x\r\n",
            "Host: :80\r\n",
            "Host: [::1\r\n",
            "Host: [a]b\r\n",
            "Host: a/b\r\n",
            "Host : a\r\n",
        ] {
            refused(&get(host), 400);
        }
        refused("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400);
        refused("GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n", 400);
    }

    #[test]
    fn lines_are_whole_and_clean() {
        refused("GET / HTTP/1.1\nHost: a\n\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400);
        refused("GET / HTTP/1.1\r\nHost: a\r\nna me: x\r\n\r\n", 400);
        refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
        refused("\u{16}\u{3}\u{1}", 400);
    }

    #[test]
    fn the_request_line_is_one_that_can_be_passed_on() {
        let get = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
        refused(&get("GET /"), 400);
        refused(&get("GET  / HTTP/1.1"), 400);
        refused(&get("GET / HTTP/1.1 "), 400);
        refused(&get("GET /\t HTTP/1.1"), 400);
        refused(&get("GET /a b HTTP/1.1"), 400);
        refused(&get("GET / HTTP/2.0"), 505);
        refused(&get("GET / HTTP/1.2"), 505);
        refused(&get("GET / http/1.1"), 400);
        refused(&get("GET a HTTP/1.1"), 400);
        refused(&get("GET * HTTP/1.1"), 400);
        refused(&get("GET ftp://a/ HTTP/1.1"), 400);
        refused(&get("GET /#part HTTP/1.1"), 400);
        refused(&get("GET /%00 HTTP/1.1"), 400);
        refused(&get("GET /%zz HTTP/1.1"), 400);
        refused(&get("GET /% HTTP/1.1"), 400);
        refused(&get("GET /caf\u{e9} HTTP/1.1"), 400);
        refused(&get("TRACE / HTTP/1.1"), 405);
        refused(&get("CONNECT a:80 HTTP/1.1"), 405);
        refused(&get("get / HTTP/1.1"), 501);
        refused(&get(&format!("{} / HTTP/1.1", "M".repeat(1024))), 501);
        refused("GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417);
    }

    #[test]
    fn each_limit_holds_at_its_number() {
        let limits = ServerLimits {
            request_line: 30,
            header_bytes: 60,
            header_count: 3,
            streamed_body: 10,
            ..Default::default()
        };
        let status = |text: &str| {
            scan_within(text, &limits)
                .map(|head| head.is_some())
                .map_err(|(status, _)| status)
        };
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 14));
        assert_eq!(
            [29, 30, 31].map(|n| status(&line(n))),
            [Ok(true), Ok(true), Err(414)]
        );
        assert_eq!(status(&"GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[..33]), Err(414));
        let headers = |length: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(length - 14)
            )
        };
        assert_eq!(
            [59, 60, 61].map(|n| status(&headers(n))),
            [Ok(true), Ok(true), Err(431)]
        );
        let count = |number: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: x\r\n".repeat(number - 1)
            )
        };
        assert_eq!(
            [2, 3, 4].map(|n| status(&count(n))),
            [Ok(true), Ok(true), Err(431)]
        );
        let body = |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(
            [9, 10, 11].map(|n| status(&body(n))),
            [Ok(true), Ok(true), Err(413)]
        );
    }
}
