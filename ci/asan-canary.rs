//! Planted errors: `asan.sh` must see each of them reported.

#[cfg(planted = "use-after-free")]
fn main() {
    let freed = Box::into_raw(Box::new(1_u64));
    // SAFETY: none: that is what is planted.
    unsafe {
        drop(Box::from_raw(freed));
        // Read here: std, which would print it by reference, is not built with the sanitizer.
        println!("{}", *freed + 1);
    }
}

#[cfg(planted = "leak")]
fn main() {
    println!("{}", Box::leak(vec![1_u8; 100].into_boxed_slice()).len());
}
