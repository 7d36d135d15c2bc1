//! Challenges: what a backend asks for in `WWW-Authenticate` (RFC 9110, 11.6.1), read with its quotes and commas.

/// One scheme with its parameters, names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let (_, value) = parameters.find(|(known, _)| known == name)?;
        Some(value)
    }
}

/// All challenges of one header.
pub fn challenges(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, behind) = token(rest);
        if word.is_empty() {
            // Nothing that could be read goes on from here; what was read so far stands.
            return found;
        }
        let after = behind.trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), found.last_mut()) {
            // `==` ends a token68, which belongs to a scheme that is not Digest.
            (Some(value), Some(challenge)) if !value.starts_with('=') => {
                let (value, behind) = value_of(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = behind;
            }
            _ => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = skip_token68(after);
            }
        }
    }
}

/// Parameters without a scheme in front, as in `Authentication-Info`.
pub fn parameters(text: &str) -> Vec<(String, String)> {
    let mut read = challenges(&format!("x {text}"));
    read.pop().map_or(Vec::new(), |challenge| challenge.parameters)
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// `Negotiate YIIZ…==`: one word that is no parameter, up to a comma.
fn skip_token68(text: &str) -> &str {
    let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let end = text.find(|c| !is_token68(c)).unwrap_or(text.len());
    let behind = text[end..].trim_start_matches('=');
    let padded = text[end..].len() - behind.len();
    let ends = behind.is_empty() || behind.trim_start_matches([' ', '\t']).starts_with(',');
    // One `=` may as well be that of a parameter; with nothing behind it, it is not.
    if end > 0 && ends && (padded != 1 || behind.trim().is_empty() || behind.starts_with(',')) {
        behind
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &[(&str, &str)])]) {
        let expected: Vec<Challenge> = expected
            .iter()
            .map(|(scheme, parameters)| Challenge {
                scheme: (*scheme).to_owned(),
                parameters: parameters
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            })
            .collect();
        assert_eq!(challenges(text), expected, "{text}");
    }

    #[test]
    fn commas_and_schemes_inside_quotes_are_text() {
        // A realm that contains `Digest` or `, ` broke WSO2's client (product-apim#3290).
        check(
            r#"Digest realm="My Digest, the \"first\"", nonce="a=,b", qop="auth,auth-int", stale=FALSE"#,
            &[(
                "digest",
                &[
                    ("realm", "My Digest, the \"first\""),
                    ("nonce", "a=,b"),
                    ("qop", "auth,auth-int"),
                    ("stale", "FALSE"),
                ],
            )],
        );
    }

    #[test]
    fn several_challenges_stand_in_one_header() {
        check(
            r#"Negotiate, Basic realm="a", Digest realm = "b" , nonce=c,,NTLM TlRMTVNTUAA==, Bearer"#,
            &[
                ("negotiate", &[]),
                ("basic", &[("realm", "a")]),
                ("digest", &[("realm", "b"), ("nonce", "c")]),
                ("ntlm", &[]),
                ("bearer", &[]),
            ],
        );
    }

    #[test]
    fn what_cannot_be_read_ends_it_and_nothing_is_out_of_bounds() {
        check("", &[]);
        check("\"", &[]);
        check("Digest nonce=\"open", &[("digest", &[("nonce", "open")])]);
        check("Digest nonce=\"a\\", &[("digest", &[("nonce", "a")])]);
        check("Digest =x", &[("digest", &[])]);
        check("Dïgest a=b", &[("d", &[])]);
    }
}
