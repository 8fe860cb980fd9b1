//! The address of a node: where Bitcoin Core answers JSON-RPC.

use std::fmt;
use std::str::FromStr;

use super::PoolUrlError;
use super::pool_url::{Host, parse_port, split_authority};

/// The port when the URL names none, that of the main network. Source: Bitcoin Core, `chainparamsbase.cpp`.
const DEFAULT_PORT: u16 = 8332;

/// What a URL may look like, for messages.
pub(super) const EXPECTED: &str = "http://HOST:PORT of a node's RPC interface";

/// Where a node answers JSON-RPC. Only parsing makes one, so host and port are sound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeUrl {
    host: Host,
    port: u16,
}

/// Why a text is no address of a node. Each message ends with what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeUrlError {
    /// White space or a control character.
    #[error("it holds a space or a control character; remove it")]
    Space,
    /// `user:password@` before the host.
    #[error(
        "user and password don't belong into the URL; give them as user and password of the node, or its cookie"
    )]
    Credentials,
    /// TLS, which nodes do not speak.
    #[error(
        "Bitcoin Core speaks plain HTTP alone; write http://, and reach a node elsewhere through an SSH tunnel or a VPN"
    )]
    Https,
    /// The address of a pool.
    #[error("that is the address of a pool; give it as url of a [[pool]] or with --pool")]
    Pool,
    /// Another scheme.
    #[error("the scheme is unknown; write http://, or no scheme at all")]
    Scheme,
    /// Something behind host and port.
    #[error("nothing but / may stand behind host and port; remove it, mining needs no wallet")]
    Path,
    /// No host, or none that can be.
    #[error("the host is missing or cannot be right; write a host name or an IP address, IPv6 in brackets")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is no number from 1 to 65535; write the node's rpcport, or none for {DEFAULT_PORT}")]
    Port,
}

impl NodeUrl {
    /// The host to connect to; an IPv6 address without its brackets.
    pub fn host(&self) -> String {
        self.host.unbracketed()
    }

    /// The port to connect to, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    fn from_str(text: &str) -> Result<Self, NodeUrlError> {
        if text.contains('@') {
            return Err(NodeUrlError::Credentials);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(NodeUrlError::Space);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(NodeUrlError::Https),
            scheme if scheme.starts_with("stratum") => return Err(NodeUrlError::Pool),
            _ => return Err(NodeUrlError::Scheme),
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(NodeUrlError::Path);
        }
        let (host, port) = split_authority(authority).map_err(|error| match error {
            PoolUrlError::BadPort => NodeUrlError::Port,
            _ => NodeUrlError::Host,
        })?;
        let port = port.map_or(Ok(DEFAULT_PORT), parse_port).map_err(|_| NodeUrlError::Port)?;
        Ok(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> NodeUrlError {
        text.parse::<NodeUrl>().unwrap_err()
    }

    #[test]
    fn every_spelling_names_the_same_node() {
        for text in [
            "http://node.example.com:8332",
            "HTTP://Node.Example.com",
            "http://node.example.com/",
            "node.example.com:8332",
            "node.example.com",
        ] {
            assert_eq!(
                text.parse::<NodeUrl>().unwrap().to_string(),
                "http://node.example.com:8332",
                "{text}"
            );
        }
        let url: NodeUrl = "http://[2001:DB8:0::1]:18443".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port()), ("2001:db8::1", 18443));
        assert_eq!(url.to_string(), "http://[2001:db8::1]:18443");
    }

    #[test]
    fn what_is_no_node_says_what_it_is() {
        assert_eq!(error("https://node:8332"), NodeUrlError::Https);
        assert_eq!(error("stratum+tcp://pool:3333"), NodeUrlError::Pool);
        assert_eq!(error("ftp://node"), NodeUrlError::Scheme);
        let path = ["http://node:8332/wallet/a", "node/x", "node:8332//", "node?x", "http://node#x"];
        assert!(path.iter().all(|text| error(text) == NodeUrlError::Path));
        let host =
            ["", "http://", ":8332", "/", "a..b", "::1", "[::1", "999.1.1.1", "nöde", &"a".repeat(254)];
        assert!(host.iter().all(|text| error(text) == NodeUrlError::Host));
        let port = ["node:0", "node:65536", "node:", "node:x", "[::1]8332", "node:+80"];
        assert!(port.iter().all(|text| error(text) == NodeUrlError::Port));
        assert!([" node", "node\n", "no\u{0}de"].iter().all(|text| error(text) == NodeUrlError::Space));
    }

    #[test]
    fn credentials_are_refused_wherever_they_stand() {
        for text in
            ["http://me:hunter2@node:8332", "me:hunter2@node", "me:hun/ter2@node", "https://a:b @node"]
        {
            assert_eq!(error(text), NodeUrlError::Credentials, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_parses_survives_printing(
            text in prop_oneof![".*", "(https?://)?[a-z0-9.:\\[\\]@#/-]{0,24}(:[0-9]{1,6})?"],
        ) {
            if let Ok(url) = text.parse::<NodeUrl>() {
                prop_assert_eq!(url.to_string().parse::<NodeUrl>(), Ok(url));
            }
        }
    }
}
