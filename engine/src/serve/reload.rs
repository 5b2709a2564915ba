//! What of the settings a running engine takes anew on SIGHUP: who operates by the configuration,
//! what is logged, and the token of the metrics. All of them, or none. Everything else waits for
//! the next start, and is named.

use super::ServeError;
use super::bootstrap::set_eyes;
use super::http::token;
use crate::api::{Access, Edge, Front, Operators};
use crate::config::{Config, ServeArgs};
use crate::settle::Engine;
use tokio::runtime::Handle;

/// How the settings are read again.
pub struct Renewal {
    /// The arguments of the start: what they and the environment said then, goes on.
    pub args: ServeArgs,
    /// Changes what is logged.
    pub log: Box<dyn Fn(&str) + Send>,
}

/// Takes settings anew.
pub(super) struct Reload {
    renewal: Renewal,
    /// The settings in force.
    config: Config,
    operators: Operators,
    access: Access,
    engine: Engine,
}

impl Reload {
    /// For an engine at work under these settings.
    pub fn new(
        renewal: Renewal,
        config: &Config,
        (edge, access): (&Edge, &Access),
        engine: Engine,
    ) -> Self {
        let (operators, access) = (edge.operators.clone(), access.clone());
        Self { renewal, config: config.clone(), operators, access, engine }
    }

    /// Reads them again.
    pub fn settings(&mut self, front: Option<&Front>) {
        if self.renewal.args.config.is_none() {
            tracing::info!("SIGHUP: there is no configuration file that could be read anew");
            return;
        }
        let new = match Config::load(&self.renewal.args) {
            Ok(new) => new,
            Err(why) => return refused(&why.to_string()),
        };
        if let Err(why) = self.take(new, front) {
            refused(&why);
        }
    }

    fn take(&mut self, new: Config, front: Option<&Front>) -> Result<(), String> {
        if let Some(name) = new.operators.keys().find(|name| self.access.is_identity(name)) {
            return Err(ServeError::NameTwice { name: name.clone() }.to_string());
        }
        let leaves_nobody = new.operators.is_empty() && !self.config.operators.is_empty();
        if leaves_nobody && !self.access.has_operator() {
            return Err("no operator would be left: [operators] has none, and no identity with role \
                        operator is in force; add one first (`tallystick access add --role operator`)"
                .to_owned());
        }
        let token = new.metrics_token_file.as_deref().map(token).transpose();
        let token = token.map_err(|error| error.to_string())?;
        if new.operators != self.config.operators {
            // Who counts where two must agree is in the journal before anybody is let in.
            let counts = Config { operators: new.operators.clone(), ..self.config.clone() };
            let told = Handle::current().block_on(set_eyes(&self.engine, &counts));
            told.map_err(|why| ServeError::EyesNotSet(why).to_string())?;
            // Nothing is refused from here on.
            self.operators.set(new.operators.clone());
            let operators = new.operators.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
            tracing::warn!(operators, "SIGHUP: who operates by the configuration was changed");
        }
        if let Some(front) = front {
            front.set_token(token.as_deref());
        }
        if new.log != self.config.log {
            (self.renewal.log)(&new.log);
        }
        self.config.operators = new.operators.clone();
        self.config.metrics_token_file = new.metrics_token_file.clone();
        self.config.log = new.log.clone();
        tracing::info!("SIGHUP: the settings were read anew");
        let waiting = self.config.changed(&new);
        if !waiting.is_empty() {
            let settings = waiting.join(" ");
            tracing::warn!(settings, "these were changed too, and count from the next start on");
        }
        Ok(())
    }
}

fn refused(why: &str) {
    tracing::error!("SIGHUP: the settings stay as they were: {why}");
}
