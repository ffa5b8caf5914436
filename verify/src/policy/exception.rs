//! Exceptions: findings that a policy lets pass until a date, each for a reason.

use bonded_model::{Timestamp, Version};

use crate::code::Code;
use crate::finding::{Finding, Severity};
use crate::moment::Moment;
use crate::pattern::Pattern;

/// A finding that is a warning for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: Code,
    /// Of which requirement or expression; of all rules where the code is of no such.
    pub(crate) name: Option<String>,
    /// Of which artifacts; with none also of the release and its documents as a whole.
    pub(crate) paths: Vec<Pattern>,
    /// Of which versions; of all where it lists none.
    pub(crate) versions: Vec<Pattern>,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
}

impl Exception {
    fn is_about(&self, finding: &Finding, version: &Version) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|p| p.matches(text));
        let path = finding.path.as_ref();
        self.code == finding.code
            && (self.name.is_none() || self.name == finding.rule)
            && (self.paths.is_empty() || path.is_some_and(|p| any(&self.paths, p.as_str())))
            && (self.versions.is_empty() || any(&self.versions, version.as_str()))
    }
}

/// Weighs findings again: one that fails and that an exception is about is a warning that says so; where the
/// exception has ended it still fails, and says that too.
pub(crate) fn apply(
    exceptions: &[Exception],
    findings: &mut [Finding],
    version: &Version,
    now: &Moment,
) {
    for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Fail) {
        let about = || exceptions.iter().filter(|exception| exception.is_about(finding, version));
        if let Some(exception) = about().find(|exception| !now.has_reached(exception.until)) {
            let until = exception.until;
            let told = format!("; excepted until {until}: {}", exception.reason);
            finding.severity = Severity::Warn;
            finding.tell(&told);
        } else if let Some(ended) = about().max_by_key(|exception| exception.until) {
            let told = format!("; the exception for it ended at {}: {}", ended.until, ended.reason);
            finding.tell(&told);
        }
    }
}
