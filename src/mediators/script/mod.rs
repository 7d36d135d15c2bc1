//! `<script>`: JavaScript between two steps, apart from the gateway; or rhai, in place.

mod changes;
mod in_place;
mod snapshot;

use super::typed;
use crate::expression::Expression;
use crate::flow::{Exchange, Fault, Flow, Mediator, Origin, Outcome, fault};
use crate::message::media_type::Form;
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::message::xml::{Event, Reader, XmlLimits};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape, Support};
use crate::script::js::{self, Answered, Asked, Change, Datum, Ended, Entry, NoAnswer, Program};
use crate::text::{Diagnostic, Placed, Span};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub static KIND: MediatorKind = MediatorKind {
    element: "script",
    summary: "Runs JavaScript on the message.",
    notes: "The script stands inside, best in CDATA, or in the file or entry that `key` names; then its function is called with `mc` and the \
        `inputs`; a file that is an XML element holds the script as its text. `myelin explain mc` lists everything that `mc` can do. All the words for JavaScript (`js`, `rhinoJs`, `nashornJs`, `graalJs`) \
        mean the same engine (ES2020 and more, with the XML of E4X).\n\n\
        XML can be written as XML (`<a>{b}</a>`, what braces give is escaped) and read with `x.child`, `x..name`, `x.@id`, `x.*::name`, \
        `x.item.(@id == 3)` and `for each`: this is E4X, as Rhino had it, rewritten when the script is loaded. `myelin explain mc` lists its forms.\n\n\
        A script whose value is the Boolean `false` ends the flow: the client gets 202 with an empty body. The value of a script that stands \
        inside is that of its last statement, if that is an expression. An error that nobody catches is a fault with the code 0, and its \
        detail names the line in your file.\n\n\
        Scripts run in processes of their own, started by the gateway, without files, network or environment. A script that takes longer than \
        `script.deadline` (1s) or more than `script.memory` (256 MiB) is killed, and its request gets a fault; no other request notices. \
        Where a busy machine lets it run for less than a quarter of that time, it is waited for, ten times as long at the most. \
        Nothing that a script changes in its surroundings is there at the next request: `mc.store` is the place for what should be.\n\n\
        What a script answers is remembered: where it is given the same again (all of the message that its text asks for), the same changes and log lines come without \
        a run. A run that asked for the time, `Math.random`, `uuid` or `mc.store` is not remembered, nor one that failed. `script.remember = false` switches it off.\n\n\
        With `--script-isolation thread` scripts run inside the gateway: quicker, and a script that harms its process harms the gateway. They run on a thread of their own, and in the one that serves the request once they were quick (half a millisecond) sixteen times in a row.\n\n\
        `language=\"rhai\"` runs a rhai script in place; it sees what `<dynamic>` gives to its scripts, and its value, an object or a list, \
        becomes the JSON body, or goes where `target` says.",
    differences: "Strings are strings of JavaScript, in every engine's name. `setPayloadJSON` takes a string for JSON text and checks it. `java.*` is not there. \
        `getProperty` takes a scope. The value of a script that ends with `if`, a loop or a declaration is not looked at. What the language itself has (`String.prototype` and the like) cannot be changed or extended: it belongs to all scripts. `target` works for scripts inside too. \
        `getPayloadXML` and `getEnvelopeXML` give E4X values under every engine's name, and those have the methods of strings. `toXMLString` does not indent unless \
        `XML.prettyPrinting` is set. `default xml namespace` holds until the script ends. A filter is no target of `delete`; its members are: `delete x.a.(@b == 1)[0]`.",
    attributes: ATTRIBUTES,
    children: CHILDREN,
    build,
    examples: &[
        Example::new(
            "Answer with JSON, as a mock does",
            r#"<script language="js"><![CDATA[
    mc.setPayloadJSON({id: Number(mc.query.id), name: 'Rex'});
    mc.setProperty('HTTP_SC', '201', 'axis2');
    mc.setProperty('messageType', 'application/json', 'axis2');
]]></script>"#,
            "GET /pets?id=7",
            "continues\naxis2 HTTP_SC = 201\nheader Content-Type = application/json\nbody {\"id\":7,\"name\":\"Rex\"}",
        ),
        Example::new(
            "Change the body that came",
            r#"<script language="rhinoJs"><![CDATA[
    var pet = mc.getPayloadJSON();
    pet.name = pet.name.toUpperCase();
    mc.setPayloadJSON(pet);
]]></script>"#,
            "POST /pets\nContent-Type: application/json\n\n{\"name\": \"Rex\", \"age\": 3}",
            "continues\nbody {\"name\":\"REX\",\"age\":3}",
        ),
        Example::new(
            "Read XML and write XML",
            r#"<script language="rhinoJs"><![CDATA[
    var code = mc.getPayloadXML()..*::Code.toString();
    mc.setPayloadXML(
        <q:getQuote xmlns:q="urn:quotes">
            <q:symbol>{code}</q:symbol>
        </q:getQuote>);
]]></script>"#,
            "POST /quotes\nContent-Type: application/xml\n\n<c:CheckPrice xmlns:c=\"urn:shop\"><c:Code>A&amp;B</c:Code></c:CheckPrice>",
            "continues\nbody <q:getQuote xmlns:q=\"urn:quotes\"><q:symbol>A&amp;B</q:symbol></q:getQuote>",
        ),
        Example::new(
            "Call a function in a file, with arguments, and keep what it gives",
            r#"<script language="js" key="scripts/sum.js" function="add" target="variable" target-variable="sum">
    <include key="scripts/numbers.js"/>
    <inputs>
        <argument name="first" type="INTEGER" value="40"/>
        <argument name="second" type="INTEGER" expression="json-eval($.n)"/>
    </inputs>
</script>"#,
            "POST /sums\nContent-Type: application/json\n\n{\"n\": 2}",
            "continues\nvariable sum = 42",
        )
        .beside(
            "<localEntry key=\"scripts/sum.js\"><![CDATA[function add(mc, first, second) { return whole(first + second); }]]></localEntry>\n\
             <localEntry key=\"scripts/numbers.js\"><![CDATA[function whole(number) { return Math.floor(number); }]]></localEntry>",
        ),
        Example::new(
            "Compute a body in place with rhai",
            r#"<script language="rhai">#{ "tenant": headers["x-tenant"], "twice": payload.n * 2 }</script>"#,
            "POST /twice\nContent-Type: application/json\nX-Tenant: blue\n\n{\"n\": 21}",
            "continues\nbody {\"tenant\":\"blue\",\"twice\":42}",
        ),
    ],
};

const ATTRIBUTES: &[Attr] = &[
    Attr::required(
        "language",
        Shape::Text,
        "`js`, `rhinoJs`, `nashornJs` or `graalJs` for JavaScript; `rhai`.",
    ),
    Attr::optional(
        "key",
        Shape::Entry,
        "A file, local entry or registry resource that holds the script.",
    ),
    Attr::optional(
        "function",
        Shape::Text,
        "What is called in it, with `mc` and the inputs.",
    )
    .default("mediate"),
    Attr::optional(
        "target",
        Shape::Choice(&["body", "variable", "none"]),
        "Where the value of the script goes. Without it only a Boolean counts.",
    ),
    Attr::optional(
        "target-variable",
        Shape::Text,
        "The variable for `target=\"variable\"`.",
    ),
];

pub(super) const INCLUDE: Child = Child::optional(
    "include",
    &[Attr::required(
        "key",
        Shape::Entry,
        "A file, local entry or registry resource.",
    )],
    Children::NONE,
    "A script that runs before this one.",
)
.many();

const CHILDREN: Children = Children::of(&[
    INCLUDE,
    Child::optional(
        "inputs",
        &[],
        Children::of(&[Child::optional(
            "argument",
            ARGUMENT,
            Children::NONE,
            "One argument, in their order.",
        )
        .many()]),
        "What the function gets after `mc`.",
    ),
])
.or_text();

const TYPES: &[&str] = &["STRING", "BOOLEAN", "INTEGER", "LONG", "DOUBLE", "JSON", "XML"];

const ARGUMENT: &[Attr] = &[
    Attr::optional("name", Shape::Text, "For readers; the order counts."),
    Attr::optional("type", Shape::Choice(TYPES), "What the text is converted to.").default("STRING"),
    Attr::optional("value", Shape::Text, "A constant."),
    Attr::optional("expression", Shape::Expression, "Gives the value."),
];

/// JavaScript, ready to run on messages.
pub struct Script {
    program: Program,
    arguments: Vec<Argument>,
    target: Target,
    /// As Synapse's errors name it.
    words: String,
}

enum Argument {
    Constant(Datum),
    Computed(Expression, Option<typed::Type>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Only a Boolean counts.
    Flow,
    Body,
    Variable(String),
    Nothing,
}

const JAVASCRIPT: &[&str] = &["js", "rhinojs", "nashornjs", "graaljs", "javascript"];

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let language = element.attribute("language")?.value.trimmed();
    let is_rhai = language.text.eq_ignore_ascii_case("rhai");
    if !is_rhai && !is_javascript(&language.text) {
        return refused(&language, planner);
    }
    let target = target(element, planner);
    let arguments = arguments(element, planner);
    let main = main(element, planner)?;
    let function = element
        .attribute("function")
        .map(|function| function.value.trimmed());
    if is_rhai {
        if let Some(inputs) = element.child("inputs").or(element.child("include")) {
            planner.mistake(
                "E0210",
                inputs.span,
                "a rhai script takes neither inputs nor includes",
            );
            return None;
        }
        return in_place::build(&main, function.as_ref(), target?, planner);
    }
    let name = function
        .as_ref()
        .map_or("mediate", |function| function.text.as_str());
    let entry = match element.attribute("key") {
        Some(key) => Entry::Function(
            name,
            function.as_ref().map_or(key.value.span, |function| function.span),
        ),
        None => Entry::Text,
    };
    let words = match element.get("key") {
        Some(_) => format!("the external {} script function {name}", language.text),
        None => format!("the inlined {} script function mediate", language.text),
    };
    let script = Script::compile(&includes(element, planner)?, &main, entry, words, planner)?;
    Some(Box::new(Script {
        arguments: arguments?,
        target: target?,
        ..script
    }))
}

/// The scripts that run before this one.
pub(super) fn includes(element: &Element, planner: &mut Planner<'_>) -> Option<Vec<Placed>> {
    let mut includes = Vec::new();
    for include in element.all("include") {
        includes.push(stored(&include.attribute("key")?.value.clone(), planner)?);
    }
    Some(includes)
}

/// Whether scripts in this language are JavaScript.
pub(super) fn is_javascript(language: &str) -> bool {
    JAVASCRIPT.contains(&language.trim().to_ascii_lowercase().as_str())
}

pub(super) fn refused<T>(language: &Placed, planner: &mut Planner<'_>) -> Option<T> {
    let name = match language.text.to_ascii_lowercase().as_str() {
        "groovy" => "Groovy",
        "rb" | "ruby" | "jruby" => "Ruby",
        "py" | "python" | "jython" => "Python",
        _ => {
            let words = JAVASCRIPT.iter().copied().chain(["rhai"]);
            let help = crate::text::suggest::did_you_mean(&language.text, words)
                .unwrap_or_else(|| "write language=\"js\"".to_owned());
            planner.tell(
                Diagnostic::error(
                    "E0203",
                    language.span,
                    format!("`{}` is no language of scripts", language.text),
                )
                .help(help),
            );
            return None;
        }
    };
    let advice = "rewrite it in JavaScript (language=\"js\"): `mc` is the same";
    planner.compat.met(
        format!("script@language={}", language.text),
        Support::Refused(advice),
        language.span,
    );
    planner.tell(
        Diagnostic::error(
            "E0505",
            language.span,
            format!("scripts in {name} are not supported"),
        )
        .help(advice),
    );
    None
}

fn target(element: &Element, planner: &mut Planner<'_>) -> Option<Target> {
    let variable = element.attribute("target-variable");
    let target = match element.get("target").map(|word| word.trim().to_ascii_lowercase()) {
        None => Target::Flow,
        Some(word) if word == "body" => Target::Body,
        Some(word) if word == "variable" => match variable {
            Some(name) => return planner.resolved(&name.value.clone()).map(Target::Variable),
            None => {
                let message = "target=\"variable\" needs a `target-variable`";
                planner.mistake("E0210", element.span, message);
                return None;
            }
        },
        Some(_) => Target::Nothing,
    };
    if let Some(variable) = variable {
        let message = "`target-variable` needs target=\"variable\" beside it";
        planner.mistake("E0210", variable.name_span, message);
        return None;
    }
    Some(target)
}

fn arguments(element: &Element, planner: &mut Planner<'_>) -> Option<Vec<Argument>> {
    let Some(inputs) = element.child("inputs") else {
        return Some(Vec::new());
    };
    if !element.has("key") {
        planner.mistake(
            "E0210",
            inputs.span,
            "inputs are for a function: they need a `key`",
        );
        return None;
    }
    let mut arguments = Vec::new();
    for argument in inputs.all("argument") {
        // Its order is what counts.
        argument.get("name");
        let kind = argument.get("type").and_then(typed::Type::named);
        if let Some(value) = argument.attribute("value") {
            let span = value.value.span;
            let text = planner.resolved(&value.value.clone())?;
            let limits = Default::default();
            match typed::read(
                &text,
                kind.unwrap_or(typed::Type::Text),
                typed::Origin::Constant,
                &limits,
            ) {
                Ok(value) => arguments.push(Argument::Constant(snapshot::datum(&value))),
                Err(reason) => {
                    planner.mistake("E0203", span, reason);
                    return None;
                }
            }
        } else if argument.has("expression") {
            arguments.push(Argument::Computed(
                planner.expression_in(argument, "expression")?,
                kind,
            ));
        } else {
            planner.tell(
                Diagnostic::error("E0210", argument.span, "this argument has no value")
                    .help("give it a `value` or an `expression`"),
            );
            return None;
        }
    }
    Some(arguments)
}

/// The script itself.
fn main(element: &Element, planner: &mut Planner<'_>) -> Option<Placed> {
    if let Some(key) = element.attribute("key") {
        return stored(&key.value.clone(), planner);
    }
    if let Some(function) = element.attribute("function") {
        planner.tell(
            Diagnostic::error("E0210", function.name_span, "`function` needs a `key` beside it")
                .help("a script that stands inside runs from its first line to its last"),
        );
        return None;
    }
    let text = element.text();
    if text.text.trim().is_empty() {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this script is empty")
                .help("write it inside, in `<![CDATA[ … ]]>`, or name its file with `key`"),
        );
        return None;
    }
    Some(text)
}

/// A script in a file, local entry or registry resource.
pub(super) fn stored(key: &Placed, planner: &mut Planner<'_>) -> Option<Placed> {
    if key.text.trim_start().starts_with('{') {
        planner.tell(
            Diagnostic::error("E0203", key.span, "the key of a script has to be a constant").help(
                "scripts are checked before the first message; let one script decide inside, or use `switch`",
            ),
        );
        return None;
    }
    let name = planner.resolved(key)?;
    let found = planner.lookup.resource(&name, planner.file_of(key));
    let (title, text) = match found {
        Some(found) => found,
        None => match planner.entry(key)? {
            Value::Text(text) => (format!("local entry {name}"), text.to_string()),
            other => (format!("local entry {name}"), other.to_text().into_owned()),
        },
    };
    let file = planner.sources.add(title, text.clone());
    let span = Span::new(file, 0..text.len());
    Some(in_element(&text, span).unwrap_or_else(|| Placed::verbatim(text, span)))
}

/// Synapse takes a file that is an element for its text: `<x><![CDATA[function mediate(mc) { … }]]></x>`.
fn in_element(text: &str, whole: Span) -> Option<Placed> {
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let limits = XmlLimits::default();
    let mut reader = Reader::new(text, &limits);
    let mut script = Placed::empty(whole);
    let mut elements = 0;
    loop {
        match reader.next().ok()? {
            Event::Start(_) => elements += 1,
            Event::Text { value, range, cdata } => {
                let start = if cdata { "<![CDATA[".len() } else { 0 };
                script.push(&value, range.start + start);
            }
            Event::End { .. } | Event::Comment { .. } | Event::Instruction { .. } => {}
            Event::Eof => return (elements == 1).then_some(script),
        }
    }
}

/// What a script reads by name is loaded with the rest.
fn entries(asks: &Asked, at: Span, planner: &mut Planner<'_>) {
    for name in &asks.entries.names {
        if !planner.entries.contains_key(name) {
            let from = planner.sources.file(at.file).name.clone();
            if let Some((_, text)) = planner.lookup.resource(name, &from) {
                planner
                    .entries
                    .insert(name.clone(), crate::plan::planner::entry_value(&text));
            }
        }
    }
}

#[async_trait(?Send)]
impl Mediator for Script {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let value = self.apply(exchange, Headers::Stay).await?;
        self.finish(exchange, value)
    }
}

/// What becomes of the message's headers when a script has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Headers {
    Stay,
    /// Only those that the script sets are left.
    Go,
}

/// How a run has ended, and the processor time that it took; the whole time of one that was killed. Nothing for one that runs once more.
fn spent(answer: &Result<Answered, NoAnswer>, took: Duration) -> Option<(Ended, Duration)> {
    Some(match answer {
        Ok(answered) => {
            let ended = match answered.kept.reply.outcome {
                js::Outcome::NeedsAll => return None,
                js::Outcome::Failed(_) => Ended::Fault,
                js::Outcome::Done(_) if answered.remembered => Ended::Remembered,
                js::Outcome::Done(_) => Ended::Well,
            };
            (ended, answered.took())
        }
        Err(NoAnswer::TimedOut | NoAnswer::Died(_)) => (Ended::Killed, took),
        Err(NoAnswer::Busy | NoAnswer::NotStarted(_)) => (Ended::Refused, Duration::ZERO),
    })
}

impl Script {
    /// A script that takes no arguments, and whose value goes nowhere. `words`: how Synapse's errors name it.
    pub(super) fn compile(
        includes: &[Placed],
        main: &Placed,
        entry: Entry<'_>,
        words: String,
        planner: &mut Planner<'_>,
    ) -> Option<Script> {
        let (program, told) = Program::compile(includes, main, entry);
        told.into_iter().for_each(|mistake| planner.tell(mistake));
        let program = program?;
        entries(&program.asks, main.span, planner);
        planner.scripts = true;
        Some(Script {
            program,
            arguments: Vec::new(),
            target: Target::Flow,
            words,
        })
    }

    /// Whether its text asks for this property.
    pub(super) fn asks_for(&self, property: &str) -> bool {
        let asked = &self.program.asks.default;
        asked.all || asked.names.iter().any(|name| name == property)
    }

    /// Runs it on the message; gives its value.
    pub(super) async fn apply(
        &self,
        exchange: &mut Exchange,
        headers: Headers,
    ) -> Result<Option<Datum>, Fault> {
        let arguments = self.arguments(exchange).await?;
        let mut answered = self.run(exchange, &self.program.asks, arguments).await?;
        if answered.kept.reply.outcome == js::Outcome::NeedsAll {
            let arguments = self.arguments(exchange).await?;
            answered = self.run(exchange, &Asked::everything(), arguments).await?;
        }
        let kept = &*answered.kept;
        match answered.remembered {
            true => tracing::debug!(served_by = %exchange.served_by, "The answer of a script is remembered."),
            false => {
                tracing::debug!(served_by = %exchange.served_by, micros = kept.reply.took, "A script has run.")
            }
        }
        match &kept.reply.outcome {
            js::Outcome::Done(value) => {
                if headers == Headers::Go {
                    exchange.message.headers.clear();
                }
                changes::apply(exchange, kept, &self.program).await?;
                Ok(value.clone())
            }
            js::Outcome::Failed(failure) => {
                for change in &kept.reply.changes {
                    if let Change::Log { level, text, line } = change {
                        let place = self.program.span_of(*line, 1).map(|span| exchange.place(span));
                        changes::log(exchange, *level, text, place);
                    }
                }
                Err(self.failed(exchange, failure))
            }
            js::Outcome::NeedsAll => Err(self.fault("it asks for what no message has".to_owned())),
        }
    }

    async fn arguments(&self, exchange: &mut Exchange) -> Result<Vec<Datum>, Fault> {
        let mut arguments = Vec::new();
        for argument in &self.arguments {
            arguments.push(match argument {
                Argument::Constant(datum) => datum.clone(),
                Argument::Computed(expression, None) => match exchange.value(expression).await? {
                    Some(value) => snapshot::datum(&value),
                    None => Datum::Json("null".to_owned()),
                },
                Argument::Computed(expression, Some(kind)) => {
                    let text = exchange.text(expression).await?.unwrap_or_default();
                    let limits = &exchange.catalog.limits;
                    let value = typed::read(&text, *kind, typed::Origin::Expression, limits)
                        .map_err(|reason| Fault::mediation(format!("`{}`: {reason}", expression.source())))?;
                    snapshot::datum(&value)
                }
            });
        }
        Ok(arguments)
    }

    async fn run(
        &self,
        exchange: &mut Exchange,
        asks: &Asked,
        arguments: Vec<Datum>,
    ) -> Result<Answered, Fault> {
        let given = snapshot::take(exchange, asks, arguments).await?;
        let pool = &exchange.worker.scripts;
        let program = &self.program;
        let begun = Instant::now();
        let store = || store_of(exchange);
        let answer = pool.run(store, program.id, &program.source, given).await;
        let took = begun.elapsed();
        if let Some((ended, processor)) = spent(&answer, took) {
            let meters = &exchange.worker.runtime.meters;
            meters.note(&exchange.served_by, ended, processor, took);
        }
        answer.map_err(|none| {
            let settings = pool.settings();
            let busy = none == NoAnswer::Busy;
            let fault = self.fault(match none {
                NoAnswer::TimedOut => format!("it took longer than {} ms", settings.time.as_millis()),
                NoAnswer::Busy => format!(
                    "all workers for scripts were busy for {} ms",
                    settings.queue().as_millis()
                ),
                NoAnswer::Died(reason) => reason,
                NoAnswer::NotStarted(reason) => format!("no worker for scripts can be started: {reason}"),
            });
            if busy { fault.status(503) } else { fault }
        })
    }

    /// Synapse's words, and the reason.
    fn fault(&self, reason: String) -> Fault {
        let words = format!("The script engine returned an error executing {}", self.words);
        Fault::new(
            fault::code::MEDIATION,
            Origin::Script,
            format!("{words}: {reason}"),
        )
    }

    fn failed(&self, exchange: &Exchange, failure: &js::Failure) -> Fault {
        let frames: Vec<String> = self
            .program
            .frames(failure)
            .take(20)
            .map(|(function, span)| match function {
                "" => format!("at {}", exchange.place(span)),
                function => format!("at {function} ({})", exchange.place(span)),
            })
            .collect();
        let mut reason = failure.message.clone();
        if let Some((_, span)) = self.program.frames(failure).next() {
            reason = format!("{reason} (at {})", exchange.place(span));
        }
        let detail = std::iter::once(failure.message.clone())
            .chain(frames)
            .collect::<Vec<_>>()
            .join("\n");
        self.fault(reason).detail(detail)
    }

    fn finish(&self, exchange: &mut Exchange, value: Option<Datum>) -> Outcome {
        match (&self.target, value) {
            (Target::Flow, Some(Datum::Boolean(false))) => return Ok(Flow::Drop),
            (Target::Flow | Target::Nothing, _) => {}
            (Target::Variable(name), value) => match value {
                Some(datum) => {
                    let value = changes::value(&datum, &exchange.catalog.limits)?;
                    exchange.properties.variables.set(name.as_str(), value);
                }
                None => exchange.properties.variables.remove(name),
            },
            (Target::Body, None) => {}
            (Target::Body, Some(datum)) => {
                let body = match changes::value(&datum, &exchange.catalog.limits)? {
                    Value::Json(json) => Payload::of_json(Arc::unwrap_or_clone(json)),
                    Value::Xml(fragment) => {
                        let mut tree = crate::message::xml::XmlTree::new();
                        if let Some(element) = fragment.element() {
                            let copy = tree.import(&fragment.tree, element);
                            let document = tree.document();
                            tree.append(document, copy);
                        }
                        Payload::xml(crate::message::soap::Envelope::around(tree))
                    }
                    Value::Text(text) => Payload::text(text.to_string()),
                    other => Payload::bytes(Form::Json, other.to_text().into_owned()),
                };
                changes::put_body(exchange, body)?;
            }
        }
        Ok(Flow::Continue)
    }
}

/// Whose store a script uses: that of its API or service.
pub(super) fn store_of(exchange: &Exchange) -> Arc<str> {
    match exchange.properties.get("SYNAPSE_REST_API").as_deref() {
        Some(Value::Text(api)) => Arc::clone(api),
        Some(other) => Arc::from(other.to_text()),
        None => Arc::clone(&exchange.served_by),
    }
}

#[cfg(test)]
mod remembered_tests;
#[cfg(test)]
mod tests;
