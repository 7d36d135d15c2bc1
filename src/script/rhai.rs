//! rhai: one engine with every limit set, scripts that are compiled once, and runs that end in time.

use super::given::{self, Given, Name};
use super::js::micros;
use crate::message::json::Json;
use crate::text::{Diagnostic, Placed, Span, suggest};
use rhai::{
    AST, ASTNode, CallFnOptions, Dynamic, Engine, EvalAltResult, Expr, LexError, ParseError, ParseErrorType,
    Position, Scope,
};
use std::cell::{Cell, RefCell};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Steps of one run. A routing expression takes ten or so.
const OPERATIONS: u64 = 100_000;
const STRING: usize = 1 << 20;
/// Elements of arrays and maps, those inside them included; so deep can a value be nested at most.
const ELEMENTS: usize = 1_000;
const CALLS: usize = 32;
const DEPTH: usize = 64;
const FUNCTION_DEPTH: usize = 32;
/// The longest text of a script.
const TEXT: usize = 16 << 10;
/// What one run may print: a loop could fill the log.
const PRINTED: u32 = 20;

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

thread_local! {
    /// What the run that is under way in this thread may see. Lent to it, so that nothing is copied before a script reads it.
    static LENT: RefCell<Option<Given>> = const { RefCell::new(None) };
    static LIMIT: Cell<Option<Limit>> = const { Cell::new(None) };
    static LEFT_TO_PRINT: Cell<u32> = const { Cell::new(0) };
}

/// How long the run that is under way may take.
#[derive(Debug, Clone, Copy)]
struct Limit {
    deadline: Instant,
    time: Duration,
    /// Microseconds of processor time of the thread when the clock was asked first.
    begun: Option<u64>,
}

/// A script, compiled.
#[derive(Debug)]
pub struct Script {
    syntax: AST,
    entry: Entry,
    /// What it reads of what is given, in the order of the parameters if it is a function.
    reads: Vec<Name>,
    text: Placed,
    time: Duration,
}

#[derive(Debug)]
enum Entry {
    /// The whole text; its last expression is the answer.
    Whole,
    Function(String),
}

/// Why a script has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    pub at: Span,
}

impl Script {
    /// Compiles a text whose last expression is its answer. Names that are not given are mistakes.
    pub fn compile(text: &Placed, time: Duration) -> Result<Script, Box<Diagnostic>> {
        check_length(text)?;
        let syntax = compile_with(text, &Name::ALL).map_err(|error| mistake(text, &error))?;
        check_functions(text, &syntax)?;
        let reads = Name::ALL
            .into_iter()
            .filter(|name| {
                // What cannot be compiled without a name reads it.
                let others: Vec<Name> = Name::ALL.into_iter().filter(|other| other != name).collect();
                compile_with(text, &others).is_err()
            })
            .collect();
        Ok(Script {
            syntax,
            entry: Entry::Whole,
            reads,
            text: text.clone(),
            time,
        })
    }

    /// Compiles a file of functions, of which one is run. Its parameters are named after what they get.
    pub fn compile_function(
        text: &Placed,
        function: &str,
        time: Duration,
    ) -> Result<Script, Box<Diagnostic>> {
        check_length(text)?;
        let syntax = compile_with(text, &[]).map_err(|error| mistake(text, &error))?;
        let Some(found) = syntax.iter_functions().find(|known| known.name == function) else {
            let names: Vec<&str> = syntax.iter_functions().map(|known| known.name).collect();
            let help = suggest::did_you_mean(function, names.iter().copied())
                .unwrap_or_else(|| format!("its functions are: {}", names.join(", ")));
            let message = format!("the script has no function `{function}`");
            let start = text.span_of(0..0);
            return Err(Box::new(Diagnostic::error("E0306", start, message).help(help)));
        };
        let mut reads = Vec::new();
        for parameter in &found.params {
            let Some(name) = Name::of(parameter) else {
                let at = text.text.find(&format!("fn {function}")).unwrap_or(0);
                let at = text.text[at..].find(parameter).map_or(at, |inside| at + inside);
                let message = format!("`{function}` asks for `{parameter}`, which is not given");
                let span = text.span_of(at..at + parameter.len());
                return Err(Box::new(
                    Diagnostic::error("E0306", span, message).help(names_help(parameter)),
                ));
            };
            reads.push(name);
        }
        Ok(Script {
            entry: Entry::Function(function.to_owned()),
            syntax,
            reads,
            text: text.clone(),
            time,
        })
    }

    /// Does it look at this? What nobody looks at need not be there.
    pub fn reads(&self, name: Name) -> bool {
        self.reads.contains(&name)
    }

    /// Every text that stands in it, with its place.
    pub fn texts(&self) -> Vec<(String, Span)> {
        let mut texts = Vec::new();
        self.syntax.walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Expr(Expr::StringConstant(text, at))) => {
                    texts.push((text.to_string(), span_at(&self.text, *at)));
                }
                // A map or a list of nothing but constants is one.
                Some(ASTNode::Expr(Expr::DynamicConstant(value, at))) => {
                    let span = span_at(&self.text, *at);
                    let json = given::to_json(value).unwrap_or_default();
                    texts_of(&json, &mut |text| texts.push((text.to_owned(), span)));
                }
                _ => {}
            }
            true
        });
        texts
    }

    /// Runs it. What was lent comes back as it was.
    pub fn run(&self, given: Given) -> (Given, Result<Json, Failure>) {
        let mut scope = Scope::new();
        let values = self.reads.iter().map(|name| name.value(&given));
        let arguments: Vec<Dynamic> = match &self.entry {
            Entry::Whole => {
                for (name, value) in self.reads.iter().zip(values) {
                    scope.push_dynamic(name.word(), value);
                }
                Vec::new()
            }
            Entry::Function(_) => values.collect(),
        };
        LENT.set(Some(given));
        LIMIT.set(Some(Limit {
            deadline: Instant::now() + self.time,
            time: self.time,
            begun: None,
        }));
        LEFT_TO_PRINT.set(PRINTED);
        let answer = match &self.entry {
            Entry::Whole => ENGINE.eval_ast_with_scope::<Dynamic>(&mut scope, &self.syntax),
            Entry::Function(name) => {
                // The top level of the file is no part of the call.
                let options = CallFnOptions::new().eval_ast(false);
                ENGINE.call_fn_with_options::<Dynamic>(options, &mut scope, &self.syntax, name, arguments)
            }
        };
        LIMIT.set(None);
        let answer = match answer {
            Ok(value) => given::to_json(&value).map_err(|what| Failure {
                reason: format!("its answer holds {what}"),
                at: self.text.span,
            }),
            Err(error) => Err(self.failure(&error)),
        };
        let given = LENT.take().expect("it was lent above");
        (given, answer)
    }

    fn failure(&self, error: &EvalAltResult) -> Failure {
        let mut inner = error;
        while let EvalAltResult::ErrorInFunctionCall(_, _, cause, _) = inner {
            inner = cause;
        }
        let reason = match inner {
            EvalAltResult::ErrorTerminated(..) => {
                format!("it ran longer than {} ms", self.time.as_millis())
            }
            EvalAltResult::ErrorTooManyOperations(_) => format!("it took more than {OPERATIONS} steps"),
            EvalAltResult::ErrorStackOverflow(_) => {
                format!("its functions call each other more than {CALLS} deep")
            }
            EvalAltResult::ErrorDataTooLarge(what, _) => format!("it made something too large: {what}"),
            EvalAltResult::ErrorRuntime(thrown, _) => thrown.to_string(),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => {
                format!(
                    "there is no function {}",
                    signature.replace("&str | ImmutableString | String", "string")
                )
            }
            other => {
                let mut bare = other.to_string();
                if let Some(at) = bare.rfind(" (line ") {
                    bare.truncate(at);
                }
                bare
            }
        };
        let at = match inner.position() {
            Position::NONE => error.position(),
            at => at,
        };
        Failure {
            reason: first_line(&reason),
            at: span_at(&self.text, at),
        }
    }
}

/// Looks at what is lent to the run under way.
pub(super) fn with_given<T>(look: impl FnOnce(&Given) -> T) -> Option<T> {
    LENT.with_borrow(|given| given.as_ref().map(look))
}

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_max_operations(OPERATIONS)
        .set_max_string_size(STRING)
        .set_max_array_size(ELEMENTS)
        .set_max_map_size(ELEMENTS)
        .set_max_call_levels(CALLS)
        .set_max_expr_depths(DEPTH, FUNCTION_DEPTH)
        .set_max_variables(200)
        .set_max_functions(100)
        .set_strict_variables(true)
        .disable_symbol("eval");
    // Whoever sleeps holds up everybody on this core.
    let no_sleep = || -> Result<(), Box<EvalAltResult>> { Err("scripts cannot sleep".into()) };
    engine.register_fn("sleep", move |_: rhai::INT| no_sleep());
    engine.register_fn("sleep", move |_: rhai::FLOAT| no_sleep());
    engine.on_progress(|operations| {
        // The clock is asked now and then; asking costs more than an operation.
        (operations % 64 == 0 && is_late()).then_some(Dynamic::UNIT)
    });
    engine.on_print(print);
    engine.on_debug(|text, _, _| print(text));
    given::register(&mut engine);
    engine
}

/// Time in which the thread was not let run does not count: a script cannot sleep.
fn is_late() -> bool {
    let Some(mut limit) = LIMIT.get() else {
        return false;
    };
    let begun = *limit.begun.get_or_insert_with(micros);
    LIMIT.set(Some(limit));
    let used = || Duration::from_micros(micros() - begun);
    Instant::now() > limit.deadline && used() > limit.time
}

fn print(text: &str) {
    let left = LEFT_TO_PRINT.get();
    if left > 0 {
        LEFT_TO_PRINT.set(left - 1);
        tracing::info!(text, "A script printed.");
    }
}

fn compile_with(text: &Placed, names: &[Name]) -> Result<AST, ParseError> {
    let mut scope = Scope::new();
    for name in names {
        scope.push_dynamic(name.word(), Dynamic::UNIT);
    }
    ENGINE.compile_with_scope(&scope, &text.text)
}

/// Functions see their parameters and nothing else; rhai itself finds out only when they run.
fn check_functions(text: &Placed, syntax: &AST) -> Result<(), Box<Diagnostic>> {
    let mut found = None;
    syntax.clone_functions_only().walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::Variable(variable, None, at))) = path.last()
            && variable.0.is_none()
            && let Some(name) = Name::of(&variable.1)
        {
            found.get_or_insert((name.word(), *at));
        }
        found.is_none()
    });
    match found {
        None => Ok(()),
        Some((name, at)) => {
            let message = format!("rhai: a function does not see `{name}`");
            let mistake = Diagnostic::error("E0306", span_at(text, at), message);
            Err(Box::new(mistake.help(format!(
                "give it a parameter `{name}`, and hand it over in the call"
            ))))
        }
    }
}

fn check_length(text: &Placed) -> Result<(), Box<Diagnostic>> {
    let message = if text.text.len() > TEXT {
        format!(
            "a script has {TEXT} bytes at the most, and this one {}",
            text.text.len()
        )
    } else if text.text.trim().is_empty() {
        "a script is expected here, and there is none".to_owned()
    } else {
        return Ok(());
    };
    Err(Box::new(Diagnostic::error("E0306", text.span, message)))
}

fn mistake(text: &Placed, error: &ParseError) -> Box<Diagnostic> {
    let span = span_at(text, error.position());
    let (message, help) = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => (
            format!("there is nothing called `{name}`"),
            Some(names_help(name)),
        ),
        ParseErrorType::BadInput(LexError::MalformedChar(_)) => (
            "this is no text".to_owned(),
            Some("texts stand in double quotes or backticks; single quotes hold one character".to_owned()),
        ),
        other => (first_line(&other.to_string()), None),
    };
    Box::new(Diagnostic::error("E0306", span, format!("rhai: {message}")).maybe_help(help))
}

fn names_help(name: &str) -> String {
    let words = Name::ALL.map(Name::word);
    suggest::did_you_mean(name, words).unwrap_or_else(|| format!("what is given is {}", words.join(", ")))
}

/// The character at a line and a column of the script, in the file.
fn span_at(text: &Placed, at: Position) -> Span {
    let Some(line) = at.line() else {
        return text.span;
    };
    let mut start = 0;
    for _ in 1..line {
        start += text.text[start..].find('\n').map_or(0, |end| end + 1);
    }
    let column = at.position().unwrap_or(1).max(1);
    let mut rest = text.text[start..].char_indices().skip(column - 1);
    match rest.next() {
        Some((offset, character)) => text.span_of(start + offset..start + offset + character.len_utf8()),
        None => text.span_of(text.text.len()..text.text.len()),
    }
}

fn texts_of(json: &Json, tell: &mut impl FnMut(&str)) {
    match json {
        Json::String(text) => tell(text),
        Json::Array(list) => list.iter().for_each(|inner| texts_of(inner, tell)),
        Json::Object(object) => object.values().for_each(|inner| texts_of(inner, tell)),
        _ => {}
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::properties::{Properties, Value};
    use crate::text::{FileId, Sources};
    use http::{HeaderMap, HeaderValue, Method};
    use std::sync::Arc;

    const TIME: Duration = Duration::from_millis(50);

    fn placed(text: &str) -> Placed {
        Placed::verbatim(text, Span::new(FileId(0), 0..text.len()))
    }

    fn given() -> Given {
        let mut headers = HeaderMap::new();
        headers.append("x-region", HeaderValue::from_static("eu"));
        headers.append("x-region", HeaderValue::from_static("us"));
        let mut properties = Properties::default();
        properties.set("country", Value::text("se"));
        properties.set("count", Value::Integer(3));
        properties.set("order", Value::Json(Arc::new(serde_json::json!({"id": 7}))));
        properties.variables.set("tier", Value::text("gold"));
        Given {
            headers,
            properties,
            method: Method::PUT,
            target: Arc::from("/a/b?status=a%20b&status=c&d+e=f"),
            payload: Some(Arc::new(serde_json::json!({
                "order": {"id": 7, "items": [{"sku": "x", "price": 1.5}, {"sku": "y"}], "len": "own"},
                "none": null,
                "list": ["a", "b"],
            }))),
            token: None,
        }
    }

    fn answer(script: &str) -> String {
        let script = match Script::compile(&placed(script), TIME) {
            Ok(script) => script,
            Err(mistake) => return mistake.message,
        };
        match script.run(given()).1 {
            Ok(json) => json.to_string(),
            Err(failure) => format!("{} @{:?}", failure.reason, failure.at.range()),
        }
    }

    fn check(script: &str, expected: &str) {
        assert_eq!(answer(script), expected, "for {script}");
    }

    fn refused(script: &str, expected: &str) {
        let mistake = Script::compile(&placed(script), TIME).map(drop).unwrap_err();
        let mut sources = Sources::default();
        sources.add("a", script);
        let place = sources.place(mistake.span.unwrap());
        let told = format!(
            "{} {}:{} {}",
            mistake.code, place.line, place.column, mistake.message
        );
        assert_eq!(told, expected, "for {script}");
    }

    #[test]
    fn a_script_sees_the_message() {
        check("headers[\"x-region\"]", r#""eu""#);
        check("headers[\"X-Region\"]", r#""eu""#);
        check("headers.host", "null");
        check("headers.host ?? \"none\"", r#""none""#);
        check("\"x-region\" in headers", "true");
        check("query.status + query[\"d e\"]", r#""a bf""#);
        check("path + \" \" + method", r#""/a/b PUT""#);
        check(
            "properties.country + properties.count + properties.order.id",
            r#""se37""#,
        );
        check("vars.tier == \"gold\"", "true");
        check("token", "null");
        check("token?.sub ?? \"nobody\"", r#""nobody""#);
        check(
            "let country = properties.country; `http://${country}/`",
            r#""http://se/""#,
        );
    }

    #[test]
    fn a_payload_is_walked_and_not_copied() {
        check("payload.order.id + 1", "8");
        check(
            "payload.order.items[1].sku + payload.order.items[-1].sku",
            r#""yy""#,
        );
        check("payload.order.items[0].price", "1.5");
        check("payload.order.items.len", "2");
        check("payload.order.items.len()", "2");
        check("payload.order.len", r#""own""#);
        check("payload.missing", "null");
        check("payload.none", "null");
        check("payload.order.items[9]", "null");
        check("\"b\" in payload.list && !(\"c\" in payload.list)", "true");
        check(
            "let all = \"\"; for item in payload.order.items { all += item.sku; } all",
            r#""xy""#,
        );
        check("payload.order.keys().len", "3");
        check("#{a: payload.list}", r#"{"a":["a","b"]}"#);
        check("payload.order?.id", "7");
        check("encode(\"a b/c?d\") + encode(7)", r#""a%20b%2Fc%3Fd7""#);
    }

    #[test]
    fn what_is_lent_comes_back_and_what_nobody_reads_is_known() {
        let script = Script::compile(&placed("let payload = 1; headers.a ?? payload"), TIME).unwrap();
        assert!(script.reads(Name::Headers) && !script.reads(Name::Payload));
        let (given, _) = script.run(given());
        assert_eq!(given.headers.len(), 2);
        assert_eq!(given.properties.text("country").as_deref(), Some("se"));
        let failing = Script::compile(&placed("throw \"no\""), TIME).unwrap();
        assert_eq!(failing.run(given).0.headers.len(), 2);
    }

    #[test]
    fn a_function_of_a_file_gets_what_it_asks_for() {
        let file = "fn other(x) { x + 1 }\nfn pick(vars, path) { vars.tier + path + other(1) }";
        let script = Script::compile_function(&placed(file), "pick", TIME).unwrap();
        assert_eq!(script.run(given()).1, Ok(Json::from("gold/a/b2")));
        let told = |function| {
            let mistake = Script::compile_function(&placed(file), function, TIME)
                .map(drop)
                .unwrap_err();
            format!(
                "{:?} {} {}",
                mistake.span.unwrap().range(),
                mistake.message,
                mistake.help.unwrap_or_default()
            )
        };
        assert_eq!(
            told("pik"),
            "0..0 the script has no function `pik` did you mean `pick`?"
        );
        assert_eq!(
            told("other"),
            "9..10 `other` asks for `x`, which is not given what is given is headers, query, path, method, properties, vars, payload, token"
        );
    }

    #[test]
    fn the_texts_of_a_script_are_known_wherever_they_stand() {
        let texts = |script: &str| {
            let texts = Script::compile(&placed(script), TIME).unwrap().texts();
            texts.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts("#{a: \"x\", b: #{c: [\"y\"]}}"), ["x", "y"]);
        assert!(texts("const A = \"x\"; A + path").contains(&"x".to_owned()));
        assert!(texts("if path == \"p\" { \"q\" } else { `r${path}` }").contains(&"r".to_owned()));
        assert_eq!(texts("\"http://\" + \"h\""), ["http://h"]);
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        refused("headrs.host", "E0306 1:1 rhai: there is nothing called `headrs`");
        refused(
            "let a = 1;\n  if a == { }",
            "E0306 2:14 rhai: Expecting '{' to start a statement block",
        );
        refused("'http://a'", "E0306 1:1 rhai: this is no text");
        refused(" ", "E0306 1:1 a script is expected here, and there is none");
        refused(
            "fn f() { payload } f()",
            "E0306 1:10 rhai: a function does not see `payload`",
        );
        check(
            "1;\n  headers + 1",
            "there is no function + (headers, i64) @13..14",
        );
        check("throw \"no luck\"", "no luck @0..1");
        check("headers", "its answer holds all of `headers` @0..7");
        check("|x| x", "its answer holds a value of the type Fn @0..5");
    }

    /// S-RH-1, RB-11: whatever is tried ends soon, with its reason.
    #[test]
    fn bombs_end_in_time() {
        let nested = format!("{}1{}", "(".repeat(200), ")".repeat(200));
        let long = format!("\"{}\"", "a".repeat(20_000));
        let refusals = [
            ("eval(\"1\")", "eval"),
            ("import \"x\" as y; 1", "import"),
            (nested.as_str(), "complexity"),
            (long.as_str(), "bytes"),
        ];
        for (script, expected) in refusals {
            let start = micros();
            let mistake = Script::compile(&placed(script), TIME).map(drop).unwrap_err();
            assert!(
                mistake.message.contains(expected),
                "{} for {expected}",
                mistake.message
            );
            assert!(micros() - start < 500_000);
        }
        let bombs = [
            ("loop { }", "more than"),
            ("let s = \"x\"; loop { s += s; }", "too large"),
            ("let s = \"x\"; s.pad(1000000000, \"y\"); s", "too large"),
            ("let a = []; loop { a.push(a); }", "too large"),
            ("let a = [1]; a.pad(1000000000, 1); a", "too large"),
            ("let a = 1; loop { a = [a]; }", "too large"),
            (
                "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }",
                "more than",
            ),
            (
                "let n = 0; for i in 0..9223372036854775807 { n += 1; }",
                "more than",
            ),
            ("fn f(n) { f(n + 1) + f(n + 2) } f(0)", "deep"),
            ("sleep(5)", "cannot sleep"),
            ("sleep(5.0)", "cannot sleep"),
            ("9223372036854775807 + 1", "overflow"),
            ("1 << 100000", ""),
            ("blob(1000000000)", "too large"),
            ("let s = \"\"; for i in 0..100000 { print(i); }", "more than"),
            (
                "let s = \"ab\"; for i in 0..18 { s += s; } for i in 0..1000 { s.replace(\"a\", \"bb\"); }",
                "",
            ),
            (
                "let s = \"ab\"; for i in 0..18 { s += s; } s.split(\"a\").len",
                "too large",
            ),
        ];
        let mut wrong = Vec::new();
        for (script, expected) in bombs {
            let start = micros();
            let told = answer(script);
            // On a machine that is busy the time is over before the space is.
            let late = told.contains("ran longer than");
            if !late && !told.contains(expected) {
                wrong.push(format!("{told} for {script}"));
            }
            // Nothing of it waits, so others on the machine need not be counted.
            let used = micros() - start;
            assert!(used < 500_000, "{used} us for {script}");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
