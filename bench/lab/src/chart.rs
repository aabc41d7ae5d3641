// SPDX-License-Identifier: GPL-2.0
//! The pictures: for each benchmark of a suite a bar for each place, so that the baseline is in every picture.
//!
//! Counts span from none to millions, so bars grow with the logarithm of the count plus one; every bar carries its
//! number, and a bar of none is a line on the axis with a 0 beside it.

use anyhow::{anyhow, Result};
use bench_record::results::{Figures, Kind, Row};
use bench_record::Place;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::tables::{each, group, has_several, name, ByPlace};

/// Width of the picture in pixels.
const WIDTH: u32 = 1120;

/// Height of the title and the legend.
const HEAD: i32 = 92;

/// Room for the names of benchmarks.
const NAMES: i32 = 300;

/// Room for the numbers behind the longest bars.
const NUMBERS: i32 = 110;

/// Height of a bar and of the room between benchmarks.
const BAR: i32 = 13;
const GAP: i32 = 9;

/// A figure that a picture shows.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    /// For the name of the file.
    pub(crate) name: &'static str,
    /// For the title.
    title: &'static str,
    /// The count and what it is to be divided by.
    of: fn(&Figures) -> Option<(u64, u64)>,
}

/// The pictures of counts.
const COUNTED: &[Shown] = &[
    Shown {
        name: "kernel",
        title: "kernel instructions for each operation on the CPUs of the place",
        of: |figures| Some((figures.kernel, figures.iterations)),
    },
    Shown {
        name: "entries",
        title: "kernel entries for each operation on the CPUs of the place",
        of: |figures| Some((figures.entries, figures.iterations)),
    },
];

/// The picture of times.
const TIMED: &[Shown] = &[Shown {
    name: "median",
    title: "median time of an operation in nanoseconds",
    of: |figures| Some((figures.times?.median_ns, 1)),
}];

/// What is shown of a kind of results.
pub(crate) const fn shown(kind: Kind) -> &'static [Shown] {
    match kind {
        Kind::Counted => COUNTED,
        Kind::Timed => TIMED,
    }
}

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

/// Drawing into a string fails only if the library does.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// A style for text.
fn style<'a>(size: i32, horizontal: HPos) -> TextStyle<'a> {
    ("sans-serif", size)
        .into_font()
        .color(&RGBColor(0x22, 0x22, 0x22))
        .pos(Pos::new(horizontal, VPos::Center))
}

/// Draws one figure of a suite and returns the picture's text; nothing if no row has it.
pub(crate) fn draw(rows: &[Row], suite: &str, shown: Shown, note: &str) -> Result<Option<String>> {
    let mut groups = group(rows, suite);
    let several = has_several(&groups);
    groups.retain(|_, places| places.values().any(|row| value(row, shown).is_some()));
    if groups.is_empty() {
        return Ok(None);
    }
    let bars = i32::try_from(Place::ALL.len())?;
    let step = bars * BAR + GAP;
    let height = HEAD + step * i32::try_from(groups.len())? + GAP;
    let values = groups.values().flat_map(|places| places.values());
    let most = values
        .filter_map(|row| value(row, shown))
        .fold(0.0, f64::max);
    let scale = Scale {
        most,
        room: i32::try_from(WIDTH)? - NAMES - NUMBERS,
    };

    let mut svg = String::new();
    let area =
        SVGBackend::with_string(&mut svg, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    draw_head(&area, suite, shown, note)?;
    for (index, ((machine, key), places)) in groups.iter().enumerate() {
        let top = HEAD + step * i32::try_from(index)?;
        let label = name(machine, key, several);
        area.draw_text(
            &label,
            &style(13, HPos::Right),
            (NAMES - 10, top + bars * BAR / 2),
        )
        .map_err(failed)?;
        draw_group(&area, places, shown, scale, top)?;
    }
    let axis = [(NAMES, HEAD - GAP / 2), (NAMES, height - GAP / 2)];
    area.draw(&PathElement::new(axis, BLACK)).map_err(failed)?;
    area.present().map_err(failed)?;
    drop(area);
    Ok(Some(svg))
}

/// The figure of a row.
fn value(row: &Row, shown: Shown) -> Option<f64> {
    let (count, by) = (shown.of)(row.figures.as_ref().ok()?)?;
    Some(precise(count) / precise(by.max(1)))
}

/// Converts a count; the picture needs only the first digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "a bar is a few hundred pixels long"
)]
const fn precise(count: u64) -> f64 {
    // CAST: see above.
    count as f64
}

/// How figures become lengths.
#[derive(Clone, Copy)]
struct Scale {
    most: f64,
    room: i32,
}

impl Scale {
    /// Length of a bar in pixels.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the width of the picture"
    )]
    fn length(self, value: f64) -> i32 {
        if self.most <= 0.0 {
            return 0;
        }
        let share = value.ln_1p() / self.most.ln_1p();
        // CAST: see above.
        (share * f64::from(self.room)).round() as i32
    }
}

/// Draws the title, the note and what the colours mean.
fn draw_head(area: &Area<'_>, suite: &str, shown: Shown, note: &str) -> Result<()> {
    let text = |text: &str, at, size| {
        area.draw_text(text, &style(size, HPos::Left), at)
            .map_err(failed)
    };
    text(&format!("{suite}: {}", shown.title), (16, 22), 19)?;
    text(note, (16, 46), 12)?;
    let mut x = 16;
    for place in Place::ALL {
        let corners = [(x, 62), (x + 14, 76)];
        area.draw(&Rectangle::new(corners, colour(place).filled()))
            .map_err(failed)?;
        text(place.label(), (x + 20, 69), 14)?;
        x += 50 + 8 * i32::try_from(place.label().len())?;
    }
    Ok(())
}

/// Draws the bars of one benchmark, with the number behind each.
fn draw_group(
    area: &Area<'_>,
    places: &ByPlace<'_>,
    shown: Shown,
    scale: Scale,
    top: i32,
) -> Result<()> {
    let tops = (0..).map(|index| top + index * BAR);
    for (place, top) in Place::ALL.into_iter().zip(tops) {
        let Some(row) = places.get(&place) else {
            continue;
        };
        let number = match row.figures.as_ref().ok().and_then(shown.of) {
            Some((count, by)) => each(count, by),
            None => "no figure".to_owned(),
        };
        let length = value(row, shown).map_or(0, |value| scale.length(value));
        // Two pixels at least, so that none is seen to be none and not forgotten.
        let corners = [(NAMES, top), (NAMES + length.max(2), top + BAR - 2)];
        area.draw(&Rectangle::new(corners, colour(place).filled()))
            .map_err(failed)?;
        let at = (NAMES + length.max(2) + 6, top + BAR / 2);
        area.draw_text(&number, &style(11, HPos::Left), at)
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn picture_has_every_bar_label_and_place() {
        let rows = sample::results().rows;
        let svg = draw(&rows, "noise", COUNTED[0], "counted")
            .unwrap()
            .unwrap();
        // The background, the legend and a bar for each place.
        assert_eq!(svg.matches("<rect").count(), 1 + 3 + 3, "{svg}");
        for text in [
            "fork-storm",
            "tuned Linux CPUs",
            "\n8000\n",
            "\n0\n",
            "counted",
        ] {
            assert!(svg.contains(text), "{text:?} in {svg}");
        }
    }

    #[test]
    fn no_figure_is_no_picture() {
        let rows = sample::results().rows;
        assert!(draw(&rows, "noise", TIMED[0], "").unwrap().is_none());
        assert!(draw(&rows, "unknown", COUNTED[0], "").unwrap().is_none());
    }

    #[test]
    fn bars_grow_with_the_logarithm() {
        let scale = Scale {
            most: 9999.0,
            room: 400,
        };
        assert_eq!(
            (scale.length(0.0), scale.length(99.0), scale.length(9999.0)),
            (0, 200, 400)
        );
        assert_eq!(
            Scale {
                most: 0.0,
                room: 400
            }
            .length(0.0),
            0
        );
    }
}
