//! The path of a file, with `{{ field }}` and `%Y-%m-%d` in it.
//!
//! Values of fields come from anywhere, so a path made of them must stay in the folder that the configuration names.
//!
//! Pure.

use std::fmt::Write;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};

use crate::event::{Event, Log, TagValue, Timestamp, Value};

/// The longest name of a file or folder, and the longest path, that Linux takes.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4000;

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// As it is.
    Text(String),
    /// A format of the time.
    Time(String),
    /// The value of a field.
    Field(String),
}

/// Makes paths, remembering what the time looked like.
#[derive(Debug)]
pub(super) struct Renderer {
    template: Template,
    /// Per piece: for which second, and how it looks.
    times: Vec<(i64, String)>,
    has_fields: bool,
    has_time: bool,
    /// For which second the last path was.
    second: Option<i64>,
}

/// The event has no path: a field is missing, or its value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPath;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// A sentence, when it is wrong or could lead anywhere.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            literal(before, &mut pieces)?;
            let (name, after) = after.split_once("}}").ok_or("`{{` is never closed by `}}`")?;
            let name = name.trim();
            if name.is_empty() || name.contains(['{', '}']) {
                return Err("between `{{` and `}}` comes the name of a field".into());
            }
            pieces.push(Piece::Field(name.to_owned()));
            rest = after;
        }
        literal(rest, &mut pieces)?;
        let template = Template { pieces };
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), String> {
        let fixed = match self.pieces.first() {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        if self.has_fields() && !fixed.contains('/') {
            return Err("the path must begin with a folder, so that no event can choose one".into());
        }
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Time(_) | Piece::Field(_) => "x",
        });
        let path: String = texts.collect();
        if path.split('/').any(|name| name == "..") {
            return Err("the path must not contain `..`".into());
        }
        if path.is_empty() || path.ends_with('/') {
            return Err("the path must end with the name of a file".into());
        }
        Ok(())
    }

    /// Do events decide where they go?
    pub(super) fn has_fields(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(_)))
    }

    /// The path, if it is always the same.
    pub(super) fn fixed(&self) -> Option<&str> {
        match &self.pieces[..] {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// A part without fields: text and formats of the time.
fn literal(text: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find('%').unwrap_or(rest.len());
        push_text(&rest[..at], pieces);
        rest = &rest[at..];
        if rest.starts_with("%%") {
            push_text("%", pieces);
            rest = &rest[2..];
        } else if !rest.is_empty() {
            // A format reaches to the next `%`; what is not part of it is printed as it is.
            let end = rest[1..].find('%').map_or(rest.len(), |at| at + 1);
            for item in StrftimeItems::new(&rest[..end]) {
                let fraction = matches!(
                    item,
                    Item::Numeric(Numeric::Nanosecond, _)
                        | Item::Fixed(
                            Fixed::Nanosecond
                                | Fixed::Nanosecond3
                                | Fixed::Nanosecond6
                                | Fixed::Nanosecond9
                                | Fixed::Internal(_)
                        )
                );
                if item == Item::Error {
                    return Err(format!(
                        "`{}` is no format of the time; a plain `%` is written `%%`",
                        &rest[..end]
                    ));
                } else if fraction {
                    return Err("the path may contain seconds, but not fractions of them".into());
                }
            }
            pieces.push(Piece::Time(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    Ok(())
}

fn push_text(text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

impl Renderer {
    pub(super) fn new(template: Template) -> Self {
        let times = template.pieces.iter().map(|_| (i64::MIN, String::new())).collect();
        let has_fields = template.has_fields();
        let has_time = template.pieces.iter().any(|piece| matches!(piece, Piece::Time(_)));
        Renderer { template, times, has_fields, has_time, second: None }
    }

    /// Sets `path`, which is empty or the path of the event before, to the path of `event`. `now` stands for the time of an event that has none.
    pub(super) fn render(&mut self, event: &Event, now: Timestamp, path: &mut String) -> Result<(), NoPath> {
        // Without fields, nothing changes within a second; without the time, nothing at all.
        let second = if self.has_time { time_of(event).unwrap_or(now).timestamp() } else { 0 };
        if !self.has_fields && self.second == Some(second) && !path.is_empty() {
            return Ok(());
        }
        self.second = Some(second);
        path.clear();
        for (piece, (second, shown)) in self.template.pieces.iter().zip(&mut self.times) {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Field(name) => push_field(event, name, path)?,
                Piece::Time(format) => {
                    let at = time_of(event).unwrap_or(now);
                    if *second != at.timestamp() {
                        *second = at.timestamp();
                        shown.clear();
                        write!(shown, "{}", at.format(format)).map_err(|_| NoPath)?;
                    }
                    path.push_str(shown);
                }
            }
        }
        let fits = |name: &str| name.len() <= LONGEST_NAME && name != "..";
        let leads_to_file = !path.ends_with('/') && path.split('/').next_back() != Some(".");
        if leads_to_file && path.len() <= LONGEST_PATH && path.split('/').all(fits) {
            Ok(())
        } else {
            Err(NoPath)
        }
    }
}

fn time_of(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Log(log) => match log.fields.get(Log::TIMESTAMP) {
            Some(Value::Timestamp(at)) => Some(*at),
            _ => None,
        },
        Event::Metric(metric) => metric.timestamp,
    }
}

fn push_field(event: &Event, name: &str, path: &mut String) -> Result<(), NoPath> {
    let before = path.len();
    match event {
        Event::Log(log) => match log.get(name).ok_or(NoPath)? {
            Value::Bytes(bytes) => path.push_str(std::str::from_utf8(bytes).map_err(|_| NoPath)?),
            Value::Integer(number) => write!(path, "{number}").map_err(|_| NoPath)?,
            Value::Boolean(value) => write!(path, "{value}").map_err(|_| NoPath)?,
            Value::Float(_) | Value::Timestamp(_) | Value::Map(_) | Value::Array(_) | Value::Null => {
                return Err(NoPath);
            }
        },
        Event::Metric(metric) => match name {
            "name" => path.push_str(&metric.name),
            "namespace" => path.push_str(metric.namespace.as_deref().ok_or(NoPath)?),
            tag => match metric.tags.get(tag.strip_prefix("tags.").ok_or(NoPath)?) {
                Some(TagValue::Single(value)) => path.push_str(value),
                Some(TagValue::Many(_)) | None => return Err(NoPath),
            },
        },
    }
    let value = &path[before..];
    // Control characters, NUL among them, make names that nobody can handle.
    if value.is_empty() || value.chars().any(char::is_control) { Err(NoPath) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(fields: &[(&'static str, Value)]) -> Event {
        let mut log = Log::default();
        for (name, value) in fields {
            log.fields.insert(*name, value.clone());
        }
        Event::Log(log)
    }

    fn render(template: &str, event: &Event) -> Result<String, NoPath> {
        let mut renderer = Renderer::new(Template::parse(template).unwrap());
        let mut path = String::new();
        renderer.render(event, Timestamp::UNIX_EPOCH, &mut path)?;
        Ok(path)
    }

    #[test]
    fn fields_and_the_time_of_the_event_make_the_path() {
        let at = Timestamp::from_timestamp(86_400 * 365, 0).unwrap();
        let event = log(&[("app", "shop".into()), ("n", Value::Integer(7)), ("timestamp", at.into())]);
        assert_eq!(render("/l/{{ app }}/%Y-%m-%d_{{n}}.log", &event).unwrap(), "/l/shop/1971-01-01_7.log");
        assert_eq!(render("/l/100%%.log", &event).unwrap(), "/l/100%.log");
        assert_eq!(render("/l/%Y.log", &log(&[])).unwrap(), "/l/1970.log");
        assert_eq!(Template::parse("/l/x.log").unwrap().fixed(), Some("/l/x.log"));
        assert_eq!(Template::parse("x.log").unwrap().fixed(), Some("x.log"));
    }

    #[test]
    fn an_event_without_the_field_has_no_path() {
        assert_eq!(render("/l/{{ app }}", &log(&[])), Err(NoPath));
        assert_eq!(render("/l/{{ app }}", &log(&[("app", Value::Null)])), Err(NoPath));
    }

    #[test]
    fn no_value_leads_out_of_the_folder() {
        for value in ["..", "../x", "a/../../x", "a/..", "", "a\0b", "a\nb", "/", ".", "a/."] {
            let event = log(&[("app", value.to_owned().into())]);
            assert_eq!(render("/l/{{ app }}", &event), Err(NoPath), "{value:?}");
        }
        let event = log(&[("app", ".".into())]);
        assert_eq!(render("/l/{{ app }}./x", &event), Err(NoPath));
        let event = log(&[("app", "x".repeat(256).into())]);
        assert_eq!(render("/l/{{ app }}", &event), Err(NoPath));
        assert_eq!(render("/l/{{ app }}", &log(&[("app", "..a/b..".into())])).unwrap(), "/l/..a/b..");
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        let error = |text| Template::parse(text).unwrap_err();
        assert!(error("/l/{{ app").contains("never closed"));
        assert!(error("/l/{{ }}").contains("name of a field"));
        assert!(error("{{ app }}/x").contains("begin with a folder"));
        assert!(error("/l/../x").contains("`..`"));
        assert!(error("/l/").contains("name of a file"));
        assert!(error("/l/%!").contains("no format of the time"));
        assert!(error("/l/%s%.3f").contains("fractions"));
    }

    proptest! {
        #[test]
        fn whatever_the_value_the_path_stays_below_the_folder(value in "[./a\u{0}]{0,6}|\\PC{0,20}") {
            if let Ok(path) = render("/l/{{ app }}.log", &log(&[("app", value.into())])) {
                prop_assert!(path.starts_with("/l/"));
                prop_assert!(!path.contains('\0') && path.split('/').all(|name| name != ".."));
            }
        }

        #[test]
        fn no_template_panics(text in "[/a%{}Y!.3 ]{0,12}|\\PC{0,20}") {
            let _ = Template::parse(&text);
        }
    }
}
