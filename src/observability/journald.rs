//! The log in the journal, with fields and priorities, through the `tracing-journald` crate.
//!
//! That crate waits for as long as the journal does not read, for ever if it is stopped; it fails to start without a
//! journal, and does not say when a line did not get through. So it runs on the thread of the log alone: it gets each
//! record as the event that it was, after a look at whether anybody listens. While nobody does, lines go to standard
//! error; the journal is taken again as soon as it is back. (Under systemd the socket outlives journald itself: lines
//! wait there while it restarts.)
//!
//! | field of the journal | what |
//! |---|---|
//! | `MESSAGE`, `PRIORITY` | error 3, warn 4, info 6, debug and trace 7 |
//! | `SYSLOG_IDENTIFIER` | `qovery` |
//! | `TARGET`, `CODE_FILE`, `CODE_LINE` | where in our code |
//! | `QOVERY_…` | fields of the event and of the spans around it, in upper case: `app` is `QOVERY_APP` |
//! | `SPAN_NAME`, `SPAN_…` | the spans |

use std::{
    collections::VecDeque,
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher, field, level_filters::LevelFilter, span};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    record::{Record, Value, Values},
    stderr::Stderr,
    writer::{Output, said},
};

/// Where the journal listens; the crate knows no other place.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The journal, and standard error while it is away.
pub(super) struct Journal {
    socket: PathBuf,
    connect: fn() -> io::Result<Dispatch>,
    journal: Option<Dispatch>,
    fallback: Stderr,
    /// Whether it was said that the journal is away.
    away: bool,
}

impl Journal {
    /// The journal of this machine. It need not be there yet.
    pub(super) fn new(fallback: Stderr) -> Self {
        Journal { socket: SOCKET.into(), connect, journal: None, fallback, away: false }
    }

    /// The journal, if somebody listens there.
    fn reach(&mut self) -> io::Result<Dispatch> {
        is_listening(&self.socket)?;
        match &self.journal {
            Some(journal) => Ok(journal.clone()),
            None => Ok(self.journal.insert((self.connect)()?).clone()),
        }
    }
}

impl Output for Journal {
    fn write(&mut self, lines: &VecDeque<Record>) {
        for record in lines {
            match self.reach() {
                Ok(journal) => {
                    if std::mem::take(&mut self.away) {
                        let back = said(|| tracing::warn!("the journal is back, logging there again"));
                        back.iter().for_each(|record| replay(&journal, record));
                    }
                    replay(&journal, record);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.away, true) {
                        let error = crate::base::fs::reason(&error);
                        self.fallback.write(&said(|| {
                            tracing::warn!(error, "the journal cannot be reached, logging to standard error");
                        }));
                    }
                    self.fallback.write(&VecDeque::from([record.clone()]));
                }
            }
        }
    }
}

/// Whether a socket listens there. Costs a few microseconds, less than the line that follows.
fn is_listening(socket: &Path) -> io::Result<()> {
    UnixDatagram::unbound()?.connect(socket)
}

fn connect() -> io::Result<Dispatch> {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let journal = tracing_journald::layer()?
        .with_field_prefix(Some("QOVERY".into()))
        .with_syslog_identifier("qovery".into())
        .with_priority_mappings(priorities);
    Ok(private(tracing_subscriber::registry().with(LevelFilter::OFF).with(journal)))
}

/// A subscriber that gets only what is replayed to it. It says that it wants nothing (`OFF`), or else every disabled
/// line of the process would become dearer.
fn private(subscriber: impl Subscriber + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(subscriber)
}

/// Gives a record to `subscriber` as the event that it was, in the spans that it was in.
fn replay(subscriber: &Dispatch, record: &Record) {
    dispatcher::with_default(subscriber, || {
        let mut entered: Vec<span::Id> = Vec::new();
        for span in &record.spans {
            with_values(span.metadata, &span.values, |values| {
                let attributes = match entered.last() {
                    Some(parent) => span::Attributes::child_of(parent.clone(), span.metadata, values),
                    None => span::Attributes::new_root(span.metadata, values),
                };
                let id = subscriber.new_span(&attributes);
                subscriber.enter(&id);
                entered.push(id);
            });
        }
        with_values(record.metadata, &record.values, |values| {
            subscriber.event(&Event::new(record.metadata, values));
        });
        for id in entered.into_iter().rev() {
            subscriber.exit(&id);
            subscriber.try_close(id);
        }
    });
}

/// Lends `values` in the way `tracing` lends the values of an event.
fn with_values(
    metadata: &'static Metadata<'static>,
    values: &Values,
    then: impl FnOnce(&field::ValueSet<'_>),
) {
    let fields = metadata.fields();
    let lent: Vec<Option<&dyn field::Value>> =
        (0..fields.len()).map(|index| values.0.get(index)?.as_ref().map(lend)).collect();
    then(&fields.value_set_all(&lent));
}

fn lend(value: &Value) -> &dyn field::Value {
    match value {
        Value::Bool(value) => value,
        Value::Signed(value) => value,
        Value::Unsigned(value) => value,
        Value::Float(value) => value,
        Value::Text(value) => value,
    }
}

#[cfg(test)]
mod tests;
