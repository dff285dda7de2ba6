//! The world of the end-to-end tests: a cluster made by `strongroom up` in a temporary folder, and the programs that
//! users run against it. Every process it starts ends with it, by its process id.

mod faults;
mod hand;
mod http;
mod initialized;
mod nginx;
mod page;
mod pki;
mod process;
mod scan;
mod shell;
mod world;

pub use faults::{Failing, SmallDisk, Unreachable, with_own_mounts, with_own_network};
pub use hand::Hand;
pub use http::{Tls, curl, get};
pub use initialized::Initialized;
pub use nginx::{Nginx, SiteKey, free_port};
pub use page::Page;
pub use pki::{P256, P521, Pki, RSA};
pub use process::{Ran, kill, pid_is_alive, program, run, run_with_input, wait_for};
pub use scan::{Primes, process_memory};
pub use shell::Shell;
pub use world::World;
