//! Whether a backend is who it should be: its certificate's chain, name and pins, and what is wrong with it in plain words.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

/// How much of a backend's certificate is looked at. The names are those of Synapse's `HostnameVerifier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// `true`, `Strict`, `Default`: signed by somebody who is trusted, for the name that is called.
    #[default]
    Full,
    /// `DefaultAndLocalhost`: the same, but a backend on this machine may have any name.
    NameUnlessLocal,
    /// `AllowAll`: signed by somebody who is trusted, for whatever name.
    AnyName,
    /// `false`: nothing is.
    Nothing,
}

impl Verify {
    pub const NAMES: &[&str] = &[
        "true",
        "Strict",
        "Default",
        "DefaultAndLocalhost",
        "AllowAll",
        "false",
    ];

    /// What to shout about, where less than everything is looked at.
    pub fn danger(self) -> Option<&'static str> {
        match self {
            Verify::Full | Verify::NameUnlessLocal => None,
            Verify::AnyName => Some("the names in backends' certificates are not looked at"),
            Verify::Nothing => Some("backends' certificates are not looked at"),
        }
    }
}

impl FromStr for Verify {
    type Err = ();

    fn from_str(text: &str) -> Result<Verify, ()> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "true" | "strict" | "default" => Verify::Full,
            "defaultandlocalhost" => Verify::NameUnlessLocal,
            "allowall" => Verify::AnyName,
            "false" => Verify::Nothing,
            _ => return Err(()),
        })
    }
}

/// The SHA-256 of a public key (SubjectPublicKeyInfo), as curl and browsers write it: `sha256/…` in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl FromStr for Pin {
    type Err = ();

    fn from_str(text: &str) -> Result<Pin, ()> {
        let text = text.trim();
        let base64 = text
            .strip_prefix("sha256/")
            .or_else(|| text.strip_prefix("sha256//"))
            .ok_or(())?;
        let bytes = STANDARD.decode(base64.trim_start_matches('/')).map_err(drop)?;
        bytes.try_into().map(Pin).map_err(drop)
    }
}

impl Pin {
    fn of(certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        Ok(Pin(Sha256::digest(parsed.subject_public_key_info()).into()))
    }
}

/// Holds a backend's certificate against the trust of its endpoint.
#[derive(Debug)]
pub(super) struct Verifier {
    pub verify: Verify,
    pub pins: Vec<Pin>,
    /// Certificates of the endpoint's own that may be the backend's itself: self-signed ones.
    pub known: Vec<CertificateDer<'static>>,
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    pub provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub fn new(
        verify: Verify,
        pins: Vec<Pin>,
        roots: RootCertStore,
        known: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Verifier, String> {
        let chain = match verify {
            Verify::Nothing => None,
            _ if roots.is_empty() => {
                return Err("no certificate authority is known to this machine".to_owned());
            }
            _ => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| error.to_string())?,
            ),
        };
        Ok(Verifier {
            verify,
            pins,
            known,
            chain,
            provider,
        })
    }

    fn check_chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        let any_name = match self.verify {
            Verify::Full => false,
            Verify::NameUnlessLocal => is_local(name),
            Verify::AnyName | Verify::Nothing => true,
        };
        let error = match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match &error {
            // The name is looked at last: everything else is as it should be.
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) if any_name => Ok(()),
            // A self-signed certificate that calls itself an authority, as `openssl req -x509` makes them, and is trusted by itself. Its dates
            // were looked at before this was.
            rustls::Error::InvalidCertificate(CertificateError::Other(other))
                if is_authority(other) && self.known.iter().any(|known| known == certificate) =>
            {
                if any_name {
                    return Ok(());
                }
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
            }
            _ => Err(error),
        }
    }
}

fn is_authority(other: &OtherError) -> bool {
    format!("{other:?}").contains("CaUsedAsEndEntity")
}

fn is_local(name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => {
            let name = name.as_ref();
            ["localhost", "localhost.localdomain"]
                .iter()
                .any(|local| name.eq_ignore_ascii_case(local))
        }
        ServerName::IpAddress(address) => std::net::IpAddr::from(*address).is_loopback(),
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check_chain(certificate, intermediates, name, ocsp, now)?;
        if !self.pins.is_empty() && !self.pins.contains(&Pin::of(certificate)?) {
            // The only use of this kind of error here; `in_words` says what it means.
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What is wrong, for somebody who does not know TLS by heart.
pub(super) fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => format!("its certificate {}", of_certificate(reason)),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => format!("it refused the handshake, perhaps for want of a client certificate ({error})"),
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => format!("it refused our client certificate ({error})"),
        rustls::Error::InvalidMessage(_) => format!("it does not speak TLS ({error})"),
        other => other.to_string(),
    }
}

fn of_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = (time.as_secs().saturating_sub(not_after.as_secs())) / 86_400;
            format!("has expired, {days} days ago")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "is signed by nobody who is trusted (an unknown authority, or self-signed)".to_owned()
        }
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                format!("is for another name than `{expected}`: it has none (no subjectAltName)")
            } else {
                let presented: Vec<&str> = presented.iter().take(5).map(|name| plain_name(name)).collect();
                format!("is for another name than `{expected}`: {}", presented.join(", "))
            }
        }
        CertificateError::ApplicationVerificationFailure => {
            "has another public key than is pinned".to_owned()
        }
        CertificateError::BadSignature => "has a signature that does not fit".to_owned(),
        CertificateError::Revoked => "has been revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers".to_owned()
        }
        CertificateError::Other(other) if is_authority(other) => {
            "is self-signed, or that of an authority, and not among the trusted ones".to_owned()
        }
        CertificateError::BadEncoding => "cannot be read".to_owned(),
        other => format!("is not valid: {other}"),
    }
}

/// rustls writes `DnsName("a.example")`.
fn plain_name(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifiers_have_the_names_of_synapse() {
        for (name, expected) in [
            ("Strict", Ok(Verify::Full)),
            ("Default", Ok(Verify::Full)),
            ("true", Ok(Verify::Full)),
            ("DefaultAndLocalhost", Ok(Verify::NameUnlessLocal)),
            ("AllowAll", Ok(Verify::AnyName)),
            ("false", Ok(Verify::Nothing)),
            ("no", Err(())),
        ] {
            assert_eq!(name.parse::<Verify>(), expected, "{name}");
        }
        assert!(Verify::NAMES.iter().all(|name| name.parse::<Verify>().is_ok()));
    }

    #[test]
    fn a_pin_is_a_hash_in_base64() {
        let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse::<Pin>();
        assert_eq!(pin, Ok(Pin(Sha256::digest(b"").into())));
        assert_eq!("sha256/AAAA".parse::<Pin>(), Err(()));
        assert_eq!(
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse::<Pin>(),
            Err(())
        );
    }

    #[test]
    fn names_of_this_machine_are_known() {
        let local = |name: &str| is_local(&ServerName::try_from(name.to_owned()).unwrap());
        assert!(local("localhost") && local("127.0.0.1") && local("::1"));
        assert!(!local("localhost.example") && !local("10.0.0.1"));
    }
}
