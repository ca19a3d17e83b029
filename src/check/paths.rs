//! Which parts of the file system a check may read: everything but what is hidden.
//!
//! Landlock only knows what is allowed, below a folder or not at all. So a folder that has something
//! hidden in it is not allowed as a whole; its other entries are, one by one. Such a folder, the home
//! folder for one, cannot be listed by a check, but what it can read in it, it can open by name.

use std::path::{Path, PathBuf};

/// Device files that programs need; a disk is one, too, and not among them.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The secrets below a home folder, as far as they exist.
pub fn secrets(home: &Path) -> Vec<PathBuf> {
    include_str!("secrets.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| home.join(line).canonicalize().ok())
        .collect()
}

/// Paths to allow for reading, so that everything below the folder `top` can be read except what is in
/// `hidden`; all paths are canonical. Links are left out: where they lead is allowed or not by itself.
pub fn readable(top: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut allowed = Vec::new();
    collect(top, hidden, &mut allowed);
    allowed
}

fn collect(path: &Path, hidden: &[PathBuf], allowed: &mut Vec<PathBuf>) {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        allowed.push(path.to_owned());
        return;
    }
    // A folder that cannot be read now cannot be read by the check either.
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            collect(&entry.path(), hidden, allowed);
        }
    }
}

/// [`readable`] for the whole system, with the devices that programs need.
pub fn readable_system(hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden = hidden.to_vec();
    hidden.push(PathBuf::from("/dev"));
    let mut allowed = readable(Path::new("/"), &hidden);
    allowed.extend(DEVICES.map(PathBuf::from));
    allowed
}

/// Devices that a check may write to.
pub fn writable_devices() -> Vec<PathBuf> {
    DEVICES[..3].iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_all_else_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        for name in ["home/.ssh", "home/.config/gh", "home/.config/nvim", "home/projects/src", "usr/bin"] {
            std::fs::create_dir_all(top.join(name)).unwrap();
        }
        std::fs::write(top.join("home/.netrc"), "secret").unwrap();
        std::fs::write(top.join("home/.profile"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(top.join("home/.ssh"), top.join("home/keys")).unwrap();
        let hidden = secrets(&top.join("home"));
        assert_eq!(hidden, [".config/gh", ".netrc", ".ssh"].map(|name| top.join("home").join(name)));
        let allowed = readable(&top, &hidden);
        let expected = ["home/.config/nvim", "home/.profile", "home/projects", "usr"];
        assert_eq!(allowed, expected.map(|name| top.join(name)));
    }

    #[test]
    fn with_nothing_hidden_the_top_is_enough() {
        assert_eq!(readable(Path::new("/somewhere"), &[]), [PathBuf::from("/somewhere")]);
        assert!(readable(Path::new("/a/b"), &[PathBuf::from("/a")]).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn disks_are_not_among_the_devices() {
        let allowed = readable_system(&[]);
        assert!(allowed.contains(&PathBuf::from("/usr")) && allowed.contains(&PathBuf::from("/dev/null")));
        assert!(!allowed.contains(&PathBuf::from("/dev")) && !allowed.contains(&PathBuf::from("/")));
    }
}
