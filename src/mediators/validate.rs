//! `<validate>`: holds the payload against a schema, and runs `on-fail` when it does not fit.

use crate::expression::{Dynamic, Expression};
use crate::flow::{Exchange, Fault, Flow, Mediator, Outcome, Sequence};
use crate::message::json::{self, Json, JsonLimits, Object};
use crate::message::properties::Value;
use crate::plan::{Attr, Child, Children, Element, Example, MediatorKind, Planner, Shape, Support};
use crate::text::Diagnostic;
use async_trait::async_trait;
use jsonschema::{Draft, PatternOptions, Validator};

pub static KIND: MediatorKind = MediatorKind {
    element: "validate",
    summary: "Holds a JSON payload against a JSON schema, and runs `on-fail` when it does not fit.",
    notes: "Of several schemas the last one counts. A payload that is empty is taken for `{}`. A schema that does not say its `$schema` is \
        read as draft 4; drafts up to 2020-12 are known. Nothing outside the schema is loaded: what a `$ref` names has to stand in it.\n\n\
        When the payload does not fit, `ERROR_MESSAGE` and `ERROR_DETAIL` say why, `ERROR_CODE` stays as it was, and the steps of `on-fail` \
        run. It is no fault: the flow goes on behind them unless they end it.",
    differences: "`ERROR_MESSAGE` names every place that does not fit (Synapse: the first), and none of the payload's own values. A schema \
        that is no schema is told at load. XSD is not supported yet.",
    attributes: &[
        Attr::optional(
            "source",
            Shape::Expression,
            "The part of the payload that is validated; all of it by default.",
        ),
        Attr::optional(
            "json-source",
            Shape::Boolean,
            "Whether a payload that is no JSON is converted.",
        )
        .default("false"),
        Attr::ignored("cache-schema", "A schema is compiled once for each deployment."),
    ],
    children: Children::of(&[
        Child::required(
            "schema",
            &[Attr::required(
                "key",
                Shape::Dynamic,
                "The local entry or registry resource that holds the schema.",
            )],
            Children::NONE,
            "The schema.",
        )
        .many(),
        Child::required(
            "on-fail",
            &[],
            Children::STEPS,
            "What runs when the payload does not fit.",
        ),
        Child::optional(
            "feature",
            NAME_VALUE,
            Children::NONE,
            "A feature of Java's XML validator.",
        )
        .many()
        .support(FOR_XSD),
        Child::optional("resource", &[], Children::ANY, "A document that an XSD imports.")
            .many()
            .support(FOR_XSD),
        Child::optional(
            "property",
            NAME_VALUE,
            Children::NONE,
            "A property of Java's XML validator.",
        )
        .many()
        .support(FOR_XSD),
    ]),
    build,
    examples: &[
        Example::new(
            "Refuse an order without a number",
            r#"<validate>
  <schema key="order"/>
  <on-fail>
    <property name="HTTP_SC" value="400" scope="axis2"/>
    <respond/>
  </on-fail>
</validate>"#,
            "POST /orders\nContent-Type: application/json\n\n{\"lines\": []}",
            "responds\naxis2 HTTP_SC = 400\nproperty ERROR_MESSAGE = \"id\" is a required property",
        )
        .beside(r#"<localEntry key="order">{"type": "object", "required": ["id"]}</localEntry>"#),
        Example::new(
            "Look at a part of the message, which may be XML",
            r#"<validate source="json-eval($.order.id)" json-source="true">
  <schema key="id"/>
  <on-fail><drop/></on-fail>
</validate>"#,
            "POST /orders\nContent-Type: application/xml\n\n<order><id>7</id></order>",
            "continues\nproperty ERROR_MESSAGE is not there",
        )
        .beside(r#"<localEntry key="id">{"type": "integer", "minimum": 1}</localEntry>"#),
    ],
};

const NAME_VALUE: &[Attr] = &[
    Attr::optional("name", Shape::Text, "Its name."),
    Attr::optional("value", Shape::Text, "Its value."),
];

const FOR_XSD: Support = Support::Ignored("it is about XSD alone");

const XSD: &str = "http://www.w3.org/2001/XMLSchema";

struct Validate {
    source: Option<Expression>,
    converts: bool,
    schema: Schema,
    on_fail: Sequence,
}

enum Schema {
    Fixed(Box<Validator>),
    /// The key is computed for each message.
    Keyed(Dynamic),
}

fn build(element: &Element, planner: &mut Planner<'_>) -> Option<Box<dyn Mediator>> {
    let on_fail = element.child("on-fail")?;
    if on_fail.elements().next().is_none() {
        planner.tell(
            Diagnostic::error("E0208", on_fail.span, "`<on-fail>` is empty")
                .help("say what happens to a message that does not fit, even if it is only a `<log/>`"),
        );
        return None;
    }
    let converts = element.is_true("json-source");
    let on_fail = planner.sequence(on_fail);
    let schemas: Vec<_> = element
        .all("schema")
        .map(|schema| self::schema(schema, planner))
        .collect();
    let source = match element.attribute("source") {
        None => None,
        Some(attribute) => {
            let source = planner.expression_in(element, "source")?;
            if source.xpath().is_some() && schemas.iter().all(Option::is_some) {
                planner.tell(
                    Diagnostic::error(
                        "E0212",
                        attribute.value.span,
                        "a JSON schema needs a part of JSON",
                    )
                    .label("this is an XPath")
                    .help("write json-eval(…) or ${…}"),
                );
                return None;
            }
            Some(source)
        }
    };
    let schemas: Vec<Schema> = schemas.into_iter().collect::<Option<_>>()?;
    Some(Box::new(Validate {
        source,
        converts,
        schema: schemas.into_iter().next_back()?,
        on_fail,
    }))
}

fn schema(element: &Element, planner: &mut Planner<'_>) -> Option<Schema> {
    let key = element.attribute("key")?.value.clone();
    match planner.dynamic(&key, element)? {
        Dynamic::Literal(_) => {
            let entry = planner.entry(&key)?;
            match compiled(&entry, &JsonLimits::default()) {
                Ok(validator) => Some(Schema::Fixed(Box::new(validator))),
                Err(Unusable::Xsd) => {
                    planner.tell(
                        Diagnostic::error("E0505", key.span, "validation by XSD is not supported yet")
                            .help("a JSON schema validates JSON, and XML too with json-source=\"true\""),
                    );
                    None
                }
                Err(Unusable::NoSchema(reason)) => {
                    planner.mistake(
                        "E0203",
                        key.span,
                        format!("`{}` is no JSON schema: {reason}", key.text.trim()),
                    );
                    None
                }
            }
        }
        key => Some(Schema::Keyed(key)),
    }
}

enum Unusable {
    Xsd,
    NoSchema(String),
}

fn compiled(entry: &Value, limits: &JsonLimits) -> Result<Validator, Unusable> {
    let schema = match entry {
        Value::Xml(fragment) => {
            let is_xsd = fragment
                .element()
                .is_some_and(|element| fragment.tree.namespace(element) == XSD);
            return Err(if is_xsd {
                Unusable::Xsd
            } else {
                Unusable::NoSchema("it is XML".to_owned())
            });
        }
        Value::Json(json) => Json::clone(json),
        other => json::parse(other.to_text().as_bytes(), limits)
            .map_err(|error| Unusable::NoSchema(error.to_string()))?,
    };
    let mut options = jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(1_000_000));
    if schema.get("$schema").is_none() {
        // What Synapse's validator takes it for.
        options = options.with_draft(Draft::Draft4);
    }
    options
        .build(&schema)
        .map_err(|error| Unusable::NoSchema(error.to_string()))
}

#[async_trait(?Send)]
impl Mediator for Validate {
    async fn mediate(&self, exchange: &mut Exchange) -> Outcome {
        let keyed;
        let validator = match &self.schema {
            Schema::Fixed(validator) => &**validator,
            Schema::Keyed(key) => {
                keyed = self::keyed(key, exchange).await?;
                &keyed
            }
        };
        let instance = self.instance(exchange).await?;
        let Err(misfit) = check(validator, &instance) else {
            return Ok(Flow::Continue);
        };
        exchange.properties.set("ERROR_MESSAGE", Value::text(&misfit));
        exchange.properties.set(
            "ERROR_DETAIL",
            Value::text(format!("Error while validating Json message {misfit}")),
        );
        self.on_fail.run(exchange).await
    }
}

async fn keyed(key: &Dynamic, exchange: &mut Exchange) -> Result<Validator, Fault> {
    let key = exchange.dynamic(key).await?;
    let Some(entry) = exchange.catalog.entries.get(&*key) else {
        return Err(Fault::mediation(format!("Can not find JSON Schema {key}")));
    };
    compiled(entry, &exchange.catalog.limits.json).map_err(|unusable| {
        Fault::mediation(match unusable {
            Unusable::Xsd => format!("`{key}` is an XSD, which is not supported yet"),
            Unusable::NoSchema(reason) => format!("`{key}` is no JSON schema: {reason}"),
        })
    })
}

impl Validate {
    /// What is validated; nothing at all is `{}`.
    async fn instance(&self, exchange: &mut Exchange) -> Result<Json, Fault> {
        exchange.load().await?;
        let payload = &exchange.message.payload;
        if !payload.is_json() && !payload.is_empty() && !self.converts {
            return Err(Fault::mediation(
                "the payload is no JSON, and validation by XSD is not supported yet (json-source=\"true\" converts it)",
            ));
        }
        let Some(source) = &self.source else {
            return exchange.json().await.cloned();
        };
        let found = exchange.value(source).await?;
        Ok(match found {
            None => Json::Object(Object::new()),
            Some(Value::Json(json)) => Json::clone(&json),
            Some(other) => {
                let text = other.to_text();
                match json::parse(text.as_bytes(), &exchange.catalog.limits.json) {
                    Ok(json) => json,
                    Err(_) if text.is_empty() => Json::Object(Object::new()),
                    Err(_) => Json::String(text.into_owned()),
                }
            }
        })
    }
}

/// More misfits than this say nothing new.
const MOST_MISFITS: usize = 20;

/// Every place that does not fit, a line each. The payload's values are left out: they end in logs and answers.
fn check(validator: &Validator, instance: &Json) -> Result<(), String> {
    if validator.is_valid(instance) {
        return Ok(());
    }
    let lines = validator.iter_errors(instance).take(MOST_MISFITS).map(|error| {
        let reason = error.masked_with("the value").to_string();
        match error.instance_path().as_str() {
            "" => reason,
            place => format!("{reason} (at {place})"),
        }
    });
    Err(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;
    use std::time::Instant;

    const CONFIG: &str = "<validate><schema key='s'/><on-fail><drop/></on-fail></validate>";

    fn trial<'a>(entries: &'a [(&'a str, &'a str)]) -> Trial<'a> {
        Trial {
            kinds: super::super::ALL,
            entries,
            properties: &[],
        }
    }

    fn request(body: &str) -> String {
        format!("POST /\nContent-Type: application/json\n\n{body}")
    }

    /// Empty when the body fits, else why not.
    fn check(schema: &str, body: &str, expected: &str) {
        let (outcome, exchange) = trial(&[("s", schema)]).run(CONFIG, &request(body));
        let why = exchange.properties.text("ERROR_MESSAGE").unwrap_or_default();
        assert_eq!(why, expected, "{body}");
        let fits = expected.is_empty();
        assert!(matches!(outcome, Ok(Flow::Continue) if fits) || matches!(outcome, Ok(Flow::Drop) if !fits));
        assert!(exchange.properties.get("ERROR_CODE").is_none());
    }

    #[test]
    fn what_does_not_fit_is_named_without_its_values() {
        let schema =
            r#"{"properties": {"a": {"type": "integer"}, "b": {"pattern": "^x"}}, "required": ["c"]}"#;
        check(schema, r#"{"a": 1, "b": "x", "c": 0}"#, "");
        check(
            schema,
            r#"{"a": "secret", "b": "secret"}"#,
            "\"c\" is a required property\nthe value is not of type \"integer\" (at /a)\nthe value does not match \"^x\" (at /b)",
        );
    }

    #[test]
    fn nothing_is_an_empty_object() {
        let (_, exchange) = trial(&[("s", r#"{"type": "object", "required": ["a"]}"#)]).run(CONFIG, "GET /");
        assert_eq!(
            exchange.properties.text("ERROR_MESSAGE").as_deref(),
            Some("\"a\" is a required property")
        );
    }

    #[test]
    fn a_schema_without_its_version_is_of_draft_4() {
        check(
            r#"{"maximum": 5, "exclusiveMaximum": true}"#,
            "5",
            "the value is greater than or equal to the maximum of 5",
        );
        check(
            r#"{"$schema": "http://json-schema.org/draft-07/schema#", "exclusiveMaximum": 5}"#,
            "4",
            "",
        );
    }

    #[test]
    fn numbers_of_any_size_are_compared_and_never_panic() {
        for number in [
            "1e400",
            "-1e400",
            "1e-400",
            "-0",
            "123456789012345678901234567890",
            "0.1000000000000000055511151231257827",
        ] {
            for schema in [
                r#"{"type": "integer"}"#,
                r#"{"minimum": 0, "maximum": 10}"#,
                r#"{"multipleOf": 0.01}"#,
                r#"{"enum": [1, 1e400, 0]}"#,
                r#"{"uniqueItems": true}"#,
                r#"{"maximum": 1e400}"#,
                r#"{"multipleOf": 1e-400}"#,
            ] {
                let list = format!("[{number}, {number}]");
                for body in [number, &list] {
                    let outcome = trial(&[("s", schema)])
                        .plan(CONFIG)
                        .map(|_| trial(&[("s", schema)]).run(CONFIG, &request(body)).0);
                    assert!(matches!(outcome, Ok(Ok(_)) | Err(_)), "{schema} {body}");
                }
            }
        }
    }

    #[test]
    fn a_hostile_pattern_or_list_ends_in_time() {
        let start = Instant::now();
        let body = format!("\"{}!\"", "a".repeat(40));
        let (outcome, _) = trial(&[("s", r#"{"pattern": "^(?=a)(a+)+$"}"#)]).run(CONFIG, &request(&body));
        assert!(outcome.is_ok());
        let long = format!(
            "[{}0]",
            (0..20_000).map(|number| format!("{number},")).collect::<String>()
        );
        trial(&[("s", r#"{"uniqueItems": true}"#)])
            .run(CONFIG, &request(&long))
            .0
            .unwrap();
        assert!(start.elapsed().as_secs() < 5);
    }

    #[test]
    fn a_schema_that_is_none_is_told_at_load() {
        for (schema, reason) in [
            (r#"{"type": 7}"#, "no JSON schema"),
            ("{", "no JSON schema"),
            (r#"{"$ref": "http://elsewhere/schema.json"}"#, "no JSON schema"),
            (r#"{"$ref": "file:///etc/passwd"}"#, "no JSON schema"),
            ("<x/>", "no JSON schema"),
            (
                "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'/>",
                "XSD is not supported yet",
            ),
        ] {
            let mistakes = trial(&[("s", schema)]).plan(CONFIG).err().unwrap_or_default();
            assert!(mistakes.contains(reason), "{schema}: {mistakes}");
        }
    }

    #[test]
    fn what_cannot_be_planned_is_told() {
        let trial = trial(&[("s", "{}")]);
        for config in [
            "<validate><on-fail><drop/></on-fail></validate>",
            "<validate><schema key='s'/></validate>",
            "<validate><schema key='s'/><on-fail/></validate>",
            "<validate><schema key='none'/><on-fail><drop/></on-fail></validate>",
            "<validate source='//a'><schema key='s'/><on-fail><drop/></on-fail></validate>",
        ] {
            assert!(trial.plan(config).is_err(), "{config}");
        }
    }

    #[test]
    fn of_an_unknown_schema_nothing_more_is_told() {
        let config = "<validate source='//a'><schema key='none'/><on-fail><drop/></on-fail></validate>";
        let mistakes = trial(&[]).plan(config).err().unwrap_or_default();
        assert!(!mistakes.contains("E0212"), "{mistakes}");
    }

    #[test]
    fn the_last_schema_counts_and_its_key_may_be_computed() {
        let entries = [("no", r#"{"type": "null"}"#), ("yes", "{}")];
        let run = |schemas: &str| {
            let config = format!("<validate>{schemas}<on-fail><drop/></on-fail></validate>");
            trial(&entries).run(&config, &request(r#"{"key": "no"}"#)).0
        };
        assert!(matches!(
            run("<schema key='no'/><schema key='yes'/>"),
            Ok(Flow::Continue)
        ));
        assert!(matches!(
            run("<schema key='{json-eval($.key)}'/>"),
            Ok(Flow::Drop)
        ));
        assert!(run("<schema key='{json-eval($.none)}'/>").is_err());
    }

    #[test]
    fn xml_is_validated_only_when_it_may_be_converted() {
        let entries = [("s", r#"{"required": ["a"]}"#)];
        let xml = "POST /\nContent-Type: application/xml\n\n<a/>";
        assert!(trial(&entries).run(CONFIG, xml).0.is_err());
        let converting = CONFIG.replace("<validate>", "<validate json-source='true'>");
        assert!(matches!(
            trial(&entries).run(&converting, xml).0,
            Ok(Flow::Continue)
        ));
    }

    #[test]
    fn a_message_that_did_not_fit_goes_on_behind_on_fail() {
        let config = "<validate><schema key='s'/><on-fail><property name='seen' value='1'/></on-fail></validate><property name='on' value='1'/>";
        let (outcome, exchange) = trial(&[("s", r#"{"type": "null"}"#)]).run(config, &request("{}"));
        assert!(matches!(outcome, Ok(Flow::Continue)));
        assert_eq!(
            (
                exchange.properties.text("seen").as_deref(),
                exchange.properties.text("on").as_deref()
            ),
            (Some("1"), Some("1"))
        );
    }
}
