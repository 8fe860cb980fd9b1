//! How we prove to a node who we are: with a password, or with the cookie that the node writes anew at each start.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::protocol::session_config::Credentials;

/// Longest cookie. A node's has 75 bytes. Source: Bitcoin Core `rpc/request.cpp`, `GenerateAuthCookie`.
const MAX_COOKIE: u64 = 4096;

/// A way to log in. Prints without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The latest of these files: the node keeps one for programs on its own machine, and one of another network may be
    /// left of a node that was killed. Shape: one line, `user:password`.
    Cookie(Vec<PathBuf>),
    /// One of the node's `rpcauth`, or its `rpcuser` and `rpcpassword`.
    Password(Credentials),
}

/// Why a cookie cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CookieError {
    /// Nobody has named a file, and there is no place where one would be.
    #[error(
        "there is no home folder to look for the node's cookie in; give --rpc-cookie its file, or --rpc-user and \
         --rpc-password"
    )]
    Nowhere,
    /// A file is none.
    #[error(
        "no cookie in {}: {fault}; is the node running, is this its data folder, and may we read it (rpccookieperms)? \
         Or give --rpc-user and --rpc-password", .path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: CookieFault,
    },
}

/// Why a file is no cookie.
#[derive(Debug, thiserror::Error)]
pub enum CookieFault {
    /// The file cannot be read. It is not there while the node is stopped or has just been started.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else has its name.
    #[error("it is no file")]
    NotAFile,
    /// The file is something else.
    #[error("it is longer than {MAX_COOKIE} bytes")]
    TooLong,
    /// The file is something else, or is just being written.
    #[error("it is not one line of a user, a colon and a password")]
    Shape,
}

/// What to log in with.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) credentials: Credentials,
    /// The cookie that it was read from; a password has none.
    pub(super) cookie: Option<PathBuf>,
}

/// A login with the cookie as it was read last.
#[derive(Debug)]
pub(super) struct Keys {
    login: Login,
    known: Mutex<Option<Key>>,
}

impl Keys {
    pub(super) fn new(login: Login) -> Self {
        Self { login, known: Mutex::default() }
    }

    /// What to log in with. A cookie is read when there is nothing to go by.
    pub(super) async fn current(&self) -> Result<Key, CookieError> {
        let paths = match &self.login {
            Login::Password(credentials) => {
                return Ok(Key { credentials: credentials.clone(), cookie: None });
            }
            Login::Cookie(paths) => paths.clone(),
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(key) = known {
            return Ok(key);
        }
        // Its folder may be on a network, and the runtime's threads wait for no disk.
        let path = paths.first().cloned();
        let read = tokio::task::spawn_blocking(move || latest_cookie(&paths)).await;
        let key = read.unwrap_or_else(|error| {
            let fault = CookieFault::Io(io::Error::other(error));
            Err(path.map_or(CookieError::Nowhere, |path| CookieError::File { path, fault }))
        })?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
    }

    /// Has the cookie read anew for the next call: the node is another one by now, or may be.
    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The latest cookie that can be read. Errors: that of the first file that is there, or else of the first one.
fn latest_cookie(paths: &[PathBuf]) -> Result<Key, CookieError> {
    let mut faults = Vec::new();
    let mut paths: Vec<_> = paths.iter().collect();
    let changed = |path: &&PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    paths.sort_by_key(|path| std::cmp::Reverse(changed(path)));
    for path in paths {
        match read_cookie(path) {
            Ok(credentials) => return Ok(Key { credentials, cookie: Some(path.clone()) }),
            Err(fault) => faults.push((path.clone(), fault)),
        }
    }
    let is_there =
        |fault: &CookieFault| !matches!(fault, CookieFault::Io(error) if error.kind() == ErrorKind::NotFound);
    let telling = faults.iter().position(|(_, fault)| is_there(fault)).unwrap_or(0);
    let error = faults.into_iter().nth(telling).map(|(path, fault)| CookieError::File { path, fault });
    Err(error.unwrap_or(CookieError::Nowhere))
}

fn read_cookie(path: &Path) -> Result<Credentials, CookieFault> {
    // A pipe in its place would hold us for ever.
    if !path.metadata()?.is_file() {
        return Err(CookieFault::NotAFile);
    }
    let mut text = String::new();
    if File::open(path)?.take(MAX_COOKIE + 1).read_to_string(&mut text)? as u64 > MAX_COOKIE {
        return Err(CookieFault::TooLong);
    }
    let line = text.trim_end_matches(['\r', '\n']);
    match line.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !line.contains('\n') => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err(CookieFault::Shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Credentials, CookieFault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read_cookie(file.path())
    }

    #[test]
    fn a_cookie_is_a_user_and_a_password_with_or_without_a_line_end() {
        for text in ["__cookie__:0a1b:2c", "__cookie__:0a1b:2c\r\n"] {
            let Credentials { user, password } = read(text.as_bytes()).unwrap();
            assert_eq!((user.as_str(), password.as_str()), ("__cookie__", "0a1b:2c"));
        }
    }

    #[test]
    fn what_is_no_cookie_is_refused_and_not_shown() {
        for text in ["", "\n", "secret", ":secret", "user:", "user:secret\nmore"] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(matches!(error, CookieFault::Shape) && !error.to_string().contains("secret"), "{text:?}");
        }
        assert!(matches!(read(&[0xff, b':', b'x']), Err(CookieFault::Io(_))));
        assert!(matches!(read(&vec![b':'; 5000]), Err(CookieFault::TooLong)));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_cookie(folder.path()), Err(CookieFault::NotAFile)));
        assert!(matches!(read_cookie(&folder.path().join("none")), Err(CookieFault::Io(_))));
    }

    #[test]
    fn of_several_places_the_latest_cookie_counts_and_the_first_with_anything_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [none, other, right, stale] =
            ["none", "other", "right", "stale"].map(|name| folder.path().join(name));
        std::fs::write(&other, "something else").unwrap();
        std::fs::write(&right, "u:right").unwrap();
        std::fs::write(&stale, "u:stale").unwrap();
        let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        File::options().write(true).open(&stale).unwrap().set_modified(an_hour_ago).unwrap();
        let read =
            |paths: &[&PathBuf]| latest_cookie(&paths.iter().map(|path| (*path).clone()).collect::<Vec<_>>());
        let key = read(&[&none, &other, &stale, &right]).unwrap();
        assert_eq!((key.credentials.password.as_str(), key.cookie), ("right", Some(right)));
        let told = |paths: &[&PathBuf]| match read(paths).unwrap_err() {
            CookieError::File { path, .. } => Some(path),
            CookieError::Nowhere => None,
        };
        assert_eq!(told(&[&none, &other]), Some(other));
        assert_eq!(told(&[&none, &folder.path().join("neither")]), Some(none));
        assert_eq!(told(&[]), None);
    }

    #[tokio::test]
    async fn the_file_is_read_once_until_it_is_forgotten_and_is_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "u:first-secret").unwrap();
        let keys = Keys::new(Login::Cookie(vec![file.path().to_owned()]));
        assert_eq!(keys.current().await.unwrap().credentials.password, "first-secret");
        std::fs::write(file.path(), "u:second-secret").unwrap();
        assert_eq!(keys.current().await.unwrap().credentials.password, "first-secret");
        keys.forget();
        assert_eq!(keys.current().await.unwrap().credentials.password, "second-secret");
        assert!(!format!("{keys:?}").contains("secret"));
    }
}
