//! The checkpoint that is written.

use super::*;

/// The folder is a checkpoint as QDQBERT saves it.
#[test]
fn what_is_written_loads_back() {
    let place = Place::new();
    place.calibrate("--input texts.txt -o made").succeeded();
    let (before, after) = (
        safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap(),
        place.tensors("made/model.safetensors"),
    );
    let mut names: [Vec<&String>; 2] = [&before, &after].map(|tensors| tensors.keys().collect());
    names.iter_mut().for_each(|names| names.sort());
    assert_eq!(names[0], names[1]);
    for (name, tensor) in &after {
        let old = &before[name];
        assert_eq!(tensor.dims(), old.dims(), "{name}");
        assert_eq!(tensor.dtype(), DType::F32);
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Activation ranges of the tiny checkpoint are made up, those of weights are not.
        let replaced = name.ends_with("_input_quantizer._amax");
        assert_eq!(flat(tensor) != flat(old), replaced, "{name}");
    }
    for name in ["tokenizer_config.json", "vocab.txt"] {
        assert!(place.bytes(&format!("made/{name}")) == fs::read(Path::new(TINY).join(name)).unwrap());
    }
    let answer = |checkpoint: &str, flags: &str| {
        place.run(&format!("run sentence-embedding -c {checkpoint} --text book {flags}")).succeeded()
    };
    assert_eq!(answer("made", "--float"), answer(TINY, "--float"));
    assert_ne!(answer("made", "--threads 1"), answer(TINY, "--threads 1"));
    assert_eq!(answer("made", "--threads 1"), answer(TINY, "--amax made/model.safetensors"));
    let table: ron::Value =
        ron::from_str(&String::from_utf8(place.bytes("made/calibration.ron")).unwrap()).unwrap();
    assert!(format!("{table:?}").contains(QUERY));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        place.write("usual", "");
        let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode();
        for entry in fs::read_dir(place.path("made")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert_eq!(mode(&format!("made/{name}")), mode("usual"), "{name}");
        }
    }
}

/// Names are today's, whatever the source calls its tensors; ranges have the prefix
/// that the weights have.
#[test]
fn names_follow_the_source() {
    let place = Place::new();
    let rename = |change: fn(&str) -> Option<String>| {
        move |tensors: &mut HashMap<String, Tensor>| {
            let all = std::mem::take(tensors);
            tensors.extend(all.into_iter().filter_map(|(name, tensor)| Some((change(&name)?, tensor))));
        }
    };
    place.checkpoint(
        "bare",
        rename(|name| name.strip_prefix("bert.").filter(|name| !name.ends_with("_amax")).map(str::to_owned)),
    );
    place.checkpoint(
        "old",
        rename(|name| {
            let name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            (!name.ends_with("_amax")).then(|| format!("module.{name}"))
        }),
    );
    let run = |source: &str| {
        place
            .run(&format!(
                "calibrate sentence-embedding -c {source} --batch 2 --input texts.txt -o {source}.int8"
            ))
            .succeeded();
        let tensors = place.tensors(&format!("{source}.int8/model.safetensors"));
        let mut names: Vec<String> = tensors.into_keys().collect();
        names.sort();
        names
    };
    let bare = run("bare");
    assert!(bare.iter().all(|name| !name.starts_with("bert.")), "{bare:?}");
    assert!(bare.contains(&format!("{QUERY}._amax")));
    let old = run("old");
    let with_prefix = |name: &String| format!("bert.{name}");
    assert!(bare.iter().map(with_prefix).all(|name| old.contains(&name)), "{old:?}");
    assert!(old.iter().all(|name| !name.starts_with("module.") && !name.ends_with("gamma")), "{old:?}");
    let answer =
        |folder: &str| place.run(&format!("run sentence-embedding -c {folder} --text book")).succeeded();
    assert_eq!(answer("bare.int8"), answer("old.int8"));
}

/// Files that are not safetensors, or several, become one folder like any other.
#[test]
fn every_format_of_weights_is_calibrated() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/formats");
    if !formats.is_dir() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", formats.display());
        return;
    }
    let place = Place::new();
    let inputs = formats.join("inputs.safetensors").display().to_string();
    let mut made = Vec::new();
    for format in [
        "safetensors",
        "bin",
        "bin_legacy_pickle",
        "sharded_bin",
        "sharded_safetensors",
        "legacy_gamma_beta_bin",
    ] {
        let source = formats.join(format).display().to_string();
        place
            .run(&format!("calibrate sequence-classification -c {source} --tensors {inputs} -o {format}"))
            .succeeded();
        made.push(place.tensors(&format!("{format}/model.safetensors")));
    }
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for tensors in &made[1..] {
        for (name, tensor) in made[0].iter().filter(|(name, _)| name.ends_with("_amax")) {
            assert_eq!(flat(tensor), flat(&tensors[name]), "{name}");
        }
    }
}
