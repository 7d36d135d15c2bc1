//! XML: a strict reader, a tree that can be changed, and its way back to text.
//!
//! `reader` turns text into checked events with their places, `tree` keeps a document in one arena,
//! `write` makes text of it again. Nothing here recurses, so that no document is too deep for the stack.

mod build;
mod encoding;
mod names;
mod pieces;
mod reader;
mod tree;
mod values;
mod write;

pub use encoding::{decode_bytes, decode_bytes_as};
pub use names::{
    Namespaces, XML_NAMESPACE, XMLNS_NAMESPACE, continues_name, is_nc_name, is_space, starts_name,
};
pub use reader::{Attribute, Event, Reader, StartTag, Uri, XmlError, XmlLimits, line_and_column};
pub use tree::{Kind, NameTest, NodeId, XmlTree};
pub use write::WriteOptions;
