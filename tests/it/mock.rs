//! Mocks from OpenAPI definitions: what a definition in the folder answers, to the byte.

use super::talk::{Running, free_port, replay};
use std::fs;

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
