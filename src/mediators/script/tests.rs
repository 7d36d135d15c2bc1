use crate::mediators::trial::{ALL, Trial, outcome, told, written};
use crate::script::e4x;
use crate::script::js::members::{EXAMPLE, MEMBERS};

const JSON: &str =
    "POST /pets/7?colour=red\nContent-Type: application/json\nX-A: one\n\n{\"name\": \"Rex\", \"age\": 3}";

fn script(text: &str) -> String {
    format!("<script language=\"js\"><![CDATA[{text}]]></script>")
}

/// The body afterwards, as its media type says, or the fault.
fn check(text: &str, expected: &str) {
    assert_eq!(ALL.body(&script(text), JSON), expected, "{text}");
}

fn fault(text: &str) -> String {
    let text = outcome(&script(text), JSON);
    assert!(
        text.starts_with(
            "fault 0 The script engine returned an error executing the inlined js script function mediate: "
        ),
        "{text}"
    );
    text.split_once("mediate: ")
        .expect("it was looked for above")
        .1
        .to_owned()
}

#[test]
fn every_example_of_a_member_holds() {
    let mut wrong = Vec::new();
    let members = MEMBERS.iter().map(|member| (member.name, member.example));
    let forms = e4x::FORMS.iter().map(|form| (form.written, form.example));
    for (name, example) in members.chain(forms) {
        let kept = script(&format!("{};", example.trim_end_matches(';')));
        let target = kept.replacen(
            "language",
            "target=\"variable\" target-variable=\"holds\" language",
            1,
        );
        let (outcome, exchange) = ALL.run(&target, EXAMPLE);
        let holds = exchange
            .properties
            .variables
            .get("holds")
            .map(|value| value.to_text().into_owned());
        if outcome.is_err() || holds.as_deref() != Some("true") {
            wrong.push(format!("{name}: {outcome:?} {holds:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_string_is_raw_json_and_a_value_is_written_with_its_escapes() {
    check("mc.setPayloadJSON('{\"a\": 1}')", "{\"a\": 1}");
    check(
        "mc.setPayloadJSON({a: [1, 2], b: 'x\"y\\n', c: null, d: 1.5, e: true})",
        "{\"a\":[1,2],\"b\":\"x\\\"y\\n\",\"c\":null,\"d\":1.5,\"e\":true}",
    );
    check("mc.setPayloadJSON(null)", "{}");
    check("mc.setPayloadJSON(4 * 2)", "8");
    check("mc.setPayloadJSON([undefined, function(){}])", "[null,null]");
    assert!(fault("mc.setPayloadJSON('{a}')").contains("setPayloadJSON: the text is not JSON"));
    assert!(
        fault("var a = {}; a.a = a;\nmc.setPayloadJSON(a)").contains("(at test.xml:2:"),
        "{}",
        fault("var a = {}; a.a = a;\nmc.setPayloadJSON(a)")
    );
}

#[test]
fn an_error_names_its_line_in_the_file() {
    let reason = fault("var a = 1;\nfunction f() {\n  return nothing.x;\n}\nf();");
    assert!(reason.contains("nothing is not defined"), "{reason}");
    assert!(reason.contains("(at test.xml:3:"), "{reason}");
    assert!(
        fault("throw new Error('no such pet')").contains("Error: no such pet (at test.xml:1:"),
        "{}",
        fault("throw new Error('no such pet')")
    );
    assert!(fault("throw 'plain'").contains("plain"));
}

#[test]
fn what_is_wrong_is_told_at_load() {
    let at = |text: &str| match ALL.plan(text) {
        Ok(_) => "nothing".to_owned(),
        Err(told) => told,
    };
    let shown = at(&script("\nvar a = ;\n"));
    assert!(shown.contains("test.xml:2:9"), "{shown}");
    for (config, expected) in [
        (script(""), "E0210 this script is empty"),
        (
            "<script language=\"groovy\">x</script>".to_owned(),
            "E0505 scripts in Groovy are not supported",
        ),
        (
            "<script language=\"jss\">x</script>".to_owned(),
            "E0203 `jss` is no language of scripts",
        ),
        (
            "<script language=\"js\" function=\"f\">x</script>".to_owned(),
            "E0210 `function` needs a `key` beside it",
        ),
        (
            "<script language=\"js\" target=\"variable\">x</script>".to_owned(),
            "E0210 target=\"variable\" needs a `target-variable`",
        ),
        (script("new java.util.Date()"), "E0310 `java.util.Date` is Java"),
        (
            script(&"[".repeat(500)),
            "E0309 this script is nested too deep: more than 200 brackets are open here",
        ),
    ] {
        assert_eq!(told(&config), expected, "{config}");
    }
}

#[test]
fn only_a_false_boolean_ends_the_flow() {
    for (text, expected) in [
        ("false", "Drop"),
        ("var a = 1;\na == 2", "Drop"),
        ("true", "continues"),
        ("0", "continues"),
        ("null", "continues"),
        ("'false'", "continues"),
        ("if (false) { 1 }", "continues"),
    ] {
        assert_eq!(outcome(&script(text), JSON), expected, "{text}");
    }
}

#[test]
fn nothing_is_left_for_the_next_script() {
    let pollute = [
        "leak = 1",
        "this.leak = 1",
        "globalThis.leak = 1",
        "Object.prototype.leak = 1",
        "Array.prototype.leak = 1",
        "Array.prototype.push = function() { return 'leak' }",
        "JSON.parse = null",
        "JSON.leak = 1",
        "Math.leak = 1",
        "mc.leak = 1",
        "mc.getProperty = null",
        "mc.getProperty.leak = 1",
        "console.leak = 1",
        "Date = null",
        "Date.prototype.getTime = null",
        "String.prototype.trim.leak = 1",
        "(function*(){}).constructor.prototype.leak = 1",
        "Object.defineProperty(globalThis, 'leak', {value: 1})",
        "Object.setPrototypeOf(Array.prototype, {leak: 1})",
        "Error.prototype.name = 'leak'",
        "Object.prototype.toString = function() { return 'leak' }",
        "Object.prototype.__defineGetter__('leak', function() { return 1 })",
        "[].__proto__.leak = 1",
        "Symbol.prototype.leak = 1",
        "Promise.resolve().then(function() { Object.prototype.leak = 1 })",
        "mc.headers.leak = 1",
        "mc.store.leak = 1",
        "undefined = 1",
    ];
    let look = "mc.setPayloadJSON({a: typeof leak, b: ({}).leak, c: [].leak, d: [1].push(2), e: JSON.parse('1'), f: typeof Date.now(), \
        g: mc.getProperty('none'), h: new Error('x').toString(), i: String({}), j: ''.trim.leak, k: mc.leak, l: mc.store.leak})";
    let mut steps = String::new();
    for text in pollute {
        steps.push_str(&script(&format!("try {{ {text} }} catch (e) {{}}")));
    }
    steps.push_str(&script(look));
    assert_eq!(
        ALL.body(&steps, JSON),
        "{\"a\":\"undefined\",\"d\":2,\"e\":1,\"f\":\"number\",\"g\":null,\"h\":\"Error: x\",\"i\":\"[object Object]\"}"
    );
}

#[test]
fn scripts_of_the_old_school_run() {
    // Names that nobody declares, functions that replace what they inherit, `this` at the top.
    check(
        "total = 0; for (i = 1; i <= 3; i++) { total += i }\nmc.setPayloadJSON({total: total, i: i})",
        "{\"total\":6,\"i\":4}",
    );
    check(
        "function Pet(name) { this.name = name }\nPet.prototype.toString = function() { return 'Pet ' + this.name };\nmc.setPayloadJSON({a: '' + new Pet('Rex')})",
        "{\"a\":\"Pet Rex\"}",
    );
    check(
        "var e = new Error('x'); e.name = 'Mine'; var o = {}; o.constructor = 1; o.toString = 2;\nmc.setPayloadJSON([String(e), o.constructor, o.toString])",
        "[\"Mine: x\",1,2]",
    );
    check(
        "mc.setPayloadJSON({a: 'abcdef'.substr(1, 2), b: escape('a b'), c: mc.getProperty('query.param.colour') == null})",
        "{\"a\":\"bc\",\"b\":\"a%20b\",\"c\":true}",
    );
    check(
        "var a = new Array(3).join('x'); mc.setPayloadJSON({a: a, n: parseInt('7')})",
        "{\"a\":\"xx\",\"n\":7}",
    );
}

#[test]
fn what_a_script_sets_is_done_to_the_message() {
    let text = "mc.setProperty('a', 'text'); mc.setProperty('n', 7); mc.setProperty('o', {x: 1}); mc.setProperty('HTTP_SC', 201, 'axis2');\n\
        mc.setProperty('messageType', 'application/xml', 'axis2'); mc.setProperty('X-B', 'two', 'transport'); mc.removeProperty('X-A', 'transport');\n\
        mc.setProperty('x', 'y', 'nowhere'); mc.setVariable('v', true); mc.setTo('http://else/'); mc.setSoapAction('urn:a');";
    let (outcome, exchange) = ALL.run(&script(text), JSON);
    outcome.expect("no fault");
    let properties = &exchange.properties;
    assert_eq!(properties.text("a").as_deref(), Some("text"));
    assert_eq!(
        properties.get("n").as_deref(),
        Some(&crate::message::properties::Value::Integer(7))
    );
    assert_eq!(properties.text("o").as_deref(), Some("{\"x\":1}"));
    assert_eq!(properties.axis2_text("HTTP_SC").as_deref(), Some("201"));
    assert_eq!(exchange.message.header("content-type"), Some("application/xml"));
    assert_eq!(
        (exchange.message.header("x-b"), exchange.message.header("x-a")),
        (Some("two"), None)
    );
    assert_eq!(exchange.message.addressing.to.as_deref(), Some("http://else/"));
    assert_eq!(exchange.message.addressing.soap_action.as_deref(), Some("urn:a"));
    assert!(outcome_of("mc.setProperty('X-A', 'a\\r\\nb: c', 'transport')").contains("cannot carry"));
}

fn outcome_of(text: &str) -> String {
    outcome(&script(text), JSON)
}

#[test]
fn what_the_text_does_not_name_is_sent_when_it_is_asked_for() {
    check(
        "var g = 'getPayload' + 'JSON';\nmc.setPayloadJSON([mc[g]().name])",
        "[\"Rex\"]",
    );
    check(
        "var n = 'X-' + 'A', s = 'trans' + 'port';\nmc.setPayloadJSON([mc.getProperty(n, s)])",
        "[\"one\"]",
    );
}

#[test]
fn a_function_gets_its_inputs_and_runs_behind_its_includes() {
    let trial = Trial {
        entries: &[
            (
                "scripts/main.js",
                "var base = 10;\nfunction mediate(mc) { mc.setPayloadJSON({sum: base + more}); }\nfunction named(mc, a, b) { return {a: a, b: b}; }\nfunction bad() {\n  boom();\n}",
            ),
            ("scripts/more.js", "var more = 5;"),
        ],
        ..ALL
    };
    let include = "<include key=\"scripts/more.js\"/>";
    let body = trial.body(
        &format!("<script language=\"nashornJs\" key=\"scripts/main.js\">{include}</script>"),
        JSON,
    );
    assert_eq!(body, "{\"sum\":15}");
    let inputs = "<inputs><argument name=\"a\" type=\"BOOLEAN\" value=\"true\"/><argument name=\"b\" expression=\"json-eval($.name)\"/></inputs>";
    let body = trial.body(&format!("<script language=\"js\" key=\"scripts/main.js\" function=\"named\" target=\"body\">{include}{inputs}</script>"), JSON);
    assert_eq!(body, "{\"a\":true,\"b\":\"Rex\"}");
    let (outcome, _) = trial.run(
        &format!("<script language=\"js\" key=\"scripts/main.js\" function=\"bad\">{include}</script>"),
        JSON,
    );
    let fault = outcome.expect_err("it fails");
    assert!(
        fault
            .detail
            .as_deref()
            .unwrap_or_default()
            .contains("scripts/main.js:5:"),
        "{fault:?}"
    );
    let told = trial
        .plan("<script language=\"js\" key=\"scripts/main.js\" function=\"mediat\"/>")
        .map(|_| ())
        .expect_err("no such function");
    assert!(told.contains("the script has no function `mediat`"), "{told}");
}

#[test]
fn what_has_no_end_is_ended() {
    for (text, expected) in [
        ("while (true) {}", "a loop went round more than"),
        ("function f() { f() }\nf()", "functions call each other more than"),
    ] {
        let reason = fault(text);
        // On a machine that is busy the clock may be first.
        let ended = reason.to_lowercase().contains(expected) || reason.contains("it took longer");
        assert!(ended, "{reason}");
    }
    assert!(fault("var e = globalThis['ev' + 'al']; e('1')").contains("switched off"));
    assert!(fault("(function(){}).constructor('return 1')()").contains("switched off"));
    assert!(fault("mc['getEnv' + 'ironment']()").contains("there is no Java environment"));
}

#[test]
fn promises_go_on_before_the_message_does() {
    check(
        "async function f() { var a = await Promise.resolve(1); mc.setPayloadJSON({a: a}); }\nf();",
        "{\"a\":1}",
    );
}

#[test]
fn what_comes_back_is_checked_as_if_a_client_had_sent_it() {
    assert!(outcome_of("mc.setPayloadXML('<a>')").contains("setPayloadXML: the text is not XML"));
    assert!(
        outcome_of("mc.setPayloadXML('<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>')").contains("is not XML")
    );
    assert!(fault("mc.setPayloadJSON({get a() { throw new Error('trap') }})").contains("trap"));
    // An answer with a `then` is no promise of ours.
    check("mc.setPayloadJSON({then: 1, toJSON: undefined})", "{\"then\":1}");
    check(
        "mc.setProperty('HTTP_SC', NaN, 'axis2'); mc.setPayloadJSON({a: NaN, b: new Date(0)})",
        "{\"a\":null,\"b\":\"1970-01-01T00:00:00.000Z\"}",
    );
}

#[test]
fn text_and_xml_bodies_are_written_as_their_type_says() {
    let (_, mut exchange) = ALL.run(
        &script("mc.setPayloadText('hello'); mc.setProperty('messageType', 'text/plain', 'axis2')"),
        JSON,
    );
    assert_eq!(written(&mut exchange), "hello");
    let (_, mut exchange) = ALL.run(
        &script(
            "mc.setPayloadXML('<a><b>1</b></a>'); mc.setProperty('messageType', 'application/xml', 'axis2')",
        ),
        JSON,
    );
    assert_eq!(written(&mut exchange), "<a><b>1</b></a>");
    let soap = "POST /\nContent-Type: text/xml\n\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><q><symbol>IBM</symbol></q></s:Body></s:Envelope>";
    let (outcome, exchange) = ALL.run(&script("mc.addHeader(true, '<w:t xmlns:w=\"urn:w\">1</w:t>'); mc.setProperty('a', mc.getPayloadXML().toString()); mc.setProperty('b', mc.isSOAP11())"), soap);
    outcome.expect("no fault");
    assert!(
        exchange
            .properties
            .text("a")
            .unwrap_or_default()
            .contains("<symbol>IBM</symbol>")
    );
    assert_eq!(exchange.properties.text("b").as_deref(), Some("true"));
    let envelope = exchange.message.payload.built_envelope().expect("it is XML");
    let text = envelope.tree().to_text(envelope.root());
    assert!(text.contains("mustUnderstand=\"1\""), "{text}");
}

#[test]
fn the_clock_stands_and_chance_is_seeded_where_tests_want_it() {
    let text = "mc.setPayloadJSON([new Date().getTime(), Date.now(), Math.random(), uuid()])";
    let (one, other) = (ALL.body(&script(text), JSON), ALL.body(&script(text), JSON));
    assert!(one.starts_with("[1767323045000,1767323045000,0."), "{one}");
    assert_eq!(one, other);
}

#[test]
fn a_promise_that_fails_and_that_nobody_looks_after_is_a_fault() {
    assert!(fault("(async function() { throw new Error('later') })()").contains("Error: later"));
    check(
        "(async function() { throw new Error('later') })().catch(function(e) { mc.setPayloadJSON([e.message]) })",
        "[\"later\"]",
    );
}

/// The clock of the test jumps, so this takes no time.
#[test]
fn a_script_that_sleeps_makes_its_answer_late_and_holds_no_worker() {
    check("sleepFor(20000); mc.setPayloadJSON(1); sleepFor(1e300)", "1");
    check("sleepFor('soon'); sleepFor(-1); mc.setPayloadJSON(1)", "1");
}

#[test]
fn a_sleep_for_that_goes_round_until_it_is_time_is_replaced() {
    // Word for word what the product writes into scripts that simulate latency. The clock stands, so it would go round for ever.
    check(
        "mc.setPayloadJSON(1);\n// Simulation Of Errors and Latency\nvar apiSim = false;\nfunction sleepFor(ms){\n   var start = new Date().getTime();\n   \
         var end = start;\n   while(end < start + ms) {\n       end = new Date().getTime();\n   }\n}\nsleepFor(20000);\n\n",
        "1",
    );
    // Another one is its author's affair.
    check(
        "function sleepFor(ms) { return ms * 2 }\nmc.setPayloadJSON(sleepFor(2))",
        "4",
    );
    assert_eq!(
        fault("function sleepFor(ms) { while (Date.now() < 0) {} }\nvar a = 1;\nmissing.x()"),
        "ReferenceError: missing is not defined (at test.xml:3:1)"
    );
}

#[test]
fn json_that_is_put_aside_leaves_the_body_as_it_is() {
    check(
        "mc.setJsonText(mc, null); var text = mc.getJsonText(); mc.setJsonObject(mc, JSON.parse(text)); var o = mc.jsonObject(mc); mc.setProperty('json', o); mc.setPayloadJSON(mc.getProperty('json'));",
        "{}",
    );
    check(
        "mc.setJsonText(mc, '[1]'); mc.setJsonObject(mc, [2]); mc.setPayloadJSON([mc.getJsonText(), mc.getPayloadJSON(), mc.jsonObject(mc), mc.jsonObject(null), mc.setJsonText(null, 'x')]);",
        "[\"[1]\",[2],[2],null,false]",
    );
    check(
        "mc.setJsonObject(mc, 1); mc.setPayloadJSON([3]); mc.setPayloadJSON([mc.getPayloadJSON()])",
        "[[3]]",
    );
    assert!(fault("mc.setJsonText('x')").contains("setJsonText(mc, value) takes `mc` first"));
    let (outcome, mut exchange) = ALL.run(
        &format!(
            "{}{}",
            script("mc.setJsonText(mc, '[7]')"),
            script("mc.setProperty('seen', mc.getJsonText() + mc.getPayloadText())")
        ),
        JSON,
    );
    outcome.expect("no fault");
    let before = exchange.properties.text("JSON_TEXT");
    assert_eq!(before.as_deref(), Some("[7]"));
    let body = written(&mut exchange);
    assert_eq!(exchange.properties.text("seen"), Some(format!("[7]{body}")));
}

#[test]
fn xpath_is_asked_of_xml_values() {
    let after = |text: &str| {
        let text = format!("var x = mc.getPayloadXML();\nmc.setProperty('a', ({text}) + '');");
        let (outcome, exchange) = ALL.run(&script(&text), QUOTE);
        match outcome {
            Ok(_) => exchange.properties.text("a").unwrap_or_default(),
            Err(fault) => fault.reason.to_string(),
        }
    };
    for (text, expected) in [
        (
            "mc.getXpathResult(\"//*[local-name()='Code']\").selectNodes(x).get(0).getText()",
            "A&B",
        ),
        ("mc.getXpathResult('//none').selectNodes(x).size()", "0"),
        ("mc.getXpathResult('//none').selectSingleNode(x)", "null"),
        (
            "mc.getXpathResult('//*').selectNodes(x)[1].getLocalName()",
            "Code",
        ),
        (
            "mc.getXpathResult('//text()').selectNodes(x).get(0).getText()",
            "A&B",
        ),
        ("mc.getXpathResult('count(//*)').numberValueOf(x) + 1", "3"),
        ("mc.getXpathResult('count(//*)').selectNodes(x).get(0)", "2"),
        ("mc.getXpathResult('/*').stringValueOf(x)", "A&B"),
        ("mc.getXpathResult('//*[2]').booleanValueOf(x)", "false"),
        (
            "mc.getXpathResult('..').selectNodes(x.*::Code)[0].localName()",
            "quote",
        ),
        (
            "(function() { var p = mc.getXpathResult('q:Code'); p.addNamespace('q', 'urn:q'); return p.stringValueOf(x) + p })()",
            "A&Bq:Code",
        ),
        (
            "mc.getXpathResult('//@b').selectNodes(mc.parseXml('<a b=\"1\"/>')).get(0).getText()",
            "1",
        ),
        (
            "(function() { var n = mc.getXpathResult('//*[2]|//b').selectNodes(mc.parseXml('<a><b/><b>2</b></a>')), i = n.iterator(), s = ''; while (i.hasNext()) { s += i.next().getText() + ';' } return s + n.length })()",
            ";2;2",
        ),
        (
            "(function() { mc.getXpathResult('//*').selectNodes(x).get(1).setText('C'); return x })()",
            "<q:quote xmlns:q=\"urn:q\"><q:Code>C</q:Code></q:quote>",
        ),
        (
            "mc.parseXml('<a><b/><b>2</b></a>').getElementsByTagName('b').item(1).getTextContent()",
            "2",
        ),
        ("x.getFirstElement().getNodeName()", "q:Code"),
    ] {
        assert_eq!(after(text), expected, "{text}");
    }
    for (text, expected) in [
        ("mc.getXpathResult('//[').selectNodes(x)", "the XPath `//[`: "),
        ("mc.getXpathResult('//m:a').selectNodes(x)", "the XPath `//m:a`: "),
        (
            "mc.getXpathResult('//a').selectNodes('<a/>')",
            "selectNodes() is asked of XML",
        ),
        (
            "mc.getXpathResult('//a').selectNodes(x).get(0)",
            "there is no item 0 in this list, which has 0",
        ),
        (
            "mc.getXpathResult('$ctx:a').selectNodes(x)",
            "the XPath `$ctx:a`: ",
        ),
        ("mc.parseXml('a')", "parseXml: the text is not XML"),
    ] {
        assert!(after(text).contains(expected), "{text}: {}", after(text));
    }
}

const QUOTE: &str = "POST /\nContent-Type: text/xml\n\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><q:quote xmlns:q=\"urn:q\"><q:Code>A&amp;B</q:Code></q:quote></s:Body></s:Envelope>";

#[test]
fn xml_comes_as_e4x_and_goes_as_it() {
    let written_after = |text: &str| {
        let text = format!("{text}\nmc.setProperty('messageType', 'application/xml', 'axis2');");
        let (outcome, mut exchange) = ALL.run(&script(&text), QUOTE);
        outcome.expect("no fault");
        written(&mut exchange)
    };
    assert_eq!(
        written_after(
            "var code = mc.getPayloadXML()..*::Code.toString();\nmc.setPayloadXML(<m:a xmlns:m=\"urn:m\">\n  <m:b c={code}>{code}</m:b>\n</m:a>);"
        ),
        "<m:a xmlns:m=\"urn:m\"><m:b c=\"A&amp;B\">A&amp;B</m:b></m:a>"
    );
    assert_eq!(
        written_after("var x = mc.getPayloadXML(); x.*::Code = 'C'; mc.setPayloadXML(x);"),
        "<q:quote xmlns:q=\"urn:q\"><q:Code>C</q:Code></q:quote>"
    );
    assert_eq!(
        written_after("mc.setPayloadXML(mc.getEnvelopeXML()..*::Code);"),
        // With what was declared around it.
        "<q:Code xmlns:q=\"urn:q\" xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">A&amp;B</q:Code>"
    );
    let (outcome, exchange) = ALL.run(
        &script("var x = mc.getPayloadXML(); mc.setProperty('element', x.*::Code); mc.setProperty('text', x.*::Code.text()); mc.setVariable('none', x.none); mc.addHeader(false, <w:t xmlns:w='urn:w'>{1}</w:t>)"),
        QUOTE,
    );
    outcome.expect("no fault");
    use crate::message::properties::Value;
    let properties = &exchange.properties;
    assert!(matches!(
        properties.get("element").as_deref(),
        Some(Value::Xml(_))
    ));
    assert_eq!(properties.get("text").as_deref(), Some(&Value::text("A&B")));
    assert_eq!(properties.variables.get("none"), Some(&Value::text("")));
    let envelope = exchange.message.payload.built_envelope().expect("it is XML");
    assert!(
        envelope
            .tree()
            .to_text(envelope.root())
            .contains("<w:t xmlns:w=\"urn:w\">1</w:t>")
    );
    // Without a word of its syntax too.
    assert_eq!(
        written_after(
            "var x = mc.getEnvelopeXML(); if (x.child(0) == x.children() && x.none == undefined) { mc.setPayloadXML(x.children()[0].children()) }"
        ),
        "<q:quote xmlns:q=\"urn:q\" xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><q:Code>A&amp;B</q:Code></q:quote>"
    );
    // What an earlier step has left is XML too.
    let two = format!(
        "{}{}",
        script("mc.setProperty('x', <a><b>1</b></a>)"),
        script("mc.setPayloadJSON({b: mc.getProperty('x').b == 1, s: mc.getProperty('x')})")
    );
    assert_eq!(ALL.body(&two, JSON), "{\"b\":true,\"s\":\"<a><b>1</b></a>\"}");
}

#[test]
fn settings_of_xml_end_with_the_run() {
    let steps = [
        "XML.prettyPrinting = true; XML.ignoreWhitespace = false; default xml namespace = 'urn:a';",
        "mc.setPayloadJSON([<a><b/></a>.toXMLString(), new XML('<a> <b/></a>').toXMLString()])",
    ];
    let steps: String = steps.iter().map(|text| script(text)).collect();
    assert_eq!(ALL.body(&steps, JSON), "[\"<a><b/></a>\",\"<a><b/></a>\"]");
}

#[test]
fn mistakes_and_errors_in_e4x_have_their_place_in_the_file() {
    let shown = |text: &str| match ALL.plan(&script(text)) {
        Ok(_) => "nothing".to_owned(),
        Err(told) => told,
    };
    for (text, place, message) in [
        (
            "\nvar a = <b>\n  <c>\n</b>;\n",
            "test.xml:4:1",
            "`</b>` stands where `</c>` is expected",
        ),
        (
            "\nvar a = <b>{c}</b>;\nvar d = ;\n",
            "test.xml:3:9",
            "this is no JavaScript",
        ),
        (
            "\nvar a = <b>{c +}</b>;\n",
            "test.xml:2:16",
            "this is no JavaScript",
        ),
        (
            "\nvar a = b..c.(d == );\n",
            "test.xml:2:20",
            "this is no JavaScript",
        ),
        ("\nvar a = <p:b/>;\n", "test.xml:2:", "p"),
        (
            "\nvar a = b..*::c; new java.util.Date();\n",
            "test.xml:2:22",
            "is Java",
        ),
    ] {
        let shown = shown(text);
        assert!(
            shown.contains(place) && shown.contains(message),
            "{text}: {shown}"
        );
    }
    for (text, place) in [
        ("var a = <b>\n  <c>{1}</c>\n</b>;\nnothing.x();", "test.xml:4:"),
        ("var a = <b>\n  <c>{nothing.x}</c>\n</b>;", "test.xml:2:"),
        ("var a = <b><c/><c/></b>;\na.c.name();", "test.xml:2:"),
        ("var a = 1;\nnew XML('<a>')", "test.xml:2:"),
    ] {
        let reason = fault(text);
        assert!(reason.contains(place), "{text}: {reason}");
    }
    // Literals of a script outside of CDATA are entities in the file.
    let escaped = "<script language=\"js\">var a = &lt;b&gt;{1}&lt;/b&gt;;\nvar c = &lt;d&gt;;</script>";
    let told = ALL.plan(escaped).map(|_| ()).expect_err("it is not closed");
    assert!(told.contains("test.xml:2:9"), "{told}");
    let right = "<script language=\"rhinoJs\">var a = &lt;b&gt;{'&amp;lt;'}&lt;/b&gt;; mc.setPayloadJSON([a.toXMLString()])</script>";
    assert_eq!(ALL.body(right, JSON), "[\"<b>&amp;lt;</b>\"]");
}

#[test]
fn what_harms_in_xml_is_ended_too() {
    for (text, expected) in [
        (
            "var x = <a/>; while (true) { x.appendChild(<b/>) }",
            "a loop went round more than",
        ),
        (
            "var x = <a/>, y = x; for (var i = 0; i < 3000; i++) { y.b = ''; y = y.b[0] }\nmc.setPayloadXML(x)",
            "more than",
        ),
        ("new XML('<a>'.repeat(300) + '</a>'.repeat(300))", "not xml"),
    ] {
        let reason = fault(text);
        assert!(
            reason.to_lowercase().contains(expected) || reason.contains("it took longer"),
            "{text}: {reason}"
        );
    }
}

#[test]
fn a_file_that_is_an_element_holds_the_script_as_its_text() {
    let trial = Trial {
        entries: &[
            (
                "samples/quote.js",
                "<x><![CDATA[\nfunction mediate(mc) {\n    mc.setPayloadJSON([<a>{1}</a>.toXMLString()]);\n}\nfunction bad(mc) {\n    boom();\n}\n]]></x>",
            ),
            (
                "samples/wrong.js",
                "<x><![CDATA[\nfunction mediate(mc) {\n  var a = ;\n}]]></x>",
            ),
        ],
        ..ALL
    };
    let body = trial.body("<script language=\"js\" key=\"samples/quote.js\"/>", JSON);
    assert_eq!(body, "[\"<a>1</a>\"]");
    let bad = "<script language=\"js\" key=\"samples/quote.js\" function=\"bad\"/>";
    let fault = trial.run(bad, JSON).0.expect_err("it fails");
    assert!(
        fault
            .detail
            .as_deref()
            .unwrap_or_default()
            .contains("samples/quote.js:6:"),
        "{fault:?}"
    );
    let told = trial
        .plan("<script language=\"js\" key=\"samples/wrong.js\"/>")
        .map(|_| ())
        .expect_err("no JavaScript");
    assert!(told.contains("samples/wrong.js:3:11"), "{told}");
}
