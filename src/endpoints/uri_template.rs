//! URI templates: RFC 6570, all four levels.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use std::ops::Range;

/// A template, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Expression {
        operator: Operator,
        variables: Vec<Variable>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Simple,
    /// `+`
    Reserved,
    /// `#`
    Fragment,
    /// `.`
    Label,
    /// `/`
    Path,
    /// `;`
    Parameters,
    /// `?`
    Query,
    /// `&`
    Continuation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    modifier: Modifier,
    /// Where the name stands in the template.
    range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    None,
    /// `:3`, in characters
    Prefix(usize),
    /// `*`
    Explode,
}

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateValue {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    pub range: Range<usize>,
    pub message: String,
}

/// A value that would lead a request to another host than the template's author wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostChanged {
    pub variable: String,
}

impl UriTemplate {
    pub fn parse(text: &str) -> Result<UriTemplate, TemplateError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let Some(open) = rest.find(['{', '}']) else {
                parts.push(Part::Literal(literal(rest)));
                break;
            };
            if open > 0 {
                parts.push(Part::Literal(literal(&rest[..open])));
            }
            let open = at + open;
            if text.as_bytes()[open] == b'}' {
                return Err(error(open..open + 1, "this `}` closes nothing"));
            }
            let Some(length) = text[open + 1..].find(['}', '{']) else {
                return Err(error(open..text.len(), "this `{` is never closed"));
            };
            let close = open + 1 + length;
            if text.as_bytes()[close] == b'{' {
                return Err(error(
                    open..close,
                    "this `{` is not closed before the next one opens",
                ));
            }
            parts.push(expression(text, open + 1..close)?);
            at = close + 1;
        }
        Ok(UriTemplate { parts })
    }

    /// The variables' names, and where each stands.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                Part::Literal(_) => &[][..],
                Part::Expression { variables, .. } => variables,
            })
            .map(|variable| (variable.name.as_str(), variable.range.clone()))
    }

    /// The text before the first variable.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Replaces the variables; one without a value is left out.
    pub fn expand(
        &self,
        mut value: impl FnMut(&str) -> Option<TemplateValue>,
    ) -> Result<String, HostChanged> {
        let mut out = String::new();
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Expression { operator, variables } => {
                    let before = out.len();
                    operator.expand(variables, &mut value, &mut out);
                    let unescaped = matches!(operator, Operator::Reserved);
                    if unescaped
                        && before < out.len()
                        && changes_host(&out[..before], &out[before..], &self.parts[at + 1..])
                    {
                        let variable = variables
                            .first()
                            .map(|variable| variable.name.clone())
                            .unwrap_or_default();
                        return Err(HostChanged { variable });
                    }
                }
            }
        }
        Ok(out)
    }
}

/// `http://host{+path}`: where the template names a host, an unescaped value behind it must begin a path; otherwise whoever gives the value
/// chooses the host.
fn changes_host(before: &str, value: &str, following: &[Part]) -> bool {
    let Some((_, authority)) = before.split_once("://") else {
        return false;
    };
    if authority.is_empty() || authority.contains(['/', '?', '#']) {
        return false;
    }
    if value.starts_with(['/', '?', '#']) {
        return false;
    }
    if authority.ends_with(':') {
        return !value.bytes().all(|byte| byte.is_ascii_digit());
    }
    let goes_on = authority.ends_with(['.', '-'])
        || matches!(following.first(), Some(Part::Literal(text)) if !text.starts_with(['/', '?', '#', ':']));
    !goes_on || value.contains(['/', '?', '#', '@', ':', '\\', '%'])
}

fn error(range: Range<usize>, message: impl Into<String>) -> TemplateError {
    TemplateError {
        range,
        message: message.into(),
    }
}

/// Literals are copied; what may not stand in a URI is escaped.
fn literal(text: &str) -> String {
    encode(text, Escape::KeepReserved)
}

fn expression(text: &str, range: Range<usize>) -> Result<Part, TemplateError> {
    let inner = &text[range.clone()];
    let (operator, skip) = match inner.as_bytes().first() {
        Some(b'+') => (Operator::Reserved, 1),
        Some(b'#') => (Operator::Fragment, 1),
        Some(b'.') => (Operator::Label, 1),
        Some(b'/') => (Operator::Path, 1),
        Some(b';') => (Operator::Parameters, 1),
        Some(b'?') => (Operator::Query, 1),
        Some(b'&') => (Operator::Continuation, 1),
        Some(b'=' | b',' | b'!' | b'@' | b'|') => {
            let message = format!("`{}` is no operator of a URI template", &inner[..1]);
            return Err(error(range.start..range.start + 1, message));
        }
        Some(_) => (Operator::Simple, 0),
        None => {
            return Err(error(
                range.start - 1..range.end + 1,
                "there is no variable between these braces",
            ));
        }
    };
    let mut variables = Vec::new();
    let mut at = range.start + skip;
    for name in inner[skip..].split(',') {
        variables.push(variable(name, at)?);
        at += name.len() + 1;
    }
    Ok(Part::Expression { operator, variables })
}

fn variable(text: &str, at: usize) -> Result<Variable, TemplateError> {
    let (name, modifier) = match (text.strip_suffix('*'), text.split_once(':')) {
        (Some(name), _) => (name, Modifier::Explode),
        (None, Some((name, length))) => {
            let range = at + name.len() + 1..at + text.len();
            let digits = (1..=4).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse::<usize>() {
                Ok(number) if digits && number > 0 => (name, Modifier::Prefix(number)),
                _ => return Err(error(range, "the length of a prefix is a number from 1 to 9999")),
            }
        }
        (None, None) => (text, Modifier::None),
    };
    if name.is_empty() {
        return Err(error(at..at + text.len().max(1), "a variable has no name here"));
    }
    check_name(name, at)?;
    Ok(Variable {
        name: name.to_owned(),
        modifier,
        range: at..at + name.len(),
    })
}

/// Letters, digits, `_`, dots inside, percent-encoded bytes; and `-`, which the RFC leaves out and configurations use.
fn check_name(name: &str, at: usize) -> Result<(), TemplateError> {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let good = match bytes[index] {
            b'%' => bytes
                .get(index + 1..index + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            b'.' => index > 0 && index + 1 < bytes.len() && bytes[index - 1] != b'.',
            byte => byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-',
        };
        if !good {
            let character = name[index..].chars().next().unwrap_or(' ');
            let range = at + index..at + index + character.len_utf8();
            return Err(error(
                range,
                format!("`{character}` may not stand here in the name of a variable"),
            ));
        }
        index += if bytes[index] == b'%' { 3 } else { 1 };
    }
    Ok(())
}

impl Operator {
    /// What comes first, what stands between, whether names are written, what an empty value leaves of `name=`, and how values are escaped
    /// (RFC 6570, appendix A).
    fn rules(self) -> (&'static str, &'static str, bool, &'static str, Escape) {
        match self {
            Operator::Simple => ("", ",", false, "", Escape::All),
            Operator::Reserved => ("", ",", false, "", Escape::KeepReserved),
            Operator::Fragment => ("#", ",", false, "", Escape::KeepReserved),
            Operator::Label => (".", ".", false, "", Escape::All),
            Operator::Path => ("/", "/", false, "", Escape::All),
            Operator::Parameters => (";", ";", true, "", Escape::All),
            Operator::Query => ("?", "&", true, "=", Escape::All),
            Operator::Continuation => ("&", "&", true, "=", Escape::All),
        }
    }

    fn expand(
        self,
        variables: &[Variable],
        value: &mut impl FnMut(&str) -> Option<TemplateValue>,
        out: &mut String,
    ) {
        let (first, separator, named, if_empty, escape) = self.rules();
        let mut between = first;
        for variable in variables {
            let Some(value) = value(&variable.name) else {
                continue;
            };
            let items = match value {
                TemplateValue::Text(text) => {
                    let text = match variable.modifier {
                        Modifier::Prefix(length) => text.chars().take(length).collect(),
                        _ => text,
                    };
                    vec![(named.then(|| variable.name.clone()), encode(&text, escape))]
                }
                TemplateValue::List(list) if list.is_empty() => continue,
                TemplateValue::Map(pairs) if pairs.is_empty() => continue,
                TemplateValue::List(list) => {
                    let encoded = list.iter().map(|item| encode(item, escape));
                    match variable.modifier {
                        Modifier::Explode => encoded
                            .map(|item| (named.then(|| variable.name.clone()), item))
                            .collect(),
                        _ => vec![(
                            named.then(|| variable.name.clone()),
                            encoded.collect::<Vec<_>>().join(","),
                        )],
                    }
                }
                TemplateValue::Map(pairs) => {
                    let encoded = pairs
                        .iter()
                        .map(|(key, item)| (encode(key, escape), encode(item, escape)));
                    match variable.modifier {
                        // The keys take the place of the variable's name, whether the operator writes names or not.
                        Modifier::Explode => encoded.map(|(key, item)| (Some(key), item)).collect(),
                        _ => {
                            let flat: Vec<String> = encoded.flat_map(|(key, item)| [key, item]).collect();
                            vec![(named.then(|| variable.name.clone()), flat.join(","))]
                        }
                    }
                }
            };
            for (name, item) in items {
                out.push_str(between);
                between = separator;
                if let Some(name) = name {
                    out.push_str(&name);
                    out.push_str(if item.is_empty() && named { if_empty } else { "=" });
                }
                out.push_str(&item);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// All but the unreserved characters.
    All,
    /// Reserved characters and what is escaped already stay.
    KeepReserved,
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is neither unreserved nor reserved; `%` is looked at by itself.
const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn encode(text: &str, escape: Escape) -> String {
    if escape == Escape::All {
        return utf8_percent_encode(text, UNRESERVED).to_string();
    }
    let mut out = String::with_capacity(text.len());
    for (index, piece) in text.split('%').enumerate() {
        if index > 0 {
            let escaped = piece
                .as_bytes()
                .get(..2)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            out.push_str(if escaped { "%" } else { "%25" });
        }
        out.extend(utf8_percent_encode(piece, ILLEGAL));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of RFC 6570, 3.2.
    fn rfc(name: &str) -> Option<TemplateValue> {
        let text = |text: &str| Some(TemplateValue::Text(text.to_owned()));
        match name {
            "dom" => Some(TemplateValue::List(vec!["example".into(), "com".into()])),
            "dub" => text("me/too"),
            "hello" => text("Hello World!"),
            "half" => text("50%"),
            "var" => text("value"),
            "who" => text("fred"),
            "base" => text("http://example.com/home/"),
            "path" => text("/foo/bar"),
            "v" => text("6"),
            "x" => text("1024"),
            "y" => text("768"),
            "empty" => text(""),
            "list" | "count" => Some(TemplateValue::List(match name {
                "list" => vec!["red".into(), "green".into(), "blue".into()],
                _ => vec!["one".into(), "two".into(), "three".into()],
            })),
            "keys" => Some(TemplateValue::Map(vec![
                ("semi".into(), ";".into()),
                ("dot".into(), ".".into()),
                ("comma".into(), ",".into()),
            ])),
            "empty_keys" => Some(TemplateValue::Map(Vec::new())),
            _ => None,
        }
    }

    fn check(template: &str, expected: &str) {
        let parsed = UriTemplate::parse(template).unwrap();
        assert_eq!(parsed.expand(rfc).unwrap(), expected, "for {template}");
    }

    fn check_error(template: &str, expected: &str) {
        let error = UriTemplate::parse(template).unwrap_err();
        assert_eq!(
            format!("{:?} {}", error.range, error.message),
            expected,
            "for {template}"
        );
    }

    #[test]
    fn the_rfc_examples_come_out_as_the_rfc_says() {
        for (template, expected) in [
            ("{count}", "one,two,three"),
            ("{count*}", "one,two,three"),
            ("{/count}", "/one,two,three"),
            ("{/count*}", "/one/two/three"),
            ("{;count}", ";count=one,two,three"),
            ("{;count*}", ";count=one;count=two;count=three"),
            ("{?count}", "?count=one,two,three"),
            ("{?count*}", "?count=one&count=two&count=three"),
            ("{&count*}", "&count=one&count=two&count=three"),
            ("{var}", "value"),
            ("{hello}", "Hello%20World%21"),
            ("{half}", "50%25"),
            ("O{empty}X", "OX"),
            ("O{undef}X", "OX"),
            ("{x,y}", "1024,768"),
            ("{x,hello,y}", "1024,Hello%20World%21,768"),
            ("?{x,empty}", "?1024,"),
            ("?{x,undef}", "?1024"),
            ("?{undef,y}", "?768"),
            ("{var:3}", "val"),
            ("{var:30}", "value"),
            ("{list}", "red,green,blue"),
            ("{list*}", "red,green,blue"),
            ("{keys}", "semi,%3B,dot,.,comma,%2C"),
            ("{keys*}", "semi=%3B,dot=.,comma=%2C"),
            ("{+var}", "value"),
            ("{+hello}", "Hello%20World!"),
            ("{+half}", "50%25"),
            ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
            ("{+base}index", "http://example.com/home/index"),
            ("O{+empty}X", "OX"),
            ("{+path}/here", "/foo/bar/here"),
            ("here?ref={+path}", "here?ref=/foo/bar"),
            ("up{+path}{var}/here", "up/foo/barvalue/here"),
            ("{+x,hello,y}", "1024,Hello%20World!,768"),
            ("{+path,x}/here", "/foo/bar,1024/here"),
            ("{+path:6}/here", "/foo/b/here"),
            ("{+list}", "red,green,blue"),
            ("{+keys}", "semi,;,dot,.,comma,,"),
            ("{+keys*}", "semi=;,dot=.,comma=,"),
            ("{#var}", "#value"),
            ("{#hello}", "#Hello%20World!"),
            ("{#half}", "#50%25"),
            ("foo{#empty}", "foo#"),
            ("foo{#undef}", "foo"),
            ("{#x,hello,y}", "#1024,Hello%20World!,768"),
            ("{#path,x}/here", "#/foo/bar,1024/here"),
            ("{#keys*}", "#semi=;,dot=.,comma=,"),
            ("{.who}", ".fred"),
            ("{.who,who}", ".fred.fred"),
            ("{.half,who}", ".50%25.fred"),
            ("www{.dom*}", "www.example.com"),
            ("X{.empty}", "X."),
            ("X{.undef}", "X"),
            ("X{.var:3}", "X.val"),
            ("X{.list}", "X.red,green,blue"),
            ("X{.list*}", "X.red.green.blue"),
            ("X{.keys}", "X.semi,%3B,dot,.,comma,%2C"),
            ("X{.keys*}", "X.semi=%3B.dot=..comma=%2C"),
            ("X{.empty_keys}", "X"),
            ("X{.empty_keys*}", "X"),
            ("{/who}", "/fred"),
            ("{/half,who}", "/50%25/fred"),
            ("{/who,dub}", "/fred/me%2Ftoo"),
            ("{/var,empty}", "/value/"),
            ("{/var,undef}", "/value"),
            ("{/var,x}/here", "/value/1024/here"),
            ("{/var:1,var}", "/v/value"),
            ("{/list*,path:4}", "/red/green/blue/%2Ffoo"),
            ("{/keys*}", "/semi=%3B/dot=./comma=%2C"),
            ("{;who}", ";who=fred"),
            ("{;half}", ";half=50%25"),
            ("{;empty}", ";empty"),
            ("{;v,empty,who}", ";v=6;empty;who=fred"),
            ("{;v,bar,who}", ";v=6;who=fred"),
            ("{;x,y,undef}", ";x=1024;y=768"),
            ("{;hello:5}", ";hello=Hello"),
            ("{;keys}", ";keys=semi,%3B,dot,.,comma,%2C"),
            ("{;keys*}", ";semi=%3B;dot=.;comma=%2C"),
            ("{?who}", "?who=fred"),
            ("{?x,y,empty}", "?x=1024&y=768&empty="),
            ("{?x,y,undef}", "?x=1024&y=768"),
            ("{?var:3}", "?var=val"),
            ("{?keys}", "?keys=semi,%3B,dot,.,comma,%2C"),
            ("{?keys*}", "?semi=%3B&dot=.&comma=%2C"),
            ("{&who}", "&who=fred"),
            ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
            ("{&x,y,empty}", "&x=1024&y=768&empty="),
            ("{&var:3}", "&var=val"),
        ] {
            check(template, expected);
        }
    }

    #[test]
    fn a_prefix_counts_characters_and_never_cuts_one() {
        let parsed = UriTemplate::parse("{x:2}").unwrap();
        let expanded = parsed.expand(|_| Some(TemplateValue::Text("zöe".into())));
        assert_eq!(expanded.unwrap(), "z%C3%B6");
    }

    #[test]
    fn mistakes_are_at_their_place() {
        check_error("http://h/{x", "9..11 this `{` is never closed");
        check_error("http://h/x}", "10..11 this `}` closes nothing");
        check_error("a{b{c}", "1..3 this `{` is not closed before the next one opens");
        check_error("a{}", "1..3 there is no variable between these braces");
        check_error("a{b c}", "3..4 ` ` may not stand here in the name of a variable");
        check_error("a{b..c}", "4..5 `.` may not stand here in the name of a variable");
        check_error("a{b,}", "4..5 a variable has no name here");
        check_error("a{b:x}", "4..5 the length of a prefix is a number from 1 to 9999");
        check_error("a{!b}", "2..3 `!` is no operator of a URI template");
    }

    #[test]
    fn a_value_cannot_choose_the_host_that_the_template_names() {
        let expand = |template: &str, value: &str| {
            let value = value.to_owned();
            let parsed = UriTemplate::parse(template).unwrap();
            parsed
                .expand(|_| Some(TemplateValue::Text(value.clone())))
                .map_err(|error| error.variable)
        };
        let refused = Err("x".to_owned());
        assert_eq!(expand("http://host{+x}", ".evil.example/"), refused);
        assert_eq!(expand("http://host{+x}", "@evil.example/"), refused);
        assert_eq!(expand("http://host:80{+x}", "80/"), refused);
        assert_eq!(expand("http://host:{+x}/a", "80@evil.example"), refused);
        assert_eq!(expand("http://api-{+x}.example/", "a.evil/"), refused);
        assert_eq!(expand("http://host{+x}", "/a?b#c").unwrap(), "http://host/a?b#c");
        assert_eq!(
            expand("http://host:{+x}/a", "8080").unwrap(),
            "http://host:8080/a"
        );
        assert_eq!(
            expand("http://api-{+x}.example/", "test").unwrap(),
            "http://api-test.example/"
        );
        assert_eq!(expand("{+x}/a", "http://anywhere").unwrap(), "http://anywhere/a");
        // Percent-encoded, it cannot end the host.
        assert_eq!(
            expand("http://host{x}", "/@:?#\r\n").unwrap(),
            "http://host%2F%40%3A%3F%23%0D%0A"
        );
    }

    #[test]
    fn an_escaped_byte_is_escaped_once_and_a_bare_percent_sign_too() {
        check("a b%20c%zz", "a%20b%20c%25zz");
    }
}
