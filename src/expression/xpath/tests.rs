//! What the oracle (`tests/it/xpath_oracle.rs`) does not ask: mistakes, the host, Synapse's texts, budgets.

use super::*;
use crate::message::xml::XmlLimits;

const ORDER: &str = "<s:Envelope xmlns:s='urn:s'><s:Header><h/></s:Header><s:Body><o:order xmlns:o='urn:o' id='7'>\
    <item n='1'> one </item><item n='2'>two<b/></item><empty><c>x</c></empty><price>10.5</price></o:order></s:Body></s:Envelope>";

fn parse(text: &str) -> XmlTree {
    XmlTree::parse_str(text, &XmlLimits::default()).expect(text)
}

fn namespaces() -> Namespaces {
    Namespaces::new().with("s", "urn:s").with("o", "urn:o")
}

struct Properties;

impl Host for Properties {
    fn variable(&mut self, prefix: &str, name: &str) -> Result<HostValue, String> {
        Ok(match (prefix, name) {
            ("ctx", "order.id-1") => HostValue::Text("7".to_string()),
            ("ctx", "count") => HostValue::Integer(2),
            ("ctx", "double") => HostValue::Number(2.0),
            ("ctx", "flag") => HostValue::Boolean(true),
            ("ctx", "xml") => {
                let tree = parse("<p><a k='1'>A</a><a k='2'>B</a></p>");
                let root = tree.document_element().expect("p");
                HostValue::Nodes(Arc::new(tree), vec![root])
            }
            ("func" | "trp" | "url", _) => HostValue::Text(format!("{prefix}/{name}")),
            _ => HostValue::Nothing,
        })
    }

    fn call(&mut self, _: &str, name: &str, arguments: &[XPathValue<'_>]) -> Result<HostValue, String> {
        let texts: Vec<String> = arguments
            .iter()
            .map(|argument| argument.as_text().into_owned())
            .collect();
        match texts.join(",").as_str() {
            "fail" => Err("it failed".to_string()),
            "missing" => Ok(HostValue::Nothing),
            arguments => Ok(HostValue::Text(format!("{name}({arguments})"))),
        }
    }
}

fn ask<T>(expression: &str, then: impl FnOnce(XPathValue<'_>) -> T) -> T {
    let tree = parse(ORDER);
    let root = tree.document_element().expect("an envelope");
    let mut parts = tree.child_elements(root);
    let (header, body) = (parts.next(), parts.next());
    let focus = Focus {
        tree: Some(&tree),
        context: root,
        header,
        body,
    };
    let xpath =
        XPath::compile(expression, &namespaces()).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let value = xpath
        .evaluate(&focus, &mut Properties)
        .unwrap_or_else(|error| panic!("{expression}: {error}"));
    assert_eq!(
        xpath.holds(&focus, &mut Properties),
        Ok(value.as_boolean()),
        "{expression}"
    );
    then(value)
}

fn check(expression: &str, expected: &str) {
    assert_eq!(
        ask(expression, |value| value.as_text().into_owned()),
        expected,
        "{expression}"
    );
}

fn check_synapse(expression: &str, expected: Option<&str>) {
    assert_eq!(
        ask(expression, |value| value.synapse_text()).as_deref(),
        expected,
        "{expression}"
    );
}

fn check_mistake(expression: &str, message: &str, at: &str, help: Option<&str>) {
    let error = XPath::compile(expression, &namespaces()).expect_err(expression);
    assert!(error.message.contains(message), "{expression}: {}", error.message);
    assert_eq!(
        &expression[error.range.clone()],
        at,
        "{expression}: {}",
        error.message
    );
    match help {
        Some(help) => assert!(
            error.help.as_ref().is_some_and(|text| text.contains(help)),
            "{:?}",
            error.help
        ),
        None => assert_eq!(error.help, None, "{expression}"),
    }
}

#[test]
fn mistakes_are_told_at_their_place() {
    check_mistake("", "empty", "", None);
    check_mistake("//x:a", "`x` is not declared", "x", Some("xmlns:x"));
    check_mistake("//oo:a", "`oo` is not declared", "oo", Some("did you mean `o`?"));
    check_mistake(
        "a/strin-length(b)",
        "is not a kind of node",
        "strin-length",
        Some("as its argument"),
    );
    check_mistake(
        "strin-length(b)",
        "no function `strin-length`",
        "strin-length",
        Some("`string-length`"),
    );
    check_mistake(
        "get-propety('a')",
        "no function",
        "get-propety",
        Some("`get-property`"),
    );
    check_mistake(
        "1 + contains('a')",
        "takes 2 arguments, here are 1",
        "contains('a')",
        None,
    );
    check_mistake("concat('a')", "2 or more", "concat('a')", None);
    check_mistake("substring('a')", "2 to 3", "substring('a')", None);
    check_mistake("true(1)", "no arguments", "true(1)", None);
    check_mistake("count('a')", "nodes are expected", "'a'", None);
    check_mistake("a | 'b'", "nodes are expected", "'b'", None);
    check_mistake("'a'/b", "only nodes", "'a'", None);
    check_mistake("$bdy/a", "no variable `$bdy`", "$bdy", Some("`$body`"));
    check_mistake("$order", "no variable", "$order", Some("`$ctx:order`"));
    check_mistake("child:a", "`child` is not declared", "child", Some("xmlns:child"));
    check_mistake("childs::a", "no axis `childs`", "childs", Some("`child`"));
    check_mistake("a[1", "`]` is expected", "", None);
    check_mistake("(a", "`)` is expected", "", None);
    check_mistake("a]", "closes nothing", "]", None);
    check_mistake("a b", "operator is expected", "b", None);
    check_mistake("a = ", "missing at the end", "", None);
    check_mistake("a = 'b", "no closing quote", "'b", None);
    check_mistake("a && b", "no meaning", "&", Some("`and`"));
    check_mistake("!a", "no meaning", "!", Some("not("));
    check_mistake("a/", "missing at the end", "", None);
    check_mistake("$", "name of a variable", "$", None);
}

#[test]
fn expressions_have_a_greatest_length_and_depth() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(63), "1");
    assert!(XPath::compile(&nested(64), &namespaces()).is_err());
    assert!(XPath::compile(&nested(8000), &namespaces()).is_err());
    assert!(XPath::compile(&"a[".repeat(8000), &namespaces()).is_err());
    assert!(XPath::compile(&"not(".repeat(4000), &namespaces()).is_err());
    assert!(XPath::compile(&format!("'{}'", "x".repeat(17_000)), &namespaces()).is_err());
    check(&format!("1{}", "+1".repeat(8000)), "8001");
    check(&format!("{}1", "-".repeat(8000)), "1");
    check(&format!(".{}", "/.".repeat(8000)), " one twox10.5");
    check(&format!("count(.{})", "|.".repeat(8000)), "1");
}

#[test]
fn variables_and_functions_come_from_the_host() {
    check("$ctx:order.id-1", "7");
    check("//item[@n = $ctx:count]/@n", "2");
    check("//item[$ctx:count]/@n", "2");
    check("//o:order[@id = $ctx:order.id-1]/price", "10.5");
    check("$url:a.b-c", "url/a.b-c");
    check("concat($trp:Content-Type, '!')", "trp/Content-Type!");
    check("get-property('axis2', 'x')", "get-property(axis2,x)");
    check("syn:get-property('x')", "get-property(x)");
    check("base64Encode(//price)", "base64Encode(10.5)");
    check("wso2:vault-lookup(concat('a', 'b'))", "vault-lookup(ab)");
    check("fn:concat('a', fn:string(fn:count(//item)))", "a2");
    check("lower-case('AbC')", "abc");
    let tree = parse(ORDER);
    let xpath = XPath::compile("get-property('fail')", &namespaces()).expect("an expression");
    let answer = xpath.evaluate(&Focus::on(&tree, tree.document()), &mut Properties);
    assert_eq!(answer.expect_err("a failure").message, "it failed");
}

#[test]
fn null_is_no_value_and_equals_nothing() {
    check_synapse("get-property('missing')", None);
    check_synapse("$ctx:missing", None);
    check("boolean($ctx:missing)", "false");
    check("$ctx:missing = ''", "false");
    check("$ctx:missing != 'x'", "false");
    check("not($ctx:missing)", "true");
    check("concat('a', $ctx:missing)", "a");
    check("string-length($ctx:missing)", "0");
    check("count($ctx:missing)", "0");
}

#[test]
fn a_property_that_is_xml_can_be_walked() {
    check("$ctx:xml/a[2]", "B");
    check("$ctx:xml//@k", "1");
    check("count($ctx:xml//a | //item)", "4");
    check("$ctx:xml/a[@k = $ctx:count]", "B");
    check("//item[@n = $ctx:xml/a[. = 'B']/@k]/@n", "2");
    check("$ctx:xml/a[/p]", "A");
    check_synapse("$ctx:xml/a", Some("<a k=\"1\">A</a><a k=\"2\">B</a>"));
    check("$ctx:order.id-1/a", "");
}

#[test]
fn body_header_and_environment_are_nodes_of_the_message() {
    check("local-name($body)", "Body");
    check("local-name($header/*)", "h");
    check("name($env)", "s:Envelope");
    check("$body/o:order/@id", "7");
    check("s:Body/o:order/price", "10.5");
    check("/s:Envelope/s:Body//price", "10.5");
    check("count($body//item[@n > 0][last()])", "1");
}

#[test]
fn texts_are_those_that_synapse_makes() {
    check_synapse("//item[1]", Some("one"));
    check_synapse("//empty", Some("<empty><c>x</c></empty>"));
    check_synapse(
        "//item",
        Some("<item n=\"1\">one</item><item n=\"2\">two<b/></item>"),
    );
    check_synapse("//item/@n", Some("12"));
    check_synapse("//item/text()", Some(" one two"));
    check_synapse("//none", Some(""));
    check_synapse("//price/node()", Some("<price>10.5</price>"));
    check_synapse("//item[1]/node()", Some("<item n=\"1\">one</item>"));
    check_synapse("count(//item)", Some("2.0"));
    check_synapse("1 div 3", Some("0.3333333333333333"));
    check_synapse("10000000", Some("1.0E7"));
    check_synapse("1 div 0", Some("Infinity"));
    check_synapse("$ctx:count", Some("2"));
    check_synapse("$ctx:double", Some("2.0"));
    check_synapse("1 = 1", Some("true"));
    check_synapse("string(count(//item))", Some("2"));
    check_synapse("//comment()", Some(""));
}

#[test]
fn it_is_known_whether_the_payload_is_needed() {
    let needs = |expression: &str| XPath::compile(expression, &namespaces()).map(|xpath| xpath.needs_tree());
    for expression in [
        "'a'",
        "1 + 2",
        "$ctx:a",
        "get-property('a')",
        "concat($ctx:a, get-property('axis2', 'b'))",
        "$ctx:a/b[@c = 'd']//e",
        "$ctx:a/b[string-length() > position()]",
        "position() = last() and true()",
        "not($trp:x = 'y')",
    ] {
        assert_eq!(needs(expression), Ok(false), "{expression}");
    }
    for expression in [
        "a",
        "/",
        ".",
        "//a",
        "$body",
        "$ctx:a[. = $body]",
        "string()",
        "concat('a', //b)",
        "lang('de')",
    ] {
        assert_eq!(needs(expression), Ok(true), "{expression}");
    }
    let xpath = XPath::compile("concat($ctx:order.id-1, count(//a))", &namespaces()).expect("an expression");
    let value = xpath
        .evaluate(&Focus::nowhere(), &mut Properties)
        .expect("a value");
    assert_eq!(value.as_text(), "70");
}

#[test]
fn an_expression_that_looks_at_too_much_ends() {
    let tree = parse(&format!("<a>{}</a>", "<b><c/></b>".repeat(5000)));
    for expression in [
        "//*[count(//*) > 0]",
        "//*[//*[//none]]",
        "//*[count(preceding::*) < 0]",
        "//*[contains(/, 'x')]",
        "//*[count(//* | //c) > 0]",
        "//*/following::*/preceding::*",
    ] {
        let xpath = XPath::compile(expression, &namespaces()).expect("an expression");
        let error = xpath
            .evaluate_within(&Focus::on(&tree, tree.document()), &mut NoHost, 100_000)
            .expect_err(expression);
        assert!(error.message.contains("too many nodes"));
    }
}

#[test]
fn numbers_are_read_and_written_as_the_recommendation_says() {
    for (number, text) in [
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (-0.0, "0"),
        (-1.5, "-1.5"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(number_to_text(number), text);
    }
    for (text, number) in [
        (" 12 ", 12.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("1e3", f64::NAN),
        ("+1", f64::NAN),
        (".", f64::NAN),
        ("", f64::NAN),
    ] {
        assert_eq!(text_to_number(text).to_bits(), number.to_bits(), "{text}");
    }
    check("round(-0.4)", "0");
    check("1 div round(-0.4)", "-Infinity");
    check("round(0.49999999999999994)", "0");
    check("substring('12345', 1.5, 2.6)", "234");
    check("substring('12345', -42, 1 div 0)", "12345");
    check("substring('12345', 0 div 0, 3)", "");
}

#[test]
fn changed_trees_are_answered_in_document_order() {
    let mut tree = parse("<a><b/><c/></a>");
    let root = tree.document_element().expect("a");
    let (b, c) = (
        tree.first_child(root).expect("b"),
        tree.last_child(root).expect("c"),
    );
    tree.insert_before(b, c);
    tree.set_attribute(c, "", "", "k", "1");
    tree.set_attribute(b, "", "", "k", "2");
    let ask = |expression: &str| {
        let xpath = XPath::compile(expression, &namespaces()).expect(expression);
        xpath
            .evaluate(&Focus::on(&tree, tree.document()), &mut NoHost)
            .expect(expression)
            .as_text()
            .into_owned()
    };
    assert_eq!(ask("name(//*[2])"), "b");
    assert_eq!(ask("name(//b/preceding::*)"), "c");
    assert_eq!(ask("name((//b | //c)[1])"), "c");
    assert_eq!(ask("//@k"), "1");
    assert_eq!(ask("count(//@* | //b/@k)"), "2");
}

#[test]
fn words_in_any_order_never_panic_and_mistakes_lie_inside_the_text() {
    let words = [
        "a",
        "o:b",
        "x:c",
        "*",
        "o:*",
        "@",
        "@n",
        "/",
        "//",
        ".",
        "..",
        "[",
        "]",
        "(",
        ")",
        ",",
        "|",
        "+",
        "-",
        "=",
        "!=",
        "<",
        ">=",
        " and ",
        " or ",
        " div ",
        " mod ",
        "1",
        "2.5",
        ".5",
        "'é'",
        "\"",
        "$body",
        "$ctx:count",
        "$",
        "$ctx:xml",
        "text()",
        "node()",
        "count(",
        "concat(",
        "position()",
        "last()",
        "ancestor::",
        "following::",
        "namespace::",
        "substring(",
        "é",
        "💥",
        "get-property('x')",
        "::",
        ":",
        "!",
        " ",
        "processing-instruction('p')",
    ];
    let tree = parse(ORDER);
    let root = tree.document_element().expect("an envelope");
    let mut random = fastrand::Rng::with_seed(7);
    let mut answered = 0;
    for _ in 0..20_000 {
        let count = random.usize(1..12);
        let text: String = (0..count).map(|_| words[random.usize(0..words.len())]).collect();
        match XPath::compile(&text, &namespaces()) {
            Ok(xpath) => {
                answered += 1;
                if let Ok(value) = xpath.evaluate_within(&Focus::on(&tree, root), &mut Properties, 100_000) {
                    value.synapse_text();
                    value.as_number();
                }
            }
            Err(error) => assert!(text.get(error.range.clone()).is_some(), "{text}: {error:?}"),
        }
    }
    assert!(answered > 500, "only {answered} were expressions");
}

#[test]
fn nodes_can_be_kept_as_a_tree_of_their_own() {
    let keep = |expression: &str| {
        ask(expression, |value| match value {
            XPathValue::Nodes(nodes) => {
                let (tree, nodes) = nodes.into_fragment();
                nodes
                    .iter()
                    .map(|&node| tree.to_text(node))
                    .collect::<Vec<_>>()
                    .join("|")
            }
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(keep("//item/@n"), "1|2");
    assert_eq!(
        keep("//o:order/@id | //price | //price/text()"),
        "7|<price>10.5</price>|10.5"
    );
    assert_eq!(keep("$ctx:xml/a[1]"), "<a k=\"1\">A</a>");
    assert_eq!(keep("$body/namespace::s"), "urn:s");
}
