//! A bundled spec with quantizers as a case of the reference has them.

use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// The recipe that the bundled specs use.
const RECIPE: &str = "use \"recipes/qdqbert.qdq\"\n";

/// The text of a bundled spec with the quantizers of `settings`, by name, in place
/// of its own; with `dynamic`, each measures its input.
pub fn placed(spec: &str, settings: &Value, dynamic: bool) -> String {
    let text = qdqc::specs::find(spec).unwrap().text;
    assert!(text.contains(RECIPE), "{spec} has another recipe");
    let mut ports: BTreeMap<&str, Vec<(&str, Option<String>)>> = BTreeMap::new();
    for (name, setting) in settings.as_object().unwrap() {
        let (path, own) = name.rsplit_once('.').unwrap();
        let scheme = (setting["disabled"] != true).then(|| scheme(setting, dynamic));
        ports.entry(own).or_default().push((path, scheme));
    }
    let mut schemes: BTreeMap<String, String> = BTreeMap::new();
    let mut rules = String::new();
    for (own, sites) in ports {
        let (port, scope) = port(own);
        let alias = if own.starts_with('_') { String::new() } else { format!(" as {own}") };
        // One rule for all where all are the same: not every call has every site.
        let (_, first) = &sites[0];
        let same = sites.iter().all(|(_, scheme)| scheme == first);
        for (path, scheme) in sites.iter().take(if same { 1 } else { sites.len() }) {
            let Some(scheme) = scheme else { continue };
            let count = schemes.len();
            let quantizer = schemes.entry(scheme.clone()).or_insert_with(|| format!("q{count}"));
            let place = if same { scope.to_owned() } else { format!("{scope} at {path}") };
            writeln!(rules, "    attach {quantizer} to {port} {place}{alias}").unwrap();
        }
    }
    let mut block = String::new();
    for (scheme, quantizer) in &schemes {
        writeln!(block, "    quantizer {quantizer} = {scheme}").unwrap();
    }
    format!("{}\nquantize reference {{\n{block}\n{rules}}}\n", text.replace(RECIPE, ""))
}

/// The port that a quantizer of this name has, and where all such are.
fn port(name: &str) -> (&str, &str) {
    match name {
        "_input_quantizer" => ("input of Linear", "under Encoder"),
        "_weight_quantizer" => ("weight of Linear", "under Encoder"),
        "matmul_q_input_quantizer" => ("lhs of scores", "in SelfAttention"),
        "matmul_k_input_quantizer" => ("rhs of scores", "in SelfAttention"),
        "matmul_a_input_quantizer" => ("lhs of context", "in SelfAttention"),
        "matmul_v_input_quantizer" => ("rhs of context", "in SelfAttention"),
        "add_local_input_quantizer" => ("lhs of total", "in ResidualOutput"),
        "add_residual_input_quantizer" => ("rhs of total", "in ResidualOutput"),
        other => panic!("no place for {other}"),
    }
}

/// One quantizer's settings, as specs write them.
fn scheme(setting: &Value, dynamic: bool) -> String {
    let kind = match &setting["num_bits"] {
        Value::Array(_) => "e4m3".to_owned(),
        bits => format!("{}int{bits}", if setting["unsigned"] == true { "u" } else { "" }),
    };
    let mut options = Vec::new();
    options.extend(setting["axis"].as_i64().map(|axis| format!("axis: {axis}")));
    options.extend((setting["narrow_range"] == true).then(|| "range: narrow".to_owned()));
    options.extend(setting["scale_amax"].as_f64().map(|factor| format!("scale_amax: {factor}")));
    options.extend(dynamic.then(|| "dynamic: true".to_owned()));
    format!("{kind}({})", options.join(", "))
}
