//! `qovery list`: which components there are.
//!
//! Format.

use super::{
    args::{Format, ListArgs},
    print,
};
use crate::pipeline::kinds::{Kind, SINKS, SOURCES, TRANSFORMS};

pub(super) fn run(args: &ListArgs) -> u8 {
    fn rows<S: ?Sized>(kinds: &[Kind<S>]) -> Vec<(&'static str, &'static str)> {
        kinds.iter().map(|kind| (kind.name, kind.about)).collect()
    }
    let roles = [("sources", rows(SOURCES)), ("transforms", rows(TRANSFORMS)), ("sinks", rows(SINKS))];
    let text = match args.format {
        Format::Text => {
            let widest = roles.iter().flat_map(|(_, rows)| rows).map(|(name, _)| name.len()).max();
            let width = widest.unwrap_or_default();
            let block = |(role, rows): &(&str, Vec<(&str, &str)>)| {
                let lines = rows.iter().map(|(name, about)| format!("  {name:width$}  {about}\n"));
                format!("{role}\n{}", lines.collect::<String>())
            };
            roles.iter().map(block).collect::<Vec<_>>().join("\n")
        }
        Format::Json => {
            let names = roles.map(|(role, rows)| {
                let entry = |(name, about)| serde_json::json!({ "type": name, "about": about });
                (role.to_owned(), rows.into_iter().map(entry).collect::<serde_json::Value>())
            });
            format!("{:#}\n", serde_json::Value::from_iter(names))
        }
    };
    print::out(text.as_bytes())
}
