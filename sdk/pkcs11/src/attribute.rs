//! Attributes as callers give them, copied out of their memory.

use cryptoki_sys::CK_ATTRIBUTE_TYPE;
use strongroom_types::Secret;

/// Bytes of one attribute's value in a template. The longest that has a meaning is a certificate, of 32 KiB.
pub(crate) const VALUE_LEN_MAX: usize = 64 * 1024;

/// One attribute of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Which.
    pub(crate) kind: CK_ATTRIBUTE_TYPE,
    /// Its value.
    pub(crate) value: Value,
}

/// An attribute's value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Bytes, which may be those of a key.
    Bytes(Secret),
    /// The attributes of a template within a template; those within it are bytes.
    Template(Vec<Given>),
}
