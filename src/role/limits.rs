//! What a task may spend on the model in all, and how far it has come.
//!
//! A model that goes round in circles ends with a message, not with an empty battery. The clock runs
//! only while the model works: its owner may read a diff for as long as it takes. It must not know
//! which role spends.

use std::time::Duration;

use crate::protocol::Usage;

/// Most that one task may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLimits {
    pub calls: u32,
    /// Tokens of prompts as they were sent, and of answers.
    pub tokens: u64,
    /// Of the model's working time.
    pub time: Duration,
}

impl Default for TaskLimits {
    /// Several times what the largest task of ours has needed: a plan of eight steps, each corrected
    /// twice, with two rounds of questions.
    fn default() -> TaskLimits {
        TaskLimits { calls: 80, tokens: 500_000, time: Duration::from_secs(2 * 60 * 60) }
    }
}

impl TaskLimits {
    /// The limit that is reached, in words; `None` while there is room. `tokens` are those that were
    /// sent and answered, estimated where the server did not count them.
    pub fn reached(&self, spent: &Usage, tokens: u64) -> Option<String> {
        if spent.calls >= self.calls {
            Some(format!("{} calls", self.calls))
        } else if tokens >= self.tokens {
            Some(format!("{} tokens", self.tokens))
        } else if self.time_left(spent).is_zero() {
            Some(self.time_in_words())
        } else {
            None
        }
    }

    /// How long the model may still work.
    pub fn time_left(&self, spent: &Usage) -> Duration {
        self.time.saturating_sub(Duration::from_millis(spent.millis))
    }

    pub fn time_in_words(&self) -> String {
        format!("{} minutes of the model's time", self.time.as_secs() / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named_when_it_is_reached() {
        let limits = TaskLimits { calls: 3, tokens: 1_000, time: Duration::from_secs(120) };
        let spent = Usage { calls: 2, millis: 119_000, ..Usage::default() };
        assert_eq!(limits.reached(&spent, 999), None);
        assert_eq!(limits.time_left(&spent), Duration::from_secs(1));
        assert_eq!(limits.reached(&Usage { calls: 3, ..spent }, 0), Some("3 calls".into()));
        assert_eq!(limits.reached(&spent, 1_000), Some("1000 tokens".into()));
        let longer = Usage { millis: 120_000, ..spent };
        assert_eq!(limits.reached(&longer, 0), Some("2 minutes of the model's time".into()));
    }
}
