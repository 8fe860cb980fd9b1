//! The address of a pool, in every spelling that pools' web pages use.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::ProxyError;

/// The port when the URL names none. Source: the custom of Stratum V1 pools for plain TCP.
const DEFAULT_PORT: u16 = 3333;

/// Longest host name. Source: RFC 1035, 2.3.4, written without the dot at the end.
const MAX_HOST: usize = 253;

const PLAIN: &[&str] = &["stratum+tcp", "tcp"];
const TLS: &[&str] = &["stratum+ssl", "stratum+tls", "stratum+tcps", "ssl", "tls"];
const NODE: &[&str] = &["http", "https"];
const STRATUM_V2: &[&str] = &["stratum2+tcp", "stratum2"];

/// What a URL may look like, for messages.
pub(super) const EXPECTED: &str = "stratum+tcp://HOST:PORT, or stratum+ssl://HOST:PORT for TLS";

/// Where a Stratum V1 pool listens. Only parsing makes one, so host and port are sound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolUrl {
    host: Host,
    port: u16,
    tls: bool,
}

/// A host name or IP address that can be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Name(String), // lower case; an IPv4 address too
    V6(Ipv6Addr),
}

/// Why a text is no address of a pool. Each message ends with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolUrlError {
    /// Nothing stands where the host belongs.
    #[error("the host is missing; write the pool's host name or IP address")]
    EmptyHost,
    /// White space or a control character.
    #[error("it holds a space or a control character; remove it")]
    Space,
    /// A character no host name has, an empty label, or digits that are no IPv4 address.
    #[error("the host is neither a name in ASCII nor an IP address; copy it again from the pool's web page")]
    BadHost,
    /// More colons than a name and a port need, or brackets around something else than an IPv6 address.
    #[error("an IPv6 address must be valid and stand in brackets; write stratum+tcp://[2001:db8::1]:3333")]
    BadIpv6,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535; write the one the pool names, or none for 3333")]
    BadPort,
    /// `user:password@` before the host.
    #[error(
        "user and password don't belong into the URL; give them as user and password of the pool, or in its proxy"
    )]
    Credentials,
    /// One of BFGMiner's options behind `#` that stands elsewhere here, or nowhere.
    #[error("the option #{name} is not taken here; remove it{}", if remedy.is_empty() { "" } else { *remedy })]
    Option {
        /// The option.
        name: String,
        /// What there is instead.
        remedy: &'static str,
    },
    /// TLS without a port.
    #[error("pools have no customary port for TLS; write the one the pool names, stratum+ssl://HOST:PORT")]
    TlsPort,
    /// Something that is no proxy before cgminer's `|`.
    #[error("what stands before the | is not taken as a proxy: {0}")]
    Proxy(ProxyError),
    /// The scheme of Stratum V2.
    #[error("Stratum V2 is not spoken; use the pool's Stratum V1 address, stratum+tcp://")]
    StratumV2,
    /// A web scheme.
    #[error(
        "http is the address of a node or of a getwork server, not of a pool; use the pool's stratum+tcp:// address"
    )]
    Node,
    /// Another scheme.
    #[error("the scheme is unknown; write stratum+tcp://, stratum+ssl:// for TLS, or no scheme at all")]
    Scheme,
}

impl PoolUrl {
    /// The host to connect to; an IPv6 address without its brackets.
    pub fn host(&self) -> String {
        self.host.unbracketed()
    }

    /// The port to connect to, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the pool speaks TLS there. The scheme alone decides; nothing ever falls back to plain text.
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "stratum+ssl" } else { "stratum+tcp" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Host {
    /// The text that connecting takes.
    pub(super) fn unbracketed(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::V6(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl FromStr for PoolUrl {
    type Err = PoolUrlError;

    fn from_str(text: &str) -> Result<Self, PoolUrlError> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(PoolUrlError::Space);
        }
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(s, rest)| (Some(s), rest));
        let tls = scheme.is_some_and(|scheme| is_in(TLS, scheme));
        if let Some(scheme) = scheme {
            check_scheme(scheme)?;
        }
        if rest.contains('@') {
            return Err(PoolUrlError::Credentials);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None if tls => return Err(PoolUrlError::TlsPort),
            None => DEFAULT_PORT,
        };
        Ok(Self { host, port, tls })
    }
}

fn is_in(schemes: &[&str], scheme: &str) -> bool {
    schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

fn check_scheme(scheme: &str) -> Result<(), PoolUrlError> {
    match () {
        () if is_in(PLAIN, scheme) || is_in(TLS, scheme) => Ok(()),
        () if is_in(NODE, scheme) => Err(PoolUrlError::Node),
        () if is_in(STRATUM_V2, scheme) => Err(PoolUrlError::StratumV2),
        () => Err(PoolUrlError::Scheme),
    }
}

/// HOST or HOST:PORT, the port not yet read.
pub(super) fn split_authority(authority: &str) -> Result<(Host, Option<&str>), PoolUrlError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or(PoolUrlError::BadIpv6)?;
        let address = address.parse().map_err(|_| PoolUrlError::BadIpv6)?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or(PoolUrlError::BadPort)?),
        };
        return Ok((Host::V6(address), port));
    }
    let (name, port) = authority.split_once(':').map_or((authority, None), |(n, p)| (n, Some(p)));
    if name.is_empty() && !port.is_some_and(|p| p.contains(':')) {
        return Err(PoolUrlError::EmptyHost);
    }
    if port.is_some_and(|p| p.contains(':')) {
        return Err(PoolUrlError::BadIpv6);
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_digits = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_host = name.len() <= MAX_HOST
        && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
        && (!is_digits || name.parse::<Ipv4Addr>().is_ok());
    if !is_host {
        return Err(PoolUrlError::BadHost);
    }
    Ok((Host::Name(name.to_ascii_lowercase()), port))
}

pub(super) fn parse_port(text: &str) -> Result<u16, PoolUrlError> {
    let is_digits = text.bytes().all(|b| b.is_ascii_digit()); // u16's own parser takes "+80" too
    match text.parse() {
        Ok(port) if is_digits && port != 0 => Ok(port),
        _ => Err(PoolUrlError::BadPort),
    }
}

/// `text` for a message: what stands before an `@` may be a password and goes, the scheme stays.
pub(super) fn without_credentials(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else { return text.to_owned() };
    let is_scheme = |s: &&str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    match before.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme) {
        Some(scheme) => format!("{scheme}://***@{host}"),
        None => format!("***@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> String {
        text.parse::<PoolUrl>().unwrap().to_string()
    }

    fn error(text: &str) -> PoolUrlError {
        text.parse::<PoolUrl>().unwrap_err()
    }

    #[test]
    fn every_plain_spelling_names_the_same_pool() {
        for text in [
            "stratum+tcp://pool.example.com:3333",
            "STRATUM+TCP://Pool.Example.Com:3333",
            "tcp://pool.example.com:3333",
            "pool.example.com:3333",
            "pool.example.com",
            "stratum+tcp://pool.example.com:3333/",
            "stratum+tcp://pool.example.com/worker/path?x=1",
        ] {
            assert_eq!(normal(text), "stratum+tcp://pool.example.com:3333", "{text}");
        }
    }

    #[test]
    fn ip_addresses_are_hosts_and_ipv6_stands_in_brackets() {
        assert_eq!(normal("192.0.2.7:23334"), "stratum+tcp://192.0.2.7:23334");
        assert_eq!(normal("[2001:DB8:0::1]"), "stratum+tcp://[2001:db8::1]:3333");
        assert_eq!("[::1]:443".parse::<PoolUrl>().unwrap().host(), "::1");
        assert_eq!("[::1]:443".parse::<PoolUrl>().unwrap().port(), 443);
        for text in
            ["2001:db8::1", "::1", "[2001:db8::zz]:3333", "[::1", "[pool]:3333", "[fe80::1%eth0]:3333"]
        {
            assert_eq!(error(text), PoolUrlError::BadIpv6, "{text}");
        }
    }

    #[test]
    fn every_spelling_of_tls_names_the_same_pool_and_needs_its_port() {
        for scheme in ["stratum+ssl", "stratum+tls", "stratum+tcps", "ssl", "TLS"] {
            let text = format!("{scheme}://Pool.Example.com:443/path");
            assert_eq!(normal(&text), "stratum+ssl://pool.example.com:443", "{scheme}");
            assert!(text.parse::<PoolUrl>().unwrap().is_tls());
            assert_eq!(error(&format!("{scheme}://pool.example.com")), PoolUrlError::TlsPort, "{scheme}");
        }
        assert_eq!(normal("ssl://[2001:db8::1]:443"), "stratum+ssl://[2001:db8::1]:443");
        assert!(!"tcp://pool.example.com:443".parse::<PoolUrl>().unwrap().is_tls());
    }

    #[test]
    fn a_scheme_that_is_not_stratum_v1_says_what_it_is() {
        assert_eq!(error("stratum2+tcp://pool.example.com/key"), PoolUrlError::StratumV2);
        assert_eq!(error("http://127.0.0.1:8332"), PoolUrlError::Node);
        assert_eq!(error("https://pool.example.com"), PoolUrlError::Node);
        assert_eq!(error("gopher://pool.example.com"), PoolUrlError::Scheme);
    }

    #[test]
    fn broken_hosts_and_ports_are_told_apart() {
        let empty = ["", "stratum+tcp://", ":3333", "tcp:///path", "//pool"];
        assert!(empty.iter().all(|text| error(text) == PoolUrlError::EmptyHost));
        let host = ["a..b", "999.1.1.1", "3333", "pööl.example", "pool,example", &"a".repeat(254)];
        assert!(host.iter().all(|text| error(text) == PoolUrlError::BadHost));
        let port = ["pool:0", "pool:65536", "pool:", "pool:+80", "pool:x", "[::1]3333"];
        assert!(port.iter().all(|text| error(text) == PoolUrlError::BadPort));
        let space = ["pool example:1", " pool", "pool:3333\n", "po\u{0}ol", "pool\u{a0}"];
        assert!(space.iter().all(|text| error(text) == PoolUrlError::Space));
    }

    #[test]
    fn credentials_in_the_url_are_refused_and_never_repeated() {
        for text in ["tcp://me:hunter2@pool:1", "me:hunter2@pool", "me:hun#ter2@pool", "me:hun/ter2@pool"] {
            assert_eq!(error(text), PoolUrlError::Credentials, "{text}");
            assert!(!without_credentials(text).contains("ter2"), "{text}");
        }
        assert_eq!(without_credentials("tcp://me:hunter2@pool:1"), "tcp://***@pool:1");
        assert_eq!(without_credentials("me:x://hunter2@pool:1"), "***@pool:1");
        assert_eq!(without_credentials("tcp://pool:1"), "tcp://pool:1");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_parses_survives_printing(
            text in prop_oneof![".*", "(stratum\\+tcp://|ssl://)?[a-z0-9.:\\[\\]@#/-]{0,24}(:[0-9]{1,6})?"],
        ) {
            if let Ok(url) = text.parse::<PoolUrl>() {
                prop_assert_eq!(url.to_string().parse::<PoolUrl>(), Ok(url));
            }
        }
    }
}
