//! `[[pool]]`: its settings, which of them contradict each other, and the pool that they make.

use std::path::PathBuf;

use super::array::{ArrayKind, Element, OriginOf};
use super::field::{self, ANY, Field, Preset, row};
use super::kind::Kind;
use super::pool_address::PoolAddress;
use super::problem::Mistake;
use super::{Pool, PoolUrl, Proxy, Secret, Terms, TlsTrust};

/// The worst rank of a pool. More than anybody has pools; one at a later place in the list has this.
pub(super) const MAX_PRIORITY: u32 = 1000;

/// A `[[pool]]` while it is read: the URL may still be missing, and the priority in the terms is none yet.
#[derive(Debug, Clone, Default)]
pub(super) struct PoolDraft {
    pub(super) url: Option<PoolAddress>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) tls: TlsTrust,
    pub(super) proxy: Option<Proxy>,
    pub(super) priority: Option<u32>,
    pub(super) terms: Terms,
}

/// The settings of a `[[pool]]`.
pub(super) static POOL_FIELDS: &[Field<PoolDraft>] = &[
    row(
        "url",
        "SIGNALCORE_POOL_URL",
        Kind::Url(|p| &mut p.url),
        Preset::Required("\"stratum+tcp://pool.example.com:3333\""),
        "The address of the pool: stratum+tcp:// is plain text, stratum+ssl:// is TLS and needs the port.",
    ),
    row(
        "user",
        "SIGNALCORE_POOL_USER",
        Kind::Text { place: |p| &mut p.user, rule: &ANY },
        Preset::Value("\"\""),
        "User or worker name, often a Bitcoin address.",
    ),
    row(
        "password",
        "SIGNALCORE_POOL_PASSWORD",
        Kind::Secret(|p| &mut p.password),
        Preset::Value("\"x\""),
        "Password; many pools ignore it.",
    ),
    row(
        "password_file",
        "SIGNALCORE_POOL_PASSWORD_FILE",
        Kind::Path(|p| &mut p.password_file),
        Preset::Unset("\"/etc/signalcore/pool.password\""),
        "A file whose first line is the password, instead of password.",
    ),
    row(
        "tls_ca",
        "SIGNALCORE_POOL_TLS_CA",
        Kind::Path(|p| &mut p.tls.ca),
        Preset::Unset("\"/etc/signalcore/pool-ca.pem\""),
        "A file in PEM with the authorities that may vouch for the pool over TLS, instead of the system's.",
    ),
    row(
        "tls_pin",
        "SIGNALCORE_POOL_TLS_PIN",
        Kind::Pin(|p| &mut p.tls.pin),
        Preset::Unset("\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""),
        "The only public key the pool may have over TLS. Without tls_ca it alone decides, for self-signed ones.",
    ),
    row(
        "proxy",
        "SIGNALCORE_POOL_PROXY",
        Kind::Proxy(|p| &mut p.proxy),
        Preset::Unset("\"socks5://127.0.0.1:9050\""),
        "A SOCKS5 proxy to go through, such as Tor's; it resolves the pool's name.",
    ),
    row(
        "priority",
        "SIGNALCORE_POOL_PRIORITY",
        Kind::OptionalWhole { place: |p| &mut p.priority, from: 0, to: MAX_PRIORITY },
        Preset::Unset("0"),
        "Lower is better; a pool without one has its place in the list, counted from 0.",
    ),
    row(
        "weight",
        "SIGNALCORE_POOL_WEIGHT",
        Kind::Whole { place: |p| &mut p.terms.weight, from: 1, to: 1_000_000 },
        Preset::Value("1"),
        "Its part of the hashing in relation to the others, with the strategies load-balance and quota.",
    ),
    row(
        "expect_payout",
        "SIGNALCORE_POOL_EXPECT_PAYOUT",
        Kind::Addresses(|p| &mut p.terms.expect_payout),
        Preset::Unset("[\"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"]"),
        "Whom the blocks we mine have to pay; jobs that pay others are refused and the pool is left. For solo pools.",
    ),
    row(
        "min_share",
        "SIGNALCORE_POOL_MIN_SHARE",
        Kind::Part(|p| &mut p.terms.min_share),
        Preset::Value("0.97"),
        "How much of a block has to go there; the rest may be the pool's fee.",
    ),
    row(
        "scheme",
        "SIGNALCORE_POOL_SCHEME",
        Kind::Scheme(|p| &mut p.terms.scheme),
        Preset::Value("\"pps\""),
        "What it pays for: each share (also FPPS), a part of found blocks (also TIDES), a part of each by the shares of its round, or the block that you find.",
    ),
    row(
        "fee_percent",
        "SIGNALCORE_POOL_FEE_PERCENT",
        Kind::Number { place: |p| &mut p.terms.fee_percent, from: 0.0, to: 100.0 },
        Preset::Value("0.0"),
        "What it keeps, for the strategy value.",
    ),
    row(
        "payout_factor",
        "SIGNALCORE_POOL_PAYOUT_FACTOR",
        Kind::Part(|p| &mut p.terms.payout_factor),
        Preset::Value("1.0"),
        "What of a payout arrives after the cost of withdrawing it, for the strategy value.",
    ),
    row(
        "version_rolling",
        "SIGNALCORE_POOL_VERSION_ROLLING",
        Kind::OptionalBool(|p| &mut p.terms.version_rolling),
        Preset::Unset("false"),
        "For this pool instead of stratum.version_rolling; some forks of Bitcoin need the version as it is.",
    ),
    row(
        "extranonce_subscribe",
        "SIGNALCORE_POOL_EXTRANONCE_SUBSCRIBE",
        Kind::OptionalBool(|p| &mut p.terms.extranonce_subscribe),
        Preset::Unset("true"),
        "For this pool instead of stratum.extranonce_subscribe; #xnsub behind the url means true.",
    ),
];

/// A pool with the default of everything but this.
pub(super) fn with_defaults(url: PoolUrl, user: &str) -> Pool {
    let mut draft = PoolDraft { url: Some(url.into()), ..PoolDraft::default() };
    field::store_defaults(POOL_FIELDS, &mut draft);
    user.clone_into(&mut draft.user);
    Pool::from_draft(draft, &mut OriginOf::new()).expect("it has a url")
}

impl Element for Pool {
    type Draft = PoolDraft;

    const KIND: ArrayKind = ArrayKind::Pool;

    fn fields() -> &'static [Field<PoolDraft>] {
        POOL_FIELDS
    }

    fn conflicts(draft: &PoolDraft, origins: &OriginOf) -> Vec<(bool, &'static str, Mistake)> {
        let is_given = |name| origins.contains_key(name);
        let in_url = |is_there: fn(&PoolAddress) -> bool| draft.url.as_ref().is_some_and(is_there);
        let is_plain = in_url(|address| !address.url.is_tls());
        let in_url_too =
            |name, inside, is_there| (is_given(name) && in_url(is_there), name, Mistake::InUrlToo(inside));
        vec![
            (is_given("password") && is_given("password_file"), "password_file", Mistake::TwoPasswords),
            (is_given("tls_ca") && is_plain, "tls_ca", Mistake::NoTls),
            (is_given("tls_pin") && is_plain, "tls_pin", Mistake::NoTls),
            in_url_too("proxy", "the proxy", |address| address.proxy.is_some()),
            in_url_too("extranonce_subscribe", "#xnsub", |address| address.extranonce_subscribe.is_some()),
        ]
    }

    fn from_draft(draft: PoolDraft, origins: &mut OriginOf) -> Option<Self> {
        let PoolDraft { url, user, password, password_file, tls, proxy, priority, terms } = draft;
        let address = url?;
        for (name, inside) in [
            ("proxy", address.proxy.is_some()),
            ("extranonce_subscribe", address.extranonce_subscribe.is_some()),
        ] {
            if let Some(origin) = origins.get("url").filter(|_| inside).cloned() {
                origins.insert(name, origin);
            }
        }
        Some(Self {
            url: address.url,
            user,
            password: password.unwrap_or_default(),
            password_file,
            tls,
            proxy: proxy.or(address.proxy),
            terms: Terms {
                priority: priority.unwrap_or_default(), // its place in the list is not known yet
                extranonce_subscribe: terms.extranonce_subscribe.or(address.extranonce_subscribe),
                ..terms
            },
        })
    }

    /// A password out of a file is that file's line, not one of its own.
    fn to_draft(&self) -> PoolDraft {
        let Self { url, user, password, password_file, tls, proxy, terms } = self.clone();
        let (url, priority) = (Some(url.into()), Some(terms.priority));
        let password = Some(password).filter(|_| password_file.is_none());
        PoolDraft { url, user, password, password_file, tls, proxy, priority, terms }
    }

    /// Another user on the same server is another pool.
    fn identity(&self) -> String {
        format!("{} {}", self.url, self.user)
    }
}
