//! Where a message goes and comes from: Synapse's `To`, `From`, `Action` …, kept beside the envelope.

use std::sync::Arc;

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
        match field {
            Field::To => self.to = value,
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
}
