//! End-to-end tests: real processes, real loaders, real clients.
