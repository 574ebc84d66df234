//! The charts of a drill, as SVG.

use std::{fmt::Write, time::Duration};

use super::{
    Run,
    report::{Report, Row},
};
use crate::events::millis;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
/// Left of the plot, above it, and below.
const LEFT: f64 = 48.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 24.0;

/// How much time each point stands for.
const BIN: Duration = Duration::from_secs(1);

const STYLE: &str = "\
    text { font: 12px system-ui, sans-serif; fill: #333 }\n\
    path.grid { stroke: #8886; stroke-width: 1 } .band { fill: #8882 }\n\
    path { fill: none; stroke-width: 2.5 }\n\
    .with { stroke: #0a62c4 } .without { stroke: #b84200; stroke-dasharray: 6 4 }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #ddd } .with { stroke: #6db3ff } .without { stroke: #ff9d5c }\n\
    }\n";

/// Returns the names and texts of all charts.
pub(super) fn all(report: &Report) -> [(&'static str, String); 2] {
    let goodput = |row: Row| row.goodput;
    let p99 = |row: Row| millis(row.p99);
    [
        ("goodput.svg", chart(report, "Goodput, answers a second", goodput)),
        ("latency.svg", chart(report, "p99 of what was not refused, ms", p99)),
    ]
}

fn chart(report: &Report, title: &str, value: fn(Row) -> f64) -> String {
    let lines = [("with", &report.guarded), ("without", &report.bare)]
        .map(|(name, run)| (name, points(report, run, value)));
    let most = lines.iter().flat_map(|(_, points)| points).fold(1.0, |a: f64, b| a.max(*b));
    let seconds: f64 = report.phases.iter().map(|phase| phase.lasts.as_secs_f64()).sum();
    let x = |second: f64| LEFT + (WIDTH - LEFT) * second / seconds;
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{title}, with the guard and without</title>\n<style>\n{STYLE}</style>\n\
         <text x=\"{LEFT}\" y=\"14\">{title}: with the guard (solid), without (dashed)</text>\n"
    );
    let mut began = 0.0;
    for (at, phase) in report.phases.iter().enumerate() {
        let (left, ends) = (x(began), began + phase.lasts.as_secs_f64());
        if at % 2 == 1 {
            let (width, height) = (x(ends) - left, HEIGHT - BOTTOM - TOP);
            let _ = writeln!(
                svg,
                "<rect class=\"band\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height}\"/>"
            );
        }
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"38\">{}</text>", left + 4.0, phase.name);
        began = ends;
    }
    for share in [0.0, 0.5, 1.0] {
        let (height, label) = (y(share * most), share * most);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {height:.1}H{WIDTH}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label:.0}</text>",
            LEFT - 6.0,
            height + 4.0
        );
    }
    for (name, points) in &lines {
        let mut path = String::new();
        for (at, value) in points.iter().enumerate() {
            let step = if at == 0 { 'M' } else { 'L' };
            let middle = (at as f64 + 0.5) * BIN.as_secs_f64();
            let _ = write!(path, "{step}{:.1} {:.1}", x(middle), y(*value));
        }
        let _ = writeln!(svg, "<path class=\"{name}\" d=\"{path}\"/>");
    }
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">0 s</text>", HEIGHT - 6.0);
    let _ = writeln!(
        svg,
        "<text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{seconds:.0} s</text>\n</svg>",
        HEIGHT - 6.0
    );
    svg
}

/// Returns a value for each bin of a run.
fn points(report: &Report, run: &Run, value: fn(Row) -> f64) -> Vec<f64> {
    let lasts: Duration = report.phases.iter().map(|phase| phase.lasts).sum();
    let bins = usize::try_from(lasts.as_secs() / BIN.as_secs()).unwrap_or_default();
    let bin_of = |at: std::time::Instant| (at - run.began).as_secs() / BIN.as_secs();
    (0..bins)
        .map(|bin| {
            value(Row::of(run.sent.iter().filter(|sent| bin_of(sent.at) == bin as u64), BIN))
        })
        .collect()
}
