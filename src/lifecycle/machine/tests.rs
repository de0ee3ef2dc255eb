//! Stories about the machine, and the walk over every state and event.

use super::*;
use crate::base::walk;
use expect_test::{Expect, expect, expect_file};

const EVENTS: [(&str, Event); 13] = [
    ("applied", Event::Applied),
    ("not applied", Event::NotApplied(Exit::Config)),
    ("reload", Event::Reload),
    ("upgrade", Event::Upgrade),
    ("successor ready", Event::SuccessorReady),
    ("successor gone", Event::SuccessorGone),
    ("stop", Event::Stop),
    ("interrupt", Event::Interrupt),
    ("sources ended", Event::SourcesEnded),
    ("failed", Event::ComponentFailed(Exit::Internal)),
    ("closed", Event::ConnectionsClosed),
    ("empty", Event::BuffersEmpty),
    ("deadline", Event::Deadline),
];

fn started() -> Lifecycle {
    Lifecycle::start(Limits::default(), Time::START).0
}

fn name(lifecycle: &Lifecycle) -> &'static str {
    match lifecycle.phase {
        Phase::Starting { again: false, .. } => "starting",
        Phase::Starting { again: true, .. } => "starting*",
        Phase::Serving => "serving",
        Phase::Reloading { again: false } => "reloading",
        Phase::Reloading { again: true } => "reloading*",
        Phase::HandingOver { .. } => "handing over",
        Phase::Closing { exit: Exit::Finished, .. } => "closing 0",
        Phase::Closing { exit: Exit::HandedOver, .. } => "closing 0'",
        Phase::Closing { exit: Exit::Stopped, .. } => "closing 1",
        Phase::Closing { .. } => "closing err",
        Phase::Flushing { exit: Exit::Finished, .. } => "flushing 0",
        Phase::Flushing { exit: Exit::HandedOver, .. } => "flushing 0'",
        Phase::Flushing { exit: Exit::Stopped, .. } => "flushing 1",
        Phase::Flushing { exit: Exit::Late, .. } => "flushing 75",
        Phase::Flushing { .. } => "flushing err",
        Phase::Exited => "exited",
    }
}

/// Every state that can be reached, at one moment.
fn all_states() -> Vec<Lifecycle> {
    let mut all = vec![started()];
    let mut next = 0;
    while next < all.len() {
        for (_, event) in EVENTS {
            let mut to = all[next].clone();
            let _ = to.step(event, Time::START);
            if !all.contains(&to) {
                all.push(to);
            }
        }
        next += 1;
        assert!(next < 1000, "the walk does not end");
    }
    all
}

/// Plays `story`: names of events with `_` for spaces, and `+SECONDS` to let time pass.
#[track_caller]
fn check(story: &str, expected: Expect) {
    let mut lifecycle = started();
    let mut now = Time::START;
    let mut lines = String::new();
    for word in story.split_whitespace() {
        if let Some(seconds) = word.strip_prefix('+') {
            now = now + Duration::from_secs(seconds.parse().expect("seconds"));
            continue;
        }
        let event = word.replace('_', " ");
        let (_, event) = EVENTS.iter().find(|(name, _)| *name == event).expect("an event");
        let actions = lifecycle.step(*event, now);
        let until = lifecycle.deadline().map(|at| format!(" until {at}")).unwrap_or_default();
        let said: Vec<_> = actions.iter().filter(|a| !matches!(a, Action::Announce(_))).collect();
        lines +=
            format!("{now} {word} -> {}{until} {said:?}\n", name(&lifecycle)).replace(" []", "").as_str();
    }
    expected.assert_eq(&lines);
}

/// The phases that a listener hears in `story`.
#[track_caller]
fn heard(story: &str) -> Vec<&'static str> {
    let (mut lifecycle, mut actions) = Lifecycle::start(Limits::default(), Time::START);
    for word in story.split_whitespace() {
        let event = word.replace('_', " ");
        let (_, event) = EVENTS.iter().find(|(name, _)| *name == event).expect("an event");
        actions.extend(lifecycle.step(*event, Time::START));
    }
    let phase = |action| if let Action::Announce(name) = action { Some(name) } else { None };
    actions.into_iter().filter_map(phase).map(PhaseName::as_str).collect()
}

#[test]
fn all_transitions() {
    let step = |l: &mut Lifecycle, event| l.step(event, Time::START);
    let table = walk::table(&[started()], &EVENTS, name, step);
    expect_file!["../machine.states.txt"].assert_eq(&table);
}

#[test]
fn an_interrupt_ends_it_from_every_phase_in_one_step() {
    for mut lifecycle in all_states() {
        let before = lifecycle.clone();
        let actions = lifecycle.step(Event::Interrupt, Time::START);
        assert_eq!(lifecycle.phase, Phase::Exited, "from {}", name(&before));
        let last = actions.last();
        assert!(before.phase == Phase::Exited || last == Some(&Action::Exit(Exit::Interrupted)));
    }
}

#[test]
fn a_second_stop_changes_nothing_in_any_phase() {
    for mut lifecycle in all_states() {
        let _ = lifecycle.step(Event::Stop, Time::START);
        let once = lifecycle.clone();
        assert_eq!(lifecycle.step(Event::Stop, Time::START + Duration::from_secs(1)), []);
        assert_eq!(lifecycle, once);
    }
}

#[test]
fn whatever_happens_it_ends_within_both_limits_of_a_stop() {
    for mut lifecycle in all_states() {
        let mut now = Time::START;
        let _ = lifecycle.step(Event::Stop, now);
        while let Some(deadline) = lifecycle.deadline() {
            now = deadline;
            let _ = lifecycle.step(Event::Deadline, now);
        }
        assert_eq!(lifecycle.phase, Phase::Exited);
        assert!(now - Time::START <= Duration::from_secs(40));
    }
}

#[test]
fn exactly_one_exit_is_said_and_it_is_the_last_action() {
    for before in all_states() {
        for (word, event) in EVENTS {
            let mut lifecycle = before.clone();
            let actions = lifecycle.step(event, Time::START);
            let exits = actions.iter().filter(|a| matches!(a, Action::Exit(_))).count();
            let ended = lifecycle.phase == Phase::Exited && before.phase != Phase::Exited;
            assert_eq!(exits, usize::from(ended), "{} {word}", name(&before));
            assert!(!ended || matches!(actions.last(), Some(Action::Exit(_))), "{} {word}", name(&before));
        }
    }
}

#[test]
fn a_stop_ends_as_soon_as_nothing_is_left() {
    check(
        "+1 applied +9 stop +1 closed +2 empty",
        expect![[r#"
            1s applied -> serving [Notify(Ready)]
            10s stop -> closing 1 until 30s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            11s closed -> flushing 1 until 31s [Notify(ExtendTimeout(20s)), FlushBuffers]
            13s empty -> exited [Exit(Stopped)]
        "#]],
    );
}

#[test]
fn a_stop_that_had_to_cut_off_a_connection_says_so_even_if_buffers_were_delivered() {
    check(
        "applied stop +20 deadline +5 empty",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s stop -> closing 1 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            20s deadline -> flushing 75 until 40s [CutConnections, Notify(ExtendTimeout(20s)), FlushBuffers]
            25s empty -> exited [Exit(Late)]
        "#]],
    );
}

#[test]
fn buffers_that_are_not_delivered_in_time_are_late() {
    check(
        "applied stop +1 closed +20 deadline",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s stop -> closing 1 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            1s closed -> flushing 1 until 21s [Notify(ExtendTimeout(20s)), FlushBuffers]
            21s deadline -> exited [Exit(Late)]
        "#]],
    );
}

#[test]
fn an_interrupt_makes_a_graceful_stop_fast() {
    check(
        "applied stop +1 interrupt",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s stop -> closing 1 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            1s interrupt -> exited [Exit(Interrupted)]
        "#]],
    );
}

#[test]
fn a_reload_is_refused_while_stopping() {
    check(
        "applied stop reload closed reload",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s stop -> closing 1 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            0s reload -> closing 1 until 20s [Refuse(Reload)]
            0s closed -> flushing 1 until 20s [Notify(ExtendTimeout(20s)), FlushBuffers]
            0s reload -> flushing 1 until 20s [Refuse(Reload)]
        "#]],
    );
}

#[test]
fn a_broken_reload_ends_in_serving_as_before() {
    check(
        "applied reload not_applied",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s reload -> reloading [Notify(Reloading), Apply]
            0s not_applied -> serving [Notify(Ready)]
        "#]],
    );
}

#[test]
fn reloads_that_come_during_a_reload_become_one_more() {
    check(
        "applied reload reload reload applied applied",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s reload -> reloading [Notify(Reloading), Apply]
            0s reload -> reloading*
            0s reload -> reloading*
            0s applied -> reloading [Apply]
            0s applied -> serving [Notify(Ready)]
        "#]],
    );
}

#[test]
fn a_reload_that_comes_during_the_start_is_not_lost() {
    check(
        "reload applied applied",
        expect![[r#"
            0s reload -> starting* until 80s
            0s applied -> reloading [Notify(Ready), Notify(Reloading), Apply]
            0s applied -> serving [Notify(Ready)]
        "#]],
    );
}

#[test]
fn a_start_that_fails_ends_with_its_reason_and_one_that_hangs_is_unavailable() {
    check("not_applied", expect![["0s not_applied -> exited [Notify(Stopping), Exit(Config)]\n"]]);
    check("+80 deadline", expect![["80s deadline -> exited [Notify(Stopping), Exit(Unavailable)]\n"]]);
}

#[test]
fn when_all_sources_have_ended_it_delivers_and_finishes() {
    check(
        "applied sources_ended closed empty",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s sources_ended -> closing 0 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            0s closed -> flushing 0 until 20s [Notify(ExtendTimeout(20s)), FlushBuffers]
            0s empty -> exited [Exit(Finished)]
        "#]],
    );
}

#[test]
fn a_component_that_dies_is_never_a_success_not_even_while_stopping() {
    check(
        "applied failed closed empty",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s failed -> closing err until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            0s closed -> flushing err until 20s [Notify(ExtendTimeout(20s)), FlushBuffers]
            0s empty -> exited [Exit(Internal)]
        "#]],
    );
    check(
        "applied stop closed failed +20 deadline",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s stop -> closing 1 until 20s [Notify(Stopping), Notify(ExtendTimeout(20s)), CloseConnections]
            0s closed -> flushing 1 until 20s [Notify(ExtendTimeout(20s)), FlushBuffers]
            0s failed -> flushing err until 20s
            20s deadline -> exited [Exit(Internal)]
        "#]],
    );
}

#[test]
fn a_successor_that_does_not_get_ready_changes_nothing() {
    check(
        "applied upgrade successor_gone upgrade reload +30 deadline",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s upgrade -> handing over until 30s [StartSuccessor]
            0s successor_gone -> serving
            0s upgrade -> handing over until 30s [StartSuccessor]
            0s reload -> handing over until 30s [Refuse(Reload)]
            30s deadline -> serving [KillSuccessor]
        "#]],
    );
}

#[test]
fn after_a_hand_over_the_service_manager_hears_nothing_more() {
    check(
        "applied upgrade successor_ready closed empty",
        expect![[r#"
            0s applied -> serving [Notify(Ready)]
            0s upgrade -> handing over until 30s [StartSuccessor]
            0s successor_ready -> closing 0' until 20s [Notify(Successor), CloseConnections]
            0s closed -> flushing 0' until 20s [FlushBuffers]
            0s empty -> exited [Exit(HandedOver)]
        "#]],
    );
}

#[test]
fn phases_are_announced_in_their_order() {
    let start = ["Bootstrap", "BootstrapComplete", "Running"];
    let grace = ["ShutdownStarted", "ShutdownGracePeriod"];
    let stories: [(&str, &[&str]); 6] = [
        ("applied stop closed empty", &["GracefulTerminate", grace[0], grace[1]]),
        ("applied interrupt", &["ShutdownStarted"]),
        ("applied stop interrupt", &["GracefulTerminate", grace[0], grace[1]]),
        ("applied sources_ended closed empty", &grace),
        (
            "applied upgrade successor_ready closed empty",
            &["GracefulUpgradeTransferringFds", "GracefulUpgradeCloseTimeout", grace[0], grace[1]],
        ),
        ("applied upgrade successor_gone", &["GracefulUpgradeTransferringFds", "UpgradeFailed", "Running"]),
    ];
    for (story, then) in stories {
        assert_eq!(heard(story), [&start, then].concat(), "{story}");
    }
}
