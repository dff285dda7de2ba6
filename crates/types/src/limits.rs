//! Every limit of the project, named with its unit. Sources: the CloudHSM user guide's quota tables, PKCS #11 and
//! Strongroom's own protocol (`docs/spec/wire.md`).

/// Characters of a user name.
pub const USER_NAME_LEN_MAX: usize = 31;
/// Characters of a password, at least.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Characters of a password, at most.
pub const PASSWORD_LEN_MAX: usize = 32;
/// Wrong passwords in a row that lock a user.
pub const LOGIN_FAILURES_MAX: u32 = 5;
/// How long the last admin who is not locked stays locked, in seconds.
pub const LAST_ADMIN_LOCK_SECONDS: u64 = 15 * 60;
/// Bytes of a key's label.
pub const LABEL_LEN_MAX: usize = 127;
/// Bytes of a key's `id` attribute.
pub const KEY_ID_LEN_MAX: usize = 127;
/// Bytes of a generic secret.
pub const GENERIC_SECRET_LEN_MAX: u32 = 800;
/// Bytes of a 3DES key: three DES keys of 64 bits, parity bits among them (SP 800-67 rev. 2 §3).
pub const DES3_LEN: u32 = 24;
/// Bytes of data in an ECDSA call. The longest digest has 64; a longer one is cut to the order's length like any.
pub const ECDSA_DATA_LEN_MAX: usize = 128;
/// Bytes of a message that is signed with pure Ed25519.
pub const ED25519_DATA_LEN_MAX: usize = 16_000;
/// Bits of an RSA modulus, at least (FIPS 186-5 §5.1).
pub const RSA_BITS_MIN: u32 = 2048;
/// Bits of an RSA modulus, at most.
pub const RSA_BITS_MAX: u32 = 4096;
/// RSA modulus sizes come in steps of this many bits.
pub const RSA_BITS_STEP: u32 = 256;
/// Smallest RSA public exponent; exponents are odd (FIPS 186-5 §A.1.1).
pub const RSA_EXPONENT_MIN: u64 = 65_537;
/// Largest RSA public exponent, 32 bits. FIPS 186-5 §A.1.1 allows up to 256 bits; AWS-LC makes no key with more than 32,
/// and checks signatures of none with more than 33.
pub const RSA_EXPONENT_MAX: u64 = 4_294_967_295;
/// Keys that a cluster of `hsm1.medium` holds; each half of a pair counts.
pub const HSM1_KEYS_MAX: usize = 3_300;
/// Users that a cluster of `hsm1.medium` holds, `app_user` not counted.
pub const HSM1_USERS_MAX: usize = 250;
/// Keys that a cluster of `hsm2m.medium` holds; each half of a pair counts.
pub const HSM2M_KEYS_MAX: usize = 16_666;
/// Halves of pairs among them.
pub const HSM2M_ASYMMETRIC_KEYS_MAX: usize = 3_333;
/// Users that a cluster of `hsm2m.medium` holds, `app_user` not counted.
pub const HSM2M_USERS_MAX: usize = 1_024;
/// Users a key may be shared with.
pub const SHARED_USERS_MAX: usize = 1_024;
/// Highest quorum value of a key, for managing and for using it; 0 is none.
pub const KEY_QUORUM_MAX: u8 = 8;
/// Highest quorum value of a service of admins; 1 is none.
pub const QUORUM_VALUE_MAX: u8 = 8;
/// How long a quorum token may be approved, and used, after it was made, in seconds, unless the cluster says otherwise.
pub const QUORUM_TOKEN_SECONDS_DEFAULT: u32 = 600;
/// The same, at least.
pub const QUORUM_TOKEN_SECONDS_MIN: u32 = 60;
/// The same, at most.
pub const QUORUM_TOKEN_SECONDS_MAX: u32 = 24 * 60 * 60;
/// Quorum tokens of a cluster.
pub const QUORUM_TOKENS_MAX: usize = 1_024;
/// Of these, those of crypto users; the rest is left to admins.
pub const QUORUM_TOKENS_OF_CRYPTO_USERS_MAX: usize = 896;
/// Quorum tokens of one user; the next one takes the place of the oldest.
pub const QUORUM_TOKENS_EACH_MAX: usize = 32;
/// Quorum tokens whose approvals come with one request.
pub const APPROVALS_IN_REQUEST_MAX: usize = 2;
/// Signatures under one quorum token.
pub const APPROVAL_SIGNATURES_MAX: usize = 16;
/// How long an MFA challenge may be signed, in seconds.
pub const MFA_CHALLENGE_SECONDS: u64 = 10 * 60;
/// Bytes of a sealed MFA challenge.
pub const MFA_CHALLENGE_LEN_MAX: usize = 512;
/// Bits of the RSA keys that users register for signing tokens.
pub const TOKEN_KEY_BITS: usize = 2_048;
/// Attributes in one template, filters in one search.
pub const TEMPLATE_LEN_MAX: usize = 64;
/// Attributes that one call of the PKCS #11 library reads.
pub const ATTRIBUTES_READ_MAX: usize = 1_024;
/// Bytes of an attribute's value in a template of the PKCS #11 library. The longest that has a meaning is a certificate.
pub const ATTRIBUTE_LEN_MAX: usize = 64 * 1024;
/// Sessions of the PKCS #11 library in one application, over all its slots.
pub const SESSIONS_MAX: usize = 1_024;
/// Bytes of the buffer for AES-GCM's initialisation vector, of which 12 are used, in a parameter of the PKCS #11 library.
pub const GCM_IV_BUFFER_LEN_MAX: usize = 256;
/// Bytes of a PIN of the PKCS #11 library: a user's name, a colon, and a password of characters of four bytes.
pub const PIN_LEN_MAX: usize = 160;
/// Certificates of sessions that one application of the PKCS #11 library has at once.
pub const SESSION_CERTIFICATES_MAX: usize = 1_024;
/// Keys whose attributes come along with a search of the PKCS #11 library, so that their first use needs no round trip.
pub const FOUND_WHOLE_MAX: u32 = 64;
/// Keys in one page of a search.
pub const KEY_PAGE_LEN_MAX: u32 = 1_000;
/// Certificates that a cluster of `hsm2m.medium` keeps; `hsm1.medium` keeps none.
pub const CERTIFICATES_MAX: usize = 60;
/// Of these, those that belong to nobody, because they were made without a login.
pub const CERTIFICATES_OF_NOBODY_MAX: usize = 20;
/// Of these, those of one crypto user.
pub const CERTIFICATES_EACH_MAX: usize = 20;
/// Bytes of a certificate.
pub const CERTIFICATE_LEN_MAX: usize = 32 * 1024;
/// Bytes of the SubjectPublicKeyInfo that is said to be a certificate's.
pub const CERTIFICATE_KEY_INFO_LEN_MAX: usize = 16 * 1024;
/// Characters of a certificate's label.
pub const CERTIFICATE_LABEL_LEN_MAX: usize = 127;
/// Bytes of a certificate's `id`.
pub const CERTIFICATE_ID_LEN_MAX: usize = 128;
/// Bytes of the subject, and of the issuer, that are said to be a certificate's.
pub const CERTIFICATE_NAME_LEN_MAX: usize = 4 * 1024;
/// Bytes of the serial number that is said to be a certificate's. In DER, one has 22 at most (RFC 5280 §4.1.2.2).
pub const CERTIFICATE_SERIAL_LEN_MAX: usize = 128;
/// From one change of certificates without a login to the next on one HSM, in milliseconds; others are refused as busy.
pub const CERTIFICATE_CHANGE_MS_MIN: u64 = 1_000;
/// How long a change of certificates without a login is waited for, in milliseconds.
pub const CERTIFICATE_CHANGE_MS_MAX: u64 = 2_000;
/// Session keys that one login may have at once; both halves of a pair count.
pub const SESSION_KEYS_MAX: usize = 4_096;
/// Session keys that a request may name.
pub const SESSION_KEYS_IN_REQUEST_MAX: usize = 4;
/// Bytes of a sealed session key.
pub const SESSION_KEY_LEN_MAX: usize = 16 * 1024;
/// Session keys that one HSM holds; beyond, those that were not used for longest go, and come back sealed from a client.
pub const SESSION_KEYS_HELD_MAX: usize = 4_096;
/// Bytes of session keys, sealed, that one HSM holds.
pub const SESSION_KEYS_HELD_LEN_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a frame's message before the connection has a login.
pub const FRAME_LEN_MAX_BEFORE_LOGIN: usize = 16 * 1024;
/// Bytes of a frame's message after login.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;
/// Bytes of a wrapped key, of additional authenticated data (CloudHSM: about 16 KB).
pub const DATA_LEN_MAX: usize = 16 * 1024;
/// Random bytes in one answer.
pub const RANDOM_LEN_MAX: usize = 64 * 1024;
/// The same without a login.
pub const RANDOM_LEN_MAX_BEFORE_LOGIN: usize = 8 * 1024;
/// Bytes that one call encrypts, decrypts or authenticates; the tag of GCM not counted. What a frame has beside them is room
/// for a session key, additional authenticated data and approvals.
pub const CIPHER_DATA_LEN_MAX: usize = 960 * 1024;
/// Uses of a key for encrypting and wrapping by GCM with random initialisation vectors of 96 bits (SP 800-38D §8.3): 2³².
pub const KEY_USES_MAX: u64 = 65_536 * 65_536;
/// The same of a session key on one HSM, while that holds the key: 2²⁷, of which [`HSMS_MAX`] make less than 2³².
pub const SESSION_KEY_USES_MAX: u64 = 128 * 1024 * 1024;
/// Bytes of a public key that is brought in, as SubjectPublicKeyInfo. RSA-4096 has 550.
pub const PUBLIC_KEY_INFO_LEN_MAX: usize = 4 * 1024;
/// Bytes of a private key that is brought in, as PKCS #8. RSA-4096 has 2,375.
pub const PRIVATE_KEY_INFO_LEN_MAX: usize = 4 * 1024;
/// Fields of the input of a key derivation function in counter mode.
pub const KDF_FIELDS_MAX: usize = 16;
/// TCP port of every HSM.
pub const HSM_PORT: u16 = 2223;
/// Connections an HSM accepts at once.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections without a login an HSM keeps at once; beyond, the one that waited longest is closed.
pub const CONNECTIONS_WITHOUT_LOGIN_MAX: usize = 256;
/// Refused requests of a connection without a login, after which it is closed.
pub const REFUSALS_WITHOUT_LOGIN_MAX: u32 = 8;
/// From accepting a connection to its first complete request, in milliseconds.
pub const FIRST_REQUEST_MS_MAX: u64 = 5_000;
/// From the first byte of an answer to its last, when the client takes it slowly, in milliseconds.
pub const UNREAD_MS_MAX: u64 = 30_000;
/// Longest that an HSM works on one request, in milliseconds, whatever deadline its client names.
pub const REQUEST_MS_MAX: u64 = 60_000;
/// Clients of a cluster that every HSM has room for, each with [`CONNECTIONS_A_CLIENT`] connections and a login.
pub const CLIENTS_MAX: usize = 1_024;
/// Connections to an HSM of each of [`CLIENTS_MAX`] clients. Fewer clients may have more, up to [`POOL_LEN_MAX`].
pub const CONNECTIONS_A_CLIENT: usize = 3;
/// Connections of the control plane to an HSM.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// TLS handshakes that wait for their turn in an HSM.
pub const HANDSHAKES_WAITING_MAX: usize = 4_096;
/// Requests that wait for the generation of a key in an HSM.
pub const GENERATION_WAITING_MAX: usize = 128;
/// Requests that wait for the hashing of a password in an HSM, and those that wait for another try of the same user's.
pub const HASHING_WAITING_MAX: usize = 256;
/// Frames above [`FRAME_LEN_LARGE`] that an HSM takes or gives at once, with their requests.
pub const LARGE_FRAMES_MAX: usize = 64;
/// Of these, those of one user.
pub const LARGE_FRAMES_EACH_MAX: usize = 16;
/// Bytes of a frame's message above which it takes one of [`LARGE_FRAMES_MAX`] places.
pub const FRAME_LEN_LARGE: usize = 32 * 1024;
/// Bytes of what a client calls itself; a longer name is cut.
pub const CLIENT_NAME_LEN_MAX: usize = 64;
/// Bytes of a client's configuration: room for many clusters of 28 HSMs.
pub const CONFIG_LEN_MAX: u64 = 1024 * 1024;
/// Bytes of the file of a client's certificate with its chain, and of that of its private key.
pub const CLIENT_FILE_LEN_MAX: u64 = 128 * 1024;
/// Connections one client keeps to one member.
pub const POOL_LEN_MAX: usize = 16;
/// One try of a cryptographic operation on one member, in milliseconds.
pub const TRY_MS_MAX: u64 = 1_000;
/// HSMs in a cluster.
pub const HSMS_MAX: usize = 28;
/// Records in one batch.
pub const BATCH_LEN_MAX: usize = 100;
/// Bytes of one sealed record.
pub const RECORD_LEN_MAX: usize = 256 * 1024;
/// Revisions for which a store remembers deletions.
pub const DELETIONS_KEPT_REVISIONS: u64 = 100_000;
/// An epoch that begins with an accepted rollback begins at a multiple of so many revisions, half of them or more above
/// all that HSMs are known to have seen, and so above all that clients have seen.
pub const EPOCH_REVISIONS: u64 = 1_000_000_000;
/// A member's lease, in milliseconds, unless the cluster says otherwise.
pub const LEASE_MS_DEFAULT: u64 = 10_000;
/// How long a login's ticket lasts, in seconds.
pub const TICKET_SECONDS: u64 = 7 * 24 * 60 * 60;
/// How far a member's clock may be from the others' median, in milliseconds. Beyond, it makes no changes: each batch
/// carries its time to all members, and cluster time never goes back.
pub const CLOCK_OFF_MS_MAX: u64 = 60_000;
/// How long a change's receipt is kept, in seconds.
pub const RECEIPT_SECONDS: u64 = 60 * 60;
/// How long it is kept at least, in seconds, when there are too many: longer than any client repeats a request.
pub const RECEIPT_SECONDS_MIN: u64 = 5 * 60;
/// Receipts of one user that are kept for [`RECEIPT_SECONDS`]; of more, the oldest go after [`RECEIPT_SECONDS_MIN`].
pub const RECEIPTS_LASTING_EACH_MAX: usize = 32_768;
/// The same of all users and HSMs together.
pub const RECEIPTS_LASTING_MAX: usize = 262_144;
/// Receipts of one user; further changes of that user, but for what ends logins, are refused as busy.
pub const RECEIPTS_EACH_MAX: usize = 65_536;
/// Logouts of one user that are remembered one by one until their tickets run out; the next one ends every login of that user.
pub const ENDED_LOGINS_EACH_MAX: usize = 65_536;
/// How long what one cluster's HSM seals for another is good, in seconds.
pub const REPLICA_SECONDS: u64 = 5 * 60;
/// Bytes of what one cluster's HSM seals for another: a key's record, shared with as many users as may be.
pub const REPLICA_LEN_MAX: usize = 128 * 1024;
/// PBKDF2-HMAC-SHA-512 iterations of a password (SP 800-132), unless the cluster says otherwise.
pub const PASSWORD_ITERATIONS_DEFAULT: u32 = 210_000;
/// Bytes of a customer CA chain.
pub const CA_CHAIN_LEN_MAX: usize = 16 * 1024;
/// Certificates in a customer CA chain, with the root.
pub const CA_CHAIN_CERTIFICATES_MAX: usize = 4;
/// Trust anchors of clients' certificates that a cluster has.
pub const TRUST_ANCHORS_MAX: usize = 2;
/// Bytes of a trust anchor's file, its whole chain in PEM.
pub const TRUST_ANCHOR_LEN_MAX: usize = 6_980;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// The value of `15 * 60` or `16_384`.
    fn value(expression: &str) -> u64 {
        let number = |text: &str| text.trim().replace('_', "").parse::<u64>().expect("a product of numbers");
        expression.split('*').map(number).product()
    }

    #[test]
    fn the_reference_tells_every_limit_as_it_is() {
        let (code, _) = include_str!("limits.rs").split_once("#[cfg(test)]").expect("the code comes first");
        let limits: BTreeMap<&str, u64> = code
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix(';'))
            .map(|line| {
                let (name, rest) = line.split_once(": ").expect("a type");
                (name, value(rest.split_once(" = ").expect("a value").1))
            })
            .collect();
        let rows = include_str!("../../../docs/reference/limits.md").lines().filter_map(|line| {
            let (_, value, name) = split_row(line)?;
            Some((name.strip_prefix('`')?.strip_suffix('`')?, value.parse().expect("a number")))
        });
        assert_eq!(rows.collect::<BTreeMap<&str, u64>>(), limits);
    }

    fn split_row(line: &str) -> Option<(&str, &str, &str)> {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        Some((cells.next()?, cells.next()?, cells.next()?))
    }
}
