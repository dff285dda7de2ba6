//! Finding keys: those of the store, and this login's session keys, which only the client knows.

use strongroom_types::limits::KEY_PAGE_LEN_MAX;
use strongroom_types::{Filter, KeyReference};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{KeyInfo, Malformed, convert, v1};

use crate::answers::{FoundAll, FoundKeys};
use crate::client::Client;
use crate::error::ClientError;
use crate::manner;

impl Client {
    /// The keys that fit, from the match of number `offset` on, at most `limit`: this login's session keys first.
    pub fn key_find(&self, filter: &Filter, offset: u32, limit: u32) -> Result<FoundKeys, ClientError> {
        self.engine().check_availability()?;
        // Two different references select nothing.
        let Some((reference, terms)) = convert::filter_message(filter) else {
            return Ok(FoundKeys { total: 0, keys: Vec::new() });
        };
        let find = |offset, limit| {
            let message = v1::KeyFind { reference, filter: terms.clone(), offset, limit, all_references: false };
            self.find_stored::<FoundKeys>(message)
        };
        let Some(login) = self.engine().present_login() else { return Ok(find(offset, limit)?.0) };
        let own = login.session_keys.find(filter, offset, limit);
        let own_len = u32::try_from(own.keys.len()).unwrap_or(u32::MAX);
        let (stored, found_by) = find(offset.saturating_sub(own.total), limit.saturating_sub(own_len))?;
        if own.total > 0 && found_by != Some(login.number) {
            // The login ended, and its session keys with it.
            return Ok(find(offset, limit)?.0);
        }
        let keys = own.keys.into_iter().chain(stored.keys).collect();
        Ok(FoundKeys { total: own.total.saturating_add(stored.total), keys })
    }

    /// The references of all keys that fit, and what the first of them are, at most `limit`: one round trip.
    pub fn key_find_all(&self, filter: &Filter, limit: u32) -> Result<FoundAll, ClientError> {
        self.engine().check_availability()?;
        let Some((reference, terms)) = convert::filter_message(filter) else {
            return Ok(FoundAll { references: Vec::new(), keys: Vec::new() });
        };
        let limit = limit.min(KEY_PAGE_LEN_MAX);
        let find = |limit| {
            let message = v1::KeyFind { reference, filter: terms.clone(), offset: 0, limit, all_references: true };
            self.find_stored::<FoundAll>(message)
        };
        let Some(login) = self.engine().present_login() else { return Ok(find(limit)?.0) };
        let mut all = login.session_keys.find_all(filter, limit);
        let own_len = u32::try_from(all.keys.len()).unwrap_or(u32::MAX);
        let (stored, found_by) = find(limit.saturating_sub(own_len))?;
        if !all.references.is_empty() && found_by != Some(login.number) {
            return Ok(find(limit)?.0);
        }
        all.references.extend(stored.references);
        all.keys.extend(stored.keys);
        Ok(all)
    }

    /// What the store holds of it, and the number of the login for which it was found.
    fn find_stored<F>(&self, message: v1::KeyFind) -> Result<(F, Option<u64>), ClientError>
    where
        F: TryFrom<v1::KeyFindResult, Error = Malformed>,
    {
        let answered = self.call(&manner::QUERY, Operation::KeyFind(message))?;
        let login = answered.login.as_ref().map(|login| login.number);
        let found = answered.read(|answer| match answer {
            Answer::KeyFind(found) => Some(found.try_into()),
            _ => None,
        })?;
        Ok((found, login))
    }

    /// One key that this login may see. Session keys are answered from what the client keeps.
    pub fn key_get(&self, key: KeyReference) -> Result<KeyInfo, ClientError> {
        if let Some(own) = self.engine().present_login().and_then(|login| login.session_keys.get(key)) {
            return Ok(own);
        }
        let operation = Operation::KeyGet(v1::KeyGet { reference: key.as_u64() });
        self.call(&manner::QUERY, operation)?.read(|answer| match answer {
            Answer::KeyGet(key) => Some(key.try_into()),
            _ => None,
        })
    }
}
