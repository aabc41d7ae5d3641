// SPDX-License-Identifier: GPL-2.0
//! The picture: what disturbed each program, the three places side by side, as one SVG file.
//!
//! Counts span from none to millions, so bars grow with the logarithm of the count plus one; every bar carries its
//! number, and a bar of none is a line on the axis with a 0 above it.

use anyhow::{anyhow, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::apps::App;
use crate::record::{Place, Record, Run};

/// Size of the picture in pixels.
const SIZE: (u32, u32) = (1120, 760);

/// Height of the title and the legend.
const HEAD: i32 = 76;

/// Distances from the edges of a panel to its axes: left, right, top, bottom.
const MARGINS: (i32, i32, i32, i32) = (54, 12, 34, 28);

/// Share of the width of a group that its bars take.
const FILL: f64 = 0.84;

/// What one panel counts.
type Measure = fn(&Run) -> u64;

/// The panels: title and count.
const PANELS: [(&str, Measure); 4] = [
    (
        "Timer interrupts (ticks) on the CPUs of the place",
        Run::ticks,
    ),
    (
        "Other interrupts on the CPUs of the place",
        Run::other_interrupts,
    ),
    ("Context switches of the program", |run| run.switches),
    ("Page faults of the program", |run| run.faults),
];

/// A part of the picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Colour of a place: one that stands out for the LWK, two quiet ones that differ in lightness for Linux.
const fn colour(place: Place) -> RGBColor {
    match place {
        Place::Linux => RGBColor(0x8a, 0x93, 0x9c),
        Place::Tuned => RGBColor(0x3b, 0x6f, 0xa5),
        Place::Lwk => RGBColor(0xd9, 0x6b, 0x1f),
    }
}

/// Returns how much of the height a count takes, from 0 to 1.
fn share(count: u64, max: u64) -> f64 {
    let log = |count: u64| precise(count.saturating_add(1)).log10();
    if max == 0 {
        0.0
    } else {
        log(count) / log(max)
    }
}

/// Converts a count; the picture needs only the first digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "a bar is a few hundred pixels high"
)]
const fn precise(count: u64) -> f64 {
    // CAST: see above.
    count as f64
}

/// Converts a position to a pixel.
#[expect(
    clippy::cast_possible_truncation,
    reason = "positions are within a picture of about a thousand pixels"
)]
fn pixel(position: f64) -> i32 {
    // CAST: see above.
    position.round() as i32
}

/// Converts a small count to a position.
fn position(count: usize) -> f64 {
    u32::try_from(count).map_or(0.0, f64::from)
}

/// Draws the picture and returns its text.
pub(crate) fn draw(record: &Record, note: &str) -> Result<String> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_head(&head, record, note)?;
    for (area, (title, measure)) in body.split_evenly((2, 2)).iter().zip(PANELS) {
        draw_panel(area, record, title, measure)?;
    }
    root.present().map_err(failed)?;
    drop((head, body, root));
    Ok(svg)
}

/// Drawing into a string fails only if the library does.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// A style for text.
fn style<'a>(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'a> {
    ("sans-serif", size)
        .into_font()
        .color(&RGBColor(0x22, 0x22, 0x22))
        .pos(Pos::new(horizontal, vertical))
}

/// Draws the title, the note and what the colours mean.
fn draw_head(area: &Area<'_>, record: &Record, note: &str) -> Result<()> {
    let text = |text: &str, at, size| {
        area.draw_text(text, &style(size, HPos::Left, VPos::Top), at)
            .map_err(failed)
    };
    text("What disturbs real programs", (16, 10), 22)?;
    text(note, (16, 38), 13)?;
    let mut x = 16;
    for site in &record.sites {
        let label = format!("{} ({})", site.place.label(), site.cpus);
        area.draw(&Rectangle::new(
            [(x, 58), (x + 14, 72)],
            colour(site.place).filled(),
        ))
        .map_err(failed)?;
        text(&label, (x + 20, 58), 14)?;
        x += 44 + pixel(position(label.len()) * 7.6);
    }
    Ok(())
}

/// Draws one panel.
fn draw_panel(area: &Area<'_>, record: &Record, title: &str, measure: Measure) -> Result<()> {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (i32::try_from(width)?, i32::try_from(height)?);
    let (left, right, top, bottom) = MARGINS;
    let (floor, room) = (height - bottom, f64::from(height - bottom - top));
    let max = record.runs.iter().map(measure).max().unwrap_or(0);
    let y = |count| floor - pixel(share(count, max) * room);

    area.draw_text(title, &style(15, HPos::Left, VPos::Top), (left, 2))
        .map_err(failed)?;
    let mut decade = 1_u64;
    while decade <= max {
        let line = PathElement::new(
            [(left, y(decade)), (width - right, y(decade))],
            RGBColor(0xe2, 0xe2, 0xe2),
        );
        area.draw(&line).map_err(failed)?;
        let label = style(11, HPos::Right, VPos::Center);
        area.draw_text(&short(decade), &label, (left - 6, y(decade)))
            .map_err(failed)?;
        decade = decade.saturating_mul(10);
    }
    let programs = record.programs();
    let group = f64::from(width - left - right) / position(programs.len()).max(1.0);
    for (index, &program) in programs.iter().enumerate() {
        let start = f64::from(left) + group * position(index);
        draw_group(area, record, program, measure, (start, group), &y)?;
        let middle = pixel(start + group / 2.0);
        area.draw_text(
            program.name(),
            &style(13, HPos::Center, VPos::Top),
            (middle, floor + 7),
        )
        .map_err(failed)?;
    }
    let axis = PathElement::new([(left, floor), (width - right, floor)], BLACK);
    area.draw(&axis).map_err(failed)
}

/// Draws the bars of one program, with the number above each.
fn draw_group(
    area: &Area<'_>,
    record: &Record,
    program: App,
    measure: Measure,
    (start, group): (f64, f64),
    y: &impl Fn(u64) -> i32,
) -> Result<()> {
    let bar = group * FILL / position(record.sites.len()).max(1.0);
    for (index, site) in record.sites.iter().enumerate() {
        let Some(run) = record.run(program, site.place) else {
            continue;
        };
        let count = measure(run);
        let from = start + group * (1.0 - FILL) / 2.0 + bar * position(index);
        // Two pixels high at least, so that none is seen to be none and not forgotten.
        let corners = [
            (pixel(from), y(count).min(y(0) - 2)),
            (pixel(from + bar) - 2, y(0)),
        ];
        area.draw(&Rectangle::new(corners, colour(site.place).filled()))
            .map_err(failed)?;
        let at = (pixel(from + bar / 2.0) - 1, y(count).min(y(0) - 2) - 2);
        area.draw_text(&short(count), &style(11, HPos::Center, VPos::Bottom), at)
            .map_err(failed)?;
    }
    Ok(())
}

/// Prints a count in at most four characters.
fn short(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=999_499 => format!("{}k", (count + 500) / 1_000),
        999_500..=9_949_999 => format!("{:.1}M", precise(count) / 1e6),
        _ => format!("{}M", (count + 500_000) / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::record as sample;

    #[test]
    fn bars_grow_with_the_logarithm_and_none_is_zero() {
        assert_eq!(share(0, 0), 0.0);
        assert_eq!(share(0, 1000), 0.0);
        assert_eq!(share(1000, 1000), 1.0);
        assert!((share(99, 9999) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        let short = [0, 9_999, 10_000, 999_499, 999_500, 1_250_000, 12_400_000].map(short);
        assert_eq!(short, ["0", "9999", "10k", "999k", "1.0M", "1.2M", "12M"]);
    }

    #[test]
    fn picture_has_every_bar_label_and_place() {
        let record = sample();
        let svg = draw(&record, "emulated").unwrap();
        let bars = svg.matches("<rect").count();
        // The background, the legend, and in each panel a bar for each run.
        assert_eq!(
            bars,
            1 + record.sites.len() + PANELS.len() * record.runs.len()
        );
        for text in [
            "LWK CPUs (5-6)",
            "tuned Linux CPUs (3-4)",
            "emulated",
            "hpcc",
            "\n0\n",
            "\n4210\n",
        ] {
            assert!(svg.contains(text), "{text:?} in {svg}");
        }
    }
}
