//! Progress: bars where a person watches stderr, plain lines where nobody does.

use std::time::Duration;

use bonded_model::ArtifactPath;
use bonded_store::Holder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Shows how far some work is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    verb: &'static str,
}

impl Progress {
    /// A bar for work that is named by a verb, such as `ingest`.
    pub(crate) fn new(verb: &'static str) -> Self {
        let target = match output::stderr_is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{prefix:8} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        bar.set_style(style);
        bar.set_prefix(verb);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, verb }
    }

    fn plan(&self, what: &str, count: usize, bytes: u64) {
        self.bar.set_length(bytes);
        if !output::stderr_is_terminal() {
            output::say(&format!("{}: {count} {what}, {}", self.verb, output::human_bytes(bytes)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl bonded_store::ingest::Progress for Progress {
    fn planned(&self, files: usize, bytes: u64) {
        self.plan("files", files, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn finished_file(&self, path: &ArtifactPath) {
        self.bar.set_message(path.to_string());
    }

    fn waiting(&self, holder: &Holder) {
        say_waiting(holder);
    }
}

impl bonded_store::export::Progress for Progress {
    fn planned(&self, blobs: usize, bytes: u64) {
        self.plan("blobs", blobs, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

impl bonded_store::image::Progress for Progress {
    fn planned(&self, blobs: usize, bytes: u64) {
        self.plan("blobs", blobs, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn waiting(&self, holder: &Holder) {
        say_waiting(holder);
    }
}

impl bonded_store::facts::RebuildProgress for Progress {
    fn planned(&self, blobs: usize, bytes: u64) {
        self.plan("blobs", blobs, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

impl bonded_store::gc::Progress for Progress {
    fn entered(&self, phase: bonded_store::gc::Phase) {
        use bonded_store::gc::Phase;
        self.bar.set_message(match phase {
            Phase::Mark => "following references",
            Phase::Survey => "looking for what nothing refers to",
            Phase::Sweep => "setting aside and deleting",
        });
    }

    fn waiting(&self, holder: &Holder) {
        say_waiting(holder);
    }
}

impl bonded_store::fsck::Progress for Progress {
    fn planned(&self, blobs: usize, bytes: u64) {
        self.plan("blobs", blobs, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn finished_blob(&self) {}

    fn waiting(&self, holder: &Holder) {
        say_waiting(holder);
    }
}

impl bonded_mirror::Progress for Progress {
    fn planned(&self, steps: usize, bytes: u64) {
        self.plan("steps", steps, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

/// Says for whom a second writer waits.
pub(crate) fn say_waiting(holder: &Holder) {
    output::say(&format!(
        "waiting for {}, which holds the store since {}",
        holder.who, holder.since
    ));
}
