//! A definition as a mock to go on from: the XML of an API and a script for each operation, in the shape that API Manager's generator made known.
//!
//! The shape: `responseCode` from the query, a table `responses` by code and media type, the lowest success when nobody asks. Left out
//! on purpose is what its users stumble over there: examples of media types count; all media types come, not two of them; `2XX` is
//! one entry instead of a hundred; `default` alone answers 200, not `null`; every operation has its own lowest code; `Accept` is read with its
//! weights and stars; XML is plain text, not E4X; a definition needs no `components`; headers that the definition tells are sent; operations
//! that have an `x-mediation-script` keep it as it is. What answers is in one file beside the scripts, not at the end of each.
//!
//! Requests are not held against the definition, and of `Prefer` only `code` and `example` are heeded: the rest belongs to `myelin mock`, and `--save` says so
//! (`DIFFERENCES`). An answer that is a form (`application/x-www-form-urlencoded`) has an empty body.

use super::bodies;
use super::model::{self, Media, Operation, Place, Response};
use super::read::Node;
use super::references::References;
use super::sample::Way;
use super::{SCRIPT, STATE, context, data_of, has_head, in_order, title};
use crate::deployment::lifecycle::State;
use crate::mediators::mock;
use crate::message::json::{self, Json};
use crate::message::media_type::{Form, MediaType};
use crate::plan::element::SYNAPSE;
use crate::text::{Diagnostic, Severity};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a mock does that its saved scripts do not.
pub const DIFFERENCES: &str = "requests are not held against the definition, no body is made by chance (Prefer: dynamic), and places in examples (x-mock-template) stay as they are";

/// What stands for a definition: names (relative, with `/`) and texts.
#[derive(Debug, PartialEq, Eq)]
pub struct Generated {
    pub api: (String, String),
    pub scripts: Vec<(String, String)>,
}

/// Says it in XML and JavaScript. With mistakes in the definition there is nothing; they are told.
pub fn generate(root: &Node) -> Result<Generated, Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    let definition = model::definition(root, &mut mistakes);
    let context = context(root).map_err(|mistake| mistakes.push(*mistake)).ok();
    let is_error = |mistake: &Diagnostic| mistake.severity == Severity::Error;
    let (Some(definition), Some(context), false) = (definition, context, mistakes.iter().any(is_error))
    else {
        return Err(mistakes);
    };
    let title = title(root).text;
    let folder = slug(&title);
    let mut names = HashSet::from([ANSWER.to_owned()]);
    let mut scripts = vec![(format!("scripts/{folder}/{ANSWER}.js"), ANSWER_SCRIPT.to_owned())];
    let data = data_of(root);
    if let Some((property, data)) = &data {
        names.insert(DATA.to_owned());
        let script = format!(
            "// What the scripts begin with; later they find what they have put there.\nif (mc.getProperty('{property}') == null) {{\n    mc.setProperty('{property}', {});\n}}\n",
            template(data)
        );
        scripts.push((format!("scripts/{folder}/{DATA}.js"), script));
    }
    let mut resources = String::new();
    for operation in in_order(&definition) {
        let wanted = match operation.id {
            Some(id) => slug(id),
            None => slug(&format!("{} {}", operation.method, operation.path)).to_ascii_lowercase(),
        };
        let name = free(&wanted, &mut names);
        let key = format!("scripts/{folder}/{name}.js");
        let own = operation.node.get(SCRIPT).and_then(Node::text);
        let own = own.filter(|script| !script.trim().is_empty());
        let included = match own {
            None => Some(ANSWER),
            Some(_) => data.as_ref().map(|_| DATA),
        };
        let prototype = match included {
            None => format!("<prototype key=\"{key}\"/>"),
            Some(name) => {
                format!("<prototype key=\"{key}\"><include key=\"scripts/{folder}/{name}.js\"/></prototype>")
            }
        };
        let is_readable =
            operation.method == "GET" && own.is_none() && !has_head(&definition, operation.path);
        resources.push_str(&format!(
            "    <resource methods=\"{}{}\" uri-template=\"{}\">\n        {prototype}\n    </resource>\n",
            operation.method,
            if is_readable { " HEAD" } else { "" },
            escaped(operation.path)
        ));
        let script = own.map_or_else(|| script(operation, root), str::to_owned);
        scripts.push((key, script));
    }
    // A mock cannot be of an API that its callers rely on already.
    let state = root.get(STATE).and_then(Node::text).and_then(State::named);
    let state = state.map_or(String::new(), |state| {
        let state = if state.is_for_good() {
            State::Prototyped
        } else {
            state
        };
        format!(" state=\"{}\"", state.word())
    });
    let api = format!(
        "<api xmlns=\"{SYNAPSE}\" name=\"{}\" context=\"{}\"{state}>\n{resources}</api>\n",
        escaped(&title),
        escaped(&context.text)
    );
    Ok(Generated {
        api: (format!("sequences/{folder}.xml"), api),
        scripts,
    })
}

/// Writes it below a folder; gives what was written. Files that are there already and say something else stay, unless `overwrite`; then
/// nothing is written at all.
pub fn save(generated: &Generated, folder: &Path, overwrite: bool) -> Result<Vec<PathBuf>, String> {
    let files = std::iter::once(&generated.api).chain(&generated.scripts);
    let mut wanted = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        match std::fs::symlink_metadata(&path) {
            Err(_) => wanted.push((name, path, text)),
            Ok(_) if std::fs::read(&path).is_ok_and(|known| known == text.as_bytes()) => {}
            Ok(found) if overwrite && found.is_file() => wanted.push((name, path, text)),
            Ok(found) if overwrite => {
                let kind = if found.is_symlink() { "a link" } else { "no file" };
                return Err(format!("{} is {kind}, and is left alone", path.display()));
            }
            Ok(_) => {
                return Err(format!(
                    "{} is there already, and says something else",
                    path.display()
                ));
            }
        }
    }
    for (name, ..) in &wanted {
        let mut parent = folder.to_owned();
        for step in Path::new(name).parent().into_iter().flat_map(Path::components) {
            parent.push(step);
            if std::fs::symlink_metadata(&parent).is_ok_and(|found| !found.is_dir()) {
                return Err(format!(
                    "{} is no folder of its own, and is left alone",
                    parent.display()
                ));
            }
        }
    }
    let failed =
        |path: &Path, error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    let mut written = Vec::new();
    for (_, path, text) in wanted {
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(|error| failed(&path, error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| failed(&path, error))?;
        readable(&file).map_err(|error| failed(&path, error))?;
        if overwrite {
            file.persist(&path).map_err(|error| failed(&path, error.error))?;
        } else {
            file.persist_noclobber(&path)
                .map_err(|error| failed(&path, error.error))?;
        }
        written.push(path);
    }
    Ok(written)
}

/// Temporary files are their owner's alone; scripts are for the team.
fn readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(permissions)
}

const ANSWER: &str = "answer";
const DATA: &str = "data";
const ANSWER_SCRIPT: &str = include_str!("generate/answer.js");

fn script(operation: &Operation<'_>, root: &Node) -> String {
    let summary = ["summary", "description"].iter();
    let summary = summary.filter_map(|word| operation.node.get(word)?.text()).next();
    let summary = summary.map_or(String::new(), |text| format!(": {}", line(text)));
    let mut out = format!(
        "/*\n * {} {}{summary}\n *\n * The responses stand below, and may be changed. The query parameter responseCode picks one (?responseCode=404);\n \
         * without it the lowest success is sent. The Accept header picks its media type.\n */\n",
        operation.method, operation.path
    );
    let is_own = |parameter: &model::Parameter<'_>| {
        parameter.place == Place::Query && parameter.name == "responseCode"
    };
    if operation.parameters.iter().any(is_own) {
        out.push_str(
            "// The operation has a parameter `responseCode` of its own, so it picks no response.\n",
        );
        out.push_str("var responseCode = null;\n");
    } else {
        out.push_str("var responseCode = mc.getProperty('query.param.responseCode');\n");
    }
    let has_names = operation.responses.iter().any(|response| {
        let mut media = response.media.iter();
        media.any(|media| media.examples.iter().any(|example| example.name.is_some()))
    });
    out.push_str("var accept = mc.getProperty('AcceptHeader');\nvar responses = {};\nvar headers = {};\n");
    if has_names {
        out.push_str("var examples = {};\n");
    }
    for response in &operation.responses {
        responded(response, root, &mut out);
    }
    if let Some(usual) = mock::usual(&operation.responses, |response| &response.code) {
        let usual = usual.code.first();
        out.push_str(&format!(
            "\nif (!responseCode) {{\n    responseCode = {usual};\n}}\n"
        ));
    }
    out.push_str(
        "\n// scripts/…/answer.js: sends the response with this code that fits what the client accepts.\n",
    );
    let examples = if has_names { ", examples" } else { "" };
    out.push_str(&format!(
        "answer(responseCode, responses, headers, accept{examples});\n"
    ));
    out
}

fn responded(response: &Response<'_>, root: &Node, out: &mut String) {
    let about = response.code.to_string();
    let key = match about.bytes().all(|byte| byte.is_ascii_digit()) {
        true => about.clone(),
        false => format!("\"{about}\""),
    };
    let description = line(response.description);
    match description.as_str() {
        "" => out.push_str(&format!("\n// {about}\n")),
        description => out.push_str(&format!("\n// {about}: {description}\n")),
    }
    out.push_str(&format!("responses[{key}] = {{}};\n"));
    for media in &response.media {
        let (media_type, body) = body(media, root);
        out.push_str(&format!(
            "responses[{key}][{}] = {body};\n",
            json::text(&Json::String(media_type))
        ));
    }
    let mut is_first = true;
    for media in &response.media {
        let named = media.examples.iter().enumerate();
        let named: Vec<String> = named
            .filter_map(|(at, example)| {
                let name = json::text(&example.name?.into());
                let body = match at {
                    0 => format!(
                        "responses[{key}][{}]",
                        json::text(&bodies::media_type(media).into())
                    ),
                    _ => written(media, example.value, root),
                };
                Some(format!("{name}: {body}"))
            })
            .collect();
        if !named.is_empty() {
            if std::mem::take(&mut is_first) {
                out.push_str(&format!("examples[{key}] = {{}};\n"));
            }
            let media_type = json::text(&bodies::media_type(media).into());
            let named = named.join(", ");
            out.push_str(&format!("examples[{key}][{media_type}] = {{{named}}};\n"));
        }
    }
    let told: Vec<String> = response
        .headers
        .iter()
        .filter_map(|header| {
            let (_, value) = bodies::header(header, References::new(root))?;
            Some(format!(
                "{}: {}",
                json::text(&header.name.into()),
                json::text(&value.into())
            ))
        })
        .collect();
    if !told.is_empty() {
        out.push_str(&format!("headers[{key}] = {{{}}};\n", told.join(", ")));
    }
}

/// The media type without stars, and its body as an expression of JavaScript.
fn body(media: &Media<'_>, root: &Node) -> (String, String) {
    let media_type = bodies::media_type(media);
    let text = bodies::usual(media, root, Way::Answer).unwrap_or_default();
    let written = expression(&text, form(media));
    (media_type, written)
}

/// Another example of it.
fn written(media: &Media<'_>, example: &Node, root: &Node) -> String {
    let form = form(media);
    expression(&bodies::example(example, media.schema, form, root), form)
}

fn form(media: &Media<'_>) -> Form {
    MediaType::parse(&bodies::media_type(media)).form()
}

fn expression(text: &str, form: Form) -> String {
    match form {
        Form::Json => literal(text),
        _ => template(text),
    }
}

/// JSON as a value of JavaScript, where that says all of it; else its text, which `setPayloadJSON` takes as it is.
fn literal(text: &str) -> String {
    match serde_json::from_str::<Json>(text) {
        // A string would be taken for JSON text.
        Ok(value) if !matches!(value, Json::String(_) | Json::Null) && is_exact(&value) => {
            let mut out = String::new();
            indented(&value, 0, &mut out);
            out
        }
        _ => template(text),
    }
}

/// Whether an object of JavaScript keeps the value: it has 53 bits for a number, moves names that look like numbers to the front, and has a use
/// of its own for one name.
fn is_exact(value: &Json) -> bool {
    match value {
        Json::Number(number) => {
            let text = number.to_string();
            text.parse::<f64>().is_ok_and(|float| {
                let same = float.to_string() == text;
                same && (float.fract() != 0.0 || float.abs() <= 9_007_199_254_740_992.0)
            })
        }
        Json::Array(items) => items.iter().all(is_exact),
        Json::Object(object) => object.iter().all(|(name, value)| {
            name != "__proto__" && !name.bytes().all(|byte| byte.is_ascii_digit()) && is_exact(value)
        }),
        _ => true,
    }
}

fn indented(value: &Json, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    match value {
        Json::Object(object) if !object.is_empty() => {
            out.push('{');
            for (index, (name, value)) in object.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                out.push_str(&json::text(&Json::String(name.clone())));
                out.push_str(": ");
                indented(value, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                indented(item, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        value => out.push_str(&json::text(value)),
    }
}

/// A text of JavaScript that may have many lines.
fn template(text: &str) -> String {
    if !text.contains(['\n', '\r']) && !text.contains('\'') && !text.contains('\\') {
        return format!("'{text}'");
    }
    let escaped = text
        .replace('\\', "\\\\")
        .replace('`', "\\`")
        .replace("${", "\\${");
    // A carriage return as it is would be read as a line feed.
    format!("`{}`", escaped.replace('\r', "\\r"))
}

/// One line that ends no comment.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("*/", "* /")
}

/// A name for files: lower-case letters, digits and hyphens where the text has several words, else the text's own letters.
fn slug(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words: Vec<&str> = text
        .split(|c| !is_plain(c))
        .filter(|word| !word.is_empty())
        .collect();
    let mut slug = match words.as_slice() {
        [] => "unnamed".to_owned(),
        [word] => (*word).to_owned(),
        words => words.join("-").to_ascii_lowercase(),
    };
    slug.truncate(100);
    slug
}

/// A name that no other has, in any case: some disks do not tell capitals.
fn free(wanted: &str, names: &mut HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while !names.insert(name.to_ascii_lowercase()) {
        name = format!("{wanted}-{number}");
        number += 1;
    }
    name
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::openapi::read::read;
    use crate::text::Sources;

    const STORE: &str = include_str!("../../../tests/it/generated/store.yaml");

    fn generated(text: &str) -> Generated {
        let mut sources = Sources::default();
        let file = sources.add("x.yaml", text);
        let root = read(file, text).expect("it can be read");
        generate(&root).expect("it is sound")
    }

    fn script(text: &str, name: &str) -> String {
        let generated = generated(text);
        let found = generated
            .scripts
            .into_iter()
            .find(|(known, _)| known.ends_with(name));
        found.expect("it is written").1
    }

    #[test]
    fn an_api_has_one_script_for_each_operation() {
        let generated = generated(STORE);
        assert_eq!(
            generated.api,
            (
                "sequences/bird-shop-1-0-0.xml".to_owned(),
                r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Bird Shop 1.0.0" context="/birds/v1">
    <resource methods="POST" uri-template="/birds">
        <prototype key="scripts/bird-shop-1-0-0/addBird.js"><include key="scripts/bird-shop-1-0-0/answer.js"/></prototype>
    </resource>
    <resource methods="GET HEAD" uri-template="/birds/rare">
        <prototype key="scripts/bird-shop-1-0-0/rareBirds.js"><include key="scripts/bird-shop-1-0-0/answer.js"/></prototype>
    </resource>
    <resource methods="GET" uri-template="/birds/status">
        <prototype key="scripts/bird-shop-1-0-0/get-birds-status.js"/>
    </resource>
    <resource methods="PUT" uri-template="/birds/status">
        <prototype key="scripts/bird-shop-1-0-0/put-birds-status.js"><include key="scripts/bird-shop-1-0-0/answer.js"/></prototype>
    </resource>
    <resource methods="GET HEAD" uri-template="/birds/{birdId}">
        <prototype key="scripts/bird-shop-1-0-0/showBird.js"><include key="scripts/bird-shop-1-0-0/answer.js"/></prototype>
    </resource>
    <resource methods="DELETE" uri-template="/birds/{birdId}">
        <prototype key="scripts/bird-shop-1-0-0/delete-birds-birdid.js"><include key="scripts/bird-shop-1-0-0/answer.js"/></prototype>
    </resource>
</api>
"#
                .to_owned()
            )
        );
        let names: Vec<&str> = generated.scripts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert_eq!(names[0], "scripts/bird-shop-1-0-0/answer.js");
    }

    #[test]
    fn a_script_has_the_known_shape() {
        assert_eq!(
            script(STORE, "/showBird.js"),
            r#"/*
 * GET /birds/{birdId}: One bird * / by its number
 *
 * The responses stand below, and may be changed. The query parameter responseCode picks one (?responseCode=404);
 * without it the lowest success is sent. The Accept header picks its media type.
 */
var responseCode = mc.getProperty('query.param.responseCode');
var accept = mc.getProperty('AcceptHeader');
var responses = {};
var headers = {};

// 404: No such bird
responses[404] = {};
responses[404]["application/json"] = '{"title":"Not found","price":1.10}';

// 200: The bird
responses[200] = {};
responses[200]["application/json"] = {
    "id": 0,
    "name": "Robin & co",
    "seen": ["2015-07-20"]
};
responses[200]["application/xml"] = '<bird id="0"><name>Robin &amp; co</name><seen><day>2015-07-20</day></seen></bird>';
headers[200] = {"X-Colour": "green"};

// 5XX: Anything else
responses["5XX"] = {};
responses["5XX"]["application/problem+json"] = {
    "title": "Broken",
    "status": 500
};

if (!responseCode) {
    responseCode = 200;
}

// scripts/…/answer.js: sends the response with this code that fits what the client accepts.
answer(responseCode, responses, headers, accept);
"#
        );
        assert!(
            script(STORE, "/get-birds-status.js").starts_with("mc.setProperty('CONTENT_TYPE'"),
            "an operation keeps its script"
        );
    }

    #[test]
    fn what_javascript_would_change_is_written_as_text() {
        let exact = literal;
        assert_eq!(exact("[1, 2.5, true, null]"), "[1,2.5,true,null]");
        assert_eq!(exact("1.10"), "'1.10'");
        assert_eq!(exact("12345678901234567890"), "'12345678901234567890'");
        assert_eq!(exact(r#"{"2": 1, "1": 2}"#), r#"'{"2": 1, "1": 2}'"#);
        assert_eq!(exact(r#"{"__proto__": 1}"#), r#"'{"__proto__": 1}'"#);
        assert_eq!(exact(r#""it's""#), "`\"it's\"`");
        assert_eq!(exact("{}"), "{}");
        assert_eq!(template("a`${b}\\\r\n"), "`a\\`\\${b}\\\\\\r\n`");
    }

    #[test]
    fn names_of_files_are_tame_and_differ() {
        let text = "openapi: 3.0.0\ninfo: {title: '../../etc/passwd'}\npaths:\n  /a:\n    get: {operationId: ../x}\n    put: {operationId: X}\n    \
                    post: {operationId: x}\n    delete: {operationId: answer}\n    patch: {operationId: 'ü'}\n";
        let names: Vec<String> = generated(text)
            .scripts
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "scripts/etc-passwd/answer.js",
                "scripts/etc-passwd/x.js",
                "scripts/etc-passwd/X-2.js",
                "scripts/etc-passwd/x-3.js",
                "scripts/etc-passwd/answer-2.js",
                "scripts/etc-passwd/unnamed.js",
            ]
        );
    }

    #[test]
    fn mistakes_of_the_definition_are_told() {
        let mut sources = Sources::default();
        let text = "openapi: 3.0.0\npaths:\n  /a:\n    get: {responses: {'200': {$ref: '#/components/responses/None'}}}\n";
        let file = sources.add("x.yaml", text);
        let mistakes = generate(&read(file, text).expect("it can be read")).expect_err("it is not sound");
        assert!(
            mistakes[0].message.contains("is not in this file"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn saving_never_overwrites_unless_it_is_told_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let generated = generated(STORE);
        let target = folder.path().join("mocks");
        let written = save(&generated, &target, false).expect("nothing is there");
        assert_eq!(written.len(), 8);
        assert_eq!(
            save(&generated, &target, false),
            Ok(Vec::new()),
            "all is there already"
        );
        let script = target.join("scripts/bird-shop-1-0-0/showBird.js");
        std::fs::write(&script, "mine").expect("it can be written");
        std::fs::remove_file(target.join("sequences/bird-shop-1-0-0.xml")).expect("it is there");
        let refused = save(&generated, &target, false).expect_err("a file is somebody's");
        assert!(
            refused.ends_with("showBird.js is there already, and says something else"),
            "{refused}"
        );
        assert!(
            !target.join("sequences/bird-shop-1-0-0.xml").exists(),
            "nothing is written at all"
        );
        assert_eq!(std::fs::read_to_string(&script).expect("it is there"), "mine");
        assert_eq!(save(&generated, &target, true).expect("told to").len(), 2);
        assert_ne!(std::fs::read_to_string(&script).expect("it is there"), "mine");
    }

    #[test]
    fn saving_follows_no_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, other) = (folder.path().join("mocks"), folder.path().join("other"));
        for path in [&target, &other] {
            std::fs::create_dir(path).expect("a folder");
        }
        std::os::unix::fs::symlink(&other, target.join("scripts")).expect("a link");
        let refused = save(&generated(STORE), &target, true).expect_err("a link is no folder");
        assert!(refused.contains("is no folder of its own"), "{refused}");
        assert_eq!(std::fs::read_dir(&other).expect("it is there").count(), 0);
    }

    /// Every scalar's places can be shown.
    fn look_at(node: &Node, text: &str, sources: &Sources) {
        if let Some(decoded) = node.text() {
            let placed = node.placed(text);
            assert_eq!(placed.text, decoded);
            for (at, character) in decoded.char_indices() {
                sources.place(placed.span_of(at..at + character.len_utf8()));
            }
        }
        node.items().iter().for_each(|node| look_at(node, text, sources));
        node.entries()
            .iter()
            .for_each(|(_, node)| look_at(node, text, sources));
    }

    #[test]
    fn no_definition_is_too_broken_to_be_read() {
        const PIECES: &[&str] = &[
            "\n",
            "  ",
            "- ",
            ": ",
            "'",
            "\"",
            "{",
            "}",
            "[",
            "]",
            "|",
            ">",
            "&a ",
            "*a",
            "$ref: ",
            "'#/components/schemas/Bird'",
            "\\",
            "é",
            "\t",
            "\r\n",
            "allOf: ",
            "type: array",
            "items: ",
            "minItems: 99999999",
            "\u{1F426}",
            "# ",
            "null",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        let (mut read_well, mut generated_well) = (0, 0);
        for _ in 0..1500 {
            let mut text = STORE.to_owned();
            for _ in 0..random.usize(1..4) {
                let mut at = random.usize(..text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                if random.bool() {
                    text.insert_str(at, PIECES[random.usize(..PIECES.len())]);
                } else {
                    text.remove(at);
                }
            }
            let mut sources = Sources::default();
            let file = sources.add("x.yaml", text.as_str());
            let Ok(root) = read(file, &text) else { continue };
            read_well += 1;
            look_at(&root, &text, &sources);
            generated_well += usize::from(generate(&root).is_ok());
        }
        assert!(
            read_well > 300 && generated_well > 100,
            "{read_well} {generated_well}"
        );
    }
}
