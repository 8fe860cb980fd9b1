//! What the command line overrides, and which credentials belong to which of its pools.

use std::path::PathBuf;

use super::Secret;

/// Overrides from the command line as they were typed; [`super::load`] checks them like any layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// `--config`: the file to read instead of searching one.
    pub config: Option<PathBuf>,
    /// `--pool`, `--user`, `--password`: if there are any, they replace the pools of all other layers.
    pub pools: Vec<PoolFlags>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFlags {
    /// `--pool`.
    pub url: String,
    /// `--user`.
    pub user: Option<String>,
    /// `--password`.
    pub password: Option<Secret>,
}

/// Why users or passwords cannot be told to belong to the URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// More than one user, but not one for each URL.
    #[error("{users} --user for {urls} --pool; give one for all pools or one for each, in the same order")]
    Users {
        /// How many users.
        users: usize,
        /// How many URLs.
        urls: usize,
    },
    /// More than one password, but not one for each URL.
    #[error(
        "{passwords} --password for {urls} --pool; give one for all pools or one for each, in the same order"
    )]
    Passwords {
        /// How many passwords.
        passwords: usize,
        /// How many URLs.
        urls: usize,
    },
    /// Credentials, but no URL they are for.
    #[error(
        "--user or --password without --pool; they are never sent to a pool of the configuration, so name the pool too"
    )]
    NoUrl,
}

/// cgminer's pairing of repeated `-o -u -p`: the i-th user and password belong to the i-th URL. A single user
/// or password serves all of them; with any other number the counts must match, because guessing could send
/// the credentials of one pool to another.
pub fn pair_pools(
    urls: &[String],
    users: &[String],
    passwords: &[Secret],
) -> Result<Vec<PoolFlags>, PairingError> {
    if urls.is_empty() && !(users.is_empty() && passwords.is_empty()) {
        return Err(PairingError::NoUrl);
    }
    let fits = |count: usize| count <= 1 || count == urls.len();
    if !fits(users.len()) {
        return Err(PairingError::Users { users: users.len(), urls: urls.len() });
    }
    if !fits(passwords.len()) {
        return Err(PairingError::Passwords { passwords: passwords.len(), urls: urls.len() });
    }
    let pool = |(i, url): (usize, &String)| PoolFlags {
        url: url.clone(),
        user: for_pool(users, i),
        password: for_pool(passwords, i),
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
        let secrets: Vec<_> = passwords.iter().map(|p| Secret::new(*p)).collect();
        pair_pools(&texts(urls), &texts(users), &secrets)
    }

    fn pool(url: &str, user: Option<&str>, password: Option<&str>) -> PoolFlags {
        PoolFlags { url: url.into(), user: user.map(Into::into), password: password.map(Secret::new) }
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
        let no_url = "--user or --password without --pool; they are never sent to a pool of the configuration, \
                      so name the pool too";
        assert_eq!(message(pair(&[], &["u"], &[])), no_url);
        assert_eq!(message(pair(&[], &["u", "v"], &["p"])), no_url);
    }
}
