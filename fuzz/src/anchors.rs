//! The slots of an anchor file: what no HSM of the cluster wrote is no anchor.

use std::sync::LazyLock;

use strongroom_core::member::Anchor;
use strongroom_hsm::cluster::AnchorSlots;
use strongroom_types::Revision;

use crate::raw_or_edited;

static VALID: LazyLock<(AnchorSlots, Anchor, Vec<u8>)> = LazyLock::new(|| {
    let slots = AnchorSlots::generate("cluster-abcdefghijk".parse().unwrap());
    let anchor = Anchor { epoch: 3, revision: Revision(99), head_digest: [7; 32] };
    let slot = slots.encode(&anchor);
    (slots, anchor, slot)
});

/// The target.
pub fn run(data: &[u8]) {
    let (slots, anchor, valid) = &*VALID;
    let slot = raw_or_edited(valid, data);
    assert_eq!(slots.decode(&slot), (slot == *valid).then_some(*anchor));
}

/// To begin with: the slot as it is, changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[])
}
