//! JSON: values that keep the order of their keys and the digits of their numbers, read under limits.

pub mod convert;
pub(super) mod names;
mod number;
mod read;
mod write;

pub use convert::{ConversionSettings, ConvertError, json_to_xml, xml_to_json};
pub use number::{compare_numbers, java_decimal_text, java_double_text, java_float_text};
pub use read::{JsonError, JsonLimits, parse};
pub use write::{text, write, write_string};

/// A JSON value. Numbers are kept as they were written: `1.10` stays `1.10`.
pub type Json = serde_json::Value;

/// A JSON object; a key that comes twice keeps its first place and its last value.
pub type Object = serde_json::Map<String, Json>;
