//! TLS: certificates from files, swapped while serving, and the trust that backends are held to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// The certificate a listener shows. `reload` swaps it for new handshakes; a broken replacement changes nothing.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<ArcSwap<ServerConfig>>,
    certificate: PathBuf,
    key: PathBuf,
    http2: bool,
}

impl ServerTls {
    /// Reads a PEM chain (leaf first) and its PEM key.
    pub fn load(certificate: &Path, key: &Path, http2: bool) -> Result<Self, TlsError> {
        let config = server_config(certificate, key, http2)?;
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(config)),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            http2,
        })
    }

    /// Reads the files again. On an error the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = server_config(&self.certificate, &self.key, self.http2)?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(self.current.load_full())
    }
}

fn server_config(certificate: &Path, key: &Path, http2: bool) -> Result<ServerConfig, TlsError> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::new(key, format!("no private key can be read: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| TlsError::new(certificate, format!("certificate and key do not fit: {error}")))?;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::new(path, format!("no certificates can be read: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError::new(path, "there is no certificate in it".to_owned()));
    }
    Ok(chain)
}

/// What backends must prove.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) http1: Arc<ClientConfig>,
    pub(super) http1_or_2: Arc<ClientConfig>,
}

impl ClientTls {
    /// Trusts the machine's own roots and, if given, those of a PEM file. Roots that cannot be read are left out, as
    /// browsers do; a named file that cannot be read is an error.
    pub fn new(additional_roots: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = additional_roots {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::new(path, error.to_string()))?;
            }
        }
        Self::with(|builder| {
            builder
                .with_root_certificates(roots.clone())
                .with_no_client_auth()
        })
    }

    /// Accepts whatever a backend shows. For configurations that ask for it in so many words, and for nothing else.
    pub fn accept_any_certificate() -> Result<Self, TlsError> {
        Self::with(|builder| {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(provider())))
                .with_no_client_auth()
        })
    }

    fn with(
        finish: impl Fn(rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>) -> ClientConfig,
    ) -> Result<Self, TlsError> {
        let make = |protocols: &[&[u8]]| -> Result<Arc<ClientConfig>, TlsError> {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsError::new(Path::new(""), error.to_string()))?;
            let mut config = finish(builder);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            http1: make(&[b"http/1.1"])?,
            http1_or_2: make(&[b"h2", b"http/1.1"])?,
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Why a certificate or key cannot be used, with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    pub file: PathBuf,
    pub reason: String,
}

impl TlsError {
    fn new(file: &Path, reason: String) -> Self {
        Self {
            file: file.to_owned(),
            reason,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}

/// Checks that a handshake is signed with the certificate shown, and asks nothing about the certificate.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
