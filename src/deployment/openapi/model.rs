//! What an OpenAPI definition says (2.0, 3.0 and 3.1): its operations, what they take and what they answer.

use super::read::{Key, Node};
use super::references::{References, check_references, reference};
use crate::mediators::mock::Statuses;
use crate::text::{Diagnostic, Span};

/// A definition; everything in it is borrowed from the file's tree.
#[derive(Debug)]
pub struct Definition<'a> {
    pub version: Version,
    pub references: References<'a>,
    /// In the order of the file.
    pub operations: Vec<Operation<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Two,
    Three,
    /// 3.1 and later: its schemas are JSON Schema.
    ThreeOne,
}

#[derive(Debug)]
pub struct Operation<'a> {
    /// In capitals.
    pub method: &'static str,
    /// As it is written, with its variables in braces.
    pub path: &'a str,
    pub path_span: Span,
    pub id: Option<&'a str>,
    /// What is written for the method: its extensions stand here,
    pub node: &'a Node,
    /// or at the path.
    pub item: &'a Node,
    /// Of the method's name.
    pub span: Span,
    pub parameters: Vec<Parameter<'a>>,
    pub body: Option<Body<'a>>,
    /// In the order of the file.
    pub responses: Vec<Response<'a>>,
}

#[derive(Debug)]
pub struct Parameter<'a> {
    pub name: &'a str,
    pub place: Place,
    pub required: bool,
    /// In version 2 the parameter itself; else its schema, or the one of its content.
    pub schema: Option<&'a Node>,
    pub style: Style,
    pub node: &'a Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How several values are written in one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The parameter comes once for each value.
    Repeated,
    Separated(char),
    /// A text of that media type, or a notation that is not taken apart.
    Whole,
}

#[derive(Debug)]
pub struct Body<'a> {
    pub required: bool,
    pub media: Vec<Media<'a>>,
    /// The fields of a form in version 2, whose media then have no schema.
    pub form: Vec<Parameter<'a>>,
}

/// A body of one media type.
#[derive(Debug)]
pub struct Media<'a> {
    /// As written, with its parameters.
    pub media_type: &'a str,
    pub schema: Option<&'a Node>,
    /// Those with a value, in the order of the file; the one without a name stands first.
    pub examples: Vec<Example<'a>>,
}

#[derive(Debug)]
pub struct Example<'a> {
    pub name: Option<&'a str>,
    pub value: &'a Node,
}

#[derive(Debug)]
pub struct Response<'a> {
    pub code: Statuses,
    /// Of the code.
    pub span: Span,
    pub media: Vec<Media<'a>>,
    pub headers: Vec<Header<'a>>,
    pub description: &'a str,
}

#[derive(Debug)]
pub struct Header<'a> {
    pub name: &'a str,
    /// In version 2 the header itself.
    pub schema: Option<&'a Node>,
    pub example: Option<&'a Node>,
}

const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"];

/// Reads a definition. What is wrong is told; with an error there may be no definition, or one that lacks what is wrong.
pub fn definition<'a>(root: &'a Node, mistakes: &mut Vec<Diagnostic>) -> Option<Definition<'a>> {
    let version = version(root, mistakes)?;
    let references = References::new(root);
    check_references(root, references, mistakes);
    let mut reading = Reading {
        version,
        references,
        mistakes,
    };
    let mut operations = Vec::new();
    let paths = root.get("paths");
    if let Some(paths) = paths.filter(|paths| !paths.is_map() && !paths.is_null()) {
        reading.tell(paths.span, "`paths` holds paths and what can be done there");
    }
    for (path, item) in paths.map_or(&[][..], Node::entries) {
        if path.name.starts_with("x-") {
            continue;
        }
        if !path.name.starts_with('/') {
            reading.tell(path.span, format!("the path `{}` begins with a slash", path.name));
            continue;
        }
        let item = references.resolve(item);
        for (key, node) in item.entries() {
            let method = METHODS
                .iter()
                .find(|method| method.eq_ignore_ascii_case(&key.name));
            if let Some(method) = method {
                operations.push(reading.operation(method, path, key.span, node, item));
            }
        }
    }
    Some(Definition {
        version,
        references,
        operations,
    })
}

fn version(root: &Node, mistakes: &mut Vec<Diagnostic>) -> Option<Version> {
    let node = root.get("openapi").or(root.get("swagger"))?;
    let text = node.text().unwrap_or("").trim();
    let version = match text.split('.').collect::<Vec<_>>().as_slice() {
        ["2"] | ["2", "0"] => Version::Two,
        ["3", "0", ..] => Version::Three,
        ["3"] | ["3", "1" | "2", ..] => Version::ThreeOne,
        _ => {
            let mistake = Diagnostic::error("E0223", node.span, format!("there is no OpenAPI `{text}`"));
            mistakes.push(mistake.help("versions 2.0, 3.0, 3.1 and 3.2 are read"));
            return None;
        }
    };
    Some(version)
}

struct Reading<'a, 'm> {
    version: Version,
    references: References<'a>,
    mistakes: &'m mut Vec<Diagnostic>,
}

impl<'a> Reading<'a, '_> {
    fn tell(&mut self, span: Span, message: impl Into<String>) {
        self.mistakes.push(Diagnostic::error("E0223", span, message));
    }

    fn operation(
        &mut self,
        method: &'static str,
        path: &'a Key,
        span: Span,
        node: &'a Node,
        item: &'a Node,
    ) -> Operation<'a> {
        let mut parameters: Vec<Parameter<'a>> = Vec::new();
        let mut form = Vec::new();
        let mut body = None;
        // The operation's own come before those of its path that have the same name.
        for list in [node, item].iter().filter_map(|node| node.get("parameters")) {
            for written in list.items() {
                let node = self.references.resolve(written);
                match node.get("in").and_then(Node::text) {
                    Some("body") if self.version == Version::Two => body = body.or(Some(node)),
                    Some("formData") if self.version == Version::Two => {
                        form.extend(self.parameter(written, node, Place::Query));
                    }
                    Some(place) => {
                        let place = match place {
                            "path" => Place::Path,
                            "query" => Place::Query,
                            "header" => Place::Header,
                            "cookie" if self.version != Version::Two => Place::Cookie,
                            other => {
                                let at = node.get("in").map_or(node.span, |node| node.span);
                                self.tell(at, format!("no parameter stands in `{other}`"));
                                continue;
                            }
                        };
                        let Some(parameter) = self.parameter(written, node, place) else {
                            continue;
                        };
                        let is_known =
                            |known: &Parameter<'_>| known.place == place && known.name == parameter.name;
                        if !parameters.iter().any(is_known) {
                            parameters.push(parameter);
                        }
                    }
                    None if reference(node).is_some() => {}
                    None => self.tell(written.span, "this parameter does not say where it stands (`in`)"),
                }
            }
        }
        let body = match (self.version, body) {
            (Version::Two, Some(body)) => Some(self.body_of_two(body, node)),
            (Version::Two, None) if !form.is_empty() => Some(self.form(form, node)),
            (Version::Two, None) => None,
            _ => node.get("requestBody").map(|body| self.body(body)),
        };
        Operation {
            method,
            path: &path.name,
            path_span: path.span,
            id: node.get("operationId").and_then(Node::text),
            node,
            item,
            span,
            parameters,
            body,
            responses: self.responses(node),
        }
    }

    fn parameter(&mut self, written: &'a Node, node: &'a Node, place: Place) -> Option<Parameter<'a>> {
        let Some(name) = node.get("name").and_then(Node::text) else {
            self.tell(written.span, "this parameter has no `name`");
            return None;
        };
        // OpenAPI has other words for what these three say.
        let reserved = ["accept", "content-type", "authorization"];
        if place == Place::Header && reserved.contains(&name.to_ascii_lowercase().as_str()) {
            return None;
        }
        let content = node
            .get("content")
            .and_then(|content| content.entries().first())
            .map(|(_, media)| self.references.resolve(media));
        let schema = match (self.version, content) {
            (Version::Two, _) => Some(node),
            (_, Some(content)) => content.get("schema"),
            (_, None) => node.get("schema"),
        };
        let style = match self.version {
            Version::Two => match node.get("collectionFormat").and_then(Node::text) {
                Some("multi") => Style::Repeated,
                Some("ssv") => Style::Separated(' '),
                Some("tsv") => Style::Separated('\t'),
                Some("pipes") => Style::Separated('|'),
                _ => Style::Separated(','),
            },
            _ if content.is_some() => Style::Whole,
            _ => {
                let in_form = matches!(place, Place::Query | Place::Cookie);
                let default = if in_form { "form" } else { "simple" };
                let style = node.get("style").and_then(Node::text).unwrap_or(default);
                let exploded = node.get("explode").map_or(style == "form", Node::is_true);
                match style {
                    "form" if exploded => Style::Repeated,
                    "spaceDelimited" => Style::Separated(' '),
                    "pipeDelimited" => Style::Separated('|'),
                    "form" | "simple" => Style::Separated(','),
                    _ => Style::Whole,
                }
            }
        };
        Some(Parameter {
            name,
            place,
            required: place == Place::Path || node.get("required").is_some_and(Node::is_true),
            schema,
            style,
            node,
        })
    }

    fn body(&mut self, written: &'a Node) -> Body<'a> {
        let node = self.references.resolve(written);
        Body {
            required: node.get("required").is_some_and(Node::is_true),
            media: self.content(node),
            form: Vec::new(),
        }
    }

    fn body_of_two(&mut self, parameter: &'a Node, operation: &'a Node) -> Body<'a> {
        let schema = parameter.get("schema");
        let media = self
            .types("consumes", operation)
            .into_iter()
            .map(|media_type| Media {
                media_type,
                schema,
                examples: Vec::new(),
            });
        Body {
            required: parameter.get("required").is_some_and(Node::is_true),
            media: media.collect(),
            form: Vec::new(),
        }
    }

    fn form(&mut self, form: Vec<Parameter<'a>>, operation: &'a Node) -> Body<'a> {
        let consumed = self.types("consumes", operation);
        let is_form = |media_type: &&str| media_type.contains("form");
        let mut types: Vec<&str> = consumed.into_iter().filter(is_form).collect();
        if types.is_empty() {
            types = vec!["application/x-www-form-urlencoded", "multipart/form-data"];
        }
        let media = types.into_iter().map(|media_type| Media {
            media_type,
            schema: None,
            examples: Vec::new(),
        });
        Body {
            required: form.iter().any(|field| field.required),
            media: media.collect(),
            form,
        }
    }

    /// Version 2's media types, of the operation or else of the whole definition.
    fn types(&self, word: &str, operation: &'a Node) -> Vec<&'a str> {
        let own = operation.get(word).or(self.references.root().get(word));
        let types: Vec<&str> = own
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::text)
            .collect();
        if types.is_empty() {
            return vec!["application/json"];
        }
        types
    }

    fn responses(&mut self, operation: &'a Node) -> Vec<Response<'a>> {
        let mut responses = Vec::new();
        for (key, written) in operation.get("responses").map_or(&[][..], Node::entries) {
            if key.name.starts_with("x-") {
                continue;
            }
            let Some(code) = statuses(&key.name) else {
                let message = format!("`{}` is no status", key.name);
                let mistake = Diagnostic::error("E0223", key.span, message);
                self.mistakes
                    .push(mistake.help("write three digits such as 404, a range such as 4XX, or default"));
                continue;
            };
            let node = self.references.resolve(written);
            let media = match self.version {
                Version::Two => self.media_of_two(node, operation),
                _ => self.content(node),
            };
            let headers = node.get("headers").map_or(&[][..], Node::entries);
            let headers = headers
                .iter()
                .filter_map(|(name, header)| self.header(&name.name, header));
            responses.push(Response {
                code,
                span: key.span,
                media,
                headers: headers.collect(),
                description: node.get("description").and_then(Node::text).unwrap_or(""),
            });
        }
        responses
    }

    fn header(&self, name: &'a str, written: &'a Node) -> Option<Header<'a>> {
        // What the answer's media type says already.
        if name.eq_ignore_ascii_case("content-type") {
            return None;
        }
        let node = self.references.resolve(written);
        let content = node
            .get("content")
            .and_then(|content| content.entries().first())
            .map(|(_, media)| self.references.resolve(media));
        let example = node
            .get("example")
            .or_else(|| {
                self.examples(node)
                    .into_iter()
                    .next()
                    .map(|example| example.value)
            })
            .or_else(|| content?.get("example"))
            .or_else(|| node.get("x-example"));
        let schema = match self.version {
            Version::Two => Some(node),
            _ => node.get("schema").or_else(|| content?.get("schema")),
        };
        Some(Header {
            name,
            schema,
            example,
        })
    }

    fn media_of_two(&self, response: &'a Node, operation: &'a Node) -> Vec<Media<'a>> {
        let examples = response.get("examples").map_or(&[][..], Node::entries);
        let schema = response.get("schema");
        let mut types: Vec<&str> = Vec::new();
        if schema.is_some() {
            types = self.types("produces", operation);
        }
        for (key, _) in examples {
            if !types.contains(&key.name.as_str()) {
                types.push(&key.name);
            }
        }
        let media = types.into_iter().map(|media_type| Media {
            media_type,
            schema,
            examples: examples
                .iter()
                .filter(|(key, _)| key.name == media_type)
                .map(|(_, value)| Example { name: None, value })
                .collect(),
        });
        media.collect()
    }

    fn content(&self, node: &'a Node) -> Vec<Media<'a>> {
        let content = node.get("content").map_or(&[][..], Node::entries);
        let media = content.iter().map(|(key, written)| {
            let node = self.references.resolve(written);
            Media {
                media_type: key.name.trim(),
                schema: node.get("schema"),
                examples: self.examples(node),
            }
        });
        media.collect()
    }

    fn examples(&self, node: &'a Node) -> Vec<Example<'a>> {
        let unnamed = node.get("example").map(|value| Example { name: None, value });
        let named = node.get("examples").map_or(&[][..], Node::entries);
        let named = named.iter().filter_map(|(key, written)| {
            let value = self.references.resolve(written).get("value")?;
            Some(Example {
                name: Some(key.name.as_str()),
                value,
            })
        });
        unnamed.into_iter().chain(named).collect()
    }
}

/// `404`, `4XX`, `40X` or `default`, in any capitals.
fn statuses(text: &str) -> Option<Statuses> {
    if text.eq_ignore_ascii_case("default") {
        return Some(Statuses::Default);
    }
    let [first, second, third] = *text.as_bytes() else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let open = |byte: u8| byte.eq_ignore_ascii_case(&b'x');
    let hundreds = digit(first).filter(|first| (1..=5).contains(first))? * 100;
    let (from, count) = match (digit(second), digit(third)) {
        (Some(tens), Some(ones)) => (hundreds + tens * 10 + ones, 1),
        (Some(tens), None) if open(third) => (hundreds + tens * 10, 10),
        (None, None) if open(second) && open(third) => (hundreds, 100),
        _ => return None,
    };
    Some(Statuses::These(from..=from + count - 1))
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::message::json;
    use crate::text::Sources;

    /// The operations in short, then what is wrong.
    fn check(text: &str, expected: &[&str]) {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", text);
        let root = read::read(file, text).expect("it can be read");
        let mut mistakes = Vec::new();
        let definition = definition(&root, &mut mistakes);
        let mut told: Vec<String> = Vec::new();
        for operation in definition.iter().flat_map(|definition| &definition.operations) {
            told.push(in_short(operation));
        }
        mistakes.sort_by_key(|mistake| mistake.span);
        for mistake in mistakes {
            let place = sources.place(mistake.span.expect("a place"));
            told.push(format!(
                "{} {}:{} {}",
                mistake.code, place.line, place.column, mistake.message
            ));
        }
        assert_eq!(told, expected, "for {text}");
    }

    fn in_short(operation: &Operation<'_>) -> String {
        let mut told = format!("{} {}", operation.method, operation.path);
        for parameter in &operation.parameters {
            let need = if parameter.required { "!" } else { "" };
            told += &format!(
                " {:?}:{}{need}({:?})",
                parameter.place, parameter.name, parameter.style
            );
        }
        if let Some(body) = &operation.body {
            let need = if body.required { "!" } else { "" };
            told += &format!(" takes{need}");
            body.media.iter().for_each(|media| told += &media_in_short(media));
            body.form
                .iter()
                .for_each(|field| told += &format!(" field:{}", field.name));
        }
        for response in &operation.responses {
            told += &format!(" -> {}", response.code);
            for header in &response.headers {
                told += &format!(" {}", header.name);
                if let Some(example) = header.example {
                    told += &format!("={}", json::text(&example.json()));
                }
            }
            response
                .media
                .iter()
                .for_each(|media| told += &media_in_short(media));
        }
        told
    }

    fn media_in_short(media: &Media<'_>) -> String {
        let schema = if media.schema.is_some() { "+schema" } else { "" };
        let mut told = format!(" {}{schema}", media.media_type);
        for example in &media.examples {
            let name = example.name.unwrap_or("");
            told += &format!(" {name}={}", json::text(&example.value.json()));
        }
        told
    }

    #[test]
    fn an_operation_says_what_it_takes_and_answers() {
        check(
            r##"openapi: 3.0.3
paths:
  /pets/{id}:
    parameters:
      - {name: id, in: path, schema: {type: string}}
      - $ref: '#/components/parameters/Tags'
    put:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: X-Trace, in: header}
        - {name: Accept, in: header}
        - {name: f, in: query, style: deepObject}
      requestBody:
        required: true
        content:
          application/json: {schema: {}, example: {a: 1}}
          application/xml: {}
      responses:
        200:
          $ref: '#/components/responses/Pet'
        4XX: {headers: {Retry-After: {schema: {type: integer}, example: 5}}}
        50x: {description: no}
        default: {content: {text/plain: {example: oops}}}
components:
  parameters:
    Tags: {name: tags, in: query, schema: {type: array}}
  responses:
    Pet:
      content:
        application/json:
          schema: {type: object}
          examples:
            Tom: {value: {name: Tom}}
            Ann: {$ref: '#/components/examples/Ann'}
            Far: {externalValue: 'http://x/'}
  examples:
    Ann: {value: {name: Ann, ref: {$ref: nowhere}}}
"##,
            &[
                "PUT /pets/{id} Path:id!(Separated(',')) Header:X-Trace(Separated(',')) Query:f(Whole) Query:tags(Repeated) takes! application/json+schema ={\"a\":1} application/xml -> 200 application/json+schema Tom={\"name\":\"Tom\"} Ann={\"name\":\"Ann\",\"ref\":{\"$ref\":\"nowhere\"}} -> 4XX Retry-After=5 -> 50X -> default text/plain =\"oops\"",
            ],
        );
    }

    #[test]
    fn version_two_is_read_as_well() {
        check(
            r##"{"swagger": "2.0", "produces": ["application/json", "application/xml"], "paths": {
"/pets": {
  "get": {"parameters": [{"name": "ids", "in": "query", "type": "array", "collectionFormat": "pipes"}],
    "responses": {"200": {"schema": {"type": "array"}, "examples": {"application/json": [1], "text/csv": "1"},
      "headers": {"X-Rate": {"type": "integer", "x-example": 7}}}, "204": {}}},
  "post": {"consumes": ["text/xml"], "parameters": [{"name": "pet", "in": "body", "required": true, "schema": {}}], "responses": {}},
  "patch": {"parameters": [{"name": "file", "in": "formData", "type": "file", "required": true}], "responses": {}}}}}"##,
            &[
                "GET /pets Query:ids(Separated('|')) -> 200 X-Rate=7 application/json+schema =[1] application/xml+schema text/csv+schema =\"1\" -> 204",
                "POST /pets takes! text/xml+schema",
                "PATCH /pets takes! application/x-www-form-urlencoded multipart/form-data field:file",
            ],
        );
    }

    #[test]
    fn references_may_go_in_circles_below_themselves() {
        let text = r##"openapi: 3.1.0
components: {schemas: {Node: {properties: {$ref: {type: string}, next: {$ref: '#/components/schemas/Node'}}}, 'a/b~c d': {type: string}}}
paths: {/x: {$ref: '#/components/pathItems/X'}}
x-link: {$ref: nowhere}
"##;
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", text);
        let root = read::read(file, text).expect("it can be read");
        let references = References::new(&root);
        let node = references.find("#/components/schemas/Node/properties/next");
        let next = references.resolve(node.expect("it is there"));
        assert!(next.get("properties").is_some());
        assert!(references.find("#/components/schemas/a~1b~0c%20d").is_some());
        check(
            text,
            &["E0223 3:21 `#/components/pathItems/X` is not in this file"],
        );
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        check("openapi: 4.0.0\n", &["E0223 1:10 there is no OpenAPI `4.0.0`"]);
        check(
            r##"openapi: 3.0.0
paths:
  pets: {}
  /pets:
    get:
      parameters: [{in: query}, {name: a}, {name: b, in: body}, {$ref: '#/components/parameters/One'}]
      responses:
        2xx2: {}
        600: {}
        201: {$ref: 'common.yaml#/Created'}
components:
  parameters:
    One: {$ref: '#/components/parameters/Two'}
    Two: {$ref: '#/components/parameters/One'}
"##,
            &[
                "GET /pets -> 201",
                "E0223 3:3 the path `pets` begins with a slash",
                "E0223 6:20 this parameter has no `name`",
                "E0223 6:33 this parameter does not say where it stands (`in`)",
                "E0223 6:58 no parameter stands in `body`",
                "E0223 6:73 `#/components/parameters/One` refers to itself",
                "E0223 8:9 `2xx2` is no status",
                "E0223 9:9 `600` is no status",
                "E0223 13:18 `#/components/parameters/Two` refers to itself",
                "E0223 14:18 `#/components/parameters/One` refers to itself",
            ],
        );
    }
}
