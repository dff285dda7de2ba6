//! Who may do what with which key, said a second time and plainly: for every caller, kind of key, attributes, mode and
//! operation the rooms' decision is the model's.
//!
//! Attributes are drawn at random, from a seed; combinations that no template gives are among them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use strongroom_types::{
    AttributeName, AttributeValue, Attributes, CipherMechanism, ClusterMode, Curve, Flag, Flags, GcmTag, HashFunction,
    HsmType, KeyClass, KeyQuorum, KeyReference, KeyTemplates, KeyType, MacMechanism, MlDsaAlgorithm, PublicPart,
    Refusal, RequestId, Role, RsaCipher, SignMechanism, Status, UserId, WrapMechanism,
};

use super::world::{World, name};
use crate::{
    Actor, Batch, Command, Creation, Key, KeyUse, Made, NamedKey, PlanError, Record, Request, SourceKey, authorize,
    authorize_wrap, check, plan,
};

/// Sets of attributes that are drawn for each kind of key.
const DRAWS: usize = 128;

/// Who asks, as seen from the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Admin,
    Owner,
    Sharer,
    Stranger,
}

/// What is asked of a key.
#[derive(Clone, Copy, Debug)]
enum What {
    Sign(SignMechanism),
    Verify(SignMechanism),
    Encrypt(&'static CipherMechanism),
    Decrypt(&'static CipherMechanism),
    Mac(MacMechanism),
    VerifyMac(MacMechanism),
    Unwrap(WrapMechanism),
    /// As the key that wraps a key of the caller's own, or if there is none, of the owner's.
    WrapOther(WrapMechanism),
    /// As the key that is wrapped, under a key that everybody may use.
    BeWrapped(By),
    /// Into the store, with this attribute.
    Copy(Option<(Flag, bool)>),
    Delete,
    Share,
    Unshare,
    Set(Flag, bool),
}

/// A key that wraps another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Trusted,
    Untrusted,
    /// Trusted, with a template that demands `sign`.
    Demanding,
}

const SHA256: HashFunction = HashFunction::Sha256;

const SIGNATURES: [SignMechanism; 7] = [
    SignMechanism::RsaPkcs,
    SignMechanism::RsaPkcsPss { hash: SHA256, salt_len: 32 },
    SignMechanism::RsaX509,
    SignMechanism::Ecdsa,
    SignMechanism::Ed25519,
    SignMechanism::Ed25519Ph,
    SignMechanism::MlDsa,
];
const MACS: [MacMechanism; 2] = [MacMechanism::AesCmac, MacMechanism::Hmac(SHA256)];
static CIPHERS: LazyLock<[CipherMechanism; 9]> = LazyLock::new(|| {
    let tag = GcmTag::of_bits(128).expect("a length of tags");
    [
        CipherMechanism::AesCbc { iv: [1; 16] },
        CipherMechanism::AesCtr { counter: [1; 16] },
        CipherMechanism::AesEcb,
        CipherMechanism::AesGcm { tag, aad: Vec::new(), iv: None },
        CipherMechanism::Des3Cbc { iv: [1; 8] },
        CipherMechanism::Des3Ecb,
        CipherMechanism::Rsa(RsaCipher::Pkcs),
        CipherMechanism::Rsa(RsaCipher::Oaep { hash: SHA256 }),
        CipherMechanism::Rsa(RsaCipher::X509),
    ]
});
const SETS: [Flag; 4] = [Flag::Sign, Flag::Extractable, Flag::Trusted, Flag::WrapWithTrusted];

fn wrappings() -> [WrapMechanism; 8] {
    let tag = GcmTag::of_bits(128).expect("a length of tags");
    [
        WrapMechanism::AesGcm { tag },
        WrapMechanism::AesNoPad,
        WrapMechanism::AesPkcs5Pad,
        WrapMechanism::AesZeroPad,
        WrapMechanism::CloudhsmAesGcm { tag },
        WrapMechanism::RsaAes { hash: SHA256 },
        WrapMechanism::RsaOaep { hash: SHA256 },
        WrapMechanism::RsaPkcs,
    ]
}

fn everything() -> Vec<What> {
    let uses = SIGNATURES.into_iter().flat_map(|mechanism| [What::Sign(mechanism), What::Verify(mechanism)]);
    let wraps = wrappings().into_iter().flat_map(|mechanism| [What::Unwrap(mechanism), What::WrapOther(mechanism)]);
    let sets = SETS.into_iter().flat_map(|flag| [What::Set(flag, true), What::Set(flag, false)]);
    let payloads = [By::Trusted, By::Untrusted, By::Demanding].map(What::BeWrapped);
    let copies = SETS.into_iter().flat_map(|flag| [What::Copy(Some((flag, true))), What::Copy(Some((flag, false)))]);
    let ciphers = CIPHERS.iter().flat_map(|mechanism| [What::Encrypt(mechanism), What::Decrypt(mechanism)]);
    let macs = MACS.into_iter().flat_map(|mechanism| [What::Mac(mechanism), What::VerifyMac(mechanism)]);
    uses.chain(ciphers)
        .chain(macs)
        .chain(wraps)
        .chain(payloads)
        .chain(copies)
        .chain([What::Copy(None), What::Delete, What::Share, What::Unshare])
        .chain(sets)
        .collect()
}

/// A kind of key: its class, type and public part.
type Kind = (KeyClass, KeyType, Option<PublicPart>);

fn kinds() -> Vec<Kind> {
    let ec = |curve: Curve| {
        let mut point = vec![4; curve.point_len()];
        point[1..].fill(0x5a);
        PublicPart::Ec { curve, point }
    };
    let algorithm = MlDsaAlgorithm::MlDsa44;
    let publics = [
        PublicPart::Rsa { modulus: vec![0xc5; 256], public_exponent: vec![1, 0, 1] },
        ec(Curve::P256),
        ec(Curve::Ed25519),
        PublicPart::MlDsa { algorithm, key: vec![1; algorithm.public_len()] },
    ];
    let secrets = [KeyType::Aes, KeyType::Des3, KeyType::GenericSecret];
    let pairs = publics.into_iter().flat_map(|public| {
        [KeyClass::PublicKey, KeyClass::PrivateKey].map(|class| (class, public.key_type(), Some(public.clone())))
    });
    secrets.into_iter().map(|key_type| (KeyClass::SecretKey, key_type, None)).chain(pairs).collect()
}

/// What the rules say, or the first of them that is broken. In a cluster of `hsm2m.medium`, by requests without approvals.
fn model(who: Who, kind: &Kind, flags: Flags, quorum: KeyQuorum, mode: ClusterMode, what: What) -> Option<Status> {
    let several = match what {
        What::Verify(_) | What::VerifyMac(_) | What::Copy(_) | What::Delete => 0,
        What::Sign(_) | What::Mac(_) | What::Encrypt(_) | What::Decrypt(_) => quorum.usage,
        // Whoever trusts a key does not manage it.
        What::Set(..) if who == Who::Admin => 0,
        // It is managing, and decrypts.
        What::Unwrap(_) => quorum.highest(),
        What::WrapOther(_) | What::BeWrapped(_) | What::Share | What::Unshare | What::Set(..) => quorum.manage,
    };
    let quorum_stays = matches!(what, What::Copy(_)) && quorum.highest() > 1;
    alone(who, kind, flags, (mode, quorum_stays), what).or((several > 1).then_some(Status::QuorumFailed))
}

/// The same, but for what several users must approve.
fn alone(
    who: Who,
    (class, key_type, public): &Kind,
    flags: Flags,
    (mode, quorum_stays): (ClusterMode, bool),
    what: What,
) -> Option<Status> {
    use KeyClass::{PrivateKey, PublicKey};
    let refuse = |broken: bool, status: Status| broken.then_some(status);
    let fips = mode == ClusterMode::Fips;
    let is_rsa = *key_type == KeyType::Rsa;
    let curve = match public {
        Some(PublicPart::Ec { curve, .. }) => Some(*curve),
        _ => None,
    };
    let is_edwards = curve == Some(Curve::Ed25519);
    let admins_trust = matches!(what, What::Set(..)) && who == Who::Admin;
    let login = match who {
        Who::Nobody => Some(Status::NotLoggedIn),
        Who::Admin => refuse(!matches!(what, What::Set(Flag::Trusted, _)), Status::RoleNotPermitted),
        Who::Owner | Who::Sharer | Who::Stranger => None,
    };
    let unseen = refuse(who == Who::Stranger && *class != PublicKey, Status::KeyUnknown);
    let foreign = refuse(!matches!(who, Who::Owner | Who::Admin), Status::KeyNotOwned);
    let needs = |flag: Flag| refuse(!flags.has(flag), Status::KeyFunctionNotPermitted);
    let unfit = |fits: bool| refuse(!fits, Status::KeyTypeInconsistent);
    let banned = |only_outside_fips: bool| refuse(fips && only_outside_fips, Status::MechanismNotApproved);
    let signs = |mechanism: SignMechanism| match mechanism {
        SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::RsaX509 => is_rsa,
        SignMechanism::Ecdsa => curve.is_some() && !is_edwards,
        SignMechanism::Ed25519 | SignMechanism::Ed25519Ph => is_edwards,
        SignMechanism::MlDsa => *key_type == KeyType::MlDsa,
    };
    let edwards = |mechanism| matches!(mechanism, SignMechanism::Ed25519 | SignMechanism::Ed25519Ph);
    let by_rsa = |mechanism| {
        matches!(mechanism, WrapMechanism::RsaAes { .. } | WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs)
    };
    let wraps = |mechanism, rsa_class| match by_rsa(mechanism) {
        true => is_rsa && *class == rsa_class,
        false => *key_type == KeyType::Aes,
    };
    let has = |flag| match flag {
        // What could wrap, whether there is a mechanism or not.
        Flag::Trusted => *class != PrivateKey && *key_type != KeyType::GenericSecret,
        Flag::Sign | Flag::Extractable | Flag::WrapWithTrusted => *class != PublicKey,
        other => panic!("{other:?}"),
    };
    let ruled = |flag, value: bool| match flag {
        Flag::Trusted => refuse(who != Who::Admin, Status::AttributeReadOnly),
        Flag::Extractable => refuse(value, Status::AttributeValueInvalid),
        Flag::WrapWithTrusted => refuse(!value, Status::AttributeValueInvalid),
        _ => None,
    };
    let is_des3 = |mechanism: &_| matches!(mechanism, CipherMechanism::Des3Cbc { .. } | CipherMechanism::Des3Ecb);
    let is_pkcs1 = |mechanism: &_| matches!(mechanism, CipherMechanism::Rsa(RsaCipher::Pkcs));
    let ciphers = |mechanism: &_, rsa_class| match mechanism {
        CipherMechanism::Rsa(_) => is_rsa && *class == rsa_class,
        mechanism => *key_type == if is_des3(mechanism) { KeyType::Des3 } else { KeyType::Aes },
    };
    let authenticates = |mechanism| match mechanism {
        MacMechanism::AesCmac => *key_type == KeyType::Aes,
        MacMechanism::Hmac(_) => *class == KeyClass::SecretKey,
    };
    let rest = match what {
        What::Sign(mechanism) => {
            unfit(*class == PrivateKey && signs(mechanism)).or(needs(Flag::Sign)).or(banned(edwards(mechanism)))
        }
        What::Verify(mechanism) => {
            unfit(*class == PublicKey && signs(mechanism)).or(needs(Flag::Verify)).or(banned(edwards(mechanism)))
        }
        What::Encrypt(mechanism) => unfit(ciphers(mechanism, PublicKey))
            .or(needs(Flag::Encrypt))
            .or(banned(is_pkcs1(mechanism) || is_des3(mechanism))),
        // What is in 3DES already is still read.
        What::Decrypt(mechanism) => {
            unfit(ciphers(mechanism, PrivateKey)).or(needs(Flag::Decrypt)).or(banned(is_pkcs1(mechanism)))
        }
        What::Mac(mechanism) => unfit(authenticates(mechanism)).or(needs(Flag::Sign)),
        What::VerifyMac(mechanism) => unfit(authenticates(mechanism)).or(needs(Flag::Verify)),
        What::Unwrap(mechanism) => {
            unfit(wraps(mechanism, PrivateKey)).or(needs(Flag::Unwrap)).or(banned(mechanism == WrapMechanism::RsaPkcs))
        }
        What::WrapOther(mechanism) => {
            unfit(wraps(mechanism, PublicKey)).or(needs(Flag::Wrap)).or(banned(mechanism == WrapMechanism::RsaPkcs))
        }
        What::BeWrapped(by) => foreign
            .or(refuse(!flags.has(Flag::Extractable), Status::KeyNotExtractable))
            .or(refuse(flags.has(Flag::WrapWithTrusted) && by == By::Untrusted, Status::WrappingKeyNotTrusted))
            .or(refuse(!flags.has(Flag::Sign) && by == By::Demanding, Status::WrapTemplateMismatch))
            .or(refuse(*class == PublicKey || *key_type == KeyType::MlDsa, Status::PayloadInvalid)),
        What::Copy(changed) => {
            let copied = flags.with(Flag::Trusted, false);
            let changed = changed.filter(|(flag, value)| copied.has(*flag) != *value);
            foreign.or(refuse(quorum_stays, Status::KeyNotCopyable)).or(changed.and_then(|(flag, value)| {
                refuse(!flags.has(Flag::Modifiable), Status::KeyNotModifiable)
                    .or(refuse(!has(flag), Status::AttributeUnknown))
                    .or(ruled(flag, value))
            }))
        }
        What::Delete => foreign.or(refuse(!flags.has(Flag::Destroyable), Status::KeyNotDestroyable)),
        What::Share | What::Unshare => foreign,
        What::Set(flag, value) => foreign
            .or(refuse(!admins_trust && !flags.has(Flag::Modifiable), Status::KeyNotModifiable))
            .or(refuse(!has(flag), Status::AttributeUnknown))
            .or(ruled(flag, value)),
    };
    login.or(unseen).or(rest)
}

/// The cluster in which the questions are asked.
struct Asked {
    world: World,
    callers: Vec<(Who, Actor)>,
    owner: UserId,
    /// Two: with one of them less, the key still has as many users as its quorum values ask for.
    sharers: BTreeSet<UserId>,
    creation: Creation,
    /// What the key in question wraps.
    payload: KeyReference,
    trusted: KeyReference,
    untrusted: KeyReference,
    demanding: KeyReference,
}

impl Asked {
    fn new(mode: ClusterMode) -> Asked {
        let mut world = World::of(HsmType::Hsm2mMedium, mode);
        let [owner, sharer, stranger] = ["owner", "sharer", "stranger"].map(|user| world.crypto_user(user));
        world.create("other", Role::CryptoUser).unwrap();
        let admin = world.admin();
        let sharing = ["sharer", "stranger"];
        let payload = world.aes_reference(&owner, &sharing);
        let [trusted, untrusted, demanding] = [(); 3].map(|()| world.aes_reference(&owner, &sharing));
        let id = |user: &str| world.state.user_named(&name(user)).unwrap().id;
        let (owner_id, sharers) = (id("owner"), BTreeSet::from([id("sharer"), id("other")]));
        let creation = world.state.key(payload).unwrap().creation;
        let callers = vec![
            (Who::Nobody, Actor::Anonymous),
            (Who::Admin, admin),
            (Who::Owner, owner),
            (Who::Sharer, sharer),
            (Who::Stranger, stranger),
        ];
        let mut asked =
            Asked { world, callers, owner: owner_id, sharers, creation, payload, trusted, untrusted, demanding };
        let signs = vec![(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))];
        let demands = KeyTemplates { wrap: Some(signs.into()), unwrap: None };
        let none = KeyTemplates::NONE;
        for (reference, trusts, templates) in
            [(trusted, true, none.clone()), (untrusted, false, none), (demanding, true, demands)]
        {
            let key = asked.world.state.key(reference).unwrap().as_ref().clone();
            let flags = key.attributes.flags.with(Flag::Wrap, true).with(Flag::Trusted, trusts);
            asked.put(Key { attributes: Attributes { flags, templates, ..key.attributes.clone() }, ..key });
        }
        asked
    }

    fn put(&mut self, key: Key) {
        let revision = self.world.state.revision().next();
        let puts = vec![Record::Key(Key { revision, ..key })];
        self.world.commit(&Batch { revision, time_ms: self.world.now_ms, puts, deletes: Vec::new() });
    }

    /// The key in question, whatever its attributes.
    fn place(&mut self, (class, key_type, public): &Kind, flags: Flags, quorum: KeyQuorum) -> KeyReference {
        let reference = self.world.reference();
        let request = RequestId::from_bytes(self.world.draw());
        let mut key = self.world.state.key(self.payload).unwrap().as_ref().clone();
        let sealed = key.sealed.take().filter(|_| *class != KeyClass::PublicKey);
        let (id, label) = (Vec::new(), String::new());
        let check_value = (*key_type != KeyType::GenericSecret).then_some([7; 3]);
        let length_bytes = if *key_type == KeyType::Des3 { 24 } else { 32 };
        let (class, key_type, public) = (*class, *key_type, public.clone());
        self.put(Key {
            reference,
            owner: self.owner,
            shared: self.sharers.clone(),
            quorum,
            attributes: Attributes {
                class,
                key_type,
                label,
                id,
                check_value,
                flags,
                length_bytes,
                public,
                templates: KeyTemplates::NONE,
            },
            sealed,
            creation: Creation { request, ..self.creation },
            ..key
        });
        reference
    }

    fn decision(&self, actor: &Actor, key: KeyReference, what: What) -> Option<Status> {
        let (state, now_ms) = (&self.world.state, self.world.now_ms);
        let used = |key_use| authorize(state, actor, key_use, key, now_ms).map(drop);
        let wrapped = |mechanism, wrapping, payload| {
            let keys = (NamedKey::Stored(wrapping), NamedKey::Stored(payload));
            authorize_wrap(state, actor, mechanism, keys, now_ms).map(drop)
        };
        let outcome = match what {
            What::Sign(mechanism) => used(KeyUse::Sign(mechanism, data(mechanism))),
            What::Verify(mechanism) => used(KeyUse::Verify(mechanism, data(mechanism))),
            What::Encrypt(mechanism) => used(KeyUse::Encrypt(mechanism, plain_len(mechanism))),
            What::Decrypt(mechanism) => used(KeyUse::Decrypt(mechanism, 256)),
            What::Mac(mechanism) => used(KeyUse::Mac(mechanism, 256)),
            What::VerifyMac(mechanism) => used(KeyUse::VerifyMac(mechanism, 256)),
            What::Unwrap(mechanism) => used(KeyUse::Unwrap(mechanism, wrapped_len(mechanism))),
            What::WrapOther(mechanism) => return self.wraps_other(actor, key, mechanism),
            What::BeWrapped(by) => {
                let wrapping = match by {
                    By::Trusted => self.trusted,
                    By::Untrusted => self.untrusted,
                    By::Demanding => self.demanding,
                };
                wrapped(WrapMechanism::AesZeroPad, wrapping, key)
            }
            What::Copy(changed) => {
                let flags = changed.into_iter().chain([(Flag::Token, true)]);
                let template =
                    flags.map(|(flag, value)| (AttributeName::Flag(flag), AttributeValue::Bool(value))).collect();
                let command = Command::CopyKey { from: SourceKey::Stored(key), template };
                let request = Request::new(RequestId::from_bytes([0xee; 16]), [1; 32]);
                check(state, actor, &command, &request, now_ms).map(drop)
            }
            What::Delete => self.planned(actor, &Command::DeleteKey(key)),
            What::Share => {
                self.planned(actor, &Command::ShareKey { key, name: name("stranger"), role: Role::CryptoUser })
            }
            What::Unshare => {
                self.planned(actor, &Command::UnshareKey { key, name: name("sharer"), role: Role::CryptoUser })
            }
            What::Set(flag, value) => {
                let (attribute, value) = (AttributeName::Flag(flag), AttributeValue::Bool(value));
                self.planned(actor, &Command::SetAttribute { key, attribute, value })
            }
        };
        outcome.err().map(|refusal| refusal.status)
    }

    /// Wrapping needs a payload of the caller's own. Who has none is told so, when everything about the wrapping key was
    /// looked at that comes before.
    fn wraps_other(&self, actor: &Actor, key: KeyReference, mechanism: WrapMechanism) -> Option<Status> {
        let Actor::Login(login) = actor else { return Some(Status::NotLoggedIn) };
        let mut state = self.world.state.clone();
        if login.role == Role::CryptoUser {
            let payload = Key { owner: login.user, ..state.key(self.payload).unwrap().as_ref().clone() };
            state.keys.insert(self.payload, payload.into());
        }
        let keys = (NamedKey::Stored(key), NamedKey::Stored(self.payload));
        authorize_wrap(&state, actor, mechanism, keys, self.world.now_ms).err().map(|refusal| refusal.status)
    }

    fn planned(&self, actor: &Actor, command: &Command) -> Result<(), Refusal> {
        let request = Request::new(RequestId::from_bytes([0xee; 16]), [1; 32]);
        match plan(&self.world.state, actor, command, &Made::Nothing, &request, self.world.now_ms) {
            Ok(_) => Ok(()),
            Err(PlanError::Refused(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    }
}

const BLOCK: [u8; 256] = [1; 256];

/// Data of a length that the mechanism takes.
fn data(mechanism: SignMechanism) -> &'static [u8] {
    match mechanism {
        SignMechanism::RsaX509 => &BLOCK,
        SignMechanism::Ed25519Ph | SignMechanism::MlDsa => &BLOCK[..64],
        SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::Ecdsa | SignMechanism::Ed25519 => {
            &BLOCK[..32]
        }
    }
}

/// A length that the mechanism encrypts.
fn plain_len(mechanism: &CipherMechanism) -> usize {
    match mechanism {
        CipherMechanism::Rsa(RsaCipher::Pkcs | RsaCipher::Oaep { .. }) => 64,
        _ => 256,
    }
}

/// A length that the mechanism gives a wrapped key of 16 bytes.
fn wrapped_len(mechanism: WrapMechanism) -> usize {
    match mechanism {
        WrapMechanism::AesGcm { .. } => 16 + 16,
        WrapMechanism::CloudhsmAesGcm { .. } => 12 + 16 + 16,
        WrapMechanism::AesNoPad | WrapMechanism::AesZeroPad => 24,
        WrapMechanism::AesPkcs5Pad => 32,
        WrapMechanism::RsaAes { .. } => 256 + 24,
        WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => 256,
    }
}

/// All attributes and none, often enough for each quorum value, and some drawn by xorshift.
fn drawn() -> Vec<Flags> {
    let all = Flag::ALL.iter().fold(Flags::NONE, |flags, flag| flags.with(*flag, true));
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Flag::ALL.iter().enumerate().fold(Flags::NONE, |flags, (bit, flag)| flags.with(*flag, random >> bit & 1 == 1))
    };
    let some: Vec<Flags> = (0..DRAWS).map(|_| draw()).collect();
    [all, Flags::NONE].into_iter().cycle().take(2 * quorums().len()).chain(some).collect()
}

/// An odd number of them, so that each meets each set of attributes that is not drawn.
fn quorums() -> [KeyQuorum; 5] {
    let values = [(0, 0), (2, 0), (0, 2), (1, 1), (2, 2)];
    values.map(|(manage, usage)| KeyQuorum { manage, usage })
}

#[test]
fn every_decision_is_the_models() {
    let mut refused = BTreeSet::new();
    for mode in [ClusterMode::Fips, ClusterMode::NonFips] {
        let mut asked = Asked::new(mode);
        for kind in kinds() {
            for (flags, quorum) in drawn().into_iter().zip(quorums().into_iter().cycle()) {
                // Public keys have none.
                let quorum = if kind.0 == KeyClass::PublicKey { KeyQuorum::NONE } else { quorum };
                let key = asked.place(&kind, flags, quorum);
                for (who, actor) in &asked.callers {
                    for what in everything() {
                        let expected = model(*who, &kind, flags, quorum, mode, what);
                        let decision = asked.decision(actor, key, what);
                        let (class, key_type) = (kind.0, kind.1);
                        assert_eq!(
                            decision, expected,
                            "{what:?} by {who:?}: {class} {key_type} {flags:?} {quorum:?} in {mode}"
                        );
                        refused.insert(decision);
                    }
                }
            }
        }
    }
    assert_eq!(refused.len(), 19, "every refusal of the model, and no other: {refused:?}");
}
