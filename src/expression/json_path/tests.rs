use super::*;
use crate::message::json::JsonLimits;

fn json(text: &str) -> Json {
    json::parse(text.as_bytes(), &JsonLimits::default()).unwrap()
}

fn check(path: &str, document: &str, expected: &str) {
    assert_eq!(answer(path, &json(document)), expected, "{path} on {document}");
}

fn answer(path: &str, document: &Json) -> String {
    let Ok(path) = JsonPath::compile(path) else {
        return "refused".to_owned();
    };
    let kind = if path.is_definite() { "one" } else { "many" };
    match path.find(document) {
        Err(_) => "fails".to_owned(),
        Ok(Found::Missing) => "missing".to_owned(),
        Ok(Found::One(value)) => format!("{kind} {}", json::text(&value)),
        Ok(found @ Found::Many(_)) => format!("{kind} {}", found.synapse_text()),
    }
}

/// `tests/oracle/jsonpath_pairs.txt` holds what com.jayway.jsonpath:json-path 2.10.0 answered.
#[test]
fn paths_find_what_jayway_finds() {
    let mut document = Json::Null;
    let mut mistakes = Vec::new();
    let mut pairs = 0;
    for line in include_str!("../../../tests/oracle/jsonpath_pairs.txt").lines() {
        if let Some(text) = line.strip_prefix("@doc ") {
            document = json(text);
        }
        let columns: Vec<&str> = line.split("\t=> ").collect();
        let (path, expected) = match columns.as_slice() {
            [path, jayway] => (*path, *jayway),
            // Where we differ on purpose, Jayway's answer stands before ours.
            [path, jayway, ours] => {
                assert_ne!(jayway, ours, "{path} does not differ");
                (path.trim_start_matches("! "), *ours)
            }
            _ => continue,
        };
        pairs += 1;
        let found = answer(path, &document);
        if found != expected {
            mistakes.push(format!("{path}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(pairs > 150);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn synapse_text_is_bare_for_strings_and_json_for_the_rest() {
    let document = json(r#"{"s":"a \"b\"","n":1.10,"o":{"x":[1]},"z":null,"t":true,"list":["a",1]}"#);
    let text = |path| JsonPath::compile(path).unwrap().synapse_text(&document);
    assert_eq!(text("$.s"), "a \"b\"");
    assert_eq!(text("$.n"), "1.10");
    assert_eq!(text("$.o"), r#"{"x":[1]}"#);
    assert_eq!(text("$.z"), "null");
    assert_eq!(text("$.t"), "true");
    assert_eq!(text("$.list[*]"), r#"["a",1]"#);
    assert_eq!(text("$.missing"), "");
    assert_eq!(text("$.missing[*]"), "");
    assert_eq!(text("$.s.sum()"), "");
    assert_eq!(text("$..nothing"), "[]");
}

/// SynapseJsonPath cuts one point from the end before it asks Jayway.
#[test]
fn a_point_at_the_end_is_overlooked() {
    check("$.", r#"{"a":1}"#, r#"one {"a":1}"#);
    check("$.a.", r#"{"a":1}"#, "one 1");
    assert!(JsonPath::compile("$.").unwrap().is_whole());
}

#[test]
fn a_mistake_points_at_its_place() {
    let check = |path: &str, message: &str, part: &str, help: Option<&str>| {
        let error = JsonPath::compile(path).unwrap_err();
        assert_eq!(error.message, message, "{path}");
        assert_eq!(&path[error.range.clone()], part, "{path}");
        assert_eq!(error.help.as_deref(), help, "{path}");
    };
    check(
        "$.a.lenght()",
        "there is no function `lenght()` in JSONPath",
        "lenght",
        Some("did you mean `length`?"),
    );
    check(
        "$.a[?(@.b = 1)]",
        "there is no operator `=` in JSONPath",
        "=",
        Some("did you mean `==`?"),
    );
    check(
        "$.a[?(@.b and @.c)]",
        "there is no operator `and` in JSONPath",
        "and",
        Some("did you mean `&&`?"),
    );
    check(
        "$.my name",
        "a name with a blank stands in brackets",
        "my name",
        Some("write `['my name']`"),
    );
    check(
        "$.a[b]",
        "brackets hold a quoted name, an index, a slice, `*` or `?(...)`",
        "b",
        Some("is `['b']` meant?"),
    );
    check("$.a['b", "the closing ' is missing", "'b", None);
    check(
        "$.a[?(@.b == x)]",
        "a path, string, number, list or pattern is missing",
        "x",
        Some("a string stands in quotes: 'x'"),
    );
    check("$a", "`$` is followed by `.` or `[`", "a", None);
    check("", "the path is empty", "", None);
    check(
        "$.a[?(!@.b == 1)]",
        "`!` before a path asks whether it is absent",
        "!@.b == 1",
        Some("write `!(@.b == 1)`"),
    );
    check("$.a[1:5:2]", "a slice has no step in this dialect", "1:5:2", None);
}

#[test]
fn deep_nesting_in_a_path_is_refused_without_harm() {
    for open in ["$.a[?(", "$[?(@[?(", "("] {
        assert!(JsonPath::compile(&format!("$[?({}1", open.repeat(20_000))).is_err());
    }
    assert!(JsonPath::compile(&format!("$[?(@.a in {}", "[".repeat(20_000))).is_err());
    assert!(JsonPath::compile(&format!("$.concat({}", "$.concat(".repeat(20_000))).is_err());
}

#[test]
fn broken_paths_never_panic() {
    let whole = "$..a['b\\'',\"c\"][0,-1][1:2][?(!@.x && ($.y =~ /a\\/b/i || @.z in ['é', 1.5e3]))].concat(\"x\", $.ü)";
    for start in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        for end in (start..=whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            if let Err(error) = JsonPath::compile(&whole[start..end]) {
                assert!(
                    whole[start..end].get(error.range.clone()).is_some(),
                    "{} {error:?}",
                    &whole[start..end]
                );
            }
        }
    }
}

fn changed(document: &str, change: impl Fn(&mut Json) -> Result<usize, FindError>) -> String {
    let mut document = json(document);
    let count = change(&mut document).unwrap();
    format!("{count} {}", json::text(&document))
}

#[test]
fn locations_are_the_way_to_each_value() {
    let document = json(r#"{"a":[{"b":1},{"b":2}],"c":{"b":3}}"#);
    let places = |path| {
        let places = JsonPath::compile(path).unwrap().locations(&document).unwrap();
        places
            .iter()
            .map(Location::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(places("$..b"), "$['a'][0]['b'] $['a'][1]['b'] $['c']['b']");
    assert_eq!(places("$.a[?(@.b > 1)]"), "$['a'][1]");
    assert_eq!(places("$.a[-1].b"), "$['a'][1]['b']");
    assert_eq!(places("$['a','c']"), "$['a'] $['c']");
    assert_eq!(places("$"), "$");
    assert_eq!(places("$.missing.x"), "");
    assert!(
        JsonPath::compile("$.a.length()")
            .unwrap()
            .locations(&document)
            .is_err()
    );
}

#[test]
fn set_replaces_what_is_there_and_creates_nothing() {
    let set = |path: &str, document: &str| {
        let path = JsonPath::compile(path).unwrap();
        changed(document, |document| path.set(document, &Json::from("new")))
    };
    assert_eq!(
        set("$.a.b", r#"{"a":{"b":1,"c":2}}"#),
        r#"1 {"a":{"b":"new","c":2}}"#
    );
    assert_eq!(set("$.a.x", r#"{"a":{"b":1}}"#), r#"0 {"a":{"b":1}}"#);
    assert_eq!(
        set("$..b", r#"{"b":{"b":1},"c":[{"b":2}]}"#),
        r#"2 {"b":"new","c":[{"b":"new"}]}"#.replace('2', "3")
    );
    assert_eq!(set("$", r#"{"a":1}"#), r#"1 "new""#);
    assert_eq!(set("$[0,-1]", "[1,2,3]"), r#"2 ["new",2,"new"]"#);
}

#[test]
fn remove_takes_later_elements_first() {
    let remove = |path: &str, document: &str| {
        let path = JsonPath::compile(path).unwrap();
        changed(document, |document| path.remove(document))
    };
    assert_eq!(remove("$[0,1]", "[1,2,3]"), "2 [3]");
    assert_eq!(remove("$[?(@ > 1)]", "[1,2,3]"), "2 [1]");
    assert_eq!(remove("$.b", r#"{"a":1,"b":2,"c":3}"#), r#"1 {"a":1,"c":3}"#);
    assert_eq!(remove("$..b", r#"{"b":{"b":1},"c":{"b":2}}"#), r#"3 {"c":{}}"#);
    assert_eq!(remove("$.x", r#"{"a":1}"#), r#"0 {"a":1}"#);
    assert_eq!(remove("$[-1,1]", "[1,2]"), "1 [1]");
}

/// Target.getNewJSONString: an array gets the value, an object its members; anything else is left alone.
#[test]
fn insert_child_adds_to_arrays_and_merges_into_objects() {
    let insert = |path: &str, document: &str, value: &str| {
        let path = JsonPath::compile(path).unwrap();
        changed(document, |document| path.insert_child(document, &json(value)))
    };
    assert_eq!(insert("$.a", r#"{"a":[1]}"#, "2"), r#"1 {"a":[1,2]}"#);
    assert_eq!(
        insert("$", r#"{"a":1,"b":2}"#, r#"{"b":3,"c":4}"#),
        r#"1 {"a":1,"b":3,"c":4}"#
    );
    assert_eq!(insert("$.a", r#"{"a":1}"#, "2"), r#"0 {"a":1}"#);
}

#[test]
fn insert_sibling_puts_the_value_beside() {
    let insert = |path: &str, document: &str, value: &str| {
        let path = JsonPath::compile(path).unwrap();
        changed(document, |document| path.insert_sibling(document, &json(value)))
    };
    assert_eq!(insert("$.a[0]", r#"{"a":[1,3]}"#, "2"), r#"1 {"a":[1,2,3]}"#);
    assert_eq!(insert("$.a", r#"{"a":1}"#, r#"{"b":2}"#), r#"1 {"a":1,"b":2}"#);
    assert_eq!(insert("$", "[1]", "2"), "0 [1]");
}
