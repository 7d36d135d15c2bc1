//! TLS: certificates from files, swapped while serving, and the trust that backends are held to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::time::Instant;

use super::verify::{Pin, Verifier, Verify};

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
    let private = private_key(key)?;
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

/// What backends must prove, ready for handshakes.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) http1: Arc<ClientConfig>,
    pub(super) http1_or_2: Arc<ClientConfig>,
}

impl ClientTls {
    /// Trusts the machine's own roots and, if given, those of a PEM file. Roots that cannot be read are left out, as
    /// browsers do; a named file that cannot be read is an error.
    pub fn new(additional_roots: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = native_roots();
        if let Some(path) = additional_roots {
            add(&mut roots, &certificates(path)?, path)?;
        }
        let builder = || {
            Ok(client_builder()?
                .with_root_certificates(roots.clone())
                .with_no_client_auth())
        };
        Self::with(builder)
    }

    /// The machine's own roots, held against by a rule of its own.
    pub fn verifying(verify: Verify) -> Result<Self, TlsError> {
        if verify == Verify::Full {
            return Self::new(None);
        }
        Self::of(&TlsOptions {
            verify,
            ..TlsOptions::default()
        })
    }

    /// Accepts whatever a backend shows. For configurations that ask for it in so many words, and for nothing else.
    pub fn accept_any_certificate() -> Result<Self, TlsError> {
        Self::verifying(Verify::Nothing)
    }

    fn of(options: &TlsOptions) -> Result<Self, TlsError> {
        let (roots, known) = match &options.authority {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                let known = certificates(path)?;
                add(&mut roots, &known, path)?;
                (roots, known)
            }
            None if options.verify == Verify::Nothing => (RootCertStore::empty(), Vec::new()),
            None => (native_roots(), Vec::new()),
        };
        let verifier = Verifier::new(options.verify, options.pins.clone(), roots, known, provider())
            .map_err(|reason| TlsError::new(Path::new(""), reason))?;
        let verifier = Arc::new(verifier);
        let identity = match &options.identity {
            Some(identity) => Some((certificates(&identity.certificate)?, private_key(&identity.key)?)),
            None => None,
        };
        Self::with(|| {
            let builder = client_builder()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
            match (&identity, &options.identity) {
                (Some((chain, key)), Some(files)) => builder
                    .with_client_auth_cert(chain.clone(), key.clone_key())
                    .map_err(|error| {
                        let reason = format!("certificate and key do not fit: {error}");
                        TlsError::new(&files.certificate, reason)
                    }),
                _ => Ok(builder.with_no_client_auth()),
            }
        })
    }

    fn with(make: impl Fn() -> Result<ClientConfig, TlsError>) -> Result<Self, TlsError> {
        let with_protocols = |protocols: &[&[u8]]| -> Result<Arc<ClientConfig>, TlsError> {
            let mut config = make()?;
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self {
            http1: with_protocols(&[b"http/1.1"])?,
            http1_or_2: with_protocols(&[b"h2", b"http/1.1"])?,
        })
    }
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(Path::new(""), error.to_string()))
}

fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn add(
    roots: &mut RootCertStore,
    certificates: &[CertificateDer<'static>],
    path: &Path,
) -> Result<(), TlsError> {
    for certificate in certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| TlsError::new(path, error.to_string()))?;
    }
    Ok(())
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| TlsError::new(path, format!("no private key can be read: {error}")))
}

/// What the backends of one endpoint must prove, and what is shown to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Who is trusted, instead of the machine's own roots; PEM.
    pub authority: Option<PathBuf>,
    pub identity: Option<IdentityFiles>,
    /// What the certificate must be for, and what the backend is asked for (SNI), where it is not the host of the address.
    pub server_name: Option<ServerName<'static>>,
    /// One of these public keys it must have.
    pub pins: Vec<Pin>,
    pub verify: Verify,
}

/// A client certificate: PEM files of the chain and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS of one endpoint. Its files are read again when they change, for connections that are made from then on.
pub struct Tls {
    pub options: TlsOptions,
    state: Mutex<State>,
}

struct State {
    current: ClientTls,
    stamps: Vec<Stamp>,
    looked: Instant,
}

type Stamp = Option<(SystemTime, u64)>;

/// How often changed files are looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Tls {
    pub fn load(options: TlsOptions) -> Result<Tls, TlsError> {
        let stamps = stamps(&options);
        let state = State {
            current: ClientTls::of(&options)?,
            stamps,
            looked: Instant::now(),
        };
        Ok(Tls {
            options,
            state: Mutex::new(state),
        })
    }

    /// What holds for the next handshake. A broken replacement changes nothing.
    pub(super) fn current(&self) -> ClientTls {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let now = stamps(&self.options);
            if now != state.stamps {
                state.stamps = now;
                match ClientTls::of(&self.options) {
                    Ok(fresh) => {
                        tracing::info!("The certificates for a backend were read again.");
                        state.current = fresh;
                    }
                    Err(error) => {
                        tracing::error!(%error, "Changed certificates for a backend cannot be read; those before stay in use.");
                    }
                }
            }
        }
        state.current.clone()
    }
}

fn stamps(options: &TlsOptions) -> Vec<Stamp> {
    let identity = options.identity.iter();
    identity
        .flat_map(|identity| [&identity.certificate, &identity.key])
        .chain(&options.authority)
        .map(|path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        })
        .collect()
}

/// The same files and rules are the same TLS, across reloads.
impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        self.options == other.options
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.options).finish()
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
        if self.file.as_os_str().is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}
