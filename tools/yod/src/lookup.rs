// SPDX-License-Identifier: GPL-2.0
//! Finds the program as `execvp(3)` would, so that a typing error is told before CPUs are reserved.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{accessat, statat, Access, AtFlags, FileType, CWD};
use rustix::io::Errno;

/// Where glibc looks if `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why there is nothing to execute.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No such file.
    #[error("cannot find {}{}", .command.display(), if *searched { " in PATH" } else { "" })]
    NotFound {
        /// What was asked.
        command: OsString,
        /// Whether `PATH` was searched.
        searched: bool,
    },
    /// There is one, but it cannot be executed.
    #[error("cannot execute {}: {why}", .command.display())]
    NotExecutable {
        /// What was asked.
        command: OsString,
        /// Why not.
        why: String,
    },
}

/// Finds `command`, in the directories of `path` if it has no slash; the result has one.
///
/// # Errors
///
/// If there is no such file, or none that can be executed.
pub fn find(command: &OsStr, path: Option<&OsStr>) -> Result<CString, LookupError> {
    let name = command.as_bytes();
    let searched = !name.contains(&b'/');
    let not_found = || LookupError::NotFound {
        command: command.to_owned(),
        searched,
    };
    let not_executable = |why: Refusal| match why {
        Refusal::Errno(Errno::NOENT) => not_found(),
        why => LookupError::NotExecutable {
            command: command.to_owned(),
            why: why.text(),
        },
    };
    if name.is_empty() {
        return Err(not_found());
    }
    if !searched {
        let file = CString::new(name).map_err(|_| not_found())?;
        return check(&file).map(|()| file).map_err(not_executable);
    }
    let mut refusal = None;
    for dir in path
        .unwrap_or(OsStr::new(DEFAULT_PATH))
        .as_bytes()
        .split(|byte| *byte == b':')
    {
        let dir = if dir.is_empty() { b"." } else { dir };
        let file = CString::new([dir, b"/", name].concat()).map_err(|_| not_found())?;
        match check(&file) {
            Ok(()) => return Ok(file),
            // As execvp does: these say that the file is elsewhere, others that it is here but refused.
            Err(Refusal::Errno(Errno::NOENT | Errno::NOTDIR)) => {}
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.map_or_else(not_found, not_executable))
}

/// Why a file cannot be executed.
#[derive(Clone, Copy)]
enum Refusal {
    /// The kernel says so.
    Errno(Errno),
    /// It is a directory or a device.
    NoFile,
}

impl Refusal {
    fn text(self) -> String {
        match self {
            Self::Errno(errno) => errno.to_string(),
            Self::NoFile => "it is not a regular file".to_owned(),
        }
    }
}

/// Whether the file can be executed, as far as can be told without doing so.
fn check(file: &CString) -> Result<(), Refusal> {
    accessat(CWD, file.as_c_str(), Access::EXEC_OK, AtFlags::empty()).map_err(Refusal::Errno)?;
    let stat = statat(CWD, file.as_c_str(), AtFlags::empty()).map_err(Refusal::Errno)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(())
    } else {
        Err(Refusal::NoFile)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, set_permissions, write, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Directories `a` (with a plain file, a directory and a program) and `b` (with programs of these names).
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("it must succeed");
        for dir in ["a", "b", "a/dir"] {
            create_dir(root.path().join(dir)).expect("it must succeed");
        }
        for (file, mode) in [
            ("a/plain", 0o644),
            ("a/prog", 0o755),
            ("b/plain", 0o755),
            ("b/dir", 0o755),
        ] {
            let file = root.path().join(file);
            write(&file, "#!/bin/sh\n").expect("it must succeed");
            set_permissions(&file, Permissions::from_mode(mode)).expect("it must succeed");
        }
        root
    }

    fn search(root: &tempfile::TempDir, name: &str, dirs: &[&str]) -> Result<String, LookupError> {
        let path: Vec<_> = dirs.iter().map(|dir| root.path().join(dir)).collect();
        let path = std::env::join_paths(path).expect("it must succeed");
        let found = find(OsStr::new(name), Some(&path))?;
        let found = found.into_string().expect("it must succeed");
        Ok(found
            .strip_prefix(root.path().to_str().expect("it must succeed"))
            .expect("it must succeed")
            .to_owned())
    }

    #[test]
    fn the_first_executable_wins_and_others_are_passed_over() {
        let root = tree();
        assert_eq!(
            search(&root, "prog", &["none", "a", "b"]).expect("it must succeed"),
            "/a/prog"
        );
        assert_eq!(
            search(&root, "plain", &["a", "b"]).expect("it must succeed"),
            "/b/plain"
        );
        assert_eq!(
            search(&root, "dir", &["a", "b"]).expect("it must succeed"),
            "/b/dir"
        );
    }

    #[test]
    fn a_missing_program_and_a_refused_one_differ() {
        let root = tree();
        assert!(matches!(
            search(&root, "nope", &["a"]),
            Err(LookupError::NotFound { searched: true, .. })
        ));
        assert!(matches!(
            search(&root, "plain", &["a"]),
            Err(LookupError::NotExecutable { .. })
        ));
        assert!(matches!(
            search(&root, "dir", &["a"]),
            Err(LookupError::NotExecutable { .. })
        ));
        assert!(matches!(
            search(&root, "", &["a"]),
            Err(LookupError::NotFound { .. })
        ));
        assert!(matches!(
            search(&root, "prog", &["a/plain"]),
            Err(LookupError::NotFound { .. })
        ));
    }

    #[test]
    fn a_slash_means_no_search() {
        let root = tree();
        let file = root.path().join("a/prog");
        assert_eq!(
            find(file.as_os_str(), None)
                .expect("it must succeed")
                .as_bytes(),
            file.as_os_str().as_bytes()
        );
        let missing = find(OsStr::new("./no/such"), None).expect_err("it must fail");
        assert_eq!(missing.to_string(), "cannot find ./no/such");
        assert!(matches!(
            find(OsStr::new("/"), None),
            Err(LookupError::NotExecutable { .. })
        ));
    }

    #[test]
    fn the_default_path_serves_without_path() {
        assert!(find(OsStr::new("sh"), None).is_ok());
    }

    #[test]
    fn an_empty_element_is_the_current_directory() {
        let found = find(OsStr::new("Cargo.toml"), Some(OsStr::new("/nowhere:")));
        assert!(
            matches!(found, Err(LookupError::NotExecutable { .. })),
            "{found:?}"
        );
    }
}
