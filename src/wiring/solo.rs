//! From the configuration of nodes and payouts to what solo mining needs.

use std::sync::Arc;

use bitcoin::Network;

use super::PlanError;
use crate::config::{self, Config, Environment, Node, NodeLogin, Solo, ZmqUrl};
use crate::engine::policy::UpstreamTerms;
use crate::protocol::session_config::Credentials;
use crate::protocol::solo_session::{ChainTerms, SoloTerms};
use crate::protocol::zmq_endpoint::ZmqEndpoint;
use crate::upstream::Traffic;
use crate::upstream::node::login::Login;
use crate::upstream::node::rpc::{Access, Rpc};
use crate::upstream::node::task::NodeOptions;
use crate::upstream::solo::SoloOptions;
use crate::validate::Level;
use crate::work::Extranonce2Size;
use crate::work::coinbase_builder::{BuildError, CoinbasePlan, Payee, Tag};
use crate::work::payout::network;

/// Bytes of extranonce2. One value lasts for 2^32 nonces of 65536 versions, so these never run out, and two miners of one
/// address, which begin anywhere, never meet.
const EXTRANONCE2_BYTES: i64 = 8;

/// Level of the check that a node's word is. Source: `validate::CHECKS`.
const PROPOSAL: u16 = 16_000;

/// `None` without nodes. Errors: a payout or a tag that cannot be in a coinbase, no HTTP client.
pub(super) fn options(config: &Config, environment: &Environment) -> Result<Option<SoloOptions>, PlanError> {
    if config.nodes.is_empty() {
        return Ok(None);
    }
    let traffic = Arc::new(Traffic::default());
    let level = Level::new(config.validation.level).expect("the table of settings has the same range");
    let node = |node: &Node| node_options(node, &config.solo, environment, &traffic);
    Ok(Some(SoloOptions {
        terms: terms(&config.solo, level).map_err(|error| PlanError::Solo(error.to_string()))?,
        nodes: config.nodes.iter().map(node).collect::<Result<_, _>>()?,
        traffic: Arc::clone(&traffic),
    }))
}

/// How the engine shall treat it.
pub(super) fn engine_terms(solo: &Solo) -> UpstreamTerms {
    UpstreamTerms::own_node(solo.weight, solo.templates.keep_without_node)
}

/// The network that the payouts are spelt for.
pub(super) fn payout_network(solo: &Solo) -> Network {
    solo.payouts.first().map_or(Network::Bitcoin, |payout| network(payout.address()))
}

fn terms(solo: &Solo, level: Level) -> Result<SoloTerms, BuildError> {
    let payees = solo.payouts.iter().map(|payout| Payee::new(payout.address(), payout.parts()));
    let size = Extranonce2Size::new(EXTRANONCE2_BYTES).expect("eight bytes are within the limits");
    Ok(SoloTerms {
        plan: CoinbasePlan::new(payees.collect::<Result<_, _>>()?, Tag::new(&solo.coinbase_tag)?, size)?,
        chain: ChainTerms {
            addresses: solo.payouts.iter().map(|payout| payout.address().clone()).collect(),
            require_peers: solo.templates.require_peers,
        },
        fee_gain: solo.templates.fee_gain.into(),
        check_proposal: solo.templates.check_proposal && level.includes(PROPOSAL),
    })
}

fn node_options(
    node: &Node,
    solo: &Solo,
    environment: &Environment,
    traffic: &Arc<Traffic>,
) -> Result<NodeOptions, PlanError> {
    let login = match &node.login {
        NodeLogin::Cookie(path) => Login::Cookie(vec![path.clone()]),
        // The cookie of this machine's node is full power over it: no other machine gets to see it.
        NodeLogin::DefaultCookie if !is_near(&node.url.host()) => {
            return Err(PlanError::Solo(format!(
                "node {}: is not on this machine, so its login must be given: --rpc-user and --rpc-password, or \
                 --rpc-cookie",
                node.url
            )));
        }
        NodeLogin::DefaultCookie => Login::Cookie(config::default_cookies(environment, node.url.port())),
        NodeLogin::Password { user, password, .. } => {
            Login::Password(Credentials { user: user.clone(), password: password.expose().to_owned() })
        }
    };
    let access = Access { host: node.url.host(), port: node.url.port(), login };
    let rpc = Rpc::new(access, Arc::clone(traffic));
    Ok(NodeOptions {
        name: node.url.to_string(),
        rpc: rpc.map_err(|error| PlanError::Solo(error.to_string()))?.into(),
        zmq: node.zmq.iter().map(endpoint).collect(),
        refresh: solo.templates.refresh,
        empty_first: solo.templates.empty_first,
    })
}

fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn endpoint(url: &ZmqUrl) -> ZmqEndpoint {
    match url.place() {
        config::ZmqPlace::Tcp { host, port } => ZmqEndpoint::Tcp { host: host.clone(), port: *port },
        config::ZmqPlace::Socket(path) => ZmqEndpoint::Socket(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_looks_at_our_block_from_level_16000_on_unless_that_is_switched_off() {
        let asks = |more: &str| {
            let text = format!(
                "[[node]]\nurl = 'http://127.0.0.1:18443'\n[solo]\npayout = ['bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080']\n{more}"
            );
            let config = config::load_text(&text).unwrap().config;
            options(&config, &Environment::default()).unwrap().unwrap().terms.check_proposal
        };
        assert!(asks(""));
        assert!(!asks("check_proposal = false"));
        assert!(!asks("[validation]\nlevel = 15999"));
    }

    #[test]
    fn the_cookie_of_this_machine_is_for_a_node_on_this_machine_alone() {
        let plan = |url: &str| {
            let text = format!(
                "[[node]]\nurl = '{url}'\n[solo]\npayout = ['bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080']"
            );
            options(&config::load_text(&text).unwrap().config, &Environment::default())
        };
        for near in ["http://127.0.0.1:18443", "http://localhost:1", "http://[::1]:2"] {
            assert!(plan(near).is_ok(), "{near}");
        }
        for far in ["http://192.0.2.2:8332", "http://node.example.com", "http://127.0.0.1.example.com:1"] {
            let error = plan(far).unwrap_err().to_string();
            assert!(error.contains("--rpc-cookie"), "{error}");
        }
    }
}
