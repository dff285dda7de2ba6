//! What the engine needs of a cluster, so that its logic is tested without one.

use strongroom_client::{Client, ClientError, KeyInfo, PairAlgorithm};
use strongroom_types::{CipherMechanism, Filter, KeyReference, RsaCipher, Secret, SignMechanism, Template};

/// Keys beyond this number that share one public part are not looked at: one copy is as good as another.
const FOUND_MAX: u32 = 100;

/// The HSMs of a cluster.
pub(crate) trait Hsms {
    /// Keys that fit.
    fn find(&self, filter: &Filter) -> Result<Vec<KeyInfo>, ClientError>;
    /// A signature.
    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// A plaintext.
    fn decrypt(&self, key: KeyReference, cipher: RsaCipher, data: &[u8]) -> Result<Secret, ClientError>;
    /// A new pair's private key.
    fn generate(
        &self,
        algorithm: &PairAlgorithm,
        public: &Template,
        private: &Template,
    ) -> Result<KeyInfo, ClientError>;
}

impl Hsms for Client {
    fn find(&self, filter: &Filter) -> Result<Vec<KeyInfo>, ClientError> {
        self.key_find(filter, 0, FOUND_MAX).map(|found| found.keys)
    }

    fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        Client::sign(self, key, mechanism, data)
    }

    fn decrypt(&self, key: KeyReference, cipher: RsaCipher, data: &[u8]) -> Result<Secret, ClientError> {
        Client::decrypt(self, key, &CipherMechanism::Rsa(cipher), data)
    }

    fn generate(
        &self,
        algorithm: &PairAlgorithm,
        public: &Template,
        private: &Template,
    ) -> Result<KeyInfo, ClientError> {
        self.key_generate_pair(algorithm, public, private, &[]).map(|(_, private)| private)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A cluster that remembers what it was asked.

    use std::cell::RefCell;

    use strongroom_types::{
        AttributeName, AttributeValue, Attributes, FilterTerm, Flag, Flags, KeyClass, PublicPart, Revision, Status,
    };

    use super::*;

    #[derive(Default)]
    pub(crate) struct Fake {
        pub(crate) keys: RefCell<Vec<KeyInfo>>,
        pub(crate) searches: RefCell<u32>,
        pub(crate) asked: RefCell<Vec<(KeyReference, String, Vec<u8>)>>,
        pub(crate) templates: RefCell<Vec<(PairAlgorithm, Template, Template)>>,
        pub(crate) answer: Vec<u8>,
    }

    pub(crate) fn reference(number: u64) -> KeyReference {
        KeyReference::from_u64(number).unwrap()
    }

    pub(crate) fn key(number: u64, public: &PublicPart, sign: bool) -> KeyInfo {
        KeyInfo {
            reference: reference(number),
            attributes: Attributes {
                class: KeyClass::PrivateKey,
                key_type: public.key_type(),
                label: "k".into(),
                id: Vec::new(),
                check_value: None,
                flags: Flags::NONE.with(Flag::Sign, sign),
                length_bytes: 1,
                public: Some(public.clone()),
                templates: strongroom_types::KeyTemplates::NONE,
            },
            owner: "crypto_user".parse().unwrap(),
            shared_with: Vec::new(),
            revision: Revision(1),
            quorum: strongroom_types::KeyQuorum::NONE,
        }
    }

    impl Fake {
        fn must_have(&self, key: KeyReference) -> Result<(), ClientError> {
            let known = self.keys.borrow().iter().any(|known| known.reference == key);
            if known { Ok(()) } else { Err(ClientError::Refused(Status::KeyUnknown.into())) }
        }
    }

    impl Hsms for Fake {
        fn find(&self, filter: &Filter) -> Result<Vec<KeyInfo>, ClientError> {
            *self.searches.borrow_mut() += 1;
            let holds = |key: &&KeyInfo| {
                filter.0.iter().all(|term| match (term, key.attributes.public.as_ref().unwrap()) {
                    (FilterTerm::Attribute(AttributeName::Class, AttributeValue::Class(class)), _) => {
                        key.attributes.class == *class
                    }
                    (
                        FilterTerm::Attribute(AttributeName::Modulus, AttributeValue::Bytes(wanted)),
                        PublicPart::Rsa { modulus, .. },
                    ) => modulus == wanted,
                    (
                        FilterTerm::Attribute(AttributeName::EcPoint, AttributeValue::Bytes(wanted)),
                        PublicPart::Ec { point, .. },
                    ) => point == wanted,
                    (
                        FilterTerm::Attribute(AttributeName::Curve, AttributeValue::Curve(wanted)),
                        PublicPart::Ec { curve, .. },
                    ) => curve == wanted,
                    _ => false,
                })
            };
            Ok(self.keys.borrow().iter().filter(holds).cloned().collect())
        }

        fn sign(&self, key: KeyReference, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
            self.must_have(key)?;
            self.asked.borrow_mut().push((key, format!("{mechanism:?}"), data.to_vec()));
            Ok(self.answer.clone())
        }

        fn decrypt(&self, key: KeyReference, cipher: RsaCipher, data: &[u8]) -> Result<Secret, ClientError> {
            self.must_have(key)?;
            self.asked.borrow_mut().push((key, format!("{cipher:?}"), data.to_vec()));
            Ok(Secret::from(self.answer.as_slice()))
        }

        fn generate(
            &self,
            algorithm: &PairAlgorithm,
            public: &Template,
            private: &Template,
        ) -> Result<KeyInfo, ClientError> {
            self.templates.borrow_mut().push((algorithm.clone(), public.clone(), private.clone()));
            let made = PublicPart::Rsa { modulus: vec![0xc5; 256], public_exponent: vec![1, 0, 1] };
            Ok(key(77, &made, true))
        }
    }
}
