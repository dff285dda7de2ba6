use strongroom_types::limits::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN};
use thiserror::Error;

/// What can be wrong with a key, or with what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not the PKCS #8 DER of a private key of a known type whose parts fit together.
    #[error("the bytes are not the PKCS #8 of a valid private key")]
    Pkcs8,
    /// An RSA modulus of another size.
    #[error("RSA keys have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits in steps of {RSA_BITS_STEP}")]
    RsaBits,
    /// An RSA public exponent that is even or outside its range.
    #[error("RSA public exponents are odd numbers from {RSA_EXPONENT_MIN} to {RSA_EXPONENT_MAX}")]
    Exponent,
    /// An AES key of another size.
    #[error("AES keys have 16, 24 or 32 bytes")]
    AesLength,
    /// A mechanism of another type of key, or of another curve.
    #[error("the mechanism does not fit the key's type")]
    KeyType,
    /// Data too short or too long for the mechanism and the key.
    #[error("the data's length does not fit the mechanism and the key")]
    DataLength,
    /// A whole block that is no number between 1 and the modulus minus 1, both excluded.
    #[error("the block is not a number that this key can process")]
    DataRange,
    /// Another side's public point that is not on the key's curve.
    #[error("the point is not on the key's curve")]
    PeerPoint,
    /// A PSS salt that the modulus has no room for.
    #[error("the salt is longer than the modulus has room for")]
    SaltLength,
    /// The ciphertext does not decrypt. What is wrong with it is not told.
    #[error("the data cannot be decrypted with this key")]
    Decryption,
    /// A key that the mechanism cannot wrap: too long, or not of whole blocks.
    #[error("the mechanism cannot wrap a key of this length")]
    PayloadLength,
    /// An initialisation vector of another length.
    #[error("initialisation vectors of GCM have 12 bytes")]
    IvLength,
    /// What was wrapped does not unwrap to a key of the kind that it is said to be. What is wrong with it is not told.
    #[error("the data cannot be unwrapped with this key")]
    Unwrapping,
    /// A public part that is no key.
    #[error("the public key is not one that can be used")]
    Public,
    /// AWS-LC's check of its own result failed: broken hardware, or out of memory. Nothing was given out.
    #[error("the cryptographic library did not confirm its own result; check the machine's memory and processor")]
    Fault,
}
