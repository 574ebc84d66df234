//! Random numbers that a seed repeats.

use tidegate_core::random::Random;

#[test]
fn the_numbers_are_those_of_the_paper() {
    // The first three of seed 1234567, as the authors' Java and C programs print them.
    let mut random = Random::new(1_234_567);
    let numbers = [(); 3].map(|()| random.next_u64());
    assert_eq!(
        numbers,
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
    );
}
