//! Taking connections: clients over TCP, the control plane over a Unix socket; each gets a thread.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConnection;

use crate::connection::{End, Gates, PlainChannel, TlsChannel, converse};
use crate::connections::{ConnectionLimits, Connections, Endable, Entry, Origin};
use crate::log::{Level, Log};
use crate::os;
use crate::service::{Service, Session};
use crate::tls::Tls;

/// Bytes of a connection's stack.
const STACK_LEN: usize = 256 * 1024;
/// Connections that the kernel holds until they are taken.
const BACKLOG: i32 = 1_024;
/// How long a listener rests when the system has no descriptors or memory for another connection.
const REST: Duration = Duration::from_millis(100);
/// Seconds without a byte after which the system asks whether a client is still there, and between such questions.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What every connection shares.
pub struct Common {
    /// Answers requests.
    pub service: Service,
    /// The log.
    pub log: Arc<Log>,
    /// What connections may do.
    pub limits: ConnectionLimits,
    /// What waits for its turn.
    pub gates: Gates,
}

/// Ends accept loops when its other end is dropped.
pub struct Stop(pub UnixStream);

/// What became ready first.
#[derive(Debug, PartialEq, Eq)]
enum Ready {
    Connection,
    Stop,
    Nothing,
}

fn wait(listener: Option<&dyn AsFd>, stop: &Stop, patience: Option<Duration>) -> io::Result<Ready> {
    let mut fds = vec![PollFd::new(&stop.0, PollFlags::IN)];
    fds.extend(listener.map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
    let patience = patience.map(|patience| Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    });
    match poll(&mut fds, patience.as_ref()) {
        Ok(_) if !fds[0].revents().is_empty() => Ok(Ready::Stop),
        Ok(0) => Ok(Ready::Nothing),
        Ok(_) => Ok(Ready::Connection),
        Err(rustix::io::Errno::INTR) => Ok(Ready::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// Takes connections of one listener until told to stop.
fn accept_all<S>(
    listener: &dyn AsFd,
    stop: &Stop,
    log: &Log,
    mut accept: impl FnMut() -> io::Result<S>,
    mut take: impl FnMut(S),
) -> io::Result<()> {
    loop {
        match wait(Some(listener), stop, None)? {
            Ready::Stop => return Ok(()),
            Ready::Nothing => continue,
            Ready::Connection => {}
        }
        match accept() {
            Ok(socket) => take(socket),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                log.client(Level::Warn, format_args!("a connection cannot be taken: {error}"));
                if wait(None, stop, Some(REST))? == Ready::Stop {
                    return Ok(());
                }
            }
        }
    }
}

/// Listens and takes clients until told to stop. `configuration` is asked for each connection.
pub fn take_clients(
    listener: &TcpListener,
    stop: &Stop,
    common: &Arc<Common>,
    connections: &Arc<Connections>,
    mut configuration: impl FnMut() -> Tls,
) -> io::Result<()> {
    rustix::net::listen(listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let take = |(socket, peer): (TcpStream, SocketAddr)| {
        let socket = Arc::new(socket);
        let deadline = Instant::now() + common.limits.first_request_max;
        let Some(entry) = connections.enter(Arc::clone(&socket) as Arc<dyn Endable>, Origin::of(peer.ip())) else {
            common.log.client(Level::Warn, format_args!("{peer} was turned away: too many connections"));
            return;
        };
        let client = Client { common: Arc::clone(common), tls: configuration(), socket, peer, deadline, entry };
        spawn("strongroom-client", &common.log, move || client.serve());
    };
    accept_all(listener, stop, &common.log, || listener.accept(), take)
}

/// Takes the control plane's connections until told to stop.
pub fn take_control(
    listener: &UnixListener,
    stop: &Stop,
    common: &Arc<Common>,
    connections: &Arc<Connections>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let take = |socket: UnixStream| {
        match os::is_own_or_root(&socket) {
            Ok(true) => {}
            Ok(false) => {
                let said = "somebody of another user was turned away from the control socket";
                common.log.client(Level::Warn, format_args!("{said}"));
                return;
            }
            Err(error) => {
                common.log.client(Level::Warn, format_args!("the control socket's peer is not known: {error}"));
                return;
            }
        }
        let socket = Arc::new(socket);
        let here = Origin::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let Some(mut entry) = connections.enter(Arc::clone(&socket) as Arc<dyn Endable>, here) else { return };
        // The system says who it is.
        entry.set_known(true);
        let common_of_thread = Arc::clone(common);
        spawn("strongroom-control", &common.log, move || {
            // Dropped last, so that the entry goes when nothing is answered any more.
            let _entry = entry;
            let common = common_of_thread;
            let Ok(mut channel) = PlainChannel::new(socket, common.limits.unread_max) else { return };
            let whole = common.limits.frame_len_max;
            let limits = ConnectionLimits { frame_len_max_before_login: whole, ..common.limits };
            let end = converse(&mut channel, &common.service, &mut Session::of_appliance(), &limits, None, None);
            if !matches!(end, End::Closed) {
                common.log.client(Level::Warn, format_args!("the control plane's connection ended: {end}"));
            }
        });
    };
    accept_all(listener, stop, &common.log, || listener.accept().map(|(socket, _)| socket), take)
}

/// A thread that cannot be made costs its connection only, which is closed when `run` is dropped.
fn spawn(name: &str, log: &Log, run: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.into()).stack_size(STACK_LEN).spawn(run) {
        log.client(Level::Warn, format_args!("a connection was closed: a thread cannot be started: {error}"));
    }
}

struct Client {
    common: Arc<Common>,
    tls: Tls,
    socket: Arc<TcpStream>,
    peer: SocketAddr,
    deadline: Instant,
    entry: Entry,
}

impl Client {
    fn serve(self) {
        let Client { common, tls, socket, peer, deadline, mut entry } = self;
        entry.served_here();
        let end = (|| {
            socket.set_nodelay(true)?;
            rustix::net::sockopt::set_socket_keepalive(&*socket, true).map_err(io::Error::from)?;
            rustix::net::sockopt::set_tcp_keepidle(&*socket, KEEPALIVE).map_err(io::Error::from)?;
            rustix::net::sockopt::set_tcp_keepintvl(&*socket, KEEPALIVE).map_err(io::Error::from)?;
            let connection = ServerConnection::new(Arc::clone(&tls.server)).map_err(End::Tls)?;
            let origin = Origin::of(peer.ip());
            let turn = || common.gates.handshakes.enter_while(origin, deadline, || !entry.is_ended());
            let (socket, unread_max) = (Arc::clone(&socket), common.limits.unread_max);
            let mut channel = TlsChannel::accept(connection, socket, deadline, unread_max, turn)?;
            let presented = tls.presented(channel.certificates())?;
            // Before the state is asked about it: whichever change comes meanwhile finds it here or is found there.
            entry.set_presented(presented);
            let mut session = Session::of_client(peer, presented);
            let (gates, guest) = (Some(&common.gates), Some(&mut entry));
            let end = converse(&mut channel, &common.service, &mut session, &common.limits, gates, guest);
            channel.close();
            let fault = common.service.fault_of(&session).filter(|_| entry.is_ended());
            Err::<(), End>(fault.map_or(end, End::Ended))
        })();
        if let Err(end) = end
            && (matches!(end, End::Ended(_)) || !(matches!(end, End::Closed) || entry.is_ended()))
        {
            common.log.client(Level::Info, format_args!("the connection of {peer} ended: {end}"));
        }
    }
}
