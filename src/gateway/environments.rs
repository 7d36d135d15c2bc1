//! Gateway environments (`[[apim.gateway.environment]]`): under which address clients know this gateway.

use toml::de::{DeTable, DeValue};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub name: String,
    pub sort: Sort,
    pub http: Option<String>,
    pub https: Option<String>,
}

/// In the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    Production,
    Hybrid,
    Sandbox,
}

/// Where this process listens; addresses may refer to it.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub http: u16,
    pub https: Option<u16>,
}

/// Reads one entry.
pub fn read(table: &DeTable<'_>) -> Environment {
    let text = |name: &str| {
        let value = table.get(name)?.get_ref();
        match value {
            DeValue::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            _ => None,
        }
    };
    let sort = match text("type").as_deref() {
        Some("production") => Sort::Production,
        Some("sandbox") => Sort::Sandbox,
        _ => Sort::Hybrid,
    };
    Environment {
        name: text("name").unwrap_or_default(),
        sort,
        http: text("http_endpoint"),
        https: text("https_endpoint"),
    }
}

/// The address that is told to clients: of a production environment first, https before http. Without a slash at its end.
pub fn public_url(environments: &[Environment], ports: Ports) -> Option<String> {
    let mut sorted: Vec<&Environment> = environments.iter().collect();
    sorted.sort_by_key(|environment| environment.sort);
    sorted.iter().find_map(|environment| {
        let mut addresses = [&environment.https, &environment.http].into_iter().flatten();
        addresses.find_map(|address| resolved(address, ports))
    })
}

/// `None` where the address names a listener that is not there.
fn resolved(address: &str, ports: Ports) -> Option<String> {
    let mut address = address.replace("${http.nio.port}", &ports.http.to_string());
    if address.contains("${https.nio.port}") {
        address = address.replace("${https.nio.port}", &ports.https?.to_string());
    }
    let is_address = crate::wire::url::Url::parse(&address).is_ok() && !address.contains("${");
    is_address.then(|| address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports {
        http: 8290,
        https: Some(8253),
    };

    fn check(toml: &str, ports: Ports, expected: Option<&str>) {
        let (table, _) = DeTable::parse_recoverable(toml);
        let table = table.into_inner();
        let list = table.get("e").and_then(|list| list.get_ref().as_array());
        let environments: Vec<Environment> = list
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|entry| entry.get_ref().as_table())
            .map(read)
            .collect();
        assert_eq!(public_url(&environments, ports).as_deref(), expected, "{toml}");
    }

    #[test]
    fn production_comes_first_and_https_before_http() {
        check(
            "[[e]]\ntype = \"sandbox\"\nhttps_endpoint = \"https://sand\"\n[[e]]\nhttps_endpoint = \"https://both\"\n\
             [[e]]\ntype = \"production\"\nhttp_endpoint = \"http://prod\"\nhttps_endpoint = \"https://prod/\"",
            PORTS,
            Some("https://prod"),
        );
        check(
            "[[e]]\ntype = \"production\"\nhttp_endpoint = \"http://prod\"",
            PORTS,
            Some("http://prod"),
        );
        check("", PORTS, None);
    }

    #[test]
    fn ports_in_addresses_are_those_of_the_listeners() {
        let both = "[[e]]\nhttp_endpoint = \"http://h:${http.nio.port}\"\nhttps_endpoint = \"https://h:${https.nio.port}\"";
        check(both, PORTS, Some("https://h:8253"));
        let plain = Ports { https: None, ..PORTS };
        check(both, plain, Some("http://h:8290"));
        check("[[e]]\nhttp_endpoint = \"http://h:${other}\"", PORTS, None);
    }
}
