//! The relay between a client and its backend: frames over and back, with as much kept as the slower side allows, pings of our own, and a close
//! frame to whoever is left.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::super::alarm::Alarm;
use super::super::connect::Metered;
use super::super::connection::Connection;
use super::super::limits::WebSocketLimits;
use super::frames::{self, Frame, Opcode, PIECE, Reader, Violation};
use super::{Backend, Tunnel};

/// As long as a side has so much to take, the other one is not read.
const HIGH: usize = PIECE;

/// What an empty buffer may keep for the next bytes.
const KEPT: usize = 4 * 1024;

/// After so many of our pings without a sign of life a side is given up.
const MISSES: u32 = 2;

const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TOO_LONG: u16 = 1009;
const UNEXPECTED: u16 = 1011;

/// Relays until both sides have closed, or one is gone. `early` are bytes of the client that came behind its handshake.
pub(in super::super) async fn relay<C>(client: C, early: BytesMut, tunnel: Tunnel, connection: &Connection)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let Backend {
        stream,
        read,
        limits,
        watch,
    } = *tunnel.0;
    let now = Instant::now();
    let mut relay = Relay {
        client: Side::new(client, Reader::new(true, &early), false, now),
        backend: Side::new(stream, Reader::new(false, &read), true, now),
        closing: None,
        last_call: false,
        alarm: Alarm::default(),
        limits,
    };
    drop((early, read));
    poll_fn(|context| relay.poll(context, connection)).await;
    drop(watch);
}

struct Relay<C> {
    client: Side<C>,
    backend: Side<Metered>,
    /// Until when the sides may say goodbye.
    closing: Option<Instant>,
    last_call: bool,
    alarm: Alarm,
    limits: WebSocketLimits,
}

struct Side<S> {
    stream: S,
    /// What is sent to it is masked, as it is the backend.
    masks: bool,
    reader: Reader,
    out: BytesMut,
    unflushed: bool,
    /// What it says counts no more.
    deaf: bool,
    /// It has said its last byte.
    ended: bool,
    /// It takes no more.
    broken: bool,
    /// It was sent a close frame, which is the last frame.
    told: bool,
    /// The payload of the close frame it sent.
    left: Option<Bytes>,
    shut: bool,
    heard: Instant,
    /// When it sent the last frame of a message.
    active: Instant,
    /// Pings of ours since it was heard.
    pings: u32,
    ping: Option<[u8; 8]>,
    stalled: Option<Instant>,
    second: Instant,
    controls: u32,
}

/// How a side stops being one.
enum End {
    Broke(Violation),
    /// Without a word.
    Gone,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Relay<C> {
    fn poll(&mut self, context: &mut Context<'_>, connection: &Connection) -> Poll<()> {
        connection.watch(context);
        loop {
            let now = Instant::now();
            if self.closing.is_none() && connection.is_draining() {
                self.end_both(now, GOING_AWAY, "the gateway is shutting down");
            }
            self.look_at_the_clock(now);
            if self.closing.is_some_and(|deadline| deadline <= now) && self.last_call {
                return Poll::Ready(());
            }
            if let Err(end) = pump(&mut self.client, &mut self.backend, context, &self.limits, now) {
                self.client_ended(end, now);
                continue;
            }
            if let Err(end) = pump(&mut self.backend, &mut self.client, context, &self.limits, now) {
                self.backend_ended(end, now);
                continue;
            }
            if self.client.left.is_some() || self.backend.left.is_some() {
                self.closing.get_or_insert(now + self.limits.close);
            }
            let ended = [self.client.farewell(context), self.backend.farewell(context)];
            if ended == [true, true] {
                return Poll::Ready(());
            }
            let deadline = self.deadline();
            if self.alarm.poll(context, deadline).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn client_ended(&mut self, end: End, now: Instant) {
        tracing::debug!(%end, "a WebSocket client is done with");
        self.closing.get_or_insert(now + self.limits.close);
        self.client.deaf = true;
        match end {
            End::Broke(violation) => {
                self.client.close(violation.code, violation.reason);
                match violation.code {
                    TOO_LONG => self.backend.close(TOO_LONG, violation.reason),
                    _ => self.backend.close(GOING_AWAY, "the client was turned away"),
                }
            }
            End::Gone => {
                self.client.told = true;
                match self.backend.left.clone() {
                    Some(payload) => self.backend.answer_close(&payload),
                    None => self.backend.close(GOING_AWAY, "the client is gone"),
                }
            }
        }
    }

    fn backend_ended(&mut self, end: End, now: Instant) {
        tracing::debug!(%end, "a WebSocket backend is done with");
        self.closing.get_or_insert(now + self.limits.close);
        self.backend.deaf = true;
        match end {
            End::Broke(violation) => {
                self.backend.close(violation.code, violation.reason);
                match violation.code {
                    TOO_LONG => self.client.close(TOO_LONG, violation.reason),
                    _ => self.client.close(UNEXPECTED, "the backend broke the protocol"),
                }
            }
            End::Gone => {
                self.backend.told = true;
                match self.client.left.clone() {
                    Some(payload) => self.client.answer_close(&payload),
                    None => self.client.close(UNEXPECTED, "the backend is gone"),
                }
            }
        }
    }

    fn end_both(&mut self, now: Instant, code: u16, reason: &str) {
        self.closing.get_or_insert(now + self.limits.close);
        self.client.close(code, reason);
        self.backend.close(code, reason);
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        if self.closing.is_some_and(|deadline| deadline <= now) && !self.last_call {
            // Whoever is owed an answer that the other side does not give gets it from here.
            self.last_call = true;
            self.closing = Some(now + Duration::from_secs(1));
            let (client, backend) = (self.client.left.clone(), self.backend.left.clone());
            self.client.answer_close(&client.unwrap_or_default());
            self.backend.answer_close(&backend.unwrap_or_default());
        }
        if self.client.is_dead(now, &self.limits, self.closing.is_some()) {
            self.client.give_up();
            self.client_ended(End::Gone, now);
        }
        if self.backend.is_dead(now, &self.limits, self.closing.is_some()) {
            self.backend.give_up();
            self.backend_ended(End::Gone, now);
        }
        let active = self.client.active.max(self.backend.active);
        if self.closing.is_none() && !self.limits.idle.is_zero() && active + self.limits.idle <= now {
            self.end_both(now, GOING_AWAY, "nothing was said for too long");
        }
    }

    fn deadline(&self) -> Instant {
        let limits = &self.limits;
        let stalls = [self.client.stalled, self.backend.stalled];
        let stalls = stalls.into_iter().flatten().map(|since| since + limits.write_gap);
        let open = self.closing.is_none();
        let silences = [self.client.ping_due(limits), self.backend.ping_due(limits)];
        let silences = silences.into_iter().flatten().filter(|_| open);
        let idle = self.client.active.max(self.backend.active) + limits.idle;
        let idle = (open && !limits.idle.is_zero()).then_some(idle);
        let far = Instant::now() + Duration::from_secs(3600);
        stalls
            .chain(silences)
            .chain(self.closing)
            .chain(idle)
            .fold(far, Instant::min)
    }
}

/// Moves what one side says to the other, as far as it goes without waiting.
fn pump<A, B>(
    from: &mut Side<A>,
    to: &mut Side<B>,
    context: &mut Context<'_>,
    limits: &WebSocketLimits,
    now: Instant,
) -> Result<(), End>
where
    A: AsyncRead + Unpin,
    B: AsyncWrite + Unpin,
{
    loop {
        while to.out.len() < HIGH && !from.deaf {
            match from.reader.next(limits) {
                Ok(Some(frame)) => pass(frame, from, to, limits, now)?,
                Ok(None) => break,
                Err(violation) => return Err(End::Broke(violation)),
            }
        }
        let full = to.out.len() >= HIGH;
        to.poll_write(context, now);
        if to.out.len() >= HIGH {
            // A side that is not listened to is not silent.
            (from.heard, from.pings) = (now, 0);
            return Ok(());
        }
        if full {
            continue;
        }
        if from.ended {
            return Ok(());
        }
        match from.poll_read(context) {
            Poll::Pending => return Ok(()),
            Poll::Ready(true) => (from.heard, from.pings) = (now, 0),
            Poll::Ready(false) => {
                from.ended = true;
                if !from.deaf {
                    return Err(End::Gone);
                }
            }
        }
    }
}

fn pass<A, B>(
    frame: Frame,
    from: &mut Side<A>,
    to: &mut Side<B>,
    limits: &WebSocketLimits,
    now: Instant,
) -> Result<(), End> {
    if frame.opcode.is_control() {
        from.count_control(now, limits)?;
    } else {
        from.active = now;
    }
    let payload = from.reader.payload(frame);
    if frame.opcode == Opcode::Close {
        let payload = Bytes::copy_from_slice(payload);
        to.answer_close(&payload);
        from.left = Some(payload);
        from.deaf = true;
    } else if frame.opcode == Opcode::Pong && from.ping.is_some_and(|ping| payload == ping) {
        from.ping = None;
    } else if !to.told && !to.broken {
        // The client's own mask serves again: whoever made the payload could not foresee it.
        let mask = frame.mask.filter(|_| to.masks);
        frames::write(&mut to.out, frame.last, frame.opcode, payload, mask);
    }
    from.reader.consume(frame);
    Ok(())
}

impl<S> Side<S> {
    fn new(stream: S, reader: Reader, masks: bool, now: Instant) -> Self {
        Self {
            stream,
            masks,
            reader,
            out: BytesMut::new(),
            unflushed: false,
            deaf: false,
            ended: false,
            broken: false,
            told: false,
            left: None,
            shut: false,
            heard: now,
            active: now,
            pings: 0,
            ping: None,
            stalled: None,
            second: now,
            controls: 0,
        }
    }

    fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = self.masks.then(|| fastrand::u32(..).to_ne_bytes());
        frames::write(&mut self.out, true, opcode, payload, mask);
    }

    fn close(&mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        self.answer_close(&payload);
    }

    /// Sends a close frame, unless it had one.
    fn answer_close(&mut self, payload: &[u8]) {
        if !self.told && !self.broken {
            self.say(Opcode::Close, payload);
        }
        self.told = true;
    }

    fn give_up(&mut self) {
        self.broken = true;
        self.ended = true;
        self.deaf = true;
        self.out = BytesMut::new();
        self.stalled = None;
    }

    fn count_control(&mut self, now: Instant, limits: &WebSocketLimits) -> Result<(), End> {
        if now - self.second >= Duration::from_secs(1) {
            self.second = now;
            self.controls = 0;
        }
        self.controls += 1;
        if self.controls <= limits.control_frames {
            return Ok(());
        }
        Err(End::Broke(Violation {
            code: POLICY,
            reason: "too many control frames",
        }))
    }

    fn ping_due(&self, limits: &WebSocketLimits) -> Option<Instant> {
        (!limits.ping.is_zero() && !self.ended && !self.broken)
            .then(|| self.heard + limits.ping * (self.pings + 1))
    }

    /// Pings a side that is silent. True: it takes nothing, or is silent in spite of our pings.
    fn is_dead(&mut self, now: Instant, limits: &WebSocketLimits, closing: bool) -> bool {
        if self.broken {
            return false;
        }
        if self.stalled.is_some_and(|since| since + limits.write_gap <= now) {
            return true;
        }
        if closing || self.ping_due(limits).is_none_or(|due| due > now) {
            return false;
        }
        if self.pings >= MISSES {
            return true;
        }
        self.pings += 1;
        let ping = fastrand::u64(..).to_ne_bytes();
        self.ping = Some(ping);
        self.say(Opcode::Ping, &ping);
        false
    }
}

impl<S: AsyncWrite + Unpin> Side<S> {
    fn poll_write(&mut self, context: &mut Context<'_>, now: Instant) {
        while !self.out.is_empty() && !self.broken {
            match Pin::new(&mut self.stream).poll_write(context, &self.out) {
                Poll::Pending => {
                    self.stalled.get_or_insert(now);
                    return;
                }
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.out.advance(count);
                    self.unflushed = true;
                    self.stalled = None;
                }
                // Reading tells what became of it.
                Poll::Ready(Ok(_) | Err(_)) => self.broken = true,
            }
        }
        if self.broken {
            self.out.clear();
            self.stalled = None;
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Pending => {
                    self.stalled.get_or_insert(now);
                }
                Poll::Ready(result) => {
                    self.unflushed = false;
                    self.stalled = None;
                    self.broken |= result.is_err();
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Side<S> {
    /// False: there is no more to come.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; 16 * 1024];
        let mut buffer = ReadBuf::uninit(&mut space);
        if self.reader.input.is_empty() && self.reader.input.capacity() > KEPT {
            self.reader.input = BytesMut::new();
        }
        let read: Poll<io::Result<()>> = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        read.map(|read| {
            let fresh = buffer.filled();
            if read.is_ok() && !self.deaf {
                self.reader.input.extend_from_slice(fresh);
            }
            read.is_ok() && !fresh.is_empty()
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// Ends our sending once both have said goodbye, or there is nobody to say it to. True: this side is done with.
    fn farewell(&mut self, context: &mut Context<'_>) -> bool {
        let said = self.broken || self.told && self.out.is_empty() && !self.unflushed;
        if !said || !(self.deaf || self.ended) {
            return false;
        }
        if !self.shut {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Pending => return false,
                Poll::Ready(_) => self.shut = true,
            }
        }
        self.ended
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Broke(violation) => write!(f, "{}: {}", violation.code, violation.reason),
            End::Gone => f.write_str("it left without a word"),
        }
    }
}
