//! `<payloadFactory>`: a new body from a template.

use super::template::{self, Piece, Template, Written};
use crate::expression::{Dynamic, Expression};
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::json::convert::{ARRAY, OBJECT, json_to_xml, xml_to_json};
use crate::message::json::{self, Json};
use crate::message::media_type::Form;
use crate::message::payload::{BuildContext, Payload};
use crate::message::properties::Value;
use crate::message::soap::Envelope;
use crate::message::xml::{Kind, Namespaces, NodeId, XmlLimits, XmlTree};
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::{Diagnostic, Placed, Span};
use async_trait::async_trait;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "payloadFactory",
    summary: "Replaces the body by a template with values filled in.",
    notes: "`$1` is the first argument, `$10` the tenth; `${expression}` is filled in where it stands. One pass: what is filled in \
        is not looked at again.\n\n\
        Into XML, a value that is XML goes in as it is, and JSON that a JSONPath found is converted; anything else is escaped. The first \
        element of the result becomes the body's content; a SOAP envelope replaces the whole envelope. SOAP headers stay \
        otherwise.\n\n\
        Into JSON, a value that is an object or a list goes in as it is, and XML that an XPath found is converted; anything else is \
        escaped and gets **no quotes**: the template has to carry them, unless the property \
        `QUOTE_STRING_IN_PAYLOAD_FACTORY_JSON` is true. `\"${expression}\"` with its quotes writes an object as one string.\n\n\
        Afterwards `messageType`, `ContentType` and the Content-Type header say what the body is. XML leaves them alone when they \
        already say application/xml, text/xml or application/soap+xml. White space between elements of an XML template is removed \
        at load.",
    differences: "A constant is escaped for the media type; Synapse escapes it for XML even into JSON. A template that uses more arguments \
        than there are is told at load, and without any argument `$9` stays what it is; Synapse logs an error per message and leaves the rest of the template unfilled. Into JSON, a value \
        that begins with `{` or `[` goes in as it is only if it is JSON to its end; otherwise it is escaped, so that nobody can close \
        an object from inside a value. A literal JSON text is escaped when it goes into XML. What `${…}` finds in JSON goes into XML escaped for XML \
        alone; Synapse escapes it for JSON as well, so that backslashes are doubled and quotes get one. `freemarker` templates are not \
        supported yet.",
    attributes: &[
        Attr::optional(
            "media-type",
            Shape::Choice(&["xml", "json", "text"]),
            "What the template is.",
        )
        .default("xml"),
        Attr::optional(
            "template-type",
            Shape::Choice(&["default", "freemarker"]),
            "The language of the template. `freemarker` is not supported yet.",
        )
        .default("default"),
        Attr::optional(
            "escapeXmlChars",
            Shape::Boolean,
            "Into JSON: whether line ends and tabs in an object or list that a JSONPath found are escaped.",
        )
        .default("false"),
    ],
    children: Children::of(&[
        Child::required(
            "format",
            &[Attr::optional(
                "key",
                Shape::Dynamic,
                "A local entry or registry resource that holds the template.",
            )],
            Children::ANY,
            "The template.",
        ),
        Child::optional(
            "args",
            &[],
            Children::of(&[Child::optional(
                "arg",
                ARGUMENT,
                Children::NONE,
                "A value for `$n`, in their order.",
            )
            .many()]),
            "The arguments.",
        ),
    ]),
    build,
    examples: &[
        Example::new(
            "Make XML of JSON",
            r#"<payloadFactory media-type="xml">
  <format>
    <order xmlns=""><id>$1</id><note>$2</note><kind>$3</kind></order>
  </format>
  <args>
    <arg evaluator="json" expression="$.id"/>
    <arg evaluator="json" expression="$.note"/>
    <arg value="A&amp;B"/>
  </args>
</payloadFactory>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"id\": 7, \"note\": \"a < b\"}",
            "continues\naxis2 messageType = application/xml\n\
             body <order><id>7</id><note>a &lt; b</note><kind>A&amp;B</kind></order>",
        ),
        Example::new(
            "Make JSON of XML, with the quotes in the template",
            r#"<payloadFactory media-type="json">
  <format>{"id": "$1", "lines": $2}</format>
  <args>
    <arg expression="//order/@id" evaluator="xml"/>
    <arg expression="//order/lines"/>
  </args>
</payloadFactory>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order id=\"say &quot;7&quot;\"><lines><line>1</line><line>2</line></lines></order>",
            "continues\nheader Content-Type = application/json\n\
             body {\"id\": \"say \\\"7\\\"\", \"lines\": {\"lines\":{\"line\":[1,2]}}}",
        ),
        Example::new(
            "Write expressions in place",
            r#"<payloadFactory media-type="json" template-type="default" escapeXmlChars="false">
  <format>{"name": "${payload.customer.name}", "raw": ${payload.customer}}</format>
</payloadFactory>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"customer\": {\"name\": \"Ann\"}}",
            "continues\nbody {\"name\": \"Ann\", \"raw\": {\"name\":\"Ann\"}}",
        ),
        Example::new(
            "Keep the template in a local entry",
            r#"<payloadFactory media-type="json">
  <format key="greeting"/>
  <args><arg value="Ann"/></args>
</payloadFactory>"#,
            "POST /orders\nContent-Type: application/json\n\n{}",
            "continues\nbody {\"hello\": \"Ann\"}",
        )
        .beside(r#"<localEntry key="greeting">{"hello": "$1"}</localEntry>"#),
        Example::new(
            "Keep JSON that looks like an object a text",
            r#"<payloadFactory media-type="json">
  <format>{"original": "$1"}</format>
  <args><arg evaluator="json" expression="$.inner" literal="true"/></args>
</payloadFactory>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"inner\": {\"a\": 1}}",
            "continues\nbody {\"original\": \"{\\\"a\\\":1}\"}",
        ),
    ],
};

const ARGUMENT: &[Attr] = &[
    Attr::optional("value", Shape::Text, "A constant."),
    Attr::optional(
        "expression",
        Shape::Expression,
        "Gives the value; it is empty when nothing is selected.",
    ),
    Attr::optional(
        "evaluator",
        Shape::Choice(&["xml", "json"]),
        "The language of `expression`: XPath, or JSONPath with or without `json-eval( )` around it.",
    )
    .default("xml"),
    Attr::optional(
        "literal",
        Shape::Boolean,
        "Into JSON: the value is a text, whatever it looks like.",
    )
    .default("false"),
    Attr::ignored("deepCheck", "Synapse no longer reads it."),
];

struct PayloadFactory {
    media: Media,
    format: Format,
    arguments: Vec<Argument>,
    escape_lines: bool,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Media {
    Xml,
    Json,
    Text,
}

enum Format {
    Fixed(Template),
    /// The key of the template is computed for each message.
    Keyed {
        key: Dynamic,
        span: Span,
        namespaces: Arc<Namespaces>,
    },
}

enum Argument {
    Constant(String),
    Expression { expression: Expression, literal: bool },
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    if element
        .get("template-type")
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("freemarker"))
    {
        let attribute = element.attribute("template-type")?;
        planner.tell(
            Diagnostic::error(
                "E0505",
                attribute.value.span,
                "FreeMarker templates are not supported yet",
            )
            .help("a template of the default type fills in `$1` and `${expression}`"),
        );
        return None;
    }
    let media = match element
        .get("media-type")
        .unwrap_or("xml")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "json" => Media::Json,
        "text" => Media::Text,
        _ => Media::Xml,
    };
    let arguments = arguments(element, planner);
    // A template is only held against arguments that are sound.
    let count = arguments.as_ref().map(Vec::len);
    let format = format(element.child("format")?, media, count, planner);
    let (arguments, format) = (arguments?, format?);
    Some(Box::new(PayloadFactory {
        media,
        format,
        arguments,
        escape_lines: element.is_true("escapeXmlChars"),
    }))
}

fn arguments(element: &Element, planner: &mut Planner<'_>) -> Option<Vec<Argument>> {
    let Some(arguments) = element.child("args") else {
        return Some(Vec::new());
    };
    let built: Vec<_> = arguments
        .all("arg")
        .map(|argument| self::argument(argument, planner))
        .collect();
    built.into_iter().collect()
}

fn argument(element: &Element, planner: &mut Planner<'_>) -> Option<Argument> {
    let (is_json, literal) = (
        element.get("evaluator").map(str::trim) == Some("json"),
        element.is_true("literal"),
    );
    if element.has("value") {
        return planner.text(element, "value").map(Argument::Constant);
    }
    let Some(attribute) = element.attribute("expression") else {
        planner.tell(
            Diagnostic::error("E0210", element.span, "this argument has no value")
                .help("give it a `value` or an `expression`"),
        );
        return None;
    };
    let wrapped = attribute.value.text.trim_start().starts_with("json-eval");
    let expression = if is_json && !wrapped {
        match Expression::compile_json(&attribute.value, &element.namespaces) {
            Ok(expression) => expression,
            Err(mistake) => {
                planner.tell(*mistake);
                return None;
            }
        }
    } else {
        planner.expression(&attribute.value, element)?
    };
    Some(Argument::Expression { expression, literal })
}

fn format(
    format: &Element,
    media: Media,
    arguments: Option<usize>,
    planner: &mut Planner<'_>,
) -> Option<Format> {
    let Some(key) = format.attribute("key") else {
        let text = format.text();
        let first = format.elements().next().filter(|_| media == Media::Xml);
        return match first {
            Some(first) => fixed(
                &inline_xml(first, planner)?,
                |range, text| in_source(range, text, first),
                arguments,
                format,
                planner,
            ),
            None => fixed(
                &text.text,
                |range, _| Written::Here(text.slice(range)),
                arguments,
                format,
                planner,
            ),
        };
    };
    match planner.dynamic(&key.value, format)? {
        Dynamic::Literal(_) => {
            let text = entry_text(&planner.entry(&key.value)?);
            let place =
                |range: Range<usize>, text: &str| Written::Within(text[range].to_owned(), key.value.span);
            fixed(&text, place, arguments, format, planner)
        }
        key => Some(Format::Keyed {
            key,
            span: format.span,
            namespaces: Arc::clone(&format.namespaces),
        }),
    }
}

/// A template that is known at load. `place` gives a range of its text its place in the file.
fn fixed(
    text: &str,
    place: impl Fn(Range<usize>, &str) -> Written,
    arguments: Option<usize>,
    format: &Element,
    planner: &mut Planner<'_>,
) -> Option<Format> {
    let mut template = template::plan(text, |range| place(range, text), format, planner)?;
    if arguments == Some(0)
        && let Some((number, range)) = too_few(&template, 0)
    {
        planner.tell(
            Diagnostic::warning(
                "W0211",
                place(range, text).span(),
                format!("`${number}` stays as it is: there is no `<arg>`"),
            )
            .help("arguments are counted from 1"),
        );
        keep_signs(&mut template, text);
    }
    if let Some(count) = arguments
        && let Some((number, range)) = too_few(&template, count)
    {
        planner.tell(
            Diagnostic::error(
                "E0211",
                place(range, text).span(),
                format!("the template uses `${number}`, and there is no such argument"),
            )
            .help(format!("there are {count}, counted from 1")),
        );
        return None;
    }
    Some(Format::Fixed(template))
}

/// A template of XML as text, without the white space between its elements.
fn inline_xml(first: &Element, planner: &mut Planner<'_>) -> Option<String> {
    let source = planner.sources.text(first.whole);
    match XmlTree::parse_fragment(source, &first.namespaces, &XmlLimits::default()) {
        Ok(tree) => Some(
            tree.document_element()
                .map(|element| compact(tree, element))
                .unwrap_or_default(),
        ),
        Err(error) => {
            planner.mistake(
                "E0101",
                first.span,
                format!("this is no template of XML: {}", error.message),
            );
            None
        }
    }
}

/// What stands in a template of XML, undone from its escapes. Its place is that of the element, because the text was
/// written anew.
fn in_source(range: Range<usize>, text: &str, first: &Element) -> Written {
    let plain = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text[range].to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    });
    Written::Within(plain, first.span)
}

/// An element as text, without texts that are white space alone.
fn compact(mut tree: XmlTree, element: NodeId) -> String {
    let blank: Vec<NodeId> = tree
        .descendants(element)
        .filter(|&node| tree.kind(node) == Kind::Text && tree.value(node).trim().is_empty())
        .collect();
    for node in blank {
        tree.detach(node);
    }
    tree.to_text(element)
}

fn entry_text(entry: &Value) -> String {
    match entry {
        Value::Xml(fragment) => match fragment.element() {
            Some(element) => compact(XmlTree::clone(&fragment.tree), element),
            None => fragment.text(),
        },
        other => other.to_text().into_owned(),
    }
}

/// The first argument that a template uses and that is not there, and where it is used.
fn too_few(template: &Template, count: usize) -> Option<(usize, Range<usize>)> {
    template.pieces.iter().find_map(|piece| match piece {
        Piece::Argument(number, range) if *number == 0 || *number > count => Some((*number, range.clone())),
        _ => None,
    })
}

/// Without any argument a `$9` is an amount of money rather than a place to fill.
fn keep_signs(template: &mut Template, text: &str) {
    for piece in &mut template.pieces {
        if let Piece::Argument(_, range) = piece {
            *piece = Piece::Text(text[range.clone()].to_owned());
        }
    }
}

#[async_trait(?Send)]
impl Mediator for PayloadFactory {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let keyed = match &self.format {
            Format::Fixed(_) => None,
            Format::Keyed {
                key,
                span,
                namespaces,
            } => Some(keyed(key, *span, namespaces, self.arguments.len(), exchange).await?),
        };
        let template = match (&self.format, &keyed) {
            (Format::Fixed(template), _) => template,
            (Format::Keyed { .. }, Some(template)) => template,
            (Format::Keyed { .. }, None) => return Ok(Flow::Continue),
        };
        let text = self.fill(template, exchange).await?;
        // SOAP headers outlive their body, so a body that may have some has to be read.
        if exchange.message.payload.may_have_headers() {
            exchange.load().await?;
        }
        self.put(text.trim(), exchange)?;
        exchange.properties.remove_axis2("NO_ENTITY_BODY");
        Ok(Flow::Continue)
    }
}

/// The template that a computed key names.
async fn keyed(
    key: &Dynamic,
    span: Span,
    namespaces: &Namespaces,
    arguments: usize,
    exchange: &mut Exchange,
) -> Result<Template, Fault> {
    let key = exchange.dynamic(key).await?;
    let Some(entry) = exchange.catalog.entries.get(&*key) else {
        return Err(Fault::mediation(format!("Key {key} not found")));
    };
    let text = Placed::verbatim(entry_text(entry), span);
    let mut template = template::compile(&text, namespaces)
        .map_err(|mistake| Fault::mediation(format!("the template `{key}`: {}", mistake.message)))?;
    if arguments == 0 {
        keep_signs(&mut template, &text.text);
    }
    match too_few(&template, arguments) {
        Some((number, _)) => Err(Fault::mediation(format!(
            "the template `{key}` uses `${number}`, and there is no such argument"
        ))),
        None => Ok(template),
    }
}

impl PayloadFactory {
    async fn fill(&self, template: &Template, exchange: &mut Exchange) -> Result<String, Fault> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for argument in &self.arguments {
            arguments.push(self.prepared(argument, exchange).await?);
        }
        let mut text = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Argument(number, _) => {
                    text.push_str(arguments.get(number.wrapping_sub(1)).map_or("", String::as_str));
                }
                Piece::Expression { expression, quoted } => {
                    let filled = self.in_place(expression, *quoted, exchange).await?;
                    if *quoted {
                        text.push('"');
                    }
                    text.push_str(&filled);
                    if *quoted {
                        text.push('"');
                    }
                }
            }
        }
        Ok(text)
    }

    /// An argument as it goes into the template (`TemplateProcessor.getArgValues`, `prepareReplacementValue`).
    async fn prepared(&self, argument: &Argument, exchange: &mut Exchange) -> Result<String, Fault> {
        let (value, literal, is_json_path) = match argument {
            Argument::Constant(text) => (Cow::Borrowed(text.as_str()), false, false),
            Argument::Expression { expression, literal } => {
                let text = exchange.text(expression).await?.unwrap_or_default();
                (Cow::Owned(text), *literal, expression.is_json_path())
            }
        };
        let context = context(exchange);
        Ok(match self.media {
            Media::Text => value.into_owned(),
            Media::Xml if is_xml(&value, &context) => value.into_owned(),
            Media::Xml if is_json_path && !literal && looks_like_json(&value) => {
                let json = parse_json(&value, &context)
                    .ok_or_else(|| Fault::mediation("Error converting JSON to XML, please check your JSON Path expressions return valid JSON"))?;
                as_xml(&json, &context)
            }
            Media::Xml => xml_escaped(&value),
            Media::Json if !literal && !is_json_path && is_xml(&value, &context) => as_json(&value, &context),
            Media::Json if !literal && is_raw_json(&value, &context) => {
                match (is_json_path, self.escape_lines) {
                    (true, true) => lines_escaped(&value),
                    _ => value.into_owned(),
                }
            }
            Media::Json => {
                let escaped = json_escaped(&value);
                let quote = exchange
                    .properties
                    .is_true("QUOTE_STRING_IN_PAYLOAD_FACTORY_JSON");
                if quote && !is_json_word(value.trim(), &context) {
                    format!("\"{escaped}\"")
                } else {
                    escaped
                }
            }
        })
    }

    /// `${…}` as it goes into the template (`RegexTemplateProcessor.replace`).
    async fn in_place(
        &self,
        expression: &Expression,
        quoted: bool,
        exchange: &mut Exchange,
    ) -> Result<String, Fault> {
        // An expression that asks XPath is asked for its text.
        let value = if expression.source().contains("xpath(") {
            exchange.text(expression).await?.map(Value::text)
        } else {
            exchange.value(expression).await?
        };
        let Some(value) = value else {
            return Ok(String::new());
        };
        let context = context(exchange);
        let container = match &value {
            Value::Json(json) if json.is_object() || json.is_array() => Some(json),
            _ => None,
        };
        let text = value.to_text();
        Ok(match (self.media, container) {
            (Media::Text, _) => text.into_owned(),
            (Media::Xml, Some(json)) => as_xml(json, &context),
            (Media::Xml, None) if !quoted && is_text(&value) && is_xml(&text, &context) => text.into_owned(),
            (Media::Xml, None) => xml_escaped(&text),
            (Media::Json, Some(json)) if !quoted => json::text(json),
            (Media::Json, None) if !quoted && is_text(&value) && is_xml(&text, &context) => {
                as_json(&text, &context)
            }
            (Media::Json, None) if !quoted && is_text(&value) && is_raw_json(&text, &context) => {
                text.into_owned()
            }
            (Media::Json, _) => json_escaped(&text),
        })
    }

    fn put(&self, text: &str, exchange: &mut Exchange) -> Result<(), Fault> {
        let Exchange { message, catalog, .. } = &mut *exchange;
        let context = catalog.build_context();
        let (body, media_type) = match self.media {
            Media::Xml => (new_xml(text, &context)?, "application/xml"),
            Media::Json => {
                // An object or a list is not parsed before somebody looks into it.
                if !text.is_empty() && !looks_like_json(text) && parse_json(text, &context).is_none() {
                    return Err(Fault::mediation(format!(
                        "Error creating JSON Payload from source {}",
                        shortened(text)
                    )));
                }
                (Payload::bytes(Form::Json, text.to_owned()), "application/json")
            }
            Media::Text => (Payload::text(text), "text/plain"),
        };
        let is_envelope = body
            .built_envelope()
            .is_some_and(|envelope| !envelope.is_wrapped());
        if is_envelope {
            message.payload = body;
        } else {
            let replaced = message.payload.replace_body(body, &context);
            replaced.map_err(|error| exchange.not_parsed(error))?;
        }
        let keeps = self.media == Media::Xml
            && exchange.message_type().is_some_and(|current| {
                let essence = current.split(';').next().unwrap_or("").trim();
                matches!(essence, "application/xml" | "text/xml" | "application/soap+xml")
            });
        if !keeps {
            exchange.set_message_type(media_type);
        }
        Ok(())
    }
}

fn context(exchange: &Exchange) -> BuildContext<'_> {
    exchange.catalog.build_context()
}

/// The first element of the text, in an envelope unless it is one.
fn new_xml(text: &str, context: &BuildContext<'_>) -> Result<Payload, Fault> {
    let tree = XmlTree::parse_fragment(text, &Namespaces::new(), &context.limits.xml).map_err(|error| {
        Fault::mediation(format!(
            "Error creating SOAP Envelope from source {} ({error})",
            shortened(text)
        ))
    })?;
    if tree.document_element().is_none() {
        return Err(Fault::mediation("Generated content is not a valid XML payload"));
    }
    if !Envelope::is_soap(&tree) {
        return Ok(Payload::xml(Envelope::around(tree)));
    }
    let envelope = Envelope::from_soap(tree).map_err(|error| Fault::mediation(error.to_string()))?;
    Ok(Payload::xml(envelope))
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Xml(_))
}

fn is_xml(text: &str, context: &BuildContext<'_>) -> bool {
    let text = text.trim();
    text.len() >= 4
        && text.starts_with('<')
        && text.ends_with('>')
        && XmlTree::parse_str(text, &context.limits.xml).is_ok()
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// An object or a list, or several of them with commas between, to its very end: a template may put its own brackets around them.
fn is_raw_json(text: &str, context: &BuildContext<'_>) -> bool {
    looks_like_json(text) && parse_json(&format!("[{text}]"), context).is_some()
}

fn parse_json(text: &str, context: &BuildContext<'_>) -> Option<Json> {
    json::parse(text.as_bytes(), &context.limits.json).ok()
}

/// true, false, null and numbers go without quotes.
fn is_json_word(text: &str, context: &BuildContext<'_>) -> bool {
    matches!(text, "true" | "false" | "null") || matches!(parse_json(text, context), Some(Json::Number(_)))
}

/// JSON as XML, without the wrapper.
fn as_xml(json: &Json, context: &BuildContext<'_>) -> String {
    let mut tree = XmlTree::new();
    let root = json_to_xml(json, &mut tree, context.conversion);
    let document = tree.document();
    tree.append(document, root);
    if !matches!(tree.local_name(root), OBJECT | ARRAY) {
        return tree.to_text(root);
    }
    tree.child_elements(root)
        .map(|child| tree.to_text(child))
        .collect()
}

/// XML as JSON; a text that is no XML after all is escaped.
fn as_json(xml: &str, context: &BuildContext<'_>) -> String {
    let wrapped = format!("<{OBJECT}>{xml}</{OBJECT}>");
    let tree = XmlTree::parse_str(&wrapped, &context.limits.xml).ok();
    let json = tree.and_then(|tree| xml_to_json(&tree, tree.document_element()?, context.conversion).ok());
    json.map_or_else(|| json_escaped(xml), |json| json::text(&json))
}

/// The text as it stands inside the quotes of a JSON string.
fn json_escaped(text: &str) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    json::write_string(text, &mut quoted);
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    String::from_utf8_lossy(inside).into_owned()
}

fn lines_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// As `StringEscapeUtils.escapeXml10`, which leaves out characters that XML cannot hold.
fn xml_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;

    const PLAIN: Trial<'_> = Trial {
        kinds: &[&KIND],
        entries: &[],
        properties: &[],
    };

    fn factory(media: &str, format: &str, arguments: &str) -> String {
        format!(
            "<payloadFactory media-type='{media}'><format>{format}</format><args>{arguments}</args></payloadFactory>"
        )
    }

    /// What a template becomes with one argument, a constant.
    fn check(media: &str, format: &str, value: &str, expected: &str) {
        let value = xml_escaped(value).replace('\n', "&#10;");
        let config = factory(media, format, &format!("<arg value='{value}'/>"));
        assert_eq!(
            PLAIN.body(&config, "POST /\nContent-Type: application/json\n\n{}"),
            expected
        );
    }

    /// What a template becomes with one argument, a JSONPath over this body.
    fn check_path(media: &str, format: &str, attributes: &str, body: &str, expected: &str) {
        let config = factory(
            media,
            format,
            &format!("<arg evaluator='json' expression='$.v' {attributes}/>"),
        );
        assert_eq!(
            PLAIN.body(
                &config,
                &format!("POST /\nContent-Type: application/json\n\n{body}")
            ),
            expected
        );
    }

    #[test]
    fn constants_are_escaped_for_the_media_type() {
        check("xml", "<a xmlns=''>$1</a>", "a&b", "<a>a&amp;b</a>");
        check("json", r#"{"a":"$1"}"#, "a&b", r#"{"a":"a&b"}"#);
        check(
            "json",
            r#"{"a":"$1"}"#,
            "say \"x\"\n\\",
            r#"{"a":"say \"x\"\n\\"}"#,
        );
        check("text", "$1", "a<b>&", "a<b>&");
    }

    #[test]
    fn xml_goes_into_xml_as_it_is() {
        check("xml", "<a xmlns=''>$1</a>", "<b>1</b>", "<a><b>1</b></a>");
        check("xml", "$1", "<b>1</b>", "<b>1</b>");
    }

    #[test]
    fn a_value_cannot_break_out_of_its_place() {
        check(
            "xml",
            "<a xmlns=''>$1</a>",
            "</a><admin>1</admin><a>",
            "<a>&lt;/a&gt;&lt;admin&gt;1&lt;/admin&gt;&lt;a&gt;</a>",
        );
        check(
            "json",
            r#"{"a":"$1"}"#,
            r#"","admin":true,"x":""#,
            r#"{"a":"\",\"admin\":true,\"x\":\""}"#,
        );
        check(
            "json",
            r#"{"a":$1}"#,
            r#"[1],"admin":true"#,
            r#"{"a":[1],\"admin\":true}"#,
        );
        check(
            "xml",
            "<a xmlns=''>$1</a>",
            "$1 ${payload}",
            "<a>$1 ${payload}</a>",
        );
        check("json", r#"{"a":"$1"}"#, "$1${vars.x}", r#"{"a":"$1${vars.x}"}"#);
    }

    #[test]
    fn objects_and_lists_go_into_json_as_they_are() {
        check_path(
            "json",
            r#"{"a":$1}"#,
            "",
            r#"{"v":{"b":[1.50]}}"#,
            r#"{"a":{"b":[1.50]}}"#,
        );
        check("json", "[$1]", r#"{"a":1},{"a":2}"#, r#"[{"a":1},{"a":2}]"#);
        check_path(
            "json",
            r#"{"a":"$1"}"#,
            "literal='true'",
            r#"{"v":{"b":"c"}}"#,
            r#"{"a":"{\"b\":\"c\"}"}"#,
        );
    }

    #[test]
    fn json_goes_into_xml_without_its_wrapper() {
        check_path(
            "xml",
            "<a xmlns=''>$1</a>",
            "",
            r#"{"v":{"b":1,"c":["x","y"]}}"#,
            "<a><b>1</b><c>x</c><c>y</c></a>",
        );
        check_path(
            "xml",
            "<a xmlns=''>$1</a>",
            "",
            r#"{"v":"{no json"}"#,
            "fault 0 Error converting JSON to XML, please check your JSON Path expressions return valid JSON",
        );
        check_path(
            "xml",
            "<a xmlns=''>$1</a>",
            "literal='true'",
            r#"{"v":{"b":"&"}}"#,
            "<a>{&quot;b&quot;:&quot;&amp;&quot;}</a>"
                .replace("&quot;", "\"")
                .as_str(),
        );
    }

    /// What a template with `${…}` becomes of this body.
    fn check_in_place(media: &str, format: &str, expected: &str) {
        let properties = [
            ("xml", Value::text("<x>1</x>")),
            ("json", Value::text(r#"{"a":1}"#)),
            ("text", Value::text("say \"a & b\"")),
        ];
        let trial = Trial {
            properties: &properties,
            ..PLAIN
        };
        let body = r#"{"o":{"k":[1.50]},"s":"a \"q\" <b>","n":7,"t":"{\"a\":1}"}"#;
        let request = format!("POST /\nContent-Type: application/json\n\n{body}");
        assert_eq!(trial.body(&factory(media, format, ""), &request), expected);
    }

    #[test]
    fn expressions_in_place_go_into_json() {
        check_in_place("json", r#"{"v":${payload.o}}"#, r#"{"v":{"k":[1.50]}}"#);
        check_in_place("json", r#"{"v":"${payload.o}"}"#, r#"{"v":"{\"k\":[1.50]}"}"#);
        check_in_place("json", r#"{"v":"${payload.s}"}"#, r#"{"v":"a \"q\" <b>"}"#);
        check_in_place("json", r#"{"v":${payload.n}}"#, r#"{"v":7}"#);
        check_in_place("json", r#"{"v":"${payload.t}"}"#, r#"{"v":"{\"a\":1}"}"#);
        check_in_place("json", r#"{"v":"${payload.none}"}"#, r#"{"v":""}"#);
        check_in_place(
            "json",
            r#"{"v":"${props.synapse.text}"}"#,
            r#"{"v":"say \"a & b\""}"#,
        );
        check_in_place("json", r#"{"v":${props.synapse.json}}"#, r#"{"v":{"a":1}}"#);
        check_in_place("json", r#"{"v":${props.synapse.xml}}"#, r#"{"v":{"x":1}}"#);
        check_in_place("json", r#"{"v":"${xpath('//n')}"}"#, r#"{"v":"7"}"#);
    }

    #[test]
    fn expressions_in_place_go_into_xml_and_text() {
        check_in_place("xml", "<a xmlns=''>${payload.o}</a>", "<a><k>1.50</k></a>");
        check_in_place("xml", "<a xmlns=''>${payload.s}</a>", "<a>a \"q\" &lt;b&gt;</a>");
        check_in_place(
            "xml",
            "<a xmlns='' b=\"${props.synapse.text}\"/>",
            "<a b=\"say &quot;a &amp; b&quot;\"/>",
        );
        check_in_place("xml", "<a xmlns=''>${props.synapse.xml}</a>", "<a><x>1</x></a>");
        check_in_place("xml", "<a xmlns=''>${payload.n &gt; 3}</a>", "<a>true</a>");
        check_in_place("text", "${payload.n}: ${payload.s}", "7: a \"q\" <b>");
    }

    #[test]
    fn nothing_found_is_nothing_filled_in() {
        check_path("json", r#"{"a":"$1"}"#, "", "{}", r#"{"a":""}"#);
        check_path("text", "[$1]", "", "{}", "[]");
    }

    #[test]
    fn quotes_are_added_on_demand() {
        let quoting = Trial {
            properties: &[("QUOTE_STRING_IN_PAYLOAD_FACTORY_JSON", Value::Boolean(true))],
            ..PLAIN
        };
        let arguments =
            "<arg value='x'/><arg value='true'/><arg value='1.5e3'/><arg value='007'/><arg value='[1]'/>";
        let config = factory("json", "[$1,$2,$3,$4,$5]", arguments);
        assert_eq!(quoting.body(&config, "GET /"), r#"["x",true,1.5e3,"007",[1]]"#);
    }

    #[test]
    fn the_tenth_argument_is_not_the_first_with_a_zero() {
        let arguments: String = (1..=10)
            .map(|number| format!("<arg value='{number}!'/>"))
            .collect();
        assert_eq!(
            PLAIN.body(&factory("text", "$1 $10", &arguments), "GET /"),
            "1! 10!"
        );
    }

    #[test]
    fn a_template_that_asks_for_too_much_is_told_at_load() {
        for (format, arguments) in [("$2", "<arg value='1'/>"), ("$0", "<arg value='1'/>")] {
            let mistakes = PLAIN.plan(&factory("text", format, arguments)).err().unwrap();
            assert!(mistakes.contains("there is no such argument"), "{mistakes}");
        }
    }

    #[test]
    fn without_arguments_a_sign_of_money_stays() {
        let config = factory("json", r#"{"price":"$8.95","of":"${payload.a}"}"#, "");
        assert_eq!(
            PLAIN.body(&config, "POST /\nContent-Type: application/json\n\n{\"a\":1}"),
            r#"{"price":"$8.95","of":"1"}"#
        );
    }

    #[test]
    fn what_cannot_be_planned_is_told() {
        for (config, reason) in [
            (
                "<payloadFactory template-type='freemarker'><format>x</format></payloadFactory>",
                "FreeMarker",
            ),
            ("<payloadFactory><args/></payloadFactory>", "needs a `<format>`"),
            (
                "<payloadFactory><format>x</format><args><arg/></args></payloadFactory>",
                "has no value",
            ),
            (
                "<payloadFactory><format key='nowhere'/></payloadFactory>",
                "nowhere",
            ),
            (
                "<payloadFactory media-type='yaml'><format/></payloadFactory>",
                "yaml",
            ),
            (
                "<payloadFactory media-type='json'><format>{}</format><args><arg evaluator='json' expression='$['/></args></payloadFactory>",
                "JSONPath",
            ),
        ] {
            let mistakes = PLAIN.plan(config).err().unwrap_or_default();
            assert!(mistakes.contains(reason), "{config}: {mistakes}");
        }
    }

    #[test]
    fn a_template_can_stand_in_an_entry() {
        let entries = Trial {
            entries: &[
                ("order", "<order>\n  <id>$1</id>\n</order>"),
                ("note", "{\"id\":\"$1\"}"),
            ],
            ..PLAIN
        };
        let config = |media: &str, key: &str| {
            format!(
                "<payloadFactory media-type='{media}'><format key='{key}'/><args><arg value='7'/></args></payloadFactory>"
            )
        };
        assert_eq!(
            entries.body(&config("xml", "order"), "GET /"),
            "<order><id>7</id></order>"
        );
        assert_eq!(entries.body(&config("json", "note"), "GET /"), r#"{"id":"7"}"#);
        let computed = config("json", "{json-eval($.which)}");
        let request =
            |which: &str| format!("POST /\nContent-Type: application/json\n\n{{\"which\":\"{which}\"}}");
        assert_eq!(entries.body(&computed, &request("note")), r#"{"id":"7"}"#);
        assert_eq!(
            entries.body(&computed, &request("other")),
            "fault 0 Key other not found"
        );
    }

    #[test]
    fn the_first_element_is_the_body_and_no_element_is_a_fault() {
        check("xml", "before $1 behind", "<a/>", "<a/>");
        check(
            "xml",
            "$1",
            "no element",
            "fault 0 Generated content is not a valid XML payload",
        );
        check("xml", "<a xmlns=''/>$1", "ignored", "<a/>");
        check(
            "json",
            "$1",
            "no JSON",
            "fault 0 Error creating JSON Payload from source no JSON",
        );
    }

    const SOAP: &str = "POST /\nContent-Type: text/xml\nSOAPAction: \"a\"\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\">\
                        <e:Header><h/></e:Header><e:Body><a/></e:Body></e:Envelope>";

    #[test]
    fn soap_headers_stay_and_an_envelope_replaces_all() {
        let whole = PLAIN.body(&factory("xml", "<b xmlns=''/>", ""), SOAP);
        assert!(
            whole.contains("<e:Header><h/></e:Header><e:Body><b/></e:Body>"),
            "{whole}"
        );
        let envelope = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><c xmlns=''/></s:Body></s:Envelope>";
        let whole = PLAIN.body(&factory("xml", envelope, ""), SOAP);
        assert!(whole.ends_with("<s:Body><c/></s:Body></s:Envelope>"), "{whole}");
        assert_eq!(PLAIN.body(&factory("json", "{}", ""), SOAP), "{}");
    }

    #[test]
    fn the_message_type_follows() {
        for (media, format, request, expected) in [
            ("xml", "<a/>", "GET /", "application/xml"),
            ("xml", "<a/>", SOAP, "text/xml"),
            ("json", "{}", SOAP, "application/json"),
            ("text", "x", SOAP, "text/plain"),
        ] {
            let (_, exchange) = PLAIN.run(&factory(media, format, ""), request);
            assert_eq!(exchange.message_type().unwrap(), expected);
            assert!(exchange.properties.axis2("NO_ENTITY_BODY").is_none());
        }
    }

    #[test]
    fn a_body_that_is_replaced_unread_keeps_streaming_until_then() {
        let config = factory("json", "{\"a\":1}", "");
        let request = "POST /\nContent-Type: application/json\n\n{ this is no json";
        assert_eq!(PLAIN.body(&config, request), r#"{"a":1}"#);
    }
}
