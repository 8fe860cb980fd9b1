//! SOCKS5: through somebody else's computer, which resolves the pool's name too, so that ours is not asked for it.

use tokio::net::TcpStream;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

use crate::protocol::redirect::Destination;
use crate::protocol::session_config::Credentials;

/// A SOCKS5 proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub at: Destination,
    /// Who we are to it. Tor gives each user and password connections of their own.
    pub login: Option<Credentials>,
}

/// Why a proxy does not lead to the pool. Ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("it refuses the user or password; correct them in the pool's proxy")]
    Login,
    #[error("it wants a user and password; write proxy = \"socks5://USER:PASSWORD@HOST:PORT\"")]
    LoginWanted,
    #[error("it takes no user and password; leave them out of the pool's proxy")]
    LoginUnwanted,
    #[error("what answers there does not speak SOCKS5; check host and port of the pool's proxy")]
    NotSocks,
    #[error("it does not reach the pool ({0}); check the pool's host and port, and that the proxy is online")]
    Unreached(Error),
    #[error("the connection to it broke: {0}")]
    Broken(std::io::Error),
}

impl Proxy {
    /// Asks the proxy at the other end of `stream` for the pool. A host that is a name goes to the proxy as one.
    pub(super) async fn lead(&self, stream: TcpStream, to: &Destination) -> Result<TcpStream, ProxyError> {
        let target = (to.host.as_str(), to.port);
        let led = match &self.login {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some(Credentials { user, password }) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        };
        Ok(led.map_err(|error| self.explain(error))?.into_inner())
    }

    fn explain(&self, error: Error) -> ProxyError {
        match error {
            Error::PasswordAuthFailure(_) => ProxyError::Login,
            Error::NoAcceptableAuthMethods | Error::AuthorizationRequired if self.login.is_none() => {
                ProxyError::LoginWanted
            }
            Error::NoAcceptableAuthMethods => ProxyError::LoginUnwanted,
            Error::InvalidResponseVersion | Error::InvalidReservedByte | Error::UnknownAuthMethod => {
                ProxyError::NotSocks
            }
            Error::Io(error) => ProxyError::Broken(error),
            error => ProxyError::Unreached(error),
        }
    }
}
