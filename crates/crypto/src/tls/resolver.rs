use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::ALPN;

/// The HSM's one certificate, for clients that speak our protocol.
#[derive(Debug)]
pub(super) struct OneCertificate(Arc<CertifiedKey>);

impl OneCertificate {
    pub(super) fn new(certified: CertifiedKey) -> OneCertificate {
        OneCertificate(Arc::new(certified))
    }
}

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls refuses a client whose list lacks our protocol; one without any list would pass.
        let offered = client_hello.alpn()?.any(|protocol| protocol == ALPN);
        offered.then(|| self.0.clone())
    }
}
