//! `<http>`: an address made from a URI template.

use super::authentication::examples;
use super::common;
use super::leaf::{self, Leaf, LeafKind};
use super::uri_template::{TemplateValue, UriTemplate};
use crate::flow::{Answer, Endpoint, Exchange, Fault};
use crate::message::json::Json;
use crate::message::properties::Value;
use crate::plan::{Attr, Child, Children, Element, EndpointKind, Example, Planner, Shape, Support, joined};
use crate::text::{Diagnostic, Placed};
use crate::wire::url::Url;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::sync::Arc;

pub const KIND: EndpointKind = EndpointKind {
    element: "http",
    by_attribute: false,
    summary: "Sends to an address made from a URI template, with a method of its own.",
    notes: r#"The template is RFC 6570, all of it. Its variables are properties whose names begin with `uri.var.` or `query.param.`, written in full:
`{uri.var.id}`. `{x}` escapes reserved characters, `{+x}` leaves them; a template that begins with `{x}` is read as `{+x}`, so that one property can
hold a whole address. A property that holds JSON is a list or a map to `{x*}`. With `legacy-encoding:` in front, variables are decoded, and the
whole address is decoded and encoded again.

With `method` the rest of the client's path (axis2 `REST_URL_POSTFIX`) is not appended; without it, it is, as for `address`. GET and HEAD carry no body,
nor does a DELETE that came without one. Properties, formats, gRPC calls and WebSockets (`ws://backend/topics/{uri.var.topic}`) are those of `address`."#,
    differences: r#"A variable without a value is left out, as the RFC says, and an address that comes out invalid is a fault; Synapse uses the template itself
as the address, braces included. A value behind a host name that does not begin a path is a fault: a client must not choose the host. Otherwise as `address`."#,
    attributes: &[
        Attr::required("uri-template", Shape::Text, "The address, with variables in braces."),
        Attr::optional("method", Shape::Text, "GET, POST, PUT, DELETE, HEAD, PATCH or OPTIONS. Without it, the message's own."),
        Attr::optional("version", Shape::Choice(&["1.1", "2.0"]), "Which HTTP is spoken.").default("1.1"),
        common::FORMAT,
        common::OPTIMIZE,
        common::ENCODING,
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(&CHILDREN),
    build,
    examples: &[
        Example::new(
            "A path and a query from properties",
            r#"<endpoint><http method="GET" uri-template="http://backend/pets/{uri.var.id}{?query.param.kind}"/><property name="uri.var.id" value="a/b"/><property name="query.param.kind" value="cat &amp; dog"/></endpoint>"#,
            "POST /pets\n\nignored",
            "turns\nbackend GET http://backend/pets/a%2Fb?query.param.kind=cat%20%26%20dog",
        )
        .backend("200\ncontent-type: application/json\n\n{}"),
        Example::new(
            "A whole address in one property",
            r#"<endpoint><http uri-template="{uri.var.address}" version="1.1"/><property name="uri.var.address" value="http://backend/a?b=c"/></endpoint>"#,
            "DELETE /pets",
            "turns\nbackend DELETE http://backend/a?b=c",
        )
        .backend("204"),
        Example::new(
            "Text in another character set",
            r#"<endpoint><http method="put" uri-template="http://backend/x" format="pox" encoding="UTF-8"/></endpoint>"#,
            "POST /pets\ncontent-type: application/json\n\n{\"id\": 1}",
            "turns\nbackend PUT http://backend/x\nbackend body <jsonObject><id>1</id></jsonObject>",
        )
        .backend("200"),
        Example::new(
            "With WS-Addressing, and two seconds at the most",
            r#"<endpoint><http uri-template="http://backend/a" method="post" format="soap11"><enableAddressing version="submission"/><timeout><duration>2000</duration><responseAction>fault</responseAction></timeout></http></endpoint>"#,
            "POST /\ncontent-type: application/xml\n\n<a/>",
            "turns\nbackend POST http://backend/a",
        )
        .backend("202"),
        examples::BASIC,
        examples::DIGEST,
        examples::API_KEY,
        examples::CLIENT_CREDENTIALS,
        examples::PASSWORD_CREDENTIALS,
        examples::AUTHORIZATION_CODE,
        examples::MUTUAL_TLS,
    ],
};

const CHILDREN: [Child; leaf::CHILDREN.len() + 1] = joined(
    leaf::CHILDREN,
    &[Child::optional(
        "serverPushSequence",
        &[],
        Children::ANY,
        "What HTTP/2 pushes are given to.",
    )
    .support(Support::NotYet("pushed responses are not asked for"))],
);

#[derive(Debug)]
struct HttpEndpoint {
    leaf: Leaf,
    address: Address,
}

#[derive(Debug)]
enum Address {
    Fixed(Url),
    Template { template: UriTemplate, legacy: bool },
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let address = plan_address(element, planner);
    let (leaf, address) = (leaf?, address?);
    let (text, many) = match &address {
        Address::Fixed(url) => (url.to_string(), false),
        Address::Template { template, .. } => {
            let written = element.get("uri-template").unwrap_or("").to_owned();
            // With the host in the text itself there is one backend, whatever the variables are.
            let host = template.prefix().split_once("://").map(|(_, rest)| rest);
            (written, !host.is_some_and(|host| host.contains('/')))
        }
    };
    let mut leaf = leaf.at(&text, many, planner);
    leaf.delivery.method = plan_method(element, planner);
    leaf.delivery.bare = leaf.delivery.method.is_some();
    leaf.delivery.http2 = element
        .get("version")
        .is_some_and(|version| version.trim() == "2.0");
    Some(Arc::new(HttpEndpoint { leaf, address }))
}

/// Other words than these seven are no mistake in Synapse, and have no effect.
fn plan_method(element: &Element, planner: &mut Planner<'_>) -> Option<Method> {
    let text = planner.text(element, "method")?.trim().to_ascii_uppercase();
    match text.as_str() {
        "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "PATCH" | "OPTIONS" => text.parse().ok(),
        _ => {
            let span = element
                .attribute("method")
                .map_or(element.span, |attribute| attribute.value.span);
            let warning = Diagnostic::warning(
                "W0203",
                span,
                format!("`{text}` is not a method that an endpoint can set"),
            );
            planner.tell(warning.help("the message's own method is used; GET, POST, PUT, DELETE, HEAD, PATCH and OPTIONS can be set"));
            None
        }
    }
}

fn plan_address(element: &Element, planner: &mut Planner<'_>) -> Option<Address> {
    let value = element.attribute("uri-template")?.value.clone();
    let text = common::resolved(&value, planner)?.trimmed();
    let legacy = text.text.starts_with(LEGACY);
    let text = if legacy {
        text.slice(LEGACY.len()..text.text.len())
    } else {
        text
    };
    let template = parse(&text, legacy, planner)?;
    let prefix = template.prefix();
    if template.variables().next().is_none() {
        return common::address(prefix, text.span, planner).map(Address::Fixed);
    }
    let scheme = prefix.split_inclusive("://").next().unwrap_or("");
    if !prefix.is_empty()
        && !common::is_spoken(prefix)
        && (scheme.contains("://") || !common::begins_spoken(prefix))
    {
        common::refuse_scheme(prefix, text.span, planner);
        return None;
    }
    Some(Address::Template { template, legacy })
}

const LEGACY: &str = "legacy-encoding:";

fn parse(text: &Placed, legacy: bool, planner: &mut Planner<'_>) -> Option<UriTemplate> {
    let whole = text.text.starts_with('{') && !text.text.starts_with("{+") && !legacy;
    let (source, shift) = match whole {
        true => (format!("{{+{}", &text.text[1..]), 1),
        false => (text.text.clone(), 0),
    };
    let place = |range: std::ops::Range<usize>| {
        let back = |at: usize| {
            at.saturating_sub(if at > 1 { shift } else { 0 })
                .min(text.text.len())
        };
        text.span_of(back(range.start)..back(range.end))
    };
    let template = match UriTemplate::parse(&source) {
        Ok(template) => template,
        Err(error) => {
            planner.tell(Diagnostic::error(
                "E0305",
                place(error.range),
                format!("URI template: {}", error.message),
            ));
            return None;
        }
    };
    for (name, range) in template.variables() {
        if !is_variable(name) {
            let warning = Diagnostic::warning("W0305", place(range), format!("`{name}` never has a value"));
            planner.tell(warning.help(
                "the variables of a URI template are the properties named uri.var.… and query.param.…",
            ));
        }
    }
    Some(template)
}

fn is_variable(name: &str) -> bool {
    name.starts_with("uri.var.") || name.starts_with("query.param.")
}

impl LeafKind for HttpEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    fn address(&self) -> Option<&Url> {
        match &self.address {
            Address::Fixed(url) => Some(url),
            Address::Template { .. } => None,
        }
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        let url = match &self.address {
            Address::Fixed(url) => url.clone(),
            Address::Template { template, legacy } => expand(exchange, template, *legacy)?,
        };
        self.leaf.send(exchange, url).await
    }
}

fn expand(exchange: &Exchange, template: &UriTemplate, legacy: bool) -> Result<Url, Fault> {
    let value = |name: &str| {
        let value = exchange.properties.get(name).filter(|_| is_variable(name))?;
        Some(if legacy {
            TemplateValue::Text(decode(&value.to_text()))
        } else {
            template_value(&value)
        })
    };
    let text = template.expand(value).map_err(|changed| {
        let name = changed.variable;
        Fault::mediation(format!(
            "the value of `{name}` would change the host of the address; it must begin with `/`"
        ))
    })?;
    let text = if legacy {
        encode_whole(&decode(&text))
    } else {
        text
    };
    Url::parse(&text).map_err(|invalid| Fault::mediation(invalid.to_string()))
}

fn template_value(value: &Value) -> TemplateValue {
    let Value::Json(json) = value else {
        return TemplateValue::Text(value.to_text().into_owned());
    };
    match &**json {
        Json::Array(items) => TemplateValue::List(items.iter().map(plain).collect()),
        Json::Object(members) => TemplateValue::Map(
            members
                .iter()
                .map(|(key, item)| (key.clone(), plain(item)))
                .collect(),
        ),
        other => TemplateValue::Text(plain(other)),
    }
}

fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As Java's URLDecoder: a plus is a space.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

/// What Java's `URI` leaves as it is in a path and in a query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b';')
    .remove(b':')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b'/')
    .remove(b'@');
const QUERY: &AsciiSet = &PATH.remove(b'?').remove(b'[').remove(b']');

fn encode_whole(text: &str) -> String {
    let path_start = text.find("://").map_or(0, |at| at + 3);
    let path_start = text[path_start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| path_start + at);
    let (origin, rest) = text.split_at(path_start);
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    match rest.split_once('?') {
        Some((path, query)) => {
            format!(
                "{origin}{}?{}",
                utf8_percent_encode(path, PATH),
                utf8_percent_encode(query, QUERY)
            )
        }
        None => format!("{origin}{}", utf8_percent_encode(rest, PATH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::ALL;
    use crate::flow::testing::{ScriptedBackend, exchange, wait};
    use crate::message::json;
    use crate::plan::{Kinds, testing};

    /// The address that is called, or why none is.
    fn check(template: &str, properties: &[(&str, Value)], expected: &str) {
        let kinds = Kinds {
            mediators: &[],
            endpoints: ALL,
        };
        let endpoint = format!(r#"<endpoint><http uri-template="{template}"/></endpoint>"#);
        let planned = testing::endpoint(kinds, &endpoint, "");
        let endpoint = planned.what.expect("the template is sound");
        let backend = ScriptedBackend::answering("200");
        let mut exchange = exchange("GET /client/path", planned.catalog, backend.clone());
        for (name, value) in properties {
            exchange.properties.set(*name, value.clone());
        }
        let called = match wait(endpoint.deliver(&mut exchange)) {
            Ok(_) => backend.only().url,
            Err(fault) => fault.reason.clone().into(),
        };
        assert_eq!(called, expected, "for {template}");
    }

    fn text(text: &str) -> Value {
        Value::text(text)
    }

    fn json(text: &str) -> Value {
        let limits = json::JsonLimits::default();
        Value::Json(Arc::new(
            json::parse(text.as_bytes(), &limits).expect("it is JSON"),
        ))
    }

    #[test]
    fn values_are_escaped_unless_the_template_leaves_them() {
        let value = [("uri.var.x", text("a b/c?d"))];
        check("http://h/{uri.var.x}", &value, "http://h/a%20b%2Fc%3Fd");
        check("http://h/{+uri.var.x}", &value, "http://h/a%20b/c?d");
        check(
            "http://h/x{?uri.var.x}",
            &value,
            "http://h/x?uri.var.x=a%20b%2Fc%3Fd",
        );
    }

    #[test]
    fn a_missing_variable_is_left_out() {
        check("http://h/a{/uri.var.x}{?query.param.y}", &[], "http://h/a");
        check(
            "{uri.var.x}/a",
            &[],
            "`/a` is not an address that can be called: it has no scheme such as http://",
        );
        // A property of another name is none of the template's.
        check("http://h/{id}", &[("id", text("1"))], "http://h/");
    }

    #[test]
    fn a_whole_address_can_be_a_variable() {
        check(
            "{uri.var.x}/a",
            &[("uri.var.x", text("http://h:81/b?c=d"))],
            "http://h:81/b?c=d/a",
        );
    }

    #[test]
    fn json_is_a_list_or_a_map() {
        let list = [
            ("uri.var.l", json("[1, \"b c\"]")),
            ("uri.var.m", json("{\"k\": \"v\", \"n\": 2}")),
        ];
        check(
            "http://h{/uri.var.l*}{?uri.var.m*}",
            &list,
            "http://h/1/b%20c?k=v&n=2",
        );
        check("http://h/{uri.var.l}", &list, "http://h/1,b%20c");
    }

    #[test]
    fn no_value_leads_to_another_host() {
        // S-URI-2 of the attack catalogue.
        let refused = "the value of `uri.var.x` would change the host of the address; it must begin with `/`";
        check(
            "http://h{+uri.var.x}",
            &[("uri.var.x", text(".evil.example"))],
            refused,
        );
        check(
            "http://h{+uri.var.x}",
            &[("uri.var.x", text("@evil.example/"))],
            refused,
        );
        check(
            "http://h/{uri.var.x}",
            &[("uri.var.x", text("//evil\r\nHost: e"))],
            "http://h/%2F%2Fevil%0D%0AHost%3A%20e",
        );
    }

    #[test]
    fn the_legacy_encoding_decodes_first_and_encodes_the_whole() {
        check(
            "legacy-encoding:http://h/{uri.var.x}",
            &[("uri.var.x", text("a%20b"))],
            "http://h/a%20b",
        );
        check(
            "legacy-encoding:http://h/{uri.var.x}",
            &[("uri.var.x", text("a+b/ö"))],
            "http://h/a%20b/%C3%B6",
        );
    }
}
