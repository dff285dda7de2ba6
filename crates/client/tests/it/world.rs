//! A cluster of played HSMs: each listens on a port of its own and answers as an HSM would, unless its story says otherwise.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use strongroom_client::{Client, ClientName, ClusterConfig, Log, Server};
use strongroom_crypto::certificates::{CertificateRequest, CustomerCa, hsm_subject};
use strongroom_crypto::der::{self, tag};
use strongroom_crypto::{spki, tls};
use strongroom_types::{
    ClusterId, Curve, HsmId, KeyReference, Password, PublicPart, Role, Secret, SignMechanism, Status, UserName,
};
use strongroom_wire::frame::{self, PREFIX_LEN};
use strongroom_wire::v1;
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;

/// How long a story waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// `ecdsa-with-SHA256`, RFC 5758 §3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[track_caller]
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

/// What an HSM does with a request.
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum Reaction {
    /// What an HSM would do.
    Usual,
    /// This answer; id and revision are filled in.
    Answer(v1::Response),
    /// The usual answer, with something changed.
    Changed(fn(&mut v1::Response)),
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// The beginning of the usual answer, then the end.
    Cut(usize),
    /// Nothing, while the connection stays open.
    Silent,
    /// The usual answer, and then the end at once, so that a write meets a broken connection.
    AnswerAndReset,
}

pub fn refusal(status: Status) -> Reaction {
    Reaction::Answer(v1::Response { status: status.number().into(), ..v1::Response::default() })
}

type Script = dyn Fn(&v1::Request) -> Reaction + Send + Sync;

/// What all HSMs of a cluster share.
pub struct World {
    pub cluster: ClusterId,
    pub ca: CustomerCa,
    tickets: Arc<Mutex<HashSet<Vec<u8>>>>,
    members: Arc<Mutex<Vec<v1::Member>>>,
    pub hsms: Vec<Hsm>,
}

impl World {
    /// A cluster of so many HSMs.
    pub fn new(hsms: usize) -> World {
        let cluster = "cluster-aaaaaaaaaaa".parse().unwrap();
        let mut world = World {
            cluster,
            ca: CustomerCa::generate(now_s()),
            tickets: Arc::default(),
            members: Arc::default(),
            hsms: Vec::new(),
        };
        for _ in 0..hsms {
            world.add();
        }
        world
    }

    /// One more HSM.
    pub fn add(&mut self) -> &Hsm {
        let config = server_config(&self.ca, &self.cluster);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let id = format!("hsm-aaaaaaaaaa{}", char::from(b'a' + u8::try_from(self.hsms.len()).unwrap()));
        self.members.lock().unwrap().push(v1::Member {
            hsm_id: id.clone(),
            ip: address.ip().to_string(),
            port: address.port().into(),
            availability_zone: "a".into(),
            serving: true,
        });
        let shared = Arc::new(Shared {
            cluster: self.cluster.to_string(),
            id: id.clone(),
            config: Mutex::new(config),
            script: Mutex::new(Arc::new(|_| Reaction::Usual)),
            tickets: Arc::clone(&self.tickets),
            members: Arc::clone(&self.members),
            dead: AtomicBool::new(false),
            seen: Mutex::default(),
            sockets: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || listen(&listener, &serving));
        self.hsms.push(Hsm { id: id.parse().unwrap(), address, shared });
        self.hsms.last().unwrap()
    }

    /// What the HSMs say of the cluster's members from now on.
    pub fn tell_members(&self, change: impl FnOnce(&mut Vec<v1::Member>)) {
        change(&mut self.members.lock().unwrap());
    }

    /// Ends every login.
    pub fn end_logins(&self) {
        self.tickets.lock().unwrap().clear();
    }

    /// A ticket is good from now on.
    pub fn admit(&self, ticket: &[u8]) {
        self.tickets.lock().unwrap().insert(ticket.to_vec());
    }

    pub fn config(&self) -> ClusterConfig {
        let server = |hsm: &Hsm| Server { address: hsm.address.ip().to_string(), port: hsm.address.port() };
        ClusterConfig {
            cluster_id: Some(self.cluster.clone()),
            ca_path: Some("/etc/customerCA.crt".into()),
            ..ClusterConfig::new(self.hsms.iter().map(server).collect(), self.ca.certificate().to_pem().into_bytes())
        }
    }

    /// A client that is not logged in.
    pub fn client(&self) -> Client {
        open(self.config())
    }

    /// A client with credentials that nobody refuses.
    pub fn user(&self) -> Client {
        let client = self.client();
        give_credentials(&client);
        client
    }

    /// Requests of this kind to all HSMs.
    pub fn count(&self, wanted: fn(&Operation) -> bool) -> usize {
        self.hsms.iter().map(|hsm| hsm.count(wanted)).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.hsms.iter().for_each(Hsm::kill);
    }
}

pub fn open(config: ClusterConfig) -> Client {
    Client::open_with_log(config, ClientName::new("a-test"), Log::none()).unwrap()
}

pub fn password() -> Password {
    Password::for_login(Secret::from(&b"correct-horse"[..]))
}

pub fn alice() -> UserName {
    "alice".parse().unwrap()
}

pub fn give_credentials(client: &Client) {
    client.set_credentials(alice(), Role::CryptoUser, password());
}

pub fn sign(client: &Client) -> Result<Vec<u8>, strongroom_client::ClientError> {
    client.sign(KeyReference::from_u64(7).unwrap(), SignMechanism::Ecdsa, &[7; 32])
}

/// What an HSM has heard.
#[derive(Clone)]
pub struct Heard {
    pub connection: usize,
    pub request: v1::Request,
}

/// One played HSM.
pub struct Hsm {
    pub id: HsmId,
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Hsm {
    /// From now on.
    pub fn script(&self, script: impl Fn(&v1::Request) -> Reaction + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// As `kill -9` would do it.
    pub fn kill(&self) {
        if !self.shared.dead.swap(true, Ordering::SeqCst) {
            // Wakes the listener, which then ends.
            drop(TcpStream::connect(self.address));
            self.close_connections();
            wait_for("the listener's end", || TcpStream::connect(self.address).is_err());
        }
    }

    /// The process is there again, at the same address.
    pub fn revive(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.shared.dead.store(false, Ordering::SeqCst);
        let serving = Arc::clone(&self.shared);
        thread::spawn(move || listen(&listener, &serving));
    }

    /// Closes every connection, as an HSM may.
    pub fn close_connections(&self) {
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// TLS as this says from now on.
    pub fn serve_with(&self, config: Arc<ServerConfig>) {
        *self.shared.config.lock().unwrap() = config;
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn count(&self, wanted: fn(&Operation) -> bool) -> usize {
        self.heard().iter().filter(|heard| heard.request.operation.as_ref().is_some_and(wanted)).count()
    }

    /// Connections so far that came to a first request.
    pub fn connections(&self) -> usize {
        self.heard().iter().map(|heard| heard.connection).collect::<HashSet<_>>().len()
    }

    /// Connections so far, also those that came to nothing.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections open at once, at most.
    pub fn open_max(&self) -> usize {
        self.shared.open_max.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

struct Shared {
    cluster: String,
    id: String,
    config: Mutex<Arc<ServerConfig>>,
    script: Mutex<Arc<Script>>,
    tickets: Arc<Mutex<HashSet<Vec<u8>>>>,
    members: Arc<Mutex<Vec<v1::Member>>>,
    dead: AtomicBool,
    seen: Mutex<Vec<Heard>>,
    sockets: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let Ok((socket, _)) = listener.accept() else { return };
        if shared.dead.load(Ordering::SeqCst) {
            return;
        }
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.sockets.lock().unwrap().push(socket.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
            shared.open_max.fetch_max(open, Ordering::SeqCst);
            // The list above holds the socket open.
            let ended = socket.try_clone().unwrap();
            let _ = serve(socket, number, &shared);
            let _ = ended.shutdown(Shutdown::Both);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

fn serve(socket: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let config = Arc::clone(&shared.config.lock().unwrap());
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut attached = None;
    loop {
        let request = read_request(&mut stream)?;
        shared.seen.lock().unwrap().push(Heard { connection, request: request.clone() });
        let script = Arc::clone(&shared.script.lock().unwrap());
        let usual = |attached: &mut Option<Vec<u8>>| {
            let usual = shared.usual(&request, attached);
            v1::Response { id: request.id, revision: 41, ..usual }
        };
        match script(&request) {
            Reaction::Usual => send(&mut stream, &usual(&mut attached))?,
            Reaction::Answer(answer) => {
                send(&mut stream, &v1::Response { id: request.id, revision: 41, ..answer })?;
            }
            Reaction::Changed(change) => {
                let mut answer = usual(&mut attached);
                change(&mut answer);
                send(&mut stream, &answer)?;
            }
            Reaction::Raw(bytes) => return stream.write_all(&bytes).and_then(|()| stream.flush()),
            Reaction::Cut(len) => {
                let mut bytes = Vec::new();
                frame::encode(&usual(&mut attached), &mut bytes).unwrap();
                return stream.write_all(&bytes[..len]).and_then(|()| stream.flush());
            }
            Reaction::Silent => drop(read_request(&mut stream)?),
            Reaction::AnswerAndReset => {
                send(&mut stream, &usual(&mut attached))?;
                return crate::fork::reset(&stream.sock);
            }
        }
    }
}

fn read_request(stream: &mut Stream) -> io::Result<v1::Request> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix)?;
    let mut content = vec![0; frame::body_len(prefix, 1 << 20).map_err(io::Error::other)?];
    stream.read_exact(&mut content)?;
    frame::decode_request(&content).map_err(io::Error::other)
}

fn send(stream: &mut Stream, response: &v1::Response) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::encode(response, &mut bytes).unwrap();
    stream.write_all(&bytes)?;
    stream.flush()
}

impl Shared {
    fn usual(&self, request: &v1::Request, attached: &mut Option<Vec<u8>>) -> v1::Response {
        let refused = |status: Status| Err(status);
        let user = |login: &v1::Login| v1::LoginResult {
            ticket: format!("ticket-{}", request.id).into_bytes(),
            user_name: login.user_name.clone(),
            role: login.role,
            user_id: vec![0; 16],
        };
        let valid = |ticket: &Vec<u8>| self.tickets.lock().unwrap().contains(ticket);
        let result = match request.operation.as_ref().unwrap() {
            Operation::Hello(_) => Ok(Answer::Hello(v1::HelloResult {
                cluster_id: self.cluster.clone(),
                hsm_id: self.id.clone(),
                state: "ACTIVE".into(),
                members: self.members.lock().unwrap().clone(),
            })),
            Operation::Login(login) if login.password == password().expose() => {
                let result = user(login);
                self.tickets.lock().unwrap().insert(result.ticket.clone());
                *attached = Some(result.ticket.clone());
                Ok(Answer::Login(result))
            }
            Operation::Login(_) => refused(Status::LoginFailed),
            Operation::Attach(attach) if valid(&attach.ticket) => {
                *attached = Some(attach.ticket.clone());
                Ok(Answer::Attach(v1::AttachResult { user_name: "alice".into(), role: 2 }))
            }
            Operation::Attach(_) => refused(Status::LoginEnded),
            Operation::UserList(_) => Ok(Answer::UserList(v1::UserListResult { users: Vec::new() })),
            _ if attached.is_none() => refused(Status::NotLoggedIn),
            _ if !attached.as_ref().is_some_and(valid) => refused(Status::LoginEnded),
            Operation::Logout(_) => {
                self.tickets.lock().unwrap().remove(attached.as_ref().unwrap());
                Ok(Answer::Logout(v1::Empty {}))
            }
            Operation::Sign(sign) => Ok(Answer::Sign(v1::SignResult { signature: sign.data.clone() })),
            Operation::Decrypt(decrypt) => Ok(Answer::Decrypt(v1::DecryptResult { data: decrypt.data.clone() })),
            Operation::KeyDelete(_) => Ok(Answer::KeyDelete(v1::Empty {})),
            Operation::KeyShare(_) => Ok(Answer::KeyShare(v1::Empty {})),
            Operation::KeyUnshare(_) => Ok(Answer::KeyUnshare(v1::Empty {})),
            Operation::KeySetAttribute(_) => Ok(Answer::KeySetAttribute(v1::Empty {})),
            Operation::KeyFind(_) => Ok(Answer::KeyFind(v1::KeyFindResult::default())),
            _ => refused(Status::OperationUnknown),
        };
        match result {
            Ok(result) => v1::Response { result: Some(result), ..v1::Response::default() },
            Err(status) => v1::Response { status: status.number().into(), ..v1::Response::default() },
        }
    }
}

/// A server with a certificate for an HSM of `cluster`, issued by `ca`.
pub fn server_config(ca: &CustomerCa, cluster: &ClusterId) -> Arc<ServerConfig> {
    server_config_for(ca, cluster, &tls::ClientAuth::default())
}

/// The same, which wants this of its clients.
pub fn server_config_for(ca: &CustomerCa, cluster: &ClusterId, clients: &tls::ClientAuth) -> Arc<ServerConfig> {
    let (certificate, pkcs8) = certificate(ca, cluster);
    tls::server_config(&certificate, &pkcs8, clients).unwrap()
}

/// A certificate for an HSM of `cluster`, PEM, and its key, PKCS #8.
pub fn certificate(ca: &CustomerCa, cluster: &ClusterId) -> (Vec<u8>, Secret) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let public = PublicPart::Ec { curve: Curve::P256, point: key.public_key().as_ref().to_vec() };
    let info = der::sequence(&[
        &der::unsigned(&[]),
        hsm_subject(cluster).der(),
        &spki::encode(&public),
        &der::element(tag::context(0), &[]),
    ]);
    let signature = key.sign(&SystemRandom::new(), &info).unwrap();
    let algorithm = der::sequence(&[&der::oid(ECDSA_WITH_SHA256)]);
    let request = der::sequence(&[&info, &algorithm, &der::bit_string(signature.as_ref())]);
    let certificate = ca.issue(&CertificateRequest::from_der(&request).unwrap(), now_s());
    let pkcs8 = key.to_pkcs8v1().unwrap();
    (certificate.to_pem().into_bytes(), Secret::from(pkcs8.as_ref()))
}
