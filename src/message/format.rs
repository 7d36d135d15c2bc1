//! Formatters: from what a body is to the bytes that go out, by the form that `messageType` asks for.

use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::ByteStream;
use super::json;
use super::media_type::{Charset, Form};
use super::payload::{BuildContext, Payload, PayloadError, Truth};
use super::soap::{Envelope, SoapVersion};
use super::xml::NodeId;

/// How a body is to be written.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Target {
    pub form: Form,
    /// None keeps the character set of a body that goes out as it came, and means UTF-8 for any other.
    pub charset: Option<Charset>,
    pub envelope: EnvelopeRule,
}

/// Whether XML that is no SOAP is put into an envelope when it goes out as `text/xml`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum EnvelopeRule {
    /// Not in a REST exchange.
    ByExchange,
    /// As an endpoint with a SOAP format wants it.
    Always,
}

impl Target {
    pub fn of(form: Form) -> Target {
        Target {
            form,
            charset: None,
            envelope: EnvelopeRule::ByExchange,
        }
    }
}

/// A body on its way out.
#[derive(Debug)]
pub struct Written {
    pub body: Body,
    /// These are the very bytes that arrived: their Content-Type, Content-Encoding and Content-Length still hold.
    pub as_arrived: bool,
    /// What was written. It differs from what was asked for where an unknown form became XML.
    pub form: Form,
    pub charset: Charset,
}

#[derive(Debug)]
pub enum Body {
    Empty,
    Bytes {
        bytes: Bytes,
        trailers: Option<HeaderMap>,
    },
    Stream(ByteStream),
}

impl Payload {
    /// A body that still streams has to be loaded before it can be written in this form.
    pub fn must_load_for(&self, target: &Target) -> bool {
        !self.is_loaded() && !self.goes_as_it_is(target)
    }

    /// Writes the body. It goes as it is when its form is the one asked for and nobody changed it.
    pub fn write(mut self, target: &Target, context: &BuildContext<'_>) -> Result<Written, PayloadError> {
        let charset = target.charset.unwrap_or_default();
        if !self.goes_as_it_is(target) {
            if matches!(self.truth(), Truth::Empty | Truth::Query(_)) {
                return Ok(Written {
                    body: Body::Empty,
                    as_arrived: false,
                    form: target.form,
                    charset,
                });
            }
            return self.format(target, charset, context);
        }
        // Only a body that is no text may name a character set unknown here, and no one asks for that of such a body.
        let own = self.charset().ok().flatten().unwrap_or_default();
        let (body, as_arrived) = match self.take_truth() {
            Truth::Stream { body, .. } => (Body::Stream(body), true),
            Truth::Raw(raw) => {
                let (bytes, trailers) = raw.forwarded();
                (
                    Body::Bytes {
                        bytes: bytes.clone(),
                        trailers: trailers.cloned(),
                    },
                    raw.arrived(),
                )
            }
            Truth::Empty | Truth::Query(_) | Truth::Json | Truth::Xml => (Body::Empty, false),
        };
        Ok(Written {
            body,
            as_arrived,
            form: target.form,
            charset: own,
        })
    }

    fn goes_as_it_is(&self, target: &Target) -> bool {
        let is_raw = match self.truth() {
            Truth::Stream { .. } => true,
            Truth::Raw(_) => true,
            Truth::Empty | Truth::Query(_) | Truth::Json | Truth::Xml => false,
        };
        is_raw && self.agrees_in_form(target) && self.agrees_in_charset(target)
    }

    fn agrees_in_form(&self, target: &Target) -> bool {
        let bare = self.is_rest() && target.envelope == EnvelopeRule::ByExchange;
        match (self.form(), target.form) {
            (Form::Xml, Form::Soap11) => bare,
            (Form::Soap11, Form::Soap11) => bare || self.is_known_soap(),
            (own, wanted) => own == wanted,
        }
    }

    /// `text/xml` that has to be an envelope: a stream is believed, a built body is known.
    fn is_known_soap(&self) -> bool {
        self.envelope
            .as_deref()
            .is_none_or(|envelope| !envelope.is_wrapped())
    }

    fn agrees_in_charset(&self, target: &Target) -> bool {
        match (self.form(), target.charset) {
            (_, None) | (Form::Binary | Form::Multipart | Form::UrlEncoded | Form::Unknown, _) => true,
            (_, Some(wanted)) => matches!(self.charset(), Ok(own) if own.unwrap_or_default() == wanted),
        }
    }

    fn format(
        mut self,
        target: &Target,
        charset: Charset,
        context: &BuildContext<'_>,
    ) -> Result<Written, PayloadError> {
        let mut form = target.form;
        let bytes = match target.form {
            Form::Json => self.format_json(charset, context)?,
            Form::Xml => bare_xml(self.envelope(context)?, charset),
            Form::Soap11 | Form::Soap12 | Form::Unknown => {
                let rest = self.is_rest() && target.envelope == EnvelopeRule::ByExchange;
                let bare = rest && target.form != Form::Soap12;
                if self.envelope(context)?.is_wrapped() && bare {
                    bare_xml(self.envelope(context)?, charset)
                } else {
                    let version = match target.form {
                        Form::Soap12 => SoapVersion::Soap12,
                        Form::Soap11 => SoapVersion::Soap11,
                        _ => self.envelope(context)?.version(),
                    };
                    form = if version == SoapVersion::Soap12 {
                        Form::Soap12
                    } else {
                        Form::Soap11
                    };
                    self.format_soap(version, charset, context)?
                }
            }
            Form::Text => self.format_text(charset, context)?,
            Form::Binary => self.format_binary(context)?,
            Form::UrlEncoded => form_fields(self.envelope(context)?),
            Form::Multipart => self.format_multipart()?,
        };
        let body = match bytes {
            bytes if bytes.is_empty() => Body::Empty,
            bytes => Body::Bytes {
                bytes,
                trailers: None,
            },
        };
        Ok(Written {
            body,
            as_arrived: false,
            form,
            charset,
        })
    }

    fn format_json(&mut self, charset: Charset, context: &BuildContext<'_>) -> Result<Bytes, PayloadError> {
        let text = if matches!(self.truth(), Truth::Json) {
            json::text(self.json(context)?)
        } else if self.is_json() {
            // The text as it was written, not as it would be written again.
            self.json_text(context)?.into_owned()
        } else if self.envelope(context)?.first_child().is_some() {
            json::text(self.json(context)?)
        } else {
            String::new()
        };
        Ok(charset.encode(text, json_escape).into())
    }

    fn format_soap(
        &mut self,
        version: SoapVersion,
        charset: Charset,
        context: &BuildContext<'_>,
    ) -> Result<Bytes, PayloadError> {
        if self.envelope(context)?.version() != version {
            self.envelope_mut(context)?.to_version(version);
        }
        let envelope = self.envelope(context)?;
        let mut text = declaration(charset).into_bytes();
        envelope.tree().write(envelope.root(), &mut text);
        Ok(encode_xml(text, charset))
    }

    /// The text of the element `text`; of any other body what it says, without its marks. JSON stays JSON.
    fn format_text(&mut self, charset: Charset, context: &BuildContext<'_>) -> Result<Bytes, PayloadError> {
        let text = if self.is_json() {
            self.json_text(context)?.into_owned()
        } else if let (Truth::Raw(_), Form::Text) = (self.truth(), self.form()) {
            self.raw_text()?.unwrap_or_default().into_owned()
        } else {
            let envelope = self.envelope(context)?;
            let child = envelope.first_child();
            child
                .map(|child| envelope.tree().string_value(child).into_owned())
                .unwrap_or_default()
        };
        Ok(charset.encode(text, |_| "?".to_owned()).into())
    }

    /// The bytes of the element `binary`; of any other body the bytes it had or would have.
    fn format_binary(&mut self, context: &BuildContext<'_>) -> Result<Bytes, PayloadError> {
        match self.truth() {
            Truth::Raw(raw) => return raw.plain().cloned(),
            Truth::Json => return self.format_json(Charset::Utf8, context),
            _ => {}
        }
        let envelope = self.envelope(context)?;
        if let Some(bytes) = envelope.binary() {
            return Ok(bytes.into());
        }
        match envelope.text() {
            Some(text) => Ok(text.into()),
            None => Ok(bare_xml(envelope, Charset::Utf8)),
        }
    }

    /// The parts as they came, the root part written anew.
    fn format_multipart(&mut self) -> Result<Bytes, PayloadError> {
        let (Some(around), Some(envelope)) = (self.around(), self.envelope.as_deref()) else {
            return Err(PayloadError::unsupported(
                "this body cannot be written as a multipart body",
            ));
        };
        let mut bytes = around.before.to_vec();
        envelope.tree().write(envelope.root(), &mut bytes);
        bytes.extend_from_slice(&around.after);
        Ok(bytes.into())
    }
}

/// The first child of the body, without the envelope.
fn bare_xml(envelope: &Envelope, charset: Charset) -> Bytes {
    let Some(child) = envelope.first_child() else {
        return Bytes::new();
    };
    // UTF-8 needs no declaration, and Synapse writes none here.
    let mut text = match charset {
        Charset::Utf8 => Vec::new(),
        other => declaration(other).into_bytes(),
    };
    envelope.tree().write(child, &mut text);
    encode_xml(text, charset)
}

fn declaration(charset: Charset) -> String {
    format!("<?xml version='1.0' encoding='{}'?>", charset.name())
}

fn encode_xml(text: Vec<u8>, charset: Charset) -> Bytes {
    if charset == Charset::Utf8 {
        return text.into();
    }
    let text = String::from_utf8(text).expect("the writer of trees writes UTF-8");
    charset
        .encode(text, |character| format!("&#{};", u32::from(character)))
        .into()
}

fn json_escape(character: char) -> String {
    character
        .encode_utf16(&mut [0; 2])
        .iter()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect()
}

/// `name=value&…` of the children of the first child.
fn form_fields(envelope: &Envelope) -> Bytes {
    let tree = envelope.tree();
    let Some(values) = envelope.first_child() else {
        return Bytes::new();
    };
    let field = |node: NodeId| {
        let name = json::names::json_key(tree.local_name(node));
        let text = tree.own_text(node);
        format!(
            "{}={}",
            utf8_percent_encode(&name, FORM),
            utf8_percent_encode(&text, FORM)
        )
    };
    tree.child_elements(values)
        .map(field)
        .collect::<Vec<_>>()
        .join("&")
        .into()
}

/// What Java's URLEncoder leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*');

#[cfg(test)]
mod tests {
    use super::super::encoding::Encoding;
    use super::super::json::convert::ConversionSettings;
    use super::super::media_type::MediaType;
    use super::super::payload::{PayloadErrorKind, PayloadLimits};
    use super::*;

    fn arrived(content_type: &str, body: impl AsRef<[u8]>) -> Payload {
        let body = Bytes::copy_from_slice(body.as_ref());
        let mut payload = Payload::stream(
            Some(MediaType::parse(content_type)),
            Encoding::Identity,
            body.into(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(payload.load(&PayloadLimits::default())).unwrap();
        payload
    }

    fn write(payload: Payload, target: Target) -> Result<Written, PayloadError> {
        let (limits, conversion) = (PayloadLimits::default(), ConversionSettings::default());
        payload.write(
            &target,
            &BuildContext {
                limits: &limits,
                conversion: &conversion,
            },
        )
    }

    fn bytes(written: Written) -> Bytes {
        match written.body {
            Body::Empty => Bytes::new(),
            Body::Bytes { bytes, .. } => bytes,
            Body::Stream(_) => panic!("it was loaded"),
        }
    }

    fn check(payload: Payload, form: Form, expected: &str) {
        let text = match write(payload, Target::of(form)) {
            Ok(written) => String::from_utf8(bytes(written).to_vec()).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            text.replace("http://schemas.xmlsoap.org/soap/envelope/", "11")
                .replace("http://www.w3.org/2003/05/soap-envelope", "12"),
            expected
        );
    }

    fn json() -> Payload {
        arrived("application/json", r#"{"a": [1, 2], "b": "x"}"#)
    }

    fn soap() -> Payload {
        let head = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>";
        arrived(
            "text/xml",
            format!("{head}<p:a xmlns:p='urn:p'>1</p:a></e:Body></e:Envelope>"),
        )
    }

    /// The same body, but as if a step had changed it.
    fn changed(mut payload: Payload) -> Payload {
        let (limits, conversion) = (PayloadLimits::default(), ConversionSettings::default());
        payload
            .envelope_mut(&BuildContext {
                limits: &limits,
                conversion: &conversion,
            })
            .unwrap();
        payload
    }

    #[test]
    fn json_is_written_in_each_form() {
        check(json(), Form::Json, r#"{"a": [1, 2], "b": "x"}"#);
        let xml = "<jsonObject><a>1</a><a>2</a><b>x</b></jsonObject>";
        check(json(), Form::Xml, xml);
        check(json(), Form::Soap11, xml);
        check(
            json(),
            Form::Soap12,
            &format!(
                "<?xml version='1.0' encoding='UTF-8'?><soapenv:Envelope xmlns:soapenv=\"12\"><soapenv:Body>{xml}</soapenv:Body></soapenv:Envelope>"
            ),
        );
        check(json(), Form::Text, r#"{"a": [1, 2], "b": "x"}"#);
        check(json(), Form::Binary, r#"{"a": [1, 2], "b": "x"}"#);
        check(json(), Form::UrlEncoded, "a=1&a=2&b=x");
        check(
            json(),
            Form::Multipart,
            "this body cannot be written as a multipart body",
        );
    }

    #[test]
    fn soap_is_written_in_each_form() {
        check(soap(), Form::Json, r#"{"a":1}"#);
        check(soap(), Form::Xml, r#"<p:a xmlns:p="urn:p">1</p:a>"#);
        check(
            changed(soap()),
            Form::Soap11,
            r#"<?xml version='1.0' encoding='UTF-8'?><e:Envelope xmlns:e="11"><e:Body><p:a xmlns:p="urn:p">1</p:a></e:Body></e:Envelope>"#,
        );
        check(
            soap(),
            Form::Soap12,
            r#"<?xml version='1.0' encoding='UTF-8'?><e:Envelope xmlns:e="12"><e:Body><p:a xmlns:p="urn:p">1</p:a></e:Body></e:Envelope>"#,
        );
        check(soap(), Form::Text, "1");
    }

    #[test]
    fn text_xml_has_an_envelope_where_the_exchange_is_soap() {
        let xml = || arrived("application/xml", "<a/>");
        check(xml(), Form::Soap11, "<a/>");
        let mut soap_exchange = xml();
        soap_exchange.set_rest(false);
        let whole = r#"<?xml version='1.0' encoding='UTF-8'?><soapenv:Envelope xmlns:soapenv="11"><soapenv:Body><a/></soapenv:Body></soapenv:Envelope>"#;
        check(soap_exchange, Form::Soap11, whole);
        let always = Target {
            envelope: EnvelopeRule::Always,
            ..Target::of(Form::Soap11)
        };
        let written = write(xml(), always).unwrap();
        assert_eq!((written.form, written.as_arrived), (Form::Soap11, false));
        assert!(bytes(written).starts_with(b"<?xml version='1.0' encoding='UTF-8'?><soapenv:Envelope"));
    }

    #[test]
    fn an_unknown_form_is_written_as_what_the_message_is() {
        assert_eq!(
            write(changed(soap()), Target::of(Form::Unknown)).unwrap().form,
            Form::Soap11
        );
        check(arrived("application/x-own", "\0\0"), Form::Unknown, "\0\0");
        check(arrived("application/grpc", "\0\0"), Form::Binary, "\0\0");
    }

    #[test]
    fn text_and_bytes_change_into_each_other() {
        check(
            Payload::text("a < b"),
            Form::Xml,
            r#"<text xmlns="http://ws.apache.org/commons/ns/payload">a &lt; b</text>"#,
        );
        check(changed(Payload::text("a < b")), Form::Text, "a < b");
        check(changed(Payload::text("a < b")), Form::Binary, "a < b");
        check(
            changed(arrived("image/png", b"\x89PNG")),
            Form::Xml,
            r#"<binary xmlns="http://ws.apache.org/commons/ns/payload">iVBORw==</binary>"#,
        );
        assert_eq!(
            bytes(
                write(
                    changed(arrived("image/png", b"\x89PNG")),
                    Target::of(Form::Binary)
                )
                .unwrap()
            ),
            &b"\x89PNG"[..]
        );
    }

    #[test]
    fn a_form_is_written_as_a_form() {
        let form = || arrived("application/x-www-form-urlencoded", "1a=x+y&b=%26");
        check(form(), Form::UrlEncoded, "1a=x+y&b=%26");
        check(changed(form()), Form::UrlEncoded, "1a=x%20y&b=%26");
        check(form(), Form::Json, r#"{"xformValues":{"1a":"x y","b":"&"}}"#);
    }

    #[test]
    fn nothing_is_written_as_nothing() {
        for form in [
            Form::Json,
            Form::Xml,
            Form::Text,
            Form::Binary,
            Form::UrlEncoded,
            Form::Soap11,
        ] {
            assert!(matches!(
                write(Payload::empty(), Target::of(form)).unwrap().body,
                Body::Empty
            ));
        }
    }

    #[test]
    fn another_character_set_is_written_when_it_is_asked_for() {
        let to = |form, charset| Target {
            charset: Some(charset),
            ..Target::of(form)
        };
        let latin = || arrived("application/xml; charset=iso-8859-1", b"<a>\xe9</a>");
        assert_eq!(
            bytes(write(latin(), Target::of(Form::Xml)).unwrap()),
            &b"<a>\xe9</a>"[..]
        );
        assert_eq!(
            write(latin(), Target::of(Form::Xml)).unwrap().charset,
            Charset::Latin1
        );
        assert_eq!(
            bytes(write(latin(), to(Form::Xml, Charset::Utf8)).unwrap()),
            "<a>é</a>"
        );
        assert_eq!(
            bytes(write(latin(), to(Form::Xml, Charset::Ascii)).unwrap()),
            "<?xml version='1.0' encoding='US-ASCII'?><a>&#233;</a>"
        );
        let json = arrived("application/json", "{\"a\":\"é😀\"}");
        assert_eq!(
            bytes(write(json, to(Form::Json, Charset::Ascii)).unwrap()),
            r#"{"a":"\u00e9\ud83d\ude00"}"#
        );
        let text = arrived("text/plain; charset=utf-16", b"\xfe\xff\0a");
        assert_eq!(bytes(write(text, to(Form::Text, Charset::Utf8)).unwrap()), "a");
    }

    #[test]
    fn a_multipart_body_gets_its_changed_root_part_back() {
        let body = "--b\r\nContent-Type: application/xop+xml\r\n\r\n<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body/></e:Envelope>\r\n--b\r\n\r\n\0file\r\n--b--";
        let mut payload = changed(arrived("multipart/related; boundary=b", body));
        let (limits, conversion) = (PayloadLimits::default(), ConversionSettings::default());
        payload
            .envelope_mut(&BuildContext {
                limits: &limits,
                conversion: &conversion,
            })
            .unwrap()
            .clear_body();
        check(
            payload,
            Form::Multipart,
            &body
                .replace('\'', "\"")
                .replace("http://www.w3.org/2003/05/soap-envelope", "12"),
        );
    }

    #[test]
    fn what_cannot_be_read_cannot_be_written_in_another_form() {
        let error = write(arrived("application/json", "{"), Target::of(Form::Xml)).unwrap_err();
        assert_eq!(error.kind, PayloadErrorKind::Malformed);
    }
}
