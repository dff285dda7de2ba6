#![allow(unsafe_code, reason = "glibc's allocator is set up through a C call")]

/// Keeps glibc's allocator from making an arena for each thread up to eight a core: an idle HSM with many connections
/// would hold memory that nobody uses.
pub fn keep_few_arenas(arenas: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two numbers and touches the allocator's own settings only.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = arenas;
}
