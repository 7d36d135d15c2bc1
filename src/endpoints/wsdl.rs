//! `<wsdl>`: where a port of a WSDL says.

use super::common;
use super::leaf::{self, Leaf, LeafKind};
use crate::flow::delivery::{Delivery, Format};
use crate::flow::description::{Description, Missing};
use crate::flow::health::{NotReady, State};
use crate::flow::{Answer, Endpoint, Exchange, Fault, Origin, Retry, fault};
use crate::message::properties::{Fragment, Value};
use crate::message::wsdl::{self, Address, Speech, Wsdl};
use crate::message::xml::XmlTree;
use crate::plan::{Attr, Children, Element, EndpointKind, Example, Planner, Shape};
use crate::text::{Diagnostic, Placed, suggest};
use crate::wire::url::Url;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

pub const KIND: EndpointKind = EndpointKind {
    element: "wsdl",
    by_attribute: false,
    summary: "Sends to the address that a WSDL gives for a port of a service.",
    notes: r#"The WSDL (1.1) is a file, a registry resource or a local entry that `uri` names, stands inside the element, or lies at an `http(s)` address.
A port of SOAP is sent SOAP of its version, one of HTTP plain XML, unless `format` says otherwise. `service` and `port` may be left out where
there is only one.

A WSDL at an `http(s)` address is fetched in the background, so that a service that is down does not keep the gateway from starting. Until it is there, the
endpoint is not ready: fault 303002 with the reason, 503 for the client, and the WSDL is asked for again after 1 s, 2 s, 4 s … up to 60 s. Once
there it stays through reloads; each reload asks for it anew, and the last one serves until a newer one has come. At most 5 MiB and 32 documents are
read within 10 s. Of what it imports only what lies on the same host is fetched, redirects are not followed, and a DOCTYPE is refused.

Properties and formats are those of `address`."#,
    differences: r#"An `http(s)` WSDL that cannot be had at load does not fail the start. A WSDL inside the element works; in Synapse it never does. `service` and
`port` may be left out. `format` wins over what the port says. WSDL 2.0 is refused, as in Synapse."#,
    attributes: &[
        Attr::optional(
            "uri",
            Shape::Text,
            "Where the WSDL is: an `http(s)` address, `file:`, a registry key or a local entry.",
        ),
        Attr::optional(
            "service",
            Shape::Text,
            "The service's name; needed where there are several.",
        ),
        Attr::optional("port", Shape::Text, "The port's name; needed where there are several."),
        common::FORMAT,
        common::OPTIMIZE,
        common::ENCODING,
        common::STATISTICS,
        common::TRACE,
    ],
    children: Children::of(leaf::CHILDREN)
    .or_foreign("`<wsdl:definitions>`, the WSDL itself"),
    build,
    examples: &[
        Example::new(
            "A WSDL that stands inside",
            r#"<endpoint name="quotes"><wsdl service="Quotes" port="QuotesSoap12" encoding="UTF-8"><w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/"
    xmlns:s="http://schemas.xmlsoap.org/wsdl/soap12/"><w:service name="Quotes"><w:port name="QuotesSoap12" binding="QuotesBinding">
    <s:address location="http://backend/quotes"/></w:port></w:service></w:definitions></wsdl></endpoint>"#,
            "POST /\ncontent-type: application/json\n\n{\"symbol\": \"IBM\"}",
            "turns\nbackend POST http://backend/quotes\nbackend header content-type = application/soap+xml; charset=UTF-8",
        )
        .backend("202"),
        Example::new(
            "A WSDL in a local entry, and a format of our own",
            r#"<endpoint><wsdl uri="quotes.wsdl" format="pox"><timeout><duration>2000</duration></timeout></wsdl></endpoint>"#,
            "POST /\ncontent-type: application/xml\n\n<a/>",
            "turns\nbackend POST http://backend/quotes\nbackend header content-type = application/xml\nbackend body <a/>",
        )
        .backend("202")
        .beside(
            r#"<localEntry key="quotes.wsdl"><w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/">
  <w:service name="Quotes"><w:port name="QuotesSoap" binding="QuotesBinding"><s:address location="http://backend/quotes"/></w:port></w:service>
</w:definitions></localEntry>"#,
        ),
        Example::new(
            "A WSDL that has not come yet",
            r#"<endpoint name="quotes"><wsdl uri="http://backend/quotes?wsdl" service="Quotes" port="QuotesSoap"/></endpoint>"#,
            "GET /",
            "fails 303002 the WSDL endpoint quotes has no address: the WSDL at http://backend/quotes?wsdl is not there: it is being fetched",
        ),
    ],
};

struct WsdlEndpoint {
    leaf: Leaf,
    source: Source,
}

enum Source {
    Known { url: Url, delivery: Delivery },
    Elsewhere(Elsewhere),
}

/// A WSDL that comes while the gateway runs.
struct Elsewhere {
    url: Arc<str>,
    service: Option<String>,
    port: Option<String>,
    /// Looked up once: where they are kept outlives deployments.
    description: OnceLock<Arc<Description>>,
}

fn build(endpoint: &Element, element: &Element, planner: &mut Planner<'_>) -> Option<Arc<dyn Endpoint>> {
    let leaf = Leaf::plan(endpoint, element, planner);
    let [service, port] = ["service", "port"].map(|name| {
        let text = planner.text(element, name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    });
    let inline = element.elements().find(|inner| !inner.is_synapse());
    let Some(uri) = element.attribute("uri").map(|uri| uri.value.trimmed()) else {
        let Some(inline) = inline else {
            let mistake = Diagnostic::error("E0202", element.span, "this endpoint has no WSDL");
            planner.tell(mistake.help("say with `uri` where it is, or put `<wsdl:definitions>` inside"));
            return None;
        };
        let wsdl = inline_wsdl(inline, planner)?;
        let place = Placed::empty(inline.span);
        return known(
            leaf?,
            &wsdl,
            service.as_deref(),
            port.as_deref(),
            element,
            &place,
            planner,
        );
    };
    if let Some(inline) = inline {
        let message = "the WSDL inside has no effect beside `uri`";
        planner.tell(Diagnostic::warning("W0210", inline.span, message));
    }
    let address = planner.resolved(&uri)?;
    if common::is_http(&address) {
        common::address(&address, uri.span, planner)?;
        let url: Arc<str> = Arc::from(address);
        planner.described.push(Arc::clone(&url));
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        let place = format!("{url} {}/{}", name(&service), name(&port));
        return Some(Arc::new(WsdlEndpoint {
            leaf: leaf?.at(&place, false, planner),
            source: Source::Elsewhere(Elsewhere {
                url,
                service,
                port,
                description: OnceLock::new(),
            }),
        }));
    }
    let wsdl = stored(&address, &uri, planner)?;
    known(
        leaf?,
        &wsdl,
        service.as_deref(),
        port.as_deref(),
        element,
        &uri,
        planner,
    )
}

/// An endpoint whose WSDL is there at load.
fn known(
    leaf: Leaf,
    wsdl: &Wsdl,
    service: Option<&str>,
    port: Option<&str>,
    element: &Element,
    place: &Placed,
    planner: &mut Planner<'_>,
) -> Option<Arc<dyn Endpoint>> {
    let address = match wsdl.address(service, port) {
        Ok(address) => address,
        Err(reason) => {
            let named = |name: &str| element.attributes.iter().find(|attribute| attribute.name == name);
            // The port is what is wrong when the service is found.
            let about = match wsdl.address(service, None) {
                Err(of_service) if of_service == reason => named("service"),
                _ => named("port"),
            };
            let span = about.map_or(place.span, |attribute| attribute.value.span);
            planner.mistake("E0410", span, reason);
            return None;
        }
    };
    let url = common::address(&address.location, place.span, planner)?;
    let delivery = delivery(&leaf, &address);
    Some(Arc::new(WsdlEndpoint {
        leaf: leaf.at(&url.to_string(), false, planner),
        source: Source::Known { url, delivery },
    }))
}

/// What the author asks for, else what the port speaks.
fn delivery(leaf: &Leaf, address: &Address) -> Delivery {
    let spoken = match address.speech {
        Speech::Soap11 => Format::Soap11,
        Speech::Soap12 => Format::Soap12,
        Speech::Http => Format::Rest,
        Speech::HttpGet => Format::Get,
    };
    Delivery {
        format: leaf.delivery.format.or(Some(spoken)),
        ..leaf.delivery.clone()
    }
}

// WSDLs that are here

fn inline_wsdl(inline: &Element, planner: &mut Planner<'_>) -> Option<Wsdl> {
    let text = planner.sources.text(inline.whole).to_owned();
    let namespaces = Arc::clone(&inline.namespaces);
    let read = match XmlTree::parse_fragment(&text, &namespaces, &wsdl::limits()) {
        Ok(tree) => Wsdl::of(&tree),
        Err(error) => Err(format!("it is not well-formed XML: {}", error.message)),
    };
    let file = planner.sources.file(inline.span.file).name.to_string();
    read_whole(read, &Placed::empty(inline.span), &file, planner)
}

/// What `uri` names in the folder.
fn stored(name: &str, uri: &Placed, planner: &mut Planner<'_>) -> Option<Wsdl> {
    if let Some(value) = planner.entries.get(name) {
        let read = Wsdl::read(document(value).as_bytes());
        return read_whole(read, uri, name, planner);
    }
    let from = planner.file_of(uri).to_owned();
    if let Some((file, text)) = planner.lookup.resource(name, &from) {
        return read_whole(Wsdl::read(text.as_bytes()), uri, &file, planner);
    }
    let scheme = name.split_once("://").map_or("", |(scheme, _)| scheme);
    if !scheme.is_empty() && scheme != "file" {
        common::refuse_scheme(name, uri.span, planner);
        return None;
    }
    let names = planner.lookup.resource_names();
    let help = suggest::did_you_mean(name, names.iter().map(String::as_str));
    let mistake = Diagnostic::error("E0404", uri.span, format!("there is no WSDL at `{name}`"));
    planner.tell(mistake.maybe_help(help.or_else(|| {
        Some("it is an address, or the name of a file, a registry resource or a local entry".to_owned())
    })));
    None
}

/// A document with what it imports from the same folder.
fn read_whole(
    read: Result<Wsdl, String>,
    place: &Placed,
    name: &str,
    planner: &mut Planner<'_>,
) -> Option<Wsdl> {
    let mut whole = match read {
        Ok(wsdl) => wsdl,
        Err(reason) => {
            planner.mistake("E0410", place.span, format!("this WSDL cannot be used: {reason}"));
            return None;
        }
    };
    let mut seen: HashSet<String> = HashSet::from([name.to_owned()]);
    let imports = std::mem::take(&mut whole.imports);
    let mut wanted: Vec<(String, String)> = imports
        .into_iter()
        .map(|import| (name.to_owned(), import))
        .collect();
    while let Some((from, location)) = wanted.pop() {
        if seen.len() >= wsdl::MOST_DOCUMENTS {
            planner.mistake(
                "E0410",
                place.span,
                format!("this WSDL cannot be used: {}", wsdl::too_many()),
            );
            return None;
        }
        let meant = wsdl::resolve(&from, &location);
        let found = planner.lookup.resource(&meant, &from);
        let Some((file, text)) = found.or_else(|| planner.lookup.resource(&location, &from)) else {
            whole.unread.push(format!("{location} (it is not in the folder)"));
            continue;
        };
        if !seen.insert(file.clone()) {
            continue;
        }
        match Wsdl::read(text.as_bytes()) {
            Ok(imported) => {
                let deeper = imported.imports.iter();
                wanted.extend(deeper.map(|import| (file.clone(), import.clone())));
                whole.add(imported);
            }
            Err(reason) => whole.unread.push(format!("{file} ({reason})")),
        }
    }
    Some(whole)
}

fn document(value: &Value) -> String {
    match value {
        Value::Xml(Fragment { tree, nodes }) => nodes.iter().map(|node| tree.to_text(*node)).collect(),
        other => other.to_text().into_owned(),
    }
}

// Sending

impl LeafKind for WsdlEndpoint {
    fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    async fn send(&self, exchange: &mut Exchange) -> Result<Answer, Fault> {
        self.leaf.prepare(exchange).await?;
        match &self.source {
            Source::Known { url, delivery } => self.leaf.send_as(exchange, url.clone(), delivery).await,
            Source::Elsewhere(elsewhere) => {
                let (url, address) = elsewhere
                    .address(exchange)
                    .map_err(|missing| self.not_there(missing))?;
                let delivery = delivery(&self.leaf, &address);
                self.leaf.send_as(exchange, url, &delivery).await
            }
        }
    }

    fn ready(&self, exchange: &Exchange) -> Result<(), NotReady> {
        if let Source::Elsewhere(elsewhere) = &self.source
            && let Err(missing) = elsewhere.address(exchange)
        {
            return Err(NotReady {
                state: State::Suspended,
                retry_after: missing.retry_after,
                full: false,
            });
        }
        self.leaf.ready(exchange)
    }
}

impl WsdlEndpoint {
    fn not_there(&self, missing: Missing) -> Fault {
        let reason = format!(
            "the WSDL endpoint {} has no address: {}",
            self.leaf.name, missing.reason
        );
        Fault::new(fault::code::WSDL_NOT_READY, Origin::Gateway, reason)
            .retry(Retry::Safe)
            .retry_after(missing.retry_after)
    }
}

impl Elsewhere {
    fn address(&self, exchange: &Exchange) -> Result<(Url, Address), Missing> {
        let descriptions = &exchange.worker.runtime.descriptions;
        let description = self.description.get_or_init(|| descriptions.attach(&self.url));
        let wsdl = description.wsdl()?;
        let missing = |reason: String| Missing {
            reason: format!("in the WSDL at {}: {reason}", self.url),
            retry_after: None,
        };
        let address = wsdl
            .address(self.service.as_deref(), self.port.as_deref())
            .map_err(missing)?;
        let url = Url::parse(&address.location).map_err(|invalid| missing(invalid.to_string()))?;
        Ok((url, address))
    }
}

#[cfg(test)]
mod tests {
    use crate::endpoints::ALL;
    use crate::plan::{Kinds, testing};

    fn check(attributes: &str, inside: &str, expected: &[&str]) {
        let kinds = Kinds {
            mediators: &[],
            endpoints: ALL,
        };
        let endpoint = format!("<endpoint><wsdl {attributes}>{inside}</wsdl></endpoint>");
        assert_eq!(
            testing::endpoint(kinds, &endpoint, "").told(),
            expected,
            "for {endpoint}"
        );
    }

    fn quotes(location: &str) -> String {
        format!(
            r#"<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"><w:service name="Q"><w:port name="P"><s:address location="{location}"/></w:port></w:service></w:definitions>"#
        )
    }

    #[test]
    fn a_wsdl_that_does_not_say_where_to_send_is_told_at_load() {
        check("", &quotes("http://h/"), &[]);
        check(
            r#"service="Quote" port="P""#,
            &quotes("http://h/"),
            &["E0410 2:26 the WSDL has no service `Quote`; it has `Q`"],
        );
        check(
            r#"service="Q" port="Port""#,
            &quotes("http://h/"),
            &["E0410 2:35 the service `Q` has no port `Port`; it has `P`"],
        );
        check(
            "",
            &quotes("jms:/q"),
            &["E0507 2:19 there is no transport for `jms:` addresses"],
        );
        check("", "", &["E0202 2:12 this endpoint has no WSDL"]);
        check(
            r#"uri="file:a.wsdl""#,
            "",
            &["E0404 2:22 there is no WSDL at `file:a.wsdl`"],
        );
        check(
            r#"uri="ftp://h/a.wsdl""#,
            "",
            &["E0507 2:22 there is no transport for `ftp:` addresses"],
        );
        check(
            "",
            r#"<d:description xmlns:d="http://www.w3.org/ns/wsdl"/>"#,
            &[
                "E0410 2:19 this WSDL cannot be used: it is WSDL 2.0, which is not supported; WSDL 1.1 is, and an `address` endpoint needs neither",
            ],
        );
        check("", "<adress/>", &["E0204 2:19 `<wsdl>` has no `<adress>` inside"]);
    }
}
