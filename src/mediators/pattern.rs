//! A regular expression that has to match the whole of a text, as Java's `Matcher.matches` does.

use crate::flow::Fault;
use crate::plan::Planner;
use crate::text::{Diagnostic, Placed};

pub struct Pattern {
    regex: fancy_regex::Regex,
}

impl Pattern {
    pub fn compile(text: &Placed, planner: &mut Planner<'_>) -> Option<Pattern> {
        // Compiled as it stands first: a mistake is shown at its own character.
        planner.regex(text)?;
        let whole = format!(r"\A(?:{})\z", text.text);
        match fancy_regex::RegexBuilder::new(&whole)
            .backtrack_limit(1_000_000)
            .build()
        {
            Ok(regex) => Some(Pattern { regex }),
            Err(error) => {
                let message = format!("this regular expression cannot match a whole text: {error}");
                planner.tell(Diagnostic::error("E0304", text.span, message));
                None
            }
        }
    }

    pub fn matches(&self, text: &str) -> Result<bool, Fault> {
        self.regex.is_match(text).map_err(gave_up)
    }

    /// The group of that number; "" when the text does not match or the pattern has no such group, and nothing when the group took no part
    /// in the match.
    pub fn part(&self, text: &str, group: usize) -> Result<Option<String>, Fault> {
        if group >= self.regex.captures_len() {
            return Ok(Some(String::new()));
        }
        let Some(captures) = self.regex.captures(text).map_err(gave_up)? else {
            return Ok(Some(String::new()));
        };
        Ok(captures.get(group).map(|part| part.as_str().to_owned()))
    }
}

fn gave_up(error: fancy_regex::Error) -> Fault {
    Fault::mediation(format!("the regular expression was given up: {error}"))
}
