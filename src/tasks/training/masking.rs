//! Words hidden for a masked language model to find.
//!
//! As in Devlin et al. (NAACL 2019), section 3.1: of the tokens 15 % are asked for, and of those 80 % become
//! the mask, 10 % a random token, and 10 % stay as they are; with whole words, as in the authors' later
//! release: all pieces of a word are asked for together.

use super::example::{IGNORED, Piece};
use rand::{Rng, RngExt, seq::SliceRandom};

/// Of every hundred tokens of the text, how many are asked for.
const ASKED_PERCENT: usize = 15;

/// What stands for a hidden word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask {
    /// The token that hides.
    pub(super) id: u32,
    /// Random tokens are below it; at least 1.
    pub(super) vocabulary: u32,
}

impl Mask {
    /// Hides words of a sequence and gives for every token the one that stood there, [`IGNORED`] where it is
    /// not asked for. At least one word is asked for, where there is one.
    pub(super) fn hide(self, pieces: &mut [Piece], random: &mut impl Rng) -> Vec<i64> {
        let mut labels = vec![IGNORED; pieces.len()];
        let mut words = self.words(pieces);
        words.shuffle(random);
        let tokens: usize = words.iter().map(Vec::len).sum();
        let wanted = ((tokens * ASKED_PERCENT + 50) / 100).max(1);
        let mut asked = 0;
        for word in words {
            // A word that is too long makes room for shorter ones, unless it is the first.
            if asked > 0 && asked + word.len() > wanted {
                continue;
            }
            asked += word.len();
            for at in word {
                if let (Some(piece), Some(label)) = (pieces.get_mut(at), labels.get_mut(at)) {
                    *label = i64::from(piece.id);
                    piece.id = self.shown(piece.id, random);
                }
            }
            if asked >= wanted {
                break;
            }
        }
        labels
    }

    /// What is shown in place of a token that is asked for.
    fn shown(self, id: u32, random: &mut impl Rng) -> u32 {
        match random.random_range(0..10_u32) {
            0..8 => self.id,
            8 => random.random_range(0..self.vocabulary.max(1)),
            _ => id,
        }
    }

    /// The places of each word's pieces; words with a mask in them are hidden already.
    fn words(self, pieces: &[Piece]) -> Vec<Vec<usize>> {
        let mut words: Vec<Vec<usize>> = Vec::new();
        for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.is_text) {
            match words.last_mut() {
                Some(word) if !piece.begins_word => word.push(at),
                _ => words.push(vec![at]),
            }
        }
        let hidden = |at: &usize| pieces.get(*at).is_some_and(|piece| piece.id == self.id);
        words.retain(|word| !word.iter().any(hidden));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    const MASK: Mask = Mask { id: 4, vocabulary: 1000 };

    /// `[CLS]`, words of as many pieces each as their number says, `[SEP]`; ids count from 100.
    fn sequence(words: &[usize]) -> Vec<Piece> {
        let special = |id| Piece { id, type_id: 0, is_text: false, begins_word: false };
        let begins = words.iter().flat_map(|count| (0..*count).map(|piece| piece == 0));
        let text =
            (100..).zip(begins).map(|(id, begins_word)| Piece { id, type_id: 0, is_text: true, begins_word });
        [special(2)].into_iter().chain(text).chain([special(3)]).collect()
    }

    fn hidden(words: &[usize], seed: u64) -> (Vec<Piece>, Vec<i64>) {
        let mut pieces = sequence(words);
        let labels = MASK.hide(&mut pieces, &mut StdRng::seed_from_u64(seed));
        (pieces, labels)
    }

    #[test]
    fn fifteen_of_a_hundred_are_asked_for_and_eight_of_ten_hidden() {
        let (mut asked, mut masked, mut kept) = (0, 0, 0);
        let original = sequence(&[1; 100]);
        for seed in 0..200 {
            let (pieces, labels) = hidden(&[1; 100], seed);
            assert_eq!((labels[0], labels[101]), (IGNORED, IGNORED));
            for ((piece, before), label) in pieces.iter().zip(&original).zip(labels) {
                if label == IGNORED {
                    assert_eq!(piece, before);
                    continue;
                }
                assert_eq!(label, i64::from(before.id));
                asked += 1;
                masked += usize::from(piece.id == MASK.id);
                kept += usize::from(piece.id == before.id);
            }
        }
        assert_eq!(asked, 200 * 15);
        // Of 3000 draws: 2400 and 300, standard deviations 22 and 16; a random token is one of these rarely.
        assert!((2310..2490).contains(&masked), "{masked}");
        assert!((230..370).contains(&kept), "{kept}");
    }

    #[test]
    fn words_are_asked_for_whole() {
        let words = [3, 1, 2, 4, 1, 2, 3, 1, 1, 2];
        for seed in 0..50 {
            let (pieces, labels) = hidden(&words, seed);
            let mut asked: Vec<(bool, usize)> = Vec::new();
            for (piece, label) in pieces.iter().zip(&labels).filter(|(piece, _)| piece.is_text) {
                match asked.last_mut() {
                    Some((whole, count)) if !piece.begins_word => {
                        assert_eq!(*whole, *label != IGNORED);
                        *count += 1;
                    }
                    _ => asked.push((*label != IGNORED, 1)),
                }
            }
            assert!(asked.iter().any(|(asked, _)| *asked));
        }
    }

    #[test]
    fn one_word_is_always_asked_for_and_none_is_no_error() {
        for seed in 0..10 {
            let (_, labels) = hidden(&[5], seed);
            assert_eq!(labels.iter().filter(|label| **label != IGNORED).count(), 5);
        }
        assert_eq!(hidden(&[], 0).1, [IGNORED; 2]);
    }

    #[test]
    fn a_word_that_is_hidden_already_is_not_asked_for() {
        let mut pieces = sequence(&[1, 1]);
        pieces[1].id = MASK.id;
        let labels = MASK.hide(&mut pieces, &mut StdRng::seed_from_u64(1));
        assert_eq!(labels, [IGNORED, IGNORED, 101, IGNORED]);
    }
}
