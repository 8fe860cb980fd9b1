//! What the command line overrides, and which credentials belong to which of its pools and nodes.

use std::path::PathBuf;

use super::{ArrayKind, Secret};

/// Overrides from the command line as they were typed; [`super::load`] checks them like any layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// `--config`: the file to read instead of searching one.
    pub config: Option<PathBuf>,
    /// `--pool` and what belongs to it: pools or nodes of the command line replace those of all other layers, both kinds.
    pub pools: Vec<PoolFlags>,
    /// `--solo` and what belongs to it; see `pools`.
    pub nodes: Vec<NodeFlags>,
    /// `--payout`, repeated; replaces the list of the other layers.
    pub payouts: Vec<String>,
    /// `--coinbase-tag`.
    pub coinbase_tag: Option<String>,
    /// `--strategy`.
    pub strategy: Option<String>,
    /// `--cpu-threads`.
    pub cpu_threads: Option<String>,
    /// `--device`, repeated; replaces the list of the other layers.
    pub devices: Vec<String>,
    /// `--suggest-difficulty`.
    pub suggest_difficulty: Option<String>,
    /// What names a model.
    pub model: ModelFlags,
    /// `--log-file`.
    pub log_file: Option<String>,
    /// `--seconds`.
    pub seconds: Option<String>,
    /// `--shares`.
    pub shares: Option<String>,
    /// `--blocks`.
    pub blocks: Option<String>,
    /// `--require-upstream`, present or not.
    pub require_upstream: bool,
}

/// A model of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFlags {
    /// `--backend`.
    pub backend: Option<String>,
    /// `--command`, repeated; replaces the list of the other layers.
    pub command: Vec<String>,
    /// `--url`.
    pub url: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--deadline`.
    pub deadline: Option<String>,
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

/// One node of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFlags {
    /// `--solo`.
    pub url: String,
    /// `--rpc-cookie`.
    pub cookie: Option<String>,
    /// `--rpc-user`.
    pub user: Option<String>,
    /// `--rpc-password`.
    pub password: Option<Secret>,
    /// `--zmq`.
    pub zmq: Vec<String>,
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

/// The flags of nodes, each in the order of the command line.
#[derive(Debug, Clone, Default)]
pub struct NodeLists {
    /// `--solo`.
    pub urls: Vec<String>,
    /// `--rpc-cookie`.
    pub cookies: Vec<String>,
    /// `--rpc-user`.
    pub users: Vec<String>,
    /// `--rpc-password`.
    pub passwords: Vec<Secret>,
    /// `--zmq`.
    pub zmq: Vec<String>,
}

/// Why flags cannot be told to belong to the URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// More than one, but not one for each URL.
    #[error(
        "{count} {flag} for {urls} {}; give one for all {of}s or one for each, in the same order", of.flag()
    )]
    Count {
        /// The flag.
        flag: &'static str,
        /// How often it stands there.
        count: usize,
        /// How many URLs.
        urls: usize,
        /// Of what.
        of: ArrayKind,
    },
    /// A flag, but no URL it is for.
    #[error(
        "{flag} without {}; it is never used for a {of} of the configuration, so name the {of} too", of.flag()
    )]
    NoUrl {
        /// The flag.
        flag: &'static str,
        /// What it is for.
        of: ArrayKind,
    },
    /// Endpoints that may belong to any of several nodes.
    #[error(
        "{count} --zmq for {urls} --solo; give one for each node, in the same order, or write the nodes with zmq \
         below each [[node]] into the configuration file"
    )]
    Endpoints {
        /// How many endpoints.
        count: usize,
        /// How many nodes.
        urls: usize,
    },
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
    check_counts(&counts, urls.len(), ArrayKind::Pool)?;
    let pool = |(i, url): (usize, &String)| PoolFlags {
        url: url.clone(),
        user: for_url(users, i),
        password: for_url(passwords, i),
        weight: for_url(weights, i),
        proxy: for_url(proxies, i).filter(|proxy| !proxy.expose().is_empty()),
        tls_ca: for_url(tls_cas, i).filter(|path| !path.is_empty()),
        tls_pin: for_url(tls_pins, i).filter(|pin| !pin.is_empty()),
    };
    Ok(urls.iter().enumerate().map(pool).collect())
}

/// The same for nodes. Endpoints of ZMQ all belong to the one node there is, or else the i-th to the i-th node.
pub fn pair_nodes(lists: &NodeLists) -> Result<Vec<NodeFlags>, PairingError> {
    let NodeLists { urls, cookies, users, passwords, zmq } = lists;
    let counts =
        [("--rpc-cookie", cookies.len()), ("--rpc-user", users.len()), ("--rpc-password", passwords.len())];
    check_counts(&counts, urls.len(), ArrayKind::Node)?;
    match (urls.len(), zmq.len()) {
        (0, 1..) => return Err(PairingError::NoUrl { flag: "--zmq", of: ArrayKind::Node }),
        (2.., 1..) if urls.len() != zmq.len() => {
            return Err(PairingError::Endpoints { count: zmq.len(), urls: urls.len() });
        }
        _ => {}
    }
    let node = |(i, url): (usize, &String)| {
        let endpoints = if urls.len() == 1 { &zmq[..] } else { zmq.get(i..=i).unwrap_or_default() };
        NodeFlags {
            url: url.clone(),
            cookie: for_url(cookies, i).filter(|path| !path.is_empty()),
            user: for_url(users, i).filter(|user| !user.is_empty()),
            password: for_url(passwords, i).filter(|password| !password.expose().is_empty()),
            zmq: endpoints.iter().filter(|endpoint| !endpoint.is_empty()).cloned().collect(),
        }
    };
    Ok(urls.iter().enumerate().map(node).collect())
}

fn check_counts(counts: &[(&'static str, usize)], urls: usize, of: ArrayKind) -> Result<(), PairingError> {
    for &(flag, count) in counts.iter().filter(|(_, count)| *count > 0) {
        if urls == 0 {
            return Err(PairingError::NoUrl { flag, of });
        }
        if count > 1 && count != urls {
            return Err(PairingError::Count { flag, count, urls, of });
        }
    }
    Ok(())
}

/// The item of the `i`-th URL in a list of none, one for all, or one for each.
fn for_url<T: Clone>(items: &[T], i: usize) -> Option<T> {
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
        let of = ArrayKind::Pool;
        assert_eq!(pair_pools(&lists), Err(PairingError::Count { flag: "--tls-pin", count: 3, urls: 2, of }));
    }

    fn nodes(urls: &[&str], zmq: &[&str]) -> NodeLists {
        let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        NodeLists { urls: texts(urls), zmq: texts(zmq), ..NodeLists::default() }
    }

    #[test]
    fn logins_of_nodes_are_paired_like_those_of_pools_and_an_empty_word_is_none() {
        let mut lists = nodes(&["a", "b"], &[]);
        lists.cookies = vec!["c".into(), String::new()];
        lists.users = vec![String::new(), "u".into()];
        lists.passwords = vec![Secret::new(""), Secret::new("p")];
        let (user, password) = (Some("u".into()), Some(Secret::new("p")));
        let expected = [
            NodeFlags { url: "a".into(), cookie: Some("c".into()), ..NodeFlags::default() },
            NodeFlags { url: "b".into(), user, password, ..NodeFlags::default() },
        ];
        assert_eq!(pair_nodes(&lists).unwrap(), expected);
        lists.cookies = vec!["one for all".into()];
        assert!(pair_nodes(&lists).unwrap().iter().all(|n| n.cookie.as_deref() == Some("one for all")));
        lists.users.push("v".into());
        assert_eq!(
            pair_nodes(&lists).unwrap_err().to_string(),
            "3 --rpc-user for 2 --solo; give one for all nodes or one for each, in the same order"
        );
    }

    #[test]
    fn endpoints_belong_to_the_one_node_or_one_to_each() {
        let zmq = |urls: &[&str], zmq: &[&str]| {
            let nodes = pair_nodes(&nodes(urls, zmq))?;
            Ok::<_, PairingError>(nodes.into_iter().map(|node| node.zmq).collect::<Vec<_>>())
        };
        assert_eq!(zmq(&["a"], &["x", "y", "z"]).unwrap(), [["x", "y", "z"]]);
        assert_eq!(zmq(&["a", "b"], &["x", "y"]).unwrap(), [["x"], ["y"]]);
        assert_eq!(zmq(&["a", "b"], &["", "y"]).unwrap(), [vec![], vec!["y"]]);
        assert_eq!(zmq(&["a", "b"], &[]).unwrap(), [[""; 0], []]);
        assert_eq!(zmq(&["a", "b"], &["x"]), Err(PairingError::Endpoints { count: 1, urls: 2 }));
        assert_eq!(
            zmq(&["a", "b"], &["x", "y", "z"]).unwrap_err().to_string(),
            "3 --zmq for 2 --solo; give one for each node, in the same order, or write the nodes with zmq below each \
             [[node]] into the configuration file"
        );
    }

    #[test]
    fn flags_of_nodes_are_for_nodes_of_the_command_line_alone() {
        let said = |flag| {
            let rest = "it is never used for a node of the configuration, so name the node too";
            format!("{flag} without --solo; {rest}")
        };
        let mut lists = nodes(&[], &["x"]);
        assert_eq!(pair_nodes(&lists).unwrap_err().to_string(), said("--zmq"));
        lists.passwords = vec![Secret::new("p")];
        assert_eq!(pair_nodes(&lists).unwrap_err().to_string(), said("--rpc-password"));
        assert_eq!(pair_nodes(&NodeLists::default()).unwrap(), []);
    }
}
