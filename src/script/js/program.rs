//! A script as its author wrote it, made ready for the engine: checked where it stands, wrapped, and with a way back to its lines.

use super::super::e4x;
use super::engine;
use super::members::{Asks, JAVA, JSON_TEXT, MEMBERS, REFUSED, scope_named};
use super::protocol::{Failure, Form, Frame, Scope, Source};
use super::scan::{self, Kind, Token};
use crate::text::{Diagnostic, Placed, Span, suggest};
use boa_engine::ast::scope::Scope as Names;
use boa_engine::interner::Interner;
use boa_engine::parser::{Error as ParseError, Parser};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A script that runs.
#[derive(Debug)]
pub struct Program {
    pub id: u64,
    pub source: Source,
    pub asks: Asked,
    parts: Vec<Placed>,
    /// From here on the text is that of a part: (offset in the text, the part, offset in it).
    pieces: Vec<(usize, usize, usize)>,
}

/// What of a message has to be sent along.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Asked {
    pub default: Which,
    pub axis2: Which,
    pub axis2_client: Which,
    pub transport: Which,
    pub operation: Which,
    pub variables: Which,
    pub entries: Which,
    pub bodies: Vec<Form>,
    pub request: bool,
    pub addressing: bool,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Which {
    pub all: bool,
    pub names: Vec<String>,
}

/// What runs: the text itself, or a function in it.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    Text,
    Function(&'a str, Span),
}

impl Program {
    /// Checks and wraps a script with those that it includes, which run before it. Hints come with a program, mistakes without one.
    pub fn compile(
        includes: &[Placed],
        main: &Placed,
        entry: Entry<'_>,
    ) -> (Option<Program>, Vec<Diagnostic>) {
        let mut told = Vec::new();
        let mut asks = Asked::default();
        let mut assigned: Vec<String> = Vec::new();
        let mut parts: Vec<Placed> = Vec::new();
        let mut xml = false;
        for part in includes.iter().chain([main]) {
            match e4x::rewrite(&part.text) {
                Ok(rewritten) => {
                    xml |= rewritten.changed
                        || scan::tokens(&part.text)
                            .iter()
                            .any(|token| e4x::is_name(&part.text[token.at.clone()]));
                    parts.push(rewritten.placed(part));
                }
                Err(error) => told.push(Diagnostic::error("E0309", part.span_of(error.at), error.message)),
            }
        }
        if has_errors(&told) {
            return (None, told);
        }
        let mut scanned: Vec<Vec<Token>> = parts.iter().map(|part| scan::tokens(&part.text)).collect();
        for (part, tokens) in parts.iter_mut().zip(&mut scanned) {
            if let Err(deep) = scan::check_depth(&part.text, tokens) {
                let span = part.span_of(deep.at);
                let message = format!("this script is nested too deep: {}", deep.reason);
                told.push(Diagnostic::error("E0309", span, message));
                continue;
            }
            if xml
                && let Ok(rewritten) = apart(|| e4x::operators::rewrite(&part.text))
                && rewritten.changed
            {
                *part = rewritten.placed(part);
                *tokens = scan::tokens(&part.text);
            }
            if let Some(quick) = without_busy_wait(part, tokens) {
                *part = quick;
                *tokens = scan::tokens(&part.text);
            }
            check_words(part, tokens, &mut told);
            asks.read(&part.text, tokens);
            for name in scan::assigned(&part.text, tokens) {
                if name != "mc" && !assigned.iter().any(|known| known == name) {
                    assigned.push(name.to_owned());
                }
            }
        }
        if has_errors(&told) {
            return (None, told);
        }
        if let Entry::Function(name, span) = entry {
            let declared = parts
                .iter()
                .zip(&scanned)
                .any(|(part, tokens)| declares(&part.text, tokens, name));
            if !declared {
                let message = format!("the script has no function `{name}`");
                let names = parts
                    .iter()
                    .zip(&scanned)
                    .flat_map(|(part, tokens)| functions(&part.text, tokens));
                let names: Vec<&str> = names.collect();
                let help = suggest::did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match names
                    .as_slice()
                {
                    [] => "write `function mediate(mc) { … }` in it, or name another one with `function`"
                        .to_owned(),
                    names => format!("its functions are: {}", names.join(", ")),
                });
                told.push(Diagnostic::error("E0309", span, message).help(help));
                return (None, told);
            }
        }
        let wants_value = matches!(entry, Entry::Text);
        let parsed = parse_apart(&parts, scanned.last().map_or(&[], Vec::as_slice), wants_value);
        let answer_at = match parsed {
            Ok(answer_at) => answer_at,
            Err((part, at, message)) => {
                let part = &parts[part];
                let end = part.text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
                let help = part.text[at..]
                    .starts_with("return")
                    .then(|| "a script runs to its last line; `return` belongs into a function".to_owned());
                let message = format!("this is no JavaScript: {message}");
                told.push(Diagnostic::error("E0309", part.span_of(at..end), message).maybe_help(help));
                return (None, told);
            }
        };
        (Some(wrap(parts, entry, answer_at, assigned, asks, xml)), told)
    }

    /// Where a frame of the engine stands in the files.
    pub fn span_of(&self, line: u32, column: u32) -> Option<Span> {
        let text = &self.source.text;
        let at = offset(text, line as usize, column as usize)?;
        let piece = self.pieces.iter().rev().find(|(from, ..)| *from <= at)?;
        let (from, part, start) = *piece;
        let part = self.parts.get(part)?;
        let at = start + (at - from);
        // Behind the text stands what calls it.
        if at > part.text.len() {
            return None;
        }
        let end = part.text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
        Some(part.span_of(at..end))
    }

    /// The frames that stand in the script's own text, with the script's own names.
    pub fn frames<'f>(&'f self, failure: &'f Failure) -> impl Iterator<Item = (&'f str, Span)> {
        failure.stack.iter().enumerate().filter_map(|(index, frame)| {
            let Frame {
                function,
                line,
                column,
            } = frame;
            let span = self.span_of(*line, *column)?;
            let name = if function == "<main>" {
                ""
            } else {
                function.as_str()
            };
            let unknown = self.unknown_name(failure, span).filter(|_| index == 0);
            Some((name, unknown.unwrap_or(span)))
        })
    }
}

impl Program {
    /// The engine places a name that nobody declared at the statement before it, or at the member that is asked of it.
    fn unknown_name(&self, failure: &Failure, span: Span) -> Option<Span> {
        let name = failure
            .message
            .strip_prefix("ReferenceError: ")?
            .strip_suffix(" is not defined")?;
        let part = self.parts.iter().find(|part| part.span.file == span.file)?;
        let tokens = scan::tokens(&part.text);
        let found: Vec<(usize, Span)> = tokens
            .into_iter()
            .filter(|token| &part.text[token.at.clone()] == name)
            .map(|token| (token.at.end, part.span_of(token.at)))
            .collect();
        let asked_of = |(end, place): &(usize, Span)| {
            let between = span.start.checked_sub(place.end)? as usize;
            let between = part.text.get(*end..*end + between)?;
            between
                .chars()
                .all(|c| c.is_whitespace() || c == '.' || c == '[')
                .then_some(*place)
        };
        let behind = || {
            found
                .iter()
                .map(|(_, place)| *place)
                .find(|place| place.start >= span.start)
        };
        found.iter().find_map(asked_of).or_else(behind)
    }
}

impl Asked {
    /// For a script that turned out to ask for more than its text says.
    pub fn everything() -> Asked {
        let all = || Which {
            all: true,
            names: Vec::new(),
        };
        Asked {
            default: all(),
            axis2: all(),
            axis2_client: all(),
            transport: all(),
            operation: all(),
            variables: all(),
            entries: all(),
            bodies: vec![Form::Json, Form::Xml, Form::Envelope, Form::Text],
            request: true,
            addressing: true,
        }
    }

    fn read(&mut self, text: &str, tokens: &[Token]) {
        for (index, token) in tokens.iter().enumerate() {
            let word = match token.kind {
                Kind::Word => &text[token.at.clone()],
                Kind::Text => inside(text, token),
                _ => continue,
            };
            for member in MEMBERS {
                // Of `mc.soap.value` it is `soap` that tells.
                let name = member
                    .name
                    .strip_prefix("mc.")
                    .and_then(|name| name.split('.').next());
                if member.asks != Asks::Nothing && name == Some(word) {
                    self.note(member.asks, text, &tokens[index + 1..]);
                }
            }
        }
    }

    fn note(&mut self, asks: Asks, text: &str, behind: &[Token]) {
        match asks {
            Asks::Nothing | Asks::Flags => {}
            Asks::Property => {
                let Some(first) = first_argument(text, behind) else {
                    self.default.all = true;
                    return;
                };
                match behind.get(2).map(|token| &text[token.at.clone()]) {
                    Some(",") => match behind.get(3) {
                        Some(token) if token.kind == Kind::Text => {
                            if let Some(scope) = scope_named(inside(text, token)) {
                                self.scope(scope).add(first, scope);
                            }
                        }
                        _ => {
                            *self = Asked {
                                bodies: self.bodies.clone(),
                                ..Asked::everything()
                            }
                        }
                    },
                    _ => self.default.add(first, Scope::Default),
                }
            }
            Asks::Properties => self.default.all = true,
            Asks::Variable => match first_argument(text, behind) {
                Some(first) => self.variables.add(first, Scope::Variable),
                None => self.variables.all = true,
            },
            Asks::Variables => self.variables.all = true,
            Asks::Entry => match first_argument(text, behind) {
                Some(first) => self.entries.add(first, Scope::Default),
                None => self.entries.all = true,
            },
            Asks::Body(form) => {
                if !self.bodies.contains(&form) {
                    self.bodies.push(form);
                }
            }
            Asks::JsonText => {
                self.default.add(JSON_TEXT, Scope::Default);
                self.note(Asks::Body(Form::Json), text, behind);
            }
            Asks::Headers => self.transport.all = true,
            Asks::Request => self.request = true,
            Asks::Addressing => self.addressing = true,
        }
    }

    fn scope(&mut self, scope: Scope) -> &mut Which {
        match scope {
            Scope::Default => &mut self.default,
            Scope::Axis2 => &mut self.axis2,
            Scope::Axis2Client => &mut self.axis2_client,
            Scope::Transport => &mut self.transport,
            Scope::Operation => &mut self.operation,
            Scope::Variable => &mut self.variables,
        }
    }
}

impl Which {
    fn add(&mut self, name: &str, scope: Scope) {
        let name = match scope {
            Scope::Transport => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        };
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

/// `("name"` and then `,` or `)`.
fn first_argument<'t>(text: &'t str, behind: &[Token]) -> Option<&'t str> {
    let [open, name, next, ..] = behind else {
        return None;
    };
    let ends = matches!(&text[next.at.clone()], "," | ")");
    (&text[open.at.clone()] == "(" && name.kind == Kind::Text && ends).then(|| inside(text, name))
}

/// A text without its quotes.
fn inside<'t>(text: &'t str, token: &Token) -> &'t str {
    &text[token.at.start + 1..token.at.end - 1]
}

/// Words that a script may be refused for before it ever runs.
fn check_words(part: &Placed, tokens: &[Token], told: &mut Vec<Diagnostic>) {
    let text = &part.text;
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.at.clone()]);
    for (index, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.kind == Kind::Word)
    {
        let before = word(index.wrapping_sub(1));
        let next = word(index + 1);
        let name = word(index);
        let span = || part.span_of(token.at.clone());
        if before != "." && before != "?." && next != ":" {
            if let Some((_, advice)) = JAVA.iter().find(|(known, _)| *known == name) {
                let package = !matches!(name, "java" | "Java" | "Polyglot" | "javax" | "org") || next == ".";
                let own = declares(text, tokens, name);
                if package && !own {
                    // `java.util.UUID`: the whole name is shown.
                    let mut last = index;
                    while word(last + 1) == "."
                        && tokens.get(last + 2).is_some_and(|token| token.kind == Kind::Word)
                    {
                        last += 2;
                    }
                    let range = token.at.start..tokens[last].at.end;
                    let message = format!("`{}` is Java", &text[range.clone()]);
                    told.push(Diagnostic::error("E0310", part.span_of(range), message).help(*advice));
                }
            }
            if matches!((name, next), ("eval", "(")) || (name, before) == ("Function", "new") {
                told.push(
                    Diagnostic::error("E0310", span(), format!("`{name}` is switched off in scripts"))
                        .help("a script runs what is written in it; `JSON.parse` reads JSON"),
                );
            }
        }
        if before == "." && word(index.wrapping_sub(2)) == "mc" && word(index.wrapping_sub(3)) != "." {
            if let Some((_, advice)) = REFUSED.iter().find(|(known, _)| *known == name) {
                let message = format!("`mc.{name}` is not there");
                told.push(Diagnostic::error("E0310", span(), message).help(*advice));
            } else if !is_member(name) && next == "(" {
                let names = MEMBERS
                    .iter()
                    .filter_map(|member| member.name.strip_prefix("mc."));
                let help = suggest::did_you_mean(name, names)
                    .unwrap_or_else(|| "`myelin explain mc` lists what there is".to_owned());
                told.push(
                    Diagnostic::warning("W0310", span(), format!("there is no `mc.{name}`")).help(help),
                );
            }
        }
    }
}

/// API Manager writes a `sleepFor` of its own into scripts that simulate latency, which goes round until the time has come. That would keep a worker
/// busy, and end at its deadline; under another name it leaves the calls to the `sleepFor` that scripts are given.
fn without_busy_wait(part: &Placed, tokens: &[Token]) -> Option<Placed> {
    let text = &part.text;
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.at.clone()]);
    let at = (0..tokens.len())
        .find(|index| word(*index) == "function" && word(index + 1) == SLEEP && word(index + 2) == "(")?;
    let opens = (at + 3..tokens.len()).find(|index| word(*index) == "{")?;
    let depth = tokens[opens].depth;
    let body = (opens + 1..tokens.len()).take_while(|index| tokens[*index].depth > depth);
    let words: Vec<&str> = body.map(word).collect();
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    if !has(&["while", "for", "do"]) || !has(&["getTime", "now"]) {
        return None;
    }
    let name = tokens[at + 1].at.clone();
    let mut quick = part.slice(0..name.start);
    quick.push("sleepFor$", part.span_of(name.start..name.start).start as usize);
    quick.append(&part.slice(name.end..text.len()));
    quick.span = part.span;
    Some(quick)
}

const SLEEP: &str = "sleepFor";

fn is_member(name: &str) -> bool {
    matches!(name, "store" | "soap")
        || MEMBERS
            .iter()
            .any(|member| member.name.strip_prefix("mc.") == Some(name))
}

fn declares(text: &str, tokens: &[Token], name: &str) -> bool {
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.at.clone()]);
    (0..tokens.len()).any(|index| {
        word(index) == name
            && (matches!(
                word(index.wrapping_sub(1)),
                "function" | "var" | "let" | "const" | "*"
            ) || (word(index + 1) == "=" && word(index.wrapping_sub(1)) != "."))
    })
}

fn functions<'t>(text: &'t str, tokens: &'t [Token]) -> impl Iterator<Item = &'t str> {
    tokens.windows(2).filter_map(move |pair| {
        let named = &text[pair[0].at.clone()] == "function" && pair[1].kind == Kind::Word;
        named.then(|| &text[pair[1].at.clone()])
    })
}

fn has_errors(told: &[Diagnostic]) -> bool {
    told.iter()
        .any(|mistake| mistake.severity == crate::text::Severity::Error)
}

/// Where the last statement begins, if it is an expression; or the part that is wrong, the place in it and the reason.
type Parsed = Result<Option<usize>, (usize, usize, String)>;

fn parse_apart(parts: &[Placed], last_tokens: &[Token], wants_value: bool) -> Parsed {
    let work = || {
        for (index, part) in parts.iter().enumerate() {
            parse(&part.text).map_err(|(at, message)| (index, at, message))?;
        }
        let last = parts.last().map_or("", |part| part.text.as_str());
        Ok(if wants_value {
            last_expression(last, last_tokens)
        } else {
            None
        })
    };
    match apart(work) {
        Ok(parsed) => parsed,
        Err(reason) => Err((0, 0, reason)),
    }
}

/// Works on a thread of its own, whose stack is large enough for whatever `scan::check_depth` lets through.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("script-check".to_owned())
            .stack_size(engine::THREAD_STACK)
            .spawn_scoped(scope, work);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err("the parser gave up".to_owned()),
            Err(error) => Err(format!("there is no room to look at it: {error}")),
        }
    })
}

fn parse(text: &str) -> Result<(), (usize, String)> {
    let mut parser = Parser::new(boa_engine::Source::from_bytes(text));
    let parsed = parser.parse_script(&Names::new_global(), &mut Interner::default());
    parsed.map(drop).map_err(|error| {
        let place = match &error {
            ParseError::Expected { span, .. } | ParseError::Unexpected { span, .. } => Some(span.start()),
            ParseError::General { position, .. } => Some(*position),
            ParseError::Lex { err } => match err {
                boa_engine::parser::lexer::Error::Syntax(_, position) => Some(*position),
                boa_engine::parser::lexer::Error::IO(_) => None,
            },
            _ => None,
        };
        let at = place
            .and_then(|place| offset(text, place.line_number() as usize, place.column_number() as usize));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = match message {
            "abrupt end" => "it ends too early; a bracket is not closed",
            other => other,
        };
        (at.unwrap_or(text.len()), message.to_owned())
    })
}

/// Words that begin a statement that is no expression.
const STATEMENTS: &[&str] = &[
    "var", "let", "const", "function", "class", "if", "for", "while", "do", "switch", "try", "throw",
    "return", "break", "continue", "with", "import", "export", "debugger", "async", "else", "catch",
    "finally", "case", "default", "{", "}", ";", ")", "]",
];

/// A script's own value is that of its last statement. Found by trial: what stands before has to be a script, and the rest an expression.
fn last_expression(text: &str, tokens: &[Token]) -> Option<usize> {
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.at.clone()]);
    let mut end = tokens.len();
    while end > 0 && word(end - 1) == ";" {
        end -= 1;
    }
    let mut trials = 0;
    for index in (0..end).rev() {
        let token = &tokens[index];
        let before = word(index.wrapping_sub(1));
        let first = word(index);
        let continues = token.kind == Kind::Sign && !matches!(first, "!" | "~")
            || token.kind == Kind::OtherText && first.starts_with('`')
            || matches!(first, "in" | "of" | "instanceof");
        let begins = token.depth == 0
            && (index == 0 || before == ";" || (!continues && (token.on_new_line || before == "}")));
        if !begins {
            continue;
        }
        trials += 1;
        if trials > 8 {
            return None;
        }
        let start = token.at.start;
        if parse(&text[..start]).is_err() {
            continue;
        }
        if STATEMENTS.contains(&first) {
            return None;
        }
        let rest = format!("({}\n)", &text[start..tokens[end - 1].at.end]);
        if parse(&rest).is_ok() {
            return Some(start);
        }
    }
    None
}

fn wrap(
    parts: Vec<Placed>,
    entry: Entry<'_>,
    answer_at: Option<usize>,
    assigned: Vec<String>,
    asks: Asked,
    xml: bool,
) -> Program {
    let mut text = "/*assigned*/;return function(mc){\n".to_owned();
    let mut pieces = Vec::new();
    let last = parts.len() - 1;
    for (index, part) in parts.iter().enumerate() {
        match answer_at.filter(|_| index == last) {
            Some(at) => {
                pieces.push((text.len(), index, 0));
                text.push_str(&part.text[..at]);
                text.push_str("return ");
                pieces.push((text.len(), index, at));
                text.push_str(&part.text[at..]);
            }
            None => {
                pieces.push((text.len(), index, 0));
                text.push_str(&part.text);
            }
        }
        text.push('\n');
    }
    if let Entry::Function(name, _) = entry {
        text.push_str(";return ");
        text.push_str(name);
        text.push_str(".apply(undefined,arguments)\n");
    }
    text.push('}');
    let source = Source { text, assigned, xml };
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    Program {
        id: hasher.finish(),
        source,
        asks,
        parts,
        pieces,
    }
}

/// The byte of a line and column, both counted from 1, columns in characters.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find(['\n', '\r', '\u{2028}', '\u{2029}'])?;
        let rest = &text[start..];
        start += if rest.starts_with("\r\n") {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
    }
    let rest = &text[start..];
    let inside = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(rest.len(), |(at, _)| at);
    Some(start + inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sources;

    fn compile(text: &str) -> (Option<Program>, Vec<String>) {
        let mut sources = Sources::default();
        let file = sources.add("a.js", text);
        let placed = Placed::verbatim(text, Span::new(file, 0..text.len()));
        let (program, told) = Program::compile(&[], &placed, Entry::Text);
        let told = told.iter().map(|mistake| {
            let place = sources.place(mistake.span.expect("it has a place"));
            format!("{}:{} {}", place.line, place.column, mistake.message)
        });
        (program, told.collect())
    }

    fn refused(text: &str) -> String {
        let (program, told) = compile(text);
        assert!(program.is_none(), "{text}");
        told.join("; ")
    }

    #[test]
    fn a_mistake_is_told_at_its_line_and_column() {
        assert!(
            refused("var a = 1;\nvar b = ;").starts_with("2:9 this is no JavaScript"),
            "{}",
            refused("var a = 1;\nvar b = ;")
        );
        assert!(
            refused("if (a) {\n").contains("ends too early"),
            "{}",
            refused("if (a) {\n")
        );
        assert!(refused("}); evil(); (function(){").contains("no JavaScript"));
        assert!(refused("'abc").starts_with("1:"), "{}", refused("'abc"));
    }

    #[test]
    fn java_is_refused_where_it_stands() {
        assert_eq!(
            refused("var id =\n  java.util.UUID.randomUUID();"),
            "2:3 `java.util.UUID.randomUUID` is Java"
        );
        assert_eq!(
            refused("importClass(Packages.x.Y)"),
            "1:1 `importClass` is Java; 1:13 `Packages.x.Y` is Java"
        );
        assert_eq!(
            refused("mc.getEnvironment()"),
            "1:4 `mc.getEnvironment` is not there"
        );
        assert_eq!(
            refused("var s = Java.type('java.io.File');"),
            "1:9 `Java.type` is Java"
        );
        assert_eq!(refused("eval('1')"), "1:1 `eval` is switched off in scripts");
        let (program, told) = compile("var org = {a: 1}; org.a; var x = {java: 1}.java; mc.getPropertY('a')");
        assert!(program.is_some());
        assert_eq!(told, ["1:53 there is no `mc.getPropertY`"]);
    }

    #[test]
    fn the_value_of_a_script_is_that_of_its_last_statement() {
        for (text, value) in [
            ("a = 1; false", "false"),
            (
                "a = 1;\nmc.getProperty('b') == null;\n// end\n",
                "mc.getProperty('b') == null;\n// end\n",
            ),
            ("var a = function(){}\nb", "b"),
            ("a\n+ 1", "a\n+ 1"),
            ("if (a) { b } else { c }", ""),
            ("if (a)\n  b();", ""),
            ("if (a) b();\nelse\n  c();", ""),
            ("var a = 1;", ""),
            ("for (;;)\n a()", ""),
            ("{ a }", ""),
            ("x = {\n a: 1\n}", "x = {\n a: 1\n}"),
        ] {
            let program = compile(text).0.expect(text);
            let returned = program.source.text.split("return ").nth(2);
            let returned = returned.map_or("", |rest| rest.strip_suffix("\n}").expect("it is wrapped"));
            assert_eq!(returned, value, "{text}");
        }
    }

    #[test]
    fn a_script_gets_what_its_text_asks_for() {
        let asks = compile(
            "var a = mc.getProperty('uri.var.id'); mc.getProperty(\"X-A\", 'transport'); mc.getPayloadJSON()",
        )
        .0
        .expect("a script")
        .asks;
        let which = |name: &str| Which {
            all: false,
            names: vec![name.to_owned()],
        };
        let expected = Asked {
            default: which("uri.var.id"),
            transport: which("x-a"),
            bodies: vec![Form::Json],
            ..Asked::default()
        };
        assert_eq!(asks, expected);
        assert!(compile("mc.getProperty(a)").0.expect("a script").asks.default.all);
        assert_eq!(
            compile("mc.setProperty('a', 'b')").0.expect("a script").asks,
            Asked::default()
        );
        assert!(
            compile("mc.getProperty('a', b)")
                .0
                .expect("a script")
                .asks
                .axis2
                .all
        );
    }

    #[test]
    fn a_frame_leads_back_to_the_file() {
        let program = compile("var a = 1;\nfoo.bar()").0.expect("a script");
        let span = program.span_of(3, 12).expect("it is in the text");
        assert_eq!(span.range(), 15..16);
    }
}
