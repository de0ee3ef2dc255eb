//! How long events take from and to bytes: `cargo bench --bench codec`.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use qovery::event::{
    Event, Log, Metric, MetricKind, MetricValue, TagValue, Timestamp, Value,
    codec::{
        decode_json, encode_json, encode_text,
        framing::{LengthDelimited, Lines},
        proto,
    },
};

/// So many of each are one batch: about what one read from a socket brings.
const EVENTS: usize = 200;
const ROUND: Duration = Duration::from_millis(50);
const ROUNDS: usize = 20;

fn main() {
    println!("{:<36}{:>10}{:>14}{:>10}", "", "ns/event", "events/s", "MB/s");
    let (plain, rich, metric) = (plain(), rich(), metric());
    for (name, event) in
        [("line, 4 fields", &plain), ("12 fields, nested", &rich), ("counter, 2 tags", &metric)]
    {
        println!("{name}");
        wire(event);
        if event.as_log().is_some() {
            json(event);
        }
        texts(event);
    }
    println!("framing");
    lines();
}

/// A line of 200 bytes as the `stdin` source makes it: a frame of about 280 bytes.
fn plain() -> Event {
    let at = Timestamp::from_timestamp(1_790_000_000, 123_456_789).expect("a moment in 2026");
    let message: Bytes = "The quick brown fox jumps over the lazy dog. ".repeat(5)[..200].to_owned().into();
    Log::line(message, &Value::from("server-1"), "stdin", at).into()
}

fn rich() -> Event {
    let Event::Log(mut log) = plain() else { unreachable!("it is a log") };
    for name in ["appname", "environment", "facility", "level", "procid", "version"] {
        log.fields.insert(name, "some text");
    }
    log.fields.insert("status", 200);
    let request =
        [("method".into(), "GET".into()), ("bytes".into(), Value::Integer(123_456))].into_iter().collect();
    log.fields
        .insert("request", Value::Array(vec![Value::Map(request), Value::Float(0.25), Value::Boolean(true)]));
    log.into()
}

fn metric() -> Event {
    let tags = [("code", "200"), ("host", "server-1")];
    let tags = tags.map(|(name, value)| (name.to_owned(), TagValue::Single(value.to_owned())));
    Event::from(Metric {
        name: "requests_total".to_owned(),
        namespace: Some("app".to_owned()),
        timestamp: Timestamp::from_timestamp(1_790_000_000, 123_456_789),
        tags: tags.into(),
        kind: MetricKind::Incremental,
        interval_ms: None,
        value: MetricValue::Counter { value: 1.0 },
    })
}

fn wire(event: &Event) {
    let mut stream = BytesMut::new();
    for _ in 0..EVENTS {
        proto::encode_frame(event, &mut stream).expect("it is small");
    }
    let bytes = stream.len() / EVENTS;
    row("frames to events", bytes, || {
        let mut framer = LengthDelimited::new(proto::MAX_FRAME);
        // The copy from the kernel, and one buffer for many events.
        let mut buf = stream.clone();
        let mut batch = Vec::with_capacity(EVENTS);
        while let Some(frame) = framer.next(&mut buf) {
            batch.push(proto::decode(frame.expect("it is whole")).expect("we wrote it").event);
        }
        assert_eq!(batch.len(), EVENTS);
        black_box(batch);
    });
    let mut out = BytesMut::with_capacity(stream.len());
    row("events to frames", bytes, || {
        out.clear();
        for _ in 0..EVENTS {
            proto::encode_frame(black_box(event), &mut out).expect("it is small");
        }
        black_box(&out);
    });
}

fn texts(event: &Event) {
    for (name, encode) in
        [("events to JSON", encode_json as fn(&Event, &mut Vec<u8>)), ("events to text", encode_text)]
    {
        let mut out = Vec::new();
        encode(event, &mut out);
        let bytes = out.len();
        row(name, bytes, || {
            out.clear();
            for _ in 0..EVENTS {
                encode(black_box(event), &mut out);
                out.push(b'\n');
            }
            black_box(&out);
        });
    }
}

fn json(event: &Event) {
    let mut line = Vec::new();
    encode_json(event, &mut line);
    let line = Bytes::from(line);
    row("JSON to events", line.len(), || {
        for _ in 0..EVENTS {
            black_box(decode_json(black_box(&line)).expect("we wrote it"));
        }
    });
}

fn lines() {
    let stream = BytesMut::from(format!("{}\n", "x".repeat(200)).repeat(EVENTS).as_str());
    row("lines of 200 bytes", 201, || {
        let mut framer = Lines::new(102_400);
        let mut buf = stream.clone();
        while let Some(line) = framer.next(&mut buf) {
            black_box(line.expect("it is short"));
        }
    });
}

/// Runs `batch` for a while, in rounds, and prints the best one: the others were disturbed.
fn row(name: &str, bytes: usize, mut batch: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let mut runs = 0_u32;
        while start.elapsed() < ROUND {
            batch();
            runs += 1;
        }
        start.elapsed() / runs
    });
    let each = best.min().expect("there are rounds").as_secs_f64() / EVENTS as f64;
    println!("  {name:<34}{:>10.0}{:>14.0}{:>10.0}", each * 1e9, 1.0 / each, bytes as f64 / each / 1e6);
}
