//! `top`: what the engine does right now, in a terminal: the figures of the console's page *Now*,
//! from the same source. Owns how the engine is followed when it goes away, and which key does
//! what.

mod figures;
mod screen;
mod state;
mod view;

use super::client::Session;
use super::output::Output;
use super::{CliError, Target};
use clap::Args;
use screen::{Press, Screen};
use state::{Link, Top};
use std::io::IsTerminal as _;
use std::time::Duration;
use tallystick_proto::v1::{Now, WatchNowRequest};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tonic::{Code, Streaming};

/// Shown with `tallystick top --help`.
pub const HELP: &str = "\
Examples:
  tallystick top
  tallystick top --once
  tallystick top --json | jq .ack_p99_us

Keys: q ends it, p pauses and goes on, ? shows this, down and up what there is no room for. When the
engine goes away, it is looked for until it is back. --once prints what is there now, as text, and
ends; --json a line a second. NO_COLOR is kept to.";

/// Figures in one call: then it is made anew.
const FIGURES: u32 = 3_600;
/// Until it is looked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// Without figures for so long, nobody answers.
const SILENT: Duration = Duration::from_secs(5);
/// Until a call is made, of several addresses: their owner is looked for for 20 s.
const SOUGHT: Duration = Duration::from_secs(25);

/// `tallystick top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print what is there now, once, as text
    #[arg(long)]
    once: bool,
    /// Without colours, as with NO_COLOR in the environment
    #[arg(long)]
    no_color: bool,
    /// Figures in one call: then it is made anew
    #[arg(long, hide = true, default_value_t = FIGURES,
        value_parser = clap::value_parser!(u32).range(2..))]
    per_call: u32,
}

/// A call that tells figures.
struct Call {
    session: Session,
    figures: Streaming<Now>,
    /// How many are still to come: then it ends, and nothing is wrong.
    left: u32,
    /// Of several addresses: where the engine that owns the journal says that it is.
    owner: Option<String>,
}

/// What comes of following the engine.
enum Told {
    Figures(Box<Now>),
    /// Whose figures come next, of several addresses.
    Owner(Option<String>),
    /// It does not answer: why.
    Away(String),
    /// It will not answer.
    Refused(CliError),
}

/// Runs `tallystick top`.
///
/// # Errors
/// When no engine answers at first, the call is refused, or the terminal fails.
pub async fn run(target: &Target, args: &TopArgs) -> Result<(), CliError> {
    // Whoever may not watch, or has typed a wrong address, is told so before the screen is taken.
    let mut call = Call::begin(target, if args.once { 1 } else { args.per_call }).await?;
    let first = call.next().await?.ok_or_else(stops)?;
    if target.json {
        return lines(target, args, call, *first).await;
    }
    let mut top = Top::new(&target.server);
    top.owner.clone_from(&call.owner);
    top.told(*first);
    if args.once {
        let mut out = Output::new(false);
        out.text(&view::text(&top, screen::width()))?;
        return out.finish();
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let why = "this terminal (TERM=dumb) has no screen to draw on: use --once, or --json for a \
                   line a second";
        return Err(CliError::Input(why.to_owned()));
    }
    if !std::io::stdout().is_terminal() {
        let why = "standard output is no terminal: use --once, or --json for a line a second";
        return Err(CliError::Input(why.to_owned()));
    }
    let (says, told) = mpsc::channel(1);
    tokio::spawn(follow(target.clone(), args.per_call, call, says));
    let colours = !args.no_color && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let mut ends = Ends::listen()?;
    let mut screen = Screen::open(colours).map_err(CliError::Output)?;
    let done = show(&mut screen, &mut top, told, &mut ends).await;
    // The terminal is itself again before anything is said of how it ended.
    drop(screen);
    done
}

/// Shows what is told until somebody ends it.
async fn show(
    screen: &mut Screen,
    top: &mut Top,
    mut told: mpsc::Receiver<Told>,
    ends: &mut Ends,
) -> Result<(), CliError> {
    let mut keys = screen::keys();
    let mut stop = listen(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
    loop {
        screen.draw(top).map_err(CliError::Output)?;
        tokio::select! {
            told = told.recv() => match told {
                Some(Told::Figures(figures)) => top.told(*figures),
                Some(Told::Owner(owner)) => top.owner = owner,
                Some(Told::Away(why)) => top.link = Link::Away(why),
                Some(Told::Refused(error)) => return Err(error),
                None => return Ok(()),
            },
            key = keys.recv() => match key {
                Some(Ok(Press::Quit)) | None => return Ok(()),
                Some(Ok(Press::Pause)) => top.pause(),
                Some(Ok(Press::Help)) => top.help = !top.help,
                // As far as there are lines: who draws knows.
                Some(Ok(Press::Down)) => top.down = top.down.saturating_add(1),
                Some(Ok(Press::Up)) => top.down = top.down.saturating_sub(1),
                Some(Ok(Press::Other)) => top.help = false,
                Some(Ok(Press::Redraw)) => screen.clear().map_err(CliError::Output)?,
                Some(Ok(Press::Stop)) => screen.stop().map_err(CliError::Output)?,
                Some(Ok(Press::Resized)) => {}
                Some(Err(error)) => return Err(CliError::Output(error)),
            },
            () = ends.come() => return Ok(()),
            _ = stop.recv() => screen.stop().map_err(CliError::Output)?,
        }
    }
}

/// A line of JSON a second.
async fn lines(target: &Target, args: &TopArgs, call: Call, first: Now) -> Result<(), CliError> {
    let mut out = Output::new(true);
    let mut print = |figures: Now| {
        out.record(&figures::record(figures), &Default::default())?;
        out.finish()
    };
    print(first)?;
    if args.once {
        return Ok(());
    }
    let (says, mut told) = mpsc::channel(1);
    tokio::spawn(follow(target.clone(), args.per_call, call, says));
    loop {
        match told.recv().await {
            Some(Told::Figures(figures)) => print(*figures)?,
            Some(Told::Owner(_)) => {}
            Some(Told::Away(why)) => super::note(&format!("note: {why}; it is looked for again")),
            Some(Told::Refused(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

impl Call {
    /// Makes it, before it is too long.
    async fn begin(target: &Target, count: u32) -> Result<Self, CliError> {
        let within = if target.server.contains(',') { SOUGHT } else { SILENT };
        let late = |_| {
            CliError::Failed(format!(
                "{} takes connections and does not answer within {} s",
                target.server,
                within.as_secs()
            ))
        };
        tokio::time::timeout(within, Self::make(target, count)).await.map_err(late)?
    }

    async fn make(target: &Target, count: u32) -> Result<Self, CliError> {
        let session = Session::connect(target).await?;
        let owner = match target.server.contains(',') {
            true => Some(session.network().await?.owner).filter(|owner| !owner.is_empty()),
            false => None,
        };
        let answer = session.operator().watch_now(WatchNowRequest { count }).await;
        let figures = answer.map_err(|status| session.failed(status))?.into_inner();
        Ok(Self { session, figures, left: count, owner })
    }

    /// The next figures, before it is too long; none when it has told all that it was asked for.
    async fn next(&mut self) -> Result<Option<Box<Now>>, CliError> {
        match tokio::time::timeout(SILENT, self.figures.message()).await {
            Ok(Ok(Some(now))) => {
                self.left = self.left.saturating_sub(1);
                Ok(Some(Box::new(now)))
            }
            Ok(Ok(None)) => match self.left {
                0 => Ok(None),
                _ => Err(stops()),
            },
            Ok(Err(status)) => Err(self.session.failed(status)),
            Err(_) => Err(CliError::Failed("the engine tells nothing any more".to_owned())),
        }
    }

    /// Tells its figures until there are no more: why, unless that was to be.
    /// What the call before told last is not told again.
    async fn hear(mut self, last: &mut i64, says: &mpsc::Sender<Told>) -> Result<(), CliError> {
        // Whoever listens no more is found out at the first figures.
        let _ = says.send(Told::Owner(self.owner.take())).await;
        while let Some(now) = self.next().await? {
            if std::mem::replace(last, now.at_us) == now.at_us {
                continue;
            }
            if says.send(Told::Figures(now)).await.is_err() {
                return Err(CliError::Failed("nobody looks any more".to_owned()));
            }
        }
        Ok(())
    }
}

fn stops() -> CliError {
    CliError::Failed("the engine stops".to_owned())
}

/// Tells what goes on, as long as somebody listens, and looks for an engine that has gone.
async fn follow(target: Target, count: u32, call: Call, says: mpsc::Sender<Told>) {
    let (mut at_work, mut last) = (Some(call), 0);
    loop {
        let heard = match at_work.take() {
            Some(call) => call.hear(&mut last, &says).await,
            None => Call::begin(&target, count).await.map(|call| at_work = Some(call)),
        };
        // Of a call that has told all a new one is made at once.
        let Err(error) = heard else { continue };
        if is_refusal(&error) {
            let _ = says.send(Told::Refused(error)).await;
            return;
        }
        if says.send(Told::Away(error.to_string())).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether asking again is of no use.
fn is_refusal(error: &CliError) -> bool {
    use Code::{InvalidArgument, PermissionDenied, Unauthenticated, Unimplemented};
    let codes = [InvalidArgument, PermissionDenied, Unauthenticated, Unimplemented];
    matches!(error, CliError::Call { status, .. } if codes.contains(&status.code()))
}

fn listen(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|why| CliError::Failed(format!("signals: {why}")))
}

/// Signals by which others end it: the terminal is given back then, too.
struct Ends([Signal; 3]);

impl Ends {
    fn listen() -> Result<Self, CliError> {
        let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        let [terminate, hangup, interrupt] = kinds.map(listen);
        Ok(Self([terminate?, hangup?, interrupt?]))
    }

    async fn come(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
