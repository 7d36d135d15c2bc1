//! The name of a function: short, or an ARN that says its region.

/// A function, perhaps with a version or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    text: String,
    region: Option<String>,
    qualified: bool,
}

impl Function {
    /// Reads `NAME`, `ACCOUNT:function:NAME` or `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, each with `:QUALIFIER` or without.
    pub fn parse(text: &str) -> Result<Function, &'static str> {
        let parts: Vec<&str> = text.split(':').collect();
        let (region, rest) = match parts.as_slice() {
            ["arn", partition, service, region, rest @ ..] => {
                if !partition.starts_with("aws") || *service != "lambda" {
                    return Err("it is the ARN of something else");
                }
                (Some((*region).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let rest = match rest {
            [account, "function", rest @ ..] if is_account(account) => rest,
            _ if region.is_some() => {
                return Err(
                    "after the region of an ARN there are an account of twelve digits, `function` and a name",
                );
            }
            ["function", rest @ ..] => rest,
            rest => rest,
        };
        let (name, qualifier) = match rest {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return Err("a function's name has at most one `:`, before its version or alias"),
        };
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err("its name is one of letters, digits, `-` and `_`");
        }
        if qualifier.is_some_and(|qualifier| !is_qualifier(qualifier)) {
            return Err("its version or alias is one of letters, digits, `-` and `_`, or `$LATEST`");
        }
        if region.as_deref().is_some_and(|region| !is_region(region)) {
            return Err("its region is none");
        }
        Ok(Function {
            text: text.to_owned(),
            region,
            qualified: qualifier.is_some(),
        })
    }

    /// As AWS is told it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it is, if its name says so.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub fn is_qualified(&self) -> bool {
        self.qualified
    }
}

pub fn is_qualifier(text: &str) -> bool {
    text == "$LATEST" || !text.is_empty() && text.bytes().all(is_plain)
}

/// It becomes part of a host's name.
pub fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_partial_or_whole() {
        let check = |text: &str, region: Option<&str>, qualified: bool| {
            let function = Function::parse(text).expect(text);
            assert_eq!((function.region(), function.is_qualified()), (region, qualified));
            assert_eq!(function.text(), text);
        };
        check("hello", None, false);
        check("hello:live", None, true);
        check("hello:$LATEST", None, true);
        check("123456789012:function:hello", None, false);
        check("function:hello:3", None, true);
        check(
            "arn:aws:lambda:eu-west-1:123456789012:function:hello",
            Some("eu-west-1"),
            false,
        );
        check(
            "arn:aws-cn:lambda:cn-north-1:123456789012:function:hello:2",
            Some("cn-north-1"),
            true,
        );
    }

    #[test]
    fn nothing_else_is_the_name_of_a_function() {
        for text in [
            "",
            "a b",
            "a/b",
            "../invocations",
            "a:b:c",
            "a:b!",
            "ö",
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:eu-west-1:1:function:a",
            "arn:aws:lambda:eu-west-1:123456789012:layer:a",
            "arn:aws:lambda:evil.host/:123456789012:function:a",
            "arn:aws:lambda:eu-west-1",
        ] {
            assert!(Function::parse(text).is_err(), "{text}");
        }
    }
}
