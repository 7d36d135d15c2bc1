//! When an endpoint is taken out of use, and how much it takes at once: the children that say so, and how they are read.

use crate::flow::RetryRule;
use crate::flow::health::{OwnBulkhead, Rules};
use crate::plan::{Attr, Child, Children, Element, Planner, Shape, Support};
use crate::text::{Diagnostic, Placed};
use std::str::FromStr;
use std::time::Duration;

// The tables

const ERROR_CODES: &str = "Synapse's error codes, with commas or spaces between; `-1` is none of them.";

pub const SUSPEND_ON_FAILURE: Child = Child::optional(
    "suspendOnFailure",
    &[],
    Children::of(&[
        Child::optional(
            "errorCodes",
            &[],
            Children::TEXT,
            "Which failures suspend at once. Without it: all. Synapse's error codes, with commas or spaces between; `-1` is none of them.",
        ),
        Child::optional(
            "initialDuration",
            &[],
            Children::TEXT,
            "How long the first suspension lasts, in milliseconds. 30 s without it.",
        ),
        Child::optional(
            "progressionFactor",
            &[],
            Children::TEXT,
            "By how much each suspension is longer than the one before, as long as there was no success between. 1 without it.",
        ),
        Child::optional(
            "maximumDuration",
            &[],
            Children::TEXT,
            "The longest suspension, in milliseconds. No limit without it.",
        ),
    ]),
    "When the endpoint is taken out of use, and for how long.",
);

pub const MARK_FOR_SUSPENSION: Child = Child::optional(
    "markForSuspension",
    &[],
    Children::of(&[
        Child::optional(
            "errorCodes",
            &[],
            Children::TEXT,
            "Which failures mark. Without it: 101504 and 101505. Written as those of `suspendOnFailure`.",
        ),
        Child::optional(
            "retriesBeforeSuspension",
            &[],
            Children::TEXT,
            "How many such failures are borne. None without it.",
        ),
        Child::optional(
            "retryDelay",
            &[],
            Children::TEXT,
            "How long nothing is sent after each of them, in milliseconds.",
        ),
        Child::optional(
            "retryDurationOnTimeout",
            &[],
            Children::TEXT,
            "An older spelling of `retryDelay`.",
        )
        .support(Support::Ignored(
            "Synapse does not read it; `retryDelay` is meant",
        )),
    ]),
    "How many failures are borne before the endpoint is suspended.",
);

pub const RETRY_CONFIG: Child = Child::optional(
    "retryConfig",
    &[],
    Children::of(&[
        Child::optional("enabledErrorCodes", &[], Children::TEXT, ERROR_CODES),
        Child::optional("disabledErrorCodes", &[], Children::TEXT, ERROR_CODES),
    ]),
    "After which failures a group may send the message to another child: those enabled, or all but those disabled.",
);

pub const SUSPEND_DURATION: Child = Child::optional(
    "suspendDurationOnFailure",
    &[],
    Children::TEXT,
    "The old spelling of `suspendOnFailure` with an `initialDuration`; in seconds.",
);

const WHOLE_AT_ONCE: &str = "How many requests may be on their way at once.";

pub const LIMITS: Child = Child::optional(
    "limits",
    &[
        Attr::optional("inFlight", Shape::Integer, WHOLE_AT_ONCE).default("1024"),
        Attr::optional(
            "connections",
            Shape::Integer,
            "How many connections may be in use at once. Over HTTP/1.1 each request has one, so the smaller of this and `inFlight` holds.",
        ),
        Attr::optional("queue", Shape::Integer, "How many more may wait for their turn.").default("1024"),
        Attr::optional(
            "connectTimeout",
            Shape::Integer,
            "How long a connection may take to come about, in milliseconds.",
        )
        .default("2000"),
    ],
    Children::NONE,
    "How much the endpoint takes at once (ours, not Synapse's); where the host follows from the message, how much each host takes. What is more waits \
     for its turn as long as a connection may take to come about, and then gets fault 303001 and 503.",
);

// Reading

/// What `suspendOnFailure`, `markForSuspension` and their old spelling say.
pub fn plan_rules(leaf: &Element, planner: &mut Planner<'_>) -> Rules {
    let mut rules = Rules::default();
    if let Some(seconds) = leaf
        .child("suspendDurationOnFailure")
        .and_then(Element::trimmed_text)
    {
        rules.initial = number::<u64>(&seconds, "seconds", planner).map(Duration::from_secs);
    }
    if let Some(suspend) = leaf.child("suspendOnFailure") {
        rules.suspend_codes = codes(suspend.child("errorCodes"), planner);
        // A negative duration is how Synapse spells its default.
        let millis = |child: &str, planner: &mut Planner<'_>| {
            let text = suspend.child(child).and_then(Element::trimmed_text)?;
            let millis = number::<i64>(&text, "milliseconds", planner)?;
            u64::try_from(millis).ok().map(Duration::from_millis)
        };
        rules.initial = millis("initialDuration", planner).or(rules.initial);
        rules.maximum = millis("maximumDuration", planner);
        rules.factor = suspend
            .child("progressionFactor")
            .and_then(Element::trimmed_text)
            .and_then(|text| {
                let factor = number::<f64>(&text, "times", planner)?;
                // A negative one makes a negative duration, which is the default again.
                let sound = factor.is_finite();
                if !sound {
                    not_a_number(&text, "times", planner);
                }
                sound.then_some(factor)
            });
    }
    if let Some(mark) = leaf.child("markForSuspension") {
        rules.timeout_codes = codes(mark.child("errorCodes"), planner);
        if let Some(text) = mark
            .child("retriesBeforeSuspension")
            .and_then(Element::trimmed_text)
        {
            rules.retries = number::<i64>(&text, "retries", planner)
                .map_or(0, |retries| u32::try_from(retries.max(0)).unwrap_or(u32::MAX));
        }
        if let Some(text) = mark.child("retryDelay").and_then(Element::trimmed_text) {
            let delay = number::<i64>(&text, "milliseconds", planner).unwrap_or(0);
            rules.retry_delay = Duration::from_millis(u64::try_from(delay).unwrap_or(0));
        }
    }
    rules
}

/// Says once per endpoint that any failure takes it out of use for 30 s, where its author may not know.
pub fn hint_at_default(leaf: &Element, rules: &Rules, planner: &mut Planner<'_>) {
    if rules.initial.is_some() || rules.suspend_codes == [-1] {
        return;
    }
    let note = Diagnostic::note(
        "N0201",
        leaf.span,
        "any failure takes this endpoint out of use for 30 s",
    );
    planner.tell(note.help(
        "that is Synapse's default; say what you mean with `<suspendOnFailure><initialDuration>…</initialDuration></suspendOnFailure>`, \
         or `<errorCodes>-1</errorCodes>` in it and in `<markForSuspension>` for never",
    ));
}

/// `retryConfig`.
pub fn plan_retry(leaf: &Element, planner: &mut Planner<'_>) -> RetryRule {
    let Some(retry) = leaf.child("retryConfig") else {
        return RetryRule::Any;
    };
    match (
        retry.child("enabledErrorCodes"),
        retry.child("disabledErrorCodes"),
    ) {
        (Some(_), Some(second)) => {
            let mistake = Diagnostic::error(
                "E0204",
                second.span,
                "either some codes are enabled, or some are disabled",
            );
            planner.tell(mistake.help("remove one of the two lists"));
            RetryRule::Any
        }
        (enabled @ Some(_), None) => RetryRule::Enabled(codes(enabled, planner)),
        (None, disabled @ Some(_)) => RetryRule::Disabled(codes(disabled, planner)),
        (None, None) => RetryRule::Any,
    }
}

/// `limits`: how many at once, and how long a connection may take.
pub fn plan_limits(leaf: &Element, planner: &mut Planner<'_>) -> (OwnBulkhead, Option<Duration>) {
    let Some(limits) = leaf.child("limits") else {
        return (OwnBulkhead::default(), None);
    };
    let mut read = |name: &str| {
        let value = limits.attribute(name)?.value.trimmed();
        let count = number::<u32>(&value, "whole, and not negative", planner)?;
        if count == 0 && name != "queue" {
            planner.mistake("E0203", value.span, "nothing could be sent");
            return None;
        }
        Some(count as usize)
    };
    let (in_flight, connections, queue) = (read("inFlight"), read("connections"), read("queue"));
    let connect = read("connectTimeout").map(|millis| Duration::from_millis(millis as u64));
    let bulkhead = OwnBulkhead {
        in_flight: [in_flight, connections].into_iter().flatten().min(),
        queue,
    };
    (bulkhead, connect)
}

/// A list of Synapse's error codes.
pub fn codes(element: Option<&Element>, planner: &mut Planner<'_>) -> Vec<i32> {
    let Some(text) = element.and_then(Element::trimmed_text) else {
        return Vec::new();
    };
    let mut codes = Vec::new();
    for word in text
        .text
        .split([',', ' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
    {
        match word.parse() {
            Ok(code) => codes.push(code),
            Err(_) => {
                let mistake = Diagnostic::error("E0203", text.span, format!("`{word}` is not an error code"));
                planner.tell(mistake.help(
                    "error codes are numbers, such as 101503 (connection refused) or 101504 (timeout)",
                ));
            }
        }
    }
    codes
}

fn number<T: FromStr>(text: &Placed, unit: &str, planner: &mut Planner<'_>) -> Option<T> {
    let resolved = planner.resolved(text)?;
    let number = resolved.trim().parse().ok();
    if number.is_none() {
        not_a_number(text, unit, planner);
    }
    number
}

fn not_a_number(text: &Placed, unit: &str, planner: &mut Planner<'_>) {
    let message = match unit {
        "milliseconds" | "seconds" => format!("`{}` is not a number of {unit}", text.text),
        _ => format!("`{}` is not a number", text.text),
    };
    planner.tell(Diagnostic::error("E0203", text.span, message));
}
