//! The file of settings, TOML: every option that has an environment variable, under the same name. `SOCIAL_WALLET_TLS_KEY`,
//! `--tls-key` and `tls-key = "…"` are one setting. The first of these that says something is heard:
//!
//! 1. the option, 2. its environment variable, 3. the file, 4. the default.
//!
//! The file becomes the defaults of the options themselves, so that all of it is read and held to limits by one parser; what a
//! command does not know of is for another, and what no command knows of is refused. Secrets stay in files of their own.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Arg, Command};
use reqwest::Url;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The variable that names the file.
pub const VARIABLE: &str = "SOCIAL_WALLET_CONFIG";

/// What the variables of settings begin with.
const PREFIX: &str = "SOCIAL_WALLET_";

/// A longer file is no file of settings.
const BYTES_MAX: usize = 64 * 1024;

/// How like a known key an unknown one must be to be taken for a slip.
const ALIKE: f64 = 0.75;

/// Why a file of settings is not heard.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is too long.
    #[error("the configuration file {0} has more than {BYTES_MAX} bytes")]
    TooLong(String),
    /// A line of it cannot stand.
    #[error("the configuration file {path}, line {line}: {what}")]
    Line {
        /// Which file.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong, and what to do. Never the value of a setting that may be a secret.
        what: String,
    },
}

/// What a setting is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Number,
    Flag,
}

impl Kind {
    fn of(arg: &Arg) -> Self {
        let id = arg.get_value_parser().type_id();
        if id == TypeId::of::<bool>() {
            Self::Flag
        } else if id == TypeId::of::<u32>() || id == TypeId::of::<NonZeroU32>() {
            Self::Number
        } else {
            Self::Text
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string in quotation marks",
            Self::Number => "a whole number",
            Self::Flag => "true or false",
        }
    }
}

/// The file that is named by the arguments or the environment. Whatever else is wrong with them is told later.
pub fn named(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    matches.get_one::<PathBuf>("config").cloned()
}

/// The command with what the file says as its defaults.
pub fn defaults(command: Command, path: &Path) -> Result<Command, ConfigError> {
    let name = path.display().to_string();
    let failed = |source| ConfigError::File { path: name.clone(), source };
    let text = read(path).map_err(failed)?.ok_or_else(|| ConfigError::TooLong(name.clone()))?;
    let refused = |at: usize, what: String| {
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        ConfigError::Line { path: name.clone(), line, what }
    };
    let table = DeTable::parse(&text)
        .map_err(|error| refused(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let known = settings(&command);
    let mut chosen: Vec<(String, String)> = Vec::new();
    for (key, value) in table.get_ref() {
        let arg = known.iter().find(|(known, _)| known == key.get_ref()).map(|(_, arg)| arg);
        let Some(arg) = arg else {
            return Err(refused(key.span().start, unknown(key.get_ref(), &known)));
        };
        let value = accepted(key.get_ref(), arg, value).map_err(|what| refused(key.span().start, what))?;
        chosen.push((key.get_ref().to_string(), value));
    }
    Ok(with_defaults(command, &chosen))
}

/// The file's text; `None` if it is too long.
fn read(path: &Path) -> std::io::Result<Option<String>> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok((text.len() <= BYTES_MAX).then_some(text))
}

/// The key of an option that can be set in the file.
fn key_of(arg: &Arg) -> Option<String> {
    let variable = arg.get_env()?.to_str()?;
    if variable == VARIABLE {
        return None;
    }
    Some(variable.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-"))
}

/// All settings of all commands, each once.
fn settings(command: &Command) -> Vec<(String, Arg)> {
    let mut found: Vec<(String, Arg)> = Vec::new();
    let mut rooms = vec![command];
    while let Some(command) = rooms.pop() {
        for arg in command.get_arguments() {
            if let Some(key) = key_of(arg).filter(|key| found.iter().all(|(known, _)| known != key)) {
                found.push((key, arg.clone()));
            }
        }
        rooms.extend(command.get_subcommands());
    }
    found
}

/// What is said of a key that no option has.
fn unknown(key: &str, known: &[(String, Arg)]) -> String {
    let likeness = |(known, _): &(String, Arg)| (strsim::jaro_winkler(key, known), known.clone());
    let nearest = known.iter().map(likeness).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((likeness, nearest)) if likeness >= ALIKE => {
            format!("there is no setting `{key}`; is `{nearest}` meant?")
        }
        _ => format!("there is no setting `{key}`"),
    }
}

/// The value as the option reads it, if the option takes it.
fn accepted(key: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let kind = Kind::of(arg);
    let text = match (kind, value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => text.to_string(),
        (Kind::Number, DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map_err(|_| format!("`{key}` is not a number that anything here can be"))?.to_string()
        }
        (Kind::Flag, DeValue::Boolean(flag)) => flag.to_string(),
        _ => return Err(format!("`{key}` is written as {}", kind.name())),
    };
    if holds_password(&text) {
        return Err(format!(
            "`{key}` has a password: leave it out here, and keep it in the file that PGPASSFILE names, or in ~/.pgpass"
        ));
    }
    // The option judges it, alone: what is wrong is told with the file's line.
    let probe = Command::new("probe")
        .no_binary_name(true)
        .arg(arg.clone().env(Resettable::Reset).global(false).default_value(text.clone()));
    match probe.try_get_matches_from(std::iter::empty::<&OsStr>()) {
        Ok(_) => Ok(text),
        Err(error) => {
            let told = error.to_string();
            let told = told.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("`{key}`: {told}"))
        }
    }
}

/// Whether a text is a database's address with a password in it.
fn holds_password(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
}

/// Sets the defaults wherever the command or one below it has the option.
fn with_defaults(mut command: Command, chosen: &[(String, String)]) -> Command {
    let found: Vec<_> = command
        .get_arguments()
        .filter_map(|arg| {
            let key = key_of(arg)?;
            let value = chosen.iter().find(|(chosen, _)| *chosen == key)?;
            Some((arg.get_id().clone(), value.1.clone()))
        })
        .collect();
    for (id, value) in found {
        command = command.mut_arg(id, |arg| arg.default_value(value).required(false));
    }
    let below: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in below {
        command = command.mut_subcommand(name, |command| with_defaults(command, chosen));
    }
    command
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn told(text: &str) -> Result<Command, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("social-wallet.toml");
        std::fs::write(&path, text).unwrap();
        defaults(Cli::command(), &path)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_setting_has_one_name() {
        let command = Cli::command();
        let mut rooms = vec![&command];
        while let Some(command) = rooms.pop() {
            for arg in command.get_arguments() {
                let Some(key) = key_of(arg) else { continue };
                let longs: Vec<&str> =
                    arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default()).collect();
                assert!(longs.contains(&key.as_str()), "{} {longs:?} {key}", command.get_name());
                let known = settings(&Cli::command());
                let same = known.iter().find(|(known, _)| *known == key).map(|(_, arg)| Kind::of(arg));
                assert_eq!(same, Some(Kind::of(arg)), "{key} is one kind of thing everywhere");
            }
            rooms.extend(command.get_subcommands());
        }
    }

    #[test]
    fn what_cannot_stand_is_told_with_its_line_and_what_may_be_meant() {
        told("").unwrap();
        told("# nothing\nlisten = \"127.0.0.1:1\"\nconnections = 7\nbehind-tls = true\n").unwrap();
        let line = |line: usize, what: &str| format!("the configuration file FILE, line {line}: {what}");
        for (text, expected) in [
            ("\nlisen = \"127.0.0.1:1\"", line(2, "there is no setting `lisen`; is `listen` meant?")),
            ("tls_key = \"a\"", line(1, "there is no setting `tls_key`; is `tls-key` meant?")),
            ("zzz = 1", line(1, "there is no setting `zzz`")),
            ("config = \"other\"", line(1, "there is no setting `config`")),
            ("connections = \"7\"", line(1, "`connections` is written as a whole number")),
            ("connections = 7.5", line(1, "`connections` is written as a whole number")),
            ("listen = 8080", line(1, "`listen` is written as a string in quotation marks")),
            ("behind-tls = \"yes\"", line(1, "`behind-tls` is written as true or false")),
            ("listen = [\"127.0.0.1:1\"]", line(1, "`listen` is written as a string in quotation marks")),
        ] {
            assert_eq!(told(text).map(drop), Err(expected), "{text}");
        }
        for (text, part) in [
            ("a = 1\nlisten = ", "line 2: "),
            ("listen = \"a\"\nlisten = \"b\"", "line 2: "),
            ("[serve]\nlisten = \"127.0.0.1:1\"", "line 1: there is no setting `serve`"),
            ("listen = \"nowhere\"", "line 1: `listen`: invalid value 'nowhere'"),
            ("connections = 0", "line 1: `connections`: invalid value '0'"),
            ("connections = 99999999999999999999", "line 1: `connections`"),
            ("requests-per-second = 0", "line 1: `requests-per-second`: "),
            ("log-format = \"xml\"", "line 1: `log-format`: invalid value 'xml'"),
        ] {
            let told = told(text).map(drop).unwrap_err();
            assert!(told.contains(part), "{text}: {told}");
        }
    }

    #[test]
    fn a_password_has_no_place_in_it_and_is_not_repeated() {
        for text in [
            "database-url = \"postgres://a:hunter2@db/b\"",
            "owner-url = \"postgres://a@db/b?password=hunter2\"",
            "database-url = \"postgres://a:hunter2@db/b",
        ] {
            let told = told(text).map(drop).unwrap_err();
            assert!(!told.contains("hunter2"), "{told}");
        }
        told("database-url = \"postgres://a@db/b\"").unwrap();
    }

    #[test]
    fn a_file_has_its_limit() {
        for (length, fits) in [(BYTES_MAX - 1, true), (BYTES_MAX, true), (BYTES_MAX + 1, false)] {
            assert_eq!(told(&"\n".repeat(length)).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn the_example_is_one() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/social-wallet.toml");
        defaults(Cli::command(), Path::new(example)).unwrap();
        // What stands there behind a mark is a setting all the same.
        let text = std::fs::read_to_string(example).unwrap();
        let all: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .collect();
        told(&all.join("\n")).unwrap();
        for (key, _) in settings(&Cli::command()) {
            assert!(all.iter().any(|line| line.starts_with(&format!("{key} = "))), "{key} is not shown");
        }
    }
}
