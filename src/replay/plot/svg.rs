//! A picture as SVG.

use std::fmt::Write as _;

use super::{CHARACTER, Canvas, Colour};

/// Text that grows with what is drawn.
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        // Most monospaced letters are six tenths as wide as high.
        let font = CHARACTER / 0.6;
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"{font:.1}\" \
             text-anchor=\"middle\" dominant-baseline=\"central\">\n"
        ))
    }

    pub(super) fn finish(self) -> String {
        self.0 + "</svg>\n"
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("a string takes everything");
    }
}

impl Canvas for Svg {
    fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: Colour) {
        let fill = rgb(colour);
        self.push(format_args!(
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"/>"
        ));
    }

    fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour) {
        let fill = rgb(colour);
        self.push(format_args!("<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{radius}\" fill=\"{fill}\"/>"));
    }

    fn text(&mut self, (x, y): (f64, f64), text: &str, colour: Colour) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.push(format_args!("<text x=\"{x:.2}\" y=\"{y:.2}\" fill=\"{}\">{text}</text>", rgb(colour)));
    }
}

fn rgb([red, green, blue]: Colour) -> String {
    format!("rgb({red},{green},{blue})")
}
