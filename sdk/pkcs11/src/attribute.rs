//! Attributes as callers give them, copied out of their memory.

use cryptoki_sys::CK_ATTRIBUTE_TYPE;
use strongroom_types::Secret;

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

/// Attributes that tests give.
#[cfg(test)]
pub(crate) mod given {
    use cryptoki_sys::CK_ULONG;

    use super::*;

    pub(crate) fn of(kind: CK_ATTRIBUTE_TYPE, bytes: &[u8]) -> Given {
        Given { kind, value: Value::Bytes(Secret::from(bytes)) }
    }

    pub(crate) fn number(kind: CK_ATTRIBUTE_TYPE, number: CK_ULONG) -> Given {
        of(kind, &number.to_ne_bytes())
    }
}
