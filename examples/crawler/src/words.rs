//! The words of a page.

use std::collections::HashMap;

/// Words outside these lengths (in bytes) say little, or are no words.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=32;

/// Returns how often each word occurs in `text`, in lower case, in no order. A word is a run of
/// letters, digits and underscores that does not begin with a digit.
pub fn count_words(text: &str) -> Vec<(String, u32)> {
    let text = text.to_lowercase();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        if LENGTHS.contains(&word.len()) && !word.starts_with(|c: char| c.is_ascii_digit()) {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_lower_case() {
        let mut counts = count_words("Mutex::lock, the mutex's try_lock; 42 0x1f a of Überlauf");
        counts.sort();
        let words: Vec<_> = counts.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        let expected = [("lock", 1), ("mutex", 2), ("the", 1), ("try_lock", 1), ("überlauf", 1)];
        assert_eq!(words, expected);
    }
}
