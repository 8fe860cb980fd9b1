//! Where a node publishes over ZMQ that there is a new block.

use std::fmt;
use std::str::FromStr;

use super::pool_url::{parse_port, split_authority};

/// The most endpoints of one node. Bitcoin Core has five topics, each of which may have an address of its own.
pub(super) const MAX_ENDPOINTS: usize = 8;
/// Longest path of a socket. Unit: bytes. Source: unix(7), `sun_path` without the zero byte at its end.
const MAX_PATH: usize = 107;

/// What a list of endpoints must be, for messages.
pub(super) const EXPECTED: &str = "a list of one or more of tcp://HOST:PORT, ipc:///PATH and unix:/PATH";

/// An endpoint to subscribe to. Only parsing makes one; prints as the spelling that every ZMQ library takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZmqUrl(ZmqPlace);

/// Where that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ZmqPlace {
    /// Over TCP.
    Tcp {
        /// Host name or IP address, IPv6 in brackets.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// The absolute path of a Unix socket.
    Socket(String),
}

/// Why a text is no endpoint. Each message ends with what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZmqUrlError {
    /// No transport that Bitcoin Core publishes over.
    #[error("the transport is missing or unknown; copy the address from zmqpubhashblock in bitcoin.conf")]
    Transport,
    /// An address to listen at.
    #[error("* is where a node listens, not where it is; write the node's host instead")]
    Wildcard,
    /// Host or port cannot be.
    #[error(
        "host or port are missing or cannot be right; write tcp://HOST:PORT, an IPv6 address in brackets"
    )]
    Address,
    /// The path cannot be.
    #[error(
        "the path of the socket must be absolute, of at most {MAX_PATH} bytes; write ipc:///PATH or unix:/PATH"
    )]
    Path,
    /// Too many in one list.
    #[error("a node has at most {MAX_ENDPOINTS}; keep the one that publishes hashblock")]
    TooMany,
}

impl ZmqUrl {
    /// Where to connect to.
    pub fn place(&self) -> &ZmqPlace {
        &self.0
    }
}

impl fmt::Display for ZmqUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ZmqPlace::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            ZmqPlace::Socket(path) => write!(f, "ipc://{path}"),
        }
    }
}

impl FromStr for ZmqUrl {
    type Err = ZmqUrlError;

    fn from_str(text: &str) -> Result<Self, ZmqUrlError> {
        if let Some(authority) = text.strip_prefix("tcp://") {
            if authority.starts_with('*') {
                return Err(ZmqUrlError::Wildcard);
            }
            let (host, port) = split_authority(authority).map_err(|_| ZmqUrlError::Address)?;
            let port = parse_port(port.ok_or(ZmqUrlError::Address)?).map_err(|_| ZmqUrlError::Address)?;
            return Ok(Self(ZmqPlace::Tcp { host: host.to_string(), port }));
        }
        let path = text.strip_prefix("ipc://").or_else(|| text.strip_prefix("unix:"));
        let path = path.ok_or(ZmqUrlError::Transport)?;
        let is_sound = path.starts_with('/') && path.len() <= MAX_PATH && !path.contains(char::is_control);
        if is_sound { Ok(Self(ZmqPlace::Socket(path.to_owned()))) } else { Err(ZmqUrlError::Path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> ZmqUrlError {
        text.parse::<ZmqUrl>().unwrap_err()
    }

    #[test]
    fn every_address_that_bitcoin_conf_may_hold_is_an_endpoint() {
        for (text, printed) in [
            ("tcp://127.0.0.1:28332", "tcp://127.0.0.1:28332"),
            ("tcp://Node.example:1", "tcp://node.example:1"),
            ("tcp://[2001:DB8:0::1]:28332", "tcp://[2001:db8::1]:28332"),
            ("ipc:///run/bitcoin/zmq", "ipc:///run/bitcoin/zmq"),
            ("unix:/run/bitcoin/zmq", "ipc:///run/bitcoin/zmq"),
        ] {
            assert_eq!(text.parse::<ZmqUrl>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_cannot_be_subscribed_to_says_why() {
        let transport = ["", "127.0.0.1:28332", "http://h:1", "udp://h:1", "TCP://h:1"];
        assert!(transport.iter().all(|text| error(text) == ZmqUrlError::Transport));
        assert_eq!(error("tcp://*:28332"), ZmqUrlError::Wildcard);
        let address =
            ["tcp://", "tcp://h", "tcp://h:0", "tcp://h:65536", "tcp://::1:1", "tcp://h:1/x", "tcp:// h:1"];
        assert!(address.iter().all(|text| error(text) == ZmqUrlError::Address));
        let long = format!("ipc:///{}", "a".repeat(MAX_PATH));
        let path = ["ipc://zmq", "ipc://@abstract", "unix:zmq", "unix:", "ipc:///a\nb", &long];
        assert!(path.iter().all(|text| error(text) == ZmqUrlError::Path));
        assert!(long[..long.len() - 1].parse::<ZmqUrl>().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_parses_survives_printing(
            text in prop_oneof![".*", "(tcp://|ipc://|unix:)[a-z0-9.:\\[\\]/*]{0,24}(:[0-9]{1,6})?"],
        ) {
            if let Ok(url) = text.parse::<ZmqUrl>() {
                prop_assert_eq!(url.to_string().parse::<ZmqUrl>(), Ok(url));
            }
        }
    }
}
