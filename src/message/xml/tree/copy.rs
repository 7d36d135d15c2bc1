//! Copying nodes, within a tree or from another one, with the namespaces that they need.

use super::table::{Name, NameId};
use super::{Content, Kind, NOTHING, Node, NodeId, XmlTree};

impl XmlTree {
    /// A copy of a node and everything in it, not yet placed. Of a document, its element is copied.
    pub fn copy(&mut self, node: NodeId) -> NodeId {
        let node = if self.kind(node) == Kind::Document {
            self.document_element().unwrap_or(node)
        } else {
            node
        };
        let needed = self.needed_from_above(node);
        let mut source = node;
        let top = self.copy_shallow(node);
        let mut target = top;
        loop {
            if let Some(child) = self.first_child(source) {
                let copy = self.copy_shallow(child);
                self.append(target, copy);
                (source, target) = (child, copy);
                continue;
            }
            loop {
                if source == node {
                    self.bring(top, needed);
                    return top;
                }
                let parent = self.parent(target);
                if let Some(next) = self.next_sibling(source) {
                    let copy = self.copy_shallow(next);
                    if let Some(parent) = parent {
                        self.append(parent, copy);
                    }
                    (source, target) = (next, copy);
                    break;
                }
                match (self.parent(source), parent) {
                    (Some(above), Some(parent)) => (source, target) = (above, parent),
                    _ => return top,
                }
            }
        }
    }

    /// As `copy`, from another tree. Prefixes that are declared above the node and used in it come along.
    pub fn import(&mut self, other: &XmlTree, node: NodeId) -> NodeId {
        let node = if other.kind(node) == Kind::Document {
            other.document_element().unwrap_or(node)
        } else {
            node
        };
        let mut names = vec![None; other.names.len()];
        let top = self.import_shallow(other, node, &mut names);
        let (mut source, mut target) = (node, top);
        'walk: loop {
            if let Some(child) = other.first_child(source) {
                let copy = self.import_shallow(other, child, &mut names);
                self.append(target, copy);
                (source, target) = (child, copy);
                continue;
            }
            while source != node {
                let parent = self.parent(target);
                if let (Some(next), Some(parent)) = (other.next_sibling(source), parent) {
                    let copy = self.import_shallow(other, next, &mut names);
                    self.append(parent, copy);
                    (source, target) = (next, copy);
                    continue 'walk;
                }
                match (other.parent(source), parent) {
                    (Some(above), Some(parent)) => (source, target) = (above, parent),
                    _ => break 'walk,
                }
            }
            break;
        }
        self.bring(top, other.needed_from_above(node));
        top
    }

    /// The prefixes that are declared above an element and used inside it: by names, or by the value of an `xsi:type`.
    fn needed_from_above(&self, top: NodeId) -> Vec<(String, String)> {
        if !self.is_element(top) || self.parent(top).is_none() {
            return Vec::new();
        }
        let scope = self.namespaces_in_scope(top);
        let own = |prefix: &str| {
            self.declarations(top)
                .any(|declaration| self.local_name(declaration) == prefix)
        };
        let above: Vec<(&str, &str)> = scope.iter().filter(|&(prefix, _)| !own(prefix)).collect();
        let mut used = vec![false; above.len()];
        let mut mark = |prefix: &str, uri: Option<&str>| {
            let found = above
                .iter()
                .position(|&(known, name)| known == prefix && uri.is_none_or(|uri| uri == name));
            if let Some(index) = found {
                used[index] = true;
            }
        };
        let mut last_name = NameId::NONE;
        for element in std::iter::once(top)
            .chain(self.descendants(top))
            .filter(|&node| self.is_element(node))
        {
            if self.node(element).name != last_name {
                last_name = self.node(element).name;
                mark(self.prefix(element), Some(self.namespace(element)));
            }
            for attribute in self.attributes(element) {
                if !self.prefix(attribute).is_empty() {
                    mark(self.prefix(attribute), Some(self.namespace(attribute)));
                    if let Some(prefix) = self.type_prefix(attribute) {
                        mark(prefix, None);
                    }
                }
            }
        }
        above
            .iter()
            .zip(used)
            .filter(|(_, used)| *used)
            .map(|(&(prefix, uri), _)| (prefix.to_string(), uri.to_string()))
            .collect()
    }

    /// The prefix in the value of an `xsi:type` attribute.
    pub(in crate::message::xml) fn type_prefix(&self, attribute: NodeId) -> Option<&str> {
        let is_type = self.local_name(attribute) == "type"
            && self.namespace(attribute) == "http://www.w3.org/2001/XMLSchema-instance";
        if is_type {
            self.value(attribute)
                .trim()
                .split_once(':')
                .map(|(prefix, _)| prefix)
        } else {
            None
        }
    }

    fn bring(&mut self, top: NodeId, needed: Vec<(String, String)>) {
        for (prefix, uri) in needed {
            let name = self.intern("", "", &prefix);
            let Content(start, length, _) = self.keep(&uri);
            let declaration = self.make_loose(Kind::Declaration, name, Content(start, length, 1));
            self.link_beside(top, declaration);
        }
    }

    /// A declaration that came along with a copy is left out when it would say nothing new.
    pub(in crate::message::xml) fn is_brought(&self, declaration: NodeId) -> bool {
        self.node(declaration).content.2 == 1
    }

    fn copy_shallow(&mut self, node: NodeId) -> NodeId {
        let Node {
            kind, name, content, ..
        } = *self.node(node);
        if !kind.has_children() {
            // Values are never changed in place, so that two nodes can share one.
            return self.make_loose(kind, name, content);
        }
        let copy = self.make_loose(Kind::Element, name, NOTHING);
        let beside: Vec<NodeId> = self.beside(node).collect();
        for attribute in beside {
            let attribute = self.copy_shallow(attribute);
            self.link_beside(copy, attribute);
        }
        copy
    }

    fn import_shallow(&mut self, other: &XmlTree, node: NodeId, names: &mut [Option<NameId>]) -> NodeId {
        let Node {
            kind, name, content, ..
        } = *other.node(node);
        let name = match names[name.index()] {
            Some(known) => known,
            None => {
                let Name { prefix, local, uri } = other.names.name(name);
                let known = self.intern(other.symbol(prefix), other.symbol(uri), other.symbol(local));
                names[name.index()] = Some(known);
                known
            }
        };
        if !kind.has_children() {
            let Content(start, length, _) = self.keep(other.span(content));
            return self.make_loose(kind, name, Content(start, length, content.2));
        }
        let copy = self.make_loose(Kind::Element, name, NOTHING);
        for attribute in other.beside(node) {
            let attribute = self.import_shallow(other, attribute, names);
            self.link_beside(copy, attribute);
        }
        copy
    }
}
