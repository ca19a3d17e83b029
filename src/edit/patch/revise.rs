//! What a reviewer may do to a hunk besides taking it or leaving it: cut it into its runs, write other
//! lines, see the whole file. Pure; a revised patch has another digest and is shown again.

use std::ops::Range;

use super::{CONTEXT, FilePatch, Hunk, Part, PatchSet, Side, anchor, push_change, push_line, span};

impl PatchSet {
    /// The same change with one hunk cut into its runs of changed lines. The first keeps its id, the
    /// others get new ones; `None` if there is no such hunk or it has one run only.
    pub fn split(&self, id: u32) -> Option<PatchSet> {
        let mut next = self.ids().last()? + 1..;
        let mut split = self.clone();
        split.needs.clear();
        let (file, at) = split.files.iter_mut().find_map(|file| {
            let at = file.hunks.iter().position(|hunk| hunk.id == id)?;
            Some((file, at))
        })?;
        let parts = file.runs(at)?;
        let ids = std::iter::once(id).chain(&mut next);
        let hunks = ids.zip(parts).map(|(id, (header, lines, part))| Hunk { id, header, lines, part });
        file.hunks.splice(at..=at, hunks);
        Some(split)
    }

    /// The text of a file after the change, if the new lines of one of its hunks were these; lines
    /// come as a diff has them, with their signs. `None` if there is no such hunk of lines.
    pub fn with_new_lines(&self, id: u32, lines: &[String]) -> Option<(String, String)> {
        let file = self.files.iter().find(|file| file.hunks.iter().any(|hunk| hunk.id == id))?;
        let at = file.hunks.iter().position(|hunk| hunk.id == id)?;
        Some((file.path().to_owned(), file.rewritten(at, lines)?))
    }
}

impl FilePatch {
    /// The whole file as a diff: every line with its sign.
    pub fn whole(&self) -> Vec<String> {
        let text = |side: Option<&Side>| side.and_then(Side::text).unwrap_or_default().to_owned();
        let (before, after) = (text(self.before()), text(self.after()));
        let (before, after) = (anchor::lines(&before), anchor::lines(&after));
        let mut lines = Vec::new();
        for op in anchor::diff(&before, &after) {
            push_change(&mut lines, &op, &before, &after);
        }
        lines
    }

    /// The runs of changed lines of a hunk, each with the context between it and its neighbours.
    fn runs(&self, at: usize) -> Option<Vec<(String, Vec<String>, Part)>> {
        let Part::Lines(changes) = &self.hunks.get(at)?.part else { return None };
        if changes.len() < 2 {
            return None;
        }
        let (before, after) = (self.before()?.text()?, self.after()?.text()?);
        let (before, after) = (anchor::lines(before), anchor::lines(after));
        let parts = changes.iter().enumerate().map(|(number, (old, new))| {
            let above = number.checked_sub(1).map_or(0, |above| changes[above].0.end);
            let below = changes.get(number + 1).map_or(before.len(), |(old, _)| old.start);
            let first = old.start.saturating_sub(CONTEXT).max(above);
            let last = (old.end + CONTEXT).min(below);
            let (lead, rest) = (old.start - first, last - old.end);
            let mut lines = Vec::new();
            before[first..old.start].iter().for_each(|line| push_line(&mut lines, ' ', line));
            before[old.clone()].iter().for_each(|line| push_line(&mut lines, '-', line));
            after[new.clone()].iter().for_each(|line| push_line(&mut lines, '+', line));
            before[old.end..last].iter().for_each(|line| push_line(&mut lines, ' ', line));
            let header = format!("@@ -{} +{} @@", span(first..last), span(new.start - lead..new.end + rest));
            (header, lines, Part::Lines(vec![(old.clone(), new.clone())]))
        });
        Some(parts.collect())
    }

    /// The text after the change with other new lines in the place of a hunk: those of `lines` that
    /// are not taken away.
    fn rewritten(&self, at: usize, lines: &[String]) -> Option<String> {
        let after = self.after()?.text()?;
        let hunk = self.hunks.get(at)?;
        let windows = after.contains("\r\n");
        let mut new = String::new();
        let mut ended = true;
        let mut taken_away = false;
        for line in lines {
            let sign = line.chars().next();
            match sign {
                Some('-') => {}
                // "\ No newline at end of file", about the line before it.
                Some('\\') => ended &= taken_away,
                _ if !ended => return None,
                sign => {
                    let text = if matches!(sign, Some('+' | ' ')) { &line[1..] } else { line };
                    new += text.strip_suffix('\r').filter(|_| windows).unwrap_or(text);
                    new += if windows { "\r\n" } else { "\n" };
                }
            }
            taken_away = sign == Some('-');
        }
        if !ended && new.ends_with('\n') {
            new.truncate(new.len() - if windows { 2 } else { 1 });
        }
        if hunk.part == Part::File {
            return Some(new);
        }
        let covered = hunk.new_lines()?;
        let all = anchor::lines(after);
        let mut text: String = all.get(..covered.start)?.concat();
        text += &new;
        text.extend(all.get(covered.end..)?.iter().copied());
        Some(text)
    }
}

impl Hunk {
    /// The lines of the file after the change that this hunk shows, context included, from 0.
    fn new_lines(&self) -> Option<Range<usize>> {
        let Part::Lines(changes) = &self.part else { return None };
        let first = changes.first()?;
        let lead = self.lines.iter().take_while(|line| line.starts_with(' ')).count();
        let start = first.1.start.checked_sub(lead)?;
        let shown = self.lines.iter().filter(|line| line.starts_with(['+', ' '])).count();
        Some(start..start + shown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::edit::{anchor::Tier, patch::FileChange};

    fn modify(before: &str, after: &str) -> PatchSet {
        let side = |text: &str| Some(("a.txt".to_owned(), Side::new(text.as_bytes(), None)));
        PatchSet::derive(vec![FileChange { before: side(before), after: side(after), tier: Tier::Exact }])
    }

    fn text(patch: &PatchSet) -> String {
        let Some(file) = patch.files().first() else { return String::new() };
        String::from_utf8(file.after().unwrap().bytes.to_vec()).unwrap()
    }

    fn lines(of: &[&str]) -> Vec<String> {
        of.iter().map(|line| line.to_string()).collect()
    }

    #[test]
    fn a_hunk_is_cut_where_unchanged_lines_lie_between() {
        let patch = modify("1\n2\n3\n4\n5\n6\n", "1\ntwo\n3\n4\nfive\n6\n");
        assert_eq!(patch.ids(), BTreeSet::from([1]));
        let split = patch.split(1).unwrap();
        let hunks = split.files()[0].hunks();
        assert_eq!(hunks[0].header(), "@@ -1,4 +1,4 @@");
        assert_eq!(hunks[0].shown_lines(), [" 1", "-2", "+two", " 3", " 4"]);
        assert_eq!(hunks[1].header(), "@@ -3,4 +3,4 @@");
        assert_eq!(hunks[1].shown_lines(), [" 3", " 4", "-5", "+five", " 6"]);
        assert_ne!(split.digest(), patch.digest());
        assert_eq!(text(&split.select(&BTreeSet::from([2]))), "1\n2\n3\n4\nfive\n6\n");
        assert!(split.split(1).is_none() && split.split(7).is_none());
    }

    #[test]
    fn other_lines_take_the_place_of_a_hunk() {
        let patch = modify("a\nb\nc\n", "a\nB\nc\n");
        let (path, new) = patch.with_new_lines(1, &lines(&[" a", "-b", "+x", "+y", " c"])).unwrap();
        assert_eq!((path.as_str(), new.as_str()), ("a.txt", "a\nx\ny\nc\n"));
        let (_, open) =
            patch.with_new_lines(1, &lines(&[" a", "+x", "\\ No newline at end of file"])).unwrap();
        assert_eq!(open, "a\nx");
        let windows = modify("a\r\nb\r\n", "a\r\nB\r\n");
        assert_eq!(windows.with_new_lines(1, &lines(&[" a", "+x"])).unwrap().1, "a\r\nx\r\n");
    }

    proptest! {
        /// All parts together are the hunk, and the lines as shown are the text as it is.
        #[test]
        fn parts_make_the_whole(before in "[abc\n]{0,60}", after in "[abc\n]{0,60}") {
            let patch = modify(&before, &after);
            for id in patch.ids() {
                if let Some(file) = patch.files().first()
                    && let Some(hunk) = file.hunks().iter().find(|hunk| hunk.id() == id)
                {
                    let (_, same) = patch.with_new_lines(id, &hunk.lines).unwrap();
                    prop_assert_eq!(&same, &after);
                }
                let Some(split) = patch.split(id) else { continue };
                prop_assert_eq!(text(&split.select(&split.ids())), after.clone());
                for part in split.ids().difference(&patch.ids()) {
                    prop_assert!(!split.select(&BTreeSet::from([*part])).is_empty());
                }
            }
        }
    }
}
