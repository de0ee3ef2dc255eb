//! The merged tree to a [`Config`].
//!
//! Pure.

use super::{
    diagnostic::Diagnostics,
    fields::Fields,
    from_node::Secs,
    merge::ROLES,
    node::{Entry, NodeKind, Span, Table},
    report::Files,
    types::{ApiOptions, Component, Config, DaemonOptions, Global, Shutdown},
};
use crate::base::id::ComponentId;

/// Reads everything but the components' own options, which they read themselves.
pub fn read(tree: &Table, files: &Files, diagnostics: &Diagnostics) -> Config {
    let mut fields = Fields::new(tree, Span::default(), "", diagnostics);
    let mut config = Config { files: files.clone(), global: global(&mut fields), ..Config::default() };
    for role in ROLES {
        let Some(node) = fields.node(role) else { continue };
        let NodeKind::Table(table) = &node.kind else {
            diagnostics.error(node.span, node.mismatch(&format!("tables: `[{role}.NAME]`")));
            continue;
        };
        for entry in table {
            if let Some(first) = config.declared.get(&entry.name) {
                let message = format!("the component `{}` is defined twice", entry.name);
                let help =
                    format!("the other is at {}; all components share one set of names", files.show(*first));
                diagnostics.error_help(entry.name_span, message, help);
                continue;
            }
            config.declared.insert(entry.name.clone(), entry.name_span);
            let Some(component) = component(role, entry, diagnostics) else { continue };
            match role {
                "sources" => config.sources.push(component),
                "transforms" => config.transforms.push(component),
                _ => config.sinks.push(component),
            }
        }
    }
    fields.finish();
    config
}

fn global(fields: &mut Fields<'_>) -> Global {
    let mut global = Global {
        data_dir: fields.optional("data_dir"),
        threads: fields.optional("threads"),
        ..Global::default()
    };
    if let Some(mut fields) = fields.table("shutdown") {
        let default = Shutdown::default();
        let Secs(connections) = fields.or("connections_secs", Secs(default.connections));
        let Secs(buffers) = fields.or("buffers_secs", Secs(default.buffers));
        global.shutdown = Shutdown { connections, buffers };
        fields.finish();
    }
    if let Some(mut fields) = fields.table("daemon") {
        let (pid_file, error_log) = (fields.optional("pid_file"), fields.optional("error_log"));
        global.daemon = DaemonOptions { pid_file, error_log };
        fields.finish();
    }
    if let Some(mut fields) = fields.table("api") {
        global.api = ApiOptions { socket: fields.optional("socket"), group: fields.optional("group") };
        fields.finish();
    }
    global
}

fn component(role: &str, entry: &Entry, diagnostics: &Diagnostics) -> Option<Component> {
    let NodeKind::Table(options) = &entry.node.kind else {
        let message = entry.node.mismatch(&format!("a table: `[{role}.{}]`", entry.name));
        diagnostics.error(entry.node.span, message);
        return None;
    };
    let id = entry.name.parse::<ComponentId>();
    if let Err(message) = &id {
        diagnostics.error(entry.name_span, message.clone());
    }
    let span = entry.node.span;
    let mut fields = Fields::new(options, span, format!("{role}.{}", entry.name), diagnostics);
    let kind = fields.required_spanned::<String>("type");
    let inputs = if role == "sources" {
        if let Some(inputs) = options.entry("inputs") {
            diagnostics.error(inputs.name_span, "a source has no inputs: it is where events come from");
        }
        Vec::new()
    } else {
        inputs(&mut fields)
    };
    // Dropped without `finish`: the other options are read by the component itself.
    drop(fields);
    let mut options = options.clone();
    options.remove("type");
    options.remove("inputs");
    let (kind, kind_span) = kind?;
    Some(Component { id: id.ok()?, id_span: entry.name_span, span, kind, kind_span, inputs, options })
}

/// The inputs; none when they have a mistake, which is noted.
fn inputs(fields: &mut Fields<'_>) -> Vec<(String, Span)> {
    let inputs = fields.required_spanned::<Vec<(String, Span)>>("inputs");
    match inputs {
        Some((inputs, span)) if inputs.is_empty() => {
            fields.error(span, format!("[{}] has no inputs: nothing would ever reach it", fields.path()));
            inputs
        }
        Some((inputs, _)) => inputs,
        None => Vec::new(),
    }
}
