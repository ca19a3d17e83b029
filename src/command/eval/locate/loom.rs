//! The rules of ProtoAgent 0.3.0's Context Loom, to compare with: points for each word of the request that
//! is a part of a path, of names that a file defines, of headings, of imports or of the text. These are its
//! points, not its code: it takes definitions from two languages only, the first 1,200 files and eight of
//! them; here they come from the index, and every file counts.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use countersign_index::{Index, SymbolKind};

/// Points if the request names the path or the file.
const NAMED: u32 = 24;
/// Points for a word in each place.
const PATH: u32 = 8;
const SYMBOL: u32 = 7;
const HEADING: u32 = 5;
const IMPORT: u32 = 4;
const CONTENT: u32 = 2;

/// Shortest word that counts.
const SHORTEST_WORD: usize = 3;

/// What is known of files, by path, until their content changes.
#[derive(Default)]
pub struct Loom {
    known: HashMap<String, Known>,
}

/// What is compared of one file, all in lower case; each list in one text, its entries on lines.
struct Known {
    hash: String,
    symbols: String,
    headings: String,
    imports: String,
    content: String,
}

impl Loom {
    /// All files that any rule speaks for, best first, equals by path.
    pub fn rank(&mut self, index: &Index, root: &Path, request: &str) -> anyhow::Result<Vec<String>> {
        let request = request.to_lowercase();
        let words = words(&request);
        let mut ranked = Vec::new();
        for file in index.files()? {
            if self.known.get(&file.path).is_none_or(|known| known.hash != file.hash) {
                let known = Known::read(index, root, &file.path, file.hash)?;
                self.known.insert(file.path.clone(), known);
            }
            let points = self.known[&file.path].points(&file.path, &request, &words);
            if points > 0 {
                ranked.push((points, file.path));
            }
        }
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Ok(ranked.into_iter().map(|(_, path)| path).collect())
    }
}

impl Known {
    fn read(index: &Index, root: &Path, path: &str, hash: String) -> anyhow::Result<Known> {
        let (headings, symbols): (Vec<_>, Vec<_>) =
            index.outline(path)?.into_iter().partition(|symbol| symbol.kind == SymbolKind::Heading);
        let names = |symbols: Vec<countersign_index::Symbol>| {
            let names: Vec<String> = symbols.into_iter().map(|symbol| symbol.name.to_lowercase()).collect();
            names.join("\n")
        };
        let imports: Vec<String> =
            index.imports(path)?.into_iter().map(|import| import.target.to_lowercase()).collect();
        let content = std::fs::read(root.join(path)).unwrap_or_default();
        Ok(Known {
            hash,
            symbols: names(symbols),
            headings: names(headings),
            imports: imports.join("\n"),
            content: String::from_utf8_lossy(&content).to_lowercase(),
        })
    }

    fn points(&self, path: &str, request: &str, words: &BTreeSet<&str>) -> u32 {
        let path = path.to_lowercase();
        let name = path.rsplit('/').next().unwrap_or(&path);
        let mut points = if request.contains(name) { NAMED } else { 0 };
        let places = [
            (&path, PATH),
            (&self.symbols, SYMBOL),
            (&self.headings, HEADING),
            (&self.imports, IMPORT),
            (&self.content, CONTENT),
        ];
        for word in words {
            points +=
                places.iter().filter(|(text, _)| text.contains(word)).map(|(_, each)| each).sum::<u32>();
        }
        points
    }
}

fn words(request: &str) -> BTreeSet<&str> {
    let words = request.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.len() >= SHORTEST_WORD).collect()
}
