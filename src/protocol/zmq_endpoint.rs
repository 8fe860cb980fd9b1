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

impl fmt::Display for ZmqEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Socket(path) => write!(f, "ipc://{path}"),
        }
    }
}
