//! Who may use the store's files: their owner alone.
//!
//! Records are sealed, so a reader of the files learns no key. But whoever writes to the member table decides which
//! process a member kills, and whoever writes to the database can stop the cluster.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::AccessError;

/// Bits of a mode that give somebody else a right.
const OTHERS: u32 = 0o077;

/// Refuses a file that is another user's, or that others may read or write.
pub(crate) fn check(path: &Path, metadata: &Metadata, user: u32) -> Result<(), AccessError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if owner != user {
        return Err(AccessError::OtherOwner { path: path.to_owned(), owner, user });
    }
    if mode & OTHERS != 0 {
        return Err(AccessError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_may_have_rights() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = || file.as_file().metadata().unwrap();
        let owner = metadata().uid();
        for (mode, is_allowed) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false), (0o660, false)] {
            file.as_file().set_permissions(Permissions::from_mode(mode)).unwrap();
            match check(file.path(), &metadata(), owner) {
                Ok(()) => assert!(is_allowed, "{mode:o}"),
                Err(AccessError::Exposed { mode: found, .. }) => assert!(!is_allowed && found == mode, "{mode:o}"),
                Err(error) => panic!("{error}"),
            }
        }
        let error = check(file.path(), &metadata(), owner + 1).unwrap_err();
        assert!(matches!(error, AccessError::OtherOwner { .. }), "{error}");
    }
}
