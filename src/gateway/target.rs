//! The request's path, made safe once: routing and backends see the same string.

use memchr::memchr;
use std::borrow::Cow;

/// The target as it is routed and forwarded, or what is wrong with its path. Dot segments are resolved, encoded ones too; nothing else is
/// decoded or changed.
pub fn clean(target: &str) -> Result<Cow<'_, str>, &'static str> {
    let (path, query) = match memchr(b'?', target.as_bytes()) {
        Some(mark) => target.split_at(mark),
        None => (target, ""),
    };
    if path.bytes().all(|byte| !matches!(byte, b'%' | b'\\' | b'.')) {
        return Ok(Cow::Borrowed(target));
    }
    check(path)?;
    if !path.split('/').any(|segment| dots(segment) > 0) {
        return Ok(Cow::Borrowed(target));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dots(segment) {
            0 => kept.push(segment),
            count => {
                if count == 2 {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
        }
    }
    Ok(Cow::Owned(format!("/{}{query}", kept.join("/"))))
}

/// 1 for `.`, 2 for `..`, however they are written; 0 for anything else.
fn dots(segment: &str) -> usize {
    match segment.len() {
        1 | 2 | 3 | 4 | 6 => match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => 1,
            ".." => 2,
            _ => 0,
        },
        _ => 0,
    }
}

fn check(path: &str) -> Result<(), &'static str> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => return Err("there is a backslash in the path"),
            b'%' => {
                let digits = bytes
                    .get(at + 1..at + 3)
                    .and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    None => return Err("there is a `%` without two digits behind it in the path"),
                    Some(0) => return Err("there is a NUL in the path"),
                    Some(byte) => decoded.push(byte),
                }
                at += 3;
                continue;
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    // Characters written longer than they need to be pass through filters that look for them.
    let overlong = decoded.windows(2).any(|pair| {
        matches!(
            pair,
            [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F] | [0xF0, 0x80..=0x8F]
        )
    });
    if overlong {
        Err("there is an overlong character in the path")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_resolved_and_nothing_else_is_touched() {
        for (target, cleaned) in [
            ("/a/b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b?x=..", "/b?x=.."),
            ("/a/./b/.", "/a/b/"),
            ("/../../etc", "/etc"),
            ("/a/..", "/"),
            ("/a/.%2e/", "/"),
            ("/a/%252e%252e/b", "/a/%252e%252e/b"),
            ("/a//b;x=1", "/a//b;x=1"),
            ("/a.json", "/a.json"),
            ("/a/...", "/a/..."),
            ("/a%2Fb", "/a%2Fb"),
            ("/a?b=%zz", "/a?b=%zz"),
            ("*", "*"),
        ] {
            assert_eq!(clean(target).as_deref(), Ok(cleaned), "{target}");
        }
    }

    #[test]
    fn paths_that_mean_two_things_are_refused() {
        for target in [
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%00",
            "/a\\b",
            "/%c0%ae%c0%ae/",
            "/%e0%80%af",
            "/a/%+1",
        ] {
            assert!(clean(target).is_err(), "{target}");
        }
        assert!(clean("/caf%C3%A9").is_ok());
        assert!(clean("/caf%E9").is_ok());
    }
}
