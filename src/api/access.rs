//! Who may do what.
//!
//! Pure.
//!
//! The file mode of the socket says who may connect at all; this says what a peer may do then. Who is known by the
//! kernel's word (`SO_PEERCRED`), never by what the peer says.

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking.
    Read,
    /// Changing something.
    Admin,
}

/// Who may change things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The daemon's own user.
    pub own_uid: u32,
    /// The group of the socket, if it is one that was chosen for this purpose.
    pub admin_gid: Option<u32>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// All its groups.
    pub gids: Vec<u32>,
}

impl Policy {
    /// May `peer` do what needs `access`? A peer that the kernel did not name may do nothing.
    pub fn allows(&self, access: Access, peer: Option<&Peer>) -> bool {
        let Some(peer) = peer else { return false };
        match access {
            Access::Read => true,
            Access::Admin => {
                peer.uid == 0
                    || peer.uid == self.own_uid
                    || self.admin_gid.is_some_and(|gid| peer.gids.contains(&gid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_daemons_user_and_the_admin_group_may_change_things() {
        let policy = Policy { own_uid: 500, admin_gid: Some(70) };
        let peer = |uid, gids: &[u32]| Some(Peer { uid, gids: gids.to_vec() });
        for (who, may) in [
            (peer(0, &[0]), true),
            (peer(500, &[500]), true),
            (peer(1000, &[1000, 70]), true),
            (peer(1000, &[1000]), false),
            (None, false),
        ] {
            assert_eq!(policy.allows(Access::Admin, who.as_ref()), may, "{who:?}");
            assert_eq!(policy.allows(Access::Read, who.as_ref()), who.is_some());
        }
        let nobody = Policy { own_uid: 500, admin_gid: None };
        assert!(!nobody.allows(Access::Admin, peer(1000, &[70]).as_ref()));
    }
}
