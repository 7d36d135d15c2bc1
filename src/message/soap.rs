//! The SOAP envelope that every XML view of a message stands in, whether SOAP came in or not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::payload::PayloadError;
use super::xml::{Kind, NodeId, XML_NAMESPACE, XmlTree};

pub const SOAP11_NAMESPACE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub const SOAP12_NAMESPACE: &str = "http://www.w3.org/2003/05/soap-envelope";
/// The namespace of the elements `text` and `binary` in which bodies that are no XML stand.
pub const PAYLOAD_NAMESPACE: &str = "http://ws.apache.org/commons/ns/payload";

const PREFIX: &str = "soapenv";

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum SoapVersion {
    Soap11,
    Soap12,
}

impl SoapVersion {
    pub fn namespace(self) -> &'static str {
        match self {
            SoapVersion::Soap11 => SOAP11_NAMESPACE,
            SoapVersion::Soap12 => SOAP12_NAMESPACE,
        }
    }

    pub fn of_namespace(namespace: &str) -> Option<SoapVersion> {
        match namespace {
            SOAP11_NAMESPACE => Some(SoapVersion::Soap11),
            SOAP12_NAMESPACE => Some(SoapVersion::Soap12),
            _ => None,
        }
    }
}

/// A tree whose document element is a SOAP envelope. Steps may change the tree in any way, so what these methods find
/// may have gone; they say so with None, or make it anew.
#[derive(Clone)]
pub struct Envelope {
    pub tree: XmlTree,
    wrapped: bool,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.tree.to_text(self.root()))
    }
}

impl Envelope {
    pub fn empty(version: SoapVersion) -> Envelope {
        let mut tree = XmlTree::new();
        add_shell(&mut tree, version);
        Envelope { tree, wrapped: true }
    }

    /// Puts an envelope (SOAP 1.1, as Synapse does) around a document that is none. The document is not copied; what
    /// stood beside its element is left out.
    pub fn around(mut tree: XmlTree) -> Envelope {
        let element = tree.document_element();
        let document = tree.document();
        tree.remove_children(document);
        let body = add_shell(&mut tree, SoapVersion::Soap11);
        if let Some(element) = element {
            tree.append(body, element);
        }
        Envelope { tree, wrapped: true }
    }

    /// Whether the document element is an envelope of either version.
    pub fn is_soap(tree: &XmlTree) -> bool {
        tree.document_element().is_some_and(|root| {
            tree.local_name(root) == "Envelope" && SoapVersion::of_namespace(tree.namespace(root)).is_some()
        })
    }

    /// Takes a document for the envelope it is. There is one Body, as a child of the envelope and behind the Header, and
    /// nothing else: whoever signs or checks one Body must not see another one mediated.
    pub fn from_soap(tree: XmlTree) -> Result<Envelope, PayloadError> {
        let refused = |reason: String| Err(PayloadError::malformed(reason));
        let Some(root) = tree.document_element().filter(|_| Envelope::is_soap(&tree)) else {
            let found = tree
                .document_element()
                .map_or("nothing".into(), |root| tree.qualified_name(root).into_owned());
            return refused(format!("this is not a SOAP envelope but <{found}>"));
        };
        let namespace = tree.namespace(root);
        let (mut header, mut body) = (false, false);
        for child in tree.child_elements(root) {
            let local = tree.local_name(child);
            if tree.namespace(child) != namespace || !matches!(local, "Header" | "Body") {
                return refused(format!(
                    "<{}> may not stand in a SOAP envelope",
                    tree.qualified_name(child)
                ));
            }
            let seen = if local == "Header" { &mut header } else { &mut body };
            if *seen {
                return refused(format!("a SOAP envelope with more than one {local}"));
            }
            *seen = true;
            if header && body && local == "Header" {
                return refused("the Header of a SOAP envelope stands behind its Body".to_owned());
            }
        }
        if !body {
            return refused("a SOAP envelope without Body".to_owned());
        }
        Ok(Envelope { tree, wrapped: false })
    }

    /// The envelope was put around something that came or was made without one.
    pub fn is_wrapped(&self) -> bool {
        self.wrapped
    }

    pub fn version(&self) -> SoapVersion {
        SoapVersion::of_namespace(self.tree.namespace(self.root())).unwrap_or(SoapVersion::Soap11)
    }

    pub fn tree(&self) -> &XmlTree {
        &self.tree
    }

    /// The element `Envelope`; the document itself if somebody has taken that out.
    pub fn root(&self) -> NodeId {
        self.tree.document_element().unwrap_or(self.tree.document())
    }

    pub fn header(&self) -> Option<NodeId> {
        self.part("Header")
    }

    /// The element `Body`; the root if somebody has taken that out.
    pub fn body(&self) -> NodeId {
        self.part("Body").unwrap_or(self.root())
    }

    fn part(&self, local: &str) -> Option<NodeId> {
        let root = self.root();
        self.tree.find_child(root, self.tree.namespace(root), local)
    }

    /// The first element in the body: what most of Synapse means by the payload.
    pub fn first_child(&self) -> Option<NodeId> {
        let body = self.part("Body")?;
        self.tree.child_elements(body).next()
    }

    /// The Header; an empty one in front of the Body if there was none.
    pub fn ensure_header(&mut self) -> NodeId {
        if let Some(header) = self.header() {
            return header;
        }
        self.ensure_body();
        let root = self.root();
        let header = self.create("Header");
        self.tree.prepend(root, header);
        header
    }

    fn ensure_body(&mut self) -> NodeId {
        if let Some(body) = self.part("Body") {
            return body;
        }
        if !Envelope::is_soap(&self.tree) {
            let document = self.tree.document();
            self.tree.remove_children(document);
            self.wrapped = true;
            return add_shell(&mut self.tree, SoapVersion::Soap11);
        }
        let root = self.root();
        let body = self.create("Body");
        self.tree.append(root, body);
        body
    }

    /// An element of the envelope's own namespace, written as the envelope is.
    fn create(&mut self, local: &str) -> NodeId {
        let root = self.root();
        let (prefix, namespace) = (
            self.tree.prefix(root).to_owned(),
            self.tree.namespace(root).to_owned(),
        );
        self.tree.create_element(&prefix, &namespace, local)
    }

    /// Empties the body and puts a copy of a node of some tree into it.
    pub fn set_body_child(&mut self, source: &XmlTree, node: NodeId) {
        let body = self.clear_body();
        let copy = self.tree.import(source, node);
        self.tree.append(body, copy);
    }

    /// A copy of the first child of another envelope's body in place of everything in this one's.
    pub fn set_body_of(&mut self, other: &Envelope) {
        match other.first_child() {
            Some(child) => self.set_body_child(&other.tree, child),
            None => _ = self.clear_body(),
        }
    }

    /// Takes everything out of the body, and gives the body.
    pub fn clear_body(&mut self) -> NodeId {
        let body = self.ensure_body();
        self.tree.remove_children(body);
        body
    }

    /// The text of a body that is the element `text` of the payload namespace.
    pub fn text(&self) -> Option<String> {
        self.wrapper("text")
            .map(|wrapper| self.tree.string_value(wrapper).into_owned())
    }

    /// A text as the only content of the body.
    pub fn set_text(&mut self, text: &str) {
        self.set_wrapper("text", text);
    }

    /// The bytes of a body that is the element `binary`. None when there is none, or when it does not hold base64.
    pub fn binary(&self) -> Option<Vec<u8>> {
        let wrapper = self.wrapper("binary")?;
        let mut text = self.tree.string_value(wrapper).into_owned();
        text.retain(|character| !character.is_ascii_whitespace());
        BASE64.decode(text).ok()
    }

    pub fn set_binary(&mut self, bytes: &[u8]) {
        self.set_wrapper("binary", &BASE64.encode(bytes));
    }

    fn wrapper(&self, local: &str) -> Option<NodeId> {
        self.first_child()
            .filter(|&child| self.tree.is_named(child, PAYLOAD_NAMESPACE, local))
    }

    fn set_wrapper(&mut self, local: &str, content: &str) {
        let body = self.clear_body();
        let wrapper = self.tree.create_element("", PAYLOAD_NAMESPACE, local);
        self.tree.declare_namespace(wrapper, "", PAYLOAD_NAMESPACE);
        self.tree.set_value(wrapper, content);
        self.tree.append(body, wrapper);
    }

    /// The body is a SOAP fault.
    pub fn is_fault(&self) -> bool {
        self.fault_element().is_some()
    }

    /// Why, in the words of the fault.
    pub fn fault_reason(&self) -> Option<String> {
        self.fault().map(|fault| fault.reason)
    }

    fn fault_element(&self) -> Option<NodeId> {
        let namespace = self.tree.namespace(self.root());
        self.first_child()
            .filter(|&child| self.tree.is_named(child, namespace, "Fault"))
    }

    /// The fault in the body, in the words of its version. The detail stays in the tree: see `fault_detail`.
    pub fn fault(&self) -> Option<SoapFault> {
        let fault = self.fault_element()?;
        let text = |node: NodeId| self.tree.string_value(node).trim().to_owned();
        match self.version() {
            SoapVersion::Soap11 => {
                let part = |local: &str| self.tree.find_child(fault, "", local).map(text);
                let code = self.tree.find_child(fault, "", "faultcode");
                Some(SoapFault {
                    code: code.and_then(|node| self.soap_code(node)),
                    prefix: None,
                    own_code: code.map(text),
                    reason: part("faultstring").unwrap_or_default(),
                    node: None,
                    role: part("faultactor"),
                })
            }
            SoapVersion::Soap12 => {
                let part = |of: NodeId, local: &str| self.tree.find_child(of, SOAP12_NAMESPACE, local);
                let code = part(fault, "Code");
                let value = code.and_then(|code| part(code, "Value"));
                let subcode = code.and_then(|code| part(part(code, "Subcode")?, "Value"));
                Some(SoapFault {
                    code: value.and_then(|node| self.soap_code(node)),
                    prefix: None,
                    own_code: subcode.or(value).map(text),
                    reason: part(fault, "Reason")
                        .and_then(|reason| part(reason, "Text"))
                        .map(text)
                        .unwrap_or_default(),
                    node: part(fault, "Node").map(text),
                    role: part(fault, "Role").map(text),
                })
            }
        }
    }

    /// The element that holds a fault's detail.
    pub fn fault_detail(&self) -> Option<NodeId> {
        let fault = self.fault_element()?;
        match self.version() {
            SoapVersion::Soap11 => self.tree.find_child(fault, "", "detail"),
            SoapVersion::Soap12 => self.tree.find_child(fault, SOAP12_NAMESPACE, "Detail"),
        }
    }

    /// The code that an element names, if it is one of SOAP's own.
    fn soap_code(&self, node: NodeId) -> Option<FaultCode> {
        let text = self.tree.string_value(node);
        let (prefix, local) = text.trim().split_once(':').unwrap_or(("", text.trim()));
        let namespace = self.tree.namespace_for_prefix(node, prefix)?;
        FaultCode::named(SoapVersion::of_namespace(namespace)?, local)
    }

    /// A new envelope of this version with a fault in its body.
    pub fn of_fault(version: SoapVersion, fault: &SoapFault) -> Envelope {
        let mut envelope = Envelope::empty(version);
        envelope.wrapped = false;
        envelope.put_fault(fault);
        envelope
    }

    /// Puts a fault in place of the body's content. Gives the `detail` element's place: the Fault element.
    fn put_fault(&mut self, fault: &SoapFault) -> NodeId {
        let version = self.version();
        let body = self.clear_body();
        let root = self.root();
        let own = self.tree.prefix(root).to_owned();
        let prefix = fault.prefix.clone().unwrap_or_else(|| own.clone());
        let standard = fault.code.unwrap_or(FaultCode::Receiver).name(version);
        let standard = if prefix.is_empty() {
            standard.to_owned()
        } else {
            format!("{prefix}:{standard}")
        };
        let element = self.create("Fault");
        self.tree.append(body, element);
        match version {
            SoapVersion::Soap11 => {
                let code = match (&fault.code, &fault.own_code) {
                    (None, Some(own)) => own,
                    _ => &standard,
                };
                let code = self.add_text(element, "", "faultcode", code);
                if prefix != own && fault.code.is_some() {
                    self.tree.declare_namespace(code, &prefix, version.namespace());
                }
                self.add_text(element, "", "faultstring", &fault.reason);
                if let Some(role) = &fault.role {
                    self.add_text(element, "", "faultactor", role);
                }
            }
            SoapVersion::Soap12 => {
                let code = self.create("Code");
                self.tree.append(element, code);
                let value = self.add_text(code, SOAP12_NAMESPACE, "Value", &standard);
                if prefix != own {
                    self.tree.declare_namespace(value, &prefix, version.namespace());
                }
                if let (None, Some(own)) = (&fault.code, &fault.own_code) {
                    let subcode = self.create("Subcode");
                    self.tree.append(code, subcode);
                    self.add_text(subcode, SOAP12_NAMESPACE, "Value", own);
                }
                let reason = self.create("Reason");
                self.tree.append(element, reason);
                let text = self.add_text(reason, SOAP12_NAMESPACE, "Text", &fault.reason);
                self.tree.set_attribute(text, "xml", XML_NAMESPACE, "lang", "en");
                for (local, value) in [("Node", &fault.node), ("Role", &fault.role)] {
                    if let Some(value) = value {
                        self.add_text(element, SOAP12_NAMESPACE, local, value);
                    }
                }
            }
        }
        element
    }

    fn add_text(&mut self, parent: NodeId, namespace: &str, local: &str, text: &str) -> NodeId {
        let prefix = if namespace.is_empty() {
            String::new()
        } else {
            self.tree.prefix(self.root()).to_owned()
        };
        let element = self.tree.create_element(&prefix, namespace, local);
        self.tree.set_value(element, text);
        self.tree.append(parent, element);
        element
    }

    /// Gives the fault in the body an empty detail, and says where; None if the body is no fault.
    pub fn add_fault_detail(&mut self) -> Option<NodeId> {
        if let Some(detail) = self.fault_detail() {
            return Some(detail);
        }
        let fault = self.fault_element()?;
        Some(match self.version() {
            SoapVersion::Soap11 => self.add_text(fault, "", "detail", ""),
            SoapVersion::Soap12 => self.add_text(fault, SOAP12_NAMESPACE, "Detail", ""),
        })
    }

    /// Makes it an envelope of this version: the envelope's own elements, the SOAP attributes of header blocks, and a fault.
    pub fn to_version(&mut self, version: SoapVersion) {
        let from = self.version();
        if from == version {
            return;
        }
        let fault = self.fault().map(|fault| (fault, self.fault_detail()));
        let (old, new) = (from.namespace(), version.namespace());
        let root = self.root();
        let parts: Vec<NodeId> = std::iter::once(root)
            .chain(self.header())
            .chain(self.part("Body"))
            .collect();
        for part in parts {
            let local = self.tree.local_name(part).to_owned();
            let prefix = self.tree.prefix(part).to_owned();
            let declarations: Vec<NodeId> = self.tree.declarations(part).collect();
            for declaration in declarations {
                if self.tree.value(declaration) == old {
                    self.tree.set_value(declaration, new);
                }
            }
            self.tree.rename(part, &prefix, new, &local);
        }
        if let Some(header) = self.header() {
            let attributes = self
                .tree
                .child_elements(header)
                .flat_map(|block| self.tree.attributes(block));
            let soaps: Vec<NodeId> = attributes
                .filter(|&node| self.tree.namespace(node) == old)
                .collect();
            for attribute in soaps {
                self.change_attribute(attribute, version);
            }
        }
        if let Some((fault, detail)) = fault {
            if let Some(detail) = detail {
                self.tree.detach(detail);
            }
            self.put_fault(&fault);
            if let (Some(detail), Some(target)) = (detail, self.add_fault_detail()) {
                let children: Vec<NodeId> = self.tree.children(detail).collect();
                for child in children {
                    self.tree.append(target, child);
                }
            }
        }
    }

    fn change_attribute(&mut self, attribute: NodeId, version: SoapVersion) {
        let prefix = self.tree.prefix(attribute).to_owned();
        let local = match (version, self.tree.local_name(attribute)) {
            (SoapVersion::Soap12, "actor") => "role",
            (SoapVersion::Soap11, "role") => "actor",
            (_, other) => other,
        };
        let local = local.to_owned();
        let value = match (version, &*local, self.tree.value(attribute)) {
            (SoapVersion::Soap11, "mustUnderstand", "true") => Some("1"),
            (SoapVersion::Soap11, "mustUnderstand", "false") => Some("0"),
            _ => None,
        };
        if let Some(value) = value {
            self.tree.set_value(attribute, value);
        }
        self.tree.rename(attribute, &prefix, version.namespace(), &local);
    }

    /// The content of the body as it is read by people and by the rules of `get-property`: every text below it.
    pub fn body_text(&self) -> String {
        self.tree.string_value(self.body()).into_owned()
    }
}

/// Adds an empty envelope to a document and gives its body.
fn add_shell(tree: &mut XmlTree, version: SoapVersion) -> NodeId {
    let root = tree.create_element(PREFIX, version.namespace(), "Envelope");
    tree.declare_namespace(root, PREFIX, version.namespace());
    let body = tree.create_element(PREFIX, version.namespace(), "Body");
    tree.append(root, body);
    let document = tree.document();
    debug_assert_eq!(tree.kind(document), Kind::Document);
    tree.append(document, root);
    body
}

/// What a SOAP fault says, whatever its version.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SoapFault {
    /// One of SOAP's own codes.
    pub code: Option<FaultCode>,
    /// The code as written. It is what counts when it is none of SOAP's own.
    pub own_code: Option<String>,
    /// What to write in front of a code of SOAP's own; without it the prefix of the envelope.
    pub prefix: Option<String>,
    pub reason: String,
    pub node: Option<String>,
    /// `faultactor` in SOAP 1.1.
    pub role: Option<String>,
}

/// The codes that SOAP defines.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum FaultCode {
    VersionMismatch,
    MustUnderstand,
    /// `Client` in SOAP 1.1.
    Sender,
    /// `Server` in SOAP 1.1.
    Receiver,
    /// SOAP 1.2 alone.
    DataEncodingUnknown,
}

impl FaultCode {
    pub fn named(version: SoapVersion, name: &str) -> Option<FaultCode> {
        Some(match (version, name) {
            (_, "VersionMismatch") => FaultCode::VersionMismatch,
            (_, "MustUnderstand") => FaultCode::MustUnderstand,
            (SoapVersion::Soap11, "Client") | (SoapVersion::Soap12, "Sender") => FaultCode::Sender,
            (SoapVersion::Soap11, "Server") | (SoapVersion::Soap12, "Receiver") => FaultCode::Receiver,
            (SoapVersion::Soap12, "DataEncodingUnknown") => FaultCode::DataEncodingUnknown,
            _ => return None,
        })
    }

    pub fn name(self, version: SoapVersion) -> &'static str {
        match (self, version) {
            (FaultCode::VersionMismatch, _) => "VersionMismatch",
            (FaultCode::MustUnderstand, _) => "MustUnderstand",
            (FaultCode::Sender, SoapVersion::Soap12) => "Sender",
            (FaultCode::Sender | FaultCode::DataEncodingUnknown, SoapVersion::Soap11) => "Client",
            (FaultCode::Receiver, SoapVersion::Soap12) => "Receiver",
            (FaultCode::Receiver, SoapVersion::Soap11) => "Server",
            (FaultCode::DataEncodingUnknown, SoapVersion::Soap12) => "DataEncodingUnknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::xml::XmlLimits;

    fn tree(text: &str) -> XmlTree {
        XmlTree::parse_str(text, &XmlLimits::default()).unwrap()
    }

    fn soap(parts: &str) -> Result<Envelope, PayloadError> {
        Envelope::from_soap(tree(&format!(
            "<s:Envelope xmlns:s='{SOAP11_NAMESPACE}'>{parts}</s:Envelope>"
        )))
    }

    fn check(envelope: &Envelope, expected: &str) {
        let text = envelope.tree.to_text(envelope.root());
        let short = text
            .replace(SOAP11_NAMESPACE, "11")
            .replace(SOAP12_NAMESPACE, "12");
        assert_eq!(
            short.replace("soapenv:", "e:").replace(":soapenv", ":e"),
            expected
        );
    }

    #[test]
    fn a_document_is_put_into_an_envelope_without_being_copied() {
        let parsed = tree("<!-- before --><a xmlns='urn:a'><b/></a>");
        let (nodes, element) = (parsed.node_count(), parsed.document_element());
        let envelope = Envelope::around(parsed);
        assert_eq!(envelope.first_child(), element);
        assert!(envelope.tree.node_count() <= nodes + 3);
        assert!(envelope.is_wrapped());
        check(
            &envelope,
            r#"<e:Envelope xmlns:e="11"><e:Body><a xmlns="urn:a"><b/></a></e:Body></e:Envelope>"#,
        );
    }

    #[test]
    fn the_parts_of_an_envelope_are_found() {
        let envelope = soap("<s:Header><h/></s:Header><s:Body> <a/><b/></s:Body>").unwrap();
        assert_eq!(envelope.version(), SoapVersion::Soap11);
        assert!(!envelope.is_wrapped());
        assert_eq!(envelope.tree.local_name(envelope.first_child().unwrap()), "a");
        assert_eq!(envelope.tree.local_name(envelope.header().unwrap()), "Header");
        assert_eq!(soap("<s:Body/>").unwrap().first_child(), None);
    }

    #[test]
    fn an_envelope_of_another_build_is_refused() {
        for (parts, reason) in [
            ("<s:Body/><s:Body><evil/></s:Body>", "more than one Body"),
            ("<s:Header/><s:Header/><s:Body/>", "more than one Header"),
            ("<s:Body/><s:Header/>", "behind its Body"),
            ("<s:Header/>", "without Body"),
            ("<s:Body/><Body/>", "<Body> may not stand"),
            ("<wrapper><s:Body/></wrapper><s:Body/>", "<wrapper> may not stand"),
        ] {
            let error = soap(parts).unwrap_err();
            assert!(error.message.contains(reason), "{parts}: {error}");
        }
        let error = Envelope::from_soap(tree("<Envelope/>")).unwrap_err();
        assert_eq!(error.message, "this is not a SOAP envelope but <Envelope>");
    }

    #[test]
    fn the_body_of_another_document_can_be_put_in() {
        let mut envelope = soap("<s:Header><h/></s:Header><s:Body><old/><older/></s:Body>").unwrap();
        let source = tree("<x xmlns:p='urn:p'><p:new/></x>");
        let child = source
            .child_elements(source.document_element().unwrap())
            .next()
            .unwrap();
        envelope.set_body_child(&source, child);
        check(
            &envelope,
            r#"<s:Envelope xmlns:s="11"><s:Header><h/></s:Header><s:Body><p:new xmlns:p="urn:p"/></s:Body></s:Envelope>"#,
        );
    }

    #[test]
    fn a_header_is_made_when_it_is_needed() {
        let mut envelope = Envelope::empty(SoapVersion::Soap12);
        assert_eq!(envelope.header(), None);
        let header = envelope.ensure_header();
        assert_eq!(envelope.ensure_header(), header);
        check(
            &envelope,
            r#"<e:Envelope xmlns:e="12"><e:Header/><e:Body/></e:Envelope>"#,
        );
    }

    #[test]
    fn an_envelope_that_a_step_has_ruined_is_made_anew() {
        let mut envelope = Envelope::empty(SoapVersion::Soap11);
        let root = envelope.root();
        envelope.tree.detach(root);
        assert_eq!(
            (envelope.header(), envelope.first_child(), envelope.is_fault()),
            (None, None, false)
        );
        envelope.set_text("again");
        assert_eq!(envelope.text().as_deref(), Some("again"));
        let body = envelope.body();
        envelope.tree.detach(body);
        envelope.set_text("and again");
        assert_eq!(envelope.body_text(), "and again");
    }

    #[test]
    fn text_and_bytes_stand_in_elements_of_their_own() {
        let mut envelope = Envelope::empty(SoapVersion::Soap11);
        envelope.set_text("a < b");
        check(
            &envelope,
            r#"<e:Envelope xmlns:e="11"><e:Body><text xmlns="http://ws.apache.org/commons/ns/payload">a &lt; b</text></e:Body></e:Envelope>"#,
        );
        assert_eq!(envelope.binary(), None);
        envelope.set_binary(b"\0\xff");
        assert_eq!(envelope.binary().unwrap(), b"\0\xff");
        assert_eq!(envelope.text(), None);
    }

    const FAULT11: &str = "<s:Body><s:Fault><faultcode>s:Server</faultcode><faultstring>no</faultstring>\
                           <faultactor>urn:me</faultactor><detail><why>because</why></detail></s:Fault></s:Body>";

    #[test]
    fn a_fault_is_read_in_either_version() {
        let mut envelope = soap(FAULT11).unwrap();
        let fault = envelope.fault().unwrap();
        assert_eq!((fault.code, &*fault.reason), (Some(FaultCode::Receiver), "no"));
        envelope.to_version(SoapVersion::Soap12);
        let again = envelope.fault().unwrap();
        assert_eq!(
            (again.code, &*again.reason, again.role.as_deref()),
            (fault.code, "no", Some("urn:me"))
        );
    }

    #[test]
    fn a_fault_changes_its_version_and_back() {
        let mut envelope = soap(FAULT11).unwrap();
        envelope.to_version(SoapVersion::Soap12);
        check(
            &envelope,
            r#"<s:Envelope xmlns:s="12"><s:Body><s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text xml:lang="en">no</s:Text></s:Reason><s:Role>urn:me</s:Role><s:Detail><why>because</why></s:Detail></s:Fault></s:Body></s:Envelope>"#,
        );
        envelope.to_version(SoapVersion::Soap11);
        check(
            &envelope,
            r#"<s:Envelope xmlns:s="11"><s:Body><s:Fault><faultcode>s:Server</faultcode><faultstring>no</faultstring><faultactor>urn:me</faultactor><detail><why>because</why></detail></s:Fault></s:Body></s:Envelope>"#,
        );
    }

    #[test]
    fn a_code_of_ones_own_stays() {
        let mut envelope = soap(
            "<s:Body><s:Fault><faultcode>OUT</faultcode><faultstring>x</faultstring></s:Fault></s:Body>",
        )
        .unwrap();
        assert_eq!(envelope.fault().unwrap().code, None);
        envelope.to_version(SoapVersion::Soap12);
        assert_eq!(envelope.fault().unwrap().own_code.as_deref(), Some("OUT"));
        assert!(
            envelope
                .tree
                .to_text(envelope.root())
                .contains("<s:Subcode><s:Value>OUT</s:Value></s:Subcode>")
        );
    }

    #[test]
    fn header_blocks_keep_their_soap_attributes_in_the_other_version() {
        let parts =
            "<s:Header><h s:mustUnderstand='1' s:actor='urn:next' own='1'/></s:Header><s:Body><a/></s:Body>";
        let mut envelope = soap(parts).unwrap();
        envelope.to_version(SoapVersion::Soap12);
        check(
            &envelope,
            r#"<s:Envelope xmlns:s="12"><s:Header><h s:mustUnderstand="1" s:role="urn:next" own="1"/></s:Header><s:Body><a/></s:Body></s:Envelope>"#,
        );
    }
}
