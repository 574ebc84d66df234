    /// A key is cloned once when it comes, and is forgotten when nothing of it waits or runs. What is kept is the room
    /// of as many keys as were ever there at once, which the capacity bounds. An item costs a search among the keys
    /// that are there. `K::cmp`, `K::clone` and the drop of these clones run with no lock held: they may call the batcher. If
    /// one of them panics, no accepted item is lost: a caller has its panic, and the driver goes on.
    pub fn keyed(self) -> Self {
        self.with_keys(Box::new(KeyIndex::new()))
    }
}

impl<K, T> Keys<(K, T)> for KeyIndex<K>
where
    K: Ord + Clone + Send + Sync,
{
    fn find(&self, (key, _): &(K, T)) -> Option<Key> {
        self.find(key)
    }

    fn claim(&self, (key, _): &(K, T)) -> Key {
        self.claim(key)
    }

    fn release(&self, key: Key) {
        self.release(key);
    }
}
