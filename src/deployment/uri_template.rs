//! URI templates and URL mappings as resources of APIs have them: does a path fit, and what do its variables hold?
//!
//! This is Synapse's matching (`commons/templates/uri`, `URLMappingHelper`), not RFC 6570's expansion: one pass from left to right, nothing
//! is tried twice.

use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;

/// Variables of a template that fitted: name, and where its raw value stands in the sub-path.
pub type Variables = SmallVec<[(Arc<str>, Range<usize>); 2]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    source: Arc<str>,
    nodes: Vec<Node>,
    /// It names a query: then no other query fits.
    has_query: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Literal(Box<str>),
    Variables { operator: Operator, names: Vec<Name> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// `{x}`: ends at any reserved character.
    Simple,
    /// `{+x}`: takes reserved characters too.
    Reserved,
    /// `{.x}`
    Label,
    /// `{/x}`
    Path,
    /// `{#x}`
    Fragment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    name: Arc<str>,
    /// `{x:3}`: exactly so many characters.
    length: Option<usize>,
}

/// What is wrong with a template, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateMistake {
    pub range: Range<usize>,
    pub message: String,
    pub help: Option<&'static str>,
}

impl UriTemplate {
    pub fn parse(source: &str) -> Result<UriTemplate, TemplateMistake> {
        let mistake = |range, message: &str, help| {
            Err(TemplateMistake {
                range,
                message: message.to_owned(),
                help,
            })
        };
        // Synapse cuts a slash at the end twice.
        let mut text = source;
        for _ in 0..2 {
            if text.len() > 1 {
                text = text.strip_suffix('/').unwrap_or(text);
            }
        }
        if !text.starts_with('/') {
            return mistake(0..text.len().min(1), "a URI template begins with a slash", None);
        }
        let mut nodes = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some(inner) = rest.strip_prefix('{') {
                let Some(end) = inner
                    .find(['}', '{'])
                    .filter(|end| inner.as_bytes()[*end] == b'}')
                else {
                    return mistake(at..at + 1, "this brace is never closed", None);
                };
                nodes.push(variables(&inner[..end], at + 1)?);
                at += end + 2;
                continue;
            }
            let end = rest.find(['{', '}']).unwrap_or(rest.len());
            if end == 0 {
                return mistake(at..at + 1, "this brace closes nothing", None);
            }
            nodes.push(Node::Literal(as_sent(&rest[..end])));
            at += end;
        }
        let has_query = nodes
            .iter()
            .any(|node| matches!(node, Node::Literal(text) if text.contains('?')));
        Ok(UriTemplate {
            source: Arc::from(source),
            nodes,
            has_query,
        })
    }

    /// As its author wrote it.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The names of its variables.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes
            .iter()
            .flat_map(|node| match node {
                Node::Literal(_) => [].iter(),
                Node::Variables { names, .. } => names.iter(),
            })
            .map(|name| &name.name)
    }

    /// Holds the template against a sub-path with its query.
    pub fn matches(&self, path: &str) -> Option<Variables> {
        let mut variables = Variables::new();
        let end = self.match_from(path, &mut variables)?;
        let rest = &path[end..];
        // Synapse adds one for a slash at the end, so exactly one is forgiven, and none before a query (`Node.matchAll`).
        let whole = rest.is_empty() || rest == "/" || (!self.has_query && end > 0 && rest.starts_with('?'));
        whole.then_some(variables)
    }

    fn match_from(&self, path: &str, variables: &mut Variables) -> Option<usize> {
        let mut at = 0;
        for (index, node) in self.nodes.iter().enumerate() {
            let begin = at;
            let next = self.nodes.get(index + 1);
            at += match node {
                Node::Literal(text) => match_literal(text, &path[at..])?,
                Node::Variables { operator, names } => {
                    match_variables(*operator, names, next, path, at, variables)?
                }
            };
            if at < path.len() {
                continue;
            }
            let Some(next) = next else { return Some(at) };
            match next {
                Node::Literal(text) if matches!(&**text, "*" | "/*") => return Some(at),
                // `?name={x}` fits `?name=`.
                Node::Variables { .. } if path[begin..].contains('=') => {}
                _ => return None,
            }
        }
        Some(at)
    }

    /// A path that fits, with the widest values that its variables can have: for telling which resources hide others.
    fn widest(&self) -> String {
        let mut path = String::new();
        for node in &self.nodes {
            match node {
                Node::Literal(text) => match text.strip_suffix('*') {
                    Some(text) => {
                        path.push_str(text);
                        path.push_str("\u{1}/\u{1}");
                    }
                    None => path.push_str(text),
                },
                Node::Variables { operator, names } => {
                    path.push_str(match operator {
                        Operator::Simple | Operator::Reserved => "",
                        Operator::Label => ".",
                        Operator::Path => "/",
                        Operator::Fragment => "#",
                    });
                    for (index, name) in names.iter().enumerate() {
                        if index > 0 {
                            path.push(operator.separator());
                        }
                        path.push_str(match operator {
                            Operator::Reserved | Operator::Fragment => "\u{1}/\u{1}",
                            _ => "\u{1}",
                        });
                        path.extend(std::iter::repeat_n(
                            '\u{1}',
                            name.length.map_or(0, |length| length.saturating_sub(1)),
                        ));
                    }
                }
            }
        }
        path
    }
}

/// Paths come with their letters beyond ASCII, and spaces, in escapes.
fn as_sent(literal: &str) -> Box<str> {
    const BEYOND: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ');
    percent_encoding::utf8_percent_encode(literal, BEYOND)
        .collect::<String>()
        .into()
}

impl Operator {
    fn separator(self) -> char {
        match self {
            Operator::Label => '.',
            Operator::Path => '/',
            Operator::Simple | Operator::Reserved | Operator::Fragment => ',',
        }
    }

    /// The character that the expression begins with, in a path.
    fn first(self) -> Option<char> {
        match self {
            Operator::Simple | Operator::Reserved => None,
            Operator::Label => Some('.'),
            Operator::Path => Some('/'),
            Operator::Fragment => Some('#'),
        }
    }
}

/// The inside of a pair of braces, which begins at this offset.
fn variables(inside: &str, offset: usize) -> Result<Node, TemplateMistake> {
    let mistake = |range: Range<usize>, message: String, help| {
        Err(TemplateMistake {
            range: offset + range.start..offset + range.end,
            message,
            help,
        })
    };
    let (operator, names) = match inside.chars().next() {
        None => return mistake(0..0, "this expression names no variable".to_owned(), None),
        Some('+') => (Operator::Reserved, &inside[1..]),
        Some('.') => (Operator::Label, &inside[1..]),
        Some('/') => (Operator::Path, &inside[1..]),
        Some('#') => (Operator::Fragment, &inside[1..]),
        Some(operator @ (';' | '?' | '&')) => {
            let help = Some("write the query out, as in `?name={name}`");
            return mistake(0..1, format!("`{{{operator}…}}` cannot be matched"), help);
        }
        Some(_) => (Operator::Simple, inside),
    };
    let mut list = Vec::new();
    let mut at = inside.len() - names.len();
    for piece in names.split(',') {
        let (name, length) = match piece.split_once(':') {
            None => (piece, None),
            Some((name, length)) => match length.parse::<usize>() {
                Ok(length) if length > 0 => (name, Some(length)),
                _ => {
                    return mistake(
                        at..at + piece.len(),
                        "the length after `:` is a number above 0".to_owned(),
                        None,
                    );
                }
            },
        };
        if name.is_empty() {
            return mistake(at..at + piece.len(), "a variable without a name".to_owned(), None);
        }
        let odd = name
            .char_indices()
            .find(|(_, c)| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'));
        if let Some((index, character)) = odd {
            let range = at + index..at + index + character.len_utf8();
            return mistake(
                range,
                format!("`{character}` cannot be in the name of a variable"),
                None,
            );
        }
        list.push(Name {
            name: Arc::from(name),
            length,
        });
        at += piece.len() + 1;
    }
    Ok(Node::Variables {
        operator,
        names: list,
    })
}

/// How much of the path the literal takes. A star at its end takes all.
fn match_literal(text: &str, path: &str) -> Option<usize> {
    match text.strip_suffix('*') {
        Some(text) => path.starts_with(text).then_some(path.len()),
        None => path.starts_with(text).then_some(text.len()),
    }
}

fn match_variables(
    operator: Operator,
    names: &[Name],
    next: Option<&Node>,
    path: &str,
    from: usize,
    variables: &mut Variables,
) -> Option<usize> {
    let mut from = from;
    let mut taken = 0;
    if let Some(first) = operator.first() {
        if !path[from..].starts_with(first) {
            return Some(0);
        }
        from += 1;
        taken = 1;
    }
    let rest = &path[from..];
    if rest.is_empty() {
        return Some(taken);
    }
    let stop = next.and_then(|next| match next {
        Node::Literal(text) => text.chars().next(),
        Node::Variables { operator, .. } => operator.first(),
    });
    let ends = |character: char| {
        let separates = character == operator.separator() && names.len() > 1;
        let reserved = !matches!(operator, Operator::Reserved | Operator::Fragment) && is_reserved(character);
        (reserved || Some(character) == stop) && !separates
    };
    let end = rest.find(ends).unwrap_or(rest.len());
    let value = &rest[..end];
    let fits = match (operator, names) {
        (Operator::Reserved | Operator::Fragment, [name]) => put(name, from..from + end, path, variables),
        _ => put_all(operator, names, value, path, from, variables),
    };
    fits.then_some(taken + end)
}

fn put_all(
    operator: Operator,
    names: &[Name],
    value: &str,
    path: &str,
    from: usize,
    variables: &mut Variables,
) -> bool {
    // Java's split leaves out empty pieces at the end.
    let kept = value.trim_end_matches(operator.separator());
    let mut pieces = kept.split(operator.separator());
    let mut at = from;
    for name in names {
        let piece = pieces.next().unwrap_or("");
        if !put(name, at..at + piece.len(), path, variables) {
            return false;
        }
        at = (at + piece.len() + 1).min(from + value.len());
    }
    pieces.next().is_none()
}

/// A name that stands twice has the same value twice.
fn put(name: &Name, range: Range<usize>, path: &str, variables: &mut Variables) -> bool {
    let value = &path[range.clone()];
    if name
        .length
        .is_some_and(|length| decode(value).chars().count() != length)
    {
        return false;
    }
    match variables.iter().find(|(known, _)| *known == name.name) {
        Some((_, known)) => decode(&path[known.clone()]) == decode(value),
        None => {
            variables.push((Arc::clone(&name.name), range));
            true
        }
    }
}

fn is_reserved(character: char) -> bool {
    matches!(
        character,
        ':' | '/'
            | '?'
            | '#'
            | '['
            | ']'
            | '@'
            | '!'
            | '$'
            | '&'
            | '\''
            | '('
            | ')'
            | '*'
            | '+'
            | ','
            | ';'
            | '='
    )
}

/// What Java's `URLDecoder` makes of it: `+` is a space.
pub fn decode(value: &str) -> String {
    if !value.contains(['%', '+']) {
        return value.to_owned();
    }
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

/// A `url-mapping`, as servlets have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlMapping {
    Exact(Arc<str>),
    /// `/a/b/*`: the segments before the star.
    Prefix(Vec<Box<str>>),
    /// `*.ext`: the dot and what follows.
    Extension(Arc<str>),
}

impl UrlMapping {
    pub fn parse(source: &str) -> UrlMapping {
        if let Some(inner) = source.strip_prefix('/').and_then(|rest| rest.strip_suffix("/*")) {
            return UrlMapping::Prefix(segments(inner).map(Into::into).collect());
        }
        if source == "/*" {
            return UrlMapping::Prefix(Vec::new());
        }
        if let Some(extension) = source.strip_prefix("*.") {
            return UrlMapping::Extension(Arc::from(format!(".{extension}")));
        }
        let exact = if source.len() > 1 {
            source.strip_suffix('/').unwrap_or(source)
        } else {
            source
        };
        UrlMapping::Exact(Arc::from(exact))
    }

    /// How well it fits a sub-path without its query: exact before prefixes, long prefixes before short ones, extensions last.
    pub fn rank(&self, path: &str) -> Option<usize> {
        match self {
            UrlMapping::Exact(exact) => {
                let trimmed = if path == "/" {
                    path
                } else {
                    path.trim_end_matches('/')
                };
                (**exact == *trimmed || (path.is_empty() && **exact == *"/")).then_some(usize::MAX)
            }
            UrlMapping::Prefix(prefix) if prefix.is_empty() => Some(2),
            UrlMapping::Prefix(prefix) => {
                let mut path = segments(path.strip_prefix('/').unwrap_or(path));
                // One segment counts as much as the star alone, as in Synapse.
                prefix
                    .iter()
                    .all(|segment| path.next() == Some(segment))
                    .then_some(prefix.len() + 1)
            }
            UrlMapping::Extension(extension) => path.ends_with(&**extension).then_some(1),
        }
    }
}

/// Java's split: empty pieces at the end do not count.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_end_matches('/').split('/')
}

impl std::fmt::Display for UrlMapping {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UrlMapping::Exact(exact) => out.write_str(exact),
            UrlMapping::Prefix(segments) => {
                for segment in segments {
                    write!(out, "/{segment}")?;
                }
                out.write_str("/*")
            }
            UrlMapping::Extension(extension) => write!(out, "*{extension}"),
        }
    }
}

/// Whether the first, which is tried first, fits every path that the second fits.
pub fn template_hides(first: &UriTemplate, second: &UriTemplate) -> bool {
    // Without a query it takes any query; with one, only its own.
    (second.has_query || !first.has_query) && first.matches(&second.widest()).is_some()
}

pub fn mapping_hides_template(first: &UrlMapping, second: &UriTemplate) -> bool {
    let widest = second.widest();
    let path = widest.split('?').next().unwrap_or("");
    match first {
        UrlMapping::Prefix(_) => first.rank(path).is_some(),
        UrlMapping::Exact(_) | UrlMapping::Extension(_) => {
            !widest.contains('\u{1}') && first.rank(path).is_some()
        }
    }
}

pub fn mapping_hides(first: &UrlMapping, second: &UrlMapping) -> bool {
    first == second
        || (matches!(first, UrlMapping::Prefix(p) if p.is_empty())
            && matches!(second, UrlMapping::Extension(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `no`, or the variables.
    fn check(template: &str, path: &str, expected: &str) {
        let template = UriTemplate::parse(template).expect("a good template");
        let found = match template.matches(path) {
            None => "no".to_owned(),
            Some(variables) => variables
                .iter()
                .map(|(name, range)| format!("{name}={}", decode(&path[range.clone()])))
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(found, expected, "{} against {path}", template.source());
    }

    #[test]
    fn literals_fit_themselves_and_any_query() {
        check("/orders", "/orders", "");
        check("/orders", "/orders?x=1", "");
        check("/orders", "/order", "no");
        check("/orders", "/orders/7", "no");
        check("/", "/", "");
        check("/", "/?x=1", "");
        check("/", "/a", "no");
        check("/größe/{id}", "/gr%C3%B6%C3%9Fe/1", "id=1");
    }

    #[test]
    fn one_slash_at_the_end_is_cut_and_forgiven() {
        check("/orders/", "/orders", "");
        check("/orders", "/orders/", "");
        check("/orders/{id}", "/orders/7/", "id=7");
        check("/orders", "/orders//", "no");
        check("/orders", "/orders/?x=1", "no");
    }

    #[test]
    fn a_variable_stops_at_reserved_characters() {
        check("/orders/{id}", "/orders/7", "id=7");
        check("/orders/{id}", "/orders/7?x=1", "id=7");
        check("/on/{date}", "/on/10:30", "no");
        check("/on/{date}", "/on/a;b", "no");
        check("/on/{date}", "/on/a@b", "no");
        check("/on/{date}", "/on/2024-01-02T10.30", "date=2024-01-02T10.30");
        check("/orders/{id}", "/orders/", "no");
        check("/orders/{id}/lines", "/orders//lines", "id=");
    }

    #[test]
    fn a_variable_stops_at_what_follows_it() {
        check("/{name}.{format}", "/a.b.json", "name=a format=b.json");
        check("/a-{x}-b", "/a-1-b", "x=1");
        check("/{a}/{b}", "/1/2", "a=1 b=2");
    }

    #[test]
    fn values_are_decoded_as_java_does() {
        check("/{x}", "/a%20b", "x=a b");
        check("/{x}", "/%2Fetc", "x=/etc");
        check("/{+x}", "/a+b", "x=a b");
    }

    #[test]
    fn a_plus_takes_reserved_characters_and_the_query() {
        check("/files/{+path}", "/files/a/b/c.txt", "path=a/b/c.txt");
        check("/files/{+path}", "/files/a?x=1", "path=a?x=1");
        check("/files/{+path}/end", "/files/a/end", "path=a");
        check("/files/{+path}/end", "/files/a/b/end", "no");
    }

    #[test]
    fn a_star_at_the_end_takes_the_rest() {
        check("/a/*", "/a/b/c?d", "");
        check("/a/*", "/a/", "");
        check("/a/*", "/a", "no");
        check("/{x}/*", "/a", "x=a");
        check("/{x}/*", "/a/b/c", "x=a");
        check("/*", "/", "");
    }

    #[test]
    fn a_query_in_the_template_must_be_there() {
        check("/a?b={b}", "/a?b=1", "b=1");
        check("/a?b={b}", "/a?b=", "");
        check("/a?b={b}", "/a", "no");
        check("/a?b={b}", "/a?b=1&c=2", "no");
        check("/a?b={b}&c={c}", "/a?b=1&c=2", "b=1 c=2");
        check("/a?b={b}*", "/a?b=1&c=2", "b=1");
    }

    #[test]
    fn other_operators_and_lists() {
        check("/a{/x,y}", "/a/1/2", "x=1 y=2");
        check("/a{.x}", "/a.json", "x=json");
        check("/a{.x}", "/a", "no");
        check("/{a,b}", "/1,2", "a=1 b=2");
        check("/{a,b}", "/1", "a=1 b=");
        check("/{a,b}", "/1,2,3", "no");
        check("/{a:3}", "/abc", "a=abc");
        check("/{a:3}", "/abcd", "no");
        check("/{a}/{a}", "/1/1", "a=1");
        check("/{a}/{a}", "/1/2", "no");
    }

    #[test]
    fn mistakes_have_a_place() {
        for (template, range) in [
            ("orders", 0..1),
            ("/a/{id", 3..4),
            ("/a}", 2..3),
            ("/{}", 2..2),
            ("/{?x}", 2..3),
            ("/{a b}", 3..4),
            ("/{a:x}", 2..5),
            ("/{a,,b}", 4..4),
        ] {
            let mistake = UriTemplate::parse(template).expect_err(template);
            assert_eq!(mistake.range, range, "{template}: {}", mistake.message);
        }
    }

    #[test]
    fn mappings_rank_exact_then_long_then_short_then_extension() {
        let rank = |mapping: &str, path: &str| UrlMapping::parse(mapping).rank(path);
        assert_eq!(rank("/a/b", "/a/b/"), Some(usize::MAX));
        assert_eq!(rank("/a/b/", "/a/b"), Some(usize::MAX));
        assert_eq!(rank("/", ""), Some(usize::MAX));
        assert_eq!(rank("/a/b", "/a/bc"), None);
        assert_eq!(rank("/a/b/*", "/a/b/c"), Some(3));
        assert_eq!(rank("/a/*", "/a/b/c"), Some(2));
        assert_eq!(rank("/a/*", "/a"), Some(2));
        assert_eq!(rank("/a/*", "/ab"), None);
        assert_eq!(rank("/*", "/ab"), Some(2));
        assert_eq!(rank("*.json", "/x/y.json"), Some(1));
        assert_eq!(rank("*.json", "/x/y.xml"), None);
    }

    #[test]
    fn no_path_and_no_template_panics() {
        let mut random = fastrand::Rng::with_seed(7);
        let letters: Vec<char> = "/{}+,.*?=&:#aä%2;|".chars().collect();
        let mut word = |length: usize| -> String {
            (0..random.usize(0..length))
                .map(|_| letters[random.usize(0..letters.len())])
                .collect()
        };
        for _ in 0..20_000 {
            let path = format!("/{}", word(12));
            if let Ok(template) = UriTemplate::parse(&format!("/{}", word(12))) {
                if let Some(variables) = template.matches(&path) {
                    assert!(
                        variables
                            .iter()
                            .all(|(_, range)| path.get(range.clone()).is_some())
                    );
                }
                assert!(
                    !template_hides(&template, &template) || template.matches(&template.widest()).is_some()
                );
            }
            assert!(UrlMapping::parse(&word(8)).rank(&path) != Some(0));
        }
    }
}
