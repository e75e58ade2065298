//! Which quantizers cost accuracy, and a recipe without those that cost too much.
//!
//! Quantizers are taken in [`groups`](group); each is measured on alone and off alone
//! ([`Question`]), and [`search()`] finds few whose absence keeps the loss within a budget.
//! [`recipe`] writes what is left as a `quantize` block. How a set of quantizers is
//! measured is the caller's: one number for each set, of which less is better.

pub mod group;
pub mod recipe;
pub mod search;

pub use group::{By, Group, groups};
pub use recipe::without;
pub use search::{Found, Measure, search};

use std::collections::BTreeSet;

/// The names of quantizers that are on.
pub type On = BTreeSet<String>;

/// The sets that show what each group costs: nothing on, everything on, and then for
/// each group it alone on, and all but it on.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sets.
    pub sets: Vec<On>,
}

impl Question {
    /// Of these groups, which together are all quantizers.
    pub fn new(groups: &[Group]) -> Question {
        let all: On = groups.iter().flat_map(|group| &group.quantizers).cloned().collect();
        let mut sets = vec![On::new(), all.clone()];
        for group in groups {
            sets.push(group.quantizers.clone());
            sets.push(all.difference(&group.quantizers).cloned().collect());
        }
        Question { sets }
    }

    /// Where in [`sets`](Question::sets) nothing is on.
    pub const FLOAT: usize = 0;

    /// Where everything is on.
    pub const ALL: usize = 1;

    /// Where a group alone is on.
    pub fn only(group: usize) -> usize {
        2 + 2 * group
    }

    /// Where all but a group is on.
    pub fn without(group: usize) -> usize {
        3 + 2 * group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_where_they_are_said_to_be() {
        let group = |name: &str, of: &[&str]| Group {
            name: name.to_owned(),
            quantizers: of.iter().map(|name| (*name).to_owned()).collect(),
        };
        let groups = [group("a", &["x", "y"]), group("b", &["z"])];
        let Question { sets } = Question::new(&groups);
        let names = |at: usize| sets[at].iter().map(String::as_str).collect::<Vec<_>>().join("");
        assert_eq!((names(Question::FLOAT), names(Question::ALL)), (String::new(), "xyz".to_owned()));
        assert_eq!((names(Question::only(0)), names(Question::without(0))), ("xy".into(), "z".into()));
        assert_eq!((names(Question::only(1)), names(Question::without(1))), ("z".into(), "xy".into()));
        assert_eq!(sets.len(), 6);
    }
}
