//! The binary as people and build servers meet it: streams, formats, exit codes.

use std::path::Path;
use std::process::{Command, Output};

const NAMESPACE: &str = "http://ws.apache.org/ns/synapse";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("XMLNS", &format!("xmlns=\"{NAMESPACE}\""))).unwrap();
    }
    folder
}

fn myelin(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_myelin"))
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn ran(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = myelin(folder, arguments, &[]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const GOOD: &[(&str, &str)] = &[("a.xml", "<sequence XMLNS name=\"a\"/>")];
const BROKEN: &[(&str, &str)] = &[
    ("a.xml", "<sequence XMLNS name=\"a\"/>"),
    (
        "in/b.xml",
        "<sequence XMLNS name=\"b\">\n  <nonsense/>\n</sequence>",
    ),
];

#[test]
fn check_succeeds_with_nothing_to_say_and_fails_with_findings() {
    let good = folder(GOOD);
    let (code, out, err) = ran(good.path(), &["check"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("plain folder: 1 sequence\nno mistakes\n"), "{err}");
    let broken = folder(BROKEN);
    for arguments in [&["check"][..], &["validate"], &["-t"], &["check", "."]] {
        let (code, out, err) = ran(broken.path(), arguments);
        assert_eq!(code, 1, "{err}");
        assert!(out.contains("┌─ in/b.xml:2:") && !out.contains('\x1b'), "{out}");
        assert!(err.contains("1 error"), "{err}");
    }
}

#[test]
fn files_are_named_as_they_were_given() {
    let broken = folder(BROKEN);
    let above = broken.path().parent().unwrap();
    let name = broken.path().file_name().unwrap().to_str().unwrap();
    let (_, out, _) = ran(above, &["check", name]);
    assert!(out.contains(&format!("┌─ {name}/in/b.xml:2:")), "{out}");
    let (code, out, _) = ran(broken.path(), &["check", "a.xml", "in/b.xml"]);
    assert_eq!(code, 1);
    assert!(out.contains("┌─ in/b.xml:2:"), "{out}");
    assert_eq!(ran(broken.path(), &["check", "a.xml"]).0, 0);
    let (code, out, _) = ran(broken.path(), &["check", "nowhere"]);
    assert_eq!(code, 1);
    assert!(out.contains("there is no such file or folder"), "{out}");
}

#[test]
fn machines_get_json_and_sarif() {
    let broken = folder(BROKEN);
    let parsed = |arguments: &[&str]| -> serde_json::Value {
        let (code, out, _) = ran(broken.path(), arguments);
        assert_eq!(code, 1);
        serde_json::from_str(&out).unwrap()
    };
    let list = parsed(&["check", "--format", "json"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["severity"], "error");
    let both = parsed(&["check", "--format", "json", "--compat"]);
    assert!(both["compat"]["percentage"].is_number(), "{both}");
    assert_eq!(both["mistakes"].as_array().unwrap().len(), 1);
    let sarif = parsed(&["check", "--format=sarif"]);
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "in/b.xml");
    assert_eq!(place["region"]["startLine"], 2);
}

#[test]
fn warnings_fail_only_when_denied() {
    let warned = folder(&[
        ("a.xml", "<sequence XMLNS name=\"a\"/>"),
        ("t.xml", "<task name=\"t\"/>"),
    ]);
    let (code, out, _) = ran(warned.path(), &["check"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("warning[W0106]"), "{out}");
    assert_eq!(ran(warned.path(), &["check", "--deny-warnings"]).0, 1);
}

#[test]
fn compat_lists_what_was_met_with_a_percentage() {
    let broken = folder(BROKEN);
    let (_, out, _) = ran(broken.path(), &["check", "--compat"]);
    assert!(out.contains("elements and attributes are supported ("), "{out}");
}

#[test]
fn a_start_is_refused_when_the_configuration_is_broken() {
    let broken = folder(BROKEN);
    for arguments in [&["run"][..], &[], &["."]] {
        let (code, _, err) = ran(broken.path(), arguments);
        assert_eq!(code, 78, "{err}");
        assert!(
            err.contains("┌─ in/b.xml:2:") && err.contains("not started: 1 error"),
            "{err}"
        );
    }
    let settings = folder(&[
        ("a.xml", "<sequence XMLNS name=\"a\"/>"),
        ("myelin.toml", "lisen = 1"),
    ]);
    let (code, _, err) = ran(settings.path(), &["run"]);
    assert_eq!(code, 78);
    assert!(
        err.contains("┌─ myelin.toml:1:1") && err.contains("did you mean `listen`?"),
        "{err}"
    );
}

#[test]
fn what_is_no_command_line_is_told_as_usage() {
    let good = folder(GOOD);
    for arguments in [
        &["run", "--nonsense"][..],
        &["run", "--listen", "here"],
        &["check", "--format", "x"],
    ] {
        let (code, out, err) = ran(good.path(), arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("error:"), "{err}");
    }
    let output = myelin(good.path(), &["run"], &[("MYELIN_LISTEN", "here")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_names_the_environment_twin_of_every_flag() {
    let good = folder(GOOD);
    let (code, help, _) = ran(good.path(), &["run", "--help"]);
    assert_eq!(code, 0);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let flags: Vec<&str> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| flag.split(['[', '=', ' ']).next().unwrap())
        .filter(|flag| !["no-watch", "help"].contains(flag))
        .collect();
    assert!(flags.len() > 10, "{help}");
    for flag in flags {
        let twin = format!("[env: MYELIN_{}]", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&twin), "{twin} is not in\n{help}");
    }
}

#[test]
fn an_element_is_explained_and_an_unknown_one_gets_a_suggestion() {
    let good = folder(GOOD);
    let (code, out, _) = ran(good.path(), &["explain", "localEntry"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("# `<localEntry>`\n"), "{out}");
    assert!(ran(good.path(), &["explain"]).1.contains("localEntry"));
    let (code, _, err) = ran(good.path(), &["explain", "localEntyr"]);
    assert_eq!(code, 1);
    assert!(err.contains("did you mean `localEntry`?"), "{err}");
    assert!(ran(good.path(), &["explain", "ejb"]).2.contains("need a JVM"));
}
