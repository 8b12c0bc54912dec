//! Charts of reports: a series in, an SVG document out.
//!
//! Invariants: pure; the document is well-formed whatever the labels are, has no element but shapes and texts, no style,
//! script, link or reference; all that a guest wrote is shown as `text` makes it visible, then escaped.

use std::fmt::Write as _;

use crate::records::{Series, SeriesKind};
use crate::text;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 780.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 290.0;
/// Labels below the axis, evenly chosen.
const LABELS_MAX: usize = 12;
const LABEL_CHARS_MAX: usize = 18;
const TITLE_CHARS_MAX: usize = 90;
/// Lines across.
const LINES: u32 = 4;

/// Draws a series.
pub fn svg(series: &Series) -> String {
    let scale = Scale::of(&series.values);
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n"
    );
    let title = if series.unit.is_empty() { series.name.clone() } else { format!("{} ({})", series.name, series.unit) };
    add(&mut drawn, format_args!("<title>{}</title>", escaped(&title, usize::MAX)));
    add(&mut drawn, format_args!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"));
    let shown = escaped(&title, TITLE_CHARS_MAX);
    add(&mut drawn, format_args!("<text x=\"{LEFT}\" y=\"26\" font-size=\"15\">{shown}</text>"));
    axis(&mut drawn, &scale);
    match series.kind {
        SeriesKind::Bar => bars(&mut drawn, &series.values, &scale),
        SeriesKind::Line => line(&mut drawn, &series.values, &scale),
    }
    labels(&mut drawn, &series.labels);
    drawn.push_str("</svg>\n");
    drawn
}

/// From values to places: zero is always on it, and no sum overflows.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(0.0, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        // The difference of the two may be beyond what a double holds.
        let span = high / 2.0 - low / 2.0;
        if span > 0.0 { Self { low, high } } else { Self { low: 0.0, high: 1.0 } }
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        BOTTOM - part.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    fn at(&self, part: f64) -> f64 {
        self.low * (1.0 - part) + self.high * part
    }
}

fn axis(drawn: &mut String, scale: &Scale) {
    for number in 0..=LINES {
        let value = scale.at(f64::from(number) / f64::from(LINES));
        let y = scale.y(value);
        add(
            drawn,
            format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value)
            ),
        );
    }
    let zero = scale.y(0.0);
    add(drawn, format_args!("<line x1=\"{LEFT}\" y1=\"{zero:.1}\" x2=\"{RIGHT}\" y2=\"{zero:.1}\" stroke=\"#222\"/>"));
}

/// The middle of a place among so many.
fn middle(place: usize, places: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    let part = (place as f64 + 0.5) / places.max(1) as f64;
    LEFT + part * (RIGHT - LEFT)
}

fn bars(drawn: &mut String, values: &[f64], scale: &Scale) {
    let wide = (middle(1, values.len()) - middle(0, values.len())) * 0.8;
    let zero = scale.y(0.0);
    for (place, value) in values.iter().enumerate() {
        let (x, y) = (middle(place, values.len()) - wide / 2.0, scale.y(*value));
        let (top, tall) = (y.min(zero), (y - zero).abs());
        add(
            drawn,
            format_args!(
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"#3366aa\"/>"
            ),
        );
    }
}

fn line(drawn: &mut String, values: &[f64], scale: &Scale) {
    let point = |(place, value): (usize, &f64)| (middle(place, values.len()), scale.y(*value));
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(point).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    add(
        drawn,
        format_args!("<polyline points=\"{}\" fill=\"none\" stroke=\"#3366aa\" stroke-width=\"2\"/>", path.join(" ")),
    );
    for (x, y) in points {
        add(drawn, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"#3366aa\"/>"));
    }
}

fn labels(drawn: &mut String, labels: &[String]) {
    let every = labels.len().div_ceil(LABELS_MAX).max(1);
    for (place, label) in labels.iter().enumerate().step_by(every) {
        let x = middle(place, labels.len());
        let y = BOTTOM + 14.0;
        let shown = escaped(label, LABEL_CHARS_MAX);
        add(
            drawn,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-30 {x:.1} {y:.1})\">{shown}</text>"
            ),
        );
    }
}

fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(0.001..1e9).contains(&size) {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The beginning of a guest's text: nothing hidden, nothing that XML reads.
fn escaped(words: &str, chars_max: usize) -> String {
    let visible = text::visible(words);
    let mut escaped = String::with_capacity(visible.len() + 16);
    for (place, character) in visible.chars().enumerate() {
        if place == chars_max {
            escaped.push('…');
            break;
        }
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // No characters of XML 1.0.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn add(drawn: &mut String, shape: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    drawn.write_fmt(shape).unwrap_or_default();
    drawn.push('\n');
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;

    fn series(kind: SeriesKind, labels: &[&str], values: &[f64]) -> Series {
        Series {
            name: "n".to_owned(),
            unit: "u".to_owned(),
            kind,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            values: values.to_vec(),
        }
    }

    /// Names of all elements and attributes; panics where it is not well-formed.
    fn parsed(svg: &str) -> Vec<String> {
        let mut reader = Reader::from_str(svg);
        reader.config_mut().check_end_names = true;
        let mut names = Vec::new();
        let mut open = 0_i32;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    open += 1;
                    names.push(tag.name().as_ref().to_owned());
                    for attribute in tag.attributes() {
                        names.push(format!("@{}", attribute.unwrap().key.as_ref()));
                    }
                }
                Event::Empty(tag) => {
                    names.push(tag.name().as_ref().to_owned());
                    for attribute in tag.attributes() {
                        names.push(format!("@{}", attribute.unwrap().key.as_ref()));
                    }
                }
                Event::End(_) => open -= 1,
                Event::Eof => break,
                Event::Text(_) | Event::GeneralRef(_) => {}
                other => panic!("nobody wrote {other:?}"),
            }
        }
        assert_eq!(open, 0);
        names
    }

    #[test]
    fn hostile_labels_are_text() {
        let hostile = [
            "</text><script>alert(1)</script>",
            "\" onload=\"alert(1)",
            "<![CDATA[x]]>",
            "<!-- x -->",
            "&lt;&#x3c;&unknown;",
            "\0\u{202e}\u{1b}[31m\u{ffff}",
            "]]>",
        ];
        for kind in [SeriesKind::Bar, SeriesKind::Line] {
            let mut hostile_series = series(kind, &hostile, &[1.0; 7]);
            hostile_series.name = hostile.concat();
            hostile_series.unit = "<a href=\"javascript:alert(1)\">".to_owned();
            let drawn = svg(&hostile_series);
            for name in parsed(&drawn) {
                let known = ["svg", "title", "rect", "text", "line", "polyline", "circle"].contains(&name.as_str());
                let harmless = name.starts_with('@') && !name.starts_with("@on") && !name.contains("href");
                assert!(known || harmless, "{name}");
            }
            assert!(drawn.contains("&lt;U+202E&gt;") && !drawn.contains('\u{202e}') && !drawn.contains('\0'));
        }
    }

    #[test]
    fn every_place_is_a_number_inside() {
        for values in [vec![], vec![0.0], vec![-1.0, 2.0], vec![f64::MAX, f64::MIN], vec![1e-320, 0.0], vec![5.0; 1000]]
        {
            let labels: Vec<&str> = values.iter().map(|_| "x").collect();
            for kind in [SeriesKind::Bar, SeriesKind::Line] {
                let drawn = svg(&series(kind, &labels, &values));
                parsed(&drawn);
                assert!(!drawn.contains("NaN") && !drawn.contains("inf\""), "{values:?} {drawn}");
            }
        }
    }

    #[test]
    fn the_tallest_bar_is_the_largest_value() {
        let drawn = svg(&series(SeriesKind::Bar, &["a", "b"], &[1.0, 2.0]));
        assert!(drawn.contains("height=\"120.0\"") && drawn.contains("height=\"240.0\""), "{drawn}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, shown) in [(0.0, "0"), (1.5, "1.5"), (1234.0, "1234"), (1e12, "1.00e12"), (1e-5, "1.00e-5")] {
            assert_eq!(short(value), shown);
        }
    }
}
