//! The body of a message: a stream until somebody looks inside, then bytes, then XML or JSON, parsed once and kept.
//!
//! One of these is the truth at any time, the others are views made from it. Whoever only looks (`envelope`, `json`)
//! leaves the truth alone, so that a body nobody changed goes out as the very bytes that came in. Whoever changes
//! (`envelope_mut`, `json_mut`) makes the changed side the truth, and the other views are dropped.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::body::{ByteStream, StreamError, StreamErrorKind};
use super::build;
use super::encoding::{DecodeError, Encoding};
use super::json::convert::ConversionSettings;
use super::json::{self, Json, JsonLimits, Object};
use super::media_type::{Charset, Form, MediaType};
use super::replay::ReplayLimits;
use super::soap::{Envelope, SoapVersion};
use super::xml::XmlLimits;

/// How much of a body is kept, opened and built.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PayloadLimits {
    /// Bytes of a body that is read into memory, packed or opened.
    pub body: usize,
    /// Bytes of a body that is built as XML or JSON.
    pub tree: usize,
    pub xml: XmlLimits,
    pub json: JsonLimits,
    /// Fields of a form or a query.
    pub form_fields: usize,
    /// Bytes of one gRPC message that passes, in either direction; 0 is no limit.
    pub grpc_message: usize,
}

impl Default for PayloadLimits {
    fn default() -> PayloadLimits {
        PayloadLimits {
            body: 10 << 20,
            tree: 2 << 20,
            xml: XmlLimits::default(),
            json: JsonLimits::default(),
            form_fields: 1000,
            grpc_message: 4 << 20,
        }
    }
}

/// What building a body needs to know besides the body.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    pub limits: &'a PayloadLimits,
    pub conversion: &'a ConversionSettings,
}

/// Why a body cannot be read, built or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    pub kind: PayloadErrorKind,
    pub message: String,
    /// The byte of the body where it shows.
    pub offset: Option<usize>,
    /// The same place as line and column, from 1.
    pub place: Option<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadErrorKind {
    Malformed,
    TooLarge,
    Stream(StreamError),
    Unsupported,
    /// The body still streams; `load` comes first. Only a mistake in this program leads here.
    NotLoaded,
}

impl PayloadError {
    pub fn new(kind: PayloadErrorKind, message: impl Into<String>) -> PayloadError {
        PayloadError {
            kind,
            message: message.into(),
            offset: None,
            place: None,
        }
    }

    pub fn malformed(message: impl Into<String>) -> PayloadError {
        PayloadError::new(PayloadErrorKind::Malformed, message)
    }

    pub fn unsupported(message: impl Into<String>) -> PayloadError {
        PayloadError::new(PayloadErrorKind::Unsupported, message)
    }

    pub fn too_large(message: impl Into<String>) -> PayloadError {
        PayloadError::new(PayloadErrorKind::TooLarge, message)
    }

    /// The same error with its place in this text.
    pub fn at(mut self, offset: usize, text: &str) -> PayloadError {
        self.offset = Some(offset);
        self.place = Some(super::xml::line_and_column(text, offset));
        self
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match (self.place, self.offset) {
            (Some((line, column)), _) => write!(out, " (line {line}, column {column} of the body)"),
            (None, Some(offset)) => write!(out, " (byte {offset} of the body)"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for PayloadError {}

impl From<StreamError> for PayloadError {
    fn from(error: StreamError) -> PayloadError {
        let message = error.message.clone();
        match error.kind {
            StreamErrorKind::TooLarge => PayloadError::too_large(message),
            _ => PayloadError::new(PayloadErrorKind::Stream(error), message),
        }
    }
}

impl From<DecodeError> for PayloadError {
    fn from(error: DecodeError) -> PayloadError {
        match error {
            DecodeError::TooLarge => {
                PayloadError::too_large("the body grows beyond the limit when it is unpacked")
            }
            DecodeError::Malformed(message) => PayloadError::malformed(message),
            DecodeError::Unsupported(message) => PayloadError::unsupported(message),
        }
    }
}

/// The body of a message. It is moved often, so what few bodies have is boxed.
#[derive(Debug)]
pub struct Payload {
    form: Form,
    media_type: Option<Arc<MediaType>>,
    truth: Truth,
    /// The truth, or a view of it.
    pub(super) json: Option<Arc<Json>>,
    /// The truth, or a view of it.
    pub(super) envelope: Option<Arc<Envelope>>,
    /// An envelope whose body was replaced: its headers go on with the new body, as in Synapse.
    shell: Option<Arc<Envelope>>,
    /// What stands around the root part of a multipart body whose root part is the envelope.
    around: Option<Box<Around>>,
    rest: bool,
    own: bool,
}

#[derive(Debug)]
pub(super) enum Truth {
    Empty,
    /// No body, but a query that shows itself as one when somebody looks.
    Query(Box<str>),
    Stream {
        body: ByteStream,
        encoding: Encoding,
    },
    Raw(Raw),
    Json,
    Xml,
}

#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// Unpacked. None until `load` has unpacked it.
    plain: Option<Bytes>,
    /// As it came, if it came packed.
    packed: Option<Box<(Bytes, Encoding)>>,
    trailers: Option<Box<HeaderMap>>,
    /// It came from outside, not from a step.
    arrived: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Around {
    pub before: Bytes,
    pub after: Bytes,
}

impl Payload {
    /// No body.
    pub fn empty() -> Payload {
        Payload::of(Form::Unknown, Truth::Empty)
    }

    /// A request without a body but with a query. Nothing is written for it; whoever looks inside sees the query as a form.
    pub fn query(query: &str) -> Payload {
        Payload::of(Form::UrlEncoded, Truth::Query(query.into()))
    }

    /// A body on its way in. Without a media type its form is unknown.
    pub fn stream(media_type: Option<MediaType>, encoding: Encoding, body: ByteStream) -> Payload {
        let form = media_type.as_ref().map_or(Form::Unknown, MediaType::form);
        let mut payload = Payload::of(form, Truth::Stream { body, encoding });
        payload.media_type = media_type.map(Arc::new);
        payload
    }

    /// A body made here, in UTF-8 if it is text. It is parsed when somebody looks inside.
    pub fn bytes(form: Form, bytes: impl Into<Bytes>) -> Payload {
        let plain = Some(bytes.into());
        Payload::of(
            form,
            Truth::Raw(Raw {
                plain,
                packed: None,
                trailers: None,
                arrived: false,
            }),
        )
    }

    pub fn text(text: impl Into<String>) -> Payload {
        Payload::bytes(Form::Text, text.into().into_bytes())
    }

    pub fn of_json(json: Json) -> Payload {
        let mut payload = Payload::of(Form::Json, Truth::Json);
        payload.json = Some(Arc::new(json));
        payload
    }

    pub fn xml(envelope: Envelope) -> Payload {
        Payload::shared_xml(Arc::new(envelope))
    }

    /// An envelope that others hold as well; it is copied when somebody changes it.
    pub fn shared_xml(envelope: Arc<Envelope>) -> Payload {
        let form = match envelope.version() {
            _ if envelope.is_wrapped() => Form::Xml,
            SoapVersion::Soap11 => Form::Soap11,
            SoapVersion::Soap12 => Form::Soap12,
        };
        let mut payload = Payload::of(form, Truth::Xml);
        payload.envelope = Some(envelope);
        payload
    }

    fn of(form: Form, truth: Truth) -> Payload {
        Payload {
            form,
            media_type: None,
            truth,
            json: None,
            envelope: None,
            shell: None,
            around: None,
            rest: true,
            own: false,
        }
    }

    /// Whether this belongs to a REST exchange (the default): then `text/xml` may be XML without an envelope, both ways.
    /// A request with a SOAPAction does not, nor does what an endpoint sends as SOAP.
    pub fn set_rest(&mut self, rest: bool) {
        self.rest = rest;
    }

    pub fn is_rest(&self) -> bool {
        self.rest
    }

    /// Marks the body that the client sent with its request, so that it can be told from what replaces it.
    pub fn set_of_client(&mut self) {
        self.own = true;
    }

    /// The body that the client sent with its request, byte by byte.
    pub fn is_of_client(&self) -> bool {
        self.own && self.is_untouched()
    }

    /// The shape in which it came or was made.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The Content-Type it came with.
    pub fn media_type(&self) -> Option<&MediaType> {
        self.media_type.as_deref()
    }

    /// There is no body. A stream counts as empty when it says so itself.
    pub fn is_empty(&self) -> bool {
        match &self.truth {
            Truth::Empty | Truth::Query(_) => true,
            Truth::Stream { body, .. } => body.exact_length() == Some(0),
            Truth::Raw(raw) => raw.forwarded().0.is_empty(),
            Truth::Json | Truth::Xml => false,
        }
    }

    /// All of it is here, unpacked: the synchronous methods may be used.
    pub fn is_loaded(&self) -> bool {
        match &self.truth {
            Truth::Stream { .. } => false,
            Truth::Raw(raw) => raw.plain.is_some(),
            Truth::Empty | Truth::Query(_) | Truth::Json | Truth::Xml => true,
        }
    }

    /// Still exactly what arrived: its own Content-Length and Content-Encoding hold.
    pub fn is_untouched(&self) -> bool {
        match &self.truth {
            Truth::Stream { .. } | Truth::Query(_) => true,
            Truth::Raw(raw) => raw.arrived,
            Truth::Empty | Truth::Json | Truth::Xml => false,
        }
    }

    /// All of it as it came, if all of it is here.
    pub fn as_it_came(&self) -> Option<Bytes> {
        match &self.truth {
            Truth::Stream { body, .. } => body.as_bytes().cloned(),
            Truth::Raw(raw) if raw.arrived && raw.trailers.is_none() => Some(raw.forwarded().0.clone()),
            _ => None,
        }
    }

    /// The message is JSON, not a view of it.
    pub fn is_json(&self) -> bool {
        match &self.truth {
            Truth::Json => true,
            Truth::Stream { .. } => self.form == Form::Json,
            Truth::Raw(raw) => self.form == Form::Json && !raw.is_blank(),
            Truth::Empty | Truth::Query(_) | Truth::Xml => false,
        }
    }

    /// The message is XML that was built, here or by a step.
    pub fn is_built_xml(&self) -> bool {
        matches!(self.truth, Truth::Xml)
    }

    /// Its SOAP headers would be lost to a step that replaces the body without loading it.
    pub fn may_have_headers(&self) -> bool {
        self.form.is_soap() || self.form == Form::Multipart || self.envelope.is_some() || self.shell.is_some()
    }

    /// Reads it into memory without opening it, to be able to send it twice.
    pub async fn keep(&mut self, limits: &PayloadLimits) -> Result<(), PayloadError> {
        let (body, encoding) = match std::mem::replace(&mut self.truth, Truth::Empty) {
            Truth::Stream { body, encoding } => (body, encoding),
            known => {
                self.truth = known;
                return Ok(());
            }
        };
        self.truth = match body.collect(limits.body).await? {
            (bytes, trailers) if encoding == Encoding::Identity || bytes.is_empty() => Truth::Raw(Raw {
                plain: Some(bytes),
                packed: None,
                trailers: trailers.map(Box::new),
                arrived: true,
            }),
            (bytes, trailers) => Truth::Raw(Raw {
                plain: None,
                packed: Some(Box::new((bytes, encoding))),
                trailers: trailers.map(Box::new),
                arrived: true,
            }),
        };
        Ok(())
    }

    /// Reads it into memory and unpacks it, both within `limits.body`. What came stays beside what was unpacked, for
    /// a body that nobody changes. After an error in the stream nothing is left of the body.
    pub async fn load(&mut self, limits: &PayloadLimits) -> Result<(), PayloadError> {
        if matches!(self.truth, Truth::Stream { .. }) {
            self.keep(limits).await?;
        }
        let Truth::Raw(Raw {
            plain: plain @ None,
            packed: Some(came),
            ..
        }) = &mut self.truth
        else {
            return Ok(());
        };
        let (packed, encoding) = &mut **came;
        let unpacked = if packed.len() < UNPACK_IN_PLACE || tokio::runtime::Handle::try_current().is_err() {
            encoding.decode(packed, limits.body)
        } else {
            let (packed, encoding, limit) = (packed.clone(), encoding.clone(), limits.body);
            let unpacking = tokio::task::spawn_blocking(move || encoding.decode(&packed, limit));
            unpacking
                .await
                .map_err(|_| PayloadError::malformed("the body could not be unpacked"))?
        };
        *plain = Some(unpacked?.into());
        Ok(())
    }

    /// The message as XML in an envelope: built on the first call and kept. JSON is converted; no body is an empty envelope.
    pub fn envelope(&mut self, context: &BuildContext<'_>) -> Result<&Envelope, PayloadError> {
        self.build_envelope(context)?;
        Ok(self.envelope.as_deref().expect("it was built a line above"))
    }

    /// The same, shared: a later change of the message copies it first.
    pub fn shared_envelope(&mut self, context: &BuildContext<'_>) -> Result<Arc<Envelope>, PayloadError> {
        self.build_envelope(context)?;
        Ok(self.envelope.clone().expect("it was built a line above"))
    }

    /// The envelope, if somebody built it already.
    pub fn built_envelope(&self) -> Option<&Envelope> {
        self.envelope.as_deref()
    }

    /// The envelope to be changed. From now on the XML is the truth.
    pub fn envelope_mut(&mut self, context: &BuildContext<'_>) -> Result<&mut Envelope, PayloadError> {
        self.build_envelope(context)?;
        self.truth = Truth::Xml;
        self.json = None;
        self.shell = None;
        Ok(Arc::make_mut(
            self.envelope.as_mut().expect("it was built a line above"),
        ))
    }

    /// The message as JSON: parsed or converted on the first call and kept until somebody changes the XML. Of XML, the
    /// first child of the body is converted; no body at all is `{}`, as in Synapse.
    pub fn json(&mut self, context: &BuildContext<'_>) -> Result<&Json, PayloadError> {
        self.build_json(context)?;
        Ok(self.json.as_deref().expect("it was built a line above"))
    }

    /// The same, shared: a later change of the message copies it first.
    pub fn shared_json(&mut self, context: &BuildContext<'_>) -> Result<Arc<Json>, PayloadError> {
        self.build_json(context)?;
        Ok(self.json.clone().expect("it was built a line above"))
    }

    /// The JSON to be changed. From now on the JSON is the truth; SOAP headers stay for the day it becomes XML again.
    pub fn json_mut(&mut self, context: &BuildContext<'_>) -> Result<&mut Json, PayloadError> {
        self.build_json(context)?;
        if !matches!(self.truth, Truth::Json) {
            let envelope = self.envelope.take().or(self.shell.take());
            self.shell = envelope.filter(|envelope| is_worth_keeping(envelope));
            self.around = None;
            self.truth = Truth::Json;
            self.form = Form::Json;
        }
        self.envelope = None;
        Ok(Arc::make_mut(
            self.json.as_mut().expect("it was built a line above"),
        ))
    }

    /// What JSONPath's bare `$` gives: the text of a JSON body as it is, of any other body its JSON.
    pub fn json_text(&mut self, context: &BuildContext<'_>) -> Result<Cow<'_, str>, PayloadError> {
        if matches!(self.truth, Truth::Raw(_)) && self.is_json() {
            return self.plain_text();
        }
        Ok(Cow::Owned(json::text(self.json(context)?)))
    }

    /// The body as the text it came as, undone from its character set. Nothing is parsed; None for what was built.
    pub fn raw_text(&self) -> Result<Option<Cow<'_, str>>, PayloadError> {
        match &self.truth {
            Truth::Stream { .. } => Err(not_loaded()),
            Truth::Raw(_) => self.plain_text().map(Some),
            Truth::Empty | Truth::Query(_) | Truth::Json | Truth::Xml => Ok(None),
        }
    }

    /// A new body in place of this one. The SOAP headers of this one go on with it, as far as they were loaded.
    pub fn replace_body(
        &mut self,
        mut body: Payload,
        context: &BuildContext<'_>,
    ) -> Result<(), PayloadError> {
        body.rest = self.rest;
        if self.may_have_headers() && self.is_loaded() {
            if self.envelope.is_none() && self.shell.is_none() {
                self.build_envelope(context)?;
            }
            // Whoever sent an envelope gets one, SOAPAction or not.
            if self
                .envelope
                .as_deref()
                .is_some_and(|envelope| !envelope.is_wrapped())
            {
                body.rest = false;
            }
            body.shell = self
                .envelope
                .take()
                .or(self.shell.take())
                .filter(|envelope| is_worth_keeping(envelope));
        }
        if let (Truth::Xml, Some(envelope)) = (&body.truth, body.envelope.take()) {
            body.envelope = Some(match body.shell.take() {
                Some(mut shell) => {
                    Arc::make_mut(&mut shell).set_body_of(&envelope);
                    shell
                }
                None => envelope,
            });
        }
        *self = body;
        Ok(())
    }

    /// Keeps a body that streams while it goes by, so that `try_clone` gives it again.
    pub fn make_replayable(&mut self, limits: ReplayLimits) {
        if let Truth::Stream { body, .. } = &mut self.truth {
            *body = std::mem::replace(body, ByteStream::empty()).replayable(limits);
        }
    }

    /// A copy, if all of it is here, or is kept while it goes by. Bytes, trees and JSON are shared until one side changes them.
    pub fn try_clone(&self) -> Option<Payload> {
        let truth = match &self.truth {
            Truth::Stream { body, encoding } => Truth::Stream {
                body: body.again()?,
                encoding: encoding.clone(),
            },
            Truth::Empty => Truth::Empty,
            Truth::Query(query) => Truth::Query(query.clone()),
            Truth::Raw(raw) => Truth::Raw(raw.clone()),
            Truth::Json => Truth::Json,
            Truth::Xml => Truth::Xml,
        };
        Some(Payload {
            form: self.form,
            media_type: self.media_type.clone(),
            truth,
            json: self.json.clone(),
            envelope: self.envelope.clone(),
            shell: self.shell.clone(),
            around: self.around.clone(),
            rest: self.rest,
            own: self.own,
        })
    }

    fn build_envelope(&mut self, context: &BuildContext<'_>) -> Result<(), PayloadError> {
        if self.envelope.is_some() {
            return Ok(());
        }
        let envelope = match &self.truth {
            Truth::Stream { .. } => return Err(not_loaded()),
            Truth::Empty => Envelope::empty(SoapVersion::Soap11),
            Truth::Query(query) => build::form_fields(query, context.limits)?,
            Truth::Raw(raw) if raw.plain()?.len() > context.limits.tree => {
                return Err(too_large_for_a_tree(context.limits));
            }
            Truth::Raw(raw) if raw.is_blank() => Envelope::empty(SoapVersion::Soap11),
            Truth::Raw(_) if self.form == Form::Json => {
                self.build_json(context)?;
                self.envelope_of_json(context)?
            }
            Truth::Raw(raw) => {
                let plain = raw.plain()?.clone();
                let (envelope, around) =
                    build::envelope(self.form, self.media_type.as_deref(), self.rest, plain, context)?;
                self.around = around.map(Box::new);
                envelope
            }
            Truth::Json | Truth::Xml => self.envelope_of_json(context)?,
        };
        let envelope = match &self.shell {
            None => envelope,
            Some(shell) => {
                let mut kept = Envelope::clone(shell);
                kept.set_body_of(&envelope);
                kept
            }
        };
        self.envelope = Some(Arc::new(envelope));
        Ok(())
    }

    fn envelope_of_json(&self, context: &BuildContext<'_>) -> Result<Envelope, PayloadError> {
        let json = self.json.as_deref().ok_or_else(not_loaded)?;
        Ok(build::from_json(json, context))
    }

    fn build_json(&mut self, context: &BuildContext<'_>) -> Result<(), PayloadError> {
        if self.json.is_some() {
            return Ok(());
        }
        let json = match &self.truth {
            Truth::Raw(raw) if self.form == Form::Json && !raw.is_blank() => {
                if raw.plain()?.len() > context.limits.tree {
                    return Err(too_large_for_a_tree(context.limits));
                }
                build::json(&self.plain_text()?, context)?
            }
            Truth::Stream { .. } => return Err(not_loaded()),
            _ => {
                self.build_envelope(context)?;
                match self
                    .envelope
                    .as_deref()
                    .and_then(|envelope| Some((envelope, envelope.first_child()?)))
                {
                    Some((envelope, child)) => build::to_json(envelope.tree(), child, context)?,
                    None => Json::Object(Object::new()),
                }
            }
        };
        self.json = Some(Arc::new(json));
        Ok(())
    }

    fn plain_text(&self) -> Result<Cow<'_, str>, PayloadError> {
        let Truth::Raw(raw) = &self.truth else {
            return Err(not_loaded());
        };
        build::decode(raw.plain()?, self.charset()?)
    }

    /// The character set that the media type names.
    pub(super) fn charset(&self) -> Result<Option<Charset>, PayloadError> {
        build::named_charset(self.media_type.as_deref())
    }

    pub(super) fn truth(&self) -> &Truth {
        &self.truth
    }

    pub(super) fn take_truth(&mut self) -> Truth {
        std::mem::replace(&mut self.truth, Truth::Empty)
    }

    pub(super) fn around(&self) -> Option<&Around> {
        self.around.as_deref()
    }
}

/// Packed bodies up to this size are unpacked where they are; larger ones would hold up the core's other exchanges.
const UNPACK_IN_PLACE: usize = 64 << 10;

impl Raw {
    pub(super) fn plain(&self) -> Result<&Bytes, PayloadError> {
        self.plain.as_ref().ok_or_else(not_loaded)
    }

    /// What an untouched body is forwarded as.
    pub(super) fn forwarded(&self) -> (&Bytes, Option<&HeaderMap>) {
        static NOTHING: Bytes = Bytes::new();
        let packed = self.packed.as_ref().map(|packed| &packed.0);
        (
            packed.or(self.plain.as_ref()).unwrap_or(&NOTHING),
            self.trailers.as_deref(),
        )
    }

    pub(super) fn arrived(&self) -> bool {
        self.arrived
    }

    fn is_blank(&self) -> bool {
        self.plain
            .as_ref()
            .is_some_and(|bytes| bytes.iter().all(u8::is_ascii_whitespace))
    }
}

/// Something of an envelope is left when its body is gone: headers, or that it was SOAP.
fn is_worth_keeping(envelope: &Envelope) -> bool {
    !envelope.is_wrapped() || envelope.header().is_some()
}

pub(super) fn not_loaded() -> PayloadError {
    PayloadError::new(PayloadErrorKind::NotLoaded, "the body has not been read yet")
}

fn too_large_for_a_tree(limits: &PayloadLimits) -> PayloadError {
    PayloadError::too_large(format!(
        "a body of more than {} bytes is not looked into",
        limits.tree
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::{Body as HttpBody, Frame};

    use super::super::body::StreamOrigin;
    use super::super::format::{Body, Target};
    use super::super::json::text;
    use super::super::xml::XmlTree;
    use super::*;

    /// A body that fails the test when somebody reads more of it than is there.
    struct Pieces(VecDeque<Result<Bytes, StreamError>>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = StreamError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
        }
    }

    fn stream(content_type: &str, encoding: Encoding, body: impl AsRef<[u8]>) -> Payload {
        let pieces = body
            .as_ref()
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Payload::stream(
            Some(MediaType::parse(content_type)),
            encoding,
            ByteStream::new(Pieces(pieces)),
        )
    }

    fn wait<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn loaded(content_type: &str, body: impl AsRef<[u8]>) -> Payload {
        let mut payload = stream(content_type, Encoding::Identity, body);
        wait(payload.load(&PayloadLimits::default())).unwrap();
        payload
    }

    fn with<T>(run: impl FnOnce(&BuildContext<'_>) -> T) -> T {
        let (limits, conversion) = (PayloadLimits::default(), ConversionSettings::default());
        run(&BuildContext {
            limits: &limits,
            conversion: &conversion,
        })
    }

    #[test]
    fn what_does_not_stream_stays_when_it_is_kept() {
        let limits = PayloadLimits::default();
        let mut made = Payload::bytes(Form::Json, "{\"a\":1}".to_owned());
        let mut read = loaded("application/json", "{\"a\":1}");
        let mut seen = loaded("application/xml", "<a>1</a>");
        assert_eq!(first_child(&mut seen), "<a>1</a>");
        for payload in [&mut made, &mut read, &mut seen] {
            wait(payload.keep(&limits)).unwrap();
            assert!(!payload.is_empty());
        }
        assert_eq!(
            (json(&mut made), json(&mut read)),
            ("{\"a\":1}".to_owned(), "{\"a\":1}".to_owned())
        );
        assert_eq!(first_child(&mut seen), "<a>1</a>");
    }

    fn first_child(payload: &mut Payload) -> String {
        with(|context| match payload.envelope(context) {
            Ok(envelope) => envelope
                .first_child()
                .map_or(String::new(), |child| envelope.tree.to_text(child)),
            Err(error) => error.to_string(),
        })
    }

    fn json(payload: &mut Payload) -> String {
        with(|context| {
            payload
                .json(context)
                .map(text)
                .unwrap_or_else(|error| error.to_string())
        })
    }

    fn written(payload: Payload, form: Form) -> (String, bool) {
        let written = with(|context| payload.write(&Target::of(form), context)).unwrap();
        let text = match written.body {
            Body::Empty => String::new(),
            Body::Bytes { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::Stream(stream) => {
                String::from_utf8(wait(stream.collect(1 << 20)).unwrap().0.to_vec()).unwrap()
            }
        };
        (text, written.as_arrived)
    }

    #[test]
    fn a_stream_that_nobody_looks_into_goes_on_as_a_stream() {
        let payload = stream("application/json", Encoding::Other("aes".into()), "not even json");
        assert!(
            !payload.is_loaded() && payload.is_untouched() && !payload.must_load_for(&Target::of(Form::Json))
        );
        let written = with(|context| payload.write(&Target::of(Form::Json), context)).unwrap();
        assert!(matches!(written.body, Body::Stream(_)) && written.as_arrived);
    }

    #[test]
    fn looking_at_a_stream_before_it_is_loaded_is_an_error() {
        let mut payload = stream("application/json", Encoding::Identity, "{}");
        assert!(payload.must_load_for(&Target::of(Form::Xml)));
        with(|context| {
            assert_eq!(
                payload.envelope(context).unwrap_err().kind,
                PayloadErrorKind::NotLoaded
            );
            assert_eq!(
                payload.json(context).unwrap_err().kind,
                PayloadErrorKind::NotLoaded
            );
            assert_eq!(
                payload.write(&Target::of(Form::Xml), context).unwrap_err().kind,
                PayloadErrorKind::NotLoaded
            );
        });
    }

    #[test]
    fn a_body_that_was_only_looked_at_goes_out_as_it_came() {
        let body = "<a  b = '1'><!-- kept --></a >\n";
        let mut payload = loaded("application/xml", body);
        assert_eq!(first_child(&mut payload), r#"<a b="1"><!-- kept --></a>"#);
        assert!(json(&mut payload).starts_with('{'));
        assert!(payload.is_untouched() && !payload.is_json());
        assert_eq!(written(payload, Form::Xml), (body.to_owned(), true));
    }

    #[test]
    fn the_same_bytes_go_out_without_a_copy() {
        let bytes = Bytes::from_static(b"<a/>");
        let mut payload = Payload::stream(
            Some(MediaType::parse("application/xml")),
            Encoding::Identity,
            bytes.clone().into(),
        );
        wait(payload.load(&PayloadLimits::default())).unwrap();
        first_child(&mut payload);
        let written = with(|context| payload.write(&Target::of(Form::Xml), context)).unwrap();
        assert!(matches!(written.body, Body::Bytes { bytes: out, .. } if out.as_ptr() == bytes.as_ptr()));
    }

    #[test]
    fn a_packed_body_is_unpacked_to_be_read_and_forwarded_as_it_came() {
        let packed = zstd::encode_all(&b"<a>unpacked</a>"[..], 3).unwrap();
        let mut payload = stream("application/xml", Encoding::Zstd, &packed);
        wait(payload.load(&PayloadLimits::default())).unwrap();
        assert_eq!(first_child(&mut payload), "<a>unpacked</a>");
        let copy = payload.try_clone().unwrap();
        let out = with(|context| copy.write(&Target::of(Form::Xml), context)).unwrap();
        assert!(matches!(out.body, Body::Bytes { bytes, .. } if bytes == packed) && out.as_arrived);
        with(|context| payload.envelope_mut(context).unwrap().set_text("changed"));
        assert_eq!(written(payload, Form::Text), ("changed".to_owned(), false));
    }

    #[test]
    fn a_large_packed_body_is_unpacked_elsewhere() {
        let plain: Vec<u8> = (0..200_000u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let packed = zstd::encode_all(&plain[..], 1).unwrap();
        assert!(packed.len() > UNPACK_IN_PLACE);
        let mut payload = stream("application/octet-stream", Encoding::Zstd, &packed);
        wait(payload.load(&PayloadLimits::default())).unwrap();
        let Truth::Raw(raw) = payload.truth() else {
            panic!("it was loaded")
        };
        assert_eq!(raw.plain().unwrap(), &plain);
    }

    #[test]
    fn a_body_kept_to_be_sent_again_is_not_unpacked() {
        let mut payload = stream("application/xml", Encoding::Gzip, "no gzip at all");
        wait(payload.keep(&PayloadLimits::default())).unwrap();
        assert!(!payload.is_loaded() && payload.try_clone().is_some());
        assert_eq!(
            written(payload.try_clone().unwrap(), Form::Xml),
            ("no gzip at all".to_owned(), true)
        );
        assert_eq!(
            wait(payload.load(&PayloadLimits::default())).unwrap_err().kind,
            PayloadErrorKind::Malformed
        );
        assert_eq!(written(payload, Form::Xml).0, "no gzip at all");
    }

    #[test]
    fn more_than_the_limit_is_too_large_packed_or_not() {
        let limits = PayloadLimits {
            body: 100,
            ..PayloadLimits::default()
        };
        let mut plain = stream("text/plain", Encoding::Identity, "x".repeat(101));
        assert_eq!(
            wait(plain.load(&limits)).unwrap_err().kind,
            PayloadErrorKind::TooLarge
        );
        let mut bomb = stream(
            "text/plain",
            Encoding::Zstd,
            zstd::encode_all(&[0; 1 << 20][..], 3).unwrap(),
        );
        assert_eq!(
            wait(bomb.load(&limits)).unwrap_err().kind,
            PayloadErrorKind::TooLarge
        );
    }

    #[test]
    fn a_body_that_is_loaded_may_still_be_too_large_to_be_built() {
        let body = format!("<a>{}</a>", "x".repeat(2 << 20));
        let mut payload = loaded("application/xml", &body);
        assert_eq!(
            first_child(&mut payload),
            "a body of more than 2097152 bytes is not looked into"
        );
        assert_eq!(written(payload, Form::Xml).0, body);
    }

    #[test]
    fn a_stream_that_breaks_names_who_broke_it() {
        let broken = StreamError::new(StreamOrigin::Client, StreamErrorKind::Closed, "gone");
        let pieces = Pieces(VecDeque::from([
            Ok(Bytes::from_static(b"half")),
            Err(broken.clone()),
        ]));
        let mut payload = Payload::stream(None, Encoding::Identity, ByteStream::new(pieces));
        let error = wait(payload.load(&PayloadLimits::default())).unwrap_err();
        assert_eq!(error.kind, PayloadErrorKind::Stream(broken));
        assert!(payload.is_empty() && payload.is_loaded());
    }

    #[test]
    fn json_is_seen_as_xml_and_stays_json() {
        let mut payload = loaded("application/json", r#"{ "a": 1.50, "b": [1, 2] }"#);
        assert_eq!(
            first_child(&mut payload),
            "<jsonObject><a>1.50</a><b>1</b><b>2</b></jsonObject>"
        );
        assert!(payload.is_json());
        assert_eq!(json(&mut payload), r#"{"a":1.50,"b":[1,2]}"#);
        assert_eq!(
            with(|context| payload.json_text(context).unwrap().into_owned()),
            r#"{ "a": 1.50, "b": [1, 2] }"#
        );
        assert_eq!(
            written(payload, Form::Json),
            (r#"{ "a": 1.50, "b": [1, 2] }"#.to_owned(), true)
        );
    }

    #[test]
    fn json_that_is_changed_as_xml_is_converted_back() {
        let mut payload = loaded("application/json", r#"{"a":1}"#);
        with(|context| {
            let envelope = payload.envelope_mut(context).unwrap();
            let a = envelope
                .tree
                .first_child(envelope.first_child().unwrap())
                .unwrap();
            envelope.tree.set_value(a, "02");
        });
        assert!(!payload.is_json());
        assert_eq!(json(&mut payload), r#"{"a":"02"}"#);
        assert_eq!(written(payload, Form::Json), (r#"{"a":"02"}"#.to_owned(), false));
    }

    #[test]
    fn a_view_is_made_anew_after_the_other_side_changed() {
        let mut payload = loaded("application/xml", "<a>1</a>");
        assert_eq!(json(&mut payload), r#"{"a":1}"#);
        with(|context| payload.envelope_mut(context).unwrap().set_text("t"));
        assert_eq!(json(&mut payload), r#"{"text":"t"}"#);
        with(|context| *payload.json_mut(context).unwrap() = text_json("new"));
        assert!(payload.is_json());
        assert_eq!(first_child(&mut payload), "<jsonValue>\"new\"</jsonValue>");
    }

    fn text_json(text: &str) -> Json {
        Json::String(text.to_owned())
    }

    const SOAP: &str = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'>\
                        <e:Header><h/></e:Header><e:Body><a>1</a></e:Body></e:Envelope>";

    #[test]
    fn soap_headers_outlive_a_body_that_is_replaced() {
        for replacement in [
            Payload::bytes(Form::Json, "{\"b\":2}"),
            Payload::xml(Envelope::empty(SoapVersion::Soap11)),
            Payload::text("b"),
        ] {
            let mut payload = loaded("text/xml", SOAP);
            assert!(payload.may_have_headers());
            with(|context| payload.replace_body(replacement, context)).unwrap();
            let whole = with(|context| format!("{:?}", payload.envelope(context).unwrap()));
            assert!(
                whole.contains("<e:Header><h/></e:Header>") && !whole.contains("<a>"),
                "{whole}"
            );
        }
    }

    #[test]
    fn soap_without_headers_stays_soap_when_its_body_is_replaced() {
        let soap = SOAP.replace("<e:Header><h/></e:Header>", "");
        let mut payload = loaded("text/xml", &soap);
        let tree = XmlTree::parse_str("<b/>", &XmlLimits::default()).unwrap();
        with(|context| payload.replace_body(Payload::xml(Envelope::around(tree)), context)).unwrap();
        assert!(
            written(payload, Form::Soap11)
                .0
                .ends_with("<e:Body><b/></e:Body></e:Envelope>")
        );
        let mut payload = loaded("text/xml", &soap);
        with(|context| payload.json_mut(context).unwrap()["a"] = Json::Bool(true));
        assert!(
            written(payload, Form::Soap11)
                .0
                .ends_with("<e:Body><jsonObject><a>true</a></jsonObject></e:Body></e:Envelope>")
        );
    }

    #[test]
    fn a_body_that_is_replaced_unread_is_never_read() {
        let endless = Pieces(VecDeque::from([Err(StreamError::new(
            StreamOrigin::Client,
            StreamErrorKind::Failed,
            "read",
        ))]));
        let media_type = Some(MediaType::parse("application/json"));
        let mut payload = Payload::stream(media_type, Encoding::Identity, ByteStream::new(endless));
        with(|context| payload.replace_body(Payload::bytes(Form::Json, "{}"), context)).unwrap();
        assert_eq!(written(payload, Form::Json), ("{}".to_owned(), false));
    }

    #[test]
    fn no_body_is_an_empty_envelope_and_an_empty_object() {
        for mut payload in [
            Payload::empty(),
            loaded("application/json", " \n"),
            loaded("text/xml", ""),
        ] {
            assert_eq!(first_child(&mut payload), "");
            assert_eq!(json(&mut payload), "{}");
            assert!(!payload.is_json());
            assert_eq!(written(payload, Form::Json).0.trim(), "");
        }
    }

    #[test]
    fn a_query_shows_itself_and_is_not_written_until_it_is_changed() {
        let mut payload = Payload::query("a=1&b=x%20y");
        assert!(payload.is_empty() && payload.is_loaded() && payload.is_untouched());
        assert_eq!(
            first_child(&mut payload),
            "<xformValues><a>1</a><b>x y</b></xformValues>"
        );
        assert_eq!(written(payload.try_clone().unwrap(), Form::UrlEncoded).0, "");
        with(|context| _ = payload.envelope_mut(context).unwrap());
        assert_eq!(written(payload, Form::UrlEncoded).0, "a=1&b=x%20y");
    }

    #[test]
    fn a_copy_does_not_change_with_its_original() {
        let mut payload = loaded("application/xml", "<a/>");
        first_child(&mut payload);
        let mut copy = payload.try_clone().unwrap();
        with(|context| payload.envelope_mut(context).unwrap().set_text("changed"));
        assert_eq!(first_child(&mut copy), "<a/>");
        assert!(copy.is_untouched() && !payload.is_untouched());
        assert!(
            stream("text/plain", Encoding::Identity, "x")
                .try_clone()
                .is_none()
        );
    }

    #[test]
    fn json_that_is_no_json_says_where() {
        let mut payload = loaded("application/json", "{\"a\":\n x}");
        with(|context| {
            let error = payload.json(context).unwrap_err();
            assert_eq!(
                (error.kind, error.place),
                (PayloadErrorKind::Malformed, Some((2, 2)))
            );
        });
        assert_eq!(written(payload, Form::Json).0, "{\"a\":\n x}");
    }

    #[test]
    fn limits_can_be_read_from_a_file() {
        let limits: PayloadLimits = serde_json::from_str(r#"{"body": 5, "xml": {"depth": 3}}"#).unwrap();
        assert_eq!((limits.body, limits.xml.depth, limits.form_fields), (5, 3, 1000));
        assert!(serde_json::from_str::<PayloadLimits>(r#"{"bodies": 5}"#).is_err());
    }
}
