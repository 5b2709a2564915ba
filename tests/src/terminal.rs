//! A command in a terminal: a real one, of which the test is the keyboard and the screen.

use crate::engine::{binary, clean};
use crate::until;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// A command that runs in one.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The command's side: as long as it is open, nothing that was written is lost.
    own: File,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs `tallystick` with these arguments and variables in a terminal of so many columns and
    /// rows.
    ///
    /// # Panics
    /// When the system gives no terminal.
    #[must_use]
    pub fn run(args: &[&str], variables: &[(&str, &str)], (columns, rows): (u16, u16)) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a terminal");
        let path = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().unwrap();
        let own = OpenOptions::new().read(true).write(true).open(path).expect("its other side");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&own, size).expect("it has a size");
        let before = tcgetattr(&own).expect("it is a terminal");
        let side = || Stdio::from(own.try_clone().expect("one more"));
        let mut command = clean(&binary("TALLYSTICK_BIN", "tallystick"));
        command.args(args).env("TERM", "xterm-256color").envs(variables.iter().copied());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("it runs");
        let size = |of: u16| NonZeroU16::new(of).expect("there is room");
        let screen = vt100::Parser::new(size(rows), size(columns), 0);
        let screen = Arc::new(Mutex::new(screen));
        let keyboard = File::from(keyboard);
        let (mut written, shown) = (keyboard.try_clone().expect("one more"), screen.clone());
        std::thread::spawn(move || {
            let mut some = [0; 4_096];
            // It ends with an error, when nobody has the other side open.
            while let Ok(length @ 1..) = written.read(&mut some) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&some[..length]);
            }
        });
        Self { child, keyboard, own, before, screen }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When nobody reads them any more.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("somebody reads them");
    }

    /// What is seen now.
    #[must_use]
    pub fn shown(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Waits until this is seen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        until(&format!("the terminal shows {text:?}"), || {
            self.shown().contains(text).then_some(())
        });
    }

    /// Waits until this is not seen any more.
    #[track_caller]
    pub fn hides(&self, text: &str) {
        until(&format!("the terminal hides {text:?}"), || {
            (!self.shown().contains(text)).then_some(())
        });
    }

    /// Whether anything that is seen has a colour.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, columns) = screen.screen().size();
        let cell = |row: u16, column: u16| screen.screen().cell(row, column);
        let of = |cell: &vt100::Cell| (cell.fgcolor(), cell.bgcolor());
        let plain = (vt100::Color::Default, vt100::Color::Default);
        (0..rows.get()).any(|row| {
            (0..columns.get()).any(|column| cell(row, column).is_some_and(|cell| of(cell) != plain))
        })
    }

    /// The command's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the command ends: how it did, and what is seen then. The terminal is as it was
    /// before.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = until("the command ends", || self.child.try_wait().expect("it is ours"));
        // What it wrote last is read on a thread.
        let restored = || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let screen = screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        };
        until("the screen is the one of before, with a cursor", restored);
        let after = tcgetattr(&self.own).expect("it is a terminal");
        let modes = |of: &Termios| (of.input_modes, of.output_modes, of.local_modes);
        assert_eq!(modes(&after), modes(&self.before), "how keys are read");
        (status, self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is ours, and nobody watches it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
