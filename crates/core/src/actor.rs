use strongroom_types::{CredentialId, LoginId, Role, UserId};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The HSM itself, for changes that no request asks for by name: making the cluster, taking its place in it,
    /// counting a wrong password.
    Hsm,
    /// The control plane, over the HSM's Unix socket.
    Appliance,
    /// A connection without a login.
    Anonymous,
    /// A connection with a login.
    Login(LoginActor),
}

/// A login as its ticket tells it. Whether it still stands is decided against the state, at each use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginActor {
    /// The login.
    pub login: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// The password it rests on.
    pub credential: CredentialId,
    /// The user's role when logging in; a role never changes.
    pub role: Role,
    /// Milliseconds since 1970 from which on the login is no more.
    pub expires_ms: u64,
}
