//! One file each: the endpoints, and `ALL`.

mod address;
mod around;
mod authentication;
mod common;
mod default;
mod dynamic;
mod failover;
mod group;
mod http;
mod key;
mod key_expression;
mod keytype;
mod lambda;
mod leaf;
mod loadbalance;
mod member;
mod recipientlist;
mod session;
mod states;
mod template;
mod tls;
pub mod uri_template;
mod wsdl;

use crate::plan::EndpointKind;

/// Every endpoint, in the order of the reference.
pub static ALL: &[&EndpointKind] = &[
    &key::KIND,
    &key_expression::KIND,
    &template::KIND,
    &keytype::KIND,
    &address::KIND,
    &http::KIND,
    &wsdl::KIND,
    &default::KIND,
    &dynamic::KIND,
    &failover::KIND,
    &loadbalance::KIND,
    &recipientlist::KIND,
    &lambda::KIND,
];

#[cfg(test)]
mod group_tests;

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

/// What is told of endpoints that are wrong, and of those that are right and odd.
#[cfg(test)]
mod mistakes {
    use super::ALL;
    use crate::plan::{Kinds, testing};

    fn check(endpoint: &str, expected: &[&str]) {
        let kinds = Kinds {
            mediators: &[],
            endpoints: ALL,
        };
        let beside = r#"<endpoint name="orders"><address uri="http://backend/orders"/></endpoint>"#;
        let planned = testing::endpoint(kinds, endpoint, beside);
        assert_eq!(planned.told(), expected, "for {endpoint}");
    }

    #[test]
    fn addresses_are_looked_at_when_they_are_loaded() {
        check(
            r#"<endpoint><address uri="jms:/queue"/></endpoint>"#,
            &["E0507 2:25 there is no transport for `jms:` addresses"],
        );
        check(
            r#"<endpoint><address uri="localhost/a"/></endpoint>"#,
            &["E0305 2:25 `localhost/a` is not an address that can be called"],
        );
        check(
            r#"<endpoint><address uri="http://h:x/"/></endpoint>"#,
            &["E0305 2:25 `http://h:x/` is not an address that can be called: its host or port is not valid"],
        );
        check(
            r#"<endpoint><address uri="backend:8080/a"/></endpoint>"#,
            &["E0305 2:25 `backend:8080/a` is not an address that can be called"],
        );
        check(
            r#"<endpoint><address uri="http://anna:s3cret@h/a"/></endpoint>"#,
            &["E0305 2:25 `http://***@h/a` is not an address that can be called: there is a user name in it"],
        );
        check(r#"<endpoint><address uri="${where}"/></endpoint>"#, &[]);
        check(
            r#"<endpoint><address uri="jms:/${queue}"/></endpoint>"#,
            &["E0507 2:25 there is no transport for `jms:` addresses"],
        );
    }

    #[test]
    fn a_uri_template_is_looked_at_where_it_is_wrong() {
        check(
            r#"<endpoint><http uri-template="http://h/{uri.var.a}/{b c}"/></endpoint>"#,
            &["E0305 2:54 URI template: ` ` may not stand here in the name of a variable"],
        );
        check(
            r#"<endpoint><http uri-template="{uri.var.a}/{b"/></endpoint>"#,
            &["E0305 2:43 URI template: this `{` is never closed"],
        );
        check(
            r#"<endpoint><http uri-template="http://h/{id}" method="FETCH"/></endpoint>"#,
            &[
                "W0305 2:41 `id` never has a value",
                "W0203 2:54 `FETCH` is not a method that an endpoint can set",
            ],
        );
        check(
            r#"<endpoint><http uri-template="legacy-encoding:http://h/{uri.var.a}"/></endpoint>"#,
            &[],
        );
        check(
            r#"<endpoint><http uri-template="ftp://h/{uri.var.a}"/></endpoint>"#,
            &["E0507 2:31 there is no transport for `ftp:` addresses"],
        );
    }

    #[test]
    fn what_is_not_in_effect_is_said_and_what_would_be_wrong_is_refused() {
        check(
            r#"<endpoint><address uri="http://h/"><suspendOnFailure><initialDuration>1</initialDuration></suspendOnFailure><enableSec policy="p"/></address></endpoint>"#,
            &["E0505 2:110 `<enableSec>` is not supported"],
        );
        check(
            r#"<endpoint><http uri-template="http://h/"><authentication><basicAuth/></authentication></http></endpoint>"#,
            &[
                "E0208 2:59 `<basicAuth>` needs a `<username>` inside",
                "E0208 2:59 `<basicAuth>` needs a `<password>` inside",
            ],
        );
        check(
            r#"<endpoint><address uri="http://h/"><timeout><duration>soon</duration><responseAction>shout</responseAction></timeout></address></endpoint>"#,
            &[
                "E0203 2:55 `soon` is not a number of milliseconds",
                "E0203 2:86 `shout` is no response action",
            ],
        );
    }

    #[test]
    fn what_stands_around_a_leaf_is_looked_at_too() {
        check(
            r#"<endpoint nme="x"><address uri="http://h/"/><adress/></endpoint>"#,
            &[
                "E0201 2:11 `<endpoint>` has no attribute `nme`",
                "E0204 2:46 `<endpoint>` has no `<adress>` beside its `<address>`",
            ],
        );
        check(
            r#"<endpoint onError="nowhere"><address uri="http://h/"/><property name="a"/></endpoint>"#,
            &[
                "E0401 2:20 there is no sequence `nowhere`",
                "E0202 2:56 this property has neither `value` nor `expression`",
            ],
        );
        check(
            r#"<endpoint key="order"/>"#,
            &["E0401 2:16 there is no endpoint `order`"],
        );
    }
}
