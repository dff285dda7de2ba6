//! Templates as programs pass them to the PKCS #11 library.

use std::collections::BTreeSet;

/// `C_GenerateKeyPair` of the private half of an EC pair, whose template needs no attribute.
const PRIVATE_HALF: u8 = 3;

/// The target.
pub fn run(data: &[u8]) {
    if let Some(template) = cloudhsm_pkcs11::template_in(data) {
        // What is told to the HSM it can be told: every attribute once, few enough for a request.
        let names: BTreeSet<_> = template.iter().map(|(name, _)| *name).collect();
        assert!(names.len() == template.len() && template.len() <= strongroom_types::limits::TEMPLATE_LEN_MAX);
    }
}

/// Every call and kind with no attribute, and with each attribute in each size of value.
pub fn seeds() -> Vec<Vec<u8>> {
    let values: [&[u8]; 6] = [&[], &[1], &[0], &[32, 0, 0, 0, 0, 0, 0, 0], &[6, 3, 0x2b, 0x65, 0x70], b"20260131"];
    let places = 0..u8::try_from(cloudhsm_pkcs11::template_kinds()).expect("fewer than 256");
    let attribute = |place: u8, value: &[u8]| [&[place, u8::try_from(value.len()).expect("short")], value].concat();
    let alone = (0..45).map(|choice| vec![choice]);
    let single =
        places.clone().flat_map(|place| values.map(|value| [vec![PRIVATE_HALF], attribute(place, value)].concat()));
    let whole = (0..45).map(|choice: u8| {
        let all = places.clone().flat_map(|place| attribute(place, values[3]));
        [vec![choice], all.collect()].concat()
    });
    alone.chain(single).chain(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_templates_that_are_taken() {
        let taken = seeds().iter().filter(|seed| cloudhsm_pkcs11::template_in(seed).is_some()).count();
        assert!(taken > 40, "{taken}");
    }
}
