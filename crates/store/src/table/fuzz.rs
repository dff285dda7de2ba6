//! For fuzzing: what a member reads of the table that others write.

use strongroom_types::{HsmId, Incarnation, Revision};

use super::layout::{self, Fixed, Occupant};

/// What the first bytes of a table say: none when they are no table's of this version.
pub fn table_id(bytes: &[u8]) -> Option<[u8; 16]> {
    match layout::read_fixed(bytes) {
        Fixed::Table { table_id } => Some(table_id),
        Fixed::TooNew(_) | Fixed::Foreign => None,
    }
}

/// The first bytes of a table.
pub fn table(id: [u8; 16]) -> Vec<u8> {
    layout::fixed_bytes(id).to_vec()
}

/// Whom a slot of these bytes names, and what it has applied; none when it is empty or being written.
pub fn slot(bytes: &[u8; layout::SLOT_LEN]) -> Option<(Option<HsmId>, Revision)> {
    layout::slot_of(bytes).read().map(|occupant| (occupant.hsm_id, occupant.applied))
}

/// Whether a slot of these bytes shows this member when it was written for it, whatever was there before.
pub fn overwritten(bytes: &[u8; layout::SLOT_LEN], hsm_id: HsmId) -> bool {
    let slot = layout::slot_of(bytes);
    let occupant = Occupant {
        hsm_id: Some(hsm_id),
        incarnation: Incarnation::from_bytes([7; 16]),
        pid: 1,
        start_time: 2,
        applied: Revision(3),
        heartbeat: 4,
    };
    slot.write(Some(&occupant));
    slot.read() == Some(occupant)
}
