use std::path::PathBuf;

use clap::Subcommand;
use strongroom_types::{MtlsEnforcement, TrustAnchorReference};

use super::Approval;

/// `cluster mtls`.
#[derive(Debug, Subcommand)]
pub enum Mtls {
    /// Deregister a trust anchor; connections with certificates under it end (admins)
    #[command(after_long_help = "\
The last one stays while mutual TLS is enforced: nobody could connect. list-trust-anchors shows the references.

Examples:
  cloudhsm-cli cluster mtls deregister-trust-anchor --certificate-reference 0x01")]
    DeregisterTrustAnchor {
        /// The anchor's reference, in hexadecimal such as 0x01, or in decimal
        #[arg(long, value_name = "REFERENCE")]
        certificate_reference: TrustAnchorReference,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Show whether clients need a certificate
    #[command(after_long_help = "\
`none`: everybody may connect. `cluster`: only clients with a certificate under a registered trust anchor.

Example:
  cloudhsm-cli cluster mtls get-enforcement")]
    GetEnforcement,
    /// List the trust anchors of clients' certificates. Needs no login
    #[command(after_long_help = "Example:\n  cloudhsm-cli cluster mtls list-trust-anchors")]
    ListTrustAnchors,
    /// Register a CA under which clients' certificates are good, at most two (admins)
    #[command(after_long_help = "\
The file is PEM, at most 6,980 bytes: the CA, and if it is not self-signed those that vouch for it, in order up to the \
root. Only certificates under the first one are good. Its key is EC on P-256, P-384 or P-521, or RSA of 2048, 3072 or \
4096 bits. Clusters of hsm2m.medium only.

Example:
  cloudhsm-cli cluster mtls register-trust-anchor --path clientCA.crt")]
    RegisterTrustAnchor {
        /// The file with the CA's certificate and its chain
        #[arg(long, value_name = "PEM_FILE")]
        path: PathBuf,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
    /// Say whether clients need a certificate (the user admin only, connected with one)
    #[command(after_long_help = "\
With `cluster` connections without a client certificate end, on every HSM, and only clients with a certificate under a \
registered trust anchor connect. This tool itself needs one for it: client_cert_path and client_key_path in its \
configuration.

Examples:
  cloudhsm-cli cluster mtls set-enforcement --level cluster
  cloudhsm-cli cluster mtls set-enforcement --level none")]
    SetEnforcement {
        /// Who may connect
        #[arg(long, value_parser = level())]
        level: MtlsEnforcement,
        /// Approvals
        #[command(flatten)]
        approval: Approval,
    },
}

fn level() -> impl clap::builder::TypedValueParser<Value = MtlsEnforcement> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(MtlsEnforcement::ALL.map(MtlsEnforcement::as_str))
        .map(|text| text.parse().expect("both are levels"))
}
