//! The control socket: passed by systemd, or made here.

use std::{
    fs::DirBuilder,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use nix::unistd::{Gid, Group, chown, geteuid};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{environment::variable, paths};
use crate::{
    activation::{API_NAME, Inherited, Listener, Listeners},
    api::{self, Command, Handle, access::Policy},
    base::{
        addr::ListenAddr,
        fault::{Class, Fault},
        fs::FileError,
        scope::Scope,
    },
    config::Global,
    sys::fds::LocalAddr,
};

/// Where clients connect; nowhere, if another daemon has the default place.
pub(super) struct Control {
    listener: Option<Arc<Listener>>,
    policy: Policy,
}

/// Opens the control socket and the pool of listeners.
///
/// A socket that was asked for by name must be had. The default one is given up with a warning when another daemon has
/// it or its folder cannot be made: a second pipeline, run by hand beside the service, needs none.
pub(super) fn open(
    inherited: Inherited,
    asked: Option<&Path>,
    global: &Global,
) -> Result<(Listeners, Control), Fault> {
    let listeners = Listeners::new(inherited.sockets);
    let own_uid = geteuid().as_raw();
    let passed = listeners.listener(&ListenAddr::SystemdName(API_NAME.to_owned()));
    if let Ok(listener) = passed {
        debug!("the control socket was passed by the service manager");
        let admin_gid = match listener.local_addr() {
            LocalAddr::Unix(path) => group_of(&path),
            LocalAddr::Ip(_) | LocalAddr::Unnamed => None,
        };
        return Ok((listeners, Control { listener: Some(listener), policy: Policy { own_uid, admin_gid } }));
    }
    let configured = asked.or(global.api.socket.as_deref());
    let is_chosen = configured.is_some() || variable("QOVERY_SOCKET").is_some();
    let path = paths::control_socket(configured, global.data_dir.as_deref());
    match bind(&listeners, &path, global.api.group.as_deref()) {
        Ok((listener, admin_gid)) => {
            Ok((listeners, Control { listener: Some(listener), policy: Policy { own_uid, admin_gid } }))
        }
        Err(fault) if is_chosen => Err(fault),
        Err(fault) => {
            warn!("{fault}; going on without a control socket (--socket gives this daemon one of its own)");
            Ok((listeners, Control { listener: None, policy: Policy { own_uid, admin_gid: None } }))
        }
    }
}

fn bind(
    listeners: &Listeners,
    path: &Path,
    group: Option<&str>,
) -> Result<(Arc<Listener>, Option<u32>), Fault> {
    let path = std::path::absolute(path).map_err(FileError::new("find", path))?;
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(FileError::new("create", folder))?;
    }
    let gid = group.map(gid).transpose()?;
    let listener = listeners.listener(&ListenAddr::Unix(path.clone()))?;
    if let Some(gid) = gid {
        chown(&path, None, Some(gid))
            .map_err(|error| FileError::new("give to its group", &path)(error.into()))?;
    }
    Ok((listener, gid.map(Gid::as_raw)))
}

fn gid(name: &str) -> Result<Gid, Fault> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(Fault::config(format!("there is no group `{name}` (api.group)"))),
        Err(error) => Err(Fault::new(Class::System, format!("cannot look up the group `{name}`: {error}"))),
    }
}

/// The group that systemd gave to the socket, unless it is just root's.
fn group_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|file| file.gid()).filter(|gid| *gid != 0)
}

impl Control {
    /// Serves clients, as a task of `scope`.
    pub(super) fn serve(self, scope: &mut Scope, commands: mpsc::Sender<Command>) {
        let Some(listener) = self.listener else { return };
        let handle = Handle { commands, policy: self.policy };
        scope.spawn("control socket", move |shutdown| api::server::serve(listener, handle, shutdown));
    }
}
