//! Draws plots as SVG text, which a page can hold without anything beside it. Pure.

use std::fmt::Write as _;

use super::statistics::Share;

const WIDTH: f64 = 760.0;
/// Where the names end and the drawing begins.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 60.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 30.0;

/// Colours that people with a colour blindness tell apart (Okabe and Ito).
pub const COLOURS: &[&str] =
    &["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a800"];

/// Text that means nothing to a browser.
pub fn escaped(text: &str) -> String {
    let visible = crate::sanitize::visible(text).to_string();
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn svg(height: f64, inner: &str, title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>{inner}</svg>",
        escaped(title)
    )
}

fn name(text: &mut String, label: &str, y: f64) {
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 10.0,
        y,
        escaped(label)
    );
}

/// A vertical line for each mark of the scale, from 0 to `most`.
fn scale(text: &mut String, most: f64, height: f64, unit: &str) {
    for step in 0..=5 {
        let value = most * f64::from(step) / 5.0;
        let x = LEFT + (WIDTH - LEFT - RIGHT) * f64::from(step) / 5.0;
        let shown = if most < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        let _ = write!(
            text,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{:.1}\"/><text class=\"mark\" x=\"{x:.1}\" y=\"20\" text-anchor=\"middle\">{shown}{unit}</text>",
            height - 6.0
        );
    }
}

/// Shares with their intervals: a bar each, and a line from the low to the high end. `rows` are names with
/// shares, each with the number of its colour.
pub fn shares(title: &str, rows: &[(String, Share, usize)]) -> String {
    let height = HEAD + ROW * rows.len() as f64 + 10.0;
    let mut text = String::new();
    scale(&mut text, 100.0, height, " %");
    let x = |share: f64| LEFT + (WIDTH - LEFT - RIGHT) * share;
    for (at, (label, share, colour)) in rows.iter().enumerate() {
        let top = HEAD + ROW * at as f64 + 4.0;
        let middle = top + 8.0;
        name(&mut text, label, middle + 4.0);
        let _ = write!(
            text,
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"16\" fill=\"{}\"/><line class=\"interval\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/><text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}/{}</text>",
            x(share.share) - LEFT,
            COLOURS[colour % COLOURS.len()],
            x(share.low),
            x(share.high),
            x(share.high) + 6.0,
            middle + 4.0,
            share.hits,
            share.of,
        );
    }
    svg(height, &text, title)
}

/// Amounts, a bar each.
pub fn amounts(title: &str, unit: &str, rows: &[(String, f64, usize)]) -> String {
    let height = HEAD + ROW * rows.len() as f64 + 10.0;
    let most = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    let most = if most > 0.0 { most } else { 1.0 };
    let mut text = String::new();
    scale(&mut text, most, height, unit);
    for (at, (label, amount, colour)) in rows.iter().enumerate() {
        let top = HEAD + ROW * at as f64 + 4.0;
        name(&mut text, label, top + 12.0);
        let width = (WIDTH - LEFT - RIGHT) * amount / most;
        let _ = write!(
            text,
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"{}\"/><text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{amount:.0}</text>",
            COLOURS[colour % COLOURS.len()],
            LEFT + width + 6.0,
            top + 12.0,
        );
    }
    svg(height, &text, title)
}

/// What a whole consists of: for each row the parts one behind the other, and below what their colours mean.
pub fn parts(title: &str, names: &[&str], rows: &[(String, Vec<usize>)]) -> String {
    let key = HEAD + ROW * rows.len() as f64 + 16.0;
    let height = key + 20.0 * names.len().div_ceil(5) as f64;
    let most = rows.iter().map(|(_, parts)| parts.iter().sum::<usize>()).max().unwrap_or(0).max(1);
    let mut text = String::new();
    scale(&mut text, most as f64, key - 8.0, "");
    for (at, (label, parts)) in rows.iter().enumerate() {
        let top = HEAD + ROW * at as f64 + 4.0;
        name(&mut text, label, top + 12.0);
        let mut x = LEFT;
        for (colour, part) in parts.iter().enumerate().filter(|(_, part)| **part > 0) {
            let width = (WIDTH - LEFT - RIGHT) * *part as f64 / most as f64;
            let _ = write!(
                text,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"{}\"/><text class=\"inside\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{part}</text>",
                COLOURS[colour % COLOURS.len()],
                x + width / 2.0,
                top + 12.0,
            );
            x += width;
        }
    }
    for (at, name) in names.iter().enumerate() {
        let (x, y) = (20.0 + 148.0 * (at % 5) as f64, key + 20.0 * (at / 5) as f64);
        let _ = write!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            COLOURS[at % COLOURS.len()],
            x + 18.0,
            y + 11.0,
            escaped(name),
        );
    }
    svg(height, &text, title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        let half = Share { hits: 1, of: 2, share: 0.5, low: 0.1, high: 0.9 };
        let drawn = shares("t", &[("a".into(), half, 0)]);
        let whole = WIDTH - LEFT - RIGHT;
        assert!(drawn.contains(&format!("width=\"{:.1}\" height=\"16\"", whole / 2.0)), "{drawn}");
        assert!(drawn.contains(&format!(
            "x1=\"{:.1}\" x2=\"{:.1}\"",
            LEFT + 0.1 * whole,
            LEFT + 0.9 * whole
        )));
        let drawn = amounts("t", "s", &[("a".into(), 10.0, 0), ("b".into(), 5.0, 1)]);
        assert!(
            drawn.contains(&format!("width=\"{whole:.1}\""))
                && drawn.contains(&format!("width=\"{:.1}\"", whole / 2.0))
        );
        let drawn = parts("t", &["x", "y"], &[("a".into(), vec![3, 1])]);
        assert!(drawn.contains(&format!("width=\"{:.1}\"", whole * 0.75)), "{drawn}");
        assert!(amounts("t", "", &[("none".into(), 0.0, 0)]).contains("width=\"0.0\""));
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let hostile = "</text><script>alert(1)</script>\u{1b}[2J";
        for drawn in [
            shares(hostile, &[(hostile.into(), Share::default(), 0)]),
            amounts(hostile, "", &[(hostile.into(), 1.0, 0)]),
            parts(hostile, &[hostile], &[(hostile.into(), vec![1])]),
        ] {
            assert!(!drawn.contains("<script") && !drawn.contains('\u{1b}'), "{drawn}");
        }
    }
}
