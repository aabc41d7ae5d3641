// SPDX-License-Identifier: GPL-2.0
//! Draws call stacks as a flame graph: a box for each function, as wide as its share of the instructions, on top of
//! the function that called it. The boxes tell their counts when pointed at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Width of the picture in pixels.
const WIDTH: u64 = 1200;

/// Height of a box.
const BOX: u64 = 18;

/// Height of the title.
const HEAD: u64 = 48;

/// Width of a letter in hundredths of a pixel.
const LETTER: u64 = 680;

/// A function in its place in the stacks.
#[derive(Debug, Default)]
struct Node<'a> {
    /// Instructions in it and what it called.
    total: u64,
    called: BTreeMap<&'a str, Node<'a>>,
}

/// Draws stacks, whose functions are separated by semicolons, outermost first.
pub(crate) fn draw(title: &str, stacks: &BTreeMap<String, u64>) -> String {
    let mut root = Node::default();
    for (stack, &count) in stacks {
        root.total += count;
        let mut node = &mut root;
        for name in stack.split(';') {
            node = node.called.entry(name).or_default();
            node.total += count;
        }
    }
    let height = HEAD + (depth(&root) + 1) * BOX + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"20\" font-family=\"sans-serif\" font-size=\"16\">{}</text>\n\
         <text x=\"8\" y=\"38\" font-family=\"sans-serif\">{} kernel instructions; \
         width is share, above is called by below</text>\n",
        escape(title),
        root.total
    );
    let canvas = Canvas {
        total: root.total.max(1),
        floor: height - 8,
    };
    canvas.draw(&mut svg, "all", &root, (0, 0));
    svg.push_str("</svg>\n");
    svg
}

/// How many functions the deepest stack has.
fn depth(node: &Node<'_>) -> u64 {
    let below = node.called.values().map(|node| 1 + depth(node));
    below.max().unwrap_or(0)
}

/// Where boxes go.
struct Canvas {
    total: u64,
    floor: u64,
}

impl Canvas {
    /// A position in hundredths of a pixel, printed in pixels.
    fn pixels(hundredths: u64) -> String {
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }

    /// Converts instructions to hundredths of a pixel.
    fn width(&self, count: u64) -> u64 {
        let width = u128::from(count) * u128::from(WIDTH) * 100 / u128::from(self.total);
        u64::try_from(width).unwrap_or(WIDTH * 100)
    }

    /// Draws a box and those on top of it; `start` and `level` say where.
    fn draw(&self, svg: &mut String, name: &str, node: &Node<'_>, (start, level): (u64, u64)) {
        let (x, width) = (self.width(start), self.width(node.total));
        // Narrower than a fifth of a pixel: nobody would see it.
        if width < 20 {
            return;
        }
        let y = self.floor - (level + 1) * BOX;
        let label = escape(name);
        let tenths = u128::from(node.total) * 1000 / u128::from(self.total);
        let _ = writeln!(
            svg,
            "<g><title>{label}: {} instructions, {}.{} %</title>\
             <rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            node.total,
            tenths / 10,
            tenths % 10,
            Self::pixels(x),
            Self::pixels(width.saturating_sub(50).max(20)),
            BOX - 1,
            colour(name)
        );
        let letters = usize::try_from((width.saturating_sub(400)) / LETTER).unwrap_or(0);
        if letters >= 3 {
            let short: String = name.chars().take(letters).collect();
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\">{}</text>",
                Self::pixels(x + 200),
                y + 13,
                escape(&short)
            );
        }
        svg.push_str("</g>\n");
        let mut start = start;
        for (name, called) in &node.called {
            self.draw(svg, name, called, (start, level + 1));
            start += called.total;
        }
    }
}

/// A warm colour that is always the same for a function.
fn colour(name: &str) -> String {
    // FNV-1a.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!(
        "#{:02x}{:02x}{:02x}",
        205 + hash % 50,
        110 + hash / 50 % 110,
        40 + hash / 5500 % 50
    )
}

/// Replaces what SVG would take for itself.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn boxes_are_as_wide_as_their_share() {
        let stacks = sample::attribution().stacks;
        let svg = draw("memory/touch <1>", &stacks);
        assert!(svg.contains("memory/touch &lt;1&gt;"), "{svg}");
        assert!(
            svg.contains("<title>all: 1000 instructions, 100.0 %</title>"),
            "{svg}"
        );
        let title = "<title>clear_page_erms: 700 instructions, 70.0 %</title>";
        let at = svg.find(title).unwrap();
        assert!(
            svg[at..].starts_with(&format!("{title}<rect x=\"0.00\"")),
            "{svg}"
        );
        assert!(svg[at..].contains("width=\"839.50\""), "{svg}");
        assert_eq!(svg.matches("<title>").count(), 4);
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let svg = draw("none", &BTreeMap::new());
        assert!(svg.ends_with("</svg>\n"));
    }
}
