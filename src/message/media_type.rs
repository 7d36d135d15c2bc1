//! What a Content-Type header says: the type, its parameters, the shape of body it announces, and the character set.

use std::borrow::Cow;

/// The shape of a body. It decides which builder reads it and which formatter writes it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Form {
    Json,
    /// XML without an envelope.
    Xml,
    Soap11,
    Soap12,
    Text,
    Binary,
    UrlEncoded,
    Multipart,
    /// A type nobody announced a shape for: XML in a REST exchange, SOAP otherwise.
    Unknown,
}

impl Form {
    /// The shape that a media type such as `application/json` announces. The essence may carry parameters; they are ignored.
    pub fn of(essence: &str) -> Form {
        // As most senders write them.
        match essence {
            "application/json" => return Form::Json,
            "text/plain" => return Form::Text,
            "text/xml" => return Form::Soap11,
            "application/xml" => return Form::Xml,
            _ => {}
        }
        let essence = essence.split([';', ',']).next().unwrap_or_default().trim();
        let lower = if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(essence.to_ascii_lowercase())
        } else {
            Cow::Borrowed(essence)
        };
        match &*lower {
            "application/json" | "text/json" | "text/javascript" | "application/json/badgerfish" => {
                Form::Json
            }
            "application/xml" => Form::Xml,
            "text/xml" => Form::Soap11,
            "application/soap+xml" => Form::Soap12,
            "application/x-www-form-urlencoded" => Form::UrlEncoded,
            "application/octet-stream"
            | "application/binary"
            | "application/pdf"
            | "application/msword"
            | "application/zip"
            | "application/gzip" => Form::Binary,
            other => Form::of_family(other),
        }
    }

    fn of_family(essence: &str) -> Form {
        let Some((family, subtype)) = essence.split_once('/') else {
            return Form::Unknown;
        };
        match family {
            "multipart" => Form::Multipart,
            // Whatever its messages are written in, they are framed.
            "application" if is_grpc(essence.as_bytes()) => Form::Binary,
            _ if subtype.ends_with("+json") => Form::Json,
            _ if subtype.ends_with("+xml") => Form::Xml,
            "text" => Form::Text,
            "image" | "audio" | "video" | "font" => Form::Binary,
            "application" if subtype.starts_with("vnd.ms-") || subtype.starts_with("vnd.openxmlformats") => {
                Form::Binary
            }
            _ => Form::Unknown,
        }
    }

    /// The media type to announce for a body of this shape when nothing more exact is known.
    pub fn essence(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Xml => "application/xml",
            Form::Soap11 | Form::Unknown => "text/xml",
            Form::Soap12 => "application/soap+xml",
            Form::Text => "text/plain",
            Form::Binary => "application/octet-stream",
            Form::UrlEncoded => "application/x-www-form-urlencoded",
            Form::Multipart => "multipart/related",
        }
    }

    pub fn is_soap(self) -> bool {
        matches!(self, Form::Soap11 | Form::Soap12)
    }
}

/// Is it gRPC: `application/grpc`, or that with the form of its messages behind a `+`? gRPC-Web is something else.
pub fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let content_type = content_type.trim_ascii();
    match content_type.split_at_checked(GRPC.len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// A parsed Content-Type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MediaType {
    /// `type/subtype` in lower case.
    pub essence: String,
    pub charset: Option<String>,
    pub boundary: Option<String>,
    /// SOAP 1.2 carries the action here.
    pub action: Option<String>,
    /// All parameters in order, names in lower case, values without their quotes.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads what can be read; a header that is not a media type at all gives a type of `Form::Unknown`.
    pub fn parse(header: &str) -> MediaType {
        let (essence, mut rest) = match header.find([';', ',']) {
            Some(end) => (&header[..end], &header[end..]),
            None => (header, ""),
        };
        let mut media_type = MediaType {
            essence: essence.trim().to_ascii_lowercase(),
            charset: None,
            boundary: None,
            action: None,
            parameters: Vec::new(),
        };
        while let Some(start) = rest.find(';') {
            let Some((name, value, after)) = parameter(&rest[start + 1..]) else {
                rest = &rest[start + 1..];
                continue;
            };
            rest = after;
            let slot = match &*name {
                "charset" => Some(&mut media_type.charset),
                "boundary" => Some(&mut media_type.boundary),
                "action" => Some(&mut media_type.action),
                _ => None,
            };
            // The first of two equal parameters counts, here as in every look-up below.
            if let Some(slot @ None) = slot {
                *slot = Some(value.clone());
            }
            media_type.parameters.push((name, value));
        }
        media_type
    }

    pub fn form(&self) -> Form {
        Form::of(&self.essence)
    }

    /// The value of a parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One `name=value` at the start of `text`, and what follows it. None where there is no `=` before the next `;`.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let equals = text.find(['=', ';'])?;
    if text.as_bytes()[equals] == b';' {
        return None;
    }
    let name = text[..equals].trim().to_ascii_lowercase();
    let value = text[equals + 1..].trim_start();
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find(';').unwrap_or(value.len());
        return Some((name, value[..end].trim().to_owned(), &value[end..]));
    };
    let mut plain = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, plain, &quoted[at + 1..])),
            '\\' => plain.extend(characters.next().map(|(_, escaped)| escaped)),
            other => plain.push(other),
        }
    }
    Some((name, plain, ""))
}

/// The character sets that bodies may be in.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Charset {
    #[default]
    Utf8,
    Utf16,
    Utf16LittleEndian,
    Utf16BigEndian,
    Latin1,
    Ascii,
}

impl Charset {
    /// None for a name that is not known here.
    pub fn named(name: &str) -> Option<Charset> {
        Some(match &*name.trim().to_ascii_lowercase() {
            "utf-8" | "utf8" => Charset::Utf8,
            "utf-16" | "utf16" => Charset::Utf16,
            "utf-16le" => Charset::Utf16LittleEndian,
            "utf-16be" => Charset::Utf16BigEndian,
            "iso-8859-1" | "latin1" | "iso8859_1" | "iso_8859-1" => Charset::Latin1,
            "us-ascii" | "ascii" => Charset::Ascii,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Charset::Utf8 => "UTF-8",
            Charset::Utf16 => "UTF-16",
            Charset::Utf16LittleEndian => "UTF-16LE",
            Charset::Utf16BigEndian => "UTF-16BE",
            Charset::Latin1 => "ISO-8859-1",
            Charset::Ascii => "US-ASCII",
        }
    }

    /// The text of these bytes, without a byte order mark. The error is the offset of the first byte that is no character.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
        match self {
            Charset::Utf8 => {
                let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
                std::str::from_utf8(bytes)
                    .map(Cow::Borrowed)
                    .map_err(|error| error.valid_up_to())
            }
            Charset::Ascii if bytes.is_ascii() => {
                Ok(std::str::from_utf8(bytes).map(Cow::Borrowed).unwrap_or_default())
            }
            Charset::Ascii => Err(bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or_default()),
            Charset::Latin1 => Ok(bytes
                .iter()
                .map(|&byte| char::from(byte))
                .collect::<String>()
                .into()),
            Charset::Utf16LittleEndian => decode_utf16(
                bytes.strip_prefix(b"\xff\xfe").unwrap_or(bytes),
                u16::from_le_bytes,
            ),
            Charset::Utf16BigEndian => decode_utf16(
                bytes.strip_prefix(b"\xfe\xff").unwrap_or(bytes),
                u16::from_be_bytes,
            ),
            // Without a mark UTF-16 is big-endian (RFC 2781).
            Charset::Utf16 => match bytes.strip_prefix(b"\xff\xfe") {
                Some(rest) => decode_utf16(rest, u16::from_le_bytes),
                None => decode_utf16(
                    bytes.strip_prefix(b"\xfe\xff").unwrap_or(bytes),
                    u16::from_be_bytes,
                ),
            },
        }
    }

    /// The bytes of this text. A character the set does not have is written as `replacement` says.
    pub fn encode(self, text: String, replacement: fn(char) -> String) -> Vec<u8> {
        let highest = match self {
            Charset::Utf8 => return text.into_bytes(),
            Charset::Utf16 => {
                let mark = b"\xfe\xff".iter().copied();
                return mark
                    .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
                    .collect();
            }
            Charset::Utf16BigEndian => return text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Charset::Utf16LittleEndian => return text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Charset::Latin1 => 0xff,
            Charset::Ascii => 0x7f,
        };
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            match u8::try_from(u32::from(character)) {
                Ok(byte) if byte <= highest => bytes.push(byte),
                _ => bytes.extend_from_slice(replacement(character).as_bytes()),
            }
        }
        bytes
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, usize> {
    let (pairs, left) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    for character in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        text.push(character.map_err(|_| text.encode_utf16().count() * 2)?);
    }
    if left.is_empty() {
        Ok(text.into())
    } else {
        Err(bytes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_read_with_its_parameters() {
        let read = MediaType::parse(r#"Application/SOAP+XML; charset=utf-8; Action="urn:a;b\"c" ; x="#);
        assert_eq!(read.essence, "application/soap+xml");
        assert_eq!(read.charset.as_deref(), Some("utf-8"));
        assert_eq!(read.action.as_deref(), Some("urn:a;b\"c"));
        assert_eq!(read.parameter("x"), Some(""));
        assert_eq!(read.form(), Form::Soap12);
    }

    #[test]
    fn a_broken_content_type_gives_what_can_be_read() {
        for (header, essence, boundary) in [
            ("", "", None),
            (";", "", None),
            (
                "text/plain;;; boundary=\"never closed",
                "text/plain",
                Some("never closed"),
            ),
            ("text/plain; nothing; boundary=b", "text/plain", Some("b")),
            ("multipart/related, boundary=b", "multipart/related", None),
            ("a/b; boundary=1; boundary=2", "a/b", Some("1")),
        ] {
            let read = MediaType::parse(header);
            assert_eq!(
                (&*read.essence, read.boundary.as_deref()),
                (essence, boundary),
                "{header}"
            );
        }
    }

    #[test]
    fn each_type_has_its_form() {
        for (essence, form) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=UTF-8", Form::Json),
            ("application/vnd.api+json", Form::Json),
            ("application/xml", Form::Xml),
            ("application/atom+xml", Form::Xml),
            ("text/xml", Form::Soap11),
            ("application/soap+xml", Form::Soap12),
            ("text/plain", Form::Text),
            ("text/html", Form::Text),
            ("application/octet-stream", Form::Binary),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                Form::Binary,
            ),
            ("image/png", Form::Binary),
            ("application/x-www-form-urlencoded", Form::UrlEncoded),
            ("multipart/form-data", Form::Multipart),
            ("application/grpc", Form::Binary),
            ("application/grpc+json", Form::Binary),
            ("application/grpc-web", Form::Unknown),
            ("", Form::Unknown),
            ("nonsense", Form::Unknown),
        ] {
            assert_eq!(Form::of(essence), form, "{essence}");
        }
    }

    #[test]
    fn text_survives_each_character_set() {
        for charset in [
            Charset::Utf8,
            Charset::Utf16,
            Charset::Utf16LittleEndian,
            Charset::Utf16BigEndian,
            Charset::Latin1,
        ] {
            let bytes = charset.encode("größe".to_owned(), |_| "?".into());
            assert_eq!(charset.decode(&bytes).unwrap(), "größe", "{}", charset.name());
            assert_eq!(Charset::named(charset.name()), Some(charset));
        }
    }

    #[test]
    fn a_character_that_is_missing_from_the_set_is_replaced() {
        assert_eq!(
            Charset::Ascii.encode("aé€".to_owned(), |c| format!("&#{};", u32::from(c))),
            b"a&#233;&#8364;"
        );
        assert_eq!(
            Charset::Latin1.encode("aé€".to_owned(), |_| "?".into()),
            b"a\xe9?"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_at_their_place() {
        assert_eq!(Charset::Utf8.decode(b"ab\xff"), Err(2));
        assert_eq!(Charset::Ascii.decode(b"a\xe9"), Err(1));
        assert_eq!(Charset::Utf16.decode(b"\xfe\xff\0a\xd8\0"), Err(2));
        assert_eq!(Charset::Utf16.decode(b"\0a\0"), Err(2));
    }
}
