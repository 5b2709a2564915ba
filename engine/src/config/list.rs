//! From one list of settings everything that is said of each: what a source gives, what is in
//! force, and the ways between the two.

/// A setting's form in a flag or in the file, and its value in force.
pub trait Setting: Sized {
    /// What the engine works with.
    type Value;
    /// The value that this form gives.
    fn value(self) -> Self::Value;
    /// The form that gives this value.
    fn of(value: &Self::Value) -> Self;
}

/// Settings whose form is their value.
macro_rules! plain_settings {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            type Value = Self;
            fn value(self) -> Self {
                self
            }
            fn of(value: &Self) -> Self {
                value.clone()
            }
        }
    )*};
}
pub(super) use plain_settings;

/// Makes `Settings` and `Config` of one list. An entry is a setting's documentation (which is its
/// help, too), its flag, its name and its form; behind `=` its default, without which it may be
/// absent.
macro_rules! settings {
    (
        ($cores:ident)
        $(
            $(#[doc = $doc:tt])*
            $(#[arg $arg:tt])?
            $(#[serde $serde:tt])?
            $name:ident: $form:ty $(= $default:expr)?;
        )*
    ) => {
        /// What one source says; what it leaves out, the next one decides.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Settings {
            $(
                $(#[doc = $doc])*
                $(#[arg $arg])?
                $(#[serde $serde])?
                pub(super) $name: Option<$form>,
            )*
        }

        /// The settings in force.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $(
                $(#[doc = $doc])*
                pub $name: in_force!($form $(, $default)?),
            )*
            /// The operator says that the clock is right, however far it is from the last record.
            pub accept_clock: bool,
            /// A new, empty ledger may be created although the settings name its network.
            pub init: bool,
        }

        impl Settings {
            /// These settings, and those of `other` where these say nothing.
            pub(super) fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)* }
            }

            /// These settings, and the defaults where they say nothing.
            pub(super) fn resolve(self, $cores: u16) -> Config {
                Config {
                    $($name: value_of!(self.$name $(, $default)?),)*
                    // No settings: they are for one start only.
                    accept_clock: false,
                    init: false,
                }
            }

            /// What gives this configuration again.
            pub(super) fn of(config: &Config) -> Self {
                Self { $($name: form_of!(config.$name $(, $default)?),)* }
            }
        }
    };
}
pub(super) use settings;

/// The type in force: with a default it is never absent.
macro_rules! in_force {
    ($form:ty) => { Option<<$form as Setting>::Value> };
    ($form:ty, $default:expr) => { <$form as Setting>::Value };
}
pub(super) use in_force;

/// The value in force of what was given.
macro_rules! value_of {
    ($given:expr) => {
        $given.map(Setting::value)
    };
    ($given:expr, $default:expr) => {
        $given.map_or_else(|| $default, Setting::value)
    };
}
pub(super) use value_of;

/// What gives a value again.
macro_rules! form_of {
    ($value:expr) => {
        $value.as_ref().map(Setting::of)
    };
    ($value:expr, $default:expr) => {
        Some(Setting::of(&$value))
    };
}
pub(super) use form_of;
