//! The edge error: what was attempted, why it failed, which exit code, and the next thing to try.
//!
//! Libraries say what is wrong in types; here each gets a kind and one hint, and nowhere else.

use std::error::Error;
use std::fmt;

/// What kind of failure ends the program, and with which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// 2: the command line, a configuration or a policy is wrong.
    Usage,
    /// 3: this machine: files, permissions, space, locks, ports, a damaged store.
    Environment,
    /// 4: another machine: it is down, refuses, or answers with an error.
    Remote,
}

impl ErrorKind {
    /// The exit code (ARCHITECTURE.md, "Boundaries and formats").
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Remote => 4,
        }
    }
}

/// An error with its kind and a hint.
#[derive(Debug)]
pub(crate) struct CliError {
    /// Decides the exit code.
    pub(crate) kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
}

impl CliError {
    /// An error with a message of its own: lower case, no full stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hint: None }
    }

    /// A usage error.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An error of this machine.
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// The cause, shown below the message with its own causes.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The next thing to try.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The cause, if it is of that type.
    pub(crate) fn cause<T: Error + 'static>(&self) -> Option<&T> {
        self.source.as_ref()?.downcast_ref()
    }

    /// The next thing to try, if there is one.
    pub(crate) fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

impl fmt::Display for CliError {
    /// Message, chain of causes, hint: each on its own line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let mut cause: Option<&dyn Error> =
            self.source.as_deref().map(|source| source as &dyn Error);
        let mut last = self.message.clone();
        while let Some(error) = cause {
            let text = error.to_string();
            if text != last {
                write!(f, "\n  because: {text}")?;
            }
            last = text;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  try: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hint_follow_the_message() {
        let error = CliError::usage("cannot read policy \"p.toml\"")
            .because(std::io::Error::other("line 3"))
            .hint("bonded policy check p.toml");
        assert_eq!(
            error.to_string(),
            "error: cannot read policy \"p.toml\"\n  because: line 3\n  try: bonded policy check p.toml"
        );
        assert_eq!(error.kind.exit_code(), 2);
    }
}
