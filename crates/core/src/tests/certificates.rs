//! Certificates: whose they are, who sees and changes them, and how many there are.

use strongroom_types::limits::{CERTIFICATES_EACH_MAX, CERTIFICATES_MAX, CERTIFICATES_OF_NOBODY_MAX};
use strongroom_types::{
    CertificateAttributes, CertificateCategory, CertificateChange, CertificateDate, CertificateFilter,
    CertificateReference, CertificateTemplate, ClusterMode, HsmType, KeyReference, KeyType, RecordKind, RecordPath,
    RequestId, Role, Status, Template, UserId,
};

use super::world::{HOUR, P256, World, name};
use crate::{
    Actor, Batch, Certificate, Command, CorruptState, Creation, Draft, Effect, Made, Plan, PlanError, Record, Reply,
    apply, certificate_view, find_certificates,
};

/// Of whoever makes it, with everything allowed.
pub(crate) fn template(label: &str) -> CertificateTemplate {
    CertificateTemplate {
        attributes: CertificateAttributes {
            label: label.to_owned(),
            subject: vec![0x30, 0],
            modifiable: true,
            destroyable: true,
            ..CertificateAttributes::default()
        },
        public_key_info: Vec::new(),
        value: vec![0x30, 2, 5, 0],
    }
}

/// With everything said of it that may be said.
pub(crate) fn whole(label: &str) -> CertificateTemplate {
    let date = |digits: &[u8; 8]| CertificateDate::from_digits(*digits);
    let mut template = private(label);
    template.attributes = CertificateAttributes {
        id: vec![1, 2],
        issuer: vec![0x30, 0],
        serial_number: vec![2, 1, 7],
        start_date: date(b"20260101"),
        end_date: date(b"20271231"),
        category: CertificateCategory::Authority,
        copyable: true,
        ..template.attributes
    };
    template.public_key_info = vec![0x30, 0];
    template
}

fn private(label: &str) -> CertificateTemplate {
    let mut template = template(label);
    template.attributes.private = true;
    template
}

fn create(template: CertificateTemplate) -> Command {
    Command::CreateCertificate { template: Box::new(template), trusted: false }
}

fn rename(reference: CertificateReference, label: &str) -> Command {
    let change = CertificateChange { label: Some(label.to_owned()), ..CertificateChange::default() };
    Command::SetCertificate { reference, change }
}

impl World {
    fn made_certificate(&mut self) -> Made {
        let reference = CertificateReference::from_u64(self.reference().as_u64()).unwrap();
        Made::Certificate { reference, check_value: [1, 2, 3] }
    }

    pub(crate) fn certificate(
        &mut self,
        actor: &Actor,
        template: CertificateTemplate,
    ) -> Result<CertificateReference, Status> {
        let made = self.made_certificate();
        match self.done(actor, &create(template), &made)? {
            Reply::Certificate(view) => Ok(view.certificate.reference),
            other => panic!("{other:?}"),
        }
    }

    fn change(&mut self, actor: &Actor, command: &Command) -> Result<(), Status> {
        self.done(actor, command, &Made::Nothing).map(|reply| assert_eq!(reply, Reply::Done))
    }

    fn labels(&self, actor: &Actor) -> Vec<String> {
        let found = find_certificates(&self.state, actor, &CertificateFilter::default(), self.now_ms).unwrap();
        for view in &found {
            let shown = certificate_view(&self.state, actor, view.certificate.reference, self.now_ms).unwrap();
            assert_eq!(shown, *view);
        }
        found.iter().map(|view| view.certificate.template.attributes.label.clone()).collect()
    }

    fn seen(&self, actor: &Actor, reference: CertificateReference) -> Result<(), Status> {
        certificate_view(&self.state, actor, reference, self.now_ms).map(drop).map_err(|refusal| refusal.status)
    }
}

const ANYBODY: Actor = Actor::Anonymous;

#[test]
fn a_certificate_is_its_makers_and_everybody_sees_it_unless_it_is_private() {
    let mut world = World::active();
    let (alice, bob, admin) = (world.crypto_user("alice"), world.crypto_user("bob"), world.admin());
    let open = world.certificate(&alice, template("open")).unwrap();
    let hidden = world.certificate(&alice, private("hidden")).unwrap();
    assert_eq!(world.labels(&alice), ["open", "hidden"]);
    for actor in [&bob, &admin, &ANYBODY] {
        assert_eq!(world.labels(actor), ["open"], "{actor:?}");
        assert_eq!(world.seen(actor, hidden), Err(Status::CertificateUnknown));
    }
    let view = certificate_view(&world.state, &ANYBODY, open, world.now_ms).unwrap();
    assert_eq!((view.owner, view.certificate.check_value), (Some(name("alice")), [1, 2, 3]));
    for command in [rename(open, "mine"), Command::DeleteCertificate(open)] {
        for actor in [&bob, &ANYBODY] {
            assert_eq!(world.change(actor, &command), Err(Status::CertificateProtected), "{actor:?}");
        }
        assert_eq!(world.change(&admin, &command), Err(Status::RoleNotPermitted));
    }
    // What they may not see is not there.
    for command in [rename(hidden, "mine"), Command::DeleteCertificate(hidden)] {
        for actor in [&bob, &ANYBODY] {
            assert_eq!(world.change(actor, &command), Err(Status::CertificateUnknown), "{actor:?}");
        }
    }
    world.change(&alice, &rename(open, "renamed")).unwrap();
    assert_eq!(world.labels(&ANYBODY), ["renamed"]);
    for reference in [open, hidden] {
        world.change(&alice, &Command::DeleteCertificate(reference)).unwrap();
        assert_eq!(world.change(&alice, &Command::DeleteCertificate(reference)), Err(Status::CertificateUnknown));
    }
    assert_eq!(world.labels(&alice), [""; 0]);
}

#[test]
fn what_nobody_owns_is_anybodys_and_never_lasts_against_everybodys_will() {
    let mut world = World::active();
    let (alice, admin) = (world.crypto_user("alice"), world.admin());
    let one = world.certificate(&ANYBODY, template("one")).unwrap();
    assert_eq!(certificate_view(&world.state, &alice, one, world.now_ms).unwrap().owner, None);
    world.change(&alice, &rename(one, "by alice")).unwrap();
    world.change(&ANYBODY, &rename(one, "by anybody")).unwrap();
    assert_eq!(world.change(&admin, &rename(one, "by admin")), Err(Status::RoleNotPermitted));
    world.change(&alice, &Command::DeleteCertificate(one)).unwrap();
    let mut lasting = template("lasting");
    lasting.attributes.destroyable = false;
    for refused in [private("hidden"), lasting] {
        assert_eq!(world.certificate(&ANYBODY, refused.clone()), Err(Status::TemplateInconsistent));
        world.certificate(&alice, refused).unwrap();
    }
    assert_eq!(world.certificate(&admin, template("by admin")), Err(Status::RoleNotPermitted));
    let mut fixed = template("fixed");
    fixed.attributes.modifiable = false;
    let fixed = world.certificate(&ANYBODY, fixed).unwrap();
    assert_eq!(world.change(&ANYBODY, &rename(fixed, "new")), Err(Status::CertificateProtected));
    world.change(&ANYBODY, &Command::DeleteCertificate(fixed)).unwrap();
}

#[test]
fn attributes_protect_a_certificate_from_its_owner_too() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut fixed = template("fixed");
    (fixed.attributes.modifiable, fixed.attributes.destroyable) = (false, false);
    let fixed = world.certificate(&alice, fixed).unwrap();
    assert_eq!(world.change(&alice, &rename(fixed, "new")), Err(Status::CertificateProtected));
    assert_eq!(world.change(&alice, &Command::DeleteCertificate(fixed)), Err(Status::CertificateProtected));
    assert_eq!(world.labels(&alice), ["fixed"]);
}

#[test]
fn what_may_be_said_anew_and_what_may_not() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let reference = world.certificate(&alice, template("one")).unwrap();
    let change = CertificateChange {
        label: Some("two".into()),
        id: Some(vec![1]),
        issuer: Some(vec![2]),
        serial_number: Some(vec![3]),
    };
    world.change(&alice, &Command::SetCertificate { reference, change: change.clone() }).unwrap();
    let found = world.state.certificate(reference).unwrap().template.clone();
    let attributes = CertificateAttributes {
        label: "two".into(),
        id: vec![1],
        issuer: vec![2],
        serial_number: vec![3],
        ..template("one").attributes
    };
    assert_eq!(found, CertificateTemplate { attributes, ..template("one") });
    // Nothing new writes no record but the receipt.
    let records = world.state.certificates().cloned().collect::<Vec<_>>();
    for change in [change, CertificateChange::default()] {
        world.change(&alice, &Command::SetCertificate { reference, change }).unwrap();
        assert_eq!(world.state.certificates().cloned().collect::<Vec<_>>(), records);
    }
    let too_long = CertificateChange { id: Some(vec![1; 129]), ..CertificateChange::default() };
    let too_long = Command::SetCertificate { reference, change: too_long };
    assert_eq!(world.change(&alice, &too_long), Err(Status::AttributeValueInvalid));
    let unknown = CertificateReference::from_u64(reference.as_u64() + 1).unwrap();
    assert_eq!(world.change(&alice, &rename(unknown, "new")), Err(Status::CertificateUnknown));
}

#[test]
fn what_is_no_certificate_and_what_would_be_trusted_is_refused() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let mut check = |change: &dyn Fn(&mut CertificateTemplate), status| {
        let mut template = template("one");
        change(&mut template);
        for actor in [&alice, &ANYBODY] {
            assert_eq!(world.certificate(actor, template.clone()), Err(status));
        }
    };
    check(&|template| template.value = vec![0x30, 1], Status::AttributeValueInvalid);
    check(&|template| template.value.clear(), Status::AttributeValueInvalid);
    check(&|template| template.attributes.subject.clear(), Status::AttributeValueInvalid);
    check(&|template| template.attributes.label = "x".repeat(128), Status::AttributeValueInvalid);
    let trusted = Command::CreateCertificate { template: Box::new(template("one")), trusted: true };
    let (admin, made) = (world.admin(), world.made_certificate());
    assert_eq!(world.done(&alice, &trusted, &made), Err(Status::AttributeReadOnly));
    assert_eq!(world.done(&admin, &trusted, &made), Err(Status::RoleNotPermitted));
    let mut old = World::of(HsmType::Hsm1Medium, ClusterMode::Fips);
    let alice = old.crypto_user("alice");
    let reference = CertificateReference::from_u64(7).unwrap();
    assert_eq!(old.certificate(&alice, template("one")), Err(Status::CertificatesNotOfType));
    for command in [rename(reference, "new"), Command::DeleteCertificate(reference)] {
        assert_eq!(old.change(&ANYBODY, &command), Err(Status::CertificatesNotOfType));
    }
    assert_eq!(old.seen(&ANYBODY, reference), Err(Status::CertificatesNotOfType));
    let found = find_certificates(&old.state, &alice, &CertificateFilter::default(), old.now_ms);
    assert_eq!(found.unwrap_err().status, Status::CertificatesNotOfType);
}

#[test]
fn there_are_so_many_and_strangers_make_a_part_of_them() {
    let mut world = World::active();
    let (alice, bob, carol) = (world.crypto_user("alice"), world.crypto_user("bob"), world.crypto_user("carol"));
    for _ in 0..CERTIFICATES_OF_NOBODY_MAX {
        world.certificate(&ANYBODY, template("nobody's")).unwrap();
    }
    assert_eq!(world.certificate(&ANYBODY, template("nobody's")), Err(Status::CertificatesFull));
    for number in CERTIFICATES_OF_NOBODY_MAX..CERTIFICATES_MAX {
        world.certificate(if number % 2 == 0 { &alice } else { &bob }, template("a user's")).unwrap();
    }
    assert_eq!(world.certificate(&carol, template("carol's")), Err(Status::CertificatesFull));
    let first = world.state.certificates().find(|one| one.owner.is_none()).unwrap().reference;
    world.change(&ANYBODY, &Command::DeleteCertificate(first)).unwrap();
    world.certificate(&carol, template("carol's")).unwrap();
    // One of nobody's went, but there is no room at all.
    assert_eq!(world.certificate(&ANYBODY, template("nobody's")), Err(Status::CertificatesFull));
}

/// Certificates that only their owner could delete, and may not, take no room from others.
#[test]
fn each_user_makes_a_part_of_them() {
    let mut world = World::active();
    let (alice, bob) = (world.crypto_user("alice"), world.crypto_user("bob"));
    let mut lasting = template("lasting");
    lasting.attributes.destroyable = false;
    let last = world.certificate(&alice, template("last")).unwrap();
    for _ in 1..CERTIFICATES_EACH_MAX {
        world.certificate(&alice, lasting.clone()).unwrap();
    }
    for full in [lasting, private("private"), template("plain")] {
        assert_eq!(world.certificate(&alice, full), Err(Status::CertificatesFull));
    }
    world.certificate(&bob, template("bob's")).unwrap();
    world.certificate(&ANYBODY, template("nobody's")).unwrap();
    world.change(&alice, &Command::DeleteCertificate(last)).unwrap();
    world.certificate(&alice, template("again")).unwrap();
}

#[test]
fn certificates_go_with_their_user_in_one_batch_and_nobody_elses_do() {
    let mut world = World::active();
    let (alice, bob, admin) = (world.crypto_user("alice"), world.crypto_user("bob"), world.admin());
    let (keep, request) = (world.certificate(&bob, template("bob's")).unwrap(), world.request());
    let made = world.made_certificate();
    world.again(&alice, &create(private("first")), &made, &request).unwrap();
    let mut lasting = template("lasting");
    lasting.attributes.destroyable = false;
    for _ in 1..CERTIFICATES_EACH_MAX {
        world.certificate(&alice, lasting.clone()).unwrap();
    }
    assert_eq!(world.state.certificates().count(), 1 + CERTIFICATES_EACH_MAX);
    let delete = Command::DeleteUser { name: name("alice"), role: Role::CryptoUser };
    let before = world.state.clone();
    world.done(&admin, &delete, &Made::Nothing).unwrap();
    assert_eq!(world.state.revision(), before.revision().next(), "one batch");
    assert_eq!(world.state.certificates().map(|one| one.reference).collect::<Vec<_>>(), [keep]);
    // Nor does who made them ask for them again.
    assert_eq!(world.again(&alice, &create(private("first")), &made, &request), Err(Status::LoginEnded));
}

/// A login that has ended is not the same as none: nothing is done, or shown, for it.
#[test]
fn a_login_must_stand_although_none_is_needed() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let reference = world.certificate(&alice, template("one")).unwrap();
    let (request, made) = (world.request(), world.made_certificate());
    world.again(&alice, &create(template("two")), &made, &request).unwrap();
    world.done(&alice, &Command::Logout, &Made::Nothing).unwrap();
    assert_eq!(world.seen(&alice, reference), Err(Status::LoginEnded));
    let found = find_certificates(&world.state, &alice, &CertificateFilter::default(), world.now_ms);
    assert_eq!(found.unwrap_err().status, Status::LoginEnded);
    assert_eq!(world.certificate(&alice, template("three")), Err(Status::LoginEnded));
    for command in [rename(reference, "new"), Command::DeleteCertificate(reference)] {
        assert_eq!(world.change(&alice, &command), Err(Status::LoginEnded));
    }
    assert_eq!(world.again(&alice, &create(template("two")), &made, &request), Err(Status::LoginEnded));
    // Another login of the same user goes on where that one ended, and another user, or nobody, does not.
    let again = world.login("alice", Role::CryptoUser);
    let Ok(Reply::Certificate(view)) = world.again(&again, &create(template("two")), &made, &request) else { panic!() };
    assert_eq!(view.certificate.template, template("two"));
    let bob = world.crypto_user("bob");
    for other in [&bob, &ANYBODY] {
        assert_eq!(world.again(other, &create(template("two")), &made, &request), Err(Status::RequestIdReused));
    }
    assert_eq!(world.state.certificates().count(), 2);
}

#[test]
fn a_change_acts_once() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    for actor in [&alice, &ANYBODY] {
        let (request, made) = (world.request(), world.made_certificate());
        let first = world.again(actor, &create(template("one")), &made, &request).unwrap();
        let other = world.made_certificate();
        assert_eq!(world.again(actor, &create(template("one")), &other, &request), Ok(first));
        let Made::Certificate { reference, .. } = made else { panic!() };
        let commands = [rename(reference, "two"), Command::DeleteCertificate(reference)];
        for command in commands {
            let request = world.request();
            let draft = |world: &World| {
                let mut draft = Draft::new(world.state.clone());
                draft.plan(actor, &command, &Made::Nothing, &request, world.now_ms).unwrap()
            };
            let Plan::Change(planned) = draft(&world) else { panic!("{command:?}") };
            assert_eq!(planned.effect, Effect::Revoking);
            world.again(actor, &command, &Made::Nothing, &request).unwrap();
            let Plan::Replayed(replayed) = draft(&world) else { panic!("{command:?}") };
            assert_eq!((replayed.reply, replayed.effect), (Reply::Done, Effect::Revoking));
        }
        // A repeat of the creation that comes late makes none again.
        let late = world.again(actor, &create(template("one")), &other, &request);
        assert_eq!(late, Err(Status::CertificateUnknown));
        assert_eq!(world.state.certificates().count(), 0);
    }
    world.now_ms += 2 * HOUR;
    let reference = world.certificate(&ANYBODY, template("old")).unwrap();
    world.now_ms += 2 * HOUR;
    let receipts = world.state.receipts.len();
    world.change(&ANYBODY, &Command::DeleteCertificate(reference)).unwrap();
    assert!(world.state.receipts.len() <= receipts + 1, "its creation is long ago");
}

#[test]
fn a_reference_is_a_keys_or_a_certificates() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let key = world.aes_reference(&alice, &[]);
    let certificate = world.certificate(&alice, template("one")).unwrap();
    let plan = |world: &mut World, command: &Command, made: &Made| {
        let request = world.request();
        Draft::new(world.state.clone()).plan(&alice, command, made, &request, world.now_ms).map(drop)
    };
    for taken in [key.as_u64(), certificate.as_u64()] {
        let reference = CertificateReference::from_u64(taken).unwrap();
        let made = Made::Certificate { reference, check_value: [0; 3] };
        assert_eq!(plan(&mut world, &create(template("two")), &made), Err(PlanError::DrawAgain));
        let Made::Secret(secret) = world.made_secret(KeyType::Aes) else { panic!() };
        let reference = KeyReference::from_u64(taken).unwrap();
        let generate = Command::GenerateSecret {
            key_type: KeyType::Aes,
            length_bytes: 32,
            template: Template::new(),
            share_with: Vec::new(),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let made = Made::Secret(crate::MadeSecret { reference, ..secret });
        assert_eq!(plan(&mut world, &generate, &made), Err(PlanError::DrawAgain));
    }
}

#[test]
fn what_a_clone_begins_with_has_the_certificates() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    world.certificate(&alice, private("hidden")).unwrap();
    world.certificate(&ANYBODY, template("open")).unwrap();
    world.pair(&alice, &P256);
    let clone = World::clone_of(&world);
    assert!(clone.state.certificates().eq(world.state.certificates()));
    assert_eq!(clone.labels(&ANYBODY), ["open"]);
}

#[test]
fn a_store_in_which_they_cannot_stand_is_damaged() {
    let mut world = World::active();
    let alice = world.crypto_user("alice");
    let reference = world.certificate(&alice, template("one")).unwrap();
    let certificate = Certificate::clone(world.state.certificate(reference).unwrap());
    let batch = |puts: Vec<Record>, deletes: Vec<RecordPath>| Batch {
        revision: world.state.revision().next(),
        time_ms: world.now_ms,
        puts,
        deletes,
    };
    let admin = world.state.user_named(&name("admin")).unwrap().id;
    for owner in [UserId::from_bytes([9; 16]), admin] {
        let mut state = world.state.clone();
        let moved = Certificate { owner: Some(owner), ..certificate.clone() };
        let outcome = apply(&mut state, &batch(vec![Record::Certificate(moved)], Vec::new()));
        assert_eq!(outcome, Err(CorruptState::CertificateOwner(reference)));
        assert_eq!(state, world.state);
    }
    let owner = certificate.owner.unwrap();
    let user = RecordPath { kind: RecordKind::User, id: *owner.as_bytes() };
    let mut state = world.state.clone();
    assert_eq!(apply(&mut state, &batch(Vec::new(), vec![user])), Err(CorruptState::OwnerGone(owner)));
    // Nor may there be a private one of nobody.
    let creation = Creation { request: RequestId::from_bytes([1; 16]), ..certificate.creation };
    let hidden = Certificate { owner: None, template: private("hidden"), creation, ..certificate };
    let record = Record::Certificate(hidden);
    assert!(Record::decode(record.path(), world.state.revision(), record.encode().expose()).is_err());
}
