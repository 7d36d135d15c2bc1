//! Walks a document along a path.

use std::borrow::Cow;

use super::change::Segment;
use super::{FindError, Found, Path, Token};
use crate::message::json::{Json, Object};

/// Why a walk ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something that the path needs is not there.
    Missing,
    /// The path cannot be applied to what is there.
    Broken(&'static str),
}

impl Stop {
    pub(super) fn broken(reason: &'static str) -> Stop {
        Stop::Broken(reason)
    }
}

impl From<Stop> for FindError {
    fn from(stop: Stop) -> FindError {
        let message = match stop {
            Stop::Missing => "there is nothing at this path".to_owned(),
            Stop::Broken(reason) => reason.to_owned(),
        };
        FindError { message }
    }
}

pub(super) fn find<'j>(path: &Path, json: &'j Json) -> Result<Found<'j>, FindError> {
    match results(path, json, json, false) {
        Ok(Results::One(value)) => Ok(Found::One(value)),
        Ok(Results::Many(values)) => Ok(Found::Many(values)),
        Err(Stop::Missing) => Ok(Found::Missing),
        Err(broken) => Err(broken.into()),
    }
}

/// The result as one value; that of an indefinite path is an array.
pub(super) fn value<'j>(path: &Path, item: &'j Json, root: &'j Json) -> Result<Cow<'j, Json>, Stop> {
    results(path, item, root, false).map(|results| match results {
        Results::One(value) => value,
        Results::Many(values) => Cow::Owned(values.into_iter().map(Cow::into_owned).collect()),
    })
}

/// Whether a filter's bare path holds: here a missing member anywhere means no.
pub(super) fn exists(path: &Path, item: &Json, root: &Json) -> Result<bool, Stop> {
    match results(path, item, root, true) {
        Ok(_) => Ok(true),
        Err(Stop::Missing) => Ok(false),
        Err(broken) => Err(broken),
    }
}

/// The places of what a path finds, in the order of the document.
pub(super) fn places(path: &Path, json: &Json) -> Result<Vec<Vec<Segment>>, Stop> {
    let mut walk = Walk {
        path,
        root: json,
        strict: false,
        found: Vec::new(),
        trail: Some(Trail::default()),
    };
    walk.step(0, json)?;
    Ok(walk.trail.map(|trail| trail.found).unwrap_or_default())
}

/// The element of an array, counted from the end when the index is negative.
pub(super) fn element(items: &[Json], index: i64) -> Option<&Json> {
    items.get(position(items.len(), index)?)
}

fn position(length: usize, index: i64) -> Option<usize> {
    let index = if index < 0 {
        i64::try_from(length).ok()? + index
    } else {
        index
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

enum Results<'j> {
    One(Cow<'j, Json>),
    Many(Vec<Cow<'j, Json>>),
}

fn results<'j>(path: &Path, item: &'j Json, root: &'j Json, strict: bool) -> Result<Results<'j>, Stop> {
    let start = if path.from_root { root } else { item };
    if let Some(plain) = plain(path, start) {
        return plain.map(|value| Results::One(Cow::Borrowed(value)));
    }
    let mut walk = Walk {
        path,
        root,
        strict,
        found: Vec::new(),
        trail: None,
    };
    walk.step(0, start)?;
    if path.is_definite() {
        return walk.found.pop().map(Results::One).ok_or(Stop::Missing);
    }
    Ok(Results::Many(walk.found))
}

/// The short way for paths of names and indices alone, which most are.
fn plain<'j>(path: &Path, start: &'j Json) -> Option<Result<&'j Json, Stop>> {
    let mut model = start;
    for token in &path.tokens {
        let next = match (token, model) {
            (Token::Property(name), Json::Object(members)) => members.get(name),
            (Token::Index(index), Json::Array(items)) => element(items, *index),
            (Token::Property(_) | Token::Index(_), _) => None,
            _ => return None,
        };
        match next {
            Some(next) => model = next,
            None => {
                let plain = |token: &Token| matches!(token, Token::Property(_) | Token::Index(_));
                return path.tokens.iter().all(plain).then_some(Err(Stop::Missing));
            }
        }
    }
    Some(Ok(model))
}

struct Walk<'j, 'p> {
    path: &'p Path,
    root: &'j Json,
    /// Jayway's REQUIRE_PROPERTIES: what is missing is never passed over.
    strict: bool,
    found: Vec<Cow<'j, Json>>,
    trail: Option<Trail>,
}

#[derive(Default)]
struct Trail {
    here: Vec<Segment>,
    found: Vec<Vec<Segment>>,
}

impl<'j> Walk<'j, '_> {
    fn step(&mut self, at: usize, model: &'j Json) -> Result<(), Stop> {
        let Some(token) = self.path.tokens.get(at) else {
            return self.add(Cow::Borrowed(model));
        };
        // Before anything indefinite a mismatch ends the walk, after it the mismatch is passed over.
        let mismatch = if at <= self.path.definite {
            Err(Stop::Missing)
        } else {
            Ok(())
        };
        match (token, model) {
            (Token::Property(name), Json::Object(members)) => self.member(at, members, name),
            (Token::Properties(names), Json::Object(members)) => self.members(at, members, names),
            (Token::Property(_) | Token::Properties(_), _) => mismatch,
            (Token::Wildcard, Json::Object(members)) => members
                .iter()
                .try_for_each(|(key, member)| self.enter(at, || Segment::Key(key.clone()), member)),
            (Token::Wildcard, Json::Array(items)) => self.range(at, items, 0, items.len() as i64),
            (Token::Wildcard, _) => Ok(()),
            (Token::Index(index), Json::Array(items)) => self.range(at, items, *index, index + 1),
            (Token::Indexes(indexes), Json::Array(items)) => indexes
                .iter()
                .try_for_each(|index| self.range(at, items, *index, index + 1)),
            (Token::Slice { from, to }, Json::Array(items)) => self.slice(at, items, *from, *to),
            (Token::Index(_) | Token::Indexes(_) | Token::Slice { .. }, _) => mismatch,
            (Token::Filter(filter), Json::Object(_)) => {
                if filter.accepts(model, self.root)? {
                    self.step(at + 1, model)
                } else {
                    Ok(())
                }
            }
            (Token::Filter(filter), Json::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if filter.accepts(item, self.root)? {
                        self.enter(at, || Segment::Index(index), item)?;
                    }
                }
                Ok(())
            }
            (Token::Filter(_), _) if at <= self.path.definite => {
                Err(Stop::broken("a filter cannot be applied to a single value"))
            }
            (Token::Filter(_), _) => Ok(()),
            (Token::Scan, _) => self.scan(at + 1, model),
            (Token::Function(call), _) => {
                let result = call.invoke(model, self.root)?;
                self.after_function(at + 1, result)
            }
        }
    }

    fn member(&mut self, at: usize, members: &'j Object, name: &str) -> Result<(), Stop> {
        match members.get(name) {
            Some(member) => self.enter(at, || Segment::Key(name.to_owned()), member),
            None if self.strict => Err(Stop::Missing),
            None if at + 1 < self.path.tokens.len() && at < self.path.definite => Err(Stop::Missing),
            None => Ok(()),
        }
    }

    fn members(&mut self, at: usize, members: &'j Object, names: &[String]) -> Result<(), Stop> {
        if at + 1 < self.path.tokens.len() || self.trail.is_some() {
            return names.iter().try_for_each(|name| self.member(at, members, name));
        }
        let mut merged = Object::new();
        for name in names {
            match members.get(name) {
                Some(member) => {
                    merged.insert(name.clone(), member.clone());
                }
                None if self.strict => return Err(Stop::Missing),
                None => {}
            }
        }
        self.add(Cow::Owned(Json::Object(merged)))
    }

    fn slice(
        &mut self,
        at: usize,
        items: &'j [Json],
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<(), Stop> {
        let length = items.len() as i64;
        match (from, to) {
            (Some(from), None) => {
                let from = if from < 0 { length + from } else { from };
                self.range(at, items, from.max(0), length)
            }
            // With both ends Jayway does not count from the end first: [-2:2] runs -2, -1, 0, 1.
            (Some(from), Some(to)) => self.range(at, items, from.max(-length), to.min(length)),
            (None, to) => {
                let to = to.unwrap_or(length);
                self.range(at, items, 0, if to < 0 { length + to } else { to }.min(length))
            }
        }
    }

    fn range(&mut self, at: usize, items: &'j [Json], from: i64, to: i64) -> Result<(), Stop> {
        for index in from..to {
            if let Some(position) = position(items.len(), index) {
                self.enter(at, || Segment::Index(position), &items[position])?;
            }
        }
        Ok(())
    }

    fn scan(&mut self, target: usize, model: &'j Json) -> Result<(), Stop> {
        if !matches!(model, Json::Object(_) | Json::Array(_)) {
            return Ok(());
        }
        if self.is_target(target, model)? {
            self.step(target, model)?;
        }
        match model {
            Json::Object(members) => {
                for (key, member) in members {
                    if matches!(member, Json::Object(_) | Json::Array(_)) {
                        self.push(|| Segment::Key(key.clone()));
                        self.scan(target, member)?;
                        self.pop();
                    }
                }
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if matches!(item, Json::Object(_) | Json::Array(_)) {
                        self.push(|| Segment::Index(index));
                        self.scan(target, item)?;
                        self.pop();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Which of the values that `..` passes get the token after it.
    fn is_target(&self, target: usize, model: &Json) -> Result<bool, Stop> {
        Ok(match (self.path.tokens.get(target), model) {
            (Some(Token::Property(name)), Json::Object(members)) => members.contains_key(name),
            (Some(Token::Properties(names)), Json::Object(members)) => {
                target + 1 < self.path.tokens.len() || names.iter().all(|name| members.contains_key(name))
            }
            (Some(Token::Index(_) | Token::Indexes(_) | Token::Slice { .. }), Json::Array(_)) => true,
            (Some(Token::Wildcard), _) => true,
            (Some(Token::Filter(filter)), _) => filter.accepts(model, self.root)?,
            _ => false,
        })
    }

    fn enter(&mut self, at: usize, segment: impl FnOnce() -> Segment, child: &'j Json) -> Result<(), Stop> {
        self.push(segment);
        let result = self.step(at + 1, child);
        self.pop();
        result
    }

    fn after_function(&mut self, at: usize, result: Json) -> Result<(), Stop> {
        if at == self.path.tokens.len() {
            return self.add(Cow::Owned(result));
        }
        let rest = Path::new(self.path.tokens[at..].to_vec(), true);
        let values = match results(&rest, &result, &result, self.strict)? {
            Results::One(value) => vec![value],
            Results::Many(values) => values,
        };
        self.found
            .extend(values.into_iter().map(|value| Cow::Owned(value.into_owned())));
        Ok(())
    }

    fn add(&mut self, value: Cow<'j, Json>) -> Result<(), Stop> {
        match &mut self.trail {
            Some(trail) => trail.found.push(trail.here.clone()),
            None => self.found.push(value),
        }
        Ok(())
    }

    fn push(&mut self, segment: impl FnOnce() -> Segment) {
        if let Some(trail) = &mut self.trail {
            trail.here.push(segment());
        }
    }

    fn pop(&mut self) {
        if let Some(trail) = &mut self.trail {
            trail.here.pop();
        }
    }
}
