//! Sources and targets of `<enrich>`, in XML and in JSON.

use super::super::trial::{self, Trial};
use crate::message::json::Json;
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{XmlLimits, XmlTree};
use std::sync::Arc;

const PLAIN: Trial<'_> = Trial {
    kinds: super::super::ALL,
    entries: &[],
    properties: &[],
};

fn enrich(source: &str, target: &str) -> String {
    format!("<enrich><source {source}</source><target {target}/></enrich>")
}

fn xml_request(body: &str) -> String {
    format!("POST /\nContent-Type: application/xml\n\n{body}")
}

fn json_request(body: &str) -> String {
    format!("POST /\nContent-Type: application/json\n\n{body}")
}

fn check_xml(source: &str, target: &str, body: &str, expected: &str) {
    assert_eq!(PLAIN.body(&enrich(source, target), &xml_request(body)), expected);
}

fn check_json(source: &str, target: &str, body: &str, expected: &str) {
    assert_eq!(PLAIN.body(&enrich(source, target), &json_request(body)), expected);
}

fn element(text: &str) -> Value {
    Value::Xml(Fragment::of_element(
        XmlTree::parse_str(text, &XmlLimits::default()).unwrap(),
    ))
}

/// What a property holds after an enrichment of this request.
fn check_property(source: &str, held: Option<Value>, action: &str, request: &str, expected: &str) {
    let held = held.map(|value| [("p", value)]);
    let trial = Trial {
        properties: held.as_ref().map_or(&[], |held| &held[..]),
        ..PLAIN
    };
    let target = format!("type='property' property='p' action='{action}'");
    let (outcome, exchange) = trial.run(&enrich(source, &target), request);
    outcome.unwrap();
    assert_eq!(exchange.properties.text("p").unwrap_or_default(), expected);
}

#[test]
fn combinations_that_synapse_refuses_are_refused() {
    for (source, target) in [
        ("type='envelope'>", "type='body'"),
        ("type='envelope'>", "xpath='//a'"),
        ("type='body'>", "type='body'"),
        ("type='body'>", "type='envelope'"),
        ("xpath='//a'>", "type='envelope'"),
        ("type='property' property='p'>", "type='envelope' action='child'"),
        ("type='body'>", "type='body' action='remove'"),
        ("xpath='//a'>", "xpath='//b' action='remove'"),
        ("type='body'>", "type='key' xpath='json-eval($.a)'"),
        (
            "type='inline'>x",
            "type='key' xpath='json-eval($.a)' action='child'",
        ),
        ("type='inline'>{}", "xpath='json-eval($)'"),
        ("type='inline'>x", "type='inline'"),
        ("type='inline'>", "type='body'"),
        (">", "type='body'"),
        ("type='property'>", "type='body'"),
        ("xpath='//a'>", "type='property'"),
        ("xpath='//a'>", "type='property' property='p' action='remove'"),
        ("xpath='//a'>", "type='variable' variable='v'"),
    ] {
        assert!(PLAIN.plan(&enrich(source, target)).is_err(), "{source} {target}");
    }
}

#[test]
fn an_element_is_replaced_filled_or_joined() {
    let new = "type='inline'><n xmlns=''/>";
    check_xml(new, "xpath='//b'", "<a><b/><c/></a>", "<a><n/><c/></a>");
    check_xml(
        new,
        "xpath='//b' action='child'",
        "<a><b>1</b></a>",
        "<a><b>1<n/></b></a>",
    );
    check_xml(
        new,
        "xpath='//b' action='sibling'",
        "<a><b/><c/></a>",
        "<a><b/><n/><c/></a>",
    );
    check_xml(
        "type='inline'>text",
        "xpath='//b'",
        "<a><b><x/></b></a>",
        "<a><b>text</b></a>",
    );
}

#[test]
fn the_first_node_that_is_selected_is_the_target() {
    check_xml(
        "type='inline'>2",
        "xpath='//b'",
        "<a><b>1</b><b>1</b></a>",
        "<a><b>2</b><b>1</b></a>",
    );
}

#[test]
fn texts_and_attributes_can_be_targets() {
    check_xml(
        "type='inline'>2",
        "xpath='//b/text()'",
        "<a><b>1</b></a>",
        "<a><b>2</b></a>",
    );
    check_xml(
        "type='inline'><n xmlns=''/>",
        "xpath='//b/text()'",
        "<a><b>1</b></a>",
        "<a><b><n/></b></a>",
    );
    check_xml(
        "type='inline'>2",
        "xpath='//b/@x'",
        "<a><b x='1'/></a>",
        "<a><b x=\"2\"/></a>",
    );
}

#[test]
fn a_source_that_selects_nothing_changes_nothing() {
    check_xml("xpath='//none'>", "xpath='//b'", "<a><b/></a>", "<a><b/></a>");
    check_xml(
        "type='property' property='none'>",
        "type='body'",
        "<a><b/></a>",
        "<a><b/></a>",
    );
}

#[test]
fn a_target_that_is_not_there_is_a_fault() {
    check_xml(
        "type='inline'>x",
        "xpath='//none'",
        "<a/>",
        "fault 0 Invalid Target object to be enrich.",
    );
    check_json(
        "type='inline'>1",
        "xpath='json-eval($.a.b)'",
        "{}",
        "fault 0 No results for path: $.a.b",
    );
}

#[test]
fn several_nodes_take_the_place_of_one() {
    check_xml(
        "xpath='//n'>",
        "xpath='//b'",
        "<a><b/><n>1</n><n>2</n></a>",
        "<a><n>1</n><n>2</n><n>1</n><n>2</n></a>",
    );
}

#[test]
fn without_clone_a_node_moves() {
    check_xml(
        "xpath='//n' clone='false'>",
        "xpath='//b' action='child'",
        "<a><b/><n/></a>",
        "<a><b><n/></b></a>",
    );
    // Nothing is moved into itself.
    check_xml(
        "xpath='//b' clone='false'>",
        "xpath='//b/c' action='child'",
        "<a><b><c/></b></a>",
        "<a><b><c><b><c/></b></c></b></a>",
    );
}

#[test]
fn a_custom_source_replaces_the_body() {
    check_xml("xpath='//b'>", "type='body'", "<a><b>1</b></a>", "<b>1</b>");
    check_xml(
        "xpath='//b'>",
        "type='body' action='sibling'",
        "<a><b>1</b></a>",
        "<a><b>1</b></a>",
    );
    check_xml(
        "xpath='//b'>",
        "type='body' action='child'",
        "<a><b>1</b></a>",
        "<a><b>1</b><b>1</b></a>",
    );
    check_xml(
        "type='inline'>text",
        "type='body'",
        "<a><b>1</b></a>",
        "<a>text</a>",
    );
}

#[test]
fn an_xpath_removes_its_nodes() {
    check_xml(
        "xpath='//b | //@x'>",
        "type='body' action='remove'",
        "<a x='1'><b/><c/><b/></a>",
        "<a><c/></a>",
    );
}

#[test]
fn a_property_holds_the_nodes() {
    check_property(
        "type='body'>",
        None,
        "replace",
        &xml_request("<a><b/></a>"),
        "<a><b/></a>",
    );
    check_property(
        "xpath='//b'>",
        None,
        "replace",
        &xml_request("<a><b>1</b><b>2</b></a>"),
        "<b>1</b><b>2</b>",
    );
    check_property(
        "xpath='//b/text()'>",
        None,
        "replace",
        &xml_request("<a><b>1</b></a>"),
        "1",
    );
    check_property(
        "xpath='//b'>",
        Some(element("<p/>")),
        "child",
        &xml_request("<a><b/></a>"),
        "<p><b/></p>",
    );
    check_property(
        "xpath='//b'>",
        Some(Value::text("<p/>")),
        "child",
        &xml_request("<a><b/></a>"),
        "<p><b/></p>",
    );
    check_property(
        "xpath='//b'>",
        Some(Value::text("p")),
        "child",
        &xml_request("<a><b/></a>"),
        "<b/>",
    );
}

#[test]
fn a_property_is_the_source() {
    for (value, expected) in [
        (element("<p>1</p>"), "<a><p>1</p></a>"),
        (Value::text("<p/>"), "<a><b>&lt;p/&gt;</b></a>"),
    ] {
        let trial = Trial {
            properties: &[("p", value)],
            ..PLAIN
        };
        let config = enrich("type='property' property='p'>", "xpath='//b'");
        assert_eq!(trial.body(&config, &xml_request("<a><b/></a>")), expected);
    }
}

#[test]
fn a_property_named_by_an_xpath_is_a_target() {
    let config = enrich("xpath='//b'>", "xpath=\"get-property('axis2', 'kept')\"");
    let (outcome, exchange) = PLAIN.run(&config, &xml_request("<a><b/></a>"));
    outcome.unwrap();
    assert_eq!(exchange.properties.axis2_text("kept").as_deref(), Some("<b/>"));
}

#[test]
fn an_envelope_is_kept_and_put_back() {
    let config = enrich("type='envelope'>", "type='property' property='e'")
        + enrich("type='inline'><x xmlns=''/>", "type='body'").as_str()
        + enrich("type='property' property='e'>", "type='envelope'").as_str();
    assert!(PLAIN.body(&config, &xml_request("<a/>")).contains("<a/>"));
    let config = enrich("type='inline'><x xmlns=''/>", "type='envelope'");
    assert_eq!(
        PLAIN.body(&config, &xml_request("<a/>")),
        "fault 0 A SOAPEnvelope is expected"
    );
}

#[test]
fn inline_content_is_filled_in() {
    let trial = Trial {
        properties: &[("v", Value::text("a < b")), ("x", Value::text("<x/>"))],
        ..PLAIN
    };
    let check = |source: &str, target: &str, request: &str, expected: &str| {
        assert_eq!(trial.body(&enrich(source, target), request), expected, "{source}");
    };
    let xml = &xml_request("<a><b/></a>");
    check(
        "type='inline'><n xmlns=''>{$ctx:v}</n>",
        "xpath='//b'",
        xml,
        "<a><n>a &lt; b</n></a>",
    );
    check(
        "type='inline'><n xmlns=''>{get-property('x')}</n>",
        "xpath='//b'",
        xml,
        "<a><n><x/></n></a>",
    );
    check("type='inline'>{$ctx:x}", "xpath='//b'", xml, "<a><x/></a>");
    // Only an element with an expression in its own text is filled in.
    check(
        "type='inline'><n xmlns=''><m>{$ctx:v}</m></n>",
        "xpath='//b'",
        xml,
        "<a><n><m>{$ctx:v}</m></n></a>",
    );
    let json = &json_request(r#"{"a":{"b":[1]},"t":"say \"x\""}"#);
    check(
        r#"type='inline'>{"n":{json-eval($.a)}}"#,
        "type='body'",
        json,
        r#"{"n":{"b":[1]}}"#,
    );
    check(
        r#"type='inline'>{"n":{json-eval($.t)}}"#,
        "type='body'",
        json,
        r#"{"n":"say \"x\""}"#,
    );
    check(
        r#"type='inline'>{"n":"{json-eval($.t)}"}"#,
        "type='body'",
        json,
        r#"{"n":"say \"x\""}"#,
    );
    check(
        r#"type='inline'>{"n":{json-eval($.none)}}"#,
        "type='body'",
        json,
        r#"{"n":""}"#,
    );
}

#[test]
fn inline_content_can_stand_in_an_entry() {
    let trial = Trial {
        entries: &[("x", "<x><y/></x>"), ("j", r#"{"y":1}"#)],
        ..PLAIN
    };
    let config = |key: &str| enrich(&format!("type='inline' key='{key}'>"), "type='body'");
    assert_eq!(trial.body(&config("x"), &xml_request("<a/>")), "<x><y/></x>");
    assert_eq!(trial.body(&config("j"), &json_request("{}")), r#"{"y":1}"#);
    assert!(trial.plan(&config("nowhere")).is_err());
}

#[test]
fn json_is_set_added_and_removed_in_place() {
    check_json(
        "type='inline'>{\"n\":1.50}",
        "xpath='json-eval($.a)'",
        r#"{"a":0,"b":2}"#,
        r#"{"a":{"n":1.50},"b":2}"#,
    );
    check_json(
        "type='inline'>3",
        "xpath='json-eval($.a)' action='child'",
        r#"{"a":[1]}"#,
        r#"{"a":[1,3]}"#,
    );
    check_json(
        "type='inline'>{\"n\":1}",
        "xpath='json-eval($)' action='child'",
        r#"{"a":0}"#,
        r#"{"a":0,"n":1}"#,
    );
    check_json(
        "type='inline'>3",
        "xpath='json-eval($.a)' action='child'",
        r#"{"a":1}"#,
        r#"{"a":1}"#,
    );
    check_json(
        "type='inline'>3",
        "xpath='json-eval($.a)' action='sibling'",
        r#"{"a":1}"#,
        r#"{"a":1}"#,
    );
    check_json(
        "xpath='json-eval($.in.{json-eval($.from)})'>",
        "xpath='json-eval($.out.{json-eval($.to)})'",
        r#"{"from":"a","to":"b","in":{"a":1},"out":{"b":0}}"#,
        r#"{"from":"a","to":"b","in":{"a":1},"out":{"b":1}}"#,
    );
    check_json("type='inline'>[1]", "type='body'", r#"{"a":1}"#, "[1]");
    check_json("type='inline'>1", "type='body'", r#"{"a":1}"#, r#"{"a":1}"#);
    check_json(
        "xpath='json-eval($.a)'>",
        "type='body'",
        r#"{"a":{"b":1}}"#,
        r#"{"b":1}"#,
    );
    check_json(
        "xpath='json-eval($..id)'>",
        "xpath='json-eval($.ids)'",
        r#"{"ids":0,"l":[{"id":1},{"id":2}]}"#,
        r#"{"ids":[1,2],"l":[{"id":1},{"id":2}]}"#,
    );
    check_json(
        "xpath=\"json-eval($['a','b'],$.l[*])\">",
        "type='body' action='remove'",
        r#"{"a":1,"b":2,"c":3,"l":[1]}"#,
        r#"{"c":3,"l":[]}"#,
    );
    check_json(
        "xpath='json-eval($.none)'>",
        "type='body' action='remove'",
        "{}",
        "fault 0 Error occurred while executing the action : remove",
    );
    check_json(
        "xpath='json-eval($..none)'>",
        "type='body' action='remove'",
        "{}",
        "{}",
    );
    check_json("xpath='json-eval($)'>", "type='body' action='remove'", "{}", "");
    check_json(
        "xpath='json-eval($.none)'>",
        "type='body'",
        "{}",
        "fault 0 No results for path: $.none",
    );
}

#[test]
fn a_property_is_json_when_it_can_be() {
    let check = |value: Value, expected: &str| {
        let trial = Trial {
            properties: &[("p", value)],
            ..PLAIN
        };
        let config = enrich("type='property' property='p'>", "xpath='json-eval($.a)'");
        assert_eq!(trial.body(&config, &json_request(r#"{"a":0}"#)), expected);
    };
    check(
        Value::text("words and \"quotes\""),
        r#"{"a":"words and \"quotes\""}"#,
    );
    check(Value::text("1.0"), r#"{"a":1.0}"#);
    check(Value::text(r#"{"b":[1]}"#), r#"{"a":{"b":[1]}}"#);
    check(Value::Integer(7), r#"{"a":7}"#);
    check(Value::Boolean(true), r#"{"a":true}"#);
    check(Value::Json(Arc::new(Json::Null)), r#"{"a":null}"#);
}

#[test]
fn json_in_a_property_is_its_text() {
    check_property(
        "xpath='json-eval($.a)'>",
        None,
        "replace",
        &json_request(r#"{"a":"x"}"#),
        "\"x\"",
    );
    check_property(
        "type='body'>",
        None,
        "replace",
        &json_request(r#"{"a": [1]}"#),
        r#"{"a":[1]}"#,
    );
    check_property(
        "xpath='json-eval($.a)'>",
        Some(Value::text("[1]")),
        "child",
        &json_request(r#"{"a":2}"#),
        "[1,2]",
    );
    check_property(
        "xpath='json-eval($.b)'>",
        Some(Value::text(r#"{"b":1,"c":2}"#)),
        "remove",
        &json_request("{}"),
        r#"{"c":2}"#,
    );
}

#[test]
fn a_source_that_is_xml_makes_the_message_xml() {
    let trial = Trial {
        properties: &[("p", element("<p>1</p>"))],
        ..PLAIN
    };
    let config = enrich("type='property' property='p'>", "type='body'");
    assert_eq!(trial.body(&config, &json_request(r#"{"a":1}"#)), r#"{"p":1}"#);
    check_json(
        "type='inline'><n xmlns=''>x</n>",
        "xpath='//a'",
        r#"{"a":1,"b":2}"#,
        r#"{"n":"x","b":2}"#,
    );
}

#[test]
fn a_text_that_is_json_replaces_an_xml_body() {
    let trial = Trial {
        properties: &[("p", Value::text(r#"{"a":1}"#))],
        ..PLAIN
    };
    let config = enrich("type='property' property='p'>", "type='body'");
    assert_eq!(
        trial.body(&config, &xml_request("<x/>")),
        "<jsonObject><a>1</a></jsonObject>"
    );
}

#[test]
fn a_member_gets_another_name() {
    let rename = |body: &str, expected: &str| {
        check_json(
            "type='inline'>\"n\"",
            "type='key' xpath='json-eval($.l.o)'",
            body,
            expected,
        )
    };
    rename(r#"{"l":{"o":1,"p":2}}"#, r#"{"l":{"p":2,"n":1}}"#);
    rename(r#"{"l":[{"o":1},{"o":2}]}"#, r#"{"l":[{"n":1},{"n":2}]}"#);
    rename(r#"{"l":{}}"#, "fault 0 No results for path: $.l.o");
    check_json(
        "type='inline'>{}",
        "type='key' xpath='json-eval($.o)'",
        r#"{"o":1}"#,
        "fault 0 Failed to get the new key name from source for Enriching. Key name must be a string.",
    );
}

#[test]
fn paths_that_rename_and_remove_may_hold_expressions() {
    let trial = Trial {
        properties: &[("at", Value::text("1")), ("name", Value::text("o.p"))],
        ..PLAIN
    };
    let body = json_request(r#"{"l":[{"o":1},{"o":2,"p":3}]}"#);
    let removed = enrich(
        "xpath='json-eval($.l[{$ctx:at}].p, $.l[0])'>",
        "type='body' action='remove'",
    );
    assert_eq!(trial.body(&removed, &body), r#"{"l":[{"o":2}]}"#);
    let renamed = enrich(
        "type='inline'>\"n\"",
        "type='key' xpath='json-eval($.l[{$ctx:at}].{json-eval($.l[0].k)})'",
    );
    assert_eq!(
        trial.body(&renamed, &json_request(r#"{"l":[{"k":"p"},{"o":2,"p":3}]}"#)),
        r#"{"l":[{"k":"p"},{"o":2,"n":3}]}"#
    );
}

#[test]
fn a_body_that_was_not_there_is_written_afterwards() {
    let (outcome, mut exchange) =
        PLAIN.run(&enrich("type='inline'><a xmlns=''/>", "type='body'"), "GET /?x=1");
    outcome.unwrap();
    assert!(exchange.properties.axis2("NO_ENTITY_BODY").is_none());
    exchange.set_message_type("application/xml");
    assert_eq!(trial::written(&mut exchange), "<a/>");
}
