//! The contract on each implementation, and what SQLite and the member table keep across processes.

mod crash;
mod faults;
mod files;
mod model;
mod offline;

use std::sync::Arc;

use strongroom_store::contract::{DELETIONS_KEPT, Doors};
use strongroom_store::{MemoryStore, SqliteConfig, SqliteStore, Store};

mod memory {
    fn make() -> super::Doors {
        super::memory_world()
    }

    strongroom_store::contract_tests!(make);
}

mod sqlite {
    fn make() -> super::Doors {
        super::sqlite_world()
    }

    strongroom_store::contract_tests!(make);
}

fn memory_world() -> Doors {
    let store = MemoryStore::with_deletions_kept(DELETIONS_KEPT);
    Box::new(move || Arc::new(store.member()))
}

fn sqlite_world() -> Doors {
    let folder = tempfile::tempdir().expect("a folder");
    Box::new(move || {
        let config = config(folder.path()).deletions_kept(DELETIONS_KEPT);
        Arc::new(SqliteStore::open(config).expect("the store opens")) as Arc<dyn Store>
    })
}

fn config(folder: &std::path::Path) -> SqliteConfig {
    SqliteConfig::new(folder.join("cluster.sqlite"), folder.join("members"))
}
