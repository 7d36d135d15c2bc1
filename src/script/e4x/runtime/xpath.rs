//! XPath asked of XML values (`mc.getXpathResult`): the nodes of a value become a tree, and what is found there is told as nodes of the value.

use super::{ATTRIBUTE, COMMENT, DEPTH, ELEMENT, INSTRUCTION, TEXT, broken, items_of, kind, too_deep, word};
use crate::expression::xpath::{Focus, NoHost, XPath, XPathValue};
use crate::message::xml::{Namespaces, NodeId, XmlTree};
use boa_engine::error::JsNativeError;
use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsResult, JsString, JsValue, js_string};
use std::collections::HashMap;

/// `ask(item, expression, namespaces, wanted)`: what an XPath gives for a node: a list of nodes (or of one other value), or as `wanted` says a `text`,
/// a `number` or a `boolean`.
pub fn ask(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [item, expression, namespaces, wanted] = arguments else {
        return Err(broken());
    };
    let item = item.as_object().ok_or_else(broken)?;
    let expression = expression.to_string(context)?.to_std_string_lossy();
    let mut scope = Namespaces::new();
    for pair in items_of(namespaces, context)? {
        let pair = JsArray::from_object(pair)?;
        let prefix = pair.get(0, context)?.to_string(context)?;
        let uri = pair.get(1, context)?.to_string(context)?;
        scope.bind(prefix.to_std_string_lossy(), uri.to_std_string_lossy());
    }
    let wrong = |message: &str| {
        let message = format!("the XPath `{expression}`: {message}");
        JsNativeError::syntax().with_message(message)
    };
    let compiled = XPath::compile(&expression, &scope).map_err(|error| wrong(&error.message))?;
    let copy = Copy::around(&item, context)?;
    let value = compiled
        .evaluate(&Focus::on(&copy.tree, copy.asked), &mut NoHost)
        .map_err(|error| wrong(&error.message))?;
    let wanted = wanted.to_string(context)?.to_std_string_lossy();
    Ok(match wanted.as_str() {
        "text" => JsString::from(&*value.as_text()).into(),
        "number" => JsValue::from(value.as_number()),
        "boolean" => JsValue::from(value.as_boolean()),
        _ => {
            let found = copy.found(&value);
            JsArray::from_iter(found, context).into()
        }
    })
}

/// The whole of which a node is a part, as a tree, with the way back.
struct Copy {
    tree: XmlTree,
    items: HashMap<NodeId, JsObject>,
    /// Where the question is asked.
    asked: NodeId,
}

impl Copy {
    fn around(item: &JsObject, context: &mut Context) -> JsResult<Copy> {
        let mut top = item.clone();
        while let Some(parent) = top.get(js_string!("parent"), context)?.as_object() {
            top = parent;
        }
        let mut copy = Copy {
            tree: XmlTree::new(),
            items: HashMap::new(),
            asked: NodeId::DOCUMENT,
        };
        copy.items.insert(NodeId::DOCUMENT, top.clone());
        copy.append(NodeId::DOCUMENT, &top, item, 0, context)?;
        Ok(copy)
    }

    fn append(
        &mut self,
        into: NodeId,
        item: &JsObject,
        asked: &JsObject,
        depth: usize,
        context: &mut Context,
    ) -> JsResult<()> {
        if depth > DEPTH {
            return Err(too_deep());
        }
        let mut text = |name: JsString| Ok(word(item, name, context)?.to_std_string_lossy());
        let value: JsResult<String> = text(js_string!("value"));
        let names = [js_string!("prefix"), js_string!("uri"), js_string!("local")];
        let [prefix, uri, local] = names.map(&mut text);
        let (prefix, uri, local) = (prefix?, uri?, local?);
        let node = match kind(item, context)? {
            ELEMENT => self.tree.create_element(&prefix, &uri, &local),
            TEXT | ATTRIBUTE => self.tree.create_text(&value?),
            COMMENT => self.tree.create_comment(&value?),
            INSTRUCTION => self.tree.create_instruction(&local, &value?),
            _ => return Err(broken()),
        };
        self.tree.append(into, node);
        self.note(node, item, asked);
        if !self.tree.is_element(node) {
            return Ok(());
        }
        for declared in items_of(&item.get(js_string!("declarations"), context)?, context)? {
            let declared = JsArray::from_object(declared)?;
            let prefix = declared.get(0, context)?.to_string(context)?;
            let uri = declared.get(1, context)?.to_string(context)?;
            let (prefix, uri) = (prefix.to_std_string_lossy(), uri.to_std_string_lossy());
            self.tree.declare_namespace(node, &prefix, &uri);
        }
        for attribute in items_of(&item.get(js_string!("attributes"), context)?, context)? {
            let mut text = |name: JsString| Ok(word(&attribute, name, context)?.to_std_string_lossy());
            let (prefix, uri): (JsResult<String>, JsResult<String>) =
                (text(js_string!("prefix")), text(js_string!("uri")));
            let (local, value): (JsResult<String>, JsResult<String>) =
                (text(js_string!("local")), text(js_string!("value")));
            let made = self.tree.set_attribute(node, &prefix?, &uri?, &local?, &value?);
            self.note(made, &attribute, asked);
        }
        for child in items_of(&item.get(js_string!("children"), context)?, context)? {
            self.append(node, &child, asked, depth + 1, context)?;
        }
        Ok(())
    }

    fn note(&mut self, node: NodeId, item: &JsObject, asked: &JsObject) {
        if JsObject::equals(item, asked) {
            self.asked = node;
        }
        self.items.insert(node, item.clone());
    }

    fn found(&self, value: &XPathValue<'_>) -> Vec<JsValue> {
        match value {
            XPathValue::Nodes(nodes) => nodes
                .iter()
                .filter_map(|(tree, node)| match node.binding(tree) {
                    Some((_, uri)) => Some(JsString::from(uri).into()),
                    None => self.items.get(&node.node).cloned().map(JsValue::from),
                })
                .collect(),
            XPathValue::Nothing => Vec::new(),
            XPathValue::Number(number) => vec![JsValue::from(*number)],
            XPathValue::Integer(number) => vec![JsValue::from(*number as f64)],
            XPathValue::Boolean(boolean) => vec![JsValue::from(*boolean)],
            XPathValue::Text(text) => vec![JsString::from(&**text).into()],
        }
    }
}
