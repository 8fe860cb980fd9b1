//! What may stand in the text of a pool's URL beside the URL: cgminer's proxy before it, BFGMiner's options behind it.

use std::str::FromStr;

use super::{PoolUrl, PoolUrlError, Proxy};

/// BFGMiner's options that have another place here, or none, and what there is instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("redirect", "; stratum.follow_redirect says where client.reconnect may lead"),
    ("cksuggest", "; stratum.suggest_difficulty asks every pool for a difficulty"),
    (
        "skipcbcheck",
        "; no job is refused for whom it pays unless expect_payout or an address as user asks for it",
    ),
    ("goalreset", "; there is one goal, Bitcoin"),
    ("tls", "; write stratum+ssl://, which always checks the certificate"),
    ("tlsca", "; give the file as tls_ca of the pool"),
];

/// A pool's URL with what was written around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolAddress {
    pub(super) url: PoolUrl,
    /// `socks5:HOST:PORT|URL`
    pub(super) proxy: Option<Proxy>,
    /// `URL#xnsub`
    pub(super) extranonce_subscribe: Option<bool>,
}

impl From<PoolUrl> for PoolAddress {
    fn from(url: PoolUrl) -> Self {
        Self { url, proxy: None, extranonce_subscribe: None }
    }
}

impl FromStr for PoolAddress {
    type Err = PoolUrlError;

    fn from_str(text: &str) -> Result<Self, PoolUrlError> {
        if text.contains('@') {
            return Err(PoolUrlError::Credentials);
        }
        let (proxy, rest) = text.split_once('|').map_or((None, text), |(proxy, rest)| (Some(proxy), rest));
        let (url, options) = rest.split_once('#').unwrap_or((rest, ""));
        let proxy = proxy.map(|proxy| proxy.replacen(':', "://", 1).parse().map_err(PoolUrlError::Proxy));
        Ok(Self {
            proxy: proxy.transpose()?,
            extranonce_subscribe: extranonce_subscribe(options)?,
            url: url.parse()?,
        })
    }
}

/// BFGMiner's spellings: options apart by anything but a letter, a `no` before the name or `=0` and the like behind it
/// for the opposite.
fn extranonce_subscribe(options: &str) -> Result<Option<bool>, PoolUrlError> {
    let mut wanted = None;
    for option in options.split([',', '&', ';', '#']).filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, "yes"));
        let value = !matches!(value, "0" | "no" | "false" | "off");
        match name {
            "xnsub" => wanted = Some(value),
            "noxnsub" => wanted = Some(!value),
            _ => return Err(not_taken(name)),
        }
    }
    Ok(wanted)
}

fn not_taken(name: &str) -> PoolUrlError {
    let bare = name.strip_prefix("no").unwrap_or(name);
    let remedy = ELSEWHERE.iter().find(|(known, _)| *known == bare).map_or("", |(_, remedy)| remedy);
    PoolUrlError::Option { name: name.to_owned(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProxyError;

    fn address(text: &str) -> PoolAddress {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        text.parse::<PoolAddress>().unwrap_err().to_string()
    }

    #[test]
    fn cgminers_spelling_names_the_proxy_of_a_pool() {
        for text in ["socks5:127.0.0.1:9050|stratum+tcp://p:1", "socks5h:127.0.0.1:9050|p:1"] {
            let PoolAddress { url, proxy, .. } = address(text);
            assert_eq!(url.to_string(), "stratum+tcp://p:1");
            assert_eq!(proxy.unwrap().to_string(), "socks5://127.0.0.1:9050");
        }
        let tls = address("socks5:[::1]:9050|ssl://p:1#xnsub");
        assert!(tls.url.is_tls() && tls.extranonce_subscribe == Some(true) && tls.proxy.is_some());
        for (text, expected) in [
            ("http:proxy:8080|p:1", ProxyError::Unsupported("http")),
            ("http0:proxy:8080|p:1", ProxyError::Unsupported("http0")),
            ("socks4:proxy:1080|p:1", ProxyError::Unsupported("socks4")),
            ("socks4a:proxy:1080|p:1", ProxyError::Unsupported("socks4a")),
            ("socks5:proxy|p:1", ProxyError::Address),
            ("proxy|p:1", ProxyError::Scheme),
        ] {
            assert_eq!(text.parse::<PoolAddress>(), Err(PoolUrlError::Proxy(expected)), "{text}");
        }
    }

    #[test]
    fn xnsub_behind_the_url_asks_for_new_extranonces() {
        for (options, wanted) in [
            ("", None),
            ("#", None),
            ("#xnsub", Some(true)),
            ("/#xnsub", Some(true)),
            ("#xnsub=1", Some(true)),
            ("#noxnsub", Some(false)),
            ("#xnsub=no", Some(false)),
        ] {
            let address = address(&format!("stratum+tcp://p:1{options}"));
            assert_eq!((address.extranonce_subscribe, address.url.port()), (wanted, 1), "{options}");
        }
    }

    #[test]
    fn every_other_option_of_bfgminer_says_what_there_is_instead() {
        for (option, remedy) in [
            ("redirect", "stratum.follow_redirect"),
            ("noredirect", "stratum.follow_redirect"),
            ("cksuggest", "stratum.suggest_difficulty"),
            ("skipcbcheck", "unless expect_payout or"),
            ("goalreset", "one goal"),
            ("tls", "write stratum+ssl://"),
            ("tlsca=/x.pem", "give the file as tls_ca"),
        ] {
            let error = error(&format!("p:1#xnsub,{option}"));
            let name = option.split('=').next().unwrap();
            assert!(
                error.starts_with(&format!("the option #{name} is not taken here; remove it; ")),
                "{error}"
            );
            assert!(error.contains(remedy), "{error}");
        }
        assert_eq!(error("p:1#x"), "the option #x is not taken here; remove it");
    }

    #[test]
    fn user_and_password_are_refused_wherever_they_stand() {
        for text in
            ["me:pw@p:1", "socks5:me:pw@h:1|p:1", "p:1#me@x", "tcp://me:hun#ter2@p", "tcp://me:hun|ter2@p"]
        {
            assert_eq!(text.parse::<PoolAddress>(), Err(PoolUrlError::Credentials), "{text}");
        }
    }
}
