//! The recipes in `docs/examples/` are ones, and the pages beside them tell the truth:
//! their commands parse, and the counts are those of the recipes.

#![cfg(test)]

use clap::Parser;
use qdqc::{
    cli::args::Arguments,
    compile::{self, Options},
    config::Config,
    specs::{self, BundledLibrary},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files of the example with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("docs/examples/minilm-sts-b");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// How many quantizers a recipe has in a sentence encoder of so many layers.
fn quantizers(recipe: &Path, layers: u64) -> usize {
    let spec = specs::find("sentence-embedding").unwrap();
    let (mut program, problems) = compile::load(&spec.source_name(), spec.text, &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    program.set_recipe("recipe.qdq", &fs::read_to_string(recipe).unwrap()).unwrap();
    let mut config = Config::new(serde_json::Map::new(), "a test");
    config.set("num_hidden_layers", layers.into());
    let (graph, problems) = compile::compile(&program, &Options { config, ..Options::default() }, true);
    assert!(problems.is_empty(), "{problems:?}");
    graph.unwrap().quantizers.len()
}

#[test]
fn recipes_have_as_many_quantizers_as_their_page_says() {
    let folder = Path::new(ROOT).join("docs/examples/minilm-sts-b");
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    let recipes = files("qdq");
    assert_eq!(recipes.len(), 2);
    for recipe in recipes {
        let name = recipe.file_name().unwrap().to_str().unwrap().to_owned();
        let row = page.lines().find(|line| line.starts_with(&format!("| [{name}]"))).unwrap();
        let count: usize = row.split('|').nth(2).unwrap().trim().parse().unwrap();
        assert_eq!(quantizers(&recipe, 6), count, "{name}");
    }
}

#[test]
fn commands_parse() {
    for page in files("md") {
        let text = fs::read_to_string(&page).unwrap();
        let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("qdqc ")).collect();
        assert!(!commands.is_empty(), "{}", page.display());
        for command in commands {
            if let Err(message) = Arguments::try_parse_from(command.split_whitespace()) {
                panic!("`{command}` in {}:\n{message}", page.display());
            }
        }
    }
}
