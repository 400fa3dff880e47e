//! Plots as SVG: both axes logarithmic, a line for each server, readable on light and on dark.

use std::fmt::Write as _;

use crate::figures::Figure;
use crate::page::{Samples, sensible};

/// The picture, and the part of it inside the axes, in pixels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 344.0;

/// Of medium lightness, so that they stand out from white and from black; the first is Rowcast's. After Okabe and Ito,
/// whom people who see fewer colours can tell apart.
const COLOURS: [&str; 6] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8c8c8c", "#b8860b"];

/// A plot of one quantity over what grows.
pub struct Plot<'a> {
    /// The name of its file.
    pub file: &'static str,
    pub title: &'static str,
    /// What grows, and what is measured, with their units.
    x: &'static str,
    y: String,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    server: &'a str,
    /// Both greater than 0, in the order of the first.
    points: Vec<(f64, f64)>,
}

/// The plots of the scenario `growth`, without those that would be empty.
pub fn of_growth(figures: &[Figure]) -> Vec<Plot<'_>> {
    let plots = [
        (
            "rooms.svg",
            "10,000 subscribers in more and more rooms, 10,000 deliveries/s",
            "rooms",
            "rooms ",
            "CPU per delivery",
        ),
        (
            "subscribers.svg",
            "More and more subscribers of one room, 50,000 deliveries/s",
            "subscribers",
            "subscribers ",
            "CPU per delivery",
        ),
        (
            "memory.svg",
            "Memory, while rows arrive",
            "subscribers",
            "subscribers ",
            "user space per subscriber",
        ),
        (
            "rows.svg",
            "Longer and longer rows, 1,000 subscribers, 25,000 deliveries/s",
            "size of a row in bytes",
            "row size ",
            "CPU per delivery",
        ),
    ];
    plots
        .into_iter()
        .filter_map(|(file, title, x, load, what)| {
            let of_it =
                |one: &&Figure| one.scenario == "growth" && one.what == what && one.load.starts_with(load);
            let first = figures.iter().find(of_it)?;
            let mut plot = Plot {
                file,
                title,
                x,
                y: format!("{what} in {}", first.unit),
                lines: Vec::new(),
            };
            for figure in figures.iter().filter(of_it) {
                plot.add(figure, load);
            }
            plot.lines.retain(|line| line.points.len() > 1);
            (!plot.lines.is_empty()).then_some(plot)
        })
        .collect()
}

impl<'a> Plot<'a> {
    /// One more point: the number after `load` in the figure's load, and the median.
    fn add(&mut self, figure: &'a Figure, load: &str) {
        let x: f64 = figure
            .load
            .strip_prefix(load)
            .and_then(|number| number.parse().ok())
            .unwrap_or(0.0);
        let y = Samples::of(&figure.values).median();
        // Neither has a logarithm.
        if x <= 0.0 || y <= 0.0 || y.is_nan() {
            return;
        }
        let known = self.lines.iter().position(|line| line.server == figure.server);
        let place = known.unwrap_or_else(|| {
            self.lines.push(Line {
                server: &figure.server,
                points: Vec::new(),
            });
            self.lines.len() - 1
        });
        let points = &mut self.lines[place].points;
        points.push((x, y));
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let across = Axis::of(points().map(|(x, _)| *x), LEFT, RIGHT);
        let up = Axis::of(points().map(|(_, y)| *y), BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             role=\"img\" aria-label=\"{}\">\n{STYLE}",
            self.title
        );
        let middle = f64::midpoint(LEFT, RIGHT);
        text(&mut svg, (middle, 22.0), "middle", "title", self.title);
        text(&mut svg, (middle, BOTTOM + 42.0), "middle", "", self.x);
        text(&mut svg, (LEFT - 58.0, TOP - 12.0), "start", "", &self.y);
        for value in across.ticks() {
            let x = across.place(value);
            line(&mut svg, (x, TOP), (x, BOTTOM));
            text(&mut svg, (x, BOTTOM + 20.0), "middle", "", &brief(value));
        }
        for value in up.ticks() {
            let y = up.place(value);
            line(&mut svg, (LEFT, y), (RIGHT, y));
            text(&mut svg, (LEFT - 8.0, y + 4.0), "end", "", &brief(value));
        }
        for (nth, one) in self.lines.iter().enumerate() {
            let colour = COLOURS[nth % COLOURS.len()];
            let places: Vec<(f64, f64)> = one
                .points
                .iter()
                .map(|(x, y)| (across.place(*x), up.place(*y)))
                .collect();
            curve(&mut svg, &places, colour);
            let y = TOP + 12.0 + 22.0 * nth as f64;
            curve(&mut svg, &[(RIGHT + 18.0, y), (RIGHT + 42.0, y)], colour);
            text(&mut svg, (RIGHT + 52.0, y + 4.0), "start", "", one.server);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

const STYLE: &str = "<style>\n\
    text { font: 12px system-ui, sans-serif; fill: #444 }\n\
    .title { font-size: 14px; font-weight: 600 }\n\
    .grid { stroke: #8884; stroke-width: 1 }\n\
    @media (prefers-color-scheme: dark) { text { fill: #bbb } }\n\
    </style>\n";

/// A logarithmic scale from the least to the greatest of its values, and its place in the picture.
struct Axis {
    /// Logarithms to the base of 10.
    least: f64,
    greatest: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// It begins and ends at a whole tick: of 1, 2 and 5 times a power of ten.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, greatest) = values.fold((f64::INFINITY, 0.0_f64), |(least, greatest), value| {
            (least.min(value), greatest.max(value))
        });
        let ticks: Vec<f64> = all_ticks().collect();
        let below = ticks.iter().rev().find(|tick| **tick <= least * 1.001);
        let above = ticks.iter().find(|tick| **tick >= greatest * 0.999);
        let (below, above) = (
            below.copied().unwrap_or(least),
            above.copied().unwrap_or(greatest),
        );
        Self {
            least: below.log10(),
            greatest: above.log10().max(below.log10() + 0.1),
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - self.least) / (self.greatest - self.least);
        self.from + part * (self.to - self.from)
    }

    /// All ticks where there is room for them, else the powers of ten.
    fn ticks(&self) -> Vec<f64> {
        let fits = |tick: &f64| (self.least - 1e-6..=self.greatest + 1e-6).contains(&tick.log10());
        let all: Vec<f64> = all_ticks().filter(fits).collect();
        match all.len() > 9 {
            true => all
                .into_iter()
                .filter(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-6)
                .collect(),
            false => all,
        }
    }
}

fn all_ticks() -> impl Iterator<Item = f64> {
    (-6..10).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
}

/// `0.5`, not `0.500`.
fn brief(value: f64) -> String {
    if value >= 1.0 {
        sensible(value)
            .trim_end_matches(".00")
            .trim_end_matches(".0")
            .to_owned()
    } else {
        format!("{value}")
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" class=\"{class}\">{words}</text>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"grid\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn curve(svg: &mut String, places: &[(f64, f64)], colour: &str) {
    let all: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        all.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        );
    }
}
