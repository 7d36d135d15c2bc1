//! A diagnostic as a person reads it, as JSON for an editor, and as SARIF for a build server.

use super::{Diagnostic, Mistakes, Severity, Sources, Span};
use serde_json::{Value, json};

/// How many columns of a very long line are shown around a mistake.
const WIDEST: usize = 160;

/// All diagnostics for a terminal, each followed by an empty line.
pub fn human(mistakes: &Mistakes, sources: &Sources, colour: bool) -> String {
    let paint = Paint { on: colour };
    let mut out = String::new();
    for diagnostic in mistakes.iter() {
        out.push_str(&one(diagnostic, sources, paint));
        out.push('\n');
    }
    out
}

/// One diagnostic in the shape of rustc's.
pub fn one_plain(diagnostic: &Diagnostic, sources: &Sources) -> String {
    one(diagnostic, sources, Paint { on: false })
}

fn one(diagnostic: &Diagnostic, sources: &Sources, paint: Paint) -> String {
    let word = word(diagnostic.severity);
    let mut out = format!(
        "{}: {}\n",
        paint.severity(diagnostic.severity, &format!("{word}[{}]", diagnostic.code)),
        paint.bold(&diagnostic.message)
    );
    let mut spans: Vec<Span> = diagnostic.span.into_iter().collect();
    spans.extend(diagnostic.secondary.iter().map(|(span, _)| *span));
    let gutter = spans
        .iter()
        .map(|span| sources.place(*span).line.to_string().len())
        .max()
        .unwrap_or(1)
        .max(2);
    if let Some(span) = diagnostic.span {
        excerpt(
            &mut out,
            sources,
            span,
            &diagnostic.label,
            '^',
            "┌─",
            gutter,
            paint,
        );
    } else if let Some(file) = &diagnostic.file {
        out.push_str(&format!("{:gutter$} {} {file}\n", "", paint.blue("┌─")));
    }
    for (span, label) in &diagnostic.secondary {
        excerpt(&mut out, sources, *span, label, '-', "├─", gutter, paint);
    }
    for note in &diagnostic.notes {
        out.push_str(&format!("{:gutter$} {} note: {note}\n", "", paint.blue("=")));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("{:gutter$} {} help: {help}\n", "", paint.blue("=")));
    }
    out
}

#[expect(
    clippy::too_many_arguments,
    reason = "one private function that draws one excerpt"
)]
fn excerpt(
    out: &mut String,
    sources: &Sources,
    span: Span,
    label: &str,
    mark: char,
    corner: &str,
    gutter: usize,
    paint: Paint,
) {
    let place = sources.place(span);
    out.push_str(&format!(
        "{:gutter$} {} {}:{}:{}\n",
        "",
        paint.blue(corner),
        place.file,
        place.line,
        place.column
    ));
    let (start, line) = sources.file(span.file).line(place.line);
    let column = place.column - 1;
    let length = sources
        .text(Span {
            end: span.end.min((start + line.len()) as u32),
            ..span
        })
        .chars()
        .count()
        .max(1);
    // A line that would fill the screen (a minified payload) is cut around the place.
    let from = column.saturating_sub(WIDEST / 2);
    let shown: String = line.chars().skip(from).take(WIDEST).collect();
    let column = column - from;
    // A tab stands as four columns, in the line and below it.
    let indent: usize = shown
        .chars()
        .take(column)
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum();
    let length = length.min(WIDEST.saturating_sub(column)).max(1);
    out.push_str(&format!(
        "{} {} {}\n",
        paint.blue(&format!("{:>gutter$}", place.line)),
        paint.blue("│"),
        shown.replace('\t', "    ")
    ));
    let marks: String = std::iter::repeat_n(mark, length).collect();
    let text = if label.is_empty() {
        marks
    } else {
        format!("{marks} {label}")
    };
    out.push_str(&format!(
        "{:gutter$} {} {:indent$}{}\n",
        "",
        paint.blue("│"),
        "",
        paint.red(&text)
    ));
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn wrap(self, text: &str, code: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.wrap(
            text,
            match severity {
                Severity::Error => "1;31",
                Severity::Warning => "1;33",
                Severity::Note => "1;36",
            },
        )
    }

    fn bold(self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn blue(self, text: &str) -> String {
        self.wrap(text, "34")
    }

    fn red(self, text: &str) -> String {
        self.wrap(text, "31")
    }
}

/// One JSON object a diagnostic: byte ranges included, so that an editor can draw them.
pub fn json(mistakes: &Mistakes, sources: &Sources) -> Value {
    Value::Array(
        mistakes
            .iter()
            .map(|diagnostic| one_json(diagnostic, sources))
            .collect(),
    )
}

fn one_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let place = diagnostic
        .span
        .map(|span| place_json(span, &diagnostic.label, sources));
    let secondary: Vec<Value> = diagnostic
        .secondary
        .iter()
        .map(|(span, label)| place_json(*span, label, sources))
        .collect();
    json!({
        "severity": word(diagnostic.severity),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": diagnostic.file,
        "place": place,
        "secondary": secondary,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

fn place_json(span: Span, label: &str, sources: &Sources) -> Value {
    let place = sources.place(span);
    json!({ "file": place.file, "line": place.line, "column": place.column, "start": span.start, "end": span.end, "label": label })
}

/// A SARIF 2.1.0 log with one run.
pub fn sarif(mistakes: &Mistakes, sources: &Sources) -> Value {
    let results: Vec<Value> = mistakes
        .iter()
        .map(|diagnostic| {
            let mut text = diagnostic.message.clone();
            for extra in diagnostic.notes.iter().chain(&diagnostic.help) {
                text.push_str(". ");
                text.push_str(extra);
            }
            let mut result = json!({
                "ruleId": diagnostic.code,
                "level": word(diagnostic.severity),
                "message": { "text": text },
            });
            if let Some(span) = diagnostic.span {
                result["locations"] = json!([sarif_place(span, sources)]);
            } else if let Some(file) = &diagnostic.file {
                result["locations"] =
                    json!([{ "physicalLocation": { "artifactLocation": { "uri": file } } }]);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "myelin", "version": env!("CARGO_PKG_VERSION") } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_place(span: Span, sources: &Sources) -> Value {
    let place = sources.place(span);
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": place.file },
        "region": {
            "startLine": place.line,
            "startColumn": place.column,
            "byteOffset": span.start,
            "byteLength": span.end - span.start,
        },
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake() -> (Diagnostic, Sources) {
        let mut sources = Sources::default();
        let file = sources.add(
            "sequences/in.xml",
            "<sequence>\n\t<endpoint key=\"OrderBackend\"/>\n</sequence>",
        );
        let start = sources.file(file).text.find("OrderBackend").expect("it is there");
        let diagnostic = Diagnostic::error(
            "E0401",
            Span::new(file, start..start + 12),
            "there is no endpoint `OrderBackend`",
        )
        .label("no endpoint has this name")
        .help("did you mean `OrdersBackend`?");
        (diagnostic, sources)
    }

    #[test]
    fn the_line_itself_is_shown_and_the_place_in_it() {
        let (diagnostic, sources) = mistake();
        assert_eq!(
            one_plain(&diagnostic, &sources),
            "error[E0401]: there is no endpoint `OrderBackend`\n\
             \x20  ┌─ sequences/in.xml:2:17\n\
             \x202 │     <endpoint key=\"OrderBackend\"/>\n\
             \x20  │                    ^^^^^^^^^^^^ no endpoint has this name\n\
             \x20  = help: did you mean `OrdersBackend`?\n"
        );
    }

    #[test]
    fn an_editor_gets_byte_ranges() {
        let (diagnostic, sources) = mistake();
        let mut mistakes = Mistakes::default();
        mistakes.push(diagnostic.clone());
        mistakes.push(diagnostic);
        let listed = json(&mistakes, &sources);
        assert_eq!(
            listed.as_array().map(Vec::len),
            Some(1),
            "one root cause prints once"
        );
        assert_eq!(listed[0]["place"]["start"], 27);
        assert_eq!(
            sarif(&mistakes, &sources)["runs"][0]["results"][0]["ruleId"],
            "E0401"
        );
    }
}
