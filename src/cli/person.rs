//! A person's number on its way into a command: not among its arguments, where `ps` shows it to everybody.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use crate::domain::Iin;

/// What holds one number has no business being longer.
const FILE_BYTES_MAX: u64 = 256;

/// Where the number comes from; without any of these it is asked for.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct PersonArgs {
    /// Read the person's number (IIN) from standard input
    #[arg(long)]
    iin_stdin: bool,
    /// Read it from a file
    #[arg(long, value_name = "FILE")]
    iin_file: Option<PathBuf>,
    /// Give it here, where others on this machine may see it
    #[arg(long, value_name = "IIN")]
    iin: Option<String>,
}

impl PersonArgs {
    /// The number, from where it was said to come from, or from a prompt.
    pub fn read(&self) -> Result<Iin, CliError> {
        let text = match (&self.iin, &self.iin_file) {
            (Some(iin), _) => iin.clone(),
            (None, Some(path)) => read_file(path)?,
            (None, None) => read_input(self.iin_stdin)?,
        };
        parse(&text)
    }
}

/// The number in a file.
pub fn read_iin(path: &Path) -> Result<Iin, CliError> {
    parse(&read_file(path)?)
}

fn parse(text: &str) -> Result<Iin, CliError> {
    if text.len() as u64 > FILE_BYTES_MAX {
        let said = format!("That is more than {FILE_BYTES_MAX} bytes; give the 12 digits of an IIN.");
        return Err(CliError::Usage(said));
    }
    // The error names the fault and never the text: a mistyped number is still nearly somebody's.
    Iin::parse(text.trim().as_bytes())
        .map_err(|fault| CliError::Usage(format!("{fault}; give the 12 digits of an IIN.")))
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(CliError::file(path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(CliError::file(path))?;
    Ok(text)
}

fn read_input(without_prompt: bool) -> Result<String, CliError> {
    let input = std::io::stdin();
    if !without_prompt && input.is_terminal() {
        let mut prompt = std::io::stderr();
        write!(prompt, "IIN: ")?;
        prompt.flush()?;
    }
    let mut line = String::new();
    input.lock().take(FILE_BYTES_MAX + 1).read_line(&mut line)?;
    if line.trim().is_empty() {
        return Err(CliError::Usage(
            "no number on standard input; give one there, or in a file with --iin-file.".into(),
        ));
    }
    Ok(line)
}

/// The last four digits, enough to tell one's own from another's: `•••• •••• 0867`.
#[must_use]
pub fn masked(iin: &Iin) -> String {
    format!("•••• •••• {}", &iin.expose()[8..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_number_shows_four_digits() {
        let iin = Iin::parse(b"830717350867").unwrap();
        assert_eq!(masked(&iin), "•••• •••• 0867");
    }

    #[test]
    fn a_file_holds_one_number_and_hardly_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("iin");
        for (bytes, fits) in [(12, true), (255, true), (256, true), (257, false), (300, false)] {
            std::fs::write(&path, format!("{:bytes$}", "830717350867")).unwrap();
            assert_eq!(read_iin(&path).is_ok(), fits, "{bytes}");
        }
        // What is beyond is not cut off.
        std::fs::write(&path, format!("{:256}0", "830717350867")).unwrap();
        read_iin(&path).unwrap_err();
    }

    #[test]
    fn a_wrong_number_is_not_repeated_in_the_error() {
        let args = PersonArgs { iin_stdin: false, iin_file: None, iin: Some("830717350860".to_owned()) };
        let error = args.read().unwrap_err().to_string();
        assert!(!error.contains("8307"), "{error}");
    }
}
