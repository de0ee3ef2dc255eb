//! Reads the files. The only place of this module that touches the disk.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::{
    diagnostic::{Diagnostic, Diagnostics, Severity},
    globals, merge,
    node::Table,
    parse,
    report::{Files, Report},
    types::Config,
};
use crate::base::fs;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// How many files are read at most.
const MAX_FILES: usize = 10_000;

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Files, or patterns with `*`, `?`, `[…]`, which are expanded anew at each load.
    pub paths: Vec<PathBuf>,
}

impl Default for Origin {
    fn default() -> Self {
        Origin { paths: vec!["/etc/qovery/qovery.toml".into()] }
    }
}

/// What to watch to notice a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watched {
    /// The files that were read, or should have been.
    pub files: Vec<PathBuf>,
    /// The folders in which patterns look: a new file there may be one more.
    pub folders: Vec<PathBuf>,
}

/// A configuration that is read as far as possible, and what is wrong so far.
///
/// Others add what they find; [`Draft::finish`] then says everything at once.
#[derive(Debug)]
pub struct Draft {
    /// What could be read.
    pub config: Config,
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// What to watch, errors or not.
    pub watched: Watched,
}

impl Draft {
    /// The configuration, warnings in it, if there was no error.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn finish(self) -> Result<Config, Report> {
        let mut config = self.config;
        let list: Vec<Diagnostic> = self.diagnostics.into_list();
        let failed = list.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let report = Report::new(list, &config.files);
        if failed {
            return Err(report);
        }
        config.warnings = report;
        Ok(config)
    }
}

/// The configuration in texts that stand in no file, each with a name for errors.
pub fn from_texts(texts: &[(&str, &str)], env: &dyn Fn(&str) -> Option<String>) -> Draft {
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    assemble(texts, env, Diagnostics::default(), Watched::default())
}

/// Reads the configuration. `env` gives the values of variables.
pub fn load(origin: &Origin, env: &dyn Fn(&str) -> Option<String>) -> Draft {
    let diagnostics = Diagnostics::default();
    let watched = expand(&origin.paths, &diagnostics);
    let mut texts = Vec::new();
    for path in &watched.files {
        match read(path, &diagnostics) {
            Some(text) => texts.push((path.display().to_string(), text)),
            None => diagnostics.set_incomplete(),
        }
    }
    assemble(texts, env, diagnostics, watched)
}

fn assemble(
    texts: impl IntoIterator<Item = (String, String)>,
    env: &dyn Fn(&str) -> Option<String>,
    diagnostics: Diagnostics,
    watched: Watched,
) -> Draft {
    let mut files = Files::default();
    let mut tree = Table::default();
    for (name, text) in texts {
        // Some editors begin a file with a mark; it is no character of the first line.
        let file = files.add(name, text.strip_prefix('\u{feff}').unwrap_or(&text));
        let table = parse::parse(&files, file, env, &diagnostics);
        merge::merge(&mut tree, table, &files, &diagnostics);
    }
    let config = globals::read(&tree, &files, &diagnostics);
    Draft { config, diagnostics, watched }
}

fn read(path: &Path, diagnostics: &Diagnostics) -> Option<String> {
    let bytes = match fs::read(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            diagnostics.error(None, error.to_string());
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("{}: byte {} (in line {line}) is not UTF-8", path.display(), at + 1);
            diagnostics.error(None, message);
            None
        }
    }
}

/// The files that `paths` name: each once, those of a pattern sorted.
fn expand(paths: &[PathBuf], diagnostics: &Diagnostics) -> Watched {
    let mut watched = Watched::default();
    let mut seen = std::collections::BTreeSet::new();
    for path in paths {
        let found = match path.to_str() {
            // A file whose name looks like a pattern is a file.
            Some(pattern) if is_pattern(pattern) && !path.exists() => {
                watched.folders.extend(folders(path));
                matches(pattern, diagnostics)
            }
            _ => vec![path.clone()],
        };
        for file in found {
            // The same file by two names would define everything twice.
            let real = file.canonicalize().unwrap_or_else(|_| file.clone());
            if seen.insert(real) {
                watched.files.push(file);
            }
        }
    }
    if watched.files.len() > MAX_FILES {
        diagnostics.error(None, format!("more than {MAX_FILES} configuration files"));
        watched.files.truncate(MAX_FILES);
    }
    watched.folders.sort();
    watched.folders.dedup();
    watched
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The folder in front of the first wildcard.
fn folders(pattern: &Path) -> Option<PathBuf> {
    let plain = |folder: &&Path| folder.to_str().is_some_and(|folder| !is_pattern(folder));
    let folder = pattern.ancestors().skip(1).find(plain)?;
    Some(if folder.as_os_str().is_empty() { ".".into() } else { folder.to_owned() })
}

fn matches(pattern: &str, diagnostics: &Diagnostics) -> Vec<PathBuf> {
    // A leading dot is for editors' own files.
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
    let paths = match glob::glob_with(pattern, options) {
        Ok(paths) => paths,
        Err(error) => {
            diagnostics.error(None, format!("the pattern {pattern} is wrong: {}", error.msg));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => files.push(path),
            Err(error) => {
                let reason = fs::reason(error.error());
                diagnostics.error(None, format!("cannot read {}: {reason}", error.path().display()));
            }
        }
    }
    if files.is_empty() {
        diagnostics.error(None, format!("no file matches {pattern}"));
        diagnostics.set_incomplete();
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write_atomic(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        folder
    }

    /// Loads `patterns` of `folder`; returns the files read and the report, the folder's own name left out.
    fn check(folder: &tempfile::TempDir, patterns: &[&str]) -> (Vec<String>, String) {
        let paths = patterns.iter().map(|pattern| folder.path().join(pattern)).collect();
        let draft = load(&Origin { paths }, &no_env);
        let root = format!("{}/", folder.path().display());
        let local = |text: String| text.replace(&root, "");
        let files = draft.watched.files.iter().map(|file| local(file.display().to_string())).collect();
        (files, draft.finish().map_or_else(|report| local(report.to_string()), |_| String::new()))
    }

    #[test]
    fn a_pattern_is_expanded_sorted_and_each_file_read_once() {
        let folder = folder(&[("b.toml", ""), ("a.toml", ""), (".a.toml.swp", "]"), ("c.txt", "]")]);
        std::fs::create_dir(folder.path().join("d.toml")).unwrap();
        let (files, report) = check(&folder, &["b.toml", "*.toml", "a.toml", "./a.toml"]);
        assert_eq!(files, ["b.toml", "a.toml"]);
        assert_eq!(report, "");
        let origin = Origin { paths: vec![folder.path().join("*.toml")] };
        assert_eq!(load(&origin, &no_env).watched.folders, [folder.path()]);
    }

    #[test]
    fn a_pattern_without_a_match_is_an_error() {
        let (_, report) = check(&folder(&[]), &["*.toml"]);
        assert!(report.contains("no file matches") && report.ends_with("1 error"), "{report}");
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_checked() {
        let folder = folder(&[("a.toml", "x = 1")]);
        fs::write_atomic(&folder.path().join("bytes.toml"), b"a = 1\nb = '\xff'\n").unwrap();
        let (files, report) = check(&folder, &["none.toml", "bytes.toml", "a.toml"]);
        assert_eq!(files.len(), 3);
        assert!(report.contains("cannot read none.toml: no such file or directory"), "{report}");
        assert!(report.contains("bytes.toml: byte 12 (in line 2) is not UTF-8"), "{report}");
        assert!(report.contains("a.toml:1:1: error: unknown option `x`"), "{report}");
        assert!(report.ends_with("3 errors in a.toml"), "{report}");
    }

    #[test]
    fn a_file_that_looks_like_a_pattern_is_a_file() {
        let folder = folder(&[("[a].toml", "")]);
        assert_eq!(check(&folder, &["[a].toml"]), (vec!["[a].toml".to_owned()], String::new()));
    }

    #[test]
    fn an_enormous_file_is_refused() {
        let folder = folder(&[]);
        let file = std::fs::File::create(folder.path().join("big.toml")).unwrap();
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        let (_, report) = check(&folder, &["big.toml"]);
        assert!(report.contains("larger than 16777216 bytes"), "{report}");
    }
}
