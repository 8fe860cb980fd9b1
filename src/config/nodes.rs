//! `[[node]]`: a node that we mine on by ourselves, its settings, and which of them contradict each other.

use std::path::PathBuf;

use super::array::{ArrayKind, Element, OriginOf};
use super::field::{Field, Preset, row};
use super::kind::{Kind, TextRule};
use super::problem::Mistake;
use super::{NodeUrl, Secret, ZmqUrl};

/// A node of our own: where it answers, and how it knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it answers JSON-RPC.
    pub url: NodeUrl,
    /// How to log in there.
    pub login: NodeLogin,
    /// Where it publishes over ZMQ; may be empty.
    pub zmq: Vec<ZmqUrl>,
}

/// How to log in at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeLogin {
    /// With the cookie in this file, which is new after each start of the node.
    Cookie(PathBuf),
    /// With the name and password of `rpcauth`, or of `rpcuser` and `rpcpassword`.
    Password {
        /// The name, without a colon.
        user: String,
        /// The password, read from `password_file` where one is named.
        password: Secret,
        /// Where the password came from, if from a file of its own.
        password_file: Option<PathBuf>,
    },
    /// With the cookie where the node leaves it unless it was told otherwise, see
    /// [`default_cookies`](super::default_cookies).
    DefaultCookie,
}

/// A `[[node]]` while it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeDraft {
    url: Option<NodeUrl>,
    cookie: Option<PathBuf>,
    user: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    zmq: Vec<ZmqUrl>,
}

/// Source: RFC 7617, 2, where a colon ends the name.
static USER: TextRule = TextRule {
    expected: "a text that is not empty, without colons and control characters",
    holds: |t| !t.is_empty() && !t.contains(|c: char| c == ':' || c.is_control()),
};

/// The settings of a `[[node]]`.
pub(super) static NODE_FIELDS: &[Field<NodeDraft>] = &[
    row(
        "url",
        "SIGNALCORE_NODE_URL",
        Kind::Node(|n| &mut n.url),
        Preset::Required("\"http://127.0.0.1:8332\""),
        "Where Bitcoin Core answers JSON-RPC; the port is 8332 unless given.",
    ),
    row(
        "cookie",
        "SIGNALCORE_NODE_COOKIE",
        Kind::Path(|n| &mut n.cookie),
        Preset::Unset("\"/var/lib/bitcoind/.cookie\""),
        "Its cookie file. Without it and without user, the cookie is looked for where Bitcoin Core leaves it.",
    ),
    row(
        "user",
        "SIGNALCORE_NODE_USER",
        Kind::OptionalText { place: |n| &mut n.user, rule: &USER },
        Preset::Unset("\"miner\""),
        "The name of rpcauth or rpcuser in bitcoin.conf, instead of the cookie.",
    ),
    row(
        "password",
        "SIGNALCORE_NODE_PASSWORD",
        Kind::Secret(|n| &mut n.password),
        Preset::Unset("\"correct horse battery staple\""),
        "The password that belongs to user.",
    ),
    row(
        "password_file",
        "SIGNALCORE_NODE_PASSWORD_FILE",
        Kind::Path(|n| &mut n.password_file),
        Preset::Unset("\"/etc/signalcore/node.password\""),
        "A file whose first line is the password, instead of password.",
    ),
    row(
        "zmq",
        "SIGNALCORE_NODE_ZMQ",
        Kind::Zmq(|n| &mut n.zmq),
        Preset::Unset("[\"tcp://127.0.0.1:28332\"]"),
        "Where it publishes hashblock or sequence; a new block is heard of sooner then.",
    ),
];

impl Element for Node {
    type Draft = NodeDraft;

    const KIND: ArrayKind = ArrayKind::Node;

    fn fields() -> &'static [Field<NodeDraft>] {
        NODE_FIELDS
    }

    fn conflicts(_: &NodeDraft, origins: &OriginOf) -> Vec<(bool, &'static str, Mistake)> {
        let is_given = |name: &str| origins.contains_key(name);
        let (cookie, user) = (is_given("cookie"), is_given("user"));
        let secret = ["password", "password_file"].into_iter().find(|name| is_given(name));
        let only_user = !cookie && user && secret.is_none();
        let only_secret = !cookie && !user && secret.is_some();
        vec![
            (is_given("password") && is_given("password_file"), "password_file", Mistake::TwoPasswords),
            (cookie && (user || secret.is_some()), "cookie", Mistake::TwoLogins),
            (only_user, "user", Mistake::HalfLogin { missing: "password" }),
            (only_secret, secret.unwrap_or("password"), Mistake::HalfLogin { missing: "user" }),
        ]
    }

    fn from_draft(draft: NodeDraft, _: &mut OriginOf) -> Option<Self> {
        let NodeDraft { url, cookie, user, password, password_file, zmq } = draft;
        let login = match (cookie, user) {
            (Some(cookie), _) => NodeLogin::Cookie(cookie),
            (None, Some(user)) => {
                NodeLogin::Password { user, password: password.unwrap_or_default(), password_file }
            }
            (None, None) => NodeLogin::DefaultCookie,
        };
        Some(Self { url: url?, login, zmq })
    }

    fn to_draft(&self) -> NodeDraft {
        let Self { url, login, zmq } = self.clone();
        let draft = NodeDraft { url: Some(url), zmq, ..NodeDraft::default() };
        match login {
            NodeLogin::Cookie(cookie) => NodeDraft { cookie: Some(cookie), ..draft },
            NodeLogin::Password { user, password, password_file } => {
                let password = Some(password).filter(|_| password_file.is_none());
                NodeDraft { user: Some(user), password, password_file, ..draft }
            }
            NodeLogin::DefaultCookie => draft,
        }
    }

    /// Two names at one node are still one node.
    fn identity(&self) -> String {
        self.url.to_string()
    }
}
