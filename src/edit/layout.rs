//! What an answer of a form looks like, as far as a model can be held to it. Pure; it must not know how it is.

use countersign_index::lang;

use super::searchable;
use crate::message::{EditFormat, Region};
use crate::provider::{Fenced, Layout, Preface};

/// The layout of an answer of this form about the file at `path`, whose whole text is `text` and of which
/// `regions` are shown; `preface` may come first. `None` where the answer cannot be told from what it
/// holds.
pub fn of(
    format: EditFormat,
    path: &str,
    text: &str,
    regions: &[Region],
    preface: Preface,
) -> Option<Layout> {
    let name = match format {
        // Words would have no place between the blocks.
        EditFormat::SearchReplace => return searchable::of(path, text, regions).map(Layout::Blocks),
        EditFormat::AnchoredLines => return None,
        EditFormat::Whole => Some(path.to_owned()),
        EditFormat::Symbol => None,
    };
    can_be_fenced(path, text).then_some(Layout::Fenced(Fenced { name, preface }))
}

/// Whether the text of the file will have no fences of its own, which would end its block.
fn can_be_fenced(path: &str, text: &str) -> bool {
    let is_code = lang::for_path(path).is_some_and(|language| language.name != "markdown");
    let has_fence = text.lines().any(|line| line.trim_start().starts_with("```"));
    is_code && !has_fence && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region;

    #[test]
    fn a_text_with_fences_of_its_own_is_left_free() {
        let fenced = |format, path: &str, text: &str| of(format, path, text, &[], Preface::Any);
        let whole = Some(Layout::Fenced(Fenced { name: Some("a.py".into()), preface: Preface::Any }));
        assert_eq!(fenced(EditFormat::Whole, "a.py", "x = 1\n"), whole);
        let symbol = Some(Layout::Fenced(Fenced { name: None, preface: Preface::Any }));
        assert_eq!(fenced(EditFormat::Symbol, "a.py", "x = 1\n"), symbol);
        for (path, text) in
            [("a.md", ""), ("a.txt", ""), ("a.py", "\"\"\"\n  ```\n\"\"\"\n"), ("a\nb.py", "")]
        {
            assert_eq!(fenced(EditFormat::Whole, path, text), None, "{path} {text:?}");
        }
        assert_eq!(fenced(EditFormat::AnchoredLines, "a.py", "x = 1\n"), None);
    }

    #[test]
    fn words_before_code_are_of_the_script_of_the_request() {
        for (request, preface) in [
            ("Parse – and “quote” – it ✓", Preface::Ascii),
            ("Grüße den Benutzer", Preface::Any),
            ("修复测试", Preface::Any),
        ] {
            assert_eq!(Preface::of(request), preface, "{request}");
        }
    }

    #[test]
    fn blocks_search_for_what_is_shown() {
        let text = "x = 1\n";
        let blocks =
            of(EditFormat::SearchReplace, "a.py", text, &[region::whole("a.py", text)], Preface::Nothing);
        assert!(matches!(blocks, Some(Layout::Blocks(_))), "{blocks:?}");
    }
}
