//! The smoke run of the fuzz targets, without libFuzzer: seeds, what was once found, and changed seeds, the same ones
//! every time. Under libFuzzer, and for longer: `cargo xtask fuzz`.

use std::path::Path;

use strongroom_fuzz_targets::{ALL, Target};

/// A changed seed is at most this long.
const LEN_MAX: usize = 4_096;

/// Numbers without a pattern: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).expect("32 bits fit") % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("it is below 256")
    }
}

/// One change, of the kinds that libFuzzer makes.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    let at = numbers.below(input.len());
    match numbers.below(9) {
        0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
        1 if !input.is_empty() => input[at] = numbers.byte(),
        2 if !input.is_empty() => input[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
        3 => input.truncate(at),
        4 => input.insert(at, numbers.byte()),
        5 if !input.is_empty() => drop(input.remove(at)),
        6 => {
            let run = vec![numbers.byte(); numbers.below(40)];
            input.splice(at..at, run);
        }
        7 if !input.is_empty() => {
            let part = input[at..].to_vec();
            let len = numbers.below(part.len()) + 1;
            let to = numbers.below(input.len());
            input.splice(to..to, part[..len].iter().copied());
        }
        _ => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = numbers.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
    input.truncate(LEN_MAX);
}

fn smoke(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds.iter().for_each(|seed| (target.run)(seed));
    (target.run)(&[]);
    let mut numbers = Numbers(1);
    for _ in 0..target.smoke_runs {
        let mut input = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(4) {
            change(&mut input, &seeds, &mut numbers);
        }
        let run = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(run.is_ok(), "{} fails for the input {}", target.name, hexadecimal(&input));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_target_takes_its_seeds_and_thousands_of_changed_ones() {
    // At most two at once, each target on a thread of its own.
    let targets = std::sync::Mutex::new(ALL.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(target) = targets.lock().expect("no holder of it panics").next() else { return };
                    smoke(target);
                }
            });
        }
    });
}

#[test]
fn what_was_once_found_is_read_without_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    let mut count = 0;
    for target in ALL {
        let Ok(files) = std::fs::read_dir(folder.join(target.name)) else { continue };
        for file in files {
            let input = std::fs::read(file.expect("it is listed").path()).expect("it is readable");
            (target.run)(&input);
            count += 1;
        }
    }
    let known = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    assert!(known == 0 || count > 0, "the folders under {} are named as targets are", folder.display());
}

#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/fuzz_targets");
    let files = std::fs::read_dir(folder).expect("the programs lie beside the targets");
    let mut programs: Vec<_> = files.map(|file| file.expect("it is listed").file_name()).collect();
    programs.sort();
    let expected: Vec<_> = ALL.iter().map(|target| std::ffi::OsString::from(format!("{}.rs", target.name))).collect();
    assert_eq!(programs, expected);
    for target in ALL {
        let manifest = include_str!("../../libfuzzer/Cargo.toml");
        assert!(
            manifest.contains(&format!("name = \"{}\"\n", target.name)),
            "fuzz/libfuzzer/Cargo.toml has no {}",
            target.name
        );
    }
}
