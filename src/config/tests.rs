//! What a user sees: texts in, report out.

use expect_test::{Expect, expect};

use super::*;

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9000".into()),
        "SECRET" => Some("s3cret".into()),
        "N" => Some("8".into()),
        _ => None,
    }
}

/// Reads the texts, and the options of each component as a source of type `test` would.
#[track_caller]
fn check(texts: &[(&str, &str)], expected: Expect) {
    let draft = from_texts(texts, &env);
    for source in &draft.config.sources {
        let mut fields = source.fields("sources", &draft.diagnostics);
        fields.required::<crate::base::addr::ListenAddr>("address");
        fields.or("max_length", 100_u16);
        fields.optional::<Vec<String>>("include");
        if let Some(mut tls) = fields.table("tls") {
            tls.optional::<bool>("enabled");
            tls.optional::<String>("key_pass");
            tls.finish();
        }
        fields.finish();
    }
    let report =
        draft.finish().map_or_else(|report| report.to_string(), |config| config.warnings.to_string());
    expected.assert_eq(&report);
}

#[track_caller]
fn check_one(text: &str, expected: Expect) {
    check(&[("q.toml", text)], expected);
}

const GOOD: &str = r#"
data_dir = "/var/lib/qovery"
threads = "${N}"
shutdown.connections_secs = 1.5
[sources.in]
type = "test"
address = "127.0.0.1:${PORT}"
[sinks.out]
type = "console"
inputs = ["in"]
encoding.codec = "json"
"#;

#[test]
fn a_good_configuration_is_read() {
    let config = from_texts(&[("q.toml", GOOD)], &env).finish().unwrap();
    assert_eq!(config.global.threads.unwrap().get(), 8);
    assert_eq!(config.global.shutdown.connections.as_millis(), 1500);
    assert_eq!(config.global.shutdown.buffers.as_secs(), 20);
    assert_eq!(config.sinks[0].inputs[0].0, "in");
    assert_eq!(config.files.show(config.sinks[0].id_span), "q.toml:8:8");
    assert!(config.sinks[0].options.get("encoding").is_some());
    check_one(GOOD, expect![""]);
}

#[test]
fn unknown_options_come_with_a_suggestion() {
    check_one(
        r#"
datadir = "/x"
[source.in]
type = "test"
[sources.in]
type = "test"
adress = "127.0.0.1:1"
colour = 1
tls = { enabld = true }
"#,
        expect![[r#"
            q.toml:2:1: error: unknown option `datadir` at the top level
                datadir = "/x"
                ^^^^^^^
              help: did you mean `data_dir`?
            q.toml:3:2: error: unknown option `source` at the top level
                [source.in]
                 ^^^^^^
              help: did you mean `sources`?
            q.toml:7:1: error: unknown option `adress` in [sources.in]
                adress = "127.0.0.1:1"
                ^^^^^^
              help: did you mean `address`?
            q.toml:8:1: error: unknown option `colour` in [sources.in]
                colour = 1
                ^^^^^^
              help: the options here are `address`, `include`, `max_length`, `tls`
            q.toml:9:9: error: unknown option `enabld` in [sources.in.tls]
                tls = { enabld = true }
                        ^^^^^^
              help: did you mean `enabled`?
            5 errors in q.toml"#]],
    );
}

#[test]
fn wrong_types_and_ranges_say_what_was_expected() {
    check_one(
        r#"
threads = "8"
shutdown.connections_secs = -1
[sources.in]
type = 5
address = "127.0.0.1"
[sources.more]
type = "test"
address = "127.0.0.1:1"
max_length = 70_000
include = ["a", 2, false]
tls.enabled = "yes"
[sources.text]
type = "test"
address = "${SECRET}"
max_length = "${SECRET}"
include = "a"
"#,
        expect![[r#"
            q.toml:2:11: error: expected a whole number, 1 or more, found the string "8"
                threads = "8"
                          ^^^
              help: write 8 without quotes
            q.toml:3:29: error: expected seconds from 0 to 315360000 (10 years), found -1
                shutdown.connections_secs = -1
                                            ^^
            q.toml:5:8: error: expected a string, found 5
                type = 5
                       ^
            q.toml:10:14: error: expected a whole number from 0 to 65535, found 70000
                max_length = 70_000
                             ^^^^^^
            q.toml:11:17: error: expected a string, found 2
                include = ["a", 2, false]
                                ^
            q.toml:11:20: error: expected a string, found false
                include = ["a", 2, false]
                                   ^^^^^
            q.toml:12:15: error: expected `true` or `false`, found the string "yes"
                tls.enabled = "yes"
                              ^^^^^
            q.toml:15:11: error: expected `ip:port`, `unix:/path`, `systemd`, `systemd#N` or `systemd:NAME`, but the variables give something else
                address = "${SECRET}"
                          ^^^^^^^^^^^
            q.toml:16:14: error: expected a whole number from 0 to 65535, but the variables give something else
                max_length = "${SECRET}"
                             ^^^^^^^^^^^
            q.toml:17:11: error: expected a list, found the string "a"
                include = "a"
                          ^^^
              help: put it in brackets: `[…]`
            10 errors in q.toml"#]],
    );
}

#[test]
fn missing_options_point_at_the_header() {
    check_one(
        "[sources.in]\ntype = \"test\"\n[sources.dotted]\naddress = \"systemd\"\n[sinks.out]\n[sinks.empty]\ntype='x'\ninputs=[]\n",
        expect![[r#"
            q.toml:1:1: error: [sources.in] needs `address`
                [sources.in]
                ^^^^^^^^^^^^
            q.toml:3:1: error: [sources.dotted] needs `type`
                [sources.dotted]
                ^^^^^^^^^^^^^^^^
            q.toml:5:1: error: [sinks.out] needs `type`
                [sinks.out]
                ^^^^^^^^^^^
            q.toml:5:1: error: [sinks.out] needs `inputs`
                [sinks.out]
                ^^^^^^^^^^^
            q.toml:8:8: error: [sinks.empty] has no inputs: nothing would ever reach it
                inputs=[]
                       ^^
            5 errors in q.toml"#]],
    );
}

#[test]
fn variables_that_do_not_fit_point_at_themselves() {
    check_one(
        r#"
data_dir = "/a/${UNSET}/${1}/${UNSET:?set it to a folder}"
[sources.in] # ${UNSET} in a comment is not read
type = "test"
address = "\"${UNSET}"
include = ['${', '${PORT-1}', "\u0024${UNSET}", "$$ $HOME $"]
"#,
        expect![[r#"
            q.toml:2:16: error: the variable `UNSET` is not set
                data_dir = "/a/${UNSET}/${1}/${UNSET:?set it to a folder}"
                               ^^^^^^^^
              help: set it, or write `${UNSET:-default}`
            q.toml:2:25: error: the name of a variable is expected after `${`
                data_dir = "/a/${UNSET}/${1}/${UNSET:?set it to a folder}"
                                        ^^^^
              help: a name has letters, digits and `_`; for the text `${` itself, write `$${`
            q.toml:2:30: error: the variable `UNSET`: set it to a folder
                data_dir = "/a/${UNSET}/${1}/${UNSET:?set it to a folder}"
                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            q.toml:5:14: error: the variable `UNSET` is not set
                address = "\"${UNSET}"
                             ^^^^^^^^
              help: set it, or write `${UNSET:-default}`
            q.toml:6:13: error: `${` has no `}`
                include = ['${', '${PORT-1}', "\u0024${UNSET}", "$$ $HOME $"]
                            ^^
              help: for the text `${` itself, write `$${`
            q.toml:6:19: error: after the name `PORT`, `-1` is not understood
                include = ['${', '${PORT-1}', "\u0024${UNSET}", "$$ $HOME $"]
                                  ^^^^^^^^^
              help: write `${PORT}`, `${PORT:-default}` or `${PORT:?message}`
            6 errors in q.toml"#]],
    );
}

#[test]
fn broken_syntax_hides_what_follows_from_it() {
    check_one(
        "[sources.in]\ntype = \"test\"\naddress \"127.0.0.1:1\"\nmax_length = \n[sources.more]\ntype = \"test\"\naddress = 5\n",
        expect![[r#"
            q.toml:3:9: error: key with no value, expected `=`
                address "127.0.0.1:1"
                        ^
            q.toml:4:14: error: there is no value after `=`
                max_length = 
                             ^
            q.toml:7:11: error: expected `ip:port`, `unix:/path`, `systemd`, `systemd#N` or `systemd:NAME`, found 5
                address = 5
                          ^
            3 errors in q.toml"#]],
    );
    check_one(
        "[sources.in\ntype = \"test\"\naddress = \"systemd\"\n",
        expect![[r#"
            q.toml:1:12: error: unclosed table, expected `]`
                [sources.in
                           ^
            1 error in q.toml"#]],
    );
    check_one(
        "a = 1\na = 2\n[sources.in]\ntype = \"test\n",
        expect![[r#"
            q.toml:1:1: error: unknown option `a` at the top level
                a = 1
                ^
              help: the options here are `api`, `daemon`, `data_dir`, `shutdown`, `sinks`, `sources`, `threads`, `transforms`
            q.toml:2:1: error: `a` is given twice
                a = 2
                ^
            q.toml:4:13: error: invalid basic string, expected `"`
                type = "test
                            ^
            3 errors in q.toml"#]],
    );
    check_one(
        "threads = 99999999999999999999\n",
        expect![[r#"
        q.toml:1:11: error: the number does not fit into 64 bits
            threads = 99999999999999999999
                      ^^^^^^^^^^^^^^^^^^^^
        1 error in q.toml"#]],
    );
}

#[test]
fn other_files_are_checked_when_one_is_broken() {
    check(
        &[("a.toml", "]"), ("b.toml", "[sources.in]\ntype = \"test\"\n")],
        expect![[r#"
        a.toml:1:1: error: missing table open, expected `[`
            ]
            ^
        b.toml:1:1: error: [sources.in] needs `address`
            [sources.in]
            ^^^^^^^^^^^^
        2 errors in 2 files"#]],
    );
}

#[test]
fn several_files_are_one_configuration_with_one_set_of_names() {
    let a = "data_dir = \"/a\"\nthreads = 2\n[sources.in]\ntype = \"test\"\naddress = \"systemd\"\n";
    let b = "data_dir = \"/b\"\nthreads = 2\n[sources.in]\ntype = \"test\"\n[sinks.in]\ntype = \"x\"\ninputs = [\"in\"]\n";
    check(
        &[("a.toml", a), ("b.toml", b)],
        expect![[r#"
        b.toml:1:12: error: `data_dir` is set twice, with different values
            data_dir = "/b"
                       ^^^^
          help: the other is at a.toml:1:1
        b.toml:3:10: error: the component `in` is defined twice
            [sources.in]
                     ^^
          help: the other is at a.toml:3:10
        b.toml:5:8: error: the component `in` is defined twice
            [sinks.in]
                   ^^
          help: the other is at a.toml:3:10; all components share one set of names
        3 errors in b.toml"#]],
    );
}

#[test]
fn tabs_wide_letters_and_long_lines_are_underlined_where_they_should_be() {
    check_one(
        "\t\tthreads\t=\t'x' # tabs\n",
        expect![[r#"
            q.toml:1:13: error: expected a whole number, 1 or more, found the string "x"
                        threads    =    'x' # tabs
                                        ^^^
            1 error in q.toml"#]],
    );
    check_one(
        "shutdown = { \"日本語\" = 1 } # ワイド\n",
        expect![[r#"
        q.toml:1:14: error: unknown option `日本語` in [shutdown]
            shutdown = { "日本語" = 1 } # ワイド
                         ^^^^^^^^
          help: the options here are `buffers_secs`, `connections_secs`
        1 error in q.toml"#]],
    );
    check_one(
        "api = { \"\u{1b}[31m\" = 1, group = 'e\u{301}', x = 2 }\n".replace('\u{1b}', "\\u001b").as_str(),
        expect![[r#"
            q.toml:1:9: error: unknown option `�[31m` in [api]
                api = { "\u001b[31m" = 1, group = 'é', x = 2 }
                        ^^^^^^^^^^^^
              help: the options here are `group`, `socket`
            q.toml:1:41: error: unknown option `x` in [api]
                api = { "\u001b[31m" = 1, group = 'é', x = 2 }
                                                       ^
              help: the options here are `group`, `socket`
            2 errors in q.toml"#]],
    );
    let long = format!(
        "daemon = {{ pid_file = '{}', x = 2, error_log = '{}' }}\n",
        "a".repeat(300),
        "b".repeat(300)
    );
    check_one(
        &long,
        expect![[r#"
        q.toml:1:327: error: unknown option `x` in [daemon]
            …aaaaaaaaaaaaaaaaa', x = 2, error_log = 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
                                 ^
          help: the options here are `error_log`, `pid_file`
        1 error in q.toml"#]],
    );
    check_one(
        "\u{feff}x = 1\r\n",
        expect![[r#"
            q.toml:1:1: error: unknown option `x` at the top level
                x = 1
                ^
              help: the options here are `api`, `daemon`, `data_dir`, `shutdown`, `sinks`, `sources`, `threads`, `transforms`
            1 error in q.toml"#]],
    );
}

#[test]
fn names_of_components_are_checked() {
    check_one(
        "[sources.\"a.b\"]\ntype='test'\naddress='systemd'\n[sinks]\nx = 1\n",
        expect![[r#"
        q.toml:1:10: error: a component's name has 1 to 128 letters, digits, `_` or `-`
            [sources."a.b"]
                     ^^^^^
        q.toml:5:5: error: expected a table: `[sinks.x]`, found 1
            x = 1
                ^
        2 errors in q.toml"#]],
    );
    check_one(
        "sources = 5\n[transforms.t]\ntype = 't'\ninputs = 'x'\n[sources2]\n",
        expect![[r#"
            q.toml:1:11: error: expected tables: `[sources.NAME]`, found 5
                sources = 5
                          ^
            q.toml:4:10: error: expected a list, found the string "x"
                inputs = 'x'
                         ^^^
              help: put it in brackets: `[…]`
            q.toml:5:2: error: unknown option `sources2` at the top level
                [sources2]
                 ^^^^^^^^
              help: did you mean `sources`?
            3 errors in q.toml"#]],
    );
    check_one(
        "[sources.in]\ntype='test'\naddress='systemd'\ninputs=[]\n",
        expect![[r#"
        q.toml:4:1: error: a source has no inputs: it is where events come from
            inputs=[]
            ^^^^^^
        1 error in q.toml"#]],
    );
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    for text in [
        format!("{}=1", "a.".repeat(200_000) + "a"),
        format!("[{}]", "a.".repeat(200_000) + "a"),
        format!("a={}", "[".repeat(200_000)),
        format!("a={}", "{a=".repeat(200_000)),
        format!("a={}{}", "[".repeat(70), "]".repeat(70)),
        format!("{}=1", "\"a\" . ".repeat(200_000) + "a"),
        format!("{}\n", "[[a]]\n".repeat(1000)),
    ] {
        assert!(from_texts(&[("q.toml", &text)], &env).finish().is_err());
    }
}

#[test]
fn many_addresses_in_one_line_are_no_deep_nesting() {
    let text = format!("x = [{}]", "\"10.0.0.1\", '1.2', 1.5, ".repeat(1000));
    let report = from_texts(&[("q.toml", &text)], &env).finish().unwrap_err();
    assert_eq!(report.errors(), 1, "{report}"); // `x` is unknown
}

#[test]
fn what_is_no_configuration_at_all_gives_a_bounded_report_soon() {
    let many_names: String = (0..100_000).map(|n| format!("NAME_{n}=1\n")).collect();
    let one_line = format!("x = {{ {} }}", "a = 1, ".repeat(200_000));
    let letters = "日".repeat(300_000);
    for text in [many_names, one_line, letters, "]\n".repeat(600_000)] {
        let report = from_texts(&[("q.toml", &text)], &env).finish().unwrap_err();
        assert!(report.iter().count() <= 201);
        assert!(report.to_string().len() < 100_000);
    }
}

#[test]
fn an_ellipsis_is_no_deep_nesting() {
    let text = format!("# {0}\n# {1}\ndata_dir = '''\n{0}'''\n", ".".repeat(300), ". ".repeat(300));
    assert!(from_texts(&[("q.toml", &text)], &env).finish().is_ok());
}

mod with_any_input {
    use proptest::prelude::*;

    use super::*;

    /// Bits of TOML in any order: nearer to real mistakes than any bytes.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("[".to_owned()),
            Just("]".to_owned()),
            Just("[[x]]\n".to_owned()),
            Just("[sources.in]\n".to_owned()),
            Just("type = \"test\"\n".to_owned()),
            Just("address".to_owned()),
            Just(" = ".to_owned()),
            Just("\"\"\"".to_owned()),
            Just("'".to_owned()),
            Just("{ a.b = 1, ".to_owned()),
            Just("}".to_owned()),
            Just("${A:-".to_owned()),
            Just("1979-05-27".to_owned()),
            Just("\n".to_owned()),
            Just("日\t".to_owned()),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_gives_a_report_or_a_configuration(a in pieces(), b in any::<String>()) {
            let draft = from_texts(&[("a", &a), ("b", &b)], &env);
            for source in &draft.config.sources {
                source.fields("sources", &draft.diagnostics).finish();
            }
            if let Err(report) = draft.finish() {
                prop_assert!(report.errors() > 0);
                let obeyed = report.to_string().contains('\x1b');
                prop_assert!(!obeyed, "a terminal would obey the report");
            }
        }

        #[test]
        fn a_value_never_changes_anything_but_its_text(value in any::<String>()) {
            let text = "data_dir = '${V:-x}'\n[sources.in]\ntype = 'x${V}'\na = ['${V}', 1]\n";
            let read = |value: String| from_texts(&[("q", text)], &move |_| Some(value.clone()));
            let shape = |draft: &Draft| format!("{:?}", draft.config.sources[0].options);
            let (plain, any) = (read("v".into()), read(value.clone()));
            prop_assert_eq!(shape(&plain), shape(&any));
            prop_assert_eq!(&any.config.sources[0].kind, &format!("x{value}"));
            let list = any.config.sources[0].options.get("a").unwrap();
            prop_assert!(matches!(&list.kind, NodeKind::Array(items) if items[0].as_str() == Some(&value)));
        }
    }
}
