//! The options of the sink.

use std::time::Duration;

use super::{run::FileSink, template::Template};
use crate::{
    base::fault::Fault,
    config::{Fields, FromNode, Node, Secs, choice, from_text},
    event::codec::Encoding,
    pipeline::{
        component::{BuildContext, Sink, SinkSpec},
        encoding::Encoder,
    },
};

/// The options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// `path`: where an event goes.
    pub(super) path: Template,
    /// `idle_timeout_secs`: after so long without an event a file is closed; 30 s by default.
    pub(super) idle_timeout: Duration,
    /// `encoding`: `text` by default.
    pub(super) encoder: Encoder,
}

/// `compression`, for configurations that say there is none.
struct NoCompression;

impl FromNode for NoCompression {
    const EXPECTED: &'static str = "`none`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("none", ())]).map(|()| NoCompression)
    }
}

impl FromNode for Template {
    const EXPECTED: &'static str = "a path, as `/var/log/{{ app }}/%Y-%m-%d.log`";

    fn from_node(node: &Node) -> Result<Self, String> {
        from_text(node, Self::EXPECTED, Template::parse)
    }
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SinkSpec>> {
    let path = fields.required("path");
    let Secs(idle_timeout) = fields.or("idle_timeout_secs", Secs(Duration::from_secs(30)));
    let encoder = Encoder::read(fields, Encoding::Text);
    let _ = fields.optional::<NoCompression>("compression");
    Some(Box::new(Options { path: path?, idle_timeout, encoder }))
}

impl SinkSpec for Options {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        Ok(Box::new(FileSink::new(self.clone())))
    }
}
