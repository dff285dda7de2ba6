//! Compiles the protocol's messages with protox, so that no protoc is needed.

/// Messages that carry a password, a ticket or clear data: their `Debug` is written by hand, without content.
const SECRET_MESSAGES: [&str; 15] = [
    "Request",
    "Response",
    "Login",
    "LoginResult",
    "Attach",
    "Activate",
    "UserCreate",
    "UserChangePassword",
    "DecryptResult",
    "RandomResult",
    "KeyImport",
    "KeyReadValueResult",
    "Encrypt",
    "LoginChallenge",
    "UserChangeMfa",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["strongroom/v1/hsm.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    config.skip_debug(SECRET_MESSAGES.map(|name| format!(".strongroom.v1.{name}")));
    config.compile_fds(files)?;
    Ok(())
}
