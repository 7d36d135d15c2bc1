//! XML literals: `<a b={c}>{d}</a>` becomes a template of the same lines, which the runtime reads as XML when it is reached.

use super::E4xError;
use super::rewriter::{Before, Bracket, NESTING, Rewriter};
use crate::message::xml::{Namespaces, XmlLimits, XmlTree, is_space, starts_name};
use std::ops::Range;

/// Whether what follows a `<`, where a value has to stand, is XML.
pub fn may_begin(rest: &str) -> bool {
    rest.starts_with(|first| first == '>' || first == '{' || starts_name(first))
        || rest.starts_with("!--")
        || rest.starts_with("![CDATA[")
        || rest.starts_with('?')
}

/// The literal as far as it is known before it runs, to look for mistakes in it.
#[derive(Default)]
struct Known {
    text: String,
    /// (offset in `text`, offset in the source)
    pieces: Vec<(usize, usize)>,
    /// A name is computed: nothing can be said.
    computed: bool,
}

/// An element that is open.
struct Open {
    /// `None`: computed.
    name: Option<Range<usize>>,
    tag: Range<usize>,
}

impl Rewriter<'_> {
    pub fn literal(&mut self) -> Result<(), E4xError> {
        let start = self.at;
        let is_list = self.bytes.get(start + 1) == Some(&b'>');
        let mut known = Known::default();
        self.insert(start, if is_list { "$xml.list`" } else { "$xml.literal`" });
        let mut open: Vec<Open> = Vec::new();
        if is_list {
            self.replace(start..start + 2, "");
        }
        loop {
            let at = self.at;
            let rest = &self.source[at..];
            if rest.is_empty() {
                let tag = open.pop().map_or(start..start + 1, |open| open.tag);
                let shown = &self.source[tag.clone()];
                return Err(self.error(tag.clone(), format!("`{shown}` is not closed")));
            } else if rest.starts_with("<![CDATA[") {
                self.up_to("]]>", &mut known)?;
            } else if rest.starts_with("<!--") {
                self.up_to("-->", &mut known)?;
            } else if rest.starts_with("<?") {
                self.up_to("?>", &mut known)?;
            } else if rest.starts_with("</>") && is_list && open.is_empty() {
                self.replace(at..at + 3, "`");
                break;
            } else if rest.starts_with("</") {
                self.end_tag(&mut open, &mut known)?;
            } else if rest.starts_with('<') {
                self.start_tag(&mut open, &mut known)?;
            } else if rest.starts_with('{') {
                self.hole("${", "}", &mut known)?;
                continue;
            } else {
                let end = memchr::memchr2(b'<', b'{', rest.as_bytes()).unwrap_or(rest.len());
                self.xml(at + end, &mut known);
                continue;
            }
            if open.is_empty() && !is_list {
                self.replace(self.at..self.at, "`");
                break;
            }
        }
        self.note(start..self.at, Before::Value);
        self.check(known)
    }

    fn start_tag(&mut self, open: &mut Vec<Open>, known: &mut Known) -> Result<(), E4xError> {
        let start = self.at;
        self.xml(start + 1, known);
        let name = match self.bytes.get(self.at) {
            Some(b'{') => {
                known.computed = true;
                self.hole("${$xml.tag(", ")}", known)?;
                None
            }
            _ => {
                let end = self.xml_name_end(self.at);
                let name = self.at..end;
                self.xml(end, known);
                Some(name)
            }
        };
        let shown = start..self.at;
        let unclosed = |rewriter: &Self| {
            let text = &rewriter.source[shown.clone()];
            rewriter.error(shown.clone(), format!("the tag `{text}` does not end"))
        };
        loop {
            let end = self.at
                + self.bytes[self.at..]
                    .iter()
                    .take_while(|byte| is_space(**byte))
                    .count();
            self.xml(end, known);
            match self.bytes.get(self.at) {
                None => return Err(unclosed(self)),
                Some(b'>') => {
                    self.xml(self.at + 1, known);
                    open.push(Open {
                        name,
                        tag: start..self.at,
                    });
                    return Ok(());
                }
                Some(b'/') if self.bytes.get(self.at + 1) == Some(&b'>') => {
                    self.xml(self.at + 2, known);
                    return Ok(());
                }
                Some(b'{') => {
                    known.computed = true;
                    self.hole("${$xml.tag(", ")}", known)?;
                }
                Some(b'=') => {
                    self.xml(self.at + 1, known);
                    let spaces = self.bytes[self.at..]
                        .iter()
                        .take_while(|byte| is_space(**byte))
                        .count();
                    self.xml(self.at + spaces, known);
                    match self.bytes.get(self.at) {
                        Some(b'{') => {
                            // It may be a namespace: no two are the same.
                            let value = format!("\"urn:{}\"", self.at);
                            known.push(&value, self.at);
                            self.hole("\"${$xml.attribute(", ")}\"", known)?;
                        }
                        Some(quote @ (b'"' | b'\'')) => {
                            let Some(length) = memchr::memchr(*quote, &self.bytes[self.at + 1..]) else {
                                return Err(self
                                    .error(self.at..self.at + 1, "this value of an attribute does not end"));
                            };
                            self.xml(self.at + 1 + length + 1, known);
                        }
                        Some(_) => {
                            return Err(self.error(
                                self.at..self.at + 1,
                                "the value of an attribute stands in quotes or braces",
                            ));
                        }
                        None => return Err(unclosed(self)),
                    }
                }
                Some(_) => {
                    let end = self.xml_name_end(self.at);
                    if end == self.at {
                        let shown = &self.source[shown.clone()];
                        let end = self.source[self.at..]
                            .chars()
                            .next()
                            .map_or(self.at, |next| self.at + next.len_utf8());
                        return Err(
                            self.error(self.at..end, format!("this cannot stand in the tag `{shown}`"))
                        );
                    }
                    self.xml(end, known);
                }
            }
        }
    }

    fn end_tag(&mut self, open: &mut Vec<Open>, known: &mut Known) -> Result<(), E4xError> {
        let start = self.at;
        self.xml(start + 2, known);
        let name = match self.bytes.get(self.at) {
            Some(b'{') => {
                self.hole("${$xml.tag(", ")}", known)?;
                None
            }
            _ => {
                let end = self.xml_name_end(self.at);
                let name = self.at..end;
                self.xml(end, known);
                Some(name)
            }
        };
        let spaces = self.bytes[self.at..]
            .iter()
            .take_while(|byte| is_space(**byte))
            .count();
        self.xml(self.at + spaces, known);
        if self.bytes.get(self.at) != Some(&b'>') {
            let shown = &self.source[start..self.at];
            return Err(self.error(start..self.at, format!("the tag `{shown}` does not end")));
        }
        self.xml(self.at + 1, known);
        let closed = &self.source[start..self.at];
        let Some(opened) = open.pop() else {
            return Err(self.error(start..self.at, format!("`{closed}` closes nothing")));
        };
        if let (Some(opened), Some(name)) = (opened.name, name)
            && self.source[opened.clone()] != self.source[name]
        {
            let expected = &self.source[opened];
            let message = format!("`{closed}` stands where `</{expected}>` is expected");
            return Err(self.error(start..self.at, message));
        }
        Ok(())
    }

    /// `{…}`: an expression of JavaScript.
    fn hole(&mut self, open: &str, close: &str, known: &mut Known) -> Result<(), E4xError> {
        let start = self.at;
        let first = self.skip(start + 1);
        if self.bytes.get(first) == Some(&b'}') {
            return Err(self.error(start..first + 1, "an expression has to stand in these braces"));
        }
        if self.nesting == NESTING {
            return Err(self.error(
                start..start + 1,
                format!("more than {NESTING} braces are open here"),
            ));
        }
        self.replace(start..start + 1, open);
        let brackets = std::mem::replace(&mut self.brackets, vec![Bracket::Hole]);
        self.nesting += 1;
        self.note(start..start + 1, Before::Operator);
        self.code()?;
        self.nesting -= 1;
        self.brackets = brackets;
        if self.at >= self.bytes.len() {
            return Err(self.error(start..start + 1, "this brace is not closed"));
        }
        self.replace(self.at..self.at + 1, close);
        known.pieces.push((known.text.len(), self.at));
        Ok(())
    }

    /// Up to the end of a CDATA section, a comment or an instruction.
    fn up_to(&mut self, end: &str, known: &mut Known) -> Result<(), E4xError> {
        match self.source[self.at..].find(end) {
            Some(length) => {
                self.xml(self.at + length + end.len(), known);
                Ok(())
            }
            None => {
                let start = self.at;
                Err(self.error(start..start + 2, format!("`{end}` is missing")))
            }
        }
    }

    /// Takes XML over into the template. What means something in a template is escaped.
    fn xml(&mut self, end: usize, known: &mut Known) {
        let end = end.min(self.bytes.len());
        known.push(&self.source[self.at..end], self.at);
        for at in self.at..end {
            if matches!(self.bytes[at], b'`' | b'\\' | b'$') {
                self.replace(at..at, "\\");
            }
        }
        self.at = end;
    }

    fn xml_name_end(&self, at: usize) -> usize {
        let name = self.bytes[at..].iter().take_while(|byte| {
            !is_space(**byte) && !matches!(byte, b'/' | b'>' | b'=' | b'{' | b'<' | b'"' | b'\'')
        });
        at + name.count()
    }

    /// Mistakes that do not depend on the values.
    fn check(&self, known: Known) -> Result<(), E4xError> {
        if known.computed {
            return Ok(());
        }
        let Err(error) = XmlTree::parse_fragment(&known.text, &Namespaces::new(), &XmlLimits::default())
        else {
            return Ok(());
        };
        let piece = known.pieces.partition_point(|(at, _)| *at <= error.offset);
        let (at, from) = piece.checked_sub(1).map_or((0, 0), |index| known.pieces[index]);
        let start = (from + (error.offset - at)).min(self.source.len());
        let end = self.source[start..]
            .chars()
            .next()
            .map_or(start, |next| start + next.len_utf8());
        Err(self.error(start..end, error.message))
    }
}

impl Known {
    fn push(&mut self, text: &str, from: usize) {
        self.pieces.push((self.text.len(), from));
        self.text.push_str(text);
    }
}
