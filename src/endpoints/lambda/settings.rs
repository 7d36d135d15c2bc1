//! Reads who calls which function, and tells what does not go together.

use super::Target;
use super::client::{Keys, Role, Settings};
use super::function::{Function, is_qualifier, is_region};
use crate::endpoints::common;
use crate::expression::Dynamic;
use crate::expression::functions::secret_variable;
use crate::plan::{Element, Planner};
use crate::text::{Diagnostic, Placed, Span};

pub fn plan(element: &Element, planner: &mut Planner<'_>) -> Option<Settings> {
    let before = planner.mistakes.errors();
    let region = region(element, "region", planner);
    let endpoint = url(element, "endpoint-url", planner);
    let keys = keys(element, planner);
    let role = role(element, planner);
    (planner.mistakes.errors() == before).then_some(Settings {
        region,
        endpoint,
        keys,
        role,
    })
}

/// The function, if what is written can be one.
pub fn plan_target(element: &Element, planner: &mut Planner<'_>) -> Option<Target> {
    let text = match planner.dynamic_in(element, "function")? {
        Dynamic::Literal(text) => text,
        computed => return Some(Target::Computed(computed)),
    };
    let function = match Function::parse(text.trim()) {
        Ok(function) => function,
        Err(wrong) => {
            let mistake = Diagnostic::error(
                "E0203",
                place(element, "function"),
                format!("`{text}` is no function of AWS Lambda: {wrong}"),
            );
            planner.tell(mistake.help("write its name, or its ARN"));
            return None;
        }
    };
    if function.is_qualified() && element.has("qualifier") {
        let mistake = Diagnostic::error(
            "E0210",
            place(element, "qualifier"),
            "the version or alias stands in `function` already",
        );
        planner.tell(mistake.help("remove one of the two"));
        return None;
    }
    Some(Target::Fixed(function))
}

pub fn plan_qualifier(element: &Element, planner: &mut Planner<'_>) -> Option<Option<String>> {
    let Some(attribute) = element.attribute("qualifier") else {
        return Some(None);
    };
    let value = attribute.value.clone();
    let text = planner.resolved(&value)?.trim().to_owned();
    if is_qualifier(&text) {
        return Some(Some(text));
    }
    let mistake = Diagnostic::error("E0203", value.span, format!("`{text}` is no version or alias"));
    planner.tell(mistake.help("it is a number, a name, or `$LATEST`"));
    None
}

fn keys(element: &Element, planner: &mut Planner<'_>) -> Option<Keys> {
    let access = secret(element, "access-key", planner);
    let secret_key = secret(element, "secret-key", planner);
    let session = secret(element, "session-token", planner);
    let missing = match (
        element.has("access-key"),
        element.has("secret-key"),
        element.has("session-token"),
    ) {
        (true, false, _) => Some(("access-key", "secret-key")),
        (false, true, _) => Some(("secret-key", "access-key")),
        (false, false, true) => Some(("session-token", "access-key")),
        _ => None,
    };
    if let Some((there, missing)) = missing {
        partial(element, there, missing, planner);
    }
    Some(Keys {
        access: access?,
        secret: secret_key?,
        session,
    })
}

fn role(element: &Element, planner: &mut Planner<'_>) -> Option<Role> {
    let arn = value(element, "role-arn", planner);
    let session = value(element, "role-session", planner);
    let region = region(element, "role-region", planner);
    let endpoint = url(element, "role-endpoint-url", planner);
    for name in ["role-session", "role-region", "role-endpoint-url"] {
        if element.has(name) && !element.has("role-arn") {
            partial(element, name, "role-arn", planner);
        }
    }
    if element.has("role-arn") && !element.has("role-session") {
        partial(element, "role-arn", "role-session", planner);
    }
    let (arn, session) = (arn?, session?);
    if !is_role(&arn) {
        let mistake = Diagnostic::error(
            "E0203",
            place(element, "role-arn"),
            format!("`{arn}` is not the ARN of a role"),
        );
        planner.tell(mistake.help("it looks like arn:aws:iam::123456789012:role/NAME"));
    }
    let is_session = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=64).contains(&session.len()) || !session.bytes().all(is_session) {
        let mistake = Diagnostic::error(
            "E0203",
            place(element, "role-session"),
            format!("`{session}` cannot be the name of a session"),
        );
        planner.tell(mistake.help("it has 2 to 64 letters, digits, or characters of `_+=,.@-`"));
    }
    Some(Role {
        arn,
        session,
        region,
        endpoint,
    })
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", _, resource]
        if partition.starts_with("aws") && resource.starts_with("role/") && resource.len() > 5)
}

fn partial(element: &Element, there: &str, missing: &str, planner: &mut Planner<'_>) {
    let span = element
        .attribute(there)
        .map_or(element.span, |attribute| attribute.name_span);
    let mistake = Diagnostic::error("E0210", span, format!("`{there}` needs `{missing}` beside it"));
    planner.tell(mistake.help("without any of them the credentials of the surroundings are used"));
}

fn region(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<String> {
    let text = value(element, name, planner)?;
    if is_region(&text) {
        return Some(text);
    }
    let mistake = Diagnostic::error(
        "E0203",
        place(element, name),
        format!("`{text}` is not the name of a region"),
    );
    planner.tell(mistake.help("it looks like `eu-central-1`"));
    None
}

fn url(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<String> {
    let value = element.attribute(name)?.value.clone();
    let text = common::resolved(&value, planner)?.trimmed();
    common::address(&text.text, text.span, planner)?;
    Some(text.text)
}

/// An attribute's text, resolved; without any it is told.
fn value(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<String> {
    let text = planner.text(element, name)?.trim().to_owned();
    if text.is_empty() {
        let mistake = Diagnostic::error("E0203", place(element, name), format!("`{name}` is empty"));
        planner.tell(mistake.help("write it, or remove the attribute"));
        return None;
    }
    Some(text)
}

/// The same for what may be `$secret{alias}`.
fn secret(element: &Element, name: &str, planner: &mut Planner<'_>) -> Option<String> {
    let given = element.attribute(name)?.value.clone();
    let alias = given
        .text
        .trim()
        .strip_prefix("$secret{")
        .and_then(|rest| rest.strip_suffix('}'));
    match alias {
        Some(alias) => {
            let variable = format!("$SYSTEM:{}", secret_variable(alias.trim()));
            planner.resolved(&Placed::verbatim(variable, given.span))
        }
        None => value(element, name, planner),
    }
}

fn place(element: &Element, name: &str) -> Span {
    element
        .attribute(name)
        .map_or(element.span, |attribute| attribute.value.span)
}
