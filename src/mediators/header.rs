//! `<header>`: sets or removes a SOAP header, an address of the message, or an HTTP header.

use super::{http_header, typed};
use crate::expression::Expression;
use crate::flow::{AtOnce, Exchange, Fault, Flow, Mediator, Outcome};
use crate::message::addressing::Field;
use crate::message::properties::Fragment;
use crate::message::xml::{XmlTree, is_nc_name};
use crate::plan::{Attr, Children, Element, Example, MediatorKind, Planner, Shape};
use crate::text::{Diagnostic, suggest};
use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

pub static KIND: MediatorKind = MediatorKind {
    element: "header",
    summary: "Sets or removes a SOAP header, an address of the message, or an HTTP header.",
    notes: "Without a scope this is about SOAP: `To`, `From`, `Action`, `FaultTo`, `ReplyTo` and `RelatesTo` are kept beside the message \
        and say where it goes, and any other name needs a prefix and becomes a block in the SOAP header. Setting a block adds one, even if \
        there is one of that name; removing takes all of that name away. Elements inside the mediator are copied into the SOAP header as \
        they are.\n\n\
        HTTP headers need `scope=\"transport\"`.\n\n\
        An expression that selects nothing sets the empty text.",
    differences: "A value with characters that an HTTP header cannot carry is a fault. A SOAP header on a JSON message turns its body \
        into XML; `messageType` still says what goes out.",
    attributes: &[
        Attr::optional(
            "name",
            Shape::Text,
            "One of the six addresses, `prefix:name`, or the name of an HTTP header. Needed unless there are elements inside.",
        ),
        Attr::optional("value", Shape::Text, "A constant."),
        Attr::optional(
            "expression",
            Shape::Expression,
            "Gives the value, when there is no `value`.",
        ),
        Attr::optional(
            "action",
            Shape::Choice(&["set", "remove"]),
            "Whether to set or to remove it.",
        )
        .default("set"),
        Attr::optional(
            "scope",
            Shape::Choice(&["default", "transport"]),
            "`default` is SOAP, `transport` is HTTP.",
        )
        .default("default"),
        Attr::optional(
            "type",
            Shape::Choice(&["STRING", "OM"]),
            "`OM` reads the value as XML and puts the element into the block.",
        )
        .default("STRING"),
    ],
    children: Children::ANY,
    build,
    examples: &[
        Example::new(
            "Say where the message goes",
            r#"<header name="To" value="http://backend/orders"/>
<header name="Action" expression="concat('urn:', 'getQuote')"/>"#,
            "POST /orders\nContent-Type: text/xml\n\n<x/>",
            "continues\nto http://backend/orders\naction urn:getQuote",
        ),
        Example::new(
            "HTTP headers",
            r#"<header name="X-Tenant" expression="json-eval($.tenant)" scope="transport"/>
<header name="Authorization" action="remove" scope="transport"/>"#,
            "POST /\nContent-Type: application/json\nAuthorization: Basic abc\n\n{\"tenant\": \"blue\"}",
            "continues\nheader X-Tenant = blue\nheader Authorization is not there",
        ),
        Example::new(
            "A block in the SOAP header",
            r#"<header name="ns:token" value="abc" xmlns:ns="urn:security"/>
<header name="ns:old" action="remove" xmlns:ns="urn:security"/>"#,
            "POST /services/Quotes\nContent-Type: text/xml\n\n\
             <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header><n:old xmlns:n=\"urn:security\"/></e:Header>\
             <e:Body/></e:Envelope>",
            "continues\nbody <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header><ns:token \
             xmlns:ns=\"urn:security\">abc</ns:token></e:Header><e:Body/></e:Envelope>",
        ),
        Example::new(
            "XML in a block",
            r#"<header name="ns:token" type="OM" value="&lt;key&gt;abc&lt;/key&gt;" xmlns:ns="urn:security"/>
<header><t:trace xmlns:t="urn:trace">on</t:trace></header>"#,
            "POST /services/Quotes\nContent-Type: text/xml\n\n\
             <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body/></e:Envelope>",
            "continues\nbody <e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header><ns:token \
             xmlns:ns=\"urn:security\"><key>abc</key></ns:token><t:trace xmlns:t=\"urn:trace\">on</t:trace></e:Header><e:Body/></e:Envelope>",
        ),
    ],
};

/// An HTTP header, or an address: what is beside the body, which may still be on its way.
enum Beside {
    SetAddress(Field, Source),
    RemoveAddress(Field),
    SetHttp(http_header::Name, Source),
    /// Nothing of it has to be found out.
    PutHttp(HeaderName, HeaderValue),
    RemoveHttp(http_header::Name),
}

/// What stands in the SOAP header.
enum Blocks {
    Add {
        name: Name,
        source: Source,
        as_xml: bool,
    },
    AddElements(Vec<Fragment>),
    Remove(Name),
}

enum Source {
    Text(Arc<str>),
    Expression(Expression),
}

struct Name {
    prefix: String,
    namespace: String,
    local: String,
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let remove = element
        .get("action")
        .is_some_and(|action| action.trim().eq_ignore_ascii_case("remove"));
    let transport = element
        .get("scope")
        .is_some_and(|scope| scope.trim().eq_ignore_ascii_case("transport"));
    let as_xml = element
        .get("type")
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("OM"));
    let Some(name) = element.attribute("name") else {
        return elements(element, remove, transport, planner);
    };
    for inner in element.elements().filter(|inner| inner.name != "description") {
        planner.tell(
            Diagnostic::warning(
                "W0210",
                inner.span,
                "an element inside has no effect beside a `name`",
            )
            .also(name.name_span, "this says what the header is"),
        );
    }
    let word = planner.resolved(&name.value)?;
    let beside = if transport {
        let name = http_header::Name::of(word);
        if remove {
            Beside::RemoveHttp(name)
        } else {
            set_http(name, source(element, planner)?)
        }
    } else if let Some(field) = Field::named(&word) {
        if remove {
            Beside::RemoveAddress(field)
        } else {
            Beside::SetAddress(field, source(element, planner)?)
        }
    } else {
        let name = block_name(element, &word, planner)?;
        let blocks = if remove {
            Blocks::Remove(name)
        } else {
            Blocks::Add {
                name,
                source: source(element, planner)?,
                as_xml,
            }
        };
        return Some(Box::new(blocks));
    };
    Some(Box::new(beside))
}

fn set_http(name: http_header::Name, source: Source) -> Beside {
    let line = match &source {
        Source::Text(text) => name.line(text),
        Source::Expression(_) => None,
    };
    match line {
        Some((name, value)) => Beside::PutHttp(name, value),
        None => Beside::SetHttp(name, source),
    }
}

/// A header without a name: the elements inside are the header.
fn elements(
    element: &Element,
    remove: bool,
    transport: bool,
    planner: &mut Planner<'_>,
) -> Option<Box<dyn Mediator>> {
    let inner: Vec<&Element> = element
        .elements()
        .filter(|inner| !(inner.name == "description" && inner.is_synapse()))
        .collect();
    if inner.is_empty() || remove || transport || element.has("value") || element.has("expression") {
        planner.tell(
            Diagnostic::error("E0202", element.span, "`<header>` needs the attribute `name`")
                .help("only a SOAP header whose elements stand inside needs none"),
        );
        return None;
    }
    let elements: Vec<Fragment> = inner
        .iter()
        .filter_map(|inner| typed::literal(inner, planner))
        .collect();
    Some(Box::new(Blocks::AddElements(elements)))
}

fn source(element: &Element, planner: &mut Planner<'_>) -> Option<Source> {
    if let Some(value) = element.attribute("value") {
        return planner
            .resolved(&value.value)
            .map(|text| Source::Text(Arc::from(text)));
    }
    if element.has("expression") {
        return planner
            .expression_in(element, "expression")
            .map(Source::Expression);
    }
    planner.tell(
        Diagnostic::error("E0210", element.span, "this header has no value")
            .help("give it a `value` or an `expression`, or say action=\"remove\""),
    );
    None
}

/// `prefix:local`, with the namespace that the prefix has where the mediator stands.
fn block_name(element: &Element, word: &str, planner: &mut Planner<'_>) -> Option<Name> {
    let span = element.attribute("name")?.value.span;
    let Some((prefix, local)) = word.split_once(':') else {
        let nearest = suggest::nearest(word, Field::NAMES.iter().copied());
        let help = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!(
                "an HTTP header needs scope=\"transport\"; a SOAP header needs a prefix, unless it is one of {}",
                Field::NAMES.join(", ")
            ),
        };
        planner.tell(
            Diagnostic::error(
                "E0203",
                span,
                format!("`{word}` is not the name of a SOAP header"),
            )
            .label("no prefix")
            .help(help),
        );
        return None;
    };
    let Some(namespace) = element.namespaces.get(prefix) else {
        planner.mistake(
            "E0203",
            span,
            format!("the prefix `{prefix}` is not declared here"),
        );
        return None;
    };
    if !is_nc_name(local) {
        planner.mistake(
            "E0203",
            span,
            format!("`{local}` cannot be the name of an element"),
        );
        return None;
    }
    Some(Name {
        prefix: prefix.to_owned(),
        namespace: namespace.to_owned(),
        local: local.to_owned(),
    })
}

#[async_trait(?Send)]
impl Mediator for Beside {
    fn at_once(&self) -> Option<&dyn AtOnce> {
        let waits = self.source().is_some_and(Source::waits);
        (!waits).then_some(self)
    }

    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        if let Some(source) = self.source() {
            source.load(exchange).await?;
        }
        self.apply(exchange)
    }
}

impl AtOnce for Beside {
    fn apply(&self, exchange: &mut Exchange) -> Outcome {
        match self {
            Beside::SetAddress(field, source) => {
                let value = source.text(exchange)?;
                exchange.message.addressing.set(*field, Some(value));
            }
            Beside::RemoveAddress(field) => exchange.message.addressing.set(*field, None),
            Beside::SetHttp(name, source) => {
                let value = source.text(exchange)?;
                name.set(&mut exchange.message.headers, &value)?;
            }
            Beside::PutHttp(name, value) => {
                exchange.message.headers.insert(name, value.clone());
            }
            Beside::RemoveHttp(name) => name.remove(&mut exchange.message.headers),
        }
        Ok(Flow::Continue)
    }
}

impl Beside {
    fn source(&self) -> Option<&Source> {
        match self {
            Beside::SetAddress(_, source) | Beside::SetHttp(_, source) => Some(source),
            Beside::RemoveAddress(_) | Beside::PutHttp(..) | Beside::RemoveHttp(_) => None,
        }
    }
}

#[async_trait(?Send)]
impl Mediator for Blocks {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        match self {
            Blocks::Add { name, source, as_xml } => {
                source.load(exchange).await?;
                let value = source.text(exchange)?;
                add_block(exchange, name, &value, *as_xml).await?;
            }
            Blocks::AddElements(elements) => {
                let envelope = exchange.envelope_mut().await?;
                let header = envelope.ensure_header();
                for element in elements {
                    for node in &element.nodes {
                        let copy = envelope.tree.import(&element.tree, *node);
                        envelope.tree.append(header, copy);
                    }
                }
            }
            Blocks::Remove(name) => remove_blocks(exchange, name).await?,
        }
        Ok(Flow::Continue)
    }
}

impl Source {
    fn waits(&self) -> bool {
        matches!(self, Source::Expression(expression) if expression.waits())
    }

    async fn load(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        match self {
            Source::Text(_) => Ok(()),
            Source::Expression(expression) => exchange.load_for(expression).await,
        }
    }

    /// "" for what selects nothing.
    fn text(&self, exchange: &mut Exchange) -> Result<Arc<str>, Fault> {
        match self {
            Source::Text(text) => Ok(Arc::clone(text)),
            Source::Expression(expression) => {
                Ok(Arc::from(exchange.text_at_once(expression)?.unwrap_or_default()))
            }
        }
    }
}

async fn add_block(exchange: &mut Exchange, name: &Name, value: &str, as_xml: bool) -> Result<(), Fault> {
    let inside = if as_xml {
        let tree = XmlTree::parse_str(value.trim(), &exchange.catalog.limits.xml).map_err(|error| {
            Fault::mediation(format!(
                "the value for the header `{}` is not XML: {}",
                name.local, error.message
            ))
        })?;
        Some(Fragment::of_element(tree))
    } else {
        None
    };
    let envelope = exchange.envelope_mut().await?;
    let header = envelope.ensure_header();
    let tree = &mut envelope.tree;
    let block = tree.create_element(&name.prefix, &name.namespace, &name.local);
    tree.append(header, block);
    match inside {
        Some(fragment) => {
            for node in &fragment.nodes {
                let copy = tree.import(&fragment.tree, *node);
                tree.append(block, copy);
            }
        }
        None => {
            let text = tree.create_text(value);
            tree.append(block, text);
        }
    }
    Ok(())
}

async fn remove_blocks(exchange: &mut Exchange, name: &Name) -> Result<(), Fault> {
    // What has no SOAP header needs no reading.
    if !exchange.message.payload.may_have_headers() {
        return Ok(());
    }
    let envelope = exchange.envelope().await?;
    let found: Vec<_> = envelope
        .header()
        .map(|header| {
            envelope
                .tree
                .child_elements(header)
                .filter(|block| envelope.tree.is_named(*block, &name.namespace, &name.local))
                .collect()
        })
        .unwrap_or_default();
    if found.is_empty() {
        return Ok(());
    }
    let envelope = exchange.envelope_mut().await?;
    for block in found {
        envelope.tree.detach(block);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::flow::Exchange;
    use crate::mediators::trial::{ALL, outcome, told};

    const SOAP: &str = "POST /\nContent-Type: text/xml\n\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\">\
        <e:Header><a:one xmlns:a=\"urn:a\"/><a:two xmlns:a=\"urn:a\"/><b:one xmlns:b=\"urn:b\"/></e:Header><e:Body/></e:Envelope>";
    const JSON: &str = "POST /\nContent-Type: application/json\n\n{ \"a\" : 1, \"bad\": \"x\\ny\" }";

    fn run(config: &str, request: &str) -> Exchange {
        let (outcome, exchange) = ALL.run(config, request);
        outcome.expect("no fault");
        exchange
    }

    fn blocks(config: &str) -> String {
        let mut exchange = run(config, SOAP);
        let envelope = crate::flow::testing::wait(exchange.envelope()).expect("it is XML");
        let header = envelope.header().expect("it has one");
        envelope
            .tree
            .child_elements(header)
            .map(|block| envelope.tree.to_text(block))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn setting_adds_and_removing_takes_all_of_that_name() {
        let twice = r#"<header name="a:one" action="remove" xmlns:a="urn:a"/>
            <header name="n:x" value="1" xmlns:n="urn:n"/><header name="n:x" value="2" xmlns:n="urn:n"/>"#;
        assert_eq!(
            blocks(twice),
            r#"<a:two xmlns:a="urn:a"/> <b:one xmlns:b="urn:b"/> <n:x xmlns:n="urn:n">1</n:x> <n:x xmlns:n="urn:n">2</n:x>"#
        );
    }

    #[test]
    fn the_six_addresses_are_no_http_headers() {
        let exchange = run(
            r#"<header name="To" value="http://x/"/><header name="ReplyTo" value="r"/><header name="RelatesTo" expression="$ctx:none"/>
               <header name="Action" value="urn:a"/><header name="Action" action="remove"/>"#,
            SOAP,
        );
        let addressing = &exchange.message.addressing;
        assert_eq!(addressing.to.as_deref(), Some("http://x/"));
        assert_eq!(addressing.reply_to.as_deref(), Some("r"));
        assert_eq!(addressing.relates_to.as_deref(), Some(""));
        assert_eq!(addressing.action, None);
        assert_eq!(exchange.message.header("to"), None);
        assert!(!exchange.message.payload.is_loaded());
    }

    #[test]
    fn removing_a_soap_header_leaves_a_json_body_alone() {
        let exchange = run(r#"<header name="n:x" action="remove" xmlns:n="urn:n"/>"#, JSON);
        assert!(exchange.message.payload.is_untouched());
    }

    #[test]
    fn an_http_header_cannot_break_out_of_its_line() {
        let config = r#"<header name="X-A" scope="transport" expression="json-eval($.bad)"/>"#;
        assert!(outcome(config, JSON).starts_with("fault 0 the value for the HTTP header `x-a`"));
    }

    #[test]
    fn what_cannot_be_is_told_at_load() {
        for (config, expected) in [
            (
                r#"<header name="X-Tenant" value="a"/>"#,
                "E0203 `X-Tenant` is not the name of a SOAP header",
            ),
            (
                r#"<header name="p:x" value="a"/>"#,
                "E0203 the prefix `p` is not declared here",
            ),
            (r#"<header name="To"/>"#, "E0210 this header has no value"),
            ("<header/>", "E0202 `<header>` needs the attribute `name`"),
            (
                r#"<header action="remove"><x/></header>"#,
                "E0202 `<header>` needs the attribute `name`",
            ),
            (
                r#"<header name="To" value="a" scope="axis2"/>"#,
                "E0203 `axis2` is not what `scope` takes",
            ),
            (r#"<header name="X A" value="a" scope="transport"/>"#, ""),
        ] {
            assert_eq!(told(config), expected, "{config}");
        }
    }
}
