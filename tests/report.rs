//! `qdqc report`, from outside: what the page holds, and in a browser where there is one.

#![cfg(test)]

use std::{
    collections::{BTreeSet, HashMap},
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

const TEXTS: &str = "A good book.\nThe king reads.\nParis is good, and the queen wrote it.\n";

fn qdqc(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.args(arguments).current_dir(folder).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

fn succeeded(done: Output) -> String {
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn failed(done: Output, code: i32) -> String {
    let message = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{message}");
    assert!(done.stdout.is_empty());
    message
}

/// The folder that the tests share. Browsers in a sandbox of their own may not read the
/// system's temporary folder.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("texts.txt"), TEXTS).unwrap();
    calibrate(&folder, CALIBRATED);
    folder
});

/// One layer is enough.
const SMALLER: [&str; 2] = ["--set", "num_hidden_layers=1"];

/// The tiny checkpoint calibrated, in a folder with a name that HTML would trip over.
const CALIBRATED: &str = "<img src=x onerror='alert(1)'> & \"c";

static PAGE: LazyLock<String> = LazyLock::new(|| succeeded(report(&FOLDER, "base-model", CALIBRATED)));

fn calibrate(folder: &Path, name: &str) {
    let arguments = ["calibrate", "base-model", "-c", TINY, "--input", "texts.txt", "-o", name];
    succeeded(qdqc(folder, &[&arguments[..], &SMALLER].concat()));
}

fn report(folder: &Path, spec: &str, checkpoint: &str) -> Output {
    qdqc(folder, &[&["report", spec, "-c", checkpoint, "-o", "-"], &SMALLER[..]].concat())
}

/// The quantizers of a spec, by name.
fn quantizers(spec: &str) -> BTreeSet<String> {
    let show = ["show", spec, "-c", TINY, "--sites", "--json"];
    let rows = succeeded(qdqc(Path::new("."), &[&show[..], &SMALLER].concat()));
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let names = rows.as_array().unwrap().iter().filter_map(|row| row["quantizer"]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// The tags of a page and their attributes, checked to close each other, each text escaped.
fn tags(page: &str) -> Vec<(String, HashMap<String, String>)> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let (mut open, mut tags) = (Vec::new(), Vec::new());
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        if let Some(after) = after.strip_prefix('/') {
            let (name, after) = after.split_once('>').unwrap();
            assert_eq!(open.pop().as_deref(), Some(name));
            rest = after;
            continue;
        }
        let end = after.find([' ', '>', '/']).unwrap();
        let (name, mut after) = after.split_at(end);
        let mut attributes = HashMap::new();
        while let Some(attribute) = after.strip_prefix(' ') {
            let (key, value) = attribute.split_once("=\"").unwrap();
            let (value, others) = value.split_once('"').unwrap();
            assert!(!value.contains('<') && !key.contains(' '), "{key}={value}");
            assert!(attributes.insert(key.to_owned(), value.to_owned()).is_none(), "{name} has {key} twice");
            after = others;
        }
        tags.push((name.to_owned(), attributes));
        match after.strip_prefix("/>") {
            Some(after) => rest = after,
            None => {
                open.push(name.to_owned());
                rest = after.strip_prefix('>').unwrap();
            }
        }
        if ["style", "script"].contains(&name) {
            rest = rest.split_at(rest.find(&format!("</{name}>")).unwrap()).1;
        }
    }
    assert_eq!((open.len(), rest.trim()), (0, ""));
    tags
}

#[test]
fn every_quantizer_is_on_the_page_once() {
    let page = PAGE.as_str();
    assert!(page == succeeded(report(&FOLDER, "base-model", CALIBRATED)), "the same bytes again");
    let tags = tags(page);
    let count = |name: &str| tags.iter().filter(|(tag, _)| tag == name).count();
    assert_eq!((count("img"), count("script"), count("style")), (0, 1, 1));
    assert!(page.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt; &amp; &quot;c"), "{page}");

    let all = |key: &str| -> Vec<String> {
        tags.iter().filter_map(|(_, attributes)| attributes.get(key).cloned()).collect()
    };
    let mut names = all("data-name");
    names.sort();
    assert_eq!(names, quantizers("base-model").into_iter().collect::<Vec<_>>());
    assert_eq!(count("svg"), names.len(), "each has a histogram");
    let ids = all("id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let links: Vec<String> = all("href").into_iter().filter(|link| link != "data:,").collect();
    assert!(links.len() > names.len());
    for link in links {
        assert!(ids.contains(&link.trim_start_matches('#').to_owned()), "{link} leads nowhere");
    }
    for key in ["src", "action", "srcset"] {
        assert!(all(key).is_empty());
    }
    for method in ["chosen: max", "percentile(99.99)", "entropy", "mse"] {
        assert_eq!(page.matches(&format!(">{method}</th>")).count(), names.len(), "{method}");
    }
}

/// The list is in the order of harm: the numbers ascend.
#[test]
fn what_loses_most_is_first() {
    let page = &PAGE;
    let rows = page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let ratios: Vec<f64> = rows
        .split("</tr>")
        .filter_map(|row| row.split("data-value=\"").nth(4)?.split('"').next()?.parse().ok())
        .collect();
    assert_eq!(ratios.len(), quantizers("base-model").len());
    assert!(ratios.is_sorted() && ratios.first() < ratios.last(), "{ratios:?}");
    let worst = format!(", {:.1} dB", ratios[0]);
    assert!(page.split_once("Loses most").unwrap().1.split_once("</dd>").unwrap().0.ends_with(&worst));
}

#[test]
fn a_checkpoint_calibrated_elsewhere_is_shown_as_far_as_known() {
    let page = succeeded(report(Path::new(env!("CARGO_MANIFEST_DIR")), "base-model", "tests/tiny"));
    let names = quantizers("base-model");
    assert_eq!(page.matches("data-name=").count(), names.len());
    let weights = names.iter().filter(|name| name.ends_with("_weight_quantizer")).count();
    assert_eq!(page.matches("<svg").count(), weights);
    assert!(page.contains("there is no statistics.safetensors in tests/tiny"));
    tags(&page);
}

#[test]
fn what_cannot_be_reported_is_said() {
    let folder = FOLDER.as_path();
    let checkpoint = "damaged";
    calibrate(folder, checkpoint);
    let of = |spec: &str, checkpoint: &str| report(folder, spec, checkpoint);
    assert!(failed(of("base-model", "nowhere/at-all/x"), 1).contains("nowhere"));
    assert!(failed(of("nothing", checkpoint), 1).contains("no file or bundled spec `nothing`"));
    let to = |file: &str| qdqc(folder, &["report", "base-model", "-c", checkpoint, "-o", file]);
    assert!(failed(to("no/where.html"), 2).contains("`no`"));

    let text = qdqc::specs::find("base-model").unwrap().text;
    fs::write(folder.join("bare.qdq"), text.replace("use \"recipes/qdqbert.qdq\"\n", "")).unwrap();
    assert!(failed(of("bare.qdq", checkpoint), 1).contains("attaches no quantizer"));
    let more = "quantize more {\n    quantizer activation = int8()\n    attach activation to input of Embeddings\n}\n";
    let more =
        text.to_owned() + &more.replace("input of Embeddings", "x of layer_norm in LayerNorm at embeddings");
    fs::write(folder.join("more.qdq"), more).unwrap();
    let message = failed(of("more.qdq", checkpoint), 1);
    assert!(message.contains("no range for 1 of the") && message.contains("layer_norm"), "{message}");

    // Without ranges there is nothing but to calibrate.
    let float = folder.join("float");
    fs::create_dir(&float).unwrap();
    fs::copy(Path::new(TINY).join("config.json"), float.join("config.json")).unwrap();
    let tiny = Path::new(TINY).join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(tiny, &candle_core::Device::Cpu).unwrap();
    tensors.retain(|name, _| !name.ends_with("_amax"));
    candle_core::safetensors::save(&tensors, float.join("model.safetensors")).unwrap();
    let message = failed(of("base-model", "float"), 1);
    assert!(message.contains("no range for any") && message.contains("qdqc calibrate"), "{message}");

    let inside = folder.join(checkpoint);
    let table = inside.join("calibration.ron");
    let whole = fs::read(&table).unwrap();
    fs::write(&table, &whole[..whole.len() / 2]).unwrap();
    let message = failed(of("base-model", checkpoint), 1);
    assert!(message.contains("calibration.ron") && message.contains("help: calibrate again"), "{message}");
    // Another range than was chosen then: what was noted of it is not believed.
    let text = String::from_utf8(whole).unwrap();
    fs::write(&table, text.replacen("amax: ", "amax: 9", 1)).unwrap();
    let page = succeeded(of("base-model", checkpoint));
    assert!(page.contains("1 quantizer has another range than calibration.ron says"));
    fs::write(&table, text).unwrap();
    let statistics = inside.join("statistics.safetensors");
    let whole = fs::read(&statistics).unwrap();
    fs::write(&statistics, &whole[..whole.len() / 2]).unwrap();
    let message = failed(of("base-model", checkpoint), 1);
    assert!(
        message.contains("statistics.safetensors") && message.contains("help: calibrate again"),
        "{message}"
    );
}

#[test]
fn sites_and_explanations_tell_the_ranges() {
    let run = |arguments: &[&str]| succeeded(qdqc(&FOLDER, &[arguments, &["-c", CALIBRATED]].concat()));
    let table = run(&["show", "base-model", "--sites"]);
    assert!(table.lines().next().unwrap().contains("RANGE") && table.contains("CLIPPED"), "{table}");
    let row = table.lines().find(|line| line.contains("_weight_quantizer")).unwrap();
    assert!(row.contains(" … ") && row.contains(" % "), "{row}");
    let tiny = succeeded(qdqc(&FOLDER, &["show", "base-model", "--sites", "-c", TINY]));
    assert!(tiny.contains("RANGE") && !tiny.contains("CLIPPED"));

    let name = "encoder.layer.0.attention.self.matmul_q_input_quantizer";
    let rows: serde_json::Value =
        serde_json::from_str(&run(&["show", "base-model", "--sites", "--json"])).unwrap();
    let placed = rows.as_array().unwrap().iter().find(|row| row["quantizer"]["name"] == name).unwrap();
    let amax = placed["quantizer"]["amax"].as_f64().unwrap();
    assert!(amax > 0.0 && placed["quantizer"]["clipped"] == 0.0);

    let said = run(&["explain", &format!("bert.{name}")]);
    for part in [
        "attach activation to lhs of scores in SelfAttention as matmul_q_input_quantizer",
        "bundled:recipes/qdqbert.qdq:14:5",
        "Into:    `lhs` of `matmul` `scores` in `SelfAttention` (encoder.layer.0.attention.self)",
        "chosen by max from",
        "0 % of the values clipped",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let document: serde_json::Value = serde_json::from_str(&run(&["explain", name, "--json"])).unwrap();
    assert_eq!(document["amax"].as_f64().unwrap(), amax);
    assert_eq!(document["calibration"]["method"], "max");

    let wrong = qdqc(&FOLDER, &["explain", &format!("bert.{}", name.replace("matmul_q", "matmul_r"))]);
    let message = failed(wrong, 1);
    assert!(message.contains(&format!("`{name}`")) && message.contains("matmul_k"), "{message}");
}

/// What a learned range is, and what one that is scaled costs, is told as it is used.
#[test]
fn ranges_are_told_as_they_are_used() {
    let folder = FOLDER.as_path();
    let recipe = "quantize mine {\n    quantizer learned = int8(learn: true)\n    \
        quantizer half = int8(scale_amax: 0.5)\n    attach learned to input of Linear in SelfAttention\n    \
        attach half to weight of Linear in SelfAttention\n}\n";
    fs::write(folder.join("mine.qdq"), recipe).unwrap();
    let with = ["--recipe", "mine.qdq"];
    let run = |arguments: &[&str]| succeeded(qdqc(folder, &[arguments, &with, &SMALLER].concat()));
    run(&["calibrate", "base-model", "-c", TINY, "--input", "texts.txt", "-o", "learned"]);
    let rows = || -> serde_json::Value {
        serde_json::from_str(&run(&["show", "base-model", "-c", "learned", "--sites", "--json"])).unwrap()
    };
    let find = |rows: &serde_json::Value, name: &str| {
        let quantizers = rows.as_array().unwrap().iter().map(|row| row["quantizer"].clone());
        quantizers
            .into_iter()
            .find(|one| one["name"].as_str().is_some_and(|own| own.ends_with(name)))
            .unwrap()
    };
    let input = "query._input_quantizer";
    assert!(find(&rows(), input)["amax"].as_f64().unwrap() > 0.0);

    // The page says of a halved range what calibration.ron says.
    let weight = find(&rows(), "query._weight_quantizer");
    let clipped = weight["clipped"].as_f64().unwrap();
    assert!(clipped > 0.0, "{weight}");
    let page = run(&["report", "base-model", "-c", "learned", "-o", "-"]);
    let row = page.split("<tr").find(|row| row.contains("query._weight_quantizer")).unwrap();
    let values = row.split("data-value=\"").skip(1).map(|value| value.split('"').next().unwrap());
    let told = |value: &str| value.parse().is_ok_and(|value: f64| (value - clipped).abs() < 1e-6);
    assert!(values.clone().any(told), "{clipped} {row}");

    let file = folder.join("learned/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
    let amax = tensors.keys().find(|name| name.ends_with("query._input_quantizer._amax")).unwrap();
    let clip = amax.replace("_amax", "clip.clip_value_");
    for (end, bound) in [("min", -7.5_f32), ("max", 2.0)] {
        let bound = candle_core::Tensor::new(bound, &candle_core::Device::Cpu).unwrap();
        tensors.insert(format!("{clip}{end}"), bound);
    }
    candle_core::safetensors::save(&tensors, &file).unwrap();
    assert_eq!(find(&rows(), input)["amax"], 7.5);
}

/// The browser, if there is one: that which `CHROMIUM` names, or Chromium or Chrome.
fn browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"];
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

fn skipped(why: &str) {
    // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "SKIPPED: the report in a browser: {why}");
}

/// Opens the page, sorts and follows links in it as `tests/report.js` says, and reads
/// what that found: no errors, nothing fetched.
#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = browser() else {
        return skipped("no Chromium is here; CHROMIUM=PATH names one");
    };
    let watch = "<script>window.problems = [];\
        addEventListener('error', (event) => problems.push(event.message));\
        addEventListener('securitypolicyviolation', (event) => problems.push(event.blockedURI));</script>";
    let checks = format!("<script>{}</script></body>", include_str!("report.js"));
    let page = PAGE.replacen("<head>", &format!("<head>{watch}"), 1).replace("</body>", &checks);
    let file = FOLDER.join("page.html");
    fs::write(&file, page).unwrap();
    let done = Command::new(&browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args(["--window-size=1280,900", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", FOLDER.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output();
    let Ok(done) = done else { return skipped(&format!("{} cannot be run", browser.display())) };
    let dom = String::from_utf8_lossy(&done.stdout);
    let said = String::from_utf8_lossy(&done.stderr);
    if !dom.contains("<body") {
        return skipped(&format!("{} shows nothing: {said}", browser.display()));
    }
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:?}");
    let found = dom.split_once("data-found=\"").expect("the checks have ended").1.split_once('"').unwrap().0;
    let found: serde_json::Value = serde_json::from_str(&found.replace("&quot;", "\"")).unwrap();
    assert_eq!(found["problems"], serde_json::json!([]), "{found}");
    let listed: BTreeSet<String> =
        found["listed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, quantizers("base-model"));
}
