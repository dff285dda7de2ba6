use std::path::Path;

use serde_json::json;
use strongroom_client::{Client, WrappedKey, Wrapping};
use strongroom_crypto::{pem, spki};
use strongroom_types::{HashFunction, PublicPart, WrapMechanism};

use super::keys::template;
use super::quorum::{approved, with_files};
use super::{Outcome, single};
use crate::arguments::{Gcm, Import, Oaep, Unwrap, UnwrapOptions, Wrap, WrapKeys};
use crate::error::ExpectedError;
use crate::files::Hex;
use crate::{files, output};

/// `key wrap …`.
pub fn wrap(client: &Client, command: Wrap) -> Outcome {
    let (keys, wrapping) = match command {
        Wrap::AesGcm { keys, gcm } => (keys, gcm_with(|tag| WrapMechanism::AesGcm { tag }, gcm, None)),
        Wrap::AesNoPad { keys } => (keys, Wrapping::of(WrapMechanism::AesNoPad)),
        Wrap::AesPkcs5Pad { keys } => (keys, Wrapping::of(WrapMechanism::AesPkcs5Pad)),
        Wrap::AesZeroPad { keys } => (keys, Wrapping::of(WrapMechanism::AesZeroPad)),
        Wrap::CloudhsmAesGcm { keys, gcm } => (keys, gcm_with(|tag| WrapMechanism::CloudhsmAesGcm { tag }, gcm, None)),
        Wrap::RsaAes { keys, oaep } => (keys, Wrapping::of(WrapMechanism::RsaAes { hash: hash(oaep)? })),
        Wrap::RsaOaep { keys, oaep } => (keys, Wrapping::of(WrapMechanism::RsaOaep { hash: hash(oaep)? })),
        Wrap::RsaPkcs { keys } => (keys, Wrapping::of(WrapMechanism::RsaPkcs)),
    };
    wrap_by(client, keys, &wrapping)
}

fn wrap_by(client: &Client, keys: WrapKeys, wrapping: &Wrapping) -> Outcome {
    let payload = single(client, keys.payload_filter)?.reference;
    let wrapping_key = single(client, keys.wrapping_filter)?.reference;
    let approvals = keys.payload_approval.iter().chain(&keys.wrapping_approval);
    let wrapped = with_files(client, approvals)?.key_wrap(payload, wrapping_key, wrapping)?;
    if let Some(path) = &keys.path {
        files::write(path, &wrapped.wrapped)?;
    }
    let WrappedKey { iv, wrapped } = &wrapped;
    let mut answer = json!({
        "payload_key_reference": payload.to_string(),
        "wrapping_key_reference": wrapping_key.to_string(),
    });
    if !iv.is_empty() {
        answer["iv"] = output::hex(iv);
    }
    answer["wrapped_key_data"] = files::encode(wrapped).into();
    Ok(answer)
}

/// `key unwrap …`.
pub fn unwrap(client: &Client, command: Unwrap) -> Outcome {
    let (options, wrapping) = match command {
        Unwrap::AesGcm { options, gcm, iv } => (options, gcm_with(|tag| WrapMechanism::AesGcm { tag }, gcm, Some(iv))),
        Unwrap::AesNoPad { options } => (options, Wrapping::of(WrapMechanism::AesNoPad)),
        Unwrap::AesPkcs5Pad { options } => (options, Wrapping::of(WrapMechanism::AesPkcs5Pad)),
        Unwrap::AesZeroPad { options } => (options, Wrapping::of(WrapMechanism::AesZeroPad)),
        Unwrap::CloudhsmAesGcm { options, gcm } => {
            (options, gcm_with(|tag| WrapMechanism::CloudhsmAesGcm { tag }, gcm, None))
        }
        Unwrap::RsaAes { options, oaep } => (options, Wrapping::of(WrapMechanism::RsaAes { hash: hash(oaep)? })),
        Unwrap::RsaOaep { options, oaep } => (options, Wrapping::of(WrapMechanism::RsaOaep { hash: hash(oaep)? })),
        Unwrap::RsaPkcs { options } => (options, Wrapping::of(WrapMechanism::RsaPkcs)),
    };
    unwrap_by(client, options, &wrapping)
}

fn unwrap_by(client: &Client, options: UnwrapOptions, wrapping: &Wrapping) -> Outcome {
    let wrapped = files::bytes(options.data.data, options.data.data_path.as_deref())?;
    let template = template(options.label, options.attributes, options.session);
    let key = single(client, options.filter.filter)?.reference;
    let kind = options.key_type_class.into();
    let shares = (options.share_crypto_users.as_slice(), options.quorum.into());
    let client = approved(client, &options.approval)?;
    let made = client.key_unwrap(key, wrapping, &wrapped, kind, &template, shares)?;
    Ok(output::key(&made))
}

/// `key import …`.
pub fn import(client: &Client, command: Import) -> Outcome {
    let Import::Pem { path, label, key_type_class, attributes } = command;
    let public = public_key(&path)?;
    let wanted = key_type_class.into();
    if public.key_type() != wanted {
        return Err(ExpectedError::PublicKeyType { path, found: public.key_type(), wanted });
    }
    let made = client.key_import(&public, &template(label, attributes, false))?;
    let mut answer = output::key(&made);
    answer["message"] = "Successfully imported key".into();
    Ok(answer)
}

fn public_key(path: &Path) -> Result<PublicPart, ExpectedError> {
    let text = files::bytes(None, Some(path))?;
    let path = || path.to_owned();
    let blocks = pem::decode(pem::PUBLIC_KEY, &text, 1);
    let blocks = blocks.map_err(|source| ExpectedError::PublicKeyPem { path: path(), source })?;
    let info = blocks.first().expect("one block at least");
    spki::decode(info).map_err(|source| ExpectedError::PublicKey { path: path(), source })
}

fn gcm_with(mechanism: impl Fn(strongroom_types::GcmTag) -> WrapMechanism, gcm: Gcm, iv: Option<Hex>) -> Wrapping {
    let bytes = |hex: Option<Hex>| hex.map(|Hex(bytes)| bytes).unwrap_or_default();
    Wrapping { mechanism: mechanism(gcm.tag_length_bits), aad: bytes(gcm.aad), iv: bytes(iv) }
}

/// The hash of OAEP, which the mask generation function must have as well.
fn hash(oaep: Oaep) -> Result<HashFunction, ExpectedError> {
    let hash = HashFunction::from(oaep.hash_function);
    if HashFunction::from(oaep.mgf) == hash { Ok(hash) } else { Err(ExpectedError::Mgf(hash)) }
}
