//! The pool of listening sockets, with real ones.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    sync::Arc,
};

use super::*;
use crate::{base::addr::ListenAddr, sys::fds::LocalAddr};

fn pool(fds: impl IntoIterator<Item = (Origin, OwnedFd)>) -> Listeners {
    Listeners::new(Inherited::from_fds(fds).unwrap().sockets)
}

fn systemd(name: &str) -> Origin {
    Origin::Systemd(name.into())
}

/// A passed TCP listener, blocking as systemd's default is, and its address.
fn passed_tcp() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener.into(), addr)
}

fn unix_addr(folder: &tempfile::TempDir) -> (PathBuf, ListenAddr) {
    let path = folder.path().join("x.sock");
    (path.clone(), ListenAddr::Unix(path))
}

fn ip(listener: &Listener) -> SocketAddr {
    match listener.local_addr() {
        LocalAddr::Ip(addr) => addr,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_passed_socket_survives_its_users_and_connections_made_in_between_are_served() {
    let (fd, addr) = passed_tcp();
    let pool = pool([(systemd("web"), fd)]);
    let wanted = ListenAddr::SystemdIndex(1);
    drop(pool.listener(&wanted).unwrap());

    let client = TcpStream::connect(addr).unwrap();
    let again = pool.listener(&wanted).unwrap();
    let (_, peer) = again.accept().await.unwrap();
    assert_eq!(peer, Peer::Ip(client.local_addr().unwrap()));
}

#[tokio::test]
async fn the_old_and_the_new_user_share_one_socket() {
    let pool = Listeners::default();
    let (_, addr) = passed_tcp(); // closed again: a port that is free
    let addr = ListenAddr::Ip(addr);
    let old = pool.listener(&addr).unwrap();
    assert!(Arc::ptr_eq(&old, &pool.listener(&addr).unwrap()));
    let udp = pool.datagram(&addr).unwrap();
    assert!(Arc::ptr_eq(&udp, &pool.datagram(&addr).unwrap()));
}

#[tokio::test]
async fn a_bound_socket_closes_with_its_last_user() {
    let pool = Listeners::default();
    let listener = pool.listener(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = ip(&listener);
    TcpStream::connect(addr).unwrap();
    drop(listener);
    TcpStream::connect(addr).unwrap_err();
}

#[tokio::test]
async fn an_address_in_use_is_69_and_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let error = Listeners::default().listener(&ListenAddr::Ip(addr)).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {addr}: somebody else listens there"));
    assert_eq!(error.class.code(), 69);
}

#[tokio::test]
async fn an_address_of_another_machine_is_69() {
    let error = Listeners::default().listener(&"192.0.2.1:9000".parse().unwrap()).unwrap_err();
    let sentence = "cannot listen on 192.0.2.1:9000: this machine does not have that address";
    assert_eq!((error.to_string().as_str(), error.class.code()), (sentence, 69));
}

#[tokio::test]
async fn an_overlap_with_the_running_configuration_says_so() {
    let pool = Listeners::default();
    let (_, addr) = passed_tcp();
    let _everywhere = pool.listener(&ListenAddr::Ip(([127, 0, 0, 1], addr.port()).into())).unwrap();
    let everything = ListenAddr::Ip(([0, 0, 0, 0], addr.port()).into());
    let error = pool.listener(&everything).unwrap_err().to_string();
    assert!(error.contains(&format!("overlaps {addr}")), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_for_owner_and_group_and_goes_with_its_last_user() {
    let folder = tempfile::tempdir().unwrap();
    let (path, addr) = unix_addr(&folder);
    let listener = Listeners::default().listener(&addr).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let _client = UnixStream::connect(&path).unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert!(matches!(peer, Peer::Unix(Some(who)) if who.pid == Some(std::process::id() as i32)));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_left_over_socket_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, addr) = unix_addr(&folder);
    drop(UnixListener::bind(&path).unwrap());
    let _listener = Listeners::default().listener(&addr).unwrap();
    UnixStream::connect(&path).unwrap();

    let datagrams = ListenAddr::Unix(folder.path().join("y.sock"));
    drop(UnixDatagram::bind(folder.path().join("y.sock")).unwrap());
    Listeners::default().datagram(&datagrams).unwrap();
}

#[tokio::test]
async fn a_socket_that_somebody_listens_on_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, addr) = unix_addr(&folder);
    let _other = UnixListener::bind(&path).unwrap();
    for error in
        [Listeners::default().listener(&addr).unwrap_err(), Listeners::default().datagram(&addr).unwrap_err()]
    {
        assert_eq!(error.class.code(), 69, "{error}");
    }
    UnixStream::connect(&path).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, addr) = unix_addr(&folder);
    std::fs::File::create(&path).unwrap();
    let error = Listeners::default().listener(&addr).unwrap_err();
    assert!(error.to_string().ends_with("a file that is not a socket is in the way"), "{error}");
    assert!(path.metadata().unwrap().is_file());
}

#[tokio::test]
async fn a_file_that_somebody_else_put_there_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (path, addr) = unix_addr(&folder);
    let listener = Listeners::default().listener(&addr).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.metadata().unwrap().file_type().is_socket());
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let addr = ListenAddr::Unix("/no/such/folder/x.sock".into());
    let error = Listeners::default().listener(&addr).unwrap_err().to_string();
    assert!(error.ends_with("the folder /no/such/folder does not exist"), "{error}");
}

#[tokio::test]
async fn a_successor_serves_the_same_sockets_under_the_same_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (path, unix) = unix_addr(&folder);
    let (fd, tcp) = passed_tcp();
    let old = pool([(systemd("web"), fd)]);
    let _old_unix = old.listener(&unix).unwrap();

    let fds = old.hand_over().unwrap().into_iter().map(|socket| (socket.origin, socket.fd));
    let new = pool(fds);
    let web = new.listener(&ListenAddr::SystemdIndex(1)).unwrap();
    assert_eq!(ip(&web), tcp);
    let new_unix = new.listener(&unix).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    new_unix.accept().await.unwrap();
}

#[tokio::test]
async fn a_successor_that_fails_leaves_the_socket_file_to_the_predecessor() {
    let folder = tempfile::tempdir().unwrap();
    let (path, unix) = unix_addr(&folder);
    let old = Listeners::default();
    let _old_unix = old.listener(&unix).unwrap();
    let hand_over = || old.hand_over().unwrap().into_iter().map(|socket| (socket.origin, socket.fd));

    drop(pool(hand_over()).listener(&unix).unwrap());
    UnixStream::connect(&path).unwrap();

    let new = pool(hand_over());
    let new_unix = new.listener(&unix).unwrap();
    new.take_over_files();
    old.leave_files();
    drop(_old_unix);
    UnixStream::connect(&path).unwrap();
    drop(new_unix);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_predecessor_had_and_nobody_wants_any_more_is_closed() {
    let (fd, addr) = passed_tcp();
    let pool = pool([(Origin::Predecessor, fd)]);
    pool.close_unused();
    TcpStream::connect(addr).unwrap_err();
}

#[tokio::test]
async fn a_review_names_what_is_missing_and_what_is_left_over() {
    let pool = pool([(systemd("web"), passed_tcp().0), (systemd("logs"), passed_tcp().0)]);
    let wanted =
        |addr: &str| Wanted { who: "source in".into(), usage: Use::Connections, addr: addr.parse().unwrap() };
    let review = pool.review(&[wanted("systemd"), wanted("systemd#3")]);
    let sentence = "source in: systemd passed 2 sockets (web, logs); there is no systemd#3";
    assert_eq!(review.errors[0].message, sentence);
    assert_eq!(review.unused, ["systemd#2 (logs)"]);
}
