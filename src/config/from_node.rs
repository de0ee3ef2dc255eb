//! From a value in the tree to a type of ours.
//!
//! Pure.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use super::{
    fields::nearest,
    node::{Node, NodeKind, Span},
};
use crate::base::{addr::ListenAddr, id::ComponentId};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// What an option can be read as.
pub trait FromNode: Sized {
    /// What is expected, as in `expected EXPECTED, found …`: `a whole number from 1 to 65535`.
    const EXPECTED: &'static str;

    /// The value, or a sentence that says what is wrong; [`Node::mismatch`] makes the usual one.
    ///
    /// # Errors
    ///
    /// When the node is something else. The sentence must not show a text that variables gave.
    fn from_node(node: &Node) -> Result<Self, String>;

    /// As [`from_node`](Self::from_node), for what can have several mistakes at several places.
    fn read(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        if node.kind == NodeKind::Broken {
            return None;
        }
        let message = match Self::from_node(node) {
            Ok(value) => return Some(value),
            Err(message) => message,
        };
        mistakes.push(Mistake { span: node.span, message, help: without_quotes::<Self>(node) });
        None
    }
}

/// `"8"` where 8 is wanted: would it be right without quotes?
fn without_quotes<T: FromNode>(node: &Node) -> Option<String> {
    let NodeKind::String { text, interpolated: false } = &node.kind else { return None };
    let unquoted =
        Node { kind: NodeKind::String { text: text.clone(), interpolated: true }, span: node.span };
    T::from_node(&unquoted).is_ok().then(|| format!("write {text} without quotes"))
}

/// Reads a text with `parse`, whose error is shown, unless variables gave the text: it could be a secret.
///
/// # Errors
///
/// When it is no text, or `parse` says so.
pub fn from_text<T>(
    node: &Node,
    expected: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let text = node.as_str().ok_or_else(|| node.mismatch(expected))?;
    parse(text).map_err(|error| if node.interpolated().is_some() { node.mismatch(expected) } else { error })
}

/// Reads one of a few words.
///
/// # Errors
///
/// When it is no text, or none of the words; the sentence names them, or the one that was probably meant.
pub fn choice<T: Clone>(node: &Node, words: &[(&str, T)]) -> Result<T, String> {
    let list: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let expected = match list.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".into(),
    };
    let text = node.as_str().ok_or_else(|| node.mismatch(&expected))?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(value.clone());
    }
    let near = nearest(text, words.iter().map(|(word, _)| *word));
    let message = node.mismatch(&expected);
    Err(match near {
        Some(near) if node.interpolated().is_none() => format!("{message}; did you mean `{near}`?"),
        _ => message,
    })
}

impl FromNode for String {
    const EXPECTED: &'static str = "a string";

    fn from_node(node: &Node) -> Result<Self, String> {
        node.as_str().map(str::to_owned).ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

impl FromNode for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_node(node: &Node) -> Result<Self, String> {
        let path = node.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
        path.map(PathBuf::from).ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

impl FromNode for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let value = match &node.kind {
            NodeKind::Boolean(value) => Some(*value),
            _ => node.interpolated().and_then(|text| text.trim().parse().ok()),
        };
        value.ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

/// A whole number, also one that a variable gave.
fn whole(node: &Node) -> Option<i64> {
    match &node.kind {
        NodeKind::Integer(number) => Some(*number),
        _ => node.interpolated()?.trim().parse().ok(),
    }
}

/// A finite number, also a whole one, also one that a variable gave.
fn number(node: &Node) -> Option<f64> {
    let number = match &node.kind {
        NodeKind::Float(number) => *number,
        #[expect(clippy::cast_precision_loss, reason = "where fractions are accepted, 53 bits are enough")]
        NodeKind::Integer(number) => *number as f64,
        _ => node.interpolated()?.trim().parse().ok()?,
    };
    number.is_finite().then_some(number)
}

/// Whole numbers: the type, how to make it from an `i64`, what is expected.
macro_rules! whole_numbers {
    ($($type:ty, $expected:literal, $make:expr;)*) => {$(
        impl FromNode for $type {
            const EXPECTED: &'static str = $expected;

            fn from_node(node: &Node) -> Result<Self, String> {
                whole(node).and_then($make).ok_or_else(|| node.mismatch(Self::EXPECTED))
            }
        }
    )*};
}

whole_numbers! {
    i64, "a whole number", Some;
    u16, "a whole number from 0 to 65535", |n| n.try_into().ok();
    u32, "a whole number from 0 to 4294967295", |n| n.try_into().ok();
    u64, "a whole number, 0 or more", |n| n.try_into().ok();
    usize, "a whole number, 0 or more", |n| n.try_into().ok();
    NonZeroU16, "a whole number from 1 to 65535", |n| u16::try_from(n).ok().and_then(NonZeroU16::new);
    NonZeroU32, "a whole number from 1 to 4294967295", |n| u32::try_from(n).ok().and_then(NonZeroU32::new);
    NonZeroU64, "a whole number, 1 or more", |n| u64::try_from(n).ok().and_then(NonZeroU64::new);
    NonZeroUsize, "a whole number, 1 or more", |n| usize::try_from(n).ok().and_then(NonZeroUsize::new);
}

impl FromNode for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_node(node: &Node) -> Result<Self, String> {
        number(node).ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

/// A number of seconds, whole or not, at most 10 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secs(pub Duration);

impl FromNode for Secs {
    const EXPECTED: &'static str = "seconds from 0 to 315360000 (10 years)";

    fn from_node(node: &Node) -> Result<Self, String> {
        let seconds = number(node).filter(|seconds| (0.0..=315_360_000.0).contains(seconds));
        let seconds = seconds.ok_or_else(|| node.mismatch(Self::EXPECTED))?;
        Ok(Secs(Duration::from_secs_f64(seconds)))
    }
}

/// A number of bytes: `1048576`, or a text with a unit, `"1MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromNode for ByteSize {
    const EXPECTED: &'static str = "bytes: a whole number, or a text like `\"64KiB\"`, `\"10MB\"`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let bytes = whole(node).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.or_else(|| bytes_with_unit(node.as_str()?));
        bytes.map(ByteSize).ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

fn bytes_with_unit(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

impl FromNode for ListenAddr {
    const EXPECTED: &'static str = "`ip:port`, `unix:/path`, `systemd`, `systemd#N` or `systemd:NAME`";

    fn from_node(node: &Node) -> Result<Self, String> {
        from_text(node, Self::EXPECTED, ListenAddr::from_str)
    }
}

impl FromNode for ComponentId {
    const EXPECTED: &'static str = "the name of a component";

    fn from_node(node: &Node) -> Result<Self, String> {
        from_text(node, Self::EXPECTED, ComponentId::from_str)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn from_node(node: &Node) -> Result<Self, String> {
        first_mistake(node)
    }

    fn read(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        if node.kind == NodeKind::Broken {
            return None;
        }
        let NodeKind::Array(items) = &node.kind else {
            let help = T::from_node(node).is_ok().then(|| "put it in brackets: `[…]`".to_owned());
            mistakes.push(Mistake { span: node.span, message: node.mismatch(Self::EXPECTED), help });
            return None;
        };
        // All items are read before giving up, so that all mistakes are found.
        let values: Vec<_> = items.iter().map(|item| T::read(item, mistakes)).collect();
        values.into_iter().collect()
    }
}

/// A value with its place, for items of lists and maps.
impl<T: FromNode> FromNode for (T, Span) {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_node(node: &Node) -> Result<Self, String> {
        T::from_node(node).map(|value| (value, node.span))
    }

    fn read(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        T::read(node, mistakes).map(|value| (value, node.span))
    }
}

impl<T: FromNode> FromNode for BTreeMap<String, T> {
    const EXPECTED: &'static str = "a table";

    fn from_node(node: &Node) -> Result<Self, String> {
        first_mistake(node)
    }

    fn read(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        if node.kind == NodeKind::Broken {
            return None;
        }
        let NodeKind::Table(table) = &node.kind else {
            mistakes.push(Mistake { span: node.span, message: node.mismatch(Self::EXPECTED), help: None });
            return None;
        };
        let read = |entry: &super::node::Entry, mistakes: &mut Vec<Mistake>| {
            Some((entry.name.clone(), T::read(&entry.node, mistakes)?))
        };
        let values: Vec<_> = table.iter().map(|entry| read(entry, mistakes)).collect();
        values.into_iter().collect()
    }
}

fn first_mistake<T: FromNode>(node: &Node) -> Result<T, String> {
    let mut mistakes = Vec::new();
    let first = |mistakes: Vec<Mistake>| mistakes.into_iter().next().map(|mistake| mistake.message);
    T::read(node, &mut mistakes).ok_or_else(|| first(mistakes).unwrap_or_else(|| node.mismatch(T::EXPECTED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: NodeKind) -> Node {
        Node { kind, span: Span::default() }
    }

    fn literal(text: &str) -> Node {
        node(NodeKind::String { text: text.into(), interpolated: false })
    }

    fn given(text: &str) -> Node {
        node(NodeKind::String { text: text.into(), interpolated: true })
    }

    fn mistake<T: FromNode>(node: &Node) -> (String, Option<String>) {
        let mut mistakes = Vec::new();
        assert!(T::read(node, &mut mistakes).is_none());
        (mistakes[0].message.clone(), mistakes[0].help.clone())
    }

    #[test]
    fn a_variable_may_give_a_number_or_a_boolean() {
        assert_eq!(u16::from_node(&given(" 8 ")), Ok(8));
        assert_eq!(bool::from_node(&given("true")), Ok(true));
        assert_eq!(Secs::from_node(&given("0.5")), Ok(Secs(Duration::from_millis(500))));
    }

    #[test]
    fn a_number_in_quotes_is_wrong_and_the_help_says_so() {
        let (message, help) = mistake::<NonZeroU16>(&literal("8"));
        assert_eq!(message, "expected a whole number from 1 to 65535, found the string \"8\"");
        assert_eq!(help.unwrap(), "write 8 without quotes");
        assert_eq!(mistake::<bool>(&literal("true")).1.unwrap(), "write true without quotes");
        assert_eq!(mistake::<u16>(&literal("x")).1, None);
    }

    #[test]
    fn what_variables_gave_is_never_shown() {
        for message in [
            mistake::<u16>(&given("s3cret")).0,
            mistake::<ListenAddr>(&given("systemd#s3cret")).0,
            choice(&given("s3cret"), &[("s3cre", 1)]).unwrap_err(),
            format!("{:?}", given("s3cret")),
        ] {
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn numbers_out_of_range_say_the_range() {
        let message = |number| mistake::<u16>(&node(NodeKind::Integer(number))).0;
        assert_eq!(message(65536), "expected a whole number from 0 to 65535, found 65536");
        assert_eq!(message(-1), "expected a whole number from 0 to 65535, found -1");
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 315_360_001.0] {
            assert!(Secs::from_node(&node(NodeKind::Float(wrong))).is_err());
        }
    }

    #[test]
    fn all_mistakes_of_a_list_are_found() {
        let list = node(NodeKind::Array(vec![literal("a"), node(NodeKind::Integer(1)), literal("b")]));
        let mut mistakes = Vec::new();
        assert_eq!(Vec::<u16>::read(&list, &mut mistakes), None);
        assert_eq!(mistakes.len(), 2);
        let (message, help) = mistake::<Vec<String>>(&literal("a"));
        assert_eq!(message, "expected a list, found the string \"a\"");
        assert_eq!(help.unwrap(), "put it in brackets: `[…]`");
    }

    #[test]
    fn sizes_have_units() {
        let size = |text| ByteSize::from_node(&literal(text)).map(|ByteSize(bytes)| bytes);
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("10 MB"), Ok(10_000_000));
        assert_eq!(ByteSize::from_node(&node(NodeKind::Integer(7))), Ok(ByteSize(7)));
        assert!(size("99999999999999999999GiB").is_err());
        assert!(size("5 parsecs").is_err());
    }

    #[test]
    fn a_choice_names_what_was_probably_meant() {
        let words = [("json", 1), ("text", 2)];
        assert_eq!(choice(&literal("text"), &words), Ok(2));
        assert_eq!(
            choice(&literal("jsn"), &words).unwrap_err(),
            "expected `json` or `text`, found the string \"jsn\"; did you mean `json`?"
        );
    }
}
