//! Building a tree for the parser, which makes nodes in document order.

use super::table::{NameId, Symbol};
use super::{Content, Kind, NONE, NOTHING, NodeId, XmlTree};

impl XmlTree {
    pub(in crate::message::xml) fn intern_uri(&mut self, uri: &str) -> Symbol {
        self.names.intern_symbol(uri)
    }

    pub(in crate::message::xml) fn intern_name(&mut self, prefix: &str, local: &str, uri: Symbol) -> NameId {
        self.names.intern(prefix, local, uri)
    }

    #[inline]
    pub(in crate::message::xml) fn add_element(&mut self, parent: NodeId, name: NameId) -> NodeId {
        let node = self.make(Kind::Element, name, NOTHING);
        self.add(parent, node);
        node
    }

    /// Adds an attribute behind another one of the same element (or as the first), without looking for it again.
    pub(in crate::message::xml) fn add_beside(
        &mut self,
        element: NodeId,
        last: Option<NodeId>,
        kind: Kind,
        name: (&str, &str, Symbol),
        value: &str,
    ) -> NodeId {
        let name = self.names.intern(name.0, name.1, name.2);
        let content = self.keep(value);
        let node = self.make(kind, name, content);
        self.nodes[node.index()].parent = element.0;
        match last {
            Some(last) => {
                self.nodes[node.index()].previous = last.0;
                self.nodes[last.index()].next = node.0;
            }
            None => self.nodes[element.index()].content.2 = node.0,
        }
        node
    }

    pub(in crate::message::xml) fn add_text(&mut self, parent: NodeId, value: &str) {
        if value.is_empty() {
            return;
        }
        // Text and CDATA sections side by side are one text.
        if let Some(last) = self
            .last_child(parent)
            .filter(|&last| self.kind(last) == Kind::Text)
        {
            let Content(start, length, _) = self.node(last).content;
            if (start + length) as usize == self.text.len() {
                self.keep(value);
                self.nodes[last.index()].content.1 += value.len() as u32;
                return;
            }
        }
        let content = self.keep(value);
        let node = self.make(Kind::Text, NameId::NONE, content);
        self.add(parent, node);
    }

    pub(in crate::message::xml) fn add_other(
        &mut self,
        parent: NodeId,
        kind: Kind,
        target: &str,
        value: &str,
    ) {
        let name = if target.is_empty() {
            NameId::NONE
        } else {
            self.names.intern("", target, Symbol::EMPTY)
        };
        let content = self.keep(value);
        let node = self.make(kind, name, content);
        self.add(parent, node);
    }

    #[inline]
    fn add(&mut self, parent: NodeId, child: NodeId) {
        let last = self.nodes[parent.index()].content.1;
        let node = &mut self.nodes[child.index()];
        (node.parent, node.previous) = (parent.0, last);
        self.nodes[parent.index()].content.1 = child.0;
        match last {
            NONE => self.nodes[parent.index()].content.0 = child.0,
            last => self.nodes[last as usize].next = child.0,
        }
    }

    pub(in crate::message::xml) fn trim(&mut self) {
        if self.nodes.capacity() > self.nodes.len() + self.nodes.len() / 4 {
            self.nodes.shrink_to_fit();
        }
        if self.text.capacity() > self.text.len() + self.text.len() / 4 {
            self.text.shrink_to_fit();
        }
    }
}
