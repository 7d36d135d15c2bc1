//! The languages in attributes and texts: XPath, JSONPath and Synapse expressions.

pub mod json_path;
