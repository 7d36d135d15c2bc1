//! Ten definitions that have, together, all that a schema can say, with their exact samples.

use super::*;
use crate::deployment::openapi::read::read;
use crate::message::xml::{XmlLimits, XmlTree};
use crate::text::Sources;

fn definition(text: &str) -> Node {
    let mut sources = Sources::default();
    let file = sources.add("x.yaml", text);
    read(file, text).expect("the definition can be read")
}

/// The sample of the schema `of`, as `way` JSON or XML.
fn sample(text: &str, of: &str, way: &str, seed: Option<u64>) -> String {
    let root = definition(text);
    let reference = definition(&format!("$ref: '#/components/schemas/{of}'"));
    let sampling = Sampling {
        root: &root,
        way: match way {
            "request" => Way::Request,
            _ => Way::Answer,
        },
        seed,
    };
    if way == "xml" {
        let xml = xml(&reference, &sampling);
        XmlTree::parse_str(&xml, &XmlLimits::default()).expect("a sample is well-formed");
        return xml;
    }
    crate::message::json::text(&json(&reference, &sampling))
}

fn check(text: &str, expected: &[(&str, &str, &str)]) {
    for (of, way, expected) in expected {
        assert_eq!(sample(text, of, way, None), *expected, "{of} as {way}");
    }
}

#[test]
fn a_petstore_gives_what_the_products_give() {
    let text = r##"
openapi: 3.0.3
components:
  schemas:
    Category: {type: object, properties: {id: {type: integer, format: int64}, name: {type: string}}}
    Pet:
      type: object
      required: [name, photoUrls]
      properties:
        id: {type: integer, format: int64, xml: {attribute: true}}
        category: {$ref: '#/components/schemas/Category'}
        name: {type: string, example: Rex}
        photoUrls: {type: array, xml: {wrapped: true}, items: {type: string, xml: {name: photoUrl}}}
        tags: {type: array, xml: {wrapped: true}, items: {$ref: '#/components/schemas/Tag'}}
        status: {type: string, enum: [available, pending, sold]}
      xml: {name: pet}
    Tag: {type: object, xml: {name: tag}, properties: {name: {type: string}}}
    Pets: {type: array, items: {$ref: '#/components/schemas/Pet'}}
    Stock: {type: object, additionalProperties: {type: integer, format: int32}}
"##;
    check(
        text,
        &[
            (
                "Pet",
                "answer",
                r#"{"id":0,"category":{"id":0,"name":"string"},"name":"Rex","photoUrls":["string"],"tags":[{"name":"string"}],"status":"available"}"#,
            ),
            (
                "Pet",
                "xml",
                r#"<pet id="0"><category><id>0</id><name>string</name></category><name>Rex</name><photoUrls><photoUrl>string</photoUrl></photoUrls><tags><tag><name>string</name></tag></tags><status>available</status></pet>"#,
            ),
            (
                "Pets",
                "xml",
                r#"<Pets><pet id="0"><category><id>0</id><name>string</name></category><name>Rex</name><photoUrls><photoUrl>string</photoUrl></photoUrls><tags><tag><name>string</name></tag></tags><status>available</status></pet></Pets>"#,
            ),
            (
                "Stock",
                "answer",
                r#"{"additionalProp1":0,"additionalProp2":0,"additionalProp3":0}"#,
            ),
            (
                "Stock",
                "xml",
                "<Stock><additionalProp1>0</additionalProp1><additionalProp2>0</additionalProp2><additionalProp3>0</additionalProp3></Stock>",
            ),
        ],
    );
}

#[test]
fn every_format_has_its_sample() {
    let text = r#"
openapi: 3.0.3
components:
  schemas:
    All:
      type: object
      properties:
        a: {type: string, format: date}
        b: {type: string, format: date-time}
        c: {type: string, format: email}
        d: {type: string, format: uuid}
        e: {type: string, format: byte}
        f: {type: string, format: binary}
        g: {type: string, format: uri}
        h: {type: string, format: ipv4}
        i: {type: string, format: of-our-own}
        j: {type: integer}
        k: {type: integer, format: int64}
        l: {type: number}
        m: {type: number, format: float}
        n: {type: number, format: double}
        o: {type: boolean}
        p: {}
        q: {type: string, format: hostname}
        r: {type: string, format: password}
"#;
    check(
        text,
        &[(
            "All",
            "answer",
            r#"{"a":"2015-07-20","b":"2015-07-20T15:49:04-07:00","c":"apiteam@swagger.io","d":"3fa85f64-5717-4562-b3fc-2c963f66afa6","e":"c3RyaW5n","f":"string","g":"https://example.com/","h":"192.0.2.1","i":"string","j":0,"k":0,"l":1.5,"m":1.1,"n":1.1,"o":true,"p":{},"q":"example.com","r":"string"}"#,
        )],
    );
}

#[test]
fn what_the_author_gives_comes_first_and_means_what_the_schema_says() {
    let text = r#"
openapi: 3.1.0
components:
  schemas:
    Given:
      type: object
      properties:
        example: {type: string, example: one, default: two, enum: [three]}
        examples: {type: string, examples: [first, second], default: two}
        const: {const: 7}
        default: {type: integer, default: 8080}
        enum: {enum: [null, red, green], type: [string, 'null']}
        version: {type: string, example: 1.0}
        flag: {type: string, example: true}
        count: {type: integer, example: '12'}
        price: {type: number, example: 1.10}
        empty: {type: string, example: }
        nothing: {type: [string, 'null'], example: null}
        day: {type: string, format: date, example: 2026-11-21}
        whole: {type: object, properties: {a: {type: string}, b: {type: string}}, example: {a: only}}
        list: {type: array, items: {type: string}, example: [x, y]}
        deep: {type: array, items: {type: integer, example: 42}}
    Whole: {type: object, properties: {a: {type: string}}, example: {a: given, b: [1, {c: null}]}}
    Text: {type: object, example: '<a>1</a>'}
"#;
    check(
        text,
        &[
            (
                "Given",
                "answer",
                r#"{"example":"one","examples":"first","const":7,"default":8080,"enum":"red","version":"1.0","flag":"true","count":12,"price":1.10,"empty":"string","nothing":null,"day":"2026-11-21","whole":{"a":"only"},"list":["x","y"],"deep":[42]}"#,
            ),
            ("Whole", "answer", r#"{"a":"given","b":[1,{"c":null}]}"#),
            ("Whole", "xml", "<Whole><a>given</a><b>1</b><b><c/></b></Whole>"),
            ("Text", "xml", "<a>1</a>"),
        ],
    );
}

#[test]
fn schemas_are_put_together() {
    let text = r##"
openapi: 3.0.3
components:
  schemas:
    Animal:
      type: object
      required: [kind]
      discriminator: {propertyName: kind, mapping: {feline: '#/components/schemas/Cat'}}
      properties: {kind: {type: string}, name: {type: string}}
    Cat:
      allOf:
        - $ref: '#/components/schemas/Animal'
        - type: object
          properties: {lives: {type: integer, minimum: 9}}
    Dog:
      allOf:
        - $ref: '#/components/schemas/Animal'
        - {properties: {good: {type: boolean}, name: {type: string, example: Bello}}}
    Either:
      oneOf:
        - $ref: '#/components/schemas/Cat'
        - $ref: '#/components/schemas/Dog'
    Any: {anyOf: [{type: 'null'}, {type: integer}, {type: string}]}
    Told:
      allOf:
        - {type: object, properties: {a: {type: string}, b: {type: string}}, example: {a: from the first}}
        - {type: object, properties: {c: {type: string}}, example: {c: from the second}}
    Only: {description: a wrapper, allOf: [{$ref: '#/components/schemas/Sample'}]}
    Sample: {type: object, properties: {a: {type: string}}, example: {a: whole}}
    Narrow: {allOf: [{type: integer, minimum: 5}, {minimum: 7, maximum: 90}, {maximum: 8}]}
"##;
    check(
        text,
        &[
            ("Cat", "answer", r#"{"kind":"feline","name":"string","lives":9}"#),
            ("Dog", "answer", r#"{"kind":"Dog","name":"Bello","good":true}"#),
            (
                "Either",
                "answer",
                r#"{"kind":"feline","name":"string","lives":9}"#,
            ),
            (
                "Either",
                "xml",
                "<Either><kind>feline</kind><name>string</name><lives>9</lives></Either>",
            ),
            ("Any", "answer", "0"),
            (
                "Told",
                "answer",
                r#"{"a":"from the first","b":"string","c":"from the second"}"#,
            ),
            ("Only", "answer", r#"{"a":"whole"}"#),
            ("Narrow", "answer", "7"),
        ],
    );
}

#[test]
fn numbers_and_texts_keep_their_bounds() {
    let text = r#"
openapi: 3.1.0
components:
  schemas:
    Numbers:
      type: object
      properties:
        a: {type: integer, minimum: 3}
        b: {type: integer, maximum: -4}
        c: {type: integer, exclusiveMinimum: 3}
        d: {type: integer, minimum: 3, exclusiveMinimum: true}
        e: {type: integer, multipleOf: 7, minimum: 10}
        f: {type: number, multipleOf: 0.01, minimum: 2.345}
        g: {type: number, exclusiveMinimum: 0, maximum: 1}
        h: {type: number, minimum: 0, maximum: 1, exclusiveMaximum: true}
        i: {type: integer, minimum: 9223372036854775807}
        j: {type: number, multipleOf: 5}
        k: {type: number, maximum: 0.001, exclusiveMinimum: 0}
        l: {minimum: 20}
    Texts:
      type: object
      properties:
        a: {type: string, minLength: 8}
        b: {type: string, maxLength: 3}
        c: {type: string, pattern: '^[A-Z]{2}\d{4}$'}
        d: {type: string, pattern: '^\w+$'}
        e: {type: string, pattern: '^(?!no)yes$'}
        f: {type: string, pattern: '^(red|green)-[0-9a-f]+/$', minLength: 12}
        g: {type: string, pattern: '^\+?[1-9]\d{1,14}$'}
        h: {type: string, pattern: 'x', maxLength: 2}
        i: {type: string, pattern: '^[^@]+@[^@.]+\.(com|org)$'}
        j: {type: string, minLength: 3, maxLength: 3, enum: [EUR, USD]}
        k: {pattern: '^a{1000000}$'}
        l: {type: string, format: date, pattern: '^\d{4}-\d{2}-\d{2}$'}
"#;
    check(
        text,
        &[
            (
                "Numbers",
                "answer",
                r#"{"a":3,"b":-4,"c":4,"d":4,"e":14,"f":2.35,"g":1,"h":0.5,"i":9223372036854775807,"j":5,"k":0.001,"l":20}"#,
            ),
            (
                "Texts",
                "answer",
                r#"{"a":"stringst","b":"str","c":"AA0000","d":"string","e":"string","f":"red-aaaaaaa/","g":"+10","h":"x","i":"a@a.com","j":"EUR","k":"string","l":"2015-07-20"}"#,
            ),
        ],
    );
}

#[test]
fn lists_and_maps_have_as_many_members_as_they_must() {
    let text = r#"
openapi: 3.1.0
components:
  schemas:
    Lists:
      type: object
      properties:
        a: {type: array, items: {type: string}}
        b: {type: array, minItems: 3, items: {type: integer}}
        c: {type: array, maxItems: 0, items: {type: integer}}
        d: {type: array, minItems: 3, uniqueItems: true, items: {type: integer, minimum: 5}}
        e: {type: array, minItems: 3, uniqueItems: true, items: {enum: [x, y, z]}}
        f: {type: array, minItems: 2, uniqueItems: true, items: {type: object, properties: {id: {type: string, format: uuid}}}}
        g: {type: array, prefixItems: [{type: string}, {type: integer}], items: false}
        h: {type: array}
        i: {type: array, minItems: 9, uniqueItems: true, items: {type: boolean}}
    Maps:
      type: object
      properties:
        a: {type: object, additionalProperties: {type: array, items: {type: boolean}}}
        b: {type: object, additionalProperties: true}
        c: {type: object}
        d: {type: object, additionalProperties: {type: string}, maxProperties: 1}
        e: {type: object, additionalProperties: {type: integer}, propertyNames: {enum: [en, de]}}
        f: {type: object, patternProperties: {'^x-[a-z]+$': {type: string}}}
        g: {type: object, properties: {id: {type: integer}}, additionalProperties: false}
        h: {type: object, required: [a, b], properties: {a: {type: integer}}}
        i: {type: object, properties: {id: {type: integer}}, additionalProperties: {type: string}}
"#;
    check(
        text,
        &[
            (
                "Lists",
                "answer",
                r#"{"a":["string"],"b":[0,0,0],"c":[],"d":[5,6,7],"e":["x","y","z"],"f":[{"id":"3fa85f64-5717-4562-b3fc-2c963f66afa6"},{"id":"3fa85f64-5717-4562-b3fc-000000000001"}],"g":["string",0],"h":[],"i":[true,false]}"#,
            ),
            (
                "Maps",
                "answer",
                r#"{"a":{"additionalProp1":[true],"additionalProp2":[true],"additionalProp3":[true]},"b":{"additionalProp1":{},"additionalProp2":{},"additionalProp3":{}},"c":{},"d":{"additionalProp1":"string"},"e":{"en":0,"de":0},"f":{"x-a":"string"},"g":{"id":0},"h":{"a":0,"b":"string"},"i":{"id":0}}"#,
            ),
        ],
    );
}

#[test]
fn requests_leave_out_what_is_read_and_answers_what_is_written() {
    let text = r##"
swagger: '2.0'
components:
  schemas:
    User:
      type: object
      required: [id]
      properties:
        id: {type: integer, readOnly: true}
        password: {type: string, writeOnly: true}
        created: {$ref: '#/components/schemas/Stamp'}
        name: {type: string, x-example: Ada}
    Stamp: {type: string, format: date, readOnly: true}
"##;
    check(
        text,
        &[
            ("User", "request", r#"{"password":"string","name":"Ada"}"#),
            (
                "User",
                "answer",
                r#"{"id":0,"created":"2015-07-20","name":"Ada"}"#,
            ),
        ],
    );
}

#[test]
fn schemas_that_hold_themselves_end() {
    let text = r##"
openapi: 3.0.3
components:
  schemas:
    Tree: {type: object, properties: {value: {type: integer}, children: {type: array, items: {$ref: '#/components/schemas/Tree'}}}}
    Chain: {type: object, properties: {value: {type: integer}, next: {$ref: '#/components/schemas/Chain'}}}
    Nullable: {type: object, required: [next], properties: {next: {nullable: true, allOf: [{$ref: '#/components/schemas/Nullable'}]}}}
    Sum:
      oneOf:
        - {type: object, required: [left, right], properties: {left: {$ref: '#/components/schemas/Sum'}, right: {$ref: '#/components/schemas/Sum'}}}
        - {type: integer}
    Impossible: {type: object, required: [me], properties: {me: {$ref: '#/components/schemas/Impossible'}}}
    Ring: {$ref: '#/components/schemas/Gnir'}
    Gnir: {$ref: '#/components/schemas/Ring'}
    Lost: {type: object, properties: {a: {$ref: '#/components/schemas/Nowhere'}, b: {$ref: 'other.yaml#/x'}}}
    Itself: {allOf: [{$ref: '#/components/schemas/Itself'}, {type: integer}]}
"##;
    check(
        text,
        &[
            ("Tree", "answer", r#"{"value":0,"children":[]}"#),
            ("Tree", "xml", "<Tree><value>0</value></Tree>"),
            ("Chain", "answer", r#"{"value":0}"#),
            ("Nullable", "answer", r#"{"next":null}"#),
            ("Sum", "answer", "0"),
            ("Impossible", "answer", "{}"),
            ("Ring", "answer", "{}"),
            ("Lost", "answer", r#"{"a":{},"b":{}}"#),
            ("Itself", "answer", "0"),
        ],
    );
    // Ten of ten of ten …: each level multiplies, no level holds itself.
    let mut text = "openapi: 3.0.3\ncomponents:\n  schemas:\n".to_owned();
    for level in 0..12 {
        text.push_str(&format!(
            "    L{level}: {{type: array, minItems: 1000, items: {{$ref: '#/components/schemas/L{}'}}}}\n",
            level + 1
        ));
    }
    text.push_str("    L12: {type: string, minLength: 1000000000}\n");
    assert!(sample(&text, "L0", "answer", None).len() < 4 << 20);
}

#[test]
fn xml_has_the_names_that_the_schema_gives() {
    let text = r##"
openapi: 3.0.3
components:
  schemas:
    Person:
      type: object
      xml: {prefix: p, namespace: 'http://example.com/person', name: person}
      properties:
        id: {type: integer, xml: {attribute: true}}
        lang: {type: string, example: 'a "b" <c>', xml: {attribute: true, prefix: x, namespace: 'urn:x'}}
        name: {type: string, example: 'A & B', xml: {name: fullName, prefix: p, namespace: 'http://example.com/person'}}
        plain: {type: array, items: {type: string}, example: [a, b]}
        renamed: {type: array, xml: {name: ignored}, items: {type: string, xml: {name: one}}, example: [a]}
        wrapped: {type: array, xml: {wrapped: true}, items: {type: string}, example: [a]}
        both: {type: array, xml: {name: outer, wrapped: true}, items: {type: string, xml: {name: inner}}, example: [a, b]}
        outer: {type: array, xml: {name: books, wrapped: true}, items: {type: string}, example: [a]}
        none: {type: array, items: {type: string}, example: []}
        '1st name': {type: string}
        undeclared: {type: string, xml: {prefix: q}}
        other: {type: object, xml: {namespace: 'urn:other'}, properties: {a: {type: boolean}}}
"##;
    check(
        text,
        &[(
            "Person",
            "xml",
            "<p:person xmlns:p=\"http://example.com/person\" id=\"0\" xmlns:x=\"urn:x\" x:lang=\"a &quot;b&quot; &lt;c&gt;\">\
             <p:fullName xmlns:p=\"http://example.com/person\">A &amp; B</p:fullName><plain>a</plain><plain>b</plain><one>a</one>\
             <wrapped><wrapped>a</wrapped></wrapped><outer><inner>a</inner><inner>b</inner></outer><books><books>a</books></books>\
             <_1st_name>string</_1st_name><undeclared>string</undeclared><other xmlns=\"urn:other\"><a>true</a></other></p:person>",
        )],
    );
    let root = definition("openapi: 3.0.3");
    let inline = |schema: &str| {
        let schema = definition(schema);
        let sampling = Sampling {
            root: &root,
            way: Way::Answer,
            seed: None,
        };
        xml(&schema, &sampling)
    };
    assert_eq!(inline("{type: string}"), "<root>string</root>");
    assert_eq!(
        inline("{type: array, items: {type: object, xml: {name: pet}, properties: {a: {type: integer}}}}"),
        "<pet><a>0</a></pet>"
    );
    assert_eq!(
        inline("{type: array, minItems: 2, items: {type: integer, xml: {name: n}}}"),
        "<root><n>0</n><n>0</n></root>"
    );
}

#[test]
fn a_seed_makes_other_values_that_fit_the_same_schema() {
    let text = r#"
openapi: 3.0.3
components:
  schemas:
    Order:
      type: object
      required: [id, code, when, mail, count, price, state, lines, net]
      additionalProperties: false
      properties:
        id: {type: string, format: uuid}
        code: {type: string, pattern: '^[A-Z]{2}-\d{3,5}$'}
        when: {type: string, format: date-time}
        mail: {type: string, format: email, example: one@example.com}
        count: {type: integer, minimum: 1, maximum: 9, multipleOf: 2}
        price: {type: number, minimum: 0.5, maximum: 2, exclusiveMinimum: true}
        state: {enum: [open, paid]}
        lines: {type: array, minItems: 2, maxItems: 5, items: {type: string, minLength: 3, maxLength: 6}}
        net: {type: string, format: ipv4}
"#;
    let schema = definition(text);
    let schema = schema
        .get("components")
        .and_then(|c| c.get("schemas")?.get("Order"));
    let validator = jsonschema::draft4::options()
        .should_validate_formats(true)
        .build(&schema.expect("it is there").json())
        .expect("it is a schema");
    let mut seen = HashSet::new();
    for seed in 0..200 {
        let order = sample(text, "Order", "answer", Some(seed));
        let json = serde_json::from_str(&order).expect("it is JSON");
        assert!(validator.is_valid(&json), "{order}");
        assert_eq!(order, sample(text, "Order", "answer", Some(seed)));
        seen.insert(order);
    }
    assert!(seen.len() > 190, "only {} differ", seen.len());
}
