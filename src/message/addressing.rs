//! Where a message goes and comes from: Synapse's `To`, `From`, `Action` …, kept beside the envelope.

use super::soap::Envelope;
use super::xml::{NodeId, XmlTree};
use std::sync::Arc;

/// WS-Addressing 1.0, and the submission before it.
pub const FINAL: &str = "http://www.w3.org/2005/08/addressing";
pub const SUBMISSION: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addressing {
    pub to: Option<Arc<str>>,
    pub from: Option<Arc<str>>,
    pub reply_to: Option<Arc<str>>,
    pub fault_to: Option<Arc<str>>,
    pub relates_to: Option<Arc<str>>,
    /// WS-Addressing's action; what `get-property('Action')` reads.
    pub action: Option<Arc<str>>,
    pub soap_action: Option<Arc<str>>,
    pub message_id: Option<Arc<str>>,
    /// Who says `to`.
    pub to_by: By,
    /// The message's own headers were looked at.
    pub looked_at: bool,
    /// The header blocks of which something was read, by name and text.
    read: Vec<(&'static str, Arc<str>)>,
    /// What a step has set, a bit each: what the headers say comes too late for these.
    set: u8,
}

/// Who says where a message goes. Whoever sends a message could make the gateway call any host if its own word were taken for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The request line, or a step.
    #[default]
    Gateway,
    /// The header `wsa:To` of the message.
    Sender,
    /// The headers `wsa:ReplyTo` or `wsa:FaultTo`: nothing is ever sent there.
    SenderForAnswers,
}

/// One of the six names that `header` and `get-property` know without a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    To,
    From,
    ReplyTo,
    FaultTo,
    RelatesTo,
    Action,
}

impl Field {
    pub const NAMES: &'static [&'static str] = &["To", "From", "Action", "FaultTo", "ReplyTo", "RelatesTo"];

    pub fn named(name: &str) -> Option<Field> {
        Some(match name {
            "To" => Field::To,
            "From" => Field::From,
            "ReplyTo" => Field::ReplyTo,
            "FaultTo" => Field::FaultTo,
            "RelatesTo" => Field::RelatesTo,
            "Action" => Field::Action,
            _ => return None,
        })
    }
}

impl Addressing {
    pub fn get(&self, field: Field) -> Option<&str> {
        match field {
            Field::To => self.to.as_deref(),
            Field::From => self.from.as_deref(),
            Field::ReplyTo => self.reply_to.as_deref(),
            Field::FaultTo => self.fault_to.as_deref(),
            Field::RelatesTo => self.relates_to.as_deref(),
            // A message without WS-Addressing says its action in the SOAPAction header alone.
            Field::Action => self.action.as_deref().or(self.soap_action.as_deref()),
        }
    }

    pub fn set(&mut self, field: Field, value: Option<Arc<str>>) {
        self.set |= field.bit();
        match field {
            Field::To => {
                self.to = value;
                self.to_by = By::Gateway;
            }
            Field::From => self.from = value,
            Field::ReplyTo => self.reply_to = value,
            Field::FaultTo => self.fault_to = value,
            Field::RelatesTo => self.relates_to = value,
            Field::Action => {
                self.soap_action.clone_from(&value);
                self.action = value;
            }
        }
    }

    /// The answer goes where the sender wants answers, or faults: said in `To`, as in Synapse, and no destination.
    pub fn turn_to_sender(&mut self, fault: bool) {
        let faults = self.fault_to.clone().filter(|_| fault);
        self.to = faults.or_else(|| self.reply_to.clone());
        self.to_by = By::SenderForAnswers;
        self.set |= Field::To.bit();
    }

    /// Whether a step has said where the message goes.
    pub fn has_target(&self) -> bool {
        self.set & Field::To.bit() != 0
    }

    /// Takes over what the WS-Addressing headers of the message say, except where a step has set something else. A header that is there twice says
    /// nothing.
    pub fn read(&mut self, envelope: &Envelope) {
        self.looked_at = true;
        let Some(header) = envelope.header() else {
            return;
        };
        let tree = envelope.tree();
        let present = NAMES.iter().filter_map(|name| {
            let block = block(tree, header, name)?;
            Some((*name, Arc::from(tree.string_value(block))))
        });
        self.read = present.collect();
        let text = |local: &str| block(tree, header, local).and_then(|block| said(tree, block));
        let address = |local: &str| {
            let block = block(tree, header, local)?;
            said(tree, tree.find_child(block, tree.namespace(block), "Address")?)
        };
        let free = |field: Field| self.set & field.bit() == 0;
        if free(Field::To)
            && let Some(to) = text("To")
        {
            self.to = Some(to);
            self.to_by = By::Sender;
        }
        if free(Field::From) {
            self.from = address("From");
        }
        if free(Field::ReplyTo) {
            self.reply_to = address("ReplyTo");
        }
        if free(Field::FaultTo) {
            self.fault_to = address("FaultTo");
        }
        if free(Field::RelatesTo) {
            self.relates_to = text("RelatesTo");
        }
        if free(Field::Action)
            && let Some(action) = text("Action")
        {
            // An unset SOAPAction takes this one, as in Synapse.
            self.soap_action.get_or_insert_with(|| Arc::clone(&action));
            self.action = Some(action);
        }
        if let Some(id) = text("MessageID") {
            self.message_id.get_or_insert(id);
        }
    }
}

/// What WS-Addressing says in headers.
const NAMES: [&str; 7] = [
    "To",
    "From",
    "ReplyTo",
    "FaultTo",
    "RelatesTo",
    "Action",
    "MessageID",
];

impl Addressing {
    /// Whether headers of the message were read, which were about its way to here.
    pub fn has_read(&self) -> bool {
        !self.read.is_empty()
    }

    /// Takes those headers out of the envelope; what a step has put there since stays.
    pub fn take_out(&self, envelope: &mut Envelope) {
        let Some(header) = envelope.header() else {
            return;
        };
        let tree = &mut envelope.tree;
        let was_read = |(name, text): &(&'static str, Arc<str>)| {
            let block = block(tree, header, name)?;
            (tree.string_value(block) == **text).then_some(block)
        };
        let blocks: Vec<NodeId> = self.read.iter().filter_map(was_read).collect();
        for block in blocks {
            tree.detach(block);
        }
    }
}

impl Field {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The one header block of WS-Addressing with this name that is meant for us.
fn block(tree: &XmlTree, header: NodeId, local: &str) -> Option<NodeId> {
    let envelope = tree.namespace(header);
    let mut blocks = tree.child_elements(header).filter(|block| {
        let ours = |role: Option<&str>| {
            role.is_none_or(|role| {
                role.is_empty() || role.ends_with("/next") || role.ends_with("/ultimateReceiver")
            })
        };
        [FINAL, SUBMISSION].contains(&tree.namespace(*block))
            && tree.local_name(*block) == local
            && ours(tree.attribute(*block, envelope, "actor"))
            && ours(tree.attribute(*block, envelope, "role"))
    });
    let first = blocks.next()?;
    blocks.next().is_none().then_some(first)
}

fn said(tree: &XmlTree, node: NodeId) -> Option<Arc<str>> {
    let text = tree.string_value(node);
    let text = text.trim();
    (!text.is_empty()).then(|| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::xml::XmlLimits;

    fn read(addressing: &mut Addressing, blocks: &str) {
        let text = format!(
            r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:w="{FINAL}" xmlns:o="{SUBMISSION}"><e:Header>{blocks}</e:Header><e:Body/></e:Envelope>"#
        );
        let tree = XmlTree::parse_str(&text, &XmlLimits::default()).expect("XML");
        addressing.read(&Envelope::from_soap(tree).expect("an envelope"));
    }

    fn check(blocks: &str, expected: &str) {
        let mut addressing = Addressing::default();
        read(&mut addressing, blocks);
        let mut all: Vec<String> = Vec::new();
        for (name, value) in [
            ("to", &addressing.to),
            ("from", &addressing.from),
            ("reply", &addressing.reply_to),
            ("fault", &addressing.fault_to),
            ("relates", &addressing.relates_to),
            ("action", &addressing.action),
            ("soap", &addressing.soap_action),
            ("id", &addressing.message_id),
        ] {
            all.extend(value.as_deref().map(|value| format!("{name}={value}")));
        }
        assert_eq!(all.join(" "), expected, "{blocks}");
    }

    #[test]
    fn both_versions_are_read() {
        check(
            "<w:To> http://h/ </w:To><w:From><w:Address>f</w:Address></w:From><w:ReplyTo><w:Address>r</w:Address></w:ReplyTo><w:FaultTo><w:Address>x</w:Address></w:FaultTo><w:RelatesTo>q</w:RelatesTo><w:Action>urn:a</w:Action><w:MessageID>i</w:MessageID>",
            "to=http://h/ from=f reply=r fault=x relates=q action=urn:a soap=urn:a id=i",
        );
        check(
            "<o:To>http://h/</o:To><o:ReplyTo><o:Address>r</o:Address></o:ReplyTo>",
            "to=http://h/ reply=r",
        );
    }

    #[test]
    fn what_is_said_twice_or_to_somebody_else_is_not_heard() {
        check("<w:To>http://a/</w:To><w:To>http://b/</w:To>", "");
        check("<w:To>http://a/</w:To><o:To>http://b/</o:To>", "");
        check(r#"<w:To e:actor="urn:other">http://a/</w:To>"#, "");
        check(
            r#"<w:To e:actor="http://schemas.xmlsoap.org/soap/actor/next">http://a/</w:To><x xmlns="urn:x"/>"#,
            "to=http://a/",
        );
        check("<w:ReplyTo>r</w:ReplyTo><w:Action/>", "");
    }

    #[test]
    fn what_a_step_has_set_stays() {
        let mut addressing = Addressing::default();
        addressing.set(Field::To, Some("http://own/".into()));
        addressing.set(Field::ReplyTo, None);
        read(
            &mut addressing,
            "<w:To>http://h/</w:To><w:ReplyTo><w:Address>r</w:Address></w:ReplyTo>",
        );
        assert_eq!(
            (addressing.to.as_deref(), addressing.to_by, addressing.reply_to),
            (Some("http://own/"), By::Gateway, None)
        );
    }

    #[test]
    fn where_a_sender_wants_its_answers_is_known_for_what_it_is() {
        let mut addressing = Addressing::default();
        read(
            &mut addressing,
            "<w:To>http://h/</w:To><w:FaultTo><w:Address>x</w:Address></w:FaultTo>",
        );
        assert_eq!(addressing.to_by, By::Sender);
        addressing.turn_to_sender(true);
        assert_eq!(
            (addressing.to.as_deref(), addressing.to_by),
            (Some("x"), By::SenderForAnswers)
        );
    }
}
