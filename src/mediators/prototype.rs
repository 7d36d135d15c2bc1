//! `<prototype>`: what answers while there is no backend yet. A mock script, or an endpoint that is only tried out.

use super::mock::data;
use super::script::{self, Headers, Script};
use super::send;
use crate::flow::mishap::{self, Mishap};
use crate::flow::{Endpoint, Exchange, Fault, Flow, Mediator, Origin, Outcome, Step, delivery, fault};
use crate::message::payload::Payload;
use crate::message::properties::Value;
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::script::js::{Datum, Entry};
use crate::text::{Diagnostic, Placed, Span};
use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "prototype",
    summary: "Answers in place of a backend that is not there yet, by a script.",
    notes: "Stands in a `<resource>`, in the place of its `inSequence`, or as a step inside one or in a proxy; not in a sequence that several may share. The script is JavaScript, as in \
        `<script>` (`myelin explain mc` lists what it is given), inside or in the file that `key` names, and makes the whole answer:\n\n\
        * the body is what `mc.setPayloadJSON`, `mc.setPayloadXML` or `mc.setPayloadText` was given;\n\
        * `mc.setProperty('CONTENT_TYPE', 'application/json')` says how it is written. Without it the answer is XML (`application/xml`), also \
        where the script has set JSON;\n\
        * `mc.setProperty('HTTP_SC', '404')` says the status; without it, it is 200;\n\
        * `mc.setProperty('X-Name', 'value', 'transport')` sets a header. The headers of the request do not go back.\n\n\
        The property `AcceptHeader` holds what the client accepts, `uri.var.NAME` and `query.param.NAME` what its path and query say. Without a script the \
        answer is 501. The out sequence does not run. An error that nobody catches is a fault; the log names its line, and so does the answer, unless \
        a fault sequence makes another one.\n\n\
        A mock can be late (`sleepFor(200)` in the script) or fail, by `latency` and `fault`; its clients may ask for it with the headers `x-mock-latency` and `x-mock-fault`, unless \
        `mishaps = false` stands in `[mock]` of `myelin.toml`.\n\n\
        What a mock has answered is remembered as for any `<script>`: one that looks at neither the time, chance nor `mc.store` runs once for equal requests.\n\n\
        With an `<endpoint>` inside, requests are sent to it, and the out side is that of any `<send>`.\n\n\
        An API that has a `state` may have prototypes as long as it is CREATED or PROTOTYPED (`myelin explain api`). From the mock to the real backend \
        is one changed element: `<prototype>` becomes `<inSequence><send>…</send></inSequence>`.",
    differences: "The element is ours. It keeps the contract of API Manager's inline scripts (`x-mediation-script`), and the steps that API Manager generates \
        around them (`script`, `messageType`, `HTTP_SC`, `respond`) run as they are. There the headers of the request go back to the client.",
    attributes: ATTRIBUTES,
    children: CHILDREN,
    build,
    examples: &[
        Example::new(
            "A mock",
            r#"<prototype><![CDATA[
    mc.setProperty('CONTENT_TYPE', 'application/json');
    mc.setPayloadJSON({id: Number(mc.query.id), name: 'Rex'});
]]></prototype>"#,
            "GET /pets?id=7",
            "responds\naxis2 HTTP_SC = 200\nheader Content-Type = application/json\nbody {\"id\":7,\"name\":\"Rex\"}",
        ),
        Example::new(
            "Status, headers, and XML for those who want it",
            r#"<prototype language="js"><![CDATA[
    mc.setProperty('HTTP_SC', '404');
    mc.setProperty('X-Seen', 'yes', 'transport');
    if (mc.getProperty('AcceptHeader') == 'application/xml') {
        mc.setPayloadXML('<error>no such pet</error>');
    } else {
        mc.setProperty('CONTENT_TYPE', 'application/json');
        mc.setPayloadJSON({error: 'no such pet'});
    }
]]></prototype>"#,
            "GET /pets/8\nAccept: application/xml\nX-Secret: 1",
            "responds\naxis2 HTTP_SC = 404\nheader Content-Type = application/xml\nheader X-Seen = yes\nheader X-Secret is not there\nbody <error>no such pet</error>",
        ),
        Example::new(
            "A function in a file",
            r#"<prototype key="scripts/pet.js" function="show"><include key="scripts/names.js"/></prototype>"#,
            "GET /pets/1",
            "responds\nbody {\"name\":\"Rex\"}",
        )
        .beside(
            "<localEntry key=\"scripts/pet.js\"><![CDATA[function show(mc) { mc.setProperty('CONTENT_TYPE', 'application/json'); mc.setPayloadJSON({name: first}); }]]></localEntry>\n\
             <localEntry key=\"scripts/names.js\"><![CDATA[var first = 'Rex';]]></localEntry>",
        ),
        Example::new(
            "One that is slow and fails",
            r#"<prototype latency="20ms" fault="503"/>"#,
            "GET /pets",
            "responds\naxis2 HTTP_SC = 503\nbody {\"title\":\"The mock was asked to fail\",\"status\":503,\"detail\":\"`x-mock-fault` says so.\"}",
        ),
        Example::new(
            "A backend that is only tried out",
            r#"<prototype><endpoint><address uri="http://backend/pets"/></endpoint></prototype>"#,
            "GET /pets",
            "turns\nbackend GET http://backend/pets\nbody []",
        )
        .backend("200\ncontent-type: application/json\n\n[]"),
    ],
};

pub const ATTRIBUTES: &[Attr] = &[
    Attr::optional(
        "language",
        Shape::Text,
        "`js`, `rhinoJs`, `nashornJs` or `graalJs`: all mean JavaScript.",
    )
    .default("js"),
    Attr::optional(
        "key",
        Shape::Entry,
        "A file, local entry or registry resource that holds the script.",
    ),
    Attr::optional(
        "function",
        Shape::Text,
        "What is called in it, with `mc`. Without it the file runs from its first line to its last, and `mediate` is called if it declares that.",
    ),
    Attr::optional(
        "latency",
        Shape::Text,
        "How late it answers: `200` (milliseconds), `200ms` or `1.5s`, 30s at most.",
    ),
    Attr::optional(
        "fault",
        Shape::Text,
        "How it fails: `reset` (the connection ends in the middle of the answer), `empty` (without one), `timeout`, or a status such as `503`.",
    ),
];

pub const CHILDREN: Children = Children::of(&[
    script::INCLUDE,
    Child::endpoint("Where requests are sent instead. A `key`, or the endpoint itself."),
])
.or_text();

struct Prototype {
    answers: Answers,
    mishap: Mishap,
}

/// Who answers.
enum Answers {
    Script(Script),
    Endpoint(Arc<dyn Endpoint>),
    /// Nobody yet.
    Nothing,
}

pub fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    planner.prototypes.push(element.span);
    let mishap = Mishap {
        latency: wanted(element, "latency", mishap::latency, planner)?,
        breakage: wanted(element, "fault", mishap::breakage, planner)?,
    };
    let answers = read(element, planner)?;
    Some(Box::new(Prototype { answers, mishap }))
}

fn wanted<T>(
    element: &Element,
    name: &'static str,
    read: fn(&str) -> Result<T, String>,
    planner: &mut Planner<'_>,
) -> Option<Option<T>> {
    let Some(attribute) = element.attribute(name) else {
        return Some(None);
    };
    let value = attribute.value.clone();
    match read(&planner.resolved(&value)?) {
        Ok(wanted) => Some(Some(wanted)),
        Err(reason) => {
            planner.mistake("E0203", value.span, reason);
            None
        }
    }
}

/// The step that answers by a script that stands somewhere else than in `<prototype>`, or with 501 where there is none. `before`: scripts
/// that run before it, such as its data.
pub fn step(
    before: &[Placed],
    script: Option<&Placed>,
    span: Span,
    planner: &mut Planner<'_>,
) -> Option<Step> {
    planner.prototypes.push(span);
    let answers = match script.filter(|script| !script.text.trim().is_empty()) {
        Some(script) => Answers::Script(compile(before, script, Entry::Text, INLINED, planner)?),
        None => Answers::Nothing,
    };
    let mishap = Mishap::default();
    Some(Step {
        element: KIND.element,
        span,
        mediator: Box::new(Prototype { answers, mishap }),
    })
}

const INLINED: &str = "the inlined js script function mediate";

fn read(element: &Element, planner: &mut Planner<'_>) -> Option<Answers> {
    let text = element.text();
    let is_written = !text.text.trim().is_empty();
    let key = element.attribute("key");
    let function = element
        .attribute("function")
        .map(|function| function.value.trimmed());
    if let Some(language) = element
        .attribute("language")
        .map(|language| language.value.trimmed())
        && !script::is_javascript(&language.text)
    {
        return script::refused(&language, planner);
    }
    if let Some(inner) = element.child("endpoint") {
        let beside = [key, element.attribute("function"), element.attribute("language")];
        let beside = beside
            .into_iter()
            .flatten()
            .next()
            .map(|attribute| attribute.name_span);
        let beside = beside.or(element.child("include").map(|include| include.span));
        if let Some(beside) = beside.or(is_written.then_some(text.span)) {
            planner.tell(
                Diagnostic::error(
                    "E0210",
                    beside,
                    "a prototype is a script or an endpoint, not both",
                )
                .also(inner.span, "the endpoint"),
            );
            return None;
        }
        return send::build_endpoint(element, planner)?.map(Answers::Endpoint);
    }
    if let (Some(key), true) = (key, is_written) {
        planner.tell(
            Diagnostic::error("E0210", text.span, "this script stands beside a `key`")
                .also(key.value.span, "the key of another one")
                .help("remove one of the two"),
        );
        return None;
    }
    if key.is_none() && function.is_some() {
        planner.mistake("E0210", function?.span, "`function` needs a `key` beside it");
        return None;
    }
    let includes = script::includes(element, planner)?;
    let Some(key) = key else {
        if !is_written {
            return Some(Answers::Nothing);
        }
        return compile(&includes, &text, Entry::Text, INLINED, planner).map(Answers::Script);
    };
    let main = script::stored(&key.value.clone(), planner)?;
    let (entry, name) = match &function {
        Some(function) => (
            Entry::Function(&function.text, function.span),
            function.text.as_str(),
        ),
        None if main.text.contains("function mediate") => {
            (Entry::Function("mediate", key.value.span), "mediate")
        }
        None => (Entry::Text, "mediate"),
    };
    let words = format!("the external js script function {name}");
    compile(&includes, &main, entry, &words, planner).map(Answers::Script)
}

fn compile(
    includes: &[Placed],
    main: &Placed,
    entry: Entry<'_>,
    words: &str,
    planner: &mut Planner<'_>,
) -> Option<Script> {
    let all = || includes.iter().chain([main]).map(|part| part.text.as_str());
    let sets_json = main.text.find("setPayloadJSON");
    if let Some(at) = sets_json.filter(|_| !all().any(|text| text.contains("CONTENT_TYPE"))) {
        planner.tell(
            Diagnostic::warning(
                "W0311",
                main.span_of(at..at + "setPayloadJSON".len()),
                "this answer will be XML: the script sets JSON, and no CONTENT_TYPE",
            )
            .help("write mc.setProperty('CONTENT_TYPE', 'application/json')"),
        );
    }
    let mut main = main.clone();
    if matches!(entry, Entry::Text) && main.text.contains(SIMULATION) {
        let end = main.span.end as usize;
        main.push(SIMULATED, end);
    }
    Script::compile(includes, &main, entry, words.to_owned(), planner)
}

/// The line behind which newer products switch errors on: `var apiSim = true; sleepFor(500); var errSim = '503';`.
const SIMULATION: &str = "// Simulation Of Errors and Latency";

const SIMULATED: &str = "\nif (typeof apiSim !== 'undefined' && apiSim && typeof errSim !== 'undefined' && Number(errSim) >= 200) { mc.setProperty('HTTP_SC', String(errSim)); }";

#[async_trait(?Send)]
impl Mediator for Prototype {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        match self.mishap.asked_by(exchange) {
            Ok(mishap) => {
                if let Some(flow) = mishap.happen(exchange).await {
                    return Ok(flow);
                }
            }
            Err(reason) => {
                let fault = Fault::new(fault::code::MEDIATION, Origin::Client, reason);
                return Err(told(fault.status(400)));
            }
        }
        match &self.answers {
            Answers::Endpoint(endpoint) => {
                return delivery::send(exchange, Some(endpoint), None).await;
            }
            Answers::Script(script) => {
                if let Some(Datum::Boolean(false)) = answer(script, exchange).await.map_err(told)? {
                    return Ok(Flow::Drop);
                }
            }
            Answers::Nothing => {
                let body_type = exchange.message.headers.remove(header::CONTENT_TYPE);
                exchange.message.headers.clear();
                if let Some(body_type) = body_type {
                    exchange.message.headers.insert(header::CONTENT_TYPE, body_type);
                }
                exchange.properties.set_axis2("HTTP_SC", Value::Integer(501));
            }
        }
        if matches!(
            exchange.request.method,
            Method::GET | Method::DELETE | Method::HEAD
        ) {
            exchange.properties.remove_axis2("NO_ENTITY_BODY");
        }
        let status = exchange.properties.axis2_text("HTTP_SC");
        if matches!(status.as_deref().map(str::trim), Some("204" | "304")) {
            // What came with the request would else be taken for what goes back.
            exchange.message.payload = Payload::empty();
        }
        if exchange.message.payload.is_empty() {
            // There is nothing that it could be the type of.
            exchange.message.headers.remove(header::CONTENT_TYPE);
        }
        exchange.message.addressing.to = None;
        exchange.message.response = true;
        Ok(Flow::Respond)
    }
}

/// Who calls a mock wants to know what is wrong with it, and where.
fn told(mut fault: Fault) -> Fault {
    fault.told = true;
    fault
}

/// What API Manager's gateway does around a script.
async fn answer(script: &Script, exchange: &mut Exchange) -> Result<Option<Datum>, Fault> {
    if let Some(accept) = exchange.message.header("accept").map(Value::text) {
        exchange.properties.set("AcceptHeader", accept);
    }
    let asked = data::NAMES.into_iter().filter(|name| script.asks_for(name));
    let kept: Vec<_> = asked.map(|name| (name, data::take_up(exchange, name))).collect();
    let value = script.apply(exchange, Headers::Go).await?;
    for (name, before) in kept {
        data::keep(exchange, name, before.as_deref())?;
    }
    let said = |name: &str| {
        exchange
            .properties
            .text(name)
            .filter(|text| !text.trim().is_empty())
    };
    let (content_type, status) = (said("CONTENT_TYPE"), said("HTTP_SC"));
    let is_value = |text: &str| HeaderValue::from_str(text).is_ok();
    if let Some(wrong) = content_type.as_deref().filter(|text| !is_value(text)) {
        let reason = format!(
            "CONTENT_TYPE holds characters that no media type has: `{}`",
            wrong.escape_debug()
        );
        return Err(Fault::new(fault::code::MEDIATION, Origin::Script, reason));
    }
    exchange.set_message_type(content_type.as_deref().unwrap_or("application/xml"));
    let status = status.map_or(Value::Integer(200), Value::text);
    exchange.properties.set_axis2("HTTP_SC", status);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mediators::trial::{ALL, Trial, written};

    fn prototype(text: &str) -> String {
        format!("<prototype><![CDATA[{text}]]></prototype>")
    }

    /// Status, content type and body.
    fn check(text: &str, request: &str, expected: &str) {
        // Parameters of the query are properties where an API is served.
        let target = request.split_whitespace().nth(1).unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let properties: Vec<(String, Value)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                (
                    format!("query.param.{name}"),
                    Value::text(value.replace("%26", "&")),
                )
            })
            .collect();
        let properties: Vec<(&str, Value)> = properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let trial = Trial {
            properties: &properties,
            ..ALL
        };
        let (outcome, mut exchange) = trial.run(&prototype(text), request);
        assert_eq!(outcome.expect("no fault"), Flow::Respond, "{text}");
        let status = exchange.properties.axis2_text("HTTP_SC").unwrap_or_default();
        let content_type = exchange.message.header("content-type").unwrap_or("-").to_owned();
        let body = written(&mut exchange);
        assert_eq!(format!("{status} {content_type} {body}"), expected, "{text}");
    }

    fn told(config: &str) -> String {
        match ALL.plan(config) {
            Ok(_) => String::new(),
            Err(told) => told,
        }
    }

    #[test]
    fn content_type_and_status_are_what_the_script_says() {
        let json = "mc.setProperty('CONTENT_TYPE', 'application/json'); ";
        check(
            &format!("{json}mc.setPayloadJSON('{{\"hello\": \"world\"}}')"),
            "GET /",
            "200 application/json {\"hello\": \"world\"}",
        );
        check(
            &format!("{json}mc.setProperty('HTTP_SC', 201); mc.setPayloadJSON([1])"),
            "POST /\n\nx",
            "201 application/json [1]",
        );
        check(
            "mc.setProperty('CONTENT_TYPE', 'text/plain'); mc.setPayloadText('hello')",
            "GET /",
            "200 text/plain hello",
        );
    }

    #[test]
    fn without_a_content_type_the_answer_is_xml() {
        check(
            "mc.setPayloadJSON({a: 1})",
            "GET /",
            "200 application/xml <jsonObject><a>1</a></jsonObject>",
        );
        check("mc.setPayloadXML('<a/>')", "GET /", "200 application/xml <a/>");
    }

    #[test]
    fn without_a_payload_of_its_own_a_get_has_no_body_and_a_post_its_own() {
        check("mc.setProperty('HTTP_SC', '204')", "GET /?a=b", "204 - ");
        check(
            "mc.setProperty('CONTENT_TYPE', 'application/json')",
            "POST /\nContent-Type: application/json\n\n{\"a\": 1}",
            "200 application/json {\"a\": 1}",
        );
    }

    #[test]
    fn a_media_type_that_is_none_is_a_fault() {
        let (outcome, _) = ALL.run(
            &prototype("mc.setProperty('CONTENT_TYPE', 'text/plain\\nX-A: b')"),
            "GET /",
        );
        let fault = outcome.expect_err("a fault");
        assert_eq!(
            &*fault.reason,
            "CONTENT_TYPE holds characters that no media type has: `text/plain\\nX-A: b`"
        );
    }

    #[test]
    fn a_status_without_a_body_leaves_the_requests_body_behind() {
        check(
            "mc.setProperty('HTTP_SC', 204)",
            "PUT /\nContent-Type: application/json\n\n{\"a\": 1}",
            "204 - ",
        );
    }

    #[test]
    fn without_a_script_nothing_is_implemented() {
        for config in ["<prototype/>", "<prototype>\n  </prototype>"] {
            let (outcome, exchange) = ALL.run(config, "GET /\nX-Secret: 1");
            assert_eq!(outcome.expect("no fault"), Flow::Respond);
            assert_eq!(exchange.properties.axis2_text("HTTP_SC").as_deref(), Some("501"));
            assert!(exchange.message.headers.is_empty());
        }
    }

    #[test]
    fn a_script_reads_the_request_and_gives_none_of_it_back() {
        let (_, exchange) = ALL.run(
            &prototype(
                "mc.setProperty('X-Echo', mc.headers['x-tenant'] + mc.getProperty('AcceptHeader') + mc.getProperty('X-Other', 'transport'), 'transport')",
            ),
            "GET /\nX-Tenant: blue\nAccept: text/css\nAuthorization: Bearer x",
        );
        let headers: Vec<(&str, &str)> = exchange
            .message
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(headers, [("x-echo", "bluetext/cssnull")]);
    }

    #[test]
    fn a_file_runs_from_its_first_line_or_by_its_function() {
        let json = "mc.setProperty('CONTENT_TYPE', 'application/json');";
        let entries = [
            ("scripts/plain.js", format!("{json} mc.setPayloadJSON([1])")),
            (
                "scripts/mediate.js",
                format!("function mediate(mc) {{ {json} mc.setPayloadJSON([2]) }}"),
            ),
        ];
        let entries: Vec<(&str, &str)> = entries.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let trial = Trial {
            entries: &entries,
            ..ALL
        };
        for (key, body) in [("plain", "[1]"), ("mediate", "[2]")] {
            let (outcome, mut exchange) =
                trial.run(&format!("<prototype key=\"scripts/{key}.js\"/>"), "GET /");
            assert_eq!(outcome.expect("no fault"), Flow::Respond);
            assert_eq!(written(&mut exchange), body);
        }
    }

    #[test]
    fn errors_and_latency_that_newer_products_simulate_come_about() {
        let script = |on: bool, code: &str| {
            format!(
                "mc.setProperty('CONTENT_TYPE', 'application/json');\nmc.setPayloadJSON([1]);\n// Simulation Of Errors and Latency\nvar apiSim = {on};\nsleepFor(20000);\nvar errSim = '{code}';"
            )
        };
        check(&script(true, "503"), "GET /", "503 application/json [1]");
        check(&script(false, "503"), "GET /", "200 application/json [1]");
        check(&script(true, ""), "GET /", "200 application/json [1]");
    }

    #[test]
    fn a_script_that_fails_is_a_fault_with_its_line() {
        let (outcome, exchange) = ALL.run(&prototype("\n\nnothing.x;"), "GET /\nX-A: 1");
        let fault = outcome.expect_err("a fault");
        assert!(fault.reason.contains("(at test.xml:3:"), "{}", fault.reason);
        assert!(exchange.message.headers.contains_key("x-a"));
    }

    #[test]
    fn what_is_wrong_is_told_at_load() {
        for (config, expected) in [
            (
                "<prototype language=\"groovy\">x</prototype>".to_owned(),
                "E0505]: scripts in Groovy are not supported",
            ),
            (
                "<prototype function=\"f\">x</prototype>".to_owned(),
                "E0210]: `function` needs a `key` beside it",
            ),
            (
                "<prototype>x<endpoint key=\"a\"/></prototype>".to_owned(),
                "E0210]: a prototype is a script or an endpoint, not both",
            ),
            (prototype("var a = ;"), "E0309]: this is no JavaScript"),
        ] {
            assert!(told(&config).contains(expected), "{config}: {}", told(&config));
        }
    }

    /// Scripts as users write them, each with what it is asked and what it answers.
    #[test]
    fn the_scripts_of_users_answer_as_they_should() {
        const JSON: &str = "mc.setProperty('CONTENT_TYPE', 'application/json');\n";
        const BY_ACCEPT: &str = "var accept = mc.getProperty('AcceptHeader');\nif (accept == null || accept == '*/*') { accept = 'application/json'; }\n\
             if (accept == 'application/json') { mc.setProperty('CONTENT_TYPE', 'application/json'); mc.setPayloadJSON({a: 1}); }\n\
             else if (accept == 'application/xml') { mc.setProperty('CONTENT_TYPE', 'application/xml'); mc.setPayloadXML(<a>1</a>); }";
        const BY_CODE: &str = "var responseCode = mc.getProperty('query.param.responseCode');\nvar responses = [];\n\
             responses[200] = []; responses[200]['application/json'] = {id: 1};\nresponses[404] = []; responses[404]['application/json'] = {code: 404};\n\
             responses[501] = []; responses[501]['application/json'] = {code: 501, description: 'Not Implemented'};\n\
             if (responseCode == null) { responseCode = 200; }\nif (!responses[responseCode]) { responseCode = 501; }\n\
             mc.setProperty('CONTENT_TYPE', 'application/json');\nmc.setProperty('HTTP_SC', responseCode + '');\n\
             mc.setPayloadJSON(responses[responseCode]['application/json']);";
        const XML: &str = "POST /\nContent-Type: application/xml\n\n<o:order xmlns:o=\"urn:o\"><o:code>7</o:code></o:order>";
        const BODY: &str = "POST /\nContent-Type: application/json\n\n{\"name\": \"Rex\"}";
        for (script, request, expected) in [
            (
                "mc.setPayloadJSON('{\"hello\":\"world\"}')",
                "GET /",
                "200 application/json {\"hello\":\"world\"}",
            ),
            (
                "mc.setPayloadJSON({a: [1, 2], b: 'x\"y\\n', c: null, d: 1.5, e: true})",
                "GET /",
                "200 application/json {\"a\":[1,2],\"b\":\"x\\\"y\\n\",\"c\":null,\"d\":1.5,\"e\":true}",
            ),
            (
                "if (mc.getProperty('query.param.petId') == 1) { mc.setProperty('HTTP_SC', '404'); mc.setPayloadJSON({}) }",
                "GET /?petId=1",
                "404 application/json {}",
            ),
            (
                "var p = mc.getPayloadJSON(); p.id = 7; mc.setProperty('HTTP_SC', '201'); mc.setPayloadJSON(p);",
                BODY,
                "201 application/json {\"name\":\"Rex\",\"id\":7}",
            ),
            (
                "var pet = mc.getPayloadJSON(); if (!pet.age) { mc.setProperty('HTTP_SC', '400'); mc.setPayloadJSON({error: 'age is missing'}) }",
                BODY,
                "400 application/json {\"error\":\"age is missing\"}",
            ),
            (
                "var t = new Date().getTime(); var r = Math.random(); mc.setPayloadJSON({ok: t > 0 && r < 1, id: uuid().length})",
                "GET /",
                "200 application/json {\"ok\":true,\"id\":36}",
            ),
            (
                "mc.setPayloadJSON({header: mc.getProperty('X-Foo', 'transport')}); mc.setProperty('Access-Control-Allow-Origin', '*', 'transport')",
                "GET /\nX-Foo: bar",
                "200 application/json {\"header\":\"bar\"}",
            ),
        ] {
            check(&format!("{JSON}{script}"), request, expected);
        }
        for (script, request, expected) in [
            (BY_CODE, "GET /", "200 application/json {\"id\":1}"),
            (
                BY_CODE,
                "GET /?responseCode=404",
                "404 application/json {\"code\":404}",
            ),
            (
                BY_CODE,
                "GET /?responseCode=999",
                "501 application/json {\"code\":501,\"description\":\"Not Implemented\"}",
            ),
            (BY_ACCEPT, "GET /", "200 application/json {\"a\":1}"),
            (
                BY_ACCEPT,
                "GET /\nAccept: application/xml",
                "200 application/xml <a>1</a>",
            ),
            (
                "mc.setPayloadXML(<response><value>{mc.getProperty('query.param.name')}</value></response>)",
                "GET /?name=a%26b",
                "200 application/xml <response><value>a&amp;b</value></response>",
            ),
            (
                "var x = mc.getPayloadXML(); var c = x..*::code.toString(); mc.setPayloadXML(<seen>{c}</seen>);",
                XML,
                "200 application/xml <seen>7</seen>",
            ),
            (
                "mc.setProperty('HTTP_SC', '204'); mc.setProperty('NO_ENTITY_BODY', true, 'axis2')",
                "GET /",
                "204 - ",
            ),
            (
                "mc.setProperty('CONTENT_TYPE', 'text/plain'); mc.setPayloadXML(<text xmlns=\"http://ws.apache.org/commons/ns/payload\">hello</text>)",
                "GET /",
                "200 text/plain hello",
            ),
        ] {
            check(script, request, expected);
        }
    }
}
