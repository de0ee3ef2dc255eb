//! What happens when the process has no descriptor left. A file of its own: the limit is one per process.

use std::{fs::File, future::poll_fn, pin::pin, task::Poll, time::Duration};

use nix::sys::resource::{Resource, setrlimit};
use qovery::{
    activation::Listeners,
    base::addr::ListenAddr,
    net::{Acceptor, ConnectionLimit, RemoteAddr, connect},
    sys::fds::{LocalAddr, file_limit, raise_file_limit},
};

#[tokio::test]
async fn a_client_that_comes_when_no_descriptor_is_left_is_served_later() {
    let raised = raise_file_limit().expect("a limit");
    assert_eq!(file_limit().expect("a limit"), raised.now);

    let any: ListenAddr = "127.0.0.1:0".parse().expect("an address");
    let listener = Listeners::default().listener(&any).expect("a free port");
    let LocalAddr::Ip(addr) = listener.local_addr() else { panic!("a TCP listener") };
    let target: RemoteAddr = addr.to_string().parse().expect("an address");
    let mut acceptor = Acceptor::new(listener, ConnectionLimit::default());
    let client = connect(&target, None, Duration::from_secs(10)).await.expect("it is listened on");

    setrlimit(Resource::RLIMIT_NOFILE, 64, 64).expect("lower is allowed");
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let mut accepted = pin!(acceptor.next());
    // Many turns of the runtime, so that it has seen the client and failed to accept it.
    for _ in 0..100 {
        let waits = poll_fn(|cx| Poll::Ready(accepted.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "there was no descriptor for it");
        tokio::task::yield_now().await;
    }
    drop(files);
    assert_eq!(accepted.await.peer.to_string(), client.local_text());
}
