//! The pool that keeps listening sockets across reloads and hands them to a successor.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{
    Datagram, Listener, Origin, Passed,
    bind::{bind_ip, bind_unix},
    claim::{Described, Review, Use, find, review},
    socket_file::SocketFile,
};
use crate::{
    base::{
        addr::ListenAddr,
        fault::{Class, Fault},
    },
    sys::fds::LocalAddr,
};

/// One wish of a plan, for [`Listeners::review`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Who wants it, for the message: `source in`.
    pub who: String,
    /// What for.
    pub usage: Use,
    /// Where.
    pub addr: ListenAddr,
}

/// A socket on its way to a successor, which builds its [`Inherited`](super::Inherited) from them, in this order.
#[derive(Debug)]
pub struct HandedOver {
    /// How the successor must see it.
    pub origin: Origin,
    /// A duplicate; the pool keeps its own.
    pub fd: OwnedFd,
}

/// All listening sockets of the daemon. Clones share one pool.
///
/// Who asks for an address that is in use gets the same socket: during a reload the old and the new
/// user accept side by side, and no connection is refused in between. That two users of one plan do
/// not want the same is checked before, by [`Listeners::review`].
///
/// A socket that systemd passed stays open for ever: nobody could open it again. One that was bound
/// here is closed when its last user drops it.
#[derive(Clone, Default)]
pub struct Listeners {
    // A mutex, because components ask for sockets from their own tasks while a plan is built. Held
    // for a few system calls, never across an await.
    pool: Arc<Mutex<Pool>>,
}

#[derive(Default)]
struct Pool {
    inherited: Vec<Slot>,
    bound: BTreeMap<ListenAddr, Weak<Listener>>,
    bound_datagrams: BTreeMap<ListenAddr, Weak<Datagram>>,
    /// The files of Unix sockets are the predecessor's, until it has gone.
    files_are_borrowed: bool,
}

/// An inherited socket. The users have duplicates of it.
struct Slot {
    described: Described,
    fd: OwnedFd,
    listener: Weak<Listener>,
    datagram: Weak<Datagram>,
}

impl Listeners {
    /// A pool that begins with what was inherited.
    pub fn new(inherited: Vec<Passed>) -> Self {
        let files_are_borrowed = inherited.iter().any(|passed| passed.described.name.is_none());
        let slot =
            |Passed { described, fd }| Slot { described, fd, listener: Weak::new(), datagram: Weak::new() };
        let inherited = inherited.into_iter().map(slot).collect();
        Listeners { pool: Arc::new(Mutex::new(Pool { inherited, files_are_borrowed, ..Pool::default() })) }
    }

    /// Compares what a plan wants with what there is: binds nothing, changes nothing.
    pub fn review(&self, wanted: &[Wanted]) -> Review {
        let wanted = wanted.iter().map(|wish| (wish.who.as_str(), wish.usage, &wish.addr));
        review(&self.lock().describe(), wanted)
    }

    /// The listener for `addr`: the one in use, an inherited one, or one that is bound now.
    ///
    /// Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When it cannot be bound, or systemd did not pass it. The class of the fault decides the exit code.
    pub fn listener(&self, addr: &ListenAddr) -> Result<Arc<Listener>, Fault> {
        self.lock().get(addr)
    }

    /// The datagram socket for `addr`, in the same way.
    ///
    /// # Errors
    ///
    /// As [`Listeners::listener`].
    pub fn datagram(&self, addr: &ListenAddr) -> Result<Arc<Datagram>, Fault> {
        self.lock().get(addr)
    }

    /// Duplicates of all sockets that are open, for a successor. Entries come as the successor must
    /// count them: first what systemd passed, in its order.
    ///
    /// # Errors
    ///
    /// When the limit of open files is reached.
    pub fn hand_over(&self) -> io::Result<Vec<HandedOver>> {
        let pool = self.lock();
        let inherited = pool.inherited.iter().map(|slot| {
            let origin = slot.described.name.clone().map_or(Origin::Predecessor, Origin::Systemd);
            Ok(HandedOver { origin, fd: slot.fd.try_clone()? })
        });
        let listeners = pool.bound.values().filter_map(Weak::upgrade).map(|user| duplicate(&*user));
        let datagrams = pool.bound_datagrams.values().filter_map(Weak::upgrade).map(|user| duplicate(&*user));
        inherited.chain(listeners).chain(datagrams).collect()
    }

    /// A successor is ready: the files of Unix sockets are now its own, and stay when this pool ends.
    pub fn leave_files(&self) {
        self.lock().keep_files(true);
    }

    /// The predecessor has gone: the files of its Unix sockets are now ours to remove.
    ///
    /// Not before: a successor that fails must leave the files to the daemon that goes on serving.
    pub fn take_over_files(&self) {
        self.lock().keep_files(false);
    }

    /// Closes what a predecessor handed over and nobody uses; to be called when the first plan runs.
    pub fn close_unused(&self) {
        self.lock().inherited.retain(|slot| slot.described.name.is_some());
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // Every change is a single insert or remove, so a panic elsewhere leaves nothing half done.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.lock();
        f.debug_struct("Listeners")
            .field("inherited", &pool.describe())
            .field("bound", &pool.bound.keys())
            .field("bound_datagrams", &pool.bound_datagrams.keys())
            .finish()
    }
}

impl Pool {
    fn describe(&self) -> Vec<Described> {
        self.inherited.iter().map(|slot| slot.described.clone()).collect()
    }

    fn get<S: Socket>(&mut self, addr: &ListenAddr) -> Result<Arc<S>, Fault> {
        S::bound(self).retain(|_, user| user.strong_count() > 0);
        // Any free port: whoever asks gets one of its own.
        let any = matches!(addr, ListenAddr::Ip(ip) if ip.port() == 0);
        if let Some(user) = S::bound(self).get(addr).and_then(Weak::upgrade).filter(|_| !any) {
            return Ok(user);
        }
        let failed =
            |error: io::Error| Fault::new(Class::System, format!("cannot listen on {addr}: {error}"));
        if let Some(index) = find(&self.describe(), addr, S::USAGE)? {
            if self.inherited[index].described.name.is_some() {
                let slot = &mut self.inherited[index];
                if let Some(user) = S::in_slot(slot).upgrade() {
                    return Ok(user);
                }
                let user = Arc::new(S::open(slot.fd.try_clone().map_err(failed)?, None).map_err(failed)?);
                *S::in_slot(slot) = Arc::downgrade(&user);
                return Ok(user);
            }
            // From a predecessor, which had bound it: from here on as if we had done so.
            let slot = self.inherited.remove(index);
            let file = match &slot.described.local {
                LocalAddr::Unix(path) => SocketFile::own(path),
                LocalAddr::Ip(_) | LocalAddr::Unnamed => None,
            };
            file.iter().for_each(|file| file.keep(self.files_are_borrowed));
            let user = Arc::new(S::open(slot.fd, file).map_err(failed)?);
            S::bound(self).insert(addr.clone(), Arc::downgrade(&user));
            return Ok(user);
        }
        let (fd, file) = match addr {
            ListenAddr::Ip(ip) => {
                (bind_ip(*ip, S::USAGE).map_err(|error| self.overlap::<S>(addr, error))?, None)
            }
            ListenAddr::Unix(path) => bind_unix(path, S::USAGE)?,
            ListenAddr::SystemdIndex(_) | ListenAddr::SystemdName(_) => {
                unreachable!("`find` gives a socket or an error for these")
            }
        };
        let user = Arc::new(S::open(fd, file).map_err(failed)?);
        if !any {
            S::bound(self).insert(addr.clone(), Arc::downgrade(&user));
        }
        Ok(user)
    }

    /// Who is in the way may be the running configuration itself: `0.0.0.0:80` and `127.0.0.1:80`.
    fn overlap<S: Socket>(&mut self, addr: &ListenAddr, error: Fault) -> Fault {
        let ListenAddr::Ip(wanted) = addr else { return error };
        let own = S::bound(self).keys().find(|own| match own {
            ListenAddr::Ip(own) => {
                own.port() == wanted.port() && (own.ip().is_unspecified() || wanted.ip().is_unspecified())
            }
            ListenAddr::Unix(_) | ListenAddr::SystemdIndex(_) | ListenAddr::SystemdName(_) => false,
        });
        match own {
            Some(own) if error.class == Class::Unavailable => Fault::new(
                error.class,
                format!(
                    "cannot listen on {addr}: it overlaps {own}, which the running configuration listens on; \
                     use another port, or restart instead of reloading"
                ),
            ),
            Some(_) | None => error,
        }
    }

    fn keep_files(&mut self, keep: bool) {
        self.files_are_borrowed = keep;
        self.bound.values().filter_map(Weak::upgrade).for_each(|user| user.keep_file(keep));
        self.bound_datagrams.values().filter_map(Weak::upgrade).for_each(|user| user.keep_file(keep));
    }
}

fn duplicate(socket: &impl AsFd) -> io::Result<HandedOver> {
    Ok(HandedOver { origin: Origin::Predecessor, fd: socket.as_fd().try_clone_to_owned()? })
}

/// What the pool must know about the two kinds of sockets that it holds.
trait Socket: Sized {
    const USAGE: Use;
    fn open(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self>;
    fn bound(pool: &mut Pool) -> &mut BTreeMap<ListenAddr, Weak<Self>>;
    fn in_slot(slot: &mut Slot) -> &mut Weak<Self>;
}

impl Socket for Listener {
    const USAGE: Use = Use::Connections;

    fn open(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self> {
        Listener::from_fd(fd, file)
    }

    fn bound(pool: &mut Pool) -> &mut BTreeMap<ListenAddr, Weak<Self>> {
        &mut pool.bound
    }

    fn in_slot(slot: &mut Slot) -> &mut Weak<Self> {
        &mut slot.listener
    }
}

impl Socket for Datagram {
    const USAGE: Use = Use::Datagrams;

    fn open(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self> {
        Datagram::from_fd(fd, file)
    }

    fn bound(pool: &mut Pool) -> &mut BTreeMap<ListenAddr, Weak<Self>> {
        &mut pool.bound_datagrams
    }

    fn in_slot(slot: &mut Slot) -> &mut Weak<Self> {
        &mut slot.datagram
    }
}
