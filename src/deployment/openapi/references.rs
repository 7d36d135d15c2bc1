//! References: from a part of a definition to another one.

use super::files::FILES_POINTER;
use super::read::{Node, Value};
use crate::text::Diagnostic;

/// Follows references. Those that lead to other files lead to where `files` has put these.
#[derive(Debug, Clone, Copy)]
pub struct References<'a> {
    root: &'a Node,
}

/// No reference goes by way of more others than this.
const MOST_HOPS: usize = 64;

impl<'a> References<'a> {
    pub fn new(root: &'a Node) -> References<'a> {
        References { root }
    }

    pub fn root(self) -> &'a Node {
        self.root
    }

    /// What a node refers to, or the node itself. What leads nowhere stays as it is: `definition` has told it.
    pub fn resolve<'b>(self, node: &'b Node) -> &'b Node
    where
        'a: 'b,
    {
        let mut at = node;
        for _ in 0..MOST_HOPS {
            let Some(target) = reference(at).and_then(|target| self.find(target)) else {
                break;
            };
            at = target;
        }
        at
    }

    /// The part that a pointer such as `#/components/schemas/Pet` names.
    pub fn find(self, reference: &str) -> Option<&'a Node> {
        let pointer = reference.strip_prefix('#')?;
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
        if pointer.is_empty() {
            return Some(self.root);
        }
        pointer
            .strip_prefix('/')?
            .split('/')
            .try_fold(self.root, |node, step| {
                let step = step.replace("~1", "/").replace("~0", "~");
                match &node.value {
                    Value::List(items) => items.get(step.parse::<usize>().ok()?),
                    _ => node.get(&step),
                }
            })
    }
}

/// What a node refers to instead of saying something itself.
pub fn reference(node: &Node) -> Option<&str> {
    match &node.get("$ref")?.value {
        Value::Text(target) => Some(target),
        _ => None,
    }
}

/// What stands below these is data, whatever it looks like.
const DATA: &[&str] = &["example", "examples", "default", "enum", "const", "value"];

/// Whether references may stand in a member of a part of a definition; the answer says whether that part's own members are names that the author chose
/// (as are this one's with `names`).
pub fn below(name: &str, inner: &Node, names: bool) -> Option<bool> {
    let is_data = !names && (DATA.contains(&name) || name.starts_with("x-"));
    // Named examples may refer to those that are shared.
    let shared = !names && name == "examples" && inner.is_map();
    let chosen = matches!(name, "properties" | "patternProperties" | "examples");
    (!is_data || shared).then_some(!names && chosen)
}

/// Tells every reference that leads nowhere, wherever it stands.
pub fn check_references(root: &Node, references: References<'_>, mistakes: &mut Vec<Diagnostic>) {
    let mut waiting = vec![(root, false)];
    while let Some((node, names)) = waiting.pop() {
        if let Some(target) = node.get("$ref").filter(|_| !names)
            && let Value::Text(text) = &target.value
        {
            mistakes.extend(check_reference(node, target, text, references));
        }
        for (key, inner) in node.entries() {
            waiting.extend(below(&key.name, inner, names).map(|names| (inner, names)));
        }
        waiting.extend(node.items().iter().map(|inner| (inner, false)));
    }
}

fn check_reference(node: &Node, target: &Node, text: &str, references: References<'_>) -> Option<Diagnostic> {
    // What leads to other files has been followed, or told.
    if !text.starts_with('#') || text.starts_with(FILES_POINTER) {
        return None;
    }
    if references.find(text).is_none() {
        let message = format!("`{text}` is not in this file");
        return Some(Diagnostic::error("E0223", target.span, message));
    }
    reference(references.resolve(node))
        .filter(|last| last.starts_with('#') && references.find(last).is_some())
        .map(|_| Diagnostic::error("E0223", target.span, format!("`{text}` refers to itself")))
}
