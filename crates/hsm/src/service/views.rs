//! What the cluster and its HSMs are, for everybody.

use strongroom_core::permissions::{Operation, permit};
use strongroom_core::{ClusterView, Hsm, cluster_view};
use strongroom_types::limits::CLIENT_NAME_LEN_MAX;
use strongroom_types::{Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::response::Result as Answer;

use super::{Asked, Service, Session};
use crate::identity;

impl Service {
    /// Also with a store that cannot be reached: whoever looks for a member to talk to must not wait for it.
    pub(super) fn hello(&self, session: &mut Session, message: &v1::Hello, asked: &Asked) -> Result<Answer, Refusal> {
        if message.client.len() > CLIENT_NAME_LEN_MAX {
            return Err(Refusal::new(Status::MalformedRequest, "client"));
        }
        session.set_client(&message.client);
        let view = self.view(session, Operation::Hello, asked)?;
        let serving = self.cluster.members();
        let member = |hsm: Hsm| v1::Member {
            serving: serving.contains(&hsm.id),
            hsm_id: hsm.id.as_str().to_owned(),
            ip: hsm.ip,
            port: hsm.port.into(),
            availability_zone: hsm.zone,
        };
        Ok(Answer::Hello(v1::HelloResult {
            cluster_id: view.id.as_str().to_owned(),
            hsm_id: self.cluster.hsm_id().as_str().to_owned(),
            state: view.state.as_str().to_owned(),
            members: view.hsms.into_iter().map(member).collect(),
        }))
    }

    pub(super) fn cluster_info(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let view = self.view(session, Operation::ClusterInfo, asked)?;
        let serving = self.cluster.members();
        let info = |hsm: Hsm| v1::HsmInfo {
            serving: serving.contains(&hsm.id),
            hsm_id: hsm.id.as_str().to_owned(),
            serial_number: hsm.serial,
            vendor: identity::VENDOR.to_owned(),
            model: identity::MODEL.to_owned(),
            hardware_major: identity::HARDWARE.0,
            hardware_minor: identity::HARDWARE.1,
            firmware_major: identity::FIRMWARE.0,
            firmware_minor: identity::FIRMWARE.1,
            firmware_build: identity::FIRMWARE.2,
            firmware_id: identity::firmware_id(),
        };
        Ok(Answer::ClusterInfo(v1::ClusterInfoResult {
            cluster_id: view.id.as_str().to_owned(),
            hsm_type: view.hsm_type.as_str().to_owned(),
            mode: view.mode.as_str().to_owned(),
            state: view.state.as_str().to_owned(),
            hsms: view.hsms.into_iter().map(info).collect(),
        }))
    }

    fn view(&self, session: &Session, operation: Operation, asked: &Asked) -> Result<ClusterView, Refusal> {
        let state = self.cluster.state();
        permit(&state, &session.actor(), operation, asked.now_ms)?;
        cluster_view(&state)
    }
}
