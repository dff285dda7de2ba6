use strongroom_types::limits::{APPROVAL_SIGNATURES_MAX, APPROVALS_IN_REQUEST_MAX};
use strongroom_types::{Role, TokenKey, UserName};

use crate::convert::{Malformed, role};
use crate::v1;

/// Approvals of one quorum token, as a request carries them: nobody has looked at the signatures yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalInfo {
    /// As the token was given out.
    pub approval_data: Vec<u8>,
    /// Who is said to have signed it.
    pub signatures: Vec<ApprovalSignature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalSignature {
    /// The user's name.
    pub user: UserName,
    /// The user's role.
    pub role: Role,
    /// As long as every signature by a token key.
    pub signature: Vec<u8>,
}

/// Bytes of approval data: one record, 80 bytes.
const APPROVAL_DATA_LEN: usize = 80;

/// The approvals of a request: at most [`APPROVALS_IN_REQUEST_MAX`] with at most [`APPROVAL_SIGNATURES_MAX`] signatures each.
pub fn approvals(messages: Vec<v1::Approval>) -> Result<Vec<ApprovalInfo>, Malformed> {
    if messages.len() > APPROVALS_IN_REQUEST_MAX {
        return Err(Malformed { field: "approvals" });
    }
    messages.into_iter().map(approval).collect()
}

fn approval(message: v1::Approval) -> Result<ApprovalInfo, Malformed> {
    if message.approval_data.len() != APPROVAL_DATA_LEN {
        return Err(Malformed { field: "approval_data" });
    }
    if message.signatures.len() > APPROVAL_SIGNATURES_MAX {
        return Err(Malformed { field: "signatures" });
    }
    let signatures = message.signatures.into_iter().map(signature).collect::<Result<_, Malformed>>()?;
    Ok(ApprovalInfo { approval_data: message.approval_data, signatures })
}

fn signature(message: v1::ApprovalSignature) -> Result<ApprovalSignature, Malformed> {
    if message.signature.len() != TokenKey::SIGNATURE_LEN {
        return Err(Malformed { field: "signature" });
    }
    let user = message.user_name.parse().map_err(|_| Malformed { field: "user_name" })?;
    Ok(ApprovalSignature { user, role: role(message.role)?, signature: message.signature })
}

impl From<ApprovalInfo> for v1::Approval {
    fn from(approval: ApprovalInfo) -> v1::Approval {
        let signatures = approval.signatures.into_iter().map(|signed| v1::ApprovalSignature {
            user_name: signed.user.as_str().to_owned(),
            role: v1::Role::from(signed.role).into(),
            signature: signed.signature,
        });
        v1::Approval { approval_data: approval.approval_data, signatures: signatures.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(signatures: usize) -> ApprovalInfo {
        let signature = ApprovalSignature { user: "ana".parse().unwrap(), role: Role::Admin, signature: vec![7; 256] };
        ApprovalInfo { approval_data: vec![1; APPROVAL_DATA_LEN], signatures: vec![signature; signatures] }
    }

    #[test]
    fn approvals_at_and_above_their_limits() {
        for infos in [vec![], vec![info(0)], vec![info(APPROVAL_SIGNATURES_MAX); APPROVALS_IN_REQUEST_MAX]] {
            assert_eq!(approvals(infos.iter().cloned().map(v1::Approval::from).collect()), Ok(infos));
        }
        let many = vec![v1::Approval::from(info(0)); APPROVALS_IN_REQUEST_MAX + 1];
        assert_eq!(approvals(many), Err(Malformed { field: "approvals" }));
        let signed = v1::Approval::from(info(APPROVAL_SIGNATURES_MAX + 1));
        assert_eq!(approvals(vec![signed]), Err(Malformed { field: "signatures" }));
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        let check = |field, change: fn(&mut v1::Approval)| {
            let mut message = v1::Approval::from(info(1));
            change(&mut message);
            assert_eq!(approvals(vec![message]), Err(Malformed { field }));
        };
        check("approval_data", |approval| approval.approval_data.push(0));
        check("approval_data", |approval| approval.approval_data.clear());
        check("signature", |approval| approval.signatures[0].signature.push(0));
        check("signature", |approval| approval.signatures[0].signature.truncate(255));
        check("user_name", |approval| approval.signatures[0].user_name.clear());
        check("role", |approval| approval.signatures[0].role = 0);
    }
}
