use std::fmt;

use thiserror::Error;

/// Which family a status belongs to; families are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// The caller asked for something that the rules do not give.
    Refused,
    /// The surroundings failed; asking again, here or elsewhere, may succeed.
    Unavailable,
    /// Stored or received bytes break an invariant.
    Corrupt,
    /// Strongroom itself is wrong; nothing was committed.
    Bug,
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $family:ident, $text:literal;)*) => {
        /// The closed list of what can be wrong, as sent on the wire.
        ///
        /// Variants stand in order of precedence: when several apply, the first is answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Status { $($(#[$doc])* $name = $number,)* }

        impl Status {
            /// Every status, in order of precedence.
            pub const ALL: &'static [Status] = &[$(Status::$name,)*];

            /// The number on the wire; 0 is success and no status.
            pub fn number(self) -> u16 {
                match self { $(Status::$name => $number,)* }
            }

            /// The status of this number.
            pub fn from_number(number: u32) -> Option<Status> {
                match number { $($number => Some(Status::$name),)* _ => None }
            }

            /// The family.
            pub fn family(self) -> Family {
                match self { $(Status::$name => Family::$family,)* }
            }

            /// The outside text: safe, stable, a lower-case fragment.
            pub fn text(self) -> &'static str {
                match self { $(Status::$name => $text,)* }
            }
        }
    };
}

statuses! {
    /// The message cannot be decoded, or lacks a field it must have, or a field is out of its bounds.
    MalformedRequest = 1, Refused, "the request is malformed";
    /// The frame's length is over the limit that holds on this connection.
    FrameTooLong = 2, Refused, "the frame is longer than this connection may send";
    /// The request's operation is not one this HSM knows.
    OperationUnknown = 3, Refused, "the HSM does not know this operation; it may be older than the client";
    /// The HSM is not serving: starting, without a lease, or stopping.
    NotServing = 4, Unavailable, "this HSM is not serving";
    /// A queue is full.
    Busy = 5, Unavailable, "the HSM is busy";
    /// The deadline passed before the operation began.
    DeadlineExceeded = 6, Unavailable, "the deadline passed before the HSM got to the request";
    /// The store cannot be reached or written.
    StoreUnavailable = 7, Unavailable, "the cluster's store cannot be reached";
    /// The member's clock is too far from the others'.
    ClockOff = 8, Unavailable, "this HSM's clock is too far from the other HSMs' clocks to make changes";
    /// A record is damaged; changes are refused.
    StateDamaged = 9, Corrupt, "a record of the cluster's state is damaged";
    /// The cluster has no certificate yet, or has one already.
    WrongClusterState = 10, Refused, "the cluster's state does not allow this";
    /// Nobody is logged in on the connection.
    NotLoggedIn = 11, Refused, "nobody is logged in";
    /// The login was ended by logout, by a new password, by deletion of the user, or ran out.
    LoginEnded = 12, Refused, "the login has ended; log in again";
    /// Unknown user, wrong role or wrong password: which of them is not told.
    LoginFailed = 13, Refused, "the user name, role or password is wrong";
    /// The right password, of a user who signs a challenge as well.
    MfaRequired = 64, Refused, "the user has MFA: a challenge must be signed beside the password";
    /// A challenge that has run out, was used, or is another's; or the user has no MFA.
    MfaChallengeInvalid = 65, Refused, "the MFA challenge is not good; begin anew";
    /// The user is locked after too many wrong passwords.
    UserLocked = 14, Refused, "the user is locked after too many wrong passwords; an admin can set a new password";
    /// The role may not do this.
    RoleNotPermitted = 15, Refused, "the user's role does not permit this";
    /// The request id was used for another command.
    RequestIdReused = 16, Refused, "the request id was used for another command";
    /// The connection has no client certificate, or one whose trust anchor is registered no more.
    ClientCertificateRequired = 67, Refused, "a client certificate under a registered trust anchor is required";
    /// What another cluster's HSM sealed for a cluster that is no clone, or for another cluster than this one, or altered.
    NotClones = 72, Refused, "the clusters are not clones of each other, or what was sent was altered or is for another cluster";
    /// This cluster's type or mode does not take what the other cluster holds.
    ReplicaUnsupported = 73, Refused, "this cluster's type or mode does not take what the other cluster holds";
    /// Sealed too long ago.
    ReplicaExpired = 74, Refused, "what the other cluster sealed has run out; replicate again, and look whether both clusters' clocks are right";
    /// The logins to both clusters are not of one user, nor both of admins.
    ReplicaOfAnother = 75, Refused, "the logins to the two clusters are of different users";
    /// The user name breaks its rules.
    UserNameInvalid = 17, Refused, "the user name is not valid";
    /// The password breaks its rules.
    PasswordInvalid = 18, Refused, "the password is not valid";
    /// No user of that name and role.
    UserUnknown = 19, Refused, "there is no such user";
    /// The name is taken.
    UserExists = 20, Refused, "a user of that name exists already";
    /// Another user of that name, or the same user with another password.
    UserReplicaConflict = 76, Refused, "the user exists in the destination cluster and differs";
    /// The user is one of the cluster's own.
    UserInternal = 21, Refused, "the user is internal and cannot be managed";
    /// The user still owns keys.
    UserOwnsKeys = 22, Refused, "the user still owns keys; delete them first";
    /// The only admin who could still log in.
    LastAdmin = 23, Refused, "this is the last admin";
    /// Fewer users would be left than must approve something.
    QuorumTooFew = 63, Refused, "too few users would be left to reach the quorum";
    /// As many users as the cluster's type holds.
    UsersFull = 24, Refused, "the cluster holds as many users as its type allows";
    /// This HSM does not hold the session key, which the request names without its sealed form.
    SessionKeyMissing = 46, Refused, "this HSM does not hold the session key; send it in its sealed form";
    /// No key of that reference that the user may see.
    KeyUnknown = 25, Refused, "there is no such key, or the user may not see it";
    /// Only the owner may do this.
    KeyNotOwned = 26, Refused, "only the key's owner may do this";
    /// HSMs of the cluster's type keep no certificates.
    CertificatesNotOfType = 89, Refused, "HSMs of the cluster's type keep no certificates";
    /// No certificate of that reference, or another user's private one.
    CertificateUnknown = 86, Refused, "there is no such certificate, or the user may not see it";
    /// It is another user's, or one of its attributes forbids it.
    CertificateProtected = 88, Refused, "the certificate may not be changed or deleted so";
    /// The owner, or a user that the key is shared with, is not here.
    ReplicaUsersMissing = 77, Refused, "the key's owner and every user it is shared with must be in the destination cluster first";
    /// Another key of that reference, or the same key with other attributes, another owner or other shares.
    KeyReplicaConflict = 78, Refused, "the key exists in the destination cluster and differs";
    /// What session keys cannot do: be shared, be changed.
    SessionKeyFixed = 47, Refused, "session keys cannot be shared or changed";
    /// The key's class or type does not fit the mechanism.
    KeyTypeInconsistent = 27, Refused, "the key's type does not fit the mechanism";
    /// The attribute that permits this use is false.
    KeyFunctionNotPermitted = 28, Refused, "the key's attributes do not permit this use";
    /// The value of a key that is sensitive, or may leave wrapped under a trusted key only.
    KeySensitive = 82, Refused, "the key's value is not given out in clear";
    /// `extractable` is false.
    KeyNotExtractable = 52, Refused, "the key is not extractable: it never leaves the cluster";
    /// The payload has `wrap-with-trusted`, and the wrapping key is not `trusted`.
    WrappingKeyNotTrusted = 53, Refused, "the key may be wrapped under a trusted key only";
    /// The payload lacks what the wrapping key's `wrap-template` demands.
    WrapTemplateMismatch = 84, Refused, "the key is not as the wrapping key's template demands";
    /// Several users must approve what is done with the key: of a copy they would not.
    KeyNotCopyable = 85, Refused, "a key of which several users must approve what is done is not copied";
    /// `destroyable` is false.
    KeyNotDestroyable = 29, Refused, "the key is not destroyable";
    /// `modifiable` is false.
    KeyNotModifiable = 30, Refused, "the key is not modifiable";
    /// An attribute this kind of key does not have.
    AttributeUnknown = 31, Refused, "a key of this kind has no such attribute";
    /// An attribute nobody may set here.
    AttributeReadOnly = 32, Refused, "the attribute may not be set";
    /// A value outside the attribute's range.
    AttributeValueInvalid = 33, Refused, "the attribute's value is not valid";
    /// Attributes that contradict each other.
    TemplateInconsistent = 34, Refused, "the attributes contradict each other";
    /// A key size outside the algorithm's range.
    KeySizeInvalid = 35, Refused, "the key size is not supported";
    /// A curve that is not supported.
    CurveInvalid = 36, Refused, "the curve is not supported";
    /// A mechanism, or a parameter of it, that is not supported.
    MechanismInvalid = 37, Refused, "the mechanism or one of its parameters is not supported";
    /// HSMs of the cluster's type do not have the algorithm.
    AlgorithmNotOfType = 49, Refused, "HSMs of the cluster's type do not have this algorithm";
    /// The cluster's mode does not allow the mechanism.
    MechanismNotApproved = 38, Refused, "the cluster's FIPS mode does not allow this mechanism";
    /// Key material that the algorithm calls weak.
    KeyWeak = 50, Refused, "a key as weak as this is not allowed";
    /// Data too short or too long for the mechanism.
    DataLengthInvalid = 39, Refused, "the data's length does not fit the mechanism";
    /// A key whose kind or length the mechanism cannot wrap.
    PayloadInvalid = 54, Refused, "the mechanism cannot wrap or unwrap a key of this kind or length";
    /// Data of the right length that the mechanism cannot process.
    DataInvalid = 40, Refused, "the data does not fit the mechanism";
    /// The signature does not verify.
    SignatureInvalid = 41, Refused, "the signature does not verify";
    /// The ciphertext does not decrypt.
    DecryptionFailed = 42, Refused, "the data cannot be decrypted with this key";
    /// What was wrapped does not unwrap to a key of the kind that it is said to be.
    UnwrappingFailed = 55, Refused, "the data cannot be unwrapped with this key to a key of this kind";
    /// A quorum value outside its range, or above the number of users who can approve.
    QuorumValueInvalid = 62, Refused, "invalid quorum value provided";
    /// A public key that signs no tokens.
    TokenKeyInvalid = 66, Refused, "the public key cannot sign tokens: it must be RSA of 2048 bits";
    /// A signature under a token or a challenge that does not verify.
    TokenSignatureInvalid = 61, Refused, "a signature of the token does not verify";
    /// A quorum token of another login, service or key, or one that has run out.
    QuorumTokenInvalid = 59, Refused, "the quorum token is not good for this";
    /// Admins must approve this, and have not.
    QuorumRequired = 57, Refused, "quorum approval is required for this operation";
    /// Users of the key must approve this, and have not.
    QuorumFailed = 58, Refused, "quorum failed";
    /// A key that encrypted or wrapped by GCM as often as one may.
    KeyUsesExhausted = 79, Refused, "the key was used by AES-GCM as often as a key may be; go on with a new one";
    /// As many keys as the cluster's type holds.
    KeysFull = 43, Refused, "the cluster holds as many keys as its type allows";
    /// As many certificates as a cluster keeps, or as many that belong to nobody.
    CertificatesFull = 87, Refused, "the cluster keeps as many certificates as allowed; delete one first";
    /// As many session keys as one login may have at once.
    SessionKeysFull = 48, Refused, "the login has as many session keys as allowed";
    /// As many quorum tokens as a cluster may have at once.
    QuorumTokensFull = 60, Refused, "the cluster has as many quorum tokens as allowed; they end by themselves";
    /// As many logins as one user may have at once.
    LoginsFull = 44, Refused, "the user has as many logins as allowed";
    /// A certificate that does not fit the CSR or the trust anchor.
    CertificateInvalid = 45, Refused, "the certificate does not fit the cluster's request or the trust anchor";
    /// A chain that cannot be a trust anchor of clients, or one that is registered.
    TrustAnchorInvalid = 68, Refused, "the trust anchor cannot be registered";
    /// No trust anchor of that reference.
    TrustAnchorUnknown = 69, Refused, "there is no such trust anchor";
    /// As many trust anchors as a cluster has.
    TrustAnchorsFull = 70, Refused, "the cluster has as many trust anchors as allowed; deregister one first";
    /// The last trust anchor, while mutual TLS is enforced.
    TrustAnchorInUse = 71, Refused, "while mutual TLS is enforced this trust anchor is needed";
    /// Something that can't happen happened; nothing was committed.
    Internal = 99, Bug, "internal error of the HSM; nothing was changed";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A status and the one thing it is about: the name of an attribute, a user, a limit. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{status}{}{}", if about.is_empty() { "" } else { ": " }, about)]
pub struct Refusal {
    /// What is wrong.
    pub status: Status,
    /// What it is about, or empty.
    pub about: String,
}

impl Refusal {
    /// A status about `about`.
    pub fn new(status: Status, about: impl Into<String>) -> Refusal {
        Refusal { status, about: about.into() }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal { status, about: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_number(u32::from(status.number())), Some(*status));
        }
        assert_eq!(Status::from_number(0), None);
        assert_eq!(Status::from_number(65_536 + 1), None);
    }

    #[test]
    fn a_refusal_names_what_it_is_about() {
        assert_eq!(Refusal::new(Status::UserUnknown, "alice").to_string(), "there is no such user: alice");
        assert_eq!(Refusal::from(Status::Busy).to_string(), "the HSM is busy");
    }
}
