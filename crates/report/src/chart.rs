//! Pictures as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use vtox_diagnosis::{Mark, Picture};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 300;
/// Rows of labels above the plot and their height.
const LABEL_ROWS: usize = 4;
const LABEL_HEIGHT: i32 = 14;
/// Mean width of a letter of a label.
const LETTER_WIDTH: f64 = 6.2;
/// Room at the left of the plot for its scale.
const LEFT: u32 = 62;
const RIGHT: u32 = 16;

const COLOURS: [RGBColor; 3] = [RGBColor(31, 78, 140), RGBColor(203, 96, 21), RGBColor(46, 125, 79)];
const FAINT: RGBColor = RGBColor(176, 184, 194);
const MARK: RGBColor = RGBColor(178, 24, 43);
const INK: RGBColor = RGBColor(60, 66, 74);
const GRID: RGBColor = RGBColor(226, 230, 235);

type Failed = DrawingAreaErrorKind<std::io::Error>;

/// The picture as an `svg` element, or nothing where it has no extent.
pub(crate) fn svg(picture: &Picture) -> String {
    let mut text = String::new();
    let drawn = draw(picture, &mut text);
    match drawn {
        // The namespace is only needed outside of HTML.
        Ok(()) => {
            text.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "").replace("<?xml version=\"1.0\"?>", "")
        }
        Err(_) => String::new(),
    }
}

fn draw(picture: &Picture, text: &mut String) -> Result<(), Failed> {
    let Some((x, y)) = extent(picture) else { return Ok(()) };
    let rows = rows(&picture.marks, x.0, x.1);
    let top = LABEL_HEIGHT as u32 * rows.iter().map(|(row, _)| *row as u32 + 1).max().unwrap_or(0);
    let root = SVGBackend::with_string(text, (WIDTH, HEIGHT + top)).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(top + 8)
        .margin_right(RIGHT)
        .x_label_area_size(38)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
    let style = ("sans-serif", 12, &INK);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(style)
        .axis_desc_style(style)
        .x_desc(picture.x_label.as_str())
        .y_desc(picture.y_label.as_str())
        .x_labels(12)
        .y_labels(7)
        .x_label_formatter(&|v| number(*v, x.1 - x.0))
        .y_label_formatter(&|v| number(*v, y.1 - y.0))
        .draw()?;
    for Mark { at, .. } in &picture.marks {
        chart.draw_series(DashedLineSeries::new(
            [(*at, y.0), (*at, y.1)],
            4,
            3,
            MARK.mix(0.75).stroke_width(1),
        ))?;
    }
    let searched = picture.curves.len() == 2 && picture.marks.len() > 2;
    for (n, curve) in picture.curves.iter().enumerate() {
        // Of the two spectra one is only there for comparison.
        let colour = if searched && n == 0 { FAINT } else { COLOURS[n % COLOURS.len()] };
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), colour.stroke_width(1)))?
            .label(curve.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if picture.curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .label_font(style)
            .draw()?;
    }
    labels(&root, picture, &rows, top)?;
    root.present()
}

/// Ranges of x and y of all curves, with a little room above and below.
fn extent(picture: &Picture) -> Option<((f64, f64), (f64, f64))> {
    let points = || picture.curves.iter().flat_map(|c| &c.points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let x = range(&mut points().map(|p| p.0));
    let (low, high) = range(&mut points().map(|p| p.1));
    let room = 0.05 * (high - low).max(f64::EPSILON * high.abs().max(1.0));
    (x.0 < x.1 && low.is_finite() && high.is_finite()).then_some((x, (low - room, high + room)))
}

fn pixel(at: f64, x: (f64, f64)) -> f64 {
    f64::from(LEFT) + (at - x.0) / (x.1 - x.0) * f64::from(WIDTH - LEFT - RIGHT)
}

/// For each mark the lowest row in which its label does not touch the one before, and the label's middle.
fn rows(marks: &[Mark], low: f64, high: f64) -> Vec<(usize, i32)> {
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|a, b| marks[*a].at.total_cmp(&marks[*b].at));
    let mut ends = [f64::NEG_INFINITY; LABEL_ROWS];
    let mut rows = vec![(0, 0); marks.len()];
    for i in order {
        let middle = pixel(marks[i].at, (low, high));
        let half = 0.5 * LETTER_WIDTH * marks[i].name.chars().count() as f64 + 3.0;
        let row = ends.iter().position(|end| *end <= middle - half).unwrap_or(LABEL_ROWS - 1);
        ends[row] = middle + half;
        rows[i] = (row, middle as i32);
    }
    rows
}

fn labels(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    picture: &Picture,
    rows: &[(usize, i32)],
    top: u32,
) -> Result<(), Failed> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let style = TextStyle::from(("sans-serif", 11).into_font())
        .color(&MARK)
        .pos(Pos::new(HPos::Center, VPos::Bottom));
    for (mark, (row, middle)) in picture.marks.iter().zip(rows) {
        let y = top as i32 + 4 - LABEL_HEIGHT * *row as i32;
        root.draw_text(&mark.name, &style, (*middle, y))?;
    }
    Ok(())
}

/// A number with the digits that a scale of this span needs.
fn number(value: f64, span: f64) -> String {
    let digits = (2.0 - span.max(1e-12).log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
