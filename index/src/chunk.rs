//! Owns the partition of a text into chunks. Pure. It must not know languages or storage.

use crate::line::Lines;
use crate::symbol::Chunk;

/// Longest chunk, in lines.
pub const LONGEST_CHUNK: u32 = 60;
/// A chunk is cut earlier when it would exceed this many bytes; only a single line may be longer.
const LARGEST_CHUNK: u32 = 8 * 1024;

/// Cuts a text before each line of `boundaries` (sorted, 1-based) and cuts what is still too long
/// at a blank line in its second half, or where it must.
pub fn partition(lines: &Lines, boundaries: &[u32]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut start = 1;
    let ends = boundaries
        .iter()
        .filter(|&&line| line > 1)
        .map(|line| (line - 1).min(lines.count()))
        .chain([lines.count()]);
    for end in ends {
        while start <= end {
            let last = fitting_end(lines, start, end);
            chunks.push(Chunk {
                start_line: start,
                end_line: last,
                start_byte: lines.start(start),
                end_byte: lines.end(last),
            });
            start = last + 1;
        }
    }
    chunks
}

fn fitting_end(lines: &Lines, start: u32, end: u32) -> u32 {
    let mut limit = end.min(start + LONGEST_CHUNK - 1);
    while limit > start && lines.end(limit) - lines.start(start) > LARGEST_CHUNK {
        limit -= 1;
    }
    if limit == end {
        return end;
    }
    let half = start + (limit - start) / 2;
    (half..=limit).rev().find(|&line| lines.is_blank(line)).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, boundaries: &[u32], expected: &[(u32, u32)]) {
        let lines = Lines::new(text);
        let chunks = partition(&lines, boundaries);
        let spans: Vec<_> = chunks.iter().map(|chunk| (chunk.start_line, chunk.end_line)).collect();
        assert_eq!(spans, expected);
    }

    #[test]
    fn cuts_at_boundaries_then_at_blank_lines() {
        check("", &[], &[]);
        check("a\nb\nc\n", &[1, 3], &[(1, 2), (3, 3)]);
        let blank_at_50 = (1..=100).map(|n| if n == 50 { "\n" } else { "x\n" }).collect::<String>();
        check(&blank_at_50, &[], &[(1, 50), (51, 100)]);
        check(&"x\n".repeat(100), &[], &[(1, 60), (61, 100)]);
        check("a\nb\n", &[2, 2, 7], &[(1, 1), (2, 2)]);
    }

    #[test]
    fn long_lines_are_cut_by_size() {
        let text = format!("{}\n", "x".repeat(3000)).repeat(6);
        check(&text, &[], &[(1, 2), (3, 4), (5, 6)]);
        check(&format!("{}\nshort\n", "x".repeat(20_000)), &[], &[(1, 1), (2, 2)]);
    }

    proptest::proptest! {
        #[test]
        fn chunks_cover_the_text(text in "[ab\n]{0,400}", mut boundaries in proptest::collection::vec(1u32..200, 0..20)) {
            boundaries.sort_unstable();
            let lines = Lines::new(&text);
            let chunks = partition(&lines, &boundaries);
            let joined: String =
                chunks.iter().map(|c| &text[c.start_byte as usize..c.end_byte as usize]).collect();
            assert_eq!(joined, text);
        }
    }
}
