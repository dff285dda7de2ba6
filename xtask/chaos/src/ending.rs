//! When the faults are over: what each HSM says by itself, and whether they all say the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use strongroom_sim::history::{Fact, Register, Rule, Violation};
use strongroom_tests::World;
use strongroom_wire::v1;

use crate::crew::{Crew, Person, of_label};
use crate::nemesis::hsms;
use crate::prober::{Prober, Tickets};
use crate::random::Random;
use crate::recorder::{Recorder, was};

/// How long the cluster may take to be whole again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Keys of each user that sign once more on each HSM.
const SIGNING: usize = 3;

/// Waits until every HSM runs and serves.
pub fn wait_until_whole(world: &World, ips: &[String]) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let serving = serving(world);
        if serving == ips.len() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{serving} of {} HSMs serve {PATIENCE:?} after the last fault", ips.len());
        std::thread::sleep(LOOK);
    }
}

fn serving(world: &World) -> usize {
    let Ok(running) = hsms(world) else { return 0 };
    let status = world.strongroom("status").args(["--output", "json"]).output();
    let Ok(status) = status.map(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout)) else { return 0 };
    let all = status.ok().and_then(|status| status["hsms"].as_array().cloned()).unwrap_or_default();
    all.iter().filter(|hsm| hsm["serving"] == true).count().min(running.len())
}

/// What one HSM lists.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    users: BTreeSet<String>,
    keys: BTreeMap<u64, Shown>,
}

#[derive(Debug, PartialEq, Eq)]
struct Shown {
    label: String,
    owner: String,
    shared_with: BTreeSet<String>,
}

/// Reads everything from each HSM by itself into the history; what contradicts beside that.
pub fn read_everything(
    (recorder, crew): (&Recorder, &Crew),
    (ips, customer_ca): (&[String], &Path),
    admin: &Arc<Person>,
) -> Vec<Violation> {
    let tickets = Tickets::default();
    let mut all: Vec<(&String, Listed)> = Vec::new();
    for ip in ips {
        let mut prober = Prober::new((recorder, crew, &tickets), ip.clone(), customer_ca, Random::new(0, 0));
        let begun = prober.begin_lists();
        if !prober.connect() || !prober.log_in_as(admin, 0) {
            recorder.problem(format!("the HSM at {ip} lets nobody log in after the last fault"));
            continue;
        }
        let Some((users, keys)) = prober.lists() else {
            recorder.problem(format!("the HSM at {ip} lists nothing after the last fault"));
            continue;
        };
        let listed = Listed::of(users, keys);
        prober.listed(begun, facts(crew, &listed));
        use_everything(&mut prober, crew);
        all.push((ip, listed));
    }
    for pair in all.windows(2) {
        if let [(one, first), (other, second)] = pair
            && first != second
        {
            recorder.problem(format!("the HSMs at {one} and {other} differ: {}", difference(first, second)));
        }
    }
    all.first().map(|(_, listed)| made_twice(listed)).unwrap_or_default()
}

impl Listed {
    fn of(users: Vec<v1::User>, keys: Vec<v1::Key>) -> Listed {
        let keys = keys.into_iter().map(|key| {
            let shared_with = key.shared_with.into_iter().collect();
            (key.reference, Shown { label: key.label, owner: key.owner, shared_with })
        });
        Listed { users: users.into_iter().map(|user| user.user_name).collect(), keys: keys.collect() }
    }
}

fn difference(first: &Listed, second: &Listed) -> String {
    let users: Vec<&String> = first.users.symmetric_difference(&second.users).collect();
    let differs = |reference: &&u64| first.keys.get(reference) != second.keys.get(reference);
    let references: BTreeSet<&u64> = first.keys.keys().chain(second.keys.keys()).collect();
    let keys: Vec<String> = references
        .into_iter()
        .filter(differs)
        .map(|reference| format!("{reference:#x}: {:?}, {:?}", first.keys.get(reference), second.keys.get(reference)))
        .collect();
    format!("users {users:?}; keys {keys:?}")
}

/// What the lists of one HSM tell about every user, key, label and share that there ever was.
fn facts(crew: &Crew, listed: &Listed) -> Vec<Fact> {
    let people = crew.people();
    let shown: HashMap<u32, (u64, &Shown)> = listed
        .keys
        .values()
        .filter_map(|shown| of_label(&shown.label).map(|(number, value)| (number, (value, shown))))
        .collect();
    let mut facts = Vec::new();
    for person in &people {
        facts.push(was(Register::User(person.number), listed.users.contains(&person.name).into()));
        for number in person.key_numbers() {
            let Some((value, shown)) = shown.get(&number) else {
                facts.push(was(Register::Key(number), 0));
                continue;
            };
            facts.extend([was(Register::Key(number), 1), was(Register::Label(number), *value)]);
            let others =
                people.iter().filter(|other| other.number != person.number && listed.users.contains(&other.name));
            facts.extend(others.map(|other| {
                let may = shown.shared_with.contains(&other.name);
                was(Register::MayUse { key: number, user: other.number }, may.into())
            }));
        }
    }
    facts
}

/// Every user logs in once more and signs.
fn use_everything(prober: &mut Prober<'_>, crew: &Crew) {
    for person in crew.people().iter().filter(|person| !person.admin && person.stays()) {
        let password = person.newest_password();
        if prober.log_in_as(person, password) {
            let own = crew.keys_of(person);
            let signing: Vec<_> = own.into_iter().filter(|key| key.signs).take(SIGNING).collect();
            prober.sign_with_each(&signing);
        }
    }
}

/// Each label was given to one key, once.
fn made_twice(listed: &Listed) -> Vec<Violation> {
    let mut by_number: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (reference, shown) in &listed.keys {
        if let Some((number, _)) = of_label(&shown.label) {
            by_number.entry(number).or_default().push(*reference);
        }
    }
    let twice = by_number.into_iter().filter(|(_, references)| references.len() > 1);
    twice
        .map(|(number, references)| {
            let references: Vec<String> = references.iter().map(|reference| format!("{reference:#x}")).collect();
            let text = format!("key {number} was made once and is there as {}", references.join(" and "));
            Violation { rule: Rule::ActedTwice, text }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::label;

    fn listed(keys: &[(u64, &str)]) -> Listed {
        let key = |(reference, label): &(u64, &str)| v1::Key {
            reference: *reference,
            label: (*label).to_owned(),
            owner: "alice".to_owned(),
            shared_with: vec!["bob".to_owned()],
            ..v1::Key::default()
        };
        let user = |name: &str| v1::User { user_name: name.to_owned(), ..v1::User::default() };
        Listed::of(vec![user("alice"), user("bob")], keys.iter().map(key).collect())
    }

    #[test]
    fn one_creation_that_acted_twice_is_seen_by_its_label() {
        assert_eq!(made_twice(&listed(&[(1, "k7-0"), (2, "k8-0"), (3, "k77-0")])), []);
        // Also when one of the two was relabelled since.
        let twice = made_twice(&listed(&[(1, "k7-0"), (2, "k8-0"), (3, "k7-5")]));
        assert_eq!(twice.len(), 1);
        assert_eq!(twice[0].rule, Rule::ActedTwice);
        assert!(twice[0].text.contains("0x1 and 0x3"), "{}", twice[0]);
    }

    #[test]
    fn lists_that_differ_are_told_apart() {
        let one = listed(&[(1, "k7-0"), (2, "k8-0")]);
        assert_eq!(one, listed(&[(2, "k8-0"), (1, "k7-0")]));
        let other = listed(&[(1, "k7-0"), (2, "k8-1")]);
        assert_ne!(one, other);
        let difference = difference(&one, &other);
        assert!(
            difference.contains("k8-0") && difference.contains("k8-1") && !difference.contains("k7"),
            "{difference}"
        );
    }

    #[test]
    fn a_list_tells_of_all_that_there_ever_was() {
        let crew = Crew::new();
        let add = |number, name: &str| crew.add_person(Person::new(number, name.to_owned(), false, None));
        let (alice, bob, _carol) = (add(1, "alice"), add(2, "bob"), add(3, "carol"));
        alice.will_make(7);
        bob.will_make(8);
        let facts = facts(&crew, &listed(&[(1, &label(7, 4))]));
        let mut expected = vec![
            was(Register::User(1), 1),
            was(Register::User(2), 1),
            was(Register::User(3), 0),
            was(Register::Key(7), 1),
            was(Register::Label(7), 4),
            was(Register::MayUse { key: 7, user: 2 }, 1),
            was(Register::Key(8), 0),
        ];
        let by_register = |fact: &Fact| fact.register;
        expected.sort_by_key(by_register);
        let mut found = facts;
        found.sort_by_key(by_register);
        assert_eq!(found, expected);
    }
}
