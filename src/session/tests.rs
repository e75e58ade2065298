use super::*;
use crate::{checkpoint::HubOptions, compile, specs::BundledLibrary};

fn session(spec: &str) -> Session {
    let (program, problems) = compile::load("m.qdq", spec, &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");
    let checkpoint = Checkpoint::open(tiny, &HubOptions::from_env()).unwrap();
    Session::new(
        program,
        checkpoint,
        Engine { device: Device::Cpu, dtype: DType::F32, quantize: false, integers: Integers::Never },
    )
}

fn sums(session: &mut Session, shape: [usize; 2]) -> Result<Vec<f32>, Failure> {
    let x = Tensor::ones(&shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let outputs = session.call(&BTreeMap::from([("x".to_owned(), x)]), &BTreeSet::new())?;
    Ok(outputs["sums"].to_vec1().unwrap())
}

#[test]
fn sizes_that_a_type_names_choose_it() {
    let mut session = session(
        "dim batch\n\
         model M(x: f32[batch, 3] | f32[batch, 5]) -> (sums: f32[batch]) {\n\
         return (sums: sum(x, axis: 1))\n\
         }\n",
    );
    assert_eq!(sums(&mut session, [2, 3]).unwrap(), [3.0; 2]);
    assert_eq!(sums(&mut session, [2, 5]).unwrap(), [5.0; 2]);
    assert_eq!(sums(&mut session, [4, 3]).unwrap(), [3.0; 4]);
    assert!(sums(&mut session, [2, 4]).is_err());
    assert_eq!(session.executors.len(), 2);
}

const QUANTIZED: &str = "dim batch\n\
    module Linear(in: int, out: int) on (input: f32[batch, in]) -> f32[batch, out] {\n\
    weight: f32[out, in]\n\
    return input @ transpose(weight, axes: [1, 0])\n\
    }\n\
    model M(x: f32[batch, 32]) -> (y: f32[batch, 3]) {\n\
    classifier: Linear(32, 3)\n\
    return (y: classifier(x + x))\n\
    }\n\
    quantize q {\n\
    quantizer i = int8()\n\
    attach i to input of Linear\n\
    quantizer w = int8(axis: 0)\n\
    attach w to weight of Linear\n\
    quantizer a = int8()\n\
    attach a to lhs of add\n\
    }\n";

#[test]
fn an_observer_sees_what_quantizers_would_see() {
    let mut session = session(QUANTIZED);
    let x = Tensor::ones((1, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), x)]);
    let mut seen = Vec::new();
    let mut observer = |which: &[&Quantizer], value: &Tensor| {
        let names: Vec<_> = which.iter().map(|quantizer| quantizer.name.clone()).collect();
        seen.push((names.join(" "), value.dims().to_vec(), value.max_all().unwrap().to_scalar::<f32>()));
        Ok(())
    };
    let float = session.call(&inputs, &BTreeSet::new()).unwrap();
    let observed = session.observe(&inputs, &mut observer).unwrap();
    assert_eq!(float["y"].to_vec2::<f32>().unwrap(), observed["y"].to_vec2::<f32>().unwrap());
    session.observe_weights(&BTreeSet::new(), &mut observer).unwrap();
    let seen: Vec<_> = seen.into_iter().map(|(name, dims, max)| (name, dims, max.unwrap())).collect();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].1, [1, 32]);
    assert_eq!(seen[0].2, 1.0);
    assert_eq!((seen[1].0.as_str(), seen[1].2), ("classifier._input_quantizer", 2.0));
    assert_eq!((seen[2].0.as_str(), seen[2].1.as_slice()), ("classifier._weight_quantizer", &[3, 32][..]));
}

#[test]
fn variants_are_what_each_would_be_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ranges = folder.path().join("ranges.safetensors");
    let amax = |values: &[f32], shape: &[usize]| Tensor::from_vec(values.to_vec(), shape, &Device::Cpu);
    let entries = HashMap::from([
        ("add_lhs_quantizer._amax", amax(&[3.0], &[]).unwrap()),
        ("classifier._input_quantizer._amax", amax(&[1.5], &[]).unwrap()),
        ("classifier._weight_quantizer._amax", amax(&[0.02, 0.01, 0.03], &[3, 1]).unwrap()),
    ]);
    candle_core::safetensors::save(&entries, &ranges).unwrap();
    let with = |spec: &str| {
        let mut session = session(spec);
        session.engine.quantize = true;
        session.checkpoint.overlay(&ranges).unwrap();
        session
    };
    let x = Tensor::arange(-16.0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 32)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), (x / 9.0).unwrap())]);
    let lines: Vec<&str> = QUANTIZED.lines().filter(|line| line.starts_with("quantizer")).collect();
    let rules: Vec<&str> = QUANTIZED.lines().filter(|line| line.starts_with("attach")).collect();
    let names = ["classifier._input_quantizer", "classifier._weight_quantizer", "add_lhs_quantizer"];
    let mut sets = Vec::new();
    let mut alone = Vec::new();
    for on in 0..1_usize << lines.len() {
        let mut spec = QUANTIZED.to_owned();
        let mut set = BTreeSet::new();
        for (bit, line) in lines.iter().enumerate() {
            match on >> bit & 1 {
                1 => {
                    set.insert(names[bit].to_owned());
                }
                _ => spec = spec.replace(line, "").replace(rules[bit], ""),
            }
        }
        alone.push(with(&spec).call(&inputs, &BTreeSet::new()).unwrap()["y"].to_vec2::<f32>().unwrap());
        sets.push(set);
    }
    let together = with(QUANTIZED).variants(&inputs, &sets).unwrap();
    let together: Vec<_> = together.iter().map(|made| made["y"].to_vec2::<f32>().unwrap()).collect();
    assert_eq!(together, alone);
    assert!(alone.iter().enumerate().all(|(at, one)| alone[..at].iter().all(|other| other != one)));
}

#[test]
fn a_weight_whose_quantizer_is_off_is_multiplied_as_it_is() {
    // Only the right side is quantized, as it is multiplied: nothing but the quantizer is packed.
    let (model, _) = QUANTIZED.split_once("quantize").unwrap();
    let rules = "quantizer w = int8(dynamic: true)\nattach w to rhs of matmul in Linear\n";
    let spec = &format!("{model}quantize q {{\n{rules}}}\n");
    let x = Tensor::arange(-16.0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 32)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), x)]);
    let of = |quantize: bool| {
        let mut session = session(spec);
        session.engine.quantize = quantize;
        session.call(&inputs, &BTreeSet::new()).unwrap()["y"].to_vec2::<f32>().unwrap()
    };
    let mut switched = session(spec);
    switched.engine.quantize = true;
    let graph = switched.graph_with(&["x".to_owned()].into()).unwrap();
    let on: BTreeSet<String> = graph.quantizers.iter().map(|quantizer| quantizer.name.clone()).collect();
    assert_eq!(on.len(), 1);
    let made = switched.variants(&inputs, &[BTreeSet::new(), on]).unwrap();
    let made: Vec<_> = made.iter().map(|made| made["y"].to_vec2::<f32>().unwrap()).collect();
    assert_eq!(made, [of(false), of(true)]);
    assert_ne!(made[0], made[1]);
}

#[test]
fn weights_that_were_packed_serve_every_purpose() {
    let x = Tensor::arange(-16.0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 32)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), x)]);
    let weight = |weights: &HashMap<String, Tensor>| weights["classifier.weight"].to_vec2::<f32>().unwrap();
    let given = |session: &mut Session| {
        let (_, weights) = session.exported(exactly(&inputs).unwrap(), BTreeSet::new()).unwrap();
        weight(weights)
    };
    let expected = given(&mut session(QUANTIZED));
    let mut session = session(QUANTIZED);
    let called = session.call(&inputs, &BTreeSet::new()).unwrap()["y"].to_vec2::<f32>().unwrap();
    assert!(session.multiplied.contains_key("classifier.weight"));
    let pass = session.forward(&inputs, &BTreeSet::new(), None).unwrap();
    assert_eq!(pass.outputs()["y"].to_vec2::<f32>().unwrap(), called);
    assert_eq!(given(&mut session), expected);
    assert_eq!(session.call(&inputs, &BTreeSet::new()).unwrap()["y"].to_vec2::<f32>().unwrap(), called);
}

#[test]
fn other_sizes_need_no_other_executor() {
    let mut session = session(
        "dim batch, seq\n\
         model M(x: f32[batch, seq]) -> (sums: f32[batch]) {\n\
         return (sums: sum(x, axis: 1))\n\
         }\n",
    );
    for shape in [[1, 1], [1, 4], [3, 3], [4, 1], [5, 7], [7, 5], [0, 2]] {
        assert_eq!(sums(&mut session, shape).unwrap(), vec![shape[1] as f32; shape[0]]);
    }
    assert_eq!(session.executors.len(), 1);
}

/// The bundled spec of a head with the checkpoint `tests/tiny`, its parameters ready to change.
fn learner(head: &str, quantize: bool, inputs: &BTreeMap<String, Tensor>) -> Session {
    let spec = crate::specs::find(head).unwrap();
    let (program, _) = compile::load(&spec.source_name(), spec.text, &BundledLibrary);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");
    let checkpoint = Checkpoint::open(tiny, &HubOptions::from_env()).unwrap();
    let engine = Engine { device: Device::Cpu, dtype: DType::F32, quantize, integers: Integers::Never };
    let mut session = Session::new(program, checkpoint, engine);
    let fresh = crate::checkpoint::Fresh { seed: 3, patterns: Vec::new() };
    session.start_training(&inputs.keys().cloned().collect(), &BTreeSet::new(), &fresh).unwrap();
    session
}

fn classified() -> BTreeMap<String, Tensor> {
    let ids = Tensor::new(&[[1_i64, 30, 40, 50, 2], [1, 77, 5, 2, 0]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[1_i64, 1, 1, 1, 1], [1, 1, 1, 1, 0]], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[2_i64, 0], &Device::Cpu).unwrap();
    let named = [("input_ids", ids), ("attention_mask", mask), ("labels", labels)];
    named.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

fn loss(outputs: &BTreeMap<String, Tensor>) -> f32 {
    outputs["loss"].to_scalar().unwrap()
}

fn gradients_of(session: &mut Session, inputs: &BTreeMap<String, Tensor>, dropout: Option<u64>) -> Gradients {
    let mut gradients = Gradients::default();
    add_gradients(session, inputs, dropout, &mut gradients);
    gradients
}

fn add_gradients(
    session: &mut Session,
    inputs: &BTreeMap<String, Tensor>,
    dropout: Option<u64>,
    gradients: &mut Gradients,
) {
    let pass = session.forward(inputs, &BTreeSet::new(), dropout).unwrap();
    let one = Tensor::ones((), candle_core::DType::F32, &Device::Cpu).unwrap();
    pass.backward(&BTreeMap::from([("loss".to_owned(), one)]), gradients).unwrap();
}

/// Moves every parameter against its gradient, `by` times as far.
fn shift(session: &Session, gradients: &Gradients, by: f64) {
    crate::training::Sgd::new(0.0).step(session.parameters(), gradients, by, 1.0).unwrap();
}

#[test]
fn a_loss_falls_along_its_gradient_as_fast_as_that_says() {
    let inputs = classified();
    for dropout in [None, Some(7)] {
        let mut session = learner("sequence-classification", false, &inputs);
        let gradients = gradients_of(&mut session, &inputs, dropout);
        let norm = crate::training::norm(&gradients).unwrap();
        let mut loss_after = |by: f64| {
            shift(&session, &gradients, by);
            f64::from(loss(session.forward(&inputs, &BTreeSet::new(), dropout).unwrap().outputs()))
        };
        let distance = 2e-3 / norm;
        let (below, above) = (loss_after(distance), loss_after(-2.0 * distance));
        let slope = (above - below) / (2.0 * distance);
        assert!((slope / norm.powi(2) - 1.0).abs() < 0.02, "{slope} for {}", norm.powi(2));
    }
}

#[test]
fn dropout_follows_from_its_seed() {
    let inputs = classified();
    let mut session = learner("sequence-classification", false, &inputs);
    let mut loss_with = |seed| loss(session.forward(&inputs, &BTreeSet::new(), seed).unwrap().outputs());
    let (none, first, other) = (loss_with(None), loss_with(Some(1)), loss_with(Some(2)));
    assert_eq!((none, first), (loss_with(None), loss_with(Some(1))));
    assert!(none != first && first != other);
    assert_eq!(loss(&session.call(&inputs, &BTreeSet::new()).unwrap()), none);
}

#[test]
fn calls_compute_with_changed_weights() {
    let inputs = classified();
    let mut session = learner("sequence-classification", false, &inputs);
    let before = loss(&session.call(&inputs, &BTreeSet::new()).unwrap());
    let gradients = gradients_of(&mut session, &inputs, None);
    shift(&session, &gradients, 0.1);
    let after = loss(&session.call(&inputs, &BTreeSet::new()).unwrap());
    assert!(after < before, "{before} became {after}");
    assert_eq!(after, loss(session.forward(&inputs, &BTreeSet::new(), None).unwrap().outputs()));
}

#[test]
fn frozen_parameters_have_no_gradients_and_others_the_same() {
    let inputs = classified();
    let mut session = learner("sequence-classification", false, &inputs);
    let all = gradients_of(&mut session, &inputs, None);
    let frozen: BTreeSet<String> =
        session.parameters().keys().filter(|path| path.contains("embeddings")).cloned().collect();
    let mut rest = Gradients::default();
    rest.freeze(frozen.clone());
    add_gradients(&mut session, &inputs, None, &mut rest);
    assert_eq!(rest.iter().count() + frozen.len(), all.iter().count());
    for (path, gradient) in rest.iter() {
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(gradient), numbers(all.get(path).unwrap()), "{path}");
    }
}

#[test]
fn a_pass_refuses_what_is_no_gradient_of_its_outputs() {
    let inputs = classified();
    let mut session = learner("sequence-classification", false, &inputs);
    let mut refused = |name: &str, gradient: Tensor| {
        let pass = session.forward(&inputs, &BTreeSet::new(), None).unwrap();
        let upstream = BTreeMap::from([(name.to_owned(), gradient)]);
        pass.backward(&upstream, &mut Gradients::default()).unwrap_err().to_string()
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    assert_eq!(refused("lost", zeros(&[])), "there is no output `lost`");
    assert_eq!(refused("loss", zeros(&[2])), "the gradient of `loss` is [2], but the output is []");
}

#[test]
fn what_is_no_number_first_is_named() {
    let inputs = classified();
    let mut session = learner("sequence-classification", false, &inputs);
    let sound = session.forward(&inputs, &BTreeSet::new(), None).unwrap();
    assert_eq!(sound.first_not_finite(), None);
    let path = "bert.encoder.layer.1.output.LayerNorm.bias";
    let mut gradients = Gradients::default();
    let bad = (session.parameters()[path].zeros_like().unwrap() + f64::NAN).unwrap();
    gradients.insert(path.to_owned(), bad);
    shift(&session, &gradients, 1.0);
    let pass = session.forward(&inputs, &BTreeSet::new(), None).unwrap();
    assert_eq!(pass.first_not_finite().unwrap(), "`bert.encoder.layer.1.output.LayerNorm.layer_norm`");
}

#[test]
fn a_range_is_set_where_there_is_one() {
    let mut session = learner("sequence-classification", false, &classified());
    let refused = session.set_range("bert.pooler.dense._input_quantizer", &[1.0]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no quantizer `bert.pooler.dense._input_quantizer` whose range can be set"
    );
}
