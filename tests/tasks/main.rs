//! Text to answers, with a model that gives the outputs that each test sets.

#[cfg(test)]
mod continuation;
#[cfg(test)]
mod evaluation;
#[cfg(test)]
mod even;
#[cfg(test)]
mod model;
#[cfg(test)]
mod readings;
#[cfg(test)]
mod run;
#[cfg(test)]
mod span;
