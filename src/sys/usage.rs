//! What this process uses.

use nix::sys::resource::{UsageWho, getrusage};

/// What this process uses. `None` where the system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds since it started.
    pub uptime_seconds: Option<f64>,
    /// Processor time, of the process and the kernel on its behalf, of all threads.
    pub cpu_seconds: Option<f64>,
    /// Memory that is in use, in bytes.
    pub resident_bytes: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
}

/// What this process uses now.
pub fn usage() -> Usage {
    Usage { cpu_seconds: cpu_seconds(), ..from_proc().unwrap_or_default() }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[cfg(not(target_os = "linux"))]
fn from_proc() -> Option<Usage> {
    None
}

/// See proc(5).
#[cfg(target_os = "linux")]
fn from_proc() -> Option<Usage> {
    use nix::unistd::{SysconfVar, sysconf};

    let read = |path: &str| {
        let bytes = crate::base::fs::read(std::path::Path::new(path), 64 * 1024).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stat = read("/proc/self/stat")?;
    // The second field is a name in parentheses, which may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let setting = |which| sysconf(which).ok().flatten().map(|value| value as f64);
    let booted = read("/proc/uptime").and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    let started = setting(SysconfVar::CLK_TCK).and_then(|ticks| Some(field(22)? / ticks));
    Some(Usage {
        uptime_seconds: booted.zip(started).map(|(booted, started)| (booted - started).max(0.0)),
        cpu_seconds: None,
        resident_bytes: setting(SysconfVar::PAGE_SIZE).and_then(|page| Some(field(24)? * page)),
        // One of them is the folder's own, while it is read.
        open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64),
        threads: field(20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_a_process() {
        let usage = usage();
        assert!(usage.cpu_seconds.unwrap() >= 0.0);
        if let Some(resident) = usage.resident_bytes {
            assert!((1e5..1e11).contains(&resident), "{resident}");
            assert!((0.0..1e6).contains(&usage.uptime_seconds.unwrap()), "{usage:?}");
            assert!(usage.open_fds.unwrap() >= 3.0 && usage.threads.unwrap() >= 1.0, "{usage:?}");
        }
    }
}
