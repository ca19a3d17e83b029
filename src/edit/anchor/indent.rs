//! How the indentation of searched lines differs from that of the found ones, and how new lines
//! are brought to it. Pure, over pairs of lines; it must not know where a place is.

/// One rule for all lines of a place; blank lines have no say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shift {
    /// The same on both sides.
    #[default]
    Same,
    /// The file has this in front of what was searched.
    Deeper(String),
    /// What was searched has this in front of what the file has.
    Shallower(String),
    /// The search has spaces and the file tabs: one tab for `width` spaces, after `spaces` more
    /// (or fewer) of them.
    ToTabs { width: usize, spaces: isize },
    /// The search has tabs and the file spaces.
    ToSpaces { width: usize, spaces: isize },
}

/// Widths that a level of indentation has in practice.
const WIDTHS: [usize; 5] = [4, 2, 8, 3, 1];

impl Shift {
    /// The rule that leads from each searched line to the line of the file beside it, if there is
    /// one for all of them. Only the white space in front counts.
    pub fn between<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Shift> {
        let pairs: Vec<(&str, &str)> = lines
            .into_iter()
            .filter(|(sought, found)| !sought.trim().is_empty() && !found.trim().is_empty())
            .map(|(sought, found)| (front(sought), front(found)))
            .collect();
        let (sought, found) = *pairs.first()?;
        let mut rules = vec![Shift::Same];
        rules.extend(found.strip_suffix(sought).map(|more| Shift::Deeper(more.to_owned())));
        rules.extend(sought.strip_suffix(found).map(|more| Shift::Shallower(more.to_owned())));
        for width in WIDTHS {
            let (spaces, tabs) = (sought.len() as isize, (found.len() * width) as isize);
            rules.push(Shift::ToTabs { width, spaces: spaces - tabs });
            let tabs = sought.chars().filter(|c| *c == '\t').count();
            let wide = (tabs * width + sought.len() - tabs) as isize;
            rules.push(Shift::ToSpaces { width, spaces: found.len() as isize - wide });
        }
        rules.into_iter().find(|rule| {
            pairs.iter().all(|(sought, found)| rule.indent(sought).is_some_and(|made| made == *found))
        })
    }

    /// A line as it stands in the file; `None` where the rule has no answer, such as for a line that
    /// would have to begin left of the margin.
    pub fn line(&self, line: &str) -> Option<String> {
        if line.trim().is_empty() {
            return Some(line.to_owned());
        }
        let front = front(line);
        Some(self.indent(front)? + &line[front.len()..])
    }

    fn indent(&self, front: &str) -> Option<String> {
        match self {
            Shift::Same => Some(front.to_owned()),
            Shift::Deeper(more) => Some(format!("{more}{front}")),
            Shift::Shallower(less) => front.strip_prefix(less.as_str()).map(str::to_owned),
            Shift::ToTabs { width, spaces } => {
                if front.contains(|c| c != ' ') {
                    return None;
                }
                let wide = usize::try_from(front.len() as isize - spaces).ok()?;
                // What is less than a level stays as it is: such spaces align, they do not indent.
                Some("\t".repeat(wide / width) + &" ".repeat(wide % width))
            }
            Shift::ToSpaces { width, spaces } => {
                // Spaces behind the tabs align, they do not indent.
                let rest = front.trim_start_matches('\t');
                if rest.contains(|c| c != ' ') {
                    return None;
                }
                let tabs = front.len() - rest.len();
                let wide = usize::try_from((tabs * width) as isize + spaces).ok()?;
                Some(" ".repeat(wide) + rest)
            }
        }
    }
}

/// The white space in front of a line.
pub fn front(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], new: &str, expected: Option<&str>) {
        let shift = Shift::between(pairs.iter().copied());
        assert_eq!(shift.and_then(|shift| shift.line(new)).as_deref(), expected, "{pairs:?} {new:?}");
    }

    #[test]
    fn one_rule_for_all_lines() {
        check(&[("a", "    a"), ("  b", "      b")], "c", Some("    c"));
        check(&[("    a", "  a"), ("", ""), ("      b", "    b")], "    c", Some("  c"));
        check(&[("    a", "  a")], " c", None);
        check(&[("a", "  a"), ("b", "    b")], "c", None);
        check(&[("  a", "  a")], "c", Some("c"));
        check(&[("a", "    a")], "", Some(""));
    }

    #[test]
    fn tabs_for_spaces_and_back() {
        check(&[("    a", "\ta"), ("        b", "\t\tb")], "            c", Some("\t\t\tc"));
        check(&[("  a", "\ta"), ("    b", "\t\tb")], "      c", Some("\t\t\tc"));
        check(&[("a", "\ta"), ("    b", "\t\tb")], "        c", Some("\t\t\tc"));
        check(&[("\ta", "    a"), ("\t\tb", "        b")], "\t\t\tc", Some("            c"));
        check(&[("\ta", "  a"), ("\t\tb", "    b")], "c", Some("c"));
        check(&[("\ta", "    a"), ("\t  b", "      b")], "\t\tc", Some("        c"));
        check(&[("    a", "\ta"), ("     b", "\t\tb")], "c", None);
    }
}
