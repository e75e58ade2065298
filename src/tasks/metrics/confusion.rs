//! How often each class was taken for each.

/// How often each class was taken for each: counts `[gold, predicted]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Square, by gold and predicted class.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new() -> Confusion {
        Confusion::default()
    }

    /// Counts one answer. There are as many classes as the highest that was counted.
    pub fn add(&mut self, gold: usize, predicted: usize) {
        let classes = self.counts.len().max(gold + 1).max(predicted + 1);
        self.counts.resize(classes, Vec::new());
        self.counts.iter_mut().for_each(|row| row.resize(classes, 0));
        if let Some(count) = self.counts.get_mut(gold).and_then(|row| row.get_mut(predicted)) {
            *count += 1;
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Everything counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Rightly taken for what they are, of all classes.
    pub fn right(&self) -> u64 {
        (0..self.classes()).map(|class| self.right_of(class)).sum()
    }

    /// Of this class and taken for it.
    pub fn right_of(&self, class: usize) -> u64 {
        self.counts.get(class).and_then(|row| row.get(class)).copied().unwrap_or(0)
    }

    /// Of this class.
    pub fn gold(&self, class: usize) -> u64 {
        self.counts.get(class).map_or(0, |row| row.iter().sum())
    }

    /// Taken for this class.
    pub fn predicted(&self, class: usize) -> u64 {
        self.counts.iter().filter_map(|row| row.get(class)).sum()
    }
}
