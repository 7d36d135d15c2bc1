//! Builders: from the bytes of a body to the XML or JSON that steps look into, by the body's form.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use percent_encoding::percent_decode;

use super::json::convert::{json_to_xml, xml_to_json};
use super::json::names::element_name;
use super::json::{self, Json};
use super::media_type::{Charset, Form, MediaType};
use super::payload::{Around, BuildContext, PayloadError, PayloadLimits};
use super::soap::{Envelope, SoapVersion};
use super::xml::{NodeId, XmlTree, decode_bytes_as};

/// The envelope that a body of this form stands in. For a multipart body it is the root part, and what stands around it
/// comes along.
pub(super) fn envelope(
    form: Form,
    media_type: Option<&MediaType>,
    rest: bool,
    body: Bytes,
    context: &BuildContext<'_>,
) -> Result<(Envelope, Option<Around>), PayloadError> {
    let charset = media_type.and_then(|media_type| media_type.charset.as_deref());
    let text = || decode(&body, named_charset(media_type)?);
    let envelope = match form {
        Form::Xml => Envelope::around(xml(&body, charset, context.limits)?),
        Form::Soap12 => Envelope::from_soap(xml(&body, charset, context.limits)?)?,
        Form::Soap11 | Form::Unknown => {
            let tree = xml(&body, charset, context.limits)?;
            // Whoever says text/xml without a SOAPAction may mean either; the document tells.
            if rest && !Envelope::is_soap(&tree) {
                Envelope::around(tree)
            } else {
                Envelope::from_soap(tree)?
            }
        }
        Form::Json => from_json(&self::json(&text()?, context)?, context),
        Form::UrlEncoded => form_fields(text()?.trim(), context.limits)?,
        Form::Text => {
            let mut envelope = Envelope::empty(SoapVersion::Soap11);
            envelope.set_text(&xml_characters(text()?));
            envelope
        }
        Form::Binary => {
            let mut envelope = Envelope::empty(SoapVersion::Soap11);
            envelope.set_binary(&body);
            envelope
        }
        Form::Multipart => {
            let root = root_part(&body, media_type)?;
            let charset = root
                .media_type
                .as_ref()
                .and_then(|media_type| media_type.charset.as_deref());
            let tree = xml(&body[root.content.clone()], charset, context.limits)?;
            let around = Around {
                before: body.slice(..root.content.start),
                after: body.slice(root.content.end..),
            };
            return Ok((Envelope::from_soap(tree)?, Some(around)));
        }
    };
    Ok((envelope, None))
}

/// A document, in the character set of its Content-Type or else in the one it declares.
pub(super) fn xml(
    body: &[u8],
    charset: Option<&str>,
    limits: &PayloadLimits,
) -> Result<XmlTree, PayloadError> {
    let text = decode_bytes_as(body, charset).map_err(|error| PayloadError {
        offset: Some(error.offset),
        ..PayloadError::malformed(error.message)
    })?;
    XmlTree::parse_str(&text, &limits.xml)
        .map_err(|error| PayloadError::malformed(error.message).at(error.offset, &text))
}

pub(super) fn json(text: &str, context: &BuildContext<'_>) -> Result<Json, PayloadError> {
    json::parse(text.as_bytes(), &context.limits.json)
        .map_err(|error| PayloadError::malformed(error.message).at(error.offset, text))
}

/// JSON as XML in an envelope: `jsonObject`, `jsonArray` or `jsonValue`.
pub(super) fn from_json(json: &Json, context: &BuildContext<'_>) -> Envelope {
    let mut envelope = Envelope::empty(SoapVersion::Soap11);
    let child = json_to_xml(json, &mut envelope.tree, context.conversion);
    let body = envelope.body();
    envelope.tree.append(body, child);
    envelope
}

/// An element as JSON.
pub(super) fn to_json(
    tree: &XmlTree,
    node: NodeId,
    context: &BuildContext<'_>,
) -> Result<Json, PayloadError> {
    xml_to_json(tree, node, context.conversion).map_err(|error| PayloadError::malformed(error.to_string()))
}

/// The fields of a form or a query: `<xformValues><name>value</name>…`.
pub(super) fn form_fields(text: &str, limits: &PayloadLimits) -> Result<Envelope, PayloadError> {
    let mut tree = XmlTree::new();
    let (document, values) = (tree.document(), tree.create_element("", "", "xformValues"));
    tree.append(document, values);
    for (count, (name, value)) in fields(text).enumerate() {
        if count >= limits.form_fields {
            return Err(PayloadError::too_large(format!(
                "a form of more than {} fields",
                limits.form_fields
            )));
        }
        let field = tree.create_element("", "", &element_name(&name, true));
        tree.set_value(field, &xml_characters(value.into()));
        tree.append(values, field);
    }
    Ok(Envelope::around(tree))
}

/// The fields of a form or a query, decoded. Fields without a name are left out.
pub fn fields(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter_map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let decoded = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
        };
        Some((decoded(name), decoded(value))).filter(|(name, _)| !name.is_empty())
    })
}

/// Characters that XML cannot hold become the replacement character, as in Axiom.
fn xml_characters(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_illegal = |character: char| matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(is_illegal) {
        Cow::Owned(text.replace(is_illegal, "\u{fffd}"))
    } else {
        text
    }
}

/// The text of a body: by its byte order mark, else by its Content-Type, else UTF-8.
pub(super) fn decode(bytes: &[u8], charset: Option<Charset>) -> Result<Cow<'_, str>, PayloadError> {
    let charset = match bytes {
        [0xef, 0xbb, 0xbf, ..] => Charset::Utf8,
        [0xff, 0xfe, ..] => Charset::Utf16LittleEndian,
        [0xfe, 0xff, ..] => Charset::Utf16BigEndian,
        _ => charset.unwrap_or_default(),
    };
    charset.decode(bytes).map_err(|offset| PayloadError {
        offset: Some(offset),
        ..PayloadError::malformed(format!("bytes that are not {}", charset.name()))
    })
}

pub(super) fn named_charset(media_type: Option<&MediaType>) -> Result<Option<Charset>, PayloadError> {
    let Some(name) = media_type.and_then(|media_type| media_type.charset.as_deref()) else {
        return Ok(None);
    };
    match Charset::named(name) {
        Some(charset) => Ok(Some(charset)),
        None => Err(PayloadError::unsupported(format!(
            "the character set `{name}` is not supported; use UTF-8"
        ))),
    }
}

struct RootPart {
    media_type: Option<MediaType>,
    content: std::ops::Range<usize>,
}

/// Where the root part of a `multipart/related` body lies: the part that `start` names, else the first (RFC 2387).
fn root_part(body: &[u8], media_type: Option<&MediaType>) -> Result<RootPart, PayloadError> {
    let related = media_type.filter(|media_type| media_type.essence == "multipart/related");
    let Some(media_type) = related else {
        return Err(PayloadError::unsupported(
            "a multipart body passes through, but only the SOAP part of multipart/related can be looked into",
        ));
    };
    let boundary = media_type
        .boundary
        .as_deref()
        .filter(|boundary| (1..=70).contains(&boundary.len()));
    let Some(boundary) = boundary else {
        return Err(PayloadError::malformed("a multipart body without a boundary"));
    };
    let delimiter = format!("--{boundary}");
    let start = media_type.parameter("start");
    let mut part = delimiter_after(body, 0, &delimiter).filter(|found| !found.last);
    for _ in 0..MAX_PARTS {
        let Some(begin) = part else { break };
        let Some(end) = delimiter_after(body, begin.after, &delimiter) else {
            break;
        };
        let headers_end = memmem::find(&body[begin.after..end.before], b"\r\n\r\n");
        let Some(headers_end) = headers_end.map(|at| begin.after + at) else {
            return Err(PayloadError::malformed(
                "a part of a multipart body without an end of its headers",
            ));
        };
        let headers = part_headers(&body[begin.after..headers_end]);
        let header = |name: &str| {
            headers
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.as_str())
        };
        let id = |text: &'_ str| text.trim_matches(['<', '>']).to_owned();
        if start.is_none() || header("content-id").map(id) == start.map(id) {
            return soap_part(&header, headers_end + 4..end.before);
        }
        part = Some(end).filter(|found| !found.last);
    }
    Err(PayloadError::malformed("a multipart body without its root part"))
}

const MAX_PARTS: usize = 1000;

fn soap_part<'a>(
    header: &dyn Fn(&str) -> Option<&'a str>,
    content: std::ops::Range<usize>,
) -> Result<RootPart, PayloadError> {
    let media_type = header("content-type").map(MediaType::parse);
    let essence = media_type.as_ref().map_or("", |media_type| &media_type.essence);
    let is_soap = matches!(
        essence,
        "application/xop+xml" | "text/xml" | "application/soap+xml" | "application/xml"
    );
    let encoding = header("content-transfer-encoding")
        .unwrap_or("8bit")
        .to_ascii_lowercase();
    if !is_soap || !matches!(&*encoding, "7bit" | "8bit" | "binary") {
        return Err(PayloadError::unsupported(format!(
            "the root part of this multipart body (`{essence}`, encoded as {encoding}) cannot be looked into"
        )));
    }
    Ok(RootPart { media_type, content })
}

struct Delimiter {
    /// Where the part before it ends.
    before: usize,
    /// Where the part behind it begins.
    after: usize,
    last: bool,
}

fn delimiter_after(body: &[u8], from: usize, delimiter: &str) -> Option<Delimiter> {
    for at in memmem::find_iter(&body[from..], delimiter.as_bytes()) {
        let at = from + at;
        let line_starts = at == 0 || body[..at].ends_with(b"\r\n");
        let rest = &body[at + delimiter.len()..];
        let last = rest.starts_with(b"--");
        let end_of_line = rest
            .iter()
            .position(|&byte| !matches!(byte, b' ' | b'\t'))
            .unwrap_or(rest.len());
        if line_starts && (last || rest[end_of_line..].starts_with(b"\r\n")) {
            let after = (at + delimiter.len() + end_of_line + 2).min(body.len());
            return Some(Delimiter {
                before: at.saturating_sub(2).max(from),
                after,
                last,
            });
        }
    }
    None
}

fn part_headers(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines = unfolded.split("\r\n").filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::json::convert::ConversionSettings;
    use super::super::payload::PayloadErrorKind;
    use super::*;
    use crate::message::json::names::json_key;
    use crate::message::xml::is_nc_name;

    fn build(content_type: &str, body: impl AsRef<[u8]>) -> Result<Envelope, PayloadError> {
        let media_type = MediaType::parse(content_type);
        let (limits, conversion) = (PayloadLimits::default(), ConversionSettings::default());
        let context = BuildContext {
            limits: &limits,
            conversion: &conversion,
        };
        let body = Bytes::copy_from_slice(body.as_ref());
        envelope(media_type.form(), Some(&media_type), true, body, &context).map(|(envelope, _)| envelope)
    }

    /// What stands in the body.
    fn check(content_type: &str, body: impl AsRef<[u8]>, expected: &str) {
        match build(content_type, body) {
            Ok(envelope) => {
                let child = envelope.first_child().map(|child| envelope.tree.to_text(child));
                assert_eq!(child.unwrap_or_default(), expected);
            }
            Err(error) => assert_eq!(format!("{:?}: {error}", error.kind), expected),
        }
    }

    #[test]
    fn a_form_becomes_an_element_a_field() {
        check(
            "application/x-www-form-urlencoded",
            "a=1&b=two+words&c=%C3%A9%26&=nameless&d&a=again",
            "<xformValues><a>1</a><b>two words</b><c>é&amp;</c><d/><a>again</a></xformValues>",
        );
    }

    #[test]
    fn field_names_that_are_no_element_names_come_back_as_they_were() {
        for name in [
            "a",
            "1a",
            "$a",
            "a b",
            "a[0]",
            "<evil>",
            "-x",
            ".",
            "a:b",
            "é",
            "_JsonReader_",
            "\u{0}",
        ] {
            let element = element_name(name, true);
            assert!(is_nc_name(&element), "{element}");
            assert_eq!(json_key(&element), name, "{element}");
        }
    }

    #[test]
    fn a_form_of_too_many_fields_is_refused() {
        let body = "a=1&".repeat(1000) + "a=1";
        check(
            "application/x-www-form-urlencoded",
            body,
            "TooLarge: a form of more than 1000 fields",
        );
    }

    #[test]
    fn text_and_bytes_are_wrapped() {
        check(
            "text/plain",
            "a < b",
            r#"<text xmlns="http://ws.apache.org/commons/ns/payload">a &lt; b</text>"#,
        );
        check(
            "text/plain; charset=iso-8859-1",
            b"\xe9",
            r#"<text xmlns="http://ws.apache.org/commons/ns/payload">é</text>"#,
        );
        check(
            "text/plain",
            "a\0b",
            "<text xmlns=\"http://ws.apache.org/commons/ns/payload\">a\u{fffd}b</text>",
        );
        check(
            "application/octet-stream",
            b"\0\xff",
            r#"<binary xmlns="http://ws.apache.org/commons/ns/payload">AP8=</binary>"#,
        );
    }

    #[test]
    fn text_in_a_set_that_is_unknown_or_wrong_is_refused() {
        check(
            "text/plain; charset=ebcdic",
            "x",
            "Unsupported: the character set `ebcdic` is not supported; use UTF-8",
        );
        check(
            "text/plain",
            b"ab\xff",
            "Malformed: bytes that are not UTF-8 (byte 2 of the body)",
        );
    }

    #[test]
    fn text_xml_is_soap_when_it_is_an_envelope() {
        let soap = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><a/></e:Body></e:Envelope>";
        check("text/xml", soap, "<a/>");
        check("text/xml", "<a/>", "<a/>");
        check(
            "application/soap+xml",
            "<a/>",
            "Malformed: this is not a SOAP envelope but <a>",
        );
    }

    #[test]
    fn a_document_that_is_broken_says_where() {
        let error = build("application/xml", "<a>\n  <b></c>\n</a>").unwrap_err();
        assert_eq!(
            (error.kind, error.place.map(|(line, _)| line)),
            (PayloadErrorKind::Malformed, Some(2))
        );
    }

    #[test]
    fn a_doctype_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>";
        for content_type in [
            "application/xml",
            "text/xml",
            "application/soap+xml",
            "application/unknown",
        ] {
            assert!(build(content_type, bomb).is_err(), "{content_type}");
        }
    }

    const RELATED: &str =
        "multipart/related; boundary=\"b 1\"; type=\"application/xop+xml\"; start=\"<root>\"";

    fn parts(root_headers: &str) -> String {
        format!(
            "preamble\r\n--b 1\r\nContent-ID: <file>\r\n\r\n\0\x01 --b 1 \r\n--b 1\r\nContent-ID: <root>\r\n{root_headers}\r\n\r\n\
             <e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body><a/></e:Body></e:Envelope>\r\n--b 1--\r\n"
        )
    }

    #[test]
    fn of_a_multipart_body_the_root_part_is_seen() {
        check(
            RELATED,
            parts("Content-Type: application/xop+xml;\r\n charset=utf-8"),
            "<a/>",
        );
        let no_start = "multipart/related; boundary=\"b 1\"";
        check(
            no_start,
            parts("Content-Type: text/xml"),
            "Unsupported: the root part of this multipart body (``, encoded as 8bit) cannot be looked into",
        );
        check(
            RELATED,
            parts("Content-Type: image/png"),
            "Unsupported: the root part of this multipart body (`image/png`, encoded as 8bit) cannot be looked into",
        );
        check(
            "multipart/form-data; boundary=x",
            "x",
            "Unsupported: a multipart body passes through, but only the SOAP part of multipart/related can be looked into",
        );
    }

    #[test]
    fn a_multipart_body_that_is_cut_anywhere_is_refused() {
        let whole = parts("Content-Type: text/xml");
        for length in 0..whole.len() - 4 {
            assert!(build(RELATED, &whole[..length]).is_err(), "cut at {length}");
        }
        assert!(build("multipart/related", whole).is_err());
    }
}
