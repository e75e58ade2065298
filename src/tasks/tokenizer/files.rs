//! The tokenizer files of a checkpoint folder.

use super::Special;
use crate::{checkpoint::Folder, config::Config, failure::Failure};
use serde_json::{Map, Value};
use tokenizers::{
    AddedToken, Tokenizer, decoders::wordpiece::WordPiece as WordPieceDecoder, models::wordpiece::WordPiece,
    normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer, processors::bert::BertProcessing,
};

/// What a folder's tokenizer files say.
pub(super) struct Loaded {
    pub(super) tokenizer: Tokenizer,
    pub(super) special: Special,
    /// `model_max_length`, where it is set.
    pub(super) longest: Option<usize>,
}

/// Reads `tokenizer.json`, or else `vocab.txt`, with what `tokenizer_config.json` and
/// `special_tokens_map.json` add.
pub(super) fn load(folder: &Folder, config: &Config) -> Result<Loaded, Failure> {
    let settings = json(folder, "tokenizer_config.json")?;
    let names = Names { settings: &settings, map: &json(folder, "special_tokens_map.json")? };
    let (tokenizer, stored) = match folder.read("tokenizer.json")? {
        Some(bytes) => stored(&bytes, &folder.place_of("tokenizer.json"))?,
        None => match folder.read("vocab.txt")? {
            Some(bytes) => (word_pieces(&bytes, &names, &folder.place_of("vocab.txt"))?, None),
            None => return Err(none(folder)),
        },
    };
    finish(tokenizer, &names, stored, config)
}

fn finish(
    mut tokenizer: Tokenizer,
    names: &Names<'_>,
    stored: Option<u32>,
    config: &Config,
) -> Result<Loaded, Failure> {
    // The settings in tokenizer.json are those of the machine that made it, often 128 tokens for every text.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| Failure::input(format!("tokenizer.json: {error}")))?;
    register(&mut tokenizer, names)?;
    let id = |role| tokenizer.token_to_id(&names.of(role));
    let configured = config.get("pad_token_id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let special = Special {
        pad: id("pad_token").or(stored).or(configured).unwrap_or(0),
        cls: id("cls_token"),
        sep: id("sep_token"),
        mask: id("mask_token"),
        mask_text: names.of("mask_token"),
    };
    let longest = names.settings.get("model_max_length").and_then(Value::as_f64);
    // A float above every size means "no limit" in HuggingFace; the cast saturates.
    let longest = longest.filter(|longest| *longest >= 1.0).map(|longest| longest as usize);
    Ok(Loaded { tokenizer, special, longest })
}

/// `tokenizer.json`, with the id it pads with.
fn stored(bytes: &[u8], place: &str) -> Result<(Tokenizer, Option<u32>), Failure> {
    let tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| {
        Failure::input(format!("`{place}` is not a tokenizer: {error}"))
            .help("take it from the checkpoint again, or remove it if there is a vocab.txt beside it")
    })?;
    let pad = tokenizer.get_padding().map(|padding| padding.pad_id);
    Ok((tokenizer, pad))
}

/// BERT's tokenizer over a list of word pieces.
fn word_pieces(bytes: &[u8], names: &Names<'_>, place: &str) -> Result<Tokenizer, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::input(format!("`{place}`: {error}"));
    let vocabulary = WordPiece::read_bytes(bytes).map_err(|error| bad(&error))?;
    let named = |role| {
        let token = names.of(role);
        match vocabulary.get(&token) {
            Some(id) => Ok((token, *id)),
            None => Err(bad(&format!("there is no `{token}` in it, which BERT needs"))),
        }
    };
    let (separator, first, (unknown, _)) = (named("sep_token")?, named("cls_token")?, named("unk_token")?);
    let model =
        WordPiece::builder().vocab(vocabulary).unk_token(unknown).build().map_err(|error| bad(&error))?;
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        names.flag("tokenize_chinese_chars").unwrap_or(true),
        names.flag("strip_accents"),
        names.flag("do_lower_case").unwrap_or(true),
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(|error| bad(&error))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(separator, first)));
    tokenizer.with_decoder(Some(WordPieceDecoder::default()));
    Ok(tokenizer)
}

/// Makes the special tokens in a text count as such, as far as the vocabulary has them.
fn register(tokenizer: &mut Tokenizer, names: &Names<'_>) -> Result<(), Failure> {
    let known: Vec<AddedToken> = ROLES
        .iter()
        .map(|(role, _)| names.of(role))
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .filter(|token| !tokenizer.get_added_vocabulary().is_special_token(token))
        .map(|token| AddedToken::from(token, true))
        .collect();
    tokenizer.add_special_tokens(known).map(|_| ()).map_err(|error| Failure::input(error.to_string()))
}

/// Special tokens by their role, with BERT's spelling.
const ROLES: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("mask_token", "[MASK]"),
];

/// How a checkpoint spells its special tokens.
struct Names<'a> {
    settings: &'a Map<String, Value>,
    map: &'a Map<String, Value>,
}

impl Names<'_> {
    fn of(&self, role: &str) -> String {
        let spelled = [self.settings, self.map].into_iter().find_map(|names| match names.get(role)? {
            Value::String(token) => Some(token.clone()),
            token => token.get("content")?.as_str().map(str::to_owned),
        });
        spelled.unwrap_or_else(|| {
            ROLES.into_iter().find(|(known, _)| *known == role).map_or("", |(_, token)| token).to_owned()
        })
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.settings.get(name).and_then(Value::as_bool)
    }
}

/// The fields of an optional JSON file; none where there is no file.
fn json(folder: &Folder, name: &str) -> Result<Map<String, Value>, Failure> {
    let Some(bytes) = folder.read(name)? else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::input(format!("`{}` is not a JSON object: {error}", folder.place_of(name))))
}

fn none(folder: &Folder) -> Failure {
    Failure::input(format!("`{folder}` has no tokenizer: neither tokenizer.json nor vocab.txt is there"))
        .help("put the tokenizer files of the checkpoint beside its weights")
}
