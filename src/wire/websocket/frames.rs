//! WebSocket frames as they come off a stream: checked against RFC 6455, bounded, and unmasked in place. A frame is kept until it is whole or
//! 64 KiB of it are there; messages are never put together.

use bytes::{Buf, BufMut, BytesMut};

use super::super::limits::WebSocketLimits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// Why a peer is turned away: a close code, and words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

const fn broken(reason: &'static str) -> Violation {
    Violation { code: 1002, reason }
}

const NOT_UTF8: Violation = Violation {
    code: 1007,
    reason: "text that is not UTF-8",
};

/// A frame, or a piece of a long one. Its payload is what the reader's `payload` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub last: bool,
    pub opcode: Opcode,
    pub length: usize,
    /// What the payload was masked with.
    pub mask: Option<[u8; 4]>,
}

/// More of a frame is not waited for; it goes on in fragments of this size. Divisible by four, so that each begins where the mask does.
pub(super) const PIECE: usize = 64 * 1024;

/// Takes frames off the bytes of one peer.
#[derive(Debug)]
pub(super) struct Reader {
    pub input: BytesMut,
    /// Clients mask what they send, servers do not.
    masked: bool,
    current: Option<Current>,
    /// How much of the payload at the head of `input` is unmasked and checked.
    ready: usize,
    message: Option<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    last: bool,
    opcode: Opcode,
    left: u64,
    mask: Option<[u8; 4]>,
}

/// A message whose last fragment has not come.
#[derive(Debug)]
struct Message {
    text: bool,
    bytes: u64,
    utf8: Utf8,
}

impl Reader {
    pub fn new(masked: bool, read: &[u8]) -> Self {
        Self {
            input: BytesMut::from(read),
            masked,
            current: None,
            ready: 0,
            message: None,
        }
    }

    /// The next frame, if enough of it is there.
    pub fn next(&mut self, limits: &WebSocketLimits) -> Result<Option<Frame>, Violation> {
        let mut current = match self.current {
            Some(current) => current,
            None => match self.header(limits)? {
                Some(current) => current,
                None => return Ok(None),
            },
        };
        let here = usize::try_from(current.left)
            .unwrap_or(usize::MAX)
            .min(self.input.len())
            .min(PIECE);
        self.look_at(here, current)?;
        let whole = here as u64 == current.left;
        if !whole && here < PIECE {
            self.current = Some(current);
            return Ok(None);
        }
        let frame = Frame {
            last: current.last && whole,
            opcode: current.opcode,
            length: here,
            mask: current.mask,
        };
        if whole {
            self.finish(frame)?;
            self.current = None;
        } else {
            current.left -= here as u64;
            current.opcode = Opcode::Continuation;
            self.current = Some(current);
        }
        Ok(Some(frame))
    }

    pub fn payload(&self, frame: Frame) -> &[u8] {
        &self.input[..frame.length]
    }

    /// Goes on behind a frame.
    pub fn consume(&mut self, frame: Frame) {
        self.input.advance(frame.length);
        self.ready = 0;
    }

    fn header(&mut self, limits: &WebSocketLimits) -> Result<Option<Current>, Violation> {
        let [first, second, rest @ ..] = &*self.input else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(broken("a reserved bit is set"));
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(broken("an opcode is not known"))?;
        let last = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        if masked != self.masked {
            return Err(broken(match masked {
                true => "a server's frame is masked",
                false => "a client's frame is not masked",
            }));
        }
        let (length, used) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10),
            (126 | 127, _) if opcode.is_control() => return Err(LONG_CONTROL),
            (126 | 127, _) => return Ok(None),
            (length, _) => (u64::from(length), 2),
        };
        let shortest = match length {
            0..126 => 2,
            126..0x1_0000 => 4,
            _ => 10,
        };
        if used != shortest || length > u64::MAX / 2 {
            return Err(broken("a length is not written as it has to be"));
        }
        if opcode.is_control() {
            if !last {
                return Err(broken("a control frame is fragmented"));
            }
            if length > 125 {
                return Err(LONG_CONTROL);
            }
        } else {
            self.check_data(opcode, length, limits)?;
        }
        let mask = match (masked, &self.input[used..]) {
            (false, _) => None,
            (true, [a, b, c, d, ..]) => Some([*a, *b, *c, *d]),
            (true, _) => return Ok(None),
        };
        self.input.advance(used + if masked { 4 } else { 0 });
        if !opcode.is_control() {
            let message = self.message.get_or_insert_with(|| Message {
                text: opcode == Opcode::Text,
                bytes: 0,
                utf8: Utf8::default(),
            });
            // An empty fragment is not free, or there could be any number of them.
            message.bytes += length.max(1);
        }
        Ok(Some(Current {
            last,
            opcode,
            left: length,
            mask,
        }))
    }

    fn check_data(&self, opcode: Opcode, length: u64, limits: &WebSocketLimits) -> Result<(), Violation> {
        let so_far = match (opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(broken("a message begins with a continuation")),
            (Opcode::Continuation, Some(message)) => message.bytes,
            (_, Some(_)) => return Err(broken("a message begins within another one")),
            (_, None) => 0,
        };
        if length > limits.frame {
            return Err(Violation {
                code: 1009,
                reason: "a frame is too long",
            });
        }
        if so_far + length.max(1) > limits.message.max(1) {
            return Err(Violation {
                code: 1009,
                reason: "a message is too long",
            });
        }
        Ok(())
    }

    /// Unmasks what has come of the payload, and sees whether text is text.
    fn look_at(&mut self, here: usize, current: Current) -> Result<(), Violation> {
        if here <= self.ready {
            return Ok(());
        }
        let fresh = &mut self.input[self.ready..here];
        if let Some(mask) = current.mask {
            apply_mask(fresh, mask, self.ready);
        }
        self.ready = here;
        match &mut self.message {
            Some(message) if message.text && !current.opcode.is_control() => message.utf8.advance(fresh),
            _ => Ok(()),
        }
    }

    /// What can be judged only when a frame is whole.
    fn finish(&mut self, frame: Frame) -> Result<(), Violation> {
        match frame.opcode {
            Opcode::Close => check_close(self.payload(frame)),
            Opcode::Ping | Opcode::Pong => Ok(()),
            _ if frame.last => match self.message.take() {
                Some(message) if message.text && !message.utf8.is_whole() => Err(NOT_UTF8),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

const LONG_CONTROL: Violation = broken("a control frame is too long");

fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let [high, low, reason @ ..] = payload else {
        return match payload {
            [] => Ok(()),
            _ => Err(broken("half a close code")),
        };
    };
    match u16::from_be_bytes([*high, *low]) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => match std::str::from_utf8(reason) {
            Ok(_) => Ok(()),
            Err(_) => Err(NOT_UTF8),
        },
        _ => Err(broken("a close code that nobody may send")),
    }
}

/// Checks text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
struct Utf8 {
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    fn advance(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while self.length > 0 {
            let [next, rest @ ..] = bytes else {
                return Ok(());
            };
            bytes = rest;
            self.begun[self.length] = *next;
            self.length += 1;
            match std::str::from_utf8(&self.begun[..self.length]) {
                Ok(_) => self.length = 0,
                // Four bytes are a character or none, so there is always room for the next one.
                Err(error) if error.error_len().is_none() => (),
                Err(_) => return Err(NOT_UTF8),
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            if error.error_len().is_some() {
                return Err(NOT_UTF8);
            }
            let rest = &bytes[error.valid_up_to()..];
            self.begun[..rest.len()].copy_from_slice(rest);
            self.length = rest.len();
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.length == 0
    }
}

/// Writes a frame; with a mask towards a server.
pub(super) fn write(out: &mut BytesMut, last: bool, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.reserve(14 + payload.len());
    out.put_u8(opcode as u8 | if last { 0x80 } else { 0 });
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => out.put_u8(masked | length as u8),
        length @ 126..0x1_0000 => {
            out.put_u8(masked | 126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(masked | 127);
            out.put_u64(length as u64);
        }
    }
    if let Some(mask) = mask {
        out.put_slice(&mask);
    }
    let begin = out.len();
    out.put_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[begin..], mask, 0);
    }
}

/// Masks, or unmasks, bytes that stand at `offset` of a payload.
fn apply_mask(bytes: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(value) ^ twice).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 20, 33, 254];

    fn frame(last: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out, last, opcode, payload, Some(MASK));
        out.to_vec()
    }

    type Seen = (bool, Opcode, Vec<u8>);

    /// What comes of a client's bytes, whole and byte by byte: frames, and what is wrong in the end.
    fn read(bytes: &[u8]) -> (Vec<Seen>, Option<u16>) {
        let take = |reader: &mut Reader, frames: &mut Vec<_>| loop {
            match reader.next(&WebSocketLimits::default()) {
                Ok(Some(frame)) => {
                    frames.push((frame.last, frame.opcode, reader.payload(frame).to_vec()));
                    reader.consume(frame);
                }
                Ok(None) => return None,
                Err(violation) => return Some(violation.code),
            }
        };
        let mut reader = Reader::new(true, bytes);
        let mut whole = Vec::new();
        let verdict = take(&mut reader, &mut whole);
        let mut reader = Reader::new(true, &[]);
        let mut pieces = Vec::new();
        let mut piecewise = None;
        for byte in bytes {
            reader.input.extend_from_slice(&[*byte]);
            piecewise = take(&mut reader, &mut pieces);
            if piecewise.is_some() {
                break;
            }
        }
        assert_eq!((&whole, verdict), (&pieces, piecewise), "whole and in pieces");
        (whole, verdict)
    }

    fn check(bytes: &[u8], code: u16) {
        assert_eq!(read(bytes).1, Some(code), "for {bytes:?}");
    }

    #[test]
    fn frames_of_every_length_come_out_as_they_went_in() {
        for length in [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let (frames, verdict) = read(&frame(true, Opcode::Binary, &payload));
            assert_eq!(verdict, None);
            assert_eq!(frames, [(true, Opcode::Binary, payload)]);
        }
    }

    #[test]
    fn a_long_frame_goes_on_in_fragments() {
        let payload: Vec<u8> = (0..150_001).map(|at| (at % 251) as u8).collect();
        let (frames, verdict) = read(&frame(true, Opcode::Binary, &payload));
        assert_eq!(verdict, None);
        let shape: Vec<_> = frames
            .iter()
            .map(|(last, opcode, payload)| (*last, *opcode, payload.len()))
            .collect();
        assert_eq!(
            shape,
            [
                (false, Opcode::Binary, PIECE),
                (false, Opcode::Continuation, PIECE),
                (true, Opcode::Continuation, 150_001 - 2 * PIECE)
            ]
        );
        let joined: Vec<u8> = frames.into_iter().flat_map(|(_, _, payload)| payload).collect();
        assert_eq!(joined, payload);
    }

    #[test]
    fn control_frames_may_come_between_fragments() {
        let bytes = [
            frame(false, Opcode::Text, "ö".as_bytes().split_at(1).0),
            frame(true, Opcode::Ping, b"\xff"),
            frame(true, Opcode::Continuation, "ö".as_bytes().split_at(1).1),
        ]
        .concat();
        let (frames, verdict) = read(&bytes);
        assert_eq!((frames.len(), verdict), (3, None));
    }

    #[test]
    fn what_no_client_may_send_is_a_protocol_error() {
        check(&[0xc1, 0x80, 0, 0, 0, 0], 1002);
        check(&[0x83, 0x80, 0, 0, 0, 0], 1002);
        check(&[0x81, 0x00], 1002);
        check(&[0x09, 0x80, 0, 0, 0, 0], 1002);
        check(&[0x89, 0xfe, 0, 126], 1002);
        check(&[0x82, 0xfe, 0, 125, 0, 0, 0, 0], 1002);
        check(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255], 1002);
        check(&frame(true, Opcode::Continuation, b"x"), 1002);
        check(
            &[
                frame(false, Opcode::Text, b"a"),
                frame(true, Opcode::Binary, b"b"),
            ]
            .concat(),
            1002,
        );
        for payload in [
            &b"\x03"[..],
            &[0x03, 0xec],
            &[0x03, 0xed],
            &[0x03, 0xee],
            &[0x03, 0xf7],
            &[0, 0],
            &[0x13, 0x88],
        ] {
            check(&frame(true, Opcode::Close, payload), 1002);
        }
    }

    #[test]
    fn text_is_utf8_and_is_judged_at_the_first_wrong_byte() {
        check(&frame(true, Opcode::Text, b"a\xc3"), 1007);
        check(&frame(true, Opcode::Close, b"\x03\xe8\xff"), 1007);
        // A surrogate, and a number beyond the last character: neither waits for the rest of its frame.
        for start in [&b"ok \xed\xa0"[..], b"ok \xf4\x90", b"ok \xf5", b"\xce\xba\xc0"] {
            let mut bytes = frame(true, Opcode::Text, &[start, &[b'x'; 50]].concat());
            bytes.truncate(6 + start.len());
            check(&bytes, 1007);
        }
        let (frames, verdict) = read(&frame(true, Opcode::Text, "κόσμε 𝄞".as_bytes()));
        assert_eq!((frames.len(), verdict), (1, None));
    }

    #[test]
    fn too_long_is_told_by_the_header_alone() {
        check(&[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], 1009);
        check(&[0x82, 0xff, 0, 0, 0, 0, 0, 4, 0, 1], 1009);
        let mut message = frame(false, Opcode::Binary, &[0; 256 * 1024]);
        for _ in 0..3 {
            message.extend(frame(false, Opcode::Continuation, &[0; 256 * 1024]));
        }
        assert_eq!(read(&message).1, None);
        message.extend(frame(true, Opcode::Continuation, b""));
        check(&message, 1009);
    }
}
