//! One number to a code of 8 bits, and back.

use crate::quant::codes::{Codes, Grid};

/// A quantizer of a whole tensor whose codes are bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantizer {
    codes: Codes,
    grid: Grid,
}

impl Quantizer {
    /// The quantizer with these codes and this range; `None` where the codes are no whole
    /// numbers of 8 bits.
    pub(crate) fn new(codes: Codes, grid: Grid) -> Option<Quantizer> {
        let signed = codes.least >= -128.0 && codes.largest <= 127.0;
        let unsigned = codes.least >= 0.0 && codes.largest <= 255.0;
        (!codes.float && (signed || unsigned)).then_some(Quantizer { codes, grid })
    }

    /// Codes are bytes of signed numbers.
    pub(crate) fn is_signed(&self) -> bool {
        self.codes.least < 0.0
    }

    /// Negative numbers have no code and are refused, not brought to 0.
    pub(crate) fn refuses_negative(&self) -> bool {
        self.codes.refuses_negative()
    }

    /// See [`Codes::scale`].
    pub(crate) fn scale(&self) -> f32 {
        self.codes.scale(self.grid)
    }

    /// The code of a number; that of NaN is 0.
    #[inline(always)]
    pub(crate) fn code(&self, number: f32) -> u8 {
        self.codes.byte(number, self.grid)
    }

    /// The codes of numbers, as many as there is room for.
    #[inline(always)]
    pub(crate) fn encode(&self, numbers: &[f32], codes: &mut [u8]) {
        // Written so that each loop knows how codes are made.
        let Codes { divides, .. } = self.codes;
        if divides {
            let quantizer = Quantizer { codes: Codes { divides: true, ..self.codes }, ..*self };
            codes.iter_mut().zip(numbers).for_each(|(code, number)| *code = quantizer.code(*number));
        } else {
            let quantizer = Quantizer { codes: Codes { divides: false, ..self.codes }, ..*self };
            codes.iter_mut().zip(numbers).for_each(|(code, number)| *code = quantizer.code(*number));
        }
    }

    /// The number that a code stands for.
    #[inline(always)]
    pub(crate) fn value(&self, code: u8) -> f32 {
        let code = if self.is_signed() { f32::from(code as i8) } else { f32::from(code) };
        if self.codes.divides { code * self.grid.back } else { code / self.grid.back }
    }
}
