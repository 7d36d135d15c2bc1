//! One file each: the endpoints, and `ALL`.

mod address;
mod common;
mod default;
mod http;
mod key;
mod key_expression;
pub mod uri_template;

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[
    &key::KIND,
    &key_expression::KIND,
    &address::KIND,
    &http::KIND,
    &default::KIND,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Support;

    /// What the examples do is tested in `deployment::examples`. An attribute whose effect none of them shows is one that nobody has seen work.
    #[test]
    fn the_examples_use_every_attribute_that_has_an_effect() {
        for kind in ALL {
            assert!(!kind.examples.is_empty(), "`{}` has no example", kind.element);
            for attribute in kind
                .attributes
                .iter()
                .filter(|attribute| attribute.support == Support::Full)
            {
                let written = format!("{}=", attribute.name);
                let used = kind
                    .examples
                    .iter()
                    .any(|example| example.config.contains(&written));
                assert!(used, "no example of `{}` uses `{}`", kind.element, attribute.name);
            }
        }
    }
}
