//! What `qdqc run` is asked: which model, and on which texts.

use super::{args, model::Named};
use crate::{failure::Failure, specs};
use std::path::Path;

/// The spec and the checkpoint that answer where none are named.
const DEMO: (&str, &str) = ("sequence-classification", "demo");

/// What `qdqc run` says when it is asked nothing.
pub const EXPLANATION: &str = "\
qdqc run answers from a BERT: a spec says what the model is, a checkpoint holds its weights.

  qdqc run \"a gripping, funny film\"
      asks the demo that comes with qdqc whether a text is positive or negative
  qdqc run masked-lm -c google-bert/bert-base-uncased --float \"Paris is the [MASK] of France.\"
      asks any spec that `qdqc list` names, or one of your own, on any HuggingFace BERT
  qdqc run sequence-classification -c my-bert --input reviews.csv --columns text=review --json
      reads a file of records, and gives a JSON object for each

`qdqc run --help` says what else there is.
";

/// A model, and the texts that were given beside it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The model.
    pub model: Named<'a>,
    /// Texts without a flag.
    pub texts: &'a [String],
    /// No model was named, so that the demo is asked.
    pub of_demo: bool,
}

impl<'a> Question<'a> {
    /// Tells the spec from the texts: it comes first where a checkpoint is named, and there is
    /// none where not. `None`: nothing is asked at all.
    ///
    /// # Errors
    /// A spec is named without a checkpoint or the other way round, or there is nothing or
    /// more than one thing to run on.
    pub fn of(arguments: &'a args::Run) -> Result<Option<Question<'a>>, Failure> {
        let args::Run { words, checkpoint, set, recipe, input, .. } = arguments;
        let flagged = !input.text.is_empty() || input.file.is_some() || input.tensors.is_some();
        let (spec, checkpoint, texts) = match (checkpoint.as_deref(), words.as_slice()) {
            (None, []) if !flagged => return Ok(None),
            (None, texts) => {
                texts.first().map_or(Ok(()), |first| refuse_spec(first))?;
                (DEMO.0, DEMO.1, texts)
            }
            (Some(checkpoint), [spec, texts @ ..]) if !is_text(spec) => (spec.as_str(), checkpoint, texts),
            (Some(_), _) => {
                return Err(Failure::usage("no spec is named").help(
                    "name one before the texts, `qdqc run SPEC -c CKPT TEXT`; `qdqc list` lists them",
                ));
            }
        };
        if texts.is_empty() && !flagged {
            return Err(Failure::usage(format!("there is nothing to run `{spec}` on"))
                .help("give a text, `--input FILE` of records, or `--tensors FILE -o FILE`"));
        }
        if !texts.is_empty() && (input.file.is_some() || input.tensors.is_some()) {
            return Err(Failure::usage("a text cannot be given together with `--input` or `--tensors`")
                .help("leave out the one or the other"));
        }
        let model = Named { spec, checkpoint, set, recipe: recipe.as_deref() };
        Ok(Some(Question { model, texts, of_demo: arguments.checkpoint.is_none() }))
    }
}

/// It has several words, and is no file.
fn is_text(word: &str) -> bool {
    word.trim().contains(char::is_whitespace) && !Path::new(word).exists()
}

/// Refuses, as a text for the demo, what was probably meant as a spec.
fn refuse_spec(word: &str) -> Result<(), Failure> {
    if is_text(word) {
        return Ok(());
    }
    let path = Path::new(word);
    if specs::find(word).is_some() || word == "-" || word.ends_with(".qdq") {
        let failure = Failure::usage(format!("`{word}` needs weights to run with"));
        return Err(if word == DEMO.0 {
            failure.help(
                "name them, `-c CKPT`: a HuggingFace folder or a hub id, or `demo`, which comes with qdqc",
            )
        } else {
            failure.help("name them, `-c CKPT`: a HuggingFace folder, a weights file or a hub id")
        });
    }
    if path.is_dir() {
        return Err(Failure::usage(format!("`{word}` is a folder, neither a spec nor a text"))
            .help(format!("to run on its weights: `qdqc run SPEC -c {word} TEXT`")));
    }
    if path.exists() {
        return Err(Failure::usage(format!("`{word}` is a file, but neither a spec nor a text"))
            .help(format!("to run on the texts in it: `--input {word}`")));
    }
    match specs::suggest(word) {
        Some(near) => Err(Failure::usage(format!("there is no spec `{word}`; did you mean `{near}`?")).help(
            format!("a spec needs weights, `-c CKPT`; a text of one word is given as `--text {word}`"),
        )),
        None => Ok(()),
    }
}
