//! The member table: every process of the host writes into it, and whatever stands there is read.

use strongroom_store::fuzz;
use strongroom_types::HsmId;

const SLOT_LEN: usize = 128;

/// The target.
pub fn run(data: &[u8]) {
    if let Some(id) = fuzz::table_id(data) {
        assert_eq!(fuzz::table(id), data);
    }
    let mut slot = [0; SLOT_LEN];
    slot.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    if let Some((Some(hsm_id), _)) = fuzz::slot(&slot) {
        let len = hsm_id.as_str().len();
        assert_eq!(Some(hsm_id.as_str().as_bytes()), slot.get(8..8 + len));
    }
    assert!(fuzz::overwritten(&slot, HsmId::from_random([9; 7])), "a slot is as good as new for who holds its lock");
}

/// To begin with: the first bytes of a table, and a slot.
pub fn seeds() -> Vec<Vec<u8>> {
    let id = HsmId::from_random([9; 7]);
    let mut slot = vec![0; SLOT_LEN];
    slot[0] = 2;
    slot[4] = u8::try_from(id.as_str().len()).unwrap();
    slot[8..8 + id.as_str().len()].copy_from_slice(id.as_str().as_bytes());
    slot[72] = 3;
    vec![fuzz::table([7; 16]), slot.clone(), vec![1; SLOT_LEN]]
}
