//! What a running program reads and writes.
//!
//! Pure.

use std::cell::{Cell, OnceCell};

use vrl::{
    compiler::{SecretTarget, Target},
    path::{OwnedSegment, OwnedTargetPath, PathPrefix},
    value::Value as Vrl,
};

use super::{metric, value};
use crate::event::{Event, Key};

/// A field that a program names: converted when first used.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Key,
    /// Not set: not used yet. `None`: not there.
    value: OnceCell<Option<Vrl>>,
    changed: bool,
}

impl Field {
    pub(super) fn new(name: &Key) -> Self {
        Field { name: name.clone(), value: OnceCell::new(), changed: false }
    }

    /// Forgets the last event. If the program changed the field: its new value, `None` when it was removed.
    pub(super) fn take_change(&mut self) -> Option<Option<Vrl>> {
        let value = self.value.take();
        std::mem::take(&mut self.changed).then(|| value.flatten())
    }

    fn load(&self, event: &Event) -> &Option<Vrl> {
        self.value.get_or_init(|| field_of(event, &self.name))
    }

    fn change(&mut self, event: &Event) -> &mut Option<Vrl> {
        self.load(event);
        self.changed = true;
        self.value.get_mut().expect("it was loaded a line above")
    }
}

fn field_of(event: &Event, name: &str) -> Option<Vrl> {
    match event {
        Event::Log(log) => log.fields.get(name).map(value::to_vrl),
        Event::Metric(metric) => metric::field(metric, name),
    }
}

/// The event as a whole, as VRL's value.
pub(super) fn whole(event: &Event) -> Vrl {
    match event {
        Event::Log(log) => value::object(&log.fields),
        Event::Metric(metric) => metric::object(metric),
    }
}

/// An event of which only some fields are looked at. It is not changed: the changes stay in the fields.
#[derive(Debug)]
pub(super) struct Sparse<'a> {
    pub(super) event: &'a Event,
    pub(super) fields: &'a mut [Field],
    pub(super) metadata: &'a mut Vrl,
    /// The runtime looks if there is an event before it begins.
    began: Cell<bool>,
    /// The program used something that it does not name: its outcome means nothing.
    missed: Cell<bool>,
}

/// What the runtime is shown as the event at its beginning.
static SOMETHING: Vrl = Vrl::Null;

impl<'a> Sparse<'a> {
    pub(super) fn new(event: &'a Event, fields: &'a mut [Field], metadata: &'a mut Vrl) -> Self {
        Sparse { event, fields, metadata, began: Cell::new(false), missed: Cell::new(false) }
    }

    /// Did the program use something that it does not name?
    pub(super) fn has_missed(&self) -> bool {
        self.missed.get()
    }

    /// Which field a path leads to, and where to go from there.
    fn find<'p>(&self, path: &'p OwnedTargetPath) -> Option<(usize, &'p [OwnedSegment])> {
        let (first, rest) = path.path.segments.split_first()?;
        let OwnedSegment::Field(name) = first else { return None };
        let at = self.fields.iter().position(|field| field.name == name.as_str())?;
        Some((at, rest))
    }

    fn miss(&self) -> String {
        self.missed.set(true);
        "a field that the program does not name".into()
    }
}

impl Target for Sparse<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Vrl) -> Result<(), String> {
        if path.prefix == PathPrefix::Metadata {
            self.metadata.insert(&path.path, value);
            return Ok(());
        }
        let Some((at, rest)) = self.find(path) else { return Err(self.miss()) };
        let place = self.fields[at].change(self.event);
        if rest.is_empty() {
            *place = Some(value);
        } else {
            place.get_or_insert(Vrl::Null).insert(rest, value);
        }
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Vrl>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(self.metadata.get(&path.path));
        }
        if path.path.is_root() {
            if self.began.replace(true) {
                self.missed.set(true);
            }
            // Also when the program misses it: VRL's functions trust that there is an event, and panic otherwise.
            return Ok(Some(&SOMETHING));
        }
        let Some((at, rest)) = self.find(path) else { return Err(self.miss()) };
        let value = self.fields[at].load(self.event).as_ref();
        Ok(if rest.is_empty() { value } else { value.and_then(|value| value.get(rest)) })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Vrl>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(self.metadata.get_mut(&path.path));
        }
        let Some((at, rest)) = self.find(path) else { return Err(self.miss()) };
        let value = self.fields[at].change(self.event).as_mut();
        Ok(if rest.is_empty() { value } else { value.and_then(|value| value.get_mut(rest)) })
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Vrl>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(self.metadata.remove(&path.path, compact));
        }
        let Some((at, rest)) = self.find(path) else { return Err(self.miss()) };
        let place = self.fields[at].change(self.event);
        if rest.is_empty() {
            return Ok(place.take());
        }
        let Some(value) = place else { return Ok(None) };
        let removed = value.remove(rest, compact);
        let empty = match value {
            Vrl::Object(object) => object.is_empty(),
            Vrl::Array(items) => items.is_empty(),
            _ => false,
        };
        if compact && removed.is_some() && empty {
            *place = None;
        }
        Ok(removed)
    }
}

/// There are no secrets: no function of ours asks for one.
impl SecretTarget for Sparse<'_> {
    fn get_secret(&self, _: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _: &str, _: &str) {}

    fn remove_secret(&mut self, _: &str) {}
}
