//! Several files to one tree.
//!
//! Pure.

use super::{
    diagnostic::Diagnostics,
    node::{Node, NodeKind, Table},
    report::Files,
};

/// The tables in which each name may be given only once, over all files and all three of them.
pub const ROLES: [&str; 3] = ["sources", "transforms", "sinks"];

/// Adds `more` to `all`. The same option in both is an error, unless the values are the same.
pub fn merge(all: &mut Table, more: Table, files: &Files, diagnostics: &Diagnostics) {
    if all.is_empty() {
        *all = more;
    } else {
        merge_into(all, more, "", files, diagnostics);
    }
}

fn merge_into(all: &mut Table, more: Table, path: &str, files: &Files, diagnostics: &Diagnostics) {
    for entry in more {
        let first = all.entry(&entry.name).map(|first| first.name_span);
        let Some(existing) = all.get_mut(&entry.name) else {
            all.push(entry);
            continue;
        };
        let first = files.show(first.unwrap_or(existing.span));
        let name = if path.is_empty() { entry.name.clone() } else { format!("{path}.{}", entry.name) };
        match (&mut existing.kind, entry.node) {
            // The names of components are compared later, over all roles.
            (NodeKind::Table(existing), Node { kind: NodeKind::Table(table), .. }) => {
                if ROLES.contains(&path) {
                    let message = format!("the component `{}` is defined twice", entry.name);
                    diagnostics.error_help(entry.name_span, message, format!("the other is at {first}"));
                } else {
                    merge_into(existing, table, &name, files, diagnostics);
                }
            }
            (existing, node) if *existing == node.kind => {}
            (_, node) => {
                let message = format!("`{name}` is set twice, with different values");
                diagnostics.error_help(node.span, message, format!("the other is at {first}"));
            }
        }
    }
}
