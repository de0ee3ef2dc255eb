//! Bytes of any kind to events, and events to bytes.

use proptest::{collection, prelude::*};

use super::super::samples;
use super::*;
use crate::event::{Key, Log, Map, MetricKind, MetricValue, TagValue, Value};
use wire::value::Kind;

fn payload(event: &Event) -> Bytes {
    let mut out = BytesMut::new();
    encode(event, &mut out);
    out.freeze()
}

fn message(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn log_frame(fields: Vec<(&str, Kind)>) -> wire::EventWrapper {
    let fields = fields.into_iter().map(|(name, kind)| (name.to_owned(), wire::Value { kind: Some(kind) }));
    let log = wire::Log { fields: fields.collect(), ..Default::default() };
    wire::EventWrapper { event: Some(wire::event_wrapper::Event::Log(log)) }
}

fn metric_frame(metric: wire::Metric) -> Bytes {
    message(&wire::EventWrapper { event: Some(wire::event_wrapper::Event::Metric(metric)) })
}

/// `inner` within so many maps or arrays.
fn nested(levels: usize, array: bool) -> Log {
    let wrap = |inner: Value, _| match array {
        true => Value::Array(vec![inner]),
        false => Value::Map([(Key::const_new("a"), inner)].into_iter().collect()),
    };
    let mut log = Log::default();
    log.fields.insert("a", (0..levels).fold(Value::Integer(1), wrap));
    log
}

#[test]
fn a_line_is_read_and_written_without_anything_in_between() {
    let log = samples::line("hello");
    let frame = payload(&log.clone().into());
    assert_eq!(read::log(&frame), Some(log));
}

#[test]
fn what_holds_no_event_is_an_error_with_a_name() {
    let trace = wire::event_wrapper::Event::Trace(wire::Trace::default());
    let sketch = wire::metric::Value::Sketch(wire::Sketch::default());
    let frames: [(&'static str, Bytes); 8] = [
        ("no_event", Bytes::new()),
        ("no_event", Bytes::from_static(b"\x7a\x02hi")), // number 15
        ("unsupported_trace", message(&wire::EventWrapper { event: Some(trace) })),
        ("no_value", metric_frame(wire::Metric::default())),
        ("no_value", metric_frame(wire::Metric { value: Some(sketch), ..Default::default() })),
        ("malformed", Bytes::from_static(b"\x0a\x05hi")),
        ("malformed", Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")),
        ("malformed", Bytes::from_static(b"\x0a\x07\x0a\x05\x0a\x01\xff\x12\x00")), // a name that is no text
    ];
    for (kind, frame) in frames {
        let error = decode(frame.clone()).expect_err(kind);
        assert_eq!(error.kind(), kind, "{frame:?}: {error}");
    }
}

#[test]
fn values_without_a_kind_are_left_out_and_counted() {
    let none = wire::Value { kind: None };
    let array = wire::ValueArray { items: vec![none.clone(), wire::Value { kind: Some(Kind::Integer(1)) }] };
    let map = wire::ValueMap { fields: [("x".to_owned(), none)].into() };
    let at = |seconds, nanos| Kind::Timestamp(wire::Timestamp { seconds, nanos });
    let mut frame = log_frame(vec![
        ("array", Kind::Array(array)),
        ("map", Kind::Map(map)),
        ("far", at(i64::MAX, 0)),
        ("early", at(i64::MIN, 0)),
        ("negative", at(0, -1)),
        ("whole", at(0, 1_000_000_000)),
        ("fine", at(0, 999_999_999)),
    ]);
    let decoded = decode(message(&frame)).unwrap();
    let mut log = Log::default();
    log.fields.insert("array", Value::Array(vec![Value::Integer(1)]));
    log.fields.insert("map", Value::Map(Map::new()));
    log.fields.insert("fine", Value::Timestamp(convert::moment(0, 999_999_999).unwrap()));
    assert_eq!(decoded, Decoded { event: log.into(), dropped_fields: 6 });

    let Some(wire::event_wrapper::Event::Log(log)) = &mut frame.event else { unreachable!() };
    log.fields = [("gone".to_owned(), wire::Value { kind: None })].into();
    let decoded = decode(message(&frame)).unwrap();
    assert_eq!(decoded, Decoded { event: Log::default().into(), dropped_fields: 1 });
}

#[test]
fn a_metric_of_a_moment_that_no_calendar_has_has_none() {
    let counter = wire::metric::Value::Counter(wire::Counter { value: 1.0 });
    let timestamp = Some(wire::Timestamp { seconds: i64::MAX, nanos: i32::MIN });
    let decoded =
        decode(metric_frame(wire::Metric { timestamp, value: Some(counter), ..Default::default() })).unwrap();
    assert_eq!(decoded.dropped_fields, 1);
    let Event::Metric(metric) = decoded.event else { panic!("a metric") };
    assert_eq!(metric.timestamp, None);
}

#[test]
fn an_event_that_is_no_map_is_a_message() {
    let dummy = wire::Value { kind: Some(Kind::Null(0)) };
    let frame = |kind| {
        let value = Some(wire::Value { kind });
        let fields = [(".".to_owned(), dummy.clone())].into();
        let log = wire::Log { fields, value, ..Default::default() };
        message(&wire::EventWrapper { event: Some(wire::event_wrapper::Event::Log(log)) })
    };
    let fields = |kind| {
        let decoded = decode(frame(kind)).unwrap();
        (decoded.event.as_log().unwrap().fields.clone(), decoded.dropped_fields)
    };
    let expected =
        |name: &'static str, value: Value| [(Key::const_new(name), value)].into_iter().collect::<Map>();

    assert_eq!(fields(Some(Kind::RawBytes("text".into()))), (expected("message", "text".into()), 0));
    let map = wire::ValueMap { fields: [("a".to_owned(), dummy.clone())].into() };
    assert_eq!(fields(Some(Kind::Map(map))), (expected("a", Value::Null), 0));
    assert_eq!(fields(None), (expected(".", Value::Null), 1));
}

#[test]
fn metrics_of_every_generation_are_read() {
    use wire::metric::Value as Wire;
    let [_, _, _, distribution, histogram, summary, _] = &samples::metric_values()[..] else {
        panic!("seven")
    };
    let quantiles = || vec![wire::SummaryQuantile { quantile: 0.5, value: 2.0 }];
    let samples =
        [(0.125, 1), (2.0, 7)].map(|(value, rate)| wire::DistributionSample { value, rate }).to_vec();
    let generations = [
        (Wire::Distribution2(wire::Distribution2 { samples, statistic: 1 }), distribution),
        (
            Wire::AggregatedHistogram2(wire::AggregatedHistogram2 {
                buckets: [(1.0, 2), (f64::INFINITY, 1)]
                    .map(|(upper_limit, count)| wire::HistogramBucket { upper_limit, count })
                    .to_vec(),
                count: 3,
                sum: 9.5,
            }),
            histogram,
        ),
        (
            Wire::AggregatedHistogram3(wire::AggregatedHistogram3 {
                buckets: [(1.0, 2), (f64::INFINITY, 1)]
                    .map(|(upper_limit, count)| wire::HistogramBucket3 { upper_limit, count })
                    .to_vec(),
                count: 3,
                sum: 9.5,
            }),
            histogram,
        ),
        (
            Wire::AggregatedSummary2(wire::AggregatedSummary2 { quantiles: quantiles(), count: 3, sum: 9.5 }),
            summary,
        ),
        (
            Wire::AggregatedSummary3(wire::AggregatedSummary3 { quantiles: quantiles(), count: 3, sum: 9.5 }),
            summary,
        ),
    ];
    for (value, expected) in generations {
        let decoded =
            decode(metric_frame(wire::Metric { value: Some(value), ..Default::default() })).unwrap();
        let Event::Metric(metric) = decoded.event else { panic!("a metric") };
        assert_eq!(metric.value, *expected);
    }
}

#[test]
fn lists_that_belong_together_and_differ_in_length_are_malformed() {
    let value = wire::Distribution1 { values: vec![1.0], sample_rates: vec![], statistic: 0 };
    let value = Some(wire::metric::Value::Distribution1(value));
    let error = decode(metric_frame(wire::Metric { value, ..Default::default() })).unwrap_err();
    assert_eq!(error.kind(), "malformed");
}

#[test]
fn metrics_are_written_in_the_numbers_that_everybody_reads() {
    // The number of the value is in the tag right behind name (empty here) and kind (zero here).
    let number = |value: MetricValue| {
        let mut metric = samples::metric(value);
        metric.name.clear();
        payload(&metric.into())[2] >> 3
    };
    let numbers: Vec<_> = samples::metric_values().into_iter().map(number).collect();
    assert_eq!(numbers, [5, 6, 7, 8, 9, 10, 15]);

    let large = u64::from(u32::MAX) + 1;
    let mut large_values = samples::metric_values();
    for value in &mut large_values {
        match value {
            MetricValue::AggregatedHistogram(histogram) => histogram.buckets[0].count = large,
            MetricValue::AggregatedSummary(summary) => summary.count = large,
            _ => {}
        }
    }
    let large: Vec<_> = large_values[4..6]
        .iter()
        .map(|value| match convert::from_metric(&samples::metric(value.clone())).event {
            Some(wire::event_wrapper::Event::Metric(metric)) => metric.value.unwrap(),
            _ => panic!("a metric"),
        })
        .collect();
    assert!(matches!(
        &large[..],
        [wire::metric::Value::AggregatedHistogram3(_), wire::metric::Value::AggregatedSummary3(_)]
    ));
}

#[test]
fn tags_of_both_generations_are_read_as_one_map() {
    let tag = |value: Option<&str>| wire::TagValue { value: value.map(str::to_owned) };
    let many = |values: &[Option<&str>]| wire::TagValues {
        values: values.iter().map(|value| tag(*value)).collect(),
    };
    let frame = metric_frame(wire::Metric {
        tags_v1: [("old", "1"), ("both", "2"), ("many", "b")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into(),
        tags_v2: [
            ("both".to_owned(), many(&[Some("2")])),
            ("bare".to_owned(), many(&[None])),
            ("many".to_owned(), many(&[Some("a"), Some("b")])),
        ]
        .into(),
        kind: 1,
        value: Some(wire::metric::Value::Gauge(wire::Gauge { value: 1.0 })),
        ..Default::default()
    });
    let Event::Metric(metric) = decode(frame).unwrap().event else { panic!("a metric") };
    let single = |value: &str| TagValue::Single(value.to_owned());
    let expected = [
        ("bare", TagValue::Many(vec![None])),
        ("both", single("2")),
        ("many", TagValue::Many(vec![Some("a".to_owned()), Some("b".to_owned())])),
        ("old", single("1")),
    ];
    assert_eq!(metric.tags, expected.map(|(name, value)| (name.to_owned(), value)).into());
    assert_eq!(metric.kind, MetricKind::Absolute);
}

#[test]
fn values_are_sent_exactly_as_deep_as_peers_read() {
    for array in [false, true] {
        for levels in 0..60 {
            let event = Event::from(nested(levels, array));
            let sent = encode_frame(&event, &mut BytesMut::new());
            match decode(payload(&event)) {
                Ok(decoded) => assert_eq!((sent, decoded.event), (Ok(()), event), "{levels}"),
                Err(error) => {
                    assert_eq!(error.kind(), "malformed");
                    assert_eq!(sent, Err(EncodeError::TooDeep), "{levels}");
                }
            }
        }
    }
}

#[test]
fn a_frame_has_at_most_8_mib_and_an_error_leaves_nothing_behind() {
    let of = |bytes: usize| {
        let mut log = Log::default();
        log.fields.insert("", Bytes::from(vec![0; bytes]));
        Event::from(log)
    };
    let around = payload(&of(MAX_FRAME - 100)).len() - (MAX_FRAME - 100);
    let mut out = BytesMut::from("before");
    encode_frame(&of(MAX_FRAME - around), &mut out).unwrap();
    assert_eq!(out.len(), 6 + 4 + MAX_FRAME);
    assert_eq!(out[6..10], 0x0080_0000_u32.to_be_bytes());

    let mut out = BytesMut::from("before");
    let error = encode_frame(&of(MAX_FRAME - around + 1), &mut out).unwrap_err();
    assert_eq!(error, EncodeError::TooLarge { bytes: MAX_FRAME + 1 });
    let mut metric = samples::metric(MetricValue::Counter { value: 1.0 });
    metric.name = "x".repeat(MAX_FRAME);
    encode_frame(&metric.into(), &mut out).unwrap_err();
    encode_frame(&nested(90, true).into(), &mut out).unwrap_err();
    assert_eq!(out, "before");
}

#[test]
fn a_leap_second_stands_at_the_end_of_the_one_before() {
    let mut log = Log::default();
    log.fields.insert("at", Value::Timestamp("2016-12-31T23:59:60.25Z".parse().unwrap()));
    let decoded = decode(payload(&log.into())).unwrap().event;
    let at = Value::Timestamp("2016-12-31T23:59:59.999999999Z".parse().unwrap());
    assert_eq!(decoded.as_log().unwrap().get("at"), Some(&at));
}

#[test]
fn names_in_the_worst_order_take_no_longer() {
    let entry = |number: u32| {
        let name = format!("{number:08}");
        let mut entry = vec![0x0a, 14, 0x0a, 8];
        entry.extend_from_slice(name.as_bytes());
        entry.extend_from_slice(&[0x12, 2, 0x48, 0]);
        entry
    };
    let entries: Vec<u8> = (0..200_000).rev().flat_map(entry).collect();
    let mut frame = vec![0x0a];
    prost::encoding::encode_varint(entries.len() as u64, &mut frame);
    frame.extend(entries);
    let decoded = decode(frame.into()).unwrap();
    assert_eq!(decoded.event.as_log().unwrap().fields.len(), 200_000);
}

/// One field of a message.
fn field(number: u32, wire_type: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint((number << 3 | wire_type).into(), &mut out);
    if wire_type == 2 {
        prost::encoding::encode_varint(content.len() as u64, &mut out);
    }
    out.extend_from_slice(content);
    out
}

fn varint(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(number, &mut out);
    out
}

/// A field that may be unknown, or of the wrong type, or cut off.
fn odd_field() -> impl Strategy<Value = Vec<u8>> {
    let any_varint = (any::<u64>(), 0..64).prop_map(|(bits, shift)| varint(bits >> shift));
    prop_oneof![
        (1..30_u32, any_varint).prop_map(|(number, content)| field(number, 0, &content)),
        (1..30_u32, any::<[u8; 8]>()).prop_map(|(number, content)| field(number, 1, &content)),
        (1..30_u32, any::<[u8; 4]>()).prop_map(|(number, content)| field(number, 5, &content)),
        (1..30_u32, collection::vec(any::<u8>(), 0..5))
            .prop_map(|(number, content)| field(number, 2, &content)),
        (1..30_u32)
            .prop_map(|number| [field(number, 3, b""), field(1, 0, b"\x01"), field(number, 4, b"")].concat()),
        collection::vec(any::<u8>(), 0..4),
    ]
}

/// Mostly `usual`; sometimes fields of it in another order, more than once or not at all, with odd ones among them.
fn careless(usual: Vec<BoxedStrategy<Vec<u8>>>) -> BoxedStrategy<Vec<u8>> {
    let some = proptest::strategy::Union::new(usual.clone());
    let odd = collection::vec(prop_oneof![6 => some, 1 => odd_field()], 0..4);
    prop_oneof![8 => usual.prop_map(|fields| fields.concat()), 1 => odd.prop_map(|fields| fields.concat())]
        .boxed()
}

fn odd_value(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let part = |number| {
        any::<i64>().prop_map(move |part| field(number, 0, &varint((part >> 32).cast_unsigned()))).boxed()
    };
    let mut kinds = vec![
        "[a-z]{0,3}".prop_map(|text| field(1, 2, text.as_bytes())).boxed(),
        careless(vec![part(1), (0..1_000_000_000_u64).prop_map(|nanos| field(2, 0, &varint(nanos))).boxed()])
            .prop_map(|moment| field(2, 2, &moment))
            .boxed(),
        any::<u64>().prop_map(|number| field(4, 0, &varint(number))).boxed(),
        any::<[u8; 8]>().prop_map(|number| field(5, 1, &number)).boxed(),
        (0..3_u64).prop_map(|truth| field(6, 0, &varint(truth))).boxed(),
        (0..3_u64).prop_map(|null| field(9, 0, &varint(null))).boxed(),
    ];
    if depth > 0 {
        let item = odd_value(depth - 1).prop_map(|item| field(1, 2, &item));
        kinds.push(odd_fields(depth - 1).prop_map(|fields| field(7, 2, &fields)).boxed());
        kinds.push(collection::vec(item, 0..4).prop_map(|items| field(8, 2, &items.concat())).boxed());
    }
    careless(vec![proptest::strategy::Union::new(kinds).boxed()])
}

/// A log or a map, as a careless or clever sender would write it.
fn odd_fields(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let name = "[a-c]{0,2}".prop_map(|name| field(1, 2, name.as_bytes())).boxed();
    let value = odd_value(depth).prop_map(|value| field(2, 2, &value)).boxed();
    let entry = careless(vec![name, value]).prop_map(|entry| field(1, 2, &entry)).boxed();
    let entries = collection::vec(entry, 0..4).prop_map(|entries| entries.concat()).boxed();
    careless(vec![entries])
}

/// What a frame is by the generated types.
fn reference(frame: &Bytes) -> Result<Decoded, DecodeError> {
    decode_any(frame.clone())
}

/// So that events with NaN can be compared.
fn shown(decoded: &Result<Decoded, DecodeError>) -> String {
    format!("{decoded:?}")
}

proptest! {
    #[test]
    fn any_event_comes_back_as_it_was(event in samples::any_event()) {
        let mut out = BytesMut::new();
        encode_frame(&event, &mut out).unwrap();
        let payload = payload(&event);
        prop_assert_eq!(&out[..4], &u32::try_from(payload.len()).unwrap().to_be_bytes());
        prop_assert_eq!(&out[4..], &payload);
        let decoded = decode(payload).unwrap();
        prop_assert_eq!(decoded, Decoded { event, dropped_fields: 0 });
    }

    #[test]
    fn a_log_is_written_as_the_generated_types_write_it(log in samples::any_log()) {
        let ours = payload(&log.clone().into());
        let wrapper = wire::EventWrapper::decode(ours.clone()).unwrap();
        prop_assert_eq!(&ours, &message(&wrapper));
        prop_assert_eq!(read::log(&ours), Some(log), "nothing we write takes the long way");
    }

    #[test]
    fn odd_frames_are_read_as_the_generated_types_read_them(
        frame in careless(vec![odd_fields(3).prop_map(|log| field(1, 2, &log)).boxed()]),
    ) {
        let frame = Bytes::from(frame);
        prop_assert_eq!(shown(&decode(frame.clone())), shown(&reference(&frame)));
    }

    #[test]
    fn damaged_frames_are_read_as_the_generated_types_read_them(
        event in samples::any_event(),
        damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        cut in prop::bool::weighted(0.2),
    ) {
        let mut frame = payload(&event).to_vec();
        for (at, byte) in damage {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
        }
        if cut {
            frame.truncate(end.index(frame.len() + 1));
        }
        let frame = Bytes::from(frame);
        prop_assert_eq!(shown(&decode(frame.clone())), shown(&reference(&frame)));
    }
}
