//! The seeds of random choices: the same each time, unless `RENDEZ_TEST_SEED` says otherwise.

/// `usual`, mixed with `RENDEZ_TEST_SEED` where that is set. It is printed, so that a failure shows it.
///
/// # Panics
/// When `RENDEZ_TEST_SEED` is not a number.
pub fn seed(usual: u64) -> u64 {
    let given = std::env::var("RENDEZ_TEST_SEED").ok();
    let given = given.map_or(0, |text| {
        text.parse().expect("RENDEZ_TEST_SEED is a number")
    });
    let seed = usual ^ given;
    println!("seed: {seed} (RENDEZ_TEST_SEED={given})");
    seed
}
