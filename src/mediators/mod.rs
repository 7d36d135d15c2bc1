//! The mediators: one file each, and `ALL`.

mod call;
mod call_template;
mod conditional_router;
mod drop;
mod enrich;
mod filter;
mod header;
mod http_header;
mod r#in;
mod log;
mod loopback;
mod makefault;
pub mod mock;
mod out;
mod pattern;
mod payload_factory;
mod property;
mod property_group;
pub mod prototype;
mod respond;
mod script;
mod send;
mod sequence;
mod switch;
mod template;
mod throw_error;
#[cfg(test)]
mod trial;
mod typed;
mod validate;
mod variable;

use crate::plan::MediatorKind;

/// Every mediator there is, in the order of the reference.
pub static ALL: &[&MediatorKind] = &[
    &call::KIND,
    &call_template::KIND,
    &conditional_router::KIND,
    &drop::KIND,
    &enrich::KIND,
    &filter::KIND,
    &header::KIND,
    &r#in::KIND,
    &log::KIND,
    &loopback::KIND,
    &makefault::KIND,
    &out::KIND,
    &payload_factory::KIND,
    &property::KIND,
    &property_group::KIND,
    &prototype::KIND,
    &respond::KIND,
    &script::KIND,
    &send::KIND,
    &sequence::KIND,
    &switch::KIND,
    &throw_error::KIND,
    &validate::KIND,
    &variable::KIND,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_mediator_is_there_once_with_a_page_and_an_example() {
        let mut names = HashSet::new();
        for kind in ALL {
            assert!(names.insert(kind.element), "<{}> is there twice", kind.element);
            assert!(kind.summary.ends_with('.'), "<{}> has no summary", kind.element);
            assert!(!kind.examples.is_empty(), "<{}> has no example", kind.element);
            for attribute in kind.attributes {
                assert!(!attribute.about.is_empty(), "{}@{}", kind.element, attribute.name);
            }
        }
    }
}
