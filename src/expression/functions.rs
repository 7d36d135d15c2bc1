//! Synapse's own XPath functions that need nothing but their arguments.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;

/// Calls one by its name; arguments as text.
pub fn call(name: &str, arguments: &[String]) -> Result<String, String> {
    let argument = |at: usize| arguments.get(at).map_or("", String::as_str);
    match name {
        "base64Encode" => Ok(STANDARD.encode(encode_text(argument(0), arguments.get(1))?)),
        "base64Decode" => {
            let bytes = STANDARD
                .decode(argument(0).trim())
                .map_err(|error| format!("base64Decode: the text is not base64 ({error})"))?;
            decode_text(&bytes, arguments.get(1))
        }
        "url-encode" => Ok(form_encode(&encode_text(argument(0), arguments.get(1))?)),
        "hmac-generate" => hmac_hex(
            argument(0),
            argument(1),
            arguments.get(2).map_or("HMACSHA1", String::as_str),
        ),
        _ => Err(format!("the function `{name}` is not supported")),
    }
}

/// The environment variable that holds a secret: `MYELIN_SECRET_` and the alias in capitals.
pub fn secret_variable(alias: &str) -> String {
    let name: String = alias
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("MYELIN_SECRET_{name}")
}

/// `application/x-www-form-urlencoded` as `java.net.URLEncoder` writes it: space is `+`.
pub(super) fn form_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(*byte))
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Decodes `%41` and `+`.
pub fn url_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

fn hmac_hex(payload: &str, secret: &str, algorithm: &str) -> Result<String, String> {
    fn digest<M: Mac + hmac::digest::KeyInit>(payload: &str, secret: &str) -> Result<String, String> {
        let mut mac = <M as Mac>::new_from_slice(secret.as_bytes())
            .map_err(|error| format!("hmac-generate: {error}"))?;
        mac.update(payload.as_bytes());
        Ok(mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }
    match algorithm.to_ascii_uppercase().replace('-', "").as_str() {
        "HMACSHA1" => digest::<Hmac<sha1::Sha1>>(payload, secret),
        "HMACSHA256" => digest::<Hmac<sha2::Sha256>>(payload, secret),
        "HMACSHA384" => digest::<Hmac<sha2::Sha384>>(payload, secret),
        "HMACSHA512" => digest::<Hmac<sha2::Sha512>>(payload, secret),
        "HMACMD5" => digest::<Hmac<md5::Md5>>(payload, secret),
        _ => Err(format!("hmac-generate: there is no algorithm `{algorithm}`")),
    }
}

pub(super) fn encode_text(text: &str, charset: Option<&String>) -> Result<Vec<u8>, String> {
    match charset
        .map_or("utf-8".to_owned(), |name| name.to_ascii_lowercase())
        .as_str()
    {
        "utf-8" | "utf8" => Ok(text.as_bytes().to_vec()),
        "us-ascii" | "ascii" => Ok(text
            .chars()
            .map(|c| if c.is_ascii() { c as u8 } else { b'?' })
            .collect()),
        "iso-8859-1" | "latin1" => Ok(text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect()),
        "utf-16" => Ok([0xFE, 0xFF]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
            .collect()),
        other => Err(format!("the charset `{other}` is not supported")),
    }
}

fn decode_text(bytes: &[u8], charset: Option<&String>) -> Result<String, String> {
    match charset
        .map_or("utf-8".to_owned(), |name| name.to_ascii_lowercase())
        .as_str()
    {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok(String::from_utf8_lossy(bytes).into_owned()),
        "iso-8859-1" | "latin1" => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        "utf-16" => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Ok(char::decode_utf16(units)
                .map(|c| c.unwrap_or('\u{FFFD}'))
                .filter(|c| *c != '\u{FEFF}')
                .collect())
        }
        other => Err(format!("the charset `{other}` is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, arguments: &[&str], expected: &str) {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(call(name, &arguments).as_deref(), Ok(expected));
    }

    #[test]
    fn functions_answer_as_javas_do() {
        check("base64Encode", &["grüße"], "Z3LDvMOfZQ==");
        check("base64Encode", &["grüße", "ISO-8859-1"], "Z3L832U=");
        check("base64Decode", &["Z3LDvMOfZQ=="], "grüße");
        check("url-encode", &["a b&c*~ü"], "a+b%26c*%7E%C3%BC");
        // RFC 2202, case 2.
        check(
            "hmac-generate",
            &["what do ya want for nothing?", "Jefe"],
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        );
        check(
            "hmac-generate",
            &["what do ya want for nothing?", "Jefe", "HMACSHA256"],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        assert!(call("encrypt", &[]).is_err());
    }
}
