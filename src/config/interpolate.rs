//! Variables in texts: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `$$`.
//!
//! Done after parsing, one text at a time, once: a value can contain anything and is never read as configuration.
//!
//! Pure.

/// What is wrong with one `${…}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVariable {
    /// How many `$` stand before it.
    pub dollars_before: usize,
    /// Whether it ends with `}`.
    pub closed: bool,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// A text with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The text.
    pub text: String,
    /// Whether there was a variable in it.
    pub interpolated: bool,
}

/// Fills in variables.
///
/// - `${NAME}` is the variable's value; it is an error when it is not set.
/// - `${NAME:-default}` is `default` when it is not set or empty, as in a shell.
/// - `${NAME:?message}` is an error with `message` when it is not set or empty.
/// - `$$` is `$`. A `$` before anything else is itself: `$NAME`, `^.*$`.
///
/// # Errors
///
/// All that is wrong in `text`.
pub fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Filled, Vec<BadVariable>> {
    let mut filled = Filled { text: String::with_capacity(text.len()), interpolated: false };
    let mut wrong = Vec::new();
    let mut dollars = 0;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.text.push('$');
            rest = after;
            dollars += 2;
            continue;
        }
        let Some(after) = rest.strip_prefix('{') else {
            filled.text.push('$');
            dollars += 1;
            continue;
        };
        let Some(end) = after.find('}') else {
            let message = "`${` has no `}`".to_owned();
            let help = Some("for the text `${` itself, write `$${`".to_owned());
            wrong.push(BadVariable { dollars_before: dollars, closed: false, message, help });
            break;
        };
        let inner = &after[..end];
        match value(inner, env) {
            Ok(value) => filled.text.push_str(&value),
            Err((message, help)) => {
                wrong.push(BadVariable { dollars_before: dollars, closed: true, message, help });
            }
        }
        filled.interpolated = true;
        dollars += 1 + inner.matches('$').count();
        rest = &after[end + 1..];
    }
    filled.text.push_str(rest);
    if wrong.is_empty() { Ok(filled) } else { Err(wrong) }
}

/// The value of what stands between `${` and `}`; else what is wrong, and what would be right.
fn value(inner: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, Option<String>)> {
    let end = inner.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let (name, rest) = inner.split_at(end.unwrap_or(inner.len()));
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        let help = "a name has letters, digits and `_`; for the text `${` itself, write `$${`";
        return Err(("the name of a variable is expected after `${`".into(), Some(help.into())));
    }
    if rest.contains("${") {
        return Err(("a variable within a variable is not supported".into(), None));
    }
    let set = env(name);
    if rest.is_empty() {
        let help = || format!("set it, or write `${{{name}:-default}}`");
        return set.ok_or_else(|| (format!("the variable `{name}` is not set"), Some(help())));
    }
    let set = set.filter(|value| !value.is_empty());
    if let Some(default) = rest.strip_prefix(":-") {
        return Ok(set.unwrap_or_else(|| default.replace("$$", "$")));
    }
    if let Some(message) = rest.strip_prefix(":?") {
        let message = if message.is_empty() { "is not set or empty" } else { message };
        return set.ok_or_else(|| (format!("the variable `{name}`: {message}"), None));
    }
    let help = format!("write `${{{name}}}`, `${{{name}:-default}}` or `${{{name}:?message}}`");
    Err((format!("after the name `{name}`, `{rest}` is not understood"), Some(help)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${A} $$ \"\n[sinks.x]".into()),
            _ => None,
        }
    }

    fn fill(text: &str) -> String {
        interpolate(text, &env).unwrap().text
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, expected) in [
            ("x${A}y${A}", "xaya"),
            ("${A:-b}", "a"),
            ("${NO:-b c}", "b c"),
            ("${EMPTY:-b}", "b"),
            ("${EMPTY}", ""),
            ("${NO:-}", ""),
            ("${A:?gone}", "a"),
            ("$${A}", "${A}"),
            ("$$$$", "$$"),
            ("$A $ ^.*$", "$A $ ^.*$"),
            ("${NO:-$$5}", "$5"),
        ] {
            assert_eq!(fill(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_not_read_again() {
        assert_eq!(fill("<${TRICK}>"), "<${A} $$ \"\n[sinks.x]>");
    }

    #[test]
    fn only_a_variable_makes_a_text_interpolated() {
        assert!(interpolate("${A}", &env).unwrap().interpolated);
        assert!(interpolate("${NO:-b}", &env).unwrap().interpolated);
        assert!(!interpolate("$$5", &env).unwrap().interpolated);
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let wrong =
            interpolate("$ ${NO} $$ ${1} ${A-b} ${EMPTY:?give it} ${NO:-${A}} ${A", &env).unwrap_err();
        let said: Vec<_> = wrong.iter().map(|bad| (bad.dollars_before, bad.message.as_str())).collect();
        let expected = [
            (1, "the variable `NO` is not set"),
            (4, "the name of a variable is expected after `${`"),
            (5, "after the name `A`, `-b` is not understood"),
            (6, "the variable `EMPTY`: give it"),
            (7, "a variable within a variable is not supported"),
            (9, "`${` has no `}`"),
        ];
        assert_eq!(said, expected);
    }
}
