//! The terminal: taken for as long as somebody looks, and given back however that ends.

use super::state::Top;
use super::view;
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use rustix::process::{Signal, getpid, kill_process};
use std::io;
use tokio::sync::mpsc;

/// Columns where nobody says how many there are.
const COLUMNS: u16 = 80;

/// What somebody has pressed.
pub(super) enum Press {
    Quit,
    Pause,
    Help,
    Down,
    Up,
    Other,
    /// Everything is to be drawn anew.
    Redraw,
    /// It is to stop, until it is told to go on.
    Stop,
    /// Nobody: the terminal has another size.
    Resized,
}

/// The terminal, in another screen and without echo. Dropped, and at a panic, it is as it was.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    colours: bool,
}

impl Screen {
    /// Takes it.
    pub fn open(colours: bool) -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()?, colours })
    }

    /// The next time all of it is drawn, whatever others have written there.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.backend_mut().clear()?;
        // Not its own `clear`: that asks the terminal where the cursor is, and waits for an answer
        // that goes to whoever reads keys.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Gives the terminal back and stops, as Ctrl Z does; goes on when somebody says so, and takes
    /// it again.
    pub fn stop(&mut self) -> io::Result<()> {
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        kill_process(getpid(), Signal::STOP)?;
        self.terminal = ratatui::try_init()?;
        self.clear()
    }

    /// Draws what there is to see.
    pub fn draw(&mut self, top: &mut Top) -> io::Result<()> {
        let colours = self.colours;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            view::draw(top, area, frame.buffer_mut(), colours);
        });
        drawn.map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// How wide what is printed may be.
pub(super) fn width() -> u16 {
    let wanted = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let known = || ratatui::crossterm::terminal::size().ok().map(|(columns, _)| columns);
    wanted.or_else(known).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// What is pressed from now on. The thread that waits for it ends with the program.
pub(super) fn keys() -> mpsc::Receiver<io::Result<Press>> {
    let (says, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        loop {
            let press = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Ok(press(key)),
                Ok(Event::Resize(..)) => Ok(Press::Resized),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            let is_last = press.is_err();
            if says.blocking_send(press).is_err() || is_last {
                return;
            }
        }
    });
    keys
}

fn press(key: KeyEvent) -> Press {
    // Without echo these are keys like others.
    let is_with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let KeyCode::Char(letter) = key.code else {
        let is_one_of = |codes: [KeyCode; 2]| codes.contains(&key.code);
        return match () {
            () if is_one_of([KeyCode::Down, KeyCode::PageDown]) => Press::Down,
            () if is_one_of([KeyCode::Up, KeyCode::PageUp]) => Press::Up,
            () => Press::Other,
        };
    };
    match (is_with_control, letter.to_ascii_lowercase()) {
        (true, 'c' | 'd') | (false, 'q') => Press::Quit,
        (true, 'l') => Press::Redraw,
        (true, 'z') => Press::Stop,
        (false, 'p' | ' ') => Press::Pause,
        (false, '?' | 'h') => Press::Help,
        (true | false, _) => Press::Other,
    }
}
