//! From scores to a token. Pure but for its own state; it must not know tokens' texts.
//!
//! The steps and their order are those of llama.cpp's usual chain: penalty of repetition, the k
//! best, the nucleus, the least share, temperature, and a draw. The greedy choice (temperature 0)
//! skips everything behind the penalty.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _};

use crate::provider::Narrowing;

/// Tokens back to which a repetition is punished.
const MEMORY: usize = 64;
/// Where the request says nothing, as in llama.cpp.
const TOP_K: u32 = 40;
const TOP_P: f32 = 0.95;
const MIN_P: f32 = 0.05;

/// Draws the tokens of one answer.
pub(super) struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repeat_penalty: f32,
    recent: VecDeque<u32>,
    random: Random,
}

impl Sampler {
    /// `temperature` at or below 0 is the greedy choice. Without a seed each sampler draws its own.
    pub(super) fn new(temperature: f32, seed: Option<u32>, narrowing: &Narrowing) -> Sampler {
        let seed = seed.map_or_else(|| std::hash::RandomState::new().build_hasher().finish(), u64::from);
        Sampler {
            temperature,
            top_k: match narrowing.top_k.unwrap_or(TOP_K) {
                0 => usize::MAX,
                k => k as usize,
            },
            top_p: narrowing.top_p.unwrap_or(TOP_P),
            min_p: narrowing.min_p.unwrap_or(MIN_P),
            repeat_penalty: narrowing.repeat_penalty.filter(|penalty| *penalty > 0.0).unwrap_or(1.0),
            recent: VecDeque::with_capacity(MEMORY),
            random: Random(seed),
        }
    }

    /// The next token among those that are `allowed`; `None` if no allowed token has a score that is
    /// a number.
    pub(super) fn draw(&mut self, scores: &[f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let score = |token: u32| {
            let raw = scores[token as usize];
            // A factor would favour a token whose score is below 0, hence the division there.
            match self.repeat_penalty != 1.0 && self.recent.contains(&token) {
                true if raw > 0.0 => raw / self.repeat_penalty,
                true => raw * self.repeat_penalty,
                false => raw,
            }
        };
        let candidates = (0..scores.len() as u32)
            .filter(|token| allowed(*token))
            .map(|token| (token, score(token)))
            .filter(|(_, score)| !score.is_nan() && *score != f32::NEG_INFINITY);
        let token = match self.temperature > 0.0 {
            // Of equals the first, so that the choice does not depend on the order of a fold.
            false => {
                candidates
                    .fold(None, |best: Option<(u32, f32)>, next| match best {
                        Some(best) if best.1 >= next.1 => Some(best),
                        _ => Some(next),
                    })?
                    .0
            }
            true => {
                let candidates: Vec<(u32, f32)> = candidates.collect();
                self.draw_among(candidates)?
            }
        };
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
        Some(token)
    }

    fn draw_among(&mut self, mut candidates: Vec<(u32, f32)>) -> Option<u32> {
        let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k, better);
            candidates.truncate(self.top_k);
        }
        candidates.sort_unstable_by(better);
        let best = candidates.first()?.1;
        // Infinite scores are equally good, and everything else is worth nothing beside them.
        let share = |score: f32, temperature: f32| match best.is_infinite() {
            true => f32::from(score == best),
            false => ((score - best) / temperature).exp(),
        };
        let sum: f32 = candidates.iter().map(|(_, score)| share(*score, 1.0)).sum();
        let mut before = 0.0;
        // Each candidate stays whose better ones do not fill the nucleus already: always one.
        let kept = candidates.iter().take_while(|(_, score)| {
            let full = before >= self.top_p * sum;
            let part = share(*score, 1.0);
            before += part;
            // The best one has the share 1.
            (!full || before == part) && part >= self.min_p.min(1.0)
        });
        let kept = kept.count().max(1);
        candidates.truncate(kept);
        let weights: Vec<f32> = candidates.iter().map(|(_, score)| share(*score, self.temperature)).collect();
        let mut left = self.random.unit() * weights.iter().sum::<f32>();
        let drawn = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a rest behind the last one.
        Some(candidates[drawn.unwrap_or(kept - 1)].0)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, and more than good enough to draw tokens.
struct Random(u64);

impl Random {
    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Narrowing =
        Narrowing { top_k: Some(0), top_p: Some(1.0), min_p: Some(0.0), repeat_penalty: None };

    /// How often each of four tokens is drawn in 20,000 draws, as shares.
    fn shares(
        scores: [f32; 4],
        temperature: f32,
        narrowing: Narrowing,
        allowed: fn(u32) -> bool,
    ) -> [f64; 4] {
        let mut sampler = Sampler::new(temperature, Some(1), &narrowing);
        let mut counts = [0u32; 4];
        for _ in 0..20_000 {
            counts[sampler.draw(&scores, allowed).unwrap() as usize] += 1;
        }
        counts.map(|count| f64::from(count) / 20_000.0)
    }

    fn near(found: [f64; 4], expected: [f64; 4]) {
        for (found, expected) in found.iter().zip(expected) {
            // Four standard deviations of 20,000 draws of one half are 0.014.
            assert!((found - expected).abs() < 0.015, "{found} is not {expected}");
        }
    }

    /// Scores of the shares 0.5, 0.3, 0.15 and 0.05.
    fn known() -> [f32; 4] {
        [0.15_f32, 0.5, 0.05, 0.3].map(f32::ln)
    }

    #[test]
    fn draws_follow_the_distribution() {
        near(shares(known(), 1.0, OPEN, |_| true), [0.15, 0.5, 0.05, 0.3]);
        // Half the temperature squares the shares: 0.0225, 0.25, 0.0025 and 0.09 of 0.365.
        near(shares(known(), 0.5, OPEN, |_| true), [0.0616, 0.6849, 0.0068, 0.2466]);
        near(shares(known(), 1.0, OPEN, |token| token != 1), [0.3, 0.0, 0.1, 0.6]);
    }

    #[test]
    fn each_cut_leaves_what_it_says() {
        let top_k = Narrowing { top_k: Some(2), ..OPEN };
        near(shares(known(), 1.0, top_k, |_| true), [0.0, 0.625, 0.0, 0.375]);
        // 0.5 and 0.3 fill 0.8; the next one would be the first beyond 0.7.
        let top_p = Narrowing { top_p: Some(0.7), ..OPEN };
        near(shares(known(), 1.0, top_p, |_| true), [0.0, 0.625, 0.0, 0.375]);
        // 0.15 is 0.3 of the best share, 0.05 a tenth.
        let min_p = Narrowing { min_p: Some(0.2), ..OPEN };
        near(shares(known(), 1.0, min_p, |_| true), [0.1579, 0.5263, 0.0, 0.3158]);
        let one = Narrowing { top_p: Some(0.0), ..OPEN };
        near(shares(known(), 1.0, one, |_| true), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn greedy_takes_the_first_of_the_best_and_a_penalty_moves_it() {
        let mut greedy = Sampler::new(0.0, None, &OPEN);
        assert_eq!(greedy.draw(&[1.0, 3.0, 3.0, f32::NAN], |_| true), Some(1));
        assert_eq!(greedy.draw(&[1.0, 3.0, 3.0, 2.0], |token| token != 1), Some(2));
        let mut punished = Sampler::new(0.0, None, &Narrowing { repeat_penalty: Some(2.0), ..OPEN });
        let drawn: Vec<u32> =
            (0..3).map(|_| punished.draw(&[4.0, 3.0, 2.5, -9.0], |_| true).unwrap()).collect();
        assert_eq!(drawn, [0, 1, 2], "each was punished once it had been drawn");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_nothing_is_drawn_from_nothing() {
        let run = |seed| {
            let mut sampler = Sampler::new(1.0, Some(seed), &OPEN);
            (0..50).map(|_| sampler.draw(&known(), |_| true).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        for temperature in [0.0, 1.0] {
            let mut sampler = Sampler::new(temperature, Some(1), &Narrowing::default());
            assert_eq!(sampler.draw(&[f32::NAN, f32::NEG_INFINITY], |_| true), None);
            assert_eq!(sampler.draw(&[1.0, 2.0], |_| false), None);
            assert_eq!(sampler.draw(&[1.0, f32::INFINITY, 2.0], |_| true), Some(1));
        }
    }
}
