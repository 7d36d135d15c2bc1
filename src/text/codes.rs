//! Every code a mistake may have: what it means, and what cures it. A code never changes its meaning.
//!
//! The letter says how bad it is (`E` refuses the start, `W` warns, `N` only notes), the first two digits what it is about: 01 files, archives
//! and settings, 02 elements and their attributes, 03 expressions, 04 names that others refer to, 05 what is not here.

pub struct Code {
    pub code: &'static str,
    pub meaning: &'static str,
    pub cure: &'static str,
}

#[rustfmt::skip]
pub const ALL: &[Code] = &[
    code("E0100", "A file or folder is not there or cannot be read.", "Look at its name and at the rights of the user that runs Myelin."),
    code("E0101", "A text is not well-formed XML.", "Mend it at the place that is shown: the text before it still made sense."),
    code("E0102", "A file is larger than a configuration may be.", "Serve large data from elsewhere, or move the file out of the folder."),
    code("E0103", "A text is in no encoding that can be read.", "Save the file as UTF-8."),
    code("E0104", "There are more files below the folder than a configuration has.", "Give the folder that holds the artifacts, not one above it."),
    code("E0105", "A file is named like an artifact and is not in Synapse's namespace, so it is not deployed.", "Add xmlns=\"http://ws.apache.org/ns/synapse\" to its root element."),
    code("E0106", "An archive (.car) cannot be unpacked, or does not hold what it lists.", "Build the archive anew."),
    code("E0107", "A file that was named on its own is no artifact of Synapse.", "Add the namespace to its root element, or name another file."),
    code("E0108", "The settings are not TOML.", "Mend them at the place that is shown."),
    code("E0109", "There is no setting of this name.", "`myelin run --help` and the README list the settings."),
    code("E0110", "The value of a setting does not fit.", "Write what the message asks for."),
    code("E0111", "An API definition (OpenAPI) cannot be read.", "Mend it at the place that is shown; it is YAML or JSON."),
    code("E0201", "An element has no attribute of this name.", "`myelin explain ELEMENT` lists the attributes; Synapse would have overlooked it without a word."),
    code("E0202", "A needed attribute is missing.", "Add it."),
    code("E0203", "A value is not what is expected in its place.", "Write what the message asks for."),
    code("E0204", "An element cannot stand inside this one.", "`myelin explain ELEMENT` lists what may."),
    code("E0205", "There is no mediator of this name.", "Look for a slip of the pen: `myelin explain` lists all mediators."),
    code("E0206", "The root of a file is no artifact.", "`myelin explain` lists all artifacts."),
    code("E0207", "An element that may stand inside once stands there again.", "Remove all but one."),
    code("E0208", "An element that must stand inside is missing.", "Add it."),
    code("E0209", "An endpoint is of no kind.", "Put an `<http>`, `<address>` or `<default>` inside, or a `key` on it."),
    code("E0210", "Parts that only make sense together are not together.", "Add the part that is asked for, or remove the one that needs it."),
    code("E0211", "A template uses an argument that is not there.", "Add the argument, or correct its number: they are counted from 1."),
    code("E0212", "A source, a target and what is done with them do not go together.", "Synapse would refuse it as well, or fail on every message: choose another type or expression."),
    code("E0213", "There is no such fault code in this version of SOAP.", "Write one of those that the message lists."),
    code("E0214", "A sequence at the top of a file refers to another one.", "Give it a `name` and steps, or put it inside a sequence."),
    code("E0220", "The context of an API cannot be served.", "Begin it with a slash, and use no characters that a path cannot have."),
    code("E0221", "A `uri-template` or `url-mapping` is not one.", "Mend it at the place that is shown."),
    code("E0222", "The target of a proxy leads nowhere.", "Give it an `inSequence` or an `endpoint`."),
    code("E0223", "An API definition (OpenAPI) says what it cannot mean.", "Mend it at the place that is shown."),
    code("E0224", "An API whose callers rely on it has a prototype.", "Put an `<inSequence>` that sends to the real backend in its place, or make the API's `state` PROTOTYPED."),
    code("E0301", "An expression is missing, or is no XPath.", "Mend it at the place that is shown."),
    code("E0302", "This is no JSONPath.", "Mend it at the place that is shown."),
    code("E0303", "This is no Synapse expression.", "Mend it at the place that is shown."),
    code("E0304", "This is no regular expression.", "Mend it; it is Java's dialect."),
    code("E0305", "This is no address that can be called.", "Write http:// or https:// and a host; names in braces must name something."),
    code("E0306", "This is no rhai script, or it asks for something that scripts are not given.", "Mend it at the place that is shown; `myelin explain dynamic` lists what is given."),
    code("E0307", "An entry of an allow list is none.", "Write hosts, such as `https://*.example.com`, or networks, such as `10.0.0.0/8`."),
    code("E0308", "A script makes addresses whose host nothing limits.", "Say with `allow` where it may go."),
    code("E0309", "This is no JavaScript, or it lacks what it is asked to run.", "Mend it at the place that is shown."),
    code("E0310", "A script asks for something that scripts are not given.", "The message tells what to use instead; `myelin explain mc` lists what there is."),
    code("E0401", "Nothing has the name that is referred to.", "Correct the name, or add the file that defines it."),
    code("E0402", "A value comes from the surroundings, and is not set there.", "Set it in the environment, in `.env` or in `config.properties`."),
    code("E0403", "A name is taken already.", "Rename or remove one of the two."),
    code("E0404", "A file that is referred to cannot be read.", "Look at its name and rights."),
    code("E0405", "Two APIs would answer the same requests.", "Give one another context or version, or remove it."),
    code("E0406", "Two resources of an API would answer the same requests.", "Give one another path or method, or remove it."),
    code("E0407", "Endpoints refer to each other in a circle.", "Let one of them name an address."),
    code("E0410", "A WSDL cannot be read, or does not say where to send.", "Mend the WSDL, or name a service and a port that are in it."),
    code("E0411", "A name in the settings that no API, proxy or resource has.", "Correct the name: a guard that is spelled wrongly guards nothing."),
    code("E0501", "A mediator of Synapse's that does not run here yet.", "The message tells what to do instead."),
    code("E0502", "A kind of endpoint that does not run here yet.", "The message tells what to do instead."),
    code("E0503", "An artifact that does not run here yet, or never will.", "The message tells what to do instead."),
    code("E0505", "An attribute, a child or a form of an element that is not supported.", "The message tells what to do instead."),
    code("E0506", "An operation of a connector; connectors are Java archives.", "Call the service over HTTP."),
    code("E0507", "A transport that is not here: only HTTP is.", "Put a bridge in front that speaks HTTP."),
    code("N0101", "An artifact is in a folder for another kind; it is deployed as what it is.", "Move the file, to find it again."),
    code("N0102", "A file that Synapse put aside after a failure; it is ignored.", "Remove it."),
    code("N0103", "Settings of a `deployment.toml` that have no counterpart here.", "Nothing needs to be done."),
    code("N0201", "An endpoint that any failure takes out of use for 30 s, because nothing else is said.", "Say with `suspendOnFailure` what you mean."),
    code("N0223", "An API definition (OpenAPI) is not served.", "Nothing, unless it was meant to be: the message says why."),
    code("N0301", "Messages may go wherever their `To` says.", "If clients can choose it, say with `allow` where it may lead."),
    code("W0103", "A symbolic link points to nothing.", "Remove it, or bring back what it points to."),
    code("W0104", "An archive holds an artifact that it does not list, so it is not deployed.", "Build the archive anew."),
    code("W0105", "An archive lists what it does not hold.", "Build the archive anew."),
    code("W0106", "A file may be meant for Synapse, and is not in its namespace; it is not deployed.", "Add xmlns=\"http://ws.apache.org/ns/synapse\" if it is."),
    code("W0107", "A setting that has no effect.", "Remove it."),
    code("W0108", "A value that `config.properties` names is not there.", "Set it, or remove the line."),
    code("W0203", "A method that an endpoint cannot set; the message keeps its own.", "Set GET, POST, PUT, DELETE, HEAD, PATCH or OPTIONS."),
    code("W0206", "Text in an element that takes none.", "Remove it; perhaps an element was meant."),
    code("W0210", "A part has no effect beside another one, which wins.", "Remove one of the two."),
    code("W0211", "This is no HTTP status.", "Write a number from 100 to 999."),
    code("W0212", "A part of a SOAP fault that this version of SOAP does not have.", "Remove it, or choose the other version."),
    code("W0220", "A `version-type` without `version`.", "Add the version, or remove the type."),
    code("W0222", "A resource that answers 202 and does nothing.", "Give it an `inSequence`."),
    code("W0223", "A part of an API definition (OpenAPI) is not read.", "Write it into the file itself, if it matters to the answers."),
    code("W0224", "A proxy that no request can reach.", "Rename it, or serve it over HTTP."),
    code("W0225", "A `url-pattern`, which Synapse passes over: its resource takes every path.", "Write `url-mapping`."),
    code("W0303", "An expression that is right and probably not meant so.", "The message tells what it does."),
    code("W0305", "A name in a URI template that never has a value.", "Set it before the call, or remove it."),
    code("W0308", "A script that may give no address, as nothing says where it may go.", "Say with `allow` where it may go, unless it gives names of endpoints alone."),
    code("W0310", "There is nothing of this name on `mc`.", "`myelin explain mc` lists what there is."),
    code("W0311", "A mock sets JSON and does not say so, so that it answers with XML.", "Set the property CONTENT_TYPE to `application/json`."),
    code("W0401", "A step that is never reached.", "Remove it, or what stands before it."),
    code("W0402", "A resource that another one always hides.", "Remove it, or make the other one narrower."),
    code("W0403", "Requests that go to another API here than in Synapse.", "Rename one context if you mean the other one."),
    code("W0404", "A file that is referred to is not there; things go on without it.", "Correct its name, or add it."),
    code("W0405", "An API demands tokens, and the settings name nobody whose tokens are taken.", "Name an issuer in `myelin.toml`: `[[token]]` with `issuer`, `jwks` and `algorithms`."),
    code("W0504", "Something that is understood and not in effect yet.", "Do without it for the time being."),
    code("W0505", "A backend whose certificate is not looked at, or not wholly.", "Trust its authority with `ca`, or use `Strict`."),
];

/// The table's entry, whatever the case it is written in.
pub fn find(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|known| known.code.eq_ignore_ascii_case(code))
}

const fn code(code: &'static str, meaning: &'static str, cure: &'static str) -> Code {
    Code { code, meaning, cure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_code_in_use_is_in_the_table_and_every_code_in_the_table_is_in_use() {
        let mut used = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        let known: BTreeSet<String> = ALL.iter().map(|known| known.code.to_owned()).collect();
        assert_eq!(used, known);
    }

    #[test]
    fn the_table_is_in_order_and_each_code_says_something() {
        assert!(ALL.is_sorted_by(|one, next| one.code < next.code));
        for Code { code, meaning, cure } in ALL {
            assert!(meaning.ends_with('.') && cure.ends_with('.'), "{code}");
        }
        let meanings: BTreeSet<&str> = ALL.iter().map(|known| known.meaning).collect();
        assert_eq!(meanings.len(), ALL.len());
    }

    /// Adds whatever stands in quotes and looks like a code.
    fn collect(folder: &Path, used: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, used);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("text/codes.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let codes = text.split('"').filter(|text| {
                    let (letter, digits) = text.split_at_checked(1).unwrap_or_default();
                    matches!(letter, "E" | "W" | "N")
                        && digits.len() == 4
                        && digits.bytes().all(|byte| byte.is_ascii_digit())
                });
                used.extend(codes.map(str::to_owned));
            }
        }
    }
}
