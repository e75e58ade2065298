//! How far a student's outputs are from its teacher's, and the gradient of that.

use crate::{answer::AnswerKind, config::Config, failure::Failure, training::trainer::failed};
use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{log_softmax, sigmoid, softmax};
use serde_json::Value;
use std::collections::BTreeMap;

/// How an output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Each row of logits is a distribution over classes.
    Classes,
    /// Each logit is that of a label of its own.
    Labels,
    /// Numbers as they are.
    Numbers,
    /// Each row is a distribution over the tokens that are not padding.
    Positions,
    /// A distribution over classes at each token that has a label; with `ahead`, at the token before.
    Tokens { ahead: bool },
}

/// The label of a token that asks for nothing.
const IGNORED: i64 = -100;

/// Added to what must have no probability.
const NEVER: f64 = -1e30;

/// A loss and its gradient.
type Graded = (Tensor, Tensor);

impl Compared {
    /// What an answer reads.
    pub(super) fn of(kind: AnswerKind, config: &Config) -> Compared {
        let problem = config.get("problem_type").and_then(Value::as_str);
        let one = config.get("num_labels").and_then(Value::as_u64) == Some(1);
        match kind {
            AnswerKind::Labels if problem == Some("multi_label_classification") => Compared::Labels,
            AnswerKind::Labels if problem == Some("regression") || (problem.is_none() && one) => {
                Compared::Numbers
            }
            AnswerKind::Labels | AnswerKind::Choice | AnswerKind::NextSentence => Compared::Classes,
            AnswerKind::Span => Compared::Positions,
            AnswerKind::Entities | AnswerKind::FillMask => Compared::Tokens { ahead: false },
            AnswerKind::Continuation => Compared::Tokens { ahead: true },
            AnswerKind::Embedding => Compared::Numbers,
        }
    }

    /// There is a row for each token, or a number.
    pub(super) fn is_by_token(self) -> bool {
        matches!(self, Compared::Positions | Compared::Tokens { .. })
    }

    /// The loss of an output, and its gradient by the output, both in f32. `inputs` are those of the batch.
    pub(super) fn loss(
        self,
        name: &str,
        student: &Tensor,
        teacher: &Tensor,
        inputs: &BTreeMap<String, Tensor>,
        temperature: f64,
    ) -> std::result::Result<(f64, Tensor), Failure> {
        if student.dims() != teacher.dims() {
            let text = format!(
                "`{name}` of the model has the shape {:?}, and what its teacher gives {:?}",
                student.dims(),
                teacher.dims()
            );
            return Err(
                Failure::input(text).help("take a teacher for the same labels and the same vocabulary")
            );
        }
        self.graded(student, teacher, inputs, temperature)
            .and_then(|(loss, gradient)| Ok((loss.to_dtype(DType::F64)?.to_scalar()?, gradient)))
            .map_err(failed)
    }

    fn graded(
        self,
        student: &Tensor,
        teacher: &Tensor,
        inputs: &BTreeMap<String, Tensor>,
        temperature: f64,
    ) -> Result<Graded> {
        let student = student.to_dtype(DType::F32)?.contiguous()?;
        let teacher = teacher.to_device(student.device())?.to_dtype(DType::F32)?.contiguous()?;
        match self {
            Compared::Numbers => numbers(&student, &teacher),
            Compared::Labels => labels(&student, &teacher, temperature),
            Compared::Classes => classes(&student, &teacher, temperature),
            Compared::Positions => {
                let mask = input(inputs, "attention_mask")?.to_device(student.device())?;
                let mask = mask.to_dtype(DType::F32)?;
                let hidden = mask.affine(-NEVER, NEVER)?;
                classes(&(student + &hidden)?, &(teacher + &hidden)?, temperature)
            }
            Compared::Tokens { ahead } => {
                let counted = counted(input(inputs, "labels")?, ahead)?;
                at(&student, &teacher, &counted, |student, teacher| classes(student, teacher, temperature))
            }
        }
    }
}

fn input<'i>(inputs: &'i BTreeMap<String, Tensor>, name: &str) -> Result<&'i Tensor> {
    inputs.get(name).ok_or_else(|| candle_core::Error::Msg(format!("a batch has no `{name}`")))
}

/// `T² · KL(teacher / T || student / T)`, the mean over rows; by a logit of the student
/// `T · (student's probability - teacher's) / rows`.
fn classes(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Graded> {
    let last = student.rank().saturating_sub(1);
    let rows = (student.elem_count() / student.dim(last)?.max(1)).max(1) as f64;
    let softened = |logits: &Tensor| logits.affine(1.0 / temperature, 0.0);
    let (student, teacher) = (softened(student)?, softened(teacher)?);
    let expected = softmax(&teacher, last)?;
    let apart = (log_softmax(&teacher, last)? - log_softmax(&student, last)?)?;
    let loss = (&expected * apart)?.sum_all()?.affine(temperature * temperature / rows, 0.0)?;
    let gradient = (softmax(&student, last)? - expected)?.affine(temperature / rows, 0.0)?;
    Ok((loss, gradient))
}

/// The same of each logit alone, a yes and a no: the mean over all of them.
fn labels(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Graded> {
    let count = student.elem_count().max(1) as f64;
    let softened = |logits: &Tensor| logits.affine(1.0 / temperature, 0.0);
    let (student, teacher) = (softened(student)?, softened(teacher)?);
    let expected = sigmoid(&teacher)?;
    let yes = (log_sigmoid(&teacher)? - log_sigmoid(&student)?)?;
    let no = (log_sigmoid(&teacher.neg()?)? - log_sigmoid(&student.neg()?)?)?;
    let apart = ((&expected * yes)? + (expected.affine(-1.0, 1.0)? * no)?)?;
    let loss = apart.sum_all()?.affine(temperature * temperature / count, 0.0)?;
    let gradient = (sigmoid(&student)? - expected)?.affine(temperature / count, 0.0)?;
    Ok((loss, gradient))
}

/// `log σ(x) = min(x, 0) - log(1 + exp(-|x|))`.
fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    let tail = x.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
    x.minimum(0.0)? - tail
}

/// The mean of the squared differences.
fn numbers(student: &Tensor, teacher: &Tensor) -> Result<Graded> {
    let count = student.elem_count().max(1) as f64;
    let apart = (student - teacher)?;
    Ok((apart.sqr()?.sum_all()?.affine(1.0 / count, 0.0)?, apart.affine(2.0 / count, 0.0)?))
}

/// Of `[batch, seq]` labels: the places of tokens, one row after the other, that have one; or, ahead, of
/// the tokens before them.
fn counted(labels: &Tensor, ahead: bool) -> Result<Vec<u32>> {
    let (_, seq) = labels.dims2()?;
    let labels = labels.flatten_all()?.to_vec1::<i64>()?;
    let places = (0_u32..).zip(&labels).filter(|(_, label)| **label != IGNORED).map(|(place, _)| place);
    Ok(match ahead {
        // The first token of a row has none before it.
        true => places
            .filter(|place| !(*place as usize).is_multiple_of(seq.max(1)))
            .map(|place| place - 1)
            .collect(),
        false => places.collect(),
    })
}

/// A loss of `[rows, classes]` at some rows of `[.., classes]`; the others have the gradient 0.
fn at(
    student: &Tensor,
    teacher: &Tensor,
    places: &[u32],
    loss: impl Fn(&Tensor, &Tensor) -> Result<Graded>,
) -> Result<Graded> {
    let classes = student.dim(student.rank().saturating_sub(1))?;
    let rows = |tensor: &Tensor| tensor.reshape(((), classes));
    let zeros = rows(&student.zeros_like()?)?;
    if places.is_empty() {
        return Ok((zeros.sum_all()?, student.zeros_like()?));
    }
    let places = Tensor::new(places, student.device())?;
    let chosen = |tensor: &Tensor| rows(tensor)?.index_select(&places, 0);
    let (loss, gradient) = loss(&chosen(student)?, &chosen(teacher)?)?;
    Ok((loss, zeros.index_add(&places, &gradient, 0)?.reshape(student.shape())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const T: f64 = 2.0;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    }

    fn inputs() -> BTreeMap<String, Tensor> {
        let labels = Tensor::new(&[[1_i64, -100, 0], [-100, -100, 1]], &Device::Cpu).unwrap();
        let mask = Tensor::new(&[[1_i64, 1, 1], [1, 1, 0]], &Device::Cpu).unwrap();
        [("labels".to_owned(), labels), ("attention_mask".to_owned(), mask)].into()
    }

    const STUDENT: [f32; 12] = [0.5, -1.0, 2.0, 0.1, 0.0, 3.0, -2.0, 1.5, 0.7, -0.3, 1.1, 0.2];
    const TEACHER: [f32; 12] = [1.0, 0.0, 1.0, -0.4, 2.0, 2.5, -1.0, 0.5, 0.9, 0.3, -1.1, 0.6];

    fn loss(compared: Compared, student: &[f32], shape: &[usize]) -> (f64, Vec<f32>) {
        let teacher = tensor(&TEACHER[..student.len()], shape);
        let (loss, gradient) =
            compared.loss("logits", &tensor(student, shape), &teacher, &inputs(), T).unwrap();
        (loss, gradient.flatten_all().unwrap().to_vec1().unwrap())
    }

    /// The gradient is what the loss changes by, and at the teacher's own outputs there is nothing to learn.
    #[test]
    fn gradients_are_those_of_the_losses() {
        for (compared, shape) in [
            (Compared::Classes, vec![3, 4]),
            (Compared::Labels, vec![3, 4]),
            (Compared::Numbers, vec![3, 4]),
            (Compared::Positions, vec![2, 3]),
            (Compared::Tokens { ahead: false }, vec![2, 3, 2]),
            (Compared::Tokens { ahead: true }, vec![2, 3, 2]),
        ] {
            let count = shape.iter().product();
            let (value, gradient) = loss(compared, &STUDENT[..count], &shape);
            assert!(value > 0.0, "{compared:?}");
            for (at, gradient) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut student = STUDENT[..count].to_vec();
                    student[at] += by;
                    loss(compared, &student, &shape).0
                };
                let slope = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((slope - f64::from(*gradient)).abs() < 1e-3, "{compared:?} {at}: {slope} {gradient}");
            }
            let (least, gradient) = loss(compared, &TEACHER[..count], &shape);
            assert!(least.abs() < 1e-6 && gradient.iter().all(|one| one.abs() < 1e-6), "{compared:?}");
        }
    }

    /// By hand: two classes at T = 2.
    #[test]
    fn the_divergence_is_hintons() {
        let (student, teacher) = (tensor(&[0.0, 0.0], &[1, 2]), tensor(&[2.0, 0.0], &[1, 2]));
        let (value, _) = Compared::Classes.loss("logits", &student, &teacher, &inputs(), T).unwrap();
        let p = 1.0 / (1.0 + f64::exp(-1.0));
        let divergence = p * (p / 0.5).ln() + (1.0 - p) * ((1.0 - p) / 0.5).ln();
        assert!((value - 4.0 * divergence).abs() < 1e-6, "{value}");
    }

    #[test]
    fn what_is_not_counted_has_no_gradient() {
        let of = |compared, shape: &[usize]| loss(compared, &STUDENT[..shape.iter().product()], shape).1;
        assert_eq!(of(Compared::Positions, &[2, 3])[5], 0.0, "padding");
        let tokens = of(Compared::Tokens { ahead: false }, &[2, 3, 2]);
        let counted: Vec<bool> = tokens.chunks(2).map(|row| row.iter().any(|one| *one != 0.0)).collect();
        assert_eq!(counted, [true, false, true, false, false, true]);
        let tokens = of(Compared::Tokens { ahead: true }, &[2, 3, 2]);
        let counted: Vec<bool> = tokens.chunks(2).map(|row| row.iter().any(|one| *one != 0.0)).collect();
        assert_eq!(counted, [false, true, false, false, true, false]);
    }

    #[test]
    fn other_shapes_are_refused() {
        let refused = Compared::Classes.loss(
            "logits",
            &tensor(&STUDENT[..4], &[2, 2]),
            &tensor(&TEACHER[..6], &[2, 3]),
            &inputs(),
            T,
        );
        assert!(refused.unwrap_err().to_string().contains("[2, 2]"));
    }
}
