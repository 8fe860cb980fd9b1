//! What the command line overrides, and which credentials belong to which of its pools.

use std::path::PathBuf;

use super::Secret;

/// Overrides from the command line as they were typed; [`super::load`] checks them like any layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// `--config`: the file to read instead of searching one.
    pub config: Option<PathBuf>,
    /// `--pool` and what belongs to it: if there are any, they replace the pools of all other layers.
    pub pools: Vec<PoolFlags>,
    /// `--strategy`.
    pub strategy: Option<String>,
    /// `--cpu-threads`.
    pub cpu_threads: Option<String>,
    /// `--device`, repeated; replaces the list of the other layers.
    pub devices: Vec<String>,
    /// `--suggest-difficulty`.
    pub suggest_difficulty: Option<String>,
    /// `--log-file`.
    pub log_file: Option<String>,
    /// `--seconds`.
    pub seconds: Option<String>,
    /// `--shares`.
    pub shares: Option<String>,
    /// `--require-upstream`, present or not.
    pub require_upstream: bool,
}

/// One pool of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolFlags {
    /// `--pool`.
    pub url: String,
    /// `--user`.
    pub user: Option<String>,
    /// `--password`.
    pub password: Option<Secret>,
    /// `--pool-weight`.
    pub weight: Option<String>,
    /// `--proxy`, which may hold a password.
    pub proxy: Option<Secret>,
    /// `--tls-ca`.
    pub tls_ca: Option<String>,
    /// `--tls-pin`.
    pub tls_pin: Option<String>,
}

/// The flags of pools, each in the order of the command line.
#[derive(Debug, Clone, Default)]
pub struct PoolLists {
    /// `--pool`.
    pub urls: Vec<String>,
    /// `--user`.
    pub users: Vec<String>,
    /// `--password`.
    pub passwords: Vec<Secret>,
    /// `--pool-weight`.
    pub weights: Vec<String>,
    /// `--proxy`.
    pub proxies: Vec<Secret>,
    /// `--tls-ca`.
    pub tls_cas: Vec<String>,
    /// `--tls-pin`.
    pub tls_pins: Vec<String>,
}

/// Why flags cannot be told to belong to the URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// More than one, but not one for each URL.
    #[error("{count} {flag} for {urls} --pool; give one for all pools or one for each, in the same order")]
    Count {
        /// The flag.
        flag: &'static str,
        /// How often it stands there.
        count: usize,
        /// How many URLs.
        urls: usize,
    },
    /// A flag, but no URL it is for.
    #[error("{0} without --pool; it is never used for a pool of the configuration, so name the pool too")]
    NoUrl(&'static str),
}

/// cgminer's pairing of repeated `-o -u -p`: the i-th user and password belong to the i-th URL, and so does the rest.
/// A single one serves all URLs; with any other number the counts must match, because guessing could send the
/// credentials of one pool to another. An empty word stands for none.
pub fn pair_pools(lists: &PoolLists) -> Result<Vec<PoolFlags>, PairingError> {
    let PoolLists { urls, users, passwords, weights, proxies, tls_cas, tls_pins } = lists;
    let counts = [
        ("--user", users.len()),
        ("--password", passwords.len()),
        ("--pool-weight", weights.len()),
        ("--proxy", proxies.len()),
        ("--tls-ca", tls_cas.len()),
        ("--tls-pin", tls_pins.len()),
    ];
    for (flag, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        if urls.is_empty() {
            return Err(PairingError::NoUrl(flag));
        }
        if count > 1 && count != urls.len() {
            return Err(PairingError::Count { flag, count, urls: urls.len() });
        }
    }
    let pool = |(i, url): (usize, &String)| PoolFlags {
        url: url.clone(),
        user: for_pool(users, i),
        password: for_pool(passwords, i),
        weight: for_pool(weights, i),
        proxy: for_pool(proxies, i).filter(|proxy| !proxy.expose().is_empty()),
        tls_ca: for_pool(tls_cas, i).filter(|path| !path.is_empty()),
        tls_pin: for_pool(tls_pins, i).filter(|pin| !pin.is_empty()),
    };
    Ok(urls.iter().enumerate().map(pool).collect())
}

/// The item of the `i`-th pool in a list of none, one for all, or one for each.
fn for_pool<T: Clone>(items: &[T], i: usize) -> Option<T> {
    if items.len() == 1 { items.first().cloned() } else { items.get(i).cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(urls: &[&str], users: &[&str], passwords: &[&str]) -> Result<Vec<PoolFlags>, PairingError> {
        let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let passwords = passwords.iter().map(|p| Secret::new(*p)).collect();
        let (urls, users) = (texts(urls), texts(users));
        pair_pools(&PoolLists { urls, users, passwords, ..PoolLists::default() })
    }

    fn pool(url: &str, user: Option<&str>, password: Option<&str>) -> PoolFlags {
        let (user, password) = (user.map(Into::into), password.map(Secret::new));
        PoolFlags { url: url.into(), user, password, ..PoolFlags::default() }
    }

    #[test]
    fn the_second_user_and_password_belong_to_the_second_url() {
        assert_eq!(
            pair(&["a", "b"], &["ua", "ub"], &["pa", "pb"]).unwrap(),
            [pool("a", Some("ua"), Some("pa")), pool("b", Some("ub"), Some("pb"))]
        );
    }

    #[test]
    fn a_single_user_and_a_single_password_serve_all_pools() {
        assert_eq!(
            pair(&["a", "b"], &["u"], &["p"]).unwrap(),
            [pool("a", Some("u"), Some("p")), pool("b", Some("u"), Some("p"))]
        );
        assert_eq!(pair(&["a", "b"], &[], &[]).unwrap(), [pool("a", None, None), pool("b", None, None)]);
        assert_eq!(pair(&[], &[], &[]).unwrap(), []);
    }

    #[test]
    fn counts_that_do_not_match_are_refused_instead_of_guessed() {
        let message = |result: Result<Vec<PoolFlags>, PairingError>| result.unwrap_err().to_string();
        assert_eq!(
            message(pair(&["a", "b", "c"], &["ua", "ub"], &[])),
            "2 --user for 3 --pool; give one for all pools or one for each, in the same order"
        );
        assert_eq!(
            message(pair(&["a"], &["u"], &["pa", "pb"])),
            "2 --password for 1 --pool; give one for all pools or one for each, in the same order"
        );
        let rest = "without --pool; it is never used for a pool of the configuration, so name the pool too";
        assert_eq!(message(pair(&[], &["u"], &[])), format!("--user {rest}"));
        assert_eq!(message(pair(&[], &[], &["p"])), format!("--password {rest}"));
    }

    #[test]
    fn weights_proxies_and_trust_are_paired_alike_and_an_empty_word_is_none() {
        let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut lists = PoolLists {
            urls: texts(&["a", "b"]),
            weights: texts(&["2", "3"]),
            proxies: vec![Secret::new("socks5://h:1")],
            tls_cas: texts(&["", "ca.pem"]),
            tls_pins: texts(&["aa", ""]),
            ..PoolLists::default()
        };
        let pools = pair_pools(&lists).unwrap();
        assert!(pools.iter().all(|pool| pool.proxy == Some(Secret::new("socks5://h:1"))));
        assert_eq!((pools[0].tls_ca.as_deref(), pools[1].tls_ca.as_deref()), (None, Some("ca.pem")));
        assert_eq!((pools[0].tls_pin.as_deref(), pools[1].tls_pin.as_deref()), (Some("aa"), None));
        assert_eq!((pools[0].weight.as_deref(), pools[1].weight.as_deref()), (Some("2"), Some("3")));
        lists.tls_pins.push("bb".into());
        assert_eq!(pair_pools(&lists), Err(PairingError::Count { flag: "--tls-pin", count: 3, urls: 2 }));
    }
}
