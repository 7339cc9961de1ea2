//! What several test files share: the golden bytes, and a stream of inputs made from them.
#![allow(dead_code, reason = "every test file uses another part of it")]

/// The lines of a golden file: names and bytes.
pub fn golden(text: &str) -> Vec<(String, Vec<u8>)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, digits) = line
                .split_once(' ')
                .expect("a name, a space, and hexadecimal digits");
            (
                name.to_owned(),
                hex::decode(digits).expect("hexadecimal digits"),
            )
        })
        .collect()
}

pub const KAZOO: &str = include_str!("../golden/kazoo.golden");
pub const ZOOKEEPER: &str = include_str!("../golden/zookeeper.golden");
pub const EXTENDED: &str = include_str!("../golden/extended.golden");

/// Inputs without an end, the same in every run: noise, and valid messages, alone and in a row, damaged in the ways
/// that hurt decoders most.
pub struct Inputs {
    state: u64,
    seeds: Vec<Vec<u8>>,
}

impl Inputs {
    pub fn new(seed: u64) -> Self {
        let seeds = [KAZOO, ZOOKEEPER, EXTENDED]
            .iter()
            .flat_map(|text| golden(text))
            .map(|(_, bytes)| bytes)
            .collect();
        Self { state: seed, seeds }
    }

    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let index = self.below(self.seeds.len());
        self.seeds[index].clone()
    }

    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = match self.below(8) {
            0 => {
                let len = self.below(400);
                (0..len).map(|_| self.random() as u8).collect()
            }
            // Small numbers, of which lists and lengths are made.
            1 => {
                let len = self.below(400);
                (0..len)
                    .map(|_| {
                        if self.below(5) == 0 {
                            self.below(8) as u8
                        } else {
                            0
                        }
                    })
                    .collect()
            }
            // A body without its frame and header, or a handshake without its length.
            2 | 3 => {
                let seed = self.seed();
                let skip = [4, 12, 20][self.below(3)].min(seed.len());
                seed[skip..].to_vec()
            }
            // A connection's input: several frames.
            _ => {
                let frames = 1 + self.below(5);
                (0..frames).flat_map(|_| self.seed()).collect()
            }
        };
        for _ in 0..self.below(4) {
            self.damage(&mut input);
        }
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let at = self.below(input.len());
        match self.below(6) {
            0 => input[at] = self.random() as u8,
            1 => input[at] ^= 1 << self.below(8),
            2 => input.truncate(at),
            3 => {
                let end = (at + self.below(16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let end = (at + self.below(64)).min(input.len());
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            // A length or a count of the worst kind.
            _ => {
                let worst = [
                    i32::MAX,
                    i32::MIN,
                    -1,
                    -2,
                    0,
                    1,
                    0x000f_ffff,
                    0x0010_0000,
                    1 << 24,
                    0x7275_6f6b,
                ];
                let number = worst[self.below(worst.len())].to_be_bytes();
                for (byte, new) in input[at..].iter_mut().zip(number) {
                    *byte = new;
                }
            }
        }
    }
}
