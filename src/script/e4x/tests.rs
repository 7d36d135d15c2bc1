use super::{operators, rewrite, runtime};
use crate::text::{FileId, Placed, Span};
use boa_engine::{Context, JsValue, Source};

/// What a script with E4X gives, as text; XML as its markup.
fn run(script: &str) -> Result<String, String> {
    // As the threads of the engine: without optimisation boa needs much of it.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        let thread = thread.spawn_scoped(scope, || evaluate(script)).expect("a thread");
        thread.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
    })
}

fn rewritten(script: &str) -> Result<String, String> {
    let rewritten = rewrite(script).map_err(|error| error.message)?;
    Ok(operators::rewrite(&format!("(function(){{{}\n}})", rewritten.text)).text)
}

fn evaluate(script: &str) -> Result<String, String> {
    let text = rewritten(script)?.replacen("()", &format!("({})", runtime::NAMES), 1);
    let mut context = Context::default();
    let names = runtime::names(&mut context).map_err(|error| error.to_string())?;
    let function = context
        .eval(Source::from_bytes(&text))
        .map_err(|error| error.to_string())?;
    let function = function.as_callable().expect("it is a function");
    let value = function
        .call(&JsValue::undefined(), &names, &mut context)
        .map_err(|error| error.to_string())?;
    if let Some(text) = runtime::markup(&value, &mut context).map_err(|error| error.to_string())? {
        return Ok(text);
    }
    let text = value.to_string(&mut context).map_err(|error| error.to_string())?;
    Ok(text.to_std_string_lossy())
}

fn check(script: &str, expected: &str) {
    assert_eq!(
        run(script).as_deref(),
        Ok(expected),
        "{script}\n{:?}",
        rewritten(script)
    );
}

fn check_all(cases: &[(&str, &str)]) {
    for (script, expected) in cases {
        check(script, expected);
    }
}

fn fails(script: &str, expected: &str) {
    let reason = run(script).expect_err(script);
    assert!(reason.contains(expected), "{script}: {reason}");
}

/// Expressions about `x`.
fn of_order(cases: &[(&str, &str)]) {
    let order = "<order id=\"7\"><item no=\"1\"><name>Nut</name><price>2.5</price></item><item no=\"2\"><name>Bolt</name><price>10</price></item><note>in a hurry</note></order>";
    for (expression, expected) in cases {
        check(&format!("var x = {order};\nreturn {expression}"), expected);
    }
}

/// Statements about `x`, and what it is afterwards.
fn after(cases: &[(&str, &str, &str)]) {
    for (before, statements, expected) in cases {
        check(&format!("var x = {before};\n{statements};\nreturn x"), expected);
    }
}

#[test]
fn names_lead_to_children_and_attributes() {
    of_order(&[
        ("x.note", "<note>in a hurry</note>"),
        ("x.note.toString()", "in a hurry"),
        ("x.note + ''", "in a hurry"),
        ("x.@id.toString()", "7"),
        ("x.@id == 7", "true"),
        ("x.@id === '7'", "false"),
        ("x.item.length()", "2"),
        ("x.item[1].name.toString()", "Bolt"),
        ("x.item.name", "<name>Nut</name><name>Bolt</name>"),
        ("x.item.@no", "12"),
        ("x..name.length()", "2"),
        ("x..@no", "12"),
        ("x.*.length()", "3"),
        ("x.@*.length()", "1"),
        ("x.item[0].*", "<name>Nut</name><price>2.5</price>"),
        ("x['item'][0].price * 2", "5"),
        ("x.@['id']", "7"),
        ("x.@['i' + 'd'].toString()", "7"),
        ("x\n  .item[0]\n  ..name\n  .toString()", "Nut"),
        ("x.none.length()", "0"),
        ("x.none == ''", "true"),
        ("x.none.further.length()", "0"),
        ("x.item[5] === undefined", "true"),
        ("x[0].note.toString()", "in a hurry"),
        ("Number(x.item[1].price) + 1", "11"),
        ("x.item.price[0] < 3 && x.item.price[1] >= 10", "true"),
        ("'note' in x", "true"),
        ("x instanceof XML && x.item instanceof XMLList", "true"),
    ]);
}

#[test]
fn a_name_is_a_child_and_with_parentheses_a_method() {
    of_order(&[
        ("x.item[0].name()", "item"),
        ("x.item[0].name", "<name>Nut</name>"),
        ("x.item[0].name.name()", "name"),
        ("x.name.length()", "0"),
        ("x.text.toString() + x.note.text()", "in a hurry"),
        ("x.localName()", "order"),
        ("x.children().length()", "3"),
        ("x.child('note').toString()", "in a hurry"),
        ("x.child(1).@no.toString()", "2"),
        ("x.elements('item').length()", "2"),
        ("x.attribute('id')", "7"),
        ("x.attributes().length()", "1"),
        ("x.descendants('price').length()", "2"),
        ("x.note.parent().@id.toString()", "7"),
        ("x.note.childIndex()", "2"),
        (
            "x.nodeKind() + x.@id.nodeKind() + x.note.text().nodeKind()",
            "elementattributetext",
        ),
        (
            "x.note.hasSimpleContent() + ',' + x.hasSimpleContent() + ',' + x.hasComplexContent()",
            "true,false,true",
        ),
        (
            "x.hasOwnProperty('note') && x.hasOwnProperty('@id') && !x.hasOwnProperty('none')",
            "true",
        ),
        ("x.note.split(' ').length + x.note.toUpperCase()", "3IN A HURRY"),
        ("x.note.replace(/hurry/, 'rush')", "in a rush"),
        ("x.copy() === x", "false"),
        ("x.item.contains(x.item[1])", "true"),
    ]);
}

#[test]
fn filters_choose_by_what_stands_inside() {
    of_order(&[
        ("x.item.(@no == 2).name", "<name>Bolt</name>"),
        ("x.item.(price > 5).@no", "2"),
        ("x.item.(name == 'Nut' && @no == '1').price.toString()", "2.5"),
        ("x.*.(name() == 'note')", "<note>in a hurry</note>"),
        ("x..item.(hasOwnProperty('@no')).length()", "2"),
        ("x.item.(attribute('no') == 1).name.toString()", "Nut"),
        ("x.item.(price.text() == '10').@no.toString()", "2"),
        ("x.item.(*.length() == 2).length()", "2"),
        ("x.item.(*::name == 'Bolt').@no.toString()", "2"),
        (
            "(function(wanted) { return x.item.(@no == wanted).price })(1)",
            "<price>2.5</price>",
        ),
        (
            "x.item.(@no == (function() { return 2 })()).name.toString()",
            "Bolt",
        ),
        ("x.(item.(@no == 1).length() == 1).@id.toString()", "7"),
    ]);
}

#[test]
fn loops_go_through_values() {
    of_order(&[
        (
            "(function() { var names = []; for each (var item in x.item) { names.push(item.name.toString()) } return names.join() })()",
            "Nut,Bolt",
        ),
        (
            "(function() { var sum = 0, price; for each (price in x..price) sum += Number(price); return sum })()",
            "12.5",
        ),
        (
            "(function() { var keys = []; for (var key in x.item) { keys.push(x.item[key].@no + '@' + key) } return keys.join() })()",
            "1@0,2@1",
        ),
        (
            "(function() { var all = ''; for each (var v in {a: 1, b: 'two'}) { all += v } return all })()",
            "1two",
        ),
        (
            "(function() { for (var i = 0, s = ''; i < x.item.length(); i++) { s += x.item[i].name } return s })()",
            "NutBolt",
        ),
        (
            "(function() { var all = []; for (const item of x.item) { all.push(item.@no) } return all.join() })()",
            "1,2",
        ),
    ]);
    check("var n = 0; for each (var a in null) { n++ } return n", "0");
}

#[test]
fn what_is_assigned_is_there() {
    after(&[
        (
            "<a n='1'><b>2</b></a>",
            "x.@n++; x.b *= 5; x.b -= 1",
            "<a n=\"2\"><b>9</b></a>",
        ),
        ("<a><b>1</b></a>", "x.b = 2", "<a><b>2</b></a>"),
        ("<a><b>1</b></a>", "x.b = 'a<b&'", "<a><b>a&lt;b&amp;</b></a>"),
        ("<a><b>1</b></a>", "x.c = 3", "<a><b>1</b><c>3</c></a>"),
        ("<a/>", "x.b.c.d = 1", "<a><b><c><d>1</d></c></b></a>"),
        ("<a><b>1</b><b>2</b></a>", "x.b = 3", "<a><b>3</b></a>"),
        ("<a><b>1</b><b>2</b></a>", "x.b[1] = 3", "<a><b>1</b><b>3</b></a>"),
        ("<a><b>1</b></a>", "x.b[1] = 2", "<a><b>1</b><b>2</b></a>"),
        ("<a><b>1</b></a>", "x.b = <c/>", "<a><c/></a>"),
        ("<a><b>1</b></a>", "x.b[0] = <c>{2}</c>", "<a><c>2</c></a>"),
        ("<a/>", "x.@n = 5; x.@n += 1", "<a n=\"51\"/>"),
        ("<a n='1'/>", "x.@n = 'x\"y'", "<a n=\"x&quot;y\"/>"),
        ("<a n='1'/>", "x.@['m'] = 2; delete x.@n", "<a m=\"2\"/>"),
        ("<a><b/><c/><b/></a>", "delete x.b", "<a><c/></a>"),
        (
            "<a><b n='1'/><b n='2'/></a>",
            "delete x.b[0]",
            "<a><b n=\"2\"/></a>",
        ),
        (
            "<a><b n='1'/><b n='2'/></a>",
            "delete x.b.(@n == 2)[0]",
            "<a><b n=\"1\"/></a>",
        ),
        ("<a><b/></a>", "x.* = 'text'", "<a>text</a>"),
        ("<a><b>1</b></a>", "x.b += 1", "<a><b>11</b></a>"),
        (
            "<a><b/></a>",
            "x.b.@n = 1; x.b.c = 2",
            "<a><b n=\"1\"><c>2</c></b></a>",
        ),
    ]);
    fails(
        "var x = <a><b/><b/></a>; x.b.c = 1",
        "cannot be assigned in a list of 2",
    );
}

#[test]
fn lists_are_added_up() {
    check_all(&[
        (
            "var l = <></>; l += <a>1</a>; l += <b>2</b>; return l",
            "<a>1</a><b>2</b>",
        ),
        (
            "var l = new XMLList(); for (var i = 0; i < 3; i++) { l += <i>{i}</i>; } return <l>{l}</l>",
            "<l><i>0</i><i>1</i><i>2</i></l>",
        ),
        ("return <a/> + <b/>", "<a/><b/>"),
        ("var x = <a><b/><c/></a>; return x.b + x.c + <d/>", "<b/><c/><d/>"),
        (
            "var x = <a><b>1</b></a>; x.b += <c/>; return x",
            "<a><b>1</b><c/></a>",
        ),
        ("var x = <a><b>1</b><c>2</c></a>; return '' + x.b + x.c", "12"),
        (
            "var x = <a><b>1</b><c>2</c></a>; return x.b + x.c.toString()",
            "12",
        ),
        ("return <><a/>text<b/></>.length()", "3"),
    ]);
}

#[test]
fn values_compare_by_their_content() {
    check_all(&[
        (
            "var x = <a><b/></a>; return [x.c == undefined, x.b == undefined, undefined != x.c, x.b != undefined, x.c == null].join()",
            "true,false,false,true,false",
        ),
        (
            "var u, o = {}; return [u == undefined, o.x == u, o == undefined, undefined == undefined, <></> == u].join()",
            "true,true,false,true,true",
        ),
        (
            "var x = <a><b>1</b><c>1</c></a>; return x.b == x.c.text()",
            "true",
        ),
        ("return <a b='1'><c/></a> == <a b='1'><c></c></a>", "true"),
        ("return <a b='1'/> != <a b='2'/>", "true"),
        ("var x = <a/>; return x == null || x == undefined", "false"),
        ("var x = <a>3</a>; return x == 3 && x == '3' && x > 2", "true"),
        (
            "var x = <a/>; return typeof x == 'xml' && typeof x.b == 'xml'",
            "true",
        ),
        (
            "return typeof nothing + typeof 'a' + typeof (1 + 1)",
            "undefinedstringnumber",
        ),
        (
            "var f = function() {}; return typeof f + typeof f.x + typeof {} + <a/>",
            "functionundefinedobject",
        ),
    ]);
}

#[test]
fn methods_change_the_tree() {
    after(&[
        ("<a/>", "x.appendChild(<b/>).appendChild('t')", "<a><b/>t</a>"),
        ("<a><b/></a>", "x.prependChild(<c/>)", "<a><c/><b/></a>"),
        (
            "<a><b/><c/></a>",
            "x.insertChildBefore(x.c, <d/>)",
            "<a><b/><d/><c/></a>",
        ),
        (
            "<a><b/><c/></a>",
            "x.insertChildAfter(x.b, <d/>)",
            "<a><b/><d/><c/></a>",
        ),
        (
            "<a><b/><c/></a>",
            "x.insertChildAfter(null, <d/>)",
            "<a><d/><b/><c/></a>",
        ),
        ("<a><b/><c/></a>", "x.replace('b', <d/>)", "<a><d/><c/></a>"),
        ("<a><b/><c/></a>", "x.setChildren(<d/>)", "<a><d/></a>"),
        ("<a/>", "x.setName('b')", "<b/>"),
        ("<a><b>1</b></a>", "x.b.setLocalName('c')", "<a><c>1</c></a>"),
        (
            "<a/>",
            "x.setNamespace(new Namespace('p', 'urn:u'))",
            "<p:a xmlns:p=\"urn:u\"/>",
        ),
        (
            "<a/>",
            "x.addNamespace(new Namespace('p', 'urn:u'))",
            "<a xmlns:p=\"urn:u\"/>",
        ),
        // What was put in stays the same thing; what has a place already is copied.
        (
            "<a/>",
            "var b = <b/>; x.appendChild(b); b.@n = 1",
            "<a><b n=\"1\"/></a>",
        ),
        (
            "<a><b/></a>",
            "x.appendChild(x.b); x.b[1].@n = 1",
            "<a><b/><b n=\"1\"/></a>",
        ),
        (
            "<a/>",
            "x.appendChild('a'); x.appendChild('b'); x.normalize()",
            "<a>ab</a>",
        ),
        ("<a/>", "x.appendChild(<><b/><c/></>)", "<a><b/><c/></a>"),
    ]);
    fails("var x = <a/>; x.appendChild(x)", "cannot stand inside itself");
    fails(
        "var x = <a><b/><b/></a>; return x.b.name()",
        "name() needs one XML value, and this list has 2",
    );
}

#[test]
fn literals_take_expressions() {
    check_all(&[
        ("var s = 'a<b & c'; return <v>{s}</v>", "<v>a&lt;b &amp; c</v>"),
        ("var s = 'x\"<'; return <v a={s}/>", "<v a=\"x&quot;&lt;\"/>"),
        ("return <v a=\"{s}\">{'{'}</v>", "<v a=\"{s}\">{</v>"),
        (
            "var u = 'urn:u', v = 'urn:v'; return <a xmlns:p={u} xmlns:q={v} p:b='1' q:b='2'><p:c/></a>",
            "<a xmlns:p=\"urn:u\" xmlns:q=\"urn:v\" p:b=\"1\" q:b=\"2\"><p:c/></a>",
        ),
        ("var n = 'b'; return <{n} {'c'}={1}>{2}</{n}>", "<b c=\"1\">2</b>"),
        (
            "var x = <i/>; return <l>{x}{[1, 2].map(function(n) { return n + 1 })}</l>",
            "<l><i/>2,3</l>",
        ),
        (
            "return <a>{<b>{<c>{1 + 1}</c>}</b>}</a>",
            "<a><b><c>2</c></b></a>",
        ),
        ("return <price>${5}</price>", "<price>$5</price>"),
        (
            "return <a>`back\\slash` $ {'}'} &lt;&#65;</a>",
            "<a>`back\\slash` $ } &lt;A</a>",
        ),
        ("return <a><![CDATA[<{x}>]]></a>", "<a>&lt;{x}&gt;</a>"),
        ("return <a><!-- {no} --><?pi {no}?><b/></a>", "<a><b/></a>"),
        ("return <a>\n  <b/>\n  text \n</a>", "<a><b/>\n  text \n</a>"),
        ("return <a b='don&apos;t' c=\"it's\"/>.@c", "it's"),
        (
            "return <a>it's \"said\" /* so */ // here</a>",
            "<a>it's \"said\" /* so */ // here</a>",
        ),
        (
            "var f = function(x) { return <r>{x}</r> }, o = {a: <b/>, c: [<d/>]}; return f(o.a) + o.c[0]",
            "<r><b/></r><d/>",
        ),
        ("return true ? <a/> : <b/>", "<a/>"),
        ("return null || <a/>", "<a/>"),
        ("return <a>{mc = null}</a>", "<a>null</a>"),
        ("return <ключ ä='1'>ö</ключ>", "<ключ ä=\"1\">ö</ключ>"),
        ("return `${<a>{`x`}</a>}`", "x"),
        ("var a = 1, b = 2; return a<b", "true"),
    ]);
}

#[test]
fn namespaces_are_part_of_names() {
    let quote = "<m:getQuote xmlns:m='urn:s'><m:request><m:symbol>IBM</m:symbol></m:request></m:getQuote>";
    let cases = [
        ("x.request.length()", "0"),
        ("x.*::request.*::symbol.toString()", "IBM"),
        ("x..*::symbol.toString()", "IBM"),
        ("x..*::['symbol'].toString()", "IBM"),
        ("x.m::request.m::symbol.toString()", "IBM"),
        ("x..m::symbol.toString()", "IBM"),
        ("x..m::['sym' + 'bol'].toString()", "IBM"),
        ("x..m::*.length()", "2"),
        ("x.*.(*::symbol == 'IBM').length()", "1"),
        ("x.*.(m::symbol == 'IBM').length()", "1"),
        ("x.name().uri", "urn:s"),
        ("x.name().toString()", "urn:s::getQuote"),
        ("x.namespace().prefix + x.namespace('m').uri", "murn:s"),
        ("x.elements(new QName('urn:s', 'request')).length()", "1"),
        ("x.child(new QName(m, 'request')).length()", "1"),
        (
            "x.m::request",
            "<m:request xmlns:m=\"urn:s\"><m:symbol>IBM</m:symbol></m:request>",
        ),
        ("x.inScopeNamespaces().length", "1"),
    ];
    for (expression, expected) in cases {
        check(
            &format!("var m = new Namespace('urn:s'), x = {quote}; return {expression}"),
            expected,
        );
    }
    check_all(&[
        (
            "var m = new Namespace('urn:s'), x = <m:a xmlns:m='urn:s'/>; x.m::b = 1; x.@m::c = 2; return x",
            "<m:a xmlns:m=\"urn:s\" m:c=\"2\"><m:b>1</m:b></m:a>",
        ),
        (
            "var xsi = new Namespace('urn:i'), x = <a xmlns:i='urn:i' i:type='t' type='u'/>; return x.@xsi::type + x.@type + x.@*::type.length()",
            "tu2",
        ),
        (
            "default xml namespace = 'urn:d'; var x = <a><b>1</b></a>; return x.b + x.toXMLString()",
            "1<a xmlns=\"urn:d\"><b>1</b></a>",
        ),
        (
            "default xml namespace = new Namespace('urn:d'); return <a/>.name().uri",
            "urn:d",
        ),
        (
            "var x = <a xmlns='urn:a'/>; x.appendChild(<b/>); return x",
            "<a xmlns=\"urn:a\"><b xmlns=\"\"/></a>",
        ),
        (
            "var x = <e xmlns:p='urn:p'><p:a q='1'/></e>; return <n>{x.*}</n>",
            "<n><p:a xmlns:p=\"urn:p\" q=\"1\"/></n>",
        ),
        (
            "var x = <a/>; x.@[new QName('urn:u', 'b')] = 1; x.setNamespace('urn:v'); return x",
            "<a xmlns=\"urn:v\" xmlns:ns0=\"urn:u\" ns0:b=\"1\"/>",
        ),
        (
            "var x = <p:a xmlns:p='urn:1'><b/></p:a>; x.b.setNamespace(new Namespace('p', 'urn:2')); return x",
            "<p:a xmlns:p=\"urn:1\"><p:b xmlns:p=\"urn:2\"/></p:a>",
        ),
        ("return <a xml:lang='en'/>", "<a xml:lang=\"en\"/>"),
    ]);
}

#[test]
fn constructors_read_texts() {
    check_all(&[
        ("return new XML('<a> <b/> </a>')", "<a><b/></a>"),
        (
            "return XML('  <?xml version=\"1.0\" encoding=\"UTF-8\"?>\\n<a/>\\n')",
            "<a/>",
        ),
        ("return new XML('plain text')", "plain text"),
        ("return XML(<a/>).name()", "a"),
        ("return new XMLList('<a/><b/>').length()", "2"),
        ("return new XML().toXMLString().length + XMLList().length()", "0"),
        (
            "XML.ignoreWhitespace = false; return new XML('<a> <b/></a>')",
            "<a> <b/></a>",
        ),
        (
            "XML.ignoreComments = false; return <a><!--c--></a>",
            "<a><!--c--></a>",
        ),
        (
            "XML.prettyPrinting = true; XML.prettyIndent = 1; return <a><b>1</b><c/></a>.toXMLString()",
            "<a>\n <b>1</b>\n <c/>\n</a>",
        ),
        (
            "return JSON.stringify({a: <b>1</b>, c: <d><e/></d>})",
            "{\"a\":\"1\",\"c\":\"<d><e/></d>\"}",
        ),
        (
            "return String(new QName('urn:a', 'b')) + new Namespace('p', 'urn:n').prefix",
            "urn:a::bp",
        ),
        (
            "return <a>{new XML('<b>1</b>').toXMLString()}</a>",
            "<a>&lt;b&gt;1&lt;/b&gt;</a>",
        ),
    ]);
    fails("new XML('<a>')", "the text is not XML");
    fails("new XML('<a/><b/>')", "has to be one XML element");
    fails(
        "new XML('<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>')",
        "the text is not XML",
    );
    fails("new XML(null)", "XML cannot be made of null");
}

#[test]
fn a_script_without_e4x_comes_back_as_it_is() {
    for script in [
        "",
        "a<b",
        "if (a < b && c > d) { x = a<b>c }",
        "var generic = new Map<string>(1)"
            .replace("new Map<string>", "f<g>")
            .as_str(),
        "var r = /<a>\\/[/<]b/g.test('<a/>'); r = a / b / c",
        "if (x) /<b>/.test(y); while (z) /<c>/.exec(w)",
        "x = y ? /<d>/ : /<e>/; f(/<f>/, [/<g>/])",
        "var s = '<a>' + \"<b>\" + `<c>${d<e}</c>`;",
        "// <a>\n/* <b> */ var c = 1 // don't <d>",
        "for (var i = 0; i<n; i++) {}\nfor (var k in o) {} for (const v of o) {}",
        "a = b <c; a = b<<c; a = b <<d; a <<=e; a = (b)<c; a = b[0]<c; a = f()<c; a = {}<c",
        "a = ...b; f(...c); d = {...e}; g = 1..toString(); h = 1.5.toFixed(2); i = .5; j = 1.e3; k = 0x1F.x",
        "switch (a) { default: b(); case 1: c() } l: for (;;) break l; a ? b : c",
        "a?.b; a ?.5 : 1; x.for; x.in; x.default; y.each(z); var each = 1; for (each in z) {}",
        "async function f() { for await (var a of b) {} } class A { get x() { return 1 } static y = 2 }",
        "<!-- old browsers\nvar a = 1;\n//-->",
        "a = b\n/c/d",
        "x = {a: 1}\n/2/1",
        "i++ <j; i-- <j; a = i++ / 2 / 3",
        "'unclosed <a> ",
        "`unclosed ${<",
        "é < ö; var ü = 'ß<a>'",
        "function f(a, b = a<c) { return a<b } var g = (a) => a<b; typeof a<b",
        "}",
        ")",
        "]",
        "))}}<",
        "((((",
        "{{{[",
    ] {
        match rewrite(script) {
            Ok(rewritten) => {
                assert_eq!(rewritten.text, script);
                assert!(!rewritten.changed, "{script}");
            }
            Err(error) => assert!(script.contains("${<"), "{script}: {error:?}"),
        }
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    for (script, at, message) in [
        ("var a = <b>;", "<b>", "`<b>` is not closed"),
        (
            "var a = <b><c></b>;",
            "</b>",
            "`</b>` stands where `</c>` is expected",
        ),
        (
            "f(<b c=d/>)",
            "d",
            "the value of an attribute stands in quotes or braces",
        ),
        ("f(<b c='d/>)", "'", "this value of an attribute does not end"),
        ("f(<b>{}</b>)", "{}", "an expression has to stand in these braces"),
        ("f(<b>{c</b>)", "{", "this brace is not closed"),
        ("f(<b c", "<b", "the tag `<b` does not end"),
        ("f(<b><!-- c</b>)", "<!", "`-->` is missing"),
        ("f(<p:b/>)", "p", "the prefix `p` is not declared"),
        ("f(<b c='1' c='2'/>)", "c", "the attribute `c` is there twice"),
        ("f(<b>&nbsp;</b>)", "&", "unknown entity"),
        ("a..", "..", "a name has to follow `..`"),
        ("var a = @b", "@", "an attribute stands behind what it is of"),
        ("for each (var a) {}", ")", "`for each` goes through something"),
    ] {
        let error = rewrite(script).expect_err(script);
        let shown = script.get(error.at.clone()).unwrap_or_default();
        let place = (shown.starts_with(at) || at.starts_with(shown)) && !shown.is_empty();
        assert!(
            place && !error.message.is_empty(),
            "{script}: {error:?} is at `{shown}`"
        );
        if !matches!(at, "p" | "c" | "&") {
            assert!(error.message.contains(message), "{script}: {error:?}");
        }
    }
    let deep = format!("x = {}1{}", "<a>{".repeat(60), "}</a>".repeat(60));
    assert!(
        rewrite(&deep)
            .expect_err("too deep")
            .message
            .contains("more than 50 braces")
    );
}

#[test]
fn no_text_can_harm_it() {
    let script = "var x = <a b={c} d='e'>{f.(@g == 1)}<![CDATA[h]]><!--i--></a>; for each (var y in x..*::z) { x.@['q'] = `${y}` }";
    for end in 0..script.len() {
        drop(rewrite(&script[..end]));
        drop(rewrite(&script[end..]));
    }
}

#[test]
fn places_lead_back_to_what_was_written() {
    let script = "var a = <b>\n  <c>{d.e}</c>\n</b>; var f = a..g.(@h == i);\nfor each (var k in l) { m.@n = o; p += q }";
    let source = Placed::verbatim(script, Span::new(FileId(0), 0..script.len()));
    let first = rewrite(script).expect("it is E4X").placed(&source);
    let second = operators::rewrite(&first.text).placed(&first);
    for placed in [&first, &second] {
        assert_eq!(placed.text.matches('\n').count(), script.matches('\n').count());
        for name in ["d.e", "c>", "@h", " i)", "var k", " l)", "m", " o;", " q"] {
            let name = name.trim_matches(|c: char| !c.is_alphanumeric() && c != '.' && c != ' ');
            let (there, here) = (placed.text.find(name), script.find(name));
            let (there, here) = (there.expect(name), here.expect(name));
            let same = placed.text.matches(name).count() == script.matches(name).count();
            if same {
                assert_eq!(
                    placed.span_of(there..there + name.len()).range(),
                    here..here + name.len(),
                    "{name}"
                );
            }
        }
    }
    // What was put in has no place of its own: it is where it was put.
    let at = first.text.find("$xml.each").expect("it is rewritten");
    assert_eq!(
        first.span_of(at..at + 1).start as usize,
        script.find(" in l").expect("it is there") + 1
    );
}

#[test]
fn lines_stay_where_they_are() {
    let script = "x\n..\ny;\nx.ns\n::\nz;\nx.@\n[unique];\nb = <c\n d='1'\n>{\ne\n}\n</c>;\nx.(\n@f\n)";
    let text = rewrite(script).expect("it is E4X").text;
    let at = |text: &str, what: &str| text[..text.find(what).expect(what)].matches('\n').count();
    for what in ["unique", "e\n}", "d='1'"] {
        assert_eq!(at(&text, what), at(script, what), "{what}\n{text}");
    }
    assert_eq!(text.lines().count(), script.lines().count(), "{text}");
}

/// A message context that keeps its body, for scripts as they are in old configurations.
fn with_message(body: &str, script: &str) -> String {
    let mc = format!(
        "var kept = {{}}, mc = {{ getPayloadXML: function() {{ return new XML('{body}') }}, getEnvelopeXML: function() {{ return this.getPayloadXML() }}, \
         setPayloadXML: function(x) {{ kept.xml = x.toXMLString() }}, addHeader: function(m, x) {{ kept.header = x.toXMLString() }}, \
         setPayloadJSON: function(j) {{ kept.json = j }}, setProperty: function(k, v) {{ kept[k] = v }}, \
         getProperty: function(k) {{ return kept[k] === undefined ? null : kept[k] }} }};"
    );
    let script = format!("{mc}\n{script}\nreturn JSON.stringify(kept)");
    run(&script).unwrap_or_else(|error| format!("{error}\n{:?}", rewritten(&script)))
}

#[test]
fn old_scripts_run() {
    let price = "<c:CheckPrice xmlns:c=\"urn:shop\"><c:Code>IBM</c:Code></c:CheckPrice>";
    let quote = "var code = mc.getPayloadXML()..*::Code.toString();\nmc.setPayloadXML(\n    <q:quote xmlns:q=\"urn:q\">\n        <q:wanted>\n            <q:symbol>{code}</q:symbol>\n        </q:wanted>\n    </q:quote>);";
    assert_eq!(
        with_message(price, quote),
        "{\"xml\":\"<q:quote xmlns:q=\\\"urn:q\\\"><q:wanted><q:symbol>IBM</q:symbol></q:wanted></q:quote>\"}"
    );
    for (body, script, expected) in [
        (
            "<a><symbol>IBM</symbol></a>",
            "kept.other = mc.getPayloadXML()..symbol != \"IBM\";",
            "{\"other\":false}",
        ),
        (
            price,
            "function transform(mc) { var p = mc.getPayloadXML(); mc.setProperty('code', p..*::[\"Code\"].toString()); }\ntransform(mc)",
            "{\"code\":\"IBM\"}",
        ),
        (
            "<m><name>a</name><address>b</address></m>",
            "var p = mc.getPayloadXML(); delete p.address; mc.setPayloadXML(p);",
            "{\"xml\":\"<m><name>a</name></m>\"}",
        ),
        (
            "<e xmlns:w=\"urn:wsse\"><w:Username>u</w:Username><w:Password>p</w:Password></e>",
            "var wsse = new Namespace('urn:wsse'); var envelope = mc.getEnvelopeXML(); var u = envelope..wsse::Username.toString(), p = envelope..wsse::Password.toString();\nmc.addHeader(false, <x:Info xmlns:x=\"urn:x\"><x:user>{u}</x:user><x:pass>{p}</x:pass></x:Info>);",
            "{\"header\":\"<x:Info xmlns:x=\\\"urn:x\\\"><x:user>u</x:user><x:pass>p</x:pass></x:Info>\"}",
        ),
        (
            "<r><amount>12.50 EUR</amount></r>",
            "var amount = mc.getPayloadXML()..*::amount.toString(); var n = new RegExp(/^\\d*\\.?\\d*/g).exec(amount); mc.setProperty('n', n[0]); mc.setProperty('c', amount.replace(n, '').trim());",
            "{\"n\":\"12.50\",\"c\":\"EUR\"}",
        ),
        (
            "<r><error>java.sql.X: no</error></r>",
            "var p = mc.getPayloadXML(), out = p..*::error.toString(), answer = '';\nif (out != '') { answer += '<a><b>' + out.replace('java.sql.X: ', '') + '</b></a>'; mc.setPayloadXML(new XML(answer.toString())); }",
            "{\"xml\":\"<a><b>no</b></a>\"}",
        ),
        (
            "<d><u>1</u><v>2</v></d>",
            "var p = mc.getPayloadXML();\nvar n =\n\t<s:run xmlns:s=\"urn:s\">\n\t\t<s:u>{p..*::u.toString()}</s:u>\n\t\t<s:v>{p..*::v.toString()}</s:v>\n\t</s:run>\n\tmc.setPayloadXML(new XML(n.toXMLString()));",
            "{\"xml\":\"<s:run xmlns:s=\\\"urn:s\\\"><s:u>1</s:u><s:v>2</s:v></s:run>\"}",
        ),
        (
            "<p><approval>yes</approval></p>",
            "var a = mc.getPayloadXML()..*::approval.toString(); mc.setPayloadJSON({ \"approval\" : a });",
            "{\"json\":{\"approval\":\"yes\"}}",
        ),
        (
            "<a/>",
            "mc.setProperty('t', 'xml' == (typeof mc.getPayloadXML()));",
            "{\"t\":true}",
        ),
        (
            "<l><i><n>1</n></i><i><n>2</n></i></l>",
            "var out = <out/>; for each (var i in mc.getPayloadXML().i) { if (i.n > 1) { out.appendChild(<big>{i.n.text()}</big>) } }\nmc.setPayloadXML(out);",
            "{\"xml\":\"<out><big>2</big></out>\"}",
        ),
    ] {
        assert_eq!(with_message(body, script), expected, "{script}");
    }
}

#[test]
fn generated_mock_scripts_of_all_generations_run() {
    let oldest = "/* sample */\nvar response200json = {\"id\": 0};\nvar response200xml = <Pet><id>0</id><name>string</name></Pet>;\n\nmc.setProperty('CONTENT_TYPE', 'application/xml');\nmc.setPayloadXML(response200xml);";
    assert!(with_message("<a/>", oldest).contains("<Pet><id>0</id><name>string</name></Pet>"));
    let flat = "var response200json = {\"id\" : 0};\nvar response200xml = <Pet><id>0</id></Pet>;\nvar response404json = \"\";\nvar response404xml = \"\";\nvar response501json = {\n\"code\" : 501,\n\"description\" : \"Not Implemented\"}\nvar response501xml = <response><code>501</code><description>Not Implemented</description></response>;\n\
        var responseCode = mc.getProperty('query.param.responseCode');\nvar accept = mc.getProperty('AcceptHeader');\n\
        if (responseCode == null) {\n responseCode = \"200\";\n}\nif (responseCode == \"200\") {\n mc.setPayloadXML(response200xml);\n} else {\n mc.setPayloadXML(response501xml);\n}";
    assert!(
        with_message(
            "<a/>",
            &format!("kept['query.param.responseCode'] = '7';\n{flat}")
        )
        .contains("<code>501</code>")
    );
    assert!(with_message("<a/>", flat).contains("<Pet><id>0</id></Pet>"));
    let lists = "var accept = mc.getProperty('AcceptHeader');\nvar responseCode = mc.getProperty('query.param.responseCode');\nvar responseCodeSC;\nvar responses = [];\n\nif (!responses[200]) {\n responses [200] = [];\n}\n\
        responses[200][\"application/json\"] = {\n  \"id\" : 0,\n  \"tags\" : [ \"string\" ]\n};\nresponses[200][\"application/xml\"] = <Pet><id>0</id><photoUrl>https://a.example/?a=1&amp;b=2</photoUrl></Pet>;\n\
        responses[501] = [];\nresponses[501][\"application/json\"] = {\n\"code\" : 501}\nresponses[501][\"application/xml\"] = <response><code>501</code></response>;\n\n\
        if (responseCode == null) {\n responseCode = 200;\n}\nif (!responses[responseCode]) {\n  if (responses[\"default\"]) {\n    responseCode = \"default\"\n  } else {\n    responseCode = 501;\n  }\n}\nif (responseCode === \"default\") {\n  responseCodeSC = mc.getProperty('query.param.responseCode');\n} else {\n  responseCodeSC = responseCode;\n}\n\
        if (accept == null || !responses[responseCode][accept]) {\n accept = \"application/xml\";\n}\nif (accept == \"application/json\") {\n mc.setPayloadJSON(responses[responseCode][\"application/json\"]);\n} else if (accept == \"application/xml\") {\n mc.setProperty('CONTENT_TYPE', 'application/xml');\n mc.setProperty('HTTP_SC', responseCodeSC + \"\");\n mc.setPayloadXML(responses[responseCode][\"application/xml\"]);\n}";
    assert!(with_message("<a/>", lists).contains("<photoUrl>https://a.example/?a=1&amp;b=2</photoUrl>"));
    let asked = with_message(
        "<a/>",
        &format!("kept['query.param.responseCode'] = '999'; kept.AcceptHeader = 'text/plain';\n{lists}"),
    );
    assert!(
        asked.contains("<code>501</code>") && asked.contains("\"HTTP_SC\":\"501\""),
        "{asked}"
    );
}

#[test]
fn nothing_of_the_runtime_can_be_changed() {
    check_all(&[
        (
            "var of = Object.getPrototypeOf; try { of($xml.attribute(1)).leak = 1 } catch (e) {} return of($xml.attribute(1)).leak",
            "undefined",
        ),
        (
            "try { XML.prototype.leak = 1 } catch (e) {} return <a/>.leak.length()",
            "0",
        ),
        (
            "try { <a/>.toString.leak = 1 } catch (e) {} return <a/>.toString.leak",
            "undefined",
        ),
        ("try { $xml.literal = null } catch (e) {} return <a/>", "<a/>"),
        (
            "XML.leak = 1; QName.prototype.leak = 1; return XML.leak + new QName('a').leak",
            "NaN",
        ),
    ]);
}
