//! `qdqc report`: a page on the quantizers of a calibrated checkpoint.

use super::{
    Stop, args,
    calibrated::{STATISTICS, TABLE},
    model::{self, Named},
    output::{self, Existing, WholeFile, cannot_write},
    progress::Progress,
    ranges::{Known, bare},
    screen::Screen,
    sites,
};
use crate::{
    calibration::{Quality, Saved},
    calibrator::{self, Amax, Calibrator, Counting, Origin, Surveyed},
    checkpoint::Folder,
    failure::Failure,
    graph::{Graph, Quantizer},
    page::{self, Page, Picture},
    quant::{Calibration, RangeSource},
    session::Session,
    source::Sources,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::ExitCode,
};

/// Surveys the quantizers and writes the page.
pub fn report(arguments: &args::Report, screen: Screen) -> Result<ExitCode, Stop> {
    let named = Named::from(&arguments.model);
    let mut session = model::open(named, &args::Engine { float: true, ..args::Engine::default() }, screen)?;
    let sources = session.program().sources.clone();
    let within = Stop::within(&sources);
    let graph = session.graph().map_err(&within)?.into_inner();
    let known = Known::read(session.checkpoint(), &graph).map_err(&within)?;
    refuse(&known, &graph, arguments)?;
    let calibrator = counted(session.folder(), &graph, screen)?;
    // A place that cannot be written is found before the work, not after it.
    let to_file = arguments.output.as_os_str() != "-";
    let file = to_file.then(|| WholeFile::create(&arguments.output, Existing::Replace)).transpose()?;
    let mut progress = Progress::new("quantizers", Some(graph.quantizers.len() as u64), screen);
    let mut advance = || progress.advance(1);
    let surveyed = calibrator::survey(&mut session, calibrator.as_ref(), &known.ranges, &mut advance);
    progress.finish();
    let surveyed = surveyed.map_err(&within)?;
    let page =
        Gathered { session: &session, graph: &graph, known: &known, surveyed: &surveyed, sources: &sources }
            .page(arguments, calibrator.is_some());
    let text = page.html();
    match file {
        None => output::print(&text)?,
        Some(mut file) => {
            file.write_all(text.as_bytes()).map_err(|error| cannot_write(&arguments.output, &error))?;
            file.finish()?;
            screen.note(&format!(
                "{} quantizers are described in {}; open it in a browser",
                page.quantizers.len(),
                arguments.output.display()
            ));
        }
    }
    for note in &page.notes {
        screen.note(note);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why there is nothing to report on.
fn refuse(known: &Known, graph: &Graph, arguments: &args::Report) -> Result<(), Failure> {
    let (spec, checkpoint) = (&arguments.model.spec, &arguments.model.checkpoint);
    if graph.quantizers.is_empty() {
        return Err(Failure::input(format!("`{spec}` attaches no quantizer, so there is nothing to report"))
            .help("give a spec with a recipe: `use \"recipes/qdqbert.qdq\"`"));
    }
    let missing = known.missing(graph);
    let Some(first) = missing.first() else { return Ok(()) };
    let calibrate =
        format!("`qdqc calibrate {spec} -c CKPT --input FILE -o DIR` writes a folder with ranges");
    if missing.len() == graph.quantizers.len() {
        return Err(Failure::input(format!("{checkpoint} holds no range for any quantizer of `{spec}`"))
            .help(calibrate));
    }
    Err(Failure::input(format!(
        "{checkpoint} holds no range for {} of the {} quantizers of `{spec}`, such as `{}`",
        missing.len(),
        graph.quantizers.len(),
        first.name
    ))
    .help(format!(
        "give the spec and the recipe that it was calibrated with, or calibrate anew: {calibrate}"
    )))
}

/// What was counted, under the names of the graph; `None` without a file of it.
fn counted(folder: &Folder, graph: &Graph, screen: Screen) -> Result<Option<Calibrator>, Failure> {
    let Some(bytes) = folder.read(STATISTICS)? else { return Ok(None) };
    let place = folder.place_of(STATISTICS);
    let mut saved = Saved::from_bytes(&bytes).map_err(|problem| {
        Failure::input(format!("{place}: {problem}"))
            .help("calibrate again, or remove the file to do without histograms of activations")
    })?;
    let names: BTreeMap<&str, &str> =
        graph.quantizers.iter().map(|quantizer| (bare(&quantizer.name), quantizer.name.as_str())).collect();
    if !Origin::of(&saved, &place)?.is_whole() {
        screen.warning(&format!(
            "{place} is of a calibration that was not finished, and is not used: finish it with `--resume`"
        ));
        return Ok(None);
    }
    for (names_there, _) in &mut saved.tensors {
        let here = names_there.split(' ').map(|name| names.get(bare(name)).copied().unwrap_or(name));
        *names_there = here.collect::<Vec<_>>().join(" ");
    }
    Ok(Some(Calibrator::restore(saved, Counting::Canonical)))
}

/// Everything that the page is made from.
struct Gathered<'a> {
    session: &'a Session,
    graph: &'a Graph,
    known: &'a Known,
    surveyed: &'a BTreeMap<String, Surveyed>,
    sources: &'a Sources,
}

impl Gathered<'_> {
    fn page(&self, arguments: &args::Report, has_statistics: bool) -> Page {
        let modules = self.graph.scopes.iter().map(|scope| page::Module {
            path: scope.path.clone(),
            kind: scope.module.clone(),
            parent: scope.parent.map(|parent| parent as usize),
        });
        Page {
            model: self.graph.name.clone(),
            spec: arguments.model.spec.clone(),
            checkpoint: arguments.model.checkpoint.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            samples: self.known.samples,
            notes: self.notes(has_statistics),
            modules: modules.collect(),
            quantizers: self.graph.quantizers.iter().map(|quantizer| self.quantizer(quantizer)).collect(),
        }
    }

    /// What is missing or odd.
    fn notes(&self, has_statistics: bool) -> Vec<String> {
        let mut notes = Vec::new();
        let quantizers = &self.graph.quantizers;
        let folder = self.session.folder();
        let unseen = quantizers.iter().filter(|quantizer| {
            quantizer.scheme.range != RangeSource::Dynamic && !self.surveyed.contains_key(&quantizer.name)
        });
        match unseen.count() {
            0 => {}
            count if !has_statistics => notes.push(format!(
                "there is no {STATISTICS} in {folder}, as `qdqc calibrate` writes it, so that {} shown \
                 without a histogram and without what other methods would have chosen",
                counted_as(count, "is", "are")
            )),
            count => notes.push(format!(
                "{} in {STATISTICS}, as that was collected with another spec",
                counted_as(count, "is not", "are not")
            )),
        }
        let own: BTreeSet<&str> = quantizers.iter().map(|quantizer| bare(&quantizer.name)).collect();
        let others = self.known.entries.keys().filter(|name| !own.contains(name.as_str())).count();
        let stale = quantizers.iter().filter(|quantizer| {
            let noted = self.known.entries.contains_key(bare(&quantizer.name));
            noted && self.known.entry(&quantizer.name).is_none()
        });
        match stale.count() {
            0 => {}
            count => notes.push(format!(
                "{} another range than {TABLE} says, which is not read for that",
                counted_as(count, "has", "have")
            )),
        }
        if others > 0 {
            let others = counted_as(others, "has a range", "have ranges");
            notes.push(format!("{others} in {TABLE} and no place in this spec"));
        }
        notes
    }

    fn quantizer(&self, quantizer: &Quantizer) -> page::Quantizer {
        let placed = sites::placed(quantizer, self.sources);
        let site = self.graph.sites.get(quantizer.site);
        let entry = self.known.entry(&quantizer.name);
        let surveyed = self.surveyed.get(&quantizer.name);
        let codes = placed.does.split(" per ").next().unwrap_or_default().to_owned();
        page::Quantizer {
            name: quantizer.name.clone(),
            module: self.module(quantizer),
            rounds: site.map(rounds).unwrap_or_default(),
            scheme: placed.does,
            codes,
            place: placed.rule,
            rule: self.sources.slice(quantizer.rule).to_owned(),
            method: self.method(quantizer),
            range: self.known.amax(&quantizer.name),
            values: surveyed.map(|surveyed| surveyed.values).or(entry.map(|entry| entry.values)),
            quality: surveyed.and_then(|surveyed| surveyed.quality).or(entry.and_then(noted)),
            picture: surveyed.and_then(|surveyed| {
                surveyed.histogram.clone().map(|(width, counts)| Picture { width, counts })
            }),
            choices: surveyed.map(choices).unwrap_or_default(),
        }
    }

    /// The module that the quantizer is named after: of those with its path that in
    /// whose body it is written, else the first.
    fn module(&self, quantizer: &Quantizer) -> usize {
        let Some(site) = self.graph.sites.get(quantizer.site) else { return 0 };
        let written_in = site.scope.0 as usize;
        let has_path = |at: usize| self.graph.scopes.get(at).is_some_and(|scope| scope.path == site.path);
        if has_path(written_in) {
            return written_in;
        }
        (0..self.graph.scopes.len()).find(|at| has_path(*at)).unwrap_or(written_in)
    }

    /// How the range was chosen, as far as that is known.
    fn method(&self, quantizer: &Quantizer) -> String {
        match (&quantizer.scheme.range, self.known.entry(&quantizer.name)) {
            (RangeSource::Dynamic, _) => "each input".to_owned(),
            (_, Some(entry)) => sites::method(entry),
            (RangeSource::Fixed(_), None) => "fixed".to_owned(),
            (_, None) => "not known".to_owned(),
        }
    }
}

/// `1 quantizer has`, `2 quantizers have`
fn counted_as(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 quantizer {one}"),
        count => format!("{count} quantizers {many}"),
    }
}

/// ``lhs of scores, in SelfAttention: f32[batch, 12, seq, 64]``
fn rounds(site: &crate::graph::Site) -> String {
    let owner = site.owners.last().map_or("", String::as_str);
    format!("{} of {owner}, in {}: {}", site.port, site.written_in, site.ty)
}

fn noted(entry: &super::calibrated::Entry) -> Option<Quality> {
    Some(Quality { clipped: entry.clipped?, signal_to_noise: entry.signal_to_noise?, cosine: entry.cosine? })
}

fn choices(surveyed: &Surveyed) -> Vec<page::Choice> {
    let methods = calibrator::survey::METHODS.iter().map(Calibration::to_string);
    let choice = |(method, (range, quality)): (String, &(Option<Vec<f32>>, Option<Quality>))| page::Choice {
        method,
        range: range.as_deref().map(Amax::of),
        quality: *quality,
    };
    methods.zip(&surveyed.choices).map(choice).collect()
}
