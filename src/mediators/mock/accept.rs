//! What a client accepts (RFC 9110 section 12.5.1): media ranges with their weights.

use crate::message::media_type::MediaType;
use http::{HeaderMap, header};

#[derive(Debug, Default)]
pub struct Accept {
    ranges: Vec<Range>,
}

#[derive(Debug)]
struct Range {
    family: String,
    subtype: String,
    parameters: Vec<(String, String)>,
    /// In thousandths.
    weight: u16,
}

impl Accept {
    pub fn of(headers: &HeaderMap) -> Accept {
        let mut ranges = Vec::new();
        for header in headers.get_all(header::ACCEPT) {
            let text = String::from_utf8_lossy(header.as_bytes());
            ranges.extend(split(&text).into_iter().filter_map(range));
        }
        Accept { ranges }
    }

    /// The best of these; of equally good ones JSON, then the first. `None` when none is accepted.
    pub fn choose<'t, T: Copy>(&self, all: &[T], media_type: impl Fn(T) -> &'t MediaType) -> Option<T> {
        let weighed = all.iter().enumerate().filter_map(|(at, one)| {
            let media_type = media_type(*one);
            let weight = self.weight(media_type);
            let is_json = media_type.essence == "application/json";
            (weight > 0).then_some((weight, is_json, std::cmp::Reverse(at), *one))
        });
        weighed
            .max_by_key(|(weight, is_json, at, _)| (*weight, *is_json, *at))
            .map(|(.., one)| one)
    }

    /// The weight of the range that fits most exactly; nothing said accepts everything.
    fn weight(&self, media_type: &MediaType) -> u16 {
        if self.ranges.is_empty() {
            return 1000;
        }
        let (family, subtype) = media_type
            .essence
            .split_once('/')
            .unwrap_or((&media_type.essence, ""));
        self.ranges
            .iter()
            .filter_map(|range| Some((range.precision(family, subtype, media_type)?, range.weight)))
            .max_by_key(|(precision, _)| *precision)
            .map_or(0, |(_, weight)| weight)
    }
}

impl Range {
    /// How exactly it fits, if it does.
    fn precision(&self, family: &str, subtype: &str, media_type: &MediaType) -> Option<usize> {
        match (self.family.as_str(), self.subtype.as_str()) {
            ("*", "*") => return Some(0),
            (own, "*") => return (own == family).then_some(1),
            (own, own_subtype) if own == family && own_subtype == subtype => {}
            _ => return None,
        }
        let has = |(name, value): &(String, String)| {
            // Bodies made here are UTF-8, whatever the definition leaves out.
            let own = media_type
                .parameter(name)
                .or((name == "charset").then_some("utf-8"));
            own.is_some_and(|own| own.eq_ignore_ascii_case(value))
        };
        self.parameters
            .iter()
            .all(has)
            .then_some(2 + self.parameters.len())
    }
}

/// The parts between commas that stand in no quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .collect()
}

fn range(text: &str) -> Option<Range> {
    let parsed = MediaType::parse(text);
    let essence = parsed.essence.as_str();
    // As old clients of Java write it.
    let (family, subtype) = if essence == "*" {
        ("*", "*")
    } else {
        essence.split_once('/')?
    };
    let mut weight = 1000;
    let mut parameters = Vec::new();
    for (name, value) in &parsed.parameters {
        if name == "q" {
            let number = value
                .trim()
                .parse::<f32>()
                .ok()
                .filter(|number| number.is_finite());
            weight = (number.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0).round() as u16;
            // What follows the weight belongs to Accept itself.
            break;
        }
        parameters.push((name.clone(), value.clone()));
    }
    Some(Range {
        family: family.to_owned(),
        subtype: subtype.to_owned(),
        parameters,
        weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(accept: &str, expected: &str) {
        const ALL: [&str; 4] = [
            "application/xml",
            "application/json",
            "text/plain",
            "application/vnd.pet+json; version=2",
        ];
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(
                header::ACCEPT,
                HeaderValue::from_str(accept).expect("it is a value"),
            );
        }
        let types = ALL.map(MediaType::parse);
        let numbered: Vec<usize> = (0..ALL.len()).collect();
        let chosen = Accept::of(&headers).choose(&numbered, |at: usize| &types[at]);
        assert_eq!(chosen.map_or("none", |at| ALL[at]), expected, "{accept}");
    }

    #[test]
    fn the_best_weight_wins_then_json_then_the_order() {
        check("", "application/json");
        check("*/*", "application/json");
        check("application/xml", "application/xml");
        check("APPLICATION/XML;q=0.5, text/*", "text/plain");
        check("application/json;q=0.1, application/xml;q=0.2", "application/xml");
        check("application/json;q=0, */*", "application/xml");
        check("application/*;q=0.3, application/json;q=0.2", "application/xml");
        check(
            "application/vnd.pet+json;version=2, */*;q=0.1",
            "application/vnd.pet+json; version=2",
        );
        check("application/vnd.pet+json;version=3", "none");
        check("application/json; charset=UTF-8", "application/json");
        check("image/png", "none");
        check("text/html, */*;q=0", "none");
        check("*, text/plain;q=0.4", "application/json");
    }
}
