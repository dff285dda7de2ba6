//! Keys that come in clear, keys made from others, values of keys.

use strongroom_types::{Derivation, KeyReference, KeyType, Secret, Template};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{KeyInfo, convert, derivation_message, v1};

use crate::error::ClientError;
use crate::{Client, manner};

impl Client {
    /// Makes a secret key of these bytes: AES, 3DES or a generic secret. With `token=false` in the template one that lives as
    /// long as this login.
    pub fn key_import_secret(
        &self,
        key_type: KeyType,
        secret: &Secret,
        template: &Template,
    ) -> Result<KeyInfo, ClientError> {
        let message = v1::KeyImport { secret: secret.expose().to_vec(), ..v1::KeyImport::default() };
        self.imported(key_type, message, template)
    }

    /// Makes a private key, RSA or EC, of its PKCS #8 (`strongroom_crypto::pkcs8` makes one of a key's parts); with
    /// `token=false` in the template one that lives as long as this login.
    pub fn key_import_private(
        &self,
        key_type: KeyType,
        pkcs8: &Secret,
        template: &Template,
    ) -> Result<KeyInfo, ClientError> {
        let message = v1::KeyImport { private_key_info: pkcs8.expose().to_vec(), ..v1::KeyImport::default() };
        self.imported(key_type, message, template)
    }

    pub(crate) fn imported(
        &self,
        key_type: KeyType,
        mut message: v1::KeyImport,
        template: &Template,
    ) -> Result<KeyInfo, ClientError> {
        message.key_type = v1::KeyType::from(key_type).into();
        message.template = convert::template_message(template);
        self.one_key(&[], template, Operation::KeyImport(message), |answer| match answer {
            Answer::KeyImport(key) => Some(key),
            _ => None,
        })
    }

    /// Makes a secret key of so many bytes from another key; with `token=false` in the template one that lives as long as this
    /// login.
    pub fn key_derive(
        &self,
        base: KeyReference,
        derivation: &Derivation,
        key_type: KeyType,
        length_bytes: u32,
        template: &Template,
    ) -> Result<KeyInfo, ClientError> {
        let operation = Operation::KeyDerive(v1::KeyDerive {
            base_key: base.as_u64(),
            derivation: Some(derivation_message(derivation)),
            key_type: v1::KeyType::from(key_type).into(),
            length_bytes,
            template: convert::template_message(template),
        });
        self.one_key(&[base], template, operation, |answer| match answer {
            Answer::KeyDerive(key) => Some(key),
            _ => None,
        })
    }

    /// The bytes of a secret key that is not sensitive; of others, `KeySensitive`.
    pub fn key_read_value(&self, key: KeyReference) -> Result<Secret, ClientError> {
        let operation = Operation::KeyReadValue(v1::KeyReadValue { reference: key.as_u64() });
        self.call_with(&manner::CRYPTOGRAPHY, &[key], operation)?.read(|answer| match answer {
            Answer::KeyReadValue(result) => Some(Ok(Secret::new(result.value))),
            _ => None,
        })
    }
}
