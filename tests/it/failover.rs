//! HSMs that die under HTTPS load.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::Duration;

use strongroom_tests::{Nginx, SiteKey, Tls, World, get, kill, wait_for};

use crate::https::two_sites;

/// Clients at once.
const CLIENTS: usize = 4;
/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests that run until told to stop; every one must succeed.
struct Load {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl Load {
    fn new() -> Load {
        Load { stop: AtomicBool::new(false), done: AtomicUsize::new(0) }
    }

    fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, nginx: &'scope Nginx, sites: [&'scope Path; 2]) {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let tls = if client < 2 { Tls::V12 } else { Tls::V13 };
                while !self.stop.load(Ordering::Relaxed) {
                    let page = get(nginx.port(client % 2), sites[client % 2], tls);
                    if page.code != Some(0) {
                        self.stop.store(true, Ordering::Relaxed);
                        panic!("a request failed: {page:?}\n{}", nginx.log());
                    }
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    /// Waits for so many more requests.
    fn more(&self, count: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + count;
        wait_for("requests", PATIENCE, || {
            assert!(!self.stop.load(Ordering::Relaxed), "a request failed");
            self.done.load(Ordering::Relaxed) >= wanted
        });
    }

    /// Stops the clients when it goes, also when the test fails.
    fn guard(&self) -> impl Drop + '_ {
        struct Guard<'a>(&'a Load);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.stop.store(true, Ordering::Relaxed);
            }
        }
        Guard(self)
    }
}

#[test]
fn no_request_fails_while_one_hsm_is_killed_again_and_again() {
    let world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let load = Load::new();
    std::thread::scope(|scope| {
        let _guard = load.guard();
        load.start(scope, &nginx, [&rsa.0, &ec.0]);
        load.more(20);
        for round in 0..4 {
            let before = world.hsm_pids();
            kill("KILL", before[round % 2]);
            load.more(10);
            // Also for those who come now, with the dead one in their configuration.
            world.data(&["key", "list"]);
            wait_for("the HSM to serve again", PATIENCE, || {
                world.status()["state"] == "ACTIVE" && !world.hsm_pids().contains(&before[round % 2])
            });
            load.more(10);
        }
    });
    assert!(load.done.load(Ordering::Relaxed) >= 100);
}

#[test]
fn no_request_fails_while_one_hsm_stays_dead() {
    let mut world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let load = Load::new();
    std::thread::scope(|scope| {
        let _guard = load.guard();
        load.start(scope, &nginx, [&rsa.0, &ec.0]);
        load.more(20);
        // Nobody is left to start it again.
        kill("KILL", world.supervisor_pid());
        kill("KILL", world.hsm_pids()[0]);
        load.more(40);
        assert_eq!(world.status()["state"], "DEGRADED");
        // New clients: the tool with its whole surface, and another nginx.
        let reference = world.ec_pair("made-meanwhile", "prime256v1");
        world.data(&["key", "delete", "--filter", &format!("key-reference={reference}")]);
        let second = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1)]);
        get(second.port(0), &rsa.0, Tls::V13).ok();
        load.more(10);
    });
    world.start();
    assert_eq!(world.status()["state"], "ACTIVE");
    get(nginx.port(0), &rsa.0, Tls::V13).ok();
}

#[test]
fn a_silent_hsm_is_left_like_a_dead_one() {
    let world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let load = Load::new();
    let silent = world.hsm_pids()[1];
    std::thread::scope(|scope| {
        let _guard = load.guard();
        load.start(scope, &nginx, [&rsa.0, &ec.0]);
        load.more(20);
        kill("STOP", silent);
        load.more(40);
        kill("CONT", silent);
        load.more(20);
    });
}

#[test]
fn nginx_serves_again_without_a_restart_when_the_hsms_are_back() {
    let mut world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let pids = nginx.pids();
    let site = |number: usize| [&rsa.0, &ec.0][number];
    get(nginx.port(0), site(0), Tls::V13).ok();
    let ips = world.hsm_ips();
    world.kill_everything();
    for number in [0, 1] {
        get(nginx.port(number), site(number), Tls::V13).failed();
    }
    let log = nginx.log();
    assert!(log.contains("SSL_do_handshake() failed"), "{log}");
    for ip in &ips {
        // What the engine says on standard error, where nginx put its own log after it had loaded the engine.
        assert!(log.contains(&format!("Z WARN  the HSM at {ip}:")), "the log does not name {ip}: {log}");
    }
    world.start();
    wait_for("nginx to reach an HSM", PATIENCE, || get(nginx.port(0), site(0), Tls::V13).code == Some(0));
    for number in [0, 1] {
        for tls in [Tls::V12, Tls::V13] {
            get(nginx.port(number), site(number), tls).ok();
        }
    }
    assert_eq!(nginx.pids(), pids, "no process of nginx was replaced");
}
