//! `demo`: made-up lines, to try out what comes after.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    base::fault::Fault,
    config::{Fields, FromNode, Node, Secs, choice},
    event::{Event, Log, Timestamp},
    pipeline::component::{BuildContext, Source, SourceContext, SourceSpec, Task},
};

/// How many events go on at once when they come without a pause.
const BATCH: u64 = 1000;

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Lines of `lines`, in any order.
    Shuffle,
    /// Lines of a web server.
    ApacheCommon,
    /// JSON objects.
    Json,
}

impl FromNode for Format {
    const EXPECTED: &'static str = "`shuffle`, `apache_common` or `json`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let formats =
            [("shuffle", Format::Shuffle), ("apache_common", Format::ApacheCommon), ("json", Format::Json)];
        choice(node, &formats)
    }
}

/// The options.
#[derive(Debug, Clone)]
struct Options {
    /// `format`: `json` is the default, `shuffle` if there are `lines`.
    format: Format,
    /// `lines`: what `shuffle` chooses from.
    lines: Vec<String>,
    /// `interval`: seconds from one event to the next, 1 by default; 0 is as fast as they are taken.
    interval: Duration,
    /// `count`: how many events there are; 0, the default, is no end.
    count: u64,
    /// `sequence`: each line begins with its number.
    sequence: bool,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let lines = fields.optional::<Vec<String>>("lines").unwrap_or_default();
    let default = if fields.has("lines") { Format::Shuffle } else { Format::Json };
    let format = fields.or("format", default);
    if format == Format::Shuffle && lines.is_empty() {
        fields.error(fields.span(), "the format `shuffle` needs `lines`, with at least one");
    } else if format != Format::Shuffle && fields.has("lines") {
        fields.error(fields.span(), "`lines` are for the format `shuffle` only");
    }
    let Secs(interval) = fields.or("interval", Secs(Duration::from_secs(1)));
    let count = fields.or("count", 0);
    let sequence = fields.or("sequence", false);
    Some(Box::new(Options { format, lines, interval, count, sequence }))
}

impl SourceSpec for Options {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Demo { options: self.clone(), made: 0, dice: Dice(0x9e37_79b9_7f4a_7c15) }))
    }
}

struct Demo {
    options: Options,
    made: u64,
    dice: Dice,
}

impl Source for Demo {
    fn run(mut self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            let mut due = Instant::now();
            loop {
                let interval = self.options.interval;
                let size = if interval.is_zero() { BATCH } else { 1 };
                let left = if self.options.count == 0 { size } else { self.options.count - self.made };
                if left == 0 {
                    return Ok(());
                }
                // Cancel safe: both only wait.
                tokio::select! {
                    biased;
                    _ = cx.stop.stopped() => return Ok(()),
                    () = sleep_until(due) => {}
                }
                let now = chrono::Utc::now();
                let batch: Vec<_> = (0..size.min(left)).map(|_| self.event(&cx, now)).collect();
                cx.metrics.received_events.add(batch.len());
                cx.metrics.sent_events.add(batch.len());
                cx.outlet.send(batch).await;
                if interval.is_zero() {
                    // A consumer without limits must not keep this loop from ever pausing.
                    tokio::task::yield_now().await;
                } else {
                    // Whoever was held up does not catch up.
                    due = (due + interval).max(Instant::now());
                }
            }
        })
    }
}

impl Demo {
    fn event(&mut self, cx: &SourceContext, now: Timestamp) -> Event {
        let mut text = match self.options.format {
            Format::Shuffle => self.dice.choose(&self.options.lines).clone(),
            Format::ApacheCommon => self.web(now),
            Format::Json => self.json(),
        };
        if self.options.sequence {
            text = format!("{} {text}", self.made);
        }
        self.made += 1;
        Event::Log(Log::line(text.into(), &cx.shared.host, "demo", now))
    }

    fn web(&mut self, now: Timestamp) -> String {
        let host = self.dice.below(256);
        let user = self.dice.choose(&["-", "ada", "grace", "linus"]);
        let verb = self.dice.choose(&["GET", "GET", "GET", "POST", "DELETE"]);
        let path = self.dice.choose(&["/", "/cart", "/login", "/items/17", "/favicon.ico"]);
        let status = self.dice.choose(&[200, 200, 200, 304, 404, 500]);
        let size = self.dice.below(50_000);
        let at = now.format("%d/%b/%Y:%H:%M:%S %z");
        format!(r#"192.0.2.{host} - {user} [{at}] "{verb} {path} HTTP/1.1" {status} {size}"#)
    }

    fn json(&mut self) -> String {
        let level = self.dice.choose(&["info", "info", "info", "warn", "error"]);
        let what = self.dice.choose(&["order placed", "payment received", "page shown", "cache missed"]);
        let took = self.dice.below(400);
        format!(r#"{{"level":"{level}","message":"{what}","took_ms":{took}}}"#)
    }
}

/// Numbers that look like chance, the same at every start.
struct Dice(u64);

impl Dice {
    /// From 0 to one below `limit`, by xorshift.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        #[expect(clippy::cast_possible_truncation, reason = "below the length of a slice")]
        let at = self.below(items.len() as u64) as usize;
        &items[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{Stand, source_spec};

    async fn run(options: &str) -> Vec<String> {
        let stand = Stand::new();
        let source = stand.build_source(&format!("type = 'demo'\n{options}")).unwrap();
        let mut source = stand.run_source(source);
        let messages = source.rest().await;
        source.task.await.unwrap().unwrap();
        messages
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_lines_come_at_the_interval_and_then_it_ends() {
        let start = Instant::now();
        assert_eq!(
            run("lines = ['a']\ncount = 3\nsequence = true\ninterval = 2.0").await,
            ["0 a", "1 a", "2 a"]
        );
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_they_come_in_batches() {
        let start = Instant::now();
        assert_eq!(run("count = 2500\ninterval = 0").await.len(), 2500);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_when_told_to() {
        let stand = Stand::new();
        let mut source =
            stand.run_source(stand.build_source("type = 'demo'\nformat = 'apache_common'").unwrap());
        assert!(source.messages(2).await[1].contains(" HTTP/1.1\" "));
        source.stop().await;
    }

    #[test]
    fn shuffle_needs_lines() {
        assert!(source_spec("type = 'demo'\nformat = 'shuffle'").unwrap_err().contains("needs `lines`"));
        assert!(source_spec("type = 'demo'\nformat = 'json'\nlines = ['a']").unwrap_err().contains("only"));
    }
}
