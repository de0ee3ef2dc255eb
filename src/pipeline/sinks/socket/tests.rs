use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, UdpSocket, UnixListener},
};

use crate::pipeline::testing::{Stand, logs, sink_spec, until};

#[tokio::test]
async fn events_go_out_as_lines() {
    let stand = Stand::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = format!("type = 'socket'\nmode = 'tcp'\naddress = '{address}'\nencoding = 'text'");
    let sink = stand.run_sink(stand.build_sink(&options).unwrap());
    sink.inlet.send(logs(&["one", "two"])).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "one");
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "two");
    until("it is counted", || stand.metrics.sent_bytes.get() == 8).await;
}

#[tokio::test]
async fn to_a_unix_socket_json_is_written_unless_said_otherwise() {
    let stand = Stand::new();
    let path = stand.path("out.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let options = format!("type = 'socket'\nmode = 'unix'\npath = '{}'", path.display());
    let sink = stand.run_sink(stand.build_sink(&options).unwrap());
    sink.inlet.send(logs(&["one"])).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    let (done, read) = tokio::join!(sink.finish(), async {
        let read = stream.read_to_string(&mut text).await;
        drop(stream);
        read
    });
    done.unwrap();
    read.unwrap();
    assert_eq!(text, "{\"message\":\"one\"}\n");
}

#[tokio::test]
async fn each_event_is_a_datagram_and_one_that_does_not_fit_is_counted() {
    let stand = Stand::new();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let options = format!("type = 'socket'\nmode = 'udp'\naddress = '{address}'\nencoding = 'text'");
    let sink = stand.build_sink(&options).unwrap();
    sink.healthcheck().await.unwrap();
    let sink = stand.run_sink(sink);
    sink.inlet.send(logs(&["one", &"x".repeat(70_000), "two"])).await;
    let mut space = [0; 100];
    for expected in ["one", "two"] {
        let count = socket.recv(&mut space).await.unwrap();
        assert_eq!(&space[..count], expected.as_bytes());
    }
    sink.finish().await.unwrap();
    assert_eq!(stand.metrics.discarded().get("too_large"), Some(&1));
    assert_eq!(stand.metrics.unaccounted(), 0);
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_nobody_wants_hold_nothing_up() {
    let stand = Stand::new();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let options = format!("type = 'socket'\nmode = 'udp'\naddress = '{address}'\nencoding = 'text'");
    let sink = stand.run_sink(stand.build_sink(&options).unwrap());
    for _ in 0..100 {
        sink.inlet.send(logs(&["lost"])).await;
    }
    sink.finish().await.unwrap();
    assert_eq!(stand.metrics.sent_events.get(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_does_not_resolve_is_waited_for_and_an_interrupt_gives_all_back() {
    let stand = Stand::new();
    let options = "type = 'socket'\nmode = 'udp'\naddress = 'no-such-host.invalid:514'";
    let sink = stand.build_sink(options).unwrap();
    let error = sink.healthcheck().await.unwrap_err();
    assert!(error.contains("no-such-host.invalid:514"), "{error}");
    let sink = stand.run_sink(sink);
    sink.inlet.send(logs(&["one", "two"])).await;
    until("it has tried", || stand.metrics.errors().contains_key("send")).await;
    sink.interrupt().await;
    assert_eq!(stand.metrics.buffered_events.get(), 2);
}

#[test]
fn wrong_options_are_errors() {
    let errors = |options: &str| sink_spec(&format!("type = 'socket'\n{options}")).unwrap_err();
    assert!(errors("mode = 'tcp'").contains("needs `address`"));
    assert!(errors("mode = 'unix'").contains("needs `path`"));
    assert!(errors("mode = 'unix'\npath = 'x'").contains("absolute path"));
    assert!(errors("mode = 'unix'\naddress = 'a:1'").contains("needs a `path`"));
    assert!(errors("mode = 'udp'\naddress = 'unix:/x'").contains("write `mode = \"unix\"`"));
    assert!(errors("mode = 'udp'\naddress = 'a:1'\ntls.enabled = true").contains("unknown option `tls`"));
    assert!(errors("mode = 'tcp'\naddress = 'a:1'\nencoding = 'jsn'").contains("did you mean `json`?"));
    assert!(sink_spec("type = 'socket'\nmode = 'unix'\naddress = 'unix:/run/x.sock'").is_ok());
}
