//! The JSON test suite (github.com/nst/JSONTestSuite), where it is at hand: `tests/oracle/run` fetches it.

use myelin::message::json::{JsonLimits, parse};

#[test]
fn the_json_suite_is_answered() {
    let Some(folder) = std::env::var_os("MYELIN_JSONSUITE") else {
        println!("MYELIN_JSONSUITE is not set: the JSON suite was not asked");
        return;
    };
    let (mut read, mut refused, mut free) = (0, 0, 0);
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let answer = parse(
            &std::fs::read(&path).expect("it can be read"),
            &JsonLimits::default(),
        );
        match (name.as_bytes().first(), answer) {
            (Some(b'y'), Ok(_)) => read += 1,
            (Some(b'n'), Err(_)) => refused += 1,
            // Either will do, as long as it ends.
            (Some(b'i'), _) => free += 1,
            (_, Ok(_)) => wrong.push(format!("{name} was read")),
            (_, Err(error)) => wrong.push(format!("{name} was refused: {error}")),
        }
    }
    println!("{read} read, {refused} refused, {free} left open");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((read, refused), (95, 188), "the whole suite was asked");
}
