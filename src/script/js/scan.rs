//! Looks over a script without parsing it: what it mentions, what it assigns, how deep it nests. Never recurses, so no text can harm it.

use std::ops::Range;

/// Brackets in brackets. A parser that descends needs its stack for each.
const NESTING: usize = 200;
/// Operators and keywords that stand in a row: each may be one more level of a tree.
const CHAIN: usize = 2_000;
/// The longest text of a script.
pub const LENGTH: usize = 2 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
    /// A line break stands in front of it.
    pub on_new_line: bool,
    /// How many brackets are open around it.
    pub depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// In quotes, without escapes.
    Text,
    /// In quotes with escapes, or a template.
    OtherText,
    Regex,
    Sign,
}

/// A text that nobody should parse, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooDeep {
    pub at: Range<usize>,
    pub reason: String,
}

/// Operators that begin with these are read whole, the longest first.
pub const SIGNS: &[&str] = &[
    ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", ">>>", "&&=", "||=", "??=", "=>", "==", "!=", "<=",
    ">=", "&&", "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<", ">>",
    "**",
];

/// Words after which a slash begins a regular expression.
pub const BEFORE_VALUE: &[&str] = &[
    "return",
    "typeof",
    "instanceof",
    "in",
    "of",
    "new",
    "delete",
    "void",
    "throw",
    "case",
    "do",
    "else",
    "yield",
    "await",
];

/// Words that make a tree deeper.
const DEEPENING: &[&str] = &[
    "if", "else", "for", "while", "do", "new", "typeof", "void", "delete", "await", "yield", "function",
    "class", "with", "try",
];

/// All tokens of a text; comments are left out. What is no JavaScript gives tokens too.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    // For each open `${` of a template, the depth it opened at.
    let mut templates: Vec<usize> = Vec::new();
    let (mut at, mut depth, mut on_new_line) = (0, 0usize, true);
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b'\n' | b'\r' => {
                on_new_line = true;
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += memchr::memchr2(b'\n', b'\r', &bytes[at..]).unwrap_or(bytes.len() - at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = memchr::memmem::find(&bytes[at + 2..], b"*/").map(|found| at + 2 + found + 2);
                let end = end.unwrap_or(bytes.len());
                on_new_line |= memchr::memchr(b'\n', &bytes[at..end]).is_some();
                at = end;
                continue;
            }
            b'/' if value_may_follow(text, tokens.last()) => {
                at = regex_end(bytes, at);
                Kind::Regex
            }
            quote @ (b'"' | b'\'') => {
                let (end, plain) = text_end(bytes, at, quote);
                at = end;
                if plain { Kind::Text } else { Kind::OtherText }
            }
            b'`' => {
                let (end, opens) = template_end(bytes, at + 1);
                at = end;
                if opens {
                    templates.push(depth);
                    depth += 1;
                }
                Kind::OtherText
            }
            b'}' if templates.last().is_some_and(|open| *open + 1 == depth) => {
                let (end, opens) = template_end(bytes, at + 1);
                at = end;
                if !opens {
                    templates.pop();
                    depth -= 1;
                }
                Kind::OtherText
            }
            byte if is_word(byte) => {
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                if byte.is_ascii_digit() {
                    Kind::Number
                } else {
                    Kind::Word
                }
            }
            byte => {
                let sign = SIGNS.iter().find(|sign| bytes[at..].starts_with(sign.as_bytes()));
                at += sign.map_or(1, |sign| sign.len());
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                Kind::Sign
            }
        };
        let opens = kind == Kind::Sign && matches!(bytes[start], b'(' | b'[' | b'{');
        tokens.push(Token {
            kind,
            at: start..at,
            on_new_line,
            depth: if opens { depth - 1 } else { depth },
        });
        on_new_line = false;
    }
    tokens
}

/// Whether a parser that descends can be trusted with it.
pub fn check_depth(text: &str, tokens: &[Token]) -> Result<(), TooDeep> {
    if text.len() > LENGTH {
        return Err(TooDeep {
            at: 0..0,
            reason: format!("it is longer than {} MiB", LENGTH >> 20),
        });
    }
    // What one open bracket holds so far: links of the chain, commas that are operators, and whether a `:` stood since the last comma.
    #[derive(Default, Clone, Copy)]
    struct Level {
        links: usize,
        commas: usize,
        colon: bool,
        square: bool,
    }
    let mut levels = vec![Level::default()];
    let mut whole = 0;
    for (index, token) in tokens.iter().enumerate() {
        let word = &text[token.at.clone()];
        let level = levels.last_mut().expect("the outermost is never closed");
        let before = level.links + level.commas;
        match token.kind {
            Kind::Sign => match word {
                "(" | "[" | "{" => {
                    levels.push(Level {
                        square: word == "[",
                        ..Level::default()
                    });
                    if levels.len() > NESTING {
                        return Err(TooDeep {
                            at: token.at.clone(),
                            reason: format!("more than {NESTING} brackets are open here"),
                        });
                    }
                    continue;
                }
                ")" | "]" | "}" => {
                    if levels.len() > 1 {
                        let closed = levels.pop().expect("there are two");
                        whole -= closed.links + closed.commas;
                    }
                    // A block ends a statement, unless it goes on.
                    let goes_on = tokens.get(index + 1).is_some_and(|next| {
                        matches!(&text[next.at.clone()], "else" | "catch" | "finally" | "while")
                            || next.kind == Kind::Sign
                    });
                    let level = levels.last_mut().expect("the outermost is never closed");
                    if word == "}" && !goes_on {
                        whole -= level.links;
                        level.links = 0;
                    }
                    continue;
                }
                ";" => {
                    level.links = 0;
                    level.commas = 0;
                }
                "," => {
                    level.links = 0;
                    if level.square || level.colon {
                        level.colon = false;
                    } else {
                        level.commas += 1;
                    }
                }
                sign => {
                    level.colon |= sign == ":";
                    level.links += 1;
                }
            },
            Kind::Word if DEEPENING.contains(&word) => level.links += 1,
            Kind::OtherText if word.ends_with("${") => level.links += 1,
            _ => {}
        }
        let after = level.links + level.commas;
        whole = whole + after - before;
        if whole > CHAIN {
            return Err(TooDeep {
                at: token.at.clone(),
                reason: format!("more than {CHAIN} operators stand in a row here"),
            });
        }
    }
    Ok(())
}

/// Names that a text assigns, increments or loops over without saying whose they are.
pub fn assigned<'t>(text: &'t str, tokens: &[Token]) -> Vec<&'t str> {
    let word = |index: usize| tokens.get(index).map_or("", |token| &text[token.at.clone()]);
    let mut names: Vec<&str> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Word
            || word(index.wrapping_sub(1)) == "."
            || word(index.wrapping_sub(1)) == "?."
        {
            continue;
        }
        let next = word(index + 1);
        let assigns = next == "=" || (next.len() > 1 && next.ends_with('=') && !is_comparison(next));
        let counts = matches!(next, "++" | "--") || matches!(word(index.wrapping_sub(1)), "++" | "--");
        let loops = matches!(next, "in" | "of") && word(index.wrapping_sub(1)) == "(";
        let name = word(index);
        if (assigns || counts || loops) && !names.contains(&name) && !is_reserved(name) {
            names.push(name);
        }
    }
    names
}

fn is_comparison(sign: &str) -> bool {
    matches!(sign, "==" | "===" | "!=" | "!==" | "<=" | ">=" | "=>")
}

pub fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "break"
            | "case"
            | "catch"
            | "class"
            | "const"
            | "continue"
            | "debugger"
            | "default"
            | "delete"
            | "do"
            | "else"
            | "enum"
            | "export"
            | "extends"
            | "false"
            | "finally"
            | "for"
            | "function"
            | "if"
            | "implements"
            | "import"
            | "in"
            | "instanceof"
            | "interface"
            | "let"
            | "new"
            | "null"
            | "package"
            | "private"
            | "protected"
            | "public"
            | "return"
            | "static"
            | "super"
            | "switch"
            | "this"
            | "throw"
            | "true"
            | "try"
            | "typeof"
            | "var"
            | "void"
            | "while"
            | "with"
            | "yield"
            | "await"
            | "async"
            | "arguments"
            | "eval"
            | "undefined"
    )
}

/// A value, not an operator, comes next: a slash begins a regular expression.
fn value_may_follow(text: &str, last: Option<&Token>) -> bool {
    let Some(last) = last else { return true };
    let word = &text[last.at.clone()];
    match last.kind {
        Kind::Word => BEFORE_VALUE.contains(&word),
        Kind::Number | Kind::Text | Kind::Regex => false,
        Kind::OtherText => word.ends_with("${"),
        Kind::Sign => !matches!(word, ")" | "]" | "}" | "++" | "--"),
    }
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte == b'\\' || byte >= 0x80
}

pub fn text_end(bytes: &[u8], start: usize, quote: u8) -> (usize, bool) {
    let mut at = start + 1;
    let mut plain = true;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                plain = false;
                at += 2;
            }
            b'\n' => return (at, false),
            byte if byte == quote => return (at + 1, plain),
            _ => at += 1,
        }
    }
    (bytes.len(), false)
}

/// To the end of a template, or to its next `${`.
pub fn template_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'`' => return (at + 1, false),
            b'$' if bytes.get(at + 1) == Some(&b'{') => return (at + 2, true),
            _ => at += 1,
        }
    }
    (bytes.len(), false)
}

pub fn regex_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    let mut in_class = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\n' => return at,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => {
                at += 1;
                while at < bytes.len() && is_word(bytes[at]) {
                    at += 1;
                }
                return at;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| &text[token.at]).collect()
    }

    #[test]
    fn texts_comments_templates_and_regular_expressions_are_told_from_code() {
        assert_eq!(
            words("a = /[/]\"/g.test(b) / 2 // c\n/* d */ 'e\\'f' `g${h}i` `j`"),
            [
                "a", "=", "/[/]\"/g", ".", "test", "(", "b", ")", "/", "2", "'e\\'f'", "`g${", "h", "}i`",
                "`j`"
            ]
        );
    }

    #[test]
    fn no_text_can_harm_it() {
        for text in [
            "'", "`${", "/", "/*", "\\", "}}}", "`${`${`", "é", "'\\", "`\\", "a?.b",
        ] {
            tokens(text);
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_however_it_is_nested() {
        for (piece, count) in [
            ("[", 300),
            ("(", 100_000),
            ("x=>", 10_000),
            ("!", 100_000),
            ("if(1)", 10_000),
            ("1+", 10_000),
            ("a?b:", 10_000),
            ("a=", 10_000),
            ("new ", 10_000),
            ("`${", 10_000),
            ("a:", 10_000),
            ("1,", 10_000),
            ("if(a){}else ", 10_000),
            ("a.b", 1),
        ] {
            let text = piece.repeat(count);
            let refused = check_depth(&text, &tokens(&text)).is_err();
            assert_eq!(refused, count > 1, "{piece}");
        }
    }

    #[test]
    fn long_data_is_not_deep() {
        for text in [
            format!("var a = [{}]", "{b: 1, 'c': [1, 2], d: -3.5},\n".repeat(5_000)),
            format!("var a = {{{}}}", "b: [1,2,3], c: {d: true},".repeat(5_000)),
            "responses[200] = []; var b = f(1, 2);\n".repeat(5_000),
            "if (a) { b = 1 } else { c = 2 }\n".repeat(5_000),
        ] {
            assert_eq!(check_depth(&text, &tokens(&text)), Ok(()));
        }
    }

    #[test]
    fn names_that_are_assigned_are_found() {
        let text = "a = 1; b.c = 2; d += 3; for (e in f) g++; --h; i == j; k => l; var m = 1; n ??= 2";
        assert_eq!(assigned(text, &tokens(text)), ["a", "d", "e", "g", "h", "m", "n"]);
    }
}
