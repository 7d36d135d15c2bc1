//! What goes to a script and what comes back: a snapshot in, changes out, the same for a thread and for a process of its own.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// One run of a script.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub script: u64,
    pub given: Given,
    /// How long it may take, in milliseconds.
    pub time: u64,
}

/// A script, ready to be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// A text that is a function of `mc` and of further arguments.
    pub text: String,
    /// Names that it assigns without declaring them.
    pub assigned: Vec<String>,
    /// It has XML in it, and is given what that needs.
    pub xml: bool,
}

/// What a script may see of a message, as far as its text can ask for it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Given {
    pub default: Bag,
    pub axis2: Bag,
    pub axis2_client: Bag,
    pub transport: Bag,
    pub operation: Bag,
    pub variables: Bag,
    pub entries: Bag,
    /// The body, in each form that was asked for. `None`: it has no such form.
    pub bodies: Vec<(Form, Option<String>)>,
    pub request: Option<Request>,
    pub addressing: Option<Addressing>,
    pub flags: Flags,
    /// Arguments of the function, after `mc`.
    pub arguments: Vec<Datum>,
    /// Milliseconds since 1970, where the clock does not run.
    pub now: Option<i64>,
    /// Where `Math.random` begins.
    pub seed: u64,
}

/// Values by name. Names that were asked for and are not there have no value; unless all are here, others may be there.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bag {
    pub all: bool,
    pub list: Vec<(String, Option<Datum>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The body's JSON, if it is JSON.
    Json,
    /// The first element of the body.
    Xml,
    Envelope,
    /// What Synapse calls the payload's text: JSON, or the whole envelope.
    Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Datum {
    Text(String),
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Json(String),
    Xml(String),
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addressing {
    pub to: Option<String>,
    pub from: Option<String>,
    pub reply_to: Option<String>,
    pub fault_to: Option<String>,
    pub relates_to: Option<String>,
    pub action: Option<String>,
    pub soap_action: Option<String>,
    pub message_id: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flags {
    pub response: bool,
    pub fault: bool,
    pub pox: bool,
    pub get: bool,
    pub mtom: bool,
    pub swa: bool,
    pub soap11: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Default,
    Axis2,
    Axis2Client,
    Transport,
    Operation,
    Variable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    To,
    From,
    ReplyTo,
    FaultTo,
    RelatesTo,
    Action,
    SoapAction,
    MessageId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flag {
    Response,
    Fault,
    Pox,
    Get,
    Mtom,
    Swa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// What a script did, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// No value: removed.
    Set(Scope, String, Option<Datum>),
    Json(String),
    Xml(String),
    Envelope(String),
    Text(String),
    Header {
        must_understand: bool,
        xml: String,
    },
    Address(Field, Option<String>),
    Flag(Flag, bool),
    /// The answer comes so many milliseconds later.
    Wait(u64),
    Log {
        level: Level,
        text: String,
        line: u32,
    },
}

/// What a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// A script, before the first call of it.
    Script(u64, Source),
    Call(Call),
    Stored(Stored),
}

/// What a worker says. Calls are answered in the order in which they came.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    Ready,
    Reply(Reply),
    /// The same, and it comes to no other call: scripts have left too much behind.
    Last(Reply),
    /// It waits for the answer: a JSON text, or nothing.
    Store(StoreCall),
}

/// What a script asks of the store of its API. Values are JSON texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StoreCall {
    Get(String),
    /// For so many milliseconds, or for good.
    Set(String, String, Option<u64>),
    Delete(String),
    /// The keys that begin so.
    Keys(String),
    /// Adds to a number and gives the sum.
    Add(String, i64),
    Clear,
}

/// The store's answer, or why it has none.
pub type Stored = Result<Option<String>, String>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub outcome: Outcome,
    pub changes: Vec<Change>,
    /// Whoever is given the same answers the same: it has asked for nothing else, such as the time, chance or the store.
    pub lasts: bool,
    /// Microseconds of processor time.
    pub took: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Done(Option<Datum>),
    Failed(Failure),
    /// It asked for something that was not sent along; nothing has happened.
    NeedsAll,
}

/// An error that nobody caught.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    /// The innermost first. Lines and columns count from 1, in the text that was compiled.
    pub stack: Vec<Frame>,
    /// It was cut off rather than wrong.
    pub limit: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    pub function: String,
    pub line: u32,
    pub column: u32,
}

impl Bag {
    pub fn everything(list: Vec<(String, Option<Datum>)>) -> Bag {
        Bag { all: true, list }
    }

    /// The outer `None`: nobody asked before the script began.
    pub fn get(&self, name: &str) -> Option<Option<&Datum>> {
        match self.list.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Some(value.as_ref()),
            None if self.all => Some(None),
            None => None,
        }
    }

    pub fn set(&mut self, name: &str, value: Option<Datum>) {
        match self.list.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }
}

impl Given {
    pub fn bag(&mut self, scope: Scope) -> &mut Bag {
        match scope {
            Scope::Default => &mut self.default,
            Scope::Axis2 => &mut self.axis2,
            Scope::Axis2Client => &mut self.axis2_client,
            Scope::Transport => &mut self.transport,
            Scope::Operation => &mut self.operation,
            Scope::Variable => &mut self.variables,
        }
    }

    pub fn body(&self, form: Form) -> Option<Option<&str>> {
        let found = self.bodies.iter().find(|(known, _)| *known == form);
        found.map(|(_, text)| text.as_deref())
    }

    /// Whether a script that leaves nothing to chance sees no difference.
    pub fn looks_like(&self, other: &Given) -> bool {
        let Given {
            default,
            axis2,
            axis2_client,
            transport,
            operation,
            variables,
            entries,
            bodies,
            request,
            addressing,
            flags,
            arguments,
            now,
            seed: _,
        } = self;
        *request == other.request
            && *transport == other.transport
            && *default == other.default
            && *bodies == other.bodies
            && *axis2 == other.axis2
            && *axis2_client == other.axis2_client
            && *operation == other.operation
            && *variables == other.variables
            && *arguments == other.arguments
            && *addressing == other.addressing
            && *flags == other.flags
            && *now == other.now
            && *entries == other.entries
    }
}

impl PartialEq for Datum {
    /// As scripts can tell them apart: 0 and -0 are two numbers.
    fn eq(&self, other: &Datum) -> bool {
        match (self, other) {
            (Datum::Text(one), Datum::Text(other))
            | (Datum::Json(one), Datum::Json(other))
            | (Datum::Xml(one), Datum::Xml(other)) => one == other,
            (Datum::Boolean(one), Datum::Boolean(other)) => one == other,
            (Datum::Integer(one), Datum::Integer(other)) => one == other,
            (Datum::Number(one), Datum::Number(other)) => one.to_bits() == other.to_bits(),
            _ => false,
        }
    }
}

impl Addressing {
    pub fn field(&mut self, field: Field) -> &mut Option<String> {
        match field {
            Field::To => &mut self.to,
            Field::From => &mut self.from,
            Field::ReplyTo => &mut self.reply_to,
            Field::FaultTo => &mut self.fault_to,
            Field::RelatesTo => &mut self.relates_to,
            Field::Action => &mut self.action,
            Field::SoapAction => &mut self.soap_action,
            Field::MessageId => &mut self.message_id,
        }
    }
}

impl Flags {
    pub fn flag(&mut self, flag: Flag) -> &mut bool {
        match flag {
            Flag::Response => &mut self.response,
            Flag::Fault => &mut self.fault,
            Flag::Pox => &mut self.pox,
            Flag::Get => &mut self.get,
            Flag::Mtom => &mut self.mtom,
            Flag::Swa => &mut self.swa,
        }
    }
}

/// Appends a message with its length in front, little-endian.
pub fn frame(message: &impl Serialize, out: Vec<u8>) -> Vec<u8> {
    let start = out.len();
    let mut out = out;
    out.extend_from_slice(&[0; 4]);
    let mut out = postcard::to_extend(message, out).expect("texts and numbers can be written");
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out
}

/// The longest message either side takes.
pub const LONGEST: usize = 64 << 20;

/// Bytes that came, and the messages in them.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// What of them has been read.
    read: usize,
}

impl Inbox {
    /// Where what comes next is to be appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        &mut self.bytes
    }

    /// Reads once: how many bytes came.
    pub fn read_from(&mut self, from: &mut impl Read) -> io::Result<usize> {
        let bytes = self.room();
        let before = bytes.len();
        bytes.resize(before + ROOM, 0);
        let read = from.read(&mut bytes[before..]);
        bytes.truncate(before + read.as_ref().copied().unwrap_or(0));
        read
    }

    /// The next message, if it is there whole.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let waiting = &self.bytes[self.read..];
        let Some((length, rest)) = waiting.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST {
            return Err(format!("a message is longer than {} MiB", LONGEST >> 20));
        }
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        let message = postcard::from_bytes(message).map_err(|error| error.to_string())?;
        self.read += 4 + length;
        Ok(Some(message))
    }
}

/// What is read at once.
pub const ROOM: usize = 16 << 10;
