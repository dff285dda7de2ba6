//! `cargo xtask chaos`: three real HSMs of one host under random faults, while clients sign, create, share, unshare, label,
//! delete, change passwords, log in and out; then the recorded history is held against the store's promise
//! (`docs/internals/chaos.md`).

mod actor;
mod admin;
mod caller;
mod crew;
mod ending;
mod nemesis;
mod place;
mod prober;
mod random;
mod recorder;
mod report;
mod user;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Parser;
use strongroom_sim::history::Register;
use strongroom_tests::World;

use crate::actor::Actor;
use crate::caller::Caller;
use crate::crew::{Crew, Person};
use crate::nemesis::{LEASE_MS, Nemesis};
use crate::place::{Found, Place};
use crate::prober::{Prober, Tickets};
use crate::random::Random;
use crate::recorder::{Recorder, write};

/// HSMs of the cluster.
const HSMS: &str = "3";
/// Crypto users who stay, beside the one that `up` makes.
const OWNERS: u32 = 3;
/// Clients that work as guests.
const GUEST_CLIENTS: u32 = 2;
/// How long clients go on after the cluster is whole again.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// How often setting up tries what the cluster must give at once.
const TRIES: u32 = 5;

/// Real HSMs under random faults, and a verdict on what their clients saw.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Arguments {
    /// How long the faults last
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Chooses faults and requests; real processes make something else of it each time
    #[arg(long)]
    seed: Option<u64>,
    /// Keep history and logs also when every promise was kept
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let outcome = match (words.next(), words.next()) {
        (Some(first), Some(home)) if first == caller::CLIENT => {
            caller::serve(Path::new(&home)).map(|()| ExitCode::SUCCESS)
        }
        _ => find_place(&Arguments::parse()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn find_place(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let crew = Crew::new();
    // Also where only the run in a namespace is waited for: that one ends, and says what it saw.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&crew.stop)).context("a signal")?;
    let place = match Place::find()? {
        Found::Elsewhere(code) => return Ok(code),
        Found::Here(place) => place,
    };
    if let Place::Shared(why) = &place {
        eprintln!("chaos: no disk of our own, so that none gets full ({why}); run as root, or allow user namespaces");
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
    let seed = arguments.seed.unwrap_or(u64::from(clock.subsec_nanos()) ^ clock.as_secs());
    eprintln!("chaos: {} minutes, seed {seed}", arguments.minutes);
    let world = World::with(&["--hsms", HSMS, "--password-iterations", "1000", "--lease-ms", &LEASE_MS.to_string()]);
    run(&world, &place, &crew, (seed, arguments.keep), Duration::from_secs_f64(arguments.minutes * 60.0))
}

/// Everybody who works.
struct Staff {
    admin: Arc<Person>,
    warden: Arc<Person>,
    owners: Vec<Arc<Person>>,
    /// One signs, one makes changes.
    meters: [Arc<Person>; 2],
}

fn run(
    world: &World,
    place: &Place,
    crew: &Crew,
    (seed, keep): (u64, bool),
    time: Duration,
) -> anyhow::Result<ExitCode> {
    let recorder = Recorder::new();
    let staff = hire(world, &recorder, crew, seed)?;
    let watched: Vec<Arc<Person>> = staff.owners.iter().chain(&staff.meters).cloned().collect();
    let (ips, customer_ca, tickets) = (world.hsm_ips(), world.customer_ca(), Tickets::default());
    let mut nemesis =
        Nemesis { world, recorder: &recorder, crew, place, random: Random::new(seed, 1), faults: Default::default() };
    let actor =
        |purpose: u32, caller: Caller| Actor::new(&recorder, crew, Random::new(seed, u64::from(purpose)), caller);
    let home = world.home();
    let whole = std::thread::scope(|scope| {
        // Half of the clients live in processes of their own.
        let caller = |number: u32| if number.is_multiple_of(2) { Caller::here(&home) } else { Caller::there(&home) };
        let mut callers = Vec::new();
        for number in 0..5 + OWNERS + GUEST_CLIENTS {
            callers.push(actor(100 + number, caller(number)?));
        }
        let mut actors = callers.into_iter();
        let mut next = || actors.next().expect("as many as there is work for");
        let (mut first, mut second) = (next(), next());
        scope.spawn(move || admin::work(&mut first, &staff.admin, false));
        let warden = Arc::clone(&staff.warden);
        scope.spawn(move || admin::work(&mut second, &warden, true));
        for owner in staff.owners {
            let mut actor = next();
            scope.spawn(move || user::work(&mut actor, Some(&owner)));
        }
        for _ in 0..GUEST_CLIENTS {
            let mut actor = next();
            scope.spawn(move || user::work(&mut actor, None));
        }
        for (meter, signs) in staff.meters.into_iter().zip([true, false]) {
            let mut actor = next();
            scope.spawn(move || user::measure(&mut actor, &meter, signs));
        }
        for (number, ip) in (0_u64..).zip(&ips) {
            let random = Random::new(seed, 200 + number);
            let prober = |random| Prober::new((&recorder, crew, &tickets), ip.clone(), &customer_ca, random);
            let mut quick = prober(random);
            scope.spawn(move || quick.work());
            for (person, purpose) in watched.iter().zip(300 + 100 * number..) {
                let mut watcher = prober(Random::new(seed, purpose));
                scope.spawn(move || watcher.watch(person));
            }
        }
        recorder.count_from_now();
        let whole = strike(&mut nemesis, &ips, time);
        crew.stop.store(true, Ordering::Relaxed);
        anyhow::Ok(whole)
    })?;
    let mut violations = Vec::new();
    match whole {
        Ok(()) => {
            let admin = crew.people().into_iter().find(|person| person.name == world.text("/admin/username"));
            let admin = admin.context("the admin")?;
            violations = ending::read_everything((&recorder, crew), (&ips, &customer_ca), &admin);
        }
        Err(error) => recorder.problem(format!("{error:#}")),
    }
    verdict(&recorder, &nemesis, violations, (seed, keep))
}

/// The faults, then peace; an error if the cluster does not become whole again.
fn strike(nemesis: &mut Nemesis<'_>, ips: &[String], time: Duration) -> anyhow::Result<()> {
    let (began, recorder) = (Instant::now(), nemesis.recorder);
    let until = began + time;
    let world = nemesis.world;
    std::thread::scope(|scope| {
        let faults = scope.spawn(|| nemesis.work(until));
        let mut told = Instant::now();
        while !faults.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            if told.elapsed() >= report::pace() {
                told = Instant::now();
                report::progress(&recorder.recorded(), began.elapsed(), time);
            }
        }
    });
    eprintln!("chaos: no more faults");
    recorder.note("no more faults".to_owned());
    let whole = ending::wait_until_whole(world, ips);
    std::thread::sleep(AFTERWARDS);
    recorder.count_until_now();
    whole
}

/// The users of the run.
fn hire(world: &World, recorder: &Recorder, crew: &Crew, seed: u64) -> anyhow::Result<Staff> {
    let given = |who: &str, admin: bool| {
        let (name, password) = (world.text(&format!("/{who}/username")), world.text(&format!("/{who}/password")));
        let number = crew.number();
        recorder.given(&format!("strongroom up made {name}"), vec![write(Register::User(number), 1)]);
        crew.add_person(Person::new(number, name, admin, Some(password)))
    };
    let admin = given("admin", true);
    let mut owners = vec![given("crypto_user", false)];
    let mut actor = Actor::new(recorder, crew, Random::new(seed, 2), Caller::here(&world.home())?);
    let logged_in = (0..TRIES).any(|_| actor.log_in_with(&admin, 0).is_ok());
    ensure!(logged_in, "the admin cannot log in");
    let mut make = |person: Person| {
        let person = crew.add_person(person);
        let made = (0..TRIES).any(|_| admin::make(&mut actor, &person).is_ok());
        ensure!(made, "the user {} cannot be made", person.name);
        anyhow::Ok(person)
    };
    let new = |name: &str, is_admin| Person::new(crew.number(), name.to_owned(), is_admin, None);
    let warden = make(new("warden", true))?;
    for number in 1..=OWNERS {
        owners.push(make(new(&format!("owner-{number}"), false))?);
    }
    let meters = [make(new("meter-1", false).let_be())?, make(new("meter-2", false).let_be())?];
    Ok(Staff { admin, warden, owners, meters })
}

fn verdict(
    recorder: &Recorder,
    nemesis: &Nemesis<'_>,
    mut violations: Vec<strongroom_sim::history::Violation>,
    (seed, keep): (u64, bool),
) -> anyhow::Result<ExitCode> {
    let recorded = recorder.recorded();
    let began = Instant::now();
    violations.extend(recorded.history.check());
    let checked = format!("{} operations checked in {:?}", recorded.history.operations().len(), began.elapsed());
    let summary = report::summary(&recorded, &nemesis.faults, &violations);
    println!("{summary}{checked}");
    let kept = violations.is_empty() && recorded.problems.is_empty();
    let where_to = match kept && !keep {
        true => String::new(),
        false => {
            let folder = report::keep(seed, &summary, &recorded, &nemesis.world.state())?;
            format!("; the history and the HSMs' logs are in {}", folder.display())
        }
    };
    let verdict = if kept { "every promise was kept" } else { "A PROMISE WAS BROKEN" };
    println!("verdict: {verdict} (seed {seed}){where_to}");
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
