//! Rotary positions: pairs of numbers of a head are turned by an angle that grows with the place.

/// Sines and cosines for a run of tokens.
pub struct Rope {
    /// Pairs of a head that turn.
    pairs: usize,
    /// `[token][pair]`: cosine and sine.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// For `tokens` tokens at `place` and after. `size` numbers of a head turn; pair `i` by
    /// `place / divisor * base^(-2 i / size) / factors[i]`.
    pub fn new(
        size: usize,
        base: f64,
        divisor: f64,
        factors: Option<&[f32]>,
        place: usize,
        tokens: usize,
    ) -> Self {
        let pairs = size / 2;
        let speeds: Vec<f64> = (0..pairs)
            .map(|pair| {
                let factor = factors.map_or(1.0, |factors| f64::from(factors[pair]));
                base.powf(-2.0 * pair as f64 / size as f64) / factor / divisor
            })
            .collect();
        let turns = (place..place + tokens)
            .flat_map(|place| speeds.iter().map(move |speed| (place as f64 * speed).sin_cos()))
            .map(|(sine, cosine)| (cosine as f32, sine as f32))
            .collect();
        Rope { pairs, turns }
    }

    /// Turns a head of token `token` of the run. A pair is two numbers half of the size apart, or, in
    /// files of the Llama family, two neighbours.
    pub fn turn(&self, token: usize, head: &mut [f32], halves: bool) {
        let turns = &self.turns[token * self.pairs..][..self.pairs];
        if halves {
            let (left, right) = head[..2 * self.pairs].split_at_mut(self.pairs);
            for ((left, right), turn) in left.iter_mut().zip(right).zip(turns) {
                (*left, *right) = turned(*left, *right, *turn);
            }
        } else {
            for (pair, turn) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                *pair = turned(pair[0], pair[1], *turn).into();
            }
        }
    }
}

fn turned(x: f32, y: f32, (cosine, sine): (f32, f32)) -> (f32, f32) {
    (x * cosine - y * sine, x * sine + y * cosine)
}
