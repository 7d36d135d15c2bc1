//! WSDL 1.1: the services that a document describes, and where their ports are.

use super::xml::{NodeId, XmlLimits, XmlTree};
use crate::text::suggest;

pub const WSDL11: &str = "http://schemas.xmlsoap.org/wsdl/";
pub const WSDL20: &str = "http://www.w3.org/ns/wsdl";
const SOAP11: &str = "http://schemas.xmlsoap.org/wsdl/soap/";
const SOAP12: &str = "http://schemas.xmlsoap.org/wsdl/soap12/";
const HTTP: &str = "http://schemas.xmlsoap.org/wsdl/http/";

/// No document is larger, together with what it imports.
pub const MOST_BYTES: usize = 5 << 20;
/// No more documents are read for one, itself included.
pub const MOST_DOCUMENTS: usize = 32;

/// What one document says, or several that import each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wsdl {
    services: Vec<Service>,
    bindings: Vec<Binding>,
    /// The locations of other documents that this one imports.
    pub imports: Vec<String>,
    /// Imports that could not be read, and why.
    pub unread: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    name: String,
    ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    name: String,
    binding: String,
    address: Option<(Speech, String)>,
}

/// An HTTP binding, and whether its messages are queries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    name: String,
    get: bool,
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Soap11,
    Soap12,
    /// Plain HTTP, the message as its body.
    Http,
    /// Plain HTTP, the message as its query.
    HttpGet,
}

/// Where a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub location: String,
    pub speech: Speech,
}

pub fn limits() -> XmlLimits {
    XmlLimits {
        text: MOST_BYTES,
        ..XmlLimits::default()
    }
}

impl Wsdl {
    pub fn read(bytes: &[u8]) -> Result<Wsdl, String> {
        if bytes.len() > MOST_BYTES {
            return Err(too_large());
        }
        let tree = XmlTree::parse(bytes, &limits())
            .map_err(|error| format!("it is not well-formed XML: {}", error.message))?;
        Wsdl::of(&tree)
    }

    pub fn of(tree: &XmlTree) -> Result<Wsdl, String> {
        let root = tree.document_element().ok_or("it holds no element")?;
        match (tree.namespace(root), tree.local_name(root)) {
            (WSDL11, "definitions") => {}
            (WSDL20, _) => {
                return Err("it is WSDL 2.0, which is not supported; WSDL 1.1 is, and an `address` endpoint needs neither".to_owned());
            }
            _ => return Err(format!("it is no WSDL but <{}>", tree.qualified_name(root))),
        }
        let named = |local| {
            let elements = tree.child_elements(root);
            elements.filter(move |element| tree.is_named(*element, WSDL11, local))
        };
        Ok(Wsdl {
            services: named("service")
                .map(|service| read_service(tree, service))
                .collect(),
            bindings: named("binding")
                .filter_map(|binding| read_binding(tree, binding))
                .collect(),
            imports: named("import")
                .filter_map(|import| tree.attribute(import, "", "location"))
                .map(|location| location.trim().to_owned())
                .collect(),
            unread: Vec::new(),
        })
    }

    /// Takes in what an imported document says.
    pub fn add(&mut self, imported: Wsdl) {
        self.services.extend(imported.services);
        self.bindings.extend(imported.bindings);
    }

    /// Where a port of a service is. What is not named must be the only one there is.
    pub fn address(&self, service: Option<&str>, port: Option<&str>) -> Result<Address, String> {
        let known = one(
            &self.services,
            |known| &known.name,
            service,
            "service",
            "the WSDL",
        )
        .map_err(|reason| self.with_unread(reason))?;
        let whose = format!("the service `{}`", known.name);
        let port = one(&known.ports, |known| &known.name, port, "port", &whose)?;
        let Some((speech, location)) = &port.address else {
            return Err(format!(
                "the port `{}` of {whose} has no address of SOAP or HTTP",
                port.name
            ));
        };
        let get = |binding: &Binding| binding.name == port.binding && binding.get;
        Ok(Address {
            location: location.clone(),
            speech: match speech {
                Speech::Http if self.bindings.iter().any(get) => Speech::HttpGet,
                other => *other,
            },
        })
    }

    fn with_unread(&self, reason: String) -> String {
        match self.unread.as_slice() {
            [] => reason,
            unread => format!("{reason}; not read: {}", unread.join("; ")),
        }
    }
}

pub fn too_large() -> String {
    format!("it is larger than {} MiB", MOST_BYTES >> 20)
}

pub fn too_many() -> String {
    format!("it imports more than {MOST_DOCUMENTS} documents")
}

/// The one of that name, or the only one.
fn one<'a, T>(
    all: &'a [T],
    name_of: impl Fn(&'a T) -> &'a String,
    wanted: Option<&str>,
    what: &str,
    whose: &str,
) -> Result<&'a T, String> {
    let names: Vec<&str> = all.iter().map(|known| name_of(known).as_str()).collect();
    let list = || {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let Some(wanted) = wanted else {
        return match all {
            [only] => Ok(only),
            [] => Err(format!("{whose} has no {what}")),
            _ => Err(format!("{whose} has several {what}s, name one of {}", list())),
        };
    };
    // A qualified name, as some write it.
    let local = wanted.rsplit([':', '}']).next().unwrap_or(wanted).trim();
    match all.iter().find(|known| name_of(known) == local) {
        Some(found) => Ok(found),
        None if names.is_empty() => Err(format!("{whose} has no {what} `{local}`, and no other")),
        None => {
            let nearest = suggest::did_you_mean(local, names.iter().copied());
            let help = nearest.unwrap_or_else(|| format!("it has {}", list()));
            Err(format!("{whose} has no {what} `{local}`; {help}"))
        }
    }
}

fn read_service(tree: &XmlTree, service: NodeId) -> Service {
    let ports = tree.child_elements(service);
    let ports = ports.filter(|port| tree.is_named(*port, WSDL11, "port"));
    Service {
        name: tree
            .attribute(service, "", "name")
            .unwrap_or("")
            .trim()
            .to_owned(),
        ports: ports.map(|port| read_port(tree, port)).collect(),
    }
}

fn read_port(tree: &XmlTree, port: NodeId) -> Port {
    let address = tree.child_elements(port).find_map(|element| {
        let speech = match (tree.namespace(element), tree.local_name(element)) {
            (SOAP11, "address") => Speech::Soap11,
            (SOAP12, "address") => Speech::Soap12,
            (HTTP, "address") => Speech::Http,
            _ => return None,
        };
        let location = tree.attribute(element, "", "location")?.trim();
        Some((speech, location.to_owned()))
    });
    let binding = tree.attribute(port, "", "binding").unwrap_or("").trim();
    Port {
        name: tree.attribute(port, "", "name").unwrap_or("").trim().to_owned(),
        binding: local(binding).to_owned(),
        address,
    }
}

fn read_binding(tree: &XmlTree, binding: NodeId) -> Option<Binding> {
    let http = tree.find_child(binding, HTTP, "binding")?;
    let verb = tree.attribute(http, "", "verb").unwrap_or("").trim();
    Some(Binding {
        name: tree.attribute(binding, "", "name")?.trim().to_owned(),
        get: verb.eq_ignore_ascii_case("GET"),
    })
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// A location as it is meant from the document that names it: for URLs and for the names of files.
pub fn resolve(base: &str, location: &str) -> String {
    let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
    let absolute = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if absolute {
        return location.to_owned();
    }
    let location = location.split('#').next().unwrap_or("");
    let base = base.split('#').next().unwrap_or("");
    let (origin, path) = match base.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            base.split_at(scheme.len() + 3 + end)
        }
        None => ("", base),
    };
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = origin.split("//").next().unwrap_or("");
        return format!("{scheme}//{rest}");
    }
    let path = path.split('?').next().unwrap_or("");
    if location.is_empty() {
        return base.to_owned();
    }
    if location.starts_with('?') {
        return format!("{origin}{path}{location}");
    }
    let folder = path.rfind('/').map_or("", |end| &path[..=end]);
    let folder = if origin.is_empty() || !folder.is_empty() {
        folder
    } else {
        "/"
    };
    let (target, query) = location
        .find('?')
        .map_or((location, ""), |at| location.split_at(at));
    let joined = match target.starts_with('/') {
        true => target.to_owned(),
        false => format!("{folder}{target}"),
    };
    format!("{origin}{}{query}", without_dots(&joined))
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if kept.last().is_some_and(|last| !last.is_empty() && *last != "..") => _ = kept.pop(),
            // Nothing is above the root.
            ".." if kept.as_slice() == [""] => {}
            other => kept.push(other),
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:t="http://schemas.xmlsoap.org/wsdl/soap12/" xmlns:h="http://schemas.xmlsoap.org/wsdl/http/" xmlns:b="urn:b">"#;

    fn find(inside: &str, service: Option<&str>, port: Option<&str>) -> Result<String, String> {
        let wsdl = Wsdl::read(format!("{HEAD}{inside}</w:definitions>").as_bytes())?;
        let found = wsdl.address(service, port)?;
        Ok(format!("{:?} {}", found.speech, found.location))
    }

    fn check(inside: &str, service: Option<&str>, port: Option<&str>, expected: Result<&str, &str>) {
        let found = find(inside, service, port);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{inside}");
    }

    const QUOTES: &str = r#"<w:binding name="G"><h:binding verb="GET"/></w:binding>
        <w:service name="Quotes"><w:port name="P11" binding="b:B"><s:address location="http://h/11"/></w:port>
        <w:port name="P12" binding="b:C"><w:documentation/><t:address location=" http://h/12 "/></w:port>
        <w:port name="PG" binding="b:G"><h:address location="http://h/get"/></w:port><w:port name="PN"/></w:service>"#;

    #[test]
    fn a_port_says_where_it_is_and_what_it_speaks() {
        check(QUOTES, Some("Quotes"), Some("P11"), Ok("Soap11 http://h/11"));
        check(QUOTES, None, Some("b:P12"), Ok("Soap12 http://h/12"));
        check(QUOTES, Some("Quotes"), Some("PG"), Ok("HttpGet http://h/get"));
        check(
            &QUOTES.replace("\"GET\"", "\"POST\""),
            None,
            Some("PG"),
            Ok("Http http://h/get"),
        );
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        check(
            QUOTES,
            Some("Quote"),
            Some("P11"),
            Err("the WSDL has no service `Quote`; did you mean `Quotes`?"),
        );
        check(
            QUOTES,
            None,
            Some("X"),
            Err("the service `Quotes` has no port `X`; it has `P11`, `P12`, `PG`, `PN`"),
        );
        check(
            QUOTES,
            None,
            None,
            Err("the service `Quotes` has several ports, name one of `P11`, `P12`, `PG`, `PN`"),
        );
        check(
            QUOTES,
            None,
            Some("PN"),
            Err("the port `PN` of the service `Quotes` has no address of SOAP or HTTP"),
        );
        check("", None, None, Err("the WSDL has no service"));
    }

    #[test]
    fn what_is_no_wsdl_1_1_is_refused_in_words() {
        let read = |text: &str| Wsdl::read(text.as_bytes()).expect_err("it is none");
        assert!(
            read(r#"<description xmlns="http://www.w3.org/ns/wsdl"/>"#)
                .starts_with("it is WSDL 2.0, which is not supported")
        );
        assert_eq!(read("<html/>"), "it is no WSDL but <html>");
        assert_eq!(
            read(r#"<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>"#),
            "it is not well-formed XML: a DOCTYPE is not accepted"
        );
        assert_eq!(read(&" ".repeat(MOST_BYTES + 1)), "it is larger than 5 MiB");
    }

    #[test]
    fn locations_are_meant_from_where_they_stand() {
        for (base, location, meant) in [
            ("http://h:1/a/b?wsdl", "c.wsdl", "http://h:1/a/c.wsdl"),
            ("http://h:1/a/b?wsdl", "?wsdl=1", "http://h:1/a/b?wsdl=1"),
            ("http://h:1/a/b", "/c?x=/y/../z", "http://h:1/c?x=/y/../z"),
            ("http://h:1/a/b/", "../../../c", "http://h:1/c"),
            ("https://h", "c", "https://h/c"),
            ("https://h/a", "//other/c", "https://other/c"),
            ("http://h/a", "file:///etc/passwd", "file:///etc/passwd"),
            ("wsdl/a.wsdl", "../types/./c.wsdl", "types/c.wsdl"),
            ("a.wsdl", "c.wsdl", "c.wsdl"),
            ("gov:/wsdl/a.wsdl", "c.wsdl", "gov:/wsdl/c.wsdl"),
        ] {
            assert_eq!(resolve(base, location), meant, "{location} from {base}");
        }
    }
}
