//! The file tree that a container boots from.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use super::host;

/// What the tests use beside a minimal Debian. The libraries are those that the package needs: containers have no network.
const PACKAGES: [&str; 7] =
    ["ca-certificates", "curl", "dbus", "openssl", "procps", "systemd", "systemd-sysv"];

/// A Debian release, by the version of systemd that it brings.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Suite {
    /// systemd 252: the oldest that we support.
    Bookworm,
    /// systemd 257.
    Trixie,
}

impl Suite {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// The folder of the file tree; made at the first call on this machine, which takes half a minute. Never written to later.
    pub(super) fn root(self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        PACKAGES.hash(&mut hasher);
        let cache = cache();
        let root = cache.join(format!("{}-{:016x}", self.name(), hasher.finish()));
        fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("{}: {error}", cache.display()));
        // Others that want the same root wait here. The lock ends with the file, or with this process.
        let lock = File::create(root.with_extension("lock")).expect("a file in the folder just made");
        lock.lock().expect("a lock on a local file");
        if !root.exists() {
            make(self.name(), &root);
        }
        root
    }
}

/// Makes the tree beside its place and moves it there when it is whole.
fn make(suite: &str, root: &Path) {
    let half = root.with_extension("half");
    if half.exists() {
        // Left by a run that was killed.
        fs::remove_dir_all(&half).unwrap_or_else(|error| panic!("{}: {error}", half.display()));
    }
    println!("making a Debian {suite} for containers in {}", root.display());
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--format=directory"]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    command.args(proxy().map(|proxy| format!("--aptopt=Acquire::http::Proxy \"{proxy}\"")));
    command.arg(suite).arg(&half).args(mirror());
    host::run(&mut command);
    fs::rename(&half, root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
}

fn cache() -> PathBuf {
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("qovery-rig")
}

/// Where this machine gets its own Debian from; mmdebstrap has a default, for hosts that are something else.
fn mirror() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let lists = lists.map(|entry| entry.path()).chain([PathBuf::from("/etc/apt/sources.list")]);
    lists.filter_map(|path| fs::read_to_string(path).ok()).find_map(|text| mirror_in(&text, suite))
}

/// The mirror of `suite` in a list of either style: `deb [options] URI SUITE …`, or paragraphs with `URIs:` and `Suites:`.
fn mirror_in(list: &str, suite: &str) -> Option<String> {
    let one_line = list.lines().find_map(|line| {
        let mut words =
            line.strip_prefix("deb ")?.split_whitespace().skip_while(|word| !word.contains("://"));
        let uri = words.next()?;
        (words.next()? == suite).then_some(uri)
    });
    let paragraph = || {
        list.split("\n\n").find_map(|paragraph| {
            let field = |name| paragraph.lines().find_map(|line| line.strip_prefix(name));
            let has_suite = field("Suites:")?.split_whitespace().any(|word| word == suite);
            field("URIs:")?.split_whitespace().next().filter(|_| has_suite)
        })
    };
    one_line.or_else(paragraph).map(str::to_owned)
}

fn proxy() -> Option<String> {
    let output = Command::new("apt-config").args(["dump", "Acquire::http::Proxy"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let value = text.split('"').nth(1)?;
    (!value.is_empty()).then(|| value.to_owned())
}

#[test]
fn the_mirror_is_found_in_both_styles_of_apt_lists() {
    let paragraphs = "Types: deb\nURIs: http://a.example/debian\nSuites: trixie trixie-updates\n\n\
        Types: deb\nURIs: http://a.example/security\nSuites: trixie-security\n";
    let lines =
        "# deb http://old.example/ trixie main\ndeb [signed-by=/k] http://b.example/debian trixie main\n";
    assert_eq!(mirror_in(paragraphs, "trixie").as_deref(), Some("http://a.example/debian"));
    assert_eq!(mirror_in(paragraphs, "trixie-security").as_deref(), Some("http://a.example/security"));
    assert_eq!(mirror_in(lines, "trixie").as_deref(), Some("http://b.example/debian"));
    assert_eq!(mirror_in(lines, "sid"), None);
}
