//! What should run: a checked graph.
//!
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use super::{
    buffer::Memory,
    component::{DataType, SinkSpec, SourceSpec, TransformSpec},
    kinds::{self, Kind},
};
use crate::{
    base::{fault::Fault, id::ComponentId, text::plural},
    config::{Component, Config, Diagnostics, Fields, Span, Table, fields::nearest},
};

/// Components and how they are connected. Every input exists, types meet, nothing goes in a circle.
#[derive(Debug, Default)]
pub struct Plan {
    /// By name.
    pub components: BTreeMap<ComponentId, Planned>,
}

/// One component of a plan.
#[derive(Debug)]
pub struct Planned {
    /// Its type.
    pub kind: &'static str,
    /// Where its events come from.
    pub inputs: BTreeSet<OutputId>,
    /// What it does.
    pub spec: Spec,
    /// Its options as written: equal options need no rebuild.
    pub options: Table,
}

/// The options of a component, checked.
#[derive(Debug)]
pub enum Spec {
    /// Where events come from.
    Source(Box<dyn SourceSpec>),
    /// What happens to them.
    Transform(Box<dyn TransformSpec>),
    /// Where they go.
    Sink {
        /// The sink's own options.
        spec: Box<dyn SinkSpec>,
        /// What waits in front of it.
        buffer: Memory,
        /// Whether to look if it can deliver, at its start.
        healthcheck: bool,
    },
}

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Events come from it.
    Source,
    /// Something happens to them.
    Transform,
    /// They go to it.
    Sink,
}

impl Role {
    /// `source`, `transform`, `sink`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Transform => "transform",
            Role::Sink => "sink",
        }
    }
}

/// An output of a component: `parse`, or `route.errors`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId {
    /// Whose.
    pub component: ComponentId,
    /// Which; `None` is the unnamed one.
    pub port: Option<String>,
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            None => self.component.fmt(f),
            Some(port) => write!(f, "{}.{port}", self.component),
        }
    }
}

impl Spec {
    /// What it is for.
    pub fn role(&self) -> Role {
        match self {
            Spec::Source(_) => Role::Source,
            Spec::Transform(_) => Role::Transform,
            Spec::Sink { .. } => Role::Sink,
        }
    }

    /// Files it reads at its start.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Spec::Source(spec) => spec.files(),
            Spec::Transform(spec) => spec.files(),
            Spec::Sink { spec, .. } => spec.files(),
        }
    }

    /// Looks for what a build would miss; binds nothing, creates nothing.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Spec::Source(spec) => spec.check(),
            Spec::Transform(spec) => spec.check(),
            Spec::Sink { spec, .. } => spec.check(),
        }
    }

    /// Its outputs. A sink has none.
    pub fn ports(&self) -> Vec<Option<String>> {
        match self {
            Spec::Source(_) => vec![None],
            Spec::Transform(spec) => {
                let default = spec.has_default_port().then_some(None);
                default.into_iter().chain(spec.ports().into_iter().map(Some)).collect()
            }
            Spec::Sink { .. } => Vec::new(),
        }
    }

    fn makes(&self) -> DataType {
        match self {
            Spec::Source(spec) => spec.output(),
            Spec::Transform(spec) => spec.output(),
            Spec::Sink { .. } => DataType::Any,
        }
    }

    /// What it takes.
    pub fn takes(&self) -> DataType {
        match self {
            Spec::Source(_) => DataType::Any,
            Spec::Transform(spec) => spec.input(),
            Spec::Sink { spec, .. } => spec.input(),
        }
    }
}

impl Plan {
    /// Makes a plan of a configuration. What is wrong goes to `diagnostics`, all of it; the plan is complete only if
    /// there are no errors.
    pub fn new(config: &Config, diagnostics: &Diagnostics) -> Plan {
        let mut draft = Draft { plan: Plan::default(), wanted: Vec::new(), diagnostics };
        for component in &config.sources {
            draft.add(component, Role::Source, kinds::SOURCES, |_, spec| Some(Spec::Source(spec?)));
        }
        for component in &config.transforms {
            draft.add(component, Role::Transform, kinds::TRANSFORMS, |_, spec| Some(Spec::Transform(spec?)));
        }
        for component in &config.sinks {
            draft.add(component, Role::Sink, kinds::SINKS, |fields, spec| {
                let buffer = Memory::read(fields);
                let healthcheck = fields.or("healthcheck", true);
                Some(Spec::Sink { spec: spec?, buffer, healthcheck })
            });
        }
        draft.connect(config);
        draft.check_addresses(config);
        draft.check_circles(config);
        draft.check_uses(config);
        draft.plan
    }

    /// The components that take from `output`.
    pub fn consumers<'a>(&'a self, output: &'a OutputId) -> impl Iterator<Item = &'a ComponentId> + 'a {
        self.components.iter().filter(|(_, planned)| planned.inputs.contains(output)).map(|(id, _)| id)
    }

    /// `2 sources, 1 transform, 1 sink`.
    pub fn summary(&self) -> String {
        let roles = [Role::Source, Role::Transform, Role::Sink];
        roles.map(|role| plural(self.count(role), role.name())).join(", ")
    }

    /// How many components play `role`.
    pub fn count(&self, role: Role) -> usize {
        self.components.values().filter(|planned| planned.spec.role() == role).count()
    }
}

/// A plan while it is being checked.
struct Draft<'a> {
    plan: Plan,
    /// Inputs as written, for later: they may name components that come after.
    wanted: Vec<(ComponentId, Vec<(String, Span)>)>,
    diagnostics: &'a Diagnostics,
}

impl Draft<'_> {
    fn add<S: ?Sized>(
        &mut self,
        component: &Component,
        role: Role,
        kinds: &'static [Kind<S>],
        finish: impl FnOnce(&mut Fields<'_>, Option<Box<S>>) -> Option<Spec>,
    ) {
        if role != Role::Source {
            self.wanted.push((component.id.clone(), component.inputs.clone()));
        }
        // Which options an unknown type has is unknown: one mistake, one error.
        let Some(kind) = self.kind(component, role, kinds) else { return };
        let mut fields = component.fields(&format!("{}s", role.name()), self.diagnostics);
        let spec = (kind.read)(&mut fields);
        let spec = finish(&mut fields, spec);
        fields.finish();
        let Some(spec) = spec else { return };
        let options = component.options.clone();
        let planned = Planned { kind: kind.name, inputs: BTreeSet::new(), spec, options };
        self.plan.components.insert(component.id.clone(), planned);
    }

    fn kind<S: ?Sized>(
        &self,
        component: &Component,
        role: Role,
        kinds: &'static [Kind<S>],
    ) -> Option<&'static Kind<S>> {
        let found = kinds::find(kinds, &component.kind);
        if found.is_none() {
            let names = || kinds.iter().map(|kind| kind.name);
            let help = match nearest(&component.kind, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("there is no {} of type `{}`", role.name(), component.kind);
            self.diagnostics.error_help(component.kind_span, message, help);
        }
        found
    }

    /// Resolves `inputs`.
    fn connect(&mut self, config: &Config) {
        let outputs: BTreeMap<String, (OutputId, DataType)> = self
            .plan
            .components
            .iter()
            .flat_map(|(id, planned)| {
                let output = |port| OutputId { component: id.clone(), port };
                planned.spec.ports().into_iter().map(output).map(|output| {
                    let makes = planned.spec.makes();
                    (output.to_string(), (output, makes))
                })
            })
            .collect();
        for (id, inputs) in std::mem::take(&mut self.wanted) {
            let takes = self.plan.components.get(&id).map_or(DataType::Any, |planned| planned.spec.takes());
            let mut found = BTreeSet::new();
            for (name, span) in inputs {
                let matches: Vec<_> = if name.contains('*') {
                    // A pattern never means the component itself.
                    let own = |output: &OutputId| output.component == id;
                    outputs
                        .iter()
                        .filter(|(text, (o, _))| glob(&name, text) && !own(o))
                        .map(|(_, o)| o)
                        .collect()
                } else {
                    outputs.get(&name).into_iter().collect()
                };
                if matches.is_empty() {
                    self.no_such_input(config, &id, &name, span, &outputs);
                }
                for (output, makes) in matches {
                    if !makes.meets(takes) {
                        let message = format!("`{output}` makes {makes}, but `{id}` takes {takes}");
                        self.diagnostics.error(span, message);
                    }
                    found.insert(output.clone());
                }
            }
            if let Some(planned) = self.plan.components.get_mut(&id) {
                planned.inputs = found;
            }
        }
    }

    fn no_such_input(
        &self,
        config: &Config,
        id: &ComponentId,
        name: &str,
        span: Span,
        outputs: &BTreeMap<String, (OutputId, DataType)>,
    ) {
        let component = name.split('.').next().unwrap_or(name);
        let known = self.plan.components.iter().find(|(known, _)| known.as_str() == name);
        // It has errors of its own, or stands in a part that could not be read: one mistake, one error.
        let is_planned = self.plan.components.keys().any(|known| known.as_str() == component);
        let is_declared = config.declared.contains_key(component);
        if (is_declared && !is_planned) || self.diagnostics.is_incomplete() {
            return;
        }
        let help = match known.map(|(_, planned)| &planned.spec) {
            Some(Spec::Sink { .. }) => "it is a sink: nothing comes out of it".to_owned(),
            Some(spec) => {
                let ports: Vec<_> =
                    spec.ports().into_iter().flatten().map(|p| format!("{name}.{p}")).collect();
                format!("it has only named outputs: {}", ports.join(", "))
            }
            None => {
                // Those that have mistakes of their own, too.
                let is_sink = |name: &str| config.sinks.iter().any(|sink| sink.id.as_str() == name);
                let declared = config.declared.keys().map(String::as_str).filter(|name| !is_sink(name));
                match nearest(name, outputs.keys().map(String::as_str).chain(declared)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "no source or transform has this name".to_owned(),
                }
            }
        };
        let message = format!("input `{name}` of `{id}` does not exist");
        self.diagnostics.error_help(span, message, help);
    }

    /// Two components cannot listen at one address.
    fn check_addresses(&self, config: &Config) {
        let mut users = BTreeMap::new();
        for component in &config.sources {
            let Some(planned) = self.plan.components.get(&component.id) else { continue };
            let Spec::Source(spec) = &planned.spec else { continue };
            let Some(address) = spec.listens() else { continue };
            if let Some(first) = users.get(&address) {
                let message = format!("`{first}` and `{}` cannot both listen on {}", component.id, address.1);
                self.diagnostics.error(component.id_span, message);
            }
            users.entry(address).or_insert_with(|| component.id.clone());
        }
    }

    /// Events must not go in a circle.
    fn check_circles(&self, config: &Config) {
        // Takes away, again and again, what takes only from what was taken away. What stays goes in circles, or comes
        // after one.
        let mut left: BTreeSet<&ComponentId> = self.plan.components.keys().collect();
        let takes_from_left = |id: &ComponentId, left: &BTreeSet<&ComponentId>| {
            self.plan.components[id].inputs.iter().find(|input| left.contains(&input.component)).cloned()
        };
        while let Some(free) = left.iter().find(|id| takes_from_left(id, &left).is_none()).copied() {
            left.remove(free);
        }
        // Walking against the stream from any of them ends up in a circle.
        let Some(start) = left.first() else { return };
        let mut chain = vec![(*start).clone()];
        loop {
            let last = chain.last().expect("the chain begins with a component");
            let input = takes_from_left(last, &left).expect("what is left takes from what is left").component;
            if let Some(at) = chain.iter().position(|id| *id == input) {
                chain.drain(..at);
                chain.reverse();
                chain.push(chain[0].clone());
                break;
            }
            chain.push(input);
        }
        let names: Vec<_> = chain.iter().map(ComponentId::as_str).collect();
        let of = config.transforms.iter().find(|component| component.id == chain[0]);
        if let Some(component) = of {
            self.diagnostics
                .error(component.id_span, format!("events would go in a circle: {}", names.join(" → ")));
        }
    }

    /// Sources need sinks; what nobody reads is probably a mistake.
    fn check_uses(&self, config: &Config) {
        if self.plan.components.len() < config.declared.len() || self.diagnostics.is_incomplete() {
            return;
        }
        if let (Some(source), true) = (config.sources.first(), config.sinks.is_empty()) {
            let help = "add a sink, `[sinks.out]` with `type = \"console\"` for example";
            let message = "there are sources but no sinks: events would go nowhere";
            self.diagnostics.error_help(source.id_span, message.to_owned(), help.to_owned());
            return;
        }
        if let (Some(sink), true) = (config.sinks.first(), config.sources.is_empty()) {
            let message = "there are sinks but no sources: no events would come";
            self.diagnostics.error(sink.id_span, message.to_owned());
            return;
        }
        let used: BTreeSet<_> = self.plan.components.values().flat_map(|planned| &planned.inputs).collect();
        for component in config.sources.iter().chain(&config.transforms) {
            let Some(planned) = self.plan.components.get(&component.id) else { continue };
            for port in planned.spec.ports() {
                let output = OutputId { component: component.id.clone(), port };
                if !used.contains(&output) {
                    self.diagnostics
                        .warning(component.id_span, format!("nothing takes events from `{output}`"));
                }
            }
        }
    }
}

/// Does `text` match `pattern`, where `*` stands for any text?
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("app-*", "app-web", true),
            ("app-*", "ap", false),
            ("*-web", "app-web", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("*a", "aa", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
