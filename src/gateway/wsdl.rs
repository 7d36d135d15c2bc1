//! `?wsdl` of a proxy: the WSDL that was given, with this gateway's address in it.

use crate::deployment::proxy::{Proxy, Wsdl, wsdl_limits};
use crate::flow::request::Request;
use crate::message::body::ByteStream;
use crate::message::xml::{NodeId, XmlTree};
use crate::wire::Reply;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

/// Namespaces of the elements whose `location` is the address of a service.
const ADDRESSES: [&str; 3] = [
    "http://schemas.xmlsoap.org/wsdl/soap/",
    "http://schemas.xmlsoap.org/wsdl/soap12/",
    "http://schemas.xmlsoap.org/wsdl/http/",
];
const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const SCHEMA: &str = "http://www.w3.org/2001/XMLSchema";

/// The answer, if the request asks for a description of the service and not for the service.
pub fn answer(proxy: &Proxy, request: &Request, public_url: Option<&str>) -> Option<Reply> {
    if request.method != Method::GET {
        return None;
    }
    let query = request.query()?;
    let (name, value) = query
        .split('&')
        .next()
        .and_then(|piece| piece.split_once('=').or(Some((piece, ""))))?;
    let name = name.to_ascii_lowercase();
    if !matches!(name.as_str(), "wsdl" | "wsdl2" | "xsd" | "policy") {
        return None;
    }
    Some(match (&proxy.wsdl, name.as_str(), value) {
        (None, "wsdl" | "xsd", _) => refusal(format!("The proxy {} publishes no WSDL.", proxy.name)),
        (Some(wsdl), "wsdl", "") => xml(described(wsdl, proxy, request, public_url)),
        (Some(wsdl), "wsdl" | "xsd", location) => match wsdl.resources.get(location) {
            Some(text) => xml(text.to_string()),
            None => refusal(format!(
                "The WSDL of {} imports nothing called {location}.",
                proxy.name
            )),
        },
        _ => refusal(format!(
            "The proxy {} has no description of this kind; ask for ?wsdl.",
            proxy.name
        )),
    })
}

fn refusal(text: String) -> Reply {
    Reply::text(StatusCode::NOT_FOUND, text + "\n")
}

fn xml(text: String) -> Reply {
    let mut reply = Reply::new(StatusCode::OK);
    reply.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/xml; charset=UTF-8"),
    );
    reply.body = ByteStream::from(Bytes::from(text));
    reply
}

/// The WSDL with the address that was made public, or else the one that this client reached, and with imports that lead back here.
fn described(wsdl: &Wsdl, proxy: &Proxy, request: &Request, public_url: Option<&str>) -> String {
    let Ok(mut tree) = XmlTree::parse_str(&wsdl.text, &wsdl_limits()) else {
        // It was read at load; should it not be read now, it is better as given than not at all.
        return wsdl.text.to_string();
    };
    let own = format!("{}://{}", request.scheme, request.host());
    let address = format!("{}/services/{}", public_url.unwrap_or(&own), proxy.name);
    let nodes: Vec<NodeId> = tree
        .descendants(tree.document())
        .filter(|node| tree.is_element(*node))
        .collect();
    for node in nodes {
        let (namespace, local) = (tree.namespace(node), tree.local_name(node));
        let attribute = match (namespace, local) {
            (namespace, "address") if ADDRESSES.contains(&namespace) => "location",
            (WSDL, "import") => "location",
            (SCHEMA, "import" | "include" | "redefine") => "schemaLocation",
            _ => continue,
        };
        let Some(old) = tree.attribute(node, "", attribute) else {
            continue;
        };
        let new = match local {
            "address" => address.clone(),
            _ if wsdl.resources.contains_key(old) => {
                let kind = if namespace == WSDL { "wsdl" } else { "xsd" };
                format!("{address}?{kind}={old}")
            }
            _ => continue,
        };
        tree.set_attribute(node, "", "", attribute, &new);
    }
    tree.to_text(tree.document())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{proxy, tests::plan};
    use crate::flow::testing::wait;
    use std::sync::Arc;

    fn get(proxy: &Proxy, target: &str) -> Option<(u16, String)> {
        let address = "127.0.0.1:8290".parse().expect("an address");
        let host = HeaderValue::from_static("shop.example:8253");
        let request = Request::new(
            Method::GET,
            Arc::from(target),
            "https",
            Some(host),
            (address, address),
        );
        let reply = answer(proxy, &request, None)?;
        let (body, _) = wait(reply.body.collect(1 << 20)).expect("a body");
        Some((reply.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    fn proxy(publish: &str) -> Proxy {
        let xml = format!(r#"<proxy name="Quotes"><target><inSequence/></target>{publish}</proxy>"#);
        let (mut proxies, mistakes) = plan(&xml, "proxy", proxy::build);
        assert_eq!(mistakes, "");
        proxies.remove(0)
    }

    #[test]
    fn addresses_in_the_wsdl_are_those_the_client_used() {
        let mut proxy = proxy(
            r#"<publishWSDL><w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/">
               <w:import location="types.xsd" namespace="urn:t"/><w:import location="http://elsewhere/x.wsdl" namespace="urn:x"/>
               <w:service name="Q"><w:port><s:address location="http://backend:9000/q"/></w:port></w:service></w:definitions></publishWSDL>"#,
        );
        if let Some(wsdl) = &mut proxy.wsdl {
            wsdl.resources.insert("types.xsd".to_owned(), Arc::from("<xs/>"));
        }
        let (status, text) = get(&proxy, "/services/Quotes?wsdl").expect("an answer");
        assert_eq!(status, 200);
        assert!(
            text.contains(r#"<s:address location="https://shop.example:8253/services/Quotes"/>"#),
            "{text}"
        );
        assert!(
            text.contains(r#"location="https://shop.example:8253/services/Quotes?wsdl=types.xsd""#),
            "{text}"
        );
        assert!(
            text.contains(r#"location="http://elsewhere/x.wsdl""#) && !text.contains("backend"),
            "{text}"
        );
        assert_eq!(
            get(&proxy, "/services/Quotes?wsdl=types.xsd"),
            Some((200, "<xs/>".to_owned()))
        );
        assert_eq!(
            get(&proxy, "/services/Quotes?xsd=none").map(|(status, _)| status),
            Some(404)
        );
        assert_eq!(
            get(&proxy, "/services/Quotes?wsdl2").map(|(status, _)| status),
            Some(404)
        );
    }

    #[test]
    fn without_a_wsdl_it_says_so_and_other_queries_are_requests() {
        let proxy = proxy("");
        assert_eq!(
            get(&proxy, "/services/Quotes?WSDL"),
            Some((404, "The proxy Quotes publishes no WSDL.\n".to_owned()))
        );
        assert_eq!(get(&proxy, "/services/Quotes?symbol=wsdl"), None);
        assert_eq!(get(&proxy, "/services/Quotes"), None);
    }
}
