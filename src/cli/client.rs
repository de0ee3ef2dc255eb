//! Commands that ask the daemon.
//!
//! Format.

use std::path::PathBuf;

use super::{
    args::{Format, ReloadArgs, StatusArgs},
    print,
};
use crate::{
    api::{
        Client,
        types::{Problem, Status},
    },
    daemon::paths,
};

pub(super) fn status(args: &StatusArgs, socket: Option<PathBuf>) -> u8 {
    let status = match ask(socket, async |client| client.status().await) {
        Ok(status) => status,
        Err(problem) => return refuse(&problem),
    };
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&status).expect("a status is JSON") + "\n",
        Format::Text => table(&status),
    };
    print::out(text.as_bytes())
}

pub(super) fn reload(args: &ReloadArgs, socket: Option<PathBuf>) -> u8 {
    match ask(socket, async |client| client.reload().await) {
        Ok(_) if args.quiet => 0,
        Ok(done) => {
            let text = format!(
                "-----> Reloaded: {} added, {} rebuilt, {} removed, {} kept\n",
                done.added, done.rebuilt, done.removed, done.kept
            );
            print::out(text.as_bytes())
        }
        Err(problem) => refuse(&problem),
    }
}

/// Asks the daemon on a small runtime of its own.
fn ask<T>(
    socket: Option<PathBuf>,
    question: impl AsyncFnOnce(Client) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let socket = paths::control_socket(socket.as_deref(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new("system", format!("cannot start: {error}"), 71))?;
    runtime.block_on(question(Client::new(socket)))
}

fn refuse(problem: &Problem) -> u8 {
    let mut text = problem.message.clone();
    for detail in &problem.details {
        text += "\n";
        text += detail;
    }
    print::error(&text, if problem.exit_code == 0 { 70 } else { problem.exit_code })
}

fn table(status: &Status) -> String {
    let uptime = std::time::Duration::from_secs_f64(status.uptime_secs.max(0.0));
    let mut text = format!(
        "qovery {}: {}, pid {}, up {}\n",
        status.version,
        status.phase,
        status.pid,
        duration(uptime.as_secs())
    );
    if let Some(reload) = &status.last_reload {
        let word = if reload.ok { "done" } else { "REFUSED, the former configuration runs on" };
        text += &format!("last reload {}: {word}\n", reload.at);
        for error in &reload.errors {
            text += &error.lines().map(|line| format!("  {line}\n")).collect::<String>();
        }
    }
    let head = ["COMPONENT", "ROLE", "TYPE", "IN", "OUT", "WAITING", "DISCARDED", "ERRORS"];
    let mut rows = vec![head.map(str::to_owned)];
    for component in &status.components {
        let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>().to_string();
        let name = if component.running { component.id.clone() } else { format!("{} (ended)", component.id) };
        rows.push([
            name,
            component.role.clone(),
            component.kind.clone(),
            component.received_events.to_string(),
            component.sent_events.to_string(),
            component.buffered_events.to_string(),
            sum(&component.discarded_events),
            sum(&component.errors),
        ]);
    }
    if rows.len() > 1 {
        text += "\n";
        text += &columns(&rows);
    }
    text
}

/// Three columns of words to the left, numbers to the right.
fn columns(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0..3 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    rows.iter().map(line).collect()
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::{Component, LastReload};
    use expect_test::expect;

    #[test]
    fn a_status_is_a_table() {
        let component = |id: &str, role: &str, kind: &str, sent| Component {
            id: id.into(),
            role: role.into(),
            kind: kind.into(),
            inputs: vec![],
            running: id != "in",
            received_events: 1_200_000,
            sent_events: sent,
            buffered_events: 7,
            connections: 0,
            discarded_events: [("buffer_full".to_owned(), 3), ("stalled".to_owned(), 4)].into(),
            errors: [].into(),
        };
        let status = Status {
            version: "1.2.3".into(),
            pid: 42,
            phase: "Running".into(),
            uptime_secs: 3725.2,
            last_reload: Some(LastReload {
                at: "2026-01-01T00:00:00Z".into(),
                ok: false,
                errors: vec!["qovery.toml:3:1: error: no\nhelp: yes".into()],
            }),
            components: vec![component("in", "source", "stdin", 5), component("to-file", "sink", "file", 12)],
            ..Status::default()
        };
        expect![[r#"
            qovery 1.2.3: Running, pid 42, up 1 h 2 min
            last reload 2026-01-01T00:00:00Z: REFUSED, the former configuration runs on
              qovery.toml:3:1: error: no
              help: yes

            COMPONENT   ROLE    TYPE        IN  OUT  WAITING  DISCARDED  ERRORS
            in (ended)  source  stdin  1200000    5        7          7       0
            to-file     sink    file   1200000   12        7          7       0
        "#]]
        .assert_eq(&table(&status));
    }
}
