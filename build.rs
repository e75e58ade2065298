//! Lists every spec and every checkpoint under `specs/`, so that the binary carries
//! them all and no list has to be kept by hand.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// The files of a checkpoint that the binary carries, where it has them.
const CHECKPOINT: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "calibration.ron",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=specs");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("specs");
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(folder.join("specs.rs"), specs(&root)?)?;
    fs::write(folder.join("checkpoints.rs"), checkpoints(&root)?)
}

/// Every spec, as Rust.
fn specs(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(root).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        let name = name.trim_end_matches(".qdq");
        let path = below_specs(&format!("{name}.qdq"));
        table += &format!("    Bundled {{ name: {name:?}, text: include_str!({path}) }},\n");
    }
    Ok(table + "]")
}

/// Every folder with a `config.json`, as Rust.
fn checkpoints(root: &Path) -> io::Result<String> {
    let mut table = String::from("&[\n");
    let folders = fs::read_dir(root)?.map(|entry| Ok(entry?.path()));
    let mut folders = folders.collect::<io::Result<Vec<PathBuf>>>()?;
    folders.sort();
    for folder in folders.iter().filter(|folder| folder.join("config.json").is_file()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        table += &format!("    Bundled {{ name: {name:?}, files: &[\n");
        for file in CHECKPOINT.iter().filter(|file| folder.join(file).is_file()) {
            table +=
                &format!("        ({file:?}, include_bytes!({})),\n", below_specs(&format!("{name}/{file}")));
        }
        table += "    ] },\n";
    }
    Ok(table + "]")
}

/// A path below `specs/`, as Rust: by the variable, not by today's path, so that a
/// checkout can be moved.
fn below_specs(path: &str) -> String {
    format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?})", format!("/specs/{path}"))
}

/// Every `.qdq` file below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "qdq") {
            files.push(path);
        }
    }
    Ok(())
}
