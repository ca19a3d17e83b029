//! Patches that wait for their owner: kept when a review is left, or when nobody was there to sign.
//!
//! One folder a patch in the repository's data directory, with the bytes of both sides, so that a
//! later review can tell whether the tree is still the one that the patch was made for. It must not
//! apply or approve anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::apply::merge;
use crate::edit::anchor::Tier;
use crate::edit::patch::{FileChange, Side};
use crate::edit::tree::Tree;
use crate::edit::{Overlay, PatchSet};
use crate::protocol::CheckResult;

/// Waiting patches that are kept; the oldest goes first.
const MOST_KEPT: usize = 100;
/// The file that makes a folder a waiting patch. It is written last.
const NOTE: &str = "patch.json";

/// The waiting patches of one repository.
#[derive(Debug, Clone)]
pub struct PendingStore {
    folder: PathBuf,
}

/// What is known about a waiting patch besides its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub session: String,
    pub request: String,
    pub summary: String,
    /// Reasons by path after the change.
    pub why: BTreeMap<String, Vec<String>>,
    /// What was checked, for the whole patch as it was proposed.
    pub checks: Vec<CheckResult>,
    files: Vec<FileNote>,
}

/// One file; its bytes lie beside the note as `0.before` and `0.after`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FileNote {
    before: Option<SideNote>,
    after: Option<SideNote>,
    tier: Tier,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SideNote {
    path: String,
    mode: Option<u32>,
}

/// A waiting patch, read back.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: String,
    pub note: Note,
    changes: Vec<FileChange>,
}

impl Note {
    /// Everything but the patch.
    pub fn new(session: &str, request: &str, summary: &str) -> Note {
        Note {
            at_ms: crate::clock::now_ms(),
            session: session.to_owned(),
            request: request.to_owned(),
            summary: summary.to_owned(),
            why: BTreeMap::new(),
            checks: Vec::new(),
            files: Vec::new(),
        }
    }
}

impl PendingStore {
    pub fn in_folder(folder: &Path) -> PendingStore {
        PendingStore { folder: folder.to_owned() }
    }

    /// Keeps a patch and gives its id.
    ///
    /// # Errors
    /// What the disk says; nothing is kept then.
    pub fn keep(&self, patch: &PatchSet, note: Note) -> anyhow::Result<String> {
        crate::disk::private_folder(&self.folder)?;
        let last = self.ids()?.last().and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
        for number in last + 1..last + 1000 {
            let id = format!("{number:06}");
            let folder = self.folder.join(&id);
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    let written = write(&folder, patch, note);
                    if written.is_err() {
                        // Half a patch is none.
                        let _ = std::fs::remove_dir_all(&folder);
                    }
                    written.with_context(|| format!("cannot keep a patch in {}", folder.display()))?;
                    self.forget_oldest()?;
                    return Ok(id);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot create {}", folder.display()));
                }
            }
        }
        bail!("no free number for a waiting patch in {}", self.folder.display())
    }

    /// All waiting patches, the oldest first. What cannot be read is left out.
    pub fn list(&self) -> anyhow::Result<Vec<Waiting>> {
        Ok(self.ids()?.iter().filter_map(|id| self.read(id).ok()).collect())
    }

    /// One waiting patch; `id` may be shortened to its end, as in `7` for `000007`.
    ///
    /// # Errors
    /// No such patch, or one that cannot be read.
    pub fn find(&self, id: &str) -> anyhow::Result<Waiting> {
        let wanted = id.trim_start_matches('0');
        let ids = self.ids()?;
        match ids.iter().find(|known| known.trim_start_matches('0') == wanted) {
            Some(id) => self.read(id),
            None => {
                bail!("no patch {id:?} waits for a review; `countersign review --list` shows those that do")
            }
        }
    }

    /// Removes a patch: it was decided about.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(id);
        // The note first: without it the rest is not a waiting patch any more.
        std::fs::remove_file(folder.join(NOTE))
            .and_then(|()| std::fs::remove_dir_all(&folder))
            .with_context(|| format!("cannot remove {}", folder.display()))
    }

    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let entries = crate::disk::entries(&self.folder)?.into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut ids: Vec<String> = names.filter(|name| self.folder.join(name).join(NOTE).is_file()).collect();
        ids.sort();
        Ok(ids)
    }

    fn read(&self, id: &str) -> anyhow::Result<Waiting> {
        let folder = self.folder.join(id);
        let text = std::fs::read(folder.join(NOTE)).with_context(|| format!("cannot read the patch {id}"))?;
        let note: Note =
            serde_json::from_slice(&text).with_context(|| format!("the patch {id} is damaged"))?;
        let side =
            |number: usize, end: &str, side: &Option<SideNote>| -> anyhow::Result<Option<(String, Side)>> {
                let Some(side) = side else { return Ok(None) };
                let bytes = std::fs::read(folder.join(format!("{number}.{end}")))
                    .with_context(|| format!("the patch {id} is damaged"))?;
                Ok(Some((side.path.clone(), Side::new(bytes, side.mode))))
            };
        let mut changes = Vec::new();
        for (number, file) in note.files.iter().enumerate() {
            let (before, after) =
                (side(number, "before", &file.before)?, side(number, "after", &file.after)?);
            changes.push(FileChange { before, after, tier: file.tier });
        }
        Ok(Waiting { id: id.to_owned(), note, changes })
    }

    fn forget_oldest(&self) -> anyhow::Result<()> {
        let ids = self.ids()?;
        let surplus = ids.len().saturating_sub(MOST_KEPT);
        ids.iter().take(surplus).try_for_each(|id| self.remove(id))
    }
}

fn write(folder: &Path, patch: &PatchSet, mut note: Note) -> anyhow::Result<()> {
    for (number, change) in patch.changes().enumerate() {
        let side = |end: &str, side: &Option<(String, Side)>| -> anyhow::Result<Option<SideNote>> {
            let Some((path, side)) = side else { return Ok(None) };
            std::fs::write(folder.join(format!("{number}.{end}")), &side.bytes)?;
            Ok(Some(SideNote { path: path.clone(), mode: side.mode }))
        };
        let (before, after) = (side("before", &change.before)?, side("after", &change.after)?);
        note.files.push(FileNote { before, after, tier: change.tier });
    }
    let draft = folder.join("patch.json.new");
    std::fs::write(&draft, serde_json::to_vec_pretty(&note)?)?;
    std::fs::rename(draft, folder.join(NOTE))?;
    Ok(())
}

/// A waiting patch as it stands over the tree of now.
pub struct Offered {
    pub overlay: Overlay,
    pub patch: PatchSet,
    /// Files that changed meanwhile and into which the change was merged.
    pub merged: Vec<String>,
    /// Files that changed meanwhile so that the change has no clear place any more; they are left out.
    pub conflicts: Vec<String>,
}

impl Waiting {
    /// Lays the patch over the tree at `root`. Where a file has changed since, the change is merged
    /// into it if that is clear, and said; where it is not, the file is left out, and said.
    ///
    /// # Errors
    /// A root that cannot be opened, or a path that may not be touched.
    pub fn offer(&self, root: &Path) -> anyhow::Result<Offered> {
        let tree = Tree::open(root).with_context(|| format!("cannot open {}", root.display()))?;
        let (mut fitting, mut merged, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
        for change in &self.changes {
            let Some((path, _)) = change.before.as_ref().or(change.after.as_ref()) else { continue };
            let is_taken = |path: &str| tree.read(path).map_or(true, |found| found.is_some());
            let moves_onto = change.after.as_ref().filter(|(new, _)| new != path || change.before.is_none());
            let now = tree.read(path).ok().flatten();
            let was = change.before.as_ref().map(|(_, side)| side);
            let placed = match (was, now) {
                _ if moves_onto.is_some_and(|(new, _)| is_taken(new)) => None,
                (None, None) => Some(change.clone()),
                (Some(was), Some(now)) if was.hash == now.hash => Some(change.clone()),
                (Some(was), Some(now)) => {
                    let after = change.after.as_ref();
                    after.and_then(|(new, side)| {
                        let bytes: Arc<[u8]> = merge(&was.bytes, &now.bytes, &side.bytes)?.into();
                        merged.push(path.clone());
                        Some(FileChange {
                            before: Some((path.clone(), Side::new(now.bytes, now.mode))),
                            after: Some((new.clone(), Side::new(bytes, now.mode))),
                            tier: Tier::Merged,
                        })
                    })
                }
                _ => None,
            };
            match placed {
                Some(change) => fitting.push(change),
                None => conflicts.push(path.clone()),
            }
        }
        let mut overlay = Overlay::open(root).with_context(|| format!("cannot open {}", root.display()))?;
        overlay.adopt(&fitting).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        let patch = overlay.patch();
        Ok(Offered { overlay, patch, merged, conflicts })
    }

    /// The paths of its files after the change, or of deleted files.
    pub fn paths(&self) -> Vec<&str> {
        let sides = self.changes.iter().filter_map(|change| change.after.as_ref().or(change.before.as_ref()));
        sides.map(|(path, _)| path.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        root: tempfile::TempDir,
        data: tempfile::TempDir,
    }

    impl Place {
        fn new(files: &[(&str, &str)]) -> Place {
            let place = Place { root: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() };
            for (path, text) in files {
                std::fs::write(place.root.path().join(path), text).unwrap();
            }
            place
        }

        fn store(&self) -> PendingStore {
            PendingStore::in_folder(&self.data.path().join("pending"))
        }

        /// Keeps a change of `a.txt` and the creation of `b.txt`.
        fn kept(&self) -> String {
            let mut overlay = Overlay::open(self.root.path()).unwrap();
            let side = |path: &str, text: &str| Some((path.to_owned(), Side::new(text.as_bytes(), None)));
            let was = std::fs::read_to_string(self.root.path().join("a.txt")).unwrap();
            let changes = [
                FileChange {
                    before: side("a.txt", &was),
                    after: side("a.txt", &was.replace('5', "five")),
                    tier: Tier::Exact,
                },
                FileChange { before: None, after: side("b.txt", "new\n"), tier: Tier::File },
            ];
            overlay.adopt(&changes).unwrap();
            self.store().keep(&overlay.patch(), Note::new("s", "the request", "the summary")).unwrap()
        }
    }

    const NUMBERS: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

    #[test]
    fn a_kept_patch_is_offered_as_it_was() {
        let place = Place::new(&[("a.txt", NUMBERS)]);
        let id = place.kept();
        let waiting = place.store().find("1").unwrap();
        assert_eq!((waiting.id.as_str(), waiting.note.request.as_str()), (id.as_str(), "the request"));
        let offered = waiting.offer(place.root.path()).unwrap();
        assert!(offered.merged.is_empty() && offered.conflicts.is_empty());
        let paths: Vec<_> = offered.patch.files().iter().map(|file| (file.path(), file.tier())).collect();
        assert_eq!(paths, [("a.txt", Tier::Exact), ("b.txt", Tier::File)]);
        place.store().remove(&id).unwrap();
        assert!(place.store().list().unwrap().is_empty());
        assert!(place.store().find("1").unwrap_err().to_string().contains("review --list"));
    }

    #[test]
    fn a_changed_file_is_merged_visibly_or_left_out() {
        let place = Place::new(&[("a.txt", NUMBERS)]);
        place.kept();
        let (file, other) = (place.root.path().join("a.txt"), place.root.path().join("b.txt"));
        std::fs::write(&file, NUMBERS.replace('1', "one")).unwrap();
        std::fs::write(&other, "taken\n").unwrap();
        let offered = place.store().find("000001").unwrap().offer(place.root.path()).unwrap();
        assert_eq!(
            (offered.merged.as_slice(), offered.conflicts.as_slice()),
            (&["a.txt".to_owned()][..], &["b.txt".to_owned()][..])
        );
        let [only] = offered.patch.files() else { panic!("one file") };
        assert_eq!(only.tier(), Tier::Merged);
        let text = String::from_utf8(only.after().unwrap().bytes.to_vec()).unwrap();
        assert_eq!(text, NUMBERS.replace('1', "one").replace('5', "five"));

        std::fs::write(&file, NUMBERS.replace('5', "FIVE")).unwrap();
        let offered = place.store().find("1").unwrap().offer(place.root.path()).unwrap();
        assert_eq!(offered.conflicts, ["a.txt", "b.txt"]);
        assert!(offered.patch.is_empty());
    }

    #[test]
    fn half_a_patch_is_none() {
        let place = Place::new(&[("a.txt", NUMBERS)]);
        let id = place.kept();
        std::fs::remove_file(place.data.path().join("pending").join(&id).join("0.after")).unwrap();
        assert!(place.store().list().unwrap().is_empty());
        assert!(place.store().find(&id).unwrap_err().to_string().contains("damaged"));
        std::fs::create_dir(place.data.path().join("pending/000009")).unwrap();
        assert!(place.store().find("9").is_err());
    }
}
