//! Bodies in chunks (RFC 9112 7.1): reading them, and following those of clients more strictly than they are read.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use memchr::{memchr, memmem};

use super::head::TOKEN;
use super::hop;
use super::sending::Broken;
use crate::message::body::StreamErrorKind;

#[derive(Clone, Copy, Debug)]
pub(super) enum Chunk {
    Size,
    Data(u64),
    /// The line end behind the data.
    End,
    Trailers,
    /// The last line has been read.
    Last,
}

/// Lines of chunk sizes, their extensions, and trailers.
const MOST_EXTRA: usize = 16 * 1024;

const MOST_TRAILERS: usize = 100;

impl Chunk {
    /// Goes on in what was read: to data, to the trailers, to the end, or until more is needed. `extra` counts what is not data.
    pub fn read(&mut self, extra: &mut usize, read: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Broken> {
        let invalid = |what: &str| Broken::Invalid(what.to_owned());
        loop {
            match *self {
                Chunk::Size => {
                    let line = memchr(b'\n', read);
                    // The size itself is not extra, however many chunks there are.
                    if *extra + line.unwrap_or(read.len()).saturating_sub(20) > MOST_EXTRA {
                        return Err(invalid("a chunk's extensions are too long"));
                    }
                    let Some(end) = line else {
                        return Ok(None);
                    };
                    *extra += end.saturating_sub(20);
                    let size = read[..end].strip_suffix(b"\r").and_then(chunk_size);
                    let size = size.ok_or_else(|| invalid("the size of a chunk is not valid"))?;
                    read.advance(end + 1);
                    *self = match size {
                        0 => Chunk::Trailers,
                        size => Chunk::Data(size),
                    };
                }
                Chunk::Data(left) => {
                    let data = split(read, left);
                    if data.is_empty() {
                        return Ok(None);
                    }
                    *self = match left - data.len() as u64 {
                        0 => Chunk::End,
                        left => Chunk::Data(left),
                    };
                    if matches!(self, Chunk::End) && read.starts_with(b"\r\n0\r\n\r\n") {
                        // Whoever takes the data learns at once that there is no more.
                        read.advance(7);
                        *self = Chunk::Last;
                    }
                    return Ok(Some(Frame::data(data)));
                }
                Chunk::End if read.len() < 2 => return Ok(None),
                Chunk::End if read.starts_with(b"\r\n") => {
                    read.advance(2);
                    *self = Chunk::Size;
                }
                Chunk::End => return Err(invalid("a chunk is longer than its size")),
                Chunk::Trailers if read.len() < 2 => return Ok(None),
                Chunk::Trailers if read.starts_with(b"\r\n") => {
                    read.advance(2);
                    *self = Chunk::Last;
                }
                Chunk::Trailers => {
                    let Some(end) = memmem::find(read, b"\r\n\r\n") else {
                        return match read.len() > MOST_EXTRA {
                            true => Err(invalid("the trailers are too long")),
                            false => Ok(None),
                        };
                    };
                    *self = Chunk::Last;
                    return read_trailers(&read.split_to(end + 4))
                        .map(|trailers| Some(Frame::trailers(trailers)));
                }
                Chunk::Last => return Ok(None),
            }
        }
    }
}

/// What has been read, up to so many bytes.
pub(super) fn split(read: &mut BytesMut, most: u64) -> Bytes {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(read.len());
    read.split_to(count).freeze()
}

/// The number in front of a chunk; what comes behind it is an extension, which nobody needs.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (number, behind) = line.split_at(end);
    let behind = behind.trim_ascii_start();
    if !behind.is_empty() && !behind.starts_with(b";") {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()
}

fn read_trailers(text: &[u8]) -> Result<HeaderMap, Broken> {
    let invalid = || Broken::Invalid("a trailer is not valid".to_owned());
    let mut slots = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(text, &mut slots) else {
        return Err(invalid());
    };
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| invalid())?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

/// Follows a chunked body to its end, more strictly than the reader behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    state: Expected,
    /// Bytes of chunk extensions and trailers so far.
    extra: usize,
    /// Bytes of the body itself so far.
    pub data: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineEnd,
    LastEnd,
    Done,
}

/// Enough for signatures and checksums; more is an attack on the reader's memory.
const MAX_EXTRA: usize = 8 * 1024;

impl Chunks {
    pub fn new() -> Self {
        Self {
            state: Expected::Size { value: 0, digits: 0 },
            extra: 0,
            data: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == Expected::Done
    }

    /// Takes bytes up to the end of the body, or up to what is wrong with it, and says how many those were.
    pub fn advance(&mut self, bytes: &[u8]) -> (usize, Option<&'static str>) {
        let mut at = 0;
        while at < bytes.len() {
            if let Expected::Data { left } = self.state {
                let here = left.min((bytes.len() - at) as u64);
                at += here as usize;
                self.data += here;
                self.state = if here == left {
                    Expected::DataReturn
                } else {
                    Expected::Data { left: left - here }
                };
                continue;
            }
            if self.is_done() {
                break;
            }
            match self.step(bytes[at]) {
                Ok(state) => self.state = state,
                Err(problem) => return (at, Some(problem)),
            }
            at += 1;
        }
        (at, None)
    }

    fn step(&mut self, byte: u8) -> Result<Expected, &'static str> {
        Ok(match (self.state, byte) {
            (Expected::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == 15 {
                    return Err("a chunk is too long");
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Expected::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Expected::Size { digits: 0, .. }, _) => return Err("a chunk size is not valid"),
            (Expected::Size { value, .. }, b'\r') => Expected::SizeEnd { value },
            (Expected::Size { value, .. }, b';') => Expected::Extension { value },
            (Expected::Size { .. }, _) => return Err("a chunk size is not valid"),
            (Expected::Extension { value }, b'\r') => Expected::SizeEnd { value },
            (Expected::Extension { .. }, b'\n' | 0..=8 | 11..=31 | 127) => {
                return Err("a chunk extension is not valid");
            }
            (Expected::Extension { .. }, _) => {
                self.count()?;
                self.state
            }
            (Expected::SizeEnd { value: 0 }, b'\n') => Expected::TrailerStart,
            (Expected::SizeEnd { value }, b'\n') => Expected::Data { left: value },
            (Expected::SizeEnd { .. }, _) => return Err("a chunk size ends without a line feed"),
            (Expected::DataReturn, b'\r') => Expected::DataEnd,
            (Expected::DataEnd, b'\n') => Expected::Size { value: 0, digits: 0 },
            (Expected::DataReturn | Expected::DataEnd, _) => return Err("a chunk is longer than its size"),
            (Expected::TrailerStart, b'\r') => Expected::LastEnd,
            (Expected::TrailerStart | Expected::TrailerName, _) if TOKEN[usize::from(byte)] => {
                self.count()?;
                Expected::TrailerName
            }
            (Expected::TrailerName, b':') => Expected::TrailerValue,
            (Expected::TrailerStart | Expected::TrailerName, _) => return Err("a trailer is not valid"),
            (Expected::TrailerValue, b'\r') => Expected::TrailerLineEnd,
            (Expected::TrailerValue, b'\n' | 0..=8 | 11..=31 | 127) => return Err("a trailer is not valid"),
            (Expected::TrailerValue, _) => {
                self.count()?;
                Expected::TrailerValue
            }
            (Expected::TrailerLineEnd, b'\n') => Expected::TrailerStart,
            (Expected::LastEnd, b'\n') => Expected::Done,
            (Expected::TrailerLineEnd | Expected::LastEnd, _) => {
                return Err("a trailer ends without a line feed");
            }
            (Expected::Data { .. } | Expected::Done, _) => self.state,
        })
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.extra += 1;
        if self.extra > MAX_EXTRA {
            Err("the chunk extensions or trailers are too long")
        } else {
            Ok(())
        }
    }
}

/// A body of a client's: followed as it comes, and read no further than it was found sound.
pub(super) struct Checked {
    checks: Chunks,
    /// The most bytes that it may have; 0 is no limit.
    most: u64,
    sound: BytesMut,
    chunk: Chunk,
    extra: usize,
    /// What is wrong behind what is sound.
    problem: Option<(StreamErrorKind, &'static str)>,
}

impl Checked {
    pub fn new(most: u64) -> Self {
        Self {
            checks: Chunks::new(),
            most,
            sound: BytesMut::new(),
            chunk: Chunk::Size,
            extra: 0,
            problem: None,
        }
    }

    /// The whole body is here, and sound.
    pub fn is_checked(&self) -> bool {
        self.checks.is_done()
    }

    pub fn is_read(&self) -> bool {
        matches!(self.chunk, Chunk::Last)
    }

    /// Takes what belongs to the body off what was read. Nothing behind a mistake is let through.
    pub fn check(&mut self, read: &mut BytesMut) {
        if read.is_empty() || self.problem.is_some() || self.checks.is_done() {
            return;
        }
        let (taken, problem) = self.checks.advance(read);
        if self.most > 0 && self.checks.data > self.most {
            // None of these bytes: the end of the body may be among them, and it would look whole.
            self.problem = Some((StreamErrorKind::TooLarge, "the body is too long"));
            return;
        }
        self.problem = problem.map(|problem| (StreamErrorKind::Malformed, problem));
        self.sound.unsplit(read.split_to(taken));
    }

    /// The next of it, if that is here.
    pub fn frame(&mut self) -> Result<Option<Frame<Bytes>>, (StreamErrorKind, String)> {
        match self.chunk.read(&mut self.extra, &mut self.sound) {
            Ok(Some(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    hop::strip_trailers(trailers);
                }
                Ok(Some(frame))
            }
            Ok(None) => match self.problem {
                Some((kind, reason)) => Err((kind, reason.to_owned())),
                None => Ok(None),
            },
            Err(Broken::Invalid(reason)) => Err((StreamErrorKind::Malformed, reason)),
            Err(_) => Err((StreamErrorKind::Malformed, "a chunk is not valid".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and the trailers of a chunked body that comes in pieces of so many bytes.
    fn chunked(text: &str, pieces: usize) -> Result<(String, Vec<String>), String> {
        let (mut chunk, mut extra, mut read) = (Chunk::Size, 0, BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(pieces) {
            read.extend_from_slice(piece);
            while let Some(frame) = chunk
                .read(&mut extra, &mut read)
                .map_err(|broken| format!("{broken:?}"))?
            {
                match frame.into_data() {
                    Ok(part) => data.extend_from_slice(&part),
                    Err(frame) => {
                        let all = frame.into_trailers().unwrap();
                        trailers.extend(all.keys().map(ToString::to_string));
                    }
                }
            }
        }
        match chunk {
            Chunk::Last => Ok((String::from_utf8(data).unwrap(), trailers)),
            _ => Err(format!("not whole, with {read:?} left")),
        }
    }

    #[test]
    fn chunks_are_read_in_whatever_pieces_they_come() {
        let text = "4;name=\"x\"\r\nwiki\r\n005 \t\r\npedia\r\n0\r\nSum: 1\r\n\r\n";
        for pieces in 1..=text.len() {
            let expected = Ok(("wikipedia".to_owned(), vec!["sum".to_owned()]));
            assert_eq!(chunked(text, pieces), expected, "{pieces}");
            let plain = "A\r\n0123456789\r\n0\r\n\r\n";
            assert_eq!(chunked(plain, pieces), Ok(("0123456789".to_owned(), Vec::new())));
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\n", "x".repeat(20_000));
        for text in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\nx",
            " 1\r\nx",
            "0x1\r\nx",
            "1\nx",
            "1\r\nxyz",
            "1 2\r\nx",
            "11111111111111111\r\n",
            "1\r\nx\n0\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            &long,
        ] {
            for pieces in [1, text.len()] {
                let told = chunked(text, pieces);
                assert!(
                    told.as_ref().is_err_and(|told| told.contains("Invalid")),
                    "{text:?}: {told:?}"
                );
            }
        }
    }

    fn checked(text: &str) -> Result<(usize, bool), &'static str> {
        let mut whole = Chunks::new();
        let outcome = whole.advance(text.as_bytes());
        let mut piecewise = Chunks::new();
        let mut taken = 0;
        let mut problem = None;
        for byte in text.as_bytes() {
            let (more, error) = piecewise.advance(&[*byte]);
            taken += more;
            problem = error;
            if more == 0 {
                break;
            }
        }
        assert_eq!(outcome, (taken, problem), "in pieces for {text:?}");
        outcome.1.map_or(Ok((taken, whole.is_done())), Err)
    }

    #[test]
    fn a_chunked_body_ends_where_it_says() {
        assert_eq!(checked("3\r\nabc\r\n0\r\n\r\nGET /"), Ok((13, true)));
        assert_eq!(
            checked("A;x=1\r\n0123456789\r\n0\r\nSum: 1\r\n\r\n"),
            Ok((32, true))
        );
        assert_eq!(checked("3\r\nab"), Ok((5, false)));
    }

    #[test]
    fn a_chunk_that_could_be_read_in_two_ways_is_refused() {
        for text in [
            "+3\r\nabc\r\n",
            "-1\r\n",
            "0x3\r\nabc\r\n",
            "3_0\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "3\nabc\n",
            "3\rabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\n\n",
            "3\r\nabc0\r\n",
            "\r\n",
            "ffffffffffffffffff\r\n",
            "3;a\nb\r\nabc\r\n",
            "0\r\nbad trailer: x\r\n\r\n",
            "0\r\nnocolon\r\n\r\n",
            "0\r\n folded: x\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
            "0\r\n\rX",
        ] {
            assert!(checked(text).is_err(), "{text:?} was let in");
        }
        assert!(checked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000))).is_err());
        assert!(checked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(20_000))).is_err());
    }
}
