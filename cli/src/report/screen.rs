//! A report that is followed, on the whole screen of a terminal.

use super::page::{aim, verdict};
use super::print::LogReports;
use pages::Tile;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, SparklineBar};
use ratatui::{DefaultTerminal, Frame};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};

/// Maximum time of a wait for a key. The thread ends after it if the screen is gone.
const KEY_PAUSE: Duration = Duration::from_millis(100);
/// Keys that wait to be read.
const MAX_WAITING: usize = 16;
/// Minimum width of a tile in columns.
const TILE_WIDTH: u16 = 27;
/// Height of a tile in lines, with its sparkline and without.
const TILE_HEIGHT: u16 = 6;
const LOW_TILE_HEIGHT: u16 = 4;
/// Height of a sparkline with the largest value.
const FULL: u32 = 1_000;

/// The screen, until it is dropped.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    events: Receiver<Event>,
    selected: usize,
    note: Option<String>,
}

/// Reaction to a key or to a new size.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Quit,
    /// The screen has to be drawn again.
    Draw,
}

impl Screen {
    /// Takes over the terminal.
    pub(super) fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (sender, events) = channel(MAX_WAITING);
        let read = move || {
            while !sender.is_closed() {
                let event = event::poll(KEY_PAUSE).and_then(|is_there| is_there.then(event::read).transpose());
                // without keys, a signal ends the command
                let Ok(event) = event else { return };
                if event.is_some_and(|event| sender.blocking_send(event).is_err()) {
                    return;
                }
            }
        };
        let screen = Self { terminal, events, selected: 0, note: None };
        std::thread::Builder::new().spawn(read)?;
        Ok(screen)
    }

    /// Waits for a key or a new size of the terminal that matters.
    pub(super) async fn input(&mut self) -> Input {
        loop {
            let Some(event) = self.events.recv().await else { std::future::pending().await };
            if let Some(input) = reaction(&event, &mut self.selected) {
                return input;
            }
        }
    }

    /// Shows `note` in the last line from now on.
    pub(super) fn note(&mut self, note: String) {
        self.note = Some(note);
    }

    /// Draws one of `reports`.
    pub(super) fn draw(&mut self, reports: &LogReports<'_>) -> io::Result<()> {
        let Self { terminal, selected, note, .. } = self;
        terminal.draw(|frame| draw(frame, reports, *selected, note.as_deref())).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Returns the reaction to `event`, which may select another function.
fn reaction(event: &Event, selected: &mut usize) -> Option<Input> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return matches!(event, Event::Resize(..)).then_some(Input::Draw);
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Input::Quit),
        // in raw mode it is a key instead of a signal
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Input::Quit),
        KeyCode::Right | KeyCode::Tab => {
            *selected = selected.wrapping_add(1);
            Some(Input::Draw)
        }
        KeyCode::Left | KeyCode::BackTab => {
            *selected = selected.wrapping_sub(1);
            Some(Input::Draw)
        }
        _ => None,
    }
}

/// Draws the report of one function: title, verdict, tiles, and the keys.
fn draw(frame: &mut Frame<'_>, reports: &LogReports<'_>, selected: usize, note: Option<&str>) {
    let [title, judged, body, last] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    let count = reports.functions.len();
    let index = selected.checked_rem(count).unwrap_or_default();
    let Some((name, report)) = reports.functions.get(index) else {
        frame.render_widget(Paragraph::new("waiting for the first line of metrics"), title);
        frame.render_widget(keys(1, 0, note), last);
        return;
    };
    let (first_ms, last_ms) = report.history.all.period_ms();
    let name = if name.is_empty() { "avro-ingest" } else { name };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let period = format!("  {} to {} UTC", pages::utc(first_ms), pages::utc(last_ms));
    frame.render_widget(Line::from(vec![Span::styled(name, bold), Span::styled(period, dim())]), title);
    let verdict = verdict(&report.indicators);
    frame.render_widget(Span::styled(verdict.sentence, of(verdict.met).add_modifier(Modifier::BOLD)), judged);
    frame.render_widget(keys(count, index, note), last);

    let columns = (body.width / TILE_WIDTH).max(1);
    let points = u64::from((body.width / columns).saturating_sub(2).max(1));
    let tiles = report.tiles(&report.history.stretches(points).0);
    let rows = u16::try_from(tiles.len()).unwrap_or(u16::MAX).div_ceil(columns);
    match [TILE_HEIGHT, LOW_TILE_HEIGHT].into_iter().find(|height| rows.saturating_mul(*height) <= body.height) {
        Some(height) => grid(frame, body, columns, height, &tiles),
        None => {
            let lines: Vec<Line<'_>> = report
                .indicators
                .iter()
                .zip(&tiles)
                .map(|(indicator, tile)| {
                    let value = super::page::with_unit(indicator.value, indicator.unit);
                    let mut line =
                        vec![Span::raw(format!("{}: ", tile.name)), Span::styled(value, bold), Span::raw(" ")];
                    line.extend(state(tile.met, aim(indicator)).spans);
                    Line::from(line)
                })
                .collect();
            frame.render_widget(Paragraph::new(lines), body);
        }
    }
}

fn grid(frame: &mut Frame<'_>, body: Rect, columns: u16, height: u16, tiles: &[Tile]) {
    let width = usize::from(columns);
    let lines = body.rows().step_by(usize::from(height));
    for (row, line) in tiles.chunks(width).zip(lines) {
        let line = Rect { height, ..line };
        let places = Layout::horizontal(vec![Constraint::Fill(1); width]).split(line);
        for (tile, place) in row.iter().zip(places.iter()) {
            draw_tile(frame, *place, tile);
        }
    }
}

fn draw_tile(frame: &mut Frame<'_>, place: Rect, tile: &Tile) {
    let border = if tile.met == Some(false) { of(tile.met) } else { dim() };
    let block = Block::bordered().border_style(border).title(Span::raw(tile.name.as_str()));
    let inside = block.inner(place);
    frame.render_widget(block, place);
    let [value, judged, course] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(inside);
    let (figure, unit) = &tile.value;
    let figure = Span::styled(figure.as_str(), Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Line::from(vec![figure, Span::raw(" "), Span::styled(unit.as_str(), dim())]), value);
    frame.render_widget(state(tile.met, tile.target.clone()), judged);
    let most = tile.over_time.iter().copied().flatten().fold(0.0, f64::max);
    if most > 0.0 && course.height > 0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and FULL")]
        let bar = |value: f64| (value / most * f64::from(FULL)) as u64;
        let width = usize::from(course.width);
        let points = (0..width).map(|column| tile.over_time.get(column * tile.over_time.len() / width.max(1)));
        let bars: Vec<SparklineBar> =
            points.map(|value| SparklineBar::from(value.copied().flatten().map(bar))).collect();
        let style = Style::new().fg(Color::Blue);
        frame.render_widget(Sparkline::default().data(bars).max(u64::from(FULL)).style(style), course);
    }
}

/// Returns a verdict in colour and in words, and the target.
fn state(met: Option<bool>, target: Option<String>) -> Line<'static> {
    let words = match met {
        Some(true) => "✓ met ",
        Some(false) => "✗ missed ",
        None => "",
    };
    Line::from(vec![Span::styled(words, of(met)), Span::styled(target.unwrap_or_default(), dim())])
}

fn keys(count: usize, index: usize, note: Option<&str>) -> Line<'static> {
    let mut line = vec![Span::styled("q: quit", dim())];
    if count > 1 {
        line.push(Span::styled(format!("   left, right: function {} of {count}", index + 1), dim()));
    }
    line.extend(note.map(|note| Span::styled(format!("   {note}"), Style::new().fg(Color::Yellow))));
    Line::from(line)
}

fn of(met: Option<bool>) -> Style {
    match met {
        Some(true) => Style::new().fg(Color::Green),
        Some(false) => Style::new().fg(Color::Red),
        None => Style::new(),
    }
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

#[cfg(test)]
mod tests {
    use super::super::indicators::Targets;
    use super::super::totals::Histories;
    use super::*;
    use crate::prices::Prices;
    use crate::report::formats::LogReader;
    use avro_ingest::metrics::{Invocation, Metrics};
    use avro_ingest::outcome::Ledger;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    /// A minute of each function, by its name and its end-to-end latency in milliseconds.
    fn histories(functions: &[(&str, u64)]) -> Histories {
        let mut histories = Histories::default();
        for (name, latency_ms) in functions {
            for second in 0..60 {
                let latencies = |part: u64| [latency_ms / part].map(Duration::from_millis).into_iter().collect();
                let lines = Metrics::new("AvroIngest", name).lines(&Invocation {
                    at: Duration::from_secs(1_700_000_000 + second),
                    ledger: Ledger { received: 1_000, stored: 1_000, ..Ledger::default() },
                    handler_time: Duration::from_millis(10),
                    delivery_latency: latencies(2),
                    end_to_end_latency: latencies(1),
                    ..Invocation::default()
                });
                for line in String::from_utf8(lines).unwrap().lines() {
                    histories.add(&LogReader::default().line(line));
                }
            }
        }
        histories
    }

    /// The screen as text, a line each.
    fn screen(histories: &Histories, (width, height): (u16, u16), selected: usize, note: Option<&str>) -> String {
        let prices = Prices::new().unwrap();
        let reports = LogReports::new(histories, Targets::default(), 512, true, &prices);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &reports, selected, note)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content().chunks(usize::from(width));
        lines.map(|cells| cells.iter().map(Cell::symbol).collect::<String>().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_screen_has_the_verdict_and_a_tile_with_a_sparkline_for_each_indicator() {
        let shown = screen(&histories(&[("orders", 130)]), (120, 30), 0, None);
        for text in [
            "orders  2023-11-14 22:13:20 to 2023-11-14 22:14:19 UTC",
            "2 of 7 targets are missed.",
            "End-to-end P95",
            "130 ms",
            "✗ missed at most 100 ms",
            "✓ met at least 99.9 %",
            "Cost of a million messages",
            "q: quit",
            // as wide as its tile
            "███████████████████████",
        ] {
            assert!(shown.contains(text), "{text}\n{shown}");
        }
        assert!(!shown.contains("function 1"), "{shown}");
    }

    #[test]
    fn every_size_of_a_terminal_shows_what_fits() {
        let histories = histories(&[("orders", 130)]);
        for (width, height) in [(1, 1), (10, 3), (20, 50), (40, 12), (80, 24), (81, 25), (300, 100)] {
            let shown = screen(&histories, (width, height), 0, None);
            assert_eq!(shown.lines().count(), usize::from(height));
        }
        // as tiles without sparklines, and as lines
        let low = screen(&histories, (80, 20), 0, None);
        assert!(low.contains("✗ missed at most 100 ms") && !low.contains('█'), "{low}");
        let lines = screen(&histories, (60, 14), 0, None);
        assert!(lines.contains("End-to-end P95: 130 ms ✗ missed at most 100 ms"), "{lines}");
    }

    #[test]
    fn the_functions_of_a_log_are_shown_one_after_the_other() {
        let histories = histories(&[("orders", 40), ("payments", 400)]);
        let (first, second) = (screen(&histories, (100, 30), 0, None), screen(&histories, (100, 30), 1, None));
        assert!(
            first.starts_with("orders")
                && first.contains("All 7 targets are met.")
                && first.contains("function 1 of 2"),
            "{first}"
        );
        assert!(second.starts_with("payments") && second.contains("function 2 of 2"), "{second}");
        assert!(screen(&histories, (100, 30), 2, None).starts_with("orders"));
    }

    #[test]
    fn a_screen_without_data_says_so_and_a_note_stands_below() {
        let shown = screen(&Histories::default(), (60, 5), 0, Some("log group: throttled"));
        assert!(
            shown.starts_with("waiting for the first line of metrics\n")
                && shown.contains("q: quit   log group: throttled"),
            "{shown}"
        );
    }

    #[test]
    fn q_escape_and_control_c_quit_and_arrows_select() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        let mut selected = 0;
        for (event, expected) in [
            (key(KeyCode::Char('q'), none), Some(Input::Quit)),
            (key(KeyCode::Esc, none), Some(Input::Quit)),
            (key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Quit)),
            (key(KeyCode::Char('c'), none), None),
            (key(KeyCode::Right, none), Some(Input::Draw)),
            (Event::Resize(10, 10), Some(Input::Draw)),
        ] {
            assert_eq!(reaction(&event, &mut selected), expected, "{event:?}");
        }
        assert_eq!(selected, 1);
    }
}
