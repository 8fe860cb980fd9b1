//! Where a publisher listens, checked by the configuration and taken apart here.

use std::fmt;

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZmqEndpoint {
    /// Over TCP.
    Tcp {
        /// Host name or IP address, IPv6 in brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A Unix socket, by its path.
    Socket(String),
}

impl ZmqEndpoint {
    /// What a node on this machine says of where it publishes; `None` for what cannot be connected to. One that listens
    /// on all addresses listens on this machine's own.
    pub fn published(address: &str) -> Option<Self> {
        if let Some(path) = address.strip_prefix("ipc://").or_else(|| address.strip_prefix("unix:")) {
            return path.starts_with('/').then(|| Self::Socket(path.to_owned()));
        }
        let (host, port) = address.strip_prefix("tcp://")?.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host {
            "*" | "0.0.0.0" => "127.0.0.1",
            "[::]" => "[::1]",
            host => host,
        };
        let is_sound = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        (!host.is_empty() && host.chars().all(is_sound)).then(|| Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for ZmqEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Socket(path) => write!(f, "ipc://{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_publishes_at_is_where_it_can_be_reached() {
        let shown = |address| ZmqEndpoint::published(address).map(|endpoint| endpoint.to_string());
        for (address, expected) in [
            ("tcp://127.0.0.1:28332", Some("tcp://127.0.0.1:28332")),
            ("tcp://0.0.0.0:28332", Some("tcp://127.0.0.1:28332")),
            ("tcp://*:5", Some("tcp://127.0.0.1:5")),
            ("tcp://[::]:28332", Some("tcp://[::1]:28332")),
            ("ipc:///tmp/zmq", Some("ipc:///tmp/zmq")),
            ("unix:/tmp/zmq", Some("ipc:///tmp/zmq")),
            ("tcp://127.0.0.1", None),
            ("tcp://a b:5", None),
            ("tcp://a:0", None),
            ("udp://127.0.0.1:5", None),
        ] {
            assert_eq!(shown(address).as_deref(), expected, "{address}");
        }
    }
}
