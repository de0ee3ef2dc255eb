//! What the environment says, read here and nowhere else.

use nix::unistd::gethostname;

/// The variable `name`; `None` when it is unset, empty or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable for `${…}` in the configuration: as [`variable`], empty ones included; `HOSTNAME` is always there.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub fn for_configuration(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value),
        Err(_) if name == "HOSTNAME" => Some(host_name()),
        Err(_) => None,
    }
}

/// This machine's name.
pub fn host_name() -> String {
    gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

/// The variable `name`, as it is.
pub fn variable_os(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}
