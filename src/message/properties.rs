//! Values by scope: what a message carries beside its headers and payload.

use super::json::{Json, java_double_text, java_float_text};
use super::xml::{NodeId, XmlTree};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// A property, variable or parameter. The types are those of the `property` and `variable` mediators.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(Arc<str>),
    Boolean(bool),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Json(Arc<Json>),
    Xml(Fragment),
}

/// Nodes of a tree that is not the message's: what `enrich` and `property type="OM"` store.
#[derive(Debug, Clone)]
pub struct Fragment {
    pub tree: Arc<XmlTree>,
    pub nodes: Vec<NodeId>,
}

impl PartialEq for Fragment {
    fn eq(&self, other: &Fragment) -> bool {
        self.text() == other.text()
    }
}

impl Fragment {
    /// One element as text.
    pub fn of_element(tree: XmlTree) -> Fragment {
        let nodes = tree.document_element().into_iter().collect();
        Fragment {
            tree: Arc::new(tree),
            nodes,
        }
    }

    /// Elements as XML, texts and attributes by value, one after the other (`SynapsePath.stringValueOf` of a list).
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            if self.tree.is_element(*node) {
                out.push_str(&self.tree.to_text(*node));
            } else {
                out.push_str(&self.tree.string_value(*node));
            }
        }
        out
    }

    /// The first node that is an element.
    pub fn element(&self) -> Option<NodeId> {
        self.nodes
            .iter()
            .copied()
            .find(|node| self.tree.is_element(*node))
    }
}

impl Value {
    pub fn text(value: impl AsRef<str>) -> Value {
        Value::Text(Arc::from(value.as_ref()))
    }

    /// The value as a string, as Java's `toString` gives it.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Value::Short(value) => Cow::Owned(value.to_string()),
            Value::Integer(value) => Cow::Owned(value.to_string()),
            Value::Long(value) => Cow::Owned(value.to_string()),
            Value::Float(value) => Cow::Owned(java_float_text(*value)),
            Value::Double(value) => Cow::Owned(java_double_text(*value)),
            Value::Json(json) => match &**json {
                Json::String(text) => Cow::Borrowed(text),
                other => Cow::Owned(other.to_string()),
            },
            Value::Xml(fragment) => Cow::Owned(fragment.text()),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Boolean(value) => *value,
            other => other.to_text().eq_ignore_ascii_case("true"),
        }
    }

    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Short(value) => Some(i64::from(*value)),
            Value::Integer(value) => Some(i64::from(*value)),
            Value::Long(value) => Some(*value),
            other => other.to_text().trim().parse().ok(),
        }
    }
}

/// Where a property lives (`scope` attribute, first argument of `get-property`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `default` or `synapse`: follows the message into responses.
    Default,
    /// This message only.
    Axis2,
    Axis2Client,
    /// The HTTP headers.
    Transport,
    /// Shared by request and response of one exchange.
    Operation,
    Registry,
    System,
    Environment,
    File,
    /// Template parameters.
    Function,
    Trace,
    Analytics,
}

impl Scope {
    pub const NAMES: &'static [&'static str] = &[
        "default",
        "synapse",
        "axis2",
        "axis2-client",
        "transport",
        "operation",
        "registry",
        "system",
        "trace",
        "analytics",
    ];

    pub fn named(name: &str) -> Option<Scope> {
        Some(match name {
            "default" | "synapse" => Scope::Default,
            "axis2" => Scope::Axis2,
            "axis2-client" => Scope::Axis2Client,
            "transport" => Scope::Transport,
            "operation" => Scope::Operation,
            "registry" => Scope::Registry,
            "system" => Scope::System,
            "env" => Scope::Environment,
            "file" => Scope::File,
            "func" => Scope::Function,
            "trace" => Scope::Trace,
            "analytics" => Scope::Analytics,
            _ => return None,
        })
    }
}

/// Values by name, in the order they were first set. Exchanges carry a handful, so a list is faster than a hash table.
#[derive(Debug, Clone, Default)]
pub struct Values {
    list: Vec<(Arc<str>, Option<Value>)>,
}

impl Values {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entry(name).and_then(Option::as_ref)
    }

    pub fn set(&mut self, name: impl Into<Arc<str>>, value: Value) {
        self.put(name.into(), Some(value));
    }

    pub fn remove(&mut self, name: &str) {
        self.list.retain(|(known, _)| &**known != name);
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.list
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| (&**name, value)))
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn entry(&self, name: &str) -> Option<&Option<Value>> {
        self.list
            .iter()
            .find(|(known, _)| &**known == name)
            .map(|(_, value)| value)
    }

    fn put(&mut self, name: Arc<str>, value: Option<Value>) {
        match self.list.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, slot)) => *slot = value,
            None => self.list.push((name, value)),
        }
    }
}

/// Properties that follow from the request itself (`uri.var.*`, `REST_METHOD`, axis2 `HTTP_METHOD` …): computed when somebody asks, so that
/// an exchange that asks for none pays for none.
pub trait Known: std::fmt::Debug {
    fn default_scope(&self, name: &str) -> Option<Value>;
    fn axis2(&self, name: &str) -> Option<Value>;
    /// The same for a text that is there and need not be made.
    fn axis2_text(&self, _: &str) -> Option<&str> {
        None
    }
    /// The names `default_scope` knows, for dumps and for http endpoints.
    fn default_names(&self) -> Vec<String>;
}

/// All values of one exchange that are not headers.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    default: Values,
    axis2: Values,
    pub axis2_client: Values,
    pub operation: Values,
    pub variables: Values,
    frames: Vec<Values>,
    known: Option<Rc<dyn Known>>,
    /// Axis2 values that follow from the request are gone once another message took its place.
    axis2_known: bool,
    /// A backend's answer took the place of the request.
    replaced: bool,
}

impl Properties {
    pub fn know(&mut self, known: Rc<dyn Known>) {
        self.known = Some(known);
        self.axis2_known = true;
    }

    /// Default scope.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self.default.entry(name) {
            Some(value) => value.as_ref().map(Cow::Borrowed),
            None => self.known.as_ref()?.default_scope(name).map(Cow::Owned),
        }
    }

    pub fn axis2(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self.axis2.entry(name) {
            Some(value) => value.as_ref().map(Cow::Borrowed),
            None if self.axis2_known => self.known.as_ref()?.axis2(name).map(Cow::Owned),
            None => None,
        }
    }

    /// Nobody has set or removed it: if there is such an axis2 value, it is what the request says.
    pub fn axis2_follows(&self, name: &str) -> bool {
        self.axis2_known && self.axis2.entry(name).is_none()
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.to_text().into_owned())
    }

    pub fn axis2_text(&self, name: &str) -> Option<String> {
        self.axis2_words(name).map(Cow::into_owned)
    }

    /// An axis2 value as text, where it stands.
    pub fn axis2_words(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.axis2.entry(name) {
            Some(value) => value.as_ref().map(Value::to_text),
            None if self.axis2_known => {
                let known = self.known.as_ref()?;
                let there = known.axis2_text(name).map(Cow::Borrowed);
                there.or_else(|| Some(Cow::Owned(known.axis2(name)?.to_text().into_owned())))
            }
            None => None,
        }
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.is_true())
    }

    pub fn axis2_is_true(&self, name: &str) -> bool {
        self.axis2(name).is_some_and(|value| value.is_true())
    }

    pub fn set(&mut self, name: impl Into<Arc<str>>, value: Value) {
        self.default.set(name, value);
    }

    pub fn set_axis2(&mut self, name: impl Into<Arc<str>>, value: Value) {
        self.axis2.set(name, value);
    }

    pub fn remove(&mut self, name: &str) {
        match &self.known {
            // A value that would be computed again needs a mark that it is gone.
            Some(known) if known.default_scope(name).is_some() => self.default.put(Arc::from(name), None),
            _ => self.default.remove(name),
        }
    }

    pub fn remove_axis2(&mut self, name: &str) {
        match &self.known {
            Some(known) if self.axis2_known && known.axis2(name).is_some() => {
                self.axis2.put(Arc::from(name), None)
            }
            _ => self.axis2.remove(name),
        }
    }

    /// Another message took the place of this one: its axis2 properties are its own.
    pub fn forget_axis2(&mut self) {
        self.axis2.clear();
        self.axis2_known = false;
        self.replaced = true;
    }

    /// True until a backend's answer takes the place of the client's request.
    pub fn are_of_the_request(&self) -> bool {
        !self.replaced
    }

    /// What was set in the default scope, without what follows from the request.
    pub fn default_values(&self) -> &Values {
        &self.default
    }

    pub fn axis2_values(&self) -> &Values {
        &self.axis2
    }

    /// All names of the default scope, those that follow from the request included.
    pub fn default_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.default.iter().map(|(name, _)| name.to_owned()).collect();
        if let Some(known) = &self.known {
            names.extend(
                known
                    .default_names()
                    .into_iter()
                    .filter(|name| self.default.entry(name).is_none()),
            );
        }
        names
    }

    /// Enters a template: only these parameters are visible until `leave_template`.
    pub fn enter_template(&mut self, parameters: Values) {
        self.frames.push(parameters);
    }

    pub fn leave_template(&mut self) {
        self.frames.pop();
    }

    /// A parameter of the innermost template; `Err` outside any template.
    pub fn parameter(&self, name: &str) -> Result<Option<&Value>, NoTemplate> {
        self.frames.last().map(|frame| frame.get(name)).ok_or(NoTemplate)
    }
}

/// A template parameter was asked for outside any template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTemplate;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Request;

    impl Known for Request {
        fn default_scope(&self, name: &str) -> Option<Value> {
            (name == "REST_METHOD").then(|| Value::text("GET"))
        }

        fn axis2(&self, name: &str) -> Option<Value> {
            (name == "HTTP_METHOD").then(|| Value::text("GET"))
        }

        fn default_names(&self) -> Vec<String> {
            vec!["REST_METHOD".to_owned()]
        }
    }

    #[test]
    fn a_known_value_can_be_replaced_and_removed() {
        let mut properties = Properties::default();
        properties.know(Rc::new(Request));
        assert_eq!(properties.text("REST_METHOD").as_deref(), Some("GET"));
        properties.remove("REST_METHOD");
        assert_eq!(properties.text("REST_METHOD"), None);
        properties.set("REST_METHOD", Value::text("PUT"));
        assert_eq!(properties.text("REST_METHOD").as_deref(), Some("PUT"));
        assert_eq!(properties.default_names(), ["REST_METHOD"]);
    }

    #[test]
    fn axis2_values_end_with_their_message() {
        let mut properties = Properties::default();
        properties.know(Rc::new(Request));
        properties.set_axis2("HTTP_SC", Value::Integer(404));
        properties.forget_axis2();
        assert_eq!(properties.axis2("HTTP_SC"), None);
        assert_eq!(properties.axis2("HTTP_METHOD"), None);
        assert_eq!(properties.text("REST_METHOD").as_deref(), Some("GET"));
    }

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.5, "0.5"),
            (1e7, "1.0E7"),
            (1.5e-5, "1.5E-5"),
            (123456.7, "123456.7"),
        ] {
            assert_eq!(Value::Double(value).to_text(), text);
        }
    }

    #[test]
    fn only_the_innermost_template_is_visible() {
        let mut properties = Properties::default();
        assert_eq!(properties.parameter("x"), Err(NoTemplate));
        let mut outer = Values::default();
        outer.set("x", Value::text("1"));
        properties.enter_template(outer);
        properties.enter_template(Values::default());
        assert_eq!(properties.parameter("x"), Ok(None));
        properties.leave_template();
        assert_eq!(properties.parameter("x"), Ok(Some(&Value::text("1"))));
    }
}
