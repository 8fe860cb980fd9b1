//! What may become of a pool's `client.reconnect`.
//!
//! Without authentication anybody on the path can send that one line and take a miner away for good, as in the thefts
//! of 2014. So it is followed to the same host only, or, over TLS or when the operator allows it, to a host of the same
//! registrable domain; seldom; and never for longer than the next failure. It changes host and port alone: who came over
//! TLS or through a proxy goes on that way.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Longest wait before reconnecting that a pool may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Least time between two redirects followed.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// Redirects followed within [`WINDOW`]: more is a loop or an attack.
const MAX_PER_WINDOW: usize = 3;
/// See [`MAX_PER_WINDOW`].
const WINDOW: Duration = Duration::from_secs(3600);

/// Where a pool lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What a pool asked for: everything may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedirectRequest {
    /// Another host; empty or missing means the same.
    pub host: Option<String>,
    /// Another port.
    pub port: Option<u16>,
    /// Seconds to wait first.
    pub wait: Option<u64>,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRefused {
    /// The host is foreign.
    #[error("{0} is not of this pool's domain")]
    ForeignHost(String),
    /// The host is of the pool's domain, but the line is plain text and the operator has not allowed leaving the host.
    #[error("{0} is another host, without TLS to prove itself, and `follow_redirect` is off")]
    NotAllowed(String),
    /// Bare addresses have no domain to trust.
    #[error("{0} is a bare address")]
    Address(String),
    /// Redirects come too thick.
    #[error("redirects are followed once a minute and three times an hour at most")]
    TooOften,
}

/// The rule and its memory.
#[derive(Debug)]
pub struct RedirectPolicy {
    configured: Destination,
    other_hosts: bool,
    followed: Vec<Instant>,
}

impl RedirectPolicy {
    /// A policy for a pool at `configured`; `other_hosts` allows hosts of the same registrable domain.
    pub fn new(configured: Destination, other_hosts: bool) -> Self {
        Self { configured, other_hosts, followed: Vec::new() }
    }

    /// Where to go and how long to wait first. Errors: see [`RedirectRefused`].
    pub fn judge(
        &mut self,
        request: &RedirectRequest,
        now: Instant,
    ) -> Result<(Destination, Duration), RedirectRefused> {
        let host = normalise(request.host.as_deref().unwrap_or(""));
        let host = if host.is_empty() { normalise(&self.configured.host) } else { host };
        self.check_host(&host)?;
        self.followed.retain(|at| now.duration_since(*at) < WINDOW);
        let too_soon = self.followed.last().is_some_and(|last| now.duration_since(*last) < MIN_INTERVAL);
        if too_soon || self.followed.len() >= MAX_PER_WINDOW {
            return Err(RedirectRefused::TooOften);
        }
        self.followed.push(now);
        let port = request.port.unwrap_or(self.configured.port);
        let wait = Duration::from_secs(request.wait.unwrap_or(0)).min(MAX_WAIT);
        Ok((Destination { host, port }, wait))
    }

    fn check_host(&self, host: &str) -> Result<(), RedirectRefused> {
        let configured = normalise(&self.configured.host);
        if host == configured {
            return Ok(());
        }
        if host.parse::<IpAddr>().is_ok() {
            return Err(RedirectRefused::Address(host.to_owned()));
        }
        if configured.parse::<IpAddr>().is_ok() {
            return Err(RedirectRefused::ForeignHost(host.to_owned()));
        }
        match (psl::domain_str(host), psl::domain_str(&configured)) {
            (Some(theirs), Some(ours)) if theirs == ours && self.other_hosts => Ok(()),
            (Some(theirs), Some(ours)) if theirs == ours => Err(RedirectRefused::NotAllowed(host.to_owned())),
            _ => Err(RedirectRefused::ForeignHost(host.to_owned())),
        }
    }
}

/// The registrable domain of a host, whose holder answers for all below it; `None` for an address and a bare name.
pub fn registrable_domain(host: &str) -> Option<String> {
    let host = normalise(host);
    let is_address = host.parse::<IpAddr>().is_ok();
    psl::domain_str(&host).filter(|_| !is_address).map(str::to_owned)
}

/// ASCII lower case, no trailing dot: two spellings of one name become equal.
fn normalise(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str, port: u16) -> RedirectRequest {
        RedirectRequest { host: Some(host.to_owned()), port: Some(port), wait: None }
    }

    fn policy(host: &str, other_hosts: bool) -> RedirectPolicy {
        RedirectPolicy::new(Destination { host: host.to_owned(), port: 3333 }, other_hosts)
    }

    #[test]
    fn the_same_host_on_another_port_is_followed_however_it_is_spelt() {
        let now = Instant::now();
        for request in [to("Pool.Example.com.", 4444), to("", 4444)] {
            let (destination, wait) = policy("pool.example.com", false).judge(&request, now).unwrap();
            assert_eq!(destination, Destination { host: "pool.example.com".into(), port: 4444 });
            assert_eq!(wait, Duration::ZERO);
        }
        let request = RedirectRequest { wait: Some(86_400), ..RedirectRequest::default() };
        let (destination, wait) = policy("10.0.0.1", false).judge(&request, now).unwrap();
        assert_eq!(destination, Destination { host: "10.0.0.1".into(), port: 3333 });
        assert_eq!(wait, MAX_WAIT);
    }

    #[test]
    fn another_host_needs_the_same_registrable_domain_and_leave() {
        let now = Instant::now();
        let judge = |pool: &str, leave, host: &str| {
            policy(pool, leave).judge(&to(host, 1), now).map(|(to, _)| to.host)
        };
        assert_eq!(judge("eu.pool.co.uk", true, "us.pool.co.uk"), Ok("us.pool.co.uk".into()));
        assert_eq!(
            judge("eu.pool.co.uk", false, "us.pool.co.uk"),
            Err(RedirectRefused::NotAllowed("us.pool.co.uk".into()))
        );
        for (pool, host) in
            [("eu.pool.co.uk", "thief.co.uk"), ("pool.com", "thief.com"), ("pool.com", "pool.com.thief.org")]
        {
            assert_eq!(
                judge(pool, true, host),
                Err(RedirectRefused::ForeignHost(host.into())),
                "{pool} to {host}"
            );
        }
        for (pool, host) in [("pool.com", "10.0.0.1"), ("10.0.0.1", "10.0.0.2"), ("pool.com", "::1")] {
            assert_eq!(
                judge(pool, true, host),
                Err(RedirectRefused::Address(host.into())),
                "{pool} to {host}"
            );
        }
    }

    #[test]
    fn redirects_are_followed_once_a_minute_and_three_times_an_hour() {
        let start = Instant::now();
        let mut policy = policy("pool.com", false);
        let mut at = |seconds| policy.judge(&to("", 1), start + Duration::from_secs(seconds)).map(|_| ());
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(59), Err(RedirectRefused::TooOften));
        assert_eq!(at(60), Ok(()));
        assert_eq!(at(120), Ok(()));
        assert_eq!(at(200), Err(RedirectRefused::TooOften));
        assert_eq!(at(3600), Ok(()));
    }
}
