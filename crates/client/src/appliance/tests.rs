use std::os::unix::net::UnixListener;
use std::thread;

use strongroom_types::ClusterState;

use super::*;

fn state() -> v1::Response {
    let state = v1::ApplianceStateResult {
        cluster_id: "cluster-aaaaaaaaaaa".into(),
        hsm_id: "hsm-aaaaaaaaaaa".into(),
        cluster_state: "ACTIVE".into(),
        serving: true,
        applied_revision: 7,
        ..v1::ApplianceStateResult::default()
    };
    v1::Response { id: 1, result: Some(Answer::ApplianceState(state)), ..v1::Response::default() }
}

/// Listens at `path`, answers one request with `answer` and gives the request back.
fn listen(path: &Path, answer: Vec<u8>) -> thread::JoinHandle<v1::Request> {
    let folder = File::open(path.parent().unwrap()).unwrap();
    let short = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), path.file_name().unwrap().to_str().unwrap());
    let listener = UnixListener::bind(short).unwrap();
    thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut prefix = [0; PREFIX_LEN];
        peer.read_exact(&mut prefix).unwrap();
        let mut content = vec![0; frame::body_len(prefix, FRAME_LEN_MAX).unwrap()];
        peer.read_exact(&mut content).unwrap();
        peer.write_all(&answer).unwrap();
        frame::decode_request(&content).unwrap()
    })
}

fn framed(response: &v1::Response) -> Vec<u8> {
    let mut answer = Vec::new();
    frame::encode(response, &mut answer).unwrap();
    answer
}

#[test]
fn an_hsm_tells_its_state_at_short_and_long_paths() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a".repeat(90)).join("b".repeat(90));
    std::fs::create_dir_all(&deep).unwrap();
    for folder in [folder.path(), &deep] {
        let path = folder.join("control.sock");
        let hsm = listen(&path, framed(&state()));
        let said = Appliance::new(&path).state().unwrap();
        assert_eq!((said.cluster_state, said.serving, said.applied_revision.0), (ClusterState::Active, true, 7));
        let asked = hsm.join().unwrap();
        assert!(matches!(asked.operation, Some(Operation::ApplianceState(_))));
        assert!(asked.request_id.is_empty());
    }
}

#[test]
fn a_change_carries_a_request_id_and_a_refusal_comes_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let refused = v1::Response { id: 1, status: 45, about: "subject".into(), ..v1::Response::default() };
    let hsm = listen(&path, framed(&refused));
    let error = Appliance::new(&path).install_certificate("certificate", "anchor").unwrap_err();
    assert!(matches!(error, ClientError::Refused(refusal) if refusal.status == Status::CertificateInvalid));
    assert_eq!(hsm.join().unwrap().request_id.len(), 16);
}

#[test]
fn whoever_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let check = |part: &str| {
        let error = Appliance::new(&path).csr().unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains(part), "{text}");
    };
    check("no HSM listens there");
    drop(UnixListener::bind(&path).unwrap());
    check("connection refused");
    let whole = framed(&state());
    let other = framed(&v1::Response { id: 2, ..state() });
    let answers = [
        (&whole[..0], "closed by the HSM"),
        (&whole[..3], "closed by the HSM"),
        (&whole[..whole.len() - 1], "closed by the HSM"),
        (&[0xff; 4], "longer than a frame"),
        (&[0; 4], "longer than a frame may be, or empty"),
        (&[0, 0, 0, 2, 0xff, 0xff], "cannot be decoded"),
        (&other, "another request"),
    ];
    for (answer, part) in answers {
        std::fs::remove_file(&path).unwrap();
        let hsm = listen(&path, answer.to_vec());
        check(part);
        hsm.join().unwrap();
    }
}

#[test]
fn an_answer_to_another_question_breaks_the_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let hsm = listen(&path, framed(&state()));
    let error = Appliance::new(&path).csr().unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    hsm.join().unwrap();
}
