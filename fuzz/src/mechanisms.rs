//! `CK_MECHANISM` as programs pass it to the PKCS #11 library: structures that point to others, in a memory that is the input
//! itself.

/// Where that memory begins.
const BASE: usize = 0x1000;

/// The target. The first byte chooses the mechanism, the second how much of the memory is the parameter.
pub fn run(data: &[u8]) {
    let [place, len, memory @ ..] = data else { return };
    // Structures are made of words; other lengths are of initialisation vectors, or wrong.
    let len = match len % 4 {
        0 => usize::from(*len / 4),
        _ => usize::from(*len / 4) * 8,
    };
    let known = cloudhsm_pkcs11::mechanism_in(usize::from(*place), len as u64, memory);
    if let Some(name) = known {
        assert!(name.starts_with("CKM_") && len <= memory.len());
    }
    // A parameter that is cut off is none, or another one.
    for cut in [0, 1, 7, 8] {
        let _ = cloudhsm_pkcs11::mechanism_in(usize::from(*place), cut, memory);
    }
}

/// A structure of these words, and what they point to behind it.
fn structure(words: &[usize], behind: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(behind.iter().copied()).collect()
}

/// Every mechanism with every parameter that is one of some mechanism.
pub fn seeds() -> Vec<Vec<u8>> {
    let behind = |words: usize| BASE + 8 * words;
    let field = |kind: usize, at: usize, len: usize| [kind, at, len];
    let newer = [&[0x251, 2, behind(3)][..], &field(1, behind(9), 8), &field(3, behind(9), 8), &[32]].concat();
    let older = [&[0x251, 2, behind(3)][..], &field(4, behind(9), 8), &field(7, behind(10), 16), &[32, 1, 32]].concat();
    let parameters = [
        (0, Vec::new()),
        (8, vec![0xa6; 8]),
        (16, vec![7; 16]),
        (24, structure(&[32, 0, 0], &[])),
        (48, structure(&[behind(6), 12, 96, behind(6), 5, 128], &[9; 12])),
        (48, structure(&[0, 0, 0, behind(6), 5, 96], &[9; 12])),
        (24, structure(&[0x250, 2, 32], &[])),
        (40, structure(&[0x250, 2, 1, 0, 0], &[])),
        (16, structure(&[256, behind(2), 0x250, 2, 0, 0, 0], &[])),
        (24, structure(&[1, 0, 0], &[])),
        (40, structure(&[1, 0, 0, 65, behind(5)], &[4; 65])),
        (40, structure(&[0x8000_0006, 4, behind(5), 65, behind(5)], &[4; 65])),
        (24, structure(&newer, &[])),
        (24, structure(&older, &[])),
    ];
    let places = 0..u8::try_from(cloudhsm_pkcs11::MECHANISMS).expect("fewer than 256");
    let seed =
        |place: u8, (len, memory): &(u8, Vec<u8>)| [&[place, len / 8 * 4 + u8::from(*len > 0)], &memory[..]].concat();
    places
        .flat_map(|place| parameters.iter().map(move |parameter| seed(place, parameter)).collect::<Vec<_>>())
        .collect()
}
