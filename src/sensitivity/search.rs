//! Few groups whose absence keeps the loss within a budget.

use super::{Group, On};
use crate::failure::Failure;

/// The loss of each of some sets of quantizers; less is better.
pub type Measure<'a> = dyn FnMut(&[On]) -> Result<Vec<f64>, Failure> + 'a;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Groups left out, by position, those that cost most first, each with the loss
    /// once it and those before it are left out.
    pub left_out: Vec<(usize, f64)>,
    /// The loss without them.
    pub loss: f64,
}

/// Leaves groups out until the loss is at most `budget`. `costs` says, for each
/// group, the loss with all but it on: those are left out first whose absence helps
/// most. Then each that was left out is tried again, and stays where the budget
/// allows it, so that none of those left out could be put back alone. It is a greedy
/// search: a smaller set may exist. `None` where not even leaving everything out is
/// enough.
///
/// # Errors
/// What measuring says.
pub fn search(
    groups: &[Group],
    costs: &[f64],
    all: f64,
    budget: f64,
    measure: &mut Measure<'_>,
) -> Result<Option<Found>, Failure> {
    if all <= budget {
        return Ok(Some(Found { left_out: Vec::new(), loss: all }));
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let cost = |group: &usize| costs.get(*group).copied().unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    let prefixes: Vec<On> = (1..=order.len()).map(|count| on(groups, order.iter().take(count))).collect();
    let losses = measure(&prefixes)?;
    let Some(count) = losses.iter().position(|loss| *loss <= budget) else { return Ok(None) };
    let mut kept: Vec<usize> = order.into_iter().take(count + 1).collect();
    let mut loss = losses.get(count).copied().unwrap_or(f64::INFINITY);
    // Those that help least are put back first.
    for group in kept.clone().into_iter().rev() {
        if kept.len() == 1 {
            break;
        }
        let fewer: Vec<usize> = kept.iter().copied().filter(|other| *other != group).collect();
        let tried = measure(&[on(groups, fewer.iter())])?.first().copied().unwrap_or(f64::INFINITY);
        if tried <= budget {
            (kept, loss) = (fewer, tried);
        }
    }
    let steps: Vec<On> = (1..=kept.len()).map(|count| on(groups, kept.iter().take(count))).collect();
    let left_out = kept.into_iter().zip(measure(&steps)?).collect();
    Ok(Some(Found { left_out, loss }))
}

/// All quantizers but those of these groups.
fn on<'a>(groups: &[Group], left_out: impl Iterator<Item = &'a usize>) -> On {
    let mut on: On = groups.iter().flat_map(|group| &group.quantizers).cloned().collect();
    for group in left_out.filter_map(|at| groups.get(*at)) {
        on.retain(|name| !group.quantizers.contains(name));
    }
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss is the sum of what the quantizers that are on cost.
    fn found(costs: &[f64], budget: f64) -> Option<Found> {
        let groups: Vec<Group> = (0..costs.len())
            .map(|at| Group { name: at.to_string(), quantizers: On::from([at.to_string()]) })
            .collect();
        let of = |on: &On| on.iter().map(|name| costs[name.parse::<usize>().unwrap()]).sum::<f64>();
        let all: f64 = costs.iter().sum();
        let without: Vec<f64> = costs.iter().map(|cost| all - cost).collect();
        let mut measure = |sets: &[On]| Ok(sets.iter().map(of).collect());
        search(&groups, &without, all, budget, &mut measure).unwrap()
    }

    #[test]
    fn the_costliest_are_left_out_until_it_fits() {
        let left_out = |costs: &[f64], budget| {
            found(costs, budget).map(|found| found.left_out.into_iter().map(|(at, _)| at).collect::<Vec<_>>())
        };
        assert_eq!(left_out(&[1.0, 8.0, 2.0, 4.0], 15.0), Some(vec![]));
        assert_eq!(left_out(&[1.0, 8.0, 2.0, 4.0], 7.0), Some(vec![1]));
        assert_eq!(left_out(&[1.0, 8.0, 2.0, 4.0], 3.0), Some(vec![1, 3]));
        assert_eq!(left_out(&[1.0, 8.0], 0.0), Some(vec![1, 0]));
        assert_eq!(left_out(&[1.0, 8.0], -1.0), None);
    }

    #[test]
    fn what_is_not_needed_is_put_back() {
        // Without 0 the others cost nothing, though 1 looked as costly.
        let groups: Vec<Group> = ["0", "1"]
            .map(|name| Group { name: name.to_owned(), quantizers: On::from([name.to_owned()]) })
            .into();
        let mut measure =
            |sets: &[On]| Ok(sets.iter().map(|on| if on.contains("0") { 3.0 } else { 0.0 }).collect());
        let found = search(&groups, &[2.0, 1.0], 3.0, 0.5, &mut measure).unwrap().unwrap();
        assert_eq!(found, Found { left_out: vec![(0, 0.0)], loss: 0.0 });
    }
}
