//! From the settings of a pool to what its task is made of.

use std::net::IpAddr;
use std::time::Duration;

use super::PlanError;
use crate::config::{self, Pool, Secret, Stratum};
use crate::protocol::payout_watch::PayoutTerms;
use crate::protocol::redirect::{Destination, registrable_domain};
use crate::protocol::session_config::{Credentials, Deadlines, SessionConfig, Suggestion};
use crate::upstream::pool::PoolOptions;
use crate::upstream::proxy::Proxy;
use crate::upstream::tls::{Tls, Trust};
use crate::upstream::transport::Route;
use crate::work::Difficulty;

/// Who answers for what a pool says: the holder of its domain, or of its address. On this machine each port is for itself, since
/// what listens there is a tunnel to somebody else.
pub(super) fn operator(pool: &Pool) -> String {
    let host = pool.url.host().to_lowercase();
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match registrable_domain(&host) {
        Some(domain) => domain,
        None if is_here => format!("{host} {}", pool.url.port()),
        None => host,
    }
}

/// Errors: `Tls`.
pub(super) fn pool_options(pool: &Pool, stratum: &Stratum) -> Result<PoolOptions, PlanError> {
    let timeouts = &stratum.timeouts;
    let route = route(pool, timeouts.connect)?;
    // NiceHash reconnects at each change of order unless asked this way.
    let nicehash = route.to.host == "nicehash.com" || route.to.host.ends_with(".nicehash.com");
    Ok(PoolOptions {
        name: pool.url.to_string(),
        route,
        session: SessionConfig {
            credentials: credentials(&pool.user, &pool.password),
            user_agent: stratum.user_agent.clone(),
            version_rolling: pool.terms.version_rolling.unwrap_or(stratum.version_rolling),
            extranonce_subscribe: pool
                .terms
                .extranonce_subscribe
                .unwrap_or(stratum.extranonce_subscribe || nicehash),
            suggest_difficulty: match stratum.suggest_difficulty {
                config::Suggestion::Auto => Suggestion::Auto,
                config::Suggestion::Off => Suggestion::Off,
                config::Suggestion::Difficulty(wish) => Suggestion::Fixed(
                    Difficulty::new(wish).expect("the range of the setting lies within that of difficulties"),
                ),
            },
            payout: PayoutTerms {
                addresses: pool.terms.expect_payout.clone(),
                min_share: pool.terms.min_share,
            },
            deadlines: Deadlines {
                handshake: timeouts.handshake,
                first_job: timeouts.first_job,
                silence: timeouts.silence,
                answer: timeouts.answer,
            },
        },
        follow_redirect: stratum.follow_redirect,
        reconnect_max: timeouts.reconnect_max,
    })
}

fn route(pool: &Pool, patience: Duration) -> Result<Route, PlanError> {
    let trust =
        Trust { authorities: pool.tls.authorities.clone(), pin: pool.tls.pin.map(config::TlsPin::bytes) };
    let tls = pool.url.is_tls().then(|| Tls::new(&trust)).transpose();
    let proxy = pool.proxy.as_ref().map(|proxy| Proxy {
        at: Destination { host: proxy.host(), port: proxy.port() },
        login: proxy.login().map(|(user, password)| credentials(user.expose(), password)),
    });
    Ok(Route {
        to: Destination { host: pool.url.host(), port: pool.url.port() },
        tls: tls.map_err(|error| PlanError::Tls { url: pool.url.to_string(), error })?,
        proxy,
        patience,
    })
}

fn credentials(user: &str, password: &Secret) -> Credentials {
    Credentials { user: user.to_owned(), password: password.expose().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_of_one_domain_or_address_are_one_operators_and_tunnels_on_this_machine_are_not() {
        let of = |address: &str| {
            let url = format!("stratum+tcp://{address}").parse().expect("a pool's address");
            operator(&Pool::new(url, "worker"))
        };
        assert_eq!(of("eu.pool.example:3333"), of("US.Pool.example:443"));
        assert_eq!(of("192.0.2.7:3333"), of("192.0.2.7:443"));
        assert_ne!(of("192.0.2.7:3333"), of("198.51.0.7:3333"));
        assert_ne!(of("one.co.uk:3333"), of("two.co.uk:3333"));
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert_ne!(of(&format!("{host}:4201")), of(&format!("{host}:4202")));
        }
    }
}
