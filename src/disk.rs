//! Where countersign keeps its own files: outside the repository, one folder a repository, for its
//! owner's eyes only. It must not know what is in them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The folders of one repository within the data directory.
#[derive(Debug, Clone)]
pub struct RepositoryData {
    folder: PathBuf,
}

impl RepositoryData {
    /// The place for the repository at `root`, which must be a canonical path. Nothing is created
    /// but the folder itself and a file that says which repository it belongs to.
    pub fn open(data_dir: &Path, root: &Path) -> anyhow::Result<RepositoryData> {
        let key = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        let folder = data_dir.join("repositories").join(&key[..16]);
        private_folder(&folder)?;
        let note = folder.join("root.txt");
        if !note.exists() {
            std::fs::write(&note, root.display().to_string())
                .with_context(|| format!("cannot write {}", note.display()))?;
        }
        Ok(RepositoryData { folder })
    }

    /// The folder that holds all of it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn index(&self) -> PathBuf {
        self.folder.join("index")
    }

    pub fn sessions(&self) -> PathBuf {
        self.folder.join("sessions")
    }

    pub fn pending(&self) -> PathBuf {
        self.folder.join("pending")
    }

    pub fn jobs(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Copies and caches of checks, and which checks were approved.
    pub fn checks(&self) -> PathBuf {
        self.folder.join("checks")
    }
}

/// Creates a folder and its parents, mode 0700.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).with_context(|| {
        format!(
            "cannot create {}; choose another place with --data-dir or COUNTERSIGN_DATA_DIR",
            path.display()
        )
    })
}

/// What is in a folder; `None` where there is no such folder.
pub fn entries(folder: &Path) -> anyhow::Result<Option<std::fs::ReadDir>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    }
}

/// Makes something under a free id: the time `now`, with a counter when that is taken. Ids sort by age.
/// `None` when a thousand are taken.
pub fn under_free_id<T>(
    now: &str,
    mut make: impl FnMut(&str) -> io::Result<T>,
) -> io::Result<Option<(String, T)>> {
    for attempt in 0..1000 {
        let id = if attempt == 0 { now.to_owned() } else { format!("{now}-{attempt:03}") };
        match make(&id) {
            Ok(made) => return Ok(Some((id, made))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Replaces a file as a whole, mode 0600: a crash leaves the old one.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let written = file.write_all(bytes).and_then(|()| Ok(file.persist(path)?));
    written.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_repository_has_a_private_folder_of_its_own() {
        let data = tempfile::tempdir().unwrap();
        let one = RepositoryData::open(data.path(), Path::new("/one")).unwrap();
        let two = RepositoryData::open(data.path(), Path::new("/two")).unwrap();
        assert_ne!(one.index(), two.index());
        let mode = one.folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
