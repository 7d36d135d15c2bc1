use std::collections::HashMap;

use super::*;
use crate::expression::xpath::{NoHost, XPath};
use crate::message::json::{self, JsonLimits};
use crate::message::properties::Value;
use crate::message::xml::{NodeId, XmlLimits, XmlTree};

/// A message as small as a test wants it.
struct Small {
    payload: Json,
    xml: Option<XmlTree>,
    variables: HashMap<&'static str, Value>,
    texts: HashMap<&'static str, &'static str>,
}

fn json(text: &str) -> Json {
    json::parse(text.as_bytes(), &JsonLimits::default()).unwrap()
}

fn small() -> Small {
    let shop = r#"{"name":"Ann","age":30,"price":10.50,"null":null,"index":1,"true":true,"odd name":"odd","quoted":"\"q\"",
        "nums":[1,2,3.5],"cars":["Ford","BMW","Fiat"],"category":"b","dear":10,
        "book":[{"title":"A","category":"a","price":8.95},{"title":"B","category":"b","price":12.99},{"title":"C","category":"b","price":22.99}],
        "text":" Hello World ","nested":{"vars":{"payload":{"length":7}}},"@id":"at"}"#;
    let variables = [
        ("num1", Value::Integer(10)),
        ("num2", Value::Integer(5)),
        ("long", Value::Long(3_000_000_000)),
        ("half", Value::Double(-2.5)),
        ("name", Value::text("Ann")),
        ("empty", Value::text("")),
        ("flag", Value::Boolean(true)),
        (
            "doc",
            Value::Json(Arc::new(json(
                r#"{"a":[{"b":"x"},{"b":"y"}],"n":5,"payload":"<r><v>42</v></r>"}"#,
            ))),
        ),
        ("text", Value::text(r#"{"a":[1,2]}"#)),
        ("odd name", Value::text("odd")),
    ];
    let texts = [
        ("header Code", "007"),
        ("header X-Name", "Eve"),
        ("header price", "10"),
        ("header rate", "1.50"),
        ("query q", "search"),
        ("path id", "42"),
        ("function f", "fun"),
        ("axis2 HTTP_SC", "200"),
        ("synapse p", "prop"),
        ("synapse odd name", "B"),
        ("config host", "localhost"),
        ("registry gov:/x.json", r#"{"k":{"v":[1,"two"]}}"#),
        ("registry gov:/x.txt", "plain"),
        ("registry-property gov:/x.txt/owner", "ops"),
        ("secret db", "s3cret"),
    ];
    Small {
        payload: json(shop),
        xml: None,
        variables: variables.into(),
        texts: texts.into(),
    }
}

impl Small {
    fn get(&self, kind: &str, name: &str) -> Option<String> {
        self.texts
            .get(format!("{kind} {name}").as_str())
            .map(|text| (*text).to_owned())
    }
}

impl Surroundings for Small {
    fn payload_json(&mut self) -> Result<&Json, String> {
        Ok(&self.payload)
    }
    fn payload_is_xml(&self) -> bool {
        self.xml.is_some()
    }
    fn variable(&mut self, name: &str) -> Option<Value> {
        self.variables.get(name).cloned()
    }
    fn header(&mut self, name: &str) -> Option<String> {
        self.get("header", name)
    }
    fn query_parameter(&mut self, name: &str) -> Option<String> {
        self.get("query", name)
    }
    fn path_parameter(&mut self, name: &str) -> Option<String> {
        self.get("path", name)
    }
    fn function_parameter(&mut self, name: &str) -> Option<String> {
        self.get("function", name)
    }
    fn property(&mut self, place: Place, name: &str) -> Option<String> {
        self.get(if place == Place::Axis2 { "axis2" } else { "synapse" }, name)
    }
    fn config(&mut self, name: &str) -> Option<String> {
        self.get("config", name)
    }
    fn xpath(&mut self, xpath: &XPath) -> Result<XPathAnswer, String> {
        let tree =
            XmlTree::parse_str("<shop><name>Zoe</name><n>5</n></shop>", &XmlLimits::default()).unwrap();
        let text = match xpath.text() {
            "$body" => "<shop/>".to_owned(),
            _ => ask(xpath, &tree, tree.document()),
        };
        Ok(XPathAnswer {
            text,
            nodes: Some(Fragment::of_element(tree)),
        })
    }
    fn xpath_on(
        &mut self,
        xpath: &XPath,
        tree: &Arc<XmlTree>,
        element: NodeId,
    ) -> Result<XPathAnswer, String> {
        Ok(XPathAnswer {
            text: ask(xpath, tree, element),
            nodes: None,
        })
    }
    fn registry(&mut self, path: &str) -> Option<String> {
        self.get("registry", path)
    }
    fn registry_property(&mut self, path: &str, property: &str) -> Option<String> {
        self.get("registry-property", &format!("{path}/{property}"))
    }
    fn secret(&mut self, alias: &str) -> Option<String> {
        self.get("secret", alias)
    }
    fn now(&self) -> i64 {
        1_700_000_000_123
    }
}

fn ask(xpath: &XPath, tree: &XmlTree, context: NodeId) -> String {
    let focus = crate::expression::xpath::Focus::on(tree, context);
    xpath
        .evaluate(&focus, &mut NoHost)
        .unwrap()
        .synapse_text()
        .unwrap_or_default()
}

fn compiled(text: &str) -> Expression {
    Expression::compile(text, &Namespaces::new()).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"))
}

fn check(text: &str, expected: &str) {
    assert_eq!(
        compiled(text).evaluate_in(&mut small()).text(),
        expected,
        "{text}"
    );
}

#[test]
fn whole_numbers_grow_and_doubles_are_exact() {
    check("5 + 3 + -1", "7");
    check("2147483647 + 1", "2147483648");
    check("2147463647 * 2", "4294927294");
    check("3148483647 - 3147483647", "1000000");
    check("8.95 + 8.99", "17.94");
    check("0.1 + 0.2", "0.3");
    check("5.5 + 3.5", "9.0");
    check("8.9567 - 8.9456", "0.0111");
    check("72.0 * 1.032145", "74.31444");
    check("34.56 % 3.45", "0.06");
    check("10 % 3", "1");
    check("2 + 3 * 4", "14");
    check("(2 + 3) * 4", "20");
    check("5-3", "2");
    check("vars.num1 * vars.half", "-25.0");
}

/// BinaryOperationNode.performDoubleOperation divides at the scale of the dividend.
#[test]
fn division_keeps_whole_results_and_the_dividends_places() {
    check("9 / 3", "3");
    check("7 / 2", "3.5");
    check("1.0 / 3", "0.3");
    check("34.45 / 3.44", "10.01");
    check("10/10000", "0.001");
    check("20000000000/10", "2.0E9");
    check("100/10.0", "10.0");
    check("10 / 2 / -2.5 * 2", "-4.0");
    check("5/0", "");
    check("5.2/0", "");
    check("5 % 0", "");
}

#[test]
fn plus_joins_two_strings_and_nothing_else() {
    check("\"abc\" + 'xyz'", "abcxyz");
    check("\"abc\" + 5", "");
    check("payload.name + \"!\"", "Ann!");
    check("true + true", "");
    check("null + 5", "");
}

#[test]
fn equality_goes_by_string_forms() {
    check("5 == 5", "true");
    check("5 == 5.0", "false");
    check("5 == \"5\"", "true");
    check("true == \"true\"", "true");
    check("null == null", "true");
    check("null == payload[\"null\"]", "true");
    check("payload.name == null", "false");
    check("payload.name != 'Bob'", "true");
    check("payload.book[0] == payload.book[0]", "true");
    check("payload.price == 10.5", "true");
    check("'x' == payload.missing", "");
}

#[test]
fn order_is_for_numbers_alone() {
    check("5 > -3.4", "true");
    check("5 <= 5", "true");
    check("vars.long >= 5", "true");
    check("payload.age > vars.num1", "true");
    check("5 > \"4\"", "");
    check("5 > null", "");
    check("true >= false", "");
}

/// ExpressionParser.g4: logicalExpression stands below comparisonExpression.
#[test]
fn and_and_or_bind_tighter_than_comparisons() {
    check("(1 < 2) and (3 < 4)", "true");
    check("1 < 2 and 3 < 4", "");
    check("true == false or true", "true");
    check("(true == false) or true", "true");
    check("true && true && false", "false");
    check("false or false", "false");
    // Equal rank, grouped to the right: true or (false and false).
    check("true or false and false", "true");
    check("false and true or true", "false");
    check("5 and true", "");
    // Both sides are evaluated.
    check("true or payload.missing", "");
    let hints = compiled("vars.num1 > 1 and vars.num2 > 2");
    assert_eq!(hints.hints().len(), 1);
    assert_eq!(hints.hints()[0].range, 0..31);
    assert!(compiled("(vars.num1 > 1) and (vars.num2 > 2)").hints().is_empty());
    assert!(compiled("(true or false) == true").hints().is_empty());
}

#[test]
fn conditions_choose_and_want_a_boolean() {
    check("true ? 1 : 2", "1");
    check("5.2 > 5 ? 'yes' : 'no'", "yes");
    check("false ? 1 : false ? 2 : 3", "3");
    check("true ? false ? 1 : 2 : 3", "2");
    check("(payload.age > 18) and vars.flag ? 'adult' : 'child'", "adult");
    check("\"bla\" ? 1 : 2", "");
    check("payload[\"null\"] ? 1 : 2", "");
    check("true ? 1 : payload.missing", "1");
}

#[test]
fn the_payload_is_walked_by_json_path() {
    check("payload.name", "Ann");
    check("$.name", "Ann");
    check("payload[\"name\"]", "Ann");
    check("payload['odd name']", "odd");
    check("payload.\"odd name\"", "odd");
    check("payload.[\"name\"]", "Ann");
    check("payload.cars[1]", "BMW");
    check("payload.cars[-1]", "Fiat");
    check("payload.cars[10]", "");
    check("$.cars[:2]", r#"["Ford","BMW"]"#);
    check("$.cars[0,2]", r#"["Ford","Fiat"]"#);
    check("$..title", r#"["A","B","C"]"#);
    check("$.book[*].title", r#"["A","B","C"]"#);
    check("$.book.length()", "3");
    check("$..price.max()", "22.99");
    check("round($..price.avg())", "14");
    check("payload.price", "10.50");
    check("payload.true", "true");
    check("payload.@id", "at");
    check("payload['name','age']", r#"{"name":"Ann","age":30}"#);
    check("payload.nested.vars.payload.length", "7");
    check("payload.missing", "");
    check("payload.null", "");
    check("payload.quoted", "\"q\"");
}

#[test]
fn indices_and_filters_hold_expressions() {
    check("payload.cars[payload.index]", "BMW");
    check("$.cars[$.index + 1]", "Fiat");
    check("$.cars[$.index:]", r#"["BMW","Fiat"]"#);
    check("$.cars[-payload.index:]", r#"["Fiat"]"#);
    // The sign is for all that follows: -(5 - 3).
    check("$.cars[-vars.num2 - 3:]", r#"["BMW","Fiat"]"#);
    check("payload.book[?(@.price > payload.dear)].title", r#"["B","C"]"#);
    check("$.book[?(@.price > $.dear)].title", r#"["B","C"]"#);
    check("$.book[?(@.category == payload.category)].title", r#"["B","C"]"#);
    check(
        "$.book[?(@.category == 'a' || @.price > 20)].title",
        r#"["A","C"]"#,
    );
    check("$.book[?(@.category == 'b' and @.price > 20)].title", r#"["C"]"#);
    check(
        "$.book[?(@.price > integer(headers.price))].title",
        r#"["B","C"]"#,
    );
    check(
        "$.book[?(@.title == props.synapse.[\"odd name\"])].price",
        "[12.99]",
    );
    check("$.book[?(@.title =~ /[ab]/i)].title", r#"["A","B"]"#);
    check("$.book[?(@.title in ['A', 'C'])].title", r#"["A","C"]"#);
    check("$.book[?(!@.missing)].title", r#"["A","B","C"]"#);
    check("$.book[?(@.price > vars.missing)].title", "");
    check("payload[vars.name]", "");
    check("$[payload.category + 'ook'][0].title", "A");
}

#[test]
fn data_never_becomes_part_of_a_path() {
    let mut message = small();
    message
        .variables
        .insert("evil", Value::text("' || @.price > 0 || @.title == '"));
    let filter = compiled("$.book[?(@.title == vars.evil)].title");
    assert_eq!(filter.evaluate_in(&mut message).text(), "[]");
    message.variables.insert("evil", Value::text("name\"],$[\"age"));
    assert_eq!(
        compiled("payload[vars.evil]").evaluate_in(&mut message).text(),
        ""
    );
}

#[test]
fn variables_keep_their_types() {
    check("vars.num1", "10");
    check("vars.half", "-2.5");
    check("vars.flag", "true");
    check("vars[\"odd name\"]", "odd");
    check("vars.['odd name']", "odd");
    check("vars.doc.a[1].b", "y");
    check("vars.doc['a'][0]['b']", "x");
    check("vars.doc.n + 1", "6");
    check("vars.text.a[1]", "2");
    check("vars.doc.a[?(@.b == 'y')]", r#"[{"b":"y"}]"#);
    check("vars.name", "Ann");
    check("vars.missing", "");
    check("vars.num1[0]", "");
}

/// HeadersAndPropertiesAccessNode.tryParseNumber
#[test]
fn texts_from_outside_that_look_like_numbers_are_numbers() {
    check("headers.Code", "7");
    check("headers.Code + 1", "8");
    check("length(headers.Code)", "");
    check("headers[\"X-Name\"]", "Eve");
    check("headers.X-Name", "Eve");
    check("headers.rate", "1.5");
    check("headers.missing", "");
    check("params.queryParams.q", "search");
    check("params.pathParams.id", "42");
    check("params.functionParams.f", "fun");
    check("properties.axis2.HTTP_SC + 4", "204");
    check("props.synapse.p", "prop");
    check("configs.host + ':80'", "localhost:80");
}

#[test]
fn string_functions() {
    check("length('Größe')", "5");
    check("length(payload.cars)", "3");
    check("length([1, 'a', true])", "3");
    check("length(34)", "");
    check("length(null)", "");
    check("toUpper('abc') + toLower('DEF')", "ABCdef");
    check("toUpper(34)", "");
    check("trim(payload.text)", "Hello World");
    check("subString('Lahiru', 2)", "hiru");
    check("subString('Lahiru', 2, 4)", "hi");
    check("subString('Hello', 5)", "");
    check("subString('Hello', 20)", "");
    check("subString('Hello', -2)", "");
    check("startsWith('Curiosity', 'Curi')", "true");
    check("endsWith('Opportunity', 'tune')", "false");
    check("contains('Perseverance', 'sever')", "true");
    check("contains('x', 34)", "");
    check("replace('a.b.c', '.', '-')", "a-b-c");
    check("split('a b,c', '[, ]')", r#"["a","b","c"]"#);
    check("split(',a,,', ',')", r#"["","a"]"#);
    check("split(' Moon ', ',')", r#"[" Moon "]"#);
    check("split('abc', '')", r#"["a","b","c"]"#);
    check("indexOf('banana', 'an')", "1");
    check("indexOf('banana', 'an', 2)", "3");
    check("indexOf('banana', 'x')", "-1");
    check("charAt('abc', 1)", "b");
    check("charAt('abc', 5)", "");
}

#[test]
fn number_functions() {
    check("abs(-5)", "5");
    check("abs(-5.0)", "5.0");
    check("ceil(5.2)", "6.0");
    check("ceil(-5.4)", "-5.0");
    check("ceil(5)", "5");
    check("floor(5.9)", "5.0");
    check("round(2.5)", "3");
    check("round(-2.5)", "-2");
    check("round(2.4)", "2");
    check("round(1.005, 2)", "1.01");
    check("round(7, 2)", "7");
    check("round(7.123, 0)", "");
    check("sqrt(25)", "5.0");
    check("sqrt(-25.0)", "NaN");
    check("log(1000)", "3.0");
    check("pow(2, 3)", "8.0");
    check("pow(2, -2)", "0.25");
    check("abs(payload.cars)", "");
}

/// GsonJsonProvider unwraps numbers that a name leads to, not those in arrays: these are doubles as well as ints.
#[test]
fn a_number_by_index_makes_sums_doubles() {
    check("payload.age + 1", "31");
    check("payload.nums[0]", "1");
    check("payload.nums[0] + payload.nums[1]", "3.0");
    check("payload.nums[0] == 1", "true");
    check("payload.cars[payload.nums[0]]", "BMW");
}

#[test]
fn encodings() {
    check("base64encode('Hello World')", "SGVsbG8gV29ybGQ=");
    check("base64encode('Hello', 'UTF-8')", "SGVsbG8=");
    check("base64encode('Hello', 'UTF-99')", "");
    check("base64encode(34)", "");
    check("base64decode('YWRtaW46YWRtaW4=')", "admin:admin");
    check("base64decode('YWRtaW46YWRtaW4')", "admin:admin");
    check("base64decode('%%')", "");
    check("urlEncode(' *~ä')", "%20%2A%7E%C3%A4");
    check("urlEncode('a b', 'ISO-8859-1')", "a+b");
    check("urlDecode('Hello+World%26')", "Hello World&");
}

#[test]
fn types_can_be_asked_and_changed() {
    check("isString('x')", "true");
    check("isString(payload.name)", "true");
    check("isString(5)", "false");
    check("isNumber(5.5)", "true");
    check("isNumber('5')", "false");
    check("isNumber(payload.age)", "true");
    check("isArray(payload.cars)", "true");
    check("isArray('[1,2]')", "true");
    check("isObject(payload.book[0])", "true");
    check("isObject('x')", "false");
    check("isNumber(null)", "");
    check("string(5) + 'x'", "5x");
    check("integer('12') + 1", "13");
    check("integer('x')", "");
    check("integer(5.7)", "");
    check("float('1.5') + 1", "2.5");
    check("boolean('TRUE')", "true");
    check("boolean('x')", "false");
    check("object('{\"a\":{\"b\":1}}').a.b", "1");
    check("object('{\\\"a\\\":2}').a", "2");
    check("array('[1,2]')[1]", "2");
    check("array('x')", "");
    check("object($.book.first()).title", "A");
    check("not(true)", "false");
    check("not(5 > 3)", "false");
    check("not('x')", "");
    check("exists(payload.name)", "true");
    check("exists(payload.missing)", "false");
    check("exists(payload.null)", "false");
    check("exists(vars.missing)", "false");
    check("exists(headers.Code) ? 'yes' : 'no'", "yes");
}

#[test]
fn dates() {
    check("now()", "1700000000123");
    check("now() + 1", "1700000000124");
    check(
        "formatDateTime('2023-05-15 12:30', 'yyyy-MM-dd HH:mm', 'dd/MM/yyyy')",
        "15/05/2023",
    );
    check("formatDateTime('x', 'yyyy', 'MM')", "");
    check("length(formatDateTime(now(), 'yyyy-MM-dd HH:mm:ss.SSS'))", "23");
    check("formatDateTime(vars.name, 'yyyy')", "");
}

#[test]
fn xpath_registry_and_secrets() {
    check("xpath('//name')", "Zoe");
    check("xpath(\"//name\") + '!'", "Zoe!");
    check("toUpper(xpath('//name/text()'))", "ZOE");
    check("integer(xpath('//n')) + 1", "6");
    check("xpath('//' + payload.odd)", "");
    check("xpath('//' + 'name')", "Zoe");
    check("xpath('//v', 'doc.payload')", "42");
    check("xpath('//v', 'doc.missing')", "");
    check("xpath('//v', 'ghost.payload')", "");
    check("registry('gov:/x.txt')", "plain");
    check("registry('gov:/x.txt').property('owner')", "ops");
    check("registry('gov:/x.txt').property('none')", "");
    check("registry('gov:/x.json').k.v[1]", "two");
    check("registry('gov:/none')", "");
    check("wso2-vault('db')", "s3cret");
    check("wso2-vault('none')", "");
}

/// SynapseExpression: a bare `payload` of XML is `xpath('$body')`.
#[test]
fn a_bare_payload_of_xml_is_the_xml() {
    let mut message = small();
    message.xml = Some(XmlTree::new());
    assert_eq!(compiled("payload").evaluate_in(&mut message).text(), "<shop/>");
    assert_eq!(compiled(" $ ").evaluate_in(&mut message).text(), "<shop/>");
    assert_eq!(compiled("payload.name").evaluate_in(&mut message).text(), "Ann");
}

#[test]
fn literals_keep_their_backslashes() {
    check(r#""a\"b""#, r#"a\"b"#);
    check(r"'it\'s'", r"it\'s");
    check("[1, 'two', true, payload.name]", r#"[1,"two",true,"Ann"]"#);
    check("[]", "[]");
}

#[test]
fn values_come_out_with_their_types() {
    let value = |text: &str| compiled(text).evaluate_in(&mut small()).into_value();
    assert_eq!(value("5 + 3"), Some(Value::Integer(8)));
    assert_eq!(value("vars.long"), Some(Value::Long(3_000_000_000)));
    assert_eq!(value("1.5"), Some(Value::Double(1.5)));
    assert_eq!(value("payload.name"), Some(Value::text("Ann")));
    assert_eq!(value("payload.true"), Some(Value::Boolean(true)));
    assert_eq!(
        value("payload.cars[0:1]"),
        Some(Value::Json(Arc::new(json(r#"["Ford"]"#))))
    );
    assert_eq!(value("payload.missing"), None);
    assert!(matches!(value("xpath('//name')"), Some(Value::Xml(_))));
}

#[test]
fn only_true_holds() {
    let holds = |text: &str| compiled(text).evaluate_in(&mut small()).holds();
    assert!(holds("payload.age > 18"));
    assert!(holds("'true'"));
    assert!(holds("payload.true"));
    assert!(!holds("1"));
    assert!(!holds("payload.missing"));
    assert!(!holds("payload.book"));
}

#[test]
fn the_payload_is_needed_only_where_it_is_asked_for() {
    for (text, needed) in [
        ("payload", true),
        ("5 + length($.a)", true),
        ("vars.books[?(@.c == payload.c)]", true),
        ("vars.books[?(@.c == $.c)]", true),
        ("vars.books[?(@.c == 'payload.c')]", false),
        ("vars.payload", false),
        ("headers[\"payload\"]", false),
        ("vars[\"$\"].a", false),
        ("xpath('//student')", true),
        ("xpath('$ctx:name')", false),
        ("xpath('//v', 'doc.payload')", false),
        ("now()", false),
    ] {
        assert_eq!(compiled(text).needs_payload(), needed, "{text}");
    }
}

#[test]
fn a_mistake_points_at_its_place() {
    let check = |text: &str, message: &str, part: &str, help: Option<&str>| {
        let mistake = Expression::compile(text, &Namespaces::new()).unwrap_err();
        assert_eq!(mistake.message, message, "{text}");
        assert_eq!(&text[mistake.range.clone()], part, "{text}");
        assert_eq!(mistake.help.as_deref(), help, "{text}");
    };
    check(
        "lenght('x')",
        "there is no function `lenght`",
        "lenght",
        Some("did you mean `length`?"),
    );
    check(
        "paylod.x",
        "there is no `paylod` in expressions",
        "paylod",
        Some("did you mean `payload`?"),
    );
    check(
        "abc + 1",
        "there is no `abc` in expressions",
        "abc",
        Some("a text stands in quotes; a variable is `vars.abc`, a field of the payload `payload.abc`"),
    );
    check("5 >> 3", "a value cannot begin with this", ">", None);
    check("5 > ", "a value is missing", "", None);
    check("(1 + 2", "the `)` is missing", "", None);
    check(
        "1 = 2",
        "an operator is missing here, or this is too much",
        "=",
        Some("write `==`"),
    );
    check(
        "true AND true",
        "an operator is missing here, or this is too much",
        "A",
        Some("write `and` or `&&`"),
    );
    check(
        "!true",
        "`!` stands only in filters",
        "!",
        Some("write `not(...)`"),
    );
    check(
        "subString('x')",
        "`subString` takes 2 to 3 arguments, not 1",
        "subString",
        None,
    );
    check(
        "params.query.x",
        "`query` is none of queryParams, pathParams, functionParams",
        "query",
        None,
    );
    check(
        "headers",
        "`headers` is followed by a name: `headers.name` or `headers[\"name\"]`",
        "headers",
        None,
    );
    check(
        "payload.a[?(@.b = 1)]",
        "there is no operator `=` in JSONPath",
        ".a[?(@.b = 1)]",
        Some("did you mean `==`?"),
    );
    check(
        "payload.a.lenght()",
        "there is no function `lenght()` in JSONPath",
        ".a.lenght()",
        Some("did you mean `length`?"),
    );
    check("'open", "the closing ' is missing", "'open", None);
    check(
        "formatDateTime(now(), 'bad!q{')",
        "`b` stands for nothing in the date pattern `bad!q{`",
        "formatDateTime",
        None,
    );
    check("", "a value is missing", "", None);
    let mistake = Expression::compile("1 + length(xpath('//a[', 'x'))", &Namespaces::new()).unwrap_err();
    assert!(mistake.message.starts_with("XPath: "), "{mistake:?}");
    let mistake = Expression::compile("hashicorp-vault('a', 'b')", &Namespaces::new()).unwrap_err();
    assert!(mistake.help.unwrap().contains("wso2-vault"));
}

#[test]
fn broken_expressions_never_panic() {
    let whole = "payload.a['ü'][vars.x + 1, -2:?(@.b == $.c && headers[\"d\"] =~ /e\\/f/)] >= round(5.5, -1) ? \"é\\\"\" : \
                 not(xpath('//a/b[1]', 'v.w')) and [1, null] || registry('r').property('p') + {";
    let starts: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
    for (index, start) in starts.iter().enumerate() {
        for end in starts.iter().skip(index) {
            let text = &whole[*start..*end];
            match Expression::compile(text, &Namespaces::new()) {
                Ok(expression) => {
                    let _text = expression.evaluate_in(&mut small()).text();
                }
                Err(mistake) => assert!(text.get(mistake.range.clone()).is_some(), "{text}: {mistake:?}"),
            }
        }
    }
}

#[test]
fn depth_and_length_do_no_harm() {
    for open in ["(", "not(", "[", "payload[", "payload[?(vars.a[", "true ? "] {
        assert!(Expression::compile(&open.repeat(50_000), &Namespaces::new()).is_err());
    }
    let sum = format!("1{}", " + 1".repeat(50_000));
    check(&sum, "50001");
    let all = format!("true{}", " and true".repeat(50_000));
    check(&all, "true");
}

/// A message as the fixture's lines describe it.
#[derive(Default)]
struct Described {
    payload: Json,
    variables: HashMap<String, Value>,
    texts: HashMap<String, String>,
}

impl Described {
    fn line(&mut self, line: &str) {
        if let Some(text) = line.strip_prefix("@payload ") {
            self.payload = json(text);
        } else if let Some((name, text)) = line.strip_prefix("@text ").and_then(|rest| rest.split_once('=')) {
            self.texts.insert(name.to_owned(), text.to_owned());
        } else if let Some(rest) = line.strip_prefix("@var ") {
            let mut words = rest.splitn(3, ' ');
            let (name, kind, text) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap_or_default(),
            );
            let value = match kind {
                "int" => Value::Integer(text.parse().unwrap()),
                "long" => Value::Long(text.parse().unwrap()),
                "double" => Value::Double(text.parse().unwrap()),
                "boolean" => Value::Boolean(text.parse().unwrap()),
                "json" => Value::Json(Arc::new(json(text))),
                _ => Value::text(text),
            };
            self.variables.insert(name.to_owned(), value);
        }
    }

    fn get(&self, kind: &str, name: &str) -> Option<String> {
        self.texts.get(&format!("{kind} {name}")).cloned()
    }
}

impl Surroundings for Described {
    fn payload_json(&mut self) -> Result<&Json, String> {
        Ok(&self.payload)
    }
    fn payload_is_xml(&self) -> bool {
        false
    }
    fn variable(&mut self, name: &str) -> Option<Value> {
        self.variables.get(name).cloned()
    }
    fn header(&mut self, name: &str) -> Option<String> {
        self.get("header", name)
    }
    fn query_parameter(&mut self, name: &str) -> Option<String> {
        self.get("query", name)
    }
    fn path_parameter(&mut self, name: &str) -> Option<String> {
        self.get("path", name)
    }
    fn function_parameter(&mut self, name: &str) -> Option<String> {
        self.get("function", name)
    }
    fn property(&mut self, place: Place, name: &str) -> Option<String> {
        self.get(if place == Place::Axis2 { "axis2" } else { "synapse" }, name)
    }
    fn config(&mut self, name: &str) -> Option<String> {
        (name == "host").then(|| "localhost".to_owned())
    }
    fn xpath(&mut self, _: &XPath) -> Result<XPathAnswer, String> {
        Err("the fixture has no XPath".to_owned())
    }
    fn xpath_on(&mut self, _: &XPath, _: &Arc<XmlTree>, _: NodeId) -> Result<XPathAnswer, String> {
        Err("the fixture has no XPath".to_owned())
    }
    fn registry(&mut self, path: &str) -> Option<String> {
        self.get("registry", path)
    }
    fn registry_property(&mut self, path: &str, property: &str) -> Option<String> {
        self.get("registry-property", &format!("{path}/{property}"))
    }
    fn secret(&mut self, _: &str) -> Option<String> {
        None
    }
    fn now(&self) -> i64 {
        0
    }
}

#[test]
fn expressions_answer_what_synapse_answers() {
    let mut message = Described::default();
    let mut mistakes = Vec::new();
    let mut pairs = 0;
    for line in include_str!("../../../tests/oracle/synapse_expression_pairs.txt").lines() {
        message.line(line);
        let columns: Vec<&str> = line.split("\t=> ").collect();
        let (text, expected) = match columns.as_slice() {
            [text, synapse] => (*text, *synapse),
            // Where we differ on purpose, Synapse's answer stands before ours.
            [text, synapse, ours] => {
                assert_ne!(synapse, ours, "{text} does not differ");
                (text.strip_prefix("! ").unwrap_or(text), *ours)
            }
            _ => continue,
        };
        pairs += 1;
        let found = match Expression::compile(text, &Namespaces::new()) {
            Ok(expression) => format!("text {}", expression.evaluate_in(&mut message).text()),
            Err(_) => "refused".to_owned(),
        };
        if found != expected {
            mistakes.push(format!("{text}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(pairs > 500);
    assert!(
        mistakes.is_empty(),
        "{} mistakes\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
}
