//! Sends events to named outputs.

use super::{
    condition::{Condition, Tester},
    failures::Failures,
};
use crate::{
    base::{fault::Fault, id::ComponentId},
    config::{Fields, Node, NodeKind},
    event::Batch,
    pipeline::component::{BuildContext, Outputs, Transform, TransformSpec},
};

/// The output of what met no condition.
const UNMATCHED: &str = "_unmatched";

/// `type = "route"`: `[transforms.ID.route]` has a condition for each output.
///
/// An event goes to each output whose condition it meets; to `_unmatched` if there is none, unless
/// `reroute_unmatched = false`: then it is counted as discarded, `unmatched`. A condition that fails is not met.
#[derive(Debug)]
pub struct RouteSpec {
    routes: Vec<(String, Condition)>,
    reroute_unmatched: bool,
}

impl RouteSpec {
    /// Reads its options.
    pub fn read(fields: &mut Fields<'_>) -> Option<Box<dyn TransformSpec>> {
        Some(Box::new(Self::read_options(fields)?))
    }

    fn read_options(fields: &mut Fields<'_>) -> Option<Self> {
        let routes = read_routes(fields);
        let reroute_unmatched = fields.or("reroute_unmatched", true);
        Some(RouteSpec { routes: routes?, reroute_unmatched })
    }

    fn start(&self, id: &ComponentId) -> Route {
        Route {
            conditions: self.routes.iter().map(|(_, condition)| condition.tester()).collect(),
            met: Vec::new(),
            failures: Failures::new(id),
        }
    }
}

fn read_routes(fields: &mut Fields<'_>) -> Option<Vec<(String, Condition)>> {
    let path = fields.path();
    let table = match fields.node("route") {
        None => return fields.required::<String>("route").and(None),
        Some(Node { kind: NodeKind::Broken, .. }) => return None,
        Some(Node { kind: NodeKind::Table(table), span }) if table.is_empty() => {
            let help = "for example `errors = '.level == \"error\"'`";
            fields.diagnostics().error_help(*span, format!("[{path}.route] needs at least one output"), help);
            return None;
        }
        Some(Node { kind: NodeKind::Table(table), .. }) => table,
        Some(node) => {
            fields.error(node.span, node.mismatch("a table"));
            return None;
        }
    };
    let read = |entry: &crate::config::node::Entry| {
        let name = &entry.name;
        let named = match name.parse::<ComponentId>() {
            Ok(_) if name.starts_with('_') => Err(format!(
                "an output cannot be called `{name}`: names that begin with `_` are reserved, as `{UNMATCHED}` is for what meets no condition"
            )),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("an output's name has 1 to 128 letters, digits, `_` or `-`, not `{name}`")),
        };
        if let Err(message) = &named {
            fields.error(entry.name_span, message);
        }
        let condition = Condition::read(&entry.node, format!("{path}.route.{name}"), fields.diagnostics());
        named.is_ok().then_some((name.clone(), condition?))
    };
    // All are read before giving up, so that all mistakes are found.
    let routes: Vec<_> = table.iter().map(read).collect();
    routes.into_iter().collect()
}

impl TransformSpec for RouteSpec {
    fn ports(&self) -> Vec<String> {
        let names = self.routes.iter().map(|(name, _)| name.clone());
        names.chain(self.reroute_unmatched.then(|| UNMATCHED.to_owned())).collect()
    }

    fn has_default_port(&self) -> bool {
        false
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault> {
        Ok(Box::new(self.start(cx.id)))
    }
}

#[derive(Debug)]
struct Route {
    conditions: Vec<Tester>,
    /// Which conditions the event at hand meets. Kept for its room.
    met: Vec<usize>,
    failures: Failures,
}

impl Transform for Route {
    fn apply(&mut self, batch: Batch, out: &mut Outputs) {
        let mut unmatched = 0;
        for event in batch {
            self.met.clear();
            for (at, condition) in self.conditions.iter_mut().enumerate() {
                match condition.test(&event) {
                    Ok(true) => self.met.push(at),
                    Ok(false) => {}
                    Err(stopped) => {
                        self.failures.note(&stopped, "taking the condition as not met", &out.metrics);
                    }
                }
            }
            // The last output gets the event itself, the others copies. Behind all named ones there is `_unmatched`.
            let (last, others) = match self.met.split_last() {
                Some((last, others)) => (*last, others),
                None => (self.conditions.len(), &[][..]),
            };
            for at in others {
                out.ports[*at].push(event.clone());
            }
            match out.ports.get_mut(last) {
                Some(port) => port.push(event),
                None => unmatched += 1,
            }
        }
        out.metrics.discard("unmatched", unmatched);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, bad, counter, good, line, messages};
    use super::*;

    const ROUTES: &str =
        "route.a = 'contains(string!(.message), \"a\")'\nroute.b = 'contains(string!(.message), \"b\")'\n";

    fn spec(toml: &str) -> RouteSpec {
        good(toml, RouteSpec::read_options)
    }

    #[test]
    fn an_event_goes_to_each_output_whose_condition_it_meets() {
        let spec = spec(ROUTES);
        assert_eq!(spec.ports(), ["a", "b", "_unmatched"]);
        assert!(!spec.has_default_port());
        let batch = vec![line("a"), line("ab"), line("c"), line("b")];
        let out = apply(&mut spec.start(&"t".parse().unwrap()), 3, batch);
        assert_eq!(messages(&out.ports[0]), ["a", "ab"]);
        assert_eq!(messages(&out.ports[1]), ["ab", "b"]);
        assert_eq!(messages(&out.ports[2]), ["c"]);
        assert!(out.default.is_empty() && out.metrics.discarded().is_empty());
    }

    #[test]
    fn without_an_output_for_the_rest_the_rest_is_counted() {
        let spec = spec(&format!("{ROUTES}reroute_unmatched = false"));
        assert_eq!(spec.ports(), ["a", "b"]);
        let out = apply(&mut spec.start(&"t".parse().unwrap()), 2, vec![line("a"), line("c")]);
        assert_eq!(out.ports[0].len(), 1);
        assert_eq!(out.metrics.discarded()["unmatched"], 1);
    }

    #[test]
    fn a_condition_that_fails_is_not_met() {
        let out = apply(&mut spec(ROUTES).start(&"t".parse().unwrap()), 3, vec![counter("x")]);
        assert_eq!(out.ports[2], [counter("x")]);
        assert_eq!(out.metrics.errors()["program_failed"], 2);
    }

    #[test]
    fn logs_and_metrics_can_be_parted() {
        let spec = spec("[route]\nlogs.type = 'is_log'\nmetrics.type = 'is_metric'");
        let out = apply(&mut spec.start(&"t".parse().unwrap()), 3, vec![counter("x"), line("a")]);
        assert_eq!((&out.ports[0][..], &out.ports[1][..]), (&[line("a")][..], &[counter("x")][..]));
    }

    #[test]
    fn options_that_are_wrong_are_told_all_at_once() {
        let bad = |toml| bad(toml, RouteSpec::read_options);
        assert!(bad("").contains("[transforms.t] needs `route`"));
        assert!(bad("route = 1").contains("expected a table, found 1"));
        assert!(bad("[route]").contains("[transforms.t.route] needs at least one output"));
        let report = bad("[route]\n_unmatched = 'true'\n\"a.b\" = 'true'\nc = 'nope()'\nd = 1");
        assert!(report.contains("an output cannot be called `_unmatched`"), "{report}");
        assert!(report.contains("letters, digits, `_` or `-`, not `a.b`"), "{report}");
        assert!(report.contains("4 errors"), "{report}");
    }
}
