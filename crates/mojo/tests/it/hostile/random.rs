//! Random numbers from a seed: the same ones on every machine, so that a case can be replayed.

/// xorshift64*, started through splitmix64.
pub(super) struct Random(u64);

impl Random {
    /// `case` of the campaign `name` with this seed: independent of every other one.
    pub(super) fn of(seed: u64, name: &str, case: u64) -> Self {
        let mut state = seed;
        for part in name.bytes().map(u64::from).chain([case]) {
            state = split_mix(state ^ part);
        }
        Self(state.max(1))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to `end`, which it never is; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize * end.min(1 << 31)) >> 32
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(super) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 56) as u8).collect()
    }
}

fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
