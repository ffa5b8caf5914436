//! Test results (in-toto/attestation, spec/predicates/test-result.md, v0.1).

use serde::Deserialize;

use super::Resource;

/// Predicate type of a test result v0.1.
pub const TEST_RESULT_V0_1: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// The run of a test suite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// How it ended.
    pub result: Outcome,
    /// What configured the run.
    pub configuration: Vec<Resource>,
    /// Where the run can be looked at.
    pub url: Option<String>,
    /// The tests that passed.
    #[serde(default)]
    pub passed_tests: Vec<String>,
    /// Those that passed with a warning.
    #[serde(default)]
    pub warned_tests: Vec<String>,
    /// Those that failed.
    #[serde(default)]
    pub failed_tests: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// `PASSED`
    Passed,
    /// `WARNED`
    Warned,
    /// `FAILED`
    Failed,
}

impl TestResult {
    /// Whether the run failed, or a test of it did whatever the result says.
    pub fn failed(&self) -> bool {
        self.result == Outcome::Failed || !self.failed_tests.is_empty()
    }
}
