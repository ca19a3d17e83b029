//! How many tokens a text will cost, before a server has counted it.
//!
//! An estimate, made to be on the high side: a prompt that is a little shorter than we think is
//! fine, one that is longer is cut by servers without a word. [`Calibration`] narrows it for one
//! model by the counts that its server returned. It must not know roles or providers.

use serde::{Deserialize, Serialize};

/// Bytes of a token. Measured with the tokenizer of Qwen2.5-Coder: source code has 3.2 to 4.0 bytes a
/// token, English prose 4.4. The lower end is taken.
const BYTES_PER_TOKEN: f64 = 3.2;

/// Tokens of role markers and separators that a chat template puts around each message.
const PER_MESSAGE: u32 = 8;

/// Estimated tokens of a text.
pub fn estimate(text: &str) -> u32 {
    estimate_bytes(text.len())
}

/// Estimated tokens of so many bytes of text.
pub fn estimate_bytes(bytes: usize) -> u32 {
    (bytes as f64 / BYTES_PER_TOKEN).ceil() as u32
}

/// Estimated tokens of a conversation, for a model that nothing is known about.
pub fn estimate_messages<'a>(texts: impl IntoIterator<Item = &'a str>) -> u32 {
    Calibration::default().estimate(Size::of(texts))
}

/// What an estimate depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub bytes: u64,
    pub messages: u32,
}

impl Size {
    /// The size of a conversation.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Size {
        texts.into_iter().fold(Size { bytes: 0, messages: 0 }, |size, text| Size {
            bytes: size.bytes + text.len() as u64,
            messages: size.messages + 1,
        })
    }

    /// Bytes of text to each token that is not the template's.
    fn density(self, tokens: u32) -> f64 {
        let text = tokens.saturating_sub(self.messages * PER_MESSAGE).max(1);
        self.bytes as f64 / f64::from(text)
    }
}

/// One prompt as a server counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    #[serde(flatten)]
    size: Size,
    tokens: u32,
}

/// What a model's server has counted so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calibration {
    /// Oldest first.
    samples: Vec<Sample>,
}

/// Samples that are kept: enough for several tasks, few enough to follow a change of language.
const SAMPLES: usize = 64;
/// Fewer samples say nothing about a model.
const FEWEST: usize = 3;

impl Calibration {
    /// Estimated tokens of a conversation. With enough samples, by the density that nine of ten
    /// prompts stay below; the figure for a model that nothing is known about otherwise.
    pub fn estimate(&self, size: Size) -> u32 {
        let text = (size.bytes as f64 / self.density()).ceil();
        text as u32 + size.messages * PER_MESSAGE
    }

    /// Bytes of text that fit so many tokens, by the same estimate.
    pub fn bytes_of(&self, tokens: u32) -> usize {
        (f64::from(tokens) * self.density()) as usize
    }

    /// Remembers a server's count. Counts that no tokenizer explains are left out: they belong to
    /// prompts that were cut, or to templates that add text of their own.
    pub fn add(&mut self, size: Size, tokens: u32) {
        if size.bytes < 200 || !(1.0..=2.0 * BYTES_PER_TOKEN).contains(&size.density(tokens)) {
            return;
        }
        if self.samples.len() >= SAMPLES {
            self.samples.remove(0);
        }
        self.samples.push(Sample { size, tokens });
    }

    /// Prompts that were counted.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Whether the estimate is the model's own by now.
    pub fn is_own(&self) -> bool {
        self.samples.len() >= FEWEST
    }

    /// By how much the estimate is off on average, as a share of the server's counts.
    pub fn error(&self) -> Option<f64> {
        if self.samples.is_empty() {
            return None;
        }
        let off = |sample: &Sample| {
            (f64::from(self.estimate(sample.size)) - f64::from(sample.tokens)).abs()
                / f64::from(sample.tokens)
        };
        Some(self.samples.iter().map(off).sum::<f64>() / self.samples.len() as f64)
    }

    fn density(&self) -> f64 {
        if !self.is_own() {
            return BYTES_PER_TOKEN;
        }
        let mut densities: Vec<f64> =
            self.samples.iter().map(|sample| sample.size.density(sample.tokens)).collect();
        densities.sort_by(f64::total_cmp);
        densities[densities.len() / 10]
    }
}

/// What a server's own count says about our estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The two agree as well as an estimate can.
    Plausible,
    /// The server read far less than was sent: it cut the prompt.
    Cut,
    /// The server counted far more than was estimated.
    Larger,
}

/// Compares the estimate with the server's count of the same prompt.
///
/// No text of ours has more than twice the bytes a token that the estimate assumes (indentation,
/// the densest of it, stays below 6.4), so a count below half of the estimate means that text is
/// missing. CJK and random data have down to one byte a token; beyond that nothing explains a count.
pub fn compare(estimated: u32, counted: u32) -> Count {
    if f64::from(counted) < f64::from(estimated) * 0.5 {
        Count::Cut
    } else if f64::from(counted) > f64::from(estimated) * BYTES_PER_TOKEN + 256.0 {
        Count::Larger
    } else {
        Count::Plausible
    }
}

/// Compares the server's count before a call with its count of the same prompt after it. The
/// two agree but for a token or two at the ends.
pub fn compare_exact(before: u32, after: u32) -> Count {
    let margin = 32 + before / 50;
    if after + margin < before {
        Count::Cut
    } else if after > before + margin {
        Count::Larger
    } else {
        Count::Plausible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_monotonous_and_invertible() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("abcd"), 2);
        assert!(estimate_bytes(Calibration::default().bytes_of(1000)) <= 1000);
    }

    #[test]
    fn a_prompt_cut_to_half_is_noticed() {
        assert_eq!(compare(12_000, 2_050), Count::Cut);
        assert_eq!(compare(4_000, 3_100), Count::Plausible);
        assert_eq!(compare(1_000, 5_000), Count::Larger);
        assert_eq!(compare_exact(4_000, 3_800), Count::Cut);
        assert_eq!(compare_exact(4_000, 3_990), Count::Plausible);
        assert_eq!(compare_exact(500, 900), Count::Larger);
    }

    #[test]
    fn counts_narrow_the_estimate_and_keep_it_on_the_high_side() {
        let mut calibration = Calibration::default();
        let size = |bytes| Size { bytes, messages: 2 };
        let before = calibration.estimate(size(8_000));
        for bytes in [4_000, 6_000, 8_000, 10_000, 5_000] {
            // Four bytes a token, and a template of sixteen tokens.
            calibration.add(size(bytes), (bytes / 4) as u32 + 16);
        }
        let after = calibration.estimate(size(8_000));
        assert_eq!((before, after), (2_516, 2_016));
        assert_eq!((Calibration::default().bytes_of(1_000), calibration.bytes_of(1_000)), (3_200, 4_000));
        assert!(calibration.error().unwrap() < 0.001);
    }

    #[test]
    fn a_dense_text_among_many_raises_the_estimate_of_all() {
        let mut calibration = Calibration::default();
        for tokens in [1_000, 1_000, 1_600, 1_000, 1_000] {
            calibration.add(Size { bytes: 4_000, messages: 0 }, tokens);
        }
        assert_eq!(calibration.estimate(Size { bytes: 4_000, messages: 0 }), 1_600);
    }

    #[test]
    fn counts_of_cut_prompts_teach_nothing_and_memory_is_bounded() {
        let mut calibration = Calibration::default();
        calibration.add(Size { bytes: 40_000, messages: 2 }, 2_050);
        calibration.add(Size { bytes: 40, messages: 1 }, 20);
        assert_eq!((calibration.samples(), calibration.error()), (0, None));
        for _ in 0..500 {
            calibration.add(Size { bytes: 4_000, messages: 1 }, 1_000);
        }
        assert_eq!(calibration.samples(), SAMPLES);
    }
}
