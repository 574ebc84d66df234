//! How long a thread spins, by whether that has paid before.

use tidegate_core::wait::spin::Spin;

#[test]
fn spinning_stops_after_failures() {
    let mut spin = Spin::new();
    let polls: Vec<_> = (0..32)
        .map(|_| {
            let polls = spin.polls();
            spin = spin.after(false);
            polls
        })
        .collect();
    assert_eq!(polls[..6], [2000, 500, 125, 31, 7, 1]);
    assert!(polls[6..].iter().all(|polls| *polls == 0));
    assert_eq!(spin, Spin::new(), "tried once more after 32 misses");
}

#[test]
fn success_grows_it_up_to_the_most() {
    let mut spin = Spin::new().after(false).after(false);
    assert_eq!(spin.polls(), 125);
    for _ in 0..10 {
        spin = spin.after(true);
    }
    assert_eq!(spin, Spin::new());
    assert_eq!(spin.polls(), 2000);
}
