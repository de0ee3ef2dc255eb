//! A real systemd for tests: Debian in a container that boots in half a second and leaves nothing behind.
//!
//! - `host`: may containers run here, or is the test skipped
//! - `root`: the file tree of a Debian suite, made once and cached outside the project
//! - `cgroup`: a control group for each container, because two in one would kill each other's processes
//! - `machine`: boots one, runs commands in it, reads its journal, ends it

mod cgroup;
mod host;
mod machine;
mod root;

pub(crate) use host::wanted;
pub(crate) use machine::Machine;
pub(crate) use root::Suite;
