//! The supervisor with small real children.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::thread::{self, JoinHandle};

use super::*;

struct World {
    _place: tempfile::TempDir,
    folder: StateFolder,
    hsms: Vec<HsmId>,
    stop: UnixStream,
    hurry: UnixStream,
    thread: Option<JoinHandle<Result<(), ExpectedError>>>,
}

impl World {
    fn start(program: &str, arguments: fn(&Path) -> Vec<OsString>, count: u8) -> World {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let hsms: Vec<_> = (1..=count).map(|n| HsmId::from_random([n; 7])).collect();
        for hsm in &hsms {
            fs::create_dir_all(folder.hsm(hsm)).expect("made");
        }
        let (stop, stop_end) = UnixStream::pair().expect("a pair");
        let (hurry, hurry_end) = UnixStream::pair().expect("a pair");
        let launch = Launch { program: program.into(), arguments };
        let supervisor = Supervisor::new(folder.clone(), launch, hsms.clone()).expect("a supervisor");
        let requests = Requests { stop: stop_end, hurry: hurry_end };
        let thread = Some(thread::spawn(move || supervisor.run(&requests)));
        World { _place: place, folder, hsms, stop, hurry, thread }
    }

    fn sleeping(count: u8) -> World {
        World::start("/bin/sleep", |_| vec!["1000".into()], count)
    }

    /// Waits until the report is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Running) -> bool) -> Running {
        let deadline = Deadline::after_seconds(10);
        loop {
            let running = Running::read(&self.folder).expect("readable");
            if let Some(running) = running
                && wanted(&running)
            {
                return running;
            }
            assert!(deadline.pause(), "waited too long until {what}");
        }
    }

    fn all_run(&self) -> Running {
        self.until("all run", |running| running.hsms.iter().all(|hsm| hsm.process.is_some()))
    }

    fn process(run: &HsmRun) -> Process {
        run.process.expect("it runs").find().expect("opened").expect("it runs")
    }

    fn stop(mut self) {
        self.stop.write_all(b"x").expect("asked");
        self.thread.take().expect("not stopped yet").join().expect("no panic").expect("stopped");
        assert!(!self.folder.serve_file().exists());
    }
}

#[test]
fn hsms_are_started_and_stopped() {
    let world = World::sleeping(3);
    let running = world.all_run();
    let processes: Vec<_> = running.hsms.iter().map(World::process).collect();
    assert_eq!(
        running.hsms.iter().filter_map(|hsm| hsm.process.map(|process| process.pid)).collect::<HashSet<_>>().len(),
        3
    );
    assert_eq!(running.hsm(&world.hsms[1]).expect("listed").ends, 0);
    world.stop();
    for process in processes {
        assert!(process.wait(Duration::ZERO).expect("looked"), "{} still runs", process.pid());
    }
}

#[test]
fn one_that_is_killed_is_started_again_and_the_others_are_left_alone() {
    let world = World::sleeping(2);
    let before = world.all_run();
    World::process(&before.hsms[0]).kill().expect("killed");
    let after = world.until("it runs again", |running| running.hsms[0].ends == 1 && running.hsms[0].process.is_some());
    assert_ne!(after.hsms[0].process, before.hsms[0].process);
    assert_eq!(after.hsms[0].last_end, Some(Exit::Signal(9)));
    assert_eq!(after.hsms[1], before.hsms[1]);
    world.stop();
}

#[test]
fn one_that_ends_at_once_is_tried_with_growing_pauses() {
    let begun = Instant::now();
    let world = World::start("/bin/sh", |_| vec!["-c".into(), "echo why; exit 1".into()], 1);
    world.until("four ends", |running| running.hsms[0].ends >= 4);
    // 50 + 100 + 200 ms of pauses lie between four ends.
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
    assert!(fs::read_to_string(world.folder.hsm_log(&world.hsms[0])).expect("its log").starts_with("why\nwhy\n"));
    world.stop();
}

#[test]
fn a_hopeless_end_rests_for_the_longest_pause_unless_hurried() {
    let mut world = World::start("/bin/sh", |_| vec!["-c".into(), "exit 3".into()], 1);
    let first = world.until("one end", |running| running.hsms[0].ends == 1);
    assert_eq!((first.hsms[0].process, first.hsms[0].last_end), (None, Some(Exit::Code(3))));
    let asked = Instant::now();
    world.hurry.write_all(b"x").expect("asked");
    world.until("a second end", |running| running.hsms[0].ends == 2);
    assert!(asked.elapsed() < PAUSE_MAX, "{:?}", asked.elapsed());
    world.stop();
}

#[test]
fn a_program_that_is_not_there_is_reported() {
    let world = World::start("/nowhere/strongroom-hsm", |_| Vec::new(), 1);
    let running = world.until("one failure", |running| running.hsms[0].ends == 1);
    assert_eq!(running.hsms[0].last_end, Some(Exit::NotStarted));
    world.stop();
}

#[test]
fn one_that_ignores_the_request_to_stop_is_killed_within_its_time() {
    const SCRIPT: &str = "trap '' TERM; echo ready; exec sleep 1000";
    let world = World::start("/bin/sh", |_| vec!["-c".into(), SCRIPT.into()], 1);
    let running = world.all_run();
    let process = World::process(&running.hsms[0]);
    let log = world.folder.hsm_log(&world.hsms[0]);
    let deadline = Deadline::after_seconds(10);
    while fs::read_to_string(&log).unwrap_or_default() != "ready\n" {
        assert!(deadline.pause(), "the child did not get ready");
    }
    let asked = Instant::now();
    world.stop();
    assert!(asked.elapsed() >= ORDERLY_END_MAX, "{:?}", asked.elapsed());
    assert!(process.wait(Duration::ZERO).expect("looked"));
}

#[test]
fn a_supervisor_is_found_only_while_it_holds_its_lock_and_is_the_process_it_says() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = StateFolder::prepare(place.path()).expect("prepared");
    assert!(find(&folder).expect("looked").is_none(), "no lock file");
    let own = ProcessRecord::of(std::process::id()).expect("own entry");
    Running::new(own, Vec::new()).write(&folder).expect("written");
    assert!(find(&folder).expect("looked").is_none(), "a report without a lock is of the past");
    let held = folder.hold_for_serving().expect("held");
    let (process, _) = find(&folder).expect("looked").expect("found");
    assert_eq!(process.pid(), std::process::id());
    let later = ProcessRecord { started_ticks: own.started_ticks + 1, ..own };
    Running::new(later, Vec::new()).write(&folder).expect("written");
    assert!(
        matches!(find(&folder), Err(ExpectedError::Busy(BusyError::UnknownSupervisor { .. }))),
        "a later process with the same pid is not the supervisor"
    );
    assert!(matches!(folder.hold_for_serving(), Err(ExpectedError::Busy(BusyError::Serving { .. }))));
    drop(held);
    assert!(find(&folder).expect("looked").is_none());
}
