use std::path::Path;

use strongroom_client::{Client, KeyInfo, PairAlgorithm, reference_pem};
use strongroom_crypto::{pem, spki};
use strongroom_types::{AttributeName, AttributeValue, Filter, FilterTerm, Flag, KeyClass, KeyType, Template};

use super::quorum::approved;
use super::{Outcome, replicate, single, wrapping};
use crate::arguments::{Encoding, GeneratePair, GenerateSymmetric, Key, PairOptions, SecretOptions, attribute_value};
use crate::error::ExpectedError;
use crate::output::Detail;
use crate::session::Session;
use crate::{files, output};

/// `key …`.
pub fn run(session: &mut Session, client: &Client, command: Key) -> Outcome {
    match command {
        Key::Delete { filter } => {
            client.key_delete(single(client, filter.filter)?.reference)?;
            Ok(output::message("Key deleted successfully"))
        }
        Key::GenerateAsymmetricPair(GeneratePair::Rsa { modulus_size_bits, public_exponent, options }) => {
            let public_exponent = public_exponent.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            pair(client, &PairAlgorithm::Rsa { modulus_bits: modulus_size_bits, public_exponent }, options)
        }
        Key::GenerateAsymmetricPair(GeneratePair::Ec { curve, options }) => {
            pair(client, &PairAlgorithm::Ec(curve.into()), options)
        }
        Key::GenerateAsymmetricPair(GeneratePair::MlDsa { mldsa_algorithm, options }) => {
            pair(client, &PairAlgorithm::MlDsa(mldsa_algorithm), options)
        }
        Key::GenerateFile { encoding, path, filter } => generate_file(client, encoding, &path, filter.filter),
        Key::GenerateSymmetric(GenerateSymmetric::Aes { options, key_length_bytes }) => {
            secret(client, KeyType::Aes, key_length_bytes, options)
        }
        Key::GenerateSymmetric(GenerateSymmetric::GenericSecret { options, key_length_bytes }) => {
            secret(client, KeyType::GenericSecret, key_length_bytes, options)
        }
        Key::Import(command) => wrapping::import(client, command),
        Key::Unwrap(command) => wrapping::unwrap(client, command),
        Key::Wrap(command) => wrapping::wrap(client, command),
        Key::List { filter, max_items, starting_token, verbose } => {
            let offset = starting_token.unwrap_or(0);
            let found = client.key_find(&Filter(filter), offset, max_items)?;
            let detail = match (output::shows_keys(client.logged_in().map(|login| login.role)), verbose) {
                (false, _) => Detail::Reference,
                (true, false) => Detail::Label,
                (true, true) => Detail::Full,
            };
            Ok(output::found(&found, offset, detail))
        }
        Key::Replicate { filter, between } => replicate::key(session, client, filter.filter, &between),
        Key::SetAttribute { filter, name, value, approval } => {
            let value = attribute_value(name, &value)
                .map_err(|source| ExpectedError::AttributeValue { name: name.as_str(), source })?;
            let key = single(client, filter.filter)?.reference;
            approved(client, &approval)?.key_set_attribute(key, name, &value)?;
            Ok(output::message("Attribute set successfully"))
        }
        Key::Share { filter, who, approval } => {
            let name = who.username.parse()?;
            let key = single(client, filter.filter)?.reference;
            approved(client, &approval)?.key_share(key, &name, who.role)?;
            Ok(output::message("Key shared successfully"))
        }
        Key::Unshare { filter, who, approval } => {
            let name = who.username.parse()?;
            let key = single(client, filter.filter)?.reference;
            approved(client, &approval)?.key_unshare(key, &name, who.role)?;
            Ok(output::message("Key unshared successfully"))
        }
    }
}

/// `--session` and the attribute say the same; both together are the attribute once.
pub(super) fn template(label: String, attributes: Vec<(AttributeName, AttributeValue)>, session: bool) -> Template {
    let token = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(false));
    let of_session = Some(token).filter(|token| session && !attributes.contains(token));
    let label = (AttributeName::Label, AttributeValue::Text(label));
    std::iter::once(label).chain(of_session).chain(attributes).collect()
}

fn secret(client: &Client, key_type: KeyType, length_bytes: u32, options: SecretOptions) -> Outcome {
    let template = template(options.label, options.attributes, options.session);
    let shares = (options.share_crypto_users.as_slice(), options.quorum.into());
    Ok(output::key(&client.key_generate_secret_with_quorum(key_type, length_bytes, &template, shares)?))
}

fn pair(client: &Client, algorithm: &PairAlgorithm, options: PairOptions) -> Outcome {
    let public = template(options.public_label, options.public_attributes, options.session);
    let private = template(options.private_label, options.private_attributes, options.session);
    let shares = (options.share_crypto_users.as_slice(), options.quorum.into());
    let (public, private) = client.key_generate_pair_with_quorum(algorithm, &public, &private, shares)?;
    Ok(output::pair(&public, &private))
}

fn generate_file(client: &Client, encoding: Encoding, path: &Path, filter: Vec<FilterTerm>) -> Outcome {
    let key = single(client, filter)?;
    let content = match encoding {
        Encoding::Pem => public_pem(&key)?,
        Encoding::ReferencePem => reference(client, &key)?,
    };
    files::write(path, content.as_bytes())?;
    Ok(output::message("Successfully generated key file"))
}

fn public_pem(key: &KeyInfo) -> Result<String, ExpectedError> {
    match (key.attributes.class, &key.attributes.public) {
        (KeyClass::PublicKey, Some(public)) => Ok(pem::encode("PUBLIC KEY", &spki::encode(public))),
        _ => Err(ExpectedError::NotOfEncoding {
            found: key.attributes.class.as_str(),
            encoding: "pem",
            fix: "select a public key, for example with attr.class=public-key",
        }),
    }
}

fn reference(client: &Client, key: &KeyInfo) -> Result<String, ExpectedError> {
    match (key.attributes.class, &key.attributes.public) {
        (KeyClass::PrivateKey, Some(_)) if !key.attributes.flags.has(Flag::Token) => {
            Err(ExpectedError::NotOfEncoding {
                found: "session key",
                encoding: "reference-pem",
                fix: "it ends with this login, so no file can stand for it; select another, for example with attr.token=true",
            })
        }
        (KeyClass::PrivateKey, Some(public)) => {
            let cluster_id = client.hello()?.cluster_id;
            let comment = reference_pem::Comment { label: &key.attributes.label, cluster_id: cluster_id.as_str() };
            reference_pem::encode(key.reference, public, &comment).ok_or(ExpectedError::NotOfEncoding {
                found: "key of this kind",
                encoding: "reference-pem",
                fix: "select an RSA key, or an EC key that is not on ed25519; files of the others have no room for a reference",
            })
        }
        _ => Err(ExpectedError::NotOfEncoding {
            found: key.attributes.class.as_str(),
            encoding: "reference-pem",
            fix: "select a private key, for example with attr.class=private-key",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_attribute() {
        let token = |value| (AttributeName::Flag(Flag::Token), AttributeValue::Bool(value));
        let label = (AttributeName::Label, AttributeValue::Text("k".into()));
        let check = |attributes: &[(AttributeName, AttributeValue)], session, expected: &[_]| {
            let template = template("k".into(), attributes.to_vec(), session);
            assert_eq!(template, [std::slice::from_ref(&label), expected].concat(), "{attributes:?} {session}");
        };
        check(&[], false, &[]);
        check(&[], true, &[token(false)]);
        check(&[token(false)], false, &[token(false)]);
        check(&[token(false)], true, &[token(false)]);
        // A contradiction, for the HSM to refuse.
        check(&[token(true)], true, &[token(false), token(true)]);
    }
}
