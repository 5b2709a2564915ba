//! The terminal: taken for as long as somebody looks, and given back however that ends.

use super::state::Top;
use super::view;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
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
    let letter = match key.code {
        KeyCode::Char(letter) => letter,
        KeyCode::Down | KeyCode::PageDown => return Press::Down,
        KeyCode::Up | KeyCode::PageUp => return Press::Up,
        _ => return Press::Other,
    };
    match letter {
        // Without echo Ctrl C is a key like others.
        'c' | 'd' if key.modifiers.contains(KeyModifiers::CONTROL) => Press::Quit,
        'q' | 'Q' => Press::Quit,
        'p' | 'P' | ' ' => Press::Pause,
        '?' | 'h' | 'H' => Press::Help,
        _ => Press::Other,
    }
}
