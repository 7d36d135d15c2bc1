//! Documents that are to be refused: S-XML-1 to S-XML-4 of the reliability plan, generated.

use std::net::TcpListener;
use std::path::Path;

/// Something to be read, and somebody to be asked. Neither happens.
pub struct Canary {
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Canary {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("canary"), "tweet-tweet").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { folder, listener }
    }

    pub fn bombs(&self) -> Vec<Bomb> {
        let port = self.listener.local_addr().unwrap().port();
        let mut all = doctypes(&self.folder.path().join("canary"), port);
        all.extend(sizes());
        all.extend(encodings());
        all
    }

    pub fn sings_not(&self) {
        assert!(self.listener.accept().is_err(), "the canary's port was asked");
    }
}

/// A document that is to be refused.
pub struct Bomb {
    pub name: &'static str,
    pub text: Vec<u8>,
}

fn bomb(name: &'static str, text: impl Into<Vec<u8>>) -> Bomb {
    Bomb {
        name,
        text: text.into(),
    }
}

/// Documents with a DOCTYPE, S-XML-1 and S-XML-2: they would open `canary`, ask at its port, or grow.
fn doctypes(canary: &Path, port: u16) -> Vec<Bomb> {
    let file = canary.display();
    let laughs: String = (1..=10)
        .map(|level| {
            let before = format!("&l{};", level - 1).repeat(10);
            format!("<!ENTITY l{level} \"{before}\">")
        })
        .collect();
    vec![
        bomb(
            "an entity of a file",
            format!("<!DOCTYPE d [<!ENTITY x SYSTEM \"file://{file}\">]><d>&x;</d>"),
        ),
        bomb(
            "an entity of a host",
            format!("<!DOCTYPE d [<!ENTITY x SYSTEM \"http://127.0.0.1:{port}/x\">]><d>&x;</d>"),
        ),
        bomb(
            "a parameter entity",
            format!("<!DOCTYPE d [<!ENTITY % x SYSTEM \"http://127.0.0.1:{port}/x\"> %x;]><d/>"),
        ),
        bomb(
            "an external subset",
            format!("<!DOCTYPE d SYSTEM \"http://127.0.0.1:{port}/d.dtd\"><d/>"),
        ),
        bomb(
            "a public subset",
            format!("<!DOCTYPE d PUBLIC \"-//x//y\" \"http://127.0.0.1:{port}/d.dtd\"><d/>"),
        ),
        bomb(
            "an unparsed entity",
            format!(
                "<!DOCTYPE d [<!NOTATION n SYSTEM \"n\"><!ENTITY x SYSTEM \"file://{file}\" NDATA n>]><d/>"
            ),
        ),
        bomb(
            "a billion laughs",
            format!("<!DOCTYPE d [<!ENTITY l0 \"ha\">{laughs}]><d>&l10;</d>"),
        ),
        bomb(
            "a quadratic blow-up",
            format!(
                "<!DOCTYPE d [<!ENTITY x \"{}\">]><d>{}</d>",
                "a".repeat(50_000),
                "&x;".repeat(20_000)
            ),
        ),
        bomb(
            "an entity of itself",
            "<!DOCTYPE d [<!ENTITY x \"&y;\"><!ENTITY y \"&x;\">]><d>&x;</d>",
        ),
        bomb(
            "a default attribute",
            "<!DOCTYPE d [<!ATTLIST d admin CDATA \"1\">]><d/>",
        ),
        bomb("an empty DOCTYPE", "<!DOCTYPE d><d/>"),
    ]
}

/// S-XML-3: too much of something.
fn sizes() -> Vec<Bomb> {
    let deep = |depth: usize| format!("{}{}", "<d>".repeat(depth), "</d>".repeat(depth));
    let many = |make: fn(usize) -> String| -> String {
        let all: String = (0..100_000).map(make).collect();
        format!("<d{all}/>")
    };
    vec![
        bomb("depth 1,000", deep(1_000)),
        bomb("depth 10,000", deep(10_000)),
        bomb("depth 1,000,000", deep(1_000_000)),
        bomb("depth without an end", "<d>".repeat(1_000_000)),
        bomb("100,000 attributes", many(|at| format!(" a{at}=\"\""))),
        bomb("one attribute 100,000 times", many(|_| " a=\"\"".to_owned())),
        bomb("100,000 declarations", many(|at| format!(" xmlns:n{at}=\"u\""))),
        bomb("a huge attribute", format!("<d a=\"{}\"/>", "x".repeat(32 << 20))),
        bomb("a huge name", format!("<{}/>", "x".repeat(100_000))),
        bomb(
            "1,000,000 siblings",
            format!("<d>{}</d>", "<e/>".repeat(1_000_000)),
        ),
        bomb(
            "a huge comment",
            format!("<d><!--{}--></d>", "x".repeat(11 << 20)),
        ),
        bomb(
            "a huge CDATA section",
            format!("<d><![CDATA[{}]]></d>", "x".repeat(11 << 20)),
        ),
        bomb(
            "a huge instruction",
            format!("<d><?x {}?></d>", "x".repeat(11 << 20)),
        ),
    ]
}

/// S-XML-4: what is read in one way here and in another there.
fn encodings() -> Vec<Bomb> {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    vec![
        bomb(
            "UTF-7",
            "<?xml version='1.0' encoding='UTF-7'?><d>+ADw-x/+AD4-</d>",
        ),
        bomb("UTF-16 without a mark", wide("<d/>")),
        bomb(
            "UTF-16 that says UTF-8",
            wide("\u{feff}<?xml version='1.0' encoding='UTF-8'?><d/>"),
        ),
        bomb(
            "UTF-8 that says UTF-16",
            "<?xml version='1.0' encoding='UTF-16'?><d/>",
        ),
        bomb(
            "an unknown encoding",
            "<?xml version='1.0' encoding='x-evil'?><d/>",
        ),
        bomb("a NUL", "<d>\0</d>"),
        bomb("a reference to NUL", "<d>&#0;</d>"),
        bomb("overlong UTF-8", b"<d>\xc0\xbcx\xc0\xbe</d>"),
        bomb("a lone surrogate", b"<d>\xed\xa0\x80</d>"),
        bomb(
            "a second declaration",
            "<?xml version='1.0'?><?xml version='1.0'?><d/>",
        ),
        bomb("an undefined entity", "<d>&nbsp;</d>"),
        bomb("two roots", "<d/><d/>"),
        bomb("an unbound prefix", "<p:d/>"),
        bomb(
            "two attributes that are one",
            "<d xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>",
        ),
    ]
}
