//! Mocks from OpenAPI definitions: what a definition in the folder answers, to the byte.

use super::talk::{Running, free_port, replay};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Serves one definition.
fn running(name: &str, definition: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), definition).unwrap();
    Running::of(folder, free_port())
}

const SHELF: &str = r##"openapi: 3.0.3
info: {title: Shelf, version: '1'}
servers: [{url: 'https://api.example.com/shelf/v1'}]
paths:
  /books/{isbn}:
    get:
      parameters:
        - {name: isbn, in: path, required: true, schema: {type: string, pattern: '^[0-9]{3,13}$'}}
        - {name: page, in: query, schema: {type: integer, minimum: 1}}
        - {name: tags, in: query, explode: false, schema: {type: array, items: {type: string, enum: [new, old]}}}
        - {name: X-Trace, in: header, schema: {type: boolean}}
        - {name: seen, in: cookie, schema: {type: integer}}
      responses:
        '404':
          description: none
          content:
            application/json:
              examples:
                Gone: {value: {reason: gone}}
                neverThere: {value: {reason: never}}
        '200':
          description: a book
          headers:
            ETag: {example: '"b1"', schema: {type: string}}
            X-Left: {schema: {type: integer, example: 7}}
            X-Made-Up: {schema: {type: string}}
          content:
            application/json:
              examples:
                Short: {value: {title: Ulysses, price: 12.50}}
                long: {value: {title: Ulysses, pages: 730}}
            application/xml:
              example: <book><title>Ulysses</title></book>
            text/plain:
              examples:
                Short: {value: Ulysses}
        5XX: {description: broken, content: {application/problem+json: {example: {title: broken}}}}
        50x: {description: worse, content: {text/plain: {example: worse}}}
        default: {description: other, content: {application/json: {example: {other: true}}}}
    delete:
      responses:
        '204': {description: gone, headers: {X-Gone: {example: 'yes'}}}
  /books:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Book'}
          application/x-www-form-urlencoded:
            schema: {$ref: '#/components/schemas/Book'}
          text/*: {}
      responses:
        '201':
          description: made
          headers: {Location: {example: /shelf/v1/books/1}}
          content: {'*/*': {example: {made: true}}}
  /moved:
    get: {responses: {'302': {description: there, headers: {Location: {example: /shelf/v1/books/1}}}, default: {description: no}}}
  /said:
    get:
      parameters: [{name: example, in: query, schema: {type: string}}]
      responses: {default: {description: all, content: {application/json: {example: '{"a": 1}'}}}}
  /silent: {get: {}}
components:
  schemas:
    Book:
      type: object
      required: [id, title]
      properties:
        id: {type: integer, readOnly: true}
        title: {type: string, minLength: 2}
        price: {type: number, minimum: 0, exclusiveMinimum: true, nullable: true}
        next: {$ref: '#/components/schemas/Book'}
"##;

#[test]
fn a_definition_in_the_folder_answers_from_its_examples() {
    let running = running("shelf.yaml", SHELF);
    replay(
        &running,
        "shelf",
        r#"GET /shelf/v1/books/123

###
200
Content-Type: application/json
ETag: "b1"
X-Left: 7
X-Made-Up: -
Content-Length: 33
Preference-Applied: -

{"title":"Ulysses","price":12.50}

### The other example, by its name in any capitals
GET /shelf/v1/books/123
Prefer: example=LONG

###
200
Preference-Applied: example=LONG

{"title":"Ulysses","pages":730}

### The query says the same
GET /shelf/v1/books/123?example=long

###
200
Preference-Applied: -

{"title":"Ulysses","pages":730}

### Another status
GET /shelf/v1/books/123
Prefer: code=404; example=neverThere

###
404
Preference-Applied: code=404, example=neverThere

{"reason":"never"}

### The query again
GET /shelf/v1/books/123?responseCode=404

###
404

{"reason":"gone"}

### An example of another status, by its name alone
GET /shelf/v1/books/123
Prefer: example=Gone

###
404

{"reason":"gone"}

### A range, and a narrower one
GET /shelf/v1/books/123
Prefer: code=510

###
510
Content-Type: application/problem+json

{"title":"broken"}

### The narrower one
GET /shelf/v1/books/123
Prefer: code=503

###
503
Content-Type: text/plain

worse

### What is not said falls back
GET /shelf/v1/books/123
Prefer: code=418

###
418

{"other":true}

### XML as it is written
GET /shelf/v1/books/123
Accept: text/html, application/xml;q=0.9, */*;q=0.1

###
200
Content-Type: application/xml

<book><title>Ulysses</title></book>

### An example and a type
GET /shelf/v1/books/123
Accept: text/plain
Prefer: example=Short

###
200
Content-Type: text/plain

Ulysses

### A type that is not there
GET /shelf/v1/books/123
Accept: image/png

###
406
Content-Type: application/problem+json

{"title":"No such media type","status":406,"detail":"The request accepts none of the media types that this answer has.","types":["application/json","application/xml","text/plain"]}

### An example that is not there
GET /shelf/v1/books/123
Prefer: example=other

###
501

{"title":"There is no such example","status":501,"detail":"The definition has no example `other` here.","examples":["Gone","neverThere","Short","long"]}

### A status that is none
GET /shelf/v1/books/123
Prefer: code=1000

###
400

{"title":"The preference is not valid","status":400,"detail":"`1000` is no status from 200 to 599."}

### Headers alone
DELETE /shelf/v1/books/123

###
204
X-Gone: yes
Content-Type: -

### A status without a default
DELETE /shelf/v1/books/123
Prefer: code=200

###
501

{"title":"There is no such answer","status":501,"detail":"The definition has no answer 200 here, and no default.","codes":["204"]}

### Redirections before defaults
GET /shelf/v1/moved

###
302
Location: /shelf/v1/books/1

### JSON that stands in a text; the parameter is the API's own
GET /shelf/v1/said?example=long

###
200

{"a": 1}

### Nothing is said
GET /shelf/v1/silent

###
501

{"title":"There is no answer","status":501,"detail":"The definition says nothing of what this operation answers."}

### The length without the body
HEAD /shelf/v1/books/123

###
200
Content-Length: 33

### As APIs do
PUT /shelf/v1/books/123

###
405
Allow: …HEAD…

### The same
OPTIONS /shelf/v1/books/123

###
200
Allow: …GET…

### Nowhere
GET /shelf/v1/nothing

###
404
"#,
    );
}

#[test]
fn a_request_is_held_against_the_definition() {
    let running = running("shelf.yaml", SHELF);
    replay(
        &running,
        "shelf",
        r#"GET /shelf/v1/books/12x?page=0&tags=new,red
X-Trace: maybe
Cookie: a=b; seen=yes

###
400
Content-Type: application/problem+json

{"title":"The request does not fit","status":400,"detail":"5 things in it are not as the definition says.","errors":[{"in":"path","name":"isbn","reason":"the value does not match \"^[0-9]{3,13}$\""},{"in":"query","name":"page","reason":"the value is less than the minimum of 1"},{"in":"query","name":"tags","reason":"the value is not one of \"new\" or \"old\" (at /1)"},{"in":"header","name":"X-Trace","reason":"the value is not of type \"boolean\""},{"in":"cookie","name":"seen","reason":"the value is not of type \"integer\""}]}

### It fits
GET /shelf/v1/books/123?page=2&tags=new,old&more=1
X-Trace: true

###
200

…

### No body
POST /shelf/v1/books

###
400

{"title":"The request does not fit","status":400,"detail":"One thing in it is not as the definition says.","errors":[{"in":"body","reason":"it is required"}]}

### Another media type
POST /shelf/v1/books
Content-Type: application/xml

<book/>

###
415

{"title":"The media type is not taken","status":415,"detail":"The definition takes no body of this Content-Type here.","types":["application/json","application/x-www-form-urlencoded","text/*"]}

### No JSON
POST /shelf/v1/books
Content-Type: application/json

{"title": 

###
400

{"title":"The request does not fit","status":400,"detail":"One thing in it is not as the definition says.","errors":[{"in":"body","reason":"…"}]}

### All that does not fit the schema
POST /shelf/v1/books
Content-Type: application/json

{"title": "U", "price": 0, "next": {}}

###
422

{"title":"The request does not fit","status":422,"detail":"3 things in it are not as the definition says.","errors":[{"in":"body","pointer":"/title","reason":"the value is shorter than 2 characters"},{"in":"body","pointer":"/price","reason":"the value is less than or equal to the minimum of 0"},{"in":"body","pointer":"/next","reason":"\"title\" is a required property"}]}

### It fits
POST /shelf/v1/books
Content-Type: application/json; charset=utf-8

{"title": "Ulysses", "price": null}

###
201
Location: /shelf/v1/books/1
Content-Type: application/json

{"made":true}

### A form
POST /shelf/v1/books
Content-Type: application/x-www-form-urlencoded

title=U&price=1.5

###
422

{"title":"The request does not fit","status":422,"detail":"One thing in it is not as the definition says.","errors":[{"in":"body","pointer":"/title","reason":"the value is shorter than 2 characters"}]}

### Any text
POST /shelf/v1/books
Content-Type: text/markdown

x

###
201

{"made":true}
"#,
    );
}

/// Everything that comes back until the connection ends, or until nothing has come for a while.
fn raw(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let request = request.replace('\n', "\r\n");
    write!(
        stream,
        "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut told = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return String::from_utf8_lossy(&told).into_owned() + "(closed)",
            Ok(count) => told.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return String::from_utf8_lossy(&told).into_owned() + "(nothing more)";
            }
            Err(_) => return String::from_utf8_lossy(&told).into_owned() + "(reset)",
        }
    }
}

const ZOO: &str = r##"openapi: 3.1.0
info: {title: Zoo, version: '2'}
paths:
  /animals/{animal-id}:
    get:
      parameters: [{name: animal-id, in: path, required: true, schema: {type: integer}}]
      responses:
        '200':
          description: an animal
          content:
            application/json: {schema: {$ref: '#/components/schemas/Animal'}}
            application/xml: {schema: {$ref: '#/components/schemas/Animal'}}
            application/vnd.zoo+json: {}
  /slow: {get: {x-mock-latency: 60ms, responses: {'200': {description: late}}}}
  /broken: {get: {x-mock-fault: 503, responses: {'200': {description: never}}}}
  /free: {post: {x-mock-validation: false, requestBody: {required: true, content: {application/json: {}}}, responses: {'204': {description: done}}}}
components:
  schemas:
    Animal:
      type: object
      xml: {name: animal}
      required: [id, name]
      properties:
        id: {type: integer, minimum: 1, maximum: 1000000, xml: {attribute: true}}
        name: {type: [string, 'null'], examples: [Rex]}
        born: {type: string, format: date}
        kin: {type: array, items: {$ref: '#/components/schemas/Animal'}}
"##;

/// `myelin mock` with one definition.
fn mocked(definition: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("zoo.yaml"), definition).unwrap();
    Running::mock(folder, "zoo.yaml", free_port(), more)
}

#[test]
fn the_command_serves_a_definition_and_says_how_to_ask() {
    let running = mocked(ZOO, &[]);
    let port = running.port;
    let told = running.start.replace(&port.to_string(), "PORT");
    let (first, rest) = told.split_once('\n').unwrap();
    assert!(first.ends_with("zoo.yaml at http://127.0.0.1:PORT"), "{first}");
    assert_eq!(
        rest,
        "  prefer  -H 'Prefer: code=404', example=NAME, dynamic=true or wait=2\n  \
         try     curl -i http://127.0.0.1:PORT/slow\n"
    );
    replay(
        &running,
        "zoo",
        r#"GET /animals/7
Origin: https://elsewhere.example

###
200
Content-Type: application/json
Access-Control-Allow-Origin: *

{"id":1,"name":"Rex","born":"2015-07-20","kin":[]}

### XML of the same schema
GET /animals/7
Accept: application/xml

###
200
Content-Type: application/xml

<animal id="1"><name>Rex</name><born>2015-07-20</born></animal>

### Nothing is said of it
GET /animals/7
Accept: application/vnd.zoo+json

###
200

{}

### A name with a hyphen is checked as well
GET /animals/first

###
400

…{"in":"path","name":"animal-id","reason":"the value is not of type \"integer\""}…

### Switched off
POST /free

###
204
"#,
    );
    // The files are as they were.
    let mut files: Vec<_> = fs::read_dir(running.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["talk.log", "zoo.yaml"]);
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let asked = |more: &[&str]| {
        let running = mocked(ZOO, more);
        let ask = |_| {
            let answer = running.ask("GET /animals/7\nPrefer: dynamic=true");
            assert_eq!(answer.header("preference-applied"), Some("dynamic=true"));
            answer.body
        };
        (0..5).map(ask).collect::<Vec<_>>()
    };
    let first = asked(&[]);
    assert!(first.iter().any(|body| *body != first[0]), "{first:?}");
    assert_eq!(first, asked(&[]));
    assert_ne!(first, asked(&["--seed", "2"]));
}

#[test]
fn a_mock_is_late_or_broken_when_somebody_asks_for_it() {
    let running = mocked(ZOO, &[]);
    let port = running.port;
    for request in [
        "GET /slow",
        "GET /animals/7\nx-mock-latency: 60",
        "GET /animals/7\nPrefer: wait=0.06",
    ] {
        let start = Instant::now();
        assert_eq!(running.ask(request).status, 200, "{request}");
        assert!(start.elapsed() >= Duration::from_millis(60), "{request}");
    }
    let answer = running.ask("GET /animals/7\nPrefer: wait=0.06");
    assert_eq!(answer.header("preference-applied"), Some("wait=0.06"));
    assert_eq!(running.ask("GET /broken").status, 503);
    assert_eq!(running.ask("GET /animals/7\nx-mock-fault: 418").status, 418);
    assert_eq!(running.ask("GET /animals/7\nx-mock-fault: bang").status, 400);
    let ask = |fault: &str| raw(port, &format!("GET /animals/7 HTTP/1.1\nx-mock-fault: {fault}"));
    assert_eq!(ask("empty"), "(closed)");
    assert_eq!(ask("timeout"), "(nothing more)");
    let reset = ask("reset");
    assert!(reset.starts_with("HTTP/1.1 200 OK"), "{reset}");
    assert!(
        reset.contains("breaks o") && !reset.contains("\r\n0\r\n"),
        "{reset}"
    );
    assert_eq!(running.ask("GET /animals/7").status, 200);
}

#[test]
fn nobody_may_ask_for_mishaps_when_that_is_off() {
    let running = mocked(ZOO, &["--no-mishaps"]);
    let start = Instant::now();
    let answer =
        running.ask("GET /animals/7\nx-mock-fault: 503\nx-mock-latency: 20s\nPrefer: wait=20, code=200");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("preference-applied"), Some("code=200"));
    assert!(start.elapsed() < Duration::from_secs(10));
    // What the definition says stays.
    assert_eq!(running.ask("GET /broken").status, 503);
}

#[test]
fn a_changed_definition_answers_anew() {
    let running = mocked(ZOO, &[]);
    assert_eq!(running.ask("GET /animals/7").status, 200);
    let changed = ZOO.replace("'200':", "'203':");
    fs::write(running.folder.path().join("zoo.yaml"), changed).unwrap();
    let start = Instant::now();
    while running.ask("GET /animals/7").status != 203 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never took the change up"
        );
    }
}

#[test]
fn what_is_saved_answers_as_the_mock_does() {
    let mock = mocked(SHELF, &[]);
    let saved = tempfile::tempdir().unwrap();
    let definition = mock.folder.path().join("zoo.yaml");
    let save = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_myelin"))
            .args(["mock", "--save"])
            .arg(saved.path())
            .args(more)
            .arg(&definition)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            told + String::from_utf8_lossy(&output.stderr).as_ref(),
        )
    };
    let (code, told) = save(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("sequences/shelf-1.xml\n"), "{told}");
    assert!(
        told.ends_with("unlike `myelin mock`: requests are not held against the definition, no body is made by chance (Prefer: dynamic), and places in examples (x-mock-template) stay as they are\n"),
        "{told}"
    );
    assert!(save(&[]).1.starts_with("everything is there already\n"));
    let api = saved.path().join("sequences/shelf-1.xml");
    let text = fs::read_to_string(&api).unwrap();
    fs::write(&api, format!("{text}<!-- mine -->\n")).unwrap();
    let (code, told) = save(&[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("--force writes over it"), "{told}");
    assert_eq!(save(&["--force"]).0, Some(0));
    let run = Running::of(saved, free_port());
    for request in [
        "GET /shelf/v1/books/123",
        "GET /shelf/v1/books/123?responseCode=404",
        "GET /shelf/v1/books/123?responseCode=510",
        "GET /shelf/v1/books/123?responseCode=503",
        "GET /shelf/v1/books/123?responseCode=418",
        "GET /shelf/v1/books/123\nAccept: application/xml",
        "GET /shelf/v1/books/123\nAccept: text/*, */*;q=0.1",
        "GET /shelf/v1/books/123\nAccept: image/png",
        "DELETE /shelf/v1/books/123",
        "DELETE /shelf/v1/books/123?responseCode=200",
        "GET /shelf/v1/moved",
        "GET /shelf/v1/said",
        "GET /shelf/v1/silent",
        "GET /shelf/v1/books/123\nPrefer: code=404; example=neverThere",
        "GET /shelf/v1/books/123\nPrefer: example=LONG, code=200",
        "GET /shelf/v1/books/123\nPrefer: example=Gone",
        "GET /shelf/v1/books/123\nPrefer: example=\"Gone\"",
        "GET /shelf/v1/books/123?example=long",
        "GET /shelf/v1/books/123\nPrefer: example=Short\nAccept: text/plain",
        "GET /shelf/v1/books/123?responseCode=404&example=long",
        "GET /shelf/v1/books/123\nPrefer: code=1000",
        "GET /shelf/v1/books/123\nPrefer: code=",
        "GET /shelf/v1/books/123\nPrefer: code=503, respond-async",
    ] {
        let (one, other) = (mock.ask(request), run.ask(request));
        assert_eq!(one.status, other.status, "{request}");
        let json = |body: &str| serde_json::from_str::<serde_json::Value>(body).ok();
        match json(&one.body) {
            Some(value) => assert_eq!(Some(value), json(&other.body), "{request}"),
            None => assert_eq!(one.body, other.body, "{request}"),
        }
        for name in ["location", "etag", "x-left", "x-gone", "preference-applied"] {
            assert_eq!(one.header(name), other.header(name), "{request} {name}");
        }
        let essence = |answer: &super::talk::Answer| {
            let content_type = answer.header("content-type").unwrap_or("");
            content_type.split(';').next().unwrap_or("").to_owned()
        };
        assert_eq!(essence(&one), essence(&other), "{request}");
    }
    // JavaScript has codes in the order of their numbers.
    let answer = run.ask("GET /shelf/v1/books/123\nPrefer: example=other");
    assert_eq!(answer.status, 501);
    assert!(
        answer
            .body
            .ends_with(r#""examples":["Short","long","Gone","neverThere"]}"#),
        "{answer:?}"
    );
}

/// A definition that is spread over files, one of which leads back to the first.
fn spread(folder: &std::path::Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "zoo.yaml",
        "openapi: 3.0.3\ninfo: {title: Zoo, version: '1'}\nservers: [{url: /zoo}]\nx-mock: true\npaths:\n  /pets/{id}: {$ref: 'parts/pet.yaml'}\ncomponents:\n  schemas:\n    Name: {type: string, minLength: 2, example: Rex}\n",
    );
    write(
        "parts/pet.yaml",
        "parameters:\n  - $ref: '../common/parameters.json#/id'\nput:\n  requestBody: {content: {application/json: {schema: {$ref: 'schemas/Pet.yaml'}}}}\n  responses:\n    '200':\n      content:\n        application/json: {schema: {$ref: 'schemas/Pet.yaml'}}\n        application/xml: {schema: {$ref: 'schemas/Pet.yaml'}}\nget:\n  x-mediation-script: |\n    mc.setPayloadXML('<a/>');\n    nothing.here;\n",
    );
    write(
        "common/parameters.json",
        "{\"id\": {\"name\": \"id\", \"in\": \"path\", \"required\": true, \"schema\": {\"type\": \"integer\"}}}",
    );
    write(
        "parts/schemas/Pet.yaml",
        "type: object\nproperties:\n  name: {$ref: '../../zoo.yaml#/components/schemas/Name'}\n  friend: {$ref: '#'}\n",
    );
}

const SPREAD: &str = r#"PUT /zoo/pets/1
Content-Type: application/json

{"name": "Tom", "friend": {"name": "R"}}

###
422

…"errors":[{"in":"body","pointer":"/friend/name","reason":"the value is shorter than 2 characters"}]}

### A parameter from another file
PUT /zoo/pets/x

###
400

…{"in":"path","name":"id","reason":"the value is not of type \"integer\""}…

### A schema from another file
PUT /zoo/pets/1

###
200

{"name":"Rex"}

### Its file names it in XML
PUT /zoo/pets/1
Accept: application/xml

###
200

<Pet><name>Rex</name></Pet>
"#;

#[test]
fn examples_say_what_the_request_says_where_they_may() {
    let definition = r##"openapi: 3.0.0
x-mock-template: true
paths:
  /pets/{id}:
    post:
      responses:
        '201':
          content:
            application/json:
              examples:
                structured: {value: {id: '{{path.id}}', tags: ['{{query.tag}}', 'x-{{header.X-Tenant}}'], pet: '{{body}}', age: '{{body.age}}', none: '{{body.a.b}}'}}
                text: {value: '{"id": {{path.id}}, "first": {{body.list.0}}, "name": "{{ body.name }}!"}'}
            application/xml: {example: '<pet id="{{path.id}}">{{body.name}}</pet>'}
            text/plain: {example: 'pet {{path.id}} of {{cookie.user}}'}
  /plain: {get: {x-mock-template: false, responses: {'200': {content: {text/plain: {example: '{{path.id}}'}}}}}}
"##;
    let running = mocked(definition, &[]);
    replay(
        &running,
        "templates",
        r#"POST /pets/7?tag=a%22b
Content-Type: application/json
X-Tenant: blue

{"name": "R<x", "age": 3, "list": [1.50]}

###
201

{"id":"7","tags":["a\"b","x-blue"],"pet":{"name":"R<x","age":3,"list":[1.50]},"age":3,"none":null}

### As a text
POST /pets/7
Content-Type: application/json
Prefer: example=text

{"name": "R\"x", "age": 3, "list": [1.50]}

###
201

{"id": 7, "first": 1.50, "name": "R\"x!"}

### A name, and no body
POST /pets/x
Prefer: example=text

###
201

{"id": "x", "first": null, "name": "!"}

### XML
POST /pets/a%26b
Content-Type: application/json
Accept: application/xml

{"name": "R<x"}

###
201

<pet id="a&amp;b">R&lt;x</pet>

### Text
POST /pets/7
Accept: text/plain
Cookie: user=ada

###
201

pet 7 of ada

### Switched off
GET /plain

###
200

{{path.id}}
"#,
    );
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
    }
}

#[test]
fn a_definition_may_be_spread_over_several_files() {
    let folder = tempfile::tempdir().unwrap();
    spread(folder.path());
    let running = Running::of(folder, free_port());
    replay(&running, "spread", SPREAD);
    let answer = running.ask("GET /zoo/pets/1");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("at parts/pet.yaml:13:5"), "{answer:?}");
    let parameters = running.folder.path().join("common/parameters.json");
    let text = fs::read_to_string(&parameters)
        .unwrap()
        .replace("integer", "string");
    fs::write(&parameters, text).unwrap();
    until("the other file is not taken up", || {
        running.ask("PUT /zoo/pets/x").status == 200
    });
}

#[test]
fn the_command_follows_a_definition_into_its_other_files() {
    let folder = tempfile::tempdir().unwrap();
    spread(folder.path());
    let running = Running::mock(folder, "zoo.yaml", free_port(), &[]);
    replay(&running, "spread", SPREAD);
    let pet = running.folder.path().join("parts/schemas/Pet.yaml");
    fs::write(&pet, "type: string\nexample: none\n").unwrap();
    until("the other file is not taken up", || {
        running.ask("PUT /zoo/pets/1").body == "\"none\""
    });
    // A mistake in it leaves what was there before.
    fs::write(&pet, "type: [\n").unwrap();
    let saved = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(["mock", "zoo.yaml", "--save", "out"])
        .current_dir(running.folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&saved.stderr).into_owned();
    assert_eq!(saved.status.code(), Some(1), "{told}");
    assert!(told.contains("parts/schemas/Pet.yaml:2:1"), "{told}");
    assert_eq!(running.ask("PUT /zoo/pets/1").body, "\"none\"");
    fs::write(&pet, "type: integer\n").unwrap();
    let saved = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(["mock", "zoo.yaml", "--save", "out"])
        .current_dir(running.folder.path())
        .output()
        .unwrap();
    assert_eq!(saved.status.code(), Some(0), "{saved:?}");
    let script = fs::read_to_string(running.folder.path().join("out/scripts/zoo-1/put-pets-id.js")).unwrap();
    assert!(
        script.contains("responses[200][\"application/json\"] = 0;"),
        "{script}"
    );
}

#[test]
fn a_definition_says_the_state_of_its_api() {
    let text = |state: &str| {
        format!(
            "openapi: 3.0.0\ninfo: {{title: {state}}}\nx-state: {state}\nservers: [{{url: /{state}}}]\npaths: {{/x: {{get: {{responses: {{'204': {{description: d}}}}}}}}}}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    for state in ["CREATED", "BLOCKED", "RETIRED", "PUBLISHED"] {
        fs::write(folder.path().join(format!("{state}.yaml")), text(state)).unwrap();
    }
    let running = Running::with(folder, free_port(), &["--lenient"]);
    let told = |state: &str| {
        let answer = running.ask(&format!("GET /{state}/x"));
        (answer.status, answer.body)
    };
    assert_eq!(told("CREATED").0, 204);
    assert_eq!(told("RETIRED").0, 404);
    let blocked = told("BLOCKED");
    assert!(blocked.0 == 503 && blocked.1.contains("700700"), "{blocked:?}");
    let refused = told("PUBLISHED");
    assert!(
        refused.0 == 503
            && refused
                .1
                .contains("PUBLISHED.yaml:3:10: an API that is PUBLISHED has no prototypes"),
        "{refused:?}"
    );
    // Who asks for a mock of it gets one.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("zoo.yaml"), text("PUBLISHED")).unwrap();
    let running = Running::mock(folder, "zoo.yaml", free_port(), &[]);
    assert_eq!(running.ask("GET /PUBLISHED/x").status, 204);
}

#[test]
fn what_is_no_definition_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str| {
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_myelin"))
            .args(["mock", "a.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        refused("a: 1\n"),
        "not started: a.yaml is no OpenAPI definition: it has neither `openapi` nor `swagger` at its top\n"
    );
    let told = refused(
        "openapi: 3.0.0\npaths:\n  /x:\n    get:\n      responses:\n        200: {$ref: '#/components/responses/Ok'}\n",
    );
    assert!(told.contains("a.yaml:6:22"), "{told}");
    assert!(told.ends_with("not started: 1 error\n"), "{told}");
    assert!(
        told.contains("`#/components/responses/Ok` is not in this file"),
        "{told}"
    );
}

#[test]
fn operations_with_scripts_are_answered_by_them_beside_the_others() {
    let running = mocked(
        r#"openapi: 3.0.0
paths:
  /time:
    get:
      x-mediation-script: |
        mc.setProperty('CONTENT_TYPE', 'application/json');
        mc.setPayloadJSON({now: new Date().toISOString()});
  /other: {get: {responses: {'200': {description: o, content: {text/plain: {example: other}}}}}}
"#,
        &["--clock", "2026-01-31T12:00:00Z"],
    );
    replay(
        &running,
        "scripts",
        r#"GET /time

###
200

{"now":"2026-01-31T12:00:00.000Z"}

### The other
GET /other

###
200

other
"#,
    );
}

#[test]
fn a_definition_with_mistakes_answers_503_where_the_rest_is_to_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let whole = "openapi: 3.0.0\nservers: [{url: /whole}]\npaths: {/x: {get: {responses: {'204': {description: d}}}}}\n";
    let broken = "openapi: 3.0.0\ninfo: {title: Broken}\nservers: [{url: /broken}]\npaths: {/x: {get: {x-mock-fault: bang}}}\n";
    fs::write(folder.path().join("whole.yaml"), whole).unwrap();
    fs::write(folder.path().join("broken.yaml"), broken).unwrap();
    let running = Running::with(folder, free_port(), &["--lenient"]);
    assert_eq!(running.ask("GET /whole/x").status, 204);
    let answer = running.ask("GET /broken/x");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("broken.yaml:4:34"), "{}", answer.body);
}
