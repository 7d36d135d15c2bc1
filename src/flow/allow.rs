//! The allow list: where a message may go when the message itself says where.
//!
//! A list names hosts, and the address a host turns out to have is looked at once more when it is known: a name that somebody else controls
//! must not lead into the gateway's own network.

use crate::text::{Diagnostic, Placed};
use crate::wire::client::Gate;
use crate::wire::server::Scheme;
use crate::wire::url::Origin;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Hosts and networks that may be sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    hosts: Vec<HostRule>,
    networks: Arc<[Network]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostRule {
    /// `None`: both.
    scheme: Option<Scheme>,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// `*.example.com`, without its star.
    Below(String),
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// The scheme's own.
    Usual,
    Any,
    Exactly(u16),
}

/// `10.0.0.0/8`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// Which addresses a host may have.
#[derive(Debug)]
struct Reach {
    /// The host stands in a list by its own name; else a star let it through.
    named: bool,
    /// The address stands in a list itself.
    address: Option<IpAddr>,
    networks: Arc<[Network]>,
}

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Public,
    Private,
    Loopback,
    /// Link-local, where clouds keep their credentials.
    LinkLocal,
    /// No single host: unspecified, multicast, broadcast, reserved.
    NoHost,
}

impl AllowList {
    /// Reads `https://*.example.com:443 http://orders 10.0.0.0/8`: separated by spaces or commas. Every mistake is at its own entry.
    pub fn parse(text: &Placed) -> Result<AllowList, Vec<Diagnostic>> {
        let mut hosts = Vec::new();
        let mut networks = Vec::new();
        let mut mistakes = Vec::new();
        let mut at = 0;
        for entry in text.text.split(|c: char| c.is_whitespace() || c == ',') {
            let range = at..at + entry.len();
            at = range.end + 1;
            // The separator may be longer than a byte.
            while !text.text.is_char_boundary(at.min(text.text.len())) {
                at += 1;
            }
            if entry.is_empty() {
                continue;
            }
            match parse_entry(entry) {
                Ok(Entry::Host(rule)) => hosts.push(rule),
                Ok(Entry::Network(network)) => networks.push(network),
                Err(reason) => mistakes.push(
                    Diagnostic::error("E0307", text.span_of(range), format!("`{entry}` allows nothing: {reason}"))
                        .help("an entry is a host such as `https://*.example.com`, `http://orders:8080` or `*.example.com:*`, or a network such as `10.0.0.0/8`"),
                ),
            }
        }
        if hosts.is_empty() && networks.is_empty() && mistakes.is_empty() {
            let message = "this list allows nothing";
            mistakes.push(
                Diagnostic::error("E0307", text.span, message)
                    .help("name the hosts that may be sent to, such as `https://*.example.com`"),
            );
        }
        if mistakes.is_empty() {
            Ok(AllowList {
                hosts,
                networks: networks.into(),
            })
        } else {
            Err(mistakes)
        }
    }

    /// A list of just these.
    pub fn of_origins<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> AllowList {
        let rule = |origin: &Origin| HostRule {
            scheme: Some(origin.scheme),
            host: host_of(undotted(&origin.host)),
            port: Port::Exactly(origin.port),
        };
        AllowList {
            hosts: origins.into_iter().map(rule).collect(),
            networks: Arc::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }

    /// Whether a message may go there at all, and which addresses the host may then have. `Err` says why not.
    pub fn admit(&self, origin: &Origin) -> Result<Arc<dyn Gate>, String> {
        let host = undotted(&origin.host);
        let address = host.parse::<IpAddr>().ok().map(canonical);
        if address.is_none() && ends_in_number(host) {
            // Resolvers read `2130706433`, `0x7f.1` and `0177.0.0.1` as addresses.
            return Err(format!(
                "`{}` is neither a name nor an address as it is usually written",
                origin.host
            ));
        }
        let mut reach = Reach {
            named: false,
            address: None,
            networks: Arc::clone(&self.networks),
        };
        let mut admitted = address.is_some_and(|address| within(&self.networks, address));
        for rule in self.hosts.iter().filter(|rule| rule.fits(origin)) {
            match (&rule.host, address) {
                (Host::Any, _) => admitted = true,
                (Host::Below(end), None) if host.len() > end.len() && host.ends_with(end.as_str()) => {
                    admitted = true;
                }
                (Host::Name(name), None) if name == host => {
                    admitted = true;
                    reach.named = true;
                }
                (Host::Address(known), Some(address)) if *known == address => {
                    admitted = true;
                    reach.address = Some(address);
                }
                _ => {}
            }
        }
        if !admitted {
            return Err(format!("`{origin}` is not on the list of what is allowed"));
        }
        if let Some(reason) = address.and_then(|address| reach.refuses(address)) {
            return Err(reason);
        }
        Ok(Arc::new(reach))
    }
}

/// Where no list says anything: everywhere, as in Synapse, but for addresses that nobody means.
pub fn unlisted() -> Arc<dyn Gate> {
    Arc::new(Reach {
        named: true,
        address: None,
        networks: Arc::default(),
    })
}

impl Gate for Reach {
    fn refuses(&self, address: IpAddr) -> Option<String> {
        let address = canonical(address);
        if self.address == Some(address) || within(&self.networks, address) {
            return None;
        }
        let refused = match kind(address) {
            Kind::Public => return None,
            Kind::Private | Kind::Loopback if self.named => return None,
            Kind::Private => "is in a private network",
            Kind::Loopback => "is this machine itself",
            Kind::LinkLocal => "is link-local",
            Kind::NoHost => "is no single host's",
        };
        Some(format!(
            "the address {address} {refused}, and nothing allows it by name or network"
        ))
    }
}

impl HostRule {
    fn fits(&self, origin: &Origin) -> bool {
        self.scheme.is_none_or(|scheme| scheme == origin.scheme)
            && match self.port {
                Port::Any => true,
                Port::Usual => origin.port == origin.scheme.default_port(),
                Port::Exactly(port) => origin.port == port,
            }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let shared = |all: u32| all - u32::from(self.bits).min(all);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u64::from(own.to_bits() ^ other.to_bits()) >> shared(32)) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(shared(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

fn within(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

// Reading

enum Entry {
    Host(HostRule),
    Network(Network),
}

fn parse_entry(entry: &str) -> Result<Entry, &'static str> {
    if let Some((address, bits)) = entry.split_once('/')
        && let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>()
    {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= most);
        let bits = bits.ok_or("a network ends in the number of its bits")?;
        return Ok(Entry::Network(Network { address, bits }));
    }
    let (scheme, rest) = match entry.split_once("://") {
        None => (None, entry),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (Some(Scheme::Ws), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (Some(Scheme::Wss), rest),
        Some(_) => return Err("only http, https, ws and wss are sent to"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("paths are not looked at, only scheme, host and port");
    }
    if rest.contains('@') {
        return Err("a user is no part of a host");
    }
    let bare_v6 = rest.parse::<Ipv6Addr>().is_ok();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port {
        None => Port::Usual,
        Some("*") => Port::Any,
        Some(port) => Port::Exactly(port.parse().map_err(|_| "its port is no number")?),
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let host = undotted(&host);
    let host = match host.strip_prefix('*') {
        Some("") => Host::Any,
        Some(below) if below.len() > 1 && below.starts_with('.') && is_name(&below[1..]) => {
            Host::Below(below.to_owned())
        }
        Some(_) => return Err("a star stands for all in front of a dot, as in `*.example.com`"),
        None => match host_of(host) {
            Host::Name(name) if ends_in_number(&name) => {
                return Err("it is neither a name nor an address as it is usually written");
            }
            Host::Name(name) if !is_name(&name) => return Err("it has no valid host"),
            host => host,
        },
    };
    Ok(Entry::Host(HostRule { scheme, host, port }))
}

fn host_of(host: &str) -> Host {
    match host.parse() {
        Ok(address) => Host::Address(canonical(address)),
        Err(_) => Host::Name(host.to_owned()),
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && !host.split('.').any(str::is_empty)
}

/// `example.com.` is the same host as `example.com`.
fn undotted(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// What ends so is taken for an IPv4 address by resolvers, whatever it looks like.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or("");
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

// Addresses

/// An IPv4 address that is written as IPv6 is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., c, d] = v6.segments();
    let embedded =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        // Mapped; translated by NAT64; compatible (which leaves `::` and `::1` alone).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(c, d),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => embedded(c, d),
        // 6to4 has it behind its prefix.
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// What kind of place an address is, by IANA's registries of special addresses.
pub fn kind(address: IpAddr) -> Kind {
    match canonical(address) {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Kind::Private,
        [0, ..] | [224..=255, ..] => Kind::NoHost,
        // For documentation, for measurements, for protocols.
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::NoHost,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::NoHost,
        // Where one cloud keeps its credentials under IPv6.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Kind::LinkLocal,
        [first, ..] if first & 0xffc0 == 0xfe80 => Kind::LinkLocal,
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Kind::Private,
        [first, ..] if first & 0xff00 == 0xff00 => Kind::NoHost,
        // NAT64 by a prefix of one's own, Teredo, to be thrown away, for documentation.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [0x100, 0, 0, 0, ..] | [0x2001, 0xdb8, ..] => Kind::NoHost,
        _ => Kind::Public,
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut gap = |formatter: &mut fmt::Formatter<'_>| {
            let gap = if std::mem::take(&mut first) { "" } else { " " };
            formatter.write_str(gap)
        };
        for rule in &self.hosts {
            gap(formatter)?;
            if let Some(scheme) = rule.scheme {
                write!(formatter, "{}://", scheme.as_str())?;
            }
            match &rule.host {
                Host::Any => formatter.write_str("*")?,
                Host::Below(end) => write!(formatter, "*{end}")?,
                Host::Name(name) => formatter.write_str(name)?,
                Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]")?,
                Host::Address(address) => write!(formatter, "{address}")?,
            }
            match rule.port {
                Port::Usual => {}
                Port::Any => formatter.write_str(":*")?,
                Port::Exactly(port) if rule.scheme.is_some_and(|scheme| scheme.default_port() == port) => {}
                Port::Exactly(port) => write!(formatter, ":{port}")?,
            }
        }
        for network in &*self.networks {
            gap(formatter)?;
            write!(formatter, "{}/{}", network.address, network.bits)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{FileId, Span};
    use crate::wire::Url;

    fn list(text: &str) -> Result<AllowList, Vec<Diagnostic>> {
        AllowList::parse(&Placed::verbatim(text, Span::new(FileId(0), 0..text.len())))
    }

    /// Whether a host is admitted by a list, and the addresses it may then have.
    fn check(text: &str, url: &str, addresses: &[(&str, bool)]) {
        let url = Url::parse(url).unwrap_or_else(|invalid| panic!("{invalid}"));
        let gate = list(text).unwrap().admit(&url.origin);
        let gate = gate.unwrap_or_else(|reason| panic!("{url} by {text}: {reason}"));
        for (address, allowed) in addresses {
            let refused = gate.refuses(address.parse().unwrap());
            assert_eq!(refused.is_none(), *allowed, "{address} for {url} by {text}");
        }
    }

    fn refused(text: &str, url: &str) {
        if let Ok(url) = Url::parse(url) {
            assert!(list(text).unwrap().admit(&url.origin).is_err(), "{url} by {text}");
        }
    }

    #[test]
    fn scheme_host_and_port_have_to_fit() {
        check(
            "https://*.example.com:443",
            "https://a.b.example.com/x",
            &[("9.9.9.9", true)],
        );
        check("example.com", "http://EXAMPLE.com./", &[]);
        check("example.com", "https://example.com/", &[]);
        check("http://orders:*", "http://orders:8080/", &[]);
        check("a.example, b.example", "http://b.example/", &[]);
        for url in [
            "http://a.example.com/",
            "https://a.example.com:444/",
            "https://example.com/",
            "https://evilexample.com/",
            "https://a.example.com.evil.org/",
        ] {
            refused("https://*.example.com", url);
        }
        refused("http://orders", "http://orders:8080/");
    }

    #[test]
    fn a_name_of_its_own_may_be_private_and_one_behind_a_star_only_public() {
        let by_name = [
            ("10.1.2.3", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("9.9.9.9", true),
        ];
        check("http://orders", "http://orders/", &by_name);
        let by_star = [
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("fd12::1", false),
        ];
        check("http://*.example.com", "http://a.example.com/", &by_star);
        check("*", "http://a.example.com/", &by_star);
        let widened = [("10.1.2.3", true), ("11.1.2.3", true), ("192.168.0.1", false)];
        check("*.svc 10.0.0.0/8", "http://a.svc/", &widened);
    }

    #[test]
    fn nobody_reaches_what_is_link_local_unless_the_list_says_so_in_numbers() {
        let never = [
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("fd00:ec2::254", false),
        ];
        check("http://metadata", "http://metadata/", &never);
        check(
            "http://169.254.169.254",
            "http://169.254.169.254/",
            &[("169.254.169.254", true)],
        );
        check("169.254.0.0/16", "http://169.254.169.254:81/", &[]);
        for (address, refuses) in [
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("169.254.1.1", true),
            ("64:ff9b::a9fe:a9fe", true),
        ] {
            assert_eq!(
                unlisted().refuses(address.parse().unwrap()).is_some(),
                refuses,
                "{address}"
            );
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for url in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://a.example.com@127.0.0.1/",
        ] {
            refused("*:* a.example.com", url);
        }
        check(
            "http://127.0.0.1",
            "http://[::ffff:7f00:1]/",
            &[("127.0.0.1", true)],
        );
    }

    #[test]
    fn a_list_says_at_each_entry_what_is_wrong_with_it() {
        for (text, expected) in [
            (
                "ftp://h",
                "0..7 `ftp://h` allows nothing: only http, https, ws and wss are sent to",
            ),
            (
                "a http://h/x",
                "2..12 `http://h/x` allows nothing: paths are not looked at, only scheme, host and port",
            ),
            ("a*b", "0..3 `a*b` allows nothing: it has no valid host"),
            (
                "*b",
                "0..2 `*b` allows nothing: a star stands for all in front of a dot, as in `*.example.com`",
            ),
            (
                "10.0.0.0/33",
                "0..11 `10.0.0.0/33` allows nothing: a network ends in the number of its bits",
            ),
            ("h:x", "0..3 `h:x` allows nothing: its port is no number"),
            (" ", "0..1 this list allows nothing"),
        ] {
            let mistakes = list(text).unwrap_err();
            let told: Vec<String> = mistakes
                .iter()
                .map(|mistake| format!("{:?} {}", mistake.span.unwrap().range(), mistake.message))
                .collect();
            assert_eq!(told, [expected], "{text}");
        }
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        for text in [
            "https://*.example.com http://[::1]:81 *:* 10.0.0.0/8",
            "http://orders:8080",
        ] {
            assert_eq!(list(text).unwrap().to_string(), text);
        }
    }
}
