//! A bar for something that takes long outside a turn. Only on a terminal; it must not know what for.

use indicatif::{ProgressBar, ProgressStyle};

use crate::sanitize::visible;

/// A bar on stderr that counts bytes.
pub struct Bar {
    bar: ProgressBar,
}

/// A bar that counts bytes; hidden where stderr is no terminal.
pub fn bytes() -> Bar {
    let bar = ProgressBar::new(0);
    // An invalid template would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    Bar { bar }
}

/// A bar that counts steps, with their rate and the time that is left; hidden where stderr is no
/// terminal.
pub fn steps() -> Bar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {per_sec:.0}, {eta} left ({elapsed})")
    {
        bar.set_style(style);
    }
    Bar { bar }
}

/// A bar that counts what is done; hidden where stderr is no terminal.
pub fn count() -> Bar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    Bar { bar }
}

/// A line that says what is being done, without a number.
pub fn line() -> Bar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    Bar { bar }
}

impl Bar {
    pub fn show(&self, what: &str, done: u64, total: Option<u64>) {
        let what = visible(what).to_string();
        if self.bar.message() != what {
            // Each step has a pace of its own.
            self.bar.reset_eta();
            self.bar.set_message(what);
        }
        self.bar.set_length(total.unwrap_or(done));
        self.bar.set_position(done);
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
