//! The address of a SOCKS5 proxy, with its user and password if it has any.

use std::fmt;
use std::str::FromStr;

use super::Secret;
use super::pool_url::{Host, parse_port, split_authority};

/// What a proxy may look like, for messages.
pub(super) const EXPECTED: &str = "socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT";

/// The names of SOCKS5; curl's second one stands for names resolved by the proxy, which they always are here.
const SOCKS5: &[&str] = &["socks5", "socks5h"];
const OTHERS: &[&str] = &["http", "https", "http0", "socks4", "socks4a"];
/// Longest user and password. Unit: bytes. Source: RFC 1929, one byte of length each.
const MAX_LOGIN: usize = 255;

/// A SOCKS5 proxy. Only parsing makes one. Prints without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: Host,
    port: u16,
    login: Option<(Secret, Secret)>,
}

/// Why a text is no proxy. Each message ends with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another kind of proxy.
    #[error("only SOCKS5 proxies can be used, no {0}; most others offer it too, as Tor and ssh -D do")]
    Unsupported(&'static str),
    /// No kind of proxy at all.
    #[error("the kind of proxy is missing or unknown; write socks5:// before its host")]
    Scheme,
    /// Host or port cannot be.
    #[error("host or port are missing or cannot be right; write socks5://HOST:PORT")]
    Address,
    /// User or password cannot be.
    #[error("user and password must have 1 to {MAX_LOGIN} bytes each; write both, USER:PASSWORD@, or none")]
    Login,
}

impl Proxy {
    /// The host to connect to; an IPv6 address without its brackets.
    pub fn host(&self) -> String {
        self.host.unbracketed()
    }

    /// The port to connect to, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and password.
    pub fn login(&self) -> Option<&(Secret, Secret)> {
        self.login.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { "***@" } else { "" };
        write!(f, "socks5://{login}{}:{}", self.host, self.port)
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// User and password stand as they are, without escapes: the last `@` ends them, their first colon parts them.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        let is = |known: &&&str| scheme.eq_ignore_ascii_case(known);
        if let Some(other) = OTHERS.iter().find(is) {
            return Err(ProxyError::Unsupported(other));
        }
        SOCKS5.iter().find(is).ok_or(ProxyError::Scheme)?;
        let (login, authority) = rest.rsplit_once('@').map_or((None, rest), |(login, a)| (Some(login), a));
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').ok_or(ProxyError::Login)?;
            let fits = |word: &str| (1..=MAX_LOGIN).contains(&word.len()) && !word.contains(char::is_control);
            let both = fits(user) && fits(password);
            both.then(|| (Secret::new(user), Secret::new(password))).ok_or(ProxyError::Login)
        });
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_authority(authority).map_err(|_| ProxyError::Address)?;
        let port = parse_port(port.ok_or(ProxyError::Address)?).map_err(|_| ProxyError::Address)?;
        Ok(Self { host, port, login: login.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> ProxyError {
        text.parse::<Proxy>().unwrap_err()
    }

    #[test]
    fn a_proxy_has_host_port_and_perhaps_user_and_password() {
        let proxy: Proxy = "socks5://Tor.example:9050/".parse().unwrap();
        assert_eq!((proxy.host().as_str(), proxy.port(), proxy.login()), ("tor.example", 9050, None));
        assert_eq!(proxy.to_string(), "socks5://tor.example:9050");
        let proxy: Proxy = "SOCKS5h://me:p:a@ss@[::1]:1080".parse().unwrap();
        assert_eq!((proxy.host().as_str(), proxy.port()), ("::1", 1080));
        let (user, password) = proxy.login().unwrap();
        assert_eq!((user.expose(), password.expose()), ("me", "p:a@ss"));
    }

    #[test]
    fn user_and_password_are_never_printed() {
        let proxy: Proxy = "socks5://alice:hunter2@h:1".parse().unwrap();
        assert_eq!(proxy.to_string(), "socks5://***@h:1");
        assert!(!format!("{proxy:?}").contains("hunter2") && !format!("{proxy:?}").contains("alice"));
    }

    #[test]
    fn what_is_no_socks5_proxy_says_so() {
        assert_eq!(error("http://h:1"), ProxyError::Unsupported("http"));
        assert_eq!(error("socks4a://h:1"), ProxyError::Unsupported("socks4a"));
        assert!(["h:1", "ftp://h:1", ""].iter().all(|text| error(text) == ProxyError::Scheme));
        let address = ["socks5://h", "socks5://h:0", "socks5://:1", "socks5://a..b:1", "socks5://::1:1"];
        assert!(address.iter().all(|text| error(text) == ProxyError::Address));
        let long = format!("socks5://a:{}@h:1", "b".repeat(256));
        let login = ["socks5://a@h:1", "socks5://a:@h:1", "socks5://:b@h:1", "socks5://a:b\n@h:1", &long];
        assert!(login.iter().all(|text| error(text) == ProxyError::Login));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in prop_oneof![".*", "socks5h?://[a-z:@]{0,9}[a-z0-9.:/\\[\\]]{0,12}"]) {
            if let Ok(proxy) = text.parse::<Proxy>() {
                prop_assert!(proxy.port() != 0 && !proxy.host().is_empty());
            }
        }
    }
}
