//! What of a configuration is supported: every element and attribute met, with places.

use super::Support;
use crate::text::Span;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Does what Synapse does.
    Supported,
    /// Accepted, without effect.
    Ignored,
    /// Refused, or not in effect yet.
    NotSupported,
}

#[derive(Debug, Default, Clone)]
pub struct Compat {
    /// `element` or `element@attribute` to its standing, a remark, and where it was met.
    pub rows: BTreeMap<String, Row>,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub standing: Standing,
    pub remark: &'static str,
    pub places: Vec<Span>,
}

impl Compat {
    pub fn met(&mut self, what: String, support: Support, span: Span) {
        let (standing, remark) = match support {
            Support::Full => (Standing::Supported, ""),
            Support::Ignored(why) => (Standing::Ignored, why),
            Support::NotYet(what) | Support::Refused(what) => (Standing::NotSupported, what),
        };
        let row = self.rows.entry(what).or_insert_with(|| Row {
            standing,
            remark,
            places: Vec::new(),
        });
        row.standing = row.standing.max(standing);
        if row.remark.is_empty() {
            row.remark = remark;
        }
        row.places.push(span);
    }

    /// Occurrences that are supported, and all occurrences.
    pub fn share(&self) -> (usize, usize) {
        let all = self.rows.values().map(|row| row.places.len()).sum();
        let supported = self
            .rows
            .values()
            .filter(|row| row.standing == Standing::Supported)
            .map(|row| row.places.len())
            .sum();
        (supported, all)
    }
}
