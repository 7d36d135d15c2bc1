//! A diagnostic: what is wrong with a file, addressed to its author.

use super::Span;
use std::collections::HashSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be served.
    Error,
    /// It can be served, and is probably not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// One mistake. Codes are stable: `E01xx` files and XML, `E02xx` elements and attributes, `E03xx` embedded languages, `E04xx` names and
/// references, `E05xx` not supported; `W….` warnings and `N….` notes alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    pub span: Option<Span>,
    /// Says at the place itself what is wrong there.
    pub label: String,
    pub secondary: Vec<(Span, String)>,
    pub notes: Vec<String>,
    pub help: Option<String>,
    /// For a mistake without a span: the file it concerns.
    pub file: Option<String>,
}

impl Diagnostic {
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            message: message.into(),
            span: None,
            label: String::new(),
            secondary: Vec::new(),
            notes: Vec::new(),
            help: None,
            file: None,
        }
    }

    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message).at(span)
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message).at(span)
    }

    pub fn note(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Note, code, message).at(span)
    }

    pub fn at(mut self, span: Span) -> Diagnostic {
        self.span = Some(span);
        self
    }

    pub fn in_file(mut self, file: impl Into<String>) -> Diagnostic {
        self.file = Some(file.into());
        self
    }

    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub fn maybe_help(mut self, help: Option<String>) -> Diagnostic {
        if help.is_some() {
            self.help = help;
        }
        self
    }

    pub fn also(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.secondary.push((span, label.into()));
        self
    }

    pub fn with_note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }
}

/// All mistakes of one load, gathered.
#[derive(Debug, Default, Clone)]
pub struct Mistakes {
    list: Vec<Diagnostic>,
    /// Asked for at every element.
    errors: usize,
    /// What was said where, so that one root cause prints once, even if several paths lead to it.
    said: HashSet<(&'static str, Option<Span>, Option<String>, String)>,
}

impl Mistakes {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let said = (
            diagnostic.code,
            diagnostic.span,
            diagnostic.file.clone(),
            diagnostic.message.clone(),
        );
        if self.said.insert(said) {
            self.errors += usize::from(diagnostic.severity == Severity::Error);
            self.list.push(diagnostic);
        }
    }

    pub fn extend(&mut self, other: Mistakes) {
        other
            .list
            .into_iter()
            .for_each(|diagnostic| self.push(diagnostic));
    }

    pub fn errors(&self) -> usize {
        self.errors
    }

    pub fn warnings(&self) -> usize {
        let is_warning = |diagnostic: &&Diagnostic| diagnostic.severity == Severity::Warning;
        self.list.iter().filter(is_warning).count()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Leaves out what is right and may surprise.
    pub fn drop_hints(&mut self) {
        self.list.retain(|diagnostic| !diagnostic.code.starts_with("N02"));
    }

    /// Leaves out all with this code.
    pub fn drop_code(&mut self, code: &str) {
        self.list.retain(|diagnostic| diagnostic.code != code);
    }

    /// By file and place, as an author reads them; those without a place come first.
    pub fn sorted(mut self) -> Mistakes {
        self.list
            .sort_by_key(|diagnostic| (diagnostic.span, diagnostic.severity));
        self
    }
}

impl IntoIterator for Mistakes {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
