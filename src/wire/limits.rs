//! Every limit of the wire, with its default. All are settings: a table of `myelin.toml` reads into these structs.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// What a client of the gateway may do. Durations read as `"30s"`, `"500ms"`, `"5m"`, `"1h"` or a number of
/// milliseconds; sizes as a number of bytes, `"64KiB"` or `"10MiB"`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerLimits {
    /// Longest request line; over it 414.
    #[serde(deserialize_with = "size")]
    pub request_line: usize,
    /// All headers of a request together; over it 431.
    #[serde(deserialize_with = "size")]
    pub header_bytes: usize,
    /// Number of headers; over it 431.
    pub header_count: usize,
    /// From accepting a connection to its first bytes.
    #[serde(deserialize_with = "duration")]
    pub first_bytes: Duration,
    #[serde(deserialize_with = "duration")]
    pub tls_handshake: Duration,
    /// From the first byte of a request to the end of its headers; over it 408.
    #[serde(deserialize_with = "duration")]
    pub headers_complete: Duration,
    /// Largest request body that a step may collect; over it 413. What streams through is not held to it.
    #[serde(deserialize_with = "size")]
    pub collected_body: usize,
    /// Largest request body of any sort; 0 is no limit.
    #[serde(deserialize_with = "size_u64")]
    pub streamed_body: u64,
    /// Longest wait for the next bytes of a request body; over it 408.
    #[serde(deserialize_with = "duration")]
    pub body_gap: Duration,
    /// Longest time for a whole request body; over it 408.
    #[serde(deserialize_with = "duration")]
    pub whole_body: Duration,
    /// Longest wait for the client to take more of its answer; over it the connection is cut.
    #[serde(deserialize_with = "duration")]
    pub write_gap: Duration,
    #[serde(deserialize_with = "duration")]
    pub keep_alive_idle: Duration,
    pub requests_per_connection: u32,
    /// Connections of the whole process; over it 503.
    pub connections: usize,
    /// Connections from one address; over it 503.
    pub connections_per_address: usize,
    /// Requests being worked on in the whole process, shared out evenly over the workers; over it 503 with Retry-After.
    pub in_flight: usize,
    /// What to do with header names that have `_` in them, which some backends take for `-`.
    pub underscore_headers: UnderscoreHeaders,
    /// A client may end its sending side right after its last request and still gets the answers. One that ends it
    /// later than this has left: its request is cancelled.
    #[serde(deserialize_with = "duration")]
    pub half_close_window: Duration,
    /// How long a closing connection is read and thrown away, so that the last answer is not lost to a reset.
    #[serde(deserialize_with = "duration")]
    pub linger: Duration,
    /// How long an idle connection is kept at shutdown for a request that is already on its way.
    #[serde(deserialize_with = "duration")]
    pub drain_idle: Duration,
    /// How long requests may go on after shutdown was asked for.
    #[serde(deserialize_with = "duration")]
    pub shutdown_grace: Duration,
    pub http2: bool,
    pub http2_streams: u32,
    #[serde(deserialize_with = "size_u32")]
    pub http2_stream_window: u32,
    #[serde(deserialize_with = "size_u32")]
    pub http2_connection_window: u32,
    /// Control frames (settings, ping, reset, priority, window update) a second on one connection; over it the
    /// connection is cut.
    pub http2_control_frames: u32,
    /// Interval of pings on a connection, and how long their answer may take.
    #[serde(deserialize_with = "duration")]
    pub http2_ping: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnderscoreHeaders {
    Drop,
    Refuse,
    Pass,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_line: 8 * 1024,
            header_bytes: 64 * 1024,
            header_count: 100,
            first_bytes: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            headers_complete: Duration::from_secs(10),
            collected_body: 10 * 1024 * 1024,
            streamed_body: 0,
            body_gap: Duration::from_secs(30),
            whole_body: Duration::from_secs(300),
            write_gap: Duration::from_secs(60),
            keep_alive_idle: Duration::from_secs(60),
            requests_per_connection: 10_000,
            connections: 10_000,
            connections_per_address: 1_000,
            in_flight: 5_000,
            underscore_headers: UnderscoreHeaders::Drop,
            half_close_window: Duration::from_millis(100),
            linger: Duration::from_secs(2),
            drain_idle: Duration::from_millis(200),
            shutdown_grace: Duration::from_secs(30),
            http2: true,
            http2_streams: 100,
            http2_stream_window: 256 * 1024,
            http2_connection_window: 1024 * 1024,
            http2_control_frames: 1_000,
            http2_ping: Duration::from_secs(20),
        }
    }
}

/// What a backend may do to the gateway. A request may carry its own times; these hold where it does not.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientLimits {
    /// Over it 101508.
    #[serde(deserialize_with = "duration")]
    pub connect: Duration,
    /// From the request (or the last of its body that could be sent) to the headers of the answer; over it 101504.
    #[serde(deserialize_with = "duration")]
    pub response_headers: Duration,
    /// Longest wait for the next bytes of the answer's body; over it the client sees the answer break off.
    #[serde(deserialize_with = "duration")]
    pub body_gap: Duration,
    /// How long an unused connection is kept. Must be below what common backends keep (5 s).
    #[serde(deserialize_with = "duration")]
    pub pool_idle: Duration,
    /// For how long a connection is used for one request after the other. Then a new one is made, where the name of the backend leads by then.
    #[serde(deserialize_with = "duration")]
    pub pool_age: Duration,
    /// Unused connections kept for one host, per worker.
    pub pool_per_host: usize,
    /// How long an HTTP/2 connection without requests is kept.
    #[serde(deserialize_with = "duration")]
    pub http2_idle: Duration,
    /// How long an HTTP/2 backend may be silent while requests are open before a ping asks whether it is there. gRPC servers end the
    /// connections of those who ask more often than every five minutes, unless they are told otherwise.
    #[serde(deserialize_with = "duration")]
    pub http2_ping: Duration,
    /// Largest head of an answer, interim answers included.
    #[serde(deserialize_with = "size")]
    pub response_head: usize,
    /// How long the addresses of a name are used without asking again.
    #[serde(deserialize_with = "duration")]
    pub name_fresh: Duration,
    /// How long the last good addresses are used while the name cannot be resolved.
    #[serde(deserialize_with = "duration")]
    pub name_stale: Duration,
    /// Wait before the next address of a name is tried beside the one before.
    #[serde(deserialize_with = "duration")]
    pub next_address: Duration,
    /// A table of its own.
    #[serde(skip)]
    pub websocket: WebSocketLimits,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response_headers: Duration::from_secs(30),
            body_gap: Duration::from_secs(30),
            pool_idle: Duration::from_secs(4),
            pool_age: Duration::from_secs(60),
            pool_per_host: 256,
            http2_idle: Duration::from_secs(60),
            http2_ping: Duration::from_secs(310),
            response_head: 256 * 1024,
            name_fresh: Duration::from_secs(5),
            name_stale: Duration::from_secs(30),
            next_address: Duration::from_millis(250),
            websocket: WebSocketLimits::default(),
        }
    }
}

/// What either side of a WebSocket may do. What a slow side has not taken yet is not among them: the other side is not read while it is
/// over 64 KiB.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSocketLimits {
    /// Longest frame; over it both sides are closed with 1009.
    #[serde(deserialize_with = "size_u64")]
    pub frame: u64,
    /// Longest message, all of its fragments together; over it both sides are closed with 1009.
    #[serde(deserialize_with = "size_u64")]
    pub message: u64,
    /// Pings, pongs and close frames of one side within a second; over it that side is closed with 1008.
    pub control_frames: u32,
    /// A side that was silent for so long is sent a ping, and given up when it stays silent over two of them. Zero: no pings.
    #[serde(deserialize_with = "duration")]
    pub ping: Duration,
    /// How long there may be no message in either direction before both sides are closed with 1001. Zero: for ever.
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    /// Longest wait for a side to take more; over it the side is cut off.
    #[serde(deserialize_with = "duration")]
    pub write_gap: Duration,
    /// How long a close frame may go unanswered.
    #[serde(deserialize_with = "duration")]
    pub close: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            frame: 256 * 1024,
            message: 1024 * 1024,
            control_frames: 1_000,
            ping: Duration::from_secs(30),
            idle: Duration::ZERO,
            write_gap: Duration::from_secs(30),
            close: Duration::from_secs(5),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"30s\", \"500ms\" or \"5m\", or a number of milliseconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, milliseconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_millis(milliseconds))
    }

    fn visit_i64<E: Error>(self, milliseconds: i64) -> Result<Duration, E> {
        u64::try_from(milliseconds)
            .map(Duration::from_millis)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(milliseconds), &self))
    }
}

pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::try_from(deserializer.deserialize_any(SizeVisitor)?).map_err(D::Error::custom)
}

fn size_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    u32::try_from(deserializer.deserialize_any(SizeVisitor)?).map_err(D::Error::custom)
}

fn size_u64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64KiB\" or \"10MiB\", or a number of bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(bytes), &self))
    }
}

pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{MapDeserializer, StrDeserializer};

    fn read(key: &'static str, value: &'static str) -> Result<ServerLimits, serde::de::value::Error> {
        ServerLimits::deserialize(MapDeserializer::new(
            [(key, StrDeserializer::new(value))].into_iter(),
        ))
    }

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        assert_eq!(
            read("body-gap", "500ms").unwrap().body_gap,
            Duration::from_millis(500)
        );
        assert_eq!(
            read("whole-body", "5m").unwrap().whole_body,
            Duration::from_secs(300)
        );
        assert_eq!(read("header-bytes", "16KiB").unwrap().header_bytes, 16 * 1024);
    }

    #[test]
    fn what_is_no_limit_is_told() {
        assert!(
            read("body-gap", "soon")
                .unwrap_err()
                .to_string()
                .contains("a duration such as")
        );
        assert!(
            read("header-bytes", "12 apples")
                .unwrap_err()
                .to_string()
                .contains("a size such as")
        );
        assert!(
            read("no-such-limit", "1")
                .unwrap_err()
                .to_string()
                .contains("no-such-limit")
        );
    }
}
