//! Which inherited socket serves which address; each serves one user at a time.
//!
//! Pure.

use std::collections::BTreeMap;

use crate::{
    base::{
        addr::ListenAddr,
        fault::{Class, Fault},
    },
    sys::fds::{LocalAddr, SocketKind},
};

/// Names of entries that we put into systemd's fd store begin with this. (A colon separates names in
/// `LISTEN_FDNAMES`, so it cannot be part of one.)
pub const STORE_PREFIX: &str = "qovery-store.";

/// The name that systemd gives to entries of the fd store that were stored without one.
pub const STORE_NAME: &str = "stored";

/// The name of the socket unit that serves the API; not counted by `systemd#N`.
pub const API_NAME: &str = "api";

/// Is an entry of this name from the fd store, and not from a socket unit?
pub fn is_stored(name: &str) -> bool {
    name == STORE_NAME || name.starts_with(STORE_PREFIX)
}

/// What is known about an inherited socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// `FileDescriptorName=` of the socket unit; None when a predecessor handed it over.
    pub name: Option<String>,
    /// What it is.
    pub kind: SocketKind,
    /// Where it is bound.
    pub local: LocalAddr,
}

impl Described {
    /// Does `systemd#N` count it?
    pub fn counted(&self) -> bool {
        self.name.as_deref().is_some_and(|name| name != API_NAME)
    }
}

/// What a user of a socket needs it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// To accept connections.
    Connections,
    /// To receive datagrams.
    Datagrams,
}

/// The place in `sockets` of the one that serves `addr`; None when one must be bound.
///
/// # Errors
///
/// When `addr` asks for a passed socket that does not exist or is of the wrong type.
pub fn find(sockets: &[Described], addr: &ListenAddr, usage: Use) -> Result<Option<usize>, Fault> {
    let counted = || sockets.iter().enumerate().filter(|(_, socket)| socket.counted());
    let index = match addr {
        ListenAddr::SystemdIndex(number) => {
            let found = counted().nth(number.saturating_sub(1)).map(|(index, _)| index);
            found.ok_or_else(|| missing(sockets, addr))?
        }
        ListenAddr::SystemdName(name) => {
            let mut named = (0..sockets.len()).filter(|index| sockets[*index].name.as_ref() == Some(name));
            let found = named.next().ok_or_else(|| missing(sockets, addr))?;
            if named.next().is_some() {
                return Err(ambiguous(sockets, name));
            }
            found
        }
        ListenAddr::Ip(ip) => return Ok(bound_at(sockets, &LocalAddr::Ip(*ip), usage)),
        ListenAddr::Unix(path) => return Ok(bound_at(sockets, &LocalAddr::Unix(path.clone()), usage)),
    };
    match (usage, sockets[index].kind) {
        (Use::Connections, SocketKind::TcpListener | SocketKind::UnixListener)
        | (Use::Datagrams, SocketKind::Udp | SocketKind::UnixDatagram) => Ok(Some(index)),
        (usage, kind) => {
            let wanted = match usage {
                Use::Connections => "a listener (ListenStream=)",
                Use::Datagrams => "a datagram socket (ListenDatagram=)",
            };
            let sentence = format!("{addr} is {kind}; {wanted} is needed here");
            Err(Fault::new(Class::Config, sentence))
        }
    }
}

fn bound_at(sockets: &[Described], local: &LocalAddr, usage: Use) -> Option<usize> {
    let kinds = match usage {
        Use::Connections => [SocketKind::TcpListener, SocketKind::UnixListener],
        Use::Datagrams => [SocketKind::Udp, SocketKind::UnixDatagram],
    };
    sockets.iter().position(|socket| socket.local == *local && kinds.contains(&socket.kind))
}

fn missing(sockets: &[Described], addr: &ListenAddr) -> Fault {
    let names: Vec<&str> = sockets.iter().filter_map(|socket| socket.name.as_deref()).collect();
    let counted: Vec<&str> = names.iter().copied().filter(|name| *name != API_NAME).collect();
    let listed = match addr {
        ListenAddr::SystemdName(_) => names,
        ListenAddr::Ip(_) | ListenAddr::Unix(_) | ListenAddr::SystemdIndex(_) => counted,
    };
    let passed = match listed.len() {
        0 => "systemd passed no socket".to_owned(),
        1 => format!("systemd passed 1 socket ({})", listed[0]),
        many => format!("systemd passed {many} sockets ({})", listed.join(", ")),
    };
    Fault::new(Class::Config, format!("{passed}; there is no {addr}"))
}

fn ambiguous(sockets: &[Described], name: &str) -> Fault {
    let counted = sockets.iter().filter(|socket| socket.counted());
    let numbers: Vec<String> = counted
        .zip(1..)
        .filter(|(socket, _)| socket.name.as_deref() == Some(name))
        .map(|(_, number)| format!("systemd#{number}"))
        .collect();
    let hint = if numbers.is_empty() { String::new() } else { format!(": use {}", numbers.join(" or ")) };
    let sentence = format!("systemd passed several sockets named {name}{hint}");
    Fault::new(Class::Config, sentence)
}

/// What a plan asks for, compared with what there is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Everything that is wrong, in the order of the plan.
    pub errors: Vec<Fault>,
    /// Inherited sockets that nobody in the plan uses, as `systemd#2 (logs)`: connections to them wait
    /// in the kernel and are never answered.
    pub unused: Vec<String>,
}

/// Compares all addresses of a plan (who wants it, for what, where) with the inherited sockets.
pub fn review<'a>(
    sockets: &[Described],
    wanted: impl IntoIterator<Item = (&'a str, Use, &'a ListenAddr)>,
) -> Review {
    let mut errors = Vec::new();
    let mut by_socket: BTreeMap<usize, &str> = BTreeMap::new();
    let mut by_addr: BTreeMap<(Use, &ListenAddr), &str> = BTreeMap::new();
    for (who, usage, addr) in wanted {
        let other = match find(sockets, addr, usage) {
            Err(error) => {
                let sentence = format!("{who}: {}", error.message);
                errors.push(Fault::new(error.class, sentence));
                continue;
            }
            Ok(Some(index)) => by_socket.insert(index, who),
            // Port 0 means any free port, so it is no place that two could want.
            Ok(None) if matches!(addr, ListenAddr::Ip(ip) if ip.port() == 0) => None,
            Ok(None) => by_addr.insert((usage, addr), who),
        };
        if let Some(other) = other {
            let sentence = format!("{addr} is claimed twice: by {other} and by {who}");
            errors.push(Fault::new(Class::Config, sentence));
        }
    }
    let unused = |(index, _): &(usize, &Described)| !by_socket.contains_key(index);
    let unused = sockets.iter().enumerate().filter(unused).filter_map(|(index, socket)| {
        let name = socket.name.as_ref().filter(|_| socket.counted())?;
        let number = sockets[..=index].iter().filter(|socket| socket.counted()).count();
        Some(format!("systemd#{number} ({name})"))
    });
    Review { unused: unused.collect(), errors }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str, kind: SocketKind) -> Described {
        Described { name: Some(name.into()), kind, local: LocalAddr::Unnamed }
    }

    /// api, web, logs, and one that a predecessor handed over.
    fn sockets() -> Vec<Described> {
        let handed = LocalAddr::Ip("127.0.0.1:9000".parse().unwrap());
        vec![
            passed("api", SocketKind::UnixListener),
            passed("web", SocketKind::TcpListener),
            passed("logs", SocketKind::UnixDatagram),
            Described { name: None, kind: SocketKind::TcpListener, local: handed },
        ]
    }

    #[track_caller]
    fn check(addr: &str, usage: Use, expected: Result<Option<usize>, &str>) {
        let found = find(&sockets(), &addr.parse().unwrap(), usage);
        assert_eq!(found.map_err(|error| error.message), expected.map_err(str::to_owned));
    }

    #[test]
    fn numbers_count_from_one_and_leave_out_the_api() {
        check("systemd", Use::Connections, Ok(Some(1)));
        check("systemd#1", Use::Connections, Ok(Some(1)));
        check("systemd#2", Use::Datagrams, Ok(Some(2)));
        let sentence = "systemd passed 2 sockets (web, logs); there is no systemd#3";
        check("systemd#3", Use::Connections, Err(sentence));
    }

    #[test]
    fn names_find_any_passed_socket() {
        check("systemd:api", Use::Connections, Ok(Some(0)));
        check("systemd:web", Use::Connections, Ok(Some(1)));
        let sentence = "systemd passed 3 sockets (api, web, logs); there is no systemd:mail";
        check("systemd:mail", Use::Connections, Err(sentence));
    }

    #[test]
    fn an_address_finds_a_socket_that_is_bound_there_already() {
        check("127.0.0.1:9000", Use::Connections, Ok(Some(3)));
        check("127.0.0.1:9000", Use::Datagrams, Ok(None));
        check("127.0.0.1:9001", Use::Connections, Ok(None));
        check("unix:/run/x", Use::Connections, Ok(None));
    }

    #[test]
    fn the_wrong_type_is_an_error_that_names_the_right_setting() {
        let sentence = "systemd#2 is a Unix datagram socket; a listener (ListenStream=) is needed here";
        check("systemd#2", Use::Connections, Err(sentence));
        let sentence = "systemd:web is a TCP listener; a datagram socket (ListenDatagram=) is needed here";
        check("systemd:web", Use::Datagrams, Err(sentence));
    }

    #[test]
    fn without_systemd_there_is_nothing_to_claim() {
        let error = find(&[], &ListenAddr::SystemdIndex(1), Use::Connections).unwrap_err();
        assert_eq!(error.message, "systemd passed no socket; there is no systemd#1");
        assert_eq!(error.class.code(), 78);
    }

    #[test]
    fn a_name_that_two_sockets_have_is_no_answer() {
        let sockets = [passed("x", SocketKind::TcpListener), passed("x", SocketKind::TcpListener)];
        let error = find(&sockets, &"systemd:x".parse().unwrap(), Use::Connections).unwrap_err();
        assert_eq!(error.message, "systemd passed several sockets named x: use systemd#1 or systemd#2");
    }

    #[test]
    fn one_socket_under_two_names_is_claimed_twice() {
        let [first, second]: [ListenAddr; 2] = ["systemd#1", "systemd:web"].map(|text| text.parse().unwrap());
        let review = review(
            &sockets(),
            [("source a", Use::Connections, &first), ("source b", Use::Connections, &second)],
        );
        let sentences: Vec<_> = review.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(sentences, ["systemd:web is claimed twice: by source a and by source b"]);
        assert_eq!(review.unused, ["systemd#2 (logs)"]);
    }

    #[test]
    fn one_port_may_serve_datagrams_and_connections_but_not_two_users() {
        let addr: ListenAddr = "127.0.0.1:514".parse().unwrap();
        let any: ListenAddr = "127.0.0.1:0".parse().unwrap();
        let both = [("a", Use::Connections, &addr), ("b", Use::Datagrams, &addr)];
        assert_eq!(review(&[], both), Review::default());
        let twice = [("a", Use::Connections, &addr), ("b", Use::Connections, &addr)];
        assert_eq!(review(&[], twice).errors.len(), 1);
        let any = [("a", Use::Connections, &any), ("b", Use::Connections, &any)];
        assert_eq!(review(&[], any), Review::default());
    }

    #[test]
    fn entries_of_the_fd_store_are_told_by_their_names() {
        assert!(is_stored("stored") && is_stored("qovery-store.state"));
        assert!(!is_stored("web") && !is_stored("qovery.socket"));
    }
}
