//! Which ranges come out.

use super::*;

/// A tie, a limit and a fixed range hold in what is written, whatever the method.
#[test]
fn what_the_spec_demands_of_ranges_holds() {
    let place = Place::new();
    let rules = "quantizer a = int8()\nquantizer one = int8(amax: 1.5)\n\
        attach a to input of Linear at layer.0.output\n\
        attach one to lhs of context in SelfAttention as matmul_a_input_quantizer\n\
        attach a to lhs of scores in SelfAttention as matmul_q_input_quantizer\n\
        attach a to rhs of scores in SelfAttention as matmul_k_input_quantizer\n\
        tie lhs, rhs of scores in SelfAttention\n\
        limit input of dense at layer.0.output to 0.25";
    place.write("ranges.qdq", &recipe(rules));
    place.write(
        "free.qdq",
        &recipe(
            &rules
                .lines()
                .filter(|line| !line.starts_with("tie") && !line.starts_with("limit"))
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    );
    place.calibrate("--recipe free.qdq --input texts.txt -o free").succeeded();
    let at =
        |folder: &str, own: &str| place.amax(folder, &format!("encoder.layer.0.attention.self.{own}"))[0];
    let (q, k) = (at("free", "matmul_q_input_quantizer"), at("free", "matmul_k_input_quantizer"));
    assert!(q != k && place.amax("free", GELU)[0] > 0.25);
    for method in ["max", "percentile=99", "entropy", "mse"] {
        let line = format!(
            "--recipe ranges.qdq --merge free/statistics.safetensors --method {method} --force -o held"
        );
        let table = place.calibrate(&format!("{line} --json")).succeeded();
        assert!(place.amax("held", GELU)[0] <= 0.25, "{method}");
        assert_eq!(
            at("held", "matmul_q_input_quantizer"),
            at("held", "matmul_k_input_quantizer"),
            "{method}"
        );
        assert_eq!(at("held", "matmul_a_input_quantizer"), 1.5);
        assert!(table.contains("\"fixed\"") && table.contains("\"tie\""), "{table}");
    }
    place.calibrate("--recipe ranges.qdq --merge free/statistics.safetensors --force -o held").succeeded();
    assert_eq!(at("held", "matmul_q_input_quantizer"), q.max(k));
    assert_eq!(place.amax("held", GELU), [0.25]);
    // A checkpoint that breaks them is held to them when it is loaded.
    let answer = |folder: &str, recipe: &str| {
        place.run(&format!("run sentence-embedding -c {folder} --recipe {recipe} --text book")).succeeded()
    };
    assert_eq!(answer("free", "ranges.qdq"), answer("held", "ranges.qdq"));
    assert_ne!(answer("free", "free.qdq"), answer("held", "free.qdq"));
}

/// Single channels, and statistics of another number of ranges.
#[test]
fn ranges_have_the_shape_that_the_spec_says() {
    let place = Place::new();
    place.write("channels.qdq", &recipe("quantizer a = int8(axis: -1)\nquantizer w = int8(axis: 0)\nattach a to input of Linear under Encoder\nattach w to weight of Linear under Encoder"));
    place.write("one.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear under Encoder"));
    place.calibrate("--recipe channels.qdq --input texts.txt -o channels").succeeded();
    let made = place.tensors("channels/model.safetensors");
    assert_eq!(made[&format!("bert.{QUERY}._amax")].dims(), [1, 1, 32]);
    let message = place.calibrate("--recipe one.qdq --merge channels/statistics.safetensors -o no").failed(1);
    assert!(
        message.contains("counted for 32 channels, and it has 1") && message.contains("one.qdq:3"),
        "{message}"
    );
    assert!(!place.path("no").exists());
    assert!(!message.contains("what was observed is in"), "{message}");
}

/// All quantizers without a range, by rule and reason; what was observed is kept.
#[test]
fn quantizers_without_a_range_are_named() {
    let place = Place::new();
    place.checkpoint("broken", |tensors| {
        for (name, value) in
            [("0.intermediate.dense.weight", f32::NAN), ("1.attention.self.value.weight", 0.0)]
        {
            let name = format!("bert.encoder.layer.{name}");
            let value = Tensor::full(value, tensors[&name].dims(), &Device::Cpu).unwrap();
            tensors.insert(name, value);
        }
    });
    place.write("mine.qdq", &recipe("quantizer w = int8(axis: 0)\nquantizer u = uint8()\nattach w to weight of Linear under Encoder\nattach u to input of query in SelfAttention"));
    let line = "calibrate sentence-embedding -c broken --recipe mine.qdq --input texts.txt -o out";
    let message = place.run(line).failed(1);
    assert_eq!(message.matches("error[E0406]").count(), 4, "{message}");
    for part in ["it saw NaN", "it saw only zeros", "it is unsigned", "mine.qdq:4", "mine.qdq:5", "--merge"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(place.path("out/statistics.safetensors").exists());
    for name in ["model.safetensors", "calibration.ron", "config.json"] {
        assert!(!place.path("out").join(name).exists(), "{name}");
    }
    place.write("more.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear"));
    let message = place.run("calibrate sentence-embedding -c broken --recipe more.qdq --merge out/statistics.safetensors -o no").failed(1);
    assert!(message.contains("it saw no values"), "{message}");
}

/// Inputs besides the usual ones lead to more quantizers, and have them calibrated.
#[test]
fn other_inputs_have_their_quantizers_calibrated() {
    let place = Place::new();
    let own = "dim batch\nmodule Linear(in: int, out: int) on (input: f32[batch, in]) -> f32[batch, out] {\n\
        weight: f32[out, in]\nreturn input @ transpose(weight, axes: [1, 0])\n}\n\
        model M(x: f32[batch, 32], more: f32[batch, 32]?) -> (y: f32[batch, 3], z: f32[batch, 2]?) {\n\
        classifier: Linear(32, 3)\nqa_outputs: Linear(32, 2)\n\
        return (y: classifier(x), z: if given(more) then qa_outputs(more) else none)\n}\n";
    place.write(
        "mine.qdq",
        &format!("{own}{}", recipe("quantizer a = int8()\nattach a to input, weight of Linear")),
    );
    let tensor = |value: f32| Tensor::full(value, (2, 32), &Device::Cpu).unwrap();
    let save = |name: &str, tensors: &[(&str, f32)]| {
        let tensors: HashMap<_, _> = tensors.iter().map(|(name, value)| (*name, tensor(*value))).collect();
        safetensors::save(&tensors, place.path(name)).unwrap();
    };
    save("both.safetensors", &[("x", 1.0), ("more", 2.0)]);
    save("one.safetensors", &[("x", 3.0)]);
    let ranges = |folder: &str| {
        let tensors = place.tensors(&format!("{folder}/model.safetensors"));
        let ranges = tensors.iter().filter(|(name, _)| name.ends_with("_input_quantizer._amax"));
        let mut ranges: Vec<(String, f32)> =
            ranges.map(|(name, amax)| (name.clone(), amax.to_scalar().unwrap())).collect();
        ranges.retain(|(name, _)| !name.contains("encoder"));
        ranges.sort_by(|a, b| a.0.cmp(&b.0));
        ranges
    };
    let expected = [("classifier._input_quantizer._amax", 3.0), ("qa_outputs._input_quantizer._amax", 2.0)]
        .map(|(name, amax)| (name.to_owned(), amax));
    let both = "--tensors both.safetensors --tensors one.safetensors";
    let line = format!("calibrate mine.qdq -c {TINY}");
    place.run(&format!("{line} {both} -o both")).succeeded();
    assert_eq!(ranges("both"), expected);
    for part in 1..=2 {
        place.run(&format!("{line} {both} --shard {part}/2 -o part{part}")).succeeded();
    }
    place.run(&format!("{line} --merge part2 part1 -o merged")).succeeded();
    assert!(place.calibrated("merged") == place.calibrated("both"));
    place.run(&format!("{line} --tensors one.safetensors -o one")).succeeded();
    assert_eq!(ranges("one"), expected[..1]);
}
