//! What statistics were collected from, so that only what belongs together is put
//! together.

use crate::{
    calibration::{Saved, Unmergeable},
    failure::Failure,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where statistics come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What must be the same in all parts of one whole, by name: the model, the
    /// weights, the data, the batch size.
    pub same: BTreeMap<String, String>,
    /// Into how many parts the batches are dealt.
    pub shards: u64,
    /// Which of them these are, from 1.
    pub shard: BTreeSet<u64>,
    /// How many batches were observed.
    pub batches: u64,
    /// How many sequences were observed.
    pub samples: u64,
    /// No batch is left.
    pub complete: bool,
}

/// The inputs of all calls.
const INPUTS: &str = "inputs";

/// Writes the inputs of all calls down in a header.
pub(super) fn note_inputs(header: &mut BTreeMap<String, String>, inputs: &BTreeSet<String>) {
    let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
    header.insert(INPUTS.to_owned(), names.join(" "));
}

/// The inputs of all calls that a header notes.
pub(super) fn inputs(header: &BTreeMap<String, String>) -> BTreeSet<String> {
    header.get(INPUTS).into_iter().flat_map(|names| names.split_whitespace()).map(str::to_owned).collect()
}

/// Before the names of what must be the same.
const SAME: &str = "same.";

impl Origin {
    /// As the header of a file of statistics.
    pub fn header(&self) -> BTreeMap<String, String> {
        let shard: Vec<String> = self.shard.iter().map(u64::to_string).collect();
        let mut header: BTreeMap<String, String> =
            self.same.iter().map(|(name, value)| (format!("{SAME}{name}"), value.clone())).collect();
        header.extend([
            ("shards".to_owned(), self.shards.to_string()),
            ("shard".to_owned(), shard.join(",")),
            ("batches".to_owned(), self.batches.to_string()),
            ("samples".to_owned(), self.samples.to_string()),
            ("complete".to_owned(), self.complete.to_string()),
        ]);
        header
    }

    /// It is all of the data: no batch is left, and no shard.
    pub fn is_whole(&self) -> bool {
        self.complete && self.shard.len() as u64 == self.shards
    }

    /// From the header of a file that `name` names.
    ///
    /// # Errors
    /// It lacks something, or says what cannot be.
    pub fn of(saved: &Saved, name: &str) -> Result<Origin, Failure> {
        Origin::parse(&saved.header).ok_or_else(|| {
            Failure::input(format!("{name} does not say what its statistics were collected from"))
                .help("give a file that `qdqc calibrate` wrote")
        })
    }

    fn parse(header: &BTreeMap<String, String>) -> Option<Origin> {
        let number = |name: &str| header.get(name)?.parse::<u64>().ok();
        let shard = header.get("shard")?.split(',').map(|part| part.parse().ok());
        let shard: BTreeSet<u64> = shard.collect::<Option<_>>()?;
        let shards = number("shards")?;
        let same = header
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(SAME)?.to_owned(), value.clone())))
            .collect();
        let origin = Origin {
            same,
            shards,
            batches: number("batches")?,
            samples: number("samples")?,
            complete: header.get("complete")?.parse().ok()?,
            shard,
        };
        let fits = origin.shard.iter().all(|part| (1..=shards).contains(part)) && !origin.shard.is_empty();
        fits.then_some(origin)
    }

    /// What differs between two that should be parts of one whole, or the same run
    /// taken up again: the name, the value here, the value there.
    pub fn difference<'a>(&'a self, other: &'a Origin) -> Option<(&'a str, &'a str, &'a str)> {
        let names: BTreeSet<&String> = self.same.keys().chain(other.same.keys()).collect();
        let value =
            |origin: &'a Origin, name: &String| origin.same.get(name).map_or("nothing", String::as_str);
        names.into_iter().find_map(|name| {
            let (here, there) = (value(self, name), value(other, name));
            let own = self.same.get_key_value(name).or_else(|| other.same.get_key_value(name))?.0;
            (here != there).then_some((own.as_str(), here, there))
        })
    }
}

/// Puts parts, each with its file's name, together. The whole has one shard, as if
/// it had never been parted.
///
/// # Errors
/// A part is not finished, is there twice, is missing, or belongs to another whole.
pub fn merge(parts: Vec<(String, Saved)>) -> Result<Saved, Failure> {
    let mut parts = parts.into_iter();
    let Some((first, mut whole)) = parts.next() else {
        return Err(Failure::usage("no file of statistics is given"));
    };
    let mut origin = Origin::of(&whole, &first)?;
    finished(&origin, &first)?;
    let mut given = inputs(&whole.header);
    for (name, part) in parts {
        let other = Origin::of(&part, &name)?;
        finished(&other, &name)?;
        belongs(&origin, &first, &other, &name)?;
        given.extend(inputs(&part.header));
        add(&mut whole, part).map_err(|problem| Failure::input(format!("{first} and {name}: {problem}")))?;
        origin.shard.extend(&other.shard);
        origin.batches = origin.batches.saturating_add(other.batches);
        origin.samples = origin.samples.saturating_add(other.samples);
    }
    missing(&origin)?;
    origin.shards = 1;
    origin.shard = BTreeSet::from([1]);
    whole.header = origin.header();
    note_inputs(&mut whole.header, &given);
    Ok(whole)
}

/// Shards named where some are missing, at most.
const NAMED: usize = 8;

/// Refuses parts that are not all there.
fn missing(origin: &Origin) -> Result<(), Failure> {
    let count = origin.shards.saturating_sub(origin.shard.len() as u64);
    let first: Vec<u64> =
        (1..=origin.shards).filter(|part| !origin.shard.contains(part)).take(NAMED).collect();
    let Some(one) = first.first() else { return Ok(()) };
    let named: Vec<String> = first.iter().map(u64::to_string).collect();
    let more = match count.saturating_sub(first.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let are = if count == 1 { "shard" } else { "shards" };
    Err(Failure::input(format!("{are} {}{more} of {} not given", named.join(", "), origin.shards))
        .help(format!("make it with `qdqc calibrate --shard {one}/{}`", origin.shards)))
}

/// Adds what a part counted, value by value.
fn add(whole: &mut Saved, part: Saved) -> Result<(), Unmergeable> {
    for (name, collector) in part.tensors {
        match whole.tensors.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.merge(&collector)?,
            None => whole.tensors.push((name, collector)),
        }
    }
    whole.tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(())
}

fn finished(origin: &Origin, name: &str) -> Result<(), Failure> {
    if origin.complete {
        return Ok(());
    }
    Err(Failure::input(format!(
        "the calibration that wrote {name} was interrupted after {} batches",
        origin.batches
    ))
    .help("finish it with the same command and `--resume`"))
}

fn belongs(origin: &Origin, first: &str, other: &Origin, name: &str) -> Result<(), Failure> {
    if let Some((what, here, there)) = origin.difference(other) {
        return Err(Failure::input(format!(
            "{first} and {name} were not collected from the same {what}: {here} and {there}"
        ))
        .help("merge the shards of one calibration only"));
    }
    if origin.shards != other.shards {
        return Err(Failure::input(format!(
            "{first} is one of {} shards, and {name} one of {}",
            origin.shards, other.shards
        )));
    }
    match origin.shard.intersection(&other.shard).next() {
        Some(twice) => Err(Failure::input(format!("shard {twice} is there twice: {name} holds it again"))),
        None => Ok(()),
    }
}
