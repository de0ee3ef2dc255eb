//! What a new plan changes.
//!
//! Pure.

use std::{collections::BTreeMap, path::PathBuf};

use super::Role;
use crate::{base::id::ComponentId, config::Table};

/// What makes a component what it is: as long as nothing of this changes, it is not touched. Where its events come
/// from is not part of it: that is changed around it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    pub(super) role: Role,
    pub(super) kind: &'static str,
    pub(super) options: Table,
    /// The files it reads at its start, with a digest of what is in them.
    pub(super) files: Vec<(PathBuf, Option<u64>)>,
}

/// What a reload does with each component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// New.
    pub(super) add: Vec<ComponentId>,
    /// Made anew; what waits in front of it stays.
    pub(super) rebuild: Vec<ComponentId>,
    /// Not touched.
    pub(super) keep: Vec<ComponentId>,
    /// Gone.
    pub(super) remove: Vec<ComponentId>,
}

pub(super) fn diff(old: &BTreeMap<&ComponentId, &Identity>, new: &BTreeMap<&ComponentId, &Identity>) -> Diff {
    let mut diff = Diff::default();
    for (id, identity) in new {
        let list = match old.get(id) {
            Some(before) if before == identity => &mut diff.keep,
            Some(before) if before.role == identity.role => &mut diff.rebuild,
            // Another thing under the same name: the old one leaves, the new one comes.
            Some(_) => {
                diff.remove.push((*id).clone());
                &mut diff.add
            }
            None => &mut diff.add,
        };
        list.push((*id).clone());
    }
    diff.remove.extend(old.keys().filter(|id| !new.contains_key(*id)).map(|id| (*id).clone()));
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(role: Role, kind: &'static str, digest: u64) -> Identity {
        let files = vec![(PathBuf::from("/cert.pem"), Some(digest))];
        Identity { role, kind, options: Table::default(), files }
    }

    #[test]
    fn each_component_is_kept_rebuilt_added_or_removed() {
        let ids: Vec<ComponentId> =
            ["kept", "kind", "file", "role", "gone", "new"].iter().map(|id| id.parse().unwrap()).collect();
        let before = identity(Role::Source, "socket", 1);
        let other_kind = identity(Role::Source, "file", 1);
        let other_file = identity(Role::Source, "socket", 2);
        let other_role = identity(Role::Sink, "socket", 1);
        let old = ids[..5].iter().map(|id| (id, &before)).collect();
        let new = BTreeMap::from([
            (&ids[0], &before),
            (&ids[1], &other_kind),
            (&ids[2], &other_file),
            (&ids[3], &other_role),
            (&ids[5], &before),
        ]);
        let names = |list: &[ComponentId]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let diff = diff(&old, &new);
        assert_eq!(names(&diff.keep), ["kept"]);
        assert_eq!(names(&diff.rebuild), ["file", "kind"]);
        assert_eq!(names(&diff.add), ["new", "role"]);
        assert_eq!(names(&diff.remove), ["role", "gone"]);
    }
}
