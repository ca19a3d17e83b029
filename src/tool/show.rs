//! Tools that show something: `list`, `read`, `outline`.

use crate::retrieve::Library;
use crate::tool::known_path;

pub(super) fn list(library: &Library, folder: &str) -> anyhow::Result<Vec<String>> {
    let folder = folder.trim_matches('`').trim_start_matches("./").trim_matches('/');
    let prefix = if folder.is_empty() || folder == "." { String::new() } else { format!("{folder}/") };
    let mut names: Vec<String> = library
        .paths()?
        .iter()
        .filter_map(|path| path.strip_prefix(&prefix))
        .map(|rest| match rest.split_once('/') {
            Some((below, _)) => format!("{prefix}{below}/"),
            None => format!("{prefix}{rest}"),
        })
        .collect();
    names.dedup();
    Ok(names)
}

/// A path, and the lines that are asked for: `src/main.py:10-60`.
pub(super) fn place(argument: &str) -> (&str, Option<(usize, usize)>) {
    match argument.rsplit_once(':').map(|(path, range)| (path, parse_range(range))) {
        Some((path, Some(range))) => (path, Some(range)),
        _ => (argument, None),
    }
}

pub(super) fn read(library: &Library, argument: &str) -> anyhow::Result<Vec<String>> {
    let (path, range) = place(argument);
    let path = match known_path(library, path)? {
        Ok(path) => path,
        Err(answer) => return Ok(vec![answer]),
    };
    let Some(text) = text(library, &path) else {
        return Ok(vec![format!("{path} can no longer be read")]);
    };
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = range.unwrap_or((1, lines.len()));
    let last = last.min(lines.len());
    if first == 0 || first > last {
        return Ok(vec![format!("{path} has {} lines", lines.len())]);
    }
    Ok((first..=last).map(|number| format!("{number:<5}  {}", lines[number - 1])).collect())
}

pub(super) fn outline(library: &Library, path: &str) -> anyhow::Result<Vec<String>> {
    let path = match known_path(library, path)? {
        Ok(path) => path,
        Err(answer) => return Ok(vec![answer]),
    };
    let symbols = library.index.outline(&path)?;
    Ok(symbols
        .into_iter()
        .map(|symbol| {
            let inside = symbol.container.map(|name| format!(" in {name}")).unwrap_or_default();
            format!(
                "{}-{} {} {}{inside}",
                symbol.start_line,
                symbol.end_line,
                symbol.kind.name(),
                symbol.name
            )
        })
        .collect())
}

/// `10-60` or `10`.
fn parse_range(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// The text of an indexed file as it is on the disk now; `None` when it is gone or no longer text.
/// The folder handle keeps a link that was put there since from leading out of the repository.
pub(super) fn text(library: &Library, path: &str) -> Option<String> {
    let root = cap_std::fs::Dir::open_ambient_dir(&library.root, cap_std::ambient_authority()).ok()?;
    let bytes = root.read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
