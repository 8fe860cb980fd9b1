//! Whom to take for a pool over TLS.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Whom to believe that they are the pool, beside the system's authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsTrust {
    /// A file with certificates of authorities, in PEM.
    pub ca: Option<PathBuf>,
    /// The certificates in it, each in DER.
    pub authorities: Vec<Vec<u8>>,
    /// The only public key to accept.
    pub pin: Option<TlsPin>,
}

/// SHA-256 of the public key (SubjectPublicKeyInfo) of a certificate. Prints as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsPin([u8; 32]);

impl TlsPin {
    /// What a pin may look like, for messages.
    pub(super) const EXPECTED: &str =
        "the SHA-256 of a public key as 64 hex digits or 44 characters of base64";

    /// Hex, with colons too, or base64, bare or behind `sha256//` as curl writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("sha256//").unwrap_or(text);
        let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 32);
        let bytes = bytes.or_else(|| hex::decode(text.replace(':', "")).ok())?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The hash itself.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for TlsPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_from_hex_and_from_base64() {
        // SHA-256 of nothing, by `sha256sum` and by `openssl dgst -binary | base64`.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pairs: Vec<_> = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        for text in [hex, &hex.to_uppercase(), base64, &format!("sha256//{base64}"), &pairs.join(":")] {
            assert_eq!(TlsPin::parse(text).unwrap().to_string(), hex, "{text}");
        }
        for text in ["", "e3", &hex[2..], &format!("{hex}00"), &base64[..43], "sha256//"] {
            assert_eq!(TlsPin::parse(text), None, "{text}");
        }
    }
}
