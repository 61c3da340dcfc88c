//! `bench flame`: the samples of `perf script` as a flame graph. Widths are samples, callers stand below what they call.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::io::{self, BufRead};

const WIDTH: f64 = 1_600.0;
const ROW: f64 = 18.0;
/// Width of a letter.
const LETTER: f64 = 6.6;
/// Frames narrower than this are left out.
const NARROWEST: f64 = 0.6;

/// A function and those it called.
#[derive(Debug, Default)]
struct Frame {
    samples: usize,
    calls: BTreeMap<String, Frame>,
}

impl Frame {
    /// Counts a stack, the outermost function first.
    fn add<'s>(&mut self, stack: impl Iterator<Item = &'s str>) {
        self.samples += 1;
        let mut frame = self;
        for name in stack {
            frame = frame.calls.entry(name.to_owned()).or_default();
            frame.samples += 1;
        }
    }

    fn depth(&self, total: usize) -> usize {
        let visible = self.calls.values().filter(|frame| width(frame.samples, total) >= NARROWEST);
        1 + visible.map(|frame| frame.depth(total)).max().unwrap_or_default()
    }
}

fn width(samples: usize, total: usize) -> f64 {
    WIDTH * samples as f64 / total as f64
}

/// Reads `perf script -F comm,ip,sym` on standard input and writes the page on standard output.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let root = read(io::stdin().lock().lines())?;
    if root.samples == 0 {
        return Err("no samples: is the input that of perf script -F comm,ip,sym?".into());
    }
    println!("{}", page(&root));
    Ok(())
}

/// A sample is a line of its own and a line for each frame, innermost first, with an empty line behind. Frames without a name
/// are where unwinding lost its way: they are left out.
fn read(lines: impl Iterator<Item = io::Result<String>>) -> io::Result<Frame> {
    let mut root = Frame::default();
    let mut stack = Vec::new();
    for line in lines.chain([Ok(String::new())]) {
        let line = line?;
        if line.trim().is_empty() {
            if !stack.is_empty() {
                root.add(stack.iter().rev().map(String::as_str));
            }
            stack.clear();
        } else if line.starts_with(char::is_whitespace)
            && let Some((_, name)) = line.trim().split_once(' ')
            && name != "[unknown]"
        {
            stack.push(name.trim_end_matches(" (inlined)").to_owned());
        }
    }
    Ok(root)
}

fn page(root: &Frame) -> String {
    let height = ROW * root.depth(root.samples) as f64;
    let mut svg = String::new();
    draw("all", root, (0.0, height - ROW), root.samples, &mut svg);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n{svg}</svg>"
    )
}

fn draw(name: &str, frame: &Frame, (x, y): (f64, f64), total: usize, svg: &mut String) {
    let width = width(frame.samples, total);
    if width < NARROWEST {
        return;
    }
    let name_in_xml = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let percent = 100.0 * frame.samples as f64 / total as f64;
    let _ = write!(
        svg,
        r#"<g><title>{name_in_xml}, {percent:.2} %</title><rect x="{x:.2}" y="{y}" width="{width:.2}" height="{}" fill="{}"/>"#,
        ROW - 1.0,
        colour(name)
    );
    if let Some(text) = shortened(name, width) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(svg, r#"<text x="{:.2}" y="{}">{text}</text>"#, x + 2.0, y + ROW - 6.0);
    }
    svg.push_str("</g>\n");
    let mut x = x;
    for (name, call) in &frame.calls {
        draw(name, call, (x, y - ROW), total, svg);
        x += self::width(call.samples, total);
    }
}

/// As much of a name as `width` has room for.
fn shortened(name: &str, width: f64) -> Option<String> {
    let letters = (0_usize..).take_while(|count| (*count as f64 + 1.0) * LETTER < width).take(name.len()).count();
    (letters > 2).then(|| name.chars().take(letters).collect())
}

/// Where a function is from.
fn colour(name: &str) -> &'static str {
    const HOUSES: [(&str, &str); 6] = [
        ("avro_ingest", "#7db8f5"),
        ("aws_", "#f5b87d"),
        ("hyper", "#c9a6f0"),
        ("lambda_runtime", "#9bd6a8"),
        ("tokio", "#d9d38a"),
        ("serde_json", "#8fd0d8"),
    ];
    HOUSES.iter().find(|(part, _)| name.contains(part)).map_or("#d5d9e0", |(_, colour)| colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "worker\n\t7f inner<T>\n\t7e outer\n\t7d [unknown]\n\nworker\n\t7e outer\n\n";

    fn graph() -> Frame {
        read(SCRIPT.lines().map(|line| Ok(line.to_owned()))).unwrap()
    }

    #[test]
    fn stacks_are_merged_from_the_outermost_function() {
        let graph = graph();
        assert_eq!((graph.samples, graph.calls["outer"].samples), (2, 2));
        assert_eq!(graph.calls["outer"].calls["inner<T>"].samples, 1);
        assert_eq!(graph.depth(2), 3);
    }

    #[test]
    fn names_are_escaped_and_wide_frames_carry_theirs() {
        let page = page(&graph());
        assert!(page.contains("inner&lt;T&gt;") && !page.contains("inner<T>"));
        assert!(page.contains("50.00 %"));
    }
}
