use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The HSM's one certificate, for clients that say which protocol they speak.
#[derive(Debug)]
pub(super) struct OneCertificate(Arc<CertifiedKey>);

impl OneCertificate {
    pub(super) fn new(certified: CertifiedKey) -> OneCertificate {
        OneCertificate(Arc::new(certified))
    }
}

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A list without our protocol rustls refuses with the alert for it; no list at all it would let pass.
        client_hello.alpn().map(|_| self.0.clone())
    }
}
