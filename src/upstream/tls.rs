//! TLS to a pool: whom to trust, and what to say when that fails. Each connection is checked anew: no session is
//! resumed, so that a certificate that has run out or changed is always seen.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::protocol::text::printable;

/// Characters of a stranger's certificate that a message shows.
const MAX_SHOWN: usize = 200;
/// Unit: seconds.
const DAY: u64 = 24 * 60 * 60;

/// SHA-256 of a SubjectPublicKeyInfo in DER.
pub type Pin = [u8; 32];

/// Whom to take for the pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates in DER of the authorities to believe instead of the system's; none means the system's.
    pub authorities: Vec<Vec<u8>>,
    /// The only public key to accept. Without authorities it alone decides, whoever signed the certificate.
    pub pin: Option<Pin>,
}

/// Why a trust cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Nobody to believe.
    #[error(
        "this system has no certificates of authorities{0}; install them (the package ca-certificates), or name some \
         with tls_ca, or the pool's public key with tls_pin"
    )]
    NoSystemAuthorities(String),
    /// Not a certificate after all.
    #[error(
        "certificate {number} of tls_ca is none of an authority: {error}; give the authority's own certificate"
    )]
    Authority {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: String,
    },
}

/// TLS as one pool wants it.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why a handshake failed. Ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("{0}")]
    Distrusted(String),
    #[error(
        "what answers there does not speak TLS; check the port, or write stratum+tcp:// for a pool in plain text"
    )]
    NotTls,
    #[error("it hangs up during the handshake; check that the pool has TLS on this port")]
    HungUp,
    #[error("it refuses the handshake ({0:?}); check that the host is the one the pool names")]
    Refused(AlertDescription),
    #[error("its name is none that a certificate can stand for; write the host as the pool names it")]
    Name,
    #[error("{0}")]
    Other(io::Error),
}

impl Tls {
    /// Errors: see [`TlsError`].
    pub fn new(trust: &Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier::new(trust, provider.clone())?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = config.with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// Makes sure that `host` is at the other end, and the line private.
    pub(super) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HandshakeError::Name)?;
        let stream = TlsConnector::from(self.0.clone()).connect(name, stream).await.map_err(failure)?;
        let (_, session) = stream.get_ref();
        let key = session.peer_certificates().and_then(|chain| pin_of(chain.first()?).ok()).map(hex::encode);
        tracing::debug!(version = ?session.protocol_version(), pin = key, "TLS with {host}");
        Ok(stream)
    }
}

/// Whether bytes from a connection in plain text are the complaint of a server that speaks TLS. No line of Stratum has
/// them: JSON holds no control characters. Source: RFC 8446, 5.1: content type 21 (alert), version 3.x.
pub(super) fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[21, 3])
}

fn failure(error: io::Error) -> HandshakeError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(distrust)))) => {
            HandshakeError::Distrusted(distrust.to_string())
        }
        Some(Error::InvalidCertificate(error)) => HandshakeError::Distrusted(error.to_string()),
        Some(Error::InvalidMessage(_)) => HandshakeError::NotTls,
        Some(Error::AlertReceived(alert)) => HandshakeError::Refused(*alert),
        _ if is_hang_up(error.kind()) => HandshakeError::HungUp,
        _ => HandshakeError::Other(error),
    }
}

fn is_hang_up(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn pin_of(certificate: &CertificateDer<'_>) -> Result<Pin, Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    Ok(Sha256::digest(key.as_ref()).into())
}

/// Checks a pool's certificate: the pin if there is one, then chain, dates and name unless the pin stands alone.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<Pin>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = match (trust.authorities.as_slice(), trust.pin) {
            ([], Some(_)) => None,
            ([], None) => Some(system_authorities()?),
            (authorities, _) => Some(own_authorities(authorities)?),
        };
        let chain = roots.map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .expect("there are roots, and no revocation lists that could be wrong")
        });
        Ok(Self { chain, pin: trust.pin, provider })
    }
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Stores hold a certificate now and then that no check can use; the others are as good as ever.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TlsError::NoSystemAuthorities(why));
    }
    Ok(roots)
}

fn own_authorities(certificates: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (i, certificate) in certificates.iter().enumerate() {
        let added = roots.add(CertificateDer::from_slice(certificate));
        added.map_err(|error| TlsError::Authority { number: i + 1, error: error.to_string() })?;
    }
    Ok(roots)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = pin_of(end_entity)?;
        let distrust = |fault| {
            let distrust = Distrust { fault, found };
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
        };
        if self.pin.is_some_and(|pin| pin != found) {
            let is_whole = self.pin == Some(Sha256::digest(end_entity).into());
            return Err(distrust(if is_whole { Fault::PinOfCertificate } else { Fault::Pin }));
        }
        if let Some(chain) = &self.chain {
            let checked =
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            checked.map_err(|error| distrust(Fault::of(error)))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a certificate is not taken, for the operator.
#[derive(Debug, thiserror::Error)]
#[error(
    "{fault}; only if the pool confirms by another way that its key is the one found, set tls_pin = \"{}\"",
    hex::encode(found)
)]
struct Distrust {
    fault: Fault,
    found: Pin,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "its public key is not the one of tls_pin: it has a new one, or somebody else answers in its place"
    )]
    Pin,
    #[error(
        "tls_pin is the fingerprint of the whole certificate, and that of the public key in it is wanted"
    )]
    PinOfCertificate,
    #[error(
        "its certificate is signed by nobody who is trusted here; if the pool has an authority of its own, name the \
         file with that certificate as tls_ca"
    )]
    Issuer,
    #[error(
        "its certificate is that of an authority, as self-made ones often are, and proves no server; the pool should \
         make one for a server"
    )]
    AuthorityItself,
    #[error("its certificate has run out {} days ago; the pool must renew it, or this computer's clock is wrong", .0 / DAY)]
    Expired(u64),
    #[error("its certificate holds only in {} days; check this computer's clock", .0 / DAY + 1)]
    NotYet(u64),
    #[error("its certificate is for {presented}, not for {expected}; write the host as the pool names it")]
    Name { expected: String, presented: String },
    #[error("its certificate is not valid ({0})")]
    Other(String),
}

impl Fault {
    fn of(error: Error) -> Self {
        let Error::InvalidCertificate(error) = error else { return Self::Other(error.to_string()) };
        match error {
            // A signature is bad when somebody else signs in the authority's name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired(time.as_secs().saturating_sub(not_after.as_secs()))
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYet(not_before.as_secs().saturating_sub(time.as_secs()))
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = expected.to_str().into_owned();
                Self::Name { expected, presented: names(&presented) }
            }
            error => match error.to_string() {
                text if text.contains("CaUsedAsEndEntity") => Self::AuthorityItself,
                text => Self::Other(printable(&text, MAX_SHOWN)),
            },
        }
    }
}

/// The names of a certificate, which come as `DnsName("pool.example.com")` and the like.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        inner.trim_matches('"').to_owned()
    };
    match presented {
        [] => "no host at all".to_owned(),
        names => printable(&names.iter().map(bare).collect::<Vec<_>>().join(", "), MAX_SHOWN),
    }
}
