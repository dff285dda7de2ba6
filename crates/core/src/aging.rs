//! Records that are kept for a time: by that time, and by whose they are.

use imbl::{OrdMap, OrdSet};

/// Ids of records of one kind. Equal for equal records, whatever the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aging<Owner: Ord, Id: Ord> {
    by_time: OrdSet<(u64, Id)>,
    by_owner: OrdMap<Owner, OrdSet<(u64, Id)>>,
}

impl<Owner: Ord, Id: Ord> Default for Aging<Owner, Id> {
    fn default() -> Aging<Owner, Id> {
        Aging { by_time: OrdSet::new(), by_owner: OrdMap::new() }
    }
}

impl<Owner: Clone + Ord, Id: Copy + Ord> Aging<Owner, Id> {
    pub(crate) fn insert(&mut self, owner: &Owner, time_ms: u64, id: Id) {
        self.by_time.insert((time_ms, id));
        self.by_owner.entry(owner.clone()).or_default().insert((time_ms, id));
    }

    pub(crate) fn remove(&mut self, owner: &Owner, time_ms: u64, id: Id) {
        self.by_time.remove(&(time_ms, id));
        if let Some(own) = self.by_owner.get_mut(owner) {
            own.remove(&(time_ms, id));
            if own.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn len_of(&self, owner: &Owner) -> usize {
        self.by_owner.get(owner).map_or(0, OrdSet::len)
    }

    /// Everything, oldest first.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = (u64, Id)> + '_ {
        self.by_time.iter().copied()
    }

    /// Whose there are any, with how many.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (&Owner, usize)> {
        self.by_owner.iter().map(|(owner, own)| (owner, own.len()))
    }

    /// One owner's, oldest first.
    pub(crate) fn oldest_of(&self, owner: &Owner) -> impl Iterator<Item = (u64, Id)> + '_ {
        self.by_owner.get(owner).into_iter().flat_map(|own| own.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_leaves_nothing() {
        let mut ages: Aging<char, u8> = Aging::default();
        for (owner, time_ms, id) in [('a', 5, 1), ('b', 3, 2), ('a', 4, 3), ('a', 4, 3), ('a', 4, 2)] {
            ages.insert(&owner, time_ms, id);
        }
        assert_eq!(ages.oldest().collect::<Vec<_>>(), [(3, 2), (4, 2), (4, 3), (5, 1)]);
        assert_eq!(ages.oldest_of(&'a').collect::<Vec<_>>(), [(4, 2), (4, 3), (5, 1)]);
        assert_eq!(ages.owners().collect::<Vec<_>>(), [(&'a', 3), (&'b', 1)]);
        assert_eq!((ages.len(), ages.len_of(&'a'), ages.len_of(&'c')), (4, 3, 0));
        ages.remove(&'b', 3, 2);
        ages.remove(&'c', 3, 2);
        assert_eq!(ages.owners().collect::<Vec<_>>(), [(&'a', 3)]);
        for (time_ms, id) in [(5, 1), (4, 3), (4, 2)] {
            ages.remove(&'a', time_ms, id);
        }
        assert_eq!(ages, Aging::default());
    }
}
