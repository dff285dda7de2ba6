//! One HSM, as the control plane of its host speaks to it: the frames of the protocol over a Unix socket, without TLS.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strongroom_types::limits::FRAME_LEN_MAX;
use strongroom_types::{Refusal, Status};
use strongroom_wire::frame::{self, PREFIX_LEN};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, v1};

use crate::answers::ApplianceState;
use crate::client::request_id;
use crate::error::{Attempt, Cause, ClientError, ConnectError};

/// Bytes of a path that fits the address of a Unix socket, the final NUL apart (`sockaddr_un`, unix(7)).
const SOCKET_PATH_LEN_MAX: usize = 107;
/// A question.
const ASK_MAX: Duration = Duration::from_secs(2);
/// A change: other members may have to know it first.
const CHANGE_MAX: Duration = Duration::from_secs(15);

/// One HSM at its Unix socket. Each call opens a connection of its own and asks once; nothing is repeated.
#[derive(Clone, Debug)]
pub struct Appliance {
    socket: PathBuf,
}

impl Appliance {
    /// The HSM that listens at this socket. Says nothing to it yet.
    pub fn new(socket: &Path) -> Appliance {
        Appliance { socket: socket.into() }
    }

    /// What the HSM says of itself.
    pub fn state(&self) -> Result<ApplianceState, ClientError> {
        self.call(Operation::ApplianceState(v1::ApplianceState {}), Vec::new(), ASK_MAX, |answer| match answer {
            Answer::ApplianceState(state) => Some(state.try_into()),
            _ => None,
        })
    }

    /// The cluster's certificate request, PEM.
    pub fn csr(&self) -> Result<String, ClientError> {
        self.call(Operation::ApplianceCsr(v1::ApplianceCsr {}), Vec::new(), ASK_MAX, |answer| match answer {
            Answer::ApplianceCsr(result) => Some(Ok(result.csr_pem)),
            _ => None,
        })
    }

    /// Gives the cluster its certificate, and the customer's CA that issued it.
    pub fn install_certificate(&self, certificate_pem: &str, trust_anchor_pem: &str) -> Result<(), ClientError> {
        let operation = Operation::ApplianceInstallCertificate(v1::ApplianceInstallCertificate {
            certificate_pem: certificate_pem.to_owned(),
            trust_anchor_pem: trust_anchor_pem.to_owned(),
        });
        self.call(operation, request_id(), CHANGE_MAX, |answer| {
            matches!(answer, Answer::ApplianceInstallCertificate(_)).then_some(Ok(()))
        })
    }

    fn call<T>(
        &self,
        operation: Operation,
        request_id: Vec<u8>,
        limit: Duration,
        read: impl FnOnce(Answer) -> Option<Result<T, Malformed>>,
    ) -> Result<T, ClientError> {
        let deadline_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let request =
            v1::Request { id: 1, deadline_ms, request_id, operation: Some(operation), ..v1::Request::default() };
        let mut buffer = Vec::new();
        frame::encode(&request, &mut buffer)?;
        let address = || self.socket.display().to_string();
        let response = self
            .exchange(&mut buffer, limit)
            .map_err(|cause| ClientError::Unavailable { tried: vec![Attempt { address: address(), cause }] })?;
        if response.status != 0 {
            let unknown = ClientError::Protocol { address: address(), source: Malformed { field: "status" } };
            let status = Status::from_number(response.status).ok_or(unknown)?;
            return Err(ClientError::Refused(Refusal::new(status, response.about)));
        }
        let result = response.result.and_then(read).unwrap_or(Err(Malformed { field: "result" }));
        result.map_err(|source| ClientError::Protocol { address: address(), source })
    }

    fn exchange(&self, buffer: &mut Vec<u8>, limit: Duration) -> Result<v1::Response, Cause> {
        let mut peer = Peer { socket: connect(&self.socket)?, deadline: Instant::now() + limit };
        let lost = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Cause::Silent(limit.as_millis()),
            ErrorKind::UnexpectedEof => Cause::Lost("closed by the HSM".into()),
            _ => Cause::Lost(error.to_string()),
        };
        peer.write_all(buffer).map_err(lost)?;
        let mut prefix = [0; PREFIX_LEN];
        peer.read_exact(&mut prefix).map_err(lost)?;
        let len = frame::body_len(prefix, FRAME_LEN_MAX);
        let len = len.map_err(|_| Cause::Protocol("an answer longer than a frame may be, or empty"))?;
        buffer.clear();
        buffer.resize(len, 0);
        peer.read_exact(buffer).map_err(lost)?;
        let response = frame::decode_response(buffer);
        let response = response.map_err(|_| Cause::Protocol("an answer that cannot be decoded"))?;
        match (response.id, response.status) {
            (1, _) | (0, 1..) => Ok(response),
            _ => Err(Cause::Protocol("an answer to another request")),
        }
    }
}

/// A socket whose every step ends at the deadline.
struct Peer {
    socket: UnixStream,
    deadline: Instant,
}

impl Peer {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Peer {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(bytes)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect(path: &Path) -> Result<UnixStream, ConnectError> {
    let connected = if path.as_os_str().len() <= SOCKET_PATH_LEN_MAX {
        UnixStream::connect(path)
    } else {
        // A path too long for the address is reached through the folder's descriptor.
        let folder = path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| {
            let mut short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
            short.extend(path.file_name());
            UnixStream::connect(short)
        })
    };
    connected.map_err(|error| {
        ConnectError::Socket(match error.kind() {
            ErrorKind::NotFound => "no HSM listens there; is it running?".into(),
            ErrorKind::ConnectionRefused => "connection refused; is the HSM running?".into(),
            _ => error.to_string(),
        })
    })
}

#[cfg(test)]
mod tests;
