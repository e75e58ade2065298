//! Tables on standard output.

/// Lines of a name and figures: names to the left, figures to the right, as wide as the widest. The first
/// line is the header.
pub fn figures(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

/// Columns as wide as their widest cell, two spaces apart.
pub fn words<L: AsRef<[String]>>(lines: &[L]) -> String {
    let mut widths = vec![0; lines.iter().map(|line| line.as_ref().len()).max().unwrap_or_default()];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let aligned = lines.iter().map(|line| {
        let cells = line.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    aligned.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_aligned_to_the_right() {
        let lines = [vec!["metric", "float"], vec!["f1 (é)", "1.00"], vec!["a", "-10.00"]];
        let lines = lines.map(|line| line.into_iter().map(str::to_owned).collect());
        assert_eq!(figures(&lines), "metric   float\nf1 (é)    1.00\na       -10.00\n");
    }

    #[test]
    fn columns_are_aligned() {
        let lines = [["a", "b"], ["long", ""]].map(|line| line.map(str::to_owned));
        assert_eq!(words(&lines), "a     b\nlong\n");
    }
}
