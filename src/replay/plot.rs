//! Scores as a picture: for each scenario what each policy lost, side by side, on a logarithmic axis.

mod png;
mod svg;

use super::score::Score;

/// A scenario with the scores of its policies.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The scenario.
    pub name: String,
    /// Names of policies and what they scored, in the same order in every column.
    pub scores: Vec<(&'static str, Score)>,
}

/// What a picture is made of. Lengths are points, from the upper left corner.
trait Canvas {
    /// A filled rectangle: left, top, width, height.
    fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), colour: Colour);
    /// A filled circle around a point.
    fn dot(&mut self, at: (f64, f64), radius: f64, colour: Colour);
    /// A line of text whose middle is there. It is ASCII.
    fn text(&mut self, at: (f64, f64), text: &str, colour: Colour);
}

/// Red, green and blue.
type Colour = [u8; 3];

const WHITE: Colour = [255, 255, 255];
const BAND: Colour = [244, 244, 244];
const GRID: Colour = [205, 205, 205];
const INK: Colour = [40, 40, 40];
/// Colours that people who see few of them tell apart. Source: Okabe and Ito 2002.
const PALETTE: [Colour; 7] = [
    [213, 94, 0],
    [230, 159, 0],
    [204, 121, 167],
    [0, 114, 178],
    [86, 180, 233],
    [0, 158, 115],
    [110, 110, 110],
];

const TITLE: &str = "lost of what an oracle earns, mean and standard error";

/// Width of a character of the pictures' texts.
const CHARACTER: f64 = 8.0;
/// Room around the axes: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 70.0, 20.0, 40.0);
/// Height between the axes.
const HEIGHT: f64 = 400.0;
/// Between the dots of a scenario, and between scenarios.
const STEP: f64 = 11.0;
const GAP: f64 = 16.0;
/// Losses that the axis spans, as powers of ten. Smaller ones stand at its end.
const DECADES: (i32, i32) = (-5, -1);
const RADIUS: f64 = 4.0;

/// The picture as SVG.
pub fn svg(columns: &[Column]) -> String {
    let (width, height) = size(columns);
    let mut canvas = svg::Svg::new(width, height);
    draw(columns, &mut canvas);
    canvas.finish()
}

/// The picture as PNG, two pixels a point.
pub fn png(columns: &[Column]) -> Vec<u8> {
    let (width, height) = size(columns);
    let mut canvas = png::Bitmap::new(width, height);
    draw(columns, &mut canvas);
    canvas.finish()
}

fn column_width(columns: &[Column]) -> f64 {
    let policies = columns.iter().map(|column| column.scores.len()).max().unwrap_or(0);
    (policies as f64 * STEP + GAP).max(6.0 * CHARACTER)
}

fn size(columns: &[Column]) -> (f64, f64) {
    let names: f64 = names(columns).iter().map(|name| legend_width(name)).sum();
    let title = TITLE.len() as f64 * CHARACTER;
    let width = (column_width(columns) * columns.len() as f64).max(names).max(title);
    (MARGIN.0 + width + MARGIN.2, MARGIN.1 + HEIGHT + MARGIN.3)
}

fn names(columns: &[Column]) -> Vec<&'static str> {
    columns.first().map_or(Vec::new(), |column| column.scores.iter().map(|(name, _)| *name).collect())
}

fn legend_width(name: &str) -> f64 {
    (name.len() + 4) as f64 * CHARACTER
}

/// Where a loss stands.
fn height_of(loss: f64) -> f64 {
    let (least, most) = (f64::from(DECADES.0), f64::from(DECADES.1));
    let power = if loss > 0.0 { loss.log10().clamp(least, most) } else { least };
    MARGIN.1 + (most - power) / (most - least) * HEIGHT
}

fn draw(columns: &[Column], canvas: &mut dyn Canvas) {
    let (width, height) = size(columns);
    canvas.rectangle((0.0, 0.0), (width, height), WHITE);
    // Few columns share the room that the title and the names of the policies need.
    let each = (width - MARGIN.0 - MARGIN.2) / columns.len().max(1) as f64;
    for at in (0..columns.len()).step_by(2) {
        canvas.rectangle((MARGIN.0 + at as f64 * each, MARGIN.1), (each, HEIGHT), BAND);
    }
    for power in DECADES.0..=DECADES.1 {
        let y = height_of(10_f64.powi(power));
        canvas.rectangle((MARGIN.0, y - 0.5), (width - MARGIN.0 - MARGIN.2, 1.0), GRID);
        let percent = 10_f64.powi(power + 2);
        let sign = if power == DECADES.0 { "<" } else { "" };
        canvas.text((MARGIN.0 / 2.0, y), &format!("{sign}{percent}%"), INK);
    }
    canvas.text((MARGIN.0 + TITLE.len() as f64 * CHARACTER / 2.0, 16.0), TITLE, INK);
    let mut x = MARGIN.0;
    for (at, name) in names(columns).iter().enumerate() {
        canvas.dot((x + CHARACTER, 42.0), RADIUS, colour(at));
        canvas.text((x + (name.len() as f64 / 2.0 + 2.5) * CHARACTER, 42.0), name, INK);
        x += legend_width(name);
    }
    for (at, column) in columns.iter().enumerate() {
        let middle = MARGIN.0 + (at as f64 + 0.5) * each;
        canvas.text((middle, MARGIN.1 + HEIGHT + 18.0), &column.name, INK);
        let first = middle - (column.scores.len() as f64 - 1.0) / 2.0 * STEP;
        for (place, (_, score)) in column.scores.iter().enumerate() {
            mark((first + place as f64 * STEP, score), colour(place), canvas);
        }
    }
}

/// A mean with its standard error on both sides.
fn mark((x, score): (f64, &Score), colour: Colour, canvas: &mut dyn Canvas) {
    let efficiency = score.efficiency();
    let loss = 1.0 - efficiency.mean;
    let (top, bottom) = (height_of(loss + efficiency.error), height_of(loss - efficiency.error));
    canvas.rectangle((x - 0.75, top), (1.5, bottom - top), colour);
    canvas.dot((x, height_of(loss)), RADIUS, colour);
}

fn colour(at: usize) -> Colour {
    PALETTE[at % PALETTE.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::score::Sample;

    fn columns() -> Vec<Column> {
        let score = |efficiencies: &[f64]| Score {
            samples: efficiencies.iter().map(|e| Sample { efficiency: *e, ..Sample::oracle() }).collect(),
        };
        let scores = vec![("first_come", score(&[0.99, 0.98])), ("math", score(&[1.0, 1.0]))];
        vec![
            Column { name: "S5".to_owned(), scores: scores.clone() },
            Column { name: "S<6>".to_owned(), scores },
        ]
    }

    #[test]
    fn a_greater_loss_stands_higher_and_none_stands_at_the_end() {
        assert!(height_of(0.05) < height_of(0.01) && height_of(0.01) < height_of(1e-4));
        assert_eq!(height_of(0.0), MARGIN.1 + HEIGHT);
        assert_eq!(height_of(-1e-3), height_of(1e-9));
    }

    #[test]
    fn all_text_is_within_the_picture_however_few_columns_there_are() {
        struct Extent(f64, f64);
        impl Canvas for Extent {
            fn rectangle(&mut self, _: (f64, f64), _: (f64, f64), _: Colour) {}
            fn dot(&mut self, _: (f64, f64), _: f64, _: Colour) {}
            fn text(&mut self, (x, _): (f64, f64), text: &str, _: Colour) {
                let half = text.len() as f64 * CHARACTER / 2.0;
                (self.0, self.1) = (self.0.min(x - half), self.1.max(x + half));
            }
        }
        for count in 0..=2 {
            let columns = &columns()[..count];
            let mut extent = Extent(f64::INFINITY, 0.0);
            draw(columns, &mut extent);
            assert!(extent.0 >= 0.0 && extent.1 <= size(columns).0, "{count}: {} to {}", extent.0, extent.1);
        }
    }

    #[test]
    fn the_svg_has_every_policy_and_scenario_and_no_bare_bracket() {
        let svg = svg(&columns());
        for text in [">S5<", ">S&lt;6&gt;<", ">first_come<", ">math<"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 2 + 2 * 2);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_png_has_the_size_of_the_svg_twice_and_the_colours_of_its_policies() {
        let (width, height) = size(&columns());
        let bytes = png(&columns());
        let (info, pixels) = png::decoded(&bytes);
        assert_eq!(info, ((2.0 * width) as u32, (2.0 * height) as u32));
        for colour in &PALETTE[..2] {
            assert!(pixels.chunks(3).filter(|pixel| pixel == colour).count() > 100, "{colour:?}");
        }
    }
}
