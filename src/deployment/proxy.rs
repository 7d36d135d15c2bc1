//! `<proxy>`: a service at `/services/NAME`.

use super::api::Transports;
use super::sequence::{self, INLINE};
use super::{EndpointRef, SequenceRef};
use crate::message::properties::{Fragment, Value};
use crate::message::xml::{XmlLimits, XmlTree};
use crate::plan::kind::ArtifactKind;
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support, table};
use crate::text::{Diagnostic, Span};
use std::collections::HashMap;
use std::sync::Arc;

pub static KIND: ArtifactKind = ArtifactKind {
    element: "proxy",
    summary: "A service at `/services/NAME`, usually SOAP, in front of another one.",
    notes: "The `target` needs an in sequence or an endpoint. When the in sequence ends without having sent or answered, the message goes \
        to the target's endpoint; its answer goes through the out sequence. A client that spoke SOAP 1.1 is answered in SOAP 1.1, one \
        that spoke 1.2 in 1.2. `?wsdl` gives the published WSDL with the addresses of this gateway in it.",
    differences: "A WSDL that is not found is a warning, and `?wsdl` answers 404; Synapse does not deploy the proxy.",
    attributes: &[
        Attr::required("name", Shape::Text, "the name of the service, and the end of its path"),
        Attr::optional("transports", Shape::Text, "`http` and `https`, with spaces or commas between").default("all"),
        Attr::optional("startOnLoad", Shape::Boolean, "`false`: it is not served").default("true"),
        Attr::ignored("pinnedServers", "it names servers of a cluster; every Myelin serves all it is given"),
        Attr::ignored("serviceGroup", "services are not grouped here"),
        Attr::ignored("statistics", "statistics are not switched on by artifact here"),
        Attr::ignored("trace", "tracing is not switched on by artifact here"),
    ],
    children: Children::of(&[
        Child::required("target", TARGET, TARGET_CHILDREN, "where messages go"),
        Child::optional("publishWSDL", PUBLISH, Children::ANY, "the WSDL behind `?wsdl`"),
        Child::optional("enableAddressing", &[], Children::NONE, "WS-Addressing").support(Support::NotYet(
            "WS-Addressing headers are passed on as they are, and not read",
        )),
        Child::optional("enableSec", &[], Children::NONE, "WS-Security").support(Support::Refused(
            "there is no WS-Security here; check signatures and tokens in front of the gateway or behind it",
        )),
        Child::optional("enableRM", &[], Children::NONE, "WS-ReliableMessaging").support(Support::Refused(
            "there is no WS-ReliableMessaging here",
        )),
        Child::optional("policy", &[], Children::ANY, "a WS-Policy").many().support(Support::Refused(
            "there is no WS-Policy here; check signatures and tokens in front of the gateway or behind it",
        )),
        Child::optional("parameter", &[], Children::ANY, "a parameter of the Axis2 service").many().support(Support::Ignored(
            "parameters are Axis2's; none has an effect here",
        )),
    ]),
    examples: &[
        r#"<proxy xmlns="http://ws.apache.org/ns/synapse" name="Quotes" transports="http https" startOnLoad="true">
  <target><inSequence/><outSequence/></target>
</proxy>"#,
    ],
};

const TARGET: &[Attr] = &[
    Attr::optional(
        "inSequence",
        Shape::Sequence,
        "what requests go through; wins over the element",
    ),
    Attr::optional(
        "outSequence",
        Shape::Sequence,
        "what responses go through; wins over the element",
    ),
    Attr::optional(
        "faultSequence",
        Shape::Sequence,
        "what faults go to; wins over the element",
    )
    .default("`fault`"),
    Attr::optional(
        "endpoint",
        Shape::Endpoint,
        "where requests go when the in sequence has ended; wins over the element",
    ),
];

const TARGET_CHILDREN: Children = Children::of(&[
    Child::endpoint("where requests go when the in sequence has ended"),
    Child::optional("inSequence", INLINE, Children::STEPS, "what requests go through"),
    Child::optional(
        "outSequence",
        INLINE,
        Children::STEPS,
        "what responses go through",
    ),
    Child::optional("faultSequence", INLINE, Children::STEPS, "what faults go to"),
]);

const PUBLISH: &[Attr] = &[
    Attr::optional(
        "key",
        Shape::Entry,
        "a local entry or registry resource that holds the WSDL",
    ),
    Attr::optional("uri", Shape::Text, "a file that holds the WSDL, as `file:` URL"),
    Attr::not_yet(
        "endpoint",
        "WSDLs are not fetched from services; give the file by `key` or `uri`",
    ),
    Attr::ignored("preservePolicy", "policies stay in the WSDL as they are"),
];

const WSDL11: &str = "http://schemas.xmlsoap.org/wsdl/";
const WSDL20: &str = "http://www.w3.org/ns/wsdl";

pub struct Proxy {
    pub name: Arc<str>,
    /// As logs name it: `proxy Orders`.
    pub label: Arc<str>,
    pub transports: Transports,
    /// `startOnLoad`: one that is not started is not served.
    pub started: bool,
    pub in_sequence: Option<SequenceRef>,
    pub out_sequence: Option<SequenceRef>,
    pub fault_sequence: Option<SequenceRef>,
    /// Where the message goes when the in sequence ends without sending it.
    pub endpoint: Option<EndpointRef>,
    pub wsdl: Option<Wsdl>,
    pub span: Span,
    pub broken: Option<Arc<str>>,
}

/// A published WSDL, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wsdl {
    pub text: Arc<str>,
    /// What it imports, by the location that its `import`s name.
    pub resources: HashMap<String, Arc<str>>,
}

/// Builds a `<proxy>`; `None` when not even its name is known. One with mistakes has no target: `--lenient` answers 503 there.
pub fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Proxy> {
    planner
        .compat
        .met(element.name.clone(), Support::Full, element.span);
    let before = planner.mistakes.errors();
    let sound = table::check(element, KIND.attributes, &KIND.children, planner);
    if !sound {
        table::look_deeper(element, KIND.attributes, &KIND.children, planner);
    }
    let name = planner.text(element, "name")?;
    if name.trim().is_empty() || name.contains(['?', '#', ' ']) {
        planner.mistake(
            "E0203",
            element.attribute("name")?.value.span,
            "this cannot be the end of a path",
        );
        return None;
    }
    let mut proxy = Proxy {
        transports: transports(element, planner),
        started: !planner
            .text(element, "startOnLoad")
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("false")),
        in_sequence: None,
        out_sequence: None,
        fault_sequence: None,
        endpoint: None,
        wsdl: None,
        span: element.span,
        broken: None,
        label: Arc::from(format!("proxy {name}")),
        name: Arc::from(name),
    };
    if !proxy.started {
        let span = element
            .attribute("startOnLoad")
            .map_or(element.span, |attribute| attribute.name_span);
        planner.tell(Diagnostic::warning(
            "W0224",
            span,
            format!("the proxy `{}` is not served", proxy.name),
        ));
    }
    if let Some(target) = element.child("target").filter(|_| sound) {
        let of = format!("of proxy {}", proxy.name);
        proxy.in_sequence = sequence::of(target, "inSequence", &of, planner);
        proxy.out_sequence = sequence::of(target, "outSequence", &of, planner);
        proxy.fault_sequence = sequence::of(target, "faultSequence", &of, planner);
        proxy.endpoint = endpoint(target, &of, planner);
        let named = ["inSequence", "endpoint"]
            .iter()
            .any(|name| target.has(name) || target.child(name).is_some());
        if !named {
            planner.tell(
                Diagnostic::error(
                    "E0222",
                    target.span,
                    "the target of a proxy needs an in sequence or an endpoint",
                )
                .help("add an `<inSequence>` or an `<endpoint>`"),
            );
        }
    }
    if let Some(publish) = element.child("publishWSDL") {
        proxy.wsdl = wsdl(publish, planner);
    }
    if planner.mistakes.errors() > before {
        (
            proxy.in_sequence,
            proxy.out_sequence,
            proxy.fault_sequence,
            proxy.endpoint,
        ) = (None, None, None, None);
    }
    Some(proxy)
}

/// What only shows when all proxies are known.
pub fn check_all(proxies: &[Proxy], planner: &mut Planner<'_>) {
    let mut names: HashMap<&str, &Proxy> = HashMap::new();
    for proxy in proxies {
        if let Some(first) = names.get(&*proxy.name) {
            planner.tell(
                Diagnostic::error(
                    "E0403",
                    proxy.span,
                    format!("there are two proxies `{}`", proxy.name),
                )
                .also(first.span, "the first one"),
            );
        }
        names.entry(&proxy.name).or_insert(proxy);
    }
}

fn transports(element: &Element, planner: &mut Planner<'_>) -> Transports {
    let Some(text) = planner.text(element, "transports") else {
        return Transports::BOTH;
    };
    let words: Vec<&str> = text
        .split([' ', ',', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() || words.contains(&"all") {
        return Transports::BOTH;
    }
    let transports = Transports {
        http: words.contains(&"http"),
        https: words.contains(&"https"),
    };
    let others: Vec<&str> = words
        .into_iter()
        .filter(|word| !matches!(*word, "http" | "https" | "local"))
        .collect();
    let span = element
        .attribute("transports")
        .map_or(element.span, |attribute| attribute.value.span);
    let list = others
        .iter()
        .map(|other| format!("`{other}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match (transports.http || transports.https, others.is_empty()) {
        (_, true) => {}
        (true, false) => planner.tell(
            Diagnostic::warning(
                "W0504",
                span,
                format!("this proxy is served over HTTP, and not over {list}"),
            )
            .help("only HTTP is here"),
        ),
        (false, false) => planner.tell(
            Diagnostic::error(
                "E0507",
                span,
                format!("this proxy needs {list}, and only HTTP is here"),
            )
            .help(
                "let an adapter take the messages and send them to the proxy over HTTP, and add `http` here",
            ),
        ),
    }
    transports
}

fn endpoint(target: &Element, of: &str, planner: &mut Planner<'_>) -> Option<EndpointRef> {
    if let Some(key) = target.attribute("endpoint").map(|key| key.value.clone()) {
        if let Some(inline) = target.child("endpoint") {
            planner.tell(
                Diagnostic::warning("W0210", inline.span, "this `<endpoint>` has no effect")
                    .also(key.span, "the attribute wins"),
            );
        }
        return planner.endpoint_key(&key).map(EndpointRef::Named);
    }
    let inline = target.child("endpoint")?;
    planner.owner = Arc::from(format!("endpoint {of}"));
    planner.endpoint(inline).map(EndpointRef::Inline)
}

fn wsdl(publish: &Element, planner: &mut Planner<'_>) -> Option<Wsdl> {
    let text = wsdl_text(publish, planner)?;
    if let Err(error) = XmlTree::parse_str(&text, &wsdl_limits()) {
        planner.tell(
            Diagnostic::error(
                "E0101",
                publish.span,
                format!("the WSDL is not well-formed XML: {}", error.message),
            )
            .help("a WSDL without document type declaration is expected"),
        );
        return None;
    }
    let mut resources = HashMap::new();
    for resource in publish.all("resource") {
        let (Some(location), Some(key)) = (planner.text(resource, "location"), resource.attribute("key"))
        else {
            planner.mistake(
                "E0202",
                resource.span,
                "`<resource>` needs a `location` and a `key`",
            );
            continue;
        };
        let key = key.value.clone();
        if let Some(text) = planner.entry(&key).map(|value| document(&value)) {
            resources.insert(location, text);
        }
    }
    Some(Wsdl { text, resources })
}

/// What a published WSDL may be: it is its author's file, not a client's message.
pub fn wsdl_limits() -> XmlLimits {
    XmlLimits {
        text: 5 << 20,
        ..XmlLimits::default()
    }
}

fn wsdl_text(publish: &Element, planner: &mut Planner<'_>) -> Option<Arc<str>> {
    for name in ["key", "uri"] {
        let Some(given) = publish.attribute(name).map(|given| given.value.clone()) else {
            continue;
        };
        let from = planner.file_of(&given);
        if let Some(reason) = planner.lookup.false_encoding(given.text.trim(), from) {
            planner.mistake(
                "E0101",
                given.span,
                format!("the WSDL is not well-formed XML: {reason}"),
            );
            return None;
        }
    }
    if let Some(key) = publish.attribute("key").map(|key| key.value.clone()) {
        return planner.entry(&key).map(|value| document(&value));
    }
    if let Some(uri) = publish.attribute("uri").map(|uri| uri.value.clone()) {
        let name = planner.resolved(&uri)?;
        if let Some((_, text)) = planner.lookup.resource(name.trim(), planner.file_of(&uri)) {
            return Some(Arc::from(text));
        }
        let help = if name.starts_with("http") {
            "WSDLs are not fetched; put the file beside the configuration and name it by `file:`"
        } else {
            "`?wsdl` will answer 404"
        };
        planner
            .tell(Diagnostic::warning("W0404", uri.span, format!("there is no WSDL at `{name}`")).help(help));
        return None;
    }
    if publish.has("endpoint") {
        return None;
    }
    let inline = publish.elements().find(|inner| {
        matches!(inner.namespace.as_str(), WSDL11 | WSDL20)
            && matches!(inner.name.as_str(), "definitions" | "description")
    });
    let Some(inline) = inline else {
        planner.tell(
            Diagnostic::warning("W0404", publish.span, "there is no WSDL here")
                .help("give it by `key`, by `uri`, or put `<wsdl:definitions>` inside"),
        );
        return None;
    };
    let source = planner.sources.text(inline.whole).to_owned();
    match XmlTree::parse_fragment(&source, &publish.namespaces, &wsdl_limits()) {
        Ok(tree) => {
            let root = tree.child_elements(tree.document()).next()?;
            Some(Arc::from(tree.to_text(root)))
        }
        Err(error) => {
            planner.mistake(
                "E0101",
                inline.span,
                format!("the WSDL is not well-formed XML: {}", error.message),
            );
            None
        }
    }
}

/// An entry as an XML document.
fn document(value: &Value) -> Arc<str> {
    match value {
        Value::Xml(Fragment { tree, nodes }) => {
            Arc::from(nodes.iter().map(|node| tree.to_text(*node)).collect::<String>())
        }
        other => Arc::from(&*other.to_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::plan_and_check;

    fn check(xml: &str, expected: &[&str]) -> Vec<Proxy> {
        let (proxies, mistakes) = plan_and_check(xml, "proxy", build, check_all);
        assert_eq!(mistakes, expected.join("\n"), "{xml}");
        proxies
    }

    #[test]
    fn the_example_is_accepted_without_a_word() {
        let xml = KIND.examples[0].replace(&format!(" xmlns=\"{}\"", crate::plan::element::SYNAPSE), "");
        let proxies = check(&xml, &[]);
        assert!(proxies[0].in_sequence.is_some() && proxies[0].fault_sequence.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_proxy_is_told() {
        check(
            r#"<proxy name="P"/>"#,
            &["E0208 a.xml:1:2 `<proxy>` needs a `<target>` inside"],
        );
        check(
            r#"<proxy name="P"><target><outSequence/></target></proxy>"#,
            &["E0222 a.xml:1:58 the target of a proxy needs an in sequence or an endpoint"],
        );
        check(
            r#"<proxy name="P" transports="jms"><target><inSequence/></target></proxy>"#,
            &["E0507 a.xml:1:69 this proxy needs `jms`, and only HTTP is here"],
        );
        check(
            r#"<proxy name="P" transports="jms,http"><target><inSequence/></target></proxy>"#,
            &["W0504 a.xml:1:69 this proxy is served over HTTP, and not over `jms`"],
        );
        check(
            r#"<proxy name="P"><target><inSequence/></target><enableSec/></proxy>"#,
            &["E0505 a.xml:1:88 `<enableSec>` is not supported"],
        );
        check(
            "<x>\n<proxy name=\"P\"><target><inSequence/></target></proxy>\n<proxy name=\"P\"><target><inSequence/></target></proxy></x>",
            &["E0403 a.xml:3:2 there are two proxies `P`"],
        );
    }

    #[test]
    fn a_wsdl_comes_from_a_file_or_stands_inside() {
        let proxies = check(
            r#"<proxy name="P"><target><inSequence/></target><publishWSDL uri="file:a.wsdl"/></proxy>"#,
            &[],
        );
        assert!(
            proxies[0]
                .wsdl
                .as_ref()
                .is_some_and(|wsdl| wsdl.text.contains("definitions"))
        );
        let proxies = check(
            r#"<proxy name="P" xmlns:w="http://schemas.xmlsoap.org/wsdl/"><target><inSequence/></target>
               <publishWSDL><w:definitions><w:types/></w:definitions></publishWSDL></proxy>"#,
            &[],
        );
        let text = &proxies[0].wsdl.as_ref().expect("a WSDL").text;
        assert!(text.starts_with("<w:definitions xmlns:w="), "{text}");
        let proxies = check(
            r#"<proxy name="P"><target><inSequence/></target><publishWSDL uri="file:b.wsdl"/></proxy>"#,
            &["W0404 a.xml:1:105 there is no WSDL at `file:b.wsdl`"],
        );
        assert!(proxies[0].wsdl.is_none());
    }
}
