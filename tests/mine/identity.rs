//! Who a pool over TLS claims to be, and who vouches for it.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// A pool's key and certificate.
#[derive(Clone)]
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    certified: CertifiedKey,
    /// SHA-256 of its public key, in hex.
    pub(crate) pin: String,
    /// SHA-256 of its whole certificate, in hex, which many take for the pin.
    pub(crate) fingerprint: String,
}

impl Identity {
    /// Nobody but itself vouches for it.
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(names).self_signed(&key).unwrap();
        Self::new(certificate.der(), &key)
    }

    fn new(certificate: &CertificateDer<'static>, key: &KeyPair) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let certified = CertifiedKey::from_der(vec![certificate.clone()], secret, &provider).unwrap();
        Self {
            config: server(Arc::new(SingleCertAndKey::from(certified.clone()))),
            certified,
            pin: hex::encode(Sha256::digest(key.subject_public_key_info())),
            fingerprint: hex::encode(Sha256::digest(certificate)),
        }
    }

    /// The server's side of a connection.
    pub(crate) fn serve(&self, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), stream)
    }
}

fn server(certificates: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_cert_resolver(certificates))
}

fn parameters(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

/// Who may vouch for pools.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate in PEM.
    file: NamedTempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = parameters(&[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority of this test");
        let certificate = parameters.self_signed(&key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        Self { issuer: Issuer::new(parameters, key), file }
    }

    pub(crate) fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    pub(crate) fn vouch(&self, names: &[&str]) -> Identity {
        self.sign(parameters(names))
    }

    /// For a pool that shows its certificate only to who asks for it by name (SNI).
    pub(crate) fn vouch_behind_its_name(&self, name: &str) -> Identity {
        let identity = self.vouch(&[name]);
        let mut by_name = ResolvesServerCertUsingSni::new();
        by_name.add(name, identity.certified.clone()).unwrap();
        Identity { config: server(Arc::new(by_name)), ..identity }
    }

    /// For a certificate that ran out in 2020.
    pub(crate) fn vouched_long_ago(&self, names: &[&str]) -> Identity {
        let mut parameters = parameters(names);
        parameters.not_before = date_time_ymd(2019, 1, 1);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        self.sign(parameters)
    }

    fn sign(&self, parameters: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate.der(), &key)
    }
}
