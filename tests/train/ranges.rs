//! Ranges before a run and during it.

use super::*;

const INPUT: &str = "bert.encoder.layer.0.attention.self.query._input_quantizer._amax";
const WEIGHT: &str = "bert.encoder.layer.0.attention.self.query._weight_quantizer._amax";

impl Place {
    fn range(&self, folder: &str, name: &str) -> Vec<f32> {
        self.tensors(folder)[name].flatten_all().unwrap().to_vec1().unwrap()
    }
}

#[test]
fn a_checkpoint_without_ranges_gets_them_first() {
    let place = Place::new();
    place.checkpoint("plain", |tensors| tensors.retain(|name, _| !name.ends_with("_amax")));
    let line = "train sequence-classification -c plain --input train.tsv --steps 2";
    let said = place.run(&format!("{line} -o out")).said();
    assert!(said.contains("the checkpoint has no ranges: they are measured on 40 examples first"), "{said}");
    let trained = place.tensors("out");
    assert_eq!(trained.keys().filter(|name| name.ends_with("_amax")).count(), 40);
    // By the spec's own methods, on the same records: as `qdqc calibrate` finds them, but for rounding.
    place.run("calibrate sequence-classification -c plain --input train.tsv -o calibrated").succeeded();
    let (trained, calibrated) = (place.range("out", INPUT), place.range("calibrated", INPUT));
    assert!((trained[0] - calibrated[0]).abs() < 1e-5 * calibrated[0], "{trained:?} {calibrated:?}");
    assert_eq!(place.range("out", WEIGHT), place.range("calibrated", WEIGHT));
    assert!(!place.names("out").iter().any(|name| name.starts_with('.')));

    let said = place.run(&format!("{line} --float -o float")).said();
    assert!(!said.contains("ranges"), "{said}");
    assert!(!place.tensors("float").keys().any(|name| name.ends_with("_amax")));
}

#[test]
fn ranges_stay_or_follow() {
    let place = Place::new();
    let before = safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap();
    let before = before[WEIGHT].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    place.train("--steps 4 --learning-rate 1e-2 -o fixed").succeeded();
    assert_eq!(place.range("fixed", WEIGHT), before);
    place.train("--steps 4 --learning-rate 1e-2 --ranges 3 -o following").succeeded();
    let weight = &place.tensors("following")["bert.encoder.layer.0.attention.self.query.weight"];
    let largest: Vec<f32> = weight.abs().unwrap().max(1).unwrap().to_vec1().unwrap();
    assert_eq!(place.range("following", WEIGHT), largest, "those of the weights at the end");
    assert!(place.range("following", INPUT) != place.range("fixed", INPUT));
}

/// The range of a quantizer with `learn: true` is a parameter like others.
#[test]
fn learned_ranges_learn() {
    let place = Place::new();
    place.write(
        "learned.qdq",
        "quantize mine {\nquantizer a = int8(learn: true)\nattach a to input of Linear under Encoder\n}\n",
    );
    // Bounds learn from the numbers beyond them.
    place.checkpoint("narrow", |tensors| {
        tensors.insert(INPUT.to_owned(), Tensor::new(0.5_f32, &Device::Cpu).unwrap());
    });
    let line = "train sequence-classification -c narrow --input train.tsv --steps 4 --learning-rate 1e-2";
    place.run(&format!("{line} --recipe learned.qdq -o out")).succeeded();
    let bound = |end: &str| place.range("out", &INPUT.replace("_amax", &format!("clip.clip_value_{end}")))[0];
    let (least, most) = (bound("min"), bound("max"));
    assert!(least != -0.5 && most != 0.5, "{least} {most}");
    assert_eq!(place.range("out", INPUT), [most.max(-least)]);
    let line = "eval sequence-classification -c out --recipe learned.qdq --input dev.tsv";
    place.run(line).succeeded();
}
