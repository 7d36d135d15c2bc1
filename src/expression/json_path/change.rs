//! Changes a document at the places a path finds.

use std::fmt;

use super::evaluate::{self, Stop};
use super::{FindError, JsonPath, Token};
use crate::message::json::Json;

/// The way from the root of a document to one value in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Index(usize),
    Key(String),
}

impl JsonPath {
    /// Where in the document the path's values are; none when something is missing.
    pub fn locations(&self, json: &Json) -> Result<Vec<Location>, FindError> {
        if self
            .path
            .tokens
            .iter()
            .any(|token| matches!(token, Token::Function(_)))
        {
            return Err(FindError {
                message: "what a function gives has no place in the document".to_owned(),
            });
        }
        match evaluate::places(&self.path, json) {
            Ok(places) => {
                let mut locations: Vec<Location> = places.into_iter().map(Location).collect();
                let mut seen = std::collections::HashSet::new();
                locations.retain(|location| seen.insert(location.clone()));
                Ok(locations)
            }
            Err(Stop::Missing) => Ok(Vec::new()),
            Err(broken) => Err(broken.into()),
        }
    }

    /// Puts `value` at every place; says how many there were. Nothing is created.
    pub fn set(&self, json: &mut Json, value: &Json) -> Result<usize, FindError> {
        self.change(json, |json, location| match location.target(json) {
            Some(target) => {
                *target = value.clone();
                true
            }
            None => false,
        })
    }

    /// Adds `value` to every array that is found, and the members of `value` to every object.
    /// What is neither is left alone and not counted.
    pub fn insert_child(&self, json: &mut Json, value: &Json) -> Result<usize, FindError> {
        self.change(json, |json, location| match (location.target(json), value) {
            (Some(Json::Array(items)), value) => {
                items.push(value.clone());
                true
            }
            (Some(Json::Object(members)), Json::Object(new)) => {
                members.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
                true
            }
            _ => false,
        })
    }

    /// Puts `value` behind every array element that is found; beside a member, its own members are added.
    pub fn insert_sibling(&self, json: &mut Json, value: &Json) -> Result<usize, FindError> {
        self.change(json, |json, location| {
            let Some((parent, last)) = location.parent(json) else {
                return false;
            };
            match (parent, last, value) {
                (Json::Array(items), Segment::Index(index), value) if *index < items.len() => {
                    items.insert(index + 1, value.clone());
                    true
                }
                (Json::Object(members), Segment::Key(_), Json::Object(new)) => {
                    members.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
                    true
                }
                _ => false,
            }
        })
    }

    /// Takes away everything that is found; the whole document becomes null.
    pub fn remove(&self, json: &mut Json) -> Result<usize, FindError> {
        self.change(json, |json, location| {
            if location.0.is_empty() {
                *json = Json::Null;
                return true;
            }
            match location.parent(json) {
                Some((Json::Array(items), Segment::Index(index))) if *index < items.len() => {
                    items.remove(*index);
                    true
                }
                Some((Json::Object(members), Segment::Key(key))) => members.shift_remove(key).is_some(),
                _ => false,
            }
        })
    }

    /// Inner and later places first, so that a change never moves a place that is still to come.
    fn change(
        &self,
        json: &mut Json,
        mut change: impl FnMut(&mut Json, &Location) -> bool,
    ) -> Result<usize, FindError> {
        let mut locations = self.locations(json)?;
        locations.sort_unstable();
        Ok(locations
            .iter()
            .rev()
            .filter(|location| change(json, location))
            .count())
    }
}

impl Location {
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    pub fn get<'j>(&self, json: &'j Json) -> Option<&'j Json> {
        self.0
            .iter()
            .try_fold(json, |json, segment| match (segment, json) {
                (Segment::Index(index), Json::Array(items)) => items.get(*index),
                (Segment::Key(key), Json::Object(members)) => members.get(key),
                _ => None,
            })
    }

    pub fn target<'j>(&self, json: &'j mut Json) -> Option<&'j mut Json> {
        target(&self.0, json)
    }

    fn parent<'j, 'l>(&'l self, json: &'j mut Json) -> Option<(&'j mut Json, &'l Segment)> {
        let (last, before) = self.0.split_last()?;
        Some((target(before, json)?, last))
    }
}

fn target<'j>(segments: &[Segment], json: &'j mut Json) -> Option<&'j mut Json> {
    segments
        .iter()
        .try_fold(json, |json, segment| match (segment, json) {
            (Segment::Index(index), Json::Array(items)) => items.get_mut(*index),
            (Segment::Key(key), Json::Object(members)) => members.get_mut(key),
            _ => None,
        })
}

/// As Jayway writes it: `$['a'][0]`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write!(f, "['{key}']"),
        })
    }
}
