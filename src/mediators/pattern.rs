//! A regular expression that has to match the whole of a text, as Java's `Matcher.matches` does.

use crate::flow::Fault;
use crate::plan::Planner;
use crate::text::{Diagnostic, Placed};

pub enum Pattern {
    /// Most patterns are plain words, which are only compared.
    Word(String),
    Regex(Box<fancy_regex::Regex>),
}

impl Pattern {
    pub fn compile(text: &Placed, planner: &mut Planner<'_>) -> Option<Pattern> {
        if !text.text.contains(is_special) {
            return Some(Pattern::Word(text.text.clone()));
        }
        // Parsed alone first: `a)|(?:b` would be whole only inside the group below. Compiling twice would take most of the time of a load.
        let stands_alone = fancy_regex::Expr::parse_tree(&text.text).is_ok();
        let whole = format!(r"\A(?:{})\z", text.text);
        match planner.compiled(&whole) {
            Ok(regex) if stands_alone => Some(Pattern::Regex(Box::new(regex))),
            compiled => {
                // Compiled as it stands: a mistake is shown at its own character.
                planner.regex(text)?;
                let error = compiled
                    .err()
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default();
                let message = format!("this regular expression cannot match a whole text{error}");
                planner.tell(Diagnostic::error("E0304", text.span, message));
                None
            }
        }
    }

    pub fn matches(&self, text: &str) -> Result<bool, Fault> {
        match self {
            Pattern::Word(word) => Ok(word == text),
            Pattern::Regex(regex) => regex.is_match(text).map_err(gave_up),
        }
    }

    /// The group of that number; "" when the text does not match or the pattern has no such group, and nothing when the group took no part
    /// in the match.
    pub fn part(&self, text: &str, group: usize) -> Result<Option<String>, Fault> {
        let regex = match self {
            Pattern::Word(word) if group == 0 && word == text => return Ok(Some(word.clone())),
            Pattern::Word(_) => return Ok(Some(String::new())),
            Pattern::Regex(regex) => regex,
        };
        if group >= regex.captures_len() {
            return Ok(Some(String::new()));
        }
        let Some(captures) = regex.captures(text).map_err(gave_up)? else {
            return Ok(Some(String::new()));
        };
        Ok(captures.get(group).map(|part| part.as_str().to_owned()))
    }
}

/// Whether a character may mean something else than itself in a pattern.
fn is_special(character: char) -> bool {
    matches!(
        character,
        '\\' | '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}'
    )
}

fn gave_up(error: fancy_regex::Error) -> Fault {
    Fault::mediation(format!("the regular expression was given up: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::mediators::trial::{outcome, told};

    fn check(pattern: &str, text: &str, matches: bool) {
        let config = format!(r#"<filter source="'{text}'" regex="{pattern}"><then><drop/></then></filter>"#);
        let expected = if matches { "Drop" } else { "continues" };
        assert_eq!(
            outcome(&config, "POST /\nContent-Type: text/plain\n\n"),
            expected,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn a_word_and_an_expression_both_have_to_be_the_whole_text() {
        for pattern in ["a b-1", "a b-[1]", "(?:x|a b-1)"] {
            check(pattern, "a b-1", true);
            check(pattern, "a b-12", false);
            check(pattern, "xa b-1", false);
        }
    }

    #[test]
    fn a_pattern_has_to_be_one_by_itself() {
        let told = told(r#"<filter source="'a'" regex="a)|(?:b"><drop/></filter>"#);
        assert!(
            told.starts_with("E0304 this is not a regular expression"),
            "{told}"
        );
    }
}
