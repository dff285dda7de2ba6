//! A server in this process on a free port, and raw connections to it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use strongroom_core::Hsm;
use strongroom_core::member::LeaseKind;
use strongroom_crypto::certificates::{Anchors, CertificateRequest, CustomerCa};
use strongroom_crypto::{random, tls};
use strongroom_crypto_keys::seal::RootKey;
use strongroom_hsm::cluster::{Cluster, Setup};
use strongroom_hsm::connections::{ConnectionLimits, Connections};
use strongroom_hsm::key_cache::KeyCache;
use strongroom_hsm::log::Log;
use strongroom_hsm::server::{CONTROL_SOCKET, Parts, ServeError, Server};
use strongroom_hsm::watch::{Bell, Watch};
use strongroom_store::{MemoryStore, SqliteConfig};
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType, Status};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{frame, v1};

pub const PASSWORD: &str = "hunter2222";
/// Long enough that only what hangs reaches it.
pub const LONG: Duration = Duration::from_secs(30);

pub struct World {
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
    pub server: Server,
    pub ca: CustomerCa,
    pub failures: Receiver<ServeError>,
    pub cluster_id: ClusterId,
    store: Arc<MemoryStore>,
}

pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl World {
    /// A server of a cluster that has no certificate yet.
    pub fn new(limits: ConnectionLimits) -> World {
        World::start(limits, None)
    }

    /// A server whose control socket is in this folder.
    pub fn in_folder(folder: &Path) -> World {
        World::start(ConnectionLimits::default(), Some(folder))
    }

    fn start(limits: ConnectionLimits, own: Option<&Path>) -> World {
        let folder = tempfile::tempdir().unwrap();
        RootKey::create(&folder.path().join("root.key")).unwrap();
        let (cluster_id, store) = (ClusterId::from_random(random::bytes()), Arc::new(MemoryStore::new()));
        let own = own.unwrap_or(folder.path());
        let (server, address, failures) = serve(limits, (folder.path(), own), 1, &cluster_id, Arc::clone(&store));
        World { address, server, ca: CustomerCa::generate(now_s()), failures, cluster_id, store, folder }
    }

    /// Another HSM of this cluster.
    pub fn second(&self) -> (Server, SocketAddr) {
        let own = self.folder.path().join("second");
        std::fs::create_dir(&own).unwrap();
        let store = Arc::new(self.store.member());
        let folders = (self.folder.path(), own.as_path());
        let (server, address, _) = serve(ConnectionLimits::default(), folders, 2, &self.cluster_id, store);
        (server, address)
    }

    /// With a certificate, activated.
    pub fn active(limits: ConnectionLimits) -> World {
        let world = World::new(limits);
        world.install();
        let activate = Operation::Activate(v1::Activate { password: PASSWORD.into() });
        world.connect().change(activate).unwrap();
        world
    }

    pub fn install(&self) {
        let mut control = self.control();
        let Answer::ApplianceCsr(csr) = control.ask(Operation::ApplianceCsr(v1::ApplianceCsr {})).unwrap() else {
            panic!("another answer")
        };
        let request = CertificateRequest::from_pem(csr.csr_pem.as_bytes()).unwrap();
        let message = v1::ApplianceInstallCertificate {
            certificate_pem: self.ca.issue(&request, now_s()).to_pem(),
            trust_anchor_pem: self.ca.certificate().to_pem(),
        };
        control.change(Operation::ApplianceInstallCertificate(message)).unwrap();
    }

    pub fn socket(&self) -> TcpStream {
        self.socket_by(|| TcpStream::connect(self.address))
    }

    /// From another address of this machine.
    pub fn socket_from(&self, ip: IpAddr) -> TcpStream {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
        self.socket_by(|| {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            bind(&socket, &SocketAddr::new(ip, 0))?;
            connect(&socket, &self.address)?;
            Ok(TcpStream::from(socket))
        })
    }

    fn socket_by(&self, connect: impl Fn() -> std::io::Result<TcpStream>) -> TcpStream {
        // The listener opens a moment after the certificate is there.
        let deadline = Instant::now() + LONG;
        let socket = loop {
            match connect() {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket
    }

    pub fn connect(&self) -> Connection<StreamOwned<ClientConnection, TcpStream>> {
        self.try_connect().unwrap()
    }

    pub fn connect_from(&self, ip: IpAddr) -> Connection<StreamOwned<ClientConnection, TcpStream>> {
        self.shake_hands(self.socket_from(ip)).unwrap()
    }

    /// A client of TLS that has said nothing yet.
    pub fn client(&self) -> ClientConnection {
        let anchors = Anchors::from_pem(self.ca.certificate().to_pem().as_bytes(), now_s()).unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        ClientConnection::new(tls::client_config(&anchors, None), name).unwrap()
    }

    pub fn try_connect(&self) -> std::io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        self.shake_hands(self.socket())
    }

    fn shake_hands(&self, socket: TcpStream) -> std::io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        let mut stream = StreamOwned::new(self.client(), socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        assert!(tls::alpn_agreed(stream.conn.alpn_protocol()));
        Ok(Connection { stream, id: 0 })
    }

    pub fn control(&self) -> Connection<UnixStream> {
        let stream = UnixStream::connect(self.control_socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Connection { stream, id: 0 }
    }

    pub fn control_socket(&self) -> PathBuf {
        self.folder.path().join(CONTROL_SOCKET)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("hsm.log")).unwrap()
    }

    /// What the control plane sees.
    pub fn connections(&self) -> u32 {
        match self.control().ask(Operation::ApplianceState(v1::ApplianceState {})).unwrap() {
            Answer::ApplianceState(state) => state.connections,
            _ => panic!("another answer"),
        }
    }
}

/// A server of HSM `number` on a free port: the root key is in the first folder, what is its own in the second.
fn serve(
    limits: ConnectionLimits,
    (shared, folder): (&Path, &Path),
    number: u8,
    cluster_id: &ClusterId,
    store: Arc<MemoryStore>,
) -> (Server, SocketAddr, Receiver<ServeError>) {
    let listener = strongroom_hsm::os::bind_only("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup {
        hsm: Hsm {
            id: HsmId::from_random([number; 7]),
            ip: address.ip().to_string(),
            port: address.port(),
            zone: "lo-central-1a".into(),
            serial: String::new(),
        },
        cluster_id: cluster_id.clone(),
        mode: ClusterMode::NonFips,
        hsm_type: HsmType::Hsm2mMedium,
        lease_ms: 10_000,
        password_iterations: 1,
        root_key: shared.join("root.key"),
        anchor: folder.join("anchor"),
        store: SqliteConfig::new("unused", "unused"),
    };
    let log = Arc::new(Log::open(&shared.join("hsm.log")).unwrap());
    let (keys, bell) = (Arc::new(KeyCache::default()), Arc::new(Bell::default()));
    let clients = Connections::new(&limits);
    let watch = Box::new(Watch::new(Arc::clone(&keys), Arc::clone(&bell), Arc::clone(&clients)));
    let cluster = Cluster::start_with(store, LeaseKind::Timed, &setup, Arc::clone(&log) as _, watch).unwrap();
    let (failed, failures) = channel();
    let parts = Parts { cluster, keys, bell, clients, log, listener, folder: folder.to_owned(), limits };
    (Server::start(parts, &failed).unwrap(), address, failures)
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::yield_now();
    }
}

/// Frames over a stream.
pub struct Connection<S> {
    pub stream: S,
    id: u64,
}

impl<S: Read + Write> Connection<S> {
    pub fn over(stream: S) -> Connection<S> {
        Connection { stream, id: 0 }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn send(&mut self, request: v1::Request) -> u64 {
        self.id += 1;
        let mut bytes = Vec::new();
        frame::encode(&v1::Request { id: self.id, ..request }, &mut bytes).unwrap();
        self.send_bytes(&bytes);
        self.id
    }

    /// The next response, or none at the connection's end.
    pub fn response(&mut self) -> Option<v1::Response> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).ok()?;
        let len = frame::body_len(prefix, strongroom_types::limits::FRAME_LEN_MAX).unwrap();
        let mut content = vec![0; len];
        self.stream.read_exact(&mut content).ok()?;
        Some(frame::decode_response(&content).unwrap())
    }

    pub fn is_closed(&mut self) -> bool {
        self.response().is_none()
    }

    pub fn ask(&mut self, operation: Operation) -> Result<Answer, Status> {
        self.ask_request(v1::Request { operation: Some(operation), ..v1::Request::default() })
    }

    pub fn change(&mut self, operation: Operation) -> Result<Answer, Status> {
        let request_id = random::bytes::<16>().to_vec();
        self.ask_request(v1::Request { request_id, operation: Some(operation), ..v1::Request::default() })
    }

    fn ask_request(&mut self, request: v1::Request) -> Result<Answer, Status> {
        let id = self.send(request);
        let response = self.response().expect("the connection was closed");
        assert_eq!(response.id, id);
        match response.status {
            0 => Ok(response.result.unwrap()),
            number => Err(Status::from_number(number).unwrap()),
        }
    }

    pub fn hello(&mut self) -> v1::HelloResult {
        match self.ask(hello()).unwrap() {
            Answer::Hello(hello) => hello,
            _ => panic!("another answer"),
        }
    }

    pub fn login_admin(&mut self) {
        let role = v1::Role::Admin.into();
        let login = v1::Login { user_name: "admin".into(), role, password: PASSWORD.into(), ..v1::Login::default() };
        self.ask(Operation::Login(login)).unwrap();
    }
}

pub fn hello() -> Operation {
    Operation::Hello(v1::Hello { client: "a test".into() })
}

/// A frame whose message has exactly so many bytes.
pub fn request_of_len(len: usize) -> Vec<u8> {
    let frame_of = |name_len: usize| {
        let filter = v1::Attribute { name: "x".repeat(name_len), value: None };
        let find = v1::KeyFind { filter: vec![filter], ..v1::KeyFind::default() };
        let request = v1::Request { id: 1, operation: Some(Operation::KeyFind(find)), ..v1::Request::default() };
        let content = prost::Message::encode_to_vec(&request);
        [u32::try_from(content.len()).unwrap().to_be_bytes().to_vec(), content].concat()
    };
    // Lengths are written in as many bytes as they need, so that the first guess may be off by a few.
    let first = frame_of(len - 32);
    let frame = frame_of(2 * len - 32 - (first.len() - 4));
    assert_eq!(frame.len() - 4, len);
    frame
}
