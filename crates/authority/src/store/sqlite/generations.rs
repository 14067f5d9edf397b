//! A bounded map that forgets what has not been touched lately.
//!
//! Two generations: what is touched moves to the young one; when the young one is full it becomes
//! the old one, and what was left in the old one is dropped. No bookkeeping per entry.

use std::collections::HashMap;
use std::hash::Hash;

/// The map. It holds at most twice its weight limit.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
    weight_max: usize,
}

impl<K: Hash + Eq + Clone, V> Generations<K, V> {
    /// An empty map whose generations weigh at most `weight_max` each.
    pub(super) fn new(weight_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_weight: 0, weight_max }
    }

    /// The value, marked as touched.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some((value, weight)) = self.old.remove(key) {
            self.insert(key.clone(), value, weight);
        }
        self.young.get_mut(key).map(|(value, _)| value)
    }

    /// Puts a value, replacing what was there.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.old.remove(&key);
        if self.young_weight.saturating_add(weight) > self.weight_max {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
            self.old.remove(&key);
        }
        self.young_weight = self.young_weight.saturating_add(weight);
        if let Some((_, before)) = self.young.insert(key, (value, weight)) {
            self.young_weight = self.young_weight.saturating_sub(before);
        }
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        if let Some((value, weight)) = self.young.remove(key) {
            self.young_weight = self.young_weight.saturating_sub(weight);
            return Some(value);
        }
        self.old.remove(key).map(|(value, _)| value)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_stays_and_the_bound_holds() {
        let mut map = Generations::new(10);
        for key in 0..100_u32 {
            map.insert(key, key, 1);
            assert_eq!(map.get_mut(&0), Some(&mut 0), "touched every time");
            assert!(map.young.len() + map.old.len() <= 20);
        }
        assert_eq!(map.get_mut(&1), None, "not touched");
        assert_eq!(map.get_mut(&99), Some(&mut 99));
    }

    #[test]
    fn a_replaced_value_never_comes_back() {
        let mut map = Generations::new(2);
        map.insert("a", 1, 1);
        map.insert("b", 1, 1);
        map.insert("c", 1, 1);
        map.insert("a", 2, 1);
        assert_eq!(map.get_mut(&"a"), Some(&mut 2));
        assert_eq!(map.remove(&"a"), Some(2));
        assert_eq!(map.get_mut(&"a"), None);
    }
}
