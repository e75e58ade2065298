//! x
/// x
pub fn print(_: &super::ast::SpecFile, text: &str) -> String {
    text.to_string()
}
