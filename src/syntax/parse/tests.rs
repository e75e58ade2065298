use super::*;
use std::collections::BTreeSet;

#[test]
fn the_sample_uses_every_rule_of_the_grammar() {
    let sample = include_str!("../../../tests/syntax/sample.qdq");
    let pairs = SpecParser::parse(Rule::spec, sample).unwrap();
    let used: BTreeSet<Rule> = pairs.flatten().map(|pair| pair.as_rule()).collect();
    // These are parts of other tokens, or none.
    let silent =
        [Rule::segment, Rule::escape, Rule::letter, Rule::operator_word, Rule::WHITESPACE, Rule::COMMENT];
    let unused: Vec<_> = Rule::all_rules().iter().filter(|rule| !used.contains(rule)).collect();
    assert_eq!(unused, silent.iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}
