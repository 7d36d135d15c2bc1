//! One value of the settings: what it is read as, and what is said of one that cannot be.

use super::settings::names;
use crate::text::{Diagnostic, FileId, Mistakes, Placed, Span};
use crate::wire::limits::parse_size;
use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::DeValue;

pub(super) type Limits<'i> = BTreeMap<String, Spanned<DeValue<'i>>>;

/// One key of `myelin.toml` and its value.
pub(super) struct Place<'a, 'i> {
    pub file: FileId,
    pub key: &'a str,
    pub value: &'a Spanned<DeValue<'i>>,
    pub mistakes: &'a mut Mistakes,
}

impl<'a, 'i> Place<'a, 'i> {
    pub fn new(
        file: FileId,
        key: &'a str,
        value: &'a Spanned<DeValue<'i>>,
        mistakes: &'a mut Mistakes,
    ) -> Place<'a, 'i> {
        Place {
            file,
            key,
            value,
            mistakes,
        }
    }

    /// A text, or a list of texts.
    pub fn texts(&mut self) -> Vec<String> {
        let one = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
        let list: Option<Vec<String>> = match self.value.get_ref() {
            DeValue::Array(list) => list.iter().map(one).collect(),
            _ => one(self.value).map(|text| vec![text]),
        };
        if list.is_none() {
            self.tell("this is a text in quotes, or a list of them");
        }
        list.unwrap_or_default()
    }

    /// What was read of it, unless that failed.
    pub fn take<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|reason| self.tell(&reason)).ok()
    }

    /// A text, a number or a switch as it is written, or a list of texts with commas between.
    pub fn read<T>(&mut self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = match self.value.get_ref() {
            DeValue::String(text) => parse(text),
            DeValue::Boolean(value) => parse(if *value { "true" } else { "false" }),
            DeValue::Array(list) => list
                .iter()
                .map(|entry| entry.get_ref().as_str())
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| "this is a list of texts in quotes".to_owned())
                .and_then(|texts| parse(&texts.join(", "))),
            DeValue::Integer(number) => parse(number.as_str()),
            DeValue::Float(number) => parse(number.as_str()),
            other => Err(format!("{} does not fit here", other.type_str())),
        };
        read.map_err(|reason| self.tell(&reason)).ok()
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.tell("this is a text in quotes");
        }
        text
    }

    /// A list of texts, or one text with commas between.
    pub fn words(&mut self) -> Option<Vec<String>> {
        let words = match self.value.get_ref() {
            DeValue::String(text) => Some(text.split(',').collect::<Vec<_>>()),
            DeValue::Array(list) => list.iter().map(|entry| entry.get_ref().as_str()).collect(),
            _ => None,
        };
        if words.is_none() {
            self.tell("this is a list of texts in quotes");
        }
        words.map(names)
    }

    pub fn boolean(&mut self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.tell("this is true or false");
        }
        value
    }

    pub fn tell(&mut self, reason: &str) {
        self.mistakes.push(
            Diagnostic::error(
                "E0110",
                Span::new(self.file, self.value.span()),
                format!("the value of `{}` does not fit", self.key),
            )
            .label(reason),
        );
    }
}

/// A text with its places, where it stands as it is between its quotes.
pub(super) fn inside_quotes(text: &str, span: Span) -> Placed {
    let quotes = (span.range().len().saturating_sub(text.len())) / 2;
    let range = span.range();
    let inside = Span::new(
        span.file,
        range.start + quotes..range.end.saturating_sub(quotes).max(range.start + quotes),
    );
    Placed::verbatim(text, inside)
}

pub(super) fn text_value(text: &str) -> Spanned<DeValue<'static>> {
    Spanned::new(0..0, DeValue::String(Cow::Owned(text.to_owned())))
}

pub(super) fn read_count(value: &Spanned<DeValue<'_>>) -> Result<usize, String> {
    let read = match value.get_ref() {
        DeValue::String(text) => parse_size(text),
        DeValue::Integer(number) => number.as_str().replace('_', "").parse().ok(),
        _ => None,
    };
    read.and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| "this is a number, or a size such as \"10MiB\"".to_owned())
}

/// Whether a struct of limits takes this one value.
pub(super) fn check<'i, T: Deserialize<'i>>(key: &str, value: &Spanned<DeValue<'i>>) -> Result<(), String> {
    let entries = [(key.to_owned(), value.clone())];
    T::deserialize(MapDeserializer::<_, toml::de::Error>::new(entries.into_iter()))
        .map(drop)
        .map_err(|error| error.message().to_owned())
}

pub(super) fn from_entries<'i, T: Deserialize<'i> + Default>(entries: &Limits<'i>) -> T {
    let entries = entries.iter().map(|(key, value)| (key.clone(), value.clone()));
    T::deserialize(MapDeserializer::<_, toml::de::Error>::new(entries)).unwrap_or_default()
}

/// The names a struct is read by, asked of its own `Deserialize`.
pub(super) fn field_names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    struct Asking<'a>(&'a Cell<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for Asking<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("only asking"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.set(fields);
            Err(Self::Error::custom("only asking"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let fields = Cell::new(&[] as &'static [&'static str]);
    drop(T::deserialize(Asking(&fields)));
    fields.get()
}
